"""Properties of the updater: its pod, its namespace, its network and its metrics."""

from properties import (
    DELETED,
    STATE_DIRECTORY,
    UPDATER_CONTAINER,
    UPDATER_POD,
    UPDATER_SECURITY,
    flags_in,
    must_hold,
    security_of,
)
from rendering import MONITORING, SIMULATED, STATE_IN_POD, flags_of

SOCKET = "/run/api.sock"
RECORD_DIRECTORY = "/opt/bottlerocket/reboot"
# The group that owns the socket on a node.
SOCKET_GROUP = 274
PORT = 8080

STATE_CONTAINER = (*UPDATER_POD, "initContainers", 0)
MONITOR = ("PodMonitor bottlerocket-updater", "spec")
ENDPOINT = (*MONITOR, "podMetricsEndpoints", 0)
POLICY = ("NetworkPolicy bottlerocket-updater", "spec")
NAMESPACE_LABELS = ("Namespace bottlerocket-updater", "metadata", "labels")


def updater_pods(rendered):
    """Returns the updater's pod spec in a list, or an empty list if it is not here."""
    pod = rendered.pod_of("bottlerocket-updater")
    return [pod] if pod else []


@must_hold(
    [
        ((*UPDATER_CONTAINER, "command", 0), "/bin/sh"),
        ((*UPDATER_CONTAINER, "name"), "another"),
        ((*UPDATER_POD, "initContainers"), DELETED),
        ((*UPDATER_POD, "initContainers"), [], STATE_IN_POD),
    ]
)
def updater_pod_has_one_container_and_creates_its_directory(rendered):
    for pod in updater_pods(rendered):
        if [c["name"] for c in pod["containers"]] != ["bottlerocket-updater"]:
            yield "not exactly one container"
        names = [c["name"] for c in pod["initContainers"]] if "initContainers" in pod else None
        if names != (None if rendered.directory == STATE_IN_POD else ["state"]):
            yield "has other init containers"
        if pod["containers"][0]["command"] != ["/usr/local/bin/bottlerocket-updater"]:
            yield "runs another command"


@must_hold([((*UPDATER_SECURITY, "runAsGroup"), 65532)])
def updater_runs_with_the_group_of_the_socket(rendered):
    for pod in updater_pods(rendered):
        security = security_of(pod["containers"][0])
        if security.get("runAsGroup") != SOCKET_GROUP:
            yield f"runAsGroup is {security.get('runAsGroup')}"


@must_hold(
    [
        ((*UPDATER_SECURITY, "seLinuxOptions"), DELETED),
        ((*UPDATER_SECURITY, "seLinuxOptions", "type"), "super_t"),
    ]
)
def updater_has_the_selinux_type_for_the_socket(rendered):
    expected = {"user": "system_u", "role": "system_r", "type": "control_t", "level": "s0"}
    for pod in updater_pods(rendered):
        if security_of(pod["containers"][0]).get("seLinuxOptions") != expected:
            yield "seLinuxOptions"


@must_hold(
    [
        ((*UPDATER_POD, "volumes", 0, "hostPath", "path"), "/run"),
        ((*UPDATER_POD, "volumes", 0, "hostPath", "path"), SOCKET),
        ((*UPDATER_POD, "volumes", 0, "hostPath", "type"), "Socket"),
        ((*UPDATER_POD, "volumes", 0, "hostPath", "type"), DELETED, STATE_IN_POD),
        ((*UPDATER_POD, "volumes", 1, "hostPath", "path"), "/var/lib"),
        ((*UPDATER_POD, "volumes", 1), {"name": "state", "emptyDir": {}}),
        ((*UPDATER_POD, "volumes", 1, "emptyDir", "medium"), "Memory", STATE_IN_POD),
        ((*UPDATER_POD, "volumes", 1, "emptyDir", "sizeLimit"), DELETED, STATE_IN_POD),
        ((*UPDATER_CONTAINER, "volumeMounts", 0, "readOnly"), DELETED),
        ((*UPDATER_CONTAINER, "volumeMounts", 1), DELETED),
        ((*UPDATER_CONTAINER, "volumeMounts", 2, "readOnly"), DELETED),
        ((*UPDATER_CONTAINER, "args", 3), "-record=/opt/record"),
        ((*UPDATER_CONTAINER, "args", 4), "-boot-attempts=1"),
        ((*UPDATER_CONTAINER, "args", 0), "-socket=/var/run/api.sock"),
    ]
)
def updater_mounts_only_the_socket_its_state_and_the_record(rendered):
    # On disk: the state has to survive a reboot.
    state = {"hostPath": {"path": STATE_DIRECTORY, "type": "DirectoryOrCreate"}}
    # The manifest has the reasons for the link, and for no type.
    socket = {"path": f"{RECORD_DIRECTORY}/updater.sock"}
    if rendered.directory == STATE_IN_POD:
        socket = {"path": SOCKET, "type": "Socket"}
        state = {"emptyDir": {"medium": "", "sizeLimit": "1Mi"}}
    for pod in updater_pods(rendered):
        (container,) = pod["containers"]
        volumes, mounts = pod.get("volumes"), container.get("volumeMounts")
        if rendered.directory == SIMULATED:
            # The last one is the boot id, which simulator_pod.py checks.
            volumes, mounts = volumes[:-1], mounts[:-1]
        if volumes != [
            {"name": "api-socket", "hostPath": socket},
            {"name": "state", **state},
            {
                "name": "reboot-record",
                "hostPath": {"path": RECORD_DIRECTORY, "type": "DirectoryOrCreate"},
            },
        ]:
            yield "volumes"
        if mounts != [
            {"name": "api-socket", "mountPath": SOCKET, "readOnly": True},
            {"name": "state", "mountPath": STATE_DIRECTORY},
            {"name": "reboot-record", "mountPath": RECORD_DIRECTORY, "readOnly": True},
        ]:
            yield "volumeMounts"
        if ("socket", SOCKET) not in flags_in(container):
            yield "-socket is not the mounted path"
        if ("record", f"{RECORD_DIRECTORY}/record") not in flags_in(container):
            yield "-record is not in the mounted directory"
        # The gate requests the second reboot, so the updater must prepare the version again.
        if ("boot-attempts", "2") not in flags_in(container):
            yield "-boot-attempts"


@must_hold(
    [
        ((*UPDATER_CONTAINER, "args", 2), "-state-dir=/tmp"),
        ((*UPDATER_CONTAINER, "args", 2), DELETED),
        ((*UPDATER_POD, "initContainers"), DELETED),
        ((*STATE_CONTAINER, "command", 0), "/bin/sh"),
        ((*STATE_CONTAINER, "args", 0), "-state-dir=/var/lib/other"),
        ((*STATE_CONTAINER, "args", 1), "-updater-link=/var/lib/bottlerocket-updater"),
        ((*STATE_CONTAINER, "args", 1), DELETED),
        ((*STATE_CONTAINER, "volumeMounts", 0, "mountPath"), "/mnt"),
        ((*STATE_CONTAINER, "securityContext", "runAsGroup"), 0),
    ]
)
def updater_can_write_to_its_state_directory(rendered):
    """Any user can write to an emptyDir. On the host, the init container gives the
    directory to the updater's group."""
    for pod in updater_pods(rendered):
        (container,) = pod["containers"]
        if [v for f, v in flags_in(container) if f == "state-dir"] != [STATE_DIRECTORY]:
            yield f"-state-dir is not {STATE_DIRECTORY}"
        for init in pod.get("initContainers", []):
            if init["name"] != "state":
                yield "another init container"
            if init["command"] != ["/usr/local/bin/bottlerocket-install"]:
                yield "the init container runs another command"
            if init["args"] != [
                f"-state-dir={STATE_DIRECTORY}",
                f"-updater-link={RECORD_DIRECTORY}",
            ]:
                yield "the init container creates other files"
            if init["volumeMounts"] != [
                {"name": "state", "mountPath": STATE_DIRECTORY},
                {"name": "reboot-record", "mountPath": RECORD_DIRECTORY},
            ]:
                yield "the init container has other mounts"
            security = security_of(init)
            if (security["runAsUser"], security["runAsGroup"]) != (0, SOCKET_GROUP):
                yield "the directory gets another owner"
        on_host = any("hostPath" in v for v in pod["volumes"] if v["name"] == "state")
        if on_host != bool(pod.get("initContainers")):
            yield "no init container creates the directory on the host"


@must_hold(
    [
        ((*UPDATER_CONTAINER, "args", 1), "-metrics-address=:9090"),
        ((*UPDATER_CONTAINER, "ports"), DELETED),
        ((*UPDATER_CONTAINER, "ports", 0, "name"), "http"),
        ((*UPDATER_CONTAINER, "livenessProbe"), DELETED),
        ((*UPDATER_CONTAINER, "livenessProbe", "httpGet", "path"), "/readyz"),
        ((*UPDATER_CONTAINER, "livenessProbe", "timeoutSeconds"), DELETED),
        ((*UPDATER_CONTAINER, "livenessProbe", "failureThreshold"), 2),
        ((*UPDATER_CONTAINER, "readinessProbe", "httpGet", "port"), 9090),
        ((*UPDATER_CONTAINER, "readinessProbe", "failureThreshold"), 1),
    ]
)
def updater_has_a_metrics_port_and_probes(rendered):
    for pod in updater_pods(rendered):
        (container,) = pod["containers"]
        if ("metrics-address", f":{PORT}") not in flags_in(container):
            yield "-metrics-address"
        if container.get("ports") != [{"name": "metrics", "containerPort": PORT}]:
            yield "ports"
        for name, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            probe = container.get(name, {})
            if probe.get("httpGet") != {"path": path, "port": "metrics"}:
                yield f"{name}: httpGet"
            # A short load peak must not fail a probe.
            if not 3 <= probe.get("timeoutSeconds", 1) <= probe.get("periodSeconds", 10) / 2:
                yield f"{name}: timeoutSeconds"
            if probe.get("failureThreshold", 3) < 2:
                yield f"{name}: failureThreshold"
        if container.get("livenessProbe", {}).get("failureThreshold", 0) < 3:
            yield "livenessProbe: failureThreshold is less than 3"


@must_hold(
    [
        ((*MONITOR, "selector"), {}, MONITORING),
        ((*MONITOR, "jobLabel"), DELETED, MONITORING),
        ((*ENDPOINT, "port"), "http", MONITORING),
        ((*ENDPOINT, "relabelings"), [], MONITORING),
        ((*ENDPOINT, "relabelings", 2, "action"), "labelkeep", MONITORING),
        ((*ENDPOINT, "interval"), "5s", MONITORING),
        (("PodMonitor kured", "spec", "selector"), {}, MONITORING),
    ]
)
def pod_monitors_scrape_the_updater_and_kured(rendered):
    for name in ("bottlerocket-updater", "kured"):
        monitor = rendered.get(f"PodMonitor {name}")
        if not monitor:
            continue
        label = "app.kubernetes.io/name"
        if monitor["spec"]["selector"].get("matchLabels", {}).get(label) != name:
            yield "selector"
        # The alert rules select the job bottlerocket-updater.
        if monitor["spec"].get("jobLabel") != label:
            yield "jobLabel"
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        if (endpoint["port"], endpoint["path"]) != ("metrics", "/metrics"):
            yield "port and path"
        # The alert rules need the label node, and series that do not end with a pod.
        node = ["__meta_kubernetes_pod_node_name"]
        if endpoint.get("relabelings") != [
            {"sourceLabels": node, "targetLabel": "node"},
            {"sourceLabels": node, "targetLabel": "instance"},
            {"action": "labeldrop", "regex": "pod|container"},
        ]:
            yield "relabelings"
        if int(endpoint["interval"].removesuffix("s")) < 30:
            yield "the interval is shorter than 30 seconds"


@must_hold(
    [
        ((*UPDATER_CONTAINER, "env"), [{"name": "A", "value": "b"}]),
        ((*UPDATER_CONTAINER, "envFrom"), [{"configMapRef": {"name": "a"}}]),
    ]
)
def updater_is_configured_by_flags_only(rendered):
    for pod in updater_pods(rendered):
        (container,) = pod["containers"]
        if "envFrom" in container or "env" in container:
            yield "env or envFrom"


@must_hold(
    [
        ((*UPDATER_CONTAINER, "args", 0), "-sock=/run/api.sock"),
        ((*UPDATER_CONTAINER, "args", 0), "/run/api.sock"),
    ]
)
def updater_arguments_are_known_flags(rendered):
    known = flags_of("updater")
    for pod in updater_pods(rendered):
        for flag, value in flags_in(pod["containers"][0]):
            if flag not in known:
                yield f"unknown flag: {flag or value}"


@must_hold(
    [
        ((*UPDATER_POD, "terminationGracePeriodSeconds"), DELETED),
        ((*UPDATER_CONTAINER, "args", 0), "-one-time"),
    ]
)
def updater_runs_as_a_daemon_and_stops_quickly(rendered):
    for pod in updater_pods(rendered):
        if not 1 <= pod.get("terminationGracePeriodSeconds", 30) <= 10:
            yield "terminationGracePeriodSeconds"
        if "one-time" in dict(flags_in(pod["containers"][0])):
            yield "-one-time"


@must_hold(
    [
        ((*UPDATER_POD, "serviceAccountName"), "default"),
        ((*UPDATER_POD, "enableServiceLinks"), DELETED),
        (("ServiceAccount bottlerocket-updater", "automountServiceAccountToken"), DELETED),
        (("RoleBinding kured", "subjects", 0, "name"), "bottlerocket-updater"),
    ]
)
def updater_has_no_access_to_kubernetes(rendered):
    for pod in updater_pods(rendered):
        if pod.get("serviceAccountName") != "bottlerocket-updater":
            yield "does not use its own service account"
        if pod.get("enableServiceLinks") is not False:
            yield "gets the addresses of services"
        account = rendered.get("ServiceAccount bottlerocket-updater")
        if account.get("automountServiceAccountToken") is not False:
            yield "the service account mounts its token"
    for name, item in rendered.objects.items():
        for subject in item.get("subjects", []):
            if (subject["kind"], subject["name"]) != ("ServiceAccount", "kured"):
                yield f"{name}: grants permissions to {subject['name']}"


@must_hold(
    [
        ((*POLICY, "policyTypes"), ["Ingress"]),
        ((*POLICY, "ingress", 0, "ports"), DELETED),
        ((*POLICY, "egress"), [{}]),
    ]
)
def network_policy_allows_the_metrics_port_only(rendered):
    expected = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}]}],
    }
    policy = rendered.get("NetworkPolicy bottlerocket-updater")
    if policy and policy["spec"] != expected:
        yield "the policy is another one"


@must_hold([((*NAMESPACE_LABELS, "pod-security.kubernetes.io/enforce"), "restricted")])
def updater_namespace_allows_the_pod(rendered):
    namespace = rendered.get("Namespace bottlerocket-updater")
    for mode in ("enforce", "warn", "audit"):
        label = f"pod-security.kubernetes.io/{mode}"
        if namespace and namespace["metadata"]["labels"].get(label) != "privileged":
            yield label


@must_hold(
    [
        ((*UPDATER_POD, "hostPID"), True),
        ((*UPDATER_SECURITY, "seLinuxOptions"), DELETED),
    ]
)
def updater_exceeds_the_restricted_level_only_where_needed(rendered):
    """The pod needs three things that the level "restricted" of the Pod Security
    Standards forbids. Its namespace is "privileged" for these only."""
    expected = {"hostPath", "seLinuxOptions", "root"}
    if rendered.directory == STATE_IN_POD:
        expected.remove("root")
    for pod in updater_pods(rendered):
        found = set(beyond_restricted(pod))
        if found != expected:
            yield f"exceeds the level restricted in {found}"


def beyond_restricted(pod):
    """Yields the keys of a pod spec that the level "restricted" forbids."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield key
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    for volume in pod.get("volumes", []):
        yield from set(volume) - {"name"} - allowed
    for container in pod["containers"] + pod.get("initContainers", []):
        security = security_of(container)
        if security.get("privileged"):
            yield "privileged"
        if security.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if security.get("capabilities", {}).get("drop") != ["ALL"]:
            yield "capabilities"
        if set(security.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
            yield "capabilities"
        if not security.get("runAsNonRoot") or security.get("runAsUser") == 0:
            yield "root"
        if security.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile"
        selinux = security.get("seLinuxOptions", {})
        if selinux.get("user") or selinux.get("role"):
            yield "seLinuxOptions"
        if selinux.get("type", "") not in (
            "",
            "container_t",
            "container_init_t",
            "container_kvm_t",
        ):
            yield "seLinuxOptions"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield "hostPort"
