//! The page for operators says of the updater what is true, and all of it.

use crate::common::{Directory, Node, RUN_MAX, program, run};
use bottlerocket_simulator::Options;
use bottlerocket_updater::updater::event::EventKind;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The cells of the rows of the table in the section with this heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = file("docs/operating.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<String>> = rows
        .map(|row| {
            let row = row.strip_prefix('|').and_then(|row| row.strip_suffix('|')).expect(row);
            row.split('|').map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// The words of a cell, each in backticks.
fn words(cell: &str) -> Vec<String> {
    cell.split_whitespace().map(|word| word.trim_matches('`').to_owned()).collect()
}

#[test]
fn it_has_every_flag_with_its_variable_and_its_default() {
    let ran = run(program("updater").arg("-print-config"));
    assert_eq!(ran.status, Some(0));
    let real: Vec<_> = ran
        .stdout
        .lines()
        .map(|line| {
            let (flag, value) = line.split_once('=').unwrap();
            let value = value.split(" (").next().unwrap();
            // This one was asked for.
            let value = if flag == "-print-config" { "false" } else { value };
            (flag.to_owned(), if value.is_empty() { "none" } else { value }.to_owned())
        })
        .collect();
    let mut told = Vec::new();
    for row in table("Flags and the environment") {
        let [flag, variable, default, _] = row.try_into().unwrap();
        let flag = flag.trim_matches('`');
        let name = flag.trim_start_matches('-').to_uppercase().replace('-', "_");
        assert_eq!(variable, format!("`BOTTLEROCKET_UPDATER_{name}`"));
        told.push((flag.to_owned(), default.trim_matches('`').to_owned()));
    }
    assert_eq!(sorted(told.clone()), sorted(real));

    // And so has the help.
    let help = run(program("updater").arg("-help")).stdout;
    let flags = help.lines().filter_map(|line| line.strip_prefix("  -"));
    let helped: BTreeSet<_> =
        flags.map(|line| format!("-{}", line.split([' ', ',']).next().unwrap())).collect();
    let told: BTreeSet<_> = told.into_iter().map(|(flag, _)| flag).collect();
    let others = ["-h", "-version"].map(String::from);
    assert_eq!(helped, told.into_iter().chain(others).collect());
}

#[test]
fn it_has_every_event_with_its_level_and_its_fields() {
    let real: Vec<_> = EventKind::ALL
        .into_iter()
        .map(|kind| {
            let name = kind.name();
            let documented =
                crate::common::records::DOCUMENTED.iter().find(|event| event.0 == name);
            let (_, _, _, fields) = documented.expect(name);
            let fields = fields.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            (name.to_owned(), kind.level().name().to_owned(), fields)
        })
        .collect();
    let told: Vec<_> = table("The log")
        .into_iter()
        .map(|row| {
            let [event, level, fields, _] = row.try_into().unwrap();
            (event.trim_matches('`').to_owned(), level, words(&fields))
        })
        .collect();
    assert_eq!(sorted(told), sorted(real));
}

/// What the updater serves on a node that went back to the old version.
fn metrics() -> String {
    let node = Node::start(Options { no_boot: vec!["1.26.1".into()], ..Node::instant() });
    let directory = Directory::new();
    let boot = directory.path().join("boot");
    let mut updater = node.program("updater");
    updater.arg("-state-dir").arg(directory.path()).arg("-boot-id").arg(&boot);
    updater.args(["-jitter=0s", "-metrics-address=127.0.0.1:0"]);
    fs::write(&boot, "1\n").unwrap();
    assert_eq!(run(updater.arg("-one-time")).status, Some(0));
    assert_eq!(run(&mut node.program("reboot")).status, Some(0));
    fs::write(&boot, "2\n").unwrap();

    let mut child = updater.arg("-one-time=false").stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (send, lines) = mpsc::channel();
    thread::spawn(move || log.map(|line| send.send(line)).all(|sent| sent.is_ok()));
    let wait_for = |event: &str| {
        loop {
            let line = lines.recv_timeout(RUN_MAX).unwrap_or_else(|_| panic!("no {event}"));
            if line.contains(event) {
                break line;
            }
        }
    };
    let serving = wait_for("event=serving_metrics");
    let (_, port) = serving.split_once("port=").unwrap();
    wait_for("event=held_back");
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    stream.set_read_timeout(Some(RUN_MAX)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    answer
}

#[test]
fn it_has_every_metric_with_its_type_and_its_labels() {
    let answer = metrics();
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut real = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let sample = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
        let labels = sample.unwrap_or_default().split('}').next().unwrap();
        let labels = labels.split(',').filter_map(|label| label.split_once('='));
        let labels: Vec<_> = labels.map(|(label, _)| label.to_owned()).collect();
        real.push((name.to_owned(), kind.to_owned(), labels));
    }
    let told: Vec<_> = table("Metrics")
        .into_iter()
        .map(|row| {
            let [name, kind, labels, _] = row.try_into().unwrap();
            (name.trim_matches('`').to_owned(), kind, words(&labels))
        })
        .collect();
    assert_eq!(told, real);
}

#[test]
fn the_readme_has_no_flag_that_is_not_there() {
    let readme = file("README.md");
    assert!(readme.contains("(docs/operating.md#flags-and-the-environment)"));
    let told: Vec<_> =
        table("Flags and the environment").iter().map(|row| row[0].replace('`', "")).collect();
    let (_, flags) = readme.split_once("\n## Flags\n").unwrap();
    let rows = flags.split("\n## ").next().unwrap().lines();
    let mut updaters = 0;
    let mut program = String::new();
    for row in rows.filter(|row| row.starts_with("| ") && row.contains("| `-")) {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().unwrap();
        if !name.is_empty() {
            program = name.into();
        }
        if program.contains("updater") {
            let flag = cells.next().unwrap().trim_matches('`').split(' ').next().unwrap();
            assert!(told.iter().any(|told| told == flag), "{flag}");
            updaters += 1;
        }
    }
    assert!(updaters > 5);
}

#[test]
fn what_is_deployed_is_taken_by_the_program() {
    let manifest = file("deploy/updater/daemonset.yaml");
    let arguments = manifest.lines().filter_map(|line| line.trim().strip_prefix("- -"));
    let arguments: Vec<_> = arguments.map(|argument| format!("-{argument}")).collect();
    assert_eq!(arguments.len(), 3);
    let overlay = file("deploy/overlays/windows/kustomization.yaml");
    let variables = overlay
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- BOTTLEROCKET_UPDATER_")?.split_once('='));
    let variables: Vec<_> = variables.collect();
    assert!(!variables.is_empty());

    let mut updater = program("updater");
    updater.args(&arguments).arg("-print-config");
    for (name, value) in &variables {
        updater.env(format!("BOTTLEROCKET_UPDATER_{name}"), value);
    }
    let ran = run(&mut updater);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    for argument in &arguments {
        assert!(ran.stdout.contains(&format!("{argument} (flag)\n")), "{argument}: {}", ran.stdout);
    }
    for (name, value) in &variables {
        let flag = name.to_lowercase().replace('_', "-");
        let shown = ran.stdout.lines().find(|line| line.starts_with(&format!("-{flag}=")));
        assert!(shown.unwrap().ends_with(" (environment)"), "{value}: {}", ran.stdout);
    }
}
