//! The file that keeps the history.
//!
//! It has a few lines of text, one for each version, and a checksum at the end. A file of
//! any other form counts as damaged:
//!
//! ```text
//! bottlerocket-updater 2
//! uptime <total> <since boot>
//! ran <version> <variant> <arch> <boot id>
//! staged <version>
//! sent <command> <version> <timestamp before> <boot id>
//! offered <version> <variant> <arch> <since> <replaced>
//! <version> <variant> <arch> <previous version> <boot id> <failed boots> <failed at>
//! sum <FNV-1a of everything before this line, in decimal>
//! ```
//!
//! Each field ends with a tab, which no field contains. A line that has nothing to say is
//! left out.
//!
//! - `uptime` is the clock of the file, in milliseconds: see [`uptime`](crate::updater::uptime).
//! - `ran` has the version that ran last, and the boot in which it was seen.
//! - `staged` has the version that waits in this boot for the reboot program, which
//!   activates it.
//! - `sent` has the command whose outcome is not known yet, and the timestamp of the last
//!   command before it.
//! - `offered` has the version that the node has chosen, since when, on the clock of the
//!   file, and how many versions before it were replaced while they soaked.
//! - Each other line has a version that was activated, or did not boot. Its boot id is that of
//!   the boot in which it was activated; it is empty once the outcome is known. `failed at` is
//!   when a boot of it last failed, on the clock of the file.
//!
//! The first form of the file, with a 1 in its first line, is read as well. It has no
//! uptime, and `failed at` is a time of the wall clock, which may have been wrong. So its
//! hold-backs begin again.

use crate::api::Command;
use crate::api::status::{OwnedImage, Text};
use crate::text::duration::millis;
use crate::text::fields::{Fields, put_field, put_sum};
use crate::text::put;
use crate::updater::history::{Entries, Entry, History, LastRun, Offer, Sent};
use crate::updater::uptime::Uptime;
use core::str;
use core::time::Duration;
use heapless::Vec;

/// The longest file, in bytes.
pub const FILE_MAX: usize = 3072;

/// The first line of the file: its kind, and the version of its format.
pub(super) const HEADER: &str = "bottlerocket-updater 2\n";
/// The first line of a file in the first form.
pub(super) const FIRST_HEADER: &str = "bottlerocket-updater 1\n";
/// The beginning of the line with the uptime.
const UPTIME: &str = "uptime\t";
/// The beginning of the line with the version that ran last.
const LAST_RUN: &str = "ran\t";
/// The beginning of the line with the version that is staged for the reboot.
const STAGED: &str = "staged\t";
/// The beginning of the line with the command that was sent.
const SENT: &str = "sent\t";
/// The beginning of the line with the version that the node has chosen.
const OFFERED: &str = "offered\t";

/// The file is not as [`History::write`] writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl History {
    /// The contents of the file.
    pub fn write(&self) -> Vec<u8, FILE_MAX> {
        let Self { uptime, last_run, staged, entries, .. } = self;
        let (sent, offer) = (self.sent.as_ref(), self.offer.as_ref());
        write(HEADER, &Contents { uptime: *uptime, last_run, staged, sent, offer, entries })
    }

    /// Reads the contents of the file.
    ///
    /// # Errors
    ///
    /// [`History::write`] does not write such a file. The history stays as it was.
    pub fn read(&mut self, file: &[u8]) -> Result<(), Damaged> {
        let text = str::from_utf8(file).map_err(|_| Damaged)?;
        let is_first_form = text.starts_with(FIRST_HEADER);
        let mut header = FIRST_HEADER;
        let (mut uptime, mut last_run) = (Uptime::default(), LastRun::default());
        let (mut staged, mut sent, mut offer) = (Text::new(), None, None);
        if !is_first_form {
            header = HEADER;
            uptime = text.lines().find_map(read_uptime).unwrap_or_default();
            last_run = text.lines().find_map(LastRun::read).unwrap_or_default();
            staged = text.lines().find_map(read_staged).unwrap_or_default();
            sent = text.lines().find_map(Sent::read);
            offer = text.lines().find_map(Offer::read);
        }
        let mut entries = Entries::new();
        for entry in text.lines().filter_map(Entry::read) {
            entries.push(entry).map_err(|_| Damaged)?;
        }
        // This also checks the header, the checksum, and that there is nothing else.
        let contents = Contents {
            uptime,
            last_run: &last_run,
            staged: &staged,
            sent: sent.as_ref(),
            offer: offer.as_ref(),
            entries: &entries,
        };
        if write(header, &contents) != file {
            return Err(Damaged);
        }
        for entry in &mut entries {
            entry.failed_at =
                if is_first_form { Duration::ZERO } else { entry.failed_at.min(uptime.total()) };
        }
        if let Some(offer) = &mut offer {
            offer.since = offer.since.min(uptime.total());
        }
        (self.entries, self.last_run, self.staged) = (entries, last_run, staged);
        (self.sent, self.offer) = (sent, offer);
        (self.uptime, self.saved_uptime) = (uptime, uptime.total());
        // The file gets the present form now, so that the hold-backs do not begin again at
        // the next start, too.
        self.changed = is_first_form;
        Ok(())
    }
}

/// What a file has between its header and its checksum.
struct Contents<'a> {
    uptime: Uptime,
    last_run: &'a LastRun,
    staged: &'a str,
    sent: Option<&'a Sent>,
    offer: Option<&'a Offer>,
    entries: &'a Entries,
}

/// The contents of a file. There is room: a test writes the longest file.
fn write(header: &str, contents: &Contents) -> Vec<u8, FILE_MAX> {
    let Contents { uptime, last_run, staged, sent, offer, entries } = contents;
    let mut file = Vec::new();
    put!(&mut file, header);
    if let Some([total, since_boot]) = uptime.to_save() {
        put!(&mut file, UPTIME);
        for number in [total, since_boot] {
            put_field(&mut file, number);
        }
        put!(&mut file, "\n");
    }
    if !last_run.boot.is_empty() {
        put!(&mut file, LAST_RUN);
        let OwnedImage { version, variant, arch } = &last_run.image;
        for text in [version, variant, arch, &last_run.boot] {
            put_field(&mut file, text.as_str());
        }
        put!(&mut file, "\n");
    }
    if !staged.is_empty() {
        put!(&mut file, STAGED);
        put_field(&mut file, staged);
        put!(&mut file, "\n");
    }
    if let Some(Sent { command, version, timestamp_before, boot }) = sent {
        put!(&mut file, SENT);
        for text in [command.name(), version, timestamp_before, boot] {
            put_field(&mut file, text);
        }
        put!(&mut file, "\n");
    }
    if let Some(Offer { image: OwnedImage { version, variant, arch }, since, replaced }) = offer {
        put!(&mut file, OFFERED);
        for text in [version, variant, arch] {
            put_field(&mut file, text.as_str());
        }
        for number in [millis(*since), *replaced] {
            put_field(&mut file, number);
        }
        put!(&mut file, "\n");
    }
    for entry in *entries {
        let Entry { image, previous_version, boot, failed_boots, failed_at } = entry;
        let OwnedImage { version, variant, arch } = image;
        for text in [version, variant, arch, previous_version, boot] {
            put_field(&mut file, text.as_str());
        }
        for number in [*failed_boots, millis(*failed_at)] {
            put_field(&mut file, number);
        }
        put!(&mut file, "\n");
    }
    put_sum(&mut file);
    file
}

/// Reads the line with the uptime. `None` if it is another line.
fn read_uptime(line: &str) -> Option<Uptime> {
    let mut fields = Fields::new(line.strip_prefix(UPTIME)?);
    Some(Uptime::from_saved(fields.number()?, fields.number()?))
}

/// Reads the line with the version that is staged for the reboot. `None` if it is another
/// line.
fn read_staged(line: &str) -> Option<Text> {
    Fields::new(line.strip_prefix(STAGED)?).text()
}

impl LastRun {
    /// Reads the line with the version that ran last. `None` if it is another line.
    fn read(line: &str) -> Option<Self> {
        let mut fields = Fields::new(line.strip_prefix(LAST_RUN)?);
        let (version, variant, arch) = (fields.text()?, fields.text()?, fields.text()?);
        Some(Self { image: OwnedImage { version, variant, arch }, boot: fields.text()? })
    }
}

impl Sent {
    /// Reads the line with the command that was sent. `None` if it is another line.
    fn read(line: &str) -> Option<Self> {
        let mut fields = Fields::new(line.strip_prefix(SENT)?);
        let name: Text = fields.text()?;
        let command = Command::ALL.into_iter().find(|command| command.name() == name)?;
        let (version, timestamp_before) = (fields.text()?, fields.text()?);
        Some(Self { command, version, timestamp_before, boot: fields.text()? })
    }
}

impl Offer {
    /// Reads the line with the version that the node has chosen. `None` if it is another
    /// line.
    fn read(line: &str) -> Option<Self> {
        let mut fields = Fields::new(line.strip_prefix(OFFERED)?);
        let (version, variant, arch) = (fields.text()?, fields.text()?, fields.text()?);
        let image = OwnedImage { version, variant, arch };
        let since = Duration::from_millis(fields.number()?);
        Some(Self { image, since, replaced: fields.number()? })
    }
}

impl Entry {
    /// Reads the line of an entry. `None` if it has other fields, or a text that no
    /// status has.
    fn read(line: &str) -> Option<Self> {
        let mut fields = Fields::new(line);
        let (version, variant, arch) = (fields.text()?, fields.text()?, fields.text()?);
        let image = OwnedImage { version, variant, arch };
        let (previous_version, boot) = (fields.text()?, fields.text()?);
        let failed_boots = fields.number()?;
        let failed_at = Duration::from_millis(fields.number()?);
        let entry = Self { image, previous_version, boot, failed_boots, failed_at };
        Some(entry).filter(Self::is_needed)
    }
}
