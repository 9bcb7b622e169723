"""Hits without a decision: the same answer as by the long way, or none at all."""

from __future__ import annotations

import pytest

from edge.node import recalls as module
from edge.node.content import Inflow
from tests.support_origin import Talk, saying
from tests.support_proxied import (
    FRESH,
    LARGE,
    get,
    handling,
    hits_of,
    stored,
)
from tests.support_recalls import LISTENING, NEVER, PROXY, THIRD, TRUSTING, known, seen, ways
from tests.support_serving import HOST, answer, request

EDGE_YML = TRUSTING + LISTENING
"""A trusted proxy, and answers that no cookie tells apart."""


# The third


async def test_the_third_answer_is_the_second(site, origin, path):
    """Line by line; the origin was asked once."""
    origin.on(path, saying(b"hello", 200, FRESH, "X-A: b", "Vary: Accept-Encoding", 'ETag: "a"'))
    first, second, third = [await seen(site, f"/o{path}") for _ in range(3)]

    assert [is_recalled for _, is_recalled in (first, second, third)] == THIRD
    assert (third[0].status, third[0].content) == (200, b"hello")
    assert third[0].fields == second[0].fields
    assert third[0].fields["x-a"] == "b"
    assert handling(third[0]) == "hit"
    assert len(origin.of(path)) == 1


@pytest.mark.parametrize("status", [200, 203, 204, 301, 404, 410])
async def test_answers_of_any_status_are_recalled(site, origin, path, status):
    """Whatever it is."""
    origin.on(path, saying(b"", status, FRESH))
    found = [(await seen(site, f"/o{path}"))[0] for _ in range(2)]
    third, is_recalled = await seen(site, f"/o{path}")

    assert (is_recalled, third.status, third.fields) == (True, status, found[1].fields)


@pytest.mark.parametrize("size", [0, 1, len(LARGE)])
async def test_content_of_any_size_is_recalled(site, origin, path, size):
    """Once it is whole."""
    origin.on(path, saying(LARGE[:size], 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD

    assert (await seen(site, f"/o{path}"))[0].content == LARGE[:size]


async def test_addresses_are_remembered_each_by_itself(site, origin, path):
    """With their query; one does not answer for another."""
    origin.on(path, lambda talk: talk.answer(talk.target.encode(), 200, FRESH))
    for query in ("", "?", "?a=1", "?a=2"):
        assert await ways(site, f"/o{path}{query}") == THIRD
    for query in ("", "?a=1", "?a=2"):
        found, is_recalled = await seen(site, f"/o{path}{query}")
        assert (found.content.decode(), is_recalled) == (path + query, True)


async def test_a_recalled_answer_counts_for_its_rule(site, origin, path):
    """As one that was decided."""
    origin.on(path, saying(b"hello", 200, FRESH))
    hits_of(site)
    await ways(site, f"/o{path}", 5)

    assert [list(hits.values()) for hits in hits_of(site).values()] == [[5]]


async def test_what_is_recalled_counts_as_used(site, origin, path):
    """Else the most asked would go first."""
    origin.on(path, saying(b"hello", 200, FRESH))
    await ways(site, f"/o{path}", 2)
    (entry,) = stored(site, path)
    entry.was_used()
    assert (await seen(site, f"/o{path}"))[1]
    assert entry.was_used()


# What states more

STATED = {
    "If-None-Match": ({"if_none_match": '"a"'}, 304, "hit"),
    "another If-None-Match": ({"if_none_match": '"b"'}, 200, "hit"),
    "If-Modified-Since": ({"if_modified_since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 304, "hit"),
    "If-Match": ({"if_match": '"b"'}, 200, "hit"),
    "If-Unmodified-Since": ({"if_unmodified_since": "Sun, 06 Nov 1993 08:49:37 GMT"}, 200, "hit"),
    "Range": ({"range": "bytes=0-1"}, 206, "hit"),
    "Range beyond the end": ({"range": "bytes=9-"}, 416, "hit"),
    "If-Range": ({"range": "bytes=0-1", "if_range": '"b"'}, 200, "hit"),
    "HEAD": ({"method": "HEAD"}, 200, "hit"),
    "Via": ({"via": "1.1 proxy"}, 200, "fwd=uri-miss; stored"),
    "CDN-Loop": ({"cdn_loop": "other"}, 200, "fwd=uri-miss; stored"),
    "https by a trusted proxy": (
        {"peer": PROXY, "x_forwarded_proto": "https"}, 200, "fwd=uri-miss; stored",
    ),
    "another port": ({"host": f"{HOST}:8080"}, 200, "fwd=uri-miss; stored"),
    "POST": ({"method": "POST"}, 200, "fwd=method"),
}  # fmt: skip


@pytest.mark.parametrize("case", STATED.values(), ids=STATED.keys())
async def test_what_states_more_is_decided(site, origin, path, case):
    """What its address leads to is not what it asks."""
    fields, status, expected = case
    lines = (FRESH, 'ETag: "a"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT")
    origin.on(path, saying(b"hello", 200, *lines))
    assert await ways(site, f"/o{path}") == THIRD
    found, is_recalled = await seen(site, f"/o{path}", **fields)

    assert (is_recalled, found.status, handling(found)) == (False, status, expected)


SAME = {
    "a cookie": {"cookie": "id=1"},
    "credentials": {"authorization": "Bearer x"},
    "directives": {"cache_control": "no-cache"},
    "Pragma": {"pragma": "no-cache"},
    "https by anybody": {"x_forwarded_proto": "https"},
    "another client": {"peer": "192.0.2.99"},
    "http by a trusted proxy": {"peer": PROXY, "x_forwarded_proto": "HTTP"},
    "a trusted proxy": {"peer": PROXY, "x_forwarded_for": "203.0.113.7", "x_country": "DE"},
}


@pytest.mark.parametrize("fields", SAME.values(), ids=SAME.keys())
async def test_what_makes_no_difference_is_recalled(site, origin, path, fields):
    """As the long way would answer it."""
    origin.on(path, saying(b"hello", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    found, is_recalled = await seen(site, f"/o{path}", **fields)
    known(site).clear()
    expected, _ = await seen(site, f"/o{path}", **fields)

    assert is_recalled
    assert (found.status, found.content, found.fields) == (
        expected.status, expected.content, expected.fields,
    )  # fmt: skip


async def test_a_request_with_content_goes_to_the_origin(site, origin, path):
    """A GET too."""
    origin.on(path, saying(b"hello", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    asked = request(f"/o{path}", content_length="3")
    asked.ends, asked.content = False, Inflow(lambda _: None)
    asked.content.feed(b"abc")
    asked.content.finish()
    found = await answer(site.worker, asked)

    assert (handling(found), len(origin.of(path))) == ("fwd=bypass", 2)


async def test_an_upgrade_goes_to_the_origin(site, origin, path):
    """A stored page is no tunnel."""
    origin.on(path, saying(b"hello", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    found, _ = await seen(site, f"/o{path}", connection="Upgrade", upgrade="websocket")

    assert (handling(found), len(origin.of(path))) == ("fwd=bypass", 2)
    assert origin.of(path)[-1].fields["upgrade"] == "websocket"


@pytest.mark.parametrize("choice", ["[lang]", "all"])
async def test_cookies_of_a_key_are_looked_at(make, origin, path, choice):
    """Any cookie may be one of them."""
    site = await make(app_yml=f"cache: {{cookies: {choice}}}")
    origin.on(path, lambda talk: talk.answer(talk.fields.get("cookie", "-").encode(), 200, FRESH))
    for cookie in ("lang=de", "lang=en"):
        assert await ways(site, f"/o{path}", cookie=cookie) == NEVER
    assert (await ways(site, f"/o{path}"))[-1]

    for cookie in ("lang=de", "lang=en"):
        assert (await seen(site, f"/o{path}", cookie=cookie))[0].content == cookie.encode()
    assert (await seen(site, f"/o{path}"))[0].content == b"-"


@pytest.mark.parametrize("fields", [{"via": "1.1 proxy"}, {"cdn_loop": "other"}], ids=str)
async def test_what_came_by_proxies_says_nothing_of_others(site, origin, path, fields):
    """Each has a key of its own."""
    (name,) = fields
    told = name.replace("_", "-")
    origin.on(path, lambda talk: talk.answer(talk.fields.get(told, "-").encode(), 200, FRESH))
    assert await ways(site, f"/o{path}", **fields) == NEVER
    assert known(site) == {}
    by_proxy, direct = [(await seen(site, f"/o{path}", **each))[0] for each in (fields, {})]

    assert by_proxy.content != direct.content
    assert await ways(site, f"/o{path}") == [False, True, True]
    for each, expected in ((fields, by_proxy), ({}, direct)):
        assert (await seen(site, f"/o{path}", **each))[0].content == expected.content


async def test_directives_that_are_obeyed_are_looked_at(make, origin, path):
    """A client may want it checked."""
    site = await make(edge_yml="cache: {client_directives: [no-cache, max-age]}")
    origin.on(path, saying(b"hello", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    found, is_recalled = await seen(site, f"/o{path}", cache_control="no-cache")
    assert (is_recalled, handling(found)) == (False, "fwd=request; stored")


async def test_hosts_by_their_ports_are_told_apart(site, origin, path):
    """What the origin was told is in the answer; a port that nobody listens on is not."""
    origin.on(path, lambda talk: talk.answer(talk.fields["x-forwarded-host"].encode(), 200, FRESH))
    hosts = {HOST: HOST, f"{HOST}:8080": f"{HOST}:8080", f"{HOST}:9": HOST, HOST.upper(): HOST}
    for host in hosts:
        assert (await ways(site, f"/o{path}", host=host))[-1]
    for host, told in hosts.items():
        assert (await seen(site, f"/o{path}", host=host))[0].content == told.encode()


async def test_schemes_are_told_apart(site, origin, path):
    """The one that was asked last is remembered; the other takes the long way."""
    origin.on(path, lambda talk: talk.answer(talk.fields["x-forwarded-proto"].encode(), 200, FRESH))
    for scheme in ("https", "http", "https"):
        for _ in range(3):
            found, _ = await seen(site, f"/o{path}", peer=PROXY, x_forwarded_proto=scheme)
            assert found.content == scheme.encode()
        assert (await seen(site, f"/o{path}", peer=PROXY, x_forwarded_proto=scheme))[1]


# Vary

CODINGS = [
    "", "gzip", "br", "gzip, br", "br, gzip", "GZIP", "gzip;q=0", "gzip;q=0.5, br", "*", "*;q=0",
    "identity", "identity;q=0", "identity;q=0, gzip", "deflate", "gzip, deflate, br, zstd", ",",
]  # fmt: skip


@pytest.mark.parametrize("vary", ["Vary: Accept-Encoding", "X-None: here"])
async def test_codings_are_told_apart_as_by_the_long_way(site, origin, path, vary):
    """Whatever was remembered before, for whomever."""

    def script(talk: Talk) -> None:
        talk.answer(talk.fields.get("accept-encoding", "-").encode(), 200, FRESH, vary)

    origin.on(path, script)
    asked = [{}, *({"accept_encoding": each} for each in CODINGS)]
    for fields in (*asked, *asked):
        await get(site, f"/o{path}", **fields)
    expected = []
    for fields in asked:
        known(site).clear()
        expected.append((await seen(site, f"/o{path}", **fields))[0].content)
    for fields in asked:
        await get(site, f"/o{path}", **fields)
    found = [await seen(site, f"/o{path}", **fields) for fields in asked]

    assert [each.content for each, _ in found] == expected
    assert any(is_recalled for _, is_recalled in found) or vary.startswith("X")


@pytest.mark.parametrize("vary", ["Accept-Language", "Accept-Encoding, Origin", "Cookie", "X-A"])
async def test_what_varies_by_more_is_decided(site, origin, path, vary):
    """What its origin was sent tells, not what the client sent."""
    origin.on(path, saying(b"hello", 200, FRESH, f"Vary: {vary}"))

    assert await ways(site, f"/o{path}") == NEVER
    assert handling(await get(site, f"/o{path}")) == "hit"


async def test_one_variant_that_varies_by_more_is_enough(make, origin, path):
    """It may be the one that a request selects."""
    site = await make(edge_yml="cache: {client_directives: [no-cache]}")
    origin.on(path, saying(b"all", 200, FRESH))
    assert await ways(site, f"/o{path}") == THIRD
    site.pass_time(5)
    origin.on(path, saying(b"german", 200, FRESH, "Vary: Accept-Language"))
    await get(site, f"/o{path}", accept_language="de", cache_control="no-cache")
    assert len(stored(site, path)) == 2
    for _ in range(3):
        for language, expected in (("de", b"german"), ("en", b"all")):
            found, is_recalled = await seen(site, f"/o{path}", accept_language=language)
            assert (found.content, is_recalled) == (expected, False)


# Bounds


async def test_so_many_addresses_are_remembered(site, origin, path, monkeypatch):
    """Two for each answer that is stored; then it begins anew, and all are answered rightly."""
    monkeypatch.setattr(module, "REMEMBERED", 3)
    origin.on(path, lambda talk: talk.answer(talk.target.encode(), 200, FRESH))
    for number in range(10):
        await ways(site, f"/o{path}?{number}")
    assert len(known(site)) == 10
    site.worker._broker.clear()
    for number in range(10):
        await ways(site, f"/o{path}?{number}")
        assert len(known(site)) <= max(3, 2 * (number + 1))
    for number in range(10):
        assert (await get(site, f"/o{path}?{number}")).content == f"{path}?{number}".encode()


async def test_an_answer_has_so_many_looks(make, origin, path):
    """One for each address that leads to it."""
    site = await make(app_yml="cache: {query: none}")
    origin.on(path, saying(b"hello", 200, FRESH))
    for number in range(3 * module.MAX_DRESSES):
        assert (await ways(site, f"/o{path}?{number}"))[-1]
        (entry,) = stored(site, path)
        assert 1 <= len(entry.dressed) <= module.MAX_DRESSES
    assert (await get(site, f"/o{path}?0")).content == b"hello"
