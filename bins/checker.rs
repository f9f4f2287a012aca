//! Tells Kured whether the node wants a reboot: exit status 0 says yes.
//!
//! It only reads the update status, unless `-refresh` is given.
#![no_std]
#![no_main]

#[path = "start/clock.rs"]
#[expect(dead_code, reason = "the date is for the updater")]
mod clock;
mod start;

use bottlerocket_updater::api::status::State;
use bottlerocket_updater::api::{Answer, Call, CallError, Command, Exchange, Failed};
use bottlerocket_updater::cli::exit::{FAILURE, NEGATIVE, SUCCESS};
use bottlerocket_updater::cli::flags::{self, Flags, Value};
use bottlerocket_updater::sys::client::{DEFAULT_SOCKET, call, call_until_free};
use bottlerocket_updater::sys::deadline::Deadline;
use bottlerocket_updater::sys::stdio::write_line;
use bottlerocket_updater::text::duration::HumanDuration;
use core::ffi::CStr;
use core::time::Duration;
use start::{Args, STDOUT, complain};

start::program!(main);

const HELP: &str = "\
Usage: bottlerocket-checker [flags]

Tells whether the Bottlerocket node has an update that a reboot will bring.
Made to be Kured's reboot sentinel command.

Flags:
  -socket PATH    socket of the node's API (default /run/api.sock)
  -timeout D      never take longer than this (default 10s)
  -refresh        ask for a refresh afterwards, best effort (default: only read)
  -h, -help       show this
  -version        show the version

Exit status:
  0  yes: the state is Ready, reboot the node
  1  no: another state, no refresh since boot, or an update command running
  2  the command line is wrong
  3  could not find out

Example:
  nsenter -m/proc/1/ns/mnt -- /opt/bottlerocket/bottlerocket-checker
";

struct Options {
    socket: &'static CStr,
    timeout: Duration,
    refresh: bool,
}

impl Flags<'static> for Options {
    const NAMES: &'static str = "socket timeout refresh ";

    fn value(&mut self, number: usize) -> Value<'_, 'static> {
        match number {
            0 => Value::Path(&mut self.socket),
            1 => Value::Positive(&mut self.timeout),
            _ => Value::Switch(&mut self.refresh),
        }
    }
}

fn main(arguments: Args) -> u8 {
    let mut options =
        Options { socket: DEFAULT_SOCKET, timeout: Duration::from_secs(10), refresh: false };
    let asked = flags::read(arguments, &mut options, &mut [], None);
    start::invoke(asked, HELP, || {
        check(&options, &mut Exchange::new(Call::Status)).unwrap_or_else(|error| {
            let Options { socket, timeout, .. } = options;
            let socket = socket.to_bytes();
            let tried = "read the update status from";
            complain(&[&Failed { tried, socket, error, timeout }]);
            FAILURE
        })
    })
}

/// Asks the API, and says what is known in one line: the exit status.
fn check<'x>(options: &Options, exchange: &'x mut Exchange) -> Result<u8, CallError<'x>> {
    let mut deadline = Deadline::after(clock::now, options.timeout);
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
            let timeout = HumanDuration(options.timeout);
            write_line(STDOUT, "no: update lock held for ", &[&timeout]);
            NEGATIVE
        }
    };
    if options.refresh {
        // Whether it works is for the next check to see.
        let refresh = Call::Start(Command::Refresh);
        let _ = call(options.socket, refresh, &mut deadline, &mut Exchange::new(refresh));
    }
    Ok(status)
}
