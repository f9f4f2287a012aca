//! How long a version soaks.

use super::*;

/// A version that is on offer, or none for `-`; the time that passes then, or `boot` or
/// `restart`; and what is left of the soak of three days for the version.
type Step<'a> = (&'a str, &'a str, &'a str);

#[track_caller]
fn play_soak(steps: &[Step]) -> Script {
    let mut script = Script::new(Some(DAY));
    script.history.set_soak(3 * DAY);
    for (at, (offered, then, left)) in steps.iter().enumerate() {
        let chosen = Some(*offered).filter(|version| *version != "-").map(image);
        script.history.note_offer(chosen);
        match *then {
            "boot" => script.start(true),
            "restart" => script.start(false),
            hours => script.advance(HOUR * hours.parse::<u64>().unwrap()),
        }
        script.history.set_soak(3 * DAY);
        let soaks_for = chosen.and_then(|chosen| script.history.soaks_for(chosen));
        let soaks_for = soaks_for.map(|left| (left.as_secs() / HOUR).to_string());
        assert_eq!(soaks_for.unwrap_or_default(), *left, "step {at}");
        script.check();
    }
    script
}

#[test]
fn version_soaks_from_its_first_day() {
    play_soak(&[
        ("1.26.1", "0", "72"),
        ("1.26.1", "71", "1"),
        ("1.26.1", "restart", "1"),
        ("1.26.1", "1", ""),
        ("1.26.1", "1000", ""),
        ("1.26.1", "boot", ""),
        // The next version.
        ("1.26.2", "0", "72"),
    ]);
    // A restart and a boot interrupt nothing.
    play_soak(&[("1.26.1", "30", "42"), ("1.26.1", "boot", "42"), ("1.26.1", "42", "")]);
    // Another variant is another image.
    play_soak(&[("1.26.1", "30", "42"), ("1.26.1/other", "0", "72")]);
}

#[test]
fn version_that_was_not_on_offer_in_between_soaks_again() {
    play_soak(&[("1.26.1", "30", "42"), ("-", "1", ""), ("1.26.1", "0", "72")]);
    play_soak(&[("1.26.1", "80", ""), ("-", "0", ""), ("1.26.1", "0", "72")]);
    play_soak(&[("1.26.1", "30", "42"), ("1.26.2", "1", "71"), ("1.26.1", "0", "72")]);
}

#[test]
fn versions_that_are_replaced_while_they_soak_are_counted() {
    let steps = [
        ("1.26.1", "70", "2"),
        ("1.26.2", "70", "2"),
        ("1.26.3", "restart", "72"),
        ("1.26.3", "70", "2"),
        ("1.26.4", "1", "71"),
        ("1.26.4", "71", ""),
        ("1.26.5", "1", "71"),
        ("1.26.6", "1", "71"),
        ("-", "1", ""),
        ("1.26.7", "1", "71"),
    ];
    let counts = [0, 1, 2, 2, 3, 0, 0, 1, 0, 0];
    for (at, count) in counts.into_iter().enumerate() {
        let script = play_soak(&steps[..=at]);
        assert_eq!(script.history.replaced_while_soaking(), count, "step {at}");
    }
}

#[test]
fn without_a_soak_nothing_is_remembered_of_offers() {
    let mut script = Script::new(Some(DAY));
    script.history.set_saved();
    script.history.note_offer(Some(image("1.26.1")));
    assert!(!script.history.has_changed());
    assert_eq!(script.history.soaks_for(image("1.26.1")), None);
    // Nor is it kept when the soak is turned off.
    let mut script = play_soak(&[("1.26.1", "1", "71")]);
    script.history.set_soak(Duration::ZERO);
    assert_eq!(script.history.soaks_for(image("1.26.1")), None);
    script.history.note_offer(Some(image("1.26.1")));
    assert_eq!(script.history.offer, None);
}

#[test]
fn uptime_is_saved_hourly_while_a_version_soaks() {
    let mut script = play_soak(&[("1.26.1", "0", "72")]);
    let mut saves = 0;
    script.history.set_saved();
    for _ in 0..100 * 6 {
        script.advance(600);
        saves += u32::from(script.history.has_changed());
        if script.history.has_changed() {
            script.history.set_saved();
        }
    }
    assert_eq!(saves, 71);
}
