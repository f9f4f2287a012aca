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
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn durations_that_are_understood() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1h2m3s4ms", 3_723_004),
            ("1h5ms", 3_600_005),
            ("250ms", 250),
            ("007s", 7_000),
            ("18446744073709551615ms", u64::MAX),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "s",
            "10",
            "-1s",
            "+1s",
            "1.5h",
            " 1s",
            "1s ",
            "1 s",
            "1S",
            "1d",
            "1us",
            "1sm",
            "5s1m",
            "1s1s",
            "1m1m",
            "00",
            "18446744073709551616ms",
            "18446744073709552s",
            "9999999999999999999999h",
            "1ms1s",
            "s1",
            "1h-1m",
            "\u{661}s",
            "ms",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_digits_and_nothing_else() {
        for (text, number) in [
            ("0", Some(0)),
            ("0123456789", Some(123_456_789)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            // The characters before and after the digits in ASCII.
            ("1/", None),
            ("1:", None),
            (":", None),
        ] {
            assert_eq!(whole_number(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn durations_are_shown_without_units_of_zero() {
        for (millis, text) in [
            (0, "0s"),
            (1, "1ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_099, "1s99ms"),
            (3_250, "3s250ms"),
            (9_999, "9s999ms"),
            (10_900, "10s"),
            (60_000, "1m"),
            (90_000, "1m30s"),
            (600_000, "10m"),
            (5_400_000, "1h30m"),
            (3_601_000, "1h1s"),
            (90_061_000, "25h1m1s"),
        ] {
            assert_eq!(HumanDuration(Duration::from_millis(millis)).to_string(), text);
        }
    }

    /// Milliseconds are not shown from ten seconds on.
    #[test]
    fn shown_durations_are_read_as_the_same_duration() {
        let mut numbers = crate::tests::Numbers(1);
        for _ in 0..20_000 {
            // As many short durations as long ones.
            let shorter = numbers.below(64);
            let millis = numbers.below(u64::MAX) >> shorter;
            let text = HumanDuration(Duration::from_millis(millis)).to_string();
            let shown = if millis < 10_000 { millis } else { millis / 1_000 * 1_000 };
            assert_eq!(parse(text.as_bytes()), Some(Duration::from_millis(shown)), "{text}");
            assert!(text.len() <= 24, "{text}");
        }
    }
}
