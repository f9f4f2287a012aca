//! Failing system calls, and kills at any point: each system call of a run fails once with
//! each of its errors.
//!
//! `scripts/test/test-faults` runs these tests. They need strace, take minutes, and work
//! only with the programs of this machine: strace does not see the system calls in an
//! emulator. By default the first and the last call of each name fail. With `FAULTS=all`
//! in the environment, all of them do.

// A daemon that is scraped, and a system call that fails or kills it.
mod daemon;
// Runs of each program, and a system call that fails or kills it.
mod runs;
// The API server in its own process, which is stopped, continued, killed and restarted.
mod server;

use crate::common::cases::side_by_side;
use crate::common::{Directory, Node, Ran, run_within};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{Event, EventKind, State};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// The time limit for a run, whatever fails.
const LIMIT: Duration = Duration::from_secs(45);

/// The maximum number of additional system calls of a run in which one fails. A busy loop
/// makes many more. (The reboot program retries for fifteen seconds or longer.)
const MORE_CALLS: usize = 2_000;

/// How long a server is stopped. This is longer than the timeout of a call, 10 s.
const STOPPED: Duration = Duration::from_secs(11);

/// The errors of each system call: those in its manual page, and those of security modules
/// and unusual file systems.
const ERRORS: [(&str, &str); 36] = [
    // It only fails for a clock that does not exist.
    ("clock_gettime", ""),
    ("rt_sigaction", "EINVAL"),
    ("getrandom", "EAGAIN EFAULT EINTR EINVAL ENOSYS EPERM"),
    ("prctl", "EINVAL EPERM ENOSYS"),
    ("socket", "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT EPERM"),
    (
        "connect",
        "EACCES EPERM EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF ECONNREFUSED \
         EFAULT EINPROGRESS EINTR EINVAL EISCONN ENETUNREACH ENOBUFS ENOMEM ENOTSOCK EPROTOTYPE \
         ETIMEDOUT ENOENT ENOTDIR ELOOP ENAMETOOLONG EIO",
    ),
    (
        "accept4",
        "EAGAIN EBADF ECONNABORTED EFAULT EHOSTDOWN EHOSTUNREACH EINTR EINVAL EMFILE ENETDOWN \
         ENETUNREACH ENFILE ENOBUFS ENOMEM ENONET ENOPROTOOPT ENOSYS ENOTSOCK EOPNOTSUPP EPERM \
         EPROTO ETIMEDOUT",
    ),
    (
        "bind",
        "EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EBADF EFAULT EINVAL ENOMEM ENOTSOCK EPERM",
    ),
    ("listen", "EACCES EADDRINUSE EBADF ENOTSOCK EOPNOTSUPP EPERM"),
    ("setsockopt", "EACCES EBADF EDOM EFAULT EINVAL ENOMEM ENOPROTOOPT ENOTSOCK EPERM"),
    ("getsockname", "EACCES EBADF EFAULT EINVAL ENOBUFS ENOTSOCK EPERM"),
    (
        "sendto",
        "EACCES EAGAIN EBADF ECONNRESET EDESTADDRREQ EFAULT EINTR EINVAL EISCONN EMSGSIZE ENOBUFS \
         ENOMEM ENOTCONN ENOTSOCK EOPNOTSUPP EPIPE EPERM ETIMEDOUT",
    ),
    (
        "recvfrom",
        "EACCES EAGAIN EBADF ECONNREFUSED ECONNRESET EFAULT EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK \
         EPERM ETIMEDOUT",
    ),
    ("ppoll", "EFAULT EINTR EINVAL ENOMEM EPERM"),
    ("poll", "EFAULT EINTR EINVAL ENOMEM EPERM"),
    (
        "write",
        "EAGAIN EBADF EDESTADDRREQ EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOMEM ENOSPC EPERM EPIPE \
         EROFS ESTALE",
    ),
    (
        "pwritev2",
        "EAGAIN EBADF EDQUOT EFAULT EFBIG EINTR EINVAL EIO ENOSPC ENOSYS EOPNOTSUPP EPERM EPIPE \
         ESPIPE",
    ),
    ("close", "EBADF EINTR EIO ENOSPC EDQUOT"),
    (
        "openat",
        "EACCES EAGAIN EBADF EBUSY EDQUOT EEXIST EFAULT EFBIG EINTR EINVAL EIO EISDIR ELOOP EMFILE \
         ENAMETOOLONG ENFILE ENODEV ENOENT ENOMEM ENOSPC ENOTDIR ENXIO EOPNOTSUPP EOVERFLOW EPERM \
         EROFS ESTALE ETXTBSY",
    ),
    ("open", "EACCES EINTR ELOOP EMFILE ENFILE ENOENT ENOMEM ENOTDIR EPERM EIO"),
    (
        "newfstatat",
        "EACCES EBADF EFAULT EINVAL ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EOVERFLOW EIO",
    ),
    ("statx", "EACCES EBADF EFAULT EINVAL ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EIO"),
    ("readlinkat", "EACCES EBADF EFAULT EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR"),
    ("pread64", "EAGAIN EBADF EFAULT EINTR EINVAL EIO EISDIR ENXIO EOVERFLOW ESPIPE"),
    ("read", "EAGAIN EBADF EFAULT EINTR EINVAL EIO EISDIR ENOMEM EOVERFLOW EPERM ESTALE"),
    (
        "mkdirat",
        "EACCES EBADF EDQUOT EEXIST EFAULT EINVAL EIO ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM \
         ENOSPC ENOTDIR EPERM EROFS",
    ),
    ("flock", "EBADF EINTR EINVAL ENOLCK EAGAIN ENOSYS"),
    (
        "unlinkat",
        "EACCES EBADF EBUSY EFAULT EINVAL EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR \
         EPERM EROFS",
    ),
    ("fchown", "EACCES EBADF EDQUOT EINVAL EIO ENOMEM EPERM EROFS"),
    ("fchmod", "EACCES EBADF EIO ENOMEM ENOSPC EPERM EROFS"),
    ("fsync", "EBADF EIO ENOSPC EROFS EINVAL EDQUOT EINTR"),
    (
        "renameat",
        "EACCES EBADF EBUSY EDQUOT EEXIST EFAULT EINVAL EIO EISDIR ELOOP EMLINK ENAMETOOLONG \
         ENOENT ENOMEM ENOSPC ENOTDIR ENOTEMPTY EPERM EROFS EXDEV",
    ),
    ("fstat", "EBADF EFAULT EIO ENOMEM EOVERFLOW"),
    ("rt_sigprocmask", "EFAULT EINVAL"),
    ("umask", ""),
    ("geteuid", ""),
];

/// A system call of a run: its name, and its number among the calls with this name.
type Place = (String, usize);

/// Runs a command under strace with this fault. Returns the result and the names of the
/// system calls.
fn traced(command: &Command, injection: Option<&str>, directory: &Directory) -> (Ran, Vec<String>) {
    let log = directory.path().join("calls");
    let mut strace = Command::new("strace");
    strace.arg("-o").arg(&log);
    if let Some(injection) = injection {
        strace.arg("-e").arg(format!("inject={injection}"));
    }
    strace.arg("--").arg(command.get_program()).args(command.get_args());
    let ran = run_within(LIMIT, &mut strace);
    let log = fs::read_to_string(log).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let name = |line: &str| line.split_once('(').map(|(name, _)| name.to_string());
    let word = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (ran, log.lines().filter_map(name).filter(word).collect())
}

/// The system calls of a run, without the first one, which starts the program, and the last
/// one, which ends it.
fn places(calls: &[String]) -> Vec<Place> {
    let mut counts = BTreeMap::new();
    let mut places = Vec::new();
    for name in &calls[1..calls.len() - 1] {
        let count = counts.entry(name).or_insert(0);
        *count += 1;
        places.push((name.clone(), *count));
    }
    assert_eq!(calls.last().unwrap(), "exit_group");
    assert!(places.len() >= 7, "{calls:?}");
    places
}

/// Whether all calls of a name fail, one after the other.
fn has_all() -> bool {
    std::env::var("FAULTS").is_ok_and(|which| which == "all")
}

/// All pairs of a call and an error: for all calls of each name, or for the first and the
/// last one.
fn cases(calls: &[String]) -> Vec<(Place, &'static str)> {
    let all = has_all();
    let places = places(calls);
    let mut cases = Vec::new();
    for (name, count) in &places {
        let Some((_, errors)) = ERRORS.into_iter().find(|(other, _)| other == name) else {
            panic!("the table has no errors of {name}");
        };
        let is_last = !places.contains(&(name.clone(), count + 1));
        if all || *count == 1 || is_last {
            cases.extend(
                errors.split(' ').filter(|e| !e.is_empty()).map(|e| ((name.clone(), *count), e)),
            );
        }
    }
    cases
}

/// The results as a table: for each call and error, the exit statuses and the first
/// message.
#[derive(Default)]
struct Table(Mutex<BTreeMap<(String, String), Row>>);

type Row = (BTreeMap<String, usize>, String);

impl Table {
    fn add(&self, place: &Place, error: &str, ran: &Ran) {
        let mut rows = self.0.lock().unwrap();
        let row = rows.entry((place.0.clone(), error.into())).or_default();
        let status = ran.status.map_or("killed".into(), |status| status.to_string());
        *row.0.entry(status).or_default() += 1;
        if row.1.is_empty() {
            row.1 = ran.stderr.lines().last().unwrap_or_default().into();
        }
    }

    fn print(&self, title: &str) {
        let mut text = format!("\n{title}\n");
        for ((call, error), (statuses, message)) in self.0.lock().unwrap().iter() {
            let statuses: Vec<_> =
                statuses.iter().map(|(s, count)| format!("{s} x{count}")).collect();
            let (_, message) = message.split_once(": ").unwrap_or_default();
            let statuses = statuses.join(", ");
            writeln!(text, "  {call:<16} {error:<16} {statuses:<12} {message}").unwrap();
        }
        println!("{text}");
    }
}

/// Checks what must hold whatever fails: a documented exit status, and a readable message
/// in case of a failure, unless writing the message failed.
#[track_caller]
fn assert_orderly(label: &str, place: &Place, ran: &Ran, calls: usize, usual: usize) {
    let status = ran.status;
    assert!(matches!(status, Some(0 | 1 | 3)), "{label}: {ran:?}");
    assert!(calls <= usual + MORE_CALLS, "{label}: {calls} system calls: {ran:?}");
    assert!(!ran.stderr.contains("bug:"), "{label}: {ran:?}");
    let message = ran.stderr.lines().last().unwrap_or_default();
    let readable = message.contains("cannot ")
        || message.contains("level=error")
        || message.contains("error=");
    assert!(status != Some(3) || readable || place.0 == "write", "{label}: {ran:?}");
}

/// Whether the error means that there is no valid state file. The updater then starts
/// without its state. It opens the file after the boot id and the directory.
fn loses_the_state((name, count): &Place, error: &str) -> bool {
    match (name.as_str(), count) {
        ("openat", 3) => ["ENOENT", "ELOOP", "EISDIR"].contains(&error),
        ("read", 2) => error == "EISDIR",
        _ => false,
    }
}

/// Checks that a failure to load or save the state is logged once.
#[track_caller]
fn assert_logged(label: &str, (name, _): &Place, ran: &Ran) {
    let is_about_state = ["openat", "read", "fsync", "renameat"].contains(&name.as_str());
    let logged = ran.stderr.matches("event=state_lost").count();
    // A write may be for the state or for the log.
    let is_right =
        if name == "write" { logged <= 1 } else { logged == usize::from(is_about_state) };
    assert!(is_right, "{label}: {ran:?}");
}

/// The line of the state file for a version that did not boot.
const HELD: &str = "1.25.0\taws-k8s-1.30\tx86_64\t1.26.0\t\t1\t1700000000\t\n";

/// An updater with a state file, which has a version that did not boot.
fn stateful_updater(node: &Node, directory: &Directory) -> Command {
    let boot_id = directory.path().join("boot-id");
    if !boot_id.exists() {
        fs::write(&boot_id, "8a1cb4d1-0000-4000-8000-000000000001\n").unwrap();
        // The hold-back was over long ago, so the uptime is not saved hourly.
        let uptime = "uptime\t1800000000000\t0\t\n";
        let mut text = format!("bottlerocket-updater 2\n{uptime}{HELD}");
        writeln!(text, "sum {}", checksum(&text)).unwrap();
        fs::write(directory.path().join("state"), text).unwrap();
    }
    let mut command = node.program("updater");
    command.arg("-state-dir").arg(directory.path()).arg("-boot-id").arg(boot_id);
    command
}

/// The FNV-1a checksum.
fn checksum(text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    text.bytes().fold(start, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Checks that the state file is whole and still has the version.
#[track_caller]
fn assert_state_is_kept(label: &str, directory: &Directory) {
    let text = fs::read_to_string(directory.path().join("state")).unwrap();
    let (before, sum) = text.split_once("sum ").unwrap();
    assert_eq!(sum, format!("{}\n", checksum(before)), "{label}: {text}");
    assert!(text.contains(HELD), "{label}: {text}");
    assert!(!directory.path().join("state.damaged").exists(), "{label}");
}

/// Checks that no image was prepared or activated twice.
#[track_caller]
fn assert_once(label: &str, node: &Node) {
    for action in [Prepare, Activate] {
        let started = |request: &&bottlerocket_simulator::Request| {
            request.path == action.path() && request.status == Some(204)
        };
        let count = node.requests().iter().filter(started).count();
        assert_eq!(count, 1, "{label}: {} started: {:?}", action.name(), node.requested());
    }
}

/// The kernel accepts connections and requests for a stopped server. When the server
/// continues, it carries them out, even if the client no longer waits.
#[test]
#[ignore = "takes longer than the timeout of a call: scripts/test/test-faults"]
fn update_survives_an_api_that_pauses_in_each_phase() {
    let paths = ["/updates/status", Refresh.path(), Prepare.path(), Activate.path()];
    side_by_side(paths.to_vec(), |path| {
        let node = Node::after(&[]);
        let mut hit = false;
        node.before_each(move |_, request| {
            if request.path == path && !hit {
                hit = true;
                thread::sleep(STOPPED);
            }
        });
        let log = Directory::new();
        let stderr = fs::File::create(log.path().join("log")).unwrap();
        let mut command = node.program("updater");
        command.args(["-test-interval=200ms", "-jitter=0s"]).stderr(stderr);
        let mut updater = command.spawn().unwrap();
        let ready = node.wait_until(LIMIT, |view| view.node.state() == Some(State::Ready));
        let read = || fs::read_to_string(log.path().join("log")).unwrap();
        let end = Instant::now() + LIMIT;
        while !read().contains("ready, waiting for the reboot") && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        updater.kill().unwrap();
        updater.wait().unwrap();
        let log = read();
        assert!(ready, "{path}: {log}");
        assert!(log.contains("timed out waiting for a response"), "{path}: {log}");
        assert!(log.contains("the API is available again"), "{path}: {log}");
        assert!(log.contains("ready, waiting for the reboot"), "{path}: {log}");
        let events = node.events(Duration::ZERO);
        let started = |command| {
            let started = |event: &&Event| event.kind == EventKind::Started(command);
            events.iter().filter(started).count()
        };
        assert_eq!((started(Prepare), started(Activate)), (1, 1), "{path}: {log}");
    });
}

/// A daemon under strace. The child process is the daemon, so signals reach it.
fn daemon_under_strace(updater: &Command, log: &Path, injection: Option<&str>) -> Command {
    let mut strace = Command::new("strace");
    strace.arg("-D").arg("-o").arg(log);
    if let Some(injection) = injection {
        strace.arg("-e").arg(format!("inject={injection}"));
    }
    strace.arg("--").arg(updater.get_program()).args(updater.get_args());
    strace
}
