//! A strict parser for log records. It knows the fields of each event.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Logfmt,
    Json,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
        }
    }
}

/// A log record: its fields in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(Vec<(String, String)>);

/// The maximum size of a record in bytes, including its newline.
const RECORD_MAX: usize = 2048;

/// Each event: its level, its message, and its other fields.
pub const DOCUMENTED: [(&str, &str, &str, &str); 42] = [
    ("started", "info", "started", "version socket interval"),
    ("configuration", "info", "the flags in force", "flags"),
    ("serving_metrics", "info", "serving metrics", "address port"),
    (
        "serving_failed",
        "error",
        "cannot serve metrics and health checks; retrying, and updating meanwhile",
        "address error",
    ),
    (
        "cycle_deferred",
        "info",
        "waiting before the next cycle, so that nodes do not act at the same time",
        "begins_in",
    ),
    ("lock_held", "info", "an update command is running, waiting for it", ""),
    ("preparing", "info", "update found, preparing it", "running version variant arch"),
    ("still_running", "info", "command is still running", "command took"),
    ("refreshed", "debug", "refreshed", "version took"),
    ("prepared", "info", "prepared", "version took"),
    ("activated", "info", "activated", "version took"),
    (
        "deactivated",
        "info",
        "deactivated, so that no reboot boots the version",
        "version reason chosen took",
    ),
    ("command_failed", "error", "command failed", "command version status exit_status took stderr"),
    (
        "command_overdue",
        "error",
        "command timed out; it may still be running",
        "command version timeout",
    ),
    ("command_vanished", "error", "command ended without a result", "command version"),
    (
        "command_without_effect",
        "error",
        "commands succeed, but the update makes no progress",
        "command version",
    ),
    ("command_refused", "error", "the API refused the command", "command version error"),
    ("lock_stuck", "error", "timed out waiting for the running update command", "after"),
    ("nothing_to_do", "info", "nothing to do", "state running variant arch"),
    (
        "not_chosen",
        "info",
        "newer versions are offered, none is chosen: version-lock or wave?",
        "state offered running variant arch",
    ),
    ("ready", "info", "ready, waiting for the reboot", "state next running variant arch"),
    (
        "staged",
        "info",
        "update is staged, not activating it because of -stage-only",
        "state next running variant arch",
    ),
    (
        "staged_for_reboot",
        "info",
        "staged, waiting for the reboot command, which activates it",
        "state next running variant arch",
    ),
    (
        "window_closed",
        "info",
        "update is waiting for the next window",
        "state version opens opens_local",
    ),
    (
        "held_back",
        "info",
        "version is held back because it did not boot or was taken back",
        "version variant arch failed_boots retry_in",
    ),
    (
        "soaking",
        "info",
        "version is soaking; it is prepared when it has been on offer for long enough",
        "state version ready_in",
    ),
    (
        "retry_delayed",
        "info",
        "a command failed, waiting before sending it again",
        "command version retry_in",
    ),
    (
        "rolled_back",
        "error",
        "the new version did not boot and the node rolled back",
        "version variant arch failed_boots retry_in running",
    ),
    (
        "taken_back",
        "info",
        "an older version runs that nobody activated: holding the newer one back",
        "version variant arch retry_in running",
    ),
    ("updated", "info", "the new version is running", "version variant arch before"),
    (
        "healthy",
        "info",
        "the updater is working",
        "state running variant arch cycles failed_cycles",
    ),
    ("api_lost", "error", "the API is unavailable", "call error socket"),
    ("api_back", "info", "the API is available again", "after"),
    ("api_call", "debug", "called the API", "call answer error took"),
    (
        "held_by_gate",
        "error",
        "the version did not boot, and the gate keeps Kured from starting on this node",
        "version variant arch running attempts",
    ),
    ("released_by_gate", "info", "the gate no longer holds this node", "version running after"),
    (
        "record_unreadable",
        "error",
        "cannot read the record of the last reboot; continuing without it",
        "tried error",
    ),
    (
        "state_damaged",
        "error",
        "the state file is damaged; renamed it to state.damaged, starting without it",
        "",
    ),
    (
        "state_lost",
        "error",
        "cannot load or save the state; a version that does not boot may be retried",
        "tried error",
    ),
    (
        "gave_up",
        "error",
        "the socket is unreachable; exiting so that a restarted container mounts a new one",
        "after error",
    ),
    ("wait_failed", "error", "cannot wait; exiting", "error"),
    ("stopped", "info", "stopped", "signal"),
];

impl Record {
    /// Parses a line without its newline.
    #[track_caller]
    pub fn read(format: Format, line: &str) -> Self {
        assert!(line.len() < RECORD_MAX, "{} bytes: {line}", line.len());
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let record = Self(fields(format, line));
        record.check();
        record
    }

    /// The value of a field, or an empty string if there is no such field.
    pub fn get(&self, key: &str) -> &str {
        let field = self.0.iter().find(|(other, _)| other == key);
        field.map_or("", |(_, value)| value)
    }

    /// The level, the message and the other fields, without quotes. Durations are `_`,
    /// because they differ between runs.
    pub fn summary(&self) -> String {
        let mut summary = format!("{}: {}", self.get("level"), self.get("msg"));
        for (key, value) in self.0.iter().skip(4) {
            let value = if matches!(key.as_str(), "took" | "after") { "_" } else { value };
            summary.push_str(&format!(" {key}={value}"));
        }
        summary
    }

    fn check(&self) {
        let keys: Vec<&str> = self.0.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys.get(..4), Some(&["time", "level", "event", "msg"][..]), "{self:?}");
        self.check_time();
        let documented = DOCUMENTED.into_iter().find(|(event, ..)| *event == self.get("event"));
        let Some((_, level, message, fields)) = documented else {
            panic!("unknown event: {self:?}");
        };
        assert_eq!((self.get("level"), self.get("msg")), (level, message), "{self:?}");
        let fields = fields.split_whitespace();
        // A failed command may have no exit status. A refresh has no version. A command from
        // before the start has no time. A call has either an answer or an error. A version
        // that was withdrawn has no other one in its place.
        let refreshes = self.get("command") == "refresh";
        let outcomes = ["refreshed", "prepared", "activated", "deactivated", "command_failed"];
        let is_outcome = outcomes.contains(&self.get("event"));
        let is_optional = |field: &&str| match *field {
            "exit_status" | "answer" | "error" => true,
            "version" => refreshes,
            "chosen" => self.get("reason") == "withdrawn",
            "took" => is_outcome,
            _ => false,
        };
        let fields = fields.filter(|field| !is_optional(field) || keys.contains(field));
        assert_eq!(keys[4..], fields.collect::<Vec<_>>(), "{self:?}");
    }

    /// The time is now, in the form `2026-11-22T05:32:12.007Z`.
    fn check_time(&self) {
        let time = self.get("time");
        let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(form, "0000-00-00T00:00:00.000Z");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let day = |at: Duration| {
            let text = bottlerocket_simulator::calendar::timestamp(at);
            text[..10].to_string()
        };
        let days = [now - Duration::from_secs(600), now].map(day);
        assert!(days.contains(&time[..10].to_string()), "{time} is not today, {days:?}");
    }
}

/// The fields of a line without its newline, in order.
#[track_caller]
pub fn fields(format: Format, line: &str) -> Vec<(String, String)> {
    let read = match format {
        Format::Logfmt => logfmt(line),
        Format::Json => json(line),
    };
    read.unwrap_or_else(|| panic!("not {}: {line}", format.name()))
}

/// Parses `key=value` pairs with single spaces between. Values other than plain words are
/// quoted.
fn logfmt(line: &str) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (key, tail) = rest.split_once('=')?;
        let (value, tail) = match tail.strip_prefix('"') {
            Some(quoted) => string(quoted)?,
            None => {
                let end = tail.find(' ').unwrap_or(tail.len());
                let (value, tail) = tail.split_at(end);
                let bare = |c: char| c.is_ascii_alphanumeric() || "-_./:+".contains(c);
                (
                    Some(value)
                        .filter(|value| !value.is_empty() && value.chars().all(bare))?
                        .into(),
                    tail,
                )
            }
        };
        add(&mut fields, key, value)?;
        if tail.is_empty() {
            return Some(fields);
        }
        rest = tail.strip_prefix(' ')?;
    }
}

/// Parses an object whose values are all strings.
fn json(line: &str) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    let mut rest = line.strip_prefix('{')?.strip_suffix('}')?;
    loop {
        let (key, tail) = string(rest.strip_prefix('"')?)?;
        let (value, tail) = string(tail.strip_prefix(":\"")?)?;
        add(&mut fields, &key, value)?;
        if tail.is_empty() {
            return Some(fields);
        }
        rest = tail.strip_prefix(',')?;
    }
}

fn add(fields: &mut Vec<(String, String)>, key: &str, value: String) -> Option<()> {
    let good = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let new = fields.iter().all(|(other, _)| other != key);
    fields.push((key.into(), value));
    (good && new).then_some(())
}

/// Splits a string at its closing quote. Returns its value and the rest.
fn string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match characters.next()?.1 {
                escaped @ ('"' | '\\') => value.push(escaped),
                _ => return None,
            },
            (_, character) => value.push(character),
        }
    }
}

#[test]
fn parser_of_records_is_strict() {
    for line in ["a=b", "a=\"b c\" d=e", "a=\"\"", r#"a="\"\\""#, "a=1.2:3/4+5-6_7"] {
        assert!(logfmt(line).is_some(), "{line}");
    }
    for line in [
        "",
        "a",
        "a=",
        "=b",
        "a=b ",
        " a=b",
        "a=b  c=d",
        "a=b=c",
        "a=b\"",
        "a=\"b",
        "a=\"b\"c=d",
        "A=b",
        "a=b a=c",
        "a=é",
        r#"a="\n""#,
        "a=\"b\\",
    ] {
        assert_eq!(logfmt(line), None, "{line}");
    }
    assert!(json(r#"{"a":"b","c":"\"d\\"}"#).is_some());
    for line in [
        "",
        "{}",
        r#"{"a":"b"},"#,
        r#"{"a":"b",}"#,
        r#"{"a":1}"#,
        r#"{"a":"b""c":"d"}"#,
        r#"{"a":"b}"#,
        r#"{"a":"\n"}"#,
        r#"{"a":"b","a":"c"}"#,
        r#"{"a" :"b"}"#,
        r#"{a:"b"}"#,
    ] {
        assert_eq!(json(line), None, "{line}");
    }
}

#[test]
fn table_of_events_is_complete() {
    let events = bottlerocket_updater::updater::event::EventKind::ALL
        .map(|kind| (kind.name(), kind.level().name(), kind.message()));
    let documented = DOCUMENTED.map(|(name, level, message, _)| (name, level, message));
    assert_eq!(events, documented);
}
