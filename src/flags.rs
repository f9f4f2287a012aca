//! The command line as Go's programs take it: `-name value`, `-name=value`,
//! and both with two dashes; `--` ends the flags. The last of several counts.
//!
//! The program says which flags it has and where their values go:
//!
//! ```
//! use bottlerocket_updater::flags::{Asked, Flag, Value, read};
//! use core::time::Duration;
//!
//! let mut socket = b"/run/api.sock".as_slice();
//! let mut timeout = Duration::from_secs(10);
//! let asked = read(
//!     [b"--timeout=90s".as_slice(), b"-socket", b"/tmp/api.sock"].into_iter(),
//!     &mut [
//!         Flag("socket", Value::Path(&mut socket)),
//!         Flag("timeout", Value::Positive(&mut timeout)),
//!     ],
//!     None,
//! );
//! assert_eq!(asked, Ok(Asked::Run));
//! assert_eq!((socket, timeout.as_secs()), (b"/tmp/api.sock".as_slice(), 90));
//! ```

use crate::duration;
use crate::excerpt::Shown;
use crate::text::write_parts;
use core::fmt;
use core::time::Duration;

/// A flag: its name without dashes, and where its value goes.
pub struct Flag<'v, 'a>(pub &'static str, pub Value<'v, 'a>);

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
    /// The second word, or the first, which is the default.
    Either(&'v mut bool, &'static str, &'static str),
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
    /// The flag does not take this value.
    BadValue(&'static str, &'a [u8], Wanted),
    /// The program takes no such argument: the argument as it stands.
    UnexpectedOperand(&'a [u8]),
    /// The program wants an argument that is not there: its name.
    MissingOperand(&'static str),
}

/// What a flag takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A duration.
    Duration,
    /// A duration above zero.
    Positive,
    /// One of two words.
    Either(&'static str, &'static str),
}

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
        let Some(Flag(name, to)) = flags.iter_mut().find(|flag| flag.0.as_bytes() == name) else {
            return Err(UsageError::UnknownFlag(argument));
        };
        let value = match to {
            Value::Switch(_) => inline.unwrap_or(b"true"),
            _ => inline.or_else(|| arguments.next()).unwrap_or_default(),
        };
        if value.is_empty() {
            return Err(UsageError::MissingValue(name));
        }
        set(to, value).map_err(|wanted| UsageError::BadValue(name, value, wanted))?;
    }
    Ok(Asked::Run)
}

// Apart, it keeps its registers to itself: the programs are smaller.
#[inline(never)]
fn set<'a>(to: &mut Value<'_, 'a>, value: &'a [u8]) -> Result<(), Wanted> {
    let either = |no: &'static str, yes: &'static str| match value {
        value if value == yes.as_bytes() => Ok(true),
        value if value == no.as_bytes() => Ok(false),
        _ => Err(Wanted::Either(no, yes)),
    };
    match to {
        Value::Path(path) => **path = value,
        Value::Duration(duration) => {
            **duration = duration::parse(value).ok_or(Wanted::Duration)?;
        }
        Value::Positive(duration) => {
            let positive = duration::parse(value).filter(|duration| !duration.is_zero());
            **duration = positive.ok_or(Wanted::Positive)?;
        }
        Value::Switch(on) => **on = either("false", "true")?,
        Value::Either(second, no, yes) => **second = either(no, yes)?,
    }
    Ok(())
}

impl fmt::Display for UsageError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::UnknownFlag(flag) => write!(f, "unknown flag \"{}\"", Shown(flag)),
            Self::MissingValue(flag) => write_parts(f, &["flag -", flag, " needs a value"]),
            Self::BadValue(flag, value, wanted) => {
                write!(f, "bad value \"{}\"", Shown(value))?;
                write_parts(f, &[" for flag -", flag, ": it takes "])?;
                match wanted {
                    Wanted::Duration => f.write_str("a duration like 90s, 10m or 1h30m"),
                    Wanted::Positive => {
                        f.write_str("a duration above zero, like 90s, 10m or 1h30m")
                    }
                    Wanted::Either(one, other) => write_parts(f, &[one, " or ", other]),
                }
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

    /// What comes of a command line: what is asked for and the values, or the
    /// error's text.
    fn run(arguments: &[&str], with_operand: bool) -> Result<(Asked, String), String> {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        let mut socket = b"default".as_slice();
        let mut jitter = Duration::ZERO;
        let mut timeout = Duration::from_secs(1);
        let (mut once, mut json) = (false, false);
        let mut operand = None;
        let asked = read(
            arguments.into_iter(),
            &mut [
                Flag("socket", Value::Path(&mut socket)),
                Flag("jitter", Value::Duration(&mut jitter)),
                Flag("timeout", Value::Positive(&mut timeout)),
                Flag("once", Value::Switch(&mut once)),
                Flag("format", Value::Either(&mut json, "logfmt", "json")),
            ],
            with_operand.then_some(&mut operand),
        );
        let asked = asked.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
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
}
