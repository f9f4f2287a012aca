//! The simulated node against byte-exact captures of a real one.

use bottlerocket_simulator::{Command, Ending, Lock, Options, Simulator, State, UNTIL_TOLD};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

/// A socket path that no other test uses.
fn socket() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("simulator-{}-{count}.sock", std::process::id()))
}

fn start(options: Options) -> Simulator {
    Simulator::start(socket(), options).expect("the simulator starts")
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
        refresh_time: UNTIL_TOLD,
        ..Options::default()
    }
}

fn refresh_runs(simulator: &Simulator) {
    let mut stream = connect(simulator);
    simulator.change(|node, _| node.options.refresh_time = UNTIL_TOLD);
    stream.write_all(b"POST /actions/refresh-updates HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(simulator.wait_until(LONG, |view| view.node.busy() == Some(Command::Refresh)));
}

fn staged_without_chosen(simulator: &Simulator) {
    run(simulator, &[Command::Refresh, Command::Prepare]);
    simulator.change(|node, _| node.options.offer.clear());
    run(simulator, &[Command::Refresh]);
}

fn prepare_failed(simulator: &Simulator) {
    run(simulator, &[Command::Refresh]);
    let stderr = "Error: could not write \"image\"\nC:\\path\\to\\x\ttab éü ☃ 😀 <&> /slash/ \
                  \u{1}\u{1b}[31mred\u{1b}[0m\u{7f}\r\nlast line, no newline bad-utf8:\u{fffd}\u{fffd}.";
    simulator.change(|node, _| node.fail_next(Command::Prepare, 17, stderr));
    run(simulator, &[Command::Prepare]);
}

fn reboot_inhibited(simulator: &Simulator) {
    let reason = "Operation inhibited by \"backup\" (PID 123 \"systemd-inhib\"), \
                  reason is \"a \\ é\".\nPlease retry operation after closing inhibitors \
                  and logging out other users.\n";
    simulator.change(|node, _| node.end_next(Command::Reboot, Ending::failed(1, reason)));
}

fn run(simulator: &Simulator, commands: &[Command]) {
    for command in commands {
        simulator.run(*command).expect("the command is allowed");
    }
}

#[test]
fn answers_are_those_of_the_captured_server() {
    use Command::{Activate, Prepare, Refresh};
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
        ("slow-request-408", |s| {
            s.change(|node, _| node.options.request_timeout = Duration::from_millis(50))
        }),
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

    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
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

#[test]
fn a_node_goes_from_one_version_to_the_next() {
    use Command::{Activate, Prepare, Reboot, Refresh};
    let simulator = start(Options::default());
    let boot_id = simulator.look(|view| view.node.boot_id());
    run(&simulator, &[Refresh, Prepare, Activate]);
    assert_eq!(simulator.look(|view| view.node.state()), Some(State::Ready));
    run(&simulator, &[Reboot]);
    simulator.look(|view| {
        assert_eq!(view.node.state(), None);
        assert_eq!(view.node.options.running, "1.26.1");
        assert_ne!(view.node.boot_id(), boot_id);
    });
}
