//! Serves a node on a Unix socket: threads, timeouts, damage.
//!
//! Each connection has a thread, but requests are carried out one at a time,
//! as the real server's only worker does: who wants to carry one out holds
//! `Shared::worker`. Everything else is behind `Shared::inner`, and whoever
//! changes it says so through `Shared::changed`, so nobody has to poll.

use crate::command::{Command, Refusal};
use crate::event::Event;
use crate::fault::Rule;
use crate::listener::{Listening, accept, make_room};
use crate::node::{Lock, Node};
use crate::options::Options;
use crate::shared::{Clock, Inner, Request, Shared, View, at, write_boot_id};
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{self, Error};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A node that is served on a socket, until this value is dropped.
///
/// Closures given to it run while the node is locked: they see one moment of
/// it, and must not call the simulator.
pub struct Simulator {
    path: PathBuf,
    shared: Arc<Shared>,
    listening: Mutex<Option<Listening>>,
}

impl Simulator {
    /// Serves a node that has just booted on a socket at this path. A socket
    /// there on which nobody listens is replaced.
    ///
    /// # Errors
    /// The path is too long for a socket, is in use, is not a socket, or
    /// cannot be created, or the file of the boot id cannot. The message names
    /// the path.
    ///
    /// # Panics
    /// Not here, but at a later boot, if the file of the boot id cannot be
    /// replaced.
    pub fn start(path: impl AsRef<Path>, options: Options) -> io::Result<Simulator> {
        let path = path.as_ref().to_path_buf();
        make_room(&path)?;
        let clock = Clock::start();
        let node = Node::new(options, clock.now());
        write_boot_id(&node)?;
        let shared = Shared {
            clock,
            inner: Mutex::new(Inner {
                node,
                requests: Vec::new(),
                rules: Vec::new(),
                hook: None,
                events: Vec::new(),
                connections: HashMap::new(),
                accepted: 0,
                stopping: false,
            }),
            changed: Condvar::new(),
            worker: Mutex::new(()),
        };
        let simulator = Simulator { path, shared: Arc::new(shared), listening: Mutex::new(None) };
        simulator.listen()?;
        Ok(simulator)
    }

    /// Serves as many nodes, each on a socket of its own as [`Simulator::start`]
    /// does: at this path with `.1`, `.2` and so on behind it. So are the files of
    /// the boot ids, if they are asked for.
    ///
    /// # Errors
    /// One of them cannot be served. No node is, then.
    pub fn start_many(path: &Path, nodes: u32, options: &Options) -> io::Result<Vec<Simulator>> {
        let start = |number| {
            let behind = |path: &Path| {
                let mut path = path.as_os_str().to_owned();
                path.push(format!(".{number}"));
                PathBuf::from(path)
            };
            let boot_id_file = options.boot_id_file.as_deref().map(behind);
            Simulator::start(behind(path), Options { boot_id_file, ..options.clone() })
        };
        (1..=nodes).map(start).collect()
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Somebody else's command, begun and ended at this moment.
    ///
    /// # Errors
    /// As the API refuses it.
    pub fn run(&self, command: Command) -> Result<(), Refusal> {
        let done = self.change(|node, now| node.run(command, now));
        if command == Command::Reboot && done.is_ok() {
            self.shared.inner().hang_up(None);
        }
        done
    }

    /// Whatever command is running ends now.
    pub fn finish(&self) {
        self.change(Node::finish);
    }

    /// Somebody else takes the update lock, or, with `None`, lets it go.
    pub fn set_lock(&self, lock: Option<Lock>) {
        self.change(|node, _| node.set_lock(lock));
    }

    /// Changes the node, which is up to date, in any way. The time is that
    /// since the Unix epoch.
    pub fn change<T>(&self, change: impl FnOnce(&mut Node, Duration) -> T) -> T {
        let mut inner = self.shared.inner();
        let now = self.shared.clock.now();
        inner.advance(now);
        let result = change(&mut inner.node, now);
        inner.advance(now);
        self.shared.changed.notify_all();
        result
    }

    /// Looks at the node, which is up to date.
    pub fn look<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let mut inner = self.shared.inner();
        inner.advance(self.shared.clock.now());
        look(&inner.view())
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.inner().requests.clone()
    }

    /// Waits until the condition holds; false when it did not within that
    /// time. It is looked at again whenever something changes.
    #[must_use]
    pub fn wait_until(&self, within: Duration, condition: impl Fn(&View<'_>) -> bool) -> bool {
        let deadline = self.shared.clock.now() + within;
        let mut inner = self.shared.inner();
        loop {
            let now = self.shared.clock.now();
            inner.advance(now);
            if condition(&inner.view()) {
                return true;
            }
            if now >= deadline {
                return false;
            }
            let next = inner.node.next_change();
            let wake = next.map_or(deadline, |next| next.min(deadline));
            inner = self.shared.wait(inner, Some(wake));
        }
    }

    /// The next events, in order, each given once; waits until there is one,
    /// but not longer than `within`.
    pub fn events(&self, within: Duration) -> Vec<Event> {
        let deadline = self.shared.clock.now().checked_add(within);
        let mut inner = self.shared.inner();
        loop {
            let now = self.shared.clock.now();
            inner.advance(now);
            if !inner.events.is_empty() || deadline.is_some_and(|deadline| now >= deadline) {
                return std::mem::take(&mut inner.events);
            }
            let next = inner.node.next_change();
            let wake = match (next, deadline) {
                (Some(next), Some(deadline)) => Some(next.min(deadline)),
                (next, deadline) => next.or(deadline),
            };
            inner = self.shared.wait(inner, wake);
        }
    }

    /// Called with the node and the request just before each request is
    /// carried out: whatever it does to the node happened before.
    pub fn before_each(&self, hook: impl FnMut(&mut Node, &Request) + Send + 'static) {
        self.shared.inner().hook = Some(Box::new(hook));
    }

    /// Damages answers. Of several rules the first one that hits counts.
    pub fn inject(&self, rule: impl Into<Rule>) {
        self.shared.inner().rules.push(rule.into());
    }

    /// From now on nothing is damaged.
    pub fn clear_faults(&self) {
        self.shared.inner().rules.clear();
    }

    /// The server goes away and leaves its socket file: connections are
    /// refused.
    pub fn refuse(&self) {
        if let Some(listening) = self.listening().take() {
            listening.stop();
        }
        self.shared.inner().hang_up(None);
    }

    /// The server goes away, and so does its socket file.
    pub fn remove_socket(&self) {
        self.refuse();
        let _ = fs::remove_file(&self.path);
    }

    /// The server restarts, with a new socket at the same path. The node and
    /// what it is doing stay as they are.
    ///
    /// # Errors
    /// The new socket cannot be created.
    pub fn restart(&self) -> io::Result<()> {
        self.remove_socket();
        self.listen()
    }

    fn listening(&self) -> MutexGuard<'_, Option<Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self) -> io::Result<()> {
        let named = |error: Error| Error::new(error.kind(), at(&self.path, &error.to_string()));
        let listener = UnixListener::bind(&self.path).map_err(named)?;
        fs::set_permissions(&self.path, Permissions::from_mode(0o660)).map_err(named)?;
        let metadata = fs::symlink_metadata(&self.path).map_err(named)?;
        let socket = UnixStream::from(OwnedFd::from(listener.try_clone().map_err(named)?));
        let shared = self.shared.clone();
        let thread = thread::spawn(move || accept(&shared, &listener));
        let (device, inode) = (metadata.dev(), metadata.ino());
        *self.listening() = Some(Listening { socket, thread, device, inode });
        Ok(())
    }

    fn is_ours(&self, listening: &Listening) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|metadata| {
            (metadata.dev(), metadata.ino()) == (listening.device, listening.inode)
        })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.inner().stopping = true;
        if let Some(listening) = self.listening().take() {
            let ours = self.is_ours(&listening);
            listening.stop();
            if ours {
                let _ = fs::remove_file(&self.path);
            }
        }
        let mut inner = self.shared.inner();
        inner.hang_up(None);
        self.shared.changed.notify_all();
        while !inner.connections.is_empty() {
            inner = self.shared.wait(inner, None);
        }
    }
}
