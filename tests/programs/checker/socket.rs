//! Errors of the socket.

use super::{JUST_BOOTED, MISSING, STEPS, failed, printed};
use crate::common::{
    Directory, Node, forbid, leave_stale_socket, program, program_as_other_user, run,
};
use bottlerocket_simulator::{Options, Simulator};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;

const DIRECTORY: &str = "cannot connect: is a directory (the API server cannot start while this \
                         directory exists: remove it on the node)";

const REFUSED: &str = "cannot connect: connection refused (is the API server running? \
                       if it has made a new socket, restart the container that still mounts the old one)";

#[test]
fn describes_errors_of_the_socket() {
    let directory = Directory::new();
    let path = |name: &str| directory.path().join(name);
    File::create(path("file")).unwrap();
    leave_stale_socket(&path("stale"));
    let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
    symlink("loop", path("loop")).unwrap();
    let too_long = "x".repeat(109 - path("").as_os_str().len());
    for (socket, shown, why) in [
        ("no.sock", "no.sock", MISSING),
        ("more than\none \u{1b}[31mline", "more than one line", MISSING),
        (
            "file/api.sock",
            "file/api.sock",
            "cannot connect: not a directory \
             (is the API server running? is this a Bottlerocket node, and is the socket mounted here?)",
        ),
        ("file", "file", REFUSED),
        (".", ".", DIRECTORY),
        ("stale", "stale", REFUSED),
        ("datagrams", "datagrams", "cannot connect: wrong type of socket"),
        ("loop", "loop", "cannot connect: too many symbolic links"),
        (&too_long, &too_long, "cannot connect: name too long"),
    ] {
        let ran = run(program("checker").arg("-socket").arg(path(socket)));
        let shown = path("").to_str().unwrap().to_string() + shown;
        assert_eq!(ran, failed(&format!("{shown}: {why}")), "{socket}");
    }
}

#[test]
fn accepts_the_longest_path_of_a_socket() {
    let directory = Directory::new();
    let length = 107 - directory.path().join("").as_os_str().len();
    let socket = directory.path().join("x".repeat(length));
    let _node = Simulator::start(&socket, Options::default()).unwrap();
    let ran = run(program("checker").arg("-socket").arg(&socket));
    assert_eq!(ran, printed(1, JUST_BOOTED));
}

#[test]
fn describes_a_missing_permission() {
    let node = Node::after(&STEPS);
    let directory = Directory::new();
    forbid(node.path());
    let mut command = program_as_other_user("checker", &directory);
    let mut ran = run(command.arg("-socket").arg(node.path()));
    ran.stderr = node.mask(&ran.stderr);
    let why = "SOCKET: cannot connect: permission denied \
               (needs uid 0 or group 274, and the SELinux type control_t)";
    assert_eq!(ran, failed(why));
    assert_eq!(node.requested(), [""; 0]);
}

/// The updater runs as such a user. The kernel denies it the directory.
#[test]
fn describes_a_directory_of_another_user() {
    let (directory, socket) = (Directory::new(), Directory::new());
    fs::set_permissions(socket.path(), Permissions::from_mode(0o555)).unwrap();
    let ran = run(program_as_other_user("checker", &directory).arg("-socket").arg(socket.path()));
    assert_eq!(ran, failed(&format!("{}: {DIRECTORY}", socket.path().display())));
}
