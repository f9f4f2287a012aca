//! HTTP: parses requests and writes answers. Does no input or output.

use crate::calendar;
use std::time::Duration;

/// The largest request head that is accepted, in bytes.
const HEAD_LIMIT: usize = 128 * 1024;

/// The bytes received so far, parsed.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    Partial,
    /// A complete request.
    Complete(Parts),
    /// Not a request, whatever follows.
    Bad,
}

/// A complete request.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts {
    /// Such as `GET`.
    pub method: String,
    /// Such as `/updates/status`.
    pub path: String,
    /// Whether the client asks to close the connection after the answer.
    pub close: bool,
    /// The size of the request with its body, in bytes.
    pub length: usize,
}

/// Parses the first request in `bytes`. It accepts HTTP/1.1 only, and only bodies with a
/// `content-length`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let skipped = leading_line_ends(bytes);
    let Some(head) = bytes[skipped..].windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_LIMIT { Parsed::Bad } else { Parsed::Partial };
    };
    let body = skipped + head + 4;
    match std::str::from_utf8(&bytes[skipped..skipped + head]) {
        Ok(text) => complete(text, body, bytes.len()).unwrap_or(Parsed::Bad),
        Err(_) => Parsed::Bad,
    }
}

fn leading_line_ends(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

fn complete(head: &str, body: usize, received: usize) -> Option<Parsed> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    if words.next()? != "HTTP/1.1" || words.next().is_some() || method.is_empty() {
        return None;
    }
    let mut close = false;
    let mut content_length = 0;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "connection" => {
                close |= value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"));
            }
            "content-length" => content_length = value.parse().ok()?,
            "transfer-encoding" => return None,
            _ => {}
        }
    }
    let length = body.checked_add(content_length)?;
    if received < length {
        return Some(Parsed::Partial);
    }
    Some(Parsed::Complete(Parts { method: method.into(), path: path.into(), close, length }))
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body. An answer with status 204 has none.
    pub body: String,
    json: bool,
}

impl Answer {
    /// An answer with status 200 and a JSON document.
    pub fn json(body: String) -> Answer {
        Answer { status: 200, body, json: true }
    }

    /// An answer with status 204.
    pub fn no_content() -> Answer {
        Answer::text(204, "")
    }

    /// An error with a text for people. The text may be empty.
    pub fn text(status: u16, body: impl Into<String>) -> Answer {
        Answer { status, body: body.into(), json: false }
    }

    /// The bytes of the answer. With `close`, it announces that the server closes the
    /// connection.
    pub fn bytes(&self, close: bool, now: Duration) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        if self.status != 204 {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        if close {
            head.push_str("connection: close\r\n");
        }
        if self.json {
            head.push_str("content-type: application/json\r\n");
        }
        head.push_str(&format!("date: {}\r\n\r\n", calendar::http_date(now)));
        head.push_str(&self.body);
        head.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        423 => "Locked",
        _ => "Internal Server Error",
    }
}

/// Adds `by` to the answer's content-length, but does not go below 0. An answer without a
/// content-length stays the same.
pub fn shift_content_length(answer: Vec<u8>, by: i64) -> Vec<u8> {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let Some(found) = answer.windows(NAME.len()).position(|window| window == NAME) else {
        return answer;
    };
    let value = found + NAME.len();
    let digits = answer[value..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = answer[value..value + digits]
        .iter()
        .fold(0, |length, digit| length * 10 + i64::from(digit - b'0'));
    let mut shifted = answer[..value].to_vec();
    shifted.extend_from_slice((length + by).max(0).to_string().as_bytes());
    shifted.extend_from_slice(&answer[value + digits..]);
    shifted
}
