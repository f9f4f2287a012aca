//! The inactive partition set: a node can be Staged and still refuse to activate.

use super::{
    STATUS, ask, connect, in_state, instant, post, read, request, run, start, until_closed,
};
use bottlerocket_simulator::Command::{self, Activate, Deactivate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::State::{Available, Ready, Staged};
use bottlerocket_simulator::{Ending, Options, Simulator, State};
use std::io::Write;

const NOT_VALID: &str = "Failed to mark the update for the next boot: Inactive partition \
                         /dev/nvme0n1 has not been marked valid for upgrade\n";
const ALREADY_MARKED: &str = "Failed to mark the update for the next boot: Inactive partition \
                              /dev/nvme0n1 is already marked for upgrade\n";

/// Runs a command through the API. Returns the state, the exit status and the text.
fn result(simulator: &Simulator, command: Command) -> (State, i32, String) {
    assert_eq!(post(simulator, command), (204, String::new()));
    simulator.look(|view| {
        let status = view.node.status().unwrap();
        let last = status.last_command.clone().unwrap();
        assert_eq!(last.command, command);
        (status.state, last.exit_status, last.stderr)
    })
}

fn end_next(simulator: &Simulator, command: Command, ending: Ending) {
    simulator.change(|node, _| node.end_next(command, ending));
}

fn running(simulator: &Simulator) -> String {
    simulator.look(|view| view.node.options.running.clone())
}

/// Each activate fails, a prepare succeeds, and after that an activate succeeds.
fn activate_fails_until_prepared(simulator: &Simulator, stderr: &str) {
    for command in [Activate, Refresh, Activate] {
        let expected = match command {
            Refresh => (Staged, 0, String::new()),
            _ => (Staged, 1, stderr.into()),
        };
        assert_eq!(result(simulator, command), expected);
    }
    assert_eq!(result(simulator, Prepare), (Staged, 0, String::new()));
    assert_eq!(result(simulator, Activate), (Ready, 0, String::new()));
    run(simulator, &[Reboot]);
    assert_eq!(running(simulator), "1.26.1");
}

#[test]
fn activate_fails_after_a_failed_second_prepare() {
    let simulator = in_state(Some(Staged));
    end_next(&simulator, Prepare, Ending::failed(1, "connection reset"));
    assert_eq!(result(&simulator, Prepare), (Staged, 1, "connection reset".into()));
    activate_fails_until_prepared(&simulator, NOT_VALID);
}

#[test]
fn activate_fails_after_a_prepare_that_wrote_nothing() {
    let simulator = in_state(Some(Available));
    end_next(&simulator, Prepare, Ending::no_update_required());
    assert_eq!(result(&simulator, Prepare), (Staged, 0, "No update required\n".into()));
    let staging = simulator.look(|view| view.node.status().unwrap().staging.clone().unwrap());
    assert_eq!((&*staging.image.version, staging.next_to_boot), ("1.26.1", false));
    activate_fails_until_prepared(&simulator, NOT_VALID);
}

#[test]
fn activate_fails_after_it_was_cut_off() {
    let simulator = in_state(Some(Staged));
    let before = ask(&simulator, "GET", STATUS);
    end_next(&simulator, Activate, Ending::cut_off());
    let mut stream = connect(&simulator);
    stream.write_all(request("POST", Activate.path(), "").as_bytes()).unwrap();
    let answer = b"HTTP/1.1 204 No Content\r\n";
    assert_eq!(read(&mut stream, answer.len()), answer);
    assert_eq!(simulator.look(|view| view.node.busy()), None);
    assert!(until_closed(&mut stream).ends_with("GMT\r\n\r\n"), "the connection breaks");
    assert_eq!(ask(&simulator, "GET", STATUS), before, "the status stays the same");
    activate_fails_until_prepared(&simulator, ALREADY_MARKED);
}

#[test]
fn node_boots_the_new_set_although_the_status_says_staged() {
    let simulator = in_state(Some(Staged));
    end_next(&simulator, Activate, Ending::cut_off());
    run(&simulator, &[Activate]);
    assert_eq!(super::state(&simulator), Some(Staged));
    run(&simulator, &[Reboot]);
    assert_eq!(running(&simulator), "1.26.1");
}

#[test]
fn prepare_after_a_cut_off_activate_unmarks_the_set() {
    let simulator = in_state(Some(Staged));
    end_next(&simulator, Activate, Ending::cut_off());
    run(&simulator, &[Activate, Prepare, Reboot]);
    assert_eq!(running(&simulator), "1.26.0");
}

#[test]
fn prepare_that_is_cut_off_writes_the_image_only() {
    let simulator = in_state(Some(Available));
    end_next(&simulator, Prepare, Ending::cut_off());
    run(&simulator, &[Prepare]);
    assert_eq!(super::state(&simulator), Some(Available));
    // A prepare that writes nothing is enough now.
    end_next(&simulator, Prepare, Ending::no_update_required());
    run(&simulator, &[Prepare]);
    assert_eq!(result(&simulator, Activate), (Ready, 0, String::new()));
}

#[test]
fn image_of_an_earlier_prepare_boots_if_the_next_one_wrote_nothing() {
    let simulator = in_state(Some(Staged));
    simulator.change(|node, _| node.options.offer.push("1.26.2".into()));
    end_next(&simulator, Prepare, Ending::no_update_required());
    run(&simulator, &[Refresh, Prepare, Activate]);
    let staging = simulator.look(|view| view.node.status().unwrap().staging.clone().unwrap());
    assert_eq!((&*staging.image.version, staging.next_to_boot), ("1.26.2", true));
    run(&simulator, &[Reboot]);
    assert_eq!(running(&simulator), "1.26.1");
}

#[test]
fn deactivated_set_can_be_activated_again() {
    let simulator = in_state(Some(Ready));
    run(&simulator, &[Deactivate]);
    assert_eq!(result(&simulator, Activate), (Ready, 0, String::new()));
}

#[test]
fn first_endings_apply_once_and_in_order() {
    let options = Options {
        first_endings: vec![
            (Prepare, Ending::failed(3, "first")),
            (Activate, Ending::failed(4, "another command")),
            (Prepare, Ending::no_update_required()),
        ],
        ..instant()
    };
    let simulator = start(options);
    run(&simulator, &[Refresh]);
    assert_eq!(result(&simulator, Prepare), (Available, 3, "first".into()));
    assert_eq!(result(&simulator, Prepare), (Staged, 0, "No update required\n".into()));
    assert_eq!(result(&simulator, Prepare), (Staged, 0, String::new()));
}
