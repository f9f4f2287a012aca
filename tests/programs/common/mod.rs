//! Shared by the tests of whole programs: the programs, a simulated node, a server with
//! canned responses, and the results of runs.
//!
//! `scripts/test/test-programs` runs the tests with other builds of the programs.

pub mod cases;
pub mod daemon;
pub mod exposition;
pub mod records;

use bottlerocket_simulator::{self as simulator, Options, Simulator};
use std::env;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The path of one of the programs, by its name without `bottlerocket-`:
/// the one that cargo has built for the tests, or the one in the directory that
/// the environment variable `TEST_PROGRAMS` names.
pub fn program_path(name: &str) -> PathBuf {
    let built = Path::new(match name {
        "checker" => env!("CARGO_BIN_EXE_bottlerocket-checker"),
        "reboot" => env!("CARGO_BIN_EXE_bottlerocket-reboot"),
        "gate" => env!("CARGO_BIN_EXE_bottlerocket-gate"),
        "updater" => env!("CARGO_BIN_EXE_bottlerocket-updater"),
        "install" => env!("CARGO_BIN_EXE_bottlerocket-install"),
        other => panic!("there is no program {other}"),
    });
    match env::var_os("TEST_PROGRAMS") {
        Some(directory) => Path::new(&directory).join(built.file_name().unwrap()),
        None => built.to_path_buf(),
    }
}

/// A command that runs one of the programs, by its name without
/// `bottlerocket-`.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(program_path(name));
    command.stdin(Stdio::null());
    command
}

/// The directory of a test. Dropping this removes it.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The path of a socket must be short, so this is not in the target directory.
        let path = env::temp_dir().join(format!("br-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn socket(&self) -> PathBuf {
        self.0.join("api.sock")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Creates a socket file without a listening server.
pub fn leave_stale_socket(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    // Closing it is not enough: a child process that another thread starts has a copy
    // of it until it executes its program.
    UnixStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both).unwrap();
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit status, or `None` if a signal ended the program.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The time limit for a run. It is far longer than any run takes.
pub const RUN_MAX: Duration = Duration::from_secs(60);

/// Runs a program until it ends.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    run_within(RUN_MAX, command)
}

/// Runs a program until it ends. Panics if it takes longer than `limit`.
#[track_caller]
pub fn run_within(limit: Duration, command: &mut Command) -> Ran {
    run_into(limit, command, Stdio::piped(), Stdio::piped())
}

/// The same, with other output streams. The result only contains piped output.
#[track_caller]
pub fn run_into(
    limit: Duration,
    command: &mut Command,
    stdout: impl Into<Stdio>,
    stderr: impl Into<Stdio>,
) -> Ran {
    // The program has the only copy of `held`. `alive` ends when the program ends.
    let (alive, held) = io::pipe().unwrap();
    let spawned = command.stdin(held).stdout(stdout).stderr(stderr).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // Close the copies of the streams in `command`.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let output = [child.stdout.take().map(read_all), child.stderr.take().map(read_all)];
    let (sender, end) = mpsc::channel();
    thread::spawn(move || sender.send(io::copy(&mut { alive }, &mut io::sink())));
    if end.recv_timeout(limit).is_err() {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("still running after {limit:?}: {command:?}");
    }
    let status = child.wait().unwrap().code();
    let [stdout, stderr] =
        output.map(|text| text.map_or(String::new(), |text| text.join().unwrap()));
    Ran { status, stdout, stderr }
}

/// A pipe that is full. Nobody reads from it as long as its reader is kept.
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    // Another file description of the same pipe, because the program that gets this one
    // must block on it.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let again = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path);
    let mut again = again.unwrap();
    // Ends: when there is no room.
    while again.write(&[b'.'; 4096]).is_ok() {}
    (reader, writer)
}

/// Linux's number, on x86_64 and aarch64.
const O_NONBLOCK: i32 = 0o4000;

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).expect("programs print UTF-8");
        text
    })
}

/// Whether the tests run as root, who passes all permission checks.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A simulated node, on its own socket.
pub struct Node {
    simulator: Simulator,
    /// Dropped, and so removed, after the simulator.
    _directory: Directory,
}

impl Node {
    /// Options of a node whose commands take no time.
    pub fn instant() -> Options {
        Options {
            refresh_time: Duration::ZERO,
            prepare_time: Duration::ZERO,
            activate_time: Duration::ZERO,
            deactivate_time: Duration::ZERO,
            reboot_time: Duration::ZERO,
            ..Options::default()
        }
    }

    pub fn start(options: Options) -> Self {
        let directory = Directory::new();
        let simulator = Simulator::start(directory.socket(), options).unwrap();
        Self { simulator, _directory: directory }
    }

    /// Starts a node whose commands take no time, and runs these commands.
    pub fn after(commands: &[simulator::Command]) -> Self {
        let node = Self::start(Self::instant());
        for command in commands {
            node.run(*command).unwrap();
        }
        node
    }

    /// A program with the socket of this node.
    pub fn program(&self, name: &str) -> Command {
        let mut command = program(name);
        command.arg("-socket").arg(self.path());
        command
    }

    /// The requests so far, for example `GET /updates/status`.
    pub fn requested(&self) -> Vec<String> {
        let requests = self.requests();
        requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// Text with the path of the socket as `SOCKET`, for messages to compare.
    pub fn mask(&self, text: &str) -> String {
        text.replace(self.path().to_str().unwrap(), "SOCKET")
    }
}

impl Deref for Node {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.simulator
    }
}

/// A server with canned responses and no node: it reads a request, writes the same pieces
/// one by one for each request, and closes the connection.
pub struct CannedServer {
    directory: Directory,
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl CannedServer {
    pub fn start(pieces: Vec<Vec<u8>>) -> Self {
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.socket()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let thread = thread::spawn({
            let (stop, requests) = (stop.clone(), requests.clone());
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut stream = stream.unwrap();
                    // Before the response, which a test may wait for.
                    requests.lock().unwrap().push(read_request(&mut stream));
                    repeat(stream, &pieces);
                }
            }
        });
        Self { directory, stop, requests, thread: Some(thread) }
    }

    pub fn program(&self, name: &str) -> Command {
        let mut command = program(name);
        command.arg("-socket").arg(self.directory.socket());
        command
    }

    /// Text with the path of the socket as `SOCKET`, for messages to compare.
    pub fn mask(&self, text: &str) -> String {
        text.replace(self.directory.socket().to_str().unwrap(), "SOCKET")
    }

    /// The first line of each request so far.
    pub fn requested(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for CannedServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wake the thread, which waits for a connection.
        let connected = UnixStream::connect(self.directory.socket()).is_ok();
        if let Some(thread) = self.thread.take_if(|_| connected) {
            let _ = thread.join();
        }
    }
}

/// The first line of a request.
fn read_request(stream: &mut UnixStream) -> String {
    stream.set_read_timeout(Some(RUN_MAX)).unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&request).lines().next().unwrap_or_default().into()
}

fn repeat(mut stream: UnixStream, pieces: &[Vec<u8>]) {
    stream.set_write_timeout(Some(RUN_MAX)).unwrap();
    for piece in pieces {
        // The client may have closed the connection.
        if stream.write_all(piece).is_err() {
            return;
        }
    }
}

/// The program as another user, who has no access to a socket after [`forbid`].
pub fn program_as_other_user(name: &str, directory: &Directory) -> Command {
    let original = program(name);
    let path = original.get_args().last().unwrap_or(original.get_program());
    // The other user may not be able to read the build directory, but can read this copy.
    // Another process makes the copy: a child process that another test starts would have
    // a copy of this process's file, and a file that is open for writing cannot be
    // executed.
    let copy = directory.path().join(Path::new(path).file_name().unwrap());
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("cp").arg(path).arg(&copy).status().unwrap().success());
    let mut command = match original.get_args().last() {
        Some(_) => Command::new(original.get_program()),
        None => Command::new(&copy),
    };
    command.args(original.get_args().last().map(|_| &copy));
    if is_root() {
        command.uid(65534).gid(65534);
    }
    command
}

/// Denies access to a socket for the user of [`program_as_other_user`].
pub fn forbid(socket: &Path) {
    // The mode of a real node if the tests run as root. Otherwise the user is the owner.
    let mode = if is_root() { 0o660 } else { 0 };
    fs::set_permissions(socket, Permissions::from_mode(mode)).unwrap();
}

/// The command with redirections in the syntax of the shell.
pub fn redirected(command: &Command, redirections: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$@\" {redirections}")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell
}
