//! Files with and without a record.

extern crate std;
use super::*;
use crate::api::status::Image;
use rustix::io::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{env, fs, process};

/// A directory, which is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(std::format!("br-record-{}-{name}", process::id()));
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
    std::format!("{tried}: {error}")
}

fn record() -> RebootRecord {
    let image = Image { version: "1.26.1", variant: "aws-k8s-1.30", arch: "x86_64" };
    RebootRecord::new("here", "1.26.0", image)
}

#[test]
fn record_is_read_with_a_stamp_that_each_replacement_changes() {
    let directory = Directory::new("stamp");
    let (path, boot_id) = (c_path(&directory.record()), c_path(&directory.0.join("boot_id")));
    let mut logged = Vec::new();
    let emit = &mut |event: Event| logged.push(failure(&event));
    let (mut file, _) = RecordFile::open(&path, &boot_id, emit);
    assert_eq!(file.read(emit), None);
    files::replace(&path, &record().write()).unwrap();
    let (first, stamp) = file.read(emit).unwrap();
    assert_eq!(first, record());
    assert_eq!(file.read(emit), Some((record(), stamp)));
    // The old file is still there, so the new one has another inode.
    let old = fs::File::open(directory.record()).unwrap();
    files::replace(&path, &record().write()).unwrap();
    let (second, other) = file.read(emit).unwrap();
    assert_eq!(second, record());
    assert_ne!(stamp, other);
    drop(old);
    files::remove(&path).unwrap();
    assert_eq!(file.read(emit), None);
    assert_eq!(logged, [""; 0]);
}

#[test]
fn unreadable_record_is_reported_once_until_it_can_be_read() {
    let directory = Directory::new("damaged");
    let (path, boot_id) = (c_path(&directory.record()), c_path(&directory.0.join("boot_id")));
    let mut logged = Vec::new();
    let emit = &mut |event: Event| logged.push(failure(&event));
    let (mut file, _) = RecordFile::open(&path, &boot_id, emit);
    let good = record().write();
    for bad in [&b""[..], b"bottlerocket-reboot 1\n", &[0xff; 10_000], &[&good[..], b"x"].concat()]
    {
        fs::write(directory.record(), bad).unwrap();
        assert_eq!(file.read(emit), None);
    }
    fs::write(directory.record(), &good).unwrap();
    assert!(file.read(emit).is_some());
    fs::remove_file(directory.record()).unwrap();
    fs::create_dir(directory.record()).unwrap();
    assert_eq!((file.read(emit), file.read(emit)), (None, None));
    fs::remove_dir(directory.record()).unwrap();
    assert_eq!(file.read(emit), None);
    std::os::unix::fs::symlink("boot_id", directory.record()).unwrap();
    assert_eq!(file.read(emit), None);
    let read = "read the record: ";
    assert_eq!(logged, ["damaged", "directory", "link"].map(|error| read.to_string() + error));
}

#[test]
fn record_means_nothing_without_a_boot_id() {
    let directory = Directory::new("boot");
    let path = c_path(&directory.record());
    fs::write(directory.record(), record().write()).unwrap();
    for (boot_id, text, error) in [("none", None, "missing"), ("empty", Some(""), "no text")] {
        let boot_id = directory.0.join(boot_id);
        if let Some(text) = text {
            fs::write(&boot_id, text).unwrap();
        }
        let mut logged = Vec::new();
        let emit = &mut |event: Event| logged.push(failure(&event));
        let (mut file, _) = RecordFile::open(&path, &c_path(&boot_id), emit);
        assert_eq!(file.read(emit), None);
        assert_eq!(logged, [std::format!("read the boot id: {error}")]);
    }
    // Without a path nothing is read, not even the boot id.
    let (mut file, _) = RecordFile::open(c"", c"/none", &mut |event| panic!("{event:?}"));
    assert_eq!(file.read(&mut |event| panic!("{event:?}")), None);
}
