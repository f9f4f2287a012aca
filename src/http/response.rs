//! A push parser for one HTTP/1.1 response.
//!
//! It understands only what the API server sends: headers, and a body with a
//! `content-length` or a 204 without a body. It refuses everything else, with an
//! error for each reason. Interim responses (100 to 199) are skipped. Bytes after
//! the response are ignored.
//!
//! ```text
//!          interim
//!          ┌────┐
//!          ▼    │   with content-length    all bytes received
//!   ──▶  head ──┴──────────▶ body ────────────▶ complete
//!               └──────────────────────────────────▲
//!                        204, or length 0
//! ```

use crate::text::duration::whole_number;
use crate::text::{Show, display, put};
use heapless::{Vec, VecView};

/// The longest head (status line and headers), in bytes. The API server's heads
/// have about 130 bytes.
pub const HEAD_MAX: usize = 4096;
/// The largest number of header lines.
const HEADERS_MAX: u8 = 32;
/// The largest number of interim responses before the final one.
const INTERIM_MAX: u8 = 4;
/// The longest body, in bytes.
pub const BODY_MAX: u64 = 16 * 1024 * 1024;

/// Why a response is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// The response does not start with `HTTP/1.1 `.
    NotHttp,
    /// A line of the head is malformed, or there are more than 32 headers.
    BadHead,
    /// The head is longer than [`HEAD_MAX`].
    HeadTooLong,
    /// There are more than four interim responses.
    TooManyInterim,
    /// Status 101: the server switches to another protocol.
    ProtocolSwitch,
    /// The body has a transfer-encoding, such as `chunked`.
    TransferEncoding,
    /// There is no content-length.
    MissingContentLength,
    /// The content-length is not a number.
    BadLength,
    /// There is more than one content-length.
    DuplicateContentLength,
    /// The body is longer than [`BODY_MAX`].
    BodyTooLong,
    /// A 204, which has no body, has a content-length above 0.
    UnexpectedBody,
}

impl Show for HttpError {
    fn show(&self, buffer: &mut VecView<u8>) {
        let text = match self {
            Self::NotHttp => "the response is not HTTP/1.1",
            Self::BadHead => "the response has malformed headers",
            Self::HeadTooLong => "the response has headers of over 4096 bytes",
            Self::TooManyInterim => "too many interim (1xx) responses",
            Self::ProtocolSwitch => "the response switches to another protocol (101)",
            Self::TransferEncoding => "the response has a transfer-encoding",
            Self::MissingContentLength => "the response has no content-length",
            Self::BadLength => "the response has an invalid content-length",
            Self::DuplicateContentLength => "the response has more than one content-length",
            Self::BodyTooLong => "the response is larger than 16 MiB",
            Self::UnexpectedBody => "the response is a 204 with a body",
        };
        put!(buffer, text);
    }
}
display!(HttpError);

/// How much of a response has been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not one byte.
    Nothing,
    /// A part of the head.
    InHead,
    /// The head and a part of the body.
    InBody {
        /// How many bytes of the body have been received.
        received: u64,
        /// The length of the body, in bytes.
        length: u64,
    },
    /// All of it.
    Complete,
}

/// A response, as far as it has been received.
#[derive(Debug, Default)]
pub struct Response {
    /// The head so far, without those of interim responses.
    head: Vec<u8, HEAD_MAX>,
    /// Where in the head the current line begins.
    line: usize,
    /// How many interim responses have been skipped.
    interim: u8,
    /// The status code, once the status line has been received.
    code: Option<u16>,
    /// How many headers have been received.
    headers: u8,
    content_length: Option<u64>,
    /// Why the body cannot be read. It is reported at the end of the head: the body
    /// of an interim response does not matter.
    body_error: Option<HttpError>,
    /// The body, once the head is complete.
    body: Option<Body>,
}

/// A body, as far as it has been received.
#[derive(Debug)]
struct Body {
    received: u64,
    length: u64,
}

impl Response {
    /// Takes the next bytes that were received. Returns those of them that belong
    /// to the body.
    ///
    /// # Errors
    ///
    /// The response is refused. The parser cannot be used any more.
    pub fn push<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], HttpError> {
        let mut rest = bytes;
        // Ends: each turn takes a part of a line.
        while self.body.is_none() {
            let end = rest.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
            let (part, behind) = rest.split_at(end.unwrap_or(rest.len()));
            if part.is_empty() {
                return Ok(&[]);
            }
            self.push_head(part)?;
            rest = behind;
        }
        let Some(body) = &mut self.body else { return Ok(&[]) };
        let missing = usize::try_from(body.length - body.received).unwrap_or(usize::MAX);
        let part = rest.get(..missing).unwrap_or(rest);
        body.received += part.len() as u64;
        Ok(part)
    }

    /// Takes a part of a line of the head, up to and with its end.
    // Not inlined: saves 288 bytes in the checker.
    #[inline(never)]
    fn push_head(&mut self, part: &[u8]) -> Result<(), HttpError> {
        let start = START.get(self.head.len()..).unwrap_or_default();
        if !start.iter().zip(part).all(|(expected, byte)| expected == byte) {
            return Err(HttpError::NotHttp);
        }
        self.head.extend_from_slice(part).map_err(|_| HttpError::HeadTooLong)?;
        let line = self.head.get(self.line..).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\n") else { return Ok(()) };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.line = self.head.len();
        if self.code.is_none() {
            self.code = Some(status_code(line).ok_or(HttpError::BadHead)?);
            return Ok(());
        }
        if line.is_empty() {
            return self.end_head();
        }
        let (name, value) = header(line).ok_or(HttpError::BadHead)?;
        if self.headers == HEADERS_MAX {
            return Err(HttpError::BadHead);
        }
        self.headers += 1;
        let error = if name.eq_ignore_ascii_case(b"transfer-encoding") {
            Some(HttpError::TransferEncoding)
        } else if name.eq_ignore_ascii_case(b"content-length") {
            match (whole_number(value), self.content_length) {
                (None, _) => Some(HttpError::BadLength),
                (_, Some(_)) => Some(HttpError::DuplicateContentLength),
                (length, None) => {
                    self.content_length = length;
                    None
                }
            }
        } else {
            None
        };
        self.body_error = self.body_error.or(error);
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), HttpError> {
        let code = self.code.unwrap_or_default();
        let length = match (code, self.body_error, self.content_length) {
            (101, ..) => return Err(HttpError::ProtocolSwitch),
            (..200, ..) if self.interim == INTERIM_MAX => return Err(HttpError::TooManyInterim),
            (..200, ..) => {
                *self = Self { interim: self.interim + 1, ..Self::default() };
                return Ok(());
            }
            (_, Some(error), _) => return Err(error),
            (204, _, None | Some(0)) => 0,
            (204, ..) => return Err(HttpError::UnexpectedBody),
            (_, _, None) => return Err(HttpError::MissingContentLength),
            (_, _, Some(length)) if length > BODY_MAX => return Err(HttpError::BodyTooLong),
            (_, _, Some(length)) => length,
        };
        self.body = Some(Body { received: 0, length });
        Ok(())
    }

    /// The status code, once the head is complete.
    pub fn code(&self) -> Option<u16> {
        self.code.filter(|_| self.body.is_some())
    }

    /// How much has been received.
    pub fn progress(&self) -> Progress {
        match self.body {
            Some(Body { received, length }) if received == length => Progress::Complete,
            Some(Body { received, length }) => Progress::InBody { received, length },
            None if self.head.is_empty() && self.interim == 0 => Progress::Nothing,
            None => Progress::InHead,
        }
    }
}

/// How each response starts.
const START: &[u8] = b"HTTP/1.1 ";

/// The status code of a status line: three digits, at least 100, then the end of
/// the line or a space and a reason.
fn status_code(line: &[u8]) -> Option<u16> {
    let (digits, reason) = line.get(START.len()..)?.split_at_checked(3)?;
    if !matches!(reason, [] | [b' ', ..]) || !is_text(reason) {
        return None;
    }
    whole_number(digits).filter(|code| *code >= 100)?.try_into().ok()
}

/// The name and the value of a header line.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    if name.is_empty() || !name.iter().all(is_token) || !is_text(value) {
        return None;
    }
    Some((name, value.trim_ascii()))
}

/// Whether the name of a header may contain this character: RFC 9110, 5.6.2.
fn is_token(byte: &u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// Whether there are no control characters other than tabs.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

#[cfg(test)]
mod tests;
