//! Pages after a scripted series of answers, and after any series of answers.

extern crate std;
use super::*;
use crate::api::AnswerError;
use crate::api::document::STRING_MAX;
use crate::api::status::{LastCommand, Text};
use crate::http::page::PAGE_MAX;
use crate::record::RebootRecord;
use crate::sys::files::Stamp;
use crate::tests::Numbers;
use crate::text::fields::tests::summed;
use crate::updater::cycle::Settings;
use crate::updater::cycle::tests::{AnyAnswer, answer, answer_and_delay};
use crate::updater::daemon::{Daemon, Next, Schedule};
use crate::updater::time_zone::TimeZone;
use crate::updater::window::Windows;
use exposition::Page as Read;
use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};

#[path = "../../../tests/programs/common/exposition.rs"]
mod exposition;

const LIMIT: Duration = Duration::from_secs(960);
/// Friday, 1970-01-02, 00:00 UTC. Another day would do as well.
const BEGIN: Duration = Duration::from_secs(86_400);

const SCHEDULE: Schedule = Schedule {
    once: false,
    interval: Duration::from_secs(600),
    jitter: Duration::ZERO,
    give_up: Duration::from_secs(300),
};

/// A running daemon and its metrics.
struct Script {
    metrics: Metrics,
    daemon: Daemon,
    next: Next,
    now: Duration,
}

impl Script {
    fn new(settings: Settings, history: History) -> Self {
        let mut metrics = Metrics::new(BEGIN, LIMIT);
        metrics.note_event(
            BEGIN,
            &Event::Started { socket: b"/run/api.sock", interval: SCHEDULE.interval },
        );
        let (daemon, next) = Daemon::begin(settings, history, SCHEDULE, 1);
        Self { metrics, daemon, next, now: BEGIN }
    }

    fn at(&self) -> Now {
        Now { now: self.now, since_boot: self.now, utc: self.now }
    }

    /// Passes on the answer to the next call, as the program does.
    fn give(&mut self, pause: Duration, call: Call, answer: &Result<Answer, CallError>) {
        self.now += pause;
        let at = self.at();
        self.metrics.note_answer(self.now, answer);
        let Self { metrics, daemon, .. } = self;
        let emit = &mut |event: Event| metrics.note_event(at.now, &event);
        emit(Event::ApiCall { call, answer, took: Duration::ZERO });
        self.next = daemon.on_answer(at, call, answer, emit);
    }

    fn play(&mut self, texts: &[&str]) {
        for text in texts {
            let Next::Call(call, pause) = self.next else { panic!("{:?}", self.next) };
            let (answer, delay) = answer_and_delay(text);
            self.give(pause + delay, call, &answer);
        }
    }

    fn page(&self) -> String {
        let mut page = Page::new();
        let Daemon { history, last_reboot, settings, .. } = &self.daemon;
        self.metrics.write(self.at(), history, last_reboot, settings, &mut page);
        String::from_utf8(page.to_vec()).unwrap()
    }

    fn read(&self) -> Read {
        Read::read(&self.page())
    }
}

/// A history that was read from a file with these entries.
fn history(entries: &str) -> History {
    let file = summed(&format!("bottlerocket-updater 1\n{entries}"));
    let boot = Text::try_from("this-boot").unwrap();
    let mut history = History::new(boot, Some(Duration::from_secs(86_400)));
    history.read(&file).unwrap();
    history
}

/// A version that did not boot twice.
const TWICE: &str = "1.25.9\taws-k8s-1.30\tx86_64\t1.26.0\t\t2\t86400\t\n";

fn windows(text: &str) -> Settings {
    let mut windows = Windows::new();
    windows.add(text.as_bytes()).unwrap();
    Settings { windows, ..Settings::default() }
}

#[test]
fn page_after_an_update() {
    let mut script = Script::new(windows("Fri 00:00-00:30"), history(TWICE));
    script.play(&["refused", "404", "204", "Available 1.26.1 - refresh@1", "+63s 204"]);
    script.play(&["423", "423", "Staged 1.26.1 1.26.1 prepare@2"]);
    script.play(&["204", "Staged 1.26.1 1.26.1 activate!Failed@3"]);
    // The next cycle. Another client has prepared the update again.
    script.play(&["Staged 1.26.1 1.26.1 prepare@4", "204"]);
    script.play(&["Staged 1.26.1 1.26.1 refresh@5", "204", "Ready 1.26.1 1.26.1 activate@6"]);
    script.now = BEGIN + Duration::from_millis(1_800_250);
    let expected = include_str!("after-an-update.prom");
    let expected = expected.replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(script.page(), expected);
    Read::read(&expected);
}

#[test]
fn page_at_the_start() {
    let script = Script::new(Settings::default(), History::default());
    let page = script.read();
    for (name, value) in [
        (concat!("updater_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
        ("update_state{state=\"Unknown\"}", 1.0),
        ("update_state{state=\"Idle\"}", 0.0),
        ("update_held_back_versions", 0.0),
        ("update_window_open", 1.0),
        ("update_soak_replaced_versions", 0.0),
        ("api_reachable", 0.0),
        ("api_last_answer_age_seconds", 0.0),
        ("updater_last_error_info{class=\"none\"}", 1.0),
        ("updater_last_error_age_seconds", 0.0),
        ("updater_events_total{event=\"started\"}", 1.0),
        ("updater_events_total{event=\"rolled_back\"}", 0.0),
    ] {
        assert_eq!(page.get(name), value, "{name}");
    }
    for name in [
        "os_info",
        "update_chosen_info",
        "update_held_back_failed_boots",
        "update_window_next_open",
        "update_soak_remaining_seconds",
        "update_last_success",
    ] {
        assert_eq!(page.find(name), [], "{name}");
    }
    // All counters exist from the start: otherwise `increase()` in Prometheus
    // misses the first event of each.
    assert_eq!(page.find("update_commands_total").len(), Command::ALL.len() * Outcome::ALL.len());
    assert_eq!(page.find("updater_events_total").len(), EventKind::ALL.len());
}

#[test]
fn answers_set_the_state_the_images_and_whether_the_api_is_reachable() {
    let mut script = Script::new(Settings::default(), History::default());
    let state = |page: &Read| {
        let states = page.find("update_state");
        let is = |(name, value): &(&str, f64)| (*value == 1.0).then(|| String::from(*name));
        let is: std::vec::Vec<_> = states.iter().filter_map(is).collect();
        let [is] = &is[..] else { panic!("{states:?}") };
        is.split('"').nth(1).unwrap().to_owned()
    };
    // An answer, the state that is shown then, whether the API is reachable, and how
    // many images are running and chosen.
    for (text, is, reachable, running, chosen) in [
        ("refused", "Unknown", 0.0, 0, 0),
        ("404", "Unknown", 1.0, 0, 0),
        ("423", "Unknown", 1.0, 0, 0),
        ("Available 1.26.1 - refresh@1", "Available", 1.0, 1, 1),
        // These answers keep the last status.
        ("423", "Available", 1.0, 1, 1),
        ("204", "Available", 1.0, 1, 1),
        ("409 why", "Available", 1.0, 1, 1),
        ("500 why", "Available", 1.0, 1, 1),
        ("silence", "Available", 0.0, 1, 1),
        ("denied", "Available", 0.0, 1, 1),
        ("garbage", "Available", 0.0, 1, 1),
        ("break", "Available", 0.0, 1, 1),
        ("descriptors", "Available", 0.0, 1, 1),
        ("Idle - - refresh@2", "Idle", 1.0, 1, 0),
        ("Staged 1.26.1 1.26.1 prepare@3", "Staged", 1.0, 1, 1),
        ("Ready - 1.26.1 prepare@3", "Ready", 1.0, 1, 0),
        // The node has rebooted, or the API server has restarted.
        ("404", "Unknown", 1.0, 1, 0),
    ] {
        script.give(Duration::from_secs(1), Call::Status, &answer(text));
        let page = script.read();
        assert_eq!(state(&page), is, "{text}");
        assert_eq!(page.get("api_reachable"), reachable, "{text}");
        assert_eq!(page.find("os_info").len(), running, "{text}");
        assert_eq!(page.find("update_chosen_info").len(), chosen, "{text}");
        let age = page.get("api_last_answer_age_seconds");
        assert_eq!(age == 0.0, reachable == 1.0, "{text}: {age}");
    }
}

#[test]
fn page_shows_that_newer_versions_are_offered_but_none_is_chosen() {
    let mut script = Script::new(Settings::default(), History::default());
    for (text, value) in [
        ("404", 0.0),
        ("Idle - - refresh@1 offers=1.27.0", 1.0),
        // This keeps the last status.
        ("423", 1.0),
        ("Available 1.27.0 - refresh@2 offers=1.27.0", 0.0),
        ("Idle - - refresh@3 offers=1.26.0", 0.0),
        ("Idle - - refresh@4 offers=1.27.0", 1.0),
        // The node has rebooted.
        ("404", 0.0),
    ] {
        script.give(Duration::from_secs(1), Call::Status, &answer(text));
        assert_eq!(script.read().get("update_offered_not_chosen"), value, "{text}");
    }
}

#[test]
fn updater_is_ready_as_soon_as_the_api_has_answered_anything() {
    for text in ["404", "423", "204", "409 why", "500 why", "Idle - - refresh@1"] {
        let mut metrics = Metrics::new(BEGIN, LIMIT);
        for no_answer in ["refused", "missing", "silence", "break", "garbage"] {
            metrics.note_answer(BEGIN, &answer(no_answer));
            assert_eq!(metrics.readiness(), Err(Unhealthy::NoAnswer), "{no_answer}");
        }
        metrics.note_answer(BEGIN, &answer(text));
        assert_eq!(metrics.readiness(), Ok(()), "{text}");
        // An outage is for the liveness probe.
        metrics.note_answer(BEGIN, &answer("refused"));
        assert_eq!(metrics.readiness(), Ok(()), "{text}");
    }
}

#[test]
fn api_that_is_silent_for_too_long_is_unhealthy() {
    let more = Duration::from_millis(1);
    let mut metrics = Metrics::new(BEGIN, LIMIT);
    let silent = |silence| Err(Unhealthy::Silence { silence, limit: LIMIT });
    // The silence begins at the start, and again at each answer of the API.
    let mut last_answer = BEGIN;
    for text in ["refused", "204", "423", "404", "409 why", "500 why", "Idle", "silence", "garbage"]
    {
        assert_eq!(metrics.health(last_answer), Ok(()));
        assert_eq!(metrics.health(last_answer + LIMIT), Ok(()));
        assert_eq!(metrics.health(last_answer + LIMIT + more), silent(LIMIT + more));
        // A clock that goes back does not make the updater unhealthy.
        assert_eq!(metrics.health(Duration::ZERO), Ok(()));
        let now = last_answer + 2 * LIMIT;
        let answer = answer(text);
        metrics.note_answer(now, &answer);
        let is_one = match answer {
            Ok(_) => true,
            Err(error) => error.is_refusal(),
        };
        assert_eq!(metrics.health(now).is_ok(), is_one, "{text}");
        last_answer = if is_one { now } else { last_answer };
    }
    let metrics = Metrics::new(BEGIN, Duration::MAX);
    assert_eq!(metrics.health(Duration::MAX), Ok(()));
}

#[test]
fn last_error_has_a_class_and_an_age() {
    let mut script = Script::new(Settings::default(), History::default());
    let class = |script: &Script| {
        let page = script.read();
        let [(name, 1.0)] = page.find("updater_last_error_info")[..] else { panic!() };
        let age = page.get("updater_last_error_age_seconds");
        (name.split('"').nth(1).unwrap().to_owned(), age)
    };
    for (text, told) in [
        ("refused", "api_unreachable"),
        ("denied", "api_connect"),
        ("break", "api_disconnected"),
        ("descriptors", "call_setup"),
        ("silence", "api_timeout"),
        ("garbage", "api_invalid_response"),
        ("500 why", "api_refused"),
    ] {
        script.play(&[text]);
        assert_eq!(class(&script), (told.into(), 0.0), "{text}");
    }
    // The same error again is not logged, but it is the last error.
    script.play(&["500 why"]);
    assert_eq!(class(&script), ("api_refused".into(), 0.0));
    assert_eq!(script.read().get("updater_events_total{event=\"api_lost\"}"), 7.0);
    script.play(&["404", "204", "Idle - - refresh!Failed@1"]);
    assert_eq!(class(&script), ("command_failed".into(), 0.0));
    // The last error stays until the next error.
    script.play(&["Idle - - refresh!Failed@1", "204", "Idle - - refresh@2"]);
    assert_eq!(class(&script), ("command_failed".into(), 600.002));
}

#[test]
fn commands_are_counted_by_outcome() {
    let command = Command::Activate;
    let took = Duration::from_secs(1);
    let (refused, silence) = (answer("500 why"), answer("silence"));
    let Err(CallError::Answer(AnswerError::Refused(refusal))) = &refused else { panic!() };
    let failed = LastCommand {
        name: "activate",
        outcome: "Failed",
        timestamp: "t",
        exit_status: "1",
        stderr: refusal.reason,
    };
    for (event, outcome) in [
        (Event::Activated { version: "1", took: Some(took) }, Some("success")),
        (
            Event::CommandFailed { command, version: "1", last: &failed, took: Some(took) },
            Some("failed"),
        ),
        (Event::CommandOverdue { command, version: "1", timeout: took }, Some("overdue")),
        (Event::CommandVanished { command, version: "1" }, Some("vanished")),
        (Event::CommandRefused { command, version: "1", refusal }, Some("refused")),
        (Event::ApiCall { call: Call::Start(command), answer: &refused, took }, Some("refused")),
        // The API may have started the command.
        (Event::ApiCall { call: Call::Start(command), answer: &silence, took }, None),
        (Event::ApiCall { call: Call::Status, answer: &refused, took }, None),
        (Event::StillRunning { command, took }, None),
    ] {
        let mut script = Script::new(Settings::default(), History::default());
        script.metrics.note_event(BEGIN, &event);
        let page = script.read();
        let counted: std::vec::Vec<_> = page
            .find("update_commands_total")
            .into_iter()
            .filter(|(_, count)| *count > 0.0)
            .collect();
        let name = outcome.map(|outcome| {
            format!("update_commands_total{{command=\"activate\",outcome=\"{outcome}\"}}")
        });
        let expected: std::vec::Vec<_> = name.iter().map(|name| (name.as_str(), 1.0)).collect();
        assert_eq!(counted, expected, "{}", event.kind().name());
    }
}

#[test]
fn page_shows_whether_a_window_is_open_and_when_the_next_one_opens() {
    let script = Script::new(windows("Sat 01:00-02:00"), History::default());
    let page = script.read();
    assert_eq!(page.get("update_window_open"), 0.0);
    // The window opens 25 hours after BEGIN.
    assert_eq!(page.get("update_window_next_open_timestamp_seconds"), 86_400.0 + 25.0 * 3_600.0);
    assert_eq!(page.get("update_window_next_open_utc_offset_seconds"), 0.0);
    // In local time, it opens at another time, with the offset of that time.
    for (zone, offset) in [("CET-1CEST,M3.5.0,M10.5.0/3", 3_600.0), ("<-0930>9:30", -34_200.0)] {
        let mut settings = windows("Sat 01:00-02:00");
        settings.windows.zone = TimeZone::parse(zone.as_bytes()).unwrap();
        let page = Script::new(settings, History::default()).read();
        let opens = 86_400.0 + 25.0 * 3_600.0 - offset;
        assert_eq!(page.get("update_window_next_open_timestamp_seconds"), opens, "{zone}");
        assert_eq!(page.get("update_window_next_open_utc_offset_seconds"), offset, "{zone}");
    }
    let script = Script::new(windows("Sat 01:00-02:00; Fri 00:00-00:01"), History::default());
    assert_eq!(script.read().get("update_window_open"), 1.0);
}

/// The longest text, of characters that are escaped.
fn quotes(first: usize) -> String {
    let mut quotes = format!("{first}");
    while quotes.len() < STRING_MAX {
        quotes.push('"');
    }
    quotes
}

#[test]
fn longest_page_fits() {
    let (most, long) = (u64::MAX, quotes(0));
    let entries: String = (1..5)
        .map(|number| format!("{}\t{long}\t{long}\t{long}\t\t{most}\t{most}\t\n", quotes(number)))
        .collect();
    let mut script = Script::new(windows("Mon 00:00-00:01"), history(&entries));
    let image = || {
        let [version, variant, arch] = [(); 3].map(|()| Text::try_from(&*long).unwrap());
        Some(OwnedImage { version, variant, arch })
    };
    let Script { metrics, .. } = &mut script;
    (metrics.running, metrics.chosen) = (image(), image());
    // The node is held by the gate.
    let mut record = RebootRecord::new("boot", &long, image().unwrap().image());
    record.attempts = most;
    let status = answer("Idle");
    let mut last_reboot = LastReboot::new(Text::try_from("this-boot").unwrap());
    last_reboot.read(BEGIN, Some((record, Stamp::default())));
    if let Ok(Answer::Status(mut status)) = status {
        status.running = Some(Image { version: &long, variant: "", arch: "" });
        last_reboot.observe(BEGIN, Some(&status), &mut |_| ());
    }
    script.daemon.last_reboot = last_reboot;
    script.daemon.history.set_soak(Duration::MAX);
    let Script { metrics, .. } = &mut script;
    metrics.state = Some(State::Available);
    metrics.api_reachable = true;
    metrics.last_answer = Duration::ZERO;
    let success = Success { at: Duration::ZERO, took: Some(Duration::MAX) };
    metrics.commands =
        [CommandMetrics { outcomes: [u32::MAX; Outcome::ALL.len()], last_success: Some(success) };
            Command::ALL.len()];
    metrics.events = [u32::MAX; EventKind::ALL.len()];
    let longest = EventKind::CommandWithoutEffect.name();
    assert!(EventKind::ALL.iter().all(|kind| kind.name().len() <= longest.len()));
    metrics.last_error = Some(LastError { class: longest, at: Duration::ZERO });
    script.now = Duration::MAX;
    let page = script.page();
    assert!(page.len() + 1_000 < PAGE_MAX, "{} bytes", page.len());
    let read = Read::read(&page);
    assert_eq!(read.find("update_held_back_failed_boots").len(), 4);
    assert_eq!(
        read.get("update_commands_total{command=\"refresh\",outcome=\"success\"}"),
        4_294_967_295.0
    );
    let states = State::ALL.len() + 1;
    let commands = Command::ALL.len() * (Outcome::ALL.len() + 2);
    // Two images, four that are held back, and the one for which the gate holds the node.
    let images = 7;
    // The version, whether an update waits for the reboot, whether newer versions are offered, the number of versions that are
    // held back, the soak and how many versions were replaced in it, whether a window is
    // open, when the next one opens and its offset, two samples of the API, two of the last error.
    let others = 13;
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(samples.count(), states + commands + images + others + EventKind::ALL.len());
    // All of the quotes are there, escaped.
    assert_eq!(page.matches("\\\"").count(), (7 * 3 + 1) * (STRING_MAX - 1));
    // A counter stays at the largest number.
    script.metrics.note_event(Duration::MAX, &Event::LockHeld);
    script.metrics.note_event(
        Duration::MAX,
        &Event::CommandVanished { command: Command::Prepare, version: "" },
    );
    script.read().follows(&read);
}

#[test]
fn seconds_have_up_to_three_decimals() {
    for (millis, written) in [
        (0, "0"),
        (1, "0.001"),
        (9, "0.009"),
        (10, "0.01"),
        (99, "0.099"),
        (100, "0.1"),
        (101, "0.101"),
        (999, "0.999"),
        (1_000, "1"),
        (1_001, "1.001"),
        (12_050, "12.05"),
        (u64::MAX, "18446744073709551.615"),
    ] {
        let mut page = Page::new();
        let mut writer = Writer { page: &mut page, metric: "x" };
        writer.seconds(&[], Duration::from_millis(millis));
        assert_eq!(str::from_utf8(&page), Ok(format!("x {written}\n").as_str()));
    }
}

#[test]
fn reasons_of_an_unhealthy_updater() {
    let [silence, limit] = [721, 720].map(Duration::from_secs);
    let reason = Unhealthy::Silence { silence, limit };
    assert_eq!(reason.to_string(), "no answer from the API for 12m1s (limit 12m)");
    let reason = Unhealthy::NoAnswer;
    assert_eq!(reason.to_string(), "the API has not answered yet");
}

/// After any answers one state is 1, no counter goes down, and the metrics agree
/// with each other.
#[test]
fn any_sequence_of_answers_keeps_the_metrics_consistent() {
    let any = AnyAnswer::new();
    for seed in 0..12 {
        let mut numbers = Numbers(seed);
        let settings = match seed % 3 {
            0 => windows("Fri 02:00-03:00; Sun 12:00-18:00"),
            _ => Settings { refresh_ready: seed % 2 == 0, ..Settings::default() },
        };
        let mut script = Script::new(settings, history(if seed % 2 == 0 { TWICE } else { "" }));
        let mut before = script.read();
        for _ in 0..60 {
            let Next::Call(call, pause) = script.next else { break };
            script.give(pause, call, any.to(call, &mut numbers));
            let page = script.read();
            page.follows(&before);
            let states = page.find("update_state");
            assert_eq!(states.iter().map(|(_, value)| value).sum::<f64>(), 1.0, "{states:?}");
            assert!(states.iter().all(|(_, value)| [0.0, 1.0].contains(value)), "{states:?}");
            assert_eq!(page.find("updater_last_error_info").len(), 1);
            assert!(page.find("os_info").len() <= 1 && page.find("update_chosen_info").len() <= 1);
            let held = page.find("update_held_back_failed_boots");
            assert_eq!(page.get("update_held_back_versions"), held.len() as f64);
            let opens = page.find("update_window_next_open").len();
            let is_open = page.get("update_window_open") == 1.0;
            assert_eq!(opens, if is_open { 0 } else { 2 });
            // Each outcome is counted as often as its event.
            for (outcome, event) in [("failed", "command_failed"), ("vanished", "command_vanished")]
            {
                let commands = page.find("update_commands_total");
                let ended = format!("outcome=\"{outcome}\"");
                let commands = commands.iter().filter(|(name, _)| name.contains(&ended));
                let events = page.get(&format!("updater_events_total{{event=\"{event}\"}}"));
                assert_eq!(commands.map(|(_, value)| value).sum::<f64>(), events);
            }
            before = page;
        }
    }
}

#[test]
fn command_that_is_answered_with_an_error_counts_as_refused() {
    let mut script = Script::new(Settings::default(), History::default());
    script.play(&["404", "500 why"]);
    let refused = "update_commands_total{command=\"refresh\",outcome=\"refused\"}";
    assert_eq!(script.read().get(refused), 1.0);
}
