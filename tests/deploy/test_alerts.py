"""The rules of deploy/monitoring: which alerts fire of what is scraped. promtool
evaluates them, on series that are written down here."""

import re
import subprocess

import pytest
import yaml
from rendering import ROOT, VERSION, render

RULES = render("deploy/monitoring").get("PrometheusRule bottlerocket-updater")["spec"]
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
PAGE = f"https://github.com/bottlerocket-updater/bottlerocket-updater/blob/v{VERSION}/docs/operating.md"

# What every sample of a node's updater has.
TARGET = {"job": "bottlerocket-updater", "node": "node-1", "pod": "pod-1"}
IMAGE = {"version": "1.26.1", "variant": "aws-k8s-1.30", "arch": "x86_64"}
OTHER_IMAGE = {**IMAGE, "version": "1.26.2"}


def series(name, values, **labels):
    """A series, in the notation of promtool."""
    labels = {**TARGET, **labels}
    inside = ", ".join(f'{key}="{value}"' for key, value in labels.items() if value)
    return f"{name}{{{inside}}}", values


def always(value):
    return f"{value}+0x520"


def state(values, name, **labels):
    return series("bottlerocket_update_state", values, state=name, **labels)


def commands(values, outcome, command="prepare"):
    return series("bottlerocket_update_commands_total", values, command=command, outcome=outcome)


def event(values, name):
    return series("bottlerocket_updater_events_total", values, event=name)


def chosen(image=IMAGE):
    return series("bottlerocket_update_chosen_info", always(1), **image)


def held():
    return series("bottlerocket_update_held_back_failed_boots", always(1), **IMAGE)


REACHABLE = "bottlerocket_api_reachable"
WINDOW = "bottlerocket_update_window_open"
DESIRED = "kube_daemonset_status_desired_number_scheduled"
CURRENT = "kube_daemonset_status_current_number_scheduled"
NAMESPACE = "bottlerocket-updater"


def pending(values, namespace=NAMESPACE, phase="Pending"):
    labels = {"job": "kube-state-metrics", "node": "", "namespace": namespace, "phase": phase}
    return series("kube_pod_status_phase", values, **labels)


def scheduled(name, values, namespace=NAMESPACE):
    labels = {"job": "kube-state-metrics", "node": "", "pod": "", "namespace": namespace}
    return series(name, values, daemonset="some", **labels)


# A node with nothing to do. A case has other values for some of it, and more.
HEALTHY = [
    series("up", always(1)),
    series(REACHABLE, always(1)),
    series(WINDOW, always(1)),
    state(always(1), "Idle"),
    *(state(always(0), name) for name in ("Available", "Staged", "Ready", "Unknown")),
    commands("0+0.1x520", "success", "refresh"),
    *(commands(always(0), outcome) for outcome in ("success", "failed", "refused")),
    *(event(always(0), name) for name in ("staged", "command_overdue", "state_lost")),
    pending(always(0)),
    pending(always(1), phase="Running"),
    scheduled(DESIRED, always(3)),
    scheduled(CURRENT, always(3)),
    # Not of this updater.
    pending(always(1), namespace="another"),
    scheduled(DESIRED, always(3), namespace="another"),
    scheduled(CURRENT, always(2), namespace="another"),
]

AVAILABLE = [state(always(1), "Available"), state(always(0), "Idle")]
NEVER_MIND = "_x520"


def node(**labels):
    return {**TARGET, **labels}


# A name, what is otherwise than on a healthy node, the minutes after which to
# look, and the alerts that fire then, with their labels.
CASES = [
    ("all is well", [], 200, {}),
    ("a new update", [*AVAILABLE, chosen()], 118, {}),
    ("an update for long", [*AVAILABLE, chosen()], 122, {"BottlerocketUpdateStuck": node()}),
    (
        "an update that is prepared again and again",
        [
            state("1+0x19 0+0x19 1+0x19 0+0x520", "Available"),
            state("0+0x19 1+0x19 0+0x19 1+0x520", "Staged"),
            state(always(0), "Idle"),
            chosen(),
        ],
        150,
        {"BottlerocketUpdateStuck": node()},
    ),
    (
        "an update while no window is open",
        [*AVAILABLE, chosen(), series(WINDOW, always(0))],
        150,
        {},
    ),
    (
        "a window that opened a moment ago",
        [*AVAILABLE, chosen(), series(WINDOW, "0+0x90 1+0x430")],
        205,
        {},
    ),
    ("nothing chosen of what is available", AVAILABLE, 150, {}),
    (
        "an update that others activate",
        [
            state(always(1), "Staged"),
            state(always(0), "Idle"),
            chosen(),
            event("0+0x59 1+0x59 2+0x59 3+0x120", "staged"),
        ],
        190,
        {},
    ),
    (
        "a prepare that fails each time",
        [*AVAILABLE, chosen(), commands("0+0.1x520", "failed")],
        370,
        {
            "BottlerocketUpdateStuck": node(),
            "BottlerocketUpdateFailing": node(command="prepare"),
        },
    ),
    (
        "a refresh that fails each time",
        [
            commands("0+0.1x520", "failed", "refresh"),
            commands("10+0x520", "success", "refresh"),
        ],
        370,
        {
            "BottlerocketUpdateFailing": node(command="refresh"),
            "BottlerocketRefreshMissing": node(),
        },
    ),
    (
        "a refresh that is refused once in an hour",
        [
            commands("0+0.0167x520", "refused", "refresh"),
            commands("10+0x520", "success", "refresh"),
        ],
        370,
        {
            "BottlerocketUpdateFailing": node(command="refresh"),
            "BottlerocketRefreshMissing": node(),
        },
    ),
    (
        "refreshes that the API does not start, whatever else succeeds",
        [commands("0+0.1x99 10+0x520", "success", "refresh"), commands("0+0.1x520", "success")],
        345,
        {"BottlerocketRefreshMissing": node()},
    ),
    (
        "none for some hours",
        [commands("0+0.1x99 10+0x520", "success", "refresh")],
        330,
        {},
    ),
    (
        "a first one that was made before the first scrape, once in an hour",
        [commands("1+0x69 2+0x64 3+0x520", "success", "refresh")],
        260,
        {},
    ),
    (
        "a node that is Ready, and left alone",
        [
            state(always(1), "Ready"),
            state(always(0), "Idle"),
            commands("10+0x520", "success", "refresh"),
        ],
        400,
        {},
    ),
    (
        "an API that is away for hours",
        [series(REACHABLE, always(0)), commands("10+0x520", "success", "refresh")],
        400,
        {"BottlerocketAPIUnreachable": node()},
    ),
    (
        "a refresh that fails now and then",
        [commands("0+0.1x520", "failed", "refresh")],
        370,
        {},
    ),
    ("two failures", [commands("0 1 2+0x520", "failed")], 60, {}),
    *(
        (
            f"{name}, twice",
            [event("0+0x9 1+0x59 2+0x520", name)],
            90,
            {"BottlerocketCommandStuck": node()},
        )
        for name in (
            "command_overdue",
            "command_vanished",
            "command_without_effect",
            "lock_stuck",
        )
    ),
    ("a command overdue once", [event("0+0x9 1+0x520", "command_overdue")], 90, {}),
    ("two of them, long ago", [event("0+0x9 2+0x520", "command_overdue")], 230, {}),
    (
        "a version that does not boot",
        [*AVAILABLE, chosen(), held()],
        150,
        {"BottlerocketUpdateRolledBack": node(**IMAGE)},
    ),
    (
        "the same, seen at once",
        [*AVAILABLE, chosen(), held()],
        2,
        {"BottlerocketUpdateRolledBack": node(**IMAGE)},
    ),
    ("one that is not offered any more", [held()], 90, {}),
    (
        "another version than that",
        [*AVAILABLE, chosen(image=OTHER_IMAGE), held()],
        40,
        {},
    ),
    (
        "another version than that, for long",
        [*AVAILABLE, chosen(image=OTHER_IMAGE), held()],
        130,
        {"BottlerocketUpdateStuck": node()},
    ),
    (
        "an API that is away",
        [series(REACHABLE, "1+0x9 0+0x520")],
        32,
        {"BottlerocketAPIUnreachable": node()},
    ),
    ("an API that is away for some minutes", [series(REACHABLE, "1+0x9 0+0x520")], 26, {}),
    (
        "an API that is away now and then",
        [series(REACHABLE, " ".join(["0+0x6 1+0x0"] * 20))],
        120,
        {},
    ),
    (
        "an API that is away, of an updater that gives up each time",
        [series(REACHABLE, "1+0x9 " + " ".join(["0+0x3 _x5"] * 20))],
        90,
        {"BottlerocketAPIUnreachable": node()},
    ),
    (
        "a state that is not known",
        [state(always(1), "Unknown"), state(always(0), "Idle")],
        92,
        {"BottlerocketStateUnknown": node()},
    ),
    (
        "a state that is not known yet",
        [state(always(1), "Unknown"), state(always(0), "Idle")],
        88,
        {},
    ),
    (
        "a state that cannot be asked for",
        [state(always(1), "Unknown"), state(always(0), "Idle"), series(REACHABLE, always(0))],
        120,
        {"BottlerocketAPIUnreachable": node()},
    ),
    (
        "an updater that is down",
        [series("up", "1+0x9 0+0x520")],
        26,
        {"BottlerocketUpdaterDown": node()},
    ),
    ("a node that reboots", [series("up", "1+0x9 0+0x520")], 22, {}),
    (
        "no updater",
        [series("up", NEVER_MIND)],
        32,
        {"BottlerocketUpdaterMissing": {"job": "bottlerocket-updater"}},
    ),
    ("no updater yet", [series("up", NEVER_MIND)], 28, {}),
    (
        "a pod that does not start",
        [pending(always(1))],
        32,
        {
            "BottlerocketUpdaterMissing": {
                "job": "kube-state-metrics",
                "namespace": NAMESPACE,
                "pod": "pod-1",
                "phase": "Pending",
            }
        },
    ),
    ("a pod that has just been made", [pending("0+0x9 1+0x520")], 35, {}),
    (
        "a pod that is not made",
        [scheduled(CURRENT, always(2))],
        32,
        {
            "BottlerocketUpdaterMissing": {
                "job": "kube-state-metrics",
                "namespace": NAMESPACE,
                "daemonset": "some",
            }
        },
    ),
    (
        "a directory that cannot be written",
        [event(always(1), "state_lost")],
        10,
        {"BottlerocketUpdaterStateUnavailable": node()},
    ),
]
READY = [state(always(1), "Ready"), state(always(0), "Idle")]
WEEK = 7 * 24 * 60
# The same, with a sample in half an hour.
SLOW_CASES = [
    ("a week that all is well", [], WEEK + 60, {}),
    ("a node that is to be rebooted", READY, WEEK - 60, {}),
    (
        "a node that nobody reboots",
        READY,
        WEEK + 60,
        {"BottlerocketRebootPending": {"job": "bottlerocket-updater", "node": "node-1"}},
    ),
    (
        "a node that nobody reboots, with a new pod",
        [
            state("1+0x99 _x520", "Ready"),
            state("_x99 1+0x520", "Ready", pod="pod-2", instance="other"),
            state(always(0), "Idle"),
        ],
        WEEK + 60,
        {"BottlerocketRebootPending": {"job": "bottlerocket-updater", "node": "node-1"}},
    ),
]


def filled(text, labels):
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda match: labels[match[1]], text)


def expected(rule, fires):
    """What promtool is to find of an alert, if it fires with these labels."""
    if fires is None:
        return []
    labels = {**rule["labels"], **fires}
    texts = {key: filled(text, labels) for key, text in rule["annotations"].items()}
    return [{"exp_labels": labels, "exp_annotations": texts}]


def evaluate(rules, directory, cases, interval):
    """Has promtool look at the cases, with rules that may have other names than
    the alerts that they are to be: the pairs of case and rule that are wrong."""
    tests = []
    for name, given, minutes, fires in cases:
        tests.append(
            {
                "name": name,
                "interval": interval,
                "input_series": [
                    {"series": one, "values": values}
                    for one, values in {**dict(HEALTHY), **dict(given)}.items()
                ],
                "alert_rule_test": [
                    {
                        "eval_time": f"{minutes}m",
                        "alertname": rule["alert"],
                        "exp_alerts": expected(rule, fires.get(alert)),
                    }
                    for alert, rule in rules
                ],
            }
        )
    groups = [{"name": "rules", "rules": [rule for _, rule in rules]}]
    (directory / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": interval, "tests": tests}
    file = directory / "tests.yaml"
    file.write_text(yaml.safe_dump(test))
    run = subprocess.run(
        ["promtool", "test", "rules", str(file)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = run.stdout + run.stderr
    wrong, case = set(), None
    for line in said.splitlines():
        if match := re.fullmatch(r" *name: (.*),", line):
            case = match[1]
        elif match := re.match(r" *alertname: (\w+), time: ", line):
            wrong.add((case, match[1]))
    # It has not stopped for another reason.
    assert (run.returncode, bool(wrong)) in ((0, False), (1, True)), said
    return wrong, said


@pytest.mark.parametrize(
    ("cases", "interval"), [(CASES, "1m"), (SLOW_CASES, "30m")], ids=["in hours", "in days"]
)
def test_each_fires_when_it_should_and_not_else(cases, interval, tmp_path):
    wrong, said = evaluate(ALERTS.items(), tmp_path, cases, interval)
    assert wrong == set(), said


def test_each_alert_fires_once_at_least():
    assert {alert for case in CASES + SLOW_CASES for alert in case[3]} == set(ALERTS)


# Each part of each rule, and what is there instead.
BROKEN = [
    ("UpdateStuck", "expr", "Available|Staged", "Available"),
    ("UpdateStuck", "expr", "Available|Staged", "Staged"),
    ("UpdateStuck", "expr", "and bottlerocket_update_window_open == 1", ""),
    ("UpdateStuck", "expr", "chosen_info unless", "chosen_info or"),
    ("UpdateStuck", "expr", 'event="staged"', 'event="ready"'),
    ("UpdateStuck", "expr", "max without (state)", ""),
    ("UpdateStuck", "for", "2h", "100m"),
    ("UpdateStuck", "for", "2h", "3h"),
    ("UpdateFailing", "expr", "failed|refused", "failed"),
    ("UpdateFailing", "expr", "failed|refused", "refused"),
    ("UpdateFailing", "expr", ">= 3", ">= 2"),
    ("UpdateFailing", "expr", ">= 3", ">= 40"),
    ("UpdateFailing", "expr", "success", "overdue"),
    ("UpdateFailing", "expr", "[6h]", "[1h]"),
    ("RefreshMissing", "expr", 'command="refresh", ', ""),
    ("RefreshMissing", "expr", "success", "failed"),
    ("RefreshMissing", "expr", "[2h]", "[1h]"),
    ("RefreshMissing", "expr", "Ready", "Staged"),
    ("RefreshMissing", "expr", "api_reachable", "update_window_open"),
    ("RefreshMissing", "for", "2h", "100m"),
    ("RefreshMissing", "for", "2h", "3h"),
    ("CommandStuck", "expr", "command_overdue|", ""),
    ("CommandStuck", "expr", "command_vanished|", ""),
    ("CommandStuck", "expr", "command_without_effect|", ""),
    ("CommandStuck", "expr", "|lock_stuck", ""),
    ("CommandStuck", "expr", ">= 2", ">= 1"),
    ("CommandStuck", "expr", "[3h]", "[10h]"),
    ("UpdateRolledBack", "expr", "and bottlerocket_update_chosen_info", ""),
    ("UpdateRolledBack", "expr", "and", "unless"),
    ("UpdateRolledBack", "for", "1m", "1h"),
    ("APIUnreachable", "expr", "max_over_time", "min_over_time"),
    ("APIUnreachable", "expr", "== 0", "== 1"),
    ("APIUnreachable", "expr", "[10m]", "[1m]"),
    ("APIUnreachable", "for", "10m", "1m"),
    ("APIUnreachable", "for", "10m", "1h"),
    ("StateUnknown", "expr", "Unknown", "Idle"),
    ("StateUnknown", "expr", "== 0", "== 2"),
    ("StateUnknown", "for", "90m", "60m"),
    ("UpdaterDown", "expr", "== 0", "== 2"),
    ("UpdaterDown", "for", "15m", "5m"),
    ("UpdaterDown", "expr", "bottlerocket-updater", "bottlerocket"),
    ("UpdaterMissing", "expr", "absent(up", "(up"),
    ("UpdaterMissing", "expr", "== 1", "== 2"),
    ("UpdaterMissing", "expr", "> 0", "> 1"),
    ("UpdaterMissing", "expr", 'namespace="bottlerocket-updater", phase', "phase"),
    ("UpdaterMissing", "expr", '{namespace="bottlerocket-updater"}', ""),
    ("UpdaterMissing", "expr", 'phase="Pending"', 'phase="Running"'),
    ("UpdaterMissing", "for", "30m", "5m"),
    ("UpdaterStateUnavailable", "expr", "> 0", ">= 0"),
    ("UpdaterStateUnavailable", "expr", "state_lost", "state_damaged"),
    ("RebootPending", "expr", "Ready", "Staged"),
    ("RebootPending", "expr", "pod, instance", "instance"),
    ("RebootPending", "for", "7d", "6d"),
    ("RebootPending", "for", "7d", "8d"),
]


def test_the_cases_find_each_broken_rule(tmp_path):
    broken = []
    for number, (name, key, right, wrong) in enumerate(BROKEN):
        alert = f"Bottlerocket{name}"
        rule = ALERTS[alert]
        assert right in rule[key], (name, right)
        other = {"alert": f"Broken{number}", key: rule[key].replace(right, wrong)}
        broken.append((alert, {**rule, **other}))
    found = set()
    for cases, interval in ((CASES, "1m"), (SLOW_CASES, "30m")):
        found |= {rule for _, rule in evaluate(broken, tmp_path, cases, interval)[0]}
    assert [BROKEN[n] for n in range(len(BROKEN)) if f"Broken{n}" not in found] == []


def test_each_alert_is_broken_in_some_way():
    assert {f"Bottlerocket{broken[0]}" for broken in BROKEN} == set(ALERTS)


def test_rules_ask_for_what_there_is():
    """Of metrics, events and outcomes, what the page tells of; and that is what
    there is, says another test."""
    known = set(re.findall(r"`(\w+)`", (ROOT / "docs/operating.md").read_text()))
    for alert, rule in ALERTS.items():
        names = set(re.findall(r"\bbottlerocket_\w+", rule["expr"]))
        for asked in re.findall(r'(?:event|outcome|state)=~?"([^"]*)"', rule["expr"]):
            names |= set(asked.split("|"))
        assert names <= known, alert


def test_each_alert_has_what_an_alert_needs():
    for alert, rule in ALERTS.items():
        assert alert.startswith("Bottlerocket")
        assert rule["labels"] == {"severity": rule["labels"]["severity"]}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["for"]


def test_each_alert_has_its_section_on_the_page():
    headings = re.findall(
        r"^#+ (Bottlerocket\w+)$", (ROOT / "docs/operating.md").read_text(), re.MULTILINE
    )
    assert headings == list(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"{PAGE}#{alert.lower()}"
