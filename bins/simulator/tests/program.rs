//! The program in its own process: the signals that stop it, the state that outlives it,
//! reboots, and the configuration file.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Starts the program and waits until it listens.
fn start(socket: &Path, arguments: &[&str]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bottlerocket-simulator"))
        .arg("--socket")
        .arg(socket)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains(" listen"), "{line}");
    child
}

/// Sends a signal. Returns the exit status, or `None` if the signal killed the process.
fn stop(mut child: Child, signal: &str) -> Option<i32> {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
    child.wait().unwrap().code()
}

fn socket(name: &str) -> PathBuf {
    env::temp_dir().join(format!("simulator-{}-{name}.sock", process::id()))
}

fn connect_error(socket: &Path) -> Option<ErrorKind> {
    UnixStream::connect(socket).err().map(|error| error.kind())
}

#[test]
fn clean_stop_removes_the_socket_and_sigkill_leaves_it() {
    for (signal, status, error) in [
        ("-TERM", Some(0), ErrorKind::NotFound),
        ("-INT", Some(0), ErrorKind::NotFound),
        ("-KILL", None, ErrorKind::ConnectionRefused),
    ] {
        let socket = socket(signal);
        let child = start(&socket, &[]);
        assert_eq!(connect_error(&socket), None);
        assert_eq!(stop(child, signal), status, "{signal}");
        assert_eq!(connect_error(&socket), Some(error), "{signal}");
        let _ = fs::remove_file(&socket);
    }
}

#[test]
fn clean_stop_removes_the_sockets_of_all_nodes() {
    let path = socket("many");
    let sockets = ["1", "2", "3"].map(|number| path.with_extension(format!("sock.{number}")));
    let child = start(&path, &["--nodes", "3"]);
    for socket in &sockets {
        assert_eq!(connect_error(socket), None);
    }
    assert_eq!(stop(child, "-TERM"), Some(0));
    for socket in &sockets {
        assert_eq!(connect_error(socket), Some(ErrorKind::NotFound));
    }
}

#[test]
fn killed_server_is_replaced_at_the_next_start() {
    let socket = socket("replaced");
    assert_eq!(stop(start(&socket, &[]), "-KILL"), None);
    let child = start(&socket, &[]);
    assert_eq!(connect_error(&socket), None);
    assert_eq!(stop(child, "-TERM"), Some(0));
}

/// A simulated machine: its disk and its memory are directories.
struct Machine {
    directory: PathBuf,
    child: Option<Child>,
    lines: Option<mpsc::Receiver<String>>,
}

impl Machine {
    fn new(name: &str) -> Machine {
        let directory = env::temp_dir().join(format!("machine-{}-{name}", process::id()));
        fs::create_dir(&directory).unwrap();
        Machine { directory, child: None, lines: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts the simulator, and waits until it listens or, if it never comes up, until it
    /// boots.
    fn start(&mut self, arguments: &[&str]) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bottlerocket-simulator"))
            .current_dir(&self.directory)
            .args("--state disk --boot-id boot-id --os-release os-release".split(' '))
            .args("--refresh-time 0s --prepare-time 0s --activate-time 0s".split(' '))
            .args("--deactivate-time 0s --reboot-time 0s".split(' '))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let (sender, lines) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let pipes: [Box<dyn Read + Send>; 2] = [Box::new(stdout), Box::new(stderr)];
        for pipe in pipes {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        self.child = Some(child);
        self.lines = Some(lines);
        self.wait_for(" listens on ");
    }

    /// Waits for a line of the output.
    fn wait_for(&self, part: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.as_ref().unwrap().recv_timeout(Duration::from_secs(20)) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("{error}: no line with {part:?} in {seen:#?}"),
            }
        }
    }

    /// Sends a request. Returns the status and the body of the answer.
    fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.path("api.sock")).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head[9..12].parse().unwrap(), body.into())
    }

    fn post(&self, action: &str) {
        assert_eq!(self.ask(&format!("POST /actions/{action}")), (204, String::new()), "{action}");
    }

    fn status(&self) -> (u16, String) {
        self.ask("GET /updates/status")
    }

    fn stop(&mut self, signal: &str) {
        stop(self.child.take().unwrap(), signal);
    }

    /// The process is killed, and the machine loses its memory.
    fn lose_power(&mut self) {
        self.stop("-KILL");
        for name in ["api.sock", "boot-id", "os-release"] {
            let _ = fs::remove_file(self.path(name));
        }
    }

    fn running(&self) -> String {
        let text = fs::read_to_string(self.path("os-release")).unwrap();
        let version = text.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
        version.unwrap().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const UPDATE: [&str; 3] = ["refresh-updates", "prepare-update", "activate-update"];

/// A power loss that comes after the actions. The last of them ends when a line with the
/// given text appears, or lasts for ever.
#[test]
fn power_that_is_lost_leaves_what_a_disk_would_have() {
    let forever = "1h";
    // The name, further arguments, the actions, the line, and the version that boots.
    type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Option<&'a str>, &'a str);
    let rows: &[Row] = &[
        ("start", &[], &[], None, "1.26.0"),
        ("refreshing", &["--refresh-time", forever], &UPDATE[..1], None, "1.26.0"),
        ("refreshed", &[], &UPDATE[..1], Some("refresh succeeded"), "1.26.0"),
        ("preparing", &["--prepare-time", forever], &UPDATE[..2], None, "1.26.0"),
        ("prepared", &[], &UPDATE[..2], Some("prepare succeeded"), "1.26.0"),
        ("activating", &["--activate-time", forever], &UPDATE, None, "1.26.0"),
        ("activated", &[], &UPDATE, Some("activate succeeded"), "1.26.1"),
        // The partition table has changed, and the status has not. The request is answered
        // before the server is killed.
        (
            "cut-off",
            &["--fail", "activate=cut-off", "--activate-time", "300ms"],
            &UPDATE,
            Some("server was killed"),
            "1.26.1",
        ),
        (
            "deactivated",
            &[],
            &[UPDATE[0], UPDATE[1], UPDATE[2], "deactivate-update"],
            Some("deactivate succeeded"),
            "1.26.0",
        ),
        (
            "shutting-down",
            &["--shutdown-time", forever],
            &[UPDATE[0], UPDATE[1], UPDATE[2], "reboot"],
            None,
            "1.26.1",
        ),
        (
            "off",
            &["--on-reboot", "echo is off; exec sleep 3600 >/dev/null 2>&1"],
            &[UPDATE[0], UPDATE[1], UPDATE[2], "reboot"],
            Some("is off"),
            "1.26.1",
        ),
        // The first boot of the new version is cut short: the firmware goes back.
        (
            "booting",
            &["--boot-time", forever, "--on-reboot", ":"],
            &[UPDATE[0], UPDATE[1], UPDATE[2], "reboot"],
            None,
            "1.26.0",
        ),
        (
            "booted",
            &[],
            &[UPDATE[0], UPDATE[1], UPDATE[2], "reboot"],
            Some("booted 1.26.1"),
            "1.26.1",
        ),
        (
            "rolled-back",
            &["--no-boot", "1.26.1"],
            &[UPDATE[0], UPDATE[1], UPDATE[2], "reboot"],
            Some("booted 1.26.0"),
            "1.26.0",
        ),
    ];
    thread::scope(|scope| {
        for (name, arguments, actions, line, version) in rows {
            scope.spawn(move || {
                let mut machine = Machine::new(name);
                machine.start(arguments);
                let first = fs::read_to_string(machine.path("boot-id")).unwrap();
                for action in *actions {
                    // This also ends a command before it that takes no time.
                    machine.post(action);
                }
                if let Some(line) = line {
                    machine.wait_for(line);
                }
                if *name == "booting" {
                    machine.wait_for(" off");
                    wait_until_saved(&machine.path("disk"), "power booting");
                }
                machine.lose_power();
                machine.start(&[]);
                assert_eq!(machine.running(), *version, "{name}");
                assert_eq!(machine.status().0, 404, "{name}");
                machine.post("refresh-updates");
                let active = format!(
                    "\"active_partition\":{{\"image\":{{\"arch\":\"x86_64\",\
                     \"version\":\"{version}\",\"variant\":\"aws-k8s-1.30\"}},\"next_to_boot\":true}}"
                );
                let (_, status) = machine.status();
                assert!(status.contains(&active), "{name}: {status}");
                let second = fs::read_to_string(machine.path("boot-id")).unwrap();
                assert_ne!(first, second, "{name}");
            });
        }
    });
}

#[test]
fn quiet_does_not_print_requests_that_read_the_status() {
    let mut machine = Machine::new("quiet");
    machine.start(&["--quiet"]);
    machine.status();
    machine.post("refresh-updates");
    let next = machine.lines.as_ref().unwrap().iter().find(|line| !line.starts_with("  "));
    assert!(next.unwrap().ends_with(" state: no status -> Idle"));
    machine.stop("-TERM");
    assert!(machine.lines.as_ref().unwrap().iter().all(|line| !line.contains("GET")));
}

/// Waits for a line in the state file, which the simulator replaces.
fn wait_until_saved(path: &Path, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fs::read_to_string(path).unwrap().lines().any(|other| other == line) {
        assert!(Instant::now() < deadline, "no line {line:?}");
        thread::yield_now();
    }
}

#[test]
fn restart_of_the_server_is_no_boot() {
    for signal in ["-KILL", "-TERM"] {
        let mut machine = Machine::new(signal);
        machine.start(&[]);
        for action in UPDATE {
            machine.post(action);
            machine.status();
        }
        let boot_id = fs::read_to_string(machine.path("boot-id")).unwrap();
        let status = machine.status();
        assert!(status.1.contains("\"Ready\""), "{status:?}");
        machine.stop(signal);
        machine.start(&[]);
        assert_eq!(machine.status(), status, "{signal}");
        assert_eq!(fs::read_to_string(machine.path("boot-id")).unwrap(), boot_id, "{signal}");
    }
}

#[test]
fn command_of_on_reboot_runs_once_a_reboot() {
    let mut machine = Machine::new("on-reboot");
    let hook = "cat boot-id >>hook";
    machine.start(&["--on-reboot", hook]);
    let mut ids = String::new();
    for _ in 0..2 {
        // The command runs before the new boot.
        let before = fs::read_to_string(machine.path("boot-id")).unwrap();
        ids.push_str(&before);
        machine.post("reboot");
        machine.wait_for(" booted 1.26.0");
        assert_ne!(fs::read_to_string(machine.path("boot-id")).unwrap(), before);
        assert_eq!(fs::read_to_string(machine.path("hook")).unwrap(), ids);
        // The server listens again soon.
        let deadline = Instant::now() + Duration::from_secs(20);
        while connect_error(&machine.path("api.sock")).is_some() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }

    // It does not run at a start, which can be the end of a reboot.
    machine.lose_power();
    machine.start(&["--on-reboot", "echo started >>hook"]);
    assert!(!fs::read_to_string(machine.path("hook")).unwrap().contains("started"));
    machine.stop("-TERM");

    machine.start(&["--on-reboot", "exit 7"]);
    machine.post("reboot");
    machine.wait_for("the command of --on-reboot failed: exit status: 7");
    wait_until_saved(&machine.path("disk"), "power on");
}

/// Replaces a symbolic link at once, as the kubelet does in the volume of a ConfigMap.
fn publish(machine: &Machine, number: u32, text: &str) {
    let content = machine.path(&format!("content{number}"));
    fs::create_dir(&content).unwrap();
    fs::write(content.join("config"), text).unwrap();
    let new = machine.path("new");
    symlink(format!("content{number}"), &new).unwrap();
    fs::rename(new, machine.path("data")).unwrap();
}

#[test]
fn changed_configuration_takes_effect_without_a_restart() {
    let mut machine = Machine::new("config");
    publish(&machine, 1, "offer 1.26.0\n");
    symlink("data/config", machine.path("config")).unwrap();
    let chosen = |machine: &Machine| {
        machine.post("refresh-updates");
        let (_, status) = machine.status();
        let (_, rest) = status.split_once("\"chosen_update\":").unwrap();
        rest.split(",\"active_partition").next().unwrap().to_owned()
    };
    machine.start(&["--config", "config"]);
    assert_eq!(chosen(&machine), "null");
    publish(&machine, 2, "offer 1.27.0\n");
    machine.wait_for("the configuration has changed");
    assert!(chosen(&machine).contains("\"1.27.0\""));
    publish(&machine, 3, "offer 1.28.0\nnonsense\n");
    let line = machine.wait_for("the last configuration stays in force");
    assert_eq!(
        line,
        "bottlerocket-simulator: config: line 2, \"nonsense\": invalid option '--nonsense'; \
         the last configuration stays in force"
    );
    assert!(chosen(&machine).contains("\"1.27.0\""));
    publish(&machine, 4, "");
    machine.wait_for("the configuration has changed");
    assert_eq!(chosen(&machine), "null");
}

#[test]
fn socket_has_the_group_and_the_mode_of_the_real_one() {
    // Only root can give a file to a group that the process is not in.
    let own = fs::metadata("/proc/self").unwrap();
    let group = if own.uid() == 0 { 274 } else { own.gid() };
    let mut machine = Machine::new("group");
    machine.start(&["--group", &group.to_string()]);
    let metadata = fs::metadata(machine.path("api.sock")).unwrap();
    assert_eq!((metadata.gid(), metadata.mode() & 0o7777), (group, 0o660));
}

#[test]
fn remove_leaves_what_it_does_not_know() {
    let machine = Machine::new("remove");
    for directory in ["disk", "run"] {
        fs::create_dir(machine.path(directory)).unwrap();
    }
    for file in ["disk/state", "run/boot-id", "run/other"] {
        fs::write(machine.path(file), "").unwrap();
    }
    let remove = |files: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottlerocket-simulator"));
        let output = command.current_dir(&machine.directory).arg("remove").args(files).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // Twice: the second time nothing is there.
    for _ in 0..2 {
        let files = ["disk/state", "run/boot-id", "run/os-release"];
        assert_eq!(remove(&files), (Some(0), String::new()));
        assert!(!machine.path("disk").exists() && !machine.path("run/boot-id").exists());
        assert!(machine.path("run/other").exists());
    }
    let (status, error) = remove(&["run"]);
    assert_eq!(status, Some(3));
    assert!(error.starts_with("bottlerocket-simulator: run: "), "{error}");
}
