"""Orders between processes: one JSON line each way over a Unix socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket

import pytest

from edge.errors import StoreError
from edge.node import orders
from edge.node.orders import Listeners


async def answer(order):
    """A process that knows a few orders."""
    match order["do"]:
        case "echo":
            return order
        case "refuse":
            raise StoreError("generation 7 is torn")
        case "break":
            raise ZeroDivisionError
    return {"error": f"unknown order {order['do']!r}"}


@pytest.fixture
async def path(tmp_path):
    """Where a process with two listeners takes orders."""
    listeners = Listeners()
    for name in ("http a", "http b"):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listeners.add(name, listener)
    path = orders.socket_path(tmp_path, "worker")
    server = await orders.listen(path, answer, listeners)
    yield path
    server.close()
    await server.wait_closed()
    listeners.close()


async def ask(path, order):
    """One order, given from a thread as control does."""
    return await asyncio.to_thread(orders.ask, path, order)


async def test_an_order_gets_its_reply(path):
    """What was answered comes back, however long it is."""
    order = {"do": "echo", "text": "ü" * 100_000}
    assert await ask(path, order) == order


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ({"do": "refuse"}, "generation 7 is torn"),
        ({"do": "break"}, "ZeroDivisionError()"),
        ({"do": "fly"}, "unknown order 'fly'"),
        ({}, "'do'"),
        ([], "list indices must be integers or slices, not str"),
    ],
)
async def test_whoever_orders_hears_why_not(path, order, error):
    """A refusal, a mistake and an unknown order are answered, never hung up on."""
    assert await ask(path, order) == {"error": error}
    assert await ask(path, {"do": "echo"}) == {"do": "echo"}


@pytest.mark.parametrize("line", [b"\n", b"{\n", b"\xff\n", b"x" * (orders.MAX_LINE + 10) + b"\n"])
async def test_what_is_no_order_is_answered_too(path, line):
    """Garbage gets an error and ends; the next order is heard."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    assert "error" in json.loads(await reader.readline())
    writer.close()
    assert await ask(path, {"do": "echo"}) == {"do": "echo"}


async def test_listeners_are_handed_over(path):
    """The sockets arrive under their names, and accept in the process that took them."""
    taken = await asyncio.to_thread(orders.take_listeners, path)
    assert taken.names() == {"http a", "http b"}
    for _, listener in taken.entries:
        with socket.create_connection(listener.getsockname()):
            listener.settimeout(5)
            listener.accept()[0].close()
    taken.close()


async def test_a_process_that_listens_no_more_hands_over_none(tmp_path):
    """It drains, and its sockets are closed."""
    listeners = Listeners()
    listeners.add("http a", socket.socket())
    path = orders.socket_path(tmp_path, "worker")
    server = await orders.listen(path, answer, listeners)
    listeners.close()
    taken = await asyncio.to_thread(orders.take_listeners, path)
    assert taken.entries == []
    server.close()
    await server.wait_closed()


async def test_who_cannot_hand_over_is_as_good_as_silent(path, monkeypatch):
    """Whoever asks goes on without its sockets."""
    monkeypatch.setattr(orders, "_send_listeners", lambda *_: 1 / 0)
    with pytest.raises(OSError, match="gives no sockets: division by zero"):
        await asyncio.to_thread(orders.take_listeners, path)


async def test_a_process_without_listeners_hands_over_none(tmp_path):
    """An empty handover is not an error."""
    path = tmp_path / "control-1.sock"
    server = await orders.listen(path, answer, Listeners())
    taken = await asyncio.to_thread(orders.take_listeners, path)
    assert taken.entries == []
    server.close()
    await server.wait_closed()


async def test_a_left_over_socket_is_replaced(tmp_path):
    """The socket of a process that died under the same number is no obstacle."""
    path = tmp_path / "worker-1.sock"
    path.write_text("")
    server = await orders.listen(path, answer, Listeners())
    assert await ask(path, {"do": "echo"}) == {"do": "echo"}
    server.close()
    await server.wait_closed()


def test_nobody_there_is_an_error(tmp_path):
    """Asking a socket that is gone, or that nobody serves, raises OSError."""
    with pytest.raises(OSError, match="No such file"):
        orders.ask(tmp_path / "worker-1.sock", {"do": "status"})
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "worker-2.sock"))
    with pytest.raises(ConnectionRefusedError):
        orders.ask(tmp_path / "worker-2.sock", {"do": "status"})


def test_silence_ends_with_the_deadline(tmp_path):
    """A process that accepts and says nothing costs its asker no more than the deadline."""
    path = tmp_path / "worker-1.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(TimeoutError):
            orders.ask(path, {"do": "status"}, timeout_s=0.05)


def test_a_socket_that_cannot_be_removed_is_nobody(tmp_path):
    """A disk that has become read-only stops no order to the living."""
    (tmp_path / "worker-7.sock").mkdir()  # not even root removes that as a file

    assert orders.peers(tmp_path, "worker") == []


def test_peers_are_those_who_listen(tmp_path):
    """Sockets nobody listens on are cleared away, even if their number is a living stranger's."""
    mine = orders.socket_path(tmp_path, "worker")
    stranger = tmp_path / f"worker-{os.getppid()}.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(stranger))
    (tmp_path / "control-1.sock").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(mine))
        listening.listen()

        assert orders.peers(tmp_path, "worker") == [(os.getpid(), mine)]

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, "control-1.sock"])
