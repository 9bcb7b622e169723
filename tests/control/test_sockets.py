"""The sockets that a node listens on."""

from __future__ import annotations

import socket

import msgspec
import pytest

from edge.control.sockets import Sockets, bind, bound_to, place_of
from edge.errors import EdgeError
from edge.site.settings import Listen
from tests.support import free_port


@pytest.fixture
def listen():
    """A free port for each."""
    return Listen(http=(f"127.0.0.1:{free_port()}",), admin=f"127.0.0.1:{free_port()}")


@pytest.fixture
def make():
    """Sockets of a node, closed afterwards."""
    made = []

    def make(listen, workers=2):
        made.append(Sockets(listen, workers))
        return made[-1]

    yield make
    for each in made:
        each.close_all_but(None)


def passed_on(sockets):
    """All of them, as another parent gets them."""
    return [(slot, name, each.dup()) for slot, name, each in sockets.entries()]


def test_every_worker_gets_its_own_socket(listen, make):
    """SO_REUSEPORT: one queue a worker; the admin listener is one."""
    sockets = make(listen)
    sockets.bind()

    own = [entry[1] for slot in sockets.slots for entry in slot.entries]
    assert len({listener.fileno() for listener in own}) == 2
    assert {listener.getsockname() for listener in own} == {own[0].getsockname()}
    assert len(sockets.admin.entries) == 1


def test_a_taken_address_is_refused_although_it_could_be_shared(listen, make):
    """Two nodes on one port would answer by turns."""
    with bind(listen.http[0]), pytest.raises(EdgeError, match=r"cannot listen on .*ss -ltnp"):
        make(listen).bind()


def test_a_child_keeps_only_its_own_sockets(listen, make):
    """A queue that nobody serves must not be kept open."""
    sockets = make(listen)
    sockets.bind()

    sockets.close_all_but(sockets.slots[1])

    assert [entry[1].fileno() for entry in sockets.slots[0].entries] == [-1]
    assert [entry[1].fileno() for entry in sockets.admin.entries] == [-1]
    assert all(entry[1].fileno() > 0 for entry in sockets.slots[1].entries)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_addresses_of_both_families_are_bound(address):
    """IPv4 and IPv6, listening at once."""
    with bind(address) as listener:
        connected = socket.create_connection(listener.getsockname()[:2])
        connected.close()


def test_a_unix_socket_belongs_to_its_owner_alone(tmp_path):
    """0600, and a leftover of a dead node is replaced."""
    path = tmp_path / "admin.sock"
    path.touch()

    with bind(f"unix:{path}", shared=False):
        assert path.stat().st_mode & 0o777 == 0o600


def test_what_another_parent_had_is_taken(listen, make):
    """Each socket by its slot; those of more workers than there are now are shared out."""
    before, after = make(listen, 3), make(listen, 2)
    before.bind()

    after.adopt(passed_on(before))
    after.bind()

    assert [len(slot.entries) for slot in after.slots] == [2, 1]
    assert len(after.admin.entries) == 1


def test_what_is_not_listened_on_any_more_is_closed(listen, make):
    """An address that the new settings lack, of the admin too."""
    before = make(listen, 1)
    before.bind()
    taken = passed_on(before)
    new = Listen(http=(f"127.0.0.1:{free_port()}",), admin=f"127.0.0.1:{free_port()}")
    after = make(new, 1)

    after.adopt(taken)

    assert [*after.entries()] == []
    assert {each.fileno() for _, _, each in taken} == {-1}


def test_an_address_may_speak_another_protocol(listen, make):
    """What was http is https after an upgrade."""
    before = make(listen, 1)
    before.bind()
    after = make(Listen(http=(), https=listen.http, admin=listen.admin), 1)

    after.adopt(passed_on(before))

    assert after.slots[0].names() == {f"https {listen.http[0]}"}


def test_bound_quietly_nothing_comes_to_who_may_never_serve(listen, make):
    """One worker more beside a node that serves: its socket takes connections once it listens."""
    before, after = make(listen, 1), make(listen, 2)
    before.bind()
    after.adopt(passed_on(before))

    after.bind(quietly=True)

    address = ("127.0.0.1", int(listen.http[0].rpartition(":")[2]))
    clients = [socket.create_connection(address) for _ in range(20)]
    for each in clients:  # all of them are in the queue of the node that serves
        before.slots[0].entries[0][1].accept()[0].close()
        each.close()


def given(host="127.0.0.1", family=socket.AF_INET):
    """A socket as systemd makes it: bound and listening, not shared."""
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((host, 0))
    listener.listen()
    return listener


def test_a_given_socket_is_shared_by_all_workers(make, caplog):
    """No other can be bound beside it; one that nobody listens on is told and closed."""
    http, admin, stray = given(), given(), given()
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (http, admin)]
    sockets = make(Listen(http=(addresses[0],), admin=addresses[1]), 3)

    sockets.take_given([("http", http), ("admin", admin), ("stray", stray)])
    sockets.bind()

    own = [entry[1] for slot in sockets.slots for entry in slot.entries]
    assert len(own) == 3
    assert {listener.getsockname() for listener in own} == {own[0].getsockname()}
    assert sockets.admin.names() == {f"admin {addresses[1]}"}
    assert "the socket stray" in caplog.text
    assert stray.fileno() == -1


def test_more_workers_share_a_socket_that_was_given(make):
    """After an upgrade too."""
    http = given()
    address = f"127.0.0.1:{http.getsockname()[1]}"
    listen = Listen(http=(address,), admin=f"127.0.0.1:{free_port()}")
    before, after = make(listen, 1), make(listen, 2)
    before.take_given([("http", http)])

    after.adopt(passed_on(before))
    after.bind(quietly=True)

    assert [len(slot.entries) for slot in after.slots] == [1, 1]


def test_one_socket_for_both_families(make):
    """`ListenStream=80` is `[::]:80` with IPv4, and `0.0.0.0:80` of edge.yml is meant."""
    both = given("::", socket.AF_INET6)
    port = both.getsockname()[1]
    sockets = make(Listen(http=(f"0.0.0.0:{port}",), admin=f"127.0.0.1:{free_port()}"), 1)

    sockets.take_given([("http", both)])

    assert sockets.slots[0].names() == {f"http 0.0.0.0:{port}"}


def test_places_have_one_spelling(tmp_path):
    """However an operator, or the kernel, writes them."""
    assert place_of("[0:0::1]:80") == ("::1", 80)
    assert place_of("localhost:80") == ("127.0.0.1", 80)
    assert place_of(f"unix:{tmp_path}/a") == (f"{tmp_path}/a", 0)
    with bind(f"unix:{tmp_path}/a", shared=False) as listener:
        assert bound_to(listener) == [(f"{tmp_path}/a", 0)]


def test_an_address_of_another_machine_is_told(make, listen):
    """Nobody has it here, so nobody is to be looked for."""
    other = msgspec.structs.replace(listen, http=("192.0.2.1:8080",))
    with pytest.raises(EdgeError, match=r"cannot listen on .*this machine has no such address"):
        make(other).bind()
