//! Any text as a duration: it is read as a simple model reads it, and the shown form
//! of a duration is read as the same duration.
#![no_main]

use bottlerocket_updater::text::duration::{HumanDuration, parse, whole_number};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|text: &[u8]| {
    let duration = parse(text);
    assert_eq!(duration, model(text));
    if let Some(duration) = duration {
        round_trip(duration);
    }
    let digits = std::str::from_utf8(text).ok();
    let number = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(whole_number(text), number.and_then(|digits| digits.parse().ok()));

    let mut any = [0; 12];
    any.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    let [a, b, c, d, e, f, g, h, nanos @ ..] = any;
    let seconds = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let nanos = u32::from_le_bytes(nanos) % 1_000_000_000;
    round_trip(Duration::new(seconds / 1_000, nanos));
    round_trip(Duration::new(seconds % 100_000, nanos));
});

fn round_trip(duration: Duration) {
    let shown = HumanDuration(duration).to_string();
    let read = parse(shown.as_bytes()).unwrap_or_else(|| panic!("{shown}"));
    // Milliseconds are not shown from ten seconds on.
    let unit = if duration < Duration::from_secs(10) { 1 } else { 1_000 };
    assert_eq!(read.as_millis(), duration.as_millis() / unit * unit, "{shown}");
    assert!(!shown.contains(' ') && shown.len() <= 24, "{shown}");
}

fn model(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?;
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut millis = 0u128;
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        if !number.is_empty()
            && let Some(behind) = behind.strip_prefix(unit)
            && !(unit == "m" && behind.starts_with('s'))
        {
            let number: u64 = number.parse().ok()?;
            millis += u128::from(number) * length;
            rest = behind;
        }
    }
    if text.is_empty() || !rest.is_empty() {
        return None;
    }
    Some(Duration::from_millis(millis.try_into().ok()?))
}
