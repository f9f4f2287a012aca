//! How long the node has been up in total, over its boots: the clock of what must wait
//! for hours or days.
//!
//! The wall clock cannot measure that. It may be set at any time, and without a battery
//! it is wrong at each boot. The time since the boot, which includes a suspend, is
//! always right, but a boot sets it back to zero. So the state file has the total, and
//! the time since the boot at which it was written:
//!
//! ```text
//!  one boot                 another boot
//! ├──────┬─────┤  off      ├──────┬────▶
//!        │     │                  │
//!      saved   lost            first look: the time since this boot is added
//! ```
//!
//! The total never runs faster than time: what is not known is left out. That is the
//! time between the last save and the end of that boot, and the time for which the node
//! was off. If the time since the boot is larger than the saved one, this may be the
//! same boot, so only the difference is added.

use crate::text::duration::millis;
use core::time::Duration;

/// The total, and when it was right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uptime {
    /// The time for which the node is known to have been up.
    total: Duration,
    seen: Seen,
}

/// The time since the boot at which the total was right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Seen {
    /// Nothing is known.
    #[default]
    Never,
    /// It was saved, in this boot or in an earlier one.
    Saved(Duration),
    /// This process has seen it.
    Now(Duration),
}

impl Uptime {
    /// The uptime as it was saved: the total, and the time since the boot, both in
    /// milliseconds.
    pub fn from_saved(total: u64, since_boot: u64) -> Self {
        let seen = Seen::Saved(Duration::from_millis(since_boot));
        Self { total: Duration::from_millis(total), seen }
    }

    /// What to save, in the form that [`Uptime::from_saved`] takes. `None` if nothing is
    /// known yet.
    pub fn to_save(self) -> Option<[u64; 2]> {
        match self.seen {
            Seen::Never => None,
            Seen::Saved(since_boot) | Seen::Now(since_boot) => {
                Some([millis(self.total), millis(since_boot)])
            }
        }
    }

    /// Takes note of the time since the boot.
    pub fn advance(&mut self, since_boot: Duration) {
        let (passed, since_boot) = match self.seen {
            Seen::Never => (Duration::ZERO, since_boot),
            // If less time has passed since the boot, it is another boot.
            Seen::Saved(before) => {
                (since_boot.checked_sub(before).unwrap_or(since_boot), since_boot)
            }
            Seen::Now(before) => (since_boot.saturating_sub(before), since_boot.max(before)),
        };
        self.total = self.total.saturating_add(passed);
        self.seen = Seen::Now(since_boot);
    }

    /// The time for which the node has been up in total, as far as it is known.
    pub fn total(self) -> Duration {
        self.total
    }
}

#[cfg(test)]
mod tests;
