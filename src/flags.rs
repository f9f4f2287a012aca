//! The command line as Go's programs take it: `-name value`, `-name=value`,
//! and both with two dashes; `--` ends the flags.
//!
//! The program asks for one argument after the other, and for the value of a
//! flag where it wants one:
//!
//! ```
//! use bottlerocket_updater::flags::{Arg, Flags, UsageError};
//!
//! let arguments: [&[u8]; 3] = [b"-socket=/run/api.sock", b"--timeout", b"90s"];
//! let mut flags = Flags::new(arguments.into_iter());
//! while let Some(argument) = flags.next() {
//!     match argument {
//!         Arg::Flag("socket") => assert_eq!(flags.value()?, b"/run/api.sock"),
//!         Arg::Flag("timeout") => assert_eq!(flags.duration()?.as_secs(), 90),
//!         _ => return Err(flags.unknown()),
//!     }
//! }
//! # Ok::<(), UsageError>(())
//! ```

use crate::duration;
use crate::excerpt::Shown;
use crate::text::write_parts;
use core::fmt;
use core::str;
use core::time::Duration;

/// One argument.
#[derive(Debug, PartialEq, Eq)]
pub enum Arg<'a> {
    /// A flag, by its name without dashes; empty if that is not UTF-8.
    Flag(&'a str),
    /// Anything that is neither a flag nor the value of one.
    Operand(&'a [u8]),
}

/// What is wrong with the command line. Displayed, it names the argument.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError<'a> {
    /// The program has no such flag: the argument as it stands.
    UnknownFlag(&'a [u8]),
    /// The flag wants a value, and the command line ends: the flag's name.
    MissingValue(&'a [u8]),
    /// The flag's value is not what it takes.
    BadValue {
        /// The flag's name.
        flag: &'a [u8],
        /// The value as it stands.
        value: &'a [u8],
        /// What the flag takes.
        wanted: &'static str,
    },
    /// The program takes no such argument: the argument as it stands.
    UnexpectedOperand(&'a [u8]),
    /// The program wants an argument that is not there: what it is.
    MissingOperand(&'static str),
}

/// The arguments, read one by one.
pub struct Flags<'a, I> {
    arguments: I,
    /// The argument that was read last, its name, and the value behind its `=`.
    whole: &'a [u8],
    name: &'a [u8],
    inline: Option<&'a [u8]>,
    is_flag: bool,
    only_operands: bool,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Flags<'a, I> {
    /// Reads `arguments`, which do not include the program's name.
    pub fn new(arguments: I) -> Self {
        Self {
            arguments,
            whole: b"",
            name: b"",
            inline: None,
            is_flag: false,
            only_operands: false,
        }
    }

    /// The next argument, `None` behind the last one.
    #[expect(clippy::should_implement_trait, reason = "the values are read in between")]
    pub fn next(&mut self) -> Option<Arg<'a>> {
        self.whole = self.arguments.next()?;
        if !self.only_operands && self.whole == b"--" {
            self.only_operands = true;
            self.whole = self.arguments.next()?;
        }
        let named = match self.whole {
            [b'-', b'-', named @ ..] | [b'-', named @ ..] if !self.only_operands => named,
            _ => b"",
        };
        self.is_flag = !named.is_empty();
        if !self.is_flag {
            return Some(Arg::Operand(self.whole));
        }
        let equals = named.iter().position(|byte| *byte == b'=').unwrap_or(named.len());
        self.name = named.get(..equals).unwrap_or_default();
        self.inline = named.get(equals + 1..);
        Some(Arg::Flag(str::from_utf8(self.name).unwrap_or_default()))
    }

    /// The value of the flag that was read last: what stands behind its `=`,
    /// or else the next argument, whatever it is.
    ///
    /// # Errors
    ///
    /// There is none, or it is empty.
    pub fn value(&mut self) -> Result<&'a [u8], UsageError<'a>> {
        match self.inline.take().or_else(|| self.arguments.next()) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(UsageError::MissingValue(self.name)),
        }
    }

    /// The value of the flag that was read last, as a duration.
    ///
    /// # Errors
    ///
    /// There is none, or it is no duration.
    pub fn duration(&mut self) -> Result<Duration, UsageError<'a>> {
        let value = self.value()?;
        duration::parse(value).ok_or(self.bad_value(value, "a duration such as 90s, 10m or 1h30m"))
    }

    /// The same, for what makes no sense without any time.
    ///
    /// # Errors
    ///
    /// There is none, or it is no duration, or zero.
    pub fn positive_duration(&mut self) -> Result<Duration, UsageError<'a>> {
        let value = self.value()?;
        let wanted = "a duration above zero, such as 90s, 10m or 1h30m";
        duration::parse(value)
            .filter(|duration| !duration.is_zero())
            .ok_or(self.bad_value(value, wanted))
    }

    /// Whether the flag that was read last, which needs no value, is set:
    /// `-flag`, `-flag=true` or `-flag=false`.
    ///
    /// # Errors
    ///
    /// It has another value.
    pub fn switch(&mut self) -> Result<bool, UsageError<'a>> {
        match self.inline.take() {
            None | Some(b"true" | b"1") => Ok(true),
            Some(b"false" | b"0") => Ok(false),
            Some(value) => Err(self.bad_value(value, "true or false")),
        }
    }

    /// The error for the value of the flag that was read last, if it is not
    /// what is `wanted`.
    pub fn bad_value(&self, value: &'a [u8], wanted: &'static str) -> UsageError<'a> {
        UsageError::BadValue { flag: self.name, value, wanted }
    }

    /// The error for the argument that was read last, if the program does not
    /// know what to do with it.
    pub fn unknown(&self) -> UsageError<'a> {
        match self.is_flag {
            true => UsageError::UnknownFlag(self.whole),
            false => UsageError::UnexpectedOperand(self.whole),
        }
    }
}

impl fmt::Display for UsageError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::UnknownFlag(flag) => write!(f, "unknown flag \"{}\"", Shown(flag)),
            Self::MissingValue(flag) => {
                write!(f, "flag -{} needs a value", Shown(flag))
            }
            Self::BadValue { flag, value, wanted } => {
                write!(f, "bad value \"{}\" for flag -{}: it takes ", Shown(value), Shown(flag))?;
                f.write_str(wanted)
            }
            Self::UnexpectedOperand(operand) => {
                write!(f, "unexpected argument \"{}\"", Shown(operand))
            }
            Self::MissingOperand(what) => write_parts(f, &["missing argument: ", what]),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn flags<'a>(arguments: &[&'a str]) -> Flags<'a, impl Iterator<Item = &'a [u8]> + use<'a>> {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        Flags::new(arguments.into_iter())
    }

    #[test]
    fn one_or_two_dashes_and_the_value_behind_an_equals_sign_or_apart() {
        for arguments in
            [&["-socket", "/x"] as &[&str], &["-socket=/x"], &["--socket", "/x"], &["--socket=/x"]]
        {
            let mut flags = flags(arguments);
            assert_eq!(flags.next(), Some(Arg::Flag("socket")));
            assert_eq!(flags.value(), Ok(b"/x".as_slice()));
            assert_eq!(flags.next(), None);
        }
    }

    #[test]
    fn a_value_may_look_like_anything() {
        let mut flags = flags(&["-socket", "-timeout", "-socket=a=b"]);
        assert_eq!(flags.next(), Some(Arg::Flag("socket")));
        assert_eq!(flags.value(), Ok(b"-timeout".as_slice()));
        assert_eq!(flags.next(), Some(Arg::Flag("socket")));
        assert_eq!(flags.value(), Ok(b"a=b".as_slice()));
    }

    #[test]
    fn operands_stand_alone_or_behind_two_dashes() {
        let mut flags = flags(&["a", "-", "", "--", "-b", "--"]);
        for operand in ["a", "-", "", "-b", "--"] {
            assert_eq!(flags.next(), Some(Arg::Operand(operand.as_bytes())));
        }
        assert_eq!(flags.next(), None);
    }

    #[test]
    fn two_dashes_may_come_last() {
        assert_eq!(flags(&["--"]).next(), None);
    }

    #[test]
    fn switches() {
        for (argument, set) in [
            ("-x", Some(true)),
            ("--x", Some(true)),
            ("-x=true", Some(true)),
            ("-x=1", Some(true)),
            ("-x=false", Some(false)),
            ("-x=0", Some(false)),
            ("-x=", None),
            ("-x=yes", None),
        ] {
            let mut flags = flags(&[argument]);
            assert_eq!(flags.next(), Some(Arg::Flag("x")));
            assert_eq!(flags.switch().ok(), set, "{argument}");
        }
    }

    #[test]
    fn errors_name_the_argument() {
        let mut f = flags(&["--bad=1"]);
        f.next();
        assert_eq!(f.unknown().to_string(), "unknown flag \"--bad=1\"");

        let mut f = flags(&["stray\n"]);
        f.next();
        assert_eq!(f.unknown().to_string(), "unexpected argument \"stray\"");

        for arguments in [&["-socket"] as &[&str], &["-socket="], &["-socket", ""]] {
            let mut f = flags(arguments);
            f.next();
            assert_eq!(f.value().unwrap_err().to_string(), "flag -socket needs a value");
        }

        let mut f = flags(&["-timeout", "5"]);
        f.next();
        assert_eq!(
            f.duration().unwrap_err().to_string(),
            "bad value \"5\" for flag -timeout: it takes a duration such as 90s, 10m or 1h30m"
        );

        let mut f = flags(&["-timeout", "0s"]);
        f.next();
        assert_eq!(
            f.positive_duration().unwrap_err().to_string(),
            "bad value \"0s\" for flag -timeout: \
             it takes a duration above zero, such as 90s, 10m or 1h30m"
        );

        let mut f = flags(&["-x=maybe"]);
        f.next();
        assert_eq!(
            f.switch().unwrap_err().to_string(),
            "bad value \"maybe\" for flag -x: it takes true or false"
        );

        assert_eq!(UsageError::MissingOperand("DIR").to_string(), "missing argument: DIR");
    }

    #[test]
    fn a_name_that_is_not_utf8_is_unknown() {
        let mut flags = Flags::new([b"-\xff".as_slice()].into_iter());
        assert_eq!(flags.next(), Some(Arg::Flag("")));
        assert_eq!(flags.unknown().to_string(), "unknown flag \"-\u{fffd}\"");
    }
}
