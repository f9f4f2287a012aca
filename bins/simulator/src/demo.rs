//! The story of an update: a node, and our programs at work on it.

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

/// How the story is told.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The directory of `bottlerocket-checker`, `-updater` and `-reboot`.
    pub programs: PathBuf,
    /// Whether to use colours.
    pub colour: bool,
    /// How long each program may take.
    pub deadline: Duration,
}

/// One program that is run.
struct Step {
    why: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    expected: i32,
}

const BEFORE_THE_REBOOT: [Step; 4] = [
    Step {
        why: "Kured asks, once a minute, whether this node wants a reboot. Not yet.",
        program: CHECKER,
        arguments: &[],
        expected: 1,
    },
    Step {
        why: "On the node the updater looks for a new version, writes it, and activates it.",
        program: UPDATER,
        arguments: &["-one-time"],
        expected: 0,
    },
    Step {
        why: "Kured asks again. Now the node is ready: Kured locks, cordons and drains it.",
        program: CHECKER,
        arguments: &[],
        expected: 0,
    },
    Step {
        why: "The node is drained, and Kured has it rebooted.",
        program: REBOOT,
        arguments: &[],
        expected: 0,
    },
];

const AFTER_THE_REBOOT: [Step; 3] = [
    Step {
        why: "A node that has just booted knows of no update, so Kured leaves it alone.",
        program: CHECKER,
        arguments: &[],
        expected: 1,
    },
    Step {
        why: "The updater looks again: this is the newest version, there is nothing to do.",
        program: UPDATER,
        arguments: &["-one-time"],
        expected: 0,
    },
    Step {
        why: "And it stays like this until the next release.",
        program: CHECKER,
        arguments: &[],
        expected: 1,
    },
];

impl Demo {
    /// Tells the story to `out`, until a program does not exit as it should.
    /// True when all did and the node runs the new version in the end.
    ///
    /// # Errors
    /// A program is missing or cannot be started, the node cannot be started,
    /// or `out` cannot be written to.
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
            &format!("A node runs Bottlerocket {OLD}. Version {NEW} has been released."),
        )?;
        let good = self.steps(&BEFORE_THE_REBOOT, &node, out)?
            && self.tell_of_the_reboot(&node, &boot_id, out)?
            && self.steps(&AFTER_THE_REBOOT, &node, out)?;
        writeln!(out)?;
        if good {
            self.say(out, GREEN, &format!("The node went from {OLD} to {NEW}."))?;
        } else {
            self.say(out, RED, "This did not go as it should.")?;
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
             or say where they are with --programs",
            path.display()
        );
        Err(Error::new(ErrorKind::NotFound, message))
    }

    /// One after the other, as long as each exits as it should.
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
            None => format!("no end within {:?}, stopped", self.deadline),
            Some(status) => match status.code() {
                Some(code) if code == step.expected => format!("exit code {code}"),
                Some(code) => format!("exit code {code}, expected {}", step.expected),
                None => format!("{status}, expected exit code {}", step.expected),
            },
        };
        let good = status.and_then(|status| status.code()) == Some(step.expected);
        self.say(out, if good { GREEN } else { RED }, &text)?;
        Ok(good)
    }

    fn tell_of_the_reboot(
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

/// Short enough for people who wait, long enough to be seen.
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

/// Shows each line as it comes, until both pipes are closed.
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
            // A program that never stops talking has to stop, too.
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

/// Waits for the program's end; `None` when it did not come in time.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    // What ends behind it has perhaps ended because nobody reads its output any
    // more.
    while Instant::now() < deadline {
        let status = child.try_wait()?;
        if status.is_some() {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(None)
}

/// A directory that only this user may enter; goes away with its contents.
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
