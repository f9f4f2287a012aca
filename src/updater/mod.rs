//! What only the updater has.

pub mod commands;
pub mod config;
pub mod cycle;
pub mod daemon;
pub mod event;
pub mod history;
pub mod log;
pub mod metrics;
pub mod pages;
pub mod plan;
pub mod reporter;
pub mod serving;
pub mod state_file;
pub mod window;
