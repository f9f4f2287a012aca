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

/// The text of [`Ending::no_update_required`].
const NO_UPDATE_REQUIRED: &str = "No update required\n";

/// What a command does, besides its exit status and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The effect that its exit status implies. A failed prepare clears the inactive
    /// partition set.
    Normal,
    /// The command's report is unreadable: only `most_recent_command` changes.
    Junk,
    /// A prepare writes nothing, but the server takes it for a success.
    NothingWritten,
    /// The command does its work, but the server is killed before it writes the status.
    CutOff,
}

/// How a command ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// 0 is success.
    pub exit_status: i32,
    /// The text that the command prints.
    pub stderr: String,
    /// What the command does.
    pub effect: Effect,
}

impl Ending {
    /// The command succeeds and prints nothing.
    pub fn success() -> Ending {
        Ending::failed(0, "")
    }

    /// The command ends with this exit status and prints this text. Exit status 0 is a
    /// success that prints something.
    pub fn failed(exit_status: i32, stderr: impl Into<String>) -> Ending {
        Ending { exit_status, stderr: stderr.into(), effect: Effect::Normal }
    }

    /// The command reports success, but has no effect.
    pub fn junk() -> Ending {
        Ending { effect: Effect::Junk, ..Ending::success() }
    }

    /// A prepare says that no update is required, writes nothing, and exits with 0. The
    /// status becomes Staged all the same. Other commands have no effect.
    pub fn no_update_required() -> Ending {
        Ending { effect: Effect::NothingWritten, ..Ending::failed(0, NO_UPDATE_REQUIRED) }
    }

    /// The command does its work, but the server is killed before it writes the status.
    /// All connections break, and the status stays the same.
    pub fn cut_off() -> Ending {
        Ending { effect: Effect::CutOff, ..Ending::success() }
    }

    /// Whether the command does its work.
    pub(crate) fn works(&self) -> bool {
        self.exit_status == 0 && matches!(self.effect, Effect::Normal | Effect::CutOff)
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
    /// The image has no in-place updates: 500.
    NoDispatcher,
    /// The node is off. The API has no answer for this.
    Off,
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
            Refusal::NoDispatcher => Answer::text(
                500,
                "Unable to start the update dispatcher: No such file or directory (os error 2) ",
            ),
            Refusal::Off => Answer::text(503, ""),
            Refusal::RebootFailed(exit_status, reason) => Answer::text(
                500,
                format!("Failed to reboot, exit code: {exit_status}, stderr: {reason}"),
            ),
        }
    }
}
