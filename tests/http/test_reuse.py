"""When a stored response serves, on the second, with and without wishes of the client."""

from __future__ import annotations

import time
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.caching import CLIENT_DIRECTIVES, Policy, response_directives
from edge.http.fields import FieldList
from edge.http.freshness import Arrival, Stored, describe
from edge.http.reuse import Reuse, Wishes, may_serve_stale_on_error, reuse, wishes_of

NOW = 1_750_000_000
OBEDIENT = Policy(obeyed=CLIENT_DIRECTIVES)
GRACE = OBEDIENT.grace_s
SWR = b"max-age=60, stale-while-revalidate=30"


def stored(value: bytes, age: int = 0) -> Stored:
    """What is remembered of a response with this Cache-Control that came now."""
    response = FieldList([(b"cache-control", value)])
    directives = response_directives(response, ())
    return describe(200, response, directives, Arrival(NOW, NOW, age), OBEDIENT)


def wishes(value: bytes, policy: Policy = OBEDIENT) -> Wishes | None:
    """What a request with this Cache-Control wishes."""
    return wishes_of(FieldList([(b"cache-control", value)]), policy)


# Without wishes


@pytest.mark.parametrize(
    ("value", "later", "expected"),
    [
        (b"max-age=60", 0, Reuse.FRESH),
        (b"max-age=60", 59.9, Reuse.FRESH),
        (b"max-age=60", 60, Reuse.VALIDATE),
        (b"max-age=0", 0, Reuse.VALIDATE),
        (b"no-cache, max-age=60", 0, Reuse.VALIDATE),
        (b"no-cache, " + SWR, 0, Reuse.VALIDATE),
        (b'no-cache="a", max-age=60', 0, Reuse.FRESH),
        (SWR, 59, Reuse.FRESH),
        (SWR, 60, Reuse.STALE_WHILE_REVALIDATE),
        (SWR, 89, Reuse.STALE_WHILE_REVALIDATE),
        (SWR, 90, Reuse.VALIDATE),
        (SWR + b", must-revalidate", 60, Reuse.VALIDATE),
        (SWR + b", proxy-revalidate", 60, Reuse.VALIDATE),
        (b"s-maxage=60, stale-while-revalidate=30", 60, Reuse.STALE_WHILE_REVALIDATE),
        (b"s-maxage=60", 60, Reuse.VALIDATE),
    ],
)
def test_reuse(value, later, expected):
    """Fresh until its lifetime has passed, then as its directives say (RFC 9111 §4)."""
    assert reuse(stored(value), None, NOW + later) is expected


# Wishes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"no-cache", Wishes(no_cache=True)),
        (b"No-Cache, only-if-cached", Wishes(no_cache=True, only_if_cached=True)),
        (b"max-age=5", Wishes(max_age=5)),
        (b"max-age=x", Wishes(max_age=0)),
        (b"max-age", Wishes(max_age=0)),
        (b"min-fresh=5", Wishes(min_fresh=5)),
        (b"min-fresh=x", Wishes(min_fresh=0)),
        (b"max-stale", Wishes(max_stale=inf)),
        (b"max-stale=5", Wishes(max_stale=5)),
        (b"max-stale=x", Wishes(max_stale=0)),
        (b"no-store", None),
        (b"no-store, max-age=5", Wishes(max_age=5)),
        (b"no-transform, foo", None),
        (b"", None),
    ],
)
def test_wishes(value, expected):
    """What can be read of a request's directives; `no-store` is `may_store`'s (§5.2.1)."""
    assert wishes(value) == expected


@pytest.mark.parametrize("name", sorted(CLIENT_DIRECTIVES - {b"no-store"}))
def test_each_wish_is_obeyed_by_itself(name):
    """The settings name those that count; by default none does."""
    value = b"no-cache, max-age=1, min-fresh=1, max-stale=1, only-if-cached"
    read = wishes(value, Policy(obeyed=frozenset((name,))))
    assert read is not None

    different = [each for each in read.__struct_fields__
                 if getattr(read, each) != getattr(Wishes(), each)]  # fmt: skip
    assert different == [name.decode().replace("-", "_")]
    assert wishes(value, Policy()) is None


def test_a_request_without_cache_control_wishes_nothing():
    """Pragma does not count (RFC 9111 §5.4)."""
    assert wishes_of(FieldList([(b"pragma", b"no-cache")]), OBEDIENT) is None


@pytest.mark.parametrize(
    ("response", "wish", "later", "expected"),
    [
        (b"max-age=60", b"no-cache", 0, Reuse.VALIDATE),
        (b"max-age=60", b"no-cache, only-if-cached", 0, Reuse.UNAVAILABLE),
        (b"max-age=60", b"only-if-cached", 59, Reuse.FRESH),
        (b"max-age=60", b"only-if-cached", 60, Reuse.UNAVAILABLE),
        (SWR, b"only-if-cached", 60, Reuse.STALE_WHILE_REVALIDATE),
        (b"max-age=60", b"max-age=10", 10, Reuse.FRESH),
        (b"max-age=60", b"max-age=10", 11, Reuse.VALIDATE),
        (b"max-age=60", b"max-age=0", 1, Reuse.VALIDATE),
        (b"max-age=60", b"max-age=99", 60, Reuse.VALIDATE),
        (b"max-age=60, immutable", b"max-age=0", 1, Reuse.FRESH),
        (b"max-age=60, immutable", b"no-cache", 1, Reuse.VALIDATE),
        (b"max-age=60, immutable", b"max-age=0", 60, Reuse.VALIDATE),
        (SWR, b"max-age=99", 60, Reuse.VALIDATE),
        (SWR, b"max-age=99, max-stale=1", 61, Reuse.STALE_WHILE_REVALIDATE),
        (SWR, b"max-age=60, max-stale=9", 61, Reuse.VALIDATE),
        (b"max-age=60", b"min-fresh=10", 50, Reuse.FRESH),
        (b"max-age=60", b"min-fresh=10", 51, Reuse.VALIDATE),
        (SWR, b"min-fresh=10", 60, Reuse.VALIDATE),
        (b"max-age=60", b"max-stale=10", 59, Reuse.FRESH),
        (b"max-age=60", b"max-stale=10", 70, Reuse.STALE),
        (b"max-age=60", b"max-stale=1", 61, Reuse.STALE),
        (b"max-age=60", b"max-stale=10", 71, Reuse.VALIDATE),
        (b"max-age=60", b"max-stale", 10**6, Reuse.STALE),
        (b"max-age=60", b"max-stale, only-if-cached", 99, Reuse.STALE),
        (b"max-age=60", b"max-stale, max-age=65", 65, Reuse.STALE),
        (b"max-age=60", b"max-stale, max-age=65", 66, Reuse.VALIDATE),
        (b"max-age=60", b"max-stale, no-cache", 66, Reuse.VALIDATE),
        (b"max-age=60, must-revalidate", b"max-stale", 60, Reuse.VALIDATE),
        (b"max-age=60, proxy-revalidate", b"max-stale", 60, Reuse.VALIDATE),
        (b"s-maxage=60", b"max-stale", 60, Reuse.VALIDATE),
        (b"no-cache, max-age=60", b"max-stale", 0, Reuse.VALIDATE),
    ],
)
def test_reuse_as_wished(response, wish, later, expected):
    """Wishes narrow what serves, max-stale widens it where that is allowed (§5.2.1)."""
    assert reuse(stored(response), wishes(wish), NOW + later) is expected


def test_wishes_count_the_age_that_a_response_came_with():
    """Age, not the time in this store, is what max-age is about (RFC 9111 §5.2.1.1)."""
    response = stored(b"max-age=3600", age=1800)

    assert reuse(response, wishes(b"max-age=600"), NOW) is Reuse.VALIDATE
    assert reuse(response, wishes(b"max-age=1800"), NOW) is Reuse.FRESH
    assert reuse(response, wishes(b"min-fresh=1801"), NOW) is Reuse.VALIDATE


# Errors


@pytest.mark.parametrize(
    ("value", "status", "later", "expected"),
    [
        (b"max-age=60, stale-if-error=30", 500, 89, True),
        (b"max-age=60, stale-if-error=30", 500, 90, False),
        (b"max-age=60, stale-if-error=30", 502, 89, True),
        (b"max-age=60, stale-if-error=30", 502, 90, False),
        (b"max-age=60, stale-if-error=30", 503, 89, True),
        (b"max-age=60, stale-if-error=30", 504, 89, True),
        (b"max-age=60, stale-if-error=30", 501, 61, False),
        (b"max-age=60, stale-if-error=30", 404, 61, False),
        (b"max-age=60, stale-if-error=0", 502, 60, False),
        (b"max-age=60", 500, 60, False),
        (b"max-age=60", 502, 60, True),
        (b"max-age=60", 502, 60 + GRACE, False),
        (b"max-age=60, must-revalidate", 502, 60, False),
        (b"max-age=60, proxy-revalidate, stale-if-error=30", 502, 60, False),
        (b"s-maxage=60", 502, 60, False),
        (b"s-maxage=60, stale-if-error=30", 502, 60, True),
        (b"no-cache, stale-if-error=30", 502, 0, False),
    ],
)
def test_stale_on_errors(value, status, later, expected):
    """RFC 5861 §4 where it is stated, else the grace for an origin that is not there (§4.2.4)."""
    assert may_serve_stale_on_error(stored(value), status, NOW + later) == expected


# Anything


@given(
    st.binary(max_size=40) | st.sampled_from([SWR, b"no-cache", b"s-maxage=9", b"max-age=9"]),
    st.text(alphabet="max-stlenofrhcdiy=0189, ", max_size=40).map(str.encode) | st.binary(),
    st.integers(-(10**6), 10**6),
)
def test_any_bytes_have_an_outcome(response, wish, later):
    """No exception for any fields; what must be validated never serves stale."""
    described = stored(response)
    outcome = reuse(described, wishes(wish), NOW + later)

    if described.fresh_until == -inf:
        assert outcome in (Reuse.VALIDATE, Reuse.UNAVAILABLE)
    if outcome is Reuse.FRESH:
        assert NOW + later < described.fresh_until


@given(
    st.sampled_from([SWR, b"max-age=9", b"s-maxage=9", b"no-cache"]), st.lists(st.floats(0, 200))
)
def test_responses_do_not_get_fresher(value, moments):
    """Fresh, then stale, then to be validated; never back."""
    order = [Reuse.FRESH, Reuse.STALE_WHILE_REVALIDATE, Reuse.VALIDATE]
    described = stored(value)
    places = [order.index(reuse(described, None, NOW + later)) for later in sorted(moments)]

    assert places == sorted(places)


def test_long_wishes_take_linear_time():
    """A hundred kilobytes of directives take milliseconds."""
    began = time.process_time()
    for value in (b"max-age=1," * 10_000, b"max-age=" + b"9" * 100_000, b'a="' * 30_000):
        wishes(value)

    assert time.process_time() - began < 1
