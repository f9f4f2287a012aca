//! Points in time, in the form of RFC 3339.

use crate::text::duration::millis;
use crate::text::{Show, display, put};
use core::time::Duration;
use heapless::VecView;

/// Shows a time since 1970-01-01 00:00:00 UTC with milliseconds:
/// `2026-11-22T05:32:12.007Z`. Of years above 9999, only the last four digits are
/// shown.
pub struct Timestamp(pub Duration);

impl Show for Timestamp {
    fn show(&self, buffer: &mut VecView<u8>) {
        let millis = millis(self.0);
        let seconds = millis / 1_000;
        let minutes = seconds / 60;
        let hours = minutes / 60;
        let [year, month, day] = date(hours / 24);
        put!(buffer, Digits::<4>(year), "-", Digits::<2>(month), "-", Digits::<2>(day), "T");
        put!(buffer, Digits::<2>(hours % 24), ":", Digits::<2>(minutes % 60), ":");
        put!(buffer, Digits::<2>(seconds % 60), ".", Digits::<3>(millis % 1_000), "Z");
    }
}
display!(Timestamp);

/// Shows the last `N` digits of a number, with leading zeros.
struct Digits<const N: usize>(u64);

impl<const N: usize> Show for Digits<N> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let mut rest = self.0;
        let mut digits = [0; N];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let _ = buffer.extend_from_slice(&digits);
    }
}

/// The year, the month and the day of the Gregorian calendar, `days` after
/// 1970-01-01.
///
/// The calculation counts from 0000-03-01, and each of its years begins in March.
/// So a leap day is the last day of a year, and a period of 400 years has 146,097
/// days.
fn date(days: u64) -> [u64; 3] {
    let days = days.saturating_add(719_468);
    let (period, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * period + year;
    if month < 10 { [year, month + 3, day] } else { [year + 1, month - 9, day] }
}

#[cfg(test)]
mod tests;
