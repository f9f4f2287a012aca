//! State files in temporary directories.

extern crate std;
use super::*;
use crate::api::status::Image;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::ffi::CString;
use std::format;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

/// A directory with a boot id. It is removed at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("br-state-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("boot-id"), "boot-1\n").unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Opens the file. Returns it, the history that it has, and the events.
    fn open(&self) -> (StateFile, History, Vec<String>) {
        let mut events = Vec::new();
        let (directory, boot_id) = (c_path(&self.0), c_path(&self.path("boot-id")));
        let (file, history) =
            StateFile::open(&directory, &boot_id, None, &mut |event| events.push(short(&event)));
        (file, history, events)
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

/// The name of an event, and for a failure the step that failed.
fn short(event: &Event) -> String {
    match event {
        Event::StateLost { tried, .. } => format!("{} {tried}", event.kind().name()),
        _ => event.kind().name().to_string(),
    }
}

fn image(version: &'static str) -> Image<'static> {
    Image { version, variant: "aws-k8s-1.30", arch: "x86_64" }
}

/// Changes the history and saves it. Returns the events.
fn change(file: &mut StateFile, history: &mut History, version: &'static str) -> Vec<String> {
    let mut events = Vec::new();
    history.activating(image(version), image("1.26.0"));
    file.save(history, &mut |event| events.push(short(&event)));
    events
}

#[test]
fn saved_history_is_read_after_a_restart() {
    let directory = Directory::new();
    let (mut file, mut history, events) = directory.open();
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(change(&mut file, &mut history, "1.26.1"), [""; 0]);
    assert!(!history.has_changed());
    let (_, again, events) = directory.open();
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(again.write(), history.write());
}

#[test]
fn unchanged_history_is_not_written() {
    let directory = Directory::new();
    let (mut file, mut history, _) = directory.open();
    file.save(&mut history, &mut |event| panic!("{event:?}"));
    assert!(!directory.path("state").exists());
}

#[test]
fn without_a_directory_nothing_is_kept_or_reported() {
    let mut fail = |event: Event| panic!("{event:?}");
    let (mut file, mut history) = StateFile::open(c"", c"/nowhere", None, &mut fail);
    history.activating(image("1.26.1"), image("1.26.0"));
    file.save(&mut history, &mut fail);
}

#[test]
fn damaged_file_is_renamed_and_reported_once() {
    let directory = Directory::new();
    fs::write(directory.path("state"), "damaged").unwrap();
    let (mut file, mut history, events) = directory.open();
    assert_eq!(events, ["state_damaged"]);
    assert_eq!(fs::read(directory.path("state.damaged")).unwrap(), b"damaged");
    assert_eq!(change(&mut file, &mut history, "1.26.1"), [""; 0]);
    assert_eq!(directory.open().2, [""; 0]);
}

#[test]
fn link_directory_or_pipe_in_its_place_is_renamed() {
    let make: [fn(&Path); 3] =
        [|path| symlink("elsewhere", path).unwrap(), |path| fs::create_dir(path).unwrap(), pipe];
    for make in make {
        let directory = Directory::new();
        fs::write(directory.path("elsewhere"), "another file").unwrap();
        make(&directory.path("state"));
        let file_type = |name| fs::symlink_metadata(directory.path(name)).unwrap().file_type();
        let before = file_type("state");
        let (mut file, mut history, events) = directory.open();
        assert_eq!(events, ["state_damaged"]);
        assert_eq!(file_type("state.damaged"), before);
        assert_eq!(change(&mut file, &mut history, "1.26.1"), [""; 0]);
        assert!(file_type("state").is_file());
        assert_eq!(fs::read(directory.path("elsewhere")).unwrap(), b"another file");
    }
}

fn pipe(path: &Path) {
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path.as_os_str().as_bytes(), FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn damaged_file_that_cannot_be_renamed_is_reported_and_replaced() {
    let directory = Directory::new();
    fs::write(directory.path("state"), "damaged").unwrap();
    fs::create_dir(directory.path("state.damaged")).unwrap();
    let (mut file, mut history, events) = directory.open();
    assert_eq!(events, ["state_lost rename the damaged file"]);
    assert_eq!(fs::read(directory.path("state")).unwrap(), b"damaged");
    assert_eq!(change(&mut file, &mut history, "1.26.1"), [""; 0]);
    assert_eq!(directory.open().2, [""; 0]);
}

#[test]
fn unreadable_file_is_not_overwritten() {
    let directory = Directory::new();
    // A socket cannot be opened, not even by root.
    let _socket = UnixListener::bind(directory.path("state")).unwrap();
    let (mut file, mut history, events) = directory.open();
    assert_eq!(events, ["state_lost read the file"]);
    assert_eq!(change(&mut file, &mut history, "1.26.1"), [""; 0]);
    assert!(fs::metadata(directory.path("state")).unwrap().file_type().is_socket());
    assert!(!directory.path("state.new").exists());
}

#[test]
fn failure_is_reported_once_and_again_after_it_worked() {
    let directory = Directory::new();
    let (mut file, mut history, _) = directory.open();
    let blocked = directory.path("state.new");
    let lost = ["state_lost write the file"];
    fs::create_dir(&blocked).unwrap();
    assert_eq!(change(&mut file, &mut history, "1.26.1"), lost);
    assert!(history.has_changed());
    assert_eq!(change(&mut file, &mut history, "1.26.2"), [""; 0]);
    fs::remove_dir(&blocked).unwrap();
    assert_eq!(change(&mut file, &mut history, "1.26.3"), [""; 0]);
    assert!(!history.has_changed());
    fs::create_dir(&blocked).unwrap();
    assert_eq!(change(&mut file, &mut history, "1.26.4"), lost);
}

#[test]
fn without_a_boot_id_the_file_is_neither_read_nor_written() {
    let directory = Directory::new();
    fs::write(directory.path("state"), "kept").unwrap();
    for boot_id in [None, Some(""), Some("two words\u{7}")] {
        fs::remove_file(directory.path("boot-id")).unwrap_or_default();
        if let Some(text) = boot_id {
            fs::write(directory.path("boot-id"), text).unwrap();
        }
        let (mut file, mut history, events) = directory.open();
        assert_eq!(events, ["state_lost read the boot id"]);
        assert_eq!(change(&mut file, &mut history, "1.26.1"), [""; 0]);
        assert_eq!(fs::read(directory.path("state")).unwrap(), b"kept");
    }
}

#[test]
fn missing_directory_is_reported() {
    let directory = Directory::new();
    let mut events = Vec::new();
    let (directory, boot_id) =
        (c_path(&directory.path("missing")), c_path(&directory.path("boot-id")));
    let emit = &mut |event: Event| events.push(short(&event));
    let (mut file, mut history) = StateFile::open(&directory, &boot_id, None, emit);
    assert_eq!(events, ["state_lost open the directory"]);
    assert_eq!(change(&mut file, &mut history, "1.26.1"), [""; 0]);
}
