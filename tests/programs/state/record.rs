//! The record of a reboot, which the reboot program and the gate write: it protects what is
//! Ready, and shows that the gate holds the node.

use super::file::fifo;
use super::{ACTIVATED, READY, ROLLED_BACK, StatefulNode};
use crate::common::daemon::{LONG, Outcome, Running};
use crate::common::records::Format;
use crate::common::run;
use bottlerocket_simulator::Command::{Activate, Deactivate, Prepare, Refresh};
use bottlerocket_simulator::{Options, State, View};
use bottlerocket_updater::api::status::Image;
use bottlerocket_updater::record::RebootRecord;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

const OFTEN: [&str; 2] = ["-test-interval=50ms", "-jitter=0s"];

/// A node that is Ready with 1.26.1, which does not boot.
fn ready_node() -> StatefulNode {
    let node = StatefulNode::new(Options {
        no_boot: vec!["1.26.1".into()],
        ..crate::common::Node::instant()
    });
    for action in [Refresh, Prepare, Activate] {
        node.node.run(action).unwrap();
    }
    node
}

fn path(node: &StatefulNode) -> PathBuf {
    node.directory.path().join("record")
}

/// The record that a reboot into this version writes now.
fn record(node: &StatefulNode, version: &str) -> RebootRecord {
    let boot = fs::read_to_string(node.directory.path().join("boot_id")).unwrap();
    let image = Image { version, variant: "aws-k8s-1.30", arch: "x86_64" };
    RebootRecord::new(boot.trim(), "1.26.0", image)
}

fn write(node: &StatefulNode, record: &RebootRecord) {
    fs::write(path(node), record.write()).unwrap();
}

/// Runs one cycle with the record and without state, and returns its log.
fn cycle(node: &StatefulNode, arguments: &[&str]) -> Vec<String> {
    let mut command = node.updater_without_state(&["-one-time", "-record"]);
    Outcome::of(run(command.arg(path(node)).args(arguments)), Format::Logfmt).summary()
}

fn daemon(node: &StatefulNode) -> Running {
    let mut command = node.updater_without_state(&OFTEN);
    Running::start(command.arg("-record").arg(path(node)))
}

fn refreshes(node: &StatefulNode) -> usize {
    node.node.look(|view| view.count("POST", Refresh.path()))
}

fn deactivates(node: &StatefulNode) -> usize {
    node.node.look(|view| view.count("POST", Deactivate.path()))
}

const WITHDRAWN: &str = "info: deactivated, so that no reboot boots the version \
                         version=1.26.1 reason=withdrawn took=_";

const HELD: &str = "error: the version did not boot, and the gate keeps Kured from starting on \
                    this node version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 running=1.26.0 \
                    attempts=1";

const UNREADABLE: &str = "error: cannot read the record of the last reboot; continuing without \
                          it tried=read the record error=";

#[test]
fn record_of_this_boot_protects_what_is_ready() {
    let node = ready_node();
    node.offer(&[]);
    write(&node, &record(&node, "1.26.1"));
    assert_eq!(cycle(&node, &[]), [READY]);
    // Not even a refresh: it holds the lock, which the reboot program may want.
    assert_eq!((refreshes(&node), deactivates(&node)), (0, 0));
    // A daemon as well, until the record is gone.
    let mut updater = daemon(&node);
    updater.wait_for("event=ready");
    node.wait_for_status_requests(4);
    assert_eq!((refreshes(&node), deactivates(&node)), (0, 0));
    fs::remove_file(path(&node)).unwrap();
    updater.wait_for("event=deactivated");
    updater.stop(Signal::TERM);
}

#[test]
fn record_that_names_something_else_protects_nothing() {
    let node = ready_node();
    let right = record(&node, "1.26.1");
    let earlier = RebootRecord { boot: "earlier".try_into().unwrap(), ..right.clone() };
    for other in [record(&node, "1.26.2"), earlier] {
        let node = ready_node();
        node.offer(&[]);
        write(&node, &other);
        assert!(cycle(&node, &[]).contains(&WITHDRAWN.to_string()));
        assert_eq!(node.node.look(|view| view.node.state()), Some(State::Staged));
    }
}

/// The reboot was refused, somebody deactivated the update, and it is Ready again.
#[test]
fn record_is_void_after_its_update_was_not_ready() {
    let node = ready_node();
    write(&node, &record(&node, "1.26.1"));
    let mut updater = daemon(&node);
    updater.wait_for("event=ready");
    node.node.run(Deactivate).unwrap();
    // The updater activates it again.
    updater.wait_for("event=activated");
    let before = refreshes(&node);
    let refreshed = |view: &View| view.count("POST", Refresh.path()) > before;
    assert!(node.node.wait_until(LONG, refreshed));
    node.offer(&[]);
    updater.wait_for("event=deactivated");
    updater.stop(Signal::TERM);
}

#[test]
fn unusable_record_is_reported_once_and_protects_nothing() {
    type Setup = fn(&StatefulNode);
    let cases: [(&str, Setup, &str); 7] = [
        ("empty", |node| fs::write(path(node), "").unwrap(), "the file is damaged"),
        ("junk", |node| fs::write(path(node), [0xff; 5_000]).unwrap(), "the file is damaged"),
        (
            "another number of attempts",
            |node| {
                let text = String::from_utf8(record(node, "1.26.1").write().to_vec()).unwrap();
                fs::write(path(node), text.replacen("\t1\t\n", "\t2\t\n", 1)).unwrap();
            },
            "the file is damaged",
        ),
        (
            "text behind it",
            |node| {
                let text = [&record(node, "1.26.1").write()[..], &[b'x'; 600]].concat();
                fs::write(path(node), text).unwrap();
            },
            "the file is damaged",
        ),
        ("a FIFO", |node| fifo(&path(node)), "the file is damaged"),
        ("a directory", |node| fs::create_dir(path(node)).unwrap(), "is a directory"),
        (
            "a link",
            |node| {
                let elsewhere = node.directory.path().join("elsewhere");
                fs::write(&elsewhere, record(node, "1.26.1").write()).unwrap();
                symlink(&elsewhere, path(node)).unwrap();
            },
            "too many symbolic links",
        ),
    ];
    for (name, setup, error) in cases {
        let node = ready_node();
        node.offer(&[]);
        setup(&node);
        let summary = cycle(&node, &[]);
        assert_eq!(summary[..2], [format!("{UNREADABLE}{error}"), WITHDRAWN.into()], "{name}");
    }
    // A daemon reports it once.
    let node = ready_node();
    fs::write(path(&node), "").unwrap();
    let updater = daemon(&node);
    node.wait_for_status_requests(6);
    let summary = updater.stop(Signal::TERM).summary();
    let is_report = |line: &&String| line.starts_with(UNREADABLE);
    assert_eq!(summary.iter().filter(is_report).count(), 1, "{summary:?}");
}

#[test]
fn node_that_the_gate_holds_is_reported_until_it_is_released() {
    let node = ready_node();
    write(&node, &record(&node, "1.26.1"));
    node.reboot();
    let mut updater = daemon(&node);
    updater.wait_for("event=held_by_gate");
    // The updater goes on, so that the gate gets what it waits for.
    updater.wait_for("event=activated");
    node.wait_for_status_requests(4);
    fs::remove_file(path(&node)).unwrap();
    updater.wait_for("event=released_by_gate");
    node.wait_for_status_requests(2);
    let summary = updater.stop(Signal::TERM).summary();
    let about_the_gate: Vec<_> = summary.iter().filter(|line| line.contains("the gate")).collect();
    let released = "info: the gate no longer holds this node version=1.26.1 running=1.26.0 after=_";
    assert_eq!(about_the_gate, [HELD, released]);
}

#[test]
fn node_that_runs_another_version_is_not_held() {
    let node = ready_node();
    write(&node, &record(&node, "1.26.1"));
    node.node.change(|node, _| node.options.no_boot.clear());
    node.reboot();
    let summary = cycle(&node, &[]);
    assert!(summary.iter().all(|line| !line.contains("gate")), "{summary:?}");
}

/// With the gate, a version has two attempts: Kured's reboot and the gate's. The updater
/// makes it Ready for both, and then holds it back.
#[test]
fn held_node_gets_the_version_ready_for_the_second_attempt_only() {
    let node = StatefulNode::broken();
    let arguments = [format!("-record={}", path(&node).display()), "-boot-attempts=2".into()];
    let arguments = arguments.each_ref().map(String::as_str);
    node.cycle(&arguments);
    let first = record(&node, "1.26.1");
    write(&node, &first);
    node.reboot();
    let summary = node.cycle(&arguments);
    assert_eq!(summary[..2], [HELD, &ROLLED_BACK.replace("24h", "0s")]);
    assert_eq!(summary[4..], [ACTIVATED, READY]);
    // The gate requests the second reboot. Nothing is changed before it.
    let boot = fs::read_to_string(node.directory.path().join("boot_id")).unwrap();
    write(&node, &first.again(boot.trim()));
    node.offer(&[]);
    let held_twice = HELD.replace("attempts=1", "attempts=2");
    assert_eq!(node.cycle(&arguments), [&held_twice, READY]);
    node.offer(&["1.26.1"]);
    node.reboot();
    let summary = node.cycle(&arguments);
    let rolled_back = ROLLED_BACK.replace("failed_boots=1", "failed_boots=2");
    assert_eq!(summary[..2], [held_twice, rolled_back]);
    assert!(summary[2].starts_with("info: version is held back "), "{summary:?}");
    assert_eq!(node.prepares(), 2);
}
