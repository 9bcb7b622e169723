"""What is counted about certificates."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from edge.control.metrics import Metrics
from edge.site.certificates import Certificate


def certificate(*names, end=100):
    """One of some names."""
    return Certificate(
        id="id", names=names, file="", source="acme", issuer="", not_before=0, not_after=end
    )


def samples(metrics):
    """Value by name and labels."""
    found = {}
    for family in text_string_to_metric_families(metrics.encode().decode()):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_the_end_of_what_serves_each_name():
    """The first of two certificates serves it; what is gone is told no more."""
    metrics = Metrics()
    metrics.tell([certificate("a.test", "*.a.test", end=50), certificate("a.test", end=70)])
    name = "edge_certificate_not_after_seconds"
    assert samples(metrics) == {(name, "a.test"): 50.0, (name, "*.a.test"): 50.0}

    metrics.tell([certificate("a.test", end=70)])
    metrics.tell([certificate("a.test", end=70)])

    assert samples(metrics) == {(name, "a.test"): 70.0}


def test_notifications_by_what_became_of_them():
    """Each letter once."""
    metrics = Metrics()
    for result in ("sent", "dropped", "sent"):
        metrics.count_notification(result)

    assert samples(metrics)["edge_notifications_total", "sent"] == 2.0
    assert samples(metrics)["edge_notifications_total", "dropped"] == 1.0


def test_orders_by_what_became_of_them():
    """And nothing of the process, which others tell."""
    metrics = Metrics()
    for result in ("issued", "failed", "issued"):
        metrics.count_order(result)

    found = {key: value for key, value in samples(metrics).items() if "created" not in key[0]}
    assert found == {
        ("edge_acme_orders_total", "issued"): 2.0,
        ("edge_acme_orders_total", "failed"): 1.0,
    }
