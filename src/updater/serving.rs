//! Starts the server of metrics and health checks, and retries while that fails.
//!
//! The address may be in use, for example by another pod in the network of the node.
//! That does not keep a node from its updates: the program tries again whenever it
//! waits, after pauses that double up to a minute.
//!
//! This module knows neither sockets nor clocks: its caller passes the function that
//! listens, and the time.

use crate::updater::config::Listen;
use crate::updater::event::Event;
use core::time::Duration;
use rustix::io::Errno;

/// The pause before the first retry.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause before a retry.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The server, or the attempts to start it.
pub struct Serving<'a, S> {
    state: State<'a, S>,
}

enum State<'a, S> {
    /// Nothing is served.
    Off,
    /// The server has not started yet.
    Starting(Attempts<'a>),
    /// The server runs.
    Running(S),
}

/// The attempts to start the server.
struct Attempts<'a> {
    address: Listen<'a>,
    /// When the next attempt is due.
    due: Duration,
    /// The pause after the next attempt, if that fails.
    pause: Duration,
    /// The error that was reported last.
    reported: Option<Errno>,
}

impl<'a, S> Serving<'a, S> {
    /// Serves at `address`, or nothing. The first attempt is due immediately.
    pub fn new(address: Option<Listen<'a>>) -> Self {
        let attempts =
            |address| Attempts { address, due: Duration::ZERO, pause: PAUSE_MIN, reported: None };
        Self { state: address.map_or(State::Off, |address| State::Starting(attempts(address))) }
    }

    /// When [`Serving::start_if_due`] has something to do next. `None` if the server
    /// runs, or if nothing is served.
    pub fn next_attempt(&self) -> Option<Duration> {
        match &self.state {
            State::Starting(attempts) => Some(attempts.due),
            State::Off | State::Running(_) => None,
        }
    }

    /// Tries to start the server if it is time for that. `now` is the time on any clock
    /// that never goes back. `listen` returns the server and its port.
    ///
    /// `emit` gets an event when the server has started, and each time that it cannot
    /// start for another reason than before.
    pub fn start_if_due(
        &mut self,
        now: Duration,
        listen: impl FnOnce(&Listen) -> Result<(S, u16), Errno>,
        emit: &mut dyn FnMut(Event),
    ) {
        let State::Starting(attempts) = &mut self.state else { return };
        if now < attempts.due {
            return;
        }
        let address = attempts.address.text;
        match listen(&attempts.address) {
            Ok((server, port)) => {
                self.state = State::Running(server);
                emit(Event::ServingMetrics { address, port });
            }
            Err(error) => {
                attempts.due = now.saturating_add(attempts.pause);
                attempts.pause = PAUSE_MAX.min(attempts.pause.saturating_mul(2));
                if attempts.reported.replace(error) != Some(error) {
                    emit(Event::ServingFailed { address, error });
                }
            }
        }
    }

    /// The server, if it runs.
    pub fn server(&mut self) -> Option<&mut S> {
        match &mut self.state {
            State::Running(server) => Some(server),
            State::Off | State::Starting(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    const ADDRESS: Listen = Listen { text: b":8080", address: None, port: 8080 };
    const TAKEN: Result<(&str, u16), Errno> = Err(Errno::ADDRINUSE);

    /// Tries at `now`, and returns the names of the events.
    fn attempt(
        serving: &mut Serving<&'static str>,
        now: u64,
        result: Result<(&'static str, u16), Errno>,
    ) -> Vec<String> {
        let mut names = Vec::new();
        let emit = &mut |event: Event| {
            let mut record = event.record(crate::updater::log::Format::Logfmt, Duration::ZERO);
            let line = String::from_utf8(record.finish().to_vec()).unwrap();
            let (_, rest) = line.trim_end().split_once(" event=").unwrap();
            let fields = rest.rsplit_once("address=").unwrap().1;
            names.push(std::format!("{} {fields}", event.kind().name()));
        };
        serving.start_if_due(Duration::from_secs(now), |_| result, emit);
        names
    }

    #[test]
    fn server_starts_at_the_first_attempt() {
        let mut serving = Serving::new(Some(ADDRESS));
        assert_eq!(serving.next_attempt(), Some(Duration::ZERO));
        assert_eq!(serving.server(), None);
        let told = attempt(&mut serving, 100, Ok(("server", 8080)));
        assert_eq!(told, ["serving_metrics :8080 port=8080"]);
        assert_eq!(serving.server(), Some(&mut "server"));
        assert_eq!(serving.next_attempt(), None);
        // A server that runs is not started again.
        assert_eq!(attempt(&mut serving, 1_000, TAKEN), [""; 0]);
        assert_eq!(serving.server(), Some(&mut "server"));
    }

    #[test]
    fn pauses_between_attempts_double_up_to_a_minute() {
        let mut serving = Serving::new(Some(ADDRESS));
        let mut now = 100;
        let told = attempt(&mut serving, now, TAKEN);
        assert_eq!(told, ["serving_failed :8080 error=\"address already in use\""]);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(serving.next_attempt(), Some(Duration::from_secs(now + pause)));
            // It is too early, so this is not tried.
            assert_eq!(attempt(&mut serving, now + pause - 1, Ok(("early", 1))), [""; 0]);
            now += pause;
            // The same error is reported once.
            assert_eq!(attempt(&mut serving, now, TAKEN), [""; 0]);
        }
        let told = attempt(&mut serving, now + 60, Ok(("server", 8080)));
        assert_eq!(told, ["serving_metrics :8080 port=8080"]);
        assert_eq!(serving.server(), Some(&mut "server"));
    }

    #[test]
    fn another_error_is_reported() {
        let mut serving = Serving::new(Some(ADDRESS));
        attempt(&mut serving, 0, TAKEN);
        let told = attempt(&mut serving, 1, Err(Errno::MFILE));
        assert_eq!(told, ["serving_failed :8080 error=\"too many open files\""]);
        assert_eq!(attempt(&mut serving, 10, Err(Errno::MFILE)), [""; 0]);
        let told = attempt(&mut serving, 100, TAKEN);
        assert_eq!(told, ["serving_failed :8080 error=\"address already in use\""]);
    }

    #[test]
    fn nothing_is_served_without_an_address() {
        let mut serving = Serving::new(None);
        assert_eq!(attempt(&mut serving, 100, Ok(("server", 1))), [""; 0]);
        assert_eq!((serving.next_attempt(), serving.server()), (None, None));
    }
}
