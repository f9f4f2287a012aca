//! Reads any bytes as the state file, and continues with any history of a node: each file
//! that is written can be read, and has the same contents.
#![no_main]

use bottlerocket_fuzz::choices::{Choices, VERSIONS, any_status, image};
use bottlerocket_updater::api::Command;
use bottlerocket_updater::api::status::copy;
use bottlerocket_updater::text::excerpt::{Excerpt, is_plain};
use bottlerocket_updater::updater::history::History;
use bottlerocket_updater::updater::history::file::FILE_MAX;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const SOAK: Duration = Duration::from_secs(72 * 3_600);

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (file, life) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // Few inputs have the right checksum by chance.
    let mut file = file.to_vec();
    if !file.starts_with(b"b") {
        file.splice(..0, *b"bottlerocket-updater 2\n");
        let sum = file.iter().fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        file.extend_from_slice(format!("sum {sum}\n").as_bytes());
    }
    let history = || History::new(copy("boot-2"), Some(Duration::from_secs(3_600)));
    let mut lived = history();
    let whole = lived.read(&file).is_ok();
    assert!(whole || lived.write() == history().write(), "a damaged file has changed the history");
    same_when_read(&lived);

    let mut choices = Choices(life);
    lived.advance(Duration::from_secs(60));
    lived.set_soak(SOAK);
    let text = Excerpt::default();
    let mut since_boot = Duration::from_secs(60);
    while !choices.is_over() {
        let status = any_status(&mut choices, &text);
        lived.observe(&status, &mut |_| ());
        lived.note_command(&status);
        lived.note_offer(status.chosen);
        if let Some(chosen) = status.chosen {
            assert!(lived.soaks_for(chosen).is_none_or(|left| left <= SOAK));
            let command = choices.one_of(&Command::ALL);
            lived.sending(command, chosen.version, "2026-11-22T05:32:13.1Z");
        }
        if let (Some(chosen), Some(running)) = (status.chosen, status.running) {
            if let Some((entry, left)) = lived.hold_for(chosen) {
                assert!(entry.failed_boots > 0 && !left.is_zero());
            }
            if choices.flip() {
                lived.activating(chosen, running);
            }
        }
        same_when_read(&lived);
        let passed = match choices.below(8) {
            0 => Duration::MAX,
            _ => choices.time(),
        };
        since_boot = since_boot.saturating_add(passed);
        // Time makes what is left of a hold-back less, by at most that time.
        let left = |lived: &History| {
            VERSIONS.map(|version| lived.hold_for(image(version)).map(|held| held.1))
        };
        let before = left(&lived);
        lived.advance(since_boot);
        for (before, after) in before.into_iter().zip(left(&lived)) {
            let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
            assert!(after <= before && before.saturating_sub(after) <= passed);
        }
    }
});

fn same_when_read(history: &History) {
    let file = history.write();
    assert!(file.len() < FILE_MAX);
    let mut again = History::new(copy("boot-3"), None);
    assert!(again.read(&file).is_ok(), "{}", String::from_utf8_lossy(&file));
    assert_eq!(again.write(), file);
    for entry in again.held() {
        let texts = [
            &entry.image.version,
            &entry.image.variant,
            &entry.image.arch,
            &entry.previous_version,
        ];
        assert!(texts.into_iter().all(|text| is_plain(text)), "{entry:?}");
    }
}
