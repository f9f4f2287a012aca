"""Checks the versions and the paths of deploy/ that the README and docs/ mention."""

import re

from every_pod import IMAGE, KURED_IMAGE, KURED_VERSION
from pages import all_pages, pages
from rendering import DIRECTORIES, OLDEST_KUBECTL, ROOT, VERSION
from test_kustomizations import NEWEST_KUBERNETES, OLDEST_KUBERNETES


def test_pages_name_the_supported_versions():
    text = re.sub(r"\s+", " ", all_pages())
    assert f"Kubernetes {OLDEST_KUBERNETES} to {NEWEST_KUBERNETES}" in text
    assert f"kubectl {OLDEST_KUBECTL.removeprefix('kubectl-')} or newer" in text


def test_pages_apply_the_current_release():
    assert set(re.findall(r"\?ref=v([0-9.]+)", all_pages())) == {VERSION}


def test_every_mentioned_image_has_the_current_version():
    kured_dockerfile = "deploy/images/kured.Dockerfile"
    texts = {"pages": all_pages(), kured_dockerfile: (ROOT / kured_dockerfile).read_text()}
    for path, text in texts.items():
        assert set(re.findall(f"{IMAGE}:v([0-9.]+)", text)) == {VERSION}, path
        assert set(re.findall(f"{KURED_IMAGE}:([0-9.]+)", text)) == {KURED_VERSION}, path


def test_one_page_lists_every_directory_that_can_be_applied():
    tables = {
        path: set(re.findall(r"^\| `(deploy[a-z/-]*)` \|", text, re.MULTILINE))
        for path, text in pages().items()
    }
    assert [table for table in tables.values() if table] == [set(DIRECTORIES)]


def test_every_mentioned_path_below_deploy_exists():
    for path, text in pages().items():
        for mentioned in re.findall(r"`(deploy/[\w./-]+)`", text):
            assert (ROOT / mentioned).exists(), f"{path}: {mentioned}"
