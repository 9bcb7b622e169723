"""From figures to the lines that a person reads, and the document that a machine reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import figures
from scenarios import HANDSHAKES, STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from figures import Run
    from scenarios import Aim, Scenario

BUSY = 0.85
"""Share of a core from which on a side counts as the limit; the rest is starting and stopping."""

UNLOGGED = 0.001
"""Share of the requests that may be missing in an access log: a run can be cut off by a second."""

OWN = 0.25
"""Share of p99 from which on the generator's own lateness is a good part of it."""

MISSES = 0.001
"""Share of the requests up to which a server is said to have answered from its cache."""


# Beside peers


@dataclass(frozen=True, slots=True)
class Round:
    """One run against one server, and what it took."""

    run: Run
    busy: float
    """Share of the round in which the server's processes had a processor."""
    load: float
    """The same of the generator and the origin, who share one."""
    passed_on: float = 0.0
    """Share of the requests that the origin got."""
    cpu_s: float = 0.0
    """Seconds in which the server's processes had a processor."""


@dataclass(slots=True)
class Result:
    """All rounds of one server in one scenario."""

    rounds: list[Round] = field(default_factory=list)
    refused: str = ""
    """Why there is no figure; empty when there is one."""
    logged: list[float] = field(default_factory=list)
    """Lines of the access log for a request, round by round; empty where there is no log."""

    @property
    def runs(self) -> list[Run]:
        """What the generator measured, round by round."""
        return [each.run for each in self.rounds]

    @property
    def rates(self) -> list[float]:
        """Requests a second, round by round."""
        return [run.rate for run in self.runs]

    @property
    def cpu_rates(self) -> list[float]:
        """Requests for a second of the server's processor; the kernel counts in hundredths."""
        return [each.run.requests / max(each.cpu_s, 0.01) for each in self.rounds]


def table(scenario: Scenario, results: dict[str, Result]) -> Iterator[str]:
    """Lines for a person: one or two per server, with the ratio of us to it."""
    yield f"{scenario.name}: {scenario.size:,} bytes, {manner(scenario)}"
    columns = PACED_COLUMNS if scenario.paced_by else COLUMNS
    yield f"  {'':10} {columns}   edge ÷ it{' (p99)' if scenario.paced_by else ''}"
    ours = results.get("edge")
    for name, result in results.items():
        if result.refused:
            yield f"  {name:10} no figure: {result.refused}"
            continue
        lines_of = paced_lines if scenario.paced_by else rate_lines
        lines = lines_of(scenario, result, ours, scenario.aims.get(name))
        for first, line in zip((name, ""), lines, strict=False):
            yield f"  {first:10} {line}".rstrip()
        yield from (f"  {'':10} ({doubt})" for doubt in doubts(scenario, result))


COLUMNS = f"{'requests/s':>10} {'min - max':>19} {'MiB/s':>8} {'p99 ms':>7} {'busy':>5} {'load':>5}"

PACED_COLUMNS = (
    f"{'requests/s':>10} {'p50 ms':>7} {'p99 ms':>7} {'min - max':>17} {'p99.9':>7} "
    f"{'own':>6} {'busy':>5}"
)


def rate_lines(
    scenario: Scenario, result: Result, ours: Result | None, aim: Aim | None
) -> Iterator[str]:
    """The rate by the clock, and where that says little also by the processor: that has the aim."""
    if not scenario.by_processor:
        yield f"{figures_text(result)}   {ratio_text(result, ours, aim)}"
        return
    yield f"{figures_text(result)}   {ratio_text(result, ours)}"
    yield processor_text(result, ours, aim)


def paced_lines(_: Scenario, result: Result, ours: Result | None, aim: Aim | None) -> Iterator[str]:
    """How late answers were, in milliseconds: medians, and of p99 the lowest and the highest."""
    p50, p99, p999, lag = (
        figures.spread([1000 * (getattr(run, name) or 0.0) for run in result.runs])
        for name in ("p50_s", "p99_s", "p999_s", "lag_s")
    )
    between = f"{p99.low:.2f} - {p99.high:.2f}"
    rate, (busy, _load) = median(result.rates), shares(result)
    yield (
        f"{rate:>10,.0f} {p50.median:>7.2f} {p99.median:>7.2f} {between:>17} {p999.median:>7.2f} "
        f"{lag.median:>6.2f} {busy:>5.0%}   {ratio_text(result, ours, aim, p99s)}"
    )


def p99s(result: Result) -> list[float]:
    """p99 of answers, round by round, in seconds."""
    return [run.p99_s or 0.0 for run in result.runs]


def manner(scenario: Scenario) -> str:
    """How a scenario asks."""
    protocol = "HTTP/2" if scenario.http2 else "HTTP/1.1"
    streams = f", {STREAMS} streams" if scenario.http2 else ""
    over = " over TLS" if scenario.is_secure else ""
    pace = f", at half of the most of {scenario.paced_by}" if scenario.paced_by else ""
    if scenario.load == "handshakes":
        return f"{protocol}{over}, a full handshake each, {HANDSHAKES} at a time"
    return f"{protocol}{over}{streams}, {scenario.connections} connections{pace}"


def figures_text(result: Result) -> str:
    """The columns of one server: medians, and the rates' lowest and highest."""
    rates = figures.spread([run.rate for run in result.runs])
    mib = median([run.bytes_read / run.seconds for run in result.runs]) / (1 << 20)
    late = [run.p99_s * 1000 for run in result.runs if run.p99_s is not None]
    p99 = f"{median(late):.2f}" if late else "-"
    between = f"{rates.low:,.0f} - {rates.high:,.0f}"
    busy, load = shares(result)
    return f"{rates.median:>10,.0f} {between:>19} {mib:>8,.1f} {p99:>7} {busy:>5.0%} {load:>5.0%}"


def processor_text(result: Result, ours: Result | None, aim: Aim | None) -> str:
    """The rate for a second of the server's processor, and the ratio of these rates."""
    rates = figures.spread(result.cpu_rates)
    between = f"{rates.low:,.0f} - {rates.high:,.0f}"
    ratio = ratio_text(result, ours, aim, lambda each: each.cpu_rates)
    return f"{rates.median:>10,.0f} {between:>19} {'a second of its processor':29}   {ratio}"


def shares(result: Result) -> tuple[float, float]:
    """How busy the server's core was, and the generator's: medians."""
    return median([each.busy for each in result.rounds]), median([e.load for e in result.rounds])


def doubts(scenario: Scenario, result: Result) -> Iterator[str]:
    """What to know before believing a figure: no hits, lost lines, not the server's limit."""
    passed_on = median([each.passed_on for each in result.rounds])
    if scenario.hits and passed_on > MISSES:
        yield f"the origin got {passed_on:.0%} of the requests: these are no hits"
    if result.logged and min(result.logged) < 1 - UNLOGGED:
        yield f"its access log has {min(result.logged):.1%} of the requests of a round"
    if scenario.paced_by:
        if median([run.lag_s or 0.0 for run in result.runs]) > OWN * median(p99s(result)):
            yield "the generator was late itself: the machine was shared, or the rate is too high"
        return
    busy, load = shares(result)
    if busy >= BUSY:
        return
    if load >= BUSY:
        yield "the generator was the limit: this server could do more"
    else:
        yield "neither was at its limit: the machine was shared, or the server waits"


def ratio_text(
    result: Result,
    ours: Result | None,
    aim: Aim | None = None,
    rates: Callable[[Result], list[float]] = lambda each: each.rates,
) -> str:
    """`1.07 (1.02 - 1.11)`, with the aim where that peer is the measure; empty for ourselves."""
    if ours is None or ours is result:
        return ""
    if ours.refused:
        return "no ratio"
    ratio = figures.paired_ratio(rates(ours), rates(result))
    text = f"{ratio.median:.2f} ({ratio.low:.2f} - {ratio.high:.2f})"
    return text if aim is None else f"{text}, {aim.judge(ratio.median)}"


def as_json(results: dict[str, Result]) -> dict[str, object]:
    """One scenario for a machine: every round, and nothing derived but the ratio."""
    ours = results.get("edge")
    document: dict[str, object] = {}
    for name, result in results.items():
        entry: dict[str, object] = {
            "requests_per_s": [round(rate, 1) for rate in result.rates],
            "requests_per_cpu_s": [round(rate, 1) for rate in result.cpu_rates],
            "bytes_per_s": [round(run.bytes_read / run.seconds) for run in result.runs],
            "p50_s": [run.p50_s for run in result.runs],
            "p99_s": [run.p99_s for run in result.runs],
            "p999_s": [run.p999_s for run in result.runs],
            "generator_late_p99_s": [run.lag_s for run in result.runs],
            "logged": [round(share, 4) for share in result.logged],
            "busy": [round(each.busy, 3) for each in result.rounds],
            "load": [round(each.load, 3) for each in result.rounds],
            "passed_on": [round(each.passed_on, 3) for each in result.rounds],
            "refused": result.refused or None,
        }
        if ours and ours is not result and not ours.refused and not result.refused:
            entry["edge_ratio"] = round(figures.paired_ratio(ours.rates, result.rates).median, 3)
            by_cpu = figures.paired_ratio(ours.cpu_rates, result.cpu_rates)
            entry["edge_cpu_ratio"] = round(by_cpu.median, 3)
            if all(p99s(ours)) and all(p99s(result)):
                late = figures.paired_ratio(p99s(ours), p99s(result))
                entry["edge_p99_ratio"] = round(late.median, 3)
        document[name] = entry
    return document


# By itself


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    value: str
    aim: str = ""
    met: bool | None = None
    """None where nothing is aimed at."""


def at_most(what: str, value: float, limit: float, unit: str) -> Figure:
    """A figure that should not exceed `limit`."""
    return Figure(what, f"{value:,.2f} {unit}", f"≤ {limit:,g} {unit}", value <= limit)


def at_least(what: str, value: float, limit: float) -> Figure:
    """A ratio that should reach `limit`; nothing is aimed at where that is 0."""
    if not limit:
        return Figure(what, f"{value:,.2f}")
    return Figure(what, f"{value:,.2f}", f"≥ {limit:,g}", value >= limit)


def exactly(what: str, value: int, wanted: int) -> Figure:
    """A count that has to be right."""
    return Figure(what, f"{value:,}", f"= {wanted:,}", value == wanted)


def print_table(title: str, lines: list[Figure]) -> None:
    """Figures for a person."""
    width = max(len(figure.what) for figure in lines)
    print(f"\n{title}")
    for figure in lines:
        verdict = "" if figure.met is None else "met" if figure.met else "MISSED"
        print(f"  {figure.what:{width}}  {figure.value:>14}  {figure.aim:12} {verdict}".rstrip())
