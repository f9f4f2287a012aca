//! The state that the threads of a simulator share, and its clock.
//!
//! The server carries out one request at a time, like the only worker of the real server:
//! a connection locks `Shared::worker` for that. If a request keeps the worker busy for
//! longer than the request timeout, all requests that wait behind it get 408 and are not
//! carried out. `Shared::inner` holds everything else.
//! Each change notifies `Shared::changed`, so no thread has to poll.

use crate::disk::{Power, Saved, with_suffix};
use crate::event::{Event, EventKind};
use crate::fault::Rule;
use crate::node::Node;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Error};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A request in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The time when it was complete, since the Unix epoch.
    pub at: Duration,
    /// Such as `GET`.
    pub method: String,
    /// Such as `/updates/status`.
    pub path: String,
    /// The status of the answer. `None` until there is an answer, and also if a fault
    /// replaced it.
    pub status: Option<u16>,
}

/// The state of the node and the requests, for a condition.
pub struct View<'a> {
    /// The node at this moment.
    pub node: &'a Node,
    /// All requests so far.
    pub requests: &'a [Request],
}

impl View<'_> {
    /// The number of requests with this method and path so far.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let is_it = |request: &&Request| request.method == method && request.path == path;
        self.requests.iter().filter(is_it).count()
    }
}

pub(crate) type Hook = Box<dyn FnMut(&mut Node, &Request) + Send>;

pub(crate) struct Inner {
    pub(crate) node: Node,
    pub(crate) requests: Vec<Request>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) hook: Option<Hook>,
    pub(crate) events: Vec<Event>,
    pub(crate) connections: HashMap<u64, UnixStream>,
    pub(crate) accepted: u64,
    /// The connections of reboot requests, until they have been answered.
    pub(crate) rebooting: HashSet<u64>,
    pub(crate) stopping: bool,
    /// What the state file contains.
    pub(crate) saved: Option<Saved>,
    /// Why the simulator cannot go on.
    pub(crate) failure: Option<Error>,
}

impl Inner {
    pub(crate) fn advance(&mut self, now: Duration, spared: Option<u64>) {
        self.node.advance(now);
        self.take_events(spared);
    }

    /// Adds an event of connection `id`.
    pub(crate) fn note(&mut self, id: u64, at: Duration, kind: EventKind) {
        self.take_events(Some(id));
        self.events.push(Event { at, kind });
    }

    /// Collects the node's events. Call this before any client can see the node's new
    /// state. If the node is off, or booted, or the server was killed, all connections but
    /// `spared` break. If a file cannot be written, all connections break.
    pub(crate) fn take_events(&mut self, spared: Option<u64>) {
        let events = self.node.take_events();
        let breaks = |event: &Event| {
            matches!(
                event.kind,
                EventKind::PoweredOff | EventKind::Booted { .. } | EventKind::CutOff(_)
            )
        };
        if let Err(error) = self.write_files(&events) {
            self.failure.get_or_insert(error);
            self.hang_up(None);
        } else if events.iter().any(breaks) {
            self.hang_up(spared);
        }
        self.events.extend(events);
    }

    /// Writes the files of the options, as far as the node's state has changed.
    fn write_files(&mut self, events: &[Event]) -> io::Result<()> {
        self.save()?;
        let is_boot = |event: &Event| matches!(event.kind, EventKind::Booted { .. });
        if events.iter().any(is_boot) { write_boot_files(&self.node) } else { Ok(()) }
    }

    /// Writes the state file, if the options name one and the state has changed.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        if let Some(path) = &self.node.options.state_file {
            let saved = self.node.saved();
            if self.saved.as_ref() != Some(&saved) {
                saved.write(path)?;
                self.saved = Some(saved);
            }
        }
        Ok(())
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { node: &self.node, requests: &self.requests }
    }

    /// Closes all connections but `spared`, and those of reboot requests: a reboot is
    /// answered before it begins.
    pub(crate) fn hang_up(&self, spared: Option<u64>) {
        for (id, stream) in &self.connections {
            let is_spared = Some(*id) == spared || self.rebooting.contains(id);
            if self.stopping || !is_spared {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// A clock that shows the wall clock's time, but never goes back.
pub(crate) struct Clock {
    wall: Duration,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock {
            wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            started: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.wall + self.started.elapsed()
    }
}

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) inner: Mutex<Inner>,
    pub(crate) changed: Condvar,
    /// The begin and the end of the last request that took longer than the request
    /// timeout.
    pub(crate) worker: Mutex<Option<Range<Duration>>>,
}

impl Shared {
    /// Waits for the worker.
    pub(crate) fn worker(&self) -> MutexGuard<'_, Option<Range<Duration>>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        // If a condition of a test panics, its own message must be the one that is shown.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes, but not longer than `until`.
    pub(crate) fn wait<'a>(
        &self,
        inner: MutexGuard<'a, Inner>,
        until: Option<Duration>,
    ) -> MutexGuard<'a, Inner> {
        match until {
            Some(until) => {
                let left = until.saturating_sub(self.clock.now());
                let woken = self.changed.wait_timeout(inner, left);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let woken = self.changed.wait(inner);
                woken.unwrap_or_else(PoisonError::into_inner)
            }
        }
    }

    /// Waits for this long. Returns false if the simulator stops in the meantime.
    pub(crate) fn pause(&self, duration: Duration) -> bool {
        let until = self.clock.now().checked_add(duration);
        let mut inner = self.inner();
        while !inner.stopping && until.is_none_or(|until| self.clock.now() < until) {
            inner = self.wait(inner, until);
        }
        !inner.stopping
    }
}

/// An error message that names the path.
pub(crate) fn at(path: &Path, message: &str) -> String {
    format!("{}: {message}", path.display())
}

/// Writes the files that tell the current boot, if the options name them and the node is
/// on. A reader always finds either the old content or the new content. The boot id is the
/// last file: a reader that finds a new boot id also finds the version of that boot.
pub(crate) fn write_boot_files(node: &Node) -> io::Result<()> {
    let options = &node.options;
    if node.power() != Power::On {
        return Ok(());
    }
    if let Some(path) = &options.os_release_file {
        let (version, variant) = (&options.running, &options.variant);
        let text = format!(
            "NAME=Bottlerocket\nID=bottlerocket\nVERSION=\"{version} ({variant})\"\n\
             PRETTY_NAME=\"Bottlerocket OS {version} ({variant})\"\n\
             VARIANT_ID={variant}\nVERSION_ID={version}\n"
        );
        replace(path, &text)?;
    }
    if let Some(path) = &options.boot_id_file {
        replace(path, &(node.boot_id() + "\n"))?;
    }
    Ok(())
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    // See `make_room`.
    let _ = fs::remove_dir(path);
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), at(path, &error.to_string()))
}
