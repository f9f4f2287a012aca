//! Removes what this project has created on a host, and nothing else.

use crate::directory::{DIRECTORY, Directory, is_kind};
use crate::start::{STDOUT, complain};
use bottlerocket_updater::install::{
    Cause, Failure, FoundName, OwnFile, RECORD_DIRECTORY, RECORD_FILES, Role, is_own,
};
use bottlerocket_updater::sys::stdio::write_line;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, fsync, openat, statat, unlinkat};
use rustix::io::{self, Errno};

/// How many names of a directory are read at once, in bytes.
const NAMES: usize = 4096;

/// How many files of others are named. The rest is not.
const NAMED_MAX: usize = 10;

/// Removes `files` from the directory at `path`, the directory of the record if it is
/// there, and the directory itself if nothing else is in it. Does nothing if `path` is
/// empty. Returns `false` if something failed: that is told, and does not prevent the
/// rest.
pub fn remove(path: &[u8], files: &[OwnFile]) -> bool {
    if path.is_empty() {
        return true;
    }
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let trimmed = path.get(..end).unwrap_or_default();
    let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (parent, name) = trimmed.split_at_checked(start).unwrap_or_default();
    let parent = if parent.is_empty() && path.starts_with(b"/") { b"/" } else { parent };

    let opened = Directory::open(parent, Role::Removed)
        .and_then(|parent| Ok((parent, Directory::open(path, Role::Removed)?.lock()?)));
    let (parent, directory) = match opened {
        Ok(opened) => opened,
        Err(Failure { cause: Cause::Errno(Errno::NOENT), .. }) => {
            write_line!(STDOUT, "there is no ", FoundName(trimmed));
            return true;
        }
        Err(failure) => {
            complain(&[&failure]);
            return false;
        }
    };
    let inner = match directory.open_inner(RECORD_DIRECTORY) {
        Ok(None) => true,
        Ok(Some(inner)) => {
            let removed = remove_files(&inner, RECORD_FILES);
            remove_directory(&inner, &directory.fd, RECORD_DIRECTORY.to_bytes(), RECORD_FILES)
                && removed
        }
        Err(failure) => {
            complain(&[&failure]);
            false
        }
    };
    let removed = remove_files(&directory, files);
    remove_directory(&directory, &parent.fd, name, files) && removed && inner
}

/// Removes the files of this project from a directory. Returns `false` if that failed.
fn remove_files(directory: &Directory, files: &[OwnFile]) -> bool {
    let mut is_done = true;
    for file in files {
        let removed = match statat(&directory.fd, file.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if !is_kind(&stat, file.kind) => {
                write_line!(
                    STDOUT,
                    "left ",
                    directory.path(file.name),
                    ": it is another kind of file than this project creates"
                );
                continue;
            }
            Ok(_) => unlinkat(&directory.fd, file.name, AtFlags::empty()),
            Err(errno) => Err(errno),
        };
        match removed {
            Ok(()) => write_line!(STDOUT, "removed ", directory.path(file.name)),
            Err(Errno::NOENT) => {}
            Err(errno) => {
                complain(&[&directory.failure("remove", file.name, errno)]);
                is_done = false;
            }
        }
    }
    is_done
}

/// Removes a directory, whose name in its parent is `name`, or tells what else is in it.
/// Returns `false` if something failed.
fn remove_directory(
    directory: &Directory,
    parent: &OwnedFd,
    name: &[u8],
    files: &[OwnFile],
) -> bool {
    let removed = unlinkat(parent, name, AtFlags::REMOVEDIR)
        .and_then(|()| fsync(openat(parent, c".", DIRECTORY, Mode::empty())?));
    match removed {
        Ok(()) => {
            write_line!(STDOUT, "removed ", directory.path(c""));
            true
        }
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            let listed = for_each_foreign(&directory.fd, files, |name| {
                let path = directory.path(c"");
                write_line!(STDOUT, "left ", path, "/", FoundName(name), ": not of this project");
            });
            write_line!(STDOUT, "left ", directory.path(c""), ": not empty");
            match listed {
                Ok(()) => true,
                Err(errno) => {
                    complain(&[&directory.failure("list directory", c"", errno)]);
                    false
                }
            }
        }
        Err(errno) => {
            complain(&[&directory.failure("remove directory", c"", errno)]);
            false
        }
    }
}

/// Whether a directory contains anything else than `files`.
pub fn has_foreign(directory: &OwnedFd, files: &[OwnFile]) -> io::Result<bool> {
    let mut found = false;
    for_each_foreign(directory, files, |_| found = true)?;
    Ok(found)
}

/// Calls `visit` with the names in a directory that are not among `files`: with the first
/// ten of them.
fn for_each_foreign(
    directory: &OwnedFd,
    files: &[OwnFile],
    mut visit: impl FnMut(&[u8]),
) -> io::Result<()> {
    // Another descriptor, because reading the names moves its position.
    let directory = openat(directory, c".", DIRECTORY.union(OFlags::NOFOLLOW), Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); NAMES];
    let mut names = RawDir::new(directory, &mut buffer);
    let mut named = 0;
    // Ends: when all names were read, or some of others. Each turn reads one name.
    while let Some(entry) = names.next()
        && named < NAMED_MAX
    {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        let name = name.to_bytes();
        if name != b"." && name != b".." && !is_own(name, files) {
            visit(name);
            named += 1;
        }
    }
    Ok(())
}
