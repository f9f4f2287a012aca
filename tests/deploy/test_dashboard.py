"""Checks the dashboard of deploy/monitoring: against Grafana's schema, and that its
parts fit together. tests/prometheus runs its queries."""

import copy
import itertools
import json
import re

import pytest
from grafana_schema import problems
from pages import all_pages
from rendering import MONITORING, ROOT, VERSION, render

FILE = ROOT / MONITORING / "dashboard.json"
DASHBOARD = json.loads(FILE.read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
WAITS = "What each node waits for"
TABLE = "Nodes, one row each"

# Metrics of others, and the words in a panel's description that say whose they are.
FOREIGN = {
    "up": "",
    "kured_reboot_required": "Kured's metrics",
    "kube_node_spec_unschedulable": "kube-state-metrics",
}


def queries(panel):
    return [target["expr"] for target in panel["targets"]]


def test_dashboard_fits_the_schema():
    assert problems(DASHBOARD) == []


# Where a wrong value is put, the value, and how its problem begins.
WRONG = [
    (("panels", 0, "type"), "stats", "unknown kind of panel: stats"),
    (("panels", 0, "gridPos", "w"), "3", ".panels[0].grid_pos.w: '3' is not of the type"),
    (("panels", 0, "options", "colorMode"), "values", ".panels[0].options.color_mode: 'values' is"),
    (("panels", 0, "targets", 0, "query"), "up", ".panels[0].targets[0].query: not in the schema"),
    (("panels", 8, "targets", 0, "format"), "tables", ".panels[8].targets[0].format_val: 'tables'"),
    (
        ("panels", 8, "fieldConfig", "defaults", "custom", "fill"),
        1,
        ".panels[8].fieldConfig.defaults.custom.fill: not in the schema",
    ),
    (("templating", "list", 1, "hide"), 7, ".templating.list_val[1].hide: 7 is not one of"),
    (("links", 0, "href"), "x", ".links[0].href: not in the schema"),
    (("panels",), 3, "the SDK cannot read it: TypeError"),
]


@pytest.mark.parametrize(("path", "value", "problem"), WRONG)
def test_schema_refuses(path, value, problem):
    document = copy.deepcopy(DASHBOARD)
    item = document
    for name in path[:-1]:
        item = item[name]
    item[path[-1]] = value
    found = problems(document)
    assert len(found) == 1 and found[0].startswith(problem), found


def test_config_map_has_the_file_and_the_label_of_the_sidecar():
    item = render(MONITORING).get("ConfigMap bottlerocket-updater-dashboard")
    assert item["data"] == {"bottlerocket-updates.json": FILE.read_text()}
    assert item["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_panels_lie_side_by_side():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for place in places:
        assert 0 <= place["x"] and place["x"] + place["w"] <= 24, place
    for a, b in itertools.combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (a, b)
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers) and len(PANELS) == len(identifiers)


def test_queries_use_documented_metrics_and_the_variables():
    known = set(re.findall(r"`(\w+)`", all_pages()))
    source = {"type": "prometheus", "uid": "${datasource}"}
    for title, panel in PANELS.items():
        assert panel["description"].endswith("."), title
        assert panel["datasource"] == source, title
        for target in panel["targets"]:
            query = target["expr"]
            assert target["datasource"] == source and "$node" in query, title
            names = set(re.findall(r"\b(\w+)\{", query))
            assert names and names <= known | set(FOREIGN), (title, names - known)
            for name in names & set(FOREIGN):
                assert FOREIGN[name] in panel["description"], (title, name)
            for values in re.findall(r'(?:event|outcome|state|command)!?=~?"([^"]*)"', query):
                assert set(values.split("|")) <= known, (title, values)


def test_what_a_node_waits_for_is_the_same_everywhere():
    """Each value of the query has a text, and the table has the same query and texts."""
    panel, table = PANELS[WAITS], PANELS[TABLE]
    (query,) = queries(panel)
    assert query == queries(table)[0]
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    values = {int(value) for value in re.findall(r"\* 0 \+ (\d+)", query)} | {0}
    assert {int(value) for value in mapping["options"]} == values
    overrides = [
        each["properties"]
        for each in table["fieldConfig"]["overrides"]
        if each["matcher"]["options"] == "waits for"
    ]
    assert {"id": "mappings", "value": [mapping]} in overrides[0]


def test_columns_of_the_table_are_those_of_its_queries():
    """What the schema leaves open: the options of the transformations, and overrides."""
    table = PANELS[TABLE]
    join, organize = table["transformations"]
    assert join == {"id": "joinByField", "options": {"byField": "node", "mode": "outer"}}
    columns = {f"Time {number}" for number, _ in enumerate(table["targets"], 1)}
    for target in table["targets"]:
        assert "by (node" in target["expr"]
        columns |= {f"Value #{target['refId']}"}
        columns |= set(re.match(r".*?by \(([^)]*)\)", target["expr"])[1].split(", "))
    options = organize["options"]
    excluded, renamed = set(options["excludeByName"]), options["renameByName"]
    assert excluded | set(options["indexByName"]) == columns
    assert excluded.isdisjoint(options["indexByName"]) and set(renamed) <= columns
    shown = {renamed.get(name, name) for name in columns - excluded}
    overridden = {each["matcher"]["options"] for each in table["fieldConfig"]["overrides"]}
    assert overridden <= shown


def test_each_node_links_to_its_log():
    start, end = "${log_link_start:raw}", "${log_link_end:raw}"
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert {"datasource", "node", "log_link_start", "log_link_end"} == variables
    (link,) = PANELS[WAITS]["fieldConfig"]["defaults"]["links"]
    assert link["url"] == f"{start}${{__field.labels.node}}{end}"
    overrides = PANELS[TABLE]["fieldConfig"]["overrides"]
    (properties,) = [o["properties"] for o in overrides if o["matcher"]["options"] == "node"]
    (links,) = [each["value"] for each in properties if each["id"] == "links"]
    assert links[0]["url"] == f"{start}${{__value.raw}}{end}"


def test_dashboard_links_to_the_page_of_this_version():
    (link,) = DASHBOARD["links"]
    page = "https://github.com/bottlerocket-updater/bottlerocket-updater/blob"
    assert link["url"] == f"{page}/v{VERSION}/docs/operating.md"
