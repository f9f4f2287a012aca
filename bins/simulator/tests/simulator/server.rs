//! The server: connections, its socket, its log.

use super::{
    LONG, NOT_YET, STATUS, ask, connect, fresh, in_state, instant, post, raw, request, run,
    set_request_timeout, start, state, until_closed,
};
use bottlerocket_simulator::Command::{Activate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::State::{Available, Staged};
use bottlerocket_simulator::{Ending, Fault, MANUAL, Options, Simulator, View};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn unknown_and_invalid_requests_are_refused() {
    let simulator = in_state(Some(Available));
    for (method, path, expected) in [
        ("GET", "/", 404),
        ("GET", "/updates", 404),
        ("GET", "/updates/status/", 404),
        ("POST", STATUS, 404),
        ("HEAD", STATUS, 404),
        ("GET", Refresh.path(), 404),
        ("PUT", Reboot.path(), 404),
        ("GET", "/updates/status?x=1", 200),
    ] {
        let (status, body) = ask(&simulator, method, path);
        assert_eq!(status, expected, "{method} {path}");
        assert_eq!(body.is_empty(), status == 404, "{method} {path}");
    }
    for bytes in [
        "nonsense\r\n\r\n",
        "GET / HTTP/2\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
    ] {
        let answer = raw(&simulator, bytes);
        let expected = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n";
        assert!(answer.starts_with(expected), "{bytes:?}: {answer}");
    }
}

#[test]
fn connections_are_kept_alive_pipelined_and_closed() {
    let simulator = start(instant());
    let status = request("GET", STATUS, "");
    let with_body = request("POST", "/nope", "Content-Length: 5\r\n") + "GET /";
    let last = request("GET", STATUS, "connection: Keep-Alive, CLOSE\r\n");

    let all = [&*status, &with_body, "\r\n", &status, &last, &status].concat();
    let answers = raw(&simulator, &all);
    let heads: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|head| &head[..3]).collect();
    assert_eq!(heads, ["404"; 4], "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1);
    assert_eq!(
        simulator.requests().len(),
        4,
        "the server does not read on after `connection: close`"
    );

    let mut bytewise = connect(&simulator);
    for byte in last.as_bytes() {
        bytewise.write_all(&[*byte]).unwrap();
    }
    assert!(until_closed(&mut bytewise).starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[test]
fn slow_clients_time_out() {
    let short = Duration::from_millis(30);
    let request = request("GET", STATUS, "");
    let mark = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n";
    for (name, request_timeout, keep_alive, sent, answers, too_slow) in [
        ("nothing", short, LONG, String::new(), 0, true),
        ("half a request", short, LONG, request[..20].into(), 0, true),
        ("idle", LONG, short, request.clone(), 1, false),
        ("half the next", LONG, short, request.clone() + "GET", 1, false),
    ] {
        let simulator = start(Options { request_timeout, keep_alive, ..instant() });
        let answer = raw(&simulator, &sent);
        assert_eq!(answer.matches(NOT_YET).count(), answers, "{name}: {answer}");
        assert_eq!(answer.starts_with(mark), too_slow, "{name}: {answer}");
    }
}

/// Blocks the worker with a reboot request that fails. In the meantime, three clients send
/// a request for the status, a refresh and half a request. Returns their answers.
fn answers_behind_a_blocked_worker(simulator: &Simulator, block_time: Duration) -> [String; 3] {
    simulator.change(|node, _| node.fail_next(Reboot, 1, "inhibited"));
    let close = "Connection: close\r\n";
    thread::scope(|scope| {
        let reboot = scope.spawn(|| post(simulator, Reboot));
        assert!(simulator.wait_until(LONG, |view| view.node.busy() == Some(Reboot)));
        let status = request("GET", STATUS, close);
        let refresh = request("POST", Refresh.path(), close);
        let waiting = [&*status, &refresh, &status[..20]].map(|bytes| {
            let mut stream = connect(simulator);
            stream.write_all(bytes.as_bytes()).unwrap();
            stream
        });
        let is_answered = |view: &View<'_>| view.requests.len() > 1;
        assert!(!simulator.wait_until(block_time, is_answered), "nobody is answered before");
        simulator.finish();
        assert_eq!(reboot.join().unwrap().0, 500);
        waiting.map(|mut stream| until_closed(&mut stream))
    })
}

#[test]
fn requests_that_wait_too_long_get_408_and_are_not_carried_out() {
    let request_timeout = Duration::from_millis(200);
    let simulator = start(Options { request_timeout, reboot_time: MANUAL, ..instant() });
    let expected = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n";
    for answer in answers_behind_a_blocked_worker(&simulator, 2 * request_timeout) {
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    assert_eq!(state(&simulator), None, "no refresh was carried out");
    let mut requests = simulator.requests();
    requests.sort_by_key(|request| request.method.clone());
    let statuses: Vec<_> = requests.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(408), Some(500), Some(408)]);

    set_request_timeout(&simulator, LONG);
    assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()), "asking again helps");
}

#[test]
fn requests_that_wait_for_less_are_carried_out() {
    let request_timeout = Duration::from_secs(2);
    let simulator = start(Options { request_timeout, reboot_time: MANUAL, ..instant() });
    let [status, refresh, half] =
        answers_behind_a_blocked_worker(&simulator, Duration::from_millis(100));
    let status_answers = ["HTTP/1.1 404 Not Found\r\n", "HTTP/1.1 200 OK\r\n"];
    assert!(status_answers.iter().any(|begin| status.starts_with(begin)), "{status}");
    assert!(refresh.starts_with("HTTP/1.1 204 No Content\r\n"), "{refresh}");
    assert!(half.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{half}");
    assert_eq!(state(&simulator), Some(Available));
}

#[test]
fn large_stderr_makes_the_status_slow() {
    let simulator = start(instant());
    let status_time = |bytes: usize| {
        simulator.change(|node, _| node.fail_next(Refresh, 1, &"x".repeat(bytes)));
        run(&simulator, &[Refresh]);
        let begin = Instant::now();
        assert_eq!(ask(&simulator, "GET", STATUS).0, 200);
        begin.elapsed()
    };
    // As measured on the real server.
    for (bytes, least) in [(150_000, 90), (1_000_000, 600)] {
        let took = status_time(bytes);
        assert!(took >= Duration::from_millis(least), "{bytes} bytes: {took:?}");
    }

    // The worker does nothing else in the meantime.
    set_request_timeout(&simulator, Duration::from_millis(200));
    let mut slow = connect(&simulator);
    slow.write_all(request("GET", STATUS, "Connection: close\r\n").as_bytes()).unwrap();
    let reads = |view: &View<'_>| view.requests.last().unwrap().status.is_none();
    assert!(simulator.wait_until(LONG, reads));
    assert_eq!(ask(&simulator, "GET", "/other").0, 408);
    assert!(until_closed(&mut slow).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn the_server_goes_and_comes_back() {
    let simulator = in_state(Some(Staged));
    let kind = |path: &Path| UnixStream::connect(path).err().map(|error| error.kind());
    let mut idle = connect(&simulator);

    simulator.refuse();
    assert_eq!(kind(simulator.path()), Some(ErrorKind::ConnectionRefused));
    assert_eq!(until_closed(&mut idle), "");
    simulator.remove_socket();
    assert_eq!(kind(simulator.path()), Some(ErrorKind::NotFound));
    simulator.restart().unwrap();
    assert_eq!(ask(&simulator, "GET", STATUS).0, 200);

    // A pod that mounted the socket file keeps the old socket, like a hard link.
    let mounted = fresh("mounted");
    fs::hard_link(simulator.path(), &mounted).unwrap();
    assert_eq!(kind(&mounted), None);
    simulator.restart().unwrap();
    assert_eq!(kind(&mounted), Some(ErrorKind::ConnectionRefused));
    assert_eq!(kind(simulator.path()), None);
    assert_eq!(state(&simulator), Some(Staged));
    fs::remove_file(mounted).unwrap();
}

/// A child process that another thread starts has a copy of the listening socket until
/// it executes its program. The kernel must not accept connections for that copy.
#[test]
fn connections_are_refused_while_other_threads_start_processes() {
    let simulator = start(instant());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    process::Command::new("true").status().unwrap();
                }
            });
        }
        let connected = (0..200).filter(|_| {
            simulator.restart().unwrap();
            simulator.refuse();
            UnixStream::connect(simulator.path()).is_ok()
        });
        let connected = connected.count();
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(connected, 0);
    });
}

#[test]
fn socket_paths_that_are_refused_or_replaced() {
    let taken = start(instant());
    let file = fresh("file");
    fs::write(&file, "").unwrap();
    let long = PathBuf::from(format!("/tmp/{}", "x".repeat(103)));
    let missing = file.join("api.sock");
    for (path, problem) in [
        (taken.path(), "another process listens on this socket"),
        (&file, "exists, but is not a socket"),
        (&long, "the path has 108 bytes, but a socket allows 107"),
        (&missing, "Not a directory (os error 20)"),
    ] {
        let error = Simulator::start(path, instant()).err().expect(problem);
        assert_eq!(error.to_string(), format!("{}: {problem}", path.display()));
    }
    assert_eq!(ask(&taken, "GET", STATUS).0, 404, "the other simulator still listens");
    fs::remove_file(&file).unwrap();

    let stale = fresh("sock");
    Simulator::start(&stale, instant()).unwrap().refuse();
    let simulator = Simulator::start(&stale, instant()).unwrap();
    let mode = fs::metadata(&stale).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    drop(simulator);
    assert!(!stale.exists(), "dropping the simulator removes its socket");
}

#[test]
fn simulator_stops_during_any_answer() {
    let forever = Duration::from_secs(3600);
    for (name, fault) in [
        ("reboot", None),
        ("silence", Some(Fault::silence())),
        ("drip", Some(Fault::Drip(forever))),
        ("flood", Some(Fault::Flood(vec![], vec![b'x'; 4096]))),
    ] {
        let simulator = start(Options { reboot_time: MANUAL, ..Options::default() });
        let method = if fault.is_some() { "GET" } else { "POST" };
        if let Some(fault) = fault {
            simulator.inject(fault);
        }
        let mut stream = connect(&simulator);
        stream.write_all(request(method, Reboot.path(), "").as_bytes()).unwrap();
        assert!(simulator.wait_until(LONG, |view| view.requests.len() == 1), "{name}");
        drop(simulator);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
}

#[test]
fn hook_runs_before_each_request_and_requests_are_logged() {
    let simulator = start(instant());
    simulator.before_each(|node, request| {
        if request.path == Prepare.path() {
            node.run(Refresh, request.at).unwrap();
        }
    });
    assert_eq!(ask(&simulator, "GET", STATUS).0, 404);
    assert_eq!(post(&simulator, Prepare).0, 204);
    let log = simulator.requests();
    let lines: Vec<_> =
        log.iter().map(|request| (&*request.method, &*request.path, request.status)).collect();
    assert_eq!(lines, [("GET", STATUS, Some(404)), ("POST", Prepare.path(), Some(204))]);
    assert!(log[0].at < log[1].at);
}

#[test]
fn events_are_shown_as_lines() {
    let simulator = start(Options { no_boot: vec!["1.26.1".into()], ..instant() });
    let mut told = Vec::new();
    let mut tell = || {
        let lines = simulator.events(LONG);
        // Without the time of day, which has 13 characters.
        told.extend(lines.iter().map(|event| event.to_string()[13..].to_string()));
    };
    simulator.change(|node, _| node.fail_next(Activate, 3, "no space\nleft"));
    ask(&simulator, "GET", STATUS);
    set_request_timeout(&simulator, Duration::from_millis(50));
    raw(&simulator, "");
    set_request_timeout(&simulator, LONG);
    raw(&simulator, "?\r\n\r\n");
    raw(&simulator, &request("GET", STATUS, &"a: b\r\n".repeat(96)));
    simulator.inject(Fault::close());
    raw(&simulator, &request("GET", "/x", ""));
    tell();
    run(&simulator, &[Refresh, Prepare, Activate, Activate, Reboot]);
    tell();
    simulator.change(|node, _| node.end_next(Refresh, Ending::cut_off()));
    run(&simulator, &[Refresh]);
    tell();
    let boot_id = simulator.look(|view| view.node.boot_id());
    let booted = format!("booted 1.26.0, boot id {boot_id}: 1.26.1 did not boot, rolled back");
    let first = format!("GET {STATUS}: 404, {NOT_YET}");
    assert_eq!(
        told,
        [
            &*first,
            "request timed out: 408",
            "not a request: 400",
            "request head too large: 431",
            "GET /x: not carried out",
            "state: no status -> Idle",
            "refresh started",
            "refresh succeeded",
            "state: Idle -> Available",
            "prepare started",
            "prepare succeeded",
            "state: Available -> Staged",
            "activate started",
            "activate failed, exit status 3, no space",
            "activate started",
            "activate succeeded",
            "state: Staged -> Ready",
            "reboot succeeded",
            "state: Ready -> no status",
            &booted,
            "state: no status -> Idle",
            "refresh started",
            "refresh worked, but the server was killed",
        ]
    );
}
