"""What is stored of a response, and what 304, HEAD and parts change in it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.caching import Policy, SetCookie, response_directives
from edge.http.fields import FieldList, Line, format_http_date
from edge.http.freshening import (
    PRECONDITIONS,
    HeadEffect,
    conditional_fields,
    fields_of_304,
    framed,
    freshen,
    head_effect,
    identify,
    mark_stale,
    recency,
    stored_fields,
)
from edge.http.freshness import Stored, arrival_of, describe
from edge.http.reuse import Reuse, may_serve_stale_on_error, reuse

NOW = 1_750_000_000  # Sun, 15 Jun 2025 15:06:40 GMT
TODAY = b"Sun, 15 Jun 2025 15:06:40 GMT"
EARLIER = b"Sun, 15 Jun 2025 10:00:00 GMT"
DATE = (b"date", TODAY)
POLICY = Policy()


def fields(*lines: tuple[bytes, bytes]) -> FieldList:
    """A field section."""
    return FieldList(list(lines))


def kept(*lines: tuple[bytes, bytes]) -> list[Line]:
    """What is stored of a response that came now."""
    response = fields(*lines)
    return stored_fields(response, response_directives(response, POLICY.targeted), NOW)


def stored(*lines: tuple[bytes, bytes], status: int = 200, later: int = 0) -> Stored:
    """What is remembered of it."""
    response = fields(*lines)
    directives = response_directives(response, POLICY.targeted)
    arrival = arrival_of(response, NOW + later, NOW + later)
    return describe(status, response, directives, arrival, POLICY)


# What is stored


def test_names_are_stored_in_lower_case():
    """Everything is kept, also what nobody knows (RFC 9111 §3.1)."""
    received = [(b"X-Odd", b"1"), (b"Date", TODAY), (b"x-odd", b"2"), (b"Content-Range", b"x")]

    assert kept(*received) == [(name.lower(), value) for name, value in received]


OF_A_CONNECTION = (
    b"keep-alive proxy-authenticate proxy-authentication-info proxy-authorization proxy-connection"
    b" te trailer transfer-encoding upgrade age"
).split()


@pytest.mark.parametrize("name", OF_A_CONNECTION)
def test_what_belongs_to_a_connection_is_not_stored(name):
    """Nor what belongs to a proxy, nor Age, which is made anew (RFC 9111 §3.1)."""
    assert kept(DATE, (name, b"x"), (name.title(), b"y")) == [DATE]


def test_what_connection_names_is_not_stored():
    """In any case and on any line (RFC 9110 §7.6.1)."""
    lines = [(b"connection", b"close, A"), (b"connection", b"b,,"), (b"a", b"1"), (b"b", b"2")]

    assert kept(DATE, *lines, (b"c", b"3")) == [DATE, (b"c", b"3")]


@pytest.mark.parametrize("directive", [b"private", b"no-cache"])
def test_fields_that_a_directive_names_are_not_stored(directive):
    """They never come out unvalidated (RFC 9111 §5.2.2.4, §5.2.2.7)."""
    control = (b"cache-control", directive + b'="A, set-cookie", max-age=60')

    assert kept(DATE, control, (b"a", b"1"), (b"Set-Cookie", b"b=2"), (b"c", b"3")) == [
        DATE,
        control,
        (b"c", b"3"),
    ]


def test_a_directive_about_everything_leaves_nothing_out():
    """`no-cache` is validated instead; `private` would not have come here."""
    control = (b"cache-control", b'no-cache, no-cache="a"')

    assert kept(DATE, control, (b"a", b"1")) == [DATE, control, (b"a", b"1")]


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ([], TODAY),
        ([b"foo"], TODAY),
        ([EARLIER], EARLIER),
        ([EARLIER.lower()], EARLIER.lower()),
        ([EARLIER, TODAY], EARLIER),
        ([b"foo", EARLIER], TODAY),
    ],
    ids=["none", "invalid", "valid", "any-case", "first-counts", "first-invalid"],
)
def test_what_is_stored_has_one_date(dates, expected):
    """When it came, where it does not say (RFC 9110 §6.6.1)."""
    lines = kept((b"a", b"1"), *((b"date", date) for date in dates))

    assert [value for name, value in lines if name == b"date"] == [expected]
    assert (b"a", b"1") in lines


# Updates

OLD = [DATE, (b"cache-control", b"max-age=1"), (b"a", b"1"), (b"a", b"2"), (b"b", b"3")]


def updated(*lines: tuple[bytes, bytes], policy: Policy = POLICY) -> list[Line]:
    """The old lines after an update that came a minute later."""
    return freshen(OLD, fields(*lines), NOW + 60, policy)


def test_an_update_replaces_all_lines_of_a_name():
    """And keeps those it does not mention (RFC 9111 §3.2)."""
    later = (b"date", format_http_date(NOW + 60))

    assert updated(later, (b"A", b"9"), (b"new", b"8")) == [
        (b"cache-control", b"max-age=1"),
        (b"b", b"3"),
        later,
        (b"a", b"9"),
        (b"new", b"8"),
    ]


def test_an_update_without_a_date_is_of_its_arrival():
    """Else what was just validated would be as old as before (RFC 9110 §6.6.1)."""
    assert (b"date", format_http_date(NOW + 60)) in updated()
    assert DATE not in updated()


@pytest.mark.parametrize(
    "name", [*OF_A_CONNECTION, b"content-encoding", b"content-length", b"content-range"]
)
def test_what_is_never_updated(name):
    """The stored bytes are those they are; connections do not matter (RFC 9111 §3.2)."""
    lines = freshen([DATE, (name, b"old")], fields(DATE, (name, b"new")), NOW, POLICY)

    assert lines == [(name, b"old"), DATE]


@pytest.mark.parametrize(
    "name",
    [b"cache-control", b"content-type", b"content-location", b"content-security-policy",
     b"content-md5", b"content-foo", b"etag", b"expires", b"vary", b"last-modified"],
)  # fmt: skip
def test_what_is_updated(name):
    """`Content-` is no sign; only what describes our bytes is left (RFC 9111 §3.2)."""
    assert (name, b"new") in freshen([(name, b"old")], fields((name, b"new")), NOW, POLICY)


def test_an_update_brings_nothing_of_its_connection():
    """Nor what its Connection names."""
    lines = updated(DATE, (b"connection", b"a, x"), (b"a", b"9"), (b"x", b"9"))

    assert lines == [*OLD[1:], DATE]


@pytest.mark.parametrize(
    ("control", "setting", "is_taken"),
    [
        (b"max-age=60", SetCookie.SHARED, False),
        (b"public", SetCookie.SHARED, True),
        (b"public", SetCookie.NEVER, False),
        (b"max-age=60", SetCookie.ALWAYS, True),
        (b'public, private="set-cookie"', SetCookie.SHARED, False),
    ],
)
def test_a_cookie_in_an_update(control, setting, is_taken):
    """A 304 to one client puts no cookie of theirs before everybody."""
    update = [(b"cache-control", control), (b"set-cookie", b"id=1")]
    lines = updated(*update, policy=Policy(set_cookie=setting))

    assert ((b"set-cookie", b"id=1") in lines) == is_taken


def test_fields_named_by_stored_directives_stay_out():
    """The directives that hold after the update decide, whichever message they came with."""
    control = (b"cache-control", b'private="x"')

    assert freshen([control], fields(DATE, (b"x", b"1")), NOW, POLICY) == [control, DATE]


SECTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"cache-control", b"cdn-cache-control", b"connection", b"date", b"set-cookie", b"A",
             b"vary", b"content-length", b"etag", b"b", b"last-modified"]
        ),
        st.binary(max_size=12)
        | st.sampled_from(
            [b'private="a"', b'no-cache="b, etag"', b"public", b"a, b", TODAY, EARLIER, b'"x"']
        ),
    ),
    max_size=8,
).map(FieldList)  # fmt: skip


@given(SECTIONS, SECTIONS, st.sampled_from(SetCookie))
def test_updates_are_idempotent(response, update, setting):
    """The same 304 twice changes nothing, for any bytes."""
    policy = Policy(set_cookie=setting)
    lines = stored_fields(response, response_directives(response, policy.targeted), NOW)
    once = freshen(lines, update, NOW, policy)

    assert freshen(once, update, NOW, policy) == once
    assert all(name == name.lower() and name not in OF_A_CONNECTION for name, _ in once)
    assert sum(name == b"date" for name, _ in once) == 1


# Sending


def test_a_304_has_what_the_client_may_not_know():
    """Validators, lifetimes and policies, no metadata of content (RFC 9110 §15.4.5)."""
    lines = [DATE, (b"etag", b'"a"'), (b"vary", b"x"), (b"content-location", b"/"),
             (b"content-security-policy", b"x"), (b"cache-control", b"max-age=1")]  # fmt: skip
    more = [(b"content-type", b"x"), (b"content-length", b"1"), (b"content-encoding", b"br")]

    assert fields_of_304([*lines, *more]) == lines


def test_lines_are_framed_for_what_is_sent():
    """A part or the whole, whatever the stored ones say."""
    lines = [(b"a", b"1"), (b"content-length", b"9"), (b"content-range", b"bytes 0-8/20")]

    assert framed(lines, 20) == [(b"a", b"1"), (b"content-length", b"20")]
    assert framed(lines, 2, b"bytes 0-1/20") == [
        (b"a", b"1"),
        (b"content-range", b"bytes 0-1/20"),
        (b"content-length", b"2"),
    ]


# Validating


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        ([(b"etag", b'"a"')], [(b"if-none-match", b'"a"')]),
        ([(b"etag", b'W/"a"')], [(b"if-none-match", b'W/"a"')]),
        ([(b"etag", b"a-1")], [(b"if-none-match", b"a-1")]),
        ([(b"etag", b"*")], []),
        ([(b"etag", b"a, b")], []),
        ([(b"etag", b'"a", "b"')], []),
        ([(b"etag", b'"a')], []),
        ([(b"etag", b"")], []),
        ([(b"last-modified", EARLIER)], [(b"if-modified-since", EARLIER)]),
        ([(b"last-modified", EARLIER.lower())], [(b"if-modified-since", EARLIER.lower())]),
        ([(b"last-modified", b"foo")], []),
        (
            [(b"last-modified", EARLIER), (b"etag", b'"a"')],
            [(b"if-none-match", b'"a"'), (b"if-modified-since", EARLIER)],
        ),
    ],
)
def test_conditions(lines, expected):
    """Both validators, as received; nothing that would match by accident (RFC 9111 §4.3.1)."""
    assert conditional_fields(stored(*lines)) == expected


def test_no_conditions_about_an_error_page():
    """Its validators are not those of what is there by now (RFC 9110 §13.2.1)."""
    assert conditional_fields(stored((b"etag", b'"a"'), status=404)) == []


def test_conditions_of_the_client_are_known():
    """All five of RFC 9110 §13.1."""
    names = b"if-match if-none-match if-modified-since if-unmodified-since if-range"

    assert set(names.split()) == PRECONDITIONS


ETAG_A, ETAG_B = (b"etag", b'"a"'), (b"etag", b'"b"')
WEAK_A = (b"etag", b'W/"a"')
MODIFIED, NEWER = (b"last-modified", EARLIER), (b"last-modified", TODAY)


@pytest.mark.parametrize(
    ("candidates", "update", "expected"),
    [
        ([[ETAG_A]], [ETAG_A], [0]),
        ([[ETAG_A]], [ETAG_B], []),
        ([[ETAG_A], [ETAG_B], [ETAG_A]], [ETAG_A], [0, 2]),
        ([[WEAK_A]], [ETAG_A], []),
        ([[ETAG_A, MODIFIED]], [ETAG_B, MODIFIED], []),
        ([[WEAK_A], [WEAK_A]], [WEAK_A], [1]),
        ([[ETAG_A]], [WEAK_A], [0]),
        ([[ETAG_B]], [WEAK_A], []),
        ([[ETAG_B, MODIFIED]], [WEAK_A, MODIFIED], []),
        ([[MODIFIED], [MODIFIED]], [MODIFIED], [1]),
        ([[MODIFIED], [NEWER]], [MODIFIED], [0]),
        ([[ETAG_A, MODIFIED]], [MODIFIED], [0]),
        ([[MODIFIED]], [WEAK_A, MODIFIED], [0]),
        ([[MODIFIED]], [(b"last-modified", b"foo")], []),
        ([[]], [], [0]),
        ([[ETAG_A]], [], [0]),
        ([[ETAG_A], [ETAG_B]], [], []),
        ([], [ETAG_A], []),
        ([], [], []),
    ],
)
def test_what_a_304_is_about(candidates, update, expected):
    """All with its strong tag, else the most recent that fits, else the only one (§4.3.4)."""
    known = [stored(*lines, later=place) for place, lines in enumerate(candidates)]

    assert identify(known, fields(*update)) == expected


def test_the_most_recent_is_that_of_the_latest_date():
    """Of one date, that which came last (RFC 9111 §4)."""
    old, new = stored((b"date", EARLIER), later=5), stored(DATE)

    assert identify([new, old], fields(MODIFIED)) == []
    assert max(old, new, key=recency) is new
    assert max(new, stored(DATE, later=1), key=recency).received_at == NOW + 1


def test_a_response_marked_stale_may_still_do_what_stale_ones_may():
    """As if its lifetime had ended now (soft purge, RFC 9111 §4.3.5)."""
    control = (b"cache-control", b"max-age=60, stale-while-revalidate=30, stale-if-error=40")
    marked = mark_stale(stored(control), NOW + 10)

    assert reuse(marked, None, NOW + 10) is Reuse.STALE_WHILE_REVALIDATE
    assert reuse(marked, None, NOW + 40) is Reuse.VALIDATE
    assert may_serve_stale_on_error(marked, 500, NOW + 49)
    assert mark_stale(marked, NOW + 20) == marked


# HEAD


@pytest.mark.parametrize(
    ("known", "status", "update", "expected"),
    [
        ([ETAG_A, MODIFIED], 200, [], HeadEffect.UPDATE),
        ([ETAG_A, MODIFIED], 200, [ETAG_A, MODIFIED], HeadEffect.UPDATE),
        ([ETAG_A], 200, [ETAG_B], HeadEffect.STALE),
        ([ETAG_A], 200, [WEAK_A], HeadEffect.STALE),
        ([ETAG_A, MODIFIED], 200, [ETAG_A, NEWER], HeadEffect.STALE),
        ([], 200, [ETAG_A], HeadEffect.STALE),
        ([], 200, [(b"content-length", b"10")], HeadEffect.UPDATE),
        ([], 200, [(b"content-length", b"11")], HeadEffect.STALE),
        ([], 404, [ETAG_A], HeadEffect.NONE),
        ([], 304, [], HeadEffect.NONE),
    ],
)
def test_head(known, status, update, expected):
    """A 200 that says nothing else updates, one that does puts out of date (§4.3.5)."""
    assert head_effect(stored(*known), 10, status, fields(*update)) is expected


def test_head_does_not_make_a_page_of_an_error():
    """A 200 to HEAD is about something else than a stored 404."""
    assert head_effect(stored(status=404), 10, 200, fields()) is HeadEffect.STALE


# Anything


@given(SECTIONS, SECTIONS, st.integers(100, 599))
def test_any_bytes_can_be_validated(response, update, status):
    """No exception for any fields; conditions hold no control and no asterisk."""
    known = stored(*response, status=status)

    assert identify([known], update) in ([], [0])
    assert head_effect(known, 0, status, update) in HeadEffect
    assert (b"if-none-match", b"*") not in conditional_fields(known)


def test_many_lines_take_linear_time():
    """Ten thousand lines in store and update take milliseconds."""
    lines = [(b"n%d" % number, b"x" * 10) for number in range(10_000)]
    began = time.process_time()
    freshen([DATE, *lines], fields(DATE, *lines, (b"connection", b"n," * 10_000)), NOW, POLICY)

    assert time.process_time() - began < 1
