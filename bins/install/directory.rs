//! A directory of the host, which only root and the user of this program can change.

use crate::start::STDOUT;
use bottlerocket_updater::install::{Cause, Failure, Found, Path, Role};
use bottlerocket_updater::sys::deadline::pause;
use bottlerocket_updater::sys::stdio::write_line;
use core::ffi::CStr;
use core::time::Duration;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, fsync,
    mkdirat, openat, statat,
};
use rustix::io::{self, Errno};
use rustix::process::geteuid;

/// The mode of programs and directories: everybody can use them, and only the
/// owner can change them.
pub const MODE: Mode = Mode::from_bits_retain(0o755);

/// The write permissions of users other than the owner.
const WRITE_BY_OTHERS: Mode = Mode::WGRP.union(Mode::WOTH);

/// An install takes milliseconds. If another one holds the lock for 10 seconds, it
/// is stopped or its disk hangs, and this one would hang too.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Opens a directory only to look up names in it, which needs no permission to
/// list it.
pub const DIRECTORY_PATH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory so that it can be locked and synced.
pub const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// An open directory.
pub struct Directory<'a> {
    pub fd: OwnedFd,
    /// The path by which it was opened.
    path: &'a [u8],
    /// The name below that path. Empty for the directory at the path itself.
    inner: &'static CStr,
    role: Role,
    /// Whether this program has just created it.
    pub is_new: bool,
}

impl<'a> Directory<'a> {
    /// Opens a directory one component at a time, so that the path can have any
    /// length. Missing directories are created on the way, and links are followed, as
    /// far as the role allows it.
    pub fn open(path: &'a [u8], role: Role) -> Result<Self, Failure<'a>> {
        let failed = |tried, directory, cause: Cause| Failure {
            tried,
            path: Path { directory, inner: c"", name: c"" },
            role,
            cause,
        };
        let start = if path.starts_with(b"/") { c"/" } else { c"." };
        let mut fd = openat(CWD, start, DIRECTORY_PATH, Mode::empty())
            .map_err(|errno| failed("open", start.to_bytes(), errno.into()))?;
        let flags = match role.may_be_link() {
            true => DIRECTORY_PATH,
            false => DIRECTORY_PATH.union(OFlags::NOFOLLOW),
        };
        let mut is_new = false;
        let mut end = 0;
        for component in path.split_inclusive(|byte| *byte == b'/') {
            end += component.len();
            let name = component.strip_suffix(b"/").unwrap_or(component);
            if name.is_empty() {
                continue;
            }
            let so_far = path.get(..end).unwrap_or(path);
            let mut next = openat(&fd, name, flags, Mode::empty());
            is_new = role.is_created() && matches!(next, Err(Errno::NOENT));
            if is_new {
                create_directory(&fd, name)
                    .map_err(|errno| failed("create directory", so_far, errno.into()))?;
                next = openat(&fd, name, flags, Mode::empty());
            }
            fd = next
                .map_err(|errno| failed("open directory", so_far, not_opened(&fd, name, errno)))?;
        }
        Ok(Self { fd, path, inner: c"", role, is_new })
    }

    /// Opens the directory again, so that it can be read, synced and changed.
    pub fn into_writable(self) -> Result<Self, Failure<'a>> {
        let fd = openat(&self.fd, c".", DIRECTORY, Mode::empty())
            .map_err(|errno| self.failure("open directory", c"", errno))?;
        Ok(Self { fd, ..self })
    }

    /// Opens the directory `name` in this one, or creates it if the role allows it. `None`
    /// if there is none. A link is not followed.
    pub fn open_inner(&self, name: &'static CStr) -> Result<Option<Self>, Failure<'a>> {
        let flags = DIRECTORY.union(OFlags::NOFOLLOW);
        let mut opened = openat(&self.fd, name, flags, Mode::empty());
        let is_new = self.role.is_created() && matches!(opened, Err(Errno::NOENT));
        if is_new {
            create_directory(&self.fd, name.to_bytes())
                .map_err(|errno| self.failure("create directory", name, errno))?;
            opened = openat(&self.fd, name, flags, Mode::empty());
        }
        match opened {
            Ok(fd) => Ok(Some(Self { fd, inner: name, is_new, ..*self })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                let cause = not_opened(&self.fd, name.to_bytes(), errno);
                Err(self.failure("open directory", name, cause))
            }
        }
    }

    /// Locks the directory until this process ends, so that no other install
    /// changes it.
    pub fn lock(self) -> Result<Self, Failure<'a>> {
        let failed = |errno: Errno| self.failure("lock directory", c"", errno);
        let fd = openat(&self.fd, c".", DIRECTORY, Mode::empty()).map_err(failed)?;
        for _ in 0..LOCK_TRIES {
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { fd, ..self }),
                Err(Errno::WOULDBLOCK) => pause(LOCK_PAUSE),
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(self.failure("lock directory", c"", Cause::Locked))
    }

    /// Makes sure that only root and this user can replace the files in the
    /// directory: removes the write permissions of others, or fails if another user
    /// owns the directory or it is meant for all users.
    pub fn protect(&self) -> Result<(), Failure<'a>> {
        let tried = "use directory";
        let stat = fstat(&self.fd).map_err(|errno| self.failure(tried, c"", errno))?;
        if !is_owner_trusted(&stat) {
            return Err(self.failure(tried, c"", Cause::ForeignOwner));
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        if !mode.intersects(WRITE_BY_OTHERS) {
            return Ok(());
        }
        if mode.contains(Mode::SVTX) {
            return Err(self.failure(tried, c"", Cause::Shared));
        }
        fchmod(&self.fd, mode.difference(WRITE_BY_OTHERS))
            .map_err(|errno| self.failure("set the mode of", c"", errno))?;
        write_line!(STDOUT, Found::WrongMode.action(), " ", self.path(c""));
        Ok(())
    }

    /// The path of the file `name`, or of the directory if `name` is empty.
    pub fn path(&self, name: &'static CStr) -> Path<'a> {
        Path { directory: self.path, inner: self.inner, name }
    }

    /// What was `tried` with the file `name`, or with the directory if `name` is
    /// empty, and failed.
    pub fn failure(
        &self,
        tried: &'static str,
        name: &'static CStr,
        cause: impl Into<Cause>,
    ) -> Failure<'a> {
        Failure { tried, path: self.path(name), role: self.role, cause: cause.into() }
    }
}

/// Why the directory `name` could not be opened: the kernel has one error for a link that
/// must not be followed and for a file.
fn not_opened(parent: &OwnedFd, name: &[u8], errno: Errno) -> Cause {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if errno == Errno::NOTDIR && is_kind(&stat, FileType::Symlink) => Cause::Link,
        _ => errno.into(),
    }
}

/// Whether a file is of this kind.
pub fn is_kind(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// Whether root or the user of this program owns a file.
pub fn is_owner_trusted(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == geteuid().as_raw()
}

/// Creates a directory and syncs it to disk.
fn create_directory(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match mkdirat(parent, name, MODE) {
        // Another install may have just created it, and not synced it yet.
        Ok(()) | Err(Errno::EXIST) => fsync(openat(parent, c".", DIRECTORY, Mode::empty())?),
        Err(errno) => Err(errno),
    }
}
