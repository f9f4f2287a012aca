//! The exit statuses, the same in every program.

/// The program did what it was asked to do; for a question, the answer is yes.
pub const SUCCESS: u8 = 0;
/// The answer to the question is no.
pub const NEGATIVE: u8 = 1;
/// The command line is wrong. Nothing was done.
pub const USAGE: u8 = 2;
/// The program could not find the answer, or could not do its work.
pub const FAILURE: u8 = 3;
