//! The simulator's demo with the real programs: what `cargo demo` shows.

use crate::common::program_path;
use bottlerocket_simulator::demo::Demo;
use std::time::Duration;

/// Each line in its place: `_` stands for anything.
const STORY: &str = "\
A node runs Bottlerocket 1.26.0. Version 1.26.1 has been released.

Kured asks, once a minute, whether this node wants a reboot. Not yet.
$ bottlerocket-checker -socket _/api.sock
  no: no refresh since the node booted
exit code 1

On the node the updater looks for a new version, writes it, and activates it.
$ bottlerocket-updater -socket _/api.sock -one-time
  time=_ level=info event=preparing msg=\"update found, preparing it\" running=1.26.0 version=1.26.1 _
  time=_ level=info event=prepared msg=prepared version=1.26.1 took=_
  time=_ level=info event=activated msg=activated version=1.26.1 took=_
  time=_ level=info event=ready msg=\"ready, waiting for the reboot\" state=Ready next=1.26.1 running=1.26.0 _
exit code 0

Kured asks again. Now the node is ready: Kured locks, cordons and drains it.
$ bottlerocket-checker -socket _/api.sock
  yes: state Ready, the next boot starts 1.26.1; running 1.26.0, variant aws-k8s-1.30, arch x86_64
exit code 0

The node is drained, and Kured has it rebooted.
$ bottlerocket-reboot -socket _/api.sock
  _
exit code 0

The node has rebooted.
  boot id: _ -> _
  version: 1.26.0 -> 1.26.1

A node that has just booted knows of no update, so Kured leaves it alone.
$ bottlerocket-checker -socket _/api.sock
  no: no refresh since the node booted
exit code 1

The updater looks again: this is the newest version, there is nothing to do.
$ bottlerocket-updater -socket _/api.sock -one-time
  time=_ level=info event=nothing_to_do msg=\"nothing to do\" state=Idle running=1.26.1 _
exit code 0

And it stays like this until the next release.
$ bottlerocket-checker -socket _/api.sock
  no: state Idle, no update chosen; running 1.26.1, variant aws-k8s-1.30, arch x86_64
exit code 1

The node went from 1.26.0 to 1.26.1.
";

/// Whether the line has the parts of the pattern between the `_`s, in order.
fn fits(line: &str, pattern: &str) -> bool {
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
fn the_story_with_the_real_programs() {
    let checker = program_path("checker");
    let programs = checker.parent().unwrap().to_path_buf();
    let demo = Demo { programs, colour: false, deadline: Duration::from_secs(30) };
    let mut out = Vec::new();
    let good = demo.run(&mut out).expect("the demo starts");
    let out = String::from_utf8(out).expect("a story is text");
    assert!(good, "{out}");
    assert_eq!(out.lines().count(), STORY.lines().count(), "{out}");
    for (line, pattern) in out.lines().zip(STORY.lines()) {
        // The variant has an underscore of its own.
        let pattern = pattern.replace("x86_64", "x86");
        assert!(
            fits(&line.replace("x86_64", "x86"), &pattern),
            "{line:?}, not {pattern:?}:\n{out}"
        );
    }
}

#[test]
fn lines_fit_their_patterns() {
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
        assert_eq!(fits(line, pattern), expected, "{line}, {pattern}");
    }
}
