//! The pages in `docs/` describe the programs as they are, and completely.

use crate::common::{Directory, Node, RUN_MAX, program, run};
use bottlerocket_simulator::Options;
use bottlerocket_updater::api::status::Image;
use bottlerocket_updater::record::RebootRecord;
use bottlerocket_updater::updater::event::EventKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

const PROGRAMS: [&str; 5] = ["checker", "reboot", "gate", "updater", "install"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The cells of the rows of the table in a section of the reference, without its
/// head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = file("docs/reference.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
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

fn help(name: &str) -> String {
    let ran = run(program(name).arg("-help"));
    assert_eq!(ran.status, Some(0), "{name}");
    ran.stdout
}

/// The section of a help text with this heading, to the next empty line.
fn section<'a>(help: &'a str, heading: &str) -> &'a str {
    let (_, section) = help.split_once(&format!("\n{heading}:\n")).expect(heading);
    section.split("\n\n").next().unwrap()
}

/// The flags in a help text, with their arguments, and their defaults.
fn flags_in_help(help: &str) -> Vec<(String, String)> {
    let flags = section(help, "Flags").split("\n  -").map(|flag| flag.trim_start_matches("  -"));
    let flags =
        flags.map(|flag| format!("-{}", flag.split_whitespace().collect::<Vec<_>>().join(" ")));
    flags
        .filter(|flag| !flag.starts_with("-h, ") && !flag.starts_with("-version "))
        .map(|flag| {
            let default = flag.rsplit_once("(default: ").map_or("", |(_, rest)| rest);
            let names = flag.split(' ');
            let is_name = |word: &&str| {
                word.starts_with('-') || word.len() > 1 && word.chars().all(char::is_uppercase)
            };
            let name = names.take_while(is_name).collect::<Vec<_>>().join(" ");
            (name, default.trim_end_matches(')').to_owned())
        })
        .collect()
}

/// Each program with the rows of the table of flags that are about it.
fn documented_flags() -> BTreeMap<String, Vec<(String, String)>> {
    let mut flags = BTreeMap::<String, Vec<_>>::new();
    let mut name = String::new();
    for row in table("Flags") {
        let [program, flag, default, _] = row.try_into().unwrap();
        if !program.is_empty() {
            name = program;
        }
        let plain = |cell: &str| cell.replace('`', "");
        flags.entry(name.clone()).or_default().push((plain(&flag), plain(&default)));
    }
    flags
}

#[test]
fn reference_has_every_flag_of_every_program_with_its_default() {
    let documented = documented_flags();
    assert_eq!(documented.keys().map(String::as_str).collect::<Vec<_>>(), {
        let mut programs = PROGRAMS;
        programs.sort_unstable();
        programs
    });
    for name in PROGRAMS {
        assert_eq!(documented[name], flags_in_help(&help(name)), "{name}");
    }
}

#[test]
fn print_config_shows_every_flag_of_the_updater() {
    let ran = run(program("updater").arg("-print-config"));
    assert_eq!(ran.status, Some(0));
    let flags = ran.stdout.lines().filter(|line| !line.starts_with('#'));
    let shown = flags.map(|line| line.split('=').next().unwrap().to_owned());
    let documented = documented_flags().remove("updater").unwrap();
    let documented = documented.iter().map(|(flag, _)| flag.split(' ').next().unwrap().to_owned());
    assert_eq!(sorted::<String>(shown.collect()), sorted(documented.collect()));
}

#[test]
fn every_flag_of_the_updater_has_the_variable_that_the_reference_promises() {
    for (flag, _) in &documented_flags()["updater"] {
        let flag = flag.split(' ').next().unwrap();
        // The command line has this one already, and wins.
        if flag == "-print-config" {
            continue;
        }
        let name = flag.trim_start_matches('-').to_uppercase().replace('-', "_");
        // No flag takes this.
        let variable = format!("BOTTLEROCKET_UPDATER_{name}");
        let mut updater = program("updater");
        let ran = run(updater.env(&variable, "\u{7}=").arg("-print-config"));
        if ran.status == Some(0) {
            let shown = ran.stdout.lines().find(|line| line.starts_with(&format!("{flag}=")));
            assert!(shown.is_some_and(|line| line.ends_with(" (environment)")), "{variable}");
        } else {
            assert_eq!(ran.status, Some(2), "{variable}");
            assert!(ran.stderr.contains("environment"), "{variable}: {}", ran.stderr);
        }
    }
}

#[test]
fn reference_has_the_exit_statuses_of_every_program() {
    let rows = table("Exit statuses");
    for (column, name) in PROGRAMS.iter().enumerate() {
        let documented = rows.iter().filter(|row| !row[column + 2].is_empty());
        let documented: Vec<_> = documented.map(|row| (row[0].clone(), row[1].clone())).collect();
        let help = help(name);
        let lines =
            section(&help, "Exit status").lines().filter_map(|line| line.strip_prefix("  "));
        let lines = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
        let helped: Vec<_> = lines
            .map(|line| {
                let (status, text) = line.split_once("  ").unwrap();
                (status.to_owned(), text.split(':').next().unwrap().to_owned())
            })
            .collect();
        assert_eq!(documented, helped, "{name}");
    }
}

#[test]
fn reference_has_every_event_of_the_gate_with_its_level_and_its_fields() {
    let real = crate::gate::EVENTS.map(|(event, level, _, fields)| {
        (event.to_owned(), level.to_owned(), fields.split(' ').map(str::to_owned).collect())
    });
    let documented = table("Events of the gate").into_iter().map(|row| {
        let [event, level, fields, _] = row.try_into().unwrap();
        (event.trim_matches('`').to_owned(), level, words(&fields))
    });
    assert_eq!(sorted(documented.collect()), sorted(real.to_vec()));
}

#[test]
fn reference_has_every_event_with_its_level_and_its_fields() {
    let real: Vec<_> = EventKind::ALL
        .into_iter()
        .map(|kind| {
            let documented =
                crate::common::records::DOCUMENTED.iter().find(|event| event.0 == kind.name());
            let (_, _, _, fields) = documented.unwrap_or_else(|| panic!("{}", kind.name()));
            let fields = fields.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            (kind.name().to_owned(), kind.level().name().to_owned(), fields)
        })
        .collect();
    let documented: Vec<_> = table("Events")
        .into_iter()
        .map(|row| {
            let [event, level, fields, _] = row.try_into().unwrap();
            (event.trim_matches('`').to_owned(), level, words(&fields))
        })
        .collect();
    assert_eq!(sorted(documented), sorted(real));
}

/// What the updater serves on a node that went back to the old version.
fn metrics() -> String {
    let node = Node::start(Options { no_boot: vec!["1.26.1".into()], ..Node::instant() });
    let directory = Directory::new();
    let boot = directory.path().join("boot");
    let mut updater = node.program("updater");
    updater.arg("-state-dir").arg(directory.path()).arg("-boot-id").arg(&boot);
    let record = directory.path().join("record");
    updater.args(["-jitter=0s", "-metrics-address=127.0.0.1:0", "-record"]).arg(&record);
    fs::write(&boot, "1\n").unwrap();
    assert_eq!(run(updater.arg("-one-time")).status, Some(0));
    assert_eq!(run(&mut node.program("reboot")).status, Some(0));
    fs::write(&boot, "2\n").unwrap();
    let image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };
    fs::write(record, RebootRecord::new("1", "1.26.0", image).write()).unwrap();

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
fn reference_has_every_metric_with_its_type_and_its_labels() {
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
    let documented: Vec<_> = table("Metrics")
        .into_iter()
        .map(|row| {
            let [name, kind, labels, _] = row.try_into().unwrap();
            (name.trim_matches('`').to_owned(), kind, words(&labels))
        })
        .collect();
    assert_eq!(documented, real);
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|one| one.is_alphanumeric() || " -_".contains(*one));
            kept.map(|one| if one == ' ' { '-' } else { one }).collect()
        })
        .collect()
}

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let documents = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> =
        documents.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    for page in ["README.md", ".github/SECURITY.md", "scripts/README.md"] {
        pages.push(root().join(page));
    }
    pages
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            let is_there = anchor.is_empty()
                || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor);
            assert!(is_there, "{}: {link}", page.display());
            links += 1;
        }
    }
    assert!(links > 60, "{links}");
}

#[test]
fn every_alert_links_to_its_section_of_the_runbook() {
    let rules = file("deploy/monitoring/prometheusrule.yaml");
    let anchors = anchors(&file("docs/operating.md"));
    let links = rules.lines().filter_map(|line| line.split_once("docs/operating.md#"));
    let links: Vec<_> = links.map(|(_, anchor)| anchor.trim()).collect();
    assert_eq!(links.len(), rules.lines().filter(|line| line.contains("- alert: ")).count());
    for anchor in links {
        assert!(anchors.contains(anchor), "{anchor}");
    }
}

#[test]
fn paths_that_pages_name_exist() {
    let roots = ["src/", "bins/", "tests/", "scripts/", "deploy/", "docs/", "fuzz/", ".ci/"];
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let path = quoted.split_whitespace().next().unwrap_or_default();
            let is_old = page.ends_with("CHANGELOG.md");
            if roots.iter().any(|root| path.starts_with(root)) && !is_old && !path.contains('*') {
                assert!(root().join(path).exists(), "{}: {path}", page.display());
            }
        }
    }
}

#[test]
fn version_of_the_time_zones_is_that_of_their_table() {
    let text = format!("version {} of the database", env!("TIME_ZONES_VERSION"));
    assert!(file("docs/operating.md").contains(&text), "{text}");
}

#[test]
fn readme_is_short() {
    let lines = file("README.md").lines().count();
    assert!(lines < 180, "{lines} lines: details belong in docs/");
}

#[test]
fn what_is_deployed_is_taken_by_the_program() {
    let manifest = file("deploy/updater/daemonset.yaml");
    // The init container runs another program.
    let (_, container) = manifest.split_once("\n      containers:\n").unwrap();
    let arguments = container.lines().filter_map(|line| line.trim().strip_prefix("- -"));
    let arguments: Vec<_> = arguments.map(|argument| format!("-{argument}")).collect();
    assert!(arguments.len() >= 3, "{arguments:?}");
    let overlay = file("deploy/overlays/windows/kustomization.yaml");
    let (_, patch) = overlay.split_once("name: bottlerocket-updater\n").unwrap();
    let patch = patch.split("\n  - target:").next().unwrap();
    let added = patch.lines().filter_map(|line| line.trim().strip_prefix("value: "));
    let added: Vec<_> = added.map(|value| value.trim_matches('"').to_owned()).collect();
    assert!(!added.is_empty());

    let ran = run(program("updater").args(&arguments).args(&added).arg("-print-config"));
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    for argument in arguments.iter().chain(&added) {
        assert!(ran.stdout.contains(&format!("{argument} (flag)\n")), "{argument}: {}", ran.stdout);
    }
}
