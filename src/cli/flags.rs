//! The command line as Go's programs take it: `-name value`, `-name=value`,
//! and both with two dashes; `--` ends the flags. The last of several counts,
//! but for a flag that may be given more than once.
//!
//! The program says which flags it has and where their values go:
//!
//! ```
//! use bottlerocket_updater::cli::flags::{Invocation, Flags, Source, Value, read, read_environment};
//! use core::ffi::CStr;
//! use core::time::Duration;
//!
//! struct Options<'a> {
//!     socket: &'a CStr,
//!     timeout: Duration,
//! }
//!
//! impl<'a> Flags<'a> for Options<'a> {
//!     const NAMES: &'static str = "socket poll-timeout ";
//!
//!     fn value(&mut self, number: usize) -> Value<'_, 'a> {
//!         match number {
//!             0 => Value::Path(&mut self.socket),
//!             _ => Value::Positive(&mut self.timeout),
//!         }
//!     }
//! }
//!
//! let mut options = Options { socket: c"/run/api.sock", timeout: Duration::from_secs(10) };
//! let mut sources = [Source::Default; 2];
//! let arguments = [c"-socket", c"/tmp/api.sock"];
//! let asked = read(arguments.into_iter(), &mut options, &mut sources, None);
//! assert_eq!(asked, Ok(Invocation::Run));
//! // What no flag has set, the environment may.
//! let environment = [c"CHECK_SOCKET=/x", c"CHECK_POLL_TIMEOUT=90s"];
//! read_environment(environment.into_iter(), "CHECK_", &mut options, &mut sources).unwrap();
//! assert_eq!(sources, [Source::CommandLine, Source::Environment]);
//! assert_eq!((options.socket, options.timeout.as_secs()), (c"/tmp/api.sock", 90));
//! ```

use crate::text::duration::{self, HumanDuration};
use crate::text::excerpt::Sanitized;
use crate::text::{Show, cut, display, find, put};
use core::ffi::CStr;
use core::time::Duration;
use heapless::VecView;

/// The flags of a program, by their numbers, counted from 0.
pub trait Flags<'a> {
    /// Their names, without dashes, with a space behind each.
    const NAMES: &'static str;

    /// What the flag with this number takes, and where that goes.
    fn value(&mut self, number: usize) -> Value<'_, 'a>;
}

/// A flag as it is in force.
pub struct Flag<'v, 'a> {
    /// The name, without dashes.
    pub name: &'static str,
    /// What it takes, and where that goes.
    pub value: Value<'v, 'a>,
    /// Where the value comes from.
    pub source: Source,
}

/// Calls `show` with each flag of `flags`, whose values come from `sources`.
pub fn show<'a, F: Flags<'a>>(flags: &mut F, sources: &[Source], mut show: impl FnMut(Flag)) {
    let mut names = F::NAMES;
    for (number, source) in sources.iter().enumerate() {
        let name = cut(&mut names, b' ');
        show(Flag { name, value: flags.value(number), source: *source });
    }
}

/// Shows the flag with its value, and where that is from.
impl Show for Flag<'_, '_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        put(buffer, &["-", self.name, "="]);
        self.value.show(buffer);
        put(buffer, &[" (", self.source.name(), ")"]);
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
    Path(&'v mut &'a CStr),
    /// A duration.
    Duration(&'v mut Duration),
    /// A duration above zero.
    Positive(&'v mut Duration),
    /// Nothing, or `=true` or `=false`.
    Switch(&'v mut bool),
    /// What it says itself.
    Other(&'v mut dyn FlagValue<'a>),
}

/// A value that only one of the programs knows. Sanitized, it is what
/// [`FlagValue::set`] takes.
pub trait FlagValue<'a>: Show {
    /// Takes a value from the command line or the environment, which is not
    /// empty. Called for each if there are several.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or what it takes instead.
    fn set(&mut self, value: &'a [u8]) -> Result<(), &'static str>;
}

/// One of several words: the number of the one that is set, and all of them.
pub struct Choice {
    /// The number of the word that is set, counted from 0.
    pub number: usize,
    /// The words.
    pub words: &'static [&'static str],
    /// What it takes, in one phrase.
    pub phrase: &'static str,
}

impl FlagValue<'_> for Choice {
    fn set(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let number = self.words.iter().position(|word| word.as_bytes() == value);
        self.number = number.ok_or(self.phrase)?;
        Ok(())
    }
}

impl Show for Choice {
    fn show(&self, buffer: &mut VecView<u8>) {
        put(buffer, &[self.words.get(self.number).copied().unwrap_or_default()]);
    }
}

impl Show for Value<'_, '_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::Path(path) => Sanitized(path.to_bytes()).show(buffer),
            Self::Duration(duration) | Self::Positive(duration) => {
                HumanDuration(**duration).show(buffer)
            }
            Self::Switch(on) => put(buffer, &[if **on { "true" } else { "false" }]),
            Self::Other(setting) => setting.show(buffer),
        }
    }
}

/// What a command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invocation {
    /// That the program does its work.
    Run,
    /// The help: `-h` or `-help`.
    Help,
    /// The version: `-version`.
    Version,
}

/// What is wrong with a command line. Sanitized, it names the argument.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError<'a> {
    /// The program has no such flag: the argument as it stands.
    UnknownFlag(&'a [u8]),
    /// The flag wants a value, and there is none.
    MissingValue(&'static str),
    /// The flag does not take this value, which comes from there.
    BadValue(&'static str, &'a [u8], Source, Expected),
    /// The program takes no such argument: the argument as it stands.
    UnexpectedOperand(&'a [u8]),
    /// The program wants an argument that is not there: its name.
    MissingOperand(&'static str),
}

/// What a flag takes, as in "it takes false or true", or why it does not.
pub type Expected = &'static str;

const DURATION: Expected = "it takes a duration like 90s, 10m or 1h30m";
const POSITIVE: Expected = "it takes a duration above zero, like 90s, 10m or 1h30m";
const SWITCH: Expected = "it takes false or true";

/// Reads `arguments`, which do not include the program's name. The values go
/// where `flags` say; an argument that is not a flag goes to `operand`, and
/// there may be one at most. In `sources` is kept which flags were set, by their
/// numbers, as far as there is room.
///
/// What stands behind `-h`, `-help` or `-version` is not looked at.
///
/// # Errors
///
/// The first argument that is wrong.
pub fn read<'a, F: Flags<'a>>(
    mut arguments: impl Iterator<Item = &'a CStr>,
    flags: &mut F,
    sources: &mut [Source],
    mut operand: Option<&mut Option<&'a CStr>>,
) -> Result<Invocation, UsageError<'a>> {
    let mut only_operands = false;
    // Ends: each turn takes an argument.
    while let Some(argument) = arguments.next() {
        let text = argument.to_bytes();
        if text == b"--" && !only_operands {
            only_operands = true;
            continue;
        }
        let named = match text {
            [b'-', b'-', named @ ..] | [b'-', named @ ..] if !only_operands => named,
            _ => b"",
        };
        if named.is_empty() {
            match &mut operand {
                Some(operand) if operand.is_none() => **operand = Some(argument),
                _ => return Err(UsageError::UnexpectedOperand(text)),
            }
            continue;
        }
        let name = before_equals(named);
        match find("h help version ", name, |byte| byte) {
            Some((0 | 1, _)) => return Ok(Invocation::Help),
            Some(_) => return Ok(Invocation::Version),
            None => {}
        }
        let Some((number, flag)) = find(F::NAMES, name, |byte| byte) else {
            return Err(UsageError::UnknownFlag(text));
        };
        let inline = behind(argument, text.len() - named.len() + name.len() + 1);
        let destination = flags.value(number);
        let value = match destination {
            Value::Switch(_) => inline.unwrap_or(c"true"),
            _ => inline.or_else(|| arguments.next()).unwrap_or_default(),
        };
        if value.is_empty() {
            return Err(UsageError::MissingValue(flag));
        }
        set(flag, destination, value, Source::CommandLine)?;
        if let Some(source) = sources.get_mut(number) {
            *source = Source::CommandLine;
        }
    }
    Ok(Invocation::Run)
}

/// Reads the environment, whose variables look like `NAME=value`: the variable
/// of a flag is named `prefix` and then the flag in capitals, with `_` for `-`.
/// It counts if the flag has not been set yet, as `sources` have it, where that
/// is kept. Empty ones do not count, nor do those of no flag: Kubernetes puts
/// some with the name of a service into every pod.
///
/// # Errors
///
/// The first value that is wrong.
pub fn read_environment<'a, F: Flags<'a>>(
    variables: impl Iterator<Item = &'a CStr>,
    prefix: &str,
    flags: &mut F,
    sources: &mut [Source],
) -> Result<(), UsageError<'a>> {
    for variable in variables {
        let Some(rest) = variable.to_bytes().strip_prefix(prefix.as_bytes()) else { continue };
        let name = before_equals(rest);
        if let Some((number, flag)) = find(F::NAMES, name, capital)
            && let Some(source @ Source::Default) = sources.get_mut(number)
            && let Some(value) = behind(variable, prefix.len() + name.len() + 1)
            && !value.is_empty()
        {
            *source = Source::Environment;
            set(flag, flags.value(number), value, Source::Environment)?;
        }
    }
    Ok(())
}

/// What a character of a flag's name is in the name of its variable.
fn capital(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

/// What stands before the first `=`, all if there is none.
#[inline(never)]
fn before_equals(text: &[u8]) -> &[u8] {
    let equals = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    text.get(..equals).unwrap_or_default()
}

/// What stands behind the first `length` bytes, if there are so many.
fn behind(text: &CStr, length: usize) -> Option<&CStr> {
    (length < text.to_bytes_with_nul().len()).then(|| &text[length..])
}

// Apart, it keeps its registers to itself: the programs are smaller.
#[inline(never)]
fn set<'a>(
    flag: &'static str,
    destination: Value<'_, 'a>,
    value: &'a CStr,
    source: Source,
) -> Result<(), UsageError<'a>> {
    let text = value.to_bytes();
    let set = match destination {
        Value::Path(path) => {
            *path = value;
            Ok(())
        }
        Value::Duration(duration) => set_duration(duration, text, Duration::ZERO).ok_or(DURATION),
        Value::Positive(duration) => {
            set_duration(duration, text, Duration::from_nanos(1)).ok_or(POSITIVE)
        }
        Value::Switch(on) => {
            *on = text == b"true";
            if *on || text == b"false" { Ok(()) } else { Err(SWITCH) }
        }
        Value::Other(setting) => setting.set(text),
    };
    set.map_err(|wanted| UsageError::BadValue(flag, text, source, wanted))
}

fn set_duration(duration: &mut Duration, text: &[u8], least: Duration) -> Option<()> {
    *duration = duration::parse(text).filter(|parsed| *parsed >= least)?;
    Some(())
}

impl Show for UsageError<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let (before, text, after) = match *self {
            Self::UnknownFlag(flag) => ("unknown flag \"", flag, "\""),
            Self::MissingValue(flag) => ("flag -", flag.as_bytes(), " needs a value"),
            Self::BadValue(_, value, Source::Environment, _) => {
                ("bad value \"", value, "\" in the environment for flag -")
            }
            Self::BadValue(_, value, ..) => ("bad value \"", value, "\" for flag -"),
            Self::UnexpectedOperand(operand) => ("unexpected argument \"", operand, "\""),
            Self::MissingOperand(what) => ("missing argument ", what.as_bytes(), ""),
        };
        put(buffer, &[before]);
        Sanitized(text).show(buffer);
        put(buffer, &[after]);
        if let Self::BadValue(flag, .., wanted) = self {
            put(buffer, &[flag, ": ", wanted]);
        }
    }
}
display!(Flag<'_, '_>, Value<'_, '_>, UsageError<'_>);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::ffi::CString;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// One flag of each kind.
    struct Options<'a> {
        socket: &'a CStr,
        jitter: Duration,
        timeout: Duration,
        once: bool,
        format: Choice,
    }

    impl<'a> Flags<'a> for Options<'a> {
        const NAMES: &'static str = "socket jitter poll-timeout once format ";

        fn value(&mut self, number: usize) -> Value<'_, 'a> {
            match number {
                0 => Value::Path(&mut self.socket),
                1 => Value::Duration(&mut self.jitter),
                2 => Value::Positive(&mut self.timeout),
                3 => Value::Switch(&mut self.once),
                _ => Value::Other(&mut self.format),
            }
        }
    }

    fn options() -> Options<'static> {
        Options {
            socket: c"default",
            jitter: Duration::ZERO,
            timeout: Duration::from_secs(1),
            once: false,
            format: Choice {
                number: 0,
                words: &["logfmt", "json"],
                phrase: "it takes logfmt or json",
            },
        }
    }

    fn arguments(texts: &[&str]) -> std::vec::IntoIter<&'static CStr> {
        let leak = |text: &&str| &*Box::leak(CString::new(*text).unwrap().into_boxed_c_str());
        texts.iter().map(leak).collect::<Vec<_>>().into_iter()
    }

    /// What comes of a command line: what is asked for and the values, or the
    /// error's text.
    fn run(texts: &[&str], with_operand: bool) -> Result<(Invocation, String), String> {
        let (mut options, mut operand) = (options(), None);
        let operand_place = with_operand.then_some(&mut operand);
        let asked = read(arguments(texts), &mut options, &mut [], operand_place);
        let asked = asked.map_err(|error| error.to_string())?;
        let Options { socket, jitter, timeout, once, format } = options;
        let text = |text: &CStr| text.to_str().unwrap().to_string();
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
            (&["-socket", "-poll-timeout"], "-poll-timeout 0ns 1s false false None"),
            (&["-socket=a=b"], "a=b 0ns 1s false false None"),
            (&["-socket", "--", "--"], "-- 0ns 1s false false None"),
            (&["-jitter", "90s", "--poll-timeout=1h30m"], "default 90s 5400s false false None"),
            (&["-jitter", "0"], "default 0ns 1s false false None"),
            (&["-once"], "default 0ns 1s true false None"),
            (&["--once=true"], "default 0ns 1s true false None"),
            (&["-once", "-once=false"], "default 0ns 1s false false None"),
            (&["-format", "json"], "default 0ns 1s false true None"),
            (&["-format", "json", "-format=logfmt"], "default 0ns 1s false false None"),
        ] {
            assert_eq!(
                run(arguments, false),
                Ok((Invocation::Run, values.to_string())),
                "{arguments:?}"
            );
        }
    }

    /// Of a flag the last value counts, in whichever way it and those before it are
    /// written.
    #[test]
    fn any_flags_in_any_order_and_any_way_of_writing() {
        let known: [(&str, &[&str]); 4] = [
            ("socket", &["/x", "-once", "--", "a=b"]),
            ("jitter", &["0s", "90s", "1h30m"]),
            ("poll-timeout", &["1ms", "5s"]),
            ("format", &["json", "logfmt"]),
        ];
        let mut numbers = crate::updater::cycle::tests::Numbers(1);
        for _ in 0..2_000 {
            let mut last = ["default", "0s", "1s", "logfmt"];
            let mut line: Vec<String> = Vec::new();
            for _ in 0..numbers.below(8) {
                let flag = numbers.below(4) as usize;
                let (name, values) = known[flag];
                let value = *numbers.one_of(values);
                last[flag] = value;
                let dashes = *numbers.one_of(&["-", "--"]);
                if numbers.below(2) == 0 {
                    line.push(std::format!("{dashes}{name}={value}"));
                } else {
                    line.push(std::format!("{dashes}{name}"));
                    line.push(value.into());
                }
            }
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let [socket, jitter, timeout, format] = last;
            let [jitter, timeout] =
                [jitter, timeout].map(|text| duration::parse(text.as_bytes()).unwrap());
            let values =
                std::format!("{socket} {jitter:?} {timeout:?} false {} None", format == "json");
            assert_eq!(run(&line, false), Ok((Invocation::Run, values)), "{line:?}");
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
            (&["-h"] as &[&str], Invocation::Help),
            (&["--help", "-nonsense"], Invocation::Help),
            (&["-once", "-help", "stray"], Invocation::Help),
            (&["-version"], Invocation::Version),
            (&["--version", "--help"], Invocation::Version),
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
                &["-poll-timeout=0s"],
                "bad value \"0s\" for flag -poll-timeout: \
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
        let error = read([c"-\xff"].into_iter(), &mut options(), &mut [], None).unwrap_err();
        assert_eq!(error.to_string(), "unknown flag \"-\u{fffd}\"");
    }

    /// What comes of these arguments and this environment: each value and where
    /// it is from, but for one flag, or the error's text.
    fn run_in(variables: &[&str], texts: &[&str]) -> Result<String, String> {
        let (mut options, mut sources) = (options(), [Source::Default; 5]);
        read(arguments(texts), &mut options, &mut sources, None)
            .map_err(|error| error.to_string())?;
        read_environment(arguments(variables), "BR_", &mut options, &mut sources)
            .map_err(|error| error.to_string())?;
        let mut shown = Vec::new();
        show(&mut options, &sources, |flag| {
            if flag.name != "jitter" {
                shown.push(flag.to_string());
            }
        });
        Ok(shown.join(", "))
    }

    #[test]
    fn the_environment_sets_what_no_flag_has() {
        let defaults = "-socket=default (default), -poll-timeout=1s (default), -once=false (default), -format=logfmt (default)";
        for (variables, arguments, values) in [
            (&[] as &[&str], &[] as &[&str], defaults),
            (
                &["PATH=/bin", "BR_SOCKET=/x=y", "BR_POLL_TIMEOUT=90s", "BR_ONCE=true"],
                &[],
                "-socket=/x=y (environment), -poll-timeout=1m30s (environment), -once=true (environment), -format=logfmt (default)",
            ),
            (
                &["BR_SOCKET=/x", "BR_FORMAT=json", "BR_ONCE=false"],
                &["-socket=/y", "-once"],
                "-socket=/y (flag), -poll-timeout=1s (default), -once=true (flag), -format=json (environment)",
            ),
            // A flag that is set is not looked up, whatever the variable says.
            (
                &["BR_POLL_TIMEOUT=never", "BR_FORMAT=xml"],
                &["-poll-timeout", "2s", "-format=json"],
                "-socket=default (default), -poll-timeout=2s (flag), -once=false (default), -format=json (flag)",
            ),
            // The first of two counts, as for C's getenv.
            (
                &["BR_SOCKET=/x", "BR_SOCKET=/y"],
                &[],
                "-socket=/x (environment), -poll-timeout=1s (default), -once=false (default), -format=logfmt (default)",
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
