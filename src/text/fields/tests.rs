//! Hashes and fields.

extern crate std;
use super::*;
use heapless::Vec;
use std::format;
use std::string::ToString;
use std::vec::Vec as List;

/// The text, followed by the line with its checksum.
pub(crate) fn summed(text: &str) -> List<u8> {
    format!("{text}{SUM}{}\n", fnv1a(text.as_bytes())).into_bytes()
}

#[test]
fn fnv1a_matches_its_test_vectors() {
    // Test vectors by the authors of FNV.
    for (text, expected) in [
        ("", 0xcbf2_9ce4_8422_2325),
        ("a", 0xaf63_dc4c_8601_ec8c),
        ("foobar", 0x8594_4171_f739_67e8),
    ] {
        assert_eq!(fnv1a(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn fields_are_read_as_they_are_written() {
    let mut file = Vec::<u8, 128>::new();
    put_field(&mut file, "1.26.1");
    put_field(&mut file, "");
    put_field(&mut file, u64::MAX);
    assert_eq!(core::str::from_utf8(&file), Ok("1.26.1\t\t18446744073709551615\t"));
    let mut fields = Fields::new(core::str::from_utf8(&file).unwrap());
    assert_eq!(fields.text::<6>().unwrap(), "1.26.1");
    assert_eq!(fields.text::<6>().unwrap(), "");
    assert_eq!(fields.number(), Some(u64::MAX));
}

#[test]
fn fields_of_another_kind_are_refused() {
    for line in ["1.26.1\x1b[31m", "\u{202e}1", "seven b"] {
        assert_eq!(Fields::new(line).text::<6>(), None, "{line:?}");
    }
    for line in ["", "\t1", "-1", "+1", "1 ", "many", "18446744073709551616"] {
        assert_eq!(Fields::new(line).number(), None, "{line:?}");
    }
    let mut fields = Fields::new("1");
    assert_eq!(fields.number(), Some(1));
    assert_eq!((fields.number(), fields.text::<6>()), (None, None));
}

#[test]
fn sum_is_that_of_the_lines_before_it() {
    let mut file = Vec::<u8, 128>::new();
    put!(&mut file, "bottlerocket-updater 1\n");
    put_sum(&mut file);
    assert_eq!(file.to_vec(), summed("bottlerocket-updater 1\n"));
    let expected = "bottlerocket-updater 1\nsum 3849901367990969504\n".to_string();
    assert_eq!(file.to_vec(), expected.into_bytes());
}

#[test]
fn body_is_what_the_sum_is_of() {
    for text in ["", "a\n", "header 1\nfield\t\nfield\t\n"] {
        let file = summed(text);
        let expected = (!text.is_empty()).then_some(text);
        assert_eq!(body(&file), expected, "{text:?}");
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(body(&damaged), None, "{text:?} {at}");
            assert_eq!(body(&file[..at]), None, "{text:?} {at}");
        }
    }
    for file in [&b""[..], b"\n", b"\n\n", b"a\nsum x\n", b"a\nsum \n", b"\xff\n", b"sum 1\n"] {
        assert_eq!(body(file), None);
    }
}
