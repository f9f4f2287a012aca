//! Time zones: how far the clocks of a place are ahead of UTC.
//!
//! A zone is one rule, the one that is in force today: an offset from UTC and, where there is
//! daylight saving time, a second offset and the two days of the year on which the clocks
//! change. The rule counts for all years, those before it included.
//!
//! Moments are in seconds since 1970-01-01 00:00:00 UTC. Local times are in seconds since
//! 1970-01-01 00:00:00 on the clocks of the zone.

use crate::text::duration::whole_number;
use crate::text::timestamp::{date, first_day};

/// The rules and the zones in which they are in force. build.rs says how it is written.
static TABLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/time_zones.txt"));

/// The seconds of an hour.
const HOUR: i32 = 60 * 60;
/// The seconds of a day.
const DAY: i64 = 24 * 60 * 60;
/// The longest offset, in hours.
const OFFSET_HOURS_MAX: i32 = 24;
/// The longest time from midnight to a change of the clocks, in hours: almost a week.
const CHANGE_HOURS_MAX: i32 = 167;

/// A time zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeZone {
    /// The seconds by which standard time is ahead of UTC.
    standard: i32,
    daylight: Option<Daylight>,
}

/// Daylight saving time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Daylight {
    /// The seconds by which it is ahead of UTC.
    offset: i32,
    begins: Change,
    ends: Change,
}

/// When the clocks change, each year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    day: Day,
    /// The seconds from that day's midnight to the change, on the clocks before it.
    time: i32,
}

/// A day of each year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Day {
    /// A day of the week, from Sunday on as 0, in a month. The week is from 1 to 4, or 5 for
    /// the last one.
    WeekdayOfMonth { month: i64, week: i64, weekday: i64 },
    /// A day of the year from 1 to 365. February 29 is not counted.
    OfCommonYear(i64),
    /// A day of the year from 0 to 365. February 29 is counted.
    OfYear(i64),
}

impl TimeZone {
    /// UTC.
    pub const UTC: Self = Self { standard: 0, daylight: None };

    /// The zone with a name of the IANA database, like `Europe/Prague`, or with the rule in a
    /// POSIX TZ string, like `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        read_rule(find(text).unwrap_or(text))
    }

    /// The seconds by which the clocks are ahead of UTC, at a moment.
    pub fn offset(&self, moment: i64) -> i32 {
        let Some(daylight) = &self.daylight else { return self.standard };
        let changes = self.changes_around(moment, daylight);
        let before = changes.as_flattened().iter().filter(|(at, _)| *at <= moment);
        before.max().map_or(self.standard, |(_, offset)| *offset)
    }

    /// The first moment at which the clocks show a local time, or a later one.
    ///
    /// If the local time comes twice, because the clocks are turned back, this is the first
    /// time. If it does not exist, because the clocks are turned forward, this is the moment
    /// at which they are.
    pub fn first_moment(&self, local: i64) -> i64 {
        let Some(daylight) = &self.daylight else { return local - i64::from(self.standard) };
        let first = local - i64::from(self.standard.max(daylight.offset));
        let last = local - i64::from(self.standard.min(daylight.offset));
        let is_reached = |moment: &i64| *moment + i64::from(self.offset(*moment)) >= local;
        if is_reached(&first) {
            return first;
        }
        let changes = self.changes_around(first, daylight);
        let between = changes.as_flattened().iter().map(|(at, _)| *at);
        let between = between.filter(|at| (first..last).contains(at));
        between.filter(is_reached).min().unwrap_or(last)
    }

    /// The moments at which the clocks change, from a year before `moment` to a year after it,
    /// and the offsets from then on. Daylight saving time that lasts all year ends at the
    /// moment at which it begins: then the longer offset counts, as it is the greater pair.
    fn changes_around(&self, moment: i64, daylight: &Daylight) -> [[(i64, i32); 2]; 4] {
        let [year, ..] = date(moment.div_euclid(DAY));
        // A change may be a week before its year or after it.
        [year - 2, year - 1, year, year + 1].map(|year| {
            let begins = daylight.begins.local(year) - i64::from(self.standard);
            let ends = daylight.ends.local(year) - i64::from(daylight.offset);
            [(begins, daylight.offset), (ends, self.standard)]
        })
    }
}

impl Change {
    /// The local time of the change in a year, on the clocks before it.
    fn local(&self, year: i64) -> i64 {
        self.day.number(year) * DAY + i64::from(self.time)
    }
}

impl Day {
    /// The number of days from 1970-01-01 to this day of a year.
    fn number(&self, year: i64) -> i64 {
        match *self {
            Self::WeekdayOfMonth { month, week, weekday } => {
                let first = first_day(year, month);
                let next = first_day(year, month + 1);
                // 1970-01-01 was a Thursday.
                let first_weekday = (first + 4).rem_euclid(7);
                let day = first + (weekday - first_weekday).rem_euclid(7) + 7 * (week - 1);
                if day < next { day } else { day - 7 }
            }
            Self::OfCommonYear(day) => {
                // From March on, the days are counted from March 1.
                if day < 60 { first_day(year, 1) + day - 1 } else { first_day(year, 3) + day - 60 }
            }
            Self::OfYear(day) => first_day(year, 1) + day,
        }
    }
}

/// The rule of the zone with this name.
fn find(name: &[u8]) -> Option<&'static [u8]> {
    let (area, city) = split_name(name);
    TABLE.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let rule = words.next()?;
        let is_there = words.map(split_name).any(|(its_area, cities)| {
            its_area == area && cities.split(|byte| *byte == b',').any(|other| other == city)
        });
        is_there.then_some(rule)
    })
}

/// The area and the city of a name: `Europe` and `Prague`. Some names have no area.
fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    let slash = name.iter().rposition(|byte| *byte == b'/');
    let split = slash.and_then(|slash| Some((name.get(..slash)?, name.get(slash + 1..)?)));
    split.unwrap_or((b"", name))
}

/// Reads a rule: a POSIX TZ string. If it has daylight saving time, it must say when that
/// begins and ends.
fn read_rule(text: &[u8]) -> Option<TimeZone> {
    let mut reader = Reader(text);
    reader.name()?;
    let standard = -reader.time(OFFSET_HOURS_MAX)?;
    if reader.0.is_empty() {
        return Some(TimeZone { standard, daylight: None });
    }
    reader.name()?;
    let offset = match reader.0.starts_with(b",") {
        true => standard + HOUR,
        false => -reader.time(OFFSET_HOURS_MAX)?,
    };
    let [begins, ends] = [reader.change()?, reader.change()?];
    let daylight = Some(Daylight { offset, begins, ends });
    reader.0.is_empty().then_some(TimeZone { standard, daylight })
}

/// The part of a rule that has not been read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads the name of a time, which has three characters or more: `CET` or `<+03>`.
    fn name(&mut self) -> Option<()> {
        let name = match self.accept(b'<') {
            true => {
                let name = self.take_while(|byte| {
                    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'-'
                });
                self.accept(b'>').then_some(name)?
            }
            false => self.take_while(|byte| byte.is_ascii_alphabetic()),
        };
        (name.len() >= 3).then_some(())
    }

    /// Reads hours, and minutes and seconds if they are there, as seconds: `-3:30`.
    fn time(&mut self, hours_max: i32) -> Option<i32> {
        let is_negative = self.accept(b'-');
        if !is_negative {
            self.accept(b'+');
        }
        let mut seconds = self.number(0, hours_max)? * HOUR;
        if self.accept(b':') {
            seconds += self.number(0, 59)? * 60;
            if self.accept(b':') {
                seconds += self.number(0, 59)?;
            }
        }
        Some(if is_negative { -seconds } else { seconds })
    }

    /// Reads a comma, the day of a change, and its time if it is there: `,M10.5.0/3`.
    fn change(&mut self) -> Option<Change> {
        if !self.accept(b',') {
            return None;
        }
        let day = if self.accept(b'M') {
            let month = self.number(1, 12)?.into();
            let week = self.accept(b'.').then(|| self.number(1, 5))??.into();
            let weekday = self.accept(b'.').then(|| self.number(0, 6))??.into();
            Day::WeekdayOfMonth { month, week, weekday }
        } else if self.accept(b'J') {
            Day::OfCommonYear(self.number(1, 365)?.into())
        } else {
            Day::OfYear(self.number(0, 365)?.into())
        };
        let time = match self.accept(b'/') {
            true => self.time(CHANGE_HOURS_MAX)?,
            false => 2 * HOUR,
        };
        Some(Change { day, time })
    }

    fn number(&mut self, least: i32, most: i32) -> Option<i32> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let number = i32::try_from(whole_number(digits)?).ok()?;
        (least..=most).contains(&number).then_some(number)
    }

    /// Reads `byte` if it comes next, and says whether it does.
    fn accept(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take_while(&mut self, is_wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !is_wanted(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at_checked(end).unwrap_or_default();
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests;
