//! Points in time as text.

extern crate std;
use super::*;
use std::string::ToString;

#[test]
fn timestamps_are_shown_as_in_rfc_3339() {
    for (millis, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (1_735_689_599_050, "2024-12-31T23:59:59.050Z"),
        (1_795_325_532_000, "2026-11-22T05:32:12.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "0000-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(Timestamp(Duration::from_millis(millis)).to_string(), text);
    }
    // No value of the clock may cause a panic.
    Timestamp(Duration::MAX).to_string();
}

#[test]
fn each_day_follows_the_day_before() {
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
