//! Why a call has no usable answer, and what to do about it.

use crate::api::status::DocumentError;
use crate::http::response::{HttpError, Progress};
use crate::text::duration::HumanDuration;
use crate::text::errno::ErrnoText;
use crate::text::excerpt::{Excerpt, Sanitized};
use crate::text::{Show, display, put, put_number};
use core::time::Duration;
use heapless::VecView;
use rustix::io::Errno;

/// An answer that says no.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The HTTP status code.
    pub code: u16,
    /// The body.
    pub reason: &'a Excerpt,
}

impl Show for Refusal<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let Self { code, reason } = *self;
        let known = match (code, reason.is_empty()) {
            (408, _) => "the API did not get the whole request in time (408)",
            (404, true) => "the API does not know this call (404)",
            _ => "",
        };
        if !known.is_empty() {
            return put(buffer, &[known]);
        }
        put(buffer, &["the API answered "]);
        put_number(buffer, code.into());
        put(buffer, &[if reason.is_empty() { ", without a reason" } else { ": " }]);
        reason.show(buffer);
    }
}
display!(Refusal<'_>);

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy)]
pub enum AnswerError<'a> {
    /// It is not one in HTTP.
    Http(HttpError),
    /// It ends too early.
    Truncated(Progress),
    /// It is a status that is not understood.
    Document(DocumentError<'a>),
    /// It is understood, and none of those that are hoped for.
    Refused(Refusal<'a>),
}

impl Show for AnswerError<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let progress = match self {
            Self::Http(error) => return error.show(buffer),
            Self::Document(error) => return error.show(buffer),
            Self::Refused(refusal) => return refusal.show(buffer),
            Self::Truncated(progress) => progress,
        };
        put(buffer, &["the connection was closed "]);
        match progress {
            Progress::InBody(come, length) => {
                put(buffer, &["after "]);
                put_number(buffer, *come);
                put(buffer, &[" of "]);
                put_number(buffer, *length);
                put(buffer, &[" bytes of the answer"]);
            }
            Progress::InHead => put(buffer, &["in the middle of the answer's head"]),
            _ => put(buffer, &["without an answer"]),
        }
    }
}
display!(AnswerError<'_>);

/// Why a call has no answer that can be used.
#[derive(Debug, Clone, Copy)]
pub enum CallError<'a> {
    /// The kernel does not give what a call needs.
    Setup(Errno),
    /// There is no connection.
    Connect(Errno),
    /// The request could not be sent, at least not all of it.
    Send(Errno),
    /// The answer could not be received.
    Receive(Errno),
    /// The time was over before the request was sent.
    SendTimeout,
    /// The time was over before the answer was complete.
    Timeout(Progress),
    /// There is one, but it is not understood, or says no.
    Answer(AnswerError<'a>),
}

/// The kinds of [`CallError`]s that an operator tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nobody listens on the socket, or it is not there.
    Unreachable,
    /// There is no connection for another reason.
    Connect,
    /// The connection broke.
    Disconnected,
    /// It took too long.
    Timeout,
    /// The answer makes no sense.
    InvalidResponse,
    /// The API says no.
    Refused,
}

impl ErrorKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "api_unreachable",
            Self::Connect => "api_connect",
            Self::Disconnected => "api_disconnected",
            Self::Timeout => "api_timeout",
            Self::InvalidResponse => "api_invalid_response",
            Self::Refused => "api_refused",
        }
    }
}

impl CallError<'_> {
    /// Whether the API may have got the request.
    pub fn may_have_been_sent(&self) -> bool {
        matches!(self, Self::Receive(_) | Self::Timeout(_) | Self::Answer(_))
    }

    /// The error, if it is that the connection broke after the request was
    /// sent, without a complete answer.
    pub fn as_disconnect(&self) -> Option<CallError<'static>> {
        match *self {
            Self::Receive(errno) => Some(CallError::Receive(errno)),
            Self::Answer(AnswerError::Truncated(progress)) => {
                Some(CallError::Answer(AnswerError::Truncated(progress)))
            }
            _ => None,
        }
    }

    /// Whether the API says no.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Answer(AnswerError::Refused(_)))
    }

    /// What kind of error it is, roughly.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(_) if self.is_stale_socket() => ErrorKind::Unreachable,
            Self::Connect(_) => ErrorKind::Connect,
            Self::SendTimeout | Self::Timeout(_) => ErrorKind::Timeout,
            Self::Setup(_) | Self::Send(_) | Self::Receive(_) => ErrorKind::Disconnected,
            Self::Answer(AnswerError::Truncated(_)) => ErrorKind::Disconnected,
            Self::Answer(AnswerError::Refused(_)) => ErrorKind::Refused,
            Self::Answer(_) => ErrorKind::InvalidResponse,
        }
    }

    /// Whether the time was over.
    pub fn is_too_late(&self) -> bool {
        matches!(self, Self::SendTimeout | Self::Timeout(_))
    }

    /// What to do about it, if that is known: what is added to the error.
    // Apart, what is said without it is in the programs once.
    #[inline(never)]
    fn advice(&self) -> &'static str {
        match self {
            Self::Connect(Errno::NOENT | Errno::NOTDIR) => {
                " (is this a Bottlerocket node, and is the socket mounted here?)"
            }
            Self::Connect(Errno::CONNREFUSED) => {
                " (is the API server running? if it made a new socket, \
                 restart the container that has the old one mounted)"
            }
            Self::Connect(Errno::ACCESS | Errno::PERM) => {
                " (needs uid 0 or group 274, and the SELinux type control_t)"
            }
            _ => "",
        }
    }

    /// Whether nobody listens on the socket, or it is not there: so it stays
    /// for ever if the API server has made a new one and the old one is
    /// mounted here.
    pub fn is_stale_socket(&self) -> bool {
        matches!(self, Self::Connect(Errno::CONNREFUSED | Errno::NOENT | Errno::NOTDIR))
    }
}

impl Show for CallError<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let (tried, errno) = match self {
            Self::Connect(errno) => ("connect", errno),
            Self::Setup(errno) => ("begin", errno),
            Self::Send(errno) => ("send the request", errno),
            Self::Receive(errno) => ("receive the answer", errno),
            Self::SendTimeout => return put(buffer, &["the API takes no connections in time"]),
            Self::Timeout(Progress::Nothing) => {
                return put(buffer, &["sent, but no answer in time"]);
            }
            Self::Timeout(_) => return put(buffer, &["the answer was not complete in time"]),
            Self::Answer(error) => return error.show(buffer),
        };
        put(buffer, &["cannot ", tried, ": "]);
        ErrnoText(*errno).show(buffer);
        put(buffer, &[self.advice()]);
    }
}
display!(CallError<'_>);

/// What an operator is told about a call without a usable answer. Displayed,
/// it is one line: what was tried, on what, what came back and what to do.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// What was tried, as in "cannot ...".
    pub tried: &'a str,
    /// The path of the socket.
    pub socket: &'a [u8],
    /// What came back.
    pub error: CallError<'a>,
    /// The value of `-timeout`.
    pub timeout: Duration,
}

impl Show for Failed<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let Self { tried, socket, error, timeout } = self;
        put(buffer, &["cannot ", tried, " "]);
        Sanitized(socket).show(buffer);
        put(buffer, &[": "]);
        error.show(buffer);
        if error.is_too_late() {
            put(buffer, &[" (-timeout "]);
            HumanDuration(*timeout).show(buffer);
            put(buffer, &[")"]);
        }
    }
}
display!(Failed<'_>);
