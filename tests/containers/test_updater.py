"""Runs the updater's image with the same options as the DaemonSet."""

import pathlib
import re

import pytest
from conftest import (
    ROOT,
    STATE_OPTIONS,
    UPDATER,
    UPDATER_FLAGS,
    UPDATER_OPTIONS,
    mount_socket,
    pages,
    run,
)

READY = r'level=info event=ready msg="ready, waiting for the reboot" state=Ready next=1\.26\.1 running=1\.26\.0'
# Starts the first cycle at once.
NO_JITTER = ["-jitter=0s"]


def start(docker, image, node, *flags, options=()):
    options = [*UPDATER_OPTIONS, *STATE_OPTIONS, mount_socket(node), *options]
    return docker.start(image, *UPDATER_FLAGS, *flags, options=options)


def test_process_has_no_privileges(containers, updater, node):
    container = start(containers, updater, node)
    containers.logs(container).wait_for("msg=started")
    pid = containers.inspect(container, ".State.Pid")
    process = pathlib.Path("/proc", pid)
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text(encoding="ascii").splitlines()
    )
    assert status["Uid"].split() == ["65532"] * 4
    assert status["Gid"].split() == ["274"] * 4
    assert status["Groups"].split() in ([], ["274"])
    for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
        assert int(status[f"Cap{kind}"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    # Mode 2 is a filter: the engine's default profile.
    assert status["Seccomp"].strip() == "2"
    mounts = [line.split() for line in (process / "mountinfo").read_text("utf-8").splitlines()]
    root = next(fields for fields in mounts if fields[4] == "/")
    assert "ro" in root[5].split(",")
    # The only network interface is the loopback.
    interfaces = (process / "net/dev").read_text(encoding="ascii").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_updater_makes_the_node_ready(containers, updater, node):
    log = containers.logs(start(containers, updater, node, *NO_JITTER))
    log.wait_for("msg=started version=.* socket=/run/api.sock interval=10m")
    log.wait_for('msg="update found, preparing it" running=1.26.0 version=1.26.1')
    log.wait_for("msg=prepared")
    log.wait_for("msg=activated")
    log.wait_for(READY)
    node.events.wait_for("state: Staged -> Ready")


def test_one_time_runs_beside_the_daemon(containers, updater, node):
    container = start(containers, updater, node, *NO_JITTER)
    containers.logs(container).wait_for(READY)
    once = containers("exec", container, UPDATER, "-one-time")
    assert re.search(READY, once.stderr)


def test_user_without_the_group_cannot_connect(containers, updater, node):
    options = [*UPDATER_OPTIONS, "--user=65532:65532", mount_socket(node)]
    once = containers.run(updater, "-one-time", options=options)
    assert once.returncode == 3
    [line] = once.stderr.splitlines()
    assert "level=error" in line
    assert "cannot connect: permission denied" in line
    assert "socket=/run/api.sock" in line
    # The daemon logs the same error and retries.
    container = containers.start(updater, *NO_JITTER, options=options)
    containers.logs(container).wait_for("level=error .*permission denied")
    assert containers.inspect(container, ".State.Running") == "true"


def test_sigterm_stops_the_updater(containers, updater, node):
    container = start(containers, updater, node, *NO_JITTER)
    log = containers.logs(container)
    log.wait_for(READY)
    # After this time the engine kills the container, and the exit status is 137.
    containers("stop", "--time=30", container)
    log.wait_for("msg=stopped signal=SIGTERM")
    assert containers.inspect(container, ".State.ExitCode") == "0"


def test_sigterm_stops_the_updater_during_a_prepare(containers, updater, simulator):
    container = start(containers, updater, simulator("--prepare-time=1h"), *NO_JITTER)
    log = containers.logs(container)
    log.wait_for("preparing it")
    containers("stop", "--time=30", container)
    log.wait_for("msg=stopped signal=SIGTERM")
    assert containers.inspect(container, ".State.ExitCode") == "0"


def test_updater_exits_on_a_stale_socket_and_recovers_after_a_restart(containers, updater, node):
    flags = [*NO_JITTER, "-test-interval=1s", "-give-up=2s"]
    container = start(containers, updater, node, *flags)
    log = containers.logs(container)
    log.wait_for(READY)
    node.restart()
    log.wait_for(
        "level=error .*connection refused .*if it has made a new socket, restart the container"
    )
    log.wait_for(
        'level=error event=gave_up msg="the socket is unreachable; exiting so that a restarted '
    )
    assert containers.wait(container) == 3
    # As the kubelet does.
    containers("start", container)
    log = containers.logs(container)
    log.wait_for("event=gave_up")
    log.wait_for(READY)
    node.events.wait_for("state: Staged -> Ready")


def test_documented_dockerfile_copies_one_program(containers, updater, node):
    block = re.compile(r"```dockerfile\n(.*?COPY --from=.*?)```", re.DOTALL)
    [dockerfile] = [found for page in pages() for found in block.findall(page)]
    dockerfile, replaced = re.subn(r"(?<=--from=)\S+", updater, dockerfile)
    assert replaced == 1
    image = containers.build("copy-from", dockerfile)
    checked = containers.run(image, options=[*UPDATER_OPTIONS, mount_socket(node)])
    assert (checked.returncode, checked.stderr) == (1, "")
    assert checked.stdout == "no: no refresh since the node booted\n"
    assert len(files(containers, image)) == 1


def files(docker, image):
    """Returns the files of an image, without those that the engine adds."""
    container = docker.create("create", image, "-version").stdout.strip()
    exported = run("sh", "-c", f"docker export {container} | tar -t").stdout.split()
    added = re.compile(r"\.dockerenv|.*/|etc/(hostname|hosts|resolv\.conf|mtab)|dev/console")
    return [name for name in exported if not added.fullmatch(name)]


def test_image_contains_only_the_programs_and_the_licence(containers, updater):
    assert sorted(files(containers, updater)) == [
        "usr/local/bin/bottlerocket-checker",
        "usr/local/bin/bottlerocket-gate",
        "usr/local/bin/bottlerocket-install",
        "usr/local/bin/bottlerocket-reboot",
        "usr/local/bin/bottlerocket-updater",
        "usr/share/licenses/bottlerocket-updater/LICENSE",
    ]


@pytest.fixture(scope="module")
def emulation():
    """Configures the kernel to run programs for aarch64 in an emulator."""
    binfmt = pathlib.Path("/proc/sys/fs/binfmt_misc")
    mounted = (binfmt / "register").exists()
    if not mounted:
        run("mount", "-t", "binfmt_misc", "binfmt_misc", binfmt)
    registered = [entry for entry in binfmt.iterdir() if "aarch64" in entry.name]
    if not registered:
        # With the flag F, the kernel opens the emulator now, so the container does not
        # need it.
        configured = pathlib.Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_text("ascii")
        (binfmt / "register").write_text(configured, "ascii")
    yield
    if not registered:
        (binfmt / "qemu-aarch64").write_text("-1", "ascii")
    if not mounted:
        run("umount", binfmt, check=False)


def test_image_for_arm64_runs(emulation, containers, archives, node):
    image = containers.load("updater", archives["bottlerocket-updater"], "arm64")
    options = ["--platform=linux/arm64", *UPDATER_OPTIONS, mount_socket(node)]
    for program in ("checker", "install", "reboot", "updater"):
        entry = f"--entrypoint=/usr/local/bin/bottlerocket-{program}"
        version = containers.run(image, "-version", options=[*options, entry])
        assert re.fullmatch(rf"bottlerocket-{program} \S+\n", version.stdout)
    checker = [*options, "--entrypoint=/usr/local/bin/bottlerocket-checker"]
    assert containers.run(image, options=checker).returncode == 1
    container = containers.start(image, *NO_JITTER, options=options)
    log = containers.logs(container)
    log.wait_for(READY)
    assert containers.run(image, options=checker).returncode == 0
    containers("stop", "--time=30", container)
    log.wait_for("msg=stopped signal=SIGTERM")
    assert containers.inspect(container, ".State.ExitCode") == "0"


def test_measure_container_prints_all_figures(updater):
    measured = run(ROOT / "scripts/bench/measure-container", updater).stdout
    for figure in (
        r"memory of the idle container +[\d,]+ KiB",
        r"pages of the updater +\d+ KiB",
        r"peak, .* (?:[\d,]+ KiB|not kept)",
        r"start to idle +[\d,.]+ ms",
        r"a cycle of a Ready node +[\d,]+ µs",
    ):
        assert re.search(figure, measured), measured
