//! What the promise does not cover, as docs/design.md tells it.

use crate::{assert_breaks, explore};
use bottlerocket_model::fleet::{CORDONED, DRAINED, DRAINS, TRIES};
use bottlerocket_model::search::ARRIVES;
use bottlerocket_model::settings::{Early, Grain, Settings};

/// All that does not hold once `early` has happened.
fn broken_by(early: Early) -> Vec<&'static str> {
    let mut broken: Vec<&str> = Vec::new();
    // Ends: each turn adds one of a few properties.
    loop {
        let grain = Grain::Cycle;
        let settings = Settings { early: Some(early), grain, ..Settings::new(2) };
        let name = format!("{early:?}");
        let Some((what, path)) = explore(&name, settings, |each| !broken.contains(&each)) else {
            broken.sort_unstable();
            return broken;
        };
        println!("{name}: does not hold: {what}\n{path}");
        broken.push(what);
    }
}

#[test]
fn kured_restarts_before_the_node_goes_down() {
    assert_eq!(broken_by(Early::KuredRestarts), [DRAINS, TRIES, DRAINED]);
}

#[test]
fn daemon_set_of_kured_is_replaced() {
    assert_eq!(broken_by(Early::DaemonSetReplaced), [ARRIVES, DRAINS, TRIES, CORDONED]);
}

#[test]
fn format_of_the_lock_changes() {
    assert_eq!(broken_by(Early::LockFormatChanged), [ARRIVES, DRAINS, TRIES, CORDONED]);
}

#[test]
fn kured_starts_without_the_kubernetes_api() {
    assert_eq!(broken_by(Early::NoKubernetes), [ARRIVES]);
}

/// Two failures in a row are no chance: the gate holds, also for a good version.
#[test]
fn power_is_lost_in_both_first_boots() {
    let settings = Settings { boot_losses: 2, grain: Grain::Cycle, ..Settings::new(2) };
    assert_breaks("power is lost in both first boots", settings, ARRIVES);
}

/// The reboot program was killed between the record and the request, so the record is that
/// of a reboot that did not take place.
#[test]
fn reboot_program_is_killed_right_before_its_request() {
    let settings = Settings { restarts: 1, losses: 1, grain: Grain::Command, ..Settings::new(1) };
    assert_breaks("the reboot program is killed right before its request", settings, DRAINED);
}

/// A reboot after which the old version runs counts as a failed boot, also if somebody has
/// deactivated the version while the node went down.
#[test]
fn operator_deactivates_while_the_node_goes_down_and_power_is_lost() {
    let settings = Settings { hands: 1, boot_losses: 1, grain: Grain::Cycle, ..Settings::new(1) };
    let name = "the operator deactivates, and power is lost in the other first boot";
    assert_breaks(name, settings, ARRIVES);
}

/// The updater notes that it activates a version before it does so. If the node goes down in
/// between, the version counts as failed.
#[test]
fn node_goes_down_during_an_activation_and_power_is_lost() {
    let settings = Settings { reboots_cut_in: true, boot_losses: 1, ..Settings::new(1) };
    let name = "the node goes down during an activation, and power is lost in a first boot";
    assert_breaks(name, settings, ARRIVES);
}
