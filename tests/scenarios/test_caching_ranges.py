"""Parts of what a node of two workers stores whole (RFC 9110 §14)."""

from __future__ import annotations

import itertools

import pytest

ETAG = 'ETag: "a"'
FRESH = "Cache-Control: max-age=600"
STALE = "Cache-Control: max-age=0"
CHANGED = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"

DIGITS = "> 0123456789"
RANGES = {
    "one": ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
    "the last": ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    "from somewhere": ("bytes=8-", 206, b"89", "bytes 8-9/10"),
    "past the end": ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
    "more than there is, from behind": ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
    "none that is there": ("bytes=10-", 416, b"", "bytes */10"),
    "none at all": ("bytes=-0", 416, b"", "bytes */10"),
    "another unit": ("lines=0-3", 200, b"0123456789", None),
    "no range": ("bytes=what", 200, b"0123456789", None),
    "the wrong way round": ("bytes=3-0", 200, b"0123456789", None),
}


@pytest.mark.parametrize(
    ("wanted", "status", "content", "where"), RANGES.values(), ids=RANGES.keys()
)
async def test_ranges(scene, wanted, status, content, where):
    """Of what is stored, with its validators."""
    scene.answers(f"{FRESH} | {ETAG} | {DIGITS}")
    await scene.ask()
    for _ in range(2):
        answer = await scene.ask(f"Range: {wanted}")
        assert answer.short == (status, content, "hit")
        assert answer.get("content-range") == where
        if status == 206:
            assert answer.get("etag") == '"a"'
        assert (await scene.ask(f"Range: {wanted}", "HEAD")).status == 200

    assert scene.count == 1


async def test_several_ranges(scene):
    """In one answer, each with its Content-Range."""
    scene.answers(f"{FRESH} | {ETAG} | Content-Type: text/plain | {DIGITS}")
    await scene.ask()
    for _ in range(2):
        answer = await scene.ask("Range: bytes=0-1, -2")
        kind, _, boundary = (answer.get("content-type") or "").partition("; boundary=")
        part = "--%s\r\nContent-Type: text/plain\r\nContent-Range: bytes %s/10\r\n\r\n%s\r\n"
        expected = part % (boundary, "0-1", "01") + part % (boundary, "8-9", "89")
        assert (answer.status, kind, answer.handling) == (206, "multipart/byteranges", "hit")
        assert answer.get("content-range") is None
        got = answer.content.decode().lstrip("\r\n").lower()
        assert got == f"{expected}--{boundary}--\r\n".lower()


IF_RANGE = {
    "the same": ('If-Range: "a"', 206, b"01"),
    "another": ('If-Range: "b"', 200, b"0123456789"),
    "weak": ('If-Range: W/"a"', 200, b"0123456789"),
    "the date": (f"If-Range: {CHANGED[15:]}", 206, b"01"),
    "another date": ("If-Range: @0", 200, b"0123456789"),
    "and no copy": ('If-Range: "a" | If-None-Match: "a"', 304, b""),
}


@pytest.mark.parametrize(("condition", "status", "content"), IF_RANGE.values(), ids=IF_RANGE.keys())
async def test_if_range(scene, condition, status, content):
    """A part only of what the client has the rest of."""
    scene.answers(f"{FRESH} | {ETAG} | {CHANGED} | {DIGITS}")
    await scene.ask()
    for _ in range(2):
        answer = await scene.ask(f"Range: bytes=0-1 | {condition}")
        assert answer.short == (status, content, "hit")

    assert scene.count == 1


async def test_a_range_of_what_is_not_stored_is_the_origins(scene):
    """Asked as the client asks; the part is stored, and the whole when it comes instead."""
    scene.answers(
        f"206 | {FRESH} | {ETAG} | Content-Range: bytes 0-1/10 | > 01",
        f"200 | {FRESH} | {ETAG} | {DIGITS}",
    )
    answers = [await scene.ask(f"Range: bytes={span}") for span in ("0-1", "0-1", "4-5", "4-5")]

    assert [answer.short for answer in answers] == [
        (206, b"01", "fwd=uri-miss; stored"),
        (206, b"01", "hit"),
        (206, b"45", "fwd=partial; stored"),
        (206, b"45", "hit"),
    ]
    assert scene.count == 2


async def test_ranges_after_a_validation(scene):
    """The origin is asked about the whole, the client gets its part."""
    scene.answers(f"{STALE} | {ETAG} | {DIGITS}", f"304 | {STALE} | {ETAG}")
    await scene.ask()
    for _ in range(2):
        answer = await scene.ask("Range: bytes=0-1")
        assert (answer.status, answer.content) == (206, b"01")
    for talk in scene.asked()[1:]:
        assert ("range" in talk.fields, talk.fields["if-none-match"]) == (False, '"a"')


PARTS = {"0-3": "0123", "3-6": "3456", "7-9": "789"}
"""Parts that overlap, and that touch."""


@pytest.mark.parametrize("spans", list(itertools.permutations(PARTS)), ids=" ".join)
async def test_parts_become_whole_in_any_order(scene, spans):
    """From then on it is as any other answer, whichever worker is asked (RFC 9111 §3.4)."""
    scene.answers(
        *(
            f"206 | {FRESH} | {ETAG} | Content-Range: bytes {span}/10 | > {PARTS[span]}"
            for span in spans
        )
    )
    for span in spans:
        answer = await scene.ask(f"Range: bytes={span}")
        assert (answer.status, answer.content.decode()) == (206, PARTS[span])
    for _ in range(2):
        answer = await scene.ask()
        assert answer.short == (200, b"0123456789", "hit")
        assert answer.get("content-range") is None

    assert scene.count == 3
