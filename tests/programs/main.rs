//! The tests of whole programs, in one executable. They mostly wait, so more of them
//! run at a time than there are processors (`.cargo/config.toml`).

mod common;

// The checker: its exit status and its output.
mod checker;
// The flags of all programs.
mod command_line;
// Several clients that use the API of one node at the same time.
mod concurrency;
// The updater's settings: flags, environment variables, defaults.
mod configuration;
// The output of `cargo demo`.
mod demo;
// Several nodes with all programs, and a version that does not boot.
mod fleet;
// Responses that no API server should send.
mod hostile;
// The gate.
mod gate;
// The install program.
mod install;
// The updater's metrics and health server.
mod metrics;
// The reboot program.
mod reboot;
// The reference pages in `docs/`, compared with the programs.
mod reference;
// The rooms of the library: no import goes up, and there is no circle.
mod rooms;
// Tests that `cargo test` skips.
mod slow;
// The updater's state file.
mod state;
// Whole runs of the updater.
mod updater;

// The simulated node and the simulated fleet. These are the tests of another package.
// Cargo runs only those of the root package by default, because the simulator is not a
// default member: `cargo build` must not need `std`. So they are included here.
#[path = "../../bins/simulator/tests/simulator/main.rs"]
mod simulator;
