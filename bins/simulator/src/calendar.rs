//! Points in time in the API's formats. A point in time is a `Duration` since the Unix
//! epoch, in UTC.

use std::time::Duration;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The year, the month (1 to 12) and the day (1 to 31) of a day, counted from
/// 1 January 1970, which is day 0.
fn date(days: u64) -> (u64, usize, u64) {
    // Count years from March: the leap day comes last then, and every month before it
    // has a fixed length.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month as usize, day)
}

/// The hour, the minute and the second of the day.
fn clock(at: Duration) -> (u64, u64, u64) {
    let second = at.as_secs() % 86_400;
    (second / 3_600, second / 60 % 60, second % 60)
}

/// The time in the format of a `date` header: `Sun, 22 Nov 2026 05:32:12 GMT`.
pub fn http_date(at: Duration) -> String {
    let days = at.as_secs() / 86_400;
    let (year, month, day) = date(days);
    let (hour, minute, second) = clock(at);
    format!(
        "{}, {day:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT",
        WEEKDAYS[(days % 7) as usize],
        MONTHS[month - 1],
    )
}

/// The time in the format of the status: `2026-11-22T05:32:13.044656602Z`.
pub fn timestamp(at: Duration) -> String {
    let (year, month, day) = date(at.as_secs() / 86_400);
    let (hour, minute, second) = clock(at);
    format!(
        "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
        at.subsec_nanos(),
    )
}

/// The time of day with milliseconds: `05:32:13.044`.
pub fn time_of_day(at: Duration) -> String {
    let (hour, minute, second) = clock(at);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}", at.subsec_millis())
}
