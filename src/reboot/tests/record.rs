//! The record of the reboot.

use super::*;

#[test]
fn record_has_the_version_that_the_reboot_is_to_bring() {
    for (status, version) in [
        ("Ready 1.26.1>1.26.1", "1.26.1"),
        // Without -confirm, this does not matter.
        ("Ready 1.26.1>-", "1.26.1"),
        ("Ready 1.25.0>1.25.0", "1.25.0"),
        // The same version, an unknown one, and no update.
        ("Ready 1.26.0>1.26.0", "none"),
        ("Ready", "none"),
        ("Staged 1.26.1>1.26.1", "none"),
        ("Available", "none"),
        ("Idle", "none"),
        ("404", "none"),
    ] {
        let rows = [("status", 0, status), ("record", 0, version), ("reboot", 0, "204")];
        record(60).play(&rows, 0, ACCEPTED, 0);
    }
    let confirmed = Settings { confirm: true, record: true, ..settings(MINUTE) };
    let mut rows = refreshed(READY, STILL_CHOSEN);
    rows.extend([("record", 0, "1.26.1"), ("reboot", 0, "204")]);
    Script::new(confirmed).play(&rows, 0, ACCEPTED, 700);
    // Also if the last status cannot be read.
    let mut rows = vec![("status", 0, READY), ("refresh", 0, "204"), ("status", 100, "+30s 423")];
    rows.extend([("record", 0, "1.26.1"), ("reboot", 0, "204")]);
    let warning = format!("the refresh is still running after 30s; {RELYING}");
    Script::new(confirmed).play_with_warnings(&rows, 0, ACCEPTED, 30_100, &[&warning]);
}

/// The status is needed for nothing else, so a failure does not prevent the reboot.
#[test]
fn reboot_without_a_status_has_no_record() {
    for (answer, why) in ERRORS {
        let rows = [("status", 0, answer), ("record", 0, "none"), ("reboot", 0, "204")];
        let warning = format!(
            "cannot read the update status from /run/api.sock: {why}; rebooting without a record"
        );
        record(60).play_with_warnings(&rows, 0, ACCEPTED, 0, &[&warning]);
    }
    for (timeout, pauses, took, shown) in [
        (60, &[100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 800][..], 9_900, "10s"),
        (3, &[100, 200, 400, 700], 1_400, "1s500ms"),
    ] {
        let mut rows = vec![("status", 0, "423")];
        rows.extend(pauses.iter().map(|pause| ("status", *pause, "423")));
        rows.extend([("record", 0, "none"), ("reboot", 0, "204")]);
        let warning = format!("update lock held for {shown}; rebooting without a record");
        record(timeout).play_with_warnings(&rows, 0, ACCEPTED, took, &[&warning]);
        // The last call may take the rest of the time.
        let last = rows.len() - 3;
        rows[last].2 = "silence";
        record(timeout).play_with_warnings(&rows, 0, ACCEPTED, took + 100, &[&warning]);
    }
    let rows = [("status", 0, "silence"), ("record", 0, "none"), ("reboot", 0, "204")];
    let warning = "cannot read the update status from /run/api.sock: timed out waiting for a \
                   response; rebooting without a record";
    record(60).play_with_warnings(&rows, 0, ACCEPTED, 10_000, &[warning]);
}

#[test]
fn record_is_void_if_the_node_is_known_not_to_reboot() {
    let voids = |mut script: Script, rows: &[Row]| {
        rows.iter().for_each(|row| script.row(*row));
        let Step::End(end) = script.next else { panic!("not over: {:?}", script.next) };
        script.reboot.voids_record(&end)
    };
    let requested =
        |rows: &[Row]| [&[("status", 0, READY), ("record", 0, "1.26.1")], rows].concat();
    for (answer, is_void) in [
        ("204", false),
        (SHUTTING_DOWN[0], false),
        ("500 inhibited", true),
        ("404 no", true),
        ("denied", true),
        ("descriptors", true),
        ("full", true),
        // The request may have been received.
        ("silence", false),
        ("garbage", false),
    ] {
        let rows = requested(&[("reboot", 0, answer)]);
        assert_eq!(voids(record(60), &rows), is_void, "{answer}");
    }
    for (answer, _) in NO_EFFECT {
        let rows = requested(&PAUSES.map(|pause| ("reboot", pause, answer)));
        assert!(voids(record(3), &rows), "{answer}");
    }
    for (answer, is_void) in [
        ("204", false),
        (SHUTTING_DOWN[1], false),
        ("500 inhibited", true),
        ("denied", false),
        ("garbage", false),
        ("silence", false),
    ] {
        let rows = requested(&[("reboot", 0, "break"), ("reboot", 250, answer)]);
        assert_eq!(voids(record(60), &rows), is_void, "break, {answer}");
    }
    let gone = [&[("reboot", 0, "break")], &unreachable_for_the_grace("missing")[..]].concat();
    assert!(!voids(record(60), &requested(&gone)));
    for answer in ["break", "408"] {
        let again = vec![("reboot", 250, answer); if answer == "408" { 60 } else { 20 }];
        let rows = requested(&[&[("reboot", 0, "break")], &again[..]].concat());
        assert!(!voids(record(3), &rows), "{answer}");
    }
    // Without a request.
    for answer in ["Idle", "404", "garbage"] {
        assert!(voids(confirm(60), &[("status", 0, answer)]), "{answer}");
    }
    assert!(voids(confirm(3), &PAUSES.map(|pause| ("status", pause, "423"))));
    // The API may have stopped because of an earlier request.
    assert!(!voids(confirm(3), &PAUSES.map(|pause| ("status", pause, "refused"))));
    let mut rows = refreshed(READY, NONE_CHOSEN);
    rows.extend([("deactivate", 0, "204"), ("status", 100, DEACTIVATED)]);
    assert!(voids(confirm(60), &rows));
    rows[6].2 = "+1h 423";
    assert!(voids(confirm(60), &rows));
}
