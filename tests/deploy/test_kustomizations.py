"""Checks that every kustomization renders to valid objects, and to the right ones."""

import copy
import os
import re
import subprocess

import kubernetes_validate
import pytest
import yaml
from every_pod import IMAGE, MIRROR
from properties import flags_in, node_terms
from rendering import (
    CUSTOM,
    DIRECTORIES,
    KURED_OBJECTS,
    MONITORING,
    NEWEST_KUBECTL,
    OLDEST_KUBECTL,
    ROOT,
    SHARED_KURED,
    flags_of,
    kustomize,
    objects_in,
    render,
    run_kubectl,
)

OLDEST_KUBERNETES = "1.25"
NEWEST_KUBERNETES = "1.37"
# The Prometheus operator defines these kinds, so Kubernetes has no schema for them.
FOREIGN_KINDS = {"PodMonitor", "PrometheusRule"}

each_directory = pytest.mark.parametrize("directory", DIRECTORIES)
each_kubernetes = pytest.mark.parametrize("kubernetes", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])


def test_directories_lists_every_kustomization():
    found = set()
    for path in ROOT.glob("deploy/**/kustomization.yaml"):
        if yaml.safe_load(path.read_text())["kind"] == "Kustomization":
            found.add(str(path.parent.relative_to(ROOT)))
    assert found == set(DIRECTORIES)


@each_directory
def test_directory_has_exactly_these_objects(directory):
    assert set(render(directory).objects) == DIRECTORIES[directory]


@each_directory
def test_label_of_an_upgrade_selects_all_objects_of_kured(directory):
    """docs/install.md applies Kured first, by this label."""
    selected = {
        name
        for name, item in render(directory).objects.items()
        if item["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "kured"
    }
    assert selected - {"PodMonitor kured"} == DIRECTORIES[directory] & KURED_OBJECTS


@each_directory
def test_old_and_new_kubectl_render_the_same(directory):
    assert kustomize(directory, OLDEST_KUBECTL) == kustomize(directory, NEWEST_KUBECTL)


@each_directory
@each_kubernetes
def test_objects_match_the_schemas_of_kubernetes(directory, kubernetes):
    for item in render(directory).objects.values():
        if item["kind"] not in FOREIGN_KINDS:
            validated = kubernetes_validate.validate(item, kubernetes, strict=True)
            # Without a schema for this version, it silently uses that of an older one.
            assert validated == kubernetes


@each_kubernetes
@pytest.mark.parametrize(
    "invalid", [{"privileged ": False}, {"privileged": "no"}, {"runAsUser": "0"}]
)
def test_invalid_objects_are_detected(kubernetes, invalid):
    item = copy.deepcopy(render("deploy").get("DaemonSet kured"))
    item["spec"]["template"]["spec"]["initContainers"][0]["securityContext"].update(invalid)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(item, kubernetes, strict=True)


@pytest.mark.parametrize("kubectl", [OLDEST_KUBECTL, NEWEST_KUBECTL])
def test_components_combine_with_each_other_and_with_a_copied_overlay(tmp_path, kubectl):
    deploy = os.path.relpath(ROOT / "deploy", tmp_path)
    copied = (ROOT / CUSTOM / "kustomization.yaml").read_text().replace("../..", deploy)
    components = [f"{deploy}/components/{name}" for name in ("bottlerocket-nodes", "state-in-pod")]
    (tmp_path / "kustomization.yaml").write_text(f"{copied}components: {components}\n")
    pods = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]
        for item in objects_in(run_kubectl(tmp_path, kubectl)).values()
        if item["kind"] == "DaemonSet"
    }
    assert set(pods) == {"bottlerocket-updater", "kured"}
    for pod in pods.values():
        assert len(node_terms(pod)) == 2
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["image"].startswith("registry.example.com/")
    updater = pods["bottlerocket-updater"]
    assert "initContainers" not in updater
    assert "emptyDir" in updater["volumes"][1]
    assert ("interval", "1h") in flags_in(updater["containers"][0])


def test_image_is_named_in_one_place():
    """Kured's Helm values and the overlay to copy cannot refer to that place, so they
    name the image as well. The values of our chart are compared with it in
    test_chart.py."""
    counts = {}
    for path in ROOT.glob("deploy/**/*.yaml"):
        # Files of the chart that are links to manifests.
        if path.is_symlink():
            continue
        without_comments = re.sub(r"^\s*#.*$", "", path.read_text(), flags=re.MULTILINE)
        if IMAGE in without_comments or MIRROR in without_comments:
            counts[str(path.relative_to(ROOT))] = without_comments.count(IMAGE)
    assert counts == {
        "deploy/components/image/kustomization.yaml": 1,
        "deploy/helm/kured-values.yaml": 1,
        f"{CUSTOM}/kustomization.yaml": 1,
    }


def test_commands_are_programs_of_this_project():
    for program in ("updater", "install", "checker", "reboot", "gate"):
        assert {"help", "version"} <= flags_of(program)
    for directory in DIRECTORIES:
        for name, _, container in render(directory).containers():
            program = re.fullmatch(r"/usr/local/bin/bottlerocket-(\w+)", container["command"][0])
            if program and program[1] != "simulator":
                assert (ROOT / f"bins/{program[1]}.rs").exists(), name


def test_shared_kured_has_its_own_objects_and_the_lock_of_the_other():
    objects = objects_in(kustomize(SHARED_KURED))
    names = {name.split()[1] for name in objects if "kured" in name}
    assert names == {"kured-bottlerocket"}
    item = objects["DaemonSet kured-bottlerocket"]
    # Kured's own manifests select the pods by this label.
    assert item["spec"]["selector"] == {"matchLabels": {"name": "kured-bottlerocket"}}
    (container,) = item["spec"]["template"]["spec"]["containers"]
    assert {("ds-name", "kured"), ("ds-namespace", "kube-system")} <= set(flags_in(container))
    role = objects["Role kured-bottlerocket"]
    assert role["metadata"]["namespace"] == "kube-system"
    assert [rule["resourceNames"] for rule in role["rules"]] == [["kured"]]
    for pod in (each["spec"] for each in objects.values() if each["kind"] == "DaemonSet"):
        assert len(node_terms(pod["template"]["spec"])) == 2


def test_scrape_config_has_the_jobs_and_labels_of_the_pod_monitors(tmp_path):
    jobs = yaml.safe_load((ROOT / MONITORING / "scrape-config.yaml").read_text())["scrape_configs"]
    # Debian's Prometheus does not know Kubernetes.
    without_discovery = [{**job, "static_configs": []} for job in jobs]
    for job in without_discovery:
        del job["kubernetes_sd_configs"]
    path = tmp_path / "prometheus.yaml"
    path.write_text(yaml.safe_dump({"scrape_configs": without_discovery}))
    subprocess.run(["promtool", "check", "config", path], check=True, timeout=60)
    monitors = [
        item for item in render(MONITORING).objects.values() if item["kind"] == "PodMonitor"
    ]
    assert {job["job_name"] for job in jobs} == {item["metadata"]["name"] for item in monitors}
    for job in jobs:
        (monitor,) = [item for item in monitors if item["metadata"]["name"] == job["job_name"]]
        assert job["kubernetes_sd_configs"] == [
            {"role": "pod", "namespaces": {"names": [monitor["metadata"]["namespace"]]}}
        ]
        labels = {each.get("target_label") for each in job["relabel_configs"]}
        assert labels == {None, "namespace", "node", "instance"}
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert job["scrape_interval"] == endpoint["interval"]
