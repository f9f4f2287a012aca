//! The parser of requests: it accepts and refuses the same requests as the real server.

use super::{NOT_YET, STATUS, connect, instant, raw, read, request, start};
use bottlerocket_simulator::Command::{Prepare, Refresh};
use std::io::Write;

const BAD: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: ";
const TOO_LARGE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\
                         connection: close\r\ndate: ";
const ANSWER: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 64\r\nconnection: close\r\ndate: ";

/// A request for the status, with `Connection: close` and these headers.
fn with(headers: &str) -> String {
    request("GET", STATUS, &format!("Connection: close\r\n{headers}"))
}

/// Checks that the server answers these bytes once, and how the answer begins.
fn check(bytes: &str, expected: &str) {
    let simulator = start(instant());
    let answer = raw(&simulator, bytes);
    let sent = &bytes[..bytes.len().min(200)];
    assert!(answer.starts_with(expected), "{sent:?}: {answer}");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{sent:?}: {answer}");
}

#[test]
fn two_content_lengths_are_refused() {
    check(&with("Content-Length: 0\r\n"), ANSWER);
    check(&with("Content-Length: 0\r\ncontent-length: 0\r\n"), BAD);
    check(&with("Content-Length: 1\r\ncontent-length: 2\r\n"), BAD);
}

#[test]
fn content_lengths_other_than_digits_are_refused() {
    for value in ["", "x", "+0", "-1", "0x0", "0, 0", "99999999999999999999"] {
        check(&with(&format!("content-length: {value}\r\n")), BAD);
    }
}

#[test]
fn ninety_six_headers_are_accepted_and_one_more_is_refused() {
    // `with` adds two headers.
    check(&with(&"a: b\r\n".repeat(94)), ANSWER);
    check(&with(&"a: b\r\n".repeat(95)), TOO_LARGE);
}

#[test]
fn a_head_of_128_kibibytes_is_refused() {
    check(&with(&format!("a: {}\r\n", "b".repeat(120 * 1024))), ANSWER);
    // The server closes when it has read this much. If there is more to read, the kernel
    // resets the connection, and the answer is lost.
    let begin = format!("GET {STATUS} HTTP/1.1\r\na: ");
    check(&format!("{begin}{}", "b".repeat(128 * 1024 - begin.len())), TOO_LARGE);
}

#[test]
fn bare_line_feeds_are_accepted() {
    check(&with("").replace("\r\n", "\n"), ANSWER);
    check(&format!("\n\r\n{}", with("a: b\n")), ANSWER);
    check(&with("a: b\rc\r\n"), BAD);
}

#[test]
fn absolute_uris_are_accepted() {
    for (target, expected) in [
        ("http://localhost/updates/status", ANSWER),
        ("http://other:80/updates/status?a=b", ANSWER),
        ("/updates/status#part", ANSWER),
        ("http://localhost", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n"),
        ("*", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n"),
        ("updates/status", BAD),
        ("http:///updates/status", BAD),
        ("/updates/\u{e9}", BAD),
    ] {
        check(&request("GET", target, "Connection: close\r\n"), expected);
    }
}

#[test]
fn http_1_0_is_accepted_and_closes_by_default() {
    let simulator = start(instant());
    let get = format!("GET {STATUS} HTTP/1.0\r\n\r\n");
    let answer = raw(&simulator, &get);
    let expected = "HTTP/1.0 404 Not Found\r\ncontent-length: 64\r\ndate: ";
    assert!(answer.starts_with(expected), "{answer}");
    assert!(answer.ends_with(NOT_YET), "{answer}");

    let kept = get.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n");
    let answer = raw(&simulator, &[kept, get].concat());
    let expected = "HTTP/1.0 404 Not Found\r\ncontent-length: 64\r\n\
                    connection: keep-alive\r\ndate: ";
    assert!(answer.starts_with(expected), "{answer}");
    assert_eq!(answer.matches(NOT_YET).count(), 2, "{answer}");
}

#[test]
fn a_post_of_http_1_0_needs_a_content_length() {
    let post = |header: &str| format!("POST {} HTTP/1.0\r\n{header}\r\n", Prepare.path());
    check(&post(""), BAD);
    check(&post("Content-Length: 0\r\n"), "HTTP/1.0 409 Conflict\r\ncontent-length: 51\r\ndate: ");
}

#[test]
fn other_versions_of_http_are_refused() {
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2", "http/1.1", ""] {
        check(&format!("GET {STATUS} {version}\r\n\r\n"), BAD);
    }
}

#[test]
fn expect_continue_is_answered_before_the_body() {
    let simulator = start(instant());
    let mut stream = connect(&simulator);
    let headers = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    stream.write_all(request("POST", Refresh.path(), headers).as_bytes()).unwrap();
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(read(&mut stream, interim.len()), interim);
    assert_eq!(simulator.requests(), []);
    stream.write_all(b"abc").unwrap();
    let answer = b"HTTP/1.1 204 No Content\r\ndate: ";
    assert_eq!(read(&mut stream, answer.len()), answer);

    // A request without a body gets both answers at once.
    let answer = raw(&simulator, &with("Expect: 100-continue\r\n"));
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn malformed_headers_are_refused() {
    check(&with("X-!#$%&'*+-.^_`|~1:\t\u{e9}\r\n"), ANSWER);
    for line in ["no colon", ": b", "a : b", " a: b", "a(: b", "a: \u{1}", "a: \u{7f}"] {
        check(&with(&format!("{line}\r\n")), BAD);
    }
}
