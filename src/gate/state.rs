//! What the updater's state says of the boot of a record.
//!
//! The version that the record names may have been replaced before the node went down.
//! The updater notes each version that is activated, so its state knows which one the
//! node really tried to boot. See `src/updater/history/file.rs` for its form.

use crate::api::status::{OwnedImage, Text};
use crate::record::RebootRecord;
use crate::text::fields::{Fields, body};

/// The longest file that is read, in bytes. A longer one counts as damaged.
pub const FILE_MAX: usize = 4096;
/// The kind of the file, at the beginning of its first line.
const KIND: &str = "bottlerocket-updater ";
/// The beginnings of the lines that are about no version that was activated: the uptime,
/// the version that ran last, the command that was sent, and the version that is on offer.
const OTHER_LINES: [&str; 4] = ["uptime\t", "ran\t", "sent\t", "offered\t"];

/// The image that did not boot, by the contents of the updater's state file, if it is
/// another one than that of the record. `None` as well if the file is damaged.
pub fn failed_image(file: &[u8], record: &RebootRecord) -> Option<OwnedImage> {
    let (header, lines) = body(file)?.split_once('\n')?;
    if !header.starts_with(KIND) {
        return None;
    }
    let is_other = |image: &OwnedImage| *image != record.image;
    let mut knows_the_record = false;
    let mut failed = None;
    let is_other_line = |line: &&str| OTHER_LINES.iter().any(|start| line.starts_with(start));
    for line in lines.lines().filter(|line| !is_other_line(line)) {
        let mut fields = Fields::new(line);
        let (version, variant, arch) = (fields.text()?, fields.text()?, fields.text()?);
        let image = OwnedImage { version, variant, arch };
        let (previous_version, boot): (Text, Text) = (fields.text()?, fields.text()?);
        let failed_boots = fields.number()?;
        if boot == record.boot {
            // It was activated in the boot of the record, and nothing else was after it.
            return Some(image).filter(is_other);
        }
        // Or the updater has noted since that it failed.
        if !is_other(&image) {
            knows_the_record = true;
        } else if previous_version == record.running && failed_boots > 0 {
            failed = Some(image);
        }
    }
    // An image that was replaced before the node went down is not in the state.
    failed.filter(|_| !knows_the_record)
}

#[cfg(test)]
mod tests;
