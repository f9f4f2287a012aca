//! The one file that touches sockets and clocks, and that writes to the standard streams.

use core::fmt::{self, Write};
use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

/// The longest line that is written, in bytes; what is longer is cut.
const LINE_MAX: usize = 2048;

/// Writes one line: `line` and a newline.
///
/// What cannot be written is lost: there is nobody left to tell.
pub fn write_line(to: BorrowedFd, line: fmt::Arguments) {
    let mut text = Line(Vec::new());
    // The only error there can be is a line that does not fit, which is cut.
    let _ = text.write_fmt(line);
    let _ = text.0.push(b'\n');
    write_all(to, &text.0);
}

/// Writes `text` as it is.
///
/// What cannot be written is lost: there is nobody left to tell.
pub fn write_all(to: BorrowedFd, mut text: &[u8]) {
    while !text.is_empty() {
        match rustix::io::write(to, text) {
            Ok(written) => text = text.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// The start of a line, as much of it as there is room for.
struct Line(Vec<u8, LINE_MAX>);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // One byte is kept for the newline.
        let room = (LINE_MAX - 1).saturating_sub(self.0.len());
        let fitting = text.floor_char_boundary(room);
        let text = text.as_bytes().get(..fitting).unwrap_or_default();
        self.0.extend_from_slice(text).map_err(|_| fmt::Error)
    }
}
