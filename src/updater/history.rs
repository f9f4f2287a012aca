//! What outlives a boot: which version was activated, in which boot, and which
//! versions did not boot.
//!
//! After a failed boot the firmware goes back to the old image, and the API offers
//! the same version again as if nothing had happened. The failure can only be
//! detected by remembering the boot in which the version was activated:
//!
//! ```text
//!   Ready, or about to be        another boot, the old version runs
//!  ──────────────────────▶ activated ──────────────────────▶ held back
//!                              │ another boot, it runs           │ retried
//!                              ▼                                 ▼ after a pause
//!                          forgotten                         activated
//! ```
//!
//! A node can also be taken back by hand, long after a version came up. Then an older version
//! runs than in the last boot that was seen, and nobody activated it. The newer version is
//! held back like one that did not boot.
//!
//! There is no I/O here. [`file`](mod@file) has the form of the file, and
//! [`state_file`](super::state_file) reads and writes it.

pub mod file;

use crate::api::Command;
use crate::api::status::{Image, OwnedImage, State, Status, Text, copy, is_newer};
use crate::record::RebootRecord;
use crate::updater::uptime::Uptime;
use core::mem;
use core::time::Duration;
use heapless::Vec;

/// How many versions are remembered. One more replaces the first.
const ENTRIES_MAX: usize = 4;
/// How often the time for which a version is held back doubles.
const DOUBLINGS_MAX: u32 = 16;

/// How often the uptime is saved at least while a version is held back or soaks. If the node
/// crashes, the time since then does not count.
const SAVE_AFTER: Duration = Duration::from_secs(60 * 60);

/// What is remembered across boots.
#[derive(Debug, Default)]
pub struct History {
    /// The id of this boot.
    boot: Text,
    /// The time for which a version is held back after its first failed boot. `None`
    /// forever.
    retry: Option<Duration>,
    /// After how many failed boots a version is held back. 0 is the same as 1.
    boot_attempts: u64,
    /// The versions. The one that was activated last comes last.
    entries: Entries,
    /// The version that ran last.
    last_run: LastRun,
    /// The version that was staged for a reboot, or Ready, when that version was seen last.
    /// Empty for none.
    staged: Text,
    /// The command that this updater has sent last, or one before it, as long as its outcome
    /// is not known.
    sent: Option<Sent>,
    /// For how long a version must have been on offer before it is prepared. Zero for none.
    soak: Duration,
    /// The version that the node has chosen, if versions must soak.
    offer: Option<Offer>,
    /// How long the node has been up, which is the clock of the file.
    uptime: Uptime,
    /// The total uptime in the file.
    saved_uptime: Duration,
    /// Whether the file needs to be written.
    changed: bool,
}

type Entries = Vec<Entry, ENTRIES_MAX>;

/// The version that ran last, as far as it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LastRun {
    image: OwnedImage,
    /// The boot in which it was seen. Empty if nothing is known.
    boot: Text,
}

/// A command that an updater of this node has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The command; not a refresh.
    pub command: Command,
    /// The version that it is about.
    pub version: Text,
    /// The timestamp of the last command before it. Another one in the status means that
    /// the outcome is known.
    pub timestamp_before: Text,
    /// The boot in which it was sent. The status of another boot does not have its outcome.
    boot: Text,
}

/// A version that the node has chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    image: OwnedImage,
    /// The total uptime when it was first chosen.
    since: Duration,
    /// How many versions in a row were replaced before it while they soaked.
    replaced: u64,
}

/// A version that was activated, or did not boot, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The version.
    pub image: OwnedImage,
    /// The version that ran when this one was activated. It runs again if this one
    /// does not boot.
    pub previous_version: Text,
    /// The boot in which the version was activated. Empty once the outcome is known.
    boot: Text,
    /// How often the version did not boot.
    pub failed_boots: u64,
    /// The total uptime when the last failed boot was noticed.
    failed_at: Duration,
}

/// What became of a version that was activated in an earlier boot, or that ran in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding<'a> {
    /// It runs, and its entry is removed.
    Updated(&'a Entry),
    /// It did not boot, and the version before it runs again.
    RolledBack {
        /// What is remembered of the version.
        entry: &'a Entry,
        /// The time until it is tried again; [`Duration::MAX`] for never.
        retry_in: Duration,
    },
    /// It ran, and now an older version runs that nobody activated: somebody has taken
    /// the node back.
    TakenBack {
        /// What is remembered of the version.
        entry: &'a Entry,
        /// The time until it is tried again; [`Duration::MAX`] for never.
        retry_in: Duration,
    },
}

impl History {
    /// An empty history, in the boot with the id `boot`. A version that did not boot
    /// is tried again after `retry`, the next time after twice that, and so on;
    /// without `retry`, never.
    pub fn new(boot: Text, retry: Option<Duration>) -> Self {
        Self { boot, retry, ..Self::default() }
    }

    /// Sets after how many failed boots a version is held back. Until then it is tried
    /// again at once.
    pub fn set_boot_attempts(&mut self, boot_attempts: u64) {
        self.boot_attempts = boot_attempts;
    }

    /// The versions that did not boot, whether or not they are held back now.
    pub fn held(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.failed_boots > 0)
    }

    /// Whether a version was activated in an earlier boot, and its outcome is not known yet.
    pub fn expects_outcome(&self) -> bool {
        self.entries.iter().any(|entry| !entry.boot.is_empty() && entry.boot != self.boot)
    }

    /// Whether the history needs to be saved. If so, save it before the next call is made.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Notes that the file has this history now.
    pub fn set_saved(&mut self) {
        self.changed = false;
        self.saved_uptime = self.uptime.total();
    }

    /// Takes note of the time since the boot, which includes the time for which the node
    /// was suspended. All other methods take this for the present.
    pub fn advance(&mut self, since_boot: Duration) {
        self.uptime.advance(since_boot);
        let unsaved = self.uptime.total().saturating_sub(self.saved_uptime);
        let is_counting = self.entries.iter().any(|entry| {
            let left = self.time_left(entry);
            !left.is_zero() && left != Duration::MAX
        });
        let soaks = self.offer.as_ref().is_some_and(|offer| !self.soak_left(offer).is_zero());
        let is_counting = is_counting || soaks;
        self.changed |= is_counting && unsaved >= SAVE_AFTER;
    }

    /// Compares the history with a status. `found` gets what became of versions that were
    /// activated in an earlier boot, or that ran in it.
    pub fn observe(&mut self, status: &Status, found: &mut dyn FnMut(Finding)) {
        let Some(running) = status.running else { return };
        let ready = status.staged.filter(|_| status.state == State::Ready);
        let before = self.entries.clone();
        // Whether an activation explains that this version runs: its own, or that of the
        // version that ran last and did not boot.
        let mut is_explained = false;
        for entry in &mut self.entries {
            let is_running = entry.image.image() == running;
            let is_in_earlier_boot = !entry.boot.is_empty() && entry.boot != self.boot;
            if is_in_earlier_boot && is_running {
                is_explained = true;
                found(Finding::Updated(entry));
            } else if is_in_earlier_boot && entry.previous_version == running.version {
                entry.failed_boots = entry.failed_boots.saturating_add(1);
                entry.failed_at = self.uptime.total();
                let retry_in = entry.hold(self.retry, self.boot_attempts);
                is_explained |= entry.image == self.last_run.image;
                found(Finding::RolledBack { entry, retry_in });
            }
            // The outcome is known, or the node runs a third version (so nothing can be
            // concluded), or the activation never happened or was cancelled.
            if is_in_earlier_boot || ready != Some(entry.image.image()) {
                entry.boot.clear();
            }
        }
        is_explained |= self.find_staged(running, is_explained, found);
        self.entries.retain(|entry| entry.image.image() != running);
        if self.is_taken_back(running) && !is_explained {
            self.take_back(running, found);
        }
        self.finish_change(&before);
        self.note_run(running);
        if let Some(staged) = ready {
            self.activating(staged, running);
        }
    }

    /// Remembers that `version` is staged for a reboot, in which the reboot program activates
    /// it. Empty for none.
    pub fn note_staged(&mut self, version: &str) {
        if self.staged != version && self.is_kept() {
            self.staged = copy(version);
            self.changed = true;
        }
    }

    /// Whether `running` was staged for a reboot in the last boot that was seen. Reports that,
    /// unless that it runs `is_explained` already.
    fn find_staged(
        &mut self,
        running: Image,
        is_explained: bool,
        found: &mut dyn FnMut(Finding),
    ) -> bool {
        if self.last_run.boot == self.boot || self.staged.is_empty() {
            return false;
        }
        self.changed = true;
        let is_staged = mem::take(&mut self.staged) == running.version
            && self.last_run.image.version != running.version;
        if is_staged && !is_explained {
            let known = self.entries.iter().find(|entry| entry.image.image() == running);
            let mut entry = known.cloned().unwrap_or_default();
            entry.image = OwnedImage::new(running);
            entry.previous_version = self.last_run.image.version.clone();
            found(Finding::Updated(&entry));
        }
        is_staged
    }

    /// Whether an older version runs than in the last boot that was seen.
    fn is_taken_back(&self, running: Image) -> bool {
        let LastRun { image, boot } = &self.last_run;
        let last = image.image();
        let is_of_this_node = last.variant == running.variant && last.arch == running.arch;
        let is_in_earlier_boot = !boot.is_empty() && *boot != self.boot;
        is_in_earlier_boot && is_of_this_node && is_newer(last.version, running.version)
    }

    /// Holds the version back that ran last. It has used up all its attempts.
    fn take_back(&mut self, running: Image, found: &mut dyn FnMut(Finding)) {
        let image = self.last_run.image.clone();
        let known = self.entries.iter().find(|entry| entry.image == image);
        let mut entry = known.cloned().unwrap_or_default();
        entry.image = image;
        entry.previous_version = copy(running.version);
        entry.failed_boots = entry.failed_boots.saturating_add(1).max(self.boot_attempts);
        entry.failed_at = self.uptime.total();
        let retry_in = entry.hold(self.retry, self.boot_attempts);
        found(Finding::TakenBack { entry: &entry, retry_in });
        self.remember(entry);
    }

    /// Remembers that `running` runs in this boot. Without the id of the boot, nothing can
    /// be concluded from that.
    fn note_run(&mut self, running: Image) {
        let is_known = self.last_run.boot == self.boot && self.last_run.image.image() == running;
        if !is_known && !self.boot.is_empty() {
            self.last_run = LastRun { image: OwnedImage::new(running), boot: self.boot.clone() };
            self.changed = true;
        }
    }

    /// Remembers that `image` is about to be activated while `running` runs.
    pub fn activating(&mut self, image: Image, running: Image) {
        let before = self.entries.clone();
        let known = before.iter().find(|entry| entry.image.image() == image);
        let mut entry = known.cloned().unwrap_or_default();
        entry.image = OwnedImage::new(image);
        entry.previous_version = copy(running.version);
        entry.boot = self.boot.clone();
        self.remember(entry);
        self.finish_change(&before);
    }

    /// Takes note of the record of the last reboot, where the reboot program activates: its
    /// version was activated in the boot of the record. This counts at the first look in the
    /// boot that follows that one. After that, the outcome is known, also in a later boot for
    /// which nothing was activated.
    pub fn note_reboot(&mut self, record: &RebootRecord) {
        let last_boot = &self.last_run.boot;
        let is_next_boot = last_boot.is_empty() || *last_boot == record.boot;
        if !is_next_boot || self.boot.is_empty() || record.boot == self.boot {
            return;
        }
        let known = self.entries.iter().find(|entry| entry.image == record.image);
        let mut entry = known.cloned().unwrap_or_default();
        entry.image = record.image.clone();
        entry.previous_version = record.running.clone();
        entry.boot = record.boot.clone();
        self.remember(entry);
        self.changed = true;
    }

    /// Adds an entry, in place of an older one for the same image.
    fn remember(&mut self, entry: Entry) {
        self.entries.retain(|other| other.image != entry.image);
        if self.entries.is_full() {
            // The first one is the oldest.
            let mut is_first = true;
            self.entries.retain(|_| !mem::take(&mut is_first));
        }
        let _ = self.entries.push(entry);
    }

    /// Takes back [`History::activating`], because the API refused the command.
    pub fn activation_refused(&mut self) {
        let before = self.entries.clone();
        for entry in &mut self.entries {
            if entry.boot == self.boot {
                entry.boot.clear();
            }
        }
        self.finish_change(&before);
    }

    /// Removes the entries that are no longer needed, and notes whether the file needs
    /// to change.
    fn finish_change(&mut self, before: &Entries) {
        self.entries.retain(Entry::is_needed);
        self.changed |= self.entries != *before;
    }

    /// If `image` is held back: its entry, and the time that is left; [`Duration::MAX`]
    /// means forever.
    pub fn hold_for(&self, image: Image) -> Option<(&Entry, Duration)> {
        let entry = self.held().find(|entry| entry.image.image() == image)?;
        let left = self.time_left(entry);
        (!left.is_zero()).then_some((entry, left))
    }

    /// The time for which the version of this entry is still held back.
    fn time_left(&self, entry: &Entry) -> Duration {
        let passed = self.uptime.total().saturating_sub(entry.failed_at);
        match entry.hold(self.retry, self.boot_attempts) {
            Duration::MAX => Duration::MAX,
            hold => hold.saturating_sub(passed),
        }
    }

    /// Sets for how long a version must have been on offer before it is prepared. Zero for
    /// none.
    pub fn set_soak(&mut self, soak: Duration) {
        self.soak = soak;
    }

    /// Takes note of the version that the node has chosen in a refresh that succeeded. A
    /// version that was not chosen in between, or is another one, soaks from its first day.
    pub fn note_offer(&mut self, chosen: Option<Image>) {
        let before = self.offer.take();
        self.offer = chosen.filter(|_| !self.soak.is_zero()).map(|chosen| match &before {
            Some(offer) if offer.image.image() == chosen => offer.clone(),
            before => {
                let soaked = before.as_ref().filter(|offer| !self.soak_left(offer).is_zero());
                let replaced = soaked.map_or(0, |offer| offer.replaced.saturating_add(1));
                Offer { image: OwnedImage::new(chosen), since: self.uptime.total(), replaced }
            }
        });
        self.changed |= self.offer != before;
    }

    /// The time for which `image` has to soak, if there is any left.
    pub fn soaks_for(&self, image: Image) -> Option<Duration> {
        if self.soak.is_zero() {
            return None;
        }
        let offer = self.offer.as_ref().filter(|offer| offer.image.image() == image);
        let left = offer.map_or(self.soak, |offer| self.soak_left(offer));
        Some(left).filter(|left| !left.is_zero())
    }

    /// How many versions in a row were replaced by another one while they soaked.
    pub fn replaced_while_soaking(&self) -> u64 {
        let offer = self.offer.as_ref().filter(|offer| !self.soak_left(offer).is_zero());
        offer.map_or(0, |offer| offer.replaced)
    }

    fn soak_left(&self, offer: &Offer) -> Duration {
        self.soak.saturating_sub(self.uptime.total().saturating_sub(offer.since))
    }

    /// Remembers that `command` is about to be sent for `version`. `timestamp_before` is the
    /// timestamp of the last command before it. Nothing is remembered of a refresh: there is
    /// one in each cycle, and another one follows.
    pub fn sending(&mut self, command: Command, version: &str, timestamp_before: &str) {
        let sent = Sent {
            command,
            version: copy(version),
            timestamp_before: copy(timestamp_before),
            boot: self.boot.clone(),
        };
        let is_kept = command != Command::Refresh && self.is_kept();
        self.set_sent(Some(sent).filter(|_| is_kept));
    }

    /// Forgets the command that was sent if this status shows that it has ended.
    pub fn note_command(&mut self, status: &Status) {
        let last = status.last_command.as_ref().map(|last| last.timestamp);
        let sent = self.sent.take_if(|sent| last.is_some_and(|last| sent.timestamp_before != last));
        self.changed |= sent.is_some();
    }

    /// The command that was sent in this boot and whose outcome is not known yet.
    pub fn sent(&self) -> Option<&Sent> {
        self.sent.as_ref().filter(|sent| sent.boot == self.boot)
    }

    /// Whether there is a file, so that a restarted updater knows what was sent before.
    pub fn is_kept(&self) -> bool {
        !self.boot.is_empty()
    }

    fn set_sent(&mut self, sent: Option<Sent>) {
        self.changed |= self.sent != sent;
        self.sent = sent;
    }
}

impl Entry {
    /// Whether there is anything to remember of the version.
    fn is_needed(&self) -> bool {
        !self.boot.is_empty() || self.failed_boots > 0
    }

    /// The time for which the version is held back after its last failed boot. Zero before
    /// it has failed `boot_attempts` times.
    fn hold(&self, retry: Option<Duration>, boot_attempts: u64) -> Duration {
        let boot_attempts = boot_attempts.max(1);
        if self.failed_boots < boot_attempts {
            return Duration::ZERO;
        }
        let doublings = self.failed_boots.saturating_sub(boot_attempts).min(DOUBLINGS_MAX.into());
        retry.map_or(Duration::MAX, |retry| retry.saturating_mul(1 << doublings))
    }
}

#[cfg(test)]
pub(crate) mod tests;
