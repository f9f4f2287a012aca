//! Any text, as update windows: those that are taken for some are open when a
//! simple reader says so, and say themselves when they open.
#![no_main]

use bottlerocket_updater::updater::window::Windows;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const WEEK: u64 = 7 * 24 * 60;

fuzz_target!(|input: (&[u8], u64, u32)| {
    let (text, seconds, nanos) = input;
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
    let wait = windows.next_open(utc).expect("there is a window");
    assert!(!wait.is_zero() && wait <= Duration::from_secs(WEEK * 60));
    // At the beginning of the first minute behind this one that is one's first.
    let minute = utc.as_secs() / 60 + 3 * 24 * 60;
    let first = (minute + 1..=minute + WEEK).find(|next| begins[(next % WEEK) as usize]);
    let opens = Duration::from_secs((first.expect("a week has all") - 3 * 24 * 60) * 60);
    assert_eq!(utc + wait, opens, "{text} at {utc:?}");
});

/// The minutes of a week in which windows are open, and those with which they begin,
/// by what is written.
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
