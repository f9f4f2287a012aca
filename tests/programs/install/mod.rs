//! `bottlerocket-install` as a whole: what it does to a directory, what it
//! says, and what is left when it is stopped, starved or run twice at once.
//!
//! Each test has a directory of its own, in which the program is started, so
//! that the messages name short relative paths.

use crate::common::program_path;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio, id};
use std::time::{Duration, Instant};

const CHECKER: &str = "bottlerocket-checker";
const REBOOT: &str = "bottlerocket-reboot";
const LEFTOVER: &str = ".bottlerocket-checker.new";

/// A few of the pieces in which the program reads, and some bytes.
const SIZE: usize = 100_000;

/// The signal for a file that exceeds its limit.
const SIGXFSZ: i32 = 25;

/// A directory that lasts as long as its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self::below(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    fn below(parent: &Path, name: &str) -> Self {
        let path = parent.join(format!("install-{name}-{}", id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Creates a directory with both programs in it, in some version.
    fn programs(&self, directory: &str, version: u8) {
        fs::create_dir_all(self.path(directory)).unwrap();
        for name in [CHECKER, REBOOT] {
            let path = self.path(directory).join(name);
            fs::write(&path, contents(name, version)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Creates a directory with real programs in it, under the names of those
    /// that are installed. What is installed from there can be executed: no
    /// thread of this process has ever had it open for writing.
    fn real_programs(&self, directory: &str) {
        fs::create_dir_all(self.path(directory)).unwrap();
        for name in [CHECKER, REBOOT] {
            symlink(program_path("install"), self.path(directory).join(name)).unwrap();
        }
    }

    /// The program with these arguments, to be started in this directory.
    fn install<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(program_path("install"));
        command.args(arguments).current_dir(&self.0);
        command
    }

    /// The same, but a shell does `first` before it becomes the program.
    fn install_after(&self, first: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]).arg(program_path("install"));
        command.args(arguments).current_dir(&self.0);
        command
    }

    /// What the directory holds, by name.
    fn list(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Asserts that the directory holds both programs in this version, as they
    /// should be, and nothing else.
    #[track_caller]
    fn assert_installed(&self, directory: &str, version: u8) {
        assert_eq!(self.list(directory), [CHECKER, REBOOT]);
        for name in [CHECKER, REBOOT] {
            assert_eq!(self.version(directory, name), Some(version), "{name}");
        }
    }

    /// The version of an installed program: `None` if it is not there. It must
    /// be one of the whole programs, and one that everybody can run.
    #[track_caller]
    fn version(&self, directory: &str, name: &str) -> Option<u8> {
        let path = self.path(directory).join(name);
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            metadata => metadata.unwrap(),
        };
        assert!(metadata.is_file(), "{metadata:?}");
        assert_eq!(metadata.mode() & 0o7777, 0o755, "mode of {name}");
        let found = fs::read(&path).unwrap();
        let version = (0..=9).find(|version| contents(name, *version) == found);
        assert!(version.is_some(), "{name} has {} bytes that are no program", found.len());
        version
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program: two versions have the same size and differ everywhere.
fn contents(name: &str, version: u8) -> Vec<u8> {
    let size = SIZE + name.len();
    (0..size).map(|at| (at / 7 + at * 31) as u8 ^ version.wrapping_mul(37)).collect()
}

/// How a program ended, and what it said.
#[derive(Debug, PartialEq)]
struct End {
    status: Option<i32>,
    out: String,
    err: String,
}

#[track_caller]
fn run(command: &mut Command) -> End {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    End::from(output)
}

impl From<Output> for End {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn done(out: &str) -> End {
    End { status: Some(0), out: out.into(), err: String::new() }
}

fn failed(why: &str) -> End {
    End { status: Some(3), out: String::new(), err: format!("bottlerocket-install: {why}\n") }
}

const INSTALLED: &str = "installed opt/bottlerocket-checker\ninstalled opt/bottlerocket-reboot\n";
const UPDATED: &str = "updated opt/bottlerocket-checker\nupdated opt/bottlerocket-reboot\n";
const UNCHANGED: &str = "unchanged opt/bottlerocket-checker\nunchanged opt/bottlerocket-reboot\n";

#[test]
fn installs_then_leaves_alone_then_updates() {
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
fn sees_every_difference() {
    let scratch = Scratch::new("differences");
    scratch.programs("from", 1);
    let whole = contents(CHECKER, 1);
    let changed = |at: usize| {
        let mut other = whole.clone();
        other[at] ^= 1;
        other
    };
    for (what, other) in [
        ("nothing in it", Vec::new()),
        ("a byte less", whole[..whole.len() - 1].to_vec()),
        ("a byte more", [&whole[..], b"\0"].concat()),
        ("another first byte", changed(0)),
        ("another last byte", changed(whole.len() - 1)),
        ("another byte at the end of a piece", changed((16 << 10) - 1)),
        ("another byte at the start of a piece", changed(16 << 10)),
    ] {
        scratch.programs("opt", 1);
        fs::write(scratch.path("opt/bottlerocket-checker"), other).unwrap();
        assert_eq!(
            run(&mut scratch.install(&["-from=from", "opt"])),
            done("updated opt/bottlerocket-checker\nunchanged opt/bottlerocket-reboot\n"),
            "{what}"
        );
        scratch.assert_installed("opt", 1);
    }
}

#[test]
fn mends_the_mode_and_nothing_else() {
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
fn the_modes_do_not_depend_on_the_umask_nor_on_the_source() {
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
fn takes_a_directory_however_it_is_written() {
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
fn takes_a_path_that_is_longer_than_the_kernel_would() {
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
fn the_source_may_be_the_target() {
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
fn replaces_what_is_no_file_and_does_not_follow_it() {
    let scratch = Scratch::new("links");
    scratch.programs("from", 2);
    fs::create_dir(scratch.path("opt")).unwrap();
    let target = scratch.path("opt/bottlerocket-checker");
    let elsewhere = scratch.path("elsewhere");

    // To another file, to the very program, to nothing, and to a directory.
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
fn another_name_of_the_old_file_keeps_it() {
    let scratch = Scratch::new("names");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    fs::hard_link(scratch.path("opt").join(CHECKER), scratch.path("kept")).unwrap();
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UPDATED));
    assert_eq!(fs::read(scratch.path("kept")).unwrap(), contents(CHECKER, 1));
}

#[test]
fn clears_leftovers_away() {
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

    // A link is no way to have another file written.
    fs::write(scratch.path("elsewhere"), "precious").unwrap();
    symlink("../elsewhere", &leftover).unwrap();
    scratch.programs("from", 3);
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UPDATED));
    scratch.assert_installed("opt", 3);
    assert_eq!(fs::read(scratch.path("elsewhere")).unwrap(), b"precious");

    // No install leaves a directory.
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
fn refuses_what_is_no_program() {
    let scratch = Scratch::new("sources");
    scratch.programs("opt", 1);
    let source = scratch.path("from").join(REBOOT);
    let fresh = || {
        let _ = fs::remove_dir_all(scratch.path("from"));
        scratch.programs("from", 2);
        fs::remove_file(&source).unwrap();
    };
    let refused = |why: &str| {
        assert_eq!(
            run(&mut scratch.install(&["-from", "from", "opt"])),
            failed(&format!(
                "cannot use from/bottlerocket-reboot: {why}; \
                 set -from to the directory that contains the programs"
            ))
        );
        // Neither has the program been touched that comes first and is good.
        scratch.assert_installed("opt", 1);
        let end = run(&mut scratch.install(&["-from", "from", "new/opt"]));
        assert_eq!(end.status, Some(3));
        assert!(!scratch.path("new").exists());
    };

    fresh();
    refused("no such file or directory");
    symlink("nowhere", &source).unwrap();
    refused("no such file or directory");

    fresh();
    fs::write(&source, "").unwrap();
    refused("the file is empty");

    let file = File::create(&source).unwrap();
    file.set_len((16 << 20) + 1).unwrap();
    refused("the file is larger than 16 MiB");

    fresh();
    fs::create_dir(&source).unwrap();
    refused("not a regular file");

    fresh();
    symlink("/dev/zero", &source).unwrap();
    refused("not a regular file");

    fresh();
    let _socket = UnixListener::bind(&source).unwrap();
    refused("not a regular file");

    // Opened the ordinary way, it would wait for a writer for ever.
    fresh();
    assert!(Command::new("mkfifo").arg(&source).status().unwrap().success());
    refused("not a regular file");
}

#[test]
fn takes_a_program_as_large_as_it_may_be() {
    let scratch = Scratch::new("large");
    scratch.programs("from", 1);
    let source = OpenOptions::new().write(true).open(scratch.path("from").join(CHECKER)).unwrap();
    source.set_len(16 << 20).unwrap();
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(INSTALLED));
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UNCHANGED));
    let [source, target] = ["from", "opt"].map(|dir| fs::read(scratch.path(dir).join(CHECKER)));
    assert!(source.unwrap() == target.unwrap());
}

#[test]
fn says_what_is_in_the_way() {
    let scratch = Scratch::new("ways");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    fs::write(scratch.path("file"), "precious").unwrap();
    symlink("nowhere", scratch.path("link")).unwrap();
    symlink("round", scratch.path("round")).unwrap();
    fs::create_dir_all(scratch.path("blocked/bottlerocket-checker")).unwrap();
    let source = "; set -from to the directory that contains the programs";
    let target = "; move it away or choose another directory";
    for (from, into, why, advice) in [
        ("from", "file", "cannot open directory file: not a directory", target),
        ("from", "file/", "cannot open directory file: not a directory", target),
        ("from", "file/a/b", "cannot open directory file: not a directory", target),
        (
            "from",
            "opt/bottlerocket-checker/a",
            "cannot open directory opt/bottlerocket-checker: not a directory",
            target,
        ),
        (
            "from",
            "link",
            "cannot open directory link: no such file or directory",
            "; choose another directory",
        ),
        ("from", "round/a", "cannot open directory round: too many symbolic links", ""),
        ("from", "blocked", "cannot replace blocked/bottlerocket-checker: is a directory", target),
        ("nowhere", "opt", "cannot open directory nowhere: no such file or directory", source),
        ("from/a/b", "opt", "cannot open directory from/a: no such file or directory", source),
        ("file", "opt", "cannot open directory file: not a directory", source),
        (
            "opt/..",
            "opt",
            "cannot use opt/../bottlerocket-checker: no such file or directory",
            source,
        ),
    ] {
        assert_eq!(
            run(&mut scratch.install(&["-from", from, into])),
            failed(&format!("{why}{advice}")),
        );
    }
    scratch.assert_installed("opt", 1);
    assert_eq!(scratch.list("blocked"), [CHECKER]);
    assert_eq!(scratch.list("."), ["blocked", "file", "from", "link", "opt", "round"]);
    assert_eq!(fs::read(scratch.path("file")).unwrap(), b"precious");
}

#[test]
fn odd_names_stay_on_one_line() {
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

#[test]
fn installs_what_lies_beside_it() {
    // The programs of this build.
    let scratch = Scratch::new("beside");
    let end = run(&mut scratch.install(&["opt"]));
    assert_eq!(end, done(INSTALLED));
    let built = ["checker", "reboot"].map(program_path);
    for (name, built) in [CHECKER, REBOOT].into_iter().zip(built) {
        let installed = scratch.path("opt").join(name);
        assert!(fs::read(&installed).unwrap() == fs::read(&built).unwrap());
        assert_eq!(
            run(Command::new(installed).arg("--version")).status,
            run(Command::new(built).arg("--version")).status
        );
    }

    // Called by the name of a link, it looks where it really lies.
    symlink(program_path("install"), scratch.path("link")).unwrap();
    let mut command = Command::new(scratch.path("link"));
    assert_eq!(run(command.arg("opt").current_dir(&scratch.0)), done(UNCHANGED));
}

#[test]
fn finds_its_directory_when_its_file_is_gone() {
    let scratch = Scratch::new("gone");
    scratch.real_programs("from");
    assert_eq!(run(&mut scratch.install(&["-from", "from", "home"])).status, Some(0));
    let path = scratch.path("home").join(CHECKER);
    let file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    scratch.programs("home", 1);

    // The kernel now calls it "home/bottlerocket-checker (deleted)".
    let program = format!("/proc/{}/fd/{}", id(), file.as_raw_fd());
    let mut command = Command::new(&program);
    assert_eq!(run(command.arg("opt").current_dir(&scratch.0)), done(INSTALLED));
    scratch.assert_installed("opt", 1);

    fs::remove_dir_all(scratch.path("home")).unwrap();
    let end = run(&mut command);
    let missing = scratch.path("home").into_os_string().into_string().unwrap();
    assert_eq!(
        end,
        failed(&format!(
            "cannot open directory {missing}: no such file or directory; \
             set -from to the directory that contains the programs"
        ))
    );
}

#[test]
fn says_that_its_directory_cannot_be_told() {
    let scratch = Scratch::new("untold");
    scratch.real_programs("from");
    let name = "d".repeat(255);
    let path = [name.as_str(); 20].join("/");
    assert_eq!(run(&mut scratch.install(&["-from", "from", &path])).status, Some(0));

    // The path is too long to be entered in one step.
    let mut place = File::open(&scratch.0).unwrap();
    for name in path.split('/') {
        place = File::open(format!("/proc/self/fd/{}/{name}", place.as_raw_fd())).unwrap();
    }
    let place = format!("/proc/{}/fd/{}", id(), place.as_raw_fd());
    let mut command = Command::new(format!("{place}/{CHECKER}"));
    command.current_dir(&scratch.0);
    assert_eq!(
        run(command.arg("opt")),
        failed(
            "cannot read link /proc/self/exe: name too long; \
             set -from to the directory that contains the programs"
        )
    );
    assert_eq!(run(command.args(["-from", "from"])).status, Some(0));
}

#[test]
fn takes_its_arguments_as_go_programs_do() {
    let scratch = Scratch::new("arguments");
    scratch.programs("from", 1);
    for arguments in [
        &["-from", "from", "opt"] as &[&str],
        &["--from", "from", "opt"],
        &["-from=from", "opt"],
        &["--from=from", "opt"],
        &["opt", "-from", "from"],
        &["-from", "from", "--", "opt"],
        &["-from", "nowhere", "-from", "from", "opt"],
    ] {
        assert_eq!(run(&mut scratch.install(arguments)).status, Some(0), "{arguments:?}");
        scratch.assert_installed("opt", 1);
        fs::remove_dir_all(scratch.path("opt")).unwrap();
    }

    for (arguments, why) in [
        (&[] as &[&str], "missing argument DIR"),
        (&["-from", "from"], "missing argument DIR"),
        (&["--"], "missing argument DIR"),
        (&[""], "missing argument DIR"),
        (&["opt", "more"], "unexpected argument \"more\""),
        (&["-from", "from", "opt", "more"], "unexpected argument \"more\""),
        (&["-form", "from", "opt"], "unknown flag \"-form\""),
        (&["opt", "--force=yes"], "unknown flag \"--force=yes\""),
        (&["opt", "-from"], "flag -from needs a value"),
        (&["opt", "-from="], "flag -from needs a value"),
        (&["-from", "", "opt"], "flag -from needs a value"),
    ] {
        let end = run(&mut scratch.install(arguments));
        let err = format!("bottlerocket-install: {why}; see bottlerocket-install --help\n");
        assert_eq!(end, End { status: Some(2), out: String::new(), err }, "{arguments:?}");
    }
    assert_eq!(scratch.list("."), ["from"]);

    for help in ["-h", "--h", "-help", "--help"] {
        let end = run(&mut scratch.install(&[help]));
        assert_eq!((end.status, end.err.as_str()), (Some(0), ""));
        assert!(end.out.starts_with("Usage: bottlerocket-install [flags] DIR\n"));
        for part in ["-from DIR", "(default: ", "-help", "-version", "Exit status:", "Example:"] {
            assert!(end.out.contains(part), "{part}");
        }
    }
    let version = concat!("bottlerocket-install ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&mut scratch.install(&["--version"])), done(version));
}

#[test]
fn closed_streams_do_not_become_files() {
    let scratch = Scratch::new("streams");
    let closed = ["<&-", ">&-", "2>&-"];
    for choice in 0..8u8 {
        let close: Vec<_> =
            (0..3).filter(|bit| choice & (1 << bit) != 0).map(|bit| closed[bit]).collect();
        let close = format!("exec {}", close.join(" "));
        for version in [1, 2] {
            scratch.programs("from", version);
            let end = run(&mut scratch.install_after(&close, &["-from", "from", "opt"]));
            assert_eq!((end.status, end.err.as_str()), (Some(0), ""), "{close}");
            scratch.assert_installed("opt", version);
        }
        fs::create_dir(scratch.path("opt").join(LEFTOVER)).unwrap();
        let end = run(&mut scratch.install_after(&close, &["-from", "from", "opt"]));
        assert_eq!(end.status, Some(3), "{close}");
        assert_eq!(scratch.version("opt", CHECKER), Some(2));
        fs::remove_dir_all(scratch.path("opt")).unwrap();
    }
    // Nobody listens.
    for close in ["exec >/dev/full 2>&1", "exec >/dev/null 2>/dev/full"] {
        let end = run(&mut scratch.install_after(close, &["-from", "from", "opt"]));
        assert_eq!(end.status, Some(0), "{close}");
        scratch.assert_installed("opt", 2);
    }
}

/// Starts a program that has been installed under the name of the checker, and
/// really is `bottlerocket-install`: it waits for the lock of `locked`.
fn start_waiting(scratch: &Scratch, locked: &str) -> (Child, File) {
    fs::create_dir(scratch.path(locked)).unwrap();
    let lock = File::open(scratch.path(locked)).unwrap();
    lock.lock().unwrap();
    let mut command = Command::new(scratch.path("opt").join(CHECKER));
    command.args(["-from", "other", locked]).current_dir(&scratch.0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    (command.spawn().unwrap(), lock)
}

#[test]
fn replaces_a_program_that_is_running() {
    let scratch = Scratch::new("running");
    scratch.real_programs("from");
    scratch.programs("other", 1);
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(INSTALLED));
    let (mut running, lock) = start_waiting(&scratch, "locked");

    // The program runs, for what cannot be done to a running one cannot be done.
    let target = scratch.path("opt").join(CHECKER);
    let error = OpenOptions::new().write(true).open(target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ExecutableFileBusy);

    assert_eq!(run(&mut scratch.install(&["-from", "other", "opt"])), done(UPDATED));
    scratch.assert_installed("opt", 1);

    // It has kept its own file, and comes to its end.
    assert_eq!(running.try_wait().unwrap(), None);
    drop(lock);
    let out = "installed locked/bottlerocket-checker\ninstalled locked/bottlerocket-reboot\n";
    assert_eq!(End::from(running.wait_with_output().unwrap()), done(out));
    scratch.assert_installed("locked", 1);
}

#[test]
fn waits_for_another_install() {
    let scratch = Scratch::new("waiting");
    scratch.real_programs("from");
    scratch.programs("other", 1);
    assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(INSTALLED));
    let (mut waiting, lock) = start_waiting(&scratch, "locked");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(waiting.try_wait().unwrap(), None);
    assert_eq!(scratch.list("locked"), [""; 0]);
    drop(lock);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    scratch.assert_installed("locked", 1);
}

#[test]
fn does_not_wait_for_ever() {
    let scratch = Scratch::new("locked");
    scratch.programs("from", 1);
    fs::create_dir(scratch.path("opt")).unwrap();
    let lock = File::open(scratch.path("opt")).unwrap();
    lock.lock().unwrap();
    let start = Instant::now();
    assert_eq!(
        run(&mut scratch.install(&["-from", "from", "opt"])),
        failed(
            "cannot lock directory opt: another install has held the lock for 10 seconds; try again"
        )
    );
    assert!(start.elapsed() >= Duration::from_secs(10));
    assert_eq!(scratch.list("opt"), [""; 0]);
}

#[test]
fn installs_at_once_do_not_get_in_each_others_way() {
    let scratch = Scratch::new("at-once");
    for version in 1..=3 {
        scratch.programs(&format!("from{version}"), version);
    }
    for round in 0..25 {
        // Half of the rounds start without the directory.
        let into = format!("a{}/b/opt", round / 2);
        let running: Vec<_> = (1..=3)
            .map(|version| {
                let mut command = scratch.install(&["-from", &format!("from{version}"), &into]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in running {
            let end = End::from(child.wait_with_output().unwrap());
            assert_eq!((end.status, end.err.as_str()), (Some(0), ""));
            assert_eq!(end.out.lines().count(), 2);
        }
        // The programs are those of the same install, the last one.
        let version = scratch.version(&into, CHECKER).unwrap();
        scratch.assert_installed(&into, version);
    }
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
    let scratch = Scratch::new("limit");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    // The limit is in units of 512 bytes.
    for limit in (0..=SIZE / 512).step_by(13) {
        let first = format!("trap '' {SIGXFSZ}; ulimit -f {limit}");
        assert_eq!(
            run(&mut scratch.install_after(&first, &["-from", "from", "opt"])),
            failed("cannot write opt/.bottlerocket-checker.new: file too large"),
            "{limit}"
        );
        scratch.assert_installed("opt", 1);
    }
}

#[test]
fn a_death_while_writing_leaves_the_old_file_and_the_next_run_cleans_up() {
    let scratch = Scratch::new("death");
    scratch.programs("from", 2);
    // The kernel ends the program at the first byte beyond the limit.
    for limit in (0..=SIZE / 512).step_by(13) {
        scratch.programs("opt", 1);
        let first = format!("ulimit -c 0; ulimit -f {limit}");
        let mut command = scratch.install_after(&first, &["-from", "from", "opt"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(SIGXFSZ), "{limit}");
        assert_eq!(scratch.list("opt"), [LEFTOVER, CHECKER, REBOOT], "{limit}");
        let leftover = fs::metadata(scratch.path("opt").join(LEFTOVER)).unwrap();
        assert_eq!(leftover.mode() & 0o777, 0o600);
        assert_eq!(leftover.len(), 512 * limit as u64);
        assert_eq!(scratch.version("opt", CHECKER), Some(1));

        assert_eq!(run(&mut scratch.install(&["-from", "from", "opt"])), done(UPDATED));
        scratch.assert_installed("opt", 2);
    }
}

#[test]
fn may_be_killed_at_any_moment() {
    const ROUNDS: u32 = 200;
    let scratch = Scratch::new("kill");
    for version in [1, 2] {
        scratch.programs(&format!("from{version}"), version);
    }
    scratch.programs("opt", 1);
    let start = Instant::now();
    for version in [2, 1, 2, 1] {
        let from = format!("from{version}");
        assert_eq!(run(&mut scratch.install(&["-from", &from, "opt"])), done(UPDATED));
    }
    let usual = start.elapsed() / 4;

    let (mut killed, mut leftovers) = (0, 0);
    for round in 0..ROUNDS {
        let from = if round % 2 == 0 { "from2" } else { "from1" };
        let mut command = scratch.install(&["-from", from, "opt"]);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while start.elapsed() < usual * round / ROUNDS {}
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().signal().is_some());

        for name in [CHECKER, REBOOT] {
            assert!(matches!(scratch.version("opt", name), Some(1 | 2)));
        }
        let others = scratch.list("opt").len() - 2;
        assert!(others <= 1);
        leftovers += others;
    }
    println!("{killed} of {ROUNDS} were killed in time, {leftovers} left something behind");
    assert_eq!(run(&mut scratch.install(&["-from", "from2", "opt"])).status, Some(0));
    scratch.assert_installed("opt", 2);
}

#[test]
fn too_few_open_files_are_an_error_like_any_other() {
    let scratch = Scratch::new("files");
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    let mut succeeded = false;
    for limit in 3..16 {
        let first = format!("ulimit -n {limit}");
        let end = run(&mut scratch.install_after(&first, &["-from", "from", "opt"]));
        match end.status {
            Some(0) => {
                assert_eq!(end, done(UPDATED));
                succeeded = true;
                break;
            }
            _ => {
                assert_eq!((end.status, end.out.as_str()), (Some(3), ""), "{end:?}");
                assert!(end.err.ends_with(": too many open files\n"), "{end:?}");
                assert_eq!(end.err.lines().count(), 1);
                scratch.assert_installed("opt", 1);
            }
        }
    }
    assert!(succeeded);
    scratch.assert_installed("opt", 2);
}

#[test]
fn says_that_it_has_no_permission() {
    // Everybody can get at this one, unlike perhaps at the place of the build:
    // should this be root, the program is run as somebody else.
    let scratch = Scratch::below(&std::env::temp_dir(), "permission");
    scratch.real_programs("real");
    assert_eq!(run(&mut scratch.install(&["-from", "real", "bin"])).status, Some(0));
    scratch.programs("from", 2);
    scratch.programs("opt", 1);
    let install = |arguments: &[&str]| {
        let mut command = Command::new(scratch.path("bin").join(CHECKER));
        command.args(arguments).current_dir(&scratch.0);
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(65534).gid(65534);
        }
        run(&mut command)
    };
    let set_mode = |path: &str, mode| {
        fs::set_permissions(scratch.path(path), Permissions::from_mode(mode)).unwrap();
    };
    for (path, mode, into, what) in [
        ("from", 0o000, "opt", "use from/bottlerocket-checker"),
        ("from/bottlerocket-reboot", 0o000, "opt", "use from/bottlerocket-reboot"),
        ("opt", 0o555, "opt", "create opt/.bottlerocket-checker.new"),
        ("opt", 0o555, "opt/a/b", "create directory opt/a"),
        ("opt", 0o333, "opt", "lock directory opt"),
        ("opt", 0o666, "opt", "lock directory opt"),
        ("opt", 0o666, "opt/a", "open directory opt/a"),
    ] {
        set_mode(path, mode);
        let why = "permission denied; check the user, the mode and the SELinux label";
        assert_eq!(
            install(&["-from", "from", into]),
            failed(&format!("cannot {what}: {why}")),
            "{path} with {mode:o}"
        );
        set_mode(path, 0o755);
        scratch.assert_installed("opt", 1);
    }

    fs::write(scratch.path("opt").join(LEFTOVER), "").unwrap();
    set_mode("opt", 0o555);
    assert_eq!(
        install(&["-from", "from", "opt"]),
        failed(
            "cannot remove opt/.bottlerocket-checker.new: permission denied; \
             check the user, the mode and the SELinux label"
        )
    );
    set_mode("opt", 0o755);
    fs::remove_file(scratch.path("opt").join(LEFTOVER)).unwrap();

    // Nobody needs a permission for what need not be done.
    scratch.programs("opt", 2);
    set_mode("opt", 0o555);
    assert_eq!(install(&["-from", "from", "opt"]), done(UNCHANGED));

    // What cannot be read can be replaced, and made usable again.
    set_mode("opt", 0o777);
    set_mode("opt/bottlerocket-reboot", 0);
    assert_eq!(
        install(&["-from", "from", "opt"]),
        done("unchanged opt/bottlerocket-checker\nupdated opt/bottlerocket-reboot\n")
    );
    scratch.assert_installed("opt", 2);
}

/// Runs `script` with `$install` where it may mount file systems that nobody
/// else sees: what it said, or `None` if this machine does not allow that.
#[track_caller]
fn run_with_mounts(scratch: &Scratch, script: &str) -> Option<String> {
    let unshare = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare
            .arg("-Urm")
            .args(command)
            .env("install", program_path("install"))
            .current_dir(&scratch.0);
        unshare.output().map(End::from)
    };
    let mount = "mount -t tmpfs none opt";
    match unshare(&["sh", "-c", mount]) {
        Ok(End { status: Some(0), .. }) => {}
        other => {
            println!("not tested, for nothing can be mounted here: {other:?}");
            return None;
        }
    }
    let end = unshare(&["sh", "-e", "-c", script]).unwrap();
    assert_eq!((end.status, end.err.as_str()), (Some(0), ""), "{}", end.out);
    Some(end.out)
}

#[test]
fn says_that_the_file_system_is_full() {
    let scratch = Scratch::new("full");
    scratch.programs("from", 2);
    scratch.programs("old", 1);
    fs::create_dir(scratch.path("opt")).unwrap();
    // Room for a part of another program, or for no more names.
    for (options, what, below, made) in [
        (
            "size=256k",
            "write opt/.bottlerocket-checker.new",
            "write opt/a/b/.bottlerocket-checker.new",
            // Directories take no room there.
            "a\n",
        ),
        ("nr_inodes=3", "create opt/.bottlerocket-checker.new", "create directory opt/a", ""),
    ] {
        let script = format!(
            "mount -t tmpfs -o {options} none opt
             cp -p old/* opt
             $install -from from opt 2>&1 || echo $?
             cmp old/{CHECKER} opt/{CHECKER}
             cmp old/{REBOOT} opt/{REBOOT}
             ls -A opt
             $install -from from opt/a/b 2>&1 || echo $?
             ls -A opt
             mount -o remount,size=8m,nr_inodes=99 opt
             $install -from from opt
             $install -from from opt/a/b
             cmp from/{CHECKER} opt/{CHECKER}
             cmp from/{REBOOT} opt/a/b/{REBOOT}"
        );
        if let Some(out) = run_with_mounts(&scratch, &script) {
            let failed = |what| {
                format!(
                    "bottlerocket-install: cannot {what}: no space left on device; \
                     free some space and try again\n3\n"
                )
            };
            let (failed, below) = (failed(what), failed(below));
            let left = format!("{CHECKER}\n{REBOOT}\n");
            assert_eq!(
                out,
                format!(
                    "{failed}{left}{below}{made}{left}{UPDATED}\
                     installed opt/a/b/{CHECKER}\ninstalled opt/a/b/{REBOOT}\n"
                )
            );
        }
    }
}

#[test]
fn says_that_the_file_system_is_read_only() {
    let scratch = Scratch::new("read-only");
    scratch.programs("from", 2);
    scratch.programs("old", 1);
    fs::create_dir(scratch.path("opt")).unwrap();
    let script = format!(
        "mount -t tmpfs none opt
         cp -p old/* opt
         mount -o remount,bind,ro opt
         $install -from from opt 2>&1 || echo $?
         $install -from from opt/a/b 2>&1 || echo $?
         $install -from old opt
         cmp old/{CHECKER} opt/{CHECKER}
         cmp old/{REBOOT} opt/{REBOOT}
         ls -A opt"
    );
    if let Some(out) = run_with_mounts(&scratch, &script) {
        let why = "read-only file system; mount the file system writable";
        assert_eq!(
            out,
            format!(
                "bottlerocket-install: cannot create opt/.bottlerocket-checker.new: {why}\n3\n\
                 bottlerocket-install: cannot create directory opt/a: {why}\n3\n\
                 {UNCHANGED}{CHECKER}\n{REBOOT}\n"
            )
        );
    }
}

#[test]
fn says_that_there_is_no_proc() {
    let scratch = Scratch::new("no-proc");
    scratch.programs("from", 1);
    fs::create_dir(scratch.path("opt")).unwrap();
    let script = "mount -t tmpfs none /proc
                  $install opt 2>&1 || echo $?
                  $install -from from opt";
    if let Some(out) = run_with_mounts(&scratch, script) {
        assert_eq!(
            out,
            format!(
                "bottlerocket-install: cannot read link /proc/self/exe: no such file or directory; \
                 set -from to the directory that contains the programs\n3\n{INSTALLED}"
            )
        );
    }
}
