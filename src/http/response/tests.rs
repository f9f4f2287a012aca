//! Responses that are read, and responses that are refused.

extern crate std;
use super::*;
use std::format;
use std::string::String;

/// Reads a response, in pieces of several sizes, which must make no difference.
/// Returns the status code, the body and the progress.
fn read(text: &[u8]) -> Result<(Option<u16>, String, Progress), HttpError> {
    let read_in = |size: usize| {
        let mut response = Response::default();
        let mut body = std::vec::Vec::new();
        for piece in text.chunks(size) {
            body.extend_from_slice(response.push(piece)?);
        }
        Ok((response.code(), String::from_utf8(body).unwrap(), response.progress()))
    };
    let whole = read_in(usize::MAX);
    for size in [1, 2, 3, 7] {
        assert_eq!(read_in(size), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn header_names_are_tokens() {
    for byte in 0..=u8::MAX {
        let listed = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(is_token(&byte), listed, "{byte}");
    }
}

#[test]
fn responses_that_are_understood() {
    use Progress::{Complete, InBody, InHead, Nothing};
    for (text, code, body, progress) in [
        ("", None, "", Nothing),
        ("HTT", None, "", InHead),
        ("HTTP/1.1 200 OK\r\n", None, "", InHead),
        ("HTTP/1.1 204 No Content\r\n\r\n", Some(204), "", Complete),
        ("HTTP/1.1 204 \r\ncontent-length: 0\r\n\r\n", Some(204), "", Complete),
        ("HTTP/1.1 204 \t\r\na: b\tc\r\nd:\t\r\n\r\n", Some(204), "", Complete),
        ("HTTP/1.1 204 No Content\r\n\r\ntrailing", Some(204), "", Complete),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            Some(200),
            "ab",
            InBody { received: 2, length: 3 },
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", Some(200), "abc", Complete),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef", Some(200), "abc", Complete),
        ("HTTP/1.1 404 Not Found\r\nCONTENT-LENGTH:0\r\n\r\n", Some(404), "", Complete),
        ("HTTP/1.1 100 Continue\r\n\r\n", None, "", InHead),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 X\r\na: b\r\n\r\nHTTP/1.1 204 \r\n\r\n",
            Some(204),
            "",
            Complete,
        ),
    ] {
        let expected = Ok((code, String::from(body), progress));
        assert_eq!(read(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn responses_that_are_refused() {
    use HttpError::*;
    let length = |length: &str| format!("HTTP/1.1 200 OK\r\ncontent-length:{length}\r\n\r\n");
    for (text, error) in [
        (String::from("garbage"), NotHttp),
        (String::from("\0"), NotHttp),
        (String::from("{\"update_state\":\"Ready\"}"), NotHttp),
        (String::from("HTTP/1.0 200 OK\r\n\r\n"), NotHttp),
        (String::from("HTTP/2"), NotHttp),
        (String::from("http/1.1 200 OK\r\n\r\n"), NotHttp),
        (String::from("\r\nHTTP/1.1 204 \r\n\r\n"), NotHttp),
        (String::from("HTTP/1.1 2000 OK\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 20 OK\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 +20 OK\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 099 OK\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 000 OK\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 200 OK\r\n: nameless\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 200 OK\r\na\0: b\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 200 OK\r\na: b\0\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n"), BadHead),
        (String::from("HTTP/1.1 200 O\x1bK\r\n\r\n"), BadHead),
        (format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(33)), BadHead),
        (format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(5000)), HeadTooLong),
        (String::from("HTTP/1.1 101 Switching Protocols\r\n\r\n"), ProtocolSwitch),
        ("HTTP/1.1 100 \r\n\r\n".repeat(5), TooManyInterim),
        (
            String::from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            TransferEncoding,
        ),
        (String::from("HTTP/1.1 200 OK\r\n\r\n"), MissingContentLength),
        (String::from("HTTP/1.1 500 \r\n\r\n"), MissingContentLength),
        (length("-1"), BadLength),
        (length("+1"), BadLength),
        (length("1 2"), BadLength),
        (length("0x10"), BadLength),
        (length(""), BadLength),
        (length("99999999999999999999999"), BadLength),
        (length("16777217"), BodyTooLong),
        (length("18446744073709551615"), BodyTooLong),
        (length("3\r\ncontent-length: 3"), DuplicateContentLength),
        (length("3\r\ncontent-length: 4"), DuplicateContentLength),
        (String::from("HTTP/1.1 204 \r\ncontent-length: 2\r\n\r\nab"), UnexpectedBody),
    ] {
        assert_eq!(read(text.as_bytes()), Err(error), "{text:?}");
    }
}

#[test]
fn errors_are_shown_in_words() {
    use HttpError::*;
    for (error, text) in [
        (NotHttp, "the response is not HTTP/1.1"),
        (BadHead, "the response has malformed headers"),
        (HeadTooLong, "the response has headers of over 4096 bytes"),
        (TooManyInterim, "too many interim (1xx) responses"),
        (ProtocolSwitch, "the response switches to another protocol (101)"),
        (TransferEncoding, "the response has a transfer-encoding"),
        (MissingContentLength, "the response has no content-length"),
        (BadLength, "the response has an invalid content-length"),
        (DuplicateContentLength, "the response has more than one content-length"),
        (BodyTooLong, "the response is larger than 16 MiB"),
        (UnexpectedBody, "the response is a 204 with a body"),
    ] {
        assert_eq!(format!("{error}"), text);
    }
}

#[test]
fn the_largest_head_and_body_are_read() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 16777216\r\na: ";
    let head = format!("{head}{}\r\n\r\n", "b".repeat(HEAD_MAX - head.len() - 4));
    assert_eq!(head.len(), HEAD_MAX);
    let (code, _, progress) = read(head.as_bytes()).unwrap();
    assert_eq!((code, progress), (Some(200), Progress::InBody { received: 0, length: BODY_MAX }));
}
