"""Properties of the objects that manage files on the host: the volume with the
programs, and the DaemonSet that removes them."""

from properties import (
    DELETED,
    REMOVE_SIMULATOR_NAME,
    STATE_DIRECTORY,
    UNINSTALL_POD,
    flags_in,
    must_hold,
    path_on_host,
)
from rendering import PERSISTENT_VOLUME, UNINSTALL

VOLUME = ("PersistentVolume bottlerocket-bin", "spec")
CLAIM = ("PersistentVolumeClaim bottlerocket-bin", "spec")
REMOVE_CONTAINER = (*UNINSTALL_POD, "initContainers", 0)


@must_hold(
    [
        ((*VOLUME, "hostPath", "path"), "/", PERSISTENT_VOLUME),
        ((*VOLUME, "claimRef"), DELETED, PERSISTENT_VOLUME),
        ((*VOLUME, "persistentVolumeReclaimPolicy"), "Delete", PERSISTENT_VOLUME),
        ((*CLAIM, "volumeName"), DELETED, PERSISTENT_VOLUME),
        ((*CLAIM, "storageClassName"), "gp3", PERSISTENT_VOLUME),
        ((*CLAIM, "accessModes"), ["ReadWriteOncePod"], PERSISTENT_VOLUME),
        (("StorageClass manual", "provisioner"), "kubernetes.io/aws-ebs", PERSISTENT_VOLUME),
        (("StorageClass manual", "volumeBindingMode"), "Immediate", PERSISTENT_VOLUME),
    ]
)
def volume_and_claim_are_bound_to_each_other(rendered):
    volume = rendered.get("PersistentVolume bottlerocket-bin")
    claim = rendered.get("PersistentVolumeClaim bottlerocket-bin")
    storage = rendered.get("StorageClass manual")
    if not volume:
        return
    if volume["spec"]["hostPath"] != {"path": "/opt/", "type": "Directory"}:
        yield "hostPath"
    if volume["spec"]["persistentVolumeReclaimPolicy"] != "Retain":
        yield "persistentVolumeReclaimPolicy"
    expected = (claim["metadata"]["namespace"], claim["metadata"]["name"])
    reference = volume["spec"].get("claimRef", {})
    if (reference.get("namespace"), reference.get("name")) != expected:
        yield "another claim could take the volume"
    if claim["spec"].get("volumeName") != volume["metadata"]["name"]:
        yield "the claim could take another volume"
    for item in (volume, claim):
        if item["spec"]["storageClassName"] != "manual":
            yield "storageClassName"
        if item["spec"]["accessModes"] != ["ReadWriteOnce"]:
            yield "accessModes"
    if storage["provisioner"] != "kubernetes.io/no-provisioner":
        yield "provisioner"
    if storage["volumeBindingMode"] != "WaitForFirstConsumer":
        yield "volumeBindingMode"


@must_hold(
    [
        ((*REMOVE_CONTAINER, "args", 0), "-wait", UNINSTALL),
        ((*REMOVE_CONTAINER, "args", 1), "-state-dir=/host/var/lib", UNINSTALL),
        ((*REMOVE_CONTAINER, "args", 2), "/host/opt", UNINSTALL),
        ((*REMOVE_CONTAINER, "command", 0), "/bin/sh", UNINSTALL),
        ((*UNINSTALL_POD, "containers", 0, "args"), [], UNINSTALL),
        ((*UNINSTALL_POD, "volumes", 0, "hostPath", "path"), "/", UNINSTALL),
    ]
)
def uninstall_removes_the_installed_files_only(rendered):
    for name, pod, container in rendered.containers():
        if not name.startswith("DaemonSet bottlerocket-uninstall"):
            continue
        if name == REMOVE_SIMULATOR_NAME:
            # simulator_pod.py checks this one.
            continue
        if container["command"] != ["/usr/local/bin/bottlerocket-install"]:
            yield "runs another command"
        if name.endswith(": done"):
            if container["args"] != ["-wait"]:
                yield "does not only wait"
            continue
        (remove, _), (flag, state), (_, programs) = flags_in(container)
        if (remove, flag) != ("remove", "state-dir"):
            yield "does something else"
        removed = [path_on_host(pod, container, path) for path in (programs, state)]
        if removed != ["/opt/bottlerocket", STATE_DIRECTORY]:
            yield f"removes {removed}"
