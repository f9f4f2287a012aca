//! Runs a daemon on a node that loses answers, gives wrong answers, reboots, and has other
//! clients. The daemon goes on, gives up only if the socket stays unreachable, and makes
//! the node Ready soon after it is left alone.
#![no_main]

use bottlerocket_fuzz::choices::{Choices, VERSIONS, any_answer, any_error, image};
use bottlerocket_updater::api::status::{LastCommand, State, Status, copy};
use bottlerocket_updater::api::{Answer, Call, CallError, Command, Refusal};
use bottlerocket_updater::text::excerpt::Excerpt;
use bottlerocket_updater::updater::cycle::{Now, Settings};
use bottlerocket_updater::updater::daemon::{Daemon, Next, Schedule};
use bottlerocket_updater::updater::event::Event;
use bottlerocket_updater::updater::history::History;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const SCHEDULE: Schedule = Schedule {
    once: false,
    interval: Duration::from_secs(600),
    jitter: Duration::from_secs(60),
    give_up: Duration::from_secs(300),
};

/// The longest time until a node is Ready that is left alone and runs no command: the
/// rest of a cycle, the pauses, and two whole cycles, after the longest pause before a
/// command that failed is sent again.
const SOON: Duration = Duration::from_secs((6 + 4) * 3_600);

type Version = &'static str;

/// A node, as its API shows it.
struct Node {
    state: Option<State>,
    offer: Version,
    chosen: Option<Version>,
    staged: Option<Version>,
    running: Version,
    /// The last command that finished, whether it succeeded, and its timestamp.
    last: Option<(Command, bool, String)>,
    /// The command that is running, whether it will succeed, and when it finishes.
    busy: Option<(Command, bool, Duration)>,
    ended: u32,
}

impl Node {
    fn advance(&mut self, now: Duration) {
        let Some((command, good, ends)) = self.busy else { return };
        if ends > now {
            return;
        }
        self.busy = None;
        self.ended += 1;
        self.last = Some((command, good, format!("2026-11-22T05:32:13.{}Z", self.ended)));
        let news = self.offer != self.running;
        let to = match (command, good, self.state) {
            (Command::Refresh, true, state) => {
                self.chosen = news.then_some(self.offer);
                match state {
                    Some(State::Staged | State::Ready) => state,
                    _ if news => Some(State::Available),
                    _ => Some(State::Idle),
                }
            }
            (Command::Refresh, false, Some(State::Available)) => Some(State::Idle),
            (Command::Prepare, true, _) => {
                self.staged = self.chosen;
                Some(State::Staged)
            }
            (Command::Activate, true, _) => Some(State::Ready),
            (Command::Deactivate, true, _) => Some(State::Staged),
            (_, false, state) => state,
        };
        self.state = to;
    }

    /// Starts a command. Returns the status code.
    fn start(&mut self, command: Command, good: bool, ends: Duration) -> u16 {
        if self.busy.is_some() {
            return 423;
        }
        let state = *self.state.get_or_insert(State::Idle);
        let allowed = match command {
            Command::Refresh => true,
            Command::Prepare => matches!(state, State::Available | State::Staged),
            Command::Activate => state == State::Staged,
            Command::Deactivate => state == State::Ready,
        };
        if !allowed {
            return 409;
        }
        if command == Command::Prepare && self.chosen.is_none() {
            return 404;
        }
        self.busy = Some((command, good, ends));
        204
    }

    fn reboot(&mut self) {
        if let (Some(State::Ready), Some(staged)) = (self.state, self.staged) {
            self.running = staged;
        }
        (self.state, self.chosen, self.staged) = (None, None, None);
        (self.last, self.busy) = (None, None);
    }

    fn answer<'a>(
        &'a mut self,
        call: Call,
        good: bool,
        ends: Duration,
        text: &'a Excerpt,
    ) -> Answer<'a> {
        if let Call::Start(command) = call {
            return match self.start(command, good, ends) {
                204 => Answer::Started,
                423 => Answer::Busy,
                code => Answer::NotAllowed(Refusal { code, reason: text }),
            };
        }
        if self.busy.is_some() {
            return Answer::Busy;
        }
        let Some(state) = self.state else { return Answer::Uninitialized };
        Answer::Status(Status {
            state,
            chosen: self.chosen.map(image),
            running: Some(image(self.running)),
            staged: self.staged.map(image),
            offered: None,
            last_command: self.last.as_ref().map(|(command, good, timestamp)| LastCommand {
                name: command.name(),
                outcome: if *good { "Success" } else { "Failed" },
                timestamp,
                exit_status: "1",
                stderr: text,
            }),
        })
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices(bytes);
    let mut text = Excerpt::default();
    text.push_bytes(b"some reason");
    let settings = Settings { refresh_ready: choices.flip(), ..Settings::default() };
    let begin = |random: usize| {
        let history = History::new(copy("boot-1"), Some(Duration::from_secs(86_400)));
        Daemon::begin(settings.clone(), history, SCHEDULE, random as u64)
    };
    let (mut daemon, mut next) = begin(choices.below(256));
    let mut node = Node {
        state: None,
        offer: VERSIONS[0],
        chosen: None,
        staged: None,
        running: "1.26.0",
        last: None,
        busy: None,
        ended: 0,
    };
    let mut now = Duration::ZERO;
    let mut left_alone_since = None;
    let mut stale_since = None;
    let mut lost = false;
    loop {
        let (call, pause) = match next {
            Next::Call(call, pause) => (call, pause),
            Next::End(_) => {
                // The container restarts.
                (daemon, next) = begin(choices.below(256));
                (stale_since, lost) = (None, false);
                continue;
            }
        };
        assert_ne!(call, Call::Reboot);
        assert!(pause <= SCHEDULE.interval + SCHEDULE.jitter);
        now += pause;
        node.advance(now);
        let mut answer = None;
        let mut time = Duration::from_millis(500);
        let mut good = true;
        if choices.is_over() {
            let busy = node.busy.map_or(now, |(_, _, ends)| ends.max(now));
            let since = *left_alone_since.get_or_insert(busy);
            match node.state {
                Some(State::Ready) if node.busy.is_none() => break,
                // There is no newer version, and the node has refreshed.
                Some(_) if node.offer == node.running && node.chosen.is_none() && !lost => break,
                _ => assert!(now.saturating_sub(since) < SOON, "not Ready: {daemon:?}"),
            }
        } else {
            time = choices.time();
            match choices.below(16) {
                0..8 => {}
                8 => good = false,
                // Another client sends a command.
                9 => {
                    let command = choices.one_of(&Command::ALL);
                    let ends = now + choices.time();
                    node.start(command, choices.flip(), ends);
                    node.advance(now);
                }
                10 => node.offer = choices.one_of(&VERSIONS),
                11 => node.reboot(),
                // The node carries it out, but the answer is lost.
                12 => {
                    node.answer(call, good, now + time, &text);
                    answer = Some(Err(CallError::Receive(rustix::io::Errno::CONNRESET)));
                }
                13 => answer = Some(Err(any_error(&mut choices, &text))),
                14 => answer = Some(any_answer(call, &mut choices, &text)),
                _ => now += choices.time(),
            }
        }
        let answer = match answer {
            Some(answer) => answer,
            None => Ok(node.answer(call, good, now + time, &text)),
        };
        match &answer {
            Err(error) if error.is_stale_socket() => _ = stale_since.get_or_insert(now),
            _ => stale_since = None,
        }
        let mut gave_up = false;
        let at = Now { now, since_boot: now, utc: now };
        next = daemon.on_answer(at, call, &answer, &mut |event| match event {
            Event::ApiLost { .. } => {
                assert!(answer.is_err());
                lost = true;
            }
            Event::ApiBack { .. } => {
                assert!(lost && answer.is_ok());
                lost = false;
            }
            Event::GaveUp { .. } => gave_up = true,
            _ => {}
        });
        assert_eq!(gave_up, matches!(next, Next::End(_)));
        let away = stale_since.map_or(Duration::ZERO, |since| now - since);
        assert_eq!(gave_up, away >= SCHEDULE.give_up);
    }
});
