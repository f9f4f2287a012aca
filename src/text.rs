//! Writes strings and numbers without the padding that `core::fmt` has for
//! both: nobody asks for it here, and its code is two kilobytes in every
//! program.

use core::fmt;
use core::str;
use heapless::VecView;

/// Writes strings one behind the other.
///
/// # Errors
///
/// Those of `f`.
pub fn write_parts(f: &mut fmt::Formatter, parts: &[&str]) -> fmt::Result {
    parts.iter().try_for_each(|part| f.write_str(part))
}

/// Puts strings into a buffer, one behind the other. One that has no room is
/// left out.
#[inline(never)]
pub fn put(buffer: &mut VecView<u8>, parts: &[&str]) {
    for part in parts {
        let _ = buffer.extend_from_slice(part.as_bytes());
    }
}

/// Puts a number into a buffer, in decimal digits.
#[inline(never)]
pub fn put_number(buffer: &mut VecView<u8>, number: u64) {
    let mut digits = [0; DIGITS_MAX];
    put(buffer, &[digits_of(number, &mut digits)]);
}

/// Cuts off what stands before the first `at`, and `at` itself. Without one,
/// nothing.
#[inline(never)]
pub fn cut<'a>(text: &mut &'a str, at: u8) -> &'a str {
    let end = text.bytes().position(|byte| byte == at);
    let Some((before, behind)) = end.and_then(|end| text.split_at_checked(end)) else { return "" };
    *text = behind.get(1..).unwrap_or_default();
    before
}

/// How many digits a number has at most.
const DIGITS_MAX: usize = 20;

fn digits_of(mut number: u64, digits: &mut [u8; DIGITS_MAX]) -> &str {
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first = at;
        if number == 0 {
            break;
        }
    }
    str::from_utf8(digits.get(first..).unwrap_or_default()).unwrap_or_default()
}

/// Shows a number in decimal digits.
pub struct Number(pub u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(digits_of(self.0, &mut [0; DIGITS_MAX]))
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
