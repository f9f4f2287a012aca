//! What the node programs share.
#![no_std]
#![forbid(unsafe_code)]
pub mod unix;
