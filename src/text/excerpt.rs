//! The start and the end of a text of any length, made safe for one line.
//!
//! A text from a server can be long or hostile, or contain colours. An excerpt
//! keeps a fixed number of bytes from its start and from its end, because the reason
//! of a failure is usually in the first or the last line. Control characters and
//! white space become single spaces, terminal sequences are removed, and invalid
//! UTF-8 and characters that hide or reorder others become U+FFFD.
//!
//! The result does not depend on how the text is split into pieces.

use crate::text::{Show, display, put};
use core::str;
use heapless::{Vec, VecView};

/// How many bytes are kept from the start.
const HEAD: usize = 200;
/// How many bytes are kept from the end.
const TAIL: usize = 300;
/// More than the longest text of an excerpt: both ends, and the words between them.
const SHOWN_MAX: usize = HEAD + TAIL + 64;

/// An excerpt of a text. Displayed, it is one line without control characters: the
/// text, or its two ends with the number of bytes that are left out between them.
#[derive(Debug, Clone)]
pub struct Excerpt {
    /// The start of the text.
    head: Vec<u8, HEAD>,
    /// The last bytes after the head, as a ring: each byte replaces the one that
    /// came [`TAIL`] bytes before it.
    tail: [u8; TAIL],
    /// How many bytes have come after the head.
    after_head: usize,
    /// The bytes of an incomplete character.
    partial: Vec<u8, 4>,
    sequence: Sequence,
    /// Whether there has been white space since the last visible character.
    gap: bool,
}

/// How much has come of a terminal's control sequence: ESC, `[`, parameters, and a
/// final byte from `@` to `~`.
#[derive(Debug, Clone)]
enum Sequence {
    None,
    Escape,
    Parameters,
}

impl Default for Excerpt {
    fn default() -> Self {
        Self {
            head: Vec::new(),
            tail: [0; _],
            after_head: 0,
            partial: Vec::new(),
            sequence: Sequence::None,
            gap: false,
        }
    }
}

impl Excerpt {
    /// Takes the next bytes of a text in UTF-8.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push_byte(*byte);
        }
    }

    /// Takes the next byte of a text in UTF-8.
    pub fn push_byte(&mut self, byte: u8) {
        // Most bytes are a character of their own.
        if byte.is_ascii() {
            self.push(byte.into());
            return;
        }
        // Ends: in the second turn, the byte is the first of its character.
        loop {
            let first = self.partial.is_empty();
            // There is room: a character has at most four bytes, and it is removed
            // as soon as it is complete or invalid.
            let _ = self.partial.push(byte);
            let complete = match str::from_utf8(&self.partial) {
                Ok(text) => text.chars().next(),
                Err(error) if error.error_len().is_none() => return,
                Err(_) => None,
            };
            self.partial.clear();
            self.push_character(complete.unwrap_or(char::REPLACEMENT_CHARACTER));
            // A byte that makes a character invalid may begin the next one.
            if first || complete.is_some() {
                return;
            }
        }
    }

    /// Takes the next character of a text.
    pub fn push(&mut self, character: char) {
        // A character that is incomplete will not be completed.
        if !self.partial.is_empty() {
            self.partial.clear();
            self.push_character(char::REPLACEMENT_CHARACTER);
        }
        self.push_character(character);
    }

    fn push_character(&mut self, character: char) {
        self.sequence = match (&self.sequence, character) {
            (_, '\u{1b}') => Sequence::Escape,
            (Sequence::Escape, '[') => Sequence::Parameters,
            (Sequence::Parameters, ' '..='?') => Sequence::Parameters,
            (Sequence::Parameters, '@'..='~') => {
                self.sequence = Sequence::None;
                return;
            }
            _ => Sequence::None,
        };
        if !matches!(self.sequence, Sequence::None) {
            return;
        }
        if character == ' ' || is_control(character) {
            self.gap = true;
            return;
        }
        if self.gap && !self.head.is_empty() {
            self.keep(" ");
        }
        self.gap = false;
        let character = if is_hidden(character) { '\u{fffd}' } else { character };
        self.keep(character.encode_utf8(&mut [0; 4]));
    }

    fn keep(&mut self, piece: &str) {
        if self.after_head == 0 && self.head.extend_from_slice(piece.as_bytes()).is_ok() {
            return;
        }
        for byte in piece.bytes() {
            if let Some(place) = self.tail.get_mut(self.after_head % TAIL) {
                *place = byte;
            }
            self.after_head += 1;
        }
    }

    /// The byte at the index `at` of the text after the head, if it is still kept.
    fn tail_byte(&self, at: usize) -> u8 {
        self.tail.get(at % TAIL).copied().unwrap_or_default()
    }

    /// Whether there has been no visible character.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// Whether the excerpt, as it is displayed, contains `text`.
    pub fn contains(&self, text: &str) -> bool {
        if text.is_empty() {
            return true;
        }
        let mut shown = Vec::<u8, SHOWN_MAX>::new();
        put!(&mut shown, self);
        shown.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Show for Excerpt {
    fn show(&self, buffer: &mut VecView<u8>) {
        let _ = buffer.extend_from_slice(&self.head);
        let mut at = self.after_head.saturating_sub(TAIL);
        // Skip the rest of a character whose first byte is no longer kept.
        // Ends: each turn is nearer to the end of the tail.
        while at < self.after_head && matches!(self.tail_byte(at), 0x80..0xc0) {
            at += 1;
        }
        if at > 0 {
            put!(buffer, " [", at, " bytes left out] ");
        }
        for at in at..self.after_head {
            let _ = buffer.push(self.tail_byte(at));
        }
    }
}

/// Whether a character starts a new line or controls a terminal.
fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Whether a character is invisible, or changes the order of others.
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Whether a text can be shown on one line without any change.
pub fn is_plain(text: &str) -> bool {
    // Nearly every text is only ASCII, which is quicker to check.
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        || !text.chars().any(|character| is_control(character) || is_hidden(character))
}

/// Shows bytes that should be text, such as a path, as an [`Excerpt`].
pub struct Sanitized<'a>(pub &'a [u8]);

impl Show for Sanitized<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let mut excerpt = Excerpt::default();
        excerpt.push_bytes(self.0);
        excerpt.show(buffer);
    }
}
display!(Excerpt, Sanitized<'_>);

#[cfg(test)]
mod tests;
