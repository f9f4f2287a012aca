//! Brings the node to Ready whenever an update is on offer, and keeps looking:
//! the daemon that runs on every node.
#![no_std]
#![no_main]

mod start;
#[path = "start/stop.rs"]
mod stop;

use bottlerocket_updater::api::{Call, Exchange};
use bottlerocket_updater::cycle::{End, Settings};
use bottlerocket_updater::daemon::{Daemon, Next, Schedule};
use bottlerocket_updater::event::Event;
use bottlerocket_updater::excerpt::Shown;
use bottlerocket_updater::exit::{FAILED, YES};
use bottlerocket_updater::flags::{self, Flag, Value};
use bottlerocket_updater::log::{Format, Record};
use bottlerocket_updater::unix::{self, DEFAULT_SOCKET, Deadline};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use start::{Args, STDERR};

start::program!(main);

/// How long one call may take. The API answers in milliseconds, unless it is
/// rebooting the node.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest jitter that is not set by the operator.
const JITTER_MAX: Duration = Duration::from_secs(60);
/// A duration that no operator can set.
const UNSET: Duration = Duration::MAX;

/// How to log, and what a signal means: for the signal handler, which is given
/// nothing else.
static LOG_JSON: AtomicBool = AtomicBool::new(false);
static ONE_TIME: AtomicBool = AtomicBool::new(false);

const HELP: &str = "\
Usage: bottlerocket-updater [flags]

Keeps a Bottlerocket node ready for its next version: refreshes, prepares and
activates updates through the node's API, and leaves the reboot to Kured.

Flags:
  -socket PATH           socket of the node's API (default /run/api.sock)
  -one-time              one cycle, at once, then exit (default: a daemon)
  -interval D            time between two cycles (default 10m)
  -jitter D              spread start and interval by up to this; 0s for not at
                         all (default a tenth of the interval, at most 60s)
  -give-up D             exit if the socket is refused or missing for so long
                         (default 5m)
  -refresh-timeout D     how long a refresh may take (default 60s)
  -prepare-timeout D     how long a prepare may take (default 30m)
  -activate-timeout D    how long an activate may take (default 60s)
  -deactivate-timeout D  how long a deactivate may take (default 60s)
  -refresh-ready         when Ready, go on looking, and replace the update if
                         another version is chosen (default: hands off)
  -log-format FORMAT     logfmt or json (default logfmt)
  -h, -help              show this
  -version               show the version

Durations are written like 90s, 10m or 1h30m.

Exit status:
  0  -one-time: the node is Ready or has nothing to do; daemon: asked to stop
  2  the command line is wrong
  3  -one-time: the cycle failed, or was stopped; daemon: gave up on the socket

Example:
  bottlerocket-updater -one-time
";

fn main(arguments: Args) -> u8 {
    let mut socket = DEFAULT_SOCKET;
    let mut schedule = Schedule {
        once: false,
        interval: Duration::from_secs(600),
        jitter: UNSET,
        give_up: Duration::from_secs(300),
    };
    let mut settings = Settings::default();
    let mut json = false;
    let [refresh, prepare, activate, deactivate] = &mut settings.timeouts;
    let mut flags = [
        Flag("socket", Value::Path(&mut socket)),
        Flag("one-time", Value::Switch(&mut schedule.once)),
        Flag("interval", Value::Positive(&mut schedule.interval)),
        Flag("jitter", Value::Duration(&mut schedule.jitter)),
        Flag("give-up", Value::Duration(&mut schedule.give_up)),
        Flag("refresh-timeout", Value::Positive(refresh)),
        Flag("prepare-timeout", Value::Positive(prepare)),
        Flag("activate-timeout", Value::Positive(activate)),
        Flag("deactivate-timeout", Value::Positive(deactivate)),
        Flag("refresh-ready", Value::Switch(&mut settings.refresh_ready)),
        Flag("log-format", Value::Either(&mut json, "logfmt", "json")),
    ];
    start::invoke(flags::read(arguments, &mut flags, None), HELP, || {
        if schedule.jitter == UNSET {
            schedule.jitter = (schedule.interval / 10).min(JITTER_MAX);
        }
        LOG_JSON.store(json, Relaxed);
        ONE_TIME.store(schedule.once, Relaxed);
        stop::at_once(stop);
        match update(socket, settings, schedule) {
            End::Good => YES,
            End::Failed | End::NoAnswer => FAILED,
        }
    })
}

/// Makes the calls that the daemon asks for, when it asks for them, until it
/// ends.
fn update(socket: &'static [u8], settings: Settings, schedule: Schedule) -> End {
    if !schedule.once {
        log(Event::Started(socket, schedule.interval), None);
    }
    let mut exchange = Exchange::new(Call::Status);
    let (mut daemon, mut next) = Daemon::begin(settings, schedule, unix::random());
    loop {
        match next {
            Next::Call(call, pause) => {
                unix::sleep(pause);
                let answer = Deadline::after(CALL_TIMEOUT)
                    .and_then(|deadline| unix::call(socket, call, &deadline, &mut exchange));
                next = daemon.answered(unix::now(), call, &answer, &mut |event| {
                    // A run of one cycle has no other line that names it.
                    let about = matches!(event, Event::ApiLost(..)).then_some(socket);
                    log(event, about);
                });
            }
            Next::End(end) => return end,
        }
    }
}

/// Tells of an event, and of the socket that it is about.
fn log(event: Event, socket: Option<&[u8]>) {
    let format = if LOG_JSON.load(Relaxed) { Format::Json } else { Format::Logfmt };
    let (level, summary) = event.summary();
    let mut record = Record::new(format, unix::utc(), level, summary);
    event.describe(&mut record);
    if let Some(socket) = socket {
        record.field("socket", &Shown(socket));
    }
    unix::write_all(STDERR, record.finish());
}

/// Ends the program, because it was asked to. What the node is doing goes on,
/// and the next start finds it.
extern "C" fn stop(signal: core::ffi::c_int) -> ! {
    let name = if signal == stop::SIGINT { "SIGINT" } else { "SIGTERM" };
    if stop::has_room(STDERR) {
        log(Event::Stopped(name), None);
    }
    start::exit(if ONE_TIME.load(Relaxed) { FAILED } else { YES })
}
