//! The command line, and the exit statuses.

pub mod flags;

/// The exit statuses, the same in every program.
pub mod exit {
    /// Yes, or done.
    pub const SUCCESS: u8 = 0;
    /// No.
    pub const NEGATIVE: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// Could not find out, or could not do it.
    pub const FAILURE: u8 = 3;
}
