"""Alert rules and dashboard name only metrics and labels that the recommender has."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serving.records.metrics import Metrics

ROOT = Path(__file__).parents[2]
METRIC = re.compile(r"raconteur_\w+")


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Every metric of the recommender, and the series that Prometheus keeps of it."""
    families = list(text_string_to_metric_families(Metrics().text(version="v1").decode()))
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    return {f"{family.name}{suffix}" for family in families for suffix in suffixes[family.type]}


def test_alerts_name_metrics_that_exist(known: set[str]):
    rules = yaml.safe_load((ROOT / "monitoring" / "alerts.yaml").read_text())["spec"]["groups"][0]["rules"]
    for rule in rules:
        used = METRIC.findall(rule["expr"])
        assert used, rule
        assert set(used) <= known
        assert {"severity"} == set(rule["labels"])
        assert rule["annotations"]["summary"]


def test_dashboard_names_metrics_that_exist_and_panels_do_not_overlap(known: set[str]):
    dashboard = json.loads((ROOT / "monitoring" / "dashboard.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert set(METRIC.findall(target["expr"])) <= known
