"""Totals in the text format of Prometheus, read by its own library."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.control.exposition import expose, number
from edge.control.totals import Totals
from tests.control.test_totals import Worker

ODD = 'a"b\\c\nd'


@pytest.fixture
def totals():
    """Of a worker that has answered and refused."""
    worker, found = Worker(), Totals()
    for status in (200, 200, 404):
        worker.answer(status)
    worker.answer(404, app="", verdict="")
    worker.counters.count_origin("shop", "https://api.example", "dns_error")
    worker.counters.rules = {("shop", "1", ODD): 2, ("shop", "2", ODD): 3}
    found.take({"a": worker.report()}, lambda *_: None)
    return found


def samples(text):
    """Value by name and labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_everything_is_told_by_its_name(totals):
    """With labels from configuration alone."""
    found = samples(expose(totals))

    assert found["edge_requests_total", "shop", "main", "2xx"] == 2
    assert found["edge_requests_total", "shop", "main", "4xx"] == 1
    assert found["edge_requests_total", "", "", "4xx"] == 1
    assert found["edge_bytes_downloaded_total", "shop", "main"] == 3000
    assert found["edge_bytes_uploaded_total", "shop", "main"] == 30
    assert found["edge_cache_requests_total", "shop", "main", "hit"] == 3
    assert found["edge_origin_requests_total", "shop", "https://api.example", "dns_error"] == 1
    assert found["edge_refused_total", "connections"] == 0
    assert found["edge_handshakes_total", "shaken"] == 3
    assert found["edge_log_dropped_total",] == 2
    assert found["edge_spans_dropped_total",] == 5
    assert found["edge_worker_restarts_total",] == 0


def test_any_source_of_a_rule_is_a_label(totals):
    """Rules with the same one are one series."""
    assert samples(expose(totals))["edge_rule_hits_total", "shop", ODD] == 5


def test_the_histogram_adds_up(totals):
    """Buckets are cumulative, and the last one is the count."""
    found = samples(expose(totals))
    name = "edge_time_to_first_byte_seconds"
    buckets = [found[key] for key in found if key[:2] == (f"{name}_bucket", "shop")]

    assert buckets == sorted(buckets)
    assert found[f"{name}_bucket", "shop", "+Inf"] == found[f"{name}_count", "shop"] == 3
    assert found[f"{name}_bucket", "shop", "0.1"] == 0
    assert found[f"{name}_sum", "shop"] == pytest.approx(0.75)


def test_an_empty_node_tells_its_families():
    """So that a dashboard finds them before the first request."""
    families = {each.name for each in text_string_to_metric_families(expose(Totals()))}

    assert "edge_requests" in families
    assert "edge_time_to_first_byte_seconds" in families


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0"), (3.0, "3"), (0.5, "0.5"), (2e15, "2" + "0" * 15)]
)
def test_numbers(value, told):
    """Whole where they are."""
    assert number(value) == told
