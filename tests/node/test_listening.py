"""A worker's listeners: not accepted from while there are no descriptors, and nobody is lost."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios

import pytest

from edge.node.clock import Clock
from edge.node.listening import Listening
from edge.node.orders import Listeners
from edge.node.streams import take_over
from edge.node.tasks import spawn
from edge.node.transport import Service
from tests.support_wire import MIB, echo_target, get, response, until


class Descriptors:
    """Few or enough."""

    are_few = False


@pytest.fixture
async def place():
    """A listening socket, what accepts from it, and how many descriptors there seem to be."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0)
    service = Service(Clock(), echo_target, lambda _: response(b"", 500), take_over)
    listeners = Listeners()
    listeners.add("http 127.0.0.1:0", listener)
    made, left = Listening(listeners, service, None), Descriptors()
    made.are_short = lambda: left.are_few
    yield made, left, listener.getsockname(), service
    made.close()
    for connection in tuple(service.connections):
        connection.transport.abort()


async def ask(address) -> asyncio.Task[bytes]:
    """A request that is sent, and its answer to be waited for."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(get("/x", "Connection: close"))

    async def answer() -> bytes:
        try:
            return await reader.read()
        finally:
            writer.close()

    return spawn(answer(), "answer")


async def test_without_descriptors_connections_wait(place):
    """Those that come meanwhile are served as soon as there are some again."""
    listening, left, address, service = place
    await listening.open()
    assert (await (await ask(address))).endswith(b"/x")
    left.are_few = True
    await listening.follow()
    await listening.follow()
    assert service.counters.refused["descriptors"] == 1
    waiting = [await ask(address) for _ in range(5)]
    assert not (await asyncio.wait(waiting, timeout=0.05))[0]
    left.are_few = False
    await listening.follow()
    for each in waiting:
        assert (await each).endswith(b"/x")


async def test_what_was_never_opened_is_not(place):
    """A worker that still loads, or drains, takes nobody."""
    listening, _, _, _ = place
    await listening.follow()
    assert not listening._servers
    await listening.open()
    listening.close()
    await listening.follow()
    assert not listening._servers


async def test_descriptors_may_run_out_again_at_once(place):
    """Then the next second is as good."""
    listening, left, address, _ = place
    await listening.open()
    left.are_few = True
    await listening.follow()
    left.are_few = False
    open_again, listening.open = listening.open, refuse
    await listening.follow()
    assert not listening._servers
    listening.open = open_again
    await listening.follow()
    assert (await (await ask(address))).endswith(b"/x")


async def test_the_kernel_holds_little_of_a_slow_reader(place):
    """Of 20 MB that nobody takes: the rest waits where it is shared, and is counted."""
    listening, _, address, service = place
    service.respond = lambda _: response(bytes(20 * MIB))
    await listening.open()
    _, writer = await asyncio.open_connection(*address)
    writer.transport.pause_reading()
    writer.write(get("/"))
    await until(lambda: service.connections and next(iter(service.connections)).paused)
    transport = next(iter(service.connections)).transport
    descriptor = transport.get_extra_info("socket").fileno()
    held = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))[0]
    assert held < MIB
    assert transport.get_write_buffer_size() > 10 * MIB
    writer.transport.abort()


async def refuse() -> None:
    """What the kernel does."""
    raise OSError(24, "Too many open files")
