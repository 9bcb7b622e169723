"""Who has a port, found in /proc: of real sockets, and of tables as other machines print them."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from edge.control import durable, handover
from edge.control.occupants import (
    Occupant,
    collide,
    decode,
    holders,
    listening,
    lock_holder,
    name_of,
    occupants,
)

ROWS = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1
   2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4713 1
"""


def listener(address: str = "127.0.0.1", family: int = socket.AF_INET) -> socket.socket:
    """A real listening socket."""
    found = socket.socket(family, socket.SOCK_STREAM)
    found.bind((address, 0))
    found.listen()
    return found


def test_whoever_listens_is_found():
    """It is this very process, by its number and name."""
    with listener() as ours:
        found = occupants("127.0.0.1", ours.getsockname()[1])

    assert [each.pid for each in found] == [os.getpid()]
    assert str(found[0]) == f"{found[0].name} (pid {os.getpid()})"


def test_a_listener_on_all_addresses_is_in_the_way_of_one():
    """And the other way round."""
    with listener("0.0.0.0") as ours:
        port = ours.getsockname()[1]

        assert occupants("127.0.0.1", port)
    with listener() as ours:
        assert occupants("0.0.0.0", ours.getsockname()[1])


def test_ipv6():
    """The other table."""
    with listener("::1", socket.AF_INET6) as ours:
        port = ours.getsockname()[1]

        assert occupants("::1", port)
        assert occupants("127.0.0.1", port) == []


def test_a_port_that_nobody_has():
    """Nobody."""
    with listener() as ours:
        port = ours.getsockname()[1]

    assert occupants("127.0.0.1", port) == []


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is of such a machine")
def test_a_table_is_read(tmp_path):
    """Listening sockets alone, not connections."""
    (tmp_path / "tcp").write_text(ROWS)

    assert list(listening(tmp_path / "tcp")) == [
        ("127.0.0.1", 8080, "4711"),
        ("0.0.0.0", 80, "4712"),
    ]
    assert list(listening(tmp_path / "tcp6")) == []
    assert decode("00000000000000000000000001000000") == "::1"


@pytest.mark.parametrize(
    ("one", "other", "do"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "::", True),
        ("::1", "::", True),
        ("::1", "0.0.0.0", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_addresses_that_exclude_each_other(one, other, do):
    """One listener a port, on one address or on all of them."""
    assert collide(one, other) is do
    assert collide(other, one) is do


def test_processes_that_are_gone_or_strangers(tmp_path):
    """Neither stops the search."""
    (tmp_path / "17").mkdir()
    (tmp_path / "18" / "fd").mkdir(parents=True)
    (tmp_path / "18" / "fd" / "0").symlink_to("socket:[5]")
    (tmp_path / "18" / "fd" / "1").touch()
    (tmp_path / "self").mkdir()

    assert list(holders(["5"], tmp_path)) == [Occupant(18, "a process")]
    assert name_of(tmp_path / "17") == "a process"


def test_who_holds_a_lock(tmp_path):
    """Without trying to take it; nobody, where nobody does, or where there is no file."""
    file = tmp_path / "lock"
    assert lock_holder(file) is None
    held = durable.try_lock(file)
    assert held is not None
    assert lock_holder(file) is None
    handover.sign(held)

    assert lock_holder(file) == os.getpid()

    os.close(held)
    assert lock_holder(file) is None


def test_a_lock_of_a_stranger(tmp_path):
    """Whoever got the number of a process that is gone has nothing of it open."""
    file = tmp_path / "lock"
    file.write_text(f"{os.getppid()}\n")
    (tmp_path / "77" / "fd").mkdir(parents=True)
    (tmp_path / "77" / "fd" / "3").symlink_to(tmp_path / "gone")

    assert lock_holder(file) is None
    file.write_text("77\n")
    assert lock_holder(file, tmp_path) is None
    (tmp_path / "77" / "fd" / "4").symlink_to(file)
    assert lock_holder(file, tmp_path) == 77
    file.write_text("none")
    assert lock_holder(file, tmp_path) is None
