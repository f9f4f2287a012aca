//! A program that is copied: found, compared with what is there, and replaced.

use crate::directory::{Directory, MODE, is_owner_trusted};
use bottlerocket_updater::install::{Cause, Failure, Found};
use core::ffi::CStr;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, fchmod, fsync, openat, renameat, statat, unlinkat,
};
use rustix::io::{self, Errno, pread, write};

/// The mode of a program while it is written: nobody can run it.
const UNFINISHED_MODE: Mode = Mode::from_bits_retain(0o600);

/// The largest program that is accepted, in bytes. Our programs are far smaller, so
/// a larger file is something else.
const SIZE_MAX: u64 = 16 << 20;

/// How many bytes are read at once.
const CHUNK: usize = 16 << 10;

/// Opens a file to read it. The call does not block if the file is a pipe.
const READ: OFlags = OFlags::NONBLOCK.union(OFlags::CLOEXEC);

/// Creates a file, and fails if the name exists, even as a link.
const CREATE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

/// A program to install.
pub struct Program<'d, 'a> {
    pub name: &'static CStr,
    /// Its name while it is written.
    temporary: &'static CStr,
    from: &'d Directory<'a>,
    file: OwnedFd,
    size: u64,
}

impl<'d, 'a> Program<'d, 'a> {
    /// Opens a program, if the file can be one.
    pub fn find(
        from: &'d Directory<'a>,
        (name, temporary): (&'static CStr, &'static CStr),
    ) -> Result<Self, Failure<'a>> {
        let failed = |errno: Errno| from.failure("use", name, errno);
        let stat = statat(&from.fd, name, AtFlags::empty()).map_err(failed)?;
        let cause = match u64::try_from(stat.st_size).unwrap_or_default() {
            _ if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                Cause::NotRegular
            }
            0 => Cause::Empty,
            size @ 1..=SIZE_MAX => {
                let file = openat(&from.fd, name, READ, Mode::empty()).map_err(failed)?;
                return Ok(Self { name, temporary, from, file, size });
            }
            _ => Cause::TooLarge,
        };
        Err(from.failure("use", name, cause))
    }

    /// Removes the temporary file of an install that did not finish.
    pub fn remove_leftover(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        match unlinkat(&into.fd, self.temporary, AtFlags::empty()) {
            // On a read-only file system this is the error even if there is no such
            // file. It does no harm if the programs are already installed.
            Ok(()) | Err(Errno::NOENT | Errno::ROFS) => Ok(()),
            Err(errno) => Err(into.failure("remove", self.temporary, errno)),
        }
    }

    /// Compares the program with what has its name in the target directory.
    pub fn compare(&self, into: &Directory<'a>) -> Result<Found, Failure<'a>> {
        let failed = |errno: Errno| into.failure("replace", self.name, errno);
        let stat = match statat(&into.fd, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(errno) => return Err(failed(errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if u64::try_from(stat.st_size) == Ok(self.size) => {}
            FileType::Directory => return Err(failed(Errno::ISDIR)),
            _ => return Ok(Found::Other),
        }
        let flags = READ.union(OFlags::NOFOLLOW);
        // A file that cannot be read is replaced like any other file.
        let Ok(file) = openat(&into.fd, self.name, flags, Mode::empty()) else {
            return Ok(Found::Other);
        };
        let (mut ours, mut theirs) = ([0; CHUNK], [0; CHUNK]);
        let mut at = 0;
        // Ends: each turn gets closer to the size, which does not change.
        while at < self.size {
            let ours = self.read(&mut ours, at)?;
            let read = pread(&file, theirs.as_mut_slice(), at).unwrap_or_default();
            if ours.is_empty() || theirs.get(..read) != Some(ours) {
                return Ok(Found::Other);
            }
            at += ours.len() as u64;
        }
        match Mode::from_raw_mode(stat.st_mode) {
            _ if !is_owner_trusted(&stat) => Ok(Found::WrongOwner),
            MODE => Ok(Found::Same),
            _ => Ok(Found::WrongMode),
        }
    }

    /// Replaces what has the program's name in the target directory.
    pub fn replace(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        let replaced = self.write(into).and_then(|()| {
            renameat(&into.fd, self.temporary, &into.fd, self.name)
                .map_err(|errno| into.failure("replace", self.name, errno))
        });
        if replaced.is_err() {
            // If this fails too, the next install removes the file.
            let _ = unlinkat(&into.fd, self.temporary, AtFlags::empty());
        }
        replaced?;
        fsync(&into.fd).map_err(|errno| into.failure("sync directory", c"", errno))
    }

    /// Writes the whole program under its temporary name and syncs it to disk.
    fn write(&self, into: &Directory<'a>) -> Result<(), Failure<'a>> {
        let failed = |tried, errno: Errno| into.failure(tried, self.temporary, errno);
        let file = openat(&into.fd, self.temporary, CREATE, UNFINISHED_MODE)
            .map_err(|errno| failed("create", errno))?;
        let mut chunk = [0; CHUNK];
        let mut at = 0;
        // Ends: each turn gets closer to the size, or reads nothing more.
        while at <= self.size {
            let read = self.read(&mut chunk, at)?;
            if read.is_empty() {
                break;
            }
            write_whole(&file, read).map_err(|errno| failed("write", errno))?;
            at += read.len() as u64;
        }
        if at != self.size {
            return Err(self.from.failure("read", self.name, Cause::Changed));
        }
        fchmod(&file, MODE).map_err(|errno| failed("set the mode of", errno))?;
        fsync(&file).map_err(|errno| failed("sync", errno))
    }

    /// Reads bytes of the program from the offset `at`, as many as there are and
    /// fit.
    fn read<'b>(&self, chunk: &'b mut [u8; CHUNK], at: u64) -> Result<&'b [u8], Failure<'a>> {
        let read = pread(&self.file, chunk.as_mut_slice(), at)
            .map_err(|errno| self.from.failure("read", self.name, errno))?;
        Ok(chunk.get(..read).unwrap_or_default())
    }
}

/// Writes all of `bytes`.
fn write_whole(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    // Ends: each turn writes a part of the rest.
    while !bytes.is_empty() {
        match write(file, bytes)? {
            0 => return Err(Errno::IO),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}
