//! What an operator is told while a node is updated: every event that there is,
//! and its text.

use crate::api::status::{LastCommand, Status, Text};
use crate::api::{Answer, Call, CallError, Command, Refusal};
use crate::text::duration::HumanDuration;
use crate::text::errno::ErrnoText;
use crate::text::excerpt::Sanitized;
use crate::text::{Show, cut};
use crate::updater::history::Entry;
use crate::updater::log::{Format, Level, Record, Timestamp};
use core::ops::RangeInclusive;
use core::time::Duration;

/// Something that happened.
// The kind of event is a byte of its own, which less code reads and writes than
// one that is hidden in a duration.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub enum Event<'a> {
    /// The daemon begins: the socket, and the time between two cycles.
    Started(&'a [u8], Duration),
    /// Metrics are served on this address, as the operator has written it, and
    /// this port.
    ServingMetrics(&'a [u8], u16),
    /// Somebody else's command holds the lock.
    LockHeld,
    /// The node prepares this update.
    Preparing(&'a Update),
    /// A command that takes long is still running after this time.
    StillRunning(Command, Duration),
    /// A command has done what it was sent for, with this version, in this time.
    Done(Command, &'a str, Duration),
    /// A command has not, in this time.
    CommandFailed(Command, &'a LastCommand<'a>, Duration),
    /// A command is still running after this time.
    CommandOverdue(Command, Duration),
    /// A command has ended without a trace.
    CommandVanished(Command),
    /// A command succeeds again and again, and leaves the node as it was.
    CommandWithoutEffect(Command),
    /// The API refuses a command that the state of the node asks for.
    CommandRefused(Command, &'a Refusal<'a>),
    /// Somebody else's command holds the lock for longer than any may take.
    LockStuck(Duration),
    /// A cycle ends: no update is chosen.
    NothingToDo(&'a Status<'a>),
    /// A cycle ends: an update waits for the reboot.
    Ready(&'a Status<'a>),
    /// A cycle ends: an update waits for somebody else to activate it.
    Staged(&'a Status<'a>),
    /// A cycle ends: an update waits for the next window, which opens then, the
    /// time since 1970-01-01 00:00:00 UTC.
    WindowClosed(&'a Status<'a>, Duration),
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
    /// A call of the API was answered, or not, in this time.
    ApiCall(Call, &'a Result<Answer<'a>, CallError<'a>>, Duration),
    /// What was remembered is of no use, and was set aside.
    StateDamaged,
    /// What is remembered cannot be read or written, for this reason: "cannot
    /// ..." and the kernel's answer.
    StateLost(&'a str, ErrnoText),
    /// The socket stays away for this time, last with this error.
    GaveUp(Duration, CallError<'a>),
    /// The program was asked to stop, by this signal.
    Stopped(&'a str),
}

/// The update that is being made: the version that is running, the version that
/// was chosen, its variant and its architecture. What is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update(pub [Text; 4]);

/// All events: how much each matters, its name in the log and in the metrics, the
/// keys of its particulars, and what it says to people.
///
/// In front of each key stands what its value is: `=` a text, `?` a text that is
/// left out if it is empty, `~` a duration, `!` a time, `#` a number, `%` bytes,
/// `@` what else is shown. Behind the last key there is a comma, too.
const EVENTS: &str = "\
info started =version,%socket,~interval, started
info serving_metrics %address,#port, serving metrics
info lock_held - another update command is running, waiting for it
info preparing =running,=version,=variant,=arch, update found, preparing it
info still_running =command,~took, still running
debug refreshed =version,~took, refreshed
info prepared =version,~took, prepared
info activated =version,~took, activated
info deactivated =version,~took, deactivated, because another version is chosen
error command_failed =command,=status,?exit_status,~took,@stderr, command failed
error command_overdue =command,~timeout, command takes too long, not waiting any longer
error command_vanished =command, command ended without a result
error command_without_effect =command, commands succeed without effect
error command_refused =command,@error, command refused
error lock_stuck ~after, another update command does not end, not waiting any longer
info nothing_to_do =state,=running,=variant,=arch, nothing to do
info ready =state,=next,=running,=variant,=arch, ready, waiting for the reboot
info staged =state,=next,=running,=variant,=arch, staged, not activating it (-stage-only)
info window_closed =state,=version,!opens, update waits for the next window
info held_back =version,=variant,=arch,#failed_boots,~retry_in, \
version is held back, because it did not boot
error rolled_back =version,=variant,=arch,#failed_boots,~retry_in,=running, \
the new version did not boot, and the old one runs: holding it back
info updated =version,=variant,=arch,=before, the new version runs
error api_lost =call,@error, the API cannot be used
info api_back ~after, the API can be used again
debug api_call =call,=answer,~took, called the API
error state_damaged - the state file is damaged: keeping it as state.damaged, starting anew
error state_lost =tried,@error, \
cannot keep state: a version that does not boot may be tried again
error gave_up ~after,@error, \
giving up: a restart of the container mounts the socket afresh, if there is one
info stopped =signal, stopped
";

/// The numbers of the events that tell how a cycle ends, if nothing went wrong.
pub const CYCLE_ENDS: RangeInclusive<u8> = 15..=19;

/// How many events there are.
pub const COUNT: usize = 29;

/// The line of the event with this number, counted from 0, in its parts.
fn parts(number: usize) -> [&'static str; 4] {
    let (mut lines, mut line) = (EVENTS, "");
    for _ in 0..=number.min(COUNT) {
        line = cut(&mut lines, b'\n');
    }
    let [level, name, keys] = [(); 3].map(|()| cut(&mut line, b' '));
    [level, name, keys, line]
}

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

/// The summary of the event with this number, counted from 0. From [`COUNT`] on, the
/// name is empty.
pub fn summary(number: usize) -> Summary {
    let [level, name, _, message] = parts(number);
    let level = match level.as_bytes() {
        [b'e', ..] => Level::Error,
        [b'i', ..] => Level::Info,
        _ => Level::Debug,
    };
    Summary { level, name, message }
}

/// The values of an event's particulars, as far as it has any of that kind.
// What is small comes first: reaching it takes less code.
#[repr(C)]
struct Values<'a> {
    time: HumanDuration,
    number: u64,
    bytes: Sanitized<'a>,
    shown: &'a dyn Show,
    /// How many texts there are at most; the keys behind them are left out.
    known: usize,
    texts: [&'a str; 5],
}

impl Event<'_> {
    /// Its number, counted from 0 and below [`COUNT`].
    pub fn number(&self) -> usize {
        // The kinds are counted without gaps: so it is no table.
        let kind = match self {
            Self::Started(..) => 0,
            Self::ServingMetrics(..) => 1,
            Self::LockHeld => 2,
            Self::Preparing(_) => 3,
            Self::StillRunning(..) => 4,
            Self::Done(..) => 5,
            Self::CommandFailed(..) => 6,
            Self::CommandOverdue(..) => 7,
            Self::CommandVanished(_) => 8,
            Self::CommandWithoutEffect(_) => 9,
            Self::CommandRefused(..) => 10,
            Self::LockStuck(_) => 11,
            Self::NothingToDo(_) => 12,
            Self::Ready(_) => 13,
            Self::Staged(_) => 14,
            Self::WindowClosed(..) => 15,
            Self::HeldBack(..) => 16,
            Self::RolledBack(..) => 17,
            Self::Updated(_) => 18,
            Self::ApiLost(..) => 19,
            Self::ApiBack(_) => 20,
            Self::ApiCall(..) => 21,
            Self::StateDamaged => 22,
            Self::StateLost(..) => 23,
            Self::GaveUp(..) => 24,
            Self::Stopped(_) => 25,
        };
        // What a command has done has a number for each command.
        match self {
            Self::Done(command, ..) => kind + command.number(),
            _ if kind > 5 => kind + Command::ALL.len() - 1,
            _ => kind,
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
        let mut values = Values {
            time: HumanDuration(Duration::ZERO),
            number: 0,
            bytes: Sanitized(b""),
            shown: &"",
            known: 5,
            texts: [""; 5],
        };
        let [_, _, mut keys, _] = parts(self.number());
        self.describe(&mut values, &mut keys);
        values.add(keys, &mut record);
        record
    }

    /// Sets the values of its particulars, and other keys for them if need be.
    // Apart, it keeps its registers to itself: the programs are smaller.
    #[inline(never)]
    fn describe<'v>(&'v self, values: &mut Values<'v>, keys: &mut &str) {
        let Values { texts, known, bytes, shown, number, time } = values;
        let (Sanitized(bytes), HumanDuration(time)) = (bytes, time);
        let [one, two, three, four, five] = texts;
        match self {
            Self::Started(socket, interval) => {
                *one = env!("CARGO_PKG_VERSION");
                (*bytes, *time) = (socket, *interval);
            }
            Self::ServingMetrics(address, port) => {
                (*bytes, *number) = (address, (*port).into());
            }
            Self::LockHeld | Self::StateDamaged => {}
            Self::Preparing(Update([running, version, variant, arch])) => {
                (*one, *two, *three, *four) = (running, version, variant, arch);
            }
            Self::StillRunning(command, took) | Self::CommandOverdue(command, took) => {
                (*one, *time) = (command.name(), *took);
            }
            Self::Done(_, version, took) => (*one, *time) = (version, *took),
            Self::CommandFailed(command, last, took) => {
                (*one, *two, *three) = (command.name(), last.outcome, last.exit_status);
                *shown = last.stderr;
                *time = *took;
            }
            Self::CommandVanished(command) | Self::CommandWithoutEffect(command) => {
                *one = command.name()
            }
            Self::CommandRefused(command, refusal) => {
                *one = command.name();
                *shown = *refusal;
            }
            Self::LockStuck(after) | Self::ApiBack(after) => *time = *after,
            Self::NothingToDo(status) => {
                *one = status.state.name();
                match status.running {
                    Some(running) => (*two, *three, *four) = running.parts(),
                    None => *known = 1,
                }
            }
            Self::Ready(status) | Self::Staged(status) => {
                *one = status.state.name();
                *two = status.staged.map_or("", |image| image.version);
                match status.running {
                    Some(running) => (*three, *four, *five) = running.parts(),
                    None => *known = 2,
                }
            }
            Self::WindowClosed(status, opens) => {
                (*one, *time) = (status.state.name(), *opens);
                *two = status.chosen.map_or("", |image| image.version);
            }
            Self::HeldBack(held, left) | Self::RolledBack(held, left) => {
                (*one, *two, *three) = held.image.parts();
                (*four, *number, *time) = (held.before, held.failed_boots, *left);
            }
            Self::Updated(entry) => {
                (*one, *two, *three) = entry.image.parts();
                *four = entry.before;
            }
            Self::ApiLost(call, error) => {
                *one = call.name();
                *shown = error;
            }
            Self::ApiCall(call, answer, took) => {
                (*one, *time) = (call.name(), *took);
                match answer {
                    Ok(Answer::Status(status)) => *two = status.state.name(),
                    Ok(Answer::Uninitialized) => *two = "404",
                    Ok(Answer::Started) => *two = "204",
                    Ok(Answer::Busy) => *two = "423",
                    Ok(Answer::NotAllowed(refusal)) => {
                        *keys = "=call,@answer,~took,";
                        *shown = refusal;
                    }
                    Err(error) => {
                        *keys = "=call,@error,~took,";
                        *shown = error;
                    }
                }
            }
            Self::StateLost(tried, reason) => {
                *one = tried;
                *shown = reason;
            }
            Self::GaveUp(after, error) => {
                *time = *after;
                *shown = error;
            }
            Self::Stopped(signal) => *one = signal,
        }
    }
}

impl Values<'_> {
    /// Adds the values to a record, under these keys.
    #[inline(never)]
    fn add(&self, mut keys: &str, record: &mut Record) {
        let mut texts = self.texts.iter().take(self.known);
        // Ends: each turn takes a key; without one, its kind is none of these.
        loop {
            let (kind, key) = cut(&mut keys, b',').split_at_checked(1).unwrap_or_default();
            match kind.as_bytes() {
                b"=" | b"?" => {
                    let Some(text) = texts.next() else { return };
                    if kind == "=" || !text.is_empty() {
                        record.text(key, text);
                    }
                }
                // Never is not a long time that passes.
                b"~" if self.time.0 == Duration::MAX => record.text(key, "never"),
                b"~" => record.field(key, &self.time),
                b"!" => record.field(key, &Timestamp(self.time.0)),
                b"#" => record.field(key, &self.number),
                b"%" => record.field(key, &self.bytes),
                b"@" => record.field(key, self.shown),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;
