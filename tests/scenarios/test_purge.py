"""Purges of a node of two workers: once one is answered, nothing from before it is served."""

from __future__ import annotations

import asyncio
import http.client
import json

import pytest

from edge.cli import parser
from edge.commands import selection_of
from tests.support_origin import Talk
from tests.support_stored import Scene, say

FRESH = "Cache-Control: max-age=600"
FIRST = "fwd=uri-miss; stored"
TAGGED = ("cache-tag", "surrogate-key")


async def edge(scene: Scene, *arguments: str) -> str:
    """What a command says; nothing else waits for it."""
    return (await asyncio.to_thread(scene.node.edge, *arguments)).stdout


async def purge(scene: Scene, *arguments: str) -> int:
    """As the command line has it, without a process of its own; how many went."""
    options = parser().parse_args(["purge", *arguments])
    status, document = await post(scene, selection_of(options))
    assert status == 200, document
    return document["purged"]


async def post(scene: Scene, document: object = None) -> tuple[int, dict]:
    """By the API."""
    return await asyncio.to_thread(scene.node.admin, "POST", "/v1/purge", document)


async def fill(scene: Scene, *replies: str, path: str = "", query: str = "") -> None:
    """Have an answer stored at its owner, and a copy at the other one."""
    scene.answers(*(replies or (f"{FRESH} | > old",)), path=path)
    for visitor in (*scene.visitors, *scene.visitors):
        await visitor.ask(f"/o{scene.path}{path}{query}")


async def found(scene: Scene, path: str = "", query: str = "") -> list[tuple[bytes, str]]:
    """What each worker answers: content, and what was done for it."""
    target = f"/o{scene.path}{path}{query}"
    answers = [await visitor.ask(target) for visitor in scene.visitors]
    return [(answer.content, answer.handling) for answer in answers]


def renewed(answers: list[tuple[bytes, str]]) -> bool:
    """Whether the first came from the origin, and no answer is an old one."""
    contents, (first, second) = {content for content, _ in answers}, [how for _, how in answers]
    return contents == {b"new"} and first == FIRST and second == "hit"


KEPT = [(b"old", "hit")] * 2


@pytest.fixture
async def clean(scene):
    """A scene on a node that has nothing stored."""
    await purge(scene, "--all")
    assert await purge(scene, "--all") == 0
    return scene


# What is named

NAMED = {
    "url": lambda scene: ("--url", f"https://{scene.host}/o{scene.path}"),
    "url twice": lambda scene: ("--url", f"{scene.host}/none", "--url",
                                f"{scene.host}/o{scene.path}"),
    "tag": lambda _: ("--tag", "two"),
    "surrogate key": lambda _: ("--tag", "four"),
    "host": lambda scene: ("--host", scene.host),
    "app": lambda _: ("--app", "site"),
    "branch": lambda _: ("--app", "site", "--branch", "main"),
    "all": lambda _: ("--all",),
}  # fmt: skip
TAGS = "Cache-Tag: one, two | Surrogate-Key: three four"


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED.keys())
async def test_what_is_purged_is_gone_at_both_workers(clean, named):
    """A copy is none of those that are counted."""
    await fill(clean, f"{FRESH} | {TAGS} | > old")
    assert await found(clean) == KEPT
    clean.answers(f"{FRESH} | > new")
    arguments = named(clean)
    assert await purge(clean, *arguments) == 1
    assert renewed(await found(clean))
    assert clean.count == 2


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED.keys())
async def test_softly_it_is_validated(clean, named):
    """Once, by either worker; its content is kept."""
    await fill(clean, f'{FRESH} | ETag: "a" | {TAGS} | > old')
    clean.answers(f'304 | ETag: "a" | {FRESH}')
    assert await purge(clean, *named(clean), "--soft") == 1
    (first, handled), second = await found(clean)

    assert (first, handled) == (b"old", "fwd=stale; fwd-status=304; stored")
    assert second == (b"old", "hit")
    assert clean.asked()[-1].fields["if-none-match"] == '"a"'
    assert clean.count == 2


OTHERS = {
    "url": lambda scene: ("--url", f"{scene.host}/o{scene.path}/other"),
    "its query": lambda scene: ("--url", f"{scene.host}/o{scene.path}?b=1"),
    "tag": lambda _: ("--tag", "tw"),
    "app": lambda _: ("--app", "chosen"),
    "host": lambda _: ("--host", "e.test"),
}


@pytest.mark.parametrize("named", OTHERS.values(), ids=OTHERS.keys())
async def test_nothing_else_goes(clean, named):
    """Neither by what is alike."""
    await fill(clean, f"{FRESH} | {TAGS} | > old")
    clean.answers(f"{FRESH} | > new")
    assert await purge(clean, *named(clean)) == 0
    assert await found(clean) == KEPT


async def test_queries_are_addresses_of_their_own(clean):
    """Where all of them makes a difference."""
    for query in ("", "?a=1"):
        await fill(clean, query=query)
    clean.answers(f"{FRESH} | > new")
    assert await purge(clean, "--url", f"{clean.host}/o{clean.path}?a=1") == 1
    assert renewed(await found(clean, query="?a=1"))
    assert await found(clean) == KEPT


async def test_several_answers_are_counted_each(clean):
    """Whichever worker has them; their variants too."""
    for number in range(6):
        await fill(clean, f"{FRESH} | Cache-Tag: many", path=f"/{number}")
    clean.answers(f"{FRESH} | Cache-Tag: many | Vary: Accept-Language", path="/v")
    for language in ("de", "en"):
        await clean.visitors[0].ask(f"/o{clean.path}/v", f"Accept-Language: {language}")
    assert await purge(clean, "--tag", "many") == 8
    assert await purge(clean, "--tag", "many") == 0


async def test_tags_of_a_validation_count(clean):
    """As other fields of a 304 do (RFC 9111 §3.2)."""
    await fill(clean, f'{FRESH} | ETag: "a" | Cache-Tag: before | > old')
    await purge(clean, "--all", "--soft")
    clean.answers(f'304 | ETag: "a" | {FRESH} | Cache-Tag: after')
    await found(clean)
    await found(clean)
    clean.answers(f"{FRESH} | > new")
    assert await purge(clean, "--tag", "after") == 1
    assert renewed(await found(clean))


# The API

BODIES = {
    "urls": lambda scene: {"urls": [f"http://{scene.host}/o{scene.path}"]},
    "tags": lambda _: {"tags": ["three"]},
    "hosts": lambda scene: {"hosts": [scene.host]},
    "app": lambda _: {"app": "site"},
    "branch": lambda _: {"app": "site", "branch": "main"},
    "all": lambda _: {"all": True},
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_the_api_names_it_in_json(clean, body):
    """Without a body it is everything."""
    await fill(clean, f"{FRESH} | {TAGS} | > old")
    clean.answers(f"{FRESH} | > new")
    assert await post(clean, body(clean)) == (200, {"purged": 1})
    assert renewed(await found(clean))


REFUSED = {
    "nothing named": ({}, 400, "send one of"),
    "softly nothing": ({"soft": True}, 400, "send one of"),
    "two kinds": ({"tags": ["two"], "app": "site"}, 400, "send one of"),
    "a branch of no app": ({"branch": "main"}, 400, "send one of"),
    "a misspelling": ({"tag": ["two"]}, 400, "tag"),
    "no list": ({"urls": "a.test"}, 400, "urls"),
    "no URL": ({"urls": ["ftp://a.test/"]}, 400, "ftp"),
    "nobody's host": ({"hosts": ["nobody.test"]}, 404, "nobody.test"),
    "nobody's URL": ({"urls": ["https://nobody.test/"]}, 404, "nobody.test"),
    "no app": ({"app": "none of ours"}, 404, "none of ours"),
    "no branch": ({"app": "site", "branch": "next"}, 404, "next"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_what_names_nothing_is_refused(clean, case):
    """With the reason; and nothing goes."""
    document, status, reason = case
    await fill(clean, f"{FRESH} | {TAGS} | > old")
    answered, problem = await post(clean, document)

    assert (answered, reason in json.dumps(problem)) == (status, True), problem
    assert await found(clean) == KEPT


async def test_a_purge_needs_the_token(clean):
    """Nothing goes."""
    await fill(clean)
    status, _ = await asyncio.to_thread(clean.node.admin, "POST", "/v1/purge", None, "wrong")
    assert (status, await found(clean)) == (401, KEPT)


@pytest.mark.parametrize(
    "arguments",
    [(), ("--all", "--app", "site"), ("--branch", "main"), ("--url",), ("--host", "nobody.test")],
    ids=" ".join,
)
async def test_the_command_refuses_it_too(clean, arguments):
    """With a message, not a trace."""
    await fill(clean)
    done = await asyncio.to_thread(clean.node.edge, "purge", *arguments, ok=False)

    assert done.returncode != 0
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert await found(clean) == KEPT


@pytest.mark.parametrize(("soft", "became"), [((), "went"), (("--soft",), "to be validated")])
async def test_the_command_says_how_many(clean, soft, became):
    """In words."""
    await fill(clean)
    said = await edge(clean, "purge", "--host", clean.host, *soft)

    assert said.strip() == f"1 stored response {became}"


# Clients meanwhile


def ways(scene: Scene, number: int) -> dict:
    """Each time by something else."""
    return [
        {"urls": [f"http://{scene.host}/o{scene.path}"]},
        {"tags": ["three"], "soft": True},
        {"hosts": [scene.host]},
        {"tags": ["two"]},
        {"app": "site", "soft": True},
        {"all": True},
    ][number % 6]


async def test_no_answer_from_before_a_purge_is_served_after_it(clean):
    """However many ask all the time, of either worker."""
    version, least, is_over = 0, 0, False

    def script(talk: Talk) -> None:
        say(talk, f"{FRESH} | {TAGS} | > {version}")

    async def ask(visitor, number: int) -> int:
        count = 0
        while not is_over:
            if count % 900 == 899:  # a connection ends with its thousandth request
                visitor = (await clean.pair())[number % 2]
            expected = least
            answer = await visitor.ask(f"/o{clean.path}")
            assert int(answer.content) >= expected, (answer.handling, answer.lines)
            count += 1
        return count

    clean.on(script)
    visitors = [each for _ in range(4) for each in await clean.pair()]
    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(ask(each, number)) for number, each in enumerate(visitors)]
        try:
            for number in range(1, 37):
                version = number
                assert (await post(clean, ways(clean, number)))[0] == 200
                least = number
        finally:
            is_over = True
    assert min(client.result() for client in clients) > 36
    assert clean.count >= 36


@pytest.mark.parametrize("number", range(6))
async def test_what_is_on_its_way_when_it_is_purged_is_for_who_asked(clean, number):
    """Whatever it would have been named by; it is not stored."""

    def script(talk: Talk) -> None:
        talk.wait()
        say(talk, f"{FRESH} | {TAGS} | > old")

    clean.on(script)
    before = len(clean.origin.of(clean.path))
    visitor = clean.visitors[0]
    visitor.send(f"/o{clean.path}")
    talk = await clean.origin.wait_for(clean.path, before + 1)
    assert await post(clean, ways(clean, number)) == (200, {"purged": 0})
    clean.answers(f"{FRESH} | > new")
    talk.go.set()
    assert (await visitor.read()).content == b"old"
    assert renewed(await found(clean))


# Tags are the cache's

ASKED = {
    "GET": ("", "GET"),
    "HEAD": ("", "HEAD"),
    "a part": ("Range: bytes=0-1", "GET"),
    "what is had": ('If-None-Match: "a"', "GET"),
}


@pytest.mark.parametrize("control", [FRESH, "Cache-Control: private"])
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
async def test_tags_are_shown_to_nobody(scene, asked, control):
    """Whether it is stored or not, now or later."""
    request, method = asked
    scene.answers(f'{control} | ETag: "a" | {TAGS} | X-A: b | > hello')
    for _ in range(4):
        answer = await scene.ask(request, method)
        assert answer.status in (200, 206, 304)
        assert [name for name in TAGGED if answer.get(name) is not None] == []


# Files


@pytest.mark.parametrize("named", ["--url", "--app", "--host", "--all"])
async def test_files_are_purged(clean, named):
    """At both workers, who have each their own."""
    for visitor in (*clean.visitors, *clean.visitors):
        for name in ("/here.txt", "/"):
            await visitor.ask(name)
    value = {"--url": f"{clean.host}/here.txt", "--app": "site", "--host": clean.host}
    count = await purge(clean, named, *([value[named]] if named in value else []))
    assert count == (2 if named == "--url" else 4)
    for visitor in clean.visitors:
        assert (await visitor.ask("/here.txt")).handling == FIRST
        assert (await visitor.ask("/here.txt")).handling == "hit"
        assert (await visitor.ask("/")).handling == ("hit" if named == "--url" else FIRST)


# Explained


async def test_explain_tells_it_before_and_after(clean):
    """What is stored; then that nothing is."""
    url = f"http://{clean.host}/o{clean.path}"
    await fill(clean, f"{FRESH} | {TAGS} | > old")
    before = await edge(clean, "explain", url)
    assert "stored: 200 of 3 bytes, fresh for " in before
    assert "(max-age=600, age " in before
    assert set(before.partition(", tags ")[2].split("\n")[0].split(", ")) == {
        "one", "two", "three", "four",
    }  # fmt: skip
    await purge(clean, "--tag", "one", "--soft")
    assert "stored: 200 of 3 bytes, stale for " in await edge(clean, "explain", url)
    await purge(clean, "--tag", "one")
    after = await edge(clean, "explain", url)
    assert "stored: 200" not in after
    assert "what was stored has gone" in after


async def test_the_body_is_json_by_whatever_type(clean):
    """One that is none is refused, and nothing goes."""
    await fill(clean)
    token = (clean.node.folder / "var" / "admin.token").read_text().strip()

    def send() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", clean.node.admin_port, timeout=30)
        try:
            fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/purge", "{", fields)
            return connection.getresponse().status
        finally:
            connection.close()

    assert await asyncio.to_thread(send) == 400
    assert await found(clean) == KEPT
