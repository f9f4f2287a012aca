//! What the kernel's error numbers mean, in words.

use crate::text::Number;
use core::fmt;
use rustix::io::Errno;

/// Shows an error of the kernel: in words if it is one that an operator may
/// meet with these programs, by its number otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason(pub Errno);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.0 {
            Errno::ACCESS => "permission denied",
            Errno::ADDRINUSE => "address already in use",
            Errno::ADDRNOTAVAIL => "address not available",
            Errno::AGAIN => "resource temporarily unavailable",
            Errno::BUSY => "device or resource busy",
            Errno::CONNREFUSED => "connection refused",
            Errno::CONNRESET => "connection reset",
            Errno::DQUOT => "disk quota exceeded",
            Errno::EXIST => "file exists",
            Errno::FBIG => "file too large",
            Errno::INVAL => "invalid argument",
            Errno::IO => "input/output error",
            Errno::ISDIR => "is a directory",
            Errno::LOOP => "too many symbolic links",
            Errno::MFILE | Errno::NFILE => "too many open files",
            Errno::NAMETOOLONG => "name too long",
            Errno::NOBUFS => "no buffer space available",
            Errno::NOENT => "no such file or directory",
            Errno::NOMEM => "out of memory",
            Errno::NOSPC => "no space left on device",
            Errno::NOSYS => "function not implemented",
            Errno::NOTDIR => "not a directory",
            Errno::PERM => "operation not permitted",
            Errno::PIPE => "broken pipe",
            Errno::PROTOTYPE => "wrong type of socket",
            Errno::ROFS => "read-only file system",
            other => {
                return write!(
                    f,
                    "error number {}",
                    Number(other.raw_os_error().unsigned_abs().into())
                );
            }
        })
    }
}
