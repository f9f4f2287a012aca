//! The command line: from arguments to an [`Order`].

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
  bottlerocket-simulator [OPTION]...           serve a node until killed
  bottlerocket-simulator demo [--programs DIR] update one with our programs
  bottlerocket-simulator fleet [OPTION]...     count what a fleet asks of the
                                               update repository, each second

Options:
  --socket PATH         where to listen (default: api.sock)
  --nodes N             serve as many nodes, on PATH.1 to PATH.N
  --running VERSION     the running OS version (default: 1.26.0)
  --variant NAME        the OS variant (default: aws-k8s-1.30)
  --arch NAME           the processor (default: x86_64)
  --offer VERSION       a version on offer; may be repeated (default: 1.26.1)
  --version-lock V      the version to go to (default: latest)
  --no-boot VERSION     a version whose image does not boot, so that the node
                        falls back to the old one; may be repeated
  --boot-id PATH        a file to keep the id of the current boot in, as
                        /proc/sys/kernel/random/boot_id has it
  --refresh-time D      how long a refresh takes (default: 1s)
  --prepare-time D      how long a prepare takes (default: 5s)
  --activate-time D     how long an activate takes (default: 500ms)
  --deactivate-time D   how long a deactivate takes (default: 500ms)
  --reboot-time D       how long a reboot request takes (default: 1s)
  --fail COMMAND=EXIT[:STDERR]
                        COMMAND (refresh, prepare, activate, deactivate,
                        reboot) always fails like this; may be repeated
  --programs DIR        demo: where our programs are (default: beside this one;
                        under cargo they are built first)
  --nodes N             fleet: how many, all started in the same second
                        (default: 10000)
  --interval D          fleet: the updaters' interval (default: 10m)
  --jitter D            fleet: their jitter (default: theirs)
  --window W            fleet: a window of theirs; may be repeated. They start
                        on a Monday, at midnight
  --time D              fleet: how long (default: 3h)
  --seed N              fleet: the same gives the same (default: 1)
  --outage WHAT=BEGIN+LENGTH
                        fleet: repository, refresh (answered with 500) or api
                        (not there) does not work for a while, for any node
  -h, --help            print this and exit
  -V, --version         print the version and exit

Durations are written like 250ms, 90s, 10m, 1h30m.

Exit codes: 0 done, 1 the demo did not go as expected, 2 usage, 3 could not.

Examples:
  bottlerocket-simulator --prepare-time 30s --fail 'activate=1:no space left'
  bottlerocket-simulator fleet --outage api=1h+10m >requests.csv
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Serve a node on this socket until killed.
    Serve(PathBuf, Box<Options>),
    /// Serve as many nodes on sockets at this path, with numbers behind it.
    ServeMany(PathBuf, u32, Box<Options>),
    /// Tell the story, with the programs in this directory if one was named.
    Demo(Option<PathBuf>),
    /// Simulate a fleet.
    Fleet(Fleet),
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// Reads the arguments, which start with the program's name.
///
/// # Errors
/// One lower-case line that names what is wrong.
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
    let mut options = patient();
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
            Long("version-lock") => options.version_lock = parser.value()?.string()?,
            Long("no-boot") => options.no_boot.push(parser.value()?.string()?),
            Long("boot-id") => options.boot_id_file = Some(parser.value()?.into()),
            Long("refresh-time") => options.refresh_time = time(parser)?,
            Long("prepare-time") => options.prepare_time = time(parser)?,
            Long("activate-time") => options.activate_time = time(parser)?,
            Long("deactivate-time") => options.deactivate_time = time(parser)?,
            Long("reboot-time") => options.reboot_time = time(parser)?,
            Long("fail") => options.endings.push(parser.value()?.parse_with(failure)?),
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

/// Times that leave a person a chance to see what happens.
fn patient() -> Options {
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
        let (number, behind) = rest.split_at(digits);
        let letters = behind.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, behind) = behind.split_at(letters);
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
        rest = behind;
    }
    Ok(total)
}

fn above_zero(text: &str) -> Result<Duration, &'static str> {
    match duration(text)? {
        Duration::ZERO => Err("has to be above zero"),
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
    let of = all.find(|of| of.name() == name).ok_or("it is none of repository, refresh, api")?;
    Ok(Outage { of, begin: duration(begin)?, length: duration(length)? })
}

fn failure(text: &str) -> Result<(Command, Ending), &'static str> {
    const WRONG: &str = "not COMMAND=EXIT or COMMAND=EXIT:STDERR";
    let (name, ending) = text.split_once('=').ok_or(WRONG)?;
    let command = Command::ALL
        .into_iter()
        .find(|command| command.name() == name)
        .ok_or("the command is none of refresh, prepare, activate, deactivate, reboot")?;
    let (exit_status, stderr) = ending.split_once(':').unwrap_or((ending, ""));
    match exit_status.parse() {
        Ok(0) => Err("exit status 0 is no failure"),
        Ok(exit_status) => Ok((command, Ending::failed(exit_status, stderr))),
        Err(_) => Err(WRONG),
    }
}
