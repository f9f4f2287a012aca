//! The help of a program: what it is for, its flags from their table, its exit
//! statuses and an example, in lines of at most 80 columns.

use crate::cli::exit;
use crate::cli::flags::Row;
use crate::text::put;
use heapless::{Vec, VecView};

/// The longest help, in bytes: about 100 lines.
pub const HELP_MAX: usize = 8192;
/// The longest line of a help, in bytes without the newline.
const COLUMNS: usize = 80;
/// The longest default of a flag as it is shown, in bytes.
const DEFAULT_MAX: usize = COLUMNS;

/// The flags that every program has.
const COMMON_ROWS: [Row; 2] = [
    Row { usage: "-h, -help", text: "show this help, then exit", default: None },
    Row { usage: "-version", text: "show the version, then exit", default: None },
];

/// What the help of a program says. All texts are ASCII, without newlines.
pub struct Help {
    /// The program's name and its arguments.
    pub usage: &'static str,
    /// What the program is for: one paragraph.
    pub about: &'static str,
    /// The program's own flags.
    pub flags: &'static [Row],
    /// What there is to know about the flags: one paragraph each.
    pub notes: &'static [&'static str],
    /// When the exit status is 0.
    pub success: &'static str,
    /// When the exit status is 1. Empty if it never is.
    pub negative: &'static str,
    /// When the exit status is 3.
    pub failure: &'static str,
    /// A command line.
    pub example: &'static str,
}

impl Help {
    /// Puts the whole help into a buffer.
    pub fn put(&self, buffer: &mut VecView<u8>) {
        put!(buffer, "Usage: ", self.usage, "\n\n");
        put_paragraph(buffer, self.about);

        put!(buffer, "\nFlags:\n");
        let rows = || self.flags.iter().chain(&COMMON_ROWS);
        let widest = rows().map(|row| row.usage.len()).max().unwrap_or_default();
        for row in rows() {
            put_row(buffer, row, widest);
        }
        for note in self.notes {
            put!(buffer, "\n");
            put_paragraph(buffer, note);
        }

        put!(buffer, "\nExit status:\n");
        put_status(buffer, exit::SUCCESS, "success:", self.success);
        if !self.negative.is_empty() {
            put_status(buffer, exit::NEGATIVE, "no:", self.negative);
        }
        put_status(buffer, exit::USAGE, "usage error:", "the command line is wrong");
        put_status(buffer, exit::FAILURE, "failure:", self.failure);

        put!(buffer, "\nExample:\n  ", self.example, "\n");
    }
}

/// Puts the line of a flag, and more lines if its text is long. The texts of all
/// flags begin in one column, two spaces behind the `widest` usage.
fn put_row(buffer: &mut VecView<u8>, row: &Row, widest: usize) {
    put!(buffer, "  ", row.usage);
    let indent = widest + 4;
    put_spaces(buffer, indent.saturating_sub(row.usage.len() + 2));

    let mut paragraph = Paragraph { buffer, column: indent, indent };
    paragraph.put_words(row.text);
    if let Some(value) = row.default {
        // The default stays together, on the last line or on one of its own.
        let mut default = Vec::<u8, DEFAULT_MAX>::new();
        put!(&mut default, "(default: ", value, ")");
        paragraph.put_word(&default);
    }
    put!(buffer, "\n");
}

/// Puts the line of an exit status, and more lines if its text is long.
fn put_status(buffer: &mut VecView<u8>, status: u8, name: &str, text: &str) {
    put!(buffer, "  ", status, "  ");
    let mut paragraph = Paragraph { buffer, column: 5, indent: 5 };
    paragraph.put_words(name);
    paragraph.put_words(text);
    put!(buffer, "\n");
}

fn put_paragraph(buffer: &mut VecView<u8>, text: &str) {
    Paragraph { buffer, column: 0, indent: 0 }.put_words(text);
    put!(buffer, "\n");
}

/// Words with a space between them, or a newline where a line would be longer than
/// [`COLUMNS`].
struct Paragraph<'b> {
    buffer: &'b mut VecView<u8>,
    /// How many bytes the last line has.
    column: usize,
    /// How many spaces each line begins with. The caller has put those of the first.
    indent: usize,
}

impl Paragraph<'_> {
    /// Puts the words of a text that has one space between two of them.
    fn put_words(&mut self, text: &str) {
        for word in text.as_bytes().split(|byte| *byte == b' ') {
            self.put_word(word);
        }
    }

    /// Puts one word, or text that must stay on one line.
    fn put_word(&mut self, word: &[u8]) {
        if self.column > self.indent {
            if self.column + 1 + word.len() > COLUMNS {
                put!(self.buffer, "\n");
                put_spaces(self.buffer, self.indent);
                self.column = self.indent;
            } else {
                put!(self.buffer, " ");
                self.column += 1;
            }
        }
        let _ = self.buffer.extend_from_slice(word);
        self.column += word.len();
    }
}

fn put_spaces(buffer: &mut VecView<u8>, number: usize) {
    for _ in 0..number {
        put!(buffer, " ");
    }
}

#[cfg(test)]
mod tests;
