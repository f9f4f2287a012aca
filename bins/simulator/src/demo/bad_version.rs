//! The second act: a version that does not boot stops at the first node.
//!
//! The checker, the updater, the reboot program and the gate are the real ones. Kured is a
//! stand-in that keeps its rules, and each node is simulated.

use super::programs::{PrivateDirectory, RunningProgram};
use super::{BOLD, CHECKER, CYAN, DIM, Demo, GATE, GREEN, REBOOT, RED, UPDATER};
use crate::kured::{Cluster, Program, Turn};
use crate::options::Options;
use crate::server::Simulator;
use rustix::process::Signal;
use std::fs;
use std::io::{self, Error, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const OLD: &str = "1.26.0";
const BAD: &str = "1.27.0";
const GOOD: &str = "1.27.1";

const NODES: usize = 3;

/// The files of a node, for each program. They are relative to the node's directory, in
/// which the programs run.
const SOCKET: [&str; 2] = ["-socket", "api.sock"];
const BOOT_ID: [&str; 2] = ["-boot-id", "boot-id"];
const OS_RELEASE: [&str; 2] = ["-os-release", "os-release"];
const RECORD: [&str; 2] = ["-record", "record"];

/// A node, and the gate that keeps its Kured from starting.
struct Node {
    name: String,
    directory: PathBuf,
    simulator: Simulator,
    gate: Option<RunningProgram>,
}

impl Node {
    fn running(&self) -> String {
        self.simulator.look(|view| view.node.options.running.clone())
    }

    fn boots(&self) -> u32 {
        self.simulator.look(|view| view.node.boots())
    }
}

struct Fleet<'a> {
    demo: &'a Demo,
    out: &'a mut dyn Write,
    nodes: Vec<Node>,
    cluster: Cluster,
}

pub(super) fn run(demo: &Demo, out: &mut dyn Write) -> io::Result<bool> {
    for program in [CHECKER, UPDATER, REBOOT, GATE] {
        demo.find(program)?;
    }
    let directory = PrivateDirectory::create()?;
    let mut nodes = Vec::new();
    for number in 1..=NODES {
        let name = format!("node{number}");
        let directory = directory.0.join(&name);
        fs::create_dir(&directory)?;
        fs::create_dir(directory.join("state"))?;
        let simulator = Simulator::start(directory.join("api.sock"), options(&directory))?;
        nodes.push(Node { name, directory, simulator, gate: None });
    }
    let mut fleet = Fleet { demo, out, nodes, cluster: Cluster::new(NODES, 1) };
    let good = match fleet.play() {
        Ok(()) => true,
        // The line that tells what was unexpected has been written.
        Err(Stop::Surprise) => false,
        Err(Stop::Error(error)) => return Err(error),
    };
    if !good {
        writeln!(fleet.out)?;
        demo.say(fleet.out, RED, "The demo failed.")?;
    }
    Ok(good)
}

/// Why the demo stops.
enum Stop {
    /// Something was not as expected.
    Surprise,
    /// It cannot go on.
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

impl Fleet<'_> {
    fn play(&mut self) -> Result<(), Stop> {
        self.demo.say(
            self.out,
            BOLD,
            &format!(
                "Three nodes run Bottlerocket {OLD}. Version {BAD} is available, and it does not \
                 boot."
            ),
        )?;

        self.tell("The updater of each node prepares and activates it. On node1:")?;
        for node in 0..NODES {
            self.update(node, 0, node == 0)?;
        }

        self.tell(
            "Kured runs the checker on node1, takes its lock, cordons and drains the node, and \
             runs the reboot program. That keeps a record of what the reboot is to bring.",
        )?;
        self.reboot(0, true)?;
        self.show_boot(0)?;

        self.tell("Kured does not take the other nodes: node1 has the lock.")?;
        for node in 1..NODES {
            self.expect_locked(node, 0)?;
        }

        self.tell(
            "On node1 the kubelet sets Kured's pod up anew. Its last init container is the gate, \
             and Kured does not start before the gate ends.",
        )?;
        self.start_gate(0)?;
        self.show_gate_until(0, "event=held_by_gate")?;

        self.tell(
            "A failed boot may be chance, such as a loss of power. So the updater prepares the \
             version once more, and the gate reboots the node, which is still drained.",
        )?;
        self.update(0, 0, true)?;
        self.show_gate_until(0, "event=reboot_requested")?;
        self.wait_for_boot(0, 3)?;
        self.show_boot(0)?;
        self.start_gate(0)?;
        self.show_gate_until(0, "event=held_by_gate")?;

        self.tell("That was no chance. The updater holds the version back on node1.")?;
        self.update(0, 1, true)?;

        self.tell("The gate waits, and so the fleet stays as it is: one node was drained, once.")?;
        for node in 1..NODES {
            self.expect_locked(node, 0)?;
        }
        self.show_fleet()?;

        self.tell(&format!(
            "{BAD} is withdrawn, and {GOOD} is published. On node1 the updater prepares it."
        ))?;
        for node in &self.nodes {
            node.simulator.change(|node, _| node.options.offer = vec![OLD.into(), GOOD.into()]);
        }
        self.update(0, 0, true)?;
        self.tell(
            "Another version is Ready, so the gate opens. Kured starts, uncordons the \
                   node and releases the lock.",
        )?;
        self.finish_gate(0)?;
        self.start_kured(0, true)?;

        self.tell(
            "On the other nodes the updater replaces the version before it was booted. On \
                   node2:",
        )?;
        for node in 1..NODES {
            self.update(node, 0, node == 1)?;
        }

        self.tell("Kured goes on, one node after the other. On node1:")?;
        for node in 0..NODES {
            self.reboot_into_good(node, node == 0)?;
        }
        self.show_fleet()?;
        let drains: Vec<u32> = (0..NODES).map(|node| self.cluster.drains(node)).collect();
        let arrived = self.nodes.iter().all(|node| node.running() == GOOD);
        if !arrived || drains != [2, 1, 1] || self.cluster.most_cordoned() != 1 {
            return self.surprise("This is not the fleet that was expected.");
        }
        writeln!(self.out)?;
        self.demo.say(
            self.out,
            GREEN,
            &format!("All nodes run {GOOD}. {BAD} cost the fleet one drain, on node1."),
        )?;
        Ok(())
    }

    fn tell(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out)?;
        self.demo.say(self.out, DIM, text)
    }

    fn surprise(&mut self, text: &str) -> Result<(), Stop> {
        self.demo.say(self.out, RED, text)?;
        Err(Stop::Surprise)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.demo.deadline
    }

    /// Shows a command line. The flags that name the node's files are not shown.
    fn show_command(&mut self, node: usize, program: &str, arguments: &[&str]) -> io::Result<()> {
        let line = [&[program], arguments].concat().join(" ");
        self.demo.say(self.out, CYAN, &format!("{}$ {line}", self.nodes[node].name))
    }

    fn start(&self, node: usize, program: &str, groups: &[&[&str]]) -> io::Result<RunningProgram> {
        // The program starts in another directory.
        let path = std::path::absolute(self.demo.find(program)?)?;
        let mut command = Command::new(path);
        command.current_dir(&self.nodes[node].directory).args(groups.concat());
        RunningProgram::start(&mut command)
    }

    /// Runs a program to its end. Returns its exit status.
    fn run(
        &mut self,
        node: usize,
        program: &str,
        arguments: &[&str],
        files: &[&[&str]],
        shown: bool,
    ) -> Result<i32, Stop> {
        if shown {
            self.show_command(node, program, arguments)?;
        }
        let groups = [&[arguments], files].concat();
        let mut child = self.start(node, program, &groups)?;
        let deadline = self.deadline();
        while let Some(line) = child.line(deadline) {
            if shown {
                self.demo.show_line(self.out, &line)?;
            }
        }
        let status = child.wait(deadline)?;
        match status.and_then(|status| status.code()) {
            Some(code) => Ok(code),
            None => {
                self.demo.show_end(self.out, status, 0)?;
                Err(Stop::Surprise)
            }
        }
    }

    fn expect(&mut self, found: i32, expected: i32, shown: bool) -> Result<(), Stop> {
        if found != expected {
            return self.surprise(&format!("exit status {found}, expected {expected}"));
        }
        if shown {
            self.demo.say(self.out, GREEN, &format!("exit status {found}"))?;
        }
        Ok(())
    }

    fn update(&mut self, node: usize, expected: i32, shown: bool) -> Result<(), Stop> {
        let directory = self.nodes[node].directory.join("state");
        let state = directory.to_string_lossy().into_owned();
        let files: [&[&str]; 4] = [&SOCKET, &BOOT_ID, &RECORD, &["-state-dir", &state]];
        let arguments = ["-boot-attempts=2", "-one-time"];
        // The gate looks every few seconds. Here it looks when the updater is done, so that
        // each demo is the same.
        self.signal_gate(node, Signal::STOP)?;
        let status = self.run(node, UPDATER, &arguments, &files, shown)?;
        self.signal_gate(node, Signal::CONT)?;
        self.expect(status, expected, shown)
    }

    fn signal_gate(&self, node: usize, signal: Signal) -> io::Result<()> {
        match &self.nodes[node].gate {
            Some(gate) => gate.signal(signal),
            None => Ok(()),
        }
    }

    /// A period of a node's Kured.
    fn turn(&mut self, node: usize, shown: bool) -> Result<Turn, Stop> {
        let mut cluster = self.cluster.clone();
        let mut stop = None;
        let turn = cluster.turn(node, &mut |program| {
            let status = match program {
                Program::Checker => self.run(node, CHECKER, &[], &[&SOCKET], shown),
                Program::Reboot => {
                    let files: [&[&str]; 3] = [&SOCKET, &BOOT_ID, &RECORD];
                    self.run(node, REBOOT, &["-confirm"], &files, shown)
                }
            };
            let status = status.and_then(|status| {
                if shown {
                    self.demo.say(self.out, GREEN, &format!("exit status {status}"))?;
                }
                Ok(status)
            });
            status.map_err(|error| {
                stop = Some(error);
                Error::other("the demo stops")
            })
        });
        self.cluster = cluster;
        match stop {
            Some(stop) => Err(stop),
            None => Ok(turn?),
        }
    }

    /// Kured drains and reboots a node.
    fn reboot(&mut self, node: usize, shown: bool) -> Result<(), Stop> {
        let boots = self.nodes[node].boots();
        let turn = self.turn(node, shown)?;
        if turn != Turn::Rebooting {
            return self.surprise(&format!("Kured: {turn:?}, expected a reboot"));
        }
        self.wait_for_boot(node, boots + 1)
    }

    /// Kured does not drain a node, because another one has the lock.
    fn expect_locked(&mut self, node: usize, holder: usize) -> Result<(), Stop> {
        let turn = self.turn(node, false)?;
        if turn != Turn::LockHeld(holder) {
            return self.surprise(&format!("Kured: {turn:?}, expected that it waits"));
        }
        let [name, holder] = [node, holder].map(|node| self.nodes[node].name.clone());
        let text = format!("Kured on {name}: a reboot is required, but {holder} has the lock");
        self.demo.show_line(self.out, &text)?;
        Ok(())
    }

    fn wait_for_boot(&mut self, node: usize, boots: u32) -> Result<(), Stop> {
        let has_booted = self.nodes[node]
            .simulator
            .wait_until(self.demo.deadline, |view| view.node.boots() >= boots);
        if !has_booted || self.nodes[node].boots() != boots {
            return self.surprise("The node did not boot once.");
        }
        Ok(())
    }

    /// Shows the boot of a node that was asked to reboot. All its pods have ended.
    fn show_boot(&mut self, node: usize) -> Result<(), Stop> {
        self.nodes[node].gate = None;
        let text = {
            let node = &self.nodes[node];
            format!("{} has booted {}: {BAD} did not boot.", node.name, node.running())
        };
        writeln!(self.out)?;
        self.demo.say(self.out, BOLD, &text)?;
        if self.nodes[node].running() != OLD {
            return self.surprise("This was not expected.");
        }
        Ok(())
    }

    fn start_gate(&mut self, node: usize) -> Result<(), Stop> {
        let directory = self.nodes[node].directory.join("state");
        let state = directory.to_string_lossy().into_owned();
        let files: [&[&str]; 6] = [
            &SOCKET,
            &BOOT_ID,
            &RECORD,
            &OS_RELEASE,
            &["-state-dir", &state],
            &["-test-interval", "100ms"],
        ];
        self.show_command(node, GATE, &[])?;
        self.nodes[node].gate = Some(self.start(node, GATE, &files)?);
        Ok(())
    }

    /// Shows the output of a gate until a line has this part.
    fn show_gate_until(&mut self, node: usize, part: &str) -> Result<(), Stop> {
        let deadline = self.deadline();
        loop {
            let gate = self.nodes[node].gate.as_ref();
            let Some(line) = gate.and_then(|gate| gate.line(deadline)) else {
                return self.surprise("The gate did not go on waiting.");
            };
            self.demo.show_line(self.out, &line)?;
            if line.contains(part) {
                return Ok(());
            }
        }
    }

    /// Shows the rest of a gate's output, and its end.
    fn finish_gate(&mut self, node: usize) -> Result<(), Stop> {
        let deadline = self.deadline();
        let Some(mut gate) = self.nodes[node].gate.take() else {
            return self.surprise("There is no gate.");
        };
        while let Some(line) = gate.line(deadline) {
            self.demo.show_line(self.out, &line)?;
        }
        let status = gate.wait(deadline)?;
        if self.demo.show_end(self.out, status, 0)? { Ok(()) } else { Err(Stop::Surprise) }
    }

    fn start_kured(&mut self, node: usize, shown: bool) -> Result<(), Stop> {
        if !self.cluster.start(node) {
            return self.surprise("The node did not hold the lock.");
        }
        if shown {
            let name = self.nodes[node].name.clone();
            self.demo
                .show_line(self.out, &format!("Kured: uncordons {name}, releases the lock"))?;
        }
        Ok(())
    }

    fn reboot_into_good(&mut self, node: usize, shown: bool) -> Result<(), Stop> {
        self.reboot(node, shown)?;
        if self.nodes[node].running() != GOOD {
            return self.surprise("The node does not run the good version.");
        }
        self.start_gate(node)?;
        self.finish_gate(node)?;
        self.start_kured(node, true)
    }

    fn show_fleet(&mut self) -> io::Result<()> {
        writeln!(self.out)?;
        self.demo.say(self.out, BOLD, "  node   runs    cordoned  drains")?;
        for (number, node) in self.nodes.iter().enumerate() {
            let cordoned = if self.cluster.is_cordoned(number) { "yes" } else { "no" };
            let (name, running) = (&node.name, node.running());
            let drains = self.cluster.drains(number);
            writeln!(self.out, "  {name}  {running}  {cordoned:<8}  {drains}")?;
        }
        self.out.flush()
    }
}

fn options(directory: &std::path::Path) -> Options {
    let short = Duration::from_millis(50);
    Options {
        running: OLD.into(),
        offer: vec![OLD.into(), BAD.into()],
        no_boot: vec![BAD.into()],
        refresh_time: short,
        prepare_time: Duration::from_millis(200),
        activate_time: short,
        deactivate_time: short,
        reboot_time: short,
        boot_id_file: Some(directory.join("boot-id")),
        os_release_file: Some(directory.join("os-release")),
        ..Options::default()
    }
}
