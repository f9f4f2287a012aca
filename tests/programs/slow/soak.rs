//! A day of the updater in a minute, and 10,000 runs of the checker. `scripts/test/test-soak`
//! runs these tests.

use crate::common::daemon::{LONG, Running};
use crate::common::exposition::Page;
use crate::common::records::{Format, Record};
use crate::common::{Directory, Node, run};
use bottlerocket_simulator::Command::{self as Action, Activate, Prepare, Refresh};
use bottlerocket_simulator::{EventKind, Fault, Lock, Options, Rule, Simulator, State, Then};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A day at the default settings: a cycle every ten minutes, a scrape every 15 seconds, a
/// liveness probe every minute, and twice as many readiness probes.
const CYCLES: usize = 144;
const SCRAPES: usize = 5760;
const PROBES: usize = 1440;

/// The events at the end of a cycle.
const CYCLE_ENDS: [&str; 3] = ["nothing_to_do", "ready", "held_back"];

/// The resources of a process: memory in KiB, and file descriptors.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rss: u64,
    pss: u64,
    private_dirty: u64,
    descriptors: usize,
}

impl Sample {
    fn of(process: u32) -> Self {
        let proc = Path::new("/proc").join(process.to_string());
        let text = fs::read_to_string(proc.join("smaps_rollup")).unwrap();
        let get = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
        };
        // The minimum does not count the descriptors of calls and scrapes.
        let descriptors = (0..100).map(|_| {
            thread::sleep(Duration::from_millis(1));
            fs::read_dir(proc.join("fd")).unwrap().count()
        });
        Self {
            rss: get("Rss:"),
            pss: get("Pss:"),
            private_dirty: get("Private_Dirty:"),
            descriptors: descriptors.min().unwrap(),
        }
    }

    fn text(self) -> String {
        let Self { rss, pss, private_dirty, descriptors } = self;
        format!("rss {rss} KiB, pss {pss} KiB, dirty {private_dirty} KiB, {descriptors} files")
    }
}

/// A node with a state directory, for one updater after the other.
struct Day {
    node: Node,
    directory: Directory,
}

impl Day {
    fn start() -> Self {
        let directory = Directory::new();
        fs::create_dir(directory.path().join("state-dir")).unwrap();
        let boot_id_file = Some(directory.path().join("boot_id"));
        let node = Node::start(Options { boot_id_file, ..Node::instant() });
        Self { node, directory }
    }

    fn updater(&self) -> Running {
        let mut command = self.node.program("updater");
        command.args(["-test-interval=50ms", "-jitter=5ms", "-log-level=debug"]);
        command.arg("-state-dir").arg(self.directory.path().join("state-dir"));
        command.arg("-boot-id").arg(self.directory.path().join("boot_id"));
        command.arg("-metrics-address=127.0.0.1:0");
        Running::start(&mut command)
    }

    fn offer(&self, versions: &[&str]) {
        let versions = versions.iter().map(|version| version.to_string()).collect();
        self.node.change(|node, _| node.options.offer = versions);
    }

    /// The names of the files in the state directory.
    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.directory.path().join("state-dir")).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Three boots: into a new version, into a version that does not boot, and into another
    /// new version.
    fn boot_three_times(&self) {
        self.node.change(|node, _| node.options.no_boot = vec!["1.26.2".into()]);
        self.offer(&[]);
        for (outcome, offer) in
            [("nothing_to_do", "1.26.1"), ("updated", "1.26.2"), ("held_back", "1.26.3")]
        {
            let mut updater = self.updater();
            updater.wait_for(&format!("event={outcome}"));
            self.offer(&[offer]);
            updater.wait_for("event=ready");
            assert_eq!(updater.stop(Signal::TERM).status, Some(0));
            self.node.run(Action::Reboot).unwrap();
        }
        self.offer(&[]);
    }

    /// Everything that can happen to an updater between two boots, once.
    fn round(&self, updater: &mut Running, round: u32) {
        let node = &self.node;
        wait_for_cycles(updater, 8);

        node.restart().unwrap();
        wait_for_cycles(updater, 2);
        for stop in [Simulator::refuse, Simulator::remove_socket] {
            stop(node);
            updater.wait_for("event=api_lost");
            node.restart().unwrap();
            updater.wait_for("event=api_back");
            wait_for_cycles(updater, 1);
        }
        for answer in [
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"update_state\": \"Re",
            "it is a teapot\r\n\r\n",
            "",
        ] {
            node.inject(Rule::from(Fault::raw(answer)).on("GET", "/updates/status"));
            updater.wait_for("event=api_lost");
            updater.wait_for("event=api_back");
        }
        node.change(|node, _| node.fail_next(Refresh, 1, "no network"));
        updater.wait_for("event=command_failed");
        node.set_lock(Some(Lock::Exclusive));
        updater.wait_for("event=lock_held");
        node.set_lock(None);
        wait_for_cycles(updater, 2);

        // An update that is withdrawn.
        self.offer(&[&format!("1.27.{round}")]);
        updater.wait_for("event=ready");
        wait_for_cycles(updater, 2);
        self.offer(&[]);
        updater.wait_for("event=deactivated");
        updater.wait_for("event=nothing_to_do");
        // The file may just be replaced: the updater saves which command it sends.
        let end = Instant::now() + Duration::from_secs(30);
        while self.files() != ["state"] {
            assert!(Instant::now() < end, "{:?}", self.files());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn wait_for_cycles(updater: &mut Running, count: usize) {
    let end = cycles(&updater.log) + count;
    while cycles(&updater.log) < end {
        updater.wait_for("event=");
    }
}

fn cycles(log: &[String]) -> usize {
    let events = log.iter().filter_map(|line| event(line));
    events.filter(|event| CYCLE_ENDS.contains(event)).count()
}

fn event(line: &str) -> Option<&str> {
    line.split_once("event=")?.1.split(' ').next()
}

/// The status and the body of a page.
fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap(), body.into())
}

/// Sends the scrapes and probes of a day, evenly over the rounds.
fn scrape_for_a_day(port: u16, rounds: &AtomicUsize, over: &AtomicBool) {
    let mut last: Option<Page> = None;
    for number in 0..SCRAPES {
        // Wait for the round of this scrape.
        while number * ROUNDS as usize / SCRAPES > rounds.load(Ordering::Relaxed) {
            if over.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let (status, body) = get(port, "/metrics");
        let page = Page::read(&body);
        assert_eq!(status, 200);
        if let Some(last) = &last {
            page.follows(last);
        }
        last = Some(page);
        if number % (SCRAPES / PROBES) == 0 {
            assert_eq!(get(port, "/healthz").0, 200);
            for _ in 0..2 {
                assert_eq!(get(port, "/readyz").0, 200);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The number of rounds.
const ROUNDS: u32 = 7;

#[test]
#[ignore = "takes a minute: scripts/test/test-soak"]
fn resources_are_constant_over_a_day_of_an_updater() {
    let begin = Instant::now();
    let day = Day::start();
    day.boot_three_times();
    day.node.run(Refresh).unwrap();

    // From here on there is only one process.
    let requests_before = day.node.requests().len();
    day.node.events(Duration::ZERO);
    let mut updater = day.updater();
    let process = updater.child.id();
    updater.wait_for("event=serving_metrics");
    let port = Record::read(Format::Logfmt, updater.log.last().unwrap());
    let port: u16 = port.get("port").parse().unwrap();
    updater.wait_for("event=nothing_to_do");
    let (rounds, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut samples = Vec::new();
    thread::scope(|scope| {
        /// Ends the scrapes if a round fails.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(thread::panicking(), Ordering::Relaxed);
            }
        }
        scope.spawn(|| scrape_for_a_day(port, &rounds, &over));
        let _end = End(&over);
        for round in 0..ROUNDS {
            day.round(&mut updater, round);
            rounds.fetch_add(1, Ordering::Relaxed);
            samples.push(Sample::of(process));
        }
        let left = CYCLES.saturating_sub(cycles(&updater.log));
        wait_for_cycles(&mut updater, left);
    });
    let last = Sample::of(process);
    let (status, page) = get(port, "/metrics");
    assert_eq!(status, 200);
    let page = Page::read(&page);
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    assert_eq!(children.unwrap_or_default(), "");
    assert_eq!(fs::read_dir(format!("/proc/{process}/task")).unwrap().count(), 1);
    let outcome = updater.stop(Signal::TERM);
    assert_eq!(outcome.status, Some(0));
    assert_eq!(day.files(), ["state"]);

    for sample in samples.iter().skip(1).chain([&last]) {
        let first = samples[0];
        // One page is not a leak. The other figures depend on the kernel, which maps more
        // or less of the program's file.
        let flat = sample.private_dirty <= first.private_dirty + 4
            && sample.descriptors <= first.descriptors;
        assert!(flat, "the process grows: {samples:?}, {last:?}");
    }
    let counted = assert_counters(&day, &page, &outcome.records, requests_before);
    println!(
        "a day in {:?}: {counted}\nafter one round {}\nat the end      {}",
        begin.elapsed(),
        samples[0].text(),
        last.text(),
    );
}

/// Checks that the metrics agree with the log and with the requests that the node received.
#[track_caller]
fn assert_counters(day: &Day, page: &Page, records: &[Record], requests_before: usize) -> String {
    let calls = page.get("updater_events_total{event=\"api_call\"}");
    // Only the records before the page was written.
    let mut seen = 0.0;
    let records: Vec<_> = records
        .iter()
        .take_while(|record| {
            seen += f64::from(record.get("event") == "api_call");
            seen <= calls && record.get("event") != "stopped"
        })
        .collect();
    let mut events = BTreeMap::new();
    for record in &records {
        *events.entry(record.get("event")).or_insert(0.0) += 1.0;
    }
    for (name, _) in page.find("updater_events_total") {
        let event = name.split('"').nth(1).unwrap();
        let counted = match event {
            // The outcome of a run does not contain this record.
            "configuration" => 1.0,
            _ => events.get(event).copied().unwrap_or_default(),
        };
        assert_eq!(page.get(name), counted, "{event}");
    }
    let answers = records.iter().filter(|record| !record.get("answer").is_empty()).count();
    let requests = day.node.requests();
    let (own, answered) = (&requests[requests_before..], answers);
    let own = own.iter().filter(|request| request.status.is_some()).count();
    // A few more may be in progress.
    let close = |more: usize, less: usize| (less..=less + 3).contains(&more);
    assert!(close(own, answered), "{own} requests, {answered} answers");
    let mut ended = BTreeMap::new();
    for event in day.node.events(Duration::ZERO) {
        if let EventKind::Ended { command, exit_status, .. } = event.kind {
            let outcome = if exit_status == 0 { "success" } else { "failed" };
            *ended.entry((command.name(), outcome)).or_insert(0) += 1;
        }
    }
    for command in [Refresh, Prepare, Activate] {
        for outcome in ["success", "failed"] {
            let name = command.name();
            let sample =
                format!("update_commands_total{{command=\"{name}\",outcome=\"{outcome}\"}}");
            let (ended, counted) =
                (ended.get(&(name, outcome)).copied().unwrap_or_default(), page.get(&sample));
            assert!(close(ended, counted as usize), "{name} {outcome}: {ended}, {counted}");
        }
    }
    let ends: f64 = CYCLE_ENDS.iter().filter_map(|event| events.get(event)).sum();
    assert!(ends as usize >= CYCLES, "{ends}");
    let lines = records.len();
    format!("{ends} cycles, {calls} calls, {lines} lines, {SCRAPES} scrapes, {} probes", 3 * PROBES)
}

/// The number of runs of the checker.
fn checks() -> usize {
    std::env::var("SOAK_CHECKS").map_or(10_000, |text| text.parse().expect("SOAK_CHECKS"))
}

/// Faults in one answer, each with the exit status of the checker. Without a fault, the
/// state decides.
fn cases(number: usize) -> [(Option<Fault>, Option<i32>); 6] {
    let refused = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nno";
    [
        (None, None),
        (Some(Fault::raw(refused)), Some(3)),
        (Some(Fault::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\"Ready\" {}")), Some(3)),
        // Always before the end of the answer.
        (Some(Fault::Cut(number % 90, Then::Close)), Some(3)),
        (Some(Fault::close()), Some(3)),
        (None, None),
    ]
}

#[test]
#[ignore = "takes minutes: scripts/test/test-soak"]
fn checker_is_right_in_many_runs() {
    let (begin, checks) = (Instant::now(), checks());
    let done = AtomicUsize::new(0);
    let statuses: Vec<BTreeMap<i32, usize>> = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| check_until(checks, &done)));
        threads.map(|thread| thread.join().unwrap()).into()
    });
    let mut all = BTreeMap::new();
    for (status, count) in statuses.iter().flatten() {
        *all.entry(*status).or_insert(0) += count;
    }
    assert!(all.values().sum::<usize>() >= checks, "{all:?}");
    println!("the checker in {:?}: exit statuses {all:?}", begin.elapsed());
}

/// Runs the checker with each state and fault in turn, until all threads together have
/// reached this number. Returns how often each exit status occurred.
fn check_until(checks: usize, done: &AtomicUsize) -> BTreeMap<i32, usize> {
    let node = Node::start(Node::instant());
    let mut statuses = BTreeMap::new();
    let mut check = |fault: Option<Fault>, expected: i32| {
        let label = format!("{fault:?} in {:?}", node.look(|view| view.node.state()));
        if let Some(fault) = fault {
            node.inject(fault);
        }
        let ran = run(&mut node.program("checker"));
        assert_eq!(ran.status, Some(expected), "{label}: {ran:?}");
        assert_eq!(ran.stdout.starts_with("yes: "), expected == 0, "{label}: {ran:?}");
        *statuses.entry(expected).or_insert(0) += 1;
        done.fetch_add(1, Ordering::Relaxed) + 1
    };
    let mut number = 0;
    let steps: [fn(&Node); 5] = [
        |node| {
            node.run(Action::Reboot).unwrap();
            node.change(|node, _| node.options.running = "1.26.0".into());
        },
        |node| {
            let offer = node.change(|node, _| std::mem::take(&mut node.options.offer));
            node.run(Refresh).unwrap();
            node.change(|node, _| node.options.offer = offer);
        },
        |node| node.run(Refresh).unwrap(),
        |node| node.run(Prepare).unwrap(),
        |node| node.run(Activate).unwrap(),
    ];
    let states =
        [None, Some(State::Idle), Some(State::Available), Some(State::Staged), Some(State::Ready)];
    loop {
        for (step, state) in steps.iter().zip(states) {
            step(&node);
            assert_eq!(node.look(|view| view.node.state()), state);
            let usual = i32::from(state != Some(State::Ready));
            for (fault, status) in cases(number) {
                number += 1;
                if check(fault, status.unwrap_or(usual)) >= checks {
                    return statuses;
                }
            }
            // The checker then waits for a tenth of a second.
            if number % 600 == 0 {
                let busy = "HTTP/1.1 423 Locked\r\ncontent-length: 0\r\n\r\n";
                check(Some(Fault::raw(busy)), usual);
            }
        }
        node.events(Duration::ZERO);
    }
}
