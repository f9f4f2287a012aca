//! A node on which the staged update cannot be activated.

use super::*;

const FAILED: &str = "error msg=\"command failed\" command=activate version=1.26.1 \
                      status=Failed exit_status=1 took=200ms \
                      stderr=\"no space \\\"left\\\" on device\"";
const SAME_CYCLE: [Row; 2] = [
    ("activate", 0, "204", ""),
    ("status", 200, "Ready 1.26.1 1.26.1 activate@9", ACTIVATED_READY),
];

/// A script after an activate that failed, in the next cycle.
fn after_a_failed_activate(settings: Settings) -> Script {
    let mut script = Script::new(settings);
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 activate!Failed@3", FAILED),
    ]);
    script.ends(End::Failed);
    next_cycle(script)
}

/// The first look, at an activate that failed before the start.
const BEFORE_THE_START: Row = (
    "status",
    0,
    "Staged 1.26.1 1.26.1 activate!Failed@3",
    "error msg=\"command failed\" command=activate version=1.26.1 status=Failed exit_status=1 \
     stderr=\"no space \\\"left\\\" on device\"",
);

/// A look and a refresh, after which 1.26.1 is still staged.
const LOOK_AND_REFRESH: [Row; 3] = [
    ("status", 0, "Staged 1.26.1 1.26.1 activate!Failed@3", ""),
    ("refresh", 0, "204", ""),
    ("status", 200, "Staged 1.26.1 1.26.1 refresh@4", ""),
];

#[test]
fn failed_activate_is_followed_by_a_prepare() {
    // The failed command ends the cycle. The next one prepares again, once.
    let mut script = after_a_failed_activate(Settings::default());
    script.rows(&LOOK_AND_REFRESH).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@5", PREPARED),
    ]);
    script.rows(&SAME_CYCLE).ends(End::Done);
}

#[test]
fn failed_activate_of_another_client_is_followed_by_a_prepare() {
    // Before the cycle.
    for outcome in ["Failed", "Unknown"] {
        let before = format!("Staged 1.26.1 1.26.1 activate!{outcome}@3");
        let mut script = Script::new(Settings::default());
        script.row(("status", 0, "Staged 1.26.1 1.26.1 refresh@2", ""));
        script.row(("refresh", 0, "423", BUSY));
        script.row(("status", 200, forever(&before), ""));
        script.rows(&LOOK_AND_REFRESH[1..]).row(("prepare", 0, "204", FOUND));
        script.row(("status", 200, "Staged 1.26.1 1.26.1 prepare@5", PREPARED));
        script.rows(&SAME_CYCLE).ends(End::Done);
    }
    // While the cycle waits for the lock.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "423", BUSY),
        ("status", 400, "Staged 1.26.1 1.26.1 activate!Failed@3", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@5", PREPARED),
    ]);
    script.rows(&SAME_CYCLE).ends(End::Done);
}

#[test]
fn failed_activate_is_remembered_until_a_prepare_has_succeeded() {
    // The prepare fails, and the refresh of the next cycle hides that.
    let failed = FAILED.replace("activate", "prepare");
    let mut script = after_a_failed_activate(Settings::default());
    script.rows(&LOOK_AND_REFRESH).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare!Failed@5", forever(&failed)),
    ]);
    script.ends(End::Failed);
    let mut script = next_cycle(script);
    script.rows(&LOOK_AND_REFRESH[..2]).rows(&[
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@6", ""),
        ("prepare", 0, "204", FOUND),
    ]);
    // Another client has prepared.
    let mut script = after_a_failed_activate(Settings::default());
    script.row(("status", 0, "Staged 1.26.1 1.26.1 prepare@4", ""));
    script.rows(&LOOK_AND_REFRESH[1..2]);
    script.row(("status", 200, "Staged 1.26.1 1.26.1 refresh@5", "")).rows(&SAME_CYCLE);
    // The update is no longer staged.
    for status in ["404", "Idle", "Available 1.26.1 - refresh@3"] {
        let mut script = after_a_failed_activate(Settings::default());
        script.row(("status", 0, status, ""));
        script.rows(&LOOK_AND_REFRESH[1..]).rows(&SAME_CYCLE);
    }
}

#[test]
fn prepare_whose_result_was_overwritten_is_followed_by_an_activate() {
    // It may have succeeded. One activate shows whether it did.
    let mut script = after_a_failed_activate(Settings::default());
    script.rows(&LOOK_AND_REFRESH).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@7", ""),
        ("activate", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 activate!Failed@8", FAILED),
    ]);
    script.ends(End::Failed);
}

#[test]
fn failure_that_a_restart_forgets_costs_one_activate() {
    // The updater restarts after its refresh.
    let mut script = after_a_failed_activate(Settings::default());
    script.rows(&LOOK_AND_REFRESH[..2]);
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "Staged 1.26.1 1.26.1 refresh@4", ""));
    script.rows(&LOOK_AND_REFRESH[1..2]).rows(&[
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@5", ""),
        ("activate", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 activate!Failed@6", FAILED),
    ]);
    script.ends(End::Failed);
    let mut script = next_cycle(script);
    script.rows(&LOOK_AND_REFRESH).row(("prepare", 0, "204", FOUND));
}

#[test]
fn limits_hold_for_a_prepare_after_a_failed_activate() {
    // With stage_only, the node stays staged with an update that can be activated.
    let settings = Settings { stage_only: true, ..Settings::default() };
    let staged = "info msg=\"update is staged, not activating it because of -stage-only\" \
                  state=Staged next=1.26.1 \
                  running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
    let prepared = format!("{PREPARED}\n{staged}");
    let mut script = Script::new(settings);
    script.row(BEFORE_THE_START).rows(&LOOK_AND_REFRESH[1..]).row(("prepare", 0, "204", FOUND));
    script.row(("status", 200, "Staged 1.26.1 1.26.1 prepare@5", forever(&prepared)));
    script.ends(End::Waiting);
    // The windows are closed.
    let mut settings = Settings::default();
    settings.windows.add(b"12:00-13:00").unwrap();
    let closed = "info msg=\"update is waiting for the next window\" state=Staged \
                  version=1.26.1 opens=1970-01-02T12:00:00.000Z \
 opens_local=1970-01-02T12:00:00.000+00:00";
    let mut script = Script::new(settings);
    script.row(BEFORE_THE_START).rows(&LOOK_AND_REFRESH[1..2]);
    script.row(("status", 200, "Staged 1.26.1 1.26.1 refresh@4", closed)).ends(End::Waiting);
}
