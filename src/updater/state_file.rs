//! The file that keeps the history across boots: when it is read and written, and which
//! failures are reported.
//!
//! A damaged file is renamed to `state.damaged`. A file that cannot be read is not
//! overwritten, because its contents would be lost. If saving fails, it is tried again
//! after each call until it works. A failure is reported once, and again if saving has
//! worked in between.

use crate::sys::files::{self, Store};
use crate::updater::event::Event;
use crate::updater::history::History;
use crate::updater::history::file::FILE_MAX;
use core::ffi::CStr;
use core::time::Duration;
use rustix::io::Errno;

/// The state file.
pub struct StateFile {
    /// The directory. `None` if nothing is kept.
    store: Option<Store>,
    /// Whether the last attempt to read or to save failed. It was reported then.
    failed: bool,
}

/// The step that failed, as in "cannot ...", and the kernel's error.
type Failure = (&'static str, Errno);

impl StateFile {
    /// Reads the history from the file in `directory`, or begins an empty one. If
    /// `directory` is empty, nothing is kept. `boot_id` is the path of a file with the id
    /// of this boot. `retry` is as for [`History::new`].
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
        // Without the boot id, the outcome of an activation cannot be detected.
        let boot = files::boot_id(boot_id).map_err(failed_to("read the boot id"))?;
        let store = Store::open(directory).map_err(failed_to("open the directory"))?;
        let mut buffer = [0; FILE_MAX];
        let text = match store.load(&mut buffer) {
            Err(Errno::NOENT) => None,
            // The updater did not make a link or a directory. It counts as damaged.
            Err(Errno::LOOP | Errno::ISDIR) => Some([].as_slice()),
            text => Some(text.map_err(failed_to("read the file"))?),
        };
        let store = self.store.insert(store);
        *history = History::new(boot, retry);
        if text.is_some_and(|text| history.read(text).is_err()) {
            store.quarantine().map_err(failed_to("rename the damaged file"))?;
            emit(Event::StateDamaged);
        }
        Ok(())
    }

    /// Saves the history if it has changed. `emit` gets an event if that fails, unless the
    /// last attempt failed too.
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
