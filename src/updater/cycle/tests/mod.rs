//! Cycles by a script: no sockets, no clock. A row has the call that is
//! expected, the pause before it in milliseconds, the answer, and what is told
//! then.

extern crate std;
use super::*;
use crate::api::status::{Image, State};
use crate::api::{AnswerError, Refusal};
use crate::http::response::{HttpError, Progress};
use crate::text::duration;
use crate::text::excerpt::Excerpt;
use crate::updater::event::Event;
use crate::updater::history::tests::any_history;
use crate::updater::log::{Format, Level};
use rustix::io::Errno;
use std::borrow::ToOwned;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

pub(crate) type Answered = Result<Answer<'static>, CallError<'static>>;

fn forever(text: &str) -> &'static str {
    Box::leak(Box::from(text))
}

pub(crate) fn excerpt(text: &str) -> &'static Excerpt {
    let mut excerpt = Excerpt::default();
    excerpt.push_bytes(text.as_bytes());
    Box::leak(Box::new(excerpt))
}

fn image(version: &str) -> Option<Image<'static>> {
    let version = Some(version).filter(|version| *version != "-").map(forever)?;
    Some(Image { version, variant: "aws-k8s-1.30", arch: "x86_64" })
}

/// An answer in short: `204`, `423`, `404`, a code with a reason, a way to
/// fail, or a status: its state, the versions that are chosen and staged, and
/// the last command, as in `Staged 1.26.2 1.26.1 prepare@2`. A timestamp
/// stands for another one each; `!Failed` behind the command is an outcome.
pub(crate) fn answer(text: &str) -> Answered {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    if let Ok(code) = word.parse::<u16>() {
        let refusal = Refusal { code, reason: excerpt(rest) };
        return match (code, rest) {
            (204, "") => Ok(Answer::Started),
            (423, "") => Ok(Answer::Busy),
            (404, "") => Ok(Answer::Uninitialized),
            (404 | 409, _) => Ok(Answer::NotAllowed(refusal)),
            _ => Err(CallError::Answer(AnswerError::Refused(refusal))),
        };
    }
    let state = State::ALL.into_iter().find(|state| state.name() == word);
    let Some(state) = state else {
        return Err(match word {
            "refused" => CallError::Connect(Errno::CONNREFUSED),
            "missing" => CallError::Connect(Errno::NOENT),
            "denied" => CallError::Connect(Errno::ACCESS),
            "unsent" => CallError::Send(Errno::PIPE),
            "full" => CallError::SendTimeout,
            "break" => CallError::Answer(AnswerError::Truncated(Progress::Nothing)),
            "reset" => CallError::Receive(Errno::CONNRESET),
            "silence" => CallError::Timeout(Progress::Nothing),
            "garbage" => CallError::Answer(AnswerError::Http(HttpError::BadHead)),
            "descriptors" => CallError::Setup(Errno::MFILE),
            other => panic!("no answer {other}"),
        });
    };
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let [chosen, staged] = [words.next(), words.next()].map(|word| image(word.unwrap_or("-")));
    let last_command = words.next().map(|word| {
        let (what, timestamp) = word.split_once('@').unwrap();
        let (name, outcome) = what.split_once('!').unwrap_or((what, "Success"));
        let (exit_status, stderr) = match outcome {
            "Success" => ("0", ""),
            "Unknown" => ("", ""),
            _ => ("1", "no space \"left\"\non device"),
        };
        let timestamp = forever(&format!("2026-11-22T05:32:13.{timestamp}Z"));
        let [name, outcome] = [name, outcome].map(forever);
        LastCommand { name, outcome, timestamp, exit_status, stderr: excerpt(stderr) }
    });
    Ok(Answer::Status(Status { state, chosen, running: image("1.26.0"), staged, last_command }))
}

/// What an operator reads of an event, without the time and the name; nothing of
/// one that is for debugging.
pub(crate) fn line(event: &Event) -> Option<String> {
    let kind = event.kind();
    if kind.level() == Level::Debug {
        return None;
    }
    let line = event.record(Format::Logfmt, Duration::ZERO).finish().to_vec();
    let line = String::from_utf8(line).unwrap();
    let line = line.strip_prefix("time=1970-01-01T00:00:00.000Z level=").unwrap().trim_end();
    Some(line.replacen(&format!(" event={}", kind.name()), "", 1))
}

/// The answer, and how late it is: `+10s silence` comes after ten seconds.
pub(crate) fn answer_and_delay(text: &str) -> (Answered, Duration) {
    match text.strip_prefix('+').and_then(|text| text.split_once(' ')) {
        Some((delay, text)) => (answer(text), duration::parse(delay.as_bytes()).unwrap()),
        None => (answer(text), Duration::ZERO),
    }
}

pub(crate) type Row = (&'static str, u64, &'static str, &'static str);

/// A cycle that is under way.
struct Script {
    cycle: Cycle,
    settings: Settings,
    history: History,
    next: Step,
    now: Duration,
}

impl Script {
    fn new(settings: Settings) -> Self {
        let (cycle, call) = Cycle::begin();
        // Any point in time may be the one that times are counted from.
        let now = Duration::from_secs(86_400);
        let next = Step::Call(call, Duration::ZERO);
        Self { cycle, settings, history: History::default(), next, now }
    }

    fn on_answer(&mut self, answer: &Answered, emit: &mut dyn FnMut(Event)) {
        let Self { cycle, settings, history, now, .. } = self;
        let at = Now { now: *now, utc: *now };
        self.next = cycle.on_answer(Context { at, settings, history }, answer, emit);
    }

    #[track_caller]
    fn row(&mut self, (call, pause, text, told): Row) -> &mut Self {
        let Step::Call(next, wait) = self.next else {
            panic!("over with {:?}, but {call} {text} was to come", self.next);
        };
        let wait = u64::try_from(wait.as_millis()).unwrap();
        assert_eq!((next.name(), wait), (call, pause), "before {text:?}");
        let (answer, delay) = answer_and_delay(text);
        self.now += Duration::from_millis(pause) + delay;
        let mut lines = Vec::new();
        self.on_answer(&answer, &mut |event| lines.extend(line(&event)));
        assert_eq!(lines.join("\n"), told, "after {call} {text:?}");
        self
    }

    #[track_caller]
    fn rows(&mut self, rows: &[Row]) -> &mut Self {
        for row in rows {
            self.row(*row);
        }
        self
    }

    #[track_caller]
    fn ends(&self, end: End) {
        assert_eq!(self.next, Step::End(end));
    }
}

#[track_caller]
fn play(rows: &[Row], end: End) {
    Script::new(Settings::default()).rows(rows).ends(end);
}

#[track_caller]
fn play_refresh_ready(rows: &[Row], end: End) {
    let settings = Settings { refresh_ready: true, ..Settings::default() };
    Script::new(settings).rows(rows).ends(end);
}

const NOTHING: &str = "info msg=\"nothing to do\" state=Idle running=1.26.0 \
                       variant=aws-k8s-1.30 arch=x86_64";
const NOTHING_AVAILABLE: &str = "info msg=\"nothing to do\" state=Available running=1.26.0 \
                                 variant=aws-k8s-1.30 arch=x86_64";
const NOTHING_STAGED: &str = "info msg=\"nothing to do\" state=Staged running=1.26.0 \
                              variant=aws-k8s-1.30 arch=x86_64";
const FOUND: &str = "info msg=\"update found, preparing it\" running=1.26.0 version=1.26.1 \
                     variant=aws-k8s-1.30 arch=x86_64";
const FOUND_2: &str = "info msg=\"update found, preparing it\" running=1.26.0 version=1.26.2 \
                       variant=aws-k8s-1.30 arch=x86_64";
const PREPARED: &str = "info msg=prepared version=1.26.1 took=200ms";
const PREPARED_2: &str = "info msg=prepared version=1.26.2 took=200ms";
const READY: &str = "info msg=\"ready, waiting for the reboot\" state=Ready next=1.26.1 \
                     running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
const ACTIVATED_READY: &str = "info msg=activated version=1.26.1 took=200ms\n\
                               info msg=\"ready, waiting for the reboot\" state=Ready next=1.26.1 \
                               running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
const ACTIVATED_READY_2: &str = "info msg=activated version=1.26.2 took=200ms\n\
                                 info msg=\"ready, waiting for the reboot\" state=Ready \
                                 next=1.26.2 running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
const BUSY: &str = "info msg=\"an update command is running, waiting for it\"";

/// A refresh that finds 1.26.1.
const FOUND_AVAILABLE: [Row; 3] = [
    ("status", 0, "404", ""),
    ("refresh", 0, "204", ""),
    ("status", 200, "Available 1.26.1 - refresh@1", ""),
];

/// A prepare behind that.
const STAGED: [Row; 2] =
    [("prepare", 0, "204", FOUND), ("status", 200, "Staged 1.26.1 1.26.1 prepare@2", PREPARED)];

#[test]
fn a_whole_update() {
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "423", ""),
            ("status", 400, "423", ""),
            ("status", 800, "Available 1.26.1 - refresh@1", ""),
            ("prepare", 0, "204", FOUND),
            ("status", 200, "423", ""),
            ("status", 400, "423", ""),
            ("status", 800, "423", ""),
            ("status", 1600, "423", ""),
            ("status", 3200, "423", ""),
            ("status", 5000, "423", ""),
            ("status", 5000, "423", ""),
            (
                "status",
                5000,
                "Staged 1.26.1 1.26.1 prepare@2",
                "info msg=prepared version=1.26.1 took=21s",
            ),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
        ],
        End::Done,
    );
}

#[test]
fn it_starts_from_every_state() {
    // The state, what the refresh finds, and what follows.
    for (before, found, told, rest) in [
        ("404", "Idle - - refresh@2", NOTHING, None),
        ("Idle", "Idle - - refresh@2", NOTHING, None),
        ("Idle 1.26.1 - refresh!Failed@1", "Idle - - refresh@2", NOTHING, None),
        ("Available 1.26.1 - refresh@1", "Idle - - refresh@2", NOTHING, None),
        ("Available 1.26.1 - refresh@1", "Available - - refresh@2", NOTHING_AVAILABLE, None),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged - 1.26.1 refresh@2", NOTHING_STAGED, None),
        ("404", "Available 1.26.1 - refresh@2", "", Some("prepare")),
        ("Idle", "Available 1.26.1 - refresh@2", "", Some("prepare")),
        ("Available 1.26.1 - refresh@1", "Available 1.26.1 - refresh@2", "", Some("prepare")),
        ("Available 1.26.2 - refresh@1", "Available 1.26.1 - refresh@2", "", Some("prepare")),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.1 1.26.1 refresh@2", "", Some("activate")),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.2 1.26.1 refresh@2", "", Some("prepare")),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.1 - refresh@2", "", Some("prepare")),
    ] {
        let mut script = Script::new(Settings::default());
        script.rows(&[
            ("status", 0, before, ""),
            ("refresh", 0, "204", ""),
            ("status", 200, found, told),
        ]);
        match (rest, script.next) {
            (None, next) => assert_eq!(next, Step::End(End::Done), "{before}, {found}"),
            (Some(command), Step::Call(call, pause)) => {
                assert_eq!((call.name(), pause), (command, Duration::ZERO), "{before}, {found}");
            }
            (Some(command), end) => panic!("{end:?} instead of {command}: {before}, {found}"),
        }
    }
}

#[test]
fn a_refresh_is_told_with_what_it_found() {
    for (before, found, version) in [
        ("404", "Idle - - refresh@2", ""),
        ("404", "Available 1.26.1 - refresh@2", "1.26.1"),
        ("Available 1.26.1 - refresh@1", "Idle - - refresh@2", ""),
        ("Available 1.26.1 - refresh@1", "Available 1.26.2 - refresh@2", "1.26.2"),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.2 1.26.1 refresh@2", "1.26.2"),
    ] {
        let mut script = Script::new(Settings::default());
        script.rows(&[("status", 0, before, ""), ("refresh", 0, "204", "")]);
        let mut told = Vec::new();
        script.on_answer(&answer(found), &mut |event| {
            if let Event::Refreshed { version, .. } = event {
                told.push(version.to_owned());
            }
        });
        assert_eq!(told, [version], "{before}, {found}");
    }
}

#[test]
fn ready_is_only_looked_at() {
    for status in [
        "Ready 1.26.1 1.26.1 activate@3",
        "Ready 1.26.2 1.26.1 refresh@4",
        "Ready - 1.26.1 refresh!Failed@4",
        "Ready - 1.26.1",
    ] {
        play(&[("status", 0, status, READY)], End::Done);
    }
    // Even while somebody else is at work.
    play(
        &[
            ("status", 0, "423", BUSY),
            ("status", 200, "423", ""),
            ("status", 400, "Ready 1.26.1 1.26.1 activate@3", READY),
        ],
        End::Done,
    );
}

#[test]
fn somebody_else_is_waited_for_at_every_point() {
    // Before the first status, and with a refresh of somebody else's in
    // between: the state that it leaves behind is refreshed all the same.
    play(
        &[
            ("status", 0, "423", BUSY),
            ("status", 200, "423", ""),
            ("status", 400, "Available 1.26.1 - refresh@1", ""),
            ("refresh", 0, "423", ""),
            ("status", 800, "Available 1.26.1 - refresh@2", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle - - refresh@3", NOTHING),
        ],
        End::Done,
    );
    // At each command. Each wait is told of, once.
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "423", BUSY),
            ("status", 200, "404", ""),
            ("refresh", 0, "423", ""),
            ("status", 400, "423", ""),
            ("status", 800, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Available 1.26.1 - refresh@1", ""),
            ("prepare", 0, "423", BUSY),
            ("status", 400, "Available 1.26.1 - refresh@2", ""),
            ("prepare", 0, "204", FOUND),
            ("status", 200, "Staged 1.26.1 1.26.1 prepare@3", PREPARED),
            ("activate", 0, "423", BUSY),
            ("status", 400, "Staged 1.26.1 1.26.1 refresh@4", ""),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 activate@5", ACTIVATED_READY),
        ],
        End::Done,
    );
    // While somebody else deactivates, or before the own deactivate.
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "423", BUSY),
            ("status", 400, "Staged 1.26.2 1.26.1 deactivate@3", ""),
            ("prepare", 0, "204", FOUND_2),
            ("status", 200, "Staged 1.26.2 1.26.2 prepare@4", PREPARED_2),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.2 activate@5", ACTIVATED_READY_2),
        ],
        End::Done,
    );
    // Somebody else's prepare that was under way at the start is used.
    play(
        &[
            ("status", 0, "423", BUSY),
            ("status", 200, "Staged 1.26.1 1.26.1 prepare@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.1 refresh@2", ""),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
        ],
        End::Done,
    );
}

#[test]
fn many_commands_that_are_locked_out_are_no_failure() {
    // A reader holds the lock now and again: the status can be read, but no
    // command starts for a minute.
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "Available 1.26.1 - refresh@1", ""));
    script.row(("refresh", 0, "423", BUSY));
    for pause in [200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000, 5000, 5000] {
        script.row(("status", pause, "Available 1.26.1 - refresh@1", ""));
        script.row(("refresh", 0, "423", ""));
    }
    script.rows(&[
        ("status", 5000, "Available 1.26.1 - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@2", NOTHING),
    ]);
    script.ends(End::Done);
}

#[test]
fn pauses_grow_up_to_five_seconds() {
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "423", BUSY));
    for pause in [200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
        script.row(("status", pause, "423", ""));
    }
    // A command that was sent begins again with a short one, since a refresh
    // takes a second.
    script.row(("status", 5000, "Idle", ""));
    script.row(("refresh", 0, "204", ""));
    for pause in [200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
        script.row(("status", pause, "423", ""));
    }
}

#[test]
fn a_lock_that_stays_is_waited_for_as_long_as_any_command_may_take() {
    for (timeouts, longest) in [([60, 1800, 60, 60], 1800), ([60, 5, 7, 90], 90), ([9, 9, 9, 9], 9)]
    {
        let settings =
            Settings { timeouts: timeouts.map(Duration::from_secs), ..Settings::default() };
        for locked_status in [true, false] {
            let mut script = Script::new(settings.clone());
            let begin = script.now;
            let mut told = Vec::new();
            let mut calls = 0;
            while let Step::Call(call, pause) = script.next {
                script.now += pause;
                calls += 1;
                let text = match call {
                    Call::Status if !locked_status => "Idle",
                    _ => "423",
                };
                let emit = &mut |event: Event| told.extend(line(&event));
                script.on_answer(&answer(text), emit);
            }
            script.ends(End::Failed);
            let waited = (script.now - begin).as_secs();
            assert!((longest..=longest + 5).contains(&waited), "{longest}: {waited}");
            assert!(calls < 2 * longest / 5 + 20, "{longest}: {calls}");
            let [busy, locked] = &told[..] else { panic!("{told:?}") };
            assert_eq!(busy, BUSY);
            let start = "error msg=\"timed out waiting for the running update command\" after=";
            assert!(locked.starts_with(start), "{locked}");
        }
    }
}

#[test]
fn what_is_not_allowed_is_decided_anew() {
    // Each command, refused because the state has become another one.
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "409 not allowed", ""),
            ("status", 200, "Idle", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Available 1.26.1 - refresh@1", ""),
            ("prepare", 0, "409 not allowed", ""),
            ("status", 400, "Staged 1.26.1 1.26.1 prepare@2", ""),
            ("activate", 0, "409 not allowed", ""),
            ("status", 800, "Ready 1.26.1 1.26.1 activate@3", READY),
        ],
        End::Done,
    );
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Available 1.26.1 - refresh@1", ""),
            ("prepare", 0, "404 no longer exists", ""),
            ("status", 400, "Available - - refresh@2", NOTHING_AVAILABLE),
        ],
        End::Done,
    );
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "404 nothing staged", ""),
            ("status", 400, "Ready 1.26.1 1.26.1 refresh@3", READY),
        ],
        End::Done,
    );
}

#[test]
fn what_is_never_allowed_is_given_up() {
    for (refusal, told) in [
        ("409 not allowed", "the API answered 409: not allowed"),
        ("409", "the API answered 409, without a reason"),
        ("404 no longer exists", "the API answered 404: no longer exists"),
    ] {
        let refused = forever(refusal);
        let told = format!(
            "error msg=\"the API refused the command\" command=prepare \
             error=\"{told}\""
        );
        let mut script = Script::new(Settings::default());
        script.rows(&FOUND_AVAILABLE);
        for pause in [400, 800, 1600] {
            script.row(("prepare", 0, refused, ""));
            script.row(("status", pause, "Available 1.26.1 - refresh@1", ""));
        }
        script.row(("prepare", 0, refused, forever(&told))).ends(End::Failed);
    }
}

#[test]
fn a_command_that_fails_ends_the_cycle() {
    let failed = |command: &str, status: &str| {
        forever(&format!(
            "error msg=\"command failed\" command={command} \
             status={status} took=200ms stderr=\"no space \\\"left\\\" on device\""
        ))
    };
    let with_exit = |command: &str| failed(command, "Failed exit_status=1");
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle 1.26.1 - refresh!Failed@1", with_exit("refresh")),
        ],
        End::Failed,
    );
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Available 1.26.1 - prepare!Failed@2", with_exit("prepare")),
    ]);
    script.ends(End::Failed);
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 activate!Failed@3", with_exit("activate")),
    ]);
    script.ends(End::Failed);
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 deactivate!Failed@3", with_exit("deactivate")),
        ],
        End::Failed,
    );
    // Neither an exit status nor a word to say, and a word that is new.
    for (outcome, told) in [
        ("Unknown", "Unknown took=200ms stderr=\"\""),
        (
            "Invented",
            "Invented exit_status=1 took=200ms stderr=\"no space \\\"left\\\" on device\"",
        ),
    ] {
        let status = format!("Idle - - refresh!{outcome}@1");
        let told = format!(
            "error msg=\"command failed\" command=refresh \
             status={told}"
        );
        play(
            &[
                ("status", 0, "404", ""),
                ("refresh", 0, "204", ""),
                ("status", 200, forever(&status), forever(&told)),
            ],
            End::Failed,
        );
    }
}

#[test]
fn a_failure_before_the_cycle_is_not_its_own() {
    play(
        &[
            ("status", 0, "Idle 1.26.1 - refresh!Failed@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle 1.26.1 - refresh!Failed@1", ""),
            ("status", 400, "Idle - - refresh@2", NOTHING),
        ],
        End::Done,
    );
}

#[test]
fn a_result_that_somebody_else_has_overwritten() {
    // What counts is the state that is left behind. Of the own prepare it is
    // not known that it succeeded, so it is not told either.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 refresh@5", READY),
    ]);
    script.ends(End::Done);
    // The prepare failed, or somebody else's refresh did.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Available 1.26.1 - refresh@3", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Idle 1.26.1 - refresh!Failed@5", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@6", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@7", PREPARED),
    ]);
    // The own refresh may have failed, so it is not taken for done.
    play(
        &[
            ("status", 0, "Staged 1.26.1 1.26.1 prepare@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.1 prepare@3", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged - 1.26.1 refresh@4", NOTHING_STAGED),
        ],
        End::Done,
    );
}

#[test]
fn overwritten_again_and_again() {
    // Bounded, whoever it is that does this.
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "Idle", ""));
    for timestamp in ["1", "2", "3", "4", "5", "6", "7"] {
        let status = forever(&format!("Available 1.26.1 - prepare@{timestamp}"));
        script.row(("refresh", 0, "204", "")).row(("status", 200, status, ""));
    }
    script.row(("refresh", 0, "204", ""));
    let told = "error msg=\"commands succeed, but the update makes no progress\" \
                command=refresh";
    script.row(("status", 200, "Available 1.26.1 - prepare@8", told)).ends(End::Failed);
}

#[test]
fn a_worker_that_vanished() {
    // The status can be read, but tells of no command: for 30 seconds.
    let told = "error msg=\"command ended without a result\" \
                command=prepare";
    let same = "Available 1.26.1 - refresh@1";
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    for pause in [200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000] {
        script.row(("status", pause, same, ""));
    }
    // 26 s since the first of them; the next is the first beyond 30.
    script.row(("status", 5000, same, told)).ends(End::Failed);

    // A lock in between begins it anew; so does an API that is gone, and a
    // status that is lost is no better than one without a command.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    for (pause, text) in [(200, same), (400, same), (800, "+29s 423"), (1600, same)] {
        script.row(("status", pause, text, ""));
    }
    let running = "info msg=\"command is still running\" command=prepare took=1m9s";
    for (pause, text, told) in [
        (3200, same, ""),
        (5000, "+29s silence", running),
        (5000, "404", ""),
        (5000, "+24s 404", ""),
    ] {
        script.row(("status", pause, text, told));
    }
    script.row(("status", 5000, same, told)).ends(End::Failed);
}

#[test]
fn a_command_that_takes_too_long() {
    for (timeout, text) in [(60, "423"), (60, "+10s silence"), (5, "refused"), (20, "Idle")] {
        let mut settings = Settings::default();
        settings.timeouts[0] = Duration::from_secs(timeout);
        let mut script = Script::new(settings.clone());
        script.row(("status", 0, "Idle", "")).row(("refresh", 0, "204", ""));
        let (answer, delay) = answer_and_delay(text);
        let begin = script.now;
        let mut told = Vec::new();
        while let Step::Call(call, pause) = script.next {
            assert_eq!(call, Call::Status);
            script.now += pause + delay;
            let emit = &mut |event: Event| told.extend(line(&event));
            script.on_answer(&answer, emit);
        }
        script.ends(End::Failed);
        let took = script.now - begin;
        let late = took.checked_sub(Duration::from_secs(timeout)).expect("not before the time");
        assert!(late <= Duration::from_secs(5) + delay, "{text}: {late:?} late");
        let timeout = duration::HumanDuration(Duration::from_secs(timeout));
        let overdue = format!(
            "error msg=\"command timed out; it may still be running\" \
             command=refresh timeout={timeout}"
        );
        assert_eq!(told, [overdue]);
    }
}

#[test]
fn each_command_has_its_own_time() {
    let settings = Settings {
        timeouts: [1, 2, 3, 4].map(Duration::from_secs),
        refresh_ready: true,
        ..Settings::default()
    };
    let overdue = |command: &str, timeout: &str| {
        forever(&format!(
            "error msg=\"command timed out; it may still be running\" \
             command={command} timeout={timeout}"
        ))
    };
    let mut script = Script::new(settings.clone());
    script.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
    script.row(("status", 200, "+799ms 423", ""));
    script.row(("status", 400, "423", overdue("refresh", "1s"))).ends(End::Failed);

    let mut script = Script::new(settings.clone());
    script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    script.row(("status", 200, "+1799ms 423", ""));
    script.row(("status", 400, "423", overdue("prepare", "2s"))).ends(End::Failed);

    let mut script = Script::new(settings.clone());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).row(("activate", 0, "204", ""));
    script.row(("status", 200, "+2799ms 423", ""));
    script.row(("status", 400, "423", overdue("activate", "3s"))).ends(End::Failed);

    let mut script = Script::new(settings.clone());
    script.rows(&[
        ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
        ("deactivate", 0, "204", ""),
        ("status", 200, "+3799ms 423", ""),
        ("status", 400, "423", overdue("deactivate", "4s")),
    ]);
    script.ends(End::Failed);
    // A result that comes too late, but before that is noticed, counts.
    let mut script = Script::new(settings.clone());
    script.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
    script.row(("status", 200, "+1m Idle - - refresh@1", NOTHING)).ends(End::Done);
}

#[test]
fn an_answer_that_is_lost_after_the_command_started() {
    for lost in ["break", "reset", "+10s silence", "garbage"] {
        play(
            &[
                ("status", 0, "404", ""),
                ("refresh", 0, lost, ""),
                ("status", 200, "423", ""),
                ("status", 400, "Available 1.26.1 - refresh@1", ""),
                ("prepare", 0, lost, ""),
                ("status", 200, "423", FOUND),
                ("status", 400, "423", ""),
                (
                    "status",
                    800,
                    "Staged 1.26.1 1.26.1 prepare@2",
                    "info msg=prepared version=1.26.1 took=1s400ms",
                ),
                // This one has ended before it is looked at.
                ("activate", 0, lost, ""),
                ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
            ],
            End::Done,
        );
    }
}

#[test]
fn an_answer_that_is_lost_of_a_command_that_never_started() {
    // Once, it is sent again; the second time, that is no accident.
    play(
        &[
            ("status", 0, "Idle - - refresh@1", ""),
            ("refresh", 0, "break", ""),
            ("status", 200, "Idle - - refresh@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle - - refresh@2", NOTHING),
        ],
        End::Done,
    );
    play(
        &[
            ("status", 0, "Idle - - refresh@1", ""),
            ("refresh", 0, "break", ""),
            ("status", 200, "Idle - - refresh@1", ""),
            ("refresh", 0, "reset", ""),
            ("status", 200, "Idle - - refresh@1", ""),
        ],
        End::NoAnswer,
    );
    // The API restarted, and what it knew is gone.
    play(
        &[
            ("status", 0, "Idle - - refresh@1", ""),
            ("refresh", 0, "break", ""),
            ("status", 200, "refused", ""),
            ("status", 400, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle - - refresh@2", NOTHING),
        ],
        End::Done,
    );
}

#[test]
fn the_api_gone_while_following() {
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "423", ""),
        ("status", 400, "refused", ""),
        ("status", 800, "missing", ""),
        ("status", 1600, "break", ""),
        ("status", 3200, "+10s silence", ""),
        ("status", 5000, "500 out of memory", ""),
        ("status", 5000, "garbage", ""),
        ("status", 5000, "denied", ""),
        ("status", 5000, "423", ""),
        (
            "status",
            5000,
            "Staged 1.26.1 1.26.1 prepare@2",
            "info msg=prepared version=1.26.1 took=41s",
        ),
    ]);
}

#[test]
fn without_an_answer_the_cycle_ends() {
    for error in ["refused", "missing", "denied", "silence", "full", "descriptors", "500 why"] {
        play(&[("status", 0, error, "")], End::NoAnswer);
        play(&[("status", 0, "423", BUSY), ("status", 200, error, "")], End::NoAnswer);
    }
    for error in ["refused", "missing", "denied", "unsent", "full", "descriptors", "500 why"] {
        play(&[("status", 0, "404", ""), ("refresh", 0, error, "")], End::NoAnswer);
    }
    // Answers to calls that were not made.
    for text in ["204", "409 not allowed"] {
        play(&[("status", 0, text, "")], End::NoAnswer);
    }
    for text in ["404", "Idle"] {
        play(&[("status", 0, "404", ""), ("refresh", 0, text, "")], End::NoAnswer);
    }
}

#[test]
fn another_version_is_chosen_meanwhile() {
    // Somebody else's refresh between the prepare and the activate.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "423", BUSY),
        ("status", 400, "Staged 1.26.2 1.26.1 refresh@3", ""),
        ("prepare", 0, "204", FOUND_2),
        ("status", 200, "Staged 1.26.2 1.26.2 prepare@4", PREPARED_2),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.2 1.26.2 activate@5", ACTIVATED_READY_2),
    ]);
    script.ends(End::Done);
    // While it is prepared: what is staged is not what is chosen.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.2 1.26.1 prepare@2", PREPARED),
        ("prepare", 0, "204", FOUND_2),
        ("status", 200, "Staged 1.26.2 1.26.2 prepare@3", PREPARED_2),
    ]);
    // Withdrawn.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged - 1.26.1 refresh@3", NOTHING_STAGED),
    ]);
    script.ends(End::Done);
}

#[test]
fn the_state_falls_back() {
    let mut script = Script::new(Settings::default());
    // What was prepared is gone, whoever did that: it is prepared again.
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "409 not allowed", ""),
        ("status", 400, "Available 1.26.1 - refresh@3", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@4", PREPARED),
        ("activate", 0, "423", BUSY),
        // Somebody else's refresh failed.
        ("status", 400, "Idle 1.26.1 1.26.1 refresh!Failed@5", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@6", NOTHING),
    ]);
    script.ends(End::Done);
}

#[test]
fn commands_that_succeed_without_effect() {
    for (again, told, version) in [
        ("prepare", "Available 1.26.1 - prepare@2", "1.26.1"),
        ("prepare", "Staged 1.26.1 - prepare@2", "1.26.1"),
        ("prepare", "Staged 1.26.1 1.26.0 prepare@2", "1.26.0"),
    ] {
        let mut script = Script::new(Settings::default());
        let stuck = format!(
            "info msg=prepared version={version} took=200ms\n\
             error msg=\"commands succeed, but the update makes no progress\" \
             command={again}"
        );
        script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
        script.row(("status", 200, told, forever(&stuck))).ends(End::Failed);
    }
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "204", ""),
        (
            "status",
            200,
            "Staged 1.26.1 1.26.1 activate@3",
            "info msg=activated version=1.26.1 took=200ms\n\
             error msg=\"commands succeed, but the update makes no progress\" \
             command=activate",
        ),
    ]);
    script.ends(End::Failed);
}

#[test]
fn ready_is_replaced_when_that_is_wanted() {
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 refresh@2", READY),
        ],
        End::Done,
    );
    // Nothing is chosen any more: what is Ready stays.
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready - 1.26.1 refresh@2", READY),
        ],
        End::Done,
    );
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "204", ""),
            (
                "status",
                200,
                "Staged 1.26.2 1.26.1 deactivate@3",
                "info msg=\"deactivated because another version was chosen\" version=1.26.1 \
                 took=200ms",
            ),
            ("prepare", 0, "204", FOUND_2),
            ("status", 200, "Staged 1.26.2 1.26.2 prepare@4", PREPARED_2),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.2 activate@5", ACTIVATED_READY_2),
        ],
        End::Done,
    );
}

/// Open from the beginning of the scripts on, a Friday's, for so many minutes.
fn open_for(minutes: u64) -> Windows {
    let mut windows = Windows::new();
    let window = format!("Fri 00:00-{:02}:{:02}", minutes / 60, minutes % 60);
    windows.add(window.as_bytes()).unwrap();
    windows
}

/// Open from so many minutes after the beginning of the scripts on.
fn open_in(minutes: u64) -> Windows {
    let mut windows = Windows::new();
    let window = format!("Fri {:02}:{:02}-24:00", minutes / 60, minutes % 60);
    windows.add(window.as_bytes()).unwrap();
    windows
}

fn in_window(windows: Windows) -> Script {
    Script::new(Settings { windows, ..Settings::default() })
}

const CLOSED: &str = "info msg=\"update is waiting for the next window\" state=Available \
                      version=1.26.1 opens=1970-01-02T01:00:00.000Z";
const CLOSED_STAGED: &str = "info msg=\"update is waiting for the next window\" state=Staged \
                             version=1.26.1 opens=1970-01-02T01:00:00.000Z";

#[test]
fn outside_of_the_windows_nothing_but_a_refresh_begins() {
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Available 1.26.1 - refresh@1", CLOSED),
        ])
        .ends(End::Done);
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "Staged 1.26.1 1.26.1 prepare@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.1 refresh@2", CLOSED_STAGED),
        ])
        .ends(End::Done);
    // Another version has been chosen since it was prepared.
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "Staged 1.26.1 1.26.0 prepare@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.0 refresh@2", CLOSED_STAGED),
        ])
        .ends(End::Done);
    let settings = Settings { windows: open_in(60), refresh_ready: true, ..Settings::default() };
    Script::new(settings)
        .rows(&[
            ("status", 0, "Ready 1.26.1 1.26.0 activate@1", ""),
            ("refresh", 0, "204", ""),
            (
                "status",
                200,
                "Ready 1.26.1 1.26.0 refresh@2",
                "info msg=\"update is waiting for the next window\" state=Ready \
                 version=1.26.1 opens=1970-01-02T01:00:00.000Z",
            ),
        ])
        .ends(End::Done);
    // What has nothing to wait for says so as ever.
    for (status, told) in [
        ("Idle - - refresh@1", NOTHING),
        ("Available - - refresh@1", NOTHING_AVAILABLE),
        ("Staged - 1.26.1 refresh@1", NOTHING_STAGED),
    ] {
        let mut script = in_window(open_in(60));
        script.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
        script.row(("status", 200, status, told)).ends(End::Done);
    }
    in_window(open_in(60))
        .row(("status", 0, "Ready 1.26.1 1.26.1 activate@1", READY))
        .ends(End::Done);
}

#[test]
fn inside_of_a_window_it_is_as_ever() {
    let mut script = in_window(open_for(60));
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
    ]);
    script.ends(End::Done);
    // To the second.
    let mut script = in_window(open_for(60));
    script.rows(&FOUND_AVAILABLE[..2]).rows(&[
        ("status", 200, "+3599799ms Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "204", FOUND),
    ]);
    let mut script = in_window(open_for(60));
    script.rows(&FOUND_AVAILABLE[..2]);
    let closed = CLOSED.replace("02T01:00:00", "09T00:00:00");
    let status = "+3599800ms Available 1.26.1 - refresh@1";
    script.row(("status", 200, status, forever(&closed))).ends(End::Done);
    let mut script = in_window(open_in(60));
    script.rows(&FOUND_AVAILABLE[..2]).rows(&[
        ("status", 200, "+3599800ms Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "204", FOUND),
    ]);
}

#[test]
fn a_prepare_that_runs_over_the_end_of_the_window_finishes() {
    let next_week = CLOSED_STAGED.replace("02T01:00:00", "09T00:00:00");
    let prepared = format!("info msg=prepared version=1.26.1 took=20m\n{next_week}");
    let mut script = in_window(open_for(10));
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "+20m Staged 1.26.1 1.26.1 prepare@2", forever(&prepared)),
    ]);
    script.ends(End::Done);
    // Nor is it done again because it failed, or because its answer was lost.
    let failed = "error msg=\"command failed\" command=prepare status=Failed exit_status=1 \
                  took=20m stderr=\"no space \\\"left\\\" on device\"";
    let mut script = in_window(open_for(10));
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "+20m Available 1.26.1 - prepare!Failed@2", failed),
    ]);
    script.ends(End::Failed);
    let mut script = in_window(open_for(10));
    let closed = CLOSED.replace("02T01:00:00", "09T00:00:00");
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "+10m break", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", forever(&closed)),
    ]);
    script.ends(End::Done);
}

#[test]
fn an_activate_that_is_locked_out_until_the_window_ends_waits_for_the_next() {
    let next_week = CLOSED_STAGED.replace("02T01:00:00", "09T00:00:00");
    let mut script = in_window(open_for(10));
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "423", BUSY),
        ("status", 400, "+10m Staged 1.26.1 1.26.1 prepare@2", forever(&next_week)),
    ]);
    script.ends(End::Done);
}

#[test]
fn staged_is_the_end_if_that_is_wanted() {
    let staged = "info msg=\"update is staged, not activating it because of -stage-only\" \
                  state=Staged next=1.26.1 \
                  running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
    let settings = Settings { stage_only: true, ..Settings::default() };
    let prepared = format!("{PREPARED}\n{staged}");
    let mut script = Script::new(settings.clone());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED[..1]);
    script.row(("status", 200, "Staged 1.26.1 1.26.1 prepare@2", forever(&prepared)));
    script.ends(End::Done);
    // It is refreshed each time, and prepared again if another one is chosen.
    let mut script = Script::new(settings.clone());
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", staged),
    ]);
    script.ends(End::Done);
    let mut script = Script::new(settings.clone());
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.2 1.26.1 refresh@3", ""),
        ("prepare", 0, "204", FOUND_2),
    ]);
    // Somebody else has activated it.
    Script::new(settings).row(("status", 0, "Ready 1.26.1 1.26.1 activate@3", READY));
}

/// A script in the next boot, with what the one before remembers.
fn next_boot(before: &Script, boot: &str, retry: Option<Duration>) -> Script {
    let mut history = History::new(copy(boot), retry);
    history.read(&before.history.write()).unwrap();
    let mut next = Script::new(before.settings.clone());
    (next.history, next.now) = (history, before.now);
    next
}

/// A script that has activated 1.26.1 in the first boot.
fn activated(settings: Settings) -> Script {
    let mut script = Script::new(settings);
    script.history = History::new(copy("first"), Some(24 * HOUR));
    script.rows(&FOUND_AVAILABLE).rows(&STAGED);
    // It belongs into the file before the call is made.
    assert!(script.history.has_changed());
    script.history.set_saved();
    script.rows(&[
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
    ]);
    assert!(!script.history.has_changed());
    script
}

const HOUR: Duration = Duration::from_secs(3_600);
const ROLLED_BACK: &str = "error msg=\"the new version did not boot and the node rolled back; \
                           holding the version back\" version=1.26.1 \
                           variant=aws-k8s-1.30 arch=x86_64 \
                           failed_boots=1 retry_in=24h running=1.26.0";
const HELD_BACK: &str = "info msg=\"version is held back because it did not boot\" \
                         version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 failed_boots=1 \
                         retry_in=24h";

#[test]
fn what_did_not_boot_is_not_prepared_again_so_soon() {
    let rolled_back = format!("{ROLLED_BACK}\n{HELD_BACK}");
    let first = activated(Settings::default());
    let mut second = next_boot(&first, "second", Some(24 * HOUR));
    second.rows(&FOUND_AVAILABLE[..2]);
    second.row(("status", 200, "Available 1.26.1 - refresh@1", forever(&rolled_back)));
    second.ends(End::Done);
    assert!(second.history.has_changed());
    // The next cycle, and the next boot.
    for boot in ["second", "third"] {
        let held = HELD_BACK.replace("retry_in=24h", "retry_in=23h59m");
        let mut again = next_boot(&second, boot, Some(24 * HOUR));
        again.now += Duration::from_millis(59_400);
        again.row(("status", 0, "Available 1.26.1 - refresh@1", ""));
        again.row(("refresh", 0, "204", ""));
        again.row(("status", 200, "Available 1.26.1 - refresh@2", forever(&held)));
        again.ends(End::Done);
    }
    // After the pause.
    let mut again = next_boot(&second, "third", Some(24 * HOUR));
    again.now += 24 * HOUR;
    again.rows(&FOUND_AVAILABLE).rows(&STAGED).row(("activate", 0, "204", ""));
    // Another version is tried at once.
    let mut again = next_boot(&second, "third", Some(24 * HOUR));
    again.rows(&FOUND_AVAILABLE[..2]);
    again.rows(&[
        ("status", 200, "Available 1.26.2 - refresh@1", ""),
        ("prepare", 0, "204", FOUND_2),
        ("status", 200, "Staged 1.26.2 1.26.2 prepare@2", PREPARED_2),
        ("activate", 0, "204", ""),
    ]);
    // What was held back is neither activated nor written over what is staged.
    for status in ["Staged 1.26.1 1.26.1 refresh@1", "Staged 1.26.1 1.26.2 refresh@1"] {
        let held = HELD_BACK.replace("24h", "23h59m59s");
        let mut again = next_boot(&second, "third", Some(24 * HOUR));
        again.now += Duration::from_millis(100);
        again.rows(&[
            ("status", 0, status, ""),
            ("refresh", 0, "204", ""),
            ("status", 200, status, ""),
            ("status", 400, "+400ms Staged 1.26.1 1.26.1 refresh@2", forever(&held)),
        ]);
        again.ends(End::Done);
    }
    // Nor does what is Ready make room for it.
    let ready_2 = READY.replace("1.26.1", "1.26.2");
    let mut again = next_boot(&second, "third", Some(24 * HOUR));
    again.settings.refresh_ready = true;
    again.rows(&[
        ("status", 0, "Ready 1.26.1 1.26.2 activate@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.2 refresh@2", forever(&ready_2)),
    ]);
    again.ends(End::Done);
}

#[test]
fn what_boots_is_told() {
    let first = activated(Settings::default());
    let mut second = next_boot(&first, "second", None);
    second.rows(&FOUND_AVAILABLE[..2]);
    let mut status = answer("Idle - - refresh@1");
    if let Ok(Answer::Status(status)) = &mut status {
        status.running = image("1.26.1");
    }
    let mut told = Vec::new();
    second.on_answer(&status, &mut |event| told.extend(line(&event)));
    let updated = "info msg=\"the new version is running\" version=1.26.1 variant=aws-k8s-1.30 \
                   arch=x86_64 before=1.26.0";
    assert_eq!(told, [updated, &NOTHING.replace("running=1.26.0", "running=1.26.1")]);
    second.ends(End::Done);
}

/// If the node boots before its state is looked at again.
#[test]
fn what_may_have_been_activated_is_remembered() {
    for (text, remembered) in [
        ("204", true),
        ("silence", true),
        ("break", true),
        ("garbage", true),
        ("423", false),
        ("409 why", false),
        ("500 why", false),
        ("refused", false),
        ("unsent", false),
    ] {
        let mut first = Script::new(Settings::default());
        first.history = History::new(copy("first"), Some(24 * HOUR));
        first.rows(&FOUND_AVAILABLE).rows(&STAGED);
        first.history.set_saved();
        first.on_answer(&answer(text), &mut |_| ());
        assert_eq!(first.history.has_changed(), !remembered, "{text}");
        let mut second = next_boot(&first, "second", Some(24 * HOUR));
        second.rows(&FOUND_AVAILABLE[..2]);
        let mut told = Vec::new();
        let status = answer("Available 1.26.1 - refresh@1");
        second.on_answer(&status, &mut |event| told.extend(line(&event)));
        let expected: &[&str] = if remembered { &[ROLLED_BACK, HELD_BACK] } else { &[] };
        assert_eq!(told, expected, "{text}");
    }
}

/// Another command that is refused takes back nothing that was activated.
#[test]
fn what_is_ready_stays_remembered_when_a_refresh_is_refused() {
    for text in ["423", "409 why", "500 why", "refused", "unsent"] {
        let settings = Settings { refresh_ready: true, ..Settings::default() };
        let first = activated(settings);
        let mut again = next_boot(&first, "first", Some(24 * HOUR));
        again.row(("status", 0, "Ready 1.26.1 1.26.1 activate@3", ""));
        assert_eq!(again.next, Step::Call(Call::Start(Command::Refresh), Duration::ZERO));
        again.on_answer(&answer(text), &mut |_| ());
        assert!(!again.history.has_changed(), "{text}");
        let mut second = next_boot(&again, "second", Some(24 * HOUR));
        second.rows(&FOUND_AVAILABLE[..2]);
        let mut told = Vec::new();
        let status = answer("Available 1.26.1 - refresh@1");
        second.on_answer(&status, &mut |event| told.extend(line(&event)));
        assert_eq!(told.first().map(String::as_str), Some(ROLLED_BACK), "{text}");
    }
}

#[test]
fn an_activate_that_failed_is_no_failed_boot() {
    // The node boots for another reason before it is looked at again. The last one
    // succeeded without effect.
    for last in ["activate!Failed@3", "activate!Unknown@3", "activate@3"] {
        let mut first = Script::new(Settings::default());
        first.history = History::new(copy("first"), Some(24 * HOUR));
        first.rows(&FOUND_AVAILABLE).rows(&STAGED).row(("activate", 0, "204", ""));
        first.now += Duration::from_millis(200);
        first.on_answer(&answer(&format!("Staged 1.26.1 1.26.1 {last}")), &mut |_| ());
        first.ends(End::Failed);
        let mut second = next_boot(&first, "second", Some(24 * HOUR));
        second.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    }
}

#[test]
fn a_long_prepare_is_told_of_less_and_less_often() {
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    let begin = script.now;
    let mut told = Vec::new();
    let mut minutes = Vec::new();
    while script.now - begin < Duration::from_secs(1_790) {
        let Step::Call(Call::Status, pause) = script.next else { panic!("{:?}", script.next) };
        script.now += pause;
        let took = (script.now - begin).as_secs();
        let mut events = Vec::new();
        script.on_answer(&answer("423"), &mut |event| events.push(line(&event).unwrap()));
        minutes.extend(events.iter().map(|_| took / 60));
        told.extend(events);
    }
    assert_eq!(minutes, [1, 4, 16]);
    assert!(
        told.iter()
            .all(|told| told.starts_with("info msg=\"command is still running\" command=prepare "))
    );
    // The whole story of an update at info: these, and what comes before and behind.
    let before = ["started", "serving_metrics", "preparing"].len();
    let behind = ["prepared", "activated", "ready"].len();
    let rebooted = ["stopped", "started", "serving_metrics", "updated", "nothing_to_do"].len();
    assert!(before + told.len() + behind + rebooted < 15);
    // Another command begins anew.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "+59s 423", ""),
        (
            "status",
            400,
            "+400ms 423",
            "info msg=\"command is still running\" command=prepare took=1m",
        ),
        ("status", 800, "+59s 423", ""),
        (
            "status",
            1_600,
            "Staged 1.26.1 1.26.1 prepare@2",
            "info msg=prepared version=1.26.1 took=2m1s",
        ),
        ("activate", 0, "204", ""),
        ("status", 200, "+59s 423", ""),
    ]);
}

/// Numbers that look random, and are the same in every run: SplitMix64.
pub(crate) struct Numbers(pub u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(crate) fn one_of<'a, T>(&mut self, choice: &'a [T]) -> &'a T {
        &choice[self.below(choice.len() as u64) as usize]
    }
}

/// All statuses of few versions, commands and timestamps, so that chance often
/// brings what fits together, and all other answers.
pub(crate) struct AnyAnswer {
    statuses: Vec<Answered>,
    others: Vec<Answered>,
}

impl AnyAnswer {
    pub(crate) fn new() -> Self {
        let mut statuses = vec![];
        for state in State::ALL {
            for chosen in ["-", "1.26.1", "1.26.2"] {
                for staged in ["-", "1.26.1", "1.26.2"] {
                    let status = format!("{} {chosen} {staged}", state.name());
                    statuses.push(answer(&status));
                    for command in Command::ALL {
                        for outcome in ["Success", "Success", "Success", "Failed", "Unknown"] {
                            for timestamp in 0..4 {
                                let name = command.name();
                                let last = format!("{status} {name}!{outcome}@{timestamp}");
                                statuses.push(answer(&last));
                            }
                        }
                    }
                }
            }
        }
        let others = [
            "204",
            "204",
            "204",
            "423",
            "404",
            "404 why",
            "409",
            "500 why",
            "refused",
            "missing",
            "denied",
            "unsent",
            "full",
            "break",
            "reset",
            "silence",
            "garbage",
            "descriptors",
        ];
        Self { statuses, others: others.into_iter().map(answer).collect() }
    }

    /// Mostly an answer that fits the call.
    pub(crate) fn to(&self, call: Call, numbers: &mut Numbers) -> &Answered {
        let status = (call == Call::Status) != (numbers.below(8) == 0);
        numbers.one_of(if status { &self.statuses } else { &self.others })
    }
}

/// No windows, or some that are now open and now closed.
pub(crate) fn any_windows(numbers: &mut Numbers) -> Windows {
    let mut windows = Windows::new();
    let list = *numbers.one_of(&["", "", "00:00-12:00", "Mon-Thu 06:00-05:00", "Sun 1:00-2:00"]);
    if !list.is_empty() {
        windows.add(list.as_bytes()).unwrap();
    }
    windows
}

/// Whatever the answers are, the cycle ends, and does no harm until then.
#[test]
fn any_sequence_of_answers() {
    let any = AnyAnswer::new();
    let (mut ends, mut most_calls, mut most_commands) = ([0; 3], 0, 0);
    let mut reasons = BTreeMap::<&str, u32>::new();
    for seed in 0..20_000 {
        let mut numbers = Numbers(seed);
        let limited = numbers.below(2) == 0;
        let settings = Settings {
            timeouts: [200, 400, 200, 200].map(Duration::from_secs),
            refresh_ready: seed % 2 == 0,
            stage_only: limited && numbers.below(4) == 0,
            windows: if limited { any_windows(&mut numbers) } else { Windows::new() },
        };
        // Some nodes stay locked, or silent, for long.
        let stubborn = *numbers.one_of(&[0, 0, 20, 40]);
        let (mut cycle, mut call) = Cycle::begin();
        let mut history = match limited {
            true => any_history(&mut numbers),
            false => History::new(copy("here"), None),
        };
        let (mut now, mut calls, mut commands) = (Duration::ZERO, 0, 0);
        let mut utc = Duration::from_secs(numbers.below(1_000_000));
        let (mut good_refresh, mut refresh_sent) = (false, false);
        let obedience = *numbers.one_of(&[0, 0, 50]);
        let (mut sent, mut same_call) = ("refresh", Call::Reboot);
        let mut last: &Answered = &answer("404");
        let mut last_status = None;
        let (end, why) = loop {
            calls += 1;
            assert!(calls <= 500, "seed {seed} does not end");
            if let Call::Start(command) = call {
                refresh_sent |= command == Command::Refresh;
                assert!(good_refresh || command == Command::Refresh, "seed {seed}: {command:?}");
                let status: Option<Status> = last_status;
                let ready = status.is_some_and(|status| status.state == State::Ready);
                assert!(!ready || settings.refresh_ready, "seed {seed}: hands off what is Ready");
                assert!(
                    matches!(last, Ok(Answer::Status(_) | Answer::Uninitialized)),
                    "seed {seed}"
                );
            }
            if call != same_call || numbers.below(40) >= stubborn {
                last = any.to(call, &mut numbers);
            }
            same_call = call;
            // Others do what they are told, and somewhat more.
            let told = |answer: &Answered| match (call, answer) {
                (Call::Status, Ok(Answer::Status(status))) => {
                    status.last_command.is_some_and(|last| last.name == sent && last.succeeded())
                }
                (Call::Status, _) => false,
                _ => matches!(answer, Ok(Answer::Started)),
            };
            for _ in 0..obedience {
                if !told(last) {
                    last = any.to(call, &mut numbers);
                }
            }
            if let Call::Start(command) = call {
                sent = command.name();
            }
            if let (Call::Start(_), Ok(Answer::Started)) = (call, last) {
                commands += 1;
            }
            if let Ok(Answer::Status(status)) = last {
                last_status = Some(*status);
                let last = status.last_command;
                let refresh = |last: LastCommand| last.name == "refresh" && last.succeeded();
                good_refresh |= refresh_sent && last.is_some_and(refresh);
            } else if let (Call::Status, Ok(Answer::Uninitialized)) = (call, last) {
                last_status = None;
            }
            now += Duration::from_millis(*numbers.one_of(&[0, 1, 100, 5_000]));
            utc += Duration::from_secs(*numbers.one_of(&[0, 1, 5, 60]));
            if numbers.below(200) == 0 {
                // Somebody sets the clock.
                utc = Duration::from_secs(numbers.below(1_000_000));
            }
            let mut told = vec![];
            let at = Now { now, utc };
            let given = Context { at, settings: &settings, history: &mut history };
            let emit = &mut |event: Event| {
                told.push(event.kind().name());
                if let Event::WindowClosed { opens, .. } = event {
                    assert!(opens > utc && settings.windows.is_open(opens), "seed {seed}");
                }
            };
            let step = cycle.on_answer(given, last, emit);
            let is_open = settings.windows.is_open(utc);
            let chosen = match last {
                Ok(Answer::Status(status)) => status.chosen,
                _ => None,
            };
            let hold_for = chosen.is_some_and(|chosen| history.hold_for(utc, chosen).is_some());
            if let Step::Call(Call::Start(command), _) = step
                && command != Command::Refresh
            {
                assert!(is_open, "seed {seed}: {command:?} while closed");
                assert!(!hold_for, "seed {seed}: {command:?} of a version that is held back");
                let activates = command == Command::Activate;
                assert!(!activates || !settings.stage_only, "seed {seed}");
                // The next boot will know of it.
                let file = str::from_utf8(&history.write()).unwrap().to_owned();
                let version = chosen.unwrap().version;
                assert!(!activates || file.contains(&format!("\n{version}\t")), "seed {seed}");
            }
            match step {
                Step::Call(next @ Call::Status, pause) => {
                    let allowed = Duration::from_millis(200)..=Duration::from_secs(5);
                    assert!(allowed.contains(&pause), "seed {seed}: {pause:?}");
                    (call, now) = (next, now + pause);
                    utc += pause;
                }
                Step::Call(next @ Call::Start(_), Duration::ZERO) => call = next,
                Step::Call(next, pause) => panic!("seed {seed}: {next:?} after {pause:?}"),
                Step::End(end) => {
                    assert_eq!(told.is_empty(), end == End::NoAnswer, "seed {seed}: {end:?}");
                    let why = told.pop().unwrap_or_default();
                    let state = last_status.map(|status| status.state);
                    assert!(match why {
                        "window_closed" => !is_open && !hold_for,
                        "held_back" => hold_for,
                        "staged" => settings.stage_only && state == Some(State::Staged),
                        _ => true,
                    });
                    *reasons.entry(why).or_default() += 1;
                    break (end, why);
                }
            }
        };
        if end == End::Done {
            let Ok(Answer::Status(status)) = last else { panic!("seed {seed}: {last:?}") };
            let nothing = match why {
                "nothing_to_do" => status.state == State::Idle || status.chosen.is_none(),
                "window_closed" | "held_back" | "staged" => status.chosen.is_some(),
                _ => false,
            };
            let ready = why == "ready" && status.state == State::Ready;
            assert!(ready || good_refresh && nothing, "seed {seed}: {why}");
        }
        assert!(commands <= 8, "seed {seed}: {commands} commands");
        ends[end as usize] += 1;
        (most_calls, most_commands) = (calls.max(most_calls), commands.max(most_commands));
    }
    // The chance brings something of everything.
    assert!(ends.iter().all(|end| *end > 200), "{ends:?}");
    for why in ["nothing_to_do", "ready", "window_closed", "held_back", "staged"] {
        assert!(reasons.get(why).is_some_and(|count| *count > 10), "{reasons:?}");
    }
    assert!(most_calls > 50 && most_commands >= 7, "{most_calls} calls, {most_commands} commands");
}
