//! The command lines of the programs: the help and the version, how flags
//! are given, and the messages about wrong command lines.

use crate::common::{Directory, Node, Ran, program, redirected, run};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

const PROGRAMS: [&str; 5] = ["checker", "reboot", "gate", "updater", "install"];

/// The flags of each program as the help shows them, with their defaults.
const FLAGS: [(&str, &[(&str, &str)]); 5] = [
    (
        "checker",
        &[
            ("-socket PATH", "/run/api.sock"),
            ("-timeout DURATION", "10s"),
            ("-staged", "only if it is Ready"),
            ("-refresh", "only read the status"),
        ],
    ),
    (
        "reboot",
        &[
            ("-socket PATH", "/run/api.sock"),
            ("-timeout DURATION", "1m"),
            ("-if-ready", "reboot in any state"),
            ("-confirm", "do not refresh"),
            ("-activate", "do not activate"),
            ("-record PATH", "no record"),
            ("-boot-id PATH", "/proc/sys/kernel/random/boot_id"),
        ],
    ),
    (
        "gate",
        &[
            ("-record PATH", "/opt/bottlerocket/reboot/record"),
            ("-boot-id PATH", "/proc/sys/kernel/random/boot_id"),
            ("-os-release PATH", "/usr/lib/os-release"),
            ("-state-dir DIR", "go by the record"),
            ("-socket PATH", "/run/api.sock"),
            ("-boot-attempts COUNT", "2"),
            ("-max-wait DURATION", "never"),
            ("-give-up DURATION", "5m"),
            ("-log-format FORMAT", "logfmt"),
            ("-release", "wait"),
            ("-test-interval DURATION", "5s"),
        ],
    ),
    (
        "updater",
        &[
            ("-socket PATH", "/run/api.sock"),
            ("-one-time", "run as a daemon"),
            ("-interval DURATION", "10m"),
            ("-jitter DURATION", "a tenth of the interval, at most 1m"),
            ("-window WINDOW", "always"),
            ("-time-zone NAME", "UTC"),
            ("-stage-only", "activate them"),
            ("-activate-at-reboot", "activate at once"),
            ("-refresh-ready", "true"),
            ("-state-dir DIR", "keep no record"),
            ("-soak DURATION", "none"),
            ("-record PATH", "read no record"),
            ("-boot-attempts COUNT", "1"),
            ("-retry-failed-boot DURATION", "24h"),
            ("-metrics-address ADDRESS", "off"),
            ("-give-up DURATION", "5m"),
            ("-refresh-timeout DURATION", "1m"),
            ("-prepare-timeout DURATION", "30m"),
            ("-activate-timeout DURATION", "1m"),
            ("-deactivate-timeout DURATION", "1m"),
            ("-log-format FORMAT", "logfmt"),
            ("-log-level LEVEL", "info"),
            ("-test-interval DURATION", "none"),
            ("-boot-id PATH", "/proc/sys/kernel/random/boot_id"),
            ("-print-config", "false"),
        ],
    ),
    (
        "install",
        &[
            ("-from DIR", "the directory of this program"),
            ("-gate-socket PATH", "none"),
            ("-updater-link DIR", "none"),
            ("-state-dir PATH", "none"),
            ("-remove", "false"),
            ("-wait", "false"),
        ],
    ),
];

/// What two of the flags take.
const DURATION_OR_NEVER: &str = "it takes a duration above zero, like 24h, or never";
const COUNT: &str = "it takes a number from 1 to 100";

/// The exit statuses in the help of each program.
const STATUSES: [(&str, &[usize]); 5] = [
    ("checker", &[0, 1, 2, 3]),
    ("reboot", &[0, 1, 2, 3]),
    ("gate", &[0, 2, 3]),
    ("updater", &[0, 1, 2, 3]),
    ("install", &[0, 2, 3]),
];

fn printed(stdout: String) -> Ran {
    Ran { status: Some(0), stdout, stderr: String::new() }
}

fn help(name: &str) -> String {
    let ran = run(program(name).arg("--help"));
    assert_eq!(ran, printed(ran.stdout.clone()), "{name}");
    ran.stdout
}

/// The lines of a section of the help, up to the next empty line.
fn part<'h>(help: &'h str, title: &str) -> Vec<&'h str> {
    let lines = help.lines().skip_while(|line| *line != title).skip(1);
    lines.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn help_has_each_flag_and_each_exit_status() {
    for (name, flags) in FLAGS {
        let help = help(name);
        let usage = format!("Usage: bottlerocket-{name} [flags]");
        assert!(help.starts_with(&usage), "{name}: {help}");
        assert!(help.ends_with('\n') && !help.ends_with("\n\n"), "{name}");
        assert!(help.lines().all(|line| line.len() <= 80 && line.trim_end() == line), "{name}");

        let mut shown = Vec::new();
        for line in part(&help, "Flags:") {
            match line.strip_prefix("  -") {
                Some(flag) => shown.push(format!("-{flag}")),
                // The line continues the text of the flag before it.
                None => shown.last_mut().unwrap().extend([" ", line.trim_start()]),
            }
        }
        let own = [("-h, -help", ""), ("-version", "")];
        for (line, (flag, default)) in shown.iter().zip(flags.iter().chain(&own)) {
            let (start, text) = line.split_once("  ").unwrap();
            assert_eq!(start, *flag, "{name}");
            let text = text.trim();
            let (text, shown_default) = match text.split_once("(default: ") {
                Some((text, default)) => (text, default.strip_suffix(')').unwrap()),
                None => (text, ""),
            };
            assert!(!text.is_empty(), "{name}: {line}");
            assert_eq!(shown_default, *default, "{name}: {line}");
        }
        assert_eq!(shown.len(), flags.len() + own.len(), "{name}: {shown:?}");

        let lines = part(&help, "Exit status:");
        // The other lines continue the text of the status before them.
        let starts = lines.iter().filter(|line| !line.starts_with("     "));
        let shown: Vec<_> = starts.map(|line| line.split(": ").next().unwrap()).collect();
        let words = ["success", "no", "usage error", "failure"];
        let statuses = STATUSES.iter().find(|(other, _)| *other == name).unwrap().1;
        let expected = statuses.iter().map(|status| format!("  {status}  {}", words[*status]));
        assert_eq!(shown, expected.collect::<Vec<_>>(), "{name}");

        let example = part(&help, "Example:");
        assert_eq!(example.len(), 1, "{name}");
        assert!(example[0].contains(&format!("bottlerocket-{name}")), "{name}: {example:?}");
    }
}

#[test]
fn help_and_version_in_every_form() {
    for name in PROGRAMS {
        let help = help(name);
        let version = format!("bottlerocket-{name} {}\n", env!("CARGO_PKG_VERSION"));
        for (arguments, text) in [
            (&["-h"] as &[&str], &help),
            (&["--h"], &help),
            (&["-help"], &help),
            (&["-h", "-nonsense", "and", "more"], &help),
            (&["--help", "--version"], &help),
            (&["-version"], &version),
            (&["--version"], &version),
            (&["-version", "-help"], &version),
        ] {
            assert_eq!(run(program(name).args(arguments)), printed(text.clone()), "{name}");
        }
        // A closed standard output is no failure.
        assert_eq!(run(&mut redirected(program(name).arg("-h"), ">&-")), printed("".into()));
    }
}

/// The message has one line. The programs send no request and write no file
/// before the whole command line is checked.
#[test]
fn wrong_command_line_is_described_in_one_line() {
    let socket_users = &PROGRAMS[..4];
    let timed = &PROGRAMS[..2];
    let positive = "it takes a duration above zero, like 90s, 10m or 1h30m";
    let interval = "it takes a duration of at least 10s, like 10m or 1h30m";
    let duration = "it takes a duration like 90s, 10m or 1h30m";
    let switch = "it takes false or true";
    let bad = |value: &str, flag: &str, wanted: &str| {
        format!("bad value \"{value}\" for flag {flag}: {wanted}")
    };
    let long = "x".repeat(100_000);
    let cases: &[(&[&str], &[&str], String)] = &[
        (&PROGRAMS, &["-nonsense"], "unknown flag \"-nonsense\"".into()),
        (&PROGRAMS, &["--nonsense=1"], "unknown flag \"--nonsense=1\"".into()),
        (&PROGRAMS, &["---help"], "unknown flag \"---help\"".into()),
        (&PROGRAMS, &["-H"], "unknown flag \"-H\"".into()),
        (&PROGRAMS, &["-helpme"], "unknown flag \"-helpme\"".into()),
        (&PROGRAMS, &["-=x"], "unknown flag \"-=x\"".into()),
        (&PROGRAMS, &["-nonsense", "-h"], "unknown flag \"-nonsense\"".into()),
        (&PROGRAMS, &["-\u{1b}[31mred\nnews\u{202e}"], "unknown flag \"-red news\u{fffd}\"".into()),
        (&PROGRAMS, &["-a", &long], "unknown flag \"-a\"".into()),
        (socket_users, &["-from", "x"], "unknown flag \"-from\"".into()),
        (socket_users, &["stray"], "unexpected argument \"stray\"".into()),
        (socket_users, &[""], "unexpected argument \"\"".into()),
        (socket_users, &["-"], "unexpected argument \"-\"".into()),
        (socket_users, &["--", "-h"], "unexpected argument \"-h\"".into()),
        (socket_users, &["help"], "unexpected argument \"help\"".into()),
        (
            socket_users,
            &[&long],
            format!(
                "unexpected argument \"{} [99500 bytes left out] {}\"",
                &long[..200],
                &long[..300]
            ),
        ),
        (socket_users, &["-socket"], "flag -socket needs a value".into()),
        (socket_users, &["-socket="], "flag -socket needs a value".into()),
        (socket_users, &["--socket", ""], "flag -socket needs a value".into()),
        (timed, &["-timeout"], "flag -timeout needs a value".into()),
        (timed, &["-timeout", "10"], bad("10", "-timeout", positive)),
        (timed, &["-timeout=0s"], bad("0s", "-timeout", positive)),
        (timed, &["-timeout=0"], bad("0", "-timeout", positive)),
        (timed, &["-timeout=-1s"], bad("-1s", "-timeout", positive)),
        (timed, &["-timeout=+1s"], bad("+1s", "-timeout", positive)),
        (timed, &["-timeout=s"], bad("s", "-timeout", positive)),
        (timed, &["-timeout=10 s"], bad("10 s", "-timeout", positive)),
        (timed, &["-timeout=10S"], bad("10S", "-timeout", positive)),
        (timed, &["-timeout=1d"], bad("1d", "-timeout", positive)),
        (timed, &["-timeout=soon"], bad("soon", "-timeout", positive)),
        (
            timed,
            &["-timeout=99999999999999999999h"],
            bad("99999999999999999999h", "-timeout", positive),
        ),
        (timed, &["-interval=1m"], "unknown flag \"-interval=1m\"".into()),
        (timed, &["-one-time"], "unknown flag \"-one-time\"".into()),
        (&["checker"], &["-refresh=yes"], bad("yes", "-refresh", switch)),
        (&["checker"], &["-refresh", "true"], "unexpected argument \"true\"".into()),
        (&["checker"], &["-if-ready"], "unknown flag \"-if-ready\"".into()),
        (&["reboot"], &["-if-ready=1"], bad("1", "-if-ready", switch)),
        (&["reboot"], &["-if-ready="], "flag -if-ready needs a value".into()),
        (&["reboot"], &["-if-ready", "-timeout=x"], bad("x", "-timeout", positive)),
        (&["reboot"], &["-refresh"], "unknown flag \"-refresh\"".into()),
        (&["updater"], &["-timeout=1m"], "unknown flag \"-timeout=1m\"".into()),
        (&["updater"], &["-interval=9s"], bad("9s", "-interval", interval)),
        (&["updater"], &["-test-interval=0s"], bad("0s", "-test-interval", positive)),
        (&["updater"], &["-jitter=often"], bad("often", "-jitter", duration)),
        (&["updater"], &["-give-up=-1m"], bad("-1m", "-give-up", duration)),
        (&["updater"], &["-refresh-timeout=1"], bad("1", "-refresh-timeout", positive)),
        (&["updater"], &["-prepare-timeout=0h"], bad("0h", "-prepare-timeout", positive)),
        (&["updater"], &["-activate-timeout=x"], bad("x", "-activate-timeout", positive)),
        (&["updater"], &["-deactivate-timeout=x"], bad("x", "-deactivate-timeout", positive)),
        (&["updater"], &["-one-time=maybe"], bad("maybe", "-one-time", switch)),
        (&["updater"], &["-refresh-ready=no"], bad("no", "-refresh-ready", switch)),
        (&["updater"], &["-log-format=xml"], bad("xml", "-log-format", "it takes logfmt or json")),
        (&["updater"], &["-one-time", "-log-format"], "flag -log-format needs a value".into()),
        (&["gate"], &["-max-wait=0s"], bad("0s", "-max-wait", DURATION_OR_NEVER)),
        (&["gate"], &["-max-wait=1d"], bad("1d", "-max-wait", DURATION_OR_NEVER)),
        (&["gate"], &["-boot-attempts=0"], bad("0", "-boot-attempts", COUNT)),
        (&["gate"], &["-boot-attempts=two"], bad("two", "-boot-attempts", COUNT)),
        (&["gate"], &["-test-interval=0s"], bad("0s", "-test-interval", positive)),
        (&["gate"], &["-log-format=xml"], bad("xml", "-log-format", "it takes logfmt or json")),
        (&["gate"], &["-release=now"], bad("now", "-release", switch)),
        (&["gate"], &["-record"], "flag -record needs a value".into()),
        (&["gate"], &["-os-release="], "flag -os-release needs a value".into()),
        (&["install"], &[], "missing argument DIR".into()),
        (&["install"], &["-from", "."], "missing argument DIR".into()),
        (&["install"], &["into", "and-more"], "unexpected argument \"and-more\"".into()),
        (&["install"], &["into", "-from"], "flag -from needs a value".into()),
        (&["install"], &["into", "-from="], "flag -from needs a value".into()),
        (&["install"], &["into", "-socket=x"], "unknown flag \"-socket=x\"".into()),
        (&["install"], &["into", "-"], "unexpected argument \"-\"".into()),
    ];
    let node = Node::after(&[Refresh, Prepare, Activate]);
    let directory = Directory::new();
    for (names, arguments, error) in cases {
        for name in *names {
            let mut command = match *name {
                "install" => program(name),
                _ => node.program(name),
            };
            let ran = run(command.args(*arguments).current_dir(directory.path()));
            let stderr = format!("bottlerocket-{name}: {error}; see bottlerocket-{name} --help\n");
            assert_eq!(ran, Ran { status: Some(2), stdout: String::new(), stderr });
        }
    }
    assert_eq!(node.requested(), [""; 0]);
    assert!(!directory.path().join("into").exists());
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_in_messages() {
    for name in PROGRAMS {
        let ran = run(program(name).arg(OsStr::from_bytes(b"-a\xffb")));
        let line = format!(
            "bottlerocket-{name}: unknown flag \"-a\u{fffd}b\"; see bottlerocket-{name} --help\n"
        );
        assert_eq!(ran, Ran { status: Some(2), stdout: String::new(), stderr: line });
    }
}

#[test]
fn flags_are_given_as_in_go() {
    let socket = |node: &Node, flag: &str, separate: bool| -> Vec<OsString> {
        let path = node.path().as_os_str();
        match separate {
            true => vec![flag.into(), path.into()],
            false => vec![OsString::from_vec([flag.as_bytes(), b"=", path.as_bytes()].concat())],
        }
    };
    for (name, more) in [
        ("checker", &["-timeout=20s"][..]),
        ("reboot", &["--timeout", "1m30s"]),
        ("updater", &["-one-time", "-refresh-ready=false"]),
    ] {
        for (flag, separate) in
            [("-socket", true), ("-socket", false), ("--socket", true), ("--socket", false)]
        {
            let node = Node::after(&[Refresh, Prepare, Activate]);
            let mut command = program(name);
            // The last of two values counts, and `--` may be the last argument.
            command.args(["-socket", "/nowhere"]).args(socket(&node, flag, separate));
            let ran = run(command.args(more).arg("--"));
            assert_eq!(ran.status, Some(0), "{name} {flag} {separate}: {ran:?}");
            assert_eq!(node.requested().len(), 1, "{name} {flag} {separate}");
        }
    }
}

/// This runs only the checker, which changes nothing, because this machine may be
/// a Bottlerocket node.
#[test]
fn default_socket_is_the_one_in_the_help() {
    let default = "/run/api.sock";
    if Path::new(default).exists() {
        println!("not tested: this machine has a {default}");
        return;
    }
    let line = "bottlerocket-checker: cannot read the update status from /run/api.sock: \
                cannot connect: no such file or directory \
                (is the API server running? is this a Bottlerocket node, and is the socket mounted here?)\n";
    let expected = Ran { status: Some(3), stdout: String::new(), stderr: line.into() };
    assert_eq!(run(&mut program("checker")), expected);
}
