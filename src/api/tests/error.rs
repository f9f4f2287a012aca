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
            ErrorKind::Setup,
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

#[test]
fn calls_without_effect_are_worth_a_retry() {
    use AnswerError::{Refused, Truncated};
    let reason = Excerpt::default();
    let refused = |code| CallError::Answer(Refused(Refusal { code, reason: &reason }));
    for (error, worth_it) in [
        (CallError::Connect(Errno::CONNREFUSED), true),
        (CallError::Connect(Errno::NOENT), true),
        (CallError::Connect(Errno::ISDIR), true),
        (CallError::Connect(Errno::ACCESS), false),
        (CallError::Send(Errno::PIPE), true),
        (refused(408), true),
        (refused(423), true),
        (refused(409), false),
        (refused(500), false),
        (CallError::Receive(Errno::CONNRESET), false),
        (CallError::Answer(Truncated(Progress::Nothing)), false),
        (CallError::Timeout(Progress::Nothing), false),
        (CallError::SendTimeout, false),
        (CallError::Setup(Errno::MFILE), false),
    ] {
        assert_eq!(error.is_worth_a_retry(), worth_it, "{error}");
    }
}

#[test]
fn only_the_texts_of_logind_mean_that_the_node_is_already_shutting_down() {
    let old = "There's already a shutdown or sleep operation in progress";
    let new = "Action reboot already in progress, refusing requested reboot operation.";
    for (code, reason, expected) in [
        (
            500,
            format!("Failed to reboot, exit code: 1, stderr: Call to Reboot failed: {old}\n"),
            true,
        ),
        (500, format!("Failed to reboot, exit code: 1, stderr: {new}"), true),
        (500, format!("{}\n{old}", "much before it ".repeat(100)), true),
        (409, old.into(), false),
        (500, "already in progress".into(), false),
        (500, String::new(), false),
    ] {
        let mut excerpt = Excerpt::default();
        excerpt.push_bytes(reason.as_bytes());
        let refusal = Refusal { code, reason: &excerpt };
        let error = CallError::Answer(AnswerError::Refused(refusal));
        assert_eq!(error.is_already_shutting_down(), expected, "{code} {reason}");
    }
    assert!(!CallError::Timeout(Progress::Nothing).is_already_shutting_down());
}
