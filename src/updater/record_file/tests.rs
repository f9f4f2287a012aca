//! Files with and without a record.

extern crate std;
use super::*;
use crate::api::status::{Image, State, Status};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;
use std::{env, format, fs, process};

/// A directory, which is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("br-record-{}-{name}", process::id()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("boot_id"), "here\n").unwrap();
        Self(path)
    }

    fn record(&self) -> PathBuf {
        self.0.join("record")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// What an event says of the failure.
fn failure(event: &Event) -> String {
    let Event::RecordUnreadable { tried, error } = event else { panic!("{event:?}") };
    let error = match *error {
        Some(Errno::ISDIR) => "directory",
        Some(Errno::LOOP) => "link",
        Some(Errno::NOENT) => "missing",
        Some(Errno::INVAL) => "no text",
        None => "damaged",
        other => panic!("{other:?}"),
    };
    format!("{tried}: {error}")
}

const IMAGE: Image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };

fn example() -> RebootRecord {
    RebootRecord::new("here", "1.26.0", IMAGE)
}

/// The file, what it means to an updater in the boot `here`, and the failures so far.
struct Script {
    path: CString,
    boot_id: CString,
    last_reboot: LastReboot,
    logged: Vec<String>,
}

impl Script {
    fn new(directory: &Directory) -> Self {
        let (path, boot_id) = (c_path(&directory.record()), c_path(&directory.0.join("boot_id")));
        Self { path, boot_id, last_reboot: LastReboot::default(), logged: Vec::new() }
    }
}

/// A status in which the update of the record is Ready.
fn ready() -> Status<'static> {
    let image = |version| Some(Image { version, ..IMAGE });
    let (running, staged) = (image("1.26.0"), image("1.26.1"));
    Status {
        state: State::Ready,
        chosen: staged,
        running,
        staged,
        offered: None,
        last_command: None,
    }
}

/// A step, and whether the update that is Ready is protected after the next read.
type Step<'s> = (&'s dyn Fn(), bool);

#[track_caller]
fn play(script: &mut Script, steps: &[Step]) {
    let Script { path, boot_id, last_reboot, logged } = script;
    let emit = &mut |event: Event| logged.push(failure(&event));
    let (mut file, begin) = RecordFile::open(path, boot_id, emit);
    *last_reboot = begin;
    for (at, (step, is_protected)) in steps.iter().enumerate() {
        step();
        file.read(Duration::ZERO, last_reboot, emit);
        last_reboot.observe(Duration::ZERO, Some(&ready()), emit);
        assert_eq!(last_reboot.is_pending(Duration::ZERO, &ready()), *is_protected, "step {at}");
    }
}

#[test]
fn record_counts_until_it_is_removed_or_damaged() {
    let directory = Directory::new("removed");
    let mut script = Script::new(&directory);
    let (path, record) = (c_path(&directory.record()), directory.record());
    let write = || files::replace(&path, &example().write()).unwrap();
    let remove = || assert_eq!(files::remove(&path), Ok(true));
    let damage = || fs::write(&record, "bottlerocket-reboot 1\n").unwrap();
    play(
        &mut script,
        &[
            (&|| (), false),
            (&write, true),
            (&|| (), true),
            (&remove, false),
            (&write, true),
            (&damage, false),
            (&write, true),
        ],
    );
    assert_eq!(script.logged, ["read the record: damaged"]);
}

#[test]
fn unreadable_record_is_reported_once_and_what_was_read_still_counts() {
    let directory = Directory::new("unreadable");
    let mut script = Script::new(&directory);
    let record = directory.record();
    let write = || fs::write(&record, example().write()).unwrap();
    let to_directory = || {
        fs::remove_file(&record).unwrap();
        fs::create_dir(&record).unwrap();
    };
    let to_link = || {
        fs::remove_dir(&record).unwrap();
        std::os::unix::fs::symlink("boot_id", &record).unwrap();
    };
    let to_nothing = || fs::remove_file(&record).unwrap();
    let to_junk = || fs::write(&record, [0xff; 10_000]).unwrap();
    let longer = || fs::write(&record, [&example().write()[..], b"x"].concat()).unwrap();
    play(
        &mut script,
        &[
            (&write, true),
            (&to_directory, true),
            (&to_link, true),
            (&to_nothing, false),
            (&to_junk, false),
            (&longer, false),
            (&write, true),
            (&longer, false),
        ],
    );
    let logged =
        ["directory", "damaged", "damaged"].map(|error| format!("read the record: {error}"));
    assert_eq!(script.logged, logged);
}

#[test]
fn each_replacement_of_the_record_has_another_stamp() {
    let directory = Directory::new("stamp");
    let path = c_path(&directory.record());
    let stamp = || {
        let mut buffer = [0; FILE_MAX];
        files::load_stamped(&path, &mut buffer).unwrap().unwrap().1
    };
    files::replace(&path, &example().write()).unwrap();
    let first = stamp();
    assert_eq!(stamp(), first);
    // The old file is still there, so the new one has another inode.
    let old = fs::File::open(directory.record()).unwrap();
    files::replace(&path, &example().write()).unwrap();
    assert_ne!(stamp(), first);
    drop(old);
}

#[test]
fn record_means_nothing_without_a_boot_id() {
    for (name, text, error) in [("none", None, "missing"), ("empty", Some(""), "no text")] {
        let directory = Directory::new(name);
        let mut script = Script::new(&directory);
        let boot_id = directory.0.join(name);
        if let Some(text) = text {
            fs::write(&boot_id, text).unwrap();
        }
        script.boot_id = c_path(&boot_id);
        fs::write(directory.record(), example().write()).unwrap();
        play(&mut script, &[(&|| (), false)]);
        assert_eq!(script.logged, [format!("read the boot id: {error}")]);
    }
    // Without a path nothing is read, not even the boot id.
    let emit = &mut |event: Event| panic!("{event:?}");
    let (mut file, mut last_reboot) = RecordFile::open(c"", c"/none", emit);
    file.read(Duration::ZERO, &mut last_reboot, emit);
}
