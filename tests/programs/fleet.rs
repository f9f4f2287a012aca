//! A fleet: simulated nodes with the real programs, and a stand-in for Kured that keeps
//! Kured's rules. A version that does not boot stops at the first node.
//!
//! Each node has an updater and a pod of Kured. The pod starts with the gate. When that
//! ends with 0, Kured starts: it calls the checker and, with the lock and after a drain,
//! the reboot program. When a node goes down, its programs are killed.

use crate::common::daemon::LONG;
use crate::common::{Directory, Node, run};
use bottlerocket_simulator::kured::{Cluster, Program, Turn};
use bottlerocket_simulator::{MANUAL, Options, Power};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The version that all nodes run at first.
const OLD: &str = "1.26.0";
/// The version that does not boot.
const BAD: &str = "1.26.1";
/// The version that is published after it.
const GOOD: &str = "1.26.2";

/// Where the updater keeps its state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// Nowhere.
    Nothing,
    /// In its pod. A graceful shutdown replaces the pod.
    Pod,
    /// On the host.
    Host,
}

/// What the fleet is like.
#[derive(Clone, Copy)]
struct Settings {
    nodes: usize,
    concurrency: usize,
    keeps: Keeps,
    /// Whether a reboot ends the pods, so that there are new ones after it. Otherwise the
    /// same pods start again.
    is_graceful: bool,
    /// Whether the reboot program activates, right before the reboot.
    at_reboot: bool,
}

const DEFAULT: Settings =
    Settings { nodes: 3, concurrency: 1, keeps: Keeps::Host, is_graceful: false, at_reboot: false };

/// The pod of Kured on a node.
enum Pod {
    /// The gate runs, as an init container.
    Gate(Process),
    /// Kured runs.
    Kured,
    /// Kured waits for the node to go down.
    Rebooting,
}

/// A process that is killed with this.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Host {
    node: Node,
    directory: Directory,
    settings: Settings,
    /// `None` while the node is off.
    updater: Option<Process>,
    /// `None` while the node is off.
    pod: Option<Pod>,
    /// How often Kured has seen that another node has the lock.
    waits: u32,
}

impl Host {
    fn new(settings: Settings) -> Self {
        let directory = Directory::new();
        let file = |name| Some(directory.path().join(name));
        let node = Node::start(Options {
            running: OLD.into(),
            offer: vec![BAD.into()],
            no_boot: vec![BAD.into()],
            boot_id_file: file("boot_id"),
            os_release_file: file("os-release"),
            off_time: MANUAL,
            ..Node::instant()
        });
        fs::create_dir(directory.path().join("state")).unwrap();
        let mut host = Self { node, directory, settings, updater: None, pod: None, waits: 0 };
        host.start();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program with the paths of this node.
    fn program(&self, name: &str) -> Command {
        let mut command = self.node.program(name);
        command.arg("-record").arg(self.path("reboot/record"));
        command.arg("-boot-id").arg(self.path("boot_id"));
        command
    }

    /// Starts the pods.
    fn start(&mut self) {
        let mut updater = self.program("updater");
        updater.args(["-jitter=0s", "-test-interval=200ms", "-boot-attempts=2"]);
        if self.settings.keeps != Keeps::Nothing {
            updater.arg("-state-dir").arg(self.path("state"));
        }
        if self.settings.at_reboot {
            updater.arg("-activate-at-reboot");
        }
        self.updater = Some(Process::start(&mut updater));
        self.start_gate();
    }

    fn start_gate(&mut self) {
        let mut gate = self.program("gate");
        gate.arg("-os-release").arg(self.path("os-release")).arg("-test-interval=100ms");
        if self.settings.keeps == Keeps::Host {
            gate.arg("-state-dir").arg(self.path("state"));
        }
        self.pod = Some(Pod::Gate(Process::start(&mut gate)));
    }

    /// Ends all processes of a node that has gone down, and boots it.
    fn boot(&mut self) {
        (self.updater, self.pod) = (None, None);
        if self.settings.keeps == Keeps::Pod && self.settings.is_graceful {
            fs::remove_dir_all(self.path("state")).unwrap();
            fs::create_dir(self.path("state")).unwrap();
        }
        self.node.follow_power().unwrap();
        self.node.change(|node, now| node.power_on(now));
        self.node.follow_power().unwrap();
        self.start();
    }

    fn version(&self) -> String {
        self.node.look(|view| view.node.options.running.clone())
    }

    /// How often the node was rebooted.
    fn reboots(&self) -> u32 {
        self.node.look(|view| view.node.boots()) - 1
    }

    /// How often Kured has seen that another node has the lock; on a node that is held,
    /// how often the gate and the updater have read the status.
    fn seen(&self) -> u32 {
        match self.is_held() {
            true => self.node.look(|view| view.count("GET", "/updates/status")).try_into().unwrap(),
            false => self.waits,
        }
    }

    fn is_held(&self) -> bool {
        matches!(self.pod, Some(Pod::Gate(_)))
    }
}

struct Fleet {
    hosts: Vec<Host>,
    cluster: Cluster,
    log: Vec<String>,
}

impl Fleet {
    fn new(settings: Settings) -> Self {
        let hosts = (0..settings.nodes).map(|_| Host::new(settings)).collect();
        let cluster = Cluster::new(settings.nodes, settings.concurrency);
        Self { hosts, cluster, log: Vec::new() }
    }

    /// Lets the fleet run until `condition`.
    #[track_caller]
    fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what}: {:#?}", self.log);
            for number in 0..self.hosts.len() {
                self.turn(number);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A turn of a node: of its power, its kubelet and its Kured.
    fn turn(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        if host.node.look(|view| view.node.power()) == Power::Off {
            host.boot();
            self.log.push(format!("{number} boots {}", host.version()));
            return;
        }
        match host.pod.as_mut() {
            Some(Pod::Gate(gate)) => match gate.0.try_wait().unwrap() {
                None => {}
                Some(status) if status.success() => {
                    host.pod = Some(Pod::Kured);
                    let is_released = self.cluster.start(number);
                    self.log.push(format!("{number} starts Kured, releases {is_released}"));
                }
                // The kubelet starts it again.
                Some(_) => host.start_gate(),
            },
            Some(Pod::Kured) => {
                let mut call = |program| {
                    let mut command = match program {
                        Program::Checker => host.node.program("checker"),
                        Program::Reboot => host.program("reboot"),
                    };
                    if program == Program::Reboot {
                        command.arg("-confirm");
                    }
                    if host.settings.at_reboot {
                        command.arg(match program {
                            Program::Checker => "-staged",
                            Program::Reboot => "-activate",
                        });
                    }
                    Ok(run(&mut command).status.unwrap())
                };
                match self.cluster.turn(number, &mut call).unwrap() {
                    Turn::NotRequired(_) => {}
                    Turn::LockHeld(_) => host.waits += 1,
                    Turn::Rebooting => {
                        host.pod = Some(Pod::Rebooting);
                        self.log.push(format!("{number} drains and reboots"));
                    }
                    Turn::RebootFailed(status) => {
                        self.log.push(format!("{number} drains in vain: {status}"));
                    }
                }
            }
            Some(Pod::Rebooting) | None => {}
        }
    }

    fn sum(&self, count: impl Fn(&Host) -> u32) -> u32 {
        self.hosts.iter().map(count).sum()
    }

    fn drains(&self) -> u32 {
        (0..self.hosts.len()).map(|number| self.cluster.drains(number)).sum()
    }

    fn held(&self) -> usize {
        self.hosts.iter().filter(|host| host.is_held()).count()
    }

    /// Publishes a version, in place of all others.
    fn publish(&mut self, version: &str) {
        for host in &self.hosts {
            host.node.change(|node, _| node.options.offer = vec![version.into()]);
        }
    }

    /// Runs until the bad version has stopped at the first nodes, as many as are drained
    /// at once.
    fn stop_at_the_first_nodes(&mut self, settings: Settings) {
        let first = settings.concurrency;
        let tries = 2 * u32::try_from(first).unwrap();
        self.run_until("two tries for each of the first nodes", |fleet| {
            fleet.sum(Host::reboots) == tries
        });
        // The others would like to reboot, again and again, and so would the first ones.
        let seen: Vec<u32> = self.hosts.iter().map(Host::seen).collect();
        self.run_until("all nodes go on for a while", |fleet| {
            fleet.hosts.iter().zip(&seen).all(|(host, before)| host.seen() >= before + 10)
        });
        assert_eq!(self.sum(Host::reboots), tries, "{:#?}", self.log);
        assert_eq!(self.drains(), u32::try_from(first).unwrap(), "{:#?}", self.log);
        assert_eq!((self.held(), self.cluster.most_cordoned()), (first, first));
        assert!(self.hosts.iter().all(|host| host.version() == OLD));
    }

    /// Runs until all nodes run `version`, and nothing is left to do.
    fn arrive(&mut self, version: &str) {
        self.run_until("all nodes arrive", |fleet| {
            fleet.hosts.iter().enumerate().all(|(number, host)| {
                host.version() == version
                    && matches!(host.pod, Some(Pod::Kured))
                    && !fleet.cluster.is_cordoned(number)
                    && !fleet.cluster.holds_lock(number)
            })
        });
        assert!(self.hosts.iter().all(|host| !host.path("reboot/record").exists()));
    }
}

/// A version that boots nowhere, and then a good one, without anybody at the nodes.
fn bad_version_and_then_a_good_one(settings: Settings) {
    let mut fleet = Fleet::new(settings);
    fleet.stop_at_the_first_nodes(settings);
    let tries = fleet.sum(Host::reboots);
    fleet.publish(GOOD);
    fleet.arrive(GOOD);
    // The bad version was not booted any more.
    let nodes = u32::try_from(settings.nodes).unwrap();
    assert_eq!(fleet.sum(Host::reboots), tries + nodes, "{:#?}", fleet.log);
    assert!(fleet.cluster.most_cordoned() <= settings.concurrency);
}

#[test]
fn bad_version_costs_one_drain_and_two_tries() {
    bad_version_and_then_a_good_one(DEFAULT);
}

#[test]
fn bad_version_costs_one_drain_after_a_graceful_shutdown() {
    bad_version_and_then_a_good_one(Settings { is_graceful: true, ..DEFAULT });
}

#[test]
fn bad_version_costs_one_drain_if_the_state_is_lost_with_the_pod() {
    bad_version_and_then_a_good_one(Settings { keeps: Keeps::Pod, is_graceful: true, ..DEFAULT });
}

#[test]
fn bad_version_costs_one_drain_if_it_is_activated_at_the_reboot() {
    bad_version_and_then_a_good_one(Settings { at_reboot: true, ..DEFAULT });
}

#[test]
fn bad_version_costs_one_drain_without_any_state() {
    bad_version_and_then_a_good_one(Settings { keeps: Keeps::Nothing, ..DEFAULT });
}

#[test]
fn bad_version_stops_at_as_many_nodes_as_are_drained_at_once() {
    bad_version_and_then_a_good_one(Settings { nodes: 4, concurrency: 2, ..DEFAULT });
}

/// The power of the first node is lost in the first boot of a good version.
#[test]
fn one_failed_boot_by_chance_stops_nobody() {
    let mut fleet = Fleet::new(DEFAULT);
    fleet.run_until("the first node reboots", |fleet| fleet.sum(Host::reboots) == 1);
    assert!(fleet.hosts.iter().all(|host| host.version() == OLD));
    for host in &fleet.hosts {
        host.node.change(|node, _| node.options.no_boot.clear());
    }
    fleet.arrive(BAD);
    assert_eq!((fleet.sum(Host::reboots), fleet.drains()), (4, 3), "{:#?}", fleet.log);
}

/// The bad version is withdrawn, and there is no other one.
#[test]
fn withdrawn_version_lets_the_node_go() {
    let mut fleet = Fleet::new(DEFAULT);
    fleet.stop_at_the_first_nodes(DEFAULT);
    for host in &fleet.hosts {
        host.node.change(|node, _| node.options.offer.clear());
    }
    fleet.arrive(OLD);
    assert_eq!(fleet.sum(Host::reboots), 2, "{:#?}", fleet.log);
}
