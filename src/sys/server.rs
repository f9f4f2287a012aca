//! The metrics server, and the loop that waits for the API while it serves.
//!
//! The updater has one thread. It waits in an [`EventLoop`] for the next call, or
//! for the answer to one, and the loop accepts connections and answers requests
//! meanwhile. Nothing here waits for a client: the kernel's buffer holds a whole
//! response, and a client that is slow to send its request is closed after
//! `REQUEST_TIMEOUT`.

use crate::http::page::{self, Code, PAGE_MAX, Page};
use crate::http::request::{Parsed, Request};
use crate::sys::deadline::{Clock, Wait, timespec};
use crate::text::put;
use core::mem;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// How many connections wait for their request at once. Another one replaces the oldest.
/// A request usually comes with its connection, which then does not wait. So only a
/// client that is slow is replaced, however many there are.
const CONNECTIONS_MAX: usize = 32;
/// How many connections are accepted before the loop looks at its other sockets.
const ACCEPTS_MAX: usize = 16;
/// How many bytes of a request are received at once.
const RECEIVE_MAX: usize = 1024;
/// How long a client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after `accept` has failed.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How long the kernel keeps a response that the client does not receive.
const TCP_USER_TIMEOUT_MS: u32 = 5_000;
/// How many connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;
/// The size of the kernel's buffer for a response. The kernel counts more than the
/// bytes themselves, so this is several times the longest response.
const SEND_BUFFER: usize = 4 * PAGE_MAX;

/// Writes the page at a path, as it is at a time of the event loop's clock. Returns
/// the status code of the response.
pub type Handler<'a> = &'a dyn Fn(Duration, &[u8], &mut Page) -> Code;

/// A server, and its open connections.
pub struct Server {
    listener: OwnedFd,
    /// The oldest comes first.
    connections: Vec<Connection, CONNECTIONS_MAX>,
    /// No connection is accepted before this time.
    accept_after: Duration,
}

/// A connection on which a request is being received.
struct Connection {
    socket: OwnedFd,
    request: Request,
    /// When the request must be complete.
    deadline: Duration,
}

impl Server {
    /// Listens on `address`, or on every address of this machine if it is `None`.
    /// Also returns the port: the kernel chooses one if `port` is 0.
    ///
    /// # Errors
    ///
    /// The kernel's error, for example if the address is in use.
    pub fn listen(address: Option<IpAddr>, port: u16) -> Result<(Self, u16), Errno> {
        let listener = match address {
            Some(address) => listen((address, port).into())?,
            None => match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
                // This machine has no IPv6.
                Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
                    listen((Ipv4Addr::UNSPECIFIED, port).into())?
                }
                listener => listener?,
            },
        };
        let bound = SocketAddr::try_from(rustix::net::getsockname(&listener)?)?;
        Ok((Self { listener, connections: Vec::new(), accept_after: Duration::ZERO }, bound.port()))
    }

    /// Closes the connections whose request is not complete in time.
    fn close_overdue(&mut self, now: Duration) {
        self.connections.retain(|connection| now < connection.deadline);
    }

    /// Closes the connection that has waited longest for its request.
    fn close_oldest(&mut self) {
        let mut is_oldest = true;
        self.connections.retain(|_| !mem::replace(&mut is_oldest, false));
    }

    /// When there is something to do even if no socket is ready.
    fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let request = self.connections.iter().map(|connection| connection.deadline).min();
        let accept = (!self.accepts(now)).then_some(self.accept_after);
        request.into_iter().chain(accept).min()
    }

    /// Whether connections are accepted.
    fn accepts(&self, now: Duration) -> bool {
        self.accept_after <= now
    }

    /// Answers the requests that are complete, and accepts connections.
    fn serve(&mut self, ready: &Ready, now: Duration, handler: Handler) {
        let mut is_ready = ready.connections.iter().copied();
        self.connections.retain_mut(|connection| {
            !is_ready.next().unwrap_or(false) || connection.receive(now, handler)
        });
        if ready.listener {
            self.accept(now, handler);
        }
    }

    /// Accepts the connections that wait for it, and answers those whose request has come
    /// with them.
    fn accept(&mut self, now: Duration, handler: Handler) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for accepted in 0..ACCEPTS_MAX {
            let socket = match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                // The client has already gone.
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(Errno::AGAIN) => return,
                // Perhaps no other connection waits: poll will say.
                Err(_) if accepted > 0 => return,
                // For example, file descriptors have run out. The connection stays in the
                // backlog, so poll would return immediately. The oldest connection makes
                // room for it, if there is one.
                Err(_) => {
                    if self.connections.is_empty() {
                        self.accept_after = now.saturating_add(ACCEPT_PAUSE);
                    } else {
                        self.close_oldest();
                    }
                    return;
                }
            };
            let deadline = now.saturating_add(REQUEST_TIMEOUT);
            let mut connection = Connection { socket, request: Request::default(), deadline };
            if connection.receive(now, handler) {
                if self.connections.is_full() {
                    self.close_oldest();
                }
                let _ = self.connections.push(connection);
            }
        }
    }
}

impl Connection {
    /// Receives a part of the request, and sends the response if the request is
    /// complete. Returns whether the connection stays open.
    fn receive(&mut self, now: Duration, handler: Handler) -> bool {
        let mut buffer = [0; RECEIVE_MAX];
        let received = match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty()) {
            Ok((received, _)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(_) => return false,
        };
        let bytes = buffer.get(..received).unwrap_or_default();
        let Some(parsed) = self.request.push(bytes) else { return !bytes.is_empty() };
        let mut page = Page::new();
        let code = match parsed {
            Parsed::Path(path) => handler(now, path, &mut page),
            Parsed::Refused(refusal) => {
                put!(&mut page, refusal);
                refusal.code()
            }
        };
        let head = page::head(code, page.len());
        if self.request.is_head() {
            page.clear();
        }
        // An error here is the client's problem. The kernel sends what it has after
        // the connection is closed, and a head without a body then, too.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _ = rustix::net::send(&self.socket, &head, flags | SendFlags::MORE);
        let _ = rustix::net::send(&self.socket, &page, flags);
        false
    }
}

fn listen(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)?;
    sockopt::set_tcp_user_timeout(&listener, TCP_USER_TIMEOUT_MS)?;
    if address.is_ipv6() {
        // Whatever the default is, IPv4 clients may connect as well.
        sockopt::set_ipv6_v6only(&listener, false)?;
    }
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Waits, and serves meanwhile if there is a server.
pub struct EventLoop<'a> {
    /// Reads the clock.
    pub clock: Clock,
    /// When the clock was last read. The loop reads it after each wait.
    pub now: Duration,
    /// The deadline.
    pub until: Duration,
    /// The server, and what writes its pages.
    pub server: Option<(&'a mut Server, Handler<'a>)>,
}

/// Which sockets are ready.
#[derive(Default)]
struct Ready {
    /// The one that the loop waits for.
    socket: bool,
    /// Those of the connections, in their order.
    connections: [bool; CONNECTIONS_MAX],
    listener: bool,
}

impl EventLoop<'_> {
    /// Waits until the deadline.
    ///
    /// # Errors
    ///
    /// The kernel's error if it cannot wait. This is not expected.
    pub fn sleep(&mut self) -> Result<(), Errno> {
        self.run(None, self.until).map(drop)
    }

    /// Serves until `socket` is ready, or until the time `until`. Returns whether
    /// the socket is ready.
    fn run(
        &mut self,
        socket: Option<(BorrowedFd, PollFlags)>,
        until: Duration,
    ) -> Result<bool, Errno> {
        // Ends: at that time. Each turn waits no longer, and serving does not wait.
        loop {
            if let Some((server, _)) = &mut self.server {
                server.close_overdue(self.now);
            }
            if self.now >= until {
                return Ok(false);
            }
            let ready = self.poll(socket, until)?;
            if let Some((server, handler)) = &mut self.server {
                server.serve(&ready, self.now, *handler);
            }
            if ready.socket {
                return Ok(true);
            }
        }
    }

    /// Waits once, until any socket is ready or there is something else to do.
    fn poll(
        &mut self,
        socket: Option<(BorrowedFd, PollFlags)>,
        until: Duration,
    ) -> Result<Ready, Errno> {
        let mut fds = Vec::<PollFd, { CONNECTIONS_MAX + 2 }>::new();
        let mut wake = until;
        let mut accepts = false;
        if let Some((socket, events)) = socket {
            let _ = fds.push(PollFd::from_borrowed_fd(socket, events));
        }
        if let Some((server, _)) = &self.server {
            wake = server.next_deadline(self.now).map_or(until, |deadline| deadline.min(until));
            for connection in &server.connections {
                let _ = fds.push(PollFd::new(&connection.socket, PollFlags::IN));
            }
            accepts = server.accepts(self.now);
            if accepts {
                let _ = fds.push(PollFd::new(&server.listener, PollFlags::IN));
            }
        }
        let polled = poll(&mut fds, Some(&timespec(wake.saturating_sub(self.now))));
        self.now = (self.clock)();
        match polled {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(errno) => return Err(errno),
        }
        // The results are in the order in which the sockets were added.
        let mut results = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut is_next_ready = || results.next().unwrap_or(false);
        let mut ready = Ready { socket: socket.is_some() && is_next_ready(), ..Ready::default() };
        if let Some((server, _)) = &self.server {
            for (is_ready, _) in ready.connections.iter_mut().zip(&server.connections) {
                *is_ready = is_next_ready();
            }
            ready.listener = accepts && is_next_ready();
        }
        Ok(ready)
    }
}

impl Wait for EventLoop<'_> {
    fn wait(&mut self, socket: BorrowedFd, events: PollFlags) -> Result<bool, Errno> {
        self.run(Some((socket, events)), self.until)
    }

    fn pause(&mut self, duration: Duration) -> Result<bool, Errno> {
        let until = self.now.saturating_add(duration).min(self.until);
        self.run(None, until)?;
        Ok(until < self.until)
    }

    fn remaining(&mut self) -> Duration {
        self.until.saturating_sub(self.now)
    }
}

#[cfg(test)]
mod tests;
