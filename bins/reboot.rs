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
//! back then; if it crashed, it is there again within seconds. So:
//!
//! - it stays away for [`AWAY`]: the node is going down, 0;
//! - it is there again: it is asked again, which does no harm, and what it says
//!   then counts; a second break does not.
#![no_std]
#![no_main]
#![expect(clippy::result_large_err, reason = "nothing is allocated, so nothing is boxed")]

mod start;

use bottlerocket_updater::api::{Answer, Call, CallError, Failed};
use bottlerocket_updater::duration::Short;
use bottlerocket_updater::exit::{FAILED, NO, YES};
use bottlerocket_updater::flags::{self, Flag, Value};
use bottlerocket_updater::status::State;
use bottlerocket_updater::unix::{
    DEFAULT_SOCKET, Deadline, call, call_until_free, write_all, write_line,
};
use core::time::Duration;
use start::{Args, STDOUT, complain};

start::program!(main);

/// How long an API server that broke off stays away if the node is going down.
const AWAY: Duration = Duration::from_secs(5);
/// How long to wait until it is looked for again.
const PAUSE: Duration = Duration::from_millis(250);

const HELP: &str = "\
Usage: bottlerocket-reboot [flags]

Reboots the Bottlerocket node through its API. Made to be Kured's reboot
command.

Flags:
  -socket PATH    socket of the node's API (default /run/api.sock)
  -timeout D      how long the API may take (default 60s)
  -if-ready       reboot only if an update is Ready (default: in any state)
  -h, -help       show this
  -version        show the version

Exit status:
  0  done: the reboot is on its way
  1  no: -if-ready is given and the node is not Ready
  2  the command line is wrong
  3  could not do it, or could not find out

Example:
  nsenter -m/proc/1/ns/mnt -- /opt/bottlerocket/bottlerocket-reboot
";

struct Options {
    socket: &'static [u8],
    timeout: Duration,
    if_ready: bool,
}

fn main(arguments: Args) -> u8 {
    let mut options =
        Options { socket: DEFAULT_SOCKET, timeout: Duration::from_secs(60), if_ready: false };
    let mut flags = [
        Flag("socket", Value::Path(&mut options.socket)),
        Flag("timeout", Value::Positive(&mut options.timeout)),
        Flag("if-ready", Value::Switch(&mut options.if_ready)),
    ];
    start::invoke(flags::read(arguments, &mut flags, None), HELP, || {
        // What is tried, for the message if it does not work.
        let mut tried = "read the update status from";
        run(&options, &mut tried).unwrap_or_else(|error| {
            let Options { socket, timeout, .. } = options;
            complain(format_args!("{}", Failed { tried, socket, error: &error, timeout }));
            FAILED
        })
    })
}

fn run(options: &Options, tried: &mut &str) -> Result<u8, CallError> {
    let deadline = Deadline::after(options.timeout)?;
    if options.if_ready && !ready(options, &deadline)? {
        return Ok(NO);
    }
    *tried = "reboot the node through";
    reboot(options.socket, &deadline)
}

/// Whether an update is Ready; says so if not.
fn ready(options: &Options, deadline: &Deadline) -> Result<bool, CallError> {
    match call_until_free(options.socket, Call::Status, deadline)? {
        Answer::Status(status) if status.state == State::Ready => return Ok(true),
        Answer::Status(status) => {
            write_line(STDOUT, format_args!("not rebooting: {status}"));
        }
        Answer::NoStatus => {
            write_line(STDOUT, format_args!("not rebooting: no refresh since the node booted"));
        }
        _ => {
            let timeout = Short(options.timeout);
            write_line(
                STDOUT,
                format_args!("not rebooting: update lock held for {timeout} by a command"),
            );
        }
    }
    Ok(false)
}

/// Asks for the reboot, and says what comes of it: the exit status.
fn reboot(socket: &[u8], deadline: &Deadline) -> Result<u8, CallError> {
    match call(socket, Call::Reboot, deadline) {
        Err(error) if error.is_break() => {
            complain(format_args!("{error}; looking whether the API comes back"));
        }
        answer => return answer.map(|_| on_its_way(b"the reboot is on its way\n")),
    }
    let away = Deadline::after(AWAY.min(deadline.remaining()))?;
    while away.pause(PAUSE) {
        match call(socket, Call::Reboot, deadline) {
            Err(error) if error.is_stale_socket() => {}
            answer => {
                return answer.map(|_| on_its_way(b"asked again: the reboot is on its way\n"));
            }
        }
    }
    Ok(on_its_way(b"the API broke off and stays away: the node seems to be going down\n"))
}

fn on_its_way(line: &[u8]) -> u8 {
    write_all(STDOUT, line);
    YES
}
