//! Deadlines on the real clock.

extern crate std;
use super::*;
use crate::sys::tests::{HOUR, MILLISECOND, clock, pair};
use rustix::fd::AsFd;
use std::thread;

#[test]
fn wait_ends_at_the_deadline() {
    let (socket, _peer) = pair();
    for timeout in [Duration::ZERO, MILLISECOND, 20 * MILLISECOND] {
        let begun = clock();
        let mut deadline = Deadline::after(clock, timeout);
        assert_eq!(deadline.wait(socket.as_fd(), PollFlags::IN), Ok(false));
        assert!(clock() >= begun + timeout, "early");
        assert_eq!(deadline.remaining(), Duration::ZERO);
    }
}

#[test]
fn deadline_that_has_passed_wins_over_a_ready_socket() {
    let (socket, peer) = pair();
    rustix::io::write(&peer, b"x").unwrap();
    let mut passed = Deadline::at(clock, clock());
    assert_eq!(passed.wait(socket.as_fd(), PollFlags::IN), Ok(false));
    assert_eq!(passed.pause(HOUR), Ok(false));
}

#[test]
fn wait_ends_when_the_socket_is_ready() {
    let (socket, peer) = pair();
    rustix::io::write(&peer, b"x").unwrap();
    let mut deadline = Deadline::after(clock, HOUR);
    assert_eq!(deadline.wait(socket.as_fd(), PollFlags::IN), Ok(true));
    let remaining = deadline.remaining();
    assert!(remaining > HOUR / 2 && remaining <= HOUR, "{remaining:?}");
}

/// The kernel has a maximum, which is shorter than that of a `Duration`.
#[test]
fn the_longest_deadline_is_waited_for() {
    let (socket, peer) = pair();
    let writer = thread::spawn(move || {
        thread::sleep(20 * MILLISECOND);
        rustix::io::write(&peer, b"x").unwrap();
        peer
    });
    let mut never = Deadline::after(clock, Duration::MAX);
    assert_eq!(never.wait(socket.as_fd(), PollFlags::IN), Ok(true));
    writer.join().unwrap();
}

#[test]
fn pause_takes_its_time_but_not_past_the_deadline() {
    let mut deadline = Deadline::after(clock, HOUR);
    let begun = clock();
    assert_eq!(deadline.pause(20 * MILLISECOND), Ok(true));
    assert!(clock() >= begun + 20 * MILLISECOND, "early");

    let mut deadline = Deadline::after(clock, 20 * MILLISECOND);
    assert_eq!(deadline.pause(HOUR), Ok(false));
    assert_eq!(deadline.remaining(), Duration::ZERO);
}

#[test]
fn sleep_until_is_never_early() {
    let time = clock() + 20 * MILLISECOND;
    let woken = sleep_until(clock, time).unwrap();
    assert!(woken >= time && clock() >= woken, "early: {woken:?}");
    assert!(sleep_until(clock, time - MILLISECOND).unwrap() >= woken);
}

#[test]
fn pause_without_a_deadline_takes_its_time() {
    let begun = clock();
    pause(20 * MILLISECOND);
    assert!(clock() >= begun + 20 * MILLISECOND, "early");
}
