//! The update state: commands, refusals, failures and the update lock.

use super::{
    LOCKED, LONG, NO_CHOSEN, NOT_ALLOWED, NOT_YET, STATUS, STATUS_LOCKED, WAYS, ask, chosen,
    in_state, instant, post, run, start, state,
};
use bottlerocket_simulator::Command::{Activate, Deactivate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::State::{Available, Idle, Ready, Staged};
use bottlerocket_simulator::{Ending, LATEST, Lock, MANUAL, Options, Refusal, Simulator};
use std::time::Duration;

#[test]
fn every_command_in_every_state() {
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
fn first_action_creates_the_status_even_if_refused() {
    let simulator = start(instant());
    assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()));
    assert_eq!(post(&simulator, Activate), (409, NOT_ALLOWED.into()));
    let status = "{\"update_state\":\"Idle\",\"available_updates\":[],\"chosen_update\":null,\
                  \"active_partition\":{\"image\":{\"arch\":\"x86_64\",\"version\":\"1.26.0\",\
                  \"variant\":\"aws-k8s-1.30\"},\"next_to_boot\":true},\
                  \"staging_partition\":null,\"most_recent_command\":null}";
    assert_eq!(ask(&simulator, "GET", STATUS), (200, status.into()));
}

#[test]
fn failed_first_refresh_tells_the_running_version() {
    let simulator = start(instant());
    simulator.change(|node, _| node.fail_next(Refresh, 1, "no network"));
    assert_eq!(post(&simulator, Refresh), (204, String::new()));
    let (code, body) = ask(&simulator, "GET", STATUS);
    let begin = "{\"update_state\":\"Idle\",\"available_updates\":[],\"chosen_update\":null,\
                 \"active_partition\":{\"image\":{\"arch\":\"x86_64\",\"version\":\"1.26.0\",\
                 \"variant\":\"aws-k8s-1.30\"},\"next_to_boot\":true},\
                 \"staging_partition\":null,\"most_recent_command\":{\"cmd_type\":\"refresh\",\
                 \"cmd_status\":\"Failed\",";
    assert_eq!(code, 200);
    assert!(body.starts_with(begin), "{body}");
}

#[test]
fn image_without_in_place_updates_answers_500_and_never_has_a_status() {
    let simulator = start(Options { in_place_updates: false, ..instant() });
    let text = "Unable to start the update dispatcher: No such file or directory (os error 2) ";
    for command in [Refresh, Prepare, Activate, Deactivate, Refresh] {
        assert_eq!(post(&simulator, command), (500, text.into()), "{command:?}");
        assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()), "{command:?}");
    }
    assert_eq!(simulator.run(Refresh), Err(Refusal::NoDispatcher));
    assert_eq!(post(&simulator, Reboot), (204, String::new()));
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
        // A leading `v` is accepted.
        (&["1.26.1", "1.25.0"], "v1.25.0", &["1.26.1", "1.25.0"], Some("1.25.0")),
        (&["1.26.1", "1.26.0"], "v1.26.0", &["1.26.1", "1.26.0"], None),
        (&["1.26.1"], "v1.26.2", &["1.26.1"], None),
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
            assert_eq!(status.available, *available, "{case}");
            assert_eq!(chosen(view.node), *expected, "{case}");
            let state = if expected.is_some() { Available } else { Idle };
            assert_eq!(status.state, state, "{case}");
        });
    }
}

#[test]
fn refresh_chooses_by_max_version() {
    type Row<'a> = (&'a [&'a str], &'a str, &'a str, &'a [&'a str], Option<&'a str>);
    let rows: &[Row] = &[
        // The node runs 1.26.0. Versions above max_version are not offered.
        (&["1.26.2", "1.26.1"], LATEST, "1.26.1", &["1.26.1"], Some("1.26.1")),
        (&["1.26.2", "1.26.1"], "1.26.2", "1.26.1", &["1.26.1"], None),
        // An older version is chosen only if the running version is above max_version.
        (&["1.25.0"], LATEST, "1.26.0", &["1.25.0"], None),
        (&["1.25.0"], LATEST, "1.27.0", &["1.25.0"], None),
        (&["1.25.0"], LATEST, "1.25.9", &["1.25.0"], Some("1.25.0")),
        // The version lock ignores that.
        (&["1.25.0"], "1.25.0", "1.27.0", &["1.25.0"], Some("1.25.0")),
    ];
    for (offer, version_lock, max_version, available, expected) in rows {
        let simulator = start(Options {
            offer: offer.iter().map(|version| version.to_string()).collect(),
            version_lock: version_lock.to_string(),
            max_version: Some(max_version.to_string()),
            ..instant()
        });
        run(&simulator, &[Refresh]);
        simulator.look(|view| {
            let case = format!("{offer:?} {version_lock} {max_version}");
            assert_eq!(view.node.status().unwrap().available, *available, "{case}");
            assert_eq!(chosen(view.node), *expected, "{case}");
        });
    }
}

#[test]
fn version_lock_to_the_running_version_unchooses_at_the_next_successful_refresh() {
    for (before, way) in &WAYS[1..] {
        let simulator = start(instant());
        run(&simulator, way);
        simulator.change(|node, _| {
            node.options.version_lock = "v1.26.0".into();
            node.fail_next(Refresh, 1, "no network");
        });
        let idle_if_available = |state| if state == Some(Available) { Some(Idle) } else { state };
        for expected in [Some("1.26.1"), None] {
            simulator.look(|view| assert_eq!(chosen(view.node), Some("1.26.1"), "{before:?}"));
            run(&simulator, &[Refresh]);
            simulator.look(|view| assert_eq!(chosen(view.node), expected, "{before:?}"));
        }
        assert_eq!(state(&simulator), idle_if_available(*before));
        simulator.look(|view| {
            let status = view.node.status().unwrap();
            assert_eq!(status.available, ["1.26.1"], "the offer is still listed");
            assert_eq!(status.staging.is_some(), *before != Some(Available));
        });
    }
}

#[test]
fn refresh_changes_the_chosen_update_of_a_staged_node() {
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
fn state_after_a_failed_command() {
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
fn queued_failures_come_before_permanent_ones() {
    let simulator = start(instant());
    simulator.change(|node, _| {
        node.fail_always(Refresh, 3, "always");
        node.fail_next(Refresh, 1, "first");
        node.end_next(Refresh, Ending::failed(0, "a warning"));
        node.fail_next(Prepare, 8, "another command");
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
fn junk_reports_success_without_effect() {
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
fn running_command_holds_the_lock() {
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
fn command_ends_after_its_time() {
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
fn lock_of_another_process() {
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
