//! The updater's metrics and health server.

// The address of the server.
mod address;
// The pages: metrics, liveness, readiness.
mod pages;
// Scrapers that are hostile, slow or many.
mod scrapers;

use crate::common::Node;
use crate::common::daemon::{AT_ONCE, LONG, Outcome, Running};
use crate::common::exposition::Page;
use crate::common::records::{Format, Record};
use bottlerocket_simulator::Options;
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

/// The daemon starts its first cycle at once and runs cycles often.
const OFTEN: [&str; 2] = ["-test-interval=50ms", "-jitter=0s"];

/// The daemon runs only one cycle.
const SELDOM: [&str; 2] = ["-interval=1h", "-jitter=0s"];

const ANY_PORT: &str = "-metrics-address=127.0.0.1:0";

/// An updater with a metrics server, and its address.
struct Serving {
    updater: Running,
    address: SocketAddr,
}

impl Serving {
    fn start(command: &mut Command) -> Self {
        let mut updater = Running::start(command);
        updater.wait_for("serving_metrics");
        let record = Record::read(Format::Logfmt, updater.log.last().unwrap());
        let port: u16 = record.get("port").parse().unwrap();
        Self { updater, address: ([127, 0, 0, 1], port).into() }
    }

    fn of(node: &Node, arguments: &[&str]) -> Self {
        Self::start(node.program("updater").arg(ANY_PORT).args(arguments))
    }

    /// A scraper that has sent this request.
    fn scraper(&self, request: &[u8]) -> TcpStream {
        scraper(self.address, request)
    }

    /// Sends a request. Returns the whole response.
    fn ask(&self, request: &str) -> String {
        read(self.scraper(request.as_bytes()))
    }

    /// The status and the body of a page. Checks the headers.
    #[track_caller]
    fn get(&self, path: &str) -> (String, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let answer = self.ask(&request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        let (status, headers) = head.split_once("\r\n").unwrap();
        let length = body.len();
        assert_eq!(
            headers,
            format!(
                "connection: close\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n\
                 content-length: {length}"
            )
        );
        (status.into(), body.into())
    }

    #[track_caller]
    fn page(&self) -> Page {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        Page::read(&body)
    }

    #[track_caller]
    fn is_alive(&self) {
        let begin = Instant::now();
        assert_eq!(self.get("/healthz"), ok());
        assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    }

    #[track_caller]
    fn stop(self) -> Outcome {
        let outcome = self.updater.stop(Signal::TERM);
        assert_eq!(outcome.status, Some(0));
        outcome
    }
}

fn scraper(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream.write_all(request).unwrap();
    stream
}

/// All bytes until the server closes or resets the connection.
fn read(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8(answer).unwrap()
}

fn ok() -> (String, String) {
    ("HTTP/1.1 200 OK".into(), "ok\n".into())
}

fn no_offer() -> Options {
    Options { offer: Vec::new(), ..Node::instant() }
}
