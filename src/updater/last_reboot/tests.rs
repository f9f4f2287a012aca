//! Statuses and records by a script, and what they mean.

extern crate std;
use super::*;
use crate::api::status::Image;
use crate::reporting::log::Format;
use crate::sys::files::Stamp;
use std::string::String;
use std::vec::Vec;

const MINUTE: Duration = Duration::from_secs(60);

fn text(text: &str) -> Text {
    Text::try_from(text).unwrap()
}

fn image(version: &str) -> Image<'_> {
    Image { version, variant: "aws-k8s-1.30", arch: "x86_64" }
}

/// The record of a reboot from 1.26.0 to 1.26.1 in the boot `boot`.
fn record(boot: &str, attempts: u64) -> RebootRecord {
    RebootRecord { attempts, ..RebootRecord::new(boot, "1.26.0", image("1.26.1")) }
}

/// The status for a state, the running version and the staged version.
fn status<'a>(state: State, running: &'a str, staged: &'a str) -> Status<'a> {
    let [running, staged] =
        [running, staged].map(|text| Some(text).filter(|text| !text.is_empty()).map(image));
    Status { state, chosen: staged, running, staged, offered: None, last_command: None }
}

/// The updater in the boot `here`.
struct Script {
    last_reboot: LastReboot,
    now: Duration,
}

impl Script {
    fn new() -> Self {
        // The clock may count from any point in time.
        Self { last_reboot: LastReboot::new(text("here")), now: 100 * MINUTE }
    }

    fn read(&mut self, record: Option<RebootRecord>, stamp: Stamp) -> &mut Self {
        self.last_reboot.read(self.now, record.map(|record| (record, stamp)));
        self
    }

    fn observe(&mut self, status: Option<&Status>) -> Vec<String> {
        let mut logged = Vec::new();
        self.last_reboot.observe(self.now, status, &mut |event| {
            let line = event.record(Format::Logfmt, Duration::ZERO).finish().to_vec();
            let line = String::from_utf8(line).unwrap();
            let (_, fields) = line.trim_end().split_once("event=").unwrap();
            let (name, rest) = fields.split_once(' ').unwrap();
            let (_, fields) = rest.split_once("\" ").unwrap();
            logged.push(std::format!("{name} {fields}"));
        });
        logged
    }

    /// Whether the updater leaves this status alone.
    fn leaves_alone(&mut self, status: &Status) -> bool {
        assert_eq!(self.observe(Some(status)), [""; 0]);
        self.last_reboot.is_pending(self.now, status)
    }
}

fn stamp(number: u64) -> Stamp {
    Stamp::of_inode(number)
}

#[test]
fn record_of_this_boot_protects_only_what_it_names() {
    use State::{Available, Idle, Ready, Staged};
    let other_variant = Image { variant: "aws-k8s-1.31", ..image("1.26.1") };
    for (boot, attempts) in [("here", 1), ("earlier", 1), ("earlier", 2)] {
        for (status, is_it) in [
            (status(Ready, "1.26.0", "1.26.1"), true),
            (status(Ready, "1.26.0", "1.26.2"), false),
            (status(Ready, "1.26.0", ""), false),
            (status(Staged, "1.26.0", "1.26.1"), false),
            (status(Available, "1.26.0", ""), false),
            (status(Idle, "1.26.0", ""), false),
            (Status { staged: Some(other_variant), ..status(Ready, "1.26.0", "") }, false),
        ] {
            let mut script = Script::new();
            script.read(Some(record(boot, attempts)), stamp(1));
            script.observe(Some(&status));
            let is_pending = script.last_reboot.is_pending(script.now, &status);
            assert_eq!(is_pending, is_it && boot == "here", "{boot} {status:?}");
        }
    }
    // Without a record, and in a boot that is not known.
    let ready = status(Ready, "1.26.0", "1.26.1");
    assert!(!Script::new().read(None, stamp(1)).leaves_alone(&ready));
    let mut script = Script { last_reboot: LastReboot::default(), ..Script::new() };
    assert!(!script.read(Some(record("here", 1)), stamp(1)).leaves_alone(&ready));
}

/// The reboot program was killed before its request. Kured's next reboot command replaces
/// the record by one with the same contents.
#[test]
fn record_protects_what_is_ready_for_an_hour() {
    let ready = status(State::Ready, "1.26.0", "1.26.1");
    let mut script = Script::new();
    for number in 1..=3 {
        for (minutes, leaves_alone) in [(0, true), (59, true), (1, false), (600, false)] {
            script.now += minutes * MINUTE;
            script.read(Some(record("here", 1)), stamp(number));
            assert_eq!(script.leaves_alone(&ready), leaves_alone, "{number} {minutes}");
        }
    }
    // A clock that goes back does not end it, and does not break it.
    script.now = Duration::ZERO;
    script.read(Some(record("here", 1)), stamp(9));
    assert!(script.leaves_alone(&ready));
    script.now = Duration::MAX;
    assert!(!script.leaves_alone(&ready));
}

/// The request was refused, and somebody deactivated the update. Later it is Ready again.
#[test]
fn record_is_void_once_its_update_was_not_ready() {
    let ready = status(State::Ready, "1.26.0", "1.26.1");
    for other in [
        status(State::Staged, "1.26.0", "1.26.1"),
        status(State::Ready, "1.26.0", "1.26.2"),
        status(State::Idle, "1.26.0", ""),
    ] {
        let mut script = Script::new();
        assert!(script.read(Some(record("here", 1)), stamp(1)).leaves_alone(&ready));
        assert!(!script.leaves_alone(&other));
        assert!(!script.read(Some(record("here", 1)), stamp(1)).leaves_alone(&ready));
        // The next reboot command writes a new one.
        assert!(script.read(Some(record("here", 1)), stamp(2)).leaves_alone(&ready));
    }
    // The status is not known while the record is written.
    let mut script = Script::new();
    script.read(Some(record("here", 1)), stamp(1)).observe(None);
    assert!(script.leaves_alone(&ready));
}

const HELD: &str = "held_by_gate version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 running=1.26.0 \
                    attempts=1";

#[test]
fn node_is_held_while_the_old_version_runs_in_a_later_boot() {
    let old = status(State::Available, "1.26.0", "");
    let mut script = Script::new();
    script.read(Some(record("earlier", 1)), stamp(1));
    // The version that runs is not known before the first refresh.
    assert_eq!(script.observe(None), [""; 0]);
    assert_eq!(script.observe(Some(&status(State::Idle, "", ""))), [""; 0]);
    assert_eq!(script.last_reboot.held(), None);
    assert_eq!(script.observe(Some(&old)), [HELD]);
    assert_eq!(script.last_reboot.held(), Some(&record("earlier", 1)));
    // It is reported again after each hour.
    for (minutes, logged) in [(1, &[][..]), (58, &[]), (1, &[HELD]), (59, &[]), (70, &[HELD])] {
        script.now += minutes * MINUTE;
        assert_eq!(script.observe(Some(&old)), logged, "{minutes}");
    }
    // An answer without a version changes nothing.
    assert_eq!(script.observe(None), [""; 0]);
    assert!(script.last_reboot.held().is_some());
    // Also while the version is Ready again, or another one is.
    for staged in ["1.26.1", "1.26.2"] {
        assert_eq!(script.observe(Some(&status(State::Ready, "1.26.0", staged))), [""; 0]);
        assert!(script.last_reboot.held().is_some());
    }
    // The operator releases the node, or the gate removes the record.
    let released = "released_by_gate version=1.26.1 running=1.26.0 after=3h9m";
    assert_eq!(script.read(None, stamp(1)).observe(None), [released]);
    assert_eq!(script.last_reboot.held(), None);
    assert_eq!(script.observe(Some(&old)), [""; 0]);
}

#[test]
fn node_is_not_held_if_another_version_runs() {
    for running in ["1.26.1", "1.26.2", "1.25.0"] {
        let mut script = Script::new();
        script.read(Some(record("earlier", 1)), stamp(1));
        assert_eq!(script.observe(Some(&status(State::Idle, running, ""))), [""; 0]);
        assert_eq!(script.last_reboot.held(), None, "{running}");
    }
}

/// After the gate's own request, the record is of this boot.
#[test]
fn node_stays_held_while_the_gate_reboots_it() {
    let old = status(State::Ready, "1.26.0", "1.26.1");
    let mut script = Script::new();
    script.read(Some(record("earlier", 1)), stamp(1));
    assert_eq!(script.observe(Some(&old)), [HELD]);
    script.read(Some(record("here", 2)), stamp(2));
    assert_eq!(script.observe(Some(&old)), [""; 0]);
    assert_eq!(script.last_reboot.held(), Some(&record("here", 2)));
    assert!(script.last_reboot.is_pending(script.now, &old));
    // A record of Kured's reboot in this boot does not hold the node.
    let mut script = Script::new();
    assert!(script.read(Some(record("here", 1)), stamp(1)).leaves_alone(&old));
    assert_eq!(script.last_reboot.held(), None);
}
