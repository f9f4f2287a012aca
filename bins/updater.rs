//! The daemon that runs on every node: prepares and activates each update, so that
//! the next reboot starts it.
//!
//! The library decides what to do and when. This program reads the options, makes
//! the calls, and serves the metrics while it waits.
#![no_std]
#![no_main]

#[path = "start/clock.rs"]
mod clock;
#[path = "start/environment.rs"]
mod environment;
mod start;
#[path = "start/stop.rs"]
mod stop;

use bottlerocket_updater::api::{Call, Exchange};
use bottlerocket_updater::cli::exit::{FAILURE, NEGATIVE, SUCCESS};
use bottlerocket_updater::cli::flags;
use bottlerocket_updater::http::page::Page;
use bottlerocket_updater::sys::client;
use bottlerocket_updater::sys::random::random;
use bottlerocket_updater::sys::server::{EventLoop, Handler, Server};
use bottlerocket_updater::sys::stdio::{has_room_within, write_all, write_line};
use bottlerocket_updater::updater::config::{HELP, Listen, Options};
use bottlerocket_updater::updater::cycle::{End, Now};
use bottlerocket_updater::updater::daemon::{CALL_TIMEOUT, Daemon, Next};
use bottlerocket_updater::updater::event::Event;
use bottlerocket_updater::updater::metrics::Metrics;
use bottlerocket_updater::updater::pages;
use bottlerocket_updater::updater::record_file::RecordFile;
use bottlerocket_updater::updater::reporter::Reporter;
use bottlerocket_updater::updater::serving::Serving;
use bottlerocket_updater::updater::state_file::StateFile;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use environment::Environment;
use start::{Args, STDERR, STDOUT};

start::program!(main);

/// The state that the signal handler needs, which gets no arguments.
static REPORTER: Reporter = Reporter::new();
static ONE_TIME: AtomicBool = AtomicBool::new(false);

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let environment = Environment::beside(&arguments);
    let invocation = options.read(arguments, environment);
    start::invoke(invocation, &HELP, || {
        if options.print_config {
            flags::for_each(&mut options, |flag| write_line!(STDOUT, flag));
            write_line!(STDOUT, options.window_times(clock::utc()));
            return SUCCESS;
        }
        REPORTER.configure(options.log_format, options.log_level);
        ONE_TIME.store(options.one_time, Relaxed);
        stop::at_once(stop);
        match run(&mut options) {
            End::Done => SUCCESS,
            End::Waiting => NEGATIVE,
            End::Failed | End::NoAnswer => FAILURE,
        }
    })
}

/// Runs the daemon, or one cycle, until it ends.
fn run(options: &mut Options<'static>) -> End {
    let socket = options.socket;
    let schedule = options.schedule();
    let mut now = clock::now();
    let mut metrics = Metrics::new(now, schedule.silence_max());
    let mut emit = |event: Event| note(&mut metrics, now, socket, &event);
    if !schedule.once {
        emit(Event::Started { socket: socket.to_bytes(), interval: schedule.interval });
        emit(Event::Configuration { flags: &options.in_force() });
    }
    let listen = |at: &Listen| Server::listen(at.address, at.port);
    let mut serving = Serving::new(options.listen());
    serving.start_if_due(now, listen, &mut emit);
    let Options { state_dir, boot_id, retry_failed_boot, .. } = *options;
    let (mut state_file, mut history) =
        StateFile::open(state_dir, boot_id, retry_failed_boot.0, &mut emit);
    history.set_boot_attempts(options.boot_attempts.0);
    history.set_soak(options.soak);
    let (mut record_file, last_reboot) = RecordFile::open(options.record, boot_id, &mut emit);
    let random = random(now.subsec_nanos().into());
    let (mut daemon, mut next) = Daemon::begin(options.settings(), history, schedule, random);
    daemon.last_reboot = last_reboot;
    let mut exchange = Exchange::new(Call::Status);
    // Ends: when the daemon ends, which may be never. Each turn waits or makes a call,
    // and both have a deadline.
    loop {
        let (call, pause) = match next {
            Next::Call(call, pause) => (call, pause),
            Next::End(end) => return end,
        };
        let mut call_at = now.saturating_add(pause);
        // Ends: when it is time for the call. Each turn waits until then, or until the
        // next attempt to start the server or the next look at the clocks.
        while now < call_at {
            let mut emit = |event: Event| note(&mut metrics, now, socket, &event);
            serving.start_if_due(now, listen, &mut emit);
            let check_at = now.saturating_add(daemon.next_clock_check());
            let until = serving.next_attempt().map_or(call_at, |attempt| attempt.min(call_at));
            let until = until.min(check_at);
            let respond = |now, path: &[u8], page: &mut Page| {
                pages::respond(path, clocks(now), &metrics, &daemon, page)
            };
            let server = serving.server().map(|server| (server, &respond as Handler));
            let mut event_loop = EventLoop { clock: clock::now, now, until, server };
            if let Err(error) = event_loop.sleep() {
                note(&mut metrics, now, socket, &Event::WaitFailed { error });
                return End::Failed;
            }
            now = clock::now();
            let left = call_at.saturating_sub(now);
            call_at = now.saturating_add(daemon.on_clock_check(clocks(now), left));
        }
        let respond = |now, path: &[u8], page: &mut Page| {
            pages::respond(path, clocks(now), &metrics, &daemon, page)
        };
        let server = serving.server().map(|server| (server, &respond as Handler));
        // Time spent stopped, or blocked on writing the log, does not count against the
        // call's timeout.
        let begun = clock::now();
        let until = begun.saturating_add(CALL_TIMEOUT);
        let mut event_loop = EventLoop { clock: clock::now, now: begun, until, server };
        let answer = client::call(socket, call, &mut event_loop, &mut exchange);
        now = event_loop.now;
        metrics.note_answer(now, &answer);
        let mut emit = |event: Event| note(&mut metrics, now, socket, &event);
        emit(Event::ApiCall { call, answer: &answer, took: now.saturating_sub(begun) });
        record_file.read(now, &mut daemon.last_reboot, &mut emit);
        next = daemon.on_answer(clocks(now), call, &answer, &mut emit);
        state_file.save(&mut daemon.history, &mut emit);
    }
}

/// The time on all clocks; on the monotonic one it is `now`.
fn clocks(now: Duration) -> Now {
    Now { now, since_boot: clock::since_boot(), utc: clock::utc() }
}

/// Counts an event and logs it.
fn note(metrics: &mut Metrics, now: Duration, socket: &CStr, event: &Event) {
    metrics.note_event(now, event);
    log(event, socket.to_bytes());
}

/// Logs an event, unless the log level excludes it.
fn log(event: &Event, socket: &[u8]) {
    REPORTER.report(event, socket, clock::utc(), |line| write_all(STDERR, line));
}

/// Exits because of a signal. An update in progress continues on the node, and the
/// next start of the updater picks it up.
extern "C" fn stop(signal: c_int) -> ! {
    let name = if signal == stop::SIGINT { "SIGINT" } else { "SIGTERM" };
    // The program must not wait until its log is read.
    if has_room_within(STDERR, Duration::ZERO) {
        log(&Event::Stopped { signal: name }, b"");
    }
    start::exit(if ONE_TIME.load(Relaxed) { FAILURE } else { SUCCESS })
}
