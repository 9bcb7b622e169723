"""Who is let in: by memory, by client. A worker in this process, with a machine that can be set."""

from __future__ import annotations

import logging

import pytest

from edge.node.doors import LEAST_ROOM, Doors
from edge.node.memory import UNBOUNDED
from edge.site.certificates import Challenges, HttpAnswer
from tests.support_serving import Site, request

MIB = 1 << 20


class Machine:
    """Memory as it is said to be."""

    def __init__(self) -> None:
        self.used = 100 * MIB
        self.free = 1024 * MIB

    def resident(self) -> int:
        """Of this process."""
        return self.used

    def total(self) -> int:
        """All of it."""
        return 1024 * MIB

    def available(self) -> int:
        """What is left."""
        return self.free


class Pile:
    """A store of things of a MiB."""

    def __init__(self, room, things) -> None:
        room.tenants.append(self)
        self.size = things * MIB

    def evict(self) -> bool:
        """Let one go."""
        self.size -= MIB
        return True


class Place:
    """A worker and its doors."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.machine = Machine()
        worker = site.worker
        self.service, self.room = worker._service, worker._room
        self.doors = Doors(worker._service, worker._handler, worker._room, self.machine)
        self.settings = worker._handler.snapshot.settings
        self.doors.configure(self.settings, workers=1)

    def ask(self, **options) -> int:
        """The status of an answer that is made at once."""
        return self.answer(**options).head.status

    def answer(self, **options):
        """An answer that is made at once."""
        return self.service.respond(request("/", **options))

    def refused(self, reason: str) -> int:
        """How often for this reason."""
        return self.service.counters.refused[reason]


@pytest.fixture
async def place(tmp_path, request):
    """A site with what a test writes into `edge.yml`."""
    site = Site(tmp_path, edge_yml=getattr(request, "param", ""))
    site.deploy({"index.html": "hello"})
    await site.start()
    await site.ask("/")
    return Place(site)


def test_a_limit_that_is_off_is_not_there(place):
    """The handler itself is what connections call."""
    place.doors.tick()
    assert place.service.respond == place.site.worker._handler.respond
    assert place.service.seats is None


# Memory


def test_too_much_memory_sheds_new_work(place, caplog):
    """503 with Retry-After, said once, until it is below the mark again by some."""
    place.machine.used = 900 * MIB
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            place.doors.tick()
    answer = place.answer()
    assert (answer.head.status, answer.closes) == (503, True)
    assert b"Retry-After: 5\r\n" in answer.head.lines + answer.block
    assert place.service.bars("192.0.2.1") == "memory"
    assert place.refused("memory") == 1
    assert [record.getMessage()[:45] for record in caplog.records] == [
        "memory: 900 MiB of 768 MiB are used, 1024 MiB"
    ]
    place.machine.used = 760 * MIB
    place.doors.tick()
    assert place.ask() == 503
    place.machine.used = 700 * MIB
    place.doors.tick()
    assert place.ask() == 200
    assert place.service.bars("192.0.2.1") == ""


def test_what_is_stored_gives_way_first(place):
    """Half of it a second; requests are answered meanwhile. It comes back by and by."""
    pile = Pile(place.room, 100)
    place.machine.used = 800 * MIB
    place.doors.tick()
    assert pile.size <= 51 * MIB
    assert place.ask() == 200
    for _ in range(10):
        place.doors.tick()
    assert pile.size == 0
    assert place.ask() == 503
    place.machine.used = 100 * MIB
    place.doors.tick()
    assert place.room.capacity == LEAST_ROOM
    for _ in range(10):
        place.doors.tick()
    assert place.room.capacity == place.settings.cache.memory


def test_a_new_generation_does_not_fill_the_room_again(place):
    """A deploy in the middle of it."""
    Pile(place.room, 100)
    place.machine.used = 800 * MIB
    place.doors.tick()
    shrunk = place.room.capacity
    place.doors.configure(place.settings, workers=1)
    assert place.room.capacity == shrunk < place.settings.cache.memory


def test_far_too_much_sheds_at_once(place):
    """What is stored goes too, but there is no time to wait for that."""
    Pile(place.room, 100)
    place.machine.used = 900 * MIB
    place.doors.tick()
    assert place.ask() == 503


def test_a_machine_without_memory_sheds_too(place):
    """Before the kernel ends somebody; a worker that takes little goes on."""
    place.machine.free = 20 * MIB
    place.doors.tick()
    assert place.ask() == 200
    place.machine.used = 300 * MIB
    place.doors.tick()
    assert place.ask() == 503


@pytest.mark.parametrize("place", ["limits: {memory: 0}\n"], indirect=True)
def test_no_limit_is_none(place):
    """Whatever is used."""
    place.machine.used = UNBOUNDED
    place.doors.tick()
    assert place.ask() == 200


@pytest.mark.parametrize("place", ["limits: {memory: 400MiB}\n"], indirect=True)
def test_the_limit_is_of_all_workers(place):
    """Each has its share; a new setting lets everyone in again."""
    place.doors.configure(place.settings, workers=2)
    place.machine.used = 201 * MIB
    place.doors.tick()
    place.doors.tick()
    assert place.ask() == 503
    place.doors.configure(place.settings, workers=1)
    place.doors.tick()
    assert place.ask() == 200


# Clients


@pytest.mark.parametrize(
    "place",
    ["limits: {client_requests: 2}\nclients: {trusted_proxies: [10.0.0.0/8]}\n"],
    indirect=True,
)
def test_a_client_that_asks_too_much_is_429(place):
    """By address, behind trusted proxies too; a proxy that asks for itself may."""
    assert [place.ask(peer="192.0.2.7") for _ in range(21)] == [200] * 20 + [429]
    answer = place.answer(peer="192.0.2.7")
    assert b"Retry-After: 1\r\n" in answer.head.lines + answer.block
    assert place.ask(peer="192.0.2.8") == 200
    assert place.ask(peer="10.0.0.1", x_forwarded_for="192.0.2.7") == 429
    assert place.ask(peer="10.0.0.1", x_forwarded_for="192.0.2.9") == 200
    assert {place.ask(peer="10.0.0.1") for _ in range(50)} == {200}
    assert {place.ask(peer=f"2001:db8::{n}") for n in range(20)} == {200}
    assert place.ask(peer="2001:db8::ffff") == 429
    place.doors.configure(place.settings, workers=1)
    assert place.ask(peer="192.0.2.7") == 429, "a deploy makes nobody new"


@pytest.mark.parametrize("place", ["limits: {client_requests: 2}\n"], indirect=True)
def test_an_authority_is_answered_whoever_asks_too_much(place):
    """All clients may have one address, and a certificate does not wait for them to be quiet."""
    contexts = place.site.worker._contexts
    answer = HttpAnswer(host="a.test", content="token.key")
    contexts.challenges = Challenges(http={"token": answer})
    assert [place.ask(peer="192.0.2.7") for _ in range(21)][-1] == 429
    path = "/.well-known/acme-challenge/"

    def ask(token: str, host: str = "a.test") -> tuple[int, bytes]:
        found = place.service.respond(request(path + token, host=host, peer="192.0.2.7"))
        return found.head.status, found.content

    assert {ask("token") for _ in range(50)} == {(200, b"token.key")}
    assert ask("other")[0] == 429, "of nobody's making"


@pytest.mark.parametrize("place", ["limits: {client_connections: 3}\n"], indirect=True)
def test_connections_of_a_client_are_bounded(place):
    """The number may change; who is here is remembered."""
    seats = place.service.seats
    for _ in range(3):
        seats.take(object(), "192.0.2.7")
    assert place.service.bars("192.0.2.7") == "client_connections"
    assert place.service.bars("192.0.2.8") == ""
    place.doors.configure(place.settings, workers=1)
    assert place.service.seats is seats


def test_too_few_descriptors_are_told_of_once(place, caplog):
    """And bound the connections."""
    place.service.most_connections = 768
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            place.service.configure(place.settings.limits)
            place.doors.configure(place.settings, workers=1)
    assert place.service.max_connections == 768
    assert len([r for r in caplog.records if "descriptors" in r.getMessage()]) == 1
