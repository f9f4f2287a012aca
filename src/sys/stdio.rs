//! Lines on the standard streams.
//!
//! A stream may be a pipe that is full and that nobody reads. A program must not hang
//! on it: whoever started the program may be waiting for its exit status. So there is a
//! limit to the wait, and then the text is lost.

use crate::sys::deadline::timespec;
use crate::text::{Show, put};
use core::time::Duration;
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, IoSlice, ReadWriteFlags, pwritev2};

/// The longest line, in bytes. A part that does not fit is left out.
const LINE_MAX: usize = 2048;
/// How much is written at once. (Linux: `PIPE_BUF`.) A pipe with any room takes so many
/// bytes without blocking, and takes all of them or none.
const PIECE_MAX: usize = 4096;
/// How long to wait for room for a piece.
const PIECE_TIMEOUT: Duration = Duration::from_secs(1);

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

/// Writes `text` as it is. The rest of it is lost if nobody reads it.
///
/// An error is ignored: there is no other place to report it.
pub fn write_all(to: BorrowedFd, mut text: &[u8]) {
    // Ends: each turn writes a part, or a signal has interrupted it.
    while !text.is_empty() {
        let piece = text.get(..PIECE_MAX).unwrap_or(text);
        // The first way is one system call. Before Linux 6.4, it fails for every pipe.
        let written = write_without_blocking(to, piece).or_else(|_| {
            if has_room_within(to, PIECE_TIMEOUT) { rustix::io::write(to, piece) } else { Ok(0) }
        });
        match written {
            Ok(written @ 1..) => text = text.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Writes a part of `piece` at the end of what was written before.
///
/// # Errors
///
/// The kernel's error, for example that there is no room now, or that it cannot write to
/// `to` in this way.
fn write_without_blocking(to: BorrowedFd, piece: &[u8]) -> Result<usize, Errno> {
    /// (Linux: this offset makes the call write like `writev`, so to a pipe as well.)
    const CURRENT_OFFSET: u64 = u64::MAX;
    pwritev2(to, &[IoSlice::new(piece)], CURRENT_OFFSET, ReadWriteFlags::NOWAIT)
}

/// Whether a write of up to 4 KiB to `to` returns without blocking, at once or within
/// `timeout`.
pub fn has_room_within(to: BorrowedFd, timeout: Duration) -> bool {
    // If the kernel cannot wait, the write is tried: the line may say that.
    poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], Some(&timespec(timeout))) != Ok(0)
}

#[cfg(test)]
mod tests;
