//! Tests of the messages about a call without a usable answer.

use super::*;
use crate::api::status::DocumentError;
use crate::http::response::HttpError;
use core::time::Duration;
use rustix::io::Errno;

/// Of each error: its text, its class, whether the API may have received the
/// request, and whether the connection broke after that.
#[test]
fn errors_have_a_text_and_a_class() {
    use AnswerError::{Document, Http, Refused, Truncated};
    use CallError::{Connect, Receive, Send, SendTimeout, Setup, Timeout};
    use ErrorKind::{Disconnected, InvalidResponse, Unreachable};
    let reason = Excerpt::default();
    let refused = |code| CallError::Answer(Refused(Refusal { code, reason: &reason }));
    let truncated = |progress| CallError::Answer(Truncated(progress));
    for (error, text, kind, may_have_come, broke) in [
        (
            Setup(Errno::MFILE),
            "cannot set up the call: too many open files",
            Disconnected,
            false,
            false,
        ),
        (
            Connect(Errno::NOENT),
            "cannot connect: no such file or directory (is the API server running? is this a \
             Bottlerocket node, and is the socket mounted here?)",
            Unreachable,
            false,
            false,
        ),
        (
            Connect(Errno::ISDIR),
            "cannot connect: is a directory (the API server cannot start while this directory \
             exists: remove it on the node)",
            Unreachable,
            false,
            false,
        ),
        (
            Connect(Errno::NOTDIR),
            "cannot connect: not a directory (is the API server running? is this a Bottlerocket \
             node, and is the socket mounted here?)",
            Unreachable,
            false,
            false,
        ),
        (
            Connect(Errno::CONNREFUSED),
            "cannot connect: connection refused (is the API server running? if it has made a new \
             socket, restart the container that still mounts the old one)",
            Unreachable,
            false,
            false,
        ),
        (
            Connect(Errno::ACCESS),
            "cannot connect: permission denied (needs uid 0 or group 274, and the SELinux type \
             control_t)",
            ErrorKind::Connect,
            false,
            false,
        ),
        (
            Connect(Errno::PERM),
            "cannot connect: operation not permitted (needs uid 0 or group 274, and the SELinux \
             type control_t)",
            ErrorKind::Connect,
            false,
            false,
        ),
        (
            Connect(Errno::PROTOTYPE),
            "cannot connect: wrong type of socket",
            ErrorKind::Connect,
            false,
            false,
        ),
        (Send(Errno::PIPE), "cannot send the request: broken pipe", Disconnected, false, false),
        (
            Receive(Errno::CONNRESET),
            "cannot receive the response: connection reset",
            Disconnected,
            true,
            true,
        ),
        (SendTimeout, "timed out connecting to the API", ErrorKind::Timeout, false, false),
        (
            Timeout(Progress::Nothing),
            "timed out waiting for a response",
            ErrorKind::Timeout,
            true,
            false,
        ),
        (
            Timeout(Progress::InBody { received: 1, length: 2 }),
            "timed out reading the response",
            ErrorKind::Timeout,
            true,
            false,
        ),
        (
            truncated(Progress::Nothing),
            "connection closed before a response",
            Disconnected,
            true,
            true,
        ),
        (
            truncated(Progress::InHead),
            "connection closed in the middle of the response headers",
            Disconnected,
            true,
            true,
        ),
        (
            truncated(Progress::InBody { received: 12, length: 345 }),
            "connection closed after 12 of 345 bytes of the response body",
            Disconnected,
            true,
            true,
        ),
        (
            CallError::Answer(Http(HttpError::MissingContentLength)),
            "the response has no content-length",
            InvalidResponse,
            true,
            false,
        ),
        (
            CallError::Answer(Document(DocumentError::NoState)),
            "the status document has no update_state",
            InvalidResponse,
            true,
            false,
        ),
        (refused(503), "the API returned 503 without a reason", ErrorKind::Refused, true, false),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), kind, "{text}");
        assert_eq!(error.may_have_been_sent(), may_have_come, "{text}");
        let the_break = error.as_disconnect().map(|error| error.to_string());
        assert_eq!(the_break.as_deref(), broke.then_some(text));
        assert_eq!(error.is_refusal(), kind == ErrorKind::Refused, "{text}");
        assert_eq!(error.is_timeout(), kind == ErrorKind::Timeout, "{text}");
        assert_eq!(error.is_stale_socket(), kind == Unreachable, "{text}");
        // A timeout is shown with its length.
        let (tried, socket) = ("ask", &b"/run/\x1bapi.sock"[..]);
        let failed = FailedCall { tried, socket, error, timeout: Duration::from_secs(90) };
        let limit = if kind == ErrorKind::Timeout { " (-timeout 1m30s)" } else { "" };
        assert_eq!(failed.to_string(), format!("cannot ask /run/api.sock: {text}{limit}"));
    }
}
