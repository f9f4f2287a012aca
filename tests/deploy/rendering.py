"""What kubectl makes of a directory below deploy/, and the parts that it has."""

import copy
import functools
import os
import re
import subprocess
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]

OLDEST_KUBECTL = "kubectl-1.21"
NEWEST_KUBECTL = "kubectl-1.37"

UPDATER = {
    "Namespace bottlerocket-updater",
    "ServiceAccount bottlerocket-updater",
    "NetworkPolicy bottlerocket-updater",
    "DaemonSet bottlerocket-updater",
}
KURED = {
    "ServiceAccount kured",
    "ClusterRole kured",
    "ClusterRoleBinding kured",
    "Role kured",
    "RoleBinding kured",
    "DaemonSet kured",
}
VOLUME = {
    "StorageClass manual",
    "PersistentVolume bottlerocket-bin",
    "PersistentVolumeClaim bottlerocket-bin",
}

# Every directory that can be applied, and everything that this applies.
DIRECTORIES = {
    "deploy": UPDATER | KURED,
    "deploy/updater": UPDATER,
    "deploy/kured": KURED,
    "deploy/overlays/bottlerocket-nodes": UPDATER | KURED,
    "deploy/overlays/persistent-volume": UPDATER | KURED | VOLUME,
    "deploy/overlays/custom": UPDATER | KURED,
    "deploy/overlays/state-on-host": UPDATER | KURED,
    "deploy/overlays/windows": UPDATER | KURED | {"ConfigMap bottlerocket-updater"},
    "deploy/monitoring": {"PodMonitor bottlerocket-updater", "PrometheusRule bottlerocket-updater"},
    "deploy/uninstall": {"DaemonSet bottlerocket-uninstall"},
}


class Rendered:
    """The objects of one directory, by kind and name."""

    def __init__(self, directory, objects):
        self.directory = directory
        self.objects = objects

    def get(self, name):
        return self.objects.get(name)

    def pods(self):
        """The name of each object that makes pods, and its pod's spec."""
        for name, item in self.objects.items():
            if "template" in item.get("spec", {}):
                yield name, item["spec"]["template"]["spec"]

    def containers(self):
        """The same, with each of its containers, of whatever sort."""
        for name, pod in self.pods():
            for sort in ("initContainers", "containers", "ephemeralContainers"):
                for container in pod.get(sort, []):
                    yield f"{name}: {container['name']}", pod, container


@functools.cache
def text_of(directory, kubectl=NEWEST_KUBECTL):
    """The text that a version of kubectl renders, without a cluster."""
    programs = os.environ.get("KUBECTL_DIRECTORY")
    assert programs, "KUBECTL_DIRECTORY is not set: run scripts/check/check-manifests"
    run = subprocess.run(
        [f"{programs}/{kubectl}", "kustomize", str(ROOT / directory)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    # A warning about something deprecated is not to be missed either.
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout


@functools.cache
def objects_of(directory):
    objects = {}
    for item in yaml.safe_load_all(text_of(directory)):
        name = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] == "ConfigMap":
            # It ends in a hash of what is in it.
            name = re.sub("-[a-z0-9]{10}$", "", name)
        assert name not in objects, f"twice in {directory}: {name}"
        objects[name] = item
    return objects


def render(directory):
    """What is rendered, in a copy that can be changed."""
    return Rendered(directory, copy.deepcopy(objects_of(directory)))


def helm_values():
    return yaml.safe_load((ROOT / "deploy/helm/kured-values.yaml").read_text())


def flags_of(program):
    """The flags that a program's help names."""
    source = (ROOT / f"bins/{program}.rs").read_text()
    text = re.search(r'const HELP: &str = "(.*?)";', source, re.DOTALL)[1]
    flags = set()
    for line in text.splitlines():
        if line.startswith("  -"):
            flags |= set(re.findall(r"(?:^  |, )-([a-z-]+)", line))
    return flags
