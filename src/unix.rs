//! The one file that touches sockets and clocks, and that writes to the standard streams.

use crate::api::{Answer, Call, CallError, Exchange};
use core::fmt::{self, Write};
use core::time::Duration;
use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::rand::GetRandomFlags;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime,
    timerfd_create, timerfd_gettime, timerfd_settime,
};

/// How many bytes of an answer are received at once.
const RECEIVE_MAX: usize = 4096;
/// How long to wait until a server with a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// How long to wait until a call is made again that an update command keeps
/// from being answered, at first and at most.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Where the API listens on every node.
pub const DEFAULT_SOCKET: &[u8] = b"/run/api.sock";

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
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, flags).map_err(CallError::Resources)?;
        // A timer that is set to zero is off.
        let duration = duration.max(Duration::from_nanos(1));
        let once =
            Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(duration) };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).map_err(CallError::Resources)?;
        Ok(Self(timer))
    }

    /// How long it is until this point in time.
    pub fn remaining(&self) -> Duration {
        timerfd_gettime(&self.0).map_or(Duration::ZERO, |timer| duration(timer.it_value))
    }

    /// Waits for `duration`, but not beyond this point in time: false if it is
    /// reached.
    pub fn pause(&self, duration: Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&timespec(duration))), Ok(0) | Err(Errno::INTR))
    }

    /// Waits for `socket`: false if this point in time is reached.
    fn wait(&self, socket: BorrowedFd, until: PollFlags) -> Result<bool, Errno> {
        let mut fds =
            [PollFd::from_borrowed_fd(socket, until), PollFd::new(&self.0, PollFlags::IN)];
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
const TIME_MAX: Duration = Duration::from_secs(i32::MAX as u64);

fn timespec(duration: Duration) -> Timespec {
    let duration = duration.min(TIME_MAX);
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
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
/// There is no answer that can be used, for example because `deadline` came
/// first.
pub fn call<'x>(
    socket: &[u8],
    call: Call,
    deadline: &Deadline,
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
    socket: &[u8],
    call: Call,
    deadline: &Deadline,
    exchange: &'x mut Exchange,
) -> Result<Answer<'x>, CallError<'x>> {
    perform(socket, call, deadline, exchange)?;
    let mut pause = BUSY_PAUSE;
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
    socket: &[u8],
    call: Call,
    deadline: &Deadline,
    exchange: &mut Exchange,
) -> Result<(), CallError<'static>> {
    *exchange = Exchange::new(call);
    let address = SocketAddrUnix::new(socket).map_err(CallError::Connect)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(CallError::Resources)?;
    connect(&socket, &address, deadline)?;
    send(&socket, &call.request(), deadline)?;
    receive(&socket, exchange, deadline)
}

fn connect(
    socket: &OwnedFd,
    address: &SocketAddrUnix,
    deadline: &Deadline,
) -> Result<(), CallError<'static>> {
    loop {
        match rustix::net::connect(socket, address) {
            Ok(()) => return Ok(()),
            // The queue of connections is full, and there is nothing to poll.
            Err(Errno::AGAIN) if deadline.pause(QUEUE_PAUSE) => {}
            Err(Errno::AGAIN) => return Err(CallError::TooLateToSend),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(CallError::Connect(errno)),
        }
    }
}

fn send(
    socket: &OwnedFd,
    mut request: &[u8],
    deadline: &Deadline,
) -> Result<(), CallError<'static>> {
    while !request.is_empty() {
        match rustix::net::send(socket, request, SendFlags::NOSIGNAL) {
            Ok(sent) => request = request.get(sent..).unwrap_or_default(),
            Err(Errno::AGAIN) => {
                if !deadline.wait(socket.as_fd(), PollFlags::OUT).map_err(CallError::Send)? {
                    return Err(CallError::TooLateToSend);
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
    deadline: &Deadline,
) -> Result<(), CallError<'static>> {
    let mut buffer = [0; RECEIVE_MAX];
    loop {
        if !deadline.wait(socket.as_fd(), PollFlags::IN).map_err(CallError::Receive)? {
            return Err(CallError::TooLate(exchange.progress()));
        }
        let (received, _) = match rustix::net::recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(errno) => return Err(CallError::Receive(errno)),
        };
        let bytes = buffer.get(..received).unwrap_or_default();
        if exchange.push(bytes).map_err(CallError::Answer)? || bytes.is_empty() {
            return Ok(());
        }
    }
}

/// The time since some point in the past, which never goes back and is not set
/// by anybody.
pub fn now() -> Duration {
    clock(ClockId::Monotonic)
}

/// The time since 1970-01-01 00:00:00 UTC.
pub fn utc() -> Duration {
    clock(ClockId::Realtime)
}

fn clock(id: ClockId) -> Duration {
    duration(clock_gettime(id))
}

/// Waits for `duration`, or not quite as long.
pub fn pause(duration: Duration) {
    // An error other than a signal's cannot be; the caller looks at the clock.
    let _ = poll(&mut [], Some(&timespec(duration)));
}

/// Waits for `duration`, all of it.
pub fn sleep(duration: Duration) {
    let until = now().saturating_add(duration);
    while let left = until.saturating_sub(now())
        && !left.is_zero()
    {
        pause(left);
    }
}

/// A number that nobody else gets, as far as the kernel can say so early;
/// otherwise the time.
pub fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, GetRandomFlags::NONBLOCK) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => now().subsec_nanos().into(),
    }
}

/// The longest line that is written, in bytes; what is longer is cut.
const LINE_MAX: usize = 2048;

/// Writes one line: `line` and a newline.
///
/// What cannot be written is lost: there is nobody left to tell.
pub fn write_line(to: BorrowedFd, line: fmt::Arguments) {
    let mut text = Line(Vec::new());
    // The only error there can be is a line that does not fit, which is cut.
    let _ = text.write_fmt(line);
    let _ = text.0.push(b'\n');
    write_all(to, &text.0);
}

/// Writes `text` as it is.
///
/// What cannot be written is lost: there is nobody left to tell.
pub fn write_all(to: BorrowedFd, mut text: &[u8]) {
    while !text.is_empty() {
        match rustix::io::write(to, text) {
            Ok(written @ 1..) => text = text.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// The start of a line, as much of it as there is room for.
struct Line(Vec<u8, LINE_MAX>);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // One byte is kept for the newline.
        let room = (LINE_MAX - 1).saturating_sub(self.0.len());
        let fitting = text.floor_char_boundary(room);
        let text = text.as_bytes().get(..fitting).unwrap_or_default();
        self.0.extend_from_slice(text).map_err(|_| fmt::Error)
    }
}
