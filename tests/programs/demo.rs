//! The output of `cargo demo`: the simulator's demo with the real programs.

use crate::common::program_path;
use bottlerocket_simulator::demo::Demo;
use std::time::Duration;

/// The lines of the output. `_` stands for any text.
const OUTPUT: &str = "\
A node runs Bottlerocket 1.26.0. Version 1.26.1 is available.

Once a minute, Kured runs the checker: does this node need a reboot? Not yet.
$ bottlerocket-checker -socket _/api.sock
  no: no refresh since the node booted
exit status 1

The updater finds the new version, writes it to disk and activates it.
$ bottlerocket-updater -socket _/api.sock -one-time
  time=_ level=info event=preparing msg=\"update found, preparing it\" running=1.26.0 version=1.26.1 _
  time=_ level=info event=prepared msg=prepared version=1.26.1 took=_
  time=_ level=info event=activated msg=activated version=1.26.1 took=_
  time=_ level=info event=ready msg=\"ready, waiting for the reboot\" state=Ready next=1.26.1 running=1.26.0 _
exit status 0

Kured runs the checker again. The node is ready: Kured locks, cordons and drains it.
$ bottlerocket-checker -socket _/api.sock
  yes: state Ready, the next boot starts 1.26.1; running 1.26.0, variant aws-k8s-1.30, arch x86_64
exit status 0

The node is drained. Kured runs the reboot program.
$ bottlerocket-reboot -socket _/api.sock
  _
exit status 0

The node has rebooted.
  boot id: _ -> _
  version: 1.26.0 -> 1.26.1

After a boot no update is known, so Kured leaves the node alone.
$ bottlerocket-checker -socket _/api.sock
  no: no refresh since the node booted
exit status 1

The updater looks for a newer version. There is none, so it does nothing.
$ bottlerocket-updater -socket _/api.sock -one-time
  time=_ level=info event=nothing_to_do msg=\"nothing to do\" state=Idle running=1.26.1 _
exit status 0

The node stays like this until the next release.
$ bottlerocket-checker -socket _/api.sock
  no: state Idle, no update chosen; running 1.26.1, variant aws-k8s-1.30, arch x86_64
exit status 1

The node was updated from 1.26.0 to 1.26.1.
";

/// Whether the line matches the pattern.
fn matches(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('_');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        open = part.is_empty();
        rest = behind;
    }
    open || rest.is_empty()
}

#[test]
fn demo_shows_a_whole_update() {
    let checker = program_path("checker");
    let programs = checker.parent().unwrap().to_path_buf();
    let demo = Demo { programs, colour: false, deadline: Duration::from_secs(30) };
    let mut out = Vec::new();
    let good = demo.run(&mut out).expect("the demo starts");
    let out = String::from_utf8(out).expect("the output is text");
    assert!(good, "{out}");
    assert_eq!(out.lines().count(), OUTPUT.lines().count(), "{out}");
    for (line, pattern) in out.lines().zip(OUTPUT.lines()) {
        // The underscore in the architecture is not a placeholder.
        let pattern = pattern.replace("x86_64", "x86");
        assert!(
            matches(&line.replace("x86_64", "x86"), &pattern),
            "{line:?}, not {pattern:?}:\n{out}"
        );
    }
}

#[test]
fn lines_match_their_patterns() {
    for (line, pattern, expected) in [
        ("a b c", "a b c", true),
        ("a b c", "a _ c", true),
        ("a b c", "a _", true),
        ("a b c", "_", true),
        ("", "", true),
        ("a b c", "a b", false),
        ("a b c", "b c", false),
        ("a b c", "a _ d", false),
        ("a b", "", false),
    ] {
        assert_eq!(matches(line, pattern), expected, "{line}, {pattern}");
    }
}
