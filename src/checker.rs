//! The checker: its flags, and the decision whether the node must reboot.
//!
//! Kured runs the checker as its sentinel, and reboots the node on exit status 0. So
//! the only answer that may lead to this status is the state Ready. With `-staged` it is also
//! the state Staged, because the reboot program then activates the update. After an activate
//! or a prepare that has failed, that is a no, because an activate would fail: the update must
//! be prepared again first.
//!
//! Nor is it a yes if a refresh has found since that another version is chosen, or none:
//! the update was withdrawn or replaced. Only a successful refresh changes what is
//! chosen, so a failed one does not make this a no.

use crate::api::status::{State, Status};
use crate::api::{Answer, CallError, FailedCall};
use crate::cli::exit;
use crate::cli::flags::Flags;
use crate::cli::help::Help;
use crate::cli::value::Positive;
use crate::sys::client::DEFAULT_SOCKET;
use crate::text::duration::HumanDuration;
use crate::text::{Show, display, put};
use core::ffi::CStr;
use core::time::Duration;
use heapless::VecView;

crate::flags! {
    /// What the operator has set.
    pub struct Options<'a> {
        socket: &'a CStr = DEFAULT_SOCKET, "-socket PATH", "socket of the node's API";
        timeout: Positive = Positive::seconds(10), "-timeout DURATION",
            "give up after this time";
        staged: bool = false, "-staged",
            "also say yes if an update is Staged and chosen, for bottlerocket-reboot -activate",
            default "only if it is Ready";
        refresh: bool = false, "-refresh",
            "also refresh the node's list of updates after the check; a failed refresh does not \
             change the exit status",
            default "only read the status";
    }
}

/// The help of the checker.
pub const HELP: Help = Help {
    usage: "bottlerocket-checker [flags]",
    about: "Checks whether the Bottlerocket node must reboot to start an update that is ready. \
            Use this program as Kured's reboot sentinel command.",
    flags: Options::ROWS,
    notes: &["A DURATION is like 90s, 10m or 1h30m."],
    success: "an update is Ready, or Staged with -staged; reboot the node",
    negative: "the state is another one, the update is no longer chosen, the updates have not been \
               refreshed since the node booted, an update command is running, or with -staged: the \
               update could not be activated",
    failure: "the state could not be determined",
    example: "nsenter -m/proc/1/ns/mnt -- /opt/bottlerocket/bottlerocket-checker",
};

/// Whether the node must reboot. Displayed, it is one line.
#[derive(Debug, Clone, Copy)]
pub enum Decision<'x> {
    /// Yes: an update is Ready, or Staged.
    Ready(Status<'x>),
    /// No: what is Staged cannot be activated, because this command of the status has failed.
    CannotActivate(Status<'x>, &'x str),
    /// No: the update state is not Ready, or what is Ready is no longer chosen.
    NotReady(Status<'x>),
    /// No: there has been no refresh since the node booted.
    Uninitialized,
    /// No: an update command has held the lock for all of this time.
    LockHeld(Duration),
    /// Not known: the status could not be read.
    Unknown(FailedCall<'x>),
}

impl<'x> Decision<'x> {
    /// The decision after the `answer` to a call for the status.
    pub fn new(answer: Result<Answer<'x>, CallError<'x>>, options: &Options<'x>) -> Self {
        let timeout = options.timeout.0;
        match answer {
            Ok(Answer::Status(status))
                if status.state == State::Ready && !status.staged_is_not_chosen() =>
            {
                Self::Ready(status)
            }
            Ok(Answer::Status(status)) if options.staged && status.staged_is_chosen() => {
                match status.last_command {
                    Some(last) if last.forbids_activate() => {
                        Self::CannotActivate(status, last.name)
                    }
                    _ => Self::Ready(status),
                }
            }
            Ok(Answer::Status(status)) => Self::NotReady(status),
            Ok(Answer::Uninitialized) => Self::Uninitialized,
            // The API gives the last two answers only to other calls.
            Ok(Answer::Busy | Answer::Started | Answer::NotAllowed(_)) => Self::LockHeld(timeout),
            Err(error) => {
                let tried = "read the update status from";
                let socket = options.socket.to_bytes();
                Self::Unknown(FailedCall { tried, socket, error, timeout })
            }
        }
    }

    /// The exit status for Kured.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Ready(_) => exit::SUCCESS,
            Self::CannotActivate(..)
            | Self::NotReady(_)
            | Self::Uninitialized
            | Self::LockHeld(_) => exit::NEGATIVE,
            Self::Unknown(_) => exit::FAILURE,
        }
    }
}

impl Show for Decision<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::Ready(status) => put!(buffer, "yes: ", status),
            Self::CannotActivate(status, command) => {
                put!(buffer, "no: the last ", command, " has failed, so the update must be ");
                put!(buffer, "prepared again: ", status);
            }
            Self::NotReady(status) => put!(buffer, "no: ", status),
            Self::Uninitialized => put!(buffer, "no: no refresh since the node booted"),
            Self::LockHeld(timeout) => {
                put!(buffer, "no: update lock held for ", HumanDuration(*timeout));
            }
            Self::Unknown(failed) => put!(buffer, failed),
        }
    }
}
display!(Decision<'_>);

#[cfg(test)]
mod tests;
