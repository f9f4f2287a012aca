//! Deadlines, and waiting for them.
//!
//! The library does not read the clock itself: a program passes the function
//! that does, and a test passes one that follows a script.

use core::mem::take;
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
    fn remaining(&mut self) -> Duration;
}

/// A deadline: no operation continues past it.
#[derive(Debug)]
pub struct Deadline {
    clock: Clock,
    /// How long the first wait may take without a look at the clock.
    first_wait: Duration,
    /// The time from the end of the first wait to the deadline.
    rest: Duration,
    /// The deadline on the clock, once it is known.
    end: Option<Duration>,
}

impl Deadline {
    /// A deadline at the time `end` of `clock`.
    pub fn at(clock: Clock, end: Duration) -> Self {
        Self { clock, first_wait: Duration::ZERO, rest: Duration::ZERO, end: Some(end) }
    }

    /// A deadline `timeout` from now.
    ///
    /// A call whose whole answer comes with the first wait needs no look at the clock. So
    /// the first wait takes up to a tenth of the timeout, as the kernel measures it, and
    /// the clock measures the rest from then on. If the first wait is shorter, the
    /// deadline is earlier by the difference. It is never later.
    pub fn after(clock: Clock, timeout: Duration) -> Self {
        let first_wait = timeout / 10;
        Self { clock, first_wait, rest: timeout.saturating_sub(first_wait), end: None }
    }

    /// The deadline on the clock.
    fn end(&mut self) -> Duration {
        *self.end.get_or_insert_with(|| {
            // If there was no wait yet, its time belongs to the rest.
            let left = take(&mut self.first_wait).saturating_add(self.rest);
            (self.clock)().saturating_add(left)
        })
    }
}

impl Wait for Deadline {
    fn wait(&mut self, socket: BorrowedFd, events: PollFlags) -> Result<bool, Errno> {
        let first_wait = take(&mut self.first_wait);
        if !first_wait.is_zero() && is_ready_within(first_wait, socket, events)? {
            return Ok(true);
        }
        // Ends: at the deadline. The kernel waits until then, or until a signal.
        loop {
            let remaining = self.remaining();
            if remaining.is_zero() {
                return Ok(false);
            }
            if is_ready_within(remaining, socket, events)? {
                return Ok(true);
            }
        }
    }

    fn pause(&mut self, duration: Duration) -> Result<bool, Errno> {
        let deadline = self.end();
        let end = (self.clock)().saturating_add(duration);
        sleep_until(self.clock, end.min(deadline))?;
        Ok(end < deadline)
    }

    fn remaining(&mut self) -> Duration {
        self.end().saturating_sub((self.clock)())
    }
}

/// Waits until `socket` is ready for one of `events`, or has failed. Returns `false`
/// after `timeout`, or if a signal comes first.
fn is_ready_within(
    timeout: Duration,
    socket: BorrowedFd,
    events: PollFlags,
) -> Result<bool, Errno> {
    let mut fds = [PollFd::from_borrowed_fd(socket, events)];
    match poll(&mut fds, Some(&timespec(timeout))) {
        Ok(0) | Err(Errno::INTR) => Ok(false),
        Ok(_) => Ok(true),
        Err(errno) => Err(errno),
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
