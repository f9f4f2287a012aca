//! Scrapers that are hostile, slow or many.

use super::{ANY_PORT, OFTEN, SELDOM, Serving, no_offer, read, scraper};
use crate::common::daemon::{AT_ONCE, LONG, Running};
use crate::common::exposition::Page;
use crate::common::{Node, redirected};
use bottlerocket_simulator::Fault;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Sends this request, and resets the connection at once.
fn send_and_reset(address: SocketAddr, request: &[u8]) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    connect(&socket, &address).unwrap();
    rustix::io::write(&socket, request).unwrap();
    set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
}

#[test]
fn hostile_scrapers_do_no_harm() {
    let node = Node::start(no_offer());
    let serving = Serving::of(&node, &OFTEN);
    let huge = vec![b'x'; 4 << 20];
    let mut numbers = 1u64;
    let mut garbage = Vec::new();
    while garbage.len() < 100_000 {
        numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        garbage.extend_from_slice(&numbers.to_be_bytes()[..4]);
    }
    let pipelined = b"GET /metrics HTTP/1.1\r\n\r\n".repeat(10_000);
    let lines = b"GET /metrics HTTP/1.1\r\n".iter().copied();
    let lines: Vec<u8> = lines.chain(b"A: b\r\n".repeat(100_000)).collect();
    for request in [&huge, &garbage, &pipelined, &lines] {
        let mut stream = serving.scraper(b"");
        // The server may close the connection before it has read everything.
        if let Err(error) = stream.write_all(request) {
            let closed = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(closed.contains(&error.kind()), "{error}");
        }
        let answer = read(stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "), "{answer:?}");
        serving.is_alive();
    }
    // Scrapers that disconnect, after any part of a request.
    let request = b"GET /metrics HTTP/1.1\r\n\r\n";
    for length in [0, 1, request.len() - 1, request.len()] {
        for reset in [false, true] {
            for _ in 0..20 {
                match reset {
                    true => send_and_reset(serving.address, &request[..length]),
                    false => drop(serving.scraper(&request[..length])),
                }
            }
            serving.is_alive();
        }
    }
    let outcome = serving.stop();
    let events: Vec<&str> = outcome.records.iter().map(|record| record.get("event")).collect();
    let quiet = ["started", "configuration", "serving_metrics", "nothing_to_do", "stopped"];
    assert!(events.iter().all(|event| quiet.contains(event)), "{events:?}");
}

#[test]
fn slow_scrapers_delay_neither_an_update_nor_each_other() {
    let node = Node::start(no_offer());
    let mut serving = Serving::of(&node, &OFTEN);
    serving.updater.wait_for("nothing to do");
    // One more than the maximum number of connections.
    let slow: Vec<TcpStream> = (0..33).map(|_| serving.scraper(b"G")).collect();
    let begin = Instant::now();
    serving.is_alive();
    node.change(|node, _| node.options.offer = vec!["1.26.1".into()]);
    serving.updater.wait_for("ready, waiting for the reboot");
    // Less than the five seconds that a slow scraper has.
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    serving.is_alive();
    // Finally they time out.
    for stream in slow {
        assert_eq!(read(stream), "");
    }
    serving.stop();
}

#[test]
fn scrapers_that_do_not_read_cause_no_delay() {
    let node = Node::start(no_offer());
    let mut serving = Serving::of(&node, &OFTEN);
    let unread: Vec<TcpStream> =
        (0..50).map(|_| serving.scraper(b"GET /metrics HTTP/1.1\r\n\r\n")).collect();
    node.change(|node, _| node.options.offer = vec!["1.26.1".into()]);
    serving.updater.wait_for("ready, waiting for the reboot");
    serving.is_alive();
    // Their responses are complete nevertheless.
    let pages: Vec<String> = unread.into_iter().map(read).filter(|page| !page.is_empty()).collect();
    assert!(!pages.is_empty());
    for page in pages {
        Page::read(page.split_once("\r\n\r\n").unwrap().1);
    }
    serving.stop();
}

#[test]
fn scrapes_are_answered_while_the_api_is_silent() {
    let node = Node::start(no_offer());
    // The first call gets no answer and times out.
    node.inject(Fault::silence());
    let unready = "the API has not answered yet\n";
    let unready = ("HTTP/1.1 503 Service Unavailable".into(), unready.into());
    let mut serving = Serving::of(&node, &SELDOM);
    assert!(node.wait_until(LONG, |view| !view.requests.is_empty()));
    let begin = Instant::now();
    for _ in 0..20 {
        serving.is_alive();
    }
    let page = serving.page();
    assert_eq!(page.get("api_reachable"), 0.0);
    assert_eq!(page.get("updater_events_total{event=\"api_lost\"}"), 0.0);
    assert_eq!(serving.get("/readyz"), unready);
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    // The scrapes do not change when the call times out.
    serving.updater.wait_for("timed out waiting for a response");
    assert!(begin.elapsed() > Duration::from_secs(8), "{:?}", begin.elapsed());
    serving.updater.wait_for("the API is available again");
    serving.updater.wait_for("nothing to do");
    let page = serving.page();
    assert_eq!(page.get("api_reachable"), 1.0);
    assert_eq!(page.get("updater_last_error_info{class=\"api_timeout\"}"), 1.0);
    serving.stop();
}

#[test]
fn two_hundred_scrapers_at_once() {
    let node = Node::start(no_offer());
    let mut serving = Serving::of(&node, &OFTEN);
    let answered = thread::scope(|scope| {
        let address = serving.address;
        let scrape = move || read(scraper(address, b"GET /metrics HTTP/1.1\r\n\r\n"));
        let scrapers: Vec<_> = (0..200).map(|_| scope.spawn(scrape)).collect();
        let answers = scrapers.into_iter().map(|scraper| scraper.join().unwrap());
        // The server drops some connections to make room. It answers the others completely.
        let pages: Vec<_> = answers
            .filter(|answer| !answer.is_empty())
            .map(|answer| Page::read(answer.split_once("\r\n\r\n").unwrap().1))
            .collect();
        pages.len()
    });
    assert!(answered >= 20, "{answered}");
    println!("{answered} of 200 were answered");
    serving.is_alive();
    node.change(|node, _| node.options.offer = vec!["1.26.1".into()]);
    serving.updater.wait_for("ready, waiting for the reboot");
    serving.stop();
}

/// On a busy machine, a client's request comes a moment after its connection.
#[test]
fn none_of_5000_scrapes_at_16_at_a_time_is_lost() {
    let node = Node::start(no_offer());
    let serving = Serving::of(&node, &SELDOM);
    let address = serving.address;
    let lost: usize = thread::scope(|scope| {
        let scrape = move || {
            let mut stream = scraper(address, b"");
            thread::sleep(Duration::from_millis(1));
            // An error shows in what is read.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
            let answer = read(stream);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
            let length = format!("content-length: {}", body.len());
            usize::from(body.is_empty() || !head.ends_with(&length))
        };
        let lose = move || (0..5_000 / 16 + 1).map(|_| scrape()).sum::<usize>();
        let clients: Vec<_> = (0..16).map(|_| scope.spawn(lose)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
    });
    assert_eq!(lost, 0);
    serving.stop();
}

/// Clients that connect as fast as they can, send the start of a request, and stay.
#[test]
fn flood_of_slow_clients_does_not_keep_a_probe_out() {
    let node = Node::start(no_offer());
    let serving = Serving::of(&node, &OFTEN);
    let address = serving.address;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = VecDeque::new();
                while !is_over.load(Relaxed) {
                    // The server closes the oldest connections.
                    if let Ok(mut stream) = TcpStream::connect(address) {
                        let _ = stream.write_all(b"G");
                        held.push_back(stream);
                    }
                    if held.len() > 100 {
                        held.pop_front();
                    }
                }
            });
        }
        let probe = || read(scraper(address, b"GET /healthz HTTP/1.1\r\n\r\n"));
        let answered_within = |time: Duration| {
            let begin = Instant::now();
            // A probe whose connection is closed is sent again.
            while begin.elapsed() < time {
                if probe().ends_with("ok\n") {
                    return true;
                }
            }
            false
        };
        let answered = (0..100).filter(|_| answered_within(Duration::from_secs(1))).count();
        is_over.store(true, Relaxed);
        assert_eq!(answered, 100);
    });
    serving.stop();
}

/// The limit allows the standard streams, the listener, and one more file: either a call or
/// a scraper.
#[test]
fn limit_of_open_files_is_survived() {
    let node = Node::start(no_offer());
    let mut command = node.program("updater");
    command.args(OFTEN).arg(ANY_PORT);
    let command = redirected(&command, "");
    let mut limited = Command::new("sh");
    limited.args(["-c", "exec 3>&- 4>&- 5>&-; ulimit -n 5; exec \"$@\"", "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    let mut serving = Serving::start(&mut limited);
    serving.updater.wait_for("nothing to do");
    let silent = [serving.scraper(b"GET"), serving.scraper(b"GET")];
    serving.updater.wait_for("cannot set up the call: too many open files");
    let ticks = cpu_ticks(&serving.updater);
    // After five seconds each of them times out.
    for stream in silent {
        assert_eq!(read(stream), "");
    }
    // The updater was not in a busy loop until then.
    let ticks = cpu_ticks(&serving.updater) - ticks;
    assert!(ticks < 200, "{ticks} hundredths of a second");
    serving.updater.wait_for("the API is available again");
    serving.stop();
}

/// The CPU time of the program so far, in hundredths of a second.
fn cpu_ticks(updater: &Running) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", updater.child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
