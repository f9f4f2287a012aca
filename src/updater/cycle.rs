//! One cycle of the updater: from the node's state to Ready, to nothing to do, or
//! to a failure.
//!
//! The cycle knows neither sockets nor clocks. It says which call to make after
//! which pause, gets the answer and the time, and says what comes next:
//!
//! ```text
//!           ┌───────── 423, 404, 409 ─────────┐
//!           ▼                                 │
//! begin ─▶ Look ────▶ plan ────────────────▶ Send ───────────────▶ Follow ─┐
//!          ▲  │       │  ▲     a command          204, no answer    ▲  │   │
//!          └──┘       ▼  │                                          └──┘   │
//!          423      end  └─────────────────────────────────────────────────┘
//!                          the command has finished, or it never started
//! ```
//!
//! A 204 means that a command has started. The status shows that it has finished: the
//! last command has another timestamp than before the command was sent. Each phase can
//! also end the cycle because of a failure.

use crate::api::status::{LastCommand, State, Status, Text, copy};
use crate::api::{Answer, Call, CallError, Command};
use crate::updater::commands::{Commands, Ended, Overdue};
use crate::updater::event::{Event, Update};
use crate::updater::history::{Finding, History};
use crate::updater::last_reboot::LastReboot;
use crate::updater::plan::{Inputs, Plan, plan};
use crate::updater::window::Windows;
use core::mem;
use core::time::Duration;

/// While a command runs, the pause before the status is read again is this part of the
/// time that the command has been running. So its end is noticed at most 1/24 late.
const PAUSE_PART: u32 = 24;
/// The shortest pause before the status is read again.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// The longest pause before the status is read again.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The pause before the status is read again if the state does not fit the command: the
/// API does not allow it, or it is not known to have started. The pause doubles each time
/// that the API does not allow a command.
const PAUSE_UNFIT: Duration = Duration::from_millis(200);
/// How long the status may be readable without the result of a command that has
/// started. After that, the command counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// When a running command is reported for the first time. The time to each next
/// report is four times as long.
const STILL_RUNNING: Duration = Duration::from_secs(60);
/// How long an update may be Ready where the reboot program activates it, right before the
/// reboot. This is longer than its timeout.
const READY_MAX: Duration = Duration::from_secs(10 * 60);
/// How many commands one cycle starts. An update takes three, and three more if
/// another version is chosen meanwhile.
const COMMANDS_MAX: u8 = 8;
/// How often one cycle reads the status again because the API does not allow a
/// command.
const NOT_ALLOWED_MAX: u8 = 3;

/// What the operator has set for all cycles.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long each command may take, in the order of [`Command::ALL`].
    pub timeouts: [Duration; Command::ALL.len()],
    /// The pause after a command has failed. It doubles with each failure.
    pub retry_after: Duration,
    /// Whether an update that is Ready is deactivated once it is no longer chosen.
    pub refresh_ready: bool,
    /// Whether activating is left to others.
    pub stage_only: bool,
    /// Whether activating is left to the reboot program.
    pub activate_at_reboot: bool,
    /// When updates may be prepared and activated. Without a window: always.
    pub windows: Windows,
}

impl Default for Settings {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            timeouts: [minutes(1), minutes(30), minutes(1), minutes(1)],
            retry_after: minutes(10),
            refresh_ready: true,
            stage_only: false,
            activate_at_reboot: false,
            windows: Windows::default(),
        }
    }
}

impl Settings {
    /// How long `command` may take.
    pub fn timeout(&self, command: Command) -> Duration {
        self.timeouts.get(command.number()).copied().unwrap_or_default()
    }
}

/// The time on three clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// The time since any fixed point; it never goes back.
    pub now: Duration,
    /// The time since the node booted; it goes on while the node is suspended.
    pub since_boot: Duration,
    /// The time since 1970-01-01 00:00:00 UTC. Somebody may set this clock.
    pub utc: Duration,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make this call after this pause, and give the answer to
    /// [`Cycle::on_answer`].
    Call(Call, Duration),
    /// The cycle is over.
    End(End),
}

/// How a cycle ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The node is Ready, or there is nothing to do. An event said which.
    Done,
    /// An update waits: for a window, for the end of a hold-back, or for others to
    /// activate it. An event said which.
    Waiting,
    /// Something failed. An event said what.
    Failed,
    /// A call had no usable answer. No event said so.
    NoAnswer,
}

/// A cycle in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cycle {
    phase: Phase,
    /// Whether a refresh has succeeded.
    refreshed: bool,
    /// How many commands were sent.
    commands: u8,
    /// How often the API did not allow a command.
    not_allowed: u8,
    /// Whether a command whose answer was lost never started.
    lost: bool,
    /// The command that the last answer showed to have started.
    confirmed: Option<Command>,
}

/// What the cycle is waiting for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    /// The status, to decide what to do.
    Look(Waiting),
    /// The answer to a command.
    Send(Sent, Waiting),
    /// The status, to see what becomes of a command.
    Follow(Following),
}

/// The wait for another client's command, if there is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Waiting {
    /// Since when that command has held the lock.
    busy_since: Option<Duration>,
}

/// A command that the cycle sends, and what was known before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sent {
    command: Command,
    /// What it is about.
    update: Update,
    /// The version that it prepares, activates or deactivates; empty for a refresh.
    version: Text,
    /// The timestamp of the last command before it.
    timestamp_before: Text,
}

/// A command that runs, or may run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Following {
    sent: Sent,
    /// Whether it is certain that the command has started. If the answer to it was
    /// lost, the status has to show it.
    started: bool,
    /// When it was sent.
    since: Duration,
    /// Since when the status has been readable without its result.
    silent_since: Option<Duration>,
    /// After which time it is reported as still running.
    report_after: Duration,
}

/// What a cycle needs besides the answer.
pub struct Context<'a> {
    /// When the answer came.
    pub at: Now,
    /// What the operator has set.
    pub settings: &'a Settings,
    /// What is remembered of earlier boots.
    pub history: &'a mut History,
    /// What is remembered of earlier commands.
    pub commands: &'a mut Commands,
    /// What the record of the last reboot means.
    pub last_reboot: &'a mut LastReboot,
}

impl Context<'_> {
    /// Compares what is remembered with a status; `None` if there has been no command
    /// since the node booted. Emits the outcome of a command that no cycle has seen, and
    /// what became of activated versions.
    pub fn observe(&mut self, status: Option<&Status>, emit: &mut dyn FnMut(Event)) {
        self.last_reboot.observe(self.at.now, status, emit);
        if self.settings.activate_at_reboot
            && let Some(record) = self.last_reboot.record()
        {
            self.history.note_reboot(record);
        }
        let others_activate = self.activates_at_reboot();
        let ended = self.commands.observe(self.at.now, status, others_activate);
        let Some(status) = status else { return };
        if let (Some(ended), Some(last)) = (&ended, &status.last_command) {
            let Ended { command, version, took, is_new } = ended;
            emit(match last.succeeded() {
                true => {
                    let version = resulting_version(*command, Some(status), version);
                    let chosen = status.chosen.unwrap_or_default().version;
                    Event::succeeded(*command, version, chosen, *took)
                }
                false => Event::CommandFailed { command: *command, version, last, took: *took },
            });
            // A restart begins anew.
            if *is_new && !last.succeeded() {
                self.note_failure(*command, version);
            }
        }
        observe(self.history, status, emit);
        if self.settings.activate_at_reboot {
            let is_staged = matches!(status.state, State::Staged | State::Ready);
            let staged = status.staged.filter(|_| is_staged).unwrap_or_default();
            self.history.note_staged(staged.version);
        }
        self.history.note_command(status);
    }

    /// Whether activating is left to the reboot program. On a node that the gate holds, it is
    /// not: that node is drained already.
    fn activates_at_reboot(&self) -> bool {
        self.settings.activate_at_reboot && self.last_reboot.held().is_none()
    }

    fn note_failure(&mut self, command: Command, version: &str) {
        self.commands.failed(self.at.now, self.settings.retry_after, command, version);
    }
}

/// The version that `command` has led to: the one that the status shows, or else the
/// one that it was sent for.
fn resulting_version<'a>(
    command: Command,
    status: Option<&Status<'a>>,
    sent_for: &'a str,
) -> &'a str {
    let image = match command {
        Command::Refresh => status.and_then(|status| status.chosen),
        // Another version may have been chosen since the decision.
        _ => status.and_then(|status| status.staged),
    };
    image.map_or(sent_for, |image| image.version)
}

/// Compares the history with a status, and emits what became of activated versions.
pub fn observe(history: &mut History, status: &Status, emit: &mut dyn FnMut(Event)) {
    history.observe(status, &mut |finding| {
        emit(match finding {
            Finding::Updated(entry) => Event::Updated(entry),
            Finding::RolledBack { entry, retry_in } => Event::RolledBack { entry, retry_in },
            Finding::TakenBack { entry, retry_in } => Event::TakenBack { entry, retry_in },
        });
    });
}

impl Cycle {
    /// A new cycle, and its first call.
    pub fn begin() -> (Self, Call) {
        let cycle = Self {
            phase: Phase::Look(Waiting::default()),
            refreshed: false,
            commands: 0,
            not_allowed: 0,
            lost: false,
            confirmed: None,
        };
        (cycle, Call::Status)
    }

    /// Takes the answer to the last call, and says what comes next. `emit` gets
    /// each event.
    pub fn on_answer(
        &mut self,
        mut context: Context,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let context = &mut context;
        self.confirmed = None;
        // Each of these sets the next phase, unless the cycle ends.
        match mem::replace(&mut self.phase, Phase::Look(Waiting::default())) {
            Phase::Look(waiting) => self.on_status(waiting, context, answer, emit),
            Phase::Send(sent, waiting) => self.on_sent(sent, waiting, context, answer, emit),
            Phase::Follow(following) => self.on_progress(following, context, answer, emit),
        }
    }

    fn on_status(
        &mut self,
        waiting: Waiting,
        context: &mut Context,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        match answer {
            Ok(Answer::Status(status)) => self.decide(waiting, context, Some(status), None, emit),
            Ok(Answer::Uninitialized) => self.decide(waiting, context, None, None, emit),
            Ok(Answer::Busy) => self.wait_for_others(waiting, context, emit),
            // The API gives no other answer to this call.
            Ok(Answer::Started | Answer::NotAllowed(_)) | Err(_) => Step::End(End::NoAnswer),
        }
    }

    /// Decides what to do about `status`, after the command `succeeded`.
    fn decide(
        &mut self,
        waiting: Waiting,
        context: &mut Context,
        status: Option<&Status>,
        succeeded: Option<&Sent>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        context.observe(status, emit);
        let activate_at_reboot = context.activates_at_reboot();
        let Context { at: Now { now, utc, .. }, settings, history, commands, last_reboot } =
            context;
        let chosen = status.and_then(|status| status.chosen);
        // After an activate that failed, there may be no refresh before the soak is over.
        if self.refreshed || commands.activate_failed() {
            history.note_offer(chosen);
        }
        // A node that the gate holds is drained, and gets back into service only with a
        // version that boots. It does not wait for a window or for a reboot command, nor does
        // the version soak again that the reboot was to bring.
        let held = last_reboot.held().map(|record| record.image.image());
        let soak = chosen
            .filter(|chosen| held != Some(*chosen))
            .and_then(|chosen| history.soaks_for(chosen));
        let hold = chosen.and_then(|chosen| history.hold_for(chosen));
        let plan = plan(Inputs {
            status,
            refreshed: self.refreshed,
            refresh_ready: settings.refresh_ready,
            reboot_requested: status.is_some_and(|status| last_reboot.is_pending(*now, status)),
            activate_failed: commands.activate_failed(),
            stage_only: settings.stage_only,
            activate_at_reboot,
            // With a record, the gate would take the boot of the old version for a failed one.
            ready_too_long: activate_at_reboot
                && last_reboot.ready_for(*now) >= READY_MAX
                && status.is_some_and(|status| !last_reboot.has_recorded(status)),
            held_back: hold.is_some(),
            soaking: soak.is_some(),
            closed: held.is_none() && !settings.windows.is_open(*utc),
            prepare_delayed: chosen.is_some_and(|chosen| {
                commands.retry_in(*now, Command::Prepare, chosen.version).is_some()
            }),
        });
        let command = match (plan, status) {
            (Plan::Run(command), _) => command,
            // Without a status there is always something to do.
            (_, None) => return Step::End(End::NoAnswer),
            (plan, Some(status)) => {
                emit(match (plan, &hold) {
                    (Plan::Staged, _) => Event::Staged(status),
                    (Plan::StagedForReboot, _) => Event::StagedForReboot(status),
                    (Plan::HeldBack, Some((entry, left))) => {
                        Event::HeldBack { entry, retry_in: *left }
                    }
                    (Plan::Soaking, _) => {
                        Event::Soaking { status, ready_in: soak.unwrap_or_default() }
                    }
                    (Plan::Closed, _) => {
                        let left = settings.windows.next_open(*utc).unwrap_or_default();
                        let opens = settings.windows.local_time(utc.saturating_add(left));
                        Event::WindowClosed { status, opens }
                    }
                    (Plan::Ready, _) => Event::Ready(status),
                    _ => Event::nothing_chosen(status),
                });
                return Step::End(match plan {
                    Plan::Staged | Plan::HeldBack | Plan::Soaking | Plan::Closed => End::Waiting,
                    Plan::Ready | Plan::StagedForReboot | Plan::Nothing | Plan::Run(_) => End::Done,
                });
            }
        };
        self.send(command, waiting, context, status, succeeded, emit)
    }

    /// Sends `command`, unless it has just succeeded and would do the same again, or has
    /// failed before and is not to be sent yet.
    fn send(
        &mut self,
        command: Command,
        waiting: Waiting,
        context: &mut Context,
        status: Option<&Status>,
        succeeded: Option<&Sent>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let running = status.and_then(|status| status.running).unwrap_or_default();
        let chosen = status.and_then(|status| status.chosen).unwrap_or_default();
        let update = Update::new(running, chosen);
        let version = match command {
            Command::Refresh => "",
            Command::Prepare | Command::Activate => chosen.version,
            Command::Deactivate => {
                status.and_then(|status| status.staged).unwrap_or_default().version
            }
        };
        let is_repeated =
            succeeded.is_some_and(|sent| sent.command == command && sent.update == update);
        if is_repeated || self.commands == COMMANDS_MAX {
            context.note_failure(command, version);
            emit(Event::CommandWithoutEffect { command, version });
            return Step::End(End::Failed);
        }
        if let Some(retry_in) = context.commands.retry_in(context.at.now, command, version) {
            emit(Event::RetryDelayed { command, version, retry_in });
            return Step::End(End::Waiting);
        }
        context.commands.sending();
        if command == Command::Activate {
            context.history.activating(chosen, running);
        }
        let last = status.and_then(|status| status.last_command.as_ref());
        let timestamp_before = copy(last.map_or("", |last| last.timestamp));
        context.history.sending(command, version, &timestamp_before);
        let sent = Sent { command, update, version: copy(version), timestamp_before };
        self.phase = Phase::Send(sent, waiting);
        Step::Call(Call::Start(command), Duration::ZERO)
    }

    fn on_sent(
        &mut self,
        sent: Sent,
        waiting: Waiting,
        context: &mut Context,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let started = matches!(answer, Ok(Answer::Started));
        // The command may have started nevertheless: the status will show it.
        let is_unknown =
            matches!(answer, Err(error) if error.may_have_been_sent() && !error.is_refusal());
        if sent.command == Command::Activate && !started && !is_unknown {
            context.history.activation_refused();
        }
        match answer {
            _ if started || is_unknown => {}
            Ok(Answer::Busy) => return self.wait_for_others(waiting, context, emit),
            // The state has changed since the status was read.
            Ok(Answer::NotAllowed(_)) if self.not_allowed < NOT_ALLOWED_MAX => {
                let pause = PAUSE_UNFIT.saturating_mul(1 << self.not_allowed);
                self.not_allowed += 1;
                return self.look_again(waiting, pause);
            }
            Ok(Answer::NotAllowed(refusal)) => {
                let Sent { command, version, .. } = &sent;
                emit(Event::CommandRefused { command: *command, version, refusal });
                return Step::End(End::Failed);
            }
            _ => return Step::End(End::NoAnswer),
        }
        self.commands += 1;
        let mut following = Following {
            sent,
            started: false,
            since: context.at.now,
            silent_since: None,
            report_after: STILL_RUNNING,
        };
        if started {
            self.confirm_start(&mut following, emit);
        }
        self.follow(following, context.at.now)
    }

    fn on_progress(
        &mut self,
        mut following: Following,
        context: &mut Context,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let command = following.sent.command;
        let now = context.at.now;
        let took = now.saturating_sub(following.since);
        let status = match answer {
            Ok(Answer::Status(status)) => Some(Some(status)),
            Ok(Answer::Uninitialized) => Some(None),
            Ok(Answer::Busy) => {
                self.confirm_start(&mut following, emit);
                None
            }
            Ok(Answer::Started | Answer::NotAllowed(_)) | Err(_) => None,
        };
        let last = status.flatten().and_then(|status| status.last_command.as_ref());
        match (status, last) {
            (Some(status), Some(last)) if last.timestamp != following.sent.timestamp_before => {
                return self.on_finished(following, took, context, status, last, emit);
            }
            // It never started. Once, that may be an accident.
            (Some(_), _) if !following.started && self.lost => {
                return Step::End(End::NoAnswer);
            }
            (Some(status), _) if !following.started => {
                self.lost = true;
                return self.decide(Waiting::default(), context, status, None, emit);
            }
            (Some(_), _) => {
                let since = *following.silent_since.get_or_insert(now);
                if now.saturating_sub(since) >= SILENCE_MAX {
                    let version = &following.sent.version;
                    context.note_failure(command, version);
                    emit(Event::CommandVanished { command, version });
                    return Step::End(End::Failed);
                }
            }
            (None, _) => following.silent_since = None,
        }
        let timeout = context.settings.timeout(command);
        if took >= timeout {
            let Sent { version, timestamp_before, .. } = following.sent;
            emit(Event::CommandOverdue { command, version: &version, timeout });
            let since = Some(following.since);
            context.commands.timed_out(Overdue { command, version, timestamp_before, since });
            return Step::End(End::Failed);
        }
        if took >= following.report_after {
            following.report_after = took.saturating_mul(4);
            emit(Event::StillRunning { command, took });
        }
        self.follow(following, now)
    }

    /// A command has finished since ours was sent, `took` ago.
    fn on_finished(
        &mut self,
        mut following: Following,
        took: Duration,
        context: &mut Context,
        status: Option<&Status>,
        last: &LastCommand,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let command = following.sent.command;
        if last.name != command.name() {
            // Another client's command has finished since. Only the state counts.
            if command == Command::Prepare {
                context.commands.prepare_ended();
            }
            return self.decide(Waiting::default(), context, status, None, emit);
        }
        self.confirm_start(&mut following, emit);
        if !last.succeeded() {
            // If this was an activate, the version does not count as activated.
            context.observe(status, emit);
            let version = &following.sent.version;
            context.note_failure(command, version);
            emit(Event::CommandFailed { command, version, last, took: Some(took) });
            return Step::End(End::Failed);
        }
        self.refreshed |= command == Command::Refresh;
        let version = resulting_version(command, status, &following.sent.version);
        let chosen = &following.sent.update.chosen.version;
        emit(Event::succeeded(command, version, chosen, Some(took)));
        self.decide(Waiting::default(), context, status, Some(&following.sent), emit)
    }

    /// Whether the last answer showed that `command` has started.
    pub fn has_confirmed(&self, command: Command) -> bool {
        self.confirmed == Some(command)
    }

    /// Takes note that the answer shows that the command has started.
    fn confirm_start(&mut self, following: &mut Following, emit: &mut dyn FnMut(Event)) {
        let Following { sent: Sent { command, update, .. }, started, .. } = following;
        self.confirmed = Some(*command);
        let was_known = mem::replace(started, true);
        if *command == Command::Prepare && !was_known {
            emit(Event::Preparing(update));
        }
    }

    fn wait_for_others(
        &mut self,
        mut waiting: Waiting,
        context: &mut Context,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let now = context.at.now;
        context.commands.lock_held();
        if waiting.busy_since.is_none() {
            emit(match context.commands.overdue() {
                Some(Overdue { command, since: Some(since), .. }) => {
                    let took = now.saturating_sub(*since);
                    Event::StillRunning { command: *command, took }
                }
                _ => Event::LockHeld,
            });
        }
        let busy = now.saturating_sub(*waiting.busy_since.get_or_insert(now));
        // Longer than any command may take.
        if context.settings.timeouts.iter().all(|timeout| busy >= *timeout) {
            emit(Event::LockStuck { after: busy });
            return Step::End(End::Failed);
        }
        self.look_again(waiting, pause_after(busy))
    }

    fn look_again(&mut self, waiting: Waiting, pause: Duration) -> Step {
        self.phase = Phase::Look(waiting);
        Step::Call(Call::Status, pause)
    }

    fn follow(&mut self, following: Following, now: Duration) -> Step {
        let pause = pause_after(now.saturating_sub(following.since));
        // The API may not have handled the command yet.
        let pause = if following.started { pause } else { pause.max(PAUSE_UNFIT) };
        self.phase = Phase::Follow(following);
        Step::Call(Call::Status, pause)
    }
}

/// The pause before the status is read again, if a command has been running for `running`.
fn pause_after(running: Duration) -> Duration {
    (running / PAUSE_PART).clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
pub(crate) mod tests;
