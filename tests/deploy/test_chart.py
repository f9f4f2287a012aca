"""Checks our Helm chart: with its defaults it makes the same objects as deploy/, and with
the values.yaml of an overlay the same objects as that overlay."""

import copy
import functools
import json
import os
import subprocess

import kubernetes_validate
import pytest
import yaml
from rendering import (
    DIRECTORIES,
    MONITORING,
    ROOT,
    VERSION,
    kustomize,
    objects_in,
    render,
)
from test_kustomizations import FOREIGN_KINDS, each_kubernetes

CHART = ROOT / "deploy/helm/bottlerocket-updater"
DIGEST = "sha256:" + "0123456789abcdef" * 4


OLDEST_HELM = "helm-1.21"
NEWEST_HELM = "helm-1.37"


def run_helm(*arguments, values="{}", program=NEWEST_HELM):
    """Runs helm with values, which are in YAML. Returns its exit status, its output, and
    its errors without the messages about symbolic links."""
    run = subprocess.run(
        [f"{os.environ['KUBECTL_DIRECTORY']}/{program}", *arguments],
        check=False,
        input=values,
        capture_output=True,
        text=True,
        timeout=60,
    )
    errors = [line for line in run.stderr.splitlines() if "found symbolic link" not in line]
    return run.returncode, run.stdout, "\n".join(errors)


@functools.cache
def helm_template(values="{}", chart=CHART, program=NEWEST_HELM):
    """Returns the objects that the chart makes of values."""
    status, output, errors = run_helm(
        "template",
        "release",
        str(chart),
        "--values=-",
        # Without a cluster, an old helm takes an old Kubernetes for granted.
        "--kube-version=1.37",
        values=values,
        program=program,
    )
    assert (status, errors) == (0, "")
    return objects_in(output)


# Each directory that the chart can replace, with the values for it.
OVERLAYS = {
    "deploy": "{}",
    "deploy/updater": "kured: {enabled: false}",
    **{
        directory: (ROOT / directory / "values.yaml").read_text()
        for directory in DIRECTORIES
        if (ROOT / directory / "values.yaml").exists()
    },
}


def test_every_overlay_has_values():
    overlays = {f"deploy/overlays/{path.name}" for path in ROOT.glob("deploy/overlays/*")}
    assert overlays == set(OVERLAYS) - {"deploy", "deploy/updater"}


@pytest.mark.parametrize("program", [OLDEST_HELM, NEWEST_HELM])
@pytest.mark.parametrize("directory", OVERLAYS)
def test_chart_makes_the_same_objects_as_the_manifests(directory, program):
    chart = helm_template(OVERLAYS[directory], program=program)
    manifests = objects_in(kustomize(directory))
    assert set(chart) == set(manifests)
    for name in chart:
        assert chart[name] == manifests[name]


def test_chart_makes_the_same_objects_for_monitoring():
    chart = helm_template(yaml.safe_dump({"monitoring": MONITORING_VALUES}))
    expected = {**render("deploy").objects, **render(MONITORING).objects}
    assert set(chart) == set(expected)
    for name in chart:
        assert chart[name] == expected[name]


MONITORING_VALUES = {"podMonitor": True, "rules": True, "dashboard": True}

# Another valid value for each value of the chart, by its path. For a text or a number, the
# value itself occurs in the objects. Whatever else a case needs is in NEEDED.
OTHER_VALUES = {
    "image.registry": "registry.example.com",
    "image.repository": "mirror/updater",
    "image.tag": "v9.9.9",
    "image.digest": DIGEST,
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "pull-secret"}],
    "labels": {"team": "platform"},
    "annotations": {"example.com/owner": "platform"},
    "bottlerocketNodesOnly": True,
    "nodeMatchExpressions": [{"key": "pool", "operator": "In", "values": ["blue"]}],
    "activateAtReboot": True,
    "priorityClassName": "system-cluster-critical",
    "tolerations": [],
    "updater.interval": "1h7m",
    "updater.jitter": "8m",
    "updater.giveUp": "9m",
    "updater.window": "Mon-Thu 22:00-04:00; Sat,Sun 00:00-24:00",
    "updater.timeZone": "Pacific/Chatham",
    "updater.soak": "25h",
    "updater.stateOnHost": False,
    "updater.extraArgs": ["-stage-only"],
    "updater.resources": {"requests": {"cpu": "7m"}},
    "updater.podLabels": {"color": "blue"},
    "updater.podAnnotations": {"example.com/color": "blue"},
    "kured.enabled": False,
    "kured.name": "kured-bottlerocket",
    "kured.lock.daemonSet": "kured-elsewhere",
    "kured.lock.namespace": "kured",
    "kured.image.registry": "registry.example.com",
    "kured.image.repository": "mirror/kured",
    "kured.image.tag": "1.23.9",
    "kured.image.digest": DIGEST,
    "kured.image.pullPolicy": "Always",
    "kured.period": "7m",
    "kured.concurrency": 17,
    "kured.timeZone": "Europe/Prague",
    "kured.rebootDays": ["tue", "wed"],
    "kured.startTime": "02:17",
    "kured.endTime": "05:17",
    "kured.drainTimeout": "31m",
    "kured.lockTtl": "3h",
    "kured.notifyUrl": "slack://token@channel",
    "kured.notifyUrlSecret": {"name": "kured-notify", "key": "url"},
    "kured.extraArgs": ["--prefer-no-schedule-taint=reboot"],
    "kured.rebootCommandExtraArgs": "-timeout 2m",
    "kured.gateExtraArgs": ["-max-wait=24h"],
    "kured.persistentVolume": True,
    "kured.resources": {"requests": {"cpu": "11m"}},
    "kured.podLabels": {"color": "blue"},
    "kured.podAnnotations": {"example.com/color": "blue"},
    "monitoring.labels": {"release": "prometheus"},
    "monitoring.podMonitor": True,
    "monitoring.rules": True,
    "monitoring.dashboard": True,
    "simulator.enabled": True,
    "simulator.config": "offer 1.99.0",
    "simulator.image.registry": "registry.example.com",
    "simulator.image.repository": "mirror/simulator",
    "simulator.image.tag": "v9.9.9",
    "simulator.image.digest": DIGEST,
    "simulator.image.pullPolicy": "Always",
}
NEEDED = {
    "simulator.config": ("simulator.enabled", True),
    "monitoring.labels": ("monitoring.rules", True),
    "simulator.image": ("simulator.enabled", True),
}


def set_value(values, path, value):
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value


def values_with(path):
    """Returns the values that a case needs, without and with the one of the path."""
    before = {}
    for prefix, needed in NEEDED.items():
        if path.startswith(prefix):
            set_value(before, *needed)
    after = copy.deepcopy(before)
    set_value(after, path, OTHER_VALUES[path])
    return yaml.safe_dump(before), yaml.safe_dump(after)


def leaves(values, path=""):
    """Yields the path of each value that a user sets as a whole."""
    for key, value in values.items():
        whole = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and whole not in OTHER_VALUES:
            yield from leaves(value, whole)
        else:
            yield whole


def test_every_value_has_a_case():
    assert set(leaves(yaml.safe_load((CHART / "values.yaml").read_text()))) == set(OTHER_VALUES)


def texts(value):
    """Yields each text and number in a value of a case."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from [key, *texts(item)]
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif not isinstance(value, bool):
        yield str(value)


@pytest.mark.parametrize("path", OTHER_VALUES)
def test_every_value_changes_the_objects(path):
    before, after = (helm_template(values) for values in values_with(path))
    assert before != after
    found = json.dumps(after)
    for text in texts(OTHER_VALUES[path]):
        assert text in found


@pytest.mark.parametrize("path", OTHER_VALUES)
@each_kubernetes
def test_objects_match_the_schemas_of_kubernetes(path, kubernetes):
    for item in helm_template(values_with(path)[1]).values():
        if item["kind"] not in FOREIGN_KINDS:
            assert kubernetes_validate.validate(item, kubernetes, strict=True) == kubernetes


def test_labels_and_annotations_are_on_every_object_and_pod():
    values = {
        "labels": {"team": "platform"},
        "annotations": {"owner": "platform"},
        "simulator": {"enabled": True},
        "kured": {"persistentVolume": True},
        "monitoring": MONITORING_VALUES,
    }
    for name, item in helm_template(yaml.safe_dump(values)).items():
        places = [item["metadata"]]
        if item["kind"] == "DaemonSet":
            places.append(item["spec"]["template"]["metadata"])
        for metadata in places:
            assert metadata["labels"]["team"] == "platform", name
            assert metadata["annotations"]["owner"] == "platform", name


def test_labels_do_not_change_the_selectors():
    with_labels = helm_template("labels: {team: platform}")
    for name in ("bottlerocket-updater", "kured"):
        selector = render("deploy").get(f"DaemonSet {name}")["spec"]["selector"]
        assert with_labels[f"DaemonSet {name}"]["spec"]["selector"] == selector


@pytest.mark.parametrize(
    "invalid",
    [
        "updaters: {}",
        "updater: {intervals: 1h}",
        "updater: {interval: 10}",
        "updater: {interval: 10 minutes}",
        "updater: {interval: 7d}",
        "updater: {stateOnHost: 'no'}",
        "updater: {extraArgs: -stage-only}",
        "image: {tag: 'v1:2'}",
        "image: {digest: 0123}",
        "image: {pullPolicy: Sometimes}",
        "imagePullSecrets: [pull-secret]",
        "labels: {team: 1}",
        "kured: {enabled: 1}",
        "kured: {concurrency: 0}",
        "kured: {concurrency: '1'}",
        "kured: {period: ''}",
        "kured: {startTime: 2pm}",
        "kured: {endTime: '25:00'}",
        "kured: {rebootDays: mon}",
        "kured: {rebootDays: [monday, friyay]}",
        "kured: {lockTtl: 2 hours}",
        "kured: {notifyUrlSecret: {name: kured-notify}}",
        "monitoring: {rules: 'true'}",
        "simulator: {enabled: yes please}",
    ],
)
def test_invalid_values_are_refused(invalid):
    status, output, errors = run_helm("template", "x", str(CHART), "--values=-", values=invalid)
    assert (status, output) == (1, "")
    assert "values don't meet the specifications of the schema" in errors


def test_lint_finds_nothing():
    status, output, _ = run_helm("lint", "--strict", str(CHART))
    assert status == 0, output
    assert "[WARNING]" not in output


def test_chart_has_the_version_of_the_programs():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_chart_refuses_a_kubernetes_that_is_too_old():
    status, _, errors = run_helm("template", "x", str(CHART), "--kube-version=1.24")
    assert status == 1
    assert "requires kubeVersion: >=1.25" in errors


def test_packaged_chart_makes_the_same_objects(tmp_path):
    """The package contains the files behind the links."""
    status, _, errors = run_helm("package", str(CHART), f"--destination={tmp_path}")
    assert (status, errors) == (0, "")
    values = yaml.safe_dump(
        {
            "simulator": {"enabled": True},
            "kured": {"persistentVolume": True},
            "monitoring": MONITORING_VALUES,
        }
    )
    package = tmp_path / f"bottlerocket-updater-{VERSION}.tgz"
    assert helm_template(values, package) == helm_template(values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("{}", "one at a time, at any hour"),
        ("kured: {concurrency: 3}", "3 at a time"),
        ("kured: {startTime: '02:00'}", "within the hours and days of Kured"),
        ("kured: {enabled: false}", "another tool must reboot them"),
        ("kured: {name: kured-bottlerocket}", "daemonset/kured-bottlerocket\n"),
        ("updater: {interval: 1h}", "at a random time within ten minutes"),
        ("simulator: {enabled: true}", "edit configmap bottlerocket-simulator"),
    ],
)
def test_notes_say_what_happens_next(values, expected):
    status, output, errors = run_helm(
        "install", "--dry-run=client", "x", str(CHART), "--values=-", values=values
    )
    assert (status, errors) == (0, "")
    notes = output.partition("\nNOTES:\n")[2]
    assert expected in notes
    assert "kubectl rollout status" in notes
    assert ("Kured was not installed" in notes) == ("enabled: false" in values)
    assert ("and Kured warns" in notes) == ("enabled" not in values)
    # With the simulator, the value would select none of its nodes.
    assert ("set\nbottlerocketNodesOnly to true" in notes) == ("simulator" not in values)
