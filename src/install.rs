//! The flags and the messages of `bottlerocket-install`: what it did to each file,
//! and why it could not do it. The program itself has all the file access.
//!
//! Here is also the list of all files that this project creates on a host, so that
//! removing them removes these and no others.

use crate::cli::flags::Flags;
use crate::cli::help::Help;
use crate::text::errno::ErrnoText;
use crate::text::{Show, display, put};
use core::ffi::CStr;
use heapless::VecView;
use rustix::fs::FileType;
use rustix::io::Errno;

crate::flags! {
    /// What the operator has set.
    pub struct Options<'a> {
        from: &'a CStr = c"", "-from DIR",
            "directory that contains the programs", default "the directory of this program";
        gate_socket: &'a CStr = c"", "-gate-socket PATH",
            "create DIR/reboot/api.sock, the link that the gate's socket is mounted through; PATH \
             is the socket on the host",
            default "none";
        updater_link: &'a CStr = c"", "-updater-link DIR",
            "create DIR/updater.sock, the link to /run/api.sock that the updater's socket is \
             mounted through",
            default "none";
        state_dir: &'a CStr = c"", "-state-dir PATH",
            "create the directory of the updater's state, or fix its owner and its mode",
            default "none";
        remove: bool = false, "-remove",
            "remove what this project has created in DIR and in -state-dir, and these directories \
             if nothing else is in them";
        wait: bool = false, "-wait",
            "wait for SIGTERM when everything else is done";
    }
}

/// The help of `bottlerocket-install`.
pub const HELP: Help = Help {
    usage: "bottlerocket-install [flags] [DIR]",
    about: "Copies bottlerocket-checker and bottlerocket-reboot into DIR, which is created if it \
            does not exist. A file that differs or has another owner is replaced atomically, even \
            while it runs. A file that is the same is left alone. One line for each file says \
            what was done. Write permissions of others on DIR are removed.",
    flags: Options::ROWS,
    notes: &[
        "The directory of the state belongs to root and to the group 274 of the updater, and has \
         the mode 0770. Without capabilities, run this as root with the group 274. An existing \
         directory is not changed if it contains files of others.",
        "The gate's link leads to PATH if DIR/reboot contains the record of a reboot, and else to \
         /dev/null: without a record the gate needs no socket, and can start while there is none.",
        "-remove never follows a link. It keeps files of others, and says which.",
    ],
    success: "everything was done; with -remove, only files of others are left",
    negative: "",
    failure: "something could not be done",
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

/// A file that this project creates on a host.
#[derive(Debug, Clone, Copy)]
pub struct OwnFile {
    /// The name in its directory.
    pub name: &'static CStr,
    /// What kind of file it is.
    pub kind: FileType,
}

const fn regular(name: &'static CStr) -> OwnFile {
    OwnFile { name, kind: FileType::RegularFile }
}

const fn link(name: &'static CStr) -> OwnFile {
    OwnFile { name, kind: FileType::Symlink }
}

/// The programs, whole and while they are written.
pub const PROGRAM_FILES: &[OwnFile] = &[
    regular(c"bottlerocket-checker"),
    regular(c".bottlerocket-checker.new"),
    regular(c"bottlerocket-reboot"),
    regular(c".bottlerocket-reboot.new"),
];

/// The name of the directory of the record, which is beside the programs.
pub const RECORD_DIRECTORY: &CStr = c"reboot";
/// The name of the record.
pub const RECORD: &CStr = c"record";
/// The name of the link to the API's socket for the gate.
pub const SOCKET_LINK: &CStr = c"api.sock";
/// Its name while it is made.
pub const NEW_SOCKET_LINK: &CStr = c"api.sock.new";

/// The name of the link to the API's socket for the updater.
pub const UPDATER_LINK: &CStr = c"updater.sock";
/// Its name while it is made.
pub const NEW_UPDATER_LINK: &CStr = c"updater.sock.new";

/// The files in the directory of the record.
pub const RECORD_FILES: &[OwnFile] = &[
    regular(RECORD),
    regular(c"record.new"),
    link(SOCKET_LINK),
    link(NEW_SOCKET_LINK),
    link(UPDATER_LINK),
    link(NEW_UPDATER_LINK),
];

/// The files of the updater's state.
pub const STATE_FILES: &[OwnFile] =
    &[regular(c"state"), regular(c"state.new"), regular(c"state.damaged")];

/// What the link to the socket leads to while the gate needs no socket. It exists on
/// every host, so the mount always works.
pub const NO_SOCKET: &CStr = c"/dev/null";

/// Whether a file of this project has this name.
pub fn is_own(name: &[u8], files: &[OwnFile]) -> bool {
    files.iter().any(|file| file.name.to_bytes() == name)
}

/// What a directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The programs are copied from it.
    Source,
    /// The programs are copied into it.
    Target,
    /// It contains the updater's state.
    State,
    /// What this project has created there is removed.
    Removed,
}

impl Role {
    /// Whether missing directories are created.
    pub fn is_created(self) -> bool {
        matches!(self, Self::Target | Self::State)
    }

    /// Whether the path may lead through symbolic links.
    pub fn may_be_link(self) -> bool {
        matches!(self, Self::Source | Self::Target)
    }
}

/// The path of a directory, or of a file in it.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    /// The path of the directory, as the operator has written it.
    pub directory: &'a [u8],
    /// The name of a directory in it that contains the file. Empty if there is none.
    pub inner: &'static CStr,
    /// The name of the file. Empty for the directory itself.
    pub name: &'static CStr,
}

/// The name of a file that was found in a directory.
pub struct FoundName<'a>(pub &'a [u8]);

impl Show for FoundName<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        put_path(buffer, self.0);
    }
}

impl Show for Path<'_> {
    fn show(&self, buffer: &mut VecView<u8>) {
        let end = self.directory.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let directory = self.directory.get(..end).unwrap_or_default();
        put_path(buffer, directory);
        if directory.is_empty() && self.inner.is_empty() && self.name.is_empty() {
            put!(buffer, "/");
        }
        for name in [self.inner, self.name] {
            if !name.is_empty() {
                put!(buffer, "/");
                put_path(buffer, name.to_bytes());
            }
        }
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
    /// The directory is a symbolic link.
    Link,
    /// The directory of the state contains files that are not the updater's.
    ForeignFiles,
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
            Self::Link => put!(buffer, "it is a symbolic link"),
            Self::ForeignFiles => put!(buffer, "it contains files that are not the updater's"),
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
            (Cause::Shared | Cause::ForeignFiles, _) => "choose another directory",
            (Cause::Link, Role::Removed) => "remove it, and what it leads to, by hand",
            (Cause::Link, _) => "move it away or choose another directory",
            (Cause::Errno(Errno::PERM), Role::State) => {
                "run this as root with the group 274, or with the capability CHOWN"
            }
            (Cause::Errno(Errno::ACCESS | Errno::PERM), _) => {
                "check the user, the mode and the SELinux label"
            }
            (Cause::Errno(Errno::NOSPC | Errno::DQUOT), _) => "free some space and try again",
            (Cause::Errno(Errno::ROFS), _) => "mount the file system writable",
            (Cause::Errno(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG), Role::Source) => {
                SET_FROM
            }
            (Cause::Errno(Errno::NOENT), _) => "choose another directory",
            (Cause::Errno(Errno::BUSY), _) => "mount the directory above it",
            (Cause::Errno(Errno::NOTDIR | Errno::ISDIR), Role::Removed) => "remove it by hand",
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
