"""Properties of Kured: its pod and its permissions."""

from properties import (
    DELETED,
    INSTALL_CONTAINER,
    KURED_CONTAINER,
    KURED_POD,
    flags_in,
    must_hold,
    path_on_host,
)
from rendering import PERSISTENT_VOLUME

# The flags of Kured 1.23 that are useful here.
KNOWN_FLAGS = {
    "alert-filter-regexp",
    "annotate-nodes",
    "blocking-pod-selector",
    "concurrency",
    "drain-delay",
    "drain-grace-period",
    "drain-pod-selector",
    "drain-timeout",
    "ds-name",
    "ds-namespace",
    "end-time",
    "lock-release-delay",
    "lock-ttl",
    "log-format",
    "metrics-host",
    "metrics-port",
    "notify-url",
    "period",
    "prefer-no-schedule-taint",
    "prometheus-url",
    "reboot-command",
    "reboot-days",
    "reboot-delay",
    "reboot-sentinel-command",
    "skip-wait-for-delete-timeout",
    "start-time",
    "time-zone",
}


def kured_pods(rendered):
    """Returns Kured's pod spec in a list, or an empty list if it is not here."""
    pod = rendered.pod_of("kured")
    return [pod] if pod else []


@must_hold(
    [
        ((*KURED_CONTAINER, "args", 2), "--reboot-sentinel-command=/a"),
        ((*KURED_CONTAINER, "args", 3), DELETED),
        ((*KURED_CONTAINER, "args", 4), "--concurrency=2"),
    ]
)
def kured_runs_the_checker_and_the_reboot_program(rendered):
    for pod in kured_pods(rendered):
        flags = flags_in(pod["containers"][0])
        for flag, value in (
            ("reboot-sentinel-command", "/opt/bottlerocket/bottlerocket-checker"),
            ("reboot-command", "/opt/bottlerocket/bottlerocket-reboot"),
            ("concurrency", "1"),
            ("metrics-port", "8080"),
        ):
            if [v for f, v in flags if f == flag] != [value]:
                yield f"--{flag} is not {value}"


@must_hold([((*KURED_CONTAINER, "args", 3), "--reboot-with=/a")])
def kured_arguments_are_known_flags(rendered):
    for pod in kured_pods(rendered):
        for flag, value in flags_in(pod["containers"][0]):
            if flag not in KNOWN_FLAGS:
                yield f"unknown flag: {flag or value}"


@must_hold(
    [
        ((*KURED_CONTAINER, "env"), []),
        ((*KURED_CONTAINER, "args", 0), "--ds-name=other"),
        ((*KURED_CONTAINER, "args", 1), "--ds-namespace=other"),
        (("DaemonSet kured", "spec", "selector", "matchLabels", "more"), "labels"),
    ]
)
def kured_knows_its_node_and_its_lock(rendered):
    item = rendered.get("DaemonSet kured")
    for pod in kured_pods(rendered):
        container = pod["containers"][0]
        node = {"fieldRef": {"fieldPath": "spec.nodeName"}}
        if {"name": "KURED_NODE_ID", "valueFrom": node} not in container.get("env", []):
            yield "KURED_NODE_ID"
        flags = dict(flags_in(container))
        if flags.get("ds-name") != item["metadata"]["name"]:
            yield "--ds-name is not its name"
        if flags.get("ds-namespace") != item["metadata"]["namespace"]:
            yield "--ds-namespace is not its namespace"
        if item["spec"]["selector"] != {"matchLabels": {"name": "kured"}}:
            yield "the selector differs from that of Kured's own manifests"


@must_hold(
    [
        ((*KURED_CONTAINER, "command", 0), "/bin/sh"),
        ((*KURED_CONTAINER, "ports", 0, "containerPort"), 9090),
        ((*KURED_CONTAINER, "volumeMounts"), [{"name": "host-programs"}]),
        ((*KURED_CONTAINER, "livenessProbe"), DELETED),
        ((*KURED_CONTAINER, "livenessProbe", "failureThreshold"), 1),
        ((*KURED_CONTAINER, "readinessProbe", "httpGet", "path"), "/healthz"),
    ]
)
def kured_container_runs_stock_kured(rendered):
    for pod in kured_pods(rendered):
        if [c["name"] for c in pod["containers"]] != ["kured"]:
            yield "not exactly one container"
        container = pod["containers"][0]
        if container["command"] != ["/usr/bin/kured"]:
            yield "runs another command"
        if container.get("volumeMounts"):
            yield "has a mount, but needs none"
        if container.get("ports") != [{"name": "metrics", "containerPort": 8080}]:
            yield "ports"
        # Those of Kured's chart.
        probe = {
            "httpGet": {"path": "/metrics", "port": "metrics"},
            "initialDelaySeconds": 10,
            "periodSeconds": 30,
            "timeoutSeconds": 5,
            "failureThreshold": 5,
        }
        for name in ("livenessProbe", "readinessProbe"):
            if container.get(name) != probe:
                yield name


@must_hold(
    [
        ((*INSTALL_CONTAINER, "args", 0), "/host/opt"),
        ((*INSTALL_CONTAINER, "volumeMounts", 0, "mountPath"), "/host/opt"),
        ((*INSTALL_CONTAINER, "volumeMounts", 0, "mountPath"), "/host", PERSISTENT_VOLUME),
        ((*INSTALL_CONTAINER, "command", 0), "/bin/sh"),
        (INSTALL_CONTAINER, DELETED),
    ]
)
def init_container_installs_the_programs_where_kured_runs_them(rendered):
    for pod in kured_pods(rendered):
        if [c["name"] for c in pod.get("initContainers", [])] != ["install"]:
            yield "not exactly one init container"
            continue
        (install,) = pod["initContainers"]
        if install["command"] != ["/usr/local/bin/bottlerocket-install"]:
            yield "runs another command"
        flags = dict(flags_in(pod["containers"][0]))
        for flag in ("reboot-sentinel-command", "reboot-command"):
            directory = flags[flag].rpartition("/")[0]
            if path_on_host(pod, install, install["args"][-1]) != directory:
                yield f"the program of --{flag} is not installed"


@must_hold(
    [
        ((*KURED_POD, "volumes", 0, "hostPath", "path"), "/"),
        (
            (*KURED_POD, "volumes", 0),
            {"name": "host-programs", "hostPath": {"path": "/opt"}},
            PERSISTENT_VOLUME,
        ),
    ]
)
def init_container_mounts_the_program_directory_only(rendered):
    expected = {"hostPath": {"path": "/opt/bottlerocket", "type": "DirectoryOrCreate"}}
    if "PersistentVolume bottlerocket-bin" in rendered.objects:
        expected = {"persistentVolumeClaim": {"claimName": "bottlerocket-bin"}}
    for pod in kured_pods(rendered):
        if pod.get("volumes") != [{"name": "host-programs", **expected}]:
            yield "volumes"


@must_hold(
    [
        (("ClusterRole kured", "rules", 0, "verbs"), ["*"]),
        (("ClusterRole kured", "rules", 3), DELETED),
        (("Role kured", "rules", 0, "resourceNames"), DELETED),
        (("ClusterRoleBinding kured", "roleRef", "name"), "cluster-admin"),
        (("ClusterRoleBinding kured", "subjects", 0, "namespace"), "default"),
    ]
)
def kured_has_exactly_the_permissions_it_needs(rendered):
    rules = {
        "ClusterRole kured": [
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "delete"]},
            {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
            {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["get"]},
        ],
        "Role kured": [
            {
                "apiGroups": ["apps"],
                "resources": ["daemonsets"],
                "resourceNames": ["kured"],
                "verbs": ["update"],
            },
        ],
    }
    for name, item in rendered.objects.items():
        if "rules" in item and item["rules"] != rules.get(name):
            yield f"{name}: rules"
        if "roleRef" in item:
            kind = item["kind"].removesuffix("Binding")
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "kured"}
            if item["roleRef"] != role:
                yield f"{name}: roleRef"
            account = {"kind": "ServiceAccount", "name": "kured", "namespace": "kube-system"}
            if item["subjects"] != [account]:
                yield f"{name}: subjects"
