//! Running programs, concurrent installs, failed writes, kills.

use super::{CHECKER, End, INSTALLED, LEFTOVER, REBOOT, SIZE, Scratch, UPDATED, done, failed, run};
use crate::common::program_path;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes the program writes at once.
const CHUNK: usize = 16 << 10;

const SIGKILL: i32 = 9;

/// Starts an installed program that waits for the lock of `locked`: it has the name of
/// the checker, but is `bottlerocket-install`.
fn start_waiting(scratch: &Scratch, locked: &str) -> (Child, File) {
    fs::create_dir(scratch.path(locked)).unwrap();
    let lock = File::open(scratch.path(locked)).unwrap();
    lock.lock().unwrap();
    let mut command = Command::new(scratch.path("opt").join(CHECKER));
    command.args(["-from", "other", locked]).current_dir(&scratch.0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    (command.spawn().unwrap(), lock)
}

#[test]
fn replaces_a_program_that_is_running() {
    let scratch = Scratch::new("running");
    scratch.real_programs("from");
    scratch.programs("other", 1);
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(INSTALLED));
    let (mut running, lock) = start_waiting(&scratch, "locked");

    // The file of a running program cannot be written, so the program is running.
    let target = scratch.path("opt").join(CHECKER);
    let error = OpenOptions::new().write(true).open(target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ExecutableFileBusy);

    assert_eq!(run(&mut scratch.install(&["-from", "other", "opt"])), done(UPDATED));
    scratch.assert_installed("opt", 1);

    // The running program keeps its old file and finishes.
    assert_eq!(running.try_wait().unwrap(), None);
    drop(lock);
    let out = "installed locked/bottlerocket-checker\ninstalled locked/bottlerocket-reboot\n";
    assert_eq!(End::from(running.wait_with_output().unwrap()), done(out));
    scratch.assert_installed("locked", 1);
}

#[test]
fn waits_while_another_install_holds_the_lock() {
    let scratch = Scratch::new("waiting");
    scratch.real_programs("from");
    scratch.programs("other", 1);
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(INSTALLED));
    let (mut waiting, lock) = start_waiting(&scratch, "locked");
    thread::sleep(Duration::from_millis(200));
    assert_eq!(waiting.try_wait().unwrap(), None);
    assert_eq!(scratch.list("locked"), [""; 0]);
    drop(lock);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    scratch.assert_installed("locked", 1);
}

#[test]
fn lock_that_is_never_released_times_out() {
    let scratch = Scratch::new("locked");
    scratch.programs("from", 1);
    fs::create_dir(scratch.path("opt")).unwrap();
    let lock = File::open(scratch.path("opt")).unwrap();
    lock.lock().unwrap();
    let start = Instant::now();
    assert_eq!(
        run(&mut scratch.install(&["-from", "from", "opt"])),
        failed(
            "cannot lock directory opt: another install has held the lock for 10 seconds; try again"
        )
    );
    assert!(start.elapsed() >= Duration::from_secs(10));
    assert_eq!(scratch.list("opt"), [""; 0]);
}

#[test]
fn concurrent_installs_do_not_mix_their_files() {
    let scratch = Scratch::new("at-once");
    for version in 1..=3 {
        scratch.programs(&format!("from{version}"), version);
    }
    for round in 0..25 {
        // In every second round the directory does not exist yet.
        let into = format!("a{}/b/opt", round / 2);
        let running: Vec<_> = (1..=3)
            .map(|version| {
                let mut command = scratch.install(&["-from", &format!("from{version}"), &into]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in running {
            let end = End::from(child.wait_with_output().unwrap());
            assert_eq!((end.status, end.err.as_str()), (Some(0), ""));
            assert_eq!(end.out.lines().count(), 2);
        }
        // Both programs come from the same install, the last one.
        let version = scratch.version(&into, CHECKER).unwrap();
        scratch.assert_installed(&into, version);
    }
}

#[test]
fn failed_write_leaves_the_old_file_and_nothing_else() {
    let scratch = Scratch::new("limit");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    // The limit is in units of 512 bytes.
    for limit in (0..=SIZE / 512).step_by(13) {
        let first = format!("ulimit -f {limit}");
        assert_eq!(
            run(&mut scratch.install_after(&first, &["-from", "from", "opt"])),
            failed("cannot write opt/.bottlerocket-checker.new: file too large"),
            "{limit}"
        );
        scratch.assert_installed("opt", 1);
    }
}

#[test]
fn killed_write_leaves_the_old_file_and_the_next_run_cleans_up() {
    let scratch = Scratch::new("death");
    scratch.programs("from", 2);
    let program = program_path("install");
    if !fs::read(&program).unwrap().starts_with(b"\x7fELF") {
        println!("not tested, because another program runs this one");
        return;
    }
    // strace kills the program at one of its writes, which does not write any more.
    for write in 1..=SIZE / CHUNK {
        scratch.programs("opt", 1);
        let mut command = Command::new("strace");
        command
            .args(["-o", "/dev/null", "-e"])
            .arg(format!("inject=write:signal=KILL:when={write}"));
        command.arg(&program).args(["-from", "from", "opt"]).current_dir(&scratch.0);
        let status = match command.status() {
            Ok(status) if status.signal().is_some() => status,
            other => {
                println!("not tested, because strace cannot kill the program: {other:?}");
                return;
            }
        };
        assert_eq!(status.signal(), Some(SIGKILL), "{write}");
        assert_eq!(scratch.list("opt"), [LEFTOVER, CHECKER, REBOOT], "{write}");
        let leftover = fs::metadata(scratch.path("opt").join(LEFTOVER)).unwrap();
        assert_eq!(leftover.mode() & 0o777, 0o600);
        assert!(leftover.len() < SIZE as u64, "{write}");
        assert_eq!(scratch.version("opt", CHECKER), Some(1));

        assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UPDATED));
        scratch.assert_installed("opt", 2);
    }
}

#[test]
fn kill_at_any_moment_leaves_whole_programs() {
    const ROUNDS: u32 = 200;
    let scratch = Scratch::new("kill");
    for version in [1, 2] {
        scratch.programs(&format!("from{version}"), version);
    }
    scratch.programs("opt", 1);
    let start = Instant::now();
    for version in [2, 1, 2, 1] {
        let from = format!("from{version}");
        assert_eq!(run(&mut scratch.install(&["-from", &from, "opt"])), done(UPDATED));
    }
    let usual = start.elapsed() / 4;

    let (mut killed, mut leftovers) = (0, 0);
    for round in 0..ROUNDS {
        let from = if round % 2 == 0 { "from2" } else { "from1" };
        let mut command = scratch.install(&["-from", from, "opt"]);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(usual * round / ROUNDS);
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().signal().is_some());

        for name in [CHECKER, REBOOT] {
            assert!(matches!(scratch.version("opt", name), Some(1 | 2)));
        }
        let others = scratch.list("opt").len() - 2;
        assert!(others <= 1);
        leftovers += others;
    }
    println!("{killed} of {ROUNDS} installs were killed, {leftovers} left a file behind");
    assert_eq!(run(&mut scratch.install(&["-from", "from2", "opt"])).status, Some(0));
    scratch.assert_installed("opt", 2);
}
