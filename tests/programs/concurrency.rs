//! Several clients use the API of one node at the same time: updaters, an operator, the
//! checker. All make progress, none does harm, and the checker is always right.

use crate::common::daemon::{LONG, Outcome, Running};
use crate::common::records::Format;
use crate::common::{Directory, Node, run};
use bottlerocket_simulator::Command::{self as Action, Activate, Deactivate, Prepare, Refresh};
use bottlerocket_simulator::{Event, EventKind, Node as Simulated, Options, Request, State};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The updater starts its first cycle at once and runs cycles often.
const OFTEN: [&str; 2] = ["-test-interval=20ms", "-jitter=0s"];

/// The query in an operator's requests. The API ignores it, but it distinguishes them from
/// the updater's.
const OPERATOR: &str = "?operator";

/// Options of a node whose commands take long enough for others to interfere.
fn options() -> Options {
    let short = Duration::from_millis(15);
    Options { activate_time: short, deactivate_time: short, ..Options::default() }
}

/// A node, and a record of everything that happens on it.
struct Watched {
    node: Node,
    harm: Arc<Mutex<Vec<String>>>,
    checks: Mutex<Vec<Check>>,
    said_yes: AtomicUsize,
    over: AtomicBool,
    /// Whether a version that is Ready may be replaced.
    may_replace: bool,
}

/// A run of the checker: its begin, its end, and its exit status.
#[derive(Debug, Clone, Copy)]
struct Check {
    begin: Duration,
    end: Duration,
    status: i32,
}

impl Watched {
    fn new(options: Options, may_replace: bool) -> Self {
        let node = Node::start(options);
        let harm = Arc::new(Mutex::new(Vec::new()));
        let found = harm.clone();
        node.before_each(move |node, request| {
            if let Some(description) = harm_of(node, request, may_replace) {
                found.lock().unwrap().push(description);
            }
        });
        let (checks, said_yes) = (Mutex::default(), AtomicUsize::default());
        Self { node, harm, checks, said_yes, over: AtomicBool::new(false), may_replace }
    }

    fn now(&self) -> Duration {
        self.node.change(|_, now| now)
    }

    /// Runs the checker again and again, with this pause, until the test ends.
    fn check(&self, pause: Duration) {
        while !self.over.load(Ordering::Relaxed) {
            let begin = self.now();
            let ran = run(&mut self.node.program("checker"));
            let check = Check { begin, end: self.now(), status: ran.status.unwrap() };
            self.checks.lock().unwrap().push(check);
            self.said_yes.fetch_add(usize::from(check.status == 0), Ordering::Relaxed);
            thread::sleep(pause);
        }
    }

    /// Runs `scenario` while the checker runs again and again.
    fn checked(&self, pause: Duration, scenario: impl FnOnce()) {
        /// Ends the checks, even after a panic.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        thread::scope(|scope| {
            scope.spawn(|| self.check(pause));
            let _end = End(&self.over);
            scenario();
        });
    }

    fn updater(&self, arguments: &[&str]) -> Running {
        Running::start(self.node.program("updater").args(OFTEN).args(arguments))
    }

    #[track_caller]
    fn wait_for_ready(&self, version: &str) {
        let ready = self.node.wait_until(LONG, |view| is_ready(view.node, version));
        assert!(ready, "not Ready with {version}: {:?}", self.node.requested());
    }

    /// Reboots the node. Then this version is available.
    fn reboot(&self, offer: &str) {
        self.node.run(Action::Reboot).unwrap();
        self.offer(offer);
    }

    fn offer(&self, version: &str) {
        self.node.change(|node, _| node.options.offer = vec![version.into()]);
    }

    /// Checks that no request did harm and that each check was right. Returns how often
    /// each command was started.
    #[track_caller]
    fn judge(&self) -> BTreeMap<&'static str, usize> {
        assert_eq!(*self.harm.lock().unwrap(), Vec::<String>::new());
        let events = self.node.events(Duration::ZERO);
        let checks = self.checks.lock().unwrap();
        assert!(!checks.is_empty());
        let moments = moments(&events);
        for check in checks.iter() {
            // The checker also says no while another version is chosen than the one that is
            // Ready.
            let may_be_replaced = self.may_replace && check.status == 1;
            assert!(may_be_replaced || is_right(*check, &moments), "{check:?}: {moments:?}");
        }
        let mut started = BTreeMap::new();
        for event in &events {
            if let EventKind::Started(command) = event.kind {
                *started.entry(command.name()).or_default() += 1;
            }
        }
        started
    }
}

fn is_ready(node: &Simulated, version: &str) -> bool {
    let staged = node.status().and_then(|status| status.staging.as_ref());
    let is_it = staged.is_some_and(|staged| staged.image.version == version);
    is_it && node.state() == Some(State::Ready) && node.busy().is_none()
}

/// Describes the harm that an updater's request does at this moment, if it does.
fn harm_of(node: &Simulated, request: &Request, may_replace: bool) -> Option<String> {
    let is = |action: Action| request.method == "POST" && request.path == action.path();
    let status = node.status();
    let staged = status.and_then(|status| status.staging.as_ref()).map(|staged| &staged.image);
    let chosen = status.and_then(|status| status.chosen.as_ref());
    let state = node.state();
    let wrong = is(Action::Reboot)
        || is(Activate) && (staged.is_none() || staged != chosen)
        || is(Prepare) && chosen.is_none()
        || is(Deactivate) && (!may_replace || state == Some(State::Ready) && staged == chosen);
    wrong.then(|| format!("{request:?} in {state:?}, chosen {chosen:?}, staged {staged:?}"))
}

/// The state of the node from a time on.
#[derive(Debug, Clone, Copy)]
struct Moment {
    from: Duration,
    state: Option<State>,
    busy: bool,
    boots: usize,
}

/// The states of the node. Checks that no two commands run at the same time.
#[track_caller]
fn moments(events: &[Event]) -> Vec<Moment> {
    let mut last = Moment { from: Duration::ZERO, state: None, busy: false, boots: 0 };
    let mut moments = vec![last];
    for event in events {
        match event.kind {
            EventKind::Started(command) => {
                assert!(!last.busy, "{} started while another command was running", command.name());
                last.busy = true;
            }
            EventKind::Ended { .. } => last.busy = false,
            EventKind::Changed { to, .. } => last.state = to,
            EventKind::Booted { .. } => (last.boots, last.busy) = (last.boots + 1, false),
            _ => continue,
        }
        last.from = event.at;
        moments.push(last);
    }
    moments
}

/// Whether the checker's answer was true at some moment between its begin and its end. While
/// a command runs, the checker waits, and its timeout is longer than any command.
fn is_right(check: Check, moments: &[Moment]) -> bool {
    let ends = moments[1..].iter().map(|next| next.from).chain([Duration::MAX]);
    let during = moments
        .iter()
        .zip(ends)
        .filter(|(moment, end)| moment.from <= check.end && *end >= check.begin);
    let seen: Vec<_> = during.map(|(moment, _)| moment).collect();
    match check.status {
        0 => seen.iter().any(|moment| moment.state == Some(State::Ready) && !moment.busy),
        1 => {
            // With two updaters that refresh all the time, each look of a check may find the
            // lock held, until the timeout of 10 s.
            let is_locked_out = check.end - check.begin > Duration::from_secs(9);
            seen.iter()
                .any(|moment| moment.state != Some(State::Ready) || is_locked_out && moment.busy)
        }
        // A reboot closed its connection.
        3 => seen.iter().any(|moment| moment.boots != seen[0].boots),
        _ => false,
    }
}

#[test]
fn only_true_answers_are_right() {
    let at = Duration::from_secs;
    let moment = |from, state, busy, boots| Moment { from: at(from), state, busy, boots };
    let ready = Some(State::Ready);
    let moments = [
        moment(0, None, false, 0),
        moment(10, None, true, 0),
        moment(20, ready, false, 0),
        moment(30, ready, true, 0),
        moment(40, None, false, 1),
    ];
    for (begin, end, right) in [
        (1, 2, &[1][..]),
        (11, 19, &[1]),
        (11, 21, &[0, 1]),
        (21, 29, &[0]),
        // A command runs all the time, so there is no right answer.
        (31, 39, &[]),
        (29, 31, &[0]),
        (31, 41, &[1, 3]),
        (41, 42, &[1]),
    ] {
        for status in 0..5 {
            let check = Check { begin: at(begin), end: at(end), status };
            assert_eq!(is_right(check, &moments), right.contains(&status), "{check:?}");
        }
    }
}

/// Lets this number of updaters update the node three times. Each time, the node and the
/// updaters are restarted when the checker has seen that the node is Ready.
fn update_three_times(watched: &Watched, updaters: usize) {
    for (version, next) in [("1.26.1", "1.26.2"), ("1.26.2", "1.26.3"), ("1.26.3", "1.26.4")] {
        let updaters: Vec<_> = (0..updaters).map(|_| watched.updater(&[])).collect();
        watched.wait_for_ready(version);
        let before = watched.said_yes.load(Ordering::Relaxed);
        let deadline = Instant::now() + LONG;
        // The first of them may have started before the node was Ready.
        while watched.said_yes.load(Ordering::Relaxed) < before + 2 {
            assert!(Instant::now() < deadline, "the checker does not say yes");
            thread::sleep(Duration::from_millis(1));
        }
        for updater in updaters {
            assert_eq!(updater.stop(Signal::TERM).status, Some(0));
        }
        watched.reboot(next);
    }
}

#[test]
fn checker_is_right_at_every_moment_of_an_update() {
    let watched = Watched::new(options(), false);
    watched.checked(Duration::ZERO, || {
        update_three_times(&watched, 1);
    });
    let started = watched.judge();
    assert_eq!((started["prepare"], started["activate"]), (3, 3), "{started:?}");
}

#[test]
fn two_updaters_activate_each_version_once() {
    let watched = Watched::new(options(), false);
    watched.checked(Duration::from_millis(20), || {
        update_three_times(&watched, 2);
    });
    let started = watched.judge();
    // An updater may have read the status just before the other one's prepare, and prepare
    // the same image again. But no version is activated twice.
    assert!((3..=6).contains(&started["prepare"]), "{started:?}");
    assert_eq!(started["activate"], 3, "{started:?}");
}

#[test]
fn two_updaters_replace_a_ready_version_once() {
    // The API accepts a deactivate even if another client has activated another version in
    // the meantime. So the commands take longer than an updater may be delayed between its
    // status request and its command.
    let long = Duration::from_millis(500);
    let options = Options { prepare_time: long, activate_time: long, ..options() };
    let watched = Watched::new(options, true);
    watched.checked(Duration::from_millis(20), || {
        let updaters = [(); 2].map(|()| watched.updater(&[]));
        watched.wait_for_ready("1.26.1");
        watched.offer("1.26.2");
        watched.wait_for_ready("1.26.2");
        for updater in updaters {
            assert_eq!(updater.stop(Signal::TERM).status, Some(0));
        }
    });
    let started = watched.judge();
    let once = ["activate", "deactivate"].map(|command| started[command]);
    assert_eq!(once, [2, 1], "{started:?}");
}

#[test]
fn two_updaters_share_a_state_directory() {
    let directory = Directory::new();
    let boot_id = directory.path().join("boot_id");
    let state_dir = directory.path().join("state-dir");
    fs::create_dir(&state_dir).unwrap();
    let options = Options { boot_id_file: Some(boot_id.clone()), ..options() };
    let watched = Watched::new(options, false);
    watched.node.change(|node, _| node.options.no_boot = vec!["1.26.3".into()]);
    let one_time = || {
        let mut command = watched.node.program("updater");
        command.arg("-one-time").arg("-state-dir").arg(&state_dir).arg("-boot-id").arg(&boot_id);
        Outcome::of(run(&mut command), Format::Logfmt)
    };
    let both = || {
        let outcome = thread::scope(|scope| {
            [scope.spawn(one_time), scope.spawn(one_time)].map(|one| one.join().unwrap())
        });
        for one in &outcome {
            // The version that did not boot waits for the end of its hold-back.
            let waits = one.records.iter().any(|record| record.get("event") == "held_back");
            assert_eq!(one.status, Some(i32::from(waits)), "{outcome:?}");
        }
        outcome
    };
    watched.checked(Duration::from_millis(20), || {
        for (version, next) in [("1.26.1", "1.26.2"), ("1.26.2", "1.26.3"), ("1.26.3", "1.26.3")] {
            let outcome = both();
            let wrong = |one: &Outcome| one.records.iter().any(|r| r.get("event") == "rolled_back");
            assert!(!outcome.iter().any(wrong), "{outcome:?}");
            watched.wait_for_ready(version);
            watched.reboot(next);
        }
        // The version did not boot. Neither these two updaters nor a third one retries it.
        // If both wrote the state file at the same time, it may be damaged. Then it is
        // renamed, and the state is lost.
        let outcome = both().into_iter().chain([one_time()]);
        if !state_dir.join("state.damaged").exists() {
            for outcome in outcome {
                let events: Vec<_> = outcome.records.iter().map(|r| r.get("event")).collect();
                assert!(events.contains(&"held_back"), "{outcome:?}");
                assert!(!events.contains(&"preparing"), "{outcome:?}");
            }
            assert_eq!(watched.node.look(|view| view.node.state()), Some(State::Available));
        }
    });
    watched.judge();
}

/// An operator who runs random commands of `apiclient`.
struct Operator<'a> {
    watched: &'a Watched,
    random: u64,
}

impl Operator<'_> {
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.random >> 33) % end
    }

    /// Sends a request, and returns the status of the answer.
    fn call(&self, method: &str, path: &str) -> u16 {
        let mut stream = UnixStream::connect(self.watched.node.path()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let request = format!(
            "{method} {path}{OPERATOR} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap()
    }

    fn send(&self, action: Action) -> u16 {
        let status = self.call("POST", action.path());
        assert!([204, 404, 409, 423].contains(&status), "{} {status}", action.name());
        status
    }

    fn run_random_commands(&mut self) {
        for _ in 0..100 {
            match self.below(5) {
                0 => {
                    let status = self.call("GET", "/updates/status");
                    assert!([200, 404, 423].contains(&status), "{status}");
                }
                number => {
                    let actions = [Refresh, Prepare, Activate, Deactivate];
                    self.send(actions[number as usize - 1]);
                }
            }
            thread::sleep(Duration::from_millis(self.below(20)));
        }
    }

    /// Retries a command until it is accepted: the updater must not block other clients.
    #[track_caller]
    fn insist(&self, action: Action) {
        let deadline = Instant::now() + LONG;
        while self.send(action) != 204 {
            assert!(Instant::now() < deadline, "no {} for {LONG:?}", action.name());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn updater_and_operator_both_make_progress() {
    thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || run_beside_an_operator(seed));
        }
    });
}

fn run_beside_an_operator(seed: u64) {
    let watched = Watched::new(options(), false);
    watched.checked(Duration::from_millis(20), || {
        let updater = watched.updater(&[]);
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut operator = Operator { watched: &watched, random };
        operator.run_random_commands();
        operator.insist(Refresh);
        // The operator deactivates the update, and the updater activates it again.
        watched.wait_for_ready("1.26.1");
        operator.insist(Deactivate);
        watched.wait_for_ready("1.26.1");
        assert_eq!(updater.stop(Signal::TERM).status, Some(0), "seed {seed}");
    });
    watched.judge();
}
