//! Hostile files, and answers that no API should give. None of them holds a node that
//! need not be held, and none lets Kured start on a node that is held.

use super::Host;
use crate::common::daemon::Running;
use crate::common::{CannedServer, Directory};
use bottlerocket_simulator::{Fault, Lock, Rule};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Puts something hostile at a path.
type Make = fn(&Path);

fn fifo(path: &Path) {
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path.to_str().unwrap(), FileType::Fifo, mode, 0).unwrap();
}

/// What can be in the place of a file, and the error in the log.
const FILES: [(&str, Make, &str); 8] = [
    ("huge", |path| fs::write(path, vec![b'x'; 8 << 20]).unwrap(), ""),
    ("binary", |path| fs::write(path, (0..=255).collect::<Vec<u8>>()).unwrap(), ""),
    ("zeros", |path| fs::write(path, [0; 400]).unwrap(), ""),
    ("empty", |path| fs::write(path, "").unwrap(), ""),
    ("terminal", |path| fs::write(path, "VERSION_ID=\x1b[31m1\u{202e}\n").unwrap(), ""),
    ("directory", |path| fs::create_dir(path).unwrap(), "is a directory"),
    ("FIFO", fifo, ""),
    ("loop", |path| symlink(path.file_name().unwrap(), path).unwrap(), "too many symbolic links"),
];

fn or<'a>(error: &'a str, contents: &'a str) -> &'a str {
    if error.is_empty() { contents } else { error }
}

#[test]
fn hostile_record_is_told_and_does_not_hold() {
    for (what, make, error) in FILES {
        let host = Host::rolled_back(2);
        fs::remove_file(host.path("record")).unwrap();
        make(&host.path("record"));
        let error = or(error, "the file is damaged");
        let mut expected = vec![
            format!("record_unreadable tried=read the record path=DIR/record error={error}"),
            "opened reason=no_record running=1.26.0 waited=_".into(),
        ];
        if what == "directory" {
            let failed = "record_not_saved tried=remove the record path=DIR/record error=";
            expected.push(format!("{failed}{error}"));
        }
        assert_eq!(host.events(0, &[]), expected, "{what}");
        let is_left = fs::symlink_metadata(host.path("record")).is_ok();
        assert_eq!(is_left, what == "directory", "{what}");
    }
}

#[test]
fn truncated_record_is_damaged() {
    let host = Host::rolled_back(2);
    let record = fs::read(host.path("record")).unwrap();
    for length in [1, 10, record.len() / 2, record.len() - 1] {
        fs::write(host.path("record"), &record[..length]).unwrap();
        let events = host.events(0, &[]);
        assert!(events[0].starts_with("record_unreadable "), "{events:?}");
    }
}

#[test]
fn hostile_boot_id_is_told_and_does_not_hold() {
    for (what, make, error) in FILES {
        if matches!(what, "huge") {
            // Its first bytes are an id, of another boot.
            continue;
        }
        let host = Host::rolled_back(2);
        fs::remove_file(host.path("boot_id")).unwrap();
        make(&host.path("boot_id"));
        let error = or(error, "invalid argument");
        let unreadable = "record_unreadable tried=read the boot id path=DIR/boot_id error=";
        let expected = [format!("{unreadable}{error}"), super::opened("unknown_boot")];
        assert_eq!(host.events(0, &[]), expected, "{what}");
    }
}

#[test]
fn hostile_os_release_is_told_and_does_not_hold() {
    for (what, make, error) in FILES {
        let host = Host::rolled_back(2);
        fs::remove_file(host.path("os-release")).unwrap();
        make(&host.path("os-release"));
        let error = or(error, "the file has no VERSION_ID");
        let expected = [
            format!("version_unreadable path=DIR/os-release error={error}"),
            "opened reason=unknown_version version=1.26.1 waited=_".into(),
        ];
        assert_eq!(host.events(0, &[]), expected, "{what}");
    }
    let host = Host::rolled_back(2);
    fs::remove_file(host.path("os-release")).unwrap();
    let events = host.events(0, &[]);
    let error = "no such file or directory";
    assert_eq!(events[0], format!("version_unreadable path=DIR/os-release error={error}"));
}

#[test]
fn record_that_becomes_unreadable_opens_and_is_no_release() {
    let host = Host::rolled_back(2);
    let gate = host.hold(&[]);
    // Whole at once, as another program might do it.
    fs::write(host.path("other"), "x").unwrap();
    fs::rename(host.path("other"), host.path("record")).unwrap();
    let (status, events) = host.end(gate);
    assert_eq!(status, Some(0));
    assert_eq!(events[2], "opened reason=no_record running=1.26.0 waited=_", "{events:?}");
}

#[test]
fn hostile_answers_do_not_open() {
    let ok = |body: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let answers = [
        Vec::new(),
        b"garbage".to_vec(),
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ok("{}"),
        ok("[]"),
        ok("{\"update_state\":\"Done\",\"chosen_update\":null}"),
        ok("{\"update_state\":\"Idle\",\"chosen_update\":null}"),
        ok("{\"update_state\":\"Ready\"}").split_off(1),
        vec![b'x'; 1 << 20],
    ];
    let host = Host::rolled_back(2);
    for answer in answers {
        let server = CannedServer::start(vec![answer.clone()]);
        let mut command = server.program("gate");
        for (flag, name) in
            [("-record", "record"), ("-boot-id", "boot_id"), ("-os-release", "os-release")]
        {
            command.arg(flag).arg(host.path(name));
        }
        let mut gate = Running::start(command.args(["-test-interval=5ms", "-give-up=1ms"]));
        gate.wait_for("event=held_by_gate");
        while server.requested().len() < 3 {
            std::thread::yield_now();
        }
        assert_eq!(gate.child.try_wait().unwrap(), None, "{answer:?}");
        assert!(host.record().is_some());
    }
}

#[test]
fn lock_and_broken_connections_do_not_keep_the_longest_wait_from_its_end() {
    let host = Host::rolled_back(2);
    host.node.set_lock(Some(Lock::Exclusive));
    let mut gate = host.hold(&[]);
    host.still_holds(&mut gate);
    let events = host.events(0, &["-max-wait=300ms"]);
    assert_eq!(events.last(), Some(&super::opened("max_wait")), "{events:?}");
    drop(gate);
    host.write_record("an-earlier-boot", 2);
    host.node.inject(Rule::from(Fault::close()).forever());
    let events = host.events(0, &["-max-wait=300ms"]);
    assert_eq!(events.last(), Some(&super::opened("max_wait")), "{events:?}");
}

#[test]
fn directory_in_place_of_the_socket_is_given_up() {
    let host = Host::rolled_back(2);
    let directory = Directory::new();
    let socket = directory.path().to_str().unwrap();
    let events = host.events(3, &["-give-up=50ms", "-socket", socket]);
    assert!(events[0].contains("remove it on the node"), "{events:?}");
    assert!(events.last().unwrap().starts_with("gave_up "), "{events:?}");
    assert!(host.record().is_some());
}
