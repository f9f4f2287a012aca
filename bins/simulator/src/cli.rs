//! The command line. It parses the arguments into an [`Order`].

use crate::command::{Command, Ending};
use crate::fleet::{Fleet, Outage, Outages};
use crate::options::Options;
use crate::pods::is_uuid;
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
  bottlerocket-simulator demo bad-version [--programs DIR]
                                                show what a version that does not
                                                boot does to a fleet
  bottlerocket-simulator remove FILE...         remove the files of a node that is no
                                                longer simulated, and their
                                                directories if nothing else is in
                                                them
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
  --os-release PATH     write the running version to this file, like
                        /usr/lib/os-release
  --group GID           the group of the socket (default: that of the process)
  --state FILE          the node's disk: the versions on both partition sets, and
                        the tries that are left. A simulator that starts boots
                        the node from it, as if the power had been lost. If the
                        file of --boot-id is still that of the last boot, only
                        the API server restarts
  --config FILE         read further options from this file, and again when it
                        changes. Each line is an option without the dashes, such
                        as \"no-boot 1.26.1\"; # begins a comment. Possible are
                        offer, no-boot and fail, whose lists replace those of the
                        command line, and max-version, version-lock,
                        no-in-place-updates and the times
  --end-pods UID        at a reboot, end all pods of this Kubernetes node, so that
                        the kubelet sets them up anew. UID is the simulator's own
                        pod, which goes on, as static pods do. Needs hostPID, and
                        the capability KILL
  --on-reboot COMMAND   at a reboot, run this with /bin/sh. The node boots when it
                        ends, or when the simulator starts again
  --refresh-time D      duration of a refresh (default: 1s)
  --prepare-time D      duration of a prepare (default: 5s)
  --activate-time D     duration of an activate (default: 500ms)
  --deactivate-time D   duration of a deactivate (default: 500ms)
  --reboot-time D       duration of a reboot request (default: 1s)
  --shutdown-time D     how long the node still runs after it accepted a reboot
                        (default: 0s)
  --boot-time D         how long a boot takes (default: 0s). If the power is lost
                        in the first boot of a version, the next boot goes back
                        to the old version
  --quiet               do not print the requests that read the status
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
  bottlerocket-simulator --state disk --boot-id boot-id --on-reboot 'echo reboot'
  bottlerocket-simulator fleet --outage api=1h+10m >requests.csv
";

/// The task that the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Serve a node, or several.
    Serve(Box<Serve>),
    /// Run the demo, with the programs in this directory if there is one.
    Demo(Act, Option<PathBuf>),
    /// Simulate a fleet.
    Fleet(Box<Fleet>),
    /// Remove these files, and their directories if they are empty then.
    Remove(Vec<PathBuf>),
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// An act of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A node is updated.
    Update,
    /// A version does not boot, and stops at the first node of a fleet.
    BadVersion,
}

/// How to serve nodes.
#[derive(Debug, PartialEq, Eq)]
pub struct Serve {
    /// The path of the socket.
    pub socket: PathBuf,
    /// How many nodes to serve, on sockets at this path with a number appended.
    pub nodes: Option<u32>,
    /// The options of each node.
    pub options: Options,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// What happens to the machine at a reboot.
    pub on_reboot: OnReboot,
    /// Whether requests that read the status are not printed.
    pub quiet: bool,
}

/// What happens to the machine when a node reboots.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum OnReboot {
    /// Nothing.
    #[default]
    Nothing,
    /// All pods end, except the one with this UID.
    EndPods(String),
    /// A shell runs this command.
    Run(String),
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
    let mut config = None;
    let mut on_reboot = OnReboot::Nothing;
    let mut quiet = false;
    let mut first = true;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Order::Help),
            Long("version") | Short('V') => return Ok(Order::Version),
            Value(word) if first && word == "demo" => return read_demo(parser),
            Value(word) if first && word == "fleet" => return read_fleet(parser),
            Value(word) if first && word == "remove" => return read_remove(parser),
            Long("socket") => socket = parser.value()?.into(),
            Long("nodes") => nodes = Some(parser.value()?.parse()?),
            Long("running") => options.running = parser.value()?.string()?,
            Long("variant") => options.variant = parser.value()?.string()?,
            Long("arch") => options.arch = parser.value()?.string()?,
            Long("offer") => offer.push(parser.value()?.string()?),
            Long("boot-id") => options.boot_id_file = Some(parser.value()?.into()),
            Long("os-release") => options.os_release_file = Some(parser.value()?.into()),
            Long("group") => options.socket_group = Some(parser.value()?.parse()?),
            Long("state") => options.state_file = Some(parser.value()?.into()),
            Long("config") => config = Some(parser.value()?.into()),
            Long("end-pods") => {
                on_reboot = OnReboot::EndPods(parser.value()?.parse_with(pod_uid)?);
            }
            Long("on-reboot") => on_reboot = OnReboot::Run(parser.value()?.string()?),
            Long("quiet") => quiet = true,
            Long("fail-first") => {
                options.first_endings.push(parser.value()?.parse_with(failure)?);
            }
            Long(name) => {
                let name = name.to_owned();
                set(&name, parser, &mut options)?;
            }
            other => return Err(other.unexpected()),
        }
        first = false;
    }
    if !offer.is_empty() {
        options.offer = offer;
    }
    if nodes.is_some() && on_reboot != OnReboot::Nothing {
        return Err("--end-pods and --on-reboot are for a single node, not for --nodes".into());
    }
    Ok(Order::Serve(Box::new(Serve { socket, nodes, options, config, on_reboot, quiet })))
}

/// Sets an option that a configuration file can also set.
fn set(
    name: &str,
    parser: &mut lexopt::Parser,
    options: &mut Options,
) -> Result<(), lexopt::Error> {
    match name {
        "offer" => options.offer.push(parser.value()?.string()?),
        "max-version" => options.max_version = Some(parser.value()?.string()?),
        "no-in-place-updates" => options.in_place_updates = false,
        "version-lock" => options.version_lock = parser.value()?.string()?,
        "no-boot" => options.no_boot.push(parser.value()?.string()?),
        "refresh-time" => options.refresh_time = time(parser)?,
        "prepare-time" => options.prepare_time = time(parser)?,
        "activate-time" => options.activate_time = time(parser)?,
        "deactivate-time" => options.deactivate_time = time(parser)?,
        "reboot-time" => options.reboot_time = time(parser)?,
        "shutdown-time" => options.shutdown_time = time(parser)?,
        "boot-time" => options.boot_time = time(parser)?,
        "fail" => options.endings.push(parser.value()?.parse_with(failure)?),
        _ => return Err(Long(name).unexpected()),
    }
    Ok(())
}

/// Reads a line of a configuration file: an option without its dashes.
pub(crate) fn read_setting(line: &str, options: &mut Options) -> Result<(), String> {
    let (name, value) = match line.split_once([' ', '\t']) {
        Some((name, value)) => (name, Some(value.trim_start())),
        None => (line, None),
    };
    let option = format!("--{name}");
    // The parser takes the first argument for the name of the program.
    let arguments = ["config", &option].into_iter().chain(value);
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut set_option = |parser: &mut lexopt::Parser| {
        if !matches!(parser.next()?, Some(Long(long)) if long == name) {
            return Err(Long(name).unexpected());
        }
        set(name, parser, options)
    };
    set_option(&mut parser).map_err(|error| error.to_string())?;
    match parser.next() {
        Ok(None) => Ok(()),
        _ => Err(format!("{name} has no value")),
    }
}

fn pod_uid(text: &str) -> Result<String, &'static str> {
    if is_uuid(text) { Ok(text.to_owned()) } else { Err("not the UID of a pod") }
}

fn read_demo(parser: &mut lexopt::Parser) -> Result<Order, lexopt::Error> {
    let mut act = Act::Update;
    let mut programs = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Order::Help),
            Long("programs") => programs = Some(parser.value()?.into()),
            Value(word) if act == Act::Update && word == "bad-version" => act = Act::BadVersion,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Order::Demo(act, programs))
}

fn read_remove(parser: &mut lexopt::Parser) -> Result<Order, lexopt::Error> {
    let mut files = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Order::Help),
            Value(file) => files.push(file.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Order::Remove(files))
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
    Ok(Order::Fleet(Box::new(fleet)))
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
