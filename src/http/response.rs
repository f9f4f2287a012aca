//! Reads one HTTP/1.1 response, as its bytes come.
//!
//! Only what the API server sends is understood: a head, and a body with a
//! `content-length`, or a 204 without a body. Everything else is refused with
//! an error of its own. Interim responses (100 to 199) are passed over. What
//! follows the response is ignored: the head says where it ends.
//!
//! ```text
//!          interim
//!          ┌────┐
//!          ▼    │      content-length       all of it
//!   ──▶  head ──┴──────────▶ body ────────────▶ complete
//!               └──────────────────────────────────▲
//!                        204, or length 0
//! ```

use crate::text::duration::whole_number;
use crate::text::{Show, display, put};
use heapless::{Vec, VecView};

/// The longest head that is read, in bytes. The server's are about 130 long.
pub const HEAD_MAX: usize = 4096;
/// How many header lines a head may have.
const HEADERS_MAX: u8 = 32;
/// How many interim responses may come before the real one.
const INTERIM_MAX: u8 = 4;
/// The longest body that is read, in bytes.
pub const BODY_MAX: u64 = 16 * 1024 * 1024;

/// What is wrong with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// It does not start like one.
    NotHttp,
    /// A line of the head is malformed, or there are more than 32.
    BadHead,
    /// The head is longer than [`HEAD_MAX`].
    HeadTooLong,
    /// More than four interim responses came first.
    TooManyInterim,
    /// 101: it goes on in another protocol.
    ProtocolSwitch,
    /// The body comes in chunks, or encoded in another way.
    TransferEncoding,
    /// There is no content-length.
    MissingContentLength,
    /// The content-length is no number.
    BadLength,
    /// There is more than one content-length.
    DuplicateContentLength,
    /// The body is longer than [`BODY_MAX`].
    BodyTooLong,
    /// A 204, which has no body, says that it has one.
    UnexpectedBody,
}

impl Show for HttpError {
    fn show(&self, buffer: &mut VecView<u8>) {
        let what = match self {
            Self::NotHttp => "is not HTTP/1.1",
            Self::BadHead => "has a malformed head",
            Self::HeadTooLong => "has a head of over 4096 bytes",
            Self::TooManyInterim => return put(buffer, &["interim answers came without end"]),
            Self::ProtocolSwitch => "switches to another protocol",
            Self::TransferEncoding => "has a transfer-encoding",
            Self::MissingContentLength => "has no content-length",
            Self::BadLength => "has a content-length that is no number",
            Self::DuplicateContentLength => "has more than one content-length",
            Self::BodyTooLong => "is longer than 16 MiB",
            Self::UnexpectedBody => "is a 204 and has a body",
        };
        put(buffer, &["the answer ", what]);
    }
}
display!(HttpError);

/// How much of a response has come when no more does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not one byte.
    Nothing,
    /// A part of the head.
    InHead,
    /// The head and this many bytes of the body, of so many.
    InBody(u64, u64),
    /// All of it.
    Complete,
}

/// A response, as far as it has come.
// What is small comes first: reaching it takes less code.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Response {
    /// Where in the head the line begins that is coming.
    line: usize,
    interim: u8,
    /// The status code, once the first line has come.
    code: u16,
    headers: u8,
    content_length: Option<u64>,
    /// What is wrong with the body that the head announces.
    wrong: Option<HttpError>,
    /// The status code, the length of the body, and how much of that has come.
    body: Option<(u16, u64, u64)>,
    head: Vec<u8, HEAD_MAX>,
}

impl Response {
    /// Takes the next bytes, and gives back those of them that belong to the
    /// body.
    ///
    /// # Errors
    ///
    /// The response is not one that is understood; nothing more can be made of
    /// it.
    pub fn push<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], HttpError> {
        let mut rest = bytes.iter();
        // Ends: each turn takes a byte.
        while self.body.is_none() {
            let Some(byte) = rest.next() else { return Ok(&[]) };
            self.push_head(*byte)?;
        }
        let Some((_, length, come)) = &mut self.body else { return Ok(&[]) };
        let missing = usize::try_from(*length - *come).unwrap_or(usize::MAX);
        let rest = rest.as_slice();
        let part = rest.get(..missing).unwrap_or(rest);
        *come += part.len() as u64;
        Ok(part)
    }

    // Apart, it keeps its registers to itself: the programs are smaller.
    #[inline(never)]
    fn push_head(&mut self, byte: u8) -> Result<(), HttpError> {
        if START.get(self.head.len()).is_some_and(|wanted| *wanted != byte) {
            return Err(HttpError::NotHttp);
        }
        let end = self.head.len();
        self.head.push(byte).map_err(|_| HttpError::HeadTooLong)?;
        if byte != b'\n' {
            return Ok(());
        }
        let line = self.head.get(self.line..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.line = self.head.len();
        if self.code == 0 {
            self.code = status_code(line).ok_or(HttpError::BadHead)?;
        } else if line.is_empty() {
            return self.end_head();
        } else {
            let (name, value) = header(line).ok_or(HttpError::BadHead)?;
            if self.headers == HEADERS_MAX {
                return Err(HttpError::BadHead);
            }
            self.headers += 1;
            let wrong = if is_named(name, b"transfer-encoding") {
                Some(HttpError::TransferEncoding)
            } else if is_named(name, b"content-length") {
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
            self.wrong = self.wrong.or(wrong);
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), HttpError> {
        let length = match (self.code, self.wrong, self.content_length) {
            (101, ..) => return Err(HttpError::ProtocolSwitch),
            (..200, ..) if self.interim == INTERIM_MAX => return Err(HttpError::TooManyInterim),
            (..200, ..) => {
                self.interim += 1;
                self.head.clear();
                (self.line, self.code, self.headers) = (0, 0, 0);
                (self.content_length, self.wrong) = (None, None);
                return Ok(());
            }
            (_, Some(wrong), _) => return Err(wrong),
            (204, _, None | Some(0)) => 0,
            (204, ..) => return Err(HttpError::UnexpectedBody),
            (_, _, None) => return Err(HttpError::MissingContentLength),
            (_, _, Some(length)) if length > BODY_MAX => return Err(HttpError::BodyTooLong),
            (_, _, Some(length)) => length,
        };
        self.body = Some((self.code, length, 0));
        Ok(())
    }

    /// The status code, once the head has come.
    pub fn code(&self) -> Option<u16> {
        self.body.map(|(code, _, _)| code)
    }

    /// How much has come.
    pub fn progress(&self) -> Progress {
        match self.body {
            Some((_, length, come)) if come == length => Progress::Complete,
            Some((_, length, come)) => Progress::InBody(come, length),
            None if self.head.is_empty() && self.interim == 0 => Progress::Nothing,
            None => Progress::InHead,
        }
    }
}

/// What a response starts with.
const START: &[u8] = b"HTTP/1.1 ";

/// The status code in the first line of a head: three digits, from 100 on, and
/// maybe a space and a reason.
fn status_code(line: &[u8]) -> Option<u16> {
    let (digits, reason) = line.get(START.len()..)?.split_at_checked(3)?;
    if !matches!(reason, [] | [b' ', ..]) || !is_text(reason) {
        return None;
    }
    whole_number(digits).filter(|code| *code >= 100)?.try_into().ok()
}

/// The name and the value of a header.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    if name.is_empty() || !name.iter().all(is_token) || !is_text(value) {
        return None;
    }
    Some((name, value.trim_ascii()))
}

/// Whether a header's name may have this character: RFC 9110, 5.6.2.
fn is_token(byte: &u8) -> bool {
    // A search in a text would be one by words, with much code.
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// Whether there are no control characters but tabs.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// Whether a header has this name, which is in lower case, in whatever case. Of
/// the characters that a name may have, the bit makes a difference for letters,
/// and makes none of the others one.
fn is_named(name: &[u8], lower_case: &[u8]) -> bool {
    name.iter().map(|byte| byte | 0x20).eq(lower_case.iter().copied())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::String;

    /// What a response comes to, given whole and given byte by byte: the code,
    /// the body and how far it came.
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
    fn names_of_headers() {
        for byte in 0..=u8::MAX {
            let listed = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(&byte), listed, "{byte}");
        }
    }

    #[test]
    fn understood() {
        use Progress::{Complete, InBody, InHead, Nothing};
        for (text, code, body, progress) in [
            ("", None, "", Nothing),
            ("HTT", None, "", InHead),
            ("HTTP/1.1 200 OK\r\n", None, "", InHead),
            ("HTTP/1.1 204 No Content\r\n\r\n", Some(204), "", Complete),
            ("HTTP/1.1 204 \r\ncontent-length: 0\r\n\r\n", Some(204), "", Complete),
            ("HTTP/1.1 204 \t\r\na: b\tc\r\nd:\t\r\n\r\n", Some(204), "", Complete),
            ("HTTP/1.1 204 No Content\r\n\r\ntrailing", Some(204), "", Complete),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Some(200), "ab", InBody(2, 3)),
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
    fn refused() {
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
    fn errors_in_words() {
        use HttpError::*;
        for (error, text) in [
            (NotHttp, "the answer is not HTTP/1.1"),
            (BadHead, "the answer has a malformed head"),
            (HeadTooLong, "the answer has a head of over 4096 bytes"),
            (TooManyInterim, "interim answers came without end"),
            (ProtocolSwitch, "the answer switches to another protocol"),
            (TransferEncoding, "the answer has a transfer-encoding"),
            (MissingContentLength, "the answer has no content-length"),
            (BadLength, "the answer has a content-length that is no number"),
            (DuplicateContentLength, "the answer has more than one content-length"),
            (BodyTooLong, "the answer is longer than 16 MiB"),
            (UnexpectedBody, "the answer is a 204 and has a body"),
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
        assert_eq!((code, progress), (Some(200), Progress::InBody(0, BODY_MAX)));
    }
}
