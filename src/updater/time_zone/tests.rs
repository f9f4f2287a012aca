//! Tests of time zones. The rules and the names are compared with jiff, a library for dates
//! and times that has the whole IANA database.

extern crate std;
use super::*;
use crate::tests::Numbers;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone as Known};
use jiff::{SignedDuration, Timestamp};
use std::format;
use std::string::String;
use std::vec::Vec;

/// How many moments of each zone are compared. In a release build they are six million. In a
/// debug build these would take minutes, so it compares a sample:
/// `cargo test --release --lib time_zone` compares all.
const MOMENTS: u64 = if cfg!(debug_assertions) { 50 } else { 10_000 };

/// The first moment that is compared: 2026-11-01. The table has no rule of the past.
const FIRST: i64 = 1_793_491_200;
/// The end of the time that is compared: 2100-01-01.
const LAST: i64 = 4_102_444_800;

fn zone(text: &str) -> TimeZone {
    TimeZone::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
}

/// The names in the table.
fn names() -> Vec<String> {
    let table = str::from_utf8(TABLE).unwrap();
    let mut names = Vec::new();
    for word in table.lines().flat_map(|line| line.split(' ').skip(1)) {
        let (area, cities) = word.rsplit_once('/').unwrap_or(("", word));
        let separator = if area.is_empty() { "" } else { "/" };
        names.extend(cities.split(',').map(|city| format!("{area}{separator}{city}")));
    }
    names
}

fn known_offset(known: &Known, moment: i64) -> i32 {
    known.to_offset(Timestamp::from_second(moment).unwrap()).seconds()
}

/// The first moment at which the clocks show `local` or a later time, as jiff has it.
fn known_first_moment(known: &Known, local: i64) -> i64 {
    let civil = DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
        .checked_add(SignedDuration::from_secs(local))
        .unwrap();
    let ambiguous = known.to_ambiguous_timestamp(civil);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            ambiguous.earlier().unwrap().as_second()
        }
        AmbiguousOffset::Gap { before, .. } => {
            let after = local - i64::from(before.seconds());
            let after = Timestamp::from_second(after + 1).unwrap();
            known.preceding(after).next().unwrap().timestamp().as_second()
        }
    }
}

/// Compares a zone at random moments with what jiff has. Every other one is within some hours
/// of a change of the clocks, if they change.
fn compare(name: &str, zone: &TimeZone, known: &Known, numbers: &mut Numbers) {
    for number in 0..MOMENTS {
        let mut moment = FIRST + numbers.below((LAST - FIRST) as u64) as i64;
        let from = Timestamp::from_second(moment).unwrap();
        if number % 2 == 1
            && let Some(change) = known.following(from).next()
        {
            let near = numbers.below(12 * 3_600) as i64 - 6 * 3_600;
            moment = change.timestamp().as_second() + numbers.one_of(&[0, -1, near]);
        }
        let offset = known_offset(known, moment);
        assert_eq!(zone.offset(moment), offset, "{name} at {moment}");
        // After the clocks were turned forward, the local times half an hour ago do not exist.
        for local in [moment, moment - 1_800].map(|moment| moment + i64::from(offset)) {
            let first = known_first_moment(known, local);
            assert_eq!(zone.first_moment(local), first, "{name} at local time {local}");
        }
    }
}

/// The zones whose clocks are to be changed on other days than the rule says.
const EXCEPTIONS: [&str; 4] = [
    // Only until 2027-11-07: the clocks stay on daylight saving time in the winter before.
    "America/Havana",
    // Each year, for Ramadan.
    "Asia/Gaza",
    "Asia/Hebron",
    "Cuba",
];

#[test]
fn zones_match_a_library_at_10_000_random_moments_each() {
    let mut numbers = Numbers(1);
    for name in names().iter().filter(|name| !EXCEPTIONS.contains(&name.as_str())) {
        compare(name, &zone(name), &Known::get(name).unwrap(), &mut numbers);
    }
}

/// The changes of the clocks by the rule of a zone.
fn changes(zone: &TimeZone) -> Vec<i64> {
    let Some(daylight) = &zone.daylight else { return Vec::new() };
    let years = (FIRST..LAST).step_by(365 * 86_400);
    let changes = years.flat_map(|moment| zone.changes_around(moment, daylight));
    changes.flatten().map(|(at, _)| at).filter(|at| (FIRST..LAST).contains(at)).collect()
}

/// Looks at each change of the clocks to come, by the database and by the rule, and not only
/// at random moments.
#[test]
fn all_exceptions_from_the_rules_are_known() {
    let mut differs = names();
    differs.retain(|name| {
        let (zone, known) = (zone(name), Known::get(name).unwrap());
        let known_changes = known.following(Timestamp::from_second(FIRST).unwrap());
        let known_changes = known_changes.map(|change| change.timestamp().as_second());
        known_changes
            .take_while(|moment| *moment < LAST)
            .chain(changes(&zone))
            .flat_map(|moment| [moment - 1, moment])
            .any(|moment| zone.offset(moment) != known_offset(&known, moment))
    });
    differs.sort();
    assert_eq!(differs, EXCEPTIONS);
}

#[test]
fn names_are_those_of_the_iana_database() {
    let mut names = names();
    names.sort();
    let known = jiff::tz::db().available().map(|name| String::from(name.as_str()));
    let mut known: Vec<_> = known.collect();
    known.sort();
    assert_eq!(names, known);
    assert!(names.len() > 590, "{}", names.len());
}

#[test]
fn rules_match_a_library() {
    let mut numbers = Numbers(2);
    for rule in [
        "UTC0",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "EST5EDT,M3.2.0/2,M11.1.0/2:00:00",
        // The time that is called summer time is an hour behind standard time, in winter.
        "IST-1GMT0,M10.5.0,M3.5.0/1",
        "<+01>-1<+00>0,M2.3.0/3,M3.4.0/2",
        // Half an hour; fifteen minutes past the hour; a change on the evening before.
        "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
        "<+1245>-12:45<+1345>,M9.5.0/2:45,M4.1.0/3:45",
        "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
        "<-04>4<-03>,M9.1.6/24,M4.1.6/24",
        // Days of the year, with and without February 29.
        "AAA-1BBB,J60,J300",
        "AAA-1BBB,J59,J365/24",
        "AAA-1BBB,59,300",
        "AAA-1BBB,60/0:30,364/1:02:03",
        // Far from UTC, and far from midnight.
        "AAA24BBB23,M3.1.1/167,M12.1.1/-167",
        "AAA-24:59:59BBB,J40/4,J182/-4",
        "LMT-0:57:44",
        // In the exceptions.
        "CST5CDT,M3.2.0/0,M11.1.0/1",
        "EET-2EEST,M3.4.4/50,M10.4.4/50",
    ] {
        compare(rule, &zone(rule), &Known::posix(rule).unwrap(), &mut numbers);
    }
}

/// A change may be a week after the end of its year, or before the beginning. The library
/// does not look there.
#[test]
fn changes_may_be_in_another_year() {
    for (rule, moment, hours) in [
        // Midnight of a new year.
        ("AAA0BBB,J365/24,J100", 1_798_761_599, 0),
        ("AAA0BBB,J365/24,J100", 1_798_761_600, 1),
        ("AAA0BBB,J100,J1/-1", 1_798_761_600 - 7_201, 1),
        ("AAA0BBB,J100,J1/-1", 1_798_761_600 - 7_200, 0),
        // Six days and 23 hours after December 31, and before January 1.
        ("AAA0BBB,J365/167,J100", 1_798_675_200 + 167 * 3_600 - 1, 0),
        ("AAA0BBB,J365/167,J100", 1_798_675_200 + 167 * 3_600, 1),
        ("AAA0BBB,J1/-167,J100", 1_798_761_600 - 167 * 3_600 - 1, 0),
        ("AAA0BBB,J1/-167,J100", 1_798_761_600 - 167 * 3_600, 1),
        // Both.
        ("AAA0BBB,J364/167,J365/167", 1_798_588_800 + 167 * 3_600 - 1, 0),
        ("AAA0BBB,J364/167,J365/167", 1_798_588_800 + 167 * 3_600, 1),
        ("AAA0BBB,J364/167,J365/167", 1_798_675_200 + 166 * 3_600, 0),
        // It has lasted since the changes of the year before the last.
        ("AAA0BBB,J365/167,J364/167", 1_798_675_200 + 72 * 3_600, 1),
    ] {
        assert_eq!(zone(rule).offset(moment), hours * HOUR, "{rule} at {moment}");
    }
}

#[test]
fn daylight_saving_time_may_last_all_year() {
    // It ends at the moment at which that of the next year begins.
    let zone = zone("EST5EDT,0/0,J365/25");
    let mut numbers = Numbers(3);
    for _ in 0..MOMENTS {
        let moment = numbers.below(LAST as u64) as i64;
        assert_eq!(zone.offset(moment), -4 * HOUR, "{moment}");
    }
    assert_eq!(zone.offset(FIRST + 5 * 3_600), -4 * HOUR);
}

#[test]
fn invalid_zones_are_refused() {
    for text in [
        "",
        " ",
        "Europe",
        "Europe/",
        "/Prague",
        "Prague",
        "europe/prague",
        "Europe/Praha",
        "Europe/Prague ",
        " Europe/Prague",
        "Europe/Prague,Berlin",
        "Europe/Berlin,Prague",
        "Africa/Ceuta Europe/Prague",
        "CET-1CEST,M3.5.0,M10.5.0/3 Africa/Ceuta",
        "Europe/Prague\nUTC0",
        "\n",
        ":Europe/Prague",
        "../Europe/Prague",
        // Rules with something missing, too much, or too large.
        "CE",
        "CES",
        "CE1",
        "CET1x",
        "CET-",
        "CET--1",
        "CET25",
        "CET-1:60",
        "CET-1:00:60",
        "CET-1:",
        "CET-1:0:",
        "CET-1CEST",
        "CET-1CE,M3.5.0,M10.5.0",
        "CET-1CEST-2",
        "CET-1CEST,M3.5.0",
        "CET-1CEST,M3.5.0,",
        "CET-1CEST,M3.5.0,M10.5.0,",
        "CET-1CEST,M3.5.0,M10.5.0,J1",
        "CET-1CEST,M3.5.0,M10.5.0/3 ",
        "CET-1CEST,M0.5.0,M10.5.0",
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.0.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0",
        "CET-1CEST,M3.5.7,M10.5.0",
        "CET-1CEST,M3.5,M10.5.0",
        "CET-1CEST,M3,M10.5.0",
        "CET-1CEST,M3.5.0/168,M10.5.0",
        "CET-1CEST,M3.5.0/-168,M10.5.0",
        "CET-1CEST,M3.5.0/,M10.5.0",
        "CET-1CEST,J0,J365",
        "CET-1CEST,J1,J366",
        "CET-1CEST,0,366",
        "CET-1CEST,-1,365",
        "CET-1CEST,,",
        "CET18446744073709551616",
        "<+03-3",
        "<+03",
        "+03>-3",
        "<>-3",
        "<+3>-3",
        "<+0 3>-3",
        "<CET-1CEST,M3.5.0,M10.5.0/3",
        "č\u{161}t-1",
    ] {
        assert_eq!(TimeZone::parse(text.as_bytes()), None, "{text:?}");
    }
    for byte in 0..=u8::MAX {
        let _ = TimeZone::parse(&[byte; 9]);
        let _ = TimeZone::parse(&[b'U', b'T', b'C', byte, b'1', byte, byte, b'1', byte]);
    }
}

#[test]
fn names_and_rules_are_read() {
    for (text, same) in [
        ("UTC", "UTC0"),
        ("Etc/GMT+5", "<-05>5"),
        ("EST5EDT", "EST5EDT,M3.2.0,M11.1.0"),
        ("Europe/Prague", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("Europe/Dublin", "Europe/London"),
        ("America/Argentina/Buenos_Aires", "<-03>3"),
        ("Cuba", "America/Havana"),
        // The defaults, in words.
        ("AAA-1BBB-2,J60/2:00:00,300/+2:0", "AAA-01BBB,J60,300"),
        ("AAA+24", "<+-9z>24:00:00"),
    ] {
        assert_eq!(zone(text), zone(same), "{text}");
    }
    assert_eq!(zone("UTC"), TimeZone::UTC);
    assert_eq!(TimeZone::default(), TimeZone::UTC);
}
