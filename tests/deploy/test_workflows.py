"""Checks of the workflows that zizmor does not make."""

import re

import pytest
import yaml
from rendering import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").iterdir())

# The jobs that may write, with their permissions.
WRITES = {
    ("release.yml", "publish"): {
        "contents": "write",
        "packages": "write",
        "id-token": "write",
        "attestations": "write",
    },
}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_only_listed_jobs_may_write(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        expected = WRITES.get((path.name, name), {"contents": "read"})
        assert job["permissions"] == expected, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_and_images_are_pinned_by_digest(path):
    text = path.read_text()
    for action in re.findall(r"uses: *(.*)", text):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    for image in re.findall(r"image: *(.*)", text):
        assert re.fullmatch(r"[\w./:-]+@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_that_may_write_run_no_code_of_the_repository(path):
    for name, job in yaml.safe_load(path.read_text())["jobs"].items():
        if (path.name, name) in WRITES:
            actions = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
            assert "actions/checkout" not in actions
            assert "container" not in job


def test_workflows_build_in_the_same_image():
    images = {
        job["container"]["image"]
        for path in WORKFLOWS
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        if "container" in job
    }
    assert len(images) == 1


def checks():
    """The entries of the matrix of each job that runs sections of .ci/run."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    return [entry for job in jobs.values() for entry in job["strategy"]["matrix"]["include"]]


def test_ci_runs_every_section():
    script = (ROOT / ".ci/run").read_text()
    sections = re.search(r"^sections=\((.*?)\)", script, re.MULTILINE | re.DOTALL)[1].split()
    listed = [entry.get("sections", entry.get("section")).split() for entry in checks()]
    assert {name for names in listed for name in names} == set(sections)


def test_cluster_workflow_runs_all_scenarios():
    workflow = (ROOT / ".github/workflows/cluster.yml").read_text()
    assert "scripts/test/test-cluster " in workflow
    assert "--only" not in workflow
    # Scenarios without what they need are skipped.
    usage = (ROOT / "scripts/test/test-cluster").read_text().partition("\n\n")[2]
    options = set(re.findall(r"\[(--[\w-]+) ", usage.partition("\n\n")[0])) - {"--only"}
    assert len(options) == 5
    assert all(f"{option} " in workflow for option in options)


def test_cluster_workflow_runs_in_the_oldest_and_the_newest_kubernetes():
    [supported] = re.findall(
        r"^You need Kubernetes (\S+) to (\S+) ", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    workflow = yaml.safe_load((ROOT / ".github/workflows/cluster.yml").read_text())
    entries = workflow["jobs"]["scenarios"]["strategy"]["matrix"]["include"]
    assert tuple(entry["kubernetes"] for entry in entries) == supported
    for entry in entries:
        version = re.escape(entry["kubernetes"])
        assert re.fullmatch(rf"kindest/node:v{version}\.\d+@sha256:[0-9a-f]{{64}}", entry["node"])


def test_kured_of_its_own_chart_skips_the_control_plane_of_kind():
    # The control plane has no simulated node, so a pod there would never be ready.
    control_plane, *workers = yaml.safe_load((ROOT / "tests/cluster/kind.yaml").read_text())[
        "nodes"
    ]
    assert control_plane["role"] == "control-plane"
    assert {node["role"] for node in workers} == {"worker"}
    values = yaml.safe_load((ROOT / "deploy/helm/kured-values.yaml").read_text())
    required = values["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = required["nodeSelectorTerms"]
    labels = control_plane.get("labels", {})
    assert any(
        rule["operator"] == "NotIn" and labels.get(rule["key"]) in rule["values"]
        for rule in term["matchExpressions"]
    )


def test_ci_tests_with_the_oldest_supported_rust():
    oldest = re.search(r'^rust-version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    [toolchain] = {entry["toolchain"] for entry in checks() if "oldest" in entry["name"]}
    assert toolchain == oldest[1]
