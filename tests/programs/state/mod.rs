//! The updater's state across boots of a simulated node, and errors of the state file.

// Versions that do not boot: holding them back, retrying them.
mod versions;
// Commands that end while the updater is down.
mod commands;
// The record of a reboot.
mod record;
// The state file: its contents, and errors when it is read or written.
mod file;

use crate::common::daemon::{LONG, Outcome};
use crate::common::records::Format;
use crate::common::{Directory, Node, run};
use bottlerocket_simulator::Command::{Prepare, Reboot};
use bottlerocket_simulator::{Options, View};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A node with a boot id file and a state directory.
struct StatefulNode {
    node: Node,
    directory: Directory,
}

impl StatefulNode {
    fn new(options: Options) -> Self {
        let directory = Directory::new();
        fs::create_dir(directory.path().join("state-dir")).unwrap();
        let boot_id_file = Some(directory.path().join("boot_id"));
        Self { node: Node::start(Options { boot_id_file, ..options }), directory }
    }

    /// A node on which 1.26.1 does not boot.
    fn broken() -> Self {
        Self::new(Options { no_boot: vec!["1.26.1".into()], ..Node::instant() })
    }

    fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state-dir")
    }

    fn file(&self) -> PathBuf {
        self.state_dir().join("state")
    }

    /// The updater without a state directory.
    fn updater_without_state(&self, arguments: &[&str]) -> Command {
        let mut command = self.node.program("updater");
        command.arg("-boot-id").arg(self.directory.path().join("boot_id"));
        command.args(arguments);
        command
    }

    fn updater(&self, arguments: &[&str]) -> Command {
        let mut command = self.updater_without_state(arguments);
        command.arg("-state-dir").arg(self.state_dir());
        command
    }

    /// Runs one cycle, and returns its log.
    #[track_caller]
    fn cycle(&self, arguments: &[&str]) -> Vec<String> {
        summary(&mut self.updater(&["-one-time"]), arguments)
    }

    fn reboot(&self) {
        self.node.run(Reboot).unwrap();
    }

    fn offer(&self, versions: &[&str]) {
        let versions = versions.iter().map(|version| version.to_string()).collect();
        self.node.change(|node, _| node.options.offer = versions);
    }

    /// Waits until there are `count` more requests for the status.
    #[track_caller]
    fn wait_for_status_requests(&self, count: usize) {
        let requests = |view: &View| view.count("GET", "/updates/status");
        let before = self.node.look(|view| requests(view));
        assert!(self.node.wait_until(LONG, |view| requests(view) >= before + count));
    }

    fn prepares(&self) -> usize {
        self.node.look(|view| view.count("POST", Prepare.path()))
    }
}

/// The log of a run that succeeds, or after which an update waits.
#[track_caller]
fn summary(command: &mut Command, arguments: &[&str]) -> Vec<String> {
    let outcome = Outcome::of(run(command.args(arguments)), Format::Logfmt);
    let summary = outcome.summary();
    let held_back = "info: version is held back because it did not boot or was taken back ";
    let waits = |line: &String| line.starts_with(held_back) || line.starts_with(STAGED);
    let status = if summary.iter().any(waits) { 1 } else { 0 };
    assert_eq!(outcome.status, Some(status), "{summary:?}");
    summary
}

const FOUND: &str = "info: update found, preparing it running=1.26.0 version=1.26.1 \
                     variant=aws-k8s-1.30 arch=x86_64";

const PREPARED: &str = "info: prepared version=1.26.1 took=_";

const ACTIVATED: &str = "info: activated version=1.26.1 took=_";

const READY: &str = "info: ready, waiting for the reboot state=Ready next=1.26.1 running=1.26.0 \
                     variant=aws-k8s-1.30 arch=x86_64";

const WHOLE_UPDATE: [&str; 4] = [FOUND, PREPARED, ACTIVATED, READY];

const STAGED: &str = "info: update is staged, not activating it because of -stage-only ";

const ROLLED_BACK: &str = "error: the new version did not boot and the node rolled back \
                           version=1.26.1 variant=aws-k8s-1.30 arch=x86_64 failed_boots=1 \
                           retry_in=24h running=1.26.0";

const HELD_BACK: &str = "info: version is held back because it did not boot or was taken back version=1.26.1 \
                         variant=aws-k8s-1.30 arch=x86_64 failed_boots=1 retry_in=";

#[track_caller]
fn is_held_back(summary: &[String]) {
    let [held] = summary else { panic!("{summary:?}") };
    assert!(held.starts_with(HELD_BACK), "{held}");
}
