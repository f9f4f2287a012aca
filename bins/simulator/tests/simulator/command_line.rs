//! The command line.

use bottlerocket_simulator::Command::{Activate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::cli::{self, Act, OnReboot, Order, Serve};
use bottlerocket_simulator::fleet::{Fleet, Outage, Outages};
use bottlerocket_simulator::{Ending, Options};
use std::time::Duration;

#[test]
fn each_option_and_each_error() {
    let parse = |line: &str| cli::parse(["simulator"].into_iter().chain(line.split_whitespace()));
    let Ok(Order::Serve(default)) = parse("") else {
        panic!("the default is to serve a node");
    };
    let plain = default.options.clone();
    let serve = |change: &dyn Fn(&mut Serve)| {
        let mut serve = Serve {
            socket: "api.sock".into(),
            nodes: None,
            options: plain.clone(),
            config: None,
            on_reboot: OnReboot::Nothing,
            quiet: false,
        };
        change(&mut serve);
        Ok(Order::Serve(Box::new(serve)))
    };
    assert_eq!(Ok(Order::Serve(default)), serve(&|_| ()));

    let second = Duration::from_secs(1);
    type Change = fn(&mut Options, Duration);
    let rows: &[(&str, Change)] = &[
        ("--running 1.2.3", |o, _| o.running = "1.2.3".into()),
        ("--variant=metal-dev", |o, _| o.variant = "metal-dev".into()),
        ("--arch aarch64", |o, _| o.arch = "aarch64".into()),
        ("--offer 1.1.0 --offer 1.2.0", |o, _| o.offer = vec!["1.1.0".into(), "1.2.0".into()]),
        ("--max-version 1.2.0", |o, _| o.max_version = Some("1.2.0".into())),
        ("--no-in-place-updates", |o, _| o.in_place_updates = false),
        ("--version-lock 1.1.0", |o, _| o.version_lock = "1.1.0".into()),
        ("--no-boot 1.1.0 --no-boot 1.2.0", |o, _| {
            o.no_boot = vec!["1.1.0".into(), "1.2.0".into()]
        }),
        ("--boot-id /tmp/id", |o, _| o.boot_id_file = Some("/tmp/id".into())),
        ("--os-release /tmp/os", |o, _| o.os_release_file = Some("/tmp/os".into())),
        ("--state /tmp/disk", |o, _| o.state_file = Some("/tmp/disk".into())),
        ("--group 274", |o, _| o.socket_group = Some(274)),
        ("--refresh-time 90s", |o, s| o.refresh_time = 90 * s),
        ("--prepare-time 10m", |o, s| o.prepare_time = 600 * s),
        ("--activate-time 250ms", |o, s| o.activate_time = s / 4),
        ("--deactivate-time 1h30m", |o, s| o.deactivate_time = 5400 * s),
        ("--reboot-time 0s", |o, _| o.reboot_time = Duration::ZERO),
        ("--shutdown-time 2s", |o, s| o.shutdown_time = 2 * s),
        ("--boot-time 3s", |o, s| o.boot_time = 3 * s),
        ("--fail prepare=1 --fail reboot=-2:in:hibited", |o, _| {
            o.endings =
                vec![(Prepare, Ending::failed(1, "")), (Reboot, Ending::failed(-2, "in:hibited"))]
        }),
        ("--fail refresh=junk --fail prepare=no-update --fail activate=cut-off", |o, _| {
            o.endings = vec![
                (Refresh, Ending::junk()),
                (Prepare, Ending::no_update_required()),
                (Activate, Ending::cut_off()),
            ]
        }),
        ("--fail-first prepare=no-update --fail-first prepare=1:x", |o, _| {
            o.first_endings =
                vec![(Prepare, Ending::no_update_required()), (Prepare, Ending::failed(1, "x"))]
        }),
    ];
    for (line, change) in rows {
        let expected = serve(&|serve| change(&mut serve.options, second));
        assert_eq!(parse(line), expected, "{line}");
    }

    let many = serve(&|serve| (serve.socket, serve.nodes) = ("s".into(), Some(3)));
    assert_eq!(parse("--nodes 3 --socket s"), many);
    let config = serve(&|serve| serve.config = Some("/etc/x".into()));
    assert_eq!(parse("--config /etc/x"), config);
    let own = "0f5e1c2a-1111-4a4a-8b8b-0123456789ab";
    let end_pods = serve(&|serve| serve.on_reboot = OnReboot::EndPods(own.into()));
    assert_eq!(parse(&format!("--end-pods {own}")), end_pods);
    let quiet = serve(&|serve| serve.quiet = true);
    assert_eq!(parse("--quiet"), quiet);
    let run = serve(&|serve| serve.on_reboot = OnReboot::Run("reboot".into()));
    assert_eq!(parse("--on-reboot reboot"), run);

    let fleet = |change: fn(&mut Fleet)| {
        let mut fleet = Fleet::default();
        change(&mut fleet);
        Ok(Order::Fleet(Box::new(fleet)))
    };
    for (line, expected) in [
        ("fleet", fleet(|_| ())),
        ("fleet --nodes 7 --seed 9", fleet(|f| (f.nodes, f.seed) = (7, 9))),
        ("fleet --interval 1m", fleet(|f| f.interval = Duration::from_secs(60))),
        (
            "fleet --window Sat-0:00-24:00",
            Err("cannot parse argument \"Sat-0:00-24:00\": not a time; a window is like \
                 22:00-04:00 or Mon-Fri 22:00-04:00"),
        ),
        (
            "fleet --window 1:00-2:00 --window 3:00-4:00;5:00-6:00",
            fleet(|f| f.windows.add(b"1:00-2:00;3:00-4:00;5:00-6:00").unwrap()),
        ),
        ("fleet --jitter 0s", fleet(|f| f.jitter = Some(Duration::ZERO))),
        ("fleet --time 1000h", fleet(|f| f.time = Duration::from_secs(3_600_000))),
        (
            "fleet --outage refresh=1h+90s",
            fleet(|f| {
                let (begin, length) = (Duration::from_secs(3600), Duration::from_secs(90));
                f.outage = Some(Outage { of: Outages::Refresh, begin, length });
            }),
        ),
        ("fleet -h", Ok(Order::Help)),
        ("fleet --offer 1.1.0", Err("invalid option '--offer'")),
        ("fleet --interval 0s", Err("cannot parse argument \"0s\": must be greater than zero")),
        ("fleet --time 1001h", Err("cannot parse argument \"1001h\": at most 1000h")),
        (
            "fleet --outage node=1h+90s",
            Err("cannot parse argument \"node=1h+90s\": WHAT must be repository, refresh or api"),
        ),
        (
            "fleet --outage api=1h",
            Err("cannot parse argument \"api=1h\": not WHAT=BEGIN+LENGTH, such as api=1h+10m"),
        ),
        ("demo", Ok(Order::Demo(Act::Update, None))),
        ("demo --programs dir", Ok(Order::Demo(Act::Update, Some("dir".into())))),
        ("demo bad-version", Ok(Order::Demo(Act::BadVersion, None))),
        ("demo --programs dir bad-version", Ok(Order::Demo(Act::BadVersion, Some("dir".into())))),
        ("remove a /b/c", Ok(Order::Remove(vec!["a".into(), "/b/c".into()]))),
        ("remove --force", Err("invalid option '--force'")),
        ("demo good-version", Err("unexpected argument \"good-version\"")),
        ("demo bad-version bad-version", Err("unexpected argument \"bad-version\"")),
        ("--help", Ok(Order::Help)),
        ("demo -h", Ok(Order::Help)),
        ("-V", Ok(Order::Version)),
        ("--nope", Err("invalid option '--nope'")),
        ("x", Err("unexpected argument \"x\"")),
        ("--arch a demo", Err("unexpected argument \"demo\"")),
        ("demo --arch a", Err("invalid option '--arch'")),
        (
            "--nodes 2 --on-reboot x",
            Err("--end-pods and --on-reboot are for a single node, not for --nodes"),
        ),
        ("--end-pods 7", Err("cannot parse argument \"7\": not the UID of a pod")),
        ("--group api", Err("cannot parse argument \"api\": invalid digit found in string")),
        ("--socket", Err("missing argument for option '--socket'")),
        (
            "--refresh-time 5",
            Err("cannot parse argument \"5\": not a duration like 250ms, 90s, 10m or 1h30m"),
        ),
        (
            "--refresh-time 99999999999999999h",
            Err("cannot parse argument \"99999999999999999h\": \
                 not a duration like 250ms, 90s, 10m or 1h30m"),
        ),
        (
            "--fail stage=1:x",
            Err("cannot parse argument \"stage=1:x\": COMMAND must be refresh, \
                 prepare, activate, deactivate or reboot"),
        ),
        (
            "--fail refresh",
            Err("cannot parse argument \"refresh\": not COMMAND=HOW, such as \
                 prepare=1:disk full or activate=cut-off"),
        ),
        (
            "--fail activate=cut",
            Err("cannot parse argument \"activate=cut\": not COMMAND=HOW, such as \
                 prepare=1:disk full or activate=cut-off"),
        ),
        (
            "--fail refresh=no-update",
            Err("cannot parse argument \"refresh=no-update\": no-update is only for prepare"),
        ),
        (
            "--fail-first reboot=cut-off",
            Err("cannot parse argument \"reboot=cut-off\": HOW must be EXIT for reboot"),
        ),
        (
            "--fail refresh=0:x",
            Err("cannot parse argument \"refresh=0:x\": exit status 0 is not a failure"),
        ),
    ] {
        assert_eq!(parse(line), expected.map_err(String::from), "{line}");
    }
}
