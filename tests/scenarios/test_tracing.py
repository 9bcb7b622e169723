"""Whose trace a request belongs to, as real origins are told, and what is stored of it."""

from __future__ import annotations

import gzip
import sys

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support import Node, eventually, running, write_tree
from tests.support_ledger import entering
from tests.support_origin import Talk, originating, saying
from tests.support_proxied import FRESH, path_for, proxied, stored
from tests.support_siblings import pairing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
ALL = {"traceparent": PARENT, "tracestate": "vendor=x", "baggage": "user=7"}


@pytest.fixture(scope="module")
def origin():
    """An origin for all tests of this module; each has a path of its own."""
    with originating() as found:
        yield found


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin):
    """A site whose paths under /o/ are the origin's."""
    return proxied(tmp_path_factory.mktemp("traced"), origin)


@pytest.fixture
async def site(built, tmp_path):
    """The same, served."""
    found = await built.copy_to(tmp_path / "site").start()
    yield found
    found.worker._origins.close()


@pytest.fixture
def path(request):
    """A path that no other test uses."""
    return path_for(request)


def told(talk: Talk) -> dict[str, str]:
    """What an origin was told of the trace."""
    return {name: value for name, value in talk.lines if name in ALL}


async def test_past_the_store_everything_crosses(site, origin, path):
    """With other methods, and where it is known that nothing is stored, the known way too."""
    origin.on(path, saying(b"x", 200, "Cache-Control: no-store"))
    await site.ask("/o" + path, method="DELETE", **ALL)
    await site.ask("/o" + path)
    for _ in range(3):
        await site.ask("/o" + path, **ALL)

    talks = origin.of(path)
    assert [told(talk) for talk in talks] == [ALL, {}, ALL, ALL, ALL]


async def test_a_request_for_the_store_has_its_trace_alone(site, origin, path):
    """No free text that no key has; what is stored says nothing of it."""
    origin.on(path, saying(b"x", 200, FRESH))
    first = await site.ask("/o" + path, **ALL)
    second = await site.ask("/o" + path, traceparent=PARENT.replace("4b", "5b"))

    assert [told(talk) for talk in origin.of(path)] == [{"traceparent": PARENT}]
    assert (first.content, second.content) == (b"x", b"x")
    assert "hit" in second.fields["cache-status"]


async def test_siblings_ask_with_it_too(tmp_path, origin, path):
    """The worker that owns the key has it from the one whose client asked."""
    origin.on(path, saying(b"x", 200, FRESH))
    async with pairing(tmp_path, origin) as pair:
        _, other = pair.of(path)
        await other.ask("/o" + path, **ALL)

        assert [told(talk) for talk in origin.of(path)] == [{"traceparent": PARENT}]


BROKEN = ["ff" + PARENT[2:], PARENT.upper(), PARENT + "-x", f"00-{'0' * 32}-{SPAN}-01", "x"]


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_trace_that_cannot_be_read_ends_here(site, origin, path, value, method):
    """And its tracestate with it."""
    origin.on(path, saying(b"x"))
    await site.ask("/o" + path, method=method, traceparent=value, tracestate="vendor=x")

    assert told(origin.of(path)[0]) == {}


async def test_several_traces_end_here(site, origin, path):
    """Over a real socket, as a client can send them."""
    origin.on(path, saying(b"x"))
    lines = (f"traceparent: {PARENT}", f"Traceparent: {PARENT}", "tracestate: a=1")
    async with entering(site) as node:
        status, _, _ = await node.ask("/o" + path, *lines)

    assert status == 200
    assert told(origin.of(path)[0]) == {}


async def test_an_answer_that_repeats_the_trace_is_for_that_client_alone(site, origin, path):
    """In a field (Server-Timing) or in its content; what was asked without a trace is stored."""
    timing = f'Server-Timing: traceparent;desc="{PARENT}"'
    origin.on(path, saying(b"x", 200, FRESH, timing))
    first = await site.ask("/o" + path, **ALL)
    assert stored(site, path) == []
    assert first.fields["server-timing"].endswith(f'"{PARENT}"')

    origin.on(path, saying(f"<meta content='{PARENT}'>".encode(), 200, FRESH))
    await site.ask("/o" + path, **ALL)
    assert stored(site, path) == []

    origin.on(path, saying(b"x", 200, FRESH))
    await site.ask("/o" + path)
    assert len(stored(site, path)) == 1


async def test_a_validation_brings_nobodys_trace_into_what_is_stored(site, origin, path):
    """A 304 with a field that repeats it freshens all but that."""
    origin.on(path, saying(b"x", 200, "Cache-Control: max-age=1", 'ETag: "a"', "X-New: no"))
    await site.ask("/o" + path)
    site.pass_time(2)
    timing = f'Server-Timing: traceparent;desc="{PARENT}"'
    origin.on(path, saying(b"", 304, FRESH, 'ETag: "a"', timing, "X-New: yes"))
    await site.ask("/o" + path, **ALL)
    answer = await site.ask("/o" + path)

    assert origin.of(path)[1].fields["if-none-match"] == '"a"'
    assert "hit" in answer.fields["cache-status"]
    assert answer.fields["x-new"] == "yes"
    assert "server-timing" not in answer.fields


async def test_a_refresh_that_nobody_waits_for_is_in_nobodys_trace(site, origin, path):
    """What serves stale is validated without it."""
    swr = "Cache-Control: max-age=1, stale-while-revalidate=60"
    origin.on(path, saying(b"x", 200, swr))
    await site.ask("/o" + path, **ALL)
    site.pass_time(2)
    await site.ask("/o" + path, **ALL)
    talk = await origin.wait_for(path, 2)

    assert told(talk) == {}


# A node that traces


def test_a_collector_that_takes_nothing_costs_spans_alone(tmp_path):
    """Refusing, silent or not there: every request is answered, and what is lost is counted."""
    write_tree(tmp_path / "site", {"index.html": "hello"})
    with originating() as collector:
        collector.on("/v1/traces", saying(b"", 400))
        where = f"http://127.0.0.1:{collector.port}"
        with running(tmp_path / "node", settings=traced(where)) as node:
            node.deploy(tmp_path / "site")
            ask(node, 50)
            eventually(lambda: lost(node) >= 50)
            collector.on("/v1/traces", lambda talk: talk.wait())
            ask(node, 50)
            eventually(lambda: any(not talk.ended.is_set() for talk in collector.talks))
            ask(node, 200)
            reload_with(node, traced("http://127.0.0.1:1"))
            ask(node, 200)


def test_spans_of_a_whole_node_arrive(tmp_path):
    """Of both workers, over a real socket, what waits at the end too."""
    write_tree(tmp_path / "site", {"index.html": "hello"})
    messages: list[bytes] = []
    with originating() as collector:
        collector.on("/v1/traces", lambda talk: (messages.append(talk.read()), talk.answer()))
        where = f"http://127.0.0.1:{collector.port}"
        node = Patient(tmp_path / "node", settings=traced(where))
        try:
            node.start()
            node.deploy(tmp_path / "site")
            ask(node, 40)
            node.stop()
        finally:
            node.kill_all()

    names = []
    for message in messages:
        decoded = ExportTraceServiceRequest.FromString(gzip.decompress(message))
        for bundle in decoded.resource_spans:
            names += [span.name for scope in bundle.scope_spans for span in scope.spans]
    assert names == ["GET"] * 40


PATIENT = """
import sys
from edge.node.exporter import Exporter
Exporter.close.__defaults__ = (30.0,)
from edge.cli import main
sys.exit(main(["serve"]))
"""
"""`edge serve` whose workers wait so long for a collector at their end."""


class Patient(Node):
    """A node whose last spans get through, however slow the machine."""

    def command(self):
        """The same program with more patience."""
        return [sys.executable, "-c", PATIENT]


def traced(endpoint: str) -> str:
    """`edge.yml` of a node that traces every request."""
    return f"tracing: {{endpoint: '{endpoint}', sample: 1}}\n"


def ask(node: Node, count: int) -> None:
    """So many requests, all of them answered."""
    assert {node.get("/")[0] for _ in range(count)} == {200}


def lost(node: Node) -> int:
    """Spans that the node says it lost."""
    text = str(node.admin("GET", "/metrics")[1])
    return int(text.rpartition("\nedge_spans_dropped_total ")[2].partition("\n")[0])


def reload_with(node: Node, settings: str) -> None:
    """Other settings."""
    path = node.folder / "edge.yml"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("tracing")]
    path.write_text("\n".join(kept) + "\n" + settings)
    node.edge("reload")
