//! The request for the reboot.
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

use crate::api::{Answer, Call, CallError, Retry};
use crate::reboot::end::{End, Warning};
use crate::reboot::state::{
    CallTime, DISCONNECTS_MAX, Outage, Phase, Reboot, SHUTDOWN_GRACE, Step, Warn,
};
use core::time::Duration;
use rustix::io::Errno;

/// The pause before a repeated request. With [`DISCONNECTS_MAX`], a server that
/// crashes on each request has at least 5 s to answer one.
const PAUSE: Duration = Duration::from_millis(250);

/// What was tried, for messages.
const REBOOT: &str = "reboot the node through";

/// The first request.
pub(super) const FIRST_REQUEST: Phase = Phase::Request { retry: Retry::FIRST, is_retried: false };

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

impl Reboot {
    /// Asks for the reboot, for the first time.
    pub(super) fn request<'x>(&mut self) -> Step<'x> {
        self.phase = FIRST_REQUEST;
        match self.settings.record {
            true => Step::Record,
            false => Step::Call(Call::Reboot, Duration::ZERO),
        }
    }

    pub(super) fn on_requested<'x>(
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

    pub(super) fn on_requested_again<'x>(
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
}

/// Whether the API is unreachable as it is while the node goes down. A directory at
/// the socket's path is no sign of that: it keeps the API server from starting.
fn is_unreachable(error: &CallError) -> bool {
    error.is_stale_socket() && !matches!(error, CallError::Connect(Errno::ISDIR))
}
