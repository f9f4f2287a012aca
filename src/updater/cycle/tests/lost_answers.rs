//! Calls without a usable answer.

use super::*;

#[test]
fn an_answer_that_is_lost_after_the_command_started() {
    for lost in ["break", "reset", "+10s silence", "garbage"] {
        play(
            &[
                ("status", 0, "404", ""),
                ("refresh", 0, lost, ""),
                ("status", 200, "423", ""),
                ("status", 400, "Available 1.26.1 - refresh@1", ""),
                ("prepare", 0, lost, ""),
                ("status", 200, "423", FOUND),
                ("status", 400, "423", ""),
                (
                    "status",
                    800,
                    "Staged 1.26.1 1.26.1 prepare@2",
                    "info msg=prepared version=1.26.1 took=1s400ms",
                ),
                // This one has ended before it is looked at.
                ("activate", 0, lost, ""),
                ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
            ],
            End::Done,
        );
    }
}

#[test]
fn an_answer_that_is_lost_of_a_command_that_never_started() {
    // Once, it is sent again; the second time, that is no accident.
    play(
        &[
            ("status", 0, "Idle - - refresh@1", ""),
            ("refresh", 0, "break", ""),
            ("status", 200, "Idle - - refresh@1", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle - - refresh@2", NOTHING),
        ],
        End::Done,
    );
    play(
        &[
            ("status", 0, "Idle - - refresh@1", ""),
            ("refresh", 0, "break", ""),
            ("status", 200, "Idle - - refresh@1", ""),
            ("refresh", 0, "reset", ""),
            ("status", 200, "Idle - - refresh@1", ""),
        ],
        End::NoAnswer,
    );
    // The API restarted, and what it knew is gone.
    play(
        &[
            ("status", 0, "Idle - - refresh@1", ""),
            ("refresh", 0, "break", ""),
            ("status", 200, "refused", ""),
            ("status", 400, "404", ""),
            ("refresh", 0, "204", ""),
            ("status", 200, "Idle - - refresh@2", NOTHING),
        ],
        End::Done,
    );
}

#[test]
fn the_api_gone_while_following() {
    let mut script = Script::new(Settings::default());
    script.rows(&FOUND_AVAILABLE).rows(&[
        ("prepare", 0, "204", FOUND),
        ("status", 200, "423", ""),
        ("status", 400, "refused", ""),
        ("status", 800, "missing", ""),
        ("status", 1600, "break", ""),
        ("status", 3200, "+10s silence", ""),
        ("status", 5000, "500 out of memory", ""),
        ("status", 5000, "garbage", ""),
        ("status", 5000, "denied", ""),
        ("status", 5000, "423", ""),
        (
            "status",
            5000,
            "Staged 1.26.1 1.26.1 prepare@2",
            "info msg=prepared version=1.26.1 took=41s",
        ),
    ]);
}

#[test]
fn without_an_answer_the_cycle_ends() {
    for error in ["refused", "missing", "denied", "silence", "full", "descriptors", "500 why"] {
        play(&[("status", 0, error, "")], End::NoAnswer);
        play(&[("status", 0, "423", BUSY), ("status", 200, error, "")], End::NoAnswer);
    }
    for error in ["refused", "missing", "denied", "unsent", "full", "descriptors", "500 why"] {
        play(&[("status", 0, "404", ""), ("refresh", 0, error, "")], End::NoAnswer);
    }
    // Answers to calls that were not made.
    for text in ["204", "409 not allowed"] {
        play(&[("status", 0, text, "")], End::NoAnswer);
    }
    for text in ["404", "Idle"] {
        play(&[("status", 0, "404", ""), ("refresh", 0, text, "")], End::NoAnswer);
    }
}
