//! Each opening, each hold, and the second try.

extern crate std;
use super::*;
use crate::api::status::{LastCommand, OwnedImage};
use crate::text::excerpt::Excerpt;
use std::string::{String, ToString};
use std::{format, vec::Vec};

const MINUTE: Duration = Duration::from_secs(60);

fn image(version: &str) -> Image<'_> {
    Image { version, variant: "aws-k8s-1.30", arch: "x86_64" }
}

/// The record of a reboot from 1.26.0 to 1.26.1, in the boot `first`.
fn record(attempts: u64) -> RebootRecord {
    RebootRecord { attempts, ..RebootRecord::new("first", "1.26.0", image("1.26.1")) }
}

/// The status for a short text: the state, the chosen version, the staged version, and
/// the last command with its result, as in `Ready 1.26.1 1.26.1 activate Success`.
fn status<'a>(text: &'a str, stderr: &'a Excerpt) -> Option<Status<'a>> {
    let mut words = text.split(' ');
    let state = words.next().unwrap();
    let state = State::ALL.into_iter().find(|other| other.name() == state)?;
    let mut next = || words.next().filter(|word| *word != "-").map(image);
    let (chosen, staged) = (next(), next());
    let last_command = words.next().map(|name| LastCommand {
        name,
        outcome: words.next().unwrap(),
        timestamp: "1",
        exit_status: "",
        stderr,
    });
    Some(Status { state, chosen, running: None, staged, offered: None, last_command })
}

/// The decision as a short text.
fn short(decision: Decision) -> String {
    match decision {
        Decision::Open(Opening::OtherReady(image)) => format!("open: {} is ready", image.version),
        Decision::Open(Opening::OtherStaged(image)) => format!("open: {} is staged", image.version),
        Decision::Open(opening) => {
            let kept = if opening.removes_record() { "" } else { ", and keep the record" };
            format!("open: {opening:?}{kept}")
        }
        Decision::TryAgain(image) => format!("try {} again", image.version),
        Decision::Hold => "hold".to_string(),
        Decision::TakeBack => "take back".to_string(),
    }
}

/// The inputs in the boot `second`, in which 1.26.0 runs.
fn inputs<'a>(record: &'a RebootRecord, status: Option<&'a Status<'a>>) -> Inputs<'a> {
    Inputs {
        record: Some(record),
        boot: Some("second"),
        running: Some("1.26.0"),
        status,
        failed: None,
        was_empty: true,
        boot_attempts: 2,
        rebooting: false,
        waited: Duration::ZERO,
        max_wait: None,
    }
}

const ALL_STATUSES: [&str; 18] = [
    "none",
    "Idle - -",
    "Idle - - refresh Failed",
    "Idle - - refresh Success",
    "Idle 1.26.1 - refresh Failed",
    "Available 1.26.1 - refresh Success",
    "Available 1.26.2 - refresh Success",
    "Available 1.26.1 - prepare Failed",
    "Staged 1.26.1 1.26.1 prepare Success",
    "Staged 1.26.2 1.26.1 refresh Success",
    "Staged 1.26.2 1.26.2 prepare Success",
    "Staged - 1.26.1 deactivate Success",
    "Staged - - refresh Success",
    "Ready 1.26.1 1.26.1 activate Success",
    "Ready 1.26.2 1.26.1 refresh Success",
    "Ready 1.26.2 1.26.2 activate Success",
    "Ready - 1.26.1 refresh Success",
    "Ready 1.26.1 - refresh Success",
];

/// Checks the decision for each status with these inputs.
#[track_caller]
fn check(expected: &[(&str, &str)], change: impl Fn(&mut Inputs)) {
    let default = expected.iter().find(|(text, _)| *text == "*").map(|(_, decision)| *decision);
    let record = record(1);
    let stderr = Excerpt::default();
    for text in ALL_STATUSES {
        let status = status(text, &stderr);
        let mut inputs = inputs(&record, status.as_ref());
        change(&mut inputs);
        let special = expected.iter().find(|(other, _)| *other == text);
        let decision = special.map(|(_, decision)| *decision).or(default).unwrap();
        assert_eq!(short(decide(inputs)), decision, "{text}");
    }
    for (text, _) in expected {
        assert!(*text == "*" || ALL_STATUSES.contains(text), "{text}");
    }
}

/// The decisions that open after a failed boot, whatever the record says.
const OPEN: [(&str, &str); 6] = [
    ("Idle - - refresh Success", "open: NothingChosen"),
    ("Staged - 1.26.1 deactivate Success", "open: NothingChosen"),
    ("Staged - - refresh Success", "open: NothingChosen"),
    ("Ready - 1.26.1 refresh Success", "open: NothingChosen"),
    ("Staged 1.26.2 1.26.2 prepare Success", "open: 1.26.2 is staged"),
    ("Ready 1.26.2 1.26.2 activate Success", "open: 1.26.2 is ready"),
];

fn opens_or(others: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&OPEN[..], others].concat()
}

#[test]
fn without_a_record_the_gate_opens() {
    check(&[("*", "open: NoRecord, and keep the record")], |inputs| inputs.record = None);
}

#[test]
fn what_cannot_be_read_does_not_hold() {
    check(&[("*", "open: UnknownBoot")], |inputs| inputs.boot = None);
    check(&[("*", "open: UnknownVersion")], |inputs| inputs.running = None);
}

#[test]
fn any_other_version_opens() {
    check(&[("*", "open: Updated")], |inputs| inputs.running = Some("1.26.1"));
    check(&[("*", "open: OtherVersion")], |inputs| inputs.running = Some("1.26.2"));
    check(&[("*", "open: OtherVersion")], |inputs| inputs.running = Some("1.25.0"));
    // Also after the second attempt.
    let again = record(2);
    let inputs = Inputs { running: Some("1.26.1"), ..inputs(&again, None) };
    assert_eq!(decide(inputs), Decision::Open(Opening::Updated));
}

#[test]
fn first_failed_boot_is_tried_once_more_when_the_version_is_ready_again() {
    let again = [("*", "hold"), ("Ready 1.26.1 1.26.1 activate Success", "try 1.26.1 again")];
    check(&opens_or(&again), |_| {});
    // Not if the node may be going down already, and not if one attempt is all.
    check(&opens_or(&[("*", "hold")]), |inputs| inputs.rebooting = true);
    check(&opens_or(&[("*", "hold")]), |inputs| inputs.boot_attempts = 1);
}

#[test]
fn second_failed_boot_holds() {
    for attempts in [2, 3, u64::MAX] {
        let record = record(attempts);
        check(&opens_or(&[("*", "hold")]), |inputs| inputs.record = Some(leak(&record)));
    }
    let record = record(2);
    let again = [("*", "hold"), ("Ready 1.26.1 1.26.1 activate Success", "try 1.26.1 again")];
    check(&opens_or(&again), |inputs| {
        inputs.record = Some(leak(&record));
        inputs.boot_attempts = 3;
    });
}

/// A copy that lives as long as the test.
fn leak(record: &RebootRecord) -> &'static RebootRecord {
    std::boxed::Box::leak(std::boxed::Box::new(record.clone()))
}

#[test]
fn longest_wait_opens() {
    let mut all = OPEN.to_vec();
    all.push(("*", "open: MaxWait"));
    for waited in [MINUTE, MINUTE * 2] {
        check(&all, |inputs| {
            inputs.max_wait = Some(MINUTE);
            inputs.waited = waited;
        });
    }
    check(&opens_or(&[("*", "hold")]), |inputs| {
        inputs.max_wait = Some(MINUTE);
        inputs.waited = MINUTE - Duration::from_millis(1);
        inputs.boot_attempts = 1;
    });
    check(&opens_or(&[("*", "hold")]), |inputs| {
        inputs.waited = Duration::MAX;
        inputs.boot_attempts = 1;
    });
}

#[test]
fn version_that_the_updater_saw_fail_is_held_too() {
    // By the updater's state, 1.26.2 took the place of 1.26.1 before the node went down.
    let special = [
        ("Staged 1.26.2 1.26.2 prepare Success", "hold"),
        ("Ready 1.26.2 1.26.2 activate Success", "try 1.26.2 again"),
        ("Ready 1.26.1 1.26.1 activate Success", "try 1.26.1 again"),
    ];
    let mut expected = special.to_vec();
    expected.extend(opens_or(&[("*", "hold")]));
    check(&expected, |inputs| inputs.failed = Some(image("1.26.2")));
    // Another variant is another image.
    let other = Image { variant: "aws-k8s-1.31", ..image("1.26.2") };
    let again = [("*", "hold"), ("Ready 1.26.1 1.26.1 activate Success", "try 1.26.1 again")];
    check(&opens_or(&again), |inputs| inputs.failed = Some(other));
}

#[test]
fn kured_starts_in_the_boot_of_its_own_request() {
    let open = "open: SameBoot, and keep the record";
    let expected = [
        ("none", open),
        ("Ready 1.26.1 1.26.1 activate Success", open),
        ("Ready 1.26.2 1.26.1 refresh Success", open),
        ("Ready - 1.26.1 refresh Success", open),
        ("*", "open: Void"),
    ];
    check(&expected, |inputs| inputs.boot = Some("first"));
}

#[test]
fn gate_holds_in_the_boot_of_its_own_request() {
    let same_boot = |inputs: &mut Inputs| {
        inputs.record = Some(leak(&record(2)));
        inputs.boot = Some("first");
    };
    let ready = [
        "none",
        "Ready 1.26.1 1.26.1 activate Success",
        "Ready 1.26.2 1.26.1 refresh Success",
        "Ready - 1.26.1 refresh Success",
    ];
    let decisions = |decisions: [&'static str; 4]| {
        let mut expected: Vec<_> = ready.into_iter().zip(decisions).collect();
        expected.push(("*", "take back"));
        expected
    };
    // While the node may be going down, the longest wait does not count either.
    check(&decisions(["hold"; 4]), |inputs| {
        same_boot(inputs);
        inputs.rebooting = true;
        inputs.max_wait = Some(Duration::ZERO);
    });
    let later = ["hold", "try 1.26.1 again", "take back", "take back"];
    check(&decisions(later), same_boot);
    check(&decisions(["open: MaxWait"; 4]), |inputs| {
        same_boot(inputs);
        inputs.max_wait = Some(Duration::ZERO);
    });
}

#[test]
fn record_that_was_taken_back_is_of_another_boot() {
    let first = record(1);
    let second = first.again("second");
    let back = second.taken_back();
    assert_eq!((back.attempts, &back.image), (1, &OwnedImage::new(image("1.26.1"))));
    assert_eq!(short(decide(inputs(&second, None))), "hold");
    let stderr = Excerpt::default();
    let ready = status("Ready 1.26.1 1.26.1", &stderr);
    assert_eq!(short(decide(inputs(&back, ready.as_ref()))), "try 1.26.1 again");
}

/// One refresh that finds nothing may have had unreadable output.
#[test]
fn node_is_withdrawn_in_idle_only_after_two_refreshes() {
    let mut all = opens_or(&[("*", "hold")]);
    all.retain(|(text, _)| *text != "Idle - - refresh Success");
    check(&all, |inputs| {
        inputs.was_empty = false;
        inputs.boot_attempts = 1;
    });
}
