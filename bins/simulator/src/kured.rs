//! A stand-in for Kured that keeps its rules: the lock, the cordon, the drain, and when it
//! calls the checker and the reboot program.
//!
//! [`Cluster`] is what Kubernetes keeps: the lock, and which nodes are cordoned. Each node
//! has a Kured. [`Cluster::start`] is its start and [`Cluster::turn`] is a period of its.
//!
//! | when | what Kured does |
//! |---|---|
//! | it starts on a node that holds the lock | it uncordons the node and releases the lock, before it does anything else |
//! | the checker exits with 0 | it takes the lock if that is free, cordons and drains the node, and runs the reboot program |
//! | the reboot program exits with 0 | it waits for ever, and the lock stays |
//! | the reboot program fails | it exits, and starts again |

use std::io;

/// A program that Kured calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The reboot sentinel command.
    Checker,
    /// The reboot command.
    Reboot,
}

/// How a period of a node's Kured ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The checker ended with this exit status. Only 0 means that a reboot is required.
    NotRequired(i32),
    /// A reboot is required, but this other node holds the lock.
    LockHeld(usize),
    /// The node was drained, and the reboot program said that the reboot is on its way.
    Rebooting,
    /// The node was drained, but the reboot program failed with this exit status. Kured
    /// starts again.
    RebootFailed(i32),
}

/// The lock of Kured, and the nodes. A node is a number, from 0.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// How many nodes may hold the lock.
    concurrency: usize,
    /// The nodes that hold the lock.
    holders: Vec<usize>,
    cordoned: Vec<bool>,
    drains: Vec<u32>,
    most_cordoned: usize,
}

impl Cluster {
    /// A cluster with this many nodes, and Kured's `--concurrency`.
    pub fn new(nodes: usize, concurrency: usize) -> Cluster {
        Cluster {
            concurrency,
            holders: Vec::new(),
            cordoned: vec![false; nodes],
            drains: vec![0; nodes],
            most_cordoned: 0,
        }
    }

    /// Whether the node holds the lock.
    pub fn holds_lock(&self, node: usize) -> bool {
        self.holders.contains(&node)
    }

    /// Whether the node is cordoned.
    pub fn is_cordoned(&self, node: usize) -> bool {
        self.cordoned[node]
    }

    /// How often the node was drained.
    pub fn drains(&self, node: usize) -> u32 {
        self.drains[node]
    }

    /// The most nodes that were cordoned at one time.
    pub fn most_cordoned(&self) -> usize {
        self.most_cordoned
    }

    /// Kured's container starts on a node, after all init containers. Returns whether it
    /// has uncordoned the node and released the lock.
    pub fn start(&mut self, node: usize) -> bool {
        let held = self.holds_lock(node);
        if held {
            self.cordoned[node] = false;
            self.holders.retain(|holder| *holder != node);
        }
        held
    }

    /// A period of Kured on a node that does not wait for its reboot. `run` runs a program
    /// on the node and returns its exit status.
    ///
    /// # Errors
    /// `run` failed.
    pub fn turn(
        &mut self,
        node: usize,
        run: &mut dyn FnMut(Program) -> io::Result<i32>,
    ) -> io::Result<Turn> {
        let exit_status = run(Program::Checker)?;
        if exit_status != 0 {
            return Ok(Turn::NotRequired(exit_status));
        }
        if !self.holds_lock(node) {
            if let Some(other) = self.holders.first()
                && self.holders.len() >= self.concurrency
            {
                return Ok(Turn::LockHeld(*other));
            }
            self.holders.push(node);
        }
        self.cordoned[node] = true;
        let cordoned = self.cordoned.iter().filter(|cordoned| **cordoned).count();
        self.most_cordoned = self.most_cordoned.max(cordoned);
        self.drains[node] += 1;
        let exit_status = run(Program::Reboot)?;
        if exit_status == 0 {
            return Ok(Turn::Rebooting);
        }
        self.start(node);
        Ok(Turn::RebootFailed(exit_status))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cluster, Program, Turn};

    /// The exit statuses of the checker and of the reboot program.
    fn turn(cluster: &mut Cluster, node: usize, checker: i32, reboot: i32) -> Turn {
        let mut run = |program| {
            Ok(match program {
                Program::Checker => checker,
                Program::Reboot => reboot,
            })
        };
        cluster.turn(node, &mut run).unwrap()
    }

    #[test]
    fn lock_is_kept_until_kured_starts_on_its_node() {
        let mut cluster = Cluster::new(3, 1);
        assert_eq!(turn(&mut cluster, 0, 1, 0), Turn::NotRequired(1));
        assert_eq!(turn(&mut cluster, 0, 3, 0), Turn::NotRequired(3));
        assert_eq!(turn(&mut cluster, 0, 0, 0), Turn::Rebooting);
        assert!(cluster.holds_lock(0) && cluster.is_cordoned(0));
        assert_eq!(turn(&mut cluster, 1, 0, 0), Turn::LockHeld(0));
        assert!(!cluster.start(2));
        assert_eq!(turn(&mut cluster, 2, 0, 0), Turn::LockHeld(0));
        assert!(cluster.start(0));
        assert!(!cluster.holds_lock(0) && !cluster.is_cordoned(0));
        assert_eq!(turn(&mut cluster, 1, 0, 0), Turn::Rebooting);
        assert_eq!([0, 1, 2].map(|node| cluster.drains(node)), [1, 1, 0]);
        assert_eq!(cluster.most_cordoned(), 1);
    }

    #[test]
    fn failed_reboot_releases_the_lock_and_drains_again() {
        let mut cluster = Cluster::new(2, 1);
        for drains in 1..=2 {
            assert_eq!(turn(&mut cluster, 0, 0, 3), Turn::RebootFailed(3));
            assert!(!cluster.holds_lock(0) && !cluster.is_cordoned(0));
            assert_eq!(cluster.drains(0), drains);
        }
    }

    #[test]
    fn concurrency_is_the_number_of_nodes_that_hold_the_lock() {
        let mut cluster = Cluster::new(3, 2);
        assert_eq!(turn(&mut cluster, 0, 0, 0), Turn::Rebooting);
        assert_eq!(turn(&mut cluster, 1, 0, 0), Turn::Rebooting);
        assert_eq!(turn(&mut cluster, 2, 0, 0), Turn::LockHeld(0));
        assert_eq!(cluster.most_cordoned(), 2);
    }
}
