//! The words for errors of the kernel.

extern crate std;
use super::*;
use std::string::ToString;

#[test]
fn known_errors_are_words_and_others_are_numbers() {
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
}
