//! A model of a fleet: all states that a few nodes can get into.
//!
//! The decisions are those of the real code of the updater, the checker, the reboot
//! program and the gate, called as it is. The models around them follow the facts about
//! Bottlerocket's update API and about Kured. Each actor has a file:
//!
//! | file | what it is |
//! |---|---|
//! | `version.rs` | the versions: the old one, a bad one, a good one |
//! | `repository.rs` | the repository: offers the bad version, withdraws it, offers the good one |
//! | `host.rs` | the update API, and the firmware |
//! | `updater.rs` | the updater |
//! | `reboot.rs` | the reboot program |
//! | `gate.rs` | the gate |
//! | `kured.rs` | Kured, and the checker |
//! | `operator.rs` | the operator, who does something by hand |
//! | `node.rs` | a node with all of these |
//! | `action.rs` | what can happen |
//! | `fleet.rs` | all nodes: what can happen when, and what must hold |
//! | `settings.rs` | the settings, and the rules that can be broken |
//! | `shared.rs` | values that many states have in common |
//! | `search.rs` | goes through all states |

pub mod action;
pub mod fleet;
pub mod gate;
pub mod host;
pub mod kured;
pub mod node;
pub mod operator;
pub mod reboot;
pub mod repository;
pub mod search;
pub mod settings;
pub mod shared;
pub mod updater;
pub mod version;
