//! Several who use the API of one node at the same time: nobody starves, nobody
//! does harm, and the checker is right at every moment.

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

/// Has an updater look often, and begin at once.
const OFTEN: [&str; 2] = ["-interval=20ms", "-jitter=0s"];

/// What an operator's requests have behind the path, which the API does not look
/// at, and by which they are told apart.
const OPERATOR: &str = "?operator";

/// A node whose commands take long enough for others to get in between.
fn options() -> Options {
    let short = Duration::from_millis(15);
    Options { activate_time: short, deactivate_time: short, ..Options::default() }
}

/// A node that everything is written down of.
struct Watched {
    node: Node,
    harm: Arc<Mutex<Vec<String>>>,
    checks: Mutex<Vec<Check>>,
    said_yes: AtomicUsize,
    over: AtomicBool,
}

/// One run of the checker: when it began and ended, and its exit status.
#[derive(Debug, Clone, Copy)]
struct Check {
    begin: Duration,
    end: Duration,
    status: i32,
}

impl Watched {
    fn new(options: Options, refresh_ready: bool) -> Self {
        let node = Node::start(options);
        let harm = Arc::new(Mutex::new(Vec::new()));
        let found = harm.clone();
        node.before_each(move |node, request| {
            if let Some(what) = harms(node, request, refresh_ready) {
                found.lock().unwrap().push(what);
            }
        });
        let (checks, said_yes) = (Mutex::default(), AtomicUsize::default());
        Self { node, harm, checks, said_yes, over: AtomicBool::new(false) }
    }

    fn now(&self) -> Duration {
        self.node.change(|_, now| now)
    }

    /// Runs the checker again and again, with that pause, until it is over.
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

    /// Does this while the checker runs again and again.
    fn checked(&self, pause: Duration, what: impl FnOnce()) {
        /// Ends the checks, whatever comes of the rest.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        thread::scope(|scope| {
            scope.spawn(|| self.check(pause));
            let _end = End(&self.over);
            what();
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

    /// The node goes down and comes up, and is offered this.
    fn reboot(&self, offer: &str) {
        self.node.run(Action::Reboot).unwrap();
        self.offer(offer);
    }

    fn offer(&self, version: &str) {
        self.node.change(|node, _| node.options.offer = vec![version.into()]);
    }

    /// How often each command has been started, by whomever, and what it comes
    /// to: nobody did harm, and each check was right.
    #[track_caller]
    fn judge(&self) -> BTreeMap<&'static str, usize> {
        assert_eq!(*self.harm.lock().unwrap(), Vec::<String>::new());
        let events = self.node.events(Duration::ZERO);
        let checks = self.checks.lock().unwrap();
        assert!(!checks.is_empty());
        let moments = moments(&events);
        for check in checks.iter() {
            assert!(is_right(*check, &moments), "{check:?}: {moments:?}");
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

/// What is wrong with an updater's request at this moment, if anything is.
fn harms(node: &Simulated, request: &Request, refresh_ready: bool) -> Option<String> {
    let is = |action: Action| request.method == "POST" && request.path == action.path();
    let status = node.status();
    let staged = status.and_then(|status| status.staging.as_ref()).map(|staged| &staged.image);
    let chosen = status.and_then(|status| status.chosen.as_ref());
    let state = node.state();
    let wrong = is(Action::Reboot)
        || is(Activate) && (staged.is_none() || staged != chosen)
        || is(Prepare) && chosen.is_none()
        || is(Deactivate) && (!refresh_ready || state == Some(State::Ready) && staged == chosen);
    wrong.then(|| format!("{request:?} in {state:?}, chosen {chosen:?}, staged {staged:?}"))
}

/// The node from that time on.
#[derive(Debug, Clone, Copy)]
struct Moment {
    from: Duration,
    state: Option<State>,
    busy: bool,
    boots: usize,
}

/// How it went with the node. No two commands may run at the same time.
#[track_caller]
fn moments(events: &[Event]) -> Vec<Moment> {
    let mut last = Moment { from: Duration::ZERO, state: None, busy: false, boots: 0 };
    let mut moments = vec![last];
    for event in events {
        match event.kind {
            EventKind::Started(command) => {
                assert!(!last.busy, "{} is started beside another command", command.name());
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

/// Whether what the checker said was so at some moment between its beginning and
/// its end. While a command runs it waits, and its patience is longer than that.
fn is_right(check: Check, moments: &[Moment]) -> bool {
    let ends = moments[1..].iter().map(|next| next.from).chain([Duration::MAX]);
    let during = moments
        .iter()
        .zip(ends)
        .filter(|(moment, end)| moment.from <= check.end && *end >= check.begin);
    let seen: Vec<_> = during.map(|(moment, _)| moment).collect();
    match check.status {
        0 => seen.iter().any(|moment| moment.state == Some(State::Ready) && !moment.busy),
        1 => seen.iter().any(|moment| moment.state != Some(State::Ready)),
        // A reboot has cut it off.
        3 => seen.iter().any(|moment| moment.boots != seen[0].boots),
        _ => false,
    }
}

#[test]
fn a_check_is_judged() {
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
        // Nobody who has to wait for the end of a command may answer here.
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

/// Has so many updaters update the node three times; each time it is rebooted as
/// soon as the checker has seen that it is Ready, and they with it.
fn update_three_times(watched: &Watched, updaters: usize) {
    for (version, next) in [("1.26.1", "1.26.2"), ("1.26.2", "1.26.3"), ("1.26.3", "1.26.4")] {
        let updaters: Vec<_> = (0..updaters).map(|_| watched.updater(&[])).collect();
        watched.wait_for_ready(version);
        let before = watched.said_yes.load(Ordering::Relaxed);
        let deadline = Instant::now() + LONG;
        // One that has begun before does not count.
        while watched.said_yes.load(Ordering::Relaxed) < before + 2 {
            assert!(Instant::now() < deadline, "the checker does not see it");
            thread::sleep(Duration::from_millis(1));
        }
        for updater in updaters {
            assert_eq!(updater.stop(Signal::TERM).status, Some(0));
        }
        watched.reboot(next);
    }
}

#[test]
fn the_checker_is_right_at_every_moment_of_an_update() {
    let watched = Watched::new(options(), false);
    watched.checked(Duration::ZERO, || {
        update_three_times(&watched, 1);
    });
    let started = watched.judge();
    assert_eq!((started["prepare"], started["activate"]), (3, 3), "{started:?}");
}

#[test]
fn two_updaters_on_one_node() {
    let watched = Watched::new(options(), false);
    watched.checked(Duration::from_millis(20), || {
        update_three_times(&watched, 2);
    });
    let started = watched.judge();
    // One may have looked just before the other one's prepare, and write the same
    // image again. But nothing is activated twice.
    assert!((3..=6).contains(&started["prepare"]), "{started:?}");
    assert_eq!(started["activate"], 3, "{started:?}");
}

#[test]
fn two_updaters_that_replace_what_is_ready() {
    // The API takes a deactivate whoever has activated what meanwhile: this is longer
    // than an updater may be held up between its look and what it does about it.
    let long = Duration::from_millis(500);
    let options = Options { prepare_time: long, activate_time: long, ..options() };
    let watched = Watched::new(options, true);
    watched.checked(Duration::from_millis(20), || {
        let updaters = [(); 2].map(|()| watched.updater(&["-refresh-ready"]));
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
fn two_updaters_on_one_state_directory() {
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
            assert_eq!(one.status, Some(0), "{outcome:?}");
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
        // It did not come up, and nobody tries it again: neither these two, who may
        // have been in each other's way, nor who reads what they have written. That
        // may be half of each; then it is set aside, and forgotten.
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

/// Somebody who does what `apiclient` does, at random.
struct Operator<'a> {
    watched: &'a Watched,
    random: u64,
}

impl Operator<'_> {
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.random >> 33) % end
    }

    /// The status of the answer, which there is in any case.
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

    fn meddle(&mut self) {
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

    /// Does this until it is done: the updater leaves room for others.
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
fn an_updater_beside_an_operator() {
    thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || beside_an_operator(seed));
        }
    });
}

fn beside_an_operator(seed: u64) {
    let watched = Watched::new(options(), false);
    watched.checked(Duration::from_millis(20), || {
        let updater = watched.updater(&[]);
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut operator = Operator { watched: &watched, random };
        operator.meddle();
        operator.insist(Refresh);
        // He takes it back, and the updater is as stubborn.
        watched.wait_for_ready("1.26.1");
        operator.insist(Deactivate);
        watched.wait_for_ready("1.26.1");
        assert_eq!(updater.stop(Signal::TERM).status, Some(0), "seed {seed}");
    });
    watched.judge();
}
