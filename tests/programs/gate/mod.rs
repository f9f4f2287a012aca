//! The gate against a simulated node: exit status 0 lets Kured start.
//!
//! What depends on time is tested on a scripted clock, in `src/gate/wait/tests.rs`.

// Hostile files, and answers that no API should give.
mod hostile;
// What opens the gate, and what keeps it closed.
mod openings;
// Sockets, signals, and -release.
mod process;
// The second try of a version that did not boot.
mod second_try;

use crate::common::daemon::{AT_ONCE, Running};
use crate::common::records::{Format, fields};
use crate::common::{Directory, Node, Ran, run_within};
use bottlerocket_simulator::Command::{Activate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::Options;
use bottlerocket_updater::api::status::Image;
use bottlerocket_updater::record::RebootRecord;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const GET: &str = "GET /updates/status";
const POST: &str = "POST /actions/reboot";

/// Each event of the gate: its level, its message, and its other fields.
pub const EVENTS: [(&str, &str, &str, &str); 14] = [
    ("opened", "info", "Kured may start", "reason version variant arch running next waited"),
    (
        "held_by_gate",
        "error",
        "the version did not boot, and the gate keeps Kured from starting on this node",
        "version variant arch running attempts state chosen waited until",
    ),
    (
        "trying_again",
        "info",
        "the version that did not boot is Ready again; rebooting the node into it once more",
        "version variant arch running failed_boots",
    ),
    ("reboot_warning", "error", "a problem while requesting the reboot; going on", "warning"),
    ("reboot_requested", "info", "the gate has requested the reboot", "result"),
    (
        "reboot_failed",
        "error",
        "the reboot failed; it is tried again in ten minutes if the version is still Ready",
        "result",
    ),
    (
        "record_unreadable",
        "error",
        "cannot read the record of the last reboot; continuing without it",
        "tried path error",
    ),
    (
        "version_unreadable",
        "error",
        "cannot read which version runs; continuing without it",
        "path error",
    ),
    (
        "record_not_saved",
        "error",
        "cannot change the record of the last reboot; if the gate holds the node by mistake, run bottlerocket-gate -release",
        "tried path error",
    ),
    ("api_lost", "error", "the API is unavailable", "call error socket"),
    ("api_back", "info", "the API is available again", "after"),
    (
        "gave_up",
        "error",
        "the socket is unreachable; exiting so that a restarted container mounts a new one",
        "after error",
    ),
    ("wait_failed", "error", "cannot wait; exiting", "error"),
    ("stopped", "info", "stopped", "signal"),
];

/// The value of `until`.
const UNTIL: &str = "another version is Ready, none is chosen any more, or an operator runs in \
                     this container: /usr/local/bin/bottlerocket-gate -release";

/// The event of a log line and its fields, without the message. Durations are `_`.
#[track_caller]
fn short(format: Format, line: &str) -> String {
    let fields = fields(format, line);
    let get = |key: &str| fields.iter().find(|(other, _)| other == key).map(|(_, value)| value);
    let keys: Vec<_> = fields.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys[..4], ["time", "level", "event", "msg"], "{line}");
    let event = get("event").unwrap();
    let Some(known) = EVENTS.iter().find(|known| known.0 == event) else {
        panic!("unknown event: {line}");
    };
    assert_eq!((get("level").unwrap().as_str(), get("msg").unwrap().as_str()), (known.1, known.2));
    // What is not known is left out of the record of an opening.
    let optional = ["version", "variant", "arch", "running", "next"];
    let is_there =
        |key: &&str| !(event == "opened" && optional.contains(key)) || keys.contains(key);
    assert_eq!(keys[4..], known.3.split(' ').filter(is_there).collect::<Vec<_>>(), "{line}");
    let mut short = event.clone();
    for (key, value) in &fields[4..] {
        match key.as_str() {
            "variant" => assert_eq!(value, "aws-k8s-1.30"),
            "arch" => assert_eq!(value, "x86_64"),
            "until" => assert_eq!(value, UNTIL),
            "waited" | "after" => short.push_str(&format!(" {key}=_")),
            _ => short.push_str(&format!(" {key}={value}")),
        }
    }
    short
}

/// A node with the files that the gate reads.
struct Host {
    node: Node,
    directory: Directory,
}

impl Host {
    /// A node on which 1.26.0 runs, and for which 1.26.1 is on offer.
    fn new() -> Self {
        let directory = Directory::new();
        let boot_id_file = Some(directory.path().join("boot_id"));
        let os_release_file = Some(directory.path().join("os-release"));
        let options = Options { boot_id_file, os_release_file, ..Node::instant() };
        Self { node: Node::start(options), directory }
    }

    /// A node that was rebooted into 1.26.1, which did not boot.
    fn rolled_back(attempts: u64) -> Self {
        let host = Self::new();
        host.node.change(|node, _| node.options.no_boot.push("1.26.1".into()));
        host.reboot(attempts);
        host
    }

    /// Prepares and activates what is chosen.
    fn make_ready(&self) {
        for command in [Refresh, Prepare, Activate] {
            self.node.run(command).unwrap();
        }
    }

    /// Writes the record, as the reboot program does, and reboots into what is chosen.
    fn reboot(&self, attempts: u64) {
        self.make_ready();
        self.write_record(&self.boot(), attempts);
        self.node.run(Reboot).unwrap();
    }

    fn boot(&self) -> String {
        self.node.look(|view| view.node.boot_id())
    }

    /// Writes the record of a reboot from 1.26.0 to 1.26.1 in this boot.
    fn write_record(&self, boot: &str, attempts: u64) {
        let image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };
        let record = RebootRecord { attempts, ..RebootRecord::new(boot, "1.26.0", image) };
        fs::write(self.path("record"), record.write()).unwrap();
    }

    fn record(&self) -> Option<RebootRecord> {
        let file = fs::read(self.path("record")).ok()?;
        Some(RebootRecord::read(&file).unwrap())
    }

    fn offer(&self, versions: &[&str]) {
        let versions = versions.iter().map(|version| version.to_string()).collect();
        self.node.change(|node, _| node.options.offer = versions);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self) -> Command {
        let mut command = self.node.program("gate");
        for (flag, name) in
            [("-record", "record"), ("-boot-id", "boot_id"), ("-os-release", "os-release")]
        {
            command.arg(flag).arg(self.path(name));
        }
        command.arg("-test-interval=20ms");
        command
    }

    /// Runs the gate, which must not wait, with more flags.
    #[track_caller]
    fn run(&self, flags: &[&str]) -> Ran {
        run_within(AT_ONCE, self.program().args(flags))
    }

    /// The events of a run that ends by itself.
    #[track_caller]
    fn events(&self, status: i32, flags: &[&str]) -> Vec<String> {
        let ran = self.run(flags);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(status), ""), "{ran:?}");
        ran.stderr.lines().map(|line| self.mask(&short(Format::Logfmt, line))).collect()
    }

    /// Text with the paths as `DIR` and `SOCKET`.
    fn mask(&self, text: &str) -> String {
        let directory = self.directory.path().to_str().unwrap();
        self.node.mask(text).replace(directory, "DIR")
    }

    /// Starts the gate, and waits until it holds the node.
    #[track_caller]
    fn hold(&self, flags: &[&str]) -> Running {
        let mut gate = Running::start(self.program().args(flags));
        gate.wait_for("event=held_by_gate");
        gate
    }

    /// Checks that the gate goes on waiting: it looks twice more.
    #[track_caller]
    fn still_holds(&self, gate: &mut Running) {
        let looks = self.node.requested().len();
        let looked =
            self.node.wait_until(Duration::from_secs(30), |view| view.requests.len() >= looks + 2);
        assert!(looked && gate.child.try_wait().unwrap().is_none(), "{:?}", gate.log);
    }

    /// Waits until the gate ends. Returns its exit status and its events.
    #[track_caller]
    fn end(&self, mut gate: Running) -> (Option<i32>, Vec<String>) {
        let status = gate.status();
        let events = gate.log.iter().map(|line| self.mask(&short(gate.format, line))).collect();
        (status, events)
    }
}

/// The event of a hold.
fn held(attempts: u64, state: &str, chosen: &str) -> String {
    let fields = format!("attempts={attempts} state={state} chosen={chosen} waited=_");
    format!("held_by_gate version=1.26.1 running=1.26.0 {fields}")
}

/// The event of an opening after a failed boot.
fn opened(reason: &str) -> String {
    format!("opened reason={reason} version=1.26.1 running=1.26.0 waited=_")
}
