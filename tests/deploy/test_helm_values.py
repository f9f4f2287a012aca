"""Checks that Kured's Helm chart, with our values, makes the same pod as deploy/kured."""

from properties import flags_in
from rendering import helm_values, render

# The values that Kured's chart 6.1 knows. It silently ignores all others.
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
# The keys of `configuration`, and the flag that the chart makes of each.
CHART_CONFIGURATION = {
    "concurrency": "concurrency",
    "metricsPort": "metrics-port",
    "period": "period",
    "rebootCommand": "reboot-command",
    "rebootSentinelCommand": "reboot-sentinel-command",
}


def test_chart_makes_the_same_pod_as_the_manifests():
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
    # The chart sets --ds-name and --ds-namespace from its release.
    flags = {flag: value for flag, value in flags_in(container) if not flag.startswith("ds-")}
    configuration = dict(values["configuration"])
    assert configuration.pop("useRebootSentinelHostPath") is False
    assert {CHART_CONFIGURATION[key]: str(value) for key, value in configuration.items()} == flags


def test_values_are_lists_where_the_chart_expects_lists():
    values = helm_values()
    for name in ("initContainers", "volumes", "tolerations"):
        assert isinstance(values[name], list), name
