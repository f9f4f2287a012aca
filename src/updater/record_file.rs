//! The file with the record of the last reboot: reads it, and reports once if that fails.
//!
//! The reboot program and the gate write the file. The updater only reads it. A file that
//! is damaged or cannot be read counts as missing, because it must not keep the updater
//! from its work.

use crate::record::{FILE_MAX, RebootRecord};
use crate::sys::files::{self, Stamp};
use crate::updater::event::Event;
use crate::updater::last_reboot::LastReboot;
use core::ffi::CStr;

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

    /// The record, if there is one. `emit` gets an event if it cannot be read, unless the
    /// last attempt failed too.
    pub fn read(&mut self, emit: &mut dyn FnMut(Event)) -> Option<(RebootRecord, Stamp)> {
        let path = self.path?;
        // One byte more than any record has.
        let mut buffer = [0; FILE_MAX + 1];
        let error = match files::load_stamped(path, &mut buffer) {
            Ok(None) => {
                self.failed = false;
                return None;
            }
            Ok(Some((text, stamp))) => match RebootRecord::read(text) {
                Ok(record) => {
                    self.failed = false;
                    return Some((record, stamp));
                }
                Err(_) => None,
            },
            Err(errno) => Some(errno),
        };
        if !self.failed {
            emit(Event::RecordUnreadable { tried: "read the record", error });
        }
        self.failed = true;
        None
    }
}

#[cfg(test)]
mod tests;
