//! The tests of whole programs, in one executable: they mostly wait, so they run
//! side by side, in more threads than there are processors (`.cargo/config.toml`).

mod common;

// The checker: its exit status and its words.
mod checker;
// The updater while the wall clock is set.
mod clock;
// The command lines of all programs.
mod command_line;
// Several clients that use the API of one node at the same time.
mod concurrency;
// The updater's settings: flags, environment variables, defaults.
mod configuration;
// What `cargo demo` shows.
mod demo;
// System calls that fail, and programs that are killed at any point.
mod faults;
// The simulated fleet.
mod fleet;
// Answers that no API server should give.
mod hostile;
// `bottlerocket-install`.
mod install;
// The programs' own memory functions.
mod memory;
// The updater's server of metrics and health.
mod metrics;
// The reboot program.
mod reboot;
// The reference pages in `docs/`, compared with the programs.
mod reference;
// The rooms of the library: no import goes up.
mod rooms;
// The simulated node.
mod simulator;
// A day of an updater, and 10,000 checks.
mod soak;
// The updater's state file.
mod state;
// Whole runs of the updater.
mod updater;
