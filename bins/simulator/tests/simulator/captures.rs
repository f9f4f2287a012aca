//! Answers of the simulated node, compared byte for byte with those of a real one.

use super::{LONG, connect, instant, read, run, set_request_timeout, start};
use bottlerocket_simulator::Command::{Activate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::{Ending, Lock, MANUAL, Node, Options, Simulator, calendar};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Replaces the value after each `mark`, up to `end`, by `_`s.
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

/// The configuration of the captured node: the repository has the running version, too.
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

/// The directory of the captured requests and answers. It is in the root package. These
/// tests are compiled in that package and in the simulator's.
fn transcripts() -> PathBuf {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut directories = packages.map(|package| package.join("tests/transcripts"));
    directories.find(|directory| directory.is_dir()).expect("the transcripts are there")
}

#[test]
fn answers_match_the_captured_server() {
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
    assert_eq!(names, captured, "each capture has a row in the table");

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
fn any_text_is_escaped_in_json() {
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
fn dates_match_known_seconds() {
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
