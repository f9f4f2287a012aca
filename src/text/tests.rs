//! Texts in buffers.

extern crate std;
use super::*;
use std::string::ToString;

#[test]
fn numbers_are_shown_in_decimal_digits() {
    for number in [0, 1, 9, 10, 42, 100, 1_234_567_890, u64::MAX - 1, u64::MAX] {
        let mut buffer = Vec::<u8, 20>::new();
        number.show(&mut buffer);
        assert_eq!(buffer, number.to_string().as_bytes());
    }
}

#[test]
fn numbers_below_zero_have_a_minus() {
    for number in [0, 1, -1, -34_200, i64::MAX, i64::MIN] {
        let mut buffer = Vec::<u8, 20>::new();
        number.show(&mut buffer);
        assert_eq!(buffer, number.to_string().as_bytes());
    }
}

#[test]
fn put_writes_each_value_in_turn() {
    let mut buffer = Vec::<u8, 64>::new();
    put!(&mut buffer, "text ", 1u8, " ", 2u16, " ", 3u32, " ", 4u64, " ", 5usize, " ", &&"end");
    assert_eq!(buffer, b"text 1 2 3 4 5 end");
}

#[test]
fn put_leaves_out_a_value_without_room() {
    let mut buffer = Vec::<u8, 4>::new();
    put!(&mut buffer, "abc", "de", 1u8);
    assert_eq!(buffer, b"abc1");
}
