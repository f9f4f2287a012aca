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
    negative: "-if-ready is set, and no update is Ready or an update command is running",
    failure: "the node could not be rebooted, or its state could not be determined",
    example: "nsenter -m/proc/1/ns/mnt -- /opt/bottlerocket/bottlerocket-reboot",
};

impl Options<'static> {
    /// How to reboot.
    pub fn settings(&self) -> Settings {
        let Self { socket, timeout, if_ready, .. } = *self;
        Settings { socket: socket.to_bytes(), timeout: timeout.0, if_ready }
    }
}

#[cfg(test)]
mod tests;
