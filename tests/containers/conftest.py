"""Fixtures for the tests of the images: the images, the Docker engine, and simulated
nodes. scripts/test/test-containers runs these tests.

Each run removes its containers and images at the end, also when tests fail. A run
also removes what an earlier run left behind because it was killed.
"""

import contextlib
import http.client
import os
import pathlib
import queue
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
# In seconds. No step takes this long, even on a slow machine under load.
TIMEOUT = 60
# The group that owns the API's socket on a node.
API_GROUP = 274
LABEL = "bottlerocket-updater.test-run"

# The options that correspond to the updater's container in its DaemonSet. The socket
# is mounted in addition.
UPDATER_OPTIONS = [
    "--user=65532:274",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--network=none",
    "--memory=32m",
    "--cpus=0.1",
]
UPDATER_FLAGS = [
    "-socket=/run/api.sock",
    "-metrics-address=:8080",
    "-state-dir=/var/lib/bottlerocket-updater",
    "-record=/opt/bottlerocket/reboot/record",
    "-boot-attempts=2",
]
# Like an emptyDir: any user can write to it.
STATE_OPTIONS = ["--tmpfs=/var/lib/bottlerocket-updater:mode=0777"]
# The options that correspond to the init container in Kured's DaemonSet.
INSTALL_OPTIONS = [
    "--user=0:0",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--network=none",
    "--memory=32m",
    "--cpus=0.1",
]
# The options that correspond to Kured's container, without its privileges.
KURED_OPTIONS = ["--pid=host", "--read-only", "--network=none"]
PRIVILEGED = ["--privileged"]
# The same as --privileged except for CAP_SYS_RESOURCE, which the tests do not need. An
# engine without that capability, for example in a virtual machine, cannot grant it.
PRIVILEGED_WITHOUT_SYS_RESOURCE = [
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
]
UPDATER = "/usr/local/bin/bottlerocket-updater"
INSTALL = "/usr/local/bin/bottlerocket-install"


def run(*command, check=True, **options):
    """Runs a command and waits for it. Returns its exit status and its output."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=TIMEOUT * 5, **options
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def pages():
    """Yields the texts of the README and of docs/."""
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]:
        yield path.read_text(encoding="utf-8")


class Output:
    """A process, and the lines that it prints, as soon as it prints them."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.seen = []
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def wait_for(self, pattern):
        """Waits for the next line that contains the pattern. Returns it."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                pytest.fail(f"no line with {pattern!r}:\n" + "\n".join(self.seen))
            self.seen.append(line)
            if re.search(pattern, line):
                return line

    def stop(self):
        self.process.kill()
        self.process.wait()


class Simulator:
    """A node's API. Its socket has owner root, group 274 and mode 0660, as on a node."""

    def __init__(self, *options):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="node-"))
        self.socket = self.directory / "api.sock"
        # With the setgid bit, a new socket gets the group of the directory.
        os.chown(self.directory, 0, API_GROUP)
        self.directory.chmod(0o2755)
        self.options = options
        self.start()

    def start(self):
        program = TARGET / "release" / "bottlerocket-simulator"
        quick = [f"--{command}-time=50ms" for command in ("refresh", "prepare", "activate")]
        self.events = Output(
            program, f"--socket={self.socket}", *quick, "--reboot-time=50ms", *self.options
        )
        self.events.wait_for("listens on")
        self.events.wait_for("curl")
        status = self.socket.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 274, 0o660)

    def restart(self):
        """Kills the API's server and starts it again. It creates a new socket."""
        self.events.stop()
        self.start()

    def post(self, action):
        """Starts an action of the API without any of our programs."""
        connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.socket))
            connection.request("POST", f"/actions/{action}")
            assert connection.getresponse().status == 204

    def stop(self):
        self.events.stop()
        shutil.rmtree(self.directory)


class Docker:
    """The Docker engine, and the containers and images that one run has in it."""

    def __init__(self):
        self.run_id = str(os.getpid())
        self.images = []

    def __call__(self, *arguments, check=True):
        return run("docker", *arguments, check=check)

    def create(self, command, image, *arguments, options=()):
        # No container gets a network, so the engine needs no bridge. Some of the options
        # already say so, and the engine does not accept the same network twice.
        fixed = [f"--label={LABEL}={self.run_id}", "--pull=never", "--network=none"]
        options = [*fixed, *(option for option in options if option not in fixed)]
        return self(command, *options, image, *arguments, check=False)

    def run(self, image, *arguments, options=()):
        """Runs a container and waits for it. Returns its exit status and its output."""
        return self.create("run", image, *arguments, options=["--rm", *options])

    def start(self, image, *arguments, options=()):
        """Starts a container in the background. Returns its ID."""
        done = self.create("run", image, *arguments, options=["--detach", *options])
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def inspect(self, container, field):
        return self("inspect", "--format", f"{{{{{field}}}}}", container).stdout.strip()

    def logs(self, container):
        return Output("docker", "logs", "--follow", container)

    def wait(self, container):
        """Waits until a container has exited. Returns its exit status."""
        return int(self("wait", container).stdout)

    def build(self, name, dockerfile, context=None):
        """Builds an image for a test. Returns its tag."""
        tag = self.tag(name)
        with tempfile.TemporaryDirectory() as empty:
            path = pathlib.Path(empty) / "Dockerfile"
            path.write_text(dockerfile, encoding="utf-8")
            self("build", "--quiet", f"--tag={tag}", f"--file={path}", str(context or empty))
        return tag

    def load(self, name, archive, architecture):
        """Loads the image for one architecture from an archive. Returns its tag."""
        tag = self.tag(f"{name}-{architecture}")
        override = f"--override-arch={architecture}"
        # skopeo does not read this variable itself.
        host = os.environ.get("DOCKER_HOST")
        engine = [f"--dest-daemon-host={host}"] if host else []
        source, target = f"oci-archive:{archive}", f"docker-daemon:{tag}"
        run("skopeo", override, "copy", *engine, source, target)
        return tag

    def tag(self, name):
        self.images.append(f"bottlerocket-updater-test-{self.run_id}:{name}")
        return self.images[-1]

    def clean(self):
        remove_containers(self, self.run_id)
        if self.images:
            self("rmi", "--force", *reversed(self.images), check=False)


def remove_containers(docker, run_id):
    left = docker("ps", "--all", "--quiet", f"--filter=label={LABEL}={run_id}").stdout.split()
    if left:
        docker("rm", "--force", "--volumes", *left)


def remove_leftovers(docker):
    """Removes the containers and images of runs that no longer exist."""

    def is_over(run_id):
        return not pathlib.Path(f"/proc/{run_id}").exists()

    containers = docker("ps", "--all", f'--format={{{{.Label "{LABEL}"}}}}').stdout
    for run_id in filter(is_over, set(containers.split())):
        remove_containers(docker, run_id)
    for image in docker("images", "--format={{.Repository}}:{{.Tag}}").stdout.split():
        named = re.match(r"bottlerocket-updater-test-(\d+):", image)
        if named and is_over(named[1]):
            docker("rmi", "--force", image)


@pytest.fixture(scope="session")
def docker():
    if not shutil.which("docker") or run("docker", "version", check=False).returncode:
        pytest.fail("no Docker engine answers: scripts/tools/run-with-docker starts one")
    docker = Docker()
    remove_leftovers(docker)
    yield docker
    docker.clean()


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The archives of both images, built by scripts/release/build-images, and of the
    base image that replaces Kured's."""
    directory = tmp_path_factory.mktemp("images")
    base = build_kured_substitute(directory)
    run(ROOT / "scripts/release/build-images", "--kured", f"oci-archive:{base}")
    built = TARGET / "images"
    shutil.copy(built / "bottlerocket-updater.tar", directory)
    # Remove this image: it is not built from Kured's image, so it must not be published.
    (built / "kured.digest").unlink()
    shutil.move(built / "kured.tar", directory)
    return {name: directory / f"{name}.tar" for name in ("bottlerocket-updater", "kured", "base")}


def build_kured_substitute(directory):
    """Builds a base image with BusyBox, which is all that the tests use of Kured's image.

    Kured's image is in a registry. The tests need no registry.
    """
    root = directory / "base"
    (root / "bin").mkdir(parents=True)
    (root / "usr" / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    for link in ("bin/sh", "bin/mkdir", "bin/rm", "usr/bin/nsenter"):
        (root / link).symlink_to("/bin/busybox")
    (root / "usr/bin/kured").write_text("#!/bin/sh\n", encoding="ascii")
    dockerfile = directory / "base.Dockerfile"
    dockerfile.write_text('FROM scratch\nCOPY . /\nENTRYPOINT ["/usr/bin/kured"]\n', "ascii")
    archive = directory / "base.tar"
    store = [f"--root={directory}/store", f"--runroot={directory}/run", "--storage-driver=vfs"]
    platforms = "--platform=linux/amd64,linux/arm64"
    run("buildah", *store, "build", platforms, "--manifest=base", f"--file={dockerfile}", root)
    run("buildah", *store, "manifest", "push", "--all", "localhost/base", f"oci-archive:{archive}")
    return archive


@pytest.fixture(scope="session")
def updater(docker, archives):
    """The tag of the image with the four programs, for this machine."""
    return docker.load("updater", archives["bottlerocket-updater"], "amd64")


@pytest.fixture(scope="session")
def kured(docker, archives):
    """The tag of the image with Kured and our programs, for this machine."""
    return docker.load("kured", archives["kured"], "amd64")


@pytest.fixture(scope="session")
def kured_options(docker, kured):
    """The options of a container that runs like Kured, with its privileges."""
    entry = ["--entrypoint=/usr/bin/nsenter"]
    tried = docker.run(kured, "--help", options=[*KURED_OPTIONS, *PRIVILEGED, *entry])
    if "unable to apply caps" in tried.stderr:
        return [*KURED_OPTIONS, *PRIVILEGED_WITHOUT_SYS_RESOURCE]
    return [*KURED_OPTIONS, *PRIVILEGED]


@pytest.fixture
def simulator():
    """A function that starts a simulated node. The nodes stop after the test."""
    with contextlib.ExitStack() as stack:

        def start(*options):
            simulator = Simulator(*options)
            stack.callback(simulator.stop)
            return simulator

        yield start


@pytest.fixture
def node(simulator):
    return simulator()


@pytest.fixture
def containers(docker):
    """The Docker engine. It removes the test's containers after the test."""
    yield docker
    remove_containers(docker, docker.run_id)


def mount(source, target, *options):
    return f"--mount={','.join(['type=bind', f'source={source}', f'target={target}', *options])}"


def mount_socket(node):
    """The option that mounts the socket as the DaemonSet does."""
    return mount(node.socket, "/run/api.sock", "readonly")
