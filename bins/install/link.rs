//! The link through which the gate's socket is mounted.
//!
//! Kured starts only after the gate, also on a node whose API is unavailable, unless
//! there is a record of a reboot. A mount of the socket itself would prevent that. With
//! the type `Socket`, the pod waits for the socket. Without it, the container runtime
//! creates a missing source as a directory, and the API server cannot create its socket
//! where a directory is.
//!
//! The runtime follows a link, and creates nothing in place of one that leads nowhere: it
//! fails, and tries again later. So this link is the source of the mount. It leads to the
//! socket only if there is a record, because only then the gate may need the API.
//! Otherwise it leads to a file that every host has.

use crate::start::STDOUT;
use crate::{Directory, PATH_MAX};
use bottlerocket_updater::install::{
    Failure, NEW_SOCKET_LINK, NO_SOCKET, RECORD, RECORD_DIRECTORY, SOCKET_LINK,
};
use bottlerocket_updater::sys::stdio::write_line;
use core::ffi::CStr;
use rustix::fs::{AtFlags, fsync, readlinkat_raw, renameat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

/// Creates the link in the directory of the record, or replaces the one that is there.
pub fn create<'a>(programs: &Directory<'a>, socket: &CStr) -> Result<(), Failure<'a>> {
    let Some(directory) = programs.open_inner(RECORD_DIRECTORY)? else {
        return Err(programs.failure("open directory", RECORD_DIRECTORY, Errno::NOENT));
    };
    directory.protect()?;
    let directory = &directory;
    let failed = |tried, name| move |errno: Errno| directory.failure(tried, name, errno);
    let target = match statat(&directory.fd, RECORD, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => socket,
        Err(Errno::NOENT) => NO_SOCKET,
        Err(errno) => return Err(directory.failure("look at", RECORD, errno)),
    };
    let mut found = [0; PATH_MAX];
    let found = match readlinkat_raw(&directory.fd, SOCKET_LINK, found.as_mut_slice()) {
        Ok(length) => found.get(..length).unwrap_or_default(),
        // Nothing, or no link: it is replaced.
        Err(_) => b"",
    };
    if found != target.to_bytes() {
        match unlinkat(&directory.fd, NEW_SOCKET_LINK, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(directory.failure("remove", NEW_SOCKET_LINK, errno)),
        }
        symlinkat(target, &directory.fd, NEW_SOCKET_LINK)
            .map_err(failed("create", NEW_SOCKET_LINK))?;
        renameat(&directory.fd, NEW_SOCKET_LINK, &directory.fd, SOCKET_LINK)
            .map_err(failed("replace", SOCKET_LINK))?;
        fsync(&directory.fd).map_err(failed("sync directory", c""))?;
    }
    write_line!(STDOUT, directory.path(SOCKET_LINK), " leads to ", target);
    Ok(())
}
