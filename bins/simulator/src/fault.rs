//! Damage done to answers, and which requests it is done to.

use std::time::Duration;

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is not carried out; these bytes come instead of an answer.
    Instead(Vec<u8>, Then),
    /// The request is carried out; only that many bytes of the true answer
    /// come. 0 is "done, but the client never hears of it".
    Cut(usize, Then),
    /// The request is carried out; these bytes come before the true answer.
    Before(Vec<u8>),
    /// The request is carried out; these bytes come behind the true answer.
    Behind(Vec<u8>),
    /// The request is carried out; its answer says a content-length that is
    /// off by that much (never below 0).
    Length(i64),
    /// The request is carried out; each byte of its answer comes that much
    /// after the one before, the first one too.
    Drip(Duration),
    /// The request is not carried out; the first bytes come once, then the
    /// second ones over and over until the client closes.
    Flood(Vec<u8>, Vec<u8>),
}

/// What happens after the bytes of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The connection closes.
    Close,
    /// Nothing more comes, but the connection stays open until the client
    /// closes it.
    Silence,
    /// The connection goes on to the next request.
    GoOn,
}

impl Fault {
    /// The request is read, not carried out, and the connection closes.
    pub fn close() -> Fault {
        Fault::Instead(Vec::new(), Then::Close)
    }

    /// The request is read, not carried out, and nothing ever comes.
    pub fn silence() -> Fault {
        Fault::Instead(Vec::new(), Then::Silence)
    }

    /// These bytes come instead of an answer, then the connection closes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Fault {
        Fault::Instead(bytes.into(), Then::Close)
    }
}

/// Which requests a fault hits: unless told otherwise, the next one.
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
    /// Only requests with this method and path count.
    pub fn on(self, method: &str, path: &str) -> Rule {
        Rule { on: Some((method.into(), path.into())), ..self }
    }

    /// The first `count` requests that count are left alone.
    pub fn after(self, count: usize) -> Rule {
        Rule { skip: count, ..self }
    }

    /// That many requests are hit.
    pub fn times(self, count: usize) -> Rule {
        Rule { times: count, ..self }
    }

    /// All requests are hit.
    pub fn forever(self) -> Rule {
        self.times(usize::MAX)
    }
}

/// The fault for this request, if any: that of the first rule that hits.
/// Rules that are used up go away.
pub fn pick(rules: &mut Vec<Rule>, method: &str, path: &str) -> Option<Fault> {
    let index = rules.iter_mut().position(|rule| {
        let counts = match &rule.on {
            Some((on_method, on_path)) => on_method == method && on_path == path,
            None => true,
        };
        if counts && rule.skip > 0 {
            rule.skip -= 1;
            return false;
        }
        counts && rule.times > 0
    })?;
    let rule = &mut rules[index];
    let fault = rule.fault.clone();
    if rule.times != usize::MAX {
        rule.times -= 1;
    }
    rules.retain(|rule| rule.times > 0);
    Some(fault)
}
