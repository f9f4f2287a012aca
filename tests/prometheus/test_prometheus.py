"""Lets a real Prometheus scrape a running updater, also between its cycles, and
evaluate the rules of deploy/monitoring. promtool checks the metrics pages. All
servers listen on 127.0.0.1, and every wait has a timeout."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "release"
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
IMAGE = '{version="1.26.1",variant="aws-k8s-1.30",arch="x86_64"}'

# In seconds. No step takes this long, even on a machine under load.
TIMEOUT = 60
# In seconds. Longer than the updater waits for a request on an open connection.
SCRAPE_INTERVAL = 6


def wait_for(name, condition):
    """Waits until the condition is true. Returns its value."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"no {name} within {TIMEOUT} s"
        time.sleep(0.05)


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


class Node:
    """A simulated node on which version 1.26.1 fails to boot, and its updater."""

    def __init__(self, directory):
        self.directory = directory
        self.socket = directory / "api.sock"
        self.boot_id = directory / "boot_id"
        self.log = directory / "log"
        (directory / "state").mkdir()
        times = [f"--{name}-time=10ms" for name in ("refresh", "prepare", "activate", "reboot")]
        self.simulator = subprocess.Popen(
            [RELEASE / "bottlerocket-simulator", "--socket", self.socket]
            + ["--boot-id", self.boot_id, "--no-boot", "1.26.1", *times],
            stdout=subprocess.DEVNULL,
        )
        wait_for("socket", self.socket.exists)
        self.updater = None
        self.port = 0

    def start_updater(self):
        """Starts the updater. It runs one cycle at once, and the next in an hour."""
        with open(self.log, "w") as log:
            self.updater = subprocess.Popen(
                [RELEASE / "bottlerocket-updater", "-socket", self.socket]
                + ["-interval=1h", "-jitter=0s", f"-metrics-address=127.0.0.1:{self.port}"]
                + ["-state-dir", self.directory / "state", "-boot-id", self.boot_id],
                stderr=log,
            )
        serving = wait_for("server", lambda: re.search(r"port=(\d+)", self.log.read_text()))
        self.port = int(serving[1])

    def wait_for_event(self, name):
        wait_for(name, lambda: f" event={name} " in self.log.read_text())

    def page(self):
        return fetch(f"http://127.0.0.1:{self.port}/metrics")

    def reboot(self):
        """Reboots the node and restarts its updater."""
        program = RELEASE / "bottlerocket-reboot"
        subprocess.run([program, "-if-ready", "-socket", self.socket], check=True, timeout=TIMEOUT)
        self.stop_updater()
        self.start_updater()

    def stop_updater(self):
        self.updater.terminate()
        assert self.updater.wait(TIMEOUT) == 0

    def stop(self):
        for process in (self.updater, self.simulator):
            if process:
                process.kill()
                process.wait()


class Prometheus:
    """A Prometheus server with the rules of deploy/monitoring."""

    def __init__(self, directory, target):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        rules = yaml.safe_load((ROOT / "deploy/monitoring/prometheusrule.yaml").read_text())
        (directory / "rules.yaml").write_text(yaml.safe_dump(rules["spec"]))
        scrape = {
            "job_name": "bottlerocket-updater",
            "static_configs": [{"targets": [target], "labels": {"node": "node-1"}}],
        }
        configuration = {
            "global": {"scrape_interval": f"{SCRAPE_INTERVAL}s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [scrape],
        }
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        with open(directory / "prometheus.log", "w") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={directory / 'prometheus.yaml'}"]
                + [f"--storage.tsdb.path={directory / 'data'}"]
                + [f"--web.listen-address={self.address}"],
                stderr=log,
            )

    def get(self, path, **parameters):
        """Returns the data of a request to the server's API, or None before it listens."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return json.loads(fetch(url))["data"]
        except OSError:
            assert self.process.poll() is None, "Prometheus has exited"
            return None

    def value(self, query):
        """Returns the value of a query with one sample, or None without a sample."""
        data = self.get("query", query=query)
        if not data or not data["result"]:
            return None
        (sample,) = data["result"]
        return float(sample["value"][1])

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    node.stop()


def lint(page):
    """Returns the exit status and the output of promtool for a metrics page."""
    command = ["promtool", "check", "metrics"]
    options = {"capture_output": True, "text": True, "timeout": TIMEOUT}
    run = subprocess.run(command, check=False, input=page, **options)
    return run.returncode, run.stdout + run.stderr


def test_promtool_reports_a_bad_name_and_a_missing_help_text():
    code, output = lint("# TYPE some_milliseconds counter\nsome_milliseconds 1\n")
    assert code == 3 and "no help text" in output and "_total" in output


def test_promtool_accepts_the_metrics_pages(node):
    node.start_updater()
    assert lint(node.page()) == (0, "")
    node.wait_for_event("ready")
    assert lint(node.page()) == (0, "")
    node.reboot()
    node.wait_for_event("held_back")
    page = node.page()
    assert f"bottlerocket_update_held_back_failed_boots{IMAGE} 1\n" in page
    assert lint(page) == (0, "")


def test_prometheus_scrapes_the_updater_and_evaluates_the_rules(node, tmp_path):
    node.start_updater()
    node.wait_for_event("ready")
    prometheus = Prometheus(tmp_path, f"127.0.0.1:{node.port}")
    try:
        scrape_and_query(node, prometheus)
    finally:
        prometheus.stop()


def scrape_and_query(node, prometheus):
    def target():
        targets = prometheus.get("targets") or {"activeTargets": []}
        up = [target for target in targets["activeTargets"] if target["health"] == "up"]
        return up and up[0]

    assert wait_for("target that is up", target)["lastError"] == ""
    wait_for("sample", lambda: prometheus.value("bottlerocket_updater_build_info"))
    labels = prometheus.get("query", query="bottlerocket_updater_build_info")["result"][0]
    assert labels["metric"]["version"] == VERSION
    for query, value in {
        'bottlerocket_update_state{state="Ready"}': 1,
        "sum(bottlerocket_update_state)": 1,
        "count(bottlerocket_update_state)": 5,
        'bottlerocket_update_commands_total{command="prepare",outcome="success"}': 1,
        "sum(bottlerocket_update_commands_total)": 3,
        'bottlerocket_updater_events_total{event="ready"}': 1,
        f"bottlerocket_update_chosen_info{IMAGE}": 1,
        "bottlerocket_update_held_back_versions": 0,
        "bottlerocket_update_window_open": 1,
        "bottlerocket_api_reachable": 1,
        'bottlerocket_updater_last_error_info{class="none"}': 1,
    }.items():
        assert prometheus.value(query) == value, query
    age = prometheus.value("bottlerocket_api_last_answer_age_seconds")
    assert 0 <= age < TIMEOUT

    # The updater responds to every scrape between its cycles, with current values.
    scrapes = "count_over_time(up[5m])"
    wait_for("third scrape", lambda: (prometheus.value(scrapes) or 0) >= 3)
    assert prometheus.value("min_over_time(up[5m])") == 1
    later = prometheus.value("bottlerocket_api_last_answer_age_seconds")
    assert later >= age + SCRAPE_INTERVAL

    def alerts():
        return {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}

    # Prometheus can evaluate all rules, and only the expected one is pending.
    rules = wait_for("rules", lambda: prometheus.get("rules"))["groups"][0]["rules"]
    assert len(rules) > 3
    unhealthy = {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] == "err"}
    assert unhealthy == {}
    ready = {"BottlerocketRebootPending", "BottlerocketRolloutStalled"}
    wait_for("pending alerts about the reboot", lambda: alerts() == ready)

    node.reboot()
    node.wait_for_event("rolled_back")
    held = f"bottlerocket_update_held_back_failed_boots{IMAGE}"
    wait_for("held-back version", lambda: prometheus.value(held) == 1)
    assert prometheus.value('bottlerocket_update_state{state="Available"}') == 1
    assert prometheus.value('bottlerocket_updater_events_total{event="rolled_back"}') == 1

    # The rules about a Ready node also look at the time before the reboot.
    expected = {"BottlerocketUpdateRolledBack", *ready}
    wait_for("pending alert about the rollback", lambda: alerts() == expected)
