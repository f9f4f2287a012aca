"""Runs each query of the dashboard in a real Prometheus, with the series of simulated
nodes in all situations. Kured's metrics and those of kube-state-metrics are canned."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from fleet import ROOT, CannedPages, Node, Prometheus, updater_job, wait_for

PANELS = {
    panel["title"]: panel
    for panel in json.loads((ROOT / "deploy/monitoring/dashboard.json").read_text())["panels"]
}
WAITS = PANELS["What each node waits for"]
# In seconds.
SCRAPE_INTERVAL = 1

NO_BOOT = ["--no-boot", "1.26.1"]
OFTEN = ["-interval=10s", "-test-interval=1s"]
# A window that is closed today and tomorrow.
LATER = (datetime.now(UTC) + timedelta(days=3)).strftime("%a 12:00-13:00")

# For each node: the options of the simulator, those of the updater, and what the
# dashboard says that it waits for.
FLEET = {
    "idle": (["--offer", "1.26.0"], [], "nothing"),
    "unknown": (["--refresh-time=1h"], [], "the first refresh"),
    "locked": (["--version-lock", "1.26.0"], [], "its wave, or a version lock"),
    "preparing": (["--prepare-time=1h"], [], "prepare and activate"),
    "failing": (["--fail", "prepare=1:no space left"], OFTEN, "the retry of a failed command"),
    "staged": ([], ["-stage-only", *OFTEN], "its activation by an operator"),
    "window": ([], ["-time-zone", "Asia/Tokyo", "-window", LATER], "a window"),
    "soaking": ([], ["-soak=72h"], "the end of its soak"),
    "held-back": (NO_BOOT, [], "another version: held back"),
    "ready": ([], [], "the reboot by Kured"),
    "held": (NO_BOOT, [], "an operator: held by the gate"),
    "unreachable": ([], OFTEN, "an answer of the API"),
    "down": ([], [], "the updater: it is down, or the node reboots"),
}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fleet")
    started = []
    try:
        nodes = {}
        for name, (simulator, updater, _) in FLEET.items():
            nodes[name] = Node(directory, name, simulator, updater)
            started.append(nodes[name])
            nodes[name].start_updater()
        for name in ("held", "held-back", "ready", "unreachable", "down"):
            nodes[name].wait_for_event("ready")
        nodes["held"].reboot_with_record()
        nodes["held-back"].reboot()
        nodes["unreachable"].stop_simulator()
        nodes["down"].stop_updater()

        canned = CannedPages()
        started.append(canned)
        for name in FLEET:
            required = int(name == "ready")
            canned.pages[f"/kured/{name}"] = f'kured_reboot_required{{node="{name}"}} {required}\n'
        canned.pages["/kube-state-metrics"] = "".join(
            f'kube_node_spec_unschedulable{{node="{name}"}} {int(name == "held")}\n'
            for name in FLEET
        )
        jobs = [updater_job(nodes.values()), *canned.jobs(FLEET)]
        started.append(Prometheus(directory, jobs, SCRAPE_INTERVAL))
        yield started[-1]
    finally:
        for thing in reversed(started):
            thing.stop()


def texts(panel, values):
    """Replaces values by the texts that the panel shows for them."""
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    return {node: mapping["options"][str(int(value))]["text"] for node, value in values.items()}


def instant(prometheus, query):
    """Returns the values of a query that has one series for each node."""
    return {
        labels["node"]: value for labels, value in prometheus.samples(query.replace("$node", ".+"))
    }


def test_dashboard_says_what_each_node_waits_for(prometheus):
    (target,) = WAITS["targets"]
    expected = {name: waits for name, (_, _, waits) in FLEET.items()}

    def as_expected():
        return texts(WAITS, instant(prometheus, target["expr"])) == expected

    try:
        wait_for("values", as_expected)
    except AssertionError:
        assert texts(WAITS, instant(prometheus, target["expr"])) == expected
        raise


@pytest.mark.parametrize(
    ("title", "target"),
    [(title, target) for title, panel in PANELS.items() for target in panel["targets"]],
    ids=lambda value: value if isinstance(value, str) else value["refId"],
)
def test_query_has_samples(prometheus, title, target):
    query = target["expr"].replace("$node", ".+")

    def samples():
        if target.get("instant"):
            data = prometheus.get("query", query=query)
        else:
            now = time.time()
            data = prometheus.get("query_range", query=query, start=now - 60, end=now, step=2)
        return data and data["result"]

    for series in wait_for("samples", samples):
        # The legend names each series.
        for label in re.findall(r"{{(\w+)}}", target.get("legendFormat", "")):
            assert label in series["metric"], (title, label)


@pytest.mark.parametrize(
    ("title", "value"),
    [
        # The pages of the node that is down are missing: its updater does not answer.
        ("Nodes", 12),
        ("Idle", 2),
        ("Held by the gate", 1),
        ("Version held back", 2),
    ],
)
def test_number_is_right(prometheus, title, value):
    (target,) = PANELS[title]["targets"]
    query = target["expr"].replace("$node", ".+")
    wait_for(f"{value} in {title!r}", lambda: prometheus.value(query) == value)


def test_variable_selects_nodes(prometheus):
    for title, panel in PANELS.items():
        for target in panel["targets"]:
            query = target["expr"].replace("$node", "no-such-node")
            values = [value for _, value in prometheus.samples(query)]
            assert values in ([], [0]), (title, target["refId"])
