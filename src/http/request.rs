//! What the metrics server reads: one request.
//!
//! Only the first line of a request is parsed. The rest of its head is received, up
//! to [`HEAD_MAX`] bytes, and ignored. Each connection has one request.

use crate::http::page::Code;
use crate::text::{Show, display, put};
use heapless::{Vec, VecView};

/// The longest head of a request, in bytes.
pub const HEAD_MAX: usize = 8192;
/// How many bytes of the first line are kept. A longer path has no page.
const LINE_MAX: usize = 64;

/// A request, as far as it has been received.
#[derive(Debug, Default)]
pub struct Request {
    /// The start of the first line.
    line: Vec<u8, LINE_MAX>,
    /// How many bytes have been received.
    received: usize,
    /// Whether the first line is complete.
    has_line: bool,
    /// Whether the current line is empty so far.
    is_line_empty: bool,
}

/// A request whose head is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<'r> {
    /// A GET or HEAD request for this path, which begins with a slash. A query is
    /// left out.
    Path(&'r [u8]),
    /// A request that is refused.
    Refused(Refusal),
}

/// Why a request is refused. Displayed, it is the body of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The first line is not one of HTTP/1.1, or it is too long.
    NotHttp,
    /// The method is neither GET nor HEAD.
    Method,
    /// The head is longer than [`HEAD_MAX`].
    HeadTooLarge,
}

impl Refusal {
    /// The status code of the response.
    pub fn code(self) -> Code {
        match self {
            Self::NotHttp => Code::BadRequest,
            Self::Method => Code::MethodNotAllowed,
            Self::HeadTooLarge => Code::HeadTooLarge,
        }
    }
}

impl Show for Refusal {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(
            buffer,
            match self {
                Self::NotHttp => "this is not a request in HTTP/1.1\n",
                Self::Method => "the method must be GET or HEAD\n",
                Self::HeadTooLarge => "the request is too large\n",
            }
        );
    }
}
display!(Refusal);

impl Request {
    /// Takes the next bytes of a request. Returns `None` until the head is complete.
    /// Bytes behind the head are ignored.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Parsed<'_>> {
        for byte in bytes {
            self.received += 1;
            match byte {
                b'\n' if self.is_line_empty && self.has_line => return Some(self.parse()),
                b'\n' => (self.has_line, self.is_line_empty) = (true, true),
                b'\r' => {}
                _ => self.is_line_empty = false,
            }
            if self.received == HEAD_MAX {
                return Some(Parsed::Refused(Refusal::HeadTooLarge));
            }
            if !self.has_line {
                // What does not fit is left out: `parse` then finds no end of the path.
                let _ = self.line.push(*byte);
            }
        }
        None
    }

    fn parse(&self) -> Parsed<'_> {
        let line = self.line.as_slice();
        let Some(target) = line.strip_prefix(b"GET ").or(line.strip_prefix(b"HEAD ")) else {
            let is_method = line.first().is_some_and(u8::is_ascii_uppercase);
            return Parsed::Refused(if is_method { Refusal::Method } else { Refusal::NotHttp });
        };
        let end = target.iter().position(|byte| matches!(byte, b' ' | b'?'));
        match end.and_then(|end| target.get(..end)) {
            Some(path) if path.starts_with(b"/") => Parsed::Path(path),
            _ => Parsed::Refused(Refusal::NotHttp),
        }
    }

    /// Whether the response has no body.
    pub fn is_head(&self) -> bool {
        self.line.starts_with(b"HEAD ")
    }
}

#[cfg(test)]
mod tests;
