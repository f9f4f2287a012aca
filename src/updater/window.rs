//! Update windows: the times of the week at which an update may begin.
//!
//! A window is written like `Mon-Fri 22:00-04:00`: the days on which it begins,
//! and from when to when it is open, in UTC. What ends at an earlier time of day
//! than it begins ends on the next day.

use crate::text::duration::whole_number;
use core::time::Duration;
use heapless::Vec;

/// How many windows there can be.
pub const WINDOWS_MAX: usize = 8;

/// The days of the week, three letters each, in lower case.
const DAYS: &[u8] = b"montuewedthufrisatsun";
const DAY_MINUTES: u32 = 24 * 60;
const DAY: u32 = 60 * DAY_MINUTES;
const WEEK: u32 = 7 * DAY;
/// When the first week that is counted began, before 1970-01-01, a Thursday.
const MONDAY_BEFORE_EPOCH: u32 = 3 * DAY;

/// The same time on some days of the week, or on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// A bit for each day on which it begins, the lowest for Monday.
    days: u8,
    /// When it begins, in minutes since midnight, and how many it is open.
    begin: u32,
    length: u32,
}

/// What is wrong with a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowError {
    /// Something else stands where days are expected.
    Days,
    /// Something else stands where two times of day are expected.
    Times,
    /// It ends at the time of day at which it begins.
    Empty,
    /// There are [`WINDOWS_MAX`] already.
    TooMany,
}

impl WindowError {
    /// What is wrong, in one phrase.
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
    /// Reads a window: days, a space, a time of day, a dash, and another time.
    ///
    /// Days are `Mon`, `Tue`, `Wed`, `Thu`, `Fri`, `Sat` and `Sun` in any case, or
    /// ranges of them like `Fri-Mon`, with commas in between; without any, every
    /// day is meant. A time is hours and minutes, from `00:00` to `23:59`, or up
    /// to `24:00` for the end.
    ///
    /// # Errors
    ///
    /// It is written in another way, or is never open.
    pub fn parse(text: &[u8]) -> Result<Self, WindowError> {
        let text = text.trim_ascii();
        let (days, times) = match text.iter().rposition(u8::is_ascii_whitespace) {
            Some(space) => {
                let (days, times) = text.split_at_checked(space).unwrap_or_default();
                (read_days(days).ok_or(WindowError::Days)?, times.trim_ascii())
            }
            None => (0x7f, text),
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

    /// How many seconds ago it opened last, so many seconds behind the beginning of
    /// a week, and how many it is until it opens next.
    fn opened_and_opens(self, now: u32) -> (u32, u32) {
        let (mut opened, mut opens) = (WEEK, WEEK);
        for day in (0..7).filter(|day| self.begins_on(*day)) {
            let ago = (now + WEEK - (day * DAY + self.begin * 60)) % WEEK;
            (opened, opens) = (opened.min(ago), opens.min(WEEK - ago));
        }
        (opened, opens)
    }

    fn begins_on(self, day: u32) -> bool {
        self.days >> (day % 7) & 1 == 1
    }
}

/// At most [`WINDOWS_MAX`] windows. If there are none, it is always open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows(Vec<Window, WINDOWS_MAX>);

impl Windows {
    /// None, yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a window, or several with `;` in between.
    ///
    /// # Errors
    ///
    /// One of them is no window, or there are too many; those before it are
    /// added.
    pub fn add(&mut self, list: &[u8]) -> Result<(), WindowError> {
        list.split(|byte| *byte == b';').try_for_each(|text| self.push(Window::parse(text)?))
    }

    /// Adds a window.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn push(&mut self, window: Window) -> Result<(), WindowError> {
        self.0.push(window).map_err(|_| WindowError::TooMany)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an update may begin at `utc`, a time since 1970-01-01 00:00:00
    /// UTC.
    pub fn is_open(&self, utc: Duration) -> bool {
        let now = in_week(utc);
        let is_open = |window: &Window| window.opened_and_opens(now).0 < window.length * 60;
        self.is_empty() || self.0.iter().any(is_open)
    }

    /// How long it is from `utc`, a time since 1970-01-01 00:00:00 UTC, until a
    /// window opens, whether one is open now or not: more than nothing, and never
    /// more than a week. `None` if there are no windows.
    pub fn next_open(&self, utc: Duration) -> Option<Duration> {
        let now = in_week(utc);
        let wait = self.0.iter().map(|window| window.opened_and_opens(now).1).min()?;
        let since_second = Duration::from_nanos(utc.subsec_nanos().into());
        Some(Duration::from_secs(wait.into()).saturating_sub(since_second))
    }
}

/// How many seconds behind a beginning of a week a time is.
fn in_week(utc: Duration) -> u32 {
    (utc.as_secs() % u64::from(WEEK)) as u32 + MONDAY_BEFORE_EPOCH
}

/// The text before the first `at`, and that behind it.
fn split(text: &[u8], at: u8) -> Option<[&[u8]; 2]> {
    let found = text.iter().position(|byte| *byte == at)?;
    Some([text.get(..found)?, text.get(found + 1..)?])
}

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

#[inline(never)]
fn read_day(text: &[u8]) -> Option<u8> {
    // With this bit, a capital is the small letter, and nothing else is.
    let small = |byte: &u8| byte | 0x20;
    let day = DAYS.chunks(3).position(|day| text.iter().map(small).eq(day.iter().copied()))?;
    Some(day as u8)
}

/// Reads a time of day, up to 24:00, as minutes since midnight.
#[inline(never)]
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
