//! The decision of a reboot: which call to make next, and what the result is.
//!
//! Kured runs the reboot program after it has drained the node. On any exit status
//! but 0 Kured exits, starts again, uncordons the node and releases its lock, while
//! the node may be going down. On 0 it waits for the node to go down, without a
//! limit, and holds the lock that every other node needs. So the result must be a
//! success if the node reboots, and only then.
//!
//! Before the request, the status is read if it matters: with `-if-ready`, `-confirm`,
//! `-activate` or `-record`. With `-confirm`, a refresh shows whether the update that is Ready is
//! still the one that is chosen. If another one is chosen, or none, the update is
//! deactivated and there is no reboot. A refresh that fails is no obstacle: then the
//! last refresh that succeeded counts.
//!
//! With `-activate`, an update that is Staged and chosen is activated right before the
//! request. If the request fails, the update is deactivated again, so that no other reboot
//! boots it.
//!
//! ```text
//!   with -if-ready, -confirm, -activate or -record          without
//!        │                                                     │
//!        ▼            Ready, -confirm                          │
//!   ReadStatus ─────────────────────▶ Refresh                  │
//!    │   │                               │                     │
//!    │   │                               ▼                     │
//!    │   │         not Ready, locked   Follow                  │
//!    │   └────▶ end: no reboot ◀─────────┤                     │
//!    │   not Ready, locked               ├─────────────────────────────▶ Deactivate ◀─┐
//!    │                                   │                no longer chosen  │         │
//!    ▼              still chosen         │                     │            ▼         │
//!  (Activate ▶ CheckActivated)           │                     │     CheckDeactivated ┘
//!    ▼                                   │                     │            │
//!  Record ◀──────────────────────────────┘                     │            │
//!    │                                                         │            │
//!    └──────────────────────────┬──────────────────────────────┘            ▼
//!                               ▼   2xx, already shutting down       end: no reboot
//!                            Request ─────────────▶ end: success
//!                           ▲  │  │
//!                           └──┘  │ disconnected
//!                     no effect:  ▼   2xx, already shutting down,
//!                     pause    RequestAgain ──────▶ end: success
//!                             ▲   │   unreachable for the grace
//!                             └───┘
//!        unreachable, disconnected or no effect: pause
//!
//!   any other error, no effect until the timeout, too many disconnects
//!                                               ─────────────▶ end: failure
//! ```
//!
//! A request that had no effect is repeated until the timeout: the socket is missing
//! or refuses connections, or the API is too busy (408) or locked (423). The last one
//! has at least [`SHUTDOWN_GRACE`] to be answered.
//!
//! The result is unknown if the connection breaks after the request was sent. A
//! reboot stops the API server like every other service, and it does not come back.
//! A server that crashed is back within seconds, because systemd starts it again. So
//! the request is repeated, which does no harm, until one of these happens:
//!
//! - The API answers. The answer is the result.
//! - The API is unreachable for [`SHUTDOWN_GRACE`]. The node is going down.
//! - The connection keeps breaking, until the timeout or [`DISCONNECTS_MAX`] times.
//!   This is a failure.
//!
//! A connection that breaks during the repeated request starts the grace again: it
//! may be the last one before the node goes down, or the server may crash each time.
//!
//! There are no sockets, no files and no clock here. The program makes the call that
//! each step asks for, and passes the answer and the time. All times are of one clock
//! that never goes back.

pub mod end;
pub mod options;

use crate::api::status::{LastCommand, OwnedImage, State, Status, Text, copy};
use crate::api::{Answer, AnswerError, Call, CallError, Command, FailedCall, Retry};
use crate::cli::exit;
use crate::reboot::end::{Cause, End, Warning};
use crate::record::RebootRecord;
use core::time::Duration;
use rustix::io::Errno;

/// How long the API must be unreachable until the node counts as going down. This is
/// longer than a server that crashed is away: systemd starts it after 5 s
/// (`RestartSec` in Bottlerocket's `apiserver.service`).
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);
/// How often the connection of a repeated request may break.
pub const DISCONNECTS_MAX: u32 = 20;
/// The pause before a repeated request. With [`DISCONNECTS_MAX`], a server that
/// crashes on each request has at least 5 s to answer one.
const PAUSE: Duration = Duration::from_millis(250);
/// How long it may take to deactivate an update again that was activated for a reboot that
/// does not take place.
pub const UNDO_MAX: Duration = Duration::from_secs(10);
/// How long a refresh may take, or half of the time that is left.
pub const REFRESH_MAX: Duration = Duration::from_secs(30);
/// How long the status is tried to be read just for the record, or half of the time
/// that is left.
pub const STATUS_MAX: Duration = Duration::from_secs(10);

/// What was tried, for messages.
const READ_STATUS: &str = "read the update status from";
const REFRESH: &str = "refresh the updates through";
const REBOOT: &str = "reboot the node through";

/// What the operator has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The path of the API's socket, for messages.
    pub socket: &'static [u8],
    /// The time for the whole reboot. After a disconnect, it may take longer.
    pub timeout: Duration,
    /// Whether to reboot only if the update state is Ready.
    pub if_ready: bool,
    /// Whether to reboot only if the update state is Ready and what is Ready is still
    /// chosen after one more refresh.
    pub confirm: bool,
    /// Whether to activate an update that is Staged and chosen before the reboot. Reboots
    /// only if the update state is Ready then.
    pub activate: bool,
    /// Whether a record is kept.
    pub record: bool,
}

impl Settings {
    /// Whether to reboot only into an update.
    fn must_be_ready(&self) -> bool {
        self.if_ready || self.confirm || self.activate
    }
}

/// The next step.
#[derive(Debug, Clone, Copy)]
pub enum Step<'x> {
    /// Make this call after this pause, with the deadline that [`Reboot::deadline`]
    /// returns, and pass the answer to [`Reboot::on_answer`].
    Call(Call, Duration),
    /// Write the record that [`Reboot::record`] returns, or remove an old one if that
    /// is `None`. Then make the call [`Call::Reboot`], without a pause. Only with
    /// [`Settings::record`], and at most once.
    Record,
    /// Remove the record, and then make the call that deactivates the update, without a
    /// pause. The other way round, a node that goes down in between would take the record for
    /// that of a failed boot. Only with [`Settings::record`] and [`Settings::activate`].
    RemoveRecord,
    /// The result is known. If [`Reboot::voids_record`] says so, remove the record.
    End(End<'x>),
}

/// When a call was made.
#[derive(Debug, Clone, Copy)]
pub struct CallTime {
    /// When it began, after the pause.
    pub begun: Duration,
    /// When the answer, or the error, was there.
    pub ended: Duration,
}

/// A reboot that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reboot {
    settings: Settings,
    /// When the timeout ends.
    timeout_at: Duration,
    /// The update that the last status showed to be Ready, or Staged and to be activated.
    ready: Option<ReadyUpdate>,
    /// The timestamp of the last command before the refresh.
    timestamp_before: Text,
    phase: Phase,
}

/// An update that is Ready.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ReadyUpdate {
    /// The image that the next boot starts. Empty if it is unknown.
    image: OwnedImage,
    /// The version that runs. Empty if it is unknown.
    running: Text,
    /// Whether another image is chosen, or none.
    is_withdrawn: bool,
    /// Whether it is Staged, and has to be activated.
    is_staged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// The status decides whether there is a reboot.
    ReadStatus {
        retry: Retry,
        /// Whether the answer to the last call was 423.
        is_locked: bool,
        /// When this ends: at the timeout, or earlier if only the record needs the
        /// status.
        until: Duration,
    },
    /// A refresh is requested.
    Refresh(Refreshing),
    /// The refresh runs, or may run.
    Follow(Refreshing),
    /// An activate or a deactivate is requested.
    Change(Command, Retry),
    /// The status shows whether that worked.
    CheckChange(Change),
    Request {
        retry: Retry,
        /// Whether an earlier request had no effect.
        is_retried: bool,
    },
    RequestAgain(Outage),
}

/// A refresh before the reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Refreshing {
    retry: Retry,
    /// Whether it could not be requested. Then the status is read just once more.
    has_failed: bool,
    /// Whether the answer to the last call was 423, because of another client.
    is_locked: bool,
    /// How long it may take, and when that is over.
    limit: Duration,
    until: Duration,
}

/// An activate or a deactivate that was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Change {
    command: Command,
    retry: Retry,
    /// Whether the answer to the request was 423.
    was_locked: bool,
}

const FIRST_REQUEST: Phase = Phase::Request { retry: Retry::FIRST, is_retried: false };

/// What is known after a disconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Outage {
    /// When the connection broke last. Since then the API has been unreachable.
    since: Duration,
    /// How often the connection of a repeated request has broken.
    disconnects: u32,
    /// No request is repeated after a disconnect that is later than this.
    retry_until: Duration,
}

impl Outage {
    /// When the API counts as gone, unless it is reached before.
    fn gone_at(&self) -> Duration {
        self.since.saturating_add(SHUTDOWN_GRACE)
    }

    /// Asks for the next request. The last one comes at the end of the grace.
    fn request_again<'x>(&self, now: Duration) -> Step<'x> {
        Step::Call(Call::Reboot, PAUSE.min(self.gone_at().saturating_sub(now)))
    }
}

/// Takes a warning.
pub type Warn<'w> = &'w mut dyn FnMut(Warning);

impl Reboot {
    /// A reboot that begins at the time `now`, and its first call.
    pub fn begin(settings: Settings, now: Duration) -> (Self, Call) {
        let timeout_at = now.saturating_add(settings.timeout);
        let timestamp_before = Text::new();
        let phase = FIRST_REQUEST;
        let mut reboot = Self { settings, timeout_at, ready: None, timestamp_before, phase };
        let until = match settings {
            _ if settings.must_be_ready() => timeout_at,
            Settings { record: true, .. } => now.saturating_add(reboot.limit(now, STATUS_MAX)),
            _ => return (reboot, Call::Reboot),
        };
        reboot.phase = Phase::ReadStatus { retry: Retry::FIRST, is_locked: false, until };
        (reboot, Call::Status)
    }

    /// The deadline of a call that begins at the time `begun`.
    ///
    /// A repeated request has at least [`SHUTDOWN_GRACE`]: the server may be slow to
    /// answer, because it is rebooting the node.
    pub fn deadline(&self, begun: Duration) -> Duration {
        let timeout_at = match self.phase {
            Phase::ReadStatus { until, .. } => return until,
            Phase::Refresh(refreshing) | Phase::Follow(refreshing) => return refreshing.until,
            Phase::Change(..)
            | Phase::CheckChange(_)
            | Phase::Request { is_retried: false, .. } => return self.timeout_at,
            Phase::Request { is_retried: true, .. } => self.timeout_at,
            Phase::RequestAgain(outage) => outage.retry_until,
        };
        timeout_at.max(begun.saturating_add(SHUTDOWN_GRACE))
    }

    /// Takes the answer to the last call, and returns the next step. Warnings go to
    /// `warn`.
    // Not inlined: saves 1,024 bytes in the reboot program.
    #[inline(never)]
    pub fn on_answer<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        warn: Warn,
    ) -> Step<'x> {
        match self.phase {
            Phase::ReadStatus { retry, is_locked, until } => {
                self.on_status(time, answer, retry, is_locked, until, warn)
            }
            Phase::Refresh(refreshing) => self.on_refresh(time, answer, refreshing, warn),
            Phase::Follow(refreshing) => self.on_progress(time, answer, refreshing, warn),
            Phase::Change(command, retry) => self.on_change(time, answer, command, retry),
            Phase::CheckChange(change) => self.on_changed(time, answer, change, warn),
            Phase::Request { retry, .. } => self.on_requested(time, answer, retry, warn),
            Phase::RequestAgain(outage) => self.on_requested_again(time, answer, outage, warn),
        }
    }

    /// The record of this reboot, in the boot with the id `boot`. `None` if no other
    /// version than the one that runs is known to be Ready.
    pub fn record(&self, boot: &str) -> Option<RebootRecord> {
        let ReadyUpdate { image, running, .. } = self.ready.as_ref()?;
        let is_update = !image.version.is_empty() && !running.is_empty();
        (is_update && image.version != *running)
            .then(|| RebootRecord::new(boot, running, image.image()))
    }

    /// Whether the node is known not to reboot after `end`. Then the record is void.
    pub fn voids_record(&self, end: &End) -> bool {
        let End::Failed(FailedCall { error, .. }) = end else {
            return end.exit_status() != exit::SUCCESS;
        };
        match self.phase {
            Phase::Request { .. } => !error.may_have_been_sent() || error.is_refusal(),
            // An earlier request may have been accepted, unless the API says something
            // else than that it is too busy.
            Phase::RequestAgain(_) => error.is_refusal() && !error.is_worth_a_retry(),
            // The API may have stopped because of an earlier request, which a run before
            // this one has made.
            Phase::ReadStatus { .. } => !error.is_stale_socket(),
            _ => true,
        }
    }

    fn on_status<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        mut retry: Retry,
        is_locked: bool,
        until: Duration,
        warn: Warn,
    ) -> Step<'x> {
        let limit = self.settings.timeout.saturating_sub(self.timeout_at.saturating_sub(until));
        let remaining = |at: Duration| until.saturating_sub(at);
        let pause = retry.next_pause(remaining(time.ended));
        let is_last = Retry::is_last(remaining(time.begun));
        let end = match answer {
            Ok(Answer::Status(status)) if self.note(status) => {
                self.timestamp_before = copy(timestamp(status));
                if self.settings.confirm {
                    return self.refresh(time.ended);
                }
                return self.activate_or_request();
            }
            Ok(Answer::Status(status)) => End::NotReady(status),
            Ok(Answer::Uninitialized) => End::Uninitialized,
            // The other answers belong to other calls.
            Ok(Answer::Busy | Answer::Started | Answer::NotAllowed(_)) => {
                if let Some(pause) = pause {
                    self.phase = Phase::ReadStatus { retry, is_locked: true, until };
                    return Step::Call(Call::Status, pause);
                }
                End::LockHeld(limit)
            }
            Err(error) if is_locked && is_last && error.is_timeout() => End::LockHeld(limit),
            Err(error) => {
                if let Some(pause) = pause.filter(|_| error.is_worth_a_retry()) {
                    self.phase = Phase::ReadStatus { retry, is_locked: false, until };
                    return Step::Call(Call::Status, pause);
                }
                End::Failed(self.failed(READ_STATUS, *error))
            }
        };
        match end {
            end if self.settings.must_be_ready() => return Step::End(end),
            End::LockHeld(held) => warn(Warning::NoRecord(Cause::LockHeld(held))),
            End::Failed(FailedCall { error, .. }) => {
                warn(Warning::NoRecord(self.cause(READ_STATUS, error)));
            }
            // The reboot is not to bring another version.
            _ => {}
        }
        self.request()
    }

    /// Remembers the update if it is Ready, or if it is Staged and chosen and is to be
    /// activated. Returns whether it is.
    fn note(&mut self, status: &Status) -> bool {
        let is_staged = self.settings.activate && status.staged_is_chosen();
        if status.state != State::Ready && !is_staged {
            return false;
        }
        let [image, running] = [status.staged, status.running].map(Option::unwrap_or_default);
        self.ready = Some(ReadyUpdate {
            image: OwnedImage::new(image),
            running: copy(running.version),
            is_withdrawn: status.staged_is_not_chosen(),
            is_staged,
        });
        true
    }

    /// Asks for a refresh, which shows whether what is Ready is still chosen.
    fn refresh<'x>(&mut self, now: Duration) -> Step<'x> {
        let limit = self.limit(now, REFRESH_MAX);
        let until = now.saturating_add(limit);
        self.phase = Phase::Refresh(Refreshing {
            retry: Retry::FIRST,
            has_failed: false,
            is_locked: false,
            limit,
            until,
        });
        Step::Call(Call::Start(Command::Refresh), Duration::ZERO)
    }

    fn on_refresh<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        mut refreshing: Refreshing,
        warn: Warn,
    ) -> Step<'x> {
        let error = match answer {
            Ok(Answer::Busy) => return self.wait_for_lock(time.ended, refreshing),
            Ok(Answer::NotAllowed(refusal)) => CallError::Answer(AnswerError::Refused(*refusal)),
            Ok(_) => return self.follow(time.ended, refreshing),
            Err(error) if self.is_locked_out(time, &refreshing, error) => {
                return Step::End(End::LockHeld(self.settings.timeout));
            }
            // The refresh may run nevertheless. The status will show it.
            Err(error) if error.may_have_been_sent() && !error.is_refusal() => {
                return self.follow(time.ended, refreshing);
            }
            Err(error) => *error,
        };
        refreshing.is_locked = false;
        let remaining = refreshing.until.saturating_sub(time.ended);
        if error.is_worth_a_retry()
            && let Some(pause) = refreshing.retry.next_pause(remaining)
        {
            self.phase = Phase::Refresh(refreshing);
            return Step::Call(Call::Start(Command::Refresh), pause);
        }
        warn(Warning::Unconfirmed(self.cause(REFRESH, error)));
        refreshing.has_failed = true;
        self.follow(time.ended, refreshing)
    }

    /// Waits while another client's command holds the lock, until the timeout. The time
    /// for the refresh begins after that.
    fn wait_for_lock<'x>(&mut self, now: Duration, mut refreshing: Refreshing) -> Step<'x> {
        let Some(pause) = refreshing.retry.next_pause(self.timeout_at.saturating_sub(now)) else {
            return Step::End(End::LockHeld(self.settings.timeout));
        };
        let next = now.saturating_add(pause);
        refreshing.limit = self.limit(next, REFRESH_MAX);
        refreshing.until = next.saturating_add(refreshing.limit);
        refreshing.is_locked = true;
        let (phase, call) = match refreshing.has_failed {
            true => (Phase::Follow(refreshing), Call::Status),
            false => (Phase::Refresh(refreshing), Call::Start(Command::Refresh)),
        };
        self.phase = phase;
        Step::Call(call, pause)
    }

    /// Whether the last try after a 423 timed out.
    fn is_locked_out(&self, time: CallTime, refreshing: &Refreshing, error: &CallError) -> bool {
        let remaining = self.timeout_at.saturating_sub(time.begun);
        refreshing.is_locked && Retry::is_last(remaining) && error.is_timeout()
    }

    /// Reads the status until it shows the end of the refresh.
    fn follow<'x>(&mut self, now: Duration, mut refreshing: Refreshing) -> Step<'x> {
        refreshing.retry = Retry::FIRST;
        refreshing.is_locked = false;
        let remaining = refreshing.until.saturating_sub(now);
        let pause = refreshing.retry.next_pause(remaining).unwrap_or_default();
        self.phase = Phase::Follow(refreshing);
        Step::Call(Call::Status, pause)
    }

    fn on_progress<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        mut refreshing: Refreshing,
        warn: Warn,
    ) -> Step<'x> {
        let cause = match answer {
            Ok(Answer::Status(status)) => {
                let is_ready = self.note(status);
                let last = status.last_command;
                let ended = last.filter(|last| last.timestamp != self.timestamp_before);
                match ended {
                    _ if refreshing.has_failed => {}
                    // Another client's command has ended since.
                    Some(last) if last.name != Command::Refresh.name() => {
                        warn(Warning::Unconfirmed(Cause::NotShown));
                    }
                    Some(last) if !last.succeeded() => {
                        warn(Warning::Unconfirmed(Cause::Failed(last)));
                    }
                    _ => {}
                }
                if !is_ready {
                    return Step::End(End::NotReady(status));
                }
                if ended.is_some() || refreshing.has_failed {
                    self.timestamp_before = copy(timestamp(status));
                    return self.reboot_or_deactivate(warn);
                }
                Cause::NotShown
            }
            Ok(Answer::Uninitialized) => return Step::End(End::Uninitialized),
            Ok(_) if refreshing.has_failed => return self.wait_for_lock(time.ended, refreshing),
            Ok(_) => Cause::StillRunning(refreshing.limit),
            Err(error) if self.is_locked_out(time, &refreshing, error) => {
                return Step::End(End::LockHeld(self.settings.timeout));
            }
            Err(error) => self.cause(READ_STATUS, *error),
        };
        refreshing.is_locked = false;
        let remaining = refreshing.until.saturating_sub(time.ended);
        if let Some(pause) = refreshing.retry.next_pause(remaining) {
            self.phase = Phase::Follow(refreshing);
            return Step::Call(Call::Status, pause);
        }
        warn(Warning::Unconfirmed(cause));
        self.reboot_or_deactivate(warn)
    }

    /// Reboots if what is Ready or Staged is chosen, as far as is known.
    fn reboot_or_deactivate<'x>(&mut self, warn: Warn) -> Step<'x> {
        match &self.ready {
            Some(ReadyUpdate { image, is_withdrawn: true, .. }) => {
                warn(Warning::Withdrawn(&image.version));
                self.change(Command::Deactivate)
            }
            _ => self.activate_or_request(),
        }
    }

    /// Reboots, and activates what is Staged before that.
    fn activate_or_request<'x>(&mut self) -> Step<'x> {
        match self.ready {
            Some(ReadyUpdate { is_staged: true, .. }) => self.change(Command::Activate),
            _ => self.request(),
        }
    }

    /// Asks for an activate or a deactivate.
    fn change<'x>(&mut self, command: Command) -> Step<'x> {
        self.phase = Phase::Change(command, Retry::FIRST);
        Step::Call(Call::Start(command), Duration::ZERO)
    }

    /// Whatever the answer, the status shows what has become of the update.
    fn on_change<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        command: Command,
        mut retry: Retry,
    ) -> Step<'x> {
        let remaining = self.timeout_at.saturating_sub(time.ended);
        // After the last try, there is still time to read the status.
        let pause = retry.next_pause(remaining).unwrap_or_default();
        let was_locked = matches!(answer, Ok(Answer::Busy));
        self.phase = Phase::CheckChange(Change { command, retry, was_locked });
        Step::Call(Call::Status, pause)
    }

    fn on_changed<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        mut change: Change,
        warn: Warn,
    ) -> Step<'x> {
        let is_activate = change.command == Command::Activate;
        let held = Cause::LockHeld(self.settings.timeout);
        let result = match answer {
            Ok(Answer::Status(status)) if is_activate => self.activated(status),
            Ok(Answer::Status(status)) => self.deactivated(status),
            Ok(Answer::Uninitialized) => Ok(Step::End(End::Uninitialized)),
            Ok(_) => Err(held),
            Err(error) => Err(self.cause(READ_STATUS, *error)),
        };
        let is_status = matches!(answer, Ok(Answer::Status(_)));
        let cause = match result {
            Ok(step) => return step,
            Err(_) if is_status && change.was_locked => held,
            Err(cause) => cause,
        };
        let remaining = self.timeout_at.saturating_sub(time.ended);
        let Some(pause) = change.retry.next_pause(remaining) else {
            return match is_activate {
                false => Step::End(End::NotDeactivated(cause)),
                true if change.was_locked => Step::End(End::NotActivated(cause)),
                // The activate may still run.
                true => {
                    warn(Warning::ActivateUnknown(cause));
                    self.undo(time.ended)
                }
            };
        };
        let call = match is_status {
            true => {
                self.phase = Phase::Change(change.command, change.retry);
                Call::Start(change.command)
            }
            false => {
                self.phase = Phase::CheckChange(change);
                Call::Status
            }
        };
        Step::Call(call, pause)
    }

    /// What follows from a status after an activate.
    ///
    /// # Errors
    ///
    /// The update is Staged, and the activate may be repeated.
    fn activated<'x>(&mut self, status: &'x Status<'x>) -> Result<Step<'x>, Cause<'x>> {
        if status.state == State::Ready {
            self.note(status);
            return Ok(match self.ready {
                // A refresh of another client has just withdrawn it.
                Some(ReadyUpdate { is_withdrawn: true, .. }) => self.change(Command::Deactivate),
                _ => self.request(),
            });
        }
        if !status.staged_is_chosen() {
            return Ok(Step::End(End::NotReady(status)));
        }
        match status.last_command {
            // It fails each time, until the update is prepared again.
            Some(last) if self.is_failed_activate(&last) => {
                Ok(Step::End(End::NotActivated(Cause::Failed(last))))
            }
            _ => Err(Cause::NotShown),
        }
    }

    /// Whether a command is an activate that has failed since this run began.
    fn is_failed_activate(&self, last: &LastCommand) -> bool {
        let is_new = last.timestamp != self.timestamp_before;
        is_new && last.name == Command::Activate.name() && !last.succeeded()
    }

    /// What follows from a status after a deactivate.
    ///
    /// # Errors
    ///
    /// The update is Ready, and the deactivate may be repeated.
    fn deactivated<'x>(&self, status: &'x Status<'x>) -> Result<Step<'x>, Cause<'x>> {
        if status.state != State::Ready {
            return Ok(Step::End(match self.ready {
                Some(ReadyUpdate { is_withdrawn: true, .. }) => End::Withdrawn(status),
                _ => End::Undone(status),
            }));
        }
        Err(match status.last_command {
            Some(last) if last.name == Command::Deactivate.name() => Cause::Failed(last),
            _ => Cause::NotShown,
        })
    }

    /// Ends without a reboot. With `-activate`, deactivates the update before: this run, or
    /// one before it, has activated it for the reboot.
    fn fail<'x>(&mut self, now: Duration, failed: FailedCall<'x>, warn: Warn) -> Step<'x> {
        let end = End::Failed(failed);
        if !self.settings.activate || !self.voids_record(&end) {
            return Step::End(end);
        }
        warn(Warning::Undoing(failed));
        self.undo(now)
    }

    /// Deactivates the update, because there is no reboot.
    fn undo<'x>(&mut self, now: Duration) -> Step<'x> {
        self.timeout_at = now.saturating_add(UNDO_MAX);
        match (self.change(Command::Deactivate), self.settings.record) {
            (_, true) => Step::RemoveRecord,
            (step, false) => step,
        }
    }

    /// Asks for the reboot, for the first time.
    fn request<'x>(&mut self) -> Step<'x> {
        self.phase = FIRST_REQUEST;
        match self.settings.record {
            true => Step::Record,
            false => Step::Call(Call::Reboot, Duration::ZERO),
        }
    }

    fn on_requested<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        mut retry: Retry,
        warn: Warn,
    ) -> Step<'x> {
        let error = match answer {
            // The only answer to this call is 200 to 299.
            Ok(_) => return Step::End(End::Accepted),
            Err(error) if error.is_already_shutting_down() => {
                return Step::End(End::AlreadyShuttingDown);
            }
            Err(error) => error,
        };
        let remaining = self.timeout_at.saturating_sub(time.ended);
        if error.is_worth_a_retry()
            && let Some(pause) = retry.next_pause(remaining)
        {
            self.phase = Phase::Request { retry, is_retried: true };
            return Step::Call(Call::Reboot, pause);
        }
        let Some(disconnect) = error.as_disconnect() else {
            return self.fail(time.ended, self.failed(REBOOT, *error), warn);
        };
        warn(Warning::Disconnected(disconnect));
        let since = time.ended;
        let retry_until = self.timeout_at.max(since.saturating_add(SHUTDOWN_GRACE));
        let outage = Outage { since, disconnects: 0, retry_until };
        self.phase = Phase::RequestAgain(outage);
        outage.request_again(since)
    }

    fn on_requested_again<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        mut outage: Outage,
        warn: Warn,
    ) -> Step<'x> {
        match answer {
            Ok(_) => Step::End(End::AcceptedAgain),
            Err(error) if error.is_already_shutting_down() => Step::End(End::AlreadyShuttingDown),
            // When the request was made counts, and not the time now: if this process
            // was stopped meanwhile, the API may have come back.
            Err(error) if is_unreachable(error) && time.begun >= outage.gone_at() => {
                Step::End(End::ApiGone)
            }
            Err(error) if is_unreachable(error) => outage.request_again(time.ended),
            Err(error) => {
                let failed = self.failed(REBOOT, *error);
                if error.as_disconnect().is_some() || matches!(error, CallError::Send(_)) {
                    outage.disconnects += 1;
                } else if !error.is_worth_a_retry() {
                    return self.fail(time.ended, failed, warn);
                }
                // The request had no effect, and the node is not going down: after 408 or
                // 423 the API is there, and behind a directory it cannot start.
                if outage.disconnects == DISCONNECTS_MAX || time.ended >= outage.retry_until {
                    return self.fail(time.ended, failed, warn);
                }
                outage.since = time.ended;
                self.phase = Phase::RequestAgain(outage);
                outage.request_again(time.ended)
            }
        }
    }

    /// `max`, or half of the time that is left at the time `now`. The rest is for the
    /// reboot.
    fn limit(&self, now: Duration, max: Duration) -> Duration {
        max.min(self.timeout_at.saturating_sub(now) / 2)
    }

    fn failed<'x>(&self, tried: &'static str, error: CallError<'x>) -> FailedCall<'x> {
        let Settings { socket, timeout, .. } = self.settings;
        FailedCall { tried, socket, error, timeout }
    }

    fn cause<'x>(&self, tried: &'static str, error: CallError<'x>) -> Cause<'x> {
        Cause::Call { tried, socket: self.settings.socket, error }
    }
}

/// The timestamp of the last command. Empty if there is none.
fn timestamp<'x>(status: &Status<'x>) -> &'x str {
    status.last_command.map_or("", |last| last.timestamp)
}

/// Whether the API is unreachable as it is while the node goes down. A directory at
/// the socket's path is no sign of that: it keeps the API server from starting.
fn is_unreachable(error: &CallError) -> bool {
    error.is_stale_socket() && !matches!(error, CallError::Connect(Errno::ISDIR))
}

#[cfg(test)]
mod tests;
