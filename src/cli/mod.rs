//! The command line: flags as Go's programs take them, the help that describes
//! them, and the exit statuses.

pub mod exit;
pub mod flags;
pub mod help;
pub mod value;
