//! What holds in all states.

use crate::{assert_holds, find};
use bottlerocket_model::fleet::Fleet;
use bottlerocket_model::settings::{Grain, Settings};
use stateright::{Checker, Model};

#[test]
fn one_node_call_by_call() {
    assert_holds("one node", Settings::new(1));
}

#[test]
fn one_node_and_losses_of_power() {
    let settings = Settings { losses: 2, ..Settings::new(1) };
    assert_holds("one node, two losses of power", settings);
}

#[test]
fn one_node_and_a_loss_of_power_in_a_first_boot() {
    let settings = Settings { boot_losses: 1, ..Settings::new(1) };
    assert_holds("one node, a loss of power in a first boot", settings);
}

#[test]
fn one_node_and_restarts() {
    let settings = Settings { failures: 1, restarts: 1, ..Settings::new(1) };
    assert_holds("one node, a command fails, a program restarts", settings);
}

#[test]
fn one_node_and_an_operator() {
    let settings = Settings { hands: 1, ..Settings::new(1) };
    assert_holds("one node, an operator", settings);
}

#[test]
fn one_node_whose_updater_forgets_at_each_boot() {
    let settings = Settings { keeps_state: false, boot_losses: 1, ..Settings::new(1) };
    assert_holds("one node, no state, a loss of power", settings);
}

#[test]
fn two_nodes_command_by_command() {
    let settings = Settings { grain: Grain::Command, ..Settings::new(2) };
    assert_holds("two nodes", settings);
}

#[test]
fn two_nodes_and_losses_of_power() {
    let settings = Settings { losses: 1, boot_losses: 1, grain: Grain::Cycle, ..Settings::new(2) };
    assert_holds("two nodes, two losses of power", settings);
}

#[test]
fn two_nodes_and_an_operator() {
    let settings = Settings { hands: 1, grain: Grain::Cycle, ..Settings::new(2) };
    assert_holds("two nodes, an operator", settings);
}

#[test]
fn three_nodes_of_which_two_are_drained_at_once() {
    let settings = Settings { concurrency: 2, grain: Grain::Cycle, ..Settings::new(3) };
    assert_holds("three nodes, --concurrency=2", settings);
}

#[test]
fn three_nodes_and_a_loss_of_power() {
    let settings = Settings { boot_losses: 1, grain: Grain::Cycle, ..Settings::new(3) };
    assert_holds("three nodes, a loss of power", settings);
}

#[test]
fn three_nodes_without_the_updaters_state() {
    let grain = Grain::Cycle;
    let settings = Settings { keeps_state: false, boot_losses: 1, grain, ..Settings::new(3) };
    assert_holds("three nodes, no state, a loss of power", settings);
}

#[test]
fn three_nodes_and_restarts() {
    let settings = Settings { restarts: 1, grain: Grain::Cycle, ..Settings::new(3) };
    assert_holds("three nodes, a program restarts", settings);
}

/// The search of stateright itself, which does not look back from the goals, goes through
/// the same states.
#[test]
fn stateright_finds_the_same_states() {
    let settings = Settings { boot_losses: 1, ..Settings::new(1) };
    let fleet = Fleet(settings.clone());
    let states = find(&fleet, fleet.properties(), true).states;
    let checker = Fleet(settings).checker().spawn_bfs().join();
    checker.assert_properties();
    assert_eq!(checker.unique_state_count(), states);
}
