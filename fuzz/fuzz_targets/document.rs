//! Any bytes as a status document, compared with serde_json: what the library reads,
//! serde_json reads as well, and what serde_json accepts is not called malformed.
#![no_main]

use bottlerocket_fuzz::json::{Invalid, Json, parse, parse_leniently, unescape};
use bottlerocket_fuzz::{in_any_pieces, summary};
use bottlerocket_updater::api::document::{JsonErrorKind, STRING_MAX, StatusParser};
use bottlerocket_updater::api::status::{DocumentError, Image, Status};
use bottlerocket_updater::text::excerpt::{Excerpt, is_plain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    in_any_pieces(bytes, |pieces| {
        let mut parser = StatusParser::default();
        let mut pushed = Ok(());
        for piece in pieces {
            pushed = pushed.and_then(|()| parser.push(piece));
        }
        let document = match pushed.and_then(|()| parser.finish()) {
            Ok(document) => document,
            Err(error) => {
                not_understood(bytes, DocumentError::Json(error));
                return format!("{error:?}");
            }
        };
        match Status::read(document) {
            Ok(status) => {
                understood(bytes, &status);
                summary(&status)
            }
            Err(error) => {
                if error == DocumentError::NotPlain {
                    let text = std::str::from_utf8(document.json);
                    assert!(!text.is_ok_and(is_plain), "{text:?} is plain");
                }
                not_understood(bytes, error);
                error.to_string()
            }
        }
    });
});

fn understood(bytes: &[u8], status: &Status) {
    let document = match parse_leniently(bytes) {
        Ok(document) => document,
        Err(Invalid::TooDeep) => return,
        Err(Invalid::NotJson(error)) => panic!("it is not JSON: {error}"),
    };
    said(&document, &["update_state"], status.state.name());
    let images = [
        (status.chosen, &["chosen_update"][..]),
        (status.running, &["active_partition", "image"]),
        (status.staged, &["staging_partition", "image"]),
    ];
    for (image, path) in images {
        if let Some(Image { version, variant, arch }) = image {
            for (name, text) in [("version", version), ("variant", variant), ("arch", arch)] {
                said(&document, &[path, &[name]].concat(), text);
            }
        }
    }
    if let Some(last) = status.last_command {
        let texts =
            [("cmd_type", last.name), ("cmd_status", last.outcome), ("timestamp", last.timestamp)];
        for (name, text) in texts {
            said(&document, &["most_recent_command", name], text);
        }
        let shown = |text: &str| {
            let mut excerpt = Excerpt::default();
            excerpt.push_bytes(text.as_bytes());
            excerpt.to_string()
        };
        let printed = document.strings(&["most_recent_command", "stderr"]);
        let stderr = last.stderr.to_string();
        // An incomplete character at the very end is left out.
        let same = |text: &&str| {
            shown(text) == stderr || shown(text.strip_suffix('\u{fffd}').unwrap_or(text)) == stderr
        };
        assert!(stderr.is_empty() || printed.iter().any(same), "{stderr}");
    }
}

/// Checks that the document has this text at this path, or that the text is empty.
/// A long text is cut off, maybe between the two escapes of one character.
fn said(document: &Json, path: &[&str], text: &str) {
    let whole = unescape(text);
    let found = document.strings(path).into_iter().any(|said| match text.len() {
        0..=58 => said == whole,
        _ => {
            said.starts_with(&whole)
                || whole.strip_suffix('\u{fffd}').is_some_and(|start| said.starts_with(start))
        }
    });
    assert!(text.is_empty() || found, "{path:?} is not {text:?}");
    assert!(text.len() <= STRING_MAX);
}

fn not_understood(bytes: &[u8], error: DocumentError) {
    let text = error.to_string();
    assert!(!text.contains(|c: char| c.is_control()) && text.len() < 200, "{text:?}");
    let document = parse(bytes);
    match error {
        DocumentError::Json(error) => match error.kind {
            JsonErrorKind::Malformed | JsonErrorKind::Truncated => {
                assert!(!document.is_ok_and(|document| document.is_object()), "it is JSON");
            }
            JsonErrorKind::BufferFull => panic!("{text}"),
            JsonErrorKind::WrongType | JsonErrorKind::DuplicateMember => {}
        },
        DocumentError::NoState => {
            if let Ok(document) = parse_leniently(bytes) {
                // A key with escapes is unknown.
                let escaped = bytes.contains(&b'\\');
                assert!(escaped || document.strings(&["update_state"]).is_empty());
            }
        }
        DocumentError::UnknownState(state) => {
            assert!(!["Idle", "Available", "Staged", "Ready"].contains(&state));
        }
        _ => {}
    }
}
