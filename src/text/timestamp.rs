//! Points in time, in the form of RFC 3339.

use crate::text::duration::millis;
use crate::text::{Show, display, put};
use core::time::Duration;
use heapless::VecView;

/// The days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;
/// The seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// Shows a time since 1970-01-01 00:00:00 UTC with milliseconds:
/// `2026-11-22T05:32:12.007Z`. Of years above 9999, only the last four digits are
/// shown.
pub struct Timestamp(pub Duration);

impl Show for Timestamp {
    fn show(&self, buffer: &mut VecView<u8>) {
        put_clock(buffer, self.0, 0);
        put!(buffer, "Z");
    }
}

/// Shows a point in time as the clocks of a place show it, and by how much these are ahead
/// of UTC: `2026-11-22T06:32:12.007+01:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// The time since 1970-01-01 00:00:00 UTC.
    pub utc: Duration,
    /// The seconds by which the clocks are ahead of UTC.
    pub offset: i32,
}

impl Show for LocalTime {
    fn show(&self, buffer: &mut VecView<u8>) {
        put_clock(buffer, self.utc, self.offset);
        let seconds = u64::from(self.offset.unsigned_abs());
        let minutes = seconds / 60;
        put!(buffer, if self.offset < 0 { "-" } else { "+" });
        put!(buffer, Digits::<2>(minutes / 60), ":", Digits::<2>(minutes % 60));
        // Only in a rule that an operator has written.
        if seconds % 60 != 0 {
            put!(buffer, ":", Digits::<2>(seconds % 60));
        }
    }
}
display!(Timestamp, LocalTime);

/// Puts the date and the time of day on clocks that are `offset` seconds ahead of UTC.
fn put_clock(buffer: &mut VecView<u8>, utc: Duration, offset: i32) {
    let millis = millis(utc);
    let seconds = (millis / 1_000) as i64 + i64::from(offset);
    let [year, month, day] = date(seconds.div_euclid(DAY)).map(|part| part as u64);
    let seconds = seconds.rem_euclid(DAY) as u64;
    put!(buffer, Digits::<4>(year), "-", Digits::<2>(month), "-", Digits::<2>(day), "T");
    put!(buffer, Digits::<2>(seconds / 3_600), ":", Digits::<2>(seconds / 60 % 60), ":");
    put!(buffer, Digits::<2>(seconds % 60), ".", Digits::<3>(millis % 1_000));
}

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
pub fn date(days: i64) -> [i64; 3] {
    let days = days.saturating_add(EPOCH);
    let (period, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 400 * period + year;
    if month < 10 { [year, month + 3, day] } else { [year + 1, month - 9, day] }
}

/// The number of days from 1970-01-01 to the first day of a month: the reverse of [`date`],
/// for years that are not above some millions. Month 13 is January of the next year.
pub fn first_day(year: i64, month: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 - EPOCH
}

#[cfg(test)]
mod tests;
