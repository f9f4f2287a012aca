//! The last init container of Kured's pod: keeps Kured from starting on a node that its
//! last reboot has not updated, because the new version did not boot.
//!
//! `src/gate/` decides whether Kured may start, and when to look again. This program
//! reads the files, makes the calls, and writes the log.
#![no_std]
#![no_main]

#[path = "start/clock.rs"]
#[expect(dead_code, reason = "the time since boot is for the updater")]
mod clock;
mod start;
#[path = "start/stop.rs"]
mod stop;

use bottlerocket_updater::api::status::{OwnedImage, Text};
use bottlerocket_updater::api::{Answer, Call, Exchange, FailedCall};
use bottlerocket_updater::cli::exit::{FAILURE, SUCCESS};
use bottlerocket_updater::cli::flags;
use bottlerocket_updater::gate::event::Event;
use bottlerocket_updater::gate::options::{HELP, Options};
use bottlerocket_updater::gate::os_release;
use bottlerocket_updater::gate::state;
use bottlerocket_updater::gate::wait::{CALL_TIMEOUT, Gate, Host, Step};
use bottlerocket_updater::reboot::{self, CallTime, Reboot};
use bottlerocket_updater::record::{FILE_MAX, RebootRecord};
use bottlerocket_updater::reporting::log::Format;
use bottlerocket_updater::sys::deadline::{Deadline, sleep_until};
use bottlerocket_updater::sys::files::Store;
use bottlerocket_updater::sys::stdio::{has_room_within, write_all, write_line};
use bottlerocket_updater::sys::{client, files};
use bottlerocket_updater::text::errno::ErrnoText;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use rustix::io::Errno;
use start::{Args, STDERR, STDOUT, complain};

start::program!(main);

/// How long the gate tries to request a reboot.
const REBOOT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long `-release` waits for the status, which it reads only for a warning.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The format of the log. The signal handler needs it, which gets no arguments.
static IS_JSON: AtomicBool = AtomicBool::new(false);

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let invocation = flags::read(arguments, &mut options, None);
    start::invoke(invocation, &HELP, || {
        if options.release {
            return release(&options);
        }
        IS_JSON.store(options.log_format == Format::Json, Relaxed);
        stop::at_once(stop);
        wait(&options)
    })
}

/// Waits until Kured may start. Returns the exit status.
fn wait(options: &Options<'static>) -> u8 {
    let mut now = clock::now();
    let mut gate = Gate::begin(options.settings(), now);
    let boot = read_boot_id(options);
    let running = read_version(options);
    let mut exchange = Exchange::new(Call::Status);
    // Ends: when Kured may start, or when the socket is unreachable for too long, which
    // may be never: a node that does not boot a version waits until an operator decides.
    // Each turn waits, and each call has a deadline.
    loop {
        let (record, unreadable) = match read_record(options) {
            Ok(record) => (record, false),
            Err(error) => {
                report_unreadable("read the record", options.record, error);
                (None, true)
            }
        };
        let failed = record.as_ref().and_then(|record| read_failed(options, record));
        let host = Host {
            record: record.as_ref(),
            unreadable,
            boot: boot.as_deref(),
            running: running.as_deref(),
            failed: failed.as_ref().map(|image| image.image()),
            socket: options.socket.to_bytes(),
        };
        let mut step = gate.on_record(now, &host, &mut |event| log(&event));
        let answer;
        if step == Step::ReadStatus {
            let mut deadline = Deadline::after(clock::now, CALL_TIMEOUT);
            answer = client::call_once(options.socket, Call::Status, &mut deadline, &mut exchange);
            now = clock::now();
            step = gate.on_answer(now, &host, &answer, &mut |event| log(&event));
        }
        let pause = match (step, &record, &boot) {
            (Step::Open(opening), ..) => {
                if opening.removes_record() || unreadable {
                    remove_record(options);
                }
                return SUCCESS;
            }
            (Step::GiveUp, ..) => return FAILURE,
            (Step::Reboot(image), Some(record), Some(boot)) => {
                let image = OwnedImage::new(image);
                let saved = request_reboot(options, record, boot, &image);
                now = clock::now();
                match saved {
                    Ok(()) => gate.on_reboot(now),
                    Err(()) => gate.on_unsaved(now),
                }
                options.test_interval.0
            }
            (Step::TakeBack, Some(record), _) => {
                if !save_record(options, &record.taken_back()) {
                    gate.on_unsaved(now);
                }
                options.test_interval.0
            }
            (Step::Wait(pause), ..) => pause,
            // There is no other step without a record, and none that asks again.
            (Step::ReadStatus | Step::Reboot(_) | Step::TakeBack, ..) => return FAILURE,
        };
        now = match sleep_until(clock::now, now.saturating_add(pause)) {
            Ok(later) => later,
            Err(error) => {
                log(&Event::WaitFailed { error });
                return FAILURE;
            }
        };
    }
}

/// Requests the reboot into `image`, which did not boot, after the record says so.
///
/// # Errors
///
/// The record could not be written. Then nothing is requested: the attempt would not
/// be counted.
fn request_reboot(
    options: &Options<'static>,
    record: &RebootRecord,
    boot: &str,
    image: &OwnedImage,
) -> Result<(), ()> {
    let settings = reboot::Settings {
        socket: options.socket.to_bytes(),
        timeout: REBOOT_TIMEOUT,
        if_ready: true,
        confirm: true,
        activate: false,
        record: true,
    };
    let (mut now, mut pause) = (clock::now(), Duration::ZERO);
    let (mut reboot, mut call) = Reboot::begin(settings, now);
    let mut exchange = Exchange::new(Call::Status);
    // Ends: when the result is known. Each call has a deadline, and `Reboot` limits
    // the retries.
    loop {
        let begun = match sleep_until(clock::now, now.saturating_add(pause)) {
            Ok(begun) => begun,
            Err(error) => {
                log(&Event::WaitFailed { error });
                return Ok(());
            }
        };
        let mut deadline = Deadline::at(clock::now, reboot.deadline(begun));
        let answer = client::call_once(options.socket, call, &mut deadline, &mut exchange);
        now = clock::now();
        let time = CallTime { begun, ended: now };
        match reboot.on_answer(time, &answer, &mut |warning| log(&Event::RebootWarning(warning))) {
            reboot::Step::Call(next, after) => (call, pause) = (next, after),
            // The record of an earlier request in this boot counts this attempt already.
            reboot::Step::Record if record.boot == boot => {
                (call, pause) = (Call::Reboot, Duration::ZERO);
            }
            reboot::Step::Record => {
                // An operator may have released the node meanwhile.
                let is_released = matches!(read_record(options), Ok(None));
                let again = RebootRecord { image: image.clone(), ..record.again(boot) };
                if is_released || !save_record(options, &again) {
                    return Err(());
                }
                (call, pause, now) = (Call::Reboot, Duration::ZERO, clock::now());
            }
            // Only with `Settings::activate`, which is not set above.
            reboot::Step::RemoveRecord => return Ok(()),
            reboot::Step::End(end) if end.exit_status() == SUCCESS => {
                log(&Event::RebootRequested(end));
                return Ok(());
            }
            reboot::Step::End(end) => {
                log(&Event::RebootFailed(end));
                if reboot.voids_record(&end) && !matches!(read_record(options), Ok(None)) {
                    let is_counted = record.boot == boot;
                    let before = if is_counted { record.taken_back() } else { record.clone() };
                    save_record(options, &before);
                }
                return Ok(());
            }
        }
    }
}

/// Removes the record, so that a gate that waits lets Kured start. Returns the exit
/// status.
fn release(options: &Options<'static>) -> u8 {
    let record = read_record(options);
    match files::remove(options.record) {
        Ok(true) => {}
        Ok(false) => {
            write_line!(STDOUT, "there is no record at ", options.record, ": nothing is held");
            return SUCCESS;
        }
        Err(errno) => {
            complain(&[&"cannot remove ", &options.record, &": ", &ErrnoText(errno)]);
            return FAILURE;
        }
    }
    let Ok(Some(record)) = record else {
        write_line!(STDOUT, "released: removed a damaged record");
        return SUCCESS;
    };
    let version = &record.image.version.as_str();
    write_line!(STDOUT, "released: removed the record of the reboot to ", version);
    let mut exchange = Exchange::new(Call::Status);
    let mut deadline = Deadline::after(clock::now, RELEASE_TIMEOUT);
    let look = "; check whether this version is still chosen: apiclient get updates/status";
    match client::call_once(options.socket, Call::Status, &mut deadline, &mut exchange) {
        Ok(Answer::Status(status)) if status.chosen == Some(record.image.image()) => {
            let danger =
                ": this node may boot it again, and each node that is Ready with it is drained";
            let advice = "; first lock all nodes to another version (updates.version-lock)";
            complain(&[&"warning: the node still chooses ", version, &danger, &advice]);
        }
        Ok(Answer::Status(_)) => {}
        Ok(_) => complain(&[&"warning: the status is not known now", &look]),
        Err(error) => {
            let (tried, socket) = ("read the update status from", options.socket.to_bytes());
            let failed = FailedCall { tried, socket, error, timeout: RELEASE_TIMEOUT };
            complain(&[&"warning: ", &failed, &look]);
        }
    }
    SUCCESS
}

/// The id of this boot.
fn read_boot_id(options: &Options) -> Option<Text> {
    match files::boot_id(options.boot_id) {
        Ok(boot) => Some(boot),
        Err(errno) => {
            report_unreadable("read the boot id", options.boot_id, Some(errno));
            None
        }
    }
}

/// The version that runs.
fn read_version(options: &Options) -> Option<Text> {
    // One byte more than any file that is read.
    let mut buffer = [0; os_release::FILE_MAX + 1];
    let path = options.os_release;
    let error = match files::load(path, &mut buffer) {
        Ok(None) => Some(Errno::NOENT),
        Ok(Some(file)) => match os_release::version(file) {
            Some(version) if file.len() <= os_release::FILE_MAX => return Some(version),
            _ => None,
        },
        Err(errno) => Some(errno),
    };
    log(&Event::VersionUnreadable { path: path.to_bytes(), error });
    None
}

/// The record, or `None` if there is none.
///
/// # Errors
///
/// The kernel's error, or `None` if the record is damaged.
fn read_record(options: &Options) -> Result<Option<RebootRecord>, Option<Errno>> {
    // One byte more than any record has.
    let mut buffer = [0; FILE_MAX + 1];
    let Some(file) = files::load(options.record, &mut buffer).map_err(Some)? else {
        return Ok(None);
    };
    RebootRecord::read(file).map(Some).map_err(|_| None)
}

/// The image that did not boot, by the updater's state, if that can be read.
fn read_failed(options: &Options, record: &RebootRecord) -> Option<OwnedImage> {
    let mut buffer = [0; state::FILE_MAX];
    let store = Store::open(options.state_dir).ok()?;
    state::failed_image(store.load(&mut buffer).ok()?, record)
}

/// Replaces the record. Returns whether that worked.
fn save_record(options: &Options, record: &RebootRecord) -> bool {
    let saved = files::replace(options.record, &record.write());
    if let Err(error) = saved {
        let path = options.record.to_bytes();
        log(&Event::RecordNotSaved { tried: "write the record", path, error });
    }
    saved.is_ok()
}

/// Removes the record.
fn remove_record(options: &Options) {
    if let Err(error) = files::remove(options.record) {
        let path = options.record.to_bytes();
        log(&Event::RecordNotSaved { tried: "remove the record", path, error });
    }
}

fn report_unreadable(tried: &'static str, path: &CStr, error: Option<Errno>) {
    log(&Event::RecordUnreadable { tried, path: path.to_bytes(), error });
}

/// Logs an event.
fn log(event: &Event) {
    let format = if IS_JSON.load(Relaxed) { Format::Json } else { Format::Logfmt };
    write_all(STDERR, event.record(format, clock::utc()).finish());
}

/// Exits because of a signal. An init container that ends with 0 would let Kured start.
extern "C" fn stop(signal: c_int) -> ! {
    let name = if signal == stop::SIGINT { "SIGINT" } else { "SIGTERM" };
    // The program must not wait until its log is read.
    if has_room_within(STDERR, Duration::ZERO) {
        log(&Event::Stopped { signal: name });
    }
    start::exit(FAILURE)
}
