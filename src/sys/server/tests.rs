//! The server on real connections, with a scripted clock.

extern crate std;
use super::*;
use crate::sys::tests::{HOUR, pair, read_all};
use rustix::fd::AsFd;
use std::cell::{Cell, RefCell};
use std::format;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::string::String;
use std::time::Instant;
use std::vec::Vec as List;

std::thread_local! {
    /// What the clock shows.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn clock() -> Duration {
    NOW.get()
}

const BEGIN: Duration = Duration::from_secs(1_000);

/// A server, and a socket that the loop waits for. The socket is always ready, so
/// that the loop returns after one turn.
struct Script {
    server: Server,
    address: SocketAddr,
    socket: OwnedFd,
    _peer: OwnedFd,
    /// The paths that were requested, and when.
    requested: RefCell<List<(Duration, String)>>,
}

impl Script {
    fn new() -> Self {
        NOW.set(BEGIN);
        let (server, port) = Server::listen(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let (socket, peer) = pair();
        rustix::io::write(&peer, b"x").unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { server, address, socket, _peer: peer, requested: RefCell::default() }
    }

    /// A client that has sent `text`.
    fn client(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// One turn of the loop. Its wait takes `time` on the clock.
    fn turn(&mut self, time: Duration) {
        let now = NOW.replace(NOW.get() + time);
        let requested = &self.requested;
        let handler = |now: Duration, path: &[u8], page: &mut Page| {
            requested.borrow_mut().push((now - BEGIN, String::from_utf8(path.to_vec()).unwrap()));
            put!(page, "a page\n");
            Code::Ok
        };
        let server = Some((&mut self.server, &handler as Handler));
        let mut event_loop = EventLoop { clock, now, until: now + HOUR, server };
        assert_eq!(event_loop.wait(self.socket.as_fd(), PollFlags::IN), Ok(true));
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn(Duration::ZERO);
        }
    }
}

/// Reads everything until the connection is closed.
fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(_) => answer,
        Err(error) => format!("{:?}", error.kind()),
    }
}

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\
                      content-type: text/plain; version=0.0.4; charset=utf-8\r\n\
                      content-length: 7\r\n\r\na page\n";

#[test]
fn get_and_head_requests_are_answered() {
    let mut script = Script::new();
    for (request, answer) in
        [(GET, ANSWER), (&GET.replace("GET", "HEAD"), ANSWER.strip_suffix("a page\n").unwrap())]
    {
        let client = script.client(request);
        script.turns(2);
        assert_eq!(read(client), answer);
    }
    assert_eq!(
        *script.requested.borrow(),
        [(Duration::ZERO, "/healthz"); 2].map(|(time, path)| (time, path.into()))
    );
}

#[test]
fn refused_requests_are_answered() {
    let mut script = Script::new();
    for (request, status) in [("PUT / HTTP/1.1\n\n", "405 "), ("\0\n\n", "400 ")] {
        let client = script.client(request);
        script.turns(2);
        let answer = read(client);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(*script.requested.borrow(), []);
}

/// The kernel keeps it until the client receives it.
#[test]
fn longest_page_is_sent_at_once() {
    let mut script = Script::new();
    let client = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&client, 1).unwrap();
    rustix::net::connect(&client, &script.address).unwrap();
    rustix::io::write(&client, GET.as_bytes()).unwrap();
    let handler = |_: Duration, _: &[u8], page: &mut Page| {
        while page.push(b'x').is_ok() {}
        Code::Ok
    };
    for _ in 0..2 {
        let server = Some((&mut script.server, &handler as Handler));
        let mut event_loop = EventLoop { clock, now: BEGIN, until: BEGIN + HOUR, server };
        assert_eq!(event_loop.wait(script.socket.as_fd(), PollFlags::IN), Ok(true));
    }
    let answer = String::from_utf8(read_all(&client)).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(body == "x".repeat(PAGE_MAX), "{} bytes", body.len());
}

/// The page has the time when the request came, and not when the pause began.
#[test]
fn request_is_answered_in_the_middle_of_a_long_pause() {
    let mut script = Script::new();
    let client = script.client(GET);
    let time = Duration::from_secs(300);
    script.turn(time);
    assert_eq!(read(client), ANSWER);
    assert_eq!(*script.requested.borrow(), [(time, "/healthz".into())]);
}

#[test]
fn incomplete_request_is_closed_after_the_timeout() {
    let mut script = Script::new();
    let [silent, slow] = ["", "GET /hea"].map(|text| script.client(text));
    script.turns(2);
    let almost = REQUEST_TIMEOUT - Duration::from_millis(1);
    NOW.set(BEGIN + almost);
    script.turns(2);
    assert_eq!(script.server.connections.len(), 2);
    NOW.set(BEGIN + REQUEST_TIMEOUT);
    script.turns(1);
    assert_eq!(script.server.connections.len(), 0);
    assert_eq!([read(silent), read(slow)], ["", ""]);
}

#[test]
fn request_may_come_byte_by_byte() {
    let mut script = Script::new();
    let mut client = script.client("");
    script.turns(1);
    for byte in GET.bytes() {
        client.write_all(&[byte]).unwrap();
        script.turn(Duration::from_millis(100));
    }
    assert_eq!(read(client), ANSWER);
}

#[test]
fn another_slow_connection_replaces_the_oldest() {
    let mut script = Script::new();
    let mut silent = List::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(script.client("GET /"));
        script.turn(Duration::from_millis(1));
    }
    assert_eq!(script.server.connections.len(), CONNECTIONS_MAX);
    // A request that comes with its connection replaces none.
    let prompt = script.client(GET);
    script.turns(1);
    assert_eq!(read(prompt), ANSWER);
    assert_eq!(script.server.connections.len(), CONNECTIONS_MAX);
    silent.push(script.client("GET /"));
    script.turns(1);
    let first = silent.remove(0);
    assert!(["", "ConnectionReset"].contains(&read(first).as_str()));
    // The others are still open.
    for mut client in silent {
        client.write_all(&GET.as_bytes()["GET /".len()..]).unwrap();
        script.turns(1);
        assert_eq!(read(client), ANSWER);
    }
}

#[test]
fn connections_are_accepted_in_one_turn_up_to_a_maximum() {
    let mut script = Script::new();
    let clients: List<_> = (0..=ACCEPTS_MAX).map(|_| script.client(GET)).collect();
    script.turns(1);
    assert_eq!(script.requested.borrow().len(), ACCEPTS_MAX);
    script.turns(1);
    for client in clients {
        assert_eq!(read(client), ANSWER);
    }
}

#[test]
fn closed_connections_are_dropped() {
    let mut script = Script::new();
    for text in ["", "GET", GET] {
        let client = script.client(text);
        script.turns(1);
        drop(client);
        script.turns(2);
        assert_eq!(script.server.connections.len(), 0, "{text:?}");
    }
}

#[test]
fn nothing_is_accepted_during_the_pause_after_a_failure() {
    let mut script = Script::new();
    script.server.accept_after = BEGIN + ACCEPT_PAUSE;
    let client = script.client(GET);
    script.turns(2);
    assert_eq!(script.server.connections.len(), 0);
    assert_eq!(script.server.next_deadline(BEGIN), Some(BEGIN + ACCEPT_PAUSE));
    NOW.set(BEGIN + ACCEPT_PAUSE);
    script.turns(2);
    assert_eq!(read(client), ANSWER);
}

#[test]
fn address_in_use_is_an_error() {
    let script = Script::new();
    let (address, port) = (Some(Ipv4Addr::LOCALHOST.into()), script.address.port());
    let again = Server::listen(address, port).map(|_| ());
    assert_eq!(again, Err(Errno::ADDRINUSE));
    // Once the server is gone, the address is free at once.
    let client = script.client(GET);
    drop(script);
    drop(client);
    assert!(Server::listen(address, port).is_ok());
}

#[test]
fn without_an_address_every_one_is_listened_on() {
    let (_server, port) = Server::listen(None, 0).unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    // This machine may have no IPv6.
    if TcpListener::bind("[::1]:0").is_ok() {
        assert!(TcpStream::connect(("::1", port)).is_ok());
    }
}

#[test]
fn ready_client_does_not_end_the_wait_for_another_socket() {
    let mut script = Script::new();
    rustix::io::read(&script.socket, &mut [0]).unwrap();
    let _client = script.client("GET /");
    let time = Duration::from_millis(1);
    NOW.set(BEGIN + time);
    let handler = |_: Duration, _: &[u8], _: &mut Page| Code::Ok;
    let server = Some((&mut script.server, &handler as Handler));
    let mut event_loop = EventLoop { clock, now: BEGIN, until: BEGIN + time, server };
    assert_eq!(event_loop.wait(script.socket.as_fd(), PollFlags::IN), Ok(false));
    assert_eq!(script.server.connections.len(), 1);
}

#[test]
fn without_a_server_the_loop_waits_for_the_time() {
    let millis = Duration::from_millis;
    for (pause, goes_on, time) in [(10, true, 10), (20, false, 20), (30, false, 20)] {
        NOW.set(BEGIN + millis(time));
        let mut event_loop =
            EventLoop { clock, now: BEGIN, until: BEGIN + millis(20), server: None };
        assert_eq!(event_loop.pause(millis(pause)), Ok(goes_on));
    }
    NOW.set(BEGIN + HOUR);
    let begun = Instant::now();
    let mut event_loop = EventLoop { clock, now: BEGIN, until: BEGIN + millis(20), server: None };
    assert_eq!(event_loop.sleep(), Ok(()));
    // The clock shows that the time has passed, but only after the wait.
    assert!(begun.elapsed() >= millis(20));
}
