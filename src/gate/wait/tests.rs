//! The wait by a scripted clock: statuses and errors, steps and events.

extern crate std;
use super::*;
use crate::api::status::{LastCommand, State};
use crate::http::response::Progress;
use crate::reporting::log::Format;
use crate::text::excerpt::Excerpt;
use rustix::io::Errno;
use std::format;
use std::string::{String, ToString};
use std::sync::OnceLock;
use std::vec::Vec;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

static NO_STDERR: OnceLock<Excerpt> = OnceLock::new();

fn image(version: &str) -> Image<'_> {
    Image { version, variant: "v", arch: "a" }
}

fn settings() -> Settings {
    Settings { interval: SECOND * 5, give_up: MINUTE * 5, max_wait: None, boot_attempts: 2 }
}

/// An answer for a short text: the state, the chosen and the staged version, or an error.
fn answer(text: &str) -> Result<Answer<'_>, CallError<'_>> {
    let mut words = text.split(' ');
    let mut last_command = None;
    let state = match words.next().unwrap() {
        refreshed if refreshed.starts_with("Idle@") => {
            last_command = Some(LastCommand {
                name: "refresh",
                outcome: "Success",
                timestamp: refreshed.trim_start_matches("Idle@"),
                exit_status: "0",
                stderr: NO_STDERR.get_or_init(Excerpt::default),
            });
            State::Idle
        }
        "busy" => return Ok(Answer::Busy),
        "404" => return Ok(Answer::Uninitialized),
        "missing" => return Err(CallError::Connect(Errno::NOENT)),
        "refused" => return Err(CallError::Connect(Errno::CONNREFUSED)),
        "timeout" => return Err(CallError::Timeout(Progress::Nothing)),
        state => State::ALL.into_iter().find(|other| other.name() == state).unwrap(),
    };
    let mut next = || words.next().filter(|word| *word != "-").map(image);
    let (chosen, staged) = (next(), next());
    let (running, offered) = (None, None);
    Ok(Answer::Status(Status { state, chosen, running, staged, offered, last_command }))
}

/// A gate, the clock, and what the host has.
struct Script {
    gate: Gate,
    now: Duration,
    record: Option<RebootRecord>,
    unreadable: bool,
    running: &'static str,
}

impl Script {
    /// In the boot `second`, after a reboot from 1.26.0 to 1.26.1 that was requested
    /// `attempts` times. The clock does not begin at zero.
    fn new(settings: Settings, attempts: u64) -> Self {
        let record = RebootRecord::new("first", "1.26.0", image("1.26.1"));
        let record = Some(RebootRecord { attempts, ..record });
        let now = MINUTE * 100;
        let gate = Gate::begin(settings, now);
        Self { gate, now, record, unreadable: false, running: "1.26.0" }
    }

    /// Looks once. Returns the names of the events, with a few fields, and the step.
    /// Waits as the step says.
    fn look(&mut self, text: &str) -> String {
        let mut events = Vec::new();
        let host = Host {
            record: self.record.as_ref(),
            unreadable: self.unreadable,
            boot: Some("second"),
            running: Some(self.running),
            failed: None,
            socket: b"/run/api.sock",
        };
        let mut emit = |event: Event| events.push(short(&event));
        let mut step = self.gate.on_record(self.now, &host, &mut emit);
        let answer = answer(text);
        if step == Step::ReadStatus {
            step = self.gate.on_answer(self.now, &host, &answer, &mut emit);
        } else {
            events.push("without the status".into());
        }
        let shown = match step {
            Step::ReadStatus => "read".to_string(),
            Step::Wait(pause) => {
                self.now += pause;
                format!("wait {}s", pause.as_secs())
            }
            Step::Reboot(image) => format!("reboot into {}", image.version),
            Step::TakeBack => "take back".into(),
            Step::Open(_) => "open".into(),
            Step::GiveUp => "give up".into(),
        };
        events.push(shown);
        events.join(", ")
    }

    /// Looks for `time`, and expects that each look only waits.
    #[track_caller]
    fn hold_for(&mut self, time: Duration, text: &str) {
        let end = self.now + time;
        while self.now + self.gate.settings.interval < end {
            assert_eq!(self.look(text), "wait 5s", "{:?}", self.now);
        }
        self.now = end;
    }
}

fn short(event: &Event) -> String {
    let line = event.record(Format::Logfmt, Duration::ZERO).finish().to_vec();
    let line = String::from_utf8(line).unwrap();
    let field = |key: &str| {
        let key = format!(" {key}=");
        line.split_once(&key).map(|(_, rest)| rest.split([' ', '\n']).next().unwrap().to_string())
    };
    let fields = ["event", "reason", "state", "failed_boots", "after"].map(field);
    fields.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[test]
fn hold_is_logged_at_once_and_every_ten_minutes() {
    let mut script = Script::new(settings(), 2);
    assert_eq!(script.look("404"), "held_by_gate unknown, wait 5s");
    script.hold_for(MINUTE * 10 - SECOND * 5, "Available 1.26.1 -");
    assert_eq!(script.look("Available 1.26.1 -"), "held_by_gate Available, wait 5s");
    script.hold_for(MINUTE * 10 - SECOND * 5, "busy");
    assert_eq!(script.look("busy"), "held_by_gate unknown, wait 5s");
}

#[test]
fn gate_that_has_nothing_to_wait_for_does_not_ask_the_api() {
    for (running, opening) in [("1.26.1", "updated"), ("1.26.2", "other_version")] {
        let mut script = Script { running, ..Script::new(settings(), 2) };
        let expected = format!("opened {opening}, without the status, open");
        assert_eq!(script.look("missing"), expected);
    }
    let mut script = Script { record: None, ..Script::new(settings(), 1) };
    assert_eq!(script.look("missing"), "opened no_record, without the status, open");
}

#[test]
fn in_the_same_boot_the_api_is_asked_once() {
    for (text, opening) in [
        ("missing", "same_boot"),
        ("timeout", "same_boot"),
        ("busy", "same_boot"),
        ("Ready 1.26.1 1.26.1", "same_boot"),
        ("Staged 1.26.1 1.26.1", "void"),
    ] {
        let mut script = Script::new(settings(), 1);
        script.record.as_mut().unwrap().boot = "second".try_into().unwrap();
        assert_eq!(script.look(text), format!("opened {opening}, open"), "{text}");
    }
}

#[test]
fn removed_record_opens_as_released() {
    let mut script = Script::new(settings(), 2);
    script.look("404");
    script.record = None;
    assert_eq!(script.look("404"), "opened released, without the status, open");
    // A record that cannot be read any more is no release.
    let mut script = Script::new(settings(), 2);
    script.look("404");
    (script.record, script.unreadable) = (None, true);
    assert_eq!(script.look("404"), "opened no_record, without the status, open");
}

#[test]
fn longest_wait_opens_at_its_time_even_if_the_api_is_away() {
    let max_wait = Some(MINUTE + SECOND * 2);
    for text in ["Available 1.26.1 -", "404", "missing", "timeout"] {
        let mut script = Script::new(Settings { max_wait, ..settings() }, 2);
        let begun = script.now;
        script.look(text);
        while script.now < begun + MINUTE {
            assert_eq!(script.look(text), "wait 5s", "{text}");
        }
        assert_eq!(script.look(text), "wait 2s", "{text}");
        assert_eq!(script.look(text), "opened max_wait, without the status, open", "{text}");
    }
}

#[test]
fn gate_gives_up_on_a_socket_that_nobody_serves() {
    let mut script = Script::new(Settings { give_up: SECOND * 12, ..settings() }, 2);
    assert_eq!(script.look("missing"), "api_lost, held_by_gate unknown, wait 5s");
    assert_eq!(script.look("refused"), "wait 5s");
    assert_eq!(script.look("missing"), "wait 2s");
    assert_eq!(script.look("refused"), "gave_up 12s, give up");
}

#[test]
fn answer_and_other_errors_begin_the_time_to_give_up_anew() {
    for text in ["timeout", "busy", "Available 1.26.1 -"] {
        let mut script = Script::new(Settings { give_up: SECOND * 12, ..settings() }, 2);
        script.look("missing");
        script.look("missing");
        script.look(text);
        script.look("missing");
        script.look("missing");
        assert_eq!(script.look("missing"), "wait 2s", "{text}");
        assert_eq!(script.look("missing"), "gave_up 12s, give up", "{text}");
    }
}

#[test]
fn outage_is_reported_once_for_each_kind_and_each_hour() {
    let mut script = Script::new(Settings { interval: MINUTE, ..settings() }, 2);
    script.look("404");
    assert_eq!(script.look("timeout"), "api_lost, wait 60s");
    let mut reports = Vec::new();
    for minute in 2..=130 {
        if script.look("timeout").starts_with("api_lost") {
            reports.push(minute);
        }
    }
    assert_eq!(reports, [61, 121]);
    assert!(script.look("missing").starts_with("api_lost"));
    assert!(script.look("404").starts_with("api_back 2h11m"));
}

#[test]
fn failed_version_that_is_ready_again_is_tried_once() {
    let mut script = Script::new(settings(), 1);
    assert_eq!(script.look("Available 1.26.1 -"), "held_by_gate Available, wait 5s");
    assert_eq!(script.look("Staged 1.26.1 1.26.1"), "wait 5s");
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "trying_again 1, reboot into 1.26.1");
    script.record = script.record.map(|record| record.again("second"));
    script.gate.on_reboot(script.now);
    // The node goes down, and in the next boot the old version runs.
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "wait 5s");
    assert_eq!(script.look("missing"), "api_lost, wait 5s");
    script.record.as_mut().unwrap().boot = "between".try_into().unwrap();
    let mut script = Script { record: script.record, ..Script::new(settings(), 0) };
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "held_by_gate Ready, wait 5s");
    script.hold_for(MINUTE * 9, "Ready 1.26.1 1.26.1");
}

#[test]
fn reboot_that_was_refused_is_tried_again_after_ten_minutes() {
    let mut script = Script::new(settings(), 1);
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "trying_again 1, reboot into 1.26.1");
    script.gate.on_reboot(script.now);
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "held_by_gate Ready, wait 5s");
    script.hold_for(MINUTE * 10 - SECOND * 5, "Ready 1.26.1 1.26.1");
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "trying_again 1, reboot into 1.26.1");
}

#[test]
fn gate_that_was_restarted_while_the_node_goes_down_waits() {
    let mut script = Script::new(settings(), 2);
    script.record.as_mut().unwrap().boot = "second".try_into().unwrap();
    assert_eq!(script.look("missing"), "api_lost, held_by_gate unknown, wait 5s");
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "api_back 5s, wait 5s");
    script.hold_for(MINUTE * 9 + SECOND * 50, "Ready 1.26.1 1.26.1");
    // It has not gone down: the reboot is requested again, and counts only once.
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "trying_again 2, reboot into 1.26.1");
    script.gate.on_reboot(script.now);
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "held_by_gate Ready, wait 5s");
    // It is no longer Ready: that attempt does not count.
    assert_eq!(script.look("Staged 1.26.2 1.26.1"), "take back");
    script.record = script.record.map(|record| record.taken_back());
    assert_eq!(script.look("Staged 1.26.2 1.26.1"), "wait 5s");
}

#[test]
fn record_that_cannot_be_written_is_not_tried_in_each_look() {
    let mut script = Script::new(settings(), 1);
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "trying_again 1, reboot into 1.26.1");
    script.gate.on_unsaved(script.now);
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "held_by_gate Ready, wait 5s");
    script.hold_for(MINUTE * 10 - SECOND * 5, "Ready 1.26.1 1.26.1");
    assert_eq!(script.look("Ready 1.26.1 1.26.1"), "trying_again 1, reboot into 1.26.1");
}

#[test]
fn good_version_opens() {
    let mut script = Script::new(settings(), 2);
    script.look("Available 1.26.1 -");
    assert_eq!(script.look("Available 1.26.2 -"), "wait 5s");
    assert_eq!(script.look("Ready 1.26.2 1.26.2"), "opened other_ready, open");
}

/// The API takes unreadable output of a refresh for a success that has found nothing.
#[test]
fn one_refresh_that_finds_nothing_is_no_withdrawal() {
    let opened = "opened nothing_chosen, open";
    let mut script = Script::new(settings(), 2);
    assert_eq!(script.look("Idle@1"), "held_by_gate Idle, wait 5s");
    script.hold_for(MINUTE, "Idle@1");
    assert_eq!(script.look("Idle@2"), opened);

    // The next refresh finds the version again.
    let mut script = Script::new(settings(), 2);
    assert_eq!(script.look("Idle@1"), "held_by_gate Idle, wait 5s");
    script.hold_for(MINUTE, "Available 1.26.1 -");
    script.hold_for(MINUTE, "Idle@3");
    script.hold_for(MINUTE, "busy");
    assert_eq!(script.look("Idle@4"), opened);

    // A version that is staged was chosen before.
    assert_eq!(Script::new(settings(), 2).look("Staged - 1.26.1"), opened);
}
