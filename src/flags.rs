//! The command line as Go's programs take it: `-name value`, `-name=value`,
//! and both with two dashes; `--` ends the flags. The last of several counts,
//! but for a flag that may be given more than once.
//!
//! The program says which flags it has and where their values go:
//!
//! ```
//! use bottlerocket_updater::flags::{Asked, Flag, Source, Value, read, read_environment};
//! use core::time::Duration;
//!
//! let mut socket = b"/run/api.sock".as_slice();
//! let mut timeout = Duration::from_secs(10);
//! let mut flags = [
//!     Flag::new("socket", Value::Path(&mut socket)),
//!     Flag::new("poll-timeout", Value::Positive(&mut timeout)),
//! ];
//! let asked = read([b"-socket".as_slice(), b"/tmp/api.sock"].into_iter(), &mut flags, None);
//! assert_eq!(asked, Ok(Asked::Run));
//! // What no flag has set, the environment may.
//! let environment = [b"CHECK_SOCKET=/x".as_slice(), b"CHECK_POLL_TIMEOUT=90s"];
//! read_environment(environment.into_iter(), "CHECK_", &mut flags).unwrap();
//! assert_eq!(flags[0].source, Source::CommandLine);
//! assert_eq!(flags[1].source, Source::Environment);
//! assert_eq!((socket, timeout.as_secs()), (b"/tmp/api.sock".as_slice(), 90));
//! ```

use crate::duration::{self, Short};
use crate::excerpt::Shown;
use crate::text::write_parts;
use core::fmt;
use core::time::Duration;

/// A flag.
pub struct Flag<'v, 'a> {
    /// The name, without dashes.
    pub name: &'static str,
    /// What it takes, and where that goes.
    pub value: Value<'v, 'a>,
    /// Where the value comes from.
    pub source: Source,
}

impl<'v, 'a> Flag<'v, 'a> {
    /// A flag with its default value.
    pub fn new(name: &'static str, value: Value<'v, 'a>) -> Self {
        Self { name, value, source: Source::Default }
    }

    /// Whether it is a switch that is on.
    pub fn is_on(&self) -> bool {
        matches!(self.value, Value::Switch(true))
    }
}

/// Shows the flag with its value, and where that is from.
impl fmt::Display for Flag<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write_parts(f, &["-", self.name, "="])?;
        self.value.fmt(f)?;
        write_parts(f, &[" (", self.source.name(), ")"])
    }
}

/// Where the value of a flag comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody has set it.
    Default,
    /// A variable of the environment.
    Environment,
    /// The command line.
    CommandLine,
}

impl Source {
    /// Its name, in a few words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::CommandLine => "flag",
        }
    }
}

/// What a flag takes, and where that goes.
pub enum Value<'v, 'a> {
    /// Anything but the empty string.
    Path(&'v mut &'a [u8]),
    /// A duration.
    Duration(&'v mut Duration),
    /// A duration above zero.
    Positive(&'v mut Duration),
    /// Nothing, or `=true` or `=false`.
    Switch(&'v mut bool),
    /// What it says itself.
    Other(&'v mut dyn Setting<'a>),
}

/// A value that only one of the programs knows. Displayed, it is what
/// [`Setting::set`] takes.
pub trait Setting<'a>: fmt::Display {
    /// Takes a value from the command line or the environment, which is not
    /// empty. Called for each if there are several.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or what it takes instead.
    fn set(&mut self, value: &'a [u8]) -> Result<(), &'static str>;
}

/// One of several words: the number of the one that is set, and all of them.
pub struct Word {
    /// The number of the word that is set, counted from 0.
    pub number: usize,
    /// The words.
    pub words: &'static [&'static str],
    /// What it takes, in one phrase.
    pub phrase: &'static str,
}

impl Setting<'_> for Word {
    fn set(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let number = self.words.iter().position(|word| word.as_bytes() == value);
        self.number = number.ok_or(self.phrase)?;
        Ok(())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.words.get(self.number).copied().unwrap_or_default())
    }
}

impl fmt::Display for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Path(path) => Shown(path).fmt(f),
            Self::Duration(duration) | Self::Positive(duration) => Short(**duration).fmt(f),
            Self::Switch(on) => f.write_str(if **on { "true" } else { "false" }),
            Self::Other(setting) => setting.fmt(f),
        }
    }
}

/// What a command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// That the program does its work.
    Run,
    /// The help: `-h` or `-help`.
    Help,
    /// The version: `-version`.
    Version,
}

/// What is wrong with a command line. Displayed, it names the argument.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError<'a> {
    /// The program has no such flag: the argument as it stands.
    UnknownFlag(&'a [u8]),
    /// The flag wants a value, and there is none.
    MissingValue(&'static str),
    /// The flag does not take this value, which comes from there.
    BadValue(&'static str, &'a [u8], Source, Wanted),
    /// The program takes no such argument: the argument as it stands.
    UnexpectedOperand(&'a [u8]),
    /// The program wants an argument that is not there: its name.
    MissingOperand(&'static str),
}

/// What a flag takes, as in "it takes false or true", or why it does not.
pub type Wanted = &'static str;

const DURATION: Wanted = "it takes a duration like 90s, 10m or 1h30m";
const POSITIVE: Wanted = "it takes a duration above zero, like 90s, 10m or 1h30m";
const SWITCH: Wanted = "it takes false or true";

/// Reads `arguments`, which do not include the program's name. The values go
/// where `flags` say; an argument that is not a flag goes to `operand`, and
/// there may be one at most.
///
/// What stands behind `-h`, `-help` or `-version` is not looked at.
///
/// # Errors
///
/// The first argument that is wrong.
pub fn read<'a>(
    mut arguments: impl Iterator<Item = &'a [u8]>,
    flags: &mut [Flag<'_, 'a>],
    mut operand: Option<&mut Option<&'a [u8]>>,
) -> Result<Asked, UsageError<'a>> {
    let mut only_operands = false;
    while let Some(argument) = arguments.next() {
        if argument == b"--" && !only_operands {
            only_operands = true;
            continue;
        }
        let named = match argument {
            [b'-', b'-', named @ ..] | [b'-', named @ ..] if !only_operands => named,
            _ => b"",
        };
        if named.is_empty() {
            match &mut operand {
                Some(operand) if operand.is_none() => **operand = Some(argument),
                _ => return Err(UsageError::UnexpectedOperand(argument)),
            }
            continue;
        }
        let equals = named.iter().position(|byte| *byte == b'=').unwrap_or(named.len());
        let name = named.get(..equals).unwrap_or_default();
        let inline = named.get(equals + 1..);
        match name {
            b"h" | b"help" => return Ok(Asked::Help),
            b"version" => return Ok(Asked::Version),
            _ => {}
        }
        let Some(flag) = flags.iter_mut().find(|flag| flag.name.as_bytes() == name) else {
            return Err(UsageError::UnknownFlag(argument));
        };
        let value = match flag.value {
            Value::Switch(_) => inline.unwrap_or(b"true"),
            _ => inline.or_else(|| arguments.next()).unwrap_or_default(),
        };
        if value.is_empty() {
            return Err(UsageError::MissingValue(flag.name));
        }
        set(flag, value, Source::CommandLine)?;
    }
    Ok(Asked::Run)
}

/// Reads the environment, whose variables look like `NAME=value`: the variable
/// of a flag is named `prefix` and then the flag in capitals, with `_` for `-`.
/// It counts if the flag has not been set yet. Empty ones do not count, nor do
/// those of no flag: Kubernetes puts some with the name of a service into every
/// pod.
///
/// # Errors
///
/// The first value that is wrong.
pub fn read_environment<'a>(
    variables: impl Iterator<Item = &'a [u8]>,
    prefix: &str,
    flags: &mut [Flag<'_, 'a>],
) -> Result<(), UsageError<'a>> {
    for variable in variables {
        let Some(rest) = variable.strip_prefix(prefix.as_bytes()) else { continue };
        let equals = rest.iter().position(|byte| *byte == b'=').unwrap_or(rest.len());
        let name = rest.get(..equals).unwrap_or_default();
        let value = rest.get(equals + 1..).unwrap_or_default();
        let is_named = |flag: &&mut Flag| name.iter().copied().eq(flag.name.bytes().map(capital));
        if let Some(flag) = flags.iter_mut().find(is_named)
            && flag.source == Source::Default
            && !value.is_empty()
        {
            set(flag, value, Source::Environment)?;
        }
    }
    Ok(())
}

/// What a character of a flag's name is in the name of its variable.
fn capital(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

// Apart, it keeps its registers to itself: the programs are smaller.
#[inline(never)]
fn set<'a>(flag: &mut Flag<'_, 'a>, value: &'a [u8], source: Source) -> Result<(), UsageError<'a>> {
    flag.source = source;
    let wrong = |wanted| UsageError::BadValue(flag.name, value, source, wanted);
    match &mut flag.value {
        Value::Path(path) => **path = value,
        Value::Duration(duration) => {
            **duration = duration::parse(value).ok_or(wrong(DURATION))?;
        }
        Value::Positive(duration) => {
            let positive = duration::parse(value).filter(|duration| !duration.is_zero());
            **duration = positive.ok_or(wrong(POSITIVE))?;
        }
        Value::Switch(on) => {
            **on = match value {
                b"true" => true,
                b"false" => false,
                _ => return Err(wrong(SWITCH)),
            };
        }
        Value::Other(setting) => setting.set(value).map_err(wrong)?,
    }
    Ok(())
}

impl fmt::Display for UsageError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::UnknownFlag(flag) => write!(f, "unknown flag \"{}\"", Shown(flag)),
            Self::MissingValue(flag) => write_parts(f, &["flag -", flag, " needs a value"]),
            Self::BadValue(flag, value, source, wanted) => {
                write!(f, "bad value \"{}\"", Shown(value))?;
                let what = match source {
                    Source::Environment => " in the environment for flag -",
                    _ => " for flag -",
                };
                write_parts(f, &[what, flag, ": ", wanted])
            }
            Self::UnexpectedOperand(operand) => {
                write!(f, "unexpected argument \"{}\"", Shown(operand))
            }
            Self::MissingOperand(what) => write_parts(f, &["missing argument ", what]),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn format() -> Word {
        Word { number: 0, words: &["logfmt", "json"], phrase: "it takes logfmt or json" }
    }

    /// What comes of a command line: what is asked for and the values, or the
    /// error's text.
    fn run(arguments: &[&str], with_operand: bool) -> Result<(Asked, String), String> {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        let mut socket = b"default".as_slice();
        let mut jitter = Duration::ZERO;
        let mut timeout = Duration::from_secs(1);
        let mut once = false;
        let mut format = format();
        let mut operand = None;
        let asked = read(
            arguments.into_iter(),
            &mut [
                Flag::new("socket", Value::Path(&mut socket)),
                Flag::new("jitter", Value::Duration(&mut jitter)),
                Flag::new("timeout", Value::Positive(&mut timeout)),
                Flag::new("once", Value::Switch(&mut once)),
                Flag::new("format", Value::Other(&mut format)),
            ],
            with_operand.then_some(&mut operand),
        );
        let asked = asked.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let json = format.number == 1;
        let values = std::format!(
            "{} {jitter:?} {timeout:?} {once} {json} {:?}",
            text(socket),
            operand.map(text)
        );
        Ok((asked, values))
    }

    #[test]
    fn values_go_where_they_belong() {
        for (arguments, values) in [
            (&[] as &[&str], "default 0ns 1s false false None"),
            (&["-socket", "/x"], "/x 0ns 1s false false None"),
            (&["-socket=/x"], "/x 0ns 1s false false None"),
            (&["--socket", "/x"], "/x 0ns 1s false false None"),
            (&["--socket=/x"], "/x 0ns 1s false false None"),
            (&["-socket=/x", "-socket=/y"], "/y 0ns 1s false false None"),
            (&["-socket", "-timeout"], "-timeout 0ns 1s false false None"),
            (&["-socket=a=b"], "a=b 0ns 1s false false None"),
            (&["-socket", "--", "--"], "-- 0ns 1s false false None"),
            (&["-jitter", "90s", "--timeout=1h30m"], "default 90s 5400s false false None"),
            (&["-jitter", "0"], "default 0ns 1s false false None"),
            (&["-once"], "default 0ns 1s true false None"),
            (&["--once=true"], "default 0ns 1s true false None"),
            (&["-once", "-once=false"], "default 0ns 1s false false None"),
            (&["-format", "json"], "default 0ns 1s false true None"),
            (&["-format", "json", "-format=logfmt"], "default 0ns 1s false false None"),
        ] {
            assert_eq!(
                run(arguments, false),
                Ok((Asked::Run, values.to_string())),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn operands() {
        for (arguments, operand) in [
            (&["dir"] as &[&str], "dir"),
            (&["-once", "dir"], "dir"),
            (&["dir", "-once"], "dir"),
            (&["--", "-dir"], "-dir"),
            (&["--", "--"], "--"),
            (&["-"], "-"),
            (&[""], ""),
        ] {
            let (_, values) = run(arguments, true).unwrap();
            assert!(
                values.ends_with(&std::format!("Some({operand:?})")),
                "{arguments:?}: {values}"
            );
        }
    }

    #[test]
    fn help_and_version_end_the_reading() {
        for (arguments, asked) in [
            (&["-h"] as &[&str], Asked::Help),
            (&["--help", "-nonsense"], Asked::Help),
            (&["-once", "-help", "stray"], Asked::Help),
            (&["-version"], Asked::Version),
            (&["--version", "--help"], Asked::Version),
        ] {
            assert_eq!(run(arguments, false).unwrap().0, asked, "{arguments:?}");
        }
    }

    #[test]
    fn errors_name_the_argument() {
        for (arguments, error) in [
            (&["--bad=1"] as &[&str], "unknown flag \"--bad=1\""),
            (&["-Socket=x"], "unknown flag \"-Socket=x\""),
            (&["---once"], "unknown flag \"---once\""),
            (&["-=x"], "unknown flag \"-=x\""),
            (&["stray\n"], "unexpected argument \"stray\""),
            (&["-once", "true"], "unexpected argument \"true\""),
            (&["-socket"], "flag -socket needs a value"),
            (&["-socket="], "flag -socket needs a value"),
            (&["-socket", ""], "flag -socket needs a value"),
            (&["-once="], "flag -once needs a value"),
            (
                &["-jitter", "5"],
                "bad value \"5\" for flag -jitter: it takes a duration like 90s, 10m or 1h30m",
            ),
            (
                &["-timeout=0s"],
                "bad value \"0s\" for flag -timeout: \
                 it takes a duration above zero, like 90s, 10m or 1h30m",
            ),
            (&["-once=maybe"], "bad value \"maybe\" for flag -once: it takes false or true"),
            (&["-format=xml"], "bad value \"xml\" for flag -format: it takes logfmt or json"),
        ] {
            assert_eq!(run(arguments, false), Err(error.to_string()), "{arguments:?}");
        }
        let second = run(&["one", "two"], true);
        assert_eq!(second, Err("unexpected argument \"two\"".to_string()));
        assert_eq!(UsageError::MissingOperand("DIR").to_string(), "missing argument DIR");
    }

    #[test]
    fn a_name_that_is_not_utf8_is_unknown() {
        let error = read([b"-\xff".as_slice()].into_iter(), &mut [], None).unwrap_err();
        assert_eq!(error.to_string(), "unknown flag \"-\u{fffd}\"");
    }

    /// What comes of these arguments and this environment: each value and where
    /// it is from, or the error's text.
    fn run_in(variables: &[&str], arguments: &[&str]) -> Result<String, String> {
        let bytes = |texts: &[&'static str]| -> Vec<&'static [u8]> {
            texts.iter().map(|text| text.as_bytes()).collect()
        };
        let leak = |texts: &[&str]| -> Vec<&'static str> {
            texts.iter().map(|text| &*text.to_string().leak()).collect()
        };
        let mut socket = b"default".as_slice();
        let (mut timeout, mut once, mut format) = (Duration::from_secs(1), false, format());
        let mut flags = [
            Flag::new("socket", Value::Path(&mut socket)),
            Flag::new("poll-timeout", Value::Positive(&mut timeout)),
            Flag::new("once", Value::Switch(&mut once)),
            Flag::new("format", Value::Other(&mut format)),
        ];
        let arguments = bytes(&leak(arguments));
        read(arguments.into_iter(), &mut flags, None).map_err(|error| error.to_string())?;
        let variables = bytes(&leak(variables));
        read_environment(variables.into_iter(), "BR_", &mut flags)
            .map_err(|error| error.to_string())?;
        let shown =
            flags.iter().map(|flag| std::format!("{} ({})", flag.value, flag.source.name()));
        Ok(shown.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn the_environment_sets_what_no_flag_has() {
        let defaults = "default (default), 1s (default), false (default), logfmt (default)";
        for (variables, arguments, values) in [
            (&[] as &[&str], &[] as &[&str], defaults),
            (
                &["PATH=/bin", "BR_SOCKET=/x=y", "BR_POLL_TIMEOUT=90s", "BR_ONCE=true"],
                &[],
                "/x=y (environment), 1m30s (environment), true (environment), logfmt (default)",
            ),
            (
                &["BR_SOCKET=/x", "BR_FORMAT=json", "BR_ONCE=false"],
                &["-socket=/y", "-once"],
                "/y (flag), 1s (default), true (flag), json (environment)",
            ),
            // A flag that is set is not looked up, whatever the variable says.
            (
                &["BR_POLL_TIMEOUT=never", "BR_FORMAT=xml"],
                &["-poll-timeout", "2s", "-format=json"],
                "default (default), 2s (flag), false (default), json (flag)",
            ),
            // The first of two counts, as for C's getenv.
            (
                &["BR_SOCKET=/x", "BR_SOCKET=/y"],
                &[],
                "/x (environment), 1s (default), false (default), logfmt (default)",
            ),
            (
                &[
                    "",
                    "=",
                    "BR_",
                    "BR_=x",
                    "BR_SOCKET",
                    "BR_SOCKET=",
                    "BR_socket=/x",
                    "br_SOCKET=/x",
                    "BR_POLL-TIMEOUT=2s",
                    "BR_SOCKETS=/x",
                    "BR_SOCKE=/x",
                    "XBR_SOCKET=/x",
                    "BR_PORT=tcp://10.0.0.1:80",
                ],
                &[],
                defaults,
            ),
        ] {
            assert_eq!(run_in(variables, arguments), Ok(values.to_string()), "{variables:?}");
        }
        for (variable, error) in [
            (
                "BR_POLL_TIMEOUT=10",
                "bad value \"10\" in the environment for flag -poll-timeout: \
                 it takes a duration above zero, like 90s, 10m or 1h30m",
            ),
            (
                "BR_ONCE=1",
                "bad value \"1\" in the environment for flag -once: it takes false or true",
            ),
            (
                "BR_FORMAT=xml",
                "bad value \"xml\" in the environment for flag -format: it takes logfmt or json",
            ),
        ] {
            assert_eq!(run_in(&[variable], &[]), Err(error.to_string()));
        }
    }
}
