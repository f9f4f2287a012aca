//! The decision of a reboot: which call to make next, and what the result is.
//!
//! Kured runs the reboot program after it has drained the node. On any exit status
//! but 0 Kured exits, starts again, uncordons the node and releases its lock, while
//! the node may be going down. On 0 it waits for the node to go down, without a
//! limit, and holds the lock that every other node needs. So the result must be a
//! success if the node reboots, and only then.
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
//! ```text
//!   with -if-ready                       without
//!         │                                 │
//!         ▼             Ready               ▼   2xx, already shutting down
//!  ┌─▶ ReadStatus ───────────────────▶ Request ─────────────▶ end: success
//!  │   │  │                           ▲  │  │
//!  └───┘  │ not Ready,                └──┘  │ disconnected
//!  423, no│ 423 until the deadline   no     ▼   2xx, already shutting down,
//!  effect:▼                      effect:  RequestAgain ─────▶ end: success
//!  pause  end: no reboot          pause   ▲   │   unreachable for the grace
//!                                         └───┘
//!                    unreachable, disconnected or no effect: pause
//!
//!   any other error, no effect until the timeout, too many disconnects
//!                                               ─────────────▶ end: failure
//! ```
//!
//! There are no sockets and no clock here. The program makes the call that each
//! step asks for, and passes the answer and the time. All times are of one clock
//! that never goes back.

pub mod options;

use crate::api::status::{State, Status};
use crate::api::{Answer, Call, CallError, FailedCall, Retry};
use crate::cli::exit;
use crate::text::duration::HumanDuration;
use crate::text::{Show, display, put};
use core::time::Duration;
use heapless::VecView;
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

/// What was tried, for messages.
const READ_STATUS: &str = "read the update status from";
const REBOOT: &str = "reboot the node through";

/// What the operator has set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The path of the API's socket, for messages.
    pub socket: &'static [u8],
    /// The time for the whole reboot. After a disconnect, it may take longer.
    pub timeout: Duration,
    /// Whether to reboot only if the update state is Ready.
    pub if_ready: bool,
}

/// The next step.
#[derive(Debug, Clone, Copy)]
pub enum Step<'x> {
    /// Make this call after this pause, with the deadline that [`Reboot::deadline`]
    /// returns, and pass the answer to [`Reboot::on_answer`].
    Call(Call, Duration),
    /// The result is known.
    End(End<'x>),
}

/// The result of a reboot. Displayed, it is one line.
#[derive(Debug, Clone, Copy)]
pub enum End<'x> {
    /// The API has accepted the request.
    Accepted,
    /// The API has accepted a repeated request.
    AcceptedAgain,
    /// The API has been unreachable for [`SHUTDOWN_GRACE`] after a request.
    ApiGone,
    /// The API refuses the request, because the node is already shutting down.
    AlreadyShuttingDown,
    /// No reboot, because the update state is not Ready.
    NotReady(&'x Status<'x>),
    /// No reboot, because there has been no refresh since the node booted.
    Uninitialized,
    /// No reboot, because an update command has held the lock for all of the timeout.
    LockHeld(Duration),
    /// The status or the reboot could not be requested.
    Failed(FailedCall<'x>),
}

impl End<'_> {
    /// The exit status for Kured.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Accepted | Self::AcceptedAgain | Self::ApiGone | Self::AlreadyShuttingDown => {
                exit::SUCCESS
            }
            Self::NotReady(_) | Self::Uninitialized | Self::LockHeld(_) => exit::NEGATIVE,
            Self::Failed(_) => exit::FAILURE,
        }
    }
}

impl Show for End<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::Accepted => put!(buffer, "the reboot is on its way"),
            Self::AcceptedAgain => put!(buffer, "requested again: the reboot is on its way"),
            Self::ApiGone => {
                put!(buffer, "the API has not come back: assuming that the node is rebooting");
            }
            Self::AlreadyShuttingDown => put!(buffer, "the node is already shutting down"),
            Self::NotReady(status) => put!(buffer, "not rebooting: ", status),
            Self::Uninitialized => {
                put!(buffer, "not rebooting: no refresh since the node booted");
            }
            Self::LockHeld(timeout) => {
                put!(buffer, "not rebooting: update lock held for ", HumanDuration(*timeout));
            }
            Self::Failed(failed) => put!(buffer, failed),
        }
    }
}

/// The warning that the connection broke after the first request. Displayed, it is
/// one line.
#[derive(Debug, Clone, Copy)]
pub struct Disconnected(CallError<'static>);

impl Show for Disconnected {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(buffer, self.0, "; checking whether the API comes back");
    }
}
display!(End<'_>, Disconnected);

/// When a call was made.
#[derive(Debug, Clone, Copy)]
pub struct CallTime {
    /// When it began, after the pause.
    pub begun: Duration,
    /// When the answer, or the error, was there.
    pub ended: Duration,
}

/// A reboot that is under way.
#[derive(Debug)]
pub struct Reboot {
    settings: Settings,
    /// When the timeout ends.
    timeout_at: Duration,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    ReadStatus {
        retry: Retry,
        /// Whether the answer to the last call was 423.
        is_locked: bool,
    },
    Request {
        retry: Retry,
        /// Whether an earlier request had no effect.
        is_retried: bool,
    },
    RequestAgain(Outage),
}

impl Phase {
    const FIRST_REQUEST: Self = Self::Request { retry: Retry::FIRST, is_retried: false };
}

/// What is known after a disconnect.
#[derive(Debug, Clone, Copy)]
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

impl Reboot {
    /// A reboot that begins at the time `now`, and its first call.
    pub fn begin(settings: Settings, now: Duration) -> (Self, Call) {
        let (phase, call) = if settings.if_ready {
            (Phase::ReadStatus { retry: Retry::FIRST, is_locked: false }, Call::Status)
        } else {
            (Phase::FIRST_REQUEST, Call::Reboot)
        };
        let timeout_at = now.saturating_add(settings.timeout);
        (Self { settings, timeout_at, phase }, call)
    }

    /// The deadline of a call that begins at the time `begun`.
    ///
    /// A repeated request has at least [`SHUTDOWN_GRACE`]: the server may be slow to
    /// answer, because it is rebooting the node.
    pub fn deadline(&self, begun: Duration) -> Duration {
        let timeout_at = match self.phase {
            Phase::ReadStatus { .. } | Phase::Request { is_retried: false, .. } => {
                return self.timeout_at;
            }
            Phase::Request { is_retried: true, .. } => self.timeout_at,
            Phase::RequestAgain(outage) => outage.retry_until,
        };
        timeout_at.max(begun.saturating_add(SHUTDOWN_GRACE))
    }

    /// Takes the answer to the last call, and returns the next step. The first
    /// disconnect goes to `warn`.
    pub fn on_answer<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        warn: impl FnOnce(Disconnected),
    ) -> Step<'x> {
        match self.phase {
            Phase::ReadStatus { retry, is_locked } => {
                self.on_status(time, answer, retry, is_locked)
            }
            Phase::Request { retry, .. } => self.on_requested(time, answer, retry, warn),
            Phase::RequestAgain(outage) => self.on_requested_again(time, answer, outage),
        }
    }

    fn on_status<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        mut retry: Retry,
        is_locked: bool,
    ) -> Step<'x> {
        let timeout = self.settings.timeout;
        let remaining = |at: Duration| self.timeout_at.saturating_sub(at);
        match answer {
            Ok(Answer::Status(status)) if status.state == State::Ready => {
                self.phase = Phase::FIRST_REQUEST;
                Step::Call(Call::Reboot, Duration::ZERO)
            }
            Ok(Answer::Status(status)) => Step::End(End::NotReady(status)),
            Ok(Answer::Uninitialized) => Step::End(End::Uninitialized),
            // The other answers belong to other calls.
            Ok(Answer::Busy | Answer::Started | Answer::NotAllowed(_)) => {
                let Some(pause) = retry.next_pause(remaining(time.ended)) else {
                    return Step::End(End::LockHeld(timeout));
                };
                self.phase = Phase::ReadStatus { retry, is_locked: true };
                Step::Call(Call::Status, pause)
            }
            Err(error)
                if is_locked && Retry::is_last(remaining(time.begun)) && error.is_timeout() =>
            {
                Step::End(End::LockHeld(timeout))
            }
            Err(error) if error.is_worth_a_retry() => {
                let Some(pause) = retry.next_pause(remaining(time.ended)) else {
                    return self.failed(READ_STATUS, *error);
                };
                self.phase = Phase::ReadStatus { retry, is_locked: false };
                Step::Call(Call::Status, pause)
            }
            Err(error) => self.failed(READ_STATUS, *error),
        }
    }

    fn on_requested<'x>(
        &mut self,
        time: CallTime,
        answer: &'x Result<Answer<'x>, CallError<'x>>,
        mut retry: Retry,
        warn: impl FnOnce(Disconnected),
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
        let Some(disconnect) = error.as_disconnect() else { return self.failed(REBOOT, *error) };
        warn(Disconnected(disconnect));
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
                if error.as_disconnect().is_some() || matches!(error, CallError::Send(_)) {
                    outage.disconnects += 1;
                } else if !error.is_worth_a_retry() {
                    return self.failed(REBOOT, *error);
                }
                // The request had no effect, and the node is not going down: after 408 or
                // 423 the API is there, and behind a directory it cannot start.
                if outage.disconnects == DISCONNECTS_MAX || time.ended >= outage.retry_until {
                    return self.failed(REBOOT, *error);
                }
                outage.since = time.ended;
                self.phase = Phase::RequestAgain(outage);
                outage.request_again(time.ended)
            }
        }
    }

    #[inline(never)]
    fn failed<'x>(&self, tried: &'static str, error: CallError<'x>) -> Step<'x> {
        let Settings { socket, timeout, .. } = self.settings;
        Step::End(End::Failed(FailedCall { tried, socket, error, timeout }))
    }
}

/// Whether the API is unreachable as it is while the node goes down. A directory at
/// the socket's path is no sign of that: it keeps the API server from starting.
fn is_unreachable(error: &CallError) -> bool {
    error.is_stale_socket() && !matches!(error, CallError::Connect(Errno::ISDIR))
}

#[cfg(test)]
mod tests;
