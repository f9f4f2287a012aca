//! Any bytes as a text for people: the excerpt is one line of limited length that is
//! safe for a terminal, and it can be read back from a log record.
#![no_main]

use bottlerocket_fuzz::in_any_pieces;
use bottlerocket_updater::reporting::log::{Format, Level, RECORD_MAX, Record};
use bottlerocket_updater::text::excerpt::{Excerpt, is_plain};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let shown = in_any_pieces(bytes, |pieces| {
        let mut excerpt = Excerpt::default();
        pieces.for_each(|piece| excerpt.push_bytes(piece));
        let shown = excerpt.to_string();
        assert_eq!(shown.is_empty(), excerpt.is_empty());
        shown
    });
    assert!(is_plain(&shown), "{shown:?}");
    assert!(shown.len() <= 500 + " [18446744073709551615 bytes left out] ".len());
    assert!(!shown.starts_with(' ') && !shown.contains('\u{1b}'));
    let left_out = shown.contains(" bytes left out] ");
    assert!(left_out || !shown.contains("  "), "{shown:?}");

    // A plain text is shown without any change.
    let mut again = Excerpt::default();
    again.push_bytes(shown.as_bytes());
    assert!(left_out || again.to_string() == shown);

    for format in [Format::Json, Format::Logfmt] {
        let time = Duration::from_secs(bytes.len() as u64 * 1_000_000_007);
        let mut record = Record::new(format, time, Level::Info, "event", "message");
        record.text("text", &shown);
        record.show("number", &bytes.len());
        let line = String::from_utf8(record.finish().to_vec()).expect("UTF-8");
        assert!(line.len() <= RECORD_MAX);
        let line = line.strip_suffix('\n').expect("a whole line");
        let fields = match format {
            Format::Json => {
                serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"))
            }
            Format::Logfmt => logfmt(line).unwrap_or_else(|| panic!("{line}")),
        };
        assert_eq!((fields.len(), &fields["text"]), (6, &shown));
        assert_eq!(fields["number"], bytes.len().to_string());
    }
});

/// Reads `key=value` pairs with one space between them. A value may have quotes.
fn logfmt(mut line: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    while !line.is_empty() {
        let (key, rest) = line.split_once('=')?;
        let mut value = String::new();
        if let Some(rest) = rest.strip_prefix('"') {
            let mut characters = rest.chars();
            loop {
                match characters.next()? {
                    '"' => break,
                    '\\' => value.push(characters.next().filter(|c| "\"\\".contains(*c))?),
                    character => value.push(character),
                }
            }
            line = characters.as_str();
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            value.push_str(&rest[..end]);
            if value.is_empty() || value.contains(['"', '=', '\\']) {
                return None;
            }
            line = &rest[end..];
        }
        fields.insert(key.into(), value);
        line = line.strip_prefix(' ').unwrap_or(line);
    }
    Some(fields)
}
