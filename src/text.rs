//! Writes strings and numbers without the padding that `core::fmt` has for
//! both: nobody asks for it here, and its code is two kilobytes in every
//! program.

use core::fmt;
use core::str;

/// Writes strings one behind the other.
///
/// # Errors
///
/// Those of `f`.
pub fn write_parts(f: &mut fmt::Formatter, parts: &[&str]) -> fmt::Result {
    parts.iter().try_for_each(|part| f.write_str(part))
}

/// Cuts the first word and the space behind it off a text that has a space.
pub fn cut_word<'a>(text: &mut &'a str) -> &'a str {
    let end = text.bytes().position(|byte| byte == b' ').unwrap_or(0);
    let word = text.get(..end).unwrap_or_default();
    *text = text.get(end + 1..).unwrap_or_default();
    word
}

/// Shows a number in decimal digits.
pub struct Number(pub u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut digits = [0; 20];
        let mut rest = self.0;
        let mut first = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            first = at;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.get(first..).unwrap_or_default();
        f.write_str(str::from_utf8(digits).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers() {
        for number in [0, 1, 9, 10, 42, 100, 1_234_567_890, u64::MAX - 1, u64::MAX] {
            assert_eq!(Number(number).to_string(), number.to_string());
        }
    }
}
