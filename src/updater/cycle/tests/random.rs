//! Random answers, the same in each run.

use super::*;
use crate::tests::Numbers;

/// All statuses with a few versions, commands and timestamps, and all other answers. Few
/// of each, so that random answers often fit together.
pub(crate) struct AnyAnswer {
    statuses: Vec<Answered>,
    others: Vec<Answered>,
}

impl AnyAnswer {
    pub(crate) fn new() -> Self {
        let mut statuses = vec![];
        for state in State::ALL {
            for chosen in ["-", "1.26.1", "1.26.2"] {
                for staged in ["-", "1.26.1", "1.26.2"] {
                    let status = format!("{} {chosen} {staged}", state.name());
                    statuses.push(answer(&status));
                    for command in Command::ALL {
                        for outcome in ["Success", "Success", "Success", "Failed", "Unknown"] {
                            for timestamp in 0..4 {
                                let name = command.name();
                                let last = format!("{status} {name}!{outcome}@{timestamp}");
                                statuses.push(answer(&last));
                            }
                        }
                    }
                }
            }
        }
        let others = [
            "204",
            "204",
            "204",
            "423",
            "404",
            "404 why",
            "409",
            "500 why",
            "refused",
            "missing",
            "denied",
            "unsent",
            "full",
            "break",
            "reset",
            "silence",
            "garbage",
            "descriptors",
        ];
        Self { statuses, others: others.into_iter().map(answer).collect() }
    }

    /// A random answer that mostly fits the call.
    pub(crate) fn to(&self, call: Call, numbers: &mut Numbers) -> &Answered {
        let status = (call == Call::Status) != (numbers.below(8) == 0);
        numbers.one_of(if status { &self.statuses } else { &self.others })
    }
}

/// No windows, or windows that are open at some times.
pub(crate) fn any_windows(numbers: &mut Numbers) -> Windows {
    let mut windows = Windows::new();
    let list = *numbers.one_of(&["", "", "00:00-12:00", "Mon-Thu 06:00-05:00", "Sun 1:00-2:00"]);
    if !list.is_empty() {
        windows.add(list.as_bytes()).unwrap();
    }
    windows
}

#[test]
fn any_sequence_of_answers_ends_the_cycle() {
    let any = AnyAnswer::new();
    let (mut ends, mut most_calls, mut most_commands) = ([0; 4], 0, 0);
    let mut reasons = BTreeMap::<&str, u32>::new();
    for seed in 0..20_000 {
        let mut numbers = Numbers(seed);
        let limited = numbers.below(2) == 0;
        let settings = Settings {
            retry_after: Duration::from_secs(100),
            timeouts: [200, 400, 200, 200].map(Duration::from_secs),
            refresh_ready: seed % 2 == 0,
            stage_only: limited && numbers.below(4) == 0,
            activate_at_reboot: limited && numbers.below(4) == 0,
            windows: if limited { any_windows(&mut numbers) } else { Windows::new() },
        };
        // Some nodes give the same answer for long.
        let stubborn = *numbers.one_of(&[0, 0, 20, 40]);
        let (mut cycle, mut call) = Cycle::begin();
        let mut history = match limited {
            true => any_history(&mut numbers),
            false => History::new(copy("here"), None),
        };
        let (mut now, mut calls, mut commands) = (Duration::ZERO, 0, 0);
        let mut remembered = Commands::default();
        let mut utc = Duration::from_secs(numbers.below(1_000_000));
        let (mut good_refresh, mut refresh_sent) = (false, false);
        let obedience = *numbers.one_of(&[0, 0, 50]);
        let (mut sent, mut same_call) = ("refresh", Call::Reboot);
        let mut last: &Answered = &answer("404");
        let mut last_status = None;
        let (end, why) = loop {
            calls += 1;
            assert!(calls <= 500, "seed {seed} does not end");
            if let Call::Start(command) = call {
                refresh_sent |= command == Command::Refresh;
                assert!(good_refresh || command == Command::Refresh, "seed {seed}: {command:?}");
                let status: Option<Status> = last_status;
                let ready = status.is_some_and(|status| status.state == State::Ready);
                assert!(!ready || settings.refresh_ready, "seed {seed}: Ready must not change");
                assert!(
                    matches!(last, Ok(Answer::Status(_) | Answer::Uninitialized)),
                    "seed {seed}"
                );
            }
            if call != same_call || numbers.below(40) >= stubborn {
                last = any.to(call, &mut numbers);
            }
            same_call = call;
            // Some nodes mostly do what the calls ask for.
            let is_obedient = |answer: &Answered| match (call, answer) {
                (Call::Status, Ok(Answer::Status(status))) => {
                    status.last_command.is_some_and(|last| last.name == sent && last.succeeded())
                }
                (Call::Status, _) => false,
                _ => matches!(answer, Ok(Answer::Started)),
            };
            for _ in 0..obedience {
                if !is_obedient(last) {
                    last = any.to(call, &mut numbers);
                }
            }
            if let Call::Start(command) = call {
                sent = command.name();
            }
            if let (Call::Start(_), Ok(Answer::Started)) = (call, last) {
                commands += 1;
            }
            if let Ok(Answer::Status(status)) = last {
                last_status = Some(*status);
                let last = status.last_command;
                let refresh = |last: LastCommand| last.name == "refresh" && last.succeeded();
                good_refresh |= refresh_sent && last.is_some_and(refresh);
            } else if let (Call::Status, Ok(Answer::Uninitialized)) = (call, last) {
                last_status = None;
            }
            now += Duration::from_millis(*numbers.one_of(&[0, 1, 100, 5_000]));
            utc += Duration::from_secs(*numbers.one_of(&[0, 1, 5, 60]));
            if numbers.below(200) == 0 {
                // Somebody sets the clock.
                utc = Duration::from_secs(numbers.below(1_000_000));
            }
            let mut events = vec![];
            let at = Now { now, since_boot: now, utc };
            history.advance(at.since_boot);
            let (history, commands) = (&mut history, &mut remembered);
            let last_reboot = &mut LastReboot::default();
            let settings = &settings;
            let context = Context { at, settings, history, commands, last_reboot };
            let emit = &mut |event: Event| {
                events.push(event.kind().name());
                if let Event::WindowClosed { opens, .. } = event {
                    let opens = opens.utc;
                    assert!(opens > utc && settings.windows.is_open(opens), "seed {seed}");
                }
            };
            let step = cycle.on_answer(context, last, emit);
            let is_open = settings.windows.is_open(utc);
            let chosen = match last {
                Ok(Answer::Status(status)) => status.chosen,
                _ => None,
            };
            let is_held = chosen.is_some_and(|chosen| history.hold_for(chosen).is_some());
            if let Step::Call(Call::Start(command), _) = step
                && command != Command::Refresh
            {
                // A deactivate does not wait for a window or the end of a hold-back.
                let waits = command != Command::Deactivate;
                assert!(is_open || !waits, "seed {seed}: {command:?} while closed");
                assert!(!is_held || !waits, "seed {seed}: {command:?} of a held-back version");
                assert!(command == Command::Prepare || !settings.stage_only, "seed {seed}");
                assert!(command != Command::Activate || !settings.activate_at_reboot);
                // The history has it for the next boot.
                if command == Command::Activate {
                    let file = str::from_utf8(&history.write()).unwrap().to_owned();
                    let version = chosen.unwrap().version;
                    assert!(file.contains(&format!("\n{version}\t")), "seed {seed}");
                }
            }
            match step {
                Step::Call(next @ Call::Status, pause) => {
                    let allowed = PAUSE_MIN..=PAUSE_MAX;
                    assert!(allowed.contains(&pause), "seed {seed}: {pause:?}");
                    (call, now) = (next, now + pause);
                    utc += pause;
                }
                Step::Call(next @ Call::Start(_), Duration::ZERO) => call = next,
                Step::Call(next, pause) => panic!("seed {seed}: {next:?} after {pause:?}"),
                Step::End(end) => {
                    assert_eq!(events.is_empty(), end == End::NoAnswer, "seed {seed}: {end:?}");
                    let why = events.pop().unwrap_or_default();
                    let state = last_status.map(|status| status.state);
                    assert!(match why {
                        "window_closed" => !is_open && !is_held,
                        "held_back" => is_held,
                        "staged" => settings.stage_only && state == Some(State::Staged),
                        _ => true,
                    });
                    *reasons.entry(why).or_default() += 1;
                    break (end, why);
                }
            }
        };
        let waits = matches!(why, "window_closed" | "held_back" | "staged" | "retry_delayed");
        assert_eq!(end == End::Waiting, waits, "seed {seed}: {why}");
        if matches!(end, End::Done | End::Waiting) {
            let Ok(Answer::Status(status)) = last else { panic!("seed {seed}: {last:?}") };
            let nothing = match why {
                "nothing_to_do" => status.state == State::Idle || status.chosen.is_none(),
                "window_closed" | "held_back" | "staged" | "retry_delayed" => {
                    status.chosen.is_some()
                }
                "staged_for_reboot" => settings.activate_at_reboot && status.staged_is_chosen(),
                _ => false,
            };
            // After an activate that failed, a cycle in which nothing may begin refreshes nothing.
            let good_refresh = good_refresh || settings.activate_at_reboot;
            let ready = why == "ready" && status.state == State::Ready;
            assert!(ready || good_refresh && nothing, "seed {seed}: {why}");
        }
        assert!(commands <= 8, "seed {seed}: {commands} commands");
        ends[end as usize] += 1;
        (most_calls, most_commands) = (calls.max(most_calls), commands.max(most_commands));
    }
    // The random answers reach all outcomes.
    assert!(ends.iter().all(|end| *end > 200), "{ends:?}");
    for why in ["nothing_to_do", "ready", "window_closed", "held_back", "staged"] {
        assert!(reasons.get(why).is_some_and(|count| *count > 10), "{reasons:?}");
    }
    assert!(most_calls > 50 && most_commands >= 7, "{most_calls} calls, {most_commands} commands");
}
