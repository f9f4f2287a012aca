//! The messages of `bottlerocket-install`.

extern crate std;
use super::*;
use std::string::ToString;

#[test]
fn source_defaults_to_the_own_directory() {
    assert_eq!(Options::default().from, c"");
}

#[test]
fn actions() {
    for (found, action) in [
        (Found::Nothing, "installed"),
        (Found::Same, "unchanged"),
        (Found::WrongMode, "fixed the mode of"),
        (Found::WrongOwner, "fixed the owner of"),
        (Found::Other, "updated"),
    ] {
        assert_eq!(found.action(), action);
    }
}

#[test]
fn paths() {
    for (directory, name, shown) in [
        (&b"opt"[..], c"", "opt"),
        (b"opt/", c"", "opt"),
        (b"/a/b//", c"file", "/a/b/file"),
        (b"opt", c"file", "opt/file"),
        (b"/", c"", "/"),
        (b"//", c"file", "/file"),
        (b".", c"file", "./file"),
        (b"a b\n\xff\x1b", c"", "a b\\n\\xff\\x1b"),
    ] {
        let path = Path { directory, inner: c"", name };
        assert_eq!(path.to_string(), shown);
    }
}

#[test]
fn paths_in_an_inner_directory() {
    for (directory, name, shown) in [
        (&b"opt"[..], c"", "opt/reboot"),
        (b"opt//", c"record", "opt/reboot/record"),
        (b"/", c"", "/reboot"),
    ] {
        let path = Path { directory, inner: c"reboot", name };
        assert_eq!(path.to_string(), shown);
    }
}

#[test]
fn own_files_are_known_by_their_names() {
    for name in ["state", "state.new", "state.damaged"] {
        assert!(is_own(name.as_bytes(), STATE_FILES), "{name}");
    }
    for name in ["", "stat", "state.", "State", "record"] {
        assert!(!is_own(name.as_bytes(), STATE_FILES), "{name}");
    }
    // The record and its temporary file are where the reboot program writes them.
    let path = crate::record::DEFAULT_PATH.to_str().unwrap();
    let record = RECORD.to_str().unwrap();
    assert!(path.ends_with(&std::format!("/reboot/{record}")));
    assert!(is_own(std::format!("{record}.new").as_bytes(), RECORD_FILES));
}

#[test]
fn long_path_is_cut_off() {
    let mut buffer = heapless::Vec::<u8, 8>::new();
    put_path(&mut buffer, b"/a/long/path");
    assert_eq!(buffer, b"/a/long/");
}

#[test]
fn failures_with_advice() {
    use Role::{Removed, Source, State, Target};
    let label = "; check the user, the mode and the SELinux label";
    let from = "; set -from to the directory that contains the programs";
    let space = "; free some space and try again";
    let away = "; move it away or choose another directory";
    for (role, cause, text, advice) in [
        (Source, Cause::NotRegular, "not a regular file", from),
        (Source, Cause::Empty, "the file is empty", from),
        (Source, Cause::TooLarge, "the file is larger than 16 MiB", from),
        (Source, Cause::Changed, "the file changed while it was copied", "; try again"),
        (Target, Cause::Locked, "another install has held the lock for 10 seconds", "; try again"),
        (
            Target,
            Cause::ForeignOwner,
            "another user owns it and can replace the programs",
            "; change its owner or choose another directory",
        ),
        (
            Target,
            Cause::Shared,
            "it is shared with other users (sticky bit)",
            "; choose another directory",
        ),
        (Source, Cause::Errno(Errno::ACCESS), "permission denied", label),
        (Target, Cause::Errno(Errno::PERM), "operation not permitted", label),
        (Target, Cause::Errno(Errno::NOSPC), "no space left on device", space),
        (Target, Cause::Errno(Errno::DQUOT), "disk quota exceeded", space),
        (
            Target,
            Cause::Errno(Errno::ROFS),
            "read-only file system",
            "; mount the file system writable",
        ),
        (Source, Cause::Errno(Errno::NOENT), "no such file or directory", from),
        (Source, Cause::Errno(Errno::NOTDIR), "not a directory", from),
        (Source, Cause::Errno(Errno::NAMETOOLONG), "name too long", from),
        (
            Target,
            Cause::Errno(Errno::NOENT),
            "no such file or directory",
            "; choose another directory",
        ),
        (Target, Cause::Errno(Errno::NOTDIR), "not a directory", away),
        (Target, Cause::Errno(Errno::ISDIR), "is a directory", away),
        (Target, Cause::Errno(Errno::EXIST), "file exists", away),
        (Target, Cause::Errno(Errno::NAMETOOLONG), "name too long", ""),
        (State, Cause::Link, "it is a symbolic link", away),
        (State, Cause::Errno(Errno::NOTDIR), "not a directory", away),
        (
            State,
            Cause::ForeignFiles,
            "it contains files that are not the updater's",
            "; choose another directory",
        ),
        (
            State,
            Cause::Errno(Errno::PERM),
            "operation not permitted",
            "; run this as root with the group 274, or with the capability CHOWN",
        ),
        (State, Cause::Errno(Errno::ACCESS), "permission denied", label),
        (
            Removed,
            Cause::Link,
            "it is a symbolic link",
            "; remove it, and what it leads to, by hand",
        ),
        (Removed, Cause::Errno(Errno::NOTDIR), "not a directory", "; remove it by hand"),
        (Removed, Cause::Errno(Errno::PERM), "operation not permitted", label),
        (
            Removed,
            Cause::Errno(Errno::BUSY),
            "device or resource busy",
            "; mount the directory above it",
        ),
        (Target, Cause::Errno(Errno::IO), "input/output error", ""),
        (Source, Cause::Errno(Errno::IO), "input/output error", ""),
    ] {
        let path = Path { directory: b"opt/", inner: c"", name: c"file" };
        let failure = Failure { tried: "read", path, role, cause };
        assert_eq!(failure.to_string(), std::format!("cannot read opt/file: {text}{advice}"));
    }
}

#[test]
fn errno_is_a_cause() {
    assert_eq!(Cause::from(Errno::IO), Cause::Errno(Errno::IO));
}
