//! All I/O: sockets, timers, files and the standard streams.

pub mod client;
pub mod deadline;
pub mod files;
pub mod random;
pub mod server;
pub mod stdio;

#[cfg(test)]
mod tests;
