//! Commands that end between two cycles, or before the updater starts.

use super::*;

/// A failed command without the time that it took.
fn failed(command: &str, version: &str, took: &str) -> &'static str {
    forever(&format!(
        "error msg=\"command failed\" command={command}{version} status=Failed exit_status=1{took} \
         stderr=\"no space \\\"left\\\" on device\""
    ))
}

/// A script whose prepare has timed out, in the next cycle.
fn after_an_overdue_prepare() -> Script {
    let overdue = "error msg=\"command timed out; it may still be running\" command=prepare \
                   version=1.26.1 timeout=30m";
    let mut script = Script::new(Settings::default());
    script
        .rows(&FOUND_AVAILABLE)
        .rows(&[("prepare", 0, "204", FOUND), ("status", 200, "+30m 423", overdue)]);
    script.ends(End::Failed);
    next_cycle(script)
}

#[test]
fn outcome_of_an_overdue_command_is_reported_once() {
    // The lock is held by our own command, which fails.
    let running = "info msg=\"command is still running\" command=prepare took=40m";
    let status = "Available 1.26.1 - prepare!Failed@2";
    let delayed = "info msg=\"a command failed, waiting before sending it again\" \
                   command=prepare version=1.26.1 retry_in=9m59s";
    let mut script = after_an_overdue_prepare();
    script.rows(&[
        ("status", 0, "423", running),
        ("status", 200, "423", ""),
        ("status", 400, status, failed("prepare", " version=1.26.1", " took=40m")),
        ("refresh", 0, "423", ""),
        ("status", 800, status, ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@3", delayed),
    ]);
    // It ended between the cycles.
    let mut script = after_an_overdue_prepare();
    script.row(("status", 0, status, failed("prepare", " version=1.26.1", " took=40m")));
    let prepared = "info msg=prepared version=1.26.1 took=40m";
    let mut script = after_an_overdue_prepare();
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@2", prepared),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@4", ACTIVATED_READY),
    ]);
    script.ends(End::Done);
}

#[test]
fn outcome_that_is_not_known_is_not_reported() {
    // There is no result, or another client's command has replaced it, or the node has
    // booted.
    for status in ["Available 1.26.1 - refresh@1", "Available 1.26.1 - refresh@3", "404"] {
        let mut script = after_an_overdue_prepare();
        script.row(("status", 0, status, "")).row(("refresh", 0, "204", ""));
        script.rows(&[
            ("status", 200, "Available 1.26.1 - refresh@4", ""),
            ("prepare", 0, "204", FOUND),
            ("status", 200, "Staged 1.26.1 1.26.1 prepare@5", PREPARED),
        ]);
    }
}

#[test]
fn outcome_of_an_overdue_refresh_is_not_reported_as_that_of_the_next() {
    let overdue = "error msg=\"command timed out; it may still be running\" command=refresh \
                   timeout=1m";
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE[..2]).row(("status", 200, "+1m 423", overdue));
    let mut script = next_cycle(script);
    script.row(("status", 0, "Idle - - refresh!Failed@1", failed("refresh", "", " took=11m")));
    script.row(("refresh", 0, "204", ""));
    script.row(("status", 200, "Idle - - refresh!Failed@2", failed("refresh", "", " took=200ms")));
    script.ends(End::Failed);
}

#[test]
fn failure_from_before_the_start_is_reported_once() {
    for (status, logged) in [
        ("Available 1.26.1 - prepare!Failed@1", failed("prepare", " version=1.26.1", "")),
        ("Staged 1.26.2 1.26.1 activate!Failed@1", failed("activate", " version=1.26.1", "")),
        ("Ready 1.26.2 1.26.1 deactivate!Failed@1", failed("deactivate", " version=1.26.1", "")),
        // A refresh follows. The state shows what succeeded.
        ("Idle - - refresh!Failed@1", ""),
        ("Staged 1.26.1 1.26.1 prepare@1", ""),
        ("Staged 1.26.1 1.26.1 deactivate@1", ""),
        ("Ready 1.26.1 1.26.1 activate@1", ""),
        // There is nothing to report, or not yet known.
        ("404", ""),
        ("Idle", ""),
        ("Idle - - invented!Failed@1", ""),
    ] {
        let mut script = Script::new(Settings::default());
        script.row(("status", 0, status, logged));
        // It is reported once.
        script.rows(&[("refresh", 0, "423", BUSY), ("status", 200, status, "")]);
    }
}

/// A script with a state file that has sent a prepare; and the same updater after a restart,
/// or in another boot.
fn restarted_after(rows: &[Row], boot: &str) -> Script {
    let mut script = Script::new(Settings::default());
    script.history = History::new(copy("first"), None);
    script.rows(rows);
    let mut history = History::new(copy(boot), None);
    history.read(&script.history.write()).unwrap();
    let commands = Commands::begin(&history);
    let now = script.now + Duration::from_secs(60);
    Script { now, history, commands, ..Script::new(Settings::default()) }
}

#[test]
fn outcome_of_a_command_that_ended_while_the_updater_was_down_is_reported_once() {
    let sent = [&FOUND_AVAILABLE[..], &[("prepare", 0, "204", FOUND)]].concat();
    let prepared = "info msg=prepared version=1.26.1";
    for (status, logged) in [
        ("Staged 1.26.1 1.26.1 prepare@2", prepared),
        ("Available 1.26.1 - prepare!Failed@2", failed("prepare", " version=1.26.1", "")),
        // It never started, or another client's command has replaced its outcome.
        ("Available 1.26.1 - refresh@1", ""),
        ("Available 1.26.1 - refresh@2", ""),
        ("Available 1.26.1 - deactivate!Failed@2", ""),
    ] {
        let mut script = restarted_after(&sent, "first");
        script.row(("status", 0, status, logged));
        script.rows(&[("refresh", 0, "423", BUSY), ("status", 200, status, "")]);
        // Nor does the next restart report it.
        let mut history = History::new(copy("first"), None);
        history.read(&script.history.write()).unwrap();
        let commands = Commands::begin(&history);
        let mut again = Script { history, commands, ..Script::new(Settings::default()) };
        again.row(("status", 0, status, ""));
        // It is still running when the updater starts.
        let mut script = restarted_after(&sent, "first");
        script.rows(&[("status", 0, "423", BUSY), ("status", 200, status, logged)]);
        // The node has booted, so this is another client's command.
        let mut script = restarted_after(&sent, "second");
        script.row(("status", 0, status, ""));
    }
}

#[test]
fn outcome_that_was_reported_before_the_restart_is_not_reported_again() {
    let status = "Available 1.26.1 - prepare!Failed@2";
    let rows = [
        &FOUND_AVAILABLE[..],
        &[
            ("prepare", 0, "204", FOUND),
            ("status", 200, status, failed("prepare", " version=1.26.1", " took=200ms")),
        ],
    ];
    let mut script = restarted_after(&rows.concat(), "first");
    script.rows(&[("status", 0, status, ""), ("refresh", 0, "204", "")]);
}

#[test]
fn command_that_was_running_at_the_start_is_reported() {
    for (status, logged) in [
        ("Idle - - refresh!Failed@1", failed("refresh", "", "")),
        ("Available 1.26.1 - prepare!Failed@1", failed("prepare", " version=1.26.1", "")),
        ("Staged 1.26.1 1.26.1 activate!Failed@1", failed("activate", " version=1.26.1", "")),
        ("Staged 1.26.1 1.26.1 prepare@1", "info msg=prepared version=1.26.1"),
        ("Idle - - refresh@1", ""),
        // The updater deactivates only for another version. Others may have other reasons.
        ("Staged 1.26.1 1.26.1 deactivate@1", ""),
    ] {
        let mut script = Script::new(Settings::default());
        script.rows(&[("status", 0, "423", BUSY), ("status", 200, status, logged)]);
        script.rows(&[("refresh", 0, "423", ""), ("status", 400, status, "")]);
    }
    let activated = "info msg=activated version=1.26.1\n";
    let logged = format!("{activated}{READY}");
    play_hands_off(
        &[
            ("status", 0, "423", BUSY),
            ("status", 200, "Ready 1.26.1 1.26.1 activate@1", forever(&logged)),
        ],
        End::Done,
    );
}

#[test]
fn command_of_another_client_between_two_cycles_is_not_reported() {
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE[..2]).row(("status", 200, "Idle - - refresh@1", NOTHING));
    let mut script = next_cycle(script);
    script.row(("status", 0, "Available 1.26.1 - prepare!Failed@2", ""));
}
