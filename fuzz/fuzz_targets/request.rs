//! Any bytes, as a request for metrics or health: no split of them makes a
//! difference, and each is answered, or refused, once its head is over.
#![no_main]

use bottlerocket_fuzz::in_any_pieces;
use bottlerocket_updater::http::request::{Endpoint, HEAD_MAX, Page, Request, Parsed, head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let verdict = in_any_pieces(bytes, |pieces| {
        let mut request = Request::default();
        for piece in pieces {
            let verdict = request.push(piece);
            if let Some(verdict) = verdict {
                return Some((verdict, request.is_head()));
            }
        }
        None
    });
    let text = String::from_utf8_lossy(bytes).replace('\r', "");
    match verdict {
        None => assert!(bytes.len() < HEAD_MAX && !text.contains("\n\n")),
        Some((Parsed::Refuse(refusal), is_head)) => {
            let over = text.contains("\n\n");
            assert!(over || bytes.len() >= HEAD_MAX);
            assert_eq!(is_head, bytes.starts_with(b"HEAD "));
            let mut page = Page::default();
            let status = refusal.write(&mut page);
            assert!(page.ends_with(b"\n"));
            assert!(head(status, page.len()).ends_with(b"\r\n\r\n"));
        }
        Some((Parsed::Answer(asked), is_head)) => {
            let method = if is_head { "HEAD" } else { "GET" };
            let path = match asked {
                Endpoint::Metrics => "/metrics",
                Endpoint::Health => "/healthz",
                Endpoint::Readiness => "/readyz",
            };
            let rest = text.strip_prefix(&format!("{method} {path}"));
            assert!(rest.is_some_and(|rest| rest.starts_with([' ', '?'])), "{text:?}");
            assert!(text.contains("\n\n"));
        }
    }
});
