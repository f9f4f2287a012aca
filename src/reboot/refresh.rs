//! The refresh before a reboot. It shows whether what is Ready is still chosen.

use crate::api::status::copy;
use crate::api::{Answer, AnswerError, Call, CallError, Command, Retry};
use crate::reboot::end::{Cause, End, Warning};
use crate::reboot::state::{
    CallTime, Phase, READ_STATUS, REFRESH_MAX, Reboot, Refreshing, Step, Warn, timestamp,
};
use core::time::Duration;

/// What was tried, for messages.
const REFRESH: &str = "refresh the updates through";

impl Reboot {
    /// Asks for a refresh, which shows whether what is Ready is still chosen.
    pub(super) fn refresh<'x>(&mut self, now: Duration) -> Step<'x> {
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

    pub(super) fn on_refresh<'x>(
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

    pub(super) fn on_progress<'x>(
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
            Err(error) if refreshing.is_locked && error.is_timeout() && !refreshing.has_failed => {
                Cause::StillRunning(refreshing.limit)
            }
            Err(error) if self.is_locked_out(time, &refreshing, error) => {
                return Step::End(End::LockHeld(self.settings.timeout));
            }
            Err(error) => self.cause(READ_STATUS, *error),
        };
        refreshing.is_locked = matches!(cause, Cause::StillRunning(_));
        let remaining = refreshing.until.saturating_sub(time.ended);
        if let Some(pause) = refreshing.retry.next_pause(remaining) {
            self.phase = Phase::Follow(refreshing);
            return Step::Call(Call::Status, pause);
        }
        warn(Warning::Unconfirmed(cause));
        self.reboot_or_deactivate(warn)
    }
}
