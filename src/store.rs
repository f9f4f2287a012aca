//! The file that keeps what outlives a boot, in a directory that outlives the
//! container.
//!
//! It is written whole under another name, flushed, and renamed: at every moment
//! there is the old one or the new one. Nothing here waits, whatever kind of file
//! somebody has put there.

use crate::status::Text;
use core::ffi::CStr;
use heapless::Vec;
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
    pub fn open(directory: &[u8]) -> Result<Self, Errno> {
        fs::open(directory, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map(Self)
    }

    /// Reads the file: at most `N` bytes of it, none if there is no file.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn load<const N: usize>(&self) -> Result<Vec<u8, N>, Errno> {
        let mut text = Vec::new();
        let file = match fs::openat(&self.0, NAME, READ | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(text),
            file => file?,
        };
        let mut buffer = [0; 256];
        loop {
            let read = match rustix::io::read(&file, &mut buffer) {
                Err(Errno::INTR) => continue,
                read => read?,
            };
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() || text.extend_from_slice(bytes).is_err() {
                return Ok(text);
            }
        }
    }

    /// Writes the file. If that does not work, the old one stays.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn save(&self, mut text: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&self.0, NEW_NAME, flags, Mode::from_raw_mode(0o600))?;
        while !text.is_empty() {
            match rustix::io::write(&file, text) {
                Ok(0) => return Err(Errno::IO),
                Ok(written) => text = text.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
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
    pub fn set_aside(&self) -> Result<(), Errno> {
        self.rename(NAME, DAMAGED_NAME)
    }

    fn rename(&self, from: &CStr, to: &CStr) -> Result<(), Errno> {
        fs::renameat(&self.0, from, self.0.as_fd(), to)
    }
}

/// For reading without waiting, even if it is no ordinary file.
const READ: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC);

/// Reads the boot id from the file at `path`, which is one line.
///
/// # Errors
///
/// The kernel's, or `INVAL` if there is none in the file.
pub fn boot_id(path: &[u8]) -> Result<Text, Errno> {
    let file = fs::openat(CWD, path, READ, Mode::empty())?;
    let mut buffer = [0; 64];
    let read = rustix::io::read(&file, &mut buffer)?;
    let mut id = Text::new();
    for byte in buffer.into_iter().take(read) {
        // The others are the end of the line.
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            let _ = id.push(byte.into());
        }
    }
    if id.is_empty() { Err(Errno::INVAL) } else { Ok(id) }
}
