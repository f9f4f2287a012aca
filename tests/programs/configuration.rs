//! The updater's settings: flags, environment variables and defaults; and the effect of
//! windows, log levels and `-stage-only` on a simulated node.

use crate::common::daemon::{LONG, Outcome, Running};
use crate::common::records::{Format, Record};
use crate::common::{Node, Ran, program, run};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{MANUAL, Options, State, View, calendar};
use rustix::process::Signal;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Each flag, a value, and how that value and the default are shown.
const FLAGS: [(&str, &str, &str, &str); 25] = [
    ("socket", "/x/api.sock", "/x/api.sock", "/run/api.sock"),
    ("one-time", "true", "true", "false"),
    ("interval", "20m", "20m", "10m"),
    ("jitter", "90s", "1m30s", "1m"),
    (
        "window",
        "Mon-Fri 22:00-04:00; Sat 0:00-24:00",
        "Mon-Fri 22:00-04:00; Sat 0:00-24:00",
        "always",
    ),
    ("time-zone", "Europe/Prague", "Europe/Prague", "UTC"),
    ("stage-only", "true", "true", "false"),
    ("activate-at-reboot", "true", "true", "false"),
    ("refresh-ready", "false", "false", "true"),
    ("state-dir", "/state", "/state", ""),
    ("soak", "72h", "72h", "0s"),
    ("record", "/record", "/record", ""),
    ("boot-attempts", "2", "2", "1"),
    ("retry-failed-boot", "never", "never", "24h"),
    ("metrics-address", ":8080", ":8080", "off"),
    ("give-up", "0", "0s", "5m"),
    ("refresh-timeout", "1500ms", "1s500ms", "1m"),
    ("prepare-timeout", "1h", "1h", "30m"),
    ("activate-timeout", "2m", "2m", "1m"),
    ("deactivate-timeout", "3m", "3m", "1m"),
    ("log-format", "json", "json", "logfmt"),
    ("log-level", "debug", "debug", "info"),
    ("test-interval", "20m", "20m", ""),
    ("boot-id", "/x/boot_id", "/x/boot_id", "/proc/sys/kernel/random/boot_id"),
    ("print-config", "true", "true", "false"),
];

const TIME_ZONE: &str = "it takes a name of the IANA database like Europe/Prague, or a POSIX rule \
                         like CET-1CEST,M3.5.0,M10.5.0/3";

fn variable(flag: &str) -> String {
    format!("BOTTLEROCKET_UPDATER_{}", flag.replace('-', "_").to_uppercase())
}

/// The updater with only these variables in its environment.
fn updater_in(variables: &[(&str, &str)]) -> Command {
    let mut command = program("updater");
    command.env_clear();
    command.envs(variables.iter().map(|(flag, value)| (variable(flag), value)));
    command
}

/// The configuration that the program prints, without the time.
#[track_caller]
fn config(command: &mut Command) -> String {
    let ran = run(command);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    ran.stdout.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

fn lines(line: impl Fn(&(&str, &str, &str, &str)) -> String) -> String {
    FLAGS.iter().map(line).collect()
}

#[test]
fn each_setting_is_printed_with_its_source() {
    // Only defaults.
    let expected = lines(|(flag, _, _, default)| match *flag {
        "print-config" => "-print-config=true (flag)\n".into(),
        flag => format!("-{flag}={default} (default)\n"),
    });
    assert_eq!(config(updater_in(&[]).arg("-print-config")), expected);
    // Everything from the environment.
    let all = FLAGS.map(|(flag, value, ..)| (flag, value));
    let expected = lines(|(flag, _, shown, _)| format!("-{flag}={shown} (environment)\n"));
    assert_eq!(config(&mut updater_in(&all)), expected);
    // Everything from the command line, which overrides the environment.
    let nonsense = FLAGS.map(|(flag, ..)| (flag, "nonsense"));
    let flags = FLAGS.map(|(flag, value, ..)| format!("-{flag}={value}"));
    let expected = lines(|(flag, _, shown, _)| format!("-{flag}={shown} (flag)\n"));
    for variables in [&[][..], &nonsense, &all] {
        assert_eq!(config(updater_in(variables).args(&flags)), expected);
    }
}

#[test]
fn each_setting_changes_only_itself() {
    for (name, value, shown, _) in FLAGS {
        let expected = |source: &str| {
            let shown = match name {
                // -jitter is a tenth of the interval.
                "interval" => "-interval=20m",
                _ => &format!("-{name}={shown}"),
            };
            format!("{shown} ({source})\n")
        };
        let by_variable = config(updater_in(&[(name, value)]).arg("-print-config"));
        let by_flag = config(updater_in(&[]).arg("-print-config").arg(format!("-{name}={value}")));
        if name != "print-config" {
            assert!(by_variable.contains(&expected("environment")), "{by_variable}");
        }
        assert!(by_flag.contains(&expected("flag")), "{by_flag}");
        // All other settings have their defaults.
        let others = |text: &str| -> Vec<String> {
            let own = format!("-{name}=");
            text.lines().filter(|line| !line.starts_with(&own)).map(String::from).collect()
        };
        let defaults = config(updater_in(&[]).arg("-print-config"));
        assert_eq!(others(&by_variable), others(&defaults), "{name}");
        assert_eq!(others(&by_flag), others(&defaults), "{name}");
    }
}

#[test]
fn windows_are_printed_in_utc_and_in_local_time() {
    let printed = |window: &str| {
        // The clocks are four hours behind UTC all year.
        let zone = "-time-zone=America/Puerto_Rico";
        let ran = run(program("updater").args([zone, "-print-config", "-window", window]));
        let comments = ran.stdout.lines().filter(|line| line.starts_with('#'));
        comments.map(String::from).collect::<Vec<_>>()
    };
    let times = |line: &str, name: &str| {
        let times = line.strip_prefix(name).unwrap_or_else(|| panic!("{line}"));
        let (utc, local) = times.split_once(", local time ").unwrap();
        let [same, time] = [local, utc].map(|text| text.parse::<jiff::Timestamp>().unwrap());
        assert_eq!(time, same, "{line}");
        (time.as_second(), local.to_owned())
    };
    let [now, opens, database] = printed("Sun 10:30-11:30").try_into().unwrap();
    let (now, local) = times(&now, "# now: ");
    assert!(local.ends_with("-04:00"), "{local}");
    assert!(now.abs_diff(jiff::Timestamp::now().as_second()) < 60, "{now}");
    let (opens, local) = times(&opens, "# the next window opens: ");
    assert!(opens > now && opens <= now + 7 * 86_400, "{now} {opens}");
    assert!(local.ends_with("T10:30:00.000-04:00"), "{local}");
    let version = env!("TIME_ZONES_VERSION");
    assert_eq!(database, format!("# time zones: version {version} of the IANA database"));

    let [_, none, _] = printed("always").try_into().unwrap();
    assert_eq!(none, "# no windows: an update may begin at any time");
}

#[test]
fn flags_override_variables_and_variables_override_defaults() {
    let text = config(
        updater_in(&[("socket", "/from/env"), ("interval", "30s"), ("window", "1:00-2:00")])
            .args(["-socket=/from/flag", "-window", "Sat 3:00-4:00", "-window=5:00-6:00"])
            .args(["-print-config"]),
    );
    let expected = [
        "-socket=/from/flag (flag)",
        "-one-time=false (default)",
        "-interval=30s (environment)",
        // A tenth of the interval, from any source.
        "-jitter=3s (default)",
        "-window=Sat 3:00-4:00; 5:00-6:00 (flag)",
    ];
    assert_eq!(text.lines().take(5).collect::<Vec<_>>(), expected);
    // A flag can turn off a setting that a variable turns on.
    let text =
        config(updater_in(&[("one-time", "true")]).args(["-one-time=false", "-print-config"]));
    assert!(text.contains("-one-time=false (flag)\n"), "{text}");
    // Empty variables and variables without a flag are ignored.
    let mut command =
        updater_in(&[("interval", ""), ("nonsense", "x"), ("port", "tcp://1.2.3.4:5")]);
    let defaults = config(updater_in(&[]).arg("-print-config"));
    assert_eq!(config(command.arg("-print-config")), defaults);
    // Terminal escapes are removed.
    let mut command = updater_in(&[("socket", "/\u{1b}[31mx\ny")]);
    assert!(config(command.arg("-print-config")).contains("-socket=/x y (environment)\n"));
}

#[test]
fn help_and_version_ignore_wrong_variables() {
    for (arguments, start) in [(&["-h"][..], "Usage: "), (&["-version"], "bottlerocket-updater ")] {
        let mut command = updater_in(&[("interval", "nonsense"), ("print-config", "true")]);
        assert!(config(command.args(arguments)).starts_with(start), "{arguments:?}");
    }
}

#[test]
fn wrong_setting_is_described_in_one_line() {
    let node = Node::start(Node::instant());
    let long = "x".repeat(100_000);
    for (flag, value, wanted) in [
        ("interval", "10", "it takes a duration of at least 10s, like 10m or 1h30m"),
        ("jitter", "often", "it takes a duration like 90s, 10m or 1h30m"),
        ("refresh-ready", "1", "it takes false or true"),
        (
            "window",
            "at night",
            "not a day of the week; days are like Sat, Mon-Fri or Mon,Wed,Fri-Sun",
        ),
        ("window", "22:00", "not a time; a window is like 22:00-04:00 or Mon-Fri 22:00-04:00"),
        ("window", "1:00-1:00", "begins and ends at the same time; a whole day is 00:00-24:00"),
        ("time-zone", "Europe/Praha", TIME_ZONE),
        // A rule must say when daylight saving time begins and ends.
        ("time-zone", "CET-1CEST", TIME_ZONE),
        ("boot-attempts", "0", "it takes a number from 1 to 100"),
        ("boot-attempts", "two", "it takes a number from 1 to 100"),
        ("retry-failed-boot", "0s", "it takes a duration above zero, like 24h, or never"),
        (
            "metrics-address",
            "8080",
            "it takes an address like :8080, 127.0.0.1:8080 or [::1]:8080, or off",
        ),
        ("log-format", "xml", "it takes logfmt or json"),
        ("log-level", "warn", "it takes error, info or debug"),
    ] {
        for by_variable in [true, false] {
            let mut command = node.program("updater");
            let place = match by_variable {
                true => {
                    command.env(variable(flag), value);
                    "in the environment for flag"
                }
                false => {
                    command.arg(format!("-{flag}={value}"));
                    "for flag"
                }
            };
            let stderr = format!(
                "bottlerocket-updater: bad value \"{value}\" {place} -{flag}: {wanted}; \
                 see bottlerocket-updater --help\n"
            );
            let expected = Ran { status: Some(2), stdout: String::new(), stderr };
            assert_eq!(run(command.arg("-one-time")), expected);
        }
    }
    let ran = run(node.program("updater").env(variable("log-level"), &long));
    assert_eq!((ran.status, ran.stderr.lines().count()), (Some(2), 1));
    assert!(ran.stderr.len() < 1_000, "{}", ran.stderr.len());
    let windows = ["1:00-2:00"; 9].join(";");
    let ran = run(node.program("updater").arg("-window").arg(windows));
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains(": more than 8 windows; see "), "{ran:?}");
    assert_eq!(node.requested(), [""; 0]);
}

#[test]
fn environment_configures_a_run() {
    let node = Node::start(Node::instant());
    let mut command = program("updater");
    command.env(variable("socket"), node.path());
    command.env(variable("one-time"), "true").env(variable("log-format"), "json");
    let outcome = Outcome::of(run(&mut command), Format::Json);
    assert_eq!((outcome.status, outcome.records.len()), (Some(0), 4));
    assert_eq!(node.look(|view| view.node.state()), Some(State::Ready));
}

#[test]
fn daemon_logs_the_flags_in_force_at_its_start() {
    let node = Node::start(Node::instant());
    let mut command = node.program("updater");
    command.env("BOTTLEROCKET_UPDATER_STAGE_ONLY", "true").args(["-interval=1h", "-jitter=0s"]);
    let mut updater = Running::start(&mut command);
    updater.wait_for("event=configuration");
    let record = Record::read(Format::Logfmt, updater.log.last().unwrap());
    let flags = record.get("flags");
    for flag in [" -interval=1h ", " -jitter=0s ", " -stage-only=true ", " -give-up=5m "] {
        assert!(flags.contains(flag), "{flags}");
    }
    assert!(flags.ends_with(" -print-config=false"), "{flags}");
    updater.stop(Signal::TERM);
}

#[test]
fn daemon_logs_when_the_first_cycle_begins() {
    let node = Node::start(Node::instant());
    let mut updater = Running::start(node.program("updater").args(["-interval=1h", "-jitter=1m"]));
    updater.wait_for("event=cycle_deferred");
    let record = Record::read(Format::Logfmt, updater.log.last().unwrap());
    assert!(!record.get("begins_in").is_empty(), "{record:?}");
    let story = updater.stop(Signal::TERM).summary();
    assert!(story[0].starts_with("info: started "), "{story:?}");
    assert!(story[1].starts_with("info: waiting before the next cycle, "), "{story:?}");
}

/// The time of day after this number of hours, in whole minutes, and the same time since
/// the Unix epoch.
pub(crate) fn minutes_from_now(hours: u64) -> (String, Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let minutes = now.as_secs() / 60 + 60 * hours;
    let day = minutes % (24 * 60);
    (format!("{:02}:{:02}", day / 60, day % 60), Duration::from_secs(60 * minutes))
}

#[test]
fn outside_windows_the_updater_only_refreshes() {
    let (begin, opens) = minutes_from_now(6);
    let (end, _) = minutes_from_now(7);
    let window = format!("{begin}-{end}");
    let opens = calendar::timestamp(opens).replace(".000000000Z", ".000Z");
    let local = opens.replace('Z', "+00:00");
    for (before, state) in [(&[][..], State::Available), (&[Refresh, Prepare][..], State::Staged)] {
        let node = Node::after(before);
        let ran = run(node.program("updater").args(["-one-time", "-window", &window]));
        let outcome = Outcome::of(ran, Format::Logfmt);
        let waits = format!(
            "info: update is waiting for the next window state={} version=1.26.1 opens={opens} \
             opens_local={local}",
            state.name()
        );
        outcome.is(1, &[&waits]);
        assert_eq!(node.look(|view| view.node.state()), Some(state));
        let [look, refresh, again] = &node.requested()[..] else { panic!() };
        assert_eq!((look, again), (&"GET /updates/status".into(), look));
        assert_eq!(*refresh, format!("POST {}", Refresh.path()));
    }
    // A daemon continues to refresh.
    let node = Node::start(Node::instant());
    let mut command = node.program("updater");
    let mut updater =
        Running::start(command.args(["-test-interval=50ms", "-jitter=0s", "-window", &window]));
    updater.wait_for("event=window_closed");
    let refreshes = |view: &View| view.count("POST", Refresh.path()) >= 4;
    assert!(node.wait_until(LONG, refreshes));
    node.change(|node, _| node.options.offer = vec!["1.26.2".into()]);
    updater.wait_for("version=1.26.2");
    let outcome = updater.stop(Signal::TERM);
    assert_eq!(outcome.status, Some(0));
    // Only a new version is logged again.
    let waits = outcome.records.iter().filter(|record| record.get("event") == "window_closed");
    let versions: Vec<_> = waits.map(|record| record.get("version")).collect();
    assert_eq!(versions, ["1.26.1", "1.26.2"]);
    assert_eq!(node.look(|view| view.count("POST", Prepare.path())), 0);
}

#[test]
fn windows_are_times_in_the_time_zone() {
    // In UTC this window opens in four hours. Where the clocks are five hours ahead, it has
    // been open for an hour.
    let ([begin, end], node) = ([4, 6].map(minutes_from_now), Node::start(Node::instant()));
    let update = |arguments: &[&str]| {
        let window = format!("-window={}-{}", begin.0, end.0);
        run(node.program("updater").arg("-one-time").arg(window).args(arguments)).status
    };
    assert_eq!(update(&[]), Some(1));
    assert_eq!(update(&["-time-zone=America/Bogota"]), Some(1));
    assert_eq!(update(&["-time-zone=Indian/Maldives"]), Some(0));
}

/// The docs show this to an operator who cannot wait for the window.
#[test]
fn flag_overrides_the_windows_of_the_environment_once() {
    let ([begin, end], node) = ([6, 7].map(minutes_from_now), Node::start(Node::instant()));
    let update = |arguments: &[&str]| {
        let mut command = node.program("updater");
        command.env("BOTTLEROCKET_UPDATER_WINDOW", format!("{}-{}", begin.0, end.0));
        run(command.arg("-one-time").args(arguments)).status
    };
    assert_eq!(update(&[]), Some(1));
    assert_eq!(node.look(|view| view.node.state()), Some(State::Available));
    assert_eq!(update(&["-window=always"]), Some(0));
    assert_eq!(node.look(|view| view.node.state()), Some(State::Ready));
}

#[test]
fn inside_a_window_the_updater_updates() {
    // One window is open from six hours ago until in six hours. The other one is closed.
    let [(begin, _), (end, _)] = [18, 6].map(minutes_from_now);
    let (later, _) = minutes_from_now(7);
    let node = Node::start(Node::instant());
    let windows = [format!("{end}-{later}"), format!("{begin}-{end}")];
    let mut command = node.program("updater");
    command.args(["-one-time", "-window", &windows[0], "-window", &windows[1]]);
    let outcome = Outcome::of(run(&mut command), Format::Logfmt);
    assert_eq!((outcome.status, outcome.records.len()), (Some(0), 4), "{:?}", outcome.summary());
    assert_eq!(node.look(|view| view.node.state()), Some(State::Ready));
}

#[test]
fn stage_only_does_not_activate() {
    let node = Node::start(Node::instant());
    let staged = "info: update is staged, not activating it because of -stage-only \
                  state=Staged next=1.26.1 \
                  running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
    let cycle = || {
        Outcome::of(run(node.program("updater").args(["-one-time", "-stage-only"])), Format::Logfmt)
    };
    let first = cycle();
    assert_eq!((first.status, first.summary().last().unwrap().as_str()), (Some(1), staged));
    cycle().is(1, &[staged]);
    assert_eq!(node.look(|view| view.node.state()), Some(State::Staged));
    assert_eq!(node.look(|view| view.count("POST", Activate.path())), 0);
    // Another client activates the update.
    node.run(Activate).unwrap();
    let third = cycle();
    let last = third.records.last().unwrap().get("event");
    assert_eq!((third.status, last), (Some(0), "ready"));
}

/// The log of a daemon that updates a node, at this level.
fn update(level: &str, fails: bool) -> Vec<Record> {
    let node = Node::start(Options { offer: Vec::new(), ..Node::instant() });
    if fails {
        node.change(|node, _| node.fail_next(Prepare, 1, "no space"));
    }
    let mut command = node.program("updater");
    command.args(["-test-interval=50ms", "-jitter=0s", "-log-level", level]);
    let updater = Running::start(&mut command);
    node.change(|node, _| node.options.offer = vec!["1.26.1".into()]);
    let is_ready = node.wait_until(LONG, |view| view.node.state() == Some(State::Ready));
    assert!(is_ready);
    // After another cycle, everything has been logged.
    let before = node.requested().len();
    assert!(node.wait_until(LONG, |view| view.requests.len() > before + 2));
    let outcome = updater.stop(Signal::TERM);
    assert_eq!(outcome.status, Some(0));
    outcome.records
}

#[test]
fn log_level_selects_the_records() {
    let levels = |records: &[Record]| {
        let mut levels: Vec<String> =
            records.iter().map(|record| record.get("level").to_string()).collect();
        levels.sort();
        levels.dedup();
        levels
    };
    assert_eq!(levels(&update("error", false)), [""; 0]);
    let records = update("error", true);
    assert_eq!(levels(&records), ["error"]);
    assert_eq!(records[0].get("event"), "command_failed");
    assert_eq!(levels(&update("info", true)), ["error", "info"]);
    let records = update("debug", true);
    assert_eq!(levels(&records), ["debug", "error", "info"]);
    // Each call and its result.
    let calls: Vec<&Record> =
        records.iter().filter(|record| record.get("event") == "api_call").collect();
    let call = |call: &str, answer: &str| {
        calls.iter().any(|record| record.get("call") == call && record.get("answer") == answer)
    };
    for (name, answer) in [
        ("status", "404"),
        ("refresh", "204"),
        ("status", "Available"),
        ("prepare", "204"),
        ("status", "Staged"),
        ("activate", "204"),
        ("status", "Ready"),
    ] {
        assert!(call(name, answer), "{name} {answer}: {calls:?}");
    }
    assert!(records.iter().any(|record| record.get("event") == "refreshed"));
}

#[test]
fn log_of_an_update_is_one_line_per_step() {
    let node = Node::start(Options { prepare_time: MANUAL, ..Node::instant() });
    let mut command = node.program("updater");
    command.args(["-interval=1h", "-jitter=0s", "-metrics-address=127.0.0.1:0"]);
    let mut updater = Running::start(&mut command);
    updater.wait_for("preparing it");
    let before = node.look(|view| view.count("GET", "/updates/status"));
    let has_more = node.wait_until(LONG, |view| view.count("GET", "/updates/status") > before + 3);
    assert!(has_more);
    node.finish();
    updater.wait_for("ready, waiting for the reboot");
    let outcome = updater.stop(Signal::TERM);
    let events: Vec<&str> = outcome.records.iter().map(|record| record.get("event")).collect();
    let expected =
        ["started", "serving_metrics", "preparing", "prepared", "activated", "ready", "stopped"];
    assert_eq!(events, expected);
}
