//! The daemon by a script: no sockets, no clock. Rows are those of the cycle's
//! tests.

extern crate std;
use super::*;
use crate::api::Command;
use crate::updater::cycle::tests::{
    AnyAnswer, Numbers, Row, answer, answer_and_delay, any_windows, line,
};
use crate::updater::history::tests::any_history;
use crate::updater::window::Windows;
use std::string::String;
use std::vec::Vec;

const MINUTE: Duration = Duration::from_secs(60);
const FOR_EVER: Duration = Duration::from_millis(u64::MAX);

const SCHEDULE: Schedule = Schedule {
    once: false,
    interval: Duration::from_secs(600),
    jitter: Duration::ZERO,
    give_up: Duration::from_secs(300),
};

#[test]
fn silence_may_last_a_cycle_and_the_time_until_it_gives_up() {
    let seconds = Duration::from_secs;
    let schedule = |interval, jitter, give_up| Schedule {
        interval: seconds(interval),
        jitter: seconds(jitter),
        give_up: seconds(give_up),
        once: false,
    };
    assert_eq!(schedule(600, 60, 300).silence_max(), seconds(960));
    // At least a minute more than a cycle.
    assert_eq!(schedule(10, 0, 0).silence_max(), seconds(70));
    let endless = Schedule { give_up: Duration::MAX, ..SCHEDULE };
    assert_eq!(endless.silence_max(), Duration::MAX);
}

/// A time at which both clocks show this.
fn at(now: Duration) -> Now {
    Now { now, utc: now }
}

/// A daemon that is under way.
struct Script {
    daemon: Daemon,
    next: Next,
    now: Duration,
}

impl Script {
    fn new(schedule: Schedule, random: u64) -> Self {
        Self::with(Settings::default(), History::default(), schedule, random)
    }

    fn with(settings: Settings, history: History, schedule: Schedule, random: u64) -> Self {
        let (daemon, next) = Daemon::begin(settings, history, schedule, random);
        Self { daemon, next, now: Duration::from_secs(86_400) }
    }

    /// Gives the answer to the next call: the pause before it, and what is
    /// told then.
    #[track_caller]
    fn give(&mut self, text: &str) -> (Duration, Vec<String>) {
        let Next::Call(call, pause) = self.next else {
            panic!("over with {:?}, but {text:?} was to come", self.next);
        };
        let (answer, delay) = answer_and_delay(text);
        self.now = self.now.saturating_add(pause).saturating_add(delay);
        let mut lines = Vec::new();
        let emit = &mut |event: Event| lines.extend(line(&event));
        self.next = self.daemon.on_answer(at(self.now), call, &answer, emit);
        (pause, lines)
    }

    #[track_caller]
    fn row(&mut self, (call, pause, text, told): Row) -> &mut Self {
        if let Next::Call(next, _) = self.next {
            assert_eq!(next.name(), call, "before {text:?}");
        }
        let (waited, lines) = self.give(text);
        assert_eq!(waited, Duration::from_millis(pause), "before {call} {text:?}");
        assert_eq!(lines.join("\n"), told, "after {call} {text:?}");
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

    /// Gives the answer, of which nothing is told, once or more often: the
    /// pauses before it.
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

const NOTHING: &str = "info msg=\"nothing to do\" state=Idle running=1.26.0 \
                       variant=aws-k8s-1.30 arch=x86_64";
const READY: &str = "info msg=\"ready, waiting for the reboot\" state=Ready next=1.26.1 \
                     running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";
const FOUND: &str = "info msg=\"update found, preparing it\" running=1.26.0 version=1.26.1 \
                     variant=aws-k8s-1.30 arch=x86_64";
const REFUSED: &str = "error msg=\"the API is unavailable\" call=status \
                       error=\"cannot connect: connection refused (is the API server running? if \
                       it made a new socket, restart the container that has the old one mounted)\"";
const SILENT: &str = "error msg=\"the API is unavailable\" call=status \
                      error=\"sent, but no answer in time\"";
const DENIED: &str = "error msg=\"the API is unavailable\" call=status \
                      error=\"cannot connect: permission denied (needs uid 0 or group 274, and \
                      the SELinux type control_t)\"";

#[test]
fn cycle_after_cycle() {
    Script::new(SCHEDULE, 1).rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@1", NOTHING),
        ("status", 600_000, "Idle - - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@2", ""),
        ("prepare", 0, "204", FOUND),
        (
            "status",
            200,
            "Available 1.26.1 - prepare!Failed@3",
            "error msg=\"command failed\" command=prepare \
             status=Failed exit_status=1 took=200ms stderr=\"no space \\\"left\\\" on device\"",
        ),
        // A failure is no reason to hurry.
        ("status", 600_000, "Available 1.26.1 - prepare!Failed@3", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@4", ""),
        ("prepare", 0, "204", FOUND),
        (
            "status",
            200,
            "Staged 1.26.1 1.26.1 prepare@5",
            "info msg=prepared version=1.26.1 took=200ms",
        ),
        ("activate", 0, "204", ""),
        (
            "status",
            200,
            "Ready 1.26.1 1.26.1 activate@6",
            "info msg=activated version=1.26.1 took=200ms\n\
             info msg=\"ready, waiting for the reboot\" state=Ready next=1.26.1 running=1.26.0 \
             variant=aws-k8s-1.30 arch=x86_64",
        ),
        ("status", 600_000, "Ready 1.26.1 1.26.1 activate@6", READY),
        ("status", 600_000, "Ready 1.26.1 1.26.1 activate@6", READY),
        // The node has rebooted, and the image did not come up.
        ("status", 600_000, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@7", ""),
        ("prepare", 0, "204", FOUND),
    ]);
}

#[test]
fn one_cycle_alone() {
    let once = Schedule { once: true, jitter: MINUTE, ..SCHEDULE };
    for (rows, end) in [
        (&[("status", 0, "Ready 1.26.1 1.26.1 activate@1", READY)][..], End::Done),
        // Nobody is waited for who is not there.
        (&[("status", 0, "refused", REFUSED)], End::NoAnswer),
        (&[("status", 0, "denied", DENIED)], End::NoAnswer),
        (&[("status", 0, "+10s silence", SILENT)], End::NoAnswer),
        // But for somebody who was.
        (
            &[
                ("status", 0, "404", ""),
                ("refresh", 0, "204", ""),
                ("status", 200, "refused", REFUSED),
                ("status", 400, "missing", ""),
                ("status", 800, "423", "info msg=\"the API is available again\" after=1s200ms"),
                ("status", 1_600, "Idle - - refresh@1", NOTHING),
            ],
            End::Done,
        ),
        (
            &[
                ("status", 0, "404", ""),
                ("refresh", 0, "204", ""),
                ("status", 200, "+10s silence", SILENT),
                ("status", 400, "423", "info msg=\"the API is available again\" after=400ms"),
                ("status", 800, "Idle - - refresh@1", NOTHING),
            ],
            End::Done,
        ),
        // The last line says how it ended.
        (
            &[
                ("status", 0, "404", ""),
                (
                    "refresh",
                    0,
                    "break",
                    "error msg=\"the API is unavailable\" call=refresh \
                     error=\"the connection was closed without an answer\"",
                ),
                ("status", 200, "Idle - - refresh@1", NOTHING),
            ],
            End::Done,
        ),
    ] {
        Script::new(once, 1).rows(rows).ends(end);
    }
}

#[test]
fn the_first_cycle_is_anywhere_in_the_interval() {
    for jitter in [Duration::from_millis(1), MINUTE, FOR_EVER, Duration::MAX] {
        let first = |seed| {
            let mut script = Script::new(Schedule { jitter, ..SCHEDULE }, seed);
            // Whether the API is there is looked at at once.
            script.row(("status", 0, "404", ""));
            let (pause, _) = script.give("404");
            assert!(pause <= SCHEDULE.interval, "{jitter:?}: {pause:?}");
            script.row(("refresh", 0, "204", ""));
            pause
        };
        let pauses: Vec<_> = (0..1000).map(first).collect();
        assert!(pauses.iter().max().unwrap() >= &(SCHEDULE.interval * 9 / 10), "{jitter:?}");
        assert!(pauses.iter().min().unwrap() <= &(SCHEDULE.interval / 10), "{jitter:?}");
    }
}

#[test]
fn so_is_the_cycle_after_the_api_was_away() {
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    let mut pauses = Vec::new();
    for seed in 0..1000 {
        let mut script = Script::new(schedule, seed);
        script.row(("status", 0, "refused", REFUSED));
        script.pauses("refused", 5);
        script.give("404");
        let (pause, _) = script.give("404");
        assert!(pause <= schedule.interval, "{pause:?}");
        script.row(("refresh", 0, "204", ""));
        pauses.push(pause);
    }
    pauses.sort();
    assert!(pauses[100] < schedule.interval / 5 && pauses[900] > schedule.interval * 4 / 5);
}

#[test]
fn a_fleet_is_spread_evenly() {
    // Whether the numbers are good or, from a clock at boot, almost the same.
    type Seeds = fn(u64) -> u64;
    let seeds: [(&str, Seeds); 4] = [
        ("1, 2, 3", |node| node),
        ("microseconds", |node| 4_000_000_000 + 1_000 * node),
        ("high bits", |node| node << 48),
        ("random", |node| Numbers(node).below(u64::MAX)),
    ];
    for (kind, seed) in seeds {
        let mut first = [0u32; 60];
        let mut second = [0u32; 60];
        for node in 0..10_000 {
            let mut script = Script::new(Schedule { jitter: MINUTE, ..SCHEDULE }, seed(node));
            script.give("Ready");
            let (pause, _) = script.give("Ready");
            first[(pause.as_secs() / 10).min(59) as usize] += 1;
            let (pause, _) = script.give("Ready");
            let spread = pause.checked_sub(SCHEDULE.interval).unwrap();
            assert!(spread <= MINUTE, "{spread:?}");
            second[spread.as_secs().min(59) as usize] += 1;
        }
        for counts in [first, second] {
            // 167 are expected in each second, give or take 13.
            let even = counts.iter().all(|count| (100..250).contains(count));
            assert!(even, "seeds of {kind}: {counts:?}");
        }
    }
}

#[test]
fn one_node_is_spread_over_time() {
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    for seed in [0, 1, u64::MAX] {
        let mut script = Script::new(schedule, seed);
        script.give("Ready");
        script.give("Ready");
        let mut spreads = Vec::new();
        for _ in 0..1000 {
            let (pause, _) = script.give("Ready");
            spreads.push(pause - schedule.interval);
        }
        let mean = spreads.iter().sum::<Duration>() / 1000;
        assert!((27..33).contains(&mean.as_secs()), "{mean:?}");
        spreads.sort();
        spreads.dedup();
        assert!(spreads.len() > 950, "{}", spreads.len());
    }
}

#[test]
fn the_jitter_is_anything_up_to_all_of_it() {
    let millis = Duration::from_millis;
    let schedule = Schedule { jitter: millis(2), ..SCHEDULE };
    let mut counts = [0; 3];
    for random in 0..300 {
        let mut script = Script::with(Settings::default(), History::default(), schedule, random);
        let jitter = script.daemon.until_next_cycle(Duration::ZERO) - schedule.interval;
        counts[jitter.as_millis() as usize] += 1;
    }
    assert!(counts.iter().all(|count| (70..130).contains(count)), "{counts:?}");
}

#[test]
fn without_jitter_nothing_is_random() {
    for seed in 0..100 {
        let mut script = Script::new(SCHEDULE, seed);
        script.row(("status", 0, "Ready - 1.26.1", READY));
        script.row(("status", 600_000, "Ready - 1.26.1", READY));
        script.row(("status", 600_000, "Ready - 1.26.1", READY));
    }
}

#[test]
fn backoff_grows_up_to_a_minute() {
    let bounds = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Duration::from_secs);
    let mut distinct = Vec::new();
    for seed in 0..1000 {
        let mut script = Script::new(SCHEDULE, seed);
        script.row(("status", 0, "denied", DENIED));
        let pauses = script.pauses("denied", bounds.len());
        for (pause, bound) in pauses.iter().zip(bounds) {
            assert!((bound / 2..=bound).contains(pause), "{pauses:?}");
        }
        distinct.push(pauses[3]);
        // Back, for one call or for good, it begins anew.
        script.give("423");
        let begins_anew = script.give("denied");
        assert_eq!(begins_anew.1, [DENIED]);
        let (pause, _) = script.give("denied");
        assert!(pause <= Duration::from_secs(1), "{pause:?}");
    }
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > 800, "no node in step with another: {}", distinct.len());
}

#[test]
fn backoff_is_never_longer_than_the_interval() {
    let schedule = Schedule { interval: Duration::from_millis(1500), ..SCHEDULE };
    let mut script = Script::new(schedule, 1);
    script.row(("status", 0, "denied", DENIED));
    assert!(script.pauses("denied", 100).iter().all(|pause| *pause <= schedule.interval));
}

#[test]
fn said_once_and_said_when_it_is_back() {
    let mut script = Script::new(SCHEDULE, 1);
    script.row(("status", 0, "refused", REFUSED));
    let begin = script.now;
    script.pauses("missing", 3);
    // Once for each kind of outage, so that the last one is known.
    let kinds = [("denied", DENIED), ("+10s silence", SILENT), ("refused", REFUSED)];
    for (text, told) in kinds {
        assert_eq!(script.give(text).1, [told]);
        script.pauses(text, 3);
    }
    let (_, told) = script.give("Ready - 1.26.1");
    let after = crate::text::duration::HumanDuration(script.now - begin);
    let back = std::format!("info msg=\"the API is available again\" after={after}");
    assert_eq!(told, [back.as_str(), READY]);
    script.row(("status", 600_000, "refused", REFUSED));
}

#[test]
fn a_command_that_the_api_cannot_do() {
    let lost = "error msg=\"the API is unavailable\" call=refresh \
                error=\"the API answered 500: out of memory\"";
    let mut script = Script::new(SCHEDULE, 1);
    script.row(("status", 0, "404", "")).row(("refresh", 0, "500 out of memory", lost));
    let begin = script.now;
    // That the status can be read does not mean that it is back, nor that it
    // may be asked as often as in the beginning.
    for bound in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600].map(Duration::from_secs) {
        let (pause, told) = script.give("404");
        assert!((bound / 2..=bound).contains(&pause), "{pause:?}");
        assert_eq!(told, [""; 0]);
        script.row(("refresh", 0, "500 out of memory", ""));
    }
    script.give("404");
    let (_, told) = script.give("204");
    let after = crate::text::duration::HumanDuration(script.now - begin);
    assert_eq!(told, [std::format!("info msg=\"the API is available again\" after={after}")]);
    script.row(("status", 200, "Idle - - refresh@1", NOTHING));
    script.row(("status", 600_000, "Idle - - refresh@1", ""));
}

#[test]
fn back_as_soon_as_a_command_is_seen_to_run() {
    // A prepare takes minutes: nobody is to believe for so long that the API
    // cannot be used.
    let back = "info msg=\"the API is available again\" after=";
    let lost = |command: &str| {
        let lost = std::format!(
            "error msg=\"the API is unavailable\" call={command} \
             error=\"the connection was closed without an answer\""
        );
        &*std::boxed::Box::leak(lost.into_boxed_str())
    };
    let mut script = Script::new(SCHEDULE, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "break", lost("refresh")),
        ("status", 200, "reset", ""),
    ]);
    let (_, told) = script.give("423");
    assert_eq!(told, [std::format!("{back}600ms")]);
    script.rows(&[
        ("status", 800, "Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "break", lost("prepare")),
    ]);
    // It is over already when it is looked at.
    let (_, told) = script.give("Staged 1.26.1 1.26.1 prepare@2");
    let prepared = "info msg=prepared version=1.26.1 took=200ms";
    assert_eq!(told, [FOUND, prepared, &std::format!("{back}200ms")]);
    // Somebody else's command does not count.
    script.rows(&[
        ("activate", 0, "break", lost("activate")),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("activate", 0, "break", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
    ]);
    let again = Call::Start(crate::api::Command::Activate);
    assert_eq!(script.next, Next::Call(again, Duration::ZERO));

    // Nor does it matter what became of it.
    let mut script = Script::new(SCHEDULE, 1);
    script.rows(&[("status", 0, "404", ""), ("refresh", 0, "break", lost("refresh"))]);
    let (_, told) = script.give("Idle - - refresh!Failed@1");
    let failed = "error msg=\"command failed\" command=refresh status=Failed exit_status=1 \
                  took=200ms stderr=\"no space \\\"left\\\" on device\"";
    assert_eq!(told, [failed, &std::format!("{back}200ms")]);
}

#[test]
fn it_gives_up_exactly_when_it_is_told_to() {
    for text in ["refused", "missing"] {
        for give_up in [0, 1, 999, 1_000, 7_777, 300_000, 3_600_000].map(Duration::from_millis) {
            for seed in 0..50 {
                let mut script = Script::new(Schedule { give_up, ..SCHEDULE }, seed);
                script.give("Ready");
                let (_, mut told) = script.give(text);
                let begin = script.now;
                while script.next != Next::End(End::NoAnswer) {
                    let (_, lines) = script.give(text);
                    told.extend(lines);
                }
                assert_eq!(script.now - begin, give_up);
                let [_, gave_up] = &told[..] else { panic!("{told:?}") };
                let short = crate::text::duration::HumanDuration(give_up);
                assert!(
                    gave_up.starts_with("error msg=\"the socket is unreachable; exiting "),
                    "{gave_up}"
                );
                assert!(gave_up.contains(&std::format!(" after={short} ")), "{gave_up}");
                assert!(gave_up.contains(" error=\"cannot connect: "), "{gave_up}");
            }
        }
    }
}

#[test]
fn it_gives_up_in_the_middle_of_a_cycle_as_well() {
    let give_up = Duration::from_millis(47_777);
    let mut script = Script::new(Schedule { give_up, ..SCHEDULE }, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "423", ""),
        ("status", 400, "refused", REFUSED),
    ]);
    let begin = script.now;
    while script.next != Next::End(End::NoAnswer) {
        script.give("refused");
    }
    assert_eq!(script.now - begin, give_up);
}

#[test]
fn a_cycle_that_ends_without_the_api() {
    // The refresh has no result in time because nobody is there to tell: the
    // next try is not made after the interval, but as soon as for a cycle
    // that begins without the API.
    let overdue = "error msg=\"command timed out; it may still be running\" \
                   command=refresh timeout=1m";
    for (text, lost) in [("refused", REFUSED), ("+10s silence", SILENT)] {
        let mut script = Script::new(SCHEDULE, 1);
        script.rows(&[("status", 0, "404", ""), ("refresh", 0, "204", "")]);
        script.row(("status", 200, text, lost));
        let begin = script.now;
        while script.give(text).1 != [overdue] {}
        let pauses = script.pauses(text, 3);
        assert!(pauses.iter().all(|pause| *pause <= 4 * BACKOFF_MIN), "{text}: {pauses:?}");
        if text == "refused" {
            while script.next != Next::End(End::NoAnswer) {
                script.give(text);
            }
            assert_eq!(script.now - begin, SCHEDULE.give_up);
        }
    }
}

#[test]
fn what_answers_is_not_given_up() {
    // Neither an answer of any kind, nor a socket that is there but of no use,
    // is a reason for a restart of the container.
    for text in ["423", "500 why", "denied", "+10s silence", "full", "break", "garbage"] {
        let mut script = Script::new(SCHEDULE, 1);
        for _ in 0..20 {
            script.give("refused");
            let begin = script.now;
            while script.now - begin < Duration::from_secs(240) {
                script.give("refused");
            }
            script.give(text);
            assert!(matches!(script.next, Next::Call(..)), "{text}");
        }
        // From the first refusal on that follows, not from the last answer.
        let begin = script.now;
        let (pause, _) = script.give("refused");
        while script.next != Next::End(End::NoAnswer) {
            script.give("refused");
        }
        assert_eq!(script.now - begin, pause + SCHEDULE.give_up, "{text}");
    }
}

#[test]
fn times_without_measure() {
    let schedule =
        Schedule { once: false, interval: FOR_EVER, jitter: FOR_EVER, give_up: FOR_EVER };
    let settings = Settings { timeouts: [FOR_EVER; 4], refresh_ready: true, ..Settings::default() };
    let any = AnyAnswer::new();
    for schedule in [
        schedule,
        Schedule {
            interval: Duration::MAX,
            jitter: Duration::MAX,
            give_up: Duration::MAX,
            ..schedule
        },
        Schedule { interval: Duration::from_millis(1), jitter: FOR_EVER, ..schedule },
        Schedule { interval: FOR_EVER, jitter: Duration::ZERO, ..schedule },
    ] {
        for seed in [0, 1, u64::MAX, 1 << 63] {
            let mut numbers = Numbers(seed);
            let (mut daemon, mut next) =
                Daemon::begin(settings.clone(), History::default(), schedule, seed);
            let mut now = Duration::ZERO;
            for _ in 0..2_000 {
                let Next::Call(call, pause) = next else { panic!("{next:?}") };
                now = now.saturating_add(pause);
                let answer = any.to(call, &mut numbers);
                next = daemon.on_answer(at(now), call, answer, &mut |_| ());
                // The kernel takes no clock back, but nothing must rest on it.
                if numbers.below(50) == 0 {
                    now = Duration::ZERO;
                }
            }
        }
    }
}

const STAGED: &str = "info msg=prepared version=1.26.1 took=200ms";
const ACTIVATED_READY: &str = "info msg=activated version=1.26.1 took=200ms\n\
                               info msg=\"ready, waiting for the reboot\" state=Ready \
                               next=1.26.1 running=1.26.0 variant=aws-k8s-1.30 arch=x86_64";

/// The scripts begin at midnight, on a Friday.
fn windows(list: &str) -> Settings {
    let mut windows = Windows::new();
    windows.add(list.as_bytes()).unwrap();
    Settings { windows, ..Settings::default() }
}

#[test]
fn the_opening_of_a_window_hurries_nobody() {
    let closed = "info msg=\"update is waiting for the next window\" state=Available \
                  version=1.26.1 \
                  opens=1970-01-02T00:25:00.000Z";
    let mut script = Script::with(windows("Fri 00:25-01:00"), History::default(), SCHEDULE, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", closed),
        // Refreshes go on meanwhile.
        ("status", 600_000, "Available 1.26.1 - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@2", closed),
        ("status", 600_000, "Available 1.26.1 - refresh@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@3", closed),
        // It opens before that, and is open still.
        ("status", 600_000, "Available 1.26.1 - refresh@3", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@4", ""),
        ("prepare", 0, "204", FOUND),
        ("status", 200, "Staged 1.26.1 1.26.1 prepare@5", STAGED),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@6", ACTIVATED_READY),
        ("status", 600_000, "Ready 1.26.1 1.26.1 activate@6", READY),
    ]);
}

#[test]
fn a_cycle_begins_when_a_window_opens_that_is_soon_closed_again() {
    let closed = "info msg=\"update is waiting for the next window\" state=Available \
                  version=1.26.1 \
                  opens=1970-01-02T00:05:00.000Z";
    let mut script = Script::with(windows("Fri 00:05-00:10"), History::default(), SCHEDULE, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", closed),
        ("status", 299_800, "Available 1.26.1 - refresh@1", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@2", ""),
        ("prepare", 0, "204", FOUND),
    ]);
}

/// One that opens and is closed again before the next cycle, while another is open.
#[test]
fn a_cycle_begins_when_the_next_window_opens_that_is_soon_closed_again() {
    let settings = windows("Fri 00:00-00:03; Fri 00:05-00:08");
    let mut script = Script::with(settings, History::default(), SCHEDULE, 1);
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Idle - - refresh@1", NOTHING),
        ("status", 299_800, "Idle - - refresh@1", ""),
    ]);
}

#[test]
fn what_is_staged_over_the_end_of_a_window_is_activated_in_the_next() {
    let closed = "info msg=\"update is waiting for the next window\" state=Staged version=1.26.1 \
                  opens=1970-01-02T00:40:00.000Z";
    let settings = windows("Fri 00:00-00:10; Fri 00:40-00:50");
    let mut script = Script::with(settings, History::default(), SCHEDULE, 1);
    let prepared = std::format!("info msg=prepared version=1.26.1 took=30m\n{closed}");
    script.rows(&[
        ("status", 0, "404", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Available 1.26.1 - refresh@1", ""),
        ("prepare", 0, "204", FOUND),
    ]);
    let (_, told) = script.give("+30m Staged 1.26.1 1.26.1 prepare@2");
    assert_eq!(told.join("\n"), prepared);
    script.rows(&[
        ("status", 600_000, "Staged 1.26.1 1.26.1 prepare@2", ""),
        ("refresh", 0, "204", ""),
        ("status", 200, "Staged 1.26.1 1.26.1 refresh@3", ""),
        ("activate", 0, "204", ""),
        ("status", 200, "Ready 1.26.1 1.26.1 activate@4", ACTIVATED_READY),
    ]);
}

#[test]
fn a_fleet_is_spread_when_a_window_opens_that_is_soon_closed_again() {
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    let regular = schedule.interval..=schedule.interval + MINUTE;
    let mut counts = [0; 6];
    for node in 0..3_000 {
        let mut script =
            Script::with(windows("Fri 00:12-00:13"), History::default(), schedule, node);
        for text in ["Idle", "Idle", "204", "Idle - - refresh@1"] {
            script.give(text);
        }
        let Next::Call(Call::Status, pause) = script.next else { panic!("{:?}", script.next) };
        if regular.contains(&pause) {
            continue;
        }
        let opens = Duration::from_secs(86_400 + 12 * 60);
        let late = (script.now + pause).checked_sub(opens).expect("not before it opens");
        assert!(late <= MINUTE, "{late:?}");
        counts[late.as_secs().min(59) as usize / 10] += 1;
    }
    assert!(counts.iter().all(|count| (250..500).contains(count)), "{counts:?}");
}

#[test]
fn trouble_is_no_reason_to_begin_while_a_window_is_closed() {
    let settings = windows("Fri 12:00-13:00");
    let mut script = Script::with(settings, History::default(), SCHEDULE, 1);
    script.give("refused");
    let mut commands = Vec::new();
    for _ in 0..200 {
        let Next::Call(call, _) = script.next else { panic!("{:?}", script.next) };
        script.give(match call {
            Call::Status => "Available 1.26.1 - refresh@1",
            call => {
                commands.push(call);
                "500 why"
            }
        });
    }
    commands.dedup();
    assert_eq!(commands, [Call::Start(crate::api::Command::Refresh)]);
}

/// What is Ready before the first cycle may be rebooted into before that.
#[test]
fn what_the_first_look_finds_is_remembered() {
    let schedule = Schedule { jitter: MINUTE, ..SCHEDULE };
    let boot = |name| History::new(crate::api::status::copy(name), Some(60 * MINUTE));
    let mut first = Script::with(Settings::default(), boot("first"), schedule, 1);
    first.give("Ready 1.26.1 1.26.1 activate@3");
    assert!(first.daemon.history.has_changed());
    let mut history = boot("second");
    history.read(&first.daemon.history.write()).unwrap();
    let mut second = Script::with(Settings::default(), history, schedule, 1);
    let (_, told) = second.give("Available 1.26.1 - refresh@1");
    assert!(
        told.len() == 1 && told[0].contains("did not boot and the node rolled back"),
        "{told:?}"
    );
}

/// Boot after boot of a node on which a version does not come up.
#[test]
fn what_does_not_boot_is_tried_less_and_less_often() {
    let hour = 60 * MINUTE;
    let boot = |number: usize| crate::api::status::copy(&std::format!("boot-{number}"));
    for (retry, tries) in [(Some(hour), &[1, 2, 4, 8, 16][..]), (None, &[])] {
        let mut history = History::new(boot(0), retry);
        let mut rolled_back = Vec::new();
        let mut activated_at = Vec::new();
        let mut now = Duration::from_secs(86_400);
        let mut boots = 0;
        let end = now + 40 * hour;
        while now < end {
            let mut script = Script::with(Settings::default(), history, SCHEDULE, 1);
            script.now = now;
            let mut timestamp = 0;
            let mut state = "404";
            // Until the node is Ready, and Kured reboots it.
            while state != "Ready 1.26.1 1.26.1" && script.now < end {
                let Next::Call(call, _) = script.next else { panic!("{:?}", script.next) };
                let mut answer = String::from("204");
                let mut name = "refresh";
                match call {
                    Call::Status if state == "404" => answer = "404".into(),
                    Call::Status => answer = std::format!("{state} COMMAND@{timestamp}"),
                    Call::Start(command) => {
                        name = command.name();
                        timestamp += 1;
                        state = match name {
                            "refresh" => "Available 1.26.1 -",
                            "prepare" => "Staged 1.26.1 1.26.1",
                            _ => "Ready 1.26.1 1.26.1",
                        };
                        if name == "activate" {
                            activated_at.push(script.now);
                        }
                    }
                    Call::Reboot => panic!(),
                }
                let last = if state.starts_with('A') { "refresh" } else { "prepare" };
                let (_, told) = script.give(&answer.replace("COMMAND", last));
                let is = |line: &&String| line.contains("did not boot and the node rolled back");
                rolled_back.extend(told.iter().filter(is).map(|_| script.now));
                let _ = name;
            }
            boots += 1;
            now = script.now + MINUTE;
            history = History::new(boot(boots), retry);
            history.read(&script.daemon.history.write()).unwrap();
        }
        let pauses: Vec<u64> = rolled_back
            .iter()
            .zip(&activated_at[1..])
            .map(|(from, to)| (*to - *from).as_secs())
            .collect();
        assert_eq!(pauses.len(), tries.len(), "{pauses:?}");
        for (pause, hours) in pauses.iter().zip(tries) {
            // It is noticed in the next cycle.
            assert!((hours * 3_600..hours * 3_600 + 610).contains(pause), "{pauses:?}");
        }
    }
}

/// Whatever the answers are, the daemon goes on, keeps its pauses, its windows and
/// away from what did not boot, and tells of outage in pairs.
#[test]
fn any_sequence_of_answers() {
    let any = AnyAnswer::new();
    let stale = [answer("refused"), answer("missing")];
    let jitter = Duration::from_secs(30);
    let mut gave_up = 0;
    let mut begun = [0; Command::ALL.len()];
    for seed in 0..1_000 {
        let mut numbers = Numbers(seed);
        let schedule = Schedule { jitter, ..SCHEDULE };
        let settings = Settings {
            refresh_ready: numbers.below(2) == 0,
            stage_only: numbers.below(4) == 0,
            windows: any_windows(&mut numbers),
            ..Settings::default()
        };
        let history = any_history(&mut numbers);
        let (mut daemon, mut next) = Daemon::begin(settings, history, schedule, seed);
        let mut now = Duration::from_secs(numbers.below(1_000_000));
        let mut lost = false;
        let mut stale_since = None;
        let away = *numbers.one_of(&[0, 0, 10, 29]);
        for _ in 0..300 {
            let Next::Call(call, pause) = next else { break };
            assert!(pause <= schedule.interval + jitter, "seed {seed}: {pause:?}");
            now += pause;
            let answer = match numbers.below(30) < away {
                true => numbers.one_of(&stale),
                false => any.to(call, &mut numbers),
            };
            match answer {
                Err(error) if error.is_stale_socket() => {
                    stale_since.get_or_insert(now);
                }
                _ => stale_since = None,
            }
            let mut ends = false;
            next = daemon.on_answer(at(now), call, answer, &mut |event| match event {
                Event::ApiLost { .. } => {
                    assert!(answer.is_err(), "seed {seed}");
                    lost = true;
                }
                Event::ApiBack { .. } => {
                    assert!(lost && answer.is_ok(), "seed {seed}");
                    lost = false;
                }
                Event::GaveUp { .. } => ends = true,
                _ => {}
            });
            if let Next::Call(Call::Start(command), pause) = next
                && command != Command::Refresh
            {
                let Ok(Answer::Status(status)) = answer else { panic!("seed {seed}: {answer:?}") };
                let is_open = daemon.settings.windows.is_open(now);
                assert!(is_open && pause.is_zero(), "seed {seed}: {command:?}");
                let held = daemon.history.hold_for(now, status.chosen.unwrap());
                assert_eq!(held, None, "seed {seed}: {command:?}");
                let activates = command == Command::Activate;
                assert!(!activates || !daemon.settings.stage_only, "seed {seed}");
                begun[command.number()] += 1;
            }
            let since = stale_since.map_or(Duration::ZERO, |since| now - since);
            assert_eq!(ends, since == schedule.give_up, "seed {seed}: {since:?}");
            assert_eq!(ends, matches!(next, Next::End(_)), "seed {seed}");
            gave_up += u32::from(ends);
        }
    }
    assert!(begun[1..].iter().all(|count| *count > 20), "{begun:?}");
    assert!(gave_up > 50 && gave_up < 950, "{gave_up}");
}

#[test]
fn a_window_that_is_shorter_than_the_jitter_is_not_missed() {
    let schedule = Schedule { jitter: 120 * MINUTE, ..SCHEDULE };
    let midnight = Duration::from_secs(86_400);
    let mut lates = Vec::new();
    for random in 0..1000 {
        let settings = windows("Fri 02:00-02:05");
        let mut script = Script::with(settings, History::default(), schedule, random);
        let pause = script.daemon.until_next_cycle(midnight);
        let begins = midnight + pause;
        if let Some(late) = begins.checked_sub(midnight + 120 * MINUTE) {
            assert!(script.daemon.settings.windows.is_open(begins), "{pause:?}");
            lates.push(late);
        }
    }
    // And not all of them at the same moment.
    lates.sort();
    lates.dedup();
    assert!(lates.len() > 50, "{}", lates.len());
}
