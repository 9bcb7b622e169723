"""
What a worker counts: plain integers, read by control and never reset.

Laws: labels come from configuration, never from a request, so that nobody can make series. What
is counted on the way of a request is an attribute of an object at hand; adding up is the reader's.
"""

from __future__ import annotations

from typing import Any, Final

LATENCY_BOUNDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Upper bounds in seconds of the buckets of time to first byte; one more is above them all."""

REASONS: Final = {
    "connections": "the worker had `limits.connections` open",
}
"""Why something was refused, as `edge_refused_total` names it."""


class Counters:
    """The numbers of one worker since its start."""

    def __init__(self) -> None:
        self.refused = dict.fromkeys(REASONS, 0)
        """By reason."""

    def refuse(self, reason: str) -> None:
        """Count a connection, a request or a stream that was not served; one of `REASONS`."""
        self.refused[reason] += 1

    def report(self) -> dict[str, Any]:
        """Everything, as control asks for it."""
        return {"refused": self.refused}
