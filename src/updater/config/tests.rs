extern crate std;
use super::*;
use std::string::ToString;
use std::{format, vec};

#[test]
fn a_duration_or_never() {
    for (text, duration, shown) in [
        ("24h", Some(Duration::from_secs(86_400)), "24h"),
        ("1s", Some(Duration::from_secs(1)), "1s"),
        ("90m", Some(Duration::from_secs(5_400)), "1h30m"),
        ("1ms", Some(Duration::from_millis(1)), "1ms"),
        ("never", None, "never"),
    ] {
        let mut setting = DurationOrNever(Some(Duration::MAX));
        assert_eq!(setting.set(text.as_bytes()), Ok(()), "{text}");
        assert_eq!(setting, DurationOrNever(duration), "{text}");
        assert_eq!(setting.to_string(), shown);
        let mut again = DurationOrNever(None);
        assert_eq!(again.set(shown.as_bytes()), Ok(()));
        assert_eq!(again, setting);
    }
    for text in ["", "0", "0s", "Never", "never ", " never", "nevermind", "-1h", "24", "1d", "off"]
    {
        let error = DurationOrNever(None).set(text.as_bytes());
        assert_eq!(error, Err("it takes a duration above zero, like 24h, or never"), "{text:?}");
    }
}

#[test]
fn an_address_to_listen_on() {
    for (text, address, port) in [
        (":8080", None, 8080),
        (":0", None, 0),
        (":65535", None, 65_535),
        (":08080", None, 8080),
        ("127.0.0.1:8080", Some("127.0.0.1"), 8080),
        ("0.0.0.0:1", Some("0.0.0.0"), 1),
        ("255.255.255.255:0", Some("255.255.255.255"), 0),
    ] {
        let mut listen = Listen::default();
        assert_eq!(listen.set(text.as_bytes()), Ok(()), "{text}");
        assert_eq!(listen.to_string(), text);
        assert_eq!(listen.address, address.map(|address| address.parse::<Ipv4Addr>().unwrap()));
        assert_eq!(listen.port, port, "{text}");
        assert_eq!(listen.text, text.as_bytes());
        // The last one counts.
        assert_eq!(listen.set(b"off"), Ok(()));
        assert_eq!((listen.to_string().as_str(), listen.text), ("off", &b""[..]));
        assert_eq!((listen.address, listen.port), (None, 0));
    }
    assert_eq!(Listen::default().to_string(), "off");
}

#[test]
fn no_address_to_listen_on() {
    let long = "1".repeat(100_000);
    let mut texts = vec![
        "",
        ":",
        "8080",
        "127.0.0.1",
        "127.0.0.1:",
        "localhost:8080",
        ":http",
        ":65536",
        ":-1",
        ":+1",
        ": 80",
        ":80 ",
        " :80",
        "127.0.0:80",
        "127.0.0.1.1:80",
        "127.0.0.256:80",
        "127.0.0.-1:80",
        "127..0.1:80",
        ".127.0.0.1:80",
        "127.0.0.1.:80",
        "1:2:80",
        "[::1]:80",
        "::1:80",
        "::",
        "OFF",
        "off:80",
        "a.b.c.d:80",
        "127.0.0.1:80:80",
        "*:80",
        "\u{661}:80",
    ];
    let colon = format!(":{long}");
    let dots = format!("{}:80", "1.".repeat(50_000));
    texts.extend([long.as_str(), &colon, &dots]);
    for text in texts {
        // What was set before does not stay behind the error either.
        let mut listen = Listen::default();
        listen.set(b":1").unwrap();
        let wanted = "it takes an address like :8080 or 127.0.0.1:8080, or off";
        assert_eq!(listen.set(text.as_bytes()), Err(wanted), "{text:?}");
        assert_eq!(listen.to_string(), "off");
    }
    assert!(Listen::default().set(b":\xff").is_err());
}

#[test]
fn windows_add_up() {
    let mut windows = Windows::new();
    let mut flag = WindowFlag { windows: &mut windows, texts: Vec::new() };
    assert_eq!(flag.to_string(), "");
    for text in ["Sat 1:00-2:00", "Sun 3:00-4:00;22:00-23:00"] {
        assert_eq!(flag.set(text.as_bytes()), Ok(()));
    }
    assert_eq!(flag.to_string(), "Sat 1:00-2:00; Sun 3:00-4:00;22:00-23:00");
    let error = flag.set(b"at night");
    assert_eq!(error, Err("not a day of the week; days are like Sat, Mon-Fri or Mon,Wed,Fri-Sun"));
    // As many as there is room for, and shown as they were written.
    for _ in 0..5 {
        assert_eq!(flag.set(b"1:00-2:00"), Ok(()));
    }
    assert_eq!(flag.set(b"1:00-2:00"), Err("more than 8 windows"));
    let shown = flag.to_string();
    let mut again = Windows::new();
    assert_eq!(again.add(shown.as_bytes()), Ok(()));
    assert_eq!(again, windows);
}
