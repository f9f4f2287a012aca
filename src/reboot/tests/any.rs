//! Any answers.

use super::*;

/// Whatever the API does, and however long the process is stopped: a success has a
/// reason, a withdrawn version is never booted, and there is an end.
#[test]
fn any_answers_end_and_a_success_has_a_reason() {
    const UNREACHABLE: [&str; 2] = ["refused", "missing"];
    const BROKEN: [&str; 3] = ["break", "reset", "unsent"];
    const OTHERS: [&str; 7] =
        ["204", "408", "423 locked", "silence", "500 no", SHUTTING_DOWN[0], "garbage"];
    const STATUSES: [&str; 15] = [
        "423",
        "404",
        "garbage",
        "refused",
        "Idle",
        READY,
        STILL_CHOSEN,
        NONE_CHOSEN,
        OTHER_CHOSEN,
        DEACTIVATED,
        "Ready 1.26.1>1.26.1 refresh=Failed@9",
        "Ready 1.26.1>- deactivate=Failed@10",
        STAGED,
        "Staged 1.26.1>1.26.1 refresh=Success@8",
        "Staged 1.26.1>1.26.1 activate=Failed@9",
    ];
    const STARTED: [&str; 8] = ["204", "204", "204", "423", "409 no", "500 no", "break", "refused"];
    let mut numbers = Numbers(1);
    let mut ends = [0; 4];
    let (mut withdrawn, mut undone) = (0, 0);
    for _ in 0..10_000 {
        let timeout = Duration::from_secs(*numbers.one_of(&[1, 15, 60, 600]));
        let settings = Settings {
            if_ready: numbers.below(2) == 0,
            confirm: numbers.below(2) == 0,
            activate: numbers.below(2) == 0,
            record: numbers.below(2) == 0,
            ..settings(timeout)
        };
        let mut script = Script::new(settings);
        // How many percent of the answers are of these two kinds.
        let (others, broken) = (numbers.below(20), numbers.below(10));
        let is_any = !settings.if_ready && !settings.confirm && !settings.activate;
        // The last status, and whether it came after a request for a refresh.
        let (mut last, mut is_refreshed, mut has_refreshed) = ("", false, false);
        let (mut has_activated, mut is_deactivating) = (false, false);
        // When the API was last reached.
        let mut reached = script.now;
        let (mut calls, mut requests, mut records) = (0, 0, 0);
        loop {
            let (call, pause) = match script.next {
                Step::Call(call, pause) => (call, pause),
                Step::Record => {
                    assert_eq!((settings.record, requests, records), (true, 0, 0));
                    records += 1;
                    let is_ready = last.starts_with("Ready");
                    assert!(is_ready || is_any);
                    script.row(("record", 0, if is_ready { "1.26.1" } else { "none" }));
                    continue;
                }
                Step::RemoveRecord => {
                    let is_after_request = records == 1 && requests > 0;
                    assert!(settings.activate && (is_after_request || has_activated));
                    script.row(("forget", 0, ""));
                    continue;
                }
                Step::End(_) => break,
            };
            let answer = match call {
                Call::Status => *numbers.one_of(&STATUSES),
                Call::Start(_) => *numbers.one_of(&STARTED),
                Call::Reboot => {
                    let kind = if requests == 0 { 0 } else { numbers.below(100) };
                    match kind {
                        0 if requests < 2 => *numbers.one_of(&BROKEN),
                        kind if kind < others => *numbers.one_of(&OTHERS),
                        kind if kind < others + broken => *numbers.one_of(&BROKEN),
                        _ => *numbers.one_of(&UNREACHABLE),
                    }
                }
            };
            let is_staged = STATUSES[12..].contains(&last);
            let is_withdrawn = [NONE_CHOSEN, OTHER_CHOSEN, STATUSES[11]].contains(&last);
            match call {
                Call::Status => {}
                Call::Start(Command::Refresh) => {
                    let is_ready = last.starts_with("Ready") || settings.activate && is_staged;
                    assert!(settings.confirm && !is_refreshed && is_ready);
                    has_refreshed = true;
                }
                Call::Start(Command::Deactivate) => {
                    // Once begun, this goes on whatever is chosen.
                    let is_undone = settings.activate && (requests > 0 || has_activated);
                    assert!(settings.activate || settings.confirm && has_refreshed, "{last}");
                    assert!(is_withdrawn || is_undone || is_deactivating, "{last}");
                    is_deactivating = true;
                }
                Call::Start(Command::Activate) => {
                    assert!(settings.activate && is_staged, "{last}");
                    assert!(!settings.confirm || has_refreshed);
                    assert!(requests == 0 && !is_deactivating);
                    has_activated = true;
                }
                Call::Start(Command::Prepare) => panic!("a prepare"),
                Call::Reboot => {
                    assert!(last.starts_with("Ready") || is_any, "{last}");
                    assert!(!settings.confirm || has_refreshed && !is_withdrawn, "{last}");
                    assert!(!is_deactivating);
                    assert_eq!(records, usize::from(settings.record));
                    requests += 1;
                }
            }
            if call == Call::Status && (answer.contains(' ') || answer == "Idle") {
                (last, is_refreshed) = (answer, has_refreshed);
            }
            // Sometimes the process is stopped, or an answer takes its time.
            let delay = |numbers: &mut Numbers, sign: char| match numbers.below(20) {
                0 => format!("{sign}{}s ", 1 + numbers.below(30)),
                _ => String::new(),
            };
            let text = delay(&mut numbers, '~') + &delay(&mut numbers, '+') + answer;
            let pause = u64::try_from(pause.as_millis()).unwrap();
            let text: &str = Box::leak(text.into_boxed_str());
            script.row((call.name(), pause, text));
            calls += 1;
            assert!(calls < 4_000, "no end");
            let Step::End(end) = script.next else {
                if !UNREACHABLE.contains(&answer) {
                    reached = script.now;
                }
                continue;
            };
            match end {
                End::Accepted | End::AcceptedAgain => assert_eq!(answer, "204"),
                End::AlreadyShuttingDown => assert_eq!(answer, SHUTTING_DOWN[0]),
                End::ApiGone => {
                    assert!(UNREACHABLE.contains(&answer));
                    assert!(script.begun - reached >= SHUTDOWN_GRACE, "{text}");
                }
                End::NotReady(_) | End::Uninitialized | End::LockHeld(_) => assert!(!is_any),
                End::Withdrawn(_) => assert!(!last.starts_with("Ready")),
                End::NotActivated(_) => assert!(settings.activate && requests == 0),
                End::Undone(_) => assert!(settings.activate && (requests > 0 || has_activated)),
                End::NotDeactivated(_) => assert!(settings.confirm || settings.activate),
                // What may be booted is deactivated, unless the node may be going down.
                End::Failed(_) => {
                    let is_void = script.reboot.voids_record(&end);
                    assert!(!settings.activate || requests == 0 || !is_void, "{text}");
                }
            }
            undone += usize::from(matches!(end, End::Undone(_)));
            withdrawn += usize::from(matches!(end, End::Withdrawn(_)));
            if requests == 0 {
                let may_have_stopped =
                    matches!(&end, End::Failed(failed) if failed.error.is_stale_socket());
                assert!(end.exit_status() != 0);
                assert_eq!(script.reboot.voids_record(&end), !may_have_stopped, "{text}");
            }
            ends[usize::from(end.exit_status())] += 1;
        }
    }
    assert!(ends[0] > 500 && ends[1] > 500 && ends[3] > 500, "{ends:?}");
    assert!(withdrawn > 100 && undone > 50, "{withdrawn} {undone}");
}
