"""Parts that are not stored, or not any more."""

from __future__ import annotations

import pytest

from edge.site import keys
from tests.support_origin import saying
from tests.support_parts import DIGITS, FIRST, part, ranging
from tests.support_proxied import (
    FRESH,
    LARGE,
    broker_of,
    get,
    getting,
    mark_of,
    stored,
    waiting,
)
from tests.support_serving import HOST
from tests.support_wire import until

EDGE_YML = (
    f"cache: {{max_object: {2 * len(LARGE)}B, client_directives: [no-cache, only-if-cached]}}"
)
"""Answers of two large parts are stored, and clients obeyed a little."""


# Not stored

NOT_STORED = {
    "no entity-tag": (FRESH, "Content-Range: bytes 0-3/10"),
    "a weak one": (FRESH, "Content-Range: bytes 0-3/10", 'ETag: W/"a"'),
    "no length": (FRESH, "Content-Range: bytes 0-3/*", 'ETag: "a"'),
    "more bytes than stated": (FRESH, "Content-Range: bytes 0-2/10", 'ETag: "a"'),
    "fewer": (FRESH, "Content-Range: bytes 0-4/10", 'ETag: "a"'),
    "several parts": (FRESH, "Content-Type: multipart/byteranges; boundary=x", 'ETag: "a"'),
    "private": ("Cache-Control: private", "Content-Range: bytes 0-3/10", 'ETag: "a"'),
}


@pytest.mark.parametrize("lines", NOT_STORED.values(), ids=NOT_STORED.keys())
async def test_what_cannot_be_completed_is_for_one(site, origin, path, lines):
    """As it came; the next one is asked again, and nothing bad is remembered."""
    origin.on(path, saying(b"0123", 206, *lines))
    for _ in range(2):
        answer = await get(site, f"/o{path}", range="bytes=0-3")
        assert (answer.status, answer.content) == (206, b"0123")
    assert (stored(site, path), len(origin.of(path))) == ([], 2)
    assert mark_of(site, path) is False


SUBSETS = {"the beginning": ("0-7", 0, 4), "the end": ("2-9", 6, 10), "another": ("0-1", 4, 6)}


@pytest.mark.parametrize("case", SUBSETS.values(), ids=SUBSETS.keys())
async def test_an_origin_may_send_another_part_than_was_asked_for(site, origin, path, case):
    """The client sees from Content-Range what it got (RFC 9110 §15.3.7)."""
    span, start, stop = case
    where = f"Content-Range: bytes {start}-{stop - 1}/10"
    origin.on(path, saying(DIGITS[start:stop], 206, FRESH, 'ETag: "a"', where))
    answer = await get(site, f"/o{path}", range=f"bytes={span}")

    assert (answer.status, answer.content) == (206, DIGITS[start:stop])
    assert f"Content-Range: {answer.fields['content-range']}" == where


async def test_what_says_who_asked_is_not_stored(site, origin, path):
    """A part of it neither."""
    origin.on(path, ranging(b"you are at 192.0.2.1, dear"))
    for _ in range(2):
        assert (await part(site, path, "11-19"))[:2] == (206, b"192.0.2.1")
    assert stored(site, path) == []
    await part(site, path, "0-10")
    assert [entry.parts for entry in stored(site, path)] == [[(0, b"you are at ")]]


async def test_what_came_with_other_cookies_is_not_stored(site, origin, path):
    """It may be for who has them."""
    origin.on(path, ranging(DIGITS))
    assert (await part(site, path, "0-3", cookie="a=b"))[:2] == (206, b"0123")
    assert stored(site, path) == []


# Dropped

LABELS = {
    "page": lambda path, _: keys.label_of_page(HOST, f"/o{path}", b""),
    "tag": lambda _path, _: keys.label_of_tag(b"two"),
    "app": lambda _path, _: keys.label_of_app("site"),
    "branch": lambda _path, _: keys.label_of_branch("site", "main"),
    "host": lambda _path, _: keys.label_of_host(HOST),
    "target": lambda path, port: keys.label_of_target("site", f"http://127.0.0.1:{port}{path}"),
}


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS.keys())
async def test_parts_go_by_their_labels(site, origin, path, label, soft):
    """As whole answers do; softly they are only not used any more."""
    origin.on(path, ranging(DIGITS, FRESH, "Cache-Tag: one, two"))
    await part(site, path, "0-3")
    new = b"abcdefghij"
    origin.on(path, ranging(new, etag='"b"'))
    assert broker_of(site).drop([label(path, origin.port)], soft=soft) == 1
    assert len(stored(site, path)) == soft
    assert await part(site, path, "0-3") == (206, b"abcd", FIRST)
    assert await part(site, path, "0-3") == (206, b"abcd", "hit")


async def test_a_change_drops_parts(site, origin, path):
    """RFC 9111 §4.4."""
    origin.on(path, ranging(DIGITS))
    await part(site, path, "0-3")
    origin.on(path, saying(b"done"))
    await get(site, f"/o{path}", method="POST")
    assert stored(site, path) == []


@pytest.mark.parametrize("content", [DIGITS, LARGE], ids=["small", "large"])
async def test_a_part_that_is_dropped_on_its_way_is_not_stored(site, origin, path, content):
    """Who asked for it gets it."""
    where = f"Content-Range: bytes 0-{len(content) - 1}/{len(content) + 1}"
    origin.on(path, waiting(content, FRESH, 'ETag: "a"', where, status=206))
    task = getting(site, f"/o{path}", range=f"bytes=0-{len(content) - 1}")
    talk = await origin.wait_for(path)
    broker_of(site).drop([b"app site"])
    talk.go.set()
    assert (await task).content == content
    await until(lambda: not broker_of(site)._flying)
    assert stored(site, path) == []
