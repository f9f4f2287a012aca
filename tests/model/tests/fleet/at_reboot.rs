//! What holds where the reboot program activates the update.

use crate::assert_holds;
use bottlerocket_model::settings::{Grain, Settings};

#[test]
fn one_node_call_by_call() {
    assert_holds("at the reboot, one node, call by call", Settings::at_reboot(1));
}

#[test]
fn one_node_with_failures_and_restarts() {
    let settings = Settings { failures: 1, restarts: 1, ..Settings::at_reboot(1) };
    assert_holds("at the reboot, one node, a failure, a restart", settings);
}

#[test]
fn one_node_and_a_loss_of_power() {
    let settings = Settings { losses: 1, ..Settings::at_reboot(1) };
    assert_holds("at the reboot, one node, a loss of power", settings);
}

#[test]
fn two_nodes_command_by_command() {
    let settings = Settings { grain: Grain::Command, ..Settings::at_reboot(2) };
    assert_holds("at the reboot, two nodes", settings);
}
