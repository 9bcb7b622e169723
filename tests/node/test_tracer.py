"""Which requests are traced, and what collectors and origins are told: over real sockets."""

from __future__ import annotations

import time

import httpx
import pytest

from edge.http.fields import FieldList
from edge.http.forwarding import Gateway, Passage
from edge.http.message import Request
from edge.node.clients import Clients
from edge.node.tracer import UNDER_WAY, Tracer
from edge.site import settings
from tests.support_ledger import entering
from tests.support_origin import originating, saying
from tests.support_proxied import FRESH, path_for, proxied
from tests.support_serving import HOST, Site
from tests.support_tracing import collecting
from tests.support_wire import until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"traceparent: 00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"traceparent: 00-{TRACE}-{SPAN}-00"
RULES = (("/old", "/docs", "301"), ("/dead", "http://127.0.0.1:1/x", "200"))
ALLOW = 'proxy: {{allow: ["127.0.0.1:{0}", "127.0.0.1:1"]}}\n'


@pytest.fixture(scope="module")
def origin():
    """An origin for all tests of this module; each has a path of its own."""
    with originating() as found:
        yield found


@pytest.fixture
def path(request):
    """A path that no other test uses."""
    return path_for(request)


@pytest.fixture
async def collector():
    """Where spans go."""
    async with collecting() as found:
        yield found


def built(folder, origin, collector, more: str = "", tracing: str = "sample: 1") -> Site:
    """A site with files and rules that is traced."""
    site = Site(
        folder,
        edge_yml=ALLOW.format(origin.port)
        + f"tracing: {{endpoint: 'http://127.0.0.1:{collector.port}', {tracing}}}\n"
        + more,
    )
    site.write_rules(*RULES, ("/o/<*>", f"http://127.0.0.1:{origin.port}/<*>", "200"))
    site.deploy({"index.html": "hello", "docs.html": "docs"})
    return site


@pytest.fixture
async def node(tmp_path, origin, collector, request):
    """The site, listening; a test may bring more of `edge.yml`."""
    more = getattr(request, "param", {})
    site = await built(tmp_path / "site", origin, collector, **more).start()
    async with entering(site) as found:
        site.worker._open_log()
        yield found
        site.worker._close_log()
    site.worker._origins.close()


async def spans(node, collector, count: int):
    """What has come, servers' spans by their paths."""
    node.site.worker._ledger.log.flush()
    found = await collector.wait(count)
    assert len(found) == count
    return found


async def test_files_redirects_and_what_is_missing(node, collector):
    """A server's span each, a trace each; what the node is stands in the resource."""
    before = time.time()
    for target in ("/", "/", "/old?a=b", "/nothing"):
        await node.ask(target, "User-Agent: test")
    found = await spans(node, collector, 4)

    told = [
        (
            each.values["url.path"],
            each.values["http.response.status_code"],
            each.values.get("edge.cache"),
        )
        for each in found
    ]
    assert told == [
        ("/", 200, "miss"),
        ("/", 200, "hit"),
        ("/old", 301, None),
        ("/nothing", 404, None),
    ]
    assert {each.kind for each in found} == {"server"}
    assert len({each.trace for each in found}) == len({each.id for each in found}) == 4
    assert all(before - 1 < each.began < time.time() + 1 for each in found)
    values = found[2].values
    assert values["edge.rule"] == 1
    assert values["edge.app"] == "site"
    assert values["server.address"] == HOST
    assert values["client.address"] == "127.0.0.1"
    assert values["user_agent.original"] == "test"
    assert "b" not in values.get("url.query", "")
    assert found[0].resource["service.name"] == "edge"


async def test_an_origin_is_told_of_a_span_of_ours(node, origin, collector, path):
    """The client's trace, our server's span below its, our call, and the origin below."""
    origin.on(path, saying(b"x", 200, "Cache-Control: no-store"))
    _, answered, _ = await node.ask(f"/o{path}", PARENT, "tracestate: a=1", method="DELETE")
    server, call = await spans(node, collector, 2)
    told = origin.of(path)[0].fields

    assert (server.kind, server.trace, server.parent) == ("server", TRACE, SPAN)
    assert (call.kind, call.trace, call.parent) == ("client", TRACE, server.id)
    assert told["traceparent"] == f"00-{TRACE}-{call.id}-01"
    assert told["tracestate"] == "a=1"
    assert call.values["edge.origin"] == f"http://127.0.0.1:{origin.port}"
    assert call.values["edge.result"] == "2xx"
    assert server.values["edge.request_id"] == answered["x-request-id"]
    assert server.began <= call.began
    assert call.seconds <= server.seconds


async def test_stored_answers_have_no_call(node, origin, collector, path):
    """The first one has, with a trace that begins here; hits, decided or not, have none."""
    origin.on(path, saying(b"x", 200, FRESH))
    for _ in range(4):
        await node.ask(f"/o{path}")
    found = await spans(node, collector, 5)

    assert [each.kind for each in found] == ["server", "client", "server", "server", "server"]
    assert origin.of(path)[0].fields["traceparent"] == f"00-{found[0].trace}-{found[1].id}-03"


async def test_who_waited_for_anothers_call_has_none(node, origin, collector, path):
    """One request to the origin, one call; those that share its answer have spans of their own."""
    origin.on(path, lambda talk: (talk.wait(), talk.answer(b"x", 200, FRESH)))
    clients = [await node.client() for _ in range(3)]
    for client in clients:
        client.send(f"GET /o{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    talk = await origin.wait_for(path)
    await until(lambda: len(node.site.worker._tracer._under_way) == 3)
    talk.go.set()
    for client in clients:
        await client.read("GET")
    found = await spans(node, collector, 4)
    (call,) = [each for each in found if each.kind == "client"]

    assert talk.fields["traceparent"].split("-")[1:3] == [call.trace, call.id]
    assert len({each.trace for each in found}) == 3


async def test_known_ways_past_the_store_are_told_too(node, origin, collector, path):
    """Each with a call of its own."""
    origin.on(path, saying(b"x", 200, "Cache-Control: no-store"))
    for _ in range(3):
        await node.ask(f"/o{path}", PARENT)
    found = await spans(node, collector, 6)
    calls = [each.id for each in found if each.kind == "client"]

    assert [talk.fields["traceparent"].split("-")[2] for talk in origin.of(path)] == calls


async def test_an_origin_that_cannot_be_reached(node, collector):
    """The call says why."""
    await node.ask("/dead")
    server, call = await spans(node, collector, 2)

    assert server.values["http.response.status_code"] == 502
    assert call.values["error.type"] == call.values["edge.result"] == "connection_refused"
    assert server.is_error
    assert call.is_error


async def test_http2(node, origin, collector, path):
    """Streams are requests like others."""
    origin.on(path, saying(b"x"))
    async with httpx.AsyncClient(http1=False, http2=True, timeout=10) as client:
        url = f"http://127.0.0.1:{node.port}"
        for target in ("/", f"/o{path}"):
            await client.get(url + target, headers={"host": HOST})
    found = await spans(node, collector, 3)

    assert [each.values["network.protocol.version"] for each in found] == ["2", "2", "1.1"]
    assert found[2].parent == found[1].id


SOME = {"tracing": "sample: 0.5, service: shop"}


@pytest.mark.parametrize("node", [SOME], indirect=True)
async def test_what_is_sampled_is_in_the_identifier(node, origin, collector, path):
    """Whatever an unknown client's flag says; what is not sampled goes on as it came."""
    origin.on(path, saying(b"x"))
    values = [f"00-{'a' * 16}{number:016x}-{SPAN}-0{number % 2}" for number in range(6)]
    values += [f"00-{'a' * 16}f{number:015x}-{SPAN}-0{number % 2}" for number in range(6)]
    for value in values:
        await node.ask(f"/o{path}", f"traceparent: {value}", method="DELETE")
    found = await spans(node, collector, 12)
    told = [talk.fields["traceparent"] for talk in origin.of(path)]

    assert [each.trace for each in found[::2]] == [value[3:35] for value in values[:6]]
    assert told[6:] == values[6:]
    assert [value[-2:] for value in told[:6]] == ["01"] * 6
    assert found[0].resource["service.name"] == "shop"


NONE = {"tracing": "sample: 0", "more": "clients: {trusted_proxies: [127.0.0.1]}\n"}


@pytest.mark.parametrize("node", [NONE], indirect=True)
async def test_a_trusted_proxys_flag_is_obeyed(node, origin, collector, path):
    """Sampled there, it is here, whatever our own ratio; the client is whom it names."""
    origin.on(path, saying(b"x"))
    for lines in ((UNSAMPLED,), (), (PARENT, "X-Forwarded-For: 192.0.2.9")):
        await node.ask(f"/o{path}", *lines, method="DELETE")
    server, call = await spans(node, collector, 2)

    assert server.trace == TRACE
    assert server.values["client.address"] == "192.0.2.9"
    told = [talk.fields.get("traceparent") for talk in origin.of(path)]
    assert told == [UNSAMPLED[13:], None, f"00-{TRACE}-{call.id}-01"]


async def test_the_access_log_is_written_as_before(node, collector):
    """And without one, requests are traced all the same."""
    site = node.site
    await node.ask("/")
    await spans(node, collector, 1)
    file = site.folder / "var" / "log" / "access.jsonl"
    await until(file.exists)
    await until(lambda: file.read_text().count("\n") == 1)
    text = (site.folder / "edge.yml").read_text()
    (site.folder / "edge.yml").write_text(text + "access_log: {path: null}\n")
    site.changes.reload()
    await site.follow()
    await node.ask("/")

    await spans(node, collector, 2)
    assert file.read_text().count("\n") == 1


async def test_a_reload_turns_it_off_and_on(node, collector):
    """Off, nothing of it is on the way of a request."""
    site = node.site
    makers = []
    await node.ask("/")
    traced = (site.folder / "edge.yml").read_text()
    for text in (traced.replace("tracing:", "#"), traced):
        (site.folder / "edge.yml").write_text(text)
        site.changes.reload()
        await site.follow()
        makers.append(site.worker._forwarder.fields.__qualname__)
        await node.ask("/")

    assert makers == ["request_fields", "Tracer.fields"]
    await spans(node, collector, 2)


async def test_a_deploy_loses_no_call(node, origin, collector, path):
    """What was under way when settings were applied anew is entered as what it was."""
    origin.on(path, lambda talk: (talk.wait(), talk.answer(b"x")))
    client = await node.client()
    client.send(f"GET /o{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    talk = await origin.wait_for(path)
    await node.site.redeploy({"index.html": "other"})
    talk.go.set()
    await client.read("GET")
    server, call = await spans(node, collector, 2)

    assert talk.fields["traceparent"].split("-")[1:3] == [server.trace, call.id]


async def test_a_client_that_goes_away(node, origin, collector, path):
    """It had no answer, and its call is told all the same."""
    origin.on(path, lambda talk: talk.wait())
    client = await node.client()
    client.send(f"DELETE /o{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    talk = await origin.wait_for(path)
    client.reset()
    await until(lambda: node.tally().classes[0])
    talk.go.set()
    server, call = await spans(node, collector, 2)

    assert server.values["error.type"] == call.values["error.type"] == "client_gone"
    assert "http.response.status_code" not in server.values


async def test_without_tracing_there_is_no_thread(tmp_path, origin):
    """Nor anything else of it."""
    site = await proxied(tmp_path, origin).start()
    site.worker._open_log()

    assert (site.worker._exporter, site.worker._tracer) == (None, None)
    assert site.worker.numbers()["spans_dropped"] == 0
    site.worker._close_log()


def test_what_is_under_way_is_bounded():
    """Answers that are never entered cost no memory."""
    tracer = Tracer(lambda _: None, Clients(settings.Clients()), 1.0)
    tracer._under_way = dict.fromkeys(map(str.encode, map(str, range(UNDER_WAY))))
    fields = FieldList([])
    request = Request(b"GET", b"/", b"a", fields, b"1.1", 0, ends=True, expects=False, id=b"new")
    passage = Passage(host=b"", scheme=b"http", authority=b"a")
    tracer.fields(request, passage, Gateway(b"1"))

    assert list(tracer._under_way) == [b"new"]
