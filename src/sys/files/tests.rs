//! Files in real directories.

extern crate std;
use super::*;
use crate::sys::tests::Directory;
use std::fs as files;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

impl Directory {
    fn open(&self) -> Store {
        Store::open(&self.c_path("")).unwrap()
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
fn saved_text_is_loaded() {
    let directory = Directory::new();
    let store = directory.open();
    assert_eq!(store.load_some(), Loaded::Err(Errno::NOENT));
    for text in [&b"first"[..], b"second, and longer", b"3", &[0xff; 64]] {
        assert_eq!(store.save(text), Ok(()));
        assert_eq!(store.load_some(), loaded(text));
        assert_eq!(directory.open().load_some(), loaded(text));
        // There is no other file, and only its owner and its group may read this one.
        let names: Vec<_> = files::read_dir(directory.path("")).unwrap().collect();
        assert_eq!(names.len(), 1);
        let mode = directory.path("state").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
    }
    assert_eq!(store.quarantine(), Ok(()));
    assert_eq!(files::read(directory.path("state.damaged")).unwrap(), [0xff; 64]);
    assert_eq!(store.load_some(), Loaded::Err(Errno::NOENT));
    assert_eq!(store.quarantine(), Err(Errno::NOENT));
    // A later damaged file replaces it.
    assert_eq!((store.save(b"new"), store.quarantine()), (Ok(()), Ok(())));
    assert_eq!(files::read(directory.path("state.damaged")).unwrap(), b"new");
}

#[test]
fn load_stops_at_the_end_of_the_buffer() {
    let directory = Directory::new();
    for length in [0, 1, 63, 64, 65, 255, 256, 257, 100_000] {
        files::write(directory.path("state"), vec![b'x'; length]).unwrap();
        let text = directory.open().load_some().unwrap();
        assert!(text.iter().all(|byte| *byte == b'x'));
        assert_eq!(text.len(), length.min(64));
    }
}

#[test]
fn store_needs_a_directory() {
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
        let opened = Store::open(&directory.c_path(name)).map(|_| ());
        assert_eq!(opened, Err(errno), "{name}");
    }
    assert_eq!(Store::open(c"").map(|_| ()), Err(Errno::NOENT));
    // A link to a directory will do.
    symlink(".", directory.path("same")).unwrap();
    assert!(Store::open(&directory.c_path("same")).is_ok());
}

fn fifo(path: &Path) {
    let mode = Mode::from_raw_mode(0o600);
    fs::mknodat(CWD, path.as_os_str().as_bytes(), fs::FileType::Fifo, mode, 0).unwrap();
}

/// Makes something at a path.
type Make = fn(&Path);

/// The result of a save.
type Saved = Result<(), Errno>;

#[test]
fn other_kinds_of_files_in_place_of_the_state_file() {
    // What is there, and the results of loading and saving.
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
        files::write(directory.path("elsewhere"), "of another program").unwrap();
        let store = directory.open();
        assert_eq!(store.load_some(), load, "{what}");
        assert_eq!(store.save(b"text"), save, "{what}");
        if save.is_ok() {
            assert_eq!(store.load_some(), loaded(b"text"), "{what}");
        }
        assert_eq!(files::read(directory.path("elsewhere")).unwrap(), b"of another program");
    }
}

#[test]
fn leftovers_under_the_name_of_the_new_file() {
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
fn directory_that_was_removed_is_an_error() {
    let directory = Directory::new();
    let store = directory.open();
    files::remove_dir(directory.path("")).unwrap();
    assert_eq!(store.save(b"text"), Err(Errno::NOENT));
    assert_eq!(store.load_some(), Loaded::Err(Errno::NOENT));
}

#[test]
fn boot_id_is_a_line_of_text() {
    let directory = Directory::new();
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
        files::write(directory.path("boot_id"), &text).unwrap();
        let id = boot_id(&directory.c_path("boot_id"));
        assert_eq!(id.as_ref().map(|id| id.as_str()), read.as_ref().map(|id| *id), "{text:?}");
    }
    for (name, errno) in
        [("none", Errno::NOENT), ("", Errno::ISDIR), ("boot_id/below", Errno::NOTDIR)]
    {
        assert_eq!(boot_id(&directory.c_path(name)), Err(errno));
    }
    // The kernel's own.
    assert_eq!(boot_id(c"/proc/sys/kernel/random/boot_id").unwrap().len(), id.len());
    // A pipe without a writer does not block.
    fifo(&directory.path("pipe"));
    assert_eq!(boot_id(&directory.c_path("pipe")), Err(Errno::INVAL));
}

/// What is at a path, as [`load`] reads it.
fn load_some(path: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    load(path, &mut [0; 64]).map(|text| text.map(<[u8]>::to_vec))
}

#[test]
fn replaced_file_is_loaded_and_removed() {
    let directory = Directory::new();
    // Its directory does not exist yet.
    let path = directory.c_path("below/record");
    assert_eq!(load_some(&path), Ok(None));
    assert_eq!(remove(&path), Ok(false));
    for text in [&b"first"[..], b"second, and longer", b"3", &[0xff; 64], b""] {
        assert_eq!(replace(&path, text), Ok(()));
        assert_eq!(load_some(&path), Ok(Some(text.to_vec())));
        let names: Vec<_> = files::read_dir(directory.path("below")).unwrap().collect();
        assert_eq!(names.len(), 1);
        let mode = |name| directory.path(name).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("below"), mode("below/record")), (0o755, 0o640));
    }
    assert_eq!((remove(&path), remove(&path)), (Ok(true), Ok(false)));
    assert_eq!(load_some(&path), Ok(None));
    // The directory above must exist.
    assert_eq!(replace(&directory.c_path("no/such/record"), b"x"), Err(Errno::NOENT));
}

#[test]
fn file_belongs_to_the_group_of_the_api_if_root_writes_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = Directory::new();
    replace(&directory.c_path("record"), b"x").unwrap();
    let owner = directory.path("record").metadata().unwrap();
    let (user, group) = (MetadataExt::uid(&owner), MetadataExt::gid(&owner));
    assert_eq!((user, group), (0, 274));
}

#[test]
fn mode_of_an_existing_directory_stays() {
    let directory = Directory::new();
    files::create_dir(directory.path("below")).unwrap();
    files::set_permissions(directory.path("below"), PermissionsExt::from_mode(0o700)).unwrap();
    replace(&directory.c_path("below/record"), b"x").unwrap();
    let mode = directory.path("below").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn other_kinds_of_files_in_place_of_the_record() {
    // What is there, and the results of loading, replacing and removing.
    type Case = (&'static str, Make, Result<Option<Vec<u8>>, Errno>, Saved, Result<bool, Errno>);
    let cases: [Case; 5] = [
        (
            "directory",
            |path| files::create_dir(path).unwrap(),
            Err(Errno::ISDIR),
            Err(Errno::ISDIR),
            Err(Errno::ISDIR),
        ),
        ("link", |path| symlink("elsewhere", path).unwrap(), Err(Errno::LOOP), Ok(()), Ok(true)),
        ("FIFO", fifo, Ok(Some(vec![])), Ok(()), Ok(true)),
        (
            "long file",
            |path| files::write(path, [b'x'; 100_000]).unwrap(),
            Ok(Some(vec![b'x'; 64])),
            Ok(()),
            Ok(true),
        ),
        (
            "leftover",
            |path| files::write(path.with_extension("new"), "much more than that").unwrap(),
            Ok(None),
            Ok(()),
            Ok(false),
        ),
    ];
    for (what, make, loads, replaces, removes) in cases {
        let directory = Directory::new();
        let path = directory.c_path("record");
        make(&directory.path("record"));
        files::write(directory.path("elsewhere"), "of another program").unwrap();
        assert_eq!(load_some(&path), loads, "{what}");
        assert_eq!(remove(&path), removes, "{what}");
        if removes == Ok(true) {
            make(&directory.path("record"));
        }
        assert_eq!(replace(&path, b"text"), replaces, "{what}");
        if replaces.is_ok() {
            assert_eq!(load_some(&path), Ok(Some(b"text".to_vec())), "{what}");
        }
        assert_eq!(files::read(directory.path("elsewhere")).unwrap(), b"of another program");
    }
}

#[test]
fn paths_that_are_no_place_for_a_file_are_errors() {
    let directory = Directory::new();
    files::write(directory.path("file"), "").unwrap();
    for (name, errno) in [
        ("", Errno::ISDIR),
        ("file/below", Errno::NOTDIR),
        (&"x".repeat(256), Errno::NAMETOOLONG),
        (&format!("{}/record", "x".repeat(256)), Errno::NAMETOOLONG),
    ] {
        let path = directory.c_path(name);
        assert_eq!(load_some(&path), Err(errno), "{name}");
        assert!(replace(&path, b"x").is_err(), "{name}");
        assert!(remove(&path).is_err(), "{name}");
    }
    for (path, above) in
        [(c"record", c"."), (c"/record", c"/"), (c"/opt/record", c"/opt"), (c"/opt/", c"/opt")]
    {
        assert_eq!(PathBuffer::directory_of(path).map(|path| path.as_c_str() == above), Ok(true));
    }
}
