//! The output of `cargo demo`, which the docs show: the simulator's demo with the real
//! programs.

use crate::common::program_path;
use bottlerocket_simulator::demo::Demo;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The output that a page shows, after this text.
fn shown(page: &str, after: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(after).expect("the page names the demo");
    let (_, block) = rest.split_once("```console\n").expect("the page shows the demo");
    block.split("```").next().unwrap().to_owned()
}

fn demo() -> Demo {
    let checker = program_path("checker");
    let programs = checker.parent().unwrap().to_path_buf();
    Demo { programs, colour: false, deadline: Duration::from_secs(30) }
}

/// Compares the output of a demo with what a page shows.
fn compare(good: bool, out: Vec<u8>, shown: &str) {
    let out = String::from_utf8(out).expect("the output is text");
    assert!(good, "{out}");
    let [out, shown] = [&out, shown]
        .map(|text| text.trim().lines().map(without_varying_words).collect::<Vec<_>>());
    assert_eq!(out, shown);
}

/// A line with `_` for each word that differs from run to run: times, durations, boot
/// ids, paths of sockets, and the architecture of the machine.
fn without_varying_words(line: &str) -> String {
    let varies = |word: &str| {
        let is_boot_id = word.len() == 36 && word.matches('-').count() == 4;
        ["time=", "took=", "waited=", "arch="].iter().any(|key| word.starts_with(key))
            || word.ends_with("/api.sock")
            || ["x86_64", "aarch64"].contains(&word)
            || is_boot_id
    };
    line.split(' ').map(|word| if varies(word) { "_" } else { word }).collect::<Vec<_>>().join(" ")
}

#[test]
fn demo_shows_a_whole_update_as_the_readme_does() {
    let mut out = Vec::new();
    let good = demo().run(&mut out).expect("the demo starts");
    compare(good, out, &shown("README.md", "cargo demo\n"));
}

#[test]
fn demo_of_a_bad_version_stops_at_the_first_node_as_the_docs_show() {
    let mut out = Vec::new();
    let good = demo().run_bad_version(&mut out).expect("the demo starts");
    compare(good, out, &shown("docs/operating.md", "`cargo demo -- bad-version`"));
}

#[test]
fn only_words_that_vary_are_left_out() {
    for (line, expected) in [
        ("exit status 1", "exit status 1"),
        (
            "  time=2026-11-27T23:56:07.932Z level=info event=prepared took=3s7ms",
            "  _ level=info event=prepared _",
        ),
        ("$ bottlerocket-checker -socket /tmp/x/api.sock", "$ bottlerocket-checker -socket _"),
        ("  boot id: 7e8de5f9-a49c-456f-bf6e-b5d976b0d865 -> x", "  boot id: _ -> x"),
    ] {
        assert_eq!(without_varying_words(line), expected);
    }
}
