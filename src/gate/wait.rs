//! The wait of the gate: when it looks again, what it reports, when it requests a reboot,
//! and when it gives up.
//!
//! There are no sockets, no files and no clock here. Each look begins with the record.
//! If the decision depends on the status, the program reads that too. Then it does what
//! the step says, and looks again.
//!
//! ```text
//!        ┌──────────────── Wait, Reboot, TakeBack ◀─────────────┐
//!        ▼                                                      │
//!    on_record ──────────────▶ ReadStatus ──────────────▶ on_answer
//!        │                                                      │
//!        └────────────────────▶ Open ◀──────────────────────────┴─▶ GiveUp
//! ```

use crate::api::status::{Image, Status, Text, copy};
use crate::api::{Answer, CallError, ErrorKind};
use crate::gate::event::Event;
use crate::gate::rule::{Decision, Inputs, Opening, decide, is_empty};
use crate::record::RebootRecord;
use core::time::Duration;

/// How long the gate waits for the status.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after which it is reported again that the gate holds the node.
const HELD_REPORT: Duration = Duration::from_secs(10 * 60);
/// The time after which an outage that lasts is reported again.
const OUTAGE_REPORT: Duration = Duration::from_secs(60 * 60);
/// How long a node may take to go down after a reboot was requested. The kubelet's
/// graceful shutdown takes minutes. Until then, no other reboot is requested.
const REBOOT_MAX: Duration = Duration::from_secs(10 * 60);

/// What the operator has set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The time between two looks.
    pub interval: Duration,
    /// How long the socket may be missing or refused.
    pub give_up: Duration,
    /// How long the gate waits at most. `None` for as long as it takes.
    pub max_wait: Option<Duration>,
    /// How often a version may be booted while the node is drained.
    pub boot_attempts: u64,
}

/// What the program knows without the API. See [`Inputs`].
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The record, if there is one.
    pub record: Option<&'a RebootRecord>,
    /// Whether there is a record that cannot be read.
    pub unreadable: bool,
    /// The id of this boot.
    pub boot: Option<&'a str>,
    /// The version that runs.
    pub running: Option<&'a str>,
    /// The version that did not boot, by the updater's state.
    pub failed: Option<Image<'a>>,
    /// The path of the API's socket, for the log.
    pub socket: &'a [u8],
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Read the status, and pass the answer to [`Gate::on_answer`].
    ReadStatus,
    /// Wait for this time, then look again.
    Wait(Duration),
    /// Write what [`RebootRecord::again`] says, and request the reboot into this image.
    /// Then tell [`Gate::on_reboot`], and look again after the interval.
    Reboot(Image<'a>),
    /// Replace the record with what [`RebootRecord::taken_back`] says, and look again
    /// after the interval.
    TakeBack,
    /// Let Kured start. Remove the record first if [`Opening::removes_record`].
    Open(Opening<'a>),
    /// End: the socket has been unreachable for too long.
    GiveUp,
}

/// A gate.
#[derive(Debug)]
pub struct Gate {
    settings: Settings,
    /// When it began to wait.
    begun: Duration,
    /// When it was reported last that the gate holds the node.
    reported: Option<Duration>,
    /// When a reboot was requested last.
    rebooted: Option<Duration>,
    /// When the record could not be written.
    unsaved: Option<Duration>,
    /// The timestamp of the first refresh that has left the node empty. `None` if a later
    /// status has shown anything else.
    emptied: Option<Text>,
    outage: Option<Outage>,
}

/// A time in which the status cannot be read.
#[derive(Debug, Clone, Copy)]
struct Outage {
    /// When it began.
    since: Duration,
    /// The kind of error that was reported last.
    reported: ErrorKind,
    /// When it was reported.
    reported_at: Duration,
    /// Since when the socket has been missing or refused.
    stale_since: Option<Duration>,
}

impl Gate {
    /// A gate that begins to wait at the time `now`.
    pub fn begin(settings: Settings, now: Duration) -> Self {
        Self {
            settings,
            begun: now,
            reported: None,
            rebooted: None,
            unsaved: None,
            emptied: None,
            outage: None,
        }
    }

    /// Begins a look at the time `now`. `emit` gets each event.
    pub fn on_record<'a>(
        &mut self,
        now: Duration,
        host: &Host<'a>,
        emit: &mut dyn FnMut(Event),
    ) -> Step<'a> {
        match decide(self.inputs(now, host, None)) {
            // The status may show that the record is void.
            Decision::Open(Opening::SameBoot) => Step::ReadStatus,
            Decision::Open(opening) => self.open(now, host, opening, emit),
            Decision::Hold | Decision::TryAgain(_) | Decision::TakeBack => Step::ReadStatus,
        }
    }

    /// Takes the answer to the call for the status, which came at `now`.
    pub fn on_answer<'a>(
        &mut self,
        now: Duration,
        host: &Host<'a>,
        answer: &'a Result<Answer<'a>, CallError<'a>>,
        emit: &mut dyn FnMut(Event),
    ) -> Step<'a> {
        let status = match answer {
            Ok(Answer::Status(status)) => Some(status),
            _ => None,
        };
        self.note_empty(status);
        let decision = decide(self.inputs(now, host, status));
        if let Decision::Open(opening) = decision {
            return self.open(now, host, opening, emit);
        }
        if self.track_reachability(now, host, answer, emit) {
            return Step::GiveUp;
        }
        let (Some(record), is_due) = (host.record, self.may_save(now)) else {
            return Step::Wait(self.settings.interval);
        };
        match decision {
            Decision::TryAgain(image) if is_due => {
                let failed_boots = record.attempts;
                emit(Event::TryingAgain { image, running: &record.running, failed_boots });
                return Step::Reboot(image);
            }
            Decision::TakeBack if is_due => return Step::TakeBack,
            _ => {}
        }
        if self.reported.is_none_or(|at| now.saturating_sub(at) >= HELD_REPORT) {
            self.reported = Some(now);
            let waited = self.waited(now);
            emit(Event::Held { record, failed: host.failed, status, waited });
        }
        Step::Wait(self.until_next_look(now))
    }

    /// Remembers the first refresh that has left the node empty, until a status shows
    /// anything else.
    fn note_empty(&mut self, status: Option<&Status>) {
        match status {
            Some(status) if is_empty(status) => {
                self.emptied.get_or_insert_with(|| timestamp(status));
            }
            Some(_) => self.emptied = None,
            None => {}
        }
    }

    /// Notes that a reboot was requested at the time `now`, or could not be.
    pub fn on_reboot(&mut self, now: Duration) {
        self.rebooted = Some(now);
    }

    /// Notes that the record could not be written at the time `now`, so that the gate
    /// does not try it again in each look.
    pub fn on_unsaved(&mut self, now: Duration) {
        self.unsaved = Some(now);
    }

    /// Whether the record could be written lately, as far as is known.
    fn may_save(&self, now: Duration) -> bool {
        self.unsaved.is_none_or(|at| now.saturating_sub(at) >= HELD_REPORT)
    }

    fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.begun)
    }

    fn inputs<'a>(
        &self,
        now: Duration,
        host: &Host<'a>,
        status: Option<&'a Status<'a>>,
    ) -> Inputs<'a> {
        let Host { record, boot, running, failed, .. } = *host;
        let Settings { max_wait, boot_attempts, .. } = self.settings;
        // A record of this boot may be from an earlier run of this program.
        let is_of_this_boot = record.is_some_and(|record| Some(record.boot.as_str()) == boot);
        let rebooted = self.rebooted.or(Some(self.begun).filter(|_| is_of_this_boot));
        let rebooting = rebooted.is_some_and(|at| now.saturating_sub(at) < REBOOT_MAX);
        let emptied_before = |status: &Status| {
            self.emptied.as_ref().is_some_and(|first| *first != timestamp(status))
        };
        Inputs {
            record,
            boot,
            running,
            status,
            failed,
            was_empty: status.is_some_and(emptied_before),
            boot_attempts,
            rebooting,
            waited: self.waited(now),
            max_wait,
        }
    }

    fn open<'a>(
        &self,
        now: Duration,
        host: &Host<'a>,
        opening: Opening<'a>,
        emit: &mut dyn FnMut(Event),
    ) -> Step<'a> {
        let Host { record, running, .. } = *host;
        let is_gone = opening == Opening::NoRecord && !host.unreadable;
        let released = is_gone && self.reported.is_some();
        let waited = self.waited(now);
        emit(Event::Opened { opening, released, record, running, waited });
        Step::Open(opening)
    }

    /// Emits an event when the status cannot be read, when that has another reason than
    /// before or has lasted for another hour, and when it is over. Returns whether it is
    /// time to give up.
    fn track_reachability(
        &mut self,
        now: Duration,
        host: &Host,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> bool {
        let Err(error) = *answer else {
            if let Some(outage) = self.outage.take() {
                emit(Event::ApiBack { after: now.saturating_sub(outage.since) });
            }
            return false;
        };
        let reported = error.kind();
        let first = Outage { since: now, reported, reported_at: now, stale_since: None };
        let is_first = self.outage.is_none();
        let outage = self.outage.get_or_insert(first);
        let is_old = now.saturating_sub(outage.reported_at) >= OUTAGE_REPORT;
        if is_first || is_old || outage.reported != reported {
            (outage.reported, outage.reported_at) = (reported, now);
            emit(Event::ApiLost { error, socket: host.socket });
        }
        if !error.is_stale_socket() {
            outage.stale_since = None;
            return false;
        }
        let after = now.saturating_sub(*outage.stale_since.get_or_insert(now));
        if after < self.settings.give_up {
            return false;
        }
        emit(Event::GaveUp { after, error });
        true
    }

    /// The time until the next look: the interval, or less if the gate gives up or opens
    /// before its end.
    fn until_next_look(&self, now: Duration) -> Duration {
        let Settings { interval, give_up, max_wait, .. } = self.settings;
        let left = |since: Duration, limit: Duration| {
            let left = limit.saturating_sub(now.saturating_sub(since));
            // A limit that has passed does not shorten the pause.
            Some(left).filter(|left| !left.is_zero())
        };
        let stale_since = self.outage.and_then(|outage| outage.stale_since);
        let gives_up = stale_since.and_then(|since| left(since, give_up));
        let opens = max_wait.and_then(|max_wait| left(self.begun, max_wait));
        let limits = [gives_up, opens].into_iter().flatten();
        limits.fold(interval, Duration::min)
    }
}

/// When the last command ended, in the API's form.
fn timestamp(status: &Status) -> Text {
    copy(status.last_command.map_or("", |last| last.timestamp))
}

#[cfg(test)]
mod tests;
