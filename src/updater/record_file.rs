//! The file with the record of the last reboot: reads it, and reports once if that fails.
//!
//! The reboot program and the gate write the file. The updater only reads it. A file that
//! is damaged counts as missing, because it must not keep the updater from its work. If the
//! file cannot be read, what was read before still counts.

use crate::record::{Damaged, FILE_MAX, RebootRecord};
use crate::sys::files;
use crate::updater::event::Event;
use crate::updater::last_reboot::LastReboot;
use core::ffi::CStr;
use core::time::Duration;

/// The file with the record.
pub struct RecordFile<'a> {
    /// Its path. `None` if it is not read.
    path: Option<&'a CStr>,
    /// Whether the last attempt to read it failed. It was reported then.
    failed: bool,
}

impl<'a> RecordFile<'a> {
    /// The file at `path`, which is not read if the path is empty. `boot_id` is the path
    /// of a file with the id of this boot.
    ///
    /// `emit` gets an event if that id cannot be read. Then the record means nothing, and
    /// is not read.
    pub fn open(path: &'a CStr, boot_id: &CStr, emit: &mut dyn FnMut(Event)) -> (Self, LastReboot) {
        let unread = (Self { path: None, failed: false }, LastReboot::default());
        if path.is_empty() {
            return unread;
        }
        match files::boot_id(boot_id) {
            Ok(boot) => (Self { path: Some(path), failed: false }, LastReboot::new(boot)),
            Err(errno) => {
                let (tried, error) = ("read the boot id", Some(errno));
                emit(Event::RecordUnreadable { tried, error });
                unread
            }
        }
    }

    /// Reads the record at `now`, and tells `last_reboot`. `emit` gets an event if that
    /// fails, unless the last attempt failed too.
    pub fn read(
        &mut self,
        now: Duration,
        last_reboot: &mut LastReboot,
        emit: &mut dyn FnMut(Event),
    ) {
        let Some(path) = self.path else { return };
        // One byte more than any record has.
        let mut buffer = [0; FILE_MAX + 1];
        let error = match files::load_stamped(path, &mut buffer) {
            Err(errno) => Some(Some(errno)),
            Ok(file) => {
                let record = file.map(|(text, stamp)| Ok((RebootRecord::read(text)?, stamp)));
                let record: Result<_, Damaged> = record.transpose();
                let error = record.is_err().then_some(None);
                last_reboot.read(now, record.unwrap_or_default());
                error
            }
        };
        if let Some(error) = error.filter(|_| !self.failed) {
            emit(Event::RecordUnreadable { tried: "read the record", error });
        }
        self.failed = error.is_some();
    }
}

#[cfg(test)]
mod tests;
