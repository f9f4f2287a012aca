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

use bottlerocket_updater::api::{Call, Command, Exchange};
use bottlerocket_updater::checker::{Decision, HELP, Options};
use bottlerocket_updater::cli::flags;
use bottlerocket_updater::sys::client::{call, call_until_free};
use bottlerocket_updater::sys::deadline::Deadline;
use bottlerocket_updater::sys::stdio::write_line;
use start::{Args, STDOUT, complain};

start::program!(main);

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let invocation = flags::read(arguments, &mut options, None);
    start::invoke(invocation, &HELP, || check(&options))
}

/// Reads the status from the API and prints the decision in one line. Returns the
/// exit status.
fn check(options: &Options) -> u8 {
    let mut deadline = Deadline::after(clock::now, options.timeout.0);
    let mut exchange = Exchange::new(Call::Status);
    let answer = call_until_free(options.socket, Call::Status, &mut deadline, &mut exchange);
    let decision = Decision::new(answer, options);
    if let Decision::Unknown(failed) = &decision {
        complain(&[failed]);
        return decision.exit_status();
    }
    write_line!(STDOUT, decision);
    // A refresh would replace the failure in the status, and the next check would say yes.
    if options.refresh && !matches!(decision, Decision::CannotActivate(..)) {
        // An error does not matter: the next check reads the status anyway.
        let refresh = Call::Start(Command::Refresh);
        let _ = call(options.socket, refresh, &mut deadline, &mut Exchange::new(refresh));
    }
    decision.exit_status()
}
