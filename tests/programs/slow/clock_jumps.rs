//! The wall clock is set while the updater runs.
//!
//! An emulator runs the updater, and libfaketime gives the emulator a time from a file,
//! which it reads each time. The updater's monotonic clock, by which it waits, is the real
//! one. `scripts/test/test-clock-jumps` runs these tests.

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

/// The maximum number of system calls of an update. A busy loop makes many more.
const CALLS_MAX: usize = 1_000;

/// The settings of libfaketime, and the start of the year after the jump.
const JUMPS: [(&str, &str); 10] = [
    ("-2h", ""),
    ("+2h", ""),
    ("-10y", ""),
    ("@1970-01-01 00:00:00", "1970"),
    // The programs' clock starts in 1970.
    ("@1960-01-01 00:00:00", "1970"),
    ("@2038-01-19 03:14:07", "2038"),
    ("@2106-02-07 06:28:15", "2106"),
    ("@9999-12-31 23:59:59", ""),
    // The log has the last four digits of the year.
    ("+8000y", "00"),
    // This clock stands still.
    ("2026-11-25 12:00:00", "2026"),
];

/// A node, and the wall clock of its updater.
struct FakeClock {
    node: Node,
    directory: Directory,
}

impl FakeClock {
    fn new(options: Options) -> Self {
        let directory = Directory::new();
        fs::create_dir(directory.path().join("state-dir")).unwrap();
        let boot_id_file = Some(directory.path().join("boot_id"));
        let new = Self { node: Node::start(Options { boot_id_file, ..options }), directory };
        new.set("+0");
        new
    }

    /// Sets the clock, in the format of libfaketime: an offset, a start time, or a time at
    /// which the clock stands still, in UTC.
    fn set(&self, time: &str) {
        let file = self.clock();
        let new = file.with_extension("new");
        fs::write(&new, format!("{time}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    fn clock(&self) -> PathBuf {
        self.directory.path().join("clock")
    }

    /// The emulator's log of the system calls.
    fn calls(&self) -> PathBuf {
        self.directory.path().join("calls")
    }

    fn updater(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("qemu-x86_64");
        // Only the wall clock is fake, not the monotonic clock nor the times of files.
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

    /// A daemon that runs cycles often. The tests kill it: qemu 7.2 delivers signals on a
    /// misaligned stack.
    fn daemon(&self, arguments: &[&str]) -> Running {
        Running::start(self.updater(&["-test-interval=100ms", "-jitter=0s"]).args(arguments))
    }

    /// Runs one cycle at this time, and returns its log.
    #[track_caller]
    fn cycle(&self, time: &str) -> Vec<Record> {
        self.set(time);
        let ran = run(&mut self.updater(&["-one-time"]));
        let records: Vec<Record> = ran.stderr.lines().map(|line| record(line).1).collect();
        // An update that waits is not a success.
        let waits = records.last().is_some_and(|last| last.get("event") == "held_back");
        assert_eq!(ran.status, Some(i32::from(waits)), "{ran:?}");
        records
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

    /// Waits until there are `count` more requests for the status.
    #[track_caller]
    fn wait_for_status_requests(&self, count: usize) {
        let wanted = self.node.look(|view| view.count("GET", "/updates/status")) + count;
        let has_more = self.node.wait_until(LONG, |v| v.count("GET", "/updates/status") >= wanted);
        assert!(has_more, "{:?}", self.node.requested());
    }
}

/// Splits a log line into its time and the record. The record gets the real time, because
/// the parser accepts no other.
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
fn update_succeeds_with_each_jump_in_each_phase() {
    let phases = [Refresh, Prepare, Activate];
    let cases = phases.into_iter().flat_map(|phase| JUMPS.map(|jump| (phase, jump)));
    side_by_side(cases.collect(), |(phase, (jump, year))| {
        let label = format!("{jump} in {}", phase.name());
        let at = FakeClock::new(Node::instant());
        at.set_time(phase, MANUAL);
        let mut updater = Running::start(&mut at.updater(&["-one-time"]));
        at.wait_for_busy(phase);
        at.wait_for_status_requests(1);
        at.set(jump);
        at.wait_for_status_requests(2);
        at.finish(phase);
        assert_eq!(updater.status(), Some(0), "{label}: {:?}", updater.log);
        let records: Vec<_> = updater.log.iter().map(|line| record(line)).collect();
        let events: Vec<_> = records.iter().map(|(_, record)| record.get("event")).collect();
        assert_eq!(events, ["preparing", "prepared", "activated", "ready"], "{label}");
        // The clock did jump.
        let (last, _) = records.last().unwrap();
        assert!(last.starts_with(year), "{label}: {last}");
        assert_eq!(at.node.look(|view| view.node.state()), Some(State::Ready), "{label}");
        for action in phases {
            let sent = at.node.look(|view| view.count("POST", action.path()));
            assert_eq!(sent, 1, "{label}: {}", action.name());
        }
        let calls = fs::read_to_string(at.calls()).unwrap().lines().count();
        assert!((50..CALLS_MAX).contains(&calls), "{label}: {calls} system calls");
    });
}

#[test]
#[ignore = "needs an emulator and libfaketime: scripts/test/test-clock-jumps"]
fn timeouts_and_intervals_ignore_the_wall_clock() {
    const DEADLINE: Duration = Duration::from_secs(2);
    side_by_side(JUMPS.into(), |(jump, _)| {
        // The timeout of a command that never ends.
        let at = FakeClock::new(Node::instant());
        at.set_time(Prepare, MANUAL);
        let begin = Instant::now();
        let mut updater = at.daemon(&["-prepare-timeout=2s"]);
        at.wait_for_busy(Prepare);
        at.set(jump);
        updater.wait_for("event=command_overdue");
        assert!(begin.elapsed() >= DEADLINE, "{jump}: {:?}", begin.elapsed());
        at.finish(Prepare);
        updater.wait_for("event=ready");
        // The interval, after a jump back to the present.
        at.set("+0");
        at.wait_for_status_requests(3);
        drop(updater);

        // The timeout for a missing socket.
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
    let at = FakeClock::new(Node::instant());
    // A Monday, half an hour before the window.
    at.set("2026-11-23 09:30:00");
    let mut updater = at.daemon(&["-window=Mon 10:00-11:00", "-metrics-address=127.0.0.1:0"]);
    updater.wait_for("event=serving_metrics");
    let port = record(updater.log.last().unwrap()).1.get("port").parse().unwrap();
    updater.wait_for("event=window_closed");
    let assert_opens = |updater: &Running, opens: &str| {
        let (_, record) = record(updater.log.last().unwrap());
        assert_eq!(record.get("opens"), opens);
    };
    assert_opens(&updater, "2026-11-23T10:00:00.000Z");
    let opens = || sample(port, "update_window_next_open_timestamp_seconds");
    let is_open = || sample(port, "update_window_open");
    assert_eq!((is_open(), opens()), (Some(0.0), Some(1_795_428_000.0)));

    // After each jump the window is closed, and the metrics say when it opens.
    for (time, next_open) in [
        // A Thursday.
        ("1970-01-01 00:00:00", 4.0 * 86_400.0 + 36_000.0),
        ("1960-01-01 00:00:00", 4.0 * 86_400.0 + 36_000.0),
        // A Sunday.
        ("2106-02-07 06:28:16", 4_294_967_296.0 + 86_400.0 + 12_704.0),
        // A Friday.
        ("9999-12-31 23:59:59", 253_402_300_800.0 + 2.0 * 86_400.0 + 36_000.0),
        // The last second before the window, and the first second after it.
        ("2026-11-23 09:59:59", 1_795_428_000.0),
        ("2026-11-23 11:00:00", 1_795_428_000.0 + 7.0 * 86_400.0),
    ] {
        at.set(time);
        at.wait_for_status_requests(3);
        assert_eq!((is_open(), opens()), (Some(0.0), Some(next_open)), "{time}");
        // Ages do not jump.
        let age = sample(port, "api_last_answer_age_seconds").unwrap();
        assert!(age < LONG.as_secs_f64(), "{time}: {age}");
        assert_eq!(at.node.look(|view| view.node.state()), Some(State::Available), "{time}");
    }

    // The window opens, and closes during the prepare, which finishes.
    at.set_time(Prepare, MANUAL);
    at.set("2026-11-23 10:30:00");
    at.wait_for_busy(Prepare);
    assert_eq!((is_open(), opens()), (Some(1.0), None));
    at.set("2026-11-23 12:00:00");
    at.finish(Prepare);
    updater.wait_for("event=window_closed");
    assert_opens(&updater, "2026-11-30T10:00:00.000Z");
    at.wait_for_status_requests(3);
    assert_eq!(at.node.look(|view| view.node.state()), Some(State::Staged));

    // The clock is set back into the window.
    at.set("2026-11-23 10:59:59");
    updater.wait_for("event=ready");
    assert_eq!(at.node.look(|view| view.node.state()), Some(State::Ready));
    let activated = at.node.look(|view| view.count("POST", Activate.path()));
    assert_eq!(activated, 1);
}

#[test]
#[ignore = "needs an emulator and libfaketime: scripts/test/test-clock-jumps"]
fn windows_follow_the_clocks_of_their_time_zone() {
    let at = FakeClock::new(Node::instant());
    at.set("2027-03-28 00:00:00");
    let zone = ["-time-zone=Europe/Prague", "-window=02:30-04:00"];
    let mut updater = at.daemon(&[&zone[..], &["-metrics-address=127.0.0.1:0"]].concat());
    updater.wait_for("event=serving_metrics");
    let port = record(updater.log.last().unwrap()).1.get("port").parse().unwrap();
    updater.wait_for("event=window_closed");
    let (_, waits) = record(updater.log.last().unwrap());
    assert_eq!(waits.get("opens"), "2027-03-28T01:00:00.000Z");
    assert_eq!(waits.get("opens_local"), "2027-03-28T03:00:00.000+02:00");
    for (time, is_open, opens, offset) in [
        // The clocks go from 02:00 to 03:00.
        ("2027-03-28 00:59:59", 0.0, "2027-03-28T01:00Z", 7_200.0),
        ("2027-03-28 01:00:00", 1.0, "", 0.0),
        ("2027-03-28 01:59:59", 1.0, "", 0.0),
        ("2027-03-28 02:00:00", 0.0, "2027-03-29T00:30Z", 7_200.0),
        // They go from 03:00 to 02:00, so that it is twice half past two.
        ("2027-10-31 00:29:59", 0.0, "2027-10-31T00:30Z", 7_200.0),
        ("2027-10-31 00:30:00", 1.0, "", 0.0),
        ("2027-10-31 01:00:00", 1.0, "", 0.0),
        ("2027-10-31 01:30:00", 1.0, "", 0.0),
        ("2027-10-31 02:59:59", 1.0, "", 0.0),
        ("2027-10-31 03:00:00", 0.0, "2027-11-01T01:30Z", 3_600.0),
    ] {
        at.set(time);
        at.wait_for_status_requests(3);
        assert_eq!(sample(port, "update_window_open"), Some(is_open), "{time}");
        let opens = opens.parse::<jiff::Timestamp>().ok().map(|opens| opens.as_second() as f64);
        let name = "update_window_next_open_timestamp_seconds";
        assert_eq!(sample(port, name), opens, "{time}");
        let name = "update_window_next_open_utc_offset_seconds";
        assert_eq!(sample(port, name), opens.map(|_| offset), "{time}");
    }
}

#[test]
#[ignore = "needs an emulator and libfaketime: scripts/test/test-clock-jumps"]
fn hold_back_ignores_the_wall_clock() {
    /// How long the second version is held back.
    const HOLD: Duration = Duration::from_secs(4);
    side_by_side(JUMPS.into(), |(jump, _)| {
        let at = FakeClock::new(Options { no_boot: vec!["1.26.1".into()], ..Node::instant() });
        let outcome = at.cycle("2026-11-25 12:00:00");
        assert_eq!(outcome.last().unwrap().get("event"), "ready");
        at.node.run(Action::Reboot).unwrap();
        // The roll-back is noticed at this time; then the clock is right, wrong in the other
        // direction, and right again.
        for time in [jump, "+0", "1970-01-01 00:00:10", jump, "@9999-12-31 00:00:00", "+0"] {
            let outcome = at.cycle(time);
            let last = outcome.last().unwrap();
            assert_eq!(last.get("event"), "held_back", "{jump}: {time}: {outcome:?}");
            let left = last.get("retry_in");
            assert!(left == "24h" || left.starts_with("23h59m"), "{jump}: {time}: {left}");
        }
        // A shorter hold-back ends when its time has passed, whatever the clock shows.
        let begin = Instant::now();
        fs::remove_file(at.directory.path().join("state-dir/state")).unwrap();
        assert_eq!(at.cycle("+0").last().unwrap().get("event"), "ready");
        at.node.run(Action::Reboot).unwrap();
        let mut updater = at.daemon(&["-retry-failed-boot=4s"]);
        updater.wait_for("event=held_back");
        at.set(jump);
        updater.wait_for("event=ready");
        let took = begin.elapsed();
        assert!(took >= HOLD && took < LONG, "{jump}: {took:?}");
    });
}
