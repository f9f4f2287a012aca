//! Requests in every split, and what is made of them.

extern crate std;
use super::*;
use std::string::String;
use std::vec::Vec as List;
use std::{format, vec};

/// What is made of a request, and after how many bytes: what is asked for, or the
/// code of the refusal, and whether a body is wanted.
type Made = Option<(usize, Result<Endpoint, &'static str>, bool)>;

/// Takes a request in parts of these lengths, the last one over and over.
fn push_in(parts: &[usize], bytes: &[u8]) -> Made {
    let mut request = Request::default();
    let mut parts = parts.iter().copied().chain(std::iter::repeat(*parts.last().unwrap()));
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + parts.next().unwrap());
        if let Some(verdict) = request.push(&bytes[at..end]) {
            let made = match verdict {
                Parsed::Answer(asked) => Ok(asked),
                Parsed::Refuse(refusal) => Err(refusal.0.split(' ').next().unwrap()),
            };
            return Some((request.come, made, !request.is_head()));
        }
        at = end;
    }
    None
}

/// The same whole, byte by byte, and in two parts wherever it can be cut.
#[track_caller]
fn push(bytes: &[u8]) -> Made {
    let made = push_in(&[bytes.len().max(1)], bytes);
    assert_eq!(push_in(&[1], bytes), made);
    let cuts = if bytes.len() > 100 { 37 } else { 1 };
    for cut in (1..bytes.len()).step_by(cuts) {
        assert_eq!(push_in(&[cut, bytes.len()], bytes), made, "cut at {cut}");
    }
    made
}

#[track_caller]
fn is(text: &str, made: Result<Endpoint, &'static str>) {
    let made = Some((text.len(), made, !text.starts_with("HEAD ")));
    assert_eq!(push(text.as_bytes()), made, "{text:?}");
    // What follows is not looked at.
    let more = push(format!("{text}GET / HTTP/1.1\r\n\r\n\0").as_bytes());
    assert_eq!(more, made, "{text:?}");
    // Nor is it too early for an answer by a byte.
    assert_eq!(push(&text.as_bytes()[..text.len() - 1]), None, "{text:?}");
}

#[test]
fn what_is_served() {
    for (path, asked) in [
        ("/metrics", Endpoint::Metrics),
        ("/healthz", Endpoint::Health),
        ("/readyz", Endpoint::Readiness),
        ("/metrics?", Endpoint::Metrics),
        ("/metrics?name[]=up&x=?", Endpoint::Metrics),
        ("/healthz?verbose=1", Endpoint::Health),
        (&format!("/metrics?{}", "x".repeat(300)), Endpoint::Metrics),
    ] {
        for method in ["GET", "HEAD"] {
            for rest in [
                "\r\n\r\n",
                "\n\n",
                "\r\n\n",
                "\n\r\n",
                "\r\nHost: 10.0.0.1:8080\r\nUser-Agent: Prometheus/2.42.0\r\n\
                 Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\
                 Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n",
                "\nHost: a\nB: c\n\n",
                "\r\nno header at all\r\n\0\u{1b}\r\n\r\n",
                "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            ] {
                is(&format!("{method} {path} HTTP/1.1{rest}"), Ok(asked));
            }
        }
    }
}

#[test]
fn what_is_refused() {
    for (line, code) in [
        ("GET / HTTP/1.1", "404"),
        ("GET /metric HTTP/1.1", "404"),
        ("GET /metrics/ HTTP/1.1", "404"),
        ("GET //metrics HTTP/1.1", "404"),
        ("GET /Metrics HTTP/1.1", "404"),
        ("GET /metrics#x HTTP/1.1", "404"),
        ("GET /%6detrics HTTP/1.1", "404"),
        ("GET /../metrics HTTP/1.1", "404"),
        ("GET /favicon.ico HTTP/1.1", "404"),
        ("HEAD /x?y HTTP/1.1", "404"),
        ("POST / HTTP/1.1", "405"),
        ("POST /metrics HTTP/1.1", "405"),
        ("PUT /healthz HTTP/1.1", "405"),
        ("DELETE /readyz HTTP/1.1", "405"),
        ("OPTIONS /metrics HTTP/1.1", "405"),
        ("GETS /metrics HTTP/1.1", "405"),
        ("PRI * HTTP/2.0", "405"),
        ("GET", "405"),
        ("/metrics HTTP/1.1", "400"),
        ("/healthz?x HTTP/1.1", "400"),
        ("", "400"),
        ("x", "400"),
        ("GET /metrics", "400"),
        ("GET metrics HTTP/1.1", "400"),
        ("GET http://localhost/metrics HTTP/1.1", "400"),
        ("GET ?/metrics HTTP/1.1", "400"),
        ("GET  /metrics HTTP/1.1", "400"),
        ("GET /metrics\0HTTP/1.1", "400"),
        ("get /metrics HTTP/1.1", "400"),
        (" /metrics HTTP/1.1", "400"),
        ("\0 /metrics HTTP/1.1", "400"),
        ("\0\0\0\0", "400"),
        ("\u{16}\u{3}\u{1}\u{2}", "400"),
    ] {
        for end in ["\r\n\r\n", "\n\n", "\r\nHost: a\r\n\r\n"] {
            is(&format!("{line}{end}"), Err(code));
        }
    }
    // An empty line in front is the first line.
    is("\r\n\r\n", Err("400"));
    is("\r\nGET /metrics HTTP/1.1\r\n\r\n", Err("400"));
    // Of lines around the length that is looked at, and of longer ones.
    for length in (30..100).chain([1_000]) {
        let x = "x".repeat(length);
        let request = |start: &str| format!("{start}{x} HTTP/1.1\r\n\r\n");
        is(&request("GET /metrics?"), Ok(Endpoint::Metrics));
        is(&request("HEAD /healthz?"), Ok(Endpoint::Health));
        is(&request("GET /metricz?"), Err("404"));
        is(&request("POST /metrics?"), Err("405"));
        let cut = "GET /metrics".len() + length >= LINE_MAX;
        is(&request("GET /metrics"), Err(if cut { "400" } else { "404" }));
    }
}

#[test]
fn what_is_not_complete_is_waited_for() {
    for text in [
        "",
        "G",
        "GET /metrics HTTP/1.1",
        "GET /metrics HTTP/1.1\r",
        "GET /metrics HTTP/1.1\r\n",
        "GET /metrics HTTP/1.1\r\n\r",
        "GET /metrics HTTP/1.1\r\r\r",
        "GET /metrics HTTP/1.1\r\nHost: a",
        "GET /metrics HTTP/1.1\r\nHost: a\r\n",
        "GET /metrics HTTP/1.1\r\n \r\n",
        "GET /metrics HTTP/1.1\r\n\0\r\n",
    ] {
        assert_eq!(push(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn heads_that_are_too_large() {
    let too_large = Some((HEAD_MAX, Err("431"), true));
    for byte in [b'x', b'\0', b' ', b'\r', 0xff] {
        assert_eq!(push(&[byte; HEAD_MAX]), too_large, "{byte}");
        assert_eq!(push(&[byte; HEAD_MAX - 1]), None, "{byte}");
    }
    let head = |length: usize| {
        let mut head = String::from("GET /metrics HTTP/1.1\r\nX: ");
        while head.len() < length - 4 {
            head.push('x');
        }
        head + "\r\n\r\n"
    };
    let most = head(HEAD_MAX);
    assert_eq!(most.len(), HEAD_MAX);
    assert_eq!(push(most.as_bytes()), Some((HEAD_MAX, Ok(Endpoint::Metrics), true)));
    assert_eq!(push(head(HEAD_MAX + 1).as_bytes()), too_large);
    assert_eq!(push(head(HEAD_MAX + 2).as_bytes()), too_large);
    assert_eq!(push(head(3 * HEAD_MAX).as_bytes()), too_large);
    let lines = format!("GET /metrics HTTP/1.1\r\n{}", "A: b\r\n".repeat(HEAD_MAX));
    assert_eq!(push(lines.as_bytes()), too_large);
    // Nothing but ends of lines is an empty head.
    assert_eq!(push(&[b'\n'; HEAD_MAX]), Some((2, Err("400"), true)));
}

#[test]
fn any_bytes() {
    let mut numbers = crate::updater::cycle::tests::Numbers(1);
    let alphabet: List<&[u8]> = vec![
        b"GET /metrics HTTP/1.1\r\n",
        b"GET ",
        b"HEAD ",
        b"/metrics",
        b"/healthz",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\0",
        b"\xff",
        b"?",
        b"x",
        b"Host: a\r\n",
        b"\r\n\r\n",
    ];
    let mut made = [0; 3];
    for _ in 0..1_000 {
        let parts = numbers.below(12);
        let bytes = (0..parts).flat_map(|_| *numbers.one_of(&alphabet)).copied();
        let bytes: List<u8> = bytes.collect();
        made[match push(&bytes) {
            None => 0,
            Some((_, Ok(_), _)) => 1,
            Some((_, Err(_), _)) => 2,
        }] += 1;
    }
    assert!(made.iter().all(|count| *count > 10), "{made:?}");
}

fn refusal(bytes: &[u8]) -> (&'static str, String) {
    let mut request = Request::default();
    let Some(Parsed::Refuse(refusal)) = request.push(bytes) else { panic!("{bytes:?}") };
    let mut page = Page::new();
    let status = refusal.write(&mut page);
    (status, String::from_utf8(page.to_vec()).unwrap())
}

#[test]
fn the_answers() {
    let text = |head: Vec<u8, ANSWER_HEAD_MAX>| String::from_utf8(head.to_vec()).unwrap();
    assert_eq!(
        text(head(OK, 1_234)),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\
         content-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: 1234\r\n\r\n"
    );
    for (bytes, status, body) in [
        (&b"x\n\n"[..], "400 Bad Request", "this is not HTTP/1.1\n"),
        (b"GET / HTTP/1.1\n\n", "404 Not Found", "there are /metrics, /healthz and /readyz\n"),
        (
            b"PUT /metrics HTTP/1.1\n\n",
            "405 Method Not Allowed\r\nallow: GET, HEAD",
            "GET or HEAD\n",
        ),
        (&[b'x'; HEAD_MAX], "431 Request Header Fields Too Large", "the request is too large\n"),
    ] {
        assert_eq!(refusal(bytes), (status, body.into()));
        let head = text(head(status, usize::MAX));
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\nconnection: close\r\n")), "{head}");
        // All of it has found room.
        assert!(head.ends_with("\r\ncontent-length: 18446744073709551615\r\n\r\n"), "{head}");
    }
    let state = |state| {
        let mut page = Page::new();
        let status = write_state(state, &mut page);
        (status, String::from_utf8(page.to_vec()).unwrap())
    };
    assert_eq!(state(Ok(())), ("200 OK", "ok\n".into()));
    let unavailable = "503 Service Unavailable";
    assert_eq!(state(Err("the reason")), (unavailable, "the reason\n".into()));
    assert!(text(head(unavailable, usize::MAX)).ends_with("18446744073709551615\r\n\r\n"));
}
