//! The updater: the real cycle, with its plan and its history.
//!
//! The files of its state and of the record are read before each answer, and the state is
//! saved after it. What the real updater keeps only in memory from one cycle to the next is
//! forgotten, as after a restart. A wait for a command of another client is one step, which
//! ends when that command has ended: the polls in between change nothing.

use crate::node::Node;
use crate::repository::Repository;
use crate::settings::{Grain, Settings};
use bottlerocket_updater::api::status::copy;
use bottlerocket_updater::api::{Answer, Call, CallError, Command};
use bottlerocket_updater::sys::files::Stamp;
use bottlerocket_updater::updater::commands::Commands;
use bottlerocket_updater::updater::cycle::{Context, Cycle, End, Now, Step};
use bottlerocket_updater::updater::history::History;
use bottlerocket_updater::updater::last_reboot::{LastReboot, PENDING_MAX};
use std::mem;
use std::time::Duration;

/// The updater of one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Updater {
    /// It waits for its next cycle.
    Resting,
    /// It is in a cycle.
    Working(Box<Working>),
}

/// A cycle in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Working {
    cycle: Cycle,
    /// The call that it is about to make.
    call: Call,
    /// When the last command before its own ended.
    noted: Option<usize>,
    /// Whether it began a long time after what is remembered.
    is_late: bool,
}

impl Working {
    /// What the updater is about to do, in words.
    pub fn next(&self) -> String {
        format!("next {}", self.call.name())
    }
}

impl Updater {
    /// Whether it has noted that it activates a version, and is milliseconds away from that.
    pub fn is_about_to_activate(&self) -> bool {
        let Self::Working(working) = self else { return false };
        working.call == Call::Start(Command::Activate)
    }

    /// The time that the updater compares others with.
    pub fn noted(&self) -> Option<usize> {
        match self {
            Self::Resting => None,
            Self::Working(working) => working.noted,
        }
    }
}

/// Makes the next step. A cycle begins at once, or a long time later if `is_late`: then no
/// version is held back any more, and no record of this boot protects what is ready.
/// Returns `false` if there is no step to make now.
pub fn step(node: &mut Node, settings: &Settings, repository: Repository, is_late: bool) -> bool {
    if is_late && (node.updater != Updater::Resting || !makes_time_a_difference(node, settings)) {
        return false;
    }
    if !make_call(node, settings, is_late) {
        return false;
    }
    // Ends: a cycle starts a limited number of commands, and every command ends.
    while match (&node.updater, settings.grain) {
        (Updater::Resting, _) | (_, Grain::Call) => false,
        (Updater::Working(working), Grain::Command) => matches!(working.call, Call::Status),
        (Updater::Working(_), Grain::Cycle) => true,
    } {
        node.finish_command(true, repository);
        make_call(node, settings, false);
    }
    true
}

/// Makes the next call. Returns `false` if there is none to make now.
fn make_call(node: &mut Node, settings: &Settings, is_late: bool) -> bool {
    if node.host.command.is_some() {
        return false;
    }
    let Working { mut cycle, call, mut noted, is_late } =
        match mem::replace(&mut node.updater, Updater::Resting) {
            Updater::Working(working) => *working,
            Updater::Resting => {
                let (cycle, call) = Cycle::begin();
                Working { cycle, call, noted: None, is_late }
            }
        };
    let now = if is_late { PENDING_MAX } else { Duration::ZERO };
    let retry =
        settings.retry_failed_boot.map(|retry| if is_late { Duration::ZERO } else { retry });
    let mut history = read_history(node, settings, retry);
    let mut last_reboot = LastReboot::new(copy(node.boot_id()));
    let stamp = Stamp::default();
    last_reboot.read(Duration::ZERO, node.read_record().map(|record| (record, stamp)));
    let mut on_answer = |answer: &Result<Answer, CallError>| {
        let context = Context {
            at: Now { now, ..Now::default() },
            settings: &settings.updater,
            history: &mut history,
            commands: &mut Commands::default(),
            last_reboot: &mut last_reboot,
        };
        cycle.on_answer(context, answer, &mut |_| {})
    };
    let next = match call {
        Call::Status => node.host.read_status(&mut on_answer),
        Call::Start(command) => node.host.start(command, &mut on_answer),
        Call::Reboot => unreachable!("the updater does not reboot nodes"),
    };
    node.history = history.write().to_vec();
    match next {
        Step::Call(call, _) => {
            if matches!(call, Call::Start(_)) {
                noted = node.host.time();
            }
            let working = Working { cycle, call, noted, is_late };
            node.updater = Updater::Working(Box::new(working));
        }
        Step::End(End::NoAnswer) => unreachable!("the API answers"),
        Step::End(_) => {}
    }
    node.forget_time();
    true
}

fn read_history(node: &Node, settings: &Settings, retry: Option<Duration>) -> History {
    let mut history = History::new(copy(node.boot_id()), retry);
    history.set_boot_attempts(settings.boot_attempts);
    if !node.history.is_empty() {
        history.read(&node.history).expect("the file is not damaged");
    }
    history
}

/// Whether it matters how much time has passed since something was noted.
fn makes_time_a_difference(node: &Node, settings: &Settings) -> bool {
    let is_pending = node.read_record().is_some_and(|record| record.boot == node.boot_id());
    let history = read_history(node, settings, settings.retry_failed_boot);
    is_pending || history.held().any(|entry| entry.failed_boots >= settings.boot_attempts)
}
