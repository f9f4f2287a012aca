//! Versions that boot, and versions that do not.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

const ROLLED_BACK: &str = "error msg=\"the new version did not boot and the node rolled back\" \
                           version=1.26.1 \
                           variant=aws-k8s-1.30 arch=x86_64 \
                           failed_boots=1 retry_in=24h running=1.26.0";

const HELD_BACK: &str = "info msg=\"version is held back because it did not boot or was taken back\" \
                         version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 failed_boots=1 \
                         retry_in=24h";

/// A script in another boot, with the history of the script before it.
fn next_boot(before: &Script, boot: &str, retry: Option<Duration>) -> Script {
    let mut history = History::new(copy(boot), retry);
    history.read(&before.history.write()).unwrap();
    let mut next = Script::new(before.settings.clone());
    (next.history, next.now) = (history, before.now);
    next
}

/// A script that activated 1.26.1 in the first boot.
fn activated(settings: Settings) -> Script {
    let mut script = Script::new(settings);
    script.history = History::new(copy("first"), Some(24 * HOUR));
    script.rows(&FOUND_AVAILABLE).rows(&STAGED);
    // The activation is saved before the call is made.
    assert!(script.history.has_changed());
    script.history.set_saved();
    script.rows(&[
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@3", ACTIVATED_READY),
    ]);
    // The outcome of the activate is known.
    assert!(script.history.has_changed());
    script.history.set_saved();
    script
}

#[test]
fn version_that_did_not_boot_is_held_back() {
    let rolled_back = format!("{ROLLED_BACK}\n{HELD_BACK}");
    let first = activated(Settings::default());
    let mut second = next_boot(&first, "second", Some(24 * HOUR));
    second.rows(&FOUND_AVAILABLE[..2]);
    second.row(("status", 200, "Available 1.26.1 - refresh@1", forever(&rolled_back)));
    second.ends(End::Waiting);
    assert!(second.history.has_changed());
    // The next cycle, and the next boot.
    for boot in ["second", "third"] {
        let held = HELD_BACK.replace("retry_in=24h", "retry_in=23h59m");
        let mut again = next_boot(&second, boot, Some(24 * HOUR));
        again.now += Duration::from_millis(59_400);
        again.row(("status", 0, "Available 1.26.1 - refresh@1", ""));
        again.row(("refresh", 0, "204", ""));
        again.row(("status", 200, "Available 1.26.1 - refresh@2", forever(&held)));
        again.ends(End::Waiting);
    }
    // The hold is over.
    let mut again = next_boot(&second, "third", Some(24 * HOUR));
    again.now += 24 * HOUR;
    again.rows(&FOUND_AVAILABLE).rows(&STAGED).row(("activate", 0, "204", ""));
    // Another version is tried immediately.
    let mut again = next_boot(&second, "third", Some(24 * HOUR));
    again.rows(&FOUND_AVAILABLE[..2]);
    again.rows(&[
        ("status", 200, "Available 1.26.2 - refresh@1", ""),
        ("prepare", 0, "204", FOUND_2),
        ("status", 200, "Staged 1.26.2 1.26.2 prepare@2", PREPARED_2),
        ("activate", 0, "204", ""),
    ]);
    // The version that is held back is not activated, and does not replace what is staged.
    for status in ["Staged 1.26.1 1.26.1 refresh@1", "Staged 1.26.1 1.26.2 refresh@1"] {
        let held = HELD_BACK.replace("24h", "23h59m58s");
        let mut again = next_boot(&second, "third", Some(24 * HOUR));
        again.now += Duration::from_millis(100);
        again.rows(&[
            ("status", 0, status, ""),
            ("refresh", 0, "204", ""),
            ("status", 200, status, ""),
            ("status", 400, "+400ms Staged 1.26.1 1.26.1 refresh@2", forever(&held)),
        ]);
        again.ends(End::Waiting);
    }
    // If it is chosen in place of an update that is Ready, that update is deactivated:
    // it may have been withdrawn.
    let held = HELD_BACK.replace("24h", "23h59m59s");
    let deactivated = format!(
        "info msg=\"deactivated, so that no reboot boots the version\" version=1.26.2 \
         reason=replaced chosen=1.26.1 took=200ms\n{held}"
    );
    let mut again = next_boot(&second, "third", Some(24 * HOUR));
    again.now += Duration::from_millis(100);
    again.rows(&[
        ("status", 0, "Ready 1.26.1 1.26.2 activate@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.2 refresh@2", ""),
        ("deactivate", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.2 deactivate@3", forever(&deactivated)),
    ]);
    again.ends(End::Waiting);
}

#[test]
fn version_that_boots_is_logged() {
    let first = activated(Settings::default());
    let mut second = next_boot(&first, "second", None);
    second.rows(&FOUND_AVAILABLE[..2]);
    let mut status = answer("Idle - - refresh@1");
    if let Ok(Answer::Status(status)) = &mut status {
        status.running = image("1.26.1");
    }
    let mut logged = Vec::new();
    second.on_answer(&status, &mut |event| logged.extend(line(&event)));
    let updated = "info msg=\"the new version is running\" version=1.26.1 variant=aws-k8s-1.30 \
                   arch=x86_64 before=1.26.0";
    assert_eq!(logged, [updated, &NOTHING.replace("running=1.26.0", "running=1.26.1")]);
    second.ends(End::Done);
}

/// The node boots before its status is read again.
#[test]
fn activation_is_remembered_unless_it_was_refused() {
    for (text, remembered) in [
        ("204", true),
        ("silence", true),
        ("break", true),
        ("garbage", true),
        ("423", false),
        ("409 why", false),
        ("500 why", false),
        ("refused", false),
        ("unsent", false),
    ] {
        let mut first = Script::new(Settings::default());
        first.history = History::new(copy("first"), Some(24 * HOUR));
        first.rows(&FOUND_AVAILABLE).rows(&STAGED);
        first.history.set_saved();
        first.on_answer(&answer(text), &mut |_| ());
        assert_eq!(first.history.has_changed(), !remembered, "{text}");
        let mut second = next_boot(&first, "second", Some(24 * HOUR));
        second.rows(&FOUND_AVAILABLE[..2]);
        let mut logged = Vec::new();
        let status = answer("Available 1.26.1 - refresh@1");
        second.on_answer(&status, &mut |event| logged.extend(line(&event)));
        let expected: &[&str] = if remembered { &[ROLLED_BACK, HELD_BACK] } else { &[] };
        assert_eq!(logged, expected, "{text}");
    }
}

#[test]
fn refused_refresh_does_not_take_back_an_activation() {
    for text in ["423", "409 why", "500 why", "refused", "unsent"] {
        let first = activated(Settings::default());
        let mut again = next_boot(&first, "first", Some(24 * HOUR));
        again.row(("status", 0, "Ready 1.26.1 1.26.1 activate@3", ""));
        assert_eq!(again.next, Step::Call(Call::Start(Command::Refresh), Duration::ZERO));
        again.on_answer(&answer(text), &mut |_| ());
        assert!(!again.history.has_changed(), "{text}");
        let mut second = next_boot(&again, "second", Some(24 * HOUR));
        second.rows(&FOUND_AVAILABLE[..2]);
        let mut logged = Vec::new();
        let status = answer("Available 1.26.1 - refresh@1");
        second.on_answer(&status, &mut |event| logged.extend(line(&event)));
        assert_eq!(logged.first().map(String::as_str), Some(ROLLED_BACK), "{text}");
    }
}

#[test]
fn failed_activate_is_not_a_failed_boot() {
    // The node boots for another reason before its status is read again. The last command
    // succeeded without effect.
    for last in ["activate!Failed@3", "activate!Unknown@3", "activate@3"] {
        let mut first = Script::new(Settings::default());
        first.history = History::new(copy("first"), Some(24 * HOUR));
        first.rows(&FOUND_AVAILABLE).rows(&STAGED).row(("activate", 0, "204", ""));
        first.now += Duration::from_millis(200);
        first.on_answer(&answer(&format!("Staged 1.26.1 1.26.1 {last}")), &mut |_| ());
        first.ends(End::Failed);
        let mut second = next_boot(&first, "second", Some(24 * HOUR));
        second.rows(&FOUND_AVAILABLE).row(("prepare", 0, "204", FOUND));
    }
}
