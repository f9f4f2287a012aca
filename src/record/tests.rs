//! The contents of the file.

extern crate std;
use super::*;
use crate::api::document::STRING_MAX;
use crate::text::fields::tests::summed;
use std::format;
use std::string::String;
use std::vec::Vec as List;

const BOOT: &str = "7c1f1c8e-6a42-4d29-9ce0-7a3b58a0a1f4";

fn record() -> RebootRecord {
    let image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };
    RebootRecord::new(BOOT, "1.26.0", image)
}

/// A record with the longest texts and number.
fn longest() -> RebootRecord {
    let text = || Text::try_from("\"".repeat(STRING_MAX).as_str()).unwrap();
    let image = OwnedImage { version: text(), variant: text(), arch: text() };
    RebootRecord { image, running: text(), boot: text(), attempts: u64::MAX }
}

#[test]
fn file_has_the_documented_form() {
    let file = record().write();
    let lines = format!("{HEADER}1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t{BOOT}\t1\t\n");
    assert_eq!(file.to_vec(), summed(&lines));
    let sum = lines.replace("\t1\t\n", "\t1\t\nsum 17106882021887109668\n");
    assert_eq!(String::from_utf8(file.to_vec()).unwrap(), sum);
}

#[test]
fn written_record_is_read() {
    for record in [record(), record().again("next-boot"), longest()] {
        assert_eq!(RebootRecord::read(&record.write()), Ok(record));
    }
    let image = OwnedImage { variant: copy(""), arch: copy(""), ..record().image };
    let record = RebootRecord { image, ..record() };
    assert_eq!(RebootRecord::read(&record.write()), Ok(record));
}

#[test]
fn another_attempt_is_of_the_same_image_in_another_boot() {
    let first = record();
    let second = first.again("next-boot");
    assert_eq!((second.attempts, second.boot.as_str()), (2, "next-boot"));
    assert_eq!((&second.image, &second.running), (&first.image, &first.running));
    assert_eq!(longest().again(BOOT).attempts, u64::MAX);
}

#[test]
fn attempt_that_was_taken_back_is_of_no_known_boot() {
    let back = record().again("next-boot").taken_back();
    assert_eq!((back.attempts, back.boot.as_str()), (1, EARLIER_BOOT));
    assert_eq!((&back.image, &back.running), (&record().image, &record().running));
    assert_eq!(RebootRecord::read(&back.write()), Ok(back.clone()));
    assert_eq!(back.taken_back().attempts, 1);
}

#[test]
fn longest_file_fits() {
    let file = longest().write();
    let line = 5 * (STRING_MAX + 1) + "18446744073709551615\t".len() + 1;
    let last = file.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap();
    assert_eq!(file.len(), HEADER.len() + line + last + 1);
    assert!(file.len() + 50 < FILE_MAX, "{}", file.len());
}

#[test]
fn every_other_form_of_the_file_is_damaged() {
    let line = "1.26.1\tv\ta\t1.26.0\tb\t1\t\n";
    assert!(RebootRecord::read(&summed(&format!("{HEADER}{line}"))).is_ok());
    for lines in [
        String::new(),
        line.repeat(2),
        line.trim_end().into(),
        line.replace("1.26.1", ""),
        line.replace("1.26.0", ""),
        line.replace("\tb\t", "\t\t"),
        line.replace("\t1\t", "\t0\t"),
        line.replace("\t1\t", "\t01\t"),
        line.replace("\t1\t", "\tone\t"),
        line.replace("\t1\t", "\t-1\t"),
        line.replace("\t1\t", "\t18446744073709551616\t"),
        line.replace("\t1\t", "\t1\t2\t"),
        line.replace("\t1\t", "\t1"),
        line.replace("\tv\t", "\t"),
        line.replace("\tv\t", "\tv\x1b[31m\t"),
        line.replace("\tv\t", "\tv\u{202e}\t"),
        line.replace("\tv\t", "\tv\r\t"),
        line.replace('\n', "\r\n"),
        line.replace('v', &"v".repeat(STRING_MAX + 1)),
        format!("{line}\n"),
    ] {
        let file = summed(&format!("{HEADER}{lines}"));
        assert_eq!(RebootRecord::read(&file), Err(Damaged), "{lines:?}");
    }
    for header in ["", "\n", "bottlerocket-reboot 2\n", "bottlerocket-updater 1\n", " "] {
        let file = summed(&format!("{header}{line}"));
        assert_eq!(RebootRecord::read(&file), Err(Damaged), "{header:?}");
    }
    for file in [&b""[..], b"\n", b"\n\n\n", b"sum 0\n", b"\xff", &[0; 512], &[b'\t'; 100_000]] {
        assert_eq!(RebootRecord::read(file), Err(Damaged));
    }
}

#[test]
fn damage_is_noticed_at_every_byte() {
    for record in [record(), longest()] {
        let file: List<u8> = record.write().to_vec();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(RebootRecord::read(&damaged), Err(Damaged), "{at} {bit}");
            }
            assert_eq!(RebootRecord::read(&file[..at]), Err(Damaged), "{at}");
            let without = [&file[..at], &file[at + 1..]].concat();
            assert_eq!(RebootRecord::read(&without), Err(Damaged), "{at}");
        }
        assert_eq!(RebootRecord::read(&[&file[..], b"\n"].concat()), Err(Damaged));
        assert_eq!(RebootRecord::read(&[&file[..], &file].concat()), Err(Damaged));
    }
}
