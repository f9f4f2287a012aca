//! Programs that the demo starts, their output, and the directory of their files.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// A program that runs, and its output.
pub(super) struct RunningProgram {
    child: Child,
    lines: Receiver<Vec<u8>>,
}

impl RunningProgram {
    pub(super) fn start(command: &mut Command) -> io::Result<RunningProgram> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| at(Path::new(command.get_program()), &error))?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            send_lines(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            send_lines(stderr, sender);
        }
        Ok(RunningProgram { child, lines })
    }

    /// The next line of its output, or `None` at the end of the output or at the deadline.
    pub(super) fn line(&self, deadline: Instant) -> Option<String> {
        let left = deadline.saturating_duration_since(Instant::now());
        // The deadline also applies to a program that never stops printing.
        let line = self.lines.recv_timeout(left).ok().filter(|_| !left.is_zero())?;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Sends a signal to the program, which has not been waited for.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        kill_process(pid, signal).map_err(|errno| Error::from_raw_os_error(errno.raw_os_error()))
    }

    /// Waits until the program ends. Returns `None` if it does not end in time.
    pub(super) fn wait(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        // After the deadline nobody reads the output, so the program may end just because
        // of that. This must not count.
        while Instant::now() < deadline {
            let status = self.child.try_wait()?;
            if status.is_some() {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        // This does nothing to a program that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send_lines(pipe: impl Read + Send + 'static, sender: Sender<Vec<u8>>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// A directory that only this user can access. Dropping this removes it.
pub(super) struct PrivateDirectory(pub(super) PathBuf);

impl PrivateDirectory {
    pub(super) fn create() -> io::Result<PrivateDirectory> {
        let mut number = 0;
        loop {
            let name = format!("bottlerocket-demo-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(PrivateDirectory(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                }
                Err(error) => return Err(at(&path, &error)),
            }
        }
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn at(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}
