//! A connection: reads requests, carries them out, applies faults.

use crate::command::Command;
use crate::disk::Power;
use crate::event::EventKind;
use crate::fault::{self, Fault, Then};
use crate::http::{self, Answer, Parsed, Parts, Version};
use crate::node::Reply;
use crate::shared::{Request, Shared};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u64,
    pub(crate) stream: UnixStream,
    pub(crate) received: Vec<u8>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The client must see the close now, although `connections` has a copy.
        let _ = self.stream.shutdown(Shutdown::Both);
        let mut inner = self.shared.inner();
        inner.connections.remove(&self.id);
        inner.rebooting.remove(&self.id);
        drop(inner);
        self.shared.changed.notify_all();
    }
}

/// Why there is no request.
enum NoRequest {
    Closed,
    Timeout,
    Bad,
    TooLarge,
}

/// What the connection does after an answer.
#[derive(PartialEq, Eq)]
enum Next {
    Read,
    Silence,
    Close,
}

impl Connection {
    pub(crate) fn serve(mut self) {
        let mut first = true;
        loop {
            let within = {
                let options = &self.shared.inner().node.options;
                if first { options.request_timeout } else { options.keep_alive }
            };
            let next = match self.read_request(within) {
                Ok(request) => self.handle(&request),
                Err(NoRequest::Bad) => self.refuse(400, EventKind::BadRequest),
                Err(NoRequest::TooLarge) => self.refuse(431, EventKind::TooLarge),
                Err(NoRequest::Timeout) if first => self.refuse(408, EventKind::RequestTimeout),
                Err(NoRequest::Timeout | NoRequest::Closed) => return,
            };
            match next {
                Ok(Next::Read) => first = false,
                Ok(Next::Silence) => return self.stay_silent(),
                Ok(Next::Close) | Err(_) => return,
            }
        }
    }

    fn read_request(&mut self, within: Duration) -> Result<Parts, NoRequest> {
        let deadline = Instant::now().checked_add(within);
        let mut has_continued = false;
        loop {
            match http::parse(&self.received) {
                Parsed::Complete(parts) => {
                    if parts.expects_continue && !has_continued {
                        self.stream.write_all(http::CONTINUE).map_err(|_| NoRequest::Closed)?;
                        has_continued = true;
                    }
                    if parts.length <= self.received.len() {
                        self.received.drain(..parts.length);
                        return Ok(parts);
                    }
                }
                Parsed::Bad => return Err(NoRequest::Bad),
                Parsed::TooLarge => return Err(NoRequest::TooLarge),
                Parsed::Partial => {}
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(NoRequest::Timeout);
            }
            let mut buffer = [0; 4096];
            let read =
                self.stream.set_read_timeout(left).and_then(|()| self.stream.read(&mut buffer));
            match read {
                Ok(0) => return Err(NoRequest::Closed),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(NoRequest::Closed),
                },
            }
        }
    }

    fn refuse(&mut self, status: u16, kind: EventKind) -> io::Result<Next> {
        let _worker = self.shared.worker();
        let now = self.shared.clock.now();
        self.shared.inner().note(self.id, now, kind);
        self.shared.changed.notify_all();
        self.stream.write_all(&Answer::text(status, "").bytes(Version::Http11, true, now))?;
        Ok(Next::Close)
    }

    fn handle(&mut self, request: &Parts) -> io::Result<Next> {
        let Some((answer, fault)) = self.carry_out(request) else {
            return Ok(Next::Close);
        };
        let (close, bytes) = match answer {
            Some(answer) => {
                let close = request.close || answer.status == 408;
                (close, answer.bytes(request.version, close, self.shared.clock.now()))
            }
            None => (request.close, Vec::new()),
        };
        let then = self.send(bytes, fault)?;
        self.shared.inner().rebooting.remove(&self.id);
        Ok(match then {
            Then::Close => Next::Close,
            Then::Silence => Next::Silence,
            Then::Continue if close => Next::Close,
            Then::Continue => Next::Read,
        })
    }

    /// Waits for the worker and carries the request out, unless it waited behind a request
    /// that took too long. Returns `None` if the simulator stops in the meantime.
    fn carry_out(&self, request: &Parts) -> Option<(Option<Answer>, Option<Fault>)> {
        let shared = &*self.shared;
        let arrived = shared.clock.now();
        let mut worker = shared.worker();
        let begun = shared.clock.now();
        if worker.as_ref().is_some_and(|stall| stall.contains(&arrived)) {
            return Some((Some(self.time_out(request, begun)), None));
        }
        let outcome = self.work(request);
        let ended = shared.clock.now();
        if ended - begun > shared.inner().node.options.request_timeout {
            *worker = Some(begun..ended);
        }
        outcome
    }

    /// Logs a request that is not carried out, and returns its answer.
    fn time_out(&self, request: &Parts, now: Duration) -> Answer {
        let (method, path) = (request.method.clone(), request.path.clone());
        let mut inner = self.shared.inner();
        let entry =
            Request { at: now, method: method.clone(), path: path.clone(), status: Some(408) };
        inner.requests.push(entry);
        inner.note(
            self.id,
            now,
            EventKind::Answered { method, path, status: 408, text: "".into() },
        );
        self.shared.changed.notify_all();
        Answer::text(408, "")
    }

    /// Carries the request out, unless a fault replaces the answer. Returns `None` if the
    /// simulator stops in the meantime.
    fn work(&self, request: &Parts) -> Option<(Option<Answer>, Option<Fault>)> {
        let shared = &*self.shared;
        let mut guard = shared.inner();
        let inner = &mut *guard;
        let now = shared.clock.now();
        inner.advance(now, Some(self.id));
        if inner.node.power() != Power::On {
            return None;
        }
        let entry = Request {
            at: now,
            method: request.method.clone(),
            path: request.path.clone(),
            status: None,
        };
        if let Some(hook) = &mut inner.hook {
            hook(&mut inner.node, &entry);
            inner.take_events(Some(self.id));
        }
        let index = inner.requests.len();
        inner.requests.push(entry);
        shared.changed.notify_all();
        let (method, path) = (request.method.clone(), request.path.clone());
        let fault = fault::pick(&mut inner.rules, &method, &path);
        if matches!(fault, Some(Fault::Instead(..) | Fault::Flood(..))) {
            inner.note(self.id, now, EventKind::Dropped { method, path });
            return Some((None, fault));
        }
        let answer = match inner.node.request(&method, &path, now) {
            Reply::Answer(answer) => answer,
            Reply::Rebooting => loop {
                if guard.stopping || guard.node.busy() != Some(Command::Reboot) {
                    return None;
                }
                if let Some(answer) = guard.node.reboot_answer(shared.clock.now()) {
                    guard.rebooting.insert(self.id);
                    guard.take_events(Some(self.id));
                    break answer;
                }
                let next = guard.node.next_change();
                guard = shared.wait(guard, next);
            },
        };
        let reading = guard.node.status_time();
        if answer.status == 200 && !reading.is_zero() {
            drop(guard);
            if !shared.pause(reading) {
                return None;
            }
            guard = shared.inner();
        }
        guard.requests[index].status = Some(answer.status);
        let text = match answer.status {
            200 => String::new(),
            _ => answer.body.clone(),
        };
        let kind = EventKind::Answered { method, path, status: answer.status, text };
        guard.note(self.id, shared.clock.now(), kind);
        shared.changed.notify_all();
        Some((Some(answer), fault))
    }

    fn send(&mut self, answer: Vec<u8>, fault: Option<Fault>) -> io::Result<Then> {
        let (bytes, then) = match fault {
            None => (answer, Then::Continue),
            Some(Fault::Instead(bytes, then)) => (bytes, then),
            Some(Fault::Cut(count, then)) => (answer[..count.min(answer.len())].to_vec(), then),
            Some(Fault::Before(bytes)) => ([bytes, answer].concat(), Then::Continue),
            Some(Fault::After(bytes)) => ([answer, bytes].concat(), Then::Continue),
            Some(Fault::Length(by)) => (http::shift_content_length(answer, by), Then::Continue),
            Some(Fault::Drip(every)) => {
                for byte in answer {
                    if !self.shared.pause(every) {
                        return Ok(Then::Close);
                    }
                    self.stream.write_all(&[byte])?;
                }
                return Ok(Then::Continue);
            }
            Some(Fault::Flood(first, again)) => {
                self.stream.write_all(&first)?;
                if again.is_empty() {
                    return Ok(Then::Silence);
                }
                loop {
                    self.stream.write_all(&again)?;
                }
            }
        };
        self.stream.write_all(&bytes)?;
        Ok(then)
    }

    /// Sends nothing more, and waits until the client closes the connection.
    fn stay_silent(mut self) {
        if self.stream.set_read_timeout(None).is_ok() {
            let _ = io::copy(&mut self.stream, &mut io::sink());
        }
    }
}
