//! Errors of the file system: wrong kinds of files, limits, permissions, full or read-only
//! file systems.

use super::{
    CHECKER, End, INSTALLED, LEFTOVER, OTHER_USER, REBOOT, Scratch, UNCHANGED, UPDATED, done,
    failed, is_root, run,
};
use crate::common::program_path;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn names_the_path_that_is_in_the_way() {
    let scratch = Scratch::new("ways");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    fs::write(scratch.path("file"), "precious").unwrap();
    symlink("nowhere", scratch.path("link")).unwrap();
    symlink("round", scratch.path("round")).unwrap();
    fs::create_dir_all(scratch.path("blocked/bottlerocket-checker")).unwrap();
    let source = "; set -from to the directory that contains the programs";
    let target = "; move it away or choose another directory";
    for (from, into, why, advice) in [
        ("from", "file", "cannot open directory file: not a directory", target),
        ("from", "file/", "cannot open directory file: not a directory", target),
        ("from", "file/a/b", "cannot open directory file: not a directory", target),
        (
            "from",
            "opt/bottlerocket-checker/a",
            "cannot open directory opt/bottlerocket-checker: not a directory",
            target,
        ),
        (
            "from",
            "link",
            "cannot open directory link: no such file or directory",
            "; choose another directory",
        ),
        ("from", "round/a", "cannot open directory round: too many symbolic links", ""),
        ("from", "blocked", "cannot replace blocked/bottlerocket-checker: is a directory", target),
        ("nowhere", "opt", "cannot open directory nowhere: no such file or directory", source),
        ("from/a/b", "opt", "cannot open directory from/a: no such file or directory", source),
        ("file", "opt", "cannot open directory file: not a directory", source),
        (
            "opt/..",
            "opt",
            "cannot use opt/../bottlerocket-checker: no such file or directory",
            source,
        ),
    ] {
        assert_eq!(
            run(&mut scratch.install(&["-from", from, into])),
            failed(&format!("{why}{advice}")),
        );
    }
    scratch.assert_installed("opt", 1);
    assert_eq!(scratch.list("blocked"), [CHECKER]);
    assert_eq!(scratch.list("."), ["blocked", "file", "from", "link", "opt", "round"]);
    assert_eq!(fs::read(scratch.path("file")).unwrap(), b"precious");
}

#[test]
fn limit_of_open_files_is_an_error() {
    let scratch = Scratch::new("files");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    let mut succeeded = false;
    for limit in 3..16 {
        let first = format!("ulimit -n {limit}");
        let end = run(&mut scratch.install_after(&first, &["-from", "from", "opt"]));
        match end.status {
            Some(0) => {
                assert_eq!(end, done(UPDATED));
                succeeded = true;
                break;
            }
            _ => {
                assert_eq!((end.status, end.out.as_str()), (Some(3), ""), "{end:?}");
                assert!(end.err.ends_with(": too many open files\n"), "{end:?}");
                assert_eq!(end.err.lines().count(), 1);
                scratch.assert_installed("opt", 1);
            }
        }
    }
    assert!(succeeded);
    scratch.assert_installed("opt", 2);
}

#[test]
fn missing_permission_is_an_error() {
    // If the tests run as root, the program runs as another user. That user may not be
    // able to read the build directory, but can read this one.
    let scratch = Scratch::below(&std::env::temp_dir(), "permission");
    scratch.real_programs("real");
    assert_eq!(run(&mut scratch.install(&["-from", "real", "bin"])).status, Some(0));
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    let install = |arguments: &[&str]| {
        let mut command = Command::new(scratch.path("bin").join(CHECKER));
        command.args(arguments).current_dir(&scratch.0);
        if is_root() {
            command.uid(OTHER_USER).gid(OTHER_USER);
        }
        run(&mut command)
    };
    let set_mode = |path: &str, mode| {
        fs::set_permissions(scratch.path(path), Permissions::from_mode(mode)).unwrap();
    };
    for (path, mode, into, what) in [
        ("from", 0o000, "opt", "use from/bottlerocket-checker"),
        ("from/bottlerocket-reboot", 0o000, "opt", "use from/bottlerocket-reboot"),
        ("opt", 0o555, "opt", "create opt/.bottlerocket-checker.new"),
        ("opt", 0o555, "opt/a/b", "create directory opt/a"),
        ("opt", 0o333, "opt", "lock directory opt"),
        ("opt", 0o666, "opt", "lock directory opt"),
        ("opt", 0o666, "opt/a", "open directory opt/a"),
    ] {
        set_mode(path, mode);
        let why = "permission denied; check the user, the mode and the SELinux label";
        assert_eq!(
            install(&["-from", "from", into]),
            failed(&format!("cannot {what}: {why}")),
            "{path} with {mode:o}"
        );
        set_mode(path, 0o755);
        scratch.assert_installed("opt", 1);
    }

    fs::write(scratch.path("opt").join(LEFTOVER), "").unwrap();
    set_mode("opt", 0o555);
    assert_eq!(
        install(&["-from", "from", "opt"]),
        failed(
            "cannot remove opt/.bottlerocket-checker.new: permission denied; \
             check the user, the mode and the SELinux label"
        )
    );
    set_mode("opt", 0o755);
    fs::remove_file(scratch.path("opt").join(LEFTOVER)).unwrap();

    // An unchanged directory needs no write permission.
    scratch.programs("opt", 2);
    set_mode("opt", 0o555);
    assert_eq!(install(&["-from", "from", "opt"]), done(UNCHANGED));

    // An unreadable file is replaced.
    set_mode("opt", 0o755);
    if is_root() {
        chown(scratch.path("opt"), Some(OTHER_USER), None).unwrap();
    }
    set_mode("opt/bottlerocket-reboot", 0);
    assert_eq!(
        install(&["-from", "from", "opt"]),
        done("unchanged opt/bottlerocket-checker\nupdated opt/bottlerocket-reboot\n")
    );
    scratch.assert_installed("opt", 2);
}

/// Runs `script` in its own mount namespace, with the program as `$install`. Returns the
/// output, or `None` if this machine does not allow mounts.
#[track_caller]
fn run_with_mounts(scratch: &Scratch, script: &str) -> Option<String> {
    let unshare = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare
            .arg("-Urm")
            .args(command)
            .env("install", program_path("install"))
            .current_dir(&scratch.0);
        unshare.output().map(End::from)
    };
    let mount = "mount -t tmpfs none opt";
    match unshare(&["sh", "-c", mount]) {
        Ok(End { status: Some(0), .. }) => {}
        other => {
            println!("not tested, because this machine allows no mounts: {other:?}");
            return None;
        }
    }
    let end = unshare(&["sh", "-e", "-c", script]).unwrap();
    assert_eq!((end.status, end.err.as_str()), (Some(0), ""), "{}", end.out);
    Some(end.out)
}

#[test]
fn full_file_system_is_an_error() {
    let scratch = Scratch::new("full");
    scratch.programs("from", 2);
    scratch.programs("old", 1);
    fs::create_dir(scratch.path("opt")).unwrap();
    // Space for a part of another program, or for no more names.
    for (options, what, below, made) in [
        (
            "size=256k",
            "write opt/.bottlerocket-checker.new",
            "write opt/a/b/.bottlerocket-checker.new",
            // Directories take no space in a tmpfs.
            "a\n",
        ),
        ("nr_inodes=3", "create opt/.bottlerocket-checker.new", "create directory opt/a", ""),
    ] {
        let script = format!(
            "mount -t tmpfs -o mode=755,{options} none opt
             cp -p old/* opt
             $install -from from opt 2>&1 || echo $?
             cmp old/{CHECKER} opt/{CHECKER}
             cmp old/{REBOOT} opt/{REBOOT}
             ls -A opt
             $install -from from opt/a/b 2>&1 || echo $?
             ls -A opt
             mount -o remount,size=8m,nr_inodes=99 opt
             $install -from from opt
             $install -from from opt/a/b
             cmp from/{CHECKER} opt/{CHECKER}
             cmp from/{REBOOT} opt/a/b/{REBOOT}"
        );
        if let Some(out) = run_with_mounts(&scratch, &script) {
            let failed = |what| {
                format!(
                    "bottlerocket-install: cannot {what}: no space left on device; \
                     free some space and try again\n3\n"
                )
            };
            let (failed, below) = (failed(what), failed(below));
            let left = format!("{CHECKER}\n{REBOOT}\n");
            assert_eq!(
                out,
                format!(
                    "{failed}{left}{below}{made}{left}{UPDATED}\
                     installed opt/a/b/{CHECKER}\ninstalled opt/a/b/{REBOOT}\n"
                )
            );
        }
    }
}

#[test]
fn read_only_file_system_is_an_error() {
    let scratch = Scratch::new("read-only");
    scratch.programs("from", 2);
    scratch.programs("old", 1);
    fs::create_dir(scratch.path("opt")).unwrap();
    let script = format!(
        "mount -t tmpfs -o mode=755 none opt
         cp -p old/* opt
         mount -o remount,bind,ro opt
         $install -from from opt 2>&1 || echo $?
         $install -from from opt/a/b 2>&1 || echo $?
         $install -from old opt
         cmp old/{CHECKER} opt/{CHECKER}
         cmp old/{REBOOT} opt/{REBOOT}
         ls -A opt"
    );
    if let Some(out) = run_with_mounts(&scratch, &script) {
        let why = "read-only file system; mount the file system writable";
        assert_eq!(
            out,
            format!(
                "bottlerocket-install: cannot create opt/.bottlerocket-checker.new: {why}\n3\n\
                 bottlerocket-install: cannot create directory opt/a: {why}\n3\n\
                 {UNCHANGED}{CHECKER}\n{REBOOT}\n"
            )
        );
    }
}

#[test]
fn missing_proc_is_an_error() {
    let scratch = Scratch::new("no-proc");
    scratch.programs("from", 1);
    fs::create_dir(scratch.path("opt")).unwrap();
    let script = "mount -t tmpfs none /proc
                  $install opt 2>&1 || echo $?
                  $install -from from opt";
    if let Some(out) = run_with_mounts(&scratch, script) {
        assert_eq!(
            out,
            format!(
                "bottlerocket-install: cannot read link /proc/self/exe: no such file or directory; \
                 set -from to the directory that contains the programs\n3\n{INSTALLED}"
            )
        );
    }
}
