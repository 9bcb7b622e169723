"""Addresses that are known to lead past the store: the same way, or the long one."""

from __future__ import annotations

import pytest
import uvloop

from edge.http.manner import Manner
from edge.node import ways as module
from edge.node.content import Inflow
from tests.support_origin import saying
from tests.support_proxied import get, handling, hits_of, proxied, quiet
from tests.support_recalls import LISTENING, PROXY, TRUSTING
from tests.support_serving import HOST, Site, request

NEVER = "Cache-Control: no-store"


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin):
    """A node with a trusted proxy in front of it."""
    folder = tmp_path_factory.mktemp("ways")
    rule = ("/us/<*>", f"http://127.0.0.1:{origin.port}/<*>", "200", "<US>")
    site = proxied(folder, origin, rule, edge_yml=TRUSTING + LISTENING)
    uvloop.run(site.start())
    return site


@pytest.fixture
async def site(built):
    """A worker that serves it; afterwards nothing is known."""
    yield built
    built.worker._forwarder.ways.clear()
    await quiet(built)


def way_of(site: Site, asked) -> object:
    """The way that is known for a request."""
    forwarder = site.worker._forwarder
    serving = site.worker._handler.snapshot.known[asked.authority]
    return forwarder.ways.find(asked, serving, forwarder.clients)


async def learned(site: Site, origin, path: str, **options: str) -> None:
    """Ask twice: the first answer says that nothing is stored."""
    origin.on(path, saying(b"hello", 200, NEVER))
    for _ in range(2):
        await get(site, f"/o{path}", **options)


async def test_the_third_request_needs_no_decision(site, origin, path):
    """And is the same to the origin, and to its client."""
    await learned(site, origin, path)
    second = await get(site, f"/o{path}")
    assert way_of(site, request(f"/o{path}")) is not None
    third = await get(site, f"/o{path}")

    assert (third.fields, third.content) == (second.fields, b"hello")
    assert handling(third) == "fwd=uri-miss; detail=no-store"
    lines = [talk.lines[1:] for talk in origin.of(path)]
    assert lines[2] == lines[3]


async def test_it_counts_for_its_rule(site, origin, path):
    """As one that was decided."""
    await learned(site, origin, path)
    hits_of(site)
    for _ in range(3):
        await get(site, f"/o{path}")

    assert [list(hits.values()) for hits in hits_of(site).values()] == [[3]]


STATED = {
    "Via": {"via": "1.1 a"},
    "CDN-Loop": {"cdn_loop": "a"},
    "Upgrade": {"upgrade": "chat"},
    "a trusted proxy": {"peer": PROXY},
    "another scheme": {"peer": PROXY, "x_forwarded_proto": "https"},
}


@pytest.mark.parametrize("stated", STATED.values(), ids=STATED)
async def test_what_states_more_takes_the_long_way(site, origin, path, stated):
    """Its key may be another one."""
    await learned(site, origin, path)
    assert way_of(site, request(f"/o{path}")) is not None

    assert way_of(site, request(f"/o{path}", **stated)) is None


async def test_what_the_key_leaves_out_makes_no_difference(site, origin, path):
    """And gets to the origin."""
    await learned(site, origin, path)
    fields = {"cookie": "a=b", "authorization": "Bearer x", "if_none_match": '"a"'}
    assert way_of(site, request(f"/o{path}", **fields)) is not None
    await get(site, f"/o{path}", **fields)

    sent = {(name.lower(), value) for name, value in origin.of(path)[-1].lines}
    assert {("cookie", "a=b"), ("authorization", "Bearer x"), ("if-none-match", '"a"')} <= sent


async def test_content_takes_the_long_way(site, origin, path):
    """A GET has none, as a rule."""
    await learned(site, origin, path)
    asked = request(f"/o{path}")
    asked.ends, asked.content = False, Inflow(lambda _: None)

    assert way_of(site, asked) is None


async def test_other_methods_are_not_remembered(site, origin, path):
    """Rules of what is missing ask for the method."""
    await learned(site, origin, path, method="HEAD")

    assert way_of(site, request(f"/o{path}")) is None


async def test_what_a_country_decides_is_not_remembered(site, origin, path):
    """The next client may be elsewhere."""
    origin.on(path, saying(b"hello", 200, NEVER))
    fields = {"peer": PROXY, "x_country": "US", "x_forwarded_for": "192.0.2.9"}
    for _ in range(2):
        await get(site, f"/us{path}", **fields)

    assert site.worker._forwarder.ways._known == {}


async def test_other_hosts_have_ways_of_their_own(site, origin, path):
    """Each is told to the origin."""
    await learned(site, origin, path)
    await get(site, f"/o{path}", host=f"{HOST}:8080")

    assert origin.of(path)[-1].lines != origin.of(path)[-2].lines


async def test_what_is_stored_by_now_takes_the_long_way(site, origin, path):
    """Nothing passes what the store could answer."""
    await learned(site, origin, path)
    origin.on(path, saying(b"hello", 200, "Cache-Control: max-age=60"))
    await get(site, f"/o{path}")

    assert way_of(site, request(f"/o{path}")) is None


async def test_another_snapshot_forgets_them(site, origin, path):
    """Its rules may lead elsewhere."""
    await learned(site, origin, path)
    site.changes.reload()
    site.write("customHttp.yml", "customHeaders: []")
    site.changes.reload()
    await site.follow_quietly()
    site.worker._forwarder.configure(site.worker._handler.snapshot.settings)

    assert site.worker._forwarder.ways._known == {}


async def test_what_is_remembered_is_bounded(site, origin, path, monkeypatch):
    """At the bound it begins anew."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    origin.on(path, saying(b"hello", 200, NEVER))
    for query in ("?a", "?b", "?c"):
        for _ in range(2):
            await get(site, f"/o{path}{query}")

    assert len(site.worker._forwarder.ways._known) == 1


async def test_what_is_forgotten_leads_nowhere(site, origin, path):
    """Whoever remembers the lines of a client has nothing left of them."""
    await learned(site, origin, path)
    asked = request(f"/o{path}")
    manner = asked.manner = Manner(asked.authority, asked.fields)
    await site.answer(asked)
    assert list(manner.ways) == [f"GET /o{path} HTTP/1.1".encode()]
    site.worker._forwarder.ways.clear()

    assert manner.ways == {}
