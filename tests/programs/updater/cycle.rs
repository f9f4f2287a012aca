//! One cycle: the updates, other clients, refusals.

use super::{
    ACTIVATED, ACTIVATED_2, ACTIVATED_BEFORE, BUSY, FOUND, FOUND_2, NOT_CHOSEN_STAGED, NOTHING,
    NOTHING_STAGED, Node, PREPARED, PREPARED_2, PREPARED_BEFORE, READY, READY_2, REPLACED,
    WHOLE_UPDATE, WITHDRAWN, instant, side_by_side,
};
use crate::common::daemon::Running;
use bottlerocket_simulator::Command::{Activate, Deactivate, Prepare, Refresh};
use bottlerocket_simulator::State::{self, Staged};
use bottlerocket_simulator::{Fault, Lock, MANUAL, Rule};
use rustix::process::Signal;

#[test]
fn one_cycle_updates_a_node_from_every_state() {
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
        ("no status, no update", no_offer, &["GET 404", "refresh 204", "GET 200"], &[NOTHING]),
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
            "Idle after a failed refresh",
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
            "Available, but withdrawn",
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
            "Staged, but another version is chosen",
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
            "Staged, but withdrawn",
            |node| {
                node.run(&[Refresh, Prepare]);
                node.simulator.change(|node, _| node.options.offer.clear());
            },
            &["GET 200", "refresh 204", "GET 200"],
            &[NOTHING_STAGED],
        ),
        (
            "Ready",
            |node| node.run(&[Refresh, Prepare, Activate]),
            &["GET 200", "refresh 204", "GET 200"],
            &[READY],
        ),
        (
            "Ready, but withdrawn",
            |node| {
                node.run(&[Refresh, Prepare, Activate]);
                node.simulator.change(|node, _| node.options.offer.clear());
            },
            &["GET 200", "refresh 204", "GET 200", "deactivate 204", "GET 200"],
            &[WITHDRAWN, NOTHING_STAGED],
        ),
        (
            "Ready, but locked to the running version",
            |node| {
                node.run(&[Refresh, Prepare, Activate]);
                node.simulator.change(|node, _| node.options.version_lock = "1.26.0".into());
            },
            &["GET 200", "refresh 204", "GET 200", "deactivate 204", "GET 200"],
            &[WITHDRAWN, NOT_CHOSEN_STAGED],
        ),
        (
            "Ready, but another version is chosen",
            |node| {
                node.run(&[Refresh, Prepare, Activate]);
                node.simulator.change(|node, _| node.options.offer.push("1.26.2".into()));
            },
            &[
                "GET 200",
                "refresh 204",
                "GET 200",
                "deactivate 204",
                "GET 200",
                "prepare 204",
                "GET 200",
                "activate 204",
                "GET 200",
            ],
            &[REPLACED, FOUND_2, PREPARED_2, ACTIVATED_2, READY_2],
        ),
    ];
    side_by_side(cases, |(name, setup, requests, summary)| {
        let node = Node::new(instant());
        setup(&node);
        let outcome = node.one_time(&[]);
        assert_eq!(outcome.summary(), *summary, "{name}");
        assert_eq!(outcome.status, Some(0), "{name}");
        assert_eq!(node.requests(), *requests, "{name}");
        let state = outcome.records.last().unwrap().get("state");
        assert_eq!(node.state().map(State::name), Some(state), "{name}");
    });
}

/// The updater waits for a command that another client has started, and continues from its
/// result.
#[test]
fn running_command_of_another_client_is_waited_for() {
    let rest_after_refresh = ["prepare 204", "GET 200", "activate 204", "GET 200"];
    side_by_side(
        [
            (&[][..], Refresh, &WHOLE_UPDATE[..], &rest_after_refresh[..]),
            (&[Refresh], Prepare, &[PREPARED_BEFORE, ACTIVATED, READY], &rest_after_refresh[2..]),
            (&[Refresh, Prepare], Activate, &[ACTIVATED_BEFORE, READY], &[]),
            (
                &[Refresh, Prepare, Activate],
                Deactivate,
                &[ACTIVATED, READY],
                &rest_after_refresh[2..],
            ),
        ],
        |(before, action, summary, rest)| {
            let node = Node::new(instant());
            node.run(before);
            node.begin(action);
            let mut updater = Running::start(&mut node.updater(&["-one-time"]));
            updater.wait_for("an update command is running");
            node.wait_for_status_requests(2);
            node.finish();
            let outcome = updater.end();
            assert_eq!(outcome.summary(), [&[BUSY], summary].concat(), "{}", action.name());
            assert_eq!(outcome.status, Some(0));
            let mut requests = node.requests();
            // The number of these requests depends on the speed of the machine.
            requests.retain(|request| request != "GET 423");
            let own = format!("{} 204", action.name());
            let begin = &["GET 200", "refresh 204", "GET 200"];
            let expected: Vec<&str> = [&[own.as_str()], &begin[..], rest].concat();
            assert_eq!(requests, expected, "{}", action.name());
        },
    );
}

#[test]
fn lock_taken_just_before_a_command_is_waited_for() {
    side_by_side([Refresh, Prepare, Activate], |action| {
        let node = Node::new(instant());
        // Another process takes the lock as a reader just before the command, and releases
        // it before the third attempt.
        let mut times = 0;
        node.simulator.before_each(move |node, request| {
            if request.path == action.path() {
                times += 1;
                node.set_lock(Some(Lock::Shared).filter(|_| times < 3));
            }
        });
        let mut summary = WHOLE_UPDATE.to_vec();
        let at = match action {
            Refresh | Prepare => 0,
            _ => 2,
        };
        summary.insert(at, BUSY);
        node.one_time(&[]).is(0, &summary);
        let refused = format!("{} 423", action.name());
        let requests = node.requests();
        assert_eq!(requests.iter().filter(|request| **request == refused).count(), 2);
        assert_eq!(requests.iter().filter(|request| request.contains("423")).count(), 2);
    });
}

#[test]
fn lock_that_is_never_released_times_out() {
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
fn status_is_read_again_after_a_refusal() {
    // Just before the activate, another client activates.
    let node = Node::new(instant());
    let mut first = true;
    node.simulator.before_each(move |node, request| {
        if request.path == Activate.path() && std::mem::take(&mut first) {
            node.run(Activate, request.at).unwrap();
        }
    });
    node.one_time(&[]).is(0, &[FOUND, PREPARED, READY]);
    assert_eq!(node.requests()[5..], ["activate 409", "GET 200"]);

    // Just before the prepare, the chosen update is withdrawn.
    let node = Node::new(instant());
    node.simulator.before_each(|node, request| {
        if request.path == Prepare.path() {
            node.options.offer.clear();
            node.run(Refresh, request.at).unwrap();
        }
    });
    node.one_time(&[]).is(0, &[NOTHING]);
    assert_eq!(node.requests()[3..], ["prepare 409", "GET 200"]);

    // The state is Staged, but no update is chosen any more.
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
    node.one_time(&[]).is(0, &[NOTHING_STAGED]);
    assert_eq!(node.requests()[3..], ["prepare 404", "GET 200"]);

    // The command is always refused, although the state allows it.
    let node = Node::new(instant());
    let refusal = "HTTP/1.1 409 Conflict\r\ncontent-length: 3\r\n\r\nno!";
    node.simulator.inject(Rule::from(Fault::raw(refusal)).on("POST", Prepare.path()).forever());
    node.one_time(&[]).is(
        3,
        &["error: the API refused the command command=prepare version=1.26.1 \
           error=the API returned 409: no!"],
    );
    assert_eq!(node.requests().iter().filter(|request| *request == "prepare lost").count(), 4);
}

#[test]
fn signal_ends_a_run_of_one_cycle() {
    side_by_side([Signal::TERM, Signal::INT], |signal| {
        let node = Node::new(instant());
        node.set_time(Prepare, MANUAL);
        let mut updater = Running::start(&mut node.updater(&["-one-time"]));
        updater.wait_for("preparing it");
        node.wait_for_status_requests(1);
        let name = if signal == Signal::TERM { "SIGTERM" } else { "SIGINT" };
        // Exit status 3: the node is not Ready, and there is work left.
        updater.stop(signal).is(3, &[FOUND, &format!("info: stopped signal={name}")]);
        node.finish();
        assert_eq!(node.state(), Some(Staged));
        node.one_time(&[]).is(0, &[ACTIVATED, READY]);
    });
}
