"""
What clients of a node of two workers may wish (RFC 9111 §5.2.1), and what an operator may guess
(§4.2.2).
"""

from __future__ import annotations

import pytest

from tests.support_stored import about, on_scene, staged

ETAG = 'ETag: "a"'
FRESH = "Cache-Control: max-age=600"
FIRST = "fwd=uri-miss; stored"
VALIDATED = "fwd=stale; fwd-status=304; stored"

ALL = "max-age, max-stale, min-fresh, no-cache, no-store, only-if-cached"


@pytest.fixture(scope="module")
def obeying(tmp_path_factory):
    """A node that obeys its clients, and guesses lifetimes."""
    cache = f"{{heuristic: true, client_directives: [{ALL}]}}"
    with staged(tmp_path_factory.mktemp("obeying"), cache) as found:
        yield found


@pytest.fixture
async def obedient(obeying, place, order):
    """A test on it."""
    async with on_scene(obeying, place, order) as found:
        yield found


# RFC 9111 §5.2.1

WISHES = {
    "no-cache": "Cache-Control: no-cache",
    "no-store": "Cache-Control: no-store",
    "max-age=0": "Cache-Control: max-age=0",
    "min-fresh": "Cache-Control: min-fresh=6000",
    "only-if-cached": "Cache-Control: only-if-cached",
    "Pragma": "Pragma: no-cache",
    "several": "Cache-Control: max-age=0 | Cache-Control: no-cache | Pragma: no-cache",
}


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES.keys())
async def test_wishes_are_ignored_as_shipped(scene, wish):
    """No client decides what an origin gets."""
    scene.answers(FRESH)
    assert (await scene.ask(wish)).short == (200, b"1", FIRST)
    for _ in range(3):
        assert (await scene.ask(wish)).short == (200, b"1", "hit")


async def test_no_wish_makes_anything_stale(scene):
    """max-stale neither."""
    scene.answers(f"Cache-Control: max-age=60 | Age: 600 | {ETAG}", f"304 | Age: 600 | {ETAG}")
    await scene.ask()
    for _ in range(3):
        assert (await scene.ask("Cache-Control: max-stale")).short == (200, b"1", VALIDATED)


HOLDS = f"Cache-Control: max-age=600 | Age: 100 | {ETAG}"
PAST = f"Cache-Control: max-age=60 | Age: 100 | {ETAG}"
OBEYED = {
    "nothing": (HOLDS, "X-A: b", "hit"),
    "no-cache": (HOLDS, "Cache-Control: no-cache", "fwd=request; fwd-status=304; stored"),
    "max-age that is met": (HOLDS, "Cache-Control: max-age=200", "hit"),
    "max-age that is not": (HOLDS, "Cache-Control: max-age=50",
                            "fwd=request; fwd-status=304; stored"),
    "max-age that is no number": (HOLDS, "Cache-Control: max-age=x",
                                  "fwd=request; fwd-status=304; stored"),
    "min-fresh that is met": (HOLDS, "Cache-Control: min-fresh=300", "hit"),
    "min-fresh that is not": (HOLDS, "Cache-Control: min-fresh=550",
                              "fwd=request; fwd-status=304; stored"),
    "only-if-cached": (HOLDS, "Cache-Control: only-if-cached", "hit"),
    "max-stale": (PAST, "Cache-Control: max-stale", "hit"),
    "max-stale of enough": (PAST, "Cache-Control: max-stale=200", "hit"),
    "max-stale of too little": (PAST, "Cache-Control: max-stale=10", VALIDATED),
    "max-stale and only-if-cached": (PAST, "Cache-Control: max-stale, only-if-cached", "hit"),
    "max-stale of what is forbidden": (
        f"{PAST} | Cache-Control: must-revalidate", "Cache-Control: max-stale", VALIDATED,
    ),
    "max-stale of what is forbidden to proxies": (
        f"{PAST} | Cache-Control: proxy-revalidate", "Cache-Control: max-stale", VALIDATED,
    ),
    "max-stale of s-maxage": (
        f"Cache-Control: s-maxage=60 | Age: 100 | {ETAG}", "Cache-Control: max-stale", VALIDATED,
    ),
    "max-age of what is immutable": (f"{HOLDS} | Cache-Control: immutable",
                                     "Cache-Control: max-age=0", "hit"),
    "Pragma": (HOLDS, "Pragma: no-cache", "hit"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "wish", "handling"), OBEYED.values(), ids=OBEYED.keys())
async def test_wishes_that_are_obeyed(obedient, reply, wish, handling):
    """From either worker, whether it has a copy or not."""
    obedient.answers(reply, f"304 | {reply}")
    for _ in range(4):
        await obedient.ask()
    before = obedient.count
    for number in range(1, 5):
        assert (await obedient.ask(wish)).short == (200, b"1", handling)
        assert obedient.count == before + (0 if handling == "hit" else number)


async def test_only_if_cached_asks_nobody(obedient):
    """504, where nothing stored would do."""
    obedient.answers(PAST)
    for _ in range(2):
        assert (await obedient.ask("Cache-Control: only-if-cached")).status == 504
    assert obedient.count == 0
    assert (await obedient.ask()).status == 200
    for _ in range(2):
        assert (await obedient.ask("Cache-Control: only-if-cached")).status == 504
    assert obedient.count == 1


async def test_no_store_of_a_client_that_is_obeyed(obedient):
    """Its answer is not stored, but may come from the store (RFC 9111 §5.2.1.5)."""
    obedient.answers(FRESH)
    for number in (b"1", b"2"):
        answer = await obedient.ask("Cache-Control: no-store")
        assert answer.short == (200, number, "fwd=uri-miss; detail=request-no-store")
    assert (await obedient.ask()).content == b"3"
    for _ in range(2):
        assert (await obedient.ask("Cache-Control: no-store")).short == (200, b"3", "hit")


RELOADED = {
    "200": "200 | Cache-Control: max-age=600 | X-A: new",
    "200 that is not stored": "200 | Cache-Control: no-store | X-A: new",
    "304": f"304 | {FRESH} | {ETAG} | X-A: new",
}


@pytest.mark.parametrize("reply", RELOADED.values(), ids=RELOADED.keys())
async def test_a_reload_is_everybodys(obedient, reply):
    """What one client's reload has brought, no worker has an older copy of."""
    obedient.answers(f"{HOLDS} | X-A: old", reply)
    for _ in range(4):
        assert (await obedient.ask()).get("x-a") == "old"
    await obedient.ask()
    assert (await obedient.ask("Cache-Control: no-cache")).get("x-a") == "new"
    await obedient.settle("x-a", "new")
    for _ in range(4):
        assert (await obedient.ask()).get("x-a") == "new"


async def test_a_head_that_contradicts_is_everybodys(obedient):
    """No worker serves a copy of what a HEAD has shown to be old."""
    obedient.answers(
        f"{HOLDS} | X-A: old", 'ETag: "b" | X-A: new', f'{FRESH} | ETag: "b" | X-A: new'
    )
    for _ in range(5):
        assert (await obedient.ask()).get("x-a") == "old"
    await obedient.ask("Cache-Control: no-cache", method="HEAD")
    await obedient.settle("x-a", "new")
    for _ in range(4):
        assert (await obedient.ask()).get("x-a") == "new"


# RFC 9111 §4.2.2

GUESSED = {
    "a tenth": ("Last-Modified: @-6000", 600),
    "a tenth of what was at its date": ("Date: @-500 | Last-Modified: @-10500", 500),
    "a day at most": ("Last-Modified: @-8640000", 86400),
    "a status that is guessed about": ("301 | Last-Modified: @-6000", 600),
    "one that is not, but public": (
        "403 | Cache-Control: public | Last-Modified: @-6000", 600,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "ttl"), GUESSED.values(), ids=GUESSED.keys())
async def test_a_guess(obedient, reply, ttl):
    """Where the operator allows one."""
    obedient.answers(reply)
    for handling in (FIRST, "hit", "hit"):
        answer = await obedient.ask()
        assert (answer.content, answer.handling) == (b"1", handling)
        assert about(answer.ttl, ttl)


NOT_GUESSED = {
    "no date": (ETAG, VALIDATED),
    "a lifetime is stated": (f"{ETAG} | Cache-Control: max-age=0 | Last-Modified: @-6000",
                             VALIDATED),
    "an invalid one is": (f"{ETAG} | Expires: 0 | Last-Modified: @-6000", VALIDATED),
    "a date to come": (f"{ETAG} | Last-Modified: @6000", VALIDATED),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "handling"), NOT_GUESSED.values(), ids=NOT_GUESSED.keys())
async def test_no_guess(obedient, reply, handling):
    """Validated each time."""
    obedient.answers(reply, f"304 | {reply}")
    await obedient.ask()
    for _ in range(3):
        assert (await obedient.ask()).short == (200, b"1", handling)
