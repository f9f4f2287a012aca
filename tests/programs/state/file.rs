//! The state file: its contents, and errors when it is read or written.

use super::{
    ACTIVATED, HELD_BACK, READY, ROLLED_BACK, StatefulNode, WHOLE_UPDATE, is_held_back, summary,
};
use crate::common::cases::side_by_side;
use crate::common::daemon::Running;
use crate::common::{Directory, Node};
use bottlerocket_simulator::{Options, State};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

#[test]
fn state_file_is_for_owner_and_group_and_written_only_on_changes() {
    let node = StatefulNode::broken();
    node.cycle(&[]);
    let file = fs::read_to_string(node.file()).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines[0], "bottlerocket-updater 2");
    assert!(lines[1].starts_with("uptime\t"), "{file}");
    assert!(lines[2].starts_with("ran\t1.26.0\taws-k8s-1.30\tx86_64\t"), "{file}");
    assert!(lines[3].starts_with("1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t"), "{file}");
    assert_eq!(fs::metadata(node.file()).unwrap().permissions().mode() & 0o7777, 0o640);
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(node.file()).unwrap());
    let before = inode();
    // Unchanged state is not written again.
    node.cycle(&[]);
    node.cycle(&["-refresh-ready=false"]);
    assert_eq!((fs::read_to_string(node.file()).unwrap(), inode()), (file, before));
    let names: Vec<_> = fs::read_dir(node.state_dir()).unwrap().collect();
    assert_eq!(names.len(), 1);
    // Without an update, the file only has the version that runs, and is written once in a
    // boot.
    let node = StatefulNode::new(Options { offer: Vec::new(), ..Node::instant() });
    node.cycle(&[]);
    let file = fs::read_to_string(node.file()).unwrap();
    assert_eq!(file.lines().count(), 4, "{file}");
    node.cycle(&[]);
    assert_eq!(fs::read_to_string(node.file()).unwrap(), file);
    node.reboot();
    node.cycle(&[]);
    assert_ne!(fs::read_to_string(node.file()).unwrap(), file);
}

const LOST: &str =
    "error: cannot load or save the state; a version that does not boot may be retried";

const DAMAGED: &str =
    "error: the state file is damaged; renamed it to state.damaged, starting without it";

fn lost(tried: &str, error: &str) -> String {
    format!("{LOST} tried={tried} error={error}")
}

#[test]
fn unusable_state_directory_is_logged_and_the_update_goes_on() {
    let some = Directory::new();
    let file = some.path().join("file");
    fs::write(&file, "").unwrap();
    let open = |error| lost("open the directory", error);
    let cases = vec![
        (some.path().join("none"), open("no such file or directory")),
        (file.clone(), open("not a directory")),
        (file.join("below"), open("not a directory")),
        (some.path().join("x".repeat(300)), open("name too long")),
    ];
    side_by_side(cases, |(directory, logged)| {
        let node = StatefulNode::broken();
        let mut command = node.updater_without_state(&["-one-time", "-state-dir"]);
        let expected = [&[logged.as_str()], &WHOLE_UPDATE[..]].concat();
        assert_eq!(summary(command.arg(&directory), &[]), expected, "{directory:?}");
        // The updater behaves as if there were no state directory.
        node.reboot();
        assert_eq!(summary(&mut command, &[]), expected, "{directory:?}");
    });
    // Not even root can create a file in /proc. The error is logged once, when there is
    // state to save.
    let node = StatefulNode::broken();
    let mut command = node.updater_without_state(&["-one-time", "-state-dir=/proc"]);
    let mut expected = WHOLE_UPDATE.map(String::from).to_vec();
    expected.insert(0, lost("write the file", "no such file or directory"));
    assert_eq!(summary(&mut command, &[]), expected);
}

#[test]
fn missing_boot_id_is_logged_and_the_update_goes_on() {
    let node = StatefulNode::broken();
    let boot_id = node.directory.path().join("other_id");
    for (text, error) in [
        (None, "no such file or directory"),
        (Some(""), "invalid argument"),
        (Some("\n"), "invalid argument"),
    ] {
        if let Some(text) = text {
            fs::write(&boot_id, text).unwrap();
        }
        let mut command = node.updater(&["-one-time"]);
        let outcome = summary(command.arg("-boot-id").arg(&boot_id), &[]);
        assert_eq!(outcome[0], lost("read the boot id", error));
        assert!(outcome.last().unwrap().starts_with("info: ready"), "{outcome:?}");
    }
    // The default is the kernel's file.
    let node = StatefulNode::broken();
    let mut command = node.node.program("updater");
    command.args(["-one-time", "-state-dir"]).arg(node.state_dir());
    assert_eq!(summary(&mut command, &[]), WHOLE_UPDATE);
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(fs::read_to_string(node.file()).unwrap().contains(own.trim()));
}

pub(super) fn fifo(path: &Path) {
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path.as_os_str().as_bytes(), FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn damaged_state_file_is_renamed_and_the_update_goes_on() {
    let good = {
        let node = StatefulNode::broken();
        node.cycle(&[]);
        fs::read(node.file()).unwrap()
    };
    let mut flipped = good.clone();
    flipped[30] ^= 1;
    let newer = String::from_utf8(good.clone()).unwrap().replacen("updater 2", "updater 3", 1);
    let cut = good[..good.len() - 1].to_vec();
    let huge = b"x".repeat(10 << 20);
    let twice = [&good[..], &good].concat();
    let texts = vec![flipped, newer.into_bytes(), cut, huge, twice, vec![0; 100], Vec::new()];
    side_by_side(texts, |text| {
        let node = StatefulNode::broken();
        fs::write(node.file(), &text).unwrap();
        let expected = [&[DAMAGED], &WHOLE_UPDATE[..]].concat();
        assert_eq!(node.cycle(&[]), expected, "{} bytes", text.len());
        // The damaged file is kept, and the new file works.
        assert_eq!(fs::read(node.state_dir().join("state.damaged")).unwrap(), text);
        assert_eq!(node.cycle(&[]), [READY]);
        node.reboot();
        assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    });
    // A FIFO without a writer, a link, and a directory.
    let node = StatefulNode::broken();
    fifo(&node.file());
    assert_eq!(node.cycle(&[]), [&[DAMAGED], &WHOLE_UPDATE[..]].concat());
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);

    let node = StatefulNode::broken();
    let elsewhere = node.directory.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    symlink(&elsewhere, node.file()).unwrap();
    assert_eq!(node.cycle(&[]), [&[DAMAGED], &WHOLE_UPDATE[..]].concat());
    assert_eq!(fs::read(&elsewhere).unwrap(), good);
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);

    let node = StatefulNode::broken();
    fs::create_dir(node.file()).unwrap();
    assert_eq!(node.cycle(&[]), [&[DAMAGED], &WHOLE_UPDATE[..]].concat());
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
}

/// The file as the updater wrote it before it had the uptime.
#[test]
fn state_file_of_the_first_form_is_read() {
    let node = StatefulNode::broken();
    let text = "bottlerocket-updater 1\n1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t\t2\t1795325532\t\n";
    fs::write(node.file(), with_sum(text)).unwrap();
    let held = HELD_BACK.replace("failed_boots=1", "failed_boots=2") + "47h59m";
    let outcome = node.cycle(&[]);
    assert!(outcome.len() == 1 && outcome[0].starts_with(&held), "{outcome:?}");
    assert!(fs::read_to_string(node.file()).unwrap().starts_with("bottlerocket-updater 2\nuptime"));
    assert!(node.cycle(&[])[0].starts_with(&held));
}

/// The text with its checksum.
fn with_sum(text: &str) -> String {
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{text}sum {sum}\n")
}

#[test]
fn leftover_of_an_interrupted_save_is_replaced() {
    let node = StatefulNode::broken();
    fs::write(node.state_dir().join("state.new"), "bottlerocket-upd").unwrap();
    assert_eq!(node.cycle(&[]), WHOLE_UPDATE);
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    assert!(!node.state_dir().join("state.new").exists());
}

/// The command with a limit on the size of files, in blocks of 512 bytes.
fn with_small_files(blocks: u32, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -f {blocks}; exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

#[test]
fn full_disk_keeps_the_old_state_file() {
    let node = StatefulNode::broken();
    let mut expected = WHOLE_UPDATE.map(String::from).to_vec();
    expected.insert(0, lost("write the file", "file too large"));
    let mut command = with_small_files(0, &node.updater(&["-one-time"]));
    assert_eq!(summary(&mut command, &[]), expected);
    assert!(!node.file().exists());
    // The old file stays.
    node.node.run(bottlerocket_simulator::Command::Deactivate).unwrap();
    assert_eq!(node.cycle(&[]), [ACTIVATED, READY]);
    let before = fs::read(node.file()).unwrap();
    node.reboot();
    let mut command = with_small_files(0, &node.updater(&["-one-time"]));
    let outcome = summary(&mut command, &[]);
    assert_eq!(outcome[0], ROLLED_BACK);
    assert_eq!(outcome[2], lost("write the file", "file too large"));
    assert_eq!(fs::read(node.file()).unwrap(), before);
    // The rollback is logged again in the next run, because it was not saved.
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
}

/// A file system in memory, and a shell that can change it. Other processes reach it
/// through the shell's root directory in `/proc`.
struct Mounted {
    shell: Child,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
}

impl Mounted {
    /// Mounts a file system at this path. Returns `None` if this machine does not allow
    /// mounts.
    fn new(place: &Path, options: &str) -> Option<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["-Urm", "sh"]).current_dir(place);
        let spawned = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = spawned.map_err(|error| println!("not tested: unshare: {error}")).ok()?;
        let answers = BufReader::new(shell.stdout.take().unwrap());
        let directory = PathBuf::from(format!("/proc/{}/root{}", shell.id(), place.display()));
        let mut mounted = Self { shell, answers, directory };
        if !mounted.run(&format!("mount -t tmpfs -o {options} none . && cd \"$PWD\"")) {
            println!("not tested, because this machine allows no mounts");
            return None;
        }
        Some(mounted)
    }

    /// Runs a script in the directory. Returns whether it succeeded.
    fn run(&mut self, script: &str) -> bool {
        let stdin = self.shell.stdin.as_mut().unwrap();
        // The shell has ended if unshare is not permitted.
        let _ = writeln!(stdin, "{script}\necho $?");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer == "0\n"
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// The old file remains until there is space. Then the new state is saved.
#[test]
fn state_is_saved_when_the_file_system_has_space_again() {
    let full = "no space left on device";
    let fill = "head -c 100000 /dev/zero >filler; [ -s filler ]";
    for (options, fill, free, error) in [
        ("size=8k", fill, "rm filler", full),
        ("nr_inodes=4", "touch a b && ! touch c 2>&-", "rm a", full),
        ("size=8k", "mount -o remount,ro .", "mount -o remount,rw .", "read-only file system"),
    ] {
        let node = StatefulNode::broken();
        let Some(mut mounted) = Mounted::new(&node.state_dir(), options) else { return };
        let updater = |arguments: &[&str]| {
            let mut command = node.updater_without_state(arguments);
            command.arg("-state-dir").arg(&mounted.directory);
            command
        };
        let file = mounted.directory.join("state");
        assert_eq!(summary(&mut updater(&["-one-time"]), &[]), WHOLE_UPDATE);
        let before = fs::read(&file).unwrap();
        node.reboot();
        let mut updater_without = updater(&["-test-interval=50ms", "-jitter=0s"]);
        let mut once = updater(&["-one-time"]);
        assert!(mounted.run(&format!("{{ {fill}; }} 2>&-")), "{fill}");
        let mut running = Running::start(&mut updater_without);
        running.wait_for("event=rolled_back");
        running.wait_for("event=state_lost");
        let outcome = running.log.last().unwrap();
        assert!(
            outcome.contains("tried=\"write the file\"") && outcome.contains(error),
            "{outcome}"
        );
        // The daemon retries the save.
        node.wait_for_status_requests(3);
        assert_eq!(fs::read(&file).unwrap(), before, "{fill}");
        assert!(mounted.run(free), "{free}");
        node.wait_for_status_requests(3);
        running.stop(Signal::TERM);
        assert_ne!(fs::read(&file).unwrap(), before, "{fill}");
        assert!(!file.with_extension("new").exists(), "{fill}");
        is_held_back(&summary(&mut once, &[]));
    }
}

#[test]
fn partial_write_keeps_the_old_state_file() {
    let node = StatefulNode::broken();
    let long = "x".repeat(60);
    let lines = [1, 2].map(|number| format!("{number}{long}\t{long}\t{long}\t{long}\t\t1\t0\t\n"));
    let before = with_sum(&format!("bottlerocket-updater 2\n{}", lines.concat()));
    fs::write(node.file(), &before).unwrap();
    let mut expected = WHOLE_UPDATE.map(String::from).to_vec();
    expected.insert(0, lost("write the file", "no space left on device"));
    let mut command = with_small_files(1, &node.updater(&["-one-time"]));
    assert_eq!(summary(&mut command, &[]), expected);
    assert_eq!(fs::read_to_string(node.file()).unwrap(), before);
}

/// When the directory becomes writable, the daemon saves its state without a restart.
#[test]
fn daemon_retries_the_save() {
    let node = StatefulNode::broken();
    let blocker = node.state_dir().join("state.new");
    fs::create_dir(&blocker).unwrap();
    let mut updater = Running::start(&mut node.updater(&["-test-interval=50ms", "-jitter=0s"]));
    updater.wait_for("ready, waiting for the reboot");
    let is_lost = |line: &&String| line.contains("event=state_lost");
    assert_eq!(updater.log.iter().filter(is_lost).count(), 1, "{:?}", updater.log);
    fs::remove_dir(&blocker).unwrap();
    // The next cycle saves the state.
    node.wait_for_status_requests(3);
    assert!(node.file().exists());
    assert_eq!(updater.log.iter().filter(is_lost).count(), 1);
    updater.stop(Signal::TERM);
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    assert_eq!(node.node.look(|view| view.node.state()), Some(State::Available));
}
