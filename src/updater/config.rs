//! The updater's flags: their table, the values that only the updater has, and
//! what the daemon makes of them.

use crate::cli::flags::{self, Flags, Invocation, UsageError};
use crate::cli::help::Help;
use crate::cli::value::{BootAttempts, DurationOrNever, Expected, FlagValue, Positive};
use crate::reporting::log::{Format, Level};
use crate::sys::client::DEFAULT_SOCKET;
use crate::text::duration;
use crate::text::excerpt::Sanitized;
use crate::text::timestamp::{LocalTime, Timestamp};
use crate::text::{Show, display, put};
use crate::updater::cycle::Settings;
use crate::updater::daemon::Schedule;
use crate::updater::time_zone::TimeZone;
use crate::updater::window::{WINDOWS_MAX, WindowError, Windows};
use core::ffi::CStr;
use core::iter;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str;
use core::time::Duration;
use heapless::{String, Vec, VecView};

/// The beginning of the names of the environment's variables.
pub const ENVIRONMENT_PREFIX: &str = "BOTTLEROCKET_UPDATER_";

/// The longest list of the flags in force, in bytes.
pub const FLAGS_MAX: usize = 800;
/// The end of a list that is too long.
const AND_MORE: &str = " ...";

/// The shortest interval, except in tests.
const INTERVAL_MIN: Duration = Duration::from_secs(10);
/// The longest jitter that the operator has not set.
const JITTER_MAX: Duration = Duration::from_secs(60);

crate::flags! {
    /// What the operator has set.
    pub struct Options<'a> {
        socket: &'a CStr = DEFAULT_SOCKET, "-socket PATH", "socket of the node's API";
        one_time: bool = false, "-one-time",
            "run one cycle immediately, then exit", default "run as a daemon";
        interval: Interval = Interval(Duration::from_secs(10 * 60)), "-interval DURATION",
            "time from the end of a cycle to the start of the next, at least 10s";
        jitter: Jitter = Jitter(None), "-jitter DURATION",
            "lengthen each interval at random by up to this, so that nodes do not act at the \
             same time; 0s for none",
            default "a tenth of the interval, at most 1m";
        window: WindowFlag<'a> = WindowFlag::NONE, "-window WINDOW",
            "begin updates only in this window, for example 'Mon-Fri 22:00-04:00'; repeatable. \
             With always, forget the windows before it";
        time_zone: TimeZoneFlag<'a> = TimeZoneFlag::UTC, "-time-zone NAME",
            "time zone of the windows: a name like Europe/Prague, or a POSIX rule like \
             CET-1CEST,M3.5.0,M10.5.0/3";
        stage_only: bool = false, "-stage-only",
            "prepare updates, but do not activate them", default "activate them";
        activate_at_reboot: bool = false, "-activate-at-reboot",
            "leave activating to bottlerocket-reboot -activate, right before the reboot; needs \
             -record", default "activate at once";
        refresh_ready: bool = true, "-refresh-ready",
            "while an update is Ready, continue to refresh, and deactivate the update if it is \
             no longer chosen; =false to leave it alone";
        state_dir: &'a CStr = c"", "-state-dir DIR",
            "keep a file in this directory that records which versions failed to boot, and \
             hold these versions back",
            default "keep no record";
        soak: Duration = Duration::ZERO, "-soak DURATION",
            "prepare a version when it has been on offer to this node for this time, so that \
             other nodes go first; a newer version soaks from its own first day, so a soak that \
             is longer than the time between two releases never ends; needs -state-dir",
            default "none";
        record: &'a CStr = c"", "-record PATH",
            "read the record of the last reboot from this file: leave what is Ready alone while \
             the node is asked to reboot, and report that the gate holds the node",
            default "read no record";
        boot_attempts: BootAttempts = BootAttempts(1), "-boot-attempts COUNT",
            "hold a version back after it has failed to boot this often; until then, retry it \
             immediately";
        retry_failed_boot: DurationOrNever = DurationOrNever::seconds(24 * 60 * 60),
            "-retry-failed-boot DURATION",
            "retry a version that is held back after this time, which doubles with each \
             failure; or never";
        metrics_address: Listen<'a> = Listen::OFF, "-metrics-address ADDRESS",
            "serve metrics and health checks on this address, for example :8080";
        give_up: Duration = Duration::from_secs(5 * 60), "-give-up DURATION",
            "exit if the socket is missing or refused for this long";
        refresh_timeout: Positive = Positive::seconds(60), "-refresh-timeout DURATION",
            "stop waiting for a refresh after this time";
        prepare_timeout: Positive = Positive::seconds(30 * 60), "-prepare-timeout DURATION",
            "stop waiting for a prepare after this time";
        activate_timeout: Positive = Positive::seconds(60), "-activate-timeout DURATION",
            "stop waiting for an activate after this time";
        deactivate_timeout: Positive = Positive::seconds(60), "-deactivate-timeout DURATION",
            "stop waiting for a deactivate after this time";
        log_format: Format = Format::Logfmt, "-log-format FORMAT", "logfmt or json";
        log_level: Level = Level::Info, "-log-level LEVEL", "error, info or debug";
        test_interval: TestInterval = TestInterval(None), "-test-interval DURATION",
            "in place of -interval, without a lower limit; for tests", default "none";
        boot_id: &'a CStr = c"/proc/sys/kernel/random/boot_id", "-boot-id PATH",
            "file that contains an ID of the current boot";
        print_config: bool = false, "-print-config",
            "show the value of each flag and where it comes from, and when the next window \
             opens, then exit";
    }
}

/// The help of the updater.
pub const HELP: Help = Help {
    usage: "bottlerocket-updater [flags]",
    about: "Prepares and activates the updates of a Bottlerocket node, so that the next reboot \
            starts the new version. The updater never reboots the node: Kured does.",
    flags: Options::ROWS,
    notes: &[
        "A DURATION is like 90s, 10m or 1h30m.",
        "If a flag is not set, the environment can set it: BOTTLEROCKET_UPDATER_LOG_LEVEL sets \
         -log-level, for example. BOTTLEROCKET_UPDATER_WINDOW may hold several windows, \
         separated by ';'.",
    ],
    success: "with -one-time, the node is Ready (or Staged with -activate-at-reboot) or there is \
              nothing to do; otherwise, the updater was stopped by a signal",
    negative: "with -one-time, an update waits: for a window, because the version did not \
               boot and is held back, because it soaks, or because of -stage-only",
    failure: "with -one-time, the cycle failed or was stopped; otherwise, the socket was \
              missing or refused for longer than -give-up",
    example: "bottlerocket-updater -one-time",
};

impl<'a> Options<'a> {
    /// Reads the command line and, for flags that are not on it, the
    /// environment. The environment is not read if the help or the version is
    /// asked for.
    ///
    /// # Errors
    ///
    /// What is wrong with the first argument or variable that is wrong.
    pub fn read(
        &mut self,
        arguments: impl Iterator<Item = &'a CStr>,
        environment: impl Iterator<Item = &'a CStr>,
    ) -> Result<Invocation, UsageError<'a>> {
        let invocation = flags::read(arguments, self, None)?;
        if invocation == Invocation::Run {
            flags::read_environment(environment, ENVIRONMENT_PREFIX, self)?;
            let is_lost = !self.soak.is_zero() && self.state_dir.is_empty();
            if is_lost && !self.print_config {
                return Err(UsageError::MissingFlag {
                    flag: "soak",
                    needs: "state-dir",
                    why: "the file there has the time at which a version was first on offer",
                });
            }
            if self.activate_at_reboot && self.record.is_empty() && !self.print_config {
                return Err(UsageError::MissingFlag {
                    flag: "activate-at-reboot",
                    needs: "record",
                    why: "the record says which version a reboot was to bring",
                });
            }
        }
        self.jitter = Jitter(Some(self.jitter()));
        Ok(invocation)
    }

    /// All flags with the values in force, as on a command line:
    /// `-socket=/run/api.sock -one-time=false`. If the list is too long, ` ...` takes the
    /// place of the flags at its end.
    pub fn in_force(&mut self) -> String<FLAGS_MAX> {
        let mut list = String::new();
        let mut is_complete = true;
        flags::for_each(self, |flag| {
            let mut text = Vec::<u8, FLAGS_MAX>::new();
            let before = if list.is_empty() { "-" } else { " -" };
            put!(&mut text, before, flag.name, "=", flag.value);
            let text = str::from_utf8(&text).unwrap_or_default();
            let fits = list.len() + text.len() + AND_MORE.len() <= FLAGS_MAX;
            is_complete = is_complete && fits && list.push_str(text).is_ok();
        });
        if !is_complete {
            let _ = list.push_str(AND_MORE);
        }
        list
    }

    /// The time between two cycles.
    fn interval(&self) -> Duration {
        self.test_interval.0.unwrap_or(self.interval.0)
    }

    /// The jitter: a tenth of the interval, at most a minute, unless it is set.
    fn jitter(&self) -> Duration {
        let default = Duration::from_millis(duration::millis(self.interval()) / 10);
        self.jitter.0.unwrap_or(default.min(JITTER_MAX))
    }

    /// When cycles begin.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            once: self.one_time,
            interval: self.interval(),
            jitter: self.jitter(),
            give_up: self.give_up,
        }
    }

    /// Where to serve metrics and health checks, if anywhere. A single cycle serves
    /// nothing.
    pub fn listen(&self) -> Option<Listen<'a>> {
        let is_off = self.one_time || self.metrics_address.text.is_empty();
        (!is_off).then_some(self.metrics_address)
    }

    /// When updates may begin.
    pub fn windows(&self) -> Windows {
        let mut windows = self.window.windows.clone();
        windows.zone = self.time_zone.zone;
        windows
    }

    /// What the windows mean at `utc`, the time since 1970-01-01 00:00:00 UTC.
    pub fn window_times(&self, utc: Duration) -> WindowTimes {
        let windows = self.windows();
        let opens_in = windows.next_open(utc);
        WindowTimes {
            now: windows.local_time(utc),
            opens: opens_in.map(|left| windows.local_time(utc.saturating_add(left))),
        }
    }

    /// How each cycle works.
    pub fn settings(&self) -> Settings {
        let Self { refresh_timeout, prepare_timeout, activate_timeout, .. } = self;
        Settings {
            retry_after: self.interval(),
            timeouts: [
                refresh_timeout,
                prepare_timeout,
                activate_timeout,
                &self.deactivate_timeout,
            ]
            .map(|timeout| timeout.0),
            refresh_ready: self.refresh_ready,
            stage_only: self.stage_only,
            activate_at_reboot: self.activate_at_reboot,
            windows: self.windows(),
        }
    }
}

/// The time between two cycles. It has a minimum, because a typing error must not load
/// the API and the update repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(pub Duration);

impl FlagValue<'_> for Interval {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        let parsed = duration::parse(text.to_bytes()).filter(|parsed| *parsed >= INTERVAL_MIN);
        self.0 = parsed.ok_or("it takes a duration of at least 10s, like 10m or 1h30m")?;
        Ok(())
    }
}

impl Show for Interval {
    fn show(&self, buffer: &mut VecView<u8>) {
        self.0.show(buffer);
    }
}

/// The time between two cycles in a test. It takes the place of the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestInterval(pub Option<Duration>);

impl FlagValue<'_> for TestInterval {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        let mut interval = Positive(Duration::ZERO);
        interval.set(text)?;
        self.0 = Some(interval.0);
        Ok(())
    }
}

impl Show for TestInterval {
    fn show(&self, buffer: &mut VecView<u8>) {
        if let Some(interval) = self.0 {
            interval.show(buffer);
        }
    }
}

/// The jitter, if it is known: its default depends on the interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(pub Option<Duration>);

impl FlagValue<'_> for Jitter {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        self.0.insert(Duration::ZERO).set(text)
    }
}

impl Show for Jitter {
    fn show(&self, buffer: &mut VecView<u8>) {
        self.0.unwrap_or_default().show(buffer);
    }
}

/// What the window flag takes for no windows.
const ALWAYS: &CStr = c"always";

/// Windows, from one or more flags.
pub struct WindowFlag<'a> {
    /// The windows of all flags.
    pub windows: Windows,
    /// The text of each flag.
    texts: Vec<&'a [u8], WINDOWS_MAX>,
}

impl WindowFlag<'_> {
    /// No windows.
    pub const NONE: Self = Self { windows: Windows::new(), texts: Vec::new() };
}

impl<'a> FlagValue<'a> for WindowFlag<'a> {
    fn set(&mut self, text: &'a CStr) -> Result<(), Expected> {
        if text == ALWAYS {
            *self = Self::NONE;
            return Ok(());
        }
        self.windows.add(text.to_bytes()).map_err(WindowError::text)?;
        // There is room: each text has one window or more, and these had room.
        let _ = self.texts.push(text.to_bytes());
        Ok(())
    }
}

impl Show for WindowFlag<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        if self.texts.is_empty() {
            ALWAYS.show(buffer);
        }
        let mut separator = "";
        for text in &self.texts {
            put!(buffer, separator, Sanitized(text));
            separator = "; ";
        }
    }
}

/// A time zone.
pub struct TimeZoneFlag<'a> {
    /// The zone.
    pub zone: TimeZone,
    /// The text of the flag.
    text: &'a CStr,
}

impl TimeZoneFlag<'_> {
    /// UTC.
    pub const UTC: Self = Self { zone: TimeZone::UTC, text: c"UTC" };
}

impl<'a> FlagValue<'a> for TimeZoneFlag<'a> {
    fn set(&mut self, text: &'a CStr) -> Result<(), Expected> {
        let zone = TimeZone::parse(text.to_bytes()).ok_or(
            "it takes a name of the IANA database like Europe/Prague, or a POSIX rule like \
             CET-1CEST,M3.5.0,M10.5.0/3",
        )?;
        *self = Self { zone, text };
        Ok(())
    }
}

impl Show for TimeZoneFlag<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        self.text.show(buffer);
    }
}

/// What time it is, and when the next window opens, in UTC and in local time, and where the
/// time zones come from: comments below the flags in force.
pub struct WindowTimes {
    now: LocalTime,
    opens: Option<LocalTime>,
}

impl Show for WindowTimes {
    fn show(&self, buffer: &mut VecView<u8>) {
        let Self { now, opens } = self;
        put!(buffer, "# now: ", Timestamp(now.utc), ", local time ", now, "\n");
        match opens {
            Some(opens) => {
                let utc = Timestamp(opens.utc);
                put!(buffer, "# the next window opens: ", utc, ", local time ", opens);
            }
            None => put!(buffer, "# no windows: an update may begin at any time"),
        }
        let version = env!("TIME_ZONES_VERSION");
        put!(buffer, "\n# time zones: version ", version, " of the IANA database");
    }
}

/// An address to listen on: `A.B.C.D:PORT`, `[IPV6]:PORT`, or `:PORT` for all addresses
/// of the machine, IPv4 and IPv6, or `off`.
#[derive(Debug, Clone, Copy)]
pub struct Listen<'a> {
    /// The text of the flag. Empty for `off`.
    pub text: &'a [u8],
    /// The address. `None` for all addresses.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

impl Listen<'_> {
    /// Listens nowhere.
    pub const OFF: Self = Self { text: b"", address: None, port: 0 };
}

impl<'a> FlagValue<'a> for Listen<'a> {
    fn set(&mut self, text: &'a CStr) -> Result<(), Expected> {
        *self = Self::OFF;
        let text = text.to_bytes();
        if text == b"off" {
            return Ok(());
        }
        let expected = "it takes an address like :8080, 127.0.0.1:8080 or [::1]:8080, or off";
        let (address, port) = parse_address(text).ok_or(expected)?;
        *self = Self { text, address, port };
        Ok(())
    }
}

/// Reads an address and a port. The address of IPv6 is in brackets.
fn parse_address(text: &[u8]) -> Option<(Option<IpAddr>, u16)> {
    let colon = text.iter().rposition(|byte| *byte == b':')?;
    let port = u16::try_from(duration::whole_number(text.get(colon + 1..)?)?).ok()?;
    let address = match text.get(..colon)? {
        [] => None,
        [b'[', address @ .., b']'] => Some(IpAddr::V6(parse_ipv6(address)?)),
        address => Some(IpAddr::V4(parse_ipv4(address)?)),
    };
    Some((address, port))
}

/// Reads an IPv4 address. (The parser of `core` is not free of panics.)
fn parse_ipv4(address: &[u8]) -> Option<Ipv4Addr> {
    let mut numbers = address.split(|byte| *byte == b'.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        *octet = u8::try_from(duration::whole_number(numbers.next()?)?).ok()?;
    }
    numbers.next().is_none().then_some(Ipv4Addr::from_octets(octets))
}

/// Reads an IPv6 address, with or without a `::`, and without an IPv4 address at its end.
fn parse_ipv6(address: &[u8]) -> Option<Ipv6Addr> {
    let gap = address.windows(2).position(|pair| pair == b"::");
    let (first, last) = match gap {
        Some(gap) => (address.get(..gap)?, address.get(gap + 2..)?),
        None => (address, &b""[..]),
    };
    let (mut groups, last) = (parse_groups(first)?, parse_groups(last)?);
    let zeros = 8_usize.checked_sub(groups.len() + last.len())?;
    // The `::` stands for one group or more.
    if gap.is_some() != (zeros > 0) {
        return None;
    }
    // Ends: after the zeros and the groups of an address, eight in all.
    for group in iter::repeat_n(0, zeros).chain(last.iter().copied()) {
        groups.push(group).ok()?;
    }
    <[u16; 8]>::try_from(groups.as_slice()).ok().map(Ipv6Addr::from)
}

/// Reads up to eight groups of one to four hexadecimal digits, with a `:` between them.
fn parse_groups(text: &[u8]) -> Option<Vec<u16, 8>> {
    let mut groups = Vec::new();
    if text.is_empty() {
        return Some(groups);
    }
    for digits in text.split(|byte| *byte == b':') {
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        let group = digits.iter().try_fold(0, |group, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(group << 4 | digit as u16)
        })?;
        groups.push(group).ok()?;
    }
    Some(groups)
}

impl Show for Listen<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        Sanitized(if self.text.is_empty() { b"off" } else { self.text }).show(buffer);
    }
}

display!(Interval, TestInterval, Jitter, WindowFlag<'_>, TimeZoneFlag<'_>, WindowTimes, Listen<'_>);

#[cfg(test)]
mod tests;
