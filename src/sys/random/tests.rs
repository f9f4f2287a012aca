//! Random numbers.

use super::*;

#[test]
fn numbers_differ() {
    let numbers = [(); 3].map(|()| random(7));
    assert!(!numbers.contains(&7));
    assert_ne!(numbers[0], numbers[1]);
    assert_ne!(numbers[1], numbers[2]);
}
