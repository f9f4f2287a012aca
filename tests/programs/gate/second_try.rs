//! The second try of a version that did not boot.

use super::{Host, POST, held, opened};
use crate::common::daemon::Running;
use bottlerocket_simulator::Fault;
use bottlerocket_simulator::Rule;
use std::fs;
use std::time::Duration;

const TRYING: &str = "trying_again version=1.26.1 running=1.26.0 failed_boots=1";
const REQUESTED: &str = "reboot_requested result=the reboot is on its way";

fn boots(host: &Host) -> u32 {
    host.node.look(|view| view.node.boots())
}

/// Starts a gate that reboots the node, and stops it as a shutdown does.
#[track_caller]
fn reboots(host: &Host) {
    let before = boots(host);
    let mut gate = Running::start(&mut host.program());
    gate.wait_for("event=reboot_requested");
    // A gate that goes on in the same boot holds the node.
    host.still_holds(&mut gate);
    assert_eq!(boots(host), before + 1);
    assert_eq!(gate.log.len(), 2, "{:?}", gate.log);
    let events = gate.log.iter().map(|line| super::short(gate.format, line));
    assert_eq!(events.collect::<Vec<_>>(), [TRYING, REQUESTED]);
}

#[test]
fn version_that_failed_twice_is_held() {
    let host = Host::rolled_back(1);
    host.make_ready();
    let boot = host.boot();
    reboots(&host);
    let record = host.record().unwrap();
    assert_eq!((record.attempts, record.boot.as_str()), (2, boot.as_str()));
    // It did not boot again. It is Ready again, and that is the end of it.
    host.make_ready();
    let mut gate = host.hold(&[]);
    host.still_holds(&mut gate);
    assert_eq!(host.node.requested().iter().filter(|request| *request == POST).count(), 1);
    assert_eq!(boots(&host), 3);
    assert_eq!(gate.log.len(), 1);
}

#[test]
fn chance_stops_nobody() {
    let host = Host::rolled_back(1);
    host.make_ready();
    host.node.change(|node, _| node.options.no_boot.clear());
    reboots(&host);
    let expected = "opened reason=updated version=1.26.1 running=1.26.1 waited=_";
    assert_eq!(host.events(0, &[]), [expected]);
    assert_eq!(host.record(), None);
}

#[test]
fn gate_waits_until_the_version_is_ready_again() {
    let host = Host::rolled_back(1);
    let mut gate = host.hold(&[]);
    host.still_holds(&mut gate);
    host.make_ready();
    gate.wait_for("event=reboot_requested");
    assert_eq!(boots(&host), 3);
}

#[test]
fn one_attempt_is_all_if_it_is_to_be() {
    let host = Host::rolled_back(1);
    host.make_ready();
    let mut gate = host.hold(&["-boot-attempts=1"]);
    host.still_holds(&mut gate);
    assert_eq!(boots(&host), 2);
}

#[test]
fn version_that_was_withdrawn_meanwhile_is_not_tried_again() {
    let host = Host::rolled_back(1);
    host.make_ready();
    host.offer(&[]);
    let events = host.events(0, &[]);
    assert_eq!(events[0], TRYING);
    assert!(events[1].starts_with("reboot_warning warning=1.26.1 is Ready but no longer"));
    assert!(events[2].starts_with("reboot_failed result=not rebooting: the update has been"));
    assert_eq!(events[3..], [opened("nothing_chosen")]);
    assert_eq!((boots(&host), host.record()), (2, None));
}

#[test]
fn reboot_that_was_refused_is_not_counted() {
    let host = Host::rolled_back(1);
    let first = host.record();
    host.make_ready();
    let refusal = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nno";
    host.node.inject(Rule::from(Fault::raw(refusal)).on("POST", "/actions/reboot").forever());
    let mut gate = Running::start(&mut host.program());
    gate.wait_for("event=held_by_gate");
    host.still_holds(&mut gate);
    assert_eq!(host.record(), first);
    assert_eq!(host.node.requested().iter().filter(|request| *request == POST).count(), 1);
    let events: Vec<_> = gate.log.iter().map(|line| super::short(gate.format, line)).collect();
    assert_eq!(events[0], TRYING);
    assert!(events[1].starts_with("reboot_failed result=cannot reboot the node through"));
    assert_eq!(events[2..], [held(1, "Ready", "1.26.1")]);
}

#[test]
fn attempt_that_cannot_be_counted_is_not_made() {
    let host = Host::rolled_back(1);
    let first = host.record();
    host.make_ready();
    // The new record cannot be written.
    fs::create_dir(host.path("record.new")).unwrap();
    let mut gate = Running::start(&mut host.program());
    gate.wait_for("event=held_by_gate");
    host.still_holds(&mut gate);
    assert_eq!((boots(&host), host.record()), (2, first));
    let events: Vec<_> =
        gate.log.iter().map(|line| host.mask(&super::short(gate.format, line))).collect();
    let failed = "record_not_saved tried=write the record path=DIR/record error=is a directory";
    assert_eq!(events, [TRYING, failed, &*held(1, "Ready", "1.26.1")]);
}

#[test]
fn gate_that_is_restarted_while_the_node_goes_down_holds() {
    let host = Host::new();
    host.make_ready();
    host.write_record(&host.boot(), 2);
    let mut gate = host.hold(&[]);
    host.still_holds(&mut gate);
    drop(gate);
    host.node.remove_socket();
    let gate = host.hold(&["-give-up=100ms"]);
    assert_eq!(host.end(gate).0, Some(3));
    assert!(host.record().is_some());
}

#[test]
fn second_attempt_that_is_no_longer_ready_is_taken_back() {
    let host = Host::new();
    for command in [super::Refresh, super::Prepare] {
        host.node.run(command).unwrap();
    }
    host.write_record(&host.boot(), 2);
    let mut gate = host.hold(&[]);
    host.still_holds(&mut gate);
    let record = host.record().unwrap();
    assert_eq!(record.attempts, 1);
    assert_ne!(record.boot.as_str(), host.boot());
    // When it is Ready again, that is the second attempt.
    host.node.run(super::Activate).unwrap();
    gate.wait_for("event=reboot_requested");
    assert!(host.node.wait_until(Duration::from_secs(30), |view| view.node.boots() == 2));
}
