//! How often a command that fails is sent again.

use super::*;
use std::format;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A node on which some commands fail.
struct Node {
    script: Script,
    state: &'static str,
    version: &'static str,
    last: String,
    timestamp: u32,
    /// The commands that fail.
    failing: &'static [&'static str],
    /// When each command other than a refresh was sent, since the beginning.
    sent: Vec<(&'static str, Duration)>,
    refreshes: usize,
    begin: Duration,
    logged: Vec<String>,
}

impl Node {
    fn new(state: &'static str, failing: &'static [&'static str], schedule: Schedule) -> Self {
        let settings = Settings { retry_after: schedule.interval, ..Settings::default() };
        let script = Script::with(settings, History::default(), schedule, 1);
        let begin = script.now;
        let (version, last, logged) = ("1.26.1", String::new(), Vec::new());
        let (timestamp, sent, refreshes) = (0, Vec::new(), 0);
        Self { script, state, version, last, timestamp, failing, sent, refreshes, begin, logged }
    }

    /// Restarts the updater.
    fn restart(&mut self, schedule: Schedule) {
        let settings = Settings { retry_after: schedule.interval, ..Settings::default() };
        let now = self.script.now;
        self.script = Script::with(settings, History::default(), schedule, 1);
        self.script.now = now;
    }

    /// Answers calls until `time` after the beginning.
    fn run(&mut self, time: Duration) {
        // Ends: each cycle takes at least an interval.
        while self.script.now < self.begin + time {
            let Next::Call(call, pause) = self.script.next else { panic!("it ended") };
            let answer = match call {
                Call::Start(command) => {
                    let name = command.name();
                    let now = self.script.now + pause - self.begin;
                    match command {
                        Command::Refresh => self.refreshes += 1,
                        _ => self.sent.push((name, now)),
                    }
                    let fails = self.failing.contains(&name);
                    self.timestamp += 1;
                    let outcome = if fails { "!Failed" } else { "" };
                    self.last = format!("{name}{outcome}@{}", self.timestamp);
                    if name == "prepare" && !fails {
                        self.state = "Staged";
                    }
                    "204".into()
                }
                _ => {
                    let (state, version, last) = (self.state, self.version, &self.last);
                    let staged = if state == "Available" { "-" } else { version };
                    format!("{state} {version} {staged} {last}")
                }
            };
            let (_, lines) = self.script.give(answer.trim_end());
            self.logged.extend(lines);
        }
    }

    /// When `command` was sent, in minutes since the beginning.
    fn minutes(&self, command: &str) -> Vec<u64> {
        let sent = self.sent.iter().filter(|(name, _)| *name == command);
        sent.map(|(_, at)| at.as_secs() / 60).collect()
    }
}

/// Each of these would be a download of an image, 144 times a day.
#[test]
fn prepare_that_always_fails_is_sent_less_than_15_times_a_day() {
    let mut node = Node::new("Available", &["prepare"], SCHEDULE);
    node.run(DAY);
    let minutes = node.minutes("prepare");
    assert!(minutes.len() < 15, "{minutes:?}");
    // The pauses double from the interval up to six hours, and begin with a cycle.
    assert_eq!(minutes, [0, 10, 30, 70, 150, 310, 630, 990, 1350]);
    // The refreshes go on, so that another version is noticed.
    assert!(node.refreshes > 140, "{}", node.refreshes);
}

#[test]
fn log_says_when_a_failed_command_is_sent_again() {
    let mut node = Node::new("Available", &["prepare"], SCHEDULE);
    node.run(2 * HOUR);
    let delayed = node.logged.iter().filter(|line| line.contains("waiting before"));
    let first = "info msg=\"a command failed, waiting before sending it again\" \
                 command=prepare version=1.26.1 retry_in=9m59s";
    assert_eq!(delayed.clone().next().map(String::as_str), Some(first));
}

/// Each prepare succeeds and each activate fails. The node would download the image in
/// every cycle.
#[test]
fn prepare_waits_for_the_pause_of_the_activate() {
    let mut node = Node::new("Staged", &["activate"], SCHEDULE);
    node.run(DAY);
    assert_eq!(node.minutes("activate"), [0, 10, 30, 70, 150, 310, 630, 990, 1350]);
    assert_eq!(node.minutes("prepare"), [10, 30, 70, 150, 310, 630, 990, 1350]);
}

#[test]
fn another_version_or_a_restart_begins_anew() {
    let mut node = Node::new("Available", &["prepare"], SCHEDULE);
    node.run(5 * HOUR);
    let before = node.minutes("prepare");
    assert_eq!(before, [0, 10, 30, 70, 150]);
    node.version = "1.26.2";
    node.run(6 * HOUR);
    assert_eq!(node.minutes("prepare")[before.len()..], [300, 310, 330]);
    node.restart(SCHEDULE);
    node.run(7 * HOUR);
    assert_eq!(node.minutes("prepare")[before.len() + 3..], [360, 370, 390]);
}

#[test]
fn interval_of_more_than_six_hours_is_not_shortened() {
    let schedule = Schedule { interval: 8 * HOUR, ..SCHEDULE };
    let mut node = Node::new("Available", &["prepare"], schedule);
    node.run(2 * DAY);
    assert_eq!(node.minutes("prepare"), [0, 480, 960, 1440, 1920, 2400]);
}
