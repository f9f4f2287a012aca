//! The host's os-release: which version of Bottlerocket runs.
//!
//! The file has a line like `VERSION_ID=1.26.1`, with or without quotes around the value.
//! As in a shell, the last line of a name counts.

use crate::api::status::Text;
use core::str;

/// The longest file, in bytes. Bottlerocket's has a few hundred.
pub const FILE_MAX: usize = 4096;

/// The version in the contents of the file, such as `1.26.1`. `None` if they have none.
pub fn version(file: &[u8]) -> Option<Text> {
    let lines = file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let value = lines.filter_map(|line| line.strip_prefix(b"VERSION_ID=")).next_back()?;
    let unquoted = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = unquoted(b"\"").or_else(|| unquoted(b"'")).unwrap_or(value);
    // A version has only letters, digits and some signs.
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+~".contains(byte);
    let is_version = !value.is_empty() && value.iter().all(is_allowed);
    str::from_utf8(value).ok().filter(|_| is_version)?.try_into().ok()
}

#[cfg(test)]
mod tests;
