"""Everything below deploy/, rendered: is it valid, and is it what it must be?"""

import os
import re

import kubernetes_validate
import pytest
import yaml
from properties import (
    CUSTOM,
    IMAGE,
    KURED_IMAGE,
    KURED_VERSION,
    MIRROR,
    ON_HOST,
    PROPERTIES,
    flags,
    node_terms,
)
from rendering import (
    DIRECTORIES,
    NEWEST_KUBECTL,
    OLDEST_KUBECTL,
    ROOT,
    VERSION,
    flags_of,
    helm_values,
    render,
    text_of,
)

# The README says so, too.
OLDEST_KUBERNETES = "1.25"
NEWEST_KUBERNETES = "1.37"
# Kinds that Kubernetes has no schema for, since they are somebody else's.
FOREIGN_KINDS = {"PodMonitor", "PrometheusRule"}

each_directory = pytest.mark.parametrize("directory", DIRECTORIES)


def test_every_kustomization_is_in_the_table():
    found = set()
    for path in ROOT.glob("deploy/**/kustomization.yaml"):
        if yaml.safe_load(path.read_text())["kind"] == "Kustomization":
            found.add(str(path.parent.relative_to(ROOT)))
    assert found == set(DIRECTORIES)


@each_directory
def test_has_these_objects_and_no_other(directory):
    assert set(render(directory).objects) == DIRECTORIES[directory]


@each_directory
def test_is_the_same_for_old_and_new_kubectl(directory):
    assert text_of(directory, OLDEST_KUBECTL) == text_of(directory, NEWEST_KUBECTL)


@each_directory
@pytest.mark.parametrize("kubernetes", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])
def test_is_valid(directory, kubernetes):
    for item in render(directory).objects.values():
        if item["kind"] not in FOREIGN_KINDS:
            validated = kubernetes_validate.validate(item, kubernetes, strict=True)
            # It would go by an older schema, if it had none for this version.
            assert validated == kubernetes


@pytest.mark.parametrize("kubernetes", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])
@pytest.mark.parametrize(
    "value", [{"privileged ": False}, {"privileged": "no"}, {"runAsUser": "0"}]
)
def test_what_is_not_valid_is_found(kubernetes, value):
    item = render("deploy").get("DaemonSet kured")
    item["spec"]["template"]["spec"]["initContainers"][0]["securityContext"].update(value)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(item, kubernetes, strict=True)


@each_directory
@pytest.mark.parametrize("name", PROPERTIES)
def test_property(directory, name):
    assert list(PROPERTIES[name](render(directory))) == []


GONE = object()
UPDATER_POD = ("DaemonSet bottlerocket-updater", "spec", "template", "spec")
UPDATER_CONTAINER = (*UPDATER_POD, "containers", 0)
UPDATER_SECURITY = (*UPDATER_CONTAINER, "securityContext")
KURED_POD = ("DaemonSet kured", "spec", "template", "spec")
KURED_CONTAINER = (*KURED_POD, "containers", 0)
INSTALL = (*KURED_POD, "initContainers", 0)
NODES = (
    "affinity",
    "nodeAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
    "nodeSelectorTerms",
)
VOLUME_DIRECTORY = "deploy/overlays/persistent-volume"
NODES_DIRECTORY = "deploy/overlays/bottlerocket-nodes"
WINDOWS_DIRECTORY = "deploy/overlays/windows"
STATE_MAKER = (*UPDATER_POD, "initContainers", 0)
MONITOR = ("PodMonitor bottlerocket-updater", "spec")
ENDPOINT = (*MONITOR, "podMetricsEndpoints", 0)
UNINSTALL_POD = ("DaemonSet bottlerocket-uninstall", "spec", "template", "spec")

# A property, and what it is to notice: a place, and what is there instead. The
# directory is the default one, unless another is named.
MUTATIONS = [
    ("only_kured_is_privileged", (*UPDATER_SECURITY, "privileged"), True),
    ("only_kured_is_privileged", (*UPDATER_SECURITY, "privileged"), GONE),
    ("only_kured_is_privileged", (*INSTALL, "securityContext", "privileged"), True),
    ("only_kured_is_privileged", (*KURED_CONTAINER, "securityContext", "privileged"), False),
    ("nobody_else_can_get_privileges", (*UPDATER_SECURITY, "allowPrivilegeEscalation"), True),
    ("nobody_else_can_get_privileges", (*UPDATER_SECURITY, "capabilities"), GONE),
    ("nobody_else_can_get_privileges", (*UPDATER_SECURITY, "capabilities", "add"), ["SYS_ADMIN"]),
    (
        "nobody_else_can_get_privileges",
        (*UPDATER_SECURITY, "seccompProfile", "type"),
        "Unconfined",
    ),
    ("nobody_else_can_get_privileges", (*UPDATER_SECURITY, "procMount"), "Unmasked"),
    ("nobody_else_can_get_privileges", (*UPDATER_POD, "securityContext"), {"fsGroup": 0}),
    ("nobody_else_can_get_privileges", (*INSTALL, "securityContext", "capabilities"), GONE),
    ("nobody_else_can_get_privileges", (*INSTALL, "securityContext"), GONE),
    ("every_root_file_system_is_read_only", (*UPDATER_SECURITY, "readOnlyRootFilesystem"), False),
    (
        "every_root_file_system_is_read_only",
        (*KURED_CONTAINER, "securityContext", "readOnlyRootFilesystem"),
        GONE,
    ),
    ("the_host_is_shared_with_kured_alone", (*UPDATER_POD, "hostPID"), True),
    ("the_host_is_shared_with_kured_alone", (*UPDATER_POD, "hostNetwork"), True),
    ("the_host_is_shared_with_kured_alone", (*UPDATER_POD, "hostIPC"), True),
    ("the_host_is_shared_with_kured_alone", (*KURED_POD, "hostPID"), False),
    ("the_host_is_shared_with_kured_alone", (*KURED_POD, "hostNetwork"), True),
    ("the_host_is_shared_with_kured_alone", (*KURED_CONTAINER, "ports", 0, "hostPort"), 8080),
    ("root_is_only_who_writes_to_the_host", (*UPDATER_SECURITY, "runAsUser"), 0),
    ("root_is_only_who_writes_to_the_host", (*UPDATER_SECURITY, "runAsNonRoot"), GONE),
    ("root_is_only_who_writes_to_the_host", (*UPDATER_SECURITY, "runAsGroup"), 0),
    ("every_image_has_the_right_version", (*UPDATER_CONTAINER, "image"), f"{IMAGE}:latest"),
    ("every_image_has_the_right_version", (*INSTALL, "image"), "bottlerocket-updater"),
    (
        "every_image_has_the_right_version",
        (*KURED_CONTAINER, "image"),
        "ghcr.io/kubereboot/kured:1.22.0",
    ),
    ("every_image_has_the_right_version", (*INSTALL, "imagePullPolicy"), "Always"),
    ("everything_has_requests_and_limits", (*UPDATER_CONTAINER, "resources"), GONE),
    (
        "everything_has_requests_and_limits",
        (*UPDATER_CONTAINER, "resources", "limits", "memory"),
        "512Mi",
    ),
    (
        "everything_has_requests_and_limits",
        (*UPDATER_CONTAINER, "resources", "requests", "memory"),
        "64Mi",
    ),
    ("everything_has_requests_and_limits", (*INSTALL, "resources", "limits", "cpu"), GONE),
    ("no_taint_keeps_a_node_from_updates", (*UPDATER_POD, "tolerations"), GONE),
    ("no_taint_keeps_a_node_from_updates", (*KURED_POD, "tolerations", 0, "effect"), "NoSchedule"),
    ("no_taint_keeps_a_node_from_updates", (*KURED_POD, "nodeSelector"), {"a": "b"}),
    ("nodes_are_those_that_there_are_programs_for", (*UPDATER_POD, "affinity"), GONE),
    (
        "nodes_are_those_that_there_are_programs_for",
        (*KURED_POD, *NODES, 0, "matchExpressions", 1, "values"),
        ["amd64"],
    ),
    (
        "nodes_are_those_that_there_are_programs_for",
        (*KURED_POD, *NODES, 0, "matchExpressions", 2),
        GONE,
    ),
    (
        "nodes_are_bottlerocket_s_where_that_is_asked_for",
        (*UPDATER_POD, *NODES, 1),
        GONE,
        NODES_DIRECTORY,
    ),
    (
        "nodes_are_bottlerocket_s_where_that_is_asked_for",
        (*KURED_POD, *NODES, 0, "matchExpressions", 3),
        GONE,
        NODES_DIRECTORY,
    ),
    (
        "nodes_are_bottlerocket_s_where_that_is_asked_for",
        (*KURED_POD, *NODES, 0, "matchExpressions", 3),
        {"key": "bottlerocket-updater", "operator": "In", "values": ["enabled"]},
    ),
    (
        "rollouts_leave_most_nodes_alone",
        ("DaemonSet bottlerocket-updater", "spec", "updateStrategy"),
        {"type": "OnDelete"},
    ),
    (
        "rollouts_leave_most_nodes_alone",
        ("DaemonSet kured", "spec", "updateStrategy", "rollingUpdate", "maxUnavailable"),
        "100%",
    ),
    ("pods_are_as_critical_as_the_node", (*UPDATER_POD, "priorityClassName"), GONE),
    ("tokens_are_for_kured_alone", (*UPDATER_POD, "automountServiceAccountToken"), GONE),
    ("tokens_are_for_kured_alone", (*KURED_POD, "serviceAccountName"), GONE),
    ("objects_say_where_they_are", ("Role kured", "metadata", "namespace"), GONE),
    ("objects_say_where_they_are", ("ClusterRole kured", "metadata", "namespace"), "kube-system"),
    ("objects_say_where_they_are", ("ClusterRole kured", "metadata", "labels"), GONE),
    ("updater_is_one_container", (*UPDATER_CONTAINER, "command", 0), "/bin/sh"),
    ("updater_is_one_container", (*UPDATER_CONTAINER, "name"), "another"),
    ("updater_is_one_container", (*UPDATER_POD, "initContainers"), []),
    *(
        ("updater_sees_the_socket_and_nothing_else_of_the_host", path, value, *directory)
        for path, value, *directory in (
            ((*UPDATER_POD, "volumes", 1, "emptyDir", "medium"), "Memory"),
            ((*UPDATER_POD, "volumes", 1, "emptyDir", "sizeLimit"), GONE),
            ((*UPDATER_POD, "volumes", 1), {"name": "state", "hostPath": {"path": "/var/lib"}}),
            ((*UPDATER_POD, "volumes", 1, "hostPath", "path"), "/var/lib", ON_HOST),
            ((*UPDATER_POD, "volumes", 1), {"name": "state", "emptyDir": {}}, ON_HOST),
            ((*UPDATER_CONTAINER, "volumeMounts", 1), GONE),
        )
    ),
    *(
        ("updater_may_write_where_its_state_is", path, value, *directory)
        for path, value, *directory in (
            ((*UPDATER_CONTAINER, "args", 2), "-state-dir=/tmp"),
            ((*UPDATER_CONTAINER, "args", 2), GONE),
            ((*UPDATER_CONTAINER, "args", 2), "-state-dir=/var/lib/bottlerocket-updater", ON_HOST),
            ((*UPDATER_POD, "initContainers"), GONE, ON_HOST),
            ((*STATE_MAKER, "command", 0), "/bin/sh", ON_HOST),
            ((*STATE_MAKER, "args", 2), "0777", ON_HOST),
            ((*STATE_MAKER, "args", 3), "/var/lib/other", ON_HOST),
            ((*STATE_MAKER, "volumeMounts", 0, "mountPath"), "/mnt", ON_HOST),
            ((*STATE_MAKER, "securityContext", "runAsGroup"), 0, ON_HOST),
        )
    ),
    *(
        ("updater_is_asked_how_it_is", path, value)
        for path, value in (
            ((*UPDATER_CONTAINER, "args", 1), "-metrics-address=:9090"),
            ((*UPDATER_CONTAINER, "ports"), GONE),
            ((*UPDATER_CONTAINER, "ports", 0, "name"), "http"),
            ((*UPDATER_CONTAINER, "livenessProbe"), GONE),
            ((*UPDATER_CONTAINER, "livenessProbe", "httpGet", "path"), "/readyz"),
            ((*UPDATER_CONTAINER, "livenessProbe", "timeoutSeconds"), GONE),
            ((*UPDATER_CONTAINER, "livenessProbe", "failureThreshold"), 2),
            ((*UPDATER_CONTAINER, "readinessProbe", "httpGet", "port"), 9090),
            ((*UPDATER_CONTAINER, "readinessProbe", "failureThreshold"), 1),
        )
    ),
    *(
        ("what_is_scraped_is_the_updater", path, value, "deploy/monitoring")
        for path, value in (
            ((*MONITOR, "selector"), {}),
            ((*MONITOR, "jobLabel"), GONE),
            ((*ENDPOINT, "port"), "http"),
            ((*ENDPOINT, "relabelings"), []),
            ((*ENDPOINT, "interval"), "5s"),
        )
    ),
    *(
        ("updaters_environment_is_what_it_knows", path, value, *directory)
        for path, value, *directory in (
            ((*UPDATER_CONTAINER, "env"), [{"name": "A", "value": "b"}]),
            ((*UPDATER_CONTAINER, "envFrom"), [{"configMapRef": {"name": "a"}}]),
            ((*UPDATER_CONTAINER, "envFrom"), GONE, WINDOWS_DIRECTORY),
            (
                ("ConfigMap bottlerocket-updater", "data", "BOTTLEROCKET_UPDATER_WINDOWS"),
                "00:00-04:00",
                WINDOWS_DIRECTORY,
            ),
            (
                ("ConfigMap bottlerocket-updater", "data", "BOTTLEROCKET_UPDATER_SOCKET"),
                "/run/other.sock",
                WINDOWS_DIRECTORY,
            ),
        )
    ),
    ("updater_has_the_group_of_the_socket", (*UPDATER_SECURITY, "runAsGroup"), 65532),
    ("updater_has_the_selinux_type_for_the_socket", (*UPDATER_SECURITY, "seLinuxOptions"), GONE),
    (
        "updater_has_the_selinux_type_for_the_socket",
        (*UPDATER_SECURITY, "seLinuxOptions", "type"),
        "super_t",
    ),
    (
        "nobody_else_has_an_selinux_type_of_its_own",
        (*INSTALL, "securityContext", "seLinuxOptions"),
        {"type": "control_t"},
    ),
    (
        "updater_sees_the_socket_and_nothing_else_of_the_host",
        (*UPDATER_POD, "volumes", 0, "hostPath", "path"),
        "/run",
    ),
    (
        "updater_sees_the_socket_and_nothing_else_of_the_host",
        (*UPDATER_POD, "volumes", 0, "hostPath", "type"),
        GONE,
    ),
    (
        "updater_sees_the_socket_and_nothing_else_of_the_host",
        (*UPDATER_CONTAINER, "volumeMounts", 0, "readOnly"),
        GONE,
    ),
    (
        "updater_sees_the_socket_and_nothing_else_of_the_host",
        (*UPDATER_CONTAINER, "args", 0),
        "-socket=/var/run/api.sock",
    ),
    ("updater_knows_its_flags", (*UPDATER_CONTAINER, "args", 0), "-sock=/run/api.sock"),
    ("updater_knows_its_flags", (*UPDATER_CONTAINER, "args", 0), "/run/api.sock"),
    (
        "updater_is_a_daemon_that_ends_soon",
        (*UPDATER_POD, "terminationGracePeriodSeconds"),
        GONE,
    ),
    ("updater_is_a_daemon_that_ends_soon", (*UPDATER_CONTAINER, "args", 0), "-one-time"),
    (
        "updater_has_nothing_to_do_with_kubernetes",
        (*UPDATER_POD, "serviceAccountName"),
        "default",
    ),
    ("updater_has_nothing_to_do_with_kubernetes", (*UPDATER_POD, "enableServiceLinks"), GONE),
    (
        "updater_has_nothing_to_do_with_kubernetes",
        ("ServiceAccount bottlerocket-updater", "automountServiceAccountToken"),
        GONE,
    ),
    (
        "updater_has_nothing_to_do_with_kubernetes",
        ("RoleBinding kured", "subjects", 0, "name"),
        "bottlerocket-updater",
    ),
    (
        "updater_has_no_network_but_for_being_asked",
        ("NetworkPolicy bottlerocket-updater", "spec", "policyTypes"),
        ["Ingress"],
    ),
    (
        "updater_has_no_network_but_for_being_asked",
        ("NetworkPolicy bottlerocket-updater", "spec", "ingress", 0, "ports"),
        GONE,
    ),
    (
        "updater_has_no_network_but_for_being_asked",
        ("NetworkPolicy bottlerocket-updater", "spec", "egress"),
        [{}],
    ),
    (
        "updaters_namespace_allows_what_it_needs",
        (
            "Namespace bottlerocket-updater",
            "metadata",
            "labels",
            "pod-security.kubernetes.io/enforce",
        ),
        "restricted",
    ),
    ("updater_needs_no_more_than_that", (*UPDATER_POD, "hostPID"), True),
    ("updater_needs_no_more_than_that", (*UPDATER_SECURITY, "seLinuxOptions"), GONE),
    ("kured_runs_our_commands", (*KURED_CONTAINER, "args", 2), "--reboot-sentinel-command=/a"),
    ("kured_runs_our_commands", (*KURED_CONTAINER, "args", 3), GONE),
    ("kured_runs_our_commands", (*KURED_CONTAINER, "args", 4), "--concurrency=2"),
    ("kured_knows_its_flags", (*KURED_CONTAINER, "args", 3), "--reboot-with=/a"),
    ("kured_knows_its_node_and_its_lock", (*KURED_CONTAINER, "env"), []),
    ("kured_knows_its_node_and_its_lock", (*KURED_CONTAINER, "args", 0), "--ds-name=other"),
    ("kured_knows_its_node_and_its_lock", (*KURED_CONTAINER, "args", 1), "--ds-namespace=other"),
    (
        "kured_knows_its_node_and_its_lock",
        ("DaemonSet kured", "spec", "selector", "matchLabels", "more"),
        "labels",
    ),
    ("kured_is_the_stock_program", (*KURED_CONTAINER, "command", 0), "/bin/sh"),
    ("kured_is_the_stock_program", (*KURED_CONTAINER, "ports", 0, "containerPort"), 9090),
    ("kured_is_the_stock_program", (*KURED_CONTAINER, "volumeMounts"), [{"name": "host-programs"}]),
    ("install_puts_the_programs_where_kured_runs_them", (*INSTALL, "args", 0), "/host/opt"),
    (
        "install_puts_the_programs_where_kured_runs_them",
        (*INSTALL, "volumeMounts", 0, "mountPath"),
        "/host/opt",
    ),
    (
        "install_puts_the_programs_where_kured_runs_them",
        (*INSTALL, "volumeMounts", 0, "mountPath"),
        "/host",
        VOLUME_DIRECTORY,
    ),
    ("install_puts_the_programs_where_kured_runs_them", (*INSTALL, "command", 0), "/bin/sh"),
    ("install_puts_the_programs_where_kured_runs_them", INSTALL, GONE),
    (
        "install_sees_no_more_of_the_host_than_it_must",
        (*KURED_POD, "volumes", 0, "hostPath", "path"),
        "/",
    ),
    (
        "install_sees_no_more_of_the_host_than_it_must",
        (*KURED_POD, "volumes", 0),
        {"name": "host-programs", "hostPath": {"path": "/opt"}},
        VOLUME_DIRECTORY,
    ),
    (
        "kured_may_do_what_it_does_and_no_more",
        ("ClusterRole kured", "rules", 0, "verbs"),
        ["*"],
    ),
    ("kured_may_do_what_it_does_and_no_more", ("ClusterRole kured", "rules", 3), GONE),
    ("kured_may_do_what_it_does_and_no_more", ("Role kured", "rules", 0, "resourceNames"), GONE),
    (
        "kured_may_do_what_it_does_and_no_more",
        ("ClusterRoleBinding kured", "roleRef", "name"),
        "cluster-admin",
    ),
    (
        "kured_may_do_what_it_does_and_no_more",
        ("ClusterRoleBinding kured", "subjects", 0, "namespace"),
        "default",
    ),
    *(
        ("volume_and_claim_are_each_others", path, value, VOLUME_DIRECTORY)
        for path, value in (
            (("PersistentVolume bottlerocket-bin", "spec", "hostPath", "path"), "/"),
            (("PersistentVolume bottlerocket-bin", "spec", "claimRef"), GONE),
            (
                ("PersistentVolume bottlerocket-bin", "spec", "persistentVolumeReclaimPolicy"),
                "Delete",
            ),
            (("PersistentVolumeClaim bottlerocket-bin", "spec", "volumeName"), GONE),
            (("PersistentVolumeClaim bottlerocket-bin", "spec", "storageClassName"), "gp3"),
            (
                ("PersistentVolumeClaim bottlerocket-bin", "spec", "accessModes"),
                ["ReadWriteOncePod"],
            ),
            (("StorageClass manual", "provisioner"), "kubernetes.io/aws-ebs"),
            (("StorageClass manual", "volumeBindingMode"), "Immediate"),
        )
    ),
    (
        "uninstall_removes_what_was_installed",
        (*UNINSTALL_POD, "initContainers", 0, "args", 2),
        "/host/opt",
        "deploy/uninstall",
    ),
    (
        "uninstall_removes_what_was_installed",
        (*UNINSTALL_POD, "initContainers", 0, "args", 3),
        "/host/var/lib",
        "deploy/uninstall",
    ),
    (
        "uninstall_removes_what_was_installed",
        (*UNINSTALL_POD, "volumes", 0, "hostPath", "path"),
        "/",
        "deploy/uninstall",
    ),
    (
        "uninstall_removes_what_was_installed",
        (*UNINSTALL_POD, "initContainers", 0, "command", 0),
        "/bin/sh",
        "deploy/uninstall",
    ),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m[0]}-{m[1][-1]}")
def test_the_tests_can_fail(mutation):
    name, (first, *path, last), value, *directory = mutation
    rendered = render(*(directory or ["deploy"]))
    place = rendered.objects[first]
    for step in path:
        place = place[step]
    if value is GONE:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    assert list(PROPERTIES[name](rendered)) != []


def test_each_property_is_among_those():
    assert {mutation[0] for mutation in MUTATIONS} == set(PROPERTIES)


@pytest.mark.parametrize("kubectl", [OLDEST_KUBECTL, NEWEST_KUBECTL])
def test_components_go_with_each_other_and_with_what_is_copied(tmp_path, kubectl):
    deploy = os.path.relpath(ROOT / "deploy", tmp_path)
    copied = (ROOT / CUSTOM / "kustomization.yaml").read_text().replace("../..", deploy)
    components = [f"{deploy}/components/bottlerocket-nodes", f"{deploy}/components/state-on-host"]
    (tmp_path / "kustomization.yaml").write_text(f"{copied}components: {components}\n")
    pods = {}
    for item in yaml.safe_load_all(text_of(tmp_path, kubectl)):
        if item["kind"] == "DaemonSet":
            pods[item["metadata"]["name"]] = item["spec"]["template"]["spec"]
    for pod in pods.values():
        assert len(node_terms(pod)) == 2
        for container in pod["containers"] + pod["initContainers"]:
            assert container["image"].startswith("registry.example.com/")
    given = flags(pods["bottlerocket-updater"]["containers"][0])
    assert ("state-dir", "/var/lib/bottlerocket-updater/state") in given
    assert ("interval", "1h") in given


def test_the_image_is_named_in_one_place():
    """And in the two files that cannot refer to it, which have to agree."""
    named = {}
    for path in ROOT.glob("deploy/**/*.yaml"):
        # Values, not what comments say.
        text = re.sub(r"^\s*#.*$", "", path.read_text(), flags=re.MULTILINE)
        if IMAGE in text or MIRROR in text:
            named[str(path.relative_to(ROOT))] = text.count(IMAGE)
    assert named == {
        "deploy/components/image/kustomization.yaml": 1,
        "deploy/helm/kured-values.yaml": 1,
        f"{CUSTOM}/kustomization.yaml": 1,
    }


def test_commands_are_programs_with_these_names():
    for program in ("updater", "install", "checker", "reboot"):
        assert {"help", "version"} <= flags_of(program)
    for directory in DIRECTORIES:
        for name, _, container in render(directory).containers():
            program = re.fullmatch(r"/usr/local/bin/bottlerocket-(\w+)", container["command"][0])
            if program:
                assert (ROOT / f"bins/{program[1]}.rs").exists(), name


# The values that Kured's chart 6.1 knows: it says nothing about any other.
CHART_VALUES = {
    "affinity",
    "configuration",
    "containerSecurityContext",
    "image",
    "initContainers",
    "maxUnavailable",
    "nodeSelector",
    "podAnnotations",
    "podLabels",
    "priorityClassName",
    "resources",
    "tolerations",
    "updateStrategy",
    "volumes",
}
# Of `configuration`, with the flag that each becomes.
CHART_CONFIGURATION = {
    "concurrency": "concurrency",
    "metricsPort": "metrics-port",
    "period": "period",
    "rebootCommand": "reboot-command",
    "rebootSentinelCommand": "reboot-sentinel-command",
}


def test_the_chart_makes_the_same_pod_of_our_values():
    values = helm_values()
    assert set(values) <= CHART_VALUES
    item = render("deploy").get("DaemonSet kured")
    pod = item["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert values["initContainers"] == pod["initContainers"]
    for name in ("volumes", "tolerations", "affinity", "priorityClassName"):
        assert values[name] == pod[name], name
    assert values["containerSecurityContext"] == container["securityContext"]
    assert values["resources"] == container["resources"]
    assert f"{values['image']['repository']}:{values['image']['tag']}" == container["image"]
    assert item["spec"]["updateStrategy"] == {
        "type": values["updateStrategy"],
        "rollingUpdate": {"maxUnavailable": values["maxUnavailable"]},
    }
    # These the chart makes by itself, of the release's name and namespace.
    ours = {flag: value for flag, value in flags(container) if not flag.startswith("ds-")}
    configuration = dict(values["configuration"])
    assert configuration.pop("useRebootSentinelHostPath") is False
    assert {CHART_CONFIGURATION[k]: str(v) for k, v in configuration.items()} == ours


def test_the_chart_is_given_lists_where_it_wants_lists():
    values = helm_values()
    for name in ("initContainers", "volumes", "tolerations"):
        assert isinstance(values[name], list), name


def test_the_readme_says_which_versions():
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"Kubernetes {OLDEST_KUBERNETES} to {NEWEST_KUBERNETES}" in text
    assert f"kubectl {OLDEST_KUBECTL.removeprefix('kubectl-')} or newer" in text
    # Where it says how to apply a release.
    assert set(re.findall(r"\?ref=v([0-9.]+)", text)) == {VERSION}


@pytest.mark.parametrize("path", ["README.md", "deploy/images/kured.Dockerfile"])
def test_whoever_names_an_image_names_that_version(path):
    text = (ROOT / path).read_text()
    assert set(re.findall(f"{IMAGE}:v([0-9.]+)", text)) == {VERSION}
    assert set(re.findall(f"{KURED_IMAGE}:([0-9.]+)", text)) == {KURED_VERSION}


def test_the_readme_has_every_directory_that_can_be_applied():
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"^\| `(deploy[a-z/-]*)` \|", text, re.MULTILINE)) == set(DIRECTORIES)
