//! The record of a reboot that is to bring another version.
//!
//! The reboot program writes it on the host's disk right before it asks for the reboot.
//! In the next boot it tells the gate and the updater what that boot was to bring, which
//! the API has forgotten by then.
//!
//! This module does no I/O: `sys::files` reads, replaces and removes the file. The file
//! has three lines, and a file of any other form counts as damaged:
//!
//! ```text
//! bottlerocket-reboot 1
//! <version> <variant> <arch> <running version> <boot id> <attempts>
//! sum <FNV-1a of everything before this line, in decimal>
//! ```
//!
//! Each field ends with a tab, which no field contains.

use crate::api::status::{Image, OwnedImage, Text, copy};
use crate::text::fields::{Fields, put_field, put_sum};
use crate::text::put;
use core::ffi::CStr;
use core::str;
use heapless::Vec;

/// Where the record is on every node.
pub const DEFAULT_PATH: &CStr = c"/opt/bottlerocket/reboot/record";
/// The longest file, in bytes.
pub const FILE_MAX: usize = 512;

/// The first line of the file: its kind, and the version of its format.
const HEADER: &str = "bottlerocket-reboot 1\n";

/// Takes the place of a boot id that is no longer known. It is the id of no boot.
const EARLIER_BOOT: &str = "an-earlier-boot";

/// What a reboot was to bring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebootRecord {
    /// The image that the next boot was to start.
    pub image: OwnedImage,
    /// The version that ran when the reboot was requested. It runs again if the other
    /// one does not boot.
    pub running: Text,
    /// The id of the boot in which the reboot was requested.
    pub boot: Text,
    /// How often a reboot into this image has been requested while the node has been
    /// drained: 1 for Kured's reboot, 2 for the one that the gate requested.
    pub attempts: u64,
}

/// The file is not as [`RebootRecord::write`] writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

impl RebootRecord {
    /// The record of the first reboot from `running` to `image`, in the boot with the id
    /// `boot`.
    pub fn new(boot: &str, running: &str, image: Image) -> Self {
        let (running, boot) = (copy(running), copy(boot));
        Self { image: OwnedImage::new(image), running, boot, attempts: 1 }
    }

    /// The record of one more reboot into the same image, in the boot with the id `boot`.
    pub fn again(&self, boot: &str) -> Self {
        let attempts = self.attempts.saturating_add(1);
        Self { boot: copy(boot), attempts, ..self.clone() }
    }

    /// The record as it was before [`RebootRecord::again`]: that reboot was not carried
    /// out. The id of the boot before is no longer known.
    pub fn taken_back(&self) -> Self {
        let attempts = self.attempts.saturating_sub(1).max(1);
        Self { boot: copy(EARLIER_BOOT), attempts, ..self.clone() }
    }

    /// The contents of the file.
    pub fn write(&self) -> Vec<u8, FILE_MAX> {
        let Self { image, running, boot, attempts } = self;
        let OwnedImage { version, variant, arch } = image;
        let mut file = Vec::new();
        put!(&mut file, HEADER);
        for text in [version, variant, arch, running, boot] {
            put_field(&mut file, text.as_str());
        }
        put_field(&mut file, attempts);
        put!(&mut file, "\n");
        put_sum(&mut file);
        file
    }

    /// Reads the contents of the file.
    ///
    /// # Errors
    ///
    /// [`RebootRecord::write`] does not write such a file.
    pub fn read(file: &[u8]) -> Result<Self, Damaged> {
        let text = str::from_utf8(file).map_err(|_| Damaged)?;
        let record = text.lines().nth(1).and_then(Self::read_line).ok_or(Damaged)?;
        // This also checks the header, the checksum, and that there is nothing else.
        if record.write() != file { Err(Damaged) } else { Ok(record) }
    }

    /// Reads the line of the record. `None` if it has other fields, or one that no
    /// record has.
    fn read_line(line: &str) -> Option<Self> {
        let mut fields = Fields::new(line);
        let (version, variant, arch) = (fields.text()?, fields.text()?, fields.text()?);
        let image = OwnedImage { version, variant, arch };
        let (running, boot) = (fields.text()?, fields.text()?);
        let attempts = fields.number()?;
        let is_known = |text: &Text| !text.is_empty();
        let is_complete = is_known(&image.version) && is_known(&running) && is_known(&boot);
        (is_complete && attempts > 0).then_some(Self { image, running, boot, attempts })
    }
}

#[cfg(test)]
mod tests;
