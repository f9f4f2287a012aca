//! Flags, and closed standard streams.

use super::{CHECKER, End, LEFTOVER, Scratch, done, run};
use std::fs;

#[test]
fn flags_follow_the_rules_of_go() {
    let scratch = Scratch::new("arguments");
    scratch.programs("from", 1);
    for arguments in [
        &["-from", "from", "opt"] as &[&str],
        &["--from", "from", "opt"],
        &["-from=from", "opt"],
        &["--from=from", "opt"],
        &["opt", "-from", "from"],
        &["-from", "from", "--", "opt"],
        &["-from", "nowhere", "-from", "from", "opt"],
    ] {
        assert_eq!(run(&mut scratch.install(arguments)).status, Some(0), "{arguments:?}");
        scratch.assert_installed("opt", 1);
        fs::remove_dir_all(scratch.path("opt")).unwrap();
    }

    for (arguments, why) in [
        (&[] as &[&str], "missing argument DIR"),
        (&["-from", "from"], "missing argument DIR"),
        (&["--"], "missing argument DIR"),
        (&[""], "missing argument DIR"),
        (&["-remove"], "missing argument DIR"),
        (&["-remove", "-wait"], "missing argument DIR"),
        (&["-gate-socket", "/run/api.sock", "-state-dir", "state"], "missing argument DIR"),
        (&["-gate-socket", "/run/api.sock", "-wait"], "missing argument DIR"),
        (&["opt", "-remove=yes"], "bad value \"yes\" for flag -remove: it takes false or true"),
        (&["opt", "more"], "unexpected argument \"more\""),
        (&["-from", "from", "opt", "more"], "unexpected argument \"more\""),
        (&["-form", "from", "opt"], "unknown flag \"-form\""),
        (&["opt", "--force=yes"], "unknown flag \"--force=yes\""),
        (&["opt", "-from"], "flag -from needs a value"),
        (&["opt", "-from="], "flag -from needs a value"),
        (&["-from", "", "opt"], "flag -from needs a value"),
    ] {
        let end = run(&mut scratch.install(arguments));
        let err = format!("bottlerocket-install: {why}; see bottlerocket-install --help\n");
        assert_eq!(end, End { status: Some(2), out: String::new(), err }, "{arguments:?}");
    }
    assert_eq!(scratch.list("."), ["from"]);

    for help in ["-h", "--h", "-help", "--help"] {
        let end = run(&mut scratch.install(&[help]));
        assert_eq!((end.status, end.err.as_str()), (Some(0), ""));
        assert!(end.out.starts_with("Usage: bottlerocket-install [flags] [DIR]\n"));
        for part in ["-from DIR", "(default: ", "-help", "-version", "Exit status:", "Example:"] {
            assert!(end.out.contains(part), "{part}");
        }
    }
    let version = concat!("bottlerocket-install ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&mut scratch.install(&["--version"])), done(version));
}

#[test]
fn closed_standard_streams_do_not_become_files() {
    let scratch = Scratch::new("streams");
    let closed = ["<&-", ">&-", "2>&-"];
    for choice in 0..8u8 {
        let close: Vec<_> =
            (0..3).filter(|bit| choice & (1 << bit) != 0).map(|bit| closed[bit]).collect();
        let close = format!("exec {}", close.join(" "));
        for version in [1, 2] {
            scratch.programs("from", version);
            let end = run(&mut scratch.install_after(&close, &["-from", "from", "opt"]));
            assert_eq!((end.status, end.err.as_str()), (Some(0), ""), "{close}");
            scratch.assert_installed("opt", version);
        }
        fs::create_dir(scratch.path("opt").join(LEFTOVER)).unwrap();
        let end = run(&mut scratch.install_after(&close, &["-from", "from", "opt"]));
        assert_eq!(end.status, Some(3), "{close}");
        assert_eq!(scratch.version("opt", CHECKER), Some(2));
        fs::remove_dir_all(scratch.path("opt")).unwrap();
    }
    // Writing to the streams fails.
    for close in ["exec >/dev/full 2>&1", "exec >/dev/null 2>/dev/full"] {
        let end = run(&mut scratch.install_after(close, &["-from", "from", "opt"]));
        assert_eq!(end.status, Some(0), "{close}");
        scratch.assert_installed("opt", 2);
    }
}
