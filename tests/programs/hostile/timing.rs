//! Servers that are slow, never answer, never accept, or close at once.

use super::{GET, POST, READY, SOON, failed, node, run};
use crate::common::{Directory, Node, Ran, program, run_within};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{Fault, Rule, Then};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

/// A timeout that is long enough for an immediate response, even on a busy machine.
const SHORT: [&str; 2] = ["-timeout", "2s"];

const RUNS: [(&str, &str); 3] = [("checker", "-refresh"), ("reboot", "-if-ready"), ("reboot", "")];

/// The response never comes, or is too slow. The programs' own timeout ends the run.
#[test]
fn slow_responses_time_out() {
    let none = "timed out waiting for a response (-timeout 2s)";
    let some = "timed out reading the response (-timeout 2s)";
    let silence = |bytes: &str| Fault::Instead(bytes.into(), Then::Silence);
    let drip = |millis| Fault::Drip(Duration::from_millis(millis));
    let cases = [
        ("silence", Fault::silence(), none),
        ("a byte", silence("H"), some),
        ("half of the headers", silence("HTTP/1.1 204 No Content\r\n"), some),
        ("an interim response", silence("HTTP/1.1 100 Continue\r\n\r\n"), some),
        ("half a body", silence("HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"update_"), some),
        (
            "a document shorter than its content-length",
            silence(&format!("HTTP/1.1 200 OK\r\ncontent-length: 25\r\n\r\n{READY}")),
            some,
        ),
        ("a valid response, a byte per hour", drip(3_600_000), none),
        ("a valid response, a byte per second", drip(1000), some),
        ("a valid response, a byte every 50 ms", drip(50), some),
    ];
    // All runs at the same time, because each takes two seconds.
    thread::scope(|scope| {
        for (name, fault, why) in cases {
            for (program, flag) in RUNS {
                let fault = fault.clone();
                scope.spawn(move || {
                    let node = node(fault);
                    let flags = [SHORT[0], SHORT[1], flag];
                    let flags = if flag.is_empty() { &flags[..2] } else { &flags };
                    assert_eq!(run(&node, program, flags), failed(program, flag, why), "{name}");
                    let asked = if flag.is_empty() { POST } else { GET };
                    assert_eq!(node.requested(), [asked], "{name}");
                });
            }
        }
    });
}

/// The timeout also applies if there is always something to read.
#[test]
fn body_that_never_stops_times_out() {
    let body = "HTTP/1.1 200 OK\r\ncontent-length: 16777216\r\n\r\n";
    let flood = Fault::Flood(body.into(), vec![b' '; 65536]);
    let node = node(flood);
    for (program, flags) in [("checker", &[][..]), ("reboot", &["-if-ready"])] {
        // No program can read the whole body in this time.
        let ran = run(&node, program, &[&["-timeout", "5ms"], flags].concat());
        let errors = ["timed out waiting for a response", "timed out reading the response"];
        let late = |why: &&str| ran == failed(program, "-", &format!("{why} (-timeout 5ms)"));
        assert!(errors.iter().any(late), "{ran:?}");
    }
}

/// The server sends a complete response and keeps the connection open. The programs do not
/// wait for the close.
#[test]
fn complete_response_needs_no_close() {
    let node = Node::after(&[Refresh, Prepare, Activate]);
    node.inject(Rule::from(Fault::Cut(usize::MAX, Then::Silence)).forever());
    // A run that waits until this timeout never ends.
    let forever = ["-timeout", "1000000h"];
    assert_eq!(run(&node, "checker", &forever).status, Some(0));
    let on_its_way =
        Ran { status: Some(0), stdout: "the reboot is on its way\n".into(), stderr: "".into() };
    assert_eq!(run(&node, "reboot", &[&forever[..], &["-if-ready"]].concat()), on_its_way);
}

/// A server that has a queue of connections and never accepts one, until the queue is
/// full.
#[test]
fn server_that_never_accepts_times_out() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let directory = Directory::new();
    let path = directory.socket();
    let path = path.to_str().unwrap();
    let server = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&server, &SocketAddrUnix::new(path).unwrap()).unwrap();
    for (backlog, why) in [
        (100, "timed out waiting for a response (-timeout 2s)"),
        // The earlier connections are still in the queue.
        (0, "timed out connecting to the API (-timeout 2s)"),
    ] {
        listen(&server, backlog).unwrap();
        thread::scope(|scope| {
            for (name, flag) in RUNS {
                scope.spawn(move || {
                    let mut command = program(name);
                    command.args(["-socket", path]).args(SHORT);
                    command.args(Some(flag).filter(|flag| !flag.is_empty()));
                    let mut ran = run_within(SOON, &mut command);
                    ran.stderr = ran.stderr.replace(path, "SOCKET");
                    assert_eq!(ran, failed(name, flag, why));
                });
            }
        });
    }
}

/// The server closes before it reads the request. Which call fails first depends on
/// timing, but the result is never a yes.
#[test]
fn server_that_closes_at_once_is_an_error() {
    let directory = Directory::new();
    let path = directory.socket();
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    for _ in 0..20 {
        let mut ran = run_within(SOON, program("checker").arg("-socket").arg(&path));
        ran.stderr = ran.stderr.replace(path.to_str().unwrap(), "SOCKET");
        let errors = [
            "cannot send the request: broken pipe",
            "cannot receive the response: connection reset",
            "connection closed before a response",
        ];
        assert!(errors.iter().any(|why| ran == failed("checker", "", why)), "{ran:?}");
    }
}
