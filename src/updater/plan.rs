//! The decision about what to do next with a node: one pure function.

use crate::api::Command;
use crate::api::status::{LastCommand, State, Status};

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Send this command.
    Run(Command),
    /// Nothing: an update is waiting for the reboot.
    Ready,
    /// Nothing: no update is chosen.
    Nothing,
    /// Nothing: an update is prepared, and activating it is left to others.
    Staged,
    /// Nothing: an update is prepared, and the reboot program activates it.
    StagedForReboot,
    /// Nothing: the chosen version did not boot and is held back.
    HeldBack,
    /// Nothing: the chosen version has not been on offer for long enough.
    Soaking,
    /// Nothing: an update is waiting for the next window.
    Closed,
}

/// What the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The status, or `None` if there has been no command since the node booted.
    pub status: Option<&'a Status<'a>>,
    /// Whether a refresh has succeeded in this cycle.
    pub refreshed: bool,
    /// Whether the node goes on looking while an update is Ready, and deactivates the
    /// update once it is no longer chosen. If not, nothing changes what is Ready.
    pub refresh_ready: bool,
    /// Whether the node was asked to reboot into what is Ready. Then nothing changes that.
    pub reboot_requested: bool,
    /// Whether an activate of what is staged has failed, and no prepare has succeeded
    /// since.
    pub activate_failed: bool,
    /// Whether activating is left to others.
    pub stage_only: bool,
    /// Whether activating is left to the reboot program.
    pub activate_at_reboot: bool,
    /// Whether an update has been Ready for too long, where the reboot program activates it.
    pub ready_too_long: bool,
    /// Whether the chosen version did not boot and is held back.
    pub held_back: bool,
    /// Whether the chosen version has not been on offer for long enough.
    pub soaking: bool,
    /// Whether all update windows are closed.
    pub closed: bool,
    /// Whether a prepare has to wait, because one has failed.
    pub prepare_delayed: bool,
}

/// Decides what to do next. The first row that matches decides:
///
/// | state | chosen version | what to do |
/// |---|---|---|
/// | none | any or none | refresh |
/// | Ready, without `refresh_ready` or with `reboot_requested` | any or none | nothing |
/// | any, not refreshed in this cycle | any or none | refresh |
/// | Ready | the staged version | nothing |
/// | Idle, Ready, after a failed refresh | any or none | refresh again |
/// | Ready | another version, or none | deactivate |
/// | Idle | any or none | nothing |
/// | Available, Staged | none | nothing |
/// | Available | any | prepare |
/// | Staged | the staged version, after a failed activate | prepare again |
/// | Staged | the staged version | activate |
/// | Staged | another version | prepare again |
///
/// With `activate_at_reboot`, nothing is activated either, and what is Ready for too long is
/// deactivated: the reboot for which it was activated did not take place. After an activate
/// that failed, nothing is refreshed while no prepare may begin: a refresh would hide the
/// failure from the checker, which would say yes again.
///
/// A version that is held back or soaks is not prepared and not activated. With `stage_only`,
/// nothing is activated, and what others have activated is not deactivated. While all
/// windows are closed, no prepare and no activate begins. Neither a hold-back nor a soak nor a
/// window keeps a node from deactivating: the next reboot must not start a version that
/// was withdrawn.
pub fn plan(inputs: Inputs) -> Plan {
    use Command::{Activate, Deactivate, Prepare};
    let is_ready = inputs.status.is_some_and(|status| status.state == State::Ready);
    if hides_failed_activate(inputs) {
        return match inputs {
            Inputs { held_back: true, .. } => Plan::HeldBack,
            Inputs { soaking: true, .. } => Plan::Soaking,
            Inputs { closed: true, .. } => Plan::Closed,
            // The caller knows how long it has to wait.
            _ => Plan::Run(Prepare),
        };
    }
    // This does not wait for a refresh that succeeds: any reboot would boot what is Ready.
    if is_ready && inputs.ready_too_long && !inputs.reboot_requested {
        return Plan::Run(Deactivate);
    }
    match by_state(inputs) {
        Plan::Run(Prepare | Activate) if inputs.held_back => Plan::HeldBack,
        Plan::Run(Deactivate) if inputs.stage_only => Plan::Ready,
        Plan::Run(Activate) if inputs.stage_only => Plan::Staged,
        Plan::Run(Activate) if inputs.activate_at_reboot => Plan::StagedForReboot,
        Plan::Run(Prepare | Activate) if inputs.soaking => Plan::Soaking,
        Plan::Run(Prepare | Activate) if inputs.closed => Plan::Closed,
        plan => plan,
    }
}

/// Whether a refresh would replace the failure of an activate in the status, and no prepare
/// may follow.
fn hides_failed_activate(inputs: Inputs) -> bool {
    let has_failed = inputs.activate_failed
        && inputs.status.is_some_and(|status| {
            status.staged_is_chosen()
                && status.last_command.is_some_and(|last| last.forbids_activate())
        });
    let Inputs { held_back, soaking, closed, prepare_delayed, .. } = inputs;
    let may_not_prepare = held_back || soaking || closed || prepare_delayed;
    inputs.activate_at_reboot && has_failed && may_not_prepare
}

fn by_state(inputs: Inputs) -> Plan {
    let Some(status) = inputs.status else { return Plan::Run(Command::Refresh) };
    if status.state == State::Ready && (!inputs.refresh_ready || inputs.reboot_requested) {
        return Plan::Ready;
    }
    if !inputs.refreshed {
        return Plan::Run(Command::Refresh);
    }
    let chosen_is_staged = status.chosen == status.staged;
    let refresh_failed = status.last_command.as_ref().is_some_and(is_failed_refresh);
    match (status.state, status.chosen.is_some()) {
        (State::Ready, true) if chosen_is_staged => Plan::Ready,
        // A failed refresh says nothing about what is on offer. It leaves an Available
        // update Idle, and a Ready one with the choice of an earlier refresh.
        (State::Idle | State::Ready, _) if refresh_failed => Plan::Run(Command::Refresh),
        (State::Ready, _) => Plan::Run(Command::Deactivate),
        (State::Idle, _) | (_, false) => Plan::Nothing,
        (State::Available, true) => Plan::Run(Command::Prepare),
        (State::Staged, true) if chosen_is_staged && !inputs.activate_failed => {
            Plan::Run(Command::Activate)
        }
        (State::Staged, true) => Plan::Run(Command::Prepare),
    }
}

fn is_failed_refresh(command: &LastCommand) -> bool {
    command.name == Command::Refresh.name() && !command.succeeded()
}

#[cfg(test)]
mod tests;
