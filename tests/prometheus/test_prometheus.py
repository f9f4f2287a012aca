"""Lets a real Prometheus scrape a running updater, also between its cycles, and
evaluate the rules of deploy/monitoring. promtool checks the metrics pages."""

import re
import subprocess

import pytest
import yaml
from fleet import ROOT, TIMEOUT, Node, Prometheus, updater_job, wait_for

VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
IMAGE = '{version="1.26.1",variant="aws-k8s-1.30",arch="x86_64"}'

# In seconds. Longer than the updater waits for a request on an open connection.
SCRAPE_INTERVAL = 6


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path, simulator=["--no-boot", "1.26.1"])
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
    rules = yaml.safe_load((ROOT / "deploy/monitoring/prometheusrule.yaml").read_text())["spec"]
    prometheus = Prometheus(tmp_path, [updater_job([node])], SCRAPE_INTERVAL, rules)
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
    place = {key: labels["metric"][key] for key in ("job", "namespace", "node", "instance")}
    assert place == {
        "job": "bottlerocket-updater",
        "namespace": "bottlerocket-updater",
        "node": node.name,
        "instance": node.name,
    }
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
