//! Decides which events are logged, and writes their records.
//!
//! A reporter can be a `static`, so that a signal handler can use it too. It only
//! loads and stores atomics: a handler that interrupts [`Reporter::report`] finds
//! each of them whole.

use crate::text::excerpt::Sanitized;
use crate::updater::event::Event;
use crate::updater::history::fnv1a;
use crate::updater::log::{Format, Level};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use core::time::Duration;

/// Writes the records of events that are news, up to a level.
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

    /// Sets the format of the records, and the highest level that is logged.
    pub fn configure(&self, format: Format, level: Level) {
        self.is_json.store(format == Format::Json, Relaxed);
        self.level.store(level as u8, Relaxed);
    }

    /// Calls `write` with the line to write for an event at `utc`, the time since
    /// 1970-01-01 00:00:00 UTC, unless the log level excludes the event. `socket` is
    /// the path of the API's socket.
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
        // A cycle that ends like the one before it is no news.
        if event.kind().ends_cycle() && self.last_news.load(Relaxed) == news {
            return Level::Debug;
        }
        // What is only logged for debugging does not come between two cycles.
        if level != Level::Debug {
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

/// A number that is another one for each kind of event, and for each version that
/// an update which has to wait is about.
fn fingerprint(event: &Event) -> u64 {
    let version = match event {
        Event::WindowClosed { status, .. } => status.chosen.map_or("", |image| image.version),
        Event::HeldBack { entry, .. } => &entry.image.version,
        _ => "",
    };
    fnv1a(version.as_bytes()) ^ event.kind() as u64
}

#[cfg(test)]
mod tests;
