//! What the updater remembers of the node's update commands, from one cycle to the
//! next. A restart of the updater begins anew, but for the command that it had sent: the
//! history has that, if there is a state file.
//!
//! The status shows only the command that ended last. The refresh at the beginning of
//! each cycle replaces it, so what a cycle reads before its refresh is kept here.

use crate::api::Command;
use crate::api::status::{State, Status, Text, copy};
use crate::updater::history::History;
use core::mem;
use core::time::Duration;

/// The longest pause before a command that failed is sent again, unless the interval
/// between cycles is longer.
const RETRY_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// What is remembered of the node's commands.
#[derive(Debug, Default)]
pub struct Commands {
    /// The last failure of each command, in the order of [`Command::ALL`].
    failures: [Option<Failure>; Command::ALL.len()],
    /// Whether the last activate failed, and no prepare has ended since.
    activate_failed: bool,
    /// Whether a status has been read since the start, or there was none.
    has_begun: bool,
    /// Whether a command was running at the start.
    was_busy: bool,
    /// Whether the history knows which command was sent before the start, if any.
    knows_last_run: bool,
    /// A command of this updater that timed out, or that it sent before it was restarted, and
    /// whose outcome is not known.
    overdue: Option<Overdue>,
}

/// The last failure of a command.
#[derive(Debug)]
struct Failure {
    /// The version that the command was about.
    version: Text,
    /// The pause after it.
    pause: Duration,
    /// When the pause ends.
    until: Duration,
}

/// A command that timed out, or was sent before the start.
#[derive(Debug)]
pub struct Overdue {
    /// The command.
    pub command: Command,
    /// The version that it is about; empty for a refresh.
    pub version: Text,
    /// The timestamp of the last command before it.
    pub timestamp_before: Text,
    /// When it was sent. `None` if that was before the start.
    pub since: Option<Duration>,
}

/// A command that has ended outside of a cycle of this updater.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The command. Its result is the last command of the status.
    pub command: Command,
    /// The version that it was about; empty if that is not known, or for a refresh.
    pub version: Text,
    /// The time since it was sent, if this updater sent it since its start.
    pub took: Option<Duration>,
    /// Whether it is known to have begun after this updater started.
    pub is_new: bool,
}

impl Commands {
    /// What is remembered at the start.
    pub fn begin(history: &History) -> Self {
        let overdue = history.sent().map(|sent| Overdue {
            command: sent.command,
            version: sent.version.clone(),
            timestamp_before: sent.timestamp_before.clone(),
            since: None,
        });
        Self { overdue, knows_last_run: history.is_kept(), ..Self::default() }
    }

    /// Whether an activate of what is staged has failed: the inactive partition set is
    /// not marked as valid, or is marked as the next one already. Another activate would
    /// fail as well until a prepare has written the partition set again.
    ///
    /// The failure is known if a status was read between the end of the activate and
    /// the end of the next command, whichever client sent the activate. If the updater
    /// restarts in between, the failure is not known. Then one more activate is sent, and
    /// fails.
    pub fn activate_failed(&self) -> bool {
        self.activate_failed
    }

    /// The command of this updater that timed out and may still be running.
    pub fn overdue(&self) -> Option<&Overdue> {
        self.overdue.as_ref()
    }

    /// Takes note of a status that was read at `now`; `None` if there has been no
    /// command since the node booted. Returns the command that it shows as the last
    /// one, if its outcome has to be reported:
    ///
    /// - a command that timed out
    /// - a command that was running at the start
    /// - a command that this updater sent before its start, and that ended since; the
    ///   history has it
    /// - without a state file, a command that failed before the start. A restarted updater
    ///   does not know whether this was reported then, or that a command succeeded. The state
    ///   shows a success. A failed refresh is not reported, because another one follows.
    /// - an activate of the reboot program that failed, if `others_activate`
    ///
    /// A deactivate that succeeded is reported only if this updater sent it.
    pub fn observe(
        &mut self,
        now: Duration,
        status: Option<&Status>,
        others_activate: bool,
    ) -> Option<Ended> {
        let is_first = !mem::replace(&mut self.has_begun, true);
        let had_failed = self.activate_failed;
        self.note_activate(status);
        let has_just_failed = others_activate && self.activate_failed && !had_failed && !is_first;
        let status = status?;
        let last = status.last_command.as_ref()?;
        let named = |command: &Command| command.name() == last.name;
        if let Some(overdue) = &self.overdue {
            if last.timestamp == overdue.timestamp_before {
                return None;
            }
            let Overdue { command, version, since, .. } = self.overdue.take()?;
            // Otherwise another client's command has replaced the outcome.
            let took = since.map(|since| now.saturating_sub(since));
            let ended = Ended { command, version, took, is_new: took.is_some() };
            return Some(ended).filter(|ended| named(&ended.command));
        }
        let is_reported = is_first || has_just_failed;
        let command = Command::ALL.into_iter().find(named).filter(|_| is_reported)?;
        let may_be_news = !last.succeeded() && !self.knows_last_run;
        let is_news = match command {
            Command::Refresh => self.was_busy,
            Command::Activate if has_just_failed => true,
            Command::Prepare | Command::Activate => self.was_busy || may_be_news,
            Command::Deactivate => self.was_busy && !last.succeeded() || may_be_news,
        };
        let image = match command {
            Command::Refresh => None,
            // A prepare that failed has not staged its version.
            Command::Prepare if !last.succeeded() => status.chosen,
            Command::Prepare | Command::Activate | Command::Deactivate => status.staged,
        };
        let version = copy(image.unwrap_or_default().version);
        Some(Ended { command, version, took: None, is_new: !is_first }).filter(|_| is_news)
    }

    /// Takes note that `command` has failed for `version`, at `now`. The pause before it
    /// is sent again is `first` after the first failure, and doubles with each further
    /// one, up to six hours. Another version begins anew.
    ///
    /// There is no pause for a refresh, without which another version would not be
    /// noticed, nor for a deactivate: until it succeeds, a reboot starts a version that is
    /// no longer chosen.
    pub fn failed(&mut self, now: Duration, first: Duration, command: Command, version: &str) {
        let Some(failure) = self.failures.get_mut(command.number()) else { return };
        let same = failure.as_ref().filter(|failure| failure.version == version);
        let pause =
            same.map_or(first, |failure| failure.pause.saturating_mul(2).min(RETRY_MAX.max(first)));
        *failure = match command {
            Command::Refresh | Command::Deactivate => None,
            Command::Prepare | Command::Activate => {
                let (version, until) = (copy(version), now.saturating_add(pause));
                Some(Failure { version, pause, until })
            }
        };
    }

    /// The time for which `command` is not sent for `version` because it has failed, if
    /// there is any left. A prepare also waits for the pause of the activate: it is of no
    /// use before that.
    pub fn retry_in(&self, now: Duration, command: Command, version: &str) -> Option<Duration> {
        let others: &[Command] = match command {
            Command::Prepare => &[Command::Prepare, Command::Activate],
            Command::Refresh | Command::Activate | Command::Deactivate => &[command],
        };
        let failures =
            others.iter().filter_map(|other| self.failures.get(other.number())?.as_ref());
        let until = failures.filter(|failure| failure.version == version).map(|each| each.until);
        until.max()?.checked_sub(now).filter(|left| !left.is_zero())
    }

    fn note_activate(&mut self, status: Option<&Status>) {
        let staged = status.filter(|status| status.state == State::Staged);
        let Some(Status { last_command, .. }) = staged else {
            self.activate_failed = false;
            return;
        };
        let Some(last) = last_command else { return };
        if last.name == Command::Activate.name() {
            self.activate_failed = !last.succeeded();
        } else if last.name == Command::Prepare.name() && last.succeeded() {
            self.activate_failed = false;
        }
    }

    /// Takes note that a command holds the lock.
    pub fn lock_held(&mut self) {
        self.was_busy |= !self.has_begun;
    }

    /// Takes note that a command of this updater is about to be sent: the outcome of an
    /// earlier one is not going to be known any more.
    pub fn sending(&mut self) {
        self.overdue = None;
    }

    /// Takes note that a command of this updater timed out.
    pub fn timed_out(&mut self, overdue: Overdue) {
        self.overdue = Some(overdue);
    }

    /// Takes note that a prepare has ended, and that another client's command has
    /// replaced its result. It may have succeeded, so the next activate is a new try.
    pub fn prepare_ended(&mut self) {
        self.activate_failed = false;
    }
}
