"""
How fast one authority may be asked for certificates: its limits, and its own word. Pure.

Laws: below what authorities allow, so that nobody is told to stop; who is told to, stops. Times are
epoch seconds, `now` is an argument.
"""

from __future__ import annotations

from typing import Final

import msgspec

ORDERS: Final = 250
PERIOD: Final = 3 * 3_600.0
"""Orders of one account in so many seconds; the largest authority allows 300."""

BREAKS: Final = 5
"""Failures in a row of an authority's own, after which it is left alone for a while."""

BREAK: Final = 900.0
"""Seconds."""

UNSAID: Final = 3_600.0
"""Seconds to stop for where an authority says stop, and not how long."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about an account; kept, since a restart is no new allowance."""

    tokens: float = float(ORDERS)
    """Orders that it may make at once, at the instant `at`."""
    at: float = 0.0
    blocked_until: float = 0.0
    """No order before."""
    reason: str = ""
    """Why not, in the authority's words."""
    failures: int = 0
    """In a row."""


def ready_at(pace: Pace, now: float, ahead: int = 0) -> float:
    """When the next order may be made behind `ahead` others; what is over is at once."""
    lacking = 1.0 + ahead - _tokens(pace, now)
    return max(pace.blocked_until, now + lacking * PERIOD / ORDERS if lacking > 0 else 0.0)


def spent(pace: Pace, now: float) -> Pace:
    """An order is made."""
    return msgspec.structs.replace(pace, tokens=_tokens(pace, now) - 1.0, at=now)


def _tokens(pace: Pace, now: float) -> float:
    gained = max(0.0, now - pace.at) * ORDERS / PERIOD
    return min(float(ORDERS), pace.tokens + gained)


def blocked(pace: Pace, retry_after: float | None, reason: str, now: float) -> Pace:
    """The authority said stop."""
    until = now + (UNSAID if retry_after is None else max(retry_after, 1.0))
    return msgspec.structs.replace(
        pace, blocked_until=max(until, pace.blocked_until), reason=reason
    )


def broke(pace: Pace, reason: str, now: float) -> Pace:
    """An order failed by the authority's own fault; after a few of them it is left alone."""
    failures = pace.failures + 1
    pace = msgspec.structs.replace(pace, failures=failures % BREAKS)
    return blocked(pace, BREAK, reason, now) if failures == BREAKS else pace


def worked(pace: Pace) -> Pace:
    """An order was answered as it should be."""
    return msgspec.structs.replace(pace, failures=0)


def unblocked(pace: Pace) -> Pace:
    """Somebody has looked after it."""
    return msgspec.structs.replace(pace, blocked_until=0.0, reason="", failures=0)
