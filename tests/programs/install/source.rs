//! The programs to install, and where the program finds them.

use super::{CHECKER, INSTALLED, REBOOT, Scratch, UNCHANGED, done, failed, run};
use crate::common::program_path;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::{Command, id};

#[test]
fn refuses_a_source_that_is_not_a_program() {
    let scratch = Scratch::new("sources");
    scratch.programs("opt", 1);
    let source = scratch.path("from").join(REBOOT);
    let fresh = || {
        let _ = fs::remove_dir_all(scratch.path("from"));
        scratch.programs("from", 2);
        fs::remove_file(&source).unwrap();
    };
    let refused = |why: &str| {
        assert_eq!(
            run(&mut scratch.install(&["-from", "from", "opt"])),
            failed(&format!(
                "cannot use from/bottlerocket-reboot: {why}; \
                 set -from to the directory that contains the programs"
            ))
        );
        // The other program, which is valid and comes first, was not installed either.
        scratch.assert_installed("opt", 1);
        let end = run(&mut scratch.install(&["-from", "from", "new/opt"]));
        assert_eq!(end.status, Some(3));
        assert!(!scratch.path("new").exists());
    };

    fresh();
    refused("no such file or directory");
    symlink("nowhere", &source).unwrap();
    refused("no such file or directory");

    fresh();
    fs::write(&source, "").unwrap();
    refused("the file is empty");

    let file = File::create(&source).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    refused("the file is larger than 16 MiB");

    fresh();
    fs::create_dir(&source).unwrap();
    refused("not a regular file");

    fresh();
    symlink("/dev/zero", &source).unwrap();
    refused("not a regular file");

    fresh();
    let _socket = UnixListener::bind(&source).unwrap();
    refused("not a regular file");

    // Opening a FIFO without O_NONBLOCK would wait forever for a writer.
    fresh();
    assert!(Command::new("mkfifo").arg(&source).status().unwrap().success());
    refused("not a regular file");
}

#[test]
fn installs_a_program_of_the_maximum_size() {
    let scratch = Scratch::new("large");
    scratch.programs("from", 1);
    let source = OpenOptions::new().write(true).open(scratch.path("from").join(CHECKER)).unwrap();
    source.set_len(16 << 20).unwrap();
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(INSTALLED));
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UNCHANGED));
    let [source, target] = ["from", "opt"].map(|dir| fs::read(scratch.path(dir).join(CHECKER)));
    assert!(source.unwrap() == target.unwrap());
}

#[test]
fn installs_from_its_own_directory_by_default() {
    let scratch = Scratch::new("beside");
    let end = run(&mut scratch.install(&["opt"]));
    assert_eq!(end, done(INSTALLED));
    let built = ["checker", "reboot"].map(program_path);
    for (name, built) in [CHECKER, REBOOT].into_iter().zip(built) {
        let installed = scratch.path("opt").join(name);
        assert!(fs::read(&installed).unwrap() == fs::read(&built).unwrap());
        assert_eq!(
            run(Command::new(installed).arg("--version")).status,
            run(Command::new(built).arg("--version")).status
        );
    }

    // Started through a link, it uses the directory of its real file.
    symlink(program_path("install"), scratch.path("link")).unwrap();
    let mut command = Command::new(scratch.path("link"));
    assert_eq!(run(command.arg("opt").current_dir(&scratch.0)), done(UNCHANGED));
}

#[test]
fn finds_its_directory_after_its_file_was_removed() {
    let scratch = Scratch::new("gone");
    scratch.real_programs("from");
    assert_eq!(run(&mut scratch.install(&["-from", "from", "home"])).status, Some(0));
    let path = scratch.path("home").join(CHECKER);
    let file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    scratch.programs("home", 1);

    // The kernel now calls the file "home/bottlerocket-checker (deleted)".
    let program = format!("/proc/{}/fd/{}", id(), file.as_raw_fd());
    let mut command = Command::new(&program);
    assert_eq!(run(command.arg("opt").current_dir(&scratch.0)), done(INSTALLED));
    scratch.assert_installed("opt", 1);

    fs::remove_dir_all(scratch.path("home")).unwrap();
    let end = run(&mut command);
    let missing = scratch.path("home").into_os_string().into_string().unwrap();
    assert_eq!(
        end,
        failed(&format!(
            "cannot open directory {missing}: no such file or directory; \
             set -from to the directory that contains the programs"
        ))
    );
}

#[test]
fn path_of_its_own_directory_that_is_too_long_is_an_error() {
    let scratch = Scratch::new("untold");
    scratch.real_programs("from");
    let name = "d".repeat(255);
    let path = [name.as_str(); 20].join("/");
    assert_eq!(run(&mut scratch.install(&["-from", "from", &path])).status, Some(0));

    // The path is too long for one system call.
    let mut place = File::open(&scratch.0).unwrap();
    for name in path.split('/') {
        place = File::open(format!("/proc/self/fd/{}/{name}", place.as_raw_fd())).unwrap();
    }
    let place = format!("/proc/{}/fd/{}", id(), place.as_raw_fd());
    let mut command = Command::new(format!("{place}/{CHECKER}"));
    command.current_dir(&scratch.0);
    assert_eq!(
        run(command.arg("opt")),
        failed(
            "cannot read link /proc/self/exe: name too long; \
             set -from to the directory that contains the programs"
        )
    );
    assert_eq!(run(command.args(["-from", "from"])).status, Some(0));
}
