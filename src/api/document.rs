//! Condenses a status document while it streams in.
//!
//! The document may be of any length: an update command's `stderr` has been
//! seen 150 KB long, and fields may come that nobody knows yet. What comes out
//! is a JSON array of at most [`CONDENSED_MAX`] bytes: the letters of the known
//! members and their values, in turn, long strings shortened, and null for an
//! end, ready for a parser that wants its input whole; and an excerpt of `stderr`, with the escapes resolved. So this:
//!
//! ```json
//! {"update_state": "Staged",
//!  "available_updates": ["1.26.1", "1.26.0"],
//!  "staging_partition": {"image": {"version": "1.26.1"}, "next_to_boot": false},
//!  "most_recent_command": {"cmd_type": "prepare", "stderr": "much"}}
//! ```
//!
//! becomes this:
//!
//! ```json
//! ["a","Staged","h","1.26.1","k","prepare",null]
//! ```
//!
//! The grammar is checked on the way, of what is kept and of what is not:
//! structure, strings, escapes and literals, and that no known member comes
//! twice. Of what is left out, three things are not: whether a number is
//! well-formed and a string is UTF-8, and which kind of bracket closes what is
//! nested more than [`KINDS`] levels deep.
//!
//! The result does not depend on how the document was split on its way here.

use crate::text::excerpt::Excerpt;
use crate::text::{Show, cut, display, put, put_number};
use heapless::{Vec, VecView};

/// The longest condensed document, in bytes.
pub const CONDENSED_MAX: usize = 1536;
/// How many bytes are kept of a string, quotes aside.
pub const STRING_MAX: usize = 64;
/// The longest escape, `\u0000`, or character, in bytes.
const UNIT_MAX: usize = 6;
/// The longest number or literal that is kept.
const WORD_MAX: usize = 24;
/// How many levels of nesting are known as objects or arrays.
pub const KINDS: u32 = 256;

/// What is wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// It is no JSON object; the offset in bytes of where it stops being one.
    Malformed(u64),
    /// A known member is not of its type; the offset in bytes of the value, or
    /// of what follows it if that is a number or a literal.
    WrongType(u64),
    /// It ends too early.
    Truncated,
    /// A known member comes twice; the offset in bytes of the second one.
    Twice(u64),
    /// There is no room for it, which cannot be.
    TooMuch,
}

impl Show for JsonError {
    fn show(&self, buffer: &mut VecView<u8>) {
        let (what, at) = match self {
            Self::Malformed(at) => ("malformed JSON", at),
            Self::WrongType(at) => ("a value of another type", at),
            Self::Twice(at) => ("a member comes twice,", at),
            Self::Truncated => return put(buffer, &["truncated JSON"]),
            Self::TooMuch => return put(buffer, &["too much of it"]),
        };
        put(buffer, &[what, " at byte "]);
        put_number(buffer, *at);
    }
}
display!(JsonError);

/// An object of which members are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Chosen,
    Active,
    ActiveImage,
    Staging,
    StagingImage,
    Command,
}

/// A value that is kept. In the condensed document it goes by its letter: the
/// first of them is `a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the members of the document have the same names")]
pub enum Field {
    UpdateState,
    ChosenVersion,
    ChosenVariant,
    ChosenArch,
    ActiveVersion,
    ActiveVariant,
    ActiveArch,
    StagingVersion,
    StagingVariant,
    StagingArch,
    CmdType,
    CmdStatus,
    Timestamp,
    ExitStatus,
}

impl Field {
    /// How many fields there are.
    pub const COUNT: usize = Self::ExitStatus as usize + 1;

    /// The letter of the first field.
    pub const FIRST: u8 = b'a';
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It is left out.
    Drop,
    /// It is kept: a string, or null.
    Keep(Field),
    /// It is kept as a string: a number, or null.
    KeepNumber(Field),
    /// It is an object, or null, of which the known members are kept.
    Open(Place),
    /// There is an excerpt of it, if it is a string.
    Excerpt,
}

/// The members that are known: where they are, and what becomes of them.
const MEMBERS: [(Place, Fate); 21] = [
    (Place::Root, Fate::Keep(Field::UpdateState)),
    (Place::Root, Fate::Open(Place::Chosen)),
    (Place::Root, Fate::Open(Place::Active)),
    (Place::Root, Fate::Open(Place::Staging)),
    (Place::Root, Fate::Open(Place::Command)),
    (Place::Chosen, Fate::Keep(Field::ChosenVersion)),
    (Place::Chosen, Fate::Keep(Field::ChosenVariant)),
    (Place::Chosen, Fate::Keep(Field::ChosenArch)),
    (Place::Active, Fate::Open(Place::ActiveImage)),
    (Place::ActiveImage, Fate::Keep(Field::ActiveVersion)),
    (Place::ActiveImage, Fate::Keep(Field::ActiveVariant)),
    (Place::ActiveImage, Fate::Keep(Field::ActiveArch)),
    (Place::Staging, Fate::Open(Place::StagingImage)),
    (Place::StagingImage, Fate::Keep(Field::StagingVersion)),
    (Place::StagingImage, Fate::Keep(Field::StagingVariant)),
    (Place::StagingImage, Fate::Keep(Field::StagingArch)),
    (Place::Command, Fate::Keep(Field::CmdType)),
    (Place::Command, Fate::Keep(Field::CmdStatus)),
    (Place::Command, Fate::Keep(Field::Timestamp)),
    (Place::Command, Fate::KeepNumber(Field::ExitStatus)),
    (Place::Command, Fate::Excerpt),
];

/// Their names, in the same order. A slice of a string each would be twice as
/// large as they are.
const NAMES: &str = "\
update_state chosen_update active_partition staging_partition most_recent_command \
version variant arch \
image \
version variant arch \
image \
version variant arch \
cmd_type cmd_status timestamp exit_status stderr \
";

/// What may come next.
#[derive(Debug, Clone, Copy)]
enum Expect {
    Object,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    String,
    Escape,
    /// Hexadecimal digits of an escape.
    Hex,
    Word,
    Nothing,
}

/// What is wrong at a byte of a document.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Malformed,
    Type,
    Twice,
}

/// A status document, as far as it has come.
// What is small comes first: reaching it takes less code.
#[derive(Debug)]
#[repr(C)]
pub struct Condenser {
    expect: Expect,
    fate: Fate,
    /// Whether the string that is being read is a key.
    is_key: bool,
    /// How many digits of an escape are missing, and the value of those that came.
    missing: u8,
    hex: u16,
    /// The first half of a character that is escaped in two halves.
    high_surrogate: Option<u16>,
    /// Whether something found no room, which cannot be.
    is_full: bool,
    /// The objects around this point of which members are kept. They are the
    /// outermost ones: a level below `places.len()` is not kept.
    places: Vec<Place, 3>,
    /// How deep the nesting is, and a bit for each level that is an object.
    depth: u32,
    kinds: [u64; KINDS as usize / 64],
    /// The key or word that is being read, as far as it fits, and whether it
    /// did.
    token: Vec<u8, WORD_MAX>,
    token_fits: bool,
    /// How many bytes of a string are kept already.
    string: usize,
    offset: u64,
    /// A bit for each of [`MEMBERS`] that has come.
    seen: u32,
    stderr: Excerpt,
    out: Vec<u8, CONDENSED_MAX>,
}

impl Default for Condenser {
    fn default() -> Self {
        Self {
            expect: Expect::Object,
            fate: Fate::Open(Place::Root),
            is_key: false,
            missing: 0,
            hex: 0,
            high_surrogate: None,
            is_full: false,
            places: Vec::new(),
            depth: 0,
            kinds: [0; _],
            token: Vec::new(),
            token_fits: true,
            string: 0,
            offset: 0,
            seen: 0,
            stderr: Excerpt::default(),
            out: Vec::new(),
        }
    }
}

impl Condenser {
    /// Takes the next bytes of the document.
    ///
    /// # Errors
    ///
    /// The document is malformed; nothing more can be made of it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        for byte in bytes {
            self.push_byte(*byte).map_err(|wrong| match wrong {
                Wrong::Malformed => JsonError::Malformed(self.offset),
                Wrong::Type => JsonError::WrongType(self.offset),
                Wrong::Twice => JsonError::Twice(self.offset),
            })?;
            self.offset += 1;
        }
        Ok(())
    }

    /// The condensed document, and the excerpt of `stderr`.
    ///
    /// # Errors
    ///
    /// The document has not come to its end, or there was no room for what it
    /// repeats.
    pub fn finish(&self) -> Result<(&[u8], &Excerpt), JsonError> {
        match self.expect {
            _ if self.is_full => Err(JsonError::TooMuch),
            Expect::Nothing => Ok((&self.out, &self.stderr)),
            _ => Err(JsonError::Truncated),
        }
    }

    // Apart, it keeps its registers to itself: the programs are smaller.
    #[inline(never)]
    fn push_byte(&mut self, byte: u8) -> Result<(), Wrong> {
        match self.expect {
            Expect::String => return self.in_string(byte),
            Expect::Escape => return self.in_escape(byte),
            Expect::Hex => return self.in_hex(byte),
            // What has no room is only ever a number, whose letters are those of one.
            Expect::Word
                if is_in_number(byte) || byte.is_ascii_alphabetic() && !self.token.is_full() =>
            {
                self.push_token(byte);
                return Ok(());
            }
            Expect::Word => self.end_word()?,
            _ => {}
        }
        match (self.expect, byte) {
            (_, b' ' | b'\t' | b'\n' | b'\r') => {}
            (Expect::Object | Expect::Value | Expect::ValueOrEnd, b'{') => self.open(true)?,
            (Expect::Value | Expect::ValueOrEnd, b'[') => self.open(false)?,
            (Expect::Value | Expect::ValueOrEnd, b'"') => {
                self.begin_string()?;
            }
            (Expect::Value | Expect::ValueOrEnd, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.begin_token();
                self.push_token(byte);
                self.expect = Expect::Word;
            }
            (Expect::Key | Expect::KeyOrEnd, b'"') => {
                self.begin_token();
                (self.expect, self.is_key) = (Expect::String, true);
            }
            (Expect::Colon, b':') => self.expect = Expect::Value,
            (Expect::CommaOrEnd, b',') => {
                self.expect = match self.in_object() {
                    Some(true) => Expect::Key,
                    Some(false) => Expect::Value,
                    // Below the levels that are known, either may come.
                    None => Expect::ValueOrEnd,
                };
            }
            // A key below the levels that are known was taken for a value.
            (Expect::CommaOrEnd, b':') if self.in_object().is_none() => {
                self.expect = Expect::Value;
            }
            (Expect::KeyOrEnd | Expect::CommaOrEnd, b'}') if self.in_object() != Some(false) => {
                self.close();
            }
            (Expect::ValueOrEnd | Expect::CommaOrEnd, b']') if self.in_object() != Some(true) => {
                self.close();
            }
            (Expect::ValueOrEnd, b'}') if self.in_object().is_none() => self.close(),
            _ => return Err(Wrong::Malformed),
        }
        Ok(())
    }

    #[inline(never)]
    fn emit(&mut self, text: &[u8]) {
        self.is_full |= self.out.extend_from_slice(text).is_err();
    }

    /// Whether the innermost level is an object, if that is known.
    fn in_object(&self) -> Option<bool> {
        let level = self.depth.checked_sub(1)?;
        let word = self.kinds.get(level as usize / 64)?;
        Some(word & 1 << (level % 64) != 0)
    }

    fn open(&mut self, object: bool) -> Result<(), Wrong> {
        match (self.fate, object) {
            (Fate::Open(place), true) => {
                if self.depth == 0 {
                    self.emit(b"[");
                }
                self.is_full |= self.places.push(place).is_err();
            }
            (Fate::Open(_), false) | (Fate::Keep(_) | Fate::KeepNumber(_), _) => {
                return Err(Wrong::Type);
            }
            (Fate::Drop | Fate::Excerpt, _) => self.fate = Fate::Drop,
        }
        if let Some(word) = self.kinds.get_mut(self.depth as usize / 64) {
            let bit = 1 << (self.depth % 64);
            *word = if object { *word | bit } else { *word & !bit };
        }
        // A document has less bytes than that.
        self.depth = self.depth.saturating_add(1);
        self.expect = match self.in_object() {
            Some(true) => Expect::KeyOrEnd,
            Some(false) | None => Expect::ValueOrEnd,
        };
        Ok(())
    }

    fn close(&mut self) {
        if self.is_kept() {
            self.places.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        self.end_value();
        if self.depth == 0 {
            self.emit(b"null]");
        }
    }

    /// Whether the innermost level is an object of which members are kept.
    fn is_kept(&self) -> bool {
        self.depth as usize == self.places.len()
    }

    fn end_value(&mut self) {
        self.fate = Fate::Drop;
        self.expect = if self.depth == 0 { Expect::Nothing } else { Expect::CommaOrEnd };
    }

    fn end_key(&mut self) -> Result<(), Wrong> {
        self.expect = Expect::Colon;
        self.fate = Fate::Drop;
        let Some(place) = self.places.last().copied() else { return Ok(()) };
        if !self.is_kept() || !self.token_fits {
            return Ok(());
        }
        let mut names = NAMES;
        for (member, (at, fate)) in MEMBERS.iter().enumerate() {
            let name = cut(&mut names, b' ');
            if *at == place && name.as_bytes() == self.token {
                if self.seen & 1 << member != 0 {
                    return Err(Wrong::Twice);
                }
                self.seen |= 1 << member;
                self.fate = *fate;
                break;
            }
        }
        if let Fate::Keep(field) | Fate::KeepNumber(field) = self.fate {
            self.emit(&[b'"', Field::FIRST + field as u8, b'"', b',']);
        }
        Ok(())
    }

    fn begin_token(&mut self) {
        self.token.clear();
        self.token_fits = true;
    }

    fn push_token(&mut self, byte: u8) {
        self.token_fits &= self.token.push(byte).is_ok();
    }

    fn end_word(&mut self) -> Result<(), Wrong> {
        let null = self.token == b"null";
        let literal = null || self.token == b"true" || self.token == b"false";
        let number = self.token.iter().copied().all(is_in_number);
        if !literal && !number {
            return Err(Wrong::Malformed);
        }
        match self.fate {
            Fate::Keep(_) | Fate::KeepNumber(_) if null => self.emit(b"null,"),
            // A number that is none of those that are known: nothing depends on it.
            Fate::KeepNumber(_) if number && !self.is_integer() => self.emit(b"null,"),
            Fate::KeepNumber(_) if number => {
                self.emit(b"\"");
                self.is_full |= self.out.extend_from_slice(&self.token).is_err();
                self.emit(b"\",");
            }
            Fate::Open(_) if null => {}
            Fate::Drop | Fate::Excerpt => {}
            Fate::Keep(_) | Fate::KeepNumber(_) | Fate::Open(_) => return Err(Wrong::Type),
        }
        self.end_value();
        Ok(())
    }

    fn begin_string(&mut self) -> Result<(), Wrong> {
        match self.fate {
            Fate::Keep(_) => self.emit(b"\""),
            Fate::Open(_) | Fate::KeepNumber(_) => return Err(Wrong::Type),
            Fate::Drop | Fate::Excerpt => {}
        }
        self.string = 0;
        (self.expect, self.is_key) = (Expect::String, false);
        Ok(())
    }

    fn in_string(&mut self, byte: u8) -> Result<(), Wrong> {
        match byte {
            b'"' => return self.end_string(),
            ..0x20 => return Err(Wrong::Malformed),
            b'\\' => self.expect = Expect::Escape,
            _ => {}
        }
        match (self.is_key, self.fate) {
            (true, _) => self.push_token(byte),
            (false, Fate::Keep(_)) => {
                // Once a character or an escape has found no room, none does.
                let continued = matches!(byte, 0x80..0xc0);
                if self.string > STRING_MAX - UNIT_MAX && !continued {
                    self.string = STRING_MAX;
                }
                self.keep_in_string(byte);
            }
            (false, Fate::Excerpt) if byte != b'\\' => {
                self.end_surrogate();
                self.stderr.push_byte(byte);
            }
            (false, _) => {}
        }
        Ok(())
    }

    fn keep_in_string(&mut self, byte: u8) {
        if self.string < STRING_MAX {
            self.string += 1;
            self.emit(&[byte]);
        }
    }

    fn in_escape(&mut self, byte: u8) -> Result<(), Wrong> {
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => '\0',
            _ => return Err(Wrong::Malformed),
        };
        self.expect = if byte == b'u' { Expect::Hex } else { Expect::String };
        (self.missing, self.hex) = (4, 0);
        match (self.is_key, self.fate) {
            (true, _) => self.push_token(byte),
            (false, Fate::Keep(_)) => self.keep_in_string(byte),
            (false, Fate::Excerpt) if byte != b'u' => {
                self.end_surrogate();
                self.stderr.push(character);
            }
            (false, _) => {}
        }
        Ok(())
    }

    fn in_hex(&mut self, byte: u8) -> Result<(), Wrong> {
        let digit = char::from(byte).to_digit(16).ok_or(Wrong::Malformed)?;
        self.hex = self.hex << 4 | digit as u16;
        self.missing = self.missing.saturating_sub(1);
        let is_last = self.missing == 0;
        if is_last {
            self.expect = Expect::String;
        }
        match (self.is_key, self.fate) {
            (true, _) => self.push_token(byte),
            (false, Fate::Keep(_)) => self.keep_in_string(byte),
            (false, Fate::Excerpt) if is_last => self.push_utf16(self.hex),
            (false, _) => {}
        }
        Ok(())
    }

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

    /// What comes next is not the second half of a character.
    fn end_surrogate(&mut self) {
        if self.high_surrogate.take().is_some() {
            self.stderr.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn end_string(&mut self) -> Result<(), Wrong> {
        if self.is_key {
            return self.end_key();
        }
        self.end_surrogate();
        if matches!(self.fate, Fate::Keep(_)) {
            self.emit(b"\",");
        }
        self.end_value();
        Ok(())
    }

    /// Whether the word that has been read is a whole number that can be kept.
    fn is_integer(&self) -> bool {
        let digits = self.token.strip_prefix(b"-").unwrap_or(&self.token);
        self.token_fits && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    }
}

/// Whether a number may have this byte in it.
fn is_in_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}
