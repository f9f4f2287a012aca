//! Versions that do not boot.

use super::*;

/// The node may be rebooted before its first cycle.
#[test]
fn first_status_is_remembered_before_the_first_cycle() {
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    let boot = |name| History::new(crate::api::status::copy(name), Some(60 * MINUTE));
    let mut first = Script::with(Settings::default(), boot("first"), schedule, 1);
    first.give("Ready 1.26.1 1.26.1 activate@3");
    assert!(first.daemon.history.has_changed());
    let mut history = boot("second");
    history.read(&first.daemon.history.write()).unwrap();
    let mut second = Script::with(Settings::default(), history, schedule, 1);
    let (_, logged) = second.give("Available 1.26.1 - refresh@1");
    let [rolled_back] = &logged[..] else { panic!("{logged:?}") };
    assert!(rolled_back.contains("did not boot and the node rolled back"), "{rolled_back}");
    assert_eq!(second.next, Next::Call(Call::Start(Command::Refresh), Duration::ZERO));
}

/// The roll-back is known as soon as possible.
#[test]
fn first_cycle_begins_at_once_after_a_boot_that_was_to_bring_a_version() {
    let boot = |name| History::new(crate::api::status::copy(name), Some(60 * MINUTE));
    for (text, begins) in [("404", true), ("423", false), ("refused", false)] {
        let mut first = Script::with(Settings::default(), boot("first"), SCHEDULE, 1);
        first.give("Ready 1.26.1 1.26.1 activate@3");
        let mut history = boot("second");
        history.read(&first.daemon.history.write()).unwrap();
        let schedule = Schedule { interval: 360 * MINUTE, jitter: MINUTE, ..SCHEDULE };
        let mut second = Script::with(Settings::default(), history, schedule, 1);
        second.give(text);
        if !begins {
            // When the lock is free, or the API is back.
            second.give("404");
        }
        assert_eq!(
            second.next,
            Next::Call(Call::Start(Command::Refresh), Duration::ZERO),
            "{text}"
        );
    }
    // Not if nothing was activated.
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    let mut script = Script::with(Settings::default(), boot("first"), schedule, 1);
    let (_, logged) = script.give("404");
    assert!(logged[0].starts_with(DEFERRED), "{logged:?}");
}

/// Many boots of a node on which a version does not boot.
#[test]
fn version_that_does_not_boot_is_tried_at_growing_intervals() {
    let hour = 60 * MINUTE;
    let boot = |number: usize| crate::api::status::copy(&std::format!("boot-{number}"));
    for (retry, tries) in [(Some(hour), &[1, 2, 4, 8, 16][..]), (None, &[])] {
        let mut history = History::new(boot(0), retry);
        let mut rolled_back = Vec::new();
        let mut activated_at = Vec::new();
        let mut now = Duration::from_secs(86_400);
        let mut boots = 0;
        let end = now + 40 * hour;
        while now < end {
            let mut script = Script::with(Settings::default(), history, SCHEDULE, 1);
            script.now = now;
            let mut timestamp = 0;
            let mut state = "404";
            // When the node is Ready, Kured reboots it.
            while state != "Ready 1.26.1 1.26.1" && script.now < end {
                let Next::Call(call, _) = script.next else { panic!("{:?}", script.next) };
                let mut answer = String::from("204");
                let mut name = "refresh";
                match call {
                    Call::Status if state == "404" => answer = "404".into(),
                    Call::Status => answer = std::format!("{state} COMMAND@{timestamp}"),
                    Call::Start(command) => {
                        name = command.name();
                        timestamp += 1;
                        state = match name {
                            "refresh" => "Available 1.26.1 -",
                            "prepare" => "Staged 1.26.1 1.26.1",
                            _ => "Ready 1.26.1 1.26.1",
                        };
                        if name == "activate" {
                            activated_at.push(script.now);
                        }
                    }
                    Call::Reboot => panic!(),
                }
                let last = if state.starts_with('A') { "refresh" } else { "prepare" };
                let (_, logged) = script.give(&answer.replace("COMMAND", last));
                let is = |line: &&String| line.contains("did not boot and the node rolled back");
                rolled_back.extend(logged.iter().filter(is).map(|_| script.now));
                let _ = name;
            }
            boots += 1;
            now = script.now + MINUTE;
            history = History::new(boot(boots), retry);
            history.read(&script.daemon.history.write()).unwrap();
        }
        let pauses: Vec<u64> = rolled_back
            .iter()
            .zip(&activated_at[1..])
            .map(|(from, to)| (*to - *from).as_secs())
            .collect();
        assert_eq!(pauses.len(), tries.len(), "{pauses:?}");
        for (pause, hours) in pauses.iter().zip(tries) {
            // The next cycle notices the end of the hold.
            assert!((hours * 3_600..hours * 3_600 + 610).contains(pause), "{pauses:?}");
        }
    }
}
