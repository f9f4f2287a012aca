//! Responses that are not valid HTTP, truncated, or have another status.

use super::{GET, POST, READERS, READY, failed, node, ready, run, with_body, with_head};
use bottlerocket_simulator::Fault;

#[test]
fn invalid_http_responses_are_errors() {
    let not_http = "the response is not HTTP/1.1";
    let bad_head = "the response has malformed headers";
    let long_head = "the response has headers of over 4096 bytes";
    let no_length = "the response has no content-length";
    let bad_length = "the response has an invalid content-length";
    let two_lengths = "the response has more than one content-length";
    let too_long = "the response is larger than 16 MiB";
    let encoded = "the response has a transfer-encoding";
    let endless = "too many interim (1xx) responses";
    let body = format!("\r\n\r\n{READY}");
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("garbage", b"garbage".into(), not_http),
        ("a document without headers", READY.into(), not_http),
        ("NUL", b"\0".into(), not_http),
        ("bytes that are not text", vec![0xff; 10_000], not_http),
        ("HTTP/0.9", format!("200 OK{body}").into(), not_http),
        ("HTTP/1.0", format!("HTTP/1.0 200 OK\r\ncontent-length: 24{body}").into(), not_http),
        ("HTTP/1.2", format!("HTTP/1.2 200 OK\r\ncontent-length: 24{body}").into(), not_http),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), not_http),
        ("frames of HTTP/2", b"\0\0\0\x04\0\0\0\0\0".into(), not_http),
        ("lower case", format!("http/1.1 200 ok\r\ncontent-length: 24{body}").into(), not_http),
        ("an empty line first", [b"\r\n", &*with_body("200 OK", READY)].concat(), not_http),
        ("a request", b"GET / HTTP/1.1\r\n\r\n".into(), not_http),
        ("a code of two digits", with_body("20 OK", READY), bad_head),
        ("a code of four digits", with_body("2000 OK", READY), bad_head),
        ("no code", with_body("", READY), bad_head),
        ("a code that is not a number", with_body("2oo OK", READY), bad_head),
        ("NUL in the status line", with_body("200 O\0K", READY), bad_head),
        ("NUL in a name", ready("a\0b: c\r\ncontent-length: 24"), bad_head),
        ("NUL in a value", ready("a: \0\r\ncontent-length: 24"), bad_head),
        ("a line without a colon", ready("nonsense\r\ncontent-length: 24"), bad_head),
        ("a line without a name", ready(": x\r\ncontent-length: 24"), bad_head),
        ("a folded line", ready("a: b\r\n c\r\ncontent-length: 24"), bad_head),
        ("a space before the colon", ready("content-length : 24"), bad_head),
        ("a single carriage return", ready("a: b\rc\r\ncontent-length: 24"), bad_head),
        ("33 headers", ready(&format!("{}content-length: 24", "a: b\r\n".repeat(32))), bad_head),
        ("5000 headers", ready(&"a: b\r\n".repeat(5000)), bad_head),
        (
            "a head of 4097 bytes",
            with_head(&format!("a: {}\r\n", "b".repeat(4097 - 44))),
            long_head,
        ),
        ("a line of 5000 bytes", ready(&format!("a: {}", "b".repeat(5000))), long_head),
        ("a line of a mebibyte", ready(&format!("a: {}", "b".repeat(1 << 20))), long_head),
        ("a name of a mebibyte", ready(&"a".repeat(1 << 20)), long_head),
        ("chunks", ready("transfer-encoding: chunked"), encoded),
        ("chunks and a length", ready("content-length: 24\r\nTransfer-Encoding: chunked"), encoded),
        ("compressed", ready("transfer-encoding: gzip\r\ncontent-length: 24"), encoded),
        ("no length", ready("connection: close"), no_length),
        ("no length with an error", b"HTTP/1.1 500 \r\n\r\n".into(), no_length),
        ("two lengths", ready("content-length: 24\r\ncontent-length: 23"), two_lengths),
        ("a length twice", ready("content-length: 24\r\nContent-Length: 24"), two_lengths),
        ("a list of lengths", ready("content-length: 24, 24"), bad_length),
        ("a negative length", ready("content-length: -24"), bad_length),
        ("a positive length", ready("content-length: +24"), bad_length),
        ("an empty length", ready("content-length:"), bad_length),
        ("a hexadecimal length", ready("content-length: 0x18"), bad_length),
        ("a fraction of a length", ready("content-length: 24.0"), bad_length),
        ("a length of 2^64 + 24", ready("content-length: 18446744073709551640"), bad_length),
        ("a length of 10^40", ready(&format!("content-length: 1{}", "0".repeat(40))), bad_length),
        ("a length of 2^64 - 1", ready("content-length: 18446744073709551615"), too_long),
        ("a length of 2^63", ready("content-length: 9223372036854775808"), too_long),
        ("a byte more than 16 MiB", ready("content-length: 16777217"), too_long),
        ("20 MiB", with_body("200 OK", vec![b' '; 20 << 20]), too_long),
        (
            "a 204 with a length",
            with_body("204 No Content", READY),
            "the response is a 204 with a body",
        ),
        (
            "another protocol",
            with_body("101 Switching Protocols", READY),
            "the response switches to another protocol (101)",
        ),
        (
            "five interim responses",
            [b"HTTP/1.1 100 Continue\r\n\r\n".repeat(5), with_body("200 OK", READY)].concat(),
            endless,
        ),
        ("interim responses with unknown codes", b"HTTP/1.1 199 \r\n\r\n".repeat(5), endless),
    ];
    for (name, answer, why) in cases {
        let node = node(Fault::raw(answer.clone()));
        for (program, flag) in READERS {
            let ran = run(&node, program, &[flag]);
            assert_eq!(ran, failed(program, flag, why), "{name}");
        }
        assert_eq!(node.requested(), [GET; 3], "{name}");
        assert_eq!(run(&node, "reboot", &[]), failed("reboot", "", why), "{name}");
        assert_eq!(node.requested()[3..], [POST], "{name}");
    }
}

/// The server never stops sending.
#[test]
fn endless_responses_are_errors() {
    for (name, start, again, why) in [
        ("garbage", "", "garbage", "the response is not HTTP/1.1"),
        (
            "interim responses",
            "",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "too many interim (1xx) responses",
        ),
        ("a header", "HTTP/1.1 200 OK\r\na: ", "b", "the response has headers of over 4096 bytes"),
        ("headers", "HTTP/1.1 200 OK\r\n", "a: b\r\n", "the response has malformed headers"),
        (
            "a body",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            " ",
            "the response is larger than 16 MiB",
        ),
    ] {
        let node = node(Fault::Flood(start.into(), again.into()));
        for (program, flag) in READERS.into_iter().chain([("reboot", "")]) {
            let flags = if flag.is_empty() { &[] } else { &[flag][..] };
            assert_eq!(run(&node, program, flags), failed(program, flag, why), "{name}");
        }
    }
}

/// The server closes the connection too early. The outcome of a reboot is then unknown, so
/// the reboot program checks again.
#[test]
fn truncated_responses_are_errors() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n";
    for (name, answer, why) in [
        ("nothing", String::new(), "connection closed before a response"),
        ("a byte", "H".into(), "connection closed in the middle of the response headers"),
        (
            "a status line",
            "HTTP/1.1 200 OK\r\n".into(),
            "connection closed in the middle of the response headers",
        ),
        (
            "headers without their last byte",
            head[..head.len() - 1].into(),
            "connection closed in the middle of the response headers",
        ),
        (
            "an interim response",
            "HTTP/1.1 100 Continue\r\n\r\n".into(),
            "connection closed in the middle of the response headers",
        ),
        ("headers", head.into(), "connection closed after 0 of 24 bytes of the response body"),
        (
            "a response without its last byte",
            format!("{head}{}", &READY[..23]),
            "connection closed after 23 of 24 bytes of the response body",
        ),
        (
            "a document shorter than its content-length",
            format!("HTTP/1.1 200 OK\r\ncontent-length: 25\r\n\r\n{READY}"),
            "connection closed after 24 of 25 bytes of the response body",
        ),
    ] {
        let node = node(Fault::raw(answer));
        for (program, flag) in READERS {
            let ran = run(&node, program, &[flag]);
            assert_eq!(ran, failed(program, flag, why), "{name}");
        }
        assert_eq!(node.requested(), [GET; 3], "{name}");
        // The reboot program retries for seconds, so test it with one case only.
        if name != "nothing" {
            continue;
        }
        let mut twice = failed("reboot", "", why);
        let first = format!("bottlerocket-reboot: {why}; checking whether the API comes back\n");
        twice.stderr.insert_str(0, &first);
        assert_eq!(run(&node, "reboot", &[]), twice, "{name}");
        let posts = &node.requested()[3..];
        assert!(posts.len() > 2 && posts.iter().all(|request| request == POST), "{posts:?}");
    }
}

/// Valid responses with another status than expected. A row has the response, the error
/// for a status request, and the error for a reboot request.
#[test]
fn responses_with_other_statuses_are_errors() {
    let answered = |status: &str| format!("the API returned {status}");
    let long = "\u{1b}[31mx".repeat(200_000);
    let cases: &[(Vec<u8>, Option<String>, Option<String>)] = &[
        (
            with_body("200 OK", ""),
            Some("the status document is invalid: truncated JSON at byte 0".into()),
            None,
        ),
        (with_body("201 Created", READY), Some(answered(&format!("201: {READY}"))), None),
        (with_body("202 Accepted", ""), Some(answered("202 without a reason")), None),
        (with_body("204 No Content", ""), Some(answered("204 without a reason")), None),
        (with_body("206 Partial Content", READY), Some(answered(&format!("206: {READY}"))), None),
        (with_body("302 Found", ""), Some(answered("302 without a reason")), None),
        (with_body("400 Bad Request", ""), Some(answered("400 without a reason")), None),
        (with_body("403 Forbidden", "go away"), Some(answered("403: go away")), None),
        (
            with_body("404 Not Found", ""),
            Some("the API does not know this call (404)".into()),
            None,
        ),
        (
            with_body("404 Not Found", "\r\n \u{1b}[1m"),
            Some("the API does not know this call (404)".into()),
            None,
        ),
        (
            with_body("404 Not Found", "Update status is not what you think"),
            None,
            Some(answered("404: Update status is not what you think")),
        ),
        (
            // The other programs have tests of their own for this.
            with_body("408 Request Timeout", ""),
            None,
            Some("the API was too busy to handle the request (408)".into()),
        ),
        (with_body("409 Conflict", "no"), Some(answered("409: no")), None),
        (with_body("423 Locked", "held"), None, Some(answered("423: held"))),
        (with_body("500 ", "\r\n\t"), Some(answered("500 without a reason")), None),
        (with_body("500 ", READY), Some(answered(&format!("500: {READY}"))), None),
        (with_body("500 ", b"a\xff\0b"), Some(answered("500: a\u{fffd} b")), None),
        (
            with_body("500 ", "\u{1b}[1mbold\u{1b}[0m\u{202e}\u{2028}two\r\nlines\u{9b}1m"),
            Some(answered("500: bold\u{fffd} two lines 1m")),
            None,
        ),
        (
            with_body("500 ", &long),
            Some(answered(&format!(
                "500: {} [199500 bytes left out] {}",
                "x".repeat(200),
                "x".repeat(300)
            ))),
            None,
        ),
        (with_body("503 Service Unavailable", "busy"), Some(answered("503: busy")), None),
        (with_body("999 ", "?"), Some(answered("999: ?")), None),
    ];
    for (answer, status, reboot) in cases {
        let name = String::from_utf8_lossy(&answer[..answer.len().min(80)]);
        let node = node(Fault::raw(answer.clone()));
        if let Some(why) = status {
            for (program, flag) in READERS {
                let ran = run(&node, program, &[flag]);
                assert_eq!(ran, failed(program, flag, why), "{name}");
            }
            assert_eq!(node.requested(), [GET; 3], "{name}");
        }
        let before = node.requested().len();
        match reboot.as_ref().or(status.as_ref()) {
            // To this request, every 2xx is a success.
            Some(why) if !name.starts_with("HTTP/1.1 2") => {
                let is_retried = why.contains("408") || why.contains("423");
                let timeout = if is_retried { "-timeout=1s" } else { "-timeout=1m" };
                let ran = run(&node, "reboot", &[timeout]);
                assert_eq!(ran, failed("reboot", "", why), "{name}");
                let mut requested = node.requested().split_off(before);
                assert_eq!(requested.len() > 1, is_retried, "{name}");
                requested.dedup();
                assert_eq!(requested, [POST], "{name}");
            }
            _ => {}
        }
    }
}
