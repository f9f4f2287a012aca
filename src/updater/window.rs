//! Update windows: the times of the week at which an update may begin.
//!
//! A window is written like `Mon-Fri 22:00-04:00`: the days on which it opens, and
//! the times at which it opens and closes, in UTC. If it closes at an earlier time of
//! day than it opens, it closes on the next day.

use crate::text::duration::whole_number;
use core::time::Duration;
use heapless::Vec;

/// The largest number of windows.
pub const WINDOWS_MAX: usize = 8;

/// The names of the days of the week.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// All days, as in [`Window::days`].
const EVERY_DAY: u8 = 0x7f;
/// The minutes of a day.
const DAY_MINUTES: u32 = 24 * 60;
/// The seconds of a day.
const DAY: u32 = 60 * DAY_MINUTES;
/// The seconds of a week.
const WEEK: u32 = 7 * DAY;
/// The seconds from the last Monday before 1970-01-01, which was a Thursday, to
/// that day.
const MONDAY_TO_EPOCH: u32 = 3 * DAY;

/// A time of day, on some days of the week or on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days on which it opens, a bit for each. The lowest bit is Monday's.
    days: u8,
    /// When it opens, in minutes since midnight.
    begin: u32,
    /// How long it is open, in minutes.
    length: u32,
}

/// Why a text is not a window, or why there is no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowError {
    /// The days are invalid.
    Days,
    /// The times are invalid.
    Times,
    /// The window closes at the time of day at which it opens.
    Empty,
    /// There are [`WINDOWS_MAX`] windows already.
    TooMany,
}

impl WindowError {
    /// The error in one phrase.
    pub fn text(self) -> &'static str {
        match self {
            Self::Days => "not a day of the week; days are like Sat, Mon-Fri or Mon,Wed,Fri-Sun",
            Self::Times => {
                "not a time; a window is like 22:00-04:00 or Mon-Fri 22:00-04:00, in UTC"
            }
            Self::Empty => "begins and ends at the same time; a whole day is 00:00-24:00",
            Self::TooMany => "more than 8 windows",
        }
    }
}

impl Window {
    /// Reads a window: days, a space, a time, a dash, and another time.
    ///
    /// The days are a list like `Mon,Wed,Fri-Sun`, in upper or lower case. Without
    /// days, the window opens every day. The times are in UTC, from `00:00` to `23:59`;
    /// the second may also be `24:00`.
    ///
    /// # Errors
    ///
    /// The text is in another form, or both times are the same.
    pub fn parse(text: &[u8]) -> Result<Self, WindowError> {
        let text = text.trim_ascii();
        let (days, times) = match text.iter().rposition(u8::is_ascii_whitespace) {
            Some(space) => {
                let (days, times) = text.split_at_checked(space).unwrap_or_default();
                (read_days(days).ok_or(WindowError::Days)?, times.trim_ascii())
            }
            None => (EVERY_DAY, text),
        };
        let [begin, end] = split(times, b'-').ok_or(WindowError::Times)?.map(read_time);
        let begin = begin.filter(|begin| *begin < DAY_MINUTES).ok_or(WindowError::Times)?;
        let end = end.ok_or(WindowError::Times)?;
        if end == begin {
            return Err(WindowError::Empty);
        }
        let length = if end > begin { end - begin } else { end + DAY_MINUTES - begin };
        Ok(Self { days, begin, length })
    }

    /// The seconds since the window last opened and the seconds until it opens next, at
    /// a time in seconds since the beginning of a week.
    fn opened_and_opens(self, now: u32) -> (u32, u32) {
        let (mut opened, mut opens) = (WEEK, WEEK);
        for day in (0..7).filter(|day| self.opens_on(*day)) {
            let ago = (now + WEEK - (day * DAY + self.begin * 60)) % WEEK;
            (opened, opens) = (opened.min(ago), opens.min(WEEK - ago));
        }
        (opened, opens)
    }

    /// The seconds until the window closes, at a time in seconds since the beginning of a
    /// week. Zero if it is closed.
    fn rest(self, now: u32) -> u32 {
        (self.length * 60).saturating_sub(self.opened_and_opens(now).0)
    }

    fn opens_on(self, day: u32) -> bool {
        self.days >> (day % 7) & 1 == 1
    }
}

/// Up to [`WINDOWS_MAX`] windows. Without a window, an update may always begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows(Vec<Window, WINDOWS_MAX>);

impl Windows {
    /// No windows.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one window, or several that are separated by `;`.
    ///
    /// # Errors
    ///
    /// One of them is invalid, or there are too many. The windows before it are added.
    pub fn add(&mut self, list: &[u8]) -> Result<(), WindowError> {
        list.split(|byte| *byte == b';').try_for_each(|text| self.push(Window::parse(text)?))
    }

    /// Adds a window.
    ///
    /// # Errors
    ///
    /// There are too many windows.
    pub fn push(&mut self, window: Window) -> Result<(), WindowError> {
        self.0.push(window).map_err(|_| WindowError::TooMany)
    }

    /// Whether there are no windows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an update may begin at `utc`, the time since 1970-01-01 00:00:00 UTC.
    pub fn is_open(&self, utc: Duration) -> bool {
        let now = in_week(utc);
        self.is_empty() || self.0.iter().any(|window| window.rest(now) > 0)
    }

    /// The time from `utc`, the time since 1970-01-01 00:00:00 UTC, until all windows are
    /// closed. It is zero if they are now. `None` if one is always open, or if there are no
    /// windows.
    pub fn closes_in(&self, utc: Duration) -> Option<Duration> {
        let now = in_week(utc);
        let rest = |passed| {
            let rest = |window: &Window| window.rest(now + passed);
            self.0.iter().map(rest).max().filter(|rest| *rest > 0)
        };
        let mut passed = 0;
        // Ends: when a week has passed, if not before. Each turn goes on by a second at least.
        while let Some(rest) = rest(passed) {
            passed += rest;
            if passed >= WEEK {
                return None;
            }
        }
        let since_second = Duration::from_nanos(utc.subsec_nanos().into());
        let closes_in = Duration::from_secs(passed.into()).saturating_sub(since_second);
        (!self.is_empty()).then_some(closes_in)
    }

    /// The time from `utc`, the time since 1970-01-01 00:00:00 UTC, until a window opens,
    /// whether or not one is open now. It is above zero, and a week at most. `None` if
    /// there are no windows.
    pub fn next_open(&self, utc: Duration) -> Option<Duration> {
        let now = in_week(utc);
        let wait = self.0.iter().map(|window| window.opened_and_opens(now).1).min()?;
        let since_second = Duration::from_nanos(utc.subsec_nanos().into());
        Some(Duration::from_secs(wait.into()).saturating_sub(since_second))
    }
}

/// The time as seconds since the beginning of a week, which need not be the last one.
fn in_week(utc: Duration) -> u32 {
    (utc.as_secs() % u64::from(WEEK)) as u32 + MONDAY_TO_EPOCH
}

/// The text before the first `at`, and the text after it.
fn split(text: &[u8], at: u8) -> Option<[&[u8]; 2]> {
    let found = text.iter().position(|byte| *byte == at)?;
    Some([text.get(..found)?, text.get(found + 1..)?])
}

/// Reads a list of days, as in [`Window::days`].
fn read_days(text: &[u8]) -> Option<u8> {
    let mut days = 0;
    for range in text.split(|byte| *byte == b',') {
        let range = range.trim_ascii();
        let [first, last] = split(range, b'-').unwrap_or([range; 2]).map(read_day);
        let (first, last) = (first?, last?);
        for day in first..=if last < first { last + 7 } else { last } {
            days |= 1 << (day % 7);
        }
    }
    Some(days)
}

/// Reads a day, as its number from Monday on.
fn read_day(text: &[u8]) -> Option<u8> {
    let day = DAYS.iter().position(|day| text.eq_ignore_ascii_case(day.as_bytes()))?;
    Some(day as u8)
}

/// Reads a time of day up to 24:00, as minutes since midnight.
fn read_time(text: &[u8]) -> Option<u32> {
    let (hours, minutes) = match text {
        [hours @ .., b':', tens, ones] if hours.len() <= 2 => (hours, [*tens, *ones]),
        _ => return None,
    };
    let (hours, minutes) = (whole_number(hours)? as u32, whole_number(&minutes)? as u32);
    let time = hours * 60 + minutes;
    (minutes < 60 && time <= DAY_MINUTES).then_some(time)
}

#[cfg(test)]
mod tests;
