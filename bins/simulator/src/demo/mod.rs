//! The demo: the programs update a simulated node.

mod bad_version;
mod programs;

use crate::options::Options;
use crate::server::Simulator;
use programs::{PrivateDirectory, RunningProgram};
use std::io::{self, Error, ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

const OLD: &str = "1.26.0";
const NEW: &str = "1.26.1";

const CHECKER: &str = "bottlerocket-checker";
const UPDATER: &str = "bottlerocket-updater";
const REBOOT: &str = "bottlerocket-reboot";
const GATE: &str = "bottlerocket-gate";

/// The demo.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The directory with the programs, such as `bottlerocket-checker`.
    pub programs: PathBuf,
    /// Whether the output has colours.
    pub colour: bool,
    /// The time limit for each program.
    pub deadline: Duration,
}

/// A run of one program.
struct Step {
    why: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    expected: i32,
}

const BEFORE_THE_REBOOT: [Step; 4] = [
    Step {
        why: "Once a minute, Kured runs the checker: does this node need a reboot? Not yet.",
        program: CHECKER,
        arguments: &[],
        expected: 1,
    },
    Step {
        why: "The updater finds the new version, writes it to disk and activates it.",
        program: UPDATER,
        arguments: &["-one-time"],
        expected: 0,
    },
    Step {
        why: "Kured runs the checker again. The node is ready: Kured locks, cordons and drains it.",
        program: CHECKER,
        arguments: &[],
        expected: 0,
    },
    Step {
        why: "The node is drained. Kured runs the reboot program.",
        program: REBOOT,
        arguments: &[],
        expected: 0,
    },
];

const AFTER_THE_REBOOT: [Step; 3] = [
    Step {
        why: "After a boot no update is known, so Kured leaves the node alone.",
        program: CHECKER,
        arguments: &[],
        expected: 1,
    },
    Step {
        why: "The updater looks for a newer version. There is none, so it does nothing.",
        program: UPDATER,
        arguments: &["-one-time"],
        expected: 0,
    },
    Step {
        why: "The node stays like this until the next release.",
        program: CHECKER,
        arguments: &[],
        expected: 1,
    },
];

impl Demo {
    /// Runs the demo of a version that does not boot, in a fleet of three nodes, and writes
    /// its output to `out`. It stops at the first surprise. Returns true if there was none
    /// and all nodes run the good version.
    ///
    /// # Errors
    /// A program is missing or cannot be started, a node cannot be started, or writing to
    /// `out` failed.
    pub fn run_bad_version(&self, out: &mut dyn Write) -> io::Result<bool> {
        bad_version::run(self, out)
    }

    /// Runs the demo and writes its output to `out`. It stops at the first unexpected exit
    /// status. Returns true if there was none and the node runs the new version.
    ///
    /// # Errors
    /// A program is missing or cannot be started, the node cannot be started, or writing
    /// to `out` failed.
    pub fn run(&self, out: &mut dyn Write) -> io::Result<bool> {
        for program in [CHECKER, UPDATER, REBOOT] {
            self.find(program)?;
        }
        let directory = PrivateDirectory::create()?;
        let node = Simulator::start(directory.0.join("api.sock"), options())?;
        let boot_id = node.look(|view| view.node.boot_id());
        self.say(
            out,
            BOLD,
            &format!("A node runs Bottlerocket {OLD}. Version {NEW} is available."),
        )?;
        let good = self.steps(&BEFORE_THE_REBOOT, &node, out)?
            && self.show_reboot(&node, &boot_id, out)?
            && self.steps(&AFTER_THE_REBOOT, &node, out)?;
        writeln!(out)?;
        if good {
            self.say(out, GREEN, &format!("The node was updated from {OLD} to {NEW}."))?;
        } else {
            self.say(out, RED, "The demo failed.")?;
        }
        Ok(good)
    }

    fn find(&self, program: &str) -> io::Result<PathBuf> {
        let path = self.programs.join(program);
        if path.is_file() {
            return Ok(path);
        }
        let message = format!(
            "{} does not exist: build the programs with `cargo build --release`, \
             or name their directory with --programs",
            path.display()
        );
        Err(Error::new(ErrorKind::NotFound, message))
    }

    /// Runs the steps in order, until one has an unexpected exit status.
    fn steps(&self, steps: &[Step], node: &Simulator, out: &mut dyn Write) -> io::Result<bool> {
        for step in steps {
            if !self.step(step, node, out)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn step(&self, step: &Step, node: &Simulator, out: &mut dyn Write) -> io::Result<bool> {
        let mut line = format!("$ {} -socket {}", step.program, node.path().display());
        for argument in step.arguments {
            line.push(' ');
            line.push_str(argument);
        }
        writeln!(out)?;
        self.say(out, DIM, step.why)?;
        self.say(out, CYAN, &line)?;
        let program = self.find(step.program)?;
        let mut command = Command::new(program);
        command.arg("-socket").arg(node.path()).args(step.arguments);
        let mut program = RunningProgram::start(&mut command)?;
        let deadline = Instant::now() + self.deadline;
        while let Some(line) = program.line(deadline) {
            self.show_line(out, &line)?;
        }
        let status = program.wait(deadline)?;
        self.show_end(out, status, step.expected)
    }

    /// Shows a line of a program's output.
    fn show_line(&self, out: &mut dyn Write, line: &str) -> io::Result<()> {
        writeln!(out, "  {line}")?;
        out.flush()
    }

    /// Shows how a program ended. Returns whether that was as expected.
    fn show_end(
        &self,
        out: &mut dyn Write,
        status: Option<ExitStatus>,
        expected: i32,
    ) -> io::Result<bool> {
        let text = match status {
            None => format!("timed out after {:?}, killed", self.deadline),
            Some(status) => match status.code() {
                Some(code) if code == expected => format!("exit status {code}"),
                Some(code) => format!("exit status {code}, expected {expected}"),
                None => format!("{status}, expected exit status {expected}"),
            },
        };
        let good = status.and_then(|status| status.code()) == Some(expected);
        self.say(out, if good { GREEN } else { RED }, &text)?;
        Ok(good)
    }

    fn show_reboot(
        &self,
        node: &Simulator,
        boot_id: &str,
        out: &mut dyn Write,
    ) -> io::Result<bool> {
        let (boots, new_id, running) = node.look(|view| {
            let node = view.node;
            (node.boots(), node.boot_id(), node.options.running.clone())
        });
        writeln!(out)?;
        if boots == 1 {
            self.say(out, RED, "The node has not rebooted.")?;
            return Ok(false);
        }
        self.say(out, BOLD, "The node has rebooted.")?;
        writeln!(out, "  boot id: {boot_id} -> {new_id}")?;
        writeln!(out, "  version: {OLD} -> {running}")?;
        Ok(boots == 2 && running == NEW)
    }

    fn say(&self, out: &mut dyn Write, colour: &str, text: &str) -> io::Result<()> {
        if self.colour {
            writeln!(out, "\x1b[{colour}m{text}\x1b[0m")?;
        } else {
            writeln!(out, "{text}")?;
        }
        out.flush()
    }
}

/// Commands that take long enough to watch, but not long enough to wait.
fn options() -> Options {
    Options {
        running: OLD.into(),
        offer: vec![OLD.into(), NEW.into()],
        refresh_time: Duration::from_millis(500),
        prepare_time: Duration::from_secs(2),
        activate_time: Duration::from_millis(300),
        reboot_time: Duration::from_millis(500),
        ..Options::default()
    }
}
