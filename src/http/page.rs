//! What the metrics server writes: the response to one request.
//!
//! A response is short, complete before the first byte is sent, and the last on
//! its connection.

use crate::text::put;
use heapless::Vec;

/// The longest head of a response, in bytes.
const HEAD_MAX: usize = 192;
/// The longest body of a response, in bytes.
pub const PAGE_MAX: usize = 14 * 1024;

/// The body of a response.
pub type Page = Vec<u8, PAGE_MAX>;

/// The status code of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 431
    HeadTooLarge,
    /// 503
    Unavailable,
}

impl Code {
    /// The number and the reason, as in the first line of a response.
    pub fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// The head of a response with a body of `length` bytes. The longest head fits: a
/// test writes it.
pub fn head(code: Code, length: usize) -> Vec<u8, HEAD_MAX> {
    let mut head = Vec::new();
    put!(&mut head, "HTTP/1.1 ", code.line(), "\r\n");
    if code == Code::MethodNotAllowed {
        put!(&mut head, "allow: GET, HEAD\r\n");
    }
    put!(&mut head, "connection: close\r\n");
    put!(&mut head, "content-type: text/plain; version=0.0.4; charset=utf-8\r\n");
    put!(&mut head, "content-length: ", length, "\r\n\r\n");
    head
}

#[cfg(test)]
mod tests;
