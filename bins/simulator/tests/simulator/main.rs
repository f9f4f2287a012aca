//! The simulated node against byte-exact captures of a real one.

mod fleet;

use bottlerocket_simulator::Command::{self, Activate, Deactivate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::State::{self, Available, Idle, Ready, Staged};
use bottlerocket_simulator::cli::{self, Order};
use bottlerocket_simulator::demo::Demo;
use bottlerocket_simulator::fleet::{Fleet, Outage, Outages};
use bottlerocket_simulator::{
    Ending, Fault, LATEST, Lock, MANUAL, Node, Options, Refusal, Rule, Simulator, Then, calendar,
};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

const STATUS: &str = "/updates/status";
const NOT_YET: &str = "Update status is uninitialized, refresh-updates to initialize it";
const NOT_ALLOWED: &str = "Update action not allowed according to update state";
const NO_CHOSEN: &str = "Previously chosen Update no longer exists";
const LOCKED: &str = "Update lock held";
const STATUS_LOCKED: &str = "Unable to obtain shared lock for reading update status: \
                             Resource temporarily unavailable (os error 11)";

/// A path that no other test uses.
fn fresh(extension: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("simulator-{}-{count}.{extension}", process::id());
    std::env::temp_dir().join(name)
}

/// The captured requests and answers. They are in the root package, and these tests
/// run as a part of that package and of the simulator's.
fn transcripts() -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut directories = packages.map(|package| package.join("tests/transcripts"));
    directories.find(|directory| directory.is_dir()).expect("the transcripts are there")
}

fn start(options: Options) -> Simulator {
    Simulator::start(fresh("sock"), options).expect("the simulator starts")
}

/// A node whose commands end as soon as somebody looks.
fn instant() -> Options {
    Options {
        refresh_time: Duration::ZERO,
        prepare_time: Duration::ZERO,
        activate_time: Duration::ZERO,
        deactivate_time: Duration::ZERO,
        reboot_time: Duration::ZERO,
        ..Options::default()
    }
}

/// Status and body of the answer to a request on a connection of its own.
fn ask(simulator: &Simulator, method: &str, path: &str) -> (u16, String) {
    let answer = raw(simulator, &request(method, path, "Connection: close\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    (head[9..12].parse().expect("a status"), body.into())
}

fn post(simulator: &Simulator, command: Command) -> (u16, String) {
    ask(simulator, "POST", command.path())
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// All that comes back on a new connection until the server closes it.
fn raw(simulator: &Simulator, bytes: &str) -> String {
    let mut stream = connect(simulator);
    stream.write_all(bytes.as_bytes()).unwrap();
    until_closed(&mut stream)
}

fn until_closed(stream: &mut UnixStream) -> String {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the server closes");
    String::from_utf8(rest).expect("answers are UTF-8")
}

fn state(simulator: &Simulator) -> Option<State> {
    simulator.look(|view| view.node.state())
}

fn chosen(node: &Node) -> Option<&str> {
    let chosen = node.status()?.chosen.as_ref()?;
    Some(&chosen.version)
}

fn connect(simulator: &Simulator) -> UnixStream {
    let stream = UnixStream::connect(simulator.path()).expect("the simulator listens");
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// The next bytes, exactly that many.
fn read(stream: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("as many bytes as captured");
    bytes
}

/// The text with what follows each `mark`, up to one of `ends`, as `_`s.
fn masked(text: &str, mark: &str, end: char) -> String {
    let mut parts = text.split(mark);
    let mut result = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let value = part.find(end).unwrap_or(part.len());
        result.push_str(mark);
        result.push_str(&"_".repeat(value));
        result.push_str(&part[value..]);
    }
    result
}

fn without_times(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("answers are UTF-8");
    masked(&masked(&text, "date: ", '\r'), "\"timestamp\":\"", '"')
}

/// As the captured node: it is offered the running version, too.
fn captured_node() -> Options {
    Options {
        offer: vec!["1.26.0".into(), "1.26.1".into()],
        refresh_time: MANUAL,
        ..Options::default()
    }
}

fn refresh_runs(simulator: &Simulator) {
    let mut stream = connect(simulator);
    simulator.change(|node, _| node.options.refresh_time = MANUAL);
    stream.write_all(b"POST /actions/refresh-updates HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(simulator.wait_until(LONG, |view| view.node.busy() == Some(Refresh)));
}

fn staged_without_chosen(simulator: &Simulator) {
    run(simulator, &[Refresh, Prepare]);
    simulator.change(|node, _| node.options.offer.clear());
    run(simulator, &[Refresh]);
}

fn prepare_failed(simulator: &Simulator) {
    run(simulator, &[Refresh]);
    let stderr = "Error: could not write \"image\"\nC:\\path\\to\\x\ttab éü ☃ 😀 <&> /slash/ \
                  \u{1}\u{1b}[31mred\u{1b}[0m\u{7f}\r\nlast line, no newline bad-utf8:\u{fffd}\u{fffd}.";
    simulator.change(|node, _| node.fail_next(Prepare, 17, stderr));
    run(simulator, &[Prepare]);
}

fn reboot_inhibited(simulator: &Simulator) {
    let reason = "Operation inhibited by \"backup\" (PID 123 \"systemd-inhib\"), \
                  reason is \"a \\ é\".\nPlease retry operation after closing inhibitors \
                  and logging out other users.\n";
    simulator.change(|node, _| node.end_next(Reboot, Ending::failed(1, reason)));
}

fn set_request_timeout(simulator: &Simulator, timeout: Duration) {
    simulator.change(|node, _| node.options.request_timeout = timeout);
}

fn run(simulator: &Simulator, commands: &[Command]) {
    for command in commands {
        simulator.run(*command).expect("the command is allowed");
    }
}

#[test]
fn answers_are_those_of_the_captured_server() {
    type Setup = fn(&Simulator);
    let nothing: Setup = |_| {};
    let available: Setup = |s| run(s, &[Refresh]);
    let staged: Setup = |s| run(s, &[Refresh, Prepare]);
    let ready: Setup = |s| run(s, &[Refresh, Prepare, Activate]);
    let idle: Setup = |s| {
        s.change(|node, _| node.options.offer.clear());
        run(s, &[Refresh]);
    };
    let cases: &[(&str, Setup)] = &[
        ("action-prepare-during-refresh", refresh_runs),
        ("activate-204", staged),
        ("connection-close", available),
        ("connection-close-404", nothing),
        ("connection-close-refresh-204", nothing),
        ("deactivate-204", ready),
        ("pipelined-action-then-status", nothing),
        ("prepare-204", available),
        ("prepare-disallowed-ready", ready),
        ("prepare-no-chosen-update", staged_without_chosen),
        ("reboot-204", nothing),
        ("reboot-500", reboot_inhibited),
        ("refresh-204", nothing),
        ("slow-request-408", |s| set_request_timeout(s, Duration::from_millis(50))),
        ("status-available", available),
        ("status-during-refresh", refresh_runs),
        ("status-failed-prepare", prepare_failed),
        ("status-idle", idle),
        ("status-lock-shared-by-other", |s| s.set_lock(Some(Lock::Shared))),
        ("status-ready", ready),
        ("status-staged", staged),
        ("status-staged-no-chosen", staged_without_chosen),
        ("status-uninitialized", nothing),
        ("unknown-path-404", nothing),
    ];

    let directory = transcripts();
    let mut captured: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".http").map(String::from))
        .collect();
    captured.sort();
    let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, captured, "each capture has its line in the table");

    for (name, setup) in cases {
        let request = fs::read(directory.join(format!("{name}.request"))).unwrap();
        let answer = fs::read(directory.join(format!("{name}.http"))).unwrap();
        let simulator = start(captured_node());
        setup(&simulator);
        let mut stream = connect(&simulator);
        stream.write_all(&request).unwrap();
        assert_eq!(
            without_times(&read(&mut stream, answer.len())),
            without_times(&answer),
            "{name}"
        );
        if String::from_utf8_lossy(&answer).contains("connection: close") {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"", "{name}");
        }
    }
}

/// The commands that lead to each state.
const WAYS: [(Option<State>, &[Command]); 4] = [
    (None, &[]),
    (Some(Available), &[Refresh]),
    (Some(Staged), &[Refresh, Prepare]),
    (Some(Ready), &[Refresh, Prepare, Activate]),
];

fn in_state(state: Option<State>) -> Simulator {
    let simulator = start(instant());
    if state == Some(Idle) {
        assert_eq!(simulator.run(Prepare), Err(Refusal::NotAllowed));
    } else {
        let way = WAYS.iter().find(|(end, _)| *end == state).unwrap();
        run(&simulator, way.1);
    }
    assert_eq!(self::state(&simulator), state);
    simulator
}

#[test]
fn every_action_in_every_state() {
    for (before, command, status, body, after) in [
        (None, Refresh, 204, "", Some(Available)),
        (None, Prepare, 409, NOT_ALLOWED, Some(Idle)),
        (None, Activate, 409, NOT_ALLOWED, Some(Idle)),
        (None, Deactivate, 409, NOT_ALLOWED, Some(Idle)),
        (None, Reboot, 204, "", None),
        (Some(Idle), Refresh, 204, "", Some(Available)),
        (Some(Idle), Prepare, 409, NOT_ALLOWED, Some(Idle)),
        (Some(Idle), Activate, 409, NOT_ALLOWED, Some(Idle)),
        (Some(Idle), Deactivate, 409, NOT_ALLOWED, Some(Idle)),
        (Some(Idle), Reboot, 204, "", None),
        (Some(Available), Refresh, 204, "", Some(Available)),
        (Some(Available), Prepare, 204, "", Some(Staged)),
        (Some(Available), Activate, 409, NOT_ALLOWED, Some(Available)),
        (Some(Available), Deactivate, 409, NOT_ALLOWED, Some(Available)),
        (Some(Available), Reboot, 204, "", None),
        (Some(Staged), Refresh, 204, "", Some(Staged)),
        (Some(Staged), Prepare, 204, "", Some(Staged)),
        (Some(Staged), Activate, 204, "", Some(Ready)),
        (Some(Staged), Deactivate, 409, NOT_ALLOWED, Some(Staged)),
        (Some(Staged), Reboot, 204, "", None),
        (Some(Ready), Refresh, 204, "", Some(Ready)),
        (Some(Ready), Prepare, 409, NOT_ALLOWED, Some(Ready)),
        (Some(Ready), Activate, 409, NOT_ALLOWED, Some(Ready)),
        (Some(Ready), Deactivate, 204, "", Some(Staged)),
        (Some(Ready), Reboot, 204, "", None),
    ] {
        let simulator = in_state(before);
        let last = |simulator: &Simulator| {
            simulator.look(|view| view.node.status().and_then(|status| status.last_command.clone()))
        };
        let last_before = last(&simulator);
        let case = format!("{before:?} {command:?}");
        assert_eq!(post(&simulator, command), (status, body.into()), "{case}");
        assert_eq!(state(&simulator), after, "{case}");
        let last = last(&simulator);
        match (command, status) {
            (Reboot, _) => assert_eq!(last, None, "{case}"),
            (_, 204) => {
                assert_ne!(last, last_before, "{case}");
                assert_eq!(last.map(|last| last.command), Some(command), "{case}");
            }
            _ => assert_eq!(last, last_before, "{case}"),
        }
    }
}

#[test]
fn the_first_action_creates_the_status_even_when_it_is_refused() {
    let simulator = start(instant());
    assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()));
    assert_eq!(post(&simulator, Activate), (409, NOT_ALLOWED.into()));
    let status = "{\"update_state\":\"Idle\",\"available_updates\":null,\"chosen_update\":null,\
                  \"active_partition\":null,\"staging_partition\":null,\
                  \"most_recent_command\":null}";
    assert_eq!(ask(&simulator, "GET", STATUS), (200, status.into()));
}

#[test]
fn refresh_chooses_by_offer_and_version_lock() {
    type Row<'a> = (&'a [&'a str], &'a str, &'a [&'a str], Option<&'a str>);
    let rows: &[Row] = &[
        (&[], LATEST, &[], None),
        (&["1.26.0"], LATEST, &["1.26.0"], None),
        (&["1.26.1"], LATEST, &["1.26.1"], Some("1.26.1")),
        (
            &["1.9.0", "1.26.0", "1.26.10", "1.26.9"],
            LATEST,
            &["1.26.10", "1.26.9", "1.26.0", "1.9.0"],
            Some("1.26.10"),
        ),
        (
            &["1.27.0-rc.1", "1.27.0", "1.26.0"],
            LATEST,
            &["1.27.0", "1.27.0-rc.1", "1.26.0"],
            Some("1.27.0"),
        ),
        (&["1.25.0"], LATEST, &["1.25.0"], Some("1.25.0")),
        (&["1.26.1", "1.25.0"], "1.25.0", &["1.26.1", "1.25.0"], Some("1.25.0")),
        (&["1.26.1"], "1.25.0", &["1.26.1"], None),
        (&["1.26.1", "1.26.0"], "1.26.0", &["1.26.1", "1.26.0"], None),
    ];
    for (offer, version_lock, available, expected) in rows {
        let simulator = start(Options {
            offer: offer.iter().map(|version| version.to_string()).collect(),
            version_lock: version_lock.to_string(),
            ..instant()
        });
        run(&simulator, &[Refresh]);
        simulator.look(|view| {
            let status = view.node.status().unwrap();
            let case = format!("{offer:?} {version_lock}");
            assert_eq!(status.available.as_deref().unwrap(), *available, "{case}");
            assert_eq!(chosen(view.node), *expected, "{case}");
            let state = if expected.is_some() { Available } else { Idle };
            assert_eq!(status.state, state, "{case}");
        });
    }
}

#[test]
fn refresh_may_choose_anew_when_something_is_staged() {
    for (before, way) in &WAYS[2..] {
        let simulator = start(instant());
        run(&simulator, way);
        simulator.change(|node, _| node.options.offer = vec!["1.27.0".into()]);
        run(&simulator, &[Refresh]);
        simulator.look(|view| {
            let status = view.node.status().unwrap();
            assert_eq!(Some(status.state), *before);
            assert_eq!(chosen(view.node), Some("1.27.0"));
            assert_eq!(status.staging.as_ref().unwrap().image.version, "1.26.1");
        });
        simulator.change(|node, _| node.options.offer.clear());
        run(&simulator, &[Refresh]);
        let expected = match before {
            Some(Staged) => (404, NO_CHOSEN),
            _ => (409, NOT_ALLOWED),
        };
        assert_eq!(post(&simulator, Prepare), (expected.0, expected.1.into()));
    }
}

#[test]
fn failed_commands() {
    for (before, command, after) in [
        (None, Refresh, Idle),
        (Some(Idle), Refresh, Idle),
        (Some(Available), Refresh, Idle),
        (Some(Staged), Refresh, Staged),
        (Some(Ready), Refresh, Ready),
        (Some(Available), Prepare, Available),
        (Some(Staged), Prepare, Staged),
        (Some(Staged), Activate, Staged),
        (Some(Ready), Deactivate, Ready),
    ] {
        let simulator = in_state(before);
        let old = simulator.look(|view| view.node.status().cloned());
        simulator.change(|node, _| node.fail_next(command, 9, "because"));
        assert_eq!(post(&simulator, command), (204, String::new()));
        simulator.look(|view| {
            let status = view.node.status().unwrap();
            let case = format!("{before:?} {command:?}");
            assert_eq!(status.state, after, "{case}");
            let last = status.last_command.as_ref().unwrap();
            assert_eq!(last.command, command, "{case}");
            assert_eq!((last.exit_status, &*last.stderr), (9, "because"), "{case}");
            if let Some(old) = old {
                assert_eq!(status.available, old.available, "{case}");
                assert_eq!(status.chosen, old.chosen, "{case}");
                assert_eq!(status.active, old.active, "{case}");
                assert_eq!(status.staging, old.staging, "{case}");
            }
        });
    }
}

#[test]
fn failures_add_up_and_stop() {
    let simulator = start(instant());
    simulator.change(|node, _| {
        node.fail_always(Refresh, 3, "always");
        node.fail_next(Refresh, 1, "first");
        node.end_next(Refresh, Ending::failed(0, "a warning"));
        node.fail_next(Prepare, 8, "of another command");
    });
    let mut seen = Vec::new();
    for round in 0..5 {
        if round == 4 {
            simulator.change(|node, _| node.succeed(Refresh));
        }
        run(&simulator, &[Refresh]);
        let last = simulator.look(|view| view.node.status().unwrap().last_command.clone().unwrap());
        seen.push((last.exit_status, last.stderr));
    }
    let expected = [(1, "first"), (0, "a warning"), (3, "always"), (3, "always"), (0, "")];
    assert_eq!(seen, expected.map(|(status, text)| (status, text.to_string())));
}

#[test]
fn junk_says_success_and_changes_nothing() {
    let simulator = in_state(Some(Available));
    let old = simulator.look(|view| view.node.status().cloned().unwrap());
    simulator.change(|node, _| {
        node.options.offer.clear();
        node.end_next(Refresh, Ending::junk());
    });
    assert_eq!(post(&simulator, Refresh), (204, String::new()));
    let new = simulator.look(|view| view.node.status().cloned().unwrap());
    assert!(
        new.last_command.as_ref().unwrap().timestamp > old.last_command.as_ref().unwrap().timestamp
    );
    assert_eq!(new.last_command.as_ref().unwrap().exit_status, 0);
    let last_command = None;
    assert_eq!(
        bottlerocket_simulator::Status { last_command, ..new },
        bottlerocket_simulator::Status { last_command: None, ..old },
    );
}

#[test]
fn the_lock_is_held_as_long_as_a_command_runs() {
    for (before, command, after) in [
        (None, Refresh, Available),
        (Some(Available), Prepare, Staged),
        (Some(Staged), Activate, Ready),
        (Some(Ready), Deactivate, Staged),
    ] {
        let simulator = in_state(before);
        simulator.change(|node, _| *node.options.time(command) = MANUAL);
        assert_eq!(post(&simulator, command), (204, String::new()));
        assert_eq!(simulator.look(|view| view.node.busy()), Some(command));
        assert_eq!(ask(&simulator, "GET", STATUS), (423, STATUS_LOCKED.into()));
        for other in [Refresh, Prepare, Activate, Deactivate] {
            assert_eq!(post(&simulator, other), (423, LOCKED.into()));
            assert_eq!(simulator.run(other), Err(Refusal::Locked));
        }
        assert!(
            !simulator.wait_until(Duration::from_millis(5), |view| { view.node.busy().is_none() })
        );
        simulator.finish();
        assert_eq!(state(&simulator), Some(after));
        assert_eq!(ask(&simulator, "GET", STATUS).0, 200);
    }
}

#[test]
fn a_command_ends_by_itself() {
    let simulator = start(Options::default());
    assert_eq!(post(&simulator, Refresh), (204, String::new()));
    assert!(simulator.wait_until(LONG, |view| view.node.state() == Some(Available)));
    let spent = simulator.look(|view| {
        let ended = view.node.status().unwrap().last_command.as_ref().unwrap().timestamp;
        ended - view.requests[0].at
    });
    assert_eq!(spent, Options::default().refresh_time);
}

#[test]
fn somebody_else_holds_the_lock() {
    let not_yet = (404, NOT_YET);
    let status_locked = (423, STATUS_LOCKED);
    for (lock, status, action) in [
        (Some(Lock::Exclusive), status_locked, (423, LOCKED)),
        (Some(Lock::Shared), not_yet, (423, LOCKED)),
        (None, not_yet, (409, NOT_ALLOWED)),
    ] {
        let simulator = start(instant());
        simulator.set_lock(lock);
        let answer = ask(&simulator, "GET", STATUS);
        assert_eq!(answer, (status.0, status.1.into()), "{lock:?}");
        let answer = post(&simulator, Prepare);
        assert_eq!(answer, (action.0, action.1.into()), "{lock:?}");
    }
}

#[test]
fn reboots() {
    type Row<'a> = (&'a [Command], &'a [&'a str], &'a str, Option<&'a str>);
    let rows: &[Row] = &[
        (&[], &[], "1.26.0", Some("1.26.1")),
        (&[Refresh, Prepare], &[], "1.26.0", Some("1.26.1")),
        (&[Refresh, Prepare, Activate], &[], "1.26.1", None),
        (&[Refresh, Prepare, Activate, Deactivate], &[], "1.26.0", Some("1.26.1")),
        (&[Refresh, Prepare, Activate], &["1.26.1"], "1.26.0", Some("1.26.1")),
    ];
    for (way, no_boot, version, offered) in rows {
        let simulator = start(Options {
            no_boot: no_boot.iter().map(|version| version.to_string()).collect(),
            ..instant()
        });
        run(&simulator, way);
        let old_id = simulator.look(|view| view.node.boot_id());
        let case = format!("{way:?} {no_boot:?}");
        assert_eq!(post(&simulator, Reboot), (204, String::new()), "{case}");
        assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()), "{case}");
        simulator.look(|view| {
            assert_eq!(view.node.boots(), 2, "{case}");
            assert_ne!(view.node.boot_id(), old_id, "{case}");
            assert_eq!(view.node.options.running, *version, "{case}");
        });
        run(&simulator, &[Refresh]);
        simulator.look(|view| {
            let status = view.node.status().unwrap();
            let active = status.active.as_ref().unwrap();
            assert_eq!(active.image.version, *version, "{case}");
            assert!(active.next_to_boot, "{case}");
            assert_eq!(status.staging, None, "{case}");
            assert_eq!(chosen(view.node), *offered, "{case}");
        });
    }
}

#[test]
fn a_file_holds_the_boot_id() {
    let file = fresh("boot-id");
    let in_file = || fs::read_to_string(&file).unwrap();
    let simulator = start(Options {
        boot_id_file: Some(file.clone()),
        no_boot: vec!["1.26.1".into()],
        ..instant()
    });
    let id = |simulator: &Simulator| simulator.look(|view| view.node.boot_id()) + "\n";
    let first = in_file();
    assert_eq!(first, id(&simulator));
    let form: String = first.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
    assert_eq!(form, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n");

    let mut ids = vec![first];
    let is_new = |ids: &mut Vec<String>| {
        let id = in_file();
        assert!(!ids.contains(&id), "{id}");
        ids.push(id);
    };
    // What is no boot does not change it.
    simulator.restart().unwrap();
    simulator.change(|node, _| node.fail_next(Reboot, 1, "inhibited"));
    assert_eq!(post(&simulator, Reboot).0, 500);
    assert_eq!(in_file(), ids[0]);
    // A boot that falls back, one of the same version, one by another hand, and
    // one between two requests.
    run(&simulator, &[Refresh, Prepare, Activate]);
    for _ in 0..2 {
        assert_eq!(post(&simulator, Reboot).0, 204);
        is_new(&mut ids);
        assert_eq!(simulator.look(|view| view.node.options.running.clone()), "1.26.0");
    }
    run(&simulator, &[Reboot]);
    is_new(&mut ids);
    simulator.before_each(|node, request| node.run(Reboot, request.at).unwrap());
    assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()));
    is_new(&mut ids);
    assert_eq!(in_file(), id(&simulator));
    drop(simulator);

    // It stays, and another simulator writes another one to it.
    assert_eq!(in_file(), ids[ids.len() - 1]);
    let simulator = start(Options { boot_id_file: Some(file.clone()), ..instant() });
    is_new(&mut ids);
    drop(simulator);
    fs::remove_file(&file).unwrap();
}

#[test]
fn the_boot_id_is_in_place_before_a_connection_breaks() {
    let file = fresh("boot-id");
    let simulator = start(Options { boot_id_file: Some(file.clone()), ..instant() });
    let mut last = fs::read_to_string(&file).unwrap();
    for _ in 0..20 {
        let mut idle = connect(&simulator);
        // Answered, it is one that the server knows of.
        idle.write_all(request("GET", STATUS, "").as_bytes()).unwrap();
        read(&mut idle, 1);
        thread::scope(|scope| {
            scope.spawn(|| post(&simulator, Reboot));
            until_closed(&mut idle);
            let id = fs::read_to_string(&file).unwrap();
            assert_ne!(id, last);
            last = id;
        });
    }
    drop(simulator);
    fs::remove_file(&file).unwrap();
}

#[test]
fn many_nodes_have_nothing_in_common() {
    let (sockets, ids) = (fresh("sock"), fresh("boot-id"));
    let options = Options { boot_id_file: Some(ids.clone()), ..instant() };
    let simulators = Simulator::start_many(&sockets, 3, &options).unwrap();
    let numbered = |path: &Path, number| format!("{}.{number}", path.display());
    run(&simulators[1], &[Refresh, Prepare]);
    run(&simulators[2], &[Reboot]);
    for (simulator, number) in simulators.iter().zip(1..) {
        assert_eq!(simulator.path(), Path::new(&numbered(&sockets, number)));
        let id = fs::read_to_string(numbered(&ids, number)).unwrap();
        assert_eq!(id.trim_end(), simulator.look(|view| view.node.boot_id()));
        fs::remove_file(numbered(&ids, number)).unwrap();
    }
    let states: Vec<_> = simulators.iter().map(state).collect();
    assert_eq!(states, [None, Some(Staged), None]);
    let boots: Vec<_> = simulators.iter().map(|one| one.look(|view| view.node.boots())).collect();
    assert_eq!(boots, [1, 1, 2]);
    // All or none.
    fs::write(numbered(&sockets, 4), "").unwrap();
    drop(simulators);
    let error = Simulator::start_many(&sockets, 4, &instant()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(!Path::new(&numbered(&sockets, 1)).exists());
    fs::remove_file(numbered(&sockets, 4)).unwrap();
}

#[test]
fn a_boot_id_that_has_no_place() {
    let file = Path::new("/nonexistent/boot-id");
    let options = Options { boot_id_file: Some(file.into()), ..instant() };
    let error = Simulator::start(fresh("sock"), options).err().unwrap();
    assert_eq!(error.to_string(), "/nonexistent/boot-id: No such file or directory (os error 2)");
}

#[test]
fn a_reboot_blocks_everything_and_hangs_up() {
    let simulator =
        start(Options { refresh_time: MANUAL, reboot_time: MANUAL, ..Options::default() });
    // The lock of a command that runs does not keep a node from rebooting.
    assert_eq!(post(&simulator, Refresh).0, 204);
    let mut idle = connect(&simulator);
    thread::scope(|scope| {
        let reboot = scope.spawn(|| raw(&simulator, &request("POST", Reboot.path(), "")));
        assert!(simulator.wait_until(LONG, |view| view.node.busy() == Some(Reboot)));
        let mut waiting = connect(&simulator);
        waiting.write_all(request("GET", STATUS, "").as_bytes()).unwrap();
        let early =
            simulator.wait_until(Duration::from_millis(20), |view| view.count("GET", STATUS) > 0);
        assert!(!early, "requests wait behind the reboot");
        simulator.finish();
        let answer = reboot.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 204 No Content\r\ndate: "), "{answer}");
    });
    assert_eq!(until_closed(&mut idle), "");
    assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()));
}

#[test]
fn a_reboot_that_fails_changes_nothing() {
    let simulator = in_state(Some(Ready));
    simulator.change(|node, _| node.fail_next(Reboot, 1, "inhibited"));
    let reason = "Failed to reboot, exit code: 1, stderr: inhibited";
    assert_eq!(post(&simulator, Reboot), (500, reason.into()));
    simulator.look(|view| {
        assert_eq!(view.node.state(), Some(Ready));
        assert_eq!(view.node.boots(), 1);
    });
    assert_eq!(post(&simulator, Reboot), (204, String::new()));
}

#[test]
fn what_is_no_request_of_the_api() {
    let simulator = in_state(Some(Available));
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/updates", 404),
        ("GET", "/updates/status/", 404),
        ("POST", STATUS, 404),
        ("HEAD", STATUS, 404),
        ("GET", Refresh.path(), 404),
        ("PUT", Reboot.path(), 404),
        ("GET", "/updates/status?x=1", 200),
    ] {
        let (status, body) = ask(&simulator, method, path);
        assert_eq!(status, expected, "{method} {path}");
        assert_eq!(body.is_empty(), status == 404, "{method} {path}");
    }
    for bytes in [
        "nonsense\r\n\r\n",
        "GET / HTTP/2\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ] {
        let answer = raw(&simulator, bytes);
        let expected = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n";
        assert!(answer.starts_with(expected), "{bytes:?}: {answer}");
    }
}

#[test]
fn connections_are_kept_pipelined_and_closed() {
    let simulator = start(instant());
    let status = request("GET", STATUS, "");
    let with_body = request("POST", "/nope", "Content-Length: 5\r\n") + "GET /";
    let last = request("GET", STATUS, "connection: Keep-Alive, CLOSE\r\n");

    let all = [&*status, &with_body, "\r\n", &status, &last, &status].concat();
    let answers = raw(&simulator, &all);
    let heads: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|head| &head[..3]).collect();
    assert_eq!(heads, ["404"; 4], "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1);
    assert_eq!(simulator.requests().len(), 4, "what follows a close is not read");

    let mut bytewise = connect(&simulator);
    for byte in last.as_bytes() {
        bytewise.write_all(&[*byte]).unwrap();
    }
    assert!(until_closed(&mut bytewise).starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[test]
fn patience_with_clients_ends() {
    let short = Duration::from_millis(30);
    let request = request("GET", STATUS, "");
    let mark = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n";
    for (name, request_timeout, keep_alive, sent, answers, too_slow) in [
        ("nothing", short, LONG, String::new(), 0, true),
        ("half a request", short, LONG, request[..20].into(), 0, true),
        ("idle", LONG, short, request.clone(), 1, false),
        ("half the next", LONG, short, request.clone() + "GET", 1, false),
    ] {
        let simulator = start(Options { request_timeout, keep_alive, ..instant() });
        let answer = raw(&simulator, &sent);
        assert_eq!(answer.matches(NOT_YET).count(), answers, "{name}: {answer}");
        assert_eq!(answer.starts_with(mark), too_slow, "{name}: {answer}");
    }
}

#[test]
fn faults_do_what_they_say() {
    // How the node takes a refresh, what comes back, and whether it is then
    // closed. The true answer begins with `whole` and ends with a date.
    let whole = "HTTP/1.1 409 Conflict\r\ncontent-length: 51\r\nconnection: close\r\ndate: ";
    let raw_bytes = b"junk\xff\0".to_vec();
    let answered = |bytes: &[u8], begin: &str, end: &str| {
        bytes.starts_with(begin.as_bytes()) && bytes.ends_with(end.as_bytes())
    };
    type Check<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;
    let rows: Vec<(Fault, bool, bool, Check)> = vec![
        (Fault::close(), false, true, Box::new(|got| got.is_empty())),
        (Fault::silence(), false, false, Box::new(|got| got.is_empty())),
        (Fault::raw(raw_bytes.clone()), false, true, Box::new(|got| got == raw_bytes)),
        (
            Fault::Instead(raw_bytes.clone(), Then::Silence),
            false,
            false,
            Box::new(|got| got == raw_bytes),
        ),
        (Fault::Cut(0, Then::Close), true, true, Box::new(|got| got.is_empty())),
        (Fault::Cut(0, Then::Silence), true, false, Box::new(|got| got.is_empty())),
        (Fault::Cut(12, Then::Close), true, true, Box::new(|got| got == b"HTTP/1.1 409")),
        (
            Fault::Cut(usize::MAX, Then::Close),
            true,
            true,
            Box::new(|got| answered(got, whole, NOT_ALLOWED)),
        ),
        (
            Fault::Before(b"HTTP/1.1 100 Continue\r\n\r\n".into()),
            true,
            true,
            Box::new(|got| answered(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 4", NOT_ALLOWED)),
        ),
        (
            Fault::Behind(b"more".into()),
            true,
            true,
            Box::new(|got| answered(got, whole, "to update statemore")),
        ),
        (
            Fault::Length(1000),
            true,
            true,
            Box::new(|got| answered(got, &whole.replace("51", "1051"), NOT_ALLOWED)),
        ),
        (
            Fault::Length(-50),
            true,
            true,
            Box::new(|got| answered(got, &whole.replace("51", "1"), NOT_ALLOWED)),
        ),
        (
            Fault::Length(-52),
            true,
            true,
            Box::new(|got| answered(got, &whole.replace("51", "0"), NOT_ALLOWED)),
        ),
        (
            Fault::Drip(Duration::from_micros(10)),
            true,
            true,
            Box::new(|got| answered(got, whole, NOT_ALLOWED)),
        ),
    ];
    for (fault, carried_out, closed, check) in rows {
        let simulator = start(instant());
        simulator.inject(fault.clone());
        let mut stream = connect(&simulator);
        stream
            .write_all(request("POST", Prepare.path(), "Connection: close\r\n").as_bytes())
            .unwrap();
        if !closed {
            // Silence has to be told from slowness by a time that is short
            // here and long for what the simulator does.
            assert!(simulator.wait_until(LONG, |view| view.count("POST", Prepare.path()) == 1));
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        }
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got);
        assert_eq!(end.is_ok(), closed, "{fault:?}");
        assert!(check(&got), "{fault:?}: {}", String::from_utf8_lossy(&got));
        assert_eq!(state(&simulator) == Some(Idle), carried_out, "{fault:?}");
        let status = carried_out.then_some(409);
        assert_eq!(simulator.requests()[0].status, status, "{fault:?}");
        assert_eq!(post(&simulator, Prepare).0, 409, "{fault:?}: only once");
    }
}

#[test]
fn a_flood_goes_on_until_the_client_leaves() {
    let simulator = start(instant());
    simulator.inject(Fault::Flood(b"head".into(), b"again".into()));
    let mut stream = connect(&simulator);
    stream.write_all(request("GET", STATUS, "").as_bytes()).unwrap();
    let bytes = read(&mut stream, 4 + 5 * 200_000);
    assert!(bytes.starts_with(b"headagainagain"));
    assert!(bytes.ends_with(b"again"));
    drop(stream);
    assert_eq!(ask(&simulator, "GET", STATUS).0, 404);
}

#[test]
fn a_fault_that_goes_on_leaves_the_connection_usable() {
    let simulator = start(instant());
    simulator.inject(Fault::Instead(b"hello\n".into(), Then::GoOn));
    let first = request("GET", STATUS, "");
    let last = request("GET", STATUS, "Connection: close\r\n");
    let answer = raw(&simulator, &(first + &last));
    assert!(answer.starts_with("hello\nHTTP/1.1 404"), "{answer}");
}

#[test]
fn rules_hit_the_requests_they_name() {
    let fault = || Rule::from(Fault::raw("HTTP/1.1 555 \r\n\r\n"));
    let status = ("GET", STATUS);
    let refresh = ("POST", "/nope");
    for (name, rules, requests, expected) in [
        ("next", vec![fault()], [status, status, refresh], [555, 404, 404]),
        ("two", vec![fault().times(2)], [status, refresh, status], [555, 555, 404]),
        ("forever", vec![fault().forever()], [status, refresh, status], [555, 555, 555]),
        ("named", vec![fault().on("POST", "/nope")], [status, refresh, refresh], [404, 555, 404]),
        (
            "later",
            vec![fault().on("GET", STATUS).after(1).forever()],
            [status, refresh, status],
            [404, 404, 555],
        ),
        (
            "one after the other",
            vec![fault(), fault().on("GET", STATUS)],
            [status, refresh, status],
            [555, 404, 555],
        ),
    ] {
        let simulator = start(instant());
        for rule in rules {
            simulator.inject(rule);
        }
        let answers = requests.map(|(method, path)| ask(&simulator, method, path).0);
        assert_eq!(answers, expected, "{name}");
        simulator.clear_faults();
        assert_eq!(ask(&simulator, "GET", STATUS).0, 404, "{name}");
    }
}

#[test]
fn the_server_goes_and_comes_back() {
    let simulator = in_state(Some(Staged));
    let kind = |path: &Path| UnixStream::connect(path).err().map(|error| error.kind());
    let mut idle = connect(&simulator);

    simulator.refuse();
    assert_eq!(kind(simulator.path()), Some(ErrorKind::ConnectionRefused));
    assert_eq!(until_closed(&mut idle), "");
    simulator.remove_socket();
    assert_eq!(kind(simulator.path()), Some(ErrorKind::NotFound));
    simulator.restart().unwrap();
    assert_eq!(ask(&simulator, "GET", STATUS).0, 200);

    // A pod that mounted the socket file keeps the old socket, as a hard link
    // does.
    let mounted = fresh("mounted");
    fs::hard_link(simulator.path(), &mounted).unwrap();
    assert_eq!(kind(&mounted), None);
    simulator.restart().unwrap();
    assert_eq!(kind(&mounted), Some(ErrorKind::ConnectionRefused));
    assert_eq!(kind(simulator.path()), None);
    assert_eq!(state(&simulator), Some(Staged));
    fs::remove_file(mounted).unwrap();
}

/// A child process that another thread starts has the listening socket open until
/// it executes its program. The kernel must not accept connections for it.
#[test]
fn connections_are_refused_while_other_threads_start_processes() {
    let simulator = start(instant());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    process::Command::new("true").status().unwrap();
                }
            });
        }
        let connected = (0..200).filter(|_| {
            simulator.restart().unwrap();
            simulator.refuse();
            UnixStream::connect(simulator.path()).is_ok()
        });
        let connected = connected.count();
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(connected, 0);
    });
}

#[test]
fn where_a_socket_can_be() {
    let taken = start(instant());
    let file = fresh("file");
    fs::write(&file, "").unwrap();
    let long = PathBuf::from(format!("/tmp/{}", "x".repeat(103)));
    let missing = file.join("api.sock");
    for (path, problem) in [
        (taken.path(), "somebody else listens on this socket"),
        (&file, "exists and is not a socket"),
        (&long, "a socket's path may have 107 bytes, but this one has 108"),
        (&missing, "Not a directory (os error 20)"),
    ] {
        let error = Simulator::start(path, instant()).err().expect(problem);
        assert_eq!(error.to_string(), format!("{}: {problem}", path.display()));
    }
    assert_eq!(ask(&taken, "GET", STATUS).0, 404, "it still listens");
    fs::remove_file(&file).unwrap();

    let stale = fresh("sock");
    Simulator::start(&stale, instant()).unwrap().refuse();
    let simulator = Simulator::start(&stale, instant()).unwrap();
    let mode = fs::metadata(&stale).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    drop(simulator);
    assert!(!stale.exists(), "it is gone with the simulator");
}

#[test]
fn a_simulator_stops_whatever_it_is_doing() {
    let forever = Duration::from_secs(3600);
    for (name, fault) in [
        ("reboot", None),
        ("silence", Some(Fault::silence())),
        ("drip", Some(Fault::Drip(forever))),
        ("flood", Some(Fault::Flood(vec![], vec![b'x'; 4096]))),
    ] {
        let simulator = start(Options { reboot_time: MANUAL, ..Options::default() });
        let method = if fault.is_some() { "GET" } else { "POST" };
        if let Some(fault) = fault {
            simulator.inject(fault);
        }
        let mut stream = connect(&simulator);
        stream.write_all(request(method, Reboot.path(), "").as_bytes()).unwrap();
        assert!(simulator.wait_until(LONG, |view| view.requests.len() == 1), "{name}");
        drop(simulator);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
}

#[test]
fn requests_are_logged_and_can_be_preceded() {
    let simulator = start(instant());
    simulator.before_each(|node, request| {
        if request.path == Prepare.path() {
            node.run(Refresh, request.at).unwrap();
        }
    });
    assert_eq!(ask(&simulator, "GET", STATUS).0, 404);
    assert_eq!(post(&simulator, Prepare).0, 204);
    let log = simulator.requests();
    let lines: Vec<_> =
        log.iter().map(|request| (&*request.method, &*request.path, request.status)).collect();
    assert_eq!(lines, [("GET", STATUS, Some(404)), ("POST", Prepare.path(), Some(204))]);
    assert!(log[0].at < log[1].at);
}

#[test]
fn what_happened_is_told_line_by_line() {
    let simulator = start(Options { no_boot: vec!["1.26.1".into()], ..instant() });
    let mut told = Vec::new();
    let mut tell = || {
        let lines = simulator.events(LONG);
        // The time of day, 13 characters, is not known here.
        told.extend(lines.iter().map(|event| event.to_string()[13..].to_string()));
    };
    simulator.change(|node, _| node.fail_next(Activate, 3, "no space\nleft"));
    ask(&simulator, "GET", STATUS);
    set_request_timeout(&simulator, Duration::from_millis(50));
    raw(&simulator, "");
    set_request_timeout(&simulator, LONG);
    raw(&simulator, "?\r\n\r\n");
    simulator.inject(Fault::close());
    raw(&simulator, &request("GET", "/x", ""));
    tell();
    run(&simulator, &[Refresh, Prepare, Activate, Activate, Reboot]);
    tell();
    let boot_id = simulator.look(|view| view.node.boot_id());
    let booted = format!("booted 1.26.0, boot id {boot_id}: 1.26.1 did not come up, fell back");
    let first = format!("GET {STATUS}: 404, {NOT_YET}");
    assert_eq!(
        told,
        [
            &*first,
            "no complete request in time: 408",
            "not a request: 400",
            "GET /x: not carried out",
            "state: no status -> Idle",
            "refresh started",
            "refresh done",
            "state: Idle -> Available",
            "prepare started",
            "prepare done",
            "state: Available -> Staged",
            "activate started",
            "activate failed, exit status 3, no space",
            "activate started",
            "activate done",
            "state: Staged -> Ready",
            "reboot done",
            "state: Ready -> no status",
            &booted,
        ]
    );
}

#[test]
fn any_text_survives_as_json() {
    let all: String = ('\0'..='\u{80}').chain("é☃😀\u{2028}".chars()).collect();
    let expected = concat!(
        r"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f",
        r"\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b",
        r##"\u001c\u001d\u001e\u001f !\"#$%&'()*+,-./0123456789:;<=>?@"##,
        r"ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
        "\u{7f}\u{80}é☃😀\u{2028}",
    );
    let mut node = Node::new(instant(), Duration::from_secs(1_795_325_532));
    node.fail_next(Refresh, -6, &all);
    node.run(Refresh, Duration::new(1_795_325_532, 500)).unwrap();
    let json = node.status().unwrap().to_json();
    let end = format!(
        "\"most_recent_command\":{{\"cmd_type\":\"refresh\",\"cmd_status\":\"Failed\",\
         \"timestamp\":\"2026-11-22T05:32:12.000000500Z\",\"exit_status\":-6,\
         \"stderr\":\"{expected}\"}}}}"
    );
    assert!(json.ends_with(&end), "{json}\n{end}");
}

#[test]
fn dates_of_known_seconds() {
    // As `date -u -d @SECONDS` prints them.
    for (seconds, http, day) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT", "2000-02-28T23:59:59"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29T00:00:00"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT", "2024-02-29T00:00:00"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT", "2024-12-31T23:59:59"),
        (1_795_325_532, "Sun, 22 Nov 2026 05:32:12 GMT", "2026-11-22T05:32:12"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT", "2100-03-01T00:00:00"),
    ] {
        let at = Duration::new(seconds, 7);
        assert_eq!(calendar::http_date(at), http);
        assert_eq!(calendar::timestamp(at), format!("{day}.000000007Z"));
    }
}

#[test]
fn the_command_line() {
    let parse = |line: &str| cli::parse(["simulator"].into_iter().chain(line.split_whitespace()));
    let Ok(Order::Serve(socket, options)) = parse("") else {
        panic!("serving is the default");
    };
    assert_eq!(socket, Path::new("api.sock"));
    let plain = *options;

    let second = Duration::from_secs(1);
    type Change = fn(&mut Options, Duration);
    let rows: &[(&str, Change)] = &[
        ("--running 1.2.3", |o, _| o.running = "1.2.3".into()),
        ("--variant=metal-dev", |o, _| o.variant = "metal-dev".into()),
        ("--arch aarch64", |o, _| o.arch = "aarch64".into()),
        ("--offer 1.1.0 --offer 1.2.0", |o, _| o.offer = vec!["1.1.0".into(), "1.2.0".into()]),
        ("--version-lock 1.1.0", |o, _| o.version_lock = "1.1.0".into()),
        ("--no-boot 1.1.0 --no-boot 1.2.0", |o, _| {
            o.no_boot = vec!["1.1.0".into(), "1.2.0".into()]
        }),
        ("--boot-id /tmp/id", |o, _| o.boot_id_file = Some("/tmp/id".into())),
        ("--refresh-time 90s", |o, s| o.refresh_time = 90 * s),
        ("--prepare-time 10m", |o, s| o.prepare_time = 600 * s),
        ("--activate-time 250ms", |o, s| o.activate_time = s / 4),
        ("--deactivate-time 1h30m", |o, s| o.deactivate_time = 5400 * s),
        ("--reboot-time 0s", |o, _| o.reboot_time = Duration::ZERO),
        ("--fail prepare=1 --fail reboot=-2:in:hibited", |o, _| {
            o.endings =
                vec![(Prepare, Ending::failed(1, "")), (Reboot, Ending::failed(-2, "in:hibited"))]
        }),
    ];
    for (line, change) in rows {
        let mut expected = plain.clone();
        change(&mut expected, second);
        let order = Order::Serve("api.sock".into(), Box::new(expected));
        assert_eq!(parse(line), Ok(order), "{line}");
    }

    let many = Order::ServeMany("s".into(), 3, Box::new(plain));
    assert_eq!(parse("--nodes 3 --socket s"), Ok(many));

    let fleet = |change: fn(&mut Fleet)| {
        let mut fleet = Fleet::default();
        change(&mut fleet);
        Ok(Order::Fleet(fleet))
    };
    for (line, expected) in [
        ("fleet", fleet(|_| ())),
        ("fleet --nodes 7 --seed 9", fleet(|f| (f.nodes, f.seed) = (7, 9))),
        ("fleet --interval 1m", fleet(|f| f.interval = Duration::from_secs(60))),
        (
            "fleet --window Sat-0:00-24:00",
            Err("cannot parse argument \"Sat-0:00-24:00\": not a time; a window is like \
                 22:00-04:00 or Mon-Fri 22:00-04:00, in UTC"),
        ),
        (
            "fleet --window 1:00-2:00 --window 3:00-4:00;5:00-6:00",
            fleet(|f| f.windows.add(b"1:00-2:00;3:00-4:00;5:00-6:00").unwrap()),
        ),
        ("fleet --jitter 0s", fleet(|f| f.jitter = Some(Duration::ZERO))),
        ("fleet --time 1000h", fleet(|f| f.time = Duration::from_secs(3_600_000))),
        (
            "fleet --outage refresh=1h+90s",
            fleet(|f| {
                let (begin, length) = (Duration::from_secs(3600), Duration::from_secs(90));
                f.outage = Some(Outage { of: Outages::Refresh, begin, length });
            }),
        ),
        ("fleet -h", Ok(Order::Help)),
        ("fleet --offer 1.1.0", Err("invalid option '--offer'")),
        ("fleet --interval 0s", Err("cannot parse argument \"0s\": has to be above zero")),
        ("fleet --time 1001h", Err("cannot parse argument \"1001h\": at most 1000h")),
        (
            "fleet --outage node=1h+90s",
            Err("cannot parse argument \"node=1h+90s\": it is none of repository, refresh, api"),
        ),
        (
            "fleet --outage api=1h",
            Err("cannot parse argument \"api=1h\": not WHAT=BEGIN+LENGTH, such as api=1h+10m"),
        ),
        ("demo", Ok(Order::Demo(None))),
        ("demo --programs dir", Ok(Order::Demo(Some("dir".into())))),
        ("--help", Ok(Order::Help)),
        ("demo -h", Ok(Order::Help)),
        ("-V", Ok(Order::Version)),
        ("--nope", Err("invalid option '--nope'")),
        ("x", Err("unexpected argument \"x\"")),
        ("--arch a demo", Err("unexpected argument \"demo\"")),
        ("demo --arch a", Err("invalid option '--arch'")),
        ("--socket", Err("missing argument for option '--socket'")),
        (
            "--refresh-time 5",
            Err("cannot parse argument \"5\": not a duration like 250ms, 90s, 10m or 1h30m"),
        ),
        (
            "--refresh-time 99999999999999999h",
            Err("cannot parse argument \"99999999999999999h\": \
                 not a duration like 250ms, 90s, 10m or 1h30m"),
        ),
        (
            "--fail stage=1:x",
            Err("cannot parse argument \"stage=1:x\": the command is none of refresh, \
                 prepare, activate, deactivate, reboot"),
        ),
        (
            "--fail refresh",
            Err("cannot parse argument \"refresh\": not COMMAND=EXIT or COMMAND=EXIT:STDERR"),
        ),
        (
            "--fail refresh=0:x",
            Err("cannot parse argument \"refresh=0:x\": exit status 0 is no failure"),
        ),
    ] {
        assert_eq!(parse(line), expected.map_err(String::from), "{line}");
    }
}

/// Stand-ins for the programs; the real ones have their own tests.
fn stand_ins(checker: &str, updater: &str, reboot: &str) -> PathBuf {
    let directory = fresh("programs");
    fs::create_dir(&directory).unwrap();
    for (name, script) in [("checker", checker), ("updater", updater), ("reboot", reboot)] {
        let path = directory.join(format!("bottlerocket-{name}"));
        // Not by this process: while it has the file open, a child that another
        // test starts has it, too, and nobody may execute it.
        let wrote = process::Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$2\" && chmod 755 \"$2\"",
                "sh",
                script,
            ])
            .arg(&path)
            .status();
        assert!(wrote.unwrap().success());
    }
    directory
}

// One test, so that no other thread starts a program while a stand-in is still
// open for writing.
#[test]
fn the_demo_stops_where_the_story_goes_wrong() {
    let twice = "test -e $0.asked && exit 0; touch $0.asked; echo not yet; exit 1";
    for (checker, updater, reboot, end) in [
        ("echo oh no >&2; exit 3", "", "", "  oh no\nexit code 3, expected 1\n"),
        ("kill -9 $$", "", "", "signal: 9 (SIGKILL), expected exit code 1\n"),
        (twice, "exec sleep 60", "", "no end within 5s, stopped\n"),
        (twice, "while :; do echo x; done", "", "no end within 5s, stopped\n"),
        (twice, "echo \"$3\"", "exit 1", "exit code 1, expected 0\n"),
        (twice, "echo \"$3\"", "", "The node has not rebooted.\n"),
    ] {
        let programs = stand_ins(checker, updater, reboot);
        let mut out = Vec::new();
        let deadline = if end.contains("5s") { Duration::from_secs(5) } else { LONG };
        let demo = Demo { programs: programs.clone(), colour: false, deadline };
        assert!(!demo.run(&mut out).unwrap(), "{checker}, {updater}, {reboot}");
        let out = String::from_utf8(out).unwrap();
        let end = format!("{end}\nThis did not go as it should.\n");
        assert!(out.ends_with(&end), "{out}");
        fs::remove_dir_all(programs).unwrap();
    }

    let missing = Demo { programs: "/nowhere".into(), colour: false, deadline: LONG };
    assert_eq!(
        missing.run(&mut Vec::new()).unwrap_err().to_string(),
        "/nowhere/bottlerocket-checker does not exist: build the programs with \
         `cargo build --release`, or say where they are with --programs"
    );
}
