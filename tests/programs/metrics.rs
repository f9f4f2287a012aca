//! The updater's metrics and health server.

use crate::common::daemon::{AT_ONCE, LONG, Outcome, Running};
use crate::common::exposition::Page;
use crate::common::records::{Format, Record};
use crate::common::{Node, program, redirected, run};
use bottlerocket_simulator::Command::{Activate, Prepare, Refresh};
use bottlerocket_simulator::{Fault, MANUAL, Options, Rule, State};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketType, connect, socket};
use rustix::process::Signal;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

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

/// Sends this request, and resets the connection at once.
fn send_and_reset(address: SocketAddr, request: &[u8]) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    connect(&socket, &address).unwrap();
    rustix::io::write(&socket, request).unwrap();
    set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
}

fn ok() -> (String, String) {
    ("HTTP/1.1 200 OK".into(), "ok\n".into())
}

fn no_offer() -> Options {
    Options { offer: Vec::new(), ..Node::instant() }
}

#[test]
fn health_readiness_and_metrics_of_an_update() {
    let node = Node::start(Options { refresh_time: MANUAL, ..Node::instant() });
    let serving = Serving::of(&node, &SELDOM);
    let refreshes = node.wait_until(LONG, |view| view.node.busy() == Some(Refresh));
    assert!(refreshes);
    // There is no status yet, but the API has answered.
    assert_eq!(serving.get("/healthz"), ok());
    assert_eq!(serving.get("/readyz"), ok());
    let before = serving.page();
    assert_eq!(before.get("update_state{state=\"Unknown\"}"), 1.0);
    assert_eq!(before.get("api_reachable"), 1.0);
    assert_eq!(before.find("os_info"), []);

    node.finish();
    let mut serving = serving;
    serving.updater.wait_for("ready, waiting for the reboot");
    assert_eq!(serving.get("/healthz"), ok());
    assert_eq!(serving.get("/readyz"), ok());
    let after = serving.page();
    after.follows(&before);
    let image = |version: &str| {
        format!("{{version=\"{version}\",variant=\"aws-k8s-1.30\",arch=\"x86_64\"}}")
    };
    for (name, value) in [
        ("update_state{state=\"Ready\"}", 1.0),
        ("update_state{state=\"Unknown\"}", 0.0),
        (&*format!("os_info{}", image("1.26.0")), 1.0),
        (&format!("update_chosen_info{}", image("1.26.1")), 1.0),
        ("api_reachable", 1.0),
        ("update_window_open", 1.0),
        ("update_commands_total{command=\"refresh\",outcome=\"success\"}", 1.0),
        ("update_commands_total{command=\"prepare\",outcome=\"success\"}", 1.0),
        ("update_commands_total{command=\"activate\",outcome=\"success\"}", 1.0),
        ("update_commands_total{command=\"prepare\",outcome=\"failed\"}", 0.0),
        ("updater_events_total{event=\"started\"}", 1.0),
        ("updater_events_total{event=\"serving_metrics\"}", 1.0),
        ("updater_events_total{event=\"ready\"}", 1.0),
        ("updater_last_error_info{class=\"none\"}", 1.0),
    ] {
        assert_eq!(after.get(name), value, "{name}");
    }
    let ages = after.find("update_last_success_age_seconds");
    let seconds = LONG.as_secs_f64();
    assert!(ages.len() == 3 && ages.iter().all(|(_, age)| *age < seconds), "{ages:?}");
    // The response to HEAD has no body.
    let head = serving.ask("HEAD /metrics HTTP/1.1\r\n\r\n");
    let (status, rest) = head.split_once("\r\n").unwrap();
    assert_eq!(status, "HTTP/1.1 200 OK");
    let length = rest.split_once("content-length: ").unwrap().1;
    let length: usize = length.strip_suffix("\r\n\r\n").unwrap().parse().unwrap();
    assert!((4_000..12_000).contains(&length), "{length}");
    let outcome = serving.stop();
    assert_eq!(outcome.records[1].get("address"), "127.0.0.1:0");
    // The log and the metrics use the same names.
    for record in &outcome.records {
        let name = format!("updater_events_total{{event=\"{}\"}}", record.get("event"));
        assert_eq!(after.find(&name).len(), 1, "{name}");
    }
}

#[test]
fn other_requests_are_refused() {
    let node = Node::start(no_offer());
    let serving = Serving::of(&node, &OFTEN);
    let answer = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\n\
             content-type: text/plain; version=0.0.4; charset=utf-8\r\ncontent-length: {}\r\n\r\n\
             {body}",
            body.len()
        )
    };
    let large = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(8_192));
    for (request, status, body) in [
        (
            "GET / HTTP/1.1\r\n\r\n",
            "404 Not Found",
            "the pages are /metrics, /healthz and /readyz\n",
        ),
        (
            "POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nab",
            "405 Method Not Allowed\r\nallow: GET, HEAD",
            "the method must be GET or HEAD\n",
        ),
        (
            "HEAD / HTTP/1.1\r\n\r\n",
            "404 Not Found",
            "the pages are /metrics, /healthz and /readyz\n",
        ),
        ("\r\n\r\n", "400 Bad Request", "this is not a request in HTTP/1.1\n"),
        (&large[..8_192], "431 Request Header Fields Too Large", "the request is too large\n"),
    ] {
        let whole = answer(status, body);
        let head = whole.strip_suffix(body).unwrap();
        let expected = if request.starts_with("HEAD") { head } else { &whole };
        assert_eq!(serving.ask(request), expected, "{request:?}");
    }
    serving.is_alive();
    serving.stop();
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
    let slow: Vec<TcpStream> = (0..5).map(|_| serving.scraper(b"G")).collect();
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

#[test]
fn failures_are_counted() {
    let node = Node::start(Node::instant());
    node.change(|node, _| {
        node.fail_next(Refresh, 1, "no network");
        node.fail_next(Prepare, 1, "no space");
        node.fail_next(Prepare, 1, "no space");
        node.fail_next(Activate, 1, "no luck");
    });
    let mut serving = Serving::of(&node, &OFTEN);
    serving.updater.wait_for("ready, waiting for the reboot");
    let page = serving.page();
    for (command, success, failed) in
        // The failed activate is followed by another prepare.
        [("prepare", 2.0, 2.0), ("activate", 1.0, 1.0), ("deactivate", 0.0, 0.0)]
    {
        let count = |outcome: &str| {
            let labels = format!("command=\"{command}\",outcome=\"{outcome}\"");
            page.get(&format!("update_commands_total{{{labels}}}"))
        };
        assert_eq!((count("success"), count("failed")), (success, failed), "{command}");
    }
    assert_eq!(page.get("updater_events_total{event=\"command_failed\"}"), 4.0);
    assert_eq!(page.get("updater_last_error_info{class=\"command_failed\"}"), 1.0);
    serving.stop();
}

#[test]
fn address_in_use_is_retried_and_the_node_is_updated_meanwhile() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let node = Node::start(no_offer());
    let flag = format!("-metrics-address={address}");
    let mut updater = Running::start(node.program("updater").args(SELDOM).arg(&flag));
    // The node is updated meanwhile.
    updater.wait_for("event=nothing_to_do");
    // The address becomes free, and the updater serves at it.
    drop(taken);
    updater.wait_for("event=serving_metrics");
    let serving = Serving { updater, address: address.parse().unwrap() };
    let page = serving.page();
    assert_eq!(page.get("updater_events_total{event=\"serving_failed\"}"), 1.0);
    let summary: Vec<_> = serving.stop().records.iter().map(Record::summary).collect();
    let cannot = "error: cannot serve metrics and health checks; retrying, and updating meanwhile";
    assert_eq!(summary[1], format!("{cannot} address={address} error=address already in use"));
    // An address that no interface has. The record has the selected format.
    let flags = ["-metrics-address=192.0.2.1:1", "-log-format=json", "-log-level=error"];
    let mut updater = Running::start(node.program("updater").args(SELDOM).args(flags));
    updater.format = Format::Json;
    updater.wait_for("serving_failed");
    let summary: Vec<_> = updater.stop(Signal::TERM).records.iter().map(Record::summary).collect();
    assert_eq!(summary, [format!("{cannot} address=192.0.2.1:1 error=address not available")]);
    // With -one-time there is no server.
    let ran = run(node.program("updater").args(["-one-time", &flag]));
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("serving_metrics"), "{ran:?}");
    // Nor is there one with "off".
    let off = ["-metrics-address=127.0.0.1:0", "-metrics-address=off"];
    let mut updater = Running::start(node.program("updater").args(SELDOM).args(off));
    updater.wait_for("nothing to do");
    assert_eq!(updater.log.len(), 3, "{:?}", updater.log);
}

#[test]
fn port_alone_listens_on_all_addresses() {
    let node = Node::start(no_offer());
    let serving = Serving::start(node.program("updater").args(SELDOM).arg("-metrics-address=:0"));
    serving.is_alive();
    if TcpListener::bind("[::1]:0").is_ok() {
        let v6 = SocketAddr::new("::1".parse().unwrap(), serving.address.port());
        let mut stream = TcpStream::connect(v6).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        assert!(read(stream).ends_with("\r\n\r\nok\n"));
    }
    // A new daemon can use the same port at once.
    let port = format!("-metrics-address=:{}", serving.address.port());
    serving.stop();
    let again = Serving::start(node.program("updater").args(SELDOM).arg(port));
    again.is_alive();
    again.stop();
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

#[test]
fn last_known_state_is_shown_while_the_api_is_unavailable() {
    let node = Node::start(no_offer());
    let mut serving = Serving::of(&node, &OFTEN);
    serving.updater.wait_for("nothing to do");
    node.inject(Rule::from(Fault::close()).forever());
    serving.updater.wait_for("the API is unavailable");
    let page = serving.page();
    assert_eq!(page.get("update_state{state=\"Idle\"}"), 1.0);
    assert_eq!(page.get("api_reachable"), 0.0);
    assert_eq!(page.get("updater_last_error_info{class=\"api_disconnected\"}"), 1.0);
    assert_eq!(serving.get("/readyz"), ok());
    serving.stop();
    assert_eq!(node.look(|view| view.node.state()), Some(State::Idle));
}

#[test]
fn bad_address_is_a_usage_error() {
    let ran = run(program("updater").args(["-metrics-address", "localhost:80"]));
    let line = "bottlerocket-updater: bad value \"localhost:80\" for flag -metrics-address: it \
                takes an address like :8080 or 127.0.0.1:8080, or off; see bottlerocket-updater \
                --help\n";
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(2), line));
}

#[test]
fn version_lock_is_visible_in_the_log_and_in_a_metric() {
    let node = Node::start(Options { version_lock: "1.26.0".into(), ..Node::instant() });
    let mut serving = Serving::of(&node, &OFTEN);
    serving.updater.wait_for("event=not_chosen");
    let record = Record::read(Format::Logfmt, serving.updater.log.last().unwrap());
    assert_eq!((record.get("offered"), record.get("running")), ("1.26.1", "1.26.0"));
    assert_eq!(serving.page().get("update_offered_not_chosen"), 1.0);
    // Without the lock, the node takes the update.
    node.change(|node, _| node.options.version_lock = "latest".into());
    serving.updater.wait_for("ready, waiting for the reboot");
    assert_eq!(serving.page().get("update_offered_not_chosen"), 0.0);
    serving.stop();
}
