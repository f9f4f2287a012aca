//! A simulated Bottlerocket node: the update API on a Unix socket.
//!
//! [`Node`] is the node itself: a state machine that takes the time as an argument and
//! does no input or output. [`Simulator`] serves a node on a socket from background
//! threads, keeps a log of the requests, and damages answers if a test adds a [`Rule`].
//!
//! Only [`fleet`] uses types of the programs' library. The rest is independent of it,
//! so that a mistake in the library does not hide itself.
//!
//! ```
//! use bottlerocket_simulator::{Command, Options, Simulator, State};
//! use std::{env, process, time::Duration};
//!
//! let path = env::temp_dir().join(format!("doc-{}.sock", process::id()));
//! let simulator = Simulator::start(&path, Options::default())?;
//! simulator.run(Command::Refresh).unwrap();
//! simulator.change(|node, _| node.fail_next(Command::Prepare, 1, "disk full"));
//! assert!(simulator.wait_until(Duration::from_secs(5), |view| {
//!     view.node.state() == Some(State::Available)
//! }));
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod calendar;
pub mod cli;
mod command;
pub mod config;
mod connection;
pub mod demo;
mod disk;
mod event;
mod fault;
pub mod fleet;
mod http;
pub mod kured;
mod listener;
mod node;
mod options;
pub mod pods;
mod server;
mod shared;
mod status;

pub use command::{Command, Effect, Ending, Refusal};
pub use disk::{Power, Saved};
pub use event::{Event, EventKind};
pub use fault::{Fault, Rule, Then};
pub use node::{Lock, Node};
pub use options::{LATEST, MANUAL, Options};
pub use server::Simulator;
pub use shared::{Request, View};
pub use status::{Image, LastCommand, Partition, State, Status};
