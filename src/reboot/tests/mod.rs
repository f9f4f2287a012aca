//! Reboots by a script: no sockets, no clock. A row has the call that is expected,
//! the pause before it in milliseconds, and the answer.

extern crate std;
use super::*;
use crate::api::status::{Image, LastCommand, State, Status};
use crate::api::tests::call_error;
use crate::api::{AnswerError, Refusal};
use crate::tests::Numbers;
use crate::text::duration;
use crate::text::excerpt::Excerpt;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

mod any;
mod change;
mod record;
mod refresh;
mod request;
mod status;

type Answered = Result<Answer<'static>, CallError<'static>>;

/// An answer in short: `204`, `423`, `404`, a code with a reason, an update state, or
/// a way to fail.
fn answer(text: &str) -> Answered {
    let (word, reason) = text.split_once(' ').unwrap_or((text, ""));
    if let Ok(code) = word.parse::<u16>() {
        let mut excerpt = Excerpt::default();
        excerpt.push_bytes(reason.as_bytes());
        let refusal = Refusal { code, reason: Box::leak(Box::new(excerpt)) };
        return match (code, reason) {
            (204, "") => Ok(Answer::Started),
            (423, "") => Ok(Answer::Busy),
            (404, "") => Ok(Answer::Uninitialized),
            _ => Err(CallError::Answer(AnswerError::Refused(refusal))),
        };
    }
    if let Some(state) = State::ALL.into_iter().find(|state| state.name() == word) {
        return Ok(Answer::Status(status(state, reason)));
    }
    Err(call_error(word))
}

/// A status in short: `1.26.1>1.26.2 refresh=Success@8`, with the version that is
/// staged, the one that is chosen (`-` for none), and the last command with its outcome
/// and timestamp.
fn status(state: State, text: &str) -> Status<'static> {
    let text: &'static str = Box::leak(text.into());
    let image = |version| Image { version, variant: "aws-k8s-1.30", arch: "x86_64" };
    let known = |version: &'static str| Some(image(version)).filter(|_| version != "-");
    let (images, command) = text.split_once(' ').unwrap_or((text, ""));
    let (staged, chosen) = images.split_once('>').unwrap_or(("-", "-"));
    let last_command = command.split_once('=').map(|(name, ended)| {
        let (outcome, timestamp) = ended.split_once('@').unwrap();
        let mut stderr = Excerpt::default();
        stderr.push_bytes(b"no space");
        LastCommand { name, outcome, timestamp, exit_status: "1", stderr: Box::leak(stderr.into()) }
    });
    Status {
        state,
        running: Some(image("1.26.0")),
        chosen: known(chosen),
        staged: known(staged),
        offered: None,
        last_command,
    }
}

/// Takes the duration behind `sign` off the front of a row's answer: `+10s silence`.
fn delay(text: &mut &str, sign: char) -> Duration {
    let Some((delay, rest)) = text.strip_prefix(sign).and_then(|text| text.split_once(' ')) else {
        return Duration::ZERO;
    };
    *text = rest;
    duration::parse(delay.as_bytes()).unwrap()
}

/// The call, the pause in milliseconds, and the answer. With `~20s` in front, the
/// call begins so much later than asked for, because the process was stopped; with
/// `+10s`, the answer takes so long. The calls that time out end at their deadline.
///
/// The call `record` is no call: the answer is the version that the record has, or `none`. Nor
/// is `forget`, which removes the record.
type Row = (&'static str, u64, &'static str);

/// A reboot that is under way.
struct Script {
    reboot: Reboot,
    next: Step<'static>,
    begin: Duration,
    now: Duration,
    /// When the last call began.
    begun: Duration,
    warnings: Vec<String>,
}

impl Script {
    fn new(settings: Settings) -> Self {
        // Times may be counted from any point.
        let begin = Duration::from_secs(86_400);
        let (reboot, call) = Reboot::begin(settings, begin);
        let next = Step::Call(call, Duration::ZERO);
        Self { reboot, next, begin, now: begin, begun: begin, warnings: Vec::new() }
    }

    #[track_caller]
    fn row(&mut self, (call, pause, text): Row) {
        if let Step::Record = self.next {
            let record = self.reboot.record("boot");
            let version = record.as_ref().map_or("none", |record| record.image.version.as_str());
            assert_eq!((call, version), ("record", text));
            let expected = record.as_ref().map(|record| {
                let image = Image { version, variant: "aws-k8s-1.30", arch: "x86_64" };
                assert_eq!(record.attempts, 1);
                RebootRecord::new("boot", "1.26.0", image)
            });
            assert_eq!(record, expected);
            self.next = Step::Call(Call::Reboot, Duration::ZERO);
            return;
        }
        if let Step::RemoveRecord = self.next {
            assert_eq!(call, "forget");
            self.next = Step::Call(Call::Start(Command::Deactivate), Duration::ZERO);
            return;
        }
        let Step::Call(next, wait) = self.next else {
            panic!("over with {:?}, but {call} {text} was to come", self.next);
        };
        assert_eq!((next.name(), wait.as_millis()), (call, pause.into()), "before {text:?}");
        let mut text = text;
        let stopped = delay(&mut text, '~');
        let took = delay(&mut text, '+');
        let begun = self.now + wait + stopped;
        self.begun = begun;
        let answer: &Answered = Box::leak(Box::new(answer(text)));
        self.now = match answer {
            Err(error) if error.is_timeout() => self.reboot.deadline(begun).max(begun),
            _ => begun + took,
        };
        let time = CallTime { begun, ended: self.now };
        let mut warn = |warning: Warning| self.warnings.push(warning.to_string());
        self.next = self.reboot.on_answer(time, answer, &mut warn);
    }

    /// Plays the rows, and checks the end: the exit status, the line that is printed,
    /// and how many milliseconds all of it takes.
    #[track_caller]
    fn play(mut self, rows: &[Row], status: u8, line: &str, took: u128) {
        self.play_rows(rows, status, line, took);
        // There is a warning for the first disconnect only.
        let is_disconnected = matches!(self.reboot.phase, Phase::RequestAgain(_));
        assert_eq!(self.warnings.len(), usize::from(is_disconnected), "{:?}", self.warnings);
    }

    /// The same, and checks all warnings.
    #[track_caller]
    fn play_with_warnings(
        mut self,
        rows: &[Row],
        status: u8,
        line: &str,
        took: u128,
        warnings: &[&str],
    ) {
        self.play_rows(rows, status, line, took);
        assert_eq!(self.warnings, warnings, "after {rows:?}");
    }

    #[track_caller]
    fn play_rows(&mut self, rows: &[Row], status: u8, line: &str, took: u128) {
        rows.iter().for_each(|row| self.row(*row));
        let Step::End(end) = self.next else { panic!("not over: {:?}", self.next) };
        assert_eq!((end.exit_status(), &*end.to_string()), (status, line), "after {rows:?}");
        assert_eq!((self.now - self.begin).as_millis(), took, "after {rows:?}");
    }
}

const SOCKET: &[u8] = b"/run/api.sock";
const MINUTE: Duration = Duration::from_secs(60);

/// Settings without any of the switches.
fn settings(timeout: Duration) -> Settings {
    let (if_ready, confirm, activate, record) = (false, false, false, false);
    Settings { socket: SOCKET, timeout, if_ready, confirm, activate, record }
}

/// A reboot in any state, with this many seconds as its timeout.
fn within(seconds: u64) -> Script {
    Script::new(settings(Duration::from_secs(seconds)))
}

/// A reboot with `-if-ready`.
fn if_ready(timeout: Duration) -> Script {
    Script::new(Settings { if_ready: true, ..settings(timeout) })
}

/// A reboot with `-confirm`.
fn confirm(seconds: u64) -> Script {
    Script::new(Settings { confirm: true, ..settings(Duration::from_secs(seconds)) })
}

/// A reboot with `-activate`.
fn activate(seconds: u64) -> Script {
    Script::new(Settings { activate: true, ..settings(Duration::from_secs(seconds)) })
}

/// A reboot with `-record`.
fn record(seconds: u64) -> Script {
    Script::new(Settings { record: true, ..settings(Duration::from_secs(seconds)) })
}

const ACCEPTED: &str = "the reboot is on its way";

/// The line of a reboot that failed.
fn not_rebooted(why: &str) -> String {
    format!("cannot reboot the node through /run/api.sock: {why}")
}

/// The errors that end a reboot wherever they come, with their words.
const ERRORS: [(&str, &str); 4] = [
    ("500 inhibited", "the API returned 500: inhibited"),
    ("garbage", "the response is not HTTP/1.1"),
    (
        "denied",
        "cannot connect: permission denied \
         (needs uid 0 or group 274, and the SELinux type control_t)",
    ),
    ("descriptors", "cannot set up the call: too many open files"),
];

/// The answers after which a call is repeated, because it had no effect.
const NO_EFFECT: [(&str, &str); 6] = [
    (
        "refused",
        "cannot connect: connection refused (is the API server running? if it has made a new \
         socket, restart the container that still mounts the old one)",
    ),
    (
        "missing",
        "cannot connect: no such file or directory (is the API server running? is this a \
         Bottlerocket node, and is the socket mounted here?)",
    ),
    (
        "directory",
        "cannot connect: is a directory (the API server cannot start while this directory exists: \
         remove it on the node)",
    ),
    ("unsent", "cannot send the request: broken pipe"),
    ("408", "the API was too busy to handle the request (408)"),
    ("423 Update lock held", "the API returned 423: Update lock held"),
];

/// The pauses before the calls within a timeout of 3 s, in milliseconds.
const PAUSES: [u64; 6] = [0, 100, 200, 400, 800, 1_400];

/// The answers while the node is already shutting down, with the texts of an older
/// and of a newer version of systemd.
const SHUTTING_DOWN: [&str; 2] = [
    "500 Failed to reboot, exit code: 1, stderr: Failed to reboot system via logind: There's \
     already a shutdown or sleep operation in progress",
    "500 Failed to reboot, exit code: 1, stderr: Call to Reboot failed: Action reboot already in \
     progress, refusing requested reboot operation.",
];

const STAGED: &str = "Staged 1.26.1>1.26.1 prepare=Success@7";

/// A status that is Ready before and after the refresh.
const READY: &str = "Ready 1.26.1>1.26.1 activate=Success@7";
const STILL_CHOSEN: &str = "Ready 1.26.1>1.26.1 refresh=Success@8";
const NONE_CHOSEN: &str = "Ready 1.26.1>- refresh=Success@8";
const OTHER_CHOSEN: &str = "Ready 1.26.1>1.26.2 refresh=Success@8";
const DEACTIVATED: &str = "Staged 1.26.1>- deactivate=Success@9";
const RELYING: &str = "relying on the last refresh that succeeded";

/// The rows of a refresh that ends after a second, with this status.
fn refreshed(first: &'static str, then: &'static str) -> Vec<Row> {
    vec![
        ("status", 0, first),
        ("refresh", 0, "204"),
        ("status", 100, "423"),
        ("status", 200, "423"),
        ("status", 400, then),
    ]
}

/// The requests, 250 ms apart, until the API has been unreachable for the grace.
fn unreachable_for_the_grace(how: &'static str) -> Vec<Row> {
    vec![("reboot", 250, how); 60]
}
