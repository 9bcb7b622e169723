"""What a change through a node of two workers puts out of use (RFC 9111 §4.4)."""

from __future__ import annotations

import pytest

from tests.support_origin import originating, saying
from tests.support_stored import say

FRESH = "Cache-Control: max-age=600"
FIRST = "fwd=uri-miss; stored"


async def stored(scene, *paths: str) -> None:
    """Have answers of these paths stored, with copies at whoever does not own them."""
    for path in paths:
        scene.answers(FRESH, path=path)
        for visitor in (*scene.visitors, *scene.visitors):
            await visitor.ask(f"/o{scene.path}{path}")


async def are_gone(scene, *paths: str) -> bool:
    """Whether neither worker has them any more; asked by the one that did not see the change."""
    found = [await scene.visitors[1].ask(f"/o{scene.path}{path}") for path in paths]
    return all(answer.handling == FIRST for answer in found)


async def are_there(scene, *paths: str) -> bool:
    """Whether both workers serve them."""
    targets = [f"/o{scene.path}{path}" for path in paths]
    found = [await visitor.ask(target) for target in targets for visitor in scene.visitors]
    return all(answer.handling == "hit" for answer in found)


UNSAFE = ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "PURGE", "WHATEVER"]
SAFE = ["OPTIONS", "PROPFIND", "REPORT", "TRACE"]


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("status", [200, 204, 201, 301, 303])
async def test_a_change_invalidates(scene, method, status):
    """At both workers, before its answer is there; nothing else goes."""
    await stored(scene, "", "/other")
    scene.on(lambda talk: (talk.read(), say(talk, str(status))))
    answer = await scene.visitors[0].ask(f"/o{scene.path}", method=method)
    assert (answer.status, answer.handling) == (status, "fwd=method")
    scene.answers(FRESH)

    assert await are_gone(scene, "")
    assert await are_there(scene, "", "/other")


@pytest.mark.parametrize("method", SAFE)
async def test_a_safe_method_changes_nothing(scene, method):
    """Whatever it is answered."""
    await stored(scene, "")
    scene.on(lambda talk: (talk.read(), talk.answer(b"hello")))
    await scene.visitors[0].ask(f"/o{scene.path}", method=method)

    assert await are_there(scene, "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("status", [400, 403, 404, 409, 500, 503])
async def test_a_change_that_failed_changes_nothing(scene, method, status):
    """The old answer is still good."""
    await stored(scene, "")
    scene.on(lambda talk: (talk.read(), talk.answer(b"no", status)))
    assert (await scene.visitors[0].ask(f"/o{scene.path}", method=method)).status == status

    assert await are_there(scene, "")


async def test_a_change_of_which_nothing_was_heard(scene):
    """502: nobody knows whether it happened; the RFC asks for nothing."""
    await stored(scene, "")
    scene.on(lambda talk: (talk.read(), talk.close()))
    assert (await scene.visitors[0].ask(f"/o{scene.path}", method="POST")).status == 502

    assert await are_there(scene, "")


async def test_all_variants_go(scene):
    """And all queries but this one's stay."""
    scene.answers(f"{FRESH} | Vary: X-V")
    for wish in ("X-V: a", "X-V: b", "X-V: c"):
        await scene.ask(wish)
        await scene.ask(wish, query="?x")
    scene.on(lambda talk: (talk.read(), talk.answer(b"done")))
    await scene.ask(method="POST")
    scene.answers(f"{FRESH} | Vary: X-V")
    for wish in ("X-V: a", "X-V: b", "X-V: c"):
        assert (await scene.ask(wish)).handling != "hit"
        assert (await scene.ask(wish, query="?x")).handling == "hit"


POINTING = {
    "a path": "{path}/b",
    "relative": "../{last}/b",
    "absolute": "{origin}{path}/b",
    "absolute, with a fragment": "{origin}{path}/b#x",
    "absolute, in other letters": "HTTP{rest}{path}/b",
    "dots": "{path}/x/../b",
    "no scheme": "//{authority}{path}/b",
}
ELSEWHERE = {
    "another port": "http://127.0.0.1:1{path}/b",
    "another host": "http://other.test{path}/b",
    "another scheme": "https://{authority}{path}/b",
    "the client's host": "http://a.test/o{path}/b",
    "nonsense": "http://[{path}/b",
    "another path": "{path}/c",
}


def filled(scene, text: str) -> str:
    """A reference in the origin's words."""
    authority = f"127.0.0.1:{scene.origin.port}"
    return text.format(
        path=scene.path, last=scene.path.rpartition("/")[2], authority=authority,
        origin=f"http://{authority}", rest=f"://{authority}",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("text", POINTING.values(), ids=POINTING.keys())
@pytest.mark.parametrize("status", [201, 303])
async def test_what_an_answer_points_to_goes_too(scene, name, text, status):
    """Of the same origin, in its own words."""
    await stored(scene, "/a", "/b", "/z")
    line = f"{name}: {filled(scene, text)}"
    scene.on(lambda talk: (talk.read(), talk.answer(b"", status, line)), "/a")
    await scene.visitors[0].ask(f"/o{scene.path}/a", method="POST")
    scene.answers(FRESH, path="/a")

    assert await are_gone(scene, "/a", "/b")
    assert await are_there(scene, "/z")


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("text", ELSEWHERE.values(), ids=ELSEWHERE.keys())
async def test_what_belongs_to_another_origin_stays(scene, name, text):
    """Nobody may invalidate that."""
    await stored(scene, "/a", "/b")
    line = f"{name}: {filled(scene, text)}"
    scene.on(lambda talk: (talk.read(), talk.answer(b"", 201, line)), "/a")
    await scene.visitors[0].ask(f"/o{scene.path}/a", method="POST")
    scene.answers(FRESH, path="/a")

    assert await are_gone(scene, "/a")
    assert await are_there(scene, "/b")


async def test_a_get_with_a_location_invalidates_nothing(scene):
    """It changes nothing."""
    await stored(scene, "/b")
    scene.on(lambda talk: (talk.read(), talk.answer(b"", 302, f"Location: {scene.path}/b")), "/a")
    await scene.visitors[0].ask(f"/o{scene.path}/a")

    assert await are_there(scene, "/b")


@pytest.mark.parametrize("number", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize("way", ["itself", "pointed to"])
async def test_whichever_target_took_the_change(scene, number, way):
    """What a rule's targets answer is stored once, so a change at any of them is one of all."""
    both = (scene.stage.origin, scene.stage.other)
    changed = scene.path if way == "itself" else f"{scene.path}/changed"
    for each in both:
        each.on(f"{scene.path}/busy", lambda talk: (talk.read(), talk.wait(), talk.answer()))
        each.on(changed, saying(b"", 201, f"Location: {scene.path}"))
        each.on(scene.path, saying(b"old", 200, FRESH, f"Location: {scene.path}"))
    for visitor in (*scene.visitors, *scene.visitors):
        await visitor.ask(f"/two{scene.path}")
    assert (await scene.visitors[1].ask(f"/two{scene.path}")).handling == "hit"

    busy = await scene.visitor(scene.pids()[0])
    if number:  # while the first has something to do, its worker asks the second
        count = len(both[0].of(f"{scene.path}/busy"))
        busy.send(f"/two{scene.path}/busy", method="POST")
        await both[0].wait_for(f"{scene.path}/busy", count + 1)
    await scene.visitors[0].ask(f"/two{changed}", method="POST")
    assert both[number].of(changed)[-1].method == "POST"
    assert (await scene.visitors[1].ask(f"/two{scene.path}")).handling == FIRST
    if number:
        both[0].of(f"{scene.path}/busy")[-1].go.set()
        await busy.read()


async def test_what_is_on_its_way_while_it_changes_is_not_stored(scene):
    """Its client gets it; the next one does not."""
    scene.on(lambda talk: (talk.read(), talk.wait(), talk.answer(b"old", 200, FRESH)))
    scene.visitors[0].send(f"/o{scene.path}")
    talk = await scene.origin.wait_for(scene.path, len(scene.origin.of(scene.path)) + 1)
    scene.on(lambda talk: (talk.read(), talk.answer(b"done")))
    assert (await scene.visitors[1].ask(f"/o{scene.path}", method="POST")).content == b"done"
    scene.on(lambda talk: (talk.read(), talk.answer(b"new", 200, FRESH)))
    talk.go.set()
    first = await scene.visitors[0].read()
    assert first.short == (200, b"old", "fwd=uri-miss; detail=overtaken")
    for visitor in (*scene.visitors, *scene.visitors):
        assert (await visitor.ask(f"/o{scene.path}")).content == b"new"


async def test_who_asks_after_a_change_does_not_get_what_was_asked_before(scene):
    """No collapse across it."""
    scene.on(lambda talk: (talk.read(), talk.wait(), talk.answer(b"old", 200, FRESH)))
    scene.visitors[0].send(f"/o{scene.path}")
    talk = await scene.origin.wait_for(scene.path, len(scene.origin.of(scene.path)) + 1)
    scene.on(lambda talk: (talk.read(), talk.answer(b"new", 200, FRESH)))
    await scene.visitors[1].ask(f"/o{scene.path}", method="POST")
    assert (await scene.visitors[1].ask(f"/o{scene.path}")).content == b"new"
    talk.go.set()
    assert (await scene.visitors[0].read()).content == b"old"
    for visitor in scene.visitors:
        assert (await visitor.ask(f"/o{scene.path}")).content == b"new"


async def test_what_validates_while_it_changes(scene):
    """A 304 that was asked for before the change does not bring the old answer back."""
    scene.answers('Cache-Control: max-age=0 | ETag: "a"')
    await scene.ask()
    await scene.ask()
    count = len(scene.origin.of(scene.path))
    scene.on(lambda talk: (talk.read(), talk.wait(), say(talk, f'304 | {FRESH} | ETag: "a"')))
    scene.visitors[0].send(f"/o{scene.path}")
    talk = await scene.origin.wait_for(scene.path, count + 1)
    scene.on(lambda talk: (talk.read(), talk.answer(b"new", 200, FRESH)))
    await scene.visitors[1].ask(f"/o{scene.path}", method="POST")
    talk.go.set()
    await scene.visitors[0].read()
    for visitor in (*scene.visitors, *scene.visitors):
        assert (await visitor.ask(f"/o{scene.path}")).content == b"new"


async def test_a_change_at_one_host_is_one_of_the_origin(scene):
    """What another hostname of the app has stored of the same URL goes as well."""
    scene.path += f"/{scene.order}"
    scene.on(saying(b"old", 200, FRESH))
    for host in ("a.test", "b.test"):
        for visitor in (*scene.visitors, *scene.visitors):
            await visitor.ask(f"/o{scene.path}", f"Host: {host}")
    await scene.visitors[0].ask(f"/o{scene.path}", "Host: a.test", "DELETE")
    for host in ("a.test", "b.test"):
        assert (await scene.visitors[1].ask(f"/o{scene.path}", f"Host: {host}")).handling == FIRST


async def test_an_origin_that_is_gone_after_a_change(scene):
    """What was stored before it is not served in its place."""
    way, port = scene.stage.mortal()
    with originating(port=port) as origin:
        scene.origin = origin
        scene.answers("Cache-Control: max-age=600, stale-if-error=600")
        await scene.ask(way=way)
        assert (await scene.ask(way=way)).handling == "hit"
        await scene.ask(method="POST", way=way)
    for _ in range(2):
        assert (await scene.ask(way=way)).status == 502
