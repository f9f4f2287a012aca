//! Versions that soak before they are prepared.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn soaking(state: &str, version: &str, ready_in: &str) -> &'static str {
    forever(&format!(
        "info msg=\"version is soaking; it is prepared when it has been on offer for long enough\" \
         state={state} version={version} ready_in={ready_in}"
    ))
}

fn script() -> Script {
    let mut script = Script::new(Settings::default());
    script.history.set_soak(3 * DAY);
    script
}

/// The next cycle, so much later.
fn later(before: Script, time: Duration) -> Script {
    let mut next = next_cycle(before);
    next.now += time;
    next
}

#[test]
fn version_is_prepared_when_it_has_soaked() {
    let mut script = script();
    script.rows(&FOUND_AVAILABLE[..2]);
    script.row((
        "status",
        200,
        "Available 1.26.1 - refresh@1",
        soaking("Available", "1.26.1", "72h"),
    ));
    script.ends(End::Waiting);
    let mut script = later(script, 2 * DAY);
    script.rows(&[
        ("status", 0, "Available 1.26.1 - refresh@1", ""),
        ("refresh", 0, "204", ""),
        (
            "status",
            200,
            "Available 1.26.1 - refresh@2",
            soaking("Available", "1.26.1", "23h49m59s"),
        ),
    ]);
    let mut script = later(script, DAY);
    script.rows(&[
        ("status", 0, "Available 1.26.1 - refresh@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@3", ""),
        ("prepare", 0, "204", FOUND),
    ]);
}

#[test]
fn newer_version_soaks_from_its_own_first_day() {
    let mut script = script();
    script.rows(&FOUND_AVAILABLE[..2]);
    script.row((
        "status",
        200,
        "Available 1.26.1 - refresh@1",
        soaking("Available", "1.26.1", "72h"),
    ));
    let mut script = later(script, 2 * DAY);
    script.rows(&[
        ("status", 0, "Available 1.26.1 - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.2 - refresh@2", soaking("Available", "1.26.2", "72h")),
    ]);
    script.ends(End::Waiting);
}

#[test]
fn version_that_others_have_staged_is_not_activated_while_it_soaks() {
    let mut script = script();
    script.rows(&[
        ("status", 0, "Staged 1.26.1 1.26.1 prepare@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@2", soaking("Staged", "1.26.1", "72h")),
    ]);
    script.ends(End::Waiting);
}

/// What is Ready is no longer chosen. The version that is chosen soaks.
#[test]
fn soak_does_not_keep_a_node_from_deactivating() {
    let mut script = script();
    script.rows(&[
        ("status", 0, "Ready 1.26.2 1.26.1 activate@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Ready 1.26.2 1.26.1 refresh@2", ""),
    ]);
    assert_eq!(script.next, Step::Call(Call::Start(Command::Deactivate), Duration::ZERO));
}

/// After a boot the status has no chosen version until a refresh has succeeded.
#[test]
fn refresh_that_fails_does_not_begin_the_soak_anew() {
    let mut script = script();
    script.rows(&FOUND_AVAILABLE[..2]);
    script.row((
        "status",
        200,
        "Available 1.26.1 - refresh@1",
        soaking("Available", "1.26.1", "72h"),
    ));
    let mut script = later(script, DAY);
    script.rows(&[("status", 0, "404", ""), ("refresh", 0, "204", "")]);
    script.on_answer(&answer("Idle - - refresh!Failed@1"), &mut |_| ());
    script.ends(End::Failed);
    let mut script = later(script, DAY);
    script.rows(&[
        ("status", 0, "Idle - - refresh!Failed@1", ""),
        ("refresh", 0, "204", ""),
        (
            "status",
            200,
            "Available 1.26.1 - refresh@2",
            soaking("Available", "1.26.1", "23h39m59s"),
        ),
    ]);
}
