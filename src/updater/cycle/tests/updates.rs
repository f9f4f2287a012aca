//! Updates without trouble, from each state of the node.

use super::*;

#[test]
fn a_whole_update() {
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
fn it_starts_from_every_state() {
    // The state, what the refresh finds, and what follows.
    for (before, found, told, rest) in [
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
            ("status", 200, found, told),
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
fn a_refresh_is_told_with_what_it_found() {
    for (before, found, version) in [
        ("404", "Idle - - refresh@2", ""),
        ("404", "Available 1.26.1 - refresh@2", "1.26.1"),
        ("Available 1.26.1 - refresh@1", "Idle - - refresh@2", ""),
        ("Available 1.26.1 - refresh@1", "Available 1.26.2 - refresh@2", "1.26.2"),
        ("Staged 1.26.1 1.26.1 prepare@1", "Staged 1.26.2 1.26.1 refresh@2", "1.26.2"),
    ] {
        let mut script = Script::new(Settings::default());
        script.rows(&[("status", 0, before, ""), ("refresh", 0, "204", "")]);
        let mut told = Vec::new();
        script.on_answer(&answer(found), &mut |event| {
            if let Event::Refreshed { version, .. } = event {
                told.push(version.to_owned());
            }
        });
        assert_eq!(told, [version], "{before}, {found}");
    }
}

#[test]
fn ready_is_only_looked_at() {
    for status in [
        "Ready 1.26.1 1.26.1 activate@3",
        "Ready 1.26.2 1.26.1 refresh@4",
        "Ready - 1.26.1 refresh!Failed@4",
        "Ready - 1.26.1",
    ] {
        play(&[("status", 0, status, READY)], End::Done);
    }
    // Even while somebody else is at work.
    play(
        &[
            ("status", 0, "423", BUSY),
            ("status", 200, "423", ""),
            ("status", 400, "Ready 1.26.1 1.26.1 activate@3", READY),
        ],
        End::Done,
    );
}

#[test]
fn ready_is_replaced_when_that_is_wanted() {
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 refresh@2", READY),
        ],
        End::Done,
    );
    // Nothing is chosen any more: what is Ready stays.
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready - 1.26.1 refresh@2", READY),
        ],
        End::Done,
    );
    play_refresh_ready(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "204", ""),
            (
                "status",
                200,
                "Staged 1.26.2 1.26.1 deactivate@3",
                "info msg=\"deactivated because another version was chosen\" version=1.26.1 \
                 took=200ms",
            ),
            ("prepare", 0, "204", FOUND_2),
            ("status", 200, "Staged 1.26.2 1.26.2 prepare@4", PREPARED_2),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.2 activate@5", ACTIVATED_READY_2),
        ],
        End::Done,
    );
}

#[test]
fn staged_is_the_end_if_that_is_wanted() {
    let staged = "info msg=\"update is staged, not activating it because of -stage-only\" \
                  state=Staged next=1.26.1 \
                  running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
    let settings = Settings { stage_only: true, ..Settings::default() };
    let prepared = format!("{PREPARED}\n{staged}");
    let mut script = Script::new(settings.clone());
    script.rows(&FOUND_AVAILABLE).rows(&STAGED[..1]);
    script.row(("status", 200, "Staged 1.26.1 1.26.1 prepare@2", forever(&prepared)));
    script.ends(End::Done);
    // It is refreshed each time, and prepared again if another one is chosen.
    let mut script = Script::new(settings.clone());
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", staged),
    ]);
    script.ends(End::Done);
    let mut script = Script::new(settings.clone());
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.2 1.26.1 refresh@3", ""),
        ("prepare", 0, "204", FOUND_2),
    ]);
    // Somebody else has activated it.
    Script::new(settings).row(("status", 0, "Ready 1.26.1 1.26.1 activate@3", READY));
}

#[test]
fn another_version_is_chosen_meanwhile() {
    // Somebody else's refresh between the prepare and the activate.
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
    // While it is prepared: what is staged is not what is chosen.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.2 1.26.1 prepare@2", PREPARED),
        ("prepare", 0, "204", FOUND_2),
        ("status", 200, "Staged 1.26.2 1.26.2 prepare@3", PREPARED_2),
    ]);
    // Withdrawn.
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged - 1.26.1 refresh@3", NOTHING_STAGED),
    ]);
    script.ends(End::Done);
}

#[test]
fn the_state_falls_back() {
    let mut script = Script::new(Settings::default());
    // What was prepared is gone, whoever did that: it is prepared again.
    script.rows(&FOUND_AVAILABLE).rows(&STAGED).rows(&[
        ("activate", 0, "409 not allowed", ""),
        ("status", 400, "Available 1.26.1 - refresh@3", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@4", PREPARED),
        ("activate", 0, "423", BUSY),
        // Somebody else's refresh failed.
        ("status", 400, "Idle 1.26.1 1.26.1 refresh!Failed@5", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@6", NOTHING),
    ]);
    script.ends(End::Done);
}
