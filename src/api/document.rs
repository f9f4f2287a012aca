//! A push parser for status documents: it filters a document while it is received.
//!
//! A document can have any length: `stderr` of an update command has had 150 KB, and
//! new versions of the API may add members. So the parser keeps only the known
//! members. They form a compact JSON object of at most [`DOCUMENT_MAX`] bytes, which
//! serde-json-core can read as a whole. For example, this document:
//!
//! ```json
//! {"update_state": "Staged",
//!  "available_updates": ["1.26.1", "1.26.0"],
//!  "chosen_update": null,
//!  "staging_partition": {"image": {"version": "1.26.1"}, "next_to_boot": false},
//!  "most_recent_command": {"cmd_type": "prepare", "exit_status": 1, "stderr": "..."}}
//! ```
//!
//! becomes this one, without the line breaks:
//!
//! ```json
//! {"update_state":"Staged",
//!  "available_updates":"1.26.1",
//!  "staging_partition":{"image":{"version":"1.26.1"}},
//!  "most_recent_command":{"cmd_type":"prepare","exit_status":"1"}}
//! ```
//!
//! - `known_member` says what is done with each member. Members that are null are
//!   left out.
//! - Strings keep their escapes, and are cut off after [`STRING_MAX`] bytes.
//! - `stderr` becomes an [`Excerpt`], in which escapes are replaced by characters.
//! - `exit_status` becomes a string.
//! - `available_updates` becomes its first string.
//!
//! The parser refuses a document that is not a JSON object, a duplicate known member
//! (except `available_updates`: the first one counts), and a wrong type where a decision
//! depends on the value. It checks structure,
//! strings, escapes and literals everywhere. In values that are left out, it does not
//! check three things: that a number is well-formed, that a string is UTF-8, and
//! which kind of bracket closes a level below [`TRACKED_DEPTH`].
//!
//! ```text
//!   Start ──{──▶ KeyOrEnd ──"──▶ String ──"──▶ Colon ──:──▶ Value
//!
//!   Value, ValueOrEnd ──{──▶ KeyOrEnd        String ──\──▶ Escape ──▶ String
//!                     ──[──▶ ValueOrEnd                        │
//!                     ──"──▶ String                            u ──▶ Hex ──▶ String
//!                     ──1──▶ Word
//!
//!   end of a value ──▶ CommaOrEnd ──,──▶ Key in an object, Value in an array
//!   end of the document ──▶ Done
//! ```
//!
//! The result does not depend on how the document is split into pieces.

use crate::text::excerpt::Excerpt;
use crate::text::{Show, display, put};
use core::str;
use heapless::{Vec, VecView};

/// The longest filtered document, in bytes.
pub const DOCUMENT_MAX: usize = 1248;
/// How many bytes of a string are kept, without its quotes.
pub const STRING_MAX: usize = 64;
/// The length of the longest escape, `\u0000`. No character is longer.
const ESCAPE_MAX: usize = 6;
/// The longest key, number or literal that is kept. All known keys are shorter.
const TOKEN_MAX: usize = 24;
/// How many levels of nesting are known to be objects or arrays.
pub const TRACKED_DEPTH: u32 = 256;
/// The deepest known object: `image` in a partition in the document.
const KNOWN_DEPTH: usize = 3;

/// Why a document cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// How many bytes of the document come before the error.
    pub offset: u64,
}

/// What is wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// The document is not a JSON object.
    Malformed,
    /// A known member has a value of another type. The offset is that of the value,
    /// or the end of the value if it is a number or a literal.
    WrongType,
    /// A known member occurs twice. The offset is the end of the second key.
    DuplicateMember,
    /// The document ends too early.
    Truncated,
    /// The output buffer is full. Unreachable: the largest document fits.
    BufferFull,
}

impl Show for JsonError {
    fn show(&self, buffer: &mut VecView<u8>) {
        let kind = match self.kind {
            JsonErrorKind::Malformed => "malformed JSON",
            JsonErrorKind::WrongType => "a value of the wrong type",
            JsonErrorKind::DuplicateMember => "duplicate member",
            JsonErrorKind::Truncated => "truncated JSON",
            JsonErrorKind::BufferFull => "too many known members",
        };
        put!(buffer, kind, " at byte ", self.offset);
    }
}
display!(JsonError);

/// An object that has known members.
#[derive(Debug, Clone, Copy)]
enum Parent {
    Document,
    Partition,
    Image,
    Command,
}

/// What to do with a value.
#[derive(Debug, Clone, Copy)]
enum Action {
    /// Leave it out.
    Drop,
    /// Keep it. Decisions depend on it, so it must be a string or null.
    KeepString,
    /// Keep it if it is a string. Nothing depends on it.
    KeepIfString,
    /// Keep it, as a string, if it is a whole number. Nothing depends on it.
    KeepIfInteger,
    /// Keep the first string of an array, as a string. Nothing depends on it.
    KeepFirst,
    /// Keep its known members. It must be an object or null.
    Enter(Parent),
    /// Make an excerpt of it if it is a string.
    Excerpt,
}

/// A known member. In one object, each can occur once.
#[derive(Debug, Clone, Copy)]
enum Member {
    UpdateState,
    AvailableUpdates,
    ChosenUpdate,
    ActivePartition,
    StagingPartition,
    MostRecentCommand,
    Image,
    Version,
    Variant,
    Arch,
    CmdType,
    CmdStatus,
    Timestamp,
    ExitStatus,
    Stderr,
}

/// The member of `parent` that is called `key`, and what to do with its value.
/// `None` if there is no such known member.
fn known_member(parent: Parent, key: &str) -> Option<(Member, Action)> {
    use Action::{Enter, Excerpt, KeepFirst, KeepIfInteger, KeepIfString, KeepString};
    Some(match (parent, key) {
        (Parent::Document, "update_state") => (Member::UpdateState, KeepString),
        (Parent::Document, "available_updates") => (Member::AvailableUpdates, KeepFirst),
        (Parent::Document, "chosen_update") => (Member::ChosenUpdate, Enter(Parent::Image)),
        (Parent::Document, "active_partition") => {
            (Member::ActivePartition, Enter(Parent::Partition))
        }
        (Parent::Document, "staging_partition") => {
            (Member::StagingPartition, Enter(Parent::Partition))
        }
        (Parent::Document, "most_recent_command") => {
            (Member::MostRecentCommand, Enter(Parent::Command))
        }
        (Parent::Partition, "image") => (Member::Image, Enter(Parent::Image)),
        (Parent::Image, "version") => (Member::Version, KeepString),
        (Parent::Image, "variant") => (Member::Variant, KeepString),
        (Parent::Image, "arch") => (Member::Arch, KeepString),
        (Parent::Command, "cmd_type") => (Member::CmdType, KeepString),
        (Parent::Command, "cmd_status") => (Member::CmdStatus, KeepIfString),
        (Parent::Command, "timestamp") => (Member::Timestamp, KeepIfString),
        (Parent::Command, "exit_status") => (Member::ExitStatus, KeepIfInteger),
        (Parent::Command, "stderr") => (Member::Stderr, Excerpt),
        _ => return None,
    })
}

/// What may come next.
#[derive(Debug, Clone, Copy)]
enum State {
    /// The document.
    Start,
    /// A value.
    Value,
    /// The first value of an array, or the end of the array.
    ValueOrEnd,
    /// A key.
    Key,
    /// The first key of an object, or the end of the object.
    KeyOrEnd,
    /// The colon after a key.
    Colon,
    /// The comma after a value, or the end of the object or array.
    CommaOrEnd,
    /// The rest of a string.
    String,
    /// The rest of an escape.
    Escape,
    /// The rest of the four digits of an escape: how many are missing, and the value
    /// of the others.
    Hex { missing: u8, value: u16 },
    /// The rest of a number or a literal.
    Word,
    /// Nothing but white space: the document has ended.
    Done,
}

/// Where the bytes of a string go.
#[derive(Debug, Clone, Copy)]
enum Sink {
    /// The string is a key.
    Key,
    /// Into the filtered document, which has room for so many bytes of it.
    Document { room: usize },
    /// Into the excerpt of `stderr`.
    Stderr,
    /// The string is left out.
    Nowhere,
}

/// A known object that is open.
#[derive(Debug)]
struct Level {
    parent: Parent,
    /// A bit for each [`Member`] that has occurred.
    seen: u16,
}

/// A status document, as far as it has been received.
#[derive(Debug)]
pub struct StatusParser {
    state: State,
    /// What to do with the next value, or with the current one.
    action: Action,
    /// Where the bytes of the current string go.
    sink: Sink,
    /// The known objects that are open, outermost first. Objects that are nested
    /// deeper are unknown.
    levels: Vec<Level, KNOWN_DEPTH>,
    /// How many objects and arrays are open.
    depth: u32,
    /// A bit for each of the outermost open levels: whether it is an object.
    objects: [u64; TRACKED_DEPTH as usize / 64],
    /// The last key. A key that is too long is cut off: no known key is that long.
    key: Vec<u8, TOKEN_MAX>,
    /// The current number or literal, and whether it fits.
    word: Vec<u8, TOKEN_MAX>,
    word_fits: bool,
    /// The first half of a surrogate pair in `stderr`.
    high_surrogate: Option<u16>,
    /// How many bytes have been received.
    offset: u64,
    stderr: Excerpt,
    document: Vec<u8, DOCUMENT_MAX>,
}

/// A filtered status document.
#[derive(Debug, Clone, Copy)]
pub struct StatusDocument<'a> {
    /// The known members, as JSON. Their strings may contain invalid UTF-8.
    pub json: &'a [u8],
    /// The excerpt of the last command's `stderr`.
    pub stderr: &'a Excerpt,
}

impl Default for StatusParser {
    fn default() -> Self {
        Self {
            state: State::Start,
            action: Action::Enter(Parent::Document),
            sink: Sink::Nowhere,
            levels: Vec::new(),
            depth: 0,
            objects: [0; _],
            key: Vec::new(),
            word: Vec::new(),
            word_fits: true,
            high_surrogate: None,
            offset: 0,
            stderr: Excerpt::default(),
            document: Vec::new(),
        }
    }
}

impl StatusParser {
    /// Takes the next bytes of the document.
    ///
    /// # Errors
    ///
    /// The document is not understood. The parser cannot be used any more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        let mut rest = bytes;
        // Ends: each turn takes at least one byte.
        while !rest.is_empty() {
            let run = self.plain_run(rest);
            let (run, behind) = rest.split_at_checked(run).unwrap_or((&[], rest));
            self.push_run(run).map_err(|kind| JsonError { kind, offset: self.offset })?;
            self.offset += run.len() as u64;
            let Some((byte, behind)) = behind.split_first() else { break };
            self.push_byte(*byte).map_err(|kind| JsonError { kind, offset: self.offset })?;
            self.offset += 1;
            rest = behind;
        }
        Ok(())
    }

    /// Returns the known members and the excerpt of `stderr`.
    ///
    /// # Errors
    ///
    /// The document is truncated.
    pub fn finish(&self) -> Result<StatusDocument<'_>, JsonError> {
        match self.state {
            State::Done => Ok(StatusDocument { json: &self.document, stderr: &self.stderr }),
            _ => Err(JsonError { kind: JsonErrorKind::Truncated, offset: self.offset }),
        }
    }

    // Not inlined: saves 480 bytes in the checker.
    #[inline(never)]
    fn push_byte(&mut self, byte: u8) -> Result<(), JsonErrorKind> {
        match self.state {
            State::String => return self.push_in_string(byte),
            State::Escape => return self.push_in_escape(byte),
            State::Hex { missing, value } => return self.push_in_hex(byte, missing, value),
            // Literals are short, so only numbers may be longer than the buffer.
            State::Word
                if is_in_number(byte) || byte.is_ascii_alphabetic() && !self.word.is_full() =>
            {
                self.word_fits &= self.word.push(byte).is_ok();
                return Ok(());
            }
            State::Word => self.end_word()?,
            _ => {}
        }
        match (self.state, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            (State::Start | State::Value | State::ValueOrEnd, b'{') => self.open_object()?,
            (State::Value | State::ValueOrEnd, b'[') => self.open_array()?,
            (State::Value | State::ValueOrEnd, b'"') => self.begin_string()?,
            (State::Value | State::ValueOrEnd, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.word.clear();
                self.word_fits = self.word.push(byte).is_ok();
                self.state = State::Word;
            }
            (State::Key | State::KeyOrEnd, b'"') => {
                self.key.clear();
                (self.state, self.sink) = (State::String, Sink::Key);
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrEnd, b',') => {
                self.state = match self.is_in_object() {
                    Some(true) => State::Key,
                    Some(false) => State::Value,
                    // Deeper than the tracked levels, a key is read like a value.
                    None => State::ValueOrEnd,
                };
            }
            (State::CommaOrEnd, b':') if self.is_in_object().is_none() => {
                self.state = State::Value;
            }
            (State::KeyOrEnd | State::CommaOrEnd, b'}') if self.is_in_object() != Some(false) => {
                self.close()?;
            }
            (State::ValueOrEnd | State::CommaOrEnd, b']') if self.is_in_object() != Some(true) => {
                self.close()?;
            }
            (State::ValueOrEnd, b'}') if self.is_in_object().is_none() => self.close()?,
            _ => return Err(JsonErrorKind::Malformed),
        }
        Ok(())
    }

    /// Whether the innermost open level is an object, if it is tracked.
    fn is_in_object(&self) -> Option<bool> {
        let level = self.depth.checked_sub(1)?;
        let bits = self.objects.get(level as usize / 64)?;
        Some(bits & 1 << (level % 64) != 0)
    }

    /// Whether the innermost open level is a known object.
    fn is_in_known_object(&self) -> bool {
        self.depth as usize == self.levels.len()
    }

    fn open_object(&mut self) -> Result<(), JsonErrorKind> {
        match self.action {
            Action::Enter(parent) => {
                if self.depth > 0 {
                    self.keep_key()?;
                }
                keep(&mut self.document, b"{")?;
                let level = Level { parent, seen: 0 };
                self.levels.push(level).map_err(|_| JsonErrorKind::BufferFull)?;
            }
            Action::KeepString => return Err(JsonErrorKind::WrongType),
            _ => self.action = Action::Drop,
        }
        self.open(true);
        Ok(())
    }

    fn open_array(&mut self) -> Result<(), JsonErrorKind> {
        self.action = match self.action {
            Action::Enter(_) | Action::KeepString => return Err(JsonErrorKind::WrongType),
            // The key of the array becomes the key of its first value.
            Action::KeepFirst => Action::KeepIfString,
            _ => Action::Drop,
        };
        self.open(false);
        Ok(())
    }

    fn open(&mut self, is_object: bool) {
        if let Some(bits) = self.objects.get_mut(self.depth as usize / 64) {
            let bit = 1 << (self.depth % 64);
            *bits = if is_object { *bits | bit } else { *bits & !bit };
        }
        // No document has so many bytes that this saturates.
        self.depth = self.depth.saturating_add(1);
        self.state = match self.is_in_object() {
            Some(true) => State::KeyOrEnd,
            Some(false) | None => State::ValueOrEnd,
        };
    }

    fn close(&mut self) -> Result<(), JsonErrorKind> {
        if self.is_in_known_object() {
            self.levels.pop();
            keep(&mut self.document, b"}")?;
        }
        self.depth = self.depth.saturating_sub(1);
        self.end_value();
        Ok(())
    }

    fn end_value(&mut self) {
        self.action = Action::Drop;
        self.state = if self.depth == 0 { State::Done } else { State::CommaOrEnd };
    }

    fn end_key(&mut self) -> Result<(), JsonErrorKind> {
        self.state = State::Colon;
        self.action = Action::Drop;
        if !self.is_in_known_object() {
            return Ok(());
        }
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        if let Some((member, action)) =
            known_member(level.parent, str::from_utf8(&self.key).unwrap_or_default())
        {
            let bit = 1 << member as u16;
            if level.seen & bit != 0 {
                return match action {
                    // Nothing depends on it, so the first one counts.
                    Action::KeepFirst => Ok(()),
                    _ => Err(JsonErrorKind::DuplicateMember),
                };
            }
            level.seen |= bit;
            self.action = action;
        }
        Ok(())
    }

    /// Adds the last key to the filtered document. Its value must follow.
    fn keep_key(&mut self) -> Result<(), JsonErrorKind> {
        let separator: &[u8] = if self.document.ends_with(b"{") { b"\"" } else { b",\"" };
        keep(&mut self.document, separator)?;
        keep(&mut self.document, &self.key)?;
        keep(&mut self.document, b"\":")
    }

    fn end_word(&mut self) -> Result<(), JsonErrorKind> {
        let is_null = self.word == b"null";
        let is_number = self.word.iter().all(|byte| is_in_number(*byte));
        if !is_null && !is_number && self.word != b"true" && self.word != b"false" {
            return Err(JsonErrorKind::Malformed);
        }
        match self.action {
            Action::KeepString | Action::Enter(_) if !is_null => {
                return Err(JsonErrorKind::WrongType);
            }
            Action::KeepIfInteger if self.is_integer() => {
                self.keep_key()?;
                keep(&mut self.document, b"\"")?;
                keep(&mut self.document, &self.word)?;
                keep(&mut self.document, b"\"")?;
            }
            _ => {}
        }
        self.end_value();
        Ok(())
    }

    /// Whether the word is a whole number that fits.
    fn is_integer(&self) -> bool {
        let digits = self.word.strip_prefix(b"-").unwrap_or(&self.word);
        self.word_fits && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    }

    fn begin_string(&mut self) -> Result<(), JsonErrorKind> {
        self.sink = match self.action {
            Action::KeepString | Action::KeepIfString => {
                self.keep_key()?;
                keep(&mut self.document, b"\"")?;
                Sink::Document { room: STRING_MAX }
            }
            Action::Enter(_) => return Err(JsonErrorKind::WrongType),
            Action::Excerpt => Sink::Stderr,
            Action::Drop | Action::KeepIfInteger | Action::KeepFirst => Sink::Nowhere,
        };
        self.state = State::String;
        Ok(())
    }

    /// How many of the next bytes are taken at once: within a string, those before the
    /// next quote, escape or control character.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        let limit = match (self.state, self.sink) {
            // The last bytes of a string that may have to be cut off are taken singly.
            (State::String, Sink::Document { room: room @ 1.. }) => {
                (room + 1).saturating_sub(ESCAPE_MAX)
            }
            (State::String, _) => bytes.len(),
            _ => 0,
        };
        let plain =
            bytes.iter().take(limit).take_while(|byte| !matches!(byte, b'"' | b'\\' | ..0x20));
        plain.count()
    }

    /// Takes bytes of a string that are neither a quote nor of an escape.
    fn push_run(&mut self, run: &[u8]) -> Result<(), JsonErrorKind> {
        match &mut self.sink {
            _ if run.is_empty() => {}
            Sink::Key => {
                let room = self.key.capacity() - self.key.len();
                let _ = self.key.extend_from_slice(run.get(..room).unwrap_or(run));
            }
            Sink::Document { room } if *room > 0 => {
                *room -= run.len();
                keep(&mut self.document, run)?;
            }
            Sink::Stderr => self.push_to_stderr(|stderr| stderr.push_bytes(run)),
            Sink::Document { .. } | Sink::Nowhere => {}
        }
        Ok(())
    }

    fn push_in_string(&mut self, byte: u8) -> Result<(), JsonErrorKind> {
        match byte {
            b'"' => return self.end_string(),
            ..0x20 => return Err(JsonErrorKind::Malformed),
            b'\\' => self.state = State::Escape,
            _ => {}
        }
        if let Sink::Document { room } = &mut self.sink
            && *room < ESCAPE_MAX
            && !matches!(byte, 0x80..0xc0)
        {
            // This byte begins a character or an escape that may not fit. The string
            // is cut off before it.
            *room = 0;
        }
        self.keep_in_string(byte)?;
        if byte != b'\\' {
            self.push_to_stderr(|stderr| stderr.push_byte(byte));
        }
        Ok(())
    }

    /// Keeps a byte of a key, or of a string that is kept, as it is written.
    fn keep_in_string(&mut self, byte: u8) -> Result<(), JsonErrorKind> {
        match &mut self.sink {
            Sink::Key => {
                let _ = self.key.push(byte);
            }
            Sink::Document { room } if *room > 0 => {
                *room -= 1;
                keep(&mut self.document, &[byte])?;
            }
            Sink::Document { .. } | Sink::Stderr | Sink::Nowhere => {}
        }
        Ok(())
    }

    /// Adds to the excerpt, if the string goes there.
    fn push_to_stderr(&mut self, push: impl FnOnce(&mut Excerpt)) {
        if matches!(self.sink, Sink::Stderr) {
            self.end_surrogate();
            push(&mut self.stderr);
        }
    }

    fn push_in_escape(&mut self, byte: u8) -> Result<(), JsonErrorKind> {
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.state = State::Hex { missing: 4, value: 0 };
                return self.keep_in_string(byte);
            }
            _ => return Err(JsonErrorKind::Malformed),
        };
        self.state = State::String;
        self.push_to_stderr(|stderr| stderr.push(character));
        self.keep_in_string(byte)
    }

    fn push_in_hex(&mut self, byte: u8, missing: u8, value: u16) -> Result<(), JsonErrorKind> {
        let digit = char::from(byte).to_digit(16).ok_or(JsonErrorKind::Malformed)?;
        let value = value << 4 | digit as u16;
        if missing > 1 {
            self.state = State::Hex { missing: missing - 1, value };
        } else {
            self.state = State::String;
            if matches!(self.sink, Sink::Stderr) {
                self.push_utf16(value);
            }
        }
        self.keep_in_string(byte)
    }

    /// Adds a UTF-16 code unit to the excerpt.
    fn push_utf16(&mut self, unit: u16) {
        let code = match (self.high_surrogate, unit) {
            (Some(high), 0xdc00..0xe000) => {
                self.high_surrogate = None;
                0x1_0000 + (u32::from(high - 0xd800) << 10) + u32::from(unit - 0xdc00)
            }
            _ => {
                self.end_surrogate();
                unit.into()
            }
        };
        match unit {
            0xd800..0xdc00 => self.high_surrogate = Some(unit),
            _ => self.stderr.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    /// Replaces the first half of a surrogate pair if the second half is missing.
    fn end_surrogate(&mut self) {
        if self.high_surrogate.take().is_some() {
            self.stderr.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn end_string(&mut self) -> Result<(), JsonErrorKind> {
        match self.sink {
            Sink::Key => return self.end_key(),
            Sink::Document { .. } => keep(&mut self.document, b"\"")?,
            Sink::Stderr => self.end_surrogate(),
            Sink::Nowhere => {}
        }
        self.end_value();
        Ok(())
    }
}

/// Adds bytes to the filtered document.
fn keep(document: &mut VecView<u8>, bytes: &[u8]) -> Result<(), JsonErrorKind> {
    document.extend_from_slice(bytes).map_err(|_| JsonErrorKind::BufferFull)
}

/// Whether the byte can be in a number.
fn is_in_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}
