//! Responses that no API server should send, to each program that may get them. An
//! invalid response is never a yes. The program reports it in one line and ends in time.

// Unusual responses that are accepted.
mod accepted;
// Status documents that are invalid.
mod document;
// Responses that are not valid HTTP, truncated, or have another status.
mod http;
// Servers that are slow, never answer, never accept, or close at once.
mod timing;

use crate::common::{Node, Ran, run_within};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{Fault, Rule};
use std::time::Duration;

const GET: &str = "GET /updates/status";

const POST: &str = "POST /actions/reboot";

/// The time limit for a run with `-timeout 2s` or with an immediate response, on a busy
/// machine.
const SOON: Duration = Duration::from_secs(30);

/// The programs, with the argument that makes them read the status first.
const READERS: [(&str, &str); 3] =
    [("checker", "-refresh=false"), ("reboot", "-if-ready"), ("updater", "-one-time")];

/// The output and the exit status 3 of a program whose call failed.
fn failed(program: &str, flag: &str, why: &str) -> Ran {
    let stderr = match (program, flag) {
        ("updater", _) => {
            let why = why.replace('\\', "\\\\").replace('"', "\\\"");
            format!(
                "time=TIME level=error event=api_lost msg=\"the API is unavailable\" call=status \
                 error=\"{why}\" socket=SOCKET\n"
            )
        }
        ("reboot", "") => {
            format!("bottlerocket-reboot: cannot reboot the node through SOCKET: {why}\n")
        }
        _ => format!("bottlerocket-{program}: cannot read the update status from SOCKET: {why}\n"),
    };
    Ran { status: Some(3), stdout: String::new(), stderr }
}

/// Runs a program, which must end soon.
fn run(node: &Node, program: &str, arguments: &[&str]) -> Ran {
    let mut ran = run_within(SOON, node.program(program).args(arguments));
    ran.stderr = node.mask(&ran.stderr);
    if let Some((_, rest)) = ran.stderr.strip_prefix("time=").and_then(|rest| rest.split_once(' '))
    {
        ran.stderr = format!("time=TIME {rest}");
    }
    for text in [&ran.stdout, &ran.stderr] {
        let hidden = |character: char| {
            character.is_control()
                || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(text.lines().all(|line| !line.contains(hidden)), "{program}: {text:?}");
    }
    ran
}

/// A node that is ready. Because of the fault, no program may find out.
fn node(fault: Fault) -> Node {
    let node = Node::after(&[Refresh, Prepare, Activate]);
    node.inject(Rule::from(fault).forever());
    node
}

fn with_body(status: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The shortest document that is a yes: 24 bytes.
const READY: &str = "{\"update_state\":\"Ready\"}";

/// A yes after headers with these lines.
fn ready(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{READY}").into_bytes()
}

/// A yes after complete headers with these lines.
fn with_head(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{lines}content-length: 24\r\n\r\n{READY}").into()
}
