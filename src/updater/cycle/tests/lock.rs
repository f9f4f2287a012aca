//! Another client holds the lock.

use super::*;

#[test]
fn held_lock_is_waited_for_at_every_point() {
    // Before the first status. Another client refreshes meanwhile; the cycle refreshes
    // nevertheless.
    play(
        &[
            ("status", 0, "423", BUSY),
            ("status", 200, "423", ""),
            ("status", 400, "Available 1.26.1 - refresh@1", ""),
            ("refresh", 0, "423", ""),
            ("status", 800, "Available 1.26.1 - refresh@2", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle - - refresh@3", NOTHING),
        ],
        End::Done,
    );
    // Before each command. Each wait is logged once.
    play(
        &[
            ("status", 0, "404", ""),
            ("refresh", 0, "423", BUSY),
            ("status", 200, "404", ""),
            ("refresh", 0, "423", ""),
            ("status", 400, "423", ""),
            ("status", 800, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Available 1.26.1 - refresh@1", ""),
            ("prepare", 0, "423", BUSY),
            ("status", 400, "Available 1.26.1 - refresh@2", ""),
            ("prepare", 0, "204", FOUND),
            ("status", 200, "Staged 1.26.1 1.26.1 prepare@3", PREPARED),
            ("activate", 0, "423", BUSY),
            ("status", 400, "Staged 1.26.1 1.26.1 refresh@4", ""),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 activate@5", ACTIVATED_READY),
        ],
        End::Done,
    );
    // While another client deactivates, which the cycle was about to do.
    play(
        &[
            ("status", 0, "Ready 1.26.1 1.26.1 activate@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
            ("deactivate", 0, "423", BUSY),
            ("status", 400, "Staged 1.26.2 1.26.1 deactivate@3", ""),
            ("prepare", 0, "204", FOUND_2),
            ("status", 200, "Staged 1.26.2 1.26.2 prepare@4", PREPARED_2),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.2 1.26.2 activate@5", ACTIVATED_READY_2),
        ],
        End::Done,
    );
    // A prepare that was running at the start is reported and used.
    let prepared = "info msg=prepared version=1.26.1";
    play(
        &[
            ("status", 0, "423", BUSY),
            ("status", 200, "Staged 1.26.1 1.26.1 prepare@1", prepared),
            ("refresh", 0, "204", ""),
            ("status", 200, "Staged 1.26.1 1.26.1 refresh@2", ""),
            ("activate", 0, "204", ""),
            ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
        ],
        End::Done,
    );
}

#[test]
fn repeated_423_to_a_command_is_not_a_failure() {
    // Another client reads the status often: the status can be read, but each command
    // finds the lock held, for a minute.
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "Available 1.26.1 - refresh@1", ""));
    script.row(("refresh", 0, "423", BUSY));
    for pause in [200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000, 5000, 5000] {
        script.row(("status", pause, "Available 1.26.1 - refresh@1", ""));
        script.row(("refresh", 0, "423", ""));
    }
    script.rows(&[
        ("status", 5000, "Available 1.26.1 - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@2", NOTHING),
    ]);
    script.ends(End::Done);
}

#[test]
fn wait_for_the_lock_ends_after_the_longest_timeout() {
    for (timeouts, longest) in [([60, 1800, 60, 60], 1800), ([60, 5, 7, 90], 90), ([9, 9, 9, 9], 9)]
    {
        let settings =
            Settings { timeouts: timeouts.map(Duration::from_secs), ..Settings::default() };
        for locked_status in [true, false] {
            let mut script = Script::new(settings.clone());
            let begin = script.now;
            let mut logged = Vec::new();
            let mut calls = 0;
            while let Step::Call(call, pause) = script.next {
                script.now += pause;
                calls += 1;
                let text = match call {
                    Call::Status if !locked_status => "Idle",
                    _ => "423",
                };
                let emit = &mut |event: Event| logged.extend(line(&event));
                script.on_answer(&answer(text), emit);
            }
            script.ends(End::Failed);
            let waited = (script.now - begin).as_secs();
            assert!((longest..=longest + 5).contains(&waited), "{longest}: {waited}");
            assert!(calls < 2 * longest / 5 + 500, "{longest}: {calls}");
            let [busy, locked] = &logged[..] else { panic!("{logged:?}") };
            assert_eq!(busy, BUSY);
            let start = "error msg=\"timed out waiting for the running update command\" after=";
            assert!(locked.starts_with(start), "{locked}");
        }
    }
}
