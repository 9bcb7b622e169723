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
    "client_connections": "a client had `limits.client_connections` open",
    "client_requests": "a client asked for more than `limits.client_requests` a second",
    "memory": "a worker had no memory left, by `limits.memory`",
    "descriptors": "a worker had no descriptors left, and took no connections for a while",
    "handshakes": "the oldest of more than `limits.handshakes` handshakes",
    "handshake_timeout": "a handshake took longer than `limits.handshake_timeout`",
    "header_timeout": "a head took longer than `limits.header_timeout`",
    "idle_timeout": "a client neither sent nor took anything for `limits.idle_timeout`",
    "min_rate": "a client sent, or took, content by less than `limits.min_rate`",
    "request_line": "a request line was longer than `limits.request_line`",
    "fields": "a head had more than `limits.fields` or `limits.field_count`",
    "origin_queue": "an origin's connections were busy, and its queue full or too slow",
    "logins": "too many wrong passwords, or too many at a time",
    "patterns": "regular expressions took too long",
    "body": "content for an origin was more than `limits.body`",
    "h2_streams": "a client opened more than `limits.h2_streams` at a time",
    "h2_resets": "a client broke off more than `limits.h2_resets` streams in a minute",
    "h2_settings": "a client sent more than `limits.h2_settings` in a minute",
    "h2_pings": "a client sent more than `limits.h2_pings` in a minute",
    "h2_priorities": "a client sent more than `limits.h2_priorities` in a minute",
    "h2_empty": "a client sent more than `limits.h2_empty` in a minute",
    "h2_updates": "a client sent more than `limits.h2_updates` in a minute",
    "h2_flood": "a head came in more than 16 frames",
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
