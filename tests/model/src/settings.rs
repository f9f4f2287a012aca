//! What the operator has set, what may go wrong, and which rules are broken on purpose.

use bottlerocket_updater::updater::cycle;
use std::time::Duration;

/// What a run depends on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many nodes Kured may drain at once.
    pub concurrency: usize,
    /// The settings of the updater's cycles.
    pub updater: cycle::Settings,
    /// How often a version may fail to boot until it is held back.
    pub boot_attempts: u64,
    /// How long the reboot program waits for commands of others.
    pub timeout: Duration,
    /// After which time a version that is held back is tried again.
    pub retry_failed_boot: Option<Duration>,
    /// Whether the updater's state outlives a reboot: it is on the host.
    pub keeps_state: bool,
    /// How much the updater and the reboot program do in one step.
    pub grain: Grain,
    /// How often power is lost, on all nodes together.
    pub losses: u8,
    /// How often power is lost in the first boot of a version, on all nodes together.
    pub boot_losses: u8,
    /// Whether a node may go down between the updater's note that it activates a version
    /// and the end of the activation. Power may be lost then in any case.
    pub reboots_cut_in: bool,
    /// How many update commands fail.
    pub failures: u8,
    /// How often a program restarts.
    pub restarts: u8,
    /// How often the operator does something by hand.
    pub hands: u8,
    /// What makes Kured let the next node go too early, once.
    pub early: Option<Early>,
    /// The rule that is broken on purpose.
    pub broken: Option<Rule>,
}

/// How much the updater and the reboot program do in one step, in which nothing else
/// happens on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// One call of the API, or one change of a file. A command of the API ends in a step of
    /// its own.
    Call,
    /// From one command to the next: the command is sent, it ends, and the status shows
    /// what to do next. The steps end right before a command is sent, the record is
    /// written, or the reboot is requested.
    Command,
    /// A whole cycle of the updater, or a whole run of the reboot program.
    Cycle,
}

/// What makes Kured let the next node go too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Early {
    /// Kured restarts between the reboot command's success and the shutdown.
    KuredRestarts,
    /// Its DaemonSet is deleted and made anew.
    DaemonSetReplaced,
    /// `--concurrency` is changed between 1 and more.
    LockFormatChanged,
    /// The Kubernetes API cannot be reached for five minutes when Kured starts.
    NoKubernetes,
}

/// A rule that can be broken, to show that the model finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The reboot program refreshes, and reboots only into what is still chosen.
    Confirms,
    /// The gate holds if the version before the reboot runs again. Broken, it holds
    /// unless the version that was to come runs.
    ComparesWithTheOldVersion,
    /// Kured keeps the lock after the reboot command has succeeded.
    KeepsTheLock,
    /// The record is removed when the reboot did not take place.
    RemovesTheRecord,
    /// The checker says yes only if the state is Ready. Broken, Staged is enough.
    TrustsOnlyReady,
}

impl Settings {
    /// The settings of the manifests, without anything that goes wrong.
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes,
            concurrency: 1,
            updater: cycle::Settings { refresh_ready: true, ..cycle::Settings::default() },
            boot_attempts: 2,
            timeout: Duration::from_secs(120),
            retry_failed_boot: Some(Duration::from_secs(24 * 60 * 60)),
            keeps_state: true,
            grain: Grain::Call,
            losses: 0,
            boot_losses: 0,
            reboots_cut_in: false,
            failures: 0,
            restarts: 0,
            hands: 0,
            early: None,
            broken: None,
        }
    }

    /// The same, with an update that the reboot program activates.
    pub fn at_reboot(nodes: usize) -> Self {
        let mut settings = Self::new(nodes);
        settings.updater.activate_at_reboot = true;
        settings
    }

    /// Whether `rule` is broken.
    pub fn breaks(&self, rule: Rule) -> bool {
        self.broken == Some(rule)
    }
}
