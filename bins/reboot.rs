//! Reboots the node through its API: Kured's reboot command.
//!
//! `src/reboot.rs` decides which calls to make, and what their answers mean.
#![no_std]
#![no_main]

#[path = "start/clock.rs"]
#[expect(dead_code, reason = "the date is for the updater")]
mod clock;
mod start;

use bottlerocket_updater::api::{Call, Command, Exchange};
use bottlerocket_updater::cli::exit::FAILURE;
use bottlerocket_updater::cli::flags;
use bottlerocket_updater::reboot::end::End;
use bottlerocket_updater::reboot::options::{HELP, Options};
use bottlerocket_updater::reboot::{CallTime, Reboot, Step};
use bottlerocket_updater::sys::deadline::{Deadline, sleep_until};
use bottlerocket_updater::sys::stdio::write_line;
use bottlerocket_updater::sys::{client, files};
use bottlerocket_updater::text::errno::ErrnoText;
use core::ffi::CStr;
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
        match reboot.on_answer(time, &answer, &mut |warning| complain(&[&warning])) {
            Step::Call(next, after) => (call, pause) = (next, after),
            Step::Record => {
                keep_record(options, &reboot);
                (call, pause) = (Call::Reboot, Duration::ZERO);
                now = clock::now();
            }
            Step::RemoveRecord => {
                remove_record(options.record);
                (call, pause) = (Call::Start(Command::Deactivate), Duration::ZERO);
                now = clock::now();
            }
            Step::End(end) => {
                if !options.record.is_empty() && reboot.voids_record(&end) {
                    remove_record(options.record);
                }
                return report(&end);
            }
        }
    }
}

/// Writes the record of this reboot, or removes an old one. A failure does not keep the
/// node from rebooting.
fn keep_record(options: &Options, reboot: &Reboot) {
    let without = "; rebooting without a record";
    let boot = files::boot_id(options.boot_id);
    let record = match &boot {
        Ok(boot) => reboot.record(boot),
        Err(errno) => {
            let path = &options.boot_id;
            complain(&[
                &"cannot read the boot id from ",
                path,
                &": ",
                &ErrnoText(*errno),
                &without,
            ]);
            None
        }
    };
    let Some(record) = record else { return remove_record(options.record) };
    if let Err(errno) = files::replace(options.record, &record.write()) {
        complain(&[&"cannot write ", &options.record, &": ", &ErrnoText(errno), &without]);
        remove_record(options.record);
    }
}

/// Removes the record, if there is one.
fn remove_record(path: &CStr) {
    if let Err(errno) = files::remove(path) {
        let advice = " (remove it by hand, or it may hold the node after a later boot)";
        complain(&[&"cannot remove the record ", &path, &": ", &ErrnoText(errno), &advice]);
    }
}

/// Prints the result in one line. Returns the exit status.
fn report(end: &End) -> u8 {
    match end {
        End::NotActivated(_) | End::Undone(_) | End::NotDeactivated(_) | End::Failed(_) => {
            complain(&[end]);
        }
        _ => write_line!(STDOUT, end),
    }
    end.exit_status()
}
