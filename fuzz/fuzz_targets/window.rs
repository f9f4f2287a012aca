//! Reads any text as update windows, and any text behind a `|` as a time zone. Valid windows are open,
//! and open next, at the times that a simple model gives. In a time zone they are open when
//! they are open in UTC at the latest time that the clocks have shown.
#![no_main]

use bottlerocket_updater::updater::time_zone::TimeZone;
use bottlerocket_updater::updater::window::Windows;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const WEEK: u64 = 7 * 24 * 60;

fuzz_target!(|input: (&[u8], u64, u32)| {
    let (texts, seconds, nanos) = input;
    let mut texts = texts.splitn(2, |byte| *byte == b'|');
    let text = texts.next().unwrap_or_default();
    let zone = texts.next().and_then(TimeZone::parse);
    let mut windows = Windows::new();
    if windows.add(text).is_err() {
        return;
    }
    let text = std::str::from_utf8(text).expect("days and times");
    let utc = Duration::new(seconds % (1 << 40), nanos % 1_000_000_000);
    let (open, begins) = minutes(text);
    let is_open = |at: Duration| {
        // 1970-01-01 was a Thursday.
        let minute = (at.as_secs() / 60 + 3 * 24 * 60) % WEEK;
        open[minute as usize]
    };
    assert_eq!(windows.is_open(utc), is_open(utc), "{text} at {utc:?}");
    let minute = utc.as_secs() / 60 + 3 * 24 * 60;
    // The next minute in which no window is open.
    let first = (minute..minute + WEEK).find(|next| !open[(next % WEEK) as usize]);
    let closes = first.map(|first| Duration::from_secs((first - 3 * 24 * 60) * 60));
    let closes_in = closes.map(|closes| closes.saturating_sub(utc));
    assert_eq!(windows.closes_in(utc), closes_in, "{text} at {utc:?}");
    let wait = windows.next_open(utc).expect("there is a window");
    assert!(!wait.is_zero() && wait <= Duration::from_secs(WEEK * 60));
    // The next minute in which a window opens.
    let first = (minute + 1..=minute + WEEK).find(|next| begins[(next % WEEK) as usize]);
    let opens = Duration::from_secs((first.expect("a window opens each week") - 3 * 24 * 60) * 60);
    assert_eq!(utc + wait, opens, "{text} at {utc:?}");
    if let Some(zone) = zone {
        // Whole seconds, some days after 1970-01-01.
        check_in(&windows, zone, 1_000_000 + seconds % (1 << 32));
    }
});

/// Checks windows in a time zone, at a moment.
fn check_in(in_utc: &Windows, zone: TimeZone, moment: u64) {
    let mut windows = in_utc.clone();
    windows.zone = zone;
    let now = moment as i64;
    let shown = |moment: i64| moment + i64::from(zone.offset(moment));
    // The latest time that the clocks have shown: the last that is reached, if they were
    // turned back by two days at most.
    let (mut latest, mut above) = (shown(now), shown(now) + 2 * 86_400 + 1);
    while above - latest > 1 {
        let middle = latest + (above - latest) / 2;
        match zone.first_moment(middle) <= now {
            true => latest = middle,
            false => above = middle,
        }
    }
    for local in [latest, shown(now), shown(now) + 1, now] {
        let first = zone.first_moment(local);
        assert!(shown(first) >= local, "{zone:?}: {local}");
        for before in [1, 2, 60, 3_600, 86_400, 172_800] {
            assert!(shown(first - before) < local, "{zone:?}: {local}, {before} s before");
        }
    }
    let utc = Duration::from_secs;
    let is_open = windows.is_open(utc(moment));
    assert_eq!(is_open, in_utc.is_open(utc(latest as u64)), "{windows:?} at {moment}");
    match windows.closes_in(utc(moment)).map(|closes_in| closes_in.as_secs()) {
        None => assert!(is_open),
        Some(0) => assert!(!is_open),
        Some(closes_in) => {
            let closes = moment + closes_in;
            assert!(is_open && windows.is_open(utc(closes - 1)) && !windows.is_open(utc(closes)));
        }
    }
    let opens = moment + windows.next_open(utc(moment)).expect("there is a window").as_secs();
    assert!(opens > moment && windows.is_open(utc(opens)), "{windows:?} at {moment}");
    if !is_open {
        for part in 1..8 {
            let between = moment + (opens - moment - 1) * part / 7;
            assert!(!windows.is_open(utc(between)), "{windows:?} at {moment}: {between}");
        }
    }
}

/// A simple model: the minutes of a week in which a window is open, and the minutes in
/// which one opens.
fn minutes(text: &str) -> (Vec<bool>, Vec<bool>) {
    let mut open = vec![false; WEEK as usize];
    let mut begins = open.clone();
    for window in text.split(';') {
        let window = window.trim();
        let (days, times) = window.rsplit_once(char::is_whitespace).unwrap_or(("Mon-Sun", window));
        let (begin, end) = times.split_once('-').expect("two times");
        let [begin, mut end] = [begin, end].map(|time| {
            let (hours, minutes) = time.split_once(':').expect("a time");
            hours.parse::<usize>().expect("hours") * 60 + minutes.parse::<usize>().expect("minutes")
        });
        if end <= begin {
            end += 24 * 60;
        }
        for range in days.split(',') {
            let range = range.trim();
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let [mut day, last] = [first, last].map(|name| {
                DAYS.iter().position(|day| day.eq_ignore_ascii_case(name)).expect("a day")
            });
            loop {
                begins[day * 24 * 60 + begin] = true;
                (begin..end)
                    .for_each(|minute| open[(day * 24 * 60 + minute) % WEEK as usize] = true);
                if day == last {
                    break;
                }
                day = (day + 1) % 7;
            }
        }
    }
    (open, begins)
}
