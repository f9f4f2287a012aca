//! The kernel's error numbers in words.

use crate::text::{Show, display, put};
use heapless::VecView;
use rustix::io::Errno;

/// Shows an error of the kernel. Errors that an operator may meet with these
/// programs are shown in words, all others by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrnoText(pub Errno);

impl Show for ErrnoText {
    fn show(&self, buffer: &mut VecView<u8>) {
        let words = match self.0 {
            Errno::PERM => "operation not permitted",
            Errno::NOENT => "no such file or directory",
            Errno::IO => "input/output error",
            Errno::AGAIN => "resource temporarily unavailable",
            Errno::NOMEM => "out of memory",
            Errno::ACCESS => "permission denied",
            Errno::BUSY => "device or resource busy",
            Errno::EXIST => "file exists",
            Errno::NOTDIR => "not a directory",
            Errno::ISDIR => "is a directory",
            Errno::INVAL => "invalid argument",
            Errno::NFILE | Errno::MFILE => "too many open files",
            Errno::FBIG => "file too large",
            Errno::NOSPC => "no space left on device",
            Errno::ROFS => "read-only file system",
            Errno::PIPE => "broken pipe",
            Errno::NAMETOOLONG => "name too long",
            Errno::NOSYS => "function not implemented",
            Errno::LOOP => "too many symbolic links",
            Errno::PROTOTYPE => "wrong type of socket",
            Errno::ADDRINUSE => "address already in use",
            Errno::ADDRNOTAVAIL => "address not available",
            Errno::CONNRESET => "connection reset",
            Errno::NOBUFS => "no buffer space available",
            Errno::CONNREFUSED => "connection refused",
            Errno::DQUOT => "disk quota exceeded",
            other => return put!(buffer, "error number ", other.raw_os_error().unsigned_abs()),
        };
        put!(buffer, words);
    }
}
display!(ErrnoText);

#[cfg(test)]
mod tests;
