//! What outlives a boot: which version was activated, in which boot, and which
//! versions did not come up.
//!
//! After a failed boot the firmware goes back to the old image, and the API
//! offers the same version again, as if nothing had been. Only who remembers the
//! boot in which it was activated can tell:
//!
//! ```text
//!   Ready, or about to be        another boot, the old version runs
//!  ──────────────────────▶ activated ──────────────────────▶ held back
//!                              │ another boot, it runs           │ another try
//!                              ▼                                 ▼ after a pause
//!                          forgotten                         activated
//! ```
//!
//! Nothing here does I/O. The file is a few lines of text, one for each version
//! and a checksum at the end, and is read as strictly as it is written:
//!
//! ```text
//! bottlerocket-updater 1
//! <version> <variant> <arch> <version before> <boot id> <failed boots> <since>
//! sum <FNV-1a of all before this line, in decimal>
//! ```
//!
//! Fields are separated by tabs, which none of them can have inside. The boot is
//! that in which the version was activated, and empty if that is over; `since`
//! is when a boot of it last failed, in seconds since 1970.

use crate::duration::whole_number;
use crate::event::Event;
use crate::status::{Image, OwnedImage, State, Status, Text, copy};
use crate::text::Number;
use core::fmt::{self, Write};
use core::str;
use core::time::Duration;
use heapless::Vec;

/// The largest file, in bytes.
pub const FILE_MAX: usize = 2048;
/// How many versions are remembered; one more takes the place of the first.
const ENTRIES_MAX: usize = 4;
/// How often the pause before another try is doubled.
const DOUBLINGS_MAX: u32 = 16;

/// What the file begins with: its kind and the version of its form.
const HEADER: &str = "bottlerocket-updater 1\n";
/// What its last line begins with.
const SUM: &str = "sum ";

/// What is remembered across boots.
#[derive(Debug, Default)]
pub struct History {
    boot: Text,
    retry: Option<Duration>,
    entries: Vec<Entry, ENTRIES_MAX>,
    changed: bool,
}

/// A version that was activated, or did not come up, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The version.
    pub image: OwnedImage,
    /// The version that ran when it was activated, and runs again if it does not
    /// come up.
    pub before: Text,
    /// The boot in which it was activated; empty once the outcome is known.
    boot: Text,
    /// How often it did not come up.
    pub failed_boots: u64,
    /// When that was noticed for the last time, in seconds since 1970.
    since: u64,
}

/// A file that is not what [`History::write`] has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl History {
    /// Nothing to remember yet, in the boot with the id `boot`. A version that
    /// did not come up is tried again after `retry`, twice that after the next
    /// time, and so on; without, never.
    pub fn new(boot: Text, retry: Option<Duration>) -> Self {
        Self { boot, retry, ..Self::default() }
    }

    /// The versions that did not come up, whether they may be tried again by
    /// now or not.
    pub fn held(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.failed_boots > 0)
    }

    /// Whether there is something that is not in the file: it belongs there before
    /// the next call is made.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Takes note that what there is is in the file.
    pub fn set_saved(&mut self) {
        self.changed = false;
    }

    /// Takes note of what a status says at `utc`, the time since 1970-01-01
    /// 00:00:00 UTC, and tells what has become of a version that was activated in
    /// another boot.
    pub fn observe(&mut self, utc: Duration, status: &Status, tell: &mut dyn FnMut(Event)) {
        let Some(running) = status.running else { return };
        let Self { boot, retry, entries, changed } = self;
        entries.retain(|entry| {
            let is_over = !entry.boot.is_empty() && entry.boot != *boot;
            let runs = entry.image.is(running);
            if is_over && runs {
                tell(Event::Updated(entry));
            }
            *changed |= runs;
            !runs
        });
        for entry in entries.iter_mut().filter(|entry| !entry.boot.is_empty()) {
            if entry.boot != *boot {
                // If a third version runs, somebody has put it there, and nothing
                // follows from that.
                if entry.before == running.version {
                    entry.failed_boots = entry.failed_boots.saturating_add(1);
                    entry.since = utc.as_secs();
                    tell(Event::RolledBack(entry, entry.pause(*retry)));
                }
            } else if status.state == State::Ready
                && status.staged.is_some_and(|staged| entry.image.is(staged))
            {
                continue;
            }
            // It is known what became of it; or it was not activated after all, or
            // that was taken back.
            entry.boot.clear();
            *changed = true;
        }
        entries.retain(|entry| !entry.boot.is_empty() || entry.failed_boots > 0);
        if let (State::Ready, Some(staged)) = (status.state, status.staged) {
            self.activating(staged, running);
        }
    }

    /// Takes note that `image` is about to be activated while `running` runs.
    pub fn activating(&mut self, image: Image, running: Image) {
        let same = self.entries.iter().position(|entry| entry.image.is(image));
        let mut entry = match same {
            Some(at) => self.entries.remove(at),
            None => Entry { image: OwnedImage::new(image), ..Entry::default() },
        };
        self.changed |= entry.boot != self.boot || entry.before != running.version;
        entry.boot = self.boot.clone();
        entry.before = copy(running.version);
        if self.entries.is_full() {
            self.entries.remove(0);
        }
        // There is room: if there was none, one was removed.
        let _ = self.entries.push(entry);
    }

    /// If `image` is not to be tried at `utc`, the time since 1970-01-01 00:00:00
    /// UTC: what is known of it, and for how long.
    pub fn is_held(&mut self, utc: Duration, image: Image) -> Option<(&Entry, Duration)> {
        let entry = self.entries.iter_mut().find(|entry| entry.image.is(image))?;
        if entry.since > utc.as_secs() {
            // Somebody has set the clock back: the pause is not to grow by that.
            entry.since = utc.as_secs();
            self.changed = true;
        }
        let passed = Duration::from_secs(utc.as_secs() - entry.since);
        let left = entry.pause(self.retry).saturating_sub(passed);
        (entry.failed_boots > 0 && !left.is_zero()).then_some((entry, left))
    }

    /// Writes the file.
    pub fn write(&self) -> Vec<u8, FILE_MAX> {
        let mut file = Vec::new();
        // There is room: a test has the longest.
        let _ = self.write_to(&mut file);
        let _ = write!(file, "{SUM}{}\n", Number(sum(&file)));
        file
    }

    fn write_to(&self, file: &mut Vec<u8, FILE_MAX>) -> fmt::Result {
        file.write_str(HEADER)?;
        for Entry { image, before, boot, failed_boots, since } in &self.entries {
            for text in [&image.version, &image.variant, &image.arch, before, boot] {
                file.write_str(text)?;
                file.write_str("\t")?;
            }
            write!(file, "{}\t{}\n", Number(*failed_boots), Number(*since))?;
        }
        Ok(())
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It is not as it was written; nothing is taken from it.
    pub fn read(&mut self, file: &[u8]) -> Result<(), Damaged> {
        self.entries = read(file).ok_or(Damaged)?;
        Ok(())
    }
}

impl Entry {
    /// How long it is not to be tried after it has not come up.
    fn pause(&self, retry: Option<Duration>) -> Duration {
        let doublings = self.failed_boots.saturating_sub(1).min(DOUBLINGS_MAX.into());
        retry.map_or(Duration::MAX, |retry| retry.saturating_mul(1 << doublings))
    }
}

fn read(file: &[u8]) -> Option<Vec<Entry, ENTRIES_MAX>> {
    let lines = file.strip_suffix(b"\n")?;
    let last = lines.iter().rposition(|byte| *byte == b'\n')? + 1;
    let (before, last) = (file.get(..last)?, lines.get(last..)?);
    if whole_number(last.strip_prefix(SUM.as_bytes())?)? != sum(before) {
        return None;
    }
    let lines = before.strip_prefix(HEADER.as_bytes())?;
    let mut entries = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let mut fields = line.strip_suffix(b"\n")?.split(|byte| *byte == b'\t');
        let mut text = || Text::try_from(str::from_utf8(fields.next()?).ok()?).ok();
        let image = OwnedImage { version: text()?, variant: text()?, arch: text()? };
        let (before, boot) = (text()?, text()?);
        let mut number = || whole_number(fields.next()?);
        let (failed_boots, since) = (number()?, number()?);
        let entry = Entry { image, before, boot, failed_boots, since };
        if fields.next().is_some() || entries.push(entry).is_err() {
            return None;
        }
    }
    Some(entries)
}

/// FNV-1a, which is enough against accidents: it is no secret.
fn sum(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
