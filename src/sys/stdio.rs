//! Lines on the standard streams.

use crate::text::{Show, put};
use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

/// The longest line, in bytes. A part that does not fit is left out.
const LINE_MAX: usize = 2048;

/// Writes a line of values that implement [`Show`]:
/// `write_line!(STDOUT, "no: ", status)`.
#[macro_export]
macro_rules! write_line {
    ($to:expr, $($value:expr),+ $(,)?) => {
        $crate::sys::stdio::write_line($to, "", &[$(&$value),+])
    };
}
#[doc(inline)]
pub use crate::write_line;

/// Writes a line: `start`, the `parts`, and a newline.
///
/// An error is ignored: there is no other place to report it.
pub fn write_line(to: BorrowedFd, start: &str, parts: &[&dyn Show]) {
    let mut line = Vec::<u8, LINE_MAX>::new();
    put!(&mut line, start);
    for part in parts {
        part.show(&mut line);
    }
    // One byte is kept for the newline.
    line.truncate(LINE_MAX - 1);
    let _ = line.push(b'\n');
    write_all(to, &line);
}

/// Writes `text` as it is.
///
/// An error is ignored: there is no other place to report it.
pub fn write_all(to: BorrowedFd, mut text: &[u8]) {
    // Ends: each turn writes a part, or a signal has interrupted it.
    while !text.is_empty() {
        match rustix::io::write(to, text) {
            Ok(written @ 1..) => text = text.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
