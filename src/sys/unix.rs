//! The one file that touches sockets and timers, and that writes to the standard
//! streams.

use crate::api::{Answer, Call, CallError, Exchange};
use crate::http::request::{self, Endpoint, Page, Parsed, Request};
use crate::text::{Show, put};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};
use rustix::rand::GetRandomFlags;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_gettime,
    timerfd_settime,
};

/// How many bytes of an answer are received at once.
const RECEIVE_MAX: usize = 2048;
/// How long to wait until a server with a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// How long to wait until a call is made again that an update command keeps
/// from being answered, at first and at most.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Where the API listens on every node.
pub const DEFAULT_SOCKET: &CStr = c"/run/api.sock";

/// Who makes calls: what they wait with, and for how long at most.
pub trait Wait {
    /// Waits for `socket`: false if the time is over.
    ///
    /// # Errors
    ///
    /// The kernel's, which cannot be expected.
    fn wait(&mut self, socket: BorrowedFd, until: PollFlags) -> Result<bool, Errno>;

    /// Waits for `duration`: false if the time is over.
    fn pause(&mut self, duration: Duration) -> bool;
}

/// A point in time that nothing goes on behind.
///
/// It is a timer of the kernel's, so that whoever has one needs no clock.
pub struct Deadline(OwnedFd);

impl Deadline {
    /// The point in time that is `duration` away.
    ///
    /// # Errors
    ///
    /// The kernel has no timer to give.
    pub fn after(duration: Duration) -> Result<Self, CallError<'static>> {
        // Nothing is ever read from it.
        let flags = TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(CallError::Setup)?;
        // A timer that is set to zero is off.
        let duration = duration.max(Duration::from_nanos(1));
        let once =
            Itimerspec { it_interval: timespec(0), it_value: timespec(nanoseconds(duration)) };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).map_err(CallError::Setup)?;
        Ok(Self(timer))
    }

    /// How long it is until this point in time.
    pub fn remaining(&self) -> Duration {
        timerfd_gettime(&self.0).map_or(Duration::ZERO, |timer| duration(timer.it_value))
    }
}

impl Wait for Deadline {
    fn pause(&mut self, duration: Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&timespec(nanoseconds(duration)))), Ok(0) | Err(Errno::INTR))
    }

    fn wait(&mut self, socket: BorrowedFd, until: PollFlags) -> Result<bool, Errno> {
        let mut fds =
            [PollFd::from_borrowed_fd(socket, until), PollFd::new(&self.0, PollFlags::IN)];
        // Ends: again only after a signal, and no longer than until the timer ends.
        loop {
            match poll(&mut fds, None) {
                Ok(_) => return Ok(fds[1].revents().is_empty()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// The longest duration that the kernel is asked for: about 68 years.
const TIME_MAX: u64 = i32::MAX as u64 * SECOND;

fn timespec(nanoseconds: u64) -> Timespec {
    let time = nanoseconds.min(TIME_MAX).cast_signed();
    let second = SECOND.cast_signed();
    Timespec { tv_sec: time / second, tv_nsec: time % second }
}

/// A second, in nanoseconds, which take less code than a [`Duration`].
const SECOND: u64 = 1_000_000_000;

/// The same time in nanoseconds.
#[inline(never)]
fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

fn duration(time: Timespec) -> Duration {
    let seconds = Duration::from_secs(time.tv_sec.try_into().unwrap_or(0));
    seconds.saturating_add(Duration::from_nanos(time.tv_nsec.try_into().unwrap_or(0)))
}

/// Makes `call` on the socket at the path `socket`, on a connection of its own.
/// The answer is kept in `exchange`.
///
/// # Errors
///
/// There is no answer that can be used, for example because the time of
/// `deadline` was over first.
pub fn call<'x>(
    socket: &CStr,
    call: Call,
    deadline: &mut impl Wait,
    exchange: &'x mut Exchange,
) -> Result<Answer<'x>, CallError<'x>> {
    perform(socket, call, deadline, exchange)?;
    exchange.finish().map_err(CallError::Answer)
}

/// Makes `call`, again and again with growing pauses for as long as an update
/// command holds the lock. The answer is [`Answer::Busy`] if that is so until
/// `deadline`.
///
/// # Errors
///
/// As for [`call()`].
pub fn call_until_free<'x>(
    socket: &CStr,
    call: Call,
    deadline: &mut Deadline,
    exchange: &'x mut Exchange,
) -> Result<Answer<'x>, CallError<'x>> {
    perform(socket, call, deadline, exchange)?;
    let mut pause = BUSY_PAUSE;
    // Ends: with the pauses, for which there is time until the deadline.
    while exchange.is_busy() {
        if !deadline.pause(pause) {
            return Ok(Answer::Busy);
        }
        // An answer takes a millisecond. Only if there was no time for that, the
        // answer before it counts.
        let is_last = deadline.remaining() < BUSY_PAUSE;
        match perform(socket, call, deadline, exchange) {
            Err(error) if is_last && error.is_too_late() => return Ok(Answer::Busy),
            other => other?,
        }
        pause = BUSY_PAUSE_MAX.min(pause.saturating_mul(2));
    }
    exchange.finish().map_err(CallError::Answer)
}

fn perform(
    socket: &CStr,
    call: Call,
    deadline: &mut impl Wait,
    exchange: &mut Exchange,
) -> Result<(), CallError<'static>> {
    *exchange = Exchange::new(call);
    let address = SocketAddrUnix::new(socket).map_err(CallError::Connect)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(CallError::Setup)?;
    connect(&socket, &address, deadline)?;
    send(&socket, &call.request(), deadline)?;
    receive(&socket, exchange, deadline)
}

fn connect(
    socket: &OwnedFd,
    address: &SocketAddrUnix,
    deadline: &mut impl Wait,
) -> Result<(), CallError<'static>> {
    // Ends: again only after a signal, or a pause for which there was time.
    loop {
        match rustix::net::connect(socket, address) {
            Ok(()) => return Ok(()),
            // The queue of connections is full, and there is nothing to poll.
            Err(Errno::AGAIN) if deadline.pause(QUEUE_PAUSE) => {}
            Err(Errno::AGAIN) => return Err(CallError::SendTimeout),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(CallError::Connect(errno)),
        }
    }
}

fn send(
    socket: &OwnedFd,
    mut request: &[u8],
    deadline: &mut impl Wait,
) -> Result<(), CallError<'static>> {
    // Ends: each turn sends a part, or waits for room if there is time.
    while !request.is_empty() {
        match rustix::net::send(socket, request, SendFlags::NOSIGNAL) {
            Ok(sent) => request = request.get(sent..).unwrap_or_default(),
            Err(Errno::AGAIN) => {
                if !deadline.wait(socket.as_fd(), PollFlags::OUT).map_err(CallError::Send)? {
                    return Err(CallError::SendTimeout);
                }
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(CallError::Send(errno)),
        }
    }
    Ok(())
}

// Apart, it keeps its registers to itself: the programs are smaller.
#[inline(never)]
fn receive(
    socket: &OwnedFd,
    exchange: &mut Exchange,
    deadline: &mut impl Wait,
) -> Result<(), CallError<'static>> {
    // Not filled with zeros: of its pages, only those that the answer comes to are
    // touched.
    let mut buffer = [MaybeUninit::uninit(); RECEIVE_MAX];
    // Ends: with the time, with the connection, or with the longest answer.
    loop {
        if !deadline.wait(socket.as_fd(), PollFlags::IN).map_err(CallError::Receive)? {
            return Err(CallError::Timeout(exchange.progress()));
        }
        let received = rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty());
        let bytes = match received {
            Ok(((bytes, _), _)) => &*bytes,
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(errno) => return Err(CallError::Receive(errno)),
        };
        if exchange.push(bytes).map_err(CallError::Answer)? || bytes.is_empty() {
            return Ok(());
        }
    }
}

/// Waits for `duration`, or not quite as long.
pub fn pause(duration: Duration) {
    // An error other than a signal's cannot be; the caller looks at the clock.
    let _ = poll(&mut [], Some(&timespec(nanoseconds(duration))));
}

/// How many scrapers are listened to at once; one more takes the place of the
/// one that has been there longest.
const SCRAPERS_MAX: usize = 4;
/// How many bytes of a request are received at once.
const REQUEST_PART: usize = 1024;
/// How long a scraper may take to say what it wants.
const SCRAPER_PATIENCE: u64 = 5 * SECOND;
/// How long no scraper is let in after the kernel let none in.
const LISTEN_PAUSE: u64 = SECOND;
/// How long the kernel keeps an answer that a scraper does not take, in
/// milliseconds.
const UNREAD_MILLIS: u32 = 5_000;
/// How many scrapers may wait to be let in.
const BACKLOG: i32 = 16;
/// The size of the kernel's buffer for what is sent to a scraper: all of it has
/// room there, so that nobody waits for a scraper to take it.
const SEND_BUFFER: usize = 4 * request::PAGE_MAX;

/// Listens for scrapers, and answers them.
pub struct Server {
    listener: OwnedFd,
    /// Who has been there longest comes first.
    scrapers: Vec<Scraper, SCRAPERS_MAX>,
    /// When scrapers are let in.
    opens: u64,
}

struct Scraper {
    socket: OwnedFd,
    request: Request,
    until: u64,
}

/// Writes the body of an answer to what is asked at this time of the clock that
/// never goes back, and gives the answer's status.
pub type Handler<'a> = &'a dyn Fn(Duration, Endpoint, &mut Page) -> &'static str;

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
        Ok((Self { listener, scrapers: Vec::new(), opens: 0 }, bound.port()))
    }

    /// Lets in a scraper.
    #[inline(never)]
    fn let_in(&mut self, now: u64) {
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
        let Some(verdict) = self.request.push(bytes) else { return !bytes.is_empty() };
        let mut page = Page::new();
        let status = match verdict {
            Parsed::Answer(asked) => tell(now, asked, &mut page),
            Parsed::Refuse(refusal) => refusal.write(&mut page),
        };
        let head = request::head(status, page.len());
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
    pub clock: fn() -> Duration,
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
        let until = nanoseconds(until);
        let mut is_socket_ready = false;
        // Ends: when it is time. Each wait ends by then, and what is done after it waits
        // for nobody.
        loop {
            let now = nanoseconds(self.now);
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
                        scraper.until = 0;
                    }
                }
                if lets_in && is_next_ready() {
                    server.let_in(nanoseconds(self.now));
                }
            }
        }
    }
}

impl Wait for Turn<'_> {
    fn wait(&mut self, socket: BorrowedFd, events: PollFlags) -> Result<bool, Errno> {
        self.turn(Some((socket, events)), self.until)
    }

    fn pause(&mut self, duration: Duration) -> bool {
        let until = self.now.saturating_add(duration).min(self.until);
        let _ = self.turn(None, until);
        until < self.until
    }
}

/// A number that nobody else gets, as far as the kernel can say so early;
/// otherwise `fallback`.
pub fn random(fallback: u64) -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, GetRandomFlags::NONBLOCK) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => fallback,
    }
}

/// The longest line that is written, in bytes; a part that has no room is left out.
const LINE_MAX: usize = 2048;

/// Writes one line: `start`, `parts`, one behind the other, and a newline.
///
/// What cannot be written is lost: there is nobody left to tell.
#[inline(never)]
pub fn write_line(to: BorrowedFd, start: &str, parts: &[&dyn Show]) {
    let mut line = Vec::<u8, LINE_MAX>::new();
    put(&mut line, &[start]);
    for part in parts {
        part.show(&mut line);
    }
    // One byte is kept for the newline.
    line.truncate(LINE_MAX - 1);
    let _ = line.push(b'\n');
    write_all(to, &line);
}

/// Writes `text` as it is.
///
/// What cannot be written is lost: there is nobody left to tell.
pub fn write_all(to: BorrowedFd, mut text: &[u8]) {
    // Ends: each turn writes a part, or was interrupted.
    while !text.is_empty() {
        match rustix::io::write(to, text) {
            Ok(written @ 1..) => text = text.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
