//! Kured on one node: the sentinel, the lock, cordon and drain, the reboot command, and
//! the start.
//!
//! The rules are those of Kured 1.23: it starts after its init containers have ended. A
//! Kured that starts on a node that has the lock uncordons the node and gives the lock
//! back. A Kured whose reboot command fails dies, and starts again.

use crate::gate::{self, Gate};
use crate::node::Node;
use crate::reboot::{self, Luck, Program};
use crate::repository::Repository;
use crate::settings::{Rule, Settings};
use bottlerocket_updater::api::status::{State, Status};
use bottlerocket_updater::api::{Answer, CallError};
use bottlerocket_updater::checker::{Decision, Options};
use bottlerocket_updater::cli::exit;
use std::fmt::{self, Display, Formatter};

/// What Kured's pod does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kured {
    /// The gate runs. Kured's container has not started since the boot.
    InInit(Gate),
    /// Kured's container starts.
    Starting,
    /// It runs the checker from time to time.
    Idle,
    /// It has the lock, and drains the node.
    Draining,
    /// The reboot command runs.
    Rebooting(Box<Program>),
    /// The reboot command has ended with 0. It waits until the node goes down.
    Waiting,
}

impl Kured {
    /// The reboot that is being decided.
    pub fn program(&self) -> Option<&Program> {
        match self {
            Self::Rebooting(program) | Self::InInit(Gate::Rebooting(program)) => Some(program),
            _ => None,
        }
    }
}

impl Display for Kured {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Self::InInit(gate) => write!(f, "waits for the gate, which {gate}"),
            Self::Starting => write!(f, "starts"),
            Self::Idle => write!(f, "idle"),
            Self::Draining => write!(f, "drains"),
            Self::Rebooting(program) => write!(f, "reboot program: {}", program.next()),
            Self::Waiting => write!(f, "waits for the reboot"),
        }
    }
}

/// Makes Kured's next step. Returns `false` if there is none. `lock_is_free` says whether
/// there is a lock, or a part of it, that no node has.
pub fn step(
    node: &mut Node,
    settings: &Settings,
    repository: Repository,
    lock_is_free: bool,
) -> bool {
    match node.kured.clone() {
        Kured::InInit(_) | Kured::Rebooting(_) => {
            return run_program(node, settings, repository, Luck::Good);
        }
        Kured::Starting => {
            if node.has_lock {
                node.is_cordoned = false;
                node.has_lock = false;
            }
            node.kured = Kured::Idle;
        }
        Kured::Idle => {
            if !(lock_is_free || node.has_lock) || !checker_says_yes(node, settings) {
                return false;
            }
            node.has_lock = true;
            node.is_cordoned = true;
            node.kured = Kured::Draining;
        }
        Kured::Draining => {
            node.kured = Kured::Rebooting(Box::new(Program::of_kured(settings, repository)));
        }
        Kured::Waiting => return false,
    }
    true
}

/// Makes the next step of the gate or of the reboot command. Returns `false` if it waits, or
/// does not run.
pub fn run_program(
    node: &mut Node,
    settings: &Settings,
    repository: Repository,
    luck: Luck,
) -> bool {
    node.kured = match node.kured.clone() {
        Kured::InInit(gate) => match gate.step(node, settings, repository, luck) {
            gate::Outcome::Waits => return false,
            gate::Outcome::Continues(gate) => Kured::InInit(gate),
            gate::Outcome::Opens => Kured::Starting,
        },
        Kured::Rebooting(mut program) => match program.step(node, settings, repository, luck) {
            reboot::Outcome::Waits => return false,
            reboot::Outcome::Continues => Kured::Rebooting(program),
            reboot::Outcome::Exits(exit::SUCCESS) => {
                node.request = Some(program.request());
                if settings.breaks(Rule::KeepsTheLock) {
                    node.is_cordoned = false;
                    node.has_lock = false;
                }
                Kured::Waiting
            }
            reboot::Outcome::Exits(_) => Kured::Starting,
        },
        _ => return false,
    };
    node.forget_time();
    true
}

/// The reboot that the reboot command or the gate is about to request is refused. Returns
/// `false` if neither is about to.
pub fn refuse_reboot(node: &mut Node, settings: &Settings, repository: Repository) -> bool {
    node.kured.program().is_some_and(|program| program.requests_next(settings))
        && run_program(node, settings, repository, Luck::RebootIsRefused)
}

/// What the real checker says about the node's status.
fn checker_says_yes(node: &Node, settings: &Settings) -> bool {
    node.host.read_status(|answer| {
        let answer: Result<Answer, CallError> = match answer {
            Ok(Answer::Status(status)) if settings.breaks(Rule::TrustsOnlyReady) => {
                let is_staged = status.state == State::Staged;
                let state = if is_staged { State::Ready } else { status.state };
                Ok(Answer::Status(Status { state, ..*status }))
            }
            answer => *answer,
        };
        let mut options = Options::default();
        options.staged = settings.updater.activate_at_reboot;
        Decision::new(answer, &options).exit_status() == exit::SUCCESS
    })
}
