//! A status document as serde_json understands it.
//!
//! The library accepts three things that serde_json refuses: malformed numbers, bytes
//! that are not UTF-8, and halves of surrogate pairs. It does not use them, or shows
//! them as U+FFFD. [`parse_leniently`] replaces them before it parses.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A value. An object keeps duplicate members.
#[derive(Debug)]
pub enum Json {
    Object(Vec<(String, Json)>),
    String(String),
    Other,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Json, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Json, S::Error> {
        while seq.next_element::<Json>()?.is_some() {}
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.into()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }
}

impl Json {
    /// All values at this path: several if a member is duplicate.
    pub fn at(&self, path: &[&str]) -> Vec<&Json> {
        let [name, path @ ..] = path else { return vec![self] };
        let Json::Object(members) = self else { return Vec::new() };
        let named = members.iter().filter(|(other, _)| other == name);
        named.flat_map(|(_, value)| value.at(path)).collect()
    }

    /// All strings at this path.
    pub fn strings(&self, path: &[&str]) -> Vec<&str> {
        let strings = self.at(path).into_iter().filter_map(|value| match value {
            Json::String(text) => Some(text.as_str()),
            _ => None,
        });
        strings.collect()
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }
}

/// Why serde_json does not accept a document. It refuses more than 128 levels.
#[derive(Debug, PartialEq, Eq)]
pub enum Invalid {
    TooDeep,
    NotJson(String),
}

pub fn parse(document: &[u8]) -> Result<Json, Invalid> {
    serde_json::from_slice(document).map_err(|error| {
        let text = error.to_string();
        // A number that does not fit an f64 counts as well: the library ignores it.
        match text.contains("recursion limit") || text.contains("out of range") {
            true => Invalid::TooDeep,
            false => Invalid::NotJson(text),
        }
    })
}

pub fn parse_leniently(document: &[u8]) -> Result<Json, Invalid> {
    parse(mend(&String::from_utf8_lossy(document)).as_bytes())
}

/// Replaces each number by 0, and each half of a surrogate pair by U+FFFD.
pub fn mend(text: &str) -> String {
    let mut repaired = String::new();
    let mut rest = text;
    let mut in_string = false;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
        let word = &rest[..word.count()];
        if in_string {
            if first == '\\' {
                let unit = |at: usize| {
                    let escape = rest.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
                    let hex = escape.iter().all(u8::is_ascii_hexdigit);
                    u16::from_str_radix(std::str::from_utf8(escape).ok().filter(|_| hex)?, 16).ok()
                };
                match (unit(0), unit(6)) {
                    (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => length = 12,
                    (Some(0xd800..0xe000), _) => {
                        repaired.push_str("\\ufffd");
                        rest = &rest[6..];
                        continue;
                    }
                    (Some(_), _) => length = 6,
                    _ => length += rest[1..].chars().next().map_or(0, char::len_utf8),
                }
            }
            in_string = first != '"';
        } else if first == '"' {
            in_string = true;
        } else if !word.is_empty() {
            length = word.len();
            let number = word.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            if number && (first == '-' || first.is_ascii_digit()) {
                repaired.push('0');
                rest = &rest[length..];
                continue;
            }
        }
        repaired.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    repaired
}

/// Replaces the escapes of a string by their characters.
pub fn unescape(text: &str) -> String {
    let quoted = mend(&format!("\"{text}\""));
    serde_json::from_str(&quoted).unwrap_or_else(|error| panic!("{quoted}: {error}"))
}
