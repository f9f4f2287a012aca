//! The simulated node and the simulated fleet.

// Answers, compared byte for byte with those of a real node.
mod captures;
// The configuration file.
mod config;
// The command line.
mod command_line;
// The demo, when a program fails.
mod demo;
// The state that outlives the simulator.
mod disk;
// Faults, and the requests that they hit.
mod faults;
// The simulated fleet.
mod fleet;
// The update state: commands, refusals, failures, the update lock.
mod node;
// The inactive partition set, and why an activate fails.
mod partitions;
// Reboots and boot ids.
mod reboot;
// The parser of requests, compared with that of the real server.
mod requests;
// The server: connections, the socket, the log.
mod server;

use bottlerocket_simulator::Command::{self, Activate, Prepare, Refresh};
use bottlerocket_simulator::State::{self, Available, Idle, Ready, Staged};
use bottlerocket_simulator::{Node, Options, Refusal, Simulator};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

const STATUS: &str = "/updates/status";

const NOT_YET: &str = "Update status is uninitialized, refresh-updates to initialize it";

const NOT_ALLOWED: &str = "Update action not allowed according to update state";

const NO_CHOSEN: &str = "Previously chosen Update no longer exists";

const LOCKED: &str = "Update lock held";

const STATUS_LOCKED: &str = "Unable to obtain shared lock for reading update status: \
                             Resource temporarily unavailable (os error 11)";

/// A path that no other test uses.
fn fresh(extension: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("simulator-{}-{count}.{extension}", process::id());
    std::env::temp_dir().join(name)
}

fn start(options: Options) -> Simulator {
    Simulator::start(fresh("sock"), options).expect("the simulator starts")
}

/// A node whose commands take no time.
fn instant() -> Options {
    Options {
        refresh_time: Duration::ZERO,
        prepare_time: Duration::ZERO,
        activate_time: Duration::ZERO,
        deactivate_time: Duration::ZERO,
        reboot_time: Duration::ZERO,
        ..Options::default()
    }
}

/// Sends a request on a new connection. Returns the status and the body of the answer.
fn ask(simulator: &Simulator, method: &str, path: &str) -> (u16, String) {
    let answer = raw(simulator, &request(method, path, "Connection: close\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    (head[9..12].parse().expect("a status"), body.into())
}

fn post(simulator: &Simulator, command: Command) -> (u16, String) {
    ask(simulator, "POST", command.path())
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// Sends bytes on a new connection. Returns all bytes until the server closes it.
fn raw(simulator: &Simulator, bytes: &str) -> String {
    let mut stream = connect(simulator);
    stream.write_all(bytes.as_bytes()).unwrap();
    until_closed(&mut stream)
}

fn until_closed(stream: &mut UnixStream) -> String {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the server closes");
    String::from_utf8(rest).expect("answers are UTF-8")
}

fn state(simulator: &Simulator) -> Option<State> {
    simulator.look(|view| view.node.state())
}

fn chosen(node: &Node) -> Option<&str> {
    let chosen = node.status()?.chosen.as_ref()?;
    Some(&chosen.version)
}

fn connect(simulator: &Simulator) -> UnixStream {
    let stream = UnixStream::connect(simulator.path()).expect("the simulator listens");
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Reads exactly `count` bytes.
fn read(stream: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("enough bytes");
    bytes
}

fn set_request_timeout(simulator: &Simulator, timeout: Duration) {
    simulator.change(|node, _| node.options.request_timeout = timeout);
}

fn run(simulator: &Simulator, commands: &[Command]) {
    for command in commands {
        simulator.run(*command).expect("the command is allowed");
    }
}

/// The commands that lead to each state.
const WAYS: [(Option<State>, &[Command]); 4] = [
    (None, &[]),
    (Some(Available), &[Refresh]),
    (Some(Staged), &[Refresh, Prepare]),
    (Some(Ready), &[Refresh, Prepare, Activate]),
];

fn in_state(state: Option<State>) -> Simulator {
    let simulator = start(instant());
    if state == Some(Idle) {
        assert_eq!(simulator.run(Prepare), Err(Refusal::NotAllowed));
    } else {
        let way = WAYS.iter().find(|(end, _)| *end == state).unwrap();
        run(&simulator, way.1);
    }
    assert_eq!(self::state(&simulator), state);
    simulator
}
