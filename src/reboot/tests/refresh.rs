//! The refresh before a reboot with `-confirm`.

use super::*;

const WITHDRAWN: &str = "not rebooting: the update has been deactivated: state Staged, no update \
                         chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64";
const DEACTIVATING: &str =
    "1.26.1 is Ready but no longer chosen; deactivating it instead of rebooting";

#[test]
fn confirm_reboots_if_what_is_ready_is_still_chosen() {
    let mut rows = refreshed(READY, STILL_CHOSEN);
    rows.push(("reboot", 0, "204"));
    confirm(60).play(&rows, 0, ACCEPTED, 700);
    // What an earlier refresh has chosen does not matter.
    rows[0].2 = NONE_CHOSEN;
    rows[4].2 = "Ready 1.26.1>1.26.1 refresh=Success@9";
    confirm(60).play(&rows, 0, ACCEPTED, 700);
}

#[test]
fn confirm_deactivates_what_is_no_longer_chosen() {
    for withdrawn in [NONE_CHOSEN, OTHER_CHOSEN] {
        let mut rows = refreshed(READY, withdrawn);
        rows.extend([("deactivate", 0, "204"), ("status", 100, "423")]);
        rows.push(("status", 200, DEACTIVATED));
        confirm(60).play_with_warnings(&rows, 1, WITHDRAWN, 1_000, &[DEACTIVATING]);
        // Somebody else has deactivated it.
        rows.truncate(5);
        rows.extend([("deactivate", 0, "409 not allowed"), ("status", 100, DEACTIVATED)]);
        confirm(60).play_with_warnings(&rows, 1, WITHDRAWN, 800, &[DEACTIVATING]);
    }
    let rows = [&refreshed(READY, NONE_CHOSEN)[..], &[("deactivate", 0, "204")]].concat();
    let rebooted = [&rows[..], &[("status", 100, "404")]].concat();
    let line = "not rebooting: no refresh since the node booted";
    confirm(60).play_with_warnings(&rebooted, 1, line, 800, &[DEACTIVATING]);
}

#[test]
fn deactivate_is_repeated_until_the_timeout() {
    let advice = "; any other reboot of the node boots it. To deactivate it, run apiclient update \
                  cancel";
    let ready = "Ready 1.26.1>- deactivate=Failed@9";
    let failed = "deactivate failed (Failed, exit status 1): no space";
    let not_shown = "the status does not show the outcome of the command";
    let held = "update lock held for 2s";
    let refused = "cannot read the update status from /run/api.sock: the API returned 500: no";
    for (deactivate, status, why) in [
        ("204", ready, failed),
        ("423", ready, held),
        ("409 no", ready, failed),
        ("500 no", ready, failed),
        ("break", ready, failed),
        ("204", NONE_CHOSEN, not_shown),
        ("204", "423", held),
        ("204", "500 no", refused),
    ] {
        let line = format!("not rebooting: the update could not be deactivated: {why}{advice}");
        // This begins after 700 ms.
        let mut rows = refreshed(READY, NONE_CHOSEN);
        rows.extend([("deactivate", 0, deactivate), ("status", 100, status)]);
        if status.starts_with("Ready") {
            rows.extend([("deactivate", 200, deactivate), ("status", 400, status)]);
            rows.extend([("deactivate", 500, deactivate), ("status", 0, status)]);
        } else {
            rows.extend([200, 400, 500].map(|pause| ("status", pause, status)));
        }
        confirm(2).play_with_warnings(&rows, 3, &line, 1_900, &[DEACTIVATING]);
        // It works at last.
        rows.last_mut().unwrap().2 = DEACTIVATED;
        confirm(2).play_with_warnings(&rows, 1, WITHDRAWN, 1_900, &[DEACTIVATING]);
    }
    let mut rows = refreshed(READY, NONE_CHOSEN);
    rows.extend([("deactivate", 0, "silence"), ("status", 0, "silence")]);
    let why = "cannot read the update status from /run/api.sock: timed out waiting for a response";
    let line = format!("not rebooting: the update could not be deactivated: {why}{advice}");
    confirm(2).play_with_warnings(&rows, 3, &line, 2_000, &[DEACTIVATING]);
}

#[test]
fn confirm_reboots_after_a_refresh_that_fails() {
    let failed = "Ready 1.26.1>1.26.1 refresh=Failed@8";
    let warning = format!("refresh failed (Failed, exit status 1): no space; {RELYING}");
    let mut rows = refreshed(READY, failed);
    rows.push(("reboot", 0, "204"));
    confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 700, &[&warning]);
    // Another client's command has ended since.
    rows[4].2 = "Ready 1.26.1>1.26.1 activate=Success@8";
    let warning = format!("the status does not show the outcome of the command; {RELYING}");
    confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 700, &[&warning]);

    for (answer, why) in [
        ("500 no dispatcher", "the API returned 500: no dispatcher"),
        ("409 no", "the API returned 409: no"),
        ("descriptors", "cannot set up the call: too many open files"),
    ] {
        let warning = format!("cannot refresh the updates through /run/api.sock: {why}; {RELYING}");
        let rows = [("status", 0, READY), ("refresh", 0, answer), ("status", 100, READY)];
        let rebooted = [&rows[..], &[("reboot", 0, "204")]].concat();
        confirm(60).play_with_warnings(&rebooted, 0, ACCEPTED, 100, &[&warning]);
        // The state has changed meanwhile.
        let mut changed = rows;
        changed[2].2 = DEACTIVATED;
        let line = WITHDRAWN.replace("the update has been deactivated: ", "");
        confirm(60).play_with_warnings(&changed, 1, &line, 100, &[&warning]);
        // Or the status cannot be read any more.
        let mut broken = rebooted;
        broken[2].2 = "+30s garbage";
        let other = format!(
            "cannot read the update status from /run/api.sock: the response is not HTTP/1.1; \
             {RELYING}"
        );
        confirm(60).play_with_warnings(&broken, 0, ACCEPTED, 30_100, &[&warning, &other]);
        broken[2].2 = "garbage";
        broken.insert(3, ("status", 200, READY));
        confirm(60).play_with_warnings(&broken, 0, ACCEPTED, 300, &[&warning]);
    }
}

/// A refresh that was not seen to succeed does not undo what an earlier one has shown.
#[test]
fn confirm_does_not_reboot_into_a_version_that_was_withdrawn_before() {
    let failed = "Ready 1.26.1>- refresh=Failed@8";
    let refused =
        [("status", 0, NONE_CHOSEN), ("refresh", 0, "500 no"), ("status", 100, "+30s garbage")];
    let [failed, hanging] = [
        vec![("status", 0, NONE_CHOSEN), ("refresh", 0, "204"), ("status", 100, failed)],
        vec![("status", 0, NONE_CHOSEN), ("refresh", 0, "204"), ("status", 100, "+30s 423")],
    ];
    for (rows, took) in [(failed, 400), (hanging, 30_400), (refused.into(), 30_400)] {
        // The first has the timestamp of the second status.
        let mut rows = rows;
        rows[0].2 = "Ready 1.26.1>- activate=Success@7";
        rows.extend([("deactivate", 0, "204"), ("status", 100, "423")]);
        rows.push(("status", 200, DEACTIVATED));
        let mut script = confirm(61);
        script.play_rows(&rows, 1, WITHDRAWN, took);
        assert_eq!(script.warnings.last().unwrap(), DEACTIVATING);
    }
}

/// The pauses while a refresh of up to 30 s runs.
const FOLLOWED: [u64; 19] = [
    100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000,
    2_000, 2_000, 2_000, 2_000, 800,
];

#[test]
fn confirm_waits_for_a_refresh_until_its_limit() {
    let shown = format!("the status does not show the outcome of the command; {RELYING}");
    for (answer, warning) in [
        ("423", format!("the refresh is still running after 30s; {RELYING}")),
        (READY, shown),
        (
            "500 no",
            format!(
                "cannot read the update status from /run/api.sock: the API returned 500: no; \
                 {RELYING}"
            ),
        ),
    ] {
        // Without an answer it may run as well.
        for refresh in ["204", "break", "reset"] {
            let mut rows = vec![("status", 0, READY), ("refresh", 0, refresh)];
            rows.extend(FOLLOWED.map(|pause| ("status", pause, answer)));
            let last = rows.len() - 1;
            rows.push(("reboot", 0, "204"));
            confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 29_900, &[&warning]);
            rows.truncate(last + 1);
            rows[last].2 = STILL_CHOSEN;
            rows.push(("reboot", 0, "204"));
            confirm(60).play(&rows, 0, ACCEPTED, 29_900);
            // A call ends at the limit, too.
            rows[last].2 = "silence";
            let silent = format!(
                "cannot read the update status from /run/api.sock: timed out waiting for a \
                 response; {RELYING}"
            );
            let warning = if answer == "423" { &warning } else { &silent };
            confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 30_000, &[warning]);
        }
    }
    // The other half of the time is for the reboot.
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "silence"), ("status", 0, "423")];
    rows.push(("reboot", 0, "silence"));
    let line = not_rebooted("timed out waiting for a response (-timeout 20s)");
    let warning = format!("the refresh is still running after 10s; {RELYING}");
    confirm(20).play_with_warnings(&rows, 3, &line, 20_000, &[&warning]);
}

#[test]
fn confirm_repeats_a_refresh_without_effect() {
    for (answer, why) in NO_EFFECT.into_iter().filter(|(answer, _)| !answer.starts_with("423")) {
        let mut rows = vec![("status", 0, READY), ("refresh", 0, answer), ("refresh", 100, answer)];
        rows.extend([("refresh", 200, "204"), ("status", 100, STILL_CHOSEN), ("reboot", 0, "204")]);
        confirm(60).play(&rows, 0, ACCEPTED, 400);
        // For half of the time. Then the status is read, also for half of the time.
        let mut rows = vec![("status", 0, READY), ("refresh", 0, answer), ("refresh", 100, answer)];
        rows.extend([200, 400, 200].map(|pause| ("refresh", pause, answer)));
        rows.extend([("status", 0, READY), ("reboot", 0, "204")]);
        let warning = format!("cannot refresh the updates through /run/api.sock: {why}; {RELYING}");
        confirm(2).play_with_warnings(&rows, 0, ACCEPTED, 900, &[&warning]);
    }
}

#[test]
fn confirm_waits_for_the_lock_of_others() {
    // A command of another client, before the refresh.
    let mut rows = vec![("status", 0, "423"), ("status", 100, READY)];
    rows.extend([("refresh", 0, "423"), ("refresh", 100, "423"), ("refresh", 200, "204")]);
    rows.extend([("status", 100, STILL_CHOSEN), ("reboot", 0, "204")]);
    confirm(60).play(&rows, 0, ACCEPTED, 500);
    // It holds the lock until the timeout.
    let line = "not rebooting: update lock held for 3s";
    let mut rows = vec![("status", 0, READY)];
    rows.extend(PAUSES.map(|pause| ("refresh", pause, "423")));
    confirm(3).play(&rows, 1, line, 2_900);
    // The last try may time out. Half of its time is for the reboot.
    rows[6].2 = "silence";
    confirm(3).play(&rows, 1, line, 2_950);
    let rows = PAUSES.map(|pause| ("status", pause, "423"));
    confirm(3).play(&rows, 1, line, 2_900);
    // The refresh has its time from the end of the lock.
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "+29s 423"), ("refresh", 100, "204")];
    rows.extend(FOLLOWED[..9].iter().map(|pause| ("status", *pause, "423")));
    rows.extend([("status", 2_000, STILL_CHOSEN), ("reboot", 0, "204")]);
    confirm(60).play(&rows, 0, ACCEPTED, 42_200);
    // Another client takes the lock after the refresh was refused.
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "500 no"), ("status", 100, "423")];
    rows.extend([("status", 200, "423"), ("status", 400, READY), ("reboot", 0, "204")]);
    let warning = format!(
        "cannot refresh the updates through /run/api.sock: the API returned 500: no; {RELYING}"
    );
    confirm(60).play_with_warnings(&rows, 0, ACCEPTED, 700, &[&warning]);
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "500 no")];
    rows.extend(PAUSES[1..].iter().map(|pause| ("status", *pause, "423")));
    confirm(3).play_with_warnings(&rows, 1, line, 2_900, &[&warning]);
    rows[6].2 = "full";
    confirm(3).play_with_warnings(&rows, 1, line, 2_950, &[&warning]);
}

#[test]
fn confirm_reboots_only_a_node_that_is_ready() {
    for (answer, why) in [
        ("Idle", "state Idle, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64"),
        ("404", "no refresh since the node booted"),
    ] {
        let line = format!("not rebooting: {why}");
        confirm(60).play(&[("status", 0, answer)], 1, &line, 0);
        let rows = [("status", 0, READY), ("refresh", 0, "204"), ("status", 100, answer)];
        confirm(60).play(&rows, 1, &line, 100);
    }
    for (answer, why) in ERRORS {
        let line = format!("cannot read the update status from /run/api.sock: {why}");
        confirm(60).play(&[("status", 0, answer)], 3, &line, 0);
    }
}
