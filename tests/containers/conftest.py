"""What the tests of the images run with: the images, the Docker engine, and a
simulated node. scripts/test/test-containers runs them.

Containers and images are gone when a run is over, whatever came of it; and what
a killed run has left goes when the next one begins.
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
# No step takes as long as this, on the slowest machine.
PATIENCE = 60
# Group 274 is what owns the API's socket on a node.
API_GROUP = 274
LABEL = "bottlerocket-updater.test-run"

# As the DaemonSet has the updater run. The socket is mounted beside.
DAEMON_SET = [
    "--user=65532:274",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--network=none",
    "--memory=16m",
    "--cpus=0.1",
]
DAEMON_SET_FLAGS = [
    "-socket=/run/api.sock",
    "-metrics-address=:8080",
    "-state-dir=/var/lib/bottlerocket-updater",
]
# As an emptyDir is, for whoever the container's user is.
STATE = ["--tmpfs=/var/lib/bottlerocket-updater:mode=0777"]
# As Kured's DaemonSet has the init container run.
INIT_CONTAINER = [
    "--user=0:0",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--network=none",
    "--memory=16m",
    "--cpus=0.1",
]
# As it has Kured itself run, but for the privileges.
KURED = ["--pid=host", "--read-only", "--network=none"]
PRIVILEGED = ["--privileged"]
# All that this means but one capability, which is not needed. An engine that does
# not have it itself, as in some virtual machines, can give nobody all of them.
NEARLY_PRIVILEGED = [
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
]
UPDATER = "/usr/local/bin/bottlerocket-updater"
INSTALL = "/usr/local/bin/bottlerocket-install"


def run(*command, check=True, **options):
    """Runs a command to its end, with what it said as text."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE * 5, **options
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Lines:
    """What a process says, line by line, as it comes."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said = []
        self.coming = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.coming.put(line.rstrip("\n"))
        self.coming.put(None)

    def wait_for(self, pattern):
        """The next line with the pattern in it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self.coming.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                pytest.fail(f"{pattern!r} has not come:\n" + "\n".join(self.said))
            self.said.append(line)
            if re.search(pattern, line):
                return line

    def stop(self):
        self.process.kill()
        self.process.wait()


class Simulator:
    """A node's API whose socket is root:274 0660, in a directory of its own."""

    def __init__(self, *options):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="node-"))
        self.socket = self.directory / "api.sock"
        # Sockets that are created in it belong to the group from the first.
        os.chown(self.directory, 0, API_GROUP)
        self.directory.chmod(0o2755)
        self.options = options
        self.start()

    def start(self):
        program = TARGET / "release" / "bottlerocket-simulator"
        quick = [f"--{command}-time=50ms" for command in ("refresh", "prepare", "activate")]
        self.events = Lines(
            program, f"--socket={self.socket}", *quick, "--reboot-time=50ms", *self.options
        )
        self.events.wait_for("listens on")
        self.events.wait_for("curl")
        status = self.socket.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 274, 0o660)

    def restart(self):
        """The API's server dies and comes back, with a new socket."""
        self.events.stop()
        self.start()

    def post(self, action):
        """Has the API do something that none of the programs was asked for."""
        connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.socket))
            connection.request("POST", f"/actions/{action}")
            assert connection.getresponse().status == 204

    def stop(self):
        self.events.stop()
        shutil.rmtree(self.directory)


class Docker:
    """The engine, and what one run of the tests has in it."""

    def __init__(self):
        self.run_id = str(os.getpid())
        self.images = []

    def __call__(self, *arguments, check=True):
        return run("docker", *arguments, check=check)

    def create(self, command, image, *arguments, options=()):
        fixed = [f"--label={LABEL}={self.run_id}", "--pull=never"]
        return self(command, *fixed, *options, image, *arguments, check=False)

    def run(self, image, *arguments, options=()):
        """Runs a container to its end: exit status and what it said."""
        return self.create("run", image, *arguments, options=["--rm", *options])

    def start(self, image, *arguments, options=()):
        """Starts a container that goes on running. Gives its id."""
        done = self.create("run", image, *arguments, options=["--detach", *options])
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def inspect(self, container, what):
        return self("inspect", "--format", f"{{{{{what}}}}}", container).stdout.strip()

    def logs(self, container):
        return Lines("docker", "logs", "--follow", container)

    def wait(self, container):
        """Waits until a container has ended. Gives its exit status."""
        return int(self("wait", container).stdout)

    def build(self, name, dockerfile, context=None):
        """Builds an image of a test's own."""
        tag = self.tag(name)
        with tempfile.TemporaryDirectory() as empty:
            path = pathlib.Path(empty) / "Dockerfile"
            path.write_text(dockerfile, encoding="utf-8")
            self("build", "--quiet", f"--tag={tag}", f"--file={path}", str(context or empty))
        return tag

    def load(self, name, archive, architecture):
        """Loads one architecture's image from an archive of several."""
        tag = self.tag(f"{name}-{architecture}")
        # Not the machine's own, which would not fit.
        override = f"--override-arch={architecture}"
        run("skopeo", override, "copy", f"oci-archive:{archive}", f"docker-daemon:{tag}")
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


def clear_leftovers(docker):
    """Removes what runs have left that are not there any more."""

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
        pytest.skip("there is no Docker engine")
    docker = Docker()
    clear_leftovers(docker)
    yield docker
    docker.clean()


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """Both images, as scripts/release/build-images writes them, and what stands for Kured's own."""
    directory = tmp_path_factory.mktemp("images")
    base = stand_in_for_kured(directory)
    run(ROOT / "scripts/release/build-images", "--kured", f"oci-archive:{base}")
    built = TARGET / "images"
    shutil.copy(built / "bottlerocket-updater.tar", directory)
    # It only looks like one that could be published.
    (built / "kured.digest").unlink()
    shutil.move(built / "kured.tar", directory)
    return {name: directory / f"{name}.tar" for name in ("bottlerocket-updater", "kured", "base")}


def stand_in_for_kured(directory):
    """A base image with what Kured's has and the tests use: BusyBox.

    The real one is in a registry that the tests do not need.
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
    """The image with the four programs, for this machine."""
    return docker.load("updater", archives["bottlerocket-updater"], "amd64")


@pytest.fixture(scope="session")
def kured(docker, archives):
    """The image with Kured and our programs, for this machine."""
    return docker.load("kured", archives["kured"], "amd64")


@pytest.fixture(scope="session")
def as_kured(docker, kured):
    """The options of a container that runs as Kured does."""
    entry = ["--entrypoint=/usr/bin/nsenter"]
    tried = docker.run(kured, "--help", options=[*KURED, *PRIVILEGED, *entry])
    if "unable to apply caps" in tried.stderr:
        return [*KURED, *NEARLY_PRIVILEGED]
    return [*KURED, *PRIVILEGED]


@pytest.fixture
def simulator():
    """Makes simulators."""
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
    """Containers end with their test."""
    yield docker
    remove_containers(docker, docker.run_id)


def mount(source, target, *options):
    return f"--mount={','.join(['type=bind', f'source={source}', f'target={target}', *options])}"


def socket_of(node):
    """The socket as the DaemonSet mounts it."""
    return mount(node.socket, "/run/api.sock", "readonly")
