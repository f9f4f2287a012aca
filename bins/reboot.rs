//! Reboots the node through its API: Kured's reboot command.
//!
//! Kured takes any exit status but 0 for a failure: it dies, starts again,
//! makes the node schedulable and lets go of its lock, while the node may be
//! going down. After 0 it waits for the node to go down, for ever, with the
//! lock that keeps all other nodes from being rebooted. So 0 must come whenever
//! the reboot is on its way, and only then.
//!
//! That is not known if the connection breaks after the request was sent. The
//! API server is stopped by a reboot like everything else, and does not come
//! back then; if it crashed, it is there again within seconds. So it is asked
//! again, which does no harm, until it has been away for [`AWAY`], whatever is left
//! of the timeout:
//!
//! - it answers: that counts;
//! - nobody listens for so long: the node is going down, 0;
//! - it breaks off again, as the last of it may do while the node goes down, or as
//!   one does that crashes each time: it is asked again, for as long anew;
//! - it does so until the timeout, or [`BREAKS_MAX`] times, which is for some
//!   seconds at least: 3.
#![no_std]
#![no_main]

#[path = "start/clock.rs"]
#[expect(dead_code, reason = "the date is for the updater")]
mod clock;
mod start;

use bottlerocket_updater::api::status::State;
use bottlerocket_updater::api::{Answer, Call, CallError, Exchange, Failed};
use bottlerocket_updater::cli::exit::{FAILURE, NEGATIVE, SUCCESS};
use bottlerocket_updater::cli::flags::{self, Flags};
use bottlerocket_updater::cli::help::Help;
use bottlerocket_updater::cli::value::Positive;
use bottlerocket_updater::sys::client::{DEFAULT_SOCKET, call, call_until_free};
use bottlerocket_updater::sys::deadline::{Deadline, Wait};
use bottlerocket_updater::sys::stdio::{write_all, write_line};
use bottlerocket_updater::text::duration::HumanDuration;
use core::ffi::CStr;
use core::time::Duration;
use start::{Args, STDOUT, complain};

start::program!(main);

/// How long an API server that broke off stays away if the node is going down: longer
/// than one that crashed, which systemd starts after five seconds (`RestartSec` in
/// Bottlerocket's `apiserver.service`).
const AWAY: Duration = Duration::from_secs(15);
/// How long to wait until it is looked for again.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it may break off again until it is plain that it does not go away.
const BREAKS_MAX: u32 = 20;

const GOING_DOWN: &[u8] =
    b"the API stays away after the request: the node seems to be going down\n";

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
    start::invoke(invocation, &HELP, || {
        let mut deadline = Deadline::after(clock::now, options.timeout.0);
        let mut exchange = Exchange::new(Call::Status);
        match options.if_ready.then(|| refuse(&options, &mut deadline, &mut exchange)).flatten() {
            Some(status) => status,
            None => reboot(&options, &mut deadline, &mut exchange),
        }
    })
}

fn fail(options: &Options, tried: &str, error: CallError) -> u8 {
    let (socket, timeout) = (options.socket.to_bytes(), options.timeout.0);
    complain(&[&Failed { tried, socket, error, timeout }]);
    FAILURE
}

/// Refuses to reboot unless an update is Ready, and says why: the exit status,
/// if that is so.
fn refuse(options: &Options, deadline: &mut Deadline, exchange: &mut Exchange) -> Option<u8> {
    match call_until_free(options.socket, Call::Status, deadline, exchange) {
        Ok(Answer::Status(status)) if status.state == State::Ready => return None,
        Ok(Answer::Status(status)) => {
            write_line(STDOUT, "not rebooting: ", &[&status]);
        }
        Ok(Answer::Uninitialized) => {
            write_all(STDOUT, b"not rebooting: no refresh since the node booted\n");
        }
        Ok(_) => {
            let timeout = HumanDuration(options.timeout.0);
            write_line(STDOUT, "not rebooting: update lock held for ", &[&timeout]);
        }
        Err(error) => return Some(fail(options, "read the update status from", error)),
    }
    Some(NEGATIVE)
}

/// Asks for the reboot, and says what comes of it: the exit status.
fn reboot(options: &Options, deadline: &mut Deadline, exchange: &mut Exchange) -> u8 {
    let tried = "reboot the node through";
    let mut last = match call(options.socket, Call::Reboot, deadline, exchange) {
        Ok(_) => return on_its_way(b"the reboot is on its way\n"),
        Err(error) => match error.as_disconnect() {
            Some(broken) => broken,
            None => return fail(options, tried, error),
        },
    };
    complain(&[&last, &"; looking whether the API comes back"]);
    let end = Deadline::after(clock::now, AWAY.max(deadline.remaining()));
    for _ in 0..BREAKS_MAX {
        let mut away = Deadline::after(clock::now, AWAY);
        // Ends: with the pauses, for which there is so much time; a try has a deadline.
        last = loop {
            // The last try comes when that is over, however long this process was stopped.
            let is_over = match away.pause(PAUSE) {
                Ok(is_in_time) => !is_in_time,
                // If the kernel does not let it wait, it was not looked for that long.
                Err(_) => return fail(options, tried, last),
            };
            // A server that has come back may be busy rebooting.
            let mut again = Deadline::after(clock::now, AWAY.max(end.remaining()));
            match call(options.socket, Call::Reboot, &mut again, exchange) {
                Ok(_) => return on_its_way(b"asked again: the reboot is on its way\n"),
                Err(error) if error.is_stale_socket() => {
                    if is_over {
                        return on_its_way(GOING_DOWN);
                    }
                }
                // It broke off before the request was there.
                Err(CallError::Send(errno)) => break CallError::Send(errno),
                Err(error) => match error.as_disconnect() {
                    Some(broken) => break broken,
                    None => return fail(options, tried, error),
                },
            }
        };
        if end.remaining().is_zero() {
            break;
        }
    }
    fail(options, tried, last)
}

fn on_its_way(line: &[u8]) -> u8 {
    write_all(STDOUT, line);
    SUCCESS
}
