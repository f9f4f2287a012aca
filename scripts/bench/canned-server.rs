//! A server with one answer: what a client does is timed, not the server.
//!
//! usage: canned-server SOCKET FILE
//!
//! Listens on the Unix socket SOCKET. On each connection it receives one request, sends
//! the bytes of FILE, and closes. It serves one connection after the other.

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let [_, socket, file] = &arguments[..] else { return Err("needs a socket and a file".into()) };
    let answer = fs::read(file)?;
    let listener = UnixListener::bind(socket)?;
    println!("listening");
    for stream in listener.incoming() {
        // A client that has gone is no reason to stop.
        let _ = serve(stream?, &answer);
    }
    Ok(())
}

fn serve(mut stream: UnixStream, answer: &[u8]) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let received = stream.read(&mut buffer)?;
        if received == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..received]);
    }
    stream.write_all(answer)
}
