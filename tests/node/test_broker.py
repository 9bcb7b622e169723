"""Who answers: what is stored, or an origin; who waits for whom, and what goes by itself."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from edge.http.caching import Reason
from edge.node.broker import ROUNDS
from edge.site import keys
from tests.support_origin import saying
from tests.support_proxied import (
    FRESH,
    broker_of,
    conditional,
    get,
    getting,
    handling,
    mark_of,
    proxied,
    quiet,
    stored,
    ttl,
    waiting,
)
from tests.support_serving import HOST
from tests.support_wire import until

OBEYING = "cache: {client_directives: [no-cache, max-age, max-stale, min-fresh, only-if-cached]}\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin):
    """A node that obeys what clients say, and tells languages and parameters apart."""
    site = proxied(
        tmp_path_factory.mktemp("broker"), origin,
        ("/also/<*>", f"http://127.0.0.1:{origin.port}/<*>", "200"),
        app_yml="cache: {query: [a], cookies: [lang]}", edge_yml=OBEYING,
    )  # fmt: skip
    uvloop.run(site.start())
    return site


# The order of decisions

STEPS = {
    "fresh": (60, {}, 30, {}, "hit", 1),
    "fresh to its last second": (60, {}, 59, {}, "hit", 1),
    "stale": (60, {}, 60, {}, "fwd=stale; fwd-status=304; stored", 2),
    "fresh, and the client wants it checked": (
        60, {}, 30, {"cache_control": "no-cache"}, "fwd=request; fwd-status=304; stored", 2,
    ),
    "fresh, and too old for the client": (
        60, {}, 30, {"cache_control": "max-age=10"}, "fwd=request; fwd-status=304; stored", 2,
    ),
    "stale, and the client takes it": (60, {}, 70, {"cache_control": "max-stale=20"}, "hit", 1),
    "stale, and too much so": (
        60, {}, 90, {"cache_control": "max-stale=20"}, "fwd=stale; fwd-status=304; stored", 2,
    ),
    "fresh, and nothing else is wanted": (
        60, {}, 30, {"cache_control": "only-if-cached"}, "hit", 1,
    ),
    "stale, and nothing else is wanted": (
        60, {}, 70, {"cache_control": "only-if-cached"}, "fwd=request", 1,
    ),
    "always validated": (0, {}, 0, {}, "fwd=stale; fwd-status=304; stored", 2),
    "another variant": (60, {}, 0, {"accept_language": "de"}, "fwd=vary-miss; stored", 2),
    "a parameter of no meaning": (60, {}, 0, {"query": "b=2"}, "hit", 1),
    "another parameter": (60, {}, 0, {"query": "a=2"}, "fwd=uri-miss; stored", 2),
    "a cookie of no meaning": (60, {}, 0, {"cookie": "id=1"}, "hit", 1),
    "another cookie": (60, {}, 0, {"cookie": "lang=de"}, "fwd=uri-miss; stored", 2),
}  # fmt: skip


@pytest.mark.parametrize("case", STEPS.values(), ids=STEPS.keys())
async def test_what_is_stored_is_used_as_the_rfc_says(site, origin, path, case):
    """Select, reuse, else validate or fetch; the origin is asked no more than that."""
    seconds, first, later, second, expected, asked = case
    lines = (f"Cache-Control: max-age={seconds}", "Vary: Accept-Language")
    origin.on(path, conditional('"a"', b"hello", *lines))
    assert handling(await get(site, f"/o{path}", **first)) == "fwd=uri-miss; stored"
    site.pass_time(later)
    second = dict(second)
    query = second.pop("query", "")
    answer = await get(site, f"/o{path}?{query}" if query else f"/o{path}", **second)

    assert (handling(answer), len(origin.of(path))) == (expected, asked)
    assert answer.status == (504 if expected == "fwd=request" else 200)
    assert answer.content == (b"" if answer.status == 504 else b"hello")


async def test_what_is_left_of_its_time_is_told(site, origin, path):
    """With its age; and below zero where it serves stale."""
    origin.on(path, saying(b"hello", 200, "Cache-Control: max-age=60, stale-while-revalidate=60"))
    await get(site, f"/o{path}")
    site.pass_time(40)
    answer = await get(site, f"/o{path}")
    assert (ttl(answer) in (19, 20), answer.fields["age"]) == (True, "40")
    site.pass_time(40)
    answer = await get(site, f"/o{path}")
    assert (ttl(answer) in (-21, -20), answer.fields["age"]) == (True, "80")


async def test_with_nothing_stored_only_if_cached_is_504(site, origin, path):
    """Nobody is asked (RFC 9111 §5.2.1.7)."""
    answer = await get(site, f"/o{path}", cache_control="only-if-cached")

    assert (answer.status, handling(answer), origin.of(path)) == (504, "fwd=request", [])


@pytest.mark.parametrize("directive", ["no-cache", "only-if-cached", "max-age=0", "no-store"])
async def test_what_is_not_obeyed_is_nothing(tmp_path, origin, path, directive):
    """Each would let clients decide what origins get."""
    site = await proxied(tmp_path, origin).start()
    origin.on(path, saying(b"hello", 200, FRESH))
    answer = await get(site, f"/o{path}", cache_control=directive)
    assert handling(answer) == "fwd=uri-miss; stored"
    assert handling(await get(site, f"/o{path}", cache_control=directive)) == "hit"
    await quiet(site)


# Who waits for whom


async def test_many_that_ask_the_same_are_one_request(site, origin, path):
    """All get the answer; it is told who waited."""
    origin.on(path, waiting(b"hello", FRESH))
    tasks = [getting(site, f"/o{path}") for _ in range(20)]
    (await origin.wait_for(path)).go.set()
    answers = await asyncio.gather(*tasks)

    assert {answer.content for answer in answers} == {b"hello"}
    assert len(origin.of(path)) == 1
    first, *others = [handling(answer) for answer in answers]
    assert first == "fwd=uri-miss; stored"
    assert set(others) == {"fwd=uri-miss; stored; collapsed"}


async def test_many_that_find_it_stale_validate_it_once(site, origin, path):
    """The 304 is an answer for all of them."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    await get(site, f"/o{path}")
    site.pass_time(100)
    tasks = [getting(site, f"/o{path}") for _ in range(20)]
    answers = await asyncio.gather(*tasks)

    assert len(origin.of(path)) == 2
    assert {(answer.status, answer.content) for answer in answers} == {(200, b"hello")}


ALONE = {
    "HEAD": {"method": "HEAD"},
    "a part": {"range": "bytes=0-1"},
    "credentials": {"authorization": "Bearer x"},
    "If-Match": {"if_match": '"a"'},
    "If-Unmodified-Since": {"if_unmodified_since": "Sun, 06 Nov 1994 08:49:37 GMT"},
}


@pytest.mark.parametrize("fields", ALONE.values(), ids=ALONE.keys())
async def test_some_requests_wait_for_nobody(site, origin, path, fields):
    """Nor does anybody wait for them: their answers are for those who have the same."""
    origin.on(path, waiting(b"hello", FRESH))
    tasks = [getting(site, f"/o{path}", **fields) for _ in range(2)]
    for number in (1, 2):
        (await origin.wait_for(path, number)).go.set()

    assert {handling(each).partition(";")[0] for each in await asyncio.gather(*tasks)} == {
        "fwd=uri-miss"
    }


DIFFERENT = {
    "languages": ({"accept_language": "de"}, {"accept_language": "en"}),
    "codings": ({"accept_encoding": "gzip"}, {}),
}


@pytest.mark.parametrize("fields", DIFFERENT.values(), ids=DIFFERENT.keys())
async def test_what_differs_in_what_vary_names_is_asked_apart(site, origin, path, fields):
    """Once something is known of it; before that those who waited in vain ask again."""
    origin.on(path, waiting(b"hello", FRESH, "Vary: Accept-Language, Accept-Encoding"))
    tasks = [getting(site, f"/o{path}", **each) for each in fields for _ in range(3)]
    for number in (1, 2):
        (await origin.wait_for(path, number)).go.set()
    await asyncio.gather(*tasks)
    assert (len(origin.of(path)), len(stored(site, path))) == (2, 2)
    site.pass_time(100)
    tasks = [getting(site, f"/o{path}", **each) for each in fields for _ in range(3)]
    await origin.wait_for(path, 4)  # at the same time
    for talk in origin.of(path)[2:]:
        talk.go.set()
    await asyncio.gather(*tasks)
    assert (len(origin.of(path)), len(stored(site, path))) == (4, 2)


async def test_nobody_waits_forever_for_others(site, origin, path):
    """After some rounds a request goes by itself, whatever else goes on."""
    origin.on(path, waiting(b"hello", FRESH, "Vary: X-A"))
    tasks = [getting(site, f"/o{path}", x_a=str(number)) for number in range(ROUNDS + 3)]
    for number in range(1, ROUNDS + 4):
        (await origin.wait_for(path, number)).go.set()
    answers = await asyncio.gather(*tasks)

    assert [answer.content for answer in answers] == [b"hello"] * (ROUNDS + 3)
    assert len(stored(site, path)) == ROUNDS + 3


# Answers that cannot be shared

MARKS = {
    ("Cache-Control: private",): Reason.PRIVATE,
    ("Cache-Control: no-store",): Reason.NO_STORE,
    ("Cache-Control: max-age=60", "Set-Cookie: a=b"): Reason.SET_COOKIE,
    ("Cache-Control: max-age=60", "Vary: *"): Reason.VARY,
    ("Cache-Control: max-age=0",): Reason.USELESS,
    (): Reason.USELESS,
}


@pytest.mark.parametrize(("lines", "reason"), MARKS.items(), ids=str)
async def test_after_an_answer_that_cannot_be_shared_nobody_waits(
    site, origin, path, lines, reason
):
    """The first time they do; from then on all go at once, and the reason is told."""
    origin.on(path, waiting(b"hello", *lines))
    for first in (1, 4):
        tasks = [getting(site, f"/o{path}") for _ in range(3)]
        if first == 1:
            (await origin.wait_for(path)).go.set()
        await origin.wait_for(path, first + 2)
        for talk in origin.of(path)[first - 1 :]:
            talk.go.set()
        for answer in await asyncio.gather(*tasks):
            assert handling(answer) == f"fwd=uri-miss; detail={reason.value.decode()}"

    assert mark_of(site, path) is reason
    assert stored(site, path) == []


async def test_an_answer_that_can_be_shared_again_is(site, origin, path):
    """The answer that shows it passes by the store; the next one is stored."""
    origin.on(path, saying(b"hello", 200, "Cache-Control: private"))
    await get(site, f"/o{path}")
    origin.on(path, saying(b"hello", 200, FRESH))
    assert handling(await get(site, f"/o{path}")) == "fwd=uri-miss"
    assert mark_of(site, path) is None
    assert handling(await get(site, f"/o{path}")) == "fwd=uri-miss; stored"
    assert mark_of(site, path) is False
    assert handling(await get(site, f"/o{path}")) == "hit"


async def test_what_is_stored_becomes_private(site, origin, path):
    """What was stored goes, and is not shown to anybody again."""
    origin.on(path, conditional('"a"', b"public", FRESH))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, saying(b"mine", 200, "Cache-Control: private"))
    answer = await get(site, f"/o{path}")

    assert (answer.content, handling(answer)) == (b"mine", "fwd=stale; detail=private")
    assert stored(site, path) == []
    assert handling(await get(site, f"/o{path}")) == "fwd=uri-miss; detail=private"


# Letting go

LABELS = {
    "app": keys.label_of_app("site"),
    "branch": keys.label_of_branch("site", "main"),
    "host": keys.label_of_host(HOST),
    "tag": keys.label_of_tag(b"two"),
}


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS.keys())
async def test_what_is_dropped_is_found_by_no_later_request(site, origin, path, label):
    """By any of its labels."""
    origin.on(path, saying(b"hello", 200, FRESH, "Cache-Tag: one, two"))
    await get(site, f"/o{path}")
    assert broker_of(site).drop([b"app other", b"tag three"]) == 0
    assert handling(await get(site, f"/o{path}")) == "hit"
    assert broker_of(site).drop([label]) == 1
    assert handling(await get(site, f"/o{path}")) == "fwd=uri-miss; stored"


async def test_a_drop_may_stay_within_some_labels(site, origin, path):
    """A tag is a word that every app may use: what is an app's own goes, and no other's."""
    tag, own, other = [keys.label_of_tag(b"two")], LABELS["branch"], keys.label_of_app("other")
    origin.on(path, saying(b"hello", 200, FRESH, "Cache-Tag: one, two"))
    await get(site, f"/o{path}")
    for within, dropped in ((frozenset([other]), 0), (frozenset(), 0), (frozenset([own]), 1)):
        assert broker_of(site).drop(tag, within=within) == dropped


async def test_so_does_a_drop_of_what_is_on_its_way(site, origin, path):
    """Its tags are not known yet, its branch is."""
    tag, other = [keys.label_of_tag(b"two")], frozenset([keys.label_of_app("other")])
    origin.on(path, waiting(b"hello", FRESH))
    task = getting(site, f"/o{path}")
    talk = await origin.wait_for(path)
    await until(lambda: broker_of(site)._flying)
    (flight,) = broker_of(site)._flying
    broker_of(site).drop(tag, within=other)
    assert not flight.fetch.is_spoiled
    broker_of(site).drop(tag, within=frozenset([LABELS["branch"]]))
    assert flight.fetch.is_spoiled
    talk.go.set()
    await task


async def test_pages_and_targets_are_found_with_their_chosen_query(site, origin, path):
    """However much else the client had in its query."""
    origin.on(path, saying(b"hello", 200, FRESH))
    target = f"http://127.0.0.1:{origin.port}{path}?a=1"
    for label in (
        keys.label_of_page(HOST, f"/o{path}", b"?a=1"), keys.label_of_target("site", target),
    ):  # fmt: skip
        await get(site, f"/o{path}?b=2&a=1")
        assert broker_of(site).drop([label]) == 1


async def test_every_page_that_a_stored_answer_was_sent_for_finds_it(site, origin, path):
    """Two addresses of a site may lead to one of the origin."""
    origin.on(path, saying(b"hello", 200, FRESH))
    await get(site, f"/o{path}")
    assert handling(await get(site, f"/also{path}")) == "hit"

    assert broker_of(site).drop([keys.label_of_page(HOST, f"/also{path}", b"")]) == 1


async def test_every_page_that_waited_for_an_answer_finds_it(site, origin, path):
    """As if it had been asked a moment later."""
    origin.on(path, waiting(b"hello", FRESH))
    tasks = [getting(site, f"/{rule}{path}") for rule in ("o", "also")]
    talk = await origin.wait_for(path)
    await until(lambda: [each._interest for each in broker_of(site)._flying] == [2])
    talk.go.set()
    await asyncio.gather(*tasks)

    assert broker_of(site).drop([keys.label_of_page(HOST, f"/also{path}", b"")]) == 1


async def test_a_soft_drop_has_it_validated(site, origin, path):
    """The content stays."""
    origin.on(path, conditional('"a"', b"hello", FRESH))
    await get(site, f"/o{path}")
    assert broker_of(site).drop([keys.label_of_app("site")], soft=True) == 1
    assert handling(await get(site, f"/o{path}")) == "fwd=stale; fwd-status=304; stored"
    assert handling(await get(site, f"/o{path}")) == "hit"


async def test_everything_can_go(site, origin, path):
    """What is remembered of other keys too."""
    origin.on(path, saying(b"hello", 200, FRESH))
    origin.on(path + "/mine", saying(b"hello", 200, "Cache-Control: private"))
    for each in (path, path + "/mine"):
        await get(site, f"/o{each}")
    assert broker_of(site).clear() == 1
    assert mark_of(site, path + "/mine") is False


async def test_settings_count_from_the_next_request_on(tmp_path, origin, path):
    """What clients may say, and how large an answer may be."""
    site = await proxied(tmp_path, origin, edge_yml="cache: {max_object: 4B}").start()
    origin.on(path, saying(b"hello", 200, FRESH))
    answer = await get(site, f"/o{path}", cache_control="only-if-cached")
    assert handling(answer) == "fwd=uri-miss; detail=too-large"
    text = f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\n{OBEYING}'
    (tmp_path / "edge.yml").write_text(text)
    site.changes.reload()
    await site.follow()
    assert handling(await get(site, f"/o{path}")) == "fwd=uri-miss; stored"
    answer = await get(site, f"/o{path}?x", cache_control="only-if-cached")
    assert answer.status == 504
    await quiet(site)


async def test_another_reach_forgets_everything(tmp_path, origin, path):
    """It may hold what nobody may ask for any more; a deploy alone changes nothing."""
    site = await proxied(tmp_path, origin).start()
    origin.on(path, saying(b"hello", 200, FRESH))
    await get(site, f"/o{path}")
    await site.redeploy({"index.html": "other"})
    assert handling(await get(site, f"/o{path}")) == "hit"
    (tmp_path / "edge.yml").write_text("proxy: {allow: []}\n")
    site.changes.reload()
    await site.follow()
    assert len(broker_of(site).shelf) == 0
    assert (await get(site, f"/o{path}")).status == 502
    await quiet(site)


async def test_a_query_that_is_not_chosen_is_never_sent(tmp_path, origin, path):
    """Whether its answers are stored or not: else the first one would differ from the others."""
    site = await proxied(tmp_path, origin, app_yml="cache: {query: [b]}").start()
    origin.on(path, saying(b"mine", 200, "Cache-Control: private"))
    for number in range(3):
        await get(site, f"/o{path}?a={number}&b=1")
    assert mark_of(site, f"{path}?b=1") is Reason.PRIVATE
    assert [talk.target for talk in origin.of(path)] == [f"{path}?b=1"] * 3
    await quiet(site)
