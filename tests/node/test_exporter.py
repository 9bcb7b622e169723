"""Spans on their way to a collector: batches, tries, and a queue that is bounded."""

from __future__ import annotations

import builtins
import sys
import threading

import pytest

from edge.node import exporter as module
from edge.node.exporter import QUEUE, Exporter, Refused
from edge.node.visits import Call, Visit
from edge.site.settings import Tracing
from tests.support_tracing import collecting
from tests.support_wire import until

SETTINGS = Tracing(endpoint="http://127.0.0.1:1")


def visits(count: int) -> list[Visit]:
    """Of one span each."""
    return [Visit(b"a" * 32, b"%016x" % number, method=b"GET") for number in range(1, count + 1)]


@pytest.fixture
def hasty(monkeypatch):
    """No pauses between tries."""
    monkeypatch.setattr(module, "WAITS", (0.001, 0.001))


class Gate:
    """Stands where a collector does: takes nothing before it is told to."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.batches: list[int] = []

    def take(self, _: Tracing, taken: list[Visit]) -> None:
        """One message."""
        assert self.open.wait(20)
        self.batches.append(len(taken))


@pytest.fixture
def gate(monkeypatch):
    """The collector of every exporter that a test makes."""
    found = Gate()
    monkeypatch.setattr("edge.node.collector.Collector", lambda _: found)
    yield found
    found.open.set()


async def test_spans_are_brought(tmp_path):
    """And what waits at the end is, too."""
    async with collecting() as collector:
        exporter = Exporter(tmp_path, Tracing(endpoint=f"http://127.0.0.1:{collector.port}"))
        exporter.put(visits(3))
        await collector.wait(3)
        exporter.put(visits(2))
        closing = threading.Thread(target=exporter.close)
        closing.start()
        await collector.wait(5)
        await until(lambda: not closing.is_alive())

        assert exporter.dropped == 0


async def test_it_is_tried_again(tmp_path, hasty):
    """Where the collector says that this may help."""
    async with collecting() as collector:
        collector.answers = [(503, {}), (429, {"Retry-After": "0"})]
        exporter = Exporter(tmp_path, Tracing(endpoint=f"http://127.0.0.1:{collector.port}"))
        exporter.put(visits(3))
        await collector.wait(3)
        await collector.wait_tries(3)

        assert exporter.dropped == 0
        exporter._queue.put("close")


async def test_what_is_not_taken_is_lost_and_counted(tmp_path, hasty, caplog):
    """At once, or after the last try; the next ones are sent, and one message says why."""
    async with collecting() as collector:
        collector.answers = [(400, {}), (503, {}), (503, {}), (503, {})]
        exporter = Exporter(tmp_path, Tracing(endpoint=f"http://127.0.0.1:{collector.port}"))
        exporter.put(visits(3))
        await collector.wait_tries(1)
        exporter.put(visits(4))
        await collector.wait_tries(4)
        exporter.put(visits(5))
        await collector.wait(5)

        assert exporter.dropped == 7
        exporter._queue.put("close")
    told = [each.getMessage() for each in caplog.records]
    assert told == [f"3 spans are lost: http://127.0.0.1:{collector.port} answered 400"]


async def test_another_collector_is_asked_from_now_on(tmp_path):
    """Settings count for what is sent next."""
    async with collecting() as collector:
        exporter = Exporter(tmp_path, SETTINGS)
        exporter.configure(Tracing(endpoint=f"http://127.0.0.1:{collector.port}"))
        exporter.put(visits(1))
        await collector.wait(1)
        exporter._queue.put("close")


def test_the_queue_is_bounded(tmp_path, gate):
    """What does not fit is counted, calls too; `put` never waits."""
    exporter = Exporter(tmp_path, SETTINGS)
    for _ in range(QUEUE // 64):
        exporter.put(visits(64))
    exporter.put([Visit(b"a" * 32, b"b" * 16, call=Call(b"c" * 16, 1.0))])
    exporter.put(visits(7))

    assert exporter.dropped == 9
    gate.open.set()
    exporter.close(20)
    assert sum(gate.batches) == QUEUE
    assert max(gate.batches) <= module.BATCH + 64


def test_a_fault_costs_its_spans_alone(tmp_path, gate, caplog):
    """Whatever it is."""
    gate.open.set()
    wrong = visits(1)

    def take(_settings: Tracing, taken: list[Visit]) -> None:
        if taken == wrong:
            raise ZeroDivisionError
        gate.batches.append(len(taken))

    gate.take = take
    exporter = Exporter(tmp_path, SETTINGS)
    exporter._queue.put(wrong)
    exporter._queue.put("close")
    exporter._thread.join(20)
    assert exporter.dropped == 1
    assert "spans could not be sent" in caplog.text


def test_the_end_waits_for_no_pause(tmp_path, monkeypatch):
    """A collector that is down costs one try then."""
    monkeypatch.setattr(module, "WAITS", (1000.0,))
    exporter = Exporter(tmp_path, SETTINGS)
    exporter.put(visits(1))
    exporter.close(20)

    assert not exporter._thread.is_alive()
    assert exporter.dropped == 1


def test_without_the_extra_it_is_said(tmp_path, monkeypatch, caplog):
    """Which one to install; spans are counted as lost."""
    real = builtins.__import__

    def lacking(name, *rest):
        if name == "edge.node.collector":
            raise ModuleNotFoundError("No module named 'opentelemetry'")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "edge.node.collector", raising=False)
    monkeypatch.setattr(builtins, "__import__", lacking)
    exporter = Exporter(tmp_path, SETTINGS)
    exporter.put(visits(2))
    exporter.close(20)

    assert exporter.dropped == 2
    assert "No module named 'opentelemetry'; pip install 'edge[otel]'" in caplog.text


def test_why_it_was_not_taken():
    """And whether it may be."""
    refused = Refused("no", again=True, wait=2.0)

    assert (str(refused), refused.again, refused.wait) == ("no", True, 2.0)
