//! A simulated fleet: many updaters, each with its own node. It counts their requests to
//! the update repository.
//!
//! The updaters are those of the programs' library. The clock jumps from one call to the
//! next, so hours of thousands of nodes take seconds. The same seed gives the same
//! requests.

use crate::command::{self, Ending};
use crate::http::{Answer, Version};
use crate::node::{Node, Reply, mix};
use crate::options::Options;
use bottlerocket_updater::api::{Call, CallError, Command, Exchange};
use bottlerocket_updater::text::duration::HumanDuration;
use bottlerocket_updater::updater::cycle::{Now, Settings};
use bottlerocket_updater::updater::daemon::{Daemon, Next, Schedule};
use bottlerocket_updater::updater::history::History;
use bottlerocket_updater::updater::window::Windows;
use rustix::io::Errno;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The start of the simulation, since the Unix epoch: a Monday at midnight.
const BEGIN: Duration = Duration::from_secs(1_795_392_000);

/// The shortest and the longest time of an answer, and of a refresh.
const ANSWER_TIME: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(5)];
const REFRESH_TIME: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];

/// The kubelet's backoff before it restarts a container: none for the first restart, then
/// this long, then twice as long each time, up to the maximum.
const RESTART_BACKOFF: Duration = Duration::from_secs(10);
const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(300);
/// A container that has run for this long starts again without backoff.
const RESTART_BACKOFF_RESET: Duration = Duration::from_secs(600);

/// The parameters of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The number of nodes. All start in the same second. No update is available for
    /// them.
    pub nodes: u32,
    /// The updaters' `-interval`.
    pub interval: Duration,
    /// The updaters' `-jitter`, or `None` for the updater's default.
    pub jitter: Option<Duration>,
    /// The updaters' `-window`s. The simulation starts on a Monday at midnight, UTC.
    pub windows: Windows,
    /// The simulated time.
    pub time: Duration,
    /// The seed of the random numbers.
    pub seed: u64,
    /// An outage on all nodes.
    pub outage: Option<Outage>,
}

impl Default for Fleet {
    /// 10,000 nodes for three hours.
    fn default() -> Fleet {
        let (interval, time) = (10 * MINUTE, 3 * HOUR);
        let windows = Windows::new();
        Fleet { nodes: 10_000, interval, jitter: None, windows, time, seed: 1, outage: None }
    }
}

/// An outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The part that fails.
    pub of: Outages,
    /// The begin, counted from the start of the simulation.
    pub begin: Duration,
    /// The length.
    pub length: Duration,
}

/// The parts that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outages {
    /// The update repository: each refresh fails.
    Repository,
    /// The API: it answers a refresh with 500.
    Refresh,
    /// The API: it refuses connections.
    Api,
}

impl Outages {
    /// All parts.
    pub const ALL: [Outages; 3] = [Outages::Repository, Outages::Refresh, Outages::Api];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Outages::Repository => "repository",
            Outages::Refresh => "refresh",
            Outages::Api => "api",
        }
    }
}

/// The result of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The number of refreshes that started in each second. Each is a request to the
    /// update repository, which may have failed.
    pub requests: Vec<u32>,
    /// The number of updaters that gave up and were restarted.
    pub restarts: u32,
}

/// A node and its updater.
struct Member {
    node: Node,
    daemon: Daemon,
    call: Call,
    started: Duration,
    restart_backoff: Duration,
}

/// A SplitMix64 generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn between(&mut self, [least, most]: [Duration; 2]) -> Duration {
        let span = (most - least).as_micros() as u64;
        least + Duration::from_micros(self.next() % (span + 1))
    }
}

impl Fleet {
    /// The effective jitter.
    pub fn jitter(&self) -> Duration {
        self.jitter.unwrap_or((self.interval / 10).min(MINUTE))
    }

    /// Runs the simulation.
    pub fn run(&self) -> Tally {
        let mut random = Random(mix(self.seed));
        let seconds = self.time.as_secs() as usize;
        let mut tally = Tally { requests: vec![0; seconds], restarts: 0 };
        let mut members = Vec::new();
        // The time of each updater's next call, earliest first.
        let mut calls = BinaryHeap::new();
        for index in 0..self.nodes as usize {
            let started = random.between([Duration::ZERO, SECOND]);
            let options = Options { offer: Vec::new(), ..Options::default() };
            let (daemon, call, pause) = self.updater(&mut random);
            let node = Node::new(options, BEGIN);
            let restart_backoff = Duration::ZERO;
            members.push(Member { node, daemon, call, started, restart_backoff });
            calls.push(Reverse((started + pause, index)));
        }
        let mut exchange;
        while let Some(Reverse((mut now, index))) = calls.pop() {
            let member = &mut members[index];
            let call = member.call;
            let outage = self.outage.filter(|outage| outage.is_on(now)).map(|outage| outage.of);
            let begun = now;
            let answer = match outage {
                Some(Outages::Api) => Err(CallError::Connect(Errno::CONNREFUSED)),
                _ => {
                    exchange = Exchange::new(call);
                    let answer = member.answer(now, outage, &mut random);
                    now += random.between(ANSWER_TIME);
                    match exchange.push(&answer.bytes(Version::Http11, true, BEGIN + now)) {
                        Ok(_) => exchange.finish().map_err(CallError::Answer),
                        Err(error) => Err(CallError::Answer(error)),
                    }
                }
            };
            if let (Call::Start(Command::Refresh), Ok(_)) = (call, &answer) {
                match tally.requests.get_mut(begun.as_secs() as usize) {
                    Some(count) => *count += 1,
                    None => break,
                }
            }
            let at = Now { now, since_boot: BEGIN + now, utc: BEGIN + now };
            let pause = match member.daemon.on_answer(at, call, &answer, &mut |_| ()) {
                Next::Call(call, pause) => {
                    member.call = call;
                    pause
                }
                Next::End(_) => {
                    tally.restarts += 1;
                    let wait = member.next_restart_backoff(now);
                    let (daemon, call, pause) = self.updater(&mut random);
                    (member.daemon, member.call) = (daemon, call);
                    // Starting a container takes a second or two.
                    member.started = now + wait + random.between([SECOND, 2 * SECOND]);
                    member.started + pause - now
                }
            };
            calls.push(Reverse((now + pause, index)));
        }
        tally
    }

    /// A new updater, its first call, and the pause before that call.
    fn updater(&self, random: &mut Random) -> (Daemon, Call, Duration) {
        let schedule = Schedule {
            once: false,
            interval: self.interval,
            jitter: self.jitter(),
            give_up: 5 * MINUTE,
        };
        let settings = Settings { windows: self.windows.clone(), ..Settings::default() };
        match Daemon::begin(settings, History::default(), schedule, random.next()) {
            (daemon, Next::Call(call, pause)) => (daemon, call, pause),
            (_, Next::End(end)) => unreachable!("a new daemon ends with {end:?}"),
        }
    }
}

impl Outage {
    fn is_on(&self, now: Duration) -> bool {
        (self.begin..self.begin + self.length).contains(&now)
    }
}

impl Member {
    /// The node's answer to the updater's call.
    fn answer(&mut self, now: Duration, outage: Option<Outages>, random: &mut Random) -> Answer {
        let request = self.call.request();
        let line = std::str::from_utf8(&request).unwrap_or_default();
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if self.call == Call::Start(Command::Refresh) {
            match outage {
                Some(Outages::Refresh) => return Answer::text(500, "out of memory"),
                Some(Outages::Repository) => {
                    let ending = Ending::failed(1, "no metadata");
                    self.node.end_next(command::Command::Refresh, ending);
                }
                Some(Outages::Api) | None => {}
            }
            self.node.options.refresh_time = random.between(REFRESH_TIME);
        }
        let reply = self.node.request(method, path, BEGIN + now);
        self.node.take_events();
        match reply {
            Reply::Answer(answer) => answer,
            Reply::Rebooting => unreachable!("an updater does not request a reboot"),
        }
    }

    /// The kubelet's backoff before it restarts the container.
    fn next_restart_backoff(&mut self, now: Duration) -> Duration {
        if now - self.started >= RESTART_BACKOFF_RESET {
            self.restart_backoff = Duration::ZERO;
        }
        let pause = self.restart_backoff;
        self.restart_backoff = (2 * pause).clamp(RESTART_BACKOFF, RESTART_BACKOFF_MAX);
        pause
    }
}

impl Tally {
    /// The requests as CSV, one line per second.
    pub fn to_csv(&self) -> String {
        let mut csv = String::from("second,requests\n");
        for (second, requests) in self.requests.iter().enumerate() {
            csv.push_str(&format!("{second},{requests}\n"));
        }
        csv
    }

    /// The highest number of requests in one second, from `begin` until before `end`.
    pub fn peak(&self, begin: Duration, end: Duration) -> u32 {
        let length = self.requests.len();
        let [begin, end] = [begin, end].map(|time| (time.as_secs() as usize).min(length));
        self.requests[begin..end].iter().copied().max().unwrap_or(0)
    }

    /// The 99th percentile of the requests per second.
    pub fn percentile_99(&self) -> u32 {
        let mut sorted = self.requests.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }

    /// The total number of requests.
    pub fn total(&self) -> u64 {
        self.requests.iter().map(|count| u64::from(*count)).sum()
    }
}

/// A simulation and its result, as text for people.
pub struct Summary<'a>(pub &'a Fleet, pub &'a Tally);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary(fleet, tally) = self;
        let [interval, jitter, time] =
            [fleet.interval, fleet.jitter(), fleet.time].map(HumanDuration);
        writeln!(
            f,
            "{} nodes for {time}, interval {interval}, jitter {jitter}, seed {}",
            fleet.nodes, fleet.seed
        )?;
        let mean = tally.total() as f64 / tally.requests.len() as f64;
        writeln!(f, "requests              {}", tally.total())?;
        writeln!(f, "per second, mean      {mean:.1}")?;
        writeln!(f, "  99th percentile     {}", tally.percentile_99())?;
        writeln!(f, "  peak                {}", tally.peak(Duration::ZERO, fleet.time))?;
        writeln!(f, "  first minute        {}", tally.peak(Duration::ZERO, MINUTE))?;
        writeln!(f, "  after ten minutes   {}", tally.peak(10 * MINUTE, fleet.time))?;
        writeln!(f, "  after an hour       {}", tally.peak(HOUR, fleet.time))?;
        if let Some(Outage { of, begin, length }) = fleet.outage {
            let end = begin + length;
            let name = of.name();
            writeln!(f, "{name} outage from {} to {}", HumanDuration(begin), HumanDuration(end))?;
            writeln!(f, "  during the outage   {}", tally.peak(begin, end))?;
            writeln!(f, "  ten minutes after   {}", tally.peak(end, end + 10 * MINUTE))?;
            writeln!(f, "  and from then on    {}", tally.peak(end + 10 * MINUTE, fleet.time))?;
            writeln!(f, "restarted updaters    {}", tally.restarts)?;
        }
        Ok(())
    }
}
