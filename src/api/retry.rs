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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
mod tests;
