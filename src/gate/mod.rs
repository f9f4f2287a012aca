//! The gate: keeps Kured from starting on a node whose new version did not boot.
//!
//! Kured takes one node after the other, and goes on to the next one as soon as it runs
//! again on the node that it rebooted. The gate is an init container of Kured's pod. As
//! long as it waits, Kured keeps its lock and the node stays cordoned, and no other node
//! is drained for a version that does not boot.
//!
//! | file | duty |
//! |---|---|
//! | `rule.rs` | decides whether Kured may start: one pure function |
//! | `wait.rs` | when the gate looks again, reports, requests a reboot, gives up |
//! | `event.rs` | the events: level, name, message and fields |
//! | `options.rs` | the flags, and what they set |
//! | `os_release.rs` | reads which version runs |
//! | `state.rs` | reads in the updater's state which version did not boot |

pub mod event;
pub mod options;
pub mod os_release;
pub mod rule;
pub mod state;
pub mod wait;
