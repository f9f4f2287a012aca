//! The links through which the API's socket is mounted.
//!
//! If a container starts while the socket is missing, the container runtime creates the
//! missing source of the mount, as a directory. The API server cannot create its socket
//! where a directory is, so it stays down until somebody removes the directory. The type
//! `Socket` of a mount prevents that when a pod starts, and not when its container
//! starts again.
//!
//! The runtime follows a link, and creates nothing in place of one that leads nowhere: it
//! fails, and tries again later. So links are the sources of the mounts. They are in a
//! directory that only root may write to, because whoever changes one chooses what is
//! mounted.
//!
//! The link for the updater always leads to the socket. The one for the gate leads there
//! only if there is a record of a reboot, because only then the gate may need the API.
//! Otherwise it leads to a file that every host has: Kured starts only after the gate,
//! also on a node whose API is unavailable.

use crate::PATH_MAX;
use crate::directory::Directory;
use crate::start::STDOUT;
use bottlerocket_updater::install::{
    Failure, NEW_SOCKET_LINK, NEW_UPDATER_LINK, NO_SOCKET, RECORD, RECORD_DIRECTORY, Role,
    SOCKET_LINK, UPDATER_LINK,
};
use bottlerocket_updater::sys::stdio::write_line;
use core::ffi::CStr;
use rustix::fs::{AtFlags, fsync, readlinkat_raw, renameat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

/// The API's socket on every node.
const SOCKET: &CStr = bottlerocket_updater::sys::client::DEFAULT_SOCKET;

/// Creates the updater's link in the directory at `path`, or replaces what is there.
pub fn create_for_updater(path: &[u8]) -> Result<(), Failure<'_>> {
    let directory = Directory::open(path, Role::Target)?.into_writable()?;
    directory.protect()?;
    place(&directory, SOCKET, UPDATER_LINK, NEW_UPDATER_LINK)
}

/// Creates the gate's link in the directory of the record, or replaces what is there.
pub fn create_for_gate<'a>(programs: &Directory<'a>, socket: &CStr) -> Result<(), Failure<'a>> {
    let Some(directory) = programs.open_inner(RECORD_DIRECTORY)? else {
        return Err(programs.failure("open directory", RECORD_DIRECTORY, Errno::NOENT));
    };
    directory.protect()?;
    let target = match statat(&directory.fd, RECORD, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => socket,
        Err(Errno::NOENT) => NO_SOCKET,
        Err(errno) => return Err(directory.failure("look at", RECORD, errno)),
    };
    place(&directory, target, SOCKET_LINK, NEW_SOCKET_LINK)
}

/// Lets the link `name` lead to `target`. `new_name` is its name while it is made.
fn place<'a>(
    directory: &Directory<'a>,
    target: &CStr,
    name: &'static CStr,
    new_name: &'static CStr,
) -> Result<(), Failure<'a>> {
    let failed = |tried, name| move |errno: Errno| directory.failure(tried, name, errno);
    let mut found = [0; PATH_MAX];
    let found = match readlinkat_raw(&directory.fd, name, found.as_mut_slice()) {
        Ok(length) => found.get(..length).unwrap_or_default(),
        // Nothing, or no link: it is replaced.
        Err(_) => b"",
    };
    if found != target.to_bytes() {
        match unlinkat(&directory.fd, new_name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(directory.failure("remove", new_name, errno)),
        }
        symlinkat(target, &directory.fd, new_name).map_err(failed("create", new_name))?;
        renameat(&directory.fd, new_name, &directory.fd, name).map_err(failed("replace", name))?;
        fsync(&directory.fd).map_err(failed("sync directory", c""))?;
    }
    write_line!(STDOUT, directory.path(name), " leads to ", target);
    Ok(())
}
