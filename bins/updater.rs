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
use bottlerocket_updater::cli::flags::{self, Choice, Flag, Flags, Invocation, Source, Value};
use bottlerocket_updater::http::request;
use bottlerocket_updater::sys::client::{self, DEFAULT_SOCKET};
use bottlerocket_updater::sys::files::{self, Store};
use bottlerocket_updater::sys::random::random;
use bottlerocket_updater::sys::server::{Handler, Server, Turn};
use bottlerocket_updater::sys::stdio;
use bottlerocket_updater::text::errno::ErrnoText;
use bottlerocket_updater::text::excerpt::Sanitized;
use bottlerocket_updater::updater::config::{DurationOrNever, Listen, WindowFlag};
use bottlerocket_updater::updater::cycle::{End, Now, Settings};
use bottlerocket_updater::updater::daemon::{Daemon, Next, Schedule};
use bottlerocket_updater::updater::event::Event;
use bottlerocket_updater::updater::history::{FILE_MAX, History};
use bottlerocket_updater::updater::log::{Format, Level};
use bottlerocket_updater::updater::metrics::Metrics;
use bottlerocket_updater::updater::reporter::Reporter;
use bottlerocket_updater::updater::window::Windows;
use core::ffi::CStr;
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use environment::Environment;
use heapless::Vec;
use rustix::io::Errno;
use start::{Args, STDERR, STDOUT, complain};

start::program!(main);

/// How long one call may take. The API answers in milliseconds, unless it is
/// rebooting the node.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest jitter that is not set by the operator, in milliseconds.
const JITTER_MAX: u64 = 60_000;
/// How much longer than a cycle ought to take the API may be silent until that
/// is no longer healthy, at least.
const SILENCE_MIN: Duration = Duration::from_secs(60);

/// How to log, and what a signal means: for the signal handler, which is given
/// nothing else.
static REPORTER: Reporter = Reporter::new();
static ONE_TIME: AtomicBool = AtomicBool::new(false);

/// What the names of the environment's variables begin with.
const ENVIRONMENT: &str = "BOTTLEROCKET_UPDATER_";

const HELP: &str = "\
Usage: bottlerocket-updater [flags]

Keeps a Bottlerocket node ready for its next version. The reboot is Kured's.

Flags:
  -socket PATH           socket of the API (default /run/api.sock)
  -one-time              one cycle, at once, then exit (default: a daemon)
  -interval D            time between two cycles (default 10m)
  -jitter D              spread cycles at random; 0s for none (default a tenth
                         of the interval, at most 60s)
  -window W              update then, in UTC: 'Mon-Fri 22:00-04:00', and so on
                         (default: always)
  -stage-only            leave activating to others (default: activate)
  -refresh-ready         replace an update that is Ready (default: hands off)
  -state-dir DIR         remember there what did not boot, and hold it back
                         (default: no)
  -retry-failed-boot D   try them again after this, or never (default 24h)
  -metrics-address A     serve metrics and health, as on :8080 (default off)
  -give-up D             exit if nobody listens for so long (default 5m)
  -refresh-timeout D     limit of a refresh (default 60s)
  -prepare-timeout D     limit of a prepare (default 30m)
  -activate-timeout D    limit of an activate (default 60s)
  -deactivate-timeout D  limit of a deactivate (default 60s)
  -log-format FORMAT     logfmt or json (default logfmt)
  -log-level LEVEL       error, info or debug (default info)
  -boot-id PATH          boot id file (default /proc/sys/kernel/random/boot_id)
  -print-config          show what is in force, and why
  -h, -help              show this
  -version               show the version

D is like 90s, 10m or 1h30m. What no flag sets, the environment may: -log-level
is BOTTLEROCKET_UPDATER_LOG_LEVEL, windows have ; in between.

Exit status:
  0  -one-time: the node is Ready or has nothing to do; daemon: asked to stop
  2  the command line is wrong
  3  -one-time: the cycle failed, or was stopped; daemon: gave up on the socket

Example:
  bottlerocket-updater -one-time
";

/// What the operator has set.
struct Options<'w> {
    socket: &'static CStr,
    state_dir: &'static CStr,
    boot_id: &'static CStr,
    retry: DurationOrNever,
    listen: Listen<'static>,
    schedule: Schedule,
    settings: Settings,
    windows: WindowFlag<'w, 'static>,
    log_format: Choice,
    log_level: Choice,
    print_config: bool,
}

impl Flags<'static> for Options<'_> {
    const NAMES: &'static str = "interval jitter socket one-time window stage-only refresh-ready \
        state-dir retry-failed-boot metrics-address give-up refresh-timeout prepare-timeout \
        activate-timeout deactivate-timeout log-format log-level boot-id print-config ";

    fn value(&mut self, number: usize) -> Value<'_, 'static> {
        let [refresh, prepare, activate, deactivate] = &mut self.settings.timeouts;
        match number {
            0 => Value::Positive(&mut self.schedule.interval),
            JITTER => Value::Duration(&mut self.schedule.jitter),
            2 => Value::Path(&mut self.socket),
            3 => Value::Switch(&mut self.schedule.once),
            4 => Value::Other(&mut self.windows),
            5 => Value::Switch(&mut self.settings.stage_only),
            6 => Value::Switch(&mut self.settings.refresh_ready),
            7 => Value::Path(&mut self.state_dir),
            8 => Value::Other(&mut self.retry),
            9 => Value::Other(&mut self.listen),
            10 => Value::Duration(&mut self.schedule.give_up),
            11 => Value::Positive(refresh),
            12 => Value::Positive(prepare),
            13 => Value::Positive(activate),
            14 => Value::Positive(deactivate),
            15 => Value::Other(&mut self.log_format),
            16 => Value::Other(&mut self.log_level),
            17 => Value::Path(&mut self.boot_id),
            _ => Value::Switch(&mut self.print_config),
        }
    }
}

/// The words of `-log-level`.
const LEVELS: [&str; 3] = [Level::Error.name(), Level::Info.name(), Level::Debug.name()];

/// The number of the flag `-jitter`.
const JITTER: usize = 1;
/// How many flags there are.
const FLAGS: usize = 19;

fn main(arguments: Args) -> u8 {
    let mut windows = Windows::new();
    let mut options = Options {
        socket: DEFAULT_SOCKET,
        state_dir: c"",
        boot_id: c"/proc/sys/kernel/random/boot_id",
        retry: DurationOrNever(Some(Duration::from_secs(24 * 60 * 60))),
        listen: Listen::default(),
        schedule: Schedule {
            once: false,
            interval: Duration::from_secs(600),
            jitter: Duration::ZERO,
            give_up: Duration::from_secs(300),
        },
        settings: Settings::default(),
        windows: WindowFlag { windows: &mut windows, texts: Vec::new() },
        log_format: Choice {
            number: 0,
            words: &["logfmt", "json"],
            phrase: "it takes logfmt or json",
        },
        log_level: Choice {
            number: Level::Info as usize,
            words: &LEVELS,
            phrase: "it takes error, info or debug",
        },
        print_config: false,
    };
    let mut sources = [Source::Default; FLAGS];
    let environment = Environment::beside(&arguments);
    let mut asked = flags::read(arguments, &mut options, &mut sources, None);
    if asked == Ok(Invocation::Run)
        && let Err(error) =
            flags::read_environment(environment, ENVIRONMENT, &mut options, &mut sources)
    {
        asked = Err(error);
    }
    let schedule = &mut options.schedule;
    if sources[JITTER] == Source::Default {
        let tenth = schedule.interval.as_millis() as u64 / 10;
        schedule.jitter = Duration::from_millis(tenth.min(JITTER_MAX));
    }
    if asked == Ok(Invocation::Run) && options.print_config {
        let print = |flag: Flag| stdio::write_line(STDOUT, "", &[&flag]);
        flags::show(&mut options, &sources, print);
        return SUCCESS;
    }
    start::invoke(asked, HELP, || {
        let format = if options.log_format.number == 1 { Format::Json } else { Format::Logfmt };
        let level = Level::ALL.get(options.log_level.number).copied().unwrap_or(Level::Info);
        REPORTER.configure(format, level);
        ONE_TIME.store(options.schedule.once, Relaxed);
        stop::at_once(stop);
        match update(&mut options) {
            Some(End::Done) => SUCCESS,
            Some(End::Failed | End::NoAnswer) | None => FAILURE,
        }
    })
}

/// Makes the calls that the daemon asks for, when it asks for them, until it
/// ends. `None` if it could not begin.
#[inline(never)]
fn update(options: &mut Options) -> Option<End> {
    let Options { socket, listen, schedule, .. } = *options;
    let windows = mem::take(options.windows.windows);
    let settings = Settings { windows, ..options.settings };
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
    let (mut daemon, mut next) = Daemon::begin(settings, history, schedule, random);
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
        *history = History::new(boot, options.retry.0);
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
