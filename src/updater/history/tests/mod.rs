//! Boots by a script: statuses in several boots, and what the history concludes.

extern crate std;
use super::*;
use crate::api::document::STRING_MAX;
use crate::reporting::log::Format;
use crate::tests::Numbers;
use crate::updater::cycle::observe;
use crate::updater::event::Event;
use crate::updater::history::file::FILE_MAX;
use std::string::{String, ToString};
use std::vec::Vec as List;
use std::{format, vec};

mod boots;
mod file;
mod hold;
mod soak;

const HOUR: u64 = 60 * 60;
const DAY: Duration = Duration::from_secs(24 * HOUR);

fn text(text: &str) -> Text {
    Text::try_from(text).unwrap()
}

/// The image for `1.26.1`, with the usual variant, or for `1.26.1/other`.
fn image(version: &str) -> Image<'_> {
    let (version, variant) = version.split_once('/').unwrap_or((version, "aws-k8s-1.30"));
    Image { version, variant, arch: "x86_64" }
}

/// The status for a short text: the state, the running version and the staged version,
/// as in `Ready 1.26.0 1.26.1`.
fn status(text: &str) -> Status<'_> {
    let mut words = text.split(' ');
    let state = words.next().unwrap();
    let state = State::ALL.into_iter().find(|other| other.name() == state).unwrap();
    let mut next = || words.next().filter(|word| *word != "-").map(image);
    let (running, staged) = (next(), next());
    Status { state, chosen: staged, running, staged, offered: None, last_command: None }
}

/// The name and some fields of an event.
fn short(event: &Event) -> String {
    let line = event.record(Format::Logfmt, Duration::ZERO).finish().to_vec();
    let line = String::from_utf8(line).unwrap();
    let field = |key: &str| {
        let key = format!(" {key}=");
        line.split_once(&key).map(|(_, rest)| rest.split([' ', '\n']).next().unwrap().to_string())
    };
    let name = event.kind().name().to_string();
    let fields = ["version", "before", "failed_boots", "retry_in", "running"].map(field);
    [Some(name)].into_iter().chain(fields).flatten().collect::<List<_>>().join(" ")
}

/// The history of a node in many boots. Each boot reads what the one before wrote.
struct Script {
    history: History,
    retry: Option<Duration>,
    boots: u32,
    /// The seconds since the boot.
    since_boot: u64,
}

impl Script {
    fn new(retry: Option<Duration>) -> Self {
        let history = History::new(text("boot-0"), retry);
        let mut script = Self { history, retry, boots: 0, since_boot: 0 };
        script.advance(0);
        script
    }

    fn observe(&mut self, text: &str) -> List<String> {
        let mut events = List::new();
        observe(&mut self.history, &status(text), &mut |event| events.push(short(&event)));
        events
    }

    /// Lets time pass.
    fn advance(&mut self, seconds: u64) {
        self.since_boot += seconds;
        self.history.advance(Duration::from_secs(self.since_boot));
    }

    /// Restarts the program, and the node if it is another boot.
    fn start(&mut self, in_another_boot: bool) {
        let file = self.history.write();
        if in_another_boot {
            (self.boots, self.since_boot) = (self.boots + 1, 0);
        }
        let boot = text(&format!("boot-{}", self.boots));
        self.history = History::new(boot, self.retry);
        self.history.read(&file).unwrap();
        self.advance(0);
    }

    /// Performs a step, and returns the events:
    ///
    /// - `boot`, `restart`: the node boots, the program restarts
    /// - `+1h`: time passes
    /// - `activate 1.26.0 1.26.1`: while 1.26.0 runs, 1.26.1 is about to be activated
    /// - `held 1.26.1`: whether the version is held back
    /// - anything else: this status is read
    fn step(&mut self, step: &str) -> String {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        let duration =
            |text: &str| crate::text::duration::parse(text.as_bytes()).unwrap().as_secs();
        let before = (self.history.entries.clone(), self.history.last_run.clone());
        self.history.set_saved();
        let mut events = List::new();
        match word.split_at_checked(1).unwrap() {
            ("+", later) => {
                self.advance(duration(later));
                self.history.set_saved();
            }
            _ => match word {
                "boot" => self.start(true),
                "restart" => self.start(false),
                "activate" => {
                    let (running, new) = rest.split_once(' ').unwrap();
                    self.history.activating(image(new), image(running));
                }
                "held" => {
                    if let Some((entry, left)) = self.history.hold_for(image(rest)) {
                        events.push(short(&Event::HeldBack { entry, retry_in: left }));
                    }
                }
                _ => events = self.observe(step),
            },
        }
        let changed = self.history.has_changed();
        let after = (self.history.entries.clone(), self.history.last_run.clone());
        assert_eq!(changed, after != before, "after {step}");
        self.check();
        events.join(", ")
    }

    /// Checks what is true of every history.
    fn check(&mut self) {
        let file = self.history.write();
        assert!(file.len() < FILE_MAX);
        let mut read = History::default();
        read.read(&file).unwrap();
        assert_eq!(read.entries, self.history.entries);
        assert_eq!(read.last_run, self.history.last_run);
        assert_eq!(read.write(), file);
        assert!(!read.has_changed());
        for (at, entry) in self.history.entries.iter().enumerate() {
            assert!(self.history.entries[..at].iter().all(|other| other.image != entry.image));
        }
    }
}

#[track_caller]
fn play(retry: Option<Duration>, steps: &[(&str, &str)]) {
    let mut script = Script::new(retry);
    for (at, (step, events)) in steps.iter().enumerate() {
        assert_eq!(script.step(step), *events, "step {at}: {step}");
        // The same status again changes nothing.
        if step.starts_with(|first: char| first.is_ascii_uppercase()) {
            script.history.set_saved();
            assert_eq!(script.observe(step), [""; 0], "step {at}: {step}");
            assert!(!script.history.has_changed(), "step {at}: {step}");
        }
    }
}

/// The steps of a version to its first failed boot.
const ROLLED_BACK: [(&str, &str); 5] = [
    ("Staged 1.26.0 1.26.1", ""),
    ("activate 1.26.0 1.26.1", ""),
    ("Ready 1.26.0 1.26.1", ""),
    ("boot", ""),
    ("Available 1.26.0 -", "rolled_back 1.26.1 1 24h 1.26.0"),
];

#[track_caller]
fn play_on(steps: &[(&str, &str)]) {
    play(Some(DAY), &[&ROLLED_BACK, steps].concat());
}

/// A random history of the versions in the scripts.
pub(crate) fn any_history(numbers: &mut Numbers) -> History {
    let retry = *numbers.one_of(&[Some(DAY), Some(Duration::from_secs(HOUR)), None]);
    let mut history = History::new(text("this-boot"), retry);
    for version in ["1.26.1", "1.26.2"] {
        let boot = *numbers.one_of(&["", "this-boot", "an-earlier-boot"]);
        let previous_version = *numbers.one_of(&["1.26.0", "1.26.0", "1.25.0"]);
        let failed_boots = numbers.below(3);
        if failed_boots > 0 || !boot.is_empty() {
            let entry = Entry {
                image: OwnedImage::new(image(version)),
                previous_version: text(previous_version),
                boot: text(boot),
                failed_boots,
                failed_at: Duration::from_secs(numbers.below(400_000)),
            };
            history.entries.push(entry).unwrap();
        }
    }
    history.uptime = Uptime::from_saved(400_000_000, 0);
    history
}
