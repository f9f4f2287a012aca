//! The calls of the update API, and what the answers to them mean.
//!
//! An [`Exchange`] is one call: the bytes to send, the bytes that come back,
//! the answer. It knows no socket.

pub mod document;
pub mod status;

use crate::api::document::Condenser;
use crate::api::status::{DocumentError, Status};
use crate::http::response::{HttpError, Progress, Response};
use crate::text::duration::HumanDuration;
use crate::text::errno::ErrnoText;
use crate::text::excerpt::{Excerpt, Sanitized};
use crate::text::{Show, display, put, put_number};
use core::time::Duration;
use heapless::{Vec, VecView};
use rustix::io::Errno;

/// A command that changes the state of a node's update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Looks for updates.
    Refresh,
    /// Writes the chosen update to the other partition set.
    Prepare,
    /// Makes the next boot one from the other partition set.
    Activate,
    /// Takes the activation back.
    Deactivate,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 4] = [Self::Refresh, Self::Prepare, Self::Activate, Self::Deactivate];

    /// Its place in [`Command::ALL`].
    pub fn number(self) -> usize {
        self as usize
    }

    /// The name that the status document has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Prepare => "prepare",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
        }
    }
}

/// A call of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Read the status.
    Status,
    /// Start a command.
    Start(Command),
    /// Reboot the node.
    Reboot,
}

/// The longest request, in bytes.
const REQUEST_MAX: usize = 96;

impl Call {
    /// The bytes to send.
    pub fn request(self) -> Vec<u8, REQUEST_MAX> {
        let mut request = Vec::new();
        let call = match self {
            Self::Status => "GET /updates/status",
            Self::Start(Command::Refresh) => "POST /actions/refresh-updates",
            Self::Start(Command::Prepare) => "POST /actions/prepare-update",
            Self::Start(Command::Activate) => "POST /actions/activate-update",
            Self::Start(Command::Deactivate) => "POST /actions/deactivate-update",
            Self::Reboot => "POST /actions/reboot",
        };
        // There is room for the longest: a test looks at each of them.
        put(&mut request, &[call, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]);
        request
    }

    /// What it asks for, in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Start(command) => command.name(),
            Self::Reboot => "reboot",
        }
    }
}

/// What the API answers.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and nothing to box it in")]
pub enum Answer<'a> {
    /// The status.
    Status(Status<'a>),
    /// 404: there has been no refresh since the node booted.
    Uninitialized,
    /// 204: it has started; of a reboot, that it is on its way.
    Started,
    /// 423: an update command holds the lock.
    Busy,
    /// 409, or 404 with a reason: the state of the node does not allow the
    /// command.
    NotAllowed(Refusal<'a>),
}

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

/// One call, and the answer to it as far as it has come.
// What is small comes first: reaching it takes less code.
#[derive(Debug)]
#[repr(C)]
pub struct Exchange {
    call: Call,
    reason: Excerpt,
    response: Response,
    document: Condenser,
}

/// The status code while an update command holds the lock.
const BUSY: u16 = 423;

/// How a status is refused before the first refresh; only its body tells this
/// 404 from others.
const NO_STATUS: &str = "Update status is uninitialized";

impl Exchange {
    /// Begins `call`.
    pub fn new(call: Call) -> Self {
        Self {
            call,
            response: Response::default(),
            document: Condenser::default(),
            reason: Excerpt::default(),
        }
    }

    /// Whether the answer is that an update command holds the lock.
    pub fn is_busy(&self) -> bool {
        self.response.code() == Some(BUSY) && self.progress() == Progress::Complete
    }

    /// Takes the next bytes of the answer: true when it is complete.
    ///
    /// # Errors
    ///
    /// It is not understood; nothing more can be made of it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, AnswerError<'static>> {
        let body = self.response.push(bytes).map_err(AnswerError::Http)?;
        match (self.call, self.response.code()) {
            (Call::Status, Some(200)) => self
                .document
                .push(body)
                .map_err(|error| AnswerError::Document(DocumentError::Json(error)))?,
            _ => self.reason.push_bytes(body),
        }
        Ok(self.response.progress() == Progress::Complete)
    }

    /// How much of the answer has come.
    pub fn progress(&self) -> Progress {
        self.response.progress()
    }

    /// The answer, when no more bytes come or none are wanted.
    ///
    /// # Errors
    ///
    /// It is not complete, or not understood, or says no.
    // Apart, it keeps its registers to itself: the programs are smaller.
    #[inline(never)]
    pub fn finish(&self) -> Result<Answer<'_>, AnswerError<'_>> {
        let code = match (self.response.code(), self.progress()) {
            (Some(code), Progress::Complete) => code,
            // A reason that is cut off is still one.
            (Some(code @ 500..), _) => code,
            (_, progress) => return Err(AnswerError::Truncated(progress)),
        };
        if (self.call, code) == (Call::Status, 200) {
            return match Status::read(&self.document) {
                Ok(status) => Ok(Answer::Status(status)),
                Err(error) => Err(AnswerError::Document(error)),
            };
        }
        let refusal = Refusal { code, reason: &self.reason };
        Ok(match (self.call, code) {
            (Call::Status, 404) if refusal.reason.starts_with(NO_STATUS) => Answer::Uninitialized,
            (Call::Start(_) | Call::Reboot, 204) => Answer::Started,
            (Call::Status | Call::Start(_), BUSY) => Answer::Busy,
            (Call::Start(_), 409) => Answer::NotAllowed(refusal),
            (Call::Start(_), 404) if !refusal.reason.is_empty() => Answer::NotAllowed(refusal),
            _ => return Err(AnswerError::Refused(refusal)),
        })
    }
}

#[cfg(test)]
mod tests;
