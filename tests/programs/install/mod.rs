//! The install program: the files that it installs, its output, and the files that remain
//! after errors, kills and concurrent installs.
//!
//! Each test has its own directory and starts the program there, so that the messages
//! contain short relative paths.

// The installed files: contents, modes, links, leftovers.
mod target;
// The programs to install, and where the program finds them.
mod source;
// Flags, and closed standard streams.
mod command_line;
// Running programs, concurrent installs, failed writes, kills.
mod interruptions;
// Errors of the file system: wrong kinds of files, limits, permissions, full or read-only
// file systems.
mod errors;
// The directory of the state, the link for the gate's socket, removal, waiting.
mod host;

use crate::common::program_path;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, id};

const CHECKER: &str = "bottlerocket-checker";

const REBOOT: &str = "bottlerocket-reboot";

const LEFTOVER: &str = ".bottlerocket-checker.new";

/// The size of a program in bytes. It is not a multiple of the read buffer.
const SIZE: usize = 100_000;

/// The directory of a test. Dropping this removes it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self::below(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    fn below(parent: &Path, name: &str) -> Self {
        let path = parent.join(format!("install-{name}-{}", id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Creates a directory with this version of both programs.
    fn programs(&self, directory: &str, version: u8) {
        fs::create_dir_all(self.path(directory)).unwrap();
        for name in [CHECKER, REBOOT] {
            let path = self.path(directory).join(name);
            fs::write(&path, contents(name, version)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Creates a directory with executable programs. The files installed from there can be
    /// executed: no thread of this process ever had them open for writing.
    fn real_programs(&self, directory: &str) {
        fs::create_dir_all(self.path(directory)).unwrap();
        for name in [CHECKER, REBOOT] {
            symlink(program_path("install"), self.path(directory).join(name)).unwrap();
        }
    }

    /// The install program with these arguments, in this directory.
    fn install<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(program_path("install"));
        command.args(arguments).current_dir(&self.0);
        command
    }

    /// The same, but a shell runs `first` before it executes the program.
    fn install_after(&self, first: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]).arg(program_path("install"));
        command.args(arguments).current_dir(&self.0);
        command
    }

    /// The names in the directory, sorted.
    fn list(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Checks that the directory contains this version of both programs, with the right
    /// mode, and nothing else.
    #[track_caller]
    fn assert_installed(&self, directory: &str, version: u8) {
        assert_eq!(self.list(directory), [CHECKER, REBOOT]);
        for name in [CHECKER, REBOOT] {
            assert_eq!(self.version(directory, name), Some(version), "{name}");
        }
    }

    /// The version of an installed program, or `None` if there is no file. Checks that the
    /// file is whole and that all users can execute it.
    #[track_caller]
    fn version(&self, directory: &str, name: &str) -> Option<u8> {
        let path = self.path(directory).join(name);
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            metadata => metadata.unwrap(),
        };
        assert!(metadata.is_file(), "{metadata:?}");
        assert_eq!(metadata.mode() & 0o7777, 0o755, "mode of {name}");
        let found = fs::read(&path).unwrap();
        let version = (0..=9).find(|version| found.first() == Some(&byte(0, *version)));
        let version = version.filter(|version| contents(name, *version) == found);
        assert!(version.is_some(), "{name} has {} bytes and is not a whole program", found.len());
        version
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A user who may not change what others own.
const OTHER_USER: u32 = 65534;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The contents of a program. All versions have the same size and differ in each byte.
fn contents(name: &str, version: u8) -> Vec<u8> {
    let size = SIZE + name.len();
    (0..size).map(|at| byte(at, version)).collect()
}

/// The byte at this offset of a program.
fn byte(at: usize, version: u8) -> u8 {
    (at / 7 + at * 31) as u8 ^ version.wrapping_mul(37)
}

/// The exit status and the output of a run.
#[derive(Debug, PartialEq)]
struct End {
    status: Option<i32>,
    out: String,
    err: String,
}

#[track_caller]
fn run(command: &mut Command) -> End {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    End::from(output)
}

impl From<Output> for End {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn done(out: &str) -> End {
    End { status: Some(0), out: out.into(), err: String::new() }
}

fn failed(why: &str) -> End {
    End { status: Some(3), out: String::new(), err: format!("bottlerocket-install: {why}\n") }
}

const INSTALLED: &str = "installed opt/bottlerocket-checker\ninstalled opt/bottlerocket-reboot\n";

const UPDATED: &str = "updated opt/bottlerocket-checker\nupdated opt/bottlerocket-reboot\n";

const UNCHANGED: &str = "unchanged opt/bottlerocket-checker\nunchanged opt/bottlerocket-reboot\n";
