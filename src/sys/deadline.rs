//! Points in time that nothing goes on behind, and waits.

use crate::api::CallError;
use core::time::Duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_gettime,
    timerfd_settime,
};

/// Who makes calls: what they wait with, and for how long at most.
pub trait Wait {
    /// Waits for `socket`: false if the time is over.
    ///
    /// # Errors
    ///
    /// The kernel's, which cannot be expected.
    fn wait(&mut self, socket: BorrowedFd, until: PollFlags) -> Result<bool, Errno>;

    /// Waits for `duration`: false if the time is over.
    fn pause(&mut self, duration: Duration) -> bool;
}

/// A point in time that nothing goes on behind.
///
/// It is a timer of the kernel's, so that whoever has one needs no clock.
pub struct Deadline(pub(super) OwnedFd);

impl Deadline {
    /// The point in time that is `duration` away.
    ///
    /// # Errors
    ///
    /// The kernel has no timer to give.
    pub fn after(duration: Duration) -> Result<Self, CallError<'static>> {
        // Nothing is ever read from it.
        let flags = TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(CallError::Setup)?;
        // A timer that is set to zero is off.
        let duration = duration.max(Duration::from_nanos(1));
        let once =
            Itimerspec { it_interval: timespec(0), it_value: timespec(nanoseconds(duration)) };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).map_err(CallError::Setup)?;
        Ok(Self(timer))
    }

    /// How long it is until this point in time.
    pub fn remaining(&self) -> Duration {
        timerfd_gettime(&self.0).map_or(Duration::ZERO, |timer| duration(timer.it_value))
    }
}

impl Wait for Deadline {
    fn pause(&mut self, duration: Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&timespec(nanoseconds(duration)))), Ok(0) | Err(Errno::INTR))
    }

    fn wait(&mut self, socket: BorrowedFd, until: PollFlags) -> Result<bool, Errno> {
        let mut fds =
            [PollFd::from_borrowed_fd(socket, until), PollFd::new(&self.0, PollFlags::IN)];
        // Ends: again only after a signal, and no longer than until the timer ends.
        loop {
            match poll(&mut fds, None) {
                Ok(_) => return Ok(fds[1].revents().is_empty()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// The longest duration that the kernel is asked for: about 68 years.
const TIME_MAX: u64 = i32::MAX as u64 * SECOND;

pub(super) fn timespec(nanoseconds: u64) -> Timespec {
    let time = nanoseconds.min(TIME_MAX).cast_signed();
    let second = SECOND.cast_signed();
    Timespec { tv_sec: time / second, tv_nsec: time % second }
}

/// A second, in nanoseconds, which take less code than a [`Duration`].
pub(super) const SECOND: u64 = 1_000_000_000;

/// The same time in nanoseconds.
#[inline(never)]
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

fn duration(time: Timespec) -> Duration {
    let seconds = Duration::from_secs(time.tv_sec.try_into().unwrap_or(0));
    seconds.saturating_add(Duration::from_nanos(time.tv_nsec.try_into().unwrap_or(0)))
}

/// Waits for `duration`, or not quite as long.
pub fn pause(duration: Duration) {
    // An error other than a signal's cannot be; the caller looks at the clock.
    let _ = poll(&mut [], Some(&timespec(nanoseconds(duration))));
}

#[cfg(test)]
mod tests;
