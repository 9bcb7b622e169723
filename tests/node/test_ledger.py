"""Every answer is entered once, by a worker on a real state folder, over real sockets."""

from __future__ import annotations

import json
import os

import httpx
import pytest

from edge.node.counters import Counters
from edge.node.ledger import Facts, Ledger
from tests.support_ledger import entering
from tests.support_origin import saying
from tests.support_serving import HOST, Site

LARGE = bytes(3_000_000)

HOSTS = int(os.environ.get("EDGE_TEST_HOSTS", "5000"))
"""That nobody has, a hundred at a time; by hand a million."""


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin):
    """A site with files, and rules that lead to the origin."""
    settings = f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\ncache: {{max_object: 1MiB}}\n'
    site = Site(tmp_path_factory.mktemp("ledger"), edge_yml=settings)
    site.write_rules(
        ("/old", "/docs", "301"),
        ("/o/<*>", f"http://127.0.0.1:{origin.port}/<*>", "200"),
        ("/app/<*>", "/index.html", "200"),
    )
    site.changes.reload()
    site.deploy({"index.html": "hello", "docs.html": "docs", "large.bin": LARGE})
    return site


@pytest.fixture
async def node(built, tmp_path):
    """The site, listening."""
    site = await built.copy_to(tmp_path / "site").start()
    async with entering(site) as found:
        yield found
    site.worker._origins.close()


async def test_what_is_answered_is_counted_once(node):
    """By class and verdict, with its bytes both ways, and timed."""
    answers = [await node.ask(target) for target in ("/", "/", "/docs", "/old", "/nothing")]
    tally = node.tally()

    assert [status for status, _, _ in answers] == [200, 200, 200, 301, 404]
    assert tally.classes == [0, 0, 3, 1, 1, 0]
    assert tally.verdicts == {"miss": 2, "hit": 1, "": 2}
    assert sum(tally.latency) == 5
    assert 0 < tally.seconds < 5
    assert tally.bytes_up == 5 * len(
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    ) + (len("docs") + len("old") + len("nothing"))
    assert tally.bytes_down == sum(each["bytes_out"] for each in node.entries())


async def test_pipelined_hits_are_each_entered(node):
    """With identifiers of their own, which their responses have."""
    await node.ask("/")
    client = await node.client()
    client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode() * 100)
    seen = [(await client.read())[1]["x-request-id"] for _ in range(100)]
    entries = (await node.wait(101))[1:]

    assert len(set(seen)) == 100
    assert [each["id"] for each in entries] == seen
    assert {each["cache"] for each in entries} == {"hit"}


async def test_of_the_bytes_of_a_hit_none_are_missed(node):
    """What is entered is what a client got."""
    await node.ask("/")
    client = await node.client()
    client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    client.half_close()
    got = await client.rest()

    assert (await node.wait(2))[1]["bytes_out"] == len(got)


async def test_who_has_no_branch_is_counted_without_names(node):
    """A host that nobody claims, and what could not be understood at all."""
    for sent in (b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", b"GET /\x01 HTTP/1.1\r\n\r\n"):
        client = await node.client()
        client.send(sent)
        status, fields, _ = await client.read()
        assert fields["x-request-id"] == node.entries()[-1]["id"]
        assert status == node.entries()[-1]["status"]
    first, second = node.entries()

    assert node.tally("", "").classes == [0, 0, 0, 0, 2, 0]
    assert (first["status"], first["host"], first["app"]) == (404, "other.example", None)
    assert (second["status"], second["method"], second["path"]) == (400, "-", "-")


async def test_hosts_that_nobody_has_make_no_series(node):
    """Whatever clients write: what is counted is named by the configuration alone."""
    await node.ask("/")
    worker = node.site.worker
    before = len(worker._counters.report()["branches"])
    client = await node.client()
    worker._service.requests_per_connection = HOSTS + 1
    for first in range(0, HOSTS, 100):
        hosts = range(first, first + 100)
        client.send(
            b"".join(b"GET /%d HTTP/1.1\r\nHost: h%d.example\r\n\r\n" % (n, n) for n in hosts)
        )
        assert [(await client.read())[0] for _ in hosts] == [404] * 100

    assert node.tally("", "").classes[4] == HOSTS
    assert len(worker._counters.report()["branches"]) == before


async def test_an_answer_of_an_origin_says_whose_it_is(node, origin):
    """What the store did with it, and the rule that led there."""
    origin.on("/x", saying(b"hello", 200, "Cache-Control: max-age=60", "X-Request-Id: its-own"))
    answers = [await node.ask("/o/x") for _ in range(3)]
    entries = node.entries()

    assert [each["cache"] for each in entries] == ["miss", "hit", "hit"]
    assert {each["origin"] for each in entries} == {f"http://127.0.0.1:{origin.port}"}
    assert {each["rule"] for each in entries} == {2}
    assert [fields["x-request-id"] for _, fields, _ in answers] == [each["id"] for each in entries]


async def test_an_origin_is_told_the_identifier(node, origin):
    """Of what is for one client alone; what a client says is its own stays here."""
    origin.on("/own", saying(b"hello", 200, "Cache-Control: no-store"))
    for _ in range(3):
        await node.ask("/o/own", "X-Request-Id: forged")
    asked = origin.of("/own")
    entries = node.entries()

    assert [each["cache"] for each in entries] == ["miss"] * 3
    assert "x-request-id" not in asked[0].fields
    assert [each.fields["x-request-id"] for each in asked[1:]] == [e["id"] for e in entries[1:]]


async def test_a_way_that_is_remembered_is_entered_alike(node, origin):
    """The first time it was decided, then not."""
    origin.on("/way", saying(b"hello", 200, "Cache-Control: no-store"))
    for _ in range(4):
        await node.ask("/o/way")
    told = [
        {**each, "id": "", "time": "", "port": 0, "ttfb": 0, "total": 0} for each in node.entries()
    ]

    assert told[1] == told[2] == told[3]
    assert node.site.worker._counters.origins == {
        ("site", f"http://127.0.0.1:{origin.port}", "2xx"): 4
    }


async def test_a_client_that_goes_before_the_answer_has_no_status(node, origin):
    """The entry says so: it is no answer of ours, and in no class."""
    origin.on("/never", lambda talk: talk.until_closed())
    client = await node.client()
    client.send(f"GET /o/never?x HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    await origin.wait_for("/never")
    client.reset()
    (entry,) = await node.wait(1)

    assert (entry["status"], entry["complete"], entry["query"]) == (0, False, "x")
    assert node.tally().classes == [1, 0, 0, 0, 0, 0]


async def test_a_client_that_goes_in_the_middle_leaves_what_it_took(node):
    """Its entry is not complete."""
    client = await node.client()
    client.send(f"GET /large.bin HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    await client.read_head()
    client.reset()
    (entry,) = await node.wait(1)

    assert (entry["status"], entry["complete"]) == (200, False)
    assert entry["bytes_out"] < len(LARGE)
    assert node.tally().classes[2] == 1


async def test_content_of_requests_counts(node):
    """All that came since the last answer."""
    status, _, _ = await node.ask("/", "Content-Length: 5000", method="POST", content=bytes(5000))
    (entry,) = await node.wait(1)

    assert (status, entry["status"], entry["method"]) == (405, 405, "POST")
    assert entry["bytes_in"] > 5000


async def test_http2_is_entered_alike(node):
    """Small and large, with the identifier on each response."""
    async with httpx.AsyncClient(http1=False, http2=True, timeout=10) as client:
        url = f"http://127.0.0.1:{node.port}"
        fields = {"host": HOST}
        answers = [
            await client.get(url + path, headers=fields) for path in ("/", "/", "/large.bin")
        ]
    entries = await node.wait(3)

    assert [each["protocol"] for each in entries] == ["HTTP/2"] * 3
    assert [each["cache"] for each in entries] == ["miss", "hit", "bypass"]
    assert [answer.headers["x-request-id"] for answer in answers] == [
        each["id"] for each in entries
    ]
    assert entries[2]["bytes_out"] > len(LARGE)
    assert node.tally().classes[2] == 3


async def test_a_stream_that_is_reset_is_entered(node):
    """With what was sent of it."""
    async with httpx.AsyncClient(http1=False, http2=True, timeout=10) as client:
        url = f"http://127.0.0.1:{node.port}/large.bin"
        async with client.stream("GET", url, headers={"host": HOST}) as response:
            async for _ in response.aiter_bytes():
                break
    (entry,) = await node.wait(1)

    assert (entry["status"], entry["complete"]) == (200, False)


def test_identifiers_of_workers_differ():
    """Two processes never give the same."""
    one, other = Ledger(Counters()), Ledger(Counters())
    found = {ledger.identify() for ledger in (one, other) for _ in range(100)}

    assert len(found) == 200
    assert {len(each) for each in found} == {20}


def test_facts_are_told_from_one():
    """As `explain` and `check` number rules."""
    facts = Facts(Counters().tally("shop", "feature/ä"), "20261126-1", 0)

    assert json.loads(b"{%b}" % facts.tell().rstrip(b",")) == {
        "app": "shop",
        "branch": "feature/ä",
        "deployment": "20261126-1",
        "rule": 1,
    }
