"""What a node of two workers stores of its origins' answers, and for how long (RFC 9111 §3-4.2)."""

from __future__ import annotations

import pytest

from tests.support_stored import about

FRESH = "Cache-Control: max-age=600"
VALIDATED = "fwd=stale; fwd-status=304; stored"

# RFC 9111 §3: what is stored

STATUSES = (
    200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 451, 499, 500,
    501, 502, 503, 504, 599,
)  # fmt: skip

STORED = {
    "max-age": (FRESH, ""),
    "s-maxage": ("Cache-Control: s-maxage=600", ""),
    "Expires": ("Expires: @600", ""),
    "any case": ("cache-control: MAX-AGE=600, Public", ""),
    "two lines": ("Cache-Control: public | Cache-Control: max-age=600", ""),
    "an unknown directive": ("Cache-Control: max-age=600, what=ever", ""),
    "no-store of another word": ("Cache-Control: max-age=600, x-no-store", ""),
    "no-store that is quoted": ('Cache-Control: x="a, no-store", max-age=600', ""),
    "must-understand": ("Cache-Control: must-understand, no-store, max-age=600", ""),
    "public for Authorization": (f"{FRESH}, public", "Authorization: Basic eDp5"),
    "s-maxage for Authorization": ("Cache-Control: s-maxage=600", "Authorization: Basic eDp5"),
    "must-revalidate for Authorization": (f"{FRESH}, must-revalidate", "Authorization: Basic eDp5"),
    "no-store of a client that is not obeyed": (FRESH, "Cache-Control: no-store"),
} | {f"status {status}": (f"{status} | {FRESH}", "") for status in STATUSES}


@pytest.mark.parametrize(("reply", "request_lines"), STORED.values(), ids=STORED.keys())
async def test_stored(scene, reply, request_lines):
    """One request to the origin, whichever worker is asked; whoever asks later gets the same."""
    scene.answers(reply)
    first = await scene.ask(request_lines)
    again = [await scene.ask() for _ in range(4)]

    assert first.handling == "fwd=uri-miss; stored"
    assert about(first.ttl, 600)
    for answer in again:
        assert answer.short == (first.status, first.content, "hit")
        assert about(answer.ttl, 600)
        assert answer.get("set-cookie") == first.get("set-cookie")
    assert scene.count == 1


SINGLE = (206, 407, 412, 416, 417, 425, 428, 429, 431, 511)

NOT_STORED = {
    "nothing said": ("X-A: b", "", "stale-at-once"),
    "nothing said of a status that is not guessed about": ("403 | X-A: b", "", "no-lifetime"),
    "max-age=0 without a validator": ("Cache-Control: max-age=0", "", "stale-at-once"),
    "too old without a validator": (f"{FRESH} | Age: 600", "", "stale-at-once"),
    "no-store": ("Cache-Control: no-store", "", "no-store"),
    "no-store and max-age": ("Cache-Control: max-age=600, no-store", "", "no-store"),
    "no-store in capitals": ("Cache-Control: max-age=600, No-Store", "", "no-store"),
    "no-store on a second line": (f"{FRESH} | Cache-Control: no-store", "", "no-store"),
    "private": (f"{FRESH}, private", "", "private"),
    "private of a field that is essential": (f'{FRESH}, private="etag"', "", "private"),
    "private, and private of a field": (f'{FRESH}, private="x-a", private', "", "private"),
    "Authorization": (FRESH, "Authorization: Basic eDp5", "authorization"),
    "a cookie": (f"{FRESH} | Set-Cookie: a=b", "", "set-cookie"),
    "a cookie that is public": (f"{FRESH}, public | Set-Cookie: a=b", "", "set-cookie"),
    "a cookie with s-maxage": ("Cache-Control: s-maxage=600 | Set-Cookie: a=b", "", "set-cookie"),
    "Vary: *": (f"{FRESH} | Vary: *", "", "vary-asterisk"),
    "Vary with an asterisk": (f"{FRESH} | Vary: Accept, *", "", "vary-asterisk"),
    "Vary of what is no name": (f"{FRESH} | Vary: a b", "", "vary-asterisk"),
    "a status that is not understood": (f"599 | {FRESH}, must-understand", "", "must-understand"),
    "a part": (f"206 | {FRESH} | Content-Range: bytes 0-0/9", "Range: bytes=0-0", "partial"),
} | {f"status {status}": (f"{status} | {FRESH}", "", "status") for status in SINGLE[1:]}


@pytest.mark.parametrize(
    ("reply", "request_lines", "reason"), NOT_STORED.values(), ids=NOT_STORED.keys()
)
async def test_not_stored(scene, reply, request_lines, reason):
    """Each request is the origin's to answer, and why is told."""
    scene.answers(reply)
    for number in range(1, 5):
        answer = await scene.ask(request_lines)
        assert answer.content == b"%d" % number
        assert answer.handling == f"fwd=uri-miss; detail={reason}"
        assert answer.ttl is None

    assert scene.count == 4


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "REPORT"])
async def test_answers_to_other_methods_are_not_stored(scene, method):
    """Neither for that method nor for GET."""
    scene.answers(f"{FRESH}, public")
    for number in (b"1", b"2"):
        assert (await scene.ask(method=method)).short == (200, number, "fwd=method")

    assert (await scene.ask()).short == (200, b"3", "fwd=uri-miss; stored")
    assert (await scene.ask()).short == (200, b"3", "hit")


async def test_a_get_with_content_is_not_stored(scene):
    """Nor answered from the store: no key has content."""
    scene.answers(f"{FRESH}, public")
    assert (await scene.ask(content=b"what")).short == (200, b"1", "fwd=bypass")
    assert (await scene.ask()).short == (200, b"2", "fwd=uri-miss; stored")
    assert (await scene.ask(content=b"what")).short == (200, b"3", "fwd=bypass")
    assert (await scene.ask()).short == (200, b"2", "hit")

    assert [talk.content for talk in scene.asked()] == [b"what", b"", b"what"]


LEFT_OUT = {
    "private": f'{FRESH}, private="x-a" | X-A: mine | X-B: ours',
    "private, spelled loosely": f'{FRESH}, Private=" X-a , x-c" | X-A: mine | X-B: ours',
    "private, as a token": f"{FRESH}, private=x-a | X-A: mine | X-B: ours",
    "no-cache": f'{FRESH}, no-cache="X-A" | X-A: mine | X-B: ours',
    "twice": f'{FRESH}, private="x-c", private="x-a" | X-A: mine | X-B: ours',
}


@pytest.mark.parametrize("reply", LEFT_OUT.values(), ids=LEFT_OUT.keys())
async def test_fields_that_are_for_one(scene, reply):
    """Who asked gets them, nobody gets them from the store (RFC 9111 §5.2.2.4, §5.2.2.7)."""
    scene.answers(reply)
    first = await scene.ask()
    again = [await scene.ask() for _ in range(3)]

    assert [(each.handling, each.get("x-a"), each.get("x-b")) for each in again] == [
        ("hit", None, "ours")
    ] * 3
    assert (first.handling, first.get("x-b")) == ("fwd=uri-miss; stored", "ours")
    assert first.get("x-a") == "mine"


@pytest.mark.parametrize("directive", ["private", "no-cache"])
async def test_a_cookie_that_is_for_one(scene, directive):
    """It reaches its client, and the rest is stored."""
    scene.answers(f'{FRESH}, {directive}="set-cookie" | Set-Cookie: a=b')
    first, second = await scene.ask(), await scene.ask()

    assert (second.short, second.get("set-cookie")) == ((200, b"1", "hit"), None)
    assert (first.handling, first.get("set-cookie")) == ("fwd=uri-miss; stored", "a=b")


async def test_fields_of_a_connection_are_not_stored(scene):
    """Nor those that it names."""
    scene.answers(
        f"{FRESH} | Connection: X-Own | X-Own: 1 | Keep-Alive: timeout=9 | X-Kept: 2"
        " | Proxy-Authenticate: Basic | TE: trailers"
    )
    for handling in ("fwd=uri-miss; stored", "hit", "hit"):
        answer = await scene.ask()
        assert (answer.handling, answer.get("x-kept")) == (handling, "2")
        names = {name for name, _ in answer.lines}
        assert not names & {"x-own", "keep-alive", "proxy-authenticate", "te", "connection"}


# RFC 9111 §4.2: how long

LIFETIMES = {
    "s-maxage before max-age": ("Cache-Control: max-age=1, s-maxage=600", 600, 0),
    "s-maxage before max-age, the other way round": (
        "Cache-Control: s-maxage=600, max-age=1", 600, 0,
    ),
    "max-age before Expires": (f"{FRESH} | Expires: @-100", 600, 0),
    "Expires without Date": ("Expires: @600", 600, 0),
    "Expires counts from Date": ("Date: @-100 | Expires: @500", 500, 100),
    "the first of two": ("Cache-Control: max-age=600, max-age=1", 600, 0),
    "quoted": ('Cache-Control: max-age="600"', 600, 0),
    "zeros in front": ("Cache-Control: max-age=00600", 600, 0),
    "for ever": ("Cache-Control: max-age=99999999999999999999", 2**31, 0),
    "Age": (f"{FRESH} | Age: 100", 500, 100),
    "Age that is no number": (f"{FRESH} | Age: old", 600, 0),
    "Age below nothing": (f"{FRESH} | Age: -100", 600, 0),
    "Date in the past": (f"{FRESH} | Date: @-100", 500, 100),
    "Date in the past, a smaller Age": (f"{FRESH} | Date: @-100 | Age: 50", 500, 100),
    "Date in the past, a larger Age": (f"{FRESH} | Date: @-100 | Age: 200", 400, 200),
    "Date in the future": (f"{FRESH} | Date: @100", 600, 0),
    "Date that is none": (f"{FRESH} | Date: yesterday", 600, 0),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "ttl", "age"), LIFETIMES.values(), ids=LIFETIMES.keys())
async def test_lifetimes(scene, reply, ttl, age):
    """`ttl` and Age together are the lifetime, from both workers."""
    scene.answers(reply)
    for handling in ("fwd=uri-miss; stored", "hit", "hit", "hit"):
        answer = await scene.ask()
        assert answer.handling == handling
        assert about(answer.ttl, ttl)
        assert age - 2 <= answer.age <= age + 30

    assert scene.count == 1


STALE = {
    "no lifetime": "X-A: b",
    "max-age=0": "Cache-Control: max-age=0",
    "max-age below nothing": "Cache-Control: max-age=-600",
    "max-age that is no number": "Cache-Control: max-age=ten",
    "max-age with a fraction": "Cache-Control: max-age=600.5",
    "max-age in single quotes": "Cache-Control: max-age='600'",
    "s-maxage=0 before max-age": f"{FRESH}, s-maxage=0",
    "s-maxage that is no number before max-age": f"{FRESH}, s-maxage=x",
    "max-age=0 before Expires": "Cache-Control: max-age=0 | Expires: @600",
    "Expires in the past": "Expires: @-1",
    "Expires: 0": "Expires: 0",
    "Expires that is none": "Expires: tomorrow",
    "Expires as old as Date": "Date: @600 | Expires: @600",
    "Age as large as the lifetime": f"{FRESH} | Age: 600",
    "Date as old as the lifetime": f"{FRESH} | Date: @-700",
    "no-cache": f"{FRESH}, no-cache",
    "no-cache, in capitals": f"{FRESH}, NO-CACHE",
    "no-cache of a field that is essential": f'{FRESH}, no-cache="content-type"',
    "no-cache, and no-cache of a field": f'{FRESH}, no-cache="x-a", no-cache',
    "must-revalidate": "Cache-Control: max-age=0, must-revalidate",
}


@pytest.mark.parametrize("reply", STALE.values(), ids=STALE.keys())
async def test_nothing_stale_is_used_unvalidated(scene, reply):
    """Each request asks whether it is still good."""
    reply += ' | ETag: "a"'
    scene.answers(reply, f"304 | {reply}")
    first = await scene.ask()
    again = [await scene.ask() for _ in range(3)]

    assert first.short == (200, b"1", "fwd=uri-miss; stored")
    assert [answer.short for answer in again] == [(200, b"1", VALIDATED)] * 3
    assert [talk.fields.get("if-none-match") for talk in scene.asked()] == [None, *['"a"'] * 3]


# RFC 9213

TARGETED = {
    "before Cache-Control": ("CDN-Cache-Control: max-age=600 | Cache-Control: max-age=1", 600),
    "before no-store": ("CDN-Cache-Control: max-age=600 | Cache-Control: no-store", 600),
    "before private": ("Cache-Control: private | CDN-Cache-Control: max-age=600", 600),
    "before Expires": ("CDN-Cache-Control: max-age=600 | Expires: @1", 600),
    "with parameters": ("CDN-Cache-Control: max-age=600;a=b | Cache-Control: no-store", 600),
    "on two lines": ("CDN-Cache-Control: public | CDN-Cache-Control: max-age=600", 600),
    "the last of two": ("CDN-Cache-Control: max-age=1, max-age=600", 600),
    "what is false": ("CDN-Cache-Control: no-store=?0, max-age=600", 600),
    "empty": (f"CDN-Cache-Control: | {FRESH}", 600),
    "no dictionary": (f"CDN-Cache-Control: max-age=1;; | {FRESH}", 600),
    "no key": (f"CDN-Cache-Control: Max-Age=1 | {FRESH}", 600),
    "spaces around the sign": (f"CDN-Cache-Control: max-age = 1 | {FRESH}", 600),
    "an open quote": (f'CDN-Cache-Control: a="b, no-store | {FRESH}', 600),
    "invalid on its second line": (
        f"CDN-Cache-Control: no-store | CDN-Cache-Control: &&& | {FRESH}", 600,
    ),
    "another CDN's": (f"Other-CDN-Cache-Control: no-store | {FRESH}", 600),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "ttl"), TARGETED.values(), ids=TARGETED.keys())
async def test_a_field_for_cdns(scene, reply, ttl):
    """Where it is valid it alone counts, where it is not it is as if it were not there."""
    scene.answers(reply)
    for handling in ("fwd=uri-miss; stored", "hit", "hit"):
        answer = await scene.ask()
        assert answer.short == (200, b"1", handling)
        assert about(answer.ttl, ttl)


TARGETED_AGAINST = {
    "no-store": (f"CDN-Cache-Control: no-store | {FRESH}", "no-store"),
    "private": (f"CDN-Cache-Control: private | {FRESH}", "private"),
    "max-age=0": (f"CDN-Cache-Control: max-age=0 | {FRESH}", "stale-at-once"),
    "a lifetime that is a string": (f'CDN-Cache-Control: max-age="600" | {FRESH}', "stale-at-once"),
    "no lifetime, though there is Expires": (
        "403 | CDN-Cache-Control: must-revalidate | Expires: @600", "no-lifetime",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "reason"), TARGETED_AGAINST.values(), ids=TARGETED_AGAINST.keys()
)
async def test_a_field_for_cdns_against_storing(scene, reply, reason):
    """Whatever others may do."""
    scene.answers(reply)
    for number in (b"1", b"2", b"3"):
        answer = await scene.ask()
        assert (answer.content, answer.handling) == (number, f"fwd=uri-miss; detail={reason}")


# RFC 9211


async def test_caches_before_this_one_are_named(scene):
    """Their members come first and stay as they were, those of a 304 too."""
    scene.answers(
        'Cache-Control: max-age=0 | ETag: "a" | Cache-Status: inner; hit | Cache-Status: mid; hit',
        '304 | Cache-Control: max-age=600 | ETag: "a" | Cache-Status: inner; fwd=stale',
    )
    first = await scene.ask()
    second = await scene.ask()
    third = await scene.ask()

    assert (first.get("cache-status") or "").startswith(
        "inner; hit, mid; hit, edge; fwd=uri-miss; stored; ttl="
    )
    assert (second.get("cache-status") or "").startswith(
        f"inner; fwd=stale, edge; {VALIDATED}; ttl="
    )
    assert third.handling == "hit"


async def test_a_file_is_no_business_of_origins(scene):
    """Its Cache-Status is that of files, whatever is stored of origins."""
    scene.answers(FRESH)
    await scene.ask()
    answer = await scene.visitors[0].ask("/here.txt")

    assert (answer.status, answer.content) == (200, b"a file")
