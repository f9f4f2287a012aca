//! All I/O of the library. Nothing outside this room makes a system call.
//!
//! | file | duty | used by |
//! |---|---|---|
//! | `client.rs` | calls of the API over its Unix socket | checker, reboot, gate, updater |
//! | `server.rs` | the metrics server, and the loop that waits while it serves | updater |
//! | `deadline.rs` | deadlines, and waiting for them | all |
//! | `files.rs` | the state file, the record of a reboot, the boot id | reboot, gate, updater |
//! | `stdio.rs` | lines on the standard streams | all |
//! | `random.rs` | random numbers | updater |
//!
//! `client.rs` and `server.rs` use `deadline.rs`; the other files use none of this
//! room. The clock is read by the programs, in `bins/start/clock.rs`.

pub mod client;
pub mod deadline;
pub mod files;
pub mod random;
pub mod server;
pub mod stdio;

#[cfg(test)]
mod tests;
