//! An update that is activated right before the reboot, and deactivated if there is none.

use super::*;

const ACTIVATED: &str = "Ready 1.26.1>1.26.1 activate=Success@8";
const UNDONE: &str = "Staged 1.26.1>1.26.1 deactivate=Success@9";
const UNDONE_LINE: &str = "not rebooting: the update has been deactivated again: state Staged, \
                           1.26.1 is prepared but not activated; running 1.26.0, variant \
                           aws-k8s-1.30, arch x86_64";

#[test]
fn staged_update_is_activated_before_the_request() {
    let activated = [("status", 0, STAGED), ("activate", 0, "204"), ("status", 100, ACTIVATED)];
    let mut rows = activated.to_vec();
    rows.push(("reboot", 0, "204"));
    activate(60).play(&rows, 0, ACCEPTED, 100);
    // The lock is held, by the activate itself or by others.
    let rows = [
        ("status", 0, STAGED),
        ("activate", 0, "423"),
        ("status", 100, "423"),
        ("status", 200, STAGED),
        ("activate", 400, "204"),
        ("status", 800, "423"),
        ("status", 1_600, ACTIVATED),
        ("reboot", 0, "204"),
    ];
    activate(60).play(&rows, 0, ACCEPTED, 3_100);
    // The answer is lost.
    let rows = [
        ("status", 0, STAGED),
        ("activate", 0, "break"),
        ("status", 100, ACTIVATED),
        ("reboot", 0, "204"),
    ];
    activate(60).play(&rows, 0, ACCEPTED, 100);
    // It is Ready already.
    activate(60).play(&[("status", 0, ACTIVATED), ("reboot", 0, "204")], 0, ACCEPTED, 0);
}

#[test]
fn staged_update_is_refreshed_recorded_and_activated() {
    let settings = Settings { activate: true, confirm: true, record: true, ..settings(MINUTE) };
    let mut rows = refreshed(STAGED, "Staged 1.26.1>1.26.1 refresh=Success@8");
    rows.push(("activate", 0, "204"));
    rows.push(("status", 100, "Ready 1.26.1>1.26.1 activate=Success@9"));
    rows.push(("record", 0, "1.26.1"));
    rows.push(("reboot", 0, "204"));
    Script::new(settings).play(&rows, 0, ACCEPTED, 800);
    // It is no longer chosen. It is not activated, and the node stays as it is.
    for (status, what) in [
        ("Staged 1.26.1>- refresh=Success@8", "no update chosen"),
        ("Staged 1.26.1>1.26.2 refresh=Success@8", "1.26.2 is chosen but not prepared"),
    ] {
        let line = format!(
            "not rebooting: state Staged, {what}; running 1.26.0, variant aws-k8s-1.30, arch x86_64"
        );
        Script::new(settings).play(&refreshed(STAGED, status), 1, &line, 700);
    }
}

#[test]
fn update_that_cannot_be_activated_is_a_failure() {
    let failed = "Staged 1.26.1>1.26.1 activate=Failed@8";
    let line = "not rebooting: the update could not be activated: activate failed (Failed, exit \
                status 1): no space";
    let rows = [("status", 0, STAGED), ("activate", 0, "204"), ("status", 100, failed)];
    activate(60).play(&rows, 3, line, 100);
    // The failure of an earlier activate says nothing about this one.
    let old = "Staged 1.26.1>1.26.1 activate=Failed@7";
    let rows = [
        ("status", 0, old),
        ("activate", 0, "204"),
        ("status", 100, old),
        ("activate", 200, "204"),
        ("status", 400, ACTIVATED),
        ("reboot", 0, "204"),
    ];
    activate(60).play(&rows, 0, ACCEPTED, 700);
    // The lock is held until the timeout.
    let mut rows = vec![("status", 0, STAGED), ("activate", 0, "423"), ("status", 100, "423")];
    rows.push(("status", 200, "423"));
    rows.push(("status", 400, "+1s 423"));
    let line = "not rebooting: the update could not be activated: update lock held for 1s";
    activate(1).play(&rows, 3, line, 1_700);
    // The activate has not ended at the timeout. It is not left to the next boot.
    for (answer, status, cause) in [
        ("204", "+1s 423", "update lock held for 1s"),
        ("break", "+1s 423", "update lock held for 1s"),
        (
            "204",
            "+1s refused",
            "cannot read the update status from /run/api.sock: cannot connect: connection refused \
             (is the API server running? if it has made a new socket, restart the container that \
             still mounts the old one)",
        ),
        (
            "204",
            "+1s Staged 1.26.1>1.26.1 prepare=Success@7",
            "the status does not show the outcome of the command",
        ),
    ] {
        let rows = [
            ("status", 0, STAGED),
            ("activate", 0, answer),
            ("status", 100, status),
            ("deactivate", 0, "423"),
            ("status", 100, "423"),
            ("status", 200, ACTIVATED),
            ("deactivate", 400, "204"),
            ("status", 800, UNDONE),
        ];
        let warning =
            format!("the outcome of the activate is not known: {cause}; deactivating the update");
        activate(1).play_with_warnings(&rows, 3, UNDONE_LINE, 2_600, &[&warning]);
    }
    // It is no longer Staged.
    let rows = [("status", 0, STAGED), ("activate", 0, "204"), ("status", 100, "404")];
    let line = "not rebooting: no refresh since the node booted";
    activate(60).play(&rows, 1, line, 100);
}

#[test]
fn update_is_deactivated_again_if_the_reboot_fails() {
    for (answer, why) in ERRORS.into_iter().filter(|(answer, _)| *answer != "garbage") {
        let rows = [
            ("status", 0, STAGED),
            ("activate", 0, "204"),
            ("status", 100, ACTIVATED),
            ("reboot", 0, answer),
            ("deactivate", 0, "204"),
            ("status", 100, UNDONE),
        ];
        let warning = format!("{}; deactivating the update again", not_rebooted(why));
        activate(60).play_with_warnings(&rows, 3, UNDONE_LINE, 200, &[&warning]);
    }
    // The record is removed first.
    let recorded = Settings { activate: true, record: true, ..settings(MINUTE) };
    let rows = [
        ("status", 0, ACTIVATED),
        ("record", 0, "1.26.1"),
        ("reboot", 0, "500 inhibited"),
        ("forget", 0, ""),
        ("deactivate", 0, "204"),
        ("status", 100, UNDONE),
    ];
    let warning = format!("{}; deactivating the update again", not_rebooted(ERRORS[0].1));
    Script::new(recorded).play_with_warnings(&rows, 3, UNDONE_LINE, 100, &[&warning]);
    // Also what an earlier run has activated, and also when the timeout is over.
    let mut rows = vec![("status", 0, ACTIVATED), ("reboot", 0, "+2s refused")];
    rows.extend([("deactivate", 0, "204"), ("status", 100, UNDONE)]);
    let warning = format!("{}; deactivating the update again", not_rebooted(NO_EFFECT[0].1));
    activate(1).play_with_warnings(&rows, 3, UNDONE_LINE, 2_100, &[&warning]);
    // The node may be rebooting: the update stays as it is.
    let rows = [("status", 0, ACTIVATED), ("reboot", 0, "silence")];
    let why = not_rebooted("timed out waiting for a response (-timeout 1m)");
    activate(60).play(&rows, 3, &why, 60_000);
    let rows = [("status", 0, ACTIVATED), ("reboot", 0, "garbage")];
    activate(60).play(&rows, 3, &not_rebooted("the response is not HTTP/1.1"), 0);
}
