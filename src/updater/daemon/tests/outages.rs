//! The API cannot be used: backoff, and giving up.

use super::*;

#[test]
fn backoff_grows_up_to_a_minute() {
    let bounds = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Duration::from_secs);
    let mut distinct = Vec::new();
    for seed in 0..1000 {
        let mut script = Script::new(SCHEDULE, seed);
        script.row(("status", 0, "denied", DENIED));
        let pauses = script.pauses("denied", bounds.len());
        for (pause, bound) in pauses.iter().zip(bounds) {
            assert!((bound / 2..=bound).contains(pause), "{pauses:?}");
        }
        distinct.push(pauses[3]);
        // Back, for one call or for good, it begins anew.
        script.give("423");
        let begins_anew = script.give("denied");
        assert_eq!(begins_anew.1, [DENIED]);
        let (pause, _) = script.give("denied");
        assert!(pause <= Duration::from_secs(1), "{pause:?}");
    }
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > 800, "no node in step with another: {}", distinct.len());
}

#[test]
fn backoff_is_never_longer_than_the_interval() {
    let schedule = Schedule { interval: Duration::from_millis(1500), ..SCHEDULE };
    let mut script = Script::new(schedule, 1);
    script.row(("status", 0, "denied", DENIED));
    assert!(script.pauses("denied", 100).iter().all(|pause| *pause <= schedule.interval));
}

#[test]
fn said_once_and_said_when_it_is_back() {
    let mut script = Script::new(SCHEDULE, 1);
    script.row(("status", 0, "refused", REFUSED));
    let begin = script.now;
    script.pauses("missing", 3);
    // Once for each kind of outage, so that the last one is known.
    let kinds = [("denied", DENIED), ("+10s silence", SILENT), ("refused", REFUSED)];
    for (text, told) in kinds {
        assert_eq!(script.give(text).1, [told]);
        script.pauses(text, 3);
    }
    let (_, told) = script.give("Ready - 1.26.1");
    let after = crate::text::duration::HumanDuration(script.now - begin);
    let back = std::format!("info msg=\"the API is available again\" after={after}");
    assert_eq!(told, [back.as_str(), READY]);
    script.row(("status", 600_000, "refused", REFUSED));
}

#[test]
fn a_command_that_the_api_cannot_do() {
    let lost = "error msg=\"the API is unavailable\" call=refresh \
                error=\"the API returned 500: out of memory\"";
    let mut script = Script::new(SCHEDULE, 1);
    script.row(("status", 0, "404", "")).row(("refresh", 0, "500 out of memory", lost));
    let begin = script.now;
    // That the status can be read does not mean that it is back, nor that it
    // may be asked as often as in the beginning.
    for bound in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600].map(Duration::from_secs) {
        let (pause, told) = script.give("404");
        assert!((bound / 2..=bound).contains(&pause), "{pause:?}");
        assert_eq!(told, [""; 0]);
        script.row(("refresh", 0, "500 out of memory", ""));
    }
    script.give("404");
    let (_, told) = script.give("204");
    let after = crate::text::duration::HumanDuration(script.now - begin);
    assert_eq!(told, [std::format!("info msg=\"the API is available again\" after={after}")]);
    script.row(("status", 200, "Idle - - refresh@1", NOTHING));
    script.row(("status", 600_000, "Idle - - refresh@1", ""));
}

#[test]
fn back_as_soon_as_a_command_is_seen_to_run() {
    // A prepare takes minutes: nobody is to believe for so long that the API
    // cannot be used.
    let back = "info msg=\"the API is available again\" after=";
    let lost = |command: &str| {
        let lost = std::format!(
            "error msg=\"the API is unavailable\" call={command} \
             error=\"connection closed before a response\""
        );
        &*std::boxed::Box::leak(lost.into_boxed_str())
    };
    let mut script = Script::new(SCHEDULE, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "break", lost("refresh")),
        ("status", 200, "reset", ""),
    ]);
    let (_, told) = script.give("423");
    assert_eq!(told, [std::format!("{back}600ms")]);
    script.rows(&[
        ("status", 800, "Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "break", lost("prepare")),
    ]);
    // It is over already when it is looked at.
    let (_, told) = script.give("Staged 1.26.1 1.26.1 prepare@2");
    let prepared = "info msg=prepared version=1.26.1 took=200ms";
    assert_eq!(told, [FOUND, prepared, &std::format!("{back}200ms")]);
    // Somebody else's command does not count.
    script.rows(&[
        ("activate", 0, "break", lost("activate")),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("activate", 0, "break", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
    ]);
    let again = Call::Start(crate::api::Command::Activate);
    assert_eq!(script.next, Next::Call(again, Duration::ZERO));

    // Nor does it matter what became of it.
    let mut script = Script::new(SCHEDULE, 1);
    script.rows(&[("status", 0, "404", ""), ("refresh", 0, "break", lost("refresh"))]);
    let (_, told) = script.give("Idle - - refresh!Failed@1");
    let failed = "error msg=\"command failed\" command=refresh status=Failed exit_status=1 \
                  took=200ms stderr=\"no space \\\"left\\\" on device\"";
    assert_eq!(told, [failed, &std::format!("{back}200ms")]);
}

#[test]
fn a_cycle_that_ends_without_the_api() {
    // The refresh has no result in time because nobody is there to tell: the
    // next try is not made after the interval, but as soon as for a cycle
    // that begins without the API.
    let overdue = "error msg=\"command timed out; it may still be running\" \
                   command=refresh timeout=1m";
    for (text, lost) in [("refused", REFUSED), ("+10s silence", SILENT)] {
        let mut script = Script::new(SCHEDULE, 1);
        script.rows(&[("status", 0, "404", ""), ("refresh", 0, "204", "")]);
        script.row(("status", 200, text, lost));
        let begin = script.now;
        while script.give(text).1 != [overdue] {}
        let pauses = script.pauses(text, 3);
        assert!(pauses.iter().all(|pause| *pause <= 4 * BACKOFF_MIN), "{text}: {pauses:?}");
        if text == "refused" {
            while script.next != Next::End(End::NoAnswer) {
                script.give(text);
            }
            assert_eq!(script.now - begin, SCHEDULE.give_up);
        }
    }
}

#[test]
fn it_gives_up_exactly_when_it_is_told_to() {
    for text in ["refused", "missing"] {
        for give_up in [0, 1, 999, 1_000, 7_777, 300_000, 3_600_000].map(Duration::from_millis) {
            for seed in 0..50 {
                let mut script = Script::new(Schedule { give_up, ..SCHEDULE }, seed);
                script.give("Ready");
                let (_, mut told) = script.give(text);
                let begin = script.now;
                while script.next != Next::End(End::NoAnswer) {
                    let (_, lines) = script.give(text);
                    told.extend(lines);
                }
                assert_eq!(script.now - begin, give_up);
                let [_, gave_up] = &told[..] else { panic!("{told:?}") };
                let short = crate::text::duration::HumanDuration(give_up);
                assert!(
                    gave_up.starts_with("error msg=\"the socket is unreachable; exiting "),
                    "{gave_up}"
                );
                assert!(gave_up.contains(&std::format!(" after={short} ")), "{gave_up}");
                assert!(gave_up.contains(" error=\"cannot connect: "), "{gave_up}");
            }
        }
    }
}

#[test]
fn it_gives_up_in_the_middle_of_a_cycle_as_well() {
    let give_up = Duration::from_millis(47_777);
    let mut script = Script::new(Schedule { give_up, ..SCHEDULE }, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "423", ""),
        ("status", 400, "refused", REFUSED),
    ]);
    let begin = script.now;
    while script.next != Next::End(End::NoAnswer) {
        script.give("refused");
    }
    assert_eq!(script.now - begin, give_up);
}

#[test]
fn what_answers_is_not_given_up() {
    // Neither an answer of any kind, nor a socket that is there but of no use,
    // is a reason for a restart of the container.
    for text in ["423", "500 why", "denied", "+10s silence", "full", "break", "garbage"] {
        let mut script = Script::new(SCHEDULE, 1);
        for _ in 0..20 {
            script.give("refused");
            let begin = script.now;
            while script.now - begin < Duration::from_secs(240) {
                script.give("refused");
            }
            script.give(text);
            assert!(matches!(script.next, Next::Call(..)), "{text}");
        }
        // From the first refusal on that follows, not from the last answer.
        let begin = script.now;
        let (pause, _) = script.give("refused");
        while script.next != Next::End(End::NoAnswer) {
            script.give("refused");
        }
        assert_eq!(script.now - begin, pause + SCHEDULE.give_up, "{text}");
    }
}
