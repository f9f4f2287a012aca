//! Kured's reboot sentinel: exits with 0 if the node must reboot to start an
//! update that is ready.
//!
//! Without `-refresh` the program only reads the update status.
#![no_std]
#![no_main]

#[path = "start/clock.rs"]
#[expect(dead_code, reason = "the date is for the updater")]
mod clock;
mod start;

use bottlerocket_updater::api::status::State;
use bottlerocket_updater::api::{Answer, Call, CallError, Command, Exchange, Failed};
use bottlerocket_updater::cli::exit::{FAILURE, NEGATIVE, SUCCESS};
use bottlerocket_updater::cli::flags::{self, Flags};
use bottlerocket_updater::cli::help::Help;
use bottlerocket_updater::cli::value::Positive;
use bottlerocket_updater::sys::client::{DEFAULT_SOCKET, call, call_until_free};
use bottlerocket_updater::sys::deadline::Deadline;
use bottlerocket_updater::sys::stdio::write_line;
use bottlerocket_updater::text::duration::HumanDuration;
use core::ffi::CStr;
use start::{Args, STDOUT, complain};

start::program!(main);

bottlerocket_updater::flags! {
    /// What the operator has set.
    struct Options<'a> {
        socket: &'a CStr = DEFAULT_SOCKET, "-socket PATH", "socket of the node's API";
        timeout: Positive = Positive::seconds(10), "-timeout DURATION",
            "give up after this time";
        refresh: bool = false, "-refresh",
            "also refresh the node's list of updates after the check; a failed refresh does not \
             change the exit status",
            default "only read the status";
    }
}

const HELP: Help = Help {
    usage: "bottlerocket-checker [flags]",
    about: "Checks whether the Bottlerocket node must reboot to start an update that is ready. \
            Use this program as Kured's reboot sentinel command.",
    flags: Options::ROWS,
    notes: &["A DURATION is like 90s, 10m or 1h30m."],
    success: "an update is Ready; reboot the node",
    negative: "the state is not Ready, the updates have not been refreshed since the node booted, \
               or an update command is running",
    failure: "the state could not be determined",
    example: "nsenter -m/proc/1/ns/mnt -- /opt/bottlerocket/bottlerocket-checker",
};

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let invocation = flags::read(arguments, &mut options, None);
    start::invoke(invocation, &HELP, || {
        check(&options, &mut Exchange::new(Call::Status)).unwrap_or_else(|error| {
            let tried = "read the update status from";
            let (socket, timeout) = (options.socket.to_bytes(), options.timeout.0);
            complain(&[&Failed { tried, socket, error, timeout }]);
            FAILURE
        })
    })
}

/// Reads the status from the API and prints the answer in one line. Returns the
/// exit status.
fn check<'x>(options: &Options, exchange: &'x mut Exchange) -> Result<u8, CallError<'x>> {
    let mut deadline = Deadline::after(clock::now, options.timeout.0);
    let status = match call_until_free(options.socket, Call::Status, &mut deadline, exchange)? {
        Answer::Status(status) if status.state == State::Ready => {
            write_line(STDOUT, "yes: ", &[&status]);
            SUCCESS
        }
        Answer::Status(status) => {
            write_line(STDOUT, "no: ", &[&status]);
            NEGATIVE
        }
        Answer::Uninitialized => {
            write_line(STDOUT, "no: no refresh since the node booted", &[]);
            NEGATIVE
        }
        _ => {
            let timeout = HumanDuration(options.timeout.0);
            write_line(STDOUT, "no: update lock held for ", &[&timeout]);
            NEGATIVE
        }
    };
    if options.refresh {
        // An error does not matter: the next check reads the status anyway.
        let refresh = Call::Start(Command::Refresh);
        let _ = call(options.socket, refresh, &mut deadline, &mut Exchange::new(refresh));
    }
    Ok(status)
}
