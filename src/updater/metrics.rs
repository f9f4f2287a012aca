//! The metrics of the updater, and the page that Prometheus scrapes.
//!
//! Names and units follow the conventions of Prometheus: seconds, `_total` for a
//! counter, `_info` for a gauge that is 1 and has its information in its labels.

use crate::api::status::{Image, OwnedImage, State};
use crate::api::{Answer, Call, CallError, Command};
use crate::http::page::Page;
use crate::reporting::log::Quoted;
use crate::text::duration::HumanDuration;
use crate::text::{Show, display, put};
use crate::updater::cycle::{Now, Settings};
use crate::updater::event::{Event, EventKind};
use crate::updater::history::History;
use crate::updater::last_reboot::LastReboot;
use core::time::Duration;
use heapless::VecView;

/// What has happened since the updater started, and the last known status of the
/// node.
#[derive(Debug)]
pub struct Metrics {
    /// How long the API may be silent before the updater is unhealthy.
    silence_max: Duration,
    /// The state of the update; `None` if it is not known.
    state: Option<State>,
    running: Option<OwnedImage>,
    chosen: Option<OwnedImage>,
    /// Whether an update is Staged, and could be activated.
    can_be_activated: bool,
    /// Whether newer versions are offered and none is chosen.
    offered_but_not_chosen: bool,
    /// Whether the API answered the last call.
    api_reachable: bool,
    /// When the API last answered, or when the updater started if it never has.
    last_answer: Duration,
    /// Whether the API has ever answered.
    ever_answered: bool,
    last_error: Option<LastError>,
    /// In the order of [`Command::ALL`].
    commands: [CommandMetrics; Command::ALL.len()],
    /// How often each event happened, in the order of [`EventKind::ALL`].
    events: [u32; EventKind::ALL.len()],
}

/// The last error: a call that failed, or an event of the level `error`.
#[derive(Debug, Clone, Copy)]
struct LastError {
    class: &'static str,
    at: Duration,
}

/// What has become of one command, each time that it was sent.
#[derive(Debug, Clone, Copy, Default)]
struct CommandMetrics {
    /// How often it ended in each way, in the order of [`Outcome::ALL`].
    outcomes: [u32; Outcome::ALL.len()],
    last_success: Option<Success>,
}

/// The last success of a command.
#[derive(Debug, Clone, Copy)]
struct Success {
    at: Duration,
    /// `None` if the updater did not see its beginning.
    took: Option<Duration>,
}

/// How a command that was sent has ended.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Success,
    Failed,
    Overdue,
    Vanished,
    Refused,
}

impl Outcome {
    const ALL: [Self; 5] =
        [Self::Success, Self::Failed, Self::Overdue, Self::Vanished, Self::Refused];

    /// Its name, the value of a label.
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Overdue => "overdue",
            Self::Vanished => "vanished",
            Self::Refused => "refused",
        }
    }
}

/// Why the updater is not healthy or not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unhealthy {
    /// The API has not answered for too long.
    Silence {
        /// The time since the API last answered.
        silence: Duration,
        /// The longest time that is healthy.
        limit: Duration,
    },
    /// The API has not answered since the updater started.
    NoAnswer,
}

impl Show for Unhealthy {
    fn show(&self, buffer: &mut VecView<u8>) {
        match *self {
            Self::Silence { silence, limit } => {
                let (silence, limit) = (HumanDuration(silence), HumanDuration(limit));
                put!(buffer, "no answer from the API for ", silence, " (limit ", limit, ")");
            }
            Self::NoAnswer => put!(buffer, "the API has not answered yet"),
        }
    }
}
display!(Unhealthy);

impl Metrics {
    /// The metrics at the start of the updater, at `now` on any clock that never
    /// goes back. The updater is unhealthy if the API does not answer for longer
    /// than `silence_max`.
    pub fn new(now: Duration, silence_max: Duration) -> Self {
        Self {
            silence_max,
            state: None,
            running: None,
            chosen: None,
            can_be_activated: false,
            offered_but_not_chosen: false,
            api_reachable: false,
            last_answer: now,
            ever_answered: false,
            last_error: None,
            commands: [CommandMetrics::default(); Command::ALL.len()],
            events: [0; EventKind::ALL.len()],
        }
    }

    /// Takes note of the result of a call, at `now`.
    pub fn note_answer(&mut self, now: Duration, answer: &Result<Answer, CallError>) {
        self.api_reachable = match answer {
            Ok(_) => true,
            Err(error) => error.is_refusal(),
        };
        if self.api_reachable {
            self.last_answer = now;
            self.ever_answered = true;
        }
        match answer {
            Ok(Answer::Status(status)) => {
                self.state = Some(status.state);
                self.running = status.running.map(OwnedImage::new);
                self.chosen = status.chosen.map(OwnedImage::new);
                let has_failed = status.last_command.is_some_and(|last| last.forbids_activate());
                self.can_be_activated = status.staged_is_chosen() && !has_failed;
                self.offered_but_not_chosen = status.offered_but_not_chosen().is_some();
            }
            Ok(Answer::Uninitialized) => {
                self.state = None;
                self.chosen = None;
                self.can_be_activated = false;
                self.offered_but_not_chosen = false;
            }
            // These say nothing about the status.
            Ok(Answer::Started | Answer::Busy | Answer::NotAllowed(_)) => {}
            // There is no event for an error that has been logged before.
            Err(error) => {
                self.last_error = Some(LastError { class: error.kind().name(), at: now });
            }
        }
    }

    /// Takes note of an event, at `now`.
    pub fn note_event(&mut self, now: Duration, event: &Event) {
        increment(&mut self.events, event.kind() as usize);
        if let Some(class) = event.error_class() {
            self.last_error = Some(LastError { class, at: now });
        }
        match *event {
            Event::Refreshed { took, .. } => self.note_success(Command::Refresh, now, took),
            Event::Prepared { took, .. } => self.note_success(Command::Prepare, now, took),
            Event::Activated { took, .. } => self.note_success(Command::Activate, now, took),
            Event::Deactivated { took, .. } => self.note_success(Command::Deactivate, now, took),
            Event::CommandFailed { command, .. } => self.note_outcome(command, Outcome::Failed),
            Event::CommandOverdue { command, .. } => self.note_outcome(command, Outcome::Overdue),
            Event::CommandVanished { command, .. } => self.note_outcome(command, Outcome::Vanished),
            Event::CommandRefused { command, .. } => self.note_outcome(command, Outcome::Refused),
            Event::ApiCall { call: Call::Start(command), answer: Err(error), .. }
                if error.is_refusal() =>
            {
                self.note_outcome(command, Outcome::Refused);
            }
            _ => {}
        }
    }

    fn note_success(&mut self, command: Command, now: Duration, took: Option<Duration>) {
        self.note_outcome(command, Outcome::Success);
        if let Some(metrics) = self.commands.get_mut(command.number()) {
            metrics.last_success = Some(Success { at: now, took });
        }
    }

    fn note_outcome(&mut self, command: Command, outcome: Outcome) {
        if let Some(metrics) = self.commands.get_mut(command.number()) {
            increment(&mut metrics.outcomes, outcome as usize);
        }
    }

    /// Whether the updater is healthy at `now`.
    ///
    /// # Errors
    ///
    /// The API has been silent for too long.
    pub fn health(&self, now: Duration) -> Result<(), Unhealthy> {
        let silence = now.saturating_sub(self.last_answer);
        match silence > self.silence_max {
            true => Err(Unhealthy::Silence { silence, limit: self.silence_max }),
            false => Ok(()),
        }
    }

    /// Whether the updater is ready: the API has answered a call, even with an error.
    /// After a boot the status is not known until the first refresh, and a rollout
    /// of the DaemonSet does not wait for that.
    ///
    /// # Errors
    ///
    /// The API has not answered yet.
    pub fn readiness(&self) -> Result<(), Unhealthy> {
        match self.ever_answered {
            true => Ok(()),
            false => Err(Unhealthy::NoAnswer),
        }
    }

    /// Writes the page with all metrics at `at`, in the text format of
    /// Prometheus. The longest page fits: a test writes it.
    pub fn write(
        &self,
        at: Now,
        history: &History,
        last_reboot: &LastReboot,
        settings: &Settings,
        page: &mut Page,
    ) {
        let windows = &settings.windows;
        let mut page = Writer { page, metric: "" };

        page.gauge("bottlerocket_updater_build_info", "Version of the updater.");
        page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);

        page.gauge(
            "bottlerocket_update_state",
            "State of the node's update: 1 for the current state, 0 for all others.",
        );
        for state in State::ALL {
            page.sample(&[("state", state.name())], u64::from(self.state == Some(state)));
        }
        page.sample(&[("state", "Unknown")], u64::from(self.state.is_none()));

        page.gauge(
            "bottlerocket_update_waits_for_reboot",
            "1 if an update waits for the reboot: Ready, or Staged with -activate-at-reboot.",
        );
        let is_ready = self.state == Some(State::Ready);
        let is_staged = settings.activate_at_reboot && self.can_be_activated;
        page.sample(&[], u64::from(is_ready || is_staged));

        page.gauge("bottlerocket_os_info", "Operating system image that the node is running.");
        if let Some(running) = &self.running {
            page.sample(&image_labels(running.image()), 1);
        }

        page.gauge(
            "bottlerocket_update_chosen_info",
            "Operating system image that the node would prepare next.",
        );
        if let Some(chosen) = &self.chosen {
            page.sample(&image_labels(chosen.image()), 1);
        }

        page.gauge(
            "bottlerocket_update_offered_not_chosen",
            "1 if newer versions are offered but none is chosen, otherwise 0.",
        );
        page.sample(&[], u64::from(self.offered_but_not_chosen));

        page.gauge(
            "bottlerocket_update_held_back_versions",
            "Number of versions that the updater remembers because they did not boot.",
        );
        page.sample(&[], history.held().count() as u64);

        page.gauge(
            "bottlerocket_update_held_back_failed_boots",
            "Number of times that the version did not boot.",
        );
        for held in history.held() {
            page.sample(&image_labels(held.image.image()), held.failed_boots);
        }

        page.gauge(
            "bottlerocket_update_soak_remaining_seconds",
            "Time until the chosen version has soaked, as of the last call; absent if none soaks.",
        );
        let soak = self.chosen.as_ref().and_then(|chosen| history.soaks_for(chosen.image()));
        if let Some(left) = soak {
            page.seconds(&[], left);
        }

        page.gauge(
            "bottlerocket_update_soak_replaced_versions",
            "Number of versions in a row that another one replaced while they soaked.",
        );
        page.sample(&[], history.replaced_while_soaking());

        page.gauge(
            "bottlerocket_update_held_by_gate",
            "Number of times that the version was booted in vain while the gate holds the node.",
        );
        if let Some(held) = last_reboot.held() {
            let [version, variant, arch] = image_labels(held.image.image());
            page.sample(&[version, variant, arch, ("running", &held.running)], held.attempts);
        }

        let is_open = windows.is_open(at.utc);
        page.gauge(
            "bottlerocket_update_window_open",
            "1 if an update may begin now, 0 if it waits for a window.",
        );
        page.sample(&[], u64::from(is_open));

        page.gauge(
            "bottlerocket_update_window_next_open_timestamp_seconds",
            "Unix time at which the next window opens; absent while an update may begin.",
        );
        let opens_in = if is_open { None } else { windows.next_open(at.utc) };
        let opens = opens_in.map(|left| windows.local_time(at.utc.saturating_add(left)));
        if let Some(opens) = opens {
            page.seconds(&[], opens.utc);
        }

        page.gauge(
            "bottlerocket_update_window_next_open_utc_offset_seconds",
            "Offset from UTC of local time when the next window opens; absent while an update may begin.",
        );
        if let Some(opens) = opens {
            page.signed_sample(&[], opens.offset.into());
        }

        page.gauge(
            "bottlerocket_api_reachable",
            "1 if the API answered the last call, even with an error; 0 if it did not.",
        );
        page.sample(&[], u64::from(self.api_reachable));

        page.gauge(
            "bottlerocket_api_last_answer_age_seconds",
            "Time since the API last answered, or since the updater started if it never has.",
        );
        page.seconds(&[], at.now.saturating_sub(self.last_answer));

        let class = self.last_error.map_or("none", |error| error.class);
        page.gauge("bottlerocket_updater_last_error_info", "Class of the last error, or none.");
        page.sample(&[("class", class)], 1);

        let error_at = self.last_error.map_or(at.now, |error| error.at);
        page.gauge(
            "bottlerocket_updater_last_error_age_seconds",
            "Time since the last error, or 0 if there was none.",
        );
        page.seconds(&[], at.now.saturating_sub(error_at));

        page.counter(
            "bottlerocket_update_commands_total",
            "Number of update commands that were sent, by command and outcome.",
        );
        for (command, metrics) in self.by_command() {
            for (outcome, count) in Outcome::ALL.into_iter().zip(metrics.outcomes) {
                let labels = [("command", command.name()), ("outcome", outcome.name())];
                page.sample(&labels, count.into());
            }
        }

        page.gauge(
            "bottlerocket_update_last_success_age_seconds",
            "Time since the command last succeeded.",
        );
        for (command, metrics) in self.by_command() {
            if let Some(success) = metrics.last_success {
                page.seconds(&[("command", command.name())], at.now.saturating_sub(success.at));
            }
        }

        page.gauge(
            "bottlerocket_update_last_success_duration_seconds",
            "Time that the command took when it last succeeded.",
        );
        for (command, metrics) in self.by_command() {
            if let Some(Success { took: Some(took), .. }) = metrics.last_success {
                page.seconds(&[("command", command.name())], took);
            }
        }

        page.counter(
            "bottlerocket_updater_events_total",
            "Number of events, by their name in the log.",
        );
        for (kind, count) in EventKind::ALL.into_iter().zip(self.events) {
            page.sample(&[("event", kind.name())], count.into());
        }
    }

    fn by_command(&self) -> impl Iterator<Item = (Command, &CommandMetrics)> {
        Command::ALL.into_iter().zip(&self.commands)
    }
}

/// Adds 1 to the counter at `index`. A counter stays at the largest number.
fn increment(counters: &mut [u32], index: usize) {
    if let Some(counter) = counters.get_mut(index) {
        *counter = counter.saturating_add(1);
    }
}

/// The name and the value of a label.
type Label<'a> = (&'a str, &'a str);

fn image_labels(image: Image) -> [Label; 3] {
    [("version", image.version), ("variant", image.variant), ("arch", image.arch)]
}

/// Writes one metric after the other: its help, its type and its samples.
struct Writer<'p> {
    page: &'p mut VecView<u8>,
    /// The name of the metric that is being written.
    metric: &'static str,
}

impl Writer<'_> {
    /// Begins a metric that goes up and down.
    fn gauge(&mut self, metric: &'static str, help: &str) {
        self.begin(metric, "gauge", help);
    }

    /// Begins a metric that only goes up.
    fn counter(&mut self, metric: &'static str, help: &str) {
        self.begin(metric, "counter", help);
    }

    fn begin(&mut self, metric: &'static str, kind: &str, help: &str) {
        self.metric = metric;
        put!(self.page, "# HELP ", metric, " ", help, "\n");
        put!(self.page, "# TYPE ", metric, " ", kind, "\n");
    }

    /// Writes a sample whose value is a whole number.
    fn sample(&mut self, labels: &[Label], value: u64) {
        self.begin_sample(labels);
        put!(self.page, value, "\n");
    }

    /// Writes a sample whose value may be below zero.
    fn signed_sample(&mut self, labels: &[Label], value: i64) {
        self.begin_sample(labels);
        put!(self.page, value, "\n");
    }

    /// Writes a sample whose value is in seconds, to the millisecond, without trailing
    /// zeros.
    fn seconds(&mut self, labels: &[Label], value: Duration) {
        self.begin_sample(labels);
        put!(self.page, value.as_secs());
        let millis = value.subsec_millis();
        match (millis / 100, millis / 10 % 10, millis % 10) {
            (0, 0, 0) => {}
            (tenths, 0, 0) => put!(self.page, ".", tenths),
            (tenths, hundredths, 0) => put!(self.page, ".", tenths, hundredths),
            (tenths, hundredths, rest) => put!(self.page, ".", tenths, hundredths, rest),
        }
        put!(self.page, "\n");
    }

    /// Writes all of a sample that is before its value.
    fn begin_sample(&mut self, labels: &[Label]) {
        put!(self.page, self.metric);
        let mut before = "{";
        for (name, value) in labels {
            put!(self.page, before, name, "=", Quoted(value));
            before = ",";
        }
        put!(self.page, if labels.is_empty() { " " } else { "} " });
    }
}

#[cfg(test)]
mod tests;
