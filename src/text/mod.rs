//! Writes strings, numbers and what is made of them without `core::fmt`. There is
//! no padding, which nobody asks for here and which is two kilobytes of code in
//! every program, and no error to pass on from each piece of a text.

pub mod duration;
pub mod errno;
pub mod excerpt;
pub mod timestamp;

use core::fmt;
use core::str;
use heapless::{Vec, VecView};

/// What can be shown to people.
pub trait Show {
    /// Puts the text of it into a buffer. A piece that has no room is left out.
    fn show(&self, buffer: &mut VecView<u8>);
}

impl Show for str {
    fn show(&self, buffer: &mut VecView<u8>) {
        put(buffer, &[self]);
    }
}

impl<T: Show + ?Sized> Show for &T {
    fn show(&self, buffer: &mut VecView<u8>) {
        T::show(self, buffer);
    }
}

/// Shows unsigned integers in decimal digits.
macro_rules! show_numbers {
    ($($type:ty),+) => {$(
        impl Show for $type {
            fn show(&self, buffer: &mut VecView<u8>) {
                put_number(buffer, *self as u64);
            }
        }
    )+};
}
show_numbers!(u8, u16, u32, u64, usize);

/// Puts values into a buffer of bytes, one after the other:
/// `put!(buffer, "cannot ", tried, ": ", ErrnoText(errno))`.
///
/// The buffer is a `&mut VecView<u8>`, or a `&mut Vec<u8, N>`. Each value is one
/// that implements [`Show`]. A piece that does not fit is left out.
#[macro_export]
macro_rules! put {
    ($buffer:expr, $($value:expr),+ $(,)?) => {{
        let buffer: &mut heapless::VecView<u8> = $buffer;
        $($crate::text::Show::show(&$value, buffer);)+
    }};
}
#[doc(inline)]
pub use crate::put;

/// The longest text that is displayed, in bytes.
const DISPLAY_MAX: usize = 2048;

/// Displays what can be shown.
///
/// # Errors
///
/// Those of `f`.
pub fn format(what: &dyn Show, f: &mut fmt::Formatter) -> fmt::Result {
    let mut buffer = Vec::<u8, DISPLAY_MAX>::new();
    what.show(&mut buffer);
    f.write_str(str::from_utf8(&buffer).unwrap_or_default())
}

/// Makes types that can be shown [`fmt::Display`], for whoever formats texts.
macro_rules! display {
    ($($type:ty),+) => {$(
        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter) -> core::fmt::Result {
                $crate::text::format(self, f)
            }
        }
    )+};
}
pub(crate) use display;

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
pub fn put_number(buffer: &mut VecView<u8>, mut number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first = at;
        if number == 0 {
            break;
        }
    }
    let _ = buffer.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// How many digits a number has at most.
const DIGITS_MAX: usize = 20;

/// Cuts off what stands before the first `at`, and `at` itself. Without one,
/// nothing.
#[inline(never)]
pub fn cut<'a>(text: &mut &'a str, at: u8) -> &'a str {
    let end = text.bytes().position(|byte| byte == at);
    let Some((before, behind)) = end.and_then(|end| text.split_at_checked(end)) else { return "" };
    *text = behind.get(1..).unwrap_or_default();
    before
}

/// The number, counted from 0, and the text of the one among `words`, with a
/// space behind each, that is `word`, with each byte of it as `written`.
#[inline(never)]
pub fn find<'a>(
    mut words: &'a str,
    word: &[u8],
    written: fn(u8) -> u8,
) -> Option<(usize, &'a str)> {
    let mut number = 0;
    // Ends: each turn takes a word.
    loop {
        let found = cut(&mut words, b' ');
        if found.is_empty() {
            return None;
        }
        let mut pairs = found.bytes().zip(word);
        if found.len() == word.len() && pairs.all(|(byte, other)| written(byte) == *other) {
            return Some((number, found));
        }
        number += 1;
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
            let mut buffer = Vec::<u8, 20>::new();
            number.show(&mut buffer);
            assert_eq!(buffer, number.to_string().as_bytes());
        }
    }

    #[test]
    fn put_writes_each_value_in_turn() {
        let mut buffer = Vec::<u8, 64>::new();
        put!(&mut buffer, "text ", 1u8, " ", 2u16, " ", 3u32, " ", 4u64, " ", 5usize, " ", &&"end");
        assert_eq!(buffer, b"text 1 2 3 4 5 end");
    }

    #[test]
    fn put_leaves_out_a_value_without_room() {
        let mut buffer = Vec::<u8, 4>::new();
        put!(&mut buffer, "abc", "de", 1u8);
        assert_eq!(buffer, b"abc1");
    }
}
