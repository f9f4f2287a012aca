//! Which events are logged, and what their records are.

extern crate std;
use super::*;
use crate::api::status::{Image, OwnedImage, State, Status};
use crate::api::{Answer, Call, CallError, Command};
use crate::text::timestamp::LocalTime;
use crate::updater::event::EventKind;
use crate::updater::history::Entry;
use rustix::io::Errno;
use std::string::String;
use std::vec::Vec;

const UTC: Duration = Duration::from_millis(1_795_325_532_007);
const SOCKET: &[u8] = b"/run/api.sock";
const TOOK: Duration = Duration::from_millis(1_500);

fn reporter(format: Format, level: Level) -> Reporter {
    let reporter = Reporter::new();
    reporter.configure(format, level);
    reporter
}

/// The line that is written for an event, empty if there is none.
fn line(reporter: &Reporter, event: &Event) -> String {
    let mut lines = String::new();
    reporter.report(event, SOCKET, UTC, |line| lines.push_str(str::from_utf8(line).unwrap()));
    lines
}

/// Which of the events are logged.
fn logged(reporter: &Reporter, events: &[Event]) -> Vec<bool> {
    events.iter().map(|event| !line(reporter, event).is_empty()).collect()
}

fn image(version: &str) -> Option<Image<'_>> {
    Some(Image { version, variant: "aws-k8s-1.30", arch: "x86_64" })
}

fn status(version: &str) -> Status<'_> {
    let chosen = image(version);
    let (state, running) = (State::Available, image("1.26.0"));
    Status { state, chosen, running, staged: chosen, offered: None, last_command: None }
}

fn held(version: &str) -> Entry {
    let mut entry = Entry::default();
    entry.image = image(version).map(OwnedImage::new).unwrap_or_default();
    entry
}

const LOST: Event =
    Event::ApiLost { call: Call::Status, error: CallError::Connect(Errno::CONNREFUSED) };
const BACK: Event = Event::ApiBack { after: TOOK };

#[test]
fn cycle_that_ends_like_the_one_before_is_no_news() {
    let status = status("1.26.1");
    let entry = held("1.26.1");
    let ends = [
        Event::NothingToDo(&status),
        Event::NotChosen { status: &status, offered: "1.27.0" },
        Event::Ready(&status),
        Event::Staged(&status),
        Event::StagedForReboot(&status),
        Event::WindowClosed { status: &status, opens: LocalTime { utc: UTC, offset: 0 } },
        Event::HeldBack { entry: &entry, retry_in: TOOK },
        Event::Soaking { status: &status, ready_in: TOOK },
        Event::RetryDelayed { command: Command::Prepare, version: "1.26.1", retry_in: TOOK },
    ];
    for end in ends {
        let reporter = Reporter::new();
        assert_eq!(logged(&reporter, &[end, end, end]), [true, false, false], "{end:?}");
        // Another end is news, and then this one is news again.
        for other in ends.into_iter().filter(|other| other.kind() != end.kind()) {
            assert_eq!(logged(&reporter, &[other, end]), [true, true], "{other:?}, {end:?}");
        }
        // So it is after anything else that is logged.
        assert_eq!(logged(&reporter, &[LOST, BACK, end, end]), [true, true, true, false]);
    }
    // There are no other ends of a cycle.
    let ends = ends.map(|end| end.kind());
    for kind in EventKind::ALL {
        assert_eq!(kind.ends_cycle(), ends.contains(&kind), "{kind:?}");
    }
}

#[test]
fn other_events_are_always_news() {
    let reporter = Reporter::new();
    assert_eq!(logged(&reporter, &[LOST, LOST, BACK, BACK]), [true; 4]);
    assert_eq!(logged(&reporter, &[Event::LockHeld, Event::LockHeld]), [true; 2]);
}

#[test]
fn debug_events_between_two_cycles_do_not_make_news() {
    let reporter = Reporter::new();
    let status = status("1.26.1");
    let end = Event::NothingToDo(&status);
    let refreshed = Event::Refreshed { version: "1.26.1", took: Some(TOOK) };
    let answer = Ok(Answer::Busy);
    let call = Event::ApiCall { call: Call::Status, answer: &answer, took: TOOK };
    assert_eq!(logged(&reporter, &[end, refreshed, call, end]), [true, false, false, false]);
    // Nor does the daily report.
    let healthy = Event::Healthy { status: &status, cycles: 144, failed_cycles: 0 };
    assert_eq!(logged(&reporter, &[healthy, end, healthy]), [true, false, true]);
    // Nor if they are logged.
    let reporter = reporter_that_logs_all();
    assert!(!line(&reporter, &end).is_empty());
    assert_eq!(logged(&reporter, &[refreshed, call]), [true, true]);
    reporter.configure(Format::Logfmt, Level::Info);
    assert_eq!(line(&reporter, &end), "");
}

fn reporter_that_logs_all() -> Reporter {
    reporter(Format::Logfmt, Level::Debug)
}

#[test]
fn another_version_that_waits_is_news() {
    let [first, second] = ["1.26.1", "1.26.2"].map(status);
    let [first_held, second_held] = ["1.26.1", "1.26.2"].map(held);
    let window = |status| Event::WindowClosed { status, opens: LocalTime { utc: UTC, offset: 0 } };
    let held_back = |entry| Event::HeldBack { entry, retry_in: TOOK };
    let soaking = |status| Event::Soaking { status, ready_in: TOOK };
    let reporter = Reporter::new();
    for (one, other) in [
        (window(&first), window(&second)),
        (held_back(&first_held), held_back(&second_held)),
        (soaking(&first), soaking(&second)),
    ] {
        let events = [one, one, other, other, one];
        assert_eq!(logged(&reporter, &events), [true, false, true, false, true], "{one:?}");
    }
    let not_chosen = |offered| Event::NotChosen { status: &first, offered };
    let [one, other] = ["1.27.0", "1.28.0"].map(not_chosen);
    assert_eq!(logged(&reporter, &[one, one, other, other]), [true, false, true, false]);
    // The other ends are not about a version that waits.
    let events = [Event::NothingToDo(&first), Event::NothingToDo(&second)];
    assert_eq!(logged(&reporter, &events), [true, false]);
    let events = [Event::Ready(&first), Event::Ready(&second)];
    assert_eq!(logged(&reporter, &events), [true, false]);
    let events = [Event::Staged(&first), Event::Staged(&second)];
    assert_eq!(logged(&reporter, &events), [true, false]);
}

#[test]
fn level_limits_what_is_logged() {
    let status = status("1.26.1");
    let end = Event::NothingToDo(&status);
    let vanished = Event::CommandVanished { command: Command::Prepare, version: "1.26.1" };
    let refreshed = Event::Refreshed { version: "1.26.1", took: Some(TOOK) };
    let events = [vanished, end, end, refreshed];
    for (level, expected) in [
        (Level::Error, [true, false, false, false]),
        (Level::Info, [true, true, false, false]),
        (Level::Debug, [true, true, true, true]),
    ] {
        let reporter = reporter(Format::Logfmt, level);
        assert_eq!(logged(&reporter, &events), expected, "{level:?}");
    }
}

/// What was news for another level counts as well.
#[test]
fn event_that_is_not_logged_may_be_news() {
    let status = status("1.26.1");
    let end = Event::NothingToDo(&status);
    let reporter = reporter(Format::Logfmt, Level::Error);
    assert_eq!(logged(&reporter, &[end]), [false]);
    reporter.configure(Format::Logfmt, Level::Info);
    assert_eq!(logged(&reporter, &[end]), [false]);
}

#[test]
fn repeated_end_of_a_cycle_keeps_its_level_in_the_record() {
    let status = status("1.26.1");
    let end = Event::NothingToDo(&status);
    let reporter = reporter_that_logs_all();
    let first = line(&reporter, &end);
    assert!(first.contains(" level=info event=nothing_to_do "), "{first}");
    assert_eq!(line(&reporter, &end), first);
}

#[test]
fn formats() {
    let event = Event::LockStuck { after: TOOK };
    let message = event.kind().message();
    let logfmt = std::format!(
        "time=2026-11-22T05:32:12.007Z level=error event=lock_stuck msg=\"{message}\" \
         after=1s500ms\n"
    );
    let json = std::format!(
        "{{\"time\":\"2026-11-22T05:32:12.007Z\",\"level\":\"error\",\
         \"event\":\"lock_stuck\",\"msg\":\"{message}\",\"after\":\"1s500ms\"}}\n"
    );
    assert_eq!(line(&reporter(Format::Logfmt, Level::Error), &event), logfmt);
    assert_eq!(line(&reporter(Format::Json, Level::Error), &event), json);
}

#[test]
fn socket_is_in_the_record_of_api_lost_alone() {
    let reporter = reporter_that_logs_all();
    let lost = line(&reporter, &LOST);
    assert!(lost.ends_with(" socket=/run/api.sock\n"), "{lost}");
    let answer = Err(CallError::Connect(Errno::CONNREFUSED));
    let call = Event::ApiCall { call: Call::Status, answer: &answer, took: TOOK };
    for event in [BACK, call, Event::LockHeld] {
        assert!(!line(&reporter, &event).contains("socket="), "{event:?}");
    }
}

/// The reporter is a static in the program, and its handler has no socket.
#[test]
fn stop_handler_logs_the_signal_up_to_its_level() {
    static REPORTER: Reporter = Reporter::new();
    let stop = |format, level| {
        REPORTER.configure(format, level);
        let mut lines = String::new();
        let write = |line: &[u8]| lines.push_str(str::from_utf8(line).unwrap());
        REPORTER.report(&Event::Stopped { signal: "SIGTERM" }, b"", UTC, write);
        lines
    };
    let logfmt =
        "time=2026-11-22T05:32:12.007Z level=info event=stopped msg=stopped signal=SIGTERM\n";
    let json = "{\"time\":\"2026-11-22T05:32:12.007Z\",\"level\":\"info\",\
                \"event\":\"stopped\",\"msg\":\"stopped\",\"signal\":\"SIGTERM\"}\n";
    assert_eq!(stop(Format::Logfmt, Level::Info), logfmt);
    assert_eq!(stop(Format::Json, Level::Debug), json);
    assert_eq!(stop(Format::Logfmt, Level::Error), "");
}
