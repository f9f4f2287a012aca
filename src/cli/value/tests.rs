//! Which values flags take.

extern crate std;
use super::*;
use std::string::{String, ToString};

fn text(value: &impl Show) -> String {
    let mut buffer = heapless::Vec::<u8, 1024>::new();
    value.show(&mut buffer);
    String::from_utf8(buffer.to_vec()).unwrap()
}

#[test]
fn path_is_any_text() {
    let mut path = c"/default";
    assert_eq!(path.set(c"a path\n"), Ok(()));
    assert_eq!((path, text(&path)), (c"a path\n", "a path".to_string()));
    assert!(!path.is_switch());
}

#[test]
fn switch_is_true_or_false() {
    let mut switch = false;
    for (word, value) in [(c"true", true), (c"false", false)] {
        assert_eq!(switch.set(word), Ok(()));
        assert_eq!((switch, text(&switch)), (value, word.to_str().unwrap().to_string()));
    }
    for word in [c"True", c"1", c"yes", c"", c"true "] {
        assert_eq!(switch.set(word), Err("it takes false or true"), "{word:?}");
    }
    assert!(switch.is_switch());
}

#[test]
fn durations_are_shown_as_they_are_set() {
    let mut duration = Duration::MAX;
    let mut positive = Positive::seconds(1);
    for (word, millis, shown) in [
        (c"0", 0, "0s"),
        (c"1ms", 1, "1ms"),
        (c"90s", 90_000, "1m30s"),
        (c"24h", 86_400_000, "24h"),
    ] {
        let expected = Duration::from_millis(millis);
        assert_eq!(duration.set(word), Ok(()));
        assert_eq!((duration, text(&duration)), (expected, shown.to_string()));
        if millis > 0 {
            assert_eq!(positive.set(word), Ok(()));
            assert_eq!((positive, positive.to_string()), (Positive(expected), shown.to_string()));
        }
    }
    assert_eq!(Positive::seconds(60), Positive(Duration::from_secs(60)));
}

#[test]
fn other_texts_are_no_durations() {
    let mut duration = Duration::ZERO;
    let mut positive = Positive::seconds(1);
    for word in [c"", c"10", c"-1s", c"soon", c"1d"] {
        let error = "it takes a duration like 90s, 10m or 1h30m";
        assert_eq!(duration.set(word), Err(error), "{word:?}");
        let error = "it takes a duration above zero, like 90s, 10m or 1h30m";
        assert_eq!(positive.set(word), Err(error), "{word:?}");
        assert_eq!(positive.set(c"0s"), Err(error));
    }
}
