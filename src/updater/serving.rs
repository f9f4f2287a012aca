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
mod tests;
