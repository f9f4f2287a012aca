//! What the node programs share: the update API's protocol and documents, the
//! decision what to do about a node's state, and what does I/O.
//!
//! Nothing here allocates or reads a clock, only [`unix`] touches a socket, and
//! only [`store`] a file.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod config;
pub mod cycle;
pub mod daemon;
pub mod duration;
pub mod errno;
pub mod event;
pub mod excerpt;
pub mod flags;
pub mod history;
pub mod http;
pub mod json;
pub mod log;
pub mod metrics;
pub mod plan;
pub mod scrape;
pub mod status;
pub mod store;
pub mod text;
pub mod unix;
pub mod window;

/// The exit statuses, the same in every program.
pub mod exit {
    /// Yes, or done.
    pub const YES: u8 = 0;
    /// No.
    pub const NO: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// Could not find out, or could not do it.
    pub const FAILED: u8 = 3;
}
