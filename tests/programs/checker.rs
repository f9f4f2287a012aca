//! The checker: its exit status, which Kured acts on, and its output, which operators
//! read. It runs against a simulated node, a missing socket, and answers captured from a
//! real node.

use crate::common::{
    CannedServer, Directory, Node, RUN_MAX, Ran, forbid, leave_stale_socket, program,
    program_as_other_user, redirected, run, run_into, run_within,
};
use bottlerocket_simulator::Command::{self, Activate, Deactivate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::{
    self as simulator, Fault, Lock, MANUAL, Options, Rule, Simulator, View,
};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::process::{self, Stdio};
use std::thread;
use std::time::Duration;

const GET: &str = "GET /updates/status";
const POST: &str = "POST /actions/refresh-updates";
/// The time limit for a run, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn said(status: i32, stdout: &str) -> Ran {
    Ran { status: Some(status), stdout: format!("{stdout}\n"), stderr: String::new() }
}

fn failed(why: &str) -> Ran {
    let stderr = format!("bottlerocket-checker: cannot read the update status from {why}\n");
    Ran { status: Some(3), stdout: String::new(), stderr }
}

const JUST_BOOTED: &str = "no: no refresh since the node booted";
const IDLE: &str =
    "no: state Idle, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64";
const AVAILABLE: &str = "no: state Available, 1.26.1 is chosen but not prepared; \
                         running 1.26.0, variant aws-k8s-1.30, arch x86_64";
const STAGED: &str = "no: state Staged, 1.26.1 is prepared but not activated; \
                      running 1.26.0, variant aws-k8s-1.30, arch x86_64";
const STAGED_ALONE: &str = "no: state Staged, no update chosen; \
                            running 1.26.0, variant aws-k8s-1.30, arch x86_64";
const READY: &str = "yes: state Ready, the next boot starts 1.26.1; \
                     running 1.26.0, variant aws-k8s-1.30, arch x86_64";

/// A node after these commands and the steps in `then`.
fn node_after(commands: &[Command], then: impl FnOnce(&Node)) -> Node {
    let node = Node::after(commands);
    then(&node);
    node
}

/// Changes the available versions, and runs a refresh.
fn refresh_finds(node: &Node, versions: &[&str]) {
    node.change(|node, _| {
        node.options.offer = versions.iter().map(|version| version.to_string()).collect();
    });
    node.run(Refresh).unwrap();
}

fn fails(node: &Node, command: Command) {
    node.change(|node, _| node.fail_next(command, 1, "no route to host"));
    node.run(command).unwrap();
}

const STEPS: [Command; 3] = [Refresh, Prepare, Activate];

/// Each state of a node while no other process holds an exclusive lock, with the exit
/// status and the output of the checker.
fn states() -> Vec<(&'static str, Node, i32, &'static str)> {
    let locked = |node: &Node| node.set_lock(Some(Lock::Shared));
    vec![
        ("just booted", Node::after(&[]), 1, JUST_BOOTED),
        ("just booted, shared lock", node_after(&[], locked), 1, JUST_BOOTED),
        (
            "only a refused command",
            node_after(&[], |node| assert!(node.run(Prepare).is_err())),
            1,
            IDLE,
        ),
        ("no update found", node_after(&[], |node| refresh_finds(node, &[])), 1, IDLE),
        (
            "refresh failed, with an update chosen before",
            node_after(&[Refresh], |node| fails(node, Refresh)),
            1,
            "no: state Idle, 1.26.1 is chosen but not prepared; \
             running 1.26.0, variant aws-k8s-1.30, arch x86_64",
        ),
        ("available", Node::after(&STEPS[..1]), 1, AVAILABLE),
        ("available, shared lock", node_after(&STEPS[..1], locked), 1, AVAILABLE),
        ("prepare failed", node_after(&STEPS[..1], |node| fails(node, Prepare)), 1, AVAILABLE),
        ("staged", Node::after(&STEPS[..2]), 1, STAGED),
        ("activate failed", node_after(&STEPS[..2], |node| fails(node, Activate)), 1, STAGED),
        (
            "staged, another version is chosen",
            node_after(&STEPS[..2], |node| refresh_finds(node, &["1.27.0"])),
            1,
            "no: state Staged, 1.27.0 is chosen but not prepared; \
             running 1.26.0, variant aws-k8s-1.30, arch x86_64",
        ),
        (
            "staged, no version is chosen",
            node_after(&STEPS[..2], |node| refresh_finds(node, &[])),
            1,
            STAGED_ALONE,
        ),
        ("ready", Node::after(&STEPS), 0, READY),
        ("ready, shared lock", node_after(&STEPS, locked), 0, READY),
        (
            "ready, another version is chosen",
            node_after(&STEPS, |node| refresh_finds(node, &["1.27.0"])),
            0,
            READY,
        ),
        (
            "ready, no version is chosen",
            node_after(&STEPS, |node| refresh_finds(node, &[])),
            0,
            READY,
        ),
        ("deactivated", node_after(&STEPS, |node| node.run(Deactivate).unwrap()), 1, STAGED),
        ("rebooted", node_after(&STEPS, |node| node.run(Reboot).unwrap()), 1, JUST_BOOTED),
    ]
}

#[test]
fn reports_every_state_and_only_reads() {
    for (name, node, status, line) in states() {
        assert_eq!(run(&mut node.program("checker")), said(status, line), "{name}");
        assert_eq!(node.requested(), [GET], "{name}");
    }
}

#[test]
fn requests_a_refresh_afterwards_in_every_state() {
    for (name, node, status, line) in states() {
        let ran = run(node.program("checker").arg("-refresh"));
        assert_eq!(ran, said(status, line), "{name}");
        assert_eq!(node.requested(), [GET, POST], "{name}");
    }
}

/// The next check will see the result of a refresh, so this one ignores it.
#[test]
fn failed_refresh_does_not_change_the_answer() {
    let answer = |text: &str| Fault::raw(format!("HTTP/1.1 {text}"));
    for (name, fault) in [
        ("closed at once", Fault::close()),
        ("refused with a reason", answer("500 \r\ncontent-length: 2\r\n\r\nno")),
        ("refused by the state", answer("409 \r\ncontent-length: 2\r\n\r\nno")),
        ("locked", answer("423 \r\ncontent-length: 2\r\n\r\nno")),
        ("garbage", Fault::raw("garbage")),
        (
            "a status in place of a 204",
            answer("200 \r\ncontent-length: 24\r\n\r\n{\"update_state\":\"Ready\"}"),
        ),
        ("silence", Fault::silence()),
        ("drip", Fault::Drip(Duration::from_secs(1))),
        ("flood", Fault::Flood(b"HTTP/1.1 204 \r\n".into(), b"a: b\r\n".into())),
    ] {
        for (steps, status, line) in [(&STEPS[..1], 1, AVAILABLE), (&STEPS, 0, READY)] {
            let node = Node::after(steps);
            node.inject(Rule::from(fault.clone()).on("POST", "/actions/refresh-updates"));
            let mut command = node.program("checker");
            let ran = run_within(SOON, command.args(["-refresh", "-timeout", "1s"]));
            assert_eq!(ran, said(status, line), "{name}, {steps:?}");
            assert_eq!(node.requested(), [GET, POST], "{name}, {steps:?}");
        }
    }
}

/// After a short lock, a fault is still an error, and not a no.
#[test]
fn error_after_a_lock_is_not_a_no() {
    let cut = Fault::raw("HTTP/1.1 423 Locked\r\ncontent-length: 16\r\n\r\nUpdate");
    for (name, fault, after, why) in [
        ("silence", Fault::silence(), 1, "timed out waiting for a response (-timeout 1s)"),
        (
            "truncated lock error",
            cut,
            0,
            "connection closed after 6 of 16 bytes of the response body",
        ),
    ] {
        let node = node_after(&[], |node| node.set_lock(Some(Lock::Exclusive)));
        node.inject(Rule::from(fault).on("GET", "/updates/status").after(after).forever());
        let mut ran = run_within(SOON, node.program("checker").args(["-timeout", "1s"]));
        ran.stderr = node.mask(&ran.stderr);
        assert_eq!(ran, failed(&format!("SOCKET: {why}")), "{name}");
    }
}

#[test]
fn lock_that_is_never_released_is_a_no() {
    let held = |node: &Node| node.set_lock(Some(Lock::Exclusive));
    let cases: [(&str, &(dyn Fn() -> Node + Sync)); 4] = [
        ("exclusive lock, just booted", &|| node_after(&[], held)),
        ("exclusive lock, available", &|| node_after(&STEPS[..1], held)),
        ("exclusive lock, ready", &|| node_after(&STEPS, held)),
        ("a refresh that never ends", &|| {
            let node = Node::start(Options { refresh_time: MANUAL, ..Node::instant() });
            assert_eq!(run(node.program("checker").arg("-refresh")), said(1, JUST_BOOTED));
            assert_eq!(node.look(|view| view.node.busy()), Some(Refresh));
            node
        }),
    ];
    // All runs at the same time, because each takes three seconds.
    thread::scope(|scope| {
        for (name, node) in cases {
            for (flag, posts) in [("-refresh=false", 0), ("-refresh=true", 1)] {
                scope.spawn(move || {
                    let node = node();
                    let before = node.requested();
                    let ran = run(node.program("checker").args(LOCK_TIMEOUT).arg(flag));
                    assert_eq!(ran, said(1, LOCKED), "{name}");
                    // The checker does not wait for the answer to its refresh.
                    let posted = posts + before.iter().filter(|request| *request == POST).count();
                    let count = |view: &View| view.count("POST", "/actions/refresh-updates");
                    assert!(node.wait_until(RUN_MAX, |view| count(view) == posted), "{name}");
                    // On a busy machine the server may read the last status request, which
                    // timed out, only after the refresh.
                    let mut requested = node.requested().split_off(before.len());
                    assert_eq!(requested[0], GET, "{name}");
                    requested.sort();
                    requested.dedup();
                    assert_eq!(requested, [GET, POST][..1 + posts], "{name}");
                });
            }
        }
    });
}

/// The checker sends its last request shortly before the end of this time.
const LOCK_TIMEOUT: [&str; 2] = ["-timeout", "3s"];
const LOCKED: &str = "no: update lock held for 3s";

#[test]
fn lock_that_is_released_is_waited_for() {
    let unlock = |node: &mut simulator::Node, _| node.set_lock(None);
    type Release = fn(&mut simulator::Node, Duration);
    let activation_ends: Release = |node, now| {
        node.set_lock(None);
        node.run(Activate, now).unwrap();
    };
    for (name, steps, release, status, line) in [
        ("just booted", 0, unlock as Release, 1, JUST_BOOTED),
        ("available", 1, unlock, 1, AVAILABLE),
        ("staged", 2, unlock, 1, STAGED),
        ("staged, and an activate ends", 2, activation_ends, 0, READY),
        ("ready", 3, unlock, 0, READY),
    ] {
        let node = Node::after(&STEPS[..steps]);
        node.set_lock(Some(Lock::Exclusive));
        let mut requests = 0;
        node.before_each(move |node, request| {
            requests += 1;
            if requests == 3 {
                release(node, request.at);
            }
        });
        assert_eq!(run(&mut node.program("checker")), said(status, line), "{name}");
        assert_eq!(node.requested(), [GET; 3], "{name}");
    }
}

#[test]
fn socket_that_disappears_after_a_lock_is_not_a_no() {
    let node = Node::after(&STEPS);
    node.set_lock(Some(Lock::Exclusive));
    let mut ran = thread::scope(|scope| {
        let ran = scope.spawn(|| run(&mut node.program("checker")));
        assert!(node.wait_until(RUN_MAX, |view| view.requests.len() == 1));
        fs::remove_file(node.path()).unwrap();
        ran.join().unwrap()
    });
    ran.stderr = node.mask(&ran.stderr);
    assert_eq!(ran, failed(&format!("SOCKET: {MISSING}")));
}

const MISSING: &str = "cannot connect: no such file or directory \
                       (is the API server running? is this a Bottlerocket node, and is the socket mounted here?)";
const DIRECTORY: &str = "cannot connect: is a directory (the API server cannot start while this \
                         directory exists: remove it on the node)";
const REFUSED: &str = "cannot connect: connection refused (is the API server running? \
                       if it has made a new socket, restart the container that still mounts the old one)";

#[test]
fn describes_errors_of_the_socket() {
    let directory = Directory::new();
    let path = |name: &str| directory.path().join(name);
    File::create(path("file")).unwrap();
    leave_stale_socket(&path("stale"));
    let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
    symlink("loop", path("loop")).unwrap();
    let too_long = "x".repeat(109 - path("").as_os_str().len());
    for (socket, shown, why) in [
        ("no.sock", "no.sock", MISSING),
        ("more than\none \u{1b}[31mline", "more than one line", MISSING),
        (
            "file/api.sock",
            "file/api.sock",
            "cannot connect: not a directory \
             (is the API server running? is this a Bottlerocket node, and is the socket mounted here?)",
        ),
        ("file", "file", REFUSED),
        (".", ".", DIRECTORY),
        ("stale", "stale", REFUSED),
        ("datagrams", "datagrams", "cannot connect: wrong type of socket"),
        ("loop", "loop", "cannot connect: too many symbolic links"),
        (&too_long, &too_long, "cannot connect: name too long"),
    ] {
        let ran = run(program("checker").arg("-socket").arg(path(socket)));
        let shown = path("").to_str().unwrap().to_string() + shown;
        assert_eq!(ran, failed(&format!("{shown}: {why}")), "{socket}");
    }
}

#[test]
fn accepts_the_longest_path_of_a_socket() {
    let directory = Directory::new();
    let length = 107 - directory.path().join("").as_os_str().len();
    let socket = directory.path().join("x".repeat(length));
    let _node = Simulator::start(&socket, Options::default()).unwrap();
    let ran = run(program("checker").arg("-socket").arg(&socket));
    assert_eq!(ran, said(1, JUST_BOOTED));
}

#[test]
fn describes_a_missing_permission() {
    let node = Node::after(&STEPS);
    let directory = Directory::new();
    forbid(node.path());
    let mut command = program_as_other_user("checker", &directory);
    let mut ran = run(command.arg("-socket").arg(node.path()));
    ran.stderr = node.mask(&ran.stderr);
    let why = "SOCKET: cannot connect: permission denied \
               (needs uid 0 or group 274, and the SELinux type control_t)";
    assert_eq!(ran, failed(why));
    assert_eq!(node.requested(), [""; 0]);
}

#[test]
fn api_that_is_too_busy_is_asked_again() {
    let node = Node::after(&STEPS);
    let busy = Fault::raw("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n");
    for (method, path) in [("GET", "/updates/status"), ("POST", "/actions/refresh-updates")] {
        node.inject(Rule::from(busy.clone()).on(method, path));
    }
    assert_eq!(run(node.program("checker").arg("-refresh")), said(0, READY));
    assert_eq!(node.requested(), [GET, GET, POST, POST]);
}

/// The updater runs as such a user. The kernel denies it the directory.
#[test]
fn describes_a_directory_of_another_user() {
    let (directory, socket) = (Directory::new(), Directory::new());
    fs::set_permissions(socket.path(), Permissions::from_mode(0o555)).unwrap();
    let ran = run(program_as_other_user("checker", &directory).arg("-socket").arg(socket.path()));
    assert_eq!(ran, failed(&format!("{}: {DIRECTORY}", socket.path().display())));
}

const NOT_204: &str = "SOCKET: the API returned 204 without a reason";

/// The captured answers, with the exit status and the output of the checker. Most are
/// answers to other requests. With exit status 3, the output is the end of the message.
const TRANSCRIPTS: [(&str, i32, &str); 24] = [
    ("action-prepare-during-refresh", 1, LOCKED),
    ("activate-204", 3, NOT_204),
    ("connection-close", 1, AVAILABLE),
    ("connection-close-404", 3, "SOCKET: the API does not know this call (404)"),
    ("connection-close-refresh-204", 3, NOT_204),
    ("deactivate-204", 3, NOT_204),
    ("pipelined-action-then-status", 3, NOT_204),
    ("prepare-204", 3, NOT_204),
    (
        "prepare-disallowed-ready",
        3,
        "SOCKET: the API returned 409: Update action not allowed according to update state",
    ),
    ("prepare-no-chosen-update", 1, JUST_BOOTED),
    ("reboot-204", 3, NOT_204),
    (
        "reboot-500",
        3,
        "SOCKET: the API returned 500: Failed to reboot, exit code: 1, stderr: Operation \
         inhibited by \"backup\" (PID 123 \"systemd-inhib\"), reason is \"a \\ é\". Please retry \
         operation after closing inhibitors and logging out other users.",
    ),
    ("refresh-204", 3, NOT_204),
    ("slow-request-408", 3, "SOCKET: the API was too busy to handle the request (408)"),
    ("status-available", 1, AVAILABLE),
    ("status-during-refresh", 1, LOCKED),
    ("status-failed-prepare", 1, AVAILABLE),
    ("status-idle", 1, IDLE),
    ("status-lock-shared-by-other", 1, JUST_BOOTED),
    ("status-ready", 0, READY),
    ("status-staged", 1, STAGED),
    ("status-staged-no-chosen", 1, STAGED_ALONE),
    ("status-uninitialized", 1, JUST_BOOTED),
    ("unknown-path-404", 3, "SOCKET: the API does not know this call (404)"),
];

fn transcript(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/transcripts/{name}.http", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Each answer comes whole, byte by byte, and with a yes after it.
#[test]
fn understands_captured_answers_in_any_pieces() {
    for (name, status, line) in TRANSCRIPTS {
        let whole = transcript(name);
        let bytewise = whole.iter().map(|byte| vec![*byte]).collect();
        let trailed = [whole.clone(), transcript("status-ready")].concat();
        let ways = [("whole", vec![whole]), ("bytewise", bytewise), ("trailed", vec![trailed])];
        thread::scope(|scope| {
            for (how, pieces) in ways {
                scope.spawn(move || {
                    let server = CannedServer::start(pieces);
                    // Only a lock uses up the timeout.
                    let is_retried = line == LOCKED || name.ends_with("408");
                    let timeout = if is_retried { LOCK_TIMEOUT } else { ["-timeout", "1m"] };
                    let mut ran = run(server.program("checker").args(timeout));
                    ran.stderr = server.mask(&ran.stderr);
                    let expected = if status == 3 { failed(line) } else { said(status, line) };
                    assert_eq!(ran, expected, "{name}, {how}");
                    let mut requested = server.requested();
                    requested.dedup();
                    assert_eq!(requested, ["GET /updates/status HTTP/1.1"], "{name}, {how}");
                });
            }
        });
    }
}

#[test]
fn table_has_each_captured_answer() {
    let directory = fs::read_dir(format!("{}/tests/transcripts", env!("CARGO_MANIFEST_DIR")));
    let files = directory.unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        files.filter_map(|file| Some(file.strip_suffix(".http")?.to_string())).collect();
    names.sort();
    assert_eq!(names, TRANSCRIPTS.map(|(name, ..)| name));
}

#[test]
fn exit_status_is_right_without_output_streams() {
    let ready = Node::after(&STEPS);
    let available = Node::after(&STEPS[..1]);
    let gone = Node::after(&[]);
    gone.remove_socket();
    for (node, status) in [(&ready, 0), (&available, 1), (&gone, 3)] {
        for streams in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"] {
            for refresh in ["-refresh=false", "-refresh=true"] {
                let before = node.requested().len();
                let mut command = node.program("checker");
                let ran = run(&mut redirected(command.arg(refresh), streams));
                assert_eq!(ran.status, Some(status), "{streams} {refresh}: {ran:?}");
                // The output did not go into the connection either.
                let requests: &[&str] = match (status, refresh) {
                    (3, _) => &[],
                    (_, "-refresh=true") => &[GET, POST],
                    _ => &[GET],
                };
                assert_eq!(node.requested()[before..], *requests, "{streams} {refresh}");
            }
        }
        let closed_pipe = || Stdio::from(io::pipe().unwrap().1);
        let mut command = node.program("checker");
        let ran = run_into(RUN_MAX, &mut command, closed_pipe(), closed_pipe());
        assert_eq!(ran.status, Some(status), "closed pipe: {ran:?}");
    }
}

#[test]
fn makes_few_system_calls() {
    let node = Node::after(&STEPS);
    let command = node.program("checker");
    let first = fs::read(command.get_program()).unwrap_or_default();
    if command.get_args().count() > 2 || !first.starts_with(b"\x7fELF") {
        println!("not tested: another program runs this one");
        return;
    }
    let directory = Directory::new();
    let calls = directory.path().join("calls");
    let mut strace = process::Command::new("strace");
    strace.arg("-o").arg(&calls).arg(command.get_program()).args(command.get_args());
    if strace.stdin(Stdio::null()).output().is_err() {
        println!("not tested: strace is not installed");
        return;
    }
    let ran = run(&mut strace);
    let calls = fs::read_to_string(&calls).unwrap_or_default();
    if calls.is_empty() {
        println!("not tested: strace has no permission: {ran:?}");
        return;
    }
    assert_eq!(ran, said(0, READY));
    // The execve starts the program.
    let calls: Vec<&str> = calls.lines().filter(|line| !line.starts_with("+++")).collect();
    assert!(calls[0].starts_with("execve("), "{calls:#?}");
    assert!(calls.len() <= 13, "{calls:#?}");
}
