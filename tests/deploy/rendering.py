"""Renders the directories below deploy/ with kubectl, without a cluster."""

import functools
import os
import re
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]

OLDEST_KUBECTL = "kubectl-1.21"
NEWEST_KUBECTL = "kubectl-1.37"

ACTIVATE_AT_REBOOT = "deploy/overlays/activate-at-reboot"
AUTOSCALED = "deploy/overlays/autoscaled"
CUSTOM = "deploy/overlays/custom"
BOTTLEROCKET_NODES = "deploy/overlays/bottlerocket-nodes"
PERSISTENT_VOLUME = "deploy/overlays/persistent-volume"
STATE_IN_POD = "deploy/overlays/state-in-pod"
WINDOWS = "deploy/overlays/windows"
SHARED_KURED = "deploy/overlays/shared-kured"
SIMULATED = "deploy/overlays/simulated"
SIMULATED_UNINSTALL = "deploy/overlays/simulated/uninstall"
MONITORING = "deploy/monitoring"
UNINSTALL = "deploy/uninstall"

UPDATER_OBJECTS = {
    "Namespace bottlerocket-updater",
    "ServiceAccount bottlerocket-updater",
    "NetworkPolicy bottlerocket-updater",
    "DaemonSet bottlerocket-updater",
}
KURED_OBJECTS = {
    "ServiceAccount kured",
    "ClusterRole kured",
    "ClusterRoleBinding kured",
    "Role kured",
    "RoleBinding kured",
    "DaemonSet kured",
}
VOLUME_OBJECTS = {
    "StorageClass manual",
    "PersistentVolume bottlerocket-bin",
    "PersistentVolumeClaim bottlerocket-bin",
}

# Every directory that `kubectl apply -k` accepts, with the objects that it applies.
DIRECTORIES = {
    "deploy": UPDATER_OBJECTS | KURED_OBJECTS,
    "deploy/updater": UPDATER_OBJECTS,
    "deploy/kured": KURED_OBJECTS,
    BOTTLEROCKET_NODES: UPDATER_OBJECTS | KURED_OBJECTS,
    PERSISTENT_VOLUME: UPDATER_OBJECTS | KURED_OBJECTS | VOLUME_OBJECTS,
    ACTIVATE_AT_REBOOT: UPDATER_OBJECTS | KURED_OBJECTS,
    AUTOSCALED: UPDATER_OBJECTS | KURED_OBJECTS,
    CUSTOM: UPDATER_OBJECTS | KURED_OBJECTS,
    STATE_IN_POD: UPDATER_OBJECTS | KURED_OBJECTS,
    WINDOWS: UPDATER_OBJECTS | KURED_OBJECTS,
    SHARED_KURED: UPDATER_OBJECTS | KURED_OBJECTS,
    f"{SHARED_KURED}/kured": KURED_OBJECTS,
    SIMULATED: UPDATER_OBJECTS
    | KURED_OBJECTS
    | {"DaemonSet bottlerocket-simulator", "ConfigMap bottlerocket-simulator"},
    MONITORING: {
        "PodMonitor bottlerocket-updater",
        "PodMonitor kured",
        "PrometheusRule bottlerocket-updater",
        "ConfigMap bottlerocket-updater-dashboard",
    },
    UNINSTALL: {"DaemonSet bottlerocket-uninstall"},
    SIMULATED_UNINSTALL: {"DaemonSet bottlerocket-uninstall"},
}


class Rendered:
    """The objects of one directory, by kind and name."""

    def __init__(self, directory):
        self.directory = directory
        text = kustomize(directory)
        if directory.startswith(SHARED_KURED):
            # There, our Kured has a name of its own. In all else it is the same.
            text = text.replace("kured-bottlerocket", "kured")
        self.objects = objects_in(text)

    def get(self, name):
        return self.objects.get(name)

    def pods(self):
        """Yields the name and the pod spec of each object with a pod template."""
        for name, item in self.objects.items():
            if "template" in item.get("spec", {}):
                yield name, item["spec"]["template"]["spec"]

    def pod_of(self, name):
        """Returns the pod spec of one DaemonSet, or None if it is not here."""
        return dict(self.pods()).get(f"DaemonSet {name}")

    def containers(self):
        """Yields the name, the pod spec and the container spec of each container."""
        for name, pod in self.pods():
            for kind in ("initContainers", "containers", "ephemeralContainers"):
                for container in pod.get(kind, []):
                    yield f"{name}: {container['name']}", pod, container


def run_kubectl(directory, kubectl):
    programs = os.environ.get("KUBECTL_DIRECTORY")
    assert programs, "KUBECTL_DIRECTORY is not set: run scripts/check/check-manifests"
    run = subprocess.run(
        [f"{programs}/{kubectl}", "kustomize", str(ROOT / directory)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    # A warning, for example about a deprecated field, also fails the test.
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout


@functools.cache
def rendering_jobs():
    """Starts to render every directory with both versions of kubectl.

    The oldest kubectl needs about one second of CPU time for each directory, so it
    runs while other tests run.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    return {
        (directory, kubectl): pool.submit(run_kubectl, directory, kubectl)
        for kubectl in (NEWEST_KUBECTL, OLDEST_KUBECTL)
        for directory in DIRECTORIES
    }


def kustomize(directory, kubectl=NEWEST_KUBECTL):
    """Returns the text that a version of kubectl renders for one of DIRECTORIES."""
    return rendering_jobs()[directory, kubectl].result()


def objects_in(text):
    """Parses a rendered text. Returns its objects, by kind and name."""
    objects = {}
    for item in yaml.load_all(text, Loader=yaml.CSafeLoader):
        name = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] == "ConfigMap":
            # The name ends with a hash of the content.
            name = re.sub("-[a-z0-9]{10}$", "", name)
        assert name not in objects, f"duplicate object: {name}"
        objects[name] = item
    return objects


@functools.cache
def render(directory):
    """Returns the objects of a directory, shared between all tests: do not change them."""
    return Rendered(directory)


def helm_values():
    return yaml.safe_load((ROOT / "deploy/helm/kured-values.yaml").read_text())


def flags_of(program):
    """Returns the flags of a program: its own table, and those of every program."""
    files = [
        "checker.rs",
        "reboot/options.rs",
        "install.rs",
        "gate/options.rs",
        "updater/config.rs",
    ]
    sources = [(ROOT / "src" / file).read_text() for file in files]
    (source,) = (text for text in sources if f'usage: "bottlerocket-{program} [' in text)
    table = re.search(r"flags! \{(.*?)\n\}", source, re.DOTALL)[1]
    return {"h", "help", "version", *re.findall(r'"-([a-z-]+)[ "]', table)}
