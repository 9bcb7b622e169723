"""
Totals in the text format of Prometheus.

Laws: written here and not by the library, which takes 5 µs a line: 1,000 apps have 30,000 of them.
A name and its labels are as the README has them.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from edge.control.totals import CLASSES, DOWN, LATENCY, SECONDS, UP, Names, Totals
from edge.node.counters import LATENCY_BOUNDS

BOUNDS: Final = (*map(str, LATENCY_BOUNDS), "+Inf")
STATUS_CLASSES: Final = ("gone", "1xx", "2xx", "3xx", "4xx", "5xx")

Sample = tuple[str, float]
"""Labels as they are written, and a value."""


def expose(totals: Totals) -> str:
    """Every family that is counted by workers."""
    rows = [(labels(("app", "branch"), names), row) for names, row in totals.branches.items()]
    counts = totals.counts
    return "".join(
        (
            family("edge_requests_total", "Answers by class of status.", of_classes(rows)),
            family("edge_bytes_downloaded_total", "Bytes sent to clients.", of_place(rows, DOWN)),
            family("edge_bytes_uploaded_total", "Bytes clients sent.", of_place(rows, UP)),
            histogram(totals),
            of_names(
                "edge_cache_requests_total",
                "Answers by what the cache did.",
                ("app", "branch", "verdict"),
                counts["verdicts"].items(),
            ),
            of_names(
                "edge_rule_hits_total",
                "Requests that a rule decided.",
                ("app", "rule"),
                by_source(counts["rules"]).items(),
            ),
            of_names(
                "edge_origin_requests_total",
                "Requests to origins by what came of them.",
                ("app", "origin", "result"),
                counts["origins"].items(),
            ),
            of_names(
                "edge_refused_total",
                "Connections, requests and streams that were not served.",
                ("reason",),
                counts["refused"].items(),
            ),
            of_names(
                "edge_handshakes_total",
                "TLS handshakes by what came of them.",
                ("result",),
                counts["handshakes"].items(),
            ),
            of_names("edge_log_dropped_total", "Lines the log lost.", (), counts["log"].items()),
            of_names(
                "edge_spans_dropped_total", "Spans no collector took.", (), counts["spans"].items()
            ),
            family(
                "edge_worker_restarts_total",
                "Workers that ended unasked and were replaced.",
                [("", totals.restarts)],
            ),
        )
    )


def family(name: str, text: str, samples: Iterable[Sample], kind: str = "counter") -> str:
    """One family with its lines."""
    lines = [f"{name}{said} {number(value)}\n" for said, value in samples]
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{''.join(lines)}"


def of_names(
    name: str, text: str, keys: tuple[str, ...], counts: Iterable[tuple[Names, float]]
) -> str:
    """A family of counts by their names."""
    return family(name, text, [(labels(keys, names), count) for names, count in counts])


def of_classes(rows: Iterable[tuple[str, list[float]]]) -> Iterable[Sample]:
    """A line for each class that there was."""
    for said, row in rows:
        for kind, count in zip(STATUS_CLASSES, row[CLASSES], strict=True):
            if count:
                yield f'{said[:-1]},class="{kind}"}}', count


def of_place(rows: Iterable[tuple[str, list[float]]], place: int) -> Iterable[Sample]:
    """A line for each branch."""
    return ((said, row[place]) for said, row in rows)


def by_source(rules: dict[Names, float]) -> dict[Names, float]:
    """Hits by app and source, of all rules that have the same."""
    sums: dict[Names, float] = {}
    for (app, _, source), count in rules.items():
        sums[app, source] = sums.get((app, source), 0) + count
    return sums


def histogram(totals: Totals) -> str:
    """Time to first byte, by app."""
    name = "edge_time_to_first_byte_seconds"
    apps: dict[str, list[float]] = {}
    for (app, _), row in totals.branches.items():
        timed = [*row[LATENCY], row[SECONDS]]
        before = apps.get(app)
        apps[app] = timed if before is None else [a + b for a, b in zip(before, timed, strict=True)]
    lines = [f"# HELP {name} From the head of a request to the first byte of its answer.\n"]
    lines.append(f"# TYPE {name} histogram\n")
    for app, timed in apps.items():
        said = labels(("app",), (app,))
        count = 0.0
        for bucket, more in zip(buckets(name, app), timed, strict=False):
            count += more
            lines.append(f"{bucket}{int(count)}\n")
        lines.append(f"{name}_sum{said} {timed[-1]:.6f}\n")
        lines.append(f"{name}_count{said} {number(count)}\n")
    return "".join(lines)


@lru_cache(10_000)
def buckets(name: str, app: str) -> tuple[str, ...]:
    """The beginnings of an app's lines."""
    said = labels(("app",), (app,))[:-1]
    return tuple(f'{name}_bucket{said},le="{bound}"}} ' for bound in BOUNDS)


@lru_cache(100_000)
def labels(keys: tuple[str, ...], values: Names) -> str:
    """Labels in braces; nothing for none. Remembered: they are the same at every scrape."""
    if not keys:
        return ""
    pairs = zip(keys, values, strict=True)
    return "{" + ",".join(f'{key}="{escaped(value)}"' for key, value in pairs) + "}"


def escaped(value: str) -> str:
    """A label's value."""
    if "\\" in value or '"' in value or "\n" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def number(value: float) -> str:
    """A value, whole where it is."""
    return str(int(value)) if value == int(value) else repr(value)
