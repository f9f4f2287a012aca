//! The configuration file.

use super::fresh;
use bottlerocket_simulator::config::{self, Watch};
use bottlerocket_simulator::{Command, Ending, Options};
use std::fs;
use std::time::Duration;

#[test]
fn each_line_is_an_option_and_lists_replace_those_of_the_command_line() {
    let base = Options {
        no_boot: vec!["1.0.0".into()],
        endings: vec![(Command::Refresh, Ending::junk())],
        variant: "metal-dev".into(),
        prepare_time: Duration::from_secs(9),
        ..Options::default()
    };
    let text = "# What the nodes can update to.\n\noffer 1.26.1\n  offer   1.27.0 \nno-boot 1.27.0\n\
                version-lock v1.26.1\nmax-version 1.27.0\nno-in-place-updates\n\
                fail prepare=1:disk full\nboot-time 2s\nshutdown-time 1s\n";
    let expected = Options {
        offer: vec!["1.26.1".into(), "1.27.0".into()],
        no_boot: vec!["1.27.0".into()],
        version_lock: "v1.26.1".into(),
        max_version: Some("1.27.0".into()),
        in_place_updates: false,
        endings: vec![(Command::Prepare, Ending::failed(1, "disk full"))],
        boot_time: Duration::from_secs(2),
        shutdown_time: Duration::from_secs(1),
        ..base.clone()
    };
    assert_eq!(config::parse(text, &base), Ok(expected));

    let empty = Options { offer: vec![], no_boot: vec![], endings: vec![], ..base.clone() };
    assert_eq!(config::parse("", &base), Ok(empty));
}

#[test]
fn each_wrong_line_is_named() {
    for (text, expected) in [
        ("offer 1\noffr 2", "line 2, \"offr 2\": invalid option '--offr'"),
        ("offer", "line 1, \"offer\": missing argument for option '--offer'"),
        (
            "no-in-place-updates no",
            "line 1, \"no-in-place-updates no\": no-in-place-updates has no value",
        ),
        ("running 1.0.0", "line 1, \"running 1.0.0\": invalid option '--running'"),
        ("state /x", "line 1, \"state /x\": invalid option '--state'"),
        ("--offer 1", "line 1, \"--offer 1\": invalid option '----offer'"),
        (
            "prepare-time 5",
            "line 1, \"prepare-time 5\": cannot parse argument \"5\": \
             not a duration like 250ms, 90s, 10m or 1h30m",
        ),
        ("\u{0}", "line 1, \"\\0\": invalid option '--\0'"),
    ] {
        assert_eq!(config::parse(text, &Options::default()), Err(expected.into()), "{text}");
    }
}

#[test]
fn changed_file_is_read_again_and_a_broken_one_is_reported_once() {
    let path = fresh("config");
    let name = path.display();
    let base = Options::default();
    let error = Watch::start(&path, &base).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, format!("{name}: No such file or directory (os error 2)"));
    fs::write(&path, "x").unwrap();
    let error = Watch::start(&path, &base).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, format!("{name}: line 1, \"x\": invalid option '--x'"));

    let with_offer = |version: &str| Options { offer: vec![version.into()], ..base.clone() };
    fs::write(&path, "offer 1.0.0").unwrap();
    let (mut watch, options) = Watch::start(&path, &base).unwrap();
    assert_eq!(options, with_offer("1.0.0"));
    assert_eq!(watch.poll(), None);
    fs::write(&path, "offer 2.0.0").unwrap();
    assert_eq!(watch.poll(), Some(Ok(with_offer("2.0.0"))));
    assert_eq!(watch.poll(), None);
    fs::write(&path, b"offer \xff").unwrap();
    let not_text = format!("{name}: stream did not contain valid UTF-8");
    assert_eq!(watch.poll(), Some(Err(not_text)));
    assert_eq!(watch.poll(), None);
    fs::remove_file(&path).unwrap();
    let missing = format!("{name}: No such file or directory (os error 2)");
    assert_eq!(watch.poll(), Some(Err(missing)));
    assert_eq!(watch.poll(), None);
    fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(watch.poll(), Some(Err(format!("{name}: longer than 1048576 bytes"))));
    fs::write(&path, "offer 3.0.0").unwrap();
    assert_eq!(watch.poll(), Some(Ok(with_offer("3.0.0"))));
    fs::remove_file(&path).unwrap();
}

#[test]
fn configuration_changes_only_what_a_file_can_contain() {
    let mut options = Options { running: "1.0.0".into(), ..Options::default() };
    let from = Options {
        running: "9.0.0".into(),
        offer: vec!["2.0.0".into()],
        boot_time: Duration::from_secs(7),
        boot_id_file: Some("/x".into()),
        ..Options::default()
    };
    options.configure(&from);
    let expected = Options {
        running: "1.0.0".into(),
        offer: vec!["2.0.0".into()],
        boot_time: Duration::from_secs(7),
        ..Options::default()
    };
    assert_eq!(options, expected);
}
