//! The gate: the last init container of Kured's pod, with its real rule.

use crate::node::{Node, Request, Requester};
use crate::settings::{Rule, Settings};
use bottlerocket_updater::api::Answer;
use bottlerocket_updater::gate::rule::{Decision, Inputs, decide};
use bottlerocket_updater::record::RebootRecord;
use std::time::Duration;

/// What the gate remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It has just started: it does not know whether it has requested a reboot before.
    Started,
    /// It looks from time to time.
    Looking,
    /// It has written into the record that it requests a reboot.
    Requesting,
    /// It has requested a reboot.
    Requested,
}

/// What a look of the gate leads to.
pub enum Outcome {
    /// Nothing changes.
    Waits,
    /// It goes on.
    Continues(Gate),
    /// It exits, and Kured starts.
    Opens,
}

/// Looks once.
pub fn step(node: &mut Node, settings: &Settings, gate: Gate) -> Outcome {
    if gate == Gate::Requesting {
        return request(node, false);
    }
    let record = node.read_record();
    let seen =
        record.clone().map(|record| match settings.breaks(Rule::ComparesWithTheOldVersion) {
            true => compare_with_the_new_version(node, record),
            false => record,
        });
    match look(node, settings, gate, seen.as_ref()) {
        Look::Open { removes_record } => {
            if removes_record && !settings.breaks(Rule::RemovesTheRecord) {
                node.record = None;
            }
            Outcome::Opens
        }
        Look::Hold => match gate {
            // A request of before its restart would have rebooted the node by now.
            Gate::Started if !node.host.is_shutting_down => Outcome::Continues(Gate::Looking),
            _ => Outcome::Waits,
        },
        Look::TryAgain => {
            node.record = record.map(|record| record.again(node.boot_id()).write().to_vec());
            Outcome::Continues(Gate::Requesting)
        }
        Look::TakeBack => {
            node.record = record.map(|record| record.taken_back().write().to_vec());
            Outcome::Continues(Gate::Looking)
        }
    }
}

/// Requests the second reboot, which the record has already. If it is refused, the record
/// takes that back.
pub fn request(node: &mut Node, is_refused: bool) -> Outcome {
    if node.host.reboot(is_refused, |answer| answer.is_ok()) {
        node.request = Some(Request {
            by: Requester::Gate,
            was_withdrawn: false,
            saw_withdrawal: false,
            is_noted: false,
        });
        return Outcome::Continues(Gate::Requested);
    }
    node.record = node.read_record().map(|record| record.taken_back().write().to_vec());
    Outcome::Continues(Gate::Looking)
}

/// A decision, without what is only for messages.
enum Look {
    Open { removes_record: bool },
    Hold,
    TryAgain,
    TakeBack,
}

fn look(node: &Node, settings: &Settings, gate: Gate, record: Option<&RebootRecord>) -> Look {
    node.host.read_status(|answer| {
        let status = match answer {
            Ok(Answer::Status(status)) => Some(status),
            _ => None,
        };
        match decide(Inputs {
            record,
            boot: Some(node.boot_id()),
            running: Some(node.host.running.image().version),
            status,
            failed: None,
            boot_attempts: settings.boot_attempts,
            rebooting: gate != Gate::Looking,
            waited: Duration::ZERO,
            max_wait: None,
        }) {
            Decision::Open(opening) => Look::Open { removes_record: opening.removes_record() },
            Decision::Hold => Look::Hold,
            Decision::TryAgain(_) => Look::TryAgain,
            Decision::TakeBack => Look::TakeBack,
        }
    })
}

/// The record with which the real rule decides as a gate that holds unless the new
/// version runs.
fn compare_with_the_new_version(node: &Node, mut record: RebootRecord) -> RebootRecord {
    if node.host.running.image().version != record.image.version {
        record.running = node.host.running.image().version.try_into().expect("it is short");
    }
    record
}
