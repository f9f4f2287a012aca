//! The program in its own process: the signals that stop it.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::{env, fs};

/// Starts the program and waits until it listens.
fn start(socket: &Path, arguments: &[&str]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bottlerocket-simulator"))
        .arg("--socket")
        .arg(socket)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains(" listen"), "{line}");
    child
}

/// Sends a signal. Returns the exit status, or `None` if the signal killed the process.
fn stop(mut child: Child, signal: &str) -> Option<i32> {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
    child.wait().unwrap().code()
}

fn socket(name: &str) -> PathBuf {
    env::temp_dir().join(format!("simulator-{}-{name}.sock", process::id()))
}

fn connect_error(socket: &Path) -> Option<ErrorKind> {
    UnixStream::connect(socket).err().map(|error| error.kind())
}

#[test]
fn clean_stop_removes_the_socket_and_sigkill_leaves_it() {
    for (signal, status, error) in [
        ("-TERM", Some(0), ErrorKind::NotFound),
        ("-INT", Some(0), ErrorKind::NotFound),
        ("-KILL", None, ErrorKind::ConnectionRefused),
    ] {
        let socket = socket(signal);
        let child = start(&socket, &[]);
        assert_eq!(connect_error(&socket), None);
        assert_eq!(stop(child, signal), status, "{signal}");
        assert_eq!(connect_error(&socket), Some(error), "{signal}");
        let _ = fs::remove_file(&socket);
    }
}

#[test]
fn clean_stop_removes_the_sockets_of_all_nodes() {
    let path = socket("many");
    let sockets = ["1", "2", "3"].map(|number| path.with_extension(format!("sock.{number}")));
    let child = start(&path, &["--nodes", "3"]);
    for socket in &sockets {
        assert_eq!(connect_error(socket), None);
    }
    assert_eq!(stop(child, "-TERM"), Some(0));
    for socket in &sockets {
        assert_eq!(connect_error(socket), Some(ErrorKind::NotFound));
    }
}

#[test]
fn killed_server_is_replaced_at_the_next_start() {
    let socket = socket("replaced");
    assert_eq!(stop(start(&socket, &[]), "-KILL"), None);
    let child = start(&socket, &[]);
    assert_eq!(connect_error(&socket), None);
    assert_eq!(stop(child, "-TERM"), Some(0));
}
