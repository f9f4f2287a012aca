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
//! A tab, which none can have inside, follows on each field. The boot is
//! that in which the version was activated, and empty if that is over; `since`
//! is when a boot of it last failed, in seconds since 1970.

use crate::api::document::STRING_MAX;
use crate::api::status::{Image, State, Status, Text};
use crate::text::duration::whole_number;
use crate::text::excerpt::is_plain;
use crate::text::{cut, put, put_number};
use crate::updater::event::Event;
use core::time::Duration;
use core::{iter, mem, str};
use heapless::{Vec, VecView};

/// The largest file, in bytes.
pub const FILE_MAX: usize = 2048;
/// How many versions are remembered; one more takes the place of the first.
const LINES_MAX: usize = 4;
/// The longest line, in bytes, with its newline.
const LINE_MAX: usize = 385;
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
    /// The lines of the file that are about versions.
    lines: Lines,
    changed: bool,
}

/// A line for each version, with its newline.
type Lines = Vec<u8, { LINES_MAX * LINE_MAX }>;

/// A version that was activated, or did not come up, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The version.
    pub image: Image<'a>,
    /// The version that ran when it was activated, and runs again if it does not
    /// come up.
    pub before: &'a str,
    /// The boot in which it was activated; empty once the outcome is known.
    boot: &'a str,
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
    pub fn held(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut entries = entries(&self.lines);
        // Ends: with the entries.
        iter::from_fn(move || entries.find(|entry| entry.failed_boots > 0))
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
    #[inline(never)]
    pub fn observe(&mut self, utc: Duration, status: &Status, emit: &mut dyn FnMut(Event)) {
        let Some(running) = &status.running else { return };
        let ready = if status.state == State::Ready { status.staged } else { None };
        let old = mem::take(&mut self.lines);
        for mut entry in entries(&old) {
            let is_activated = !entry.boot.is_empty();
            let is_over = is_activated && entry.boot != self.boot;
            if entry.image == *running {
                if is_over {
                    emit(Event::Updated(&entry));
                }
                continue;
            }
            if is_over && entry.before == running.version {
                entry.failed_boots = entry.failed_boots.saturating_add(1);
                entry.since = utc.as_secs();
                emit(Event::RolledBack { entry: &entry, retry_in: entry.pause(self.retry) });
            }
            // It is known what became of it; or somebody has put the node on a third
            // version, and nothing follows from that; or it was not activated after
            // all, or that was taken back.
            if is_over || ready != Some(entry.image) {
                entry.boot = "";
            }
            // If somebody has set the clock back, the pause is not to grow by that.
            entry.since = entry.since.min(utc.as_secs());
            entry.put(&mut self.lines);
        }
        self.changed |= self.lines != old;
        if let Some(staged) = ready {
            self.activating(staged, *running);
        }
    }

    /// Takes note that what was about to be activated was not.
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

    /// Takes note that `image` is about to be activated while `running` runs.
    #[inline(never)]
    pub fn activating(&mut self, image: Image, running: Image) {
        let old = mem::take(&mut self.lines);
        let mut others = entries(&old).filter(|entry| entry.image != image).count();
        let mut activated = Entry::default();
        for entry in entries(&old) {
            if entry.image == image {
                activated = entry;
                continue;
            }
            // If there is no room for one more, it takes the place of the first.
            if others < LINES_MAX {
                entry.put(&mut self.lines);
            }
            others -= 1;
        }
        (activated.image, activated.before, activated.boot) = (image, running.version, &self.boot);
        activated.put(&mut self.lines);
        self.changed |= self.lines != old;
    }

    /// If `image` is not to be tried at `utc`, the time since 1970-01-01 00:00:00
    /// UTC: what is known of it, and for how long.
    pub fn hold_for(&self, utc: Duration, image: Image) -> Option<(Entry<'_>, Duration)> {
        let entry = self.held().find(|entry| entry.image == image)?;
        let passed = Duration::from_secs(utc.as_secs().saturating_sub(entry.since));
        let left = match entry.pause(self.retry) {
            // Never is not a long time that passes.
            Duration::MAX => Duration::MAX,
            pause => pause.saturating_sub(passed),
        };
        (!left.is_zero()).then_some((entry, left))
    }

    /// Writes the file. There is room: a test has the longest.
    #[inline(never)]
    pub fn write(&self) -> Vec<u8, FILE_MAX> {
        let mut file = Vec::new();
        put(&mut file, &[HEADER, text(&self.lines)]);
        let sum = sum(&file);
        put(&mut file, &[SUM]);
        put_number(&mut file, sum);
        put(&mut file, &["\n"]);
        file
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It is not as it was written; nothing is taken from it.
    #[inline(never)]
    pub fn read(&mut self, file: &[u8]) -> Result<(), Damaged> {
        self.lines = read(file).ok_or(Damaged)?;
        Ok(())
    }
}

impl<'a> Entry<'a> {
    /// Reads a line. What is not there is empty, or zero.
    #[inline(never)]
    fn read(mut line: &'a str) -> Self {
        let mut entry = Self::default();
        let Image { version, variant, arch } = &mut entry.image;
        for text in [version, variant, arch, &mut entry.before, &mut entry.boot] {
            *text = cut(&mut line, b'\t');
        }
        for number in [&mut entry.failed_boots, &mut entry.since] {
            *number = whole_number(cut(&mut line, b'\t').as_bytes()).unwrap_or(0);
        }
        entry
    }

    /// Whether each text in it is one that a status may have.
    fn is_plain(&self) -> bool {
        let Image { version, variant, arch } = &self.image;
        let texts = [version, variant, arch, &self.before, &self.boot];
        texts.iter().all(|text| text.len() <= STRING_MAX && is_plain(text))
    }

    /// Puts its line behind others, in which a tab follows on each field, unless
    /// there is nothing to remember of it. There is room: a test has the longest.
    #[inline(never)]
    fn put(&self, lines: &mut VecView<u8>) {
        if self.boot.is_empty() && self.failed_boots == 0 {
            return;
        }
        let Image { version, variant, arch } = &self.image;
        for text in [version, variant, arch, &self.before, &self.boot] {
            put(lines, &[text, "\t"]);
        }
        for number in [&self.failed_boots, &self.since] {
            put_number(lines, *number);
            put(lines, &["\t"]);
        }
        put(lines, &["\n"]);
    }

    /// How long it is not to be tried after it has not come up.
    fn pause(&self, retry: Option<Duration>) -> Duration {
        let doublings = self.failed_boots.saturating_sub(1).min(DOUBLINGS_MAX.into());
        retry.map_or(Duration::MAX, |retry| retry.saturating_mul(1 << doublings))
    }
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// The versions that have a line each, as many as there may be.
fn entries(lines: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = text(lines);
    let next = move |_| (!rest.is_empty()).then(|| Entry::read(cut(&mut rest, b'\n')));
    (0..LINES_MAX).map_while(next)
}

/// The lines of a file that are about versions, if it is as it was written.
fn read(file: &[u8]) -> Option<Lines> {
    let text = str::from_utf8(file).ok()?;
    let last = text.strip_suffix('\n')?.bytes().rposition(|byte| byte == b'\n')? + 1;
    let (before, last) = text.split_at_checked(last)?;
    let found = last.strip_prefix(SUM)?.strip_suffix('\n')?;
    if whole_number(found.as_bytes())? != sum(before.as_bytes()) {
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

/// The FNV-1a of `bytes`, which is enough against accidents: it is no secret.
pub fn sum(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
pub(crate) mod tests;
