//! What an operator is told while a node is updated: every event that there is,
//! and its text.

use crate::api::{Answer, Call, CallError, Command, Refusal};
use crate::duration::Short;
use crate::errno::Reason;
use crate::excerpt::Shown;
use crate::history::Entry;
use crate::log::{Format, Level, Record, Timestamp};
use crate::status::{Image, LastCommand, Status, Text};
use crate::text::{Number, cut};
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
    /// A command that takes long is still running after this time.
    Running(Command, Duration),
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
    /// A cycle ends: an update waits for somebody else to activate it.
    Staged(&'a Status<'a>),
    /// A cycle ends: an update waits for the next window, which opens then, the
    /// time since 1970-01-01 00:00:00 UTC.
    Closed(&'a Status<'a>, Duration),
    /// A cycle ends: the chosen version did not come up, and is not tried again
    /// for this time.
    HeldBack(&'a Entry<'a>, Duration),
    /// This version was activated in another boot, and the node went back to the
    /// one that ran before; it is not tried again for this time.
    RolledBack(&'a Entry<'a>, Duration),
    /// This version was activated in another boot, and runs.
    Updated(&'a Entry<'a>),
    /// A call of the API does not work, and did before.
    ApiLost(Call, CallError<'a>),
    /// It works again, after this time.
    ApiBack(Duration),
    /// The socket stays away for this time, last with this error.
    GaveUp(Duration, CallError<'a>),
    /// The program was asked to stop, by this signal.
    Stopped(&'a str),
    /// A call of the API was answered, or not, in this time.
    Called(Call, &'a Result<Answer<'a>, CallError<'a>>, Duration),
    /// Metrics are served on this address, as the operator has written it, and
    /// this port.
    Serving(&'a [u8], u16),
    /// What was remembered is of no use, and was set aside.
    StateDamaged,
    /// What is remembered cannot be read or written, for this reason: "cannot
    /// ..." and the kernel's answer.
    StateLost(&'a str, Reason),
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

/// All events: how much each matters, its name in the log and in the metrics,
/// and what it says to people.
const EVENTS: &str = "\
info started started
info serving_metrics serving metrics
info lock_held another update command is running, waiting for it
info preparing update found, preparing it
info still_running still running
debug refreshed refreshed
info prepared prepared
info activated activated
info deactivated deactivated, because another version is chosen
error command_failed command failed
error command_overdue command takes too long, not waiting any longer
error command_vanished command ended without a result
error command_without_effect commands succeed without effect
error command_refused command refused
error lock_stuck another update command does not end, not waiting any longer
info nothing_to_do nothing to do
info ready ready, waiting for the reboot
info staged staged, not activating it (-stage-only)
info window_closed update waits for the next window
info held_back version is held back, because it did not boot
error rolled_back the new version did not boot, and the old one runs: holding it back
info updated the new version runs
error api_lost the API cannot be used
info api_back the API can be used again
debug api_call called the API
error state_damaged the state file is damaged: keeping it as state.damaged, starting anew
error state_lost cannot keep state: a version that does not boot may be tried again
error gave_up giving up: a restart of the container mounts the socket afresh, if there is one
info stopped stopped
";

/// How many events there are.
pub const COUNT: usize = 29;

/// Where the line of each event begins in [`EVENTS`], and where the last one ends.
const BEGINS: [u16; COUNT + 1] = {
    let (mut begins, mut line, mut at) = ([0; COUNT + 1], 1, 0);
    while at < EVENTS.len() {
        at += 1;
        if EVENTS.as_bytes()[at - 1] == b'\n' {
            begins[line] = at as u16;
            line += 1;
        }
    }
    begins
};

/// What is always the same about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How much it matters.
    pub level: Level,
    /// Its name, in the log and in the metrics.
    pub name: &'static str,
    /// What happened, in a few words.
    pub message: &'static str,
}

/// The summary of the event with this number, counted from 0.
pub fn summary(number: usize) -> Summary {
    let [begin, end] = [number, number + 1].map(|line| BEGINS.get(line).copied().unwrap_or(0));
    let line = EVENTS.get(begin.into()..usize::from(end).saturating_sub(1)).unwrap_or_default();
    let mut message = line;
    let (level, name) = (cut(&mut message, b' '), cut(&mut message, b' '));
    let level = match level.as_bytes() {
        [b'e', ..] => Level::Error,
        [b'i', ..] => Level::Info,
        _ => Level::Debug,
    };
    Summary { level, name, message }
}

impl Event<'_> {
    /// Its number, counted from 0 and below [`COUNT`].
    pub fn number(&self) -> usize {
        match self {
            Self::Started(..) => 0,
            Self::Serving(..) => 1,
            Self::Busy => 2,
            Self::Preparing(_) => 3,
            Self::Running(..) => 4,
            Self::Done(command, ..) => 5 + command.number(),
            Self::Failed(..) => 9,
            Self::Overdue(..) => 10,
            Self::Vanished(_) => 11,
            Self::Stuck(_) => 12,
            Self::Refused(..) => 13,
            Self::Locked(_) => 14,
            Self::Nothing(_) => 15,
            Self::Ready(_) => 16,
            Self::Staged(_) => 17,
            Self::Closed(..) => 18,
            Self::HeldBack(..) => 19,
            Self::RolledBack(..) => 20,
            Self::Updated(_) => 21,
            Self::ApiLost(..) => 22,
            Self::ApiBack(_) => 23,
            Self::Called(..) => 24,
            Self::StateDamaged => 25,
            Self::StateLost(..) => 26,
            Self::GaveUp(..) => 27,
            Self::Stopped(_) => 28,
        }
    }

    /// What is always the same about it.
    pub fn summary(&self) -> Summary {
        summary(self.number())
    }

    /// The class of error that it tells of, if it does.
    pub fn error_class(&self) -> Option<&'static str> {
        match self {
            Self::ApiLost(_, error) | Self::GaveUp(_, error) => Some(error.kind().name()),
            _ => {
                let Summary { level, name, .. } = self.summary();
                (level == Level::Error).then_some(name)
            }
        }
    }

    /// The record of it at `utc`, the time since 1970-01-01 00:00:00 UTC.
    pub fn record(&self, format: Format, utc: Duration) -> Record {
        let mut record = Record::new(format, utc, self.summary());
        self.describe(&mut record);
        record
    }

    /// Adds the particulars to a record that has the summary.
    fn describe(&self, record: &mut Record) {
        match *self {
            Self::Started(socket, interval) => {
                record.text("version", env!("CARGO_PKG_VERSION"));
                record.field("socket", &Shown(socket));
                record.field("interval", &Short(interval));
            }
            Self::Serving(address, port) => {
                record.field("address", &Shown(address));
                record.field("port", &Number(port.into()));
            }
            Self::Busy | Self::StateDamaged => {}
            Self::Preparing(update) => {
                record.text("running", &update.running);
                image(record, &update.version, &update.variant, &update.arch);
            }
            Self::Running(command, took) => {
                record.text("command", command.name());
                record.field("took", &Short(took));
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
            Self::Ready(status) | Self::Staged(status) => {
                record.text("state", status.state.name());
                record.text("next", status.staged.map_or("", |image| image.version));
                running(record, status);
            }
            Self::Closed(status, opens) => {
                record.text("state", status.state.name());
                record.text("version", status.chosen.map_or("", |image| image.version));
                record.field("opens", &Timestamp(opens));
            }
            Self::HeldBack(held, left) => describe_held(record, held, left),
            Self::RolledBack(held, left) => {
                describe_held(record, held, left);
                record.text("running", held.before);
            }
            Self::Updated(Entry { image: Image { version, variant, arch }, before, .. }) => {
                image(record, version, variant, arch);
                record.text("before", before);
            }
            Self::ApiLost(call, error) => {
                record.text("call", call.name());
                record.field("error", &error);
            }
            Self::ApiBack(after) => record.field("after", &Short(after)),
            Self::Called(call, answer, took) => {
                record.text("call", call.name());
                match answer {
                    Ok(Answer::Status(status)) => record.text("answer", status.state.name()),
                    Ok(Answer::NoStatus) => record.text("answer", "404"),
                    Ok(Answer::Started) => record.text("answer", "204"),
                    Ok(Answer::Busy) => record.text("answer", "423"),
                    Ok(Answer::NotAllowed(refusal)) => record.field("answer", refusal),
                    Err(error) => record.field("error", error),
                }
                record.field("took", &Short(took));
            }
            Self::StateLost(tried, reason) => {
                record.text("tried", tried);
                record.field("error", &reason);
            }
            Self::GaveUp(after, error) => {
                record.field("after", &Short(after));
                record.field("error", &error);
            }
            Self::Stopped(signal) => record.text("signal", signal),
        }
    }
}

fn describe_held(record: &mut Record, held: &Entry, left: Duration) {
    let Image { version, variant, arch } = held.image;
    image(record, version, variant, arch);
    record.field("failed_boots", &Number(held.failed_boots));
    match left {
        Duration::MAX => record.text("retry_in", "never"),
        left => record.field("retry_in", &Short(left)),
    }
}

fn image(record: &mut Record, version: &str, variant: &str, arch: &str) {
    record.text("version", version);
    record.text("variant", variant);
    record.text("arch", arch);
}

fn running(record: &mut Record, status: &Status) {
    if let Some(Image { version, variant, arch }) = status.running {
        record.text("running", version);
        record.text("variant", variant);
        record.text("arch", arch);
    }
}

#[cfg(test)]
mod tests;
