//! The files that the gate reads: the record, the host's os-release, and the updater's
//! state.
//!
//! Whatever they contain, what is read of them fits on one line, and a record has one
//! form only.
#![no_main]

use bottlerocket_updater::gate::os_release::version;
use bottlerocket_updater::gate::state::failed_image;
use bottlerocket_updater::record::RebootRecord;
use bottlerocket_updater::text::excerpt::is_plain;
use bottlerocket_updater::text::fields::fnv1a;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Few inputs have the right checksum by chance, so some get it.
    let mut summed = bytes.to_vec();
    if let Some((b'+', lines)) = bytes.split_first() {
        let sum = fnv1a(lines);
        summed = [lines, format!("sum {sum}\n").as_bytes()].concat();
    }
    let file = &*summed;
    let mut record = RebootRecord::default();
    if let Ok(read) = RebootRecord::read(file) {
        assert_eq!(&read.write()[..], file);
        assert!(is_plain(&read.running) && is_plain(&read.image.version) && read.attempts > 0);
        let again = read.again("another-boot");
        assert_eq!(RebootRecord::read(&again.write()), Ok(again.clone()));
        assert_eq!(RebootRecord::read(&again.taken_back().write()), Ok(again.taken_back()));
        record = read;
    }
    if let Some(version) = version(file) {
        assert!(!version.is_empty() && is_plain(&version));
    }
    if let Some(image) = failed_image(file, &record) {
        assert!(is_plain(&image.version) && image != record.image);
    }
});
