//! Tests of update windows.

extern crate std;
use super::*;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

const WEEK_MINUTES: usize = 7 * 24 * 60;

fn windows(list: &str) -> Windows {
    let mut windows = Windows::new();
    windows.add(list.as_bytes()).unwrap_or_else(|error| panic!("{list:?}: {error:?}"));
    windows
}

#[test]
fn valid_windows_are_read() {
    for (text, same) in [
        ("Mon-Fri 22:00-04:00", "Mon-Fri 22:00-04:00"),
        ("22:00-04:00", "22:00-04:00"),
        ("Sat 00:00-24:00", "Sat 00:00-24:00"),
        ("Mon,Wed,Fri 08:30-17:45", "Mon,Wed,Fri 08:30-17:45"),
        ("Mon,Wed,Fri-Sat 08:30-17:45", "Mon,Wed,Fri-Sat 08:30-17:45"),
        ("Fri-Mon 01:00-02:00", "Fri-Mon 01:00-02:00"),
        ("Tue-Mon 01:00-02:00", "01:00-02:00"),
        ("Sun-Sun 01:00-02:00", "Sun 01:00-02:00"),
        ("Sat,Sun 01:00-02:00", "Sat-Sun 01:00-02:00"),
        ("Sun,Mon 01:00-02:00", "Sun-Mon 01:00-02:00"),
        ("Mon,Wed,Fri-Sun 01:00-02:00", "Wed,Fri-Mon 01:00-02:00"),
        ("Mon-Sat 01:00-02:00", "Mon-Sat 01:00-02:00"),
        ("Thu-Tue 01:00-02:00", "Thu-Tue 01:00-02:00"),
        ("Mon-Wed,Tue-Thu,Tue 01:00-02:00", "Mon-Thu 01:00-02:00"),
        ("fri, SAT , sUn 01:00-02:00", "Fri-Sun 01:00-02:00"),
        ("  Wed \t 9:05-9:06 ", "Wed 09:05-09:06"),
        ("22:00-00:00", "22:00-24:00"),
        ("00:00-00:01", "00:00-00:01"),
        ("00:01-00:00", "00:01-24:00"),
        ("23:59-23:58", "23:59-23:58"),
    ] {
        let window =
            Window::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(Window::parse(same.as_bytes()), Ok(window), "{text}");
    }
}

#[test]
fn invalid_windows_are_refused() {
    const DAYS: &str = "not a day of the week; days are like Sat, Mon-Fri or Mon,Wed,Fri-Sun";
    const TIMES: &str = "not a time; a window is like 22:00-04:00 or Mon-Fri 22:00-04:00";
    const EMPTY: &str = "begins and ends at the same time; a whole day is 00:00-24:00";
    for (text, wrong) in [
        ("", TIMES),
        (" ", TIMES),
        ("Mon", TIMES),
        ("Mon-Fri", TIMES),
        ("22:00", TIMES),
        ("Mon 22:00", TIMES),
        ("22:00-", TIMES),
        ("-04:00", TIMES),
        ("-", TIMES),
        ("22:00-04:00-06:00", TIMES),
        ("22:00--04:00", TIMES),
        ("22-04", TIMES),
        ("2200-0400", TIMES),
        ("22:0-04:00", TIMES),
        ("22:00-4:0", TIMES),
        ("022:00-04:00", TIMES),
        (":00-04:00", TIMES),
        ("22:000-04:00", TIMES),
        ("22:60-04:00", TIMES),
        ("24:00-04:00", TIMES),
        ("23:00-24:01", TIMES),
        ("25:00-04:00", TIMES),
        ("99:99-99:99", TIMES),
        ("+2:00-04:00", TIMES),
        ("22:00-04:00pm", TIMES),
        ("22:00-04:00Mon", TIMES),
        ("Mon-Fri22:00-04:00", TIMES),
        ("22.00-04.00", TIMES),
        ("\u{661}:00-04:00", TIMES),
        ("22:00-04:00,", TIMES),
        ("22:00 - 04:00", DAYS),
        ("Mo 22:00-04:00", DAYS),
        ("Monday 22:00-04:00", DAYS),
        ("Mon- 22:00-04:00", DAYS),
        ("-Mon 22:00-04:00", DAYS),
        (", 22:00-04:00", DAYS),
        ("Mon, 22:00-04:00", DAYS),
        ("Mon Tue 22:00-04:00", DAYS),
        ("Mon-Wed-Fri 22:00-04:00", DAYS),
        ("nTu 22:00-04:00", DAYS),
        ("22:00-22:00", EMPTY),
        ("Mon 22:00-22:00", EMPTY),
        ("00:00-00:00", EMPTY),
        ("0:00-00:00", EMPTY),
    ] {
        let error = Window::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.text(), wrong, "{text:?}");
    }
    for byte in 0..=u8::MAX {
        let _ = Window::parse(&[byte; 11]);
        let _ = Window::parse(&[b'M', b'o', byte, b' ', b'1', b':', byte, b'0', b'-', byte, byte]);
    }
}

#[test]
fn list_may_hold_several_windows() {
    for (list, same) in [
        ("Sat-Sun 00:00-24:00;22:00-04:00", "Sat-Sun 00:00-24:00; 22:00-04:00"),
        (" Sat 1:00-2:00 ; Sun 3:00-4:00 ", "Sat 01:00-02:00; Sun 03:00-04:00"),
    ] {
        assert_eq!(windows(same), windows(list));
    }
    for list in ["", ";", "1:00-2:00;", ";1:00-2:00", "1:00-2:00;;3:00-4:00"] {
        assert_eq!(Windows::new().add(list.as_bytes()), Err(WindowError::Times), "{list:?}");
    }
    let mut all = windows(&["1:00-2:00"; WINDOWS_MAX].join(";"));
    let error = all.add(b"1:00-2:00").unwrap_err();
    assert_eq!(error.text(), format!("more than {WINDOWS_MAX} windows"));
}

/// 2026-11-23.
const MONDAY: u64 = 1_795_392_000;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// On 1970-01-01, on Monday 2026-11-23, and around the end of a year.
#[test]
fn windows_are_right_on_known_dates() {
    for (list, utc, seconds) in [
        ("Thu 00:00-00:01", 0, 0),
        ("Thu 00:00-00:01", 59, 0),
        ("Thu 00:00-00:01", 60, 7 * DAY - 60),
        ("Wed 00:00-24:00", 0, 6 * DAY),
        ("Fri 00:00-24:00", 0, DAY),
        ("Wed 23:00-01:00", 0, 0),
        ("Mon 00:00-00:01", MONDAY, 0),
        ("Mon 00:00-00:01", MONDAY - 1, 1),
        ("Mon-Fri 22:00-04:00", MONDAY, 22 * HOUR),
        ("Mon-Fri 22:00-04:00", MONDAY + 22 * HOUR - 1, 1),
        ("Mon-Fri 22:00-04:00", MONDAY + 22 * HOUR, 0),
        // A window over midnight belongs to the day on which it opens.
        ("Mon-Fri 22:00-04:00", MONDAY + 5 * DAY + 4 * HOUR - 1, 0),
        ("Mon-Fri 22:00-04:00", MONDAY + 5 * DAY + 4 * HOUR, 2 * DAY + 18 * HOUR),
        ("Sun 22:00-04:00", MONDAY, 0),
        ("Sun 22:00-04:00", MONDAY + 4 * HOUR, 6 * DAY + 18 * HOUR),
        ("Sat 12:00-13:00; Sun 1:00-2:00", MONDAY + 5 * DAY + 13 * HOUR, 12 * HOUR),
        // 2027-01-01 is a Friday.
        ("Fri 00:00-01:00", 1_798_761_599, 1),
        ("Thu 00:00-24:00", 1_798_761_599, 0),
        ("Thu 00:00-24:00", 1_798_761_600, 6 * DAY),
    ] {
        let (utc, wait) = (Duration::from_secs(utc), Duration::from_secs(seconds));
        assert_eq!(windows(list).is_open(utc), wait.is_zero(), "{list} at {utc:?}");
        if !wait.is_zero() {
            assert_eq!(windows(list).next_open(utc), Some(wait), "{list} at {utc:?}");
        }
    }
    let half = windows("Mon 00:00-00:01").next_open(Duration::from_millis(MONDAY * 1_000 - 250));
    assert_eq!(half, Some(Duration::from_millis(250)));
    // Any time is valid.
    assert!(windows("00:00-24:00").is_open(Duration::MAX));
}

#[test]
fn next_opening_is_known_while_a_window_is_open() {
    for (list, utc, wait) in [
        ("Mon 00:00-00:03; Mon 00:05-00:08", MONDAY, 300),
        ("Mon 00:00-00:03; Mon 00:05-00:08", MONDAY + 299, 1),
        ("Mon 00:00-00:03; Mon 00:02-00:08", MONDAY + 60, 60),
        ("Mon 00:00-00:03; Mon 00:02-00:08", MONDAY + 120, 7 * DAY - 120),
        ("22:00-04:00", MONDAY, 22 * HOUR),
        ("22:00-04:00", MONDAY + 22 * HOUR, 24 * HOUR),
        ("Wed 12:00-13:00", MONDAY + 2 * DAY + 12 * HOUR, 7 * DAY),
    ] {
        let (utc, wait) = (Duration::from_secs(utc), Duration::from_secs(wait));
        assert_eq!(windows(list).next_open(utc), Some(wait), "{list} at {utc:?}");
    }
}

#[test]
fn closing_is_known() {
    for (list, utc, closes_in) in [
        ("Mon 00:00-00:03; Mon 00:05-00:08", MONDAY, Some(180)),
        ("Mon 00:00-00:03; Mon 00:05-00:08", MONDAY + 179, Some(1)),
        ("Mon 00:00-00:03; Mon 00:05-00:08", MONDAY + 180, Some(0)),
        // Windows that overlap, or follow each other, are one.
        ("Mon 00:00-00:03; Mon 00:02-00:08", MONDAY + 60, Some(420)),
        ("Mon 00:00-00:03; Mon 00:03-00:08", MONDAY, Some(480)),
        ("22:00-04:00", MONDAY, Some(4 * HOUR)),
        ("22:00-04:00", MONDAY + 4 * HOUR, Some(0)),
        ("Mon-Fri 00:00-24:00", MONDAY, Some(5 * DAY)),
        ("Tue-Sun 00:00-24:00; Mon 00:00-23:59", MONDAY + DAY, Some(7 * DAY - 60)),
        ("00:00-24:00", MONDAY, None),
        ("00:00-12:00; 11:00-00:00", MONDAY + 6 * DAY, None),
        ("12:01-12:00", MONDAY, Some(12 * HOUR)),
    ] {
        let closes_in = closes_in.map(Duration::from_secs);
        assert_eq!(windows(list).closes_in(Duration::from_secs(utc)), closes_in, "{list} at {utc}");
    }
    let half = windows("Mon 00:00-00:01").closes_in(Duration::from_millis(MONDAY * 1_000 + 250));
    assert_eq!(half, Some(Duration::from_millis(59_750)));
    assert_eq!(windows("0:00-24:00").closes_in(Duration::MAX), None);
}

#[test]
fn without_windows_it_is_always_open() {
    let none = Windows::new();
    assert!(none.is_empty() && none.is_open(Duration::ZERO) && none.is_open(Duration::MAX));
    assert_eq!(none.next_open(Duration::ZERO), None);
    assert_eq!(none.closes_in(Duration::ZERO), None);
    assert!(!windows("1:00-2:00").is_empty());
}

/// A simple model: whether a window is open in each minute of a week from Monday on.
fn open_minutes(days: &[usize], begin: usize, end: usize) -> Vec<bool> {
    let mut open = vec![false; WEEK_MINUTES];
    for day in days {
        let mut minute = 24 * 60 * day + begin;
        loop {
            open[minute % WEEK_MINUTES] = true;
            minute += 1;
            if minute % (24 * 60) == end % (24 * 60) {
                break;
            }
        }
    }
    open
}

/// Compares each minute of a week with the model, at its first or at its last second.
#[track_caller]
fn compare(list: &str, open: &[bool], monday: u64) {
    let windows = windows(list);
    let mut until_open = None;
    // Backwards through two weeks, so that the next opening is known in the first week.
    for minute in (0..2 * WEEK_MINUTES).rev() {
        until_open = match open[minute % WEEK_MINUTES] {
            true => Some(0),
            false => until_open.map(|minutes: u64| minutes + 1),
        };
        if minute >= WEEK_MINUTES {
            continue;
        }
        let second = [0, 59][minute % 2];
        let utc = Duration::from_secs(monday + 60 * minute as u64 + second);
        let wait = Duration::from_secs((60 * until_open.unwrap()).saturating_sub(second));
        assert_eq!(windows.is_open(utc), wait.is_zero(), "{list}, minute {minute}");
        if !wait.is_zero() {
            assert_eq!(windows.next_open(utc), Some(wait), "{list}, minute {minute}");
        }
    }
}

#[test]
fn every_minute_of_a_week_matches_a_model() {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let times = [
        ("00:00", 0, "24:00", 1440),
        ("00:00", 0, "00:01", 1),
        ("23:59", 1439, "00:00", 0),
        ("22:00", 1320, "04:00", 240),
        ("08:00", 480, "16:30", 990),
        ("12:01", 721, "12:00", 720),
    ];
    let mondays = [4 * 86_400, 1_795_392_000];
    // Every set of days, each with one of the times. Without optimization, every fifth: each
    // takes 18 ms.
    for set in (1..128usize).step_by(if cfg!(debug_assertions) { 5 } else { 1 }) {
        let days: Vec<usize> = (0..7).filter(|day| set >> day & 1 == 1).collect();
        let list: Vec<&str> = days.iter().map(|day| names[*day]).collect();
        let (from, begin, to, end) = times[set % times.len()];
        let text = format!("{} {from}-{to}", list.join(","));
        let open = open_minutes(&days, begin, end);
        let monday = mondays[set % mondays.len()];
        compare(&text, &open, monday);
    }
    // Every range of days, with two windows that overlap.
    for first in 0..7 {
        for last in 0..7 {
            let mut days = vec![first];
            while days.last() != Some(&last) {
                days.push((days[days.len() - 1] + 1) % 7);
            }
            let text = format!("{}-{} 22:00-04:00; 03:00-05:00", names[first], names[last]);
            let daily = open_minutes(&[0, 1, 2, 3, 4, 5, 6], 180, 300);
            let mut open = open_minutes(&days, 1320, 240);
            open.iter_mut().zip(daily).for_each(|(open, daily)| *open |= daily);
            compare(&text, &open, mondays[first % mondays.len()]);
        }
    }
}

#[test]
fn window_opens_and_closes_at_every_time_of_day() {
    let text = |minutes: usize| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    for begin in 0..1440 {
        for end in (0..=1440).step_by(7).chain([begin, begin + 1, 1440]) {
            let window: String = format!("{}-{}", text(begin), text(end));
            let parsed = Window::parse(window.as_bytes());
            if begin == end {
                assert_eq!(parsed, Err(WindowError::Empty), "{window}");
                continue;
            }
            let length = (end + 1440 - begin - 1) % 1440 + 1;
            let now = Duration::from_secs(60 * begin as u64);
            let windows = windows(&window);
            let last = now + Duration::from_secs(60 * length as u64 - 1);
            assert!(windows.is_open(now) && windows.is_open(last), "{window}");
            let after = last + Duration::from_secs(1);
            assert_eq!(windows.is_open(after), length == 1440, "{window}");
        }
    }
}

/// Windows in a time zone.
fn windows_in(zone: &str, list: &str) -> Windows {
    let zone = TimeZone::parse(zone.as_bytes()).unwrap_or_else(|| panic!("{zone}"));
    Windows { zone, ..windows(list) }
}

/// The time since 1970 of a text like `2027-03-28T01:00Z`.
fn utc(text: &str) -> Duration {
    let time: jiff::Timestamp = text.parse().unwrap();
    Duration::from_secs(time.as_second() as u64)
}

/// In the night of a change of the clocks, when a window opens and closes.
#[test]
fn windows_follow_the_clocks() {
    for (zone, list, opens, closes) in [
        // An ordinary night, in winter and in summer.
        ("Europe/Prague", "01:00-05:00", "2027-03-27T00:00Z", "2027-03-27T04:00Z"),
        ("Europe/Prague", "01:00-05:00", "2027-03-28T23:00Z", "2027-03-29T03:00Z"),
        // The days are local, too: it is Tuesday in Prague.
        ("Europe/Prague", "Tue 01:00-05:00", "2027-06-28T23:00Z", "2027-06-29T03:00Z"),
        ("America/New_York", "Mon 22:00-04:00", "2027-01-05T03:00Z", "2027-01-05T09:00Z"),
        ("Asia/Kathmandu", "Mon 00:00-24:00", "2027-01-03T18:15Z", "2027-01-04T18:15Z"),
        ("Pacific/Kiritimati", "Mon 00:00-01:00", "2027-01-03T10:00Z", "2027-01-03T11:00Z"),
        ("Pacific/Pago_Pago", "Mon 23:00-24:00", "2027-01-05T10:00Z", "2027-01-05T11:00Z"),
        // The clocks go from 02:00 to 03:00: the hour from 02:00 on does not exist.
        ("Europe/Prague", "01:00-05:00", "2027-03-28T00:00Z", "2027-03-28T03:00Z"),
        ("Europe/Prague", "02:00-05:00", "2027-03-28T01:00Z", "2027-03-28T03:00Z"),
        ("Europe/Prague", "02:30-04:00", "2027-03-28T01:00Z", "2027-03-28T02:00Z"),
        ("Europe/Prague", "01:00-02:30", "2027-03-28T00:00Z", "2027-03-28T01:00Z"),
        ("Europe/Prague", "Sun 00:00-24:00", "2027-03-27T23:00Z", "2027-03-28T22:00Z"),
        ("Europe/Prague", "Sat 22:00-04:00", "2027-03-27T21:00Z", "2027-03-28T02:00Z"),
        // The clocks go from 03:00 to 02:00: the hour from 02:00 on comes twice.
        ("Europe/Prague", "01:00-05:00", "2027-10-30T23:00Z", "2027-10-31T04:00Z"),
        ("Europe/Prague", "02:00-05:00", "2027-10-31T00:00Z", "2027-10-31T04:00Z"),
        ("Europe/Prague", "02:30-04:00", "2027-10-31T00:30Z", "2027-10-31T03:00Z"),
        ("Europe/Prague", "01:00-02:30", "2027-10-30T23:00Z", "2027-10-31T00:30Z"),
        ("Europe/Prague", "02:10-02:40", "2027-10-31T00:10Z", "2027-10-31T00:40Z"),
        ("Europe/Prague", "03:00-04:00", "2027-10-31T02:00Z", "2027-10-31T03:00Z"),
        ("Europe/Prague", "Sun 00:00-24:00", "2027-10-30T22:00Z", "2027-10-31T23:00Z"),
        ("Europe/Prague", "Sat 22:00-04:00", "2027-10-30T20:00Z", "2027-10-31T03:00Z"),
        // In the south, summer is in January.
        ("Australia/Sydney", "02:30-04:00", "2027-10-02T16:00Z", "2027-10-02T17:00Z"),
        ("Australia/Sydney", "02:30-04:00", "2027-04-03T15:30Z", "2027-04-03T18:00Z"),
        // Half an hour: from 02:00 to 02:30, and from 02:00 to 01:30.
        ("Australia/Lord_Howe", "02:10-03:00", "2027-10-02T15:30Z", "2027-10-02T16:00Z"),
        ("Australia/Lord_Howe", "01:45-02:15", "2027-04-03T14:45Z", "2027-04-03T15:45Z"),
        // From midnight to 01:00, and from midnight to 23:00 on the day before.
        ("America/Santiago", "Sun 00:00-02:00", "2027-09-05T04:00Z", "2027-09-05T05:00Z"),
        ("America/Santiago", "Sat 23:30-24:00", "2027-04-04T02:30Z", "2027-04-04T04:00Z"),
        ("America/Santiago", "Sun 00:00-01:00", "2027-04-04T04:00Z", "2027-04-04T05:00Z"),
        // From 00:30 on Sunday to 23:30 on Saturday: it stays open while it is Saturday again.
        (
            "AAA0BBB,M3.5.0,M10.5.0/0:30",
            "Sun 00:00-01:00",
            "2027-10-30T23:00Z",
            "2027-10-31T01:00Z",
        ),
        (
            "AAA0BBB,M3.5.0,M10.5.0/0:30",
            "Sun 00:00-00:20",
            "2027-10-30T23:00Z",
            "2027-10-30T23:20Z",
        ),
        // Summer time is standard time, and the clocks are behind it in winter.
        ("Europe/Dublin", "01:30-03:00", "2027-03-28T01:00Z", "2027-03-28T02:00Z"),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "01:30-03:00", "2027-03-28T01:00Z", "2027-03-28T02:00Z"),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "01:30-03:00", "2027-10-31T00:30Z", "2027-10-31T03:00Z"),
        // They are behind it for a month.
        (
            "<+01>-1<+00>0,M2.2.0/3,M3.3.0/2",
            "02:30-04:00",
            "2027-02-14T01:30Z",
            "2027-02-14T04:00Z",
        ),
        (
            "<+01>-1<+00>0,M2.2.0/3,M3.3.0/2",
            "02:30-04:00",
            "2027-03-21T02:00Z",
            "2027-03-21T03:00Z",
        ),
    ] {
        let windows = windows_in(zone, list);
        let (opens, closes) = (utc(opens), utc(closes));
        let row = format!("{zone} {list} {opens:?}");
        let second = Duration::from_secs(1);
        assert!(!windows.is_open(opens - second) && windows.is_open(opens), "{row}");
        assert!(windows.is_open(closes - second) && !windows.is_open(closes), "{row}");
        assert_eq!(windows.next_open(opens - second), Some(second), "{row}");
        assert_eq!(windows.closes_in(opens), Some(closes - opens), "{row}");
        // It does not open again in the same night.
        assert!(windows.next_open(opens) > Some(Duration::from_secs(22 * HOUR)), "{row}");
    }
}

#[test]
fn window_in_the_hour_that_does_not_exist_does_not_open() {
    let windows = windows_in("Europe/Prague", "Sun 02:10-02:40");
    let closed = utc("2027-03-21T01:40Z");
    assert_eq!(windows.next_open(closed), Some(utc("2027-04-04T00:10Z") - closed));
    assert!(!windows.is_open(utc("2027-03-28T01:00Z")));
    // One that closes in that hour and one that opens in it follow each other.
    let windows = windows_in("Europe/Prague", "01:00-02:10; 02:40-04:00");
    assert_eq!(windows.closes_in(utc("2027-03-28T00:00Z")), Some(Duration::from_secs(2 * HOUR)));
    let all = windows_in("Europe/Prague", "Mon-Sat 00:00-24:00; Sun 00:00-02:00; Sun 03:00-24:00");
    assert_eq!(all.closes_in(utc("2027-03-22T00:00Z")), None);
    assert_eq!(all.closes_in(utc("2027-03-24T00:00Z")), None);
    assert!(all.closes_in(utc("2027-03-29T00:00Z")).is_some());
}

/// The seconds of a quarter of an hour. The windows and the clocks of this model change at its
/// beginning only.
const QUARTER: i64 = 15 * 60;

/// In each quarter of an hour around a change of the clocks, windows are as in a week without
/// changes, at the latest time that the clocks have shown.
#[test]
fn every_quarter_of_an_hour_around_a_change_matches_a_model() {
    const LISTS: [(&str, &[usize], usize, usize); 6] = [
        ("01:00-05:00", &[0, 1, 2, 3, 4, 5, 6], 60, 300),
        ("Sat,Sun 02:15-02:45", &[5, 6], 135, 165),
        ("Sun 02:30-01:30", &[6], 150, 90),
        ("Sat-Mon 22:00-02:15", &[5, 6, 0], 1320, 135),
        ("Sun 00:00-24:00", &[6], 0, 1440),
        ("Fri,Sat 23:45-00:15", &[4, 5], 1425, 15),
    ];
    for zone in [
        "UTC",
        "Europe/Prague",
        "America/New_York",
        "America/Santiago",
        "America/Nuuk",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Pacific/Chatham",
        "AAA0BBB,M3.5.0,M10.5.0/0:30",
        "IST-1GMT0,M10.5.0,M3.5.0/1",
        // The most that a rule can have: two days.
        "AAA24BBB-24,M3.5.0/1,M10.5.0/3",
    ] {
        let known = jiff::tz::TimeZone::get(zone).or_else(|_| jiff::tz::TimeZone::posix(zone));
        let known = known.unwrap();
        let timestamp = |second| jiff::Timestamp::from_second(second).unwrap();
        let new_year = utc("2027-01-01T00:00Z").as_secs() as i64;
        for change in known.following(timestamp(new_year)).take(2) {
            let days = 2 * DAY as i64;
            let change = change.timestamp().as_second();
            let seconds = (change - days..change + days).step_by(QUARTER as usize);
            let mut latest = i64::MIN;
            let clocks = seconds.map(|second| {
                let offset = known.to_offset(timestamp(second)).seconds();
                latest = latest.max(second + i64::from(offset));
                (second, latest)
            });
            let clocks: Vec<_> = clocks.collect();
            for (list, days, begin, end) in LISTS {
                compare_around_a_change(
                    &windows_in(zone, list),
                    &open_minutes(days, begin, end),
                    &clocks,
                );
            }
        }
    }
}

/// Compares windows with the minutes of a week in which they are open, at some moments. With
/// each is the latest time that the clocks have shown.
#[track_caller]
fn compare_around_a_change(windows: &Windows, open: &[bool], clocks: &[(i64, i64)]) {
    // 1970-01-01 was a Thursday.
    let is_open = |local: i64| open[((local / 60) as usize + 3 * 1440) % WEEK_MINUTES];
    let mut opens = None;
    let mut later_is_open = false;
    for (second, local) in clocks.iter().rev() {
        let now_is_open = is_open(*local);
        if later_is_open && !now_is_open {
            opens = Some(second + QUARTER);
        }
        let [first, last] =
            [*second, second + QUARTER - 1].map(|second| Duration::from_secs(second as u64));
        assert_eq!(windows.is_open(first), now_is_open, "{windows:?} at {first:?}");
        assert_eq!(windows.is_open(last), now_is_open, "{windows:?} at {last:?}");
        if let Some(opens) = opens {
            let wait = Duration::from_secs((opens - second) as u64);
            assert_eq!(windows.next_open(first), Some(wait), "{windows:?} at {first:?}");
        }
        later_is_open = now_is_open;
    }
}
