//! The log of the programs that wait on a node.
//!
//! | file | duty |
//! |---|---|
//! | `log.rs` | the form of a log record: logfmt or JSON, and the flags for it |
//! | `fields.rs` | fields that several events have |
//!
//! Each program has its own events. An event that two of them have has the same name and
//! the same message in both.

pub mod fields;
pub mod log;
