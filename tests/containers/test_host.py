"""What happens on the host: the programs are installed there, and run there, by
something that does as Kured does.

The host is a container whose root has nothing but one static program, which
waits. Whatever runs in its mount namespace has found all it needs in itself.
"""

import contextlib
import pathlib
import socket

import pytest
from conftest import INIT_CONTAINER, INSTALL, PATIENCE, ROOT, TARGET, mount, run

HOST = """\
FROM scratch
COPY --from={} /usr/local/bin/bottlerocket-updater /waits
ENTRYPOINT ["/waits", "-socket=/nothing", "-give-up=24h"]
"""
CHECKER = "/opt/bottlerocket/bottlerocket-checker"
REBOOT = "/opt/bottlerocket/bottlerocket-reboot"


class Host:
    """A host with an empty root, and with /opt and /run of its own."""

    def __init__(self, docker, updater, kured, as_kured, run_directory, opt):
        self.docker, self.updater, self.opt = docker, updater, opt
        self.kured, self.as_kured = kured, as_kured
        self.options = ["--network=none", "--user=0:0", "--read-only"]
        self.options += [mount(run_directory, "/run"), mount(opt, "/opt")]
        self.image = docker.build("host", HOST.format(updater))
        self.container = docker.start(self.image, options=self.options)
        docker.logs(self.container).wait_for("msg=started")
        self.pid = docker.inspect(self.container, ".State.Pid")

    def install(self, image=None, options=INIT_CONTAINER):
        """Runs the init container."""
        options = [*options, f"--entrypoint={INSTALL}", mount(self.opt, "/host/opt")]
        return self.docker.run(image or self.updater, "/host/opt/bottlerocket", options=options)

    def nsenter(self, *command):
        """The arguments with which Kured would have the command run."""
        enter = ["--entrypoint=/usr/bin/nsenter"]
        return self.kured, f"-m/proc/{self.pid}/ns/mnt", "--", *command, [*self.as_kured, *enter]

    def run(self, *command):
        image, *arguments, options = self.nsenter(*command)
        return self.docker.run(image, *arguments, options=options)


@pytest.fixture
def opt(tmp_path):
    """What stands for the host's /opt: root's, and for others to read only."""
    opt = tmp_path / "opt"
    opt.mkdir(mode=0o755)
    return opt


@pytest.fixture
def host(containers, updater, kured, as_kured, node, opt):
    return Host(containers, updater, kured, as_kured, node.directory, opt)


@pytest.fixture
def installed(host):
    done = host.install()
    assert (done.returncode, done.stderr) == (0, "")
    return host


def make_ready(node):
    run(TARGET / "release/bottlerocket-updater", f"-socket={node.socket}", "-one-time")


def test_nothing_of_the_host_is_needed(host):
    listed = run("sh", "-c", f"docker export {host.container} | tar -t").stdout.split()
    files = {name for name in listed if not name.endswith("/")}
    # The others are the engine's, and empty.
    engine = {".dockerenv", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"}
    assert files - engine - {"dev/console"} == {"waits"}
    assert host.run("/bin/sh").returncode == 127


def test_installs_with_no_capability(host, opt):
    done = host.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "installed /host/opt/bottlerocket/bottlerocket-checker",
        "installed /host/opt/bottlerocket/bottlerocket-reboot",
    ]
    directory = opt / "bottlerocket"
    assert sorted(path.name for path in directory.iterdir()) == [
        "bottlerocket-checker",
        "bottlerocket-reboot",
    ]
    for path in [directory, *directory.iterdir()]:
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 0, 0o755)
    assert [line.split()[0] for line in host.install().stdout.splitlines()] == ["unchanged"] * 2


def test_installs_into_a_mount_of_its_own(host, opt):
    """As the DaemonSet mounts no more of /opt than this directory."""
    directory = opt / "bottlerocket"
    directory.mkdir(mode=0o755)
    into = "/host/opt/bottlerocket"
    options = [*INIT_CONTAINER, f"--entrypoint={INSTALL}", mount(directory, into)]
    done = host.docker.run(host.updater, into, options=options)
    assert (done.returncode, done.stderr) == (0, "")
    assert host.run(CHECKER).returncode == 1


def test_only_root_can_install(host, opt):
    done = host.install(options=[*INIT_CONTAINER, "--user=65532:274"])
    assert done.returncode == 3
    assert "/host/opt/bottlerocket" in done.stderr
    assert "permission denied" in done.stderr
    assert list(opt.iterdir()) == []


def test_the_image_with_kured_installs_the_same(host, kured, opt):
    assert host.install(kured).returncode == 0
    before = {path.name: path.stat().st_mtime_ns for path in (opt / "bottlerocket").iterdir()}
    assert len(before) == 2
    assert host.install().stdout.count("unchanged") == 2
    assert {
        path.name: path.stat().st_mtime_ns for path in (opt / "bottlerocket").iterdir()
    } == before


def test_the_image_with_kured_can_be_built_from_its_dockerfile_alone(containers, archives, updater):
    base = containers.load("base", archives["base"], "amd64")
    tag = containers.tag("kured-alone")
    bases = [f"--build-arg=KURED={base}", f"--build-arg=PROGRAMS={updater}"]
    dockerfile = (ROOT / "deploy/images/kured.Dockerfile").read_text(encoding="utf-8")
    run("docker", "build", "--quiet", f"--tag={tag}", *bases, "-", input=dockerfile)
    entry = "--entrypoint=/usr/local/bin/bottlerocket-checker"
    checked = containers.run(tag, "-version", options=[entry])
    assert checked.stdout.startswith("bottlerocket-checker ")


def test_what_is_not_installed_is_no_reason_to_reboot(host):
    # As Kured's reference of exit statuses has it: any but 0 and 1 is a warning.
    assert host.run(CHECKER).returncode == 127


def test_a_node_that_is_not_ready(installed):
    checked = installed.run(CHECKER)
    assert (checked.returncode, checked.stderr) == (1, "")
    assert checked.stdout == "no: no refresh since the node booted\n"


def test_a_node_that_is_ready_and_its_reboot(installed, node):
    make_ready(node)
    checked = installed.run(CHECKER)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith("yes: state Ready, reboot brings 1.26.1; running 1.26.0")
    rebooted = installed.run(REBOOT)
    assert (rebooted.returncode, rebooted.stderr) == (0, "")
    assert rebooted.stdout == "the reboot is on its way\n"
    node.events.wait_for("booted 1.26.1")
    assert installed.run(CHECKER).returncode == 1


def test_a_node_whose_api_is_gone(installed, node):
    node.events.stop()
    for program in (CHECKER, REBOOT):
        done = installed.run(program)
        assert (done.returncode, done.stdout) == (3, "")
        assert "/run/api.sock" in done.stderr
        assert "connection refused" in done.stderr
    node.socket.unlink()
    done = installed.run(CHECKER)
    assert done.returncode == 3
    assert "no such file or directory" in done.stderr
    # The host has the directory of the socket, so that a new one is seen.
    node.start()
    assert installed.run(CHECKER).returncode == 1


def test_a_refused_reboot(containers, updater, kured, as_kured, simulator, opt):
    node = simulator('--fail=reboot=1:Operation inhibited by "backup"')
    host = Host(containers, updater, kured, as_kured, node.directory, opt)
    host.install()
    refused = host.run(REBOOT)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "backup" in refused.stderr


def test_a_new_version_over_a_running_one(containers, updater, kured, as_kured, tmp_path, opt):
    """An API of the test's own holds the checker that runs, until both programs
    have been replaced."""
    run_directory = tmp_path / "run"
    run_directory.mkdir()
    host = Host(containers, updater, kured, as_kured, run_directory, opt)
    assert host.install().returncode == 0
    old = {path.name: path.read_bytes() for path in (opt / "bottlerocket").iterdir()}
    new_image, new = new_version(containers, updater, old, tmp_path)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as api:
        api.bind(str(run_directory / "api.sock"))
        api.listen()
        api.settimeout(PATIENCE)
        image, *arguments, options = host.nsenter(CHECKER, "-timeout=10m")
        running = containers.start(image, *arguments, options=options)
        connection, _ = api.accept()
        program = pathlib.Path("/proc", containers.inspect(running, ".State.Pid"), "exe")
        assert program.read_bytes() == old["bottlerocket-checker"]

        replaced = host.install(new_image)
        assert (replaced.returncode, replaced.stderr) == (0, "")
        assert [line.split()[0] for line in replaced.stdout.splitlines()] == ["updated"] * 2
        assert {path.name: path.read_bytes() for path in (opt / "bottlerocket").iterdir()} == new
        # It still has its own file.
        assert program.read_bytes() == old["bottlerocket-checker"]

        with contextlib.closing(connection):
            connection.recv(4096)
            connection.sendall((ROOT / "tests/transcripts/status-ready.http").read_bytes())
        assert containers.wait(running) == 0
        containers.logs(running).wait_for("^yes: state Ready")

        # And from now on it is the new one that runs.
        running = containers.start(image, *arguments, options=options)
        connection, _ = api.accept()
        program = pathlib.Path("/proc", containers.inspect(running, ".State.Pid"), "exe")
        assert program.read_bytes() == new["bottlerocket-checker"]
        connection.close()


def new_version(docker, updater, old, directory):
    """An image with programs that do the same, but are other files."""
    context = directory / "new"
    context.mkdir()
    new = {name: program + b"a new version" for name, program in old.items()}
    for name, program in new.items():
        (context / name).write_bytes(program)
        (context / name).chmod(0o755)
    dockerfile = f"FROM {updater}\nCOPY . /usr/local/bin/\n"
    return docker.build("new-version", dockerfile, context), new
