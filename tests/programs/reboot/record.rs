//! The record of a reboot that is to bring another version.

use super::{GET, ON_ITS_WAY, POST, SOON, STEPS, boots, masked, printed};
use crate::common::{
    Directory, Node, Ran, is_root, program_as_other_user, redirected, run, run_within,
};
use bottlerocket_simulator::Command::{self, Reboot};
use bottlerocket_simulator::{Ending, Fault, Lock, Options, Rule};
use bottlerocket_updater::record::RebootRecord;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process;

/// A node with a boot id, and the host's directory for the record.
struct Host {
    node: Node,
    directory: Directory,
}

impl Host {
    fn after(commands: &[Command]) -> Self {
        let directory = Directory::new();
        let boot_id_file = Some(directory.path().join("boot_id"));
        let node = Node::start(Options { boot_id_file, ..Node::instant() });
        commands.iter().for_each(|command| node.run(*command).unwrap());
        Self { node, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn record(&self) -> PathBuf {
        self.path("reboot/record")
    }

    fn program(&self) -> process::Command {
        let mut command = self.node.program("reboot");
        command.arg("-record").arg(self.record()).arg("-boot-id").arg(self.path("boot_id"));
        command
    }

    fn reboot(&self) -> Ran {
        self.mask(run(&mut self.program()))
    }

    /// Runs the program until its timeout.
    fn reboot_until_the_timeout(&self) -> Ran {
        self.mask(run_within(SOON, self.program().arg("-timeout=3s")))
    }

    /// Output with the paths as `DIR` and `SOCKET`.
    fn mask(&self, ran: Ran) -> Ran {
        let ran = masked(&self.node, ran);
        let directory = self.directory.path().to_str().unwrap();
        Ran { stderr: ran.stderr.replace(directory, "DIR"), ..ran }
    }

    /// Leaves the record of an earlier reboot.
    fn leave_record(&self) {
        fs::create_dir_all(self.path("reboot")).unwrap();
        fs::write(self.record(), "old").unwrap();
    }
}

/// Written with other code than the library's.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn record_says_what_the_reboot_is_to_bring() {
    for flag in ["-confirm=false", "-if-ready", "-confirm"] {
        let host = Host::after(&STEPS);
        let boot = host.node.look(|view| view.node.boot_id());
        let ran = run(host.program().arg(flag));
        assert_eq!(ran, printed(0, ON_ITS_WAY), "{flag}");
        assert_eq!(boots(&host.node), 2);
        let lines =
            format!("bottlerocket-reboot 1\n1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t{boot}\t1\t\n");
        let text = format!("{lines}sum {}\n", fnv1a(&lines));
        assert_eq!(fs::read_to_string(host.record()).unwrap(), text);
        let metadata = fs::metadata(host.record()).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        if is_root() {
            assert_eq!((metadata.uid(), metadata.gid()), (0, 274));
        }
        assert_eq!(fs::metadata(host.path("reboot")).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(names(&host.path("reboot")), ["record"]);
    }
}

/// The API may reboot the node before it answers.
#[test]
fn record_is_there_when_the_reboot_is_requested() {
    let host = Host::after(&STEPS);
    let record = host.record();
    host.node.before_each(move |node, request| {
        if format!("{} {}", request.method, request.path) == POST {
            let record = RebootRecord::read(&fs::read(&record).unwrap()).unwrap();
            assert_eq!(record.boot.as_str(), node.boot_id());
        }
    });
    assert_eq!(host.reboot(), printed(0, ON_ITS_WAY));
    assert_eq!(host.node.requested(), [GET, POST]);
}

#[test]
fn any_other_reboot_removes_an_old_record() {
    for steps in 0..STEPS.len() {
        let host = Host::after(&STEPS[..steps]);
        assert_eq!(host.reboot(), printed(0, ON_ITS_WAY), "{steps}");
        host.leave_record();
        assert_eq!(host.reboot(), printed(0, ON_ITS_WAY), "{steps}");
        assert_eq!(names(&host.path("reboot")), [""; 0], "{steps}");
    }
    // A reboot that needs an update that is Ready.
    for (flag, status) in [("-if-ready", 1), ("-confirm", 1)] {
        let host = Host::after(&STEPS[..2]);
        host.leave_record();
        assert_eq!(run(host.program().arg(flag)).status, Some(status));
        assert_eq!(names(&host.path("reboot")), [""; 0], "{flag}");
    }
    // The update is withdrawn.
    let host = Host::after(&STEPS);
    host.leave_record();
    host.node.change(|node, _| node.options.offer.clear());
    assert_eq!(run(host.program().arg("-confirm")).status, Some(1));
    assert_eq!(names(&host.path("reboot")), [""; 0]);
}

#[test]
fn status_that_cannot_be_read_does_not_prevent_the_reboot() {
    let garbage = Fault::raw("garbage");
    let why = "cannot read the update status from SOCKET: the response is not HTTP/1.1";
    for (fault, why) in [(Some(garbage), why), (None, "update lock held for 1s500ms")] {
        let host = Host::after(&STEPS);
        host.leave_record();
        match fault {
            Some(fault) => host.node.inject(Rule::from(fault).on("GET", "/updates/status")),
            None => host.node.set_lock(Some(Lock::Exclusive)),
        }
        let stderr = format!("bottlerocket-reboot: {why}; rebooting without a record\n");
        assert_eq!(host.reboot_until_the_timeout(), Ran { stderr, ..printed(0, ON_ITS_WAY) });
        assert_eq!(names(&host.path("reboot")), [""; 0]);
        assert_eq!(boots(&host.node), 2);
    }
}

#[test]
fn request_that_is_refused_leaves_no_record() {
    let host = Host::after(&STEPS);
    host.node.change(|node, _| node.end_next(Reboot, Ending::failed(1, "inhibited")));
    assert_eq!(host.reboot().status, Some(3));
    assert_eq!(names(&host.path("reboot")), [""; 0]);
    // The socket disappears after the status.
    let host = Host::after(&STEPS);
    host.node.inject(
        Rule::from(Fault::raw("HTTP/1.1 408 \r\ncontent-length: 0\r\n\r\n"))
            .on("POST", "/actions/reboot")
            .forever(),
    );
    assert_eq!(host.reboot_until_the_timeout().status, Some(3));
    assert_eq!(names(&host.path("reboot")), [""; 0]);
}

#[test]
fn request_with_an_unknown_outcome_leaves_the_record() {
    let host = Host::after(&STEPS);
    host.node.inject(Rule::from(Fault::silence()).on("POST", "/actions/reboot"));
    assert_eq!(host.reboot_until_the_timeout().status, Some(3));
    assert_eq!(names(&host.path("reboot")), ["record"]);
    // The next run sees that the update is no longer Ready.
    host.node.run(Command::Deactivate).unwrap();
    assert_eq!(run(host.program().arg("-confirm")).status, Some(1));
    assert_eq!(names(&host.path("reboot")), [""; 0]);
}

/// Kured is killed, and the program with it, before the API acts on the request.
#[test]
fn run_after_a_killed_one_has_its_own_record() {
    let host = Host::after(&STEPS);
    host.node.inject(Rule::from(Fault::silence()).on("POST", "/actions/reboot"));
    let mut child = host.program().stdout(process::Stdio::null()).spawn().unwrap();
    assert!(host.node.wait_until(SOON, |view| view.count("POST", "/actions/reboot") == 1));
    child.kill().unwrap();
    child.wait().unwrap();
    let left = fs::read(host.record()).unwrap();
    assert!(RebootRecord::read(&left).is_ok());
    // Another version is Ready by now.
    host.node.run(Command::Deactivate).unwrap();
    host.node.change(|node, _| node.options.offer = vec!["1.26.2".into()]);
    STEPS.iter().for_each(|command| host.node.run(*command).unwrap());
    assert_eq!(host.reboot(), printed(0, ON_ITS_WAY));
    let record = RebootRecord::read(&fs::read(host.record()).unwrap()).unwrap();
    assert_eq!(record.image.version.as_str(), "1.26.2");
}

#[test]
fn record_that_cannot_be_written_does_not_prevent_the_reboot() {
    let without = "; rebooting without a record\n";
    type Case = (&'static str, fn(&Host), &'static str);
    let cases: [Case; 5] = [
        (
            "a directory in its place",
            |host| fs::create_dir_all(host.path("reboot/record/below")).unwrap(),
            "is a directory",
        ),
        (
            "a directory in place of the new file",
            |host| fs::create_dir_all(host.path("reboot/record.new")).unwrap(),
            "is a directory",
        ),
        (
            "a file in place of its directory",
            |host| fs::write(host.path("reboot"), "").unwrap(),
            "not a directory",
        ),
        (
            "a link in place of the new file",
            |host| {
                fs::create_dir(host.path("reboot")).unwrap();
                symlink(host.path("boot_id"), host.path("reboot/record.new")).unwrap();
            },
            "too many symbolic links",
        ),
        (
            "a FIFO in place of the new file",
            |host| {
                fs::create_dir(host.path("reboot")).unwrap();
                make_fifo(&host.path("reboot/record.new"));
            },
            "error number 6",
        ),
    ];
    for (name, prepare, errno) in cases {
        let host = Host::after(&STEPS);
        prepare(&host);
        let ran = host.reboot();
        assert_eq!((ran.status, boots(&host.node)), (Some(0), 2), "{name}: {ran:?}");
        let line = ran.stderr.lines().next().unwrap_or_default();
        assert!(line.starts_with("bottlerocket-reboot: cannot write DIR/reboot/record: "));
        assert!(ran.stderr.contains(without), "{name}: {ran:?}");
        assert!(line.contains(errno), "{name}: {line}");
    }
    // There is no directory above, and no file can have any contents, as on a full disk.
    let host = Host::after(&STEPS);
    let mut command = host.node.program("reboot");
    command.arg("-record").arg(host.path("no/such/record"));
    let stderr = format!(
        "bottlerocket-reboot: cannot write DIR/no/such/record: no such file or directory{without}"
    );
    assert_eq!(host.mask(run(&mut command)), Ran { stderr, ..printed(0, ON_ITS_WAY) });
    let host = Host::after(&STEPS);
    host.leave_record();
    let limited = redirected(&host.program(), "");
    let mut shell = process::Command::new("sh");
    shell.args(["-c", "ulimit -f 0; exec \"$@\"", "sh"]);
    shell.arg(limited.get_program()).args(limited.get_args());
    let stderr =
        format!("bottlerocket-reboot: cannot write DIR/reboot/record: file too large{without}");
    assert_eq!(host.mask(run(&mut shell)), Ran { stderr, ..printed(0, ON_ITS_WAY) });
    assert!(!host.record().exists());
}

fn make_fifo(path: &Path) {
    assert!(process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// The directory belongs to somebody else.
#[test]
fn record_in_a_directory_of_another_user_does_not_prevent_the_reboot() {
    let host = Host::after(&STEPS);
    host.leave_record();
    fs::set_permissions(host.path("reboot"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(host.node.path(), Permissions::from_mode(0o777)).unwrap();
    let parent = host.node.path().parent().unwrap();
    fs::set_permissions(parent, Permissions::from_mode(0o755)).unwrap();
    let mut command = program_as_other_user("reboot", &host.directory);
    command.arg("-socket").arg(host.node.path()).arg("-record").arg(host.record());
    let ran = host.mask(run(&mut command));
    fs::set_permissions(host.path("reboot"), Permissions::from_mode(0o755)).unwrap();
    let stderr = "bottlerocket-reboot: cannot write DIR/reboot/record: permission denied; \
                  rebooting without a record\n\
                  bottlerocket-reboot: cannot remove the record DIR/reboot/record: permission \
                  denied (remove it by hand, or it may hold the node after a later boot)\n";
    assert_eq!(ran, Ran { stderr: stderr.into(), ..printed(0, ON_ITS_WAY) });
    assert_eq!(boots(&host.node), 2);
}

/// Nothing is written through a link, and nothing waits for a FIFO.
#[test]
fn record_replaces_what_is_in_its_place() {
    type Case = (&'static str, fn(&Path));
    let cases: [Case; 2] =
        [("FIFO", make_fifo), ("link", |path| symlink("../other", path).unwrap())];
    for (name, make) in cases {
        let host = Host::after(&STEPS);
        fs::write(host.path("other"), "other").unwrap();
        fs::create_dir(host.path("reboot")).unwrap();
        make(&host.record());
        assert_eq!(host.reboot(), printed(0, ON_ITS_WAY), "{name}");
        assert!(fs::symlink_metadata(host.record()).unwrap().is_file(), "{name}");
        assert!(RebootRecord::read(&fs::read(host.record()).unwrap()).is_ok(), "{name}");
        assert_eq!(fs::read(host.path("other")).unwrap(), b"other", "{name}");
        // It is removed as well.
        fs::remove_file(host.record()).unwrap();
        make(&host.record());
        assert_eq!(host.reboot(), printed(0, ON_ITS_WAY), "{name}");
        assert_eq!(names(&host.path("reboot")), [""; 0], "{name}");
    }
}

#[test]
fn boot_id_that_cannot_be_read_does_not_prevent_the_reboot() {
    let host = Host::after(&STEPS);
    host.leave_record();
    let mut command = host.node.program("reboot");
    command.arg("-record").arg(host.record()).args(["-boot-id", "/dev/null"]);
    let stderr = "bottlerocket-reboot: cannot read the boot id from /dev/null: invalid argument; \
                  rebooting without a record\n";
    assert_eq!(
        host.mask(run(&mut command)),
        Ran { stderr: stderr.into(), ..printed(0, ON_ITS_WAY) }
    );
    assert_eq!(names(&host.path("reboot")), [""; 0]);
}

#[test]
fn without_the_flag_a_record_stays() {
    let host = Host::after(&STEPS);
    host.leave_record();
    assert_eq!(run(&mut host.node.program("reboot")), printed(0, ON_ITS_WAY));
    assert_eq!(host.node.requested(), [POST]);
    assert_eq!(fs::read(host.record()).unwrap(), b"old");
}
