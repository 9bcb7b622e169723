"""What becomes of an origin's answer: freshened, stored, or for one client; with every doubt."""

from __future__ import annotations

import asyncio

import pytest

from tests.support_origin import Talk, raw, saying
from tests.support_proxied import (
    FRESH,
    LARGE,
    OK,
    conditional,
    get,
    getting,
    handling,
    mark_of,
    proxied,
    quiet,
    stored,
    ttl,
)

GERMAN, FRENCH = {"accept_language": "de"}, {"accept_language": "fr"}
VARIES = "Vary: Accept-Language"


@pytest.fixture
async def obeying(tmp_path, origin):
    """A node whose clients may have their answers fresh."""
    text = "cache: {client_directives: [no-cache]}\n"
    site = await proxied(tmp_path, origin, edge_yml=text).start()
    yield site
    await quiet(site)


# What is asked


async def test_what_is_asked_for_everybody_has_no_conditions_of_one(site, origin, path):
    """Those that the client has are answered from what came."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    answer = await get(site, f"/o{path}", if_none_match='"a"')
    (talk,) = origin.of(path)

    assert "if-none-match" not in talk.fields
    assert (answer.status, answer.content, len(stored(site, path))) == (304, b"", 1)


OURS = {
    'ETag: "a"': {"if-none-match": '"a"'},
    'ETag: W/"a"': {"if-none-match": 'W/"a"'},
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT": {
        "if-modified-since": "Sun, 06 Nov 1994 08:49:37 GMT",
    },
    "X-A: b": {},
}  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), OURS.items())
@pytest.mark.parametrize("own", [{}, {"if_none_match": '"b"', "range": "bytes=0-1"}], ids=str)
async def test_what_is_stored_is_validated_with_conditions_of_our_own(
    site, origin, path, *, line, expected, own
):
    """The client's and its range stay here."""
    origin.on(path, saying(b"hello", 200, FRESH, line))
    await get(site, f"/o{path}")
    site.pass_time(100)
    await get(site, f"/o{path}", **own)
    fields = origin.of(path)[1].fields
    names = ("if-none-match", "if-modified-since", "range")

    assert {name: fields[name] for name in names if name in fields} == expected


async def test_a_part_is_never_stored_as_if_it_were_all(site, origin, path):
    """It goes to the client who asked for it; the next one gets the whole."""
    part = saying(b"he", 206, FRESH, "Content-Range: bytes 0-1/5")
    origin.on(path, part)
    answer = await get(site, f"/o{path}", range="bytes=0-1")
    assert (answer.status, answer.content) == (206, b"he")
    assert origin.of(path)[0].fields["range"] == "bytes=0-1"
    assert (stored(site, path), mark_of(site, path)) == ([], False)
    origin.on(path, saying(b"hello", 200, FRESH))
    assert (await get(site, f"/o{path}")).content == b"hello"
    answer = await get(site, f"/o{path}", range="bytes=0-1")
    assert (answer.status, answer.content, handling(answer)) == (206, b"he", "hit")


async def test_a_part_that_nobody_asked_for_is_not_stored(site, origin, path):
    """Whatever the origin means by it."""
    origin.on(path, saying(b"he", 206, FRESH, "Content-Range: bytes 0-1/5"))
    await get(site, f"/o{path}")

    assert stored(site, path) == []


# 304


async def test_a_304_makes_it_fresh_again(site, origin, path):
    """With what it says, and the content as it was."""
    origin.on(path, conditional('"a"', b"hello", FRESH, "X-A: 1"))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, conditional('"a"', b"", "Cache-Control: max-age=10", "X-A: 2", "X-B: 3"))
    answer = await get(site, f"/o{path}")

    assert (answer.status, answer.content) == (200, b"hello")
    assert [answer.fields[name] for name in ("x-a", "x-b", "age")] == ["2", "3", "0"]
    assert answer.fields["content-length"] == "5"
    assert ttl(await get(site, f"/o{path}")) in (9, 10)


async def test_a_304_freshens_all_that_it_is_about(site, origin, path):
    """Variants with the same strong entity-tag (RFC 9111 §4.3.4); others stay as they are."""
    origin.on(path, conditional('"a"', b"hello", FRESH, VARIES))
    for fields in (GERMAN, FRENCH):
        await get(site, f"/o{path}", **fields)
    origin.on(path, conditional('"b"', b"other", FRESH, VARIES))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, conditional('"a"', b"", FRESH, VARIES))
    assert handling(await get(site, f"/o{path}", **GERMAN)) == "fwd=stale; fwd-status=304; stored"
    answer = await get(site, f"/o{path}", **FRENCH)
    assert (answer.content, handling(answer)) == (b"hello", "hit")
    assert {ttl(await get(site, f"/o{path}", **fields)) > 0 for fields in (GERMAN, FRENCH)} == {
        True
    }
    assert len(origin.of(path)) == 4
    assert handling(await get(site, f"/o{path}")) == "fwd=stale; stored"


async def test_a_304_about_nothing_that_is_stored_is_asked_again(site, origin, path):
    """Without conditions; the client never sees it."""

    def confused(talk: Talk) -> None:
        if "if-none-match" in talk.fields:
            talk.send(b'HTTP/1.1 304 X\r\nETag: "other"\r\n\r\n')
        else:
            talk.answer(b"new", 200, FRESH, 'ETag: "b"')

    origin.on(path, conditional('"a"', b"old", FRESH))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, confused)
    answer = await get(site, f"/o{path}")

    assert (answer.status, answer.content, len(origin.of(path))) == (200, b"new", 3)
    assert [entry.content for entry in stored(site, path)] == [b"new"]


async def test_a_304_may_forbid_to_go_on_storing(site, origin, path):
    """Who waits gets it all the same."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, conditional('"a"', b"", "Cache-Control: no-store"))
    answer = await get(site, f"/o{path}")

    assert (answer.content, handling(answer)) == (b"hello", "fwd=stale; fwd-status=304")
    assert stored(site, path) == []


async def test_a_304_may_change_what_selects(site, origin, path):
    """From then on it is for those who state the same."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, conditional('"a"', b"", FRESH, VARIES))
    await get(site, f"/o{path}", **GERMAN)
    assert handling(await get(site, f"/o{path}", **GERMAN)) == "hit"
    assert handling(await get(site, f"/o{path}", **FRENCH)).startswith("fwd=vary-miss")


async def test_another_answer_takes_its_place(site, origin, path):
    """Where it has changed."""
    origin.on(path, conditional('"a"', b"old", FRESH))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, conditional('"b"', b"new", FRESH))
    answer = await get(site, f"/o{path}")
    assert (answer.content, handling(answer)) == (b"new", "fwd=stale; stored")
    assert [entry.content for entry in stored(site, path)] == [b"new"]


# Errors

ERRORS = {
    "502": saying(b"oh", 502),
    "503": saying(b"oh", 503),
    "504": saying(b"oh", 504),
    "a large 503": saying(LARGE, 503),
    "half an answer": raw(b"HTTP/1.1 2"),
    "nonsense": raw(b"?" * 100 + b"\r\n\r\n"),
}


@pytest.mark.parametrize("script", ERRORS.values(), ids=ERRORS.keys())
async def test_what_is_stale_is_better_than_an_error(site, origin, path, script):
    """For a day, where nobody says otherwise; then the error is the answer."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    await get(site, f"/o{path}")
    origin.on(path, script)
    for later in (100, 80_000):
        site.pass_time(later)
        tasks = [getting(site, f"/o{path}") for _ in range(3)]
        for answer in await asyncio.gather(*tasks):
            assert (answer.status, answer.content) == (200, b"hello")
            assert handling(answer).startswith("fwd=stale")
            assert int(answer.fields["age"]) >= 100
    site.pass_time(10_000)
    assert (await get(site, f"/o{path}")).status >= 502


FORBIDDEN = {
    "must-revalidate": ("Cache-Control: max-age=60, must-revalidate", 503, False),
    "s-maxage": ("Cache-Control: s-maxage=60", 503, False),
    "stale-if-error": ("Cache-Control: s-maxage=60, stale-if-error=600", 503, True),
    "stale-if-error, and it answered": (
        "Cache-Control: s-maxage=60, stale-if-error=600",
        500,
        True,
    ),
    "it answered": (FRESH, 500, False),
    "it is gone": (FRESH, 404, False),
}


@pytest.mark.parametrize("case", FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_what_may_serve_stale_is_its_origins_to_say(site, origin, path, case):
    """And what an answer of its own is."""
    line, status, is_served = case
    origin.on(path, conditional('"a"', b"hello", line))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, saying(b"oh", status))

    assert (await get(site, f"/o{path}")).status == (200 if is_served else status)


@pytest.mark.parametrize(
    ("status", "is_kept"), [(500, True), (503, True), (404, False), (410, False)]
)
async def test_an_error_leaves_what_is_stored_alone(site, origin, path, status, is_kept):
    """What is gone is gone."""
    origin.on(path, conditional('"a"', b"hello", "Cache-Control: s-maxage=60"))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, saying(b"oh", status))
    await get(site, f"/o{path}")

    assert len(stored(site, path)) == is_kept


# HEAD

HEADS = {
    "the same": ((200, FRESH, 'ETag: "a"', "X-A: 2"), "hit", "2"),
    "it has changed": (
        (200, FRESH, 'ETag: "b"', "X-A: 2"),
        "fwd=stale; fwd-status=304; stored",
        "1",
    ),
    "it is gone": ((404, "X-A: 2"), "hit", "1"),
    "it cannot say": ((503, "X-A: 2"), "hit", "1"),
}


@pytest.mark.parametrize("case", HEADS.values(), ids=HEADS.keys())
async def test_an_answer_to_head_tells_of_what_is_stored(obeying, origin, path, case):
    """It may freshen it, or have it validated (RFC 9111 §4.3.5)."""
    (status, *lines), expected, value = case
    origin.on(path, conditional('"a"', b"hello", FRESH, "X-A: 1"))
    await get(obeying, f"/o{path}")
    head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode()
    origin.on(path, raw(head, then=lambda _: None))
    answer = await get(
        obeying, f"/o{path}", method="HEAD", range="bytes=0-1", cache_control="no-cache"
    )
    assert (answer.status, answer.content) == (200 if status == 503 else status, b"")
    origin.on(path, conditional('"a"', b"hello", FRESH, "X-A: 1"))
    answer = await get(obeying, f"/o{path}")

    assert (handling(answer), answer.fields["x-a"], answer.content) == (expected, value, b"hello")


async def test_a_head_is_answered_from_what_is_stored(site, origin, path):
    """Also where that has to be validated; without content, and with its length."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    await get(site, f"/o{path}")
    for expected in ("hit", "fwd=stale; fwd-status=304; stored"):
        answer = await get(site, f"/o{path}", method="HEAD")
        assert (handling(answer), answer.content) == (expected, b"")
        assert answer.fields["content-length"] == "5"
        site.pass_time(100)


async def test_an_answer_to_head_is_not_stored_and_says_nothing_of_the_next(site, origin, path):
    """The next GET may be shared."""
    origin.on(path, raw(OK + b"Content-Length: 5\r\nCache-Control: max-age=60\r\n\r\n",
                        then=lambda _: None))  # fmt: skip
    assert handling(await get(site, f"/o{path}", method="HEAD")) == "fwd=uri-miss; detail=method"
    assert (stored(site, path), mark_of(site, path)) == ([], False)


async def test_a_personal_head_changes_nothing_for_others(obeying, origin, path):
    """What its cookies were answered is one client's, as it is with GET."""
    origin.on(path, saying(b"hello", 200, FRESH, "X-User: nobody"))
    await get(obeying, f"/o{path}")
    head = b"Cache-Control: max-age=60\r\nX-User: alice\r\n\r\n"
    origin.on(path, raw(OK + head, then=lambda _: None))
    answer = await get(
        obeying, f"/o{path}", method="HEAD", cookie="session=alice", cache_control="no-cache"
    )
    assert origin.of(path)[1].fields["cookie"] == "session=alice"
    assert answer.fields["x-user"] == "alice"

    assert (await get(obeying, f"/o{path}")).fields["x-user"] == "nobody"
