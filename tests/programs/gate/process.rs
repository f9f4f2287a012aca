//! Sockets that nobody serves, signals, and -release.

use super::{Host, held};
use crate::common::Ran;
use crate::common::daemon::{AT_ONCE, Running};
use crate::common::leave_stale_socket;
use rustix::process::{Signal, kill_process};
use std::fs;
use std::time::Instant;

#[test]
fn gate_gives_up_on_a_socket_that_nobody_serves_and_keeps_the_record() {
    let host = Host::rolled_back(2);
    let missing = host.path("none").to_str().unwrap().to_owned();
    leave_stale_socket(&host.path("stale"));
    let stale = host.path("stale").to_str().unwrap().to_owned();
    for (socket, error) in [(missing, "no such file"), (stale, "connection refused")] {
        let events = host.events(3, &["-give-up=60ms", "-socket", &socket]);
        let [lost, hold, gave_up] = events.try_into().unwrap();
        assert!(lost.starts_with("api_lost call=status ") && lost.contains(error), "{lost}");
        assert_eq!(hold, held(2, "unknown", ""));
        assert!(gave_up.starts_with("gave_up ") && gave_up.contains(error), "{gave_up}");
        assert_eq!(host.record().unwrap().attempts, 2);
    }
}

#[test]
fn socket_that_comes_back_is_used() {
    let host = Host::rolled_back(2);
    let mut gate = host.hold(&[]);
    for _ in 0..2 {
        host.node.remove_socket();
        gate.wait_for("event=api_lost");
        host.node.restart().unwrap();
        gate.wait_for("event=api_back");
    }
    host.offer(&["1.26.2"]);
    host.make_ready();
    assert_eq!(host.end(gate).0, Some(0));
}

#[test]
fn signals_end_the_gate_with_a_failure_and_keep_the_record() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let host = Host::rolled_back(2);
        let gate = host.hold(&["-test-interval=1h"]);
        let begun = Instant::now();
        kill_process(gate.pid(), signal).unwrap();
        let expected = vec![held(2, "unknown", ""), format!("stopped signal={name}")];
        assert_eq!(host.end(gate), (Some(3), expected));
        assert!(begun.elapsed() < AT_ONCE);
        assert!(host.record().is_some());
    }
}

#[test]
fn signal_that_comes_while_the_api_does_not_answer_ends_the_gate() {
    let host = Host::rolled_back(2);
    host.node.inject(bottlerocket_simulator::Fault::silence());
    let gate = Running::start(&mut host.program());
    assert!(host.node.wait_until(AT_ONCE, |view| !view.requests.is_empty()));
    kill_process(gate.pid(), Signal::TERM).unwrap();
    assert_eq!(host.end(gate), (Some(3), vec!["stopped signal=SIGTERM".into()]));
}

#[test]
fn release_opens_a_gate_that_waits() {
    let host = Host::rolled_back(2);
    let gate = host.hold(&[]);
    let ran = host.run(&["-release"]);
    let stdout = "released: removed the record of the reboot to 1.26.1\n".to_string();
    let stderr = "bottlerocket-gate: warning: the status is not known now; check whether this \
                  version is still chosen: apiclient get updates/status\n";
    assert_eq!(ran, Ran { status: Some(0), stdout, stderr: stderr.into() });
    let released = "opened reason=released running=1.26.0 waited=_".to_string();
    assert_eq!(host.end(gate), (Some(0), vec![held(2, "unknown", ""), released]));
}

#[test]
fn release_warns_if_the_version_is_still_chosen() {
    let host = Host::rolled_back(2);
    host.node.run(super::Refresh).unwrap();
    let ran = host.run(&["-release"]);
    let warning = "bottlerocket-gate: warning: the node still chooses 1.26.1: this node may \
                   boot it again, and each node that is Ready with it is drained; first lock \
                   all nodes to another version (updates.version-lock)\n";
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), warning));
    assert_eq!(host.record(), None);
}

#[test]
fn release_of_a_version_that_is_no_longer_chosen_says_nothing_more() {
    for offer in [&[][..], &["1.26.2"]] {
        let host = Host::rolled_back(2);
        host.offer(offer);
        host.node.run(super::Refresh).unwrap();
        let ran = host.run(&["-release"]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn release_does_not_need_the_api() {
    let host = Host::rolled_back(2);
    host.node.remove_socket();
    let ran = host.run(&["-release"]);
    assert_eq!((ran.status, host.record()), (Some(0), None));
    let start = "bottlerocket-gate: warning: cannot read the update status from SOCKET: ";
    assert!(host.mask(&ran.stderr).starts_with(start), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1);
}

#[test]
fn release_without_a_record_says_so() {
    let host = Host::new();
    let ran = host.run(&["-release"]);
    let stdout = "there is no record at DIR/record: nothing is held\n";
    assert_eq!((ran.status, host.mask(&ran.stdout).as_str()), (Some(0), stdout));
    assert_eq!(ran.stderr, "");
    assert_eq!(host.node.requested(), [""; 0]);
}

#[test]
fn release_removes_a_damaged_record_and_says_if_it_cannot() {
    let host = Host::new();
    fs::write(host.path("record"), "x").unwrap();
    let ran = host.run(&["-release"]);
    assert_eq!(
        (ran.status, ran.stdout.as_str()),
        (Some(0), "released: removed a damaged record\n")
    );
    assert!(!host.path("record").exists());
    fs::create_dir(host.path("record")).unwrap();
    let ran = host.run(&["-release"]);
    let stderr = "bottlerocket-gate: cannot remove DIR/record: is a directory\n";
    assert_eq!((ran.status, host.mask(&ran.stderr).as_str()), (Some(3), stderr));
}
