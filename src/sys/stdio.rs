//! Writing to the standard streams.

use crate::text::{Show, put};
use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

/// The longest line that is written, in bytes; a part that has no room is left out.
const LINE_MAX: usize = 2048;

/// Writes one line: `start`, `parts`, one behind the other, and a newline.
///
/// What cannot be written is lost: there is nobody left to tell.
#[inline(never)]
pub fn write_line(to: BorrowedFd, start: &str, parts: &[&dyn Show]) {
    let mut line = Vec::<u8, LINE_MAX>::new();
    put(&mut line, &[start]);
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
/// What cannot be written is lost: there is nobody left to tell.
pub fn write_all(to: BorrowedFd, mut text: &[u8]) {
    // Ends: each turn writes a part, or was interrupted.
    while !text.is_empty() {
        match rustix::io::write(to, text) {
            Ok(written @ 1..) => text = text.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::sys::tests::{pair, read_all};
    use rustix::fd::AsFd;
    use std::string::String;
    use std::{format, thread, vec};

    #[test]
    fn what_is_written() {
        let long = "y".repeat(LINE_MAX);
        let rows: [(&str, &[&dyn Show], String); 6] = [
            ("", &[], "\n".into()),
            ("zero ", &[], "zero \n".into()),
            ("one", &[&"", &" and ", &23u64], "one and 23\n".into()),
            // There is always room for the end.
            ("", &[&&long[1..]], format!("{}\n", &long[1..])),
            ("x", &[&&long[1..]], format!("x{}\n", &long[2..])),
            // What does not fit at all is left out.
            ("x", &[&&*long, &"z"], "xz\n".into()),
        ];
        for (start, parts, text) in rows {
            let (reader, writer) = pair();
            write_line(writer.as_fd(), start, parts);
            drop(writer);
            assert_eq!(String::from_utf8(read_all(&reader)).unwrap(), text);
        }
        // More than the kernel keeps, with somebody who reads, and without.
        let text = vec![b'x'; 2_000_000];
        let (reader, writer) = pair();
        let reading = thread::spawn(move || read_all(&reader));
        write_all(writer.as_fd(), &text);
        drop(writer);
        assert!(reading.join().unwrap() == text);
        let (reader, writer) = pair();
        drop(reader);
        write_all(writer.as_fd(), &text);
    }
}
