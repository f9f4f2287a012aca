//! What an operator's monitoring is told: the state of the node, what became of
//! the commands, and whether all is well, in the Prometheus text format.
//!
//! Names and units go by the conventions of Prometheus: seconds, `_total` for
//! what only grows, `_info` for what is told by its labels.

use crate::api::{Answer, CallError, Command, ErrorKind};
use crate::cycle::Moment;
use crate::daemon::Daemon;
use crate::duration::Short;
use crate::event::{self, Event};
use crate::log::put_escaped;
use crate::scrape::{Page, Problem};
use crate::status::{Image, OwnedImage, State};
use crate::text::{cut, put, put_number};
use core::fmt::{self, Display};
use core::time::Duration;
use heapless::{Vec, VecView};

/// How many ways there are in which a command that was sent can end.
const OUTCOMES: usize = 5;

/// What has happened so far, and what the node's status was when it was last
/// asked for.
#[derive(Debug)]
pub struct Metrics {
    /// How long the API may be silent until that is no longer healthy.
    silence_max: Duration,
    /// When the API last answered; before that, when the program started.
    heard: Duration,
    is_reachable: bool,
    state: Option<State>,
    running: Option<OwnedImage>,
    chosen: Option<OwnedImage>,
    /// How often each event has happened, by its number.
    events: [u32; event::COUNT],
    /// How often each command came to each outcome.
    outcomes: [[u32; OUTCOMES]; Command::ALL.len()],
    /// When each command last succeeded, and how long it took.
    successes: [Option<(Duration, Duration)>; Command::ALL.len()],
    /// The class of the last error, and when it came.
    last_error: Option<(&'static str, Duration)>,
}

impl Metrics {
    /// Nothing has happened yet at `now`. The API is expected to answer every
    /// `silence_max` at least.
    pub fn new(now: Duration, silence_max: Duration) -> Self {
        Self {
            silence_max,
            heard: now,
            is_reachable: false,
            state: None,
            running: None,
            chosen: None,
            events: [0; event::COUNT],
            outcomes: Default::default(),
            successes: [None; Command::ALL.len()],
            last_error: None,
        }
    }

    /// Takes note of an answer, or of its absence, at `now`.
    pub fn note_answer(&mut self, now: Duration, answer: &Result<Answer, CallError>) {
        self.is_reachable = match answer {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::Refused,
        };
        if self.is_reachable {
            self.heard = now;
        }
        match answer {
            Ok(Answer::Status(status)) => {
                self.state = Some(status.state);
                self.running = status.running.map(OwnedImage::new);
                self.chosen = status.chosen.map(OwnedImage::new);
            }
            Ok(Answer::NoStatus) => (self.state, self.chosen) = (None, None),
            // What was known still holds, as far as one can tell.
            Ok(Answer::Started | Answer::Busy | Answer::NotAllowed(_)) | Err(_) => {}
        }
    }

    /// Takes note of an event at `now`.
    pub fn note_event(&mut self, now: Duration, event: &Event) {
        if let Some(count) = self.events.get_mut(event.number()) {
            *count = count.saturating_add(1);
        }
        let outcome = match *event {
            Event::Done(command, _, took) => {
                if let Some(success) = self.successes.get_mut(command.number()) {
                    *success = Some((now, took));
                }
                Some((command, 0))
            }
            Event::Failed(command, ..) => Some((command, 1)),
            Event::Overdue(command, _) => Some((command, 2)),
            Event::Vanished(command) => Some((command, 3)),
            Event::Refused(command, _) => Some((command, 4)),
            _ => None,
        };
        if let Some((command, outcome)) = outcome
            && let Some(outcomes) = self.outcomes.get_mut(command.number())
            && let Some(count) = outcomes.get_mut(outcome)
        {
            *count = count.saturating_add(1);
        }
        if let Some(class) = event.error_class() {
            self.last_error = Some((class, now));
        }
    }

    /// Whether all is well at `now`.
    ///
    /// # Errors
    ///
    /// The API has been silent for too long.
    pub fn health(&self, now: Duration) -> Result<(), Problem> {
        let silence = now.saturating_sub(self.heard);
        match silence > self.silence_max {
            true => Err(Problem::Silence(silence, self.silence_max)),
            false => Ok(()),
        }
    }

    /// Whether the node's status is known.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn readiness(&self) -> Result<(), Problem> {
        self.state.map(drop).ok_or(Problem::NoStatus)
    }

    /// Writes all metrics. There is room on the page: a test has the longest.
    pub fn write(&self, at: Moment, daemon: &Daemon, page: &mut Page) {
        let values = self.values(at, daemon);
        let mut values = values.iter();
        let mut table = TABLE;
        while !table.is_empty() {
            let mut help = cut(&mut table, b'\n');
            let [name, kind, first, second] = [(); 4].map(|()| cut(&mut help, b' '));
            put(page, &["# HELP ", PREFIX, name, " ", help, "\n# TYPE ", PREFIX, name]);
            put(page, &[" ", kind, "\n"]);
            let mut image = |Image { version, variant, arch }: Image, value| {
                let labels = ["version", version, "variant", variant, "arch", arch];
                put_sample(page, name, &labels, value);
            };
            match first.as_bytes() {
                b"@running" => self.running.iter().for_each(|running| image(running.image(), ONE)),
                b"@chosen" => self.chosen.iter().for_each(|chosen| image(chosen.image(), ONE)),
                b"@held" => {
                    let held = daemon.history.held();
                    held.for_each(|held| image(held.image, held.failed_boots.saturating_mul(ONE)));
                }
                _ => {
                    let mut number = 0;
                    while let Some(one) = self.label(first, number) {
                        number += 1;
                        let mut other = 0;
                        while let Some(two) = self.label(second, other) {
                            other += 1;
                            let labels = [label_name(first), one, label_name(second), two];
                            match values.next() {
                                Some(value) if *value != NONE => {
                                    put_sample(page, name, &labels, *value);
                                }
                                _ => {}
                            }
                        }
                    }
                }
            }
        }
    }

    /// The values of all samples that have no image for a label, in the order of
    /// [`TABLE`].
    fn values(&self, at: Moment, daemon: &Daemon) -> Vec<u64, VALUES> {
        let mut values = Vec::new();
        // There is room: a test counts them.
        let mut add = |value: u64| {
            let _ = values.push(value);
        };
        let ago = |when: Duration| millis(at.now.saturating_sub(when));
        add(ONE);
        let state = self.state.map_or(State::ALL.len(), |state| state as usize);
        (0..=State::ALL.len()).for_each(|number| add(whole(number == state)));
        add(daemon.history.held().count() as u64 * ONE);
        let left = daemon.settings.windows.next_open(at.utc).unwrap_or_default();
        add(whole(left.is_zero()));
        add(if left.is_zero() { NONE } else { millis(at.utc.saturating_add(left)) });
        add(whole(self.is_reachable));
        add(ago(self.heard));
        add(ONE);
        add(self.last_error.map_or(0, |(_, when)| ago(when)));
        self.outcomes.iter().flatten().for_each(|count| add(whole(*count)));
        for success in &self.successes {
            add(success.map_or(NONE, |(when, _)| ago(when)));
        }
        for success in &self.successes {
            add(success.map_or(NONE, |(_, took)| millis(took)));
        }
        self.events.iter().for_each(|count| add(whole(*count)));
        values
    }

    /// The value with this number of a label, of which the table has the name and
    /// the values.
    fn label<'a>(&self, label: &'a str, number: usize) -> Option<&'a str> {
        let mut values = label;
        match cut(&mut values, b'=') {
            // No label, which is there once.
            "" => (number == 0).then_some(""),
            "event" => (number < event::COUNT).then(|| event::summary(number).name),
            "class" => (number == 0).then(|| self.last_error.map_or("none", |(class, _)| class)),
            _ => {
                for _ in 0..number {
                    cut(&mut values, b',');
                }
                let value = cut(&mut values, b',');
                (!value.is_empty()).then_some(value)
            }
        }
    }
}

/// All metrics: the name without its prefix, the type, two labels with their
/// values, and the help. Behind the last value of a label there is a comma, too.
const TABLE: &str = concat!(
    "updater_build_info gauge version=",
    env!("CARGO_PKG_VERSION"),
    ", - The updater that tells all this.
update_state gauge state=Idle,Available,Staged,Ready,Unknown, - The state of the update: one is 1.
os_info gauge @running - The image that runs.
update_chosen_info gauge @chosen - The image that is chosen.
update_held_back_versions gauge - - How many versions did not boot.
update_held_back_failed_boots gauge @held - How often a version did not boot.
update_window_open gauge - - Whether an update may begin now.
update_window_next_open_timestamp_seconds gauge - - When the next window opens, if none is open.
api_reachable gauge - - Whether the last call of the API was answered.
api_last_answer_age_seconds gauge - - How long ago the API last answered, or the updater started.
updater_last_error_info gauge class= - The class of the last error.
updater_last_error_age_seconds gauge - - How long ago that was, or 0.
update_commands_total counter command=refresh,prepare,activate,deactivate, \
outcome=success,failed,overdue,vanished,refused, What became of the commands that were sent.
update_last_success_age_seconds gauge command=refresh,prepare,activate,deactivate, - \
How long ago a command last succeeded.
update_last_success_duration_seconds gauge command=refresh,prepare,activate,deactivate, - \
How long it took then.
updater_events_total counter event= - What happened, by the names of the log.
"
);

/// How many values there are.
const VALUES: usize = 13 + (OUTCOMES + 2) * Command::ALL.len() + event::COUNT;

/// What the names of all metrics begin with.
const PREFIX: &str = "bottlerocket_";

/// A value of 1. Values are in thousandths.
const ONE: u64 = 1000;
/// The value of a sample that is left out.
const NONE: u64 = u64::MAX;

fn whole(value: impl Into<u32>) -> u64 {
    ONE * u64::from(value.into())
}

fn millis(duration: Duration) -> u64 {
    let millis: u64 = duration.subsec_millis().into();
    duration.as_secs().saturating_mul(ONE).saturating_add(millis)
}

fn label_name(label: &str) -> &str {
    cut(&mut { label }, b'=')
}

/// Puts a sample on the page, with the names and the values of its labels in
/// turn. A name that is empty stands for no label.
#[inline(never)]
fn put_sample(page: &mut VecView<u8>, name: &str, labels: &[&str], value: u64) {
    put(page, &[PREFIX, name]);
    let mut before = "{";
    let mut end = " ";
    for label in labels.chunks_exact(2) {
        if let [name, text] = label
            && !name.is_empty()
        {
            put(page, &[before, name, "=\""]);
            put_escaped(page, text);
            (before, end) = ("\",", "\"} ");
        }
    }
    put(page, &[end]);
    put_number(page, value / ONE);
    let mut rest = value % ONE;
    end = ".";
    while rest > 0 {
        put(page, &[end]);
        put_number(page, rest / 100);
        rest = rest % 100 * 10;
        end = "";
    }
    put(page, &["\n"]);
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NoStatus => f.write_str("the node's update status is not known yet"),
            Self::Silence(silence, limit) => {
                let (silence, limit) = (Short(*silence), Short(*limit));
                write!(f, "no answer from the API for {silence} (limit {limit})")
            }
        }
    }
}

#[cfg(test)]
mod tests;
