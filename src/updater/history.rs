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
//! This module does no I/O. The file is a few lines of text, one for each version,
//! and a checksum at the end. Only what was written exactly so is read:
//!
//! ```text
//! bottlerocket-updater 1
//! <version> <variant> <arch> <previous version> <boot id> <failed boots> <failed at>
//! sum <FNV-1a of everything before this line, in decimal>
//! ```
//!
//! Each field ends with a tab, which no field contains. The boot id is that of the
//! boot in which the version was activated; it is empty once the outcome is known.
//! `failed at` is when a boot of it last failed, in seconds since 1970.

use crate::api::document::STRING_MAX;
use crate::api::status::{Image, OwnedImage, State, Status, Text, copy};
use crate::text::duration::whole_number;
use crate::text::excerpt::is_plain;
use crate::text::{cut, put};
use core::time::Duration;
use core::{iter, mem, str};
use heapless::{Vec, VecView};

/// The largest file, in bytes.
pub const FILE_MAX: usize = 2048;
/// How many versions are remembered. One more replaces the first.
const LINES_MAX: usize = 4;
/// The longest line, in bytes, with its newline.
const LINE_MAX: usize = 385;
/// How often the hold-back is doubled.
const DOUBLINGS_MAX: u32 = 16;

/// The first line of the file: its kind, and the version of its format.
const HEADER: &str = "bottlerocket-updater 1\n";
/// The beginning of its last line.
const SUM: &str = "sum ";

/// What is remembered across boots.
#[derive(Debug, Default)]
pub struct History {
    boot: Text,
    retry: Option<Duration>,
    /// The lines of the file that are about versions.
    lines: Lines,
    changed: bool,
}

/// A line for each version, with its newline.
type Lines = Vec<u8, { LINES_MAX * LINE_MAX }>;

/// A version that was activated, or did not boot, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The version.
    pub image: Image<'a>,
    /// The version that ran when it was activated. It runs again if the version does
    /// not boot.
    pub previous_version: &'a str,
    /// The boot in which it was activated; empty once the outcome is known.
    boot: &'a str,
    /// How often it did not boot.
    pub failed_boots: u64,
    /// When that was last noticed, in seconds since 1970.
    failed_at: u64,
}

/// The file is not as [`History::write`] writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl History {
    /// An empty history, in the boot with the id `boot`. A version that did not boot
    /// is tried again after `retry`, after twice that the next time, and so on;
    /// without `retry`, never.
    pub fn new(boot: Text, retry: Option<Duration>) -> Self {
        Self { boot, retry, ..Self::default() }
    }

    /// The versions that did not boot, held back now or not.
    pub fn held(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut entries = entries(&self.lines);
        // Ends: with the entries.
        iter::from_fn(move || entries.find(|entry| entry.failed_boots > 0))
    }

    /// Whether the history differs from the file. Then it must be saved before the
    /// next call is made.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// The file has this history now.
    pub fn set_saved(&mut self) {
        self.changed = false;
    }

    /// Takes over what a status says that was read at `utc`, the time since
    /// 1970-01-01 00:00:00 UTC. Gives what became of versions that were activated
    /// in another boot.
    pub fn observe(&mut self, utc: Duration, status: &Status) -> Vec<Finding, LINES_MAX> {
        let mut findings = Vec::new();
        let Some(running) = &status.running else { return findings };
        let ready = if status.state == State::Ready { status.staged } else { None };
        let old = mem::take(&mut self.lines);
        for mut entry in entries(&old) {
            let is_activated = !entry.boot.is_empty();
            let is_over = is_activated && entry.boot != self.boot;
            if entry.image == *running {
                if is_over {
                    // There is room: each finding is of another line.
                    let _ = findings.push(Finding::new(Outcome::Updated, &entry));
                }
                continue;
            }
            if is_over && entry.previous_version == running.version {
                entry.failed_boots = entry.failed_boots.saturating_add(1);
                entry.failed_at = utc.as_secs();
                let retry_in = entry.pause(self.retry);
                let _ = findings.push(Finding::new(Outcome::RolledBack { retry_in }, &entry));
            }
            // The outcome is known, or the node runs a third version (so nothing can
            // be concluded), or the activation never happened or was cancelled.
            if is_over || ready != Some(entry.image) {
                entry.boot = "";
            }
            // If the clock was set back, the hold-back must not become longer by that.
            entry.failed_at = entry.failed_at.min(utc.as_secs());
            entry.put(&mut self.lines);
        }
        self.changed |= self.lines != old;
        if let Some(staged) = ready {
            self.activating(staged, *running);
        }
        findings
    }

    /// Takes back [`History::activating`]: the API has refused the command.
    pub fn activation_refused(&mut self) {
        let old = mem::take(&mut self.lines);
        for mut entry in entries(&old) {
            if entry.boot == self.boot {
                entry.boot = "";
            }
            entry.put(&mut self.lines);
        }
        self.changed |= self.lines != old;
    }

    /// Remembers that `image` is about to be activated while `running` runs.
    pub fn activating(&mut self, image: Image, running: Image) {
        let old = mem::take(&mut self.lines);
        let mut others = entries(&old).filter(|entry| entry.image != image).count();
        let mut activated = Entry::default();
        for entry in entries(&old) {
            if entry.image == image {
                activated = entry;
                continue;
            }
            // If there is no room for one more, it replaces the first.
            if others < LINES_MAX {
                entry.put(&mut self.lines);
            }
            others -= 1;
        }
        activated.image = image;
        activated.previous_version = running.version;
        activated.boot = &self.boot;
        activated.put(&mut self.lines);
        self.changed |= self.lines != old;
    }

    /// Whether `image` is held back at `utc`, the time since 1970-01-01 00:00:00 UTC:
    /// its entry, and the time that is left; [`Duration::MAX`] for ever.
    pub fn hold_for(&self, utc: Duration, image: Image) -> Option<(Entry<'_>, Duration)> {
        let entry = self.held().find(|entry| entry.image == image)?;
        let passed = Duration::from_secs(utc.as_secs().saturating_sub(entry.failed_at));
        let left = match entry.pause(self.retry) {
            Duration::MAX => Duration::MAX,
            pause => pause.saturating_sub(passed),
        };
        (!left.is_zero()).then_some((entry, left))
    }

    /// The contents of the file. There is room: a test has the longest.
    pub fn write(&self) -> Vec<u8, FILE_MAX> {
        let mut file = Vec::new();
        put!(&mut file, HEADER, text(&self.lines));
        let sum = fnv1a(&file);
        put!(&mut file, SUM, sum, "\n");
        file
    }

    /// Reads the contents of the file.
    ///
    /// # Errors
    ///
    /// [`History::write`] has not written this; nothing is taken from it.
    pub fn read(&mut self, file: &[u8]) -> Result<(), Damaged> {
        self.lines = read(file).ok_or(Damaged)?;
        Ok(())
    }
}

/// What became of a version that was activated in another boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What became of it.
    pub outcome: Outcome,
    image: OwnedImage,
    previous_version: Text,
    failed_boots: u64,
}

/// What can become of a version that was activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    Updated,
    /// It did not boot, and the version before it runs again.
    RolledBack {
        /// The time until it is tried again; [`Duration::MAX`] for never.
        retry_in: Duration,
    },
}

impl Finding {
    fn new(outcome: Outcome, entry: &Entry) -> Self {
        Self {
            outcome,
            image: OwnedImage::new(entry.image),
            previous_version: copy(entry.previous_version),
            failed_boots: entry.failed_boots,
        }
    }

    /// What is known of the version.
    pub fn entry(&self) -> Entry<'_> {
        Entry {
            image: self.image.image(),
            previous_version: &self.previous_version,
            failed_boots: self.failed_boots,
            ..Entry::default()
        }
    }
}

impl<'a> Entry<'a> {
    /// Reads a line. A missing field is empty, or zero.
    fn read(mut line: &'a str) -> Self {
        let mut entry = Self::default();
        let Image { version, variant, arch } = &mut entry.image;
        for text in [version, variant, arch, &mut entry.previous_version, &mut entry.boot] {
            *text = cut(&mut line, b'\t');
        }
        for number in [&mut entry.failed_boots, &mut entry.failed_at] {
            *number = whole_number(cut(&mut line, b'\t').as_bytes()).unwrap_or(0);
        }
        entry
    }

    /// Whether a status may have each of its texts.
    fn is_plain(&self) -> bool {
        let Image { version, variant, arch } = &self.image;
        let texts = [version, variant, arch, &self.previous_version, &self.boot];
        texts.iter().all(|text| text.len() <= STRING_MAX && is_plain(text))
    }

    /// Appends its line, unless there is nothing to remember. There is room: a test
    /// has the longest.
    fn put(&self, lines: &mut VecView<u8>) {
        if self.boot.is_empty() && self.failed_boots == 0 {
            return;
        }
        let Image { version, variant, arch } = &self.image;
        for text in [version, variant, arch, &self.previous_version, &self.boot] {
            put!(lines, text, "\t");
        }
        for number in [&self.failed_boots, &self.failed_at] {
            put!(lines, *number, "\t");
        }
        put!(lines, "\n");
    }

    /// How long it is held back after its last failed boot.
    fn pause(&self, retry: Option<Duration>) -> Duration {
        let doublings = self.failed_boots.saturating_sub(1).min(DOUBLINGS_MAX.into());
        retry.map_or(Duration::MAX, |retry| retry.saturating_mul(1 << doublings))
    }
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// The versions, one per line, as many as there may be.
fn entries(lines: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = text(lines);
    let next = move |_| (!rest.is_empty()).then(|| Entry::read(cut(&mut rest, b'\n')));
    (0..LINES_MAX).map_while(next)
}

/// The lines of a file that are about versions, if the file is undamaged.
fn read(file: &[u8]) -> Option<Lines> {
    let text = str::from_utf8(file).ok()?;
    let last = text.strip_suffix('\n')?.bytes().rposition(|byte| byte == b'\n')? + 1;
    let (before, last) = text.split_at_checked(last)?;
    let found = last.strip_prefix(SUM)?.strip_suffix('\n')?;
    if whole_number(found.as_bytes())? != fnv1a(before.as_bytes()) {
        return None;
    }
    let lines = before.strip_prefix(HEADER)?.as_bytes();
    let mut again = Lines::new();
    for entry in entries(lines) {
        if !entry.is_plain() {
            return None;
        }
        entry.put(&mut again);
    }
    (again == lines).then_some(again)
}

/// The FNV-1a hash of `bytes`. It protects against accidents, not against attacks.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
pub(crate) mod tests;
