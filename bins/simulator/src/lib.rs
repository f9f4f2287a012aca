//! A Bottlerocket node's update API, simulated on a Unix socket.
//!
//! [`Node`] is the node itself: a state machine that takes the time as an
//! argument and knows no socket. [`Simulator`] serves one on a socket from
//! background threads, keeps a log of the requests, and damages answers when
//! a test asks for it with a [`Rule`].
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
pub mod demo;
mod event;
mod fault;
pub mod fleet;
mod http;
mod node;
mod server;
mod status;

pub use event::{Event, EventKind};
pub use fault::{Fault, Rule, Then};
pub use node::{Command, Ending, LATEST, Lock, MANUAL, Node, Options, Refusal};
pub use server::{Request, Simulator, View};
pub use status::{Image, LastCommand, Partition, State, Status};
