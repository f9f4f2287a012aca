//! The file that keeps the history across boots.
//!
//! A file that cannot be read is never overwritten, because its contents would be
//! lost. A file that is damaged is set aside as `state.damaged`. Saving is tried
//! again with each change until it works, and a failure is reported once.

use crate::sys::files::{self, Store};
use crate::updater::event::Event;
use crate::updater::history::{FILE_MAX, History};
use core::ffi::CStr;
use core::time::Duration;
use rustix::io::Errno;

/// The file, or none if nothing is kept.
pub struct StateFile {
    store: Option<Store>,
    /// Whether the last attempt failed, which was reported.
    failed: bool,
}

/// What failed, as in "cannot ...", and the kernel's error.
type Failure = (&'static str, Errno);

impl StateFile {
    /// Reads the history from the file in `directory`, or begins an empty one.
    /// `boot_id` is the path of the file with the id of this boot, and `retry` is as
    /// for [`History::new`]. An empty `directory` means that nothing is kept.
    ///
    /// `emit` gets an event if the file was damaged, or if nothing can be kept.
    pub fn open(
        directory: &CStr,
        boot_id: &CStr,
        retry: Option<Duration>,
        emit: &mut dyn FnMut(Event),
    ) -> (Self, History) {
        let mut file = Self { store: None, failed: false };
        let mut history = History::default();
        if !directory.is_empty()
            && let Err(failure) = file.load(directory, boot_id, retry, &mut history, emit)
        {
            file.report_failure(failure, emit);
        }
        (file, history)
    }

    fn load(
        &mut self,
        directory: &CStr,
        boot_id: &CStr,
        retry: Option<Duration>,
        history: &mut History,
        emit: &mut dyn FnMut(Event),
    ) -> Result<(), Failure> {
        // Without the boot id, nothing can be concluded about a version.
        let boot = files::boot_id(boot_id).map_err(failed_to("read the boot id"))?;
        let store = Store::open(directory).map_err(failed_to("open the directory"))?;
        let mut buffer = [0; FILE_MAX];
        let text = match store.load(&mut buffer) {
            Err(Errno::NOENT) => None,
            // A link or a directory: the updater has not made it.
            Err(Errno::LOOP | Errno::ISDIR) => Some([].as_slice()),
            text => Some(text.map_err(failed_to("read the file"))?),
        };
        let store = self.store.insert(store);
        *history = History::new(boot, retry);
        if text.is_some_and(|text| history.read(text).is_err()) {
            store.quarantine().map_err(failed_to("set a damaged file aside"))?;
            emit(Event::StateDamaged);
        }
        Ok(())
    }

    /// Saves the history if it has changed. `emit` gets an event if that fails, unless
    /// the last attempt failed too.
    pub fn save(&mut self, history: &mut History, emit: &mut dyn FnMut(Event)) {
        let Some(store) = self.store.as_ref().filter(|_| history.has_changed()) else { return };
        match store.save(&history.write()) {
            Ok(()) => {
                history.set_saved();
                self.failed = false;
            }
            Err(errno) => self.report_failure(("write the file", errno), emit),
        }
    }

    fn report_failure(&mut self, (tried, error): Failure, emit: &mut dyn FnMut(Event)) {
        if !self.failed {
            emit(Event::StateLost { tried, error });
        }
        self.failed = true;
    }
}

fn failed_to(tried: &'static str) -> impl Fn(Errno) -> Failure {
    move |errno| (tried, errno)
}

#[cfg(test)]
mod tests;
