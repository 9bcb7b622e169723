"""
What control itself counts, in the text format of Prometheus; what workers count is in `totals`.

Laws: a registry of its own, without what the library collects about the process. Names come from
configuration, never from a request.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

from edge.control.events import DeployEnded, Event
from edge.site.certificates import Certificate, Names

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# A second series for each counter, which no promise has.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The counters of one control process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._not_after = Gauge(
            "edge_certificate_not_after_seconds",
            "When the certificate that serves a name ends, in epoch seconds.",
            ["name"],
            registry=self._registry,
        )
        self._orders = Counter(
            "edge_acme_orders_total",
            "Orders of certificates by what became of them.",
            ["result"],
            registry=self._registry,
        )
        self._deployments = Counter(
            "edge_deployments_total",
            "Deployments by what became of them.",
            ["app", "branch", "result"],
            registry=self._registry,
        )
        self._reloads = Counter(
            "edge_reloads_total",
            "Reloads by what became of them.",
            ["result"],
            registry=self._registry,
        )
        self._notifications = Counter(
            "edge_notifications_total",
            "Notifications of alarms and deployments by what became of them.",
            ["result"],
            registry=self._registry,
        )
        self._told: tuple[Certificate, ...] = ()

    def tell(self, certificates: Iterable[Certificate]) -> None:
        """What serves now, the first of a name serving it."""
        told = tuple(certificates)
        if told is self._told or told == self._told:
            return
        self._told = told
        self._not_after.clear()
        names = {name for each in told for name in each.names}
        serving = Names(told)
        for name in names:
            found = serving.find(name)
            if found is not None:
                self._not_after.labels(name).set(found.not_after)

    def count_order(self, result: str) -> None:
        """An order has ended: `issued`, `failed`, `limited`, `rehearsed`, `rehearsal_failed`."""
        self._orders.labels(result).inc()

    def count_notification(self, result: str) -> None:
        """A letter is no longer on its way: `sent`, `failed`, `dropped`."""
        self._notifications.labels(result).inc()

    def hear(self, event: Event) -> None:
        """A deployment or a reload is over."""
        if isinstance(event, DeployEnded):
            self._deployments.labels(event.app, event.branch, event.result).inc()
        else:
            self._reloads.labels(event.result).inc()

    def encode(self) -> bytes:
        """Everything, as it is scraped."""
        return generate_latest(self._registry)
