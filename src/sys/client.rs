//! The API's client: calls over its Unix socket, each on a connection of its own.

use crate::api::{Answer, Call, CallError, Exchange, Retry};
use crate::sys::deadline::Wait;
use core::ffi::CStr;
use core::mem::{MaybeUninit, forget};
use core::time::Duration;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

/// How many bytes of an answer are received at once.
const RECEIVE_MAX: usize = 2048;
/// The pause before `connect` is retried, because the server's backlog is full.
const BACKLOG_PAUSE: Duration = Duration::from_millis(20);

/// The path of the API's socket on every node.
pub const DEFAULT_SOCKET: &CStr = c"/run/api.sock";

/// Makes a call over the socket at the path `socket`, once. The answer borrows from
/// `exchange`, which is overwritten.
///
/// # Errors
///
/// There is no usable answer, for example because the deadline passed first.
pub fn call_once<'x>(
    socket: &CStr,
    call: Call,
    deadline: &mut impl Wait,
    exchange: &'x mut Exchange,
) -> Result<Answer<'x>, CallError<'x>> {
    perform(socket, call, deadline, exchange)?;
    exchange.finish().map_err(CallError::Answer)
}

/// Makes a call, and repeats it while the API is too busy to handle it (408; see
/// [`Retry`]).
///
/// # Errors
///
/// As for [`call_once`]. If the API is too busy until the deadline, this is a refusal
/// with 408.
pub fn call<'x>(
    socket: &CStr,
    call: Call,
    deadline: &mut impl Wait,
    exchange: &'x mut Exchange,
) -> Result<Answer<'x>, CallError<'x>> {
    call_while(socket, call, deadline, exchange, Exchange::is_too_busy, &mut None)
}

/// Makes a call, and repeats it while an update command holds the lock or the API is
/// too busy to handle it (see [`Retry`]). The answer is [`Answer::Busy`] if the lock is
/// held until the deadline.
///
/// The last connection stays open as long as the process lives. This is for a program
/// that makes one such call and ends: the kernel closes the connection then, without a
/// system call.
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
    let is_not_free = |exchange: &Exchange| exchange.is_busy() || exchange.is_too_busy();
    let mut connection = None;
    let answer = call_while(socket, call, deadline, exchange, is_not_free, &mut connection);
    forget(connection);
    answer
}

/// Makes a call, and repeats it while its response is to be `retried`. The connection of
/// the last response is left in `connection`.
fn call_while<'x>(
    socket: &CStr,
    call: Call,
    deadline: &mut impl Wait,
    exchange: &'x mut Exchange,
    retried: fn(&Exchange) -> bool,
    connection: &mut Option<OwnedFd>,
) -> Result<Answer<'x>, CallError<'x>> {
    *connection = Some(perform(socket, call, deadline, exchange)?);
    let mut retry = Retry::FIRST;
    // Ends: when there is no time for another try. There is a pause before each.
    while retried(exchange) {
        let Some(pause) = retry.next_pause(deadline.remaining()) else { break };
        deadline.pause(pause).map_err(CallError::Setup)?;
        let was_locked = exchange.is_busy();
        let is_last = Retry::is_last(deadline.remaining());
        match perform(socket, call, deadline, exchange) {
            Err(error) if was_locked && is_last && error.is_timeout() => return Ok(Answer::Busy),
            // Only of a status it is certain that the last try had no effect either.
            Err(error) if call == Call::Status && is_last && error.is_timeout() => {
                return Err(exchange.too_busy());
            }
            result => *connection = Some(result?),
        }
    }
    exchange.finish().map_err(CallError::Answer)
}

/// Makes a call: what is received goes to `exchange`. Returns the connection, which has
/// no further use.
fn perform(
    socket: &CStr,
    call: Call,
    deadline: &mut impl Wait,
    exchange: &mut Exchange,
) -> Result<OwnedFd, CallError<'static>> {
    exchange.begin(call);
    let address = SocketAddrUnix::new(socket).map_err(CallError::Connect)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connection = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(CallError::Setup)?;
    connect(&connection, &address, deadline).map_err(|error| name_directory(socket, error))?;
    send(&connection, &call.request(), deadline)?;
    receive(&connection, exchange, deadline)?;
    Ok(connection)
}

/// The error of a connection to the path `socket`, which says so if that is a
/// directory. The kernel refuses a directory like a socket on which nobody listens,
/// or denies it to a user who may not write to it.
fn name_directory(socket: &CStr, error: CallError<'static>) -> CallError<'static> {
    let is_directory = || {
        stat(socket).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    };
    match error {
        CallError::Connect(Errno::CONNREFUSED | Errno::ACCESS) if is_directory() => {
            CallError::Connect(Errno::ISDIR)
        }
        error => error,
    }
}

fn connect(
    socket: &OwnedFd,
    address: &SocketAddrUnix,
    deadline: &mut impl Wait,
) -> Result<(), CallError<'static>> {
    // Ends: at the deadline. Each turn follows a signal or a pause.
    loop {
        match rustix::net::connect(socket, address) {
            Ok(()) => return Ok(()),
            // The server's backlog is full, and poll cannot wait for room in it.
            Err(Errno::AGAIN) => {
                if !deadline.pause(BACKLOG_PAUSE).map_err(CallError::Connect)? {
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
    // Ends: each turn sends a part, or waits for room until the deadline.
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

fn receive(
    socket: &OwnedFd,
    exchange: &mut Exchange,
    deadline: &mut impl Wait,
) -> Result<(), CallError<'static>> {
    // Without a value, so that only the pages that the answer needs are touched.
    let mut buffer = [MaybeUninit::uninit(); RECEIVE_MAX];
    // Ends: at the deadline, or when the connection or the longest answer ends.
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
