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
display!(Positive);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};

    fn text(value: &impl Show) -> String {
        let mut buffer = heapless::Vec::<u8, 1024>::new();
        value.show(&mut buffer);
        String::from_utf8(buffer.to_vec()).unwrap()
    }

    #[test]
    fn path_is_any_text() {
        let mut path = c"/default";
        assert_eq!(path.set(c"a path\n"), Ok(()));
        assert_eq!((path, text(&path)), (c"a path\n", "a path".to_string()));
        assert!(!path.is_switch());
    }

    #[test]
    fn switch_is_true_or_false() {
        let mut switch = false;
        for (word, value) in [(c"true", true), (c"false", false)] {
            assert_eq!(switch.set(word), Ok(()));
            assert_eq!((switch, text(&switch)), (value, word.to_str().unwrap().to_string()));
        }
        for word in [c"True", c"1", c"yes", c"", c"true "] {
            assert_eq!(switch.set(word), Err("it takes false or true"), "{word:?}");
        }
        assert!(switch.is_switch());
    }

    #[test]
    fn durations_are_shown_as_they_are_set() {
        let mut duration = Duration::MAX;
        let mut positive = Positive::seconds(1);
        for (word, millis, shown) in [
            (c"0", 0, "0s"),
            (c"1ms", 1, "1ms"),
            (c"90s", 90_000, "1m30s"),
            (c"24h", 86_400_000, "24h"),
        ] {
            let expected = Duration::from_millis(millis);
            assert_eq!(duration.set(word), Ok(()));
            assert_eq!((duration, text(&duration)), (expected, shown.to_string()));
            if millis > 0 {
                assert_eq!(positive.set(word), Ok(()));
                assert_eq!(
                    (positive, positive.to_string()),
                    (Positive(expected), shown.to_string())
                );
            }
        }
        assert_eq!(Positive::seconds(60), Positive(Duration::from_secs(60)));
    }

    #[test]
    fn other_texts_are_no_durations() {
        let mut duration = Duration::ZERO;
        let mut positive = Positive::seconds(1);
        for word in [c"", c"10", c"-1s", c"soon", c"1d"] {
            let error = "it takes a duration like 90s, 10m or 1h30m";
            assert_eq!(duration.set(word), Err(error), "{word:?}");
            let error = "it takes a duration above zero, like 90s, 10m or 1h30m";
            assert_eq!(positive.set(word), Err(error), "{word:?}");
            assert_eq!(positive.set(c"0s"), Err(error));
        }
    }
}
