//! What the updater remembers across boots of a simulated node, and what becomes
//! of it when that does not work.

use crate::common::daemon::{LONG, Outcome, Running};
use crate::common::records::{Format, Record};
use crate::common::{Directory, Node, run};
use bottlerocket_simulator::Command::{Activate, Prepare, Reboot, Refresh};
use bottlerocket_simulator::{Fault, Options, Rule, State, View};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A node with an image that does not boot, and what is kept of it.
struct Remembering {
    node: Node,
    directory: Directory,
}

impl Remembering {
    fn new(options: Options) -> Self {
        let directory = Directory::new();
        fs::create_dir(directory.path().join("state-dir")).unwrap();
        let boot_id_file = Some(directory.path().join("boot_id"));
        Self { node: Node::start(Options { boot_id_file, ..options }), directory }
    }

    /// One on which 1.26.1 does not boot.
    fn broken() -> Self {
        Self::new(Options { no_boot: vec!["1.26.1".into()], ..Node::instant() })
    }

    fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state-dir")
    }

    fn file(&self) -> PathBuf {
        self.state_dir().join("state")
    }

    /// The program, which is told of everything but the state directory.
    fn forgetful(&self, arguments: &[&str]) -> Command {
        let mut command = self.node.program("updater");
        command.arg("-boot-id").arg(self.directory.path().join("boot_id"));
        command.args(arguments);
        command
    }

    fn updater(&self, arguments: &[&str]) -> Command {
        let mut command = self.forgetful(arguments);
        command.arg("-state-dir").arg(self.state_dir());
        command
    }

    /// One cycle: its story.
    #[track_caller]
    fn cycle(&self, arguments: &[&str]) -> Vec<String> {
        summary(&mut self.updater(&["-one-time"]), arguments)
    }

    fn reboot(&self) {
        self.node.run(Reboot).unwrap();
    }

    fn offer(&self, versions: &[&str]) {
        let versions = versions.iter().map(|version| version.to_string()).collect();
        self.node.change(|node, _| node.options.offer = versions);
    }

    /// Waits until the status has been asked for so many times more.
    #[track_caller]
    fn wait_for_status_requests(&self, count: usize) {
        let looks = |view: &View| view.count("GET", "/updates/status");
        let before = self.node.look(|view| looks(view));
        assert!(self.node.wait_until(LONG, |view| looks(view) >= before + count));
    }

    fn prepares(&self) -> usize {
        self.node.look(|view| view.count("POST", Prepare.path()))
    }
}

/// The story of a run that ends well.
#[track_caller]
fn summary(command: &mut Command, arguments: &[&str]) -> Vec<String> {
    let outcome = Outcome::of(run(command.args(arguments)), Format::Logfmt);
    assert_eq!(outcome.status, Some(0), "{:?}", outcome.summary());
    outcome.summary()
}

const FOUND: &str = "info: update found, preparing it running=1.26.0 version=1.26.1 \
                     variant=aws-k8s-1.30 arch=x86_64";
const PREPARED: &str = "info: prepared version=1.26.1 took=_";
const ACTIVATED: &str = "info: activated version=1.26.1 took=_";
const READY: &str = "info: ready, waiting for the reboot state=Ready next=1.26.1 running=1.26.0 \
                     variant=aws-k8s-1.30 arch=x86_64";
const WHOLE_UPDATE: [&str; 4] = [FOUND, PREPARED, ACTIVATED, READY];
const ROLLED_BACK: &str = "error: the new version did not boot and the node rolled back; \
                           holding the version back version=1.26.1 variant=aws-k8s-1.30 \
                           arch=x86_64 failed_boots=1 \
                           retry_in=24h running=1.26.0";
const HELD_BACK: &str = "info: version is held back because it did not boot version=1.26.1 \
                         variant=aws-k8s-1.30 arch=x86_64 failed_boots=1 retry_in=";

#[track_caller]
fn is_held_back(summary: &[String]) {
    let [held] = summary else { panic!("{summary:?}") };
    assert!(held.starts_with(HELD_BACK), "{held}");
}

/// As it was before there was anything to remember, and as it is without.
#[test]
fn without_a_state_directory_the_same_broken_image_again_and_again() {
    let node = Remembering::broken();
    for times in 1..=3 {
        assert_eq!(summary(&mut node.forgetful(&["-one-time"]), &[]), WHOLE_UPDATE);
        assert_eq!(node.prepares(), times);
        node.reboot();
    }
    assert_eq!(node.node.look(|view| view.node.boots()), 4);
}

#[test]
fn with_one_it_is_tried_once() {
    let node = Remembering::broken();
    assert_eq!(node.cycle(&[]), WHOLE_UPDATE);
    // Ready, it is only looked at.
    assert_eq!(node.cycle(&[]), [READY]);
    node.reboot();
    let outcome = node.cycle(&[]);
    assert_eq!(outcome[0], ROLLED_BACK);
    is_held_back(&outcome[1..]);
    for _ in 0..3 {
        is_held_back(&node.cycle(&[]));
        node.reboot();
        is_held_back(&node.cycle(&[]));
    }
    assert_eq!(node.prepares(), 1);
    // Another one is tried at once.
    node.offer(&["1.26.1", "1.26.2"]);
    let outcome = node.cycle(&[]);
    assert_eq!(outcome.len(), 4, "{outcome:?}");
    assert!(outcome[3].starts_with("info: ready, waiting for the reboot state=Ready next=1.26.2 "));
    node.reboot();
    let outcome = node.cycle(&[]);
    let updated = "info: the new version is running version=1.26.2 variant=aws-k8s-1.30 \
                   arch=x86_64 \
                   before=1.26.0";
    assert_eq!(outcome[0], updated);
    assert_eq!(node.prepares(), 2);
}

#[test]
fn a_daemon_on_every_boot() {
    let node = Remembering::broken();
    let often = ["-interval=50ms", "-jitter=0s"];
    let mut updater = Running::start(&mut node.updater(&often));
    updater.wait_for("ready, waiting for the reboot");
    // The node goes down with it.
    node.reboot();
    updater.stop(Signal::TERM);
    let mut updater = Running::start(&mut node.updater(&often));
    updater.wait_for("event=rolled_back");
    updater.wait_for("event=held_back");
    node.wait_for_status_requests(6);
    assert_eq!(node.prepares(), 1);
    node.offer(&["1.26.2"]);
    updater.wait_for("ready, waiting for the reboot");
    let outcome = updater.stop(Signal::TERM);
    let rolled_back = outcome.records.iter().filter(|record| record.get("event") == "rolled_back");
    assert_eq!(rolled_back.count(), 1);
}

#[test]
fn it_is_tried_again_after_the_pause() {
    let node = Remembering::broken();
    node.cycle(&[]);
    node.reboot();
    let retry = ["-retry-failed-boot=1s"];
    let outcome = node.cycle(&retry);
    assert_eq!(outcome[0], ROLLED_BACK.replace("24h", "1s"));
    let mut updater =
        Running::start(&mut node.updater(&["-interval=50ms", "-jitter=0s", retry[0]]));
    updater.wait_for("ready, waiting for the reboot");
    node.reboot();
    updater.stop(Signal::TERM);
    // Twice as long, and not at all.
    let outcome = node.cycle(&retry);
    let second = ROLLED_BACK.replace("24h", "2s").replace("failed_boots=1", "failed_boots=2");
    assert_eq!(outcome[0], second);
    let never = HELD_BACK.replace("failed_boots=1", "failed_boots=2") + "never";
    assert_eq!(node.cycle(&["-retry-failed-boot=never"]), [never]);
    assert_eq!(node.prepares(), 2);
}

#[test]
fn what_somebody_else_activates_counts_as_well() {
    let node = Remembering::broken();
    for action in [Refresh, Prepare, Activate] {
        node.node.run(action).unwrap();
    }
    assert_eq!(node.cycle(&[]), [READY]);
    node.reboot();
    let outcome = node.cycle(&[]);
    assert_eq!(outcome[0], ROLLED_BACK);
    // And what somebody takes back does not.
    node.offer(&["1.26.3"]);
    assert_eq!(node.cycle(&[]).len(), 4);
    node.node.run(bottlerocket_simulator::Command::Deactivate).unwrap();
    assert_eq!(node.cycle(&["-stage-only"]).len(), 1);
    node.reboot();
    let outcome = node.cycle(&[]);
    assert!(outcome.iter().all(|line| !line.contains("did not boot")), "{outcome:?}");
}

#[test]
fn the_file_is_nobody_elses_and_stays_as_it_is() {
    let node = Remembering::broken();
    node.cycle(&[]);
    let file = fs::read_to_string(node.file()).unwrap();
    assert!(file.starts_with("bottlerocket-updater 1\n1.26.1\taws-k8s-1.30\tx86_64\t1.26.0\t"));
    assert_eq!(fs::metadata(node.file()).unwrap().permissions().mode() & 0o7777, 0o600);
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(node.file()).unwrap());
    let before = inode();
    // Nothing is written that is there already.
    node.cycle(&[]);
    node.cycle(&["-refresh-ready"]);
    assert_eq!((fs::read_to_string(node.file()).unwrap(), inode()), (file, before));
    let names: Vec<_> = fs::read_dir(node.state_dir()).unwrap().collect();
    assert_eq!(names.len(), 1);
    // Nor is there a file on a node that has nothing to remember.
    let node = Remembering::new(Options { offer: Vec::new(), ..Node::instant() });
    node.cycle(&[]);
    assert_eq!(fs::read_dir(node.state_dir()).unwrap().count(), 0);
}

/// It is in the file before the node may do anything about it.
#[test]
fn a_program_that_ends_at_the_wrong_moment_has_not_forgotten() {
    let node = Remembering::broken();
    node.node.change(|node, _| *node.options.time(Activate) = bottlerocket_simulator::MANUAL);
    let mut updater = Running::start(&mut node.updater(&["-one-time"]));
    let activates = node.node.wait_until(LONG, |view| view.node.busy() == Some(Activate));
    assert!(activates);
    updater.child.kill().unwrap();
    updater.child.wait().unwrap();
    node.node.change(|node, _| *node.options.time(Activate) = std::time::Duration::ZERO);
    node.node.finish();
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    assert_eq!(node.prepares(), 1);
}

const LOST: &str =
    "error: cannot load or save the state; a version that does not boot may be retried";
const DAMAGED: &str =
    "error: the state file is damaged; renamed it to state.damaged, starting without it";

fn lost(tried: &str, error: &str) -> String {
    format!("{LOST} tried={tried} error={error}")
}

#[test]
fn a_directory_of_no_use_is_told_of_and_the_update_goes_on() {
    let some = Directory::new();
    let file = some.path().join("file");
    fs::write(&file, "").unwrap();
    let open = |error| lost("open the directory", error);
    for (directory, outcome) in [
        (some.path().join("none"), open("no such file or directory")),
        (file.clone(), open("not a directory")),
        (file.join("below"), open("not a directory")),
        (some.path().join("x".repeat(300)), open("name too long")),
    ] {
        let node = Remembering::broken();
        let mut command = node.forgetful(&["-one-time", "-state-dir"]);
        let expected = [&[outcome.as_str()], &WHOLE_UPDATE[..]].concat();
        assert_eq!(summary(command.arg(&directory), &[]), expected, "{directory:?}");
        // As without.
        node.reboot();
        assert_eq!(summary(&mut command, &[]), expected, "{directory:?}");
    }
    // Nothing can be written into it, whoever one is. It is told once, as soon as
    // there is something to write.
    let node = Remembering::broken();
    let mut command = node.forgetful(&["-one-time", "-state-dir=/proc"]);
    let mut expected = WHOLE_UPDATE.map(String::from).to_vec();
    expected.insert(2, lost("write the file", "no such file or directory"));
    assert_eq!(summary(&mut command, &[]), expected);
}

#[test]
fn a_boot_that_has_no_id() {
    let node = Remembering::broken();
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
    // The kernel's own is what counts if nothing is said.
    let node = Remembering::broken();
    let mut command = node.node.program("updater");
    command.args(["-one-time", "-state-dir"]).arg(node.state_dir());
    assert_eq!(summary(&mut command, &[]), WHOLE_UPDATE);
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(fs::read_to_string(node.file()).unwrap().contains(own.trim()));
}

fn fifo(path: &Path) {
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path.as_os_str().as_bytes(), FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn a_file_of_no_use_is_told_of_in_one_line_and_the_update_goes_on() {
    let good = {
        let node = Remembering::broken();
        node.cycle(&[]);
        fs::read(node.file()).unwrap()
    };
    let mut flipped = good.clone();
    flipped[30] ^= 1;
    let newer = String::from_utf8(good.clone()).unwrap().replacen("updater 1", "updater 2", 1);
    let cut = good[..good.len() - 1].to_vec();
    let huge = b"x".repeat(10 << 20);
    let twice = [&good[..], &good].concat();
    for text in [flipped, newer.into_bytes(), cut, huge, twice, vec![0; 100], Vec::new()] {
        let node = Remembering::broken();
        fs::write(node.file(), &text).unwrap();
        let expected = [&[DAMAGED], &WHOLE_UPDATE[..]].concat();
        assert_eq!(node.cycle(&[]), expected, "{} bytes", text.len());
        // It is there to be looked at, and from now on all is well.
        assert_eq!(fs::read(node.state_dir().join("state.damaged")).unwrap(), text);
        assert_eq!(node.cycle(&[]), [READY]);
        node.reboot();
        assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    }
    // A pipe that nobody writes into, a link, and a directory.
    let node = Remembering::broken();
    fifo(&node.file());
    assert_eq!(node.cycle(&[]), [&[DAMAGED], &WHOLE_UPDATE[..]].concat());
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);

    let node = Remembering::broken();
    let elsewhere = node.directory.path().join("elsewhere");
    fs::write(&elsewhere, &good).unwrap();
    symlink(&elsewhere, node.file()).unwrap();
    assert_eq!(node.cycle(&[]), [&[DAMAGED], &WHOLE_UPDATE[..]].concat());
    assert_eq!(fs::read(&elsewhere).unwrap(), good);
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);

    let node = Remembering::broken();
    fs::create_dir(node.file()).unwrap();
    assert_eq!(node.cycle(&[]), [&[DAMAGED], &WHOLE_UPDATE[..]].concat());
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
}

#[test]
fn what_is_left_of_a_save_that_was_cut_short_does_no_harm() {
    let node = Remembering::broken();
    fs::write(node.state_dir().join("state.new"), "bottlerocket-upd").unwrap();
    assert_eq!(node.cycle(&[]), WHOLE_UPDATE);
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    assert!(!node.state_dir().join("state.new").exists());
}

/// The program with a limit on the size of files, in blocks of 512 bytes, whose
/// signal is ignored.
fn with_small_files(blocks: u32, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("trap '' 25; ulimit -f {blocks}; exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

#[test]
fn a_disk_that_is_full() {
    let node = Remembering::broken();
    let mut expected = WHOLE_UPDATE.map(String::from).to_vec();
    expected.insert(2, lost("write the file", "file too large"));
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
    // It is told again in the next boot, since nobody knows of it.
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
}

/// A file system in memory, and a shell that may change it. Others see it by way of
/// the shell's process.
struct Mounted {
    shell: Child,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
}

impl Mounted {
    /// One at this place, or `None` if this machine does not allow that.
    fn new(place: &Path, options: &str) -> Option<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["-Urm", "sh"]).current_dir(place);
        let spawned = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = spawned.map_err(|error| println!("not tested: unshare: {error}")).ok()?;
        let answers = BufReader::new(shell.stdout.take().unwrap());
        let directory = PathBuf::from(format!("/proc/{}/root{}", shell.id(), place.display()));
        let mut mounted = Self { shell, answers, directory };
        if !mounted.run(&format!("mount -t tmpfs -o {options} none . && cd \"$PWD\"")) {
            println!("not tested, for nothing can be mounted here");
            return None;
        }
        Some(mounted)
    }

    /// Runs this in the directory: whether it worked.
    fn run(&mut self, script: &str) -> bool {
        let stdin = self.shell.stdin.as_mut().unwrap();
        // It is gone if it may not do what it is for.
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

/// What is there stays until there is room, and then nothing has been forgotten.
#[test]
fn a_file_system_that_has_no_room_for_a_while() {
    let full = "no space left on device";
    let fill = "head -c 100000 /dev/zero >filler; [ -s filler ]";
    for (options, fill, free, error) in [
        ("size=8k", fill, "rm filler", full),
        ("nr_inodes=4", "touch a b && ! touch c 2>&-", "rm a", full),
        ("size=8k", "mount -o remount,ro .", "mount -o remount,rw .", "read-only file system"),
    ] {
        let node = Remembering::broken();
        let Some(mut mounted) = Mounted::new(&node.state_dir(), options) else { return };
        let updater = |arguments: &[&str]| {
            let mut command = node.forgetful(arguments);
            command.arg("-state-dir").arg(&mounted.directory);
            command
        };
        let file = mounted.directory.join("state");
        assert_eq!(summary(&mut updater(&["-one-time"]), &[]), WHOLE_UPDATE);
        let before = fs::read(&file).unwrap();
        node.reboot();
        let mut updater_without = updater(&["-interval=50ms", "-jitter=0s"]);
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
        // It tries again and again.
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
fn a_disk_that_has_room_for_a_part_of_the_file() {
    let node = Remembering::broken();
    let long = "x".repeat(60);
    let lines = [1, 2].map(|number| format!("{number}{long}\t{long}\t{long}\t{long}\t\t1\t0\t\n"));
    let text = format!("bottlerocket-updater 1\n{}", lines.concat());
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let before = format!("{text}sum {sum}\n");
    fs::write(node.file(), &before).unwrap();
    let mut expected = WHOLE_UPDATE.map(String::from).to_vec();
    expected.insert(2, lost("write the file", "no space left on device"));
    let mut command = with_small_files(1, &node.updater(&["-one-time"]));
    assert_eq!(summary(&mut command, &[]), expected);
    assert_eq!(fs::read_to_string(node.file()).unwrap(), before);
}

/// A directory that was read-only becomes writable: nobody has to start anything
/// anew.
#[test]
fn a_daemon_keeps_trying_to_write() {
    let node = Remembering::broken();
    let blocker = node.state_dir().join("state.new");
    fs::create_dir(&blocker).unwrap();
    let mut updater = Running::start(&mut node.updater(&["-interval=50ms", "-jitter=0s"]));
    updater.wait_for("ready, waiting for the reboot");
    let is_lost = |line: &&String| line.contains("event=state_lost");
    assert_eq!(updater.log.iter().filter(is_lost).count(), 1, "{:?}", updater.log);
    fs::remove_dir(&blocker).unwrap();
    // In the first cycle after that it is written.
    node.wait_for_status_requests(3);
    assert!(node.file().exists());
    assert_eq!(updater.log.iter().filter(is_lost).count(), 1);
    updater.stop(Signal::TERM);
    node.reboot();
    assert_eq!(node.cycle(&[])[0], ROLLED_BACK);
    assert_eq!(node.node.look(|view| view.node.state()), Some(State::Available));
}

/// Several updaters in turn, as when a DaemonSet is rolled out anew.
#[test]
fn whoever_comes_next_knows_as_much() {
    let node = Remembering::broken();
    for _ in 0..3 {
        let mut command = node.updater(&["-one-time"]);
        let ran = run(command.stdin(Stdio::null()));
        assert_eq!(ran.status, Some(0));
        let last = Record::read(Format::Logfmt, ran.stderr.lines().last().unwrap());
        assert_eq!(last.get("event"), "ready");
    }
    assert_eq!(node.prepares(), 1);
}
#[test]
fn an_activate_that_was_refused_is_no_failed_boot() {
    for refusal in [
        "HTTP/1.1 500 \r\ncontent-length: 3\r\n\r\nwhy",
        "HTTP/1.1 409 \r\ncontent-length: 3\r\n\r\nwhy",
    ] {
        let node = Remembering::new(Node::instant());
        let rule = Rule::from(Fault::raw(refusal)).on("POST", Activate.path()).forever();
        node.node.inject(rule);
        let ran = run(node.updater(&["-one-time"]).stdin(Stdio::null()));
        assert_eq!(ran.status, Some(3));
        assert_eq!(node.node.look(|view| view.node.state()), Some(State::Staged));
        node.reboot();
        let outcome = node.cycle(&["-stage-only"]);
        assert!(
            outcome.iter().all(|line| !line.contains("did not boot")),
            "{refusal}: {outcome:?}"
        );
    }
}
