//! Decisions that are read from the input, and what can be made of them.

use bottlerocket_updater::api::status::{Image, LastCommand, State, Status};
use bottlerocket_updater::api::{Answer, AnswerError, Call, CallError, Command, Refusal};
use bottlerocket_updater::http::response::{HttpError, Progress};
use bottlerocket_updater::text::excerpt::Excerpt;
use rustix::io::Errno;
use std::time::Duration;

/// The decisions that are left. When none are, each is the first of its kind.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `count`, which is 256 at most.
    pub fn below(&mut self, count: usize) -> usize {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*byte) % count
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub fn flip(&mut self) -> bool {
        self.below(2) == 1
    }

    /// How long something takes.
    pub fn time(&mut self) -> Duration {
        Duration::from_millis(self.one_of(&[1, 0, 100, 5_000, 10_000, 600_000, 86_400_000]))
    }
}

/// Few, so that chance often brings what fits together.
pub const VERSIONS: [&str; 3] = ["1.26.1", "1.26.2", "1.25.0"];
const TIMES: [&str; 4] =
    ["2026-11-22T05:32:13Z", "2026-11-22T05:32:14Z", "2026-11-22T05:32:15Z", ""];

pub fn image(version: &'static str) -> Image<'static> {
    Image { version, variant: "aws-k8s-1.30", arch: "x86_64" }
}

fn any_image(choices: &mut Choices) -> Option<Image<'static>> {
    match choices.below(4) {
        0 => None,
        at => Some(image(VERSIONS[at - 1])),
    }
}

/// Any status. `text` is what a command printed.
pub fn any_status<'a>(choices: &mut Choices, text: &'a Excerpt) -> Status<'a> {
    let last_command = (choices.below(8) != 0).then(|| LastCommand {
        name: choices.one_of(&["refresh", "prepare", "activate", "deactivate", "invented", ""]),
        outcome: choices.one_of(&["Success", "Success", "Failed", "Unknown", ""]),
        timestamp: choices.one_of(&TIMES),
        exit_status: choices.one_of(&["0", "1", ""]),
        stderr: text,
    });
    Status {
        state: choices.one_of(&State::ALL),
        chosen: any_image(choices),
        running: any_image(choices),
        staged: any_image(choices),
        offered: choices.one_of(&[None, Some("1.26.0"), Some("1.27.0")]),
        last_command,
    }
}

/// Any answer to any call, more often one that fits.
pub fn any_answer<'a>(
    call: Call,
    choices: &mut Choices,
    text: &'a Excerpt,
) -> Result<Answer<'a>, CallError<'a>> {
    let odd = choices.below(8) == 7;
    match (call, odd) {
        (Call::Status, false) => match choices.below(8) {
            0 => Ok(Answer::Uninitialized),
            1 => Ok(Answer::Busy),
            _ => Ok(Answer::Status(any_status(choices, text))),
        },
        (_, false) => match choices.below(4) {
            0..2 => Ok(Answer::Started),
            2 => Ok(Answer::Busy),
            _ => Ok(Answer::NotAllowed(Refusal { code: 409, reason: text })),
        },
        (_, true) => match choices.below(4) {
            0 => any_answer(Call::Status, choices, text),
            1 => any_answer(Call::Start(Command::Refresh), choices, text),
            _ => Err(any_error(choices, text)),
        },
    }
}

/// Any way for a call to have no usable answer.
pub fn any_error<'a>(choices: &mut Choices, text: &'a Excerpt) -> CallError<'a> {
    let refused = CallError::Answer(AnswerError::Refused(Refusal { code: 500, reason: text }));
    choices.one_of(&[
        CallError::Connect(Errno::CONNREFUSED),
        CallError::Connect(Errno::NOENT),
        CallError::Connect(Errno::ACCESS),
        CallError::Setup(Errno::MFILE),
        CallError::Send(Errno::PIPE),
        CallError::SendTimeout,
        CallError::Timeout(Progress::Nothing),
        CallError::Receive(Errno::CONNRESET),
        CallError::Answer(AnswerError::Truncated(Progress::InHead)),
        CallError::Answer(AnswerError::Http(HttpError::BadHead)),
        refused,
    ])
}
