"""What tests of stored answers share: a worker whose rules lead to an origin, and its clock."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.http.fields import format_http_date
from edge.http.message import Request, Response
from edge.node.broker import Broker
from edge.node.content import discard
from edge.node.errand import SMALL
from edge.node.shelf import Entry
from edge.node.tasks import spawn
from edge.node.worker import Worker
from edge.site.keys import label_of_target
from tests.support_origin import Origin, Script, Talk
from tests.support_serving import Answer, Site, request
from tests.support_wire import until

OK = b"HTTP/1.1 200 OK\r\n"
FRESH = "Cache-Control: max-age=60"
LARGE = bytes(range(256)) * (4 * SMALL // 256)
"""Content that does not come with its head."""

RULE = ("/o/<*>", "http://127.0.0.1:{port}/<*>", "200")


def proxied(
    folder: Path, origin: Origin, *rules: object, app_yml: str = "", edge_yml: str = ""
) -> Site:
    """A state folder with an app whose paths under /o/ are the origin's."""
    allow = f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\n'
    site = Site(folder, app_yml, allow + edge_yml)
    source, target, status = RULE
    site.write_rules((source, target.format(port=origin.port), status), *rules)  # type: ignore[arg-type]
    site.deploy({"index.html": "home"})
    return site


def path_for(request: pytest.FixtureRequest) -> str:
    """A path that no other test of a module uses."""
    name = request.node.name
    return f"/{re.sub('[^a-z0-9_]+', '-', name.lower())}-{zlib.crc32(name.encode()):x}"


def broker_of(site: Site) -> Broker:
    """The store of its worker."""
    return site.worker._broker


def stored(site: Site, path: str) -> list[Entry]:
    """What is stored of a path of the origin."""
    return [entry for entry in broker_of(site).shelf._queue if path_of(entry.key) == path]


def path_of(key: bytes) -> str:
    """The origin's path in a key."""
    return "/" + key.split(b"\n")[4].split(b"/", 3)[3].partition(b"?")[0].decode()


def mark_of(site: Site, path: str) -> object:
    """What is remembered of a path of the origin; False where nothing is."""
    plan = site.worker._handler.snapshot.apps["site"].branches["main"].plan
    url = str(plan.rules[0].written.target).replace("/<*>", path)
    target = hash(label_of_target("site", url))
    marks = broker_of(site).shelf._marks.values()
    return next((mark for mark, place in marks if place == target), False)


def hits_of(site: Site) -> dict[str, dict[str, int]]:
    """Requests by app and rule since the last time."""
    site.worker._ledger.add_up()
    return site.worker._counters.take_hits(site.worker._handler.snapshot)


def handling(answer: Answer) -> str:
    """What Cache-Status says of us, but for the seconds that are left."""
    return re.sub("; ttl=[0-9-]+", "", answer.fields["cache-status"].removeprefix("edge; "))


def ttl(answer: Answer) -> int | None:
    """The seconds that are left: one fewer than stated, where asking took a moment."""
    found = re.search("; ttl=([0-9-]+)", answer.fields["cache-status"])
    return None if found is None else int(found[1])


async def begin(site: Site, asked: Request) -> Response:
    """The response, its content not read yet."""
    answer = site.worker._handler.respond(asked)
    return answer if isinstance(answer, Response) else await answer


async def content_of(response: Response) -> bytes:
    """All of the content, and its end."""
    content = response.content
    if content is None or isinstance(content, bytes):
        return content or b""
    try:
        return b"".join([chunk async for chunk in content])
    finally:
        await discard(content)


async def get(site: Site, target: str = "/", **options: str) -> Answer:
    """One answer, as a connection sends it: its content is closed behind its end."""
    response = await begin(site, request(target, **options))
    return Answer(response, await content_of(response))


def getting(site: Site, target: str = "/", **options: str) -> asyncio.Task[Answer]:
    """The same, meanwhile."""
    return spawn(get(site, target, **options), "get")


async def gone(*tasks: asyncio.Task) -> None:
    """End tasks, as connections do whose clients went away."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await task


def dated(site: Site, later: int = 0) -> str:
    """A Date of the worker's clock."""
    return "Date: " + format_http_date(site.clock.epoch + later).decode()


def waiting(content: bytes, *lines: str, status: int = 200) -> Script:
    """A script that answers once the test says so."""

    def script(talk: Talk) -> None:
        talk.wait()
        talk.answer(content, status, *lines)

    return script


def stuck(*lines: str) -> Script:
    """A script that sends `he` of its content, and then waits for the end of the connection."""

    def script(talk: Talk) -> None:
        head = ["HTTP/1.1 200 OK", "Content-Length: 5", *lines, "", "he"]
        talk.send("\r\n".join(head).encode())
        talk.until_closed()

    return script


def halfway(content: bytes, *lines: str, ends: Callable[[Talk], None] | None = None) -> Script:
    """A script that stops after half of the content, until the test says so; in one chunk each."""

    def script(talk: Talk) -> None:
        head = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *lines, "", ""]
        half = len(content) // 2
        talk.send("\r\n".join(head).encode())
        talk.send(b"%x\r\n%b\r\n" % (half, content[:half]))
        talk.wait()
        if ends is not None:
            ends(talk)
            return
        talk.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content) - half, content[half:]))

    return script


def conditional(etag: str, content: bytes, *lines: str) -> Script:
    """A script that says 304 to whoever has it."""

    def script(talk: Talk) -> None:
        if talk.fields.get("if-none-match") == etag:
            head = ["HTTP/1.1 304 X", f"ETag: {etag}", *lines, "", ""]
            talk.send("\r\n".join(head).encode())
        else:
            talk.answer(content, 200, f"ETag: {etag}", *lines)

    return script


async def idle(worker: Worker) -> None:
    """Nothing of a worker is under way any more, and nothing has been leaked."""
    broker, names = worker._broker, ("flight", "upload", "drop copies")
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name() in names])
    assert (broker._flights, broker._flying, broker.shelf.coming) == ({}, set(), 0)
    pools = [*worker._origins.known.values(), *worker._siblings._others]
    for each in pools:
        assert (each.busy, each.outstanding, each.health.probing) == (set(), 0, False)
    queue = broker.shelf._queue
    assert broker.shelf.size == sum(entry.cost for entry in queue)


async def quiet(site: Site) -> None:
    """The same; then the worker knows no origin, and nothing of what was stored."""
    try:
        await idle(site.worker)
    finally:
        site.worker._origins.close()
        site.worker._origins.known.clear()
        broker_of(site).clear()
