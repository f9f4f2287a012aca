//! Deadlines on real timers.

extern crate std;
use super::*;
use crate::sys::tests::{HOUR, pair};
use rustix::fd::AsFd;
use std::time::Instant;

#[test]
fn a_point_in_time() {
    let (socket, peer) = pair();
    let ready = |deadline: &mut Deadline| deadline.wait(socket.as_fd(), PollFlags::IN);
    let millisecond = Duration::from_millis(1);

    let mut over = Deadline::after(Duration::ZERO).unwrap();
    assert_eq!(ready(&mut over), Ok(false));
    assert_eq!(over.remaining(), Duration::ZERO);
    assert!(!over.pause(HOUR));

    let mut soon = Deadline::after(millisecond).unwrap();
    assert_eq!(ready(&mut soon), Ok(false));

    rustix::io::write(&peer, b"x").unwrap();
    let mut later = Deadline::after(2 * HOUR + millisecond).unwrap();
    assert_eq!(ready(&mut later), Ok(true));
    assert!(later.pause(millisecond));
    let remaining = later.remaining();
    assert!(remaining > HOUR && remaining < 2 * HOUR + millisecond, "{remaining:?}");

    // As late as the kernel can do it.
    let never = Deadline::after(Duration::MAX).unwrap().remaining();
    assert!(never > 590_000 * HOUR, "{never:?}");
}

#[test]
fn a_pause_is_no_shorter() {
    let begin = Instant::now();
    let duration = Duration::from_millis(20);
    pause(duration);
    assert!(begin.elapsed() >= duration);
}
