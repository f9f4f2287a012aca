//! The flags and the messages of `bottlerocket-install`: what it did to each file,
//! and why it could not do it. The program itself has all the file access.

use crate::cli::flags::Flags;
use crate::cli::help::Help;
use crate::text::errno::ErrnoText;
use crate::text::{Show, display, put};
use core::ffi::CStr;
use heapless::VecView;
use rustix::io::Errno;

crate::flags! {
    /// What the operator has set.
    pub struct Options<'a> {
        from: &'a CStr = c"", "-from DIR",
            "directory that contains the programs", default "the directory of this program";
    }
}

/// The help of `bottlerocket-install`.
pub const HELP: Help = Help {
    usage: "bottlerocket-install [flags] DIR",
    about: "Copies bottlerocket-checker and bottlerocket-reboot into DIR, which is created if it \
            does not exist. A file that differs or has another owner is replaced atomically, even \
            while it runs. A file that is the same is left alone. One line for each file says \
            what was done. Write permissions of others on DIR are removed.",
    flags: Options::ROWS,
    notes: &[],
    success: "the programs are installed",
    negative: "",
    failure: "the programs could not be installed",
    example: "bottlerocket-install /host/opt/bottlerocket",
};

/// What was found under the name of a program before it was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The same program.
    Same,
    /// The same program, but not everybody can run it, or others than its owner
    /// can change it.
    WrongMode,
    /// The same program, but a user other than root and this one owns it, and can
    /// change it.
    WrongOwner,
    /// Another file, or something else that can be replaced.
    Other,
}

impl Found {
    /// What the install then did to the file, as the start of a line.
    pub fn action(self) -> &'static str {
        match self {
            Self::Nothing => "installed",
            Self::Same => "unchanged",
            Self::WrongMode => "fixed the mode of",
            Self::WrongOwner => "fixed the owner of",
            Self::Other => "updated",
        }
    }
}

/// What a directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The programs are copied from it.
    Source,
    /// The programs are copied into it.
    Target,
}

/// The path of a directory, or of a file in it.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    /// The path of the directory, as the operator has written it.
    pub directory: &'a [u8],
    /// The name of the file. Empty for the directory itself.
    pub name: &'static CStr,
}

impl Show for Path<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let end = self.directory.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let directory = self.directory.get(..end).unwrap_or_default();
        put_path(buffer, directory);
        if directory.is_empty() || !self.name.is_empty() {
            put!(buffer, "/");
        }
        put_path(buffer, self.name.to_bytes());
    }
}

/// Puts a path into a buffer, with an escape like `\n` or `\xff` for each byte
/// that is not printable ASCII. What does not fit is left out.
fn put_path(buffer: &mut VecView<u8>, path: &[u8]) {
    for byte in path.escape_ascii() {
        let _ = buffer.push(byte);
    }
}

/// Why something could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A system call failed.
    Errno(Errno),
    /// A program to install is not a regular file.
    NotRegular,
    /// A program to install has no bytes.
    Empty,
    /// A program to install is larger than any program of this project.
    TooLarge,
    /// A program to install changed while it was copied.
    Changed,
    /// Another install held the lock for 10 seconds.
    Locked,
    /// A user other than root and this one owns the target directory.
    ForeignOwner,
    /// The target directory is shared by all users, like `/tmp`.
    Shared,
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Show for Cause {
    fn show(&self, buffer: &mut VecView<u8>) {
        match self {
            Self::Errno(errno) => put!(buffer, ErrnoText(*errno)),
            Self::NotRegular => put!(buffer, "not a regular file"),
            Self::Empty => put!(buffer, "the file is empty"),
            Self::TooLarge => put!(buffer, "the file is larger than 16 MiB"),
            Self::Changed => put!(buffer, "the file changed while it was copied"),
            Self::Locked => put!(buffer, "another install has held the lock for 10 seconds"),
            Self::ForeignOwner => put!(buffer, "another user owns it and can replace the programs"),
            Self::Shared => put!(buffer, "it is shared with other users (sticky bit)"),
        }
    }
}

/// What could not be done. Its text has advice for the operator.
#[derive(Debug)]
pub struct Failure<'a> {
    /// What was tried, as in "cannot open directory".
    pub tried: &'static str,
    /// The directory or file that it was tried with.
    pub path: Path<'a>,
    /// What the directory is for.
    pub role: Role,
    /// Why it failed.
    pub cause: Cause,
}

impl Failure<'_> {
    /// What the operator can do. Empty if there is no advice.
    fn advice(&self) -> &'static str {
        match (self.cause, self.role) {
            (Cause::Changed | Cause::Locked, _) => "try again",
            (Cause::NotRegular | Cause::Empty | Cause::TooLarge, _) => SET_FROM,
            (Cause::ForeignOwner, _) => "change its owner or choose another directory",
            (Cause::Shared, _) => "choose another directory",
            (Cause::Errno(Errno::ACCESS | Errno::PERM), _) => {
                "check the user, the mode and the SELinux label"
            }
            (Cause::Errno(Errno::NOSPC | Errno::DQUOT), _) => "free some space and try again",
            (Cause::Errno(Errno::ROFS), _) => "mount the file system writable",
            (Cause::Errno(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG), Role::Source) => {
                SET_FROM
            }
            (Cause::Errno(Errno::NOENT), Role::Target) => "choose another directory",
            (Cause::Errno(Errno::NOTDIR | Errno::ISDIR | Errno::EXIST), _) => {
                "move it away or choose another directory"
            }
            (Cause::Errno(_), _) => "",
        }
    }
}

const SET_FROM: &str = "set -from to the directory that contains the programs";

impl Show for Failure<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        put!(buffer, "cannot ", self.tried, " ", self.path, ": ", self.cause);
        let advice = self.advice();
        if !advice.is_empty() {
            put!(buffer, "; ", advice);
        }
    }
}
display!(Path<'_>, Failure<'_>);

#[cfg(test)]
mod tests;
