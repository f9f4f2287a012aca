//! The API server in its own process, which is stopped, continued, killed and restarted.

use super::{LIMIT, daemon_under_strace};
use crate::common::cases::side_by_side;
use crate::common::daemon::pid;
use crate::common::{Directory, Ran, program, run_within};
use rustix::process::{Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// The `-timeout` of the checker and the reboot program, and how much longer a run may take
/// on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(10);

/// The simulator, in its own process.
struct Server {
    directory: Directory,
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

impl Server {
    fn start() -> Self {
        let directory = Directory::new();
        let (child, lines) = Self::spawn(&directory);
        let mut server = Self { directory, child, lines, log: Vec::new() };
        server.wait_for("listens on");
        server
    }

    fn spawn(directory: &Directory) -> (Child, Receiver<String>) {
        let simulator = PathBuf::from(program("checker").get_program())
            .with_file_name("bottlerocket-simulator");
        let mut command = Command::new(simulator);
        command.arg("--socket").arg(directory.socket());
        for (option, time) in [
            ("--refresh-time", "300ms"),
            ("--prepare-time", "900ms"),
            ("--activate-time", "300ms"),
            ("--reboot-time", "2s"),
        ] {
            command.args([option, time]);
        }
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("scripts/test/test-faults builds the simulator");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        (child, lines)
    }

    /// Waits for a line that contains `part`.
    #[track_caller]
    fn wait_for(&mut self, part: &str) {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => self.log.push(line),
                Err(error) => panic!("{part:?} was not printed, {error}: {:?}", self.log),
            }
            if self.log.last().unwrap().contains(part) {
                return;
            }
        }
    }

    /// The number of lines so far that contain `part`.
    fn count(&mut self, part: &str) -> usize {
        self.log.extend(self.lines.try_iter());
        self.log.iter().filter(|line| line.contains(part)).count()
    }

    /// Stops the process and waits until all its threads have stopped.
    fn stop(&self) {
        kill_process(pid(&self.child), Signal::STOP).unwrap();
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_stopped = || {
            fs::read_dir(&tasks).unwrap().all(|task| {
                let stat = fs::read_to_string(task.unwrap().path().join("stat"));
                // A thread may have ended in the meantime.
                stat.map_or(true, |stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
            })
        };
        let end = Instant::now() + LIMIT;
        while !is_stopped() {
            assert!(Instant::now() < end, "the server does not stop");
            thread::yield_now();
        }
    }

    fn resume(&self) {
        kill_process(pid(&self.child), Signal::CONT).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts a new server in place of a killed one. Its node has no update.
    fn restart(&mut self) {
        (self.child, self.lines) = Self::spawn(&self.directory);
        self.wait_for("listens on");
    }

    fn program(&self, name: &str) -> Command {
        let mut command = program(name);
        command.arg("-socket").arg(self.directory.socket());
        command
    }

    /// Runs the checker or the reboot program, which must end in time.
    #[track_caller]
    fn run(&self, name: &str, arguments: &[&str]) -> Ran {
        run_within(TIMEOUT + SLACK, self.program(name).arg("-timeout=2s").args(arguments))
    }

    /// Whether the checker finally says yes.
    fn becomes_ready(&self) -> bool {
        let end = Instant::now() + 2 * LIMIT;
        while Instant::now() < end {
            if self.run("checker", &[]).status == Some(0) {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Starts a server whose node is Ready.
    fn ready() -> Self {
        let server = Self::start();
        let ran = run_within(LIMIT, server.program("updater").arg("-one-time"));
        assert_eq!(ran.status, Some(0), "{ran:?}");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An updater. Dropping this kills it.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A disturbance of the server.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    /// The server is stopped for this time, and then resumed.
    Stopped(Duration),
    /// The server is killed, and restarted after this time.
    Killed(Duration),
}

#[test]
#[ignore = "takes longer than the timeout of a call: scripts/test/test-faults"]
fn update_survives_a_stopped_or_killed_server_in_each_phase() {
    let mut cases = Vec::new();
    // The longest cases first: the updater waits for a command that is lost.
    for done in [
        Disturbance::Killed(Duration::from_secs(1)),
        Disturbance::Stopped(super::STOPPED),
        Disturbance::Stopped(Duration::from_secs(1)),
    ] {
        for phase in [
            "refresh started",
            "refresh succeeded",
            "prepare started",
            "prepare succeeded",
            "activate started",
            "activate succeeded",
        ] {
            cases.push((phase, done));
        }
    }
    side_by_side(cases, |(phase, done)| {
        let label = format!("{phase}, {done:?}");
        let begin = Instant::now();
        let mut server = Server::start();
        let directory = server.directory.path();
        let (calls, log) = (directory.join("calls"), directory.join("log"));
        let mut updater = server.program("updater");
        updater.args(["-test-interval=200ms", "-jitter=0s"]);
        let mut updater = Daemon(
            daemon_under_strace(&updater, &calls, None)
                .stdin(Stdio::null())
                .stderr(fs::File::create(&log).unwrap())
                .spawn()
                .unwrap(),
        );
        server.wait_for(phase);
        let length = match done {
            Disturbance::Stopped(length) => {
                server.stop();
                length
            }
            Disturbance::Killed(length) => {
                server.kill();
                length
            }
        };
        let end = Instant::now() + length;
        loop {
            let ran = server.run("checker", &[]);
            assert_eq!(ran.status, Some(3), "{label}: {ran:?}");
            assert!(ran.stderr.contains("cannot read the update status"), "{label}: {ran:?}");
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(Duration::from_millis(500)));
        }
        match done {
            Disturbance::Stopped(_) => server.resume(),
            Disturbance::Killed(_) => server.restart(),
        }
        assert!(server.becomes_ready(), "{label}: {:?}", server.log);
        // The updater sees the state, too.
        let read = |path| fs::read_to_string(path).unwrap();
        let end = Instant::now() + LIMIT;
        while !read(&log).contains("ready, waiting for the reboot") && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        assert!(updater.0.try_wait().unwrap().is_none(), "{label}: {}", read(&log));
        kill_process(pid(&updater.0), Signal::TERM).unwrap();
        assert_eq!(updater.0.wait().unwrap().code(), Some(0), "{label}");
        let log = read(&log);
        assert!(log.contains("ready, waiting for the reboot"), "{label}: {log}");
        // About a hundred status requests per command, which become rarer while it runs, with
        // about thirty calls each. A loop that does not wait makes more in a second.
        let most = (2_000.0 * (begin.elapsed().as_secs_f64() + 1.0)) as usize;
        let made = read(&calls).lines().count();
        assert!(made < most, "{label}: {made} calls: {log}");
        // A resumed server does nothing twice and knows its last command. A new server does
        // not know the command of the old one, which the updater may report.
        let is_failure = |line: &&str| line.contains("event=command_");
        let failures: Vec<_> = log.lines().filter(is_failure).collect();
        if let Disturbance::Killed(_) = done {
            assert!(failures.len() <= 1, "{label}: {log}");
            assert!(failures.iter().all(|line| line.contains("_vanished")), "{label}: {log}");
        } else {
            assert!(failures.is_empty(), "{label}: {log}");
            let started = ["prepare started", "activate started"].map(|part| server.count(part));
            assert_eq!(started, [1, 1], "{label}: {log}");
        }
    });
}

#[test]
#[ignore = "takes longer than the timeout of a call: scripts/test/test-faults"]
fn reboot_survives_a_stopped_or_killed_server() {
    type Case = fn(&mut Server);
    let cases: [(&str, Case); 6] = [
        ("stopped before the reboot", |server| {
            server.stop();
            let ran = server.run("reboot", &[]);
            assert_eq!(ran.status, Some(3), "{ran:?}");
            assert!(ran.stderr.contains("timed out waiting for a response"), "{ran:?}");
            assert_eq!(server.run("checker", &[]).status, Some(3));
            // The server carries out the request that it received.
            server.resume();
            server.wait_for("booted 1.26.1");
            assert_eq!(server.run("checker", &[]).status, Some(1));
        }),
        ("stopped before the status request", |server| {
            server.stop();
            let ran = server.run("reboot", &["-if-ready"]);
            assert_eq!(ran.status, Some(3), "{ran:?}");
            server.resume();
            assert_eq!(server.run("checker", &[]).status, Some(0));
            assert_eq!(server.count("booted"), 0);
        }),
        ("stopped for a while during the reboot", |server| {
            let reboot = server.program("reboot");
            let ran = thread::scope(|scope| {
                let run = scope.spawn(|| run_within(LIMIT, &mut { reboot }));
                server.wait_for("reboot started");
                server.stop();
                thread::sleep(Duration::from_secs(3));
                server.resume();
                run.join().unwrap()
            });
            assert_eq!(ran.status, Some(0), "{ran:?}");
            server.wait_for("booted 1.26.1");
        }),
        ("killed before the reboot", |server| {
            server.kill();
            let ran = server.run("reboot", &[]);
            assert_eq!(ran.status, Some(3), "{ran:?}");
            assert!(ran.stderr.contains("connection refused"), "{ran:?}");
        }),
        ("killed during the reboot, and restarted", |server| {
            let reboot = server.program("reboot");
            let ran = thread::scope(|scope| {
                let run = scope.spawn(|| run_within(LIMIT, &mut { reboot }));
                server.wait_for("reboot started");
                server.kill();
                server.restart();
                run.join().unwrap()
            });
            assert_eq!(ran.status, Some(0), "{ran:?}");
            assert!(ran.stdout.contains("requested again"), "{ran:?}");
            server.wait_for("booted");
        }),
        ("killed during the reboot, and not restarted", |server| {
            let reboot = server.program("reboot");
            let ran = thread::scope(|scope| {
                let run = scope.spawn(|| run_within(LIMIT, &mut { reboot }));
                server.wait_for("reboot started");
                server.kill();
                run.join().unwrap()
            });
            assert_eq!(ran.status, Some(0), "{ran:?}");
            assert!(ran.stdout.contains("the API has not come back"), "{ran:?}");
        }),
    ];
    side_by_side(cases.to_vec(), |(label, case)| {
        println!("server {label}");
        case(&mut Server::ready());
    });
}
