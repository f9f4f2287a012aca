//! Durations as people write and read them: `90s`, `10m`, `1h30m`.

use crate::text::{Show, display, put};
use core::time::Duration;
use heapless::VecView;

/// The units with their lengths in milliseconds, longest first.
const UNITS: [(u64, &str); 4] = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];

/// Reads a duration: whole numbers, each followed by its unit (`h`, `m`, `s`,
/// `ms`), without spaces. The units come longest first, and each at most once. A
/// bare `0` is a duration as well.
///
/// Returns `None` for everything else, such as a sign, a fraction or a number
/// without a unit, and for more than `u64::MAX` milliseconds.
pub fn parse(text: &[u8]) -> Option<Duration> {
    if text == b"0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0u64;
    for (length, unit) in &UNITS {
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        match behind.strip_prefix(unit.as_bytes()) {
            // The `m` of `ms` does not stand for minutes.
            Some(after) if !after.starts_with(b"s") => {
                total = total.checked_add(whole_number(number)?.checked_mul(*length)?)?;
                if after.is_empty() {
                    return Some(Duration::from_millis(total));
                }
                rest = after;
            }
            _ => {}
        }
    }
    None
}

/// Reads a whole number: one or more decimal digits and nothing else.
///
/// Returns `None` for everything else, and for a number above `u64::MAX`.
pub fn whole_number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(None, |number, digit| append_digit(number.unwrap_or(0), *digit).map(Some))?
}

fn append_digit(number: u64, digit: u8) -> Option<u64> {
    let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
    number.checked_mul(10)?.checked_add(value.into())
}

/// Shows a duration in the form that [`parse`] reads. Units with a value of 0 are
/// left out, and milliseconds from ten seconds on.
pub struct HumanDuration(pub Duration);

impl Show for HumanDuration {
    fn show(&self, buffer: &mut VecView<u8>) {
        let mut rest = millis(self.0);
        let smallest = if rest < 10_000 { 1 } else { 1_000 };
        if rest == 0 {
            put!(buffer, "0s");
        }
        for (length, unit) in &UNITS {
            if rest >= *length && *length >= smallest {
                put!(buffer, rest / length, unit);
                rest %= length;
            }
        }
    }
}
display!(HumanDuration);

/// The whole milliseconds of a duration; `u64::MAX` if there are more.
pub fn millis(duration: Duration) -> u64 {
    let millis: u64 = duration.subsec_millis().into();
    duration.as_secs().saturating_mul(1_000).saturating_add(millis)
}

#[cfg(test)]
mod tests;
