//! Durations as people type and read them: `90s`, `10m`, `1h30m`.

use crate::text::Number;
use core::fmt;
use core::time::Duration;

/// Reads a duration: whole numbers, each with a unit (`h`, `m`, `s`, `ms`),
/// longest unit first, each unit once at most; or a bare `0`.
///
/// Everything else is `None`: no sign, no fraction, no space, no number
/// without a unit, nothing above `u64::MAX` milliseconds.
pub fn parse(text: &[u8]) -> Option<Duration> {
    if text == b"0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0u64;
    let mut number = None;
    let mut shorter_than = u64::MAX;
    loop {
        let (unit, after) = match rest {
            [digit @ b'0'..=b'9', after @ ..] => {
                number = Some(append_digit(number.unwrap_or(0), *digit)?);
                rest = after;
                continue;
            }
            [b'h', after @ ..] => (3_600_000, after),
            [b'm', b's', after @ ..] => (1, after),
            [b'm', after @ ..] => (60_000, after),
            [b's', after @ ..] => (1_000, after),
            [] if number.is_none() && !text.is_empty() => break,
            _ => return None,
        };
        if unit >= shorter_than {
            return None;
        }
        shorter_than = unit;
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
        rest = after;
    }
    Some(Duration::from_millis(total))
}

/// Reads digits, and nothing else, as a number.
///
/// `None` if there are none, or something else, or more than a `u64` holds.
pub fn whole_number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(None, |number, digit| append_digit(number.unwrap_or(0), *digit).map(Some))?
}

fn append_digit(number: u64, digit: u8) -> Option<u64> {
    let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
    number.checked_mul(10)?.checked_add(value.into())
}

/// Shows a duration for people, as [`parse`] reads it: milliseconds only below
/// ten seconds, and never a unit of which there is none.
pub struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let smallest = if rest < 10_000 { 1 } else { 1_000 };
        if rest == 0 {
            return f.write_str("0s");
        }
        for (length, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
            if rest >= length && length >= smallest {
                Number(rest / length).fmt(f)?;
                f.write_str(unit)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn reads_what_people_type() {
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
    fn refuses_everything_else() {
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
    fn shows_what_people_read() {
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
            assert_eq!(Short(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
