//! Reboots the node through its API: Kured's reboot command.
//!
//! `src/reboot.rs` decides which calls to make, and what their answers mean.
#![no_std]
#![no_main]

#[path = "start/clock.rs"]
#[expect(dead_code, reason = "the date is for the updater")]
mod clock;
mod start;

use bottlerocket_updater::api::{Call, Exchange};
use bottlerocket_updater::cli::exit::FAILURE;
use bottlerocket_updater::cli::flags::{self, Flags};
use bottlerocket_updater::cli::help::Help;
use bottlerocket_updater::cli::value::Positive;
use bottlerocket_updater::reboot::{CallTime, End, Reboot, Settings, Step};
use bottlerocket_updater::sys::client::{self, DEFAULT_SOCKET};
use bottlerocket_updater::sys::deadline::{Deadline, sleep_until};
use bottlerocket_updater::sys::stdio::write_line;
use bottlerocket_updater::text::errno::ErrnoText;
use core::ffi::CStr;
use start::{Args, STDOUT, complain};

start::program!(main);

bottlerocket_updater::flags! {
    /// What the operator has set.
    struct Options<'a> {
        socket: &'a CStr = DEFAULT_SOCKET, "-socket PATH", "socket of the node's API";
        timeout: Positive = Positive::seconds(60), "-timeout DURATION",
            "give up after this time; a lost connection may be retried for longer";
        if_ready: bool = false, "-if-ready",
            "reboot only if an update is Ready", default "reboot in any state";
    }
}

const HELP: Help = Help {
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

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let invocation = flags::read(arguments, &mut options, None);
    start::invoke(invocation, &HELP, || reboot(&options))
}

/// Makes the calls of a reboot until its result is known. Returns the exit status.
fn reboot(options: &Options<'static>) -> u8 {
    let Options { socket, timeout, if_ready, .. } = *options;
    let settings = Settings { socket: socket.to_bytes(), timeout: timeout.0, if_ready };
    let mut now = clock::now();
    let (mut reboot, mut step) = Reboot::begin(settings, now);
    let mut exchange = Exchange::new(Call::Status);
    // Ends: when the result is known. Each call has a deadline, and `Reboot` limits
    // the retries.
    loop {
        let (call, pause) = match step {
            Step::Call(call, pause) => (call, pause),
            Step::End(end) => return report(&end),
        };
        let begun = match sleep_until(clock::now, now.saturating_add(pause)) {
            Ok(begun) => begun,
            Err(errno) => {
                complain(&[&"cannot wait: ", &ErrnoText(errno)]);
                return FAILURE;
            }
        };
        let mut deadline = Deadline::at(clock::now, reboot.deadline(begun));
        let answer = client::call(socket, call, &mut deadline, &mut exchange);
        now = clock::now();
        let time = CallTime { begun, ended: now };
        step = reboot.on_answer(time, answer, |warning| complain(&[&warning]));
    }
}

/// Prints the result in one line. Returns the exit status.
fn report(end: &End) -> u8 {
    match end {
        End::Failed(_) => complain(&[end]),
        _ => write_line(STDOUT, "", &[end]),
    }
    end.exit_status()
}
