//! Brings the node to Ready whenever an update is on offer, and keeps looking:
//! the daemon that runs on every node.
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
use bottlerocket_updater::cli::exit::{FAILURE, SUCCESS};
use bottlerocket_updater::cli::flags;
use bottlerocket_updater::http::request;
use bottlerocket_updater::sys::client;
use bottlerocket_updater::sys::files::{self, Store};
use bottlerocket_updater::sys::random::random;
use bottlerocket_updater::sys::server::{Handler, Server, Turn};
use bottlerocket_updater::sys::stdio;
use bottlerocket_updater::text::errno::ErrnoText;
use bottlerocket_updater::text::excerpt::Sanitized;
use bottlerocket_updater::updater::config::{HELP, Options};
use bottlerocket_updater::updater::cycle::{End, Now};
use bottlerocket_updater::updater::daemon::{Daemon, Next};
use bottlerocket_updater::updater::event::Event;
use bottlerocket_updater::updater::history::{FILE_MAX, History};
use bottlerocket_updater::updater::metrics::Metrics;
use bottlerocket_updater::updater::reporter::Reporter;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use environment::Environment;
use rustix::io::Errno;
use start::{Args, STDERR, STDOUT, complain};

start::program!(main);

/// How long one call may take. The API answers in milliseconds, unless it is
/// rebooting the node.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than a cycle ought to take the API may be silent until that
/// is no longer healthy, at least.
const SILENCE_MIN: Duration = Duration::from_secs(60);

/// How to log, and what a signal means: for the signal handler, which is given
/// nothing else.
static REPORTER: Reporter = Reporter::new();
static ONE_TIME: AtomicBool = AtomicBool::new(false);

fn main(arguments: Args) -> u8 {
    let mut options = Options::default();
    let environment = Environment::beside(&arguments);
    let invocation = options.read(arguments, environment);
    start::invoke(invocation, &HELP, || {
        if options.print_config {
            flags::for_each(&mut options, |flag| stdio::write_line(STDOUT, "", &[flag]));
            return SUCCESS;
        }
        REPORTER.configure(options.log_format, options.log_level);
        ONE_TIME.store(options.one_time, Relaxed);
        stop::at_once(stop);
        match update(&options) {
            Some(End::Done) => SUCCESS,
            Some(End::Failed | End::NoAnswer) | None => FAILURE,
        }
    })
}

/// Makes the calls that the daemon asks for, when it asks for them, until it
/// ends. `None` if it could not begin.
#[inline(never)]
fn update(options: &Options) -> Option<End> {
    let Options { socket, metrics_address: listen, .. } = *options;
    let schedule = options.schedule();
    let mut server = match listen.text {
        b"" => None,
        _ if schedule.once => None,
        text => match Server::listen(listen.address, listen.port) {
            Ok(listening) => Some(listening),
            Err(errno) => {
                let address = Sanitized(text);
                complain(&[&"cannot listen on ", &address, &": ", &ErrnoText(errno)]);
                return None;
            }
        },
    };
    let cycle = schedule.interval.saturating_add(schedule.jitter);
    let silence_max = cycle.saturating_add(schedule.give_up.max(SILENCE_MIN));
    let mut now = clock::now();
    let mut metrics = Metrics::new(now, silence_max);
    let mut emit = |event: Event| note(&mut metrics, now, socket, &event);
    if !schedule.once {
        emit(Event::Started { socket: socket.to_bytes(), interval: schedule.interval });
    }
    if let Some((_, port)) = server {
        emit(Event::ServingMetrics { address: listen.text, port });
    }
    let (mut keeper, history) = Keeper::begin(options, &mut emit);
    let mut exchange = Exchange::new(Call::Status);
    let random = random(now.subsec_nanos().into());
    let (mut daemon, mut next) = Daemon::begin(options.settings(), history, schedule, random);
    // Ends: when the daemon says so. That may be never, but each turn has a pause or a
    // call, and a call has a deadline.
    loop {
        let (call, pause) = match next {
            Next::Call(call, pause) => (call, pause),
            Next::End(end) => return Some(end),
        };
        let tell_scraper = |now, asked, page: &mut request::Page| match asked {
            request::Endpoint::Health => request::write_state(metrics.health(now), page),
            request::Endpoint::Readiness => request::write_state(metrics.readiness(), page),
            request::Endpoint::Metrics => {
                let at = Now { now, utc: clock::utc() };
                metrics.write(at, &daemon.history, &daemon.settings.windows, page);
                request::OK
            }
        };
        let until = now.saturating_add(pause);
        let server = server.as_mut().map(|(server, _)| (server, &tell_scraper as Handler));
        let mut turn = Turn { clock: clock::now, now, until, server };
        if let Err(errno) = turn.sleep() {
            complain(&[&"cannot wait: ", &ErrnoText(errno)]);
            return None;
        }
        // Whoever stopped this process meanwhile, or was slow to take a line of the
        // log, has not taken time from the call.
        turn.now = clock::now();
        let begun = turn.now;
        turn.until = begun.saturating_add(CALL_TIMEOUT);
        let answer = client::call(socket, call, &mut turn, &mut exchange);
        now = turn.now;
        metrics.note_answer(now, &answer);
        let mut emit = |event: Event| note(&mut metrics, now, socket, &event);
        emit(Event::ApiCall { call, answer: &answer, took: now.saturating_sub(begun) });
        next = daemon.on_answer(Now { now, utc: clock::utc() }, call, &answer, &mut emit);
        keeper.save(&mut daemon.history, &mut emit);
    }
}

/// Tells of an event.
#[inline(never)]
fn note(metrics: &mut Metrics, now: Duration, socket: &CStr, event: &Event) {
    metrics.note_event(now, event);
    log(event, socket.to_bytes());
}

/// Logs an event, unless the log level excludes it.
fn log(event: &Event, socket: &[u8]) {
    if let Some(mut record) = REPORTER.report(event, socket, clock::utc()) {
        stdio::write_all(STDERR, record.finish());
    }
}

/// Keeps what is to outlive this boot.
struct Keeper {
    store: Option<Store>,
    /// Whether keeping does not work, which was told.
    is_lost: bool,
}

impl Keeper {
    /// A keeper, and what was kept.
    #[inline(never)]
    fn begin(options: &Options, emit: &mut dyn FnMut(Event)) -> (Self, History) {
        let mut keeper = Self { store: None, is_lost: false };
        let mut history = History::default();
        let mut tried = "";
        if !options.state_dir.is_empty()
            && let Err(errno) = keeper.load(options, &mut history, &mut tried, emit)
        {
            keeper.lose(tried, errno, emit);
        }
        (keeper, history)
    }

    /// Reads what was kept. If that does not work, it was the last that was
    /// `tried` that did not.
    #[inline(never)]
    fn load(
        &mut self,
        options: &Options,
        history: &mut History,
        tried: &mut &'static str,
        emit: &mut dyn FnMut(Event),
    ) -> Result<(), Errno> {
        // Without, it cannot be told what became of a version.
        *tried = "read the boot id";
        let boot = files::boot_id(options.boot_id)?;
        *tried = "open the directory";
        let store = Store::open(options.state_dir)?;
        // What cannot be read is not written either: it would be forgotten.
        *tried = "read the file";
        let mut text = [0; FILE_MAX];
        let text = match store.load(&mut text) {
            Err(Errno::NOENT) => None,
            // A link or a directory: it was never ours.
            Err(Errno::LOOP | Errno::ISDIR) => Some([].as_slice()),
            text => Some(text?),
        };
        let store = self.store.insert(store);
        *history = History::new(boot, options.retry_failed_boot.0);
        if text.is_some_and(|text| history.read(text).is_err()) {
            *tried = "set a damaged file aside";
            store.quarantine()?;
            emit(Event::StateDamaged);
        }
        Ok(())
    }

    /// Keeps what has changed. It is tried again until it works, and told once
    /// if it does not.
    #[inline(never)]
    fn save(&mut self, history: &mut History, emit: &mut dyn FnMut(Event)) {
        let Some(store) = self.store.as_ref().filter(|_| history.has_changed()) else { return };
        match store.save(&history.write()) {
            Ok(()) => {
                history.set_saved();
                self.is_lost = false;
            }
            Err(errno) => self.lose("write the file", errno, emit),
        }
    }

    #[inline(never)]
    fn lose(&mut self, tried: &'static str, errno: Errno, emit: &mut dyn FnMut(Event)) {
        if !self.is_lost {
            emit(Event::StateLost { tried, error: errno });
        }
        self.is_lost = true;
    }
}

/// Ends the program, because it was asked to. What the node is doing goes on,
/// and the next start finds it.
extern "C" fn stop(signal: core::ffi::c_int) -> ! {
    let name = if signal == stop::SIGINT { "SIGINT" } else { "SIGTERM" };
    if stop::has_room(STDERR) {
        log(&Event::Stopped { signal: name }, b"");
    }
    start::exit(if ONE_TIME.load(Relaxed) { FAILURE } else { SUCCESS })
}
