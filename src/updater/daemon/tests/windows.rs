//! Update windows.

use super::*;

const STAGED: &str = "info msg=prepared version=1.26.1 took=200ms";

const ACTIVATED_READY: &str = "info msg=activated version=1.26.1 took=200ms\n\
                               info msg=\"ready, waiting for the reboot\" state=Ready \
                               next=1.26.1 running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";

/// Settings with these windows. The scripts begin on a Friday at midnight.
fn windows(list: &str) -> Settings {
    let mut windows = Windows::new();
    windows.add(list.as_bytes()).unwrap();
    Settings { windows, ..hands_off() }
}

#[test]
fn opening_of_a_window_does_not_shorten_the_interval() {
    let closed = "info msg=\"update is waiting for the next window\" state=Available \
                  version=1.26.1 \
                  opens=1970-01-02T00:25:00.000Z \
 opens_local=1970-01-02T00:25:00.000+00:00";
    let mut script = Script::with(windows("Fri 00:25-01:00"), History::default(), SCHEDULE, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", closed),
        // Refreshes continue meanwhile.
        ("status", 600_000, "Available 1.26.1 - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@2", closed),
        ("status", 600_000, "Available 1.26.1 - refresh@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@3", closed),
        // The window has opened meanwhile, and is still open.
        ("status", 600_000, "Available 1.26.1 - refresh@3", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@4", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@5", STAGED),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@6", ACTIVATED_READY),
        ("status", 600_000, "Ready 1.26.1 1.26.1 activate@6", READY),
    ]);
}

#[test]
fn cycle_begins_when_a_short_window_opens() {
    let closed = "info msg=\"update is waiting for the next window\" state=Available \
                  version=1.26.1 \
                  opens=1970-01-02T00:05:00.000Z \
 opens_local=1970-01-02T00:05:00.000+00:00";
    let mut script = Script::with(windows("Fri 00:05-00:10"), History::default(), SCHEDULE, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", closed),
        ("status", 299_800, "Available 1.26.1 - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@2", ""),
        ("prepare", 0, "204", FOUND),
    ]);
}

#[test]
fn cycle_begins_when_a_short_window_opens_while_another_is_open() {
    let settings = windows("Fri 00:00-00:03; Fri 00:05-00:08");
    let mut script = Script::with(settings, History::default(), SCHEDULE, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@1", NOTHING),
        ("status", 299_800, "Idle - - refresh@1", ""),
    ]);
}

#[test]
fn window_shorter_than_the_jitter_is_not_missed() {
    let schedule = Schedule { jitter: 120 * MINUTE, ..SCHEDULE };
    let midnight = Duration::from_secs(86_400);
    let mut delays = Vec::new();
    for random in 0..1000 {
        let settings = windows("Fri 02:00-02:05");
        let mut script = Script::with(settings, History::default(), schedule, random);
        let pause = script.daemon.until_next_cycle(midnight);
        let begins = midnight + pause;
        if let Some(delay) = begins.checked_sub(midnight + 120 * MINUTE) {
            assert!(script.daemon.settings.windows.is_open(begins), "{pause:?}");
            delays.push(delay);
        }
    }
    // The nodes begin at different times.
    delays.sort();
    delays.dedup();
    assert!(delays.len() > 50, "{}", delays.len());
}

#[test]
fn update_staged_after_the_window_closes_is_activated_in_the_next() {
    let closed = "info msg=\"update is waiting for the next window\" state=Staged version=1.26.1 \
                  opens=1970-01-02T00:40:00.000Z \
 opens_local=1970-01-02T00:40:00.000+00:00";
    let settings = windows("Fri 00:00-00:10; Fri 00:40-00:50");
    let mut script = Script::with(settings, History::default(), SCHEDULE, 1);
    let prepared = std::format!("info msg=prepared version=1.26.1 took=30m\n{closed}");
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "204", FOUND),
    ]);
    let (_, logged) = script.give("+30m Staged 1.26.1 1.26.1 prepare@2");
    assert_eq!(logged.join("\n"), prepared);
    script.rows(&[
        ("status", 600_000, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@4", ACTIVATED_READY),
    ]);
}

#[test]
fn fleet_is_spread_when_a_short_window_opens() {
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    let regular = schedule.interval..=schedule.interval + MINUTE;
    let mut counts = [0; 5];
    for node in 0..3_000 {
        let mut script =
            Script::with(windows("Fri 00:12-00:13"), History::default(), schedule, node);
        for text in ["Idle", "Idle", "204", "Idle - - refresh@1"] {
            script.give(text);
        }
        let Next::Call(Call::Status, pause) = script.next else { panic!("{:?}", script.next) };
        if regular.contains(&pause) {
            continue;
        }
        let opens = Duration::from_secs(86_400 + 12 * 60);
        let late = (script.now + pause).checked_sub(opens).expect("not before it opens");
        // Ten seconds are left for the refresh.
        assert!(late <= MINUTE * 5 / 6, "{late:?}");
        counts[late.as_secs().min(49) as usize / 10] += 1;
    }
    assert!(counts.iter().all(|count| (300..600).contains(count)), "{counts:?}");
}

/// With an interval of hours.
#[test]
fn cycle_that_is_put_off_begins_before_the_window_closes() {
    let schedule = Schedule { interval: 360 * MINUTE, jitter: MINUTE, ..SCHEDULE };
    // What was answered, and when the window closes: an hour or some minutes later.
    for (answers, closes) in [
        (&["404"][..], "00:04"),
        (&["refused", "404"], "00:05"),
        (&["404", "404", "204", "Idle - - refresh@1"], "01:00"),
        (&["404", "404", "500 why"], "01:00"),
    ] {
        let mut begun = Vec::new();
        for node in 0..300 {
            let settings = windows(&std::format!("Fri 00:00-{closes}"));
            let mut script = Script::with(settings, History::default(), schedule, node);
            for text in answers {
                script.give(text);
            }
            let Next::Call(Call::Status, pause) = script.next else { panic!("{:?}", script.next) };
            let begins = script.now + pause;
            assert!(script.daemon.settings.windows.is_open(begins), "{answers:?}: {pause:?}");
            begun.push(pause);
        }
        begun.sort();
        begun.dedup();
        assert!(begun.len() > 200, "{answers:?}: {}", begun.len());
    }
}

#[test]
fn one_cycle_is_the_last_in_a_window() {
    let schedule = Schedule { interval: 360 * MINUTE, ..SCHEDULE };
    let mut script = Script::with(windows("Fri 00:00-02:00"), History::default(), schedule, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@1", NOTHING),
        // A minute before it closes.
        ("status", 7_139_800, "Idle - - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@2", NOTHING),
        ("status", 21_600_000, "Idle - - refresh@2", ""),
    ]);
}

/// Somebody sets the wall clock while a cycle is put off: it was in 1970, for example.
#[test]
fn cycle_begins_earlier_if_the_clock_is_set_into_a_window() {
    let begin = || {
        let schedule = Schedule { interval: 360 * MINUTE, ..SCHEDULE };
        let mut script = Script::with(windows("Sat 10:00-12:00"), History::default(), schedule, 1);
        script.give("404");
        assert_eq!(script.daemon.next_clock_check(), Duration::MAX);
        script.give("204");
        script.give("Idle - - refresh@1");
        assert_eq!(script.next, Next::Call(Call::Status, schedule.interval));
        script
    };
    let hour = 60 * MINUTE;
    // Half a minute later, the wall clock shows this time on Saturday.
    for (utc, left) in [
        (9 * hour, 1 * hour),
        (10 * hour, Duration::ZERO),
        (11 * hour + 59 * MINUTE, Duration::ZERO),
        // It would begin in the window, or is not in time for one.
        (5 * hour, 359 * MINUTE),
        (12 * hour, 359 * MINUTE),
    ] {
        let mut script = begin();
        assert_eq!(script.daemon.next_clock_check(), MINUTE);
        let now = script.now + MINUTE / 2;
        let daemon = &mut script.daemon;
        let begins_in = daemon.on_clock_check(at(now), 359 * MINUTE);
        assert_eq!(begins_in, 359 * MINUTE, "the clock was not set");
        let set = |now| Now { utc: 2 * 24 * hour + utc, ..at(now) };
        assert_eq!(daemon.on_clock_check(set(now), 359 * MINUTE), left, "{utc:?}");
        // Only a step counts.
        let utc = set(now).utc + MINUTE + Duration::from_secs(9);
        let later = Now { utc, ..at(now + MINUTE) };
        assert_eq!(daemon.on_clock_check(later, 358 * MINUTE), 358 * MINUTE);
    }
}

/// With any intervals, windows, outages and steps of the wall clock, no window is slept
/// through.
#[test]
fn no_window_is_slept_through() {
    const SAMPLE: Duration = Duration::from_secs(15);
    let (mut seen, mut steps) = (0, 0);
    // Without optimization, each takes 27 ms.
    for seed in 0..if cfg!(debug_assertions) { 50 } else { 150 } {
        let mut numbers = Numbers(seed);
        let interval = *numbers.one_of(&[MINUTE, 10 * MINUTE, 60 * MINUTE, 400 * MINUTE]);
        let jitter = *numbers.one_of(&[Duration::ZERO, MINUTE, 30 * MINUTE]);
        let schedule = Schedule { interval, jitter, ..SCHEDULE };
        let list = *numbers.one_of(&[
            "00:12-00:13",
            "06:00-07:00; 06:30-09:00",
            "Fri 01:00-01:05; Fri,Sat 01:06-01:30; 22:00-04:00",
            "02:00-02:02; 02:10-02:20; 03:00-03:03; 14:00-01:30",
        ]);
        let mut script = Script::with(windows(list), History::default(), schedule, seed);
        let mut utc = script.now;
        let mut timestamp = 1;
        let mut outage = 0;
        let end = script.now + 48 * 60 * MINUTE;
        while script.now < end {
            let Next::Call(call, pause) = script.next else { break };
            let mut call_at = script.now + pause;
            // Since when a window has been open without a step of the clock, and since when
            // there has been no step, in this wait.
            let begun = script.now;
            let mut open_since = script.daemon.settings.windows.is_open(utc).then_some(begun);
            let mut stepped = false;
            let mut check_at = script.now.saturating_add(script.daemon.next_clock_check());
            while script.now < call_at {
                let wait = SAMPLE.min(call_at - script.now).min(check_at - script.now);
                script.now += wait;
                utc += wait;
                if script.now == check_at || script.now == call_at {
                    let at = Now { utc, ..at(script.now) };
                    let left = script.daemon.on_clock_check(at, call_at - script.now);
                    call_at = script.now + left;
                    check_at = script.now.saturating_add(script.daemon.next_clock_check());
                }
                let is_open = script.daemon.settings.windows.is_open(utc);
                match open_since {
                    None if is_open => open_since = Some(script.now),
                    Some(since) if !is_open => {
                        let open_for = script.now - since;
                        // A cycle has just ended late in the window. After a step of the
                        // clock, it takes a minute to notice that.
                        let missed = match (since == begun, stepped) {
                            (true, false) => 5 * MINUTE + SAMPLE,
                            (_, true) => MINUTE + SAMPLE,
                            _ => MINUTE,
                        };
                        assert!(open_for < missed, "seed {seed}: {list}: {open_for:?}");
                        open_since = None;
                        seen += 1;
                    }
                    _ => {}
                }
                if numbers.below(2_000) == 0 {
                    utc = Duration::from_secs(numbers.below(1_000_000));
                    (open_since, stepped) = (None, true);
                    open_since = open_since.or_else(|| {
                        script.daemon.settings.windows.is_open(utc).then_some(script.now)
                    });
                    steps += 1;
                }
            }
            if outage == 0 && numbers.below(100) == 0 {
                outage = numbers.below(60);
            }
            outage = outage.saturating_sub(1);
            let text = match call {
                _ if outage > 0 => String::from("denied"),
                Call::Status => std::format!("Idle - - refresh@{timestamp}"),
                _ => {
                    timestamp += 1;
                    "204".into()
                }
            };
            let (answer, _) = answer_and_delay(&text);
            let at = Now { utc, ..at(script.now) };
            script.next = script.daemon.on_answer(at, call, &answer, &mut |_| ());
        }
    }
    assert!(seen > 50 && steps > 50, "{seen} {steps}");
}

#[test]
fn outage_does_not_start_an_update_outside_of_the_windows() {
    let settings = windows("Fri 12:00-13:00");
    let mut script = Script::with(settings, History::default(), SCHEDULE, 1);
    script.give("refused");
    let mut commands = Vec::new();
    for _ in 0..200 {
        let Next::Call(call, _) = script.next else { panic!("{:?}", script.next) };
        script.give(match call {
            Call::Status => "Available 1.26.1 - refresh@1",
            call => {
                commands.push(call);
                "500 why"
            }
        });
    }
    commands.dedup();
    assert_eq!(commands, [Call::Start(crate::api::Command::Refresh)]);
}
