//! The library of the programs that run on a node.
//!
//! Its rooms, from the lowest to the highest. A room imports only the rooms above it
//! in this table, and no two modules import each other.
//!
//! | room | what it is for | which programs use it |
//! |---|---|---|
//! | [`text`] | words for people: one-line excerpts, durations, times, the kernel's errors | all |
//! | [`cli`] | Go-style flags, the table of flags, the help, exit statuses | all |
//! | [`http`] | HTTP: the responses that the client reads, the requests that the server reads | checker, reboot, gate, updater |
//! | [`api`] | the node's update API: calls, answers, errors, the status | checker, reboot, gate, updater |
//! | [`sys`] | all input and output: sockets, files, time limits, the standard streams | all |
//! | [`record`] | the record of a reboot that is to bring another version | reboot, gate, updater |
//! | [`reporting`] | log records, and the fields that several events have | gate, updater |
//! | [`checker`] | the flags and the decision of the checker | checker |
//! | [`reboot`] | the flags and the decision of the reboot program | reboot, gate |
//! | [`install`] | the flags and the messages of the install program | install |
//! | [`gate`] | the decision whether Kured may start on a node | gate |
//! | [`updater`] | the plan, the cycle, the daemon, windows, history, events, metrics | updater |
//!
//! Nothing here allocates, panics or reads a clock by itself: code that waits gets the
//! time as an argument and returns when it wants to go on. Only [`sys`] touches sockets
//! and files.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod checker;
pub mod cli;
pub mod gate;
pub mod http;
pub mod install;
pub mod reboot;
pub mod record;
pub mod reporting;
pub mod sys;
pub mod text;
pub mod updater;

#[cfg(test)]
mod tests;
