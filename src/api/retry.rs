//! When to repeat a call that the API answered with 423, because an update
//! command holds the lock.

use core::time::Duration;

/// The first pause before a retry, and the longest. Each pause is twice as long
/// as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The time that an answer certainly takes no longer than. (The API answers in
/// about a millisecond.)
const ANSWER_TIME: Duration = Duration::from_millis(100);

/// The retries of one call.
#[derive(Debug, Clone, Copy)]
pub struct LockRetry {
    pause: Duration,
}

impl Default for LockRetry {
    fn default() -> Self {
        Self { pause: PAUSE_MIN }
    }
}

impl LockRetry {
    /// The pause before the next try. `remaining` is the time until the
    /// deadline. Returns `None` if there is no time for another try.
    pub fn next_pause(&mut self, remaining: Duration) -> Option<Duration> {
        let pause = self.pause;
        self.pause = PAUSE_MAX.min(pause.saturating_mul(2));
        Some(pause).filter(|pause| *pause < remaining)
    }

    /// Whether a retry with `remaining` time until the deadline may be too late
    /// for an answer. If it times out, the 423 before it is the result.
    pub fn is_last(remaining: Duration) -> bool {
        remaining < ANSWER_TIME
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// The times of the tries in milliseconds, if each is answered with 423 at
    /// once. The first is at 0.
    fn tries(timeout: u32) -> Vec<u128> {
        let (mut retry, mut now) = (LockRetry::default(), Duration::ZERO);
        let mut tries = Vec::from([0]);
        while let Some(pause) = retry.next_pause(timeout * MILLISECOND - now) {
            now += pause;
            tries.push(now.as_millis());
        }
        tries
    }

    #[test]
    fn pauses_double_up_to_two_seconds() {
        assert_eq!(tries(9_000), [0, 100, 300, 700, 1_500, 3_100, 5_100, 7_100]);
    }

    #[test]
    fn only_a_try_that_may_be_too_late_is_the_last() {
        assert!(LockRetry::is_last(Duration::ZERO));
        assert!(LockRetry::is_last(99 * MILLISECOND));
        assert!(!LockRetry::is_last(101 * MILLISECOND));
    }
}
