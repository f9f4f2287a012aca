//! Commands, and how they end.

use crate::http::Answer;

/// What a node can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Look for updates.
    Refresh,
    /// Write the chosen image.
    Prepare,
    /// Boot the written image next time.
    Activate,
    /// Take that back.
    Deactivate,
    /// Reboot.
    Reboot,
}

impl Command {
    /// All of them.
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
    /// What the command prints.
    pub stderr: String,
    /// The command's report cannot be read: nothing changes but
    /// `most_recent_command`.
    pub junk: bool,
}

impl Ending {
    /// The command does what it should and prints nothing.
    pub fn success() -> Ending {
        Ending::failed(0, "")
    }

    /// The command fails with this exit status (0 would be success, with
    /// something printed) and prints this.
    pub fn failed(exit_status: i32, stderr: impl Into<String>) -> Ending {
        Ending { exit_status, stderr: stderr.into(), junk: false }
    }

    /// The command says that all went well, but nothing comes of it.
    pub fn junk() -> Ending {
        Ending { junk: true, ..Ending::success() }
    }
}

/// Why a command did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody holds the update lock: 423.
    Locked,
    /// The command is not allowed in this state: 409.
    NotAllowed,
    /// Nothing is chosen that could be written: 404.
    NothingChosen,
    /// The reboot failed: 500 with this exit status and reason.
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
