"""Checks the state directory on the host: the init container gives it to the updater's
group, the updater writes to it, and the uninstaller removes it. Each runs as in its pod.
"""

from conftest import (
    INSTALL,
    INSTALL_OPTIONS,
    UPDATER_FLAGS,
    UPDATER_OPTIONS,
    mount,
    mount_socket,
)
from test_daemonsets import options_of, pod_of

DIRECTORY = "/var/lib/bottlerocket-updater"
READY = "event=ready "


def run_as_pod(docker, image, container, mounts):
    """Runs a container of a pod, with its command and options, and waits for it. Returns
    the lines of its output."""
    [program], arguments = container["command"], container["args"]
    options = [*options_of(container), f"--entrypoint={program}", *mounts]
    done = docker.run(image, *arguments, options=options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_state_on_host_is_created_kept_and_removed(containers, updater, node, tmp_path):
    host = tmp_path / "host"
    directory = host / "var/lib/bottlerocket-updater"
    # The kubelet creates this directory, and only root can write to it.
    directory.mkdir(parents=True, mode=0o755)
    (host / "opt/cni").mkdir(parents=True)
    (host / "var/lib/kubelet").mkdir()

    [init] = pod_of("updater")["initContainers"]
    record = "/opt/bottlerocket/reboot"
    (host / record[1:]).mkdir(parents=True, mode=0o755)
    assert [each["mountPath"] for each in init["volumeMounts"]] == [DIRECTORY, record]
    mounts = [mount(directory, DIRECTORY), mount(host / record[1:], record)]
    link = f"{record}/updater.sock leads to /run/api.sock"
    assert run_as_pod(containers, updater, init, mounts) == [
        link,
        f"fixed the owner of {DIRECTORY}",
        f"fixed the mode of {DIRECTORY}",
    ]
    state = directory.stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (0, 274, 0o770)

    flags = UPDATER_FLAGS
    options = [*UPDATER_OPTIONS, mount_socket(node), mount(directory, DIRECTORY)]
    container = containers.start(updater, *flags, "-jitter=0s", options=options)
    containers.logs(container).wait_for(READY)
    containers("rm", "--force", container)
    saved = (directory / "state").read_bytes()
    assert b"1.26.1" in saved
    # A new pod on the node keeps the existing state.
    lines = run_as_pod(containers, updater, init, mounts)
    assert lines == [link, f"unchanged {DIRECTORY}"]
    assert (directory / "state").read_bytes() == saved

    install = [*INSTALL_OPTIONS, f"--entrypoint={INSTALL}", mount(host / "opt", "/host/opt")]
    assert containers.run(updater, "/host/opt/bottlerocket", options=install).returncode == 0
    [remove] = pod_of("uninstall")["initContainers"]
    mounted = [each["mountPath"] for each in remove["volumeMounts"]]
    assert mounted == ["/host/opt", "/host/var/lib"]
    # The container paths are below the directory that represents the host.
    mounts = [mount(f"{tmp_path}{path}", path) for path in mounted]
    lines = run_as_pod(containers, updater, remove, mounts)
    assert f"removed /host{DIRECTORY}/state" in lines
    assert [line for line in lines if not line.startswith("removed ")] == []
    left = sorted(str(path.relative_to(host)) for path in host.rglob("*"))
    assert left == ["opt", "opt/cni", "var", "var/lib", "var/lib/kubelet"]


def test_uninstaller_waits_and_stops_at_once(containers, updater):
    [done] = pod_of("uninstall")["containers"]
    [program], arguments = done["command"], done["args"]
    options = [*options_of(done), f"--entrypoint={program}"]
    container = containers.start(updater, *arguments, options=options)
    # As process 1 of its container, it ignores SIGTERM until it has set a handler.
    containers.logs(container).wait_for("waiting for SIGTERM")
    containers("stop", "--time=60", container)
    assert containers.wait(container) == 0
