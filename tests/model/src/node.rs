//! One node: its host, and the programs that run on it.

use crate::gate::Gate;
use crate::host::{Host, NAMES};
use crate::kured::Kured;
use crate::reboot::Program;
use crate::repository::Repository;
use crate::updater::Updater;
use bottlerocket_updater::record::RebootRecord;

/// The reboot that is under way, if it was requested by a program of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// Which program it was.
    pub by: Requester,
    /// Whether the repository did not offer the bad version when the program started.
    pub was_withdrawn: bool,
    /// Whether the last status that the program read showed that what is ready is not
    /// chosen.
    pub saw_withdrawal: bool,
    /// Whether the fleet has taken note of it.
    pub is_noted: bool,
}

/// A program that requests reboots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Requester {
    /// The reboot program, for Kured.
    Kured,
    /// The gate.
    Gate,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its host.
    pub host: Host,
    /// Its updater.
    pub updater: Updater,
    /// The file of the updater's state.
    pub history: Vec<u8>,
    /// The file of the reboot program's record.
    pub record: Option<Vec<u8>>,
    /// Its Kured, with what runs in Kured's pod.
    pub kured: Kured,
    /// Whether it has Kured's lock, or a part of it.
    pub has_lock: bool,
    /// Whether it is cordoned.
    pub is_cordoned: bool,
    /// The reboot that is under way.
    pub request: Option<Request>,
}

impl Node {
    /// A node that runs the old version, and on which all programs have just started.
    pub fn new() -> Self {
        Self {
            host: Host::new(),
            updater: Updater::Resting,
            history: Vec::new(),
            record: None,
            kured: Kured::Idle,
            has_lock: false,
            is_cordoned: false,
            request: None,
        }
    }

    /// The id of the boot.
    pub fn boot_id(&self) -> &'static str {
        NAMES[self.host.boot]
    }

    /// The record.
    pub fn read_record(&self) -> Option<RebootRecord> {
        self.record.as_deref().map(|file| RebootRecord::read(file).expect("a complete record"))
    }

    /// Ends the update command that runs. Returns `false` if there is none.
    pub fn finish_command(&mut self, succeeds: bool, repository: Repository) -> bool {
        let is_running = self.host.command.is_some();
        let noted = self.kured.program().and_then(Program::noted);
        self.finish_command_of(noted, succeeds, repository);
        self.forget_time();
        is_running
    }

    /// Ends the update command that runs, while the reboot program has `noted` a time.
    pub fn finish_command_of(
        &mut self,
        noted: Option<usize>,
        succeeds: bool,
        repository: Repository,
    ) {
        self.host.finish(succeeds, repository, [self.updater.noted(), noted]);
    }

    /// Forgets when the last command ended, if nobody remembers it either: otherwise
    /// states would count as different that are not.
    pub fn forget_time(&mut self) {
        if self.updater.noted().is_none() && self.kured.program().and_then(Program::noted).is_none()
        {
            self.host.forget_time();
        }
    }

    /// Goes down and boots. All processes start anew, Kured's init containers first.
    pub fn boot(&mut self, power_is_lost: bool, keeps_state: bool) -> bool {
        let boot = self.new_boot_id();
        self.host.boot(power_is_lost, boot);
        self.request = None;
        if !keeps_state {
            self.history.clear();
        }
        self.updater = Updater::Resting;
        self.kured = Kured::InInit(Gate::Started);
        true
    }

    /// Whether the gate has looked and holds the node, although another version runs than
    /// before the reboot.
    pub fn is_held_with_another_version(&self) -> bool {
        self.kured == Kured::InInit(Gate::Looking)
            && self
                .read_record()
                .is_some_and(|record| record.running != self.host.running.image().version)
    }

    /// An id that no file mentions. Ids are used again, so that the number of states is
    /// finite.
    fn new_boot_id(&self) -> usize {
        let files = [Some(&self.history), self.record.as_ref()];
        let mentions = |name: &str| {
            files.into_iter().flatten().any(|file| {
                String::from_utf8_lossy(file).split(['\t', '\n']).any(|field| field == name)
            })
        };
        NAMES.iter().position(|name| !mentions(name)).expect("files mention few boots")
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}
