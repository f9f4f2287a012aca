//! The program: serves simulated nodes, runs the demo, or simulates a fleet.
#![forbid(unsafe_code)]

use bottlerocket_simulator::cli::{self, Act, OnReboot, Order, Serve};
use bottlerocket_simulator::config::Watch;
use bottlerocket_simulator::demo::Demo;
use bottlerocket_simulator::fleet::{Fleet, Summary};
use bottlerocket_simulator::{
    Event, EventKind, MANUAL, Node, Options, Power, Simulator, calendar, pods,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Error, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NAME: &str = "bottlerocket-simulator";

fn main() -> ExitCode {
    let done = match cli::parse(env::args_os()) {
        Ok(Order::Help) => print(cli::HELP),
        Ok(Order::Version) => print(&format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Order::Serve(serve)) => serve_nodes(*serve),
        Ok(Order::Demo(act, programs)) => demo(act, programs),
        Ok(Order::Fleet(fleet)) => run(&fleet),
        Ok(Order::Remove(files)) => remove(&files),
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

/// Serves nodes until a signal stops the process.
fn serve_nodes(serve: Serve) -> io::Result<bool> {
    let Serve { socket, nodes, mut options, config, on_reboot, quiet } = serve;
    let watch = match &config {
        Some(path) => {
            let (watch, configured) = Watch::start(path, &options)?;
            options = configured;
            Some(watch)
        }
        None => None,
    };
    match on_reboot {
        OnReboot::Nothing => {}
        OnReboot::EndPods(_) => options.ends_pods = true,
        OnReboot::Run(_) => options.off_time = MANUAL,
    }
    let simulators = Arc::new(match nodes {
        Some(nodes) => Simulator::start_many(&socket, nodes, &options)?,
        None => vec![Simulator::start(&socket, options)?],
    });
    stop_at_a_signal(&simulators)?;
    if let Some(watch) = watch {
        let simulators = Arc::downgrade(&simulators);
        thread::spawn(move || follow(watch, &simulators));
    }
    if nodes.is_some() {
        serve_many(&socket, &simulators, quiet)
    } else {
        serve_one(&simulators[0], &on_reboot, quiet)
    }
}

fn serve_one(simulator: &Simulator, on_reboot: &OnReboot, quiet: bool) -> io::Result<bool> {
    let mut out = io::stdout();
    let mut greeted = false;
    loop {
        simulator.follow_power()?;
        if !greeted && simulator.look(|view| view.node.power() == Power::On) {
            let greeting = simulator.look(|view| greeting(simulator.path(), &view.node.options));
            out.write_all(greeting.as_bytes())?;
            greeted = true;
        }
        // Only now: the kubelet sets the pods up anew at once, and they must find the files
        // of the new boot. A runtime creates directories in place of missing files.
        if let OnReboot::EndPods(own) = on_reboot
            && simulator.look(|view| view.node.power() == Power::On && view.node.pods_to_end())
        {
            let count = pods::end_all_but(own)?;
            writeln!(out, "{} ended {count} processes of pods", time_of_day())?;
            simulator.change(|node, _| node.pods_ended());
        }
        for event in simulator.events(Duration::MAX) {
            if !(quiet && reads_status(&event)) {
                writeln!(out, "{event}")?;
            }
            if event.kind == EventKind::PoweredOff {
                simulator.follow_power()?;
                if let OnReboot::Run(command) = on_reboot {
                    run_command(command);
                    simulator.change(Node::power_on);
                }
            }
        }
    }
}

/// Whether the event is a request that reads the status.
fn reads_status(event: &Event) -> bool {
    matches!(&event.kind, EventKind::Answered { method, .. } if method == "GET")
}

/// Runs the command of `--on-reboot`.
fn run_command(command: &str) {
    match process::Command::new("/bin/sh").arg("-c").arg(command).status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("{NAME}: the command of --on-reboot failed: {status}"),
        Err(error) => eprintln!("{NAME}: cannot run the command of --on-reboot: {error}"),
    }
}

fn serve_many(socket: &Path, simulators: &[Simulator], quiet: bool) -> io::Result<bool> {
    let mut out = io::stdout();
    let (path, nodes) = (socket.display(), simulators.len());
    writeln!(out, "{nodes} nodes listen on {path}.1 to {path}.{nodes}")?;
    loop {
        // Polling once a second is enough for people who read the events.
        thread::sleep(Duration::from_secs(1));
        for (simulator, number) in simulators.iter().zip(1..) {
            simulator.follow_power()?;
            for event in simulator.events(Duration::ZERO) {
                if !(quiet && reads_status(&event)) {
                    writeln!(out, "{number}: {event}")?;
                }
            }
        }
    }
}

/// Reads the configuration file once a second. It may be a symbolic link that changes, as
/// in a volume of Kubernetes.
fn follow(mut watch: Watch, simulators: &Weak<Vec<Simulator>>) {
    loop {
        thread::sleep(Duration::from_secs(1));
        match watch.poll() {
            None => {}
            Some(Ok(options)) => {
                for simulator in simulators.upgrade().iter().flat_map(|all| all.iter()) {
                    simulator.change(|node, _| node.options.configure(&options));
                }
                let _ = print(&format!("{} the configuration has changed\n", time_of_day()));
            }
            Some(Err(wrong)) => {
                eprintln!("{NAME}: {wrong}; the last configuration stays in force");
            }
        }
    }
}

fn time_of_day() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    calendar::time_of_day(now)
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

/// Removes files, and their directories if they are empty then. What is not there is no
/// error.
fn remove(files: &[PathBuf]) -> io::Result<bool> {
    let named = |path: &Path, error: Error| {
        Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    for file in files {
        match fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(named(file, error)),
            _ => {}
        }
        let Some(directory) = file.parent() else { continue };
        match fs::remove_dir(directory) {
            Err(error)
                if ![ErrorKind::NotFound, ErrorKind::DirectoryNotEmpty].contains(&error.kind()) =>
            {
                return Err(named(directory, error));
            }
            _ => {}
        }
    }
    Ok(true)
}

/// Prints the table to the standard output, and the summary to the standard error.
fn run(fleet: &Fleet) -> io::Result<bool> {
    let tally = fleet.run();
    eprint!("{}", Summary(fleet, &tally));
    print(&tally.to_csv())
}

fn demo(act: Act, programs: Option<PathBuf>) -> io::Result<bool> {
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
    match act {
        Act::Update => demo.run(&mut out),
        Act::BadVersion => demo.run_bad_version(&mut out),
    }
}

/// Builds the programs: `cargo run` has built only the simulator.
fn build_programs(cargo: &OsStr) -> io::Result<()> {
    let mut arguments = vec!["build", "--quiet", "--package", "bottlerocket-updater"];
    if !cfg!(debug_assertions) {
        arguments.push("--release");
    }
    print(&format!("building the programs: cargo {}\n", arguments.join(" ")))?;
    let mut build = Command::new(cargo);
    build.args(arguments);
    // cargo run sets this variable. The path at compile time would differ from machine to
    // machine, and so would the program.
    if let Some(package) = env::var_os("CARGO_MANIFEST_DIR") {
        build.current_dir(Path::new(&package).join("../.."));
    }
    let status = build.status()?;
    if status.success() { Ok(()) } else { Err(Error::other("cannot build the programs")) }
}
