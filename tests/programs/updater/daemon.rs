//! The daemon: its cycles, API restarts, giving up.

use super::{
    ACTIVATED, BACK, FOUND, MISSING, NOTHING, Node, OFTEN, PREPARED, READY, REFUSED, STOPPED,
    WHOLE_UPDATE, cannot_be_used, instant, side_by_side, started, updater, version_of,
};
use crate::common::daemon::Running;
use crate::common::records::Format;
use crate::common::{Directory, run};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::State::Ready;
use bottlerocket_simulator::{Ending, MANUAL, Options, Simulator};
use rustix::process::Signal;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn daemon_finds_a_new_update() {
    side_by_side([Format::Logfmt, Format::Json], |format| {
        let node = Node::new(Options { offer: Vec::new(), ..instant() });
        let mut command = node.updater(&OFTEN);
        let mut updater = Running::start(command.args(["-log-format", format.name()]));
        updater.format = format;
        updater.wait_for("nothing to do");
        node.wait_for_status_requests(6);
        node.simulator.change(|node, _| node.options.offer = vec!["1.26.1".into()]);
        updater.wait_for("ready, waiting for the reboot");
        let before = node.requests().len();
        node.wait_for_status_requests(3);
        // In this state the daemon reads the status and refreshes.
        let goes_on = |request: &String| request.starts_with("GET") || request == "refresh 204";
        assert!(node.requests()[before..].iter().all(goes_on));
        // A cycle with the same result as the last one is not logged.
        let summary = updater.stop(Signal::TERM).summary();
        let started = started(&node, "50ms");
        let expected = [started.as_str(), NOTHING, FOUND, PREPARED, ACTIVATED, READY, STOPPED];
        assert_eq!(summary, expected);
    });
}

#[test]
fn cycle_without_news_is_three_calls_and_no_line() {
    let node = Node::new(Options { offer: Vec::new(), ..instant() });
    let updater = Running::start(&mut node.updater(&OFTEN));
    node.wait_for_status_requests(8);
    let outcome = updater.stop(Signal::TERM);
    assert_eq!(outcome.summary(), [&started(&node, "50ms"), NOTHING, STOPPED]);
    // At the debug level, each cycle logs its result.
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
fn daemon_retries_after_a_failure() {
    let node = Node::new(instant());
    node.simulator.change(|node, _| {
        node.fail_next(Refresh, 1, "no network");
        node.fail_next(Prepare, 2, "no space");
        node.fail_next(Activate, 3, "no luck");
    });
    let mut updater = Running::start(&mut node.updater(&OFTEN));
    updater.wait_for("ready, waiting for the reboot");
    let mut summary = updater.stop(Signal::TERM).summary();
    summary.dedup();
    let failed = |command: &str, exit: i32, stderr: &str| {
        format!(
            "error: command failed command={command}{} \
             status=Failed exit_status={exit} took=_ stderr={stderr}",
            version_of(command)
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
        FOUND,
        PREPARED,
        ACTIVATED,
        READY,
        STOPPED,
    ];
    assert_eq!(summary, expected);
    // After the activate that failed, the image was written again.
    assert_eq!(node.requests().iter().filter(|request| *request == "prepare 204").count(), 3);
}

/// The node refuses each activate until a prepare has written the image again.
#[test]
fn daemon_prepares_again_if_the_staged_update_cannot_be_activated() {
    let cases = [
        (&[Refresh, Prepare][..], Prepare, Ending::failed(1, "connection reset")),
        (&[Refresh][..], Prepare, Ending::no_update_required()),
        (&[Refresh, Prepare][..], Activate, Ending::cut_off()),
    ];
    side_by_side(cases, |(before, action, ending)| {
        let node = Node::new(instant());
        node.run(before);
        node.simulator.change(|node, _| node.end_next(action, ending));
        node.run(&[action]);
        let mut updater = Running::start(&mut node.updater(&OFTEN));
        updater.wait_for("command failed");
        updater.wait_for("ready, waiting for the reboot");
        updater.stop(Signal::TERM);
        let requests = node.requests();
        let posts: Vec<_> = requests.iter().filter(|request| request.ends_with(" 204")).collect();
        let ours = ["refresh 204", "activate 204", "refresh 204", "prepare 204", "activate 204"];
        assert_eq!(posts, ours);
    });
}

#[test]
fn daemon_continues_after_an_api_restart_in_each_phase() {
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
        let outcome = updater.stop(Signal::TERM);
        assert_eq!(outcome.status, Some(0));
        let summary = outcome.summary();
        let count = |start: &str| summary.iter().filter(|line| line.starts_with(start)).count();
        // If the daemon was in the middle of a call, that is logged as well.
        let lost = count("error: the API is unavailable ");
        assert!((1..=2).contains(&lost), "{summary:?}");
        assert_eq!(count("error: "), lost, "{summary:?}");
        assert_eq!(count(BACK), 1, "{summary:?}");
        assert_eq!((count(FOUND), count(PREPARED), count(ACTIVATED)), (1, 1, 1), "{summary:?}");
    });
}

#[test]
fn daemon_waits_for_a_missing_socket() {
    let directory = Directory::new();
    let mut updater = Running::start(&mut updater(&directory.socket(), &OFTEN));
    updater.wait_for("the API is unavailable");
    let node = Simulator::start(directory.socket(), instant()).unwrap();
    updater.wait_for("ready, waiting for the reboot");
    let outcome = updater.stop(Signal::TERM);
    let lost = cannot_be_used("status", MISSING, node.path());
    assert_eq!(outcome.summary()[1..7], [&[lost.as_str(), BACK][..], &WHOLE_UPDATE].concat());
}

/// A pod that has mounted the socket file keeps the old socket forever, like a hard link.
#[test]
fn daemon_gives_up_a_stale_socket() {
    let node = Node::new(Options { offer: Vec::new(), ..instant() });
    let mounted = node.simulator.path().with_file_name("mounted.sock");
    fs::hard_link(node.simulator.path(), &mounted).unwrap();
    let arguments = [&OFTEN[..], &["-give-up=1s"]].concat();
    let mut updater = Running::start(&mut updater(&mounted, &arguments));
    updater.wait_for("nothing to do");
    let begin = Instant::now();
    node.simulator.restart().unwrap();
    updater.wait_for("the API is unavailable");
    let outcome = updater.end();
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    assert_eq!(outcome.status, Some(3));
    let summary = outcome.summary();
    // If the daemon was in the middle of a call, that is logged first.
    let [.., lost, gave_up] = &summary[..] else { panic!("{summary:?}") };
    assert_eq!(*lost, cannot_be_used("status", REFUSED, &mounted));
    let giving_up = "error: the socket is unreachable; exiting so that a restarted \
                     container mounts a new one after=_";
    assert_eq!(*gave_up, format!("{giving_up} error={REFUSED}"));

    // A restarted container mounts the new socket.
    fs::remove_file(&mounted).unwrap();
    fs::hard_link(node.simulator.path(), &mounted).unwrap();
    let again = run(&mut super::updater(&mounted, &["-one-time"]));
    assert_eq!(again.status, Some(0), "{again:?}");
}

#[test]
fn maximum_durations_do_not_overflow() {
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
fn new_daemon_continues_the_command_of_the_old_one() {
    side_by_side([Refresh, Prepare, Activate], |action| {
        let node = Node::new(instant());
        node.set_time(action, MANUAL);
        let updater = Running::start(&mut node.updater(&OFTEN));
        node.wait_for_busy(action);
        node.wait_for_status_requests(1);
        assert_eq!(updater.stop(Signal::TERM).status, Some(0));
        let mut updater = Running::start(&mut node.updater(&OFTEN));
        updater.wait_for("an update command is running");
        node.finish();
        node.wait_for_state(Ready);
        updater.wait_for("ready, waiting for the reboot");
        assert_eq!(updater.stop(Signal::TERM).status, Some(0));
        let posts = node.simulator.look(|view| view.count("POST", Prepare.path()));
        assert_eq!(posts, 1, "the image is prepared only once");
    });
}
