//! Tests that take minutes or need other programs. `cargo test` skips them, and
//! scripts in `scripts/test` run them.

// The wall clock jumps while the updater runs.
mod clock_jumps;
// System calls fail, and programs are killed at any point.
mod faults;
// A day of the updater, and 10,000 runs of the checker.
mod soak;
