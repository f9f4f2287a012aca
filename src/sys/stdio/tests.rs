//! Lines into a socket.

extern crate std;
use super::*;
use crate::sys::tests::{pair, read_all};
use rustix::fd::AsFd;
use std::string::String;
use std::time::Instant;
use std::vec::Vec as List;
use std::{format, thread, vec};

/// What arrives if this writes.
fn written(write: impl FnOnce(BorrowedFd)) -> String {
    let (reader, writer) = pair();
    write(writer.as_fd());
    drop(writer);
    String::from_utf8(read_all(&reader)).unwrap()
}

#[test]
fn line_has_its_parts_and_a_newline() {
    let rows: [(&str, &[&dyn Show], &str); 3] = [
        ("", &[], "\n"),
        ("zero ", &[], "zero \n"),
        ("one", &[&"", &" and ", &23u64], "one and 23\n"),
    ];
    for (start, parts, line) in rows {
        assert_eq!(written(|to| write_line(to, start, parts)), line);
    }
    assert_eq!(written(|to| write_line!(to, "no: ", 7u8, " of ", "9")), "no: 7 of 9\n");
}

#[test]
fn part_that_does_not_fit_is_left_out() {
    let long = "y".repeat(LINE_MAX);
    let rows: [(&str, &[&dyn Show], String); 3] = [
        // The newline always fits.
        ("", &[&&long[1..]], format!("{}\n", &long[1..])),
        ("x", &[&&long[1..]], format!("x{}\n", &long[2..])),
        ("x", &[&&*long, &"z"], "xz\n".into()),
    ];
    for (start, parts, line) in rows {
        assert_eq!(written(|to| write_line(to, start, parts)), line);
    }
}

/// It is more than the kernel buffers.
#[test]
fn long_text_is_written_whole_if_it_is_read() {
    let text: List<u8> = vec![b'x'; 2_000_000];
    let (reader, writer) = pair();
    let reading = thread::spawn(move || read_all(&reader));
    write_all(writer.as_fd(), &text);
    drop(writer);
    assert!(reading.join().unwrap() == text);
}

#[test]
fn text_that_is_not_read_is_lost() {
    let (reader, writer) = pair();
    drop(reader);
    write_all(writer.as_fd(), &vec![b'x'; 2_000_000]);
}

#[test]
fn text_is_lost_if_there_is_no_room_in_time() {
    let (reader, writer) = pair();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    for size in [4096, 1] {
        // Ends: when there is no room.
        while rustix::io::write(&writer, &vec![b'.'; size]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let begun = Instant::now();
    write_line!(writer.as_fd(), "lost");
    let took = begun.elapsed();
    assert!(took >= PIECE_TIMEOUT && took < 10 * PIECE_TIMEOUT, "{took:?}");
    // Once somebody reads again, the next line is written.
    let reading = thread::spawn(move || read_all(&reader));
    write_line!(writer.as_fd(), "written");
    drop(writer);
    let text = String::from_utf8(reading.join().unwrap()).unwrap();
    assert_eq!(text.trim_start_matches('.'), "written\n");
}
