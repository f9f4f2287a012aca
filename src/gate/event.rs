//! Events: what the gate logs.
//!
//! An event that the updater has as well has the same name, level and message in both.

use crate::api::status::{Image, Status};
use crate::api::{Call, CallError};
use crate::gate::rule::Opening;
use crate::reboot::end::{End, Warning};
use crate::record::RebootRecord;
use crate::reporting::fields::add_image;
use crate::reporting::log::{Format, Level, Record};
use crate::text::errno::ErrnoText;
use crate::text::excerpt::Sanitized;
use core::time::Duration;
use rustix::io::Errno;

/// What ends the wait, for the log. An operator can do the last one.
const UNTIL: &str = "another version is Ready, none is chosen any more, or an operator runs in \
                     this container: /usr/local/bin/bottlerocket-gate -release";

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Kured may start.
    Opened {
        /// Why.
        opening: Opening<'a>,
        /// Whether the gate had waited, and the record was removed meanwhile.
        released: bool,
        /// The record, if there is one.
        record: Option<&'a RebootRecord>,
        /// The version that runs, if it is known.
        running: Option<&'a str>,
        /// How long the gate has waited.
        waited: Duration,
    },
    /// The version did not boot, and Kured must not start.
    Held {
        /// The record.
        record: &'a RebootRecord,
        /// The version that did not boot, if it is not the one of the record.
        failed: Option<Image<'a>>,
        /// The status, if it is known.
        status: Option<&'a Status<'a>>,
        /// How long the gate has waited.
        waited: Duration,
    },
    /// The version that did not boot is Ready again, and the gate reboots the node.
    TryingAgain {
        /// The version.
        image: Image<'a>,
        /// The version that runs.
        running: &'a str,
        /// How often it has failed to boot.
        failed_boots: u64,
    },
    /// There is something to know about the reboot that the gate requests.
    RebootWarning(Warning<'a>),
    /// The reboot is under way.
    RebootRequested(End<'a>),
    /// The reboot was not requested, or failed.
    RebootFailed(End<'a>),
    /// The record or the boot id cannot be read.
    RecordUnreadable {
        /// The step that failed, as in "cannot ...".
        tried: &'static str,
        /// The path of the file.
        path: &'a [u8],
        /// The kernel's error. `None` if the file is damaged.
        error: Option<Errno>,
    },
    /// The version that runs cannot be read.
    VersionUnreadable {
        /// The path of the file.
        path: &'a [u8],
        /// The kernel's error. `None` if the file does not have it.
        error: Option<Errno>,
    },
    /// The record cannot be written or removed.
    RecordNotSaved {
        /// The step that failed, as in "cannot ...".
        tried: &'static str,
        /// The path of the file.
        path: &'a [u8],
        /// The kernel's error.
        error: Errno,
    },
    /// The status cannot be read: the first time, or the first with this kind of error.
    ApiLost {
        /// Why there is no usable answer.
        error: CallError<'a>,
        /// The path of the API's socket.
        socket: &'a [u8],
    },
    /// The API answers again.
    ApiBack {
        /// The time since the first call without a usable answer.
        after: Duration,
    },
    /// The socket was unreachable for too long, and the gate ends.
    GaveUp {
        /// The time since the socket was first unreachable.
        after: Duration,
        /// The last error.
        error: CallError<'a>,
    },
    /// The kernel does not let the program wait, and the program ends. This is not
    /// expected.
    WaitFailed {
        /// The kernel's error.
        error: Errno,
    },
    /// A signal stopped the program.
    Stopped {
        /// The name of the signal.
        signal: &'a str,
    },
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// [`Event::Opened`]
    Opened,
    /// [`Event::Held`]
    Held,
    /// [`Event::TryingAgain`]
    TryingAgain,
    /// [`Event::RebootWarning`]
    RebootWarning,
    /// [`Event::RebootRequested`]
    RebootRequested,
    /// [`Event::RebootFailed`]
    RebootFailed,
    /// [`Event::RecordUnreadable`]
    RecordUnreadable,
    /// [`Event::VersionUnreadable`]
    VersionUnreadable,
    /// [`Event::RecordNotSaved`]
    RecordNotSaved,
    /// [`Event::ApiLost`]
    ApiLost,
    /// [`Event::ApiBack`]
    ApiBack,
    /// [`Event::GaveUp`]
    GaveUp,
    /// [`Event::WaitFailed`]
    WaitFailed,
    /// [`Event::Stopped`]
    Stopped,
}

impl EventKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 14] = [
        Self::Opened,
        Self::Held,
        Self::TryingAgain,
        Self::RebootWarning,
        Self::RebootRequested,
        Self::RebootFailed,
        Self::RecordUnreadable,
        Self::VersionUnreadable,
        Self::RecordNotSaved,
        Self::ApiLost,
        Self::ApiBack,
        Self::GaveUp,
        Self::WaitFailed,
        Self::Stopped,
    ];

    /// How much it matters, its name in the log, and what happened, for people.
    fn describe(self) -> (Level, &'static str, &'static str) {
        match self {
            Self::Opened => (Level::Info, "opened", "Kured may start"),
            Self::Held => (
                Level::Error,
                "held_by_gate",
                "the version did not boot, and the gate keeps Kured from starting on this node",
            ),
            Self::TryingAgain => (
                Level::Info,
                "trying_again",
                "the version that did not boot is Ready again; rebooting the node into it once more",
            ),
            Self::RebootWarning => {
                (Level::Error, "reboot_warning", "a problem while requesting the reboot; going on")
            }
            Self::RebootRequested => {
                (Level::Info, "reboot_requested", "the gate has requested the reboot")
            }
            Self::RebootFailed => (
                Level::Error,
                "reboot_failed",
                "the reboot failed; it is tried again in ten minutes if the version is still Ready",
            ),
            Self::RecordUnreadable => (
                Level::Error,
                "record_unreadable",
                "cannot read the record of the last reboot; continuing without it",
            ),
            Self::VersionUnreadable => (
                Level::Error,
                "version_unreadable",
                "cannot read which version runs; continuing without it",
            ),
            Self::RecordNotSaved => (
                Level::Error,
                "record_not_saved",
                "cannot change the record of the last reboot; if the gate holds the node by mistake, run bottlerocket-gate -release",
            ),
            Self::ApiLost => (Level::Error, "api_lost", "the API is unavailable"),
            Self::ApiBack => (Level::Info, "api_back", "the API is available again"),
            Self::GaveUp => (
                Level::Error,
                "gave_up",
                "the socket is unreachable; exiting so that a restarted container mounts a new one",
            ),
            Self::WaitFailed => (Level::Error, "wait_failed", "cannot wait; exiting"),
            Self::Stopped => (Level::Info, "stopped", "stopped"),
        }
    }

    /// How much it matters.
    pub fn level(self) -> Level {
        self.describe().0
    }

    /// The name, in the log.
    pub fn name(self) -> &'static str {
        self.describe().1
    }

    /// What happened, for people.
    pub fn message(self) -> &'static str {
        self.describe().2
    }
}

impl Event<'_> {
    /// The kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Opened { .. } => EventKind::Opened,
            Self::Held { .. } => EventKind::Held,
            Self::TryingAgain { .. } => EventKind::TryingAgain,
            Self::RebootWarning(_) => EventKind::RebootWarning,
            Self::RebootRequested(_) => EventKind::RebootRequested,
            Self::RebootFailed(_) => EventKind::RebootFailed,
            Self::RecordUnreadable { .. } => EventKind::RecordUnreadable,
            Self::VersionUnreadable { .. } => EventKind::VersionUnreadable,
            Self::RecordNotSaved { .. } => EventKind::RecordNotSaved,
            Self::ApiLost { .. } => EventKind::ApiLost,
            Self::ApiBack { .. } => EventKind::ApiBack,
            Self::GaveUp { .. } => EventKind::GaveUp,
            Self::WaitFailed { .. } => EventKind::WaitFailed,
            Self::Stopped { .. } => EventKind::Stopped,
        }
    }

    /// The log record of this event, without its newline, at `utc`: the time since
    /// 1970-01-01 00:00:00 UTC.
    pub fn record(&self, format: Format, utc: Duration) -> Record {
        let (level, name, message) = self.kind().describe();
        let mut record = Record::new(format, utc, level, name, message);
        self.add_fields(&mut record);
        record
    }

    /// Adds the event's own fields.
    fn add_fields(&self, line: &mut Record) {
        match *self {
            Self::Opened { opening, released, record, running, waited } => {
                line.text("reason", if released { "released" } else { opening.name() });
                if let Some(record) = record {
                    add_image(line, record.image.image());
                }
                if let Some(running) = running {
                    line.text("running", running);
                }
                if let Some(next) = opening.next() {
                    line.text("next", next.version);
                }
                line.duration("waited", waited);
            }
            Self::Held { record, failed, status, waited } => {
                add_image(line, failed.unwrap_or(record.image.image()));
                line.text("running", &record.running);
                line.show("attempts", &record.attempts);
                line.text("state", status.map_or("unknown", |status| status.state.name()));
                let chosen = status.and_then(|status| status.chosen);
                line.text("chosen", chosen.map_or("", |image| image.version));
                line.duration("waited", waited);
                line.text("until", UNTIL);
            }
            Self::TryingAgain { image, running, failed_boots } => {
                add_image(line, image);
                line.text("running", running);
                line.show("failed_boots", &failed_boots);
            }
            Self::RebootWarning(warning) => line.show("warning", &warning),
            Self::RebootRequested(end) | Self::RebootFailed(end) => line.show("result", &end),
            Self::RecordUnreadable { tried, path, error } => {
                line.text("tried", tried);
                line.show("path", &Sanitized(path));
                add_error(line, error, "the file is damaged");
            }
            Self::VersionUnreadable { path, error } => {
                line.show("path", &Sanitized(path));
                add_error(line, error, "the file has no VERSION_ID");
            }
            Self::RecordNotSaved { tried, path, error } => {
                line.text("tried", tried);
                line.show("path", &Sanitized(path));
                line.show("error", &ErrnoText(error));
            }
            Self::ApiLost { error, socket } => {
                line.text("call", Call::Status.name());
                line.show("error", &error);
                line.show("socket", &Sanitized(socket));
            }
            Self::ApiBack { after } => line.duration("after", after),
            Self::GaveUp { after, error } => {
                line.duration("after", after);
                line.show("error", &error);
            }
            Self::WaitFailed { error } => line.show("error", &ErrnoText(error)),
            Self::Stopped { signal } => line.text("signal", signal),
        }
    }
}

/// Adds the kernel's error, or what is wrong with the contents of a file.
fn add_error(line: &mut Record, error: Option<Errno>, contents: &str) {
    match error {
        Some(error) => line.show("error", &ErrnoText(error)),
        None => line.text("error", contents),
    }
}

#[cfg(test)]
mod tests;
