//! The directory of the updater's state, the link to the API's socket for the gate, the
//! removal of everything, and waiting for SIGTERM.

use super::{CHECKER, End, INSTALLED, OTHER_USER, REBOOT, Scratch, done, failed, is_root, run};
use crate::common::program_path;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The group of the updater.
const GROUP: u32 = 274;

const STATE: [&str; 2] = ["-state-dir", "state"];

const LINK: [&str; 5] = ["-from", "from", "-gate-socket", "/run/api.sock", "opt"];

const REMOVE: [&str; 4] = ["-remove", "-state-dir", "state", "opt"];

/// The owner, the group and the mode of a file.
fn rights(scratch: &Scratch, path: &str) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(scratch.path(path)).unwrap();
    (found.uid(), found.gid(), found.mode() & 0o7777)
}

fn set_rights(scratch: &Scratch, path: &str, (user, group, mode): (u32, u32, u32)) {
    chown(scratch.path(path), Some(user), Some(group)).unwrap();
    fs::set_permissions(scratch.path(path), Permissions::from_mode(mode)).unwrap();
}

/// Everything that this project creates on a host.
fn host_with_everything(scratch: &Scratch) {
    scratch.programs("opt", 1);
    for directory in ["opt/reboot", "state"] {
        fs::create_dir(scratch.path(directory)).unwrap();
    }
    for file in [
        "opt/.bottlerocket-checker.new",
        "opt/.bottlerocket-reboot.new",
        "opt/reboot/record",
        "opt/reboot/record.new",
        "state/state",
        "state/state.new",
        "state/state.damaged",
    ] {
        fs::write(scratch.path(file), "").unwrap();
    }
    for name in ["api.sock", "api.sock.new", "updater.sock", "updater.sock.new"] {
        let link = format!("opt/reboot/{name}");
        symlink("/run/api.sock", scratch.path(&link)).unwrap();
    }
}

/// Copies the program into the directory, where any user can start it. Another process does
/// that: a process that another test starts meanwhile would inherit a file of this one that is
/// open for writing, and then nobody can start the program ("text file busy").
fn copy_program(scratch: &Scratch) {
    let mut command = Command::new("cp");
    command.arg(program_path("install")).arg(scratch.path("install"));
    assert!(command.status().unwrap().success());
}

#[test]
fn state_directory_is_created_and_fixed() {
    if !is_root() {
        println!("not tested, because only root can give a directory to another group");
        return;
    }
    let scratch = Scratch::new("state");
    assert_eq!(
        run(&mut scratch.install_after("umask 077", &["-state-dir", "var/lib/state/"])),
        done("created var/lib/state\n")
    );
    assert_eq!(rights(&scratch, "var/lib/state"), (0, GROUP, 0o770));
    assert_eq!(rights(&scratch, "var/lib").2, 0o755);

    fs::create_dir(scratch.path("state")).unwrap();
    for name in ["state", "state.new", "state.damaged"] {
        fs::write(scratch.path("state").join(name), name).unwrap();
    }
    let (owner, mode) = ("fixed the owner of state\n", "fixed the mode of state\n");
    for (before, said) in [
        ((0, GROUP, 0o770), "unchanged state\n"),
        ((0, 0, 0o755), &*format!("{owner}{mode}")),
        ((OTHER_USER, OTHER_USER, 0o770), owner),
        ((0, GROUP, 0o777), mode),
        ((0, GROUP, 0o2770), mode),
        ((0, GROUP, 0o1770), mode),
        ((OTHER_USER, GROUP, 0), &*format!("{owner}{mode}")),
    ] {
        set_rights(&scratch, "state", before);
        assert_eq!(run(&mut scratch.install(&STATE)), done(said), "{before:?}");
        assert_eq!(rights(&scratch, "state"), (0, GROUP, 0o770), "{before:?}");
    }
    assert_eq!(fs::read(scratch.path("state/state")).unwrap(), b"state");

    // As the init container does it: no capability, and the group 274.
    for before in [(0, 0, 0o755), (0, GROUP, 0o700)] {
        set_rights(&scratch, "state", before);
        let mut command = Command::new("setpriv");
        command.args(["--regid", "274", "--clear-groups", "--bounding-set", "-all"]);
        command.args(["--inh-caps", "-all", "--"]).arg(program_path("install")).args(STATE);
        let end = run(command.current_dir(&scratch.0));
        assert_eq!((end.status, end.err.as_str()), (Some(0), ""), "{before:?}");
        assert_eq!(rights(&scratch, "state"), (0, GROUP, 0o770), "{before:?}");
    }
}

#[test]
fn directory_of_others_does_not_become_the_state_directory() {
    let scratch = Scratch::new("state-of-others");
    fs::create_dir(scratch.path("lib")).unwrap();
    fs::create_dir(scratch.path("lib/containerd")).unwrap();
    fs::write(scratch.path("file"), "precious").unwrap();
    symlink("lib", scratch.path("link")).unwrap();
    let _socket = UnixListener::bind(scratch.path("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(scratch.path("fifo")).status().unwrap().success());
    let before = rights(&scratch, "lib");
    let away = "; move it away or choose another directory";
    let foreign = "it contains files that are not the updater's; choose another directory";
    for (path, why) in [
        ("lib", format!("set the owner and the mode of lib: {foreign}")),
        ("link", format!("open directory link: it is a symbolic link{away}")),
        ("link/below", format!("open directory link: it is a symbolic link{away}")),
        ("file", format!("open directory file: not a directory{away}")),
        ("file/below", format!("open directory file: not a directory{away}")),
        ("socket", format!("open directory socket: not a directory{away}")),
        ("fifo", format!("open directory fifo: not a directory{away}")),
    ] {
        assert_eq!(
            run(&mut scratch.install(&["-state-dir", path])),
            failed(&format!("cannot {why}")),
            "{path}"
        );
    }
    assert_eq!(rights(&scratch, "lib"), before);
    assert_eq!(scratch.list("lib"), ["containerd"]);
}

#[test]
fn state_directory_without_permission_is_an_error() {
    if !is_root() {
        println!("not tested, because this needs directories of two users");
        return;
    }
    // The other user may not be able to read the build directory, but can read this one.
    let scratch = Scratch::below(&std::env::temp_dir(), "state-permission");
    copy_program(&scratch);
    for (name, owner) in [("state", OTHER_USER), ("roots", 0)] {
        fs::create_dir(scratch.path(name)).unwrap();
        set_rights(&scratch, name, (owner, OTHER_USER, 0o755));
    }
    for (path, why) in [
        (
            "state",
            "set the owner of state: operation not permitted; run this as root with the group \
             274, or with the capability CHOWN",
        ),
        (
            "roots/state",
            "create directory roots/state: permission denied; check the user, the mode and the \
             SELinux label",
        ),
    ] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "./install"]);
        command.args(["-state-dir", path]).current_dir(&scratch.0);
        let err = format!("bottlerocket-install: cannot {why}\n");
        assert_eq!(run(&mut command), End { status: Some(3), out: String::new(), err });
    }
    assert_eq!(rights(&scratch, "state"), (OTHER_USER, OTHER_USER, 0o755));
}

#[test]
fn link_leads_to_the_socket_only_if_there_is_a_record() {
    let scratch = Scratch::new("link");
    scratch.programs("from", 1);
    let leads_to = |target: &str| {
        let end = run(&mut scratch.install(&LINK));
        assert_eq!((end.status, end.err.as_str()), (Some(0), ""));
        assert!(
            end.out.ends_with(&format!("\nopt/reboot/api.sock leads to {target}\n")),
            "{end:?}"
        );
        let link = fs::read_link(scratch.path("opt/reboot/api.sock")).unwrap();
        assert_eq!(link.to_str().unwrap(), target);
        assert!(!scratch.list("opt/reboot").contains(&"api.sock.new".into()));
    };
    leads_to("/dev/null");
    assert_eq!(rights(&scratch, "opt/reboot").2, 0o755);
    leads_to("/dev/null");
    fs::write(scratch.path("opt/reboot/record"), "any text").unwrap();
    leads_to("/run/api.sock");
    let look = || fs::symlink_metadata(scratch.path("opt/reboot/api.sock")).unwrap().ino();
    let before = look();
    leads_to("/run/api.sock");
    assert_eq!(look(), before);
    fs::remove_file(scratch.path("opt/reboot/record")).unwrap();
    leads_to("/dev/null");

    // What else may be in its place, and after a kill.
    fs::write(scratch.path("opt/reboot/api.sock.new"), "").unwrap();
    fs::remove_file(scratch.path("opt/reboot/api.sock")).unwrap();
    fs::write(scratch.path("opt/reboot/api.sock"), "").unwrap();
    leads_to("/dev/null");
    fs::set_permissions(scratch.path("opt/reboot"), Permissions::from_mode(0o777)).unwrap();
    leads_to("/dev/null");
    assert_eq!(rights(&scratch, "opt/reboot").2, 0o755);
}

#[test]
fn link_for_the_updater_always_leads_to_the_socket() {
    let scratch = Scratch::new("updater-link");
    let arguments = ["-updater-link", "opt/reboot"];
    let said = "opt/reboot/updater.sock leads to /run/api.sock\n";
    for _ in 0..2 {
        assert_eq!(run(&mut scratch.install(&arguments)), done(said));
        let link = fs::read_link(scratch.path("opt/reboot/updater.sock")).unwrap();
        assert_eq!(link.to_str().unwrap(), "/run/api.sock");
    }
    assert_eq!(scratch.list("opt/reboot"), ["updater.sock"]);
    assert_eq!(rights(&scratch, "opt/reboot").2, 0o755);

    // Whoever changes the link chooses what is mounted.
    fs::remove_file(scratch.path("opt/reboot/updater.sock")).unwrap();
    symlink("/run/containerd.sock", scratch.path("opt/reboot/updater.sock")).unwrap();
    fs::set_permissions(scratch.path("opt/reboot"), Permissions::from_mode(0o777)).unwrap();
    let fixed = format!("fixed the mode of opt/reboot\n{said}");
    assert_eq!(run(&mut scratch.install(&arguments)), done(&fixed));
    let link = fs::read_link(scratch.path("opt/reboot/updater.sock")).unwrap();
    assert_eq!(link.to_str().unwrap(), "/run/api.sock");
    assert_eq!(rights(&scratch, "opt/reboot").2, 0o755);
    if is_root() {
        chown(scratch.path("opt/reboot"), Some(OTHER_USER), None).unwrap();
        assert_eq!(
            run(&mut scratch.install(&arguments)),
            failed(
                "cannot use directory opt/reboot: another user owns it and can replace the \
                 programs; change its owner or choose another directory"
            )
        );
    }
}

#[test]
fn link_is_not_created_in_a_directory_of_others() {
    let scratch = Scratch::new("link-of-others");
    scratch.programs("from", 1);
    scratch.programs("opt", 1);
    fs::create_dir(scratch.path("elsewhere")).unwrap();
    let unchanged = "unchanged opt/bottlerocket-checker\nunchanged opt/bottlerocket-reboot\n";
    let refused = |why: &str| {
        let err = format!("bottlerocket-install: cannot {why}\n");
        assert_eq!(
            run(&mut scratch.install(&LINK)),
            End { status: Some(3), out: unchanged.into(), err }
        );
    };
    symlink("../elsewhere", scratch.path("opt/reboot")).unwrap();
    let away = "; move it away or choose another directory";
    refused(&format!("open directory opt/reboot: it is a symbolic link{away}"));
    assert!(scratch.list("elsewhere").is_empty());

    fs::remove_file(scratch.path("opt/reboot")).unwrap();
    fs::write(scratch.path("opt/reboot"), "").unwrap();
    refused(&format!("open directory opt/reboot: not a directory{away}"));

    fs::remove_file(scratch.path("opt/reboot")).unwrap();
    fs::create_dir_all(scratch.path("opt/reboot/api.sock")).unwrap();
    refused(&format!("replace opt/reboot/api.sock: is a directory{away}"));

    if is_root() {
        chown(scratch.path("opt/reboot"), Some(OTHER_USER), None).unwrap();
        refused(
            "use directory opt/reboot: another user owns it and can replace the programs; \
             change its owner or choose another directory",
        );
    }
}

#[test]
fn removes_everything_of_this_project() {
    let scratch = Scratch::new("remove");
    fs::write(scratch.path("precious"), "precious").unwrap();
    host_with_everything(&scratch);
    assert_eq!(
        run(&mut scratch.install(&REMOVE)),
        done(
            "removed opt/reboot/record\n\
             removed opt/reboot/record.new\n\
             removed opt/reboot/api.sock\n\
             removed opt/reboot/api.sock.new\n\
             removed opt/reboot/updater.sock\n\
             removed opt/reboot/updater.sock.new\n\
             removed opt/reboot\n\
             removed opt/bottlerocket-checker\n\
             removed opt/.bottlerocket-checker.new\n\
             removed opt/bottlerocket-reboot\n\
             removed opt/.bottlerocket-reboot.new\n\
             removed opt\n\
             removed state/state\n\
             removed state/state.new\n\
             removed state/state.damaged\n\
             removed state\n"
        )
    );
    assert_eq!(scratch.list("."), ["precious"]);
    // Nothing is left to do, in any form of a path.
    assert_eq!(run(&mut scratch.install(&REMOVE)), done("there is no opt\nthere is no state\n"));
    assert_eq!(run(&mut scratch.install(&["-remove", "a/b/"])), done("there is no a/b\n"));
    // What install creates is what it removes.
    scratch.programs("from", 1);
    let absolute = format!("{}/opt//", scratch.0.display());
    assert_eq!(run(&mut scratch.install(&LINK)).status, Some(0));
    assert_eq!(run(&mut scratch.install(&["-remove", &absolute])).status, Some(0));
    assert_eq!(scratch.list("."), ["from", "precious"]);
}

#[test]
fn keeps_files_of_others_and_names_them() {
    let scratch = Scratch::new("keep");
    host_with_everything(&scratch);
    fs::write(scratch.path("opt/notes\n"), "precious").unwrap();
    fs::create_dir(scratch.path("opt/reboot/backup")).unwrap();
    for number in 10..30 {
        fs::write(scratch.path(&format!("state/{number}")), "").unwrap();
    }
    // Other kinds of files under names of ours.
    for (path, kind) in
        [("opt/bottlerocket-checker", "link"), ("opt/bottlerocket-reboot", "directory")]
    {
        fs::remove_file(scratch.path(path)).unwrap();
        match kind {
            "link" => symlink("../precious", scratch.path(path)).unwrap(),
            _ => fs::create_dir(scratch.path(path)).unwrap(),
        }
    }
    fs::write(scratch.path("precious"), "precious").unwrap();
    fs::remove_file(scratch.path("opt/reboot/api.sock")).unwrap();
    fs::write(scratch.path("opt/reboot/api.sock"), "").unwrap();

    let end = run(&mut scratch.install(&REMOVE));
    assert_eq!((end.status, end.err.as_str()), (Some(0), ""));
    let other_kind = ": it is another kind of file than this project creates";
    for line in [
        &*format!("left opt/bottlerocket-checker{other_kind}"),
        &format!("left opt/bottlerocket-reboot{other_kind}"),
        &format!("left opt/reboot/api.sock{other_kind}"),
        "left opt/reboot/backup: not of this project",
        "left opt/notes\\n: not of this project",
        "left opt/reboot: not empty",
        "left opt: not empty",
        "left state: not empty",
        "removed state/state",
    ] {
        assert!(end.out.lines().any(|found| found == line), "{line}: {}", end.out);
    }
    assert_eq!(end.out.matches("left state/").count(), 10, "{}", end.out);
    assert_eq!(scratch.list("opt"), [CHECKER, REBOOT, "notes\n", "reboot"]);
    assert_eq!(scratch.list("opt/reboot"), ["api.sock", "backup"]);
    assert_eq!(scratch.list("state").len(), 20);
    assert_eq!(fs::read(scratch.path("precious")).unwrap(), b"precious");
}

#[test]
fn removal_never_follows_a_link() {
    let scratch = Scratch::new("remove-links");
    host_with_everything(&scratch);
    let before = [scratch.list("opt"), scratch.list("opt/reboot"), scratch.list("state")];
    symlink("opt", scratch.path("link")).unwrap();
    symlink(".", scratch.path("here")).unwrap();
    let by_hand = "it is a symbolic link; remove it, and what it leads to, by hand";
    for (path, at) in
        [("link", "link"), ("link/", "link"), ("here/opt", "here"), ("link/reboot", "link")]
    {
        assert_eq!(
            run(&mut scratch.install(&["-remove", path])),
            failed(&format!("cannot open directory {at}: {by_hand}")),
            "{path}"
        );
    }
    assert_eq!(before, ["opt", "opt/reboot", "state"].map(|directory| scratch.list(directory)));

    // The directory of the record is a link: everything else is removed.
    fs::rename(scratch.path("opt/reboot"), scratch.path("elsewhere")).unwrap();
    symlink("../elsewhere", scratch.path("opt/reboot")).unwrap();
    let end = run(&mut scratch.install(&REMOVE));
    assert_eq!(end.status, Some(3));
    let err = format!("bottlerocket-install: cannot open directory opt/reboot: {by_hand}\n");
    assert_eq!(end.err, err);
    assert!(end.out.ends_with("removed state\n"), "{}", end.out);
    assert_eq!(scratch.list("opt"), ["reboot"]);
    assert_eq!(scratch.list("elsewhere"), before[1]);
}

#[test]
fn removal_that_fails_is_told_and_does_the_rest() {
    if !is_root() {
        println!("not tested, because this needs directories of two users");
        return;
    }
    let scratch = Scratch::below(&std::env::temp_dir(), "remove-permission");
    copy_program(&scratch);
    host_with_everything(&scratch);
    fs::remove_dir_all(scratch.path("opt/reboot")).unwrap();
    let other = |command: &mut Command| {
        run(command.args(REMOVE).uid(OTHER_USER).gid(OTHER_USER).current_dir(&scratch.0))
    };
    // The directory above stays root's.
    chown(scratch.path("state"), Some(OTHER_USER), None).unwrap();
    let end = other(&mut Command::new(scratch.path("install")));
    assert_eq!(end.status, Some(3));
    let label = "permission denied; check the user, the mode and the SELinux label";
    assert_eq!(
        end.err,
        format!(
            "bottlerocket-install: cannot remove opt/bottlerocket-checker: {label}\n\
             bottlerocket-install: cannot remove opt/.bottlerocket-checker.new: {label}\n\
             bottlerocket-install: cannot remove opt/bottlerocket-reboot: {label}\n\
             bottlerocket-install: cannot remove opt/.bottlerocket-reboot.new: {label}\n\
             bottlerocket-install: cannot remove directory opt: {label}\n\
             bottlerocket-install: cannot remove directory state: {label}\n"
        )
    );
    assert_eq!(
        end.out,
        "removed state/state\nremoved state/state.new\nremoved state/state.damaged\n"
    );
}

#[test]
fn waits_until_a_signal_stops_it() {
    let scratch = Scratch::new("wait");
    for (signal, arguments) in
        [("TERM", &["-wait"] as &[&str]), ("INT", &["-wait", "-remove", "opt"])]
    {
        scratch.programs("opt", 1);
        let mut child = scratch
            .install(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Ends: with this line, or when the program ends.
        let said: Vec<_> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .take_while(|line| line != "everything is done: waiting for SIGTERM")
            .collect();
        assert_eq!(said.is_empty(), arguments.len() == 1, "{said:?}");
        assert!(child.try_wait().unwrap().is_none());
        let kill =
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        let mut complaints = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        assert_eq!(complaints, "");
    }
    assert_eq!(scratch.list("."), ["opt"; 0]);
}

#[test]
fn does_not_wait_after_a_failure() {
    let scratch = Scratch::new("no-wait");
    let end = run(&mut scratch.install(&["-wait", "-from", "nowhere", "opt"]));
    assert_eq!(end.status, Some(3));
}

#[test]
fn installs_and_creates_the_state_directory_at_once() {
    if !is_root() {
        println!("not tested, because only root can give a directory to another group");
        return;
    }
    let scratch = Scratch::new("both");
    scratch.programs("from", 1);
    let end = run(&mut scratch.install(&["-from", "from", "-state-dir", "state", "opt"]));
    assert_eq!(end, done(&format!("{INSTALLED}created state\n")));
}
