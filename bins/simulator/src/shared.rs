//! The node and its log, shared by the threads.

use crate::event::{Event, EventKind};
use crate::fault::Rule;
use crate::node::Node;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Error};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A request that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it was complete, since the Unix epoch.
    pub at: Duration,
    /// Such as `GET`.
    pub method: String,
    /// Such as `/updates/status`.
    pub path: String,
    /// The status of the answer: `None` until it is known, and for good when
    /// a fault kept the request from being carried out.
    pub status: Option<u16>,
}

/// What a condition on the node can look at.
pub struct View<'a> {
    /// The node, up to date.
    pub node: &'a Node,
    /// All requests so far.
    pub requests: &'a [Request],
}

impl View<'_> {
    /// How many requests with this method and path came in.
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
    pub(crate) stopping: bool,
}

impl Inner {
    pub(crate) fn advance(&mut self, now: Duration) {
        self.node.advance(now);
        self.take_events();
    }

    pub(crate) fn note(&mut self, at: Duration, kind: EventKind) {
        self.take_events();
        self.events.push(Event { at, kind });
    }

    /// To be called before anybody can see what has become of the node.
    pub(crate) fn take_events(&mut self) {
        let events = self.node.take_events();
        if events.iter().any(|event| matches!(event.kind, EventKind::Booted { .. })) {
            // Whoever asked for the file must not go on with an old one.
            write_boot_id(&self.node).expect("the file of the boot id can be replaced");
        }
        self.events.extend(events);
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { node: &self.node, requests: &self.requests }
    }

    pub(crate) fn hang_up(&self, spared: Option<u64>) {
        for (id, stream) in &self.connections {
            if Some(*id) != spared {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// The wall clock when the simulator started, and a clock that never goes
/// back for what has passed since.
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
    pub(crate) worker: Mutex<()>,
}

impl Shared {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that panics in a condition is still to hear its own message.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes or it is that time.
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

    /// Lets time pass; false when the simulator stops meanwhile.
    pub(crate) fn pause(&self, duration: Duration) -> bool {
        let until = self.clock.now().checked_add(duration);
        let mut inner = self.inner();
        while !inner.stopping && until.is_none_or(|until| self.clock.now() < until) {
            inner = self.wait(inner, until);
        }
        !inner.stopping
    }
}

pub(crate) fn at(path: &Path, message: &str) -> String {
    format!("{}: {message}", path.display())
}

/// Writes the boot id to the file that was asked for, if any. Whoever reads it
/// finds the old one or the new one, whole.
pub(crate) fn write_boot_id(node: &Node) -> io::Result<()> {
    let Some(path) = &node.options.boot_id_file else { return Ok(()) };
    let mut new = path.clone().into_os_string();
    new.push(".new");
    fs::write(&new, node.boot_id() + "\n")
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| Error::new(error.kind(), at(path, &error.to_string())))
}
