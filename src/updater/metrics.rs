//! What an operator's monitoring is told: the state of the node, what became of
//! the commands, and whether all is well, in the Prometheus text format.
//!
//! Names and units go by the conventions of Prometheus: seconds, `_total` for
//! what only grows, `_info` for what is told by its labels.

use crate::api::status::{Image, OwnedImage, State};
use crate::api::{Answer, Call, CallError, Command, ErrorKind};
use crate::http::request::{Page, Unhealthy};
use crate::text::duration::{HumanDuration, millis};
use crate::text::{Show, cut, put, put_number};
use crate::updater::cycle::Now;
use crate::updater::daemon::Daemon;
use crate::updater::event::{Event, EventKind};
use crate::updater::log::put_quoted;
use core::time::Duration;
use heapless::VecView;

/// How many ways there are in which a command that was sent can end.
const OUTCOMES: usize = 5;

/// What has happened so far, and what the node's status was when it was last
/// asked for.
#[derive(Debug)]
pub struct Metrics {
    /// How long the API may be silent until that is no longer healthy.
    silence_max: Duration,
    /// The values of all samples that have no image for a label, in the order of
    /// [`TABLE`]. What is shown as an age is kept as a [`since()`].
    values: [u64; VALUES],
    running: Option<OwnedImage>,
    chosen: Option<OwnedImage>,
    /// The class of the last error.
    class: &'static str,
}

impl Metrics {
    /// Nothing has happened yet at `now`. The API is expected to answer every
    /// `silence_max` at least.
    pub fn new(now: Duration, silence_max: Duration) -> Self {
        let (running, chosen, class) = (None, None, "none");
        let mut metrics = Self { silence_max, values: [0; VALUES], running, chosen, class };
        metrics.values[INFO] = ONE;
        metrics.values[OPENS] = NONE;
        metrics.values[HEARD] = since(now);
        metrics.values[ERROR] = ONE;
        metrics.values[ERROR_SINCE] = NOT_YET;
        for number in 0..2 * Command::ALL.len() {
            metrics.set(SUCCEEDED + number, NONE);
        }
        metrics.set_state(UNKNOWN);
        metrics
    }

    fn set(&mut self, at: usize, value: u64) {
        if let Some(place) = self.values.get_mut(at) {
            *place = value;
        }
    }

    fn count(&mut self, at: usize) {
        if let Some(count) = self.values.get_mut(at) {
            *count = COUNT_MAX.min(*count + ONE);
        }
    }

    /// Takes note of the number of a state, or of [`UNKNOWN`].
    fn set_state(&mut self, state: usize) {
        for number in 0..=UNKNOWN {
            self.set(STATES + number, whole(number == state));
        }
    }

    /// Takes note of an answer, or of its absence, at `now`.
    #[inline(never)]
    pub fn note_answer(&mut self, now: Duration, answer: &Result<Answer, CallError>) {
        let is_reachable = match answer {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::Refused,
        };
        self.values[REACHABLE] = whole(is_reachable);
        if is_reachable {
            self.values[HEARD] = since(now);
        }
        match answer {
            Ok(Answer::Status(status)) => {
                self.set_state(status.state as usize);
                self.running = status.running.map(OwnedImage::new);
                self.chosen = status.chosen.map(OwnedImage::new);
            }
            Ok(Answer::Uninitialized) => {
                self.set_state(UNKNOWN);
                self.chosen = None;
            }
            // What was known still holds, as far as one can tell.
            Ok(Answer::Started | Answer::Busy | Answer::NotAllowed(_)) | Err(_) => {}
        }
    }

    /// Takes note of an event at `now`.
    #[inline(never)]
    pub fn note_event(&mut self, now: Duration, event: &Event) {
        self.count(EVENTS + event.kind() as usize);
        let now = since(now);
        let succeeded = match *event {
            Event::Refreshed { took, .. } => Some((Command::Refresh, took)),
            Event::Prepared { took, .. } => Some((Command::Prepare, took)),
            Event::Activated { took, .. } => Some((Command::Activate, took)),
            Event::Deactivated { took, .. } => Some((Command::Deactivate, took)),
            _ => None,
        };
        if let Some((command, took)) = succeeded {
            self.set(SUCCEEDED + command.number(), now);
            self.set(TOOK + command.number(), millis(took));
            self.count(COMMANDS + OUTCOMES * command.number());
        }
        let outcome = match *event {
            Event::CommandFailed { command, .. } => Some((command, 1)),
            Event::CommandOverdue { command, .. } => Some((command, 2)),
            Event::CommandVanished { command } => Some((command, 3)),
            Event::CommandRefused { command, .. } => Some((command, 4)),
            Event::ApiCall { call: Call::Start(command), answer: Err(error), .. }
                if error.is_refusal() =>
            {
                Some((command, 4))
            }
            _ => None,
        };
        if let Some((command, outcome)) = outcome {
            self.count(COMMANDS + OUTCOMES * command.number() + outcome);
        }
        if let Some(class) = event.error_class() {
            self.class = class;
            self.values[ERROR_SINCE] = now;
        }
    }

    /// Whether all is well at `now`.
    ///
    /// # Errors
    ///
    /// The API has been silent for too long.
    pub fn health(&self, now: Duration) -> Result<(), Unhealthy> {
        let silence = Duration::from_millis(age(millis(now), self.values[HEARD]));
        match silence > self.silence_max {
            true => Err(Unhealthy::Silence(silence, self.silence_max)),
            false => Ok(()),
        }
    }

    /// Whether the node's status is known.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn readiness(&self) -> Result<(), Unhealthy> {
        match self.values[STATES + UNKNOWN] {
            0 => Ok(()),
            _ => Err(Unhealthy::NoStatus),
        }
    }

    /// Writes all metrics. There is room on the page: a test has the longest.
    #[inline(never)]
    pub fn write(&self, at: Now, daemon: &Daemon, page: &mut Page) {
        let mut values = self.values;
        values[HELD] = daemon.history.held().count() as u64 * ONE;
        let windows = &daemon.settings.windows;
        match windows.next_open(at.utc).filter(|_| !windows.is_open(at.utc)) {
            None => values[IS_OPEN] = ONE,
            Some(left) => values[OPENS] = millis(at.utc.saturating_add(left)),
        }
        let now = millis(at.now);
        let mut values = values.iter();
        let mut table = TABLE;
        // Ends: each turn takes a line, and the last one has an end, too.
        while !table.is_empty() {
            let mut columns = [""; 4];
            for column in &mut columns {
                *column = cut(&mut table, b' ');
            }
            let [name, kind, first, second] = columns;
            let help = cut(&mut table, b'\n');
            for (what, text) in [("# HELP ", help), ("# TYPE ", kind)] {
                put(page, &[what, PREFIX, name, " ", text, "\n"]);
            }
            let image = match first.as_bytes() {
                [b'@', b'r', ..] => &self.running,
                [b'@', b'c', ..] => &self.chosen,
                [b'@', ..] => {
                    for held in daemon.history.held() {
                        put_image(page, name, &held.image, held.failed_boots.saturating_mul(ONE));
                    }
                    continue;
                }
                _ => {
                    let mut number = 0;
                    // Ends: a label has so many values.
                    while let Some(one) = self.label(first, number) {
                        number += 1;
                        let mut other = 0;
                        // Ends: so has this one.
                        while let Some(two) = self.label(second, other) {
                            other += 1;
                            match values.next() {
                                Some(&NONE) | None => {}
                                Some(value) => {
                                    put_sample(page, name, &[one, two], age(now, *value));
                                }
                            }
                        }
                    }
                    continue;
                }
            };
            if let Some(image) = image {
                put_image(page, name, &image.image(), ONE);
            }
        }
    }

    /// The name and the value with this number of a label, of which the table has
    /// the name and the values.
    #[inline(never)]
    fn label<'a>(&self, label: &'a str, number: usize) -> Option<Label<'a>> {
        let mut values = label;
        let name = cut(&mut values, b'=');
        let value = match name {
            // No label, which is there once.
            "" if number == 0 => return Some(("", "")),
            "event" => EventKind::ALL.get(number).map_or("", |kind| kind.name()),
            "class" if number == 0 => self.class,
            "command" => Command::ALL.get(number).map_or("", |command| command.name()),
            _ => {
                for _ in 0..number {
                    cut(&mut values, b',');
                }
                cut(&mut values, b',')
            }
        };
        (!value.is_empty()).then_some((name, value))
    }
}

/// The name and the value of a label. A name that is empty stands for no label.
type Label<'a> = (&'a str, &'a str);

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
update_commands_total counter command= \
outcome=success,failed,overdue,vanished,refused, What became of the commands that were sent.
update_last_success_age_seconds gauge command= - \
How long ago a command last succeeded.
update_last_success_duration_seconds gauge command= - \
How long it took then.
updater_events_total counter event= - What happened, by the names of the log.
"
);

/// Where the values of the metrics begin.
const INFO: usize = 0;
const STATES: usize = INFO + 1;
const HELD: usize = STATES + UNKNOWN + 1;
const IS_OPEN: usize = HELD + 1;
const OPENS: usize = IS_OPEN + 1;
const REACHABLE: usize = OPENS + 1;
const HEARD: usize = REACHABLE + 1;
const ERROR: usize = HEARD + 1;
const ERROR_SINCE: usize = ERROR + 1;
const COMMANDS: usize = ERROR_SINCE + 1;
const SUCCEEDED: usize = COMMANDS + OUTCOMES * Command::ALL.len();
const TOOK: usize = SUCCEEDED + Command::ALL.len();
const EVENTS: usize = TOOK + Command::ALL.len();
/// How many values there are.
const VALUES: usize = EVENTS + EventKind::ALL.len();

/// The number of the state that is no state.
const UNKNOWN: usize = State::ALL.len();

/// What the names of all metrics begin with.
const PREFIX: &str = "bottlerocket_";

/// A value of 1. Values are in thousandths.
const ONE: u64 = 1000;
/// No count is larger.
const COUNT_MAX: u64 = u32::MAX as u64 * ONE;
/// The value of a sample that is left out.
const NONE: u64 = u64::MAX / 2;
/// The [`since()`] of what is to have an age of 0 until it happens.
const NOT_YET: u64 = !NONE;

/// A point in time, as a number above [`NONE`].
fn since(now: Duration) -> u64 {
    !millis(now)
}

/// How long ago that was, if the value is a [`since()`]; others stay as they are.
fn age(now: u64, value: u64) -> u64 {
    if value > NONE { now.saturating_sub(!value) } else { value }
}

fn whole(value: impl Into<u32>) -> u64 {
    ONE * u64::from(value.into())
}

/// Puts a sample on the page that is about an image.
#[inline(never)]
fn put_image(page: &mut VecView<u8>, name: &str, image: &Image, value: u64) {
    let Image { version, variant, arch } = *image;
    put_sample(page, name, &[("version", version), ("variant", variant), ("arch", arch)], value);
}

/// Puts a sample on the page.
#[inline(never)]
fn put_sample(page: &mut VecView<u8>, name: &str, labels: &[Label], value: u64) {
    put(page, &[PREFIX, name]);
    let mut before = "{";
    let mut end = " ";
    for (name, text) in labels {
        if !name.is_empty() {
            put(page, &[before, name, "=\""]);
            put_quoted(page, text);
            (before, end) = ("\",", "\"} ");
        }
    }
    put(page, &[end]);
    put_number(page, value / ONE);
    let mut rest = value % ONE;
    end = ".";
    // Ends: each turn takes one of the three digits.
    while rest > 0 {
        put(page, &[end]);
        put_number(page, rest / 100);
        rest = rest % 100 * 10;
        end = "";
    }
    put(page, &["\n"]);
}

impl Show for Unhealthy {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::NoStatus => put(buffer, &["the node's update status is not known yet"]),
            Self::Silence(silence, limit) => {
                put(buffer, &["no answer from the API for "]);
                HumanDuration(*silence).show(buffer);
                put(buffer, &[" (limit "]);
                HumanDuration(*limit).show(buffer);
                put(buffer, &[")"]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
