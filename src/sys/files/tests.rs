//! The file in real directories.

extern crate std;
use super::*;
use std::ffi::CString;
use std::fs as files;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;
use std::{format, vec};

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// A directory of a test's own, which goes away with this.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("br-store-{}-{number}", std::process::id()));
        files::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn open(&self) -> Store {
        Store::open(&c(&self.0)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = files::remove_dir_all(&self.0);
    }
}

type Loaded = Result<Vec<u8>, Errno>;

fn loaded(bytes: &[u8]) -> Loaded {
    Ok(bytes.to_vec())
}

impl Store {
    fn load_some(&self) -> Loaded {
        self.load(&mut [0; 64]).map(<[u8]>::to_vec)
    }
}

#[test]
fn what_is_saved_is_loaded() {
    let directory = Directory::new();
    let store = directory.open();
    assert_eq!(store.load_some(), Loaded::Err(Errno::NOENT));
    for text in [&b"first"[..], b"second, and longer", b"3", &[0xff; 64]] {
        assert_eq!(store.save(text), Ok(()));
        assert_eq!(store.load_some(), loaded(text));
        assert_eq!(directory.open().load_some(), loaded(text));
        // Nothing else is left, and it is nobody else's.
        let names: Vec<_> = files::read_dir(&directory.0).unwrap().collect();
        assert_eq!(names.len(), 1);
        let mode = directory.path("state").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
    assert_eq!(store.quarantine(), Ok(()));
    assert_eq!(files::read(directory.path("state.damaged")).unwrap(), [0xff; 64]);
    assert_eq!(store.load_some(), Loaded::Err(Errno::NOENT));
    assert_eq!(store.quarantine(), Err(Errno::NOENT));
    // The one that is set aside later counts.
    assert_eq!((store.save(b"new"), store.quarantine()), (Ok(()), Ok(())));
    assert_eq!(files::read(directory.path("state.damaged")).unwrap(), b"new");
}

#[test]
fn no_more_is_loaded_than_is_asked_for() {
    let directory = Directory::new();
    for length in [0, 1, 63, 64, 65, 255, 256, 257, 100_000] {
        files::write(directory.path("state"), vec![b'x'; length]).unwrap();
        let text = directory.open().load_some().unwrap();
        assert!(text.iter().all(|byte| *byte == b'x'));
        assert_eq!(text.len(), length.min(64));
    }
}

#[test]
fn what_is_no_directory() {
    let directory = Directory::new();
    files::write(directory.path("file"), "").unwrap();
    symlink("nowhere", directory.path("link")).unwrap();
    for (name, errno) in [
        ("none", Errno::NOENT),
        ("link", Errno::NOENT),
        ("file", Errno::NOTDIR),
        ("file/below", Errno::NOTDIR),
        (&"x".repeat(300), Errno::NAMETOOLONG),
    ] {
        let path = directory.path(name);
        let opened = Store::open(&c(&path)).map(|_| ());
        assert_eq!(opened, Err(errno), "{name}");
    }
    assert_eq!(Store::open(c"").map(|_| ()), Err(Errno::NOENT));
    // A link to a directory is one.
    symlink(".", directory.path("same")).unwrap();
    assert!(Store::open(&c(&directory.path("same"))).is_ok());
}

fn fifo(path: &Path) {
    let mode = Mode::from_raw_mode(0o600);
    fs::mknodat(CWD, path.as_os_str().as_bytes(), fs::FileType::Fifo, mode, 0).unwrap();
}

/// Puts something at a path.
type Make = fn(&Path);

/// What comes of saving.
type Saved = Result<(), Errno>;

#[test]
fn whatever_lies_in_its_place() {
    // What a load says, and whether a file can be saved there all the same.
    let cases: [(&str, Make, Loaded, Saved); 4] = [
        (
            "directory",
            |path| files::create_dir(path).unwrap(),
            Err(Errno::ISDIR),
            Err(Errno::ISDIR),
        ),
        ("link", |path| symlink("elsewhere", path).unwrap(), Err(Errno::LOOP), Ok(())),
        ("FIFO", fifo, loaded(b""), Ok(())),
        ("empty file", |path| files::write(path, "").unwrap(), loaded(b""), Ok(())),
    ];
    for (what, make, load, save) in cases {
        let directory = Directory::new();
        make(&directory.path("state"));
        files::write(directory.path("elsewhere"), "somebody else's").unwrap();
        let store = directory.open();
        assert_eq!(store.load_some(), load, "{what}");
        assert_eq!(store.save(b"text"), save, "{what}");
        if save.is_ok() {
            assert_eq!(store.load_some(), loaded(b"text"), "{what}");
        }
        assert_eq!(files::read(directory.path("elsewhere")).unwrap(), b"somebody else's");
    }
}

#[test]
fn whatever_is_left_where_it_is_written_first() {
    let cases: [(&str, Make, Saved); 4] = [
        ("part of a file", |path| files::write(path, "much more than that").unwrap(), Ok(())),
        ("directory", |path| files::create_dir(path).unwrap(), Err(Errno::ISDIR)),
        ("link", |path| symlink("state", path).unwrap(), Err(Errno::LOOP)),
        ("FIFO", fifo, Err(Errno::NXIO)),
    ];
    for (what, make, saved) in cases {
        let directory = Directory::new();
        let store = directory.open();
        store.save(b"old").unwrap();
        make(&directory.path("state.new"));
        assert_eq!(store.save(b"new"), saved, "{what}");
        assert_eq!(
            store.load_some(),
            loaded(if saved.is_ok() { b"new" } else { b"old" }),
            "{what}"
        );
    }
}

#[test]
fn a_directory_that_is_gone() {
    let directory = Directory::new();
    let store = directory.open();
    files::remove_dir(&directory.0).unwrap();
    assert_eq!(store.save(b"text"), Err(Errno::NOENT));
    assert_eq!(store.load_some(), Loaded::Err(Errno::NOENT));
}

#[test]
fn the_id_of_a_boot() {
    let directory = Directory::new();
    let path = directory.path("boot_id");
    let id = "7c1f1c8e-6a42-4d29-9ce0-7a3b58a0a1f4";
    for (text, read) in [
        (format!("{id}\n"), Ok(id)),
        (id.into(), Ok(id)),
        (format!("{id}\r\n \n"), Ok(id)),
        ("a\tb".into(), Err(Errno::INVAL)),
        ("x".repeat(10_000), Ok(&*"x".repeat(64))),
        (String::new(), Err(Errno::INVAL)),
        ("\n".into(), Err(Errno::INVAL)),
        ("\t \u{1b}\u{e9}".into(), Err(Errno::INVAL)),
    ] {
        files::write(&path, &text).unwrap();
        let id = boot_id(&c(&path));
        assert_eq!(id.as_ref().map(|id| id.as_str()), read.as_ref().map(|id| *id), "{text:?}");
    }
    for (path, errno) in [
        (directory.path("none"), Errno::NOENT),
        (directory.0.clone(), Errno::ISDIR),
        (path.join("below"), Errno::NOTDIR),
    ] {
        assert_eq!(boot_id(&c(&path)), Err(errno));
    }
    // The kernel's own.
    assert_eq!(boot_id(c"/proc/sys/kernel/random/boot_id").unwrap().len(), id.len());
    // A pipe that nobody writes into is not waited for.
    let pipe = directory.path("pipe");
    fifo(&pipe);
    assert_eq!(boot_id(&c(&pipe)), Err(Errno::INVAL));
}
