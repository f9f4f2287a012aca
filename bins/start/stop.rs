//! Exits immediately on SIGTERM or SIGINT. PID 1 has no default action for
//! signals, so this needs a handler.

use crate::start::set_signal;
use core::ffi::c_int;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;

pub const SIGINT: c_int = 2;
pub const SIGTERM: c_int = 15;

/// Sets `stop` as the handler of SIGTERM and SIGINT. It gets the signal's number,
/// and interrupts the program at any point.
pub fn at_once(stop: extern "C" fn(c_int) -> !) {
    for signal in [SIGTERM, SIGINT] {
        set_signal(signal, stop as *const () as usize);
    }
}

/// Whether `to` accepts a line without blocking. A program that stops must not wait
/// until its output is read.
pub fn has_room(to: BorrowedFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], Some(&at_once)) == Ok(1)
}
