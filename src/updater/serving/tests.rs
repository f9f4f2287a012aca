//! The start of the metrics server, on a scripted clock.

extern crate std;
use super::*;
use std::string::String;
use std::vec::Vec;

const ADDRESS: Listen = Listen { text: b":8080", address: None, port: 8080 };
const TAKEN: Result<(&str, u16), Errno> = Err(Errno::ADDRINUSE);

/// Tries at `now`, and returns the names of the events.
fn attempt(
    serving: &mut Serving<&'static str>,
    now: u64,
    result: Result<(&'static str, u16), Errno>,
) -> Vec<String> {
    let mut names = Vec::new();
    let emit = &mut |event: Event| {
        let mut record = event.record(crate::reporting::log::Format::Logfmt, Duration::ZERO);
        let line = String::from_utf8(record.finish().to_vec()).unwrap();
        let (_, rest) = line.trim_end().split_once(" event=").unwrap();
        let fields = rest.rsplit_once("address=").unwrap().1;
        names.push(std::format!("{} {fields}", event.kind().name()));
    };
    serving.start_if_due(Duration::from_secs(now), |_| result, emit);
    names
}

#[test]
fn server_starts_at_the_first_attempt() {
    let mut serving = Serving::new(Some(ADDRESS));
    assert_eq!(serving.next_attempt(), Some(Duration::ZERO));
    assert_eq!(serving.server(), None);
    let told = attempt(&mut serving, 100, Ok(("server", 8080)));
    assert_eq!(told, ["serving_metrics :8080 port=8080"]);
    assert_eq!(serving.server(), Some(&mut "server"));
    assert_eq!(serving.next_attempt(), None);
    // A server that runs is not started again.
    assert_eq!(attempt(&mut serving, 1_000, TAKEN), [""; 0]);
    assert_eq!(serving.server(), Some(&mut "server"));
}

#[test]
fn pauses_between_attempts_double_up_to_a_minute() {
    let mut serving = Serving::new(Some(ADDRESS));
    let mut now = 100;
    let told = attempt(&mut serving, now, TAKEN);
    assert_eq!(told, ["serving_failed :8080 error=\"address already in use\""]);
    for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        assert_eq!(serving.next_attempt(), Some(Duration::from_secs(now + pause)));
        // It is too early, so this is not tried.
        assert_eq!(attempt(&mut serving, now + pause - 1, Ok(("early", 1))), [""; 0]);
        now += pause;
        // The same error is reported once.
        assert_eq!(attempt(&mut serving, now, TAKEN), [""; 0]);
    }
    let told = attempt(&mut serving, now + 60, Ok(("server", 8080)));
    assert_eq!(told, ["serving_metrics :8080 port=8080"]);
    assert_eq!(serving.server(), Some(&mut "server"));
}

#[test]
fn another_error_is_reported() {
    let mut serving = Serving::new(Some(ADDRESS));
    attempt(&mut serving, 0, TAKEN);
    let told = attempt(&mut serving, 1, Err(Errno::MFILE));
    assert_eq!(told, ["serving_failed :8080 error=\"too many open files\""]);
    assert_eq!(attempt(&mut serving, 10, Err(Errno::MFILE)), [""; 0]);
    let told = attempt(&mut serving, 100, TAKEN);
    assert_eq!(told, ["serving_failed :8080 error=\"address already in use\""]);
}

#[test]
fn nothing_is_served_without_an_address() {
    let mut serving = Serving::new(None);
    assert_eq!(attempt(&mut serving, 100, Ok(("server", 1))), [""; 0]);
    assert_eq!((serving.next_attempt(), serving.server()), (None, None));
}
