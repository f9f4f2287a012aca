//! Stories of clocks: the wall clock is set, the node is suspended, off, or boots with a
//! clock that is wrong.

use super::*;
use crate::api::status::{Image, copy};
use crate::text::duration::{HumanDuration, parse};
use std::format;
use std::string::ToString;

/// A day of 2026.
const TODAY: Duration = Duration::from_secs(1_795_325_532);
/// How long a node has been up when the updater looks for the first time.
const BOOT: Duration = Duration::from_secs(20);

fn image(version: &str) -> Image<'_> {
    Image { version, variant: "aws-k8s-1.30", arch: "x86_64" }
}

/// A node on which 1.26.1 does not boot, and its updater.
struct Story {
    daemon: Daemon,
    next: Next,
    clocks: Now,
    boots: u32,
    file: Vec<u8>,
    refreshes: u32,
}

impl Story {
    /// The node has just booted after 1.26.1 was activated.
    fn begin() -> Self {
        let mut history = History::new(copy("boot-0"), Some(24 * 60 * MINUTE));
        history.activating(image("1.26.1"), image("1.26.0"));
        let file = history.write().to_vec();
        let (daemon, next) = Daemon::begin(Settings::default(), history, SCHEDULE, 1);
        let clocks = Now { now: BOOT, since_boot: BOOT, utc: TODAY };
        let mut story = Self { daemon, next, clocks, boots: 1, file, refreshes: 0 };
        story.start();
        story
    }

    fn start(&mut self) {
        let boot = copy(&format!("boot-{}", self.boots));
        let mut history = History::new(boot, Some(24 * 60 * MINUTE));
        history.read(&self.file).unwrap();
        (self.daemon, self.next) = Daemon::begin(Settings::default(), history, SCHEDULE, 1);
    }

    /// Runs a cycle. Returns the time for which the version is still held back, or `tried`.
    fn look(&mut self) -> String {
        let mut held = None;
        loop {
            let Next::Call(call, _) = self.next else { panic!("{:?}", self.next) };
            let text = match call {
                Call::Status => format!("Available 1.26.1 - refresh@{}", self.refreshes),
                Call::Start(Command::Refresh) => {
                    self.refreshes += 1;
                    "204".to_string()
                }
                _ => return "tried".into(),
            };
            self.next = self.daemon.on_answer(self.clocks, call, &answer(&text), &mut |event| {
                if let Event::HeldBack { retry_in, .. } = event {
                    held = Some(retry_in);
                }
            });
            if self.daemon.history.has_changed() {
                self.file = self.daemon.history.write().to_vec();
                self.daemon.history.set_saved();
            }
            if let Some(held) = held {
                return HumanDuration(held).to_string();
            }
        }
    }

    /// Performs a step. Only a look returns something.
    ///
    /// - `look`: the updater runs a cycle
    /// - `run 1h`, `suspend 1h`, `off 1h`: the node runs, is suspended, or loses its power
    ///   and boots after that time
    /// - `restart`: only the updater starts again
    /// - `clock 1970`, `clock build`, `clock right`: the wall clock shows this
    /// - `ahead 1h`, `behind 1h`: somebody sets the wall clock forward or back
    fn step(&mut self, step: &str, right: &mut Duration) -> String {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        let time = parse(rest.as_bytes()).unwrap_or_default();
        let clocks = &mut self.clocks;
        match word {
            "look" => return self.look(),
            "run" | "suspend" | "off" => {
                clocks.utc = clocks.utc.saturating_add(time);
                *right += time;
            }
            "ahead" => clocks.utc += time,
            "behind" => clocks.utc = clocks.utc.saturating_sub(time),
            "clock" => {
                clocks.utc = match rest {
                    "1970" => Duration::ZERO,
                    "build" => TODAY - 400 * 24 * 60 * MINUTE,
                    "right" => *right,
                    "9999" => Duration::from_secs(253_402_300_799),
                    _ => panic!("{step}"),
                }
            }
            "restart" => {}
            _ => panic!("{step}"),
        }
        match word {
            "run" => {
                clocks.now += time;
                clocks.since_boot += time;
            }
            "suspend" => clocks.since_boot += time,
            "off" => {
                (clocks.now, clocks.since_boot) = (BOOT, BOOT);
                self.boots += 1;
                self.start();
            }
            "restart" => self.start(),
            _ => {}
        }
        String::new()
    }
}

#[test]
fn hold_back_counts_the_time_that_has_passed_whatever_the_wall_clock_shows() {
    // Steps, and what is left of the hold-back in the look after them.
    let stories: [(&str, &[(&str, &str)]); 14] = [
        ("a day", &[("run 23h", "1h"), ("run 59m", "1m"), ("run 1m", "tried")]),
        ("the updater restarts", &[("run 20h,restart", "4h"), ("restart,run 4h", "tried")]),
        (
            "one look with a clock ten years ahead",
            &[
                ("ahead 87600h", "24h"),
                ("clock right,run 1h", "23h"),
                ("run 22h", "1h"),
                ("run 1h", "tried"),
            ],
        ),
        (
            "one look with a clock in 1970",
            &[("run 1h,clock 1970", "23h"), ("clock right,run 22h", "1h"), ("run 1h", "tried")],
        ),
        (
            "the clock is set back and stays so",
            &[("behind 240h", "24h"), ("run 23h,behind 1h", "1h"), ("run 1h", "tried")],
        ),
        (
            "the clock steps all the time",
            &[
                ("ahead 1h,run 6h", "18h"),
                ("behind 100h,run 6h", "12h"),
                ("clock 9999,restart,run 6h", "6h"),
                ("clock 1970,restart,run 5h", "1h"),
                ("run 1h", "tried"),
            ],
        ),
        ("the node is suspended", &[("run 1h,suspend 22h", "1h"), ("suspend 1h", "tried")]),
        // The time for which it was off is not known. Nor is the time since the last save:
        // nothing is saved within an hour of the save before.
        (
            "the node boots",
            &[("run 2h", "22h"), ("off 5m", "21h59m40s"), ("run 21h59m40s", "tried")],
        ),
        (
            "the node boots half an hour after a save",
            &[("run 2h", "22h"), ("run 30m", "21h30m"), ("off 5m", "21h59m40s")],
        ),
        (
            "a dead clock, corrected after a minute",
            &[
                ("run 2h", "22h"),
                ("off 5m,clock 1970", "21h59m40s"),
                ("run 1m,clock right", "21h58m40s"),
                ("run 20h58m40s", "1h"),
                ("run 1h", "tried"),
            ],
        ),
        (
            "a clock at its build date, corrected after a minute",
            &[
                ("run 2h", "22h"),
                ("off 5m,clock build", "21h59m40s"),
                ("run 1m,clock right,restart", "21h58m40s"),
                ("run 21h58m40s", "tried"),
            ],
        ),
        (
            "dead clocks in many boots",
            &[
                ("off 1h,clock 1970", "24h"),
                ("run 90m", "22h30m"),
                ("off 1h,clock 1970", "22h29m40s"),
                ("run 22h29m40s", "tried"),
            ],
        ),
        ("off for a week", &[("run 2h", "22h"), ("off 168h", "21h59m40s")]),
        (
            "a clock of the year 9999 at a boot",
            &[("run 2h", "22h"), ("off 5m,clock 9999", "21h59m40s")],
        ),
    ];
    for (name, story) in stories {
        let mut node = Story::begin();
        let mut right = TODAY;
        assert_eq!(node.look(), "24h", "{name}");
        for (steps, left) in story {
            for step in steps.split(',') {
                node.step(step, &mut right);
            }
            assert_eq!(node.look(), *left, "{name}: after {steps}");
        }
    }
}
