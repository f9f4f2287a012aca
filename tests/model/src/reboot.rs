//! The reboot program: its real decision, call by call.

use crate::node::{Node, Request, Requester};
use crate::repository::Repository;
use crate::settings::{Grain, Rule, Settings};
use bottlerocket_updater::api::status::OwnedImage;
use bottlerocket_updater::api::{Answer, Call, CallError, Command};
use bottlerocket_updater::cli::exit;
use bottlerocket_updater::reboot::{self, CallTime, Reboot, Step};
use bottlerocket_updater::record::RebootRecord;
use std::time::Duration;

/// The reboot program as Kured runs it, or the same decision in the gate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    reboot: Reboot,
    caller: Caller,
    next: Next,
    /// When the last command before its own ended.
    noted: Option<usize>,
    /// Whether the repository did not offer the bad version when the program started.
    was_withdrawn: bool,
    /// Whether the last status that it read shows that what is Ready is not chosen.
    saw_withdrawal: bool,
}

/// Who reboots the node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Caller {
    /// The reboot program.
    Kured,
    /// The gate.
    Gate {
        /// The record when it began.
        record: Vec<u8>,
        /// The image that it tries again.
        image: Box<OwnedImage>,
    },
}

/// What the program is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Next {
    Call(Call),
    WriteRecord,
    RemoveRecord,
}

/// What the program meets in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// Nothing goes wrong.
    Good,
    /// A command of the API runs until the program's timeout.
    CommandTakesLong,
    /// The API refuses the reboot.
    RebootIsRefused,
}

/// What a step of the program leads to.
pub enum Outcome {
    /// It has to wait for a command that runs.
    Waits,
    /// It goes on.
    Continues,
    /// It exits with this status.
    Exits(u8),
}

impl Program {
    /// The reboot program, which starts while the repository offers `offered`.
    pub fn of_kured(settings: &Settings, offered: Repository) -> Self {
        Self::begin(settings, offered, Caller::Kured)
    }

    /// The gate's second try to reboot into `image`, which begins with this `record`.
    pub fn of_gate(
        settings: &Settings,
        offered: Repository,
        record: RebootRecord,
        image: Box<OwnedImage>,
    ) -> Self {
        Self::begin(settings, offered, Caller::Gate { record: record.write().to_vec(), image })
    }

    fn begin(settings: &Settings, offered: Repository, caller: Caller) -> Self {
        // The gate reboots only into what the updater has activated.
        let activate = settings.updater.activate_at_reboot && caller == Caller::Kured;
        let settings = reboot::Settings {
            socket: b"/run/api.sock",
            timeout: settings.timeout,
            if_ready: true,
            confirm: !settings.breaks(Rule::Confirms),
            activate,
            record: true,
        };
        let (reboot, call) = Reboot::begin(settings, Duration::ZERO);
        let next = Next::Call(call);
        let was_withdrawn = offered != Repository::Bad;
        Self { reboot, caller, next, noted: None, was_withdrawn, saw_withdrawal: false }
    }

    /// Whether it has decided to reboot, and is milliseconds away from the request.
    pub fn has_decided(&self) -> bool {
        matches!(self.next, Next::WriteRecord | Next::Call(Call::Reboot))
    }

    /// Whether it is about to request the reboot, or does so in its next step.
    pub fn requests_next(&self, settings: &Settings) -> bool {
        self.next == Next::Call(Call::Reboot) || settings.grain == Grain::Cycle
    }

    /// What it is about to do, in words.
    pub fn next(&self) -> String {
        match self.next {
            Next::Call(call) => format!("next {}", call.name()),
            Next::WriteRecord => "next the record".to_owned(),
            Next::RemoveRecord => "next no record".to_owned(),
        }
    }

    /// The reboot that it has requested.
    pub fn request(&self) -> Request {
        let Self { was_withdrawn, saw_withdrawal, .. } = *self;
        let by = match self.caller {
            Caller::Kured => Requester::Kured,
            Caller::Gate { .. } => Requester::Gate,
        };
        Request { by, was_withdrawn, saw_withdrawal, is_noted: false }
    }

    /// The time that the program compares others with.
    pub fn noted(&self) -> Option<usize> {
        self.noted
    }

    /// Makes the next step.
    pub fn step(
        &mut self,
        node: &mut Node,
        settings: &Settings,
        repository: Repository,
        luck: Luck,
    ) -> Outcome {
        let mut outcome = self.make_one_step(node, settings, luck);
        // Ends: with the program. It sends each command once, and every command succeeds.
        while matches!(outcome, Outcome::Continues)
            && match (self.next, settings.grain) {
                (_, Grain::Call) => false,
                (next, Grain::Command) => next == Next::Call(Call::Status),
                (_, Grain::Cycle) => true,
            }
        {
            node.finish_command_of(self.noted, true, repository);
            outcome = self.make_one_step(node, settings, luck);
        }
        outcome
    }

    /// Does what comes next.
    fn make_one_step(&mut self, node: &mut Node, settings: &Settings, luck: Luck) -> Outcome {
        let call = match self.next {
            Next::Call(call) => call,
            Next::WriteRecord => {
                self.next = Next::Call(Call::Reboot);
                return self.write_record(node);
            }
            Next::RemoveRecord => {
                self.next = Next::Call(Call::Start(Command::Deactivate));
                self.noted = node.host.time();
                self.take_back_record(node);
                return Outcome::Continues;
            }
        };
        let now = match luck {
            Luck::CommandTakesLong => settings.timeout,
            _ if node.host.command.is_some() && call != Call::Reboot => return Outcome::Waits,
            _ => Duration::ZERO,
        };
        let Self { reboot, next, noted, saw_withdrawal, .. } = self;
        let time = CallTime { begun: now, ended: now };
        let removes = !settings.breaks(Rule::RemovesTheRecord);
        let mut on_answer = |answer: &Result<Answer, CallError>| {
            if let Ok(Answer::Status(status)) = answer {
                *saw_withdrawal = status.chosen != status.staged;
            }
            match reboot.on_answer(time, answer, &mut |_| {}) {
                Step::Call(call, _) => *next = Next::Call(call),
                Step::Record => *next = Next::WriteRecord,
                Step::RemoveRecord => *next = Next::RemoveRecord,
                Step::End(end) => return Some((end.exit_status(), reboot.voids_record(&end))),
            }
            None
        };
        let end = match call {
            Call::Status => node.host.read_status(&mut on_answer),
            Call::Start(command) => node.host.start(command, &mut on_answer),
            Call::Reboot => node.host.reboot(luck == Luck::RebootIsRefused, &mut on_answer),
        };
        if matches!(self.next, Next::Call(Call::Start(_))) {
            *noted = node.host.time();
        }
        let Some((exit_status, voids_record)) = end else { return Outcome::Continues };
        if voids_record && removes {
            self.take_back_record(node);
        }
        Outcome::Exits(exit_status)
    }

    /// Writes the record right before the request. The gate does not go on if somebody has
    /// released the node.
    fn write_record(&self, node: &mut Node) -> Outcome {
        let boot = node.boot_id();
        let record = match &self.caller {
            Caller::Kured => self.reboot.record(boot),
            Caller::Gate { record, image } => match read(record) {
                record if record.boot == boot => return Outcome::Continues,
                _ if node.record.is_none() => return Outcome::Exits(exit::FAILURE),
                record => {
                    Some(RebootRecord { image: OwnedImage::clone(image), ..record.again(boot) })
                }
            },
        };
        node.record = record.map(|record| record.write().to_vec());
        Outcome::Continues
    }

    /// There is no reboot, so the record is as before.
    fn take_back_record(&self, node: &mut Node) {
        node.record = match &self.caller {
            Caller::Kured => None,
            Caller::Gate { .. } if node.record.is_none() => None,
            Caller::Gate { record, .. } => match read(record) {
                record if record.boot == node.boot_id() => {
                    Some(record.taken_back().write().to_vec())
                }
                _ => Some(record.clone()),
            },
        };
    }
}

fn read(record: &[u8]) -> RebootRecord {
    RebootRecord::read(record).expect("the model has only complete records")
}
