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
                  opens=1970-01-02T00:25:00.000Z";
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
                  opens=1970-01-02T00:05:00.000Z";
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
                  opens=1970-01-02T00:40:00.000Z";
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
    let mut counts = [0; 6];
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
        assert!(late <= MINUTE, "{late:?}");
        counts[late.as_secs().min(59) as usize / 10] += 1;
    }
    assert!(counts.iter().all(|count| (250..500).contains(count)), "{counts:?}");
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
