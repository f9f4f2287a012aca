//! How long a version is held back.

use super::*;
use crate::text::fields::tests::summed;
use crate::updater::history::file::FIRST_HEADER;

#[test]
fn hold_begins_again_for_a_file_of_the_first_form() {
    let mut script = Script::new(Some(DAY));
    let line = "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t\t1\t1795325532\t\n";
    let file = summed(&format!("{FIRST_HEADER}{line}"));
    assert_eq!(script.history.read(&file), Ok(()));
    assert!(script.history.has_changed());
    // The node has been up for long before that.
    script.advance(1_000 * HOUR);
    for (step, events) in [
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("restart", ""),
        ("+23h", ""),
        ("restart", ""),
        ("held 1.26.1", "held_back 1.26.1 1 1h"),
        ("boot", ""),
        ("+1h", ""),
        ("held 1.26.1", ""),
    ] {
        assert_eq!(script.step(step), events, "{step}");
    }
}

#[test]
fn uptime_is_saved_hourly_while_a_version_is_held_back() {
    let mut script = Script::new(Some(DAY));
    let saves = |script: &mut Script, hours: u64| {
        script.history.set_saved();
        let mut saves = 0;
        for _ in 0..hours * 6 {
            script.advance(600);
            if script.history.has_changed() {
                script.history.set_saved();
                saves += 1;
            }
        }
        saves
    };
    assert_eq!(saves(&mut script, 100), 0);
    for (step, events) in ROLLED_BACK {
        assert_eq!(script.step(step), events);
    }
    assert_eq!(saves(&mut script, 23), 23);
    // The hold is over.
    assert_eq!(saves(&mut script, 100), 0);
    script.retry = None;
    script.step("restart");
    assert_eq!(saves(&mut script, 100), 0);
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
            let hold = |script: &Script| {
                script
                    .history
                    .hold_for(image("1.26.1"))
                    .map(|(entry, left)| (entry.failed_boots, left))
            };
            assert_eq!(hold(&script), Some((failed_boots.into(), pause)));
            if pause >= DAY * 100_000 {
                continue;
            }
            script.advance(pause.as_secs() - 1);
            assert_eq!(hold(&script), Some((failed_boots.into(), second)));
            script.advance(1);
            assert_eq!(hold(&script), None);
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
