//! What the tests of this room share.

extern crate std;
use core::time::Duration;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::vec::Vec;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// Two ends of a connection.
pub(super) fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
}

/// All that comes until the other end is closed.
pub(super) fn read(from: &OwnedFd) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 1000];
    loop {
        match rustix::io::read(from, &mut buffer).unwrap() {
            0 => return all,
            length => all.extend_from_slice(&buffer[..length]),
        }
    }
}
