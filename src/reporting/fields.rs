//! Fields that several events have.

use crate::api::Command;
use crate::api::status::Image;
use crate::reporting::log::Record;
use core::time::Duration;

/// Adds a command, and the version that it is about unless that is empty.
pub fn add_command(record: &mut Record, command: Command, version: &str) {
    record.text("command", command.name());
    if !version.is_empty() {
        record.text("version", version);
    }
}

/// Adds how long a command took, if that is known.
pub fn add_took(record: &mut Record, took: Option<Duration>) {
    if let Some(took) = took {
        record.duration("took", took);
    }
}

/// Adds an image.
pub fn add_image(record: &mut Record, image: Image) {
    record.text("version", image.version);
    record.text("variant", image.variant);
    record.text("arch", image.arch);
}

/// Adds the running image, if the status has it.
pub fn add_running(record: &mut Record, running: Option<Image>) {
    if let Some(image) = running {
        record.text("running", image.version);
        record.text("variant", image.variant);
        record.text("arch", image.arch);
    }
}
