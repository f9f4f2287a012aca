"""Installs the programs on a host and runs them there as Kured does.

The host is a container whose root filesystem contains only one static program, which
waits. So a program that runs in its mount namespace needs no other files.
"""

import contextlib
import pathlib
import socket

import pytest
from conftest import INSTALL, INSTALL_OPTIONS, ROOT, TARGET, TIMEOUT, mount, run

HOST = """\
FROM scratch
COPY --from={} /usr/local/bin/bottlerocket-updater /wait
ENTRYPOINT ["/wait", "-socket=/nothing", "-give-up=24h"]
"""
CHECKER = "/opt/bottlerocket/bottlerocket-checker"
REBOOT = "/opt/bottlerocket/bottlerocket-reboot"


class Host:
    """A host with an empty root filesystem and its own /opt and /run."""

    def __init__(self, docker, updater, kured, kured_options, run_directory, opt):
        self.docker, self.updater, self.opt = docker, updater, opt
        self.kured, self.kured_options = kured, kured_options
        self.options = ["--network=none", "--user=0:0", "--read-only"]
        self.options += [mount(run_directory, "/run"), mount(opt, "/opt")]
        self.image = docker.build("host", HOST.format(updater))
        self.container = docker.start(self.image, options=self.options)
        docker.logs(self.container).wait_for("msg=started")
        self.pid = docker.inspect(self.container, ".State.Pid")

    def install(self, image=None, options=INSTALL_OPTIONS):
        """Runs the init container."""
        options = [*options, f"--entrypoint={INSTALL}", mount(self.opt, "/host/opt")]
        return self.docker.run(image or self.updater, "/host/opt/bottlerocket", options=options)

    def nsenter(self, *command):
        """Returns the image, the arguments and the options that run a command as Kured
        runs it."""
        enter = ["--entrypoint=/usr/bin/nsenter"]
        return (
            self.kured,
            f"-m/proc/{self.pid}/ns/mnt",
            "--",
            *command,
            [*self.kured_options, *enter],
        )

    def run(self, *command):
        image, *arguments, options = self.nsenter(*command)
        return self.docker.run(image, *arguments, options=options)


@pytest.fixture
def opt(tmp_path):
    """The host's /opt. Only root can write to it."""
    opt = tmp_path / "opt"
    opt.mkdir(mode=0o755)
    return opt


@pytest.fixture
def host(containers, updater, kured, kured_options, node, opt):
    return Host(containers, updater, kured, kured_options, node.directory, opt)


@pytest.fixture
def installed(host):
    done = host.install()
    assert (done.returncode, done.stderr) == (0, "")
    return host


def prepare_update(node):
    run(TARGET / "release/bottlerocket-updater", f"-socket={node.socket}", "-one-time")


def test_host_has_no_other_programs(host):
    listed = run("sh", "-c", f"docker export {host.container} | tar -t").stdout.split()
    files = {name for name in listed if not name.endswith("/")}
    # The engine adds these files, which are empty.
    engine = {".dockerenv", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"}
    assert files - engine - {"dev/console"} == {"wait"}
    assert host.run("/bin/sh").returncode == 127


def test_install_needs_no_capability(host, opt):
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


def test_install_works_with_only_its_directory_mounted(host, opt):
    """The DaemonSet mounts only this directory of /opt."""
    directory = opt / "bottlerocket"
    directory.mkdir(mode=0o755)
    into = "/host/opt/bottlerocket"
    options = [*INSTALL_OPTIONS, f"--entrypoint={INSTALL}", mount(directory, into)]
    done = host.docker.run(host.updater, into, options=options)
    assert (done.returncode, done.stderr) == (0, "")
    assert host.run(CHECKER).returncode == 1


def test_install_fails_without_root(host, opt):
    done = host.install(options=[*INSTALL_OPTIONS, "--user=65532:274"])
    assert done.returncode == 3
    assert "/host/opt/bottlerocket" in done.stderr
    assert "permission denied" in done.stderr
    assert list(opt.iterdir()) == []


def test_image_with_kured_installs_the_same_programs(host, kured, opt):
    assert host.install(kured).returncode == 0
    before = {path.name: path.stat().st_mtime_ns for path in (opt / "bottlerocket").iterdir()}
    assert len(before) == 2
    assert host.install().stdout.count("unchanged") == 2
    assert {
        path.name: path.stat().st_mtime_ns for path in (opt / "bottlerocket").iterdir()
    } == before


def test_image_with_kured_builds_without_a_context(containers, archives, updater):
    base = containers.load("base", archives["base"], "amd64")
    tag = containers.tag("kured-alone")
    bases = [f"--build-arg=KURED={base}", f"--build-arg=PROGRAMS={updater}"]
    dockerfile = (ROOT / "deploy/images/kured.Dockerfile").read_text(encoding="utf-8")
    run("docker", "build", "--quiet", f"--tag={tag}", *bases, "-", input=dockerfile)
    entry = "--entrypoint=/usr/local/bin/bottlerocket-checker"
    checked = containers.run(tag, "-version", options=[entry])
    assert checked.stdout.startswith("bottlerocket-checker ")


def test_missing_checker_exits_with_127(host):
    # Kured logs a warning and does not reboot for any status except 0 and 1.
    assert host.run(CHECKER).returncode == 127


def test_checker_says_no_before_the_first_refresh(installed):
    checked = installed.run(CHECKER)
    assert (checked.returncode, checked.stderr) == (1, "")
    assert checked.stdout == "no: no refresh since the node booted\n"


def test_checker_says_yes_on_a_ready_node_until_its_reboot(installed, node):
    prepare_update(node)
    checked = installed.run(CHECKER)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith(
        "yes: state Ready, the next boot starts 1.26.1; running 1.26.0"
    )
    rebooted = installed.run(REBOOT)
    assert (rebooted.returncode, rebooted.stderr) == (0, "")
    assert rebooted.stdout == "the reboot is on its way\n"
    node.events.wait_for("booted 1.26.1")
    assert installed.run(CHECKER).returncode == 1


def test_programs_fail_while_the_api_is_down(installed, node):
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
    # The programs run on the host, so they see the new socket.
    node.start()
    assert installed.run(CHECKER).returncode == 1


def test_refused_reboot_fails_with_the_reason(
    containers, updater, kured, kured_options, simulator, opt
):
    node = simulator('--fail=reboot=1:Operation inhibited by "backup"')
    host = Host(containers, updater, kured, kured_options, node.directory, opt)
    host.install()
    refused = host.run(REBOOT)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "backup" in refused.stderr


def test_install_replaces_a_running_program(
    containers, updater, kured, kured_options, tmp_path, opt
):
    """The test's own API server delays the running checker until both programs have
    been replaced."""
    run_directory = tmp_path / "run"
    run_directory.mkdir()
    host = Host(containers, updater, kured, kured_options, run_directory, opt)
    assert host.install().returncode == 0
    old = {path.name: path.read_bytes() for path in (opt / "bottlerocket").iterdir()}
    new_image, new = new_version(containers, updater, old, tmp_path)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as api:
        api.bind(str(run_directory / "api.sock"))
        api.listen()
        api.settimeout(TIMEOUT)
        image, *arguments, options = host.nsenter(CHECKER, "-timeout=10m")
        running = containers.start(image, *arguments, options=options)
        connection, _ = api.accept()
        program = pathlib.Path("/proc", containers.inspect(running, ".State.Pid"), "exe")
        assert program.read_bytes() == old["bottlerocket-checker"]

        replaced = host.install(new_image)
        assert (replaced.returncode, replaced.stderr) == (0, "")
        assert [line.split()[0] for line in replaced.stdout.splitlines()] == ["updated"] * 2
        assert {path.name: path.read_bytes() for path in (opt / "bottlerocket").iterdir()} == new
        # The running program still uses the old file.
        assert program.read_bytes() == old["bottlerocket-checker"]

        with contextlib.closing(connection):
            connection.recv(4096)
            connection.sendall((ROOT / "tests/transcripts/status-ready.http").read_bytes())
        assert containers.wait(running) == 0
        containers.logs(running).wait_for("^yes: state Ready")

        # The next start runs the new file.
        running = containers.start(image, *arguments, options=options)
        connection, _ = api.accept()
        program = pathlib.Path("/proc", containers.inspect(running, ".State.Pid"), "exe")
        assert program.read_bytes() == new["bottlerocket-checker"]
        connection.close()


def new_version(docker, updater, old, directory):
    """Builds an image with programs that behave the same but have other content."""
    context = directory / "new"
    context.mkdir()
    new = {name: program + b"a new version" for name, program in old.items()}
    for name, program in new.items():
        (context / name).write_bytes(program)
        (context / name).chmod(0o755)
    dockerfile = f"FROM {updater}\nCOPY . /usr/local/bin/\n"
    return docker.build("new-version", dockerfile, context), new
