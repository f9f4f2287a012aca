//! The client side of the node's update API, without any I/O.
//!
//! An [`Exchange`] is one call. [`Call::request`] returns the bytes to send.
//! [`Exchange::push`] takes the bytes that are received, and [`Exchange::finish`]
//! returns the [`Answer`].
//!
//! | file | duty |
//! |---|---|
//! | `exchange.rs` | one call: the response as it is received, and the answer |
//! | `retry.rs` | when to repeat a call that had no effect |
//! | `error.rs` | why there is no usable answer, in words for people |
//! | `status.rs` | the status of a node, and how it is read from a document |
//! | `document.rs` | filters a status document while it is received |
//! | `call.rs` | the calls, and their requests |
//!
//! A file imports only files below it in this table.

mod call;
pub mod document;
mod error;
mod exchange;
mod retry;
pub mod status;

pub use call::{Call, Command};
pub use error::{AnswerError, CallError, ErrorKind, FailedCall, Refusal};
pub use exchange::{Answer, Exchange};
pub use retry::Retry;

#[cfg(test)]
pub(crate) mod tests;
