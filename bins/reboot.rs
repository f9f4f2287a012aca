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
use bottlerocket_updater::cli::flags;
use bottlerocket_updater::reboot::options::{HELP, Options};
use bottlerocket_updater::reboot::{CallTime, End, Reboot, Step};
use bottlerocket_updater::sys::client;
use bottlerocket_updater::sys::deadline::{Deadline, sleep_until};
use bottlerocket_updater::sys::stdio::write_line;
use bottlerocket_updater::text::errno::ErrnoText;
use core::time::Duration;
use start::{Args, STDOUT, complain};

start::program!(main);

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let invocation = flags::read(arguments, &mut options, None);
    start::invoke(invocation, &HELP, || reboot(&options))
}

/// Makes the calls of a reboot until its result is known. Returns the exit status.
fn reboot(options: &Options<'static>) -> u8 {
    let (mut now, mut pause) = (clock::now(), Duration::ZERO);
    let (mut reboot, mut call) = Reboot::begin(options.settings(), now);
    let mut exchange = Exchange::new(Call::Status);
    // Ends: when the result is known. Each call has a deadline, and `Reboot` limits
    // the retries.
    loop {
        let begun = match sleep_until(clock::now, now.saturating_add(pause)) {
            Ok(begun) => begun,
            Err(errno) => {
                complain(&[&"cannot wait: ", &ErrnoText(errno)]);
                return FAILURE;
            }
        };
        let mut deadline = Deadline::at(clock::now, reboot.deadline(begun));
        let answer = client::call_once(options.socket, call, &mut deadline, &mut exchange);
        now = clock::now();
        let time = CallTime { begun, ended: now };
        match reboot.on_answer(time, &answer, |warning| complain(&[&warning])) {
            Step::Call(next, after) => (call, pause) = (next, after),
            Step::End(end) => return report(&end),
        }
    }
}

/// Prints the result in one line. Returns the exit status.
fn report(end: &End) -> u8 {
    match end {
        End::Failed(_) => complain(&[end]),
        _ => write_line!(STDOUT, end),
    }
    end.exit_status()
}
