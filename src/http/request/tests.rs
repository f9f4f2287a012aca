//! Requests, in every division into two parts.

extern crate std;
use super::*;
use std::string::String;
use std::vec::Vec as List;
use std::{format, vec};

/// What a request is parsed as: after how many bytes, the path or the refusal, and
/// whether the response has a body.
type Made = Option<(usize, Result<String, Refusal>, bool)>;

/// Takes a request in parts of these lengths, the last one over and over.
fn push_in(parts: &[usize], bytes: &[u8]) -> Made {
    let mut request = Request::default();
    let mut parts = parts.iter().copied().chain(std::iter::repeat(*parts.last().unwrap()));
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + parts.next().unwrap());
        if let Some(parsed) = request.push(&bytes[at..end]) {
            let made = match parsed {
                Parsed::Path(path) => Ok(String::from_utf8(path.to_vec()).unwrap()),
                Parsed::Refused(refusal) => Err(refusal),
            };
            return Some((request.received, made, !request.is_head()));
        }
        at = end;
    }
    None
}

/// The same whole, byte by byte, and in two parts wherever it can be divided.
#[track_caller]
fn push(bytes: &[u8]) -> Made {
    let made = push_in(&[bytes.len().max(1)], bytes);
    assert_eq!(push_in(&[1], bytes), made);
    let step = if bytes.len() > 100 { 37 } else { 1 };
    for first in (1..bytes.len()).step_by(step) {
        assert_eq!(push_in(&[first, bytes.len()], bytes), made, "{first} bytes first");
    }
    made
}

#[track_caller]
fn is(text: &str, made: Result<&str, Refusal>) {
    let made = Some((text.len(), made.map(String::from), !text.starts_with("HEAD ")));
    assert_eq!(push(text.as_bytes()), made, "{text:?}");
    // What follows is ignored.
    let more = push(format!("{text}GET / HTTP/1.1\r\n\r\n\0").as_bytes());
    assert_eq!(more, made, "{text:?}");
    // A byte less is not enough.
    assert_eq!(push(&text.as_bytes()[..text.len() - 1]), None, "{text:?}");
}

#[test]
fn path_of_a_get_or_head_request() {
    for (target, path) in [
        ("/metrics", "/metrics"),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/metrics?", "/metrics"),
        ("/metrics?name[]=up&x=?", "/metrics"),
        ("/healthz?verbose=1", "/healthz"),
        (&format!("/metrics?{}", "x".repeat(300)), "/metrics"),
        ("/", "/"),
        ("/metrics/", "/metrics/"),
        ("//metrics", "//metrics"),
        ("/metrics#x", "/metrics#x"),
        ("/%6detrics", "/%6detrics"),
        ("/../metrics", "/../metrics"),
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
                is(&format!("{method} {target} HTTP/1.1{rest}"), Ok(path));
            }
        }
    }
}

#[test]
fn other_requests_are_refused() {
    use Refusal::{Method, NotHttp};
    for (line, refusal) in [
        ("POST / HTTP/1.1", Method),
        ("POST /metrics HTTP/1.1", Method),
        ("PUT /healthz HTTP/1.1", Method),
        ("DELETE /readyz HTTP/1.1", Method),
        ("OPTIONS /metrics HTTP/1.1", Method),
        ("GETS /metrics HTTP/1.1", Method),
        ("PRI * HTTP/2.0", Method),
        ("GET", Method),
        ("/metrics HTTP/1.1", NotHttp),
        ("/healthz?x HTTP/1.1", NotHttp),
        ("", NotHttp),
        ("x", NotHttp),
        ("GET /metrics", NotHttp),
        ("GET metrics HTTP/1.1", NotHttp),
        ("GET http://localhost/metrics HTTP/1.1", NotHttp),
        ("GET ?/metrics HTTP/1.1", NotHttp),
        ("GET  /metrics HTTP/1.1", NotHttp),
        ("GET /metrics\0HTTP/1.1", NotHttp),
        ("get /metrics HTTP/1.1", NotHttp),
        (" /metrics HTTP/1.1", NotHttp),
        ("\0 /metrics HTTP/1.1", NotHttp),
        ("\0\0\0\0", NotHttp),
        ("\u{16}\u{3}\u{1}\u{2}", NotHttp),
    ] {
        for end in ["\r\n\r\n", "\n\n", "\r\nHost: a\r\n\r\n"] {
            is(&format!("{line}{end}"), Err(refusal));
        }
    }
    // An empty line in front is the first line.
    is("\r\n\r\n", Err(NotHttp));
    is("\r\nGET /metrics HTTP/1.1\r\n\r\n", Err(NotHttp));
}

/// Around the number of bytes that are kept, and far beyond it.
#[test]
fn only_the_path_must_fit_into_the_line() {
    for length in (30..100).chain([1_000]) {
        let x = "x".repeat(length);
        let request = |start: &str| format!("{start}{x} HTTP/1.1\r\n\r\n");
        is(&request("GET /metrics?"), Ok("/metrics"));
        is(&request("HEAD /healthz?"), Ok("/healthz"));
        is(&request("POST /metrics?"), Err(Refusal::Method));
        let path = format!("/metrics{x}");
        let fits = "GET ".len() + path.len() < LINE_MAX;
        is(&request("GET /metrics"), if fits { Ok(&path) } else { Err(Refusal::NotHttp) });
    }
}

#[test]
fn incomplete_head_is_not_parsed() {
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
fn head_that_is_too_large_is_refused() {
    let too_large = Some((HEAD_MAX, Err(Refusal::HeadTooLarge), true));
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
    assert_eq!(push(most.as_bytes()), Some((HEAD_MAX, Ok("/metrics".into()), true)));
    assert_eq!(push(head(HEAD_MAX + 1).as_bytes()), too_large);
    assert_eq!(push(head(HEAD_MAX + 2).as_bytes()), too_large);
    assert_eq!(push(head(3 * HEAD_MAX).as_bytes()), too_large);
    let lines = format!("GET /metrics HTTP/1.1\r\n{}", "A: b\r\n".repeat(HEAD_MAX));
    assert_eq!(push(lines.as_bytes()), too_large);
    // Two ends of lines are an empty head.
    assert_eq!(push(&[b'\n'; HEAD_MAX]), Some((2, Err(Refusal::NotHttp), true)));
}

#[test]
fn any_bytes_in_any_parts_are_parsed_the_same() {
    let mut numbers = crate::tests::Numbers(1);
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

#[test]
fn response_to_a_refused_request() {
    for (refusal, line, body) in [
        (Refusal::NotHttp, "400 Bad Request", "this is not a request in HTTP/1.1\n"),
        (Refusal::Method, "405 Method Not Allowed", "the method must be GET or HEAD\n"),
        (
            Refusal::HeadTooLarge,
            "431 Request Header Fields Too Large",
            "the request is too large\n",
        ),
    ] {
        assert_eq!((refusal.code().line(), format!("{refusal}")), (line, body.into()));
    }
}
