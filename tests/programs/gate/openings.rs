//! What opens the gate, and what keeps it closed.

use super::{GET, Host, held, opened};
use crate::common::run;
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_updater::api::status::{Image, copy};
use bottlerocket_updater::updater::history::History;
use std::fs;

#[test]
fn node_without_a_record_needs_no_api() {
    let host = Host::new();
    host.node.remove_socket();
    let events = host.events(0, &[]);
    assert_eq!(events, ["opened reason=no_record running=1.26.0 waited=_"]);
    assert_eq!(host.node.requested(), [""; 0]);
}

#[test]
fn version_that_booted_opens_and_removes_the_record() {
    let host = Host::new();
    host.reboot(1);
    host.node.remove_socket();
    let expected = "opened reason=updated version=1.26.1 running=1.26.1 waited=_";
    assert_eq!(host.events(0, &[]), [expected]);
    assert_eq!(host.record(), None);
    assert_eq!(host.events(0, &[]), ["opened reason=no_record running=1.26.1 waited=_"]);
}

#[test]
fn third_version_opens_and_is_told() {
    let host = Host::new();
    host.offer(&["1.26.2"]);
    // The record names 1.26.1: the update was replaced before the node went down.
    host.reboot(1);
    let expected = "opened reason=other_version version=1.26.1 running=1.26.2 waited=_";
    assert_eq!(host.events(0, &[]), [expected]);
    assert_eq!(host.record(), None);
}

#[test]
fn kured_that_restarts_before_the_shutdown_starts() {
    let host = Host::new();
    host.make_ready();
    host.write_record(&host.boot(), 1);
    assert_eq!(host.events(0, &[]), [opened("same_boot")]);
    assert!(host.record().is_some(), "the next boot needs it");
    host.node.remove_socket();
    assert_eq!(host.events(0, &[]), [opened("same_boot")]);
    assert!(host.record().is_some());
}

#[test]
fn record_whose_update_is_no_longer_ready_is_void() {
    let host = Host::new();
    for command in [Refresh, Prepare] {
        host.node.run(command).unwrap();
    }
    host.write_record(&host.boot(), 1);
    assert_eq!(host.events(0, &[]), [opened("void")]);
    assert_eq!(host.record(), None);
}

#[test]
fn version_that_did_not_boot_holds_the_node() {
    let host = Host::rolled_back(2);
    let mut gate = host.hold(&[]);
    host.still_holds(&mut gate);
    // It is offered again, and prepared.
    host.node.run(Refresh).unwrap();
    host.still_holds(&mut gate);
    host.node.run(Prepare).unwrap();
    host.still_holds(&mut gate);
    host.node.run(Activate).unwrap();
    host.still_holds(&mut gate);
    assert!(host.node.requested().iter().all(|request| request == GET));
    assert_eq!(host.record().unwrap().attempts, 2);
    // Each start of the gate finds the same.
    drop(gate);
    let gate = host.hold(&[]);
    fs::remove_file(host.path("record")).unwrap();
    let released = "opened reason=released running=1.26.0 waited=_".to_string();
    assert_eq!(host.end(gate), (Some(0), vec![held(2, "Ready", "1.26.1"), released]));
}

#[test]
fn good_version_that_is_ready_opens() {
    let host = Host::rolled_back(2);
    let mut gate = host.hold(&[]);
    host.offer(&["1.26.2"]);
    host.node.run(Refresh).unwrap();
    host.still_holds(&mut gate);
    host.node.change(|node, now| {
        node.run(Prepare, now).unwrap();
        node.run(Activate, now).unwrap();
        node.finish(now);
    });
    let (status, events) = host.end(gate);
    assert_eq!(status, Some(0), "{events:?}");
    let fields = "version=1.26.1 running=1.26.0 next=1.26.2 waited=_";
    let last = events.last().unwrap();
    // Between two commands the gate may see it Staged.
    let expected =
        ["other_ready", "other_staged"].map(|why| format!("opened reason={why} {fields}"));
    assert!(expected.contains(last), "{events:?}");
    assert_eq!(host.record(), None);
}

#[test]
fn good_version_that_waits_for_others_to_activate_it_opens() {
    let host = Host::rolled_back(2);
    let gate = host.hold(&[]);
    host.offer(&["1.26.2"]);
    for command in [Refresh, Prepare] {
        host.node.run(command).unwrap();
    }
    let expected = opened("other_staged").replace(" waited", " next=1.26.2 waited");
    assert_eq!(host.end(gate), (Some(0), vec![held(2, "unknown", ""), expected]));
    assert_eq!(host.record(), None);
}

#[test]
fn withdrawn_version_opens() {
    for (lock, offer) in [("latest", &[][..]), ("1.26.0", &["1.26.1"])] {
        let host = Host::rolled_back(2);
        let mut gate = host.hold(&[]);
        host.offer(offer);
        host.node.change(|node, _| node.options.version_lock = lock.into());
        host.node.run(Refresh).unwrap();
        // The first refresh may have had unreadable output.
        host.still_holds(&mut gate);
        host.node.run(Refresh).unwrap();
        let expected = vec![held(2, "unknown", ""), opened("nothing_chosen")];
        assert_eq!(host.end(gate), (Some(0), expected), "{lock}");
        assert_eq!(host.record(), None);
    }
}

#[test]
fn refresh_that_fails_does_not_open() {
    let host = Host::rolled_back(2);
    let mut gate = host.hold(&[]);
    host.offer(&[]);
    host.node.change(|node, _| node.fail_always(Refresh, 1, "no such host"));
    host.node.run(Refresh).unwrap();
    host.still_holds(&mut gate);
    host.node.change(|node, _| node.succeed(Refresh));
    host.node.run(Refresh).unwrap();
    host.still_holds(&mut gate);
    host.node.run(Refresh).unwrap();
    assert_eq!(host.end(gate).0, Some(0));
}

#[test]
fn longest_wait_opens() {
    let host = Host::rolled_back(2);
    // On a busy machine it may be over before the first look.
    let events = host.events(0, &["-max-wait=100ms"]);
    assert_eq!(events.last(), Some(&opened("max_wait")), "{events:?}");
    assert_eq!(host.record(), None);
}

/// The state of an updater that saw `version` become Ready in this boot.
fn state(boot: &str, version: &str) -> Vec<u8> {
    let running = Image { version: "1.26.0", variant: "aws-k8s-1.30", arch: "x86_64" };
    let mut history = History::new(copy(boot), None);
    history.activating(Image { version, ..running }, running);
    history.write().to_vec()
}

#[test]
fn version_that_the_updater_saw_take_the_place_of_the_first_is_the_failed_one() {
    let host = Host::new();
    host.offer(&["1.26.2"]);
    host.node.change(|node, _| node.options.no_boot.push("1.26.2".into()));
    let boot = host.boot();
    host.reboot(2);
    host.make_ready();
    fs::create_dir(host.path("state")).unwrap();
    fs::write(host.path("state/state"), state(&boot, "1.26.2")).unwrap();
    let flag = format!("-state-dir={}", host.path("state").display());
    let mut gate = host.hold(&[&flag]);
    host.still_holds(&mut gate);
    drop(gate);
    // Without the state, or if it is damaged, the record alone counts.
    let expected = opened("other_ready").replace(" waited", " next=1.26.2 waited");
    for damage in ["damaged", "missing", "directory"] {
        host.write_record(&boot, 2);
        match damage {
            "damaged" => fs::write(host.path("state/state"), "x").unwrap(),
            "missing" => fs::remove_file(host.path("state/state")).unwrap(),
            _ => fs::create_dir(host.path("state/state")).unwrap(),
        }
        assert_eq!(host.events(0, &[&flag]), [&*expected], "{damage}");
    }
}

#[test]
fn log_is_json_if_it_is_to_be() {
    let host = Host::rolled_back(2);
    let ran = run(host.program().args(["-log-format=json", "-max-wait=1ms"]));
    let lines: Vec<_> = ran.stderr.lines().collect();
    let short: Vec<_> =
        lines.iter().map(|line| super::short(crate::common::records::Format::Json, line)).collect();
    assert_eq!((ran.status, short.last().unwrap()), (Some(0), &opened("max_wait")));
}
