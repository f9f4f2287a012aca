//! Small files: the updater's state file, in a directory that outlives the container,
//! the record of a reboot, and the boot id.
//!
//! A file is written whole under another name, flushed to the disk, and renamed. So
//! there is always the old file or the new one, unless another process writes it too.
//! Nothing here waits, whatever kind of file is in its place.

use crate::api::document::STRING_MAX;
use crate::api::status::{Text, copy};
use crate::text::excerpt::is_plain;
use core::ffi::CStr;
use core::str;
use heapless::Vec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, CWD, Gid, Mode, OFlags};
use rustix::io::Errno;

/// The name of the state file.
const NAME: &CStr = c"state";
/// Its name while it is written.
const NEW_NAME: &CStr = c"state.new";
/// Its name after [`Store::quarantine`].
const DAMAGED_NAME: &CStr = c"state.damaged";

/// The end of the name of another file while it is written.
const NEW: &[u8] = b".new";
/// The longest path that is put together, in bytes, with the NUL at its end.
const PATH_MAX: usize = 260;

/// The group of the API's socket. Its members may read the files here.
const API_GROUP: u32 = 274;
/// The mode of the files: their owner may write them, and their group may read them.
const FILE_MODE: Mode = Mode::from_bits_retain(0o640);
/// The mode of a directory that [`replace`] creates.
const DIRECTORY_MODE: Mode = Mode::from_bits_retain(0o755);

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
        let file = create(&self.0, NEW_NAME)?;
        write(&file, text)?;
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

/// Reads the file at `path`, at most as many bytes as fit into `buffer`. `None` if there
/// is no such file.
///
/// # Errors
///
/// The kernel's error: `LOOP` if it is a link, `ISDIR` if it is a directory.
pub fn load<'b>(path: &CStr, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, Errno> {
    match open(path, OFlags::NOFOLLOW) {
        Ok(file) => read(&file, buffer).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What identifies one version of a file. It differs after the file was replaced or
/// changed, even if the contents are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    /// When the file was changed last: seconds and nanoseconds of the wall clock.
    changed: (i64, u64),
}

#[cfg(test)]
impl Stamp {
    /// The stamp of a file with this inode.
    pub fn of_inode(inode: u64) -> Self {
        Self { inode, ..Self::default() }
    }
}

/// Like [`load`], and the stamp of the file.
///
/// # Errors
///
/// As those of [`load`].
pub fn load_stamped<'b>(
    path: &CStr,
    buffer: &'b mut [u8],
) -> Result<Option<(&'b [u8], Stamp)>, Errno> {
    let file = match open(path, OFlags::NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        file => file?,
    };
    let stat = fs::fstat(&file)?;
    let stamp = Stamp { inode: stat.st_ino, changed: (stat.st_ctime, stat.st_ctime_nsec) };
    Ok(Some((read(&file, buffer)?, stamp)))
}

/// Replaces the file at `path`, or creates it. If that fails, the old one stays. The
/// directory is created if it is missing; the one above it must exist. The path has at
/// most 255 bytes.
///
/// # Errors
///
/// The kernel's error.
pub fn replace(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let (directory, new) =
        (PathBuffer::directory_of(path)?, PathBuffer::new(&[path.to_bytes(), NEW])?);
    let (directory, new) = (directory.as_c_str(), new.as_c_str());
    let is_new = match fs::mkdir(directory, DIRECTORY_MODE) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(errno),
    };
    let directory = open(directory, OFlags::DIRECTORY)?;
    if is_new {
        // The umask may have taken some of it away.
        fs::fchmod(&directory, DIRECTORY_MODE)?;
    }
    let file = create(CWD, new)?;
    // Only root and members of the group can do that. If it fails, the group cannot read
    // the file, and root can.
    let _ = fs::fchown(&file, None, Some(Gid::from_raw(API_GROUP)));
    fs::fchmod(&file, FILE_MODE)?;
    write(&file, text)?;
    fs::renameat(CWD, new, CWD, path)?;
    fs::fsync(&directory)
}

/// Removes the file at `path`, for good. Returns whether there was one.
///
/// # Errors
///
/// The kernel's error.
pub fn remove(path: &CStr) -> Result<bool, Errno> {
    match fs::unlinkat(CWD, path, AtFlags::empty()) {
        Err(Errno::NOENT) => return Ok(false),
        removed => removed?,
    }
    fs::fsync(open(PathBuffer::directory_of(path)?.as_c_str(), OFlags::DIRECTORY)?)?;
    Ok(true)
}

/// A path that is put together.
struct PathBuffer(Vec<u8, PATH_MAX>);

impl PathBuffer {
    fn new(parts: &[&[u8]]) -> Result<Self, Errno> {
        let mut path = Vec::new();
        for part in parts.iter().chain(&[b"\0".as_slice()]) {
            path.extend_from_slice(part).map_err(|_| Errno::NAMETOOLONG)?;
        }
        Ok(Self(path))
    }

    /// The path of the directory that contains the file at `path`.
    fn directory_of(path: &CStr) -> Result<Self, Errno> {
        let path = path.to_bytes();
        match path.iter().rposition(|byte| *byte == b'/') {
            None => Self::new(&[b"."]),
            // The root directory keeps its slash.
            Some(slash) => Self::new(&[path.get(..slash.max(1)).unwrap_or_default()]),
        }
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// Creates an empty file in `directory`, or empties the one that is left of an earlier
/// attempt.
fn create(directory: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    fs::openat(directory, name, flags | NONBLOCK, FILE_MODE)
}

/// Writes a whole file, and flushes it to the disk.
fn write(file: &OwnedFd, text: &[u8]) -> Result<(), Errno> {
    // The kernel writes so few bytes at once, unless the disk is full.
    if rustix::io::write(file, text)? < text.len() {
        return Err(Errno::NOSPC);
    }
    fs::fsync(file)
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
