//! Withdrawn versions: one more refresh right before the reboot.

use super::{GET, ON_ITS_WAY, POST, SOON, STEPS, boots, masked, printed};
use crate::common::cases::side_by_side;
use crate::common::{Node, Ran, run, run_within};
use bottlerocket_simulator::Command::{Activate, Deactivate, Refresh};
use bottlerocket_simulator::{Fault, Lock, MANUAL, Rule, State, Then};
use std::time::UNIX_EPOCH;

const REFRESH: &str = "POST /actions/refresh-updates";
const DEACTIVATE: &str = "POST /actions/deactivate-update";

const DEACTIVATING: &str = "bottlerocket-reboot: 1.26.1 is Ready but no longer chosen; \
                            deactivating it instead of rebooting\n";
const WITHDRAWN: &str = "not rebooting: the update has been deactivated: state Staged, ";
const RELYING: &str = "relying on the last refresh that succeeded";
const RUNNING: &str = "; running 1.26.0, variant aws-k8s-1.30, arch x86_64";

fn confirm(node: &Node) -> Ran {
    masked(node, run(node.program("reboot").args(["-confirm", "-timeout=20s"])))
}

/// Withdraws 1.26.1 from the repository of a node that is Ready.
fn withdraw(node: &Node, offer: &[&str]) {
    let offer = offer.iter().map(|version| version.to_string()).collect();
    node.change(|node, _| node.options.offer = offer);
}

/// Checks that the node did not reboot, and that the update is in this state.
#[track_caller]
fn has_not_rebooted(node: &Node, state: State) {
    assert_eq!((boots(node), node.look(|view| view.node.state())), (1, Some(state)));
    assert!(!node.requested().contains(&POST.into()));
}

#[test]
fn version_that_is_still_chosen_is_booted() {
    let node = Node::after(&STEPS);
    assert_eq!(confirm(&node), printed(0, ON_ITS_WAY));
    assert_eq!(node.requested(), [GET, REFRESH, GET, POST]);
    assert_eq!(node.look(|view| view.node.options.running.clone()), "1.26.1");
}

#[test]
fn version_that_is_withdrawn_is_deactivated() {
    let offers: [(&[&str], &str); 3] = [
        (&[], "no update chosen"),
        (&["1.26.2", "1.26.1"], "1.26.2 is chosen but not prepared"),
        (&["1.26.1"], "no update chosen"),
    ];
    for (offer, chosen) in offers {
        let node = Node::after(&STEPS);
        withdraw(&node, offer);
        if offer == ["1.26.1"] {
            node.change(|node, _| node.options.version_lock = "v1.26.0".into());
        }
        let mut expected = printed(1, &format!("{WITHDRAWN}{chosen}{RUNNING}"));
        expected.stderr = DEACTIVATING.into();
        assert_eq!(confirm(&node), expected);
        assert_eq!(node.requested(), [GET, REFRESH, GET, DEACTIVATE, GET]);
        has_not_rebooted(&node, State::Staged);
        // So Kured does not drain the node again.
        assert_eq!(run(&mut node.program("checker")).status, Some(1));
    }
}

#[test]
fn refresh_that_fails_does_not_prevent_the_reboot() {
    let unconfirmed = |why: &str| Ran {
        stderr: format!("bottlerocket-reboot: {why}; {RELYING}\n"),
        ..printed(0, ON_ITS_WAY)
    };
    let node = Node::after(&STEPS);
    node.change(|node, _| node.fail_next(Refresh, 1, "no route to host"));
    let why = "refresh failed (Failed, exit status 1): no route to host";
    assert_eq!(confirm(&node), unconfirmed(why));
    assert_eq!(node.requested(), [GET, REFRESH, GET, POST]);

    let node = Node::after(&STEPS);
    let answer = "HTTP/1.1 500 \r\ncontent-length: 2\r\n\r\nno";
    node.inject(Rule::from(Fault::raw(answer)).on("POST", "/actions/refresh-updates"));
    let why = "cannot refresh the updates through SOCKET: the API returned 500: no";
    assert_eq!(confirm(&node), unconfirmed(why));
    assert_eq!(node.requested(), [GET, REFRESH, GET, POST]);

    // The repository is slow. The limit is 30 s, or half of the timeout.
    let node = Node::after(&STEPS);
    node.change(|node, _| node.options.refresh_time = MANUAL);
    let ran = run_within(SOON, node.program("reboot").args(["-confirm", "-timeout=8s"]));
    assert_eq!((ran.status, ran.stdout), (Some(0), format!("{ON_ITS_WAY}\n")));
    let why = ": the refresh is still running after ";
    let is_told = ran.stderr.contains(why) && ran.stderr.ends_with(&format!("; {RELYING}\n"));
    assert!(is_told, "{}", ran.stderr);
    assert_eq!(boots(&node), 2);
}

/// The status shows what an earlier refresh has found, for example the updater's.
#[test]
fn version_that_was_withdrawn_before_a_failed_refresh_is_deactivated() {
    let node = Node::after(&STEPS);
    withdraw(&node, &[]);
    node.run(Refresh).unwrap();
    node.change(|node, _| node.fail_next(Refresh, 1, "no route to host"));
    let ran = confirm(&node);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.stderr.ends_with(DEACTIVATING), "{ran:?}");
    has_not_rebooted(&node, State::Staged);
}

/// The answer to the request breaks, and the refresh runs nevertheless.
#[test]
fn refresh_whose_answer_is_lost_counts() {
    let node = Node::after(&STEPS);
    withdraw(&node, &[]);
    let lost = Fault::Cut(0, Then::Close);
    node.inject(Rule::from(lost).on("POST", "/actions/refresh-updates"));
    let ran = confirm(&node);
    assert_eq!((ran.status, &*ran.stderr), (Some(1), DEACTIVATING), "{ran:?}");
    has_not_rebooted(&node, State::Staged);
}

#[test]
fn deactivate_that_fails_is_repeated() {
    let node = Node::after(&STEPS);
    withdraw(&node, &[]);
    for _ in 0..2 {
        node.change(|node, _| node.fail_next(Deactivate, 1, "disk error"));
    }
    let ran = confirm(&node);
    assert_eq!((ran.status, &*ran.stderr), (Some(1), DEACTIVATING), "{ran:?}");
    let requested = node.requested();
    assert_eq!(requested.iter().filter(|request| *request == DEACTIVATE).count(), 3);
    has_not_rebooted(&node, State::Staged);
}

/// Kured releases its lock. The checker must say no, or Kured drains the node every few
/// minutes.
#[test]
fn update_that_cannot_be_deactivated_is_neither_booted_nor_reported() {
    side_by_side(vec![false, true], |is_locked| {
        let node = Node::after(&STEPS);
        withdraw(&node, &[]);
        node.change(|node, _| node.fail_always(Deactivate, 1, "disk error"));
        node.before_each(move |node, request| {
            if is_locked && request.path.contains("deactivate") {
                node.set_lock(Some(Lock::Exclusive));
            }
        });
        let ran = run_within(SOON, node.program("reboot").args(["-confirm", "-timeout=4s"]));
        assert_eq!((ran.status, &*ran.stdout), (Some(3), ""), "{ran:?}");
        let line = ran.stderr.strip_prefix(DEACTIVATING).unwrap();
        let start = "bottlerocket-reboot: not rebooting: the update could not be deactivated: ";
        assert!(line.starts_with(start), "{line}");
        // On a busy machine, the last look may have no time left.
        let is_late = line.contains("timed out waiting for a response");
        assert!(is_late || is_locked != line.contains("disk error"), "{line}");
        assert!(line.ends_with("To deactivate it, run apiclient update cancel\n"), "{line}");
        has_not_rebooted(&node, State::Ready);
        node.set_lock(None);
        let checked = run(&mut node.program("checker"));
        let answer = format!(
            "no: state Ready, the next boot starts 1.26.1, but no update is chosen{RUNNING}"
        );
        assert_eq!(checked, printed(1, &answer));
        // The repository offers it again.
        withdraw(&node, &["1.26.1"]);
        node.run(Refresh).unwrap();
        assert_eq!(run(&mut node.program("checker")).status, Some(0));
    });
}

#[test]
fn node_that_is_locked_or_not_ready_is_not_rebooted() {
    let node = Node::after(&STEPS);
    // The status can be read, but no command can start.
    node.set_lock(Some(Lock::Shared));
    let ran = run_within(SOON, node.program("reboot").args(["-confirm", "-timeout=3s"]));
    assert_eq!(ran, printed(1, "not rebooting: update lock held for 3s"));
    has_not_rebooted(&node, State::Ready);

    let node = Node::after(&STEPS[..2]);
    let line = "state Staged, 1.26.1 is prepared but not activated";
    assert_eq!(confirm(&node), printed(1, &format!("not rebooting: {line}{RUNNING}")));
    assert_eq!(node.requested(), [GET]);
    // Somebody deactivates the update meanwhile.
    node.run(Activate).unwrap();
    node.before_each(|node, request| {
        if request.path.contains("refresh") {
            let now = UNIX_EPOCH.elapsed().unwrap();
            node.run(Deactivate, now).unwrap();
        }
    });
    assert_eq!(confirm(&node), printed(1, &format!("not rebooting: {line}{RUNNING}")));
    has_not_rebooted(&node, State::Staged);
}

/// The lock of another client's command is released in time.
#[test]
fn waits_for_the_lock_before_the_refresh() {
    let node = Node::after(&STEPS);
    node.set_lock(Some(Lock::Shared));
    let mut refreshes = 0;
    node.before_each(move |node, request| {
        refreshes += u32::from(request.path.contains("refresh"));
        if refreshes == 3 {
            node.set_lock(None);
        }
    });
    assert_eq!(confirm(&node), printed(0, ON_ITS_WAY));
    assert_eq!(node.requested(), [GET, REFRESH, REFRESH, REFRESH, GET, POST]);
}

#[test]
fn api_that_restarts_during_the_refresh_is_asked_again() {
    let node = Node::after(&STEPS);
    let busy = "HTTP/1.1 408 \r\ncontent-length: 0\r\n\r\n";
    node.inject(Rule::from(Fault::raw(busy)).on("POST", "/actions/refresh-updates"));
    node.inject(Rule::from(Fault::close()).on("GET", "/updates/status").after(1));
    let ran = confirm(&node);
    assert_eq!(ran, printed(0, ON_ITS_WAY));
    assert_eq!(node.requested(), [GET, REFRESH, REFRESH, GET, GET, POST]);
}
