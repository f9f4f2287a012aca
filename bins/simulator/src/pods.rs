//! Ends the pods of a machine, as the loss of its power would.
//!
//! The kubelet sees that the first process of a pod's sandbox is gone, and sets the pod
//! up anew, init containers and all. The cgroup of a process tells its pod: the name of
//! one of the directories ends with `pod` and the pod's UID. The UID of a pod of the
//! Kubernetes API is a UUID, with `-` or `_` between its parts. The UID of a static pod
//! has no such parts, so static pods are not found. Neither is any process of the machine
//! itself, such as the kubelet.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::io::{self, Error};
use std::path::Path;

/// The lengths of the parts of a UUID.
const PARTS: [usize; 5] = [8, 4, 4, 4, 12];

/// A process of a pod.
struct Process {
    /// The time at which it started, in ticks since the boot of the machine.
    started: u64,
    pid: i32,
}

/// Ends a process, if the second argument says that it is still one of a pod.
type End<'a> = dyn FnMut(i32, &dyn Fn() -> bool) -> io::Result<()> + 'a;

/// Ends all processes of the pods of this machine, except those of the pod `own` and of
/// static pods. Returns how many processes there were.
///
/// # Errors
/// The processes cannot be listed, or one of them must not be ended.
pub fn end_all_but(own: &str) -> io::Result<usize> {
    end_in(Path::new("/proc"), own, &mut |pid, still_in_a_pod| {
        let Some(id) = Pid::from_raw(pid) else { return Ok(()) };
        // The descriptor stays with this process, even if another one gets its number.
        let Ok(process) = pidfd_open(id, PidfdFlags::empty()) else { return Ok(()) };
        if still_in_a_pod() {
            match pidfd_send_signal(process, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(errno) => {
                    let error = Error::from_raw_os_error(errno.raw_os_error());
                    let message = format!("cannot end process {pid} of a pod: {error}");
                    return Err(Error::new(error.kind(), message));
                }
            }
        }
        Ok(())
    })
}

/// Calls `end` for each process below `proc` that is to end, the oldest first: that is the
/// first process of a sandbox.
fn end_in(proc: &Path, own: &str, end: &mut End<'_>) -> io::Result<usize> {
    let pod_of_pid = |pid: i32| {
        let cgroup = fs::read_to_string(proc.join(pid.to_string()).join("cgroup")).ok()?;
        pod_of(&cgroup)
    };
    // The machine itself may be a container in another cluster's pod.
    let machine = pod_of_pid(1);
    let is_to_end = |pid| {
        let pod = pod_of_pid(pid);
        pod.as_deref().is_some_and(|pod| pod != own) && pod != machine
    };
    let mut processes = Vec::new();
    for entry in fs::read_dir(proc)? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(proc.join(&name).join("stat"));
        let Some(started) = stat.ok().as_deref().and_then(start_time) else { continue };
        if is_to_end(pid) {
            processes.push(Process { started, pid });
        }
    }
    processes.sort_by_key(|process| (process.started, process.pid));
    for process in &processes {
        end(process.pid, &|| is_to_end(process.pid))?;
    }
    Ok(processes.len())
}

/// The UUID of the pod in the text of `/proc/PID/cgroup`, with `-` between its parts. Of
/// pods in pods, the innermost.
fn pod_of(cgroup: &str) -> Option<String> {
    let uid = |(index, word): (usize, &str)| {
        let rest = &cgroup[index + word.len()..];
        let uid = rest.get(..36)?;
        let ends = matches!(rest[36..].chars().next(), None | Some('/' | '.' | '\n'));
        (ends && is_uuid(uid)).then(|| uid.replace('_', "-"))
    };
    cgroup.match_indices("pod").filter_map(uid).last()
}

/// Whether the text is a UUID, with `-` or `_` between its parts.
pub fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', '_']).collect();
    let is_hexadecimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq(PARTS) && parts.iter().all(|part| is_hexadecimal(part))
}

/// The start time in the text of `/proc/PID/stat`. The name of the program may contain
/// spaces and brackets, so the fields after it are counted from its last bracket.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{end_in, is_uuid, pod_of};
    use std::cell::RefCell;
    use std::fs;

    const ONE: &str = "0f5e1c2a-1111-4a4a-8b8b-0123456789ab";
    const OTHER: &str = "9c9c9c9c-2222-4a4a-8b8b-0123456789ab";
    const STATIC: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn cgroup_tells_the_pod() {
        let underscores = ONE.replace('-', "_");
        for (cgroup, expected) in [
            (format!("12:memory:/kubepods/burstable/pod{ONE}/3f2a\n0::/\n"), Some(ONE)),
            (format!("1:name=systemd:/docker/5e/kubepods/pod{ONE}/3f2a\n"), Some(ONE)),
            // Cgroup version 2, seen from another pod.
            (format!("0::/../../pod{ONE}/3f2a\n"), Some(ONE)),
            (
                format!(
                    "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
                     kubelet-kubepods-besteffort-pod{underscores}.slice/cri-containerd-3f2a.scope\n"
                ),
                Some(ONE),
            ),
            (format!("0::/kubepods/pod{OTHER}/docker/kubepods/pod{ONE}/3f2a\n"), Some(ONE)),
            (format!("0::/kubepods/pod{ONE}"), Some(ONE)),
            (format!("0::/kubepods/pod{STATIC}/3f2a\n"), None),
            (format!("0::/kubepods/pod{ONE}0/3f2a\n"), None),
            (format!("0::/kubepods/{ONE}/3f2a\n"), None),
            ("0::/system.slice/kubelet.service\n".into(), None),
            ("0::/kubepods.slice\n".into(), None),
            ("".into(), None),
        ] {
            assert_eq!(pod_of(&cgroup).as_deref(), expected, "{cgroup}");
        }
        assert!(!is_uuid(""));
    }

    #[test]
    fn only_processes_of_other_pods_end_and_the_oldest_is_first() {
        let proc = std::env::temp_dir().join(format!("simulator-proc-{}", std::process::id()));
        let process = |pid: u32, cgroup: &str, started: u32| {
            let directory = proc.join(pid.to_string());
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
            let stat =
                format!("{pid} (a ) b) S 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 {started} 0\n");
            fs::write(directory.join("stat"), stat).unwrap();
        };
        process(1, &format!("/kubepods/pod{OTHER}/outer"), 1);
        process(2, &format!("/kubepods/pod{OTHER}/outer/kubelet"), 2);
        process(3, "/system.slice/containerd.service", 3);
        process(4, &format!("/kubepods/pod{STATIC}/etcd"), 4);
        process(5, "/kubepods/podaaaaaaaa-1111-4a4a-8b8b-0123456789ab/work", 9);
        process(6, "/kubepods/podaaaaaaaa-1111-4a4a-8b8b-0123456789ab/pause", 8);
        process(7, &format!("/kubepods/pod{ONE}/simulator"), 7);
        fs::create_dir_all(proc.join("sys")).unwrap();
        fs::create_dir_all(proc.join("8")).unwrap();
        let ended = RefCell::new(Vec::new());
        let count = end_in(&proc, ONE, &mut |pid, still_in_a_pod| {
            if still_in_a_pod() {
                ended.borrow_mut().push(pid);
            }
            Ok(())
        });
        fs::remove_dir_all(&proc).unwrap();
        assert_eq!(count.unwrap(), 2);
        assert_eq!(*ended.borrow(), [6, 5]);
    }
}
