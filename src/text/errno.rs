//! What the kernel's error numbers mean, in words.

use crate::text::duration::whole_number;
use crate::text::{Show, cut, display, put, put_number};
use heapless::VecView;
use rustix::io::Errno;

/// The numbers, which are the same on all architectures that the programs are
/// for, and what they mean.
const WORDS: &str = "\
1 operation not permitted
2 no such file or directory
5 input/output error
11 resource temporarily unavailable
12 out of memory
13 permission denied
16 device or resource busy
17 file exists
20 not a directory
21 is a directory
22 invalid argument
23 too many open files
24 too many open files
27 file too large
28 no space left on device
30 read-only file system
32 broken pipe
36 name too long
38 function not implemented
40 too many symbolic links
91 wrong type of socket
98 address already in use
99 address not available
104 connection reset
105 no buffer space available
111 connection refused
122 disk quota exceeded
";

/// Shows an error of the kernel: in words if it is one that an operator may
/// meet with these programs, by its number otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrnoText(pub Errno);

impl Show for ErrnoText {
    fn show(&self, buffer: &mut VecView<u8>) {
        let number = self.0.raw_os_error().unsigned_abs().into();
        let mut lines = WORDS;
        // Ends: each turn takes a line, and the last one has an end, too.
        while !lines.is_empty() {
            let mut words = cut(&mut lines, b'\n');
            if whole_number(cut(&mut words, b' ').as_bytes()) == Some(number) {
                return put(buffer, &[words]);
            }
        }
        put(buffer, &["error number "]);
        put_number(buffer, number);
    }
}
display!(ErrnoText);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn in_words_or_by_number() {
        for (errno, text) in [
            (Errno::ACCESS, "permission denied"),
            (Errno::AGAIN, "resource temporarily unavailable"),
            (Errno::CONNREFUSED, "connection refused"),
            (Errno::CONNRESET, "connection reset"),
            (Errno::DQUOT, "disk quota exceeded"),
            (Errno::EXIST, "file exists"),
            (Errno::FBIG, "file too large"),
            (Errno::IO, "input/output error"),
            (Errno::ISDIR, "is a directory"),
            (Errno::LOOP, "too many symbolic links"),
            (Errno::MFILE, "too many open files"),
            (Errno::NAMETOOLONG, "name too long"),
            (Errno::NFILE, "too many open files"),
            (Errno::NOENT, "no such file or directory"),
            (Errno::NOMEM, "out of memory"),
            (Errno::NOSPC, "no space left on device"),
            (Errno::NOTDIR, "not a directory"),
            (Errno::PERM, "operation not permitted"),
            (Errno::PIPE, "broken pipe"),
            (Errno::PROTOTYPE, "wrong type of socket"),
            (Errno::ROFS, "read-only file system"),
            (Errno::ADDRINUSE, "address already in use"),
            (Errno::ADDRNOTAVAIL, "address not available"),
            (Errno::BUSY, "device or resource busy"),
            (Errno::INVAL, "invalid argument"),
            (Errno::NOBUFS, "no buffer space available"),
            (Errno::NOSYS, "function not implemented"),
            (Errno::XDEV, "error number 18"),
        ] {
            assert_eq!(ErrnoText(errno).to_string(), text);
        }
        assert_eq!(WORDS.lines().count(), 27);
    }
}
