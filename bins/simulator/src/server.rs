//! Serves a node on a Unix socket. This is the interface for tests: they change the node,
//! look at it, wait for conditions and add faults.

use crate::command::{Command, Refusal};
use crate::event::Event;
use crate::fault::Rule;
use crate::listener::{Listener, make_room};
use crate::node::{Lock, Node};
use crate::options::Options;
use crate::shared::{Clock, Inner, Request, Shared, View, write_boot_id};
use std::collections::HashMap;
use std::fs;
use std::io;
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
    /// created; or the boot id file cannot be written. The message names the path.
    ///
    /// # Panics
    /// Not in this call, but at a later boot, if the boot id file cannot be replaced.
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
            worker: Mutex::new(None),
        };
        let simulator = Simulator { path, shared: Arc::new(shared), listener: Mutex::new(None) };
        simulator.listen()?;
        Ok(simulator)
    }

    /// Serves several nodes, each as [`Simulator::start`] does. The sockets are at this
    /// path with `.1`, `.2` and so on appended. The paths of the boot id files get the
    /// same endings.
    ///
    /// # Errors
    /// One of the nodes cannot be served. Then none of them is.
    pub fn start_many(path: &Path, nodes: u32, options: &Options) -> io::Result<Vec<Simulator>> {
        let start = |number| {
            let numbered = |path: &Path| {
                let mut path = path.as_os_str().to_owned();
                path.push(format!(".{number}"));
                PathBuf::from(path)
            };
            let boot_id_file = options.boot_id_file.as_deref().map(numbered);
            Simulator::start(numbered(path), Options { boot_id_file, ..options.clone() })
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

    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self) -> io::Result<()> {
        let listener = Listener::start(&self.path, self.shared.clone())?;
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
