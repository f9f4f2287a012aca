//! One call: the response as it is received, and the answer.

use crate::api::call::Call;
use crate::api::document::{JsonError, StatusParser};
use crate::api::error::{AnswerError, CallError, LOCKED, Refusal, TOO_BUSY};
use crate::api::status::{DocumentError, Status};
use crate::http::response::{Progress, Response};
use crate::text::excerpt::Excerpt;

/// The answer of the API to a call.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and nothing to box it in")]
pub enum Answer<'a> {
    /// The status of the node.
    Status(Status<'a>),
    /// 404 with a reason: there has been no refresh since the node booted.
    Uninitialized,
    /// 204: the command has started. 200 to 299: the reboot has been requested.
    Started,
    /// 423: an update command holds the lock.
    Busy,
    /// 409, or 404 with a reason: the state of the node does not allow the command.
    NotAllowed(Refusal<'a>),
}

/// One call, with the response as far as it has been received.
#[derive(Debug)]
pub struct Exchange {
    call: Call,
    response: Response,
    /// The body of a response to [`Call::Status`] with status code 200.
    document: StatusParser,
    /// The body of any other response.
    reason: Excerpt,
}

impl Exchange {
    /// A call without any response yet.
    pub fn new(call: Call) -> Self {
        Self {
            call,
            response: Response::default(),
            document: StatusParser::default(),
            reason: Excerpt::default(),
        }
    }

    /// Begins this call, without any response yet.
    pub fn begin(&mut self, call: Call) {
        // An exchange has some kilobytes, so one without a response is not made anew.
        if self.progress() == Progress::Nothing {
            self.call = call;
        } else {
            *self = Self::new(call);
        }
    }

    /// Takes the next bytes of the response. Returns whether it is complete.
    ///
    /// # Errors
    ///
    /// The response is invalid. The exchange cannot take any more bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, AnswerError<'static>> {
        let body = self.response.push(bytes).map_err(AnswerError::Http)?;
        match (self.call, self.response.code()) {
            (Call::Status, Some(200)) => self.document.push(body).map_err(not_json)?,
            _ => self.reason.push_bytes(body),
        }
        Ok(self.progress() == Progress::Complete)
    }

    /// How much of the response has been received.
    pub fn progress(&self) -> Progress {
        self.response.progress()
    }

    /// Whether the response is complete and says that an update command holds the
    /// lock.
    pub fn is_busy(&self) -> bool {
        self.response.code() == Some(LOCKED) && self.progress() == Progress::Complete
    }

    /// Whether the response is complete and says that the API was too busy to handle
    /// the request, which had no effect.
    pub fn is_too_busy(&self) -> bool {
        self.response.code() == Some(TOO_BUSY) && self.progress() == Progress::Complete
    }

    /// The error that the API was too busy, when a later try got no response.
    pub fn too_busy(&self) -> CallError<'_> {
        let refusal = Refusal { code: TOO_BUSY, reason: &self.reason };
        CallError::Answer(AnswerError::Refused(refusal))
    }

    /// The answer, once no more bytes are expected.
    ///
    /// # Errors
    ///
    /// The response is truncated or invalid, or the API refuses the call.
    // Not inlined: saves 1,616 bytes in the reboot program.
    #[inline(never)]
    pub fn finish(&self) -> Result<Answer<'_>, AnswerError<'_>> {
        let code = match (self.response.code(), self.progress()) {
            (Some(code), Progress::Complete) => code,
            // A part of the reason is better than none.
            (Some(code @ 500..), _) => code,
            (_, progress) => return Err(AnswerError::Truncated(progress)),
        };
        if (self.call, code) == (Call::Status, 200) {
            let document = self.document.finish().map_err(not_json)?;
            return match Status::read(document) {
                Ok(status) => Ok(Answer::Status(status)),
                Err(error) => Err(AnswerError::Document(error)),
            };
        }
        let refusal = Refusal { code, reason: &self.reason };
        match (self.call, code) {
            // A 404 for an unknown path has no text.
            (Call::Status, 404) if !refusal.reason.is_empty() => Ok(Answer::Uninitialized),
            (Call::Start(_), 204) | (Call::Reboot, 200..=299) => Ok(Answer::Started),
            (Call::Status | Call::Start(_), LOCKED) => Ok(Answer::Busy),
            (Call::Start(_), 409) => Ok(Answer::NotAllowed(refusal)),
            (Call::Start(_), 404) if !refusal.reason.is_empty() => Ok(Answer::NotAllowed(refusal)),
            _ => Err(AnswerError::Refused(refusal)),
        }
    }
}

fn not_json(error: JsonError) -> AnswerError<'static> {
    AnswerError::Document(DocumentError::Json(error))
}
