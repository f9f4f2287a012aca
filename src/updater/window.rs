//! Update windows: the times of the week at which an update may begin.
//!
//! A window is written like `Mon-Fri 22:00-04:00`: the days on which it opens, and
//! the times at which it opens and closes, on the clocks of a time zone. If it closes at an
//! earlier time of day than it opens, it closes on the next day.
//!
//! A window opens, and closes, when the clocks first show its time or a later one. So if they
//! are turned forward past its time, it opens when they are. If they are turned back and show
//! its time twice, it opens and closes once.

use crate::text::duration::whole_number;
use crate::text::timestamp::LocalTime;
use crate::updater::time_zone::TimeZone;
use core::ops::Range;
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
const DAY: i64 = 24 * 60 * 60;
/// The seconds of a week.
const WEEK: i64 = 7 * DAY;
/// The seconds of 400 years, after which the days of all weeks and months repeat.
const CALENDAR: u64 = 146_097 * DAY as u64;

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
            Self::Times => "not a time; a window is like 22:00-04:00 or Mon-Fri 22:00-04:00",
            Self::Empty => "begins and ends at the same time; a whole day is 00:00-24:00",
            Self::TooMany => "more than 8 windows",
        }
    }
}

impl Window {
    /// Reads a window: days, a space, a time, a dash, and another time.
    ///
    /// The days are a list like `Mon,Wed,Fri-Sun`, in upper or lower case. Without
    /// days, the window opens every day. The times are from `00:00` to `23:59`; the second
    /// may also be `24:00`.
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

    /// Whether it opens on this day, which is counted from 1970-01-01 on.
    fn opens_on(self, day: i64) -> bool {
        // 1970-01-01 was a Thursday.
        self.days >> (day + 3).rem_euclid(7) & 1 == 1
    }
}

/// Up to [`WINDOWS_MAX`] windows. Without a window, an update may always begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    list: Vec<Window, WINDOWS_MAX>,
    /// The time zone of the times of day.
    pub zone: TimeZone,
}

impl Windows {
    /// No windows, in UTC.
    pub const fn new() -> Self {
        Self { list: Vec::new(), zone: TimeZone::UTC }
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
        self.list.push(window).map_err(|_| WindowError::TooMany)
    }

    /// Whether there are no windows.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether an update may begin at `utc`, the time since 1970-01-01 00:00:00 UTC.
    pub fn is_open(&self, utc: Duration) -> bool {
        let now = moment(utc);
        self.is_empty() || self.open_until(now).is_some()
    }

    /// The time from `utc`, the time since 1970-01-01 00:00:00 UTC, until all windows are
    /// closed. It is zero if they are now. `None` if one is open at all times of the next
    /// week, or if there are no windows.
    pub fn closes_in(&self, utc: Duration) -> Option<Duration> {
        let now = moment(utc);
        let mut closes = now;
        // Ends: when a week has passed, if not before. Each turn goes on by a second at least.
        while let Some(end) = self.open_until(closes) {
            closes = end;
            if closes - now >= WEEK {
                return None;
            }
        }
        (!self.is_empty()).then(|| until(closes, utc))
    }

    /// The time from `utc`, the time since 1970-01-01 00:00:00 UTC, until a window opens,
    /// whether or not one is open now. It is above zero. `None` if there are no windows.
    pub fn next_open(&self, utc: Duration) -> Option<Duration> {
        let now = moment(utc);
        let today = self.day(now);
        // A window that lies in the hour that the clocks leave out does not open that day,
        // so it may be two weeks.
        let opens = (today..=today + 15).find_map(|day| {
            let openings = self.openings(day).map(|opening| opening.start);
            openings.filter(|opens| *opens > now).min()
        });
        Some(until(opens?, utc))
    }

    /// The time on the clocks of the zone at `utc`, the time since 1970-01-01 00:00:00 UTC.
    pub fn local_time(&self, utc: Duration) -> LocalTime {
        LocalTime { utc, offset: self.zone.offset(moment(utc)) }
    }

    /// When the last one of the windows that are open at a moment closes.
    fn open_until(&self, moment: i64) -> Option<i64> {
        let today = self.day(moment);
        // When the clocks are turned back over midnight, it may have opened tomorrow. No rule
        // turns them by more than two days.
        let days = [today - 1, today, today + 1, today + 2].map(|day| {
            let open = self.openings(day).filter(|opening| opening.contains(&moment));
            open.map(|opening| opening.end).max()
        });
        days.into_iter().flatten().max()
    }

    /// From when to when each window is open that opens on a day.
    fn openings(&self, day: i64) -> impl Iterator<Item = Range<i64>> {
        let windows = self.list.iter().filter(move |window| window.opens_on(day));
        let openings = windows.map(move |window| {
            let begin = day * DAY + 60 * i64::from(window.begin);
            let end = begin + 60 * i64::from(window.length);
            self.zone.first_moment(begin)..self.zone.first_moment(end)
        });
        openings.filter(|opening| !opening.is_empty())
    }

    /// The day on the clocks of the zone at a moment, counted from 1970-01-01 on.
    fn day(&self, moment: i64) -> i64 {
        (moment + i64::from(self.zone.offset(moment))).div_euclid(DAY)
    }
}

/// The time since 1970-01-01 00:00:00 UTC in seconds, less a number of whole calendars.
fn moment(utc: Duration) -> i64 {
    (utc.as_secs() % CALENDAR) as i64
}

/// The time from `utc` to a later moment of its calendar.
fn until(later: i64, utc: Duration) -> Duration {
    let since_second = Duration::from_nanos(utc.subsec_nanos().into());
    let seconds = u64::try_from(later - moment(utc)).unwrap_or_default();
    Duration::from_secs(seconds).saturating_sub(since_second)
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
