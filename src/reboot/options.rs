//! The flags of the reboot program.

use crate::cli::flags::Flags;
use crate::cli::help::Help;
use crate::cli::value::Positive;
use crate::reboot::Settings;
use crate::sys::client::DEFAULT_SOCKET;
use core::ffi::CStr;

crate::flags! {
    /// What the operator has set.
    pub struct Options<'a> {
        socket: &'a CStr = DEFAULT_SOCKET, "-socket PATH", "socket of the node's API";
        timeout: Positive = Positive::seconds(60), "-timeout DURATION",
            "give up after this time; it may take longer while the node may be rebooting";
        if_ready: bool = false, "-if-ready",
            "reboot only if an update is Ready", default "reboot in any state";
        confirm: bool = false, "-confirm",
            "refresh once more, and reboot only if an update is Ready and still chosen; otherwise \
             deactivate it", default "do not refresh";
        activate: bool = false, "-activate",
            "activate an update that is Staged and chosen, and reboot only if it is Ready then; \
             deactivate it again if the node does not reboot", default "do not activate";
        record: &'a CStr = c"", "-record PATH",
            "write to this file which version the node is to boot, for the gate", default "no record";
        boot_id: &'a CStr = c"/proc/sys/kernel/random/boot_id", "-boot-id PATH",
            "file that contains an ID of the current boot";
    }
}

/// The help of the reboot program.
pub const HELP: Help = Help {
    usage: "bottlerocket-reboot [flags]",
    about: "Reboots the Bottlerocket node through its API. Use this program as Kured's \
            reboot command.",
    flags: Options::ROWS,
    notes: &["A DURATION is like 90s, 10m or 1h30m."],
    success: "the reboot is on its way",
    negative: "-if-ready, -confirm or -activate is set, and no update is Ready, an update command \
               is running, or the update that was Ready is no longer chosen",
    failure: "the node could not be rebooted, its state could not be determined, an update could \
              not be activated, or one that is no longer chosen could not be deactivated",
    example: "nsenter -m/proc/1/ns/mnt -- /opt/bottlerocket/bottlerocket-reboot",
};

impl Options<'static> {
    /// How to reboot.
    pub fn settings(&self) -> Settings {
        let Self { socket, timeout, if_ready, confirm, activate, record, .. } = *self;
        let (socket, timeout, record) = (socket.to_bytes(), timeout.0, !record.is_empty());
        Settings { socket, timeout, if_ready, confirm, activate, record }
    }
}

#[cfg(test)]
mod tests;
