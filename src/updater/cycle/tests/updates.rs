//! Updates without trouble, from each state of the node.

use super::*;

#[test]
fn node_without_a_status_is_brought_to_ready() {
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "423", ""),
            ("status", 400, "423", ""),
            ("status", 800, "Available 1.26.1 - refresh@1", ""),
            ("prepare", 0, "204", FOUND),
            ("status", 200, "423", ""),
            ("status", 400, "423", ""),
            ("status", 800, "423", ""),
            ("status", 1600, "423", ""),
            ("status", 3200, "423", ""),
            ("status", 5000, "423", ""),
            ("status", 5000, "423", ""),
            (
                "status",
                5000,
                "Staged 1.26.1 1.26.1 prepare@2",
                "info msg=prepared version=1.26.1 took=21s",
            ),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
        ],
        End::Done,
    );
}

#[test]
fn cycle_starts_from_every_state() {
    // The status, the status after the refresh, the log line, and the next command.
    for (before, found, logged, rest) in [
        ("404", "Idle - - refresh@2", NOTHING, None),
        ("Idle", "Idle - - refresh@2", NOTHING, None),
        ("Idle 1.26.1 - refresh!Failed@1", "Idle - - refresh@2", NOTHING, None),
        ("Available 1.26.1 - refresh@1", "Idle - - refresh@2", NOTHING, None),
        ("Available 1.26.1 - refresh@1", "Available - - refresh@2", NOTHING_AVAILABLE, None),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged - 1.26.1 refresh@2", NOTHING_STAGED, None),
        ("404", "Available 1.26.1 - refresh@2", "", Some("prepare")),
        ("Idle", "Available 1.26.1 - refresh@2", "", Some("prepare")),
        ("Available 1.26.1 - refresh@1", "Available 1.26.1 - refresh@2", "", Some("prepare")),
        ("Available 1.26.2 - refresh@1", "Available 1.26.1 - refresh@2", "", Some("prepare")),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.1 1.26.1 refresh@2", "", Some("activate")),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.2 1.26.1 refresh@2", "", Some("prepare")),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.1 - refresh@2", "", Some("prepare")),
    ] {
        let mut script = Script::new(Settings::default());
        script.rows(&[
            ("status", 0, before, ""),
            ("refresh", 0, "204", ""),
            ("status", 200, found, logged),
        ]);
        match (rest, script.next) {
            (None, next) => assert_eq!(next, Step::End(End::Done), "{before}, {found}"),
            (Some(command), Step::Call(call, pause)) => {
                assert_eq!((call.name(), pause), (command, Duration::ZERO), "{before}, {found}");
            }
            (Some(command), end) => panic!("{end:?} instead of {command}: {before}, {found}"),
        }
    }
}

#[test]
fn refreshed_event_has_the_chosen_version() {
    for (before, found, version) in [
        ("404", "Idle - - refresh@2", ""),
        ("404", "Available 1.26.1 - refresh@2", "1.26.1"),
        ("Available 1.26.1 - refresh@1", "Idle - - refresh@2", ""),
        ("Available 1.26.1 - refresh@1", "Available 1.26.2 - refresh@2", "1.26.2"),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.2 1.26.1 refresh@2", "1.26.2"),
    ] {
        let mut script = Script::new(Settings::default());
        script.rows(&[("status", 0, before, ""), ("refresh", 0, "204", "")]);
        let mut logged = Vec::new();
        script.on_answer(&answer(found), &mut |event| {
            if let Event::Refreshed { version, .. } = event {
                logged.push(version.to_owned());
            }
        });
        assert_eq!(logged, [version], "{before}, {found}");
    }
}

#[test]
fn ready_node_is_only_read_without_refresh_ready() {
    for status in [
        "Ready 1.26.1 1.26.1 activate@3",
        "Ready 1.26.2 1.26.1 refresh@4",
        "Ready - 1.26.1 refresh!Failed@4",
        "Ready - 1.26.1",
    ] {
        play_hands_off(&[("status", 0, status, READY)], End::Done);
    }
    // Also while a command runs that is older than the updater. Its outcome is logged.
    let logged = format!("info msg=activated version=1.26.1\n{READY}");
    play_hands_off(
        &[
            ("status", 0, "423", BUSY),
            ("status", 200, "423", ""),
            ("status", 400, "Ready 1.26.1 1.26.1 activate@3", forever(&logged)),
        ],
        End::Done,
    );
}

const DEACTIVATED: &str = "info msg=\"deactivated, so that no reboot boots the version\" \
                           version=1.26.1 reason=withdrawn took=200ms";

#[test]
fn ready_node_is_refreshed_and_keeps_a_version_that_is_still_chosen() {
    play(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 refresh@2", READY),
        ],
        End::Done,
    );
}

#[test]
fn version_that_was_withdrawn_is_deactivated() {
    let logged = format!("{DEACTIVATED}\n{NOTHING_STAGED}");
    let rest: [Row; 2] = [
        ("deactivate", 0, "204", ""),
        ("status", 200, "Staged - 1.26.1 deactivate@3", forever(&logged)),
    ];
    let refreshed: [Row; 3] = [
        ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready - 1.26.1 refresh@2", ""),
    ];
    play(&[&refreshed[..], &rest].concat(), End::Done);
    // The status has not shown a choice for long.
    play(
        &[
            ("status", 0, "Ready - 1.26.1", ""),
            refreshed[1],
            ("status", 200, "Ready - 1.26.1 refresh@2", ""),
            rest[0],
            rest[1],
        ],
        End::Done,
    );
}

#[test]
fn version_that_is_no_longer_chosen_is_replaced() {
    play(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "204", ""),
            (
                "status",
                200,
                "Staged 1.26.2 1.26.1 deactivate@3",
                "info msg=\"deactivated, so that no reboot boots the version\" \
                 version=1.26.1 reason=replaced chosen=1.26.2 took=200ms",
            ),
            ("prepare", 0, "204", FOUND_2),
            ("status", 200, "Staged 1.26.2 1.26.2 prepare@4", PREPARED_2),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.2 activate@5", ACTIVATED_READY_2),
        ],
        End::Done,
    );
}

/// A refresh that fails keeps the choice of an earlier one, which says nothing about what
/// is on offer now.
#[test]
fn failed_refresh_does_not_deactivate() {
    let failed = "error msg=\"command failed\" command=refresh status=Failed exit_status=1 \
                  took=200ms stderr=\"no space \\\"left\\\" on device\"";
    for status in ["Ready - 1.26.1", "Ready 1.26.2 1.26.1", "Ready 1.26.1 1.26.1"] {
        let [before, after] =
            ["activate@1", "refresh!Failed@2"].map(|last| forever(&format!("{status} {last}")));
        play(
            &[("status", 0, before, ""), ("refresh", 0, "204", ""), ("status", 200, after, failed)],
            End::Failed,
        );
    }
    // Another client's refresh fails before the deactivate. The next one decides.
    play(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready - 1.26.1 refresh@2", ""),
            ("deactivate", 0, "423", BUSY),
            ("status", 400, "Ready - 1.26.1 refresh!Failed@3", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 refresh@4", READY),
        ],
        End::Done,
    );
}

#[test]
fn failed_deactivate_is_repeated_in_each_cycle() {
    let failed = "error msg=\"command failed\" command=deactivate version=1.26.1 status=Failed \
                  exit_status=1 took=200ms stderr=\"no space \\\"left\\\" on device\"";
    let mut script = Script::new(Settings::default());
    for _ in 0..5 {
        script.rows(&[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready - 1.26.1 refresh@2", ""),
            ("deactivate", 0, "204", ""),
            ("status", 200, "Ready - 1.26.1 deactivate!Failed@3", failed),
        ]);
        script.ends(End::Failed);
        script = next_cycle(script);
    }
    let logged = format!("{DEACTIVATED}\n{NOTHING_STAGED}");
    script.rows(&[
        ("status", 0, "Ready - 1.26.1 deactivate!Failed@3", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready - 1.26.1 refresh@4", ""),
        ("deactivate", 0, "204", ""),
        ("status", 200, "Staged - 1.26.1 deactivate@5", forever(&logged)),
    ]);
    script.ends(End::Done);
}

#[test]
fn stage_only_ends_when_the_update_is_staged() {
    let staged = "info msg=\"update is staged, not activating it because of -stage-only\" \
                  state=Staged next=1.26.1 \
                  running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
    let settings = Settings { stage_only: true, ..Settings::default() };
    let prepared = format!("{PREPARED}\n{staged}");
    let mut script = Script::new(settings.clone());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED[..1]);
    script.row(("status", 200, "Staged 1.26.1 1.26.1 prepare@2", forever(&prepared)));
    script.ends(End::Waiting);
    // Each cycle refreshes, and prepares again if another version is chosen.
    let mut script = Script::new(settings.clone());
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", staged),
    ]);
    script.ends(End::Waiting);
    let mut script = Script::new(settings.clone());
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.2 1.26.1 refresh@3", ""),
        ("prepare", 0, "204", FOUND_2),
    ]);
    // Another client has activated it. Nobody else may take that back.
    for chosen in ["1.26.1", "1.26.2", "-"] {
        let status = format!("Ready {chosen} 1.26.1 refresh@4");
        let mut script = Script::new(settings.clone());
        script.rows(&[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@3", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, forever(&status), READY),
        ]);
        script.ends(End::Done);
    }
}

#[test]
fn version_chosen_during_an_update_is_prepared_next() {
    // Another client refreshes between the prepare and the activate.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "423", BUSY),
        ("status", 400, "Staged 1.26.2 1.26.1 refresh@3", ""),
        ("prepare", 0, "204", FOUND_2),
        ("status", 200, "Staged 1.26.2 1.26.2 prepare@4", PREPARED_2),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.2 1.26.2 activate@5", ACTIVATED_READY_2),
    ]);
    script.ends(End::Done);
    // Another version is chosen during the prepare.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.2 1.26.1 prepare@2", PREPARED),
        ("prepare", 0, "204", FOUND_2),
        ("status", 200, "Staged 1.26.2 1.26.2 prepare@3", PREPARED_2),
    ]);
    // The version is withdrawn.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged - 1.26.1 refresh@3", NOTHING_STAGED),
    ]);
    script.ends(End::Done);
}

#[test]
fn state_that_falls_back_is_decided_on_again() {
    let mut script = Script::new(Settings::default());
    // The prepared update is gone, so it is prepared again.
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "409 not allowed", ""),
        ("status", 400, "Available 1.26.1 - refresh@3", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@4", PREPARED),
        ("activate", 0, "423", BUSY),
        // Another client's refresh failed.
        ("status", 400, "Idle 1.26.1 1.26.1 refresh!Failed@5", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@6", NOTHING),
    ]);
    script.ends(End::Done);
}

#[test]
fn cycle_says_that_newer_versions_are_offered_but_none_is_chosen() {
    let not_chosen = "info msg=\"newer versions are offered, none is chosen: version-lock or \
                      wave?\" state=Idle offered=1.27.0 running=1.26.0 variant=aws-k8s-1.30 \
                      arch=x86_64";
    for (offered, logged) in [("1.27.0", not_chosen), ("1.26.0", NOTHING), ("1.25.0", NOTHING)] {
        let status = format!("Idle - - refresh@1 offers={offered}");
        let mut script = Script::new(Settings::default());
        script.rows(&[("status", 0, "404", ""), ("refresh", 0, "204", "")]);
        script.row(("status", 200, forever(&status), logged)).ends(End::Done);
    }
}
