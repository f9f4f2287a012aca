//! When cycles begin.

use super::*;

#[test]
fn silence_limit_is_a_cycle_and_the_time_to_give_up() {
    let seconds = Duration::from_secs;
    let schedule = |interval, jitter, give_up| Schedule {
        interval: seconds(interval),
        jitter: seconds(jitter),
        give_up: seconds(give_up),
        once: false,
    };
    assert_eq!(schedule(600, 60, 300).silence_max(), seconds(960));
    // The limit is at least a minute longer than a cycle.
    assert_eq!(schedule(10, 0, 0).silence_max(), seconds(70));
    let endless = Schedule { give_up: Duration::MAX, ..SCHEDULE };
    assert_eq!(endless.silence_max(), Duration::MAX);
}

#[test]
fn cycles_follow_each_other_after_the_interval() {
    Script::new(SCHEDULE, 1).rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@1", NOTHING),
        ("status", 600_000, "Idle - - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@2", ""),
        ("prepare", 0, "204", FOUND),
        (
            "status",
            200,
            "Available 1.26.1 - prepare!Failed@3",
            "error msg=\"command failed\" command=prepare version=1.26.1 \
             status=Failed exit_status=1 took=200ms stderr=\"no space \\\"left\\\" on device\"",
        ),
        // A failure does not shorten the interval.
        ("status", 600_000, "Available 1.26.1 - prepare!Failed@3", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@4", ""),
        ("prepare", 0, "204", FOUND),
        (
            "status",
            200,
            "Staged 1.26.1 1.26.1 prepare@5",
            "info msg=prepared version=1.26.1 took=200ms",
        ),
        ("activate", 0, "204", ""),
        (
            "status",
            200,
            "Ready 1.26.1 1.26.1 activate@6",
            "info msg=activated version=1.26.1 took=200ms\n\
             info msg=\"ready, waiting for the reboot\" state=Ready next=1.26.1 running=1.26.0 \
             variant=aws-k8s-1.30 arch=x86_64",
        ),
        ("status", 600_000, "Ready 1.26.1 1.26.1 activate@6", READY),
        ("status", 600_000, "Ready 1.26.1 1.26.1 activate@6", READY),
        // The node rebooted, and the new version did not boot.
        ("status", 600_000, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@7", ""),
        ("prepare", 0, "204", FOUND),
    ]);
}

#[test]
fn once_runs_a_single_cycle() {
    let once = Schedule { once: true, jitter: MINUTE, ..SCHEDULE };
    for (rows, end) in [
        (&[("status", 0, "Ready 1.26.1 1.26.1 activate@1", READY)][..], End::Done),
        // It does not wait for a missing socket.
        (&[("status", 0, "refused", REFUSED)], End::NoAnswer),
        (&[("status", 0, "denied", DENIED)], End::NoAnswer),
        (&[("status", 0, "+10s silence", SILENT)], End::NoAnswer),
        // It does wait for an API that has answered before.
        (
            &[
                ("status", 0, "404", ""),
                ("refresh", 0, "204", ""),
                ("status", 200, "refused", REFUSED),
                ("status", 400, "missing", ""),
                ("status", 800, "423", "info msg=\"the API is available again\" after=1s200ms"),
                ("status", 1_600, "Idle - - refresh@1", NOTHING),
            ],
            End::Done,
        ),
        (
            &[
                ("status", 0, "404", ""),
                ("refresh", 0, "204", ""),
                ("status", 200, "+10s silence", SILENT),
                ("status", 500, "423", "info msg=\"the API is available again\" after=500ms"),
                ("status", 800, "Idle - - refresh@1", NOTHING),
            ],
            End::Done,
        ),
        // The last line says how the cycle ended.
        (
            &[
                ("status", 0, "404", ""),
                (
                    "refresh",
                    0,
                    "break",
                    "error msg=\"the API is unavailable\" call=refresh \
                     error=\"connection closed before a response\"",
                ),
                ("status", 200, "Idle - - refresh@1", NOTHING),
            ],
            End::Done,
        ),
    ] {
        Script::new(once, 1).rows(rows).ends(end);
    }
}

#[test]
fn first_cycle_begins_at_a_random_time_in_the_interval() {
    for jitter in [Duration::from_millis(1), MINUTE, FOR_EVER, Duration::MAX] {
        let first = |seed| {
            let mut script = Script::new(Schedule { jitter, ..SCHEDULE }, seed);
            // The API is called immediately.
            let (pause, logged) = script.give("404");
            assert_eq!(pause, Duration::ZERO);
            let (pause, _) = script.give("404");
            // The log says when the cycle begins.
            let begins_in = crate::text::duration::HumanDuration(pause);
            assert_eq!(logged, [std::format!("{DEFERRED}{begins_in}")]);
            assert!(pause <= SCHEDULE.interval, "{jitter:?}: {pause:?}");
            script.row(("refresh", 0, "204", ""));
            pause
        };
        let pauses: Vec<_> = (0..1000).map(first).collect();
        assert!(pauses.iter().max().unwrap() >= &(SCHEDULE.interval * 9 / 10), "{jitter:?}");
        assert!(pauses.iter().min().unwrap() <= &(SCHEDULE.interval / 10), "{jitter:?}");
    }
}

#[test]
fn cycle_after_an_outage_begins_at_a_random_time() {
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    let mut pauses = Vec::new();
    for seed in 0..1000 {
        let mut script = Script::new(schedule, seed);
        script.row(("status", 0, "refused", REFUSED));
        script.pauses("refused", 5);
        script.give("404");
        let (pause, _) = script.give("404");
        assert!(pause <= schedule.interval, "{pause:?}");
        script.row(("refresh", 0, "204", ""));
        pauses.push(pause);
    }
    pauses.sort();
    assert!(pauses[100] < schedule.interval / 5 && pauses[900] > schedule.interval * 4 / 5);
}

#[test]
fn cycle_is_put_off_by_ten_minutes_at_most_and_by_one_after_a_boot() {
    let schedule = Schedule { interval: 360 * MINUTE, jitter: MINUTE, ..SCHEDULE };
    for (since_boot, longest) in [
        (Duration::ZERO, MINUTE),
        (10 * MINUTE - Duration::from_millis(1), MINUTE),
        (10 * MINUTE, 10 * MINUTE),
        (FOR_EVER, 10 * MINUTE),
    ] {
        for answers in [&["404"][..], &["refused", "denied", "404"]] {
            let mut pauses = Vec::new();
            for seed in 0..500 {
                let mut script = Script::new(schedule, seed);
                for text in answers {
                    let (answer, _) = answer_and_delay(text);
                    let at = Now { since_boot, ..at(script.now) };
                    script.next = script.daemon.on_answer(at, Call::Status, &answer, &mut |_| ());
                }
                let Next::Call(Call::Status, pause) = script.next else { panic!() };
                assert!(pause <= longest, "{since_boot:?}: {pause:?}");
                pauses.push(pause);
            }
            pauses.sort();
            assert!(pauses[50] < longest / 5 && pauses[450] > longest * 4 / 5);
        }
    }
}

#[test]
fn updater_that_works_says_so_once_a_day() {
    let hours = |hours: u64| Duration::from_secs(60 * 60 * hours);
    let schedule = Schedule { interval: hours(1), ..SCHEDULE };
    let mut script = Script::new(schedule, 1);
    script.row(("status", 0, "Ready 1.26.1 1.26.1 activate@1", READY));
    let failed = |script: &mut Script| {
        script.give("404");
        script.give("204");
        script.give("Idle - - refresh!Failed@1").1
    };
    for _ in 0..21 {
        script.row(("status", 3_600_000, "Ready 1.26.1 1.26.1 activate@1", READY));
    }
    // An outage and cycles that fail, at the time when the first report is due.
    for _ in 0..3 {
        let logged = failed(&mut script);
        assert!(logged.len() == 1 && logged[0].starts_with("error "), "{logged:?}");
    }
    let healthy = |cycles: u32, failed: u32| {
        std::format!(
            "info msg=\"the updater is working\" state=Ready running=1.26.0 \
             variant=aws-k8s-1.30 arch=x86_64 cycles={cycles} failed_cycles={failed}"
        )
    };
    let (_, logged) = script.give("Ready 1.26.1 1.26.1 activate@1");
    assert_eq!(logged, [READY, &healthy(26, 3)]);
    for _ in 0..2 {
        for _ in 0..23 {
            script.row(("status", 3_600_000, "Ready 1.26.1 1.26.1 activate@1", READY));
        }
        let (_, logged) = script.give("Ready 1.26.1 1.26.1 activate@1");
        assert_eq!(logged, [READY, &healthy(24, 0)]);
    }
}

#[test]
fn fleet_is_spread_evenly() {
    // The seeds may be good, or almost the same if they come from a clock at boot.
    type Seeds = fn(u64) -> u64;
    let seeds: [(&str, Seeds); 4] = [
        ("1, 2, 3", |node| node),
        ("microseconds", |node| 4_000_000_000 + 1_000 * node),
        ("high bits", |node| node << 48),
        ("random", |node| Numbers(node).below(u64::MAX)),
    ];
    for (kind, seed) in seeds {
        let mut first = [0u32; 60];
        let mut second = [0u32; 60];
        for node in 0..10_000 {
            let mut script = Script::new(Schedule { jitter: MINUTE, ..SCHEDULE }, seed(node));
            script.give("Ready");
            let (pause, _) = script.give("Ready");
            first[(pause.as_secs() / 10).min(59) as usize] += 1;
            let (pause, _) = script.give("Ready");
            let spread = pause.checked_sub(SCHEDULE.interval).unwrap();
            assert!(spread <= MINUTE, "{spread:?}");
            second[spread.as_secs().min(59) as usize] += 1;
        }
        for counts in [first, second] {
            // 167 are expected in each second, with a standard deviation of 13.
            let even = counts.iter().all(|count| (100..250).contains(count));
            assert!(even, "seeds of {kind}: {counts:?}");
        }
    }
}

#[test]
fn pauses_of_one_node_vary() {
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    for seed in [0, 1, u64::MAX] {
        let mut script = Script::new(schedule, seed);
        script.give("Ready");
        script.give("Ready");
        let mut spreads = Vec::new();
        for _ in 0..1000 {
            let (pause, _) = script.give("Ready");
            spreads.push(pause - schedule.interval);
        }
        let mean = spreads.iter().sum::<Duration>() / 1000;
        assert!((27..33).contains(&mean.as_secs()), "{mean:?}");
        spreads.sort();
        spreads.dedup();
        assert!(spreads.len() > 950, "{}", spreads.len());
    }
}

#[test]
fn jitter_takes_each_value_up_to_the_longest() {
    let millis = Duration::from_millis;
    let schedule = Schedule { jitter: millis(2), ..SCHEDULE };
    let mut counts = [0; 3];
    for random in 0..300 {
        let mut script = Script::with(hands_off(), History::default(), schedule, random);
        let jitter = script.daemon.until_next_cycle(Duration::ZERO) - schedule.interval;
        counts[jitter.as_millis() as usize] += 1;
    }
    assert!(counts.iter().all(|count| (70..130).contains(count)), "{counts:?}");
}

#[test]
fn nothing_is_random_without_jitter() {
    for seed in 0..100 {
        let mut script = Script::new(SCHEDULE, seed);
        script.row(("status", 0, "Ready - 1.26.1", READY));
        script.row(("status", 600_000, "Ready - 1.26.1", READY));
        script.row(("status", 600_000, "Ready - 1.26.1", READY));
    }
}
