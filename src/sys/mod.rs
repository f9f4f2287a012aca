//! All I/O: sockets, timers, files and the standard streams.

pub mod files;
pub mod unix;
