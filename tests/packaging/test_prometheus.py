"""The alerts: each one fires when it should and is silent when it should be, as promtool finds."""

from __future__ import annotations

import subprocess

import yaml

from tests.support_packaging import METRICS, PACKAGING, metrics_in, needs

RULES = yaml.safe_load((PACKAGING / "prometheus-rules.yml").read_text())["groups"][0]["rules"]
TESTS = yaml.safe_load((PACKAGING / "prometheus-rules-test.yml").read_text())["tests"]


def promtool(*arguments: str) -> str:
    """What promtool prints of a check that passes."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=PACKAGING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs("promtool")
def test_the_configuration_is_one():
    """The scrape example, and the rules that it names."""
    assert f"{len(RULES)} rules found" in promtool("check", "config", "prometheus.yml")


@needs("promtool")
def test_alerts_fire_and_are_silent():
    """The cases of prometheus-rules-test.yml."""
    assert "SUCCESS" in promtool("test", "rules", "prometheus-rules-test.yml")


def test_every_alert_is_tried_both_ways():
    """There is a time when it fires, and a time when it does not."""
    cases = [case for test in TESTS for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    alerts = {rule["alert"] for rule in RULES}

    assert fires == alerts
    assert silent >= alerts - {"EdgeCertificateExpires"}  # its test has names that it is silent of


def test_every_metric_is_there():
    """An alert on a name that no node has would be silent for ever."""
    found = metrics_in(*(rule["expr"] for rule in RULES))

    assert found <= METRICS
    assert found >= {"edge_certificate_not_after_seconds", "edge_log_dropped_total"}


def test_every_alert_says_what_to_do():
    """Who is told, by its severity; what has happened; where to look."""
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_texts_name_what_there_is():
    """Metrics in descriptions, too."""
    texts = [text for rule in RULES for text in rule["annotations"].values()]

    assert metrics_in(*texts) <= METRICS
