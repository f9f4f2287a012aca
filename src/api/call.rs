//! The calls of the API, and the requests that are sent for them.

use crate::text::put;
use heapless::Vec;

/// A command that changes the state of a node's update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Looks for updates.
    Refresh,
    /// Writes the chosen update to the other partition set.
    Prepare,
    /// Makes the next boot one from the other partition set.
    Activate,
    /// Takes the activation back.
    Deactivate,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 4] = [Self::Refresh, Self::Prepare, Self::Activate, Self::Deactivate];

    /// Its place in [`Command::ALL`].
    pub fn number(self) -> usize {
        self as usize
    }

    /// The name that the status document has for it.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Read the status.
    Status,
    /// Start a command.
    Start(Command),
    /// Reboot the node.
    Reboot,
}

/// The longest request, in bytes.
const REQUEST_MAX: usize = 96;

impl Call {
    /// The bytes to send.
    pub fn request(self) -> Vec<u8, REQUEST_MAX> {
        let mut request = Vec::new();
        let call = match self {
            Self::Status => "GET /updates/status",
            Self::Start(Command::Refresh) => "POST /actions/refresh-updates",
            Self::Start(Command::Prepare) => "POST /actions/prepare-update",
            Self::Start(Command::Activate) => "POST /actions/activate-update",
            Self::Start(Command::Deactivate) => "POST /actions/deactivate-update",
            Self::Reboot => "POST /actions/reboot",
        };
        // There is room for the longest: a test looks at each of them.
        put(&mut request, &[call, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]);
        request
    }

    /// What it asks for, in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Start(command) => command.name(),
            Self::Reboot => "reboot",
        }
    }
}
