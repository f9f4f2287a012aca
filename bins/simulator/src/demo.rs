//! The demo: the programs update a simulated node.

use crate::options::Options;
use crate::server::Simulator;
use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
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

/// The demo.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The directory with `bottlerocket-checker`, `-updater` and `-reboot`.
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
        let mut child = Command::new(&program)
            .arg("-socket")
            .arg(node.path())
            .args(step.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| at(&program, &error))?;
        let deadline = Instant::now() + self.deadline;
        let ended =
            show_output(&mut child, deadline, out).and_then(|()| wait(&mut child, deadline));
        if !matches!(ended, Ok(Some(_))) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let status = ended?;
        let text = match status {
            None => format!("timed out after {:?}, killed", self.deadline),
            Some(status) => match status.code() {
                Some(code) if code == step.expected => format!("exit status {code}"),
                Some(code) => format!("exit status {code}, expected {}", step.expected),
                None => format!("{status}, expected exit status {}", step.expected),
            },
        };
        let good = status.and_then(|status| status.code()) == Some(step.expected);
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

/// Shows the program's output line by line, until both pipes are closed.
fn show_output(child: &mut Child, deadline: Instant, out: &mut dyn Write) -> io::Result<()> {
    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        send_lines(stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        send_lines(stderr, sender);
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            // The deadline also applies to a program that never stops printing.
            Ok(line) if !left.is_zero() => {
                writeln!(out, "  {}", String::from_utf8_lossy(&line))?;
                out.flush()?;
            }
            _ => return Ok(()),
        }
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

/// Waits until the program ends. Returns `None` if it does not end in time.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    // After the deadline nobody reads the output, so the program may end just because of
    // that. This must not count.
    while Instant::now() < deadline {
        let status = child.try_wait()?;
        if status.is_some() {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(None)
}

/// A directory that only this user can access. Dropping this removes it.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn create() -> io::Result<PrivateDirectory> {
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

fn at(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}
