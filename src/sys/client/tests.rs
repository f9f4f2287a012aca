//! Calls on real sockets. Whoever is to wait for the peer is the peer: each wait
//! is the next act of a script, so nothing depends on time.

extern crate std;
use super::*;
use crate::api::{AnswerError, Command};
use crate::http::response::{HttpError, Progress};
use crate::sys::deadline::{nanoseconds, timespec};
use crate::sys::tests::HOUR;
use rustix::fd::BorrowedFd;
use rustix::time::{Itimerspec, TimerfdTimerFlags, timerfd_settime};
use std::ffi::CString;
use std::io::{Read, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec as List;
use std::{format, fs, thread, vec};

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
    /// Nothing, but is looked at all the same.
    Nothing,
    /// Closes the connection.
    Close,
    /// Nothing, until the time is over.
    TooLate,
}

struct Script {
    place: Place,
    listener: OwnedFd,
    peer: Option<OwnedFd>,
    acts: List<Act>,
    /// Who came first, and is let in in the pauses.
    queue: List<UnixStream>,
}

impl Script {
    fn new(acts: &[Act]) -> Self {
        let place = Place::new();
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&*place.path()).unwrap()).unwrap();
        // There is room for one who waits.
        rustix::net::listen(&listener, 0).unwrap();
        let acts = acts.iter().rev().copied().collect();
        Self { place, listener, peer: None, acts, queue: List::new() }
    }

    /// What comes of a call.
    fn call(&mut self, what: Call) -> String {
        let mut exchange = Exchange::new(Call::Reboot);
        let path = self.place.path();
        let told = match call(&path, what, self, &mut exchange) {
            Ok(Answer::Status(status)) => format!("state {}", status.state.name()),
            Ok(answer) => format!("{answer:?}"),
            Err(error) => format!("{error:?}"),
        };
        assert!(self.acts.is_empty(), "it does not wait any more: {told}");
        told
    }
}

impl Wait for Script {
    fn wait(&mut self, _: BorrowedFd, until: PollFlags) -> Result<bool, Errno> {
        assert_eq!(until, PollFlags::IN);
        match self.acts.pop().unwrap() {
            Act::Take(line) => {
                let peer = rustix::net::accept(&self.listener).unwrap();
                let headers = "\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                let wanted = format!("{line}{headers}");
                let mut request = vec![0; wanted.len()];
                rustix::io::read(&peer, &mut *request).unwrap();
                assert_eq!(String::from_utf8(request).unwrap(), wanted);
                self.peer = Some(peer);
            }
            Act::Say(text) => {
                rustix::io::write(self.peer.as_ref().unwrap(), text.as_bytes()).unwrap();
            }
            Act::Nothing => {}
            Act::Close => self.peer = None,
            Act::TooLate => return Ok(false),
        }
        Ok(true)
    }

    fn pause(&mut self, _: Duration) -> bool {
        let first = self.queue.pop();
        first.is_some() && rustix::net::accept(&self.listener).is_ok()
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
fn a_full_queue_is_waited_for() {
    for (has_patience, told) in [(true, "Started"), (false, "SendTimeout")] {
        let reboot = Act::Take("POST /actions/reboot HTTP/1.1");
        let acts = [reboot, Act::Say("HTTP/1.1 204 \r\n\r\n")];
        let mut script = Script::new(if has_patience { &acts } else { &[] });
        let first = UnixStream::connect(script.place.socket()).unwrap();
        if has_patience {
            script.queue.push(first);
        } else {
            std::mem::forget(first);
        }
        assert_eq!(script.call(Call::Reboot), told);
    }
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
        let mut deadline = Deadline::after(HOUR).unwrap();
        let mut exchange = Exchange::new(Call::Status);
        let error = call(&path, Call::Status, &mut deadline, &mut exchange).unwrap_err();
        assert_eq!(format!("{error:?}"), format!("{:?}", CallError::Connect(errno)), "{name}");
    }
}

const BUSY: &str = "HTTP/1.1 423 Locked\r\ncontent-length: 0\r\n\r\n";

#[test]
fn a_lock_is_waited_for() {
    const NONE: &str = "HTTP/1.1 404 \r\ncontent-length: 30\r\n\r\nUpdate status is uninitialized";
    let broken = CallError::Answer(AnswerError::Truncated(Progress::Nothing));
    let gone = CallError::Connect(Errno::CONNREFUSED);
    let rows: [(&[&'static str], &str); 5] = [
        (&[NONE], "Uninitialized"),
        (&[BUSY, BUSY, NONE], "Uninitialized"),
        (&[""], &format!("{broken:?}")),
        (&[BUSY, ""], &format!("{broken:?}")),
        (&[BUSY], &format!("{gone:?}")),
    ];
    for (answers, told) in rows {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).unwrap();
        let answers = answers.to_vec();
        let server = thread::spawn(move || {
            let mut listener = Some(listener);
            for (at, answer) in answers.iter().enumerate() {
                let mut peer = listener.as_ref().unwrap().accept().unwrap().0;
                peer.read_exact(&mut vec![0; Call::Status.request().len()]).unwrap();
                // Nobody is there after the last answer.
                if at + 1 == answers.len() {
                    listener = None;
                }
                peer.write_all(answer.as_bytes()).unwrap();
            }
        });
        let mut deadline = Deadline::after(HOUR).unwrap();
        let mut exchange = Exchange::new(Call::Status);
        let path = place.path();
        let answer = call_until_free(&path, Call::Status, &mut deadline, &mut exchange);
        let answer = answer.map_or_else(|error| format!("{error:?}"), |it| format!("{it:?}"));
        assert_eq!(answer, told);
        server.join().unwrap();
    }
}

/// There was no time for another answer, so the one before counts.
#[test]
fn a_lock_that_is_held_to_the_end() {
    for _ in 0..100 {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).unwrap();
        let mut deadline = Deadline::after(HOUR).unwrap();
        let timer = deadline.0.try_clone().unwrap();
        let server = thread::spawn(move || {
            let mut peer = listener.accept().unwrap().0;
            peer.read_exact(&mut vec![0; Call::Status.request().len()]).unwrap();
            let it_value = timespec(nanoseconds(2 * BUSY_PAUSE) - 1_000_000);
            let once = Itimerspec { it_interval: timespec(0), it_value };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once).unwrap();
            peer.write_all(BUSY.as_bytes()).unwrap();
            listener
        });
        let mut exchange = Exchange::new(Call::Status);
        let path = place.path();
        let answer = call_until_free(&path, Call::Status, &mut deadline, &mut exchange);
        let answer = answer.map_or_else(|error| format!("{error:?}"), |it| format!("{it:?}"));
        let listener = server.join().unwrap();
        listener.set_nonblocking(true).unwrap();
        // On a busy machine the time may have been over before that.
        if listener.accept().is_ok() {
            assert_eq!(answer, "Busy");
            return;
        }
    }
    panic!("this machine is too busy");
}
