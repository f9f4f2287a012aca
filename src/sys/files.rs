//! The file that keeps what outlives a boot, in a directory that outlives the
//! container.
//!
//! It is written whole under another name, flushed, and renamed: at every moment
//! there is the old one or the new one, unless somebody else writes it as well.
//! Nothing here waits, whatever kind of file somebody has put there.

use crate::api::document::STRING_MAX;
use crate::api::status::{Text, copy};
use crate::text::excerpt::is_plain;
use core::ffi::CStr;
use core::str;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;

/// The file's name.
const NAME: &CStr = c"state";
/// The name while it is written.
const NEW_NAME: &CStr = c"state.new";
/// The name of a file that was of no use.
const DAMAGED_NAME: &CStr = c"state.damaged";

/// The directory of the file.
pub struct Store(OwnedFd);

impl Store {
    /// The directory at a path, which is there.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn open(directory: &CStr) -> Result<Self, Errno> {
        open(directory, OFlags::DIRECTORY).map(Self)
    }

    /// Reads the file: at most as much as `buffer` has room for.
    ///
    /// # Errors
    ///
    /// The kernel's: `NOENT` if there is none.
    pub fn load<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        read(&fs::openat(&self.0, NAME, READ | OFlags::NOFOLLOW, Mode::empty())?, buffer)
    }

    /// Writes the file. If that does not work, the old one stays.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn save(&self, text: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let file = fs::openat(&self.0, NEW_NAME, flags | READ, Mode::from_raw_mode(0o600))?;
        // The kernel takes so little at once, or there is no room.
        if rustix::io::write(&file, text)? < text.len() {
            return Err(Errno::NOSPC);
        }
        fs::fsync(&file)?;
        self.rename(NEW_NAME, NAME)?;
        fs::fsync(&self.0)
    }

    /// Gives a file that is of no use the name `state.damaged`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn quarantine(&self) -> Result<(), Errno> {
        self.rename(NAME, DAMAGED_NAME)
    }

    #[inline(never)]
    fn rename(&self, from: &CStr, to: &CStr) -> Result<(), Errno> {
        fs::renameat(&self.0, from, self.0.as_fd(), to)
    }
}

/// For not waiting, even if it is no ordinary file.
const READ: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC);

#[inline(never)]
fn open(path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::openat(CWD, path, flags | READ, Mode::empty())
}

#[inline(never)]
fn read<'b>(file: &OwnedFd, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let read = rustix::io::read(file, &mut *buffer)?;
    Ok(buffer.get(..read).unwrap_or_default())
}

/// Reads the boot id from the file at `path`, which is one line.
///
/// # Errors
///
/// The kernel's, or `INVAL` if there is none in the file.
pub fn boot_id(path: &CStr) -> Result<Text, Errno> {
    let mut buffer = [0; STRING_MAX];
    let line = read(&open(path, OFlags::empty())?, &mut buffer)?.trim_ascii();
    let id = str::from_utf8(line).unwrap_or_default();
    if id.is_empty() || !is_plain(id) { Err(Errno::INVAL) } else { Ok(copy(id)) }
}

#[cfg(test)]
mod tests;
