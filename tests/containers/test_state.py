"""What the updater remembers, on the host: an init container makes the directory,
the updater writes there, and the uninstaller removes it, each as its pod does.
"""

import yaml
from conftest import DAEMON_SET, DAEMON_SET_FLAGS, INIT_CONTAINER, INSTALL, ROOT, mount, socket_of
from test_daemonsets import options_of, pod_of

DIRECTORY = "/var/lib/bottlerocket-updater"
READY = "event=ready "


def patched():
    """What deploy/components/state-on-host puts into the updater's pod, by the place."""
    text = (ROOT / "deploy/components/state-on-host/kustomization.yaml").read_text("utf-8")
    [patch] = yaml.safe_load(text)["patches"]
    operations = yaml.safe_load(patch["patch"])
    return {each["path"]: each["value"] for each in operations if each["op"] != "test"}


def run_as_pod(docker, image, container, mounts):
    """Runs a container of a pod to its end, with its own command and options."""
    [program], arguments = container["command"], container["args"]
    options = [*options_of(container), f"--entrypoint={program}", *mounts]
    done = docker.run(image, *arguments, options=options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_state_on_the_host_from_the_first_day_to_the_last(
    containers, updater, kured, node, tmp_path
):
    host = tmp_path / "host"
    made = host / "var/lib/bottlerocket-updater"
    # As the kubelet makes it: for root alone to write to.
    made.mkdir(parents=True, mode=0o755)
    (host / "opt/cni").mkdir(parents=True)
    (host / "var/lib/kubelet").mkdir()

    changes = patched()
    [maker] = changes["/spec/template/spec/initContainers"]
    assert [each["mountPath"] for each in maker["volumeMounts"]] == [DIRECTORY]
    run_as_pod(containers, kured, maker, [mount(made, DIRECTORY)])
    state = (made / "state").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (0, 274, 0o770)

    flags = [*DAEMON_SET_FLAGS[:2], changes["/spec/template/spec/containers/0/args/2"]]
    options = [*DAEMON_SET, socket_of(node), mount(made, DIRECTORY)]
    container = containers.start(updater, *flags, "-jitter=0s", options=options)
    containers.logs(container).wait_for(READY)
    remembered = (made / "state/state").read_bytes()
    assert b"1.26.1" in remembered
    containers("rm", "--force", container)
    # Another pod of the node: what is there stays as it is.
    run_as_pod(containers, kured, maker, [mount(made, DIRECTORY)])
    assert (made / "state/state").read_bytes() == remembered

    installed = [*INIT_CONTAINER, f"--entrypoint={INSTALL}", mount(host / "opt", "/host/opt")]
    assert containers.run(updater, "/host/opt/bottlerocket", options=installed).returncode == 0
    [remover] = pod_of("uninstall")["initContainers"]
    seen = [each["mountPath"] for each in remover["volumeMounts"]]
    assert seen == ["/host/opt", "/host/var/lib"]
    # The paths in the container are those of this host.
    mounts = [mount(f"{tmp_path}{path}", path) for path in seen]
    run_as_pod(containers, kured, remover, mounts)
    left = sorted(str(path.relative_to(host)) for path in host.rglob("*"))
    assert left == ["opt", "opt/cni", "var", "var/lib", "var/lib/kubelet"]
