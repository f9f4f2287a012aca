//! Cycles on a scripted clock, without sockets. A row has the expected call, the time in
//! milliseconds until its answer comes, the answer, and the expected log lines. The pause
//! before the call must not be longer than that time, and it is zero if the time is zero.

extern crate std;
use super::*;
use crate::api::status::{Image, State};
use crate::api::tests::call_error;
use crate::api::{AnswerError, Refusal};
use crate::reporting::log::{Format, Level};
use crate::text::duration;
use crate::text::excerpt::Excerpt;
use crate::updater::event::Event;
use crate::updater::history::tests::any_history;
use std::borrow::ToOwned;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

mod at_reboot;
mod boots;
mod earlier_commands;
mod lock;
mod lost_answers;
mod outcomes;
mod pauses;
mod random;
mod soaks;
mod staged;
mod updates;
mod windows;

pub(crate) use random::{AnyAnswer, any_windows};

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

/// The answer for a short text: a code like `204`, a code with a reason, a kind of
/// error, or a status. A status is its state, the chosen version, the staged version
/// and the last command, as in `Staged 1.26.2 1.26.1 prepare@2`. The number after `@`
/// stands for a timestamp. `prepare!Failed@2` is a command that failed. `offers=1.27.0` at
/// the end is the newest version that is offered.
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
        return Err(call_error(word));
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
    let offered = words.next().map(|word| forever(word.strip_prefix("offers=").unwrap()));
    Ok(Answer::Status(Status {
        state,
        chosen,
        running: image("1.26.0"),
        staged,
        offered,
        last_command,
    }))
}

/// The log line of an event, without the time and the name. `None` if its level is
/// debug.
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

/// The answer, and the time until it comes: that of `+10s silence` is ten seconds.
pub(crate) fn answer_and_delay(text: &str) -> (Answered, Duration) {
    match text.strip_prefix('+').and_then(|text| text.split_once(' ')) {
        Some((delay, text)) => (answer(text), duration::parse(delay.as_bytes()).unwrap()),
        None => (answer(text), Duration::ZERO),
    }
}

pub(crate) type Row = (&'static str, u64, &'static str, &'static str);

/// A cycle in progress.
struct Script {
    cycle: Cycle,
    settings: Settings,
    history: History,
    commands: Commands,
    last_reboot: LastReboot,
    next: Step,
    now: Duration,
}

impl Script {
    fn new(settings: Settings) -> Self {
        let (cycle, call) = Cycle::begin();
        // The clock may count from any point in time.
        let now = Duration::from_secs(86_400);
        let next = Step::Call(call, Duration::ZERO);
        let (history, commands) = (History::default(), Commands::default());
        let last_reboot = LastReboot::default();
        Self { cycle, settings, history, commands, last_reboot, next, now }
    }

    fn on_answer(&mut self, answer: &Answered, emit: &mut dyn FnMut(Event)) {
        let Self { cycle, settings, history, commands, last_reboot, now, .. } = self;
        let at = Now { now: *now, since_boot: *now, utc: *now };
        history.advance(at.since_boot);
        let context = Context { at, settings, history, commands, last_reboot };
        self.next = cycle.on_answer(context, answer, emit);
    }

    #[track_caller]
    fn row(&mut self, (call, time, text, logged): Row) -> &mut Self {
        let Step::Call(next, wait) = self.next else {
            panic!("ended with {:?} instead of {call} {text}", self.next);
        };
        assert_eq!(next.name(), call, "before {text:?}");
        let time = Duration::from_millis(time);
        assert!(wait <= time && wait.is_zero() == time.is_zero(), "{wait:?} before {text:?}");
        let (answer, delay) = answer_and_delay(text);
        self.now += time + delay;
        let mut lines = Vec::new();
        self.on_answer(&answer, &mut |event| lines.extend(line(&event)));
        assert_eq!(lines.join("\n"), logged, "after {call} {text:?}");
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

/// A script in the next cycle of the same updater, an interval later.
fn next_cycle(before: Script) -> Script {
    let (cycle, call) = Cycle::begin();
    let now = before.now + before.settings.retry_after;
    Script { cycle, now, next: Step::Call(call, Duration::ZERO), ..before }
}

#[track_caller]
fn play(rows: &[Row], end: End) {
    Script::new(Settings::default()).rows(rows).ends(end);
}

/// With `-refresh-ready=false`.
#[track_caller]
fn play_hands_off(rows: &[Row], end: End) {
    let settings = Settings { refresh_ready: false, ..Settings::default() };
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

/// A refresh, after which 1.26.1 is chosen.
const FOUND_AVAILABLE: [Row; 3] = [
    ("status", 0, "404", ""),
    ("refresh", 0, "204", ""),
    ("status", 200, "Available 1.26.1 - refresh@1", ""),
];

/// The prepare after it.
const STAGED: [Row; 2] =
    [("prepare", 0, "204", FOUND), ("status", 200, "Staged 1.26.1 1.26.1 prepare@2", PREPARED)];
