//! The pauses between two looks at the status.

use super::*;

/// The time of an update on a node on which each command takes `length`, and the number of
/// calls. Only the clock of the script runs: an answer takes no time.
fn update(length: Duration, [locked, started, states @ ..]: &[Answered; 6]) -> (Duration, u32) {
    let timeouts = [Duration::from_secs(1_800); Command::ALL.len()];
    let mut script = Script::new(Settings { timeouts, ..Settings::default() });
    let begin = script.now;
    let (mut done, mut busy_until, mut calls) = (0, begin, 0);
    while let Step::Call(call, pause) = script.next {
        script.now += pause;
        calls += 1;
        let answer = match call {
            Call::Status if script.now < busy_until => locked,
            Call::Status => &states[done],
            _ => {
                done += 1;
                busy_until = script.now + length;
                started
            }
        };
        script.on_answer(answer, &mut |_| ());
    }
    script.ends(End::Done);
    (script.now - begin, calls)
}

#[test]
fn update_takes_at_most_a_twentieth_longer_than_its_commands() {
    let answers = [
        "423",
        "204",
        "404",
        "Available 1.26.1 - refresh@1",
        "Staged 1.26.1 1.26.1 prepare@2",
        "Ready 1.26.1 1.26.1 activate@3",
    ]
    .map(answer);
    // From a tenth of a second to nearly half an hour, in steps of 1/200.
    let mut length = Duration::from_millis(100);
    while length < Duration::from_secs(1_795) {
        let (took, calls) = update(length, &answers);
        let commands = 3 * length;
        assert!(commands <= took, "{length:?}: {took:?}");
        assert!(took <= commands + commands / 20, "{length:?}: {took:?}");
        // The pauses grow, so a command that takes ten times as long is read 56 times more.
        // From two minutes on, it is read every five seconds.
        let reads = 3 * (200 + length.as_secs() / 5);
        assert!(u64::from(calls) < reads, "{length:?}: {calls}");
        length += length / 200;
    }
}

#[test]
fn pause_is_a_part_of_the_time_since_the_command_was_sent() {
    for (elapsed, pause) in
        [(0, 2), (48, 2), (120, 5), (240, 10), (2_400, 100), (60_000, 2_500), (120_000, 5_000)]
            .into_iter()
            .chain([(120_001, 5_000), (1_799_000, 5_000)])
    {
        let elapsed = Duration::from_millis(elapsed);
        assert!(pause_after(elapsed).abs_diff(Duration::from_millis(pause)).as_millis() == 0);
    }
    // Whatever time the answers take, only the time since the command counts.
    let mut settings = Settings::default();
    settings.timeouts[0] = Duration::from_secs(600);
    let mut script = Script::new(settings);
    script.row(("status", 0, "Idle", "")).row(("refresh", 0, "204", ""));
    assert_eq!(script.next, Step::Call(Call::Status, PAUSE_MIN));
    script.now += Duration::from_secs(48);
    script.on_answer(&answer("423"), &mut |_| ());
    assert_eq!(script.next, Step::Call(Call::Status, Duration::from_secs(2)));
}

#[test]
fn pause_grows_with_the_time_that_the_lock_is_held() {
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "423", BUSY));
    assert_eq!(script.next, Step::Call(Call::Status, PAUSE_MIN));
    script.row(("status", 24_000, "423", ""));
    assert_eq!(script.next, Step::Call(Call::Status, Duration::from_secs(1)));
    script.row(("status", 480_000, "423", ""));
    assert_eq!(script.next, Step::Call(Call::Status, PAUSE_MAX));
    // After a command was sent, the pauses are short again: a refresh takes a second.
    script.row(("status", 5_000, "Idle", "")).row(("refresh", 0, "204", ""));
    assert_eq!(script.next, Step::Call(Call::Status, PAUSE_MIN));
}

#[test]
fn api_has_time_to_handle_a_command_whose_answer_is_lost() {
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "404", "")).row(("refresh", 0, "break", ""));
    assert_eq!(script.next, Step::Call(Call::Status, PAUSE_UNFIT));
    // The status shows that it runs, so the pauses are short again.
    script.row(("status", 200, "423", ""));
    assert_eq!(script.next, Step::Call(Call::Status, Duration::from_millis(200) / PAUSE_PART));
}

#[test]
fn pauses_double_while_the_api_does_not_allow_a_command() {
    let mut script = Script::new(Settings::default());
    script.row(("status", 0, "Idle", ""));
    for pause in [200, 400, 800] {
        script.row(("refresh", 0, "409 not now", ""));
        assert_eq!(script.next, Step::Call(Call::Status, Duration::from_millis(pause)));
        script.row(("status", pause, "Idle", ""));
    }
}
