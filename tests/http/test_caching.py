"""What a shared cache may store, with the reason for every no; RFC 9111 §3 as tables."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.http.caching import (
    ABOUT_REQUEST,
    CLIENT_DIRECTIVES,
    NEVER_STORED,
    REFUSALS,
    UNDERSTOOD,
    Directives,
    Policy,
    Reason,
    SetCookie,
    lasting,
    may_store,
    response_directives,
)
from edge.http.fields import FieldList

POLICY = Policy()
CDN = (b"cdn-cache-control",)
STATED = b"max-age=60"


def fields(*lines: tuple[bytes, bytes]) -> FieldList:
    """A field section."""
    return FieldList(list(lines))


def controlled(*values: bytes) -> FieldList:
    """A response with these Cache-Control lines."""
    return fields(*((b"cache-control", value) for value in values))


def reason(
    response: FieldList,
    request: FieldList | None = None,
    method: bytes = b"GET",
    status: int = 200,
    policy: Policy = POLICY,
) -> Reason | None:
    """Why a response is not stored."""
    return may_store(method, request or fields(), status, response, policy).reason


# Directives


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Directives({})),
        ([(b"cache-control", b"A, b=1")], Directives({b"a": None, b"b": b"1"})),
        (
            [(b"cache-control", b"no-store"), (b"cdn-cache-control", b"max-age=1")],
            Directives({b"max-age": b"1"}, is_targeted=True),
        ),
        (
            [(b"cache-control", b"no-store"), (b"cdn-cache-control", b"Max-Age=1")],
            Directives({b"no-store": None}),
        ),
        (
            [(b"cache-control", b"no-store"), (b"surrogate-control", b"max-age=1")],
            Directives({b"no-store": None}),
        ),
    ],
    ids=["none", "plain", "targeted", "targeted-invalid", "not-on-the-list"],
)
def test_which_directives_hold(lines, expected):
    """Those of the targeted field where it is valid, else Cache-Control's (RFC 9213 §2.2)."""
    assert response_directives(fields(*lines), CDN) == expected


@pytest.mark.parametrize(
    ("values", "names", "is_whole"),
    [
        ([], (), False),
        ([b"private"], (), True),
        ([b'private="Set-Cookie, X"'], (b"set-cookie", b"x"), False),
        ([b"private=x"], (b"x",), False),
        ([b'private="x", private'], (), True),
        ([b"private", b'private="x"'], (), True),
        ([b'private="x", private="y"'], (b"x", b"y"), False),
        ([b'private="x"', b'a, private="y"'], (b"x", b"y"), False),
        ([b'private=""'], (), True),
        ([b"private="], (), True),
        ([b'private="a b"'], (), True),
        ([b'private="x, vary"'], (), True),
        ([b'private="Cache-Control"'], (), True),
        ([b'private="x'], (), True),
    ],
)
@pytest.mark.parametrize("name", [b"private", b"no-cache"])
def test_what_private_and_no_cache_are_about(name, values, names, is_whole):
    """Some fields, or all; wherever that is in doubt, all (RFC 9111 §5.2.2.4, §5.2.2.7)."""
    lines = [value.replace(b"private", name) for value in values]
    directives = response_directives(controlled(*lines), CDN)

    assert directives.named(name) == set(names)
    assert directives.is_whole(name) == is_whole


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"", None), (b"max-age=5", 5), (b"max-age", 0), (b"max-age=5x", 0), (b'max-age="5"', 5)],
)
def test_seconds_that_are_stated_and_invalid_are_zero(value, expected):
    """A lifetime nobody can read is one that has passed (RFC 9111 §4.2.1)."""
    assert response_directives(controlled(value), CDN).seconds(b"max-age") == expected


# The decision


@pytest.mark.parametrize("method", [b"HEAD", b"POST", b"PUT", b"get", b"QUERY", b""])
def test_only_get_is_stored(method):
    """Others answer something that no key here has (RFC 9110 §9.2.3)."""
    stated = fields((b"cache-control", STATED), (b"content-location", b"/"))

    assert reason(stated, method=method) is Reason.METHOD


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ((b"content-length", b"1"), Reason.REQUEST_CONTENT),
        ((b"transfer-encoding", b"chunked"), Reason.REQUEST_CONTENT),
        ((b"content-length", b"0"), None),
        ((b"content-length", b"00"), None),
    ],
)
def test_a_get_with_content_is_not_stored(line, expected):
    """Its answer may be to the content (RFC 9110 §9.3.1)."""
    assert reason(controlled(STATED), fields(line)) is expected


def test_statuses():
    """Final ones are stored where a lifetime is stated, but for those of one request alone."""
    refused = {status: reason(controlled(STATED), status=status) for status in range(100, 600)}
    never = [*range(100, 200), 304, 407, 412, 416, 417, 425, 428, 429, 431, 511]

    assert [status for status in refused if refused[status] is Reason.STATUS] == never
    assert [status for status in refused if refused[status] is Reason.PARTIAL] == [206]
    assert set(refused.values()) == {None, Reason.STATUS, Reason.PARTIAL}


def test_statuses_without_a_lifetime():
    """Only those of RFC 9110 §15.1 are stored then, and no errors among them."""
    stored = [status for status in range(100, 600) if reason(fields(), status=status) is None]

    assert stored == [200, 203, 204, 300, 301, 308]


@pytest.mark.parametrize("status", [404, 405, 410, 414, 501])
def test_errors_are_guessed_about_where_the_settings_say_so(status):
    """The RFC's list of statuses holds whole then (RFC 9110 §15.1)."""
    assert reason(fields(), status=status, policy=Policy(heuristic_errors=True)) is None


@pytest.mark.parametrize(
    ("response", "status", "expected"),
    [
        (controlled(b"s-maxage=0"), 500, None),
        (controlled(b"max-age=x"), 500, None),
        (fields((b"expires", b"0")), 500, None),
        (controlled(b"public"), 599, None),
        (fields((b"cdn-cache-control", b"max-age=1")), 500, None),
        (fields((b"cdn-cache-control", b"none"), (b"expires", b"0")), 500, Reason.NO_LIFETIME),
        (fields((b"cdn-cache-control", b"none"), (b"cache-control", b"no-store")), 200, None),
    ],
    ids=[
        "s-maxage",
        "invalid",
        "expires",
        "public",
        "targeted",
        "targeted-hides-expires",
        "rfc9213-none",
    ],
)
def test_what_makes_any_status_storable(response, status, expected):
    """A stated lifetime, or `public` (RFC 9111 §3, last item)."""
    assert reason(response, status=status) is expected


@pytest.mark.parametrize(
    ("value", "status", "expected"),
    [
        (b"no-store", 200, Reason.NO_STORE),
        (b"No-Store, max-age=60", 200, Reason.NO_STORE),
        (b"no-store=x, max-age=60", 200, Reason.NO_STORE),
        (b"max-age=60, no-store, must-understand", 200, None),
        (b"max-age=60, no-store, must-understand", 599, Reason.NOT_UNDERSTOOD),
        (b"max-age=60, must-understand", 599, Reason.NOT_UNDERSTOOD),
        (b"max-age=60", 599, None),
        (b"no-cache", 200, None),
        (b'private="x", max-age=60', 200, None),
        (b"private, max-age=60", 200, Reason.PRIVATE),
        (b'extension="no-store", max-age=60', 200, None),
        (b'max-age=60, x="private, no-store', 200, None),
    ],
)
def test_directives_that_forbid(value, status, expected):
    """`no-store`, `private`, `must-understand`, and what only looks like them (§5.2.2)."""
    assert reason(controlled(value), status=status) is expected


def test_what_is_understood_is_what_the_rfc_lists():
    """Final codes of RFC 9110 §15, and 451; not those from before, from elsewhere, or reserved."""
    listed = [*range(200, 207), *range(300, 306), 307, 308, *range(400, 418), 421, 422, 426, 451]

    assert [*listed, *range(500, 506)] == sorted(UNDERSTOOD)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-age=60", Reason.AUTHORIZATION),
        (b"max-age=60, proxy-revalidate", Reason.AUTHORIZATION),
        (b"max-age=60, public", None),
        (b"s-maxage=60", None),
        (b"max-age=60, must-revalidate", None),
        (b"private, public", Reason.PRIVATE),
    ],
)
def test_answers_to_credentials(value, expected):
    """Only what lets others have it is stored (RFC 9111 §3.5)."""
    request = fields((b"authorization", b"Basic eA=="))

    assert reason(controlled(value), request) is expected
    targeted = fields((b"cdn-cache-control", value), (b"cache-control", b"public"))
    assert reason(targeted, request) is expected


@pytest.mark.parametrize(
    ("line", "setting", "expected"),
    [
        (STATED, SetCookie.SHARED, Reason.SET_COOKIE),
        (b"public, max-age=60", SetCookie.SHARED, None),
        (b"s-maxage=60", SetCookie.SHARED, None),
        (STATED, SetCookie.ALWAYS, None),
        (b"public, s-maxage=60", SetCookie.NEVER, Reason.SET_COOKIE),
        (b'max-age=60, private="set-cookie"', SetCookie.NEVER, None),
        (b'max-age=60, no-cache="Set-Cookie"', SetCookie.NEVER, None),
    ],
)
def test_cookies(line, setting, expected):
    """A cookie is shared only where its origin speaks to shared caches (§7.3, and row 10)."""
    response = fields((b"cache-control", line), (b"set-cookie", b"id=1"))

    assert reason(response, policy=Policy(set_cookie=setting)) is expected


def test_a_targeted_field_speaks_to_shared_caches():
    """Who writes CDN-Cache-Control beside a cookie means a CDN."""
    response = fields((b"cdn-cache-control", STATED), (b"set-cookie", b"id=1"))

    assert reason(response, policy=Policy(set_cookie=SetCookie.SHARED)) is None
    assert reason(response) is Reason.SET_COOKIE


@pytest.mark.parametrize("vary", [b"*", b"Accept, *", b"what is this"])
def test_what_varies_by_anything_is_not_stored(vary):
    """Nobody could be given it (RFC 9111 §4.1)."""
    assert reason(fields((b"cache-control", STATED), (b"vary", vary))) is Reason.VARY


PART = ((b"cache-control", STATED), (b"content-range", b"bytes 0-4/10"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([*PART, (b"etag", b'"a"')], None),
        ([*PART, (b"etag", b'W/"a"')], Reason.PARTIAL),
        ([*PART], Reason.PARTIAL),
        ([(b"cache-control", STATED), (b"etag", b'"a"')], Reason.PARTIAL),
    ],
)
def test_parts_are_stored_where_they_can_be_completed(lines, expected):
    """And where the settings have them stored at all (RFC 9111 §3.3)."""
    policy = Policy(is_partial_stored=True)

    assert reason(fields(*lines), status=206, policy=policy) is expected


@pytest.mark.parametrize(
    ("obeyed", "value", "expected"),
    [
        (CLIENT_DIRECTIVES, b"no-store", Reason.REQUEST_NO_STORE),
        (CLIENT_DIRECTIVES, b"no-cache", None),
        (frozenset((b"no-cache",)), b"no-store", None),
        (frozenset(), b"no-store", None),
    ],
)
def test_clients_that_want_nothing_stored(obeyed, value, expected):
    """Their `no-store` counts where it is obeyed (RFC 9111 §5.2.1.5)."""
    request = fields((b"cache-control", value))

    assert reason(controlled(STATED), request, policy=Policy(obeyed=obeyed)) is expected


def test_the_first_reason_is_told():
    """A response that is refused for many reasons tells what would have to change first."""
    response = fields(
        (b"cache-control", b"no-store, private"), (b"set-cookie", b"a=b"), (b"vary", b"*")
    )

    assert reason(response) is Reason.NO_STORE
    assert reason(response, method=b"POST") is Reason.METHOD


def test_the_words_for_reasons():
    """Dashboards and `explain` know them by these."""
    words = (
        b"method request-content status must-understand no-store request-no-store private"
        b" authorization vary-asterisk set-cookie partial no-lifetime stale-at-once too-large"
        b" cookie client-address overtaken elsewhere server-error"
    )

    assert [each.value for each in Reason] == words.split()


def test_the_settings_as_shipped():
    """Nothing is guessed, no client decides, no cookie is stored, a day of grace."""
    assert Policy() == Policy(
        heuristic=False,
        heuristic_errors=False,
        targeted=(b"cdn-cache-control",),
        obeyed=frozenset(),
        set_cookie=SetCookie.NEVER,
        is_partial_stored=False,
        grace_s=86_400,
    )
    names = b"max-age max-stale min-fresh no-cache no-store only-if-cached"
    assert sorted(CLIENT_DIRECTIVES) == names.split()


def test_every_refusal_has_a_reason_of_its_own():
    """And the reasons that are left are said by others."""
    refused = [each for each, _ in REFUSALS]

    assert len(set(refused)) == len(refused)
    assert set(Reason) - set(refused) == {*list(Reason)[len(refused) :]}


def test_some_refusals_are_about_the_request_alone():
    """What others stored of the response before is as good as it was."""
    policy = Policy(obeyed=CLIENT_DIRECTIVES)
    for line in ((b"authorization", b"x"), (b"cache-control", b"no-store"),
                 (b"content-length", b"1")):  # fmt: skip
        assert reason(controlled(STATED), fields(line), policy=policy) in ABOUT_REQUEST
        assert reason(controlled(STATED), policy=policy) is None


def test_a_verdict_carries_its_directives():
    """They are read once."""
    verdict = may_store(b"GET", fields(), 200, controlled(b"max-age=60"), POLICY)

    assert verdict.directives == Directives({b"max-age": b"60"})
    assert b"max-age" in verdict.directives


# Anything

NAMES = [
    b"cache-control", b"cdn-cache-control", b"vary", b"set-cookie", b"expires", b"content-range",
    b"etag", b"authorization", b"content-length", b"content-encoding",
]  # fmt: skip
VALUES = st.binary(max_size=30) | st.sampled_from(
    [b"no-store", b"private", b'private="a"', b"max-age=1", b"public", b"no-cache=x", b"*"]
)
SECTIONS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6).map(FieldList)
POLICIES = st.builds(
    Policy,
    heuristic=st.booleans(),
    heuristic_errors=st.booleans(),
    obeyed=st.sampled_from([frozenset(), CLIENT_DIRECTIVES]),
    set_cookie=st.sampled_from(SetCookie),
    is_partial_stored=st.booleans(),
)


@given(SECTIONS, SECTIONS, st.integers(100, 599), POLICIES)
def test_any_bytes_have_a_verdict(request_fields, response, status, policy):
    """No exception for any fields; what is private or not to be stored never is."""
    verdict = may_store(b"GET", request_fields, status, response, policy)
    members = verdict.directives.members

    if verdict.reason is None:
        assert b"no-store" not in members or b"must-understand" in members
        assert not verdict.directives.is_whole(b"private")
        assert status not in NEVER_STORED


@pytest.mark.parametrize("value", [b'private="a",' * 9_000, b'a="' * 30_000, b"," * 100_000])
def test_hostile_directives_take_linear_time(value):
    """A hundred kilobytes of Cache-Control take milliseconds."""
    began = time.process_time()
    reason(controlled(value))

    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (200, None, None),
        (503, None, None),
        (200, Reason.NO_STORE, Reason.NO_STORE),
        (404, Reason.NO_LIFETIME, Reason.NO_LIFETIME),
        (499, Reason.NO_LIFETIME, Reason.NO_LIFETIME),
        (500, Reason.NO_LIFETIME, Reason.ERROR),
        (503, Reason.NO_STORE, Reason.ERROR),
        (200, Reason.COOKIE, None),
        (503, Reason.REQUEST_NO_STORE, None),
    ],
)
def test_what_a_refusal_says_of_the_next_answer(status, reason, said):
    """Nothing, where the request was why; of an error only that it was one."""
    assert lasting(status, reason) is said
