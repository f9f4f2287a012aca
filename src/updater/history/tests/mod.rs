//! Boots by a script: what the status says in which boot, and what comes of it.

extern crate std;
use super::*;
use crate::api::document::STRING_MAX;
use crate::updater::cycle::observe;
use crate::updater::cycle::tests::Numbers;
use crate::updater::event::Event;
use crate::updater::log::Format;
use std::string::{String, ToString};
use std::vec::Vec as List;
use std::{format, vec};

const HOUR: u64 = 60 * 60;
const DAY: Duration = Duration::from_secs(24 * HOUR);
/// When the scripts begin: any time will do, if it is not the very first.
const BEGIN: u64 = 1_795_325_532;

fn text(text: &str) -> Text {
    Text::try_from(text).unwrap()
}

/// `1.26.1` is of the usual variant, `1.26.1/other` is of that one.
fn image(version: &str) -> Image<'_> {
    let (version, variant) = version.split_once('/').unwrap_or((version, "aws-k8s-1.30"));
    Image { version, variant, arch: "x86_64" }
}

/// A status in short: the state, the versions that run and are staged, as in
/// `Ready 1.26.0 1.26.1`.
fn status(text: &str) -> Status<'_> {
    let mut words = text.split(' ');
    let state = words.next().unwrap();
    let state = State::ALL.into_iter().find(|other| other.name() == state).unwrap();
    let mut next = || words.next().filter(|word| *word != "-").map(image);
    let (running, staged) = (next(), next());
    Status { state, chosen: staged, running, staged, last_command: None }
}

/// What an event tells of a version, in short.
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

/// A node's history, boot after boot: what one has written, the next one reads.
struct Script {
    history: History,
    retry: Option<Duration>,
    boots: u32,
    utc: u64,
}

impl Script {
    fn new(retry: Option<Duration>) -> Self {
        let history = History::new(text("boot-0"), retry);
        Self { history, retry, boots: 0, utc: BEGIN }
    }

    fn observe(&mut self, text: &str) -> List<String> {
        let mut told = List::new();
        let utc = Duration::from_secs(self.utc);
        observe(&mut self.history, utc, &status(text), &mut |event| told.push(short(&event)));
        told
    }

    /// The program starts anew, in another boot if it is to be.
    fn start(&mut self, in_another_boot: bool) {
        self.boots += u32::from(in_another_boot);
        let file = self.history.write();
        let boot = text(&format!("boot-{}", self.boots));
        self.history = History::new(boot, self.retry);
        self.history.read(&file).unwrap();
    }

    /// Does what a step says, and says what comes of it:
    ///
    /// - `boot`, `restart`: of the node, of the program
    /// - `+1h`, `-1h`: the clock is another one by then
    /// - `activate 1.26.0 1.26.1`: that is about to be done, on this, to that
    /// - `held 1.26.1`: whether it is, how often it failed, and for how long
    /// - anything else is a status
    fn step(&mut self, step: &str) -> String {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        let duration =
            |text: &str| crate::text::duration::parse(text.as_bytes()).unwrap().as_secs();
        let before = self.history.write();
        self.history.set_saved();
        let mut told = List::new();
        match word.split_at_checked(1).unwrap() {
            ("+", later) => self.utc += duration(later),
            ("-", earlier) => self.utc -= duration(earlier),
            _ => match word {
                "boot" => self.start(true),
                "restart" => self.start(false),
                "activate" => {
                    let (running, new) = rest.split_once(' ').unwrap();
                    self.history.activating(image(new), image(running));
                }
                "held" => {
                    let utc = Duration::from_secs(self.utc);
                    if let Some((entry, left)) = self.history.hold_for(utc, image(rest)) {
                        told.push(short(&Event::HeldBack { entry, retry_in: left }));
                    }
                }
                _ => told = self.observe(step),
            },
        }
        let changed = self.history.has_changed();
        assert_eq!(changed, self.history.write() != before, "after {step}");
        self.check();
        told.join(", ")
    }

    /// What is true of every history.
    fn check(&mut self) {
        let file = self.history.write();
        assert!(file.len() < FILE_MAX);
        let mut read = History::default();
        read.read(&file).unwrap();
        assert_eq!(read.entries, self.history.entries);
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
    for (at, (step, told)) in steps.iter().enumerate() {
        assert_eq!(script.step(step), *told, "step {at}: {step}");
        // Once more, it is no news.
        if step.starts_with(|first: char| first.is_ascii_uppercase()) {
            script.history.set_saved();
            assert_eq!(script.observe(step), [""; 0], "step {at}: {step}");
            assert!(!script.history.has_changed(), "step {at}: {step}");
        }
    }
}

/// The way of a version to the first failed boot.
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

#[test]
fn a_version_that_comes_up_is_forgotten() {
    play(
        Some(DAY),
        &[
            ("activate 1.26.0 1.26.1", ""),
            ("Ready 1.26.0 1.26.1", ""),
            ("restart", ""),
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            // The first status after a boot tells nothing.
            ("Idle - -", ""),
            ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
            ("held 1.26.1", ""),
            ("boot", ""),
            ("Idle 1.26.1 -", ""),
            // Nor is it remembered when the old one is booted by hand.
            ("boot", ""),
            ("Available 1.26.0 -", ""),
        ],
    );
}

#[test]
fn a_version_that_does_not_come_up_is_held_back() {
    play_on(&[
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("Available 1.26.0 -", ""),
        ("restart", ""),
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("boot", ""),
        ("Available 1.26.0 -", ""),
        ("+1h", ""),
        ("held 1.26.1", "held_back 1.26.1 1 23h"),
        // Only this one.
        ("held 1.26.2", ""),
        ("held 1.26.0", ""),
        ("held 1.26.1/other", ""),
        ("+22h", ""),
        ("held 1.26.1", "held_back 1.26.1 1 1h"),
        ("+59m59s", ""),
        ("held 1.26.1", "held_back 1.26.1 1 1s"),
        ("+1s", ""),
        ("held 1.26.1", ""),
        // It is not forgotten: the next time counts as the second.
        ("activate 1.26.0 1.26.1", ""),
        ("Ready 1.26.0 1.26.1", ""),
        ("held 1.26.1", ""),
        ("boot", ""),
        ("Available 1.26.0 -", "rolled_back 1.26.1 2 48h 1.26.0"),
        ("+48h", ""),
        ("held 1.26.1", ""),
        ("activate 1.26.0 1.26.1", ""),
        ("boot", ""),
        // At the third time it comes up, and all is forgotten.
        ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
        ("held 1.26.1", ""),
        ("activate 1.26.0 1.26.1", ""),
        ("boot", ""),
        ("Available 1.26.0 -", "rolled_back 1.26.1 1 24h 1.26.0"),
    ]);
}

#[test]
fn it_runs_in_the_same_boot() {
    // That cannot be, but if it does, there is nothing to hold back.
    play(Some(DAY), &[("activate 1.26.0 1.26.1", ""), ("Idle 1.26.1 -", ""), ("boot", "")]);
    play_on(&[("Idle 1.26.1 -", ""), ("held 1.26.1", "")]);
}

#[test]
fn a_third_version_says_nothing_about_the_second() {
    play(
        Some(DAY),
        &[
            ("activate 1.26.0 1.26.1", ""),
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Available 1.25.0 -", ""),
            ("held 1.26.1", ""),
            ("boot", ""),
            ("Available 1.26.0 -", ""),
            ("held 1.26.1", ""),
        ],
    );
    // What is known of it stays.
    play_on(&[
        ("+24h", ""),
        ("activate 1.26.0 1.26.1", ""),
        ("boot", ""),
        ("Available 1.25.0 -", ""),
        ("+1h", ""),
        ("activate 1.25.0 1.26.1", ""),
        ("boot", ""),
        ("Available 1.25.0 -", "rolled_back 1.26.1 2 48h 1.25.0"),
    ]);
}

#[test]
fn what_is_deactivated_by_somebody_was_not_booted() {
    for taken_back in ["Staged 1.26.0 1.26.1", "Available 1.26.0 -", "Idle 1.26.0 -"] {
        play(
            Some(DAY),
            &[
                ("activate 1.26.0 1.26.1", ""),
                ("Ready 1.26.0 1.26.1", ""),
                (taken_back, ""),
                ("boot", ""),
                ("Available 1.26.0 -", ""),
                ("held 1.26.1", ""),
            ],
        );
    }
    // Another one is Ready instead.
    play(
        Some(DAY),
        &[
            ("activate 1.26.0 1.26.1", ""),
            ("Ready 1.26.0 1.26.2", ""),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.2 1 24h 1.26.0"),
            ("held 1.26.1", ""),
            ("held 1.26.2", "held_back 1.26.2 1 24h"),
        ],
    );
}

#[test]
fn what_somebody_else_has_activated_counts_as_well() {
    play(
        Some(DAY),
        &[
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.1 1 24h 1.26.0"),
            // Somebody wants it all the same, and it comes up or it does not.
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.1 2 48h 1.26.0"),
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
        ],
    );
    // It is Ready again before anybody has looked.
    play(
        Some(DAY),
        &[
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Ready 1.26.0 1.26.1", "rolled_back 1.26.1 1 24h 1.26.0"),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.1 2 48h 1.26.0"),
        ],
    );
}

#[test]
fn another_variant_is_another_image() {
    play_on(&[
        ("activate 1.26.0 1.26.1/other", ""),
        ("boot", ""),
        ("Available 1.26.1 -", ""),
        ("held 1.26.1", ""),
        ("held 1.26.1/other", ""),
    ]);
    play_on(&[
        ("activate 1.26.0 1.26.1/other", ""),
        ("boot", ""),
        ("Available 1.26.0 -", "rolled_back 1.26.1 1 24h 1.26.0"),
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("held 1.26.1/other", "held_back 1.26.1 1 24h"),
    ]);
}

#[test]
fn whatever_somebody_does_to_the_clock() {
    // Back: the pause begins anew, and does not grow.
    play_on(&[
        ("-240h", ""),
        ("Available 1.26.0 -", ""),
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
        ("restart", ""),
        ("+23h", ""),
        ("Available 1.26.0 -", ""),
        ("held 1.26.1", "held_back 1.26.1 1 1h"),
        ("-1h", ""),
        ("Available 1.26.0 -", ""),
        ("held 1.26.1", "held_back 1.26.1 1 2h"),
        ("+2h", ""),
        ("held 1.26.1", ""),
    ]);
    // Forward: it is over, which is no harm, and stays so.
    play_on(&[
        ("+100000h", ""),
        ("held 1.26.1", ""),
        ("-100000h", ""),
        ("held 1.26.1", "held_back 1.26.1 1 24h"),
    ]);
    // A clock that has no battery starts in 1970.
    let mut script = Script::new(Some(DAY));
    script.utc = 0;
    for (step, told) in ROLLED_BACK {
        assert_eq!(script.step(step), told);
    }
    script.utc = 5;
    assert_eq!(script.step("held 1.26.1"), "held_back 1.26.1 1 23h59m55s");
    script.utc = u64::MAX;
    assert_eq!(script.step("held 1.26.1"), "");
}

#[test]
fn the_pause_doubles_up_to_a_limit() {
    let second = Duration::from_secs(1);
    for retry in [second, DAY, Duration::MAX, Duration::from_millis(u64::MAX)] {
        let mut script = Script::new(Some(retry));
        for failed_boots in 1..=20u32 {
            script.step("activate 1.26.0 1.26.1");
            script.step("boot");
            let told = script.observe("Available 1.26.0 -");
            assert!(told[0].starts_with(&format!("rolled_back 1.26.1 {failed_boots} ")));
            let pause = retry.saturating_mul(1 << (failed_boots - 1).min(16));
            let begin = script.utc;
            let at = |seconds| Duration::from_secs(begin + seconds);
            let (entry, left) = script.history.hold_for(at(0), image("1.26.1")).unwrap();
            assert_eq!((entry.failed_boots, left), (failed_boots.into(), pause));
            let Some(end) = begin.checked_add(pause.as_secs()) else { continue };
            let just_before =
                script.history.hold_for(Duration::from_secs(end) - second, image("1.26.1"));
            assert_eq!(
                just_before.unwrap().1,
                second + Duration::from_nanos(pause.subsec_nanos().into())
            );
            if pause.subsec_nanos() == 0 {
                assert_eq!(
                    script.history.hold_for(Duration::from_secs(end), image("1.26.1")),
                    None
                );
            }
            script.utc = if pause < DAY * 100_000 { end } else { begin };
        }
    }
    assert_eq!(1u64 << DOUBLINGS_MAX, 65_536);
}

#[test]
fn without_a_pause_it_is_never_tried_again() {
    play(
        None,
        &[
            ("activate 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Available 1.26.0 -", "rolled_back 1.26.1 1 never 1.26.0"),
            ("held 1.26.1", "held_back 1.26.1 1 never"),
            ("+1s", ""),
            ("held 1.26.1", "held_back 1.26.1 1 never"),
            ("+1000000h", ""),
            ("held 1.26.1", "held_back 1.26.1 1 never"),
            ("-500000h", ""),
            ("held 1.26.1", "held_back 1.26.1 1 never"),
            // But for somebody else, who may do so.
            ("Ready 1.26.0 1.26.1", ""),
            ("boot", ""),
            ("Idle 1.26.1 -", "updated 1.26.1 1.26.0"),
        ],
    );
}

#[test]
fn other_settings_count_at_once() {
    let mut script = Script::new(None);
    for (step, _) in ROLLED_BACK {
        script.step(step);
    }
    for (retry, told) in
        [(Some(2 * DAY), "held_back 1.26.1 1 48h"), (None, "held_back 1.26.1 1 never")]
    {
        script.retry = retry;
        script.step("restart");
        assert_eq!(script.step("held 1.26.1"), told);
    }
}

#[test]
fn one_more_takes_the_place_of_the_first() {
    let mut script = Script::new(Some(DAY));
    let versions = ["1.26.1", "1.26.2", "1.26.3", "1.26.4", "1.26.5", "1.26.6"];
    for version in versions {
        script.step(&format!("activate 1.26.0 {version}"));
        script.step("boot");
        script.step("Available 1.26.0 -");
    }
    let held = |script: &Script| -> List<String> {
        script.history.held().map(|entry| entry.image.version.to_string()).collect()
    };
    assert_eq!(held(&script), versions[2..]);
    // Whoever is tried again is the last one then.
    script.step("activate 1.26.0 1.26.3");
    script.step("boot");
    script.step("Available 1.26.0 -");
    script.step("activate 1.26.0 1.26.7");
    assert_eq!(held(&script), ["1.26.5", "1.26.6", "1.26.3"]);
    assert_eq!(script.step("held 1.26.3"), "held_back 1.26.3 2 48h");
}

fn entry(failed_boots: u64) -> Entry {
    Entry {
        image: OwnedImage::new(image("1.26.1")),
        previous_version: text("1.26.0"),
        boot: text("7c1f1c8e-6a42-4d29-9ce0-7a3b58a0a1f4"),
        failed_boots,
        failed_at: BEGIN,
    }
}

fn history(entries: &[Entry]) -> History {
    History { entries: entries.iter().cloned().collect(), ..History::default() }
}

#[test]
fn the_file() {
    let empty = History::default().write();
    assert_eq!(str::from_utf8(&empty), Ok("bottlerocket-updater 1\nsum 3849901367990969504\n"));
    let file = history(&[entry(0), Entry { boot: text(""), ..entry(3) }]).write();
    let expected = "bottlerocket-updater 1\n\
        1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t7c1f1c8e-6a42-4d29-9ce0-7a3b58a0a1f4\t0\t1795325532\t\n\
        1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t\t3\t1795325532\t\n\
        sum 3742207454833810843\n";
    assert_eq!(str::from_utf8(&file), Ok(expected));
}

#[test]
fn the_sum_is_fnv_1a() {
    // The test vectors of its authors.
    for (text, expected) in [
        ("", 0xcbf2_9ce4_8422_2325),
        ("a", 0xaf63_dc4c_8601_ec8c),
        ("foobar", 0x8594_4171_f739_67e8),
    ] {
        assert_eq!(fnv1a(text.as_bytes()), expected, "{text}");
    }
}

/// Any history of the versions that the scripts know, in a boot of its own.
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
                failed_at: numbers.below(400_000),
            };
            history.entries.push(entry).unwrap();
        }
    }
    history
}

/// Four entries, each text in them as long as it can be.
fn longest() -> History {
    let full = |first: usize| format!("{first}{}", "\"".repeat(STRING_MAX - 1));
    let texts = [0, 1, 2, 3, 4].map(full);
    let any = text(&texts[0]);
    let entry = |number: usize| Entry {
        image: OwnedImage {
            version: text(&texts[number]),
            variant: any.clone(),
            arch: any.clone(),
        },
        previous_version: any.clone(),
        boot: any.clone(),
        failed_boots: u64::MAX,
        failed_at: u64::MAX,
    };
    history(&[entry(1), entry(2), entry(3), entry(4)])
}

#[test]
fn the_longest_file_has_room() {
    let history = longest();
    assert_eq!(history.entries.len(), ENTRIES_MAX);
    let file = history.write();
    let line = 5 * (STRING_MAX + 1) + 2 * "18446744073709551615\t".len() + 1;
    let last = file.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap();
    assert_eq!(file.len(), HEADER.len() + 4 * line + last + 1);
    assert!(file.len() + 100 < FILE_MAX, "{}", file.len());
    let mut read = History::default();
    assert_eq!(read.read(&file), Ok(()));
    assert_eq!(read.entries, history.entries);
}

/// The text with its sum behind it.
pub(crate) fn summed(text: &str) -> List<u8> {
    format!("{text}{SUM}{}\n", fnv1a(text.as_bytes())).into_bytes()
}

/// Reads a file into a history that has an entry: it has another one then, or
/// nothing was taken.
fn reads(file: &[u8]) -> bool {
    let mut read = history(&[entry(7)]);
    let taken = read.read(file).is_ok();
    assert!(taken || read.entries == history(&[entry(7)]).entries, "{file:?}");
    taken
}

#[test]
fn a_file_is_read_as_strictly_as_it_is_written() {
    const LINE: &str = "1.26.1\tv\ta\t1.26.0\tb\t1\t2\t\n";
    let text = |lines: &[&str]| summed(&[&[HEADER], lines].concat().concat());
    assert!(reads(&text(&[])));
    assert!(reads(&text(&[LINE])));
    assert!(reads(&text(&[LINE; 4])));
    assert!(!reads(&text(&[LINE; 5])));
    let long = format!("{}\n", "x".repeat(400));
    assert!(!reads(&text(&[&long])));
    assert!(!reads(&text(&[LINE.trim_end()])));
    // Nor what cannot be shown on a line, or was written by somebody else.
    for line in [
        "1.26.1\x1b[31m\tv\ta\t1.26.0\tb\t1\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\u{202e}\tb\t1\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\tb\r\t1\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\tb\t01\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\tb\tmany\t2\t\n",
        "1.26.1\tv\ta\t1.26.0\tb\t1\t2\n",
        "1.26.1\n",
        &format!("{}\tv\ta\t1.26.0\tb\t1\t2\t\n", "1".repeat(STRING_MAX + 1)),
    ] {
        assert!(!reads(&text(&[line])), "{line:?}");
    }
    for header in [
        "",
        "\n",
        "bottlerocket-updater 2\n",
        "bottlerocket-updater 10\n",
        "bottlerocket-updater 1 \n",
        "bottlerocket-updater  1\n",
        "bottlerocket-updater 1\r\n",
        "bottlerocket-updater\n",
        " bottlerocket-updater 1\n",
        "\u{feff}bottlerocket-updater 1\n",
        "bottlerocket-updater 1",
    ] {
        assert!(!reads(&summed(header)), "{header:?}");
        assert!(!reads(&summed(&format!("{header}{LINE}"))), "{header:?}");
    }
    // What is no text, with the sum that it has.
    let mut file = format!("{HEADER}1.26.1\tv\ta\t1.26.0\t").into_bytes();
    file.extend_from_slice(b"\xff\t1\t2\t\n");
    let line = format!("{SUM}{}\n", fnv1a(&file));
    file.extend_from_slice(line.as_bytes());
    assert!(!reads(&file));
    for file in [&b""[..], b"\n", b"\n\n", b"sum 0\n", b"\0", &[0; 2048], &[b'\n'; 2048]] {
        assert!(!reads(file), "{file:?}");
    }
    // A sum is written in one way, or not at all.
    let number = fnv1a(HEADER.as_bytes());
    for last in [
        format!("sum {number}"),
        format!("sum {number} \n"),
        format!("sum  {number}\n"),
        format!("sum +{number}\n"),
        format!("sum\t{number}\n"),
        format!("sum {number}\n\n"),
        format!("sum {number:x}\n"),
        format!("sum {}\n", number + 1),
        "sum \n".to_string(),
        "sum".to_string(),
        "sum 99999999999999999999\n".to_string(),
    ] {
        assert!(!reads(format!("{HEADER}{last}").as_bytes()), "{last:?}");
    }
}

/// The sum is right, but nobody has ever written such a line: it does no harm.
#[test]
fn lines_of_no_use() {
    let long = format!("{}\tv\ta\t1.26.0\tb\t1\t2\t", "x".repeat(300));
    for line in [
        "",
        "1.26.1",
        "\t\t\t\t\t\t\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\tan-earlier-boot\t\t\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\tan-earlier-boot\t-1\t2\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\tan-earlier-boot\t1\t18446744073709551616\t",
        "1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\tan-earlier-boot\t1\t2\t3\t4\t",
        "1.26.1 aws-k8s-1.30 x86_64 1.26.0 an-earlier-boot 1 2",
        &long,
    ] {
        let mut script = Script::new(Some(DAY));
        let _ = script.history.read(&summed(&format!("{HEADER}{line}\n")));
        for step in [
            "held 1.26.1",
            "Available 1.26.0 -",
            "held 1.26.1",
            "activate 1.26.0 1.26.1",
            "Ready 1.26.0 1.26.1",
            "boot",
            "Available 1.26.0 -",
            "Idle 1.26.1 -",
        ] {
            let utc = Duration::from_secs(script.utc);
            script
                .history
                .held()
                .for_each(|entry| _ = short(&Event::HeldBack { entry, retry_in: utc }));
            script.history.set_saved();
            match step.split_once(' ') {
                Some(("activate", _)) => {
                    script.history.activating(image("1.26.1"), image("1.26.0"));
                }
                Some(("held", version)) => _ = script.history.hold_for(utc, image(version)),
                Some(_) => _ = script.observe(step),
                None => script.start(true),
            }
        }
        // In the end, only what is known of this boot is left.
        assert!(
            script.history.entries.iter().all(|entry| entry.image.image() != image("1.26.1")),
            "{line:?}"
        );
    }
}

#[test]
fn a_damaged_file_is_noticed_wherever_the_damage_is() {
    let two = history(&[entry(0), Entry { boot: text(""), ..entry(3) }]);
    for history in [History::default(), two, longest()] {
        let file = history.write();
        assert!(reads(&file));
        // A byte that is another one.
        let values: List<u8> = match file.len() {
            ..100 => (1..=255).collect(),
            100..300 => (0..8).map(|bit| 1 << bit).collect(),
            _ => vec![1],
        };
        for at in 0..file.len() {
            for change in &values {
                let mut damaged = file.clone();
                damaged[at] ^= change;
                assert!(!reads(&damaged), "{at} {change}");
            }
            // It ends there, or a byte is missing there, or twice there.
            assert!(!reads(&file[..at]), "{at}");
            let without = [&file[..at], &file[at + 1..]].concat();
            assert!(!reads(&without), "{at}");
            let (before, behind) = file.split_at(at);
            if !file.starts_with(&[before, &file[..1]].concat()) || at == 0 {
                assert!(!reads(&[before, &file[at..=at], behind].concat()), "{at}");
            }
        }
        // Something follows.
        for byte in 0..=u8::MAX {
            assert!(!reads(&[&file[..], &[byte]].concat()), "{byte}");
        }
        assert!(!reads(&[&file[..], &file].concat()));
    }
}

/// Whatever happens, each activation comes to one end at most, and the right one.
#[test]
fn any_sequence_of_boots() {
    let versions = ["1.26.0", "1.26.1", "1.26.2", "1.26.3", "1.26.4", "1.26.1/other"];
    let (mut rolled_back, mut updated, mut most) = (0, 0, 0);
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let retry = *numbers.one_of(&[Some(DAY), Some(Duration::from_secs(HOUR)), None]);
        let mut script = Script::new(retry);
        // What was activated, in which boot and over what, whose end is not known.
        let mut pending: List<(&str, u32, &str)> = vec![];
        let mut running = versions[0];
        for _ in 0..60 {
            let version = *numbers.one_of(&versions);
            match numbers.below(9) {
                0 => _ = script.step("restart"),
                1 | 2 => {
                    _ = script.step("boot");
                    match numbers.below(6) {
                        0 => running = version,
                        1 | 2 => running = pending.last().map_or(running, |last| last.0),
                        _ => {}
                    }
                }
                3 => _ = script.step(["+1h", "+24h", "+300h", "-2h"][numbers.below(4) as usize]),
                4 | 5 if version != running => {
                    script.step(&format!("Staged {running} {version}"));
                    script.step(&format!("activate {running} {version}"));
                    pending.retain(|(other, ..)| *other != version);
                    pending.push((version, script.boots, running));
                }
                6 => {
                    let told = script.step(&format!("held {version}"));
                    assert!(told.is_empty() || told.contains(" never") == retry.is_none());
                }
                _ => {
                    // The node is offered no image that runs.
                    let states = ["Idle", "Available", "Staged", "Ready"];
                    let some = if version == running { &states[..2] } else { &states };
                    let state = numbers.one_of(some);
                    let told = script.step(&format!("{state} {running} {version}"));
                    for told in told.split(", ").filter(|told| !told.is_empty()) {
                        let words: List<&str> = told.split(' ').collect();
                        let short = |version: &str| version.split('/').next() == Some(words[1]);
                        // Not in the boot that it was made in.
                        let at = pending.iter().position(|(version, boot, before)| {
                            let same_end = match words[0] {
                                "updated" => *version == running,
                                "rolled_back" => image(before).version == image(running).version,
                                other => panic!("{other}"),
                            };
                            short(version) && *boot < script.boots && same_end
                        });
                        let at = at.unwrap_or_else(|| panic!("seed {seed}: {told}: {pending:?}"));
                        pending.remove(at);
                        rolled_back += u32::from(words[0] == "rolled_back");
                        updated += u32::from(words[0] == "updated");
                    }
                    if *state == "Ready" {
                        pending.retain(|(other, ..)| *other != version);
                        pending.push((version, script.boots, running));
                    }
                    let again = script.observe(&format!("{state} {running} {version}"));
                    assert_eq!(again, [""; 0], "seed {seed}");
                    // What runs is not held back.
                    assert!(script.history.held().all(|held| held.image.image() != image(running)));
                }
            }
            most = most.max(script.history.entries.len());
        }
    }
    assert!(rolled_back > 100 && updated > 100, "{rolled_back} {updated}");
    assert_eq!(most, ENTRIES_MAX);
}
