"""The alert rules and the dashboard: they parse, they fire when they should, and they speak of metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.delivery.campaigns import launch_and_freeze, send_round
from tests.parts import ROOT, skip
from tests.people import make_users

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "carillon.json").read_text(encoding="utf-8"))
DOCS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
GIVEN_BY_PROMETHEUS = {"job", "instance"}
OF_HISTOGRAMS = ("_bucket", "_sum", "_count")


def promtool(*arguments: str, given: str | None = None) -> str:
    """Run promtool and return what it says; fails the test when it complains."""
    if not shutil.which("promtool"):
        skip("promtool is not on the PATH (Debian's package prometheus has it)")
    ran = subprocess.run(
        ["promtool", *arguments], input=given, cwd=PROMETHEUS, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def documented() -> dict[str, set[str]]:
    """Return every series name that docs/metrics.md tells of, with its labels."""
    found: dict[str, set[str]] = {}
    for name, labels, kind in re.findall(r"^\| `(carillon_\w+)`([^|]*)\| (\w+) \|", DOCS, flags=re.MULTILINE):
        own = set(re.findall(r"`(\w+)`", labels))
        if kind == "histogram":
            found |= {name + suffix: own | {"le"} for suffix in OF_HISTOGRAMS}
        else:
            found[name] = own
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def dashboard_queries() -> list[str]:
    annotations = [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    return [target["expr"] for panel in panels() for target in panel["targets"]] + annotations


def rules() -> dict[str, str]:
    """Return the text of each rule by its name."""
    text = (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")
    return {rule.partition("\n")[0]: rule for rule in re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]}


def rule_queries() -> list[str]:
    found = [re.search(r"expr: (?:\|\n((?: {10}.*\n)+)|(.*))", rule) for rule in rules().values()]
    return [match[1] or match[2] for match in found if match]


def selectors(query: str) -> Iterator[tuple[str, set[str]]]:
    """Give each of our series in a query with the labels that it is chosen by."""
    for name, matchers in re.findall(r"(carillon_\w+)(?:\{([^}]*)\})?", query):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", matchers))


@pytest.mark.parametrize("query", [*dashboard_queries(), *rule_queries()])
def test_queries_name_series_and_labels_that_exist(query: str) -> None:
    known = documented()
    for name, labels in selectors(query):
        assert name in known
        assert labels <= known[name] | GIVEN_BY_PROMETHEUS, name
    grouped = {label.strip() for inside in re.findall(r"(?:by|on) \(([^)]+)\)", query) for label in inside.split(",")}
    assert grouped <= set().union(*(known[name] for name, _ in selectors(query)), GIVEN_BY_PROMETHEUS)


def test_everything_that_is_measured_is_on_the_dashboard_or_in_a_rule() -> None:
    shown = {name for query in [*dashboard_queries(), *rule_queries()] for name, _ in selectors(query)}
    shown |= {
        f"{name.removesuffix(suffix)}{other}" for name in shown for suffix in OF_HISTOGRAMS for other in OF_HISTOGRAMS
    }
    meant_to_be_looked_up = {
        "carillon_campaign_excluded", "carillon_domain_limit_mails_per_second", "carillon_counted_by_web_site",
    }  # fmt: skip
    assert set(documented()) - shown - meant_to_be_looked_up == set()


def test_each_panel_says_what_it_shows_and_none_covers_another() -> None:
    assert [panel["title"] for panel in panels() if not panel["description"]] == []
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24


def test_the_dashboard_works_with_any_data_source_and_site() -> None:
    assert {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]} == {"${datasource}"}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "job"]
    assert [q for q in dashboard_queries() for name in re.findall(r"carillon_\w+(?!\w|\{job=\"\$job\")", q)] == []


def test_each_rule_says_what_is_wrong_and_what_to_do() -> None:
    assert len(rule_queries()) == len(rules())
    for name, rule in rules().items():
        assert re.search(r"labels: \{severity: (critical|warning)\}", rule), name
        assert re.search(r"summary: .+\n +description: .{20,}", rule), name


def test_every_rule_has_a_case_in_which_it_fires() -> None:
    tests = (PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", tests)) == set(rules())


def test_the_rules_are_right_and_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_the_scrape_configuration_is_one() -> None:
    promtool("check", "config", "--syntax-only", "scrape.yml")


def test_the_dashboards_queries_are_promql(tmp_path: Path) -> None:
    queries = [query.replace("$__rate_interval", "1m").replace("$job", "carillon") for query in dashboard_queries()]
    named = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": named}]}), encoding="utf-8")
    assert f"{len(queries)} rules found" in promtool("check", "rules", str(path))


def test_prometheus_finds_nothing_to_complain_about_on_a_page(app: Flask, client: FlaskClient, sink) -> None:
    make_users(3)
    send_round(launch_and_freeze())
    client.get("/login")
    page = client.get("/metrics").text
    assert 'carillon_mails_total{domain_group="other",kind="campaign",outcome="sent"} 3.0' in page
    assert promtool("check", "metrics", given=page) == ""
