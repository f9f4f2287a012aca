//! The checker: its exit status, which Kured acts on, and its output, which operators
//! read. It runs against a simulated node, a missing socket, and answers captured from a
//! real node.

// Answers captured from a real node.
mod captures;
// The update lock of another process.
mod lock;
// The process: output streams and system calls.
mod process;
// Errors of the socket.
mod socket;

use crate::common::{Node, Ran, run, run_within};
use bottlerocket_simulator::Command::{self, Activate, Deactivate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::{Fault, Lock, Rule};
use std::time::Duration;

const GET: &str = "GET /updates/status";

const POST: &str = "POST /actions/refresh-updates";

/// The time limit for a run, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn printed(status: i32, stdout: &str) -> Ran {
    Ran { status: Some(status), stdout: format!("{stdout}\n"), stderr: String::new() }
}

fn failed(why: &str) -> Ran {
    let stderr = format!("bottlerocket-checker: cannot read the update status from {why}\n");
    Ran { status: Some(3), stdout: String::new(), stderr }
}

const CANNOT_ACTIVATE: &str =
    "no: the last activate has failed, so the update must be prepared again: ";
const JUST_BOOTED: &str = "no: no refresh since the node booted";

const IDLE: &str =
    "no: state Idle, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64";

const AVAILABLE: &str = "no: state Available, 1.26.1 is chosen but not prepared; \
                         running 1.26.0, variant aws-k8s-1.30, arch x86_64";

const STAGED: &str = "no: state Staged, 1.26.1 is prepared but not activated; \
                      running 1.26.0, variant aws-k8s-1.30, arch x86_64";

const STAGED_ALONE: &str = "no: state Staged, no update chosen; \
                            running 1.26.0, variant aws-k8s-1.30, arch x86_64";

const READY: &str = "yes: state Ready, the next boot starts 1.26.1; \
                     running 1.26.0, variant aws-k8s-1.30, arch x86_64";

/// A node after these commands and the steps in `then`.
fn node_after(commands: &[Command], then: impl FnOnce(&Node)) -> Node {
    let node = Node::after(commands);
    then(&node);
    node
}

/// Changes the available versions, and runs a refresh.
fn refresh_finds(node: &Node, versions: &[&str]) {
    node.change(|node, _| {
        node.options.offer = versions.iter().map(|version| version.to_string()).collect();
    });
    node.run(Refresh).unwrap();
}

fn fails(node: &Node, command: Command) {
    node.change(|node, _| node.fail_next(command, 1, "no route to host"));
    node.run(command).unwrap();
}

const STEPS: [Command; 3] = [Refresh, Prepare, Activate];

/// Each state of a node while no other process holds an exclusive lock, with the exit
/// status and the output of the checker.
fn states() -> Vec<(&'static str, Node, i32, &'static str)> {
    let locked = |node: &Node| node.set_lock(Some(Lock::Shared));
    vec![
        ("just booted", Node::after(&[]), 1, JUST_BOOTED),
        ("just booted, shared lock", node_after(&[], locked), 1, JUST_BOOTED),
        (
            "only a refused command",
            node_after(&[], |node| assert!(node.run(Prepare).is_err())),
            1,
            IDLE,
        ),
        ("no update found", node_after(&[], |node| refresh_finds(node, &[])), 1, IDLE),
        (
            "refresh failed, with an update chosen before",
            node_after(&[Refresh], |node| fails(node, Refresh)),
            1,
            "no: state Idle, 1.26.1 is chosen but not prepared; \
             running 1.26.0, variant aws-k8s-1.30, arch x86_64",
        ),
        ("available", Node::after(&STEPS[..1]), 1, AVAILABLE),
        ("available, shared lock", node_after(&STEPS[..1], locked), 1, AVAILABLE),
        ("prepare failed", node_after(&STEPS[..1], |node| fails(node, Prepare)), 1, AVAILABLE),
        ("staged", Node::after(&STEPS[..2]), 1, STAGED),
        ("activate failed", node_after(&STEPS[..2], |node| fails(node, Activate)), 1, STAGED),
        (
            "staged, another version is chosen",
            node_after(&STEPS[..2], |node| refresh_finds(node, &["1.27.0"])),
            1,
            "no: state Staged, 1.27.0 is chosen but not prepared; \
             running 1.26.0, variant aws-k8s-1.30, arch x86_64",
        ),
        (
            "staged, no version is chosen",
            node_after(&STEPS[..2], |node| refresh_finds(node, &[])),
            1,
            STAGED_ALONE,
        ),
        ("ready", Node::after(&STEPS), 0, READY),
        ("ready, shared lock", node_after(&STEPS, locked), 0, READY),
        (
            "ready, another version is chosen",
            node_after(&STEPS, |node| refresh_finds(node, &["1.27.0"])),
            1,
            "no: state Ready, the next boot starts 1.26.1, but 1.27.0 is chosen; \
             running 1.26.0, variant aws-k8s-1.30, arch x86_64",
        ),
        (
            "ready, no version is chosen",
            node_after(&STEPS, |node| refresh_finds(node, &[])),
            1,
            "no: state Ready, the next boot starts 1.26.1, but no update is chosen; \
             running 1.26.0, variant aws-k8s-1.30, arch x86_64",
        ),
        // A failed refresh does not change what is chosen.
        ("ready, refresh failed", node_after(&STEPS, |node| fails(node, Refresh)), 0, READY),
        ("deactivated", node_after(&STEPS, |node| node.run(Deactivate).unwrap()), 1, STAGED),
        ("rebooted", node_after(&STEPS, |node| node.run(Reboot).unwrap()), 1, JUST_BOOTED),
    ]
}

#[test]
fn reports_every_state_and_only_reads() {
    for (name, node, status, line) in states() {
        assert_eq!(run(&mut node.program("checker")), printed(status, line), "{name}");
        assert_eq!(node.requested(), [GET], "{name}");
    }
}

#[test]
fn requests_a_refresh_afterwards_in_every_state() {
    for (name, node, status, line) in states() {
        let ran = run(node.program("checker").arg("-refresh"));
        assert_eq!(ran, printed(status, line), "{name}");
        assert_eq!(node.requested(), [GET, POST], "{name}");
    }
}

/// A refresh would replace the failure in the status, and the next check would say yes.
#[test]
fn failed_activate_is_not_hidden_by_a_refresh() {
    let node = node_after(&STEPS[..2], |node| fails(node, Activate));
    let ran = run(node.program("checker").args(["-staged", "-refresh"]));
    let line = STAGED.replace("no: ", CANNOT_ACTIVATE);
    assert_eq!(ran, printed(1, &line));
    assert_eq!(node.requested(), [GET]);
}

/// The next check will see the result of a refresh, so this one ignores it.
#[test]
fn failed_refresh_does_not_change_the_answer() {
    let answer = |text: &str| Fault::raw(format!("HTTP/1.1 {text}"));
    for (name, fault) in [
        ("closed at once", Fault::close()),
        ("refused with a reason", answer("500 \r\ncontent-length: 2\r\n\r\nno")),
        ("refused by the state", answer("409 \r\ncontent-length: 2\r\n\r\nno")),
        ("locked", answer("423 \r\ncontent-length: 2\r\n\r\nno")),
        ("garbage", Fault::raw("garbage")),
        (
            "a status in place of a 204",
            answer("200 \r\ncontent-length: 24\r\n\r\n{\"update_state\":\"Ready\"}"),
        ),
        ("silence", Fault::silence()),
        ("drip", Fault::Drip(Duration::from_secs(1))),
        ("flood", Fault::Flood(b"HTTP/1.1 204 \r\n".into(), b"a: b\r\n".into())),
    ] {
        for (steps, status, line) in [(&STEPS[..1], 1, AVAILABLE), (&STEPS, 0, READY)] {
            let node = Node::after(steps);
            node.inject(Rule::from(fault.clone()).on("POST", "/actions/refresh-updates"));
            let mut command = node.program("checker");
            let ran = run_within(SOON, command.args(["-refresh", "-timeout", "1s"]));
            assert_eq!(ran, printed(status, line), "{name}, {steps:?}");
            assert_eq!(node.requested(), [GET, POST], "{name}, {steps:?}");
        }
    }
}

/// The checker sends its last request shortly before the end of this time.
const LOCK_TIMEOUT: [&str; 2] = ["-timeout", "3s"];

const LOCKED: &str = "no: update lock held for 3s";

const MISSING: &str = "cannot connect: no such file or directory \
                       (is the API server running? is this a Bottlerocket node, and is the socket mounted here?)";

#[test]
fn api_that_is_too_busy_is_asked_again() {
    let node = Node::after(&STEPS);
    let busy = Fault::raw("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
    for (method, path) in [("GET", "/updates/status"), ("POST", "/actions/refresh-updates")] {
        node.inject(Rule::from(busy.clone()).on(method, path));
    }
    assert_eq!(run(node.program("checker").arg("-refresh")), printed(0, READY));
    assert_eq!(node.requested(), [GET, GET, POST, POST]);
}
