//! The options of a node.

use crate::command::{Command, Ending};
use std::path::PathBuf;
use std::time::Duration;

/// A running time without end: the command runs until [`Node::finish`].
pub const MANUAL: Duration = Duration::MAX;

/// The version lock that means "whatever is newest".
pub const LATEST: &str = "latest";

/// The node and its surroundings. All of it may change while the node runs:
/// see [`Node::options`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The running OS version. A boot changes it.
    pub running: String,
    /// The OS variant.
    pub variant: String,
    /// The processor.
    pub arch: String,
    /// Versions on offer, in any order.
    pub offer: Vec<String>,
    /// The setting `updates.version-lock`: [`LATEST`] or one version.
    pub version_lock: String,
    /// Versions whose image does not boot.
    pub no_boot: Vec<String>,
    /// How long a refresh takes, or [`MANUAL`].
    pub refresh_time: Duration,
    /// How long a prepare takes, or [`MANUAL`].
    pub prepare_time: Duration,
    /// How long an activate takes, or [`MANUAL`].
    pub activate_time: Duration,
    /// How long a deactivate takes, or [`MANUAL`].
    pub deactivate_time: Duration,
    /// How long the server is stuck in a reboot request, or [`MANUAL`].
    pub reboot_time: Duration,
    /// Commands that always end otherwise than with success.
    pub endings: Vec<(Command, Ending)>,
    /// How long a new connection has to send its first request before it
    /// gets 408.
    pub request_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// A file that holds the id of the current boot and a newline, as
    /// `/proc/sys/kernel/random/boot_id` does. [`Simulator`](crate::Simulator)
    /// replaces it at each boot, before anything can be seen of that.
    pub boot_id_file: Option<PathBuf>,
}

impl Default for Options {
    /// A node that runs 1.26.0 and is offered 1.26.1, with commands that take
    /// 20 ms, and the timeouts of the real server, 5 s.
    fn default() -> Options {
        let short = Duration::from_millis(20);
        Options {
            running: "1.26.0".into(),
            variant: "aws-k8s-1.30".into(),
            arch: "x86_64".into(),
            offer: vec!["1.26.1".into()],
            version_lock: LATEST.into(),
            no_boot: Vec::new(),
            refresh_time: short,
            prepare_time: short,
            activate_time: short,
            deactivate_time: short,
            reboot_time: short,
            endings: Vec::new(),
            request_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(5),
            boot_id_file: None,
        }
    }
}

impl Options {
    /// How long the command takes, to read or to change.
    pub fn time(&mut self, command: Command) -> &mut Duration {
        match command {
            Command::Refresh => &mut self.refresh_time,
            Command::Prepare => &mut self.prepare_time,
            Command::Activate => &mut self.activate_time,
            Command::Deactivate => &mut self.deactivate_time,
            Command::Reboot => &mut self.reboot_time,
        }
    }
}
