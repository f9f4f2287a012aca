//! Points in time as RFC 3339 writes them.

use crate::text::duration::millis;
use crate::text::{Show, display};
use core::time::Duration;
use heapless::VecView;

/// Shows a time since 1970-01-01 00:00:00 UTC as RFC 3339 has it, to the
/// millisecond. Of a year, that is the last four digits.
pub struct Timestamp(pub Duration);

impl Show for Timestamp {
    fn show(&self, buffer: &mut VecView<u8>) {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let millis = millis(self.0);
        let seconds = millis / 1_000;
        let minutes = seconds / 60;
        let hours = minutes / 60;
        let [year, month, day] = date(hours / 24);
        // From the last to the first, as their digits are taken from them.
        let numbers = [millis % 1_000, seconds % 60, minutes % 60, hours % 24, day, month, year];
        let mut numbers = numbers.iter();
        let mut number = 0;
        for digit in text.iter_mut().rev() {
            if *digit == b'0' {
                *digit += (number % 10) as u8;
                number /= 10;
            } else {
                number = numbers.next().copied().unwrap_or(0);
            }
        }
        let _ = buffer.extend_from_slice(&text);
    }
}
display!(Timestamp);

/// Year, month and day of the Gregorian calendar that is `days` after
/// 1970-01-01.
///
/// The years are taken to begin in March, so that a leap day is the last of
/// its year, and counted from 0000-03-01, where a period of 400 years (146,097
/// days) begins.
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
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn timestamps() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_050, "2024-12-31T23:59:59.050Z"),
            (1_795_325_532_000, "2026-11-22T05:32:12.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(Duration::from_millis(millis)).to_string(), text);
        }
        // It must not panic, whatever the clock says.
        Timestamp(Duration::MAX).to_string();
    }

    #[test]
    fn days_follow_each_other() {
        let mut expected = [1970, 1, 1];
        for day in 0..200_000 {
            assert_eq!(date(day), expected);
            let [year, month, day] = expected;
            let leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
            let last = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (day == last, month == 12) {
                (false, _) => [year, month, day + 1],
                (true, false) => [year, month + 1, 1],
                (true, true) => [year + 1, 1, 1],
            };
        }
    }
}
