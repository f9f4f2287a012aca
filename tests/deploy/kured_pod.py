"""Properties of Kured: its pod and its permissions."""

from properties import (
    DELETED,
    GATE_CONTAINER,
    GATE_SECURITY,
    INSTALL_CONTAINER,
    KURED_CONTAINER,
    KURED_POD,
    STATE_DIRECTORY,
    UPDATER_CONTAINER,
    flags_in,
    must_hold,
    path_on_host,
    security_of,
)
from rendering import (
    ACTIVATE_AT_REBOOT,
    AUTOSCALED,
    PERSISTENT_VOLUME,
    SIMULATED,
    STATE_IN_POD,
    WINDOWS,
    flags_of,
)

RECORD_DIRECTORY = "/opt/bottlerocket/reboot"
REBOOT_COMMAND = f"/opt/bottlerocket/bottlerocket-reboot -confirm -record {RECORD_DIRECTORY}/record"
CHECKER_ARGUMENT = "--reboot-sentinel-command=/opt/bottlerocket/bottlerocket-checker"
SOCKET = "/run/api.sock"
SOCKET_LINK = f"{RECORD_DIRECTORY}/api.sock"

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


# The simulated fleet has a boot id and a version of each node in these files.
SIMULATED_BOOT_ID = "/run/bottlerocket-simulator/boot-id"
SIMULATED_OS_RELEASE = "/run/bottlerocket-simulator/os-release"


def reboot_command(rendered):
    if rendered.directory == ACTIVATE_AT_REBOOT:
        return f"{REBOOT_COMMAND} -activate"
    if rendered.directory == SIMULATED:
        return f"{REBOOT_COMMAND} -boot-id {SIMULATED_BOOT_ID}"
    return REBOOT_COMMAND


def kured_pods(rendered):
    """Returns Kured's pod spec in a list, or an empty list if it is not here."""
    pod = rendered.pod_of("kured")
    return [pod] if pod else []


@must_hold(
    [
        ((*KURED_CONTAINER, "args", 2), "--reboot-sentinel-command=/a"),
        ((*KURED_CONTAINER, "args", 3), DELETED),
        ((*KURED_CONTAINER, "args", 4), "--concurrency=2"),
        ((*KURED_CONTAINER, "args", 2), CHECKER_ARGUMENT, ACTIVATE_AT_REBOOT),
        ((*KURED_CONTAINER, "args", 3), f"--reboot-command={REBOOT_COMMAND}", ACTIVATE_AT_REBOOT),
    ]
)
def kured_runs_the_checker_and_the_reboot_program(rendered):
    checker = "/opt/bottlerocket/bottlerocket-checker"
    if rendered.directory == ACTIVATE_AT_REBOOT:
        checker += " -staged"
    for pod in kured_pods(rendered):
        flags = flags_in(pod["containers"][0])
        for flag, value in (
            ("reboot-sentinel-command", checker),
            ("reboot-command", reboot_command(rendered)),
            ("concurrency", "1"),
            ("metrics-port", "8080"),
        ):
            if [v for f, v in flags if f == flag] != [value]:
                yield f"--{flag} is not {value}"


@must_hold(
    [
        ((*KURED_CONTAINER, "args", 5), "--lock-ttl=2h"),
        ((*KURED_CONTAINER, "args", 5), "--drain-timeout=30m"),
        ((*KURED_CONTAINER, "args", 7), "--drain-timeout=90m", AUTOSCALED),
        ((*KURED_CONTAINER, "args", 8), DELETED, AUTOSCALED),
    ]
)
def only_one_overlay_lets_the_lock_expire_long_after_a_drain(rendered):
    for pod in kured_pods(rendered):
        flags = dict(flags_in(pod["containers"][0]))
        drain, lock = flags.get("drain-timeout"), flags.get("lock-ttl")
        if rendered.directory != AUTOSCALED:
            if drain or lock:
                yield "the lock or a drain ends by itself"
        elif not (drain and lock):
            yield "the lock or a drain never ends"
        elif int(drain.removesuffix("m")) > 60 * int(lock.removesuffix("h")) / 2:
            yield "a drain may take longer than half of the lock TTL"


DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def days_of_window(days):
    """Returns the days of a list like Mon,Wed-Fri."""
    found = set()
    for part in days.lower().split(","):
        first, _, last = part.partition("-")
        day = DAYS.index(first)
        found.add(DAYS[day])
        while DAYS[day] != (last or first):
            day = (day + 1) % 7
            found.add(DAYS[day])
    return found


@must_hold(
    [
        ((*UPDATER_CONTAINER, "args", 5), "-window=Mon-Fri 01:00-05:00", WINDOWS),
        ((*UPDATER_CONTAINER, "args", 5), "-window=Tue-Fri 02:01-05:00", WINDOWS),
        ((*UPDATER_CONTAINER, "args", 5), "-window=Tue-Fri 01:00-04:59", WINDOWS),
        ((*UPDATER_CONTAINER, "args", 5), "-window=Tue-Fri 23:00-05:00", WINDOWS),
        ((*UPDATER_CONTAINER, "args", 5), "-interval=10m", WINDOWS),
        ((*UPDATER_CONTAINER, "args", 6), DELETED, WINDOWS),
        ((*KURED_CONTAINER, "args", 7), "--time-zone=Europe/London", WINDOWS),
        ((*KURED_CONTAINER, "args", 8), "--reboot-days=tue,wed,thu", WINDOWS),
        ((*KURED_CONTAINER, "args", 8), "--reboot-days=tue,wed,thu,fri,sat", WINDOWS),
        ((*KURED_CONTAINER, "args", 9), "--start-time=00:59", WINDOWS),
        ((*KURED_CONTAINER, "args", 10), "--end-time=05:01", WINDOWS),
        ((*KURED_CONTAINER, "args", 10), DELETED, WINDOWS),
    ]
)
def windows_and_hours_are_in_step(rendered):
    """The example is right for both ways of counting days: its hours are within one day."""
    if rendered.directory != WINDOWS:
        return
    [updater], [kured] = [
        rendered.pod_of(name)["containers"] for name in ("bottlerocket-updater", "kured")
    ]
    ours, theirs = dict(flags_in(updater)), dict(flags_in(kured))
    if ours.get("time-zone") != theirs.get("time-zone"):
        yield "the time zones differ"
    days, _, times = ours.get("window", "").partition(" ")
    begin, _, end = times.partition("-")
    if not end:
        yield "no window"
        return
    if days_of_window(days) != set(theirs.get("reboot-days", "").split(",")):
        yield "the days differ"
    if not begin < theirs.get("start-time", "") < theirs.get("end-time", "") == end:
        yield "the hours are not in the window"


@must_hold(
    [
        ((*UPDATER_CONTAINER, "args", 5), DELETED, ACTIVATE_AT_REBOOT),
        ((*UPDATER_CONTAINER, "args", 4), "-activate-at-reboot"),
    ]
)
def updater_and_kured_agree_about_who_activates(rendered):
    updater, kured = rendered.pod_of("bottlerocket-updater"), rendered.pod_of("kured")
    if updater and kured:
        by_reboot = ("activate-at-reboot", None) in flags_in(updater["containers"][0])
        flags = dict(flags_in(kured["containers"][0]))
        if by_reboot != flags["reboot-command"].endswith(" -activate"):
            yield "only one of them leaves activating to the reboot program"
        if by_reboot != flags["reboot-sentinel-command"].endswith(" -staged"):
            yield "only one of them counts an update that is Staged"


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
        ((*INSTALL_CONTAINER, "args", 1), "/host/opt"),
        ((*INSTALL_CONTAINER, "args", 0), "-gate-socket=/run/other.sock"),
        ((*INSTALL_CONTAINER, "volumeMounts", 0, "mountPath"), "/host/opt"),
        ((*INSTALL_CONTAINER, "volumeMounts", 0, "mountPath"), "/host", PERSISTENT_VOLUME),
        ((*INSTALL_CONTAINER, "command", 0), "/bin/sh"),
        (INSTALL_CONTAINER, DELETED),
    ]
)
def init_container_installs_the_programs_where_kured_runs_them(rendered):
    for pod in kured_pods(rendered):
        # The gate must be the last one: it keeps Kured from starting.
        if [c["name"] for c in pod.get("initContainers", [])] != ["install", "gate"]:
            yield "other init containers"
            continue
        install = pod["initContainers"][0]
        if dict(flags_in(install)).get("gate-socket") != SOCKET:
            yield "the link for the gate leads elsewhere"
        if install["command"] != ["/usr/local/bin/bottlerocket-install"]:
            yield "runs another command"
        flags = dict(flags_in(pod["containers"][0]))
        for flag in ("reboot-sentinel-command", "reboot-command"):
            directory = flags[flag].split()[0].rpartition("/")[0]
            if path_on_host(pod, install, install["args"][-1]) != directory:
                yield f"the program of --{flag} is not installed"


@must_hold(
    [
        ((*KURED_POD, "volumes", 0, "hostPath", "path"), "/"),
        ((*KURED_POD, "volumes", 1, "hostPath", "path"), "/opt/bottlerocket"),
        ((*KURED_POD, "volumes", 2, "hostPath", "path"), "/var/lib"),
        ((*KURED_POD, "volumes", 3, "hostPath", "type"), "FileOrCreate"),
        ((*KURED_POD, "volumes", 4, "hostPath", "path"), SOCKET),
        ((*KURED_POD, "volumes", 4, "hostPath", "type"), "Socket"),
        (
            (*KURED_POD, "volumes", 0),
            {"name": "host-programs", "hostPath": {"path": "/opt"}},
            PERSISTENT_VOLUME,
        ),
    ]
)
def kured_pod_mounts_only_what_its_init_containers_need(rendered):
    """The reasons for the volume of the socket are in the manifest: there must be no type,
    and the path must be that of the link."""
    expected = {"hostPath": {"path": "/opt/bottlerocket", "type": "DirectoryOrCreate"}}
    if "PersistentVolume bottlerocket-bin" in rendered.objects:
        expected = {"persistentVolumeClaim": {"claimName": "bottlerocket-bin"}}
    os_release, more = "/usr/lib/os-release", []
    if rendered.directory == SIMULATED:
        os_release = SIMULATED_OS_RELEASE
        more = [{"name": "boot-id", "hostPath": {"path": SIMULATED_BOOT_ID, "type": "File"}}]
    # The gate cannot read a state in the updater's pod, and must read no old one instead.
    state = [
        {
            "name": "updater-state",
            "hostPath": {"path": STATE_DIRECTORY, "type": "DirectoryOrCreate"},
        }
    ]
    if rendered.directory == STATE_IN_POD:
        state = []
    for pod in kured_pods(rendered):
        if pod.get("volumes") != [
            {"name": "host-programs", **expected},
            {
                "name": "reboot-record",
                "hostPath": {"path": RECORD_DIRECTORY, "type": "DirectoryOrCreate"},
            },
            *state,
            {"name": "os-release", "hostPath": {"path": os_release, "type": "File"}},
            {"name": "api-socket", "hostPath": {"path": SOCKET_LINK}},
            *more,
        ]:
            yield "volumes"


@must_hold(
    [
        ((*GATE_CONTAINER, "command", 0), "/bin/true"),
        ((*GATE_CONTAINER, "args", 0), "-state-dir=/tmp"),
        ((*GATE_CONTAINER, "args"), ["-state-dir=/var/lib/bottlerocket-updater"], STATE_IN_POD),
        ((*GATE_CONTAINER, "args"), ["-state-dir=/var/lib/bottlerocket-updater", "-max-wat=1h"]),
        ((*GATE_SECURITY, "runAsUser"), 65532),
        ((*GATE_SECURITY, "runAsGroup"), 0),
        ((*GATE_CONTAINER, "volumeMounts", 0, "mountPath"), "/host/opt/bottlerocket/reboot"),
        ((*GATE_CONTAINER, "volumeMounts", 0, "readOnly"), True),
        ((*GATE_CONTAINER, "volumeMounts", 1, "readOnly"), DELETED),
        ((*GATE_CONTAINER, "volumeMounts", 2), DELETED),
        ((*GATE_CONTAINER, "volumeMounts", 3, "mountPath"), "/run/bottlerocket.sock"),
    ]
)
def gate_has_the_paths_that_are_its_defaults(rendered):
    """So that `bottlerocket-gate -release` needs no flags in its container."""
    known = flags_of("gate")
    more = []
    directories = [STATE_DIRECTORY]
    state = [{"name": "updater-state", "mountPath": STATE_DIRECTORY, "readOnly": True}]
    if rendered.directory == STATE_IN_POD:
        directories = state = []
    if rendered.directory == SIMULATED:
        more = [{"name": "boot-id", "mountPath": SIMULATED_BOOT_ID, "readOnly": True}]
    for pod in kured_pods(rendered):
        for gate in pod.get("initContainers", []):
            if gate["name"] != "gate":
                continue
            if gate["command"] != ["/usr/local/bin/bottlerocket-gate"]:
                yield "runs another command"
            flags = flags_in(gate)
            if [value for flag, value in flags if flag == "state-dir"] != directories:
                yield "-state-dir"
            if {"record", "socket", "os-release"} & {flag for flag, _ in flags}:
                yield "has a path that is not the default"
            for flag, value in flags:
                if flag not in known:
                    yield f"unknown flag: {flag or value}"
            security = security_of(gate)
            if (security.get("runAsUser"), security.get("runAsGroup")) != (0, 274):
                yield "runs as another user"
            if gate["volumeMounts"] != [
                {"name": "reboot-record", "mountPath": RECORD_DIRECTORY},
                *state,
                {"name": "os-release", "mountPath": "/usr/lib/os-release", "readOnly": True},
                {"name": "api-socket", "mountPath": SOCKET, "readOnly": True},
                *more,
            ]:
                yield "volumeMounts"


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
