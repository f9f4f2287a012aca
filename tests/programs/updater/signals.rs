//! Signals.

use super::{NOTHING, Node, OFTEN, instant, side_by_side, started};
use crate::common::daemon::{AT_ONCE, LONG, Running, pid};
use crate::common::{Directory, full_pipe};
use bottlerocket_simulator::Command::Prepare;
use bottlerocket_simulator::{MANUAL, Options};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{fs, thread};

/// A server that never answers.
fn silent_server(directory: &Directory) -> UnixListener {
    UnixListener::bind(directory.socket()).unwrap()
}

#[test]
fn signals_end_the_daemon_at_once() {
    side_by_side([(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")], |(signal, name)| {
        let stopped = format!("info: stopped signal={name}");

        // Before the first cycle, unless the random delay is zero.
        let node = Node::new(Options { offer: Vec::new(), ..instant() });
        let mut updater = Running::start(&mut node.updater(&["-interval=1h", "-jitter=1h"]));
        updater.wait_for("started");
        let outcome = updater.stop(signal);
        assert_eq!(outcome.status, Some(0));
        assert_eq!(outcome.summary().last(), Some(&stopped));

        // In the pause between two cycles.
        let mut updater = Running::start(&mut node.updater(&["-interval=1h", "-jitter=0s"]));
        updater.wait_for("nothing to do");
        updater.stop(signal).is(0, &[&started(&node, "1h"), NOTHING, &stopped]);

        // During a call.
        let directory = Directory::new();
        let server = silent_server(&directory);
        let updater = Running::start(&mut super::updater(&directory.socket(), &OFTEN));
        let (_connection, _) = server.accept().unwrap();
        let outcome = updater.stop(signal);
        assert_eq!((outcome.status, outcome.records.len()), (Some(0), 2), "{outcome:?}");
        assert_eq!(outcome.records[1].summary(), stopped);

        // While the API is unavailable.
        let mut updater =
            Running::start(&mut super::updater(&directory.path().join("none"), &["-jitter=0s"]));
        updater.wait_for("the API is unavailable");
        assert_eq!(updater.stop(signal).status, Some(0));
    });
}

/// Nobody reads the log, and the pipe is full. The program must end nevertheless.
#[test]
fn signal_ends_a_daemon_that_is_blocked_on_writing_its_log() {
    let node = Node::new(Options { offer: Vec::new(), ..instant() });
    let (mut full, _unread) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    for size in [4096, 1] {
        let error = loop {
            if let Err(error) = full.write_all(&vec![0; size]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    full.set_nonblocking(false).unwrap();
    let mut command = node.updater(&OFTEN);
    let stderr = std::os::fd::OwnedFd::from(full);
    let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    drop(command);
    wait_until_blocked(&child);
    kill_process(pid(&child), Signal::TERM).unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > AT_ONCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("still running after {AT_ONCE:?}");
        }
        thread::yield_now();
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn log_that_nobody_reads_does_not_stop_the_daemon() {
    let node = Node::new(Options { offer: Vec::new(), ..instant() });
    let (_reader, full) = full_pipe();
    let mut command = node.updater(&OFTEN);
    let mut child = command.stdout(Stdio::null()).stderr(full).spawn().unwrap();
    // The first request comes after two lines of the log.
    node.wait_for_status_requests(1);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The updater is asked to stop, although its parent has blocked the signal.
#[test]
fn blocked_signal_ends_the_daemon() {
    for signal in [Signal::TERM, Signal::INT] {
        let node = Node::new(Options { offer: Vec::new(), ..instant() });
        let updater = node.updater(&["-interval=1h", "-jitter=0s"]);
        let mut command = Command::new("env");
        command.arg(format!("--block-signal={}", signal.as_raw()));
        command.arg(updater.get_program()).args(updater.get_args());
        let mut updater = Running::start(&mut command);
        updater.wait_for("nothing to do");
        assert_eq!(updater.stop(signal).status, Some(0));
    }
}

/// Waits until the program has a handler for SIGTERM and is blocked in a system call. There
/// is no log line to wait for.
fn wait_until_blocked(child: &Child) {
    let deadline = Instant::now() + LONG;
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap_or_default().trim()
        };
        let handled = u64::from_str_radix(field("SigCgt:"), 16).unwrap_or_default();
        let sigterm = 1 << (Signal::TERM.as_raw() - 1);
        if handled & sigterm != 0 && field("State:").starts_with('S') {
            return;
        }
        assert!(Instant::now() < deadline, "{status}");
        thread::yield_now();
    }
}

/// The kernel does not deliver signals without a handler to process 1, which is the updater
/// in a container without an init.
#[test]
fn signals_end_the_daemon_as_process_1() {
    let options = ["--user", "--map-root-user", "--pid", "--mount-proc", "--fork", "--kill-child"];
    let can = Command::new("unshare").args(options).args(["sh", "-c", "exit 42"]).output();
    match can {
        Ok(output) if output.status.code() == Some(42) => {}
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            return eprintln!(
                "not tested, because this machine allows no PID namespaces: {reason}"
            );
        }
        Err(error) => return eprintln!("not tested, because unshare does not run: {error}"),
    }
    for signal in [Signal::TERM, Signal::INT] {
        let node = Node::new(instant());
        node.set_time(Prepare, MANUAL);
        let inner = node.updater(&OFTEN);
        let mut command = Command::new("unshare");
        command.args(options).arg(inner.get_program()).args(inner.get_args());
        let mut updater = Running::start(&mut command);
        updater.wait_for("preparing it");
        node.wait_for_status_requests(1);
        let child = only_child(updater.pid());
        let begin = Instant::now();
        kill_process(child, signal).unwrap();
        let outcome = updater.end();
        assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
        assert_eq!(outcome.status, Some(0));
        assert!(outcome.summary().last().unwrap().starts_with("info: stopped "), "{outcome:?}");
    }
}

fn only_child(parent: Pid) -> Pid {
    let parent = parent.as_raw_nonzero();
    let is_child = |stat: &str| {
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        after_name.split(' ').nth(1) == Some(&parent.to_string())
    };
    let children: Vec<i32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| is_child(&stat))
        })
        .collect();
    let [child] = children[..] else { panic!("{children:?}") };
    Pid::from_raw(child).unwrap()
}
