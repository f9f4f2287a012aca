//! The host: its update API, and the firmware that picks a partition set.
//!
//! The states, the refusals and the effects of the commands are those of a real API
//! server. A command holds the lock from its start to its end. The status is lost at each
//! boot.

use crate::repository::Repository;
use crate::version::Version;
use bottlerocket_updater::api::status::{LastCommand, State, Status};
use bottlerocket_updater::api::{Answer, AnswerError, CallError, Command, Refusal};
use bottlerocket_updater::text::excerpt::Excerpt;

/// The names of boots and of points in time. Only whether two are the same matters.
pub const NAMES: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];

/// The host of one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// The version that runs.
    pub running: Version,
    /// The version on the other partition set, if there is one.
    pub other: Option<Version>,
    /// Whether the next boot tries the other partition set, once.
    pub tries_other: bool,
    /// The id of this boot.
    pub boot: usize,
    /// What the API knows. `None` until the first command after the boot.
    pub status: Option<Known>,
    /// The command that holds the lock.
    pub command: Option<Command>,
    /// Whether a reboot was requested. The node goes down some time later.
    pub is_shutting_down: bool,
}

/// What the API knows after the first command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Known {
    /// The update state.
    pub state: State,
    /// The version that a prepare would write.
    pub chosen: Option<Version>,
    /// The version that was prepared in this boot.
    pub staged: Option<Version>,
    /// The last command: whether it succeeded, and when it ended.
    pub last: Option<(Command, bool, usize)>,
}

impl Host {
    /// A node that has run the old version for long.
    pub fn new() -> Self {
        Self {
            running: Version::Old,
            other: None,
            tries_other: false,
            boot: 0,
            status: None,
            command: None,
            is_shutting_down: false,
        }
    }

    /// The state that the API tells. `None` if it tells none.
    pub fn state(&self) -> Option<State> {
        self.status.as_ref().filter(|_| self.command.is_none()).map(|known| known.state)
    }

    /// Whether the version that is chosen is Staged.
    pub fn is_staged(&self) -> bool {
        self.state() == Some(State::Staged)
            && self
                .status
                .as_ref()
                .is_some_and(|known| known.chosen.is_some() && known.chosen == known.staged)
    }

    /// The version that the next boot tries.
    pub fn ready(&self) -> Option<Version> {
        self.other.filter(|_| self.tries_other)
    }

    /// Reads the status, and passes the answer to `take`.
    pub fn read_status<T>(&self, take: impl FnOnce(&Result<Answer, CallError>) -> T) -> T {
        let stderr = Excerpt::default();
        let answer = match &self.status {
            _ if self.command.is_some() => Answer::Busy,
            None => Answer::Uninitialized,
            Some(known) => Answer::Status(known.status(self.running, &stderr)),
        };
        take(&Ok(answer))
    }

    /// Starts a command, and passes the answer to `take`.
    pub fn start<T>(
        &mut self,
        command: Command,
        take: impl FnOnce(&Result<Answer, CallError>) -> T,
    ) -> T {
        let reason = Excerpt::default();
        let answer = match self.command {
            Some(_) => Answer::Busy,
            None if self.allows(command) => {
                self.command = Some(command);
                Answer::Started
            }
            None => Answer::NotAllowed(Refusal { code: 409, reason: &reason }),
        };
        if self.command.is_none() {
            // Also a refused command creates the status.
            self.known();
        }
        take(&Ok(answer))
    }

    /// Requests a reboot, and passes the answer to `take`.
    pub fn reboot<T>(
        &mut self,
        is_refused: bool,
        take: impl FnOnce(&Result<Answer, CallError>) -> T,
    ) -> T {
        if is_refused {
            let reason = Excerpt::default();
            let refusal = Refusal { code: 500, reason: &reason };
            return take(&Err(CallError::Answer(AnswerError::Refused(refusal))));
        }
        self.is_shutting_down = true;
        take(&Ok(Answer::Started))
    }

    fn allows(&self, command: Command) -> bool {
        let state = self.status.as_ref().map(|known| known.state);
        match command {
            Command::Refresh => true,
            Command::Prepare => {
                matches!(state, Some(State::Available | State::Staged))
                    && self.status.as_ref().is_some_and(|known| known.chosen.is_some())
            }
            Command::Activate => state == Some(State::Staged),
            Command::Deactivate => state == Some(State::Ready),
        }
    }

    fn known(&mut self) -> &mut Known {
        let new = Known { state: State::Idle, chosen: None, staged: None, last: None };
        self.status.get_or_insert(new)
    }

    /// When the last command has ended.
    pub fn time(&self) -> Option<usize> {
        self.status.as_ref()?.last.map(|(_, _, time)| time)
    }

    /// Ends the command that runs, at a time that is none of `noted`. Times are used
    /// again once nobody has noted them, so that the number of states is finite.
    pub fn finish(&mut self, succeeds: bool, repository: Repository, noted: [Option<usize>; 2]) {
        let Some(command) = self.command.take() else { return };
        let running = self.running;
        let known = self.known();
        let before = known.last.map(|(_, _, time)| time);
        let is_new = |time: &usize| Some(*time) != before && !noted.contains(&Some(*time));
        let time = (0..NAMES.len()).find(is_new).unwrap_or_default();
        known.last = Some((command, succeeds, time));
        match (command, succeeds) {
            (Command::Refresh, true) => {
                known.chosen = repository.chosen_for(running);
                if !matches!(known.state, State::Staged | State::Ready) {
                    let found = known.chosen.is_some();
                    known.state = if found { State::Available } else { State::Idle };
                }
            }
            (Command::Refresh, false) if known.state == State::Available => {
                known.state = State::Idle;
            }
            (Command::Prepare, true) => {
                known.state = State::Staged;
                known.staged = known.chosen;
                self.other = self.known().staged;
            }
            (Command::Activate, true) => {
                known.state = State::Ready;
                self.tries_other = true;
            }
            (Command::Deactivate, true) => {
                known.state = State::Staged;
                self.tries_other = false;
            }
            (_, false) => {}
        }
    }

    /// Forgets when the last command ended. Only for when nobody remembers it either.
    pub fn forget_time(&mut self) {
        if let Some(Known { last: Some((_, _, time)), .. }) = &mut self.status {
            *time = 0;
        }
    }

    /// Boots. A boot that tries the other partition set ends there, unless the version
    /// does not boot or power is lost.
    pub fn boot(&mut self, power_is_lost: bool, boot: usize) {
        self.boot = boot;
        self.status = None;
        self.command = None;
        self.is_shutting_down = false;
        let Some(tried) = self.ready() else { return };
        self.tries_other = false;
        if power_is_lost || tried == Version::Bad {
            return;
        }
        self.other = Some(self.running);
        self.running = tried;
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Known {
    fn status<'a>(&self, running: Version, stderr: &'a Excerpt) -> Status<'a> {
        Status {
            state: self.state,
            chosen: self.chosen.map(Version::image),
            running: Some(running.image()),
            staged: self.staged.map(Version::image),
            offered: None,
            last_command: self.last.map(|(command, succeeded, time)| LastCommand {
                name: command.name(),
                outcome: if succeeded { "Success" } else { "Failed" },
                timestamp: NAMES[time],
                exit_status: "0",
                stderr,
            }),
        }
    }
}
