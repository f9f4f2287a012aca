//! The listening socket, and the thread that accepts connections.

use crate::connection::Connection;
use crate::disk::with_suffix;
use crate::shared::{Shared, at};
use std::fs::{self, Permissions};
use std::io::{self, Error, ErrorKind};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The longest path of a Unix socket, in bytes.
const PATH_LIMIT: usize = 107;

/// A listening socket, and the thread that accepts its connections.
pub(crate) struct Listener {
    path: PathBuf,
    /// The socket, as a stream: the standard library only shuts down streams.
    socket: UnixStream,
    thread: JoinHandle<()>,
    /// The device and the inode of the socket file.
    file: (u64, u64),
}

impl Listener {
    /// Creates a socket at this path and accepts connections. A stale socket of an earlier
    /// listener is replaced at once, so that there is a file at the path all the time.
    pub(crate) fn start(
        path: &Path,
        group: Option<u32>,
        shared: Arc<Shared>,
    ) -> io::Result<Listener> {
        let named = |error: Error| Error::new(error.kind(), at(path, &error.to_string()));
        let new = with_suffix(path, ".new");
        let replaces = fs::symlink_metadata(path).is_ok() && new.as_os_str().len() <= PATH_LIMIT;
        let bound = if replaces { &new } else { path };
        let listener = UnixListener::bind(bound).map_err(named)?;
        if group.is_some() {
            chown(bound, None, group).map_err(named)?;
        }
        fs::set_permissions(bound, Permissions::from_mode(0o660)).map_err(named)?;
        if replaces {
            fs::rename(bound, path).map_err(named)?;
        }
        let metadata = fs::symlink_metadata(path).map_err(named)?;
        let socket = UnixStream::from(OwnedFd::from(listener.try_clone().map_err(named)?));
        let thread = thread::spawn(move || accept(&shared, &listener));
        let file = (metadata.dev(), metadata.ino());
        Ok(Listener { path: path.into(), socket, thread, file })
    }

    /// Whether the socket file at the path is still the one of this socket.
    pub(crate) fn has_its_file(&self) -> bool {
        fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file)
    }

    /// Refuses connections from now on.
    pub(crate) fn stop(self) {
        // Closing the socket is not enough: a child process that another thread starts
        // has a copy of it until it executes its program, and the kernel goes on to
        // accept connections. The shutdown also wakes the thread.
        let _ = self.socket.shutdown(Shutdown::Both);
        let _ = self.thread.join();
    }
}

/// Checks that a socket can be created at this path, and removes a stale one. It also
/// removes an empty directory: a container runtime creates one in place of a file that is
/// missing when it mounts that.
pub(crate) fn make_room(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().as_bytes().len();
    if length > PATH_LIMIT {
        let message = format!("the path has {length} bytes, but a socket allows {PATH_LIMIT}");
        return Err(Error::new(ErrorKind::InvalidInput, at(path, &message)));
    }
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if metadata.is_dir() && fs::remove_dir(path).is_ok() {
        return Ok(());
    }
    if !metadata.file_type().is_socket() {
        let message = at(path, "exists, but is not a socket");
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => {
            let message = at(path, "another process listens on this socket");
            Err(Error::new(ErrorKind::AddrInUse, message))
        }
    }
}

/// Accepts connections until the socket is shut down.
fn accept(shared: &Arc<Shared>, listener: &UnixListener) {
    for stream in listener.incoming() {
        match stream.and_then(|stream| Ok((stream.try_clone()?, stream))) {
            Ok((copy, stream)) => {
                let id = {
                    let mut inner = shared.inner();
                    inner.accepted += 1;
                    let id = inner.accepted;
                    inner.connections.insert(id, copy);
                    id
                };
                let connection =
                    Connection { shared: shared.clone(), id, stream, received: Vec::new() };
                thread::spawn(move || connection.serve());
            }
            // The socket has been shut down.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return,
            // Probably too many open files. Retry when some have been closed.
            Err(_) => {
                if !shared.pause(Duration::from_millis(10)) {
                    return;
                }
            }
        }
    }
}
