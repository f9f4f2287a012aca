//! What the record of the last reboot means for the updater.
//!
//! The reboot program writes the record right before it asks for the reboot. In the same
//! boot, the node is about to start what is Ready, and the updater must leave that alone:
//! otherwise the node would boot the old version, and the gate would take that for a
//! failed boot. In a later boot in which the old version runs, the gate holds the node.
//!
//! ```text
//!               the record is of this boot           another boot, the old version runs
//!  no record ─────────────────────────────▶ pending ─────────────────────────────▶ held
//!      ▲                                       │                                    │
//!      └───────────────────────────────────────┴────────────────────────────────────┘
//!         no longer Ready, or too long ago       the record is gone, or another version runs
//! ```
//!
//! This module does no I/O: `record_file.rs` reads the file.

use crate::api::status::{State, Status, Text};
use crate::record::RebootRecord;
use crate::sys::files::Stamp;
use crate::updater::event::Event;
use core::time::Duration;

/// For how long a record protects what is Ready. A node that was asked to reboot goes down
/// within minutes. If it has not done so after this time, the reboot program was killed
/// before its request, or the request was lost. Kured's next reboot command replaces the
/// record, and the time begins anew.
pub const PENDING_MAX: Duration = Duration::from_secs(60 * 60);
/// The time after which it is reported again that the gate holds the node.
const HELD_REPORT: Duration = Duration::from_secs(60 * 60);

/// The record of the last reboot, and what it means.
#[derive(Debug, Default)]
pub struct LastReboot {
    /// The id of this boot. Empty if it is not known; then the record means nothing.
    boot: Text,
    record: Option<Seen>,
    held: Option<Held>,
    /// Since when an update is Ready, as far as it was seen.
    ready_since: Option<Duration>,
}

/// A record that was read.
#[derive(Debug)]
struct Seen {
    record: RebootRecord,
    /// Differs if the file was replaced, even by one with the same contents.
    stamp: Stamp,
    /// When it was read for the first time.
    since: Duration,
    /// Whether its update was no longer Ready in the boot of the record.
    is_void: bool,
}

/// The node is held by the gate.
#[derive(Debug)]
struct Held {
    /// What the reboot was to bring, and what runs instead.
    record: RebootRecord,
    /// When that was noticed.
    since: Duration,
    /// When it was reported last.
    reported_at: Duration,
}

impl LastReboot {
    /// Nothing is known yet of the last reboot, in the boot with the id `boot`.
    pub fn new(boot: Text) -> Self {
        Self { boot, ..Self::default() }
    }

    /// Takes note of the record as it is at `now`; `None` if there is none.
    pub fn read(&mut self, now: Duration, record: Option<(RebootRecord, Stamp)>) {
        self.record = match (record, self.record.take()) {
            (Some((_, stamp)), Some(seen)) if seen.stamp == stamp => Some(seen),
            (Some((record, stamp)), _) => Some(Seen { record, stamp, since: now, is_void: false }),
            (None, _) => None,
        };
    }

    /// Compares the record with a status that was read at `now`; `None` if there has been
    /// no command since the node booted. Emits when the gate begins to hold the node, each
    /// hour that this lasts, and when it is over.
    pub fn observe(&mut self, now: Duration, status: Option<&Status>, emit: &mut dyn FnMut(Event)) {
        let is_ready_now = status.is_some_and(|status| status.state == State::Ready);
        self.ready_since = self.ready_since.or(Some(now)).filter(|_| is_ready_now);
        if let (Some(seen), Some(status)) = (&mut self.record, status) {
            let is_of_this_boot = seen.record.boot == self.boot;
            seen.is_void |= is_of_this_boot && !is_ready(&seen.record, status);
        }
        match self.holding(status) {
            Some(true) => self.hold(now, emit),
            Some(false) => self.release(now, status, emit),
            None => {}
        }
    }

    /// Whether the node was asked to reboot into what is Ready, and may be going down.
    pub fn is_pending(&self, now: Duration, status: &Status) -> bool {
        let is_recent = |seen: &Seen| !seen.is_void && now.saturating_sub(seen.since) < PENDING_MAX;
        self.has_recorded(status) && self.record.as_ref().is_some_and(is_recent)
    }

    /// Whether a record of this boot names what is Ready, however old it is.
    pub fn has_recorded(&self, status: &Status) -> bool {
        self.record
            .as_ref()
            .is_some_and(|seen| seen.record.boot == self.boot && is_ready(&seen.record, status))
    }

    /// The record, if there is one.
    pub fn record(&self) -> Option<&RebootRecord> {
        self.record.as_ref().map(|seen| &seen.record)
    }

    /// How long an update has been Ready at `now`, as far as it was seen.
    pub fn ready_for(&self, now: Duration) -> Duration {
        self.ready_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// The record of the reboot for which the gate holds the node, if it does.
    pub fn held(&self) -> Option<&RebootRecord> {
        self.held.as_ref().map(|held| &held.record)
    }

    /// Whether the gate holds the node. `None` if that is not known, because the version
    /// that runs is not.
    fn holding(&self, status: Option<&Status>) -> Option<bool> {
        let Some(Seen { record, .. }) = self.record.as_ref().filter(|_| !self.boot.is_empty())
        else {
            return Some(false);
        };
        let running = status?.running?;
        // In the boot of the record, only the gate itself asks for a second reboot.
        let by_gate = record.boot != self.boot || record.attempts > 1;
        Some(by_gate && record.running == running.version)
    }

    fn hold(&mut self, now: Duration, emit: &mut dyn FnMut(Event)) {
        let Some(Seen { record, .. }) = &self.record else { return };
        let before = self.held.take().filter(|held| held.record.image == record.image);
        let since = before.as_ref().map_or(now, |held| held.since);
        let is_recent = |at: &Duration| now.saturating_sub(*at) < HELD_REPORT;
        let reported_at = before.map(|held| held.reported_at).filter(is_recent);
        if reported_at.is_none() {
            emit(Event::HeldByGate(record));
        }
        let reported_at = reported_at.unwrap_or(now);
        self.held = Some(Held { record: record.clone(), since, reported_at });
    }

    fn release(&mut self, now: Duration, status: Option<&Status>, emit: &mut dyn FnMut(Event)) {
        if let Some(Held { record, since, .. }) = self.held.take() {
            let running = status.and_then(|status| status.running);
            let running = running.map_or(record.running.as_str(), |image| image.version);
            let after = now.saturating_sub(since);
            emit(Event::ReleasedByGate { version: &record.image.version, running, after });
        }
    }
}

/// Whether the update of the record is Ready.
fn is_ready(record: &RebootRecord, status: &Status) -> bool {
    status.state == State::Ready && status.staged == Some(record.image.image())
}

#[cfg(test)]
mod tests;
