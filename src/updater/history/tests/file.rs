//! The contents of the file.

use super::*;
use crate::text::fields::tests::summed;
use crate::text::fields::{SUM, fnv1a};
use crate::updater::history::file::{FIRST_HEADER, HEADER};

const BEGIN: Duration = Duration::from_secs(1_795_325);

fn entry(failed_boots: u64) -> Entry {
    Entry {
        image: OwnedImage::new(image("1.26.1")),
        previous_version: text("1.26.0"),
        boot: text("7c1f1c8e-6a42-4d29-9ce0-7a3b58a0a1f4"),
        failed_boots,
        failed_at: BEGIN,
    }
}

fn history(entries: &[Entry]) -> History {
    History { entries: entries.iter().cloned().collect(), ..History::default() }
}

/// Four entries with the longest texts and numbers.
fn longest() -> History {
    let full = |first: usize| format!("{first}{}", "\"".repeat(STRING_MAX - 1));
    let texts = [0, 1, 2, 3, 4].map(full);
    let any = text(&texts[0]);
    let entry = |number: usize| Entry {
        image: OwnedImage {
            version: text(&texts[number]),
            variant: any.clone(),
            arch: any.clone(),
        },
        previous_version: any.clone(),
        boot: any.clone(),
        failed_boots: u64::MAX,
        failed_at: Duration::from_millis(u64::MAX),
    };
    let history = history(&[entry(1), entry(2), entry(3), entry(4)]);
    let last_run = LastRun { image: entry(1).image, boot: any.clone() };
    let sent = Some(Sent {
        command: Command::Deactivate,
        version: any.clone(),
        timestamp_before: any.clone(),
        boot: any.clone(),
    });
    let since = Duration::from_millis(u64::MAX);
    let offer = Some(Offer { image: entry(1).image, since, replaced: u64::MAX });
    let uptime = Uptime::from_saved(u64::MAX, u64::MAX);
    History { uptime, last_run, staged: any, sent, offer, ..history }
}

/// Whether the file can be read. If not, the history must stay as it was.
fn reads(file: &[u8]) -> bool {
    let mut read = history(&[entry(7)]);
    let taken = read.read(file).is_ok();
    assert!(taken || read.entries == history(&[entry(7)]).entries, "{file:?}");
    taken
}

#[test]
fn file_has_the_documented_form() {
    let empty = History::default().write();
    assert_eq!(str::from_utf8(&empty), Ok("bottlerocket-updater 2\nsum 3848962385060666535\n"));
    let entries = [entry(0), Entry { boot: text(""), ..entry(3) }];
    let uptime = Uptime::from_saved(1_795_400_000, 75_007);
    let last_run = LastRun { image: OwnedImage::new(image("1.26.0")), boot: text("b") };
    let staged = text("1.26.1");
    let file = History { uptime, last_run, staged, ..history(&entries) }.write();
    let expected = "bottlerocket-updater 2\n\
        uptime\t1795400000\t75007\t\n\
        ran\t1.26.0\taws-k8s-1.30\tx86_64\tb\t\n\
        staged\t1.26.1\t\n\
        1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t7c1f1c8e-6a42-4d29-9ce0-7a3b58a0a1f4\t0\t1795325000\t\n\
        1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t\t3\t1795325000\t\n\
        sum 12427281086260690811\n";
    assert_eq!(str::from_utf8(&file), Ok(expected));
}

#[test]
fn longest_file_fits() {
    let history = longest();
    assert_eq!(history.entries.len(), ENTRIES_MAX);
    let file = history.write();
    let line = 5 * (STRING_MAX + 1) + 2 * "18446744073709551615\t".len() + 1;
    let last = file.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap();
    let uptime = "uptime\t18446744073709551615\t18446744073709551615\t\n".len();
    let ran = "ran\t\n".len() + 4 * (STRING_MAX + 1);
    let staged = "staged\t\n".len() + STRING_MAX + 1;
    let sent = "sent\tdeactivate\t\n".len() + 3 * (STRING_MAX + 1);
    let offered = "offered\t\n".len() + 3 * (STRING_MAX + 1) + 2 * "18446744073709551615\t".len();
    let first = HEADER.len() + uptime + ran + staged + sent + offered;
    assert_eq!(file.len(), first + 4 * line + last + 1);
    assert!(file.len() + 100 < FILE_MAX, "{}", file.len());
    let mut read = History::default();
    assert_eq!(read.read(&file), Ok(()));
    assert_eq!((&read.entries, &read.sent), (&history.entries, &history.sent));
    assert_eq!(read.offer, history.offer);
}

#[test]
fn every_other_form_of_the_file_is_refused() {
    const LINE: &str = "1.26.1\tv\ta\t1.26.0\tb\t1\t2\t\n";
    let text = |lines: &[&str]| summed(&[&[HEADER], lines].concat().concat());
    assert!(reads(&text(&[])));
    assert!(reads(&text(&[LINE])));
    assert!(reads(&text(&[LINE; 4])));
    assert!(!reads(&text(&[LINE; 5])));
    let long = format!("{}\n", "x".repeat(400));
    assert!(!reads(&text(&[&long])));
    assert!(!reads(&text(&[LINE.trim_end()])));
    // The uptime: at the beginning, once, with two numbers.
    const UP: &str = "uptime\t5\t7\t\n";
    assert!(reads(&text(&[UP])) && reads(&text(&[UP, LINE])));
    for lines in [[LINE, UP], [UP, UP], ["uptime\t5\t\n", LINE], ["uptime\t5\t07\t\n", LINE]] {
        assert!(!reads(&text(&lines)), "{lines:?}");
    }
    // The version that ran last: once, behind the uptime, with its boot.
    const RAN: &str = "ran\t1.26.0\tv\ta\tb\t\n";
    assert!(reads(&text(&[RAN])) && reads(&text(&[UP, RAN, LINE])));
    for lines in [[RAN, UP], [RAN, RAN], [LINE, RAN], ["ran\t1.26.0\tv\ta\t\t\n", LINE]] {
        assert!(!reads(&text(&lines)), "{lines:?}");
    }
    // The command that was sent: once, before the versions, and one that there is.
    const SENT: &str = "sent\tprepare\t1.26.1\t\tb\t\n";
    assert!(reads(&text(&[SENT])) && reads(&text(&[UP, RAN, SENT, LINE])));
    for lines in [[LINE, SENT], [SENT, SENT], ["sent\treboot\t1.26.1\t\tb\t\n", LINE]] {
        assert!(!reads(&text(&lines)), "{lines:?}");
    }
    // The version that is on offer: once, before the versions.
    const OFFERED: &str = "offered\t1.26.1\tv\ta\t5\t0\t\n";
    assert!(reads(&text(&[OFFERED])) && reads(&text(&[UP, RAN, SENT, OFFERED, LINE])));
    for lines in [[LINE, OFFERED], [OFFERED, OFFERED], [OFFERED, SENT]] {
        assert!(!reads(&text(&lines)), "{lines:?}");
    }
    // The first form of the file has none of these.
    let first = |lines: &[&str]| summed(&[&[FIRST_HEADER], lines].concat().concat());
    assert!(reads(&first(&[])) && reads(&first(&[LINE; 4])));
    assert!(!reads(&first(&[RAN])) && !reads(&first(&[SENT])) && !reads(&first(&[OFFERED])));
    assert!(!reads(&first(&[UP])) && !reads(&first(&[UP, LINE])) && !reads(&first(&[LINE; 5])));
    // Texts with control characters, and other forms of a number or of a line.
    for line in [
        "1.26.1\x1b[31m\tv\ta\t1.26.0\tb\t1\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\u{202e}\tb\t1\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\tb\r\t1\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\tb\t01\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\tb\tmany\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\tb\t1\t2\n",
        "1.26.1\n",
        &format!("{}\tv\ta\t1.26.0\tb\t1\t2\t\n", "1".repeat(STRING_MAX + 1)),
    ] {
        assert!(!reads(&text(&[line])), "{line:?}");
    }
    for header in [
        "",
        "\n",
        "bottlerocket-updater 0\n",
        "bottlerocket-updater 3\n",
        "bottlerocket-updater 10\n",
        "bottlerocket-updater 20\n",
        "bottlerocket-updater 1 \n",
        "bottlerocket-updater  2\n",
        "bottlerocket-updater 2\r\n",
        "bottlerocket-updater\n",
        " bottlerocket-updater 2\n",
        "\u{feff}bottlerocket-updater 2\n",
        "bottlerocket-updater 2",
    ] {
        assert!(!reads(&summed(header)), "{header:?}");
        assert!(!reads(&summed(&format!("{header}{LINE}"))), "{header:?}");
    }
    // Bytes that are not UTF-8, with the right checksum.
    let mut file = format!("{HEADER}1.26.1\tv\ta\t1.26.0\t").into_bytes();
    file.extend_from_slice(b"\xff\t1\t2\t\n");
    let line = format!("{SUM}{}\n", fnv1a(&file));
    file.extend_from_slice(line.as_bytes());
    assert!(!reads(&file));
    for file in [&b""[..], b"\n", b"\n\n", b"sum 0\n", b"\0", &[0; 2048], &[b'\n'; 2048]] {
        assert!(!reads(file), "{file:?}");
    }
    // A checksum has one form only.
    let number = fnv1a(HEADER.as_bytes());
    for last in [
        format!("sum {number}"),
        format!("sum {number} \n"),
        format!("sum  {number}\n"),
        format!("sum +{number}\n"),
        format!("sum\t{number}\n"),
        format!("sum {number}\n\n"),
        format!("sum {number:x}\n"),
        format!("sum {}\n", number + 1),
        "sum \n".to_string(),
        "sum".to_string(),
        "sum 99999999999999999999\n".to_string(),
    ] {
        assert!(!reads(format!("{HEADER}{last}").as_bytes()), "{last:?}");
    }
}

#[test]
fn unexpected_lines_with_the_right_checksum_do_no_harm() {
    let long = format!("{}\tv\ta\t1.26.0\tb\t1\t2\t", "x".repeat(300));
    for line in [
        "",
        "1.26.1",
        "\t\t\t\t\t\t\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\tan-earlier-boot\t\t\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\tan-earlier-boot\t-1\t2\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\tan-earlier-boot\t1\t18446744073709551616\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\tan-earlier-boot\t1\t2\t3\t4\t",
        "1.26.1 aws-k8s-1.30 x86_64 1.26.0 an-earlier-boot 1 2",
        &long,
    ] {
        let mut script = Script::new(Some(DAY));
        let _ = script.history.read(&summed(&format!("{HEADER}{line}\n")));
        for step in [
            "held 1.26.1",
            "Available 1.26.0 -",
            "held 1.26.1",
            "activate 1.26.0 1.26.1",
            "Ready 1.26.0 1.26.1",
            "boot",
            "Available 1.26.0 -",
            "Idle 1.26.1 -",
        ] {
            script
                .history
                .held()
                .for_each(|entry| _ = short(&Event::HeldBack { entry, retry_in: DAY }));
            script.history.set_saved();
            match step.split_once(' ') {
                Some(("activate", _)) => {
                    script.history.activating(image("1.26.1"), image("1.26.0"));
                }
                Some(("held", version)) => _ = script.history.hold_for(image(version)),
                Some(_) => _ = script.observe(step),
                None => script.start(true),
            }
        }
        // In the end, only the entries of this boot are left.
        assert!(
            script.history.entries.iter().all(|entry| entry.image.image() != image("1.26.1")),
            "{line:?}"
        );
    }
}

#[test]
fn damage_is_noticed_at_every_byte() {
    let two = history(&[entry(0), Entry { boot: text(""), ..entry(3) }]);
    for history in [History::default(), two, longest()] {
        let file = history.write();
        assert!(reads(&file));
        // One byte has changed.
        let values: List<u8> = match file.len() {
            ..100 => (1..=255).collect(),
            100..300 => (0..8).map(|bit| 1 << bit).collect(),
            _ => vec![1],
        };
        for at in 0..file.len() {
            for change in &values {
                let mut damaged = file.clone();
                damaged[at] ^= change;
                assert!(!reads(&damaged), "{at} {change}");
            }
            // The file ends there, or a byte is missing or doubled there.
            assert!(!reads(&file[..at]), "{at}");
            let without = [&file[..at], &file[at + 1..]].concat();
            assert!(!reads(&without), "{at}");
            let (before, behind) = file.split_at(at);
            if !file.starts_with(&[before, &file[..1]].concat()) || at == 0 {
                assert!(!reads(&[before, &file[at..=at], behind].concat()), "{at}");
            }
        }
        // Something follows the end.
        for byte in 0..=u8::MAX {
            assert!(!reads(&[&file[..], &[byte]].concat()), "{byte}");
        }
        assert!(!reads(&[&file[..], &file].concat()));
    }
}
