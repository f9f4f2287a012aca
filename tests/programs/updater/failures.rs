//! Failed commands, timeouts, unusable answers.

use super::{
    ACTIVATED, BACK, BUSY, DIRECTORY, FOUND, MISSING, Node, OFTEN, PREPARED, READY, REFUSED,
    STOPPED, WHOLE_UPDATE, cannot_be_used, instant, side_by_side, started, updater, version_of,
};
use crate::common::daemon::{LONG, Outcome, Running};
use crate::common::records::{Format, Record};
use crate::common::{Directory, leave_stale_socket, run};
use bottlerocket_simulator::Command::{self as Action, Activate, Deactivate, Prepare, Refresh};
use bottlerocket_simulator::State::Ready;
use bottlerocket_simulator::{Ending, Fault, MANUAL, Rule, Then};
use rustix::process::Signal;
use std::fs;
use std::time::Instant;

/// Text with everything that may confuse a terminal, a log collector or a parser.
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
fn failure_is_logged_in_one_readable_line() {
    let ugly = ugly();
    side_by_side(
        [
            (&[][..], Refresh, &[][..]),
            (&[], Prepare, &[FOUND]),
            (&[], Activate, &[FOUND, PREPARED]),
            (&[Refresh, Prepare, Activate], Deactivate, &[]),
        ],
        |(before, action, summary)| {
            for format in [Format::Logfmt, Format::Json] {
                let node = Node::new(instant());
                node.run(before);
                node.simulator.change(|node, _| {
                    node.fail_always(action, 17, &ugly);
                    if action == Deactivate {
                        node.options.offer = vec!["1.26.2".into()];
                    }
                });
                let arguments = ["-one-time", "-log-format", format.name()];
                let outcome = Outcome::of(run(&mut node.updater(&arguments)), format);
                assert_eq!(outcome.status, Some(3));
                let (last, others) = outcome.records.split_last().unwrap();
                let others: Vec<_> = others.iter().map(Record::summary).collect();
                assert_eq!(others, summary);
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
                // The failed command was sent only once.
                let posts = node.requests();
                let failed = format!("{} 204", action.name());
                assert_eq!(posts.iter().filter(|request| **request == failed).count(), 1);
            }
        },
    );
}

#[test]
fn success_without_effect_ends_the_cycle() {
    let node = Node::new(instant());
    node.simulator.change(|node, _| node.options.endings.push((Prepare, Ending::junk())));
    node.one_time(&[]).is(
        3,
        &[
            FOUND,
            PREPARED,
            "error: commands succeed, but the update makes no progress \
             command=prepare version=1.26.1",
        ],
    );
    assert_eq!(node.requests().iter().filter(|request| *request == "prepare 204").count(), 1);
}

#[test]
fn command_that_never_ends_times_out() {
    let overdue = |action: Action| {
        format!(
            "error: command timed out; it may still be running command={}{} \
             timeout=1s",
            action.name(),
            version_of(action.name())
        )
    };
    side_by_side(
        [(Refresh, &[][..]), (Prepare, &[FOUND]), (Activate, &[FOUND, PREPARED])],
        |(action, summary)| {
            let node = Node::new(instant());
            node.set_time(action, MANUAL);
            let flag = format!("-{}-timeout=1s", action.name());
            let outcome = node.one_time(&[&flag]);
            let overdue = overdue(action);
            outcome.is(3, &[summary, &[overdue.as_str()]].concat());
            // The command goes on, and the next run waits for it.
            assert_eq!(node.simulator.look(|view| view.node.busy()), Some(action));
            let mut updater = Running::start(&mut node.updater(&["-one-time"]));
            updater.wait_for("an update command is running");
            node.finish();
            assert_eq!(updater.end().status, Some(0));
            assert_eq!(node.state(), Some(Ready));
        },
    );
}

#[test]
fn outcome_of_an_overdue_command_is_logged_by_the_next_cycle() {
    let node = Node::new(instant());
    node.set_time(Prepare, MANUAL);
    node.simulator.change(|node, _| node.fail_next(Prepare, 2, "no space"));
    let mut updater = Running::start(node.updater(&OFTEN).arg("-prepare-timeout=1s"));
    updater.wait_for("command timed out");
    updater.wait_for("command is still running");
    node.finish();
    updater.wait_for("ready, waiting for the reboot");
    let failed = "error: command failed command=prepare version=1.26.1 status=Failed \
                  exit_status=2 took=_ stderr=no space";
    let started = started(&node, "50ms");
    let expected = [
        started.as_str(),
        FOUND,
        "error: command timed out; it may still be running command=prepare version=1.26.1 \
         timeout=1s",
        "info: command is still running command=prepare took=_",
        failed,
        FOUND,
        PREPARED,
        ACTIVATED,
        READY,
        STOPPED,
    ];
    let mut summary = updater.stop(Signal::TERM).summary();
    // Whether the next cycle comes before the end of this short pause depends on the machine.
    summary.retain(|line| !line.contains("waiting before sending it again"));
    assert_eq!(summary, expected);
}

#[test]
fn outcome_of_a_command_that_outlives_the_updater_is_logged_at_the_next_start() {
    side_by_side([false, true], |still_runs| {
        let node = Node::new(instant());
        node.set_time(Prepare, MANUAL);
        node.simulator.change(|node, _| node.fail_next(Prepare, 2, "no space"));
        let updater = Running::start(&mut node.updater(&["-one-time"]));
        node.wait_for_busy(Prepare);
        updater.stop(Signal::TERM);
        if !still_runs {
            node.finish();
        }
        let mut updater = Running::start(&mut node.updater(&["-one-time"]));
        if still_runs {
            updater.wait_for("an update command is running");
            node.finish();
        }
        let failed = "error: command failed command=prepare version=1.26.1 status=Failed \
                      exit_status=2 stderr=no space";
        let mut summary = updater.end().summary();
        summary.retain(|line| line != BUSY);
        assert_eq!(summary, [failed, FOUND, PREPARED, ACTIVATED, READY]);
    });
}

#[test]
fn one_cycle_does_not_wait_for_a_socket() {
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
        (&directory.path().to_path_buf(), DIRECTORY),
        (&long, "cannot connect: name too long"),
    ] {
        let begin = Instant::now();
        let outcome = Outcome::of(run(&mut updater(socket, &["-one-time"])), Format::Logfmt);
        outcome.is(3, &[&cannot_be_used("status", error, socket)]);
        assert!(begin.elapsed() < LONG / 2, "{:?}", begin.elapsed());
    }
}

#[test]
fn api_that_is_too_busy_is_asked_again() {
    let node = Node::new(instant());
    let busy = Fault::raw("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
    for (method, path) in
        [("GET", "/updates/status"), ("POST", Prepare.path()), ("POST", Activate.path())]
    {
        node.simulator.inject(Rule::from(busy.clone()).on(method, path));
    }
    let outcome =
        Outcome::of(run(&mut updater(node.simulator.path(), &["-one-time"])), Format::Logfmt);
    outcome.is(0, &WHOLE_UPDATE);
    assert_eq!(node.simulator.look(|view| view.count("POST", Prepare.path())), 2);
}

#[test]
fn unusable_answers_end_a_cycle() {
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
            // The second attempt fails, too.
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
fn command_with_a_lost_answer_is_not_a_failure() {
    side_by_side([Refresh, Prepare, Activate], |action| {
        // The command may have been carried out or not. One lost answer is not a failure.
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
            let mut summary = WHOLE_UPDATE.to_vec();
            summary.insert(if action == Activate { 2 } else { 0 }, &lost);
            // The recovery is logged when the command is sent again, or when its effect
            // is seen. At the end of the cycle it is not logged.
            let at = match (carried_out, action) {
                (false, Refresh | Prepare) | (true, Refresh) => Some(1),
                (true, Prepare) => Some(3),
                (false, _) => Some(3),
                (true, _) => None,
            };
            if let Some(at) = at {
                summary.insert(at, BACK);
            }
            node.one_time(&[]).is(0, &summary);
            let tries = node.simulator.look(|view| view.count("POST", action.path()));
            assert_eq!(tries, if carried_out { 1 } else { 2 }, "{}", action.name());
        }
    });
}
