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
fn local_times_have_their_offset() {
    for (seconds, offset, text) in [
        (0, 0, "1970-01-01T00:00:00.000+00:00"),
        (0, -5 * 3_600, "1969-12-31T19:00:00.000-05:00"),
        (0, 14 * 3_600, "1970-01-01T14:00:00.000+14:00"),
        (951_782_399, 3_600, "2000-02-29T00:59:59.000+01:00"),
        (951_868_800, -1, "2000-02-29T23:59:59.000-00:00:01"),
        (1_798_761_599, 5 * 3_600 + 2_700, "2027-01-01T05:44:59.000+05:45"),
        (1_798_761_599, 3_464, "2027-01-01T00:57:43.000+00:57:44"),
        (1_798_761_599, -34_200, "2026-12-31T14:29:59.000-09:30"),
    ] {
        let time = LocalTime { utc: Duration::from_secs(seconds), offset };
        assert_eq!(time.to_string(), text);
    }
    let millis = Duration::from_millis(1_795_325_532_007);
    let time = LocalTime { utc: millis, offset: 3_600 };
    assert_eq!(time.to_string(), "2026-11-22T06:32:12.007+01:00");
    // No value may cause a panic.
    for offset in [i32::MIN, 0, i32::MAX] {
        LocalTime { utc: Duration::ZERO, offset }.to_string();
        LocalTime { utc: Duration::MAX, offset }.to_string();
    }
}

#[test]
fn each_day_follows_the_day_before() {
    let mut expected = [1970, 1, 1];
    for day in 0..200_000 {
        assert_eq!(date(day), expected);
        let [year, month, number] = expected;
        assert_eq!(first_day(year, month) + number - 1, day);
        if month == 1 {
            assert_eq!(first_day(year - 1, 13) + number - 1, day);
        }
        let day = number;
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
