//! Tests of the updater's flags and of what they set.

extern crate std;
use super::*;
use crate::cli::flags::Source;
use crate::text::duration::HumanDuration;
use std::boxed::Box;
use std::ffi::CString;
use std::string::{String, ToString};
use std::{format, vec};

/// A text that lives as long as the process, as arguments do.
fn leak(text: &str) -> &'static CStr {
    Box::leak(CString::new(text).unwrap().into_boxed_c_str())
}

fn leak_all(texts: &[&str]) -> impl Iterator<Item = &'static CStr> {
    texts.iter().map(|text| leak(text)).collect::<vec::Vec<_>>().into_iter()
}

/// The options after these arguments in this environment, with what the command
/// line asks for.
fn read(
    arguments: &[&str],
    environment: &[&str],
) -> (Options<'static>, Result<Invocation, String>) {
    let mut options = Options::default();
    let invocation = options.read(leak_all(arguments), leak_all(environment));
    (options, invocation.map_err(|error| error.to_string()))
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn defaults() {
    let (options, invocation) = read(&[], &[]);
    assert_eq!(invocation, Ok(Invocation::Run));
    assert_eq!(options.socket, c"/run/api.sock");
    assert_eq!(options.state_dir, c"");
    assert_eq!(options.boot_id, c"/proc/sys/kernel/random/boot_id");
    assert_eq!(options.retry_failed_boot, DurationOrNever(Some(minutes(24 * 60))));
    assert_eq!(options.metrics_address.text, b"");
    assert_eq!((options.log_format, options.log_level), (Format::Logfmt, Level::Info));
    assert!(!options.print_config);

    let schedule = options.schedule();
    assert!(!schedule.once);
    assert_eq!((schedule.interval, schedule.jitter), (minutes(10), minutes(1)));
    assert_eq!(schedule.give_up, minutes(5));

    let settings = options.settings();
    assert_eq!(settings.timeouts, [minutes(1), minutes(30), minutes(1), minutes(1)]);
    assert_eq!((settings.refresh_ready, settings.stage_only), (true, false));
    assert_eq!(settings.windows, Windows::new());
}

#[test]
fn soak_without_a_state_directory_is_refused() {
    let expected = Err("flag -soak needs flag -state-dir: the file there has the time at which a \
                        version was first on offer"
        .into());
    let variable = "BOTTLEROCKET_UPDATER_SOAK=72h";
    for (arguments, environment) in [(&["-soak=72h"][..], &[][..]), (&["-one-time"], &[variable])] {
        assert_eq!(read(arguments, environment).1, expected, "{arguments:?}");
    }
    for arguments in
        [&["-soak=72h", "-state-dir=/state"][..], &["-soak=0s"], &["-soak=72h", "-print-config"]]
    {
        assert_eq!(read(arguments, &[]).1, Ok(Invocation::Run), "{arguments:?}");
    }
    let (options, _) = read(&["-soak=72h", "-state-dir=/state"], &[]);
    assert_eq!(options.soak, minutes(72 * 60));
}

#[test]
fn list_of_flags_has_each_value_in_force() {
    let (mut options, _) = read(&["-interval=20m", "-window=Sat 1:00-2:00"], &[]);
    let list = options.in_force();
    assert!(list.starts_with("-socket=/run/api.sock -one-time=false -interval=20m "), "{list}");
    for flag in [" -jitter=1m ", " -window=Sat 1:00-2:00 ", " -metrics-address=off "] {
        assert!(list.contains(flag), "{list}");
    }
    assert!(list.ends_with(" -print-config=false"), "{list}");
    let names = list.split(" -").count();
    assert_eq!(names, Options::ROWS.len(), "{list}");

    // Of a list that is too long, the end is left out.
    let long =
        ["-socket", "-state-dir", "-boot-id"].map(|flag| format!("{flag}=/{}", "x".repeat(400)));
    let (mut options, _) = read(&long.each_ref().map(String::as_str), &[]);
    let list = options.in_force();
    assert!(list.ends_with(" ...") && list.len() <= FLAGS_MAX, "{list}");
}

#[test]
fn each_flag_reaches_the_daemon() {
    let (options, invocation) = read(
        &[
            "-one-time",
            "-interval=20m",
            "-jitter=0",
            "-window=Sat 1:00-2:00",
            "-stage-only",
            "-refresh-ready=false",
            "-give-up=0",
            "-refresh-timeout=1s",
            "-prepare-timeout=2s",
            "-activate-timeout=3s",
            "-deactivate-timeout=4s",
        ],
        &[],
    );
    assert_eq!(invocation, Ok(Invocation::Run));
    let schedule = options.schedule();
    assert!(schedule.once);
    assert_eq!((schedule.interval, schedule.jitter), (minutes(20), Duration::ZERO));
    assert_eq!(schedule.give_up, Duration::ZERO);
    let settings = options.settings();
    assert_eq!(settings.timeouts, [1, 2, 3, 4].map(Duration::from_secs));
    assert_eq!((settings.refresh_ready, settings.stage_only), (false, true));
    let mut windows = Windows::new();
    windows.add(b"Sat 1:00-2:00").unwrap();
    assert_eq!(settings.windows, windows);
}

#[test]
fn interval_is_at_least_ten_seconds_except_in_tests() {
    let (options, invocation) = read(&["-interval=10s"], &[]);
    assert_eq!(invocation, Ok(Invocation::Run));
    assert_eq!(options.schedule().interval, Duration::from_secs(10));
    for short in ["9s999ms", "1ms", "0s"] {
        let (_, invocation) = read(&["-interval", short], &[]);
        let error = invocation.unwrap_err();
        assert!(
            error.ends_with("it takes a duration of at least 10s, like 10m or 1h30m"),
            "{error}"
        );
    }
    // The flag of the tests wins, and the default jitter follows it.
    let (options, invocation) = read(&["-interval=1h", "-test-interval=50ms"], &[]);
    assert_eq!(invocation, Ok(Invocation::Run));
    let schedule = options.schedule();
    assert_eq!(
        (schedule.interval, schedule.jitter),
        (Duration::from_millis(50), Duration::from_millis(5))
    );
    assert!(read(&["-test-interval=0s"], &[]).1.is_err());
}

#[test]
fn default_jitter_is_a_tenth_of_the_interval_and_at_most_a_minute() {
    for (interval, jitter) in [
        ("1ms", "0s"),
        ("50ms", "5ms"),
        ("30s", "3s"),
        ("10m", "1m"),
        ("20m", "1m"),
        ("10h", "1m"),
        ("18446744073709551615ms", "1m"),
    ] {
        let (options, _) = read(&["-test-interval", interval], &[]);
        assert_eq!(options.jitter.to_string(), jitter, "{interval}");
        assert_eq!(options.schedule().jitter.is_zero(), jitter == "0s", "{interval}");
        let (options, _) = read(&[], &[&format!("BOTTLEROCKET_UPDATER_TEST_INTERVAL={interval}")]);
        assert_eq!(options.jitter.to_string(), jitter, "{interval}");
        // A jitter that is set does not depend on the interval.
        for jitter in ["0s", "7s", "2h"] {
            let (options, _) = read(&["-test-interval", interval, "-jitter", jitter], &[]);
            assert_eq!(options.jitter.to_string(), jitter, "{interval}");
            let variable = format!("BOTTLEROCKET_UPDATER_JITTER={jitter}");
            let (options, _) = read(&["-test-interval", interval], &[&variable]);
            assert_eq!(options.jitter.to_string(), jitter, "{interval}");
        }
    }
    assert_eq!(HumanDuration(JITTER_MAX).to_string(), "1m", "the help says so");
}

#[test]
fn default_jitter_has_the_source_default() {
    let (mut options, _) = read(&["-interval=30s"], &[]);
    let mut shown = String::new();
    flags::for_each(&mut options, |flag| {
        if flag.name == "jitter" {
            assert_eq!(*flag.source, Source::Default);
            shown = flag.to_string();
        }
    });
    assert_eq!(shown, "-jitter=3s (default)");
}

#[test]
fn environment_is_read_only_for_a_run() {
    let wrong = ["BOTTLEROCKET_UPDATER_INTERVAL=often"];
    for (arguments, invocation) in [
        (&["-h"][..], Ok(Invocation::Help)),
        (&["-version"], Ok(Invocation::Version)),
        (&["-interval=1m"], Ok(Invocation::Run)),
        (
            &[],
            Err("bad value \"often\" in the environment for flag -interval: \
                 it takes a duration of at least 10s, like 10m or 1h30m"),
        ),
        (&["-nonsense"], Err("unknown flag \"-nonsense\"")),
    ] {
        let invocation = invocation.map_err(String::from);
        assert_eq!(read(arguments, &wrong).1, invocation, "{arguments:?}");
    }
}

#[test]
fn single_cycle_serves_no_metrics() {
    for (arguments, text) in [
        (&[][..], None),
        (&["-metrics-address=off"], None),
        (&["-metrics-address=:8080"], Some(":8080")),
        (&["-metrics-address=:8080", "-one-time"], None),
    ] {
        let (options, _) = read(arguments, &[]);
        let shown = options.listen().map(|listen| listen.to_string());
        assert_eq!(shown.as_deref(), text, "{arguments:?}");
    }
}

#[test]
fn help_names_a_variable_that_exists() {
    let variable = format!("{ENVIRONMENT_PREFIX}LOG_LEVEL");
    assert!(HELP.notes.iter().any(|note| note.contains(&format!("{variable} sets -log-level"))));
    let (options, _) = read(&[], &[&format!("{variable}=debug")]);
    assert_eq!(options.log_level, Level::Debug);
}

#[test]
fn words_of_the_log_flags() {
    let mut format = Format::Logfmt;
    for word in ["json", "logfmt"] {
        assert_eq!(format.set(leak(word)), Ok(()));
        assert_eq!(format.to_string(), word);
    }
    let mut level = Level::Info;
    for word in ["error", "debug", "info"] {
        assert_eq!(level.set(leak(word)), Ok(()));
        assert_eq!(level.to_string(), word);
    }
    for word in ["", "xml", "INFO", "inf", "warn", "error "] {
        assert_eq!(format.set(leak(word)), Err("it takes logfmt or json"));
        assert_eq!(level.set(leak(word)), Err("it takes error, info or debug"));
    }
}

#[test]
fn addresses_to_listen_on() {
    for (text, address, port) in [
        (":8080", None, 8080),
        (":0", None, 0),
        (":65535", None, 65_535),
        (":08080", None, 8080),
        ("127.0.0.1:8080", Some("127.0.0.1"), 8080),
        ("0.0.0.0:1", Some("0.0.0.0"), 1),
        ("255.255.255.255:0", Some("255.255.255.255"), 0),
        ("[::1]:8080", Some("::1"), 8080),
        ("[::]:9100", Some("::"), 9100),
        ("[2001:db8::8:800:200c:417a]:1", Some("2001:db8::8:800:200c:417a"), 1),
        ("[1:2:3:4:5:6:7:8]:1", Some("1:2:3:4:5:6:7:8"), 1),
        ("[1::8]:1", Some("1::8"), 1),
        ("[1:2:3:4:5:6:7::]:1", Some("1:2:3:4:5:6:7:0"), 1),
        ("[::2:3:4:5:6:7:8]:1", Some("0:2:3:4:5:6:7:8"), 1),
        ("[ABCD:ef01::]:1", Some("abcd:ef01::"), 1),
    ] {
        let mut listen = Listen::OFF;
        assert_eq!(listen.set(leak(text)), Ok(()), "{text}");
        assert_eq!(listen.to_string(), text);
        assert_eq!(listen.address, address.map(|address| address.parse::<IpAddr>().unwrap()));
        assert_eq!(listen.port, port, "{text}");
        assert_eq!(listen.text, text.as_bytes());
        // The last value counts.
        assert_eq!(listen.set(c"off"), Ok(()));
        assert_eq!((listen.to_string().as_str(), listen.text), ("off", &b""[..]));
        assert_eq!((listen.address, listen.port), (None, 0));
    }
    assert_eq!(Listen::OFF.to_string(), "off");
}

#[test]
fn other_texts_are_no_addresses() {
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
        "::1:80",
        "[::1]80",
        "[::1:80",
        "[]:80",
        "[::1]]:80",
        "[127.0.0.1]:80",
        "[fe80::1%eth0]:80",
        "[::1::]:80",
        "[12345::]:80",
        "[1::2::3]:80",
        "[:::]:80",
        "[:1::]:80",
        "[1:2:3:4:5:6:7]:80",
        "[1:2:3:4:5:6:7:8:9]:80",
        "[1:2:3:4::5:6:7:8]:80",
        "[::ffff:192.0.2.1]:80",
        "[g::]:80",
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
        // An error also clears the address that was set before.
        let mut listen = Listen::OFF;
        listen.set(c":1").unwrap();
        let wanted = "it takes an address like :8080, 127.0.0.1:8080 or [::1]:8080, or off";
        assert_eq!(listen.set(leak(text)), Err(wanted), "{text:?}");
        assert_eq!(listen.to_string(), "off");
    }
    let mut listen = Listen::OFF;
    assert!(listen.set(c":\xff").is_err());
}

#[test]
fn window_flag_collects_windows() {
    let mut flag = WindowFlag::NONE;
    assert_eq!(flag.to_string(), "always");
    for text in ["Sat 1:00-2:00", "Sun 3:00-4:00;22:00-23:00"] {
        assert_eq!(flag.set(leak(text)), Ok(()));
    }
    assert_eq!(flag.to_string(), "Sat 1:00-2:00; Sun 3:00-4:00;22:00-23:00");
    let error = flag.set(c"at night");
    assert_eq!(error, Err("not a day of the week; days are like Sat, Mon-Fri or Mon,Wed,Fri-Sun"));
    // There is room for eight windows; they are shown as they were written.
    for _ in 0..5 {
        assert_eq!(flag.set(c"1:00-2:00"), Ok(()));
    }
    assert_eq!(flag.set(c"1:00-2:00"), Err("more than 8 windows"));
    let shown = flag.to_string();
    let mut again = Windows::new();
    assert_eq!(again.add(shown.as_bytes()), Ok(()));
    assert_eq!(again, flag.windows);
    // With always, those before it are forgotten; those behind it count.
    assert_eq!(flag.set(c"always"), Ok(()));
    assert_eq!((flag.to_string(), flag.windows.is_empty()), ("always".into(), true));
    assert_eq!(flag.set(c"1:00-2:00"), Ok(()));
    assert_eq!(flag.to_string(), "1:00-2:00");
    for text in [c"Always", c"always;1:00-2:00", c"1:00-2:00;always"] {
        assert!(flag.set(text).is_err(), "{text:?}");
    }
}

#[test]
fn time_zone_flag_takes_a_name_or_a_rule() {
    let mut flag = TimeZoneFlag::UTC;
    assert_eq!(flag.to_string(), "UTC");
    for text in ["Europe/Prague", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0330>-3:30", "UTC"] {
        assert_eq!(flag.set(leak(text)), Ok(()));
        assert_eq!(flag.to_string(), text);
        assert_eq!(Some(flag.zone), TimeZone::parse(text.as_bytes()));
    }
    let expected = "it takes a name of the IANA database like Europe/Prague, or a POSIX rule like \
                    CET-1CEST,M3.5.0,M10.5.0/3";
    for text in ["Europe/Praha", "CEST", "+01:00"] {
        assert_eq!(flag.set(leak(text)), Err(expected), "{text}");
        assert_eq!(flag.to_string(), "UTC");
    }
}
