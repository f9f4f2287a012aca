//! The client side of the node's update API, without any I/O.
//!
//! An [`Exchange`] is one call: [`Call::request`] gives the bytes to send, the
//! exchange takes the bytes that come back and gives the [`Answer`].
//!
//! | file | duty |
//! |---|---|
//! | `call.rs` | the calls, and their requests |
//! | `exchange.rs` | one call: the response as it comes in, and the answer |
//! | `retry.rs` | when to repeat a call while an update command holds the lock |
//! | `document.rs` | reads a status document while it comes in |
//! | `status.rs` | the status that such a document describes |
//! | `error.rs` | why there is no usable answer, in words for people |
//!
//! Imports go down this list only: `exchange.rs` uses the three below it,
//! `error.rs` uses `status.rs`, and that uses `document.rs`.

mod call;
pub mod document;
mod error;
mod exchange;
mod retry;
pub mod status;

pub use call::{Call, Command};
pub use error::{AnswerError, CallError, ErrorKind, FailedCall, Refusal};
pub use exchange::{Answer, Exchange};
pub use retry::LockRetry;

#[cfg(test)]
mod tests;
