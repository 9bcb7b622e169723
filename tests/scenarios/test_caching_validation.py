"""How a node of two workers validates what it has stored, and answers conditions from it."""

from __future__ import annotations

import pytest

from tests.support_stored import about

FRESH = "Cache-Control: max-age=600"
ETAG = 'ETag: "a"'
CHANGED = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
STALE = "Cache-Control: max-age=0"
FIRST = "fwd=uri-miss; stored"
VALIDATED = "fwd=stale; fwd-status=304; stored"

# RFC 9111 §4.3.1: what is asked

VALIDATORS = {
    "ETag": (ETAG, {"if-none-match": '"a"'}),
    "weak ETag": ('ETag: W/"a"', {"if-none-match": 'W/"a"'}),
    "ETag without quotes": ("ETag: a", {"if-none-match": "a"}),
    "Last-Modified": (CHANGED, {"if-modified-since": CHANGED[15:]}),
    "both": (f"{ETAG} | {CHANGED}", {"if-none-match": '"a"', "if-modified-since": CHANGED[15:]}),
}
CONDITIONS = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range")


@pytest.mark.parametrize(("validators", "asked"), VALIDATORS.values(), ids=VALIDATORS.keys())
async def test_validators_are_asked_with(scene, validators, asked):
    """Each as it was received, and no condition of the client's beside them."""
    scene.answers(f"{STALE} | {validators}", f"304 | {STALE} | {validators}")
    assert (await scene.ask()).short == (200, b"1", FIRST)
    own = 'If-None-Match: "mine" | If-Modified-Since: @0 | If-Range: "mine"'
    for request in ("", own, ""):
        assert (await scene.ask(request)).short == (200, b"1", VALIDATED)
    for talk in scene.asked()[1:]:
        assert {name: talk.fields[name] for name in CONDITIONS if name in talk.fields} == asked


async def test_a_client_without_a_copy_gets_the_whole_answer(scene):
    """Where somebody else's conditions made the first request: it was asked without them."""
    scene.answers(f"{FRESH} | {ETAG}")
    first = await scene.ask('If-None-Match: "b" | If-Modified-Since: @0')

    assert first.short == (200, b"1", FIRST)
    assert (await scene.ask()).short == (200, b"1", "hit")
    assert not set(CONDITIONS) & scene.asked()[0].fields.keys()


async def test_a_client_with_a_copy_is_answered_304_at_once(scene):
    """The whole answer is stored all the same."""
    scene.answers(f"{FRESH} | {ETAG}")
    assert (await scene.ask('If-None-Match: "a"')).short[:2] == (304, b"")
    assert (await scene.ask()).short == (200, b"1", "hit")

    assert scene.count == 1


# RFC 9111 §4.3.3, §4.3.4: what comes of it


async def test_a_304_freshens(scene):
    """It may be reused again, with the fields that the 304 has, and the content as it was."""
    scene.answers(
        f"{STALE} | {ETAG} | X-A: old | X-A: older | X-B: kept | Content-Type: text/plain | Age: 9",
        f"304 | {FRESH} | {ETAG} | X-A: new | X-C: also | Age: 100",
    )
    assert (await scene.ask()).get("x-a") == "old, older"
    for handling in (VALIDATED, "hit", "hit"):
        answer = await scene.ask()
        assert answer.short == (200, b"1", handling)
        assert about(answer.ttl, 500)
        assert 100 <= answer.age < 130
        names = ("x-a", "x-b", "x-c", "content-type", "content-length")
        assert [answer.get(name) for name in names] == ["new", "kept", "also", "text/plain", "1"]


async def test_a_304_does_not_change_what_the_content_depends_on(scene):
    """Its Content-Length, Content-Encoding and Content-Range are about nothing."""
    scene.answers(
        f"{STALE} | {ETAG} | > hello",
        f"304 | {FRESH} | {ETAG} | Content-Encoding: gzip | Content-Length: 99"
        " | Content-Range: bytes 0-1/2",
    )  # fmt: skip
    await scene.ask()
    for handling in (VALIDATED, "hit"):
        answer = await scene.ask()
        assert answer.short == (200, b"hello", handling)
        assert (answer.get("content-encoding"), answer.get("content-range")) == (None, None)


REPLACING = {
    "200": (f'200 | {FRESH} | ETag: "b"', "fwd=stale; stored"),
    "200 with the same validator": (f"200 | {FRESH} | {ETAG}", "fwd=stale; stored"),
    "404": (f"404 | {FRESH}", "fwd=stale; stored"),
    "301": (f"301 | {FRESH} | Location: /x", "fwd=stale; stored"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "handling"), REPLACING.values(), ids=REPLACING.keys())
async def test_a_whole_answer_replaces(scene, reply, handling):
    """What was stored is not heard of again."""
    scene.answers(f"{STALE} | {ETAG} | X-A: old", reply)
    await scene.ask()
    second = await scene.ask()
    assert (second.content, second.handling) == (b"2", handling)
    for _ in range(3):
        answer = await scene.ask()
        assert answer.short == (second.status, b"2", "hit")
        assert answer.get("x-a") is None


REMOVING = {
    "200 that is not stored": ("200 | Cache-Control: no-store", "no-store"),
    "403 that is not stored": ("403 | X-A: b", "no-lifetime"),
    "410 that is private": (f"410 | {FRESH}, private", "private"),
}


@pytest.mark.parametrize(("reply", "reason"), REMOVING.values(), ids=REMOVING.keys())
async def test_an_answer_that_is_not_stored_removes(scene, reply, reason):
    """What it has replaced is not asked about again."""
    scene.answers(f"{STALE} | {ETAG}", reply)
    await scene.ask()
    assert (await scene.ask()).handling == f"fwd=stale; detail={reason}"
    for _ in range(2):
        assert (await scene.ask()).handling == f"fwd=uri-miss; detail={reason}"

    assert ["if-none-match" in talk.fields for talk in scene.asked()] == [False, True, False, False]


async def test_an_error_passes_and_removes_nothing(scene):
    """A 500 is the origin's answer, and what is stored is asked about again."""
    scene.answers(f"{STALE} | {ETAG}", "500 | X-A: b", f"304 | {FRESH} | {ETAG}")
    await scene.ask()
    second = await scene.ask()
    third = await scene.ask()

    assert (second.status, second.content) == (500, b"2")
    assert third.short[:2] == (200, b"1")
    assert scene.asked()[2].fields["if-none-match"] == '"a"'


async def test_a_304_about_something_else_is_asked_again(scene):
    """Without conditions: it is about nothing that is stored (RFC 9111 §4.3.4)."""
    scene.answers(f"{STALE} | {ETAG}", '304 | ETag: "other"', f'200 | {FRESH} | ETag: "other"')
    await scene.ask()
    second = await scene.ask()

    assert (second.status, second.content) == (200, b"3")
    assert (await scene.ask()).short == (200, b"3", "hit")
    assert ["if-none-match" in talk.fields for talk in scene.asked()] == [False, True, False]


async def test_a_304_that_forbids_storing(scene):
    """Its client is served what it is about; the next request finds nothing."""
    scene.answers(f"{STALE} | {ETAG}", f"304 | Cache-Control: no-store | {ETAG}", f"{FRESH}")
    await scene.ask()
    second = await scene.ask()
    assert (second.status, second.content) == (200, b"1")
    third = await scene.ask()

    assert third.short == (200, b"3", FIRST)
    assert "if-none-match" not in scene.asked()[2].fields


# RFC 9111 §4.3.2: conditions of clients, answered from the store

MATCHING = {
    "the same": 'If-None-Match: "a"',
    "a weak one": 'If-None-Match: W/"a"',
    "one of several": 'If-None-Match: "x", "a"',
    "on two lines": 'If-None-Match: "x" | If-None-Match: "a"',
    "any": "If-None-Match: *",
    "whatever the date": 'If-None-Match: "a" | If-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT',
    "the date": f"If-Modified-Since: {CHANGED[15:]}",
    "a later date": "If-Modified-Since: @0",
}
OTHER = {
    "another": 'If-None-Match: "b"',
    "another, whatever the date": 'If-None-Match: "b" | If-Modified-Since: @0',
    "an earlier date": "If-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT",
    "no date": "If-Modified-Since: tomorrow",
}


@pytest.mark.parametrize("condition", MATCHING.values(), ids=MATCHING.keys())
async def test_a_condition_that_holds(scene, condition):
    """304, with what a 200 would say of the copy, and no content."""
    kept = f"{FRESH} | {ETAG} | {CHANGED} | Vary: X-V | Content-Location: /x | Expires: @60"
    scene.answers(f"{kept} | Content-Type: text/plain")
    await scene.ask()
    for method in ("GET", "HEAD", "GET"):
        answer = await scene.ask(condition, method)
        assert answer.short == (304, b"", "hit")
        names = ("etag", "vary", "content-location", "cache-control")
        assert [answer.get(name) for name in names] == ['"a"', "X-V", "/x", "max-age=600"]
        assert answer.get("date")
        assert answer.age < 30
        assert (answer.get("content-type"), answer.get("content-length")) == (None, None)

    assert scene.count == 1


@pytest.mark.parametrize("condition", OTHER.values(), ids=OTHER.keys())
async def test_a_condition_that_does_not_hold(scene, condition):
    """200 from the store."""
    scene.answers(f"{FRESH} | {ETAG} | {CHANGED}")
    await scene.ask()
    for _ in range(3):
        assert (await scene.ask(condition)).short == (200, b"1", "hit")

    assert scene.count == 1


async def test_conditions_after_a_validation(scene):
    """A client's copy that the origin has just confirmed is confirmed to the client."""
    scene.answers(f"{STALE} | {ETAG}", f"304 | {STALE} | {ETAG}")
    await scene.ask()
    for _ in range(2):
        assert (await scene.ask('If-None-Match: "a"')).short == (304, b"", VALIDATED)
        assert (await scene.ask('If-None-Match: "b"')).short == (200, b"1", VALIDATED)


async def test_an_error_page_is_nobodys_copy(scene):
    """Conditions are about what is there (RFC 9110 §13.2.1)."""
    scene.answers(f"404 | {FRESH} | {ETAG} | {CHANGED}")
    for handling in (FIRST, "hit", "hit"):
        assert (await scene.ask('If-None-Match: "a"')).short == (404, b"1", handling)


# HEAD (RFC 9111 §4.3.5)


async def test_head_from_the_store(scene):
    """The fields of GET, and nothing behind them."""
    scene.answers(f"{FRESH} | {ETAG} | X-A: b | > hello")
    await scene.ask()
    for _ in range(2):
        answer = await scene.ask(method="HEAD")
        assert answer.short == (200, b"", "hit")
        assert (answer.get("content-length"), answer.get("x-a")) == ("5", "b")
        assert (await scene.ask()).short == (200, b"hello", "hit")

    assert scene.count == 1


async def test_answers_to_head_are_not_stored(scene):
    """Neither for HEAD nor for GET, which is answered as if there had been none."""
    scene.answers(f"{FRESH} | {ETAG}")
    for _ in range(3):
        assert (await scene.ask(method="HEAD")).handling == "fwd=uri-miss; detail=method"
    assert (await scene.ask()).short == (200, b"4", FIRST)
    for method in ("GET", "HEAD", "GET"):
        assert (await scene.ask(method=method)).handling == "hit"

    assert [talk.method for talk in scene.asked()] == ["HEAD"] * 3 + ["GET"]


async def test_a_head_in_between_costs_no_request(scene):
    """Both workers know that GETs are stored, whatever was HEAD before."""
    scene.answers(f"{FRESH} | {ETAG}")
    await scene.ask(method="HEAD")
    await scene.ask(method="HEAD")
    assert (await scene.visitors[0].ask(f"/o{scene.path}")).short == (200, b"3", FIRST)
    assert (await scene.visitors[1].ask(f"/o{scene.path}")).short == (200, b"3", "hit")


async def test_a_head_freshens(scene):
    """Its 200 about the same content updates the fields; the content is served again."""
    scene.answers(f"{STALE} | {ETAG} | X-A: old", f"200 | {FRESH} | {ETAG} | X-A: new")
    await scene.ask()
    head = await scene.ask(method="HEAD")
    assert (head.status, head.get("x-a")) == (200, "new")
    for _ in range(3):
        answer = await scene.ask()
        assert answer.short == (200, b"1", "hit")
        assert answer.get("x-a") == "new"

    assert [talk.method for talk in scene.asked()] == ["GET", "HEAD"]


async def test_a_head_that_is_answered_304_freshens(scene):
    """Our own condition went along."""
    scene.answers(f"{STALE} | {ETAG}", f"304 | {FRESH} | {ETAG} | X-A: new")
    await scene.ask()
    assert (await scene.ask(method="HEAD")).short == (200, b"", VALIDATED)
    answer = await scene.ask()

    assert (answer.short, answer.get("x-a")) == ((200, b"1", "hit"), "new")


CONTRADICTING = {
    "ETag": f'200 | {FRESH} | ETag: "b" | Content-Length: 1',
    "Last-Modified": f"200 | {FRESH} | {ETAG} | Last-Modified: @0 | Content-Length: 1",
    "length": f"200 | {FRESH} | {ETAG} | Content-Length: 99",
}  # fmt: skip


@pytest.mark.parametrize("reply", CONTRADICTING.values(), ids=CONTRADICTING.keys())
async def test_a_head_about_something_else(scene, reply):
    """What is stored is not used unvalidated any more."""
    scene.answers(f"{STALE} | {ETAG} | {CHANGED}", reply, f'200 | {FRESH} | ETag: "b"')
    await scene.ask()
    await scene.ask(method="HEAD")
    answer = await scene.ask()

    assert (answer.status, answer.content) == (200, b"3")
