//! What the node programs share: the update API's protocol and documents, the
//! decision what to do about a node's state, and what does I/O.
//!
//! Nothing here allocates or reads a clock, and only [`sys`] touches sockets
//! and files.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod cli;
pub mod http;
pub mod install;
pub mod reboot;
pub mod sys;
pub mod text;
pub mod updater;
