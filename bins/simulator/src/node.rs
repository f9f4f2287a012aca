//! The node: a state machine that takes the time as an argument.
//!
//! ```text
//!            refresh finds one          prepare             activate
//!     Idle ---------------------> Available ------> Staged ----------> Ready
//!          <---------------------                   ^    ^ |             |
//!       refresh finds none or fails                 |    +-+ prepare     |
//!                                                   +--------------------+
//!                                                         deactivate
//! ```
//!
//! A command runs until a point in time that is fixed when it starts, or
//! until told. It takes effect when [`Node::advance`] is next called with that
//! time or a later one, so nothing here needs a thread. While it runs it holds
//! the update lock. A reboot does not care about the lock.

use crate::event::{Event, EventKind};
use crate::http::Answer;
use crate::status::{Image, LastCommand, Partition, State, Status};
use std::cmp::Ordering;
use std::path::PathBuf;
use std::time::Duration;

/// A running time without end: the command runs until [`Node::finish`].
pub const MANUAL: Duration = Duration::MAX;

/// The version lock that means "whatever is newest".
pub const LATEST: &str = "latest";

const UNINITIALIZED: &str = "Update status is uninitialized, refresh-updates to initialize it";
const NO_SHARED_LOCK: &str = "Unable to obtain shared lock for reading update status: \
                              Resource temporarily unavailable (os error 11)";

/// What a node can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Look for updates.
    Refresh,
    /// Write the chosen image.
    Prepare,
    /// Boot the written image next time.
    Activate,
    /// Take that back.
    Deactivate,
    /// Reboot.
    Reboot,
}

impl Command {
    /// All of them.
    pub const ALL: [Command; 5] = [
        Command::Refresh,
        Command::Prepare,
        Command::Activate,
        Command::Deactivate,
        Command::Reboot,
    ];

    /// The name in the status document.
    pub fn name(self) -> &'static str {
        match self {
            Command::Refresh => "refresh",
            Command::Prepare => "prepare",
            Command::Activate => "activate",
            Command::Deactivate => "deactivate",
            Command::Reboot => "reboot",
        }
    }

    /// The path to POST to.
    pub fn path(self) -> &'static str {
        match self {
            Command::Refresh => "/actions/refresh-updates",
            Command::Prepare => "/actions/prepare-update",
            Command::Activate => "/actions/activate-update",
            Command::Deactivate => "/actions/deactivate-update",
            Command::Reboot => "/actions/reboot",
        }
    }
}

/// How a command ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// 0 is success.
    pub exit_status: i32,
    /// What the command prints.
    pub stderr: String,
    /// The command's report cannot be read: nothing changes but
    /// `most_recent_command`.
    pub junk: bool,
}

impl Ending {
    /// The command does what it should and prints nothing.
    pub fn success() -> Ending {
        Ending::failed(0, "")
    }

    /// The command fails with this exit status (0 would be success, with
    /// something printed) and prints this.
    pub fn failed(exit_status: i32, stderr: impl Into<String>) -> Ending {
        Ending { exit_status, stderr: stderr.into(), junk: false }
    }

    /// The command says that all went well, but nothing comes of it.
    pub fn junk() -> Ending {
        Ending { junk: true, ..Ending::success() }
    }
}

/// How somebody else holds the update lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// As a reader: the status can be read, no command can start.
    Shared,
    /// As a writer: the status cannot be read either.
    Exclusive,
}

/// Why a command did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody holds the update lock: 423.
    Locked,
    /// The command is not allowed in this state: 409.
    NotAllowed,
    /// Nothing is chosen that could be written: 404.
    NothingChosen,
    /// The reboot failed: 500 with this exit status and reason.
    RebootFailed(i32, String),
}

impl Refusal {
    fn answer(&self) -> Answer {
        match self {
            Refusal::Locked => Answer::text(423, "Update lock held"),
            Refusal::NotAllowed => {
                Answer::text(409, "Update action not allowed according to update state")
            }
            Refusal::NothingChosen => {
                Answer::text(404, "Previously chosen Update no longer exists")
            }
            Refusal::RebootFailed(exit_status, reason) => Answer::text(
                500,
                format!("Failed to reboot, exit code: {exit_status}, stderr: {reason}"),
            ),
        }
    }
}

/// The node and its surroundings. All of it may change while the node runs:
/// see [`Node::options`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The running OS version. A boot changes it.
    pub running: String,
    /// The OS variant.
    pub variant: String,
    /// The processor.
    pub arch: String,
    /// Versions on offer, in any order.
    pub offer: Vec<String>,
    /// The setting `updates.version-lock`: [`LATEST`] or one version.
    pub version_lock: String,
    /// Versions whose image does not boot.
    pub no_boot: Vec<String>,
    /// How long a refresh takes, or [`MANUAL`].
    pub refresh_time: Duration,
    /// How long a prepare takes, or [`MANUAL`].
    pub prepare_time: Duration,
    /// How long an activate takes, or [`MANUAL`].
    pub activate_time: Duration,
    /// How long a deactivate takes, or [`MANUAL`].
    pub deactivate_time: Duration,
    /// How long the server is stuck in a reboot request, or [`MANUAL`].
    pub reboot_time: Duration,
    /// Commands that always end otherwise than with success.
    pub endings: Vec<(Command, Ending)>,
    /// How long a new connection has to send its first request before it
    /// gets 408.
    pub request_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// A file that holds the id of the current boot and a newline, as
    /// `/proc/sys/kernel/random/boot_id` does. [`Simulator`](crate::Simulator)
    /// replaces it at each boot, before anything can be seen of that.
    pub boot_id_file: Option<PathBuf>,
}

impl Default for Options {
    /// A node that runs 1.26.0 and is offered 1.26.1, with commands that take
    /// 20 ms, and the timeouts of the real server, 5 s.
    fn default() -> Options {
        let short = Duration::from_millis(20);
        Options {
            running: "1.26.0".into(),
            variant: "aws-k8s-1.30".into(),
            arch: "x86_64".into(),
            offer: vec!["1.26.1".into()],
            version_lock: LATEST.into(),
            no_boot: Vec::new(),
            refresh_time: short,
            prepare_time: short,
            activate_time: short,
            deactivate_time: short,
            reboot_time: short,
            endings: Vec::new(),
            request_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(5),
            boot_id_file: None,
        }
    }
}

impl Options {
    /// How long the command takes, to read or to change.
    pub fn time(&mut self, command: Command) -> &mut Duration {
        match command {
            Command::Refresh => &mut self.refresh_time,
            Command::Prepare => &mut self.prepare_time,
            Command::Activate => &mut self.activate_time,
            Command::Deactivate => &mut self.deactivate_time,
            Command::Reboot => &mut self.reboot_time,
        }
    }
}

/// A command that is running. It ends at `ends`, or when told.
#[derive(Clone, Debug)]
struct Running {
    command: Command,
    ends: Option<Duration>,
}

/// What became of a request.
pub(crate) enum Reply {
    /// It is answered.
    Answer(Answer),
    /// A reboot runs: [`Node::reboot_answer`] has the answer when it is over.
    Rebooting,
}

/// A node. Times are durations since the Unix epoch and must not go back.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node and its surroundings. Changes count from the next command
    /// that starts or ends, the next boot, or the next connection.
    pub options: Options,
    status: Option<Status>,
    running: Option<Running>,
    reboot: Option<Running>,
    lock: Option<Lock>,
    next_endings: Vec<(Command, Ending)>,
    seed: u64,
    boots: u32,
    events: Vec<Event>,
}

impl Node {
    /// A node that has just booted.
    pub fn new(options: Options, now: Duration) -> Node {
        Node {
            options,
            status: None,
            running: None,
            reboot: None,
            lock: None,
            next_endings: Vec::new(),
            seed: now.as_nanos() as u64,
            boots: 1,
            events: Vec::new(),
        }
    }

    /// The update state; `None` before the first action after a boot.
    pub fn state(&self) -> Option<State> {
        self.status.as_ref().map(|status| status.state)
    }

    /// What the status tells; `None` before the first action after a boot.
    pub fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// The command that is running, a reboot included.
    pub fn busy(&self) -> Option<Command> {
        let running = self.reboot.as_ref().or(self.running.as_ref());
        running.map(|running| running.command)
    }

    /// Somebody else's hold on the lock.
    pub fn lock(&self) -> Option<Lock> {
        self.lock
    }

    /// Somebody else takes the lock, or, with `None`, lets it go. It is not
    /// the lock of a command that is running.
    pub fn set_lock(&mut self, lock: Option<Lock>) {
        self.lock = lock;
    }

    /// How many times the node has booted, the first one included.
    pub fn boots(&self) -> u32 {
        self.boots
    }

    /// The id of this boot, in the form of `/proc/sys/kernel/random/boot_id`.
    pub fn boot_id(&self) -> String {
        let high = mix(self.seed.wrapping_add(u64::from(self.boots)));
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

    /// The next command of this kind that ends, ends like this. Several add up.
    pub fn end_next(&mut self, command: Command, ending: Ending) {
        self.next_endings.push((command, ending));
    }

    /// The next command of this kind that ends, fails. Several add up.
    pub fn fail_next(&mut self, command: Command, exit_status: i32, stderr: &str) {
        self.end_next(command, Ending::failed(exit_status, stderr));
    }

    /// From now on each command of this kind fails.
    pub fn fail_always(&mut self, command: Command, exit_status: i32, stderr: &str) {
        self.succeed(command);
        let ending = Ending::failed(exit_status, stderr);
        self.options.endings.push((command, ending));
    }

    /// No command of this kind fails any more.
    pub fn succeed(&mut self, command: Command) {
        self.options.endings.retain(|(other, _)| *other != command);
        self.next_endings.retain(|(other, _)| *other != command);
    }

    /// Brings the node up to this time: a command whose time is over ends.
    pub fn advance(&mut self, now: Duration) {
        let over = |running: &mut Running| running.ends.is_some_and(|ends| ends <= now);
        if let Some(running) = self.running.take_if(over) {
            self.end(running.command, running.ends.unwrap_or(now));
        }
    }

    /// When something will happen by itself.
    pub fn next_change(&self) -> Option<Duration> {
        let ends = |running: &Option<Running>| running.as_ref().and_then(|running| running.ends);
        match (ends(&self.running), ends(&self.reboot)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whatever is running ends now.
    pub fn finish(&mut self, now: Duration) {
        for running in [&mut self.running, &mut self.reboot].into_iter().flatten() {
            running.ends = Some(now);
        }
        self.advance(now);
    }

    /// Somebody else's command, begun and ended at this moment.
    ///
    /// # Errors
    /// As the API refuses it.
    pub fn run(&mut self, command: Command, now: Duration) -> Result<(), Refusal> {
        self.advance(now);
        if command == Command::Reboot {
            return self.reboot(now);
        }
        self.start(command, now)?;
        self.running = None;
        self.end(command, now);
        Ok(())
    }

    /// Answers a request, or starts a reboot that ends later.
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

    /// The answer to the reboot request, once it is over.
    pub(crate) fn reboot_answer(&mut self, now: Duration) -> Option<Answer> {
        self.advance(now);
        self.reboot.take_if(|reboot| reboot.ends.is_some_and(|ends| ends <= now))?;
        Some(match self.reboot(now) {
            Ok(()) => Answer::no_content(),
            Err(refusal) => refusal.answer(),
        })
    }

    /// What happened since this was last called.
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
        if self.running.is_some() || self.lock.is_some() {
            return Err(Refusal::Locked);
        }
        if self.status.is_none() {
            self.set_status(now, Some(first_status()));
        }
        let (state, chosen) = match &self.status {
            Some(status) => (status.state, status.chosen.is_some()),
            None => (State::Idle, false),
        };
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
        self.note(
            at,
            EventKind::Ended {
                command,
                exit_status: ending.exit_status,
                stderr: ending.stderr.clone(),
            },
        );
        let mut status = self.status.clone().unwrap_or_else(first_status);
        if !ending.junk {
            match (command, ending.exit_status) {
                (Command::Refresh, 0) => self.refreshed(&mut status),
                (Command::Refresh, _) if status.state == State::Available => {
                    status.state = State::Idle;
                }
                (Command::Prepare, 0) => {
                    status.staging =
                        status.chosen.clone().map(|image| Partition { image, next_to_boot: false });
                    status.state = State::Staged;
                }
                (Command::Activate, 0) => {
                    boot_staged(&mut status, true);
                    status.state = State::Ready;
                }
                (Command::Deactivate, 0) => {
                    boot_staged(&mut status, false);
                    status.state = State::Staged;
                }
                _ => {}
            }
        }
        status.last_command = Some(LastCommand {
            command,
            timestamp: at,
            exit_status: ending.exit_status,
            stderr: ending.stderr,
        });
        self.set_status(at, Some(status));
    }

    fn refreshed(&self, status: &mut Status) {
        let mut available = self.options.offer.clone();
        available.sort_by(|one, other| newer_first(one, other));
        available.dedup();
        let wanted = match self.options.version_lock.as_str() {
            LATEST => available.first(),
            locked => available.iter().find(|version| *version == locked),
        };
        status.chosen = wanted
            .filter(|version| **version != self.options.running)
            .map(|version| self.image(version));
        status.available = Some(available);
        status.active.get_or_insert_with(|| Partition {
            image: self.image(&self.options.running),
            next_to_boot: true,
        });
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
        let next = match &self.status {
            Some(status) if status.state == State::Ready => status.staging.as_ref(),
            _ => None,
        };
        let next = next.map(|staging| staging.image.version.clone());
        let mut instead_of = None;
        match next {
            Some(version) if self.options.no_boot.contains(&version) => instead_of = Some(version),
            Some(version) => self.options.running = version,
            None => {}
        }
        self.set_status(now, None);
        self.running = None;
        self.lock = None;
        self.boots += 1;
        self.note(
            now,
            EventKind::Booted {
                boot_id: self.boot_id(),
                version: self.options.running.clone(),
                instead_of,
            },
        );
        Ok(())
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

    fn image(&self, version: &str) -> Image {
        Image {
            arch: self.options.arch.clone(),
            version: version.into(),
            variant: self.options.variant.clone(),
        }
    }
}

/// The status that the first action after a boot makes, whatever comes of it.
fn first_status() -> Status {
    Status {
        state: State::Idle,
        available: None,
        chosen: None,
        active: None,
        staging: None,
        last_command: None,
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

/// Orders versions, the newest first. A pre-release comes after its release.
fn newer_first(one: &str, other: &str) -> Ordering {
    fn key(version: &str) -> (Vec<u64>, bool, &str) {
        let version = version.split('+').next().unwrap_or(version);
        let (numbers, pre_release) = version.split_once('-').unwrap_or((version, ""));
        let numbers = numbers.split('.').map(|n| n.parse().unwrap_or(0));
        (numbers.collect(), pre_release.is_empty(), pre_release)
    }
    key(other).cmp(&key(one)).then_with(|| other.cmp(one))
}

/// Spreads a number over all bits (the output step of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
