//! Small files of text: a header, lines of fields, and a checksum.
//!
//! ```text
//! bottlerocket-updater 1
//! <field> <field> <field>
//! sum <FNV-1a of everything before this line, in decimal>
//! ```
//!
//! Each field ends with a tab, which no field contains. Such a file has one form only:
//! whoever reads it writes it again, and compares. Then the header and the checksum are
//! right, and there is nothing else in the file.

use crate::text::duration::whole_number;
use crate::text::excerpt::is_plain;
use crate::text::{Show, put};
use core::str::{self, Split};
use heapless::{String, VecView};

/// The beginning of the last line of a file.
pub(crate) const SUM: &str = "sum ";

/// The fields of a line, which are taken one after the other.
pub struct Fields<'a>(Split<'a, char>);

impl<'a> Fields<'a> {
    /// The fields of a line without its newline.
    pub fn new(line: &'a str) -> Self {
        Self(line.split('\t'))
    }

    /// Takes a text of at most `N` bytes. `None` if there is no field, if its text is
    /// longer, or if it cannot be shown on one line.
    pub fn text<const N: usize>(&mut self) -> Option<String<N>> {
        String::try_from(self.0.next().filter(|field| is_plain(field))?).ok()
    }

    /// Takes a number. `None` if there is no field, or if it is no number.
    pub fn number(&mut self) -> Option<u64> {
        whole_number(self.0.next()?.as_bytes())
    }
}

/// Puts a field into a file: its value and the tab behind it.
pub fn put_field(file: &mut VecView<u8>, value: impl Show) {
    put!(file, value, "\t");
}

/// Puts the last line into a file: the checksum of the lines before it.
pub fn put_sum(file: &mut VecView<u8>) {
    let sum = fnv1a(file);
    put!(file, SUM, sum, "\n");
}

/// The lines of a file before its checksum. `None` if that is missing or wrong.
pub fn body(file: &[u8]) -> Option<&str> {
    let text = str::from_utf8(file).ok()?;
    let end = text.strip_suffix('\n')?.as_bytes().iter().rposition(|byte| *byte == b'\n')?;
    let (lines, last) = text.split_at_checked(end + 1)?;
    let sum = whole_number(last.strip_prefix(SUM)?.strip_suffix('\n')?.as_bytes())?;
    (sum == fnv1a(lines.as_bytes())).then_some(lines)
}

/// The FNV-1a hash of `bytes`. It detects accidents, not attacks.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
pub(crate) mod tests;
