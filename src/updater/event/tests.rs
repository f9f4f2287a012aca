//! The record of each event, and the names of events.

extern crate std;
use super::*;
use crate::api::AnswerError;
use crate::api::document::STRING_MAX;
use crate::api::status::{Image, OwnedImage, State, copy};
use crate::record::RebootRecord;
use crate::reporting::log::{Format, RECORD_MAX};
use crate::text::excerpt::Excerpt;
use rustix::io::Errno;
use std::string::String;
use std::vec::Vec;

/// The longest text, of characters that are escaped.
const QUOTES: &str = match str::from_utf8(&[b'"'; STRING_MAX]) {
    Ok(quotes) => quotes,
    Err(_) => "",
};
const LONG: Duration = Duration::MAX;
/// The longest list of flags, of characters that are escaped.
const FLAGS: &str = match str::from_utf8(&[b'"'; crate::updater::config::FLAGS_MAX]) {
    Ok(flags) => flags,
    Err(_) => "",
};

#[test]
fn longest_records_fit() {
    assert_eq!(copy(QUOTES), QUOTES);
    let mut excerpt = Excerpt::default();
    (0..100_000).for_each(|_| excerpt.push('"'));
    let reason = Refusal { code: u16::MAX, reason: &excerpt };
    let quotes = Image { version: QUOTES, variant: QUOTES, arch: QUOTES };
    let image = Some(quotes);
    let last_command = LastCommand {
        name: QUOTES,
        outcome: QUOTES,
        timestamp: QUOTES,
        exit_status: QUOTES,
        stderr: &excerpt,
    };
    let status = Status {
        state: State::Available,
        chosen: image,
        running: image,
        staged: image,
        offered: Some(QUOTES),
        last_command: Some(last_command),
    };
    let update = Update::new(quotes, quotes);
    let mut entry = Entry::default();
    entry.image = OwnedImage::new(quotes);
    (entry.previous_version, entry.failed_boots) = (copy(QUOTES), u64::MAX);
    let mut reboot = RebootRecord::new(QUOTES, QUOTES, quotes);
    reboot.attempts = u64::MAX;
    let mut path = Vec::new();
    path.resize(100_000, b'"');
    let refused = CallError::Answer(AnswerError::Refused(reason));
    let command = Command::Deactivate;
    let events = [
        Event::Started { socket: &path, interval: LONG },
        Event::LockHeld,
        Event::Preparing(&update),
        Event::Deactivated { version: QUOTES, chosen: QUOTES, took: Some(LONG) },
        Event::CommandFailed { command, version: QUOTES, last: &last_command, took: Some(LONG) },
        Event::CommandOverdue { command, version: QUOTES, timeout: LONG },
        Event::CommandVanished { command, version: QUOTES },
        Event::CommandWithoutEffect { command, version: QUOTES },
        Event::CommandRefused { command, version: QUOTES, refusal: &reason },
        Event::LockStuck { after: LONG },
        Event::NothingToDo(&status),
        Event::Ready(&status),
        Event::ApiLost { call: Call::Start(command), error: refused },
        Event::ApiLost {
            call: Call::Start(command),
            error: CallError::Connect(Errno::CONNREFUSED),
        },
        Event::ApiBack { after: LONG },
        Event::GaveUp { after: LONG, error: refused },
        Event::GaveUp { after: LONG, error: CallError::Connect(Errno::NOENT) },
        Event::Stopped { signal: "SIGTERM" },
        Event::ServingMetrics { address: &path, port: u16::MAX },
        Event::ServingFailed { address: &path, error: Errno::ADDRNOTAVAIL },
        Event::WaitFailed { error: Errno::NAMETOOLONG },
        Event::NotChosen { status: &status, offered: QUOTES },
        Event::Configuration { flags: FLAGS },
        Event::CycleDeferred { begins_in: LONG },
        Event::Healthy { status: &status, cycles: u32::MAX, failed_cycles: u32::MAX },
        Event::StillRunning { command, took: LONG },
        Event::Staged(&status),
        Event::StagedForReboot(&status),
        Event::WindowClosed { status: &status, opens: LocalTime { utc: LONG, offset: 0 } },
        Event::HeldBack { entry: &entry, retry_in: LONG },
        Event::Soaking { status: &status, ready_in: LONG },
        Event::RetryDelayed { command, version: QUOTES, retry_in: LONG },
        Event::RolledBack { entry: &entry, retry_in: Duration::from_millis(u64::MAX) },
        Event::TakenBack { entry: &entry, retry_in: Duration::from_millis(u64::MAX) },
        Event::Updated(&entry),
        Event::ApiCall { call: Call::Start(command), answer: &Err(refused), took: LONG },
        Event::ApiCall {
            call: Call::Start(command),
            answer: &Ok(Answer::NotAllowed(reason)),
            took: LONG,
        },
        Event::HeldByGate(&reboot),
        Event::ReleasedByGate { version: QUOTES, running: QUOTES, after: LONG },
        Event::RecordUnreadable { tried: "read the record", error: Some(Errno::NAMETOOLONG) },
        Event::RecordUnreadable { tried: "read the record", error: None },
        Event::StateDamaged,
        Event::StateLost { tried: "rename the damaged file", error: Errno::NAMETOOLONG },
    ];
    for event in events {
        for format in [Format::Logfmt, Format::Json] {
            let mut record = event.record(format, LONG);
            if let Event::ApiLost { .. } = event {
                // The longest path of a socket.
                record.show("socket", &Sanitized(path.get(..108).unwrap()));
            }
            let line = String::from_utf8(record.finish().to_vec()).unwrap();
            // A piece without room is left out. No piece is as long as this, so none
            // was left out.
            assert!(line.len() + 300 <= RECORD_MAX, "{}: {line}", line.len());
            assert!(line.ends_with('\n'), "{line}");
        }
    }
}

#[test]
fn every_event_has_a_name_and_errors_have_a_class() {
    let excerpt = Excerpt::default();
    let refusal = Refusal { code: 409, reason: &excerpt };
    let last_command = LastCommand {
        name: "prepare",
        outcome: "Failed",
        timestamp: "",
        exit_status: "",
        stderr: &excerpt,
    };
    let status = Status {
        state: State::Available,
        chosen: None,
        running: None,
        staged: None,
        offered: None,
        last_command: None,
    };
    let (update, entry) = (Update::default(), Entry::default());
    let reboot = RebootRecord::default();
    let prepare = Command::Prepare;
    let away = CallError::Connect(Errno::NOENT);
    let denied = CallError::Connect(Errno::ACCESS);
    let refused = CallError::Answer(AnswerError::Refused(refusal));
    let busy = Ok(Answer::Busy);
    let none = None;
    let events = [
        (Event::Started { socket: b"", interval: LONG }, "started", none),
        (Event::Configuration { flags: "" }, "configuration", none),
        (Event::ServingMetrics { address: b"", port: 0 }, "serving_metrics", none),
        (
            Event::ServingFailed { address: b"", error: Errno::ADDRINUSE },
            "serving_failed",
            Some("serving_failed"),
        ),
        (Event::CycleDeferred { begins_in: LONG }, "cycle_deferred", none),
        (Event::LockHeld, "lock_held", none),
        (Event::Preparing(&update), "preparing", none),
        (Event::StillRunning { command: prepare, took: LONG }, "still_running", none),
        (Event::Refreshed { version: "", took: Some(LONG) }, "refreshed", none),
        (Event::Prepared { version: "", took: Some(LONG) }, "prepared", none),
        (Event::Activated { version: "", took: Some(LONG) }, "activated", none),
        (Event::Deactivated { version: "", chosen: "", took: Some(LONG) }, "deactivated", none),
        (
            Event::CommandFailed {
                command: prepare,
                version: "",
                last: &last_command,
                took: Some(LONG),
            },
            "command_failed",
            Some("command_failed"),
        ),
        (
            Event::CommandOverdue { command: prepare, version: "", timeout: LONG },
            "command_overdue",
            Some("command_overdue"),
        ),
        (
            Event::CommandVanished { command: prepare, version: "" },
            "command_vanished",
            Some("command_vanished"),
        ),
        (
            Event::CommandWithoutEffect { command: prepare, version: "" },
            "command_without_effect",
            Some("command_without_effect"),
        ),
        (
            Event::CommandRefused { command: prepare, version: "", refusal: &refusal },
            "command_refused",
            Some("command_refused"),
        ),
        (Event::LockStuck { after: LONG }, "lock_stuck", Some("lock_stuck")),
        (Event::NothingToDo(&status), "nothing_to_do", none),
        (Event::NotChosen { status: &status, offered: "" }, "not_chosen", none),
        (Event::Ready(&status), "ready", none),
        (Event::Staged(&status), "staged", none),
        (Event::StagedForReboot(&status), "staged_for_reboot", none),
        (
            Event::WindowClosed { status: &status, opens: LocalTime { utc: LONG, offset: 0 } },
            "window_closed",
            none,
        ),
        (Event::HeldBack { entry: &entry, retry_in: LONG }, "held_back", none),
        (Event::Soaking { status: &status, ready_in: LONG }, "soaking", none),
        (
            Event::RetryDelayed { command: prepare, version: "3", retry_in: LONG },
            "retry_delayed",
            none,
        ),
        (Event::RolledBack { entry: &entry, retry_in: LONG }, "rolled_back", Some("rolled_back")),
        (Event::TakenBack { entry: &entry, retry_in: LONG }, "taken_back", none),
        (Event::Updated(&entry), "updated", none),
        (Event::Healthy { status: &status, cycles: 1, failed_cycles: 0 }, "healthy", none),
        (Event::ApiLost { call: Call::Status, error: away }, "api_lost", Some("api_unreachable")),
        (Event::ApiLost { call: Call::Status, error: denied }, "api_lost", Some("api_connect")),
        (Event::ApiLost { call: Call::Status, error: refused }, "api_lost", Some("api_refused")),
        (Event::ApiBack { after: LONG }, "api_back", none),
        (Event::ApiCall { call: Call::Status, answer: &busy, took: LONG }, "api_call", none),
        (Event::ApiCall { call: Call::Status, answer: &Err(away), took: LONG }, "api_call", none),
        (Event::HeldByGate(&reboot), "held_by_gate", Some("held_by_gate")),
        (Event::ReleasedByGate { version: "", running: "", after: LONG }, "released_by_gate", none),
        (
            Event::RecordUnreadable { tried: "", error: None },
            "record_unreadable",
            Some("record_unreadable"),
        ),
        (Event::StateDamaged, "state_damaged", Some("state_damaged")),
        (Event::StateLost { tried: "", error: Errno::IO }, "state_lost", Some("state_lost")),
        (Event::GaveUp { after: LONG, error: away }, "gave_up", Some("api_unreachable")),
        (Event::WaitFailed { error: Errno::NOMEM }, "wait_failed", Some("wait_failed")),
        (Event::Stopped { signal: "" }, "stopped", none),
    ];
    let mut kinds = Vec::new();
    for (event, name, class) in events {
        let kind = event.kind();
        assert_eq!((kind.name(), event.error_class()), (name, class));
        // An event has a class if and only if its level is error.
        assert_eq!(kind.level() == Level::Error, class.is_some(), "{name}");
        kinds.push(kind);
    }
    kinds.dedup();
    assert_eq!(kinds, EventKind::ALL);
}

/// The kind that is declared after this one. A new kind does not compile until it
/// has a line here.
fn successor(kind: EventKind) -> Option<EventKind> {
    Some(match kind {
        EventKind::Started => EventKind::Configuration,
        EventKind::Configuration => EventKind::ServingMetrics,
        EventKind::ServingMetrics => EventKind::ServingFailed,
        EventKind::ServingFailed => EventKind::CycleDeferred,
        EventKind::CycleDeferred => EventKind::LockHeld,
        EventKind::LockHeld => EventKind::Preparing,
        EventKind::Preparing => EventKind::StillRunning,
        EventKind::StillRunning => EventKind::Refreshed,
        EventKind::Refreshed => EventKind::Prepared,
        EventKind::Prepared => EventKind::Activated,
        EventKind::Activated => EventKind::Deactivated,
        EventKind::Deactivated => EventKind::CommandFailed,
        EventKind::CommandFailed => EventKind::CommandOverdue,
        EventKind::CommandOverdue => EventKind::CommandVanished,
        EventKind::CommandVanished => EventKind::CommandWithoutEffect,
        EventKind::CommandWithoutEffect => EventKind::CommandRefused,
        EventKind::CommandRefused => EventKind::LockStuck,
        EventKind::LockStuck => EventKind::NothingToDo,
        EventKind::NothingToDo => EventKind::NotChosen,
        EventKind::NotChosen => EventKind::Ready,
        EventKind::Ready => EventKind::Staged,
        EventKind::Staged => EventKind::StagedForReboot,
        EventKind::StagedForReboot => EventKind::WindowClosed,
        EventKind::WindowClosed => EventKind::HeldBack,
        EventKind::HeldBack => EventKind::Soaking,
        EventKind::Soaking => EventKind::RetryDelayed,
        EventKind::RetryDelayed => EventKind::RolledBack,
        EventKind::RolledBack => EventKind::TakenBack,
        EventKind::TakenBack => EventKind::Updated,
        EventKind::Updated => EventKind::Healthy,
        EventKind::Healthy => EventKind::ApiLost,
        EventKind::ApiLost => EventKind::ApiBack,
        EventKind::ApiBack => EventKind::ApiCall,
        EventKind::ApiCall => EventKind::HeldByGate,
        EventKind::HeldByGate => EventKind::ReleasedByGate,
        EventKind::ReleasedByGate => EventKind::RecordUnreadable,
        EventKind::RecordUnreadable => EventKind::StateDamaged,
        EventKind::StateDamaged => EventKind::StateLost,
        EventKind::StateLost => EventKind::GaveUp,
        EventKind::GaveUp => EventKind::WaitFailed,
        EventKind::WaitFailed => EventKind::Stopped,
        EventKind::Stopped => return None,
    })
}

#[test]
fn all_kinds_are_listed_in_order() {
    let mut declared = Vec::new();
    let mut next = EventKind::ALL.first().copied();
    // Ends: the kinds are in one line, and the last one has no successor.
    while let Some(kind) = next {
        assert_eq!(kind as usize, declared.len());
        declared.push(kind);
        next = successor(kind);
    }
    assert_eq!(declared, EventKind::ALL);
}

/// An event has the same name in the log, in the metrics and in the code.
#[test]
fn names_are_the_variants_in_snake_case() {
    for kind in EventKind::ALL {
        let variant = std::format!("{kind:?}");
        let mut name = String::new();
        for (at, letter) in variant.char_indices() {
            if letter.is_uppercase() && at > 0 {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        assert_eq!(kind.name(), name);
        assert!(!kind.message().is_empty(), "{name}");
    }
}

/// The event's own fields in its record.
fn fields(event: &Event) -> String {
    let mut record = event.record(Format::Logfmt, Duration::ZERO);
    let line = String::from_utf8(record.finish().to_vec()).unwrap();
    let kind = event.kind();
    let (_, rest) = line.split_once(" event=").unwrap();
    let rest = rest.trim_end().strip_prefix(kind.name()).unwrap();
    let rest = rest.strip_prefix(" msg=").unwrap();
    let plain = rest.strip_prefix(kind.message());
    let quoted = std::format!("\"{}\"", kind.message());
    String::from(plain.or_else(|| rest.strip_prefix(quoted.as_str())).unwrap().trim_start())
}

#[test]
fn every_event_has_its_fields() {
    let image = |version| Image { version, variant: "v", arch: "a" };
    let mut stderr = Excerpt::default();
    stderr.push_bytes(b"no room");
    let last_command = LastCommand {
        name: "prepare",
        outcome: "Failed",
        timestamp: "t",
        exit_status: "1",
        stderr: &stderr,
    };
    let killed = LastCommand { exit_status: "", ..last_command };
    let status = Status {
        state: State::Staged,
        chosen: Some(image("3")),
        running: Some(image("1")),
        staged: Some(image("2")),
        offered: None,
        last_command: None,
    };
    let unknown = Status { chosen: None, running: None, staged: None, ..status };
    let update = Update::new(image("1"), image("3"));
    let mut entry = Entry::default();
    entry.image = OwnedImage::new(image("3"));
    (entry.previous_version, entry.failed_boots) = (copy("1"), 2);
    let refusal = Refusal { code: 409, reason: &stderr };
    let error = CallError::SendTimeout;
    let (prepare, status_call) = (Command::Prepare, Call::Status);
    let took = Duration::from_secs(90);
    let version = concat!("version=", env!("CARGO_PKG_VERSION"));
    for (event, expected) in [
        (
            Event::Started { socket: b"/s", interval: took },
            std::format!("{version} socket=/s interval=1m30s"),
        ),
        (Event::Configuration { flags: "-a=b -c=d" }, "flags=\"-a=b -c=d\"".into()),
        (Event::ServingMetrics { address: b":80", port: 80 }, "address=:80 port=80".into()),
        (Event::CycleDeferred { begins_in: took }, "begins_in=1m30s".into()),
        (
            Event::Healthy { status: &status, cycles: 144, failed_cycles: 2 },
            "state=Staged running=1 variant=v arch=a cycles=144 failed_cycles=2".into(),
        ),
        (
            Event::ServingFailed { address: b":80", error: Errno::ADDRINUSE },
            "address=:80 error=\"address already in use\"".into(),
        ),
        (Event::WaitFailed { error: Errno::NOMEM }, "error=\"out of memory\"".into()),
        (Event::LockHeld, "".into()),
        (Event::Preparing(&update), "running=1 version=3 variant=v arch=a".into()),
        (Event::StillRunning { command: prepare, took }, "command=prepare took=1m30s".into()),
        (Event::Prepared { version: "3", took: Some(took) }, "version=3 took=1m30s".into()),
        (
            Event::CommandFailed {
                command: prepare,
                version: "3",
                last: &last_command,
                took: Some(took),
            },
            "command=prepare version=3 status=Failed exit_status=1 took=1m30s stderr=\"no room\""
                .into(),
        ),
        (
            Event::CommandFailed { command: prepare, version: "", last: &killed, took: None },
            "command=prepare status=Failed stderr=\"no room\"".into(),
        ),
        (
            Event::CommandOverdue { command: prepare, version: "3", timeout: took },
            "command=prepare version=3 timeout=1m30s".into(),
        ),
        (
            Event::CommandVanished { command: prepare, version: "3" },
            "command=prepare version=3".into(),
        ),
        (
            Event::CommandWithoutEffect { command: prepare, version: "3" },
            "command=prepare version=3".into(),
        ),
        (
            Event::CommandRefused { command: prepare, version: "3", refusal: &refusal },
            "command=prepare version=3 error=\"the API returned 409: no room\"".into(),
        ),
        (Event::LockStuck { after: took }, "after=1m30s".into()),
        (Event::NothingToDo(&status), "state=Staged running=1 variant=v arch=a".into()),
        (
            Event::NotChosen { status: &status, offered: "9" },
            "state=Staged offered=9 running=1 variant=v arch=a".into(),
        ),
        (Event::NothingToDo(&unknown), "state=Staged".into()),
        (Event::Ready(&status), "state=Staged next=2 running=1 variant=v arch=a".into()),
        (Event::Staged(&unknown), "state=Staged next=\"\"".into()),
        (Event::StagedForReboot(&status), "state=Staged next=2 running=1 variant=v arch=a".into()),
        (
            Event::WindowClosed {
                status: &status,
                opens: LocalTime { utc: took, offset: -34_200 },
            },
            "state=Staged version=3 opens=1970-01-01T00:01:30.000Z \
             opens_local=1969-12-31T14:31:30.000-09:30"
                .into(),
        ),
        (
            Event::HeldBack { entry: &entry, retry_in: took },
            "version=3 variant=v arch=a failed_boots=2 retry_in=1m30s".into(),
        ),
        (
            Event::Soaking { status: &status, ready_in: took },
            "state=Staged version=3 ready_in=1m30s".into(),
        ),
        (
            Event::RetryDelayed { command: prepare, version: "3", retry_in: took },
            "command=prepare version=3 retry_in=1m30s".into(),
        ),
        (
            Event::RolledBack { entry: &entry, retry_in: LONG },
            "version=3 variant=v arch=a failed_boots=2 retry_in=never running=1".into(),
        ),
        (Event::Updated(&entry), "version=3 variant=v arch=a before=1".into()),
        (
            Event::ApiLost { call: status_call, error },
            "call=status error=\"timed out connecting to the API\"".into(),
        ),
        (Event::ApiBack { after: took }, "after=1m30s".into()),
        (
            Event::ApiCall { call: status_call, answer: &Ok(Answer::Status(status)), took },
            "call=status answer=Staged took=1m30s".into(),
        ),
        (
            Event::ApiCall { call: status_call, answer: &Ok(Answer::Uninitialized), took },
            "call=status answer=404 took=1m30s".into(),
        ),
        (
            Event::ApiCall { call: Call::Reboot, answer: &Ok(Answer::Started), took },
            "call=reboot answer=204 took=1m30s".into(),
        ),
        (
            Event::ApiCall { call: Call::Start(prepare), answer: &Ok(Answer::Busy), took },
            "call=prepare answer=423 took=1m30s".into(),
        ),
        (
            Event::ApiCall {
                call: Call::Start(prepare),
                answer: &Ok(Answer::NotAllowed(refusal)),
                took,
            },
            "call=prepare answer=\"the API returned 409: no room\" took=1m30s".into(),
        ),
        (
            Event::ApiCall { call: status_call, answer: &Err(error), took },
            "call=status error=\"timed out connecting to the API\" took=1m30s".into(),
        ),
        (Event::StateDamaged, "".into()),
        (
            Event::StateLost { tried: "write the file", error: Errno::IO },
            "tried=\"write the file\" error=\"input/output error\"".into(),
        ),
        (
            Event::GaveUp { after: took, error },
            "after=1m30s error=\"timed out connecting to the API\"".into(),
        ),
        (Event::Stopped { signal: "SIGTERM" }, "signal=SIGTERM".into()),
    ] {
        assert_eq!(fields(&event), expected, "{event:?}");
    }
}
