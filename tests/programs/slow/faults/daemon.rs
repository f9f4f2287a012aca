//! A daemon that is scraped, and a system call that fails or kills it.

use super::{
    ERRORS, LIMIT, MORE_CALLS, Place, Table, assert_logged, assert_once, assert_state_is_kept,
    daemon_under_strace, has_all, loses_the_state, stateful_updater,
};
use crate::common::cases::side_by_side;
use crate::common::daemon::{LONG, Running};
use crate::common::{Directory, Node, Ran, run_within};
use bottlerocket_simulator::{Options, State};
use rustix::process::{Signal, kill_process};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// A daemon whose system call fails each time.
fn broken_daemon(node: &Node, log: &Path, injection: &str, arguments: &[&str]) -> Command {
    let mut updater = node.program("updater");
    daemon_under_strace(updater.arg("-jitter=0s").args(arguments), log, Some(injection))
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn failing_accept_causes_no_busy_loop() {
    let (node, directory) = (Node::start(Node::instant()), Directory::new());
    let log = directory.path().join("calls");
    let arguments = ["-test-interval=100ms", "-metrics-address=127.0.0.1:0"];
    let mut updater =
        Running::start(&mut broken_daemon(&node, &log, "accept4:error=EPERM", &arguments));
    updater.wait_for("event=serving_metrics");
    let (_, port) = updater.log.last().unwrap().rsplit_once("port=").unwrap();
    let _scraper = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    // This takes at least two seconds.
    assert!(node.wait_until(LONG, |view| view.count("GET", "/updates/status") >= 25));
    updater.stop(Signal::TERM);
    let calls = fs::read_to_string(log).unwrap();
    let tries = calls.lines().filter(|line| line.starts_with("accept4(")).count();
    assert!((1..50).contains(&tries), "{tries}");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn daemon_that_cannot_wait_exits() {
    let (node, directory) = (Node::start(Node::instant()), Directory::new());
    let log = directory.path().join("calls");
    let ran = run_within(LIMIT, &mut broken_daemon(&node, &log, "ppoll:error=ENOMEM", &[]));
    assert_eq!(ran.status, Some(3), "{ran:?}");
    let last = ran.stderr.lines().last();
    let expected = "level=error event=wait_failed msg=\"cannot wait; exiting\" \
                    error=\"out of memory\"";
    assert!(last.is_some_and(|line| line.ends_with(expected)), "{ran:?}");
    // The simulator may read the request only now. There is no second one.
    assert!(node.wait_until(LONG, |view| !view.requests.is_empty()));
    assert_eq!(node.look(|view| view.requests.len()), 1);
}

/// A node, and a daemon that is scraped all the time.
struct Scraped {
    node: Node,
    directory: Directory,
    address: SocketAddr,
}

impl Scraped {
    fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let [high, low] = NEXT.fetch_add(1, Relaxed).to_be_bytes();
        // Each daemon has its own address: a port that the kernel chose for one run might
        // be in use at the next.
        let address = ([127, (std::process::id() % 128) as u8, high, low], 9464).into();
        let short = Duration::from_millis(30);
        let options = Options {
            refresh_time: short,
            prepare_time: short * 2,
            activate_time: short,
            ..Node::instant()
        };
        Self { node: Node::start(options), directory: Directory::new(), address }
    }

    /// Runs the daemon until the node is Ready, the fault has happened and scrapes succeed,
    /// or until it ends by itself. Returns its system calls as well.
    #[track_caller]
    fn run(&self, label: &str, injection: Option<&str>) -> (Ran, Vec<String>) {
        let is_ready = || self.node.look(|view| view.node.state()) == Some(State::Ready);
        // This test does not need thousands of connections per second.
        let pause = Duration::from_millis(8);
        let was_broken = Cell::new(false);
        self.run_until(label, injection, pause, |served, calls| {
            let is_broken = || {
                let calls = fs::read_to_string(calls).unwrap_or_default();
                injection.is_none() || calls.contains("(INJECTED)")
            };
            // A page that is served after the fault: by then, the fault is logged.
            served >= 3 && is_ready() && is_broken() && was_broken.replace(true)
        })
    }

    /// Runs the daemon until `is_enough` returns true, or until it ends by itself. The
    /// arguments are the number of pages served in a row, and the file with the system
    /// calls.
    #[track_caller]
    fn run_until(
        &self,
        label: &str,
        injection: Option<&str>,
        pause: Duration,
        is_enough: impl Fn(u32, &Path) -> bool,
    ) -> (Ran, Vec<String>) {
        let path = |name: &str| self.directory.path().join(name);
        let (calls, log) = (path("calls"), path("log"));
        let mut updater = stateful_updater(&self.node, &self.directory);
        updater.args(["-test-interval=100ms", "-jitter=0s", "-metrics-address"]);
        updater.arg(self.address.to_string());
        let mut command = daemon_under_strace(&updater, &calls, injection);
        let stderr = fs::File::create(&log).unwrap();
        let mut child = command.stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let mut pages = ["metrics", "healthz", "readyz"].into_iter().cycle();
        let end = Instant::now() + LIMIT;
        let (mut served, mut is_stopping) = (0, false);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            if Instant::now() > end {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{label}: still running, {served} pages served: {}", read(&log));
            }
            served = if self.scrape(pages.next().unwrap()) { served + 1 } else { 0 };
            if !is_stopping && is_enough(served, &calls) {
                is_stopping = true;
                kill_process(crate::common::daemon::pid(&child), Signal::TERM).unwrap();
            }
            thread::sleep(pause);
        };
        let names = read(&calls).lines().map(String::from).collect();
        (Ran { status, stdout: String::new(), stderr: read(&log) }, names)
    }

    /// Whether the daemon serves a whole page.
    fn scrape(&self, page: &str) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
        let request = format!("GET /{page} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let mut answer = String::new();
        if stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_to_string(&mut answer))
            .is_err()
        {
            return false;
        }
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
        let is_whole = head.ends_with(&format!("content-length: {}", body.len()));
        is_whole && head.starts_with("HTTP/1.1 200 OK\r\n")
    }

    /// Checks that the next daemon at the same address finishes the update.
    #[track_caller]
    fn assert_finished(&self, label: &str) {
        assert_state_is_kept(label, &self.directory);
        let (again, _) = self.run(label, None);
        assert_eq!(again.status, Some(0), "{label}: {again:?}");
        assert_state_is_kept(label, &self.directory);
        assert_once(label, &self.node);
    }

    /// The system calls of a run without a fault, except for the first one and those after
    /// SIGTERM: a run with a fault gets that signal only after the fault.
    fn usual() -> Vec<Place> {
        let (ran, calls) = Self::new().run("usual", None);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let mut counts = BTreeMap::new();
        let mut places = Vec::new();
        let stops = |call: &String| call.starts_with("--- SIGTERM");
        for call in calls.iter().skip(1).take_while(|call| !stops(call)) {
            let Some((name, _)) = call.split_once('(') else { continue };
            let count = counts.entry(name.to_string()).or_insert(0);
            *count += 1;
            places.push((name.to_string(), *count));
        }
        assert!(counts.contains_key("accept4") && counts.contains_key("renameat"), "{counts:?}");
        places
    }
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn scraped_daemon_survives_each_failing_system_call() {
    let all = has_all();
    let usual = Scraped::usual();
    let mut cases = Vec::new();
    for (name, errors) in ERRORS {
        let places: Vec<_> = usual.iter().filter(|place| place.0 == name).collect();
        for (number, error) in errors.split_terminator(' ').enumerate() {
            // All calls, or one call per error in turn.
            for (at, place) in places.iter().enumerate() {
                if all || at == number % places.len() {
                    cases.push(((*place).clone(), error));
                }
            }
        }
    }
    cases.retain(|(place, error)| !loses_the_state(place, error));
    let table = Table::default();
    side_by_side(cases, |(place, error)| {
        let label = format!("daemon: {error} from {} {}", place.0, place.1);
        let scraped = Scraped::new();
        let injection = format!("{}:error={error}:when={}", place.0, place.1);
        let (ran, calls) = scraped.run(&label, Some(&injection));
        let last = ran.stderr.lines().last().unwrap_or_default();
        let gave_up = last.contains(" event=wait_failed ");
        // Without a handler, SIGTERM kills the daemon.
        let status = if gave_up { Some(3) } else { Some(0) };
        let is_ended = place.0 == "rt_sigaction" && place.1 == 1 && ran.status.is_none();
        assert!(ran.status == status || is_ended, "{label}: {ran:?}");
        assert!(calls.len() < 5 * MORE_CALLS, "{label}: {} calls: {ran:?}", calls.len());
        assert_logged(&label, &place, &ran);
        table.add(&place, error, &ran);
        scraped.assert_finished(&label);
    });
    table.print("updater, a daemon that is scraped during an update");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn scraped_daemon_killed_at_each_system_call_loses_nothing() {
    let mut places = Scraped::usual();
    // There is always another system call between two of these.
    places.retain(|(name, _)| name != "clock_gettime");
    if !has_all() {
        // All scrapes are alike, and so are all status requests.
        places.retain(|(_, count)| *count <= 6 || count % 9 == 0);
    }
    println!("killed before each of {} system calls of a daemon that is scraped", places.len());
    side_by_side(places, |(name, count)| {
        let label = format!("killed at {name} {count}");
        let scraped = Scraped::new();
        let (ran, _) = scraped.run(&label, Some(&format!("{name}:signal=KILL:when={count}")));
        assert_eq!(ran.status, None, "{label}: {ran:?}");
        scraped.assert_finished(&label);
    });
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn daemon_has_no_busy_loop_when_a_system_call_always_fails() {
    let cases = [
        "accept4:error=EMFILE",
        "accept4:error=ENOBUFS",
        "recvfrom:error=ECONNRESET",
        "recvfrom:error=ENOMEM",
        "sendto:error=EPIPE",
        "connect:error=ECONNREFUSED",
        "connect:error=EAGAIN",
        "socket:error=EMFILE:when=2+",
        "openat:error=EMFILE",
        "openat:error=ENOSPC:when=4+",
        "write:error=EAGAIN",
        "write:error=ENOSPC",
        "fsync:error=EIO",
        "renameat:error=EROFS",
        "close:error=EIO",
        "getrandom:error=ENOSYS",
    ];
    side_by_side(cases.to_vec(), |injection| {
        let scraped = Scraped::new();
        let begin = Instant::now();
        let time = Duration::from_secs(3);
        let pause = Duration::from_millis(50);
        let is_enough = |_, _: &Path| begin.elapsed() >= time;
        let (ran, calls) = scraped.run_until(injection, Some(injection), pause, is_enough);
        assert_eq!(ran.status, Some(0), "{injection}: {ran:?}");
        // Ten status requests and twenty scrapes per second, with about twenty calls each,
        // are 600.
        let most = (1_000.0 * (begin.elapsed().as_secs_f64() + 1.0)) as usize;
        assert!(calls.len() < most, "{injection}: {} calls: {ran:?}", calls.len());
        let lines = ran.stderr.lines().count();
        assert!(lines < 20, "{injection}: {ran:?}");
        println!("{injection}: {} calls, {lines} lines", calls.len());
    });
}
