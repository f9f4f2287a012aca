//! Random answers, the same in each run.

use super::*;

#[test]
fn longest_durations_do_not_overflow() {
    let schedule =
        Schedule { once: false, interval: FOR_EVER, jitter: FOR_EVER, give_up: FOR_EVER };
    let settings = Settings { timeouts: [FOR_EVER; 4], ..Settings::default() };
    let any = AnyAnswer::new();
    for schedule in [
        schedule,
        Schedule {
            interval: Duration::MAX,
            jitter: Duration::MAX,
            give_up: Duration::MAX,
            ..schedule
        },
        Schedule { interval: Duration::from_millis(1), jitter: FOR_EVER, ..schedule },
        Schedule { interval: FOR_EVER, jitter: Duration::ZERO, ..schedule },
    ] {
        for seed in [0, 1, u64::MAX, 1 << 63] {
            let mut numbers = Numbers(seed);
            let (mut daemon, mut next) =
                Daemon::begin(settings.clone(), History::default(), schedule, seed);
            let mut now = Duration::ZERO;
            for _ in 0..2_000 {
                let Next::Call(call, pause) = next else { panic!("{next:?}") };
                now = now.saturating_add(pause);
                let answer = any.to(call, &mut numbers);
                next = daemon.on_answer(at(now), call, answer, &mut |_| ());
                // The clock never goes back, but nothing may depend on that.
                if numbers.below(50) == 0 {
                    now = Duration::ZERO;
                }
            }
        }
    }
}

/// With any answers, the daemon goes on, keeps its pauses and its windows, does not try a
/// version that is held back, and logs the beginning and the end of each outage.
#[test]
fn daemon_keeps_its_rules_with_any_sequence_of_answers() {
    let any = AnyAnswer::new();
    let stale = [answer("refused"), answer("missing")];
    let jitter = Duration::from_secs(30);
    let mut gave_up = 0;
    let mut begun = [0; Command::ALL.len()];
    for seed in 0..1_000 {
        let mut numbers = Numbers(seed);
        let schedule = Schedule { jitter, ..SCHEDULE };
        let settings = Settings {
            refresh_ready: numbers.below(2) == 0,
            stage_only: numbers.below(4) == 0,
            windows: any_windows(&mut numbers),
            ..Settings::default()
        };
        let history = any_history(&mut numbers);
        let (mut daemon, mut next) = Daemon::begin(settings, history, schedule, seed);
        let mut now = Duration::from_secs(numbers.below(1_000_000));
        let mut lost = false;
        let mut stale_since = None;
        let away = *numbers.one_of(&[0, 0, 10, 29]);
        for _ in 0..300 {
            let Next::Call(call, pause) = next else { break };
            assert!(pause <= schedule.interval + jitter, "seed {seed}: {pause:?}");
            now += pause;
            let answer = match numbers.below(30) < away {
                true => numbers.one_of(&stale),
                false => any.to(call, &mut numbers),
            };
            match answer {
                Err(error) if error.is_stale_socket() => {
                    stale_since.get_or_insert(now);
                }
                _ => stale_since = None,
            }
            let mut ends = false;
            next = daemon.on_answer(at(now), call, answer, &mut |event| match event {
                Event::ApiLost { .. } => {
                    assert!(answer.is_err(), "seed {seed}");
                    lost = true;
                }
                Event::ApiBack { .. } => {
                    assert!(lost && answer.is_ok(), "seed {seed}");
                    lost = false;
                }
                Event::GaveUp { .. } => ends = true,
                _ => {}
            });
            if let Next::Call(Call::Start(command), pause) = next
                && command != Command::Refresh
            {
                let Ok(Answer::Status(status)) = answer else { panic!("seed {seed}: {answer:?}") };
                assert!(pause.is_zero(), "seed {seed}: {command:?}");
                let Settings { windows, stage_only, refresh_ready, .. } = &daemon.settings;
                if command == Command::Deactivate {
                    // At any hour, also for a version that is held back.
                    let is_chosen = status.chosen.is_some() && status.chosen == status.staged;
                    assert!(*refresh_ready && !is_chosen, "seed {seed}");
                } else {
                    assert!(windows.is_open(now), "seed {seed}: {command:?}");
                    let held = daemon.history.hold_for(status.chosen.unwrap());
                    assert_eq!(held, None, "seed {seed}: {command:?}");
                }
                assert!(command == Command::Prepare || !stage_only, "seed {seed}: {command:?}");
                begun[command.number()] += 1;
            }
            let since = stale_since.map_or(Duration::ZERO, |since| now - since);
            assert_eq!(ends, since == schedule.give_up, "seed {seed}: {since:?}");
            assert_eq!(ends, matches!(next, Next::End(_)), "seed {seed}");
            gave_up += u32::from(ends);
        }
    }
    assert!(begun[1..].iter().all(|count| *count > 20), "{begun:?}");
    assert!(gave_up > 50 && gave_up < 950, "{gave_up}");
}
