//! The server on real connections, but by a scripted clock.

extern crate std;
use super::*;
use crate::sys::tests::{self, HOUR};
use rustix::fd::AsFd;
use std::cell::{Cell, RefCell};
use std::format;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::string::String;
use std::vec::Vec as List;

std::thread_local! {
    /// What the clock shows.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn clock() -> Duration {
    NOW.get()
}

const BEGIN: Duration = Duration::from_secs(1_000);

/// A server, and whoever it waits for beside scrapers, who is always there: so
/// no turn takes time.
struct Script {
    server: Server,
    address: SocketAddr,
    socket: OwnedFd,
    _peer: OwnedFd,
    /// What was asked for, and when.
    asked: RefCell<List<(Duration, String)>>,
}

impl Script {
    fn new() -> Self {
        NOW.set(BEGIN);
        let (server, port) = Server::listen(Some(Ipv4Addr::LOCALHOST), 0).unwrap();
        let (socket, peer) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::empty(),
            None,
        )
        .unwrap();
        rustix::io::write(&peer, b"x").unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { server, address, socket, _peer: peer, asked: RefCell::default() }
    }

    /// Somebody who has sent this.
    fn scraper(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Waits once; time passes while it waits.
    fn turn(&mut self, passes: Duration) {
        let now = NOW.replace(NOW.get() + passes);
        let asked = &self.asked;
        let tell = |now: Duration, path: &[u8], page: &mut Page| {
            asked.borrow_mut().push((now - BEGIN, String::from_utf8(path.to_vec()).unwrap()));
            put!(page, "a page\n");
            Code::Ok
        };
        let server = Some((&mut self.server, &tell as Handler));
        let mut turn = Turn { clock, now, until: now + HOUR, server };
        assert_eq!(turn.wait(self.socket.as_fd(), PollFlags::IN), Ok(true));
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn(Duration::ZERO);
        }
    }
}

/// All that comes until the connection is closed.
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
fn a_scraper_is_answered() {
    let mut script = Script::new();
    for (request, answer) in
        [(GET, ANSWER), (&GET.replace("GET", "HEAD"), ANSWER.strip_suffix("a page\n").unwrap())]
    {
        let scraper = script.scraper(request);
        script.turns(2);
        assert_eq!(read(scraper), answer);
    }
    assert_eq!(
        *script.asked.borrow(),
        [(Duration::ZERO, "/healthz"); 2].map(|(time, path)| (time, path.into()))
    );
}

#[test]
fn who_asks_for_something_else_is_told() {
    let mut script = Script::new();
    for (request, status) in [("PUT / HTTP/1.1\n\n", "405 "), ("\0\n\n", "400 ")] {
        let scraper = script.scraper(request);
        script.turns(2);
        let answer = read(scraper);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(*script.asked.borrow(), []);
}

/// The kernel keeps it until a scraper takes it.
#[test]
fn the_largest_page_is_sent_at_once() {
    let mut script = Script::new();
    let scraper = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&scraper, 1).unwrap();
    rustix::net::connect(&scraper, &script.address).unwrap();
    rustix::io::write(&scraper, GET.as_bytes()).unwrap();
    let tell = |_: Duration, _: &[u8], page: &mut Page| {
        while page.push(b'x').is_ok() {}
        Code::Ok
    };
    for _ in 0..2 {
        let server = Some((&mut script.server, &tell as Handler));
        let mut turn = Turn { clock, now: BEGIN, until: BEGIN + HOUR, server };
        assert_eq!(turn.wait(script.socket.as_fd(), PollFlags::IN), Ok(true));
    }
    let answer = String::from_utf8(tests::read(&scraper)).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(body == "x".repeat(PAGE_MAX), "{} bytes", body.len());
}

/// In the pause between two cycles nothing else happens: it is then, and not when
/// the pause began.
#[test]
fn a_scraper_is_answered_in_the_middle_of_a_long_pause() {
    let mut script = Script::new();
    let scraper = script.scraper(GET);
    let passes = Duration::from_secs(300);
    script.turn(passes);
    script.turn(passes);
    assert_eq!(read(scraper), ANSWER);
    assert_eq!(*script.asked.borrow(), [(2 * passes, "/healthz".into())]);
}

#[test]
fn a_scraper_has_five_seconds() {
    let mut script = Script::new();
    let [silent, slow] = ["", "GET /hea"].map(|text| script.scraper(text));
    script.turns(2);
    let patience = SCRAPER_PATIENCE;
    let almost = patience - Duration::from_millis(1);
    NOW.set(BEGIN + almost);
    script.turns(2);
    assert_eq!(script.server.scrapers.len(), 2);
    NOW.set(BEGIN + patience);
    script.turns(1);
    assert_eq!(script.server.scrapers.len(), 0);
    assert_eq!([read(silent), read(slow)], ["", ""]);
}

#[test]
fn a_scraper_may_take_its_time() {
    let mut script = Script::new();
    let mut scraper = script.scraper("");
    script.turns(1);
    for byte in GET.bytes() {
        scraper.write_all(&[byte]).unwrap();
        script.turn(Duration::from_millis(100));
    }
    assert_eq!(read(scraper), ANSWER);
}

#[test]
fn one_more_takes_the_place_of_the_first() {
    let mut script = Script::new();
    let mut silent = List::new();
    for _ in 0..SCRAPERS_MAX {
        silent.push(script.scraper("GET /"));
        script.turn(Duration::from_millis(1));
    }
    script.turns(1);
    assert_eq!(script.server.scrapers.len(), SCRAPERS_MAX);
    let scraper = script.scraper(GET);
    script.turns(2);
    assert_eq!(read(scraper), ANSWER);
    let first = silent.remove(0);
    assert!(["", "ConnectionReset"].contains(&read(first).as_str()));
    // The others are still listened to.
    for mut scraper in silent {
        scraper.write_all(&GET.as_bytes()["GET /".len()..]).unwrap();
        script.turns(1);
        assert_eq!(read(scraper), ANSWER);
    }
}

#[test]
fn whoever_is_gone_is_forgotten() {
    let mut script = Script::new();
    for text in ["", "GET", GET] {
        let scraper = script.scraper(text);
        script.turns(1);
        drop(scraper);
        script.turns(2);
        assert_eq!(script.server.scrapers.len(), 0, "{text:?}");
    }
}

#[test]
fn an_address_is_listened_on_once() {
    let script = Script::new();
    let (address, port) = (Some(Ipv4Addr::LOCALHOST), script.address.port());
    let again = Server::listen(address, port).map(|_| ());
    assert_eq!(again, Err(Errno::ADDRINUSE));
    // Once it is closed, it is free at once.
    let scraper = script.scraper(GET);
    drop(script);
    drop(scraper);
    assert!(Server::listen(address, port).is_ok());
}

#[test]
fn every_address_of_this_machine() {
    let (_server, port) = Server::listen(None, 0).unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Unless there is no IPv6 here.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert!(TcpStream::connect(("::1", port)).is_ok());
    }
}

#[test]
fn somebody_else_who_is_ready_is_not_who_is_waited_for() {
    let mut script = Script::new();
    rustix::io::read(&script.socket, &mut [0]).unwrap();
    let _scraper = script.scraper(GET);
    let passes = Duration::from_millis(1);
    NOW.set(BEGIN + passes);
    let tell = |_: Duration, _: &[u8], _: &mut Page| Code::Ok;
    let server = Some((&mut script.server, &tell as Handler));
    let mut turn = Turn { clock, now: BEGIN, until: BEGIN + passes, server };
    assert_eq!(turn.wait(script.socket.as_fd(), PollFlags::IN), Ok(false));
    assert_eq!(script.server.scrapers.len(), 1);
}

/// Without a server there is only the time to wait for.
#[test]
fn time_alone() {
    let millis = Duration::from_millis;
    for (pause, goes_on, passes) in [(10, true, 10), (20, false, 20), (30, false, 20)] {
        NOW.set(BEGIN + millis(passes));
        let mut turn = Turn { clock, now: BEGIN, until: BEGIN + millis(20), server: None };
        assert_eq!(turn.pause(millis(pause)), Ok(goes_on));
    }
    NOW.set(BEGIN + HOUR);
    let begin = std::time::Instant::now();
    let mut turn = Turn { clock, now: BEGIN, until: BEGIN + millis(20), server: None };
    assert_eq!(turn.sleep(), Ok(()));
    // It is not the clock that ends it too early.
    assert!(begin.elapsed() >= millis(20));
}
