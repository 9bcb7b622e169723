"""Ages, lifetimes and what is remembered, against the arithmetic of RFC 9111 §4.2."""

from __future__ import annotations

import time
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.caching import Policy, response_directives
from edge.http.fields import FieldList, format_http_date
from edge.http.freshness import (
    Arrival,
    Lifetime,
    Staleness,
    Stored,
    age_of,
    arrival_of,
    cache_date,
    current_age,
    date_of,
    describe,
    freshness_lifetime,
    initial_age,
    is_useful,
    remaining,
    staleness_of,
)

NOW = 1_750_000_000  # Sun, 15 Jun 2025 15:06:40 GMT
TODAY = b"Sun, 15 Jun 2025 15:06:40 GMT"
POLICY = Policy()
GUESSING = Policy(heuristic=True)


def fields(*lines: tuple[bytes, bytes]) -> FieldList:
    """A field section."""
    return FieldList(list(lines))


def controlled(value: bytes, *lines: tuple[bytes, bytes]) -> FieldList:
    """A response with this Cache-Control."""
    return fields((b"cache-control", value), *lines)


def at(seconds: int) -> bytes:
    """The date that many seconds from now."""
    return format_http_date(NOW + seconds)


def stored(response: FieldList, status: int = 200, policy: Policy = POLICY, **times: float):
    """What is remembered of a response that came now."""
    arrival = arrival_of(response, times.get("requested_at", NOW), times.get("received_at", NOW))
    directives = response_directives(response, policy.targeted)
    return describe(status, response, directives, arrival, policy)


# Dates and ages


@pytest.mark.parametrize(
    "value",
    [
        TODAY,
        b" " + TODAY + b"\t",
        b"SUN, 15 JUN 2025 15:06:40 gmt",
        b"sun, 15 jun 2025 15:06:40 GmT",
        b"Sunday, 15-Jun-25 15:06:40 GMT",
        b"SUNDAY, 15-JUN-25 15:06:40 GMT",
        b"Sun Jun 15 15:06:40 2025",
        b"sun jun 15 15:06:40 2025",
    ],
)
def test_dates_in_any_case(value):
    """Caches read all three forms case-insensitively (RFC 9111 §4.2)."""
    assert cache_date(value, NOW) == NOW


@pytest.mark.parametrize(
    "value", [b"", b"0", b"Sun, 15 Jun 2025 15:06:40 UTC", b"Sun, 15 Jun 2025 15:06:40", b"Gmt"]
)
def test_no_dates(value):
    """Another zone, or none, is no date (RFC 9111 §4.2)."""
    assert cache_date(value, NOW) is None


def test_a_response_without_a_date_is_of_its_arrival():
    """So is one whose date is none (RFC 9110 §6.6.1)."""
    assert date_of(fields(), NOW + 0.9) == NOW
    assert date_of(fields((b"date", b"foo")), NOW) == NOW
    assert date_of(fields((b"date", at(-5))), NOW) == NOW - 5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0),
        ([b"30"], 30),
        ([b" 30 "], 30),
        ([b"30, 0"], 30),
        ([b"0, 30"], 0),
        ([b"30", b"0"], 30),
        ([b"0", b"30"], 0),
        ([b"abc"], 0),
        ([b"abc, 30"], 0),
        ([b"-30"], 0),
        ([b"30.0"], 0),
        ([b"30;a=b"], 0),
        ([b""], 0),
        ([b"9" * 30], 2**31),
    ],
    ids=repr,
)
def test_age_values(values, expected):
    """The first member counts; what is no number is ignored (RFC 9111 §5.1)."""
    assert age_of(fields(*((b"age", value) for value in values))) == expected


@pytest.mark.parametrize(
    ("arrival", "date", "expected"),
    [
        (Arrival(NOW, NOW), NOW, 0),
        (Arrival(NOW, NOW), NOW - 10, 10),
        (Arrival(NOW, NOW), NOW + 10, 0),
        (Arrival(NOW, NOW, 30), NOW - 10, 30),
        (Arrival(NOW, NOW, 5), NOW - 10, 10),
        (Arrival(NOW - 4, NOW, 30), NOW, 34),
        (Arrival(NOW - 4, NOW), NOW, 4),
        (Arrival(NOW + 4, NOW), NOW, 0),
        (Arrival(NOW + 0.5, NOW + 0.75), NOW, 0.25),
    ],
    ids=[
        "now",
        "apparent",
        "clock-ahead",
        "age-wins",
        "apparent-wins",
        "age-and-delay",
        "delay-alone",
        "clock-set-back",
        "fractions",
    ],
)
def test_initial_ages(arrival, date, expected):
    """The larger of apparent_age and corrected_age_value (RFC 9111 §4.2.3)."""
    assert initial_age(arrival, date) == expected


def test_current_age_grows_with_the_clock():
    """Resident time is added; a clock set back adds none (RFC 9111 §4.2.3)."""
    response = stored(controlled(b"max-age=60", (b"age", b"10")))

    assert [current_age(response, NOW + s) for s in (-100, 0, 5, 50)] == [10, 10, 15, 60]
    assert [remaining(response, NOW + s) for s in (0, 0.5, 50, 50.5, 60)] == [50, 49, 0, -1, -10]


# Lifetimes


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (controlled(b"s-maxage=1, max-age=2", (b"expires", at(3))), Lifetime(1, b"s-maxage")),
        (controlled(b"max-age=2", (b"expires", at(3))), Lifetime(2, b"max-age")),
        (controlled(b"max-age=2h", (b"expires", at(3))), Lifetime(0, b"max-age")),
        (controlled(b"s-maxage, max-age=2"), Lifetime(0, b"s-maxage")),
        (controlled(b"max-age=99999999999"), Lifetime(2**31, b"max-age")),
        (fields((b"expires", at(3))), Lifetime(3, b"expires")),
        (fields((b"expires", at(-3))), Lifetime(0, b"expires")),
        (fields((b"expires", b"0")), Lifetime(0, b"expires")),
        (fields((b"expires", b"")), Lifetime(0, b"expires")),
        (fields((b"expires", at(3)), (b"expires", at(9))), Lifetime(3, b"expires")),
        (fields((b"cdn-cache-control", b"max-age=1"), (b"expires", at(3))),
         Lifetime(1, b"max-age")),
        (fields((b"cdn-cache-control", b"foo"), (b"expires", at(3))), Lifetime(0, b"none")),
        (fields(), Lifetime(0, b"none")),
        (fields((b"last-modified", at(-1000))), Lifetime(0, b"none")),
    ],
)  # fmt: skip
def test_stated_lifetimes(response, expected):
    """s-maxage before max-age before Expires; the invalid is 0 (RFC 9111 §4.2.1)."""
    directives = response_directives(response, POLICY.targeted)

    assert freshness_lifetime(200, response, directives, NOW, POLICY) == expected


@pytest.mark.parametrize(
    ("status", "response", "expected"),
    [
        (200, fields((b"last-modified", at(-1000))), Lifetime(100, b"heuristic")),
        (200, fields((b"last-modified", at(-1009))), Lifetime(100, b"heuristic")),
        (200, fields((b"last-modified", at(-1_728_000))), Lifetime(86_400, b"heuristic")),
        (200, fields((b"last-modified", at(10))), Lifetime(0, b"heuristic")),
        (200, fields((b"last-modified", b"foo")), Lifetime(0, b"heuristic")),
        (200, fields(), Lifetime(0, b"heuristic")),
        (404, fields((b"last-modified", at(-1000))), Lifetime(0, b"none")),
        (302, fields((b"last-modified", at(-1000))), Lifetime(0, b"none")),
        (302, controlled(b"public", (b"last-modified", at(-1000))), Lifetime(100, b"heuristic")),
        (200, controlled(b"max-age=x", (b"last-modified", at(-1000))), Lifetime(0, b"max-age")),
        (200, fields((b"expires", b"0"), (b"last-modified", at(-1000))), Lifetime(0, b"expires")),
    ],
)
def test_guessed_lifetimes(status, response, expected):
    """A tenth, a day at most, and never beside anything that is stated (RFC 9111 §4.2.2)."""
    directives = response_directives(response, POLICY.targeted)

    assert freshness_lifetime(status, response, directives, NOW, GUESSING) == expected


GRACE = POLICY.grace_s


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-age=1", Staleness(0, 0, GRACE, is_tolerable=True)),
        (b"max-age=1, stale-while-revalidate=5", Staleness(5, 0, GRACE, is_tolerable=True)),
        (b"max-age=1, stale-while-revalidate", Staleness(0, 0, GRACE, is_tolerable=True)),
        (b"max-age=1, stale-if-error=7", Staleness(0, 7, 7, is_tolerable=True)),
        (b"max-age=1, stale-if-error=0", Staleness(0, 0, 0, is_tolerable=True)),
        (b"s-maxage=1", Staleness()),
        (b"s-maxage=1, stale-while-revalidate=5", Staleness(5, 0, 0)),
        (b"s-maxage=1, stale-if-error=7", Staleness(0, 7, 7)),
        (b"stale-while-revalidate=5, must-revalidate", Staleness()),
        (b"stale-while-revalidate=5, stale-if-error=7, proxy-revalidate", Staleness()),
        (b"stale-while-revalidate=5, no-cache", Staleness()),
        (b'stale-while-revalidate=5, no-cache="a"', Staleness(5, 0, GRACE, is_tolerable=True)),
    ],
)
def test_what_may_happen_after_the_lifetime(value, expected):
    """RFC 9111 §4.2.4 and RFC 5861; an explicit word beats the implied one, no more."""
    assert staleness_of(response_directives(controlled(value), ()), POLICY) == expected


# What is remembered


def test_a_description():
    """Everything that decisions need, worked out once."""
    response = controlled(
        b"max-age=60, stale-while-revalidate=30, immutable",
        (b"date", at(-2)),
        (b"age", b"5"),
        (b"etag", b' "a" '),
        (b"last-modified", at(-100)),
        (b"vary", b"Foo, Accept"),
    )

    assert stored(response, requested_at=NOW - 1) == Stored(
        status=200,
        date=NOW - 2,
        received_at=NOW,
        initial_age=6,
        lifetime=Lifetime(60, b"max-age"),
        fresh_until=NOW + 54,
        staleness=Staleness(30, 0, GRACE, is_tolerable=True),
        is_immutable=True,
        etag=b'"a"',
        last_modified=NOW - 100,
        last_modified_line=at(-100),
        vary=(b"accept", b"foo"),
    )


def test_no_cache_is_never_fresh():
    """However long its lifetime is; with fields named, only those are concerned (§5.2.2.4)."""
    assert stored(controlled(b"no-cache, max-age=60")).fresh_until == -inf
    assert remaining(stored(controlled(b"no-cache, max-age=60")), NOW) == 0
    assert stored(controlled(b'no-cache="a", max-age=60')).fresh_until == NOW + 60


VALIDATORS = ((b"etag", b'"a"'), (b"last-modified", TODAY))


@pytest.mark.parametrize("status", [200, 206, 299])
def test_what_was_a_success_has_validators(status):
    """Such are what conditions are about (RFC 9110 §13.2.1)."""
    response = stored(controlled(b"max-age=60", *VALIDATORS), status)

    assert (response.etag, response.last_modified_line) == (b'"a"', TODAY)


@pytest.mark.parametrize("status", [300, 301, 404, 410, 500])
def test_an_error_page_has_no_validators(status):
    """Origins ignore conditions for such, and a 304 would be about what is there by now."""
    response = stored(controlled(b"max-age=60", *VALIDATORS), status)

    assert (response.etag, response.last_modified, response.last_modified_line) == (b"", None, b"")


@pytest.mark.parametrize(
    ("lines", "etag", "last_modified"),
    [
        ([(b"last-modified", b"foo")], b"", None),
        ([(b"etag", b'"a"'), (b"etag", b'"b"')], b"", None),
        ([(b"last-modified", TODAY), (b"last-modified", TODAY)], b"", None),
        ([(b"etag", b"unquoted")], b"unquoted", None),
        ([(b"last-modified", TODAY.lower())], b"", NOW),
    ],
)
def test_odd_validators(lines, etag, last_modified):
    """What is given twice or cannot be read does not validate."""
    response = stored(fields(*lines))

    assert (response.etag, response.last_modified) == (etag, last_modified)
    assert bool(response.last_modified_line) == (last_modified is not None)


def test_without_last_modified_a_response_is_as_old_as_its_date():
    """What If-Modified-Since is compared with (RFC 9111 §4.3.2)."""
    assert stored(fields((b"date", at(-7)))).modified == NOW - 7
    assert stored(fields((b"date", at(-7)), (b"last-modified", at(-9)))).modified == NOW - 9


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (controlled(b"max-age=1"), True),
        (controlled(b"max-age=0"), False),
        (controlled(b"max-age=60", (b"age", b"60")), False),
        (controlled(b"max-age=0", (b"etag", b'"a"')), True),
        (controlled(b"no-cache", (b"last-modified", TODAY)), True),
        (controlled(b"no-cache"), False),
        (controlled(b"max-age=0, stale-while-revalidate=1"), True),
        (controlled(b"max-age=0, stale-if-error=1"), True),
        (controlled(b"max-age=0, stale-if-error=1, must-revalidate"), False),
    ],
)
def test_what_is_worth_storing(response, expected):
    """Fresh for a moment, or to be validated, or allowed to be stale."""
    assert is_useful(stored(response)) == expected


def test_a_star_that_was_stored_by_mistake_selects_by_nothing():
    """`may_store` refuses it; describing it does not fail."""
    assert stored(fields((b"vary", b"*"))).vary == ()


# Anything

LINES = st.lists(
    st.tuples(
        st.sampled_from(
            [b"date", b"age", b"expires", b"cache-control", b"etag", b"last-modified", b"vary"]
        ),
        st.binary(max_size=30)
        | st.sampled_from([TODAY, b"max-age=60", b"no-cache", b"s-maxage=9, stale-if-error=1"]),
    ),
    max_size=6,
).map(FieldList)
MOMENTS = st.floats(NOW - 10**6, NOW + 10**6)


@given(LINES, MOMENTS, MOMENTS, st.lists(MOMENTS, min_size=2).map(sorted))
def test_any_bytes_are_described_and_age(response, requested_at, received_at, moments):
    """No exception for any fields; age never falls, freshness never comes back."""
    described = stored(
        response, policy=GUESSING, requested_at=requested_at, received_at=received_at
    )
    ages = [current_age(described, now) for now in moments]
    left = [remaining(described, now) for now in moments]

    assert ages == sorted(ages)
    assert ages[0] >= 0
    assert left == sorted(left, reverse=True)


@given(LINES, st.integers(0, 10**6))
def test_freshness_is_lifetime_above_age(response, later):
    """`fresh_until` says what §4.2 says: response_is_fresh = lifetime > current_age."""
    described = stored(response)
    now = NOW + later
    is_fresh = described.lifetime.seconds > current_age(described, now)

    if described.fresh_until != -inf:
        assert (now < described.fresh_until) == is_fresh


@pytest.mark.parametrize("name", [b"date", b"age", b"expires", b"last-modified", b"etag"])
def test_long_values_take_linear_time(name):
    """A hundred kilobytes in any field take milliseconds."""
    began = time.process_time()
    for value in (b"9" * 100_000, b"Sun, " * 20_000, b'"' * 100_000):
        stored(fields((name, value)), policy=GUESSING)

    assert time.process_time() - began < 1
