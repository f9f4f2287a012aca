//! When a call is repeated.

extern crate std;
use super::*;
use std::vec::Vec;

const MILLISECOND: Duration = Duration::from_millis(1);

/// The times of the tries in milliseconds, if each is answered with 423 at
/// once. The first is at 0.
fn tries(timeout: u32) -> Vec<u128> {
    let (mut retry, mut now) = (Retry::FIRST, Duration::ZERO);
    let mut tries = Vec::from([0]);
    while let Some(pause) = retry.next_pause(timeout * MILLISECOND - now) {
        now += pause;
        tries.push(now.as_millis());
    }
    tries
}

#[test]
fn pauses_double_up_to_two_seconds() {
    assert_eq!(tries(9_000)[..8], [0, 100, 300, 700, 1_500, 3_100, 5_100, 7_100]);
}

#[test]
fn the_last_try_is_just_before_the_deadline() {
    for timeout in [1, 100, 101, 199, 200, 201, 1_000, 3_000, 9_000, 9_150] {
        let tries = tries(timeout);
        let last = timeout.saturating_sub(100).into();
        assert_eq!(tries.last(), Some(&last), "{timeout} ms: {tries:?}");
    }
}

#[test]
fn only_a_try_close_to_the_deadline_is_the_last() {
    assert!(Retry::is_last(Duration::ZERO));
    assert!(Retry::is_last(100 * MILLISECOND));
    assert!(!Retry::is_last(101 * MILLISECOND));
}
