//! The outcome of a command: refused, failed, late or without effect.

use super::*;

#[test]
fn refused_command_leads_to_a_new_decision() {
    // Each command is refused because the state has changed.
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "409 not allowed", ""),
            ("status", 200, "Idle", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Available 1.26.1 - refresh@1", ""),
            ("prepare", 0, "409 not allowed", ""),
            ("status", 400, "Staged 1.26.1 1.26.1 prepare@2", ""),
            ("activate", 0, "409 not allowed", ""),
            ("status", 800, "Ready 1.26.1 1.26.1 activate@3", READY),
        ],
        End::Done,
    );
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Available 1.26.1 - refresh@1", ""),
            ("prepare", 0, "404 no longer exists", ""),
            ("status", 400, "Available - - refresh@2", NOTHING_AVAILABLE),
        ],
        End::Done,
    );
    play(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "404 nothing staged", ""),
            ("status", 400, "Ready 1.26.1 1.26.1 refresh@3", READY),
        ],
        End::Done,
    );
}

#[test]
fn command_refused_four_times_fails_the_cycle() {
    for (refusal, logged) in [
        ("409 not allowed", "the API returned 409: not allowed"),
        ("409", "the API returned 409 without a reason"),
        ("404 no longer exists", "the API returned 404: no longer exists"),
    ] {
        let refused = forever(refusal);
        let logged = format!(
            "error msg=\"the API refused the command\" command=prepare version=1.26.1 \
             error=\"{logged}\""
        );
        let mut script = Script::new(Settings::default());
        script.rows(&FOUND_AVAILABLE);
        for pause in [400, 800, 1600] {
            script.row(("prepare", 0, refused, ""));
            script.row(("status", pause, "Available 1.26.1 - refresh@1", ""));
        }
        script.row(("prepare", 0, refused, forever(&logged))).ends(End::Failed);
    }
}

#[test]
fn failed_command_ends_the_cycle() {
    let failed = |command: &str, status: &str| {
        // A refresh is about no version. A deactivate is about the one that is Ready.
        let version = if command == "refresh" { "" } else { " version=1.26.1" };
        forever(&format!(
            "error msg=\"command failed\" command={command}{version} \
             status={status} took=200ms stderr=\"no space \\\"left\\\" on device\""
        ))
    };
    let with_exit = |command: &str| failed(command, "Failed exit_status=1");
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle 1.26.1 - refresh!Failed@1", with_exit("refresh")),
        ],
        End::Failed,
    );
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Available 1.26.1 - prepare!Failed@2", with_exit("prepare")),
    ]);
    script.ends(End::Failed);
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 activate!Failed@3", with_exit("activate")),
    ]);
    script.ends(End::Failed);
    play(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 deactivate!Failed@3", with_exit("deactivate")),
        ],
        End::Failed,
    );
    // A result without an exit status and an output, and an unknown result.
    for (outcome, logged) in [
        ("Unknown", "Unknown took=200ms stderr=\"\""),
        (
            "Invented",
            "Invented exit_status=1 took=200ms stderr=\"no space \\\"left\\\" on device\"",
        ),
    ] {
        let status = format!("Idle - - refresh!{outcome}@1");
        let logged = format!(
            "error msg=\"command failed\" command=refresh \
             status={logged}"
        );
        play(
            &[
                ("status", 0, "404", ""),
                ("refresh", 0, "204", ""),
                ("status", 200, forever(&status), forever(&logged)),
            ],
            End::Failed,
        );
    }
}

#[test]
fn failure_from_before_the_cycle_is_ignored() {
    play(
        &[
            ("status", 0, "Idle 1.26.1 - refresh!Failed@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle 1.26.1 - refresh!Failed@1", ""),
            ("status", 400, "Idle - - refresh@2", NOTHING),
        ],
        End::Done,
    );
}

#[test]
fn after_an_overwritten_result_the_state_decides() {
    // Only the state counts. Whether our prepare succeeded is unknown, so its success is
    // not logged.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 refresh@5", READY),
    ]);
    script.ends(End::Done);
    // The prepare failed, and then another client's refresh failed.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Available 1.26.1 - refresh@3", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Idle 1.26.1 - refresh!Failed@5", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@6", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@7", PREPARED),
    ]);
    // Our refresh may have failed, so it is repeated.
    play(
        &[
            ("status", 0, "Staged 1.26.1 1.26.1 prepare@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.1 prepare@3", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged - 1.26.1 refresh@4", NOTHING_STAGED),
        ],
        End::Done,
    );
}

#[test]
fn results_that_are_always_overwritten_end_the_cycle() {
    // The number of commands is limited.
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "Idle", ""));
    for timestamp in ["1", "2", "3", "4", "5", "6", "7"] {
        let status = forever(&format!("Available 1.26.1 - prepare@{timestamp}"));
        script.row(("refresh", 0, "204", "")).row(("status", 200, status, ""));
    }
    script.row(("refresh", 0, "204", ""));
    let logged = "error msg=\"commands succeed, but the update makes no progress\" \
                command=refresh";
    script.row(("status", 200, "Available 1.26.1 - prepare@8", logged)).ends(End::Failed);
}

#[test]
fn command_without_a_result_for_30_seconds_has_vanished() {
    // The status is readable for 30 seconds, but does not have the result.
    let logged = "error msg=\"command ended without a result\" \
                command=prepare version=1.26.1";
    let same = "Available 1.26.1 - refresh@1";
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    for pause in [200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000] {
        script.row(("status", pause, same, ""));
    }
    // The first of these was 26 s ago. The next one is the first after 30 s.
    script.row(("status", 5000, same, logged)).ends(End::Failed);

    // The time begins again when the lock is held or the API is unavailable. A missing
    // status counts like one without a result.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    for (pause, text) in [(200, same), (400, same), (800, "+29s 423"), (1600, same)] {
        script.row(("status", pause, text, ""));
    }
    let running = "info msg=\"command is still running\" command=prepare took=1m9s";
    for (pause, text, logged) in [
        (3200, same, ""),
        (5000, "+29s silence", running),
        (5000, "404", ""),
        (5000, "+24s 404", ""),
    ] {
        script.row(("status", pause, text, logged));
    }
    script.row(("status", 5000, same, logged)).ends(End::Failed);
}

#[test]
fn command_that_takes_too_long_times_out() {
    for (timeout, text) in [(60, "423"), (60, "+10s silence"), (5, "refused"), (20, "Idle")] {
        let mut settings = Settings::default();
        settings.timeouts[0] = Duration::from_secs(timeout);
        let mut script = Script::new(settings.clone());
        script.row(("status", 0, "Idle", "")).row(("refresh", 0, "204", ""));
        let (answer, delay) = answer_and_delay(text);
        let begin = script.now;
        let mut logged = Vec::new();
        while let Step::Call(call, pause) = script.next {
            assert_eq!(call, Call::Status);
            script.now += pause + delay;
            let emit = &mut |event: Event| logged.extend(line(&event));
            script.on_answer(&answer, emit);
        }
        script.ends(End::Failed);
        let took = script.now - begin;
        let late = took.checked_sub(Duration::from_secs(timeout)).expect("not before the time");
        assert!(late <= Duration::from_secs(5) + delay, "{text}: {late:?} late");
        let timeout = duration::HumanDuration(Duration::from_secs(timeout));
        let overdue = format!(
            "error msg=\"command timed out; it may still be running\" \
             command=refresh timeout={timeout}"
        );
        assert_eq!(logged, [overdue]);
    }
}

#[test]
fn each_command_has_its_own_timeout() {
    let settings =
        Settings { timeouts: [1, 2, 3, 4].map(Duration::from_secs), ..Settings::default() };
    let overdue = |command: &str, timeout: &str| {
        // A refresh is about no version.
        let version = if command == "refresh" { "" } else { " version=1.26.1" };
        forever(&format!(
            "error msg=\"command timed out; it may still be running\" \
             command={command}{version} timeout={timeout}"
        ))
    };
    let mut script = Script::new(settings.clone());
    script.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
    script.row(("status", 200, "+799ms 423", ""));
    script.row(("status", 400, "423", overdue("refresh", "1s"))).ends(End::Failed);

    let mut script = Script::new(settings.clone());
    script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    script.row(("status", 200, "+1799ms 423", ""));
    script.row(("status", 400, "423", overdue("prepare", "2s"))).ends(End::Failed);

    let mut script = Script::new(settings.clone());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).row(("activate", 0, "204", ""));
    script.row(("status", 200, "+2799ms 423", ""));
    script.row(("status", 400, "423", overdue("activate", "3s"))).ends(End::Failed);

    let mut script = Script::new(settings.clone());
    script.rows(&[
        ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
        ("deactivate", 0, "204", ""),
        ("status", 200, "+3799ms 423", ""),
        ("status", 400, "423", overdue("deactivate", "4s")),
    ]);
    script.ends(End::Failed);
    // A result after the timeout counts if the status was not read in between.
    let mut script = Script::new(settings.clone());
    script.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
    script.row(("status", 200, "+1m Idle - - refresh@1", NOTHING)).ends(End::Done);
}

#[test]
fn long_prepare_is_logged_at_growing_intervals() {
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    let begin = script.now;
    let mut logged = Vec::new();
    let mut minutes = Vec::new();
    while script.now - begin < Duration::from_secs(1_790) {
        let Step::Call(Call::Status, pause) = script.next else { panic!("{:?}", script.next) };
        script.now += pause;
        let took = (script.now - begin).as_secs();
        let mut events = Vec::new();
        script.on_answer(&answer("423"), &mut |event| events.push(line(&event).unwrap()));
        minutes.extend(events.iter().map(|_| took / 60));
        logged.extend(events);
    }
    assert_eq!(minutes, [1, 4, 16]);
    assert!(logged.iter().all(|logged| {
        logged.starts_with("info msg=\"command is still running\" command=prepare ")
    }));
    // A whole update has less than 15 log lines at the level info.
    let before = ["started", "serving_metrics", "preparing"].len();
    let after = ["prepared", "activated", "ready"].len();
    let rebooted = ["stopped", "started", "serving_metrics", "updated", "nothing_to_do"].len();
    assert!(before + logged.len() + after + rebooted < 15);
    // The intervals begin again with the next command.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "+59s 423", ""),
        ("status", 2_800, "423", "info msg=\"command is still running\" command=prepare took=1m2s"),
        ("status", 3_000, "+56s 423", ""),
        (
            "status",
            5_000,
            "Staged 1.26.1 1.26.1 prepare@2",
            "info msg=prepared version=1.26.1 took=2m6s",
        ),
        ("activate", 0, "204", ""),
        ("status", 200, "+59s 423", ""),
    ]);
}

#[test]
fn command_without_effect_fails_the_cycle() {
    for (again, logged, version) in [
        ("prepare", "Available 1.26.1 - prepare@2", "1.26.1"),
        ("prepare", "Staged 1.26.1 - prepare@2", "1.26.1"),
        ("prepare", "Staged 1.26.1 1.26.0 prepare@2", "1.26.0"),
    ] {
        let mut script = Script::new(Settings::default());
        let stuck = format!(
            "info msg=prepared version={version} took=200ms\n\
             error msg=\"commands succeed, but the update makes no progress\" \
             command={again} version=1.26.1"
        );
        script.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
        script.row(("status", 200, logged, forever(&stuck))).ends(End::Failed);
    }
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "204", ""),
        (
            "status",
            200,
            "Staged 1.26.1 1.26.1 activate@3",
            "info msg=activated version=1.26.1 took=200ms\n\
             error msg=\"commands succeed, but the update makes no progress\" \
             command=activate version=1.26.1",
        ),
    ]);
    script.ends(End::Failed);
}
