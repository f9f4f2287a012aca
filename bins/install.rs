//! bottlerocket-install
#![no_std]
#![no_main]

mod start;

start::program!(main);

fn main(_arguments: start::Args) -> u8 {
    3
}
