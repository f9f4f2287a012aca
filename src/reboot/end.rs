//! The result of a reboot, and its warnings, in words for people.

use crate::api::status::{LastCommand, Status};
use crate::api::{CallError, FailedCall};
use crate::cli::exit;
use crate::text::duration::HumanDuration;
use crate::text::excerpt::Sanitized;
use crate::text::{Show, display, put};
use core::time::Duration;
use heapless::VecView;

/// The result of a reboot. Displayed, it is one line.
#[derive(Debug, Clone, Copy)]
pub enum End<'x> {
    /// The API has accepted the request.
    Accepted,
    /// The API has accepted a repeated request.
    AcceptedAgain,
    /// The API has been unreachable for
    /// [`SHUTDOWN_GRACE`](crate::reboot::SHUTDOWN_GRACE) after a request.
    ApiGone,
    /// The API refuses the request, because the node is already shutting down.
    AlreadyShuttingDown,
    /// No reboot, because the update state is not Ready.
    NotReady(&'x Status<'x>),
    /// No reboot, because there has been no refresh since the node booted.
    Uninitialized,
    /// No reboot, because an update command has held the lock for all of this time.
    LockHeld(Duration),
    /// No reboot, because the update that is Staged could not be activated.
    NotActivated(Cause<'x>),
    /// The reboot could not be requested. The update that was activated for it is
    /// deactivated again.
    Undone(&'x Status<'x>),
    /// No reboot, because the update was no longer chosen. It is deactivated.
    Withdrawn(&'x Status<'x>),
    /// No reboot, because the update was no longer chosen. It could not be
    /// deactivated.
    NotDeactivated(Cause<'x>),
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
            Self::NotReady(_) | Self::Uninitialized | Self::LockHeld(_) | Self::Withdrawn(_) => {
                exit::NEGATIVE
            }
            Self::NotActivated(_) | Self::Undone(_) | Self::NotDeactivated(_) | Self::Failed(_) => {
                exit::FAILURE
            }
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
            Self::LockHeld(held) => put!(buffer, "not rebooting: ", Cause::LockHeld(*held)),
            Self::NotActivated(cause) => {
                put!(buffer, "not rebooting: the update could not be activated: ", cause);
            }
            Self::Undone(status) => {
                put!(buffer, "not rebooting: the update has been deactivated again: ", status);
            }
            Self::Withdrawn(status) => {
                put!(buffer, "not rebooting: the update has been deactivated: ", status);
            }
            Self::NotDeactivated(cause) => {
                put!(buffer, "not rebooting: the update could not be deactivated: ", cause);
                put!(buffer, "; any other reboot of the node boots it. To deactivate it, run ");
                put!(buffer, "apiclient update cancel");
            }
            Self::Failed(failed) => put!(buffer, failed),
        }
    }
}

/// Why the state of the update is not known, or not changed.
#[derive(Debug, Clone, Copy)]
pub enum Cause<'x> {
    /// A call failed.
    Call {
        /// What was tried, as in "cannot ...".
        tried: &'static str,
        /// The path of the socket.
        socket: &'static [u8],
        /// What came back.
        error: CallError<'x>,
    },
    /// A command failed.
    Failed(LastCommand<'x>),
    /// An update command has held the lock for all of this time.
    LockHeld(Duration),
    /// The refresh was still running after this time.
    StillRunning(Duration),
    /// The status does not show the outcome of the command.
    NotShown,
}

impl Show for Cause<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::Call { tried, socket, error } => {
                put!(buffer, "cannot ", tried, " ", Sanitized(socket), ": ", error);
            }
            Self::Failed(last) => {
                put!(buffer, last.name, " failed (", last.outcome);
                if !last.exit_status.is_empty() {
                    put!(buffer, ", exit status ", last.exit_status);
                }
                put!(buffer, "): ", last.stderr);
            }
            Self::LockHeld(held) => put!(buffer, "update lock held for ", HumanDuration(*held)),
            Self::StillRunning(limit) => {
                put!(buffer, "the refresh is still running after ", HumanDuration(*limit));
            }
            Self::NotShown => put!(buffer, "the status does not show the outcome of the command"),
        }
    }
}

/// A warning. Displayed, it is one line.
#[derive(Debug, Clone, Copy)]
pub enum Warning<'x> {
    /// The connection broke after the first request.
    Disconnected(CallError<'x>),
    /// The status, which the record needs, could not be read.
    NoRecord(Cause<'x>),
    /// The outcome of the refresh before the reboot is a failure, or unknown.
    Unconfirmed(Cause<'x>),
    /// The reboot could not be requested, with `-activate`.
    Undoing(FailedCall<'x>),
    /// What became of the activate is not known at the timeout.
    ActivateUnknown(Cause<'x>),
    /// The update, with this version, is Ready but no longer chosen.
    Withdrawn(&'x str),
}

impl Show for Warning<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::Disconnected(error) => {
                put!(buffer, error, "; checking whether the API comes back");
            }
            Self::NoRecord(cause) => put!(buffer, cause, "; rebooting without a record"),
            Self::Unconfirmed(cause) => {
                put!(buffer, cause, "; relying on the last refresh that succeeded");
            }
            Self::Undoing(failed) => {
                put!(buffer, failed, "; deactivating the update again");
            }
            Self::ActivateUnknown(cause) => {
                put!(buffer, "the outcome of the activate is not known: ", cause);
                put!(buffer, "; deactivating the update");
            }
            Self::Withdrawn(version) => {
                put!(buffer, version, " is Ready but no longer chosen; ");
                put!(buffer, "deactivating it instead of rebooting");
            }
        }
    }
}
display!(End<'_>, Cause<'_>, Warning<'_>);
