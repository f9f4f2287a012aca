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
//! Each part has a file: `refresh.rs` the refresh, `change.rs` activate and deactivate, and
//! `request.rs` the request for the reboot.
//!
//! There are no sockets, no files and no clock here. The program makes the call that
//! each step asks for, and passes the answer and the time. All times are of one clock
//! that never goes back.

mod change;
pub mod end;
pub mod options;
mod refresh;
mod request;

use crate::api::status::{OwnedImage, State, Status, Text, copy};
use crate::api::{Answer, Call, CallError, Command, FailedCall, Retry};
use crate::cli::exit;
use crate::reboot::change::Change;
use crate::reboot::end::{Cause, End, Warning};
use crate::reboot::refresh::Refreshing;
use crate::reboot::request::{FIRST_REQUEST, Outage};
use crate::record::RebootRecord;
use core::time::Duration;

/// How long the API must be unreachable until the node counts as going down. This is
/// longer than a server that crashed is away: systemd starts it after 5 s
/// (`RestartSec` in Bottlerocket's `apiserver.service`).
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);
/// How often the connection of a repeated request may break.
pub const DISCONNECTS_MAX: u32 = 20;
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

#[cfg(test)]
mod tests;
