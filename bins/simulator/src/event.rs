//! The events of a node. Each is one line for people.

use crate::calendar;
use crate::command::Command;
use crate::status::State;
use std::fmt;
use std::time::Duration;

/// An event. It is shown as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The time of the event, since the Unix epoch.
    pub at: Duration,
    /// The kind of event.
    pub kind: EventKind,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The server answered a request.
    Answered {
        /// Such as `GET`.
        method: String,
        /// Such as `/updates/status`.
        path: String,
        /// The status of the answer.
        status: u16,
        /// The body of the answer, or nothing if the answer is a JSON document.
        text: String,
    },
    /// A fault replaced the answer, and the request was not carried out.
    Dropped {
        /// Such as `GET`.
        method: String,
        /// Such as `/updates/status`.
        path: String,
    },
    /// No complete request came in time. The answer was 408.
    RequestTimeout,
    /// The bytes were not a request. The answer was 400.
    BadRequest,
    /// The request had too many headers, or its head was too long. The answer was 431.
    TooLarge,
    /// A command started.
    Started(Command),
    /// A command ended.
    Ended {
        /// The command.
        command: Command,
        /// The exit status; 0 is success.
        exit_status: i32,
        /// The text that the command printed.
        stderr: String,
    },
    /// A command did its work, but the server was killed before it wrote the status.
    CutOff(Command),
    /// The update state changed.
    Changed {
        /// The old state, or `None` if there was no status.
        from: Option<State>,
        /// The new state, or `None` after a reboot.
        to: Option<State>,
    },
    /// The node is off, and all that it had in memory is lost.
    PoweredOff,
    /// The node booted again.
    Booted {
        /// The id of the new boot.
        boot_id: String,
        /// The version that runs now.
        version: String,
        /// The activated version, if it did not boot.
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
            EventKind::RequestTimeout => f.write_str("request timed out: 408"),
            EventKind::BadRequest => f.write_str("not a request: 400"),
            EventKind::TooLarge => f.write_str("request head too large: 431"),
            EventKind::Started(command) => write!(f, "{} started", command.name()),
            EventKind::Ended { command, exit_status: 0, stderr } => {
                write!(f, "{} succeeded", command.name())?;
                first_line(f, stderr)
            }
            EventKind::Ended { command, exit_status, stderr } => {
                write!(f, "{} failed, exit status {exit_status}", command.name())?;
                first_line(f, stderr)
            }
            EventKind::CutOff(command) => {
                write!(f, "{} worked, but the server was killed", command.name())
            }
            EventKind::Changed { from, to } => {
                let name = |state: &Option<State>| state.map_or("no status", State::name);
                write!(f, "state: {} -> {}", name(from), name(to))
            }
            EventKind::PoweredOff => f.write_str("off"),
            EventKind::Booted { boot_id, version, instead_of } => {
                write!(f, "booted {version}, boot id {boot_id}")?;
                match instead_of {
                    Some(other) => write!(f, ": {other} did not boot, rolled back"),
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
