//! The values that flags take: paths, durations and switches. A program adds
//! its own kinds by implementing [`FlagValue`].

use crate::text::duration::{self, HumanDuration};
use crate::text::excerpt::Sanitized;
use crate::text::{Show, display, put};
use core::ffi::CStr;
use core::time::Duration;
use heapless::VecView;

/// What a flag takes, as the end of an error message: "it takes false or true".
pub type Expected = &'static str;

/// The value of a flag. Its text is in the form that [`FlagValue::set`] takes.
pub trait FlagValue<'a>: Show {
    /// Replaces the value with the one in `text`, which is not empty and comes
    /// from the command line or from the environment. It is called once for
    /// each time that the flag is given.
    ///
    /// # Errors
    ///
    /// What the flag takes, if that is not `text`. The value may have changed.
    fn set(&mut self, text: &'a CStr) -> Result<(), Expected>;

    /// Whether the flag is a switch: without a value it means `true`, and a
    /// value must follow behind `=`.
    fn is_switch(&self) -> bool {
        false
    }
}

/// A path: any text.
impl<'a> FlagValue<'a> for &'a CStr {
    fn set(&mut self, text: &'a CStr) -> Result<(), Expected> {
        *self = text;
        Ok(())
    }
}

impl Show for CStr {
    fn show(&self, buffer: &mut VecView<u8>) {
        Sanitized(self.to_bytes()).show(buffer);
    }
}

/// A switch: `true` or `false`.
impl FlagValue<'_> for bool {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        *self = match text.to_bytes() {
            b"true" => true,
            b"false" => false,
            _ => return Err("it takes false or true"),
        };
        Ok(())
    }

    fn is_switch(&self) -> bool {
        true
    }
}

impl Show for bool {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(buffer, if *self { "true" } else { "false" });
    }
}

/// A duration of zero or more.
impl FlagValue<'_> for Duration {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        let expected = "it takes a duration like 90s, 10m or 1h30m";
        *self = duration::parse(text.to_bytes()).ok_or(expected)?;
        Ok(())
    }
}

impl Show for Duration {
    fn show(&self, buffer: &mut VecView<u8>) {
        HumanDuration(*self).show(buffer);
    }
}

/// A duration above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positive(pub Duration);

impl Positive {
    /// A number of seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FlagValue<'_> for Positive {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        let expected = "it takes a duration above zero, like 90s, 10m or 1h30m";
        let parsed = duration::parse(text.to_bytes()).filter(|duration| !duration.is_zero());
        self.0 = parsed.ok_or(expected)?;
        Ok(())
    }
}

impl Show for Positive {
    fn show(&self, buffer: &mut VecView<u8>) {
        HumanDuration(self.0).show(buffer);
    }
}
/// A duration, or `None` for `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationOrNever(pub Option<Duration>);

impl DurationOrNever {
    /// A number of seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Some(Duration::from_secs(seconds)))
    }
}

impl FlagValue<'_> for DurationOrNever {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        let expected = "it takes a duration above zero, like 24h, or never";
        self.0 = match text.to_bytes() {
            b"never" => None,
            text => {
                let parsed = duration::parse(text).filter(|duration| !duration.is_zero());
                Some(parsed.ok_or(expected)?)
            }
        };
        Ok(())
    }
}

impl Show for DurationOrNever {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self.0 {
            Some(duration) => HumanDuration(duration).show(buffer),
            None => put!(buffer, "never"),
        }
    }
}

/// How often a version may fail to boot before it is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootAttempts(pub u64);

impl FlagValue<'_> for BootAttempts {
    fn set(&mut self, text: &CStr) -> Result<(), Expected> {
        let number = duration::whole_number(text.to_bytes());
        let allowed = number.filter(|number| (1..=100).contains(number));
        self.0 = allowed.ok_or("it takes a number from 1 to 100")?;
        Ok(())
    }
}

impl Show for BootAttempts {
    fn show(&self, buffer: &mut VecView<u8>) {
        self.0.show(buffer);
    }
}

display!(Positive, DurationOrNever, BootAttempts);

#[cfg(test)]
mod tests;
