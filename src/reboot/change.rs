//! Activates the update before the reboot, or deactivates it if there is no reboot.
//!
//! Whatever the answer to such a command, the status shows what has become of the update.

use crate::api::status::{LastCommand, State, Status};
use crate::api::{Answer, Call, CallError, Command, FailedCall, Retry};
use crate::reboot::end::{Cause, End, Warning};
use crate::reboot::state::{
    CallTime, Change, Phase, READ_STATUS, ReadyUpdate, Reboot, Step, UNDO_MAX, Warn,
};
use core::time::Duration;

impl Reboot {
    /// Asks for an activate or a deactivate.
    pub(super) fn change<'x>(&mut self, command: Command) -> Step<'x> {
        self.phase = Phase::Change(command, Retry::FIRST);
        Step::Call(Call::Start(command), Duration::ZERO)
    }

    /// Whatever the answer, the status shows what has become of the update.
    pub(super) fn on_change<'x>(
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

    pub(super) fn on_changed<'x>(
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
    pub(super) fn fail<'x>(
        &mut self,
        now: Duration,
        failed: FailedCall<'x>,
        warn: Warn,
    ) -> Step<'x> {
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
}
