//! Runs of the updater: to the end, or as a daemon that goes on, and what they
//! tell.
#![allow(unused, reason = "each test file uses a part of it")]

use crate::common::Ran;
use crate::common::records::{Format, Record};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, on a machine under load.
pub const LONG: Duration = Duration::from_secs(60);
/// Longer than it takes to end a program, but shorter than any pause or
/// timeout that it may be in.
pub const AT_ONCE: Duration = Duration::from_secs(4);

/// What a run told, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub status: Option<i32>,
    pub records: Vec<Record>,
}

impl Told {
    #[track_caller]
    pub fn of(ran: Ran, format: Format) -> Self {
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.ends_with('\n') || ran.stderr.is_empty(), "{ran:?}");
        let records = ran.stderr.lines().map(|line| Record::read(format, line)).collect();
        Self { status: ran.status, records }
    }

    pub fn story(&self) -> Vec<String> {
        self.records.iter().map(Record::story).collect()
    }

    #[track_caller]
    pub fn is(&self, status: i32, story: &[&str]) {
        assert_eq!(self.story(), story);
        assert_eq!(self.status, Some(status));
    }
}

/// An updater that is running. It is killed when this goes away.
pub struct Running {
    pub child: Child,
    pub lines: Receiver<String>,
    pub told: Vec<String>,
    pub format: Format,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stderr.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Self { child, lines, told: Vec::new(), format: Format::Logfmt }
    }

    /// Waits for a line that has this in it.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) {
        loop {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => self.told.push(line),
                Err(error) => panic!("{part:?} was not told, {error}: {:?}", self.told),
            }
            if self.told.last().unwrap().contains(part) {
                return;
            }
        }
    }

    pub fn pid(&self) -> Pid {
        pid(&self.child)
    }

    /// Waits for the end: the exit status.
    #[track_caller]
    pub fn status(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LONG;
        while let Ok(line) = self.lines.recv_timeout(deadline - Instant::now()) {
            self.told.push(line);
        }
        assert!(Instant::now() < deadline, "no end within {LONG:?}: {:?}", self.told);
        self.child.wait().unwrap().code()
    }

    /// Waits for the end, and reads what was told.
    #[track_caller]
    pub fn end(mut self) -> Told {
        let status = self.status();
        let records = self.told.iter().map(|line| Record::read(self.format, line)).collect();
        Told { status, records }
    }

    /// Sends a signal and waits for the end, which must come at once.
    #[track_caller]
    pub fn stop(self, signal: Signal) -> Told {
        let begin = Instant::now();
        kill_process(self.pid(), signal).unwrap();
        let told = self.end();
        assert!(begin.elapsed() < AT_ONCE, "{:?} after {signal:?}", begin.elapsed());
        told
    }
}

pub fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
