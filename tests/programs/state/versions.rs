//! Versions that do not boot: holding them back, retrying them.

use super::{HELD_BACK, READY, ROLLED_BACK, StatefulNode, WHOLE_UPDATE, is_held_back, summary};
use crate::common::daemon::{LONG, Running};
use crate::common::records::{Format, Record};
use crate::common::{Node, run};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{Fault, Rule, State};
use rustix::process::Signal;
use std::process::Stdio;

#[test]
fn broken_version_is_retried_after_each_boot_without_a_state_directory() {
    let node = StatefulNode::broken();
    for times in 1..=3 {
        assert_eq!(summary(&mut node.updater_without_state(&["-one-time"]), &[]), WHOLE_UPDATE);
        assert_eq!(node.prepares(), times);
        node.reboot();
    }
    assert_eq!(node.node.look(|view| view.node.boots()), 4);
}

#[test]
fn broken_version_is_tried_once_with_a_state_directory() {
    let node = StatefulNode::broken();
    assert_eq!(node.cycle(&[]), WHOLE_UPDATE);
    // The version is still chosen, so it stays Ready.
    assert_eq!(node.cycle(&[]), [READY]);
    node.reboot();
    let outcome = node.cycle(&[]);
    assert_eq!(outcome[0], ROLLED_BACK);
    is_held_back(&outcome[1..]);
    for _ in 0..3 {
        is_held_back(&node.cycle(&[]));
        node.reboot();
        is_held_back(&node.cycle(&[]));
    }
    assert_eq!(node.prepares(), 1);
    // Another version is tried at once.
    node.offer(&["1.26.1", "1.26.2"]);
    let outcome = node.cycle(&[]);
    assert_eq!(outcome.len(), 4, "{outcome:?}");
    assert!(outcome[3].starts_with("info: ready, waiting for the reboot state=Ready next=1.26.2 "));
    node.reboot();
    let outcome = node.cycle(&[]);
    let updated = "info: the new version is running version=1.26.2 variant=aws-k8s-1.30 \
                   arch=x86_64 \
                   before=1.26.0";
    assert_eq!(outcome[0], updated);
    assert_eq!(node.prepares(), 2);
}

/// A hold-back does not keep a node from deactivating what is no longer chosen, whether the
/// version that is held back is the one that is Ready, or the one that is chosen.
#[test]
fn ready_update_is_deactivated_while_a_version_is_held_back() {
    let deactivated = "info: deactivated, so that no reboot boots the version ";
    let node = StatefulNode::broken();
    node.cycle(&[]);
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    node.offer(&["1.26.1", "1.26.2"]);
    assert_eq!(node.cycle(&[]).len(), 4);
    // 1.26.2 is withdrawn.
    node.offer(&["1.26.1"]);
    let outcome = node.cycle(&[]);
    let replaced = format!("{deactivated}version=1.26.2 reason=replaced chosen=1.26.1 took=_");
    assert_eq!(outcome[0], replaced);
    is_held_back(&outcome[1..]);
    // An operator activates the version that is held back, and it is withdrawn.
    node.node.run(Prepare).unwrap();
    node.node.run(Activate).unwrap();
    assert_eq!(node.cycle(&[]), [READY]);
    node.offer(&[]);
    let outcome = node.cycle(&[]);
    assert_eq!(outcome[0], format!("{deactivated}version=1.26.1 reason=withdrawn took=_"));
    assert_eq!(node.node.look(|view| view.node.state()), Some(State::Staged));
}

#[test]
fn daemon_holds_a_broken_version_back_after_the_boot() {
    let node = StatefulNode::broken();
    let often = ["-test-interval=50ms", "-jitter=0s"];
    let mut updater = Running::start(&mut node.updater(&often));
    updater.wait_for("ready, waiting for the reboot");
    // The reboot ends the daemon, too.
    node.reboot();
    updater.stop(Signal::TERM);
    let mut updater = Running::start(&mut node.updater(&often));
    updater.wait_for("event=rolled_back");
    updater.wait_for("event=held_back");
    node.wait_for_status_requests(6);
    assert_eq!(node.prepares(), 1);
    node.offer(&["1.26.2"]);
    updater.wait_for("ready, waiting for the reboot");
    let outcome = updater.stop(Signal::TERM);
    let rolled_back = outcome.records.iter().filter(|record| record.get("event") == "rolled_back");
    assert_eq!(rolled_back.count(), 1);
}

/// One failed boot may be chance: the version is tried once more, in the same cycle that
/// notices it.
#[test]
fn broken_version_is_tried_twice_with_two_boot_attempts() {
    let node = StatefulNode::broken();
    let twice = ["-boot-attempts=2"];
    assert_eq!(node.cycle(&twice), WHOLE_UPDATE);
    node.reboot();
    let first = ROLLED_BACK.replace("24h", "0s");
    assert_eq!(node.cycle(&twice), [&[first.as_str()], &WHOLE_UPDATE[..]].concat());
    node.reboot();
    let second = ROLLED_BACK.replace("failed_boots=1", "failed_boots=2");
    let held = HELD_BACK.replace("failed_boots=1", "failed_boots=2") + "24h";
    assert_eq!(node.cycle(&twice), [second, held]);
    for _ in 0..2 {
        node.reboot();
        assert_eq!(node.cycle(&twice).len(), 1);
    }
    assert_eq!(node.prepares(), 2);
}

#[test]
fn version_that_boots_at_its_second_attempt_is_forgotten() {
    let node = StatefulNode::broken();
    let twice = ["-boot-attempts=2"];
    node.cycle(&twice);
    node.reboot();
    node.cycle(&twice);
    node.node.change(|node, _| node.options.no_boot.clear());
    node.reboot();
    let outcome = node.cycle(&twice);
    assert!(outcome[0].starts_with("info: the new version is running version=1.26.1 "));
    let file = std::fs::read_to_string(node.file()).unwrap();
    assert!(!file.contains("\n1.26.1\t"), "{file}");
}

#[test]
fn broken_version_is_retried_after_the_pause() {
    let node = StatefulNode::broken();
    node.cycle(&[]);
    node.reboot();
    let retry = ["-retry-failed-boot=1s"];
    let outcome = node.cycle(&retry);
    assert_eq!(outcome[0], ROLLED_BACK.replace("24h", "1s"));
    let mut updater =
        Running::start(&mut node.updater(&["-test-interval=50ms", "-jitter=0s", retry[0]]));
    updater.wait_for("ready, waiting for the reboot");
    node.reboot();
    updater.stop(Signal::TERM);
    // The second pause is twice as long. With "never", there is no retry.
    let outcome = node.cycle(&retry);
    let second = ROLLED_BACK.replace("24h", "2s").replace("failed_boots=1", "failed_boots=2");
    assert_eq!(outcome[0], second);
    let never = HELD_BACK.replace("failed_boots=1", "failed_boots=2") + "never";
    assert_eq!(node.cycle(&["-retry-failed-boot=never"]), [never]);
    assert_eq!(node.prepares(), 2);
}

/// An operator takes the node back to the old version by hand, boots after the new one came
/// up. With two attempts for a failed boot, too, the version is not tried again at once.
#[test]
fn version_that_the_node_was_taken_back_from_is_held_back() {
    let node = StatefulNode::new(Node::instant());
    let twice = ["-boot-attempts=2"];
    assert_eq!(node.cycle(&twice), WHOLE_UPDATE);
    for _ in 0..3 {
        node.reboot();
        node.cycle(&twice);
    }
    assert_eq!(node.prepares(), 1);
    node.node.change(|node, _| node.options.running = "1.26.0".into());
    node.reboot();
    let taken_back = "info: an older version runs that nobody activated: holding the newer one \
                      back version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 retry_in=24h \
                      running=1.26.0";
    let held = HELD_BACK.replace("failed_boots=1", "failed_boots=2");
    let outcome = node.cycle(&twice);
    assert_eq!(outcome[0], taken_back);
    assert!(outcome[1].starts_with(&held) && outcome.len() == 2, "{outcome:?}");
    node.reboot();
    let outcome = node.cycle(&twice);
    assert!(outcome[0].starts_with(&held) && outcome.len() == 1, "{outcome:?}");
    assert_eq!(node.prepares(), 1);
    // A newer version is tried.
    node.offer(&["1.26.1", "1.26.2"]);
    assert_eq!(node.cycle(&twice).len(), 4);
}

/// The fleet is locked to an older version: the updater itself goes back to it.
#[test]
fn version_lock_to_an_older_version_holds_nothing_back() {
    let node = StatefulNode::new(Node::instant());
    node.cycle(&[]);
    node.reboot();
    node.cycle(&[]);
    node.offer(&["1.26.0", "1.26.1"]);
    node.node.change(|node, _| node.options.version_lock = "1.26.0".into());
    let outcome = node.cycle(&[]);
    assert_eq!(outcome.len(), 4, "{outcome:?}");
    node.reboot();
    let outcome = node.cycle(&[]);
    assert!(outcome[0].starts_with("info: the new version is running version=1.26.0 "));
    node.node.change(|node, _| node.options.version_lock = "latest".into());
    let outcome = node.cycle(&[]);
    assert_eq!(outcome, WHOLE_UPDATE);
}

#[test]
fn activations_of_other_clients_count() {
    let node = StatefulNode::broken();
    for action in [Refresh, Prepare, Activate] {
        node.node.run(action).unwrap();
    }
    assert_eq!(node.cycle(&[]), [READY]);
    node.reboot();
    let outcome = node.cycle(&[]);
    assert_eq!(outcome[0], ROLLED_BACK);
    // An activation that was undone does not count.
    node.offer(&["1.26.3"]);
    assert_eq!(node.cycle(&[]).len(), 4);
    node.node.run(bottlerocket_simulator::Command::Deactivate).unwrap();
    assert_eq!(node.cycle(&["-stage-only"]).len(), 1);
    node.reboot();
    let outcome = node.cycle(&[]);
    assert!(outcome.iter().all(|line| !line.contains("did not boot")), "{outcome:?}");
}

#[test]
fn state_is_saved_before_the_activate() {
    let node = StatefulNode::broken();
    node.node.change(|node, _| *node.options.time(Activate) = bottlerocket_simulator::MANUAL);
    let mut updater = Running::start(&mut node.updater(&["-one-time"]));
    let activates = node.node.wait_until(LONG, |view| view.node.busy() == Some(Activate));
    assert!(activates);
    updater.child.kill().unwrap();
    updater.child.wait().unwrap();
    node.node.change(|node, _| *node.options.time(Activate) = std::time::Duration::ZERO);
    node.node.finish();
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    assert_eq!(node.prepares(), 1);
}

/// Each cycle is another process.
#[test]
fn version_is_prepared_when_it_has_soaked() {
    let node = StatefulNode::new(Node::instant());
    let soaks = |soak: &str| {
        let ran = run(&mut node.updater(&["-one-time", soak]));
        let last = Record::read(Format::Logfmt, ran.stderr.lines().last().unwrap());
        (ran.status, last.get("event").to_string(), last.get("ready_in").to_string())
    };
    let (status, event, ready_in) = soaks("-soak=72h");
    assert_eq!((status, event.as_str(), ready_in.as_str()), (Some(1), "soaking", "72h"));
    let (status, event, ready_in) = soaks("-soak=72h");
    assert_eq!((status, event.as_str()), (Some(1), "soaking"));
    assert!(ready_in.starts_with("71h59m"), "{ready_in}");
    assert_eq!(node.prepares(), 0);
    // A newer version soaks from its own first day.
    node.offer(&["1.26.1", "1.26.2"]);
    assert_eq!(soaks("-soak=72h").2, "72h");
    let mut updater =
        Running::start(&mut node.updater(&["-test-interval=50ms", "-jitter=0s", "-soak=1s"]));
    updater.wait_for("event=ready");
    updater.stop(Signal::TERM);
    assert_eq!(node.prepares(), 1);
}

/// A rollout of the DaemonSet runs several updaters, one after the other.
#[test]
fn next_updater_continues_with_the_same_state() {
    let node = StatefulNode::broken();
    for _ in 0..3 {
        let mut command = node.updater(&["-one-time"]);
        let ran = run(command.stdin(Stdio::null()));
        assert_eq!(ran.status, Some(0));
        let last = Record::read(Format::Logfmt, ran.stderr.lines().last().unwrap());
        assert_eq!(last.get("event"), "ready");
    }
    assert_eq!(node.prepares(), 1);
}

#[test]
fn refused_activate_is_not_a_failed_boot() {
    for refusal in [
        "HTTP/1.1 500 \r\ncontent-length: 3\r\n\r\nwhy",
        "HTTP/1.1 409 \r\ncontent-length: 3\r\n\r\nwhy",
    ] {
        let node = StatefulNode::new(Node::instant());
        let rule = Rule::from(Fault::raw(refusal)).on("POST", Activate.path()).forever();
        node.node.inject(rule);
        let ran = run(node.updater(&["-one-time"]).stdin(Stdio::null()));
        assert_eq!(ran.status, Some(3));
        assert_eq!(node.node.look(|view| view.node.state()), Some(State::Staged));
        node.reboot();
        let outcome = node.cycle(&["-stage-only"]);
        assert!(
            outcome.iter().all(|line| !line.contains("did not boot")),
            "{refusal}: {outcome:?}"
        );
    }
}
