//! Reboots by a script: no sockets, no clock. A row has the call that is expected,
//! the pause before it in milliseconds, and the answer.

extern crate std;
use super::*;
use crate::api::Refusal;
use crate::api::status::{Image, LastCommand};
use crate::http::response::{HttpError, Progress};
use crate::tests::Numbers;
use crate::text::duration;
use crate::text::excerpt::Excerpt;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

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
    Err(match word {
        "refused" => CallError::Connect(Errno::CONNREFUSED),
        "missing" => CallError::Connect(Errno::NOENT),
        "directory" => CallError::Connect(Errno::ISDIR),
        "denied" => CallError::Connect(Errno::ACCESS),
        "unsent" => CallError::Send(Errno::PIPE),
        "full" => CallError::SendTimeout,
        "break" => CallError::Answer(AnswerError::Truncated(Progress::Nothing)),
        "reset" => CallError::Receive(Errno::CONNRESET),
        "silence" => CallError::Timeout(Progress::Nothing),
        "garbage" => CallError::Answer(AnswerError::Http(HttpError::NotHttp)),
        "descriptors" => CallError::Setup(Errno::MFILE),
        other => panic!("no answer {other}"),
    })
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

/// A reboot with `-record`.
fn record(seconds: u64) -> Script {
    Script::new(Settings { record: true, ..settings(Duration::from_secs(seconds)) })
}

const ACCEPTED: &str = "the reboot is on its way";
const AGAIN: &str = "requested again: the reboot is on its way";
const GONE: &str = "the API has not come back: assuming that the node is rebooting";

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

#[test]
fn accepted_request_is_a_success() {
    within(60).play(&[("reboot", 0, "204")], 0, ACCEPTED, 0);
    // The server answers when systemd has.
    within(60).play(&[("reboot", 0, "+3s 204")], 0, ACCEPTED, 3_000);
}

#[test]
fn first_request_that_fails_is_a_failure() {
    for (answer, why) in ERRORS {
        within(60).play(&[("reboot", 0, answer)], 3, &not_rebooted(why), 0);
    }
    for (answer, why) in [
        ("full", "timed out connecting to the API (-timeout 1m)"),
        ("silence", "timed out waiting for a response (-timeout 1m)"),
    ] {
        within(60).play(&[("reboot", 0, answer)], 3, &not_rebooted(why), 60_000);
    }
}

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

#[test]
fn request_without_effect_is_repeated_until_the_timeout() {
    for (answer, why) in NO_EFFECT {
        let rows = PAUSES.map(|pause| ("reboot", pause, answer));
        within(3).play(&rows, 3, &not_rebooted(why), 2_900);
        for count in 1..rows.len() {
            let took: u64 = PAUSES[..=count].iter().sum();
            let rows = [&rows[..count], &[("reboot", PAUSES[count], "204")]].concat();
            within(3).play(&rows, 0, ACCEPTED, took.into());
        }
        // The API is gone, but not because of a request.
        let slow = [("reboot", 0, answer), ("reboot", 100, "~1h refused")];
        let why = not_rebooted(NO_EFFECT[0].1);
        within(3).play(&slow, 3, &why, 3_600_100);
    }
}

/// It may be the one that reboots the node.
#[test]
fn repeated_request_has_time_to_be_answered() {
    let mut rows = PAUSES.map(|pause| ("reboot", pause, "missing"));
    rows[5].2 = "+14s 204";
    within(3).play(&rows, 0, ACCEPTED, 16_900);
    rows[5].2 = "silence";
    let why = not_rebooted("timed out waiting for a response (-timeout 3s)");
    within(3).play(&rows, 3, &why, 17_900);
    // It may also break the connection.
    let mut rows = rows.to_vec();
    rows[5].2 = "break";
    rows.extend(unreachable_for_the_grace("refused"));
    within(3).play(&rows, 0, GONE, 17_900);
}

/// The answers while the node is already shutting down, with the texts of an older
/// and of a newer version of systemd.
const SHUTTING_DOWN: [&str; 2] = [
    "500 Failed to reboot, exit code: 1, stderr: Failed to reboot system via logind: There's \
     already a shutdown or sleep operation in progress",
    "500 Failed to reboot, exit code: 1, stderr: Call to Reboot failed: Action reboot already in \
     progress, refusing requested reboot operation.",
];

#[test]
fn node_that_is_already_shutting_down_is_a_success() {
    let line = "the node is already shutting down";
    for reason in SHUTTING_DOWN {
        within(60).play(&[("reboot", 0, reason)], 0, line, 0);
        let rows = [("reboot", 0, "break"), ("reboot", 250, reason)];
        within(60).play(&rows, 0, line, 250);
    }
    for reason in [
        "500 Failed to reboot, exit code: 1, stderr: a backup is in progress",
        "409 There's already a shutdown or sleep operation in progress",
    ] {
        let why = format!("the API returned {reason}").replace("500 ", "500: ");
        let why = not_rebooted(&why.replace("409 ", "409: "));
        within(60).play(&[("reboot", 0, reason)], 3, &why, 0);
    }
}

#[test]
fn if_ready_reboots_only_a_node_that_is_ready() {
    let rows = [("status", 0, "+1s Ready"), ("reboot", 0, "+2s 204")];
    if_ready(MINUTE).play(&rows, 0, ACCEPTED, 3_000);
    for (answer, why) in [
        ("Idle", "state Idle, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64"),
        ("404", "no refresh since the node booted"),
    ] {
        let line = format!("not rebooting: {why}");
        if_ready(MINUTE).play(&[("status", 0, answer)], 1, &line, 0);
    }
    for state in State::ALL.into_iter().filter(|state| *state != State::Ready) {
        let mut script = if_ready(MINUTE);
        script.row(("status", 0, state.name()));
        let Step::End(end) = script.next else { panic!("{state:?}: {:?}", script.next) };
        assert_eq!(end.exit_status(), 1, "{state:?}");
    }
}

/// Even if the connection breaks: nothing but the status was asked for.
#[test]
fn if_ready_fails_if_the_status_cannot_be_read() {
    let disconnects = [
        ("break", "connection closed before a response"),
        ("reset", "cannot receive the response: connection reset"),
    ];
    for (answer, why) in ERRORS.into_iter().chain(disconnects) {
        let line = format!("cannot read the update status from /run/api.sock: {why}");
        if_ready(MINUTE).play(&[("status", 0, answer)], 3, &line, 0);
        let rows = [("status", 0, "423"), ("status", 100, answer)];
        if_ready(MINUTE).play(&rows, 3, &line, 100);
    }
    let line = "cannot read the update status from /run/api.sock: \
                timed out waiting for a response (-timeout 1m)";
    if_ready(MINUTE).play(&[("status", 0, "silence")], 3, line, 60_000);
    // There was time for an answer, so that the 423 before it is not the result.
    let rows = [("status", 0, "423"), ("status", 100, "silence")];
    if_ready(MINUTE).play(&rows, 3, line, 60_000);
}

#[test]
fn if_ready_repeats_a_call_without_effect() {
    let timeout = Duration::from_secs(3);
    for (answer, why) in NO_EFFECT {
        let line = format!("cannot read the update status from /run/api.sock: {why}");
        let rows = PAUSES.map(|pause| ("status", pause, answer));
        if_ready(timeout).play(&rows, 3, &line, 2_900);
        let rows = [
            &rows[..2],
            &[("status", 200, "Ready"), ("reboot", 0, answer), ("reboot", 100, "204")],
        ]
        .concat();
        if_ready(timeout).play(&rows, 0, ACCEPTED, 400);
    }
}

#[test]
fn if_ready_waits_for_the_lock() {
    let locked = [
        ("status", 0, "423"),
        ("status", 100, "423"),
        ("status", 200, "423"),
        ("status", 400, "423"),
        ("status", 800, "423"),
    ];
    let timeout = Duration::from_secs(3);
    for (last, status, line) in [
        ("423", 1, "not rebooting: update lock held for 3s"),
        ("silence", 1, "not rebooting: update lock held for 3s"),
        ("full", 1, "not rebooting: update lock held for 3s"),
        ("404", 1, "not rebooting: no refresh since the node booted"),
    ] {
        let rows = [&locked[..], &[("status", 1_400, last)]].concat();
        let took = if answer(last).is_err() { 3_000 } else { 2_900 };
        if_ready(timeout).play(&rows, status, line, took);
    }
    let ready = [&locked[..2], &[("status", 200, "Ready"), ("reboot", 0, "204")]].concat();
    if_ready(timeout).play(&ready, 0, ACCEPTED, 300);
    // The timeout is for both calls.
    let rows = [&ready[..3], &[("reboot", 0, "silence")]].concat();
    let why = not_rebooted("timed out waiting for a response (-timeout 3s)");
    if_ready(timeout).play(&rows, 3, &why, 3_000);
}

#[test]
fn first_disconnect_is_a_warning() {
    for (answer, warning) in [
        ("break", "connection closed before a response; checking whether the API comes back"),
        (
            "reset",
            "cannot receive the response: connection reset; checking whether the API comes back",
        ),
    ] {
        let mut script = within(60);
        for row in [("reboot", 0, answer), ("reboot", 250, answer), ("reboot", 250, "missing")] {
            script.row(row);
        }
        assert_eq!(script.warnings, [warning]);
    }
}

/// A server that crashed is back after six seconds or so.
#[test]
fn answer_after_a_disconnect_is_the_result() {
    let answers = ERRORS.map(|(answer, why)| (answer, 3, not_rebooted(why)));
    for (answer, status, line) in [&[("204", 0, AGAIN.into())], &answers[..]].concat() {
        for unreachable in ["refused", "missing"] {
            // How often the API is unreachable before the answer.
            for count in [0, 1, 2, 24] {
                let mut rows = vec![("reboot", 0, "+1s break")];
                rows.extend(vec![("reboot", 250, unreachable); count]);
                rows.push(("reboot", 250, answer));
                let took = 1_250 + 250 * count as u128;
                within(60).play(&rows, status, &line, took);
            }
        }
    }
}

/// It may be busy rebooting. So it has the grace, and until the timeout.
#[test]
fn api_that_comes_back_has_time_to_answer() {
    let silence = [("reboot", 0, "break"), ("reboot", 250, "silence")];
    for (timeout, took, shown) in [(2, 15_250, "2s"), (20, 20_000, "20s"), (60, 60_000, "1m")] {
        let why = format!("timed out waiting for a response (-timeout {shown})");
        within(timeout).play(&silence, 3, &not_rebooted(&why), took);
    }
    let rows = [("reboot", 0, "+1s break"), ("reboot", 250, "+14s 204")];
    within(2).play(&rows, 0, AGAIN, 15_250);
}

/// The API is there, so the node may not be going down.
#[test]
fn repeated_request_without_effect_is_repeated_until_the_timeout() {
    for (answer, why) in &NO_EFFECT[4..] {
        let mut rows = vec![("reboot", 0, "break")];
        rows.extend(vec![("reboot", 250, *answer); 80]);
        within(20).play(&rows, 3, &not_rebooted(why), 20_000);
        rows.truncate(70);
        rows.push(("reboot", 250, "204"));
        within(20).play(&rows, 0, AGAIN, 17_500);
        // The grace begins at the last answer.
        rows.truncate(70);
        rows.extend(unreachable_for_the_grace("refused"));
        within(20).play(&rows, 0, GONE, 32_250);
    }
}

/// The API server cannot start while the directory exists.
#[test]
fn directory_after_a_disconnect_is_no_reboot() {
    let mut rows = vec![("reboot", 0, "break")];
    rows.extend(vec![("reboot", 250, "directory"); 80]);
    for (timeout, count, took) in [(20, 80, 20_000), (3, 60, 15_000)] {
        let why = not_rebooted(NO_EFFECT[2].1);
        within(timeout).play(&rows[..=count], 3, &why, took);
    }
    // Somebody removes it. The grace begins then.
    rows.truncate(40);
    let mut answered = rows.clone();
    answered.push(("reboot", 250, "204"));
    within(20).play(&answered, 0, AGAIN, 10_000);
    rows.extend(unreachable_for_the_grace("missing"));
    within(20).play(&rows, 0, GONE, 24_750);
}

/// The requests, 250 ms apart, until the API has been unreachable for the grace.
fn unreachable_for_the_grace(how: &'static str) -> Vec<Row> {
    vec![("reboot", 250, how); 60]
}

/// The timeout makes no difference.
#[test]
fn api_that_stays_away_is_a_reboot() {
    for timeout in [1, 3, 60, 3_600] {
        for how in ["refused", "missing"] {
            for first in ["+500ms break", "+500ms reset"] {
                let mut rows = vec![("reboot", 0, first)];
                rows.extend(unreachable_for_the_grace(how));
                within(timeout).play(&rows, 0, GONE, 15_500);
            }
        }
    }
    let mut rows = vec![("status", 0, "Ready"), ("reboot", 0, "break")];
    rows.extend(unreachable_for_the_grace("refused"));
    if_ready(MINUTE).play(&rows, 0, GONE, 15_000);
}

/// However long each request takes, the last one is made at the end of the grace.
#[test]
fn last_request_is_made_at_the_end_of_the_grace() {
    let mut rows = vec![("reboot", 0, "break")];
    rows.extend([("reboot", 250, "+4s refused"); 3]);
    rows.extend([("reboot", 250, "+1950ms refused"), ("reboot", 50, "refused")]);
    within(60).play(&rows, 0, GONE, 15_000);
    *rows.last_mut().unwrap() = ("reboot", 50, "204");
    within(60).play(&rows, 0, AGAIN, 15_000);
}

/// The grace begins again: it may be the last of the API as the node goes down.
#[test]
fn api_that_stays_away_after_another_disconnect_is_a_reboot() {
    for second in ["break", "+1s break", "reset", "unsent"] {
        let mut rows = vec![("reboot", 0, "break"), ("reboot", 250, second)];
        rows.extend(unreachable_for_the_grace("refused"));
        let took = if second == "+1s break" { 16_250 } else { 15_250 };
        within(60).play(&rows, 0, GONE, took);
    }
    let mut rows = vec![("reboot", 0, "break")];
    rows.extend(vec![("reboot", 250, "refused"); 59]);
    rows.push(("reboot", 250, "break"));
    rows.extend(unreachable_for_the_grace("refused"));
    within(60).play(&rows, 0, GONE, 30_000);
}

/// A server that crashes on each request, and is away for six seconds each time.
fn crashes(count: usize) -> Vec<Row> {
    let mut rows = vec![("reboot", 0, "break")];
    for _ in 1..count {
        rows.extend([("reboot", 250, "refused"); 23]);
        rows.push(("reboot", 250, "break"));
    }
    rows
}

#[test]
fn api_that_crashes_on_each_request_is_no_reboot() {
    for count in 1..=10 {
        let mut rows = crashes(count);
        rows.extend([("reboot", 250, "refused"); 23]);
        rows.push(("reboot", 250, "204"));
        within(60).play(&rows, 0, AGAIN, 6_000 * count as u128);
    }
    // After the timeout, the next disconnect is the end.
    let why = not_rebooted("connection closed before a response");
    within(60).play(&crashes(11), 3, &why, 60_000);
    within(59).play(&crashes(11), 3, &why, 60_000);
    // A short timeout gives way to the grace.
    within(1).play(&crashes(4), 3, &why, 18_000);
}

/// A server that is there, and breaks the connection each time.
#[test]
fn connection_that_keeps_breaking_is_a_failure() {
    let why = not_rebooted("connection closed before a response");
    for timeout in [1, 3, 60, 3_600] {
        // Each at once: at least five seconds.
        let mut rows = vec![("reboot", 0, "break")];
        rows.extend([("reboot", 250, "break"); 20]);
        within(timeout).play(&rows, 3, &why, 5_000);
        // The one before may be answered.
        *rows.last_mut().unwrap() = ("reboot", 250, "204");
        within(timeout).play(&rows, 0, AGAIN, 5_000);
    }
    let why = not_rebooted("cannot send the request: broken pipe");
    let mut rows = vec![("reboot", 0, "break")];
    rows.extend([("reboot", 250, "unsent"); 20]);
    within(60).play(&rows, 3, &why, 5_000);
    // Each after four seconds: until the timeout, which is no shorter than the grace.
    let why = not_rebooted("cannot receive the response: connection reset");
    for (timeout, count, took) in [(60, 15, 63_750), (3, 4, 17_000)] {
        let mut rows = vec![("reboot", 0, "reset")];
        rows.extend(vec![("reboot", 250, "+4s reset"); count]);
        within(timeout).play(&rows, 3, &why, took);
    }
}

/// A process that was stopped does not take the API for gone.
#[test]
fn stopped_process_makes_its_last_request_after_the_grace() {
    // It was stopped in a pause: the request comes after the grace.
    for (answer, status, line) in [("~20s refused", 0, GONE), ("~20s 204", 0, AGAIN)] {
        within(60).play(&[("reboot", 0, "break"), ("reboot", 250, answer)], status, line, 20_250);
    }
    // It was stopped after the request was refused, which is long ago by now.
    for (answer, status, line) in [("refused", 0, GONE), ("204", 0, AGAIN)] {
        let rows = [("reboot", 0, "break"), ("reboot", 250, "+20s refused"), ("reboot", 0, answer)];
        within(60).play(&rows, status, line, 20_250);
    }
    // It was stopped after the disconnect: the grace begins when it goes on.
    let mut rows = vec![("reboot", 0, "+20s break")];
    rows.extend(unreachable_for_the_grace("refused"));
    within(60).play(&rows, 0, GONE, 35_000);
    // The last request has as much time as each.
    let rows = [("reboot", 0, "break"), ("reboot", 250, "~2m silence")];
    let why = not_rebooted("timed out waiting for a response (-timeout 1m)");
    within(60).play(&rows, 3, &why, 135_250);
}

/// A reboot with `-activate`.
fn activate(seconds: u64) -> Script {
    Script::new(Settings { activate: true, ..settings(Duration::from_secs(seconds)) })
}

const STAGED: &str = "Staged 1.26.1>1.26.1 prepare=Success@7";
const ACTIVATED: &str = "Ready 1.26.1>1.26.1 activate=Success@8";
const UNDONE: &str = "Staged 1.26.1>1.26.1 deactivate=Success@9";
const UNDONE_LINE: &str = "not rebooting: the update has been deactivated again: state Staged, \
                           1.26.1 is prepared but not activated; running 1.26.0, variant \
                           aws-k8s-1.30, arch x86_64";

#[test]
fn staged_update_is_activated_before_the_request() {
    let activated = [("status", 0, STAGED), ("activate", 0, "204"), ("status", 100, ACTIVATED)];
    let mut rows = activated.to_vec();
    rows.push(("reboot", 0, "204"));
    activate(60).play(&rows, 0, ACCEPTED, 100);
    // The lock is held, by the activate itself or by others.
    let rows = [
        ("status", 0, STAGED),
        ("activate", 0, "423"),
        ("status", 100, "423"),
        ("status", 200, STAGED),
        ("activate", 400, "204"),
        ("status", 800, "423"),
        ("status", 1_600, ACTIVATED),
        ("reboot", 0, "204"),
    ];
    activate(60).play(&rows, 0, ACCEPTED, 3_100);
    // The answer is lost.
    let rows = [
        ("status", 0, STAGED),
        ("activate", 0, "break"),
        ("status", 100, ACTIVATED),
        ("reboot", 0, "204"),
    ];
    activate(60).play(&rows, 0, ACCEPTED, 100);
    // It is Ready already.
    activate(60).play(&[("status", 0, ACTIVATED), ("reboot", 0, "204")], 0, ACCEPTED, 0);
}

#[test]
fn staged_update_is_refreshed_recorded_and_activated() {
    let settings = Settings { activate: true, confirm: true, record: true, ..settings(MINUTE) };
    let mut rows = refreshed(STAGED, "Staged 1.26.1>1.26.1 refresh=Success@8");
    rows.push(("activate", 0, "204"));
    rows.push(("status", 100, "Ready 1.26.1>1.26.1 activate=Success@9"));
    rows.push(("record", 0, "1.26.1"));
    rows.push(("reboot", 0, "204"));
    Script::new(settings).play(&rows, 0, ACCEPTED, 800);
    // It is no longer chosen. It is not activated, and the node stays as it is.
    for (status, what) in [
        ("Staged 1.26.1>- refresh=Success@8", "no update chosen"),
        ("Staged 1.26.1>1.26.2 refresh=Success@8", "1.26.2 is chosen but not prepared"),
    ] {
        let line = format!(
            "not rebooting: state Staged, {what}; running 1.26.0, variant aws-k8s-1.30, arch x86_64"
        );
        Script::new(settings).play(&refreshed(STAGED, status), 1, &line, 700);
    }
}

#[test]
fn update_that_cannot_be_activated_is_a_failure() {
    let failed = "Staged 1.26.1>1.26.1 activate=Failed@8";
    let line = "not rebooting: the update could not be activated: activate failed (Failed, exit \
                status 1): no space";
    let rows = [("status", 0, STAGED), ("activate", 0, "204"), ("status", 100, failed)];
    activate(60).play(&rows, 3, line, 100);
    // The failure of an earlier activate says nothing about this one.
    let old = "Staged 1.26.1>1.26.1 activate=Failed@7";
    let rows = [
        ("status", 0, old),
        ("activate", 0, "204"),
        ("status", 100, old),
        ("activate", 200, "204"),
        ("status", 400, ACTIVATED),
        ("reboot", 0, "204"),
    ];
    activate(60).play(&rows, 0, ACCEPTED, 700);
    // The lock is held until the timeout.
    let mut rows = vec![("status", 0, STAGED), ("activate", 0, "423"), ("status", 100, "423")];
    rows.push(("status", 200, "423"));
    rows.push(("status", 400, "+1s 423"));
    let line = "not rebooting: the update could not be activated: update lock held for 1s";
    activate(1).play(&rows, 3, line, 1_700);
    // The activate has not ended at the timeout. It is not left to the next boot.
    for (answer, status, cause) in [
        ("204", "+1s 423", "update lock held for 1s"),
        ("break", "+1s 423", "update lock held for 1s"),
        (
            "204",
            "+1s refused",
            "cannot read the update status from /run/api.sock: cannot connect: connection refused \
             (is the API server running? if it has made a new socket, restart the container that \
             still mounts the old one)",
        ),
        (
            "204",
            "+1s Staged 1.26.1>1.26.1 prepare=Success@7",
            "the status does not show the outcome of the command",
        ),
    ] {
        let rows = [
            ("status", 0, STAGED),
            ("activate", 0, answer),
            ("status", 100, status),
            ("deactivate", 0, "423"),
            ("status", 100, "423"),
            ("status", 200, ACTIVATED),
            ("deactivate", 400, "204"),
            ("status", 800, UNDONE),
        ];
        let warning =
            format!("the outcome of the activate is not known: {cause}; deactivating the update");
        activate(1).play_with_warnings(&rows, 3, UNDONE_LINE, 2_600, &[&warning]);
    }
    // It is no longer Staged.
    let rows = [("status", 0, STAGED), ("activate", 0, "204"), ("status", 100, "404")];
    let line = "not rebooting: no refresh since the node booted";
    activate(60).play(&rows, 1, line, 100);
}

#[test]
fn update_is_deactivated_again_if_the_reboot_fails() {
    for (answer, why) in ERRORS.into_iter().filter(|(answer, _)| *answer != "garbage") {
        let rows = [
            ("status", 0, STAGED),
            ("activate", 0, "204"),
            ("status", 100, ACTIVATED),
            ("reboot", 0, answer),
            ("deactivate", 0, "204"),
            ("status", 100, UNDONE),
        ];
        let warning = format!("{}; deactivating the update again", not_rebooted(why));
        activate(60).play_with_warnings(&rows, 3, UNDONE_LINE, 200, &[&warning]);
    }
    // The record is removed first.
    let recorded = Settings { activate: true, record: true, ..settings(MINUTE) };
    let rows = [
        ("status", 0, ACTIVATED),
        ("record", 0, "1.26.1"),
        ("reboot", 0, "500 inhibited"),
        ("forget", 0, ""),
        ("deactivate", 0, "204"),
        ("status", 100, UNDONE),
    ];
    let warning = format!("{}; deactivating the update again", not_rebooted(ERRORS[0].1));
    Script::new(recorded).play_with_warnings(&rows, 3, UNDONE_LINE, 100, &[&warning]);
    // Also what an earlier run has activated, and also when the timeout is over.
    let mut rows = vec![("status", 0, ACTIVATED), ("reboot", 0, "+2s refused")];
    rows.extend([("deactivate", 0, "204"), ("status", 100, UNDONE)]);
    let warning = format!("{}; deactivating the update again", not_rebooted(NO_EFFECT[0].1));
    activate(1).play_with_warnings(&rows, 3, UNDONE_LINE, 2_100, &[&warning]);
    // The node may be rebooting: the update stays as it is.
    let rows = [("status", 0, ACTIVATED), ("reboot", 0, "silence")];
    let why = not_rebooted("timed out waiting for a response (-timeout 1m)");
    activate(60).play(&rows, 3, &why, 60_000);
    let rows = [("status", 0, ACTIVATED), ("reboot", 0, "garbage")];
    activate(60).play(&rows, 3, &not_rebooted("the response is not HTTP/1.1"), 0);
}

/// A status that is Ready before and after the refresh.
const READY: &str = "Ready 1.26.1>1.26.1 activate=Success@7";
const STILL_CHOSEN: &str = "Ready 1.26.1>1.26.1 refresh=Success@8";
const NONE_CHOSEN: &str = "Ready 1.26.1>- refresh=Success@8";
const OTHER_CHOSEN: &str = "Ready 1.26.1>1.26.2 refresh=Success@8";
const DEACTIVATED: &str = "Staged 1.26.1>- deactivate=Success@9";
const WITHDRAWN: &str = "not rebooting: the update has been deactivated: state Staged, no update \
                         chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64";
const DEACTIVATING: &str =
    "1.26.1 is Ready but no longer chosen; deactivating it instead of rebooting";
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

#[test]
fn confirm_reboots_if_what_is_ready_is_still_chosen() {
    let mut rows = refreshed(READY, STILL_CHOSEN);
    rows.push(("reboot", 0, "204"));
    confirm(60).play(&rows, 0, ACCEPTED, 700);
    // What an earlier refresh has chosen does not matter.
    rows[0].2 = NONE_CHOSEN;
    rows[4].2 = "Ready 1.26.1>1.26.1 refresh=Success@9";
    confirm(60).play(&rows, 0, ACCEPTED, 700);
}

#[test]
fn confirm_deactivates_what_is_no_longer_chosen() {
    for withdrawn in [NONE_CHOSEN, OTHER_CHOSEN] {
        let mut rows = refreshed(READY, withdrawn);
        rows.extend([("deactivate", 0, "204"), ("status", 100, "423")]);
        rows.push(("status", 200, DEACTIVATED));
        confirm(60).play_with_warnings(&rows, 1, WITHDRAWN, 1_000, &[DEACTIVATING]);
        // Somebody else has deactivated it.
        rows.truncate(5);
        rows.extend([("deactivate", 0, "409 not allowed"), ("status", 100, DEACTIVATED)]);
        confirm(60).play_with_warnings(&rows, 1, WITHDRAWN, 800, &[DEACTIVATING]);
    }
    let rows = [&refreshed(READY, NONE_CHOSEN)[..], &[("deactivate", 0, "204")]].concat();
    let rebooted = [&rows[..], &[("status", 100, "404")]].concat();
    let line = "not rebooting: no refresh since the node booted";
    confirm(60).play_with_warnings(&rebooted, 1, line, 800, &[DEACTIVATING]);
}

#[test]
fn deactivate_is_repeated_until_the_timeout() {
    let advice = "; any other reboot of the node boots it. To deactivate it, run apiclient update \
                  cancel";
    let ready = "Ready 1.26.1>- deactivate=Failed@9";
    let failed = "deactivate failed (Failed, exit status 1): no space";
    let not_shown = "the status does not show the outcome of the command";
    let held = "update lock held for 2s";
    let refused = "cannot read the update status from /run/api.sock: the API returned 500: no";
    for (deactivate, status, why) in [
        ("204", ready, failed),
        ("423", ready, held),
        ("409 no", ready, failed),
        ("500 no", ready, failed),
        ("break", ready, failed),
        ("204", NONE_CHOSEN, not_shown),
        ("204", "423", held),
        ("204", "500 no", refused),
    ] {
        let line = format!("not rebooting: the update could not be deactivated: {why}{advice}");
        // This begins after 700 ms.
        let mut rows = refreshed(READY, NONE_CHOSEN);
        rows.extend([("deactivate", 0, deactivate), ("status", 100, status)]);
        if status.starts_with("Ready") {
            rows.extend([("deactivate", 200, deactivate), ("status", 400, status)]);
            rows.extend([("deactivate", 500, deactivate), ("status", 0, status)]);
        } else {
            rows.extend([200, 400, 500].map(|pause| ("status", pause, status)));
        }
        confirm(2).play_with_warnings(&rows, 3, &line, 1_900, &[DEACTIVATING]);
        // It works at last.
        rows.last_mut().unwrap().2 = DEACTIVATED;
        confirm(2).play_with_warnings(&rows, 1, WITHDRAWN, 1_900, &[DEACTIVATING]);
    }
    let mut rows = refreshed(READY, NONE_CHOSEN);
    rows.extend([("deactivate", 0, "silence"), ("status", 0, "silence")]);
    let why = "cannot read the update status from /run/api.sock: timed out waiting for a response";
    let line = format!("not rebooting: the update could not be deactivated: {why}{advice}");
    confirm(2).play_with_warnings(&rows, 3, &line, 2_000, &[DEACTIVATING]);
}

#[test]
fn confirm_reboots_after_a_refresh_that_fails() {
    let failed = "Ready 1.26.1>1.26.1 refresh=Failed@8";
    let warning = format!("refresh failed (Failed, exit status 1): no space; {RELYING}");
    let mut rows = refreshed(READY, failed);
    rows.push(("reboot", 0, "204"));
    confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 700, &[&warning]);
    // Another client's command has ended since.
    rows[4].2 = "Ready 1.26.1>1.26.1 activate=Success@8";
    let warning = format!("the status does not show the outcome of the command; {RELYING}");
    confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 700, &[&warning]);

    for (answer, why) in [
        ("500 no dispatcher", "the API returned 500: no dispatcher"),
        ("409 no", "the API returned 409: no"),
        ("descriptors", "cannot set up the call: too many open files"),
    ] {
        let warning = format!("cannot refresh the updates through /run/api.sock: {why}; {RELYING}");
        let rows = [("status", 0, READY), ("refresh", 0, answer), ("status", 100, READY)];
        let rebooted = [&rows[..], &[("reboot", 0, "204")]].concat();
        confirm(60).play_with_warnings(&rebooted, 0, ACCEPTED, 100, &[&warning]);
        // The state has changed meanwhile.
        let mut changed = rows;
        changed[2].2 = DEACTIVATED;
        let line = WITHDRAWN.replace("the update has been deactivated: ", "");
        confirm(60).play_with_warnings(&changed, 1, &line, 100, &[&warning]);
        // Or the status cannot be read any more.
        let mut broken = rebooted;
        broken[2].2 = "+30s garbage";
        let other = format!(
            "cannot read the update status from /run/api.sock: the response is not HTTP/1.1; \
             {RELYING}"
        );
        confirm(60).play_with_warnings(&broken, 0, ACCEPTED, 30_100, &[&warning, &other]);
        broken[2].2 = "garbage";
        broken.insert(3, ("status", 200, READY));
        confirm(60).play_with_warnings(&broken, 0, ACCEPTED, 300, &[&warning]);
    }
}

/// A refresh that was not seen to succeed does not undo what an earlier one has shown.
#[test]
fn confirm_does_not_reboot_into_a_version_that_was_withdrawn_before() {
    let failed = "Ready 1.26.1>- refresh=Failed@8";
    let refused =
        [("status", 0, NONE_CHOSEN), ("refresh", 0, "500 no"), ("status", 100, "+30s garbage")];
    let [failed, hanging] = [
        vec![("status", 0, NONE_CHOSEN), ("refresh", 0, "204"), ("status", 100, failed)],
        vec![("status", 0, NONE_CHOSEN), ("refresh", 0, "204"), ("status", 100, "+30s 423")],
    ];
    for (rows, took) in [(failed, 400), (hanging, 30_400), (refused.into(), 30_400)] {
        // The first has the timestamp of the second status.
        let mut rows = rows;
        rows[0].2 = "Ready 1.26.1>- activate=Success@7";
        rows.extend([("deactivate", 0, "204"), ("status", 100, "423")]);
        rows.push(("status", 200, DEACTIVATED));
        let mut script = confirm(61);
        script.play_rows(&rows, 1, WITHDRAWN, took);
        assert_eq!(script.warnings.last().unwrap(), DEACTIVATING);
    }
}

/// The pauses while a refresh of up to 30 s runs.
const FOLLOWED: [u64; 19] = [
    100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000,
    2_000, 2_000, 2_000, 2_000, 800,
];

#[test]
fn confirm_waits_for_a_refresh_until_its_limit() {
    let shown = format!("the status does not show the outcome of the command; {RELYING}");
    for (answer, warning) in [
        ("423", format!("the refresh is still running after 30s; {RELYING}")),
        (READY, shown),
        (
            "500 no",
            format!(
                "cannot read the update status from /run/api.sock: the API returned 500: no; \
                 {RELYING}"
            ),
        ),
    ] {
        // Without an answer it may run as well.
        for refresh in ["204", "break", "reset"] {
            let mut rows = vec![("status", 0, READY), ("refresh", 0, refresh)];
            rows.extend(FOLLOWED.map(|pause| ("status", pause, answer)));
            let last = rows.len() - 1;
            rows.push(("reboot", 0, "204"));
            confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 29_900, &[&warning]);
            rows.truncate(last + 1);
            rows[last].2 = STILL_CHOSEN;
            rows.push(("reboot", 0, "204"));
            confirm(60).play(&rows, 0, ACCEPTED, 29_900);
            // A call ends at the limit, too.
            rows[last].2 = "silence";
            let warning = format!(
                "cannot read the update status from /run/api.sock: timed out waiting for a \
                 response; {RELYING}"
            );
            confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 30_000, &[&warning]);
        }
    }
    // The other half of the time is for the reboot.
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "silence"), ("status", 0, "423")];
    rows.push(("reboot", 0, "silence"));
    let line = not_rebooted("timed out waiting for a response (-timeout 20s)");
    let warning = format!("the refresh is still running after 10s; {RELYING}");
    confirm(20).play_with_warnings(&rows, 3, &line, 20_000, &[&warning]);
}

#[test]
fn confirm_repeats_a_refresh_without_effect() {
    for (answer, why) in NO_EFFECT.into_iter().filter(|(answer, _)| !answer.starts_with("423")) {
        let mut rows = vec![("status", 0, READY), ("refresh", 0, answer), ("refresh", 100, answer)];
        rows.extend([("refresh", 200, "204"), ("status", 100, STILL_CHOSEN), ("reboot", 0, "204")]);
        confirm(60).play(&rows, 0, ACCEPTED, 400);
        // For half of the time. Then the status is read, also for half of the time.
        let mut rows = vec![("status", 0, READY), ("refresh", 0, answer), ("refresh", 100, answer)];
        rows.extend([200, 400, 200].map(|pause| ("refresh", pause, answer)));
        rows.extend([("status", 0, READY), ("reboot", 0, "204")]);
        let warning = format!("cannot refresh the updates through /run/api.sock: {why}; {RELYING}");
        confirm(2).play_with_warnings(&rows, 0, ACCEPTED, 900, &[&warning]);
    }
}

#[test]
fn confirm_waits_for_the_lock_of_others() {
    // A command of another client, before the refresh.
    let mut rows = vec![("status", 0, "423"), ("status", 100, READY)];
    rows.extend([("refresh", 0, "423"), ("refresh", 100, "423"), ("refresh", 200, "204")]);
    rows.extend([("status", 100, STILL_CHOSEN), ("reboot", 0, "204")]);
    confirm(60).play(&rows, 0, ACCEPTED, 500);
    // It holds the lock until the timeout.
    let line = "not rebooting: update lock held for 3s";
    let mut rows = vec![("status", 0, READY)];
    rows.extend(PAUSES.map(|pause| ("refresh", pause, "423")));
    confirm(3).play(&rows, 1, line, 2_900);
    // The last try may time out. Half of its time is for the reboot.
    rows[6].2 = "silence";
    confirm(3).play(&rows, 1, line, 2_950);
    let rows = PAUSES.map(|pause| ("status", pause, "423"));
    confirm(3).play(&rows, 1, line, 2_900);
    // The refresh has its time from the end of the lock.
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "+29s 423"), ("refresh", 100, "204")];
    rows.extend(FOLLOWED[..9].iter().map(|pause| ("status", *pause, "423")));
    rows.extend([("status", 2_000, STILL_CHOSEN), ("reboot", 0, "204")]);
    confirm(60).play(&rows, 0, ACCEPTED, 42_200);
    // Another client takes the lock after the refresh was refused.
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "500 no"), ("status", 100, "423")];
    rows.extend([("status", 200, "423"), ("status", 400, READY), ("reboot", 0, "204")]);
    let warning = format!(
        "cannot refresh the updates through /run/api.sock: the API returned 500: no; {RELYING}"
    );
    confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 700, &[&warning]);
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "500 no")];
    rows.extend(PAUSES[1..].iter().map(|pause| ("status", *pause, "423")));
    confirm(3).play_with_warnings(&rows, 1, line, 2_900, &[&warning]);
    rows[6].2 = "full";
    confirm(3).play_with_warnings(&rows, 1, line, 2_950, &[&warning]);
}

#[test]
fn confirm_reboots_only_a_node_that_is_ready() {
    for (answer, why) in [
        ("Idle", "state Idle, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64"),
        ("404", "no refresh since the node booted"),
    ] {
        let line = format!("not rebooting: {why}");
        confirm(60).play(&[("status", 0, answer)], 1, &line, 0);
        let rows = [("status", 0, READY), ("refresh", 0, "204"), ("status", 100, answer)];
        confirm(60).play(&rows, 1, &line, 100);
    }
    for (answer, why) in ERRORS {
        let line = format!("cannot read the update status from /run/api.sock: {why}");
        confirm(60).play(&[("status", 0, answer)], 3, &line, 0);
    }
}

#[test]
fn record_has_the_version_that_the_reboot_is_to_bring() {
    for (status, version) in [
        ("Ready 1.26.1>1.26.1", "1.26.1"),
        // Without -confirm, this does not matter.
        ("Ready 1.26.1>-", "1.26.1"),
        ("Ready 1.25.0>1.25.0", "1.25.0"),
        // The same version, an unknown one, and no update.
        ("Ready 1.26.0>1.26.0", "none"),
        ("Ready", "none"),
        ("Staged 1.26.1>1.26.1", "none"),
        ("Available", "none"),
        ("Idle", "none"),
        ("404", "none"),
    ] {
        let rows = [("status", 0, status), ("record", 0, version), ("reboot", 0, "204")];
        record(60).play(&rows, 0, ACCEPTED, 0);
    }
    let confirmed = Settings { confirm: true, record: true, ..settings(MINUTE) };
    let mut rows = refreshed(READY, STILL_CHOSEN);
    rows.extend([("record", 0, "1.26.1"), ("reboot", 0, "204")]);
    Script::new(confirmed).play(&rows, 0, ACCEPTED, 700);
    // Also if the last status cannot be read.
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "204"), ("status", 100, "+30s 423")];
    rows.extend([("record", 0, "1.26.1"), ("reboot", 0, "204")]);
    let warning = format!("the refresh is still running after 30s; {RELYING}");
    Script::new(confirmed).play_with_warnings(&rows, 0, ACCEPTED, 30_100, &[&warning]);
}

/// The status is needed for nothing else, so a failure does not prevent the reboot.
#[test]
fn reboot_without_a_status_has_no_record() {
    for (answer, why) in ERRORS {
        let rows = [("status", 0, answer), ("record", 0, "none"), ("reboot", 0, "204")];
        let warning = format!(
            "cannot read the update status from /run/api.sock: {why}; rebooting without a record"
        );
        record(60).play_with_warnings(&rows, 0, ACCEPTED, 0, &[&warning]);
    }
    for (timeout, pauses, took, shown) in [
        (60, &[100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 800][..], 9_900, "10s"),
        (3, &[100, 200, 400, 700], 1_400, "1s500ms"),
    ] {
        let mut rows = vec![("status", 0, "423")];
        rows.extend(pauses.iter().map(|pause| ("status", *pause, "423")));
        rows.extend([("record", 0, "none"), ("reboot", 0, "204")]);
        let warning = format!("update lock held for {shown}; rebooting without a record");
        record(timeout).play_with_warnings(&rows, 0, ACCEPTED, took, &[&warning]);
        // The last call may take the rest of the time.
        let last = rows.len() - 3;
        rows[last].2 = "silence";
        record(timeout).play_with_warnings(&rows, 0, ACCEPTED, took + 100, &[&warning]);
    }
    let rows = [("status", 0, "silence"), ("record", 0, "none"), ("reboot", 0, "204")];
    let warning = "cannot read the update status from /run/api.sock: timed out waiting for a \
                   response; rebooting without a record";
    record(60).play_with_warnings(&rows, 0, ACCEPTED, 10_000, &[warning]);
}

#[test]
fn record_is_void_if_the_node_is_known_not_to_reboot() {
    let voids = |mut script: Script, rows: &[Row]| {
        rows.iter().for_each(|row| script.row(*row));
        let Step::End(end) = script.next else { panic!("not over: {:?}", script.next) };
        script.reboot.voids_record(&end)
    };
    let requested =
        |rows: &[Row]| [&[("status", 0, READY), ("record", 0, "1.26.1")], rows].concat();
    for (answer, is_void) in [
        ("204", false),
        (SHUTTING_DOWN[0], false),
        ("500 inhibited", true),
        ("404 no", true),
        ("denied", true),
        ("descriptors", true),
        ("full", true),
        // The request may have been received.
        ("silence", false),
        ("garbage", false),
    ] {
        let rows = requested(&[("reboot", 0, answer)]);
        assert_eq!(voids(record(60), &rows), is_void, "{answer}");
    }
    for (answer, _) in NO_EFFECT {
        let rows = requested(&PAUSES.map(|pause| ("reboot", pause, answer)));
        assert!(voids(record(3), &rows), "{answer}");
    }
    for (answer, is_void) in [
        ("204", false),
        (SHUTTING_DOWN[1], false),
        ("500 inhibited", true),
        ("denied", false),
        ("garbage", false),
        ("silence", false),
    ] {
        let rows = requested(&[("reboot", 0, "break"), ("reboot", 250, answer)]);
        assert_eq!(voids(record(60), &rows), is_void, "break, {answer}");
    }
    let gone = [&[("reboot", 0, "break")], &unreachable_for_the_grace("missing")[..]].concat();
    assert!(!voids(record(60), &requested(&gone)));
    for answer in ["break", "408"] {
        let again = vec![("reboot", 250, answer); if answer == "408" { 60 } else { 20 }];
        let rows = requested(&[&[("reboot", 0, "break")], &again[..]].concat());
        assert!(!voids(record(3), &rows), "{answer}");
    }
    // Without a request.
    for answer in ["Idle", "404", "garbage"] {
        assert!(voids(confirm(60), &[("status", 0, answer)]), "{answer}");
    }
    assert!(voids(confirm(3), &PAUSES.map(|pause| ("status", pause, "423"))));
    // The API may have stopped because of an earlier request.
    assert!(!voids(confirm(3), &PAUSES.map(|pause| ("status", pause, "refused"))));
    let mut rows = refreshed(READY, NONE_CHOSEN);
    rows.extend([("deactivate", 0, "204"), ("status", 100, DEACTIVATED)]);
    assert!(voids(confirm(60), &rows));
    rows[6].2 = "+1h 423";
    assert!(voids(confirm(60), &rows));
}

/// Whatever the API does, and however long the process is stopped: a success has a
/// reason, a withdrawn version is never booted, and there is an end.
#[test]
fn any_answers_end_and_a_success_has_a_reason() {
    const UNREACHABLE: [&str; 2] = ["refused", "missing"];
    const BROKEN: [&str; 3] = ["break", "reset", "unsent"];
    const OTHERS: [&str; 7] =
        ["204", "408", "423 locked", "silence", "500 no", SHUTTING_DOWN[0], "garbage"];
    const STATUSES: [&str; 15] = [
        "423",
        "404",
        "garbage",
        "refused",
        "Idle",
        READY,
        STILL_CHOSEN,
        NONE_CHOSEN,
        OTHER_CHOSEN,
        DEACTIVATED,
        "Ready 1.26.1>1.26.1 refresh=Failed@9",
        "Ready 1.26.1>- deactivate=Failed@10",
        STAGED,
        "Staged 1.26.1>1.26.1 refresh=Success@8",
        "Staged 1.26.1>1.26.1 activate=Failed@9",
    ];
    const STARTED: [&str; 8] = ["204", "204", "204", "423", "409 no", "500 no", "break", "refused"];
    let mut numbers = Numbers(1);
    let mut ends = [0; 4];
    let (mut withdrawn, mut undone) = (0, 0);
    for _ in 0..10_000 {
        let timeout = Duration::from_secs(*numbers.one_of(&[1, 15, 60, 600]));
        let settings = Settings {
            if_ready: numbers.below(2) == 0,
            confirm: numbers.below(2) == 0,
            activate: numbers.below(2) == 0,
            record: numbers.below(2) == 0,
            ..settings(timeout)
        };
        let mut script = Script::new(settings);
        // How many percent of the answers are of these two kinds.
        let (others, broken) = (numbers.below(20), numbers.below(10));
        let is_any = !settings.if_ready && !settings.confirm && !settings.activate;
        // The last status, and whether it came after a request for a refresh.
        let (mut last, mut is_refreshed, mut has_refreshed) = ("", false, false);
        let (mut has_activated, mut is_deactivating) = (false, false);
        // When the API was last reached.
        let mut reached = script.now;
        let (mut calls, mut requests, mut records) = (0, 0, 0);
        loop {
            let (call, pause) = match script.next {
                Step::Call(call, pause) => (call, pause),
                Step::Record => {
                    assert_eq!((settings.record, requests, records), (true, 0, 0));
                    records += 1;
                    let is_ready = last.starts_with("Ready");
                    assert!(is_ready || is_any);
                    script.row(("record", 0, if is_ready { "1.26.1" } else { "none" }));
                    continue;
                }
                Step::RemoveRecord => {
                    let is_after_request = records == 1 && requests > 0;
                    assert!(settings.activate && (is_after_request || has_activated));
                    script.row(("forget", 0, ""));
                    continue;
                }
                Step::End(_) => break,
            };
            let answer = match call {
                Call::Status => *numbers.one_of(&STATUSES),
                Call::Start(_) => *numbers.one_of(&STARTED),
                Call::Reboot => {
                    let kind = if requests == 0 { 0 } else { numbers.below(100) };
                    match kind {
                        0 if requests < 2 => *numbers.one_of(&BROKEN),
                        kind if kind < others => *numbers.one_of(&OTHERS),
                        kind if kind < others + broken => *numbers.one_of(&BROKEN),
                        _ => *numbers.one_of(&UNREACHABLE),
                    }
                }
            };
            let is_staged = STATUSES[12..].contains(&last);
            let is_withdrawn = [NONE_CHOSEN, OTHER_CHOSEN, STATUSES[11]].contains(&last);
            match call {
                Call::Status => {}
                Call::Start(Command::Refresh) => {
                    let is_ready = last.starts_with("Ready") || settings.activate && is_staged;
                    assert!(settings.confirm && !is_refreshed && is_ready);
                    has_refreshed = true;
                }
                Call::Start(Command::Deactivate) => {
                    // Once begun, this goes on whatever is chosen.
                    let is_undone = settings.activate && (requests > 0 || has_activated);
                    assert!(settings.activate || settings.confirm && has_refreshed, "{last}");
                    assert!(is_withdrawn || is_undone || is_deactivating, "{last}");
                    is_deactivating = true;
                }
                Call::Start(Command::Activate) => {
                    assert!(settings.activate && is_staged, "{last}");
                    assert!(!settings.confirm || has_refreshed);
                    assert!(requests == 0 && !is_deactivating);
                    has_activated = true;
                }
                Call::Start(Command::Prepare) => panic!("a prepare"),
                Call::Reboot => {
                    assert!(last.starts_with("Ready") || is_any, "{last}");
                    assert!(!settings.confirm || has_refreshed && !is_withdrawn, "{last}");
                    assert!(!is_deactivating);
                    assert_eq!(records, usize::from(settings.record));
                    requests += 1;
                }
            }
            if call == Call::Status && (answer.contains(' ') || answer == "Idle") {
                (last, is_refreshed) = (answer, has_refreshed);
            }
            // Sometimes the process is stopped, or an answer takes its time.
            let delay = |numbers: &mut Numbers, sign: char| match numbers.below(20) {
                0 => format!("{sign}{}s ", 1 + numbers.below(30)),
                _ => String::new(),
            };
            let text = delay(&mut numbers, '~') + &delay(&mut numbers, '+') + answer;
            let pause = u64::try_from(pause.as_millis()).unwrap();
            let text: &str = Box::leak(text.into_boxed_str());
            script.row((call.name(), pause, text));
            calls += 1;
            assert!(calls < 4_000, "no end");
            let Step::End(end) = script.next else {
                if !UNREACHABLE.contains(&answer) {
                    reached = script.now;
                }
                continue;
            };
            match end {
                End::Accepted | End::AcceptedAgain => assert_eq!(answer, "204"),
                End::AlreadyShuttingDown => assert_eq!(answer, SHUTTING_DOWN[0]),
                End::ApiGone => {
                    assert!(UNREACHABLE.contains(&answer));
                    assert!(script.begun - reached >= SHUTDOWN_GRACE, "{text}");
                }
                End::NotReady(_) | End::Uninitialized | End::LockHeld(_) => assert!(!is_any),
                End::Withdrawn(_) => assert!(!last.starts_with("Ready")),
                End::NotActivated(_) => assert!(settings.activate && requests == 0),
                End::Undone(_) => assert!(settings.activate && (requests > 0 || has_activated)),
                End::NotDeactivated(_) => assert!(settings.confirm || settings.activate),
                // What may be booted is deactivated, unless the node may be going down.
                End::Failed(_) => {
                    let is_void = script.reboot.voids_record(&end);
                    assert!(!settings.activate || requests == 0 || !is_void, "{text}");
                }
            }
            undone += usize::from(matches!(end, End::Undone(_)));
            withdrawn += usize::from(matches!(end, End::Withdrawn(_)));
            if requests == 0 {
                let may_have_stopped =
                    matches!(&end, End::Failed(failed) if failed.error.is_stale_socket());
                assert!(end.exit_status() != 0);
                assert_eq!(script.reboot.voids_record(&end), !may_have_stopped, "{text}");
            }
            ends[usize::from(end.exit_status())] += 1;
        }
    }
    assert!(ends[0] > 500 && ends[1] > 500 && ends[3] > 500, "{ends:?}");
    assert!(withdrawn > 100 && undone > 50, "{withdrawn} {undone}");
}
