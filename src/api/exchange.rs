//! One call of the API: the bytes that come back, and the answer.

use crate::api::call::Call;
use crate::api::document::{JsonError, StatusParser};
use crate::api::error::{AnswerError, Refusal};
use crate::api::status::{DocumentError, Status};
use crate::http::response::{Progress, Response};
use crate::text::excerpt::Excerpt;

/// What the API answers.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and nothing to box it in")]
pub enum Answer<'a> {
    /// The status.
    Status(Status<'a>),
    /// 404: there has been no refresh since the node booted.
    Uninitialized,
    /// 204: it has started; of a reboot, that it is on its way.
    Started,
    /// 423: an update command holds the lock.
    Busy,
    /// 409, or 404 with a reason: the state of the node does not allow the
    /// command.
    NotAllowed(Refusal<'a>),
}

/// One call, and the answer to it as far as it has come.
// What is small comes first: reaching it takes less code.
#[derive(Debug)]
#[repr(C)]
pub struct Exchange {
    call: Call,
    reason: Excerpt,
    response: Response,
    document: StatusParser,
}

/// The status code while an update command holds the lock.
const BUSY: u16 = 423;

/// How a status is refused before the first refresh; only its body tells this
/// 404 from others.
const NO_STATUS: &str = "Update status is uninitialized";

impl Exchange {
    /// Begins `call`.
    pub fn new(call: Call) -> Self {
        Self {
            call,
            response: Response::default(),
            document: StatusParser::default(),
            reason: Excerpt::default(),
        }
    }

    /// Whether the answer is that an update command holds the lock.
    pub fn is_busy(&self) -> bool {
        self.response.code() == Some(BUSY) && self.progress() == Progress::Complete
    }

    /// Takes the next bytes of the answer: true when it is complete.
    ///
    /// # Errors
    ///
    /// It is not understood; nothing more can be made of it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, AnswerError<'static>> {
        let body = self.response.push(bytes).map_err(AnswerError::Http)?;
        match (self.call, self.response.code()) {
            (Call::Status, Some(200)) => self.document.push(body).map_err(not_json)?,
            _ => self.reason.push_bytes(body),
        }
        Ok(self.response.progress() == Progress::Complete)
    }

    /// How much of the answer has come.
    pub fn progress(&self) -> Progress {
        self.response.progress()
    }

    /// The answer, when no more bytes come or none are wanted.
    ///
    /// # Errors
    ///
    /// It is not complete, or not understood, or says no.
    // Apart, it keeps its registers to itself: the programs are smaller.
    #[inline(never)]
    pub fn finish(&self) -> Result<Answer<'_>, AnswerError<'_>> {
        let code = match (self.response.code(), self.progress()) {
            (Some(code), Progress::Complete) => code,
            // A reason that is cut off is still one.
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
        Ok(match (self.call, code) {
            (Call::Status, 404) if refusal.reason.starts_with(NO_STATUS) => Answer::Uninitialized,
            (Call::Start(_) | Call::Reboot, 204) => Answer::Started,
            (Call::Status | Call::Start(_), BUSY) => Answer::Busy,
            (Call::Start(_), 409) => Answer::NotAllowed(refusal),
            (Call::Start(_), 404) if !refusal.reason.is_empty() => Answer::NotAllowed(refusal),
            _ => return Err(AnswerError::Refused(refusal)),
        })
    }
}

fn not_json(error: JsonError) -> AnswerError<'static> {
    AnswerError::Document(DocumentError::Json(error))
}
