//! What is known of a reboot that is under way, and what its parts share.

use crate::api::status::{OwnedImage, State, Status, Text, copy};
use crate::api::{Call, CallError, Command, FailedCall, Retry};
use crate::reboot::end::{Cause, End, Warning};
use core::time::Duration;

/// How long the API must be unreachable until the node counts as going down. This is
/// longer than a server that crashed is away: systemd starts it after 5 s
/// (`RestartSec` in Bottlerocket's `apiserver.service`).
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);
/// How often the connection of a repeated request may break.
pub const DISCONNECTS_MAX: u32 = 20;
/// How long it may take to deactivate an update again that was activated for a reboot that
/// does not take place.
pub const UNDO_MAX: Duration = Duration::from_secs(10);
/// How long a refresh may take, or half of the time that is left.
pub const REFRESH_MAX: Duration = Duration::from_secs(30);
/// How long the status is tried to be read just for the record, or half of the time
/// that is left.
pub const STATUS_MAX: Duration = Duration::from_secs(10);

/// What was tried, for messages.
pub(super) const READ_STATUS: &str = "read the update status from";

/// What the operator has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The path of the API's socket, for messages.
    pub socket: &'static [u8],
    /// The time for the whole reboot. After a disconnect, it may take longer.
    pub timeout: Duration,
    /// Whether to reboot only if the update state is Ready.
    pub if_ready: bool,
    /// Whether to reboot only if the update state is Ready and what is Ready is still
    /// chosen after one more refresh.
    pub confirm: bool,
    /// Whether to activate an update that is Staged and chosen before the reboot. Reboots
    /// only if the update state is Ready then.
    pub activate: bool,
    /// Whether a record is kept.
    pub record: bool,
}

impl Settings {
    /// Whether to reboot only into an update.
    pub(super) fn must_be_ready(&self) -> bool {
        self.if_ready || self.confirm || self.activate
    }
}

/// The next step.
#[derive(Debug, Clone, Copy)]
pub enum Step<'x> {
    /// Make this call after this pause, with the deadline that [`Reboot::deadline`]
    /// returns, and pass the answer to [`Reboot::on_answer`].
    Call(Call, Duration),
    /// Write the record that [`Reboot::record`] returns, or remove an old one if that
    /// is `None`. Then make the call [`Call::Reboot`], without a pause. Only with
    /// [`Settings::record`], and at most once.
    Record,
    /// Remove the record, and then make the call that deactivates the update, without a
    /// pause. The other way round, a node that goes down in between would take the record for
    /// that of a failed boot. Only with [`Settings::record`] and [`Settings::activate`].
    RemoveRecord,
    /// The result is known. If [`Reboot::voids_record`] says so, remove the record.
    End(End<'x>),
}

/// When a call was made.
#[derive(Debug, Clone, Copy)]
pub struct CallTime {
    /// When it began, after the pause.
    pub begun: Duration,
    /// When the answer, or the error, was there.
    pub ended: Duration,
}

/// A reboot that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reboot {
    pub(super) settings: Settings,
    /// When the timeout ends.
    pub(super) timeout_at: Duration,
    /// The update that the last status showed to be Ready, or Staged and to be activated.
    pub(super) ready: Option<ReadyUpdate>,
    /// The timestamp of the last command before the refresh.
    pub(super) timestamp_before: Text,
    pub(super) phase: Phase,
}

/// An update that is Ready.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ReadyUpdate {
    /// The image that the next boot starts. Empty if it is unknown.
    pub(super) image: OwnedImage,
    /// The version that runs. Empty if it is unknown.
    pub(super) running: Text,
    /// Whether another image is chosen, or none.
    pub(super) is_withdrawn: bool,
    /// Whether it is Staged, and has to be activated.
    pub(super) is_staged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// The status decides whether there is a reboot.
    ReadStatus {
        retry: Retry,
        /// Whether the answer to the last call was 423.
        is_locked: bool,
        /// When this ends: at the timeout, or earlier if only the record needs the
        /// status.
        until: Duration,
    },
    /// A refresh is requested.
    Refresh(Refreshing),
    /// The refresh runs, or may run.
    Follow(Refreshing),
    /// An activate or a deactivate is requested.
    Change(Command, Retry),
    /// The status shows whether that worked.
    CheckChange(Change),
    Request {
        retry: Retry,
        /// Whether an earlier request had no effect.
        is_retried: bool,
    },
    RequestAgain(Outage),
}

/// A refresh before the reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Refreshing {
    pub(super) retry: Retry,
    /// Whether it could not be requested. Then the status is read just once more.
    pub(super) has_failed: bool,
    /// Whether the answer to the last call was 423: because of the refresh while it is
    /// followed, or because of another client.
    pub(super) is_locked: bool,
    /// How long it may take, and when that is over.
    pub(super) limit: Duration,
    pub(super) until: Duration,
}

/// An activate or a deactivate that was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Change {
    pub(super) command: Command,
    pub(super) retry: Retry,
    /// Whether the answer to the request was 423.
    pub(super) was_locked: bool,
}

/// What is known after a disconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Outage {
    /// When the connection broke last. Since then the API has been unreachable.
    pub(super) since: Duration,
    /// How often the connection of a repeated request has broken.
    pub(super) disconnects: u32,
    /// No request is repeated after a disconnect that is later than this.
    pub(super) retry_until: Duration,
}

/// Takes a warning.
pub type Warn<'w> = &'w mut dyn FnMut(Warning);

impl Reboot {
    /// Remembers the update if it is Ready, or if it is Staged and chosen and is to be
    /// activated. Returns whether it is.
    pub(super) fn note(&mut self, status: &Status) -> bool {
        let is_staged = self.settings.activate && status.staged_is_chosen();
        if status.state != State::Ready && !is_staged {
            return false;
        }
        let [image, running] = [status.staged, status.running].map(Option::unwrap_or_default);
        self.ready = Some(ReadyUpdate {
            image: OwnedImage::new(image),
            running: copy(running.version),
            is_withdrawn: status.staged_is_not_chosen(),
            is_staged,
        });
        true
    }

    /// `max`, or half of the time that is left at the time `now`. The rest is for the
    /// reboot.
    pub(super) fn limit(&self, now: Duration, max: Duration) -> Duration {
        max.min(self.timeout_at.saturating_sub(now) / 2)
    }

    pub(super) fn failed<'x>(&self, tried: &'static str, error: CallError<'x>) -> FailedCall<'x> {
        let Settings { socket, timeout, .. } = self.settings;
        FailedCall { tried, socket, error, timeout }
    }

    pub(super) fn cause<'x>(&self, tried: &'static str, error: CallError<'x>) -> Cause<'x> {
        Cause::Call { tried, socket: self.settings.socket, error }
    }
}

/// The timestamp of the last command. Empty if there is none.
pub(super) fn timestamp<'x>(status: &Status<'x>) -> &'x str {
    status.last_command.map_or("", |last| last.timestamp)
}
