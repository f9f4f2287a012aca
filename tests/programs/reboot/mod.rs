//! The reboot program against a simulated node. Kured expects exit status 0 if the node
//! reboots, and takes any other for a failure.
//!
//! What depends on time is tested on a scripted clock, in `src/reboot/tests/`.

// Withdrawn versions: -confirm.
mod confirm;
// The record: -record.
mod record;

use crate::common::{
    CannedServer, Directory, Node, RUN_MAX, Ran, forbid, full_pipe, leave_stale_socket, program,
    program_as_other_user, redirected, run, run_into, run_within,
};
use bottlerocket_simulator::Command::{self, Activate, Deactivate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::{Ending, Fault, Lock, MANUAL, Options, Rule};
use bottlerocket_updater::reboot::SHUTDOWN_GRACE;
use std::fs::{self, File};
use std::io;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

const GET: &str = "GET /updates/status";
const POST: &str = "POST /actions/reboot";
const ACTION: &str = "/actions/reboot";
/// How long a run with `-timeout 3s` may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

const ON_ITS_WAY: &str = "the reboot is on its way";
const STEPS: [Command; 3] = [Refresh, Prepare, Activate];

fn printed(status: i32, stdout: &str) -> Ran {
    Ran { status: Some(status), stdout: format!("{stdout}\n"), stderr: String::new() }
}

fn failed(why: &str) -> Ran {
    let stderr = format!("bottlerocket-reboot: cannot {why}\n");
    Ran { status: Some(3), stdout: String::new(), stderr }
}

fn not_rebooted(why: &str) -> Ran {
    failed(&format!("reboot the node through SOCKET: {why}"))
}

fn masked(node: &Node, mut ran: Ran) -> Ran {
    ran.stderr = node.mask(&ran.stderr);
    ran
}

fn boots(node: &Node) -> u32 {
    node.look(|view| view.node.boots())
}

#[test]
fn reboots_in_any_state_with_one_request() {
    for steps in 0..=STEPS.len() {
        for lock in [None, Some(Lock::Shared), Some(Lock::Exclusive)] {
            let node = Node::after(&STEPS[..steps]);
            node.set_lock(lock);
            assert_eq!(run(&mut node.program("reboot")), printed(0, ON_ITS_WAY));
            assert_eq!(node.requested(), [POST], "{steps} steps, {lock:?}");
            assert_eq!(boots(&node), 2, "{steps} steps, {lock:?}");
        }
    }
}

/// The server answers after `systemctl reboot`, which takes a second or more.
#[test]
fn waits_for_a_slow_answer() {
    let node = Node::start(Options { reboot_time: MANUAL, ..Node::instant() });
    thread::scope(|scope| {
        let ran = scope.spawn(|| run(&mut node.program("reboot")));
        assert!(node.wait_until(RUN_MAX, |view| view.node.busy() == Some(Reboot)));
        assert!(!ran.is_finished());
        node.finish();
        assert_eq!(ran.join().unwrap(), printed(0, ON_ITS_WAY));
    });
}

#[test]
fn if_ready_reboots_only_a_node_that_is_ready() {
    let idle = "state Idle, no update chosen; running 1.26.0, variant aws-k8s-1.30, arch x86_64";
    let available = "state Available, 1.26.1 is chosen but not prepared; \
                     running 1.26.0, variant aws-k8s-1.30, arch x86_64";
    let staged = "state Staged, 1.26.1 is prepared but not activated; \
                  running 1.26.0, variant aws-k8s-1.30, arch x86_64";
    for (name, steps, nothing_found, why) in [
        ("just booted", &[] as &[_], false, "no refresh since the node booted"),
        ("idle", &[Refresh], true, idle),
        ("available", &STEPS[..1], false, available),
        ("staged", &STEPS[..2], false, staged),
        ("deactivated", &[Refresh, Prepare, Activate, Deactivate], false, staged),
        (
            "rebooted",
            &[Refresh, Prepare, Activate, Reboot],
            false,
            "no refresh since the node booted",
        ),
    ] {
        let mut options = Node::instant();
        if nothing_found {
            options.offer.clear();
        }
        let node = Node::start(options);
        steps.iter().for_each(|step| node.run(*step).unwrap());
        let before = boots(&node);
        for flag in ["-if-ready", "--if-ready=true"] {
            let ran = run(node.program("reboot").arg(flag));
            assert_eq!(ran, printed(1, &format!("not rebooting: {why}")), "{name}");
        }
        assert_eq!(node.requested(), [GET; 2], "{name}");
        assert_eq!(boots(&node), before, "{name}");
    }

    let node = Node::after(&STEPS);
    assert_eq!(run(node.program("reboot").arg("-if-ready")), printed(0, ON_ITS_WAY));
    assert_eq!(node.requested(), [GET, POST]);
    assert_eq!(boots(&node), 2);
    assert_eq!(node.look(|view| view.node.options.running.clone()), "1.26.1");
}

#[test]
fn if_ready_waits_for_the_lock() {
    for (steps, status, line) in
        [(3, 0, ON_ITS_WAY), (0, 1, "not rebooting: no refresh since the node booted")]
    {
        let node = Node::after(&STEPS[..steps]);
        node.set_lock(Some(Lock::Exclusive));
        let held = run_within(SOON, node.program("reboot").args(["-if-ready", "-timeout=3s"]));
        assert_eq!(held, printed(1, "not rebooting: update lock held for 3s"));
        assert!(!node.requested().contains(&POST.into()));

        let mut requests = 0;
        node.before_each(move |node, _| {
            requests += 1;
            if requests == 3 {
                node.set_lock(None);
            }
        });
        let before = node.requested().len();
        let ran = run(node.program("reboot").arg("-if-ready"));
        assert_eq!(ran, printed(status, line));
        let requested: &[&str] = if status == 0 { &[GET, GET, GET, POST] } else { &[GET; 3] };
        assert_eq!(node.requested()[before..], *requested);
    }
}

#[test]
fn reason_of_a_refused_reboot_is_printed() {
    let inhibited = "Operation inhibited by \"backup\" (PID 123 \"systemd-inhib\"), reason is \
                     \"a \\ é\".\nPlease retry operation after closing inhibitors and logging \
                     out other users.\n";
    for (stderr, shown) in [
        (
            inhibited,
            " Operation inhibited by \"backup\" (PID 123 \"systemd-inhib\"), reason is \
             \"a \\ é\". Please retry operation after closing inhibitors and logging out other \
             users.",
        ),
        ("", ""),
        ("\u{1b}[0;1;31mFailed\u{1b}[0m\r\n", " Failed"),
    ] {
        let node = Node::after(&STEPS);
        node.change(|node, _| node.end_next(Reboot, Ending::failed(1, stderr)));
        let ran = masked(&node, run(node.program("reboot").arg("-if-ready")));
        let why = "the API returned 500: Failed to reboot, exit code: 1, stderr:";
        assert_eq!(ran, not_rebooted(&format!("{why}{shown}")));
        assert_eq!(boots(&node), 1);
    }
}

/// The captured answers, most of them to other requests, and the error that the program
/// prints. With `None`, the reboot is on its way.
const TRANSCRIPTS: [(&str, Option<&str>); 24] = [
    ("action-prepare-during-refresh", Some("the API returned 423: Update lock held")),
    ("activate-204", None),
    ("connection-close", None),
    ("connection-close-404", Some("the API does not know this call (404)")),
    ("connection-close-refresh-204", None),
    ("deactivate-204", None),
    ("pipelined-action-then-status", None),
    ("prepare-204", None),
    (
        "prepare-disallowed-ready",
        Some("the API returned 409: Update action not allowed according to update state"),
    ),
    (
        "prepare-no-chosen-update",
        Some("the API returned 404: Previously chosen Update no longer exists"),
    ),
    ("reboot-204", None),
    (
        "reboot-500",
        Some(
            "the API returned 500: Failed to reboot, exit code: 1, stderr: Operation inhibited by \
             \"backup\" (PID 123 \"systemd-inhib\"), reason is \"a \\ é\". Please retry operation \
             after closing inhibitors and logging out other users.",
        ),
    ),
    ("refresh-204", None),
    ("slow-request-408", Some("the API was too busy to handle the request (408)")),
    ("status-available", None),
    (
        "status-during-refresh",
        Some(
            "the API returned 423: Unable to obtain shared lock for reading update status: \
             Resource temporarily unavailable (os error 11)",
        ),
    ),
    ("status-failed-prepare", None),
    ("status-idle", None),
    ("status-lock-shared-by-other", Some(UNINITIALIZED)),
    ("status-ready", None),
    ("status-staged", None),
    ("status-staged-no-chosen", None),
    ("status-uninitialized", Some(UNINITIALIZED)),
    ("unknown-path-404", Some("the API does not know this call (404)")),
];

const UNINITIALIZED: &str = "the API returned 404: \
                             Update status is uninitialized, refresh-updates to initialize it";

/// Whole, byte by byte, and with a 204 behind it.
#[test]
fn captured_answers_are_understood_in_any_pieces() {
    let transcript = |name: &str| {
        fs::read(format!("{}/tests/transcripts/{name}.http", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    for (name, why) in TRANSCRIPTS {
        let whole = transcript(name);
        let bytewise = whole.iter().map(|byte| vec![*byte]).collect();
        let trailed = [whole.clone(), transcript("reboot-204")].concat();
        let ways = [("whole", vec![whole]), ("bytewise", bytewise), ("trailed", vec![trailed])];
        for (how, pieces) in ways {
            let server = CannedServer::start(pieces);
            let is_retried = why.is_some_and(|why| why.contains("408") || why.contains("423"));
            let timeout = if is_retried { "1s" } else { "1m" };
            let mut ran = run(server.program("reboot").args(["-timeout", timeout]));
            ran.stderr = server.mask(&ran.stderr);
            let expected = why.map_or(printed(0, ON_ITS_WAY), not_rebooted);
            assert_eq!(ran, expected, "{name}, {how}");
            let mut requested = server.requested();
            assert_eq!(requested.len() > 1, is_retried, "{name}, {how}");
            requested.dedup();
            assert_eq!(requested, [format!("{POST} HTTP/1.1")], "{name}, {how}");
        }
    }
}

#[test]
fn socket_that_cannot_be_connected_is_a_failure() {
    let directory = Directory::new();
    let path = |name: &str| directory.path().join(name);
    File::create(path("file")).unwrap();
    leave_stale_socket(&path("stale"));
    let refused = "cannot connect: connection refused (is the API server running? \
                   if it has made a new socket, restart the container that still mounts the old one)";
    for (socket, why) in [
        (
            "missing",
            "cannot connect: no such file or directory \
             (is the API server running? is this a Bottlerocket node, and is the socket mounted here?)",
        ),
        (
            "file/api.sock",
            "cannot connect: not a directory \
             (is the API server running? is this a Bottlerocket node, and is the socket mounted here?)",
        ),
        ("file", refused),
        ("stale", refused),
        (
            ".",
            "cannot connect: is a directory (the API server cannot start while this directory \
             exists: remove it on the node)",
        ),
    ] {
        for (flag, tried) in [
            ("-if-ready=false", "reboot the node through"),
            ("-if-ready", "read the update status from"),
        ] {
            let mut command = program("reboot");
            command.arg("-socket").arg(path(socket)).args([flag, "-timeout=300ms"]);
            let ran = run(&mut command);
            let shown = path(socket);
            let expected = failed(&format!("{tried} {}: {why}", shown.display()));
            assert_eq!(ran, expected, "{socket} {flag}");
        }
    }
}

/// The API server restarts, and is too busy or locked at first.
#[test]
fn request_without_effect_is_repeated() {
    let refused = |code: &str| Fault::raw(format!("HTTP/1.1 {code} \r\ncontent-length: 0\r\n\r\n"));
    thread::scope(|scope| {
        for flag in ["-if-ready=false", "-if-ready"] {
            scope.spawn(move || {
                let node = Node::after(&STEPS);
                node.inject(Rule::from(refused("408")).on("GET", "/updates/status"));
                node.inject(Rule::from(refused("408")).on("POST", ACTION));
                node.inject(Rule::from(refused("423")).on("POST", ACTION));
                node.refuse();
                let ran = thread::scope(|scope| {
                    let ran = scope.spawn(|| run(node.program("reboot").arg(flag)));
                    thread::sleep(RESTART);
                    assert!(!ran.is_finished());
                    node.remove_socket();
                    thread::sleep(RESTART);
                    assert!(!ran.is_finished());
                    node.restart().unwrap();
                    ran.join().unwrap()
                });
                assert_eq!(ran, printed(0, ON_ITS_WAY), "{flag}");
                let gets = if flag == "-if-ready" { &[GET, GET][..] } else { &[] };
                assert_eq!(node.requested(), [gets, &[POST; 3]].concat(), "{flag}");
                assert_eq!(boots(&node), 2, "{flag}");
            });
        }
    });
}

/// The first request was accepted. While a service delays the shutdown, another one is
/// refused. (On a node the kubelet delays it for up to some minutes.)
#[test]
fn node_that_is_already_shutting_down_is_a_success() {
    let node = Node::after(&STEPS);
    let stderr = "Failed to reboot system via logind: There's already a shutdown or sleep \
                  operation in progress\n";
    node.change(|node, _| node.end_next(Reboot, Ending::failed(1, stderr)));
    let ran = run(node.program("reboot").arg("-if-ready"));
    assert_eq!(ran, printed(0, "the node is already shutting down"));
    assert_eq!(node.requested(), [GET, POST]);
}

#[test]
fn denied_permission_is_a_failure() {
    let node = Node::after(&STEPS);
    let directory = Directory::new();
    forbid(node.path());
    let mut command = program_as_other_user("reboot", &directory);
    let ran = masked(&node, run(command.arg("-socket").arg(node.path())));
    let why = "cannot connect: permission denied \
               (needs uid 0 or group 274, and the SELinux type control_t)";
    assert_eq!(ran, not_rebooted(why));
    assert_eq!(node.requested(), [""; 0]);
}

const WARNING: &str = "bottlerocket-reboot: connection closed before a response; \
                     checking whether the API comes back\n";

fn after_a_disconnect(ran: Ran) -> Ran {
    Ran { stderr: format!("{WARNING}{}", ran.stderr), ..ran }
}

const AGAIN: &str = "requested again: the reboot is on its way";

/// The first connection breaks. (An API that is silent after that takes 15 s, so it is in
/// `src/reboot/tests/`.)
#[test]
fn answer_to_the_repeated_request_is_the_result() {
    let answer = |text: &str| Some(Fault::raw(format!("HTTP/1.1 {text}")));
    let refused = "500 \r\ncontent-length: 9\r\n\r\ninhibited";
    let cases = [
        ("it reboots", None, printed(0, AGAIN)),
        ("it refuses", answer(refused), not_rebooted("the API returned 500: inhibited")),
        ("it disconnects again", Some(Fault::close()), printed(0, AGAIN)),
        ("it returns an incomplete head", answer("204"), printed(0, AGAIN)),
        ("it returns garbage", Some(Fault::raw("?")), not_rebooted("the response is not HTTP/1.1")),
    ];
    let ask = |flag: &str, name: &str, second: &Option<Fault>, expected: &Ran| {
        let node = Node::after(&STEPS);
        node.inject(Rule::from(Fault::close()).on("POST", ACTION));
        if let Some(fault) = second {
            node.inject(Rule::from(fault.clone()).on("POST", ACTION));
        }
        let ran = run(node.program("reboot").args([flag, "-timeout", "2s"]));
        assert_eq!(masked(&node, ran), after_a_disconnect(expected.clone()), "{name}");
        let gets = usize::from(flag == "-if-ready");
        let is_disconnected =
            ["it disconnects again", "it returns an incomplete head"].contains(&name);
        let posts = &node.requested()[gets..];
        assert_eq!(posts, vec![POST; if is_disconnected { 3 } else { 2 }], "{name}");
        assert_eq!(boots(&node), if expected.status == Some(0) { 2 } else { 1 }, "{name}");
    };
    thread::scope(|scope| {
        for (name, second, expected) in &cases {
            for flag in ["-if-ready=false", "-if-ready"] {
                scope.spawn(move || ask(flag, name, second, expected));
            }
        }
    });
}

/// Runs the program with `arguments`. The API receives the request, becomes unreachable
/// by `go_away`, and then `then` is called.
fn run_while_the_api_goes_away(
    arguments: &[&str],
    node: &Node,
    go_away: fn(&Node),
    then: impl FnOnce(),
) -> Ran {
    node.inject(Rule::from(Fault::silence()).on("POST", ACTION));
    thread::scope(|scope| {
        let ran = scope.spawn(|| run(node.program("reboot").args(arguments)));
        assert!(node.wait_until(RUN_MAX, |view| view.count("POST", ACTION) == 1));
        go_away(node);
        then();
        masked(node, ran.join().unwrap())
    })
}

const GONE: &str = "the API has not come back: assuming that the node is rebooting";

/// The only test here that waits for the grace on the real clock, which takes 15 s.
#[test]
fn api_that_stays_away_for_the_grace_is_a_reboot() {
    let refuse: fn(&Node) = |node| node.refuse();
    let remove_socket: fn(&Node) = |node| node.remove_socket();
    thread::scope(|scope| {
        for (timeout, go_away) in [("-timeout=3s", refuse), ("-timeout=60s", remove_socket)] {
            scope.spawn(move || {
                let node = Node::after(&STEPS);
                let begun = Instant::now();
                let ran = run_while_the_api_goes_away(&[timeout], &node, go_away, || {});
                assert_eq!(ran, after_a_disconnect(printed(0, GONE)), "{timeout}");
                let took = begun.elapsed();
                assert!(took >= SHUTDOWN_GRACE, "early: {took:?}");
                assert!(took < 2 * SHUTDOWN_GRACE, "Kured waits: {took:?}");
            });
        }
    });
}

/// How long an API server that crashed is unreachable here: long enough for two or more
/// requests. (On a node it takes about 6 s.)
const RESTART: Duration = Duration::from_millis(600);

/// The server crashed, and listens again on a new socket.
#[test]
fn answer_after_an_outage_is_the_result() {
    let refuse: fn(&Node) = |node| node.refuse();
    let remove_socket: fn(&Node) = |node| node.remove_socket();
    let refused = "the API returned 500: Failed to reboot, exit code: 1, stderr: no";
    thread::scope(|scope| {
        for go_away in [refuse, remove_socket] {
            for is_refused in [false, true] {
                scope.spawn(move || {
                    let node = Node::after(&STEPS);
                    if is_refused {
                        node.change(|node, _| node.end_next(Reboot, Ending::failed(1, "no")));
                    }
                    let ran = run_while_the_api_goes_away(&[], &node, go_away, || {
                        thread::sleep(RESTART);
                        node.restart().unwrap();
                    });
                    let expected =
                        if is_refused { not_rebooted(refused) } else { printed(0, AGAIN) };
                    assert_eq!(ran, after_a_disconnect(expected));
                    assert_eq!(node.requested(), [POST; 2]);
                });
            }
        }
    });
}

#[test]
fn api_that_crashes_on_each_request_is_asked_again() {
    let node = Node::after(&STEPS);
    let crashes = 3;
    for _ in 0..crashes {
        node.inject(Rule::from(Fault::silence()).on("POST", ACTION));
    }
    thread::scope(|scope| {
        let ran = scope.spawn(|| run(&mut node.program("reboot")));
        for crash in 1..=crashes {
            assert!(node.wait_until(RUN_MAX, |view| view.count("POST", ACTION) == crash));
            node.refuse();
            thread::sleep(RESTART);
            node.restart().unwrap();
        }
        assert_eq!(masked(&node, ran.join().unwrap()), after_a_disconnect(printed(0, AGAIN)));
    });
    assert_eq!(node.requested(), [POST; 4]);
}

#[test]
fn exit_status_does_not_depend_on_the_output() {
    for (steps, missing, status) in [(3, false, 0), (2, false, 1), (3, true, 3)] {
        let node = || {
            let node = Node::after(&STEPS[..steps]);
            if missing {
                node.remove_socket();
            }
            node
        };
        let requested: &[&str] = match status {
            0 => &[GET, POST],
            1 => &[GET],
            _ => &[],
        };
        // It waits for a missing socket until the timeout.
        let arguments =
            if missing { &["-if-ready", "-timeout=100ms"][..] } else { &["-if-ready"][..] };
        for streams in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"] {
            let node = node();
            let mut command = node.program("reboot");
            let ran = run(&mut redirected(command.args(arguments), streams));
            assert_eq!(ran.status, Some(status), "{streams}: {ran:?}");
            assert_eq!(node.requested(), *requested, "{streams}");
        }
        let (closed, unread) = (node(), node());
        let closed_pipe = || Stdio::from(io::pipe().unwrap().1);
        let mut command = closed.program("reboot");
        let ran = run_into(RUN_MAX, command.args(arguments), closed_pipe(), closed_pipe());
        assert_eq!(ran.status, Some(status), "closed pipes: {ran:?}");
        // Kured waits for the program, so the program does not wait for a reader.
        let (_reader, full) = full_pipe();
        let mut command = unread.program("reboot");
        let ran = run_into(SOON, command.args(arguments), full.try_clone().unwrap(), full);
        assert_eq!(ran.status, Some(status), "full pipe: {ran:?}");
    }
}
