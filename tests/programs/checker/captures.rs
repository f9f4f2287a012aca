//! Answers captured from a real node.

use super::{
    AVAILABLE, IDLE, JUST_BOOTED, LOCK_TIMEOUT, LOCKED, READY, STAGED, STAGED_ALONE, failed,
    printed,
};
use crate::common::{CannedServer, run};
use std::{fs, thread};

const NOT_204: &str = "SOCKET: the API returned 204 without a reason";

/// The captured answers, with the exit status and the output of the checker. Most are
/// answers to other requests. With exit status 3, the output is the end of the message.
const TRANSCRIPTS: [(&str, i32, &str); 24] = [
    ("action-prepare-during-refresh", 1, LOCKED),
    ("activate-204", 3, NOT_204),
    ("connection-close", 1, AVAILABLE),
    ("connection-close-404", 3, "SOCKET: the API does not know this call (404)"),
    ("connection-close-refresh-204", 3, NOT_204),
    ("deactivate-204", 3, NOT_204),
    ("pipelined-action-then-status", 3, NOT_204),
    ("prepare-204", 3, NOT_204),
    (
        "prepare-disallowed-ready",
        3,
        "SOCKET: the API returned 409: Update action not allowed according to update state",
    ),
    ("prepare-no-chosen-update", 1, JUST_BOOTED),
    ("reboot-204", 3, NOT_204),
    (
        "reboot-500",
        3,
        "SOCKET: the API returned 500: Failed to reboot, exit code: 1, stderr: Operation \
         inhibited by \"backup\" (PID 123 \"systemd-inhib\"), reason is \"a \\ é\". Please retry \
         operation after closing inhibitors and logging out other users.",
    ),
    ("refresh-204", 3, NOT_204),
    ("slow-request-408", 3, "SOCKET: the API was too busy to handle the request (408)"),
    ("status-available", 1, AVAILABLE),
    ("status-during-refresh", 1, LOCKED),
    ("status-failed-prepare", 1, AVAILABLE),
    ("status-idle", 1, IDLE),
    ("status-lock-shared-by-other", 1, JUST_BOOTED),
    ("status-ready", 0, READY),
    ("status-staged", 1, STAGED),
    ("status-staged-no-chosen", 1, STAGED_ALONE),
    ("status-uninitialized", 1, JUST_BOOTED),
    ("unknown-path-404", 3, "SOCKET: the API does not know this call (404)"),
];

fn transcript(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/transcripts/{name}.http", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Each answer comes whole, byte by byte, and with a yes after it.
#[test]
fn understands_captured_answers_in_any_pieces() {
    for (name, status, line) in TRANSCRIPTS {
        let whole = transcript(name);
        let bytewise = whole.iter().map(|byte| vec![*byte]).collect();
        let trailed = [whole.clone(), transcript("status-ready")].concat();
        let ways = [("whole", vec![whole]), ("bytewise", bytewise), ("trailed", vec![trailed])];
        thread::scope(|scope| {
            for (how, pieces) in ways {
                scope.spawn(move || {
                    let server = CannedServer::start(pieces);
                    // Only a lock uses up the timeout.
                    let is_retried = line == LOCKED || name.ends_with("408");
                    let timeout = if is_retried { LOCK_TIMEOUT } else { ["-timeout", "1m"] };
                    let mut ran = run(server.program("checker").args(timeout));
                    ran.stderr = server.mask(&ran.stderr);
                    let expected = if status == 3 { failed(line) } else { printed(status, line) };
                    assert_eq!(ran, expected, "{name}, {how}");
                    let mut requested = server.requested();
                    requested.dedup();
                    assert_eq!(requested, ["GET /updates/status HTTP/1.1"], "{name}, {how}");
                });
            }
        });
    }
}

#[test]
fn table_has_each_captured_answer() {
    let directory = fs::read_dir(format!("{}/tests/transcripts", env!("CARGO_MANIFEST_DIR")));
    let files = directory.unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        files.filter_map(|file| Some(file.strip_suffix(".http")?.to_string())).collect();
    names.sort();
    assert_eq!(names, TRANSCRIPTS.map(|(name, ..)| name));
}
