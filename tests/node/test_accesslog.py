"""Lines of the access log: one request, one JSON object, whatever the bytes."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.node.accesslog import MOST, REMEMBERED, quoted
from tests.support_ledger import entering
from tests.support_serving import HOST, Site

KEYS = [
    *("time", "id", "client", "port", "country", "method", "scheme", "protocol", "tls", "cipher"),
    *("host", "path", "query", "status", "bytes_out", "bytes_in", "ttfb", "total", "referer"),
    *("user_agent", "forwarded_for", "app", "branch", "deployment", "rule", "cache", "origin"),
    *("type", "length", "range", "complete"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A site of one page."""
    site = Site(
        tmp_path_factory.mktemp("log"), edge_yml="clients: {trusted_proxies: [127.0.0.2]}\n"
    )
    site.deploy({"index.html": "hello"})
    return site


@pytest.fixture
async def node(built, tmp_path):
    """The site, listening."""
    site = await built.copy_to(tmp_path / "site").start()
    async with entering(site) as found:
        yield found


async def test_a_line_says_everything(node):
    """With every key, in the same order."""
    before = time.time()
    await node.ask("/?a=1&b", "User-Agent: curl/8", "Referer: https://a.example/")
    (entry,) = node.entries()
    told = datetime.fromisoformat(entry["time"]).astimezone(UTC).timestamp()
    deployment = node.site.worker._handler.snapshot.apps["site"].branches["main"].active.id

    assert list(entry) == KEYS
    assert before - 0.002 <= told <= time.time()
    assert 0 < entry["ttfb"] <= entry["total"] < 5
    varying = {name: entry.pop(name) for name in ("time", "id", "port", "ttfb", "total")}
    assert varying["port"] > 0
    assert entry.pop("bytes_out") > entry.pop("bytes_in") > 0
    assert entry == {
        "client": "127.0.0.1",
        "country": None,
        "method": "GET",
        "scheme": "http",
        "protocol": "HTTP/1.1",
        "tls": None,
        "cipher": None,
        "host": HOST,
        "path": "/",
        "query": "a=1&b",
        "status": 200,
        "referer": "https://a.example/",
        "user_agent": "curl/8",
        "forwarded_for": None,
        "app": "site",
        "branch": "main",
        "deployment": deployment,
        "rule": None,
        "cache": "miss",
        "origin": None,
        "type": "text/html; charset=utf-8",
        "length": 5,
        "range": None,
        "complete": True,
    }


async def test_an_empty_query_is_none_of_its_own(node):
    """`/?` is another address than `/`."""
    for target in ("/", "/?"):
        await node.ask(target)

    assert [each["query"] for each in node.entries()] == [None, ""]


async def test_a_range_is_told(node):
    """As it was asked for."""
    await node.ask("/", "Range: bytes=1-2")
    (entry,) = node.entries()

    assert (entry["status"], entry["range"], entry["length"]) == (206, "bytes=1-2", 2)


async def test_secrets_are_never_written(node):
    """Neither cookies nor credentials, whatever else a request has."""
    await node.ask("/", "Cookie: session=s3cret", "Authorization: Bearer s3cret")
    node.log.flush()

    assert b"s3cret" not in b"".join(node.written)


async def test_one_request_is_one_line_whatever_its_bytes(node):
    """Quotes, backslashes, bytes beyond ASCII, and what looks like another line."""
    agent = 'a"b\\c\x80\xff{"x":1}\t'
    await node.ask("/%0a%22", f"User-Agent: {agent}", "Referer: \xe4")
    (entry,) = node.entries()

    assert (entry["path"], entry["user_agent"]) == ("/%0a%22", agent.rstrip("\t"))
    assert entry["referer"] == "\xe4"


async def test_long_values_are_cut(node):
    """One client cannot fill the disk with a field."""
    await node.ask("/", f"User-Agent: {'a' * 5000}", f"Referer: {'b' * 5000}")
    (entry,) = node.entries()

    assert (len(entry["user_agent"]), len(entry["referer"])) == (MOST, MOST)


async def test_what_is_remembered_is_bounded(node):
    """Clients choose targets; their number does not."""
    for number in range(3):
        node.log._targets = dict.fromkeys((b"%d" % n for n in range(REMEMBERED)), b"")
        await node.ask(f"/?{number}")
        assert len(node.log._targets) == 1
    await node.ask("/?" + "a" * 5000)
    assert len(node.log._targets) == 1


async def test_requests_of_one_connection_keep_their_method(node):
    """What is remembered of a connection differs by method."""
    client = await node.client()
    for method in ("GET", "HEAD", "OPTIONS", "GET"):
        client.send(f"{method} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        await client.read(method)
    entries = await node.wait(4)

    assert [each["method"] for each in entries] == ["GET", "HEAD", "OPTIONS", "GET"]
    assert len({each["port"] for each in entries}) == 1


async def test_seconds_follow_each_other(node):
    """A line has the time of its own request, across seconds and a clock that jumps."""
    await node.ask("/")
    node.log._second -= 5  # as if the last line were five seconds old
    await node.ask("/")
    node.log._second += 7  # as if it were from the future
    await node.ask("/")
    times = [datetime.fromisoformat(each["time"]).timestamp() for each in node.entries()]

    assert times == sorted(times)
    assert times[-1] - times[0] < 5


@given(st.binary())
def test_any_bytes_are_one_json_string(value):
    """Each of them a character, and no line break."""
    told = quoted(value)

    assert json.loads(told) == value.decode("latin-1")
    assert b"\n" not in told
    assert told.isascii()
