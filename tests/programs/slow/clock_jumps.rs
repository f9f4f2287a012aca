//! What becomes of the updater when somebody sets the wall clock while it runs.
//!
//! An emulator runs it, and libfaketime tells the emulator the time, by a file
//! that is read each time: `scripts/test/test-clock-jumps` runs these. The clock that the
//! updater waits by is the real one.

use crate::common::cases::side_by_side;
use crate::common::daemon::{LONG, Running};
use crate::common::records::{Format, Record};
use crate::common::{Directory, Node, program, run};
use bottlerocket_simulator::Command::{self as Action, Activate, Prepare, Refresh};
use bottlerocket_simulator::{MANUAL, Options, State, calendar};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// How many system calls one update may take, however the clock jumps: one that
/// spins makes many times that.
const CALLS_MAX: usize = 1_000;

/// What libfaketime is told, and the year that there is then.
const JUMPS: [(&str, &str); 10] = [
    ("-2h", ""),
    ("+2h", ""),
    ("-10y", ""),
    ("@1970-01-01 00:00:00", "1970"),
    // The clock of the programs begins in 1970.
    ("@1960-01-01 00:00:00", "1970"),
    ("@2038-01-19 03:14:07", "2038"),
    ("@2106-02-07 06:28:15", "2106"),
    ("@9999-12-31 23:59:59", ""),
    // The last four digits.
    ("+8000y", "00"),
    // It stands still.
    ("2026-11-25 12:00:00", "2026"),
];

/// A node, and an updater's own idea of the time.
struct Elsewhen {
    node: Node,
    directory: Directory,
}

impl Elsewhen {
    fn new(options: Options) -> Self {
        let directory = Directory::new();
        fs::create_dir(directory.path().join("state-dir")).unwrap();
        let boot_id_file = Some(directory.path().join("boot_id"));
        let new = Self { node: Node::start(Options { boot_id_file, ..options }), directory };
        new.set("+0");
        new
    }

    /// Sets the clock, as libfaketime has it: an offset, or from when on it runs,
    /// or where it stands still, in UTC.
    fn set(&self, time: &str) {
        let file = self.clock();
        let new = file.with_extension("new");
        fs::write(&new, format!("{time}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    fn clock(&self) -> PathBuf {
        self.directory.path().join("clock")
    }

    /// Where the emulator writes down the system calls.
    fn calls(&self) -> PathBuf {
        self.directory.path().join("calls")
    }

    fn updater(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("qemu-x86_64");
        // Neither the program nor its files are to be told another time.
        command.env("LD_PRELOAD", LIBRARY).env("FAKETIME_TIMESTAMP_FILE", self.clock());
        command.envs([
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
            ("TZ", "UTC"),
        ]);
        command.arg("-strace").arg("-D").arg(self.calls());
        command.arg(program("updater").get_program()).arg("-socket").arg(self.node.path());
        command.arg("-state-dir").arg(self.directory.path().join("state-dir"));
        command.arg("-boot-id").arg(self.directory.path().join("boot_id"));
        command.args(arguments);
        command
    }

    /// A daemon that looks often. (It is killed in the end: qemu 7.2 hands
    /// signals to programs on a stack that is out of line.)
    fn daemon(&self, arguments: &[&str]) -> Running {
        Running::start(self.updater(&["-interval=100ms", "-jitter=0s"]).args(arguments))
    }

    /// One cycle, at this time: its records.
    #[track_caller]
    fn cycle(&self, time: &str) -> Vec<Record> {
        self.set(time);
        let ran = run(&mut self.updater(&["-one-time"]));
        assert_eq!(ran.status, Some(0), "{ran:?}");
        ran.stderr.lines().map(|line| record(line).1).collect()
    }

    fn set_time(&self, action: Action, time: Duration) {
        self.node.change(|node, _| *node.options.time(action) = time);
    }

    #[track_caller]
    fn wait_for_busy(&self, action: Action) {
        let busy = self.node.wait_until(LONG, |view| view.node.busy() == Some(action));
        assert!(busy, "no {}: {:?}", action.name(), self.node.requested());
    }

    fn finish(&self, action: Action) {
        self.set_time(action, Duration::ZERO);
        self.node.finish();
    }

    /// Waits until the status has been asked for so many times more.
    #[track_caller]
    fn wait_for_status_requests(&self, count: usize) {
        let looks = self.node.look(|view| view.count("GET", "/updates/status")) + count;
        let looked = self.node.wait_until(LONG, |v| v.count("GET", "/updates/status") >= looks);
        assert!(looked, "{:?}", self.node.requested());
    }
}

/// The time in a line, and the record with the real time instead, which is all
/// that its reader takes.
#[track_caller]
fn record(line: &str) -> (String, Record) {
    let (time, rest) = line.strip_prefix("time=").and_then(|line| line.split_once(' ')).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let form = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    let now = calendar::timestamp(now);
    assert_eq!(form(time), "0000-00-00T00:00:00.000Z", "{line}");
    let number = |at: std::ops::Range<usize>| time[at].parse::<u32>().unwrap();
    assert!((1..=12).contains(&number(5..7)) && (1..=31).contains(&number(8..10)), "{line}");
    assert!(number(11..13) < 24 && number(14..16) < 60 && number(17..19) < 60, "{line}");
    let real = format!("time={}.000Z {rest}", &now[..19]);
    (time.into(), Record::read(Format::Logfmt, &real))
}

#[test]
#[ignore = "needs an emulator and libfaketime: scripts/test/test-clock-jumps"]
fn an_update_ends_whatever_the_clock_does() {
    let phases = [Refresh, Prepare, Activate];
    let cases = phases.into_iter().flat_map(|phase| JUMPS.map(|jump| (phase, jump)));
    side_by_side(cases.collect(), |(phase, (jump, year))| {
        let what = format!("{jump} in {}", phase.name());
        let at = Elsewhen::new(Node::instant());
        at.set_time(phase, MANUAL);
        let mut updater = Running::start(&mut at.updater(&["-one-time"]));
        at.wait_for_busy(phase);
        at.wait_for_status_requests(1);
        at.set(jump);
        at.wait_for_status_requests(2);
        at.finish(phase);
        assert_eq!(updater.status(), Some(0), "{what}: {:?}", updater.log);
        let outcome: Vec<_> = updater.log.iter().map(|line| record(line)).collect();
        let events: Vec<_> = outcome.iter().map(|(_, record)| record.get("event")).collect();
        assert_eq!(events, ["preparing", "prepared", "activated", "ready"], "{what}");
        // It did jump.
        let (last, _) = outcome.last().unwrap();
        assert!(last.starts_with(year), "{what}: {last}");
        assert_eq!(at.node.look(|view| view.node.state()), Some(State::Ready), "{what}");
        for action in phases {
            let sent = at.node.look(|view| view.count("POST", action.path()));
            assert_eq!(sent, 1, "{what}: {}", action.name());
        }
        let calls = fs::read_to_string(at.calls()).unwrap().lines().count();
        assert!((50..CALLS_MAX).contains(&calls), "{what}: {calls} system calls");
    });
}

#[test]
#[ignore = "needs an emulator and libfaketime: scripts/test/test-clock-jumps"]
fn deadlines_and_intervals_do_not_follow_the_wall_clock() {
    const DEADLINE: Duration = Duration::from_secs(2);
    side_by_side(JUMPS.into(), |(jump, _)| {
        // A command that does not end, neither earlier nor later.
        let at = Elsewhen::new(Node::instant());
        at.set_time(Prepare, MANUAL);
        let begin = Instant::now();
        let mut updater = at.daemon(&["-prepare-timeout=2s"]);
        at.wait_for_busy(Prepare);
        at.set(jump);
        updater.wait_for("event=command_overdue");
        assert!(begin.elapsed() >= DEADLINE, "{jump}: {:?}", begin.elapsed());
        at.finish(Prepare);
        updater.wait_for("event=ready");
        // The interval, back in the present.
        at.set("+0");
        at.wait_for_status_requests(3);
        drop(updater);

        // A socket that is away.
        at.node.remove_socket();
        let begin = Instant::now();
        let mut updater = at.daemon(&["-give-up=2s"]);
        updater.wait_for("event=api_lost");
        at.set(jump);
        updater.wait_for("event=gave_up");
        assert!(begin.elapsed() >= DEADLINE, "{jump}: {:?}", begin.elapsed());
        assert_eq!(updater.status(), Some(3));
    });
}

/// The value of a sample.
fn sample(port: u16, name: &str) -> Option<f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let start = format!("bottlerocket_{name} ");
    page.lines().find_map(|line| line.strip_prefix(&start)).map(|value| value.parse().unwrap())
}

#[test]
#[ignore = "needs an emulator and libfaketime: scripts/test/test-clock-jumps"]
fn windows_follow_the_wall_clock() {
    let at = Elsewhen::new(Node::instant());
    // A Monday, half an hour before.
    at.set("2026-11-23 09:30:00");
    let mut updater = at.daemon(&["-window=Mon 10:00-11:00", "-metrics-address=127.0.0.1:0"]);
    updater.wait_for("event=serving_metrics");
    let port = record(updater.log.last().unwrap()).1.get("port").parse().unwrap();
    updater.wait_for("event=window_closed");
    let outcome = |updater: &Running, opens: &str| {
        let (_, record) = record(updater.log.last().unwrap());
        assert_eq!(record.get("opens"), opens);
    };
    outcome(&updater, "2026-11-23T10:00:00.000Z");
    let opens = || sample(port, "update_window_next_open_timestamp_seconds");
    let is_open = || sample(port, "update_window_open");
    assert_eq!((is_open(), opens()), (Some(0.0), Some(1_795_428_000.0)));

    // However far it jumps, a closed window stays closed, and the page says when it
    // opens.
    for (time, next_open) in [
        // A Thursday, and the Monday after it.
        ("1970-01-01 00:00:00", 4.0 * 86_400.0 + 36_000.0),
        ("1960-01-01 00:00:00", 4.0 * 86_400.0 + 36_000.0),
        // A Sunday.
        ("2106-02-07 06:28:16", 4_294_967_296.0 + 86_400.0 + 12_704.0),
        // A Friday.
        ("9999-12-31 23:59:59", 253_402_300_800.0 + 2.0 * 86_400.0 + 36_000.0),
        // The second before, and that behind the last.
        ("2026-11-23 09:59:59", 1_795_428_000.0),
        ("2026-11-23 11:00:00", 1_795_428_000.0 + 7.0 * 86_400.0),
    ] {
        at.set(time);
        at.wait_for_status_requests(3);
        assert_eq!((is_open(), opens()), (Some(0.0), Some(next_open)), "{time}");
        // What is told as an age does not jump.
        let age = sample(port, "api_last_answer_age_seconds").unwrap();
        assert!(age < LONG.as_secs_f64(), "{time}: {age}");
        assert_eq!(at.node.look(|view| view.node.state()), Some(State::Available), "{time}");
    }

    // It opens, and closes while the node prepares, which comes to its end.
    at.set_time(Prepare, MANUAL);
    at.set("2026-11-23 10:30:00");
    at.wait_for_busy(Prepare);
    assert_eq!((is_open(), opens()), (Some(1.0), None));
    at.set("2026-11-23 12:00:00");
    at.finish(Prepare);
    updater.wait_for("event=window_closed");
    outcome(&updater, "2026-11-30T10:00:00.000Z");
    at.wait_for_status_requests(3);
    assert_eq!(at.node.look(|view| view.node.state()), Some(State::Staged));

    // It opens once more, because somebody sets the clock back.
    at.set("2026-11-23 10:59:59");
    updater.wait_for("event=ready");
    assert_eq!(at.node.look(|view| view.node.state()), Some(State::Ready));
    let activated = at.node.look(|view| view.count("POST", Activate.path()));
    assert_eq!(activated, 1);
}

#[test]
#[ignore = "needs an emulator and libfaketime: scripts/test/test-clock-jumps"]
fn a_version_is_held_back_by_the_wall_clock() {
    let broken = || {
        let at = Elsewhen::new(Options { no_boot: vec!["1.26.1".into()], ..Node::instant() });
        let outcome = at.cycle("2026-11-25 12:00:00");
        assert_eq!(outcome.last().unwrap().get("event"), "ready");
        at.node.run(Action::Reboot).unwrap();
        at
    };
    let held = |outcome: &[Record], left: &str| {
        let last = outcome.last().unwrap();
        assert_eq!((last.get("event"), last.get("retry_in")), ("held_back", left), "{outcome:?}");
    };
    let tried = |outcome: &[Record]| {
        assert_eq!(outcome.last().unwrap().get("event"), "ready", "{outcome:?}")
    };
    // It did not come up at the first of these times. Each cycle is at one of the
    // times, with what is left of the pause, or nothing if it is over.
    let cases: [&[(&str, &str)]; 6] = [
        &[
            ("2026-11-25 13:00:00", "24h"),
            ("2026-11-26 12:00:00", "1h"),
            ("2026-11-26 13:00:00", ""),
        ],
        // Forward: all of that counts as passed.
        &[("2026-11-25 13:00:00", "24h"), ("2106-02-07 06:28:15", "")],
        &[("2026-11-25 13:00:00", "24h"), ("9999-12-31 23:59:59", "")],
        // Back: the pause begins anew, and is no longer than it was meant to be.
        &[
            ("2026-11-25 13:00:00", "24h"),
            ("2025-11-25 13:00:00", "24h"),
            ("2025-11-26 12:59:00", "1m"),
            ("2025-11-26 13:00:00", ""),
        ],
        // A clock that was far ahead when it was found out.
        &[
            ("2106-02-07 06:28:15", "24h"),
            ("2026-11-25 13:00:00", "24h"),
            ("2026-11-26 13:00:00", ""),
        ],
        // One that began in 1970, and was set right.
        &[
            ("1970-01-01 00:00:10", "24h"),
            ("1970-01-01 23:00:10", "1h"),
            ("2026-11-25 13:00:00", ""),
        ],
    ];
    side_by_side(cases.into(), |times| {
        let at = broken();
        for (time, left) in times {
            let outcome = at.cycle(time);
            match *left {
                "" => tried(&outcome),
                left => held(&outcome, left),
            }
        }
    });
}
