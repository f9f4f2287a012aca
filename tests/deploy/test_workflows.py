"""What zizmor does not ask of the workflows."""

import re

import pytest
import yaml
from rendering import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").iterdir())

# Which job may do more than read, and what.
WRITES = {
    ("release.yml", "publish"): {"contents": "write", "packages": "write"},
}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_may_read_unless_it_is_their_job_to_write(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        wanted = WRITES.get((path.name, name), {"contents": "read"})
        assert job["permissions"] == wanted, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_whatever_is_fetched_is_named_by_its_content(path):
    text = path.read_text()
    for action in re.findall(r"uses: *(.*)", text):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    for image in re.findall(r"image: *(.*)", text):
        assert re.fullmatch(r"[\w./:-]+@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_may_write_runs_nothing_from_the_repository(path):
    for name, job in yaml.safe_load(path.read_text())["jobs"].items():
        if (path.name, name) in WRITES:
            actions = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
            assert "actions/checkout" not in actions
            assert "container" not in job


def test_both_build_with_the_same_compiler():
    images = {
        job["container"]["image"]
        for path in WORKFLOWS
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        if "container" in job
    }
    assert len(images) == 1
