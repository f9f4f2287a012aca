//! What becomes of an activated version, boot after boot.

use super::*;

#[test]
fn version_that_boots_is_forgotten() {
    play(
        Some(DAY),
        &[
            ("activate 1.26.0 1.26.1", ""),
            ("Ready 1.26.0 1.26.1", ""),
            ("restart", ""),
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            // The first status after a boot does not name the running version.
            ("Idle - -", ""),
            ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
            ("held 1.26.1", ""),
            ("boot", ""),
            ("Idle 1.26.1 -", ""),
        ],
    );
}

#[test]
fn version_that_the_node_was_taken_back_from_is_held_back() {
    let updated = [
        ("activate 1.26.0 1.26.1", ""),
        ("Ready 1.26.0 1.26.1", ""),
        ("boot", ""),
        ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
    ];
    // Soon, and long after it came up.
    for boots in [0, 1, 5] {
        let mut script = Script::new(Some(DAY));
        for (step, events) in updated {
            assert_eq!(script.step(step), events);
        }
        for _ in 0..boots {
            assert_eq!(script.step("+1000h"), "");
            assert_eq!(script.step("boot"), "");
            assert_eq!(script.step("Idle 1.26.1 -"), "");
        }
        script.step("boot");
        // The first status after a boot does not name the running version.
        assert_eq!(script.step("Idle - -"), "");
        assert_eq!(script.step("Available 1.26.0 -"), "taken_back 1.26.1 24h 1.26.0");
        assert_eq!(script.step("held 1.26.1"), "held_back 1.26.1 1 24h");
        // It is told once.
        for step in ["Available 1.26.0 -", "restart", "Available 1.26.0 -", "boot"] {
            assert_eq!(script.step(step), "");
        }
        assert_eq!(script.step("Available 1.26.0 -"), "");
        assert_eq!(script.step("+23h"), "");
        assert_eq!(script.step("held 1.26.1"), "held_back 1.26.1 1 1h");
        assert_eq!(script.step("+1h"), "");
        assert_eq!(script.step("held 1.26.1"), "");
        // It boots when it is tried again, and is taken back once more: a new beginning.
        for (step, events) in updated {
            assert_eq!(script.step(step), events);
        }
        script.step("boot");
        assert_eq!(script.step("Available 1.26.0 -"), "taken_back 1.26.1 24h 1.26.0");
    }
}

/// It has used up all its attempts, however many there are.
#[test]
fn version_that_was_taken_back_is_not_tried_at_once() {
    let mut script = Script::new(Some(DAY));
    script.step("Idle 1.26.1 -");
    script.step("boot");
    script.history.set_boot_attempts(3);
    assert_eq!(script.step("Available 1.26.0 -"), "taken_back 1.26.1 24h 1.26.0");
    assert_eq!(script.step("held 1.26.1"), "held_back 1.26.1 3 24h");
}

#[test]
fn node_that_goes_forward_or_was_seen_to_be_activated_is_not_taken_back() {
    // Another client updates the node between two cycles.
    play(
        Some(DAY),
        &[("Idle 1.26.0 -", ""), ("boot", ""), ("Idle 1.26.1 -", ""), ("held 1.26.0", "")],
    );
    // The node is locked to an older version, and the updater or another client activates it.
    for activation in ["activate 1.26.1 1.26.0", "Ready 1.26.1 1.26.0"] {
        play(
            Some(DAY),
            &[
                ("Idle 1.26.1 -", ""),
                (activation, ""),
                ("boot", ""),
                ("Available 1.26.0 -", "updated 1.26.0 1.26.1"),
                ("held 1.26.1", ""),
                ("boot", ""),
                ("Available 1.26.0 -", ""),
            ],
        );
    }
    // A newer version did not boot. The one before it still runs.
    play_on(&[("held 1.26.0", ""), ("boot", ""), ("Available 1.26.0 -", "")]);
    // The file is of another machine: with another variant, or without any boot.
    play(Some(DAY), &[("Idle 1.26.1/other -", ""), ("boot", ""), ("Available 1.26.0 -", "")]);
    // Versions that cannot be compared.
    for (before, after) in [("1.26.1", "next"), ("next", "1.26.0"), ("next", "last")] {
        let mut script = Script::new(Some(DAY));
        script.step(&format!("Idle {before} -"));
        script.step("boot");
        assert_eq!(script.step(&format!("Idle {after} -")), "");
    }
    // Without the id of the boot, nothing is remembered.
    let mut history = History::default();
    history.observe(&status("Idle 1.26.1 -"), &mut |finding| panic!("{finding:?}"));
    history.observe(&status("Idle 1.26.0 -"), &mut |finding| panic!("{finding:?}"));
    assert!(!history.has_changed());
}

#[test]
fn version_that_does_not_boot_is_held_back() {
    play_on(&[
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("Available 1.26.0 -", ""),
        ("restart", ""),
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("boot", ""),
        ("Available 1.26.0 -", ""),
        ("+1h", ""),
        ("held 1.26.1", "held_back 1.26.1 1 23h"),
        // Other images are not held back.
        ("held 1.26.2", ""),
        ("held 1.26.0", ""),
        ("held 1.26.1/other", ""),
        ("+22h", ""),
        ("held 1.26.1", "held_back 1.26.1 1 1h"),
        ("+59m59s", ""),
        ("held 1.26.1", "held_back 1.26.1 1 1s"),
        ("+1s", ""),
        ("held 1.26.1", ""),
        // The failure is remembered: the next one is the second.
        ("activate 1.26.0 1.26.1", ""),
        ("Ready 1.26.0 1.26.1", ""),
        ("held 1.26.1", ""),
        ("boot", ""),
        ("Available 1.26.0 -", "rolled_back 1.26.1 2 48h 1.26.0"),
        ("+48h", ""),
        ("held 1.26.1", ""),
        ("activate 1.26.0 1.26.1", ""),
        ("boot", ""),
        // The third try boots, and the failures are forgotten.
        ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
        ("held 1.26.1", ""),
        ("activate 1.26.0 1.26.1", ""),
        ("boot", ""),
        ("Available 1.26.0 -", "rolled_back 1.26.1 1 24h 1.26.0"),
    ]);
}

#[test]
fn version_that_runs_in_the_same_boot_is_forgotten() {
    // This does not happen on a node. If it did, nothing would be held back.
    play(Some(DAY), &[("activate 1.26.0 1.26.1", ""), ("Idle 1.26.1 -", ""), ("boot", "")]);
    play_on(&[("Idle 1.26.1 -", ""), ("held 1.26.1", "")]);
}

#[test]
fn third_version_says_nothing_about_the_second() {
    play(
        Some(DAY),
        &[
            ("activate 1.26.0 1.26.1", ""),
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            // The node was taken back from 1.26.0.
            ("Available 1.25.0 -", "taken_back 1.26.0 24h 1.25.0"),
            ("held 1.26.1", ""),
            ("boot", ""),
            ("Available 1.26.0 -", ""),
            ("held 1.26.1", ""),
        ],
    );
    // Earlier failures are still remembered.
    play_on(&[
        ("+24h", ""),
        ("activate 1.26.0 1.26.1", ""),
        ("boot", ""),
        ("Available 1.25.0 -", "taken_back 1.26.0 24h 1.25.0"),
        ("+1h", ""),
        ("activate 1.25.0 1.26.1", ""),
        ("boot", ""),
        ("Available 1.25.0 -", "rolled_back 1.26.1 2 48h 1.25.0"),
    ]);
}

#[test]
fn deactivated_version_is_not_a_failed_boot() {
    for taken_back in ["Staged 1.26.0 1.26.1", "Available 1.26.0 -", "Idle 1.26.0 -"] {
        play(
            Some(DAY),
            &[
                ("activate 1.26.0 1.26.1", ""),
                ("Ready 1.26.0 1.26.1", ""),
                (taken_back, ""),
                ("boot", ""),
                ("Available 1.26.0 -", ""),
                ("held 1.26.1", ""),
            ],
        );
    }
    // Another version is Ready instead.
    play(
        Some(DAY),
        &[
            ("activate 1.26.0 1.26.1", ""),
            ("Ready 1.26.0 1.26.2", ""),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.2 1 24h 1.26.0"),
            ("held 1.26.1", ""),
            ("held 1.26.2", "held_back 1.26.2 1 24h"),
        ],
    );
}

#[test]
fn activation_by_another_client_counts() {
    play(
        Some(DAY),
        &[
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.1 1 24h 1.26.0"),
            // Another client activates it although it is held back.
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.1 2 48h 1.26.0"),
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
        ],
    );
    // It is Ready again before the first status is read.
    play(
        Some(DAY),
        &[
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Ready 1.26.0 1.26.1", "rolled_back 1.26.1 1 24h 1.26.0"),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.1 2 48h 1.26.0"),
        ],
    );
}

#[test]
fn another_variant_is_another_image() {
    play_on(&[
        ("activate 1.26.0 1.26.1/other", ""),
        ("boot", ""),
        ("Available 1.26.1 -", ""),
        ("held 1.26.1", ""),
        ("held 1.26.1/other", ""),
    ]);
    play_on(&[
        ("activate 1.26.0 1.26.1/other", ""),
        ("boot", ""),
        ("Available 1.26.0 -", "rolled_back 1.26.1 1 24h 1.26.0"),
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("held 1.26.1/other", "held_back 1.26.1 1 24h"),
    ]);
}

#[test]
fn fifth_version_replaces_the_first() {
    let mut script = Script::new(Some(DAY));
    let versions = ["1.26.1", "1.26.2", "1.26.3", "1.26.4", "1.26.5", "1.26.6"];
    for version in versions {
        script.step(&format!("activate 1.26.0 {version}"));
        script.step("boot");
        script.step("Available 1.26.0 -");
    }
    let held = |script: &Script| -> List<String> {
        script.history.held().map(|entry| entry.image.version.to_string()).collect()
    };
    assert_eq!(held(&script), versions[2..]);
    // A version that is tried again moves to the end.
    script.step("activate 1.26.0 1.26.3");
    script.step("boot");
    script.step("Available 1.26.0 -");
    script.step("activate 1.26.0 1.26.7");
    assert_eq!(held(&script), ["1.26.5", "1.26.6", "1.26.3"]);
    assert_eq!(script.step("held 1.26.3"), "held_back 1.26.3 2 48h");
}

#[test]
fn any_sequence_of_boots_gives_the_right_outcomes() {
    let versions = ["1.26.0", "1.26.1", "1.26.2", "1.26.3", "1.26.4", "1.26.1/other"];
    let (mut rolled_back, mut updated, mut taken_back, mut most) = (0, 0, 0, 0);
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let retry = *numbers.one_of(&[Some(DAY), Some(Duration::from_secs(HOUR)), None]);
        let mut script = Script::new(retry);
        // The activations whose outcome is unknown: version, boot, previous version.
        let mut pending: List<(&str, u32, &str)> = vec![];
        let mut running = versions[0];
        // The version that was seen to run last, and in which boot.
        let mut seen: Option<(&str, u32)> = None;
        for _ in 0..60 {
            let version = *numbers.one_of(&versions);
            match numbers.below(9) {
                0 => _ = script.step("restart"),
                1 | 2 => {
                    _ = script.step("boot");
                    match numbers.below(6) {
                        0 => running = version,
                        1 | 2 => running = pending.last().map_or(running, |last| last.0),
                        _ => {}
                    }
                }
                3 => _ = script.step(["+1h", "+24h", "+300h"][numbers.below(3) as usize]),
                4 | 5 if version != running => {
                    script.step(&format!("Staged {running} {version}"));
                    seen = Some((running, script.boots));
                    script.step(&format!("activate {running} {version}"));
                    pending.retain(|(other, ..)| *other != version);
                    pending.push((version, script.boots, running));
                }
                6 => {
                    let events = script.step(&format!("held {version}"));
                    assert!(events.is_empty() || events.contains(" never") == retry.is_none());
                }
                _ => {
                    // The API never offers the version that is running.
                    let states = ["Idle", "Available", "Staged", "Ready"];
                    let some = if version == running { &states[..2] } else { &states };
                    let state = numbers.one_of(some);
                    let events = script.step(&format!("{state} {running} {version}"));
                    // Among these versions, a longer text is another variant.
                    let is_older = seen.is_some_and(|(last, boot)| {
                        boot < script.boots && running.len() == last.len() && running < last
                    });
                    let is_expected = is_older && !events.contains("updated");
                    assert_eq!(events.contains("taken_back"), is_expected, "seed {seed}: {events}");
                    seen = Some((running, script.boots));
                    for event in events.split(", ").filter(|event| !event.is_empty()) {
                        let words: List<&str> = event.split(' ').collect();
                        if words[0] == "taken_back" {
                            taken_back += 1;
                            continue;
                        }
                        let short = |version: &str| version.split('/').next() == Some(words[1]);
                        // The outcome is known in a later boot only.
                        let at = pending.iter().position(|(version, boot, before)| {
                            let same_end = match words[0] {
                                "updated" => *version == running,
                                "rolled_back" => image(before).version == image(running).version,
                                other => panic!("{other}"),
                            };
                            short(version) && *boot < script.boots && same_end
                        });
                        let at = at.unwrap_or_else(|| panic!("seed {seed}: {event}: {pending:?}"));
                        pending.remove(at);
                        rolled_back += u32::from(words[0] == "rolled_back");
                        updated += u32::from(words[0] == "updated");
                    }
                    if *state == "Ready" {
                        pending.retain(|(other, ..)| *other != version);
                        pending.push((version, script.boots, running));
                    }
                    let again = script.observe(&format!("{state} {running} {version}"));
                    assert_eq!(again, [""; 0], "seed {seed}");
                    // The running version is not held back.
                    assert!(script.history.held().all(|held| held.image.image() != image(running)));
                }
            }
            most = most.max(script.history.entries.len());
        }
    }
    let counts = [rolled_back, updated, taken_back];
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    assert_eq!(most, ENTRIES_MAX);
}
