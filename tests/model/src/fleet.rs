//! All nodes: what can happen to them when, and what must hold.

use crate::action::Action;
use crate::gate::Gate;
use crate::kured::{self, Kured};
use crate::node::{Node, Requester};
use crate::operator;
use crate::reboot::{Luck, Program};
use crate::repository::Repository;
use crate::settings::{Early, Settings};
use crate::shared::{Shared, hash};
use crate::updater::{self, Updater};
use crate::version::Version;
use bottlerocket_updater::api::Command;
use bottlerocket_updater::api::status::State;
use stateright::{Model, Property};
use std::fmt::{self, Display, Formatter};
use std::mem;

/// The model: what the nodes do with these settings.
pub struct Fleet(pub Settings);

/// A state of the whole fleet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The nodes. States share those that do not differ.
    pub nodes: Vec<Shared<Node>>,
    /// What the repository offers.
    pub repository: Repository,
    /// How much may still happen.
    pub left: Left,
    /// What has happened.
    pub seen: Seen,
}

/// How often something may still go wrong, or be done by hand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Left {
    losses: u8,
    boot_losses: u8,
    failures: u8,
    restarts: u8,
    hands: u8,
    early: bool,
}

/// What has happened, as far as it matters for what must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// How often a reboot for which Kured has drained a node was to bring the bad version.
    pub drains_for_bad: u8,
    /// How often a reboot that Kured or the gate requested has tried the bad version.
    pub tries_of_bad: u8,
    /// How often the operator has opened a gate.
    pub releases: u8,
    /// How often the operator has deactivated what is ready.
    pub deactivations: u8,
    /// Whether the checker has said yes although the state was not Ready.
    pub false_yes: bool,
    /// Whether Kured or the gate has rebooted a node into the bad version although it was
    /// withdrawn.
    pub boot_of_withdrawn: bool,
    /// Whether Kured or the gate has rebooted a node that was not cordoned.
    pub reboot_undrained: bool,
}

impl Model for Fleet {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let Settings { nodes, losses, boot_losses, failures, restarts, hands, early, .. } = self.0;
        let left = Left { losses, boot_losses, failures, restarts, hands, early: early.is_some() };
        vec![World {
            nodes: vec![Shared::new(Node::new()); nodes],
            repository: Repository::Bad,
            left,
            seen: Seen::default(),
        }]
    }

    /// Some of these cannot happen: then [`Fleet::next_state`] returns `None`.
    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        use Action::*;
        let left = &world.left;
        for node in 0..world.nodes.len() {
            let mut add = |are_left: bool, each: &[fn(usize) -> Action]| {
                actions.extend(each.iter().filter(|_| are_left).map(|action| action(node)));
            };
            add(true, &[UpdaterActs, UpdaterActsLate, CommandEnds, KuredActs, Reboots]);
            add(left.losses > 0, &[PowerIsLost]);
            add(left.boot_losses > 0, &[PowerIsLostInBoot]);
            add(left.failures > 0, &[CommandFails, CommandTakesLong, RebootIsRefused]);
            add(left.restarts > 0, &[UpdaterRestarts, KuredRestarts]);
            add(left.hands > 0, &[OperatorActivates, OperatorDeactivates]);
            add(left.hands > 0, &[OperatorReboots, OperatorReleases]);
            let early = self.0.early.filter(|_| left.early);
            add(early == Some(Early::KuredRestarts), &[KuredRestartsTooEarly]);
            add(early == Some(Early::NoKubernetes), &[KuredStartsWithoutKubernetes]);
        }
        actions.extend(world.repository.next().iter().map(|next| Offers(*next)));
        match self.0.early.filter(|_| left.early) {
            Some(Early::DaemonSetReplaced) => actions.push(DaemonSetIsReplaced),
            Some(Early::LockFormatChanged) => actions.push(LockFormatChanges),
            _ => {}
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.apply(&self.0, action).then_some(next).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(CHECKER, |_, world: &World| !world.seen.false_yes),
            Property::always(CORDONED, |fleet: &Fleet, world: &World| {
                let cordoned = world.nodes.iter().filter(|node| node.is_cordoned).count();
                cordoned <= fleet.0.concurrency
            }),
            Property::always(DRAINS, |fleet: &Fleet, world: &World| {
                let Seen { drains_for_bad, releases, .. } = world.seen;
                usize::from(drains_for_bad) <= fleet.0.concurrency + usize::from(releases)
            }),
            Property::always(TRIES, |fleet: &Fleet, world: &World| {
                let Seen { tries_of_bad, releases, deactivations, .. } = world.seen;
                let drains = fleet.0.concurrency + usize::from(releases);
                usize::from(tries_of_bad) <= 2 * drains + usize::from(deactivations)
            }),
            Property::always(WITHDRAWN, |_, world: &World| !world.seen.boot_of_withdrawn),
            Property::always(DRAINED, |_, world: &World| !world.seen.reboot_undrained),
            Property::always(HOLDS, |_, world: &World| {
                world.nodes.iter().all(|node| !node.is_held_with_another_version())
            }),
        ]
    }
}

/// The checker answers for the state alone.
pub const CHECKER: &str =
    "the checker says yes only if the state is Ready, or Staged where the reboot program activates";
/// Kured works on as many nodes at once as it may.
pub const CORDONED: &str = "no more nodes are cordoned than --concurrency";
/// A bad version costs a drain for each lock. A release by hand costs one more.
pub const DRAINS: &str = "at most --concurrency drains for the bad version";
/// Each of these drains ends with one boot, and one more that the gate requests. If the
/// operator deactivates the version in the moment of that reboot, it does not count.
pub const TRIES: &str = "at most two tries of the bad version for each drain";
/// A withdrawal that the reboot program or the gate can know keeps it from the reboot.
pub const WITHDRAWN: &str = "no reboot by Kured or the gate into a version that is withdrawn";
/// No program of ours interrupts what runs on a node.
pub const DRAINED: &str = "no reboot of a node that is not drained";

/// What the gate goes by is the version that ran before.
pub const HOLDS: &str = "the gate holds a node only while the version from before the reboot runs";

impl World {
    /// Whether all nodes have arrived, and are in use.
    pub fn is_goal(&self) -> bool {
        self.nodes.iter().all(|node| {
            node.host.running == Version::Good
                && !node.is_cordoned
                && !node.has_lock
                && node.kured == Kured::Idle
        })
    }

    /// A number that is the same for states that differ only in the order of the nodes.
    pub fn key(&self) -> u64 {
        let mut nodes: Vec<u64> = self.nodes.iter().map(Shared::hash).collect();
        nodes.sort_unstable();
        hash(&(nodes, self.repository, &self.left, &self.seen))
    }

    /// Lets `action` happen. Returns `false` if it cannot happen now.
    fn apply(&mut self, settings: &Settings, action: Action) -> bool {
        let locks = self.nodes.iter().filter(|node| node.has_lock).count();
        let lock_is_free = locks < settings.concurrency;
        match action.node() {
            Some(number) => {
                let Self { nodes, repository, left, seen } = self;
                nodes[number].change(|node| {
                    let mut place = Place { node, left, seen, repository: *repository };
                    place.apply(settings, action, lock_is_free)
                })
            }
            None => self.apply_to_all(action),
        }
    }

    /// Lets `action` happen, which does not happen to a single node.
    fn apply_to_all(&mut self, action: Action) -> bool {
        match action {
            Action::Offers(next) => self.repository = next,
            Action::DaemonSetIsReplaced => {
                self.left.early = false;
                for node in &mut self.nodes {
                    node.change(|node| {
                        node.has_lock = false;
                        node.kured = Kured::InInit(Gate::Started);
                    });
                }
            }
            Action::LockFormatChanges => {
                self.left.early = false;
                for node in &mut self.nodes {
                    node.change(|node| node.has_lock = false);
                }
            }
            _ => return false,
        }
        true
    }
}

/// One node, and what matters to it.
struct Place<'a> {
    node: &'a mut Node,
    repository: Repository,
    left: &'a mut Left,
    seen: &'a mut Seen,
}

impl Place<'_> {
    /// Lets `action` happen to the node. Returns `false` if it cannot happen now.
    fn apply(&mut self, settings: &Settings, action: Action, lock_is_free: bool) -> bool {
        let Self { node, repository, left, seen } = self;
        let repository = *repository;
        match action {
            Action::UpdaterActs(_) => updater::step(node, settings, repository, false),
            Action::UpdaterActsLate(_) => updater::step(node, settings, repository, true),
            Action::CommandEnds(_) => {
                // A prepare takes minutes, and does not begin and end meanwhile.
                let is_quick = node.host.command != Some(Command::Prepare);
                let program = node.kured.program();
                (is_quick || !program.is_some_and(Program::has_decided))
                    && node.finish_command(true, repository)
            }
            Action::KuredActs(_) => {
                let (was_idle, state) = (node.kured == Kured::Idle, node.host.state());
                let is_staged = settings.updater.activate_at_reboot && node.host.is_staged();
                let acts = kured::step(node, settings, repository, lock_is_free);
                let is_yes = state == Some(State::Ready) || is_staged;
                seen.false_yes |= was_idle && acts && !is_yes;
                seen.note_request(node, left.failures == settings.failures);
                acts
            }
            Action::Reboots(_) => {
                let is_activating = node.updater.is_about_to_activate()
                    || node.host.command == Some(Command::Activate);
                if is_activating && !settings.reboots_cut_in {
                    return false;
                }
                if node.request.is_some() && node.host.ready() == Some(Version::Bad) {
                    seen.tries_of_bad += 1;
                }
                node.host.is_shutting_down && node.boot(false, settings.keeps_state)
            }
            Action::CommandFails(_) => {
                left.failures -= 1;
                node.finish_command(false, repository)
            }
            Action::CommandTakesLong(_) => {
                left.failures -= 1;
                let acts = node.host.command.is_some()
                    && kured::run_program(node, settings, repository, Luck::CommandTakesLong);
                seen.note_request(node, false);
                acts
            }
            Action::RebootIsRefused(_) => {
                left.failures -= 1;
                kured::refuse_reboot(node, settings, repository)
            }
            Action::UpdaterRestarts(_) => {
                left.restarts -= 1;
                mem::replace(&mut node.updater, Updater::Resting) != Updater::Resting
            }
            Action::KuredRestarts(_) => {
                left.restarts -= 1;
                node.kured = match &node.kured {
                    Kured::InInit(_) => Kured::InInit(Gate::Started),
                    Kured::Waiting => return false,
                    _ => Kured::Starting,
                };
                true
            }
            Action::PowerIsLost(_) => {
                left.losses -= 1;
                // The pods stay the same, and so do their directories.
                node.boot(false, true)
            }
            Action::PowerIsLostInBoot(_) => {
                left.boot_losses -= 1;
                node.host.is_shutting_down
                    && node.host.ready().is_some()
                    && node.boot(true, settings.keeps_state)
            }
            Action::OperatorActivates(_) => {
                left.hands -= 1;
                operator::activates(node, settings, repository)
            }
            Action::OperatorDeactivates(_) => {
                left.hands -= 1;
                seen.deactivations += 1;
                operator::deactivates(node, settings, repository)
            }
            Action::OperatorReboots(_) => {
                left.hands -= 1;
                operator::reboots(node)
            }
            Action::OperatorReleases(_) => {
                left.hands -= 1;
                seen.releases += 1;
                operator::releases(node)
            }
            Action::KuredRestartsTooEarly(_) => {
                left.early = false;
                let was_waiting = node.kured == Kured::Waiting;
                node.kured = Kured::Starting;
                was_waiting
            }
            Action::KuredStartsWithoutKubernetes(_) => {
                left.early = false;
                let was_starting = node.kured == Kured::Starting;
                node.kured = Kured::Idle;
                was_starting
            }
            Action::Offers(_) | Action::DaemonSetIsReplaced | Action::LockFormatChanges => false,
        }
    }
}

impl Seen {
    /// Takes note of a reboot of `node` that was requested right now.
    fn note_request(&mut self, node: &mut Node, refreshes_work: bool) {
        let Some(request) = node.request.as_mut().filter(|request| !request.is_noted) else {
            return;
        };
        request.is_noted = true;
        self.reboot_undrained |= !node.is_cordoned;
        if node.host.ready() == Some(Version::Bad) {
            self.drains_for_bad += u8::from(request.by == Requester::Kured);
            self.boot_of_withdrawn |=
                request.saw_withdrawal || request.was_withdrawn && refreshes_work;
        }
    }
}

impl Fleet {
    /// The path as text: what happens, and what the nodes concerned are like then.
    pub fn tell(&self, path: &[Action]) -> String {
        let mut text = String::new();
        let mut world = self.init_states().remove(0);
        for (number, action) in path.iter().enumerate() {
            world = self.next_state(&world, *action).expect("the path is one of the model");
            text += &format!("{:4}. {action}\n", number + 1);
            for (number, node) in world.nodes.iter().enumerate() {
                if action.node().is_none_or(|concerned| concerned == number) {
                    text += &format!("        node {}: {}\n", number + 1, **node);
                }
            }
        }
        text
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let name = |version: Option<Version>| {
            version.map_or("none".to_owned(), |version| format!("{version:?}").to_lowercase())
        };
        write!(f, "runs {}, ", name(Some(self.host.running)))?;
        match &self.host.status {
            None => write!(f, "no status")?,
            Some(known) => {
                let (chosen, staged) = (name(known.chosen), name(known.staged));
                write!(f, "{:?} (chosen {chosen}, staged {staged})", known.state)?;
            }
        }
        if let Some(command) = self.host.command {
            write!(f, ", runs {}", command.name())?;
        }
        if let Updater::Working(working) = &self.updater {
            write!(f, ", updater: {}", working.next())?;
        }
        write!(f, ", Kured: {}", self.kured)?;
        for (is_so, what) in [
            (self.has_lock, "has the lock"),
            (self.is_cordoned, "cordoned"),
            (self.host.is_shutting_down, "shutting down"),
        ] {
            if is_so {
                write!(f, ", {what}")?;
            }
        }
        if let Some(record) = self.read_record() {
            write!(f, ", record of attempt {}", record.attempts)?;
        }
        Ok(())
    }
}
