//! Deadlines, and waiting for them.
//!
//! The library does not read the clock itself: a program passes the function
//! that does, and a test passes one that follows a script.

use core::time::Duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

/// Reads the clock that never goes back: the time since some fixed point.
/// (Linux: `CLOCK_MONOTONIC`.)
pub type Clock = fn() -> Duration;

/// Waits on behalf of a call, but not past a deadline.
pub trait Wait {
    /// Waits until `socket` is ready for one of `events`, or has failed. Returns
    /// `false` if the deadline comes first.
    ///
    /// # Errors
    ///
    /// The kernel's error if it cannot wait. This is not expected.
    fn wait(&mut self, socket: BorrowedFd, events: PollFlags) -> Result<bool, Errno>;

    /// Waits for `duration`. Returns `false` if the deadline comes first.
    ///
    /// # Errors
    ///
    /// The kernel's error if it cannot wait. This is not expected.
    fn pause(&mut self, duration: Duration) -> Result<bool, Errno>;

    /// The time until the deadline. Zero if it has passed.
    fn remaining(&self) -> Duration;
}

/// A deadline: no operation continues past it.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    clock: Clock,
    end: Duration,
    /// The time until the deadline as long as there has been no wait: a program needs no
    /// time until its first wait that is worth a look at the clock.
    until_first_wait: Option<Duration>,
}

impl Deadline {
    /// A deadline at the time `end` of `clock`.
    pub fn at(clock: Clock, end: Duration) -> Self {
        Self { clock, end, until_first_wait: None }
    }

    /// A deadline `timeout` from now.
    pub fn after(clock: Clock, timeout: Duration) -> Self {
        let end = clock().saturating_add(timeout);
        Self { clock, end, until_first_wait: Some(timeout) }
    }
}

impl Wait for Deadline {
    fn wait(&mut self, socket: BorrowedFd, events: PollFlags) -> Result<bool, Errno> {
        // Ends: at the deadline. The kernel waits until then, or until a signal.
        loop {
            let remaining = self.until_first_wait.take().unwrap_or_else(|| self.remaining());
            if remaining.is_zero() {
                return Ok(false);
            }
            let mut fds = [PollFd::from_borrowed_fd(socket, events)];
            match poll(&mut fds, Some(&timespec(remaining))) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn pause(&mut self, duration: Duration) -> Result<bool, Errno> {
        self.until_first_wait = None;
        let end = (self.clock)().saturating_add(duration);
        sleep_until(self.clock, end.min(self.end))?;
        Ok(end < self.end)
    }

    fn remaining(&self) -> Duration {
        self.end.saturating_sub((self.clock)())
    }
}

/// Waits until `clock` shows `time`, and returns what it shows then: `time`, or
/// later.
///
/// # Errors
///
/// The kernel's error if it cannot wait. This is not expected.
pub fn sleep_until(clock: Clock, time: Duration) -> Result<Duration, Errno> {
    // Ends: at that time. The kernel waits until then, or until a signal.
    loop {
        let now = clock();
        if now >= time {
            return Ok(now);
        }
        match poll(&mut [], Some(&timespec(time.saturating_sub(now)))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits for `duration`, or until a signal arrives.
pub fn pause(duration: Duration) {
    // No other error is expected, and the caller does not depend on the pause.
    let _ = poll(&mut [], Some(&timespec(duration)));
}

/// The kernel's form of a duration. The kernel caps one that is too long for it.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests;
