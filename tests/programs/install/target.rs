//! The installed files: contents, modes, links, leftovers.

use super::{
    CHECKER, INSTALLED, LEFTOVER, OTHER_USER, REBOOT, Scratch, UNCHANGED, UPDATED, contents, done,
    failed, is_root, run,
};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;

#[test]
fn installs_then_changes_nothing_then_updates() {
    let scratch = Scratch::new("story");
    scratch.programs("from", 1);
    let arguments = ["-from", "from", "opt"];
    assert_eq!(run(&mut scratch.install(&arguments)), done(INSTALLED));
    scratch.assert_installed("opt", 1);

    let look = |name: &str| {
        let metadata = fs::metadata(scratch.path("opt").join(name)).unwrap();
        (metadata.ino(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec())
    };
    let before = [look(CHECKER), look(REBOOT), look("")];
    assert_eq!(run(&mut scratch.install(&arguments)), done(UNCHANGED));
    assert_eq!([look(CHECKER), look(REBOOT), look("")], before);

    scratch.programs("from", 2);
    assert_eq!(run(&mut scratch.install(&arguments)), done(UPDATED));
    scratch.assert_installed("opt", 2);
    assert_ne!(look(CHECKER).0, before[0].0);

    fs::remove_file(scratch.path("opt/bottlerocket-reboot")).unwrap();
    assert_eq!(
        run(&mut scratch.install(&arguments)),
        done("unchanged opt/bottlerocket-checker\ninstalled opt/bottlerocket-reboot\n")
    );
    scratch.assert_installed("opt", 2);
}

#[test]
fn any_difference_in_a_file_is_an_update() {
    let scratch = Scratch::new("differences");
    scratch.programs("from", 1);
    let whole = contents(CHECKER, 1);
    let changed = |at: usize| {
        let mut other = whole.clone();
        other[at] ^= 1;
        other
    };
    for (difference, other) in [
        ("empty", Vec::new()),
        ("a byte less", whole[..whole.len() - 1].to_vec()),
        ("a byte more", [&whole[..], b"\0"].concat()),
        ("another first byte", changed(0)),
        ("another last byte", changed(whole.len() - 1)),
        ("another byte at the end of a read buffer", changed((16 << 10) - 1)),
        ("another byte at the start of a read buffer", changed(16 << 10)),
    ] {
        scratch.programs("opt", 1);
        fs::write(scratch.path("opt/bottlerocket-checker"), other).unwrap();
        assert_eq!(
            run(&mut scratch.install(&["-from=from", "opt"])),
            done("updated opt/bottlerocket-checker\nunchanged opt/bottlerocket-reboot\n"),
            "{difference}"
        );
        scratch.assert_installed("opt", 1);
    }
}

#[test]
fn wrong_mode_is_fixed() {
    let scratch = Scratch::new("modes");
    scratch.programs("from", 1);
    scratch.programs("opt", 1);
    for mode in [0o644, 0o700, 0o777, 0o4755, 0o2755, 0o1755, 0o444] {
        let path = scratch.path("opt/bottlerocket-reboot");
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            run(&mut scratch.install(&["-from", "from", "opt"])),
            done("unchanged opt/bottlerocket-checker\nfixed the mode of opt/bottlerocket-reboot\n"),
            "{mode:o}"
        );
        scratch.assert_installed("opt", 1);
    }
}

#[test]
fn program_of_another_user_is_replaced() {
    if !is_root() {
        println!("not tested, because only root can give a file to another user");
        return;
    }
    let scratch = Scratch::new("owners");
    scratch.programs("from", 1);
    for version in [1, 2] {
        scratch.programs("opt", version);
        let path = scratch.path("opt/bottlerocket-reboot");
        chown(&path, Some(OTHER_USER), None).unwrap();
        let action = if version == 1 { "fixed the owner of" } else { "updated" };
        let checker = if version == 1 { "unchanged" } else { "updated" };
        assert_eq!(
            run(&mut scratch.install(&["-from", "from", "opt"])),
            done(&format!("{checker} opt/{CHECKER}\n{action} opt/{REBOOT}\n"))
        );
        scratch.assert_installed("opt", 1);
        assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
    }
    // The programs of root are trusted, whoever runs the install.
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UNCHANGED));
}

#[test]
fn directory_that_others_may_write_to_is_fixed() {
    let scratch = Scratch::new("writable");
    scratch.programs("from", 1);
    for (mode, fixed) in [(0o777, 0o755), (0o775, 0o755), (0o757, 0o755), (0o2775, 0o2755)] {
        fs::create_dir(scratch.path("opt")).unwrap();
        fs::set_permissions(scratch.path("opt"), Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            run(&mut scratch.install(&["-from", "from", "opt"])),
            done(&format!("fixed the mode of opt\n{INSTALLED}")),
            "{mode:o}"
        );
        let found = fs::metadata(scratch.path("opt")).unwrap().mode() & 0o7777;
        assert_eq!(found, fixed, "{mode:o}");
        assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UNCHANGED));
        scratch.assert_installed("opt", 1);
        fs::remove_dir_all(scratch.path("opt")).unwrap();
    }
}

#[test]
fn directory_that_others_control_is_refused() {
    let scratch = Scratch::new("foreign");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    // It may be /tmp, which must stay as it is.
    for mode in [0o1777, 0o1775] {
        fs::set_permissions(scratch.path("opt"), Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            run(&mut scratch.install(&["-from", "from", "opt"])),
            failed(
                "cannot use directory opt: it is shared with other users (sticky bit); \
                 choose another directory"
            )
        );
        assert_eq!(fs::metadata(scratch.path("opt")).unwrap().mode() & 0o7777, mode);
        scratch.assert_installed("opt", 1);
    }
    fs::set_permissions(scratch.path("opt"), Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        chown(scratch.path("opt"), Some(OTHER_USER), None).unwrap();
        assert_eq!(
            run(&mut scratch.install(&["-from", "from", "opt"])),
            failed(
                "cannot use directory opt: another user owns it and can replace the programs; \
                 change its owner or choose another directory"
            )
        );
        scratch.assert_installed("opt", 1);
    }
}

#[test]
fn modes_do_not_depend_on_umask_or_source() {
    let scratch = Scratch::new("umask");
    scratch.programs("from", 1);
    fs::set_permissions(scratch.path("from/bottlerocket-checker"), Permissions::from_mode(0o400))
        .unwrap();
    for (mask, directory) in [("0", "open"), ("0777", "closed")] {
        let target = format!("{directory}/opt");
        let mut command =
            scratch.install_after(&format!("umask {mask}"), &["-from", "from", &target]);
        assert_eq!(run(&mut command).status, Some(0));
        scratch.assert_installed(&target, 1);
        for created in [directory, &target] {
            assert_eq!(fs::metadata(scratch.path(created)).unwrap().mode() & 0o7777, 0o755);
        }
    }
}

#[test]
fn accepts_any_form_of_a_path() {
    let scratch = Scratch::new("paths");
    scratch.programs("from", 1);
    fs::create_dir(scratch.path("real")).unwrap();
    symlink("real", scratch.path("link")).unwrap();
    let absolute = scratch.path("absolute").into_os_string().into_string().unwrap();
    for (from, into, shown, place) in [
        ("from", "plain", "plain", "plain"),
        ("from/", "slash/", "slash", "slash"),
        ("./from//", ".//a//b/../b/c///", ".//a//b/../b/c", "a/b/c"),
        ("real/../from", "link/below", "link/below", "real/below"),
        ("from", &absolute, &absolute, "absolute"),
        ("from", "from/../from/inside", "from/../from/inside", "from/inside"),
        ("from", ".", ".", "."),
    ] {
        assert_eq!(
            run(&mut scratch.install(&["-from", from, into])),
            done(&format!("installed {shown}/{CHECKER}\ninstalled {shown}/{REBOOT}\n"))
        );
        for name in [CHECKER, REBOOT] {
            assert_eq!(scratch.version(place, name), Some(1), "{into}");
        }
    }
    let mut command = scratch.install(&["-from", ".", "--", "-dash"]);
    assert_eq!(run(&mut command).status, Some(0));
    scratch.assert_installed("-dash", 1);
}

#[test]
fn accepts_a_path_longer_than_path_max() {
    let scratch = Scratch::new("long");
    scratch.programs("from", 1);
    let name = "d".repeat(255);
    let path = [name.as_str(); 20].join("/");
    for verb in ["installed", "unchanged"] {
        let end = run(&mut scratch.install(&["-from", "from", &path]));
        assert_eq!((end.status, end.err.as_str()), (Some(0), ""));
        assert_eq!(end.out.lines().filter(|line| line.starts_with(verb)).count(), 2);
    }
    let end = run(&mut scratch.install(&["-from", &path, "opt"]));
    assert_eq!(end, done(INSTALLED));
    scratch.assert_installed("opt", 1);

    let name = "d".repeat(256);
    assert_eq!(
        run(&mut scratch.install(&["-from", "from", &name])),
        failed(&format!("cannot open directory {name}: name too long"))
    );
}

#[test]
fn source_and_target_may_be_the_same() {
    let scratch = Scratch::new("itself");
    scratch.programs("opt", 1);
    assert_eq!(run(&mut scratch.install(&["-from", "opt", "opt"])), done(UNCHANGED));
    fs::set_permissions(scratch.path("opt/bottlerocket-checker"), Permissions::from_mode(0o600))
        .unwrap();
    let end = run(&mut scratch.install(&["-from", "opt", "opt"]));
    assert_eq!(end.status, Some(0));
    scratch.assert_installed("opt", 1);
}

#[test]
fn replaces_links_and_sockets_without_following_them() {
    let scratch = Scratch::new("links");
    scratch.programs("from", 2);
    fs::create_dir(scratch.path("opt")).unwrap();
    let target = scratch.path("opt/bottlerocket-checker");
    let elsewhere = scratch.path("elsewhere");

    // Links to another file, to the same program, to nothing, and to a directory.
    let (other, same) = (b"precious".to_vec(), contents(CHECKER, 2));
    for old in [&other, &same] {
        fs::write(&elsewhere, old).unwrap();
        let _ = fs::remove_file(&target);
        symlink(&elsewhere, &target).unwrap();
        let end = run(&mut scratch.install(&["-from", "from", "opt"]));
        assert!(end.out.starts_with("updated opt/bottlerocket-checker\n"), "{end:?}");
        scratch.assert_installed("opt", 2);
        assert_eq!(&fs::read(&elsewhere).unwrap(), old);
    }
    for destination in ["nowhere", "../from", "bottlerocket-checker"] {
        fs::remove_file(&target).unwrap();
        symlink(destination, &target).unwrap();
        let end = run(&mut scratch.install(&["-from", "from", "opt"]));
        assert!(end.out.starts_with("updated opt/bottlerocket-checker\n"), "{end:?}");
        scratch.assert_installed("opt", 2);
    }
    assert!(!scratch.path("opt/nowhere").exists());

    fs::remove_file(&target).unwrap();
    let _socket = UnixListener::bind(&target).unwrap();
    let end = run(&mut scratch.install(&["-from", "from", "opt"]));
    assert!(end.out.starts_with("updated opt/bottlerocket-checker\n"), "{end:?}");
    scratch.assert_installed("opt", 2);
}

#[test]
fn hard_link_to_the_old_file_keeps_its_contents() {
    let scratch = Scratch::new("names");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    fs::hard_link(scratch.path("opt").join(CHECKER), scratch.path("kept")).unwrap();
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UPDATED));
    assert_eq!(fs::read(scratch.path("kept")).unwrap(), contents(CHECKER, 1));
}

#[test]
fn removes_leftovers() {
    let scratch = Scratch::new("leftovers");
    scratch.programs("from", 2);
    scratch.programs("opt", 2);
    let leftover = scratch.path("opt").join(LEFTOVER);

    for mode in [0o600, 0o755, 0] {
        fs::write(&leftover, &contents(CHECKER, 2)[..1234]).unwrap();
        fs::set_permissions(&leftover, Permissions::from_mode(mode)).unwrap();
        fs::write(scratch.path("opt/.bottlerocket-reboot.new"), "").unwrap();
        assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UNCHANGED));
        scratch.assert_installed("opt", 2);
    }

    // A link in place of the temporary file does not redirect the write.
    fs::write(scratch.path("elsewhere"), "precious").unwrap();
    symlink("../elsewhere", &leftover).unwrap();
    scratch.programs("from", 3);
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UPDATED));
    scratch.assert_installed("opt", 3);
    assert_eq!(fs::read(scratch.path("elsewhere")).unwrap(), b"precious");

    // A directory is not a leftover of an install.
    fs::create_dir(&leftover).unwrap();
    assert_eq!(
        run(&mut scratch.install(&["-from", "from", "opt"])),
        failed(
            "cannot remove opt/.bottlerocket-checker.new: is a directory; \
             move it away or choose another directory"
        )
    );
}

#[test]
fn control_characters_in_a_path_are_escaped() {
    let scratch = Scratch::new("odd");
    scratch.programs("from", 1);
    let name = OsStr::from_bytes(b"a\nb\xff");
    let end = run(&mut scratch.install(&[OsStr::new("-from"), OsStr::new("from"), name]));
    assert_eq!(
        end,
        done(
            "installed a\\nb\\xff/bottlerocket-checker\ninstalled a\\nb\\xff/bottlerocket-reboot\n"
        )
    );
}
