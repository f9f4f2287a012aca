//! Log records: one line each, as `key=value` pairs (logfmt) or as a JSON object.

use crate::cli::value::{Expected, FlagValue};
use crate::text::duration::HumanDuration;
use crate::text::timestamp::Timestamp;
use crate::text::{Show, display, put};
use core::ffi::CStr;
use core::str;
use core::time::Duration;
use heapless::{Vec, VecView};

/// The longest record, in bytes. The longest record of each event fits: a test
/// writes it.
pub const RECORD_MAX: usize = 2048;

/// The longest value, in bytes, before it is escaped.
const VALUE_MAX: usize = 1024;

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `time=... level=info event=... msg="..." key=value`
    Logfmt,
    /// `{"time":"...","level":"info","event":"...","msg":"...","key":"value"}`
    Json,
}

/// How much a record matters, most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// An error: something does not work.
    Error,
    /// Normal progress.
    Info,
    /// Every step, for debugging.
    Debug,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::Error, Self::Info, Self::Debug];

    /// Its name, in the log and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl FlagValue<'_> for Format {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        *self = match text.to_bytes() {
            b"logfmt" => Self::Logfmt,
            b"json" => Self::Json,
            _ => return Err("it takes logfmt or json"),
        };
        Ok(())
    }
}

impl Show for Format {
    fn show(&self, buffer: &mut VecView<u8>) {
        let name = match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
        };
        put!(buffer, name);
    }
}

impl FlagValue<'_> for Level {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        let named = |level: &Self| level.name().as_bytes() == text.to_bytes();
        *self = Self::ALL.into_iter().find(named).ok_or("it takes error, info or debug")?;
        Ok(())
    }
}

impl Show for Level {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(buffer, self.name());
    }
}
display!(Format, Level);

/// A record that is being written.
pub struct Record {
    line: Vec<u8, RECORD_MAX>,
    format: Format,
}

impl Record {
    /// Begins a record at `utc`, the time since 1970-01-01 00:00:00 UTC, with the
    /// name of an event and what it says to people.
    pub fn new(format: Format, utc: Duration, level: Level, event: &str, message: &str) -> Self {
        let mut record = Self { line: Vec::new(), format };
        record.timestamp("time", utc);
        record.text("level", level.name());
        record.text("event", event);
        record.text("msg", message);
        record
    }

    /// Adds a field with a duration; [`Duration::MAX`] is `never`.
    pub fn duration(&mut self, key: &str, value: Duration) {
        match value {
            Duration::MAX => self.text(key, "never"),
            value => self.show(key, &HumanDuration(value)),
        }
    }

    /// Adds a field with a time since 1970-01-01 00:00:00 UTC.
    pub fn timestamp(&mut self, key: &str, value: Duration) {
        self.show(key, &Timestamp(value));
    }

    /// Adds a field with the text of `value`, of up to 1,024 bytes.
    pub fn show(&mut self, key: &str, value: &dyn Show) {
        let mut text = Vec::<u8, VALUE_MAX>::new();
        value.show(&mut text);
        self.text(key, str::from_utf8(&text).unwrap_or_default());
    }

    /// Adds a field with a text that has no control characters.
    pub fn text(&mut self, key: &str, value: &str) {
        let is_first = self.line.is_empty();
        match self.format {
            Format::Logfmt => {
                put!(&mut self.line, if is_first { "" } else { " " }, key, "=");
                if is_bare(value) {
                    put!(&mut self.line, value);
                } else {
                    put!(&mut self.line, Quoted(value));
                }
            }
            Format::Json => {
                let before = if is_first { "{" } else { "," };
                put!(&mut self.line, before, Quoted(key), ":", Quoted(value));
            }
        }
    }

    /// Ends the record: the line, with its newline.
    pub fn finish(&mut self) -> &[u8] {
        match self.format {
            Format::Logfmt => put!(&mut self.line, "\n"),
            Format::Json => put!(&mut self.line, "}\n"),
        }
        &self.line
    }
}

/// Whether logfmt needs no quotes around a value.
fn is_bare(value: &str) -> bool {
    let is_bare_byte =
        |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-'..=b':' | b'_' | b'+');
    !value.is_empty() && value.bytes().all(is_bare_byte)
}

/// Shows a text in quotes, with a backslash before each quote and backslash: as the
/// value of a log field, or of a metric's label.
pub struct Quoted<'a>(pub &'a str);

impl Show for Quoted<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(buffer, "\"");
        for byte in self.0.bytes() {
            if matches!(byte, b'"' | b'\\') {
                put!(buffer, "\\");
            }
            let _ = buffer.push(byte);
        }
        put!(buffer, "\"");
    }
}

#[cfg(test)]
mod tests;
