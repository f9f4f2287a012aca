//! Updates that the reboot program activates.

use super::*;
use crate::api::status::Image;
use crate::record::RebootRecord;
use crate::sys::files::Stamp;

const WAITS: &str = "info msg=\"staged, waiting for the reboot command, which activates it\" \
                     state=Staged next=1.26.1 running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
const FAILED: &str = "error msg=\"command failed\" command=activate version=1.26.1 \
                      status=Failed exit_status=1 stderr=\"no space \\\"left\\\" on device\"";

fn at_reboot() -> Script {
    Script::new(Settings { activate_at_reboot: true, ..Settings::default() })
}

/// The record of a reboot from 1.26.0 to 1.26.1.
fn record(boot: &str) -> RebootRecord {
    let image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };
    RebootRecord::new(boot, "1.26.0", image)
}

/// In the boot `boot`, after a reboot that was requested in the boot `before`.
fn after_a_reboot(history: &History, boot: &str, before: &str) -> Script {
    let mut script = at_reboot();
    script.history = History::new(copy(boot), Some(Duration::from_secs(86_400)));
    script.history.read(&history.write()).unwrap();
    script.last_reboot = LastReboot::new(copy(boot));
    script.last_reboot.read(script.now, Some((record(before), Stamp::of_inode(1))));
    script
}

#[test]
fn prepared_update_stays_staged() {
    let mut script = at_reboot();
    let prepared = format!("{PREPARED}\n{WAITS}");
    script.rows(&FOUND_AVAILABLE).rows(&STAGED[..1]);
    script.row(("status", 200, "Staged 1.26.1 1.26.1 prepare@2", forever(&prepared)));
    script.ends(End::Done);
    // Each cycle refreshes, and prepares again if another version is chosen.
    let mut script = next_cycle(script);
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", WAITS),
    ]);
    script.ends(End::Done);
    let mut script = next_cycle(script);
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.2 1.26.1 refresh@4", ""),
        ("prepare", 0, "204", FOUND_2),
    ]);
}

#[test]
fn failed_activate_of_the_reboot_program_is_followed_by_a_prepare() {
    let mut script = at_reboot();
    let prepared = format!("{PREPARED}\n{WAITS}");
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 activate!Failed@3", FAILED),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@4", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@5", forever(&prepared)),
    ]);
    script.ends(End::Done);
    // Outside of its windows: no refresh, which would hide the failure from the checker.
    let mut script = at_reboot();
    script.settings.windows.add(b"Mon 10:00-11:00").unwrap();
    let closed = "info msg=\"update is waiting for the next window\" state=Staged version=1.26.1 \
                  opens=1970-01-05T10:00:00.000Z opens_local=1970-01-05T10:00:00.000+00:00";
    let failed = format!("{FAILED}\n{closed}");
    script.row(("status", 0, "Staged 1.26.1 1.26.1 activate!Failed@3", forever(&failed)));
    script.ends(End::Waiting);
}

#[test]
fn update_that_is_ready_for_too_long_is_deactivated() {
    let mut script = at_reboot();
    // The pause until the next cycle.
    script.settings.retry_after = Duration::from_secs(5 * 60);
    script.rows(&[
        ("status", 0, "Ready 1.26.1 1.26.1 activate@3", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 refresh@4", READY),
    ]);
    script.ends(End::Done);
    let mut script = next_cycle(script);
    script.rows(&[
        ("status", 0, "Ready 1.26.1 1.26.1 refresh@4", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 refresh@5", READY),
    ]);
    script.ends(End::Done);
    let mut script = next_cycle(script);
    let deactivated = "info msg=\"deactivated, so that no reboot boots the version\" \
                       version=1.26.1 reason=not_rebooted took=200ms";
    script.rows(&[
        ("status", 0, "Ready 1.26.1 1.26.1 refresh@5", ""),
        // A refresh could fail.
        ("deactivate", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 deactivate@6", deactivated),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@7", WAITS),
    ]);
    script.ends(End::Done);
    // While the node was asked to reboot, it is left alone.
    let mut script = at_reboot();
    script.last_reboot = LastReboot::new(copy("here"));
    script.last_reboot.read(script.now, Some((record("here"), Stamp::of_inode(1))));
    script.row(("status", 0, "Ready 1.26.1 1.26.1 activate@3", READY)).ends(End::Done);
    let mut script = next_cycle(script);
    script.now += Duration::from_secs(30 * 60);
    script.row(("status", 0, "Ready 1.26.1 1.26.1 activate@3", READY)).ends(End::Done);
    // Also when that was long ago. Without the update, the gate would take the record for that of
    // a failed boot.
    let mut script = next_cycle(script);
    script.now += Duration::from_secs(60 * 60);
    script.rows(&[
        ("status", 0, "Ready 1.26.1 1.26.1 activate@3", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 refresh@4", READY),
    ]);
    script.ends(End::Done);
}

/// Each of them costs a drain.
#[test]
fn pause_after_a_failed_activate_doubles() {
    let mut script = at_reboot();
    script.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
    script.row(("status", 200, "Staged 1.26.1 1.26.1 refresh@1", WAITS)).ends(End::Done);
    let mut timestamp = 1;
    for minutes in [10, 20, 40] {
        let mut next = next_cycle(script);
        let status = forever(&format!("Staged 1.26.1 1.26.1 activate!Failed@{}", timestamp + 1));
        let waits = |failed: &str, left: u64| {
            let left = Duration::from_secs(60 * left);
            forever(&format!(
                "{failed}info msg=\"a command failed, waiting before sending it again\" \
                 command=prepare version=1.26.1 retry_in={}",
                duration::HumanDuration(left)
            ))
        };
        next.row(("status", 0, status, waits(&format!("{FAILED}\n"), minutes)));
        next.ends(End::Waiting);
        // The failure is left in the status, so that the checker says no.
        for passed in (10..minutes).step_by(10) {
            next = next_cycle(next);
            next.row(("status", 0, status, waits("", minutes - passed))).ends(End::Waiting);
        }
        next = next_cycle(next);
        let [refreshed, prepared] = [("refresh", 3), ("prepare", 4)].map(|(name, later)| {
            forever(&format!("Staged 1.26.1 1.26.1 {name}@{}", timestamp + later))
        });
        next.rows(&[
            ("status", 0, status, ""),
            ("refresh", 0, "204", ""),
            ("status", 200, refreshed, ""),
            ("prepare", 0, "204", FOUND),
            ("status", 200, prepared, forever(&format!("{PREPARED}\n{WAITS}"))),
        ]);
        next.ends(End::Done);
        timestamp += 4;
        script = next;
    }
}

/// Without a refresh, the version would soak forever.
#[test]
fn soak_begins_at_a_failed_activate() {
    let mut script = at_reboot();
    script.history.set_soak(Duration::from_secs(30 * 60));
    let status = "Staged 1.26.1 1.26.1 activate!Failed@3";
    for (failed, left) in [(FAILED, "30m"), ("", "20m"), ("", "10m")] {
        let soaking = format!(
            "info msg=\"version is soaking; it is prepared when it has been on offer for long \
             enough\" state=Staged version=1.26.1 ready_in={left}"
        );
        let logged = if failed.is_empty() { soaking } else { format!("{failed}\n{soaking}") };
        script.row(("status", 0, status, forever(&logged))).ends(End::Waiting);
        script = next_cycle(script);
    }
    script.row(("status", 0, status, "")).row(("refresh", 0, "204", ""));
}

#[test]
fn failed_boot_is_known_from_the_record_and_counted_once() {
    let mut before = at_reboot();
    before.history = History::new(copy("first"), Some(Duration::from_secs(86_400)));
    before.row(("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""));
    let held = "error msg=\"the version did not boot, and the gate keeps Kured from starting on this \
                node\" version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 running=1.26.0 attempts=1";
    let rolled_back = "error msg=\"the new version did not boot and the node rolled back\" \
                       version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 failed_boots=1 \
                       retry_in=24h running=1.26.0";
    let mut second = after_a_reboot(&before.history, "second", "first");
    second.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
    let first_look = format!(
        "{held}\n{rolled_back}\ninfo msg=\"version is held back because it did not boot or was \
         taken back\" version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 failed_boots=1 retry_in=24h"
    );
    second.row(("status", 200, "Available 1.26.1 - refresh@1", forever(&first_look)));
    second.ends(End::Waiting);
    // A restart in the same boot, with the same record.
    let again = after_a_reboot(&second.history, "second", "first");
    assert_eq!(again.history.held().map(|entry| entry.failed_boots).collect::<Vec<_>>(), [1]);
    let mut again = again;
    again.row(("status", 0, "404", "")).row(("refresh", 0, "204", ""));
    let mut lines = Vec::new();
    let mut emit = |event: Event| lines.extend(line(&event));
    again.on_answer(&answer("Available 1.26.1 - refresh@1"), &mut emit);
    assert!(lines.iter().all(|line| !line.contains("rolled back")), "{lines:?}");
    assert_eq!(again.history.held().map(|entry| entry.failed_boots).collect::<Vec<_>>(), [1]);
}

/// The node booted the old version once more, for which nothing was activated.
#[test]
fn failed_boot_is_not_counted_again_in_a_later_boot() {
    let mut before = at_reboot();
    before.history = History::new(copy("first"), Some(Duration::from_secs(86_400)));
    before.row(("status", 0, "Staged 1.26.1 1.26.1 prepare@2", ""));
    let mut failed_boots = Vec::new();
    let mut history = before.history;
    // In the fourth boot, the gate has tried again in the third one.
    for (boot, record) in [("second", "first"), ("third", "first"), ("fourth", "third")] {
        let mut script = after_a_reboot(&history, boot, record);
        script.on_answer(&answer("404"), &mut |_| {});
        script.on_answer(&answer("204"), &mut |_| {});
        script.on_answer(&answer("Available 1.26.1 - refresh@1"), &mut |_| {});
        failed_boots.extend(script.history.held().map(|entry| entry.failed_boots));
        history = script.history;
    }
    assert_eq!(failed_boots, [1, 1, 2]);
}

/// The gate may have removed the record before the first look. A version that was staged for the
/// reboot has not been taken back, even if it is older.
#[test]
fn version_that_was_staged_is_updated_without_the_record() {
    let status = |running: &'static str, text: &str| {
        let Ok(Answer::Status(status)) = answer(text) else { panic!("{text}") };
        Ok(Answer::Status(Status { running: image(running), ..status }))
    };
    for (old, new) in [("1.26.0", "1.26.1"), ("1.26.1", "1.26.0")] {
        let staged = forever(&format!("Staged {new} {new} refresh@2"));
        let mut before = at_reboot();
        before.history = History::new(copy("first"), Some(Duration::from_secs(86_400)));
        before.on_answer(&status(old, staged), &mut |_| {});
        for (running, found) in [(new, Some("updated")), (old, None)] {
            let mut script = after_a_reboot(&before.history, "second", "first");
            script.last_reboot.read(script.now, None);
            script.on_answer(&answer("404"), &mut |_| {});
            script.on_answer(&answer("204"), &mut |_| {});
            let mut events = Vec::new();
            let mut emit = |event: Event| events.push(event.kind().name());
            script.on_answer(&status(running, "Idle - - refresh@1"), &mut emit);
            let events: Vec<_> = events
                .into_iter()
                .filter(|name| ["updated", "taken_back"].contains(name))
                .collect();
            assert_eq!(events, Vec::from_iter(found), "{old} to {new}, {running} runs");
            assert_eq!(script.history.held().count(), 0);
        }
    }
}

/// The gate requests the second try itself, so the node must become Ready.
#[test]
fn node_that_the_gate_holds_is_activated() {
    let mut script = after_a_reboot(&History::default(), "second", "first");
    script.history.set_boot_attempts(2);
    let ended = |name: &str| forever(&format!("Staged 1.26.1 1.26.1 {name}@2"));
    let mut lines = Vec::new();
    for (call, text) in [("status", "404"), ("refresh", "204"), ("status", ended("refresh"))] {
        let Step::Call(next, _) = script.next else { panic!("{:?}", script.next) };
        assert_eq!(next.name(), call);
        script.on_answer(&answer(text), &mut |event| lines.extend(line(&event)));
    }
    assert_eq!(script.next, Step::Call(Call::Start(Command::Activate), Duration::ZERO));
}
