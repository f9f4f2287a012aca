//! What happened on the node, one line each, for people who watch.

use crate::calendar;
use crate::command::Command;
use crate::status::State;
use std::fmt;
use std::time::Duration;

/// Something that happened. Shown as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, since the Unix epoch.
    pub at: Duration,
    /// What.
    pub kind: EventKind,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A request was answered.
    Answered {
        /// Such as `GET`.
        method: String,
        /// Such as `/updates/status`.
        path: String,
        /// The answer's status.
        status: u16,
        /// The answer's body when it is a text for people; else empty.
        text: String,
    },
    /// A request fell victim to a fault and was not carried out.
    Dropped {
        /// Such as `GET`.
        method: String,
        /// Such as `/updates/status`.
        path: String,
    },
    /// No complete request came in time: answered with 408.
    TooSlow,
    /// Something that is no request came: answered with 400.
    NotARequest,
    /// A command began to run.
    Started(Command),
    /// A command ended.
    Ended {
        /// Which.
        command: Command,
        /// Its exit status; 0 is success.
        exit_status: i32,
        /// What it printed.
        stderr: String,
    },
    /// The update state changed.
    Changed {
        /// Before; `None` when there was no status.
        from: Option<State>,
        /// After; `None` when a reboot took the status away.
        to: Option<State>,
    },
    /// The node came up again.
    Booted {
        /// The new boot's id.
        boot_id: String,
        /// What runs now.
        version: String,
        /// The version that should have come up, but did not.
        instead_of: Option<String>,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", calendar::time_of_day(self.at))?;
        match &self.kind {
            EventKind::Answered { method, path, status, text } => {
                write!(f, "{} {}: {status}", method.escape_debug(), path.escape_debug())?;
                first_line(f, text)
            }
            EventKind::Dropped { method, path } => {
                write!(f, "{} {}: not carried out", method.escape_debug(), path.escape_debug())
            }
            EventKind::TooSlow => f.write_str("no complete request in time: 408"),
            EventKind::NotARequest => f.write_str("not a request: 400"),
            EventKind::Started(command) => write!(f, "{} started", command.name()),
            EventKind::Ended { command, exit_status: 0, stderr } => {
                write!(f, "{} done", command.name())?;
                first_line(f, stderr)
            }
            EventKind::Ended { command, exit_status, stderr } => {
                write!(f, "{} failed, exit status {exit_status}", command.name())?;
                first_line(f, stderr)
            }
            EventKind::Changed { from, to } => {
                let name = |state: &Option<State>| state.map_or("no status", State::name);
                write!(f, "state: {} -> {}", name(from), name(to))
            }
            EventKind::Booted { boot_id, version, instead_of } => {
                write!(f, "booted {version}, boot id {boot_id}")?;
                match instead_of {
                    Some(other) => write!(f, ": {other} did not come up, fell back"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn first_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    match text.lines().next() {
        Some(line) => write!(f, ", {}", line.escape_debug()),
        None => Ok(()),
    }
}
