"""
Freshness: how old a response is, how long it is fresh, and what a stored one has to remember.

Laws: everything that only the response decides is worked out once, when it arrives, so that a hit
compares two numbers; ages only grow; a clock that runs wrong makes a response older, never younger.
Times are epoch seconds, ages and lifetimes seconds. `now` may be whole or not.

Source: RFC 9111 §4.2; RFC 5861 for the time after it.
"""

from __future__ import annotations

from math import inf, isfinite

import msgspec

from edge.http.caching import LIFETIMES, Directives, Policy, is_heuristic
from edge.http.conditional import only_value
from edge.http.fields import OWS, Fields, delta_seconds, parse_http_date
from edge.http.variants import vary_names

DAY_S = 86_400
HEURISTIC_FRACTION = 10
"""A tenth of the time since it was last modified. Source: RFC 9111 §4.2.2."""

STRICT = (b"must-revalidate", b"proxy-revalidate")


# Values


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """When a response came, and how old it said it was."""

    requested_at: float
    """`request_time`: when its request went out."""
    received_at: float
    """`response_time`: when its head was there."""
    age: int = 0
    """`age_value`, from its Age."""


class Lifetime(msgspec.Struct, frozen=True, gc=False):
    """A freshness lifetime."""

    seconds: int
    stated_by: bytes
    """`s-maxage`, `max-age`, `expires`, `heuristic`, or `none`; for explaining."""


class Staleness(msgspec.Struct, frozen=True, gc=False):
    """What may happen after the lifetime, in seconds from its end; see `Stored`."""

    revalidating: int = 0
    error: int = 0
    unreachable: int = 0
    is_tolerable: bool = False


class Stored(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """All that decisions about a stored response need; made by `describe`."""

    status: int
    date: int
    """Of its Date, or when it came."""
    received_at: float
    initial_age: float
    """`corrected_initial_age`: how old it was when it came."""
    lifetime: Lifetime
    fresh_until: float
    """Fresh before this moment; -inf where it is always validated first (`no-cache`)."""
    staleness: Staleness
    """
    `revalidating`: it serves while it is validated (RFC 5861 §3). `error`: it serves instead of a
    500 (§4). `unreachable`: also instead of 502, 503 and 504. `is_tolerable`: a client may ask
    for it stale.
    """
    is_immutable: bool
    """Source: RFC 8246."""
    etag: bytes
    """As received, empty without one. Only a 2xx has validators (RFC 9110 §13.2.1)."""
    last_modified: int | None
    last_modified_line: bytes
    """As received; empty where it is no date."""
    vary: tuple[bytes, ...]
    """The names that select it, from `vary_names`."""

    @property
    def modified(self) -> int:
        """What If-Modified-Since is compared with (RFC 9111 §4.3.2)."""
        return self.date if self.last_modified is None else self.last_modified


# Dates and ages


def cache_date(value: bytes, now: float) -> int | None:
    """
    Epoch seconds of an HTTP-date, in whatever case; None for anything else.

    Source: RFC 9111 §4.2: "a cache recipient SHOULD match the field value case-insensitively".
    """
    value = value.strip(OWS)
    date = parse_http_date(value, int(now))
    if date is None:
        date = parse_http_date(value.title().replace(b"Gmt", b"GMT"), int(now))
    return date


def date_of(fields: Fields, received_at: float) -> int:
    """
    When a response was made: its Date, or when it came, where it has none that is valid.

    Source: RFC 9110 §6.6.1.
    """
    date = cache_date(fields.get(b"date", b""), received_at)
    return int(received_at) if date is None else date


def age_of(fields: Fields) -> int:
    """
    `age_value`: the first member of Age, 0 where that is no number.

    Source: RFC 9111 §5.1.
    """
    return delta_seconds(fields.get(b"age", b"").partition(b",")[0].strip(OWS)) or 0


def arrival_of(fields: Fields, requested_at: float, received_at: float) -> Arrival:
    """The arrival of a response (or 304) with these fields."""
    return Arrival(requested_at, received_at, age_of(fields))


def initial_age(arrival: Arrival, date: int) -> float:
    """
    `corrected_initial_age`, the larger of what clocks and what Age say.

    Dates have whole seconds, so a fraction of one is no age. A date in the future is age 0.

    Source: RFC 9111 §4.2.3.
    """
    apparent = max(0, int(arrival.received_at) - date)
    delay = max(0, arrival.received_at - arrival.requested_at)
    return max(apparent, arrival.age + delay)


def current_age(stored: Stored, now: float) -> float:
    """
    How old a stored response is; Age has its whole seconds. A clock set back stops it.

    Source: RFC 9111 §4.2.3.
    """
    return stored.initial_age + max(0, now - stored.received_at)


def remaining(stored: Stored, now: float) -> int:
    """Whole seconds of freshness left, negative when stale: `ttl` of Cache-Status."""
    return int((stored.fresh_until - now) // 1) if isfinite(stored.fresh_until) else 0


# Lifetimes


def freshness_lifetime(
    status: int, fields: Fields, directives: Directives, date: int, policy: Policy
) -> Lifetime:
    """
    How long a response is fresh from its date on: s-maxage, max-age, Expires, or a guess.

    What is stated and invalid is 0, and nothing is guessed then.

    Source: RFC 9111 §4.2.1; RFC 9213 §2.2, where a targeted field hides Expires.
    """
    for name in LIFETIMES:
        seconds = directives.seconds(name)
        if seconds is not None:
            return Lifetime(seconds, name)
    expires = None if directives.is_targeted else fields.get(b"expires")
    if expires is not None:
        return Lifetime(max(0, (cache_date(expires, date) or 0) - date), b"expires")
    if policy.heuristic and is_heuristic(status, directives, policy):
        return Lifetime(heuristic_lifetime(fields, date), b"heuristic")
    return Lifetime(0, b"none")


def heuristic_lifetime(fields: Fields, date: int) -> int:
    """A tenth of the time since Last-Modified, a day at most; 0 without a sensible one."""
    modified = cache_date(fields.get(b"last-modified", b""), date)
    if modified is None:
        return 0
    return min(max(0, date - modified) // HEURISTIC_FRACTION, DAY_S)


def staleness_of(directives: Directives, policy: Policy) -> Staleness:
    """
    What may happen after the lifetime.

    `no-cache`, `must-revalidate` and `proxy-revalidate` forbid all of it, whatever else is there.
    `s-maxage` implies `proxy-revalidate`; beside an explicit `stale-…` of the same field it gives
    way, for that is what Next.js and most of its readers mean by writing both.

    Source: RFC 9111 §4.2.4, §5.2.2.10; RFC 5861 §3, §4.
    """
    if directives.is_whole(b"no-cache") or any(name in directives for name in STRICT):
        return Staleness()
    implied = b"s-maxage" in directives
    error = directives.seconds(b"stale-if-error")
    otherwise = 0 if implied else policy.grace_s
    return Staleness(
        revalidating=directives.seconds(b"stale-while-revalidate") or 0,
        error=error or 0,
        unreachable=otherwise if error is None else error,
        is_tolerable=not implied,
    )


# What is remembered


def describe(
    status: int, fields: Fields, directives: Directives, arrival: Arrival, policy: Policy
) -> Stored:
    """
    What to remember of a response that is stored, or was freshened.

    The fields are those received, with their arrival and the directives of their verdict; or all
    that `freshen` gave, with the arrival of the 304 and the directives of the new verdict.

    Cost: 14 µs, once a response.
    """
    date = date_of(fields, arrival.received_at)
    lifetime = freshness_lifetime(status, fields, directives, date, policy)
    age = initial_age(arrival, date)
    is_unfresh = directives.is_whole(b"no-cache")
    etag, modified, line = validators(status, fields, arrival.received_at)
    return Stored(
        status=status,
        date=date,
        received_at=arrival.received_at,
        initial_age=age,
        lifetime=lifetime,
        fresh_until=-inf if is_unfresh else arrival.received_at + lifetime.seconds - age,
        staleness=staleness_of(directives, policy),
        is_immutable=b"immutable" in directives,
        etag=etag,
        last_modified=modified,
        last_modified_line=line,
        vary=vary_names(fields) or (),
    )


def validators(status: int, fields: Fields, now: float) -> tuple[bytes, int | None, bytes]:
    """
    Entity-tag, Last-Modified as a time, and as received; empty and None where there is none.

    A response that is no 2xx has none: origins ignore preconditions for such, and compare what is
    there by now with the date of an error page.

    Source: RFC 9110 §13.2.1.
    """
    if not 200 <= status < 300:
        return b"", None, b""
    line = (only_value(fields, b"last-modified") or b"").strip(OWS)
    modified = cache_date(line, now)
    etag = (only_value(fields, b"etag") or b"").strip(OWS)
    return etag, modified, b"" if modified is None else line


def is_useful(stored: Stored) -> bool:
    """
    Whether storing it can ever save anything; if not, `Reason.USELESS`.

    That it might serve while its origin is down does not count: `max-age=0` without a validator is
    how origins say that they want nothing stored.
    """
    if stored.fresh_until > stored.received_at or stored.etag or stored.last_modified_line:
        return True
    return bool(stored.staleness.revalidating or stored.staleness.error)
