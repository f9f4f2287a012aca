//! Why a call has no usable answer, and what the operator can do about it.

use crate::api::status::DocumentError;
use crate::http::response::{HttpError, Progress};
use crate::text::duration::HumanDuration;
use crate::text::errno::ErrnoText;
use crate::text::excerpt::{Excerpt, Sanitized};
use crate::text::{Show, display, put};
use core::time::Duration;
use heapless::VecView;
use rustix::io::Errno;

/// The status code while an update command holds the lock.
pub(super) const LOCKED: u16 = 423;
/// The status code if the API was too busy to handle the request. Its only worker was
/// blocked for over 5 s, by a slow reboot for example. Then this answers all requests
/// that were waiting, and none of them is carried out.
pub(super) const TOO_BUSY: u16 = 408;

/// A response whose status code says that the API refuses the call.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The HTTP status code.
    pub code: u16,
    /// The body: the API's reason, for people.
    pub reason: &'a Excerpt,
}

impl Show for Refusal<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let Self { code, reason } = *self;
        match (code, reason.is_empty()) {
            (TOO_BUSY, _) => put!(buffer, "the API was too busy to handle the request (408)"),
            (404, true) => put!(buffer, "the API does not know this call (404)"),
            (_, true) => put!(buffer, "the API returned ", code, " without a reason"),
            (_, false) => put!(buffer, "the API returned ", code, ": ", reason),
        }
    }
}
display!(Refusal<'_>);

/// Why a response is not a usable answer.
#[derive(Debug, Clone, Copy)]
pub enum AnswerError<'a> {
    /// The response is not valid HTTP.
    Http(HttpError),
    /// The connection was closed before the response was complete.
    Truncated(Progress),
    /// The status document in the response is invalid.
    Document(DocumentError<'a>),
    /// The API refuses the call.
    Refused(Refusal<'a>),
}

impl Show for AnswerError<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::Http(error) => put!(buffer, error),
            Self::Document(error) => put!(buffer, error),
            Self::Refused(refusal) => put!(buffer, refusal),
            Self::Truncated(Progress::InBody { received, length }) => {
                put!(buffer, "connection closed after ", received, " of ", length);
                put!(buffer, " bytes of the response body");
            }
            Self::Truncated(Progress::InHead) => {
                put!(buffer, "connection closed in the middle of the response headers");
            }
            Self::Truncated(Progress::Nothing | Progress::Complete) => {
                put!(buffer, "connection closed before a response");
            }
        }
    }
}
display!(AnswerError<'_>);

/// Why a call has no usable answer.
#[derive(Debug, Clone, Copy)]
pub enum CallError<'a> {
    /// The kernel refuses a resource that the call needs, such as a socket.
    Setup(Errno),
    /// No connection could be made.
    Connect(Errno),
    /// The request could not be sent, or only a part of it.
    Send(Errno),
    /// The response could not be received.
    Receive(Errno),
    /// The timeout was over before the whole request was sent.
    SendTimeout,
    /// The timeout was over before the response was complete.
    Timeout(Progress),
    /// The response is not a usable answer.
    Answer(AnswerError<'a>),
}

/// A class of [`CallError`]s, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The kernel refuses a resource that the call needs, whatever the API does.
    Setup,
    /// Nobody listens on the socket, or the socket is missing.
    Unreachable,
    /// No connection could be made, for another reason.
    Connect,
    /// The connection broke.
    Disconnected,
    /// The timeout was over.
    Timeout,
    /// The response is not understood.
    InvalidResponse,
    /// The API refuses the call.
    Refused,
}

impl ErrorKind {
    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "call_setup",
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
    /// Whether the API may have received the request.
    pub fn may_have_been_sent(&self) -> bool {
        matches!(self, Self::Receive(_) | Self::Timeout(_) | Self::Answer(_))
    }

    /// The error itself, if the connection broke after the request was sent and
    /// before the response was complete.
    pub fn as_disconnect(&self) -> Option<CallError<'static>> {
        match *self {
            Self::Receive(errno) => Some(CallError::Receive(errno)),
            Self::Answer(AnswerError::Truncated(progress)) => {
                Some(CallError::Answer(AnswerError::Truncated(progress)))
            }
            _ => None,
        }
    }

    /// Whether the API refuses the call.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Answer(AnswerError::Refused(_)))
    }

    /// Whether the call had no effect and may succeed if it is repeated: the socket is
    /// missing or refuses connections, the request could not be sent, or the API was
    /// too busy (408) or locked (423).
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Connect(_) => self.is_stale_socket(),
            Self::Send(_) => true,
            Self::Answer(AnswerError::Refused(refusal)) => {
                matches!(refusal.code, TOO_BUSY | LOCKED)
            }
            _ => false,
        }
    }

    /// Whether the API refuses a reboot because the node is already shutting down.
    ///
    /// systemd-logind accepts a shutdown at once, and then waits while a service holds
    /// a delay lock, as the kubelet does for up to some minutes. Meanwhile it refuses
    /// another one with one of these texts (`src/login/logind-dbus.c` of older and of
    /// newer versions of systemd). `systemctl reboot` then fails, and the API answers with 500
    /// and the output of `systemctl`.
    pub fn is_already_shutting_down(&self) -> bool {
        let Self::Answer(AnswerError::Refused(refusal)) = self else { return false };
        refusal.code == 500
            && [
                "There's already a shutdown or sleep operation in progress",
                "already in progress, refusing requested reboot operation",
            ]
            .into_iter()
            .any(|text| refusal.reason.contains(text))
    }

    /// Whether the timeout was over.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::SendTimeout | Self::Timeout(_))
    }

    /// Whether nobody listens on the socket, or the socket is missing, or a directory
    /// is in its place. This lasts until the container restarts if the API server has
    /// made a new socket and the container has the old one mounted.
    pub fn is_stale_socket(&self) -> bool {
        matches!(
            self,
            Self::Connect(Errno::CONNREFUSED | Errno::NOENT | Errno::NOTDIR | Errno::ISDIR)
        )
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(_) if self.is_stale_socket() => ErrorKind::Unreachable,
            Self::Connect(_) => ErrorKind::Connect,
            Self::SendTimeout | Self::Timeout(_) => ErrorKind::Timeout,
            Self::Setup(_) => ErrorKind::Setup,
            Self::Send(_) | Self::Receive(_) => ErrorKind::Disconnected,
            Self::Answer(AnswerError::Truncated(_)) => ErrorKind::Disconnected,
            Self::Answer(AnswerError::Refused(_)) => ErrorKind::Refused,
            Self::Answer(_) => ErrorKind::InvalidResponse,
        }
    }
}

/// What the operator can do about a connection that was refused with `errno`; empty
/// if that is not known.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT | Errno::NOTDIR => {
            " (is the API server running? is this a Bottlerocket node, \
             and is the socket mounted here?)"
        }
        Errno::ISDIR => {
            " (the API server cannot start while this directory exists: remove it on the node)"
        }
        Errno::CONNREFUSED => {
            " (is the API server running? if it has made a new socket, \
             restart the container that still mounts the old one)"
        }
        Errno::ACCESS | Errno::PERM => {
            " (needs uid 0 or group 274, and the SELinux type control_t)"
        }
        _ => "",
    }
}

impl Show for CallError<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match *self {
            Self::Setup(errno) => put!(buffer, "cannot set up the call: ", ErrnoText(errno)),
            Self::Connect(errno) => {
                put!(buffer, "cannot connect: ", ErrnoText(errno), advice(errno));
            }
            Self::Send(errno) => put!(buffer, "cannot send the request: ", ErrnoText(errno)),
            Self::Receive(errno) => {
                put!(buffer, "cannot receive the response: ", ErrnoText(errno));
            }
            Self::SendTimeout => put!(buffer, "timed out connecting to the API"),
            Self::Timeout(Progress::Nothing) => {
                put!(buffer, "timed out waiting for a response");
            }
            Self::Timeout(_) => put!(buffer, "timed out reading the response"),
            Self::Answer(error) => put!(buffer, error),
        }
    }
}
display!(CallError<'_>);

/// A call that failed. Displayed, it is one line: what was tried, on which socket,
/// what came back, and what the operator can do about it.
#[derive(Debug, Clone, Copy)]
pub struct FailedCall<'a> {
    /// What was tried, as in "cannot ...".
    pub tried: &'a str,
    /// The path of the socket.
    pub socket: &'a [u8],
    /// What came back.
    pub error: CallError<'a>,
    /// The timeout of the call: the value of `-timeout`.
    pub timeout: Duration,
}

impl Show for FailedCall<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let Self { tried, socket, error, timeout } = self;
        put!(buffer, "cannot ", tried, " ", Sanitized(socket), ": ", error);
        if error.is_timeout() {
            put!(buffer, " (-timeout ", HumanDuration(*timeout), ")");
        }
    }
}
display!(FailedCall<'_>);
