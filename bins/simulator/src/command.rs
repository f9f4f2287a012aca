//! The commands of the API, how they end, and why they are refused.

use crate::http::Answer;

/// A command of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Look for updates.
    Refresh,
    /// Write the chosen image.
    Prepare,
    /// Boot the written image at the next boot.
    Activate,
    /// Undo an activate.
    Deactivate,
    /// Reboot.
    Reboot,
}

impl Command {
    /// All commands.
    pub const ALL: [Command; 5] = [
        Command::Refresh,
        Command::Prepare,
        Command::Activate,
        Command::Deactivate,
        Command::Reboot,
    ];

    /// The name in the status document.
    pub fn name(self) -> &'static str {
        match self {
            Command::Refresh => "refresh",
            Command::Prepare => "prepare",
            Command::Activate => "activate",
            Command::Deactivate => "deactivate",
            Command::Reboot => "reboot",
        }
    }

    /// The path to POST to.
    pub fn path(self) -> &'static str {
        match self {
            Command::Refresh => "/actions/refresh-updates",
            Command::Prepare => "/actions/prepare-update",
            Command::Activate => "/actions/activate-update",
            Command::Deactivate => "/actions/deactivate-update",
            Command::Reboot => "/actions/reboot",
        }
    }
}

/// How a command ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// 0 is success.
    pub exit_status: i32,
    /// The text that the command prints.
    pub stderr: String,
    /// The command's report is unreadable: only `most_recent_command` changes.
    pub junk: bool,
}

impl Ending {
    /// The command succeeds and prints nothing.
    pub fn success() -> Ending {
        Ending::failed(0, "")
    }

    /// The command ends with this exit status and prints this text. Exit status 0 is a
    /// success that prints something.
    pub fn failed(exit_status: i32, stderr: impl Into<String>) -> Ending {
        Ending { exit_status, stderr: stderr.into(), junk: false }
    }

    /// The command reports success, but has no effect.
    pub fn junk() -> Ending {
        Ending { junk: true, ..Ending::success() }
    }
}

/// Why a command did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The update lock is held: 423.
    Locked,
    /// The command is not allowed in this state: 409.
    NotAllowed,
    /// No update is chosen: 404.
    NothingChosen,
    /// The reboot failed: 500, with this exit status and reason.
    RebootFailed(i32, String),
}

impl Refusal {
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Refusal::Locked => Answer::text(423, "Update lock held"),
            Refusal::NotAllowed => {
                Answer::text(409, "Update action not allowed according to update state")
            }
            Refusal::NothingChosen => {
                Answer::text(404, "Previously chosen Update no longer exists")
            }
            Refusal::RebootFailed(exit_status, reason) => Answer::text(
                500,
                format!("Failed to reboot, exit code: {exit_status}, stderr: {reason}"),
            ),
        }
    }
}
