//! Serves a node on a Unix socket: threads, timeouts, damage.
//!
//! Each connection has a thread, but requests are carried out one at a time,
//! as the real server's only worker does: who wants to carry one out holds
//! `Shared::worker`. Everything else is behind `Shared::inner`, and whoever
//! changes it says so through `Shared::changed`, so nobody has to poll.

use crate::event::{Event, EventKind};
use crate::fault::{self, Fault, Rule, Then};
use crate::http::{self, Answer, Parsed, Parts};
use crate::node::{Command, Lock, Node, Options, Refusal, Reply};
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest path a Unix socket can have, in bytes.
const PATH_LIMIT: usize = 107;

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

type Hook = Box<dyn FnMut(&mut Node, &Request) + Send>;

struct Inner {
    node: Node,
    requests: Vec<Request>,
    rules: Vec<Rule>,
    hook: Option<Hook>,
    events: Vec<Event>,
    connections: HashMap<u64, UnixStream>,
    accepted: u64,
    stopping: bool,
}

impl Inner {
    fn advance(&mut self, now: Duration) {
        self.node.advance(now);
        self.take_events();
    }

    fn note(&mut self, at: Duration, kind: EventKind) {
        self.take_events();
        self.events.push(Event { at, kind });
    }

    /// To be called before anybody can see what has become of the node.
    fn take_events(&mut self) {
        let events = self.node.take_events();
        if events.iter().any(|event| matches!(event.kind, EventKind::Booted { .. })) {
            // Whoever asked for the file must not go on with an old one.
            write_boot_id(&self.node).expect("the file of the boot id can be replaced");
        }
        self.events.extend(events);
    }

    fn view(&self) -> View<'_> {
        View { node: &self.node, requests: &self.requests }
    }

    fn hang_up(&self, spared: Option<u64>) {
        for (id, stream) in &self.connections {
            if Some(*id) != spared {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// The wall clock when the simulator started, and a clock that never goes
/// back for what has passed since.
struct Clock {
    wall: Duration,
    started: Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            started: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.wall + self.started.elapsed()
    }
}

struct Shared {
    clock: Clock,
    inner: Mutex<Inner>,
    changed: Condvar,
    worker: Mutex<()>,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that panics in a condition is still to hear its own message.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes or it is that time.
    fn wait<'a>(
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
    fn pause(&self, duration: Duration) -> bool {
        let until = self.clock.now().checked_add(duration);
        let mut inner = self.inner();
        while !inner.stopping && until.is_none_or(|until| self.clock.now() < until) {
            inner = self.wait(inner, until);
        }
        !inner.stopping
    }
}

/// A thread that accepts connections on one socket.
struct Listening {
    /// The listening socket. The standard library only shuts down streams.
    socket: UnixStream,
    thread: JoinHandle<()>,
    device: u64,
    inode: u64,
}

impl Listening {
    /// Refuses connections from now on.
    fn stop(self) {
        // Closing the socket is not enough. A child process that another thread
        // starts has a copy of it until it executes its program, and the kernel
        // goes on to accept connections. This also wakes the thread.
        let _ = self.socket.shutdown(Shutdown::Both);
        let _ = self.thread.join();
    }
}

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

fn at(path: &Path, message: &str) -> String {
    format!("{}: {message}", path.display())
}

/// Writes the boot id to the file that was asked for, if any. Whoever reads it
/// finds the old one or the new one, whole.
fn write_boot_id(node: &Node) -> io::Result<()> {
    let Some(path) = &node.options.boot_id_file else { return Ok(()) };
    let mut new = path.clone().into_os_string();
    new.push(".new");
    fs::write(&new, node.boot_id() + "\n")
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| Error::new(error.kind(), at(path, &error.to_string())))
}

/// Makes sure that a socket can be created at this path.
fn make_room(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().as_bytes().len();
    if length > PATH_LIMIT {
        let message =
            format!("a socket's path may have {PATH_LIMIT} bytes, but this one has {length}");
        return Err(Error::new(ErrorKind::InvalidInput, at(path, &message)));
    }
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        let message = at(path, "exists and is not a socket");
        return Err(Error::new(ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => {
            let message = at(path, "somebody else listens on this socket");
            Err(Error::new(ErrorKind::AddrInUse, message))
        }
    }
}

fn accept(shared: &Arc<Shared>, listener: &UnixListener) {
    for stream in listener.incoming() {
        match stream.and_then(|stream| Ok((stream.try_clone()?, stream))) {
            Ok((copy, stream)) => {
                let id = {
                    let mut inner = shared.inner();
                    inner.accepted += 1;
                    let id = inner.accepted;
                    inner.connections.insert(id, copy);
                    id
                };
                let connection =
                    Connection { shared: shared.clone(), id, stream, received: Vec::new() };
                thread::spawn(move || connection.serve());
            }
            // The socket has been shut down.
            Err(error) if error.kind() == ErrorKind::InvalidInput => return,
            // Out of file descriptors, most likely: some will come free.
            Err(_) => {
                if !shared.pause(Duration::from_millis(10)) {
                    return;
                }
            }
        }
    }
}

struct Connection {
    shared: Arc<Shared>,
    id: u64,
    stream: UnixStream,
    received: Vec<u8>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The other end hears of the close now, not when the copy goes.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.shared.inner().connections.remove(&self.id);
        self.shared.changed.notify_all();
    }
}

/// Why no request came.
enum NoRequest {
    Gone,
    TooLate,
    Bad,
}

/// What to do after an answer.
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    Silence,
    Close,
}

impl Connection {
    fn serve(mut self) {
        let mut first = true;
        loop {
            let within = {
                let options = &self.shared.inner().node.options;
                if first { options.request_timeout } else { options.keep_alive }
            };
            let next = match self.read_request(within) {
                Ok(request) => self.handle(&request),
                Err(NoRequest::Bad) => self.refuse(400, EventKind::NotARequest),
                Err(NoRequest::TooLate) if first => self.refuse(408, EventKind::TooSlow),
                Err(NoRequest::TooLate | NoRequest::Gone) => return,
            };
            match next {
                Ok(Next::Request) => first = false,
                Ok(Next::Silence) => return self.outlast(),
                Ok(Next::Close) | Err(_) => return,
            }
        }
    }

    fn read_request(&mut self, within: Duration) -> Result<Parts, NoRequest> {
        let deadline = Instant::now().checked_add(within);
        loop {
            match http::parse(&self.received) {
                Parsed::Complete(parts) => {
                    self.received.drain(..parts.length);
                    return Ok(parts);
                }
                Parsed::Bad => return Err(NoRequest::Bad),
                Parsed::Partial => {}
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(NoRequest::TooLate);
            }
            let mut buffer = [0; 4096];
            let read =
                self.stream.set_read_timeout(left).and_then(|()| self.stream.read(&mut buffer));
            match read {
                Ok(0) => return Err(NoRequest::Gone),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(NoRequest::Gone),
                },
            }
        }
    }

    fn refuse(&mut self, status: u16, kind: EventKind) -> io::Result<Next> {
        let now = self.shared.clock.now();
        self.shared.inner().note(now, kind);
        self.shared.changed.notify_all();
        self.stream.write_all(&Answer::text(status, "").bytes(true, now))?;
        Ok(Next::Close)
    }

    fn handle(&mut self, request: &Parts) -> io::Result<Next> {
        let Some((answer, fault)) = self.carry_out(request) else {
            return Ok(Next::Close);
        };
        let (close, bytes) = match answer {
            Some(answer) => {
                let rebooted = answer.status == 204 && request.path == Command::Reboot.path();
                let bytes = answer.bytes(request.close, self.shared.clock.now());
                (request.close || rebooted, bytes)
            }
            None => (request.close, Vec::new()),
        };
        let then = self.send(bytes, fault)?;
        Ok(match then {
            Then::Close => Next::Close,
            Then::Silence => Next::Silence,
            Then::GoOn if close => Next::Close,
            Then::GoOn => Next::Request,
        })
    }

    /// Carries the request out, unless a fault keeps it from that. `None`
    /// when the simulator stops meanwhile.
    fn carry_out(&self, request: &Parts) -> Option<(Option<Answer>, Option<Fault>)> {
        let shared = &*self.shared;
        let _worker = shared.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard = shared.inner();
        let inner = &mut *guard;
        let now = shared.clock.now();
        inner.advance(now);
        let entry = Request {
            at: now,
            method: request.method.clone(),
            path: request.path.clone(),
            status: None,
        };
        if let Some(hook) = &mut inner.hook {
            hook(&mut inner.node, &entry);
            inner.take_events();
        }
        let index = inner.requests.len();
        inner.requests.push(entry);
        shared.changed.notify_all();
        let (method, path) = (request.method.clone(), request.path.clone());
        let fault = fault::pick(&mut inner.rules, &method, &path);
        if matches!(fault, Some(Fault::Instead(..) | Fault::Flood(..))) {
            inner.note(now, EventKind::Dropped { method, path });
            return Some((None, fault));
        }
        let answer = match inner.node.request(&method, &path, now) {
            Reply::Answer(answer) => answer,
            Reply::Rebooting => loop {
                if guard.stopping {
                    return None;
                }
                if let Some(answer) = guard.node.reboot_answer(shared.clock.now()) {
                    guard.take_events();
                    if answer.status == 204 {
                        guard.hang_up(Some(self.id));
                    }
                    break answer;
                }
                let next = guard.node.next_change();
                guard = shared.wait(guard, next);
            },
        };
        guard.requests[index].status = Some(answer.status);
        let text = match answer.status {
            200 => String::new(),
            _ => answer.body.clone(),
        };
        let kind = EventKind::Answered { method, path, status: answer.status, text };
        guard.note(shared.clock.now(), kind);
        shared.changed.notify_all();
        Some((Some(answer), fault))
    }

    fn send(&mut self, answer: Vec<u8>, fault: Option<Fault>) -> io::Result<Then> {
        let (bytes, then) = match fault {
            None => (answer, Then::GoOn),
            Some(Fault::Instead(bytes, then)) => (bytes, then),
            Some(Fault::Cut(count, then)) => (answer[..count.min(answer.len())].to_vec(), then),
            Some(Fault::Before(bytes)) => ([bytes, answer].concat(), Then::GoOn),
            Some(Fault::Behind(bytes)) => ([answer, bytes].concat(), Then::GoOn),
            Some(Fault::Length(by)) => (http::shift_content_length(answer, by), Then::GoOn),
            Some(Fault::Drip(every)) => {
                for byte in answer {
                    if !self.shared.pause(every) {
                        return Ok(Then::Close);
                    }
                    self.stream.write_all(&[byte])?;
                }
                return Ok(Then::GoOn);
            }
            Some(Fault::Flood(first, again)) => {
                self.stream.write_all(&first)?;
                if again.is_empty() {
                    return Ok(Then::Silence);
                }
                loop {
                    self.stream.write_all(&again)?;
                }
            }
        };
        self.stream.write_all(&bytes)?;
        Ok(then)
    }

    /// Keeps the connection open, in silence, until the client closes it.
    fn outlast(mut self) {
        if self.stream.set_read_timeout(None).is_ok() {
            let _ = io::copy(&mut self.stream, &mut io::sink());
        }
    }
}
