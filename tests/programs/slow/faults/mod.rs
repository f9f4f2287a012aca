//! What becomes of the programs when the kernel says no, or kills them, at any
//! point: every system call of a run fails in turn, in every way that it can.
//!
//! These need strace, which does it, and take a while: `scripts/test/test-faults` runs
//! them, on the programs of this machine: strace does not see into an emulator. With
//! `FAULTS=all` in the environment each call of a kind is hit, and not only the
//! first and the last.

mod server;

use crate::common::cases::side_by_side;
use crate::common::daemon::{LONG, Running};
use crate::common::{Directory, Node, Ran, program, run_within};
use bottlerocket_simulator::Command::{Activate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::{Ending, Event, EventKind, Fault, Options, Rule, State};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// No run here has a reason to take longer, whatever fails.
const LIMIT: Duration = Duration::from_secs(45);
/// How many system calls more than usual a run makes when one fails: a program
/// that spins makes many times that. (A reboot asks again for fifteen seconds, longer
/// if each try takes its time.)
const MORE_CALLS: usize = 2_000;

/// How long a server is stopped: longer than the 10 s that a call may take.
const STOPPED: Duration = Duration::from_secs(11);

/// The errors that the manual has for each system call, and those that security
/// modules and odd file systems bring.
const ERRORS: [(&str, &str); 31] = [
    // Only for a clock that does not exist.
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
    ("fchmod", "EACCES EBADF EIO ENOMEM ENOSPC EPERM EROFS"),
    ("fsync", "EBADF EIO ENOSPC EROFS EINVAL EDQUOT EINTR"),
    (
        "renameat",
        "EACCES EBADF EBUSY EDQUOT EEXIST EFAULT EINVAL EIO EISDIR ELOOP EMLINK ENAMETOOLONG \
         ENOENT ENOMEM ENOSPC ENOTDIR ENOTEMPTY EPERM EROFS EXDEV",
    ),
    ("umask", ""),
];

/// One system call of a run: the name, and how many-th of that name.
type Place = (String, usize);

/// A run under strace, which is told to break something.
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

/// The system calls of a run that can fail. The first one starts the program,
/// and the last one ends it.
fn places(calls: &[String]) -> Vec<Place> {
    let mut counts = BTreeMap::new();
    let mut places = Vec::new();
    for name in &calls[1..calls.len() - 1] {
        let count = counts.entry(name).or_insert(0);
        *count += 1;
        places.push((name.clone(), *count));
    }
    assert_eq!(calls.last().unwrap(), "exit_group");
    assert!(places.len() >= 8, "{calls:?}");
    places
}

/// Whether each call of a kind is to be hit.
fn has_all() -> bool {
    std::env::var("FAULTS").is_ok_and(|which| which == "all")
}

/// Each place with each error that it can bring: those of a kind all, or the
/// first and the last.
fn cases(calls: &[String]) -> Vec<(Place, &'static str)> {
    let all = has_all();
    let places = places(calls);
    let mut cases = Vec::new();
    for (name, count) in &places {
        let Some((_, errors)) = ERRORS.into_iter().find(|(other, _)| other == name) else {
            panic!("it is not known how {name} can fail");
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

/// What came of the cases, in a table: for each call and error the exit
/// statuses and the first message.
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

/// What holds whatever fails: an exit status of the program's own, and if it is
/// a failure, one readable line, unless that was what failed.
#[track_caller]
fn assert_orderly(what: &str, place: &Place, ran: &Ran, calls: usize, usual: usize) {
    let status = ran.status;
    assert!(matches!(status, Some(0 | 1 | 3)), "{what}: {ran:?}");
    assert!(calls <= usual + MORE_CALLS, "{what}: {calls} system calls: {ran:?}");
    assert!(!ran.stderr.contains("bug:"), "{what}: {ran:?}");
    let outcome = ran.stderr.lines().last().unwrap_or_default();
    let readable = outcome.contains("cannot ")
        || outcome.contains("level=error")
        || outcome.contains("error=");
    assert!(status != Some(3) || readable || place.0 == "write", "{what}: {ran:?}");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn the_checker_when_each_system_call_fails() {
    for (node, usual_status, title) in [
        (Node::after(&[Refresh, Prepare, Activate]), 0, "checker, Ready"),
        (Node::after(&[Refresh, Prepare]), 1, "checker, Staged"),
        (Node::after(&[]), 1, "checker -refresh, no refresh since boot"),
    ] {
        let mut command = node.program("checker");
        if title.contains("-refresh") {
            command.arg("-refresh");
        }
        let (usual, calls) = traced(&command, None, &Directory::new());
        assert_eq!(usual.status, Some(usual_status));
        let table = Table::default();
        side_by_side(cases(&calls), |(place, error)| {
            let what = format!("{title}: {error} from {} {}", place.0, place.1);
            let injection = format!("{}:error={error}:when={}", place.0, place.1);
            let (ran, made) = traced(&command, Some(&injection), &Directory::new());
            assert_orderly(&what, &place, &ran, made.len(), calls.len());
            // It found out, or it did not.
            assert!([Some(usual_status), Some(3)].contains(&ran.status), "{what}: {ran:?}");
            table.add(&place, error, &ran);
        });
        table.print(title);
    }
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn a_reboot_when_each_system_call_fails() {
    let node = || Node::after(&[Refresh, Prepare, Activate]);
    let (usual, calls) = traced(node().program("reboot").arg("-if-ready"), None, &Directory::new());
    assert_eq!(usual.status, Some(0));
    let table = Table::default();
    side_by_side(cases(&calls), |(place, error)| {
        let what = format!("reboot: {error} from {} {}", place.0, place.1);
        let injection = format!("{}:error={error}:when={}", place.0, place.1);
        let node = node();
        let mut command = node.program("reboot");
        let (ran, made) = traced(command.arg("-if-ready"), Some(&injection), &Directory::new());
        assert_orderly(&what, &place, &ran, made.len(), calls.len());
        let boots = node.look(|view| view.node.boots());
        assert!(ran.status != Some(0) || boots > 1, "{what}: {ran:?}");
        assert!(boots <= 2 || ran.status == Some(0), "{what}: {boots} boots: {ran:?}");
        table.add(&place, error, &ran);
    });
    table.print("reboot -if-ready, Ready");
}

/// After a break, the API is away for a while, comes back, and refuses: whatever
/// fails meanwhile, it is not taken for a node that goes down.
#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn a_reboot_after_a_break_when_each_system_call_fails() {
    let run = |injection: Option<&str>| {
        let node = Node::after(&[Refresh, Prepare, Activate]);
        node.inject(Rule::from(Fault::silence()).on("POST", Reboot.path()));
        node.change(|node, _| node.end_next(Reboot, Ending::failed(1, "no")));
        let ran = thread::scope(|scope| {
            let command = node.program("reboot");
            let run = scope.spawn(move || traced(&command, injection, &Directory::new()));
            let is_asked = || node.look(|view| view.count("POST", Reboot.path())) > 0;
            while !is_asked() && !run.is_finished() {
                thread::sleep(Duration::from_millis(5));
            }
            node.refuse();
            thread::sleep(Duration::from_millis(700));
            node.restart().unwrap();
            run.join().unwrap()
        });
        (node.look(|view| view.node.boots()), ran)
    };
    let (boots, (usual, calls)) = run(None);
    assert_eq!((boots, usual.status), (1, Some(3)), "{usual:?}");
    let table = Table::default();
    let mut cases = Vec::new();
    for (name, count) in places(&calls) {
        let (_, errors) = ERRORS.into_iter().find(|(other, _)| *other == name).unwrap();
        // It waits for a while, or it does not: the kernel's reason is all the same.
        let mut errors = errors.split(' ').filter(|error| !["", "EINTR", "EAGAIN"].contains(error));
        let Some(error) = errors.next_back() else { continue };
        cases.push(((name.clone(), count), error, ""));
        cases.push(((name, count), error, "+"));
    }
    side_by_side(cases, |(place, error, on)| {
        let injection = format!("{}:error={error}:when={}{on}", place.0, place.1);
        let (boots, (ran, made)) = run(Some(&injection));
        assert_orderly(&injection, &place, &ran, made.len(), calls.len());
        // It is refused once: if that was not heard, the next time counts.
        assert!(ran.status == Some(3) || boots > 1, "{injection}: {ran:?}");
        table.add(&place, error, &ran);
    });
    table.print("reboot, after a break");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn an_update_when_each_system_call_fails() {
    let (node, directory) = (Node::after(&[]), Directory::new());
    let (usual, calls) = traced(&one_time(&node, &directory), None, &directory);
    assert_eq!(usual.status, Some(0));
    let table = Table::default();
    let mut cases = cases(&calls);
    cases.retain(|(place, error)| !is_believed(place, error));
    side_by_side(cases, |(place, error)| {
        let what = format!("updater: {error} from {} {}", place.0, place.1);
        let injection = format!("{}:error={error}:when={}", place.0, place.1);
        let (node, directory) = (Node::after(&[]), Directory::new());
        let command = one_time(&node, &directory);
        let (ran, made) = traced(&command, Some(&injection), &directory);
        assert_orderly(&what, &place, &ran, made.len(), calls.len());
        let state = node.look(|view| view.node.state());
        assert!(ran.status != Some(0) || state == Some(State::Ready), "{what}: {ran:?}");
        assert_told(&what, &place, &ran);
        table.add(&place, error, &ran);
        // The next run does what this one did not, and not twice.
        assert_finished(&what, &node, &directory);
    });
    table.print("updater -one-time, a whole update");
}

/// Who is told that there is no state file, or a link or a directory in its place,
/// believes it. It is opened behind the boot id and the directory.
fn is_believed((name, count): &Place, error: &str) -> bool {
    match (name.as_str(), count) {
        ("openat", 3) => ["ENOENT", "ELOOP", "EISDIR"].contains(&error),
        ("read", 2) => error == "EISDIR",
        _ => false,
    }
}

/// If what failed keeps the state, that is told, once.
#[track_caller]
fn assert_told(what: &str, (name, _): &Place, ran: &Ran) {
    let keeps = ["openat", "read", "fsync", "renameat"].contains(&name.as_str());
    let outcome = ran.stderr.matches("event=state_lost").count();
    // A write may be that of the state or of a line.
    let is_right = if name == "write" { outcome <= 1 } else { outcome == usize::from(keeps) };
    assert!(is_right, "{what}: {ran:?}");
}

/// A version that did not come up, in a state file.
const HELD: &str = "1.25.0\taws-k8s-1.30\tx86_64\t1.26.0\t\t1\t1700000000\t\n";

/// An updater that remembers a version that did not come up.
fn remembering(node: &Node, directory: &Directory) -> Command {
    let boot_id = directory.path().join("boot-id");
    if !boot_id.exists() {
        fs::write(&boot_id, "8a1cb4d1-0000-4000-8000-000000000001\n").unwrap();
        let mut text = format!("bottlerocket-updater 1\n{HELD}");
        writeln!(text, "sum {}", checksum(&text)).unwrap();
        fs::write(directory.path().join("state"), text).unwrap();
    }
    let mut command = node.program("updater");
    command.arg("-state-dir").arg(directory.path()).arg("-boot-id").arg(boot_id);
    command
}

/// A whole update by one.
fn one_time(node: &Node, directory: &Directory) -> Command {
    let mut command = remembering(node, directory);
    command.arg("-one-time");
    command
}

/// FNV-1a.
fn checksum(text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    text.bytes().fold(start, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The state file is whole, and nothing in it was forgotten.
#[track_caller]
fn assert_remembered(what: &str, directory: &Directory) {
    let text = fs::read_to_string(directory.path().join("state")).unwrap();
    let (before, sum) = text.split_once("sum ").unwrap();
    assert_eq!(sum, format!("{}\n", checksum(before)), "{what}: {text}");
    assert!(text.contains(HELD), "{what}: {text}");
    assert!(!directory.path().join("state.damaged").exists(), "{what}");
}

/// The next run of the updater has the node Ready, no image was written or
/// activated twice, and what was remembered is.
#[track_caller]
fn assert_finished(what: &str, node: &Node, directory: &Directory) {
    assert_remembered(what, directory);
    let again = run_within(LIMIT, &mut one_time(node, directory));
    assert_remembered(what, directory);
    assert_eq!(again.status, Some(0), "{what}: {again:?}");
    assert_eq!(node.look(|view| view.node.state()), Some(State::Ready), "{what}");
    assert_once(what, node);
}

/// No image was written or activated twice.
#[track_caller]
fn assert_once(what: &str, node: &Node) {
    for action in [Prepare, Activate] {
        let started = |request: &&bottlerocket_simulator::Request| {
            request.path == action.path() && request.status == Some(204)
        };
        let count = node.requests().iter().filter(started).count();
        assert_eq!(count, 1, "{what}: {} started: {:?}", action.name(), node.requested());
    }
}

/// A server that is stopped takes connections and requests, and carries them
/// out when it goes on, whether somebody still waits for the answer or not.
#[test]
#[ignore = "takes longer than a call may: scripts/test/test-faults"]
fn an_api_that_stops_in_each_phase_and_goes_on() {
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
        command.args(["-interval=200ms", "-jitter=0s"]).stderr(stderr);
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

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn an_updater_that_is_killed_at_each_system_call() {
    let (node, directory) = (Node::after(&[]), Directory::new());
    let (usual, calls) = traced(&one_time(&node, &directory), None, &directory);
    assert_eq!(usual.status, Some(0));
    let places = places(&calls);
    println!("killed before each of {} system calls of an update", places.len());
    side_by_side(places, |(name, count)| {
        let what = format!("killed at {name} {count}");
        let (node, directory) = (Node::after(&[]), Directory::new());
        let injection = format!("{name}:signal=KILL:when={count}");
        let (ran, _) = traced(&one_time(&node, &directory), Some(&injection), &directory);
        // How often it looks depends on the time.
        assert!([None, Some(0)].contains(&ran.status), "{what}: {ran:?}");
        assert_finished(&what, &node, &directory);
    });
}

/// What an install left behind: each program whole and runnable, or as it was.
#[track_caller]
fn assert_whole(what: &str, from: &Path, into: &Path, done: bool) {
    for name in ["bottlerocket-checker", "bottlerocket-reboot"] {
        let installed = into.join(name);
        let contents = fs::read(&installed).ok();
        let new = contents == fs::read(from.join(name)).ok();
        let old = contents.is_none_or(|contents| contents == b"old");
        assert!(new || old && !done, "{what}: {name}");
        if new {
            let mode = fs::metadata(&installed).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755, "{what}: {name}");
        }
    }
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn an_install_when_each_system_call_fails() {
    let checker = PathBuf::from(program("checker").get_program());
    let from = checker.parent().unwrap();
    for (title, there) in [
        ("install, new", false),
        ("install, another version there", true),
        ("install, the same version there", true),
    ] {
        let begin = |directory: &Directory| {
            let into = directory.path().join("opt/bottlerocket");
            if there && !into.exists() {
                fs::create_dir_all(&into).unwrap();
                for name in ["bottlerocket-checker", "bottlerocket-reboot"] {
                    if title.contains("same") {
                        fs::copy(from.join(name), into.join(name)).unwrap();
                    } else {
                        fs::write(into.join(name), "old").unwrap();
                    }
                }
            }
            let mut command = program("install");
            command.arg("-from").arg(from).arg(&into);
            (command, into)
        };
        let directory = Directory::new();
        let (command, into) = begin(&directory);
        let (usual, calls) = traced(&command, None, &directory);
        assert_eq!(usual.status, Some(0));
        assert_whole("usual", from, &into, true);
        let table = Table::default();
        side_by_side(cases(&calls), |(place, error)| {
            let what = format!("{title}: {error} from {} {}", place.0, place.1);
            let injection = format!("{}:error={error}:when={}", place.0, place.1);
            let directory = Directory::new();
            let (command, into) = begin(&directory);
            let (ran, made) = traced(&command, Some(&injection), &directory);
            assert_orderly(&what, &place, &ran, made.len(), calls.len());
            assert_ne!(ran.status, Some(1), "{what}");
            assert_whole(&what, from, &into, ran.status == Some(0));
            table.add(&place, error, &ran);
            // The next one finishes, and clears away what was left.
            let again = run_within(LIMIT, &mut begin(&directory).0);
            assert_eq!(again.status, Some(0), "{what}: {again:?}");
            let left: Vec<_> = fs::read_dir(&into).unwrap().collect();
            assert_eq!(left.len(), 2, "{what}: {left:?}");
        });
        table.print(title);
    }
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn nothing_hangs_or_spins_when_a_system_call_always_fails() {
    let checker = PathBuf::from(program("checker").get_program());
    let from = checker.parent().unwrap();
    for name in ["checker", "reboot", "updater", "install"] {
        let command = |node: &Node| {
            let mut command = match name {
                "install" => program("install"),
                _ => node.program(name),
            };
            match name {
                "updater" => command.arg("-one-time"),
                "install" => {
                    let into = node.path().with_extension("opt");
                    command.arg("-from").arg(from).arg(into)
                }
                _ => &mut command,
            };
            command
        };
        let (usual, calls) = traced(&command(&Node::after(&[])), None, &Directory::new());
        assert!(matches!(usual.status, Some(0 | 1)), "{usual:?}");
        let mut cases = cases(&calls);
        cases.retain(|((_, count), _)| *count == 1);
        let table = Table::default();
        side_by_side(cases, |(place, error)| {
            let what = format!("{name}: {error} from each {}", place.0);
            // Of these two the kernel says itself that it is to be tried again: it
            // does not say so for ever.
            let times = if ["EINTR", "EAGAIN"].contains(&error) { ":when=1..100" } else { "" };
            let injection = format!("{}:error={error}{times}", place.0);
            let node = Node::after(&[]);
            let (ran, made) = traced(&command(&node), Some(&injection), &Directory::new());
            assert_orderly(&what, &place, &ran, made.len(), calls.len());
            table.add(&place, error, &ran);
        });
        table.print(&format!("{name}, each call of a kind fails"));
    }
}

/// A daemon under strace, which makes a system call fail each time.
fn broken_daemon(node: &Node, log: &Path, injection: &str, arguments: &[&str]) -> Command {
    let mut updater = node.program("updater");
    daemon_under_strace(updater.arg("-jitter=0s").args(arguments), log, Some(injection))
}

/// A daemon under strace, whose process is the daemon's: signals are for that.
fn daemon_under_strace(updater: &Command, log: &Path, injection: Option<&str>) -> Command {
    let mut strace = Command::new("strace");
    strace.arg("-D").arg("-o").arg(log);
    if let Some(injection) = injection {
        strace.arg("-e").arg(format!("inject={injection}"));
    }
    strace.arg("--").arg(updater.get_program()).args(updater.get_args());
    strace
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn a_scraper_who_is_never_let_in_is_no_reason_to_spin() {
    let (node, directory) = (Node::start(Node::instant()), Directory::new());
    let log = directory.path().join("calls");
    let arguments = ["-interval=100ms", "-metrics-address=127.0.0.1:0"];
    let mut updater =
        Running::start(&mut broken_daemon(&node, &log, "accept4:error=EPERM", &arguments));
    updater.wait_for("event=serving_metrics");
    let (_, port) = updater.log.last().unwrap().rsplit_once("port=").unwrap();
    let _scraper = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    // Two seconds at least.
    assert!(node.wait_until(LONG, |view| view.count("GET", "/updates/status") >= 25));
    updater.stop(Signal::TERM);
    let calls = fs::read_to_string(log).unwrap();
    let tries = calls.lines().filter(|line| line.starts_with("accept4(")).count();
    assert!((1..50).contains(&tries), "{tries}");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn a_daemon_that_cannot_wait_ends() {
    let (node, directory) = (Node::start(Node::instant()), Directory::new());
    let log = directory.path().join("calls");
    let ran = run_within(LIMIT, &mut broken_daemon(&node, &log, "ppoll:error=ENOMEM", &[]));
    assert_eq!(ran.status, Some(3), "{ran:?}");
    let last = ran.stderr.lines().last();
    let expected = "level=error event=wait_failed msg=\"cannot wait; exiting\" \
                    error=\"out of memory\"";
    assert!(last.is_some_and(|line| line.ends_with(expected)), "{ran:?}");
    // The simulator may read it only now. There is no second one.
    assert!(node.wait_until(LONG, |view| !view.requests.is_empty()));
    assert_eq!(node.look(|view| view.requests.len()), 1);
}

/// A node, and a daemon for it that is scraped all the time.
struct Scraped {
    node: Node,
    directory: Directory,
    address: SocketAddr,
}

impl Scraped {
    fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let [high, low] = NEXT.fetch_add(1, Relaxed).to_be_bytes();
        // Of its own: a port that the kernel chose for one run could be somebody
        // else's at the next.
        let address = ([127, (std::process::id() % 128) as u8, high, low], 9464).into();
        let short = Duration::from_millis(30);
        let options = Options {
            refresh_time: short,
            prepare_time: short * 2,
            activate_time: short,
            ..Node::instant()
        };
        Self { node: Node::start(options), directory: Directory::new(), address }
    }

    /// Runs the daemon until the node is Ready, what is to break is broken, and
    /// scrapers are served; or until it ends by itself. Gives its calls as well.
    #[track_caller]
    fn run(&self, what: &str, injection: Option<&str>) -> (Ran, Vec<String>) {
        let is_ready = || self.node.look(|view| view.node.state()) == Some(State::Ready);
        // Thousands of connections a second are not what this is about.
        let pause = Duration::from_millis(8);
        self.run_until(what, injection, pause, |served, calls| {
            let is_broken = || {
                let calls = fs::read_to_string(calls).unwrap_or_default();
                injection.is_none() || calls.contains("(INJECTED)")
            };
            served >= 3 && is_ready() && is_broken()
        })
    }

    /// Runs the daemon until that is enough, given how many pages in a row were
    /// served, and the file of its calls; or until it ends by itself.
    #[track_caller]
    fn run_until(
        &self,
        what: &str,
        injection: Option<&str>,
        pause: Duration,
        is_enough: impl Fn(u32, &Path) -> bool,
    ) -> (Ran, Vec<String>) {
        let path = |name: &str| self.directory.path().join(name);
        let (log, outcome) = (path("calls"), path("told"));
        let mut updater = remembering(&self.node, &self.directory);
        updater.args(["-interval=100ms", "-jitter=0s", "-metrics-address"]);
        updater.arg(self.address.to_string());
        let mut command = daemon_under_strace(&updater, &log, injection);
        let stderr = fs::File::create(&outcome).unwrap();
        let mut child = command.stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let mut pages = ["metrics", "healthz", "readyz"].into_iter().cycle();
        let end = Instant::now() + LIMIT;
        let (mut served, mut is_told) = (0, false);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            if Instant::now() > end {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{what}: no end, {served} pages served at last: {}", read(&outcome));
            }
            served = if self.scrape(pages.next().unwrap()) { served + 1 } else { 0 };
            if !is_told && is_enough(served, &log) {
                is_told = true;
                kill_process(crate::common::daemon::pid(&child), Signal::TERM).unwrap();
            }
            thread::sleep(pause);
        };
        let calls = read(&log).lines().map(String::from).collect();
        (Ran { status, stdout: String::new(), stderr: read(&outcome) }, calls)
    }

    /// Whether a page is served, whole and as it should be.
    fn scrape(&self, page: &str) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
        let request = format!("GET /{page} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let mut answer = String::new();
        if stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_to_string(&mut answer))
            .is_err()
        {
            return false;
        }
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
        let is_whole = head.ends_with(&format!("content-length: {}", body.len()));
        is_whole && head.starts_with("HTTP/1.1 200 OK\r\n")
    }

    /// The next daemon, at the same address, finishes what this one did not.
    #[track_caller]
    fn assert_finished(&self, what: &str) {
        assert_remembered(what, &self.directory);
        let (again, _) = self.run(what, None);
        assert_eq!(again.status, Some(0), "{what}: {again:?}");
        assert_remembered(what, &self.directory);
        assert_once(what, &self.node);
    }

    /// The calls of a run in which nothing breaks, but for the first, the last,
    /// and the ends of waits, of which there are more or fewer.
    fn usual() -> Vec<Place> {
        let (ran, calls) = Self::new().run("usual", None);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let mut counts = BTreeMap::new();
        let mut places = Vec::new();
        for call in calls.iter().skip(1) {
            let Some((name, _)) = call.split_once('(') else { continue };
            if name == "exit_group" || name.starts_with(['-', '+']) {
                continue;
            }
            let count = counts.entry(name.to_string()).or_insert(0);
            *count += 1;
            places.push((name.to_string(), *count));
        }
        assert!(counts.contains_key("accept4") && counts.contains_key("renameat"), "{counts:?}");
        places
    }
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn a_daemon_that_is_scraped_when_each_system_call_fails() {
    let all = has_all();
    let usual = Scraped::usual();
    let mut cases = Vec::new();
    for (name, errors) in ERRORS {
        let places: Vec<_> = usual.iter().filter(|place| place.0 == name).collect();
        for (number, error) in errors.split_terminator(' ').enumerate() {
            // One after the other, or each of them.
            for (at, place) in places.iter().enumerate() {
                if all || at == number % places.len() {
                    cases.push(((*place).clone(), error));
                }
            }
        }
    }
    cases.retain(|(place, error)| !is_believed(place, error));
    let table = Table::default();
    side_by_side(cases, |(place, error)| {
        let what = format!("daemon: {error} from {} {}", place.0, place.1);
        let scraped = Scraped::new();
        let injection = format!("{}:error={error}:when={}", place.0, place.1);
        let (ran, calls) = scraped.run(&what, Some(&injection));
        let last = ran.stderr.lines().last().unwrap_or_default();
        let gave_up = last.contains(" event=wait_failed ");
        // Whoever cannot say what is to be done about SIGTERM is ended by it.
        let status = if gave_up { Some(3) } else { Some(0) };
        let is_ended = place.0 == "rt_sigaction" && place.1 == 3 && ran.status.is_none();
        assert!(ran.status == status || is_ended, "{what}: {ran:?}");
        assert!(calls.len() < 5 * MORE_CALLS, "{what}: {} calls: {ran:?}", calls.len());
        assert_told(&what, &place, &ran);
        table.add(&place, error, &ran);
        scraped.assert_finished(&what);
    });
    table.print("updater, a daemon that is scraped during an update");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn a_daemon_that_is_scraped_and_killed_at_each_system_call() {
    let mut places = Scraped::usual();
    // Between these there is always another one.
    places.retain(|(name, _)| name != "clock_gettime");
    if !has_all() {
        // A scrape is like the other, and one status like the next.
        places.retain(|(_, count)| *count <= 6 || count % 9 == 0);
    }
    println!("killed before each of {} system calls of a daemon that is scraped", places.len());
    side_by_side(places, |(name, count)| {
        let what = format!("killed at {name} {count}");
        let scraped = Scraped::new();
        let (ran, _) = scraped.run(&what, Some(&format!("{name}:signal=KILL:when={count}")));
        assert_eq!(ran.status, None, "{what}: {ran:?}");
        scraped.assert_finished(&what);
    });
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn nothing_spins_in_a_daemon_when_a_system_call_always_fails() {
    let cases = [
        "accept4:error=EMFILE",
        "accept4:error=ENOBUFS",
        "recvfrom:error=ECONNRESET",
        "recvfrom:error=ENOMEM",
        "sendto:error=EPIPE",
        "connect:error=ECONNREFUSED",
        "connect:error=EAGAIN",
        "socket:error=EMFILE:when=2+",
        "openat:error=EMFILE",
        "openat:error=ENOSPC:when=4+",
        "write:error=EAGAIN",
        "write:error=ENOSPC",
        "fsync:error=EIO",
        "renameat:error=EROFS",
        "close:error=EIO",
        "getrandom:error=ENOSYS",
    ];
    side_by_side(cases.to_vec(), |injection| {
        let scraped = Scraped::new();
        let begin = Instant::now();
        let time = Duration::from_secs(3);
        let pause = Duration::from_millis(50);
        let is_enough = |_, _: &Path| begin.elapsed() >= time;
        let (ran, calls) = scraped.run_until(injection, Some(injection), pause, is_enough);
        assert_eq!(ran.status, Some(0), "{injection}: {ran:?}");
        // Ten looks and twenty scrapes a second, of some twenty calls each, are 600.
        let most = (1_000.0 * (begin.elapsed().as_secs_f64() + 1.0)) as usize;
        assert!(calls.len() < most, "{injection}: {} calls: {ran:?}", calls.len());
        let lines = ran.stderr.lines().count();
        assert!(lines < 20, "{injection}: {ran:?}");
        println!("{injection}: {} calls, {lines} lines", calls.len());
    });
}
