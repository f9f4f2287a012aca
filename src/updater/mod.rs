//! What only the updater has.
//!
//! | file | duty |
//! |---|---|
//! | `plan.rs` | decides what to do in a state of the node: one pure function |
//! | `cycle.rs` | one cycle: sends commands and follows them to their end |
//! | `daemon.rs` | when cycles begin, backoff, giving up |
//! | `config.rs` | the flags, and what they set |
//! | `window.rs` | update windows |
//! | `time_zone.rs` | time zones: names, rules, offsets |
//! | `history.rs` | what is remembered across boots: versions that did not boot |
//! | `history/file.rs` | the form of the file with the history |
//! | `uptime.rs` | counts the time over restarts and boots, for hold-backs |
//! | `state_file.rs` | reads and writes the file with the history |
//! | `last_reboot.rs` | what the record of the last reboot means: leave Ready alone, or held by the gate |
//! | `record_file.rs` | reads the file with that record |
//! | `commands.rs` | what is remembered of earlier commands |
//! | `event.rs` | the events: level, name, message and fields |
//! | `reporter.rs` | which events are logged |
//! | `metrics.rs` | counts events, and writes the page for Prometheus |
//! | `pages.rs` | which page is served at which path |
//! | `serving.rs` | starts the metrics server, and retries |

pub mod commands;
pub mod config;
pub mod cycle;
pub mod daemon;
pub mod event;
pub mod history;
pub mod last_reboot;
pub mod metrics;
pub mod pages;
pub mod plan;
pub mod record_file;
pub mod reporter;
pub mod serving;
pub mod state_file;
pub mod time_zone;
pub mod uptime;
pub mod window;
