"""Checks the rules of deploy/monitoring: which alerts fire in which situation, and
the fields and the runbook section of each alert."""

import os
import re

from alert_cases import CASES, SLOW_CASES
from pages import all_pages
from promtool import Evaluation, evaluate_all
from rendering import MONITORING, ROOT, VERSION, render

RULES = render(MONITORING).get("PrometheusRule bottlerocket-updater")["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
PAGE = f"https://github.com/bottlerocket-updater/bottlerocket-updater/blob/v{VERSION}/docs/operating.md"


def evaluations(cases, interval):
    """Distributes the cases over as many runs of promtool as there are processors."""
    runs = os.cpu_count()
    return [
        Evaluation(part, list(ALERTS.items()), interval)
        for part in (cases[first::runs] for first in range(runs))
        if part
    ]


def test_alerts_fire_exactly_when_they_should(tmp_path):
    wrong, output = evaluate_all(
        tmp_path / "promtool", evaluations(CASES, "1m") + evaluations(SLOW_CASES, "30m")
    )
    assert wrong == set(), output


def test_every_alert_fires_in_some_case():
    assert {alert for case in CASES + SLOW_CASES for alert in case.alerts} == set(ALERTS)


def test_no_alert_begins_anew_with_a_new_pod():
    """Each alert has a case in which it holds although samples are missing and the
    updater's pod is replaced. BottlerocketUpdaterMissing is about the pod itself."""
    cases = [case for case in CASES + SLOW_CASES if "pod is replaced" in case.name]
    held = {alert for case in cases for alert in case.alerts}
    assert set(ALERTS) - held == {"BottlerocketUpdaterMissing"}


# For each part of each rule: the alert, the key, the right text, a wrong text that
# replaces it, and a case in which the wrong rule gives another result.
BROKEN = [
    (
        "UpdateStuck",
        "expr",
        "Available|Staged",
        "Available",
        "the state alternates between Available and Staged",
    ),
    (
        "UpdateStuck",
        "expr",
        "Available|Staged",
        "Staged",
        "an update is available for 122 minutes",
    ),
    (
        "UpdateStuck",
        "expr",
        "and last_over_time(bottlerocket_update_window_open[30m]) == 1",
        "",
        "an update is available while no window is open",
    ),
    (
        "UpdateStuck",
        "expr",
        "unless last_over_time(bottlerocket_update_held",
        "or last_over_time(bottlerocket_update_held",
        "a version failed to boot",
    ),
    (
        "UpdateStuck",
        "expr",
        "[30m]",
        "[1m]",
        "an update is available for 122 minutes, and the pod is replaced",
    ),
    (
        "UpdateStuck",
        "expr",
        "waits_for_reboot == 1",
        "waits_for_reboot == 2",
        "an update was available for 119 minutes, then the node was Ready",
    ),
    (
        "UpdateStuck",
        "expr",
        'event="staged"',
        'event="ready"',
        "an update is staged by an updater with -stage-only",
    ),
    ("UpdateStuck", "expr", "max without (state)", "", "an update is available for 122 minutes"),
    ("UpdateStuck", "for", "2h", "100m", "an update is available for 118 minutes"),
    ("UpdateStuck", "for", "2h", "3h", "an update is available for 122 minutes"),
    ("UpdateFailing", "expr", "failed|refused", "failed", "one refresh per hour is refused"),
    ("UpdateFailing", "expr", "failed|refused", "refused", "every refresh fails"),
    ("UpdateFailing", "expr", ">= 3", ">= 2", "two prepares fail"),
    ("UpdateFailing", "expr", ">= 3", ">= 40", "every refresh fails"),
    ("UpdateFailing", "expr", "success", "overdue", "some refreshes fail"),
    ("UpdateFailing", "expr", "[6h]", "[1h]", "one refresh per hour is refused"),
    (
        "RefreshMissing",
        "expr",
        'command="refresh", ',
        "",
        "no refresh starts for four hours while prepares succeed",
    ),
    ("RefreshMissing", "expr", "success", "failed", "every refresh fails"),
    ("RefreshMissing", "expr", "[2h]", "[1h]", "no refresh starts for less than four hours"),
    ("RefreshMissing", "expr", "Ready", "Staged", "a Ready node makes no refresh"),
    (
        "RefreshMissing",
        "expr",
        "api_reachable",
        "update_window_open",
        "the API is unreachable for hours",
    ),
    ("RefreshMissing", "for", "2h", "100m", "no refresh starts for less than four hours"),
    (
        "RefreshMissing",
        "for",
        "2h",
        "3h",
        "no refresh starts for four hours while prepares succeed",
    ),
    ("CommandStuck", "expr", "command_overdue|", "", "command_overdue twice"),
    ("CommandStuck", "expr", "command_vanished|", "", "command_vanished twice"),
    ("CommandStuck", "expr", "command_without_effect|", "", "command_without_effect twice"),
    ("CommandStuck", "expr", "|lock_stuck", "", "lock_stuck twice"),
    ("CommandStuck", "expr", ">= 2", ">= 1", "command_overdue once"),
    ("CommandStuck", "expr", "[3h]", "[10h]", "command_overdue twice, more than three hours ago"),
    (
        "UpdateRolledBack",
        "expr",
        "and last_over_time(bottlerocket_update_chosen_info[20m])",
        "",
        "a held-back version is no longer chosen",
    ),
    ("UpdateRolledBack", "expr", "and", "unless", "a version failed to boot two minutes ago"),
    (
        "UpdateRolledBack",
        "expr",
        "[20m]",
        "[1m]",
        "a version failed to boot, and the pod is replaced",
    ),
    (
        "UpdateRolledBack",
        "expr",
        "[20m]",
        "[30m]",
        "a version failed to boot, and another one is chosen since 25 minutes",
    ),
    ("UpdateRolledBack", "for", "1m", "1h", "a version failed to boot two minutes ago"),
    ("SoakNeverEnds", "expr", ">= 2", ">= 3", "two versions were replaced while they soaked"),
    ("SoakNeverEnds", "expr", ">= 2", ">= 1", "one version was replaced while it soaked"),
    (
        "SoakNeverEnds",
        "expr",
        "[30m]",
        "[1m]",
        "two versions were replaced while they soaked, and the pod is replaced",
    ),
    (
        "UpdateFailing",
        "expr",
        "[2h]",
        "[5m]",
        "a prepare has failed three times and is repeated after hours, and the pod is replaced",
    ),
    (
        "RefreshMissing",
        "expr",
        "[2h]",
        "[5m]",
        "no refresh starts for four hours while prepares succeed, and the pod is replaced",
    ),
    (
        "CommandStuck",
        "expr",
        "[3h]",
        "[10m]",
        "command_overdue twice, and the pod is replaced",
    ),
    (
        "UpdateStuck",
        "expr",
        "last_over_time(bottlerocket_update_soak_remaining_seconds[30m])",
        "vector(0)",
        "an available version soaks for hours",
    ),
    (
        "NodeHeldByGate",
        "expr",
        "[20m]",
        "[1m]",
        "the gate holds a node after two attempts, and the node boots or its pod is replaced",
    ),
    (
        "NodeHeldByGate",
        "expr",
        "[20m]",
        "[1h]",
        "the gate held a node after two attempts, 25 minutes ago",
    ),
    (
        "NodeHeldByGate",
        "expr",
        "offset 30m",
        "",
        "the gate holds a node for 25 minutes after one attempt",
    ),
    (
        "NodeHeldByGate",
        "expr",
        "offset 30m",
        "offset 2h",
        "the gate holds a node for 35 minutes after one attempt, and its pod is replaced",
    ),
    (
        "NodeHeldByGate",
        "expr",
        ">= 2",
        ">= 1",
        "the gate holds a node for 15 minutes after one attempt, and the next one succeeds",
    ),
    ("NodeHeldByGate", "for", "1m", "1h", "the gate holds a node after two attempts"),
    (
        "APIUnreachable",
        "expr",
        "max_over_time",
        "min_over_time",
        "the API is unreachable for 7 minutes at a time",
    ),
    ("APIUnreachable", "expr", "== 0", "== 1", "the API is unreachable for 22 minutes"),
    ("APIUnreachable", "expr", "[10m]", "[1m]", "the API is unreachable for 16 minutes"),
    ("APIUnreachable", "for", "10m", "1m", "the API is unreachable for 16 minutes"),
    ("APIUnreachable", "for", "10m", "1h", "the API is unreachable for 22 minutes"),
    ("StateUnknown", "expr", "Unknown", "Idle", "the state is unknown for 92 minutes"),
    (
        "StateUnknown",
        "expr",
        "[30m]",
        "[1m]",
        "the state is unknown for 92 minutes, and the pod is replaced",
    ),
    ("StateUnknown", "expr", "== 0", "== 2", "the state is unknown and the API is unreachable"),
    ("StateUnknown", "for", "90m", "60m", "the state is unknown for 88 minutes"),
    ("UpdaterDown", "expr", "== 0", "== 2", "an updater is down for 16 minutes"),
    (
        "UpdaterDown",
        "expr",
        "[10m]",
        "[1m]",
        "an updater is down for 18 minutes, and its pod is replaced",
    ),
    ("UpdaterDown", "for", "15m", "5m", "an updater is down for 12 minutes"),
    (
        "UpdaterDown",
        "expr",
        "bottlerocket-updater",
        "bottlerocket",
        "an updater is down for 16 minutes",
    ),
    ("UpdaterMissing", "expr", "absent(up", "(up", "there is no updater for 32 minutes"),
    ("UpdaterMissing", "expr", "== 1", "== 2", "a pod is pending for 32 minutes"),
    ("UpdaterMissing", "expr", "> 0", "> 1", "a pod has not been created for 32 minutes"),
    (
        "UpdaterMissing",
        "expr",
        'namespace="bottlerocket-updater", phase',
        "phase",
        "a pod is pending for 32 minutes",
    ),
    (
        "UpdaterMissing",
        "expr",
        '{namespace="bottlerocket-updater"}',
        "",
        "a pod has not been created for 32 minutes",
    ),
    (
        "UpdaterMissing",
        "expr",
        'phase="Pending"',
        'phase="Running"',
        "a pod is pending for 32 minutes",
    ),
    ("UpdaterMissing", "for", "30m", "5m", "there is no updater for 28 minutes"),
    ("UpdaterStateUnavailable", "expr", "> 0", ">= 0", "all is well"),
    (
        "UpdaterStateUnavailable",
        "expr",
        "state_lost",
        "state_damaged",
        "the state directory cannot be written",
    ),
    (
        "UpdaterStateUnavailable",
        "expr",
        "[30m]",
        "[1m]",
        "the state directory cannot be written, and the pod is replaced",
    ),
    (
        "UpdaterStateUnavailable",
        "expr",
        "[30m]",
        "[1h]",
        "the state directory could not be written until a restart 40 minutes ago",
    ),
    ("RebootPending", "expr", "== 1", "== 0", "a node is Ready for more than a week"),
    (
        "RebootPending",
        "expr",
        "[1h]",
        "[10m]",
        "a node is Ready for more than a week, and its pod is replaced",
    ),
    ("RebootPending", "for", "7d", "6d", "a node is Ready for less than a week"),
    ("RebootPending", "for", "7d", "8d", "a node is Ready for more than a week"),
    ("RolloutStalled", "for", "2h", "100m", "a node is Ready for 118 minutes"),
    ("RolloutStalled", "for", "2h", "3h", "a node is Ready for 122 minutes"),
    (
        "RolloutStalled",
        "expr",
        "[30m]",
        "[1m]",
        "a node is Ready for 122 minutes, and its pod is replaced",
    ),
    (
        "RolloutStalled",
        "expr",
        "window_open[30m])) == 1",
        "window_open[30m])) >= 0",
        "a node is Ready while no window is open",
    ),
    (
        "RolloutStalled",
        "expr",
        "> 0",
        "> 1",
        "a node is Ready for hours, and another one rebooted 170 minutes ago",
    ),
    (
        "RolloutStalled",
        "expr",
        "[1h]",
        "[4h]",
        "a node is Ready for hours, and another one rebooted 190 minutes ago",
    ),
    (
        "RebootFailing",
        "expr",
        "waits_for_reboot[30m])) == 1",
        "waits_for_reboot[30m])) == 0",
        "Kured restarts every ten minutes on a Ready node",
    ),
    (
        "RebootFailing",
        "expr",
        "[30m]",
        "[1m]",
        "Kured restarts every ten minutes on a Ready node, and the updater's pod is replaced",
    ),
    (
        "RebootFailing",
        "expr",
        "== 1",
        ">= 0",
        "Kured restarts every ten minutes on an idle node",
    ),
    ("RebootFailing", "expr", "> 2.5", "> 1", "Kured has restarted twice on a Ready node"),
    (
        "CheckerDisagrees",
        "expr",
        "required[10m])) == 0",
        "required[10m])) >= 0",
        "a node is Ready, and the checker says yes",
    ),
    (
        "CheckerDisagrees",
        "expr",
        "[30m]",
        "[1m]",
        "a node is Ready, the checker says no, and the updater's pod is replaced",
    ),
    (
        "CheckerDisagrees",
        "for",
        "30m",
        "20m",
        "a node is Ready, and the checker has said no for 25 minutes",
    ),
    (
        "CheckerDisagrees",
        "expr",
        "== 1",
        ">= 0",
        "a node is idle, and the checker says no",
    ),
    (
        "VersionLag",
        "expr",
        "topk by (variant, arch)",
        "topk",
        "one of three nodes has another variant",
    ),
    (
        "VersionLag",
        "expr",
        "topk",
        "bottomk",
        "one of three nodes runs another version for more than two weeks",
    ),
    (
        "VersionLag",
        "expr",
        "[1h]",
        "[10m]",
        "one of three nodes runs another version for more than two weeks, and its pod is replaced",
    ),
    (
        "VersionLag",
        "for",
        "14d",
        "13d",
        "one of three nodes runs another version for less than two weeks",
    ),
    (
        "UpdateNotChosen",
        "expr",
        "[1h]",
        "[10m]",
        "offered versions are not chosen for more than two weeks, and the pod is replaced",
    ),
    (
        "UpdateNotChosen",
        "for",
        "14d",
        "13d",
        "offered versions are not chosen for less than two weeks",
    ),
]


def test_cases_detect_every_broken_rule(tmp_path):
    """One run of promtool for each case, with the broken rules that it must detect."""
    rules = {}
    for number, (name, key, right, wrong, case) in enumerate(BROKEN):
        alert = f"Bottlerocket{name}"
        assert right in ALERTS[alert][key], (name, right)
        broken = {"alert": f"Broken{number}", key: ALERTS[alert][key].replace(right, wrong)}
        rules.setdefault(case, []).append((alert, {**ALERTS[alert], **broken}))
    intervals = [(case, "1m") for case in CASES] + [(case, "30m") for case in SLOW_CASES]
    evaluations = [
        Evaluation([case], rules.pop(case.name), interval)
        for case, interval in intervals
        if case.name in rules
    ]
    assert rules == {}, "unknown cases"
    wrong, _ = evaluate_all(tmp_path / "promtool", evaluations)
    detected = {rule for _, rule in wrong}
    assert [BROKEN[n] for n in range(len(BROKEN)) if f"Broken{n}" not in detected] == []


def test_every_alert_has_a_broken_rule():
    assert {f"Bottlerocket{broken[0]}" for broken in BROKEN} == set(ALERTS)


def test_rules_use_documented_metrics_events_and_outcomes():
    """The pages list all of them, which another test checks."""
    known = set(re.findall(r"`(\w+)`", all_pages()))
    for alert, rule in ALERTS.items():
        names = set(re.findall(r"\bbottlerocket_\w+", rule["expr"]))
        for values in re.findall(r'(?:event|outcome|state)=~?"([^"]*)"', rule["expr"]):
            names |= set(values.split("|"))
        assert names <= known, alert


def test_every_alert_has_the_expected_fields():
    for alert, rule in ALERTS.items():
        assert alert.startswith("Bottlerocket")
        assert rule["labels"] == {"severity": rule["labels"]["severity"]}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["for"]


def test_every_alert_has_a_runbook_section():
    headings = re.findall(
        r"^#+ (Bottlerocket\w+)$", (ROOT / "docs/operating.md").read_text(), re.MULTILINE
    )
    assert headings == list(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"{PAGE}#{alert.lower()}"
