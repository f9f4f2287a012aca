//! The status before a reboot with `-if-ready`.

use super::*;

#[test]
fn if_ready_reboots_only_a_node_that_is_ready() {
    let rows = [("status", 0, "+1s Ready"), ("reboot", 0, "+2s 204")];
    if_ready(MINUTE).play(&rows, 0, ACCEPTED, 3_000);
    for (answer, why) in [
        ("Idle", "state Idle, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64"),
        ("404", "no refresh since the node booted"),
    ] {
        let line = format!("not rebooting: {why}");
        if_ready(MINUTE).play(&[("status", 0, answer)], 1, &line, 0);
    }
    for state in State::ALL.into_iter().filter(|state| *state != State::Ready) {
        let mut script = if_ready(MINUTE);
        script.row(("status", 0, state.name()));
        let Step::End(end) = script.next else { panic!("{state:?}: {:?}", script.next) };
        assert_eq!(end.exit_status(), 1, "{state:?}");
    }
}

/// Even if the connection breaks: nothing but the status was asked for.
#[test]
fn if_ready_fails_if_the_status_cannot_be_read() {
    let disconnects = [
        ("break", "connection closed before a response"),
        ("reset", "cannot receive the response: connection reset"),
    ];
    for (answer, why) in ERRORS.into_iter().chain(disconnects) {
        let line = format!("cannot read the update status from /run/api.sock: {why}");
        if_ready(MINUTE).play(&[("status", 0, answer)], 3, &line, 0);
        let rows = [("status", 0, "423"), ("status", 100, answer)];
        if_ready(MINUTE).play(&rows, 3, &line, 100);
    }
    let line = "cannot read the update status from /run/api.sock: \
                timed out waiting for a response (-timeout 1m)";
    if_ready(MINUTE).play(&[("status", 0, "silence")], 3, line, 60_000);
    // There was time for an answer, so that the 423 before it is not the result.
    let rows = [("status", 0, "423"), ("status", 100, "silence")];
    if_ready(MINUTE).play(&rows, 3, line, 60_000);
}

#[test]
fn if_ready_repeats_a_call_without_effect() {
    let timeout = Duration::from_secs(3);
    for (answer, why) in NO_EFFECT {
        let line = format!("cannot read the update status from /run/api.sock: {why}");
        let rows = PAUSES.map(|pause| ("status", pause, answer));
        if_ready(timeout).play(&rows, 3, &line, 2_900);
        let rows = [
            &rows[..2],
            &[("status", 200, "Ready"), ("reboot", 0, answer), ("reboot", 100, "204")],
        ]
        .concat();
        if_ready(timeout).play(&rows, 0, ACCEPTED, 400);
    }
}

#[test]
fn if_ready_waits_for_the_lock() {
    let locked = [
        ("status", 0, "423"),
        ("status", 100, "423"),
        ("status", 200, "423"),
        ("status", 400, "423"),
        ("status", 800, "423"),
    ];
    let timeout = Duration::from_secs(3);
    for (last, status, line) in [
        ("423", 1, "not rebooting: update lock held for 3s"),
        ("silence", 1, "not rebooting: update lock held for 3s"),
        ("full", 1, "not rebooting: update lock held for 3s"),
        ("404", 1, "not rebooting: no refresh since the node booted"),
    ] {
        let rows = [&locked[..], &[("status", 1_400, last)]].concat();
        let took = if answer(last).is_err() { 3_000 } else { 2_900 };
        if_ready(timeout).play(&rows, status, line, took);
    }
    let ready = [&locked[..2], &[("status", 200, "Ready"), ("reboot", 0, "204")]].concat();
    if_ready(timeout).play(&ready, 0, ACCEPTED, 300);
    // The timeout is for both calls.
    let rows = [&ready[..3], &[("reboot", 0, "silence")]].concat();
    let why = not_rebooted("timed out waiting for a response (-timeout 3s)");
    if_ready(timeout).play(&rows, 3, &why, 3_000);
}
