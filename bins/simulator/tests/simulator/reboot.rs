//! Reboots and boot ids.

use super::{
    LONG, NOT_YET, STATUS, ask, chosen, connect, fresh, in_state, instant, post, raw, read,
    request, run, start, state, until_closed,
};
use bottlerocket_simulator::Command::{self, Activate, Deactivate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::State::{Ready, Staged};
use bottlerocket_simulator::{MANUAL, Options, Simulator};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

#[test]
fn reboot_selects_the_running_version() {
    type Row<'a> = (&'a [Command], &'a [&'a str], &'a str, Option<&'a str>);
    let rows: &[Row] = &[
        (&[], &[], "1.26.0", Some("1.26.1")),
        (&[Refresh, Prepare], &[], "1.26.0", Some("1.26.1")),
        (&[Refresh, Prepare, Activate], &[], "1.26.1", None),
        (&[Refresh, Prepare, Activate, Deactivate], &[], "1.26.0", Some("1.26.1")),
        (&[Refresh, Prepare, Activate], &["1.26.1"], "1.26.0", Some("1.26.1")),
    ];
    for (way, no_boot, version, offered) in rows {
        let simulator = start(Options {
            no_boot: no_boot.iter().map(|version| version.to_string()).collect(),
            ..instant()
        });
        run(&simulator, way);
        let old_id = simulator.look(|view| view.node.boot_id());
        let case = format!("{way:?} {no_boot:?}");
        assert_eq!(post(&simulator, Reboot), (204, String::new()), "{case}");
        assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()), "{case}");
        simulator.look(|view| {
            assert_eq!(view.node.boots(), 2, "{case}");
            assert_ne!(view.node.boot_id(), old_id, "{case}");
            assert_eq!(view.node.options.running, *version, "{case}");
        });
        run(&simulator, &[Refresh]);
        simulator.look(|view| {
            let status = view.node.status().unwrap();
            let active = status.active.as_ref().unwrap();
            assert_eq!(active.image.version, *version, "{case}");
            assert!(active.next_to_boot, "{case}");
            assert_eq!(status.staging, None, "{case}");
            assert_eq!(chosen(view.node), *offered, "{case}");
        });
    }
}

#[test]
fn boot_id_file_changes_at_each_boot() {
    let file = fresh("boot-id");
    let in_file = || fs::read_to_string(&file).unwrap();
    let simulator = start(Options {
        boot_id_file: Some(file.clone()),
        no_boot: vec!["1.26.1".into()],
        ..instant()
    });
    let id = |simulator: &Simulator| simulator.look(|view| view.node.boot_id()) + "\n";
    let first = in_file();
    assert_eq!(first, id(&simulator));
    let form: String = first.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
    assert_eq!(form, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n");

    let mut ids = vec![first];
    let is_new = |ids: &mut Vec<String>| {
        let id = in_file();
        assert!(!ids.contains(&id), "{id}");
        ids.push(id);
    };
    // A restart of the server and a failed reboot do not change it.
    simulator.restart().unwrap();
    simulator.change(|node, _| node.fail_next(Reboot, 1, "inhibited"));
    assert_eq!(post(&simulator, Reboot).0, 500);
    assert_eq!(in_file(), ids[0]);
    // Each boot changes it: a rollback, a boot of the same version, a reboot by another
    // client, and a reboot between two requests.
    run(&simulator, &[Refresh, Prepare, Activate]);
    for _ in 0..2 {
        assert_eq!(post(&simulator, Reboot).0, 204);
        is_new(&mut ids);
        assert_eq!(simulator.look(|view| view.node.options.running.clone()), "1.26.0");
    }
    run(&simulator, &[Reboot]);
    is_new(&mut ids);
    simulator.before_each(|node, request| node.run(Reboot, request.at).unwrap());
    assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()));
    is_new(&mut ids);
    assert_eq!(in_file(), id(&simulator));
    drop(simulator);

    // The file remains, and another simulator replaces its id.
    assert_eq!(in_file(), ids[ids.len() - 1]);
    let simulator = start(Options { boot_id_file: Some(file.clone()), ..instant() });
    is_new(&mut ids);
    drop(simulator);
    fs::remove_file(&file).unwrap();
}

#[test]
fn boot_id_file_is_written_before_connections_break() {
    let file = fresh("boot-id");
    let simulator = start(Options { boot_id_file: Some(file.clone()), ..instant() });
    let mut last = fs::read_to_string(&file).unwrap();
    for _ in 0..20 {
        let mut idle = connect(&simulator);
        // After an answer the server has accepted the connection.
        idle.write_all(request("GET", STATUS, "").as_bytes()).unwrap();
        read(&mut idle, 1);
        thread::scope(|scope| {
            scope.spawn(|| post(&simulator, Reboot));
            until_closed(&mut idle);
            let id = fs::read_to_string(&file).unwrap();
            assert_ne!(id, last);
            last = id;
        });
    }
    drop(simulator);
    fs::remove_file(&file).unwrap();
}

#[test]
fn nodes_of_one_process_are_independent() {
    let (sockets, ids) = (fresh("sock"), fresh("boot-id"));
    let options = Options { boot_id_file: Some(ids.clone()), ..instant() };
    let simulators = Simulator::start_many(&sockets, 3, &options).unwrap();
    let numbered = |path: &Path, number| format!("{}.{number}", path.display());
    run(&simulators[1], &[Refresh, Prepare]);
    run(&simulators[2], &[Reboot]);
    for (simulator, number) in simulators.iter().zip(1..) {
        assert_eq!(simulator.path(), Path::new(&numbered(&sockets, number)));
        let id = fs::read_to_string(numbered(&ids, number)).unwrap();
        assert_eq!(id.trim_end(), simulator.look(|view| view.node.boot_id()));
        fs::remove_file(numbered(&ids, number)).unwrap();
    }
    let states: Vec<_> = simulators.iter().map(state).collect();
    assert_eq!(states, [None, Some(Staged), None]);
    let boots: Vec<_> = simulators.iter().map(|one| one.look(|view| view.node.boots())).collect();
    assert_eq!(boots, [1, 1, 2]);
    // If one node cannot be served, none is.
    fs::write(numbered(&sockets, 4), "").unwrap();
    drop(simulators);
    let error = Simulator::start_many(&sockets, 4, &instant()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(!Path::new(&numbered(&sockets, 1)).exists());
    fs::remove_file(numbered(&sockets, 4)).unwrap();
}

#[test]
fn boot_id_file_without_a_directory_is_an_error() {
    let file = Path::new("/nonexistent/boot-id");
    let options = Options { boot_id_file: Some(file.into()), ..instant() };
    let error = Simulator::start(fresh("sock"), options).err().unwrap();
    assert_eq!(error.to_string(), "/nonexistent/boot-id: No such file or directory (os error 2)");
}

#[test]
fn reboot_blocks_requests_and_closes_connections() {
    let simulator =
        start(Options { refresh_time: MANUAL, reboot_time: MANUAL, ..Options::default() });
    // A running command does not prevent a reboot.
    assert_eq!(post(&simulator, Refresh).0, 204);
    let mut idle = connect(&simulator);
    thread::scope(|scope| {
        let close = "Connection: close\r\n";
        let reboot = scope.spawn(|| raw(&simulator, &request("POST", Reboot.path(), close)));
        assert!(simulator.wait_until(LONG, |view| view.node.busy() == Some(Reboot)));
        let mut waiting = connect(&simulator);
        waiting.write_all(request("GET", STATUS, "").as_bytes()).unwrap();
        let early =
            simulator.wait_until(Duration::from_millis(20), |view| view.count("GET", STATUS) > 0);
        assert!(!early, "requests wait behind the reboot");
        simulator.finish();
        let answer = reboot.join().unwrap();
        let expected = "HTTP/1.1 204 No Content\r\nconnection: close\r\ndate: ";
        assert!(answer.starts_with(expected), "{answer}");
    });
    assert_eq!(until_closed(&mut idle), "");
    assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()));
}

#[test]
fn accepted_reboot_keeps_its_connection() {
    let simulator = in_state(Some(Ready));
    let first = request("POST", Reboot.path(), "");
    let second = request("GET", STATUS, "Connection: close\r\n");
    let answers = raw(&simulator, &[first, second].concat());
    assert!(answers.starts_with("HTTP/1.1 204 No Content\r\ndate: "), "{answers}");
    assert!(answers.ends_with(NOT_YET), "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
}

#[test]
fn server_answers_until_the_node_boots() {
    let simulator = in_state(Some(Ready));
    simulator.change(|node, _| {
        node.options.shutdown_time = MANUAL;
        node.options.refresh_time = MANUAL;
    });
    let mut idle = connect(&simulator);
    assert_eq!(post(&simulator, Reboot), (204, String::new()));
    assert_eq!(ask(&simulator, "GET", STATUS).0, 200);
    // A second reboot does not change the first one.
    assert_eq!(post(&simulator, Reboot), (204, String::new()));
    assert_eq!(post(&simulator, Refresh), (204, String::new()));
    simulator.look(|view| assert_eq!(view.node.boots(), 1));
    simulator.change(|node, _| node.options.shutdown_time = Duration::ZERO);
    simulator.finish();
    assert_eq!(until_closed(&mut idle), "");
    assert_eq!(ask(&simulator, "GET", STATUS), (404, NOT_YET.into()));
    simulator.look(|view| {
        assert_eq!(view.node.boots(), 2);
        assert_eq!(view.node.options.running, "1.26.1");
    });
}

#[test]
fn node_boots_after_the_shutdown_time() {
    let shutdown_time = Duration::from_millis(30);
    let simulator = start(Options { shutdown_time, refresh_time: MANUAL, ..instant() });
    assert_eq!(post(&simulator, Refresh), (204, String::new()));
    let before = simulator.look(|view| view.node.boot_id());
    assert_eq!(post(&simulator, Reboot), (204, String::new()));
    assert!(simulator.wait_until(LONG, |view| view.node.boot_id() != before));
    simulator.look(|view| {
        assert_eq!(view.node.boots(), 2);
        assert_eq!(view.node.busy(), None, "the boot ends the running command");
    });
}

#[test]
fn boot_breaks_a_second_reboot_request() {
    let simulator = start(Options { shutdown_time: MANUAL, ..instant() });
    assert_eq!(post(&simulator, Reboot), (204, String::new()));
    simulator.change(|node, _| node.options.reboot_time = MANUAL);
    thread::scope(|scope| {
        let second = scope.spawn(|| raw(&simulator, &request("POST", Reboot.path(), "")));
        assert!(simulator.wait_until(LONG, |view| view.node.busy() == Some(Reboot)));
        // Ends the shutdown and the request at the same time: the shutdown comes first.
        simulator.finish();
        assert_eq!(second.join().unwrap(), "");
    });
    simulator.look(|view| assert_eq!(view.node.boots(), 2));
}

#[test]
fn failed_reboot_changes_nothing() {
    let simulator = in_state(Some(Ready));
    simulator.change(|node, _| node.fail_next(Reboot, 1, "inhibited"));
    let reason = "Failed to reboot, exit code: 1, stderr: inhibited";
    assert_eq!(post(&simulator, Reboot), (500, reason.into()));
    simulator.look(|view| {
        assert_eq!(view.node.state(), Some(Ready));
        assert_eq!(view.node.boots(), 1);
    });
    assert_eq!(post(&simulator, Reboot), (204, String::new()));
}
