//! The process: output streams and system calls.

use super::{GET, POST, READY, SOON, STEPS, printed};
use crate::common::{Directory, Node, RUN_MAX, full_pipe, redirected, run, run_into};
use std::process::{self, Stdio};
use std::{fs, io};

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
        // Kured waits for the checker, so the checker does not wait for a reader.
        let (_unread, full) = full_pipe();
        let mut command = node.program("checker");
        let ran = run_into(SOON, &mut command, full.try_clone().unwrap(), full);
        assert_eq!(ran.status, Some(status), "full pipe: {ran:?}");
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
    assert_eq!(ran, printed(0, READY));
    // The execve starts the program.
    let calls: Vec<&str> = calls.lines().filter(|line| !line.starts_with("+++")).collect();
    assert!(calls[0].starts_with("execve("), "{calls:#?}");
    assert!(calls.len() <= 14, "{calls:#?}");
}
