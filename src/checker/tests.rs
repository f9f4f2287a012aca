//! The decisions of the checker and their texts.

extern crate std;
use super::*;
use crate::api::Refusal;
use crate::api::status::{Image, LastCommand};
use crate::text::excerpt::Excerpt;
use rustix::io::Errno;
use std::format;
use std::string::ToString;

#[test]
fn defaults() {
    let Options { socket, timeout, staged, refresh, .. } = Options::default();
    assert_eq!((socket, timeout), (c"/run/api.sock", Positive::seconds(10)));
    assert_eq!((staged, refresh), (false, false));
}

#[test]
fn only_ready_is_a_yes() {
    let running = Some(Image { version: "1.26.0", variant: "aws-k8s-1.30", arch: "x86_64" });
    let staged = Some(Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" });
    let status = |state| Status {
        state,
        running,
        chosen: staged,
        staged,
        offered: None,
        last_command: None,
    };
    let reason = Excerpt::default();
    let refusal = Refusal { code: 409, reason: &reason };
    let image = "running 1.26.0, variant aws-k8s-1.30, arch x86_64";
    for (answer, exit_status, text) in [
        (
            Ok(Answer::Status(status(State::Ready))),
            0,
            "yes: state Ready, the next boot starts 1.26.1; ",
        ),
        (
            Ok(Answer::Status(Status { chosen: None, ..status(State::Ready) })),
            1,
            "no: state Ready, the next boot starts 1.26.1, but no update is chosen; ",
        ),
        (
            Ok(Answer::Status(Status { chosen: running, ..status(State::Ready) })),
            1,
            "no: state Ready, the next boot starts 1.26.1, but 1.26.0 is chosen; ",
        ),
        (
            Ok(Answer::Status(Status { staged: None, ..status(State::Ready) })),
            0,
            "yes: state Ready, the next boot starts an unknown version; ",
        ),
        (
            Ok(Answer::Status(status(State::Staged))),
            1,
            "no: state Staged, 1.26.1 is prepared but not activated; ",
        ),
        (
            Ok(Answer::Status(status(State::Available))),
            1,
            "no: state Available, 1.26.1 is chosen but not prepared; ",
        ),
        (
            Ok(Answer::Status(status(State::Idle))),
            1,
            "no: state Idle, 1.26.1 is chosen but not prepared; ",
        ),
        (Ok(Answer::Uninitialized), 1, "no: no refresh since the node booted"),
        (Ok(Answer::Busy), 1, "no: update lock held for 10s"),
        (Ok(Answer::Started), 1, "no: update lock held for 10s"),
        (Ok(Answer::NotAllowed(refusal)), 1, "no: update lock held for 10s"),
        (
            Err(CallError::Connect(Errno::ACCESS)),
            3,
            "cannot read the update status from /run/api.sock: ",
        ),
    ] {
        let decision = Decision::new(answer, &Options::default());
        let shown = decision.to_string();
        assert_eq!(decision.exit_status(), exit_status, "{shown}");
        match shown.strip_prefix(text).unwrap() {
            "" => assert!(!text.ends_with(' ')),
            rest if exit_status == 3 => assert!(rest.contains("permission denied"), "{shown}"),
            rest => assert_eq!(rest, image),
        }
    }
}

#[test]
fn with_staged_a_staged_update_is_a_yes_unless_it_cannot_be_activated() {
    let image = |version| Some(Image { version, variant: "aws-k8s-1.30", arch: "x86_64" });
    let stderr = Excerpt::default();
    let options = Options { staged: true, ..Options::default() };
    let staged = "state Staged, 1.26.1 is prepared but not activated; ";
    for (state, chosen, command, exit_status, text) in [
        (State::Staged, "1.26.1", "prepare Success", 0, format!("yes: {staged}")),
        (State::Staged, "1.26.1", "refresh Success", 0, format!("yes: {staged}")),
        (State::Staged, "1.26.1", "deactivate Success", 0, format!("yes: {staged}")),
        (
            State::Staged,
            "1.26.1",
            "activate Failed",
            1,
            format!(
                "no: the last activate has failed, so the update must be prepared again: {staged}"
            ),
        ),
        (
            State::Staged,
            "1.26.1",
            "prepare Failed",
            1,
            format!(
                "no: the last prepare has failed, so the update must be prepared again: {staged}"
            ),
        ),
        (State::Staged, "", "prepare Success", 1, "no: state Staged, no update chosen; ".into()),
        (
            State::Staged,
            "1.26.2",
            "prepare Success",
            1,
            "no: state Staged, 1.26.2 is chosen but not prepared; ".into(),
        ),
        (
            State::Ready,
            "1.26.1",
            "activate Success",
            0,
            "yes: state Ready, the next boot starts 1.26.1; ".into(),
        ),
        (
            State::Available,
            "1.26.1",
            "activate Failed",
            1,
            "no: state Available, 1.26.1 is chosen but not prepared; ".into(),
        ),
    ] {
        let (name, outcome) = command.split_once(' ').unwrap();
        let last = LastCommand { name, outcome, timestamp: "", exit_status: "", stderr: &stderr };
        let status = Status {
            state,
            running: image("1.26.0"),
            chosen: image(chosen).filter(|_| !chosen.is_empty()),
            staged: image("1.26.1"),
            offered: None,
            last_command: Some(last),
        };
        let decision = Decision::new(Ok(Answer::Status(status)), &options);
        assert_eq!(decision.exit_status(), exit_status, "{command}");
        assert!(decision.to_string().starts_with(&text), "{decision}");
    }
}
