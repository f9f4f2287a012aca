//! The files of the updater: the state file, in a directory that outlives the
//! container, and the boot id.
//!
//! The state file is written whole under another name, flushed to the disk, and
//! renamed. So there is always the old file or the new one, unless another process
//! writes it too. Nothing here waits, whatever kind of file is in its place.

use crate::api::document::STRING_MAX;
use crate::api::status::{Text, copy};
use crate::text::excerpt::is_plain;
use core::ffi::CStr;
use core::str;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;

/// The name of the state file.
const NAME: &CStr = c"state";
/// Its name while it is written.
const NEW_NAME: &CStr = c"state.new";
/// Its name after [`Store::quarantine`].
const DAMAGED_NAME: &CStr = c"state.damaged";

/// Makes opening, reading and writing return at once, even if the file is a pipe.
const NONBLOCK: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC);

/// The directory of the state file.
pub struct Store(OwnedFd);

impl Store {
    /// Opens a directory, which must exist.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn open(directory: &CStr) -> Result<Self, Errno> {
        open(directory, OFlags::DIRECTORY).map(Self)
    }

    /// Reads the state file, at most as many bytes as fit into `buffer`.
    ///
    /// # Errors
    ///
    /// The kernel's error: `NOENT` if there is no file, `LOOP` if it is a link.
    pub fn load<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        let file = fs::openat(&self.0, NAME, NONBLOCK | OFlags::NOFOLLOW, Mode::empty())?;
        read(&file, buffer)
    }

    /// Replaces the state file. If that fails, the old one stays.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn save(&self, text: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let file = fs::openat(&self.0, NEW_NAME, flags | NONBLOCK, Mode::from_raw_mode(0o600))?;
        // The kernel writes so few bytes at once, unless the disk is full.
        if rustix::io::write(&file, text)? < text.len() {
            return Err(Errno::NOSPC);
        }
        fs::fsync(&file)?;
        self.rename(NEW_NAME, NAME)?;
        fs::fsync(&self.0)
    }

    /// Renames the state file to `state.damaged`, which it replaces.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn quarantine(&self) -> Result<(), Errno> {
        self.rename(NAME, DAMAGED_NAME)
    }

    fn rename(&self, from: &CStr, to: &CStr) -> Result<(), Errno> {
        fs::renameat(&self.0, from, self.0.as_fd(), to)
    }
}

fn open(path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::openat(CWD, path, flags | NONBLOCK, Mode::empty())
}

fn read<'b>(file: &OwnedFd, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let read = rustix::io::read(file, &mut *buffer)?;
    Ok(buffer.get(..read).unwrap_or_default())
}

/// Reads the id of this boot from the file at `path`: one line of text. The kernel
/// has it in `/proc/sys/kernel/random/boot_id`.
///
/// # Errors
///
/// The kernel's error, or `INVAL` if the file does not hold a line of text.
pub fn boot_id(path: &CStr) -> Result<Text, Errno> {
    let mut buffer = [0; STRING_MAX];
    let line = read(&open(path, OFlags::empty())?, &mut buffer)?.trim_ascii();
    let id = str::from_utf8(line).unwrap_or_default();
    if id.is_empty() || !is_plain(id) { Err(Errno::INVAL) } else { Ok(copy(id)) }
}

#[cfg(test)]
mod tests;
