"""
From what a load generator printed to a figure worth printing.

Pure: text and numbers in, values out. Nothing here starts a process or asks the time. A run in
which anything went wrong has no figure: `Refused` says why, and no ratio is made from it.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
"""wrk and h2load write sizes in powers of 1,024 and call them KB, MB and GB."""

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


KEPT = 0.9
"""Share of a fixed rate to be reached: below it, the times are those of a growing queue."""


class Refused(Exception):
    """A run whose number would mislead; the text says what happened."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a generator measured, with every answer a good one."""

    requests: int
    seconds: float
    bytes_read: float
    """Content and heads together, as the generator counts them."""
    p99_s: float | None = None
    """None where the generator has no percentiles (h2load)."""
    p50_s: float | None = None
    p999_s: float | None = None
    """These two, and the next one, of a fixed rate alone."""
    lag_s: float | None = None
    """p99 of how late the generator was itself."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds and how far they lie apart."""

    median: float
    low: float
    high: float


def parse_wrk(text: str, size: float) -> Run:
    """
    The run that `wrk --latency` describes in `text`, for a file of `size` bytes.

    Raises:
        Refused: Socket errors, a status of 400 or more, no answers, or answers too short.
    """
    trouble = re.search(r"^ *(Non-2xx or 3xx responses|Socket errors): *(.+)$", text, re.MULTILINE)
    if trouble:
        raise Refused(f"wrk: {trouble[1]}: {trouble[2]}")
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m|h), ([\d.]+)([KMG]?)B read", text)
    if total is None:
        raise Refused(f"wrk printed no result: {last_line(text)}")
    requests, seconds = int(total[1]), float(total[2]) * SECONDS[total[3]]
    late = re.search(r"^ *99% +([\d.]+)(us|ms|s|m|h)$", text, re.MULTILINE)
    p99 = float(late[1]) * SECONDS[late[2]] if late else None
    return checked("wrk", Run(requests, seconds, float(total[4]) * UNITS[total[5]], p99), size)


def parse_taken(text: str, size: float) -> Run:
    """
    The run that `taker.c` describes in `text`, for a file of `size` bytes.

    Raises:
        Refused: No result, or answers too short.
    """
    words = text.split()
    if len(words) != 4:
        raise Refused(f"taker printed no result: {last_line(text)}")
    answers, seconds, taken, p99 = words
    return checked("taker", Run(int(answers), float(seconds), float(taken), float(p99)), size)


def parse_h2load(text: str, size: float) -> Run:
    """
    The run that `h2load` describes in `text`, for a file of `size` bytes.

    Raises:
        Refused: A request that failed or was not answered with 2xx, or answers too short.
    """
    counts = re.search(r"^requests: (\d+) total, .* (\d+) succeeded, (.+)$", text, re.MULTILINE)
    codes = re.search(r"^status codes: (\d+) 2xx, (.+)$", text, re.MULTILINE)
    finished = re.search(r"^finished in ([\d.]+)(us|ms|s|m|h), ", text, re.MULTILINE)
    traffic = re.search(r"^traffic: .* ([\d.]+)([KMG]?)B \((\d+)\) data$", text, re.MULTILINE)
    if counts is None or codes is None or finished is None or traffic is None:
        raise Refused(f"h2load printed no result: {last_line(text)}")
    if counts[1] != counts[2]:
        raise Refused(f"h2load: {counts[2]} of {counts[1]} requests succeeded ({counts[3]})")
    if any(int(count) for count in re.findall(r"(\d+) [345]xx", codes[2])):
        raise Refused(f"h2load: {codes[0]}")
    seconds = float(finished[1]) * SECONDS[finished[2]]
    return checked("h2load", Run(int(counts[1]), seconds, float(traffic[3])), size)


def parse_paced(text: str, rate: float) -> Run:
    """
    The run that `pacing.py` describes in `text`, of a given rate.

    Raises:
        Refused: Not every request had its answer in time, or the rate was not kept, by whomever.
    """
    try:
        said = json.loads(text)
    except json.JSONDecodeError as broken:
        raise Refused(f"pacing.py printed no result: {last_line(text)}") from broken
    if said["problem"] or said["answered"] < said["planned"]:
        counts = f"{said['answered']} of {said['planned']} answered at {rate:,.0f}/s"
        raise Refused(f"pacing.py: {counts}: {said['problem']}")
    if said["answered"] / said["seconds"] < KEPT * rate:
        reached = said["answered"] / said["seconds"]
        raise Refused(f"pacing.py: {reached:,.0f}/s instead of {rate:,.0f}/s: see --pace")
    return Run(
        said["answered"], said["seconds"], said["bytes_read"],
        p99_s=said["p99"], p50_s=said["p50"], p999_s=said["p999"], lag_s=said["lag_p99"],
    )  # fmt: skip


def check_empty(run: Run, size: int) -> Run:
    """
    `run` itself, once it is plain that no file of `size` bytes was sent: of 304s.

    Raises:
        Refused: There was content in them.
    """
    mean = run.bytes_read / run.requests
    if mean >= size / 2:
        raise Refused(f"{mean:.0f} bytes an answer where a 304 has no content")
    return run


def check_protocols(text: str, application: str) -> None:
    """
    Be sure that h2load spoke TLS 1.3, and `application` over it (by ALPN).

    Raises:
        Refused: Anything else, or nothing about it.
    """
    for what, wanted in (("TLS Protocol", "TLSv1.3"), ("Application protocol", application)):
        found = re.search(rf"^{what}: (.+)$", text, re.MULTILINE)
        spoken = found[1] if found else "nothing"
        if spoken != wanted:
            raise Refused(f"h2load: {what}: {spoken} instead of {wanted}")


def checked(generator: str, run: Run, size: float) -> Run:
    """
    `run` itself, once it is plain that whole files were read.

    The sizes that wrk prints are rounded to three digits, hence the 2 %.
    """
    if not run.requests or not run.seconds:
        raise Refused(f"{generator}: no request was answered")
    if run.bytes_read < run.requests * size * 0.98:
        mean = run.bytes_read / run.requests
        raise Refused(f"{generator}: {mean:.0f} bytes an answer for a file of {size:.0f}")
    return run


def last_line(text: str) -> str:
    """The last line with something on it: what a program that failed says at the end."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "(nothing)"


def joined(runs: Sequence[Run]) -> Run:
    """Several short runs as one: the requests and the seconds of all of them."""
    return Run(
        requests=sum(run.requests for run in runs),
        seconds=sum(run.seconds for run in runs),
        bytes_read=sum(run.bytes_read for run in runs),
    )


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of at least one value do not exceed: 0.99 for p99."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """
    Our rate over theirs, round by round.

    The two runs of a round were neighbors in time, so a machine that slows down for a minute
    bends both alike: the median of the rounds' ratios is steadier than the ratio of two medians.
    """
    return spread([our / their for our, their in zip(ours, theirs, strict=True)])
