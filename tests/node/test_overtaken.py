"""Answers that are dropped while they are on their way: who waits gets them, nobody else does."""

from __future__ import annotations

import pytest

from edge.site import keys
from tests.support import free_port
from tests.support_origin import Talk, saying
from tests.support_proxied import (
    FRESH,
    broker_of,
    content_of,
    get,
    getting,
    halfway,
    handling,
    idle,
    proxied,
    quiet,
    stored,
    waiting,
)
from tests.support_serving import HOST, request
from tests.support_wire import until

DROPS = {
    "its app": [keys.label_of_app("site")],
    "a tag that it may have": [keys.label_of_tag(b"other")],
    "everything": None,
}


@pytest.mark.parametrize("labels", DROPS.values(), ids=DROPS.keys())
async def test_what_was_dropped_before_its_head_came_is_not_stored(site, origin, path, labels):
    """Who waits gets it; who comes later asks anew."""
    origin.on(path, waiting(b"old", FRESH, "Cache-Tag: a"))
    first = getting(site, f"/o{path}")
    talk = await origin.wait_for(path)
    drop(site, labels)
    second = getting(site, f"/o{path}")
    later = await origin.wait_for(path, 2)
    talk.go.set()
    answer = await first
    assert (answer.content, handling(answer)) == (b"old", "fwd=uri-miss; detail=overtaken")
    assert stored(site, path) == []
    later.go.set()
    assert handling(await second) == "fwd=uri-miss; stored"


def drop(site, labels) -> None:
    """By labels, or everything."""
    if labels is None:
        broker_of(site).clear()
    else:
        broker_of(site).drop(labels)


@pytest.mark.parametrize(
    ("labels", "is_stored"),
    [([b"tag a"], False), ([b"app site"], False), (None, False), ([b"tag b", b"app b"], True)],
    ids=str,
)
async def test_what_was_dropped_while_its_content_came_is_not_stored(
    site, origin, path, labels, is_stored
):
    """Its tags are known by then."""
    origin.on(path, halfway(b"hello", FRESH, "Cache-Tag: a"))
    task = getting(site, f"/o{path}")
    talk = await origin.wait_for(path)
    await until(lambda: [each for each in broker_of(site)._flying if each.landing])
    drop(site, labels)
    talk.go.set()
    assert (await task).content == b"hello"
    assert len(stored(site, path)) == is_stored


async def test_what_was_dropped_while_it_was_validated_is_not_stored_again(site, origin, path):
    """A 304 is about what was there before."""

    def script(talk: Talk) -> None:
        if "if-none-match" in talk.fields:
            talk.wait()
            talk.send(b'HTTP/1.1 304 X\r\nETag: "a"\r\n\r\n')
        else:
            talk.answer(b"hello", 200, FRESH, 'ETag: "a"')

    origin.on(path, script)
    await get(site, f"/o{path}")
    site.pass_time(100)
    task = getting(site, f"/o{path}")
    talk = await origin.wait_for(path, 2)
    assert broker_of(site).drop([b"app site"]) == 1
    talk.go.set()
    assert (await task).content == b"hello"
    assert stored(site, path) == []


async def test_who_joined_before_a_drop_waits_on(site, origin, path):
    """They asked before it; one that asks later does not get what they get."""
    origin.on(path, halfway(b"old", FRESH))
    tasks = [getting(site, f"/o{path}") for _ in range(3)]
    talk = await origin.wait_for(path)
    await until(lambda: [each for each in broker_of(site)._flying if each.landing])
    broker_of(site).drop([keys.label_of_app("site")])
    origin.on(path, halfway(b"new", FRESH))
    later = getting(site, f"/o{path}")
    (await origin.wait_for(path, 2)).go.set()
    assert (await later).content == b"new"
    talk.go.set()

    assert [(await task).content for task in tasks] == [b"old"] * 3
    assert [entry.content for entry in stored(site, path)] == [b"new"]


@pytest.mark.parametrize("page", ["/o", "/other"])
async def test_a_page_finds_what_comes_for_it(site, origin, path, page):
    """As long as its client waits, and no other page."""
    origin.on(path, waiting(b"hello", FRESH))
    task = getting(site, f"/o{path}")
    talk = await origin.wait_for(path)
    broker_of(site).drop([keys.label_of_page(HOST, page + path, b"")])
    talk.go.set()
    await task

    assert len(stored(site, path)) == (page == "/other")


@pytest.mark.parametrize("labels", [[b"tag a"], [b"app site"], None], ids=str)
async def test_a_refresh_is_dropped_on_its_way_like_any_other(site, origin, path, labels):
    """Though nobody waits for it."""
    line = "Cache-Control: max-age=60, stale-while-revalidate=600"
    origin.on(path, saying(b"old", 200, line, "Cache-Tag: a"))
    await get(site, f"/o{path}")
    site.pass_time(100)
    origin.on(path, waiting(b"new", line, "Cache-Tag: a"))
    assert (await get(site, f"/o{path}")).content == b"old"
    talk = await origin.wait_for(path, 2)
    drop(site, labels)
    talk.go.set()
    await idle(site.worker)

    assert stored(site, path) == []


# Changes that go through


@pytest.mark.parametrize("pointer", ["", "Location: {path}", "Content-Location: {path}"])
async def test_a_change_drops_what_it_made_wrong(site, origin, path, pointer):
    """Its own target, and what its answer points to (RFC 9111 §4.4)."""
    origin.on(path, saying(b"old", 200, FRESH))
    await get(site, f"/o{path}")
    asked = path + "/change" if pointer else path
    lines = [pointer.format(path=path)] if pointer else []
    origin.on(asked, saying(b"", 201, *lines))
    assert (await get(site, f"/o{asked}", method="POST")).status == 201

    assert stored(site, path) == []


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_a_change_that_failed_drops_nothing(site, origin, path, status):
    """Whatever it was."""
    origin.on(path, saying(b"old", 200, FRESH))
    await get(site, f"/o{path}")
    origin.on(path, saying(b"", status))
    await get(site, f"/o{path}", method="POST")

    assert len(stored(site, path)) == 1


async def test_a_change_drops_it_whichever_target_took_it(tmp_path, origin, path):
    """What is stored is of all targets of its rule."""
    dead = f"127.0.0.1:{free_port()}"
    rule = {"source": "/two/<*>", "status": "200",
            "target": [f"http://{dead}/<*>", f"http://127.0.0.1:{origin.port}/<*>"]}  # fmt: skip
    site = proxied(tmp_path, origin, rule)
    allow = f'proxy: {{allow: ["127.0.0.1:{origin.port}", "{dead}"]}}\n'
    (tmp_path / "edge.yml").write_text(allow)
    site.changes.reload()
    await site.start()
    origin.on(path, saying(b"old", 200, FRESH))
    for expected in ("fwd=uri-miss; stored", "hit"):
        assert handling(await get(site, f"/two{path}")) == expected
    assert (await get(site, f"/two{path}", method="POST")).status == 200
    answer = await get(site, f"/two{path}")
    await quiet(site)

    assert handling(answer) == "fwd=uri-miss; stored"


async def test_what_began_before_its_branch_was_given_up_is_not_stored(tmp_path, origin, path):
    """Whoever has the name next sees nothing of it."""
    site = await proxied(tmp_path, origin).start()
    site.deploy({"index.html": "next"}, branch="next")
    await site.follow()
    host = HOST.replace("main", "next")
    origin.on(path, saying(b"old", 200, FRESH))
    begun = site.worker._handler.respond(request(f"/o{path}", host=host))
    site.changes.delete_branch("site", "next")
    await site.follow()
    assert await content_of(await begun) == b"old"
    site.deploy({"index.html": "again"}, branch="next")
    await site.follow()
    origin.on(path, saying(b"new", 200, FRESH))

    assert (await get(site, f"/o{path}", host=host)).content == b"new"
    await quiet(site)
