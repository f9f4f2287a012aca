//! Runs of the updater, once or as a daemon, and their logs.

use crate::common::Ran;
use crate::common::records::{Format, Record};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// A time limit that no test reaches, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);
/// The time limit for a program that ends at once, on a busy machine. It is shorter than
/// any pause or timeout of a program that does not.
pub const AT_ONCE: Duration = Duration::from_secs(4);

/// The exit status and the log of a run. The log is without the line that lists the
/// flags.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: Option<i32>,
    pub records: Vec<Record>,
}

impl Outcome {
    #[track_caller]
    pub fn of(ran: Ran, format: Format) -> Self {
        assert_eq!(ran.stdout, "");
        assert!(ran.stderr.ends_with('\n') || ran.stderr.is_empty(), "{ran:?}");
        Self { status: ran.status, records: records(format, ran.stderr.lines()) }
    }

    pub fn summary(&self) -> Vec<String> {
        self.records.iter().map(Record::summary).collect()
    }

    #[track_caller]
    pub fn is(&self, status: i32, summary: &[&str]) {
        assert_eq!(self.summary(), summary);
        assert_eq!(self.status, Some(status));
    }
}

/// The records in these lines of a log, without the one that lists the flags.
fn records<'l>(format: Format, lines: impl Iterator<Item = &'l str>) -> Vec<Record> {
    let records = lines.map(|line| Record::read(format, line));
    records.filter(|record| record.get("event") != "configuration").collect()
}

/// A running updater. Dropping this kills it.
pub struct Running {
    pub child: Child,
    pub lines: Receiver<String>,
    /// The lines read so far.
    pub log: Vec<String>,
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
        Self { child, lines, log: Vec::new(), format: Format::Logfmt }
    }

    /// Waits for a line that contains `part`.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) {
        loop {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => self.log.push(line),
                Err(error) => panic!("{part:?} was not logged, {error}: {:?}", self.log),
            }
            if self.log.last().unwrap().contains(part) {
                return;
            }
        }
    }

    pub fn pid(&self) -> Pid {
        pid(&self.child)
    }

    /// Waits until the program ends, and returns its exit status.
    #[track_caller]
    pub fn status(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LONG;
        while let Ok(line) = self.lines.recv_timeout(deadline - Instant::now()) {
            self.log.push(line);
        }
        assert!(Instant::now() < deadline, "still running after {LONG:?}: {:?}", self.log);
        self.child.wait().unwrap().code()
    }

    /// Waits until the program ends, and parses its log.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        let status = self.status();
        let lines = self.log.iter().map(String::as_str);
        Outcome { status, records: records(self.format, lines) }
    }

    /// Sends a signal. The program must end at once.
    #[track_caller]
    pub fn stop(self, signal: Signal) -> Outcome {
        let begin = Instant::now();
        kill_process(self.pid(), signal).unwrap();
        let outcome = self.end();
        assert!(begin.elapsed() < AT_ONCE, "{:?} after {signal:?}", begin.elapsed());
        outcome
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
