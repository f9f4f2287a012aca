//! The updater: one cycle after the other, spread over the fleet, with backoff
//! while the API is unavailable; or a single cycle.
//!
//! The daemon knows neither sockets nor clocks. Like a cycle, it says which call to
//! make after which pause, and gets the answer and the time.

use crate::api::{Answer, Call, CallError, ErrorKind};
use crate::text::duration::millis;
use crate::updater::commands::Commands;
use crate::updater::cycle::{Context, Cycle, End, Now, Settings, Step};
use crate::updater::event::Event;
use crate::updater::history::History;
use crate::updater::last_reboot::LastReboot;
use core::mem;
use core::time::Duration;

/// How long one call may take. The API answers in milliseconds, unless it is
/// rebooting the node.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer than an interval the API may be silent at least.
const SILENCE_MIN: Duration = Duration::from_secs(60);
/// The longest pause before a failed call is retried.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The pause before the first retry of a failed call.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The time after which an outage that lasts is reported again.
const OUTAGE_REPORT: Duration = Duration::from_secs(60 * 60);
/// The time between two reports that the updater works.
const HEALTHY_REPORT: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest time for which a window is open.
const WINDOW_MIN: Duration = Duration::from_secs(60);
/// A cycle that ends this long before a window closes, or later, is the last one in it.
const WINDOW_END: Duration = Duration::from_secs(5 * 60);
/// The longest time for which a cycle is put off after a start or an outage.
const DEFERRAL_MAX: Duration = Duration::from_secs(10 * 60);
/// How long a boot is fresh. A cycle is put off less then, because only a refresh shows
/// what became of an update.
const FRESH_BOOT: Duration = Duration::from_secs(10 * 60);
/// The longest time for which a cycle is put off in a fresh boot.
const FRESH_DEFERRAL_MAX: Duration = Duration::from_secs(60);
/// How often the wall clock is looked at while a cycle is put off.
const CLOCK_CHECK: Duration = Duration::from_secs(60);
/// If the wall clock and the monotonic clock have moved apart by this, the wall clock was
/// set.
const CLOCK_STEP: Duration = Duration::from_secs(10);

/// When cycles begin.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Whether there is a single cycle, which begins immediately and does not wait
    /// for a missing socket. The interval and the jitter do not matter then.
    pub once: bool,
    /// The time from the end of a cycle to the beginning of the next.
    pub interval: Duration,
    /// The longest random time that is added to the interval. If it is zero, only
    /// the pauses of a backoff are random.
    pub jitter: Duration,
    /// How long the socket may be missing or refused.
    pub give_up: Duration,
}

impl Schedule {
    /// How long the API may be silent before the updater counts as unhealthy: the longest
    /// interval, and the time until it gives up or a minute.
    pub fn silence_max(&self) -> Duration {
        let cycle = self.interval.saturating_add(self.jitter);
        cycle.saturating_add(self.give_up.max(SILENCE_MIN))
    }
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Make this call after this pause, and give the answer to
    /// [`Daemon::on_answer`].
    Call(Call, Duration),
    /// End: the single cycle is over, or the socket has been unreachable for too
    /// long. An event said so.
    End(End),
}

/// Whether the API can be used.
#[derive(Debug, Clone, Copy)]
enum Api {
    /// No call has been made yet.
    Unknown,
    /// Calls are answered.
    Answering,
    /// A call fails.
    Failing(Outage),
}

/// A time in which a call fails.
#[derive(Debug, Clone, Copy)]
struct Outage {
    /// The call that failed first. The outage is over when it is answered.
    call: Call,
    /// When that was.
    since: Duration,
    /// The kind of error that was reported last.
    reported: ErrorKind,
    /// When it was reported.
    reported_at: Duration,
    /// Since when the socket has been missing or refused.
    stale_since: Option<Duration>,
    /// The pause before the next retry.
    backoff: Duration,
    /// Whether any call was answered before.
    ever_answered: bool,
    /// Whether the next cycle begins at a random time when the API answers again:
    /// all nodes of a fleet may notice that at the same time.
    defer_next: bool,
}

impl Api {
    fn outage(&mut self) -> Option<&mut Outage> {
        match self {
            Self::Failing(outage) => Some(outage),
            Self::Unknown | Self::Answering => None,
        }
    }
}

/// The cycles since the start, or since the last report that the updater works.
#[derive(Debug, Default)]
struct Cycles {
    /// When the first of them ended, or when that report was made.
    since: Option<Duration>,
    ended: u32,
    failed: u32,
}

/// The daemon.
#[derive(Debug)]
pub struct Daemon {
    schedule: Schedule,
    random: u64,
    api: Api,
    cycle: Cycle,
    cycles: Cycles,
    commands: Commands,
    /// The time of the last answer or look at the clocks, if the next call begins a cycle.
    between_cycles: Option<Now>,
    /// What the operator has set for all cycles.
    pub settings: Settings,
    /// What is remembered of earlier boots. Save its changes before the next call.
    pub history: History,
    /// What the record of the last reboot means. Read the record before each answer.
    pub last_reboot: LastReboot,
}

impl Daemon {
    /// A daemon, and what it begins with. `random` is a number that differs from
    /// node to node.
    pub fn begin(
        settings: Settings,
        history: History,
        schedule: Schedule,
        random: u64,
    ) -> (Self, Next) {
        let (cycle, call) = Cycle::begin();
        let (api, cycles, commands) = (Api::Unknown, Cycles::default(), Commands::begin(&history));
        let last_reboot = LastReboot::default();
        let daemon = Self {
            settings,
            history,
            last_reboot,
            schedule,
            random,
            cycle,
            cycles,
            commands,
            api,
            between_cycles: None,
        };
        (daemon, Next::Call(call, Duration::ZERO))
    }

    /// Takes the answer to `call`, which came at `at`, and says what comes next.
    /// `emit` gets each event.
    pub fn on_answer(
        &mut self,
        at: Now,
        call: Call,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> Next {
        let now = at.now;
        self.history.advance(at.since_boot);
        self.between_cycles = None;
        // What became of an activated version is known after a refresh.
        let is_deferred = self.takes_deferral(answer) && !self.history.expects_outcome();
        let failed = self.track_reachability(now, call, answer, emit);
        if failed && self.is_time_to_give_up(now, answer, emit) {
            return Next::End(End::NoAnswer);
        }
        let Self { settings, history, commands, last_reboot, .. } = self;
        let mut context = Context { at, settings, history, commands, last_reboot };
        if is_deferred {
            // The node may be rebooted before the cycle begins.
            match answer {
                Ok(Answer::Status(status)) => context.observe(Some(status), emit),
                Ok(Answer::Busy) => context.commands.lock_held(),
                _ => {}
            }
            let is_fresh = at.since_boot < FRESH_BOOT;
            let longest = if is_fresh { FRESH_DEFERRAL_MAX } else { DEFERRAL_MAX };
            let pause = self.random_up_to(longest.min(self.schedule.interval));
            let begins_in = self.or_before_window_closes(at.utc, pause, false);
            self.between_cycles = Some(at);
            emit(Event::CycleDeferred { begins_in });
            return Next::Call(call, begins_in);
        }
        let step = self.cycle.on_answer(context, answer, emit);
        if let (Step::End(end), true) = (step, self.schedule.once) {
            return Next::End(end);
        }
        // The command got no answer, but the status has shown what became of it.
        if let Api::Failing(Outage { call: Call::Start(unanswered), .. }) = self.api
            && self.cycle.has_confirmed(unanswered)
        {
            self.recover(now, emit);
        }
        let end = match step {
            Step::Call(call, pause) => return Next::Call(call, self.within_give_up(now, pause)),
            Step::End(end) => end,
        };
        let pause = match end {
            End::Failed if failed => self.back_off(at, call),
            End::NoAnswer => {
                if let Some(outage) = self.api.outage() {
                    outage.defer_next = call == Call::Status;
                }
                self.back_off(at, call)
            }
            End::Done | End::Waiting | End::Failed => {
                self.recover(now, emit);
                self.until_next_cycle(at.utc)
            }
        };
        self.count_cycle(now, end, answer, emit);
        let (cycle, call) = Cycle::begin();
        self.cycle = cycle;
        self.between_cycles = Some(at);
        Next::Call(call, pause)
    }

    /// The time until the next look at the clocks while the next call is waited for. Then
    /// [`Daemon::on_clock_check`] says when to make the call.
    pub fn next_clock_check(&self) -> Duration {
        let is_needed = self.between_cycles.is_some() && !self.settings.windows.is_empty();
        if is_needed { CLOCK_CHECK } else { Duration::MAX }
    }

    /// The time from `at` until the next call, which was to be made after `left`. It is
    /// less if the wall clock was set meanwhile, and a window would be missed.
    pub fn on_clock_check(&mut self, at: Now, left: Duration) -> Duration {
        let Some(before) = self.between_cycles.replace(at) else { return left };
        let expected = before.utc.saturating_add(at.now.saturating_sub(before.now));
        let step = at.utc.saturating_sub(expected).max(expected.saturating_sub(at.utc));
        match step < CLOCK_STEP {
            true => left,
            false => self.or_before_window_closes(at.utc, left, false),
        }
    }

    /// Whether this answer is the first after a start or an outage, after which the
    /// next cycle begins at a random time.
    fn takes_deferral(&mut self, answer: &Result<Answer, CallError>) -> bool {
        if answer.is_err() || self.schedule.once || self.schedule.jitter.is_zero() {
            return false;
        }
        match &mut self.api {
            Api::Unknown => true,
            Api::Answering => false,
            Api::Failing(outage) => mem::take(&mut outage.defer_next),
        }
    }

    /// Emits an event when a call fails, when it fails for another reason than before
    /// or has failed for another hour, and when the outage is over. Gives whether this
    /// call failed.
    fn track_reachability(
        &mut self,
        now: Duration,
        call: Call,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> bool {
        let Err(error) = answer else {
            match &mut self.api {
                Api::Failing(outage) if outage.call == call => self.recover(now, emit),
                Api::Failing(outage) => {
                    outage.ever_answered = true;
                    outage.stale_since = None;
                }
                Api::Unknown | Api::Answering => self.api = Api::Answering,
            }
            return false;
        };
        let kind = error.kind();
        match &mut self.api {
            Api::Failing(outage) => {
                let reported_for = now.saturating_sub(outage.reported_at);
                if outage.reported == kind && reported_for < OUTAGE_REPORT {
                    return true;
                }
                (outage.reported, outage.reported_at) = (kind, now);
            }
            Api::Unknown | Api::Answering => {
                self.api = Api::Failing(Outage {
                    call,
                    since: now,
                    reported: kind,
                    reported_at: now,
                    stale_since: None,
                    backoff: BACKOFF_MIN,
                    ever_answered: matches!(self.api, Api::Answering),
                    defer_next: matches!(self.api, Api::Unknown),
                });
            }
        }
        emit(Event::ApiLost { call, error: *error });
        true
    }

    /// Whether the socket has been unreachable for too long; emits an event if so.
    fn is_time_to_give_up(
        &mut self,
        now: Duration,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) -> bool {
        let (Err(error), Some(outage)) = (answer, self.api.outage()) else { return false };
        if !error.is_stale_socket() {
            outage.stale_since = None;
            return false;
        }
        if self.schedule.once && !outage.ever_answered {
            return true;
        }
        let after = now.saturating_sub(*outage.stale_since.get_or_insert(now));
        if after < self.schedule.give_up {
            return false;
        }
        emit(Event::GaveUp { after, error: *error });
        true
    }

    /// Counts a cycle that has ended with `answer`. Once a day, emits that the updater
    /// works, after a cycle that succeeded.
    fn count_cycle(
        &mut self,
        now: Duration,
        end: End,
        answer: &Result<Answer, CallError>,
        emit: &mut dyn FnMut(Event),
    ) {
        let cycles = &mut self.cycles;
        let since = *cycles.since.get_or_insert(now);
        cycles.ended = cycles.ended.saturating_add(1);
        if matches!(end, End::Failed | End::NoAnswer) {
            cycles.failed = cycles.failed.saturating_add(1);
            return;
        }
        if let Ok(Answer::Status(status)) = answer
            && now.saturating_sub(since) >= HEALTHY_REPORT
        {
            let Cycles { ended, failed, .. } = *cycles;
            emit(Event::Healthy { status, cycles: ended, failed_cycles: failed });
            *cycles = Cycles { since: Some(now), ..Cycles::default() };
        }
    }

    fn recover(&mut self, now: Duration, emit: &mut dyn FnMut(Event)) {
        if let Api::Failing(outage) = mem::replace(&mut self.api, Api::Answering) {
            emit(Event::ApiBack { after: now.saturating_sub(outage.since) });
        }
    }

    /// The time until the next cycle: the interval and a random jitter.
    fn until_next_cycle(&mut self, utc: Duration) -> Duration {
        let jitter = self.random_up_to(self.schedule.jitter);
        self.or_before_window_closes(utc, self.schedule.interval.saturating_add(jitter), true)
    }

    /// `pause`, or less, so that the next cycle does not miss a window: neither the rest of
    /// one that is open, nor one that opens and closes again before the end of `pause`.
    /// Otherwise the opening of a window does not shorten the pause, because it is the same
    /// moment for all nodes. `has_looked` is set after a cycle: if that was late in a window,
    /// no other one is needed in it.
    fn or_before_window_closes(
        &mut self,
        utc: Duration,
        pause: Duration,
        has_looked: bool,
    ) -> Duration {
        let windows = &self.settings.windows;
        let spread = self.schedule.jitter.min(WINDOW_MIN);
        let rest = windows.closes_in(utc).unwrap_or(Duration::MAX);
        let is_late = has_looked && rest <= WINDOW_END;
        if !rest.is_zero() && rest <= pause && !is_late {
            // The nodes of a fleet begin at different times.
            let is_random = !spread.is_zero();
            return match (has_looked, is_random) {
                (false, false) => Duration::ZERO,
                (false, true) => self.random_up_to(rest.saturating_sub(WINDOW_MIN.min(rest / 2))),
                (true, false) => rest.saturating_sub(WINDOW_MIN),
                (true, true) => {
                    let earlier = self.random_up_to(WINDOW_END.saturating_sub(WINDOW_MIN));
                    rest.saturating_sub(WINDOW_MIN).saturating_sub(earlier)
                }
            };
        }
        let Some(opens_in) = windows.next_open(utc) else { return pause };
        let open_for = windows.closes_in(utc.saturating_add(opens_in)).unwrap_or(Duration::MAX);
        if opens_in.saturating_add(open_for) > pause {
            return pause;
        }
        // Some seconds are left for the refresh.
        opens_in
            .saturating_add(self.random_up_to(spread.min(open_for.saturating_sub(open_for / 6))))
    }

    /// The pause before `call`, which fails, is retried. It doubles with each
    /// retry, less up to a half at random.
    fn back_off(&mut self, at: Now, call: Call) -> Duration {
        // A retry of another command than the status begins with a refresh, which
        // asks the update repository.
        let longest = match call {
            Call::Status => BACKOFF_MAX.min(self.schedule.interval),
            Call::Start(_) | Call::Reboot => self.schedule.interval,
        };
        let mut backoff = BACKOFF_MIN.min(longest);
        if let Some(outage) = self.api.outage() {
            backoff = outage.backoff.min(longest);
            outage.backoff = backoff.saturating_mul(2);
        }
        let pause = backoff.saturating_sub(self.random_up_to(backoff / 2));
        let pause = self.or_before_window_closes(at.utc, pause, true);
        self.within_give_up(at.now, pause)
    }

    /// `pause`, or less if it is time to give up before its end: the last try is
    /// made then.
    fn within_give_up(&mut self, now: Duration, pause: Duration) -> Duration {
        let give_up = self.schedule.give_up;
        let stale_since = self.api.outage().and_then(|outage| outage.stale_since);
        let left = stale_since
            .map_or(Duration::MAX, |since| give_up.saturating_sub(now.saturating_sub(since)));
        pause.min(left)
    }

    /// A random duration from zero to `duration`, in steps of a millisecond.
    fn random_up_to(&mut self, duration: Duration) -> Duration {
        // SplitMix64 spreads numbers well that differ in few bits, as those of nodes
        // that boot together may. Its last step is left out: it changes the lower half
        // only, which matters only for durations above three weeks.
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
