//! The decision whether Kured may start on this node: one pure function.

use crate::api::status::{Image, State, Status};
use crate::record::RebootRecord;
use core::time::Duration;

/// What the decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The record of the last reboot that was to bring another version. `None` if there
    /// is none: that reboot brought none, the record was released, or it cannot be read.
    pub record: Option<&'a RebootRecord>,
    /// The id of this boot. `None` if it cannot be read.
    pub boot: Option<&'a str>,
    /// The version that runs. `None` if it cannot be read.
    pub running: Option<&'a str>,
    /// The status. `None` if it is not known: the API gives no answer, an update command
    /// is running, or there has been no command since the node booted.
    pub status: Option<&'a Status<'a>>,
    /// The version that did not boot, if the updater's state says that it is another one
    /// than the one in the record.
    pub failed: Option<Image<'a>>,
    /// Whether an earlier refresh had left the node empty as well ([`is_empty`]), and no
    /// status in between has shown anything else.
    pub was_empty: bool,
    /// How often a version may be booted while the node is drained.
    pub boot_attempts: u64,
    /// Whether the gate requested a reboot in this boot a short time ago, or cannot know
    /// that it did not: the node may be going down.
    pub rebooting: bool,
    /// How long the gate has been waiting.
    pub waited: Duration,
    /// How long the gate waits at most. `None` for as long as it takes.
    pub max_wait: Option<Duration>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Let Kured start.
    Open(Opening<'a>),
    /// Wait.
    Hold,
    /// Reboot the node into this image, which did not boot: the failure may be chance.
    TryAgain(Image<'a>),
    /// Take back in the record what it says of the reboot that the gate requested in this
    /// boot. The node is not going down for it, or would not boot the image.
    TakeBack,
}

/// Why Kured may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening<'a> {
    /// There is no record.
    NoRecord,
    /// The id of this boot is not known.
    UnknownBoot,
    /// The version that runs is not known.
    UnknownVersion,
    /// The node has not gone down yet for the reboot of the record.
    SameBoot,
    /// The node has not gone down, and the update of the record is no longer Ready.
    Void,
    /// The image of the record runs.
    Updated,
    /// Another version runs than before the reboot, and not the one of the record.
    OtherVersion,
    /// Another version than the one that did not boot is Ready.
    OtherReady(Image<'a>),
    /// Another version than the one that did not boot is chosen and Staged. It becomes
    /// Ready soon, or is left to others to activate.
    OtherStaged(Image<'a>),
    /// No version is chosen any more: the one that did not boot was withdrawn.
    NothingChosen,
    /// The gate has waited as long as it may.
    MaxWait,
}

impl Opening<'_> {
    /// Whether the record has served its purpose, and is removed.
    pub fn removes_record(&self) -> bool {
        !matches!(self, Self::NoRecord | Self::SameBoot)
    }

    /// Its name, in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoRecord => "no_record",
            Self::UnknownBoot => "unknown_boot",
            Self::UnknownVersion => "unknown_version",
            Self::SameBoot => "same_boot",
            Self::Void => "void",
            Self::Updated => "updated",
            Self::OtherVersion => "other_version",
            Self::OtherReady(_) => "other_ready",
            Self::OtherStaged(_) => "other_staged",
            Self::NothingChosen => "nothing_chosen",
            Self::MaxWait => "max_wait",
        }
    }

    /// The version that the fleet goes on with, if that opens the gate.
    pub fn next(&self) -> Option<Image<'_>> {
        match *self {
            Self::OtherReady(image) | Self::OtherStaged(image) => Some(image),
            _ => None,
        }
    }
}

/// Decides what to do. The first row that matches decides:
///
/// | record | boot | version that runs | status | what to do |
/// |---|---|---|---|---|
/// | none | any | any | any | open |
/// | any | not known | any | any | open |
/// | 1 attempt | the same | any | Ready with its image, or not known | open |
/// | 1 attempt | the same | any | any other | open: the record is void |
/// | 2 attempts | the same | any | not Ready with its image | take the second back |
/// | 2 attempts | the same, and the node may be going down | any | any | hold |
/// | 2 attempts | the same, `max_wait` is over | any | any | open |
/// | 2 attempts | the same | any | not known | hold |
/// | 2 attempts | the same | any | Ready, and still chosen | try again |
/// | 2 attempts | the same | any | Ready, and not chosen | take the second back |
/// | any | another | not known | any | open |
/// | any | another | another than before the reboot | any | open |
/// | any | another | the same as before | nothing is chosen, after a refresh; in Idle, after two | open |
/// | any | another | the same as before | Ready with another image | open |
/// | any | another | the same as before | Staged with another image that is chosen | open |
/// | any | another, `max_wait` is over | the same as before | any | open |
/// | fewer than `boot_attempts` | another | the same as before | Ready, and still chosen | try again |
/// | any | another | the same as before | any other | hold |
///
/// "2 attempts" are two or more: then the gate itself requested the reboot. "Another
/// image" is neither that of the record nor the one that did not boot by the updater's
/// state.
pub fn decide(inputs: Inputs) -> Decision {
    let Inputs { record, boot, running, .. } = inputs;
    let Some(record) = record else { return Decision::Open(Opening::NoRecord) };
    let Some(boot) = boot else { return Decision::Open(Opening::UnknownBoot) };
    if record.boot == boot {
        return in_the_same_boot(inputs, record);
    }
    match running {
        None => Decision::Open(Opening::UnknownVersion),
        Some(running) if running == record.image.version => Decision::Open(Opening::Updated),
        Some(running) if running != record.running => Decision::Open(Opening::OtherVersion),
        Some(_) => after_a_failed_boot(inputs, record),
    }
}

/// The decision in the boot in which the reboot was requested.
fn in_the_same_boot<'a>(inputs: Inputs<'a>, record: &'a RebootRecord) -> Decision<'a> {
    let image = record.image.image();
    let is_ready =
        inputs.status.map(|status| status.state == State::Ready && status.staged == Some(image));
    if record.attempts < 2 {
        let is_void = is_ready == Some(false);
        return Decision::Open(if is_void { Opening::Void } else { Opening::SameBoot });
    }
    let is_chosen = inputs.status.is_some_and(|status| status.chosen == Some(image));
    match is_ready {
        Some(false) => Decision::TakeBack,
        _ if inputs.rebooting => Decision::Hold,
        _ if is_over(inputs) => Decision::Open(Opening::MaxWait),
        None => Decision::Hold,
        Some(true) if is_chosen => Decision::TryAgain(image),
        Some(true) => Decision::TakeBack,
    }
}

/// The decision in another boot, in which the version from before the reboot runs.
fn after_a_failed_boot<'a>(inputs: Inputs<'a>, record: &'a RebootRecord) -> Decision<'a> {
    let is_failed = |image| image == record.image.image() || Some(image) == inputs.failed;
    let mut again = None;
    if let Some(status) = inputs.status {
        if is_withdrawn(status, inputs.was_empty) {
            return Decision::Open(Opening::NothingChosen);
        }
        let is_chosen = status.chosen == status.staged;
        match (status.state, status.staged) {
            (State::Ready, Some(ready)) if !is_failed(ready) => {
                return Decision::Open(Opening::OtherReady(ready));
            }
            (State::Staged, Some(staged)) if is_chosen && !is_failed(staged) => {
                return Decision::Open(Opening::OtherStaged(staged));
            }
            (State::Ready, ready) if is_chosen => again = ready,
            _ => {}
        }
    }
    match again {
        _ if is_over(inputs) => Decision::Open(Opening::MaxWait),
        Some(image) if record.attempts < inputs.boot_attempts && !inputs.rebooting => {
            Decision::TryAgain(image)
        }
        _ => Decision::Hold,
    }
}

/// Whether the gate has waited as long as it may.
fn is_over(inputs: Inputs) -> bool {
    inputs.max_wait.is_some_and(|max_wait| inputs.waited >= max_wait)
}

/// Whether the version that did not boot is no longer chosen, and no other one is.
///
/// Only a refresh that succeeds makes a node leave Idle, and a failed one keeps the
/// chosen version. So it is only in Idle that the refreshes must be looked at.
fn is_withdrawn(status: &Status, was_empty: bool) -> bool {
    match status.state {
        State::Idle => is_empty(status) && was_empty,
        State::Available | State::Staged | State::Ready => status.chosen.is_none(),
    }
}

/// Whether the last command is a refresh that succeeded and has found nothing.
///
/// That alone is no withdrawal. If the node's updater prints junk, the API takes that for
/// a refresh that has succeeded, and keeps the data that it had. After a boot it has none.
pub fn is_empty(status: &Status) -> bool {
    let is_refreshed =
        status.last_command.is_some_and(|last| last.name == "refresh" && last.succeeded());
    status.state == State::Idle && status.chosen.is_none() && is_refreshed
}

#[cfg(test)]
mod tests;
