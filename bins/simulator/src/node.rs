//! The node: a state machine that takes the time as an argument.
//!
//! ```text
//!       refresh finds an update         prepare             activate
//!     Idle ---------------------> Available ------> Staged ----------> Ready
//!          <---------------------                   ^    ^ |             |
//!      refresh finds none or fails                  |    +-+ prepare     |
//!                                                   +--------------------+
//!                                                         deactivate
//! ```
//!
//! A command has a fixed end time from its start, or it runs until a test ends it. It
//! takes effect at the first call of [`Node::advance`] with that time or a later one, so
//! the node needs no thread. A running command holds the update lock. A reboot ignores
//! the lock.
//!
//! The node keeps the partition table apart from the status, because they can differ.
//! Then the status says Staged, but each activate fails until a prepare succeeds.

use crate::command::{Command, Effect, Ending, Refusal};
use crate::disk::{Power, Saved};
use crate::event::{Event, EventKind};
use crate::http::Answer;
use crate::options::{LATEST, Options};
use crate::status::{Image, LastCommand, Partition, State, Status};
use std::cmp::Ordering;
use std::time::Duration;

const UNINITIALIZED: &str = "Update status is uninitialized, refresh-updates to initialize it";
const NO_SHARED_LOCK: &str = "Unable to obtain shared lock for reading update status: \
                              Resource temporarily unavailable (os error 11)";

const NOT_VALID: &str = "Failed to mark the update for the next boot: Inactive partition \
                         /dev/nvme0n1 has not been marked valid for upgrade\n";
const ALREADY_MARKED: &str = "Failed to mark the update for the next boot: Inactive partition \
                              /dev/nvme0n1 is already marked for upgrade\n";

/// How another process holds the update lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// As a reader: clients can read the status, but no command can start.
    Shared,
    /// As a writer: clients cannot read the status either.
    Exclusive,
}

/// A running command. It ends at `ends`, or when a test ends it.
#[derive(Clone, Debug)]
struct Running {
    command: Command,
    ends: Option<Duration>,
}

/// The inactive partition set, as in the partition table.
#[derive(Clone, Debug, Default)]
struct Inactive {
    /// The version on it, or `None` if it is not marked valid.
    version: Option<String>,
    /// How many boots may try it before the firmware goes back to the active set.
    tries: u32,
}

/// The reply to a request.
pub(crate) enum Reply {
    /// The answer.
    Answer(Answer),
    /// The node reboots. [`Node::reboot_answer`] returns the answer at the end.
    Rebooting,
}

/// A node. Times are durations since the Unix epoch and must not decrease.
#[derive(Clone, Debug)]
pub struct Node {
    /// The options of the node. A change applies from the next start or end of a command,
    /// from the next boot, or from the next connection.
    pub options: Options,
    status: Option<Status>,
    inactive: Inactive,
    running: Option<Running>,
    reboot: Option<Running>,
    /// The time between the answer to a reboot request and the boot.
    shutdown: Option<Running>,
    lock: Option<Lock>,
    power: Power,
    /// The rest of the time that the node is off, or that its boot takes.
    phase: Option<Running>,
    /// The version that the current boot tries, unless it is the active one.
    trying: Option<String>,
    pods_to_end: bool,
    boot_id: String,
    next_endings: Vec<(Command, Ending)>,
    seed: u64,
    boots: u32,
    events: Vec<Event>,
}

impl Node {
    /// Creates a node that has just booted.
    pub fn new(mut options: Options, now: Duration) -> Node {
        let next_endings = std::mem::take(&mut options.first_endings);
        let seed = now.as_nanos() as u64;
        Node {
            options,
            status: None,
            inactive: Inactive::default(),
            running: None,
            reboot: None,
            shutdown: None,
            lock: None,
            power: Power::On,
            phase: None,
            trying: None,
            pods_to_end: false,
            boot_id: boot_id(seed, 1),
            next_endings,
            seed,
            boots: 1,
            events: Vec::new(),
        }
    }

    /// Creates a node with a state that was saved. If the node was on and the machine has
    /// kept its memory since then, this goes on. Otherwise the node boots.
    pub(crate) fn restore(
        mut options: Options,
        saved: Saved,
        has_kept_memory: bool,
        now: Duration,
    ) -> Node {
        options.running = saved.running;
        let mut node = Node {
            status: saved.status,
            inactive: Inactive { version: saved.inactive, tries: saved.tries },
            power: saved.power,
            // Without memory, there are only new pods.
            pods_to_end: saved.pods_to_end && has_kept_memory,
            boot_id: saved.boot_id,
            ..Node::new(options, now)
        };
        if saved.power != Power::On || !has_kept_memory {
            node.forget(now);
            node.power_on(now);
        }
        node
    }

    /// What outlives the simulator.
    pub(crate) fn saved(&self) -> Saved {
        Saved {
            running: self.options.running.clone(),
            power: self.power,
            boot_id: self.boot_id.clone(),
            inactive: self.inactive.version.clone(),
            tries: self.inactive.tries,
            pods_to_end: self.pods_to_end,
            status: self.status.clone(),
        }
    }

    /// Whether the pods of the machine are still to be ended for the last reboot.
    pub fn pods_to_end(&self) -> bool {
        self.pods_to_end
    }

    /// The pods of the machine have been ended.
    pub fn pods_ended(&mut self) {
        self.pods_to_end = false;
    }

    /// Whether the node is on.
    pub fn power(&self) -> Power {
        self.power
    }

    /// The update state, or `None` before the first action after a boot.
    pub fn state(&self) -> Option<State> {
        self.status.as_ref().map(|status| status.state)
    }

    /// The status, or `None` before the first action after a boot.
    pub fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// The running command. A reboot counts as one.
    pub fn busy(&self) -> Option<Command> {
        let running = self.reboot.as_ref().or(self.running.as_ref());
        running.map(|running| running.command)
    }

    /// How another process holds the update lock, if it does.
    pub fn lock(&self) -> Option<Lock> {
        self.lock
    }

    /// Lets another process hold the update lock, or release it (`None`). This does not
    /// affect the lock of a running command.
    pub fn set_lock(&mut self, lock: Option<Lock>) {
        self.lock = lock;
    }

    /// How many times the node has booted, including the first time.
    pub fn boots(&self) -> u32 {
        self.boots
    }

    /// The id of the current boot, in the format of `/proc/sys/kernel/random/boot_id`.
    pub fn boot_id(&self) -> String {
        self.boot_id.clone()
    }

    /// The next command of this kind ends like this. Several calls add up.
    pub fn end_next(&mut self, command: Command, ending: Ending) {
        self.next_endings.push((command, ending));
    }

    /// The next command of this kind fails. Several calls add up.
    pub fn fail_next(&mut self, command: Command, exit_status: i32, stderr: &str) {
        self.end_next(command, Ending::failed(exit_status, stderr));
    }

    /// All further commands of this kind fail.
    pub fn fail_always(&mut self, command: Command, exit_status: i32, stderr: &str) {
        self.succeed(command);
        let ending = Ending::failed(exit_status, stderr);
        self.options.endings.push((command, ending));
    }

    /// All further commands of this kind succeed.
    pub fn succeed(&mut self, command: Command) {
        self.options.endings.retain(|(other, _)| *other != command);
        self.next_endings.retain(|(other, _)| *other != command);
    }

    /// Updates the node to this time: ends a command whose end time has come, and boots.
    pub fn advance(&mut self, now: Duration) {
        let is_over = |running: &Running, at| running.ends.is_some_and(|ends| ends <= at);
        let shutdown = self.shutdown.take_if(|shutdown| is_over(shutdown, now));
        let boots_at = shutdown.and_then(|shutdown| shutdown.ends);
        let until = boots_at.unwrap_or(now);
        if let Some(running) = self.running.take_if(|running| is_over(running, until)) {
            self.end(running.command, running.ends.unwrap_or(until));
        }
        if let Some(at) = boots_at {
            self.power_off(at);
        }
        // Ends: a node that is off boots, a boot comes up, and a node that is on has no
        // phase.
        while let Some(phase) = self.phase.take_if(|phase| is_over(phase, now)) {
            let at = phase.ends.unwrap_or(now);
            match self.power {
                Power::Off => self.power_on(at),
                Power::Booting => self.come_up(at),
                Power::On => {}
            }
        }
    }

    /// The time of the next change that happens by itself, if there is one.
    pub fn next_change(&self) -> Option<Duration> {
        let all = [&self.running, &self.reboot, &self.shutdown, &self.phase].into_iter().flatten();
        all.filter_map(|running| running.ends).min()
    }

    /// How long the server takes to read the status.
    pub(crate) fn status_time(&self) -> Duration {
        let last = self.status.as_ref().and_then(|status| status.last_command.as_ref());
        let bytes = last.map_or(0, |last| last.stderr.len());
        self.options.stderr_byte_time.saturating_mul(bytes.try_into().unwrap_or(u32::MAX))
    }

    /// Ends the running command now. A node that shuts down is off now, a node that is off
    /// boots now, and a boot comes up now.
    pub fn finish(&mut self, now: Duration) {
        let all = [&mut self.running, &mut self.reboot, &mut self.shutdown, &mut self.phase];
        for running in all.into_iter().flatten() {
            running.ends = Some(now);
        }
        self.advance(now);
    }

    /// Runs a command for another client. It starts and ends at this moment.
    ///
    /// # Errors
    /// The node refuses the command, for the same reasons as the API, or is off.
    pub fn run(&mut self, command: Command, now: Duration) -> Result<(), Refusal> {
        self.advance(now);
        if self.power != Power::On {
            return Err(Refusal::Off);
        }
        if command == Command::Reboot {
            return self.reboot(now);
        }
        self.start(command, now)?;
        self.running = None;
        self.end(command, now);
        Ok(())
    }

    /// Answers a request, or starts a reboot.
    pub(crate) fn request(&mut self, method: &str, path: &str, now: Duration) -> Reply {
        self.advance(now);
        let path = path.split('?').next().unwrap_or(path);
        let command =
            Command::ALL.into_iter().find(|command| method == "POST" && path == command.path());
        Reply::Answer(match command {
            Some(Command::Reboot) => {
                let ends = now.checked_add(self.options.reboot_time);
                self.reboot = Some(Running { command: Command::Reboot, ends });
                self.note(now, EventKind::Started(Command::Reboot));
                return Reply::Rebooting;
            }
            Some(command) => match self.start(command, now) {
                Ok(()) => Answer::no_content(),
                Err(refusal) => refusal.answer(),
            },
            None if method == "GET" && path == "/updates/status" => self.status_answer(),
            None => Answer::text(404, ""),
        })
    }

    /// The answer to the reboot request, or `None` while the reboot lasts.
    pub(crate) fn reboot_answer(&mut self, now: Duration) -> Option<Answer> {
        self.advance(now);
        self.reboot.take_if(|reboot| reboot.ends.is_some_and(|ends| ends <= now))?;
        Some(match self.reboot(now) {
            Ok(()) => Answer::no_content(),
            Err(refusal) => refusal.answer(),
        })
    }

    /// Returns the events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn note(&mut self, at: Duration, kind: EventKind) {
        self.events.push(Event { at, kind });
    }

    fn status_answer(&self) -> Answer {
        if self.running.is_some() || self.lock == Some(Lock::Exclusive) {
            return Answer::text(423, NO_SHARED_LOCK);
        }
        match &self.status {
            Some(status) => Answer::json(status.to_json()),
            None => Answer::text(404, UNINITIALIZED),
        }
    }

    fn start(&mut self, command: Command, now: Duration) -> Result<(), Refusal> {
        if !self.options.in_place_updates {
            return Err(Refusal::NoDispatcher);
        }
        if self.running.is_some() || self.lock.is_some() {
            return Err(Refusal::Locked);
        }
        let status = self.status.clone().unwrap_or_else(|| self.first_status());
        let (state, chosen) = (status.state, status.chosen.is_some());
        self.set_status(now, Some(status));
        match (command, state) {
            (Command::Refresh, _)
            | (Command::Activate, State::Staged)
            | (Command::Deactivate, State::Ready) => {}
            (Command::Prepare, State::Available | State::Staged) if chosen => {}
            (Command::Prepare, State::Available | State::Staged) => {
                return Err(Refusal::NothingChosen);
            }
            _ => return Err(Refusal::NotAllowed),
        }
        let ends = now.checked_add(*self.options.time(command));
        self.running = Some(Running { command, ends });
        self.note(now, EventKind::Started(command));
        Ok(())
    }

    fn end(&mut self, command: Command, at: Duration) {
        let ending = self.ending(command);
        let ending = self.change_partition_table(command, ending);
        if ending.effect == Effect::CutOff {
            self.note(at, EventKind::CutOff(command));
            return;
        }
        self.note(
            at,
            EventKind::Ended {
                command,
                exit_status: ending.exit_status,
                stderr: ending.stderr.clone(),
            },
        );
        let mut status = self.status.clone().unwrap_or_else(|| self.first_status());
        match command {
            Command::Refresh if ending.works() => self.refreshed(&mut status),
            Command::Refresh if ending.exit_status != 0 && status.state == State::Available => {
                status.state = State::Idle;
            }
            Command::Prepare if ending.works() || ending.effect == Effect::NothingWritten => {
                status.staging =
                    status.chosen.clone().map(|image| Partition { image, next_to_boot: false });
                status.state = State::Staged;
            }
            Command::Activate if ending.works() => {
                boot_staged(&mut status, true);
                status.state = State::Ready;
            }
            Command::Deactivate if ending.works() => {
                boot_staged(&mut status, false);
                status.state = State::Staged;
            }
            _ => {}
        }
        status.last_command = Some(LastCommand {
            command,
            timestamp: at,
            exit_status: ending.exit_status,
            stderr: ending.stderr,
        });
        self.set_status(at, Some(status));
    }

    /// Applies the command to the inactive partition set. Returns how the command ends: an
    /// activate fails if the partition set does not allow it.
    fn change_partition_table(&mut self, command: Command, ending: Ending) -> Ending {
        match command {
            Command::Prepare if ending.works() => {
                let chosen = self.status.as_ref().and_then(|status| status.chosen.as_ref());
                let version = chosen.map(|image| image.version.clone());
                self.inactive = Inactive { version, tries: 0 };
            }
            Command::Prepare if ending.exit_status != 0 => self.inactive = Inactive::default(),
            Command::Activate if ending.works() => {
                if self.inactive.tries > 0 {
                    return Ending::failed(1, ALREADY_MARKED);
                }
                if self.inactive.version.is_none() {
                    return Ending::failed(1, NOT_VALID);
                }
                self.inactive.tries = 1;
            }
            Command::Deactivate if ending.works() => self.inactive.tries = 0,
            _ => {}
        }
        ending
    }

    fn refreshed(&self, status: &mut Status) {
        let mut available = self.options.offer.clone();
        available.sort_by(|one, other| newer_first(one, other));
        available.dedup();
        let max_version = self.options.max_version.as_ref().or(available.first()).cloned();
        let is_above_max =
            |version: &str| max_version.as_ref().is_some_and(|max| is_newer(version, max));
        available.retain(|version| !is_above_max(version));
        let running = &self.options.running;
        let newest = available.first();
        let chosen = match self.options.version_lock.as_str() {
            LATEST => newest.filter(|newest| is_newer(newest, running) || is_above_max(running)),
            locked => {
                let locked = locked.strip_prefix('v').unwrap_or(locked);
                available.iter().find(|version| *version == locked && locked != running)
            }
        };
        status.chosen = chosen.map(|version| self.image(version));
        status.available = available;
        if matches!(status.state, State::Idle | State::Available) {
            status.state = match status.chosen {
                Some(_) => State::Available,
                None => State::Idle,
            };
        }
    }

    fn reboot(&mut self, now: Duration) -> Result<(), Refusal> {
        let ending = self.ending(Command::Reboot);
        self.note(
            now,
            EventKind::Ended {
                command: Command::Reboot,
                exit_status: ending.exit_status,
                stderr: ending.stderr.clone(),
            },
        );
        if ending.exit_status != 0 {
            return Err(Refusal::RebootFailed(ending.exit_status, ending.stderr));
        }
        if self.options.shutdown_time.is_zero() {
            self.power_off(now);
        } else if self.shutdown.is_none() {
            let ends = now.checked_add(self.options.shutdown_time);
            self.shutdown = Some(Running { command: Command::Reboot, ends });
        }
        Ok(())
    }

    /// Forgets what was in memory.
    fn forget(&mut self, now: Duration) {
        self.set_status(now, None);
        self.running = None;
        self.reboot = None;
        self.shutdown = None;
        self.lock = None;
        self.power = Power::Off;
    }

    fn power_off(&mut self, now: Duration) {
        self.forget(now);
        self.pods_to_end = self.options.ends_pods;
        if self.options.off_time.is_zero() && self.options.boot_time.is_zero() {
            self.power_on(now);
            return;
        }
        self.note(now, EventKind::PoweredOff);
        let ends = now.checked_add(self.options.off_time);
        self.phase = Some(Running { command: Command::Reboot, ends });
    }

    /// Starts to boot a node that is off. The firmware takes the inactive partition set if
    /// it has a try left, and uses that up.
    pub fn power_on(&mut self, now: Duration) {
        if self.power == Power::On {
            return;
        }
        self.power = Power::Booting;
        self.trying = None;
        if let Some(tries) = self.inactive.tries.checked_sub(1) {
            self.inactive.tries = tries;
            self.trying = self.inactive.version.clone();
        }
        if self.options.boot_time.is_zero() {
            self.phase = None;
            self.come_up(now);
        } else {
            let ends = now.checked_add(self.options.boot_time);
            self.phase = Some(Running { command: Command::Reboot, ends });
        }
    }

    /// The boot comes up, with the version that it tries or, if that does not boot, with
    /// the old one.
    fn come_up(&mut self, now: Duration) {
        self.power = Power::On;
        self.inactive = Inactive::default();
        let mut instead_of = None;
        match self.trying.take() {
            Some(version) if self.options.no_boot.contains(&version) => instead_of = Some(version),
            Some(version) => self.options.running = version,
            None => {}
        }
        self.boots += 1;
        self.boot_id = boot_id(self.seed, self.boots);
        self.note(
            now,
            EventKind::Booted {
                boot_id: self.boot_id(),
                version: self.options.running.clone(),
                instead_of,
            },
        );
    }

    fn ending(&mut self, command: Command) -> Ending {
        let is_it = |(other, _): &(Command, Ending)| *other == command;
        if let Some(index) = self.next_endings.iter().position(is_it) {
            return self.next_endings.remove(index).1;
        }
        let always = self.options.endings.iter().find(|entry| is_it(entry));
        always.map_or_else(Ending::success, |(_, ending)| ending.clone())
    }

    fn set_status(&mut self, at: Duration, status: Option<Status>) {
        let from = self.state();
        self.status = status;
        let to = self.state();
        if from != to {
            self.note(at, EventKind::Changed { from, to });
        }
    }

    /// The status after the first action since a boot, even if the action fails.
    fn first_status(&self) -> Status {
        let image = self.image(&self.options.running);
        Status {
            state: State::Idle,
            available: Vec::new(),
            chosen: None,
            active: Some(Partition { image, next_to_boot: true }),
            staging: None,
            last_command: None,
        }
    }

    fn image(&self, version: &str) -> Image {
        Image {
            arch: self.options.arch.clone(),
            version: version.into(),
            variant: self.options.variant.clone(),
        }
    }
}

fn boot_staged(status: &mut Status, staged: bool) {
    if let Some(staging) = &mut status.staging {
        staging.next_to_boot = staged;
    }
    if let Some(active) = &mut status.active {
        active.next_to_boot = !staged;
    }
}

fn is_newer(one: &str, other: &str) -> bool {
    newer_first(one, other).is_lt()
}

/// Sorts versions, newest first. A pre-release is older than its release.
fn newer_first(one: &str, other: &str) -> Ordering {
    fn key(version: &str) -> (Vec<u64>, bool, &str) {
        let version = version.split('+').next().unwrap_or(version);
        let (numbers, pre_release) = version.split_once('-').unwrap_or((version, ""));
        let numbers = numbers.split('.').map(|n| n.parse().unwrap_or(0));
        (numbers.collect(), pre_release.is_empty(), pre_release)
    }
    key(other).cmp(&key(one)).then_with(|| other.cmp(one))
}

/// A boot id, in the format of `/proc/sys/kernel/random/boot_id`.
fn boot_id(seed: u64, boots: u32) -> String {
    let high = mix(seed.wrapping_add(u64::from(boots)));
    let low = mix(high);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        ((low >> 48) & 0x3fff) | 0x8000,
        low & 0xffff_ffff_ffff,
    )
}

/// Mixes the bits of a number: the output step of SplitMix64.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
