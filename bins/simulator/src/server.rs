//! Serves a node on a Unix socket. This is the interface for tests: they change the node,
//! look at it, wait for conditions and add faults.

use crate::command::{Command, Refusal};
use crate::disk::{Power, Saved, with_suffix};
use crate::event::Event;
use crate::fault::Rule;
use crate::listener::{Listener, make_room};
use crate::node::{Lock, Node};
use crate::options::Options;
use crate::shared::{Clock, Inner, Request, Shared, View, at, write_boot_files};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Error, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A node that is served on a socket. Dropping this value stops the server.
///
/// The methods run closures while the node is locked: a closure sees a single moment of
/// the node, and must not call the simulator.
pub struct Simulator {
    path: PathBuf,
    shared: Arc<Shared>,
    listener: Mutex<Option<Listener>>,
}

impl Simulator {
    /// Serves a node that has just booted, on a socket at this path. It replaces a stale
    /// socket.
    ///
    /// # Errors
    /// The path is too long for a socket, is in use, is not a socket, or cannot be
    /// created; or a file of the options cannot be read or written; or there is no state
    /// file yet, but a socket at the path, which is then that of a real server. The message
    /// names the path.
    pub fn start(path: impl AsRef<Path>, options: Options) -> io::Result<Simulator> {
        let path = path.as_ref().to_path_buf();
        let saved = match &options.state_file {
            Some(file) => Saved::read(file, &options)?,
            None => None,
        };
        let is_first_start = options.state_file.is_some() && saved.is_none();
        let is_socket = |metadata: fs::Metadata| metadata.file_type().is_socket();
        if is_first_start && fs::symlink_metadata(&path).is_ok_and(is_socket) {
            let message = at(&path, "exists before the first start: is this a real node?");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        make_room(&path)?;
        let clock = Clock::start();
        let node = match saved {
            Some(saved) => {
                let has_kept_memory = has_boot_id(&options, &saved);
                Node::restore(options, saved, has_kept_memory, clock.now())
            }
            None => Node::new(options, clock.now()),
        };
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
                rebooting: HashSet::new(),
                stopping: false,
                saved: None,
                failure: None,
            }),
            changed: Condvar::new(),
            worker: Mutex::new(None),
        };
        let simulator = Simulator { path, shared: Arc::new(shared), listener: Mutex::new(None) };
        {
            let mut inner = simulator.shared.inner();
            inner.save()?;
            write_boot_files(&inner.node)?;
            inner.take_events(None);
        }
        simulator.follow_power()?;
        Ok(simulator)
    }

    /// Serves several nodes, each as [`Simulator::start`] does. The sockets are at this
    /// path with `.1`, `.2` and so on appended. The paths of the files in the options get
    /// the same endings.
    ///
    /// # Errors
    /// One of the nodes cannot be served. Then none of them is.
    pub fn start_many(path: &Path, nodes: u32, options: &Options) -> io::Result<Vec<Simulator>> {
        let start = |number| {
            let numbered = |path: &Path| with_suffix(path, &format!(".{number}"));
            let options = Options {
                boot_id_file: options.boot_id_file.as_deref().map(numbered),
                os_release_file: options.os_release_file.as_deref().map(numbered),
                state_file: options.state_file.as_deref().map(numbered),
                ..options.clone()
            };
            Simulator::start(numbered(path), options)
        };
        (1..=nodes).map(start).collect()
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command for another client. It starts and ends at this moment.
    ///
    /// # Errors
    /// The node refuses the command, for the same reasons as the API.
    pub fn run(&self, command: Command) -> Result<(), Refusal> {
        self.change(|node, now| node.run(command, now))
    }

    /// Ends the running command now.
    pub fn finish(&self) {
        self.change(Node::finish);
    }

    /// Lets another process hold the update lock, or release it (`None`).
    pub fn set_lock(&self, lock: Option<Lock>) {
        self.change(|node, _| node.set_lock(lock));
    }

    /// Changes the node. The closure gets the current node and the time since the Unix
    /// epoch.
    pub fn change<T>(&self, change: impl FnOnce(&mut Node, Duration) -> T) -> T {
        let mut inner = self.shared.inner();
        let now = self.shared.clock.now();
        inner.advance(now, None);
        let result = change(&mut inner.node, now);
        inner.advance(now, None);
        self.shared.changed.notify_all();
        result
    }

    /// Looks at the current node and the requests.
    pub fn look<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let mut inner = self.shared.inner();
        inner.advance(self.shared.clock.now(), None);
        look(&inner.view())
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.inner().requests.clone()
    }

    /// Waits until the condition holds. Returns false if it does not hold within this
    /// time. Each change makes it check the condition again.
    #[must_use]
    pub fn wait_until(&self, within: Duration, condition: impl Fn(&View<'_>) -> bool) -> bool {
        let deadline = self.shared.clock.now() + within;
        let mut inner = self.shared.inner();
        loop {
            let now = self.shared.clock.now();
            inner.advance(now, None);
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

    /// Waits for events, but not longer than `within`. Returns the events since the last
    /// call, in order.
    pub fn events(&self, within: Duration) -> Vec<Event> {
        let deadline = self.shared.clock.now().checked_add(within);
        let mut inner = self.shared.inner();
        loop {
            let now = self.shared.clock.now();
            inner.advance(now, None);
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

    /// Calls this hook before the server carries out a request. The hook may change the
    /// node.
    pub fn before_each(&self, hook: impl FnMut(&mut Node, &Request) + Send + 'static) {
        self.shared.inner().hook = Some(Box::new(hook));
    }

    /// Adds a rule that damages answers. The first rule that hits a request applies.
    pub fn inject(&self, rule: impl Into<Rule>) {
        self.shared.inner().rules.push(rule.into());
    }

    /// Removes all rules.
    pub fn clear_faults(&self) {
        self.shared.inner().rules.clear();
    }

    /// Stops the server, but leaves its socket file, like SIGKILL: connections are refused.
    pub fn refuse(&self) {
        if let Some(listener) = self.listener().take() {
            listener.stop();
        }
        self.shared.inner().hang_up(None);
    }

    /// Stops the server and removes its socket file, like SIGTERM.
    pub fn remove_socket(&self) {
        self.refuse();
        let _ = fs::remove_file(&self.path);
    }

    /// Restarts the server with a new socket at the same path. The node and its running
    /// command stay the same.
    ///
    /// # Errors
    /// The new socket cannot be created.
    pub fn restart(&self) -> io::Result<()> {
        self.remove_socket();
        self.listen()
    }

    /// Refuses connections while the node is off, and makes a new socket when it is on
    /// again. Call this after events, if the options have an `off_time` or a `boot_time`.
    ///
    /// # Errors
    /// The socket cannot be created, or one of the files of the options could not be
    /// written.
    pub fn follow_power(&self) -> io::Result<()> {
        let is_on = {
            let mut inner = self.shared.inner();
            inner.advance(self.shared.clock.now(), None);
            if let Some(error) = inner.failure.take() {
                return Err(error);
            }
            inner.node.power() == Power::On
        };
        let listener = if is_on { None } else { self.listener().take() };
        if let Some(listener) = listener {
            // The answer to the reboot request may still be on its way, so its connection
            // stays open.
            listener.stop();
        }
        if is_on && self.listener().is_none() { self.listen() } else { Ok(()) }
    }

    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self) -> io::Result<()> {
        let group = self.shared.inner().node.options.socket_group;
        let listener = Listener::start(&self.path, group, self.shared.clone())?;
        *self.listener() = Some(listener);
        Ok(())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.inner().stopping = true;
        if let Some(listener) = self.listener().take() {
            // Another simulator may have replaced the file.
            let is_ours = listener.has_its_file();
            listener.stop();
            if is_ours {
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

/// Whether the boot id file has the id of the saved boot: the machine's memory has not been
/// lost since then.
fn has_boot_id(options: &Options, saved: &Saved) -> bool {
    let in_file = options.boot_id_file.as_ref().and_then(|path| fs::read_to_string(path).ok());
    in_file.is_some_and(|id| id.trim_end() == saved.boot_id)
}
