//! HTTP: parses requests and writes answers. Does no input or output.
//!
//! The parser accepts and refuses the same requests as the real server. It accepts lines
//! that end with a bare LF, absolute URIs, and HTTP/1.0. It refuses a second
//! `content-length`, more than [`HEADERS_MAX`] headers, and an HTTP/1.0 POST without a
//! `content-length`. One difference remains: the real server accepts chunked bodies.

use crate::calendar;
use std::time::Duration;

/// A request head of this size is refused, in bytes.
const HEAD_LIMIT: usize = 128 * 1024;

/// The largest number of headers of a request.
const HEADERS_MAX: usize = 96;

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The bytes received so far, parsed.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes of the head are needed.
    Partial,
    /// The head is complete. The body may still be missing.
    Complete(Parts),
    /// Not a request, whatever follows.
    Bad,
    /// Too many headers, or a head that is too long.
    TooLarge,
}

/// The HTTP version of a request. The answer has the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl Version {
    fn name(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts {
    /// Such as `GET`.
    pub method: String,
    /// Such as `/updates/status`, with the query if there is one.
    pub path: String,
    /// The HTTP version.
    pub version: Version,
    /// Whether the server closes the connection after the answer.
    pub close: bool,
    /// Whether the client waits for [`CONTINUE`] before it sends the body.
    pub expects_continue: bool,
    /// The size of the request with its body, in bytes.
    pub length: usize,
}

/// Parses the head of the first request in `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut head: Option<Head> = None;
    let mut end = 0;
    // Only the last part can be an incomplete line.
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = part.strip_suffix(b"\n") else {
            break;
        };
        end += part.len();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_good = match &mut head {
            None if line.is_empty() => true,
            None => {
                head = Head::begin(line);
                head.is_some()
            }
            Some(head) if line.is_empty() => {
                return head.finish(end).map_or(Parsed::Bad, Parsed::Complete);
            }
            Some(head) if head.headers == HEADERS_MAX => return Parsed::TooLarge,
            Some(head) => head.add(line).is_some(),
        };
        if !is_good {
            return Parsed::Bad;
        }
    }
    if bytes.len() >= HEAD_LIMIT { Parsed::TooLarge } else { Parsed::Partial }
}

/// A request line, and the headers that have been parsed so far.
struct Head {
    method: String,
    path: String,
    version: Version,
    headers: usize,
    content_length: Option<usize>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Head {
    /// Parses the request line. Returns `None` if it is invalid.
    fn begin(line: &[u8]) -> Option<Head> {
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let version = match words.next()? {
            "HTTP/1.0" => Version::Http10,
            "HTTP/1.1" => Version::Http11,
            _ => return None,
        };
        if words.next().is_some() || !is_token(method.as_bytes()) {
            return None;
        }
        Some(Head {
            method: method.into(),
            path: path(target)?.into(),
            version,
            headers: 0,
            content_length: None,
            close: false,
            keep_alive: false,
            expects_continue: false,
        })
    }

    /// Parses a header line. Returns `None` if it is invalid.
    fn add(&mut self, line: &[u8]) -> Option<()> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if !is_token(name) || !value.iter().all(is_text) {
            return None;
        }
        self.headers += 1;
        let value = String::from_utf8_lossy(value);
        let has = |word: &str| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word));
        match name.to_ascii_lowercase().as_slice() {
            b"connection" => {
                self.close |= has("close");
                self.keep_alive |= has("keep-alive");
            }
            b"content-length" => {
                let digits = value.trim();
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                if !is_number || self.content_length.is_some() {
                    return None;
                }
                self.content_length = Some(digits.parse().ok()?);
            }
            b"expect" => self.expects_continue |= has("100-continue"),
            b"transfer-encoding" => return None,
            _ => {}
        }
        Some(())
    }

    /// Completes the head, which has `length` bytes. Returns `None` if a header is missing.
    fn finish(&self, length: usize) -> Option<Parts> {
        let is_old = self.version == Version::Http10;
        if is_old && self.method == "POST" && self.content_length.is_none() {
            return None;
        }
        Some(Parts {
            method: self.method.clone(),
            path: self.path.clone(),
            version: self.version,
            close: self.close || (is_old && !self.keep_alive),
            expects_continue: self.expects_continue,
            length: length.checked_add(self.content_length.unwrap_or(0))?,
        })
    }
}

fn is_token(bytes: &[u8]) -> bool {
    let is_in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_in_token)
}

/// The path and the query of a request target. The target is a path, `*` or an absolute
/// URI. Returns `None` for anything else.
fn path(target: &str) -> Option<&str> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let target = target.split('#').next()?;
    if target.starts_with('/') || target == "*" {
        return Some(target);
    }
    let (scheme, tail) = target.split_once("://")?;
    let host = tail.find(['/', '?']).unwrap_or(tail.len());
    if scheme.is_empty() || host == 0 {
        return None;
    }
    let path = &tail[host..];
    Some(if path.is_empty() { "/" } else { path })
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

    /// The bytes of the answer. `close` says whether the server closes the connection.
    /// The answer announces that if it is not the default of the HTTP version.
    pub fn bytes(&self, version: Version, close: bool, now: Duration) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", version.name(), self.status, reason(self.status));
        if self.status != 204 {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        match (version, close) {
            (Version::Http11, true) => head.push_str("connection: close\r\n"),
            (Version::Http10, false) => head.push_str("connection: keep-alive\r\n"),
            _ => {}
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
        431 => "Request Header Fields Too Large",
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
