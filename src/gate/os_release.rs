//! The host's os-release: which version and which variant of Bottlerocket runs.
//!
//! The file has lines like `VERSION_ID=1.26.1`, with or without quotes around the value.
//! As in a shell, the last line of a name counts.

use crate::api::status::{Text, copy};
use core::str;

/// The longest file, in bytes. Bottlerocket's has a few hundred.
pub const FILE_MAX: usize = 4096;

/// What is read of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// The version, such as `1.26.1`.
    pub version: Text,
    /// The variant, such as `aws-k8s-1.30`. Empty if the file does not have it.
    pub variant: Text,
}

impl OsRelease {
    /// Reads the contents of the file. `None` if they have no version.
    pub fn read(file: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        for line in file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if let Some(value) = line.strip_prefix(b"VERSION_ID=") {
                found.version = text(value);
            } else if let Some(value) = line.strip_prefix(b"VARIANT_ID=") {
                found.variant = text(value);
            }
        }
        Some(found).filter(|found| !found.version.is_empty())
    }
}

/// The text of a value, without its quotes. Empty if it is no version and no variant:
/// these have only letters, digits and some signs.
fn text(value: &[u8]) -> Text {
    let unquoted = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = unquoted(b"\"").or_else(|| unquoted(b"'")).unwrap_or(value);
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+~".contains(byte);
    let text = str::from_utf8(value).unwrap_or_default();
    if value.iter().all(is_allowed) { copy(text) } else { Text::new() }
}

#[cfg(test)]
mod tests;
