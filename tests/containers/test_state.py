"""Checks the state directory on the host: the init container creates it, the updater
writes to it, and the uninstaller removes it. Each runs as in its pod.
"""

import yaml
from conftest import (
    INSTALL,
    INSTALL_OPTIONS,
    ROOT,
    UPDATER_FLAGS,
    UPDATER_OPTIONS,
    mount,
    mount_socket,
)
from test_daemonsets import options_of, pod_of

DIRECTORY = "/var/lib/bottlerocket-updater"
READY = "event=ready "


def patched():
    """Returns the values that deploy/components/state-on-host puts into the updater's
    DaemonSet, by path."""
    text = (ROOT / "deploy/components/state-on-host/kustomization.yaml").read_text("utf-8")
    [patch] = yaml.safe_load(text)["patches"]
    operations = yaml.safe_load(patch["patch"])
    return {each["path"]: each["value"] for each in operations if each["op"] != "test"}


def run_as_pod(docker, image, container, mounts):
    """Runs a container of a pod, with its command and options, and waits for it."""
    [program], arguments = container["command"], container["args"]
    options = [*options_of(container), f"--entrypoint={program}", *mounts]
    done = docker.run(image, *arguments, options=options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_state_on_host_is_created_kept_and_removed(containers, updater, kured, node, tmp_path):
    host = tmp_path / "host"
    directory = host / "var/lib/bottlerocket-updater"
    # The kubelet creates this directory, and only root can write to it.
    directory.mkdir(parents=True, mode=0o755)
    (host / "opt/cni").mkdir(parents=True)
    (host / "var/lib/kubelet").mkdir()

    changes = patched()
    [init] = changes["/spec/template/spec/initContainers"]
    assert [each["mountPath"] for each in init["volumeMounts"]] == [DIRECTORY]
    run_as_pod(containers, kured, init, [mount(directory, DIRECTORY)])
    state = (directory / "state").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (0, 274, 0o770)

    flags = [*UPDATER_FLAGS[:2], changes["/spec/template/spec/containers/0/args/2"]]
    options = [*UPDATER_OPTIONS, mount_socket(node), mount(directory, DIRECTORY)]
    container = containers.start(updater, *flags, "-jitter=0s", options=options)
    containers.logs(container).wait_for(READY)
    saved = (directory / "state/state").read_bytes()
    assert b"1.26.1" in saved
    containers("rm", "--force", container)
    # A new pod on the node keeps the existing state.
    run_as_pod(containers, kured, init, [mount(directory, DIRECTORY)])
    assert (directory / "state/state").read_bytes() == saved

    install = [*INSTALL_OPTIONS, f"--entrypoint={INSTALL}", mount(host / "opt", "/host/opt")]
    assert containers.run(updater, "/host/opt/bottlerocket", options=install).returncode == 0
    [remove] = pod_of("uninstall")["initContainers"]
    mounted = [each["mountPath"] for each in remove["volumeMounts"]]
    assert mounted == ["/host/opt", "/host/var/lib"]
    # The container paths are below the directory that represents the host.
    mounts = [mount(f"{tmp_path}{path}", path) for path in mounted]
    run_as_pod(containers, kured, remove, mounts)
    left = sorted(str(path.relative_to(host)) for path in host.rglob("*"))
    assert left == ["opt", "opt/cni", "var", "var/lib", "var/lib/kubelet"]
