"""Checks the content of the images, for both architectures."""

import datetime
import gzip
import io
import json
import re
import tarfile

import pytest
from conftest import ROOT, run

ARCHITECTURES = ["amd64", "arm64"]
PROGRAMS = [
    "bottlerocket-checker",
    "bottlerocket-gate",
    "bottlerocket-install",
    "bottlerocket-reboot",
]


class Image:
    def __init__(self, archive, architecture):
        with tarfile.open(archive) as tar:
            self.files = {file.name: tar.extractfile(file).read() for file in tar if file.isfile()}
        self.index = self.blob(json.loads(self.files["index.json"])["manifests"][0])
        [descriptor] = [
            manifest
            for manifest in self.index["manifests"]
            if manifest["platform"] == {"os": "linux", "architecture": architecture}
        ]
        self.manifest = self.blob(descriptor)
        self.config = self.blob(self.manifest["config"])

    def blob(self, descriptor):
        return json.loads(self.files[f"blobs/{descriptor['digest'].replace(':', '/')}"])

    def layers(self):
        """Yields each layer: its entries by name, and the content of the files."""
        for layer in self.manifest["layers"]:
            data = gzip.decompress(self.files[f"blobs/{layer['digest'].replace(':', '/')}"])
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                yield {
                    member.name: (
                        member,
                        tar.extractfile(member).read() if member.isfile() else b"",
                    )
                    for member in tar
                }


def git(*arguments):
    return run("git", *arguments, cwd=ROOT).stdout.strip()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_index_has_both_architectures(archives, architecture):
    image = Image(archives["bottlerocket-updater"], architecture)
    assert image.index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert len(image.index["manifests"]) == 2
    assert (image.config["os"], image.config["architecture"]) == ("linux", architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_programs_are_for_the_architecture(archives, architecture):
    [layer] = Image(archives["bottlerocket-updater"], architecture).layers()
    # The field e_machine of an ELF header: EM_X86_64, EM_AARCH64.
    machine = {"amd64": 62, "arm64": 183}[architecture]
    for program in [*PROGRAMS, "bottlerocket-updater"]:
        _, head = layer[f"usr/local/bin/{program}"]
        assert head[:4] == b"\x7fELF"
        assert int.from_bytes(head[18:20], "little") == machine


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_image_runs_the_updater_without_root(archives, architecture):
    config = Image(archives["bottlerocket-updater"], architecture).config["config"]
    assert config["User"] == "65532:274"
    assert config["Entrypoint"] == ["/usr/local/bin/bottlerocket-updater"]
    assert "Cmd" not in config
    assert "Volumes" not in config
    assert "ExposedPorts" not in config


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_labels_describe_the_image(archives, architecture):
    image = Image(archives["bottlerocket-updater"], architecture)
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in image.config["config"]["Labels"].items()
    }
    package = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    assert labels.pop("description")
    assert labels.pop("source").startswith("https://")
    assert labels.pop("revision").removesuffix("-dirty") == git("rev-parse", "HEAD")
    committed = int(git("log", "-1", "--format=%ct"))
    created = datetime.datetime.fromisoformat(labels.pop("created"))
    assert created.timestamp() == committed
    assert labels == {
        "title": "bottlerocket-updater",
        "licenses": "MIT",
        "version": re.search('^version = "(.*)"$', package, re.MULTILINE)[1],
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["bottlerocket-updater", "kured"])
def test_timestamps_are_those_of_the_commit(archives, name, architecture):
    image = Image(archives[name], architecture)
    committed = int(git("log", "-1", "--format=%ct"))
    assert datetime.datetime.fromisoformat(image.config["created"]).timestamp() == committed
    *_, ours = image.layers()
    assert {member.mtime for member, _ in ours.values()} == {committed}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kured_image_is_its_base_and_our_programs(archives, architecture):
    image = Image(archives["kured"], architecture)
    base, ours = image.layers()
    assert "usr/bin/kured" in base
    files = {name for name, (member, _) in ours.items() if not member.isdir()}
    assert files == {f"usr/local/bin/{program}" for program in PROGRAMS}
    [from_updater] = Image(archives["bottlerocket-updater"], architecture).layers()
    for name in files:
        assert ours[name][1] == from_updater[name][1]
    # The image still runs Kured, with the user of the base.
    assert image.config["config"]["Entrypoint"] == ["/usr/bin/kured"]
    assert "User" not in image.config["config"]
