//! Update windows.

use super::*;
use crate::api::status::copy;
use crate::record::RebootRecord;
use crate::sys::files::Stamp;

/// A window that is open for `minutes` from the start of the script, a Friday.
fn open_for(minutes: u64) -> Windows {
    let mut windows = Windows::new();
    let window = format!("Fri 00:00-{:02}:{:02}", minutes / 60, minutes % 60);
    windows.add(window.as_bytes()).unwrap();
    windows
}

/// A window that opens `minutes` after the start of the script.
fn open_in(minutes: u64) -> Windows {
    let mut windows = Windows::new();
    let window = format!("Fri {:02}:{:02}-24:00", minutes / 60, minutes % 60);
    windows.add(window.as_bytes()).unwrap();
    windows
}

fn in_window(windows: Windows) -> Script {
    Script::new(Settings { windows, ..Settings::default() })
}

const CLOSED: &str = "info msg=\"update is waiting for the next window\" state=Available \
                      version=1.26.1 opens=1970-01-02T01:00:00.000Z \
 opens_local=1970-01-02T01:00:00.000+00:00";

const CLOSED_STAGED: &str = "info msg=\"update is waiting for the next window\" state=Staged \
                             version=1.26.1 opens=1970-01-02T01:00:00.000Z \
 opens_local=1970-01-02T01:00:00.000+00:00";

#[test]
fn only_a_refresh_begins_outside_of_the_windows() {
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Available 1.26.1 - refresh@1", CLOSED),
        ])
        .ends(End::Waiting);
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "Staged 1.26.1 1.26.1 prepare@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.1 refresh@2", CLOSED_STAGED),
        ])
        .ends(End::Waiting);
    // Another version was chosen after the prepare.
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "Staged 1.26.1 1.26.0 prepare@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.0 refresh@2", CLOSED_STAGED),
        ])
        .ends(End::Waiting);
    // Nodes without an update do not wait for a window.
    for (status, logged) in [
        ("Idle - - refresh@1", NOTHING),
        ("Available - - refresh@1", NOTHING_AVAILABLE),
        ("Staged - 1.26.1 refresh@1", NOTHING_STAGED),
    ] {
        let mut script = in_window(open_in(60));
        script.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
        script.row(("status", 200, status, logged)).ends(End::Done);
    }
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 refresh@2", READY),
        ])
        .ends(End::Done);
}

#[test]
fn version_that_is_no_longer_chosen_is_deactivated_outside_of_the_windows() {
    let deactivated = "info msg=\"deactivated, so that no reboot boots the version\" \
                       version=1.26.1 reason=withdrawn took=200ms";
    let nothing = format!("{deactivated}\n{NOTHING_STAGED}");
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready - 1.26.1 refresh@2", ""),
            ("deactivate", 0, "204", ""),
            ("status", 200, "Staged - 1.26.1 deactivate@3", forever(&nothing)),
        ])
        .ends(End::Done);
    let deactivated = "info msg=\"deactivated, so that no reboot boots the version\" \
                       version=1.26.0 reason=replaced chosen=1.26.1 took=200ms";
    let closed = format!("{deactivated}\n{CLOSED_STAGED}");
    in_window(open_in(60))
        .rows(&[
            ("status", 0, "Ready 1.26.0 1.26.0 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.0 refresh@2", ""),
            ("deactivate", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.0 deactivate@3", forever(&closed)),
        ])
        .ends(End::Waiting);
}

#[test]
fn update_runs_inside_of_a_window() {
    let mut script = in_window(open_for(60));
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
    ]);
    script.ends(End::Done);
    // The window opens and closes to the second.
    let mut script = in_window(open_for(60));
    script.rows(&FOUND_AVAILABLE[..2]).rows(&[
        ("status", 200, "+3599799ms Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "204", FOUND),
    ]);
    let mut script = in_window(open_for(60));
    script.rows(&FOUND_AVAILABLE[..2]);
    let closed = CLOSED.replace("02T01:00:00", "09T00:00:00");
    let status = "+3599800ms Available 1.26.1 - refresh@1";
    script.row(("status", 200, status, forever(&closed))).ends(End::Waiting);
    let mut script = in_window(open_in(60));
    script.rows(&FOUND_AVAILABLE[..2]).rows(&[
        ("status", 200, "+3599800ms Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "204", FOUND),
    ]);
}

#[test]
fn prepare_that_outlasts_the_window_finishes() {
    let next_week = CLOSED_STAGED.replace("02T01:00:00", "09T00:00:00");
    let prepared = format!("info msg=prepared version=1.26.1 took=20m\n{next_week}");
    let mut script = in_window(open_for(10));
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "+20m Staged 1.26.1 1.26.1 prepare@2", forever(&prepared)),
    ]);
    script.ends(End::Waiting);
    // A prepare that failed, or whose answer was lost, is not repeated.
    let failed = "error msg=\"command failed\" command=prepare version=1.26.1 status=Failed exit_status=1 \
                  took=20m stderr=\"no space \\\"left\\\" on device\"";
    let mut script = in_window(open_for(10));
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "+20m Available 1.26.1 - prepare!Failed@2", failed),
    ]);
    script.ends(End::Failed);
    let mut script = in_window(open_for(10));
    let closed = CLOSED.replace("02T01:00:00", "09T00:00:00");
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "+10m break", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", forever(&closed)),
    ]);
    script.ends(End::Waiting);
}

#[test]
fn activate_locked_out_until_the_window_closes_waits_for_the_next() {
    let next_week = CLOSED_STAGED.replace("02T01:00:00", "09T00:00:00");
    let mut script = in_window(open_for(10));
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "423", BUSY),
        ("status", 400, "+10m Staged 1.26.1 1.26.1 prepare@2", forever(&next_week)),
    ]);
    script.ends(End::Waiting);
}

/// A node that the gate holds is drained. It gets back into service only with a version
/// that boots.
#[test]
fn node_that_the_gate_holds_does_not_wait_for_a_window() {
    for (attempts, chosen) in [(1, "1.26.1"), (2, "1.26.2")] {
        let mut script = in_window(open_in(60));
        let image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };
        let record = RebootRecord::new("before", "1.26.0", image);
        let record = RebootRecord { attempts, ..record };
        script.last_reboot = LastReboot::new(copy("now"));
        script.last_reboot.read(script.now, Some((record, Stamp::of_inode(1))));
        let status = forever(&format!("Available {chosen} - refresh@1"));
        let held = forever(&format!(
            "error msg=\"the version did not boot, and the gate keeps Kured from starting on \
             this node\" version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 running=1.26.0 \
             attempts={attempts}"
        ));
        let found = forever(&FOUND.replace("1.26.1", chosen));
        script.rows(&[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, status, held),
            ("prepare", 0, "204", found),
        ]);
    }
}
