"""
Reuse: whether a stored response answers a request now, must be validated, or may serve stale.

Laws: what a client wishes counts only where the settings obey it; nothing is served stale that its
own directives forbid to be. A request without wishes costs one comparison: everything else
was worked out when the response came (`freshness.Stored`). Which response was selected is
`variants`'s, what validating it changes `freshening`'s.

Source: RFC 9111 §4, §4.2.4, §5.2.1; RFC 5861.
"""

from __future__ import annotations

import enum
from math import inf

import msgspec

from edge.http.caching import Policy
from edge.http.fields import Fields, delta_seconds, parse_cache_control
from edge.http.freshness import Stored, current_age
from edge.http.targeted import Members

UNREACHABLE = frozenset((502, 503, 504))
"""What an origin that is not there looks like, from us or from a proxy before it."""


class Reuse(enum.Enum):
    """What to do with the stored response that a request selects."""

    FRESH = enum.auto()
    """Serve it."""

    STALE_WHILE_REVALIDATE = enum.auto()
    """Serve it, and validate it in the background."""

    STALE = enum.auto()
    """Serve it as it is: the client asked for that."""

    VALIDATE = enum.auto()
    """Ask the origin first (`freshening.conditional_fields`)."""

    UNAVAILABLE = enum.auto()
    """Answer 504: it would have to be validated, and the client does not want that."""


class Wishes(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The directives of a request, those that are obeyed."""

    no_cache: bool = False
    only_if_cached: bool = False
    """With nothing stored, the answer is 504 as well (RFC 9111 §5.2.1.7)."""
    max_age: float = inf
    min_fresh: int = 0
    max_stale: float = 0
    """Seconds by which it may have passed its lifetime; inf without an argument."""


def wishes_of(request: Fields, policy: Policy) -> Wishes | None:
    """
    What a request wishes, None where it wishes nothing that is obeyed.

    Pragma is no wish any more (RFC 9111 §5.4). Cost: 0.07 µs where nothing is obeyed, 0.14 µs
    without the field, 3.7 µs with one.
    """
    if not policy.obeyed or request.get(b"cache-control") is None:
        return None
    stated = parse_cache_control(request.getall(b"cache-control"))
    obeyed = {name: stated[name] for name in stated.keys() & policy.obeyed}
    return read_wishes(obeyed) if obeyed.keys() - {b"no-store"} else None


def read_wishes(stated: Members) -> Wishes:
    """
    The wishes that directives state; an argument that is no number is the strictest there is.

    Source: RFC 9111 §5.2.1.
    """
    max_stale: float = 0
    if b"max-stale" in stated:
        argument = stated[b"max-stale"]
        max_stale = inf if argument is None else delta_seconds(argument) or 0
    return Wishes(
        no_cache=b"no-cache" in stated,
        only_if_cached=b"only-if-cached" in stated,
        max_age=delta_seconds(stated[b"max-age"]) or 0 if b"max-age" in stated else inf,
        min_fresh=delta_seconds(stated.get(b"min-fresh")) or 0,
        max_stale=max_stale,
    )


def reuse(stored: Stored, wishes: Wishes | None, now: float) -> Reuse:
    """
    What to do with a stored response that a request selects.

    Source: RFC 9111 §4. Cost: 0.14 µs when fresh and without wishes, 0.9 µs with.
    """
    if wishes is not None:
        return reuse_as_wished(stored, wishes, now)
    if now < stored.fresh_until:
        return Reuse.FRESH
    if now < stored.fresh_until + stored.staleness.revalidating:
        return Reuse.STALE_WHILE_REVALIDATE
    return Reuse.VALIDATE


def reuse_as_wished(stored: Stored, wishes: Wishes, now: float) -> Reuse:
    """
    The same for a client that has wishes: they narrow what may serve, but for max-stale.

    Source: RFC 9111 §5.2.1.
    """
    outcome = reuse(stored, None, now)
    if outcome is Reuse.VALIDATE and may_serve_wished_stale(stored, wishes, now):
        outcome = Reuse.STALE
    if not is_as_wished(stored, wishes, now):
        outcome = Reuse.VALIDATE
    if outcome is Reuse.VALIDATE and wishes.only_if_cached:
        return Reuse.UNAVAILABLE
    return outcome


def is_as_wished(stored: Stored, wishes: Wishes, now: float) -> bool:
    """Whether no-cache, max-age and min-fresh let a stored response serve (RFC 9111 §5.2.1)."""
    is_lasting = not wishes.min_fresh or now + wishes.min_fresh <= stored.fresh_until
    return not wishes.no_cache and is_lasting and is_young(stored, wishes, now)


def is_young(stored: Stored, wishes: Wishes, now: float) -> bool:
    """
    Whether the client's max-age lets a stored response serve; stale it may be with max-stale alone.

    An immutable one is young while it is fresh: a reload need not ask (RFC 8246 §2).

    Source: RFC 9111 §5.2.1.1.
    """
    if wishes.max_age == inf:
        return True
    if now < stored.fresh_until:
        return stored.is_immutable or current_age(stored, now) <= wishes.max_age
    return wishes.max_stale > 0 and current_age(stored, now) <= wishes.max_age


def may_serve_wished_stale(stored: Stored, wishes: Wishes, now: float) -> bool:
    """Whether the client takes it that stale, and its directives do not forbid it (§5.2.1.2)."""
    is_taken = wishes.max_stale > 0 and now - stored.fresh_until <= wishes.max_stale
    return is_taken and stored.staleness.is_tolerable


def may_serve_stale_on_error(stored: Stored, status: int, now: float) -> bool:
    """
    Whether a stored response may serve instead of an error that validating it has met.

    With `stale-if-error`, as long as that says, and for a 500 as well. Without, for the settings'
    grace, and only while the origin is not there: a 500 is its answer. `status` is the one that
    would be sent: 502 or 504 where there was no answer, or half of one.

    Source: RFC 5861 §4; RFC 9111 §4.2.4 "disconnected", §4.3.3.
    """
    if status == 500:
        return now < stored.fresh_until + stored.staleness.error
    return status in UNREACHABLE and now < stored.fresh_until + stored.staleness.unreachable
