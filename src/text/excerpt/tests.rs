//! Excerpts of texts of any length.

extern crate std;
use super::*;
use std::format;
use std::string::{String, ToString};

fn excerpt(text: &[u8]) -> String {
    let mut whole = Excerpt::default();
    whole.push_bytes(text);
    whole.to_string()
}

#[test]
fn text_becomes_one_readable_line() {
    for (text, shown) in [
        ("", ""),
        (" \n\t", ""),
        ("a reason", "a reason"),
        ("  a\r\n\tb\u{0}\u{7f}c\u{85}\u{2028}d \n", "a b c d"),
        ("Operation \"x\" \\ é ☃ 😀", "Operation \"x\" \\ é ☃ 😀"),
        ("\u{1b}[31mred\u{1b}[0m, \u{1b}[1;4munderlined\u{1b}[m", "red, underlined"),
        ("\u{1b}[31", ""),
        ("\u{1b}]0;title", "]0;title"),
        ("\u{1b}\u{1b}[1mx", "x"),
        ("\u{1b}[1\nx", "x"),
        ("abc\u{202e}def\u{200b}", "abc\u{fffd}def\u{fffd}"),
        ("\u{feff}a\u{61c}b\u{e0041}", "\u{fffd}a\u{fffd}b\u{fffd}"),
    ] {
        assert_eq!(excerpt(text.as_bytes()), shown, "{text:?}");
    }
}

#[test]
fn invalid_utf8_is_replaced() {
    for (text, shown) in [
        (b"a\xffb".as_slice(), "a\u{fffd}b"),
        (b"\xe2\x98x", "\u{fffd}x"),
        (b"\xe2\x98\xe2\x98\x83", "\u{fffd}\u{2603}"),
        (b"\x80\x80", "\u{fffd}\u{fffd}"),
        (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xf4\x90\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        (b"x\xf0\x9f", "x"),
    ] {
        assert_eq!(excerpt(text), shown, "{text:x?}");
    }
}

#[test]
fn long_text_keeps_both_ends() {
    let fits = "x".repeat(HEAD + TAIL);
    assert_eq!(excerpt(fits.as_bytes()), fits);

    let long = format!("{}{}{}", "a".repeat(HEAD), "b".repeat(150_000), "c".repeat(TAIL));
    let shown = format!("{} [150000 bytes left out] {}", "a".repeat(HEAD), "c".repeat(TAIL));
    assert_eq!(excerpt(long.as_bytes()), shown);
}

#[test]
fn characters_are_never_cut_in_two() {
    // The length of the head is not a multiple of three. That of the tail is,
    // but not with one or two bytes of padding.
    for pad in 0..3 {
        let text = format!("{}{}", "☃".repeat(1_000), "x".repeat(pad));
        let shown = excerpt(text.as_bytes());
        let number: usize =
            shown.split(['[', ' ']).filter_map(|word| word.parse().ok()).next().unwrap();
        let kept = shown.len() - format!(" [{number} bytes left out] ").len();
        assert_eq!(kept + number, text.len(), "{shown}");
        assert!(!shown.contains('\u{fffd}'));
    }
}

#[test]
fn any_bytes_in_any_pieces_become_one_plain_line() {
    let alphabet: [&[u8]; 16] = [
        b"x",
        b" ",
        b"\n",
        b"\0",
        b"\x1b",
        b"[",
        b"31;1",
        b"m",
        b"\xe2\x98\x83",
        b"\xe2\x98",
        b"\x80",
        b"\xf0\x9f\x98",
        "\u{202e}".as_bytes(),
        "\u{2028}".as_bytes(),
        b"\"\\",
        b"a longer word ",
    ];
    let mut numbers = crate::tests::Numbers(1);
    let mut cut = 0;
    for _ in 0..2_000 {
        let longest = *numbers.one_of(&[5, 50, 500]);
        let parts = numbers.below(longest);
        let bytes: std::vec::Vec<u8> =
            (0..parts).flat_map(|_| *numbers.one_of(&alphabet)).copied().collect();
        let shown = excerpt(&bytes);
        let mut pieces = Excerpt::default();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + numbers.below(rest.len() as u64) as usize);
            pieces.push_bytes(piece);
            rest = behind;
        }
        assert_eq!(pieces.to_string(), shown, "{bytes:x?}");
        assert_eq!(pieces.is_empty(), shown.is_empty(), "{bytes:x?}");
        assert!(is_plain(&shown) && !shown.starts_with(' '), "{shown:?}");
        let is_cut = shown.contains(" bytes left out] ");
        assert!(is_cut || shown.len() <= HEAD + TAIL, "{shown:?}");
        // A text that is plain is shown without any change.
        assert!(is_cut || excerpt(shown.as_bytes()) == shown, "{shown:?}");
        cut += u32::from(is_cut);
    }
    assert!((100..1_900).contains(&cut), "{cut}");
}
