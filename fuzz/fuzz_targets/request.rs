//! Any bytes, as a request to the metrics server: they are parsed the same in any
//! pieces, and they are parsed once the head is complete.
#![no_main]

use bottlerocket_fuzz::in_any_pieces;
use bottlerocket_updater::http::request::{HEAD_MAX, Parsed, Refusal, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let parsed = in_any_pieces(bytes, |pieces| {
        let mut request = Request::default();
        for piece in pieces {
            let parsed = request.push(piece).map(|parsed| match parsed {
                Parsed::Path(path) => Ok(path.to_vec()),
                Parsed::Refused(refusal) => Err(refusal),
            });
            if let Some(parsed) = parsed {
                return Some((parsed, request.is_head()));
            }
        }
        None
    });
    let text = String::from_utf8_lossy(bytes).replace('\r', "");
    let is_complete = text.contains("\n\n");
    match parsed {
        None => assert!(bytes.len() < HEAD_MAX && !is_complete),
        Some((Err(refusal), is_head)) => {
            let is_too_large = refusal == Refusal::HeadTooLarge;
            assert!(if is_too_large { bytes.len() >= HEAD_MAX } else { is_complete });
            assert_eq!(is_head, bytes.starts_with(b"HEAD "));
        }
        Some((Ok(path), is_head)) => {
            let method = if is_head { "HEAD" } else { "GET" };
            let path = String::from_utf8_lossy(&path).replace('\r', "");
            assert!(path.starts_with('/') && !path.contains([' ', '?', '\n']), "{path:?}");
            let rest = text.strip_prefix(&format!("{method} {path}"));
            assert!(rest.is_some_and(|rest| rest.starts_with([' ', '?'])), "{text:?}");
            assert!(is_complete);
        }
    }
});
