//! Events: what the updater logs and counts while it updates a node.
//!
//! An [`Event`] is written to the log as a [`Record`] and counted in the metrics
//! under the name of its [`EventKind`].

use crate::api::status::{Image, LastCommand, OwnedImage, Status, Text, copy};
use crate::api::{Answer, Call, CallError, Command, Refusal};
use crate::record::RebootRecord;
use crate::reporting::fields::{add_command, add_image, add_running, add_took};
use crate::reporting::log::{Format, Level, Record};
use crate::text::errno::ErrnoText;
use crate::text::excerpt::Sanitized;
use crate::text::timestamp::LocalTime;
use crate::updater::history::Entry;
use core::time::Duration;
use rustix::io::Errno;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The daemon has started.
    Started {
        /// The path of the API's socket.
        socket: &'a [u8],
        /// The time between two cycles.
        interval: Duration,
    },
    /// The flags in force.
    Configuration {
        /// All flags with their values, as on a command line.
        flags: &'a str,
    },
    /// Metrics and health are served.
    ServingMetrics {
        /// The address, as written by the operator.
        address: &'a [u8],
        /// The port that the kernel has bound.
        port: u16,
    },
    /// Metrics and health cannot be served: the first attempt, or the first with this
    /// error.
    ServingFailed {
        /// The address, as written by the operator.
        address: &'a [u8],
        /// The kernel's error.
        error: Errno,
    },
    /// The next cycle begins at a random time, because the daemon has started or the
    /// API is available again.
    CycleDeferred {
        /// The time until the cycle begins.
        begins_in: Duration,
    },
    /// An update command holds the lock that the updater did not send, or sent before
    /// it was restarted.
    LockHeld,
    /// The node is preparing this update.
    Preparing(&'a Update),
    /// A long command is still running.
    StillRunning {
        /// The command.
        command: Command,
        /// The time since it was sent.
        took: Duration,
    },
    /// A refresh succeeded.
    Refreshed {
        /// The chosen version; empty if there is none.
        version: &'a str,
        /// The time from sending the command to its end, if the updater sent it.
        took: Option<Duration>,
    },
    /// A prepare succeeded.
    Prepared {
        /// The version that was prepared.
        version: &'a str,
        /// The time from sending the command to its end, if the updater sent it.
        took: Option<Duration>,
    },
    /// An activate succeeded.
    Activated {
        /// The version that the next boot starts.
        version: &'a str,
        /// The time from sending the command to its end, if the updater sent it.
        took: Option<Duration>,
    },
    /// A deactivate succeeded.
    Deactivated {
        /// The version that was deactivated.
        version: &'a str,
        /// The version that is chosen in its place; empty if none is chosen any more.
        chosen: &'a str,
        /// The time from sending the command to its end, if the updater sent it.
        took: Option<Duration>,
    },
    /// A command failed.
    CommandFailed {
        /// The command.
        command: Command,
        /// The version that it is about; empty for a refresh.
        version: &'a str,
        /// Its result, from the status.
        last: &'a LastCommand<'a>,
        /// The time from sending the command to its end, if the updater sent it.
        took: Option<Duration>,
    },
    /// A command is still running after its timeout.
    CommandOverdue {
        /// The command.
        command: Command,
        /// The version that it is about; empty for a refresh.
        version: &'a str,
        /// The timeout.
        timeout: Duration,
    },
    /// A command ended, and the status has no result of it.
    CommandVanished {
        /// The command.
        command: Command,
        /// The version that it is about; empty for a refresh.
        version: &'a str,
    },
    /// Commands succeed, but the update makes no progress.
    CommandWithoutEffect {
        /// The command that would be sent next.
        command: Command,
        /// The version that it is about; empty for a refresh.
        version: &'a str,
    },
    /// The API refuses a command that the node's state asks for.
    CommandRefused {
        /// The command.
        command: Command,
        /// The version that it is about; empty for a refresh.
        version: &'a str,
        /// The API's answer.
        refusal: &'a Refusal<'a>,
    },
    /// An update command holds the lock for longer than the longest timeout.
    LockStuck {
        /// The time since the lock was first seen to be held.
        after: Duration,
    },
    /// A cycle ended: no update is chosen.
    NothingToDo(&'a Status<'a>),
    /// A cycle ended: newer versions are offered, but none is chosen.
    NotChosen {
        /// The node's status.
        status: &'a Status<'a>,
        /// The newest version that is offered.
        offered: &'a str,
    },
    /// A cycle ended: an update is waiting for the reboot.
    Ready(&'a Status<'a>),
    /// A cycle ended: an update is prepared, and activating it is left to
    /// others.
    Staged(&'a Status<'a>),
    /// A cycle ended: an update is prepared, and the reboot program activates it.
    StagedForReboot(&'a Status<'a>),
    /// A cycle ended: an update is waiting for the next window.
    WindowClosed {
        /// The node's status.
        status: &'a Status<'a>,
        /// When the next window opens.
        opens: LocalTime,
    },
    /// A cycle ended: the chosen version did not boot, and is held back.
    HeldBack {
        /// What is known about the version.
        entry: &'a Entry,
        /// The time until it is tried again; [`Duration::MAX`] for never.
        retry_in: Duration,
    },
    /// A cycle ended: the chosen version has not been on offer for long enough.
    Soaking {
        /// The node's status.
        status: &'a Status<'a>,
        /// The time until it is prepared.
        ready_in: Duration,
    },
    /// A cycle ended: a command has failed for this version, and is not sent again yet.
    RetryDelayed {
        /// The command that the node's state asks for.
        command: Command,
        /// The version that it is about.
        version: &'a str,
        /// The time until it is sent again.
        retry_in: Duration,
    },
    /// A version was activated in an earlier boot, and the node rolled back to
    /// the version before it.
    RolledBack {
        /// What is known about the version.
        entry: &'a Entry,
        /// The time until it is tried again; [`Duration::MAX`] for never.
        retry_in: Duration,
    },
    /// A version ran in an earlier boot, and an older one runs now that nobody activated.
    TakenBack {
        /// What is known about the version that ran.
        entry: &'a Entry,
        /// The time until it is tried again; [`Duration::MAX`] for never.
        retry_in: Duration,
    },
    /// A version was activated in an earlier boot, and is running now.
    Updated(&'a Entry),
    /// A cycle succeeded, and a day has passed since the start or the last event of this
    /// kind.
    Healthy {
        /// The node's status.
        status: &'a Status<'a>,
        /// How many cycles ended in that time.
        cycles: u32,
        /// How many of them failed.
        failed_cycles: u32,
    },
    /// A call of the API has no usable answer: the first one, or the first with
    /// this kind of error.
    ApiLost {
        /// The call.
        call: Call,
        /// Why there is no usable answer.
        error: CallError<'a>,
    },
    /// The API answers again.
    ApiBack {
        /// The time since the first call without a usable answer.
        after: Duration,
    },
    /// A call of the API has ended.
    ApiCall {
        /// The call.
        call: Call,
        /// Its answer, or why there is none.
        answer: &'a Result<Answer<'a>, CallError<'a>>,
        /// The time from the beginning of the call to its end.
        took: Duration,
    },
    /// The version that the last reboot was to bring did not boot, and the gate holds the
    /// node.
    HeldByGate(&'a RebootRecord),
    /// The gate no longer holds the node.
    ReleasedByGate {
        /// The version that did not boot.
        version: &'a str,
        /// The version that runs.
        running: &'a str,
        /// The time since the updater noticed that the node was held.
        after: Duration,
    },
    /// The record of the last reboot cannot be read.
    RecordUnreadable {
        /// The step that failed, as in "cannot ...".
        tried: &'a str,
        /// The kernel's error. `None` if the record is damaged.
        error: Option<Errno>,
    },
    /// The state file was damaged, and has been renamed.
    StateDamaged,
    /// The state cannot be loaded or saved.
    StateLost {
        /// The step that failed, as in "cannot ...".
        tried: &'a str,
        /// The kernel's error.
        error: Errno,
    },
    /// The socket was unreachable for too long, and the daemon ends.
    GaveUp {
        /// The time since the socket was first unreachable.
        after: Duration,
        /// The last error.
        error: CallError<'a>,
    },
    /// The kernel does not let the program wait, and the program ends. This is not
    /// expected.
    WaitFailed {
        /// The kernel's error.
        error: Errno,
    },
    /// A signal stopped the program.
    Stopped {
        /// The name of the signal.
        signal: &'a str,
    },
}

/// The update that is in progress. Versions that are not known are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Update {
    /// The version that is running.
    pub running: Text,
    /// The image that is chosen.
    pub chosen: OwnedImage,
}

impl Update {
    /// The update from `running` to `chosen`.
    pub fn new(running: Image, chosen: Image) -> Self {
        Self { running: copy(running.version), chosen: OwnedImage::new(chosen) }
    }
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// [`Event::Started`]
    Started,
    /// [`Event::Configuration`]
    Configuration,
    /// [`Event::ServingMetrics`]
    ServingMetrics,
    /// [`Event::ServingFailed`]
    ServingFailed,
    /// [`Event::CycleDeferred`]
    CycleDeferred,
    /// [`Event::LockHeld`]
    LockHeld,
    /// [`Event::Preparing`]
    Preparing,
    /// [`Event::StillRunning`]
    StillRunning,
    /// [`Event::Refreshed`]
    Refreshed,
    /// [`Event::Prepared`]
    Prepared,
    /// [`Event::Activated`]
    Activated,
    /// [`Event::Deactivated`]
    Deactivated,
    /// [`Event::CommandFailed`]
    CommandFailed,
    /// [`Event::CommandOverdue`]
    CommandOverdue,
    /// [`Event::CommandVanished`]
    CommandVanished,
    /// [`Event::CommandWithoutEffect`]
    CommandWithoutEffect,
    /// [`Event::CommandRefused`]
    CommandRefused,
    /// [`Event::LockStuck`]
    LockStuck,
    /// [`Event::NothingToDo`]
    NothingToDo,
    /// [`Event::NotChosen`]
    NotChosen,
    /// [`Event::Ready`]
    Ready,
    /// [`Event::Staged`]
    Staged,
    /// [`Event::StagedForReboot`]
    StagedForReboot,
    /// [`Event::WindowClosed`]
    WindowClosed,
    /// [`Event::HeldBack`]
    HeldBack,
    /// [`Event::Soaking`]
    Soaking,
    /// [`Event::RetryDelayed`]
    RetryDelayed,
    /// [`Event::RolledBack`]
    RolledBack,
    /// [`Event::TakenBack`]
    TakenBack,
    /// [`Event::Updated`]
    Updated,
    /// [`Event::Healthy`]
    Healthy,
    /// [`Event::ApiLost`]
    ApiLost,
    /// [`Event::ApiBack`]
    ApiBack,
    /// [`Event::ApiCall`]
    ApiCall,
    /// [`Event::HeldByGate`]
    HeldByGate,
    /// [`Event::ReleasedByGate`]
    ReleasedByGate,
    /// [`Event::RecordUnreadable`]
    RecordUnreadable,
    /// [`Event::StateDamaged`]
    StateDamaged,
    /// [`Event::StateLost`]
    StateLost,
    /// [`Event::GaveUp`]
    GaveUp,
    /// [`Event::WaitFailed`]
    WaitFailed,
    /// [`Event::Stopped`]
    Stopped,
}

impl EventKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 42] = [
        Self::Started,
        Self::Configuration,
        Self::ServingMetrics,
        Self::ServingFailed,
        Self::CycleDeferred,
        Self::LockHeld,
        Self::Preparing,
        Self::StillRunning,
        Self::Refreshed,
        Self::Prepared,
        Self::Activated,
        Self::Deactivated,
        Self::CommandFailed,
        Self::CommandOverdue,
        Self::CommandVanished,
        Self::CommandWithoutEffect,
        Self::CommandRefused,
        Self::LockStuck,
        Self::NothingToDo,
        Self::NotChosen,
        Self::Ready,
        Self::Staged,
        Self::StagedForReboot,
        Self::WindowClosed,
        Self::HeldBack,
        Self::Soaking,
        Self::RetryDelayed,
        Self::RolledBack,
        Self::TakenBack,
        Self::Updated,
        Self::Healthy,
        Self::ApiLost,
        Self::ApiBack,
        Self::ApiCall,
        Self::HeldByGate,
        Self::ReleasedByGate,
        Self::RecordUnreadable,
        Self::StateDamaged,
        Self::StateLost,
        Self::GaveUp,
        Self::WaitFailed,
        Self::Stopped,
    ];

    /// The name, in the log and in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Configuration => "configuration",
            Self::ServingMetrics => "serving_metrics",
            Self::ServingFailed => "serving_failed",
            Self::CycleDeferred => "cycle_deferred",
            Self::LockHeld => "lock_held",
            Self::Preparing => "preparing",
            Self::StillRunning => "still_running",
            Self::Refreshed => "refreshed",
            Self::Prepared => "prepared",
            Self::Activated => "activated",
            Self::Deactivated => "deactivated",
            Self::CommandFailed => "command_failed",
            Self::CommandOverdue => "command_overdue",
            Self::CommandVanished => "command_vanished",
            Self::CommandWithoutEffect => "command_without_effect",
            Self::CommandRefused => "command_refused",
            Self::LockStuck => "lock_stuck",
            Self::NothingToDo => "nothing_to_do",
            Self::NotChosen => "not_chosen",
            Self::Ready => "ready",
            Self::Staged => "staged",
            Self::StagedForReboot => "staged_for_reboot",
            Self::WindowClosed => "window_closed",
            Self::HeldBack => "held_back",
            Self::Soaking => "soaking",
            Self::RetryDelayed => "retry_delayed",
            Self::RolledBack => "rolled_back",
            Self::TakenBack => "taken_back",
            Self::Updated => "updated",
            Self::Healthy => "healthy",
            Self::ApiLost => "api_lost",
            Self::ApiBack => "api_back",
            Self::ApiCall => "api_call",
            Self::HeldByGate => "held_by_gate",
            Self::ReleasedByGate => "released_by_gate",
            Self::RecordUnreadable => "record_unreadable",
            Self::StateDamaged => "state_damaged",
            Self::StateLost => "state_lost",
            Self::GaveUp => "gave_up",
            Self::WaitFailed => "wait_failed",
            Self::Stopped => "stopped",
        }
    }

    /// How much it matters.
    pub fn level(self) -> Level {
        match self {
            Self::CommandFailed
            | Self::CommandOverdue
            | Self::CommandVanished
            | Self::CommandWithoutEffect
            | Self::CommandRefused
            | Self::LockStuck
            | Self::RolledBack
            | Self::ApiLost
            | Self::HeldByGate
            | Self::RecordUnreadable
            | Self::StateDamaged
            | Self::StateLost
            | Self::GaveUp
            | Self::ServingFailed
            | Self::WaitFailed => Level::Error,
            Self::Refreshed | Self::ApiCall => Level::Debug,
            Self::Started
            | Self::ServingMetrics
            | Self::LockHeld
            | Self::Preparing
            | Self::StillRunning
            | Self::Prepared
            | Self::Activated
            | Self::Deactivated
            | Self::NothingToDo
            | Self::Ready
            | Self::Staged
            | Self::StagedForReboot
            | Self::WindowClosed
            | Self::HeldBack
            | Self::Soaking
            | Self::RetryDelayed
            | Self::TakenBack
            | Self::Updated
            | Self::ReleasedByGate
            | Self::ApiBack
            | Self::Stopped
            | Self::Configuration
            | Self::CycleDeferred
            | Self::Healthy
            | Self::NotChosen => Level::Info,
        }
    }

    /// Whether a cycle that does not fail ends with this event.
    pub fn ends_cycle(self) -> bool {
        matches!(
            self,
            Self::NothingToDo
                | Self::NotChosen
                | Self::Ready
                | Self::Staged
                | Self::StagedForReboot
                | Self::WindowClosed
                | Self::HeldBack
                | Self::Soaking
                | Self::RetryDelayed
        )
    }

    /// What happened, for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Configuration => "the flags in force",
            Self::ServingMetrics => "serving metrics",
            Self::ServingFailed => {
                "cannot serve metrics and health checks; retrying, and updating meanwhile"
            }
            Self::CycleDeferred => {
                "waiting before the next cycle, so that nodes do not act at the same time"
            }
            Self::LockHeld => "an update command is running, waiting for it",
            Self::Preparing => "update found, preparing it",
            Self::StillRunning => "command is still running",
            Self::Refreshed => "refreshed",
            Self::Prepared => "prepared",
            Self::Activated => "activated",
            Self::Deactivated => "deactivated, so that no reboot boots the version",
            Self::CommandFailed => "command failed",
            Self::CommandOverdue => "command timed out; it may still be running",
            Self::CommandVanished => "command ended without a result",
            Self::CommandWithoutEffect => "commands succeed, but the update makes no progress",
            Self::CommandRefused => "the API refused the command",
            Self::LockStuck => "timed out waiting for the running update command",
            Self::NothingToDo => "nothing to do",
            Self::NotChosen => "newer versions are offered, none is chosen: version-lock or wave?",
            Self::Ready => "ready, waiting for the reboot",
            Self::Staged => "update is staged, not activating it because of -stage-only",
            Self::StagedForReboot => "staged, waiting for the reboot command, which activates it",
            Self::WindowClosed => "update is waiting for the next window",
            Self::HeldBack => "version is held back because it did not boot or was taken back",
            Self::Soaking => {
                "version is soaking; it is prepared when it has been on offer for long enough"
            }
            Self::RetryDelayed => "a command failed, waiting before sending it again",
            Self::RolledBack => "the new version did not boot and the node rolled back",
            Self::TakenBack => {
                "an older version runs that nobody activated: holding the newer one back"
            }
            Self::Updated => "the new version is running",
            Self::Healthy => "the updater is working",
            Self::ApiLost => "the API is unavailable",
            Self::ApiBack => "the API is available again",
            Self::ApiCall => "called the API",
            Self::HeldByGate => {
                "the version did not boot, and the gate keeps Kured from starting on this node"
            }
            Self::ReleasedByGate => "the gate no longer holds this node",
            Self::RecordUnreadable => {
                "cannot read the record of the last reboot; continuing without it"
            }
            Self::StateDamaged => {
                "the state file is damaged; renamed it to state.damaged, starting without it"
            }
            Self::StateLost => {
                "cannot load or save the state; a version that does not boot may be retried"
            }
            Self::GaveUp => {
                "the socket is unreachable; exiting so that a restarted container mounts a new one"
            }
            Self::WaitFailed => "cannot wait; exiting",
            Self::Stopped => "stopped",
        }
    }
}

impl<'a> Event<'a> {
    /// The end of a cycle in which no update was chosen.
    pub fn nothing_chosen(status: &'a Status<'a>) -> Self {
        match status.offered_but_not_chosen() {
            Some(offered) => Self::NotChosen { status, offered },
            None => Self::NothingToDo(status),
        }
    }

    /// The success of `command` with `version`, `took` after it was sent because
    /// `chosen` was the chosen version.
    pub fn succeeded(
        command: Command,
        version: &'a str,
        chosen: &'a str,
        took: Option<Duration>,
    ) -> Self {
        match command {
            Command::Refresh => Self::Refreshed { version, took },
            Command::Prepare => Self::Prepared { version, took },
            Command::Activate => Self::Activated { version, took },
            Command::Deactivate => Self::Deactivated { version, chosen, took },
        }
    }

    /// The kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Started { .. } => EventKind::Started,
            Self::Configuration { .. } => EventKind::Configuration,
            Self::ServingMetrics { .. } => EventKind::ServingMetrics,
            Self::ServingFailed { .. } => EventKind::ServingFailed,
            Self::CycleDeferred { .. } => EventKind::CycleDeferred,
            Self::LockHeld => EventKind::LockHeld,
            Self::Preparing(_) => EventKind::Preparing,
            Self::StillRunning { .. } => EventKind::StillRunning,
            Self::Refreshed { .. } => EventKind::Refreshed,
            Self::Prepared { .. } => EventKind::Prepared,
            Self::Activated { .. } => EventKind::Activated,
            Self::Deactivated { .. } => EventKind::Deactivated,
            Self::CommandFailed { .. } => EventKind::CommandFailed,
            Self::CommandOverdue { .. } => EventKind::CommandOverdue,
            Self::CommandVanished { .. } => EventKind::CommandVanished,
            Self::CommandWithoutEffect { .. } => EventKind::CommandWithoutEffect,
            Self::CommandRefused { .. } => EventKind::CommandRefused,
            Self::LockStuck { .. } => EventKind::LockStuck,
            Self::NothingToDo(_) => EventKind::NothingToDo,
            Self::NotChosen { .. } => EventKind::NotChosen,
            Self::Ready(_) => EventKind::Ready,
            Self::Staged(_) => EventKind::Staged,
            Self::StagedForReboot(_) => EventKind::StagedForReboot,
            Self::WindowClosed { .. } => EventKind::WindowClosed,
            Self::HeldBack { .. } => EventKind::HeldBack,
            Self::Soaking { .. } => EventKind::Soaking,
            Self::RetryDelayed { .. } => EventKind::RetryDelayed,
            Self::RolledBack { .. } => EventKind::RolledBack,
            Self::TakenBack { .. } => EventKind::TakenBack,
            Self::Updated(_) => EventKind::Updated,
            Self::Healthy { .. } => EventKind::Healthy,
            Self::ApiLost { .. } => EventKind::ApiLost,
            Self::ApiBack { .. } => EventKind::ApiBack,
            Self::ApiCall { .. } => EventKind::ApiCall,
            Self::HeldByGate(_) => EventKind::HeldByGate,
            Self::ReleasedByGate { .. } => EventKind::ReleasedByGate,
            Self::RecordUnreadable { .. } => EventKind::RecordUnreadable,
            Self::StateDamaged => EventKind::StateDamaged,
            Self::StateLost { .. } => EventKind::StateLost,
            Self::GaveUp { .. } => EventKind::GaveUp,
            Self::WaitFailed { .. } => EventKind::WaitFailed,
            Self::Stopped { .. } => EventKind::Stopped,
        }
    }

    /// The class of the error, if this is one: the kind of the API's error, or
    /// the name of the event.
    pub fn error_class(&self) -> Option<&'static str> {
        match self {
            Self::ApiLost { error, .. } | Self::GaveUp { error, .. } => Some(error.kind().name()),
            _ if self.kind().level() == Level::Error => Some(self.kind().name()),
            _ => None,
        }
    }

    /// The log record of this event, without its newline, at `utc`: the time since
    /// 1970-01-01 00:00:00 UTC.
    pub fn record(&self, format: Format, utc: Duration) -> Record {
        let kind = self.kind();
        let mut record = Record::new(format, utc, kind.level(), kind.name(), kind.message());
        self.add_fields(&mut record);
        record
    }

    /// Adds the event's own fields.
    fn add_fields(&self, record: &mut Record) {
        match *self {
            Self::Started { socket, interval } => {
                record.text("version", env!("CARGO_PKG_VERSION"));
                record.show("socket", &Sanitized(socket));
                record.duration("interval", interval);
            }
            Self::ServingMetrics { address, port } => {
                record.show("address", &Sanitized(address));
                record.show("port", &port);
            }
            Self::LockHeld | Self::StateDamaged => {}
            Self::Preparing(update) => {
                record.text("running", &update.running);
                add_image(record, update.chosen.image());
            }
            Self::StillRunning { command, took } => {
                record.text("command", command.name());
                record.duration("took", took);
            }
            Self::Refreshed { version, took }
            | Self::Prepared { version, took }
            | Self::Activated { version, took } => {
                record.text("version", version);
                add_took(record, took);
            }
            Self::Deactivated { version, chosen, took } => {
                record.text("version", version);
                if chosen.is_empty() {
                    record.text("reason", "withdrawn");
                } else if chosen == version {
                    record.text("reason", "not_rebooted");
                } else {
                    record.text("reason", "replaced");
                    record.text("chosen", chosen);
                }
                add_took(record, took);
            }
            Self::CommandFailed { command, version, last, took } => {
                add_command(record, command, version);
                record.text("status", last.outcome);
                if !last.exit_status.is_empty() {
                    record.text("exit_status", last.exit_status);
                }
                add_took(record, took);
                record.show("stderr", last.stderr);
            }
            Self::CommandOverdue { command, version, timeout } => {
                add_command(record, command, version);
                record.duration("timeout", timeout);
            }
            Self::CommandVanished { command, version }
            | Self::CommandWithoutEffect { command, version } => {
                add_command(record, command, version);
            }
            Self::CommandRefused { command, version, refusal } => {
                add_command(record, command, version);
                record.show("error", refusal);
            }
            Self::LockStuck { after } | Self::ApiBack { after } => record.duration("after", after),
            Self::NothingToDo(status) => {
                record.text("state", status.state.name());
                add_running(record, status.running);
            }
            Self::Ready(status) | Self::Staged(status) | Self::StagedForReboot(status) => {
                record.text("state", status.state.name());
                record.text("next", status.staged.map_or("", |image| image.version));
                add_running(record, status.running);
            }
            Self::WindowClosed { status, opens } => {
                record.text("state", status.state.name());
                record.text("version", status.chosen.map_or("", |image| image.version));
                record.timestamp("opens", opens.utc);
                record.show("opens_local", &opens);
            }
            Self::HeldBack { entry, retry_in } => {
                add_image(record, entry.image.image());
                record.show("failed_boots", &entry.failed_boots);
                record.duration("retry_in", retry_in);
            }
            Self::Soaking { status, ready_in } => {
                record.text("state", status.state.name());
                record.text("version", status.chosen.map_or("", |image| image.version));
                record.duration("ready_in", ready_in);
            }
            Self::RetryDelayed { command, version, retry_in } => {
                add_command(record, command, version);
                record.duration("retry_in", retry_in);
            }
            Self::RolledBack { entry, retry_in } => {
                add_image(record, entry.image.image());
                record.show("failed_boots", &entry.failed_boots);
                record.duration("retry_in", retry_in);
                record.text("running", &entry.previous_version);
            }
            Self::TakenBack { entry, retry_in } => {
                add_image(record, entry.image.image());
                record.duration("retry_in", retry_in);
                record.text("running", &entry.previous_version);
            }
            Self::Updated(entry) => {
                add_image(record, entry.image.image());
                record.text("before", &entry.previous_version);
            }
            Self::ApiLost { call, error } => {
                record.text("call", call.name());
                record.show("error", &error);
            }
            Self::ApiCall { call, answer, took } => {
                record.text("call", call.name());
                match answer {
                    Ok(Answer::Status(status)) => record.text("answer", status.state.name()),
                    Ok(Answer::Uninitialized) => record.text("answer", "404"),
                    Ok(Answer::Started) => record.text("answer", "204"),
                    Ok(Answer::Busy) => record.text("answer", "423"),
                    Ok(Answer::NotAllowed(refusal)) => record.show("answer", refusal),
                    Err(error) => record.show("error", error),
                }
                record.duration("took", took);
            }
            Self::HeldByGate(reboot) => {
                add_image(record, reboot.image.image());
                record.text("running", &reboot.running);
                record.show("attempts", &reboot.attempts);
            }
            Self::ReleasedByGate { version, running, after } => {
                record.text("version", version);
                record.text("running", running);
                record.duration("after", after);
            }
            Self::RecordUnreadable { tried, error } => {
                record.text("tried", tried);
                match error {
                    Some(error) => record.show("error", &ErrnoText(error)),
                    None => record.text("error", "the file is damaged"),
                }
            }
            Self::StateLost { tried, error } => {
                record.text("tried", tried);
                record.show("error", &ErrnoText(error));
            }
            Self::GaveUp { after, error } => {
                record.duration("after", after);
                record.show("error", &error);
            }
            Self::ServingFailed { address, error } => {
                record.show("address", &Sanitized(address));
                record.show("error", &ErrnoText(error));
            }
            Self::WaitFailed { error } => record.show("error", &ErrnoText(error)),
            Self::Configuration { flags } => record.text("flags", flags),
            Self::CycleDeferred { begins_in } => record.duration("begins_in", begins_in),
            Self::Healthy { status, cycles, failed_cycles } => {
                record.text("state", status.state.name());
                add_running(record, status.running);
                record.show("cycles", &cycles);
                record.show("failed_cycles", &failed_cycles);
            }
            Self::NotChosen { status, offered } => {
                record.text("state", status.state.name());
                record.text("offered", offered);
                add_running(record, status.running);
            }
            Self::Stopped { signal } => record.text("signal", signal),
        }
    }
}

#[cfg(test)]
mod tests;
