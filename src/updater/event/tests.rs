extern crate std;
use super::*;
use crate::api::AnswerError;
use crate::api::document::STRING_MAX;
use crate::api::status::{Image, State, copy};
use crate::text::excerpt::Excerpt;
use crate::updater::log::{Format, RECORD_MAX};
use rustix::io::Errno;
use std::string::String;
use std::vec::Vec;

/// Texts of the greatest length, of characters that need an escape each.
const QUOTES: &str = match str::from_utf8(&[b'"'; STRING_MAX]) {
    Ok(quotes) => quotes,
    Err(_) => "",
};
const LONG: Duration = Duration::MAX;

#[test]
fn the_longest_records_fit() {
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
        last_command: Some(last_command),
    };
    let update = Update([(); 4].map(|()| copy(QUOTES)));
    let mut entry = Entry::default();
    (entry.image, entry.before, entry.failed_boots) = (quotes, QUOTES, u64::MAX);
    let mut path = Vec::new();
    path.resize(100_000, b'"');
    let refused = CallError::Answer(AnswerError::Refused(reason));
    let command = Command::Deactivate;
    let events = [
        Event::Started(&path, LONG),
        Event::LockHeld,
        Event::Preparing(&update),
        Event::Done(command, QUOTES, LONG),
        Event::CommandFailed(command, &last_command, LONG),
        Event::CommandOverdue(command, LONG),
        Event::CommandVanished(command),
        Event::CommandWithoutEffect(command),
        Event::CommandRefused(command, &reason),
        Event::LockStuck(LONG),
        Event::NothingToDo(&status),
        Event::Ready(&status),
        Event::ApiLost(Call::Start(command), refused),
        Event::ApiLost(Call::Start(command), CallError::Connect(Errno::CONNREFUSED)),
        Event::ApiBack(LONG),
        Event::GaveUp(LONG, refused),
        Event::GaveUp(LONG, CallError::Connect(Errno::NOENT)),
        Event::Stopped("SIGTERM"),
        Event::ServingMetrics(&path, u16::MAX),
        Event::StillRunning(command, LONG),
        Event::Staged(&status),
        Event::WindowClosed(&status, LONG),
        Event::HeldBack(&entry, LONG),
        Event::RolledBack(&entry, Duration::from_millis(u64::MAX)),
        Event::Updated(&entry),
        Event::ApiCall(Call::Start(command), &Err(refused), LONG),
        Event::ApiCall(Call::Start(command), &Ok(Answer::NotAllowed(reason)), LONG),
        Event::StateDamaged,
        Event::StateLost("set a damaged file aside", ErrnoText(Errno::NAMETOOLONG)),
    ];
    for event in events {
        for format in [Format::Logfmt, Format::Json] {
            let mut record = event.record(format, LONG);
            if let Event::ApiLost(..) = event {
                // The program adds a path, and one that long is not used.
                record.field("socket", &Sanitized(path.get(..108).unwrap()));
            }
            let line = String::from_utf8(record.finish().to_vec()).unwrap();
            // What finds no room is left out. Nothing is added in pieces
            // as long as this, so nothing can have been.
            assert!(line.len() + 300 <= RECORD_MAX, "{}: {line}", line.len());
            assert!(line.ends_with('\n'), "{line}");
        }
    }
}

#[test]
fn every_event_has_its_name_and_its_class() {
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
        last_command: None,
    };
    let (update, entry) = (Update::default(), Entry::default());
    let prepare = Command::Prepare;
    let away = CallError::Connect(Errno::NOENT);
    let denied = CallError::Connect(Errno::ACCESS);
    let refused = CallError::Answer(AnswerError::Refused(refusal));
    let busy = Ok(Answer::Busy);
    let none = None;
    let events = [
        (Event::Started(b"", LONG), "started", none),
        (Event::ServingMetrics(b"", 0), "serving_metrics", none),
        (Event::LockHeld, "lock_held", none),
        (Event::Preparing(&update), "preparing", none),
        (Event::StillRunning(prepare, LONG), "still_running", none),
        (Event::Done(Command::Refresh, "", LONG), "refreshed", none),
        (Event::Done(prepare, "", LONG), "prepared", none),
        (Event::Done(Command::Activate, "", LONG), "activated", none),
        (Event::Done(Command::Deactivate, "", LONG), "deactivated", none),
        (
            Event::CommandFailed(prepare, &last_command, LONG),
            "command_failed",
            Some("command_failed"),
        ),
        (Event::CommandOverdue(prepare, LONG), "command_overdue", Some("command_overdue")),
        (Event::CommandVanished(prepare), "command_vanished", Some("command_vanished")),
        (
            Event::CommandWithoutEffect(prepare),
            "command_without_effect",
            Some("command_without_effect"),
        ),
        (Event::CommandRefused(prepare, &refusal), "command_refused", Some("command_refused")),
        (Event::LockStuck(LONG), "lock_stuck", Some("lock_stuck")),
        (Event::NothingToDo(&status), "nothing_to_do", none),
        (Event::Ready(&status), "ready", none),
        (Event::Staged(&status), "staged", none),
        (Event::WindowClosed(&status, LONG), "window_closed", none),
        (Event::HeldBack(&entry, LONG), "held_back", none),
        (Event::RolledBack(&entry, LONG), "rolled_back", Some("rolled_back")),
        (Event::Updated(&entry), "updated", none),
        (Event::ApiLost(Call::Status, away), "api_lost", Some("api_away")),
        (Event::ApiLost(Call::Status, denied), "api_lost", Some("api_connect")),
        (Event::ApiLost(Call::Status, refused), "api_lost", Some("api_refused")),
        (Event::ApiBack(LONG), "api_back", none),
        (Event::ApiCall(Call::Status, &busy, LONG), "api_call", none),
        (Event::ApiCall(Call::Status, &Err(away), LONG), "api_call", none),
        (Event::StateDamaged, "state_damaged", Some("state_damaged")),
        (Event::StateLost("", ErrnoText(Errno::IO)), "state_lost", Some("state_lost")),
        (Event::GaveUp(LONG, away), "gave_up", Some("api_away")),
        (Event::Stopped(""), "stopped", none),
    ];
    let mut numbers = Vec::new();
    for (event, name, class) in events {
        assert_eq!((event.summary().name, event.error_class()), (name, class));
        // An event is an error if it has a class, and only then.
        assert_eq!(event.summary().level == Level::Error, class.is_some(), "{name}");
        numbers.push(event.number());
    }
    // They are in order, and there is no other.
    numbers.dedup();
    assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn every_line_of_the_table_is_read() {
    assert_eq!(EVENTS.lines().count(), COUNT);
    for (number, line) in EVENTS.lines().enumerate() {
        let Summary { level, name, message } = summary(number);
        let [_, _, keys, _] = parts(number);
        let words = [Level::NAMES[level.number()], name, keys, message];
        assert_eq!(words.join(" "), line);
        assert!(keys == "-" || keys.ends_with(','), "{line}");
        for key in keys.split_terminator(',').filter(|key| *key != "-") {
            let (kind, key) = key.split_at(1);
            assert!("=?~!#%@".contains(kind) && !key.is_empty(), "{line}");
        }
        assert!(!name.is_empty() && !message.is_empty(), "{line}");
        let good = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(name.bytes().all(good), "{line}");
    }
    // There is none behind.
    for number in [COUNT, COUNT + 1, usize::MAX - 1] {
        assert_eq!(summary(number).name, "");
    }
}

/// A record without what stands in all of them.
fn told(event: &Event) -> String {
    let mut record = event.record(Format::Logfmt, Duration::ZERO);
    let line = String::from_utf8(record.finish().to_vec()).unwrap();
    let summary = event.summary();
    let (_, rest) = line.split_once(" event=").unwrap();
    let rest = rest.trim_end().strip_prefix(summary.name).unwrap();
    let rest = rest.strip_prefix(" msg=").unwrap();
    let plain = rest.strip_prefix(summary.message);
    let quoted = std::format!("\"{}\"", summary.message);
    String::from(plain.or_else(|| rest.strip_prefix(quoted.as_str())).unwrap().trim_start())
}

#[test]
fn every_event_tells_its_particulars() {
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
        last_command: None,
    };
    let unknown = Status { chosen: None, running: None, staged: None, ..status };
    let update = Update(["1", "3", "v", "a"].map(copy));
    let mut entry = Entry::default();
    (entry.image, entry.before, entry.failed_boots) = (image("3"), "1", 2);
    let refusal = Refusal { code: 409, reason: &stderr };
    let error = CallError::SendTimeout;
    let (prepare, status_call) = (Command::Prepare, Call::Status);
    let took = Duration::from_secs(90);
    let version = concat!("version=", env!("CARGO_PKG_VERSION"));
    for (event, expected) in [
        (Event::Started(b"/s", took), std::format!("{version} socket=/s interval=1m30s")),
        (Event::ServingMetrics(b":80", 80), "address=:80 port=80".into()),
        (Event::LockHeld, "".into()),
        (Event::Preparing(&update), "running=1 version=3 variant=v arch=a".into()),
        (Event::StillRunning(prepare, took), "command=prepare took=1m30s".into()),
        (Event::Done(prepare, "3", took), "version=3 took=1m30s".into()),
        (
            Event::CommandFailed(prepare, &last_command, took),
            "command=prepare status=Failed exit_status=1 took=1m30s stderr=\"no room\"".into(),
        ),
        (
            Event::CommandFailed(prepare, &killed, took),
            "command=prepare status=Failed took=1m30s stderr=\"no room\"".into(),
        ),
        (Event::CommandOverdue(prepare, took), "command=prepare timeout=1m30s".into()),
        (Event::CommandVanished(prepare), "command=prepare".into()),
        (Event::CommandWithoutEffect(prepare), "command=prepare".into()),
        (
            Event::CommandRefused(prepare, &refusal),
            "command=prepare error=\"the API answered 409: no room\"".into(),
        ),
        (Event::LockStuck(took), "after=1m30s".into()),
        (Event::NothingToDo(&status), "state=Staged running=1 variant=v arch=a".into()),
        (Event::NothingToDo(&unknown), "state=Staged".into()),
        (Event::Ready(&status), "state=Staged next=2 running=1 variant=v arch=a".into()),
        (Event::Staged(&unknown), "state=Staged next=\"\"".into()),
        (
            Event::WindowClosed(&status, took),
            "state=Staged version=3 opens=1970-01-01T00:01:30.000Z".into(),
        ),
        (
            Event::HeldBack(&entry, took),
            "version=3 variant=v arch=a failed_boots=2 retry_in=1m30s".into(),
        ),
        (
            Event::RolledBack(&entry, LONG),
            "version=3 variant=v arch=a failed_boots=2 retry_in=never running=1".into(),
        ),
        (Event::Updated(&entry), "version=3 variant=v arch=a before=1".into()),
        (
            Event::ApiLost(status_call, error),
            "call=status error=\"the API takes no connections in time\"".into(),
        ),
        (Event::ApiBack(took), "after=1m30s".into()),
        (
            Event::ApiCall(status_call, &Ok(Answer::Status(status)), took),
            "call=status answer=Staged took=1m30s".into(),
        ),
        (
            Event::ApiCall(status_call, &Ok(Answer::Uninitialized), took),
            "call=status answer=404 took=1m30s".into(),
        ),
        (
            Event::ApiCall(Call::Reboot, &Ok(Answer::Started), took),
            "call=reboot answer=204 took=1m30s".into(),
        ),
        (
            Event::ApiCall(Call::Start(prepare), &Ok(Answer::Busy), took),
            "call=prepare answer=423 took=1m30s".into(),
        ),
        (
            Event::ApiCall(Call::Start(prepare), &Ok(Answer::NotAllowed(refusal)), took),
            "call=prepare answer=\"the API answered 409: no room\" took=1m30s".into(),
        ),
        (
            Event::ApiCall(status_call, &Err(error), took),
            "call=status error=\"the API takes no connections in time\" took=1m30s".into(),
        ),
        (Event::StateDamaged, "".into()),
        (
            Event::StateLost("write the file", ErrnoText(Errno::IO)),
            "tried=\"write the file\" error=\"input/output error\"".into(),
        ),
        (
            Event::GaveUp(took, error),
            "after=1m30s error=\"the API takes no connections in time\"".into(),
        ),
        (Event::Stopped("SIGTERM"), "signal=SIGTERM".into()),
    ] {
        assert_eq!(told(&event), expected, "{event:?}");
    }
}
