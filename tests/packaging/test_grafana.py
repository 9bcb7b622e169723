"""The dashboard: what it asks is PromQL, of metrics that there are, and it fits on the screen."""

from __future__ import annotations

import itertools
import json
import re
import subprocess

import pytest

from tests.support_packaging import METRICS, PACKAGING, metrics_in, needs

DASHBOARD = json.loads((PACKAGING / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [
    *(target["expr"] for panel in PANELS for target in panel["targets"]),
    *(each["expr"] for each in DASHBOARD["annotations"]["list"]),
]
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
OWN = {"__rate_interval": "5m", "__interval": "1m"}
"""Variables that Grafana itself has."""


def asked(expression: str) -> str:
    """As Prometheus gets it, with everything chosen."""
    return re.sub(r"\$(\w+)", lambda found: OWN.get(found[1], ".*"), expression)


@needs("promtool")
def test_every_expression_is_promql(tmp_path):
    """As rules that record them, read by promtool."""
    rules = [
        {"record": f"edge:panel:{number}", "expr": asked(each)}
        for number, each in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))

    done = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout


def test_every_metric_is_there():
    """Those that the dashboard asks for are those of the README, and all of them are shown."""
    assert metrics_in(*EXPRESSIONS) == METRICS


def test_every_variable_is_defined():
    """`$app` means the menu of that name, and each menu is used."""
    used = {name for each in EXPRESSIONS for name in re.findall(r"\$(\w+)", each)}

    assert used - OWN.keys() | {"datasource"} == VARIABLES.keys()
    assert {"instance", "app", "branch"} <= VARIABLES.keys()
    assert all(each["allValue"] == ".*" for each in VARIABLES.values() if each["type"] == "query")


def test_every_panel_asks_the_chosen_prometheus():
    """Panels, their targets, the menus."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*PANELS, *(target for panel in PANELS for target in panel["targets"])]
    asking += [each for each in VARIABLES.values() if each["type"] == "query"]

    assert [each for each in asking if each["datasource"] != chosen] == []


def test_identifiers_are_given_once():
    """Of panels, and of the targets of each."""
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]

    assert len(set(identifiers)) == len(identifiers)
    for panel in PANELS:
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0, panel["title"]


def test_panels_do_not_overlap():
    """On the 24 columns that Grafana has."""
    cells = [
        set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
    ]

    assert all(x < 24 for each in cells for x, _ in each)
    assert sum(map(len, cells)) == len(set().union(*cells))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_shows(panel):
    """A title, and a unit of Grafana's."""
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"] in {
        *("reqps", "ops", "Bps", "bytes", "percentunit", "s", "d", "short", "none"),
    }


def test_what_is_imported():
    """Nothing of the Grafana that it was made with; a uid, by which an import is an update."""
    assert DASHBOARD["id"] is None
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("edge-node", "Edge")
    assert DASHBOARD["schemaVersion"] >= 36
