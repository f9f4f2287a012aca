"""Loads the stock rules of kube-prometheus beside ours, while a fleet updates itself."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from fleet import ROOT
from roll import END, NODES, roll

FILES = [
    ROOT / "deploy/monitoring/prometheusrule.yaml",
    *(ROOT / "tests/kube-prometheus").glob("*.yaml"),
]

# For each case: the series, how many minutes they last, how many alerts of which name
# fire at some time, and how many are pending at the end. The watchdog always fires.
CASES = {
    # The rules look back for up to an hour.
    "a healthy fleet": (roll(END + 65), END + 65, {"Watchdog": 1}, {}),
    "the third node does not come back": (
        roll(70, lost=2),
        70,
        {
            "Watchdog": 1,
            "KubeNodeUnreachable": 1,
            "KubeletInstanceUnreachable": 1,
            "KubeDaemonSetRolloutStuck": 2,
            "KubePodNotReady": 2,
            "BottlerocketUpdaterDown": 1,
        },
        {"BottlerocketRebootPending": 30, "BottlerocketVersionLag": 2},
    ),
}


def rules():
    """Returns the groups of all rules."""
    assert len(FILES) == 3
    items = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in FILES]
    return [group for item in items for group in item["spec"]["groups"]]


def expectation(query, minute, alerts):
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": n} for alert, n in alerts.items()]
    return {"expr": query, "eval_time": f"{minute}m", "exp_samples": samples}


def run_promtool(directory, series, length, firing, pending):
    """Returns promtool's exit status and its output."""
    directory.mkdir()
    # promtool stores the alerts as series, as Prometheus does.
    ever = 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1d]))'
    now = 'count by (alertname) (ALERTS{alertstate="pending"})'
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [
            expectation(ever, length - 1, firing),
            expectation(now, length - 1, pending),
        ],
    }
    # JSON is YAML, and is written faster.
    (directory / "rules.yaml").write_text(json.dumps({"groups": rules()}))
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (directory / "tests.yaml").write_text(json.dumps(document))
    run = subprocess.run(
        ["promtool", "test", "rules", str(directory / "tests.yaml")],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return run.returncode, run.stdout + run.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs promtool for all cases at the same time."""
    directory = tmp_path_factory.mktemp("promtool")
    with ThreadPoolExecutor() as pool:
        return {
            name: pool.submit(run_promtool, directory / name.replace(" ", "-"), *case)
            for name, case in CASES.items()
        }


@pytest.mark.parametrize("name", CASES)
def test_expected_alerts_fire(runs, name):
    status, output = runs[name].result()
    assert status == 0, output


def test_fleet_has_thirty_nodes():
    assert NODES == 30
