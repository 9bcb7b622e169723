"""A request like one before for what an origin answered and is stored: unparsed, and the same."""

from __future__ import annotations

import re

import pytest
import uvloop

from edge.site import keys
from tests.support_ledger import entering
from tests.support_origin import saying
from tests.support_proxied import FRESH, broker_of, hits_of, proxied, quiet
from tests.support_recalling import head_of, raw_of
from tests.support_recalls import LISTENING
from tests.support_serving import HOST

TRUSTING = "clients: {trusted_proxies: [127.0.0.0/8]}\n"
VARYING = "Vary: Accept-Encoding"


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin):
    """A node before that origin."""
    site = proxied(tmp_path_factory.mktemp("stored"), origin, edge_yml=LISTENING)
    uvloop.run(site.start())
    return site


@pytest.fixture
async def node(built):
    """It, listening; afterwards nothing is known of it, and nothing stored."""
    async with entering(built) as found:
        yield found
    built.worker._forwarder.recalls.clear()
    built.worker._service.manners.clear()
    await quiet(built)


@pytest.fixture
async def raw(node):
    """A connection, and how many of its requests were looked at by the handler."""
    return await raw_of(node)


@pytest.fixture
def get(path):
    """What is asked again and again."""
    return head_of(f"/o{path}")


async def is_recalled(raw, data: bytes) -> bool:
    """Whether an answer, which is a hit, needed nobody to look at its request."""
    looked_at = raw.parsed
    head, _, _ = await raw.ask(data)
    assert b"Cache-Status: edge; hit" in head
    return raw.parsed == looked_at


async def test_the_same_again_is_answered_the_same(raw, origin, path, get):
    """But for its identifier; nobody has looked at it, and the origin was asked once."""
    origin.on(path, saying(b"hello", 200, FRESH, "X-Own: yes"))
    known = await raw.warm(get)
    looked_at = raw.parsed
    again = await raw.ask(get)

    assert b"Cache-Status: edge; hit" in known[0]
    assert (again[0], again[2]) == (known[0], b"hello")
    assert b"x-own: yes" in again[0].lower()
    assert again[1] != known[1]
    assert raw.parsed == looked_at
    assert len(origin.of(path)) == 1


async def test_each_is_a_line_and_a_number(raw, origin, path, get):
    """With its rule, which is counted too, and the origin that it came from."""
    origin.on(path, saying(b"hello", 200, FRESH))
    hits_of(raw.node.site)
    answers = [await raw.ask(get) for _ in range(6)]
    entries = await raw.node.wait(6)

    assert raw.parsed == 3
    assert [each["id"].encode() for each in entries] == [each[1] for each in answers]
    assert [each["cache"] for each in entries] == ["miss"] + ["hit"] * 5
    assert {each["rule"] for each in entries} == {1}
    assert {each["origin"] for each in entries} == {f"http://127.0.0.1:{origin.port}"}
    assert {each["path"] for each in entries} == {f"/o{path}"}
    assert [list(hits.values()) for hits in hits_of(raw.node.site).values()] == [[6]]


async def test_other_fields_are_known_once_they_were_asked(raw, origin, path, get):
    """Then they need no look of their own at any other line."""
    origin.on(path, saying(b"hello", 200, FRESH))
    await raw.warm(get)
    other = head_of(f"/o{path}", "X-Other: 1")

    assert [await is_recalled(raw, other) for _ in range(2)] == [False, True]


DIFFERENT = {
    "a condition": "If-None-Match: *",
    "a range": "Range: bytes=0-2",
    "a proxy on the way": "Via: 1.1 other",
    "another loop": "CDN-Loop: other",
    "a scheme": "X-Forwarded-Proto: https",
    "an option": "Connection: x-other",
}


@pytest.mark.parametrize("line", DIFFERENT.values(), ids=DIFFERENT.keys())
async def test_what_may_make_a_difference_is_looked_at(raw, origin, path, get, line):
    """Each time."""
    origin.on(path, saying(b"hello", 200, FRESH))
    await raw.warm(get)
    looked_at = raw.parsed
    for _ in range(3):
        await raw.ask(head_of(f"/o{path}", line))

    assert raw.parsed == looked_at + 3
    assert await is_recalled(raw, get)


async def test_cookies_of_the_key_are_looked_at(tmp_path, origin, path, get):
    """Where a key has them: who has some gets an answer of their own."""
    site = proxied(tmp_path, origin, app_yml="cache: {cookies: all}\n", edge_yml=LISTENING)
    await site.start()
    origin.on(path, saying(b"hello", 200, FRESH))
    async with entering(site) as node:
        raw = await raw_of(node)
        await raw.warm(get)
        await raw.ask(head_of(f"/o{path}", "Cookie: a=1"))
        origin.on(path, saying(b"other", 200, FRESH))
        found = [(await raw.ask(head_of(f"/o{path}", "Cookie: a=2")))[2] for _ in range(3)]
        assert found == [b"other"] * 3
        assert await is_recalled(raw, get)
    await quiet(site)


async def test_each_coding_has_its_own(raw, origin, path, get):
    """What an origin varies by is told apart."""
    plain = get.replace(b"Accept-Encoding: gzip\r\n", b"")
    origin.on(path, saying(b"packed", 200, FRESH, VARYING))
    await raw.warm(get)
    origin.on(path, saying(b"plain", 200, FRESH, VARYING))
    await raw.warm(plain)

    assert await is_recalled(raw, get)
    assert await is_recalled(raw, plain)
    assert [(await raw.ask(each))[2] for each in (get, plain, get)] == [
        b"packed",
        b"plain",
        b"packed",
    ]


async def test_another_variant_ends_what_was_known(raw, origin, path, get):
    """One that differs in what it varies by may be what is selected from then on."""
    plain = get.replace(b"Accept-Encoding: gzip\r\n", b"")
    origin.on(path, saying(b"packed", 200, FRESH, VARYING))
    await raw.warm(get)
    origin.on(path, saying(b"for all", 200, FRESH, "Vary: X-Other"))
    raw.node.site.worker._clock.epoch += 1
    await raw.ask(plain)
    looked_at = raw.parsed
    await raw.ask(get)

    assert raw.parsed == looked_at + 1


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
async def test_a_purge_is_obeyed_at_once(raw, origin, path, get, soft):
    """The next answer is the origin's."""
    origin.on(path, saying(b"old", 200, FRESH))
    await raw.warm(get)
    assert await is_recalled(raw, get)
    origin.on(path, saying(b"new", 200, FRESH))
    page = keys.label_of_page(HOST, f"/o{path}", b"")
    assert broker_of(raw.node.site).drop([page], soft=soft) == 1

    assert [(await raw.ask(get))[2] for _ in range(4)] == [b"new"] * 4
    assert await is_recalled(raw, get)


async def test_a_change_is_seen_by_the_next_request(raw, origin, path, get):
    """A POST drops what is stored (RFC 9111 §4.4)."""
    origin.on(path, saying(b"old", 200, FRESH))
    await raw.warm(get)
    origin.on(path, saying(b"new", 200, FRESH))
    post = get.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
    await raw.ask(post)

    assert (await raw.ask(get))[2] == b"new"


async def test_it_ends_with_its_freshness(raw, origin, path, get):
    """To the second; its age goes with the clock."""
    origin.on(path, saying(b"old", 200, FRESH))
    await raw.warm(get)
    site = raw.node.site
    looked_at = raw.parsed
    ages = []
    for _ in range(3):
        site.pass_time(19)
        ages.append(re.search(rb"Age: (\d+)", (await raw.ask(get))[0])[1])
    assert ages == [b"19", b"38", b"57"]
    assert raw.parsed == looked_at
    origin.on(path, saying(b"new", 200, FRESH))
    site.pass_time(3)

    assert (await raw.ask(get))[2] == b"new"


async def test_what_had_to_make_room_is_not_kept(raw, origin, path, get):
    """Neither by its address nor by the bytes that asked for it."""
    origin.on(path, saying(b"old", 200, FRESH))
    await raw.warm(get)
    shelf = broker_of(raw.node.site).shelf
    (recall,) = raw.node.site.worker._forwarder.recalls._known.values()
    look = recall.look
    assert shelf.evict()
    origin.on(path, saying(b"new", 200, FRESH))

    assert (look.head.lines, look.content, look.opening) == (b"", b"", b"")
    assert (await raw.ask(get))[2] == b"new"


@pytest.mark.parametrize("size", [8, 6000])
async def test_what_the_log_says_of_a_long_target_is_kept_by_nobody(raw, origin, path, size):
    """20,000 of them would be 120 MiB that no cache counts; each line has it all the same."""
    query = "q=" + "a" * size
    origin.on(path, saying(b"old", 200, FRESH))
    for _ in range(4):
        await raw.ask(head_of(f"/o{path}?{query}"))
    entries = await raw.node.wait(4)
    (recall,) = raw.node.site.worker._forwarder.recalls._known.values()

    assert {(each["path"], each["query"]) for each in entries} == {(f"/o{path}", query)}
    assert bool(recall.told) == (size == 8)


async def test_rules_of_a_reload_decide_at_once(tmp_path, origin, path, get):
    """What is stored is not what the address means any more."""
    site = proxied(tmp_path, origin, edge_yml=LISTENING)
    await site.start()
    origin.on(path, saying(b"old", 200, FRESH))
    async with entering(site) as node:
        raw = await raw_of(node)
        await raw.warm(get)
        assert await is_recalled(raw, get)
        site.write_rules(("/o/<*>", "/", "301"))
        site.changes.reload()
        await site.follow()
        head, _, _ = await raw.ask(get)
        assert head.startswith(b"HTTP/1.1 301 ")
    await quiet(site)


async def test_the_word_of_a_trusted_proxy_is_heard(tmp_path, origin, path, get):
    """By who is known for the same line as well."""
    site = proxied(tmp_path, origin, edge_yml=LISTENING + TRUSTING)
    await site.start()
    origin.on(path, saying(b"plain", 200, FRESH))
    async with entering(site) as node:
        site.worker._ledger.write_to(None)  # with a log, a proxy's requests are all looked at
        raw = await raw_of(node)
        await raw.warm(get)
        assert await is_recalled(raw, get)
        origin.on(path, saying(b"secure", 200, FRESH))
        secure = head_of(f"/o{path}", "X-Forwarded-Proto: https")
        asked = [get, secure, get, secure, secure, get]
        found = [(await raw.ask(each))[2] for each in asked]
        assert found == [b"plain", b"secure", b"plain", b"secure", b"secure", b"plain"]
    await quiet(site)
