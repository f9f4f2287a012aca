//! The options of a node: its versions, its timing, its failures.

use crate::command::{Command, Ending};
use std::path::PathBuf;
use std::time::Duration;

/// A duration without end: the command runs until a test calls
/// [`Node::finish`](crate::Node::finish).
pub const MANUAL: Duration = Duration::MAX;

/// The version lock that selects the newest version.
pub const LATEST: &str = "latest";

/// The configuration of a node and of its update repository. It may change while the
/// node runs: see [`Node::options`](crate::Node::options).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The running OS version. A boot may change it.
    pub running: String,
    /// The OS variant.
    pub variant: String,
    /// The processor architecture.
    pub arch: String,
    /// The versions that the update repository offers, in any order.
    pub offer: Vec<String>,
    /// The setting `updates.version-lock`: [`LATEST`], or a version with or without a
    /// leading `v`.
    pub version_lock: String,
    /// The `max_version` of the versions in the repository, or `None` for the newest of
    /// them. The server does not offer versions above it. With [`LATEST`], it chooses an
    /// older version than the running one only if the running version is above it.
    pub max_version: Option<String>,
    /// Whether the image has in-place updates. Without them, all commands but the reboot
    /// get 500, and the status stays 404.
    pub in_place_updates: bool,
    /// The versions whose image does not boot.
    pub no_boot: Vec<String>,
    /// How long a refresh takes, or [`MANUAL`].
    pub refresh_time: Duration,
    /// How long a prepare takes, or [`MANUAL`].
    pub prepare_time: Duration,
    /// How long an activate takes, or [`MANUAL`].
    pub activate_time: Duration,
    /// How long a deactivate takes, or [`MANUAL`].
    pub deactivate_time: Duration,
    /// How long the server works on a reboot request, or [`MANUAL`].
    pub reboot_time: Duration,
    /// How long the node still runs after it accepted a reboot, or [`MANUAL`]. The server
    /// answers as before. Then all connections break and the node boots. If this is zero,
    /// the node boots at once, and only the connection of the reboot request stays open.
    pub shutdown_time: Duration,
    /// How long the server takes to read a byte of the last command's `stderr` for the
    /// status. It does nothing else in the meantime.
    pub stderr_byte_time: Duration,
    /// How commands always end. A command without an entry succeeds.
    pub endings: Vec<(Command, Ending)>,
    /// How commands end once, before `endings` applies. Several entries for a command
    /// apply one after the other. [`Node::new`](crate::Node::new) takes the entries.
    pub first_endings: Vec<(Command, Ending)>,
    /// The time limit for the first request on a new connection. After that it gets
    /// 408. If a request takes longer than this, the requests that wait behind it get 408
    /// as well.
    pub request_timeout: Duration,
    /// The time limit for each further request on a connection.
    pub keep_alive: Duration,
    /// A file for the id of the current boot and a newline, in the format of
    /// `/proc/sys/kernel/random/boot_id`. [`Simulator`](crate::Simulator) replaces the
    /// file at each boot, before any client can notice the boot.
    pub boot_id_file: Option<PathBuf>,
    /// A file for the running version, in the format of os-release. It is replaced
    /// right before the boot id file.
    pub os_release_file: Option<PathBuf>,
    /// A file for the node's disk, which outlives the simulator. A simulator that starts
    /// with such a file boots the node, as if its power had been lost, or goes on with
    /// the same boot if the boot id file still has that boot's id.
    pub state_file: Option<PathBuf>,
    /// Whether a reboot ends the pods of the machine. Whoever runs the simulator does that,
    /// after each boot, and calls [`Node::pods_ended`](crate::Node::pods_ended).
    pub ends_pods: bool,
    /// The group of the socket, or `None` for the group of the process.
    pub socket_group: Option<u32>,
    /// How long the node is off in a reboot, or [`MANUAL`] until
    /// [`Node::power_on`](crate::Node::power_on). The server refuses connections.
    pub off_time: Duration,
    /// How long a boot takes, or [`MANUAL`]. The server refuses connections. If the power is
    /// lost in the first boot of a version, the next boot goes back to the old one.
    pub boot_time: Duration,
}

impl Default for Options {
    /// A node that runs 1.26.0, with 1.26.1 in the repository. Commands take 20 ms. The
    /// timeouts are those of the real server, 5 s.
    fn default() -> Options {
        let short = Duration::from_millis(20);
        Options {
            running: "1.26.0".into(),
            variant: "aws-k8s-1.30".into(),
            arch: "x86_64".into(),
            offer: vec!["1.26.1".into()],
            version_lock: LATEST.into(),
            max_version: None,
            in_place_updates: true,
            no_boot: Vec::new(),
            refresh_time: short,
            prepare_time: short,
            activate_time: short,
            deactivate_time: short,
            reboot_time: short,
            shutdown_time: Duration::ZERO,
            stderr_byte_time: Duration::from_nanos(600),
            endings: Vec::new(),
            first_endings: Vec::new(),
            request_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(5),
            boot_id_file: None,
            os_release_file: None,
            state_file: None,
            ends_pods: false,
            socket_group: None,
            off_time: Duration::ZERO,
            boot_time: Duration::ZERO,
        }
    }
}

impl Options {
    /// Takes over all that a configuration file can change.
    pub fn configure(&mut self, from: &Options) {
        let Options { offer, version_lock, max_version, no_boot, endings, .. } = from.clone();
        *self = Options {
            offer,
            version_lock,
            max_version,
            no_boot,
            endings,
            in_place_updates: from.in_place_updates,
            refresh_time: from.refresh_time,
            prepare_time: from.prepare_time,
            activate_time: from.activate_time,
            deactivate_time: from.deactivate_time,
            reboot_time: from.reboot_time,
            shutdown_time: from.shutdown_time,
            boot_time: from.boot_time,
            ..self.clone()
        };
    }

    /// How long the command takes.
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
