//! The daemon on a scripted clock, without sockets. The rows have the form of those in
//! the cycle's tests.

extern crate std;
use super::*;
use crate::api::Command;
use crate::tests::Numbers;
use crate::updater::cycle::tests::{AnyAnswer, Row, answer, answer_and_delay, any_windows, line};
use crate::updater::history::tests::any_history;
use crate::updater::window::Windows;
use std::string::String;
use std::vec::Vec;

mod boots;
mod clocks;
mod outages;
mod random;
mod retries;
mod schedule;
mod windows;

const MINUTE: Duration = Duration::from_secs(60);
/// The longest pause within a cycle.
const IN_CYCLE_MAX: Duration = Duration::from_secs(5);
const FOR_EVER: Duration = Duration::from_millis(u64::MAX);

const SCHEDULE: Schedule = Schedule {
    once: false,
    interval: Duration::from_secs(600),
    jitter: Duration::ZERO,
    give_up: Duration::from_secs(300),
};

/// The time at which all clocks show `now`.
fn at(now: Duration) -> Now {
    Now { now, since_boot: now, utc: now }
}

/// Settings with which a cycle on a node that is Ready makes a single call.
fn hands_off() -> Settings {
    Settings { refresh_ready: false, ..Settings::default() }
}

/// A daemon in progress.
struct Script {
    daemon: Daemon,
    next: Next,
    now: Duration,
}

impl Script {
    fn new(schedule: Schedule, random: u64) -> Self {
        Self::with(hands_off(), History::default(), schedule, random)
    }

    fn with(settings: Settings, history: History, schedule: Schedule, random: u64) -> Self {
        let (daemon, next) = Daemon::begin(settings, history, schedule, random);
        Self { daemon, next, now: Duration::from_secs(86_400) }
    }

    /// Answers the next call. Returns the pause before the call, and the log lines after
    /// the answer.
    #[track_caller]
    fn give(&mut self, text: &str) -> (Duration, Vec<String>) {
        let Next::Call(call, pause) = self.next else {
            panic!("ended with {:?} before {text:?}", self.next);
        };
        let (answer, delay) = answer_and_delay(text);
        self.now = self.now.saturating_add(pause).saturating_add(delay);
        let mut lines = Vec::new();
        let emit = &mut |event: Event| lines.extend(line(&event));
        self.next = self.daemon.on_answer(at(self.now), call, &answer, emit);
        (pause, lines)
    }

    #[track_caller]
    fn row(&mut self, (call, time, text, logged): Row) -> &mut Self {
        let time = Duration::from_millis(time);
        if let Next::Call(next, pause) = self.next {
            assert_eq!(next.name(), call, "before {text:?}");
            // Within a cycle, the answer may come later than the pause ends.
            let is_in_cycle = !pause.is_zero() && time <= IN_CYCLE_MAX;
            assert!(pause == time || pause < time && is_in_cycle, "{pause:?} before {text:?}");
            self.next = Next::Call(next, time);
        }
        let (_, lines) = self.give(text);
        assert_eq!(lines.join("\n"), logged, "after {call} {text:?}");
        self
    }

    #[track_caller]
    fn rows(&mut self, rows: &[Row]) -> &mut Self {
        for row in rows {
            self.row(*row);
        }
        self
    }

    #[track_caller]
    fn ends(&self, end: End) {
        assert_eq!(self.next, Next::End(end));
    }

    /// Answers the next calls, after which nothing may be logged. Returns the pauses before
    /// them.
    #[track_caller]
    fn pauses(&mut self, text: &str, times: usize) -> Vec<Duration> {
        let silent = |_| {
            let (pause, lines) = self.give(text);
            assert!(lines.is_empty(), "{lines:?}");
            pause
        };
        (0..times).map(silent).collect()
    }
}

/// The beginning of the line that says when the next cycle begins.
const DEFERRED: &str = "info msg=\"waiting before the next cycle, so that nodes do not act at \
                        the same time\" begins_in=";
const NOTHING: &str = "info msg=\"nothing to do\" state=Idle running=1.26.0 \
                       variant=aws-k8s-1.30 arch=x86_64";
const READY: &str = "info msg=\"ready, waiting for the reboot\" state=Ready next=1.26.1 \
                     running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
const FOUND: &str = "info msg=\"update found, preparing it\" running=1.26.0 version=1.26.1 \
                     variant=aws-k8s-1.30 arch=x86_64";
const REFUSED: &str = "error msg=\"the API is unavailable\" call=status \
                       error=\"cannot connect: connection refused (is the API server running? if \
                       it has made a new socket, restart the container that still mounts the old one)\"";
const SILENT: &str = "error msg=\"the API is unavailable\" call=status \
                      error=\"timed out waiting for a response\"";
const DENIED: &str = "error msg=\"the API is unavailable\" call=status \
                      error=\"cannot connect: permission denied (needs uid 0 or group 274, and \
                      the SELinux type control_t)\"";
