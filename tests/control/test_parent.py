"""The parent's own pieces; its life with real processes is in scenarios/test_survival.py."""

from __future__ import annotations

import os
import socket

import msgspec
import pytest

from edge.control.parent import Child, Parent, bind, wait_for_end, worker_count
from edge.errors import EdgeError
from edge.site.places import Places
from edge.site.settings import Listen, Settings
from tests.support import free_port


@pytest.fixture
def settings():
    """Two workers on a free port."""
    listen = Listen(http=(f"127.0.0.1:{free_port()}",), admin=f"127.0.0.1:{free_port()}")
    return Settings(workers=2, listen=listen)


def test_every_worker_gets_its_own_socket(settings, tmp_path):
    """SO_REUSEPORT: one queue a worker; the admin listener is one."""
    parent = Parent(Places(tmp_path), settings, None)
    parent._bind()

    sockets = [entry[1] for slot in parent._slots for entry in slot.entries]
    try:
        assert len({listener.fileno() for listener in sockets}) == 2
        assert {listener.getsockname() for listener in sockets} == {sockets[0].getsockname()}
        assert len(parent._admin.entries) == 1
    finally:
        parent._close_all_but(type(parent._admin)())


def test_a_taken_address_is_refused_although_it_could_be_shared(settings, tmp_path):
    """Two nodes on one port would answer by turns."""
    other = bind(settings.listen.http[0], shared=True)

    with other, pytest.raises(EdgeError, match=r"cannot listen on .*ss -ltnp"):
        Parent(Places(tmp_path), settings, None)._bind()


def test_a_child_keeps_only_its_own_sockets(settings, tmp_path):
    """A queue that nobody serves must not be kept open."""
    parent = Parent(Places(tmp_path), settings, None)
    parent._bind()

    parent._close_all_but(parent._slots[1])

    assert [entry[1].fileno() for entry in parent._slots[0].entries] == [-1]
    assert [entry[1].fileno() for entry in parent._admin.entries] == [-1]
    assert all(entry[1].fileno() > 0 for entry in parent._slots[1].entries)
    parent._slots[1].close()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_addresses_of_both_families_are_bound(address):
    """IPv4 and IPv6, listening at once."""
    with bind(address, shared=True) as listener:
        connected = socket.create_connection(listener.getsockname()[:2])
        connected.close()


def test_a_unix_socket_belongs_to_its_owner_alone(tmp_path):
    """0600, and a leftover of a dead node is replaced."""
    path = tmp_path / "admin.sock"
    path.touch()

    with bind(f"unix:{path}", shared=False):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_child_that_keeps_dying_is_restarted_with_growing_pauses(settings, tmp_path):
    """0.1 s, 0.2 s, … up to 30 s; one that lived is replaced at once."""
    parent = Parent(Places(tmp_path), settings, None)
    child = Child("worker", lambda: None)
    pauses = []
    for _ in range(12):
        child.started = child.due = 0.0
        child.started = 10**9  # it died right after its start, whatever the clock says
        parent._ended(child, 9)
        pauses.append(child.backoff)

    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[-1] == 30.0
    child.started = -(10**9)
    parent._ended(child, 9)
    assert child.backoff == 0.0
    assert parent.restarts == 13


def test_workers_are_counted_by_the_cores_this_process_may_use(settings):
    """`auto` respects taskset and containers."""
    auto = msgspec.structs.replace(settings, workers="auto")

    assert worker_count(auto) == len(os.sched_getaffinity(0))
    assert worker_count(settings) == 2


def test_waiting_for_a_process_that_is_gone_ends_at_once():
    """Nothing is killed that is not there."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

    wait_for_end(pid)
