//! The server of metrics and health: one HTTP/1.1 request and its answer.
//!
//! Of a request only the first line counts; the rest of the head is waited for,
//! up to [`HEAD_MAX`] bytes, and not looked at. Each connection is for one
//! request. Nothing here does I/O.

use crate::text::{Show, find, put, put_number};
use heapless::Vec;

/// The longest head of a request, in bytes.
pub const HEAD_MAX: usize = 8192;
/// How much of the first line is looked at. Those that are answered with more
/// than an error are shorter.
const LINE_MAX: usize = 64;
/// How a request begins that wants no body.
const HEAD: &[u8] = b"HEAD ";
/// The longest head of an answer, in bytes.
const ANSWER_HEAD_MAX: usize = 192;
/// The longest body of an answer, in bytes.
pub const PAGE_MAX: usize = 12 * 1024;

/// The body of an answer.
pub type Page = Vec<u8, PAGE_MAX>;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/metrics`
    Metrics,
    /// `/healthz`
    Health,
    /// `/readyz`
    Readiness,
}

/// A request, as far as it has come.
#[derive(Debug, Default)]
pub struct Request {
    line: Vec<u8, LINE_MAX>,
    /// How many bytes have come.
    come: usize,
    /// Whether the first line is complete.
    has_line: bool,
    /// Whether the line that is coming is empty so far.
    is_empty_line: bool,
}

/// What is made of a request once enough of it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// It is answered with this.
    Answer(Endpoint),
    /// It is refused.
    Refuse(&'static Refusal),
}

/// How a request is refused: the status line, and what stands in the body.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(&'static str, &'static str);

const BAD: Refusal = Refusal("400 Bad Request", "this is not HTTP/1.1\n");
const METHOD: Refusal = Refusal("405 Method Not Allowed\r\nallow: GET, HEAD", "GET or HEAD\n");
const UNKNOWN: Refusal = Refusal("404 Not Found", "there are /metrics, /healthz and /readyz\n");
const TOO_LARGE: Refusal =
    Refusal("431 Request Header Fields Too Large", "the request is too large\n");

impl Request {
    /// Takes the next bytes of a request: what is made of it, if enough has come.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Parsed> {
        for byte in bytes {
            self.come += 1;
            match byte {
                b'\n' if self.is_empty_line && self.has_line => return Some(self.verdict()),
                b'\n' => (self.has_line, self.is_empty_line) = (true, true),
                b'\r' => {}
                _ => self.is_empty_line = false,
            }
            if self.come == HEAD_MAX {
                return Some(Parsed::Refuse(&TOO_LARGE));
            }
            if !self.has_line {
                // What does not fit is no path that is known.
                let _ = self.line.push(*byte);
            }
        }
        None
    }

    fn verdict(&self) -> Parsed {
        let line = self.line.as_slice();
        let target = match line.strip_prefix(b"GET ").or(line.strip_prefix(HEAD)) {
            Some(target) => target,
            None if line.first().is_some_and(u8::is_ascii_uppercase) => {
                return Parsed::Refuse(&METHOD);
            }
            None => return Parsed::Refuse(&BAD),
        };
        let end = target.iter().position(|byte| matches!(byte, b' ' | b'?'));
        let path = target.get(..end.unwrap_or(0)).unwrap_or_default();
        let asked = match find("/metrics /healthz /readyz ", path, |byte| byte) {
            Some((0, _)) => Endpoint::Metrics,
            Some((1, _)) => Endpoint::Health,
            Some(_) => Endpoint::Readiness,
            None if path.starts_with(b"/") => return Parsed::Refuse(&UNKNOWN),
            None => return Parsed::Refuse(&BAD),
        };
        Parsed::Answer(asked)
    }

    /// Whether only the head of the answer is wanted, whatever that is.
    pub fn is_head(&self) -> bool {
        self.line.starts_with(HEAD)
    }
}

impl Refusal {
    /// Writes the body of the answer that refuses a request, and gives its
    /// status.
    pub fn write(&self, page: &mut Page) -> &'static str {
        let Self(status, reason) = *self;
        put(page, &[reason]);
        status
    }
}

/// Writes the body of the answer to a question for health or readiness, and
/// gives its status.
pub fn write_state(state: Result<(), impl Show>, page: &mut Page) -> &'static str {
    match state {
        Ok(()) => {
            put(page, &["ok\n"]);
            OK
        }
        Err(problem) => {
            problem.show(page);
            put(page, &["\n"]);
            "503 Service Unavailable"
        }
    }
}

/// The status of an answer that is as it should be.
pub const OK: &str = "200 OK";

/// The head of an answer with this status, and a body of so many bytes. There is
/// room: a test has the longest.
pub fn head(status: &str, length: usize) -> Vec<u8, ANSWER_HEAD_MAX> {
    let mut head = Vec::new();
    let fields = "\r\nconnection: close\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n\
                  content-length: ";
    put(&mut head, &["HTTP/1.1 ", status, fields]);
    put_number(&mut head, length as u64);
    put(&mut head, &["\r\n\r\n"]);
    head
}

#[cfg(test)]
mod tests;
