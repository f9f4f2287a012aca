//! The API server as a process of its own, which is stopped, continued, killed and
//! started again.

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

/// How long the checker and the reboot program may take here, and how much later
/// than that a busy machine may let them end.
const TIMEOUT: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(10);

/// The simulator, in a process.
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

    /// Waits for a line that has this in it.
    #[track_caller]
    fn wait_for(&mut self, part: &str) {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => self.log.push(line),
                Err(error) => panic!("{part:?} was not told, {error}: {:?}", self.log),
            }
            if self.log.last().unwrap().contains(part) {
                return;
            }
        }
    }

    /// How often this has been told.
    fn count(&mut self, part: &str) -> usize {
        self.log.extend(self.lines.try_iter());
        self.log.iter().filter(|line| line.contains(part)).count()
    }

    /// Stops it, all its threads.
    fn stop(&self) {
        kill_process(pid(&self.child), Signal::STOP).unwrap();
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_stopped = || {
            fs::read_dir(&tasks).unwrap().all(|task| {
                let stat = fs::read_to_string(task.unwrap().path().join("stat"));
                // One that ended meanwhile does nothing either.
                stat.map_or(true, |stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
            })
        };
        let end = Instant::now() + LIMIT;
        while !is_stopped() {
            assert!(Instant::now() < end, "it does not stop");
            thread::yield_now();
        }
    }

    fn go_on(&self) {
        kill_process(pid(&self.child), Signal::CONT).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Another one in the place of one that was killed. It knows nothing of that
    /// one's node: nothing is staged.
    fn start_again(&mut self) {
        (self.child, self.lines) = Self::spawn(&self.directory);
        self.wait_for("listens on");
    }

    fn program(&self, name: &str) -> Command {
        let mut command = program(name);
        command.arg("-socket").arg(self.directory.socket());
        command
    }

    /// A run of the checker or of the reboot program, which ends in time.
    #[track_caller]
    fn run(&self, name: &str, arguments: &[&str]) -> Ran {
        run_within(TIMEOUT + SLACK, self.program(name).arg("-timeout=2s").args(arguments))
    }

    /// Whether the checker says yes, in the end.
    fn is_ready_in_the_end(&self) -> bool {
        let end = Instant::now() + 2 * LIMIT;
        while Instant::now() < end {
            if self.run("checker", &[]).status == Some(0) {
                return true;
            }
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// A node that is Ready.
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

/// An updater, which does not outlive this.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is done to the server.
#[derive(Debug, Clone, Copy)]
enum Done {
    /// It is stopped for this time, and goes on.
    Stopped(Duration),
    /// It is killed, and another one is started after this time.
    Killed(Duration),
}

#[test]
#[ignore = "takes longer than a call may: scripts/test/test-faults"]
fn a_server_that_is_stopped_or_killed_in_each_phase_of_an_update() {
    let mut cases = Vec::new();
    // Those first that take longest: a command without a trace is waited for.
    for done in [
        Done::Killed(Duration::from_secs(1)),
        Done::Stopped(super::STOPPED),
        Done::Stopped(Duration::from_secs(1)),
    ] {
        for phase in [
            "refresh started",
            "refresh done",
            "prepare started",
            "prepare done",
            "activate started",
            "activate done",
        ] {
            cases.push((phase, done));
        }
    }
    side_by_side(cases, |(phase, done)| {
        let what = format!("{phase}, {done:?}");
        let begin = Instant::now();
        let mut server = Server::start();
        let directory = server.directory.path();
        let (calls, log) = (directory.join("calls"), directory.join("log"));
        let mut updater = server.program("updater");
        updater.args(["-interval=200ms", "-jitter=0s"]);
        let mut updater = Daemon(
            daemon_under_strace(&updater, &calls, None)
                .stdin(Stdio::null())
                .stderr(fs::File::create(&log).unwrap())
                .spawn()
                .unwrap(),
        );
        server.wait_for(phase);
        let length = match done {
            Done::Stopped(length) => {
                server.stop();
                length
            }
            Done::Killed(length) => {
                server.kill();
                length
            }
        };
        let end = Instant::now() + length;
        loop {
            let ran = server.run("checker", &[]);
            assert_eq!(ran.status, Some(3), "{what}: {ran:?}");
            assert!(ran.stderr.contains("cannot read the update status"), "{what}: {ran:?}");
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(Duration::from_millis(500)));
        }
        match done {
            Done::Stopped(_) => server.go_on(),
            Done::Killed(_) => server.start_again(),
        }
        assert!(server.is_ready_in_the_end(), "{what}: {:?}", server.log);
        // The updater sees so as well.
        let read = |path| fs::read_to_string(path).unwrap();
        let end = Instant::now() + LIMIT;
        while !read(&log).contains("ready, waiting for the reboot") && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        assert!(updater.0.try_wait().unwrap().is_none(), "{what}: {}", read(&log));
        kill_process(pid(&updater.0), Signal::TERM).unwrap();
        assert_eq!(updater.0.wait().unwrap().code(), Some(0), "{what}");
        let log = read(&log);
        assert!(log.contains("ready, waiting for the reboot"), "{what}: {log}");
        // Five looks a second, of some thirty calls each.
        let most = (600.0 * (begin.elapsed().as_secs_f64() + 1.0)) as usize;
        let made = read(&calls).lines().count();
        assert!(made < most, "{what}: {made} calls: {log}");
        // A server that only stopped does nothing twice, and says what it has done.
        // Another one knows nothing of a command, which may be told.
        let complaint = |line: &&str| line.contains("event=command_");
        let complaints: Vec<_> = log.lines().filter(complaint).collect();
        if let Done::Killed(_) = done {
            assert!(complaints.len() <= 1, "{what}: {log}");
            assert!(complaints.iter().all(|line| line.contains("_vanished")), "{what}: {log}");
        } else {
            assert!(complaints.is_empty(), "{what}: {log}");
            let started = ["prepare started", "activate started"].map(|part| server.count(part));
            assert_eq!(started, [1, 1], "{what}: {log}");
        }
    });
}

#[test]
#[ignore = "takes longer than a call may: scripts/test/test-faults"]
fn a_reboot_when_the_server_is_stopped_or_killed() {
    type Case = fn(&mut Server);
    let cases: [(&str, Case); 6] = [
        ("stopped before it", |server| {
            server.stop();
            let ran = server.run("reboot", &[]);
            assert_eq!(ran.status, Some(3), "{ran:?}");
            assert!(ran.stderr.contains("timed out waiting for a response"), "{ran:?}");
            assert_eq!(server.run("checker", &[]).status, Some(3));
            // What it has been sent it carries out.
            server.go_on();
            server.wait_for("booted 1.26.1");
            assert_eq!(server.run("checker", &[]).status, Some(1));
        }),
        ("stopped before the question whether it is ready", |server| {
            server.stop();
            let ran = server.run("reboot", &["-if-ready"]);
            assert_eq!(ran.status, Some(3), "{ran:?}");
            server.go_on();
            assert_eq!(server.run("checker", &[]).status, Some(0));
            assert_eq!(server.count("booted"), 0);
        }),
        ("stopped for a while during it", |server| {
            let reboot = server.program("reboot");
            let ran = thread::scope(|scope| {
                let run = scope.spawn(|| run_within(LIMIT, &mut { reboot }));
                server.wait_for("reboot started");
                server.stop();
                thread::sleep(Duration::from_secs(3));
                server.go_on();
                run.join().unwrap()
            });
            assert_eq!(ran.status, Some(0), "{ran:?}");
            server.wait_for("booted 1.26.1");
        }),
        ("killed before it", |server| {
            server.kill();
            let ran = server.run("reboot", &[]);
            assert_eq!(ran.status, Some(3), "{ran:?}");
            assert!(ran.stderr.contains("connection refused"), "{ran:?}");
        }),
        ("killed during it, and another one started", |server| {
            let reboot = server.program("reboot");
            let ran = thread::scope(|scope| {
                let run = scope.spawn(|| run_within(LIMIT, &mut { reboot }));
                server.wait_for("reboot started");
                server.kill();
                server.start_again();
                run.join().unwrap()
            });
            assert_eq!(ran.status, Some(0), "{ran:?}");
            assert!(ran.stdout.contains("requested again"), "{ran:?}");
            server.wait_for("booted");
        }),
        ("killed during it, and no other one started", |server| {
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
    side_by_side(cases.to_vec(), |(what, case)| {
        println!("a server that is {what}");
        case(&mut Server::ready());
    });
}
