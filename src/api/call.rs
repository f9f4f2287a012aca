//! The calls of the update API, and their requests.

use crate::text::put;
use heapless::Vec;

/// A command that changes the state of a node's update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Look for updates.
    Refresh,
    /// Write the chosen update to the other partition set.
    Prepare,
    /// Make the next boot start from the other partition set.
    Activate,
    /// Undo `Activate`.
    Deactivate,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 4] = [Self::Refresh, Self::Prepare, Self::Activate, Self::Deactivate];

    /// The index of the command in [`Command::ALL`].
    pub fn number(self) -> usize {
        self as usize
    }

    /// The name of the command in the status document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Prepare => "prepare",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
        }
    }
}

/// A call of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Read the status.
    Status,
    /// Start a command.
    Start(Command),
    /// Reboot the node.
    Reboot,
}

/// The longest request, in bytes. A test builds all of them.
const REQUEST_MAX: usize = 96;

impl Call {
    /// The bytes of the request.
    pub fn request(self) -> Vec<u8, REQUEST_MAX> {
        let line = match self {
            Self::Status => "GET /updates/status",
            Self::Start(Command::Refresh) => "POST /actions/refresh-updates",
            Self::Start(Command::Prepare) => "POST /actions/prepare-update",
            Self::Start(Command::Activate) => "POST /actions/activate-update",
            Self::Start(Command::Deactivate) => "POST /actions/deactivate-update",
            Self::Reboot => "POST /actions/reboot",
        };
        let mut request = Vec::new();
        put!(&mut request, line, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        request
    }

    /// The name of the call in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Start(command) => command.name(),
            Self::Reboot => "reboot",
        }
    }
}
