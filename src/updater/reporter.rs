//! Decides which events are logged, and in which format.
//!
//! A reporter can be a `static`, so that the handler of a signal can use it, even
//! while [`Reporter::report`] is running. It needs only loads and stores of atomics.
//! An atomic swap or addition would link more code into the program on aarch64.

use crate::reporting::log::{Format, Level};
use crate::text::excerpt::Sanitized;
use crate::text::fields::fnv1a;
use crate::updater::event::{Event, EventKind};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use core::time::Duration;

/// Logs the events that are news, up to a level.
#[derive(Debug)]
pub struct Reporter {
    is_json: AtomicBool,
    /// The highest level that is logged, as a number.
    level: AtomicU8,
    /// The [`fingerprint`] of the last event that was news; 0 before the first.
    last_news: AtomicU64,
}

impl Reporter {
    /// A reporter that writes logfmt records up to the level `info`.
    pub const fn new() -> Self {
        Self {
            is_json: AtomicBool::new(false),
            level: AtomicU8::new(Level::Info as u8),
            last_news: AtomicU64::new(0),
        }
    }

    /// Sets the format of the log, and the highest level that is logged.
    pub fn configure(&self, format: Format, level: Level) {
        self.is_json.store(format == Format::Json, Relaxed);
        self.level.store(level as u8, Relaxed);
    }

    /// Calls `write` with the log line of `event`, unless the log level excludes the
    /// event. `utc` is the time of the event since 1970-01-01 00:00:00 UTC, and
    /// `socket` the path of the API's socket.
    pub fn report(&self, event: &Event, socket: &[u8], utc: Duration, write: impl FnOnce(&[u8])) {
        let level = self.level_of(event);
        if level as u8 > self.level.load(Relaxed) {
            return;
        }
        let format = if self.is_json.load(Relaxed) { Format::Json } else { Format::Logfmt };
        let mut record = event.record(format, utc);
        if let Event::ApiLost { .. } = event {
            record.show("socket", &Sanitized(socket));
        }
        write(record.finish());
    }

    /// The level at which an event is logged: its own if it is news, or else
    /// `debug`.
    fn level_of(&self, event: &Event) -> Level {
        let level = event.kind().level();
        let news = fingerprint(event);
        // A cycle that ends like the one before is no news.
        if event.kind().ends_cycle() && self.last_news.load(Relaxed) == news {
            return Level::Debug;
        }
        // Debug events and the daily report between two cycles do not make the second
        // one news.
        if level != Level::Debug && event.kind() != EventKind::Healthy {
            self.last_news.store(news, Relaxed);
        }
        level
    }
}

impl Default for Reporter {
    fn default() -> Self {
        Self::new()
    }
}

/// A number that identifies the kind of an event and, if an update has to wait or is
/// not chosen, the version of the update.
fn fingerprint(event: &Event) -> u64 {
    let version = match event {
        Event::WindowClosed { status, .. } | Event::Soaking { status, .. } => {
            status.chosen.map_or("", |image| image.version)
        }
        Event::HeldBack { entry, .. } => &entry.image.version,
        Event::NotChosen { offered, .. } => offered,
        Event::RetryDelayed { version, .. } => version,
        _ => "",
    };
    fnv1a(version.as_bytes()) ^ event.kind() as u64
}

#[cfg(test)]
mod tests;
