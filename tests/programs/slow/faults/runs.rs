//! Runs of each program, and a system call that fails or kills it.

use super::{
    ERRORS, LIMIT, Table, assert_logged, assert_once, assert_orderly, assert_state_is_kept, cases,
    loses_the_state, places, stateful_updater, traced,
};
use crate::common::cases::side_by_side;
use crate::common::{Directory, Node, program, run_within};
use bottlerocket_simulator::Command::{Activate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::{Ending, Fault, Rule, State};
use bottlerocket_updater::api::status::Image;
use bottlerocket_updater::record::RebootRecord;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn checker_survives_each_failing_system_call() {
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
            let label = format!("{title}: {error} from {} {}", place.0, place.1);
            let injection = format!("{}:error={error}:when={}", place.0, place.1);
            let (ran, made) = traced(&command, Some(&injection), &Directory::new());
            assert_orderly(&label, &place, &ran, made.len(), calls.len());
            // Either the answer is right, or there is an error.
            assert!([Some(usual_status), Some(3)].contains(&ran.status), "{label}: {ran:?}");
            table.add(&place, error, &ran);
        });
        table.print(title);
    }
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn reboot_survives_each_failing_system_call() {
    for title in ["reboot -if-ready", "reboot -confirm -record"] {
        let node = || Node::after(&[Refresh, Prepare, Activate]);
        let command = |node: &Node, directory: &Directory| {
            let mut command = node.program("reboot");
            command.args(title.split(' ').skip(1).take(1));
            if title.ends_with("-record") {
                command.arg("-record").arg(directory.path().join("reboot/record"));
            }
            command
        };
        let directory = Directory::new();
        let (usual, calls) = traced(&command(&node(), &directory), None, &directory);
        assert_eq!(usual.status, Some(0));
        let table = Table::default();
        side_by_side(cases(&calls), |(place, error)| {
            let label = format!("{title}: {error} from {} {}", place.0, place.1);
            let injection = format!("{}:error={error}:when={}", place.0, place.1);
            let (node, directory) = (node(), Directory::new());
            let command = command(&node, &directory);
            let (ran, made) = traced(&command, Some(&injection), &directory);
            assert_orderly(&label, &place, &ran, made.len(), calls.len());
            let boots = node.look(|view| view.node.boots());
            assert!(ran.status != Some(0) || boots > 1, "{label}: {ran:?}");
            assert!(boots <= 2 || ran.status == Some(0), "{label}: {boots} boots: {ran:?}");
            // There is the whole record, or none.
            if let Ok(record) = fs::read(directory.path().join("reboot/record")) {
                assert!(RebootRecord::read(&record).is_ok(), "{label}: {record:?}");
            }
            table.add(&place, error, &ran);
        });
        table.print(title);
    }
}

/// After a disconnect the API is unavailable for a while, comes back, and refuses the
/// reboot. Whatever fails in the meantime, the program must not assume that the node goes
/// down.
#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn reboot_after_a_disconnect_survives_each_failing_system_call() {
    let run = |injection: Option<&str>| {
        let node = Node::after(&[Refresh, Prepare, Activate]);
        node.inject(Rule::from(Fault::silence()).on("POST", Reboot.path()));
        node.change(|node, _| node.end_next(Reboot, Ending::failed(1, "no")));
        let ran = thread::scope(|scope| {
            let mut command = node.program("reboot");
            // A request that is never sent is repeated until then.
            command.arg("-timeout=20s");
            let run = scope.spawn(move || traced(&command, injection, &Directory::new()));
            let is_requested = || node.look(|view| view.count("POST", Reboot.path())) > 0;
            while !is_requested() && !run.is_finished() {
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
        // The program does not distinguish these errors, so one of them is enough.
        let mut errors = errors.split(' ').filter(|error| !["", "EINTR", "EAGAIN"].contains(error));
        let Some(error) = errors.next_back() else { continue };
        cases.push(((name.clone(), count), error, ""));
        cases.push(((name, count), error, "+"));
    }
    side_by_side(cases, |(place, error, on)| {
        let injection = format!("{}:error={error}:when={}{on}", place.0, place.1);
        let (boots, (ran, made)) = run(Some(&injection));
        assert_orderly(&injection, &place, &ran, made.len(), calls.len());
        // The API refuses only once. If that answer was lost, the retry succeeds.
        assert!(ran.status == Some(3) || boots > 1, "{injection}: {ran:?}");
        table.add(&place, error, &ran);
    });
    table.print("reboot, after a break");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn update_survives_each_failing_system_call() {
    let (node, directory) = (Node::after(&[]), Directory::new());
    let (usual, calls) = traced(&one_time(&node, &directory), None, &directory);
    assert_eq!(usual.status, Some(0));
    let table = Table::default();
    let mut cases = cases(&calls);
    cases.retain(|(place, error)| !loses_the_state(place, error));
    side_by_side(cases, |(place, error)| {
        let label = format!("updater: {error} from {} {}", place.0, place.1);
        let injection = format!("{}:error={error}:when={}", place.0, place.1);
        let (node, directory) = (Node::after(&[]), Directory::new());
        let command = one_time(&node, &directory);
        let (ran, made) = traced(&command, Some(&injection), &directory);
        assert_orderly(&label, &place, &ran, made.len(), calls.len());
        let state = node.look(|view| view.node.state());
        assert!(ran.status != Some(0) || state == Some(State::Ready), "{label}: {ran:?}");
        assert_logged(&label, &place, &ran);
        table.add(&place, error, &ran);
        // The next run does the rest, and nothing twice.
        assert_finished(&label, &node, &directory);
    });
    table.print("updater -one-time, a whole update");
}

/// The same, for one cycle.
fn one_time(node: &Node, directory: &Directory) -> Command {
    let mut command = stateful_updater(node, directory);
    command.arg("-one-time");
    command
}

/// Checks that the next run makes the node Ready, that no image was prepared or activated
/// twice, and that the state is kept.
#[track_caller]
fn assert_finished(label: &str, node: &Node, directory: &Directory) {
    assert_state_is_kept(label, directory);
    let again = run_within(LIMIT, &mut one_time(node, directory));
    assert_state_is_kept(label, directory);
    assert_eq!(again.status, Some(0), "{label}: {again:?}");
    assert_eq!(node.look(|view| view.node.state()), Some(State::Ready), "{label}");
    assert_once(label, node);
}

/// A cycle on a node that was asked to reboot. If the record cannot be read, the cycle goes
/// on without it.
#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn cycle_with_a_record_survives_each_failing_system_call() {
    let run = |injection: Option<&str>| {
        let (node, directory) = (Node::after(&[Refresh, Prepare, Activate]), Directory::new());
        let [boot_id, record] = ["boot-id", "record"].map(|name| directory.path().join(name));
        let image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };
        fs::write(&boot_id, "here\n").unwrap();
        fs::write(&record, RebootRecord::new("here", "1.26.0", image).write()).unwrap();
        let mut command = node.program("updater");
        command.arg("-one-time").arg("-boot-id").arg(boot_id).arg("-record").arg(record);
        let ran = traced(&command, injection, &directory);
        (node.look(|view| view.count("POST", Refresh.path())), ran)
    };
    let (refreshes, (usual, calls)) = run(None);
    assert_eq!((refreshes, usual.status), (0, Some(0)), "{usual:?}");
    let table = Table::default();
    side_by_side(cases(&calls), |(place, error)| {
        let injection = format!("{}:error={error}:when={}", place.0, place.1);
        let (refreshes, (ran, made)) = run(Some(&injection));
        // Without the record, the cycle also refreshes.
        assert!(refreshes <= 1, "{injection}: {ran:?}");
        assert_orderly(&injection, &place, &ran, made.len(), calls.len());
        let reports = ran.stderr.matches("event=record_unreadable").count();
        assert!(reports <= 1, "{injection}: {ran:?}");
        table.add(&place, error, &ran);
    });
    table.print("updater -one-time, with a record");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn updater_killed_at_each_system_call_loses_nothing() {
    let (node, directory) = (Node::after(&[]), Directory::new());
    let (usual, calls) = traced(&one_time(&node, &directory), None, &directory);
    assert_eq!(usual.status, Some(0));
    let places = places(&calls);
    println!("killed before each of {} system calls of an update", places.len());
    side_by_side(places, |(name, count)| {
        let label = format!("killed at {name} {count}");
        let (node, directory) = (Node::after(&[]), Directory::new());
        let injection = format!("{name}:signal=KILL:when={count}");
        let (ran, _) = traced(&one_time(&node, &directory), Some(&injection), &directory);
        // The number of status requests depends on timing, so the call may not exist.
        assert!([None, Some(0)].contains(&ran.status), "{label}: {ran:?}");
        assert_finished(&label, &node, &directory);
    });
}

/// Checks that each program is either whole and executable, or unchanged.
#[track_caller]
fn assert_whole(label: &str, from: &Path, into: &Path, done: bool) {
    for name in ["bottlerocket-checker", "bottlerocket-reboot"] {
        let installed = into.join(name);
        let contents = fs::read(&installed).ok();
        let new = contents == fs::read(from.join(name)).ok();
        let old = contents.is_none_or(|contents| contents == b"old");
        assert!(new || old && !done, "{label}: {name}");
        if new {
            let mode = fs::metadata(&installed).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755, "{label}: {name}");
        }
    }
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn install_survives_each_failing_system_call() {
    let checker = PathBuf::from(program("checker").get_program());
    let from = checker.parent().unwrap();
    for (title, is_installed) in [
        ("install, nothing installed", false),
        ("install, another version installed", true),
        ("install, the same version installed", true),
    ] {
        let begin = |directory: &Directory| {
            let into = directory.path().join("opt/bottlerocket");
            if is_installed && !into.exists() {
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
            let label = format!("{title}: {error} from {} {}", place.0, place.1);
            let injection = format!("{}:error={error}:when={}", place.0, place.1);
            let directory = Directory::new();
            let (command, into) = begin(&directory);
            let (ran, made) = traced(&command, Some(&injection), &directory);
            assert_orderly(&label, &place, &ran, made.len(), calls.len());
            assert_ne!(ran.status, Some(1), "{label}");
            assert_whole(&label, from, &into, ran.status == Some(0));
            table.add(&place, error, &ran);
            // The next install finishes, and removes leftovers.
            let again = run_within(LIMIT, &mut begin(&directory).0);
            assert_eq!(again.status, Some(0), "{label}: {again:?}");
            let left: Vec<_> = fs::read_dir(&into).unwrap().collect();
            assert_eq!(left.len(), 2, "{label}: {left:?}");
        });
        table.print(title);
    }
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn gate_that_holds_survives_each_failing_system_call() {
    // It is in another boot than that of the record, and runs the old version.
    let command = |node: &Node, directory: &Directory| {
        let path = |name| directory.path().join(name);
        let image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };
        let record = RebootRecord::new("first", "1.26.0", image).write();
        fs::write(path("record"), record).unwrap();
        fs::write(path("boot_id"), "second\n").unwrap();
        fs::write(path("os-release"), "VERSION_ID=1.26.0\n").unwrap();
        let mut command = node.program("gate");
        for (flag, name) in
            [("-record", "record"), ("-boot-id", "boot_id"), ("-os-release", "os-release")]
        {
            command.arg(flag).arg(path(name));
        }
        command.args(["-max-wait=1s", "-test-interval=500ms", "-give-up=1ms"]);
        command
    };
    let (node, directory) = (Node::after(&[]), Directory::new());
    let (usual, calls) = traced(&command(&node, &directory), None, &Directory::new());
    assert!(usual.status == Some(0) && usual.stderr.contains("reason=max_wait"), "{usual:?}");
    let table = Table::default();
    side_by_side(cases(&calls), |(place, error)| {
        let label = format!("{error} from {} {}", place.0, place.1);
        let injection = format!("{}:error={error}:when={}", place.0, place.1);
        let (node, directory) = (Node::after(&[]), Directory::new());
        let gate = command(&node, &directory);
        let (ran, made) = traced(&gate, Some(&injection), &Directory::new());
        assert_orderly(&label, &place, &ran, made.len(), calls.len());
        // It opens only at its time, or if it cannot read what it compares.
        let reasons = ["max_wait", "no_record", "released", "unknown_boot", "unknown_version"];
        let is_told = reasons.iter().any(|why| ran.stderr.contains(&format!("reason={why}")));
        assert!(ran.status != Some(0) || is_told || place.0 == "write", "{label}: {ran:?}");
        table.add(&place, error, &ran);
    });
    table.print("a gate that holds, each call fails");
}

#[test]
#[ignore = "needs strace: scripts/test/test-faults"]
fn programs_end_when_a_system_call_always_fails() {
    let checker = PathBuf::from(program("checker").get_program());
    let from = checker.parent().unwrap();
    for name in ["checker", "reboot", "gate", "updater", "install"] {
        let command = |node: &Node| {
            let mut command = match name {
                "install" => program("install"),
                _ => node.program(name),
            };
            match name {
                "updater" => command.arg("-one-time"),
                // Without a record it opens at once.
                "gate" => command.arg("-record").arg(node.path().with_extension("record")),
                // It repeats a request that had no effect until its timeout.
                "reboot" => command.arg("-timeout=2s"),
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
            let label = format!("{name}: {error} from each {}", place.0);
            // These two errors mean "try again". The kernel does not return them forever.
            let times = if ["EINTR", "EAGAIN"].contains(&error) { ":when=1..100" } else { "" };
            let injection = format!("{}:error={error}{times}", place.0);
            let node = Node::after(&[]);
            let (ran, made) = traced(&command(&node), Some(&injection), &Directory::new());
            assert_orderly(&label, &place, &ran, made.len(), calls.len());
            table.add(&place, error, &ran);
        });
        table.print(&format!("{name}, each call of a kind fails"));
    }
}
