//! What an operator is told while a node is updated: every event that there is,
//! and its text.

use crate::api::{Call, CallError, Command, Refusal};
use crate::duration::Short;
use crate::excerpt::Shown;
use crate::log::{Level, Record};
use crate::status::{Image, LastCommand, Status, Text};
use core::time::Duration;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The daemon begins: the socket, and the time between two cycles.
    Started(&'a [u8], Duration),
    /// Somebody else's command holds the lock.
    Busy,
    /// The node prepares this update.
    Preparing(&'a Update),
    /// A command has done what it was sent for, with this version, in this time.
    Done(Command, &'a str, Duration),
    /// A command has not, in this time.
    Failed(Command, &'a LastCommand<'a>, Duration),
    /// A command is still running after this time.
    Overdue(Command, Duration),
    /// A command has ended without a trace.
    Vanished(Command),
    /// A command succeeds again and again, and leaves the node as it was.
    Stuck(Command),
    /// The API refuses a command that the state of the node asks for.
    Refused(Command, &'a Refusal<'a>),
    /// Somebody else's command holds the lock for longer than any may take.
    Locked(Duration),
    /// A cycle ends: no update is chosen.
    Nothing(&'a Status<'a>),
    /// A cycle ends: an update waits for the reboot.
    Ready(&'a Status<'a>),
    /// A call of the API does not work, and did before.
    ApiLost(Call, CallError<'a>),
    /// It works again, after this time.
    ApiBack(Duration),
    /// The socket stays away for this time, last with this error.
    GaveUp(Duration, CallError<'a>),
    /// The program was asked to stop, by this signal.
    Stopped(&'a str),
}

/// The update that is being made. What is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// The version that is running.
    pub running: Text,
    /// The version that was chosen.
    pub version: Text,
    /// Its variant.
    pub variant: Text,
    /// Its architecture.
    pub arch: Text,
}

impl Event<'_> {
    /// How much it matters, and what happened, in a few words.
    pub fn summary(&self) -> (Level, &'static str) {
        use Command::{Activate, Deactivate, Prepare, Refresh};
        match self {
            Self::Started(..) => (Level::Info, "started"),
            Self::Busy => (Level::Info, "another update command is running, waiting for it"),
            Self::Preparing(_) => (Level::Info, "update found, preparing it"),
            Self::Done(Refresh, ..) => (Level::Info, "refreshed"),
            Self::Done(Prepare, ..) => (Level::Info, "prepared"),
            Self::Done(Activate, ..) => (Level::Info, "activated"),
            Self::Done(Deactivate, ..) => {
                (Level::Info, "deactivated, because another version is chosen")
            }
            Self::Failed(..) => (Level::Error, "command failed"),
            Self::Overdue(..) => (Level::Error, "command takes too long, not waiting any longer"),
            Self::Vanished(_) => (Level::Error, "command ended without a result"),
            Self::Stuck(_) => (Level::Error, "commands succeed without effect"),
            Self::Refused(..) => (Level::Error, "command refused"),
            Self::Locked(_) => {
                (Level::Error, "another update command does not end, not waiting any longer")
            }
            Self::Nothing(_) => (Level::Info, "nothing to do"),
            Self::Ready(_) => (Level::Info, "ready, waiting for the reboot"),
            Self::ApiLost(..) => (Level::Error, "the API cannot be used"),
            Self::ApiBack(_) => (Level::Info, "the API can be used again"),
            Self::GaveUp(..) => (
                Level::Error,
                "giving up: a restart of the container mounts the socket afresh, if there is one",
            ),
            Self::Stopped(_) => (Level::Info, "stopped"),
        }
    }

    /// Adds the particulars to a record that has the summary.
    pub fn describe(&self, record: &mut Record) {
        match *self {
            Self::Started(socket, interval) => {
                record.text("version", env!("CARGO_PKG_VERSION"));
                record.field("socket", &Shown(socket));
                record.field("interval", &Short(interval));
            }
            Self::Busy => {}
            Self::Preparing(update) => {
                record.text("running", &update.running);
                record.text("version", &update.version);
                record.text("variant", &update.variant);
                record.text("arch", &update.arch);
            }
            Self::Done(_, version, took) => {
                record.text("version", version);
                record.field("took", &Short(took));
            }
            Self::Failed(command, last, took) => {
                record.text("command", command.name());
                record.text("status", last.outcome);
                if !last.exit_status.is_empty() {
                    record.text("exit_status", last.exit_status);
                }
                record.field("took", &Short(took));
                record.field("stderr", last.stderr);
            }
            Self::Overdue(command, after) => {
                record.text("command", command.name());
                record.field("timeout", &Short(after));
            }
            Self::Vanished(command) | Self::Stuck(command) => {
                record.text("command", command.name());
            }
            Self::Refused(command, refusal) => {
                record.text("command", command.name());
                record.field("error", refusal);
            }
            Self::Locked(after) => record.field("after", &Short(after)),
            Self::Nothing(status) => {
                record.text("state", status.state.name());
                running(record, status);
            }
            Self::Ready(status) => {
                record.text("state", status.state.name());
                record.text("next", status.staged.map_or("", |image| image.version));
                running(record, status);
            }
            Self::ApiLost(call, error) => {
                record.text("call", call.name());
                record.field("error", &error);
            }
            Self::ApiBack(after) => record.field("after", &Short(after)),
            Self::GaveUp(after, error) => {
                record.field("after", &Short(after));
                record.field("error", &error);
            }
            Self::Stopped(signal) => record.text("signal", signal),
        }
    }
}

fn running(record: &mut Record, status: &Status) {
    if let Some(Image { version, variant, arch }) = status.running {
        record.text("running", version);
        record.text("variant", variant);
        record.text("arch", arch);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::api::AnswerError;
    use crate::excerpt::Excerpt;
    use crate::json::STRING_MAX;
    use crate::log::{Format, RECORD_MAX};
    use crate::status::{State, copy};
    use rustix::io::Errno;
    use std::string::String;
    use std::vec::Vec;

    /// Texts of the greatest length, of characters that need an escape each.
    const QUOTES: &str = match str::from_utf8(&[b'"'; STRING_MAX]) {
        Ok(quotes) => quotes,
        Err(_) => "",
    };
    const LONG: Duration = Duration::MAX;

    #[test]
    fn the_longest_records_fit() {
        assert_eq!(copy(QUOTES), QUOTES);
        let mut excerpt = Excerpt::default();
        (0..100_000).for_each(|_| excerpt.push('"'));
        let reason = Refusal { code: u16::MAX, reason: &excerpt };
        let image = Some(Image { version: QUOTES, variant: QUOTES, arch: QUOTES });
        let last_command = LastCommand {
            name: QUOTES,
            outcome: QUOTES,
            timestamp: QUOTES,
            exit_status: QUOTES,
            stderr: &excerpt,
        };
        let status = Status {
            state: State::Available,
            chosen: image,
            running: image,
            staged: image,
            last_command: Some(last_command),
        };
        let [running, version, variant, arch] = [(); 4].map(|()| copy(QUOTES));
        let update = Update { running, version, variant, arch };
        let mut path = Vec::new();
        path.resize(100_000, b'"');
        let refused = CallError::Answer(AnswerError::Refused(reason));
        let command = Command::Deactivate;
        let events = [
            Event::Started(&path, LONG),
            Event::Busy,
            Event::Preparing(&update),
            Event::Done(command, &update.version, LONG),
            Event::Failed(command, &last_command, LONG),
            Event::Overdue(command, LONG),
            Event::Vanished(command),
            Event::Stuck(command),
            Event::Refused(command, &reason),
            Event::Locked(LONG),
            Event::Nothing(&status),
            Event::Ready(&status),
            Event::ApiLost(Call::Start(command), refused),
            Event::ApiLost(Call::Start(command), CallError::Connect(Errno::CONNREFUSED)),
            Event::ApiBack(LONG),
            Event::GaveUp(LONG, refused),
            Event::GaveUp(LONG, CallError::Connect(Errno::NOENT)),
            Event::Stopped("SIGTERM"),
        ];
        for event in events {
            for format in [Format::Logfmt, Format::Json] {
                let (level, message) = event.summary();
                let mut record = Record::new(format, LONG, level, message);
                event.describe(&mut record);
                if let Event::ApiLost(..) = event {
                    // The program adds a path, and one that long is not used.
                    record.field("socket", &Shown(path.get(..108).unwrap()));
                }
                let line = String::from_utf8(record.finish().to_vec()).unwrap();
                // What finds no room is left out. Nothing is added in pieces
                // as long as this, so nothing can have been.
                assert!(line.len() + 300 <= RECORD_MAX, "{}: {line}", line.len());
                assert!(line.ends_with('\n'), "{line}");
            }
        }
    }
}
