//! The checker as it would be with `std` and lexopt, on the same protocol library.
//! `scripts/bench/bench-programs` compares the real checker with it.

use bottlerocket_updater::api::status::State;
use bottlerocket_updater::api::{Answer, Call, Exchange};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match check() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("plain-checker: {error}");
            ExitCode::from(3)
        }
    }
}

fn check() -> Result<u8, Box<dyn std::error::Error>> {
    let (mut socket, mut timeout) = (OsString::from("/run/api.sock"), 10);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("socket") => socket = parser.value()?,
            Long("timeout") => timeout = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(timeout)))?;
    stream.write_all(&Call::Status.request())?;
    let mut exchange = Exchange::new(Call::Status);
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if exchange.push(&buffer[..count]).map_err(|error| error.to_string())? || count == 0 {
            break;
        }
    }
    match exchange.finish().map_err(|error| error.to_string())? {
        Answer::Status(status) if status.state == State::Ready => {
            println!("yes: {status}");
            Ok(0)
        }
        Answer::Status(status) => {
            println!("no: {status}");
            Ok(1)
        }
        _ => {
            println!("no: no refresh since the node booted, or update lock held");
            Ok(1)
        }
    }
}
