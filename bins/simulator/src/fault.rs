//! Faults: how an answer is damaged, and for which requests.

use std::time::Duration;

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is not carried out. The server sends these bytes instead of an
    /// answer.
    Instead(Vec<u8>, Then),
    /// The request is carried out. The server sends only the first bytes of the answer,
    /// as many as this number. With 0, the client never gets an answer.
    Cut(usize, Then),
    /// The request is carried out. The server sends these bytes before the answer.
    Before(Vec<u8>),
    /// The request is carried out. The server sends these bytes after the answer.
    After(Vec<u8>),
    /// The request is carried out. The answer's content-length is wrong by this number,
    /// but never below 0.
    Length(i64),
    /// The request is carried out. The server waits this long before each byte of the
    /// answer.
    Drip(Duration),
    /// The request is not carried out. The server sends the first bytes once, and then
    /// the second bytes again and again until the client closes the connection.
    Flood(Vec<u8>, Vec<u8>),
}

/// The server's behaviour after the bytes of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It closes the connection.
    Close,
    /// It sends nothing more, but keeps the connection open until the client closes it.
    Silence,
    /// It waits for the next request on the connection.
    Continue,
}

impl Fault {
    /// The server reads the request, does not carry it out, and closes the connection.
    pub fn close() -> Fault {
        Fault::Instead(Vec::new(), Then::Close)
    }

    /// The server reads the request, does not carry it out, and never answers.
    pub fn silence() -> Fault {
        Fault::Instead(Vec::new(), Then::Silence)
    }

    /// The server sends these bytes instead of an answer and closes the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Fault {
        Fault::Instead(bytes.into(), Then::Close)
    }
}

/// A fault and the requests that it hits. By default it hits the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rule {
    fault: Fault,
    on: Option<(String, String)>,
    skip: usize,
    times: usize,
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Rule {
        Rule { fault, on: None, skip: 0, times: 1 }
    }
}

impl Rule {
    /// Only requests with this method and path match.
    pub fn on(self, method: &str, path: &str) -> Rule {
        Rule { on: Some((method.into(), path.into())), ..self }
    }

    /// The first `count` requests that match are not hit.
    pub fn after(self, count: usize) -> Rule {
        Rule { skip: count, ..self }
    }

    /// `count` requests are hit.
    pub fn times(self, count: usize) -> Rule {
        Rule { times: count, ..self }
    }

    /// All requests that match are hit.
    pub fn forever(self) -> Rule {
        self.times(usize::MAX)
    }
}

/// The fault for this request, if any: the fault of the first rule that hits it.
/// Removes rules that are used up.
pub fn pick(rules: &mut Vec<Rule>, method: &str, path: &str) -> Option<Fault> {
    let index = rules.iter_mut().position(|rule| {
        let matches = match &rule.on {
            Some((on_method, on_path)) => on_method == method && on_path == path,
            None => true,
        };
        if matches && rule.skip > 0 {
            rule.skip -= 1;
            return false;
        }
        matches && rule.times > 0
    })?;
    let rule = &mut rules[index];
    let fault = rule.fault.clone();
    if rule.times != usize::MAX {
        rule.times -= 1;
    }
    rules.retain(|rule| rule.times > 0);
    Some(fault)
}
