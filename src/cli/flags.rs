//! Flags as Go's programs take them: `-name value` or `-name=value`, with one
//! dash or two. `--` ends the flags. If a flag is given twice, the last value
//! counts, unless its type collects them.
//!
//! A program lists its flags once, in a table. Each row has the field that holds
//! the value, its type and default, the flag as the help shows it, and what it
//! does. Parsing, the names in the environment, the help's lines and the list of
//! the values in force all come from that table:
//!
//! ```
//! use bottlerocket_updater::cli::flags::{self, Invocation, Source};
//! use bottlerocket_updater::cli::value::Positive;
//! use core::ffi::CStr;
//!
//! bottlerocket_updater::flags! {
//!     /// What the operator has set.
//!     struct Options<'a> {
//!         socket: &'a CStr = c"/run/api.sock", "-socket PATH", "socket of the node's API";
//!         poll_timeout: Positive = Positive::seconds(10), "-poll-timeout DURATION",
//!             "time limit of one poll";
//!         once: bool = false, "-once", "poll once, then exit", default "poll forever";
//!     }
//! }
//!
//! let mut options = Options::default();
//! let arguments = [c"-socket", c"/tmp/api.sock"];
//! let invocation = flags::read(arguments.into_iter(), &mut options, None);
//! assert_eq!(invocation, Ok(Invocation::Run));
//!
//! // The environment sets the flags that the command line has not set.
//! let environment = [c"CHECK_SOCKET=/x", c"CHECK_POLL_TIMEOUT=90s"];
//! flags::read_environment(environment.into_iter(), "CHECK_", &mut options).unwrap();
//! assert_eq!(options.socket, c"/tmp/api.sock");
//! assert_eq!(options.poll_timeout, Positive::seconds(90));
//!
//! let mut sources = Vec::new();
//! flags::for_each(&mut options, |flag| sources.push(*flag.source));
//! assert_eq!(sources, [Source::CommandLine, Source::Environment, Source::Default]);
//! ```

use crate::cli::value::{Expected, FlagValue};
use crate::text::excerpt::Sanitized;
use crate::text::{Show, display, put};
use core::ffi::CStr;
use heapless::VecView;

/// Defines a struct of options from a table of flags, with [`Default`] and
/// [`Flags`]. A row is
///
/// ```text
/// field: Type = default, "-flag VALUE", "what it does", default "words";
/// ```
///
/// The type implements [`FlagValue`], and the default is a constant expression.
/// A switch has no `VALUE`. The last part is optional: the words that the help
/// shows in place of the default value.
///
/// See the [module](crate::cli::flags) for an example.
#[macro_export]
macro_rules! flags {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $Options:ident<$lifetime:lifetime> {
            $(
                $field:ident: $type:ty = $default:expr, $usage:literal, $text:literal
                $(, default $words:literal)?;
            )+
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $Options<$lifetime> {
            $(#[doc = $text] $visibility $field: $type,)+
            /// Where each value comes from, in the order of the rows.
            sources: [$crate::cli::flags::Source; [$($usage),+].len()],
        }

        impl Default for $Options<'_> {
            fn default() -> Self {
                Self {
                    $($field: $default,)+
                    sources: [$crate::cli::flags::Source::Default; _],
                }
            }
        }

        impl<$lifetime> $crate::cli::flags::Flags<$lifetime> for $Options<$lifetime> {
            const ROWS: &'static [$crate::cli::flags::Row] = &[
                $($crate::cli::flags::Row {
                    usage: $usage,
                    text: $text,
                    default: $crate::flags!(@shown $default $(, $words)?),
                },)+
            ];

            fn flag(&mut self, number: usize) -> Option<$crate::cli::flags::Flag<'_, $lifetime>> {
                let row = Self::ROWS.get(number)?;
                let source = self.sources.get_mut(number)?;
                let values: [&mut dyn $crate::cli::value::FlagValue<$lifetime>; _] =
                    [$(&mut self.$field),+];
                let value = values.into_iter().nth(number)?;
                Some($crate::cli::flags::Flag { name: row.name(), value, source })
            }
        }
    };
    (@shown $default:expr) => { Some(&$default) };
    (@shown $default:expr, $words:literal) => { Some(&$words) };
}

/// The options of a program, as [`flags!`](crate::flags) defines them.
pub trait Flags<'a> {
    /// The table of the flags.
    const ROWS: &'static [Row];

    /// The flag in the row with this number, counted from 0. `None` if there is
    /// no such row.
    fn flag(&mut self, number: usize) -> Option<Flag<'_, 'a>>;
}

/// A row of a table of flags, for the help.
pub struct Row {
    /// The flag with a dash, and the name of its value unless it is a switch:
    /// `-socket PATH`.
    pub usage: &'static str,
    /// What the flag does.
    pub text: &'static str,
    /// The default value, or words that describe it. `None` if there is none.
    pub default: Option<&'static dyn Show>,
}

impl Row {
    /// The name of the flag, without the dash.
    pub fn name(&self) -> &'static str {
        let end = self.usage.bytes().position(|byte| byte == b' ').unwrap_or(self.usage.len());
        self.usage.get(1..end).unwrap_or_default()
    }
}

/// A flag of a program that runs.
pub struct Flag<'o, 'a> {
    /// The name, without the dash.
    pub name: &'static str,
    /// The value in force.
    pub value: &'o mut dyn FlagValue<'a>,
    /// Where the value comes from.
    pub source: &'o mut Source,
}

/// Shows a flag as `-name=value (source)`.
impl Show for Flag<'_, '_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(buffer, "-", self.name, "=");
        self.value.show(buffer);
        put!(buffer, " (", self.source.name(), ")");
    }
}

/// Where the value of a flag comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The flag was not set.
    Default,
    /// A variable of the environment.
    Environment,
    /// The command line.
    CommandLine,
}

impl Source {
    /// The word for it in a list of the values in force.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::CommandLine => "flag",
        }
    }
}

/// What a command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invocation {
    /// The program's work.
    Run,
    /// The help: `-h` or `-help`.
    Help,
    /// The version: `-version`.
    Version,
}

/// What is wrong with a command line or with the environment. Its text names the
/// argument.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError<'a> {
    /// The program has no such flag. This is the whole argument.
    UnknownFlag(&'a [u8]),
    /// The flag with this name has no value, or an empty one.
    MissingValue(&'static str),
    /// A flag does not take a value.
    BadValue {
        /// The name of the flag.
        flag: &'static str,
        /// The value.
        value: &'a [u8],
        /// Where the value comes from.
        source: Source,
        /// What the flag takes.
        expected: Expected,
    },
    /// The program does not take this argument, which is not a flag.
    UnexpectedOperand(&'a [u8]),
    /// The argument with this name is missing, which is not a flag.
    MissingOperand(&'static str),
    /// A flag is of no use without another one.
    MissingFlag {
        /// The name of the flag.
        flag: &'static str,
        /// The name of the other flag.
        needs: &'static str,
        /// What the flag does with the other one.
        why: &'static str,
    },
}

/// Reads `arguments`, without the program's name, into `options`. An argument
/// that is not a flag goes into `operand`, which has room for one.
///
/// Arguments behind `-h`, `-help` or `-version` are not checked.
///
/// # Errors
///
/// What is wrong with the first argument that is wrong.
pub fn read<'a>(
    mut arguments: impl Iterator<Item = &'a CStr>,
    options: &mut impl Flags<'a>,
    mut operand: Option<&mut Option<&'a CStr>>,
) -> Result<Invocation, UsageError<'a>> {
    let mut flags_ended = false;
    // Ends: each turn takes an argument.
    while let Some(argument) = arguments.next() {
        let text = argument.to_bytes();
        if text == b"--" && !flags_ended {
            flags_ended = true;
            continue;
        }
        let flag = match text {
            [b'-', b'-', flag @ ..] | [b'-', flag @ ..] if !flags_ended => flag,
            _ => b"",
        };
        if flag.is_empty() {
            match &mut operand {
                Some(operand) if operand.is_none() => **operand = Some(argument),
                _ => return Err(UsageError::UnexpectedOperand(text)),
            }
            continue;
        }
        let name = before_equals(flag);
        match name {
            b"h" | b"help" => return Ok(Invocation::Help),
            b"version" => return Ok(Invocation::Version),
            _ => {}
        }
        let Some(flag) = find(options, |flag| flag.as_bytes() == name) else {
            return Err(UsageError::UnknownFlag(text));
        };
        let value = match after_equals(argument) {
            Some(value) => value,
            None if flag.value.is_switch() => c"true",
            None => arguments.next().unwrap_or_default(),
        };
        flag.set(value, Source::CommandLine)?;
    }
    Ok(Invocation::Run)
}

/// Reads the environment, whose `variables` look like `NAME=value`, into the
/// `options` that are not set yet. The variable of a flag is `prefix` and the
/// flag's name in capitals, with `_` for `-`.
///
/// An empty variable does not count. Other variables with this prefix are no
/// error: Kubernetes adds some that begin with the name of a service.
///
/// # Errors
///
/// What is wrong with the first value that is wrong.
pub fn read_environment<'a>(
    variables: impl Iterator<Item = &'a CStr>,
    prefix: &str,
    options: &mut impl Flags<'a>,
) -> Result<(), UsageError<'a>> {
    for variable in variables {
        let Some(rest) = variable.to_bytes().strip_prefix(prefix.as_bytes()) else { continue };
        let name = before_equals(rest);
        let is_named = |flag: &str| flag.bytes().map(variable_byte).eq(name.iter().copied());
        if let Some(flag) = find(options, is_named)
            && let Some(value) = after_equals(variable)
            && !value.is_empty()
            && *flag.source == Source::Default
        {
            flag.set(value, Source::Environment)?;
        }
    }
    Ok(())
}

/// Calls `visit` with each flag, in the order of the table.
pub fn for_each<'a, O: Flags<'a>>(options: &mut O, mut visit: impl FnMut(&Flag)) {
    for number in 0..O::ROWS.len() {
        if let Some(flag) = options.flag(number) {
            visit(&flag);
        }
    }
}

/// The flag whose name `is_wanted`.
fn find<'o, 'a, O: Flags<'a>>(
    options: &'o mut O,
    is_wanted: impl Fn(&str) -> bool,
) -> Option<Flag<'o, 'a>> {
    let number = O::ROWS.iter().position(|row| is_wanted(row.name()))?;
    options.flag(number)
}

/// The byte in the name of a variable for a byte in the name of a flag.
fn variable_byte(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

/// The text before the first `=`, or all of it.
fn before_equals(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// The text behind the first `=`, if there is one.
fn after_equals(text: &CStr) -> Option<&CStr> {
    let equals = text.to_bytes().iter().position(|byte| *byte == b'=')?;
    CStr::from_bytes_with_nul(text.to_bytes_with_nul().get(equals + 1..)?).ok()
}

impl<'a> Flag<'_, 'a> {
    /// Sets the value to the one in `text`.
    fn set(self, text: &'a CStr, source: Source) -> Result<(), UsageError<'a>> {
        let Self { name: flag, value, .. } = self;
        if text.is_empty() {
            return Err(UsageError::MissingValue(flag));
        }
        value.set(text).map_err(|expected| {
            let value = text.to_bytes();
            UsageError::BadValue { flag, value, source, expected }
        })?;
        *self.source = source;
        Ok(())
    }
}

impl Show for UsageError<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::UnknownFlag(argument) => {
                put!(buffer, "unknown flag \"", Sanitized(argument), "\"");
            }
            Self::MissingValue(flag) => put!(buffer, "flag -", flag, " needs a value"),
            Self::BadValue { flag, value, source, expected } => {
                let place = match source {
                    Source::Environment => " in the environment",
                    Source::CommandLine | Source::Default => "",
                };
                let value = Sanitized(value);
                put!(
                    buffer,
                    "bad value \"",
                    value,
                    "\"",
                    place,
                    " for flag -",
                    flag,
                    ": ",
                    expected
                );
            }
            Self::UnexpectedOperand(argument) => {
                put!(buffer, "unexpected argument \"", Sanitized(argument), "\"");
            }
            Self::MissingOperand(name) => put!(buffer, "missing argument ", name),
            Self::MissingFlag { flag, needs, why } => {
                put!(buffer, "flag -", flag, " needs flag -", needs, ": ", why);
            }
        }
    }
}
display!(Flag<'_, '_>, UsageError<'_>);

#[cfg(test)]
mod tests;
