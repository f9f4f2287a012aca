//! Calls on real sockets. Whoever is to wait for the peer is the peer: each wait
//! is the next act of a script, so nothing depends on time.

extern crate std;
use super::*;
use crate::api::{AnswerError, Command};
use crate::http::response::{HttpError, Progress};
use crate::sys::deadline::Deadline;
use crate::sys::tests::{HOUR, clock};
use rustix::fd::BorrowedFd;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec as List;
use std::{format, fs, vec};

/// The path of a socket, in a directory of a test's own, which goes away with
/// this.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("br-calls-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("api.sock")
    }

    fn path(&self) -> CString {
        CString::new(self.socket().as_os_str().as_bytes()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the peer does when it is waited for.
#[derive(Clone, Copy)]
enum Act {
    /// Lets the caller in, and takes this request.
    Take(&'static str),
    /// Says this.
    Say(&'static str),
    /// Says this, and closes the socket to further callers.
    SayAndStopListening(&'static str),
    /// Nothing, but is looked at all the same.
    Nothing,
    /// Closes the connection.
    Close,
    /// Nothing, until the time is over.
    TooLate,
}

struct Script {
    place: Place,
    listener: Option<OwnedFd>,
    peer: Option<OwnedFd>,
    acts: List<Act>,
    /// Earlier callers, who wait for `accept`. A pause is what it takes.
    queue: List<UnixStream>,
    /// The time until the deadline. Only pauses take time.
    remaining: Duration,
    /// The pauses so far, in milliseconds.
    pauses: List<u128>,
}

impl Script {
    fn new(acts: &[Act]) -> Self {
        let place = Place::new();
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&*place.path()).unwrap()).unwrap();
        // There is room for one who waits.
        rustix::net::listen(&listener, 0).unwrap();
        let acts = acts.iter().rev().copied().collect();
        Self {
            place,
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
        let path = self.place.path();
        let answer = call(&path, what, self, &mut exchange);
        self.result(answer)
    }

    /// The result of reading the status, with retries while the lock is held.
    fn read_status_until_free(&mut self) -> String {
        let mut exchange = Exchange::new(Call::Reboot);
        let path = self.place.path();
        let answer = call_until_free(&path, Call::Status, self, &mut exchange);
        self.result(answer)
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

impl Script {
    fn say(&self, text: &str) {
        rustix::io::write(self.peer.as_ref().unwrap(), text.as_bytes()).unwrap();
    }
}

impl Wait for Script {
    fn wait(&mut self, _: BorrowedFd, until: PollFlags) -> Result<bool, Errno> {
        assert_eq!(until, PollFlags::IN);
        match self.acts.pop().unwrap() {
            Act::Take(line) => {
                let peer = rustix::net::accept(self.listener.as_ref().unwrap()).unwrap();
                let headers = "\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                let wanted = format!("{line}{headers}");
                let mut request = vec![0; wanted.len()];
                rustix::io::read(&peer, &mut *request).unwrap();
                assert_eq!(String::from_utf8(request).unwrap(), wanted);
                self.peer = Some(peer);
            }
            Act::Say(text) => self.say(text),
            Act::SayAndStopListening(text) => {
                self.listener = None;
                self.say(text);
            }
            Act::Nothing => {}
            Act::Close => self.peer = None,
            Act::TooLate => return Ok(false),
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

    fn remaining(&self) -> Duration {
        self.remaining
    }
}

const STATUS: Act = Act::Take("GET /updates/status HTTP/1.1");

#[test]
fn what_comes_of_a_call() {
    use Act::{Close, Nothing, Say, Take, TooLate};
    let head = Say("HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n");
    let activate = Take("POST /actions/activate-update HTTP/1.1");
    let command = Call::Start(Command::Activate);
    let broken = |progress| format!("{:?}", CallError::Answer(AnswerError::Truncated(progress)));
    let too_late = |progress| format!("{:?}", CallError::Timeout(progress));
    let no_http = format!("{:?}", CallError::Answer(AnswerError::Http(HttpError::NotHttp)));
    let rows: [(Call, &[Act], &str); 12] = [
        (Call::Status, &[STATUS, head, Say(r#"{"update_state":"Ready"}"#)], "state Ready"),
        (
            Call::Status,
            &[STATUS, head, Nothing, Say(r#"{"update_"#), Say(r#"state":"Idle" }and more"#)],
            "state Idle",
        ),
        (command, &[activate, Say("HTTP/1.1 204 \r\n\r\n")], "Started"),
        (command, &[activate, Say("HTTP/1.1 423 \r\ncontent-length: 0\r\n\r\n")], "Busy"),
        (Call::Status, &[STATUS, Say("SSH-2.0\r\n")], &no_http),
        (Call::Status, &[STATUS, Close], &broken(Progress::Nothing)),
        (Call::Status, &[STATUS, Say("HTTP"), Close], &broken(Progress::InHead)),
        (Call::Status, &[STATUS, head, Say("{"), Close], &broken(Progress::InBody(1, 24))),
        (Call::Status, &[TooLate], &too_late(Progress::Nothing)),
        (Call::Status, &[STATUS, TooLate], &too_late(Progress::Nothing)),
        (Call::Status, &[STATUS, Say("HTTP"), TooLate], &too_late(Progress::InHead)),
        (Call::Status, &[STATUS, head, Say("{"), TooLate], &too_late(Progress::InBody(1, 24))),
    ];
    for (call, acts, told) in rows {
        assert_eq!(Script::new(acts).call(call), told);
    }
}

#[test]
fn full_queue_is_retried_until_the_deadline() {
    let first = |script: &Script| UnixStream::connect(script.place.socket()).unwrap();
    let reboot = Act::Take("POST /actions/reboot HTTP/1.1");
    let mut script = Script::new(&[reboot, Act::Say("HTTP/1.1 204 \r\n\r\n")]);
    script.queue.push(first(&script));
    assert_eq!(script.call(Call::Reboot), "Started");
    assert_eq!(script.pauses, [20]);

    let mut script = Script::new(&[]);
    let _first = first(&script);
    script.remaining = 3 * QUEUE_PAUSE;
    assert_eq!(script.call(Call::Reboot), "SendTimeout");
    assert_eq!(script.pauses, [20; 3]);
}

#[test]
fn who_is_not_there() {
    let script = Script::new(&[]);
    fs::write(script.place.0.join("file"), "").unwrap();
    drop(script.listener);
    for (name, errno) in [
        ("none", Errno::NOENT),
        ("file", Errno::CONNREFUSED),
        ("file/below", Errno::NOTDIR),
        ("api.sock", Errno::CONNREFUSED),
        (&"x".repeat(108), Errno::NAMETOOLONG),
    ] {
        let path = CString::new(script.place.0.join(name).as_os_str().as_bytes()).unwrap();
        let mut deadline = Deadline::after(clock, HOUR);
        let mut exchange = Exchange::new(Call::Status);
        let error = call(&path, Call::Status, &mut deadline, &mut exchange).unwrap_err();
        assert_eq!(format!("{error:?}"), format!("{:?}", CallError::Connect(errno)), "{name}");
    }
}

const BUSY: &str = "HTTP/1.1 423 Locked\r\ncontent-length: 0\r\n\r\n";

#[test]
fn status_is_read_again_while_the_lock_is_held() {
    use Act::{Close, Say, SayAndStopListening, TooLate};
    const FREE: Act =
        Say("HTTP/1.1 404 \r\ncontent-length: 30\r\n\r\nUpdate status is uninitialized");
    let held = Say(BUSY);
    let disconnect = format!("{:?}", CallError::Answer(AnswerError::Truncated(Progress::Nothing)));
    let refused = format!("{:?}", CallError::Connect(Errno::CONNREFUSED));
    let too_late = format!("{:?}", CallError::Timeout(Progress::Nothing));
    // The time until the deadline in milliseconds, the acts without the requests,
    // the result and the pauses.
    let rows: [(u64, &[Act], &str, &[u128]); 13] = [
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
        (9_000, &[SayAndStopListening(BUSY)], &refused, &[100]),
        (9_000, &[TooLate], &too_late, &[]),
        (250, &[held, TooLate], &too_late, &[100]),
        // There may be no time for another answer, so the one before counts.
        (150, &[held, TooLate], "Busy", &[50]),
        (100, &[held], "Busy", &[]),
        (1_000, &[held, held, held, held, held], "Busy", &[100, 200, 400, 200]),
        (1_000, &[held, held, held, held, TooLate], "Busy", &[100, 200, 400, 200]),
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
