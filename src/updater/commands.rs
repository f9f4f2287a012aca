//! What the updater remembers of the node's update commands, from one cycle to the
//! next. A restart of the updater begins anew.
//!
//! The status shows only the command that ended last. The refresh at the beginning of
//! each cycle replaces it, so what a cycle reads before its refresh is kept here.

use crate::api::Command;
use crate::api::status::{State, Status};

/// What is remembered of the node's commands.
#[derive(Debug, Default)]
pub struct Commands {
    /// Whether the last activate failed, and no prepare has ended since.
    activate_failed: bool,
}

impl Commands {
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

    /// Takes note of a status.
    pub fn observe(&mut self, status: Option<&Status>) {
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

    /// Takes note that a prepare has ended, and that another client's command has
    /// replaced its result. It may have succeeded, so the next activate is a new try.
    pub fn prepare_ended(&mut self) {
        self.activate_failed = false;
    }
}
