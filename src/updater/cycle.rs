//! One cycle of the updater: from whatever the node's state is to Ready, or to
//! nothing to do, or to a failure.
//!
//! The cycle knows neither sockets nor clocks. It says which call to make after
//! which pause, is given the answer and the time, and says what comes next:
//!
//! ```text
//!              423: pause
//!              ┌──────┐
//!              ▼      │   plan: a command        204
//!  begin ──▶ Look ────┴────────────────▶ Send ─────────▶ Follow ◀─┐
//!             ▲ │ plan: nothing           │ │  no answer   │ │    │ 423: pause
//!             │ ▼                         │ └─────────────▶│ └────┘
//!             │ end                       │ 423, 409, 404  │
//!             └───────────────────────────┘                │ it succeeded:
//!             └────────────────────────────────────────────┘ plan anew
//! ```
//!
//! A 204 says that a command has started. That it is done, the status says: the
//! timestamp of the last command is another one than before it was sent.

use crate::api::status::{LastCommand, Status, Text, copy};
use crate::api::{Answer, Call, CallError, Command};
use crate::updater::event::{Event, Update};
use crate::updater::history::History;
use crate::updater::plan::{Inputs, Plan, plan};
use crate::updater::window::Windows;
use core::time::Duration;

/// The pause before a status is asked for again, at first and at most. Reading
/// the status takes the lock for a moment, which can make somebody else's
/// command fail.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long the status may be readable without telling of a command that has
/// started, until that is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// When it is told for the first time that a command is still running; after four
/// times that for the second time, and so on.
const STILL_RUNNING: Duration = Duration::from_secs(60);
/// How many commands one cycle starts. An update takes three, and three more if
/// another version is chosen meanwhile.
const COMMANDS_MAX: u8 = 8;
/// How often one cycle looks again because the API does not allow a command.
const NOT_ALLOWED_MAX: u8 = 3;

/// What the operator has set for all cycles.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long each command may take, in the order of [`Command::ALL`].
    pub timeouts: [Duration; Command::ALL.len()],
    /// Whether an update that is Ready is replaced by one that is chosen since.
    pub refresh_ready: bool,
    /// Whether updates are left to others to activate.
    pub stage_only: bool,
    /// When updates may be prepared and activated; without one, always.
    pub windows: Windows,
}

/// A moment, on two clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// The time since any fixed point; it never goes back.
    pub now: Duration,
    /// The time since 1970-01-01 00:00:00 UTC, which somebody may set.
    pub utc: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            timeouts: [minutes(1), minutes(30), minutes(1), minutes(1)],
            refresh_ready: false,
            stage_only: false,
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
    /// The node is Ready, or there is nothing to do. An event told which.
    Done,
    /// Something failed. An event told what.
    Failed,
    /// A call had no usable answer. No event told of it.
    NoAnswer,
}

/// A cycle that is under way.
// What is small comes first: reaching it takes less code.
#[derive(Debug)]
#[repr(C)]
pub struct Cycle {
    phase: Phase,
    /// The command that is sent, or was sent last.
    command: Command,
    /// The command that was sent last, once it is sure that it started.
    started: Option<Command>,
    refreshed: bool,
    commands: u8,
    not_allowed: u8,
    /// Whether a command was sent, not answered, and never started.
    lost: bool,
    pause: Duration,
    /// Since when somebody else's command has held the lock.
    busy_since: Option<Duration>,
    /// Since when the command has been followed.
    since: Duration,
    /// Since when the status has been readable without telling of it.
    silent_since: Option<Duration>,
    /// After which time it is told that it is still running.
    tell_after: Duration,
    /// The timestamp of the last command before this one.
    before: Text,
    /// What the command that is sent, or was sent last, is about.
    update: Update,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The status is asked for.
    Look,
    /// The command is sent.
    Send,
    /// The command runs, and the status is asked for.
    Follow,
}

/// What a cycle goes by beside the answers.
pub struct Context<'a> {
    /// When the answer came.
    pub at: Now,
    /// What the operator has set.
    pub settings: &'a Settings,
    /// What is known of earlier boots.
    pub history: &'a mut History,
}

impl Cycle {
    /// A cycle, and the call that it begins with.
    #[inline(never)]
    pub fn begin() -> (Self, Call) {
        let cycle = Self {
            phase: Phase::Look,
            command: Command::Refresh,
            pause: PAUSE,
            busy_since: None,
            refreshed: false,
            commands: 0,
            not_allowed: 0,
            lost: false,
            update: Update::default(),
            started: None,
            before: Text::new(),
            since: Duration::ZERO,
            silent_since: None,
            tell_after: Duration::ZERO,
        };
        (cycle, Call::Status)
    }

    /// Takes the answer to the last call, and says what comes next. `tell` is
    /// told what happened.
    #[inline(never)]
    pub fn on_answer(
        &mut self,
        mut given: Context,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let given = &mut given;
        match self.phase {
            Phase::Look => self.on_status(given, answer, emit),
            Phase::Send => self.on_sent(given, answer, emit),
            Phase::Follow => self.on_progress(given, answer, emit),
        }
    }

    #[inline(never)]
    fn on_status(
        &mut self,
        given: &mut Context,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        match answer {
            Ok(Answer::Status(status)) => self.decide(given, Some(status), None, emit),
            Ok(Answer::Uninitialized) => self.decide(given, None, None, emit),
            Ok(Answer::Busy) => self.wait_for_others(given, emit),
            // The other answers are none to this call.
            Ok(Answer::Started | Answer::NotAllowed(_)) | Err(_) => Step::End(End::NoAnswer),
        }
    }

    /// Decides what to do about `status`, which `succeeded` has left behind.
    #[inline(never)]
    fn decide(
        &mut self,
        given: &mut Context,
        status: Option<&Status>,
        succeeded: Option<Command>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let Context { at: Now { utc, .. }, settings, history } = given;
        if let Some(status) = status {
            history.observe(*utc, status, emit);
        }
        let chosen = status.and_then(|status| status.chosen);
        let held = chosen.and_then(|chosen| history.hold_for(*utc, chosen));
        let plan = plan(Inputs {
            status,
            refreshed: self.refreshed,
            refresh_ready: settings.refresh_ready,
            stage_only: settings.stage_only,
            held_back: held.is_some(),
            closed: !settings.windows.is_open(*utc),
        });
        let command = match (plan, status) {
            (Plan::Run(command), _) => command,
            // Without a status there is always something to do.
            (_, None) => return Step::End(End::NoAnswer),
            (plan, Some(status)) => {
                emit(match (plan, &held) {
                    (Plan::Staged, _) => Event::Staged(status),
                    (Plan::HeldBack, Some((held, left))) => {
                        Event::HeldBack { entry: held, retry_in: *left }
                    }
                    (Plan::Closed, _) => {
                        let left = settings.windows.next_open(*utc).unwrap_or_default();
                        Event::WindowClosed { status, opens: utc.saturating_add(left) }
                    }
                    (Plan::Ready, _) => Event::Ready(status),
                    _ => Event::NothingToDo(status),
                });
                return Step::End(End::Done);
            }
        };
        self.start(command, succeeded == Some(command), status, history, emit)
    }

    /// Sends `command`, unless it has just succeeded and is to do the same again.
    #[inline(never)]
    fn start(
        &mut self,
        command: Command,
        mut again: bool,
        status: Option<&Status>,
        history: &mut History,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let running = status.and_then(|status| status.running).unwrap_or_default();
        let chosen = status.and_then(|status| status.chosen).unwrap_or_default();
        let update = Update::new(running, chosen);
        again &= self.update == update;
        self.update = update;
        if again || self.commands == COMMANDS_MAX {
            emit(Event::CommandWithoutEffect { command });
            return Step::End(End::Failed);
        }
        if command == Command::Activate {
            history.activating(chosen, running);
        }
        let last = status.and_then(|status| status.last_command.as_ref());
        self.before = copy(last.map_or("", |last| last.timestamp));
        self.command = command;
        self.phase = Phase::Send;
        Step::Call(Call::Start(command), Duration::ZERO)
    }

    #[inline(never)]
    fn on_sent(
        &mut self,
        given: &mut Context,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        self.started = None;
        let started = matches!(answer, Ok(Answer::Started));
        // It may have started all the same: the status will tell.
        let is_unknown =
            matches!(answer, Err(error) if error.may_have_been_sent() && !error.is_refusal());
        if self.command == Command::Activate && !started && !is_unknown {
            given.history.activation_refused();
        }
        match answer {
            _ if started || is_unknown => {}
            Ok(Answer::Busy) => {
                self.phase = Phase::Look;
                return self.wait_for_others(given, emit);
            }
            // The state is another one by now.
            Ok(Answer::NotAllowed(_)) if self.not_allowed < NOT_ALLOWED_MAX => {
                self.not_allowed += 1;
                self.phase = Phase::Look;
                return self.ask_again();
            }
            Ok(Answer::NotAllowed(refusal)) => {
                emit(Event::CommandRefused { command: self.command, refusal });
                return Step::End(End::Failed);
            }
            _ => return Step::End(End::NoAnswer),
        }
        if started {
            self.note_start(emit);
        }
        self.commands += 1;
        self.busy_since = None;
        self.pause = PAUSE;
        self.phase = Phase::Follow;
        self.since = given.at.now;
        self.silent_since = None;
        self.tell_after = STILL_RUNNING;
        self.ask_again()
    }

    #[inline(never)]
    fn on_progress(
        &mut self,
        given: &mut Context,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let command = self.command;
        let now = given.at.now;
        let took = now.saturating_sub(self.since);
        let status = match answer {
            Ok(Answer::Status(status)) => Some(Some(status)),
            Ok(Answer::Uninitialized) => Some(None),
            Ok(Answer::Busy) => {
                self.note_start(emit);
                None
            }
            Ok(Answer::Started | Answer::NotAllowed(_)) | Err(_) => None,
        };
        let last = status.flatten().and_then(|status| status.last_command.as_ref());
        match (status, last) {
            (Some(status), Some(last)) if last.timestamp != self.before => {
                return self.on_finished(given, took, status, last, emit);
            }
            // It never started. Once, that may be an accident.
            (Some(_), _) if self.started.is_none() && self.lost => {
                return Step::End(End::NoAnswer);
            }
            (Some(status), _) if self.started.is_none() => {
                self.lost = true;
                return self.decide(given, status, None, emit);
            }
            (Some(_), _) => {
                let since = *self.silent_since.get_or_insert(now);
                if now.saturating_sub(since) >= SILENCE_MAX {
                    emit(Event::CommandVanished { command });
                    return Step::End(End::Failed);
                }
            }
            (None, _) => self.silent_since = None,
        }
        let timeout = given.settings.timeout(command);
        if took >= timeout {
            emit(Event::CommandOverdue { command, timeout });
            return Step::End(End::Failed);
        }
        if took >= self.tell_after {
            self.tell_after = took.saturating_mul(4);
            emit(Event::StillRunning { command, took });
        }
        self.ask_again()
    }

    /// A command has ended since one was sent, which took `took`.
    #[inline(never)]
    fn on_finished(
        &mut self,
        given: &mut Context,
        took: Duration,
        status: Option<&Status>,
        last: &LastCommand,
        emit: &mut dyn FnMut(Event),
    ) -> Step {
        let command = self.command;
        let ours = last.name == command.name();
        // If another command has ended since, the state alone tells.
        if ours {
            self.note_start(emit);
            if !last.succeeded() {
                // What was to be activated was not, and is not to be missed later.
                if let Some(status) = status {
                    given.history.observe(given.at.utc, status, emit);
                }
                emit(Event::CommandFailed { command, last, took });
                return Step::End(End::Failed);
            }
            self.refreshed |= command == Command::Refresh;
            let image = match command {
                Command::Refresh => status.and_then(|status| status.chosen),
                // Another version may have been chosen since it was decided.
                _ => status.and_then(|status| status.staged),
            };
            let version = match (command, image) {
                (_, Some(image)) => image.version,
                (Command::Refresh, None) => "",
                (_, None) => &self.update.chosen.version,
            };
            emit(Event::succeeded(command, version, took));
        }
        self.decide(given, status, Some(command).filter(|_| ours), emit)
    }

    /// Whether the command that was sent last is this one, and it is sure that
    /// it started.
    pub fn has_started(&self, command: Command) -> bool {
        self.started == Some(command)
    }

    fn note_start(&mut self, emit: &mut dyn FnMut(Event)) {
        let known = self.started.replace(self.command).is_some();
        if self.command == Command::Prepare && !known {
            emit(Event::Preparing(&self.update));
        }
    }

    fn wait_for_others(&mut self, given: &Context, emit: &mut dyn FnMut(Event)) -> Step {
        let now = given.at.now;
        if self.busy_since.is_none() {
            emit(Event::LockHeld);
        }
        let busy = now.saturating_sub(*self.busy_since.get_or_insert(now));
        // Longer than anybody's command may take.
        if given.settings.timeouts.iter().all(|timeout| busy >= *timeout) {
            emit(Event::LockStuck { after: busy });
            return Step::End(End::Failed);
        }
        self.ask_again()
    }

    fn ask_again(&mut self) -> Step {
        let pause = self.pause;
        self.pause = PAUSE_MAX.min(pause.saturating_mul(2));
        Step::Call(Call::Status, pause)
    }
}

#[cfg(test)]
pub(crate) mod tests;
