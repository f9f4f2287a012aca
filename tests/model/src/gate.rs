//! The gate: the last init container of Kured's pod, with its real rule and the real
//! decision of its reboot.

use crate::node::Node;
use crate::reboot::Luck;
use crate::reboot::{Outcome as Ended, Program};
use crate::repository::Repository;
use crate::settings::{Rule, Settings};
use bottlerocket_updater::api::Answer;
use bottlerocket_updater::api::status::{LastCommand, OwnedImage, Status};
use bottlerocket_updater::cli::exit;
use bottlerocket_updater::gate::state::failed_image;
use bottlerocket_updater::gate::wait::{self, Host, Step};
use bottlerocket_updater::record::RebootRecord;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// What the gate remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It has just started: it does not know whether it has requested a reboot before.
    Started,
    /// It looks from time to time.
    Looking,
    /// It tries to reboot the node once more.
    Rebooting(Box<Program>),
    /// It has tried that a short time ago.
    Requested,
}

/// What a step of the gate leads to.
pub enum Outcome {
    /// Nothing changes.
    Waits,
    /// It goes on.
    Continues(Gate),
    /// It exits, and Kured starts.
    Opens,
}

impl Gate {
    /// Makes the next step.
    pub fn step(
        self,
        node: &mut Node,
        settings: &Settings,
        repository: Repository,
        luck: Luck,
    ) -> Outcome {
        match self {
            Self::Rebooting(mut program) => {
                match program.step(node, settings, repository, luck) {
                    Ended::Waits => return Outcome::Waits,
                    Ended::Continues => return Outcome::Continues(Self::Rebooting(program)),
                    Ended::Exits(exit::SUCCESS) => node.request = Some(program.request()),
                    Ended::Exits(_) => {}
                }
                Outcome::Continues(Self::Requested)
            }
            _ if luck != Luck::Good => Outcome::Waits,
            gate => gate.look(node, settings, repository),
        }
    }

    /// Looks once.
    fn look(self, node: &mut Node, settings: &Settings, repository: Repository) -> Outcome {
        let record = node.read_record();
        match self.decide(node, settings, record.as_ref()) {
            Look::Open { removes_record } => {
                if removes_record && !settings.breaks(Rule::RemovesTheRecord) {
                    node.record = None;
                }
                Outcome::Opens
            }
            Look::Wait => match self {
                // After some time a request that was made would have rebooted the node.
                Self::Started | Self::Requested if !node.host.is_shutting_down => {
                    Outcome::Continues(Self::Looking)
                }
                _ => Outcome::Waits,
            },
            Look::Reboot(image) => match record {
                Some(record) => {
                    let program = Program::of_gate(settings, repository, record, image);
                    Outcome::Continues(Self::Rebooting(Box::new(program)))
                }
                None => Outcome::Waits,
            },
            Look::TakeBack => {
                node.record = record.map(|record| record.taken_back().write().to_vec());
                Outcome::Continues(Self::Looking)
            }
        }
    }

    /// What the real gate does after it has read the record and the status.
    fn decide(&self, node: &Node, settings: &Settings, record: Option<&RebootRecord>) -> Look {
        let is_late = *self == Self::Looking;
        let now = if is_late { Duration::from_secs(60 * 60) } else { Duration::ZERO };
        let mut gate = wait::Gate::begin(
            wait::Settings {
                interval: Duration::from_secs(5),
                give_up: Duration::MAX,
                max_wait: None,
                boot_attempts: settings.boot_attempts,
            },
            Duration::ZERO,
        );
        if *self == Self::Requested {
            gate.on_reboot(Duration::ZERO);
        }
        let record =
            record.cloned().map(|record| match settings.breaks(Rule::ComparesWithTheOldVersion) {
                true => compare_with_the_new_version(node, record),
                false => record,
            });
        let failed = record.as_ref().and_then(|record| failed_image(&node.history, record));
        let host = Host {
            record: record.as_ref(),
            unreadable: false,
            boot: Some(node.boot_id()),
            running: Some(node.host.running.image().version),
            failed: failed.as_ref().map(OwnedImage::image),
            socket: b"/run/api.sock",
        };
        match gate.on_record(now, &host, &mut |_| {}) {
            Step::ReadStatus => node.host.read_status(|answer| {
                // The model has no refresh with unreadable output. So one that has shown a
                // withdrawal stands for the two that the gate asks for.
                if let Ok(Answer::Status(status)) = answer {
                    let before = |last| LastCommand { timestamp: "before", ..last };
                    let last_command = status.last_command.map(before);
                    let status = Status { last_command, ..*status };
                    gate.on_answer(now, &host, &Ok(Answer::Status(status)), &mut |_| {});
                }
                Look::new(gate.on_answer(now, &host, answer, &mut |_| {}))
            }),
            step => Look::new(step),
        }
    }
}

impl Display for Gate {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Self::Started => write!(f, "has just started"),
            Self::Looking => write!(f, "holds"),
            Self::Rebooting(program) => write!(f, "tries again, {}", program.next()),
            Self::Requested => write!(f, "has tried again"),
        }
    }
}

/// What a look leads to.
enum Look {
    Open { removes_record: bool },
    Wait,
    Reboot(Box<OwnedImage>),
    TakeBack,
}

impl Look {
    fn new(step: Step) -> Self {
        match step {
            Step::Open(opening) => Self::Open { removes_record: opening.removes_record() },
            Step::Wait(_) => Self::Wait,
            Step::Reboot(image) => Self::Reboot(Box::new(OwnedImage::new(image))),
            Step::TakeBack => Self::TakeBack,
            Step::ReadStatus | Step::GiveUp => unreachable!("the API answers"),
        }
    }
}

/// The record with which the real rule decides as a gate that holds unless the new
/// version runs.
fn compare_with_the_new_version(node: &Node, mut record: RebootRecord) -> RebootRecord {
    if node.host.running.image().version != record.image.version {
        record.running = node.host.running.image().version.try_into().expect("it is short");
    }
    record
}
