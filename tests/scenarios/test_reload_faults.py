"""A worker that cannot load a generation, whatever is missing, serves on, byte for byte."""

from __future__ import annotations

import pytest

from edge.errors import EdgeError
from tests.support_serving import Site

RULE = {"source": "/old", "target": "/new"}
HEADERS = "customHeaders: [{pattern: '**', headers: [{key: X-Set, value: 'one'}]}]\n"
PATHS = ("/", "/old", "/none", "/moved")


@pytest.fixture
async def site(tmp_path):
    """A site whose worker has answered by its first rules; a second generation is written."""
    site = Site(tmp_path)
    site.write_rules(RULE)
    site.write("customHttp.yml", HEADERS)
    site.changes.reload()
    site.deploy({"index.html": "one"})
    await site.start()
    return site


async def answers(site):
    """What each path is answered with, but for the second in which that was."""
    found = []
    for path in PATHS:
        answer = await site.ask(path)
        answer.fields.pop("date", None)
        answer.fields.pop("age", None)
        answer.fields.pop("cache-status", None)
        found.append((path, answer.status, answer.fields, answer.content))
    return found


def change(site):
    """Another generation, in which all of an app is new: its number, and its documents."""
    before = {path.name for path in site.places.compiled.iterdir()}
    site.write_rules({"source": "/moved", "target": "/there"}, RULE)
    site.write("customHttp.yml", HEADERS.replace("one", "two"))
    site.changes.reload()
    state = site.changes.app("site")
    key = site.changes.generations.current().apps["site"]
    assert not {key, state.rules, state.headers} & before
    number = site.changes.generations.current().number
    return number, {
        "generation": site.places.generation(number),
        "app": site.places.compiled / key,
        "rules": site.places.compiled / state.rules,
        "headers": site.places.compiled / state.headers,
    }


def tear(path):
    """Half of it is there."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("fault", ["unlink", "tear", "empty"])
@pytest.mark.parametrize("step", ["generation", "app", "rules", "headers"])
async def test_a_fault_at_any_step_leaves_what_serves(site, step, fault):
    """The order is refused with the reason; mended, the same order is obeyed."""
    before, snapshot = await answers(site), site.worker._handler.snapshot
    number, documents = change(site)
    path = documents[step]
    data = path.read_bytes()
    {"unlink": path.unlink, "tear": lambda: tear(path), "empty": lambda: path.write_bytes(b"")}[
        fault
    ]()

    for order in ("load", "swap"):
        with pytest.raises(EdgeError, match=path.name):
            await site.worker._obey({"do": order, "generation": number})
        assert site.worker._handler.snapshot is snapshot
        assert await answers(site) == before

    path.write_bytes(data)
    for order in ("load", "swap"):
        status = await site.worker._obey({"do": order, "generation": number})
    assert status["generation"] == number
    after = await answers(site)
    assert [status for _, status, _, _ in after] == [200, 301, 404, 301]
    assert after[0][2]["x-set"] == "two"


async def test_loaded_is_not_served_yet(site):
    """Between the two orders every answer is the old one; a later one may come instead."""
    before = await answers(site)
    number, _ = change(site)
    await site.worker._obey({"do": "load", "generation": number})
    assert await answers(site) == before

    site.write_rules({"source": "/", "target": "/later"})
    site.changes.reload()
    later = site.changes.generations.current().number
    await site.worker._obey({"do": "load", "generation": later})
    await site.worker._obey({"do": "swap", "generation": later})

    assert (await site.ask("/")).fields["location"] == "/later"
