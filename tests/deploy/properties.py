"""What has to be true of everything that is rendered, whatever the overlay.

Each property is a function that is given what was rendered and yields what is
wrong with it, if anything. One that is about an object that is not there has
nothing to say: which objects there are is a test of its own.
"""

import re

from rendering import VERSION, flags_of

SOCKET = "/run/api.sock"
SOCKET_GROUP = 274
IMAGE = "ghcr.io/bottlerocket-updater/bottlerocket-updater"
MIRROR = "registry.example.com/bottlerocket-updater"
KURED_IMAGE = "ghcr.io/kubereboot/kured"
KURED_MIRROR = "registry.example.com/kured"
KURED_VERSION = "1.23.0"
CUSTOM = "deploy/overlays/custom"
ON_HOST = "deploy/overlays/state-on-host"
STATE = "/var/lib/bottlerocket-updater"
PORT = 8080

# The flags of Kured 1.23 that are of use here.
KURED_FLAGS = {
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

PROPERTIES = {}


def holds(check):
    PROPERTIES[check.__name__] = check
    return check


def security(container):
    return container.get("securityContext") or {}


def updater(rendered):
    item = rendered.get("DaemonSet bottlerocket-updater")
    return [item["spec"]["template"]["spec"]] if item else []


def kured(rendered):
    item = rendered.get("DaemonSet kured")
    return [item["spec"]["template"]["spec"]] if item else []


def flags(container):
    """The arguments of a container, as names and values."""
    pairs = []
    for argument in container.get("args", []):
        match = re.fullmatch(r"--?([a-z-]+)(?:=(.*))?", argument)
        pairs.append((match[1], match[2]) if match else (None, argument))
    return pairs


def hosts_path(pod, container, path):
    """Where on the host a path in a container is, by its longest mount."""
    found = None
    for mount in container.get("volumeMounts", []):
        inside = mount["mountPath"].rstrip("/")
        if path != inside and not path.startswith(f"{inside}/"):
            continue
        if found and len(inside) < len(found[0]):
            continue
        found = (inside, mount["name"])
    if not found:
        return None
    for volume in pod["volumes"]:
        if volume["name"] != found[1]:
            continue
        if "hostPath" in volume:
            above = volume["hostPath"]["path"]
        elif volume.get("persistentVolumeClaim") == {"claimName": "bottlerocket-bin"}:
            above = "/opt"
        else:
            return None
        return above.rstrip("/") + path[len(found[0]) :]
    return None


# Of every pod.


@holds
def only_kured_is_privileged(rendered):
    for name, _, container in rendered.containers():
        wanted = name == "DaemonSet kured: kured"
        if security(container).get("privileged") is not wanted:
            yield f"{name}: privileged is not {wanted}"


@holds
def nobody_else_can_get_privileges(rendered):
    for name, pod, container in rendered.containers():
        if name == "DaemonSet kured: kured":
            continue
        if pod.get("securityContext"):
            yield f"{name}: what a container may do is said of each"
        if security(container).get("allowPrivilegeEscalation") is not False:
            yield f"{name}: privilege escalation"
        if security(container).get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name}: not all capabilities are dropped"
        if security(container).get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name}: not the runtime's seccomp profile"
        if security(container).get("procMount", "Default") != "Default":
            yield f"{name}: sees all of /proc"


@holds
def every_root_file_system_is_read_only(rendered):
    for name, _, container in rendered.containers():
        if security(container).get("readOnlyRootFilesystem") is not True:
            yield f"{name}: may write to its root"


@holds
def the_host_is_shared_with_kured_alone(rendered):
    for name, pod in rendered.pods():
        if pod.get("hostPID", False) is not (name == "DaemonSet kured"):
            yield f"{name}: hostPID"
        for share in ("hostNetwork", "hostIPC", "shareProcessNamespace"):
            if pod.get(share, False):
                yield f"{name}: {share}"
    for name, _, container in rendered.containers():
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{name}: hostPort"


@holds
def root_is_only_who_writes_to_the_host(rendered):
    root = {
        "DaemonSet kured: install",
        "DaemonSet kured: kured",
        "DaemonSet bottlerocket-uninstall: remove",
        "DaemonSet bottlerocket-updater: state",
    }
    for name, _, container in rendered.containers():
        if name in root:
            continue
        context = security(container)
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{name}: may be root"
        if not context.get("runAsGroup"):
            yield f"{name}: may have root's group"


@holds
def every_image_has_the_right_version(rendered):
    ours, kureds = IMAGE, KURED_IMAGE
    if rendered.directory == CUSTOM:
        ours, kureds = MIRROR, KURED_MIRROR
    for name, _, container in rendered.containers():
        program = container["command"][0]
        if program.startswith("/usr/local/bin/bottlerocket-"):
            wanted = f"{ours}:v{VERSION}"
        else:
            wanted = f"{kureds}:{KURED_VERSION}"
        if container["image"] != wanted:
            yield f"{name}: {container['image']} is not {wanted}"
        if container.get("imagePullPolicy") != "IfNotPresent":
            yield f"{name}: needs the registry at each start"


@holds
def everything_has_requests_and_limits(rendered):
    for name, _, container in rendered.containers():
        resources = container.get("resources", {})
        if set(resources.get("requests", {})) != {"cpu", "memory"}:
            yield f"{name}: requests"
        if name == "DaemonSet kured: kured":
            continue
        if set(resources.get("limits", {})) != {"cpu", "memory"}:
            yield f"{name}: limits"
            continue
        # Less than 12 MiB is refused by a container runtime.
        if not 12 <= mebibytes(resources["limits"]["memory"]) <= 32:
            yield f"{name}: the memory limit is no small one"
        if mebibytes(resources["requests"]["memory"]) > 8:
            yield f"{name}: the memory request is no small one"


def mebibytes(text):
    return int(re.fullmatch(r"(\d+)Mi", text)[1])


@holds
def no_taint_keeps_a_node_from_updates(rendered):
    for name, pod in rendered.pods():
        if pod.get("tolerations") != [{"operator": "Exists"}]:
            yield f"{name}: does not tolerate everything"
        if "nodeSelector" in pod:
            yield f"{name}: nodeSelector"


@holds
def nodes_are_those_that_there_are_programs_for(rendered):
    for name, pod in rendered.pods():
        terms = node_terms(pod)
        if not terms:
            yield f"{name}: no node affinity"
        for term in terms:
            for expression in (
                {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]},
                {
                    "key": "eks.amazonaws.com/compute-type",
                    "operator": "NotIn",
                    "values": ["fargate", "auto"],
                },
            ):
                if expression not in term["matchExpressions"]:
                    yield f"{name}: {expression['key']}"


@holds
def nodes_are_bottlerocket_s_where_that_is_asked_for(rendered):
    labels = set()
    if rendered.directory == "deploy/overlays/bottlerocket-nodes":
        labels = {
            ("bottlerocket-updater", "enabled"),
            ("feature.node.kubernetes.io/system-os_release.ID", "bottlerocket"),
        }
    for name, pod in rendered.pods():
        found = set()
        for term in node_terms(pod):
            more = term["matchExpressions"][3:]
            found |= {(e["key"], *e["values"]) for e in more if e["operator"] == "In"}
            if len(more) != bool(labels):
                yield f"{name}: {len(more)} more conditions"
        if found != labels:
            yield f"{name}: asks for {found}"


def node_terms(pod):
    affinity = pod.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    return required.get("nodeSelectorTerms", [])


@holds
def rollouts_leave_most_nodes_alone(rendered):
    for name, item in rendered.objects.items():
        if item["kind"] != "DaemonSet" or name == "DaemonSet bottlerocket-uninstall":
            continue
        wanted = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}
        if item["spec"].get("updateStrategy") != wanted:
            yield f"{name}: updateStrategy"


@holds
def pods_are_as_critical_as_the_node(rendered):
    for name, pod in rendered.pods():
        if name == "DaemonSet bottlerocket-uninstall":
            continue
        if pod.get("priorityClassName") != "system-node-critical":
            yield f"{name}: priorityClassName"


@holds
def tokens_are_for_kured_alone(rendered):
    for name, pod in rendered.pods():
        if name == "DaemonSet kured":
            if pod.get("serviceAccountName") != "kured":
                yield f"{name}: serviceAccountName"
        elif pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: has a token"


@holds
def objects_say_where_they_are(rendered):
    cluster = {"Namespace", "ClusterRole", "ClusterRoleBinding", "StorageClass", "PersistentVolume"}
    for name, item in rendered.objects.items():
        namespace = item["metadata"].get("namespace")
        if item["kind"] in cluster:
            wanted = None
        elif name.endswith(" bottlerocket-updater"):
            wanted = "bottlerocket-updater"
        else:
            wanted = "kube-system"
        if namespace != wanted:
            yield f"{name}: is in {namespace}"
        if item["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != (
            "bottlerocket-updater"
        ):
            yield f"{name}: is part of nothing"


# Of the updater.


@holds
def updater_is_one_container(rendered):
    for pod in updater(rendered):
        if [c["name"] for c in pod["containers"]] != ["bottlerocket-updater"]:
            yield "another container"
        if "initContainers" in pod and rendered.directory != ON_HOST:
            yield "an init container"
        if pod["containers"][0]["command"] != ["/usr/local/bin/bottlerocket-updater"]:
            yield "another command"


@holds
def updater_has_the_group_of_the_socket(rendered):
    for pod in updater(rendered):
        context = security(pod["containers"][0])
        if context.get("runAsGroup") != SOCKET_GROUP:
            yield f"runAsGroup is {context.get('runAsGroup')}"


@holds
def updater_has_the_selinux_type_for_the_socket(rendered):
    wanted = {"user": "system_u", "role": "system_r", "type": "control_t", "level": "s0"}
    for pod in updater(rendered):
        if security(pod["containers"][0]).get("seLinuxOptions") != wanted:
            yield "seLinuxOptions"


@holds
def nobody_else_has_an_selinux_type_of_its_own(rendered):
    for name, _, container in rendered.containers():
        if name == "DaemonSet bottlerocket-updater: bottlerocket-updater":
            continue
        if "seLinuxOptions" in security(container):
            yield f"{name}: seLinuxOptions"


@holds
def updater_sees_the_socket_and_nothing_else_of_the_host(rendered):
    state = {"emptyDir": {"medium": "", "sizeLimit": "1Mi"}}
    if rendered.directory == ON_HOST:
        state = {"hostPath": {"path": STATE, "type": "DirectoryOrCreate"}}
    for pod in updater(rendered):
        if pod.get("volumes") != [
            {"name": "api-socket", "hostPath": {"path": SOCKET, "type": "Socket"}},
            # Its own directory, which has to outlive a reboot: not in memory.
            {"name": "state", **state},
        ]:
            yield "volumes"
        (container,) = pod["containers"]
        if container.get("volumeMounts") != [
            {"name": "api-socket", "mountPath": SOCKET, "readOnly": True},
            {"name": "state", "mountPath": STATE},
        ]:
            yield "volumeMounts"
        if ("socket", SOCKET) not in flags(container):
            yield "-socket is not what is mounted"


@holds
def updater_may_write_where_its_state_is(rendered):
    """Into an emptyDir everybody may; on the host, who has the group of what the
    init container makes."""
    on_host = rendered.directory == ON_HOST
    for pod in updater(rendered):
        (container,) = pod["containers"]
        wanted = f"{STATE}/state" if on_host else STATE
        if [v for f, v in flags(container) if f == "state-dir"] != [wanted]:
            yield f"-state-dir is not {wanted}"
        for made in pod.get("initContainers", []):
            if made["name"] != "state" or made["command"] != ["/bin/mkdir"]:
                yield "another init container"
            if made["args"] != ["-p", "-m", "0770", f"{STATE}/state"]:
                yield "makes something else"
            if made["volumeMounts"] != [{"name": "state", "mountPath": STATE}]:
                yield "makes it elsewhere"
            context = security(made)
            if (context["runAsUser"], context["runAsGroup"]) != (0, SOCKET_GROUP):
                yield "makes it for somebody else"
        if on_host and len(pod.get("initContainers", [])) != 1:
            yield "there is no directory to write to"


@holds
def updater_is_asked_how_it_is(rendered):
    for pod in updater(rendered):
        (container,) = pod["containers"]
        if ("metrics-address", f":{PORT}") not in flags(container):
            yield "-metrics-address"
        if container.get("ports") != [{"name": "metrics", "containerPort": PORT}]:
            yield "ports"
        for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            asked = container.get(probe, {})
            if asked.get("httpGet") != {"path": path, "port": "metrics"}:
                yield f"{probe} asks for something else"
            # Not to be failed by a moment of load.
            if not 3 <= asked.get("timeoutSeconds", 1) <= asked.get("periodSeconds", 10) / 2:
                yield f"{probe}: timeoutSeconds"
            if asked.get("failureThreshold", 3) < 2:
                yield f"{probe}: failureThreshold"
        if container.get("livenessProbe", {}).get("failureThreshold", 0) < 3:
            yield "it is killed too soon"


@holds
def what_is_scraped_is_the_updater(rendered):
    monitor = rendered.get("PodMonitor bottlerocket-updater")
    if not monitor:
        return
    label = "app.kubernetes.io/name"
    if monitor["spec"]["selector"] != {"matchLabels": {label: "bottlerocket-updater"}}:
        yield "selector"
    # The rules ask for the job bottlerocket-updater, and tell of the node.
    if monitor["spec"].get("jobLabel") != label:
        yield "jobLabel"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    if (endpoint["port"], endpoint["path"]) != ("metrics", "/metrics"):
        yield "it asks for something else"
    node = {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}
    if endpoint.get("relabelings") != [node]:
        yield "relabelings"
    if int(endpoint["interval"].removesuffix("s")) < 30:
        yield "wakes the updater up too often"


@holds
def updaters_environment_is_what_it_knows(rendered):
    known = {
        "BOTTLEROCKET_UPDATER_" + flag.upper().replace("-", "_")
        for flag in flags_of("updater") - {"h", "help", "version", "one-time", "print-config"}
    }
    item = rendered.get("ConfigMap bottlerocket-updater")
    for pod in updater(rendered):
        (container,) = pod["containers"]
        wanted = None
        if item:
            wanted = [{"configMapRef": {"name": item["metadata"]["name"]}}]
            for name in set(item["data"]) - known:
                yield f"no such variable: {name}"
            given = {flag for flag, _ in flags(container)}
            for name in item["data"]:
                if name.removeprefix("BOTTLEROCKET_UPDATER_").lower().replace("_", "-") in given:
                    yield f"a flag wins over {name}"
        if container.get("envFrom") != wanted or "env" in container:
            yield "has another environment"


@holds
def updater_knows_its_flags(rendered):
    known = flags_of("updater")
    for pod in updater(rendered):
        for flag, value in flags(pod["containers"][0]):
            if flag not in known:
                yield f"no such flag: {flag or value}"


@holds
def updater_is_a_daemon_that_ends_soon(rendered):
    for pod in updater(rendered):
        if not 1 <= pod.get("terminationGracePeriodSeconds", 30) <= 10:
            yield "terminationGracePeriodSeconds"
        if "one-time" in dict(flags(pod["containers"][0])):
            yield "-one-time"


@holds
def updater_has_nothing_to_do_with_kubernetes(rendered):
    for pod in updater(rendered):
        if pod.get("serviceAccountName") != "bottlerocket-updater":
            yield "not a service account of its own"
        if pod.get("enableServiceLinks") is not False:
            yield "is told of services"
        account = rendered.get("ServiceAccount bottlerocket-updater")
        if account.get("automountServiceAccountToken") is not False:
            yield "a pod with its service account gets a token"
    for name, item in rendered.objects.items():
        for subject in item.get("subjects", []):
            if (subject["kind"], subject["name"]) != ("ServiceAccount", "kured"):
                yield f"{name}: grants something to {subject['name']}"


@holds
def updater_has_no_network_but_for_being_asked(rendered):
    wanted = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}]}],
    }
    policy = rendered.get("NetworkPolicy bottlerocket-updater")
    if policy and policy["spec"] != wanted:
        yield "the policy is another one"


@holds
def updaters_namespace_allows_what_it_needs(rendered):
    namespace = rendered.get("Namespace bottlerocket-updater")
    for mode in ("enforce", "warn", "audit"):
        label = f"pod-security.kubernetes.io/{mode}"
        if namespace and namespace["metadata"]["labels"].get(label) != "privileged":
            yield label


@holds
def updater_needs_no_more_than_that(rendered):
    """Two things are beyond the level "restricted" of the Pod Security
    Standards, and those are what the namespace is "privileged" for."""
    allowed = {"hostPath", "seLinuxOptions"}
    if rendered.directory == ON_HOST:
        allowed.add("root")
    for pod in updater(rendered):
        beyond = set(beyond_restricted(pod))
        if beyond != allowed:
            yield f"beyond the level restricted: {beyond}"


def beyond_restricted(pod):
    for share in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(share):
            yield share
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
        context = security(container)
        if context.get("privileged"):
            yield "privileged"
        if context.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if context.get("capabilities", {}).get("drop") != ["ALL"]:
            yield "capabilities"
        if set(context.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
            yield "capabilities"
        if not context.get("runAsNonRoot") or context.get("runAsUser") == 0:
            yield "root"
        if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "seccompProfile"
        selinux = context.get("seLinuxOptions", {})
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


# Of Kured.


@holds
def kured_runs_our_commands(rendered):
    for pod in kured(rendered):
        given = flags(pod["containers"][0])
        for flag, value in (
            ("reboot-sentinel-command", "/opt/bottlerocket/bottlerocket-checker"),
            ("reboot-command", "/opt/bottlerocket/bottlerocket-reboot"),
            ("concurrency", "1"),
            ("metrics-port", "8080"),
        ):
            if [v for f, v in given if f == flag] != [value]:
                yield f"--{flag} is not {value}"


@holds
def kured_knows_its_flags(rendered):
    for pod in kured(rendered):
        for flag, value in flags(pod["containers"][0]):
            if flag not in KURED_FLAGS:
                yield f"no such flag: {flag or value}"


@holds
def kured_knows_its_node_and_its_lock(rendered):
    item = rendered.get("DaemonSet kured")
    for pod in kured(rendered):
        container = pod["containers"][0]
        node = {"fieldRef": {"fieldPath": "spec.nodeName"}}
        if {"name": "KURED_NODE_ID", "valueFrom": node} not in container.get("env", []):
            yield "KURED_NODE_ID"
        given = dict(flags(container))
        if given.get("ds-name") != item["metadata"]["name"]:
            yield "--ds-name is not its name"
        if given.get("ds-namespace") != item["metadata"]["namespace"]:
            yield "--ds-namespace is not its namespace"
        if item["spec"]["selector"] != {"matchLabels": {"name": "kured"}}:
            yield "not the selector that Kured's own manifests have"


@holds
def kured_is_the_stock_program(rendered):
    for pod in kured(rendered):
        if [c["name"] for c in pod["containers"]] != ["kured"]:
            yield "another container"
        container = pod["containers"][0]
        if container["command"] != ["/usr/bin/kured"]:
            yield "another command"
        if container.get("volumeMounts"):
            yield "needs no mount"
        if container.get("ports") != [{"name": "metrics", "containerPort": 8080}]:
            yield "ports"


@holds
def install_puts_the_programs_where_kured_runs_them(rendered):
    for pod in kured(rendered):
        if [c["name"] for c in pod.get("initContainers", [])] != ["install"]:
            yield "there is more or less than one init container"
            continue
        (container,) = pod["initContainers"]
        if container["command"] != ["/usr/local/bin/bottlerocket-install"]:
            yield "another command"
        given = dict(flags(pod["containers"][0]))
        for flag in ("reboot-sentinel-command", "reboot-command"):
            directory = given[flag].rpartition("/")[0]
            if hosts_path(pod, container, container["args"][-1]) != directory:
                yield f"--{flag} is not installed"


@holds
def install_sees_no_more_of_the_host_than_it_must(rendered):
    claim = "PersistentVolume bottlerocket-bin" in rendered.objects
    for pod in kured(rendered):
        wanted = {"hostPath": {"path": "/opt/bottlerocket", "type": "DirectoryOrCreate"}}
        if claim:
            wanted = {"persistentVolumeClaim": {"claimName": "bottlerocket-bin"}}
        if pod.get("volumes") != [{"name": "host-programs", **wanted}]:
            yield "volumes"


@holds
def kured_may_do_what_it_does_and_no_more(rendered):
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


# Of the volume, and of the uninstaller.


@holds
def volume_and_claim_are_each_others(rendered):
    volume = rendered.get("PersistentVolume bottlerocket-bin")
    claim = rendered.get("PersistentVolumeClaim bottlerocket-bin")
    storage = rendered.get("StorageClass manual")
    if not volume:
        return
    if volume["spec"]["hostPath"] != {"path": "/opt/", "type": "Directory"}:
        yield "hostPath"
    if volume["spec"]["persistentVolumeReclaimPolicy"] != "Retain":
        yield "persistentVolumeReclaimPolicy"
    wanted = (claim["metadata"]["namespace"], claim["metadata"]["name"])
    reference = volume["spec"].get("claimRef", {})
    if (reference.get("namespace"), reference.get("name")) != wanted:
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


@holds
def uninstall_removes_what_was_installed(rendered):
    for name, pod, container in rendered.containers():
        if name != "DaemonSet bottlerocket-uninstall: remove":
            continue
        if container["command"] != ["/bin/rm"] or container["args"][:2] != ["-r", "-f"]:
            yield "another command"
        removed = [hosts_path(pod, container, path) for path in container["args"][2:]]
        if removed != ["/opt/bottlerocket", STATE]:
            yield "removes something else"
