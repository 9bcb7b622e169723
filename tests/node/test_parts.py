"""Answers in parts: joined where they are of the same bytes, found by ranges alone, then whole."""

from __future__ import annotations

import itertools

import pytest

from edge.http.partial import Extent
from edge.node import parts as module
from tests.support_origin import Talk
from tests.support_parts import DIGITS, FIRST, MORE, part, ranging
from tests.support_proxied import (
    FRESH,
    LARGE,
    get,
    handling,
    idle,
    stored,
)
from tests.support_siblings import copies, drop, kept, pairing
from tests.support_store import NOW, asking, entry_of

EDGE_YML = (
    f"cache: {{max_object: {2 * len(LARGE)}B, client_directives: [no-cache, only-if-cached]}}"
)
"""Answers of two large parts are stored, and clients obeyed a little."""


# By itself


def test_parts_have_a_key_of_their_own():
    """No other request finds them."""
    assert module.part_key(b"key") != b"key"
    assert module.part_key(b"key") != module.part_key(b"key2")


def test_what_is_missing_makes_nothing_whole():
    """Nor does it answer for what is there."""
    asked = asking("Range: bytes=2-4")
    fresh = entry_of(b"", 'ETag: "a"', status=206)
    fresh.extent = Extent(0, 4, 10, b'"a"')
    entry = module.joined(None, fresh, b"0123")

    assert module.whole(entry, b"key") is None
    assert module.wanted_span(entry, asked) == (2, 5)
    fresh = entry_of(b"", 'ETag: "a"', status=206)
    fresh.extent = Extent(4, 10, 10, b'"a"')
    complete = module.whole(module.joined(entry, fresh, b"456789"), b"key")
    assert complete is not None
    assert (complete.content, complete.stored.status, complete.key) == (DIGITS, 200, b"key")
    assert complete.parts == []
    assert complete.stored.fresh_until == entry.stored.fresh_until >= NOW


# Stored


async def test_a_part_is_found_by_those_who_ask_for_it(site, origin, path):
    """And for parts of it, with its fields and its age."""
    origin.on(path, ranging(DIGITS, FRESH, "X-A: b"))
    assert await part(site, path, "2-5") == (206, b"2345", FIRST)
    site.pass_time(20)
    for span, expected in (("2-5", b"2345"), ("3-4", b"34"), ("5-5", b"5")):
        answer = await get(site, f"/o{path}", range=f"bytes={span}")
        assert (answer.status, answer.content, handling(answer)) == (206, expected, "hit")
        assert answer.fields["content-range"] == f"bytes {span}/10"
        assert answer.fields["etag"] == '"a"'
        assert (answer.fields["x-a"], answer.fields["age"]) == ("b", "20")

    assert len(origin.of(path)) == 1


OTHERS = {
    "all": ({}, 200),
    "HEAD": ({"method": "HEAD"}, 200),
    "more of it": ({"range": "bytes=0-5"}, 206),
    "two parts": ({"range": "bytes=2-3,5-5"}, 206),
    "the rest": ({"range": "bytes=4-"}, 206),
}


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS.keys())
async def test_a_part_answers_nothing_else(site, origin, path, case):
    """The origin is asked."""
    fields, status = case
    origin.on(path, ranging(DIGITS))
    await part(site, path, "2-5")
    if fields.get("method") == "HEAD":
        origin.on(path, lambda talk: talk.send(b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n"))
    answer = await get(site, f"/o{path}", **fields)

    assert (answer.status, len(origin.of(path))) == (status, 2)
    assert handling(answer).startswith("fwd=")


async def test_what_is_whole_takes_the_place_of_its_parts(site, origin, path):
    """Ranges are of that, then."""
    origin.on(path, ranging(DIGITS))
    await part(site, path, "2-5")
    assert (await get(site, f"/o{path}")).content == DIGITS
    (entry,) = stored(site, path)
    assert (entry.extent, entry.content) == (None, DIGITS)
    assert await part(site, path, "2-7") == (206, b"234567", "hit")


# Joined

SPANS = ("0-3", "3-6", "7-9")


@pytest.mark.parametrize("order", list(itertools.permutations(SPANS)), ids=" ".join)
async def test_parts_become_whole_in_any_order(site, origin, path, order):
    """From then on it is as any other answer."""
    origin.on(path, ranging(DIGITS, FRESH, "X-A: b"))
    for number, span in enumerate(order):
        start, _, last = span.partition("-")
        expected = DIGITS[int(start) : int(last) + 1]
        assert await part(site, path, span) == (206, expected, MORE if number else FIRST)
    answer = await get(site, f"/o{path}")
    assert (answer.status, answer.content, handling(answer)) == (200, DIGITS, "hit")
    assert answer.fields.keys() >= {"etag", "x-a", "content-length"}
    assert "content-range" not in answer.fields
    (entry,) = stored(site, path)

    assert (entry.extent, len(origin.of(path))) == (None, 3)
    assert (await get(site, f"/o{path}", if_none_match='"a"')).status == 304
    assert await part(site, path, "1-8") == (206, DIGITS[1:9], "hit")


async def test_parts_that_touch_answer_as_one(site, origin, path):
    """What is between others has to come."""
    origin.on(path, ranging(DIGITS))
    for span in ("0-1", "2-3", "6-7"):
        await part(site, path, span)
    assert await part(site, path, "1-2") == (206, b"12", "hit")
    assert await part(site, path, "3-6") == (206, b"3456", MORE)
    assert await part(site, path, "0-7") == (206, b"01234567", "hit")


@pytest.mark.parametrize("content", [b"abcdefghij", b"01234567890"], ids=["tag", "length"])
async def test_parts_of_two_representations_never_meet(site, origin, path, content):
    """The new one stays alone; one entity-tag for two lengths is as good as two."""
    origin.on(path, ranging(DIGITS))
    await part(site, path, "0-4")
    etag = '"a"' if len(content) > len(DIGITS) else '"b"'
    origin.on(path, ranging(content, etag=etag))
    assert await part(site, path, "5-") == (206, content[5:], MORE)
    (entry,) = stored(site, path)
    assert entry.parts == [(5, content[5:])]
    assert await part(site, path, "0-4") == (206, content[:5], MORE)
    assert (await get(site, f"/o{path}")).content == content


@pytest.mark.parametrize("size", [len(LARGE), 2 * len(LARGE), 2 * len(LARGE) + 1])
async def test_parts_that_are_read_while_they_come_are_joined_too(site, origin, path, size):
    """As long as all of them together are not too large."""
    content = (LARGE * 3)[:size]
    origin.on(path, ranging(content))
    half = size // 2
    assert await part(site, path, f"0-{half - 1}") == (206, content[:half], FIRST)
    assert (await part(site, path, f"{half}-"))[:2] == (206, content[half:])
    answer = await get(site, f"/o{path}")
    await idle(site.worker)
    is_large = size > 2 * len(LARGE)

    assert answer.content == content
    assert (handling(answer) == "hit") == (not is_large)
    assert sum(len(each) for entry in stored(site, path) for _, each in entry.parts) <= (
        2 * len(LARGE)
    )


async def test_parts_by_languages_are_kept_apart(site, origin, path):
    """By what Vary names."""

    def script(talk: Talk) -> None:
        language = talk.fields["accept-language"]
        ranging(language.encode() * 5, FRESH, "Vary: Accept-Language", etag=f'"{language}"')(talk)

    origin.on(path, script)
    for language in ("de", "en"):
        assert (await part(site, path, "0-3", accept_language=language))[2] == FIRST
    for language in ("de", "en"):
        found = await part(site, path, "0-3", accept_language=language)
        assert found == (206, language.encode() * 2, "hit")


# Found


async def test_parts_serve_while_they_are_fresh(site, origin, path):
    """After that they are asked for again, and nobody is told that they were there."""
    origin.on(path, ranging(DIGITS))
    await part(site, path, "0-4")
    site.pass_time(59)
    assert (await part(site, path, "0-4"))[2] == "hit"
    site.pass_time(1)
    assert await part(site, path, "0-4") == (206, b"01234", FIRST)
    assert "if-none-match" not in origin.of(path)[-1].fields
    assert await part(site, path, "0-4") == (206, b"01234", "hit")


IF_RANGE = {
    '"a"': (206, b"0123", "hit", 1),
    '"b"': (200, DIGITS, FIRST, 2),
    'W/"a"': (200, DIGITS, FIRST, 2),
    "Sun, 06 Nov 1994 08:49:37 GMT": (200, DIGITS, FIRST, 2),
}


@pytest.mark.parametrize("case", IF_RANGE.items(), ids=IF_RANGE.keys())
async def test_a_client_may_want_a_part_of_its_own_representation(site, origin, path, case):
    """Else all of it, which the origin has (RFC 9110 §13.1.5)."""
    value, (status, content, expected, asked) = case
    origin.on(path, ranging(DIGITS))
    await part(site, path, "0-3")
    assert await part(site, path, "0-3", if_range=value) == (status, content, expected)
    assert len(origin.of(path)) == asked


WISHES = {"no-cache": (206, b"0123", MORE, 2), "only-if-cached": (504, b"", "fwd=request", 1)}


@pytest.mark.parametrize("case", WISHES.items(), ids=WISHES.keys())
async def test_who_wishes_anything_gets_no_parts(site, origin, path, case):
    """They cannot be validated."""
    wish, (status, content, expected, asked) = case
    origin.on(path, ranging(DIGITS))
    await part(site, path, "0-3")
    assert await part(site, path, "0-3", cache_control=wish) == (status, content, expected)
    assert len(origin.of(path)) == asked


# Two workers


async def test_parts_are_at_their_owner_alone(tmp_path, origin, path):
    """Both answer from them; whole, it is copied as others are."""
    async with pairing(tmp_path, origin) as pair:
        origin.on(path, ranging(DIGITS))
        owner, other = pair.of(path)
        assert (await get(other, f"/o{path}", range="bytes=0-4")).content == b"01234"
        for site in (owner, other):
            answer = await get(site, f"/o{path}", range="bytes=0-4")
            assert (answer.content, handling(answer)) == (b"01234", "hit")
        assert (len(kept(owner, path)), kept(other, path), copies(other, path)) == (1, [], [])
        assert (await get(owner, f"/o{path}", range="bytes=5-")).content == DIGITS[5:]
        assert (await get(other, f"/o{path}")).content == DIGITS
        assert (len(copies(other, path)), len(origin.of(path))) == (1, 2)
        await drop(other, b"app site")
        assert (kept(owner, path), copies(other, path)) == ([], [])
