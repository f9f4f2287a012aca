"""The registry of the properties that all rendered manifests must have, and helpers
for the modules that define them.

A property is a function. It takes the rendered objects of one directory and yields
one message for each violation. If the object that it checks is not in that
directory, it yields nothing: test_kustomizations.py checks which objects exist.
"""

import re
from typing import NamedTuple

# The value of a mutation that deletes the key.
DELETED = object()

UPDATER_POD = ("DaemonSet bottlerocket-updater", "spec", "template", "spec")
UPDATER_CONTAINER = (*UPDATER_POD, "containers", 0)
UPDATER_SECURITY = (*UPDATER_CONTAINER, "securityContext")
KURED_POD = ("DaemonSet kured", "spec", "template", "spec")
KURED_CONTAINER = (*KURED_POD, "containers", 0)
INSTALL_CONTAINER = (*KURED_POD, "initContainers", 0)
INSTALL_SECURITY = (*INSTALL_CONTAINER, "securityContext")
SIMULATOR_POD = ("DaemonSet bottlerocket-simulator", "spec", "template", "spec")
SIMULATOR_CONTAINER = (*SIMULATOR_POD, "containers", 0)
GATE_CONTAINER = (*KURED_POD, "initContainers", 1)
GATE_SECURITY = (*GATE_CONTAINER, "securityContext")
UNINSTALL_POD = ("DaemonSet bottlerocket-uninstall", "spec", "template", "spec")

# The names of the containers, as Rendered.containers() yields them.
UPDATER_NAME = "DaemonSet bottlerocket-updater: bottlerocket-updater"
KURED_NAME = "DaemonSet kured: kured"
REMOVE_SIMULATOR_NAME = "DaemonSet bottlerocket-uninstall: remove-simulator"
GATE_NAME = "DaemonSet kured: gate"
SIMULATOR_NAME = "DaemonSet bottlerocket-simulator: simulator"

STATE_DIRECTORY = "/var/lib/bottlerocket-updater"


class Mutation(NamedTuple):
    """A change to the rendered objects that violates a property."""

    # The name of the object, then keys and indices.
    path: tuple
    value: object
    directory: str = "deploy"


class Property(NamedTuple):
    check: object
    mutations: list


PROPERTIES = {}


def must_hold(mutations):
    """Registers a property, with mutations that it must detect.

    Each mutation is a path, the value to put there, and the directory if it is not
    "deploy".
    """

    def register(check):
        assert check.__name__ not in PROPERTIES, f"duplicate property: {check.__name__}"
        PROPERTIES[check.__name__] = Property(check, [Mutation(*each) for each in mutations])
        return check

    return register


def security_of(container):
    return container.get("securityContext") or {}


def flags_in(container):
    """Returns the arguments of a container as pairs of name and value."""
    pairs = []
    for argument in container.get("args", []):
        match = re.fullmatch(r"--?([a-z-]+)(?:=(.*))?", argument)
        pairs.append((match[1], match[2]) if match else (None, argument))
    return pairs


def node_terms(pod):
    affinity = pod.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    return required.get("nodeSelectorTerms", [])


def path_on_host(pod, container, path):
    """Translates a path in a container to the path on the host.

    Returns None if the path is not in a mount of the host.
    """
    mounts = [
        mount
        for mount in container.get("volumeMounts", [])
        if f"{path}/".startswith(f"{mount['mountPath'].rstrip('/')}/")
    ]
    if not mounts:
        return None
    # The innermost mount wins.
    mount = max(mounts, key=lambda mount: len(mount["mountPath"].rstrip("/")))
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    if "hostPath" in volume:
        source = volume["hostPath"]["path"]
    elif volume.get("persistentVolumeClaim") == {"claimName": "bottlerocket-bin"}:
        source = "/opt"
    else:
        return None
    return source.rstrip("/") + path[len(mount["mountPath"].rstrip("/")) :]
