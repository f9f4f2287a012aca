//! States of the updater, and hostile files.

extern crate std;
use super::*;
use crate::api::Command;
use crate::api::status::{Image, State, Status, copy};
use crate::text::fields::tests::summed;
use crate::updater::history::History;
use core::time::Duration;
use std::format;
use std::string::{String, ToString};

fn record() -> RebootRecord {
    let image = Image { version: "1.26.1", variant: "v", arch: "a" };
    RebootRecord::new("first", "1.26.0", image)
}

/// The version that did not boot, for the lines of a state file.
fn failed(lines: &[&str]) -> Option<String> {
    let text = lines.iter().map(|line| line.replace(' ', "\t") + "\t\n").collect::<String>();
    let file = summed(&format!("bottlerocket-updater 2\nuptime\t7\t7\t\n{text}"));
    failed_image(&file, &record()).map(|image| image.version.to_string())
}

#[test]
fn image_of_the_record_is_the_one_that_failed() {
    assert_eq!(failed(&[]), None);
    assert_eq!(failed(&["1.26.1 v a 1.26.0 first 0 0"]), None);
    assert_eq!(failed(&["1.26.1 v a 1.26.0  1 99"]), None);
    // An earlier failure of another version does not matter.
    let other = "1.25.9 v a 1.26.0  3 98";
    assert_eq!(failed(&[other, "1.26.1 v a 1.26.0 first 0 0"]), None);
    assert_eq!(failed(&["1.26.1 v a 1.26.0  1 99", other]), None);
    // Nor does one that is being activated now.
    assert_eq!(failed(&["1.26.1 v a 1.26.0  1 99", "1.26.2 v a 1.26.0 second 0 0"]), None);
    assert_eq!(failed(&["1.26.2 v a 1.26.0 second 0 0"]), None);
}

#[test]
fn version_that_took_the_place_of_the_one_in_the_record_is_found() {
    let found = Some("1.26.2".to_string());
    assert_eq!(failed(&["1.26.2 v a 1.26.0 first 0 0"]), found);
    assert_eq!(failed(&["1.26.1 v a 1.26.0  1 9", "1.26.2 v a 1.26.0 first 0 0"]), found);
    // The updater has noted since that it failed.
    assert_eq!(failed(&["1.26.2 v a 1.26.0  1 99"]), found);
    assert_eq!(failed(&["1.26.2 v a 1.25.0  1 99"]), None);
}

#[test]
fn state_is_read_as_the_updater_writes_it() {
    let running = Image { version: "1.26.0", variant: "v", arch: "a" };
    let mut history = History::new(copy("first"), None);
    history.advance(Duration::from_secs(60));
    let status = Status {
        state: State::Staged,
        chosen: None,
        running: Some(running),
        staged: None,
        offered: None,
        last_command: None,
    };
    history.observe(&status, &mut |finding| panic!("{finding:?}"));
    history.activating(Image { version: "1.26.2", ..running }, running);
    history.sending(Command::Activate, "1.26.2", "before");
    history.set_soak(Duration::from_secs(1));
    history.note_offer(Some(Image { version: "1.26.2", ..running }));
    let file = history.write();
    let text = core::str::from_utf8(&file).unwrap();
    // The updater also writes lines about other things.
    assert_eq!(text.lines().count(), 7, "{text}");
    let failed = failed_image(&file, &record()).unwrap();
    assert_eq!(failed.image(), Image { version: "1.26.2", ..running });
}

#[test]
fn damaged_state_says_nothing() {
    let line = "1.26.2\tv\ta\t1.26.0\tfirst\t0\t0\t\n";
    let good = summed(&format!("bottlerocket-updater 1\n{line}"));
    assert!(failed_image(&good, &record()).is_some());
    for at in 0..good.len() {
        assert_eq!(failed_image(&good[..at], &record()), None, "{at}");
    }
    for text in [
        "".to_string(),
        line.to_string(),
        format!("bottlerocket-reboot 1\n{line}"),
        "bottlerocket-updater 1\n1.26.2\tv\ta\n".to_string(),
        format!("bottlerocket-updater 1\n{}", line.replace("1.26.2", &"1".repeat(65))),
        format!("bottlerocket-updater 1\n{}", line.replace("1.26.2", "\x1b[31m")),
    ] {
        assert_eq!(failed_image(&summed(&text), &record()), None, "{text:?}");
    }
    for file in [&b""[..], b"\n", &[0; FILE_MAX], &[b'\t'; FILE_MAX], b"\xff\xff"] {
        assert_eq!(failed_image(file, &record()), None);
    }
}
