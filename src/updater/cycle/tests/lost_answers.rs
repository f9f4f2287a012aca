//! Calls without a usable answer.

use super::*;

#[test]
fn command_with_a_lost_answer_is_followed() {
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
                // This command has finished before the status is read.
                ("activate", 0, lost, ""),
                ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
            ],
            End::Done,
        );
    }
}

#[test]
fn command_that_never_started_is_sent_once_more() {
    // It is sent again once. The second time, the cycle ends.
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
    // The API server restarted and lost its status.
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
fn command_is_followed_while_the_api_is_unavailable() {
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
fn call_without_an_answer_ends_the_cycle() {
    for error in ["refused", "missing", "denied", "silence", "full", "descriptors", "500 why"] {
        play(&[("status", 0, error, "")], End::NoAnswer);
        play(&[("status", 0, "423", BUSY), ("status", 200, error, "")], End::NoAnswer);
    }
    for error in ["refused", "missing", "denied", "unsent", "full", "descriptors", "500 why"] {
        play(&[("status", 0, "404", ""), ("refresh", 0, error, "")], End::NoAnswer);
    }
    // Answers that belong to other calls.
    for text in ["204", "409 not allowed"] {
        play(&[("status", 0, text, "")], End::NoAnswer);
    }
    for text in ["404", "Idle"] {
        play(&[("status", 0, "404", ""), ("refresh", 0, text, "")], End::NoAnswer);
    }
}
