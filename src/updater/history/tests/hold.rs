//! How long a version is held back.

use super::*;

#[test]
fn clock_changes_do_not_prolong_the_hold() {
    // Set back: the hold begins again, but does not become longer.
    play_on(&[
        ("-240h", ""),
        ("Available 1.26.0 -", ""),
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("restart", ""),
        ("+23h", ""),
        ("Available 1.26.0 -", ""),
        ("held 1.26.1", "held_back 1.26.1 1 1h"),
        ("-1h", ""),
        ("Available 1.26.0 -", ""),
        ("held 1.26.1", "held_back 1.26.1 1 2h"),
        ("+2h", ""),
        ("held 1.26.1", ""),
    ]);
    // Set forward: the hold ends, and returns with the right time.
    play_on(&[
        ("+100000h", ""),
        ("held 1.26.1", ""),
        ("-100000h", ""),
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
    ]);
    // A clock without a battery starts in 1970.
    let mut script = Script::new(Some(DAY));
    script.utc = 0;
    for (step, events) in ROLLED_BACK {
        assert_eq!(script.step(step), events);
    }
    script.utc = 5;
    assert_eq!(script.step("held 1.26.1"), "held_back 1.26.1 1 23h59m55s");
    script.utc = u64::MAX;
    assert_eq!(script.step("held 1.26.1"), "");
}

#[test]
fn hold_doubles_up_to_a_limit() {
    let second = Duration::from_secs(1);
    for retry in [second, DAY, Duration::MAX, Duration::from_millis(u64::MAX)] {
        let mut script = Script::new(Some(retry));
        for failed_boots in 1..=20u32 {
            script.step("activate 1.26.0 1.26.1");
            script.step("boot");
            let events = script.observe("Available 1.26.0 -");
            assert!(events[0].starts_with(&format!("rolled_back 1.26.1 {failed_boots} ")));
            let pause = retry.saturating_mul(1 << (failed_boots - 1).min(16));
            let begin = script.utc;
            let at = |seconds| Duration::from_secs(begin + seconds);
            let (entry, left) = script.history.hold_for(at(0), image("1.26.1")).unwrap();
            assert_eq!((entry.failed_boots, left), (failed_boots.into(), pause));
            let Some(end) = begin.checked_add(pause.as_secs()) else { continue };
            let just_before =
                script.history.hold_for(Duration::from_secs(end) - second, image("1.26.1"));
            assert_eq!(
                just_before.unwrap().1,
                second + Duration::from_nanos(pause.subsec_nanos().into())
            );
            if pause.subsec_nanos() == 0 {
                assert_eq!(
                    script.history.hold_for(Duration::from_secs(end), image("1.26.1")),
                    None
                );
            }
            script.utc = if pause < DAY * 100_000 { end } else { begin };
        }
    }
    assert_eq!(1u64 << DOUBLINGS_MAX, 65_536);
}

/// Until its last attempt, a version is not held back at all. Then the first pause is the
/// one of `-retry-failed-boot`, and each further failure doubles it.
#[test]
fn version_is_held_back_after_its_last_attempt() {
    for attempts in 1..=4u64 {
        for retry in [Some(DAY), None] {
            let mut script = Script::new(retry);
            for failed_boots in 1..=attempts + 2 {
                script.history.set_boot_attempts(attempts);
                script.step("activate 1.26.0 1.26.1");
                script.step("boot");
                script.history.set_boot_attempts(attempts);
                let hours = 24 << failed_boots.saturating_sub(attempts);
                let hold = match retry {
                    _ if failed_boots < attempts => "0s".into(),
                    Some(_) => format!("{hours}h"),
                    None => "never".into(),
                };
                let expected = format!("rolled_back 1.26.1 {failed_boots} {hold} 1.26.0");
                assert_eq!(script.observe("Available 1.26.0 -"), [expected]);
                let held = match failed_boots < attempts {
                    true => String::new(),
                    false => format!("held_back 1.26.1 {failed_boots} {hold}"),
                };
                assert_eq!(script.step("held 1.26.1"), held);
            }
        }
    }
}

#[test]
fn version_is_held_for_ever_without_a_retry() {
    play(
        None,
        &[
            ("activate 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.1 1 never 1.26.0"),
            ("held 1.26.1", "held_back 1.26.1 1 never"),
            ("+1s", ""),
            ("held 1.26.1", "held_back 1.26.1 1 never"),
            ("+1000000h", ""),
            ("held 1.26.1", "held_back 1.26.1 1 never"),
            ("-500000h", ""),
            ("held 1.26.1", "held_back 1.26.1 1 never"),
            // Another client may activate it.
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
        ],
    );
}

#[test]
fn changed_retry_applies_to_earlier_failures() {
    let mut script = Script::new(None);
    for (step, _) in ROLLED_BACK {
        script.step(step);
    }
    for (retry, events) in
        [(Some(2 * DAY), "held_back 1.26.1 1 48h"), (None, "held_back 1.26.1 1 never")]
    {
        script.retry = retry;
        script.step("restart");
        assert_eq!(script.step("held 1.26.1"), events);
    }
}
