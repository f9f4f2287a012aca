//! The listening socket.

use crate::connection::Connection;
use crate::shared::{Shared, at};
use std::fs;
use std::io::{self, Error, ErrorKind};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The longest path a Unix socket can have, in bytes.
const PATH_LIMIT: usize = 107;

/// A thread that accepts connections on one socket.
pub(crate) struct Listening {
    /// The listening socket. The standard library only shuts down streams.
    pub(crate) socket: UnixStream,
    pub(crate) thread: JoinHandle<()>,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Listening {
    /// Refuses connections from now on.
    pub(crate) fn stop(self) {
        // Closing the socket is not enough. A child process that another thread
        // starts has a copy of it until it executes its program, and the kernel
        // goes on to accept connections. This also wakes the thread.
        let _ = self.socket.shutdown(Shutdown::Both);
        let _ = self.thread.join();
    }
}

/// Makes sure that a socket can be created at this path.
pub(crate) fn make_room(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().as_bytes().len();
    if length > PATH_LIMIT {
        let message =
            format!("a socket's path may have {PATH_LIMIT} bytes, but this one has {length}");
        return Err(Error::new(ErrorKind::InvalidInput, at(path, &message)));
    }
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        let message = at(path, "exists and is not a socket");
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => {
            let message = at(path, "somebody else listens on this socket");
            Err(Error::new(ErrorKind::AddrInUse, message))
        }
    }
}

pub(crate) fn accept(shared: &Arc<Shared>, listener: &UnixListener) {
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
            // Out of file descriptors, most likely: some will come free.
            Err(_) => {
                if !shared.pause(Duration::from_millis(10)) {
                    return;
                }
            }
        }
    }
}
