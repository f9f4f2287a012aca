//! What the tests of whole programs share: the programs, a simulated node, and
//! what a run came to.
//!
//! `PROGRAMS` names a directory with other builds of the programs, and
//! `PROGRAMS_RUNNER` a command that runs them, such as `qemu-aarch64`.
#![allow(unused, reason = "each test file uses a part of it")]

use bottlerocket_simulator::{Options, Simulator};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// One of the four programs: its name without `bottlerocket-`.
pub fn program(name: &str) -> Command {
    let built = Path::new(match name {
        "checker" => env!("CARGO_BIN_EXE_bottlerocket-checker"),
        "reboot" => env!("CARGO_BIN_EXE_bottlerocket-reboot"),
        "updater" => env!("CARGO_BIN_EXE_bottlerocket-updater"),
        "install" => env!("CARGO_BIN_EXE_bottlerocket-install"),
        other => panic!("there is no program {other}"),
    });
    let path = match env::var_os("PROGRAMS") {
        Some(directory) => Path::new(&directory).join(built.file_name().unwrap()),
        None => built.to_path_buf(),
    };
    let mut command = match env::var_os("PROGRAMS_RUNNER") {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(path);
            command
        }
        None => Command::new(path),
    };
    command.stdin(Stdio::null());
    command
}

/// A directory of a test's own, which goes away with this.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The path of a socket must be short, so this is not below the target
        // directory.
        let path = env::temp_dir().join(format!("br-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn socket(&self) -> PathBuf {
        self.0.join("api.sock")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    /// The exit status, `None` if a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Ran {
        status: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}
