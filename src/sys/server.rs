//! The server of metrics and probes.

use crate::http::page::{self, Code, PAGE_MAX, Page};
use crate::http::request::{Parsed, Request};
use crate::sys::deadline::{Clock, Wait, timespec};
use crate::text::put;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// How many scrapers are listened to at once; one more takes the place of the
/// one that has been there longest.
const SCRAPERS_MAX: usize = 4;
/// How many bytes of a request are received at once.
const REQUEST_PART: usize = 1024;
/// How long a scraper may take to say what it wants.
const SCRAPER_PATIENCE: Duration = Duration::from_secs(5);
/// How long no scraper is let in after the kernel let none in.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);
/// How long the kernel keeps an answer that a scraper does not take, in
/// milliseconds.
const UNREAD_MILLIS: u32 = 5_000;
/// How many scrapers may wait to be let in.
const BACKLOG: i32 = 16;
/// The size of the kernel's buffer for what is sent to a scraper: all of it has
/// room there, so that nobody waits for a scraper to take it.
const SEND_BUFFER: usize = 4 * PAGE_MAX;

/// Listens for scrapers, and answers them.
pub struct Server {
    listener: OwnedFd,
    /// Who has been there longest comes first.
    scrapers: Vec<Scraper, SCRAPERS_MAX>,
    /// When scrapers are let in.
    opens: Duration,
}

struct Scraper {
    socket: OwnedFd,
    request: Request,
    until: Duration,
}

/// Writes the page at a path, as it is at this time of the clock that never goes
/// back. Returns the status code of the response.
pub type Handler<'a> = &'a dyn Fn(Duration, &[u8], &mut Page) -> Code;

impl Server {
    /// Listens on `address`, or, if it is `None`, on each address of this
    /// machine. Gives the port as well, which the kernel chooses if it is 0.
    ///
    /// # Errors
    ///
    /// The kernel's: the address is in use, for example.
    #[inline(never)]
    pub fn listen(address: Option<Ipv4Addr>, port: u16) -> Result<(Self, u16), Errno> {
        let listener = match address {
            Some(address) => listen((address, port).into())?,
            None => match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
                // There is no IPv6 here.
                Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
                    listen((Ipv4Addr::UNSPECIFIED, port).into())?
                }
                other => other?,
            },
        };
        let bound = SocketAddr::try_from(rustix::net::getsockname(&listener)?)?;
        Ok((Self { listener, scrapers: Vec::new(), opens: Duration::ZERO }, bound.port()))
    }

    /// Lets in a scraper.
    #[inline(never)]
    fn let_in(&mut self, now: Duration) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match rustix::net::accept_with(&self.listener, flags) {
            Ok(socket) => socket,
            // Whoever it was is gone already.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return,
            // It stays at the door, which would be looked at again at once.
            Err(_) => {
                self.opens = now.saturating_add(LISTEN_PAUSE);
                return;
            }
        };
        let until = now.saturating_add(SCRAPER_PATIENCE);
        if self.scrapers.is_full() {
            self.scrapers.remove(0);
        }
        let _ = self.scrapers.push(Scraper { socket, request: Request::default(), until });
    }
}

impl Scraper {
    /// Takes what has come of the request, and answers it if that is enough.
    /// Gives whether more is to come.
    // Apart, since the page is large: only who serves needs a stack for it.
    #[inline(never)]
    fn serve(&mut self, now: Duration, tell: Handler) -> bool {
        let mut buffer = [0; REQUEST_PART];
        let received = match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty()) {
            Ok((received, _)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(_) => 0,
        };
        let bytes = buffer.get(..received).unwrap_or_default();
        let Some(parsed) = self.request.push(bytes) else { return !bytes.is_empty() };
        let mut page = Page::new();
        let code = match parsed {
            Parsed::Path(path) => tell(now, path, &mut page),
            Parsed::Refused(refusal) => {
                put!(&mut page, refusal);
                refusal.code()
            }
        };
        let head = page::head(code, page.len());
        if self.request.is_head() {
            page.clear();
        }
        // What becomes of it is the scraper's affair. The kernel sends it on after
        // the connection is closed. A head that nothing follows goes then, too.
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
    // The kernel does not keep for good what nobody takes.
    sockopt::set_tcp_user_timeout(&listener, UNREAD_MILLIS)?;
    if address.is_ipv6() {
        // Whatever is usual here, each address is meant.
        sockopt::set_ipv6_v6only(&listener, false)?;
    }
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Waits until a point in time, and answers scrapers meanwhile if there is a
/// server.
pub struct Turn<'a> {
    /// Reads the clock that never goes back.
    pub clock: Clock,
    /// The time on it when it was last read, which is after each wait. If that is
    /// long ago, the next wait is longer by as much, but never early.
    pub now: Duration,
    /// The point in time, on the same clock.
    pub until: Duration,
    /// The server, and what it tells.
    pub server: Option<(&'a mut Server, Handler<'a>)>,
}

impl Turn<'_> {
    /// Waits, all the time.
    ///
    /// # Errors
    ///
    /// The kernel's, which cannot be expected. What comes next would come too
    /// early, again and again.
    pub fn sleep(&mut self) -> Result<(), Errno> {
        self.turn(None, self.until).map(drop)
    }

    /// Waits until `until`, or until `socket` is ready: whether it is.
    #[inline(never)]
    fn turn(
        &mut self,
        socket: Option<(BorrowedFd, PollFlags)>,
        until: Duration,
    ) -> Result<bool, Errno> {
        let mut is_socket_ready = false;
        // Ends: when it is time. Each wait ends by then, and what is done after it waits
        // for nobody.
        loop {
            let now = self.now;
            let mut wakes = until;
            // The socket, the scrapers and the listener, each if there is one.
            let mut fds = Vec::<PollFd, { 2 + SCRAPERS_MAX }>::new();
            if let Some((socket, events)) = socket {
                let _ = fds.push(PollFd::from_borrowed_fd(socket, events));
            }
            let mut lets_in = false;
            if let Some((server, _)) = &mut self.server {
                server.scrapers.retain(|scraper| scraper.until > now);
                lets_in = server.opens <= now;
                if !lets_in {
                    wakes = wakes.min(server.opens);
                }
                for scraper in &server.scrapers {
                    wakes = wakes.min(scraper.until);
                    let _ = fds.push(PollFd::new(&scraper.socket, PollFlags::IN));
                }
                if lets_in {
                    let _ = fds.push(PollFd::new(&server.listener, PollFlags::IN));
                }
            }
            if is_socket_ready || now >= until {
                return Ok(is_socket_ready);
            }
            let polled = poll(&mut fds, Some(&timespec(wakes - now)));
            // That may have taken long.
            self.now = (self.clock)();
            match polled {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
            let mut ready = 0u32;
            for fd in fds.iter().rev() {
                ready = ready << 1 | u32::from(!fd.revents().is_empty());
            }
            drop(fds);
            // The lowest bit is that of who comes next.
            let mut is_next_ready = || {
                let is_ready = ready & 1 == 1;
                ready >>= 1;
                is_ready
            };
            is_socket_ready = socket.is_some() && is_next_ready();
            if let Some((server, tell)) = &mut self.server {
                for scraper in &mut server.scrapers {
                    if is_next_ready() && !scraper.serve(self.now, *tell) {
                        // It is let go above.
                        scraper.until = Duration::ZERO;
                    }
                }
                if lets_in && is_next_ready() {
                    server.let_in(self.now);
                }
            }
        }
    }
}

impl Wait for Turn<'_> {
    fn wait(&mut self, socket: BorrowedFd, events: PollFlags) -> Result<bool, Errno> {
        self.turn(Some((socket, events)), self.until)
    }

    fn pause(&mut self, duration: Duration) -> Result<bool, Errno> {
        let until = self.now.saturating_add(duration).min(self.until);
        self.turn(None, until)?;
        Ok(until < self.until)
    }

    fn remaining(&self) -> Duration {
        self.until.saturating_sub(self.now)
    }
}

#[cfg(test)]
mod tests;
