//! Outages of the API: backoff, and giving up.

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
        // After an answer, the backoff begins again.
        script.give("423");
        let (_, logged) = script.give("denied");
        assert_eq!(logged, [DENIED]);
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
fn outage_is_logged_once_per_kind_and_when_it_is_over() {
    let mut script = Script::new(SCHEDULE, 1);
    script.row(("status", 0, "refused", REFUSED));
    let begin = script.now;
    script.pauses("missing", 3);
    // Each change of the kind of error is logged, so that the last kind is known.
    let kinds = [("denied", DENIED), ("+10s silence", SILENT), ("refused", REFUSED)];
    for (text, logged) in kinds {
        assert_eq!(script.give(text).1, [logged]);
        script.pauses(text, 3);
    }
    let (_, logged) = script.give("Ready - 1.26.1");
    let after = crate::text::duration::HumanDuration(script.now - begin);
    let back = std::format!("info msg=\"the API is available again\" after={after}");
    assert_eq!(logged, [back.as_str(), READY]);
    script.row(("status", 600_000, "refused", REFUSED));
}

#[test]
fn outage_that_lasts_is_logged_again_every_hour() {
    let mut script = Script::new(SCHEDULE, 1);
    script.row(("status", 0, "denied", DENIED));
    let begin = script.now;
    let mut logged_at = Vec::new();
    while script.now - begin < 300 * MINUTE {
        let (_, logged) = script.give("denied");
        if !logged.is_empty() {
            assert_eq!(logged, [DENIED]);
            logged_at.push((script.now - begin).as_secs() / 60);
        }
    }
    // A retry comes at most a minute later than the hour.
    assert!(logged_at.len() == 4, "{logged_at:?}");
    let mut previous = 0;
    for minutes in logged_at {
        assert!((60..=61).contains(&(minutes - previous)), "{minutes} after {previous}");
        previous = minutes;
    }
    // Another kind of error begins another hour.
    assert_eq!(script.give("+10s silence").1, [SILENT]);
    script.pauses("+10s silence", 40);
}

#[test]
fn outage_of_a_command_lasts_until_it_is_answered() {
    let lost = "error msg=\"the API is unavailable\" call=refresh \
                error=\"the API returned 500: out of memory\"";
    let mut script = Script::new(SCHEDULE, 1);
    script.row(("status", 0, "404", "")).row(("refresh", 0, "500 out of memory", lost));
    let begin = script.now;
    // A status does not end the outage, and does not reset the backoff.
    for bound in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600].map(Duration::from_secs) {
        let (pause, logged) = script.give("404");
        assert!((bound / 2..=bound).contains(&pause), "{pause:?}");
        assert_eq!(logged, [""; 0]);
        script.row(("refresh", 0, "500 out of memory", ""));
    }
    script.give("404");
    let (_, logged) = script.give("204");
    let after = crate::text::duration::HumanDuration(script.now - begin);
    assert_eq!(logged, [std::format!("info msg=\"the API is available again\" after={after}")]);
    script.row(("status", 200, "Idle - - refresh@1", NOTHING));
    script.row(("status", 600_000, "Idle - - refresh@1", ""));
}

#[test]
fn outage_is_over_when_the_status_shows_the_command() {
    // A prepare takes minutes. The outage must not seem to last that long.
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
    let (_, logged) = script.give("423");
    assert_eq!(logged, [std::format!("{back}400ms")]);
    script.rows(&[
        ("status", 800, "Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "break", lost("prepare")),
    ]);
    // The command has finished before the status is read.
    let (_, logged) = script.give("Staged 1.26.1 1.26.1 prepare@2");
    let prepared = "info msg=prepared version=1.26.1 took=200ms";
    assert_eq!(logged, [FOUND, prepared, &std::format!("{back}200ms")]);
    // Another client's command does not count.
    script.rows(&[
        ("activate", 0, "break", lost("activate")),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("activate", 0, "break", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
    ]);
    let again = Call::Start(crate::api::Command::Activate);
    assert_eq!(script.next, Next::Call(again, Duration::ZERO));

    // A command that failed counts.
    let mut script = Script::new(SCHEDULE, 1);
    script.rows(&[("status", 0, "404", ""), ("refresh", 0, "break", lost("refresh"))]);
    let (_, logged) = script.give("Idle - - refresh!Failed@1");
    let failed = "error msg=\"command failed\" command=refresh status=Failed exit_status=1 \
                  took=200ms stderr=\"no space \\\"left\\\" on device\"";
    assert_eq!(logged, [failed, &std::format!("{back}200ms")]);
}

#[test]
fn cycle_that_fails_in_an_outage_is_followed_by_a_backoff() {
    // The refresh times out because the API is unavailable. The next cycle does not wait
    // for the interval, but begins with a backoff.
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
fn daemon_gives_up_at_the_exact_time() {
    for text in ["refused", "missing"] {
        for give_up in [0, 1, 999, 1_000, 7_777, 300_000, 3_600_000].map(Duration::from_millis) {
            for seed in 0..50 {
                let mut script = Script::new(Schedule { give_up, ..SCHEDULE }, seed);
                script.give("Ready");
                let (_, mut logged) = script.give(text);
                let begin = script.now;
                while script.next != Next::End(End::NoAnswer) {
                    let (_, lines) = script.give(text);
                    logged.extend(lines);
                }
                assert_eq!(script.now - begin, give_up);
                let [_, .., gave_up] = &logged[..] else { panic!("{logged:?}") };
                // An outage of an hour is also logged again.
                let lines = if give_up < 60 * MINUTE { 2 } else { 3 };
                assert_eq!(logged.len(), lines, "{logged:?}");
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
fn daemon_gives_up_in_the_middle_of_a_cycle() {
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
fn only_a_stale_socket_makes_the_daemon_give_up() {
    // The container restarts neither after an answer of any kind, nor because of a socket
    // that accepts connections but does not work.
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
        // The time begins with the first refused connection after it.
        let begin = script.now;
        let (pause, _) = script.give("refused");
        while script.next != Next::End(End::NoAnswer) {
            script.give("refused");
        }
        assert_eq!(script.now - begin, pause + SCHEDULE.give_up, "{text}");
    }
}
