//! A server with fixed answers: what a client does is timed, not what the server does.
//!
//! usage: canned-server SOCKET FILE
//!
//! Listens on the Unix socket SOCKET. On each connection it receives one request, answers
//! a GET with the bytes of FILE and a POST with a 204, and closes the connection. It serves
//! one connection after the other.

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let [_, socket, file] = &arguments[..] else {
        return Err("usage: canned-server SOCKET FILE".into());
    };
    let answer = fs::read(file)?;
    let listener = UnixListener::bind(socket)?;
    println!("listening");
    for stream in listener.incoming() {
        // A client that has gone is no reason to stop.
        let _ = serve(stream?, &answer);
    }
    Ok(())
}

fn serve(mut stream: UnixStream, answer: &[u8]) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let received = stream.read(&mut buffer)?;
        if received == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..received]);
    }
    let is_get = request.starts_with(b"GET ");
    stream.write_all(if is_get { answer } else { b"HTTP/1.1 204 No Content\r\n\r\n" })
}
