//! The updater: one cycle after the other, spread over the fleet, with backoff
//! while the API cannot be used; or one cycle alone.
//!
//! It knows neither sockets nor clocks: like a cycle, it says which call to
//! make after which pause, and is given the answer and the time.

use crate::api::{Answer, Call, CallError, ErrorKind};
use crate::text::duration::millis;
use crate::updater::cycle::{Context, Cycle, End, Now, Settings, Step};
use crate::updater::event::Event;
use crate::updater::history::History;
use core::time::Duration;

/// The longest time between two tries of a call that does not work.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The time until the first new try of a call that does not work.
const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// When cycles begin.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Whether there is one alone: at once, and without waiting for a socket
    /// that is not there. The interval and the jitter do not matter then.
    pub once: bool,
    /// The time from the end of a cycle to the beginning of the next.
    pub interval: Duration,
    /// By how much that is made longer, at most, at random. If it is zero,
    /// nothing else is random either but the pauses of a backoff.
    pub jitter: Duration,
    /// How long the socket may stay away.
    pub give_up: Duration,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Make this call after this pause, and give the answer to
    /// [`Daemon::on_answer`].
    Call(Call, Duration),
    /// End: the one cycle is over, or the socket stays away. An event told of
    /// it.
    End(End),
}

/// The daemon.
// What is small comes first: reaching it takes less code.
#[derive(Debug)]
#[repr(C)]
pub struct Daemon {
    schedule: Schedule,
    random: u64,
    /// The call that does not work, since when, and what was told of it.
    outage: Option<(Call, Duration, ErrorKind)>,
    /// Whether there has been any answer.
    ever_answered: bool,
    /// Since when nobody has listened on the socket.
    stale_since: Option<Duration>,
    backoff: Duration,
    /// Whether a cycle that finds the API there is put off, to any time within
    /// the interval: all nodes of a fleet may find it at the same time.
    defer_next: bool,
    cycle: Cycle,
    /// What the operator has set for all cycles.
    pub settings: Settings,
    /// What is known of earlier boots. Before the next call is made, what has
    /// changed in it belongs into the file.
    pub history: History,
}

impl Daemon {
    /// A daemon, and what it begins with. `random` is a number that no other
    /// node is given.
    #[inline(never)]
    pub fn begin(
        settings: Settings,
        history: History,
        schedule: Schedule,
        random: u64,
    ) -> (Self, Next) {
        let (cycle, call) = Cycle::begin();
        let daemon = Self {
            settings,
            history,
            schedule,
            random,
            cycle,
            outage: None,
            ever_answered: false,
            stale_since: None,
            backoff: BACKOFF_MIN,
            defer_next: !schedule.once && !schedule.jitter.is_zero(),
        };
        (daemon, Next::Call(call, Duration::ZERO))
    }

    /// Takes the answer to `call`, which came at that moment, and says what comes
    /// next. `tell` is told what happened.
    #[inline(never)]
    pub fn on_answer(
        &mut self,
        at: Now,
        call: Call,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Next {
        let now = at.now;
        let lost = self.track_reachability(now, call, answer, emit);
        if lost && self.is_time_to_give_up(now, answer, emit) {
            return Next::End(End::NoAnswer);
        }
        if self.defer_next && !lost {
            self.defer_next = false;
            // The node may be rebooted before that.
            if let Ok(Answer::Status(status)) = answer {
                self.history.observe(at.utc, status, emit);
            }
            let pause = self.random_up_to(self.schedule.interval);
            return Next::Call(call, self.or_before_window_closes(at.utc, pause));
        }
        let given = Context { at, settings: &self.settings, history: &mut self.history };
        let step = self.cycle.on_answer(given, answer, emit);
        if let (Step::End(end), true) = (step, self.schedule.once) {
            return Next::End(end);
        }
        // The command had no answer, but the question what became of it has.
        if let Some((Call::Start(unanswered), ..)) = self.outage
            && self.cycle.has_started(unanswered)
        {
            self.recover(now, emit);
        }
        let end = match step {
            Step::Call(call, pause) => return Next::Call(call, self.within_give_up(now, pause)),
            Step::End(end) => end,
        };
        let pause = match end {
            End::Failed if lost => self.back_off(now, call),
            End::NoAnswer => {
                self.defer_next = call == Call::Status && !self.schedule.jitter.is_zero();
                self.back_off(now, call)
            }
            End::Done | End::Failed => {
                self.recover(now, emit);
                self.until_next_cycle(at.utc)
            }
        };
        let (cycle, call) = Cycle::begin();
        self.cycle = cycle;
        Next::Call(call, pause)
    }

    /// Tells when the API is lost, or in another way than before, and when it is
    /// back. Gives whether it is lost.
    #[inline(never)]
    fn track_reachability(
        &mut self,
        now: Duration,
        call: Call,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> bool {
        let Err(error) = answer else {
            self.ever_answered = true;
            self.stale_since = None;
            if self.outage.is_some_and(|(lost, ..)| lost == call) {
                self.recover(now, emit);
            }
            return false;
        };
        let kind = error.kind();
        match &mut self.outage {
            Some((_, _, told)) if *told == kind => {}
            Some((_, _, told)) => {
                *told = kind;
                emit(Event::ApiLost { call, error: *error });
            }
            None => {
                self.outage = Some((call, now, kind));
                emit(Event::ApiLost { call, error: *error });
            }
        }
        true
    }

    /// Whether the socket has been away for too long; tells if that is so.
    #[inline(never)]
    fn is_time_to_give_up(
        &mut self,
        now: Duration,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> bool {
        let Some(error) = answer.as_ref().err().filter(|error| error.is_stale_socket()) else {
            self.stale_since = None;
            return false;
        };
        if self.schedule.once && !self.ever_answered {
            return true;
        }
        let away = now.saturating_sub(*self.stale_since.get_or_insert(now));
        let too_long = away >= self.schedule.give_up;
        if too_long {
            emit(Event::GaveUp { after: away, error: *error });
        }
        too_long
    }

    fn recover(&mut self, now: Duration, emit: &mut dyn FnMut(Event)) {
        self.backoff = BACKOFF_MIN;
        if let Some((_, since, _)) = self.outage.take() {
            emit(Event::ApiBack { after: now.saturating_sub(since) });
        }
    }

    /// The time until the next cycle: the interval and a jitter.
    fn until_next_cycle(&mut self, utc: Duration) -> Duration {
        let jitter = self.random_up_to(self.schedule.jitter);
        self.or_before_window_closes(utc, self.schedule.interval.saturating_add(jitter))
    }

    /// That pause, unless a window opens before its end and is closed by then.
    /// Otherwise an opening is no reason to hurry: it is the same moment for all
    /// nodes.
    fn or_before_window_closes(&mut self, utc: Duration, pause: Duration) -> Duration {
        let windows = &self.settings.windows;
        match windows.next_open(utc) {
            Some(left) if left < pause && !windows.is_open(utc.saturating_add(pause)) => {
                // It may be open for no longer than a minute.
                left.saturating_add(self.random_up_to(self.schedule.jitter.min(PAUSE_MAX)))
            }
            _ => pause,
        }
    }

    /// The time until `call`, which does not work, is tried again: twice as long
    /// each time, less up to a half at random.
    fn back_off(&mut self, now: Duration, call: Call) -> Duration {
        // There is a refresh before each try of another command, and the update
        // repository behind it.
        let longest = match call {
            Call::Status => PAUSE_MAX.min(self.schedule.interval),
            Call::Start(_) | Call::Reboot => self.schedule.interval,
        };
        let backoff = self.backoff.min(longest);
        self.backoff = backoff.saturating_mul(2);
        let pause = backoff.saturating_sub(self.random_up_to(backoff / 2));
        self.within_give_up(now, pause)
    }

    /// As much of `pause` as ends before it is time to give up: the last try is
    /// made then.
    fn within_give_up(&self, now: Duration, pause: Duration) -> Duration {
        let left = self.stale_since.map_or(Duration::MAX, |since| {
            let away = now.saturating_sub(since);
            self.schedule.give_up.saturating_sub(away)
        });
        pause.min(left)
    }

    /// A random duration from zero to `duration`, in steps of a millisecond.
    fn random_up_to(&mut self, duration: Duration) -> Duration {
        // SplitMix64, which makes the most of numbers that differ in few bits:
        // those of nodes that booted together and have no better ones yet. Its last
        // step is left out: it changes the lower half, which makes no difference of
        // more than a millisecond unless the duration is over three weeks.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let millis = millis(duration);
        let scaled = (u128::from(mixed) * (u128::from(millis) + 1)) >> 64;
        Duration::from_millis(u64::try_from(scaled).unwrap_or(millis))
    }
}

#[cfg(test)]
mod tests;
