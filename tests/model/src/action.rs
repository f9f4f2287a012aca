//! What can happen to a fleet.

use crate::repository::Repository;
use std::fmt::{self, Display, Formatter};

/// Something that happens. The number is that of a node, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The updater makes its next step, or begins a cycle.
    UpdaterActs(usize),
    /// The updater begins a cycle a long time later.
    UpdaterActsLate(usize),
    /// The update command that runs ends.
    CommandEnds(usize),
    /// Kured makes its next step, or the reboot program or the gate in its pod.
    KuredActs(usize),
    /// The node goes down after a request, and boots.
    Reboots(usize),
    /// The repository offers something else.
    Offers(Repository),

    /// The update command that runs fails.
    CommandFails(usize),
    /// The update command that runs takes so long that the reboot program does not wait.
    CommandTakesLong(usize),
    /// The reboot that the reboot program or the gate requests is refused.
    RebootIsRefused(usize),
    /// The updater restarts.
    UpdaterRestarts(usize),
    /// Kured's container, or the gate's, restarts. Not after Kured's reboot command has
    /// succeeded.
    KuredRestarts(usize),
    /// Power is lost and comes back.
    PowerIsLost(usize),
    /// Power is lost while the node boots for the first time after a request.
    PowerIsLostInBoot(usize),

    /// The operator activates what is staged.
    OperatorActivates(usize),
    /// The operator deactivates what is ready.
    OperatorDeactivates(usize),
    /// The operator requests a reboot.
    OperatorReboots(usize),
    /// The operator opens the gate.
    OperatorReleases(usize),

    /// Kured's container restarts after the reboot command has succeeded, and before the
    /// node goes down.
    KuredRestartsTooEarly(usize),
    /// Kured's DaemonSet is deleted and made anew: the lock is gone, and all pods are new.
    DaemonSetIsReplaced,
    /// `--concurrency` is changed: the lock has the other format, and counts as free.
    LockFormatChanges,
    /// Kured starts while the Kubernetes API cannot be reached, and gives up after five
    /// minutes: it goes on with neither lock nor cordon changed.
    KuredStartsWithoutKubernetes(usize),
}

impl Action {
    /// Whether this is a fault, or done by hand. The fleet must not need it to arrive.
    pub fn is_extra(&self) -> bool {
        !matches!(
            self,
            Self::UpdaterActs(_)
                | Self::UpdaterActsLate(_)
                | Self::CommandEnds(_)
                | Self::KuredActs(_)
                | Self::Reboots(_)
                | Self::Offers(_)
        )
    }

    /// The node to which it happens.
    pub fn node(&self) -> Option<usize> {
        match *self {
            Self::UpdaterActs(node)
            | Self::UpdaterActsLate(node)
            | Self::CommandEnds(node)
            | Self::KuredActs(node)
            | Self::Reboots(node)
            | Self::CommandFails(node)
            | Self::CommandTakesLong(node)
            | Self::RebootIsRefused(node)
            | Self::UpdaterRestarts(node)
            | Self::KuredRestarts(node)
            | Self::PowerIsLost(node)
            | Self::PowerIsLostInBoot(node)
            | Self::OperatorActivates(node)
            | Self::OperatorDeactivates(node)
            | Self::OperatorReboots(node)
            | Self::OperatorReleases(node)
            | Self::KuredRestartsTooEarly(node)
            | Self::KuredStartsWithoutKubernetes(node) => Some(node),
            Self::Offers(_) | Self::DaemonSetIsReplaced | Self::LockFormatChanges => None,
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        if let Some(node) = self.node() {
            write!(f, "node {}: ", node + 1)?;
        }
        f.write_str(match self {
            Self::UpdaterActs(_) => "the updater makes a step",
            Self::UpdaterActsLate(_) => "the updater begins a cycle a long time later",
            Self::CommandEnds(_) => "the update command ends",
            Self::KuredActs(_) => "Kured makes a step",
            Self::Reboots(_) => "the node reboots",
            Self::Offers(Repository::Bad) => "the repository offers the bad version",
            Self::Offers(Repository::Old) => "the repository withdraws the bad version",
            Self::Offers(Repository::Good) => "the repository offers the good version",
            Self::CommandFails(_) => "the update command fails",
            Self::CommandTakesLong(_) => "the reboot program does not wait any longer",
            Self::RebootIsRefused(_) => "the reboot is refused",
            Self::UpdaterRestarts(_) => "the updater restarts",
            Self::KuredRestarts(_) => "Kured or the gate restarts",
            Self::PowerIsLost(_) => "power is lost",
            Self::PowerIsLostInBoot(_) => "power is lost in the first boot",
            Self::OperatorActivates(_) => "the operator activates what is staged",
            Self::OperatorDeactivates(_) => "the operator deactivates what is ready",
            Self::OperatorReboots(_) => "the operator reboots the node",
            Self::OperatorReleases(_) => "the operator opens the gate",
            Self::KuredRestartsTooEarly(_) => "Kured restarts before the node goes down",
            Self::DaemonSetIsReplaced => "Kured's DaemonSet is replaced",
            Self::LockFormatChanges => "the format of Kured's lock changes",
            Self::KuredStartsWithoutKubernetes(_) => "Kured starts without the Kubernetes API",
        })
    }
}
