//! The state that outlives the simulator. The tests of the program kill it in each step.

use super::{fresh, instant, run, start};
use bottlerocket_simulator::Command::{Activate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::{MANUAL, Options, Power, Saved, Simulator};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn each_state_is_the_same_after_a_restart_of_the_server() {
    let (state, boot_id) = (fresh("state"), fresh("boot-id"));
    let options = Options {
        state_file: Some(state.clone()),
        boot_id_file: Some(boot_id.clone()),
        offer: vec!["1.26.1".into(), "1.25.0".into()],
        ..instant()
    };
    let path = fresh("sock");
    let mut before = None;
    for step in [None, Some(Refresh), Some(Prepare), Some(Activate), Some(Refresh), None] {
        let simulator = Simulator::start(&path, options.clone()).unwrap();
        let look = |simulator: &Simulator| {
            simulator.look(|view| (view.node.status().cloned(), view.node.boot_id()))
        };
        if let Some(before) = before {
            assert_eq!(look(&simulator), before);
        }
        if let Some(command) = step {
            let text = "a\nb\\n\r\\ \u{1b} 'c' \"d\"  ";
            simulator.change(|node, _| {
                if command == Prepare {
                    node.fail_next(command, -9, text);
                    node.run(command, Duration::from_secs(1)).unwrap();
                    assert_eq!(node.status().unwrap().last_command.as_ref().unwrap().stderr, text);
                    node.end_next(command, bottlerocket_simulator::Ending::failed(0, text));
                }
            });
            run(&simulator, &[command]);
        }
        before = Some(look(&simulator));
    }
    assert_eq!(before.unwrap().0.unwrap().state, bottlerocket_simulator::State::Ready);
    fs::remove_file(state).unwrap();
    fs::remove_file(boot_id).unwrap();
}

#[test]
fn damaged_state_is_refused_and_kept() {
    let state = fresh("state");
    let options = Options { state_file: Some(state.clone()), ..instant() };
    let simulator = start(options.clone());
    run(&simulator, &[Refresh, Prepare, Activate]);
    drop(simulator);
    let whole = fs::read_to_string(&state).unwrap();
    assert!(Saved::read(&state, &options).unwrap().is_some());
    let lines = whole.lines().count();
    let without = |line: usize| {
        let kept = whole.lines().enumerate().filter(|(number, _)| *number != line);
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let cut = (0..whole.len()).map(|length| whole[..length].to_owned());
    // The lines of which a state can do without: the inactive version, and the status.
    let needed = (0..lines).filter(|line| [0, 1, 2, 3, 5, lines - 1].contains(line)).map(without);
    let others = ["tries -1", "tries x", "power maybe", "state Odd", "last refresh 0", "odd 1"]
        .map(|line| whole.replace("\nend\n", &format!("\n{line}\nend\n")));
    for text in cut.chain(needed).chain(others) {
        fs::write(&state, &text).unwrap();
        let error = Saved::read(&state, &options).unwrap_err().to_string();
        let start = format!("{}: not the state of a simulated node: ", state.display());
        assert!(error.starts_with(&start), "{error}");
        assert!(error.ends_with("; delete it to start anew"), "{error}");
    }
    let error = Simulator::start(fresh("sock"), options).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("not the state of a simulated node"), "{error}");
    assert!(fs::read_to_string(&state).unwrap().contains("odd 1"));
    fs::remove_file(state).unwrap();
}

#[test]
fn node_that_is_off_or_boots_refuses_connections_and_keeps_its_files() {
    let (boot_id, os_release) = (fresh("boot-id"), fresh("os-release"));
    let simulator = start(Options {
        boot_id_file: Some(boot_id.clone()),
        os_release_file: Some(os_release.clone()),
        off_time: MANUAL,
        boot_time: MANUAL,
        ..instant()
    });
    let version = || {
        let text = fs::read_to_string(&os_release).unwrap();
        text.lines().find_map(|line| line.strip_prefix("VERSION_ID=").map(str::to_owned))
    };
    assert_eq!(version().as_deref(), Some("1.26.0"));
    let first = fs::read_to_string(&boot_id).unwrap();
    let socket = fs::metadata(simulator.path()).unwrap().ino();
    run(&simulator, &[Refresh, Prepare, Activate, Reboot]);
    for power in [Power::Off, Power::Booting] {
        simulator.follow_power().unwrap();
        assert_eq!(simulator.look(|view| view.node.power()), power);
        // There is a file all the time. A container runtime would create a directory in
        // place of a missing one.
        let error = UnixStream::connect(simulator.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(fs::read_to_string(&boot_id).unwrap(), first);
        assert_eq!(version().as_deref(), Some("1.26.0"));
        assert!(simulator.run(Refresh).is_err());
        simulator.finish();
    }
    simulator.follow_power().unwrap();
    assert_eq!(super::ask(&simulator, "GET", super::STATUS).0, 404);
    assert_ne!(fs::metadata(simulator.path()).unwrap().ino(), socket);
    assert_eq!(version().as_deref(), Some("1.26.1"));
    let id = simulator.look(|view| view.node.boot_id());
    assert_eq!(fs::read_to_string(&boot_id).unwrap(), id + "\n");
    assert!(fs::read_to_string(&os_release).unwrap().contains("\nVARIANT_ID=aws-k8s-1.30\n"));
    fs::remove_file(boot_id).unwrap();
    fs::remove_file(os_release).unwrap();
}

#[test]
fn state_that_cannot_be_written_ends_the_simulator_before_a_client_sees_it() {
    let directory = fresh("directory");
    fs::create_dir(&directory).unwrap();
    let state = directory.join("state");
    let simulator = start(Options { state_file: Some(state.clone()), ..instant() });
    fs::remove_dir_all(&directory).unwrap();
    let answer = super::raw(&simulator, &super::request("POST", Refresh.path(), ""));
    assert_eq!(answer, "");
    let error = simulator.follow_power().unwrap_err().to_string();
    assert_eq!(error, format!("{}: No such file or directory (os error 2)", state.display()));
}

#[test]
fn socket_that_is_there_before_the_first_start_is_that_of_a_real_node() {
    let (state, path) = (fresh("state"), fresh("sock"));
    let first = Simulator::start(&path, instant()).unwrap();
    first.refuse();
    let options = Options { state_file: Some(state.clone()), ..instant() };
    let error = Simulator::start(&path, options).map(|_| ()).unwrap_err().to_string();
    let expected = "exists before the first start: is this a real node?";
    assert_eq!(error, format!("{}: {expected}", path.display()));
    assert!(path.exists() && !state.exists());
}

#[test]
fn empty_directories_of_a_container_runtime_give_way() {
    let (path, boot_id) = (fresh("sock"), fresh("boot-id"));
    let state = fresh("state");
    for directory in [&path, &boot_id] {
        fs::create_dir(directory).unwrap();
    }
    let options = Options {
        boot_id_file: Some(boot_id.clone()),
        state_file: Some(state.clone()),
        ..instant()
    };
    let simulator = Simulator::start(&path, options).unwrap();
    let id = simulator.look(|view| view.node.boot_id());
    assert_eq!(fs::read_to_string(&boot_id).unwrap(), id + "\n");
    fs::remove_file(state).unwrap();
    fs::remove_file(boot_id).unwrap();
}

#[test]
fn pods_are_to_be_ended_after_each_reboot_until_they_are() {
    let (path, boot_id, state) = (fresh("sock"), fresh("boot-id"), fresh("state"));
    let options = Options {
        boot_id_file: Some(boot_id.clone()),
        state_file: Some(state.clone()),
        ends_pods: true,
        boot_time: MANUAL,
        ..instant()
    };
    let to_end = |simulator: &Simulator| simulator.look(|view| view.node.pods_to_end());
    let simulator = Simulator::start(&path, options.clone()).unwrap();
    assert!(!to_end(&simulator));
    run(&simulator, &[Reboot]);
    // The process ends during the boot, and again before the pods have ended.
    drop(simulator);
    let simulator = Simulator::start(&path, options.clone()).unwrap();
    simulator.finish();
    assert!(to_end(&simulator));
    drop(simulator);
    let simulator = Simulator::start(&path, options.clone()).unwrap();
    assert!(to_end(&simulator));
    simulator.change(|node, _| node.pods_ended());
    drop(simulator);
    let simulator = Simulator::start(&path, options.clone()).unwrap();
    assert!(!to_end(&simulator));
    // After a loss of power, all pods are new.
    run(&simulator, &[Reboot]);
    drop(simulator);
    fs::remove_file(&boot_id).unwrap();
    assert!(!to_end(&Simulator::start(&path, options).unwrap()));
    fs::remove_file(state).unwrap();
    let _ = fs::remove_file(boot_id);
}
