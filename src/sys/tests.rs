//! Helpers for the tests of this room.

extern crate std;
use core::time::Duration;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use std::vec::Vec;
use std::{env, format, fs, process};

pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

/// The real clock.
pub(super) fn clock() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// The two ends of a connection.
pub(super) fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
}

/// Reads everything until the other end is closed.
pub(super) fn read_all(from: &OwnedFd) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 1000];
    loop {
        match rustix::io::read(from, &mut buffer).unwrap() {
            0 => return all,
            length => all.extend_from_slice(&buffer[..length]),
        }
    }
}

/// A directory for one test. It is removed with this.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The path of a socket must be short, so this is not below the target directory.
        let path = env::temp_dir().join(format!("br-sys-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The path of `name` in the directory, or of the directory if it is empty.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }

    pub(super) fn c_path(&self, name: &str) -> CString {
        CString::new(self.path(name).as_os_str().as_bytes()).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
