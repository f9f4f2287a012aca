//! Calls of the API over its Unix socket.

use crate::api::{Answer, Call, CallError, Exchange, LockRetry};
use crate::sys::deadline::Wait;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::time::Duration;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

/// How many bytes of an answer are received at once.
const RECEIVE_MAX: usize = 2048;
/// How long to wait until a server with a full queue is tried again.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// Where the API listens on every node.
pub const DEFAULT_SOCKET: &CStr = c"/run/api.sock";

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
    deadline: &mut impl Wait,
    exchange: &'x mut Exchange,
) -> Result<Answer<'x>, CallError<'x>> {
    perform(socket, call, deadline, exchange)?;
    let mut retry = LockRetry::default();
    // Ends: when there is no time for another try. Each of them comes after a pause.
    while exchange.is_busy() {
        let Some(pause) = retry.next_pause(deadline.remaining()) else { return Ok(Answer::Busy) };
        deadline.pause(pause).map_err(CallError::Setup)?;
        let is_last = LockRetry::is_last(deadline.remaining());
        match perform(socket, call, deadline, exchange) {
            Err(error) if is_last && error.is_too_late() => return Ok(Answer::Busy),
            result => result?,
        }
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
            Err(Errno::AGAIN) => {
                if !deadline.pause(QUEUE_PAUSE).map_err(CallError::Connect)? {
                    return Err(CallError::SendTimeout);
                }
            }
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

#[cfg(test)]
mod tests;
