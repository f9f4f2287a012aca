//! The program: serves simulated nodes, runs the demo, or simulates a fleet.
#![forbid(unsafe_code)]

use bottlerocket_simulator::cli::{self, Order};
use bottlerocket_simulator::demo::Demo;
use bottlerocket_simulator::fleet::{Fleet, Summary};
use bottlerocket_simulator::{Options, Simulator};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::ffi::OsStr;
use std::io::{self, Error, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const NAME: &str = "bottlerocket-simulator";

fn main() -> ExitCode {
    let done = match cli::parse(env::args_os()) {
        Ok(Order::Help) => print(cli::HELP),
        Ok(Order::Version) => print(&format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Order::Serve(socket, options)) => serve(&socket, *options),
        Ok(Order::ServeMany(socket, nodes, options)) => serve_many(&socket, nodes, &options),
        Ok(Order::Demo(programs)) => demo(programs),
        Ok(Order::Fleet(fleet)) => run(&fleet),
        Err(wrong) => {
            eprintln!("{NAME}: {wrong}; try {NAME} --help");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{NAME}: {error}");
            ExitCode::from(3)
        }
    }
}

fn print(text: &str) -> io::Result<bool> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(true)
}

/// Stops the servers and exits at the first SIGTERM or SIGINT. A clean stop removes the
/// socket files, as with the real server. SIGKILL leaves them.
fn stop_at_a_signal(simulators: &Arc<Vec<Simulator>>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    // The thread must not keep the servers alive after an error.
    let simulators = Arc::downgrade(simulators);
    thread::spawn(move || {
        signals.forever().next();
        for simulator in simulators.upgrade().iter().flat_map(|simulators| simulators.iter()) {
            simulator.remove_socket();
        }
        process::exit(0);
    });
    Ok(())
}

/// Serves a node until a signal stops the process.
fn serve(socket: &Path, options: Options) -> io::Result<bool> {
    let greeting = greeting(socket, &options);
    let simulators = Arc::new(vec![Simulator::start(socket, options)?]);
    stop_at_a_signal(&simulators)?;
    let simulator = &simulators[0];
    let mut out = io::stdout();
    out.write_all(greeting.as_bytes())?;
    loop {
        for event in simulator.events(Duration::MAX) {
            writeln!(out, "{event}")?;
        }
    }
}

/// Serves several nodes until a signal stops the process.
fn serve_many(socket: &Path, nodes: u32, options: &Options) -> io::Result<bool> {
    let simulators = Arc::new(Simulator::start_many(socket, nodes, options)?);
    stop_at_a_signal(&simulators)?;
    let mut out = io::stdout();
    let path = socket.display();
    writeln!(out, "{nodes} nodes listen on {path}.1 to {path}.{nodes}")?;
    loop {
        // Polling once a second is enough for people who read the events.
        thread::sleep(Duration::from_secs(1));
        for (simulator, number) in simulators.iter().zip(1..) {
            for event in simulator.events(Duration::ZERO) {
                writeln!(out, "{number}: {event}")?;
            }
        }
    }
}

fn greeting(socket: &Path, options: &Options) -> String {
    let path = socket.display();
    format!(
        "a node with Bottlerocket {} ({}, {}) listens on {path}; available: {}; try\n  \
         bottlerocket-updater -socket {path} -one-time\n  \
         bottlerocket-checker -socket {path}\n  \
         bottlerocket-reboot -socket {path}\n  \
         curl --unix-socket {path} http://localhost/updates/status\n",
        options.running,
        options.variant,
        options.arch,
        options.offer.join(", "),
    )
}

/// Prints the table to the standard output, and the summary to the standard error.
fn run(fleet: &Fleet) -> io::Result<bool> {
    let tally = fleet.run();
    eprint!("{}", Summary(fleet, &tally));
    print(&tally.to_csv())
}

fn demo(programs: Option<PathBuf>) -> io::Result<bool> {
    let programs = match programs {
        Some(programs) => programs,
        None => {
            if let Some(cargo) = env::var_os("CARGO") {
                build_programs(&cargo)?;
            }
            let mut path = env::current_exe()?;
            path.pop();
            path
        }
    };
    let mut out = io::stdout();
    let colour = out.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let deadline = Duration::from_secs(60);
    let demo = Demo { programs, colour, deadline };
    demo.run(&mut out)
}

/// Builds the programs: `cargo run` has built only the simulator.
fn build_programs(cargo: &OsStr) -> io::Result<()> {
    let mut arguments = vec!["build", "--quiet", "--package", "bottlerocket-updater"];
    if !cfg!(debug_assertions) {
        arguments.push("--release");
    }
    print(&format!("building the programs: cargo {}\n", arguments.join(" ")))?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new(cargo).args(arguments).current_dir(workspace).status()?;
    if status.success() { Ok(()) } else { Err(Error::other("cannot build the programs")) }
}
