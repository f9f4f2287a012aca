//! Which values flags take.

extern crate std;
use super::*;
use std::string::{String, ToString};

fn text(value: &impl Show) -> String {
    let mut buffer = heapless::Vec::<u8, 1024>::new();
    value.show(&mut buffer);
    String::from_utf8(buffer.to_vec()).unwrap()
}

/// A C string with this text, for as long as the tests run.
fn leak(text: &str) -> &'static CStr {
    std::boxed::Box::leak(std::ffi::CString::new(text).unwrap().into_boxed_c_str())
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

#[test]
fn duration_or_never() {
    for (text, duration, shown) in [
        ("24h", Some(Duration::from_secs(86_400)), "24h"),
        ("1s", Some(Duration::from_secs(1)), "1s"),
        ("90m", Some(Duration::from_secs(5_400)), "1h30m"),
        ("1ms", Some(Duration::from_millis(1)), "1ms"),
        ("never", None, "never"),
    ] {
        let mut setting = DurationOrNever(Some(Duration::MAX));
        assert_eq!(setting.set(leak(text)), Ok(()), "{text}");
        assert_eq!(setting, DurationOrNever(duration), "{text}");
        assert_eq!(setting.to_string(), shown);
        let mut again = DurationOrNever(None);
        assert_eq!(again.set(leak(shown)), Ok(()));
        assert_eq!(again, setting);
    }
    for text in ["", "0", "0s", "Never", "never ", " never", "nevermind", "-1h", "24", "1d", "off"]
    {
        let error = DurationOrNever(None).set(leak(text));
        assert_eq!(error, Err("it takes a duration above zero, like 24h, or never"), "{text:?}");
    }
}

#[test]
fn boot_attempts_are_a_small_number() {
    let mut attempts = BootAttempts(7);
    for (value, number) in [(c"1", 1), (c"2", 2), (c"100", 100)] {
        assert_eq!(attempts.set(value), Ok(()));
        assert_eq!(attempts, BootAttempts(number));
        assert_eq!(text(&attempts), value.to_str().unwrap());
    }
    for value in [c"0", c"-1", c"101", c"two", c"", c"1.5"] {
        assert_eq!(BootAttempts(1).set(value), Err("it takes a number from 1 to 100"));
    }
}
