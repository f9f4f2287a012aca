//! Text for people, written without `core::fmt`.
//!
//! A type that has a text implements [`Show`], and [`put!`] appends the values of a
//! message to a buffer. `core::fmt` does more, such as padding, and adds 1 to 6 KB
//! to each program.
//!
//! | file | duty |
//! |---|---|
//! | `duration.rs` | reads and shows durations such as `1h30m` |
//! | `errno.rs` | shows the kernel's errors in words |
//! | `excerpt.rs` | makes one safe line of a text of any length |
//! | `fields.rs` | small files: a header, lines of fields, a checksum |
//! | `timestamp.rs` | shows points in time as in RFC 3339 |

pub mod duration;
pub mod errno;
pub mod excerpt;
pub mod fields;
pub mod timestamp;

use core::fmt;
use core::str;
use heapless::{Vec, VecView};

/// A value that has a text for people.
pub trait Show {
    /// Appends the text to `buffer`. A piece of it that does not fit is left out.
    fn show(&self, buffer: &mut VecView<u8>);
}

impl Show for str {
    fn show(&self, buffer: &mut VecView<u8>) {
        let _ = buffer.extend_from_slice(self.as_bytes());
    }
}

/// The number of digits of the largest `u64`.
const DIGITS_MAX: usize = 20;

/// Shows the number in decimal digits.
impl Show for u64 {
    fn show(&self, buffer: &mut VecView<u8>) {
        let mut number = *self;
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
}

/// Shows smaller unsigned integers like a `u64`.
macro_rules! show_as_u64 {
    ($($type:ty),+) => {$(
        impl Show for $type {
            fn show(&self, buffer: &mut VecView<u8>) {
                (*self as u64).show(buffer);
            }
        }
    )+};
}
show_as_u64!(u8, u16, u32, usize);

/// Shows the number in decimal digits, with a minus before it if it is below zero.
impl Show for i64 {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(buffer, if *self < 0 { "-" } else { "" }, self.unsigned_abs());
    }
}

impl<T: Show + ?Sized> Show for &T {
    fn show(&self, buffer: &mut VecView<u8>) {
        T::show(self, buffer);
    }
}

/// Appends values to a buffer of bytes, one after the other:
/// `put!(buffer, "cannot ", tried, ": ", ErrnoText(errno))`.
///
/// The buffer is a `&mut VecView<u8>` or a `&mut Vec<u8, N>`. Each value implements
/// [`Show`](crate::text::Show). A piece that does not fit is left out.
#[macro_export]
macro_rules! put {
    ($buffer:expr, $($value:expr),+ $(,)?) => {{
        #[allow(unused_imports, reason = "most callers have it in scope")]
        use $crate::text::Show as _;
        let buffer: &mut heapless::VecView<u8> = $buffer;
        $($value.show(buffer);)+
    }};
}
#[doc(inline)]
pub use crate::put;

/// The longest text that [`format`] writes, in bytes.
const DISPLAY_MAX: usize = 2048;

/// Writes the text of a value, of at most 2,048 bytes, to a formatter.
///
/// # Errors
///
/// The formatter fails.
pub fn format(value: &dyn Show, f: &mut fmt::Formatter) -> fmt::Result {
    let mut buffer = Vec::<u8, DISPLAY_MAX>::new();
    value.show(&mut buffer);
    f.write_str(str::from_utf8(&buffer).unwrap_or_default())
}

/// Implements [`fmt::Display`] for types that implement [`Show`]: for tests, and
/// for programs that use `std`.
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

#[cfg(test)]
mod tests;
