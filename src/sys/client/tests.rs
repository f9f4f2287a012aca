//! Calls on real sockets, with a script instead of a clock: each time that the client
//! waits, the server does the next act of the script.

extern crate std;
use super::*;
use crate::api::{AnswerError, Command, Refusal};
use crate::http::response::{HttpError, Progress};
use crate::sys::deadline::Deadline;
use crate::sys::tests::{Directory, HOUR, clock};
use crate::text::excerpt::Excerpt;
use rustix::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::string::String;
use std::vec::Vec as List;
use std::{format, fs, vec};

/// What the server does when the client waits.
#[derive(Clone, Copy)]
enum Act {
    /// Accepts the connection, and receives this request.
    Receive(&'static str),
    /// Sends this.
    Send(&'static str),
    /// Sends this, and closes the socket on which it listens.
    SendAndStopListening(&'static str),
    /// Does nothing, though the client's wait ends.
    Nothing,
    /// Closes the connection.
    Close,
    /// Does nothing until the deadline.
    TimeOut,
}

const SOCKET: &str = "api.sock";

struct Script {
    directory: Directory,
    listener: Option<OwnedFd>,
    peer: Option<OwnedFd>,
    acts: List<Act>,
    /// Earlier clients in the backlog. The server accepts one during each pause.
    queue: List<UnixStream>,
    /// The time until the deadline. Only pauses take time.
    remaining: Duration,
    /// The pauses so far, in milliseconds.
    pauses: List<u128>,
}

impl Script {
    fn new(acts: &[Act]) -> Self {
        let directory = Directory::new();
        let address = SocketAddrUnix::new(&*directory.c_path(SOCKET)).unwrap();
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &address).unwrap();
        // The backlog has room for one client.
        rustix::net::listen(&listener, 0).unwrap();
        let acts = acts.iter().rev().copied().collect();
        Self {
            directory,
            listener: Some(listener),
            peer: None,
            acts,
            queue: List::new(),
            remaining: HOUR,
            pauses: List::new(),
        }
    }

    /// The result of a call.
    fn call(&mut self, what: Call) -> String {
        let mut exchange = Exchange::new(Call::Reboot);
        let path = self.directory.c_path(SOCKET);
        let answer = call(&path, what, self, &mut exchange);
        self.result(answer)
    }

    /// The result of reading the status, with retries while the lock is held.
    fn read_status_until_free(&mut self) -> String {
        let mut exchange = Exchange::new(Call::Reboot);
        let path = self.directory.c_path(SOCKET);
        let answer = call_until_free(&path, Call::Status, self, &mut exchange);
        self.result(answer)
    }

    fn send(&self, text: &str) {
        rustix::io::write(self.peer.as_ref().unwrap(), text.as_bytes()).unwrap();
    }

    fn result(&self, answer: Result<Answer, CallError>) -> String {
        let result = match answer {
            Ok(Answer::Status(status)) => format!("state {}", status.state.name()),
            Ok(answer) => format!("{answer:?}"),
            Err(error) => format!("{error:?}"),
        };
        assert!(self.acts.is_empty(), "acts are left: {result}");
        result
    }
}

impl Wait for Script {
    fn wait(&mut self, _: BorrowedFd, until: PollFlags) -> Result<bool, Errno> {
        assert_eq!(until, PollFlags::IN);
        match self.acts.pop().unwrap() {
            Act::Receive(line) => {
                let peer = rustix::net::accept(self.listener.as_ref().unwrap()).unwrap();
                let headers = "\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                let wanted = format!("{line}{headers}");
                let mut request = vec![0; wanted.len()];
                rustix::io::read(&peer, &mut *request).unwrap();
                assert_eq!(String::from_utf8(request).unwrap(), wanted);
                self.peer = Some(peer);
            }
            Act::Send(text) => self.send(text),
            Act::SendAndStopListening(text) => {
                self.listener = None;
                self.send(text);
            }
            Act::Nothing => {}
            Act::Close => self.peer = None,
            Act::TimeOut => return Ok(false),
        }
        Ok(true)
    }

    fn pause(&mut self, duration: Duration) -> Result<bool, Errno> {
        self.pauses.push(duration.as_millis());
        if self.queue.pop().is_some() {
            rustix::net::accept(self.listener.as_ref().unwrap()).unwrap();
        }
        let is_in_time = duration < self.remaining;
        self.remaining = self.remaining.saturating_sub(duration);
        Ok(is_in_time)
    }

    fn remaining(&mut self) -> Duration {
        self.remaining
    }
}

const STATUS: Act = Act::Receive("GET /updates/status HTTP/1.1");

#[test]
fn result_of_a_call() {
    use Act::{Close, Nothing, Receive, Send, TimeOut};
    let head = Send("HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n");
    let activate = Receive("POST /actions/activate-update HTTP/1.1");
    let command = Call::Start(Command::Activate);
    let disconnect =
        |progress| format!("{:?}", CallError::Answer(AnswerError::Truncated(progress)));
    let timeout = |progress| format!("{:?}", CallError::Timeout(progress));
    let no_http = format!("{:?}", CallError::Answer(AnswerError::Http(HttpError::NotHttp)));
    let rows: [(Call, &[Act], &str); 12] = [
        (Call::Status, &[STATUS, head, Send(r#"{"update_state":"Ready"}"#)], "state Ready"),
        (
            Call::Status,
            &[STATUS, head, Nothing, Send(r#"{"update_"#), Send(r#"state":"Idle" }and more"#)],
            "state Idle",
        ),
        (command, &[activate, Send("HTTP/1.1 204 \r\n\r\n")], "Started"),
        (command, &[activate, Send("HTTP/1.1 423 \r\ncontent-length: 0\r\n\r\n")], "Busy"),
        (Call::Status, &[STATUS, Send("SSH-2.0\r\n")], &no_http),
        (Call::Status, &[STATUS, Close], &disconnect(Progress::Nothing)),
        (Call::Status, &[STATUS, Send("HTTP"), Close], &disconnect(Progress::InHead)),
        (
            Call::Status,
            &[STATUS, head, Send("{"), Close],
            &disconnect(Progress::InBody { received: 1, length: 24 }),
        ),
        (Call::Status, &[TimeOut], &timeout(Progress::Nothing)),
        (Call::Status, &[STATUS, TimeOut], &timeout(Progress::Nothing)),
        (Call::Status, &[STATUS, Send("HTTP"), TimeOut], &timeout(Progress::InHead)),
        (
            Call::Status,
            &[STATUS, head, Send("{"), TimeOut],
            &timeout(Progress::InBody { received: 1, length: 24 }),
        ),
    ];
    for (call, acts, result) in rows {
        assert_eq!(Script::new(acts).call(call), result);
    }
}

#[test]
fn full_backlog_is_retried_until_the_deadline() {
    let first = |script: &Script| UnixStream::connect(script.directory.path(SOCKET)).unwrap();
    let reboot = Act::Receive("POST /actions/reboot HTTP/1.1");
    let mut script = Script::new(&[reboot, Act::Send("HTTP/1.1 204 \r\n\r\n")]);
    script.queue.push(first(&script));
    assert_eq!(script.call(Call::Reboot), "Started");
    assert_eq!(script.pauses, [20]);

    let mut script = Script::new(&[]);
    let _first = first(&script);
    script.remaining = 3 * BACKLOG_PAUSE;
    assert_eq!(script.call(Call::Reboot), "SendTimeout");
    assert_eq!(script.pauses, [20; 3]);
}

#[test]
fn connect_errors_are_passed_on() {
    let script = Script::new(&[]);
    fs::write(script.directory.path("file"), "").unwrap();
    drop(script.listener);
    for (name, errno) in [
        ("none", Errno::NOENT),
        ("file", Errno::CONNREFUSED),
        ("", Errno::ISDIR),
        ("file/below", Errno::NOTDIR),
        (SOCKET, Errno::CONNREFUSED),
        (&"x".repeat(108), Errno::NAMETOOLONG),
    ] {
        let path = script.directory.c_path(name);
        let mut deadline = Deadline::after(clock, HOUR);
        let mut exchange = Exchange::new(Call::Status);
        let error = call(&path, Call::Status, &mut deadline, &mut exchange).unwrap_err();
        assert_eq!(format!("{error:?}"), format!("{:?}", CallError::Connect(errno)), "{name}");
    }
}

const BUSY: &str = "HTTP/1.1 423 Locked\r\ncontent-length: 0\r\n\r\n";
const TOO_BUSY: &str = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";

/// The API is too busy to handle the request, which had no effect.
#[test]
fn every_call_is_made_again_while_the_api_is_too_busy() {
    use Act::{Receive, Send, TimeOut};
    let prepare = Call::Start(Command::Prepare);
    let request = Receive("POST /actions/prepare-update HTTP/1.1");
    let started = Send("HTTP/1.1 204 \r\n\r\n");
    let (held, too_busy) = (Send(BUSY), Send(TOO_BUSY));
    for (remaining, acts, result, pauses) in [
        (9_000, &[too_busy, too_busy, started][..], "Started", &[100, 200][..]),
        // The lock is the business of the caller.
        (9_000, &[too_busy, held], "Busy", &[100]),
        (250, &[too_busy, TimeOut], "Timeout(Nothing)", &[100]),
        (250, &[too_busy, too_busy, TimeOut], "Timeout(Nothing)", &[100, 50]),
        (100, &[too_busy], "code: 408", &[]),
        (250, &[too_busy, too_busy, too_busy], "code: 408", &[100, 50]),
    ] {
        let acts: List<Act> = acts.iter().flat_map(|act| [request, *act]).collect();
        let mut script = Script::new(&acts);
        script.remaining = Duration::from_millis(remaining);
        let shown = script.call(prepare);
        assert!(shown.contains(result), "{remaining} ms: {shown}");
        assert_eq!(script.pauses, pauses);
    }
}

#[test]
fn status_is_read_again_while_the_lock_is_held() {
    use Act::{Close, Send, SendAndStopListening, TimeOut};
    const FREE: Act =
        Send("HTTP/1.1 404 \r\ncontent-length: 30\r\n\r\nUpdate status is uninitialized");
    let held = Send(BUSY);
    let too_busy = Send(TOO_BUSY);
    let disconnect = format!("{:?}", CallError::Answer(AnswerError::Truncated(Progress::Nothing)));
    let refused = format!("{:?}", CallError::Connect(Errno::CONNREFUSED));
    let timeout = format!("{:?}", CallError::Timeout(Progress::Nothing));
    let reason = &Excerpt::default();
    let refusal = Refusal { code: 408, reason };
    let refused_as_too_busy = format!("{:?}", CallError::Answer(AnswerError::Refused(refusal)));
    // The time until the deadline in milliseconds, the acts without the requests,
    // the result and the pauses.
    let rows: [(u64, &[Act], &str, &[u128]); 16] = [
        (9_000, &[too_busy, held, FREE], "Uninitialized", &[100, 200]),
        // There may be no time for another answer, so the one before counts.
        (150, &[too_busy, TimeOut], &refused_as_too_busy, &[50]),
        (250, &[too_busy, TimeOut], &timeout, &[100]),
        (9_000, &[FREE], "Uninitialized", &[]),
        (9_000, &[held, held, FREE], "Uninitialized", &[100, 200]),
        (
            9_000,
            &[held, held, held, held, held, held, held, FREE],
            "Uninitialized",
            &[100, 200, 400, 800, 1_600, 2_000, 2_000],
        ),
        (9_000, &[Close], &disconnect, &[]),
        (9_000, &[held, Close], &disconnect, &[100]),
        (9_000, &[SendAndStopListening(BUSY)], &refused, &[100]),
        (9_000, &[TimeOut], &timeout, &[]),
        (250, &[held, TimeOut], &timeout, &[100]),
        // There may be no time for another answer, so the one before counts.
        (150, &[held, TimeOut], "Busy", &[50]),
        (100, &[held], "Busy", &[]),
        (1_000, &[held, held, held, held, held], "Busy", &[100, 200, 400, 200]),
        (1_000, &[held, held, held, held, TimeOut], "Busy", &[100, 200, 400, 200]),
        (1_000, &[held, held, held, held, FREE], "Uninitialized", &[100, 200, 400, 200]),
    ];
    for (remaining, acts, result, pauses) in rows {
        let acts: List<Act> = acts.iter().flat_map(|act| [STATUS, *act]).collect();
        let mut script = Script::new(&acts);
        script.remaining = Duration::from_millis(remaining);
        assert_eq!(script.read_status_until_free(), result, "{remaining} ms, {pauses:?}");
        assert_eq!(script.pauses, pauses);
    }
}
