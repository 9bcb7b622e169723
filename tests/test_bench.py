"""The benchmarks' own reasoning: what they set up, whom they ask, and what of it counts."""

from __future__ import annotations

import argparse
import asyncio
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.site.documents import decode_app
from edge.site.places import Places
from edge.site.plan import compile_plan
from edge.site.redirects import decode_redirects
from tests.support_bench import (
    allocations,
    curves,
    drawing,
    figures,
    holding,
    micro,
    names,
    node,
    pipeline,
    processes,
    proxy,
    rulesets,
    scale,
    tables,
    workers,
)
from tests.support_tls import receiving
from tests.support_wire import response, until


def test_the_mixed_rules_are_rules_of_every_kind():
    """They decode without a mistake, and none is about the files that are measured."""
    decoded, errors, warnings = decode_redirects(
        json.dumps(rulesets.mixed_rules(200)), "redirects.json"
    )
    plan = compile_plan(decoded)
    kinds = {type(rule.source.path).__name__ for rule in plan.rules}
    assert (errors, warnings) == ([], [])
    assert kinds == {"Exact", "Places", "Expression"}
    assert any(rule.source.parameters for rule in plan.rules)


def test_who_listens_is_found_by_the_socket() -> None:
    """A process is known to serve a port by the listening socket that it holds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        assert node.listens_on(os.getpid(), port)
    assert not node.listens_on(os.getpid(), port)


def test_memory_is_shared_out() -> None:
    """PSS counts a shared page in part, so it is never more than RSS; a dead process has none."""
    pss, rss = node.memory_of(os.getpid())

    assert 0 < pss <= rss
    assert node.memory_of(2**22 + 1) == (0, 0)


TAKING = """
import mmap, sys
for _ in sys.stdin:
    with mmap.mmap(-1, 64 << 20) as taken:  # `malloc` would take what is freed and kept
        for page in range(0, 64 << 20, 4096):
            taken[page] = 1
    print(flush=True)
"""
"""A process of its own: what another test's threads do is in nobody's peak."""


def test_the_kernel_keeps_the_peak_of_memory() -> None:
    """What was given back again is seen; what was before `forget_peak` is not."""
    command = [sys.executable, "-c", TAKING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        node.forget_peak(child.pid)
        before = node.peak_of(child.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        peak = node.peak_of(child.pid)
        node.forget_peak(child.pid)
        after = node.peak_of(child.pid)
        child.stdin.close()

    assert peak - before > 60 << 20
    assert after - before < 60 << 20


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    """Not more than the share of them is smaller."""
    assert figures.percentile(range(100, 0, -1), share) == value


async def test_the_origin_of_a_stampede_counts_whom_it_answers() -> None:
    """Without a node between, every client is one request."""
    origin = proxy.SlowOrigin(0.0)
    async with await asyncio.start_server(origin.converse, "127.0.0.1", 0) as side:
        answers = await proxy.stampede(side.sockets[0].getsockname()[1], "/cold-0", 20)

    assert origin.asked == {"/cold-0": 20}
    assert all(map(proxy.is_whole, answers))
    assert not proxy.is_whole(answers[0][:-1])


def test_a_long_answer_is_counted_to_its_end() -> None:
    """An answer of another size is an error, not a figure."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), proxy.Spring) as spring:
        threading.Thread(target=spring.serve_forever, daemon=True).start()
        proxy.drain(spring.server_port, "/private/3", 3 << 20)
        with pytest.raises(processes.NotStarted, match="3,145,728 of 4,194,304 bytes"):
            proxy.drain(spring.server_port, "/public/3", 4 << 20)
        spring.shutdown()


async def test_every_message_has_its_round_trip() -> None:
    """As many times as there were messages, over all connections."""
    chosen = argparse.Namespace(connections=3, messages=4, rate=1_000)
    async with proxy.echoing() as port:
        times = await proxy.round_trips(port, chosen)

    assert len(times) == 12
    assert min(times) > 0


def test_an_ended_connection_is_not_called_open() -> None:
    """Silence is open; an end by the other side is not."""
    near, far = socket.socketpair()

    assert holding.is_open(near)
    far.close()
    assert not holding.is_open(near)
    near.close()


def test_what_was_said_before_the_end_does_not_keep_a_connection_open() -> None:
    """Tickets and an alert that nobody has read are no sign of life."""
    near, far = socket.socketpair()
    far.sendall(b"ticket")

    assert holding.is_open(near)
    far.sendall(b"alert")
    far.close()
    assert not holding.is_open(near)
    near.close()


def answering(_: object) -> object:
    """One answer for all."""
    return response(b"held")


async def test_a_connection_over_tls_is_held_by_its_socket(tmp_path: Path) -> None:
    """The server keeps it open without the client's session, and its end is seen."""
    places = Places(tmp_path)
    root = names.write_certificates(places, [processes.HOST])
    context = ssl.create_default_context(cafile=str(root))
    async with receiving(SimpleNamespace(places=places), answering) as server:
        held = await asyncio.to_thread(holding.opened, server.address[1], context)
        assert holding.is_open(held)
        assert len(server.service.connections) == 1
        server.connection.transport.abort()
        await until(lambda: not holding.is_open(held))
        held.close()


async def test_certificates_are_written_as_a_worker_reads_them(tmp_path: Path) -> None:
    """Each name is shown its own, and none is loaded before it is asked for."""
    places = Places(tmp_path)
    hosts = ["a.edge.localhost", "b.edge.localhost", "c.edge.localhost"]
    context = ssl.create_default_context(cafile=str(names.write_certificates(places, hosts)))
    async with receiving(SimpleNamespace(places=places), answering) as server:
        loaded = [server.contexts.ready(server.contexts.find(host)) for host in hosts]
        took = await asyncio.to_thread(names.shake_hands, server.address[1], context, hosts[1])
        with pytest.raises(processes.NotStarted, match=r"no handshake for d\.edge\.localhost"):
            await asyncio.to_thread(
                names.shake_hands, server.address[1], context, "d.edge.localhost"
            )
        then = [server.contexts.ready(server.contexts.find(host)) for host in hosts]

    assert took > 0
    assert loaded == [None] * 3
    assert [context is not None for context in then] == [False, True, False]


@pytest.mark.parametrize(("value", "met"), [(8.0, True), (8.01, False)], ids=["at", "over"])
def test_a_limit_includes_itself(value: float, met: bool) -> None:  # noqa: FBT001 - a table's column
    """`≤ 8 KiB` is met by 8 KiB."""
    figure = tables.at_most("RSS of each", value, 8, "KiB")

    assert (figure.aim, figure.met) == ("≤ 8 KiB", met)


def test_pages_for_a_deploy_differ_and_have_their_size(tmp_path: Path) -> None:
    """10,000 pages are 10,000 blobs: no two are alike, and each fills its size."""
    scale.write_pages(tmp_path, 120, 10_240)

    pages = [path.read_bytes() for path in tmp_path.rglob("page-*.html")]

    assert len(set(pages)) == len(pages) == 119
    assert {len(page) for page in pages} == {10_240}


def test_two_workers_are_judged_by_the_busiest_core() -> None:
    """By the clock they had little: what counts is what each gave, and who gave most."""
    one = workers.Share(80_000, 80_000.0, (1.0,))
    even = workers.Share(72_000, 72_000.0, (0.45, 0.45))
    uneven = workers.Share(72_000, 72_000.0, (0.6, 0.3))

    lines = [list(workers.figures_of([(one, many)] * 3, 2, workers.AIM)) for many in (even, uneven)]

    assert [(each[-1].value, each[-1].met) for each in lines] == [("2.00", True), ("1.50", False)]
    assert [each[-2].value for each in lines] == ["100%", "75%"]


@pytest.mark.parametrize(
    ("most", "least", "counts"),
    [
        (1, 1, [1]),
        (1_000, 1, [1, 10, 100, 1_000]),
        (10_000, 64, [64, 640, 6_400, 10_000]),
        (30, 64, [64]),
    ],
)
def test_a_curve_has_a_point_a_power_of_ten(most: int, least: int, counts: list[int]) -> None:
    """And one at its end, each once."""
    assert curves.steps(most, least) == counts


def test_a_curve_is_drawn_to_scale() -> None:
    """Twice the cost stands twice as high, each power of ten is as wide; it is well-formed."""
    text = drawing.svg("A & B", "hosts", "µs", [(1, 5.0), (10, 10.0), (100, 10.0)])

    root = ET.fromstring(text)
    spots = [
        (float(each.attrib["cx"]), float(each.attrib["cy"]))
        for each in root.iter("{http://www.w3.org/2000/svg}circle")
    ]
    floor = drawing.HEIGHT - drawing.BOTTOM
    (x1, y1), (x2, y2), (x3, y3) = spots
    assert floor - y2 == pytest.approx(2 * (floor - y1), abs=0.2)
    assert y2 == y3
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)


@pytest.mark.parametrize(("count", "sizes"), [(20, [20]), (25_000, [10_000, 10_000, 5_000])])
def test_hosts_of_a_curve_are_apps(tmp_path: Path, count: int, sizes: list[int]) -> None:
    """What is written is read without a complaint, and has as many domains."""
    apps = [
        decode_app((tmp_path / name / "app.yml").read_text(), "app.yml")
        for name in curves.write_hosts(tmp_path, count)
    ]

    assert [errors for _, errors in apps] == [[]] * len(sizes)
    assert [len(app.domains) for app, _ in apps] == sizes


RECORD = """\
= Start
@ /lib/libpython3.11.so.1.0:(_PyObject_New+12)[0x1aa142] + 0x563048e158e0 0x30
@ /lib/libpython3.11.so.1.0:[0x194efd] - 0x563048e158e0
@ /lib/libpython3.11.so.1.0:(PyList_Append+4c)[0x1bf0cc] < 0x563048df4ec0
@ /lib/libpython3.11.so.1.0:(PyList_Append+4c)[0x1bf0cc] > 0x563048df4ec0 0x400
= End
"""


def test_what_is_taken_is_added_up() -> None:
    """A block for each malloc and realloc, with its bytes; what is given back does not count."""
    assert allocations.added_up(RECORD.splitlines()) == (2, 0x430)


@pytest.mark.skipif(
    not Path("/lib/x86_64-linux-gnu", allocations.LIBRARY).exists(), reason="glibc writes no record"
)
def test_a_price_has_its_allocations() -> None:
    """Counted in another process: of a Date line the same number of blocks each time."""
    taken = allocations.in_a_child(micro.__file__, ["fields: Date line"])

    assert taken.keys() == {"fields: Date line"}
    blocks, size = taken["fields: Date line"]
    assert 1 < blocks < 100
    assert size > blocks * 16


def answered_by(worker: object) -> int:
    """Answers that its counters have."""
    return sum(sum(each["classes"]) for each in worker.numbers()["branches"])


@pytest.mark.parametrize(
    ("path", "options"),
    [("/docs/a", {"people": 2}), ("/docs/a", {"status": 304}), ("/nothing", {"status": 404})],
    ids=["hits", "304", "404"],
)
def test_a_whole_request_is_answered_each_time(path: str, options: dict[str, int]) -> None:
    """What is priced is what a worker does: each call is an answer, counted and logged."""
    ask = pipeline.Conversation(path, **options)
    ask.worker.settle()
    before = answered_by(ask.worker)

    for _ in range(100):
        ask()

    ask.worker.settle()
    assert answered_by(ask.worker) - before == 100


def test_another_answer_has_no_price() -> None:
    """A site that lost its page would look quick."""
    with pytest.raises(RuntimeError, match=r"/nothing is answered with b'HTTP/1\.1 404"):
        pipeline.Conversation("/nothing")


def test_a_price_that_is_not_there_names_what_is_missing() -> None:
    """A module yet to be written, or a function that was renamed, costs only its own line."""
    absent = micro.Price("later", "edge.no_such_room", lambda module: module)
    renamed = micro.Price("renamed", "edge.errors", lambda module: module.no_such_function)

    assert "not there yet: No module named 'edge.no_such_room'" in micro.line_of(absent, 0.0, 0.001)
    assert "has changed: AttributeError" in micro.line_of(renamed, 0.0, 0.001)


def test_a_price_has_figures() -> None:
    """A line of the list ends in the lowest, the median, and the calls a second."""
    price = micro.Price("date", "edge.http.fields", lambda m: lambda: m.format_http_date(0))

    lowest, middle, calls = map(float, micro.line_of(price, 0.0, 0.001).split()[1:])

    assert 0 < lowest <= middle
    assert calls == pytest.approx(1 / middle, rel=0.05, abs=0.01)
