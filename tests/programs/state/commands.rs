//! Commands that end while the updater is down.

use super::StatefulNode;
use crate::common::daemon::{LONG, Outcome, Running};
use crate::common::records::Format;
use crate::common::{Node, run};
use bottlerocket_simulator::Command::Prepare;
use bottlerocket_simulator::{Ending, MANUAL};
use std::time::Duration;

#[test]
fn outcome_of_a_command_that_ended_while_the_updater_was_down_is_told_once() {
    let failed = "error: command failed command=prepare version=1.26.1 status=Failed \
                  exit_status=1 stderr=disk is broken";
    for (ending, told) in [
        (None, "info: prepared version=1.26.1"),
        (Some(Ending::failed(1, "disk is broken")), failed),
    ] {
        let node = StatefulNode::new(Node::instant());
        node.node.change(|node, _| {
            *node.options.time(Prepare) = MANUAL;
            if let Some(ending) = ending {
                node.end_next(Prepare, ending);
            }
        });
        let mut updater = Running::start(&mut node.updater(&["-one-time"]));
        assert!(node.node.wait_until(LONG, |view| view.node.busy() == Some(Prepare)));
        updater.child.kill().unwrap();
        updater.child.wait().unwrap();
        node.node.change(|node, _| *node.options.time(Prepare) = Duration::ZERO);
        node.node.finish();
        // Whatever becomes of the cycle: the outcome is its first line, and the next one
        // does not repeat it.
        let cycle =
            || Outcome::of(run(&mut node.updater(&["-one-time"])), Format::Logfmt).summary();
        let outcome = cycle();
        assert_eq!(outcome[0], told, "{outcome:?}");
        assert!(!outcome[1..].contains(&outcome[0]), "{outcome:?}");
        let again = cycle();
        assert!(!again.contains(&outcome[0]), "{again:?}");
    }
}
