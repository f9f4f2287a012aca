//! When to repeat a call that had no effect, for example because an update command
//! holds the lock (423).

use core::time::Duration;

/// The first pause before a retry, and the longest. Each pause is twice as long
/// as the one before. A shorter one makes the last try end before the deadline.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long before the deadline the last try begins. The API answers in about a
/// millisecond.
const LAST_TRY: Duration = Duration::from_millis(100);

/// The retries of one call.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    pause: Duration,
}

impl Retry {
    /// No retry yet.
    pub const FIRST: Self = Self { pause: PAUSE_MIN };

    /// The pause before the next try. `remaining` is the time until the
    /// deadline. Returns `None` if there is no time for another try.
    pub fn next_pause(&mut self, remaining: Duration) -> Option<Duration> {
        let pause = self.pause.min(remaining.saturating_sub(LAST_TRY));
        self.pause = PAUSE_MAX.min(self.pause.saturating_mul(2));
        Some(pause).filter(|pause| !pause.is_zero())
    }

    /// Whether a retry with `remaining` time until the deadline is the last one.
    /// If it times out, the result before it counts.
    pub fn is_last(remaining: Duration) -> bool {
        remaining <= LAST_TRY
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
        let (mut retry, mut now) = (Retry::FIRST, Duration::ZERO);
        let mut tries = Vec::from([0]);
        while let Some(pause) = retry.next_pause(timeout * MILLISECOND - now) {
            now += pause;
            tries.push(now.as_millis());
        }
        tries
    }

    #[test]
    fn pauses_double_up_to_two_seconds() {
        assert_eq!(tries(9_000)[..8], [0, 100, 300, 700, 1_500, 3_100, 5_100, 7_100]);
    }

    #[test]
    fn the_last_try_is_just_before_the_deadline() {
        for timeout in [1, 100, 101, 199, 200, 201, 1_000, 3_000, 9_000, 9_150] {
            let tries = tries(timeout);
            let last = timeout.saturating_sub(100).into();
            assert_eq!(tries.last(), Some(&last), "{timeout} ms: {tries:?}");
        }
    }

    #[test]
    fn only_a_try_close_to_the_deadline_is_the_last() {
        assert!(Retry::is_last(Duration::ZERO));
        assert!(Retry::is_last(100 * MILLISECOND));
        assert!(!Retry::is_last(101 * MILLISECOND));
    }
}
