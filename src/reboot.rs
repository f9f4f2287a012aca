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
//! Each part has a file: `state.rs` what is known, `refresh.rs` the refresh, `change.rs`
//! activate and deactivate, and `request.rs` the request for the reboot.
//!
//! There are no sockets, no files and no clock here. The program makes the call that
//! each step asks for, and passes the answer and the time. All times are of one clock
//! that never goes back.

mod change;
pub mod end;
pub mod options;
mod refresh;
mod request;
mod state;

pub use state::{
    CallTime, DISCONNECTS_MAX, REFRESH_MAX, Reboot, SHUTDOWN_GRACE, STATUS_MAX, Settings, Step,
    UNDO_MAX, Warn,
};

use crate::api::status::{Text, copy};
use crate::api::{Answer, Call, CallError, Command, FailedCall, Retry};
use crate::cli::exit;
use crate::reboot::end::{Cause, End, Warning};
use crate::reboot::request::FIRST_REQUEST;
use crate::reboot::state::{Phase, READ_STATUS, ReadyUpdate, timestamp};
use crate::record::RebootRecord;
use core::time::Duration;

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
}

#[cfg(test)]
mod tests;
