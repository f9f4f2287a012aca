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
use bottlerocket_updater::config::{Listen, OrNever, WindowFlag};
use bottlerocket_updater::cycle::{End, Moment, Settings};
use bottlerocket_updater::daemon::{Daemon, Next, Schedule};
use bottlerocket_updater::errno::Reason;
use bottlerocket_updater::event::Event;
use bottlerocket_updater::excerpt::Shown;
use bottlerocket_updater::exit::{FAILED, YES};
use bottlerocket_updater::flags::{self, Asked, Flag, Source, Value, Word};
use bottlerocket_updater::history::{FILE_MAX, History};
use bottlerocket_updater::log::{Format, Level};
use bottlerocket_updater::metrics::Metrics;
use bottlerocket_updater::scrape;
use bottlerocket_updater::store::{self, Store};
use bottlerocket_updater::unix::{self, DEFAULT_SOCKET, Server, Turn};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use core::time::Duration;
use environment::Environment;
use heapless::Vec;
use rustix::io::Errno;
use start::{Args, STDERR, STDOUT, complain};

start::program!(main);

/// How long one call may take. The API answers in milliseconds, unless it is
/// rebooting the node.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest jitter that is not set by the operator.
const JITTER_MAX: Duration = Duration::from_secs(60);
/// How much longer than a cycle ought to take the API may be silent until that
/// is no longer healthy, at least.
const SILENCE_MIN: Duration = Duration::from_secs(60);

/// How to log, and what a signal means: for the signal handler, which is given
/// nothing else.
static LOG_JSON: AtomicBool = AtomicBool::new(false);
static LOG_LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static ONE_TIME: AtomicBool = AtomicBool::new(false);

/// What the names of the environment's variables begin with.
const ENVIRONMENT: &str = "BOTTLEROCKET_UPDATER_";

const HELP: &str = "\
Usage: bottlerocket-updater [flags]

Keeps a Bottlerocket node ready for its next version: refreshes, prepares and
activates updates through the node's API, and leaves the reboot to Kured.

Flags:
  -socket PATH           socket of the node's API (default /run/api.sock)
  -one-time              one cycle, at once, then exit (default: a daemon)
  -interval D            time between two cycles (default 10m)
  -jitter D              make each interval longer by up to this, at random, and
                         begin anywhere in the first; 0s for neither
                         (default a tenth of the interval, at most 60s)
  -window W              begin updates only then, in UTC, as in 'Mon-Fri
                         22:00-04:00'; may be repeated (default: always)
  -stage-only            leave activating to others (default: activate)
  -refresh-ready         when Ready, go on looking, and replace the update if
                         another version is chosen (default: hands off)
  -state-dir DIR         remember there, across reboots, which versions did not
                         boot, and hold them back (default: remember nothing)
  -retry-failed-boot D   try such a version again after this, twice that the
                         next time, and so on; or never (default 24h)
  -metrics-address A     serve /metrics, /healthz and /readyz, as in :8080 or
                         127.0.0.1:8080 (default off)
  -give-up D             exit if the socket is refused or missing for so long
                         (default 5m)
  -refresh-timeout D     how long a refresh may take (default 60s)
  -prepare-timeout D     how long a prepare may take (default 30m)
  -activate-timeout D    how long an activate may take (default 60s)
  -deactivate-timeout D  how long a deactivate may take (default 60s)
  -log-format FORMAT     logfmt or json (default logfmt)
  -log-level LEVEL       error, info or debug (default info)
  -boot-id PATH          file with the id of this boot
                         (default /proc/sys/kernel/random/boot_id)
  -print-config          show what is in force and where it is from, then exit
  -h, -help              show this
  -version               show the version

Durations are written like 90s, 10m or 1h30m. What no flag sets, the environment
may: -log-level is BOTTLEROCKET_UPDATER_LOG_LEVEL, windows have ; in between.

Exit status:
  0  -one-time: the node is Ready or has nothing to do; daemon: asked to stop
  2  the command line is wrong
  3  -one-time: the cycle failed, or was stopped; daemon: gave up on the socket

Example:
  bottlerocket-updater -one-time
";

/// What the operator has set that is for the program itself.
struct Options {
    socket: &'static [u8],
    state_dir: &'static [u8],
    boot_id: &'static [u8],
    retry: OrNever,
    listen: Listen<'static>,
}

fn main(arguments: Args) -> u8 {
    let mut options = Options {
        socket: DEFAULT_SOCKET,
        state_dir: b"",
        boot_id: b"/proc/sys/kernel/random/boot_id",
        retry: OrNever(Some(Duration::from_secs(24 * 60 * 60))),
        listen: Listen::default(),
    };
    let mut schedule = Schedule {
        once: false,
        interval: Duration::from_secs(600),
        jitter: Duration::ZERO,
        give_up: Duration::from_secs(300),
    };
    let mut settings = Settings::default();
    let mut format =
        Word { number: 0, words: &["logfmt", "json"], phrase: "it takes logfmt or json" };
    let mut level = Word {
        number: Level::Info.number(),
        words: Level::NAMES,
        phrase: "it takes error, info or debug",
    };
    let mut windows = WindowFlag { windows: &mut settings.windows, texts: Vec::new() };
    let mut print_config = false;
    let [refresh, prepare, activate, deactivate] = &mut settings.timeouts;
    let mut flags = [
        Flag::new("interval", Value::Positive(&mut schedule.interval)),
        Flag::new("jitter", Value::Duration(&mut schedule.jitter)),
        Flag::new("socket", Value::Path(&mut options.socket)),
        Flag::new("one-time", Value::Switch(&mut schedule.once)),
        Flag::new("window", Value::Other(&mut windows)),
        Flag::new("stage-only", Value::Switch(&mut settings.stage_only)),
        Flag::new("refresh-ready", Value::Switch(&mut settings.refresh_ready)),
        Flag::new("state-dir", Value::Path(&mut options.state_dir)),
        Flag::new("retry-failed-boot", Value::Other(&mut options.retry)),
        Flag::new("metrics-address", Value::Other(&mut options.listen)),
        Flag::new("give-up", Value::Duration(&mut schedule.give_up)),
        Flag::new("refresh-timeout", Value::Positive(refresh)),
        Flag::new("prepare-timeout", Value::Positive(prepare)),
        Flag::new("activate-timeout", Value::Positive(activate)),
        Flag::new("deactivate-timeout", Value::Positive(deactivate)),
        Flag::new("log-format", Value::Other(&mut format)),
        Flag::new("log-level", Value::Other(&mut level)),
        Flag::new("boot-id", Value::Path(&mut options.boot_id)),
        Flag::new("print-config", Value::Switch(&mut print_config)),
    ];
    let environment = Environment::beside(&arguments);
    let mut asked = flags::read(arguments, &mut flags, None);
    if asked == Ok(Asked::Run)
        && let Err(error) = flags::read_environment(environment, ENVIRONMENT, &mut flags)
    {
        asked = Err(error);
    }
    let [interval, jitter, ..] = &mut flags;
    if let (Value::Positive(interval), Value::Duration(by), Source::Default) =
        (&interval.value, &mut jitter.value, jitter.source)
    {
        **by = (**interval / 10).min(JITTER_MAX);
    }
    if asked == Ok(Asked::Run) && flags.last().is_some_and(Flag::is_on) {
        for flag in &flags {
            unix::write_line(STDOUT, format_args!("{flag}"));
        }
        return YES;
    }
    start::invoke(asked, HELP, || {
        LOG_JSON.store(format.number == 1, Relaxed);
        LOG_LEVEL.store(level.number as u8, Relaxed);
        ONE_TIME.store(schedule.once, Relaxed);
        stop::at_once(stop);
        match update(&options, settings, schedule) {
            Some(End::Good) => YES,
            Some(End::Failed | End::NoAnswer) | None => FAILED,
        }
    })
}

/// Makes the calls that the daemon asks for, when it asks for them, until it
/// ends. `None` if it could not begin.
fn update(options: &Options, settings: Settings, schedule: Schedule) -> Option<End> {
    let Options { socket, listen, .. } = *options;
    let mut server = None;
    if !listen.text.is_empty() && !schedule.once {
        match Server::listen(listen.address, listen.port) {
            Ok(listening) => server = Some(listening),
            Err(errno) => {
                let address = Shown(listen.text);
                complain(format_args!("cannot listen on {address}: {}", Reason(errno)));
                return None;
            }
        }
    }
    let cycle = schedule.interval.saturating_add(schedule.jitter);
    let silence_max = cycle.saturating_add(schedule.give_up.max(SILENCE_MIN));
    let mut metrics = Metrics::new(clock::moment().now, silence_max);
    let mut tell = |event: Event| {
        metrics.note_event(clock::moment().now, &event);
        log(&event, None);
    };
    if !schedule.once {
        tell(Event::Started(socket, schedule.interval));
    }
    if let Some((_, port)) = server {
        tell(Event::Serving(listen.text, port));
    }
    let (mut keeper, history) = Keeper::begin(options, &mut tell);
    let mut exchange = Exchange::new(Call::Status);
    let random = unix::random(clock::moment().now.subsec_nanos().into());
    let (mut daemon, mut next) = Daemon::begin(settings, history, schedule, random);
    loop {
        let (call, pause) = match next {
            Next::Call(call, pause) => (call, pause),
            Next::End(end) => return Some(end),
        };
        let tell_scraper = |at: Moment, asked, page: &mut scrape::Page| match asked {
            scrape::Asked::Health => scrape::write_state(metrics.health(at.now), page),
            scrape::Asked::Readiness => scrape::write_state(metrics.readiness(), page),
            scrape::Asked::Metrics => {
                metrics.write(at, &daemon, page);
                scrape::OK
            }
        };
        let begun = clock::moment().now.saturating_add(pause);
        let server = server.as_mut().map(|(server, _)| (server, &tell_scraper as unix::Tell));
        let mut turn = Turn { clock: clock::moment, until: begun, server };
        turn.sleep();
        turn.until = begun.saturating_add(CALL_TIMEOUT);
        let answer = unix::call(socket, call, &mut turn, &mut exchange);
        let at = clock::moment();
        metrics.note_answer(at.now, &answer);
        let mut tell = |event: Event| {
            metrics.note_event(at.now, &event);
            // A run of one cycle has no other line that names it.
            log(&event, matches!(event, Event::ApiLost(..)).then_some(socket));
        };
        tell(Event::Called(call, &answer, at.now.saturating_sub(begun)));
        next = daemon.answered(at, call, &answer, &mut tell);
        keeper.save(&mut daemon.history, &mut tell);
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
    fn begin(options: &Options, tell: &mut dyn FnMut(Event)) -> (Self, History) {
        let (store, mut history) = (None, History::default());
        let mut keeper = Self { store, is_lost: false };
        if !options.state_dir.is_empty()
            && let Err((tried, errno)) = keeper.load(options, &mut history, tell)
        {
            keeper.lose(tried, errno, tell);
        }
        (keeper, history)
    }

    fn load(
        &mut self,
        options: &Options,
        history: &mut History,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), (&'static str, Errno)> {
        // Without, it cannot be told what became of a version.
        let boot = store::boot_id(options.boot_id);
        let boot = boot.map_err(|errno| ("read the boot id", errno))?;
        let store =
            Store::open(options.state_dir).map_err(|errno| ("open the directory", errno))?;
        // What cannot be read is not written either: it would be forgotten.
        let mut text = [0; FILE_MAX];
        let text = match store.load(&mut text) {
            Err(Errno::NOENT) => None,
            // A link or a directory: it was never ours.
            Err(Errno::LOOP | Errno::ISDIR) => Some([].as_slice()),
            text => Some(text.map_err(|errno| ("read the file", errno))?),
        };
        let store = self.store.insert(store);
        *history = History::new(boot, options.retry.0);
        if text.is_some_and(|text| history.read(text).is_err()) {
            store.set_aside().map_err(|errno| ("set a damaged file aside", errno))?;
            tell(Event::StateDamaged);
        }
        Ok(())
    }

    /// Keeps what has changed. It is tried again until it works, and told once
    /// if it does not.
    fn save(&mut self, history: &mut History, tell: &mut dyn FnMut(Event)) {
        let Some(store) = self.store.as_ref().filter(|_| history.has_changed()) else { return };
        match store.save(&history.write()) {
            Ok(()) => {
                history.set_saved();
                self.is_lost = false;
            }
            Err(errno) => self.lose("write the file", errno, tell),
        }
    }

    fn lose(&mut self, tried: &'static str, errno: Errno, tell: &mut dyn FnMut(Event)) {
        if !self.is_lost {
            tell(Event::StateLost(tried, Reason(errno)));
        }
        self.is_lost = true;
    }
}

/// Tells of an event, and of the socket that it is about.
fn log(event: &Event, socket: Option<&[u8]>) {
    if event.summary().level as u8 > LOG_LEVEL.load(Relaxed) {
        return;
    }
    let format = if LOG_JSON.load(Relaxed) { Format::Json } else { Format::Logfmt };
    let mut record = event.record(format, clock::moment().utc);
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
        log(&Event::Stopped(name), None);
    }
    start::exit(if ONE_TIME.load(Relaxed) { FAILED } else { YES })
}
