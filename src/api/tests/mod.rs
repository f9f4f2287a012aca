//! Tests of whole exchanges, on captured and on hostile bytes: whole, in pieces of
//! several sizes, cut off at each byte, and with trailing bytes.

extern crate std;
use super::*;
use crate::http::response::{HttpError, Progress};
use crate::text::excerpt::Excerpt;
use rustix::io::Errno;
use std::fmt::Write;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

mod document;
mod error;

/// A way for a call to fail, by its word in the scripts of the cycles and of the reboots.
pub(crate) fn call_error(word: &str) -> CallError<'static> {
    match word {
        "refused" => CallError::Connect(Errno::CONNREFUSED),
        "missing" => CallError::Connect(Errno::NOENT),
        "directory" => CallError::Connect(Errno::ISDIR),
        "denied" => CallError::Connect(Errno::ACCESS),
        "unsent" => CallError::Send(Errno::PIPE),
        "full" => CallError::SendTimeout,
        "break" => CallError::Answer(AnswerError::Truncated(Progress::Nothing)),
        "reset" => CallError::Receive(Errno::CONNRESET),
        "silence" => CallError::Timeout(Progress::Nothing),
        "garbage" => CallError::Answer(AnswerError::Http(HttpError::NotHttp)),
        "descriptors" => CallError::Setup(Errno::MFILE),
        other => panic!("no way to fail: {other}"),
    }
}

/// Pushes a response in pieces of `size` bytes, and describes the answer.
fn read(call: Call, bytes: &[u8], size: usize) -> String {
    let mut exchange = Exchange::new(call);
    for piece in bytes.chunks(size) {
        match exchange.push(piece) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => return error.to_string(),
        }
    }
    match exchange.finish() {
        Ok(Answer::Status(status)) => {
            let mut text = status.to_string();
            if let Some(last) = status.last_command {
                let (name, outcome, exit) = (last.name, last.outcome, last.exit_status);
                write!(text, "; {name} {outcome} {exit} [{}]", last.stderr).unwrap();
            }
            text
        }
        Ok(Answer::Uninitialized) => "no status".into(),
        Ok(Answer::Started) => "started".into(),
        Ok(Answer::Busy) => "busy".into(),
        Ok(Answer::NotAllowed(refusal)) => format!("not allowed: {refusal}"),
        Err(error) => error.to_string(),
    }
}

/// Pushes a response in pieces of several sizes, which must make no difference.
fn read_in_any_pieces(call: Call, bytes: &[u8]) -> String {
    let whole = read(call, bytes, usize::MAX);
    for size in [1, 3, 64] {
        assert_eq!(read(call, bytes, size), whole, "in pieces of {size}");
    }
    whole
}

fn with_body(status: &str, body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

fn document(body: &str) -> String {
    read_in_any_pieces(Call::Status, &with_body("200 OK", body.as_bytes()))
}

const PREPARE: Call = Call::Start(Command::Prepare);
const REFRESH: Call = Call::Start(Command::Refresh);

const TRANSCRIPTS: [(&str, Call, &str); 24] = [
    ("action-prepare-during-refresh", PREPARE, "busy"),
    ("activate-204", Call::Start(Command::Activate), "started"),
    ("connection-close", Call::Status, AVAILABLE),
    ("connection-close-404", Call::Status, "the API does not know this call (404)"),
    ("connection-close-refresh-204", REFRESH, "started"),
    ("deactivate-204", Call::Start(Command::Deactivate), "started"),
    ("pipelined-action-then-status", REFRESH, "started"),
    ("prepare-204", PREPARE, "started"),
    (
        "prepare-disallowed-ready",
        PREPARE,
        "not allowed: the API returned 409: Update action not allowed according to update state",
    ),
    (
        "prepare-no-chosen-update",
        PREPARE,
        "not allowed: the API returned 404: Previously chosen Update no longer exists",
    ),
    ("reboot-204", Call::Reboot, "started"),
    (
        "reboot-500",
        Call::Reboot,
        "the API returned 500: Failed to reboot, exit code: 1, stderr: Operation inhibited by \
         \"backup\" (PID 123 \"systemd-inhib\"), reason is \"a \\ é\". Please retry operation \
         after closing inhibitors and logging out other users.",
    ),
    ("refresh-204", REFRESH, "started"),
    ("slow-request-408", Call::Status, "the API was too busy to handle the request (408)"),
    ("status-available", Call::Status, AVAILABLE),
    ("status-during-refresh", Call::Status, "busy"),
    (
        "status-failed-prepare",
        Call::Status,
        "state Available, 1.26.1 is chosen but not prepared; running 1.26.0, variant \
         aws-k8s-1.30, arch x86_64; prepare Failed 17 [Error: could not write \"image\" \
         C:\\path\\to\\x tab éü ☃ 😀 <&> /slash/ red last line, no newline \
         bad-utf8:\u{fffd}\u{fffd}.]",
    ),
    (
        "status-idle",
        Call::Status,
        "state Idle, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64; \
         refresh Success 0 []",
    ),
    ("status-lock-shared-by-other", Call::Status, "no status"),
    (
        "status-ready",
        Call::Status,
        "state Ready, the next boot starts 1.26.1; running 1.26.0, variant aws-k8s-1.30, arch x86_64; \
         activate Success 0 []",
    ),
    (
        "status-staged",
        Call::Status,
        "state Staged, 1.26.1 is prepared but not activated; running 1.26.0, variant \
         aws-k8s-1.30, arch x86_64; prepare Success 0 []",
    ),
    (
        "status-staged-no-chosen",
        Call::Status,
        "state Staged, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64; \
         refresh Success 0 []",
    ),
    ("status-uninitialized", Call::Status, "no status"),
    ("unknown-path-404", Call::Status, "the API does not know this call (404)"),
];

const AVAILABLE: &str = "state Available, 1.26.1 is chosen but not prepared; running 1.26.0, \
                         variant aws-k8s-1.30, arch x86_64; refresh Success 0 []";

fn transcript(name: &str) -> Vec<u8> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    std::fs::read(format!("{directory}/{name}.http")).unwrap()
}

#[test]
fn every_transcript_is_understood_whole_in_pieces_and_with_trailing_bytes() {
    for (name, call, meaning) in TRANSCRIPTS {
        let bytes = transcript(name);
        assert_eq!(read_in_any_pieces(call, &bytes), meaning, "{name}");
        let mut more = bytes.clone();
        more.extend_from_slice(b"HTTP/1.1 500 Oops\r\ncontent-length: 1\r\n\r\n!");
        assert_eq!(read_in_any_pieces(call, &more), meaning, "{name} with trailing bytes");
    }
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let captured = std::fs::read_dir(directory)
        .unwrap()
        .filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "http");
    assert_eq!(captured.count(), TRANSCRIPTS.len(), "a capture has no row in the table");
}

#[test]
fn no_prefix_of_a_transcript_is_taken_for_the_whole() {
    for (name, call, _) in TRANSCRIPTS {
        // This one has two responses: the first is the answer.
        let bytes = match name {
            "pipelined-action-then-status" => transcript("refresh-204"),
            name => transcript(name),
        };
        for length in 0..bytes.len() {
            let meaning = read(call, &bytes[..length], usize::MAX);
            // A refusal counts even if its reason is cut off.
            let refused = meaning.starts_with("the API returned 500");
            if name == "reboot-500" && length >= 96 {
                assert!(refused, "{length}: {meaning}");
                continue;
            }
            assert!(meaning.starts_with("connection closed"), "{name}: {meaning}");
        }
    }
}

#[test]
fn every_byte_of_a_ready_answer_matters_or_changes_nothing_but_text() {
    let bytes = transcript("status-ready");
    for at in 0..bytes.len() {
        for replacement in [b'x', b'"', b'\\', b'{', b'}', b',', b'0', b'\n', 0, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = replacement;
            // No change makes a panic, or another state.
            let meaning = read(Call::Status, &bytes, usize::MAX);
            for other in ["state Idle", "state Available", "state Staged"] {
                assert!(!meaning.contains(other), "byte {at} as {replacement}: {meaning}");
            }
        }
    }
}

#[test]
fn each_call_has_its_request() {
    for (call, line) in [
        (Call::Status, "GET /updates/status"),
        (REFRESH, "POST /actions/refresh-updates"),
        (PREPARE, "POST /actions/prepare-update"),
        (Call::Start(Command::Activate), "POST /actions/activate-update"),
        (Call::Start(Command::Deactivate), "POST /actions/deactivate-update"),
        (Call::Reboot, "POST /actions/reboot"),
    ] {
        let whole = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(call.request(), whole.as_bytes());
    }
}

#[test]
fn status_codes_that_a_call_does_not_expect() {
    for (call, code, body, meaning) in [
        (Call::Status, 204, "", "the API returned 204 without a reason"),
        (Call::Status, 404, "", "the API does not know this call (404)"),
        (Call::Status, 404, " \n", "the API does not know this call (404)"),
        (Call::Status, 404, "not here", "no status"),
        (Call::Status, 409, "no", "the API returned 409: no"),
        (Call::Status, 500, "{\"update_state\":\"Ready\"}", READY_IN_500),
        (Call::Status, 503, "", "the API returned 503 without a reason"),
        (REFRESH, 200, "{}", "the API returned 200: {}"),
        (REFRESH, 404, "", "the API does not know this call (404)"),
        (REFRESH, 423, "Update lock held", "busy"),
        (REFRESH, 500, " a\nb ", "the API returned 500: a b"),
        (REFRESH, 202, "", "the API returned 202 without a reason"),
        (REFRESH, 408, "", "the API was too busy to handle the request (408)"),
        (Call::Reboot, 200, "", "started"),
        (Call::Reboot, 202, "accepted", "started"),
        (Call::Reboot, 299, "{}", "started"),
        (Call::Reboot, 300, "", "the API returned 300 without a reason"),
        (Call::Reboot, 404, "", "the API does not know this call (404)"),
        (Call::Reboot, 409, "no", "the API returned 409: no"),
        (Call::Reboot, 423, "locked", "the API returned 423: locked"),
    ] {
        let answer = with_body(&format!("{code} X"), body.as_bytes());
        assert_eq!(read_in_any_pieces(call, &answer), meaning, "{call:?} {code}");
    }
}

const READY_IN_500: &str = "the API returned 500: {\"update_state\":\"Ready\"}";

#[test]
fn busy_only_once_the_response_is_complete() {
    for (code, busy, too_busy) in
        [(423, true, false), (408, false, true), (404, false, false), (204, false, false)]
    {
        let answer = with_body(&format!("{code} X"), if code == 204 { b"" } else { b"held" });
        let mut exchange = Exchange::new(PREPARE);
        for byte in &answer {
            assert!(!exchange.is_busy() && !exchange.is_too_busy(), "{code}");
            exchange.push(&[*byte]).unwrap();
        }
        assert_eq!((exchange.is_busy(), exchange.is_too_busy()), (busy, too_busy), "{code}");
    }
}
