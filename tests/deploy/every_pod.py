"""Properties of every pod, container and object, whichever program it is for."""

import re

from properties import (
    DELETED,
    GATE_NAME,
    GATE_SECURITY,
    INSTALL_CONTAINER,
    INSTALL_SECURITY,
    KURED_CONTAINER,
    KURED_NAME,
    KURED_POD,
    REMOVE_SIMULATOR_NAME,
    SIMULATOR_CONTAINER,
    SIMULATOR_NAME,
    SIMULATOR_POD,
    UPDATER_CONTAINER,
    UPDATER_NAME,
    UPDATER_POD,
    UPDATER_SECURITY,
    must_hold,
    node_terms,
    security_of,
)
from rendering import (
    BOTTLEROCKET_NODES,
    CUSTOM,
    SHARED_KURED,
    SIMULATED,
    SIMULATED_UNINSTALL,
    VERSION,
)

IMAGE = "ghcr.io/bottlerocket-updater/bottlerocket-updater"
SIMULATOR_IMAGE = "ghcr.io/bottlerocket-updater/bottlerocket-simulator"
KURED_IMAGE = "ghcr.io/kubereboot/kured"
KURED_VERSION = "1.23.0"
# The images of overlays/custom.
MIRROR = "registry.example.com/bottlerocket-updater"
KURED_MIRROR = "registry.example.com/kured"

NODE_TERMS = (
    "affinity",
    "nodeAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms",
)
# The conditions of the simulated fleet.
NO_REAL_NODES = [
    {"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"},
    {
        "key": "feature.node.kubernetes.io/system-os_release.ID",
        "operator": "NotIn",
        "values": ["bottlerocket"],
    },
]
UPDATER_LABEL = {"key": "bottlerocket-updater", "operator": "In", "values": ["enabled"]}


@must_hold(
    [
        ((*UPDATER_SECURITY, "privileged"), True),
        ((*UPDATER_SECURITY, "privileged"), DELETED),
        ((*INSTALL_SECURITY, "privileged"), True),
        ((*KURED_CONTAINER, "securityContext", "privileged"), False),
        ((*SIMULATOR_CONTAINER, "securityContext", "privileged"), True, SIMULATED),
    ]
)
def only_kured_is_privileged(rendered):
    for name, _, container in rendered.containers():
        expected = name == KURED_NAME
        if security_of(container).get("privileged") is not expected:
            yield f"{name}: privileged is not {expected}"


@must_hold(
    [
        ((*UPDATER_SECURITY, "allowPrivilegeEscalation"), True),
        ((*UPDATER_SECURITY, "capabilities"), DELETED),
        ((*UPDATER_SECURITY, "capabilities", "add"), ["SYS_ADMIN"]),
        ((*UPDATER_SECURITY, "seccompProfile", "type"), "Unconfined"),
        ((*UPDATER_SECURITY, "procMount"), "Unmasked"),
        ((*UPDATER_POD, "securityContext"), {"fsGroup": 0}),
        ((*INSTALL_SECURITY, "capabilities"), DELETED),
        (INSTALL_SECURITY, DELETED),
        (
            (*SIMULATOR_CONTAINER, "securityContext", "capabilities", "add"),
            ["KILL", "SYS_PTRACE"],
            SIMULATED,
        ),
    ]
)
def other_containers_cannot_gain_privileges(rendered):
    for name, pod, container in rendered.containers():
        if name == KURED_NAME:
            continue
        security = security_of(container)
        if pod.get("securityContext"):
            yield f"{name}: the pod has a securityContext, instead of each container"
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation is not false"
        # The simulator ends the processes of the node's other pods.
        added = {"add": ["KILL"]} if name == SIMULATOR_NAME else {}
        if security.get("capabilities") != {"drop": ["ALL"], **added}:
            yield f"{name}: capabilities are not exactly drop: [ALL]"
        if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name}: seccompProfile is not RuntimeDefault"
        if security.get("procMount", "Default") != "Default":
            yield f"{name}: procMount is not Default"


@must_hold(
    [
        ((*UPDATER_SECURITY, "readOnlyRootFilesystem"), False),
        ((*KURED_CONTAINER, "securityContext", "readOnlyRootFilesystem"), DELETED),
    ]
)
def root_filesystems_are_read_only(rendered):
    for name, _, container in rendered.containers():
        if security_of(container).get("readOnlyRootFilesystem") is not True:
            yield f"{name}: readOnlyRootFilesystem is not true"


@must_hold(
    [
        ((*UPDATER_POD, "hostPID"), True),
        ((*UPDATER_POD, "hostNetwork"), True),
        ((*UPDATER_POD, "hostIPC"), True),
        ((*KURED_POD, "hostPID"), False),
        ((*KURED_POD, "hostNetwork"), True),
        ((*KURED_CONTAINER, "ports", 0, "hostPort"), 8080),
        ((*SIMULATOR_POD, "hostNetwork"), True, SIMULATED),
    ]
)
def only_kured_and_the_simulator_share_the_processes_of_the_host(rendered):
    with_processes = {"DaemonSet kured", "DaemonSet bottlerocket-simulator"}
    for name, pod in rendered.pods():
        if pod.get("hostPID", False) is not (name in with_processes):
            yield f"{name}: hostPID"
        for key in ("hostNetwork", "hostIPC", "shareProcessNamespace"):
            if pod.get(key, False):
                yield f"{name}: {key}"
    for name, _, container in rendered.containers():
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{name}: hostPort"


@must_hold(
    [
        ((*UPDATER_SECURITY, "runAsUser"), 0),
        ((*UPDATER_SECURITY, "runAsNonRoot"), DELETED),
        ((*UPDATER_SECURITY, "runAsGroup"), 0),
    ]
)
def only_containers_that_change_the_host_run_as_root(rendered):
    root = {
        KURED_NAME,
        "DaemonSet kured: install",
        GATE_NAME,
        "DaemonSet bottlerocket-uninstall: remove",
        "DaemonSet bottlerocket-updater: state",
        SIMULATOR_NAME,
        REMOVE_SIMULATOR_NAME,
    }
    for name, _, container in rendered.containers():
        if name in root:
            continue
        security = security_of(container)
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            yield f"{name}: may run as root"
        if not security.get("runAsGroup"):
            yield f"{name}: may run with the group of root"


@must_hold(
    [
        ((*UPDATER_CONTAINER, "image"), f"{IMAGE}:latest"),
        ((*INSTALL_CONTAINER, "image"), "bottlerocket-updater"),
        ((*KURED_CONTAINER, "image"), f"{KURED_IMAGE}:1.22.0"),
        ((*INSTALL_CONTAINER, "imagePullPolicy"), "Always"),
    ]
)
def images_have_the_expected_name_and_version(rendered):
    ours, kured = IMAGE, KURED_IMAGE
    if rendered.directory == CUSTOM:
        ours, kured = MIRROR, KURED_MIRROR
    for name, _, container in rendered.containers():
        if name in (SIMULATOR_NAME, REMOVE_SIMULATOR_NAME):
            expected = f"{SIMULATOR_IMAGE}:v{VERSION}"
        elif container["command"][0].startswith("/usr/local/bin/bottlerocket-"):
            expected = f"{ours}:v{VERSION}"
        else:
            expected = f"{kured}:{KURED_VERSION}"
        if container["image"] != expected:
            yield f"{name}: {container['image']} is not {expected}"
        # Any other policy needs the registry at each start.
        if container.get("imagePullPolicy") != "IfNotPresent":
            yield f"{name}: imagePullPolicy is not IfNotPresent"


def mebibytes(text):
    return int(re.fullmatch(r"(\d+)Mi", text)[1])


@must_hold(
    [
        ((*UPDATER_CONTAINER, "resources"), DELETED),
        ((*UPDATER_CONTAINER, "resources", "limits", "memory"), "512Mi"),
        ((*UPDATER_CONTAINER, "resources", "limits", "memory"), "16Mi"),
        ((*UPDATER_CONTAINER, "resources", "requests", "memory"), "64Mi"),
        ((*INSTALL_CONTAINER, "resources", "limits", "cpu"), DELETED),
    ]
)
def containers_have_small_requests_and_limits(rendered):
    for name, _, container in rendered.containers():
        resources = container.get("resources", {})
        requests, limits = resources.get("requests", {}), resources.get("limits", {})
        if set(requests) != {"cpu", "memory"}:
            yield f"{name}: requests are not exactly cpu and memory"
        if name == KURED_NAME:
            continue
        if set(limits) != {"cpu", "memory"}:
            yield f"{name}: limits are not exactly cpu and memory"
            continue
        # runc before 1.2 can be killed at the start below about 20 MiB.
        if mebibytes(limits["memory"]) != 32:
            yield f"{name}: the memory limit is not 32 MiB"
        if mebibytes(requests["memory"]) > 8:
            yield f"{name}: the memory request is more than 8 MiB"


@must_hold(
    [
        ((*UPDATER_POD, "tolerations"), DELETED),
        ((*KURED_POD, "tolerations", 0, "effect"), "NoSchedule"),
        ((*KURED_POD, "nodeSelector"), {"a": "b"}),
    ]
)
def pods_tolerate_all_taints(rendered):
    for name, pod in rendered.pods():
        if pod.get("tolerations") != [{"operator": "Exists"}]:
            yield f"{name}: does not tolerate all taints"
        if "nodeSelector" in pod:
            yield f"{name}: has a nodeSelector"


@must_hold(
    [
        ((*UPDATER_POD, "affinity"), DELETED),
        ((*KURED_POD, *NODE_TERMS, 0, "matchExpressions", 1, "values"), ["amd64"]),
        ((*KURED_POD, *NODE_TERMS, 0, "matchExpressions", 2), DELETED),
    ]
)
def pods_run_on_supported_platforms_only(rendered):
    supported = [
        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]},
        {
            "key": "eks.amazonaws.com/compute-type",
            "operator": "NotIn",
            "values": ["fargate", "auto"],
        },
    ]
    for name, pod in rendered.pods():
        terms = node_terms(pod)
        if not terms:
            yield f"{name}: has no node affinity"
        for term in terms:
            for expression in supported:
                if expression not in term["matchExpressions"]:
                    yield f"{name}: a term has no condition on {expression['key']}"


@must_hold(
    [
        ((*UPDATER_POD, *NODE_TERMS, 1), DELETED, BOTTLEROCKET_NODES),
        ((*KURED_POD, *NODE_TERMS, 0, "matchExpressions", 3), DELETED, BOTTLEROCKET_NODES),
        ((*KURED_POD, *NODE_TERMS, 0, "matchExpressions", 3), DELETED, SHARED_KURED),
        ((*KURED_POD, *NODE_TERMS, 0, "matchExpressions", 3), UPDATER_LABEL),
        ((*KURED_POD, *NODE_TERMS, 0, "matchExpressions", 3), DELETED, SIMULATED),
        ((*SIMULATOR_POD, *NODE_TERMS, 0, "matchExpressions", 4), DELETED, SIMULATED),
    ]
)
def two_overlays_select_bottlerocket_nodes(rendered):
    expected = set()
    if rendered.directory in (BOTTLEROCKET_NODES, SHARED_KURED):
        expected = {
            ("bottlerocket-updater", "enabled"),
            ("feature.node.kubernetes.io/system-os_release.ID", "bottlerocket"),
        }
    for name, pod in rendered.pods():
        labels = set()
        for term in node_terms(pod):
            # The first three conditions are those of the supported platforms.
            additional = term["matchExpressions"][3:]
            if rendered.directory in (SIMULATED, SIMULATED_UNINSTALL):
                if additional != NO_REAL_NODES:
                    yield f"{name}: may run on control-plane nodes or real nodes"
                continue
            labels |= {(e["key"], *e["values"]) for e in additional if e["operator"] == "In"}
            if len(additional) != bool(expected):
                yield f"{name}: a term has {len(additional)} additional conditions"
        if labels != expected:
            yield f"{name}: selects {labels}"


@must_hold(
    [
        (("DaemonSet bottlerocket-updater", "spec", "updateStrategy"), {"type": "OnDelete"}),
        (
            ("DaemonSet kured", "spec", "updateStrategy", "rollingUpdate", "maxUnavailable"),
            "100%",
        ),
        (("DaemonSet kured", "spec", "minReadySeconds"), DELETED),
        (("DaemonSet bottlerocket-updater", "spec", "minReadySeconds"), 600),
    ]
)
def rollouts_replace_a_tenth_of_the_pods_at_once(rendered):
    expected = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}
    for name, item in rendered.objects.items():
        if item["kind"] != "DaemonSet" or name == "DaemonSet bottlerocket-uninstall":
            continue
        if item["spec"].get("updateStrategy") != expected:
            yield f"{name}: updateStrategy"
        # Long enough to see a crash. A pod is replaced at once until it is available.
        if not 10 <= item["spec"].get("minReadySeconds", 0) <= 30:
            yield f"{name}: minReadySeconds"


@must_hold([((*UPDATER_POD, "priorityClassName"), DELETED)])
def pods_are_node_critical(rendered):
    for name, pod in rendered.pods():
        if name == "DaemonSet bottlerocket-uninstall":
            continue
        if pod.get("priorityClassName") != "system-node-critical":
            yield f"{name}: priorityClassName"


@must_hold(
    [
        ((*UPDATER_POD, "automountServiceAccountToken"), DELETED),
        ((*KURED_POD, "serviceAccountName"), DELETED),
    ]
)
def only_kured_has_a_service_account_token(rendered):
    for name, pod in rendered.pods():
        if name == "DaemonSet kured":
            if pod.get("serviceAccountName") != "kured":
                yield f"{name}: serviceAccountName"
        elif pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: has a token"


@must_hold(
    [
        (
            (*INSTALL_SECURITY, "seLinuxOptions"),
            {"type": "control_t"},
        ),
        ((*GATE_SECURITY, "seLinuxOptions"), DELETED),
        ((*GATE_SECURITY, "seLinuxOptions", "type"), "super_t"),
        ((*UPDATER_SECURITY, "seLinuxOptions"), DELETED),
        ((*UPDATER_SECURITY, "seLinuxOptions", "type"), "super_t"),
    ]
)
def only_containers_that_use_the_socket_set_an_selinux_type(rendered):
    control = {"user": "system_u", "role": "system_r", "type": "control_t", "level": "s0"}
    for name, _, container in rendered.containers():
        expected = control if name in (UPDATER_NAME, GATE_NAME) else None
        if security_of(container).get("seLinuxOptions") != expected:
            yield f"{name}: seLinuxOptions"


@must_hold(
    [
        (("Role kured", "metadata", "namespace"), DELETED),
        (("ClusterRole kured", "metadata", "namespace"), "kube-system"),
        (("ClusterRole kured", "metadata", "labels"), DELETED),
    ]
)
def objects_have_the_expected_namespace_and_label(rendered):
    cluster_wide = {
        "Namespace",
        "ClusterRole",
        "ClusterRoleBinding",
        "StorageClass",
        "PersistentVolume",
    }
    ours = (" bottlerocket-updater", " bottlerocket-simulator", " bottlerocket-updater-dashboard")
    for name, item in rendered.objects.items():
        metadata = item["metadata"]
        if item["kind"] in cluster_wide:
            expected = None
        elif name.endswith(ours):
            expected = "bottlerocket-updater"
        else:
            expected = "kube-system"
        if metadata.get("namespace") != expected:
            yield f"{name}: the namespace is {metadata.get('namespace')}"
        label = metadata.get("labels", {}).get("app.kubernetes.io/part-of")
        if label != "bottlerocket-updater":
            yield f"{name}: the label part-of is {label}"
