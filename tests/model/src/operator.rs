//! The operator, who does something by hand.

use crate::kured::Kured;
use crate::node::Node;
use crate::repository::Repository;
use crate::settings::{Grain, Settings};
use bottlerocket_updater::api::Command;

/// Activates what is staged: `apiclient update apply` does this in the end.
pub fn activates(node: &mut Node, settings: &Settings, repository: Repository) -> bool {
    sends(node, settings, repository, Command::Activate)
}

/// Deactivates what is ready: `apiclient update cancel`.
pub fn deactivates(node: &mut Node, settings: &Settings, repository: Repository) -> bool {
    sends(node, settings, repository, Command::Deactivate)
}

/// Requests a reboot: `apiclient reboot`.
pub fn reboots(node: &mut Node) -> bool {
    node.host.reboot(false, |_| ());
    true
}

/// Removes the record of a node whose gate runs: `bottlerocket-gate -release`.
pub fn releases(node: &mut Node) -> bool {
    matches!(node.kured, Kured::InInit(_)) && node.record.take().is_some()
}

fn sends(node: &mut Node, settings: &Settings, repository: Repository, command: Command) -> bool {
    if node.host.command.is_some() {
        return false;
    }
    node.host.start(command, |_| ());
    let has_started = node.host.command.is_some();
    if settings.grain != Grain::Call {
        node.finish_command(true, repository);
    }
    has_started
}
