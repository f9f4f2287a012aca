"""Evaluates alert rules with promtool, on series that a test writes down."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import yaml


class Case(NamedTuple):
    """A situation, and the alerts that must fire in it."""

    name: str
    # Pairs of a series and its values, in promtool's notation.
    series: list
    # When to look at the alerts, in minutes after the first sample.
    minutes: int
    # The labels that each firing alert must have, by the alert's name.
    alerts: dict


class Evaluation(NamedTuple):
    """The input of one run of promtool."""

    cases: list
    # Pairs of an alert's name in the cases, and a rule, which may have another name.
    rules: list
    interval: str


# A text that the template of an annotation has if a query finds nodes.
NODES_OF_QUERY = re.compile(
    r'{{ with query "(\w+) == 1" \| sortByLabel "node" }}(.*?){{ range \. }} {{ \.Labels\.node }}{{ end }}(.*?){{ end }}'
)


def expand(text, labels, series):
    """Expands the labels and the nodes of queries in the template of an annotation."""

    def names(match):
        found = [
            re.search('node="([^"]*)"', name)[1]
            for name, values in series
            if name.startswith(match[1]) and values.startswith("1")
        ]
        return match[2] + "".join(f" {name}" for name in found) + match[3] if found else ""

    text = NODES_OF_QUERY.sub(names, text)
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda match: labels[match[1]], text)


def expected_alerts(rule, labels, series):
    """Returns the alerts that promtool must find for a rule: none without labels."""
    if labels is None:
        return []
    labels = {**rule["labels"], **labels}
    annotations = {key: expand(text, labels, series) for key, text in rule["annotations"].items()}
    return [{"exp_labels": labels, "exp_annotations": annotations}]


def promtool_test(case, rules, interval):
    return {
        "name": case.name,
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in case.series],
        "alert_rule_test": [
            {
                "eval_time": f"{case.minutes}m",
                "alertname": rule["alert"],
                "exp_alerts": expected_alerts(rule, case.alerts.get(alert), case.series),
            }
            for alert, rule in rules
        ],
    }


def evaluate(directory, evaluation):
    """Runs promtool in a directory of its own.

    Returns the pairs of a case and a rule for which the alert was not as expected,
    and promtool's output.
    """
    directory.mkdir()
    groups = [{"name": "rules", "rules": [rule for _, rule in evaluation.rules]}]
    (directory / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": evaluation.interval,
        "tests": [
            promtool_test(case, evaluation.rules, evaluation.interval) for case in evaluation.cases
        ],
    }
    (directory / "tests.yaml").write_text(yaml.safe_dump(test))
    run = subprocess.run(
        ["promtool", "test", "rules", str(directory / "tests.yaml")],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    output = run.stdout + run.stderr
    wrong, case = set(), None
    for line in output.splitlines():
        if match := re.fullmatch(r" *name: (.*),", line):
            case = match[1]
        elif match := re.match(r" *alertname: (\w+), time: ", line):
            wrong.add((case, match[1]))
    # promtool has not failed for another reason.
    assert (run.returncode, bool(wrong)) in ((0, False), (1, True)), output
    return wrong, output


def evaluate_all(directory, evaluations):
    """Runs promtool for each evaluation, as many at once as there are processors.

    Returns the results of all of them together, as evaluate() does.
    """
    directory.mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(evaluate, directory / str(number), evaluation)
            for number, evaluation in enumerate(evaluations)
        ]
    wrong, outputs = set(), []
    for job in jobs:
        each_wrong, output = job.result()
        wrong |= each_wrong
        outputs.append(output)
    return wrong, "\n".join(outputs)
