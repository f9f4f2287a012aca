//! The demo, when a program fails. The tests of whole programs have the whole demo.

use super::{LONG, fresh};
use bottlerocket_simulator::demo::Demo;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;

/// Shell scripts in place of the programs.
fn stand_ins(checker: &str, updater: &str, reboot: &str) -> PathBuf {
    let directory = fresh("programs");
    fs::create_dir(&directory).unwrap();
    for (name, script) in [("checker", checker), ("updater", updater), ("reboot", reboot)] {
        let path = directory.join(format!("bottlerocket-{name}"));
        // Another process writes the script. A child process that another test starts
        // would have a copy of this process's file, and an open file cannot be executed.
        let wrote = process::Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$2\" && chmod 755 \"$2\"",
                "sh",
                script,
            ])
            .arg(&path)
            .status();
        assert!(wrote.unwrap().success());
    }
    directory
}

#[test]
fn demo_stops_at_the_first_unexpected_exit_status() {
    let twice = "test -e $0.asked && exit 0; touch $0.asked; echo not yet; exit 1";
    let cases = [
        ("echo oh no >&2; exit 3", "", "", "  oh no\nexit status 3, expected 1\n"),
        ("kill -9 $$", "", "", "signal: 9 (SIGKILL), expected exit status 1\n"),
        (twice, "exec sleep 60", "", "timed out after 5s, killed\n"),
        (twice, "while :; do echo x; done", "", "timed out after 5s, killed\n"),
        (twice, "echo \"$3\"", "exit 1", "exit status 1, expected 0\n"),
        (twice, "echo \"$3\"", "", "The node has not rebooted.\n"),
    ];
    // All cases at the same time, because two of them take five seconds.
    thread::scope(|scope| {
        for (checker, updater, reboot, end) in cases {
            scope.spawn(move || {
                let programs = stand_ins(checker, updater, reboot);
                let mut out = Vec::new();
                let deadline = if end.contains("5s") { Duration::from_secs(5) } else { LONG };
                let demo = Demo { programs: programs.clone(), colour: false, deadline };
                assert!(!demo.run(&mut out).unwrap(), "{checker}, {updater}, {reboot}");
                let out = String::from_utf8(out).unwrap();
                let end = format!("{end}\nThe demo failed.\n");
                assert!(out.ends_with(&end), "{out}");
                fs::remove_dir_all(programs).unwrap();
            });
        }
    });

    let missing = Demo { programs: "/nowhere".into(), colour: false, deadline: LONG };
    assert_eq!(
        missing.run(&mut Vec::new()).unwrap_err().to_string(),
        "/nowhere/bottlerocket-checker does not exist: build the programs with \
         `cargo build --release`, or name their directory with --programs"
    );
}
