//! A version that is Ready and no longer chosen: withdrawn, locked out, or replaced.

use super::{
    NOT_CHOSEN_STAGED, NOTHING_STAGED, Node, OFTEN, READY, REPLACED, STOPPED, WITHDRAWN, instant,
    side_by_side, started,
};
use crate::common::daemon::{LONG, Running};
use crate::configuration::minutes_from_now;
use bottlerocket_simulator::Command::{Activate, Deactivate, Prepare, Refresh};
use bottlerocket_simulator::State::{Ready, Staged};
use bottlerocket_simulator::{Node as Simulated, View};
use rustix::process::Signal;

/// A way in which 1.26.1 stops being the chosen version: its name, what happens, and the log
/// of the next cycle in a closed window.
type Way = (&'static str, fn(&mut Simulated), [&'static str; 2]);

const WAYS: [Way; 3] = [
    ("withdrawn", |node| node.options.offer.clear(), [WITHDRAWN, NOTHING_STAGED]),
    ("locked", |node| node.options.version_lock = "1.26.0".into(), [WITHDRAWN, NOT_CHOSEN_STAGED]),
    (
        "replaced",
        |node| node.options.offer.push("1.26.2".into()),
        [
            REPLACED,
            "info: update is waiting for the next window state=Staged version=1.26.2 opens=",
        ],
    ),
];

fn ready_node() -> Node {
    let node = Node::new(instant());
    node.run(&[Refresh, Prepare, Activate]);
    node
}

fn deactivates(node: &Node) -> usize {
    node.simulator.look(|view| view.count("POST", Deactivate.path()))
}

#[test]
fn ready_update_is_deactivated_outside_of_the_windows() {
    let [(begin, _), (end, _)] = [6, 7].map(minutes_from_now);
    let window = format!("-window={begin}-{end}");
    side_by_side(WAYS, |(name, happens, [deactivated, after])| {
        let node = ready_node();
        // As long as it is chosen, it stays Ready.
        node.one_time(&[&window]).is(0, &[READY]);
        node.simulator.change(|node, _| happens(node));
        let summary = node.one_time(&[&window]).summary();
        assert_eq!(summary[0], deactivated, "{name}");
        assert!(summary[1].starts_with(after) && summary.len() == 2, "{name}: {summary:?}");
        assert_eq!(node.state(), Some(Staged), "{name}");
    });
}

/// Nobody restarts the updater or reboots the node.
#[test]
fn daemon_deactivates_a_ready_update_in_its_next_cycle() {
    side_by_side(&WAYS[..2], |(name, happens, [deactivated, after])| {
        let node = ready_node();
        let mut updater = Running::start(&mut node.updater(&OFTEN));
        updater.wait_for("ready, waiting for the reboot");
        node.simulator.change(|node, _| happens(node));
        node.wait_for_state(Staged);
        node.wait_for_status_requests(6);
        let summary = updater.stop(Signal::TERM).summary();
        assert_eq!(summary, [&started(&node, "50ms"), READY, deactivated, after, STOPPED]);
        assert_eq!((node.state(), deactivates(&node)), (Some(Staged), 1), "{name}");
    });
}

#[test]
fn version_that_is_offered_again_is_activated_again() {
    let node = ready_node();
    node.simulator.change(|node, _| node.options.version_lock = "1.26.0".into());
    node.one_time(&[]).is(0, &[WITHDRAWN, NOT_CHOSEN_STAGED]);
    node.simulator.change(|node, _| node.options.version_lock = "latest".into());
    node.one_time(&[]).is(0, &["info: activated version=1.26.1 took=_", READY]);
}

#[test]
fn deactivate_that_fails_is_repeated_in_each_cycle() {
    let node = ready_node();
    node.simulator.change(|node, _| {
        node.options.offer.clear();
        node.fail_always(Deactivate, 1, "no luck");
    });
    let mut updater = Running::start(&mut node.updater(&OFTEN));
    let tried = |view: &View| view.count("POST", Deactivate.path()) >= 4;
    assert!(node.simulator.wait_until(LONG, tried));
    assert_eq!(node.state(), Some(Ready));
    node.simulator.change(|node, _| node.succeed(Deactivate));
    updater.wait_for("nothing to do");
    let mut summary = updater.stop(Signal::TERM).summary();
    summary.dedup();
    let failed = "error: command failed command=deactivate version=1.26.1 status=Failed \
                  exit_status=1 took=_ stderr=no luck";
    let expected = [&started(&node, "50ms"), failed, WITHDRAWN, NOTHING_STAGED, STOPPED];
    assert_eq!(summary, expected);
}

#[test]
fn refresh_that_fails_deactivates_nothing() {
    side_by_side(WAYS, |(name, happens, _)| {
        let node = ready_node();
        node.simulator.change(|node, _| {
            happens(node);
            node.fail_always(Refresh, 1, "no network");
        });
        let failed = "error: command failed command=refresh status=Failed exit_status=1 took=_ \
                      stderr=no network";
        for _ in 0..2 {
            node.one_time(&[]).is(3, &[failed]);
        }
        // Another client's refresh has shown the withdrawal before.
        node.simulator.change(|node, _| node.succeed(Refresh));
        node.run(&[Refresh]);
        node.simulator.change(|node, _| node.fail_always(Refresh, 1, "no network"));
        node.one_time(&[]).is(3, &[failed]);
        assert_eq!((node.state(), deactivates(&node)), (Some(Ready), 0), "{name}");
    });
}

#[test]
fn stage_only_leaves_what_others_have_activated_alone() {
    side_by_side(WAYS, |(name, happens, _)| {
        let node = ready_node();
        node.simulator.change(|node, _| happens(node));
        node.one_time(&["-stage-only"]).is(0, &[READY]);
        assert_eq!((node.state(), deactivates(&node)), (Some(Ready), 0), "{name}");
        // It is refreshed nevertheless, so that the metrics show what is chosen.
        assert_eq!(node.requests(), ["GET 200", "refresh 204", "GET 200"], "{name}");
    });
}

#[test]
fn ready_update_is_only_read_without_refresh_ready() {
    side_by_side(WAYS, |(name, happens, _)| {
        let node = ready_node();
        node.simulator.change(|node, _| happens(node));
        node.one_time(&["-refresh-ready=false"]).is(0, &[READY]);
        assert_eq!(node.requests(), ["GET 200"], "{name}");
    });
}
