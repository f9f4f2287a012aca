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
use crate::log::Escaper;
use crate::scrape::{Page, Problem};
use crate::status::{OwnedImage, State};
use crate::text::{Number, cut_word};
use core::fmt::{self, Display, Write};
use core::time::Duration;

/// What can become of a command that was sent.
const OUTCOMES: [&str; 5] = ["success", "failed", "overdue", "vanished", "refused"];

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
    outcomes: [[u32; OUTCOMES.len()]; Command::ALL.len()],
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

    /// Writes all metrics.
    ///
    /// # Errors
    ///
    /// There is no room on the page, which cannot be: a test has the longest.
    pub fn write(&self, at: Moment, daemon: &Daemon, page: &mut Page) -> fmt::Result {
        let mut out = Writer { page, name: "" };
        out.metric("updater_build_info gauge The updater that tells all this.")?;
        out.sample(&["version", env!("CARGO_PKG_VERSION")], ONE)?;
        self.write_node(at, daemon, &mut out)?;
        self.write_api(at, &mut out)?;
        self.write_commands(at, &mut out)?;
        out.metric("updater_events_total counter What happened, by the names of the log.")?;
        for (number, count) in self.events.into_iter().enumerate() {
            out.sample(&["event", event::summary(number).name], whole(count))?;
        }
        Ok(())
    }

    fn write_node(&self, at: Moment, daemon: &Daemon, out: &mut Writer) -> fmt::Result {
        out.metric("update_state gauge The state of the update: 1 for the one it is in.")?;
        let mut is_known = false;
        for state in State::ALL {
            let is_it = self.state == Some(state);
            is_known |= is_it;
            out.sample(&["state", state.name()], whole(is_it))?;
        }
        out.sample(&["state", "Unknown"], whole(!is_known))?;
        for (metric, image) in [
            ("os_info gauge The image that runs.", &self.running),
            ("update_chosen_info gauge The image that is chosen.", &self.chosen),
        ] {
            out.metric(metric)?;
            if let Some(image) = image {
                out.image(image, ONE)?;
            }
        }
        let held = daemon.history.held();
        out.metric("update_held_back_versions gauge How many versions did not boot.")?;
        out.sample(&[], held.count() as u64 * ONE)?;
        out.metric("update_held_back_failed_boots gauge How often a version did not boot.")?;
        for entry in daemon.history.held() {
            out.image(&entry.image, entry.failed_boots.saturating_mul(ONE))?;
        }
        let left = daemon.settings.windows.next_open(at.utc).unwrap_or_default();
        out.metric("update_window_open gauge Whether an update may begin now.")?;
        out.sample(&[], whole(left.is_zero()))?;
        out.metric(
            "update_window_next_open_timestamp_seconds gauge \
             When the next window opens, while none is open.",
        )?;
        if !left.is_zero() {
            out.sample(&[], millis(at.utc.saturating_add(left)))?;
        }
        Ok(())
    }

    fn write_api(&self, at: Moment, out: &mut Writer) -> fmt::Result {
        out.metric("api_reachable gauge Whether the last call of the API was answered.")?;
        out.sample(&[], whole(self.is_reachable))?;
        out.metric(
            "api_last_answer_age_seconds gauge \
             How long ago the API last answered, or the updater started.",
        )?;
        out.sample(&[], millis(at.now.saturating_sub(self.heard)))?;
        let (class, when) = self.last_error.unwrap_or(("none", at.now));
        out.metric("updater_last_error_info gauge The class of the last error.")?;
        out.sample(&["class", class], ONE)?;
        out.metric("updater_last_error_age_seconds gauge How long ago that was, or 0.")?;
        out.sample(&[], millis(at.now.saturating_sub(when)))
    }

    fn write_commands(&self, at: Moment, out: &mut Writer) -> fmt::Result {
        out.metric("update_commands_total counter What became of the commands that were sent.")?;
        for (command, counts) in Command::ALL.into_iter().zip(self.outcomes) {
            for (outcome, count) in OUTCOMES.into_iter().zip(counts) {
                out.sample(&["command", command.name(), "outcome", outcome], whole(count))?;
            }
        }
        for (metric, is_age) in [
            ("update_last_success_age_seconds gauge How long ago a command last succeeded.", true),
            ("update_last_success_duration_seconds gauge How long it took then.", false),
        ] {
            out.metric(metric)?;
            for (command, success) in Command::ALL.into_iter().zip(self.successes) {
                if let Some((when, took)) = success {
                    let value = if is_age { at.now.saturating_sub(when) } else { took };
                    out.sample(&["command", command.name()], millis(value))?;
                }
            }
        }
        Ok(())
    }
}

/// A value of 1. Values are in thousandths.
const ONE: u64 = 1000;

fn whole(value: impl Into<u32>) -> u64 {
    ONE * u64::from(value.into())
}

fn millis(duration: Duration) -> u64 {
    let millis: u64 = duration.subsec_millis().into();
    duration.as_secs().saturating_mul(ONE).saturating_add(millis)
}

/// Writes metrics one behind the other.
struct Writer<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Writer<'_> {
    /// Begins a metric, of which are given the name without its prefix, the type
    /// and the help.
    fn metric(&mut self, text: &'static str) -> fmt::Result {
        let mut help = text;
        self.name = cut_word(&mut help);
        let kind = cut_word(&mut help);
        self.parts(&["# HELP ", PREFIX, self.name, " ", help])?;
        self.parts(&["\n# TYPE ", PREFIX, self.name, " ", kind, "\n"])
    }

    fn parts(&mut self, parts: &[&str]) -> fmt::Result {
        parts.iter().try_for_each(|part| self.page.write_str(part))
    }

    fn number(&mut self, number: u64) -> fmt::Result {
        write!(self.page, "{}", Number(number))
    }

    fn image(&mut self, image: &OwnedImage, value: u64) -> fmt::Result {
        let OwnedImage { version, variant, arch } = image;
        self.sample(&["version", version, "variant", variant, "arch", arch], value)
    }

    /// Adds a sample of it, with the names and the values of its labels in turn.
    #[inline(never)]
    fn sample(&mut self, labels: &[&str], value: u64) -> fmt::Result {
        self.parts(&[PREFIX, self.name])?;
        let mut before = "{";
        for label in labels.chunks_exact(2) {
            if let [name, text] = label {
                self.parts(&[before, name, "=\""])?;
                Escaper(&mut *self.page).write_str(text)?;
                before = "\",";
            }
        }
        self.parts(if labels.is_empty() { &[" "] } else { &["\"} "] })?;
        self.number(value / ONE)?;
        let thousandths = value % ONE;
        if thousandths > 0 {
            let zeros = match thousandths {
                ..10 => ".00",
                10..100 => ".0",
                _ => ".",
            };
            self.parts(&[zeros])?;
            self.number(thousandths)?;
        }
        self.parts(&["\n"])
    }
}

/// What the names of all metrics begin with.
const PREFIX: &str = "bottlerocket_";

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
