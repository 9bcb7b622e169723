"""A worker: follows `current`, obeys, drains. In this process where that shows enough."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.control import durable
from edge.http.manner import FOR_A_HOST
from edge.node import orders
from edge.node.loader import Loader
from edge.site.places import Places
from edge.site.snapshot import Snapshot
from tests.support import Node, eventually, running, write_tree
from tests.support_serving import Site

HOST = "main.site.edge.localhost"


@pytest.fixture
async def site(tmp_path):
    """A worker in this process, serving."""
    site = Site(tmp_path)
    site.deploy({"index.html": "first"})
    return await site.start()


async def order(site: Site, **fields: object) -> dict[str, object]:
    """What the worker replies."""
    return await site.worker._obey(fields)


# Orders


async def test_status_says_what_the_worker_does(site):
    """Numbers of everything that an operator asks about."""
    await site.ask("/")
    await site.ask("/nothing")
    status = await order(site, do="status")
    assert status["pid"] == os.getpid()
    assert status["generation"] == site.worker._loader.current()
    assert status["responses"] == {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
    assert status["cache"]["bytes"] == site.worker._cache.size > 0
    assert status["manifest_files"] == 1
    assert status["draining"] is False
    json.dumps(status)


async def test_an_unknown_order_is_said_to_be_one(site):
    """A newer control that asks for more hears that this worker cannot."""
    assert await order(site, do="fly") == {"error": "unknown order 'fly'"}


async def test_a_change_takes_two_steps(site):
    """`load` changes nothing that is served, `swap` all of it at once."""
    site.deploy({"index.html": "second"})
    number = site.worker._loader.current()
    reply = await order(site, do="load", generation=number)
    assert reply["generation"] == number - 1
    assert (await site.ask("/")).content == b"first"
    reply = await order(site, do="swap", generation=number)
    assert reply["generation"] == number
    assert (await site.ask("/")).content == b"second"


async def test_a_swap_without_a_load_loads(site):
    """A worker that was born between the two steps serves the new generation too."""
    site.deploy({"index.html": "second"})
    await order(site, do="swap", generation=site.worker._loader.current())
    assert (await site.ask("/")).content == b"second"


async def test_a_swap_to_what_serves_does_nothing(site):
    """Orders may come twice."""
    before = site.worker._handler.snapshot
    await order(site, do="swap", generation=before.number)
    assert site.worker._handler.snapshot is before


async def test_a_swap_makes_room_for_its_hosts(site):
    """What clients say to each host is remembered, however many there are."""
    asking = site.worker._service.manners.asking
    before = asking.most
    site.configure("domains: {example.com: {subdomains: {a: main, b: main, c: main}}}")
    site.changes.reload()
    await site.follow()
    assert asking.most == before + 3 * FOR_A_HOST


async def test_loads_at_once_are_one_load(site, monkeypatch):
    """The order and the look at `current` do not load the same generation twice."""
    loads = []
    load = Loader.load

    async def count(self: Loader, number: int, old: Snapshot) -> Snapshot:
        loads.append(number)
        await asyncio.sleep(0)
        return await load(self, number, old)

    monkeypatch.setattr(Loader, "load", count)
    site.deploy({"index.html": "second"})
    number = site.worker._loader.current()
    await asyncio.gather(
        order(site, do="load", generation=number),
        order(site, do="load", generation=number),
        site.worker._follow_current(),
    )
    assert loads == [number]
    assert (await site.ask("/")).content == b"second"


async def test_what_was_loaded_on_another_base_is_loaded_again(site):
    """A snapshot made before another swap would bring retired branches back; it is not used."""
    site.deploy({"index.html": "second"})
    number = site.worker._loader.current()
    await order(site, do="load", generation=number)
    (site.folder / "edge.yml").write_text("default_domain: example.net")
    site.changes.reload()
    await site.follow()
    await order(site, do="swap", generation=number)
    branch = site.worker._handler.snapshot.apps["site"].branches["main"]
    assert not branch.retired
    for verdict in ("fwd=uri-miss; stored", "hit; ttl=600"):
        assert (await site.ask("/")).fields["cache-status"] == f"edge; {verdict}"


async def test_purge_forgets_every_stored_response(site):
    """The reply says how many there were; the next request is a miss."""
    await site.ask("/")
    await site.ask("/", host=HOST.upper())
    everything = {"everything": True, "soft": False, "labels": [], "files": []}
    assert await order(site, do="purge", **everything) == {"purged": 1}
    assert await order(site, do="purge", **everything) == {"purged": 0}
    assert (await site.ask("/")).fields["cache-status"] == "edge; fwd=uri-miss; stored"


async def test_a_generation_that_cannot_be_read_is_said_once(site, caplog):
    """The worker serves on, and its log is not filled by looking again every second."""
    site.deploy({"index.html": "second"})
    current = site.places.current.resolve()
    content = current.read_bytes()
    current.write_bytes(b"{")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            await site.follow_quietly()
    assert len([record for record in caplog.records if record.name == "edge.worker"]) == 1
    assert (await site.ask("/")).content == b"first"
    current.write_bytes(content)
    await site.follow()
    assert (await site.ask("/")).content == b"second"


async def test_one_connection_cannot_stop_the_clock(site, monkeypatch, caplog):
    """A connection whose sweep fails is logged; time goes on for all others."""
    worker = site.worker

    class Broken:
        """A connection with a defect."""

        service = worker._service

        def sweep(self, _: float) -> None:
            """Fail."""
            raise ZeroDivisionError

    worker._service.connections.add(Broken())
    monkeypatch.setattr("edge.node.worker.asyncio.sleep", swift(asyncio.sleep))
    worker._clock.epoch = 0
    ticking = asyncio.ensure_future(worker._tick())
    await until(lambda: worker._clock.epoch and "could not be swept" in caplog.text)
    assert not ticking.done()
    ticking.cancel()


async def test_the_clock_does_not_wait_for_a_look(site, monkeypatch):
    """Nor is one begun while another runs; the next one is, when it is over."""
    worker, looks, over = site.worker, [], asyncio.Event()

    async def look(_: object, clock: object) -> None:
        looks.append(clock)
        await over.wait()

    monkeypatch.setattr("edge.node.worker.sweep", look)
    monkeypatch.setattr("edge.node.worker.asyncio.sleep", swift(asyncio.sleep))
    ticking = asyncio.ensure_future(worker._tick())
    for epoch in range(3):
        worker._clock.epoch = epoch
        await until(lambda: worker._clock.epoch > 2)
    assert looks == [worker._clock]
    over.set()
    await until(lambda: len(looks) > 1)
    ticking.cancel()


async def until(condition):
    """Let others have their turns until something is so."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def swift(sleep):
    """A sleep that only lets others have their turn."""

    async def turn(_: float) -> None:
        await sleep(0)

    return turn


# A real node with two workers

FIRST = {"index.html": "first", "app-BxK3d9Qz.js": "chunk " * 5000, "404.html": "lost"}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Two workers and a control process, with an app deployed."""
    folder = tmp_path_factory.mktemp("node")
    with running(folder, workers=2) as node:
        node.deploy(write_tree(folder / "first", FIRST))
        yield node


def on_every_worker(node: Node, path: str = "/", **fields: str) -> dict[int, tuple]:
    """An answer of each worker, by its position: connections until both have answered."""
    found: dict[int, tuple] = {}

    def look() -> bool:
        before = counts(node)
        answer = node.get(path, **fields)
        for pid, count in counts(node).items():
            if count > before[pid]:
                found.setdefault(pid, answer)
        return len(found) == 2

    eventually(look)
    return found


def counts(node: Node) -> dict[int, int]:
    """Responses so far, by worker."""
    run = node.folder / "var" / "run"
    return {
        pid: sum(orders.ask(path, {"do": "status"})["responses"].values())
        for pid, path in orders.peers(run, "worker")
    }


def test_the_folder_of_orders_is_private(node):
    """Who may not read the state folder cannot give orders."""
    for folder in (node.folder / "var", node.folder / "var" / "run"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(node.pids("worker")) == 2


def test_both_workers_answer_alike(node):
    """Every field but age, verdict and identifier is the same from each, over real sockets."""
    own = ("Date", "Age", "Cache-Status", "X-Request-Id")
    answers = on_every_worker(node, "/", accept_encoding="br")
    heads = []
    for status, fields, content in answers.values():
        assert (status, content) == (200, b"first")
        heads.append({k: v for k, v in fields.items() if k not in own})
    assert heads[0] == heads[1]


def test_a_deploy_shows_on_both_workers_at_once(node):
    """When the command returns, no worker answers with what was before."""
    new = node.deploy(write_tree(node.folder / "second", {"index.html": "second"}))
    for status, fields, content in on_every_worker(node).values():
        assert (status, content) == (200, b"second")
        assert fields["X-Edge-Deployment"] == new["id"]
    for status, _, content in on_every_worker(node, "/app-BxK3d9Qz.js").values():
        assert (status, content) == (200, FIRST["app-BxK3d9Qz.js"].encode())
    node.edge("rollback", "--app", "site", "--branch", "main")
    for _, _, content in on_every_worker(node).values():
        assert content == b"first"


def test_purge_counts_the_responses_of_both_workers(node):
    """`edge purge` empties every worker and says how many responses went."""
    on_every_worker(node)
    on_every_worker(node)
    done = node.edge("purge", "--all", "--json")
    assert json.loads(done.stdout)["purged"] >= 2
    for _, fields, _ in on_every_worker(node).values():
        assert "hit" not in fields["Cache-Status"]


def test_parts_and_heads_are_framed_over_the_wire(node):
    """Ranges, multipart, HEAD and 304 leave the connection usable: lengths are right."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as client:
        file = client.makefile("rb")
        for method, fields, status in (
            ("GET", "", 200),
            ("HEAD", "", 200),
            ("GET", "Range: bytes=0-9\r\n", 206),
            ("GET", "Range: bytes=0-9,20-29\r\n", 206),
            ("GET", "Range: bytes=99999999-\r\n", 416),
            ("HEAD", "Range: bytes=99999999-\r\n", 200),
            ("GET", "If-None-Match: *\r\n", 304),
            ("GET", 'If-Match: "x"\r\n', 412),
            ("HEAD", 'If-Match: "x"\r\n', 412),
            ("OPTIONS", "", 204),
            ("GET", "Accept-Encoding: gzip\r\nRange: bytes=-5\r\n", 206),
            ("GET", "", 200),
        ):
            client.sendall(
                f"{method} /app-BxK3d9Qz.js HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n".encode()
            )
            assert int(file.readline().split()[1]) == status
            head = b"".join(iter(file.readline, b"\r\n"))
            length = re.search(rb"(?im)^content-length: (\d+)", head)
            if method == "GET" and status != 304:
                assert len(file.read(int(length[1]))) == int(length[1])
            elif method != "HEAD":
                assert length is None


def test_head_of_an_error_leaves_the_connection_usable(node):
    """HEAD on 400, 404 and of an unknown host sends no content that a next answer follows."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as client:
        file = client.makefile("rb")
        for path, host, status in (
            ("/%zz", HOST, 400),
            ("/nothing", HOST, 404),
            ("/nothing-BxK3d9Qz.js", HOST, 404),
            ("/", "nobody.example", 404),
            ("/", HOST, 200),
        ):
            client.sendall(f"HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            line = file.readline()
            assert line.startswith(b"HTTP/1.1 %d " % status), line
            assert list(iter(file.readline, b"\r\n"))


def test_workers_follow_current_without_control(tmp_path):
    """A generation that nobody ordered is seen by both workers, which look once a second."""
    with running(tmp_path, workers=2) as node:
        node.deploy(write_tree(tmp_path / "one", {"index.html": "one"}))
        places = Places(tmp_path / "var")
        number = int(places.current.readlink().name)
        previous = json.loads(places.generation(number).read_bytes())
        previous["number"] = number + 1
        places.generation(number + 1).write_text(json.dumps(previous))
        durable.point(places.current, f"generations/{number + 1}")
        eventually(
            lambda: all(
                orders.ask(path, {"do": "status"})["generation"] == number + 1
                for _, path in orders.peers(places.run, "worker")
            )
        )
        assert node.get("/")[2] == b"one"


def test_a_drained_worker_finishes_and_goes(tmp_path):
    """`drain` ends a worker cleanly while the other serves on; its socket is gone."""
    with running(tmp_path, workers=2) as node:
        node.deploy(write_tree(tmp_path / "one", {"index.html": "one"}))
        run = tmp_path / "var" / "run"
        (pid, path), _ = orders.peers(run, "worker")
        assert orders.ask(path, {"do": "drain"})["draining"] is True
        eventually(lambda: pid not in node.pids("worker"))
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: node.get("/")[2], range(40)))
        assert answers == [b"one"] * 40
        eventually(lambda: len(node.pids("worker")) == 2)
