//! For a program that ends at once when it is asked to, which process 1 of a
//! container has to arrange for itself.

use crate::start::set_signal;
use core::ffi::c_int;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;

pub const SIGINT: c_int = 2;
pub const SIGTERM: c_int = 15;

/// Has `stop` called, in the middle of whatever is running, when SIGTERM or
/// SIGINT comes. It is given the signal.
pub fn at_once(stop: extern "C" fn(c_int) -> !) {
    for signal in [SIGTERM, SIGINT] {
        set_signal(signal, stop as *const () as usize);
    }
}

/// Whether a line can be written to `to` without waiting for somebody who reads
/// it. A program that is asked to stop does not wait.
pub fn has_room(to: BorrowedFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], Some(&at_once)) == Ok(1)
}
