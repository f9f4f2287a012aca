//! The flags of the gate.

use crate::cli::flags::Flags;
use crate::cli::help::Help;
use crate::cli::value::{BootAttempts, DurationOrNever, Positive};
use crate::gate::wait::Settings;
use crate::record;
use crate::reporting::log::Format;
use crate::sys::client::DEFAULT_SOCKET;
use core::ffi::CStr;
use core::time::Duration;

crate::flags! {
    /// What the operator has set.
    pub struct Options<'a> {
        record: &'a CStr = record::DEFAULT_PATH, "-record PATH",
            "file that the reboot program leaves before it reboots the node";
        boot_id: &'a CStr = c"/proc/sys/kernel/random/boot_id", "-boot-id PATH",
            "file that contains an ID of the current boot";
        os_release: &'a CStr = c"/usr/lib/os-release", "-os-release PATH",
            "file of the host that contains the version that runs";
        state_dir: &'a CStr = c"", "-state-dir DIR",
            "state directory of the updater; its file says which version was activated last, if \
             that is not the one in the record",
            default "go by the record";
        socket: &'a CStr = DEFAULT_SOCKET, "-socket PATH", "socket of the node's API";
        boot_attempts: BootAttempts = BootAttempts(2), "-boot-attempts COUNT",
            "reboot the node once more if the version that did not boot is Ready again, until \
             it has failed to boot this often";
        max_wait: DurationOrNever = DurationOrNever(None), "-max-wait DURATION",
            "let Kured start after this time in any case; or never";
        give_up: Duration = Duration::from_secs(5 * 60), "-give-up DURATION",
            "exit if the socket is missing or refused for longer than this time";
        log_format: Format = Format::Logfmt, "-log-format FORMAT", "logfmt or json";
        release: bool = false, "-release",
            "remove the record, so that a gate that waits lets Kured start; then exit",
            default "wait";
        test_interval: Positive = Positive::seconds(5), "-test-interval DURATION",
            "time between two looks at the record and the API; for tests";
    }
}

/// The help of the gate.
pub const HELP: Help = Help {
    usage: "bottlerocket-gate [flags]",
    about: "Keeps Kured from starting on a node whose new version did not boot. Until Kured \
            starts, it keeps its lock, and drains no other node for this version. Use this \
            program as the last init container of Kured's pod.",
    flags: Options::ROWS,
    notes: &[
        "A DURATION is like 90s, 10m or 1h30m.",
        "The gate opens if another version than the one that failed is Ready, if no version is \
         chosen any more, or if it is released: run bottlerocket-gate -release in its container.",
    ],
    success: "Kured may start; with -release, there is no record any more",
    negative: "",
    failure: "a signal stopped the gate, the socket was missing or refused for longer than \
              -give-up, or with -release the record could not be removed",
    example: "bottlerocket-gate -max-wait 4h",
};

impl Options<'static> {
    /// How to wait.
    pub fn settings(&self) -> Settings {
        Settings {
            interval: self.test_interval.0,
            give_up: self.give_up,
            max_wait: self.max_wait.0,
            boot_attempts: self.boot_attempts.0,
        }
    }
}

#[cfg(test)]
mod tests;
