//! Whole runs of `bottlerocket-updater` against a simulated node.

use crate::common::daemon::{AT_ONCE, LONG, Running, Told, pid};
use crate::common::records::{Format, Record};
use crate::common::{Directory, leave_stale_socket, program, run};
use bottlerocket_simulator::Command::{self as Action, Activate, Deactivate, Prepare, Refresh};
use bottlerocket_simulator::State::{self, Ready, Staged};
use bottlerocket_simulator::{
    Ending, Fault, Lock, MANUAL, Options, Request, Rule, Simulator, Then,
};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A simulated node, and what these tests do with one.
struct Node {
    simulator: crate::common::Node,
}

impl Node {
    fn new(options: Options) -> Self {
        Self { simulator: crate::common::Node::start(options) }
    }

    fn run(&self, actions: &[Action]) {
        for action in actions {
            self.simulator.run(*action).expect("the command is allowed");
        }
    }

    /// Somebody else's command that runs until told.
    fn begin(&self, action: Action) {
        self.set_time(action, MANUAL);
        let mut stream = UnixStream::connect(self.simulator.path()).unwrap();
        let request = format!("POST {} HTTP/1.1\r\nHost: localhost\r\n\r\n", action.path());
        stream.write_all(request.as_bytes()).unwrap();
        self.wait_for_busy(action);
    }

    fn set_time(&self, action: Action, time: Duration) {
        self.simulator.change(|node, _| *node.options.time(action) = time);
    }

    /// Whatever is running ends, and nothing runs until told any more.
    fn finish(&self) {
        for action in [Refresh, Prepare, Activate, Deactivate] {
            self.set_time(action, Duration::ZERO);
        }
        self.simulator.finish();
    }

    #[track_caller]
    fn wait_for_busy(&self, action: Action) {
        let busy = self.simulator.wait_until(LONG, |view| view.node.busy() == Some(action));
        assert!(busy, "no {} within {LONG:?}", action.name());
    }

    #[track_caller]
    fn wait_for_state(&self, state: State) {
        let there = self.simulator.wait_until(LONG, |view| view.node.state() == Some(state));
        assert!(there, "not {state:?} within {LONG:?}");
    }

    /// Waits until the status has been asked for so many times more.
    #[track_caller]
    fn wait_for_looks(&self, count: usize) {
        let looks = self.simulator.look(|view| view.count("GET", "/updates/status"));
        let looked = |view: &bottlerocket_simulator::View| {
            view.count("GET", "/updates/status") >= looks + count
        };
        assert!(self.simulator.wait_until(LONG, looked), "{:?}", self.requests());
    }

    fn state(&self) -> Option<State> {
        self.simulator.look(|view| view.node.state())
    }

    /// All requests and the answers' codes, as in `GET 423` and `prepare 204`.
    fn requests(&self) -> Vec<String> {
        self.simulator.requests().iter().map(in_short).collect()
    }

    fn updater(&self, arguments: &[&str]) -> Command {
        updater(self.simulator.path(), arguments)
    }

    /// A run of one cycle.
    fn one_time(&self, arguments: &[&str]) -> Told {
        Told::of(run(self.updater(&["-one-time"]).args(arguments)), Format::Logfmt)
    }
}

fn in_short(request: &Request) -> String {
    let actions = [Refresh, Prepare, Activate, Deactivate, Action::Reboot];
    let what = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/updates/status") => "GET",
        ("POST", path) => {
            actions.iter().find(|action| action.path() == path).expect("a call of the API").name()
        }
        _ => panic!("not a call of the API: {request:?}"),
    };
    match request.status {
        Some(status) => format!("{what} {status}"),
        None => format!("{what} lost"),
    }
}

/// A node whose commands end as soon as somebody looks.
fn instant() -> Options {
    crate::common::Node::instant()
}

/// Tries all cases at the same time: they wait more than they work.
fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, try_case: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| try_case(case));
        }
    });
}

fn updater(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = program("updater");
    command.arg("-socket").arg(socket).args(arguments);
    command
}

/// What is told of the default node. `_` is a duration.
const FOUND: &str = "info: update found, preparing it running=1.26.0 version=1.26.1 \
                     variant=aws-k8s-1.30 arch=x86_64";
const PREPARED: &str = "info: prepared version=1.26.1 took=_";
const ACTIVATED: &str = "info: activated version=1.26.1 took=_";
const READY: &str = "info: ready, waiting for the reboot state=Ready next=1.26.1 running=1.26.0 \
                     variant=aws-k8s-1.30 arch=x86_64";
const NOTHING: &str = "info: nothing to do state=Idle running=1.26.0 variant=aws-k8s-1.30 \
                       arch=x86_64";
const BUSY: &str = "info: an update command is running, waiting for it";
const BACK: &str = "info: the API is available again after=_";
const WHOLE_UPDATE: [&str; 4] = [FOUND, PREPARED, ACTIVATED, READY];

#[test]
fn one_cycle_from_every_state() {
    type Setup = fn(&Node);
    let no_offer: Setup = |node| node.simulator.change(|node, _| node.options.offer.clear());
    let cases: &[(&str, Setup, &[&str], &[&str])] = &[
        (
            "no status",
            |_| (),
            &[
                "GET 404",
                "refresh 204",
                "GET 200",
                "prepare 204",
                "GET 200",
                "activate 204",
                "GET 200",
            ],
            &WHOLE_UPDATE,
        ),
        (
            "no status, and nothing on offer",
            no_offer,
            &["GET 404", "refresh 204", "GET 200"],
            &[NOTHING],
        ),
        (
            "Idle",
            |node| {
                node.simulator.change(|node, _| node.options.offer.clear());
                node.run(&[Refresh]);
            },
            &["GET 200", "refresh 204", "GET 200"],
            &[NOTHING],
        ),
        (
            "Idle, because the last refresh failed",
            |node| {
                node.simulator.change(|node, _| node.fail_next(Refresh, 1, "no network"));
                node.run(&[Refresh]);
            },
            &[
                "GET 200",
                "refresh 204",
                "GET 200",
                "prepare 204",
                "GET 200",
                "activate 204",
                "GET 200",
            ],
            &WHOLE_UPDATE,
        ),
        (
            "Available",
            |node| node.run(&[Refresh]),
            &[
                "GET 200",
                "refresh 204",
                "GET 200",
                "prepare 204",
                "GET 200",
                "activate 204",
                "GET 200",
            ],
            &WHOLE_UPDATE,
        ),
        (
            "Available, and withdrawn",
            |node| {
                node.run(&[Refresh]);
                node.simulator.change(|node, _| node.options.offer.clear());
            },
            &["GET 200", "refresh 204", "GET 200"],
            &[NOTHING],
        ),
        (
            "Staged",
            |node| node.run(&[Refresh, Prepare]),
            &["GET 200", "refresh 204", "GET 200", "activate 204", "GET 200"],
            &[ACTIVATED, READY],
        ),
        (
            "Staged, and another version is chosen now",
            |node| {
                node.simulator.change(|node, _| node.options.offer = vec!["1.26.0-old".into()]);
                node.run(&[Refresh, Prepare]);
                node.simulator.change(|node, _| node.options.offer = vec!["1.26.1".into()]);
            },
            &[
                "GET 200",
                "refresh 204",
                "GET 200",
                "prepare 204",
                "GET 200",
                "activate 204",
                "GET 200",
            ],
            &WHOLE_UPDATE,
        ),
        (
            "Staged, and withdrawn",
            |node| {
                node.run(&[Refresh, Prepare]);
                node.simulator.change(|node, _| node.options.offer.clear());
            },
            &["GET 200", "refresh 204", "GET 200"],
            &["info: nothing to do state=Staged running=1.26.0 variant=aws-k8s-1.30 arch=x86_64"],
        ),
        ("Ready", |node| node.run(&[Refresh, Prepare, Activate]), &["GET 200"], &[READY]),
        (
            "Ready, and another version is chosen now",
            |node| {
                node.run(&[Refresh, Prepare, Activate]);
                node.simulator.change(|node, _| node.options.offer.push("1.26.2".into()));
            },
            &["GET 200"],
            &[READY],
        ),
    ];
    side_by_side(cases, |(name, setup, requests, story)| {
        let node = Node::new(instant());
        setup(&node);
        let told = node.one_time(&[]);
        assert_eq!(told.story(), *story, "{name}");
        assert_eq!(told.status, Some(0), "{name}");
        assert_eq!(node.requests(), *requests, "{name}");
        let state = told.records.last().unwrap().get("state");
        assert_eq!(node.state().map(State::name), Some(state), "{name}");
    });
}

#[test]
fn what_is_ready_is_replaced_only_when_that_is_wanted() {
    let node = Node::new(instant());
    node.run(&[Refresh, Prepare, Activate]);
    node.one_time(&["-refresh-ready"]).is(0, &[READY]);
    assert_eq!(node.requests(), ["GET 200", "refresh 204", "GET 200"]);

    node.simulator.change(|node, _| node.options.offer.push("1.26.2".into()));
    node.one_time(&["-refresh-ready"]).is(
        0,
        &[
            "info: deactivated because another version was chosen version=1.26.1 took=_",
            "info: update found, preparing it running=1.26.0 version=1.26.2 \
             variant=aws-k8s-1.30 arch=x86_64",
            "info: prepared version=1.26.2 took=_",
            "info: activated version=1.26.2 took=_",
            "info: ready, waiting for the reboot state=Ready next=1.26.2 running=1.26.0 \
             variant=aws-k8s-1.30 arch=x86_64",
        ],
    );
    let second = [
        "GET 200",
        "refresh 204",
        "GET 200",
        "deactivate 204",
        "GET 200",
        "prepare 204",
        "GET 200",
        "activate 204",
        "GET 200",
    ];
    assert_eq!(node.requests()[3..], second);
}

/// Somebody else's command at the start is waited for, and what it leaves
/// behind is used.
#[test]
fn somebody_elses_command_is_waited_for() {
    let rest_after_refresh = ["prepare 204", "GET 200", "activate 204", "GET 200"];
    side_by_side(
        [
            (&[][..], Refresh, &WHOLE_UPDATE[..], &rest_after_refresh[..]),
            (&[Refresh], Prepare, &[ACTIVATED, READY], &rest_after_refresh[2..]),
            (&[Refresh, Prepare], Activate, &[READY], &[]),
            (
                &[Refresh, Prepare, Activate],
                Deactivate,
                &[ACTIVATED, READY],
                &rest_after_refresh[2..],
            ),
        ],
        |(before, action, story, rest)| {
            let node = Node::new(instant());
            node.run(before);
            node.begin(action);
            let mut updater = Running::start(&mut node.updater(&["-one-time"]));
            updater.wait_for("an update command is running");
            node.wait_for_looks(2);
            node.finish();
            let told = updater.end();
            assert_eq!(told.story(), [&[BUSY], story].concat(), "{}", action.name());
            assert_eq!(told.status, Some(0));
            let mut requests = node.requests();
            // How often it looked depends on how fast this machine is.
            requests.retain(|request| request != "GET 423");
            let own = format!("{} 204", action.name());
            let looks_and_refreshes = &["GET 200", "refresh 204", "GET 200"];
            let begin = if action == Activate { &["GET 200"][..] } else { looks_and_refreshes };
            let expected: Vec<&str> = [&[own.as_str()], begin, rest].concat();
            assert_eq!(requests, expected, "{}", action.name());
        },
    );
}

#[test]
fn a_lock_that_starts_before_a_command_is_waited_for() {
    side_by_side([Refresh, Prepare, Activate], |action| {
        let node = Node::new(instant());
        // Somebody takes the lock as a reader just before the command comes,
        // and lets it go before the second time.
        let mut times = 0;
        node.simulator.before_each(move |node, request| {
            if request.path == action.path() {
                times += 1;
                node.set_lock(Some(Lock::Shared).filter(|_| times < 3));
            }
        });
        let mut story = WHOLE_UPDATE.to_vec();
        let at = match action {
            Refresh | Prepare => 0,
            _ => 2,
        };
        story.insert(at, BUSY);
        node.one_time(&[]).is(0, &story);
        let refused = format!("{} 423", action.name());
        let requests = node.requests();
        assert_eq!(requests.iter().filter(|request| **request == refused).count(), 2);
        assert_eq!(requests.iter().filter(|request| request.contains("423")).count(), 2);
    });
}

#[test]
fn a_lock_that_nobody_lets_go() {
    let timeouts = [
        "-refresh-timeout=1s",
        "-prepare-timeout=1s",
        "-activate-timeout=300ms",
        "-deactivate-timeout=1s",
    ];
    side_by_side([Lock::Exclusive, Lock::Shared], |lock| {
        let node = Node::new(instant());
        node.simulator.set_lock(Some(lock));
        node.one_time(&timeouts).is(
            3,
            &[
                BUSY,
                "error: timed out waiting for the running update command \
                 after=_",
            ],
        );
    });
}

#[test]
fn refusals_are_decided_anew() {
    // Just before the prepare, somebody else prepares.
    let node = Node::new(instant());
    let mut first = true;
    node.simulator.before_each(move |node, request| {
        if request.path == Activate.path() && std::mem::take(&mut first) {
            node.run(Activate, request.at).unwrap();
        }
    });
    node.one_time(&[]).is(0, &[FOUND, PREPARED, READY]);
    assert_eq!(node.requests()[5..], ["activate 409", "GET 200"]);

    // Just before the prepare, what was chosen is withdrawn.
    let node = Node::new(instant());
    node.simulator.before_each(|node, request| {
        if request.path == Prepare.path() {
            node.options.offer.clear();
            node.run(Refresh, request.at).unwrap();
        }
    });
    node.one_time(&[]).is(0, &[NOTHING]);
    assert_eq!(node.requests()[3..], ["prepare 409", "GET 200"]);

    // Staged, and nothing is chosen when the command comes.
    let node = Node::new(instant());
    node.run(&[Refresh, Prepare]);
    node.simulator.change(|node, _| node.options.offer = vec!["1.26.2".into()]);
    let mut offer = vec!["1.26.2".to_string()];
    node.simulator.before_each(move |node, request| {
        if request.path == Prepare.path() {
            node.options.offer = std::mem::take(&mut offer).split_off(1);
            node.run(Refresh, request.at).unwrap();
        }
    });
    node.one_time(&[]).is(
        0,
        &["info: nothing to do state=Staged running=1.26.0 variant=aws-k8s-1.30 arch=x86_64"],
    );
    assert_eq!(node.requests()[3..], ["prepare 404", "GET 200"]);

    // Never allowed, although the state asks for it.
    let node = Node::new(instant());
    let refusal = "HTTP/1.1 409 Conflict\r\ncontent-length: 3\r\n\r\nno!";
    node.simulator.inject(Rule::from(Fault::raw(refusal)).on("POST", Prepare.path()).forever());
    node.one_time(&[]).is(
        3,
        &["error: the API refused the command command=prepare \
           error=the API returned 409: no!"],
    );
    assert_eq!(node.requests().iter().filter(|request| *request == "prepare lost").count(), 4);
}

/// Everything that a terminal, a log collector or a parser may choke on.
fn ugly() -> String {
    let mut ugly =
        String::from("first: \"quoted\" \\ back\\slash\r\n\ttab \u{1b}[31mred\u{1b}[0m ");
    for number in 0..5_000 {
        ugly.push_str(&format!("{number} \"\\\"\\ {{}}=\u{1}\u{7f}\u{9b}31m\u{2028}☃\u{202e}é\n"));
    }
    ugly.push_str("level=info msg=\"ready\"\n{\"level\":\"info\"}\nlast: no space left\n\n");
    assert!(ugly.len() > 150_000);
    ugly
}

#[test]
fn failures_are_told_in_one_readable_line() {
    let ugly = ugly();
    side_by_side(
        [
            (&[][..], Refresh, &[][..]),
            (&[], Prepare, &[FOUND]),
            (&[], Activate, &[FOUND, PREPARED]),
            (&[Refresh, Prepare, Activate], Deactivate, &[]),
        ],
        |(before, action, story)| {
            for format in [Format::Logfmt, Format::Json] {
                let node = Node::new(instant());
                node.run(before);
                node.simulator.change(|node, _| {
                    node.fail_always(action, 17, &ugly);
                    if action == Deactivate {
                        node.options.offer = vec!["1.26.2".into()];
                    }
                });
                let arguments = ["-one-time", "-refresh-ready", "-log-format", format.name()];
                let told = Told::of(run(&mut node.updater(&arguments)), format);
                assert_eq!(told.status, Some(3));
                let (last, others) = told.records.split_last().unwrap();
                let others: Vec<_> = others.iter().map(Record::story).collect();
                assert_eq!(others, story);
                let fields = ["msg", "command", "status", "exit_status"].map(|key| last.get(key));
                let message = "command failed";
                assert_eq!(fields, [message, action.name(), "Failed", "17"]);
                let stderr = last.get("stderr");
                assert!(
                    stderr.starts_with("first: \"quoted\" \\ back\\slash tab red 0 "),
                    "{stderr}"
                );
                assert!(stderr.contains(" bytes left out] "), "{stderr}");
                let end = "level=info msg=\"ready\" {\"level\":\"info\"} last: no space left";
                assert!(stderr.ends_with(end), "{stderr}");
                assert!((400..600).contains(&stderr.len()), "{}", stderr.len());
                let line_ends = ['\u{2028}', '\u{2029}', '\u{202e}', '\u{fffe}'];
                assert!(!stderr.contains(line_ends), "{stderr}");
                // The failed command was sent once.
                let posts = node.requests();
                let failed = format!("{} 204", action.name());
                assert_eq!(posts.iter().filter(|request| **request == failed).count(), 1);
            }
        },
    );
}

#[test]
fn success_without_effect_is_no_endless_story() {
    let node = Node::new(instant());
    node.simulator.change(|node, _| node.options.endings.push((Prepare, Ending::junk())));
    node.one_time(&[]).is(
        3,
        &[
            FOUND,
            PREPARED,
            "error: commands succeed, but the update makes no progress \
             command=prepare",
        ],
    );
    assert_eq!(node.requests().iter().filter(|request| *request == "prepare 204").count(), 1);
}

#[test]
fn a_command_that_takes_too_long() {
    let overdue = |action: Action| {
        format!(
            "error: command timed out; it may still be running command={} \
             timeout=1s",
            action.name()
        )
    };
    side_by_side(
        [(Refresh, &[][..]), (Prepare, &[FOUND]), (Activate, &[FOUND, PREPARED])],
        |(action, story)| {
            let node = Node::new(instant());
            node.set_time(action, MANUAL);
            let flag = format!("-{}-timeout=1s", action.name());
            let told = node.one_time(&[&flag]);
            let overdue = overdue(action);
            told.is(3, &[story, &[overdue.as_str()]].concat());
            // What the node does goes on, and the next start waits for it.
            assert_eq!(node.simulator.look(|view| view.node.busy()), Some(action));
            let mut updater = Running::start(&mut node.updater(&["-one-time"]));
            updater.wait_for("an update command is running");
            node.finish();
            assert_eq!(updater.end().status, Some(0));
            assert_eq!(node.state(), Some(Ready));
        },
    );
}

fn cannot_be_used(call: &str, error: &str, socket: &Path) -> String {
    let socket = socket.display();
    format!("error: the API is unavailable call={call} error={error} socket={socket}")
}

const MISSING: &str = "cannot connect: no such file or directory (is this a Bottlerocket node, \
                       and is the socket mounted here?)";
const REFUSED: &str = "cannot connect: connection refused (is the API server running? if it has made \
                       a new socket, restart the container that still mounts the old one)";

#[test]
fn one_cycle_waits_for_no_socket() {
    let directory = Directory::new();
    let missing = directory.socket();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let below_a_file = file.join("api.sock");
    let stale = directory.path().join("stale");
    leave_stale_socket(&stale);
    let not_a_directory = MISSING.replace("no such file or directory", "not a directory");
    let long = directory.path().join("x".repeat(200));
    for (socket, error) in [
        (&missing, MISSING),
        (&below_a_file, &not_a_directory),
        (&stale, REFUSED),
        (&file, REFUSED),
        (&long, "cannot connect: name too long"),
    ] {
        let begin = Instant::now();
        let told = Told::of(run(&mut updater(socket, &["-one-time"])), Format::Logfmt);
        told.is(3, &[&cannot_be_used("status", error, socket)]);
        assert!(begin.elapsed() < LONG / 2, "{:?}", begin.elapsed());
    }
}

#[test]
fn answers_of_no_use_end_a_cycle() {
    let unknown_state = {
        let body = "{\"update_state\":\"Melting\"}";
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    side_by_side(
        [
            ("status", Fault::close(), "connection closed before a response"),
            (
                "status",
                Fault::raw("HTTP/1.1 500 \r\ncontent-length: 3\r\n\r\nwhy"),
                "the API returned 500: why",
            ),
            (
                "status",
                Fault::raw("HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n"),
                "the API does not know this call (404)",
            ),
            ("status", Fault::raw(unknown_state), "unknown update state \"Melting\""),
            (
                "refresh",
                Fault::raw("HTTP/1.1 500 \r\ncontent-length: 3\r\n\r\nwhy"),
                "the API returned 500: why",
            ),
            (
                "refresh",
                Fault::raw("HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n"),
                "the API does not know this call (404)",
            ),
            // Neither the first time nor the second.
            ("refresh", Fault::close(), "connection closed before a response"),
        ],
        |(call, fault, error)| {
            let node = Node::new(instant());
            let (method, path) = match call {
                "status" => ("GET", "/updates/status"),
                _ => ("POST", Refresh.path()),
            };
            node.simulator.inject(Rule::from(fault).on(method, path).forever());
            node.one_time(&[]).is(3, &[&cannot_be_used(call, error, node.simulator.path())]);
        },
    );
}

#[test]
fn a_command_whose_answer_is_lost() {
    side_by_side([Refresh, Prepare, Activate], |action| {
        // It was carried out, or it was not: once, that is no failure.
        for fault in [Fault::Cut(0, Then::Close), Fault::Cut(9, Then::Close), Fault::close()] {
            let node = Node::new(instant());
            let carried_out = fault != Fault::close();
            let nothing_came = fault != Fault::Cut(9, Then::Close);
            node.simulator.inject(Rule::from(fault).on("POST", action.path()));
            let error = match nothing_came {
                true => "connection closed before a response",
                false => "connection closed in the middle of the response headers",
            };
            let lost = cannot_be_used(action.name(), error, node.simulator.path());
            let mut story = WHOLE_UPDATE.to_vec();
            story.insert(if action == Activate { 2 } else { 0 }, &lost);
            // It is back when the command is sent again, or, if it was carried
            // out, when that is seen. In the end it no longer matters.
            let at = match (carried_out, action) {
                (false, Refresh | Prepare) | (true, Refresh) => Some(1),
                (true, Prepare) => Some(3),
                (false, _) => Some(3),
                (true, _) => None,
            };
            if let Some(at) = at {
                story.insert(at, BACK);
            }
            node.one_time(&[]).is(0, &story);
            let tries = node.simulator.look(|view| view.count("POST", action.path()));
            assert_eq!(tries, if carried_out { 1 } else { 2 }, "{}", action.name());
        }
    });
}

#[test]
fn a_run_of_one_cycle_that_is_stopped() {
    side_by_side([Signal::TERM, Signal::INT], |signal| {
        let node = Node::new(instant());
        node.set_time(Prepare, MANUAL);
        let mut updater = Running::start(&mut node.updater(&["-one-time"]));
        updater.wait_for("preparing it");
        node.wait_for_looks(1);
        let name = if signal == Signal::TERM { "SIGTERM" } else { "SIGINT" };
        // The node is neither Ready nor has it nothing to do.
        updater.stop(signal).is(3, &[FOUND, &format!("info: stopped signal={name}")]);
        node.finish();
        assert_eq!(node.state(), Some(Staged));
        node.one_time(&[]).is(0, &[ACTIVATED, READY]);
    });
}

/// Has the daemon look often, and begin at once.
const OFTEN: [&str; 2] = ["-interval=50ms", "-jitter=0s"];

fn started(node: &Node, interval: &str) -> String {
    let (version, socket) = (env!("CARGO_PKG_VERSION"), node.simulator.path().display());
    format!("info: started version={version} socket={socket} interval={interval}")
}

const STOPPED: &str = "info: stopped signal=SIGTERM";

#[test]
fn the_daemon_finds_an_update_that_appears() {
    side_by_side([Format::Logfmt, Format::Json], |format| {
        let node = Node::new(Options { offer: Vec::new(), ..instant() });
        let mut command = node.updater(&OFTEN);
        let mut updater = Running::start(command.args(["-log-format", format.name()]));
        updater.format = format;
        updater.wait_for("nothing to do");
        node.wait_for_looks(6);
        node.simulator.change(|node, _| node.options.offer = vec!["1.26.1".into()]);
        updater.wait_for("ready, waiting for the reboot");
        let before = node.requests().len();
        node.wait_for_looks(3);
        // Hands off: it only looks.
        assert!(node.requests()[before..].iter().all(|request| request == "GET 200"));
        // A cycle that ends like the one before is no news.
        let story = updater.stop(Signal::TERM).story();
        let started = started(&node, "50ms");
        let expected = [started.as_str(), NOTHING, FOUND, PREPARED, ACTIVATED, READY, STOPPED];
        assert_eq!(story, expected);
    });
}

#[test]
fn a_cycle_without_news_is_three_calls_and_no_line() {
    let node = Node::new(Options { offer: Vec::new(), ..instant() });
    let updater = Running::start(&mut node.updater(&OFTEN));
    node.wait_for_looks(8);
    let told = updater.stop(Signal::TERM);
    assert_eq!(told.story(), [&started(&node, "50ms"), NOTHING, STOPPED]);
    // At the level of debugging each cycle tells how it ends.
    let mut updater = Running::start(node.updater(&OFTEN).args(["-log-level", "debug"]));
    for _ in 0..3 {
        updater.wait_for("nothing to do");
    }
    updater.stop(Signal::TERM);
    let requests = node.requests();
    assert_eq!(requests[..3], ["GET 404", "refresh 204", "GET 200"]);
    assert_eq!(requests[3..6], ["GET 200", "refresh 204", "GET 200"]);
    assert_eq!(requests[6..9], ["GET 200", "refresh 204", "GET 200"]);
}

#[test]
fn the_daemon_goes_on_after_a_failure() {
    let node = Node::new(instant());
    node.simulator.change(|node, _| {
        node.fail_next(Refresh, 1, "no network");
        node.fail_next(Prepare, 2, "no space");
        node.fail_next(Activate, 3, "no luck");
    });
    let mut updater = Running::start(&mut node.updater(&OFTEN));
    updater.wait_for("ready, waiting for the reboot");
    let mut story = updater.stop(Signal::TERM).story();
    story.dedup();
    let failed = |command: &str, exit: i32, stderr: &str| {
        format!(
            "error: command failed command={command} \
             status=Failed exit_status={exit} took=_ stderr={stderr}"
        )
    };
    let expected = [
        &started(&node, "50ms"),
        &failed("refresh", 1, "no network"),
        FOUND,
        &failed("prepare", 2, "no space"),
        FOUND,
        PREPARED,
        &failed("activate", 3, "no luck"),
        ACTIVATED,
        READY,
        STOPPED,
    ];
    assert_eq!(story, expected);
    // It was still there, and was not written again.
    assert_eq!(node.requests().iter().filter(|request| *request == "prepare 204").count(), 2);
}

#[test]
fn the_api_restarts_in_each_phase() {
    side_by_side([None, Some(Refresh), Some(Prepare), Some(Activate)], |action| {
        let node = Node::new(instant());
        if let Some(action) = action {
            node.set_time(action, MANUAL);
        } else {
            node.simulator.change(|node, _| node.options.offer.clear());
        }
        let mut updater = Running::start(&mut node.updater(&OFTEN));
        match action {
            Some(action) => node.wait_for_busy(action),
            None => updater.wait_for("nothing to do"),
        }
        node.simulator.remove_socket();
        updater.wait_for("the API is unavailable");
        node.simulator.change(|node, _| node.options.offer = vec!["1.26.1".into()]);
        node.finish();
        node.simulator.restart().unwrap();
        updater.wait_for("the API is available again");
        updater.wait_for("ready, waiting for the reboot");
        let told = updater.stop(Signal::TERM);
        assert_eq!(told.status, Some(0));
        let story = told.story();
        let count = |start: &str| story.iter().filter(|line| line.starts_with(start)).count();
        // It may have been in the middle of a call, whose end is then told, too.
        let lost = count("error: the API is unavailable ");
        assert!((1..=2).contains(&lost), "{story:?}");
        assert_eq!(count("error: "), lost, "{story:?}");
        assert_eq!(count(BACK), 1, "{story:?}");
        assert_eq!((count(FOUND), count(PREPARED), count(ACTIVATED)), (1, 1, 1), "{story:?}");
    });
}

#[test]
fn the_daemon_waits_for_a_socket_that_is_not_there_yet() {
    let directory = Directory::new();
    let mut updater = Running::start(&mut updater(&directory.socket(), &OFTEN));
    updater.wait_for("the API is unavailable");
    let node = Simulator::start(directory.socket(), instant()).unwrap();
    updater.wait_for("ready, waiting for the reboot");
    let told = updater.stop(Signal::TERM);
    let lost = cannot_be_used("status", MISSING, node.path());
    assert_eq!(told.story()[1..7], [&[lost.as_str(), BACK][..], &WHOLE_UPDATE].concat());
}

/// A pod that has the socket file mounted keeps the old one for ever: a hard
/// link does, too.
#[test]
fn a_stale_socket_is_given_up() {
    let node = Node::new(Options { offer: Vec::new(), ..instant() });
    let mounted = node.simulator.path().with_file_name("mounted.sock");
    fs::hard_link(node.simulator.path(), &mounted).unwrap();
    let arguments = [&OFTEN[..], &["-give-up=1s"]].concat();
    let mut updater = Running::start(&mut updater(&mounted, &arguments));
    updater.wait_for("nothing to do");
    node.simulator.restart().unwrap();
    updater.wait_for("the API is unavailable");
    let begin = Instant::now();
    let told = updater.end();
    let took = begin.elapsed();
    // The line is told first, so a little of the second is over by now.
    assert!(took > Duration::from_millis(500), "{took:?}");
    assert_eq!(told.status, Some(3));
    let story = told.story();
    // It may have been in the middle of a call, whose end is then told first.
    let [.., lost, gave_up] = &story[..] else { panic!("{story:?}") };
    assert_eq!(*lost, cannot_be_used("status", REFUSED, &mounted));
    let giving_up = "error: the socket is unreachable; exiting so that a restarted \
                     container mounts a new one after=_";
    assert_eq!(*gave_up, format!("{giving_up} error={REFUSED}"));

    // That is what happens then.
    fs::remove_file(&mounted).unwrap();
    fs::hard_link(node.simulator.path(), &mounted).unwrap();
    let again = run(&mut self::updater(&mounted, &["-one-time"]));
    assert_eq!(again.status, Some(0), "{again:?}");
}

/// A server that takes connections, and nothing else.
fn silent_server(directory: &Directory) -> UnixListener {
    UnixListener::bind(directory.socket()).unwrap()
}

#[test]
fn signals_end_the_daemon_at_once() {
    side_by_side([(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")], |(signal, name)| {
        let stopped = format!("info: stopped signal={name}");

        // Before the first cycle, unless chance has that begin at once.
        let node = Node::new(Options { offer: Vec::new(), ..instant() });
        let mut updater = Running::start(&mut node.updater(&["-interval=1h", "-jitter=1h"]));
        updater.wait_for("started");
        let told = updater.stop(signal);
        assert_eq!(told.status, Some(0));
        assert_eq!(told.story().last(), Some(&stopped));

        // In the pause between two cycles.
        let mut updater = Running::start(&mut node.updater(&["-interval=1h", "-jitter=0s"]));
        updater.wait_for("nothing to do");
        updater.stop(signal).is(0, &[&started(&node, "1h"), NOTHING, &stopped]);

        // In the middle of a call.
        let directory = Directory::new();
        let server = silent_server(&directory);
        let updater = Running::start(&mut self::updater(&directory.socket(), &OFTEN));
        let (_connection, _) = server.accept().unwrap();
        let told = updater.stop(signal);
        assert_eq!((told.status, told.records.len()), (Some(0), 2), "{told:?}");
        assert_eq!(told.records[1].story(), stopped);

        // While the API is gone.
        let mut updater =
            Running::start(&mut self::updater(&directory.path().join("none"), &["-jitter=0s"]));
        updater.wait_for("the API is unavailable");
        assert_eq!(updater.stop(signal).status, Some(0));
    });
}

#[test]
fn times_without_measure() {
    let node = Node::new(Options { offer: Vec::new(), ..instant() });
    let flags = ["interval", "give-up", "refresh-timeout", "prepare-timeout"];
    let mut arguments: Vec<String> =
        flags.iter().map(|flag| format!("-{flag}=18446744073709551615ms")).collect();
    arguments.push("-jitter=0s".into());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut updater = Running::start(&mut node.updater(&arguments));
    updater.wait_for("nothing to do");
    let started = started(&node, "5124095576030h25m51s");
    updater.stop(Signal::TERM).is(0, &[&started, NOTHING, STOPPED]);
}

#[test]
fn a_new_daemon_picks_up_what_the_old_one_began() {
    side_by_side([Refresh, Prepare, Activate], |action| {
        let node = Node::new(instant());
        node.set_time(action, MANUAL);
        let updater = Running::start(&mut node.updater(&OFTEN));
        node.wait_for_busy(action);
        node.wait_for_looks(1);
        assert_eq!(updater.stop(Signal::TERM).status, Some(0));
        let mut updater = Running::start(&mut node.updater(&OFTEN));
        updater.wait_for("an update command is running");
        node.finish();
        node.wait_for_state(Ready);
        updater.wait_for("ready, waiting for the reboot");
        assert_eq!(updater.stop(Signal::TERM).status, Some(0));
        let posts = node.simulator.look(|view| view.count("POST", Prepare.path()));
        assert_eq!(posts, 1, "what was prepared is not prepared again");
    });
}

/// Nobody reads what is told, and it does not fit into the pipe: that must not
/// keep the program from ending.
#[test]
fn a_signal_ends_a_daemon_that_nobody_listens_to() {
    let node = Node::new(Options { offer: Vec::new(), ..instant() });
    let (mut full, _unread) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    for size in [4096, 1] {
        let error = loop {
            if let Err(error) = full.write_all(&vec![0; size]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    full.set_nonblocking(false).unwrap();
    let mut command = node.updater(&OFTEN);
    let stderr = std::os::fd::OwnedFd::from(full);
    let mut child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    drop(command);
    wait_until_blocked(&child);
    kill_process(pid(&child), Signal::TERM).unwrap();
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > AT_ONCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("no end within {AT_ONCE:?}");
        }
        thread::yield_now();
    };
    assert_eq!(status.code(), Some(0));
}

/// Waits until the program handles SIGTERM and has come to a system call that
/// blocks: there is no line to wait for.
fn wait_until_blocked(child: &Child) {
    let deadline = Instant::now() + LONG;
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap_or_default().trim()
        };
        let handled = u64::from_str_radix(field("SigCgt:"), 16).unwrap_or_default();
        let sigterm = 1 << (Signal::TERM.as_raw() - 1);
        if handled & sigterm != 0 && field("State:").starts_with('S') {
            return;
        }
        assert!(Instant::now() < deadline, "{status}");
        thread::yield_now();
    }
}

/// The kernel keeps from process 1 all signals that it has no handler for, as
/// in a container without an init.
#[test]
fn signals_end_the_daemon_as_process_1() {
    let options = ["--user", "--map-root-user", "--pid", "--mount-proc", "--fork", "--kill-child"];
    let can = Command::new("unshare").args(options).args(["sh", "-c", "exit 42"]).output();
    match can {
        Ok(output) if output.status.code() == Some(42) => {}
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            return eprintln!("skipped: no process 1 of our own here: {reason}");
        }
        Err(error) => return eprintln!("skipped: cannot run unshare: {error}"),
    }
    for signal in [Signal::TERM, Signal::INT] {
        let node = Node::new(instant());
        node.set_time(Prepare, MANUAL);
        let inner = node.updater(&OFTEN);
        let mut command = Command::new("unshare");
        command.args(options).arg(inner.get_program()).args(inner.get_args());
        let mut updater = Running::start(&mut command);
        updater.wait_for("preparing it");
        node.wait_for_looks(1);
        let child = only_child(updater.pid());
        let begin = Instant::now();
        kill_process(child, signal).unwrap();
        let told = updater.end();
        assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
        assert_eq!(told.status, Some(0));
        assert!(told.story().last().unwrap().starts_with("info: stopped "), "{told:?}");
    }
}

fn only_child(parent: Pid) -> Pid {
    let parent = parent.as_raw_nonzero();
    let is_child = |stat: &str| {
        let behind_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        behind_name.split(' ').nth(1) == Some(&parent.to_string())
    };
    let children: Vec<i32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| is_child(&stat))
        })
        .collect();
    let [child] = children[..] else { panic!("{children:?}") };
    Pid::from_raw(child).unwrap()
}
