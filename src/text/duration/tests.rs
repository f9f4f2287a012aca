//! Durations that are read and shown.

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
