//! The command line. It parses the arguments into an [`Order`].

use crate::command::{Command, Ending};
use crate::fleet::{Fleet, Outage, Outages};
use crate::options::Options;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
A simulated Bottlerocket node: the update API on a Unix socket.

Usage:
  bottlerocket-simulator [OPTION]...            serve a node until SIGTERM
  bottlerocket-simulator demo [--programs DIR]  update a node with the programs
  bottlerocket-simulator fleet [OPTION]...      simulate the updaters of a fleet,
                                                and count their requests to the
                                                update repository

Options:
  --socket PATH         listen on this socket (default: api.sock)
  --nodes N             serve N nodes, on PATH.1 to PATH.N
  --running VERSION     the running OS version (default: 1.26.0)
  --variant NAME        the OS variant (default: aws-k8s-1.30)
  --arch NAME           the processor architecture (default: x86_64)
  --offer VERSION       a version in the update repository; repeatable
                        (default: 1.26.1)
  --max-version VERSION the max_version of these versions (default: the newest
                        of them)
  --version-lock V      the setting updates.version-lock: latest, or a version
                        with or without a leading v (default: latest)
  --no-in-place-updates an image without in-place updates: all commands but the
                        reboot get 500, and the status stays 404
  --no-boot VERSION     the image of this version does not boot, and the node
                        rolls back; repeatable
  --boot-id PATH        write the id of the current boot to this file, like
                        /proc/sys/kernel/random/boot_id
  --refresh-time D      duration of a refresh (default: 1s)
  --prepare-time D      duration of a prepare (default: 5s)
  --activate-time D     duration of an activate (default: 500ms)
  --deactivate-time D   duration of a deactivate (default: 500ms)
  --reboot-time D       duration of a reboot request (default: 1s)
  --shutdown-time D     how long the node still runs after it accepted a reboot
                        (default: 0s)
  --fail COMMAND=HOW    make a command (refresh, prepare, activate, deactivate,
                        reboot) always fail; repeatable. HOW is one of
                          EXIT[:STDERR]  fail with this exit status and text
                          junk           report success, but have no effect
                          no-update      only prepare: report that no update is
                                         required, write nothing, but succeed
                          cut-off        work, but the server is killed before it
                                         writes the status; not for reboot
  --fail-first COMMAND=HOW
                        the same, but only once; repeatable
  -h, --help            print this help and exit
  -V, --version         print the version and exit

Options of demo:
  --programs DIR        the directory of the programs (default: the directory
                        of the simulator; cargo run builds them first)

Options of fleet:
  --nodes N             number of nodes; all start in the same second
                        (default: 10000)
  --interval D          -interval of the updaters (default: 10m)
  --jitter D            -jitter of the updaters (default: the updater's default)
  --window W            -window of the updaters; repeatable. The simulation
                        starts on a Monday at midnight, UTC
  --time D              simulate this much time (default: 3h)
  --seed N              seed of the random numbers; a simulation with the same
                        seed has the same result (default: 1)
  --outage WHAT=BEGIN+LENGTH
                        an outage on all nodes: repository (refreshes fail),
                        refresh (the API answers 500) or api (the API refuses
                        connections)

A duration is like 250ms, 90s, 10m or 1h30m.

SIGTERM and SIGINT stop the server and remove its socket. SIGKILL leaves the
socket behind. The real server does the same.

Exit statuses: 0 success; 1 the demo failed; 2 wrong usage; 3 an error.

Examples:
  bottlerocket-simulator --prepare-time 30s --fail 'activate=1:no space left'
  bottlerocket-simulator --fail-first activate=cut-off
  bottlerocket-simulator fleet --outage api=1h+10m >requests.csv
";

/// The task that the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Serve a node on this socket.
    Serve(PathBuf, Box<Options>),
    /// Serve several nodes on sockets at this path with a number appended.
    ServeMany(PathBuf, u32, Box<Options>),
    /// Run the demo, with the programs in this directory if there is one.
    Demo(Option<PathBuf>),
    /// Simulate a fleet.
    Fleet(Fleet),
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// Parses the arguments. The first one is the program's name.
///
/// # Errors
/// The message is one line in lower case.
pub fn parse<I>(arguments: I) -> Result<Order, String>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut parser = lexopt::Parser::from_iter(arguments);
    read(&mut parser).map_err(|error| error.to_string())
}

fn read(parser: &mut lexopt::Parser) -> Result<Order, lexopt::Error> {
    let mut socket = PathBuf::from("api.sock");
    let mut options = slow();
    let mut offer = Vec::new();
    let mut nodes = None;
    let mut first = true;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Order::Help),
            Long("version") | Short('V') => return Ok(Order::Version),
            Value(word) if first && word == "demo" => return read_demo(parser),
            Value(word) if first && word == "fleet" => return read_fleet(parser),
            Long("socket") => socket = parser.value()?.into(),
            Long("nodes") => nodes = Some(parser.value()?.parse()?),
            Long("running") => options.running = parser.value()?.string()?,
            Long("variant") => options.variant = parser.value()?.string()?,
            Long("arch") => options.arch = parser.value()?.string()?,
            Long("offer") => offer.push(parser.value()?.string()?),
            Long("max-version") => options.max_version = Some(parser.value()?.string()?),
            Long("no-in-place-updates") => options.in_place_updates = false,
            Long("version-lock") => options.version_lock = parser.value()?.string()?,
            Long("no-boot") => options.no_boot.push(parser.value()?.string()?),
            Long("boot-id") => options.boot_id_file = Some(parser.value()?.into()),
            Long("refresh-time") => options.refresh_time = time(parser)?,
            Long("prepare-time") => options.prepare_time = time(parser)?,
            Long("activate-time") => options.activate_time = time(parser)?,
            Long("deactivate-time") => options.deactivate_time = time(parser)?,
            Long("reboot-time") => options.reboot_time = time(parser)?,
            Long("shutdown-time") => options.shutdown_time = time(parser)?,
            Long("fail") => options.endings.push(parser.value()?.parse_with(failure)?),
            Long("fail-first") => {
                options.first_endings.push(parser.value()?.parse_with(failure)?);
            }
            other => return Err(other.unexpected()),
        }
        first = false;
    }
    if !offer.is_empty() {
        options.offer = offer;
    }
    let options = Box::new(options);
    Ok(match nodes {
        Some(nodes) => Order::ServeMany(socket, nodes, options),
        None => Order::Serve(socket, options),
    })
}

fn read_demo(parser: &mut lexopt::Parser) -> Result<Order, lexopt::Error> {
    let mut programs = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Order::Help),
            Long("programs") => programs = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Order::Demo(programs))
}

fn read_fleet(parser: &mut lexopt::Parser) -> Result<Order, lexopt::Error> {
    let mut fleet = Fleet::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Order::Help),
            Long("nodes") => fleet.nodes = parser.value()?.parse()?,
            Long("interval") => fleet.interval = parser.value()?.parse_with(above_zero)?,
            Long("jitter") => fleet.jitter = Some(time(parser)?),
            Long("window") => {
                let add =
                    |list: &str| fleet.windows.add(list.as_bytes()).map_err(|error| error.text());
                parser.value()?.parse_with(add)?;
            }
            Long("time") => fleet.time = parser.value()?.parse_with(simulated_time)?,
            Long("seed") => fleet.seed = parser.value()?.parse()?,
            Long("outage") => fleet.outage = Some(parser.value()?.parse_with(outage)?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Order::Fleet(fleet))
}

/// Commands that take long enough for a person to watch them.
fn slow() -> Options {
    Options {
        refresh_time: Duration::from_secs(1),
        prepare_time: Duration::from_secs(5),
        activate_time: Duration::from_millis(500),
        deactivate_time: Duration::from_millis(500),
        reboot_time: Duration::from_secs(1),
        ..Options::default()
    }
}

fn time(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    parser.value()?.parse_with(duration)
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "not a duration like 250ms, 90s, 10m or 1h30m";
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(WRONG);
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, tail) = tail.split_at(letters);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(WRONG),
        };
        let number: u64 = number.parse().map_err(|_| WRONG)?;
        let part = number.checked_mul(milliseconds).ok_or(WRONG)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or(WRONG)?;
        rest = tail;
    }
    Ok(total)
}

fn above_zero(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        Duration::ZERO => Err("must be greater than zero"),
        duration => Ok(duration),
    }
}

fn simulated_time(text: &str) -> Result<Duration, &'static str> {
    match above_zero(text)? {
        time if time > Duration::from_secs(1000 * 3600) => Err("at most 1000h"),
        time => Ok(time),
    }
}

fn outage(text: &str) -> Result<Outage, &'static str> {
    const WRONG: &str = "not WHAT=BEGIN+LENGTH, such as api=1h+10m";
    let (name, times) = text.split_once('=').ok_or(WRONG)?;
    let (begin, length) = times.split_once('+').ok_or(WRONG)?;
    let mut all = Outages::ALL.into_iter();
    let of = all.find(|of| of.name() == name).ok_or("WHAT must be repository, refresh or api")?;
    Ok(Outage { of, begin: duration(begin)?, length: duration(length)? })
}

fn failure(text: &str) -> Result<(Command, Ending), &'static str> {
    const WRONG: &str = "not COMMAND=HOW, such as prepare=1:disk full or activate=cut-off";
    let (name, ending) = text.split_once('=').ok_or(WRONG)?;
    let command = Command::ALL
        .into_iter()
        .find(|command| command.name() == name)
        .ok_or("COMMAND must be refresh, prepare, activate, deactivate or reboot")?;
    match (ending, command) {
        ("junk" | "cut-off", Command::Reboot) => return Err("HOW must be EXIT for reboot"),
        ("junk", _) => return Ok((command, Ending::junk())),
        ("cut-off", _) => return Ok((command, Ending::cut_off())),
        ("no-update", Command::Prepare) => return Ok((command, Ending::no_update_required())),
        ("no-update", _) => return Err("no-update is only for prepare"),
        _ => {}
    }
    let (exit_status, stderr) = ending.split_once(':').unwrap_or((ending, ""));
    match exit_status.parse() {
        Ok(0) => Err("exit status 0 is not a failure"),
        Ok(exit_status) => Ok((command, Ending::failed(exit_status, stderr))),
        Err(_) => Err(WRONG),
    }
}
