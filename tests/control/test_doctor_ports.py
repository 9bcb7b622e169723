"""Whether the node can listen: ports that are free, taken, its own, for root, or nowhere."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from edge.control import doctor_ports
from edge.control.doctor_ports import check_ports, check_unix, judge_port, judge_privileged
from edge.control.occupants import Occupant
from edge.site.settings import Listen, Settings
from tests.support import free_port
from tests.support_doctor import patient_of


def findings(folder, http, admin="unix:/tmp/edge.sock", **more):
    """Of the ports of a node that listens there."""
    settings = Settings(listen=Listen(http=(http,), admin=admin))
    return list(check_ports(patient_of(folder, settings, **more)))


def test_a_free_port(tmp_path):
    """Is left as free as it was."""
    port = free_port()

    assert findings(tmp_path, f"127.0.0.1:{port}")[0].text == f"127.0.0.1:{port} is free"
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", port))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_a_process_has(tmp_path, host):
    """It is named, with its number."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = findings(tmp_path, f"{host}:{port}")[0]

    assert found.level == "wrong"
    assert f"{host}:{port} is taken by " in found.text
    assert f"(pid {os.getpid()})" in found.text
    assert "edge.yml" in found.remedy


def test_a_port_that_the_node_itself_has(tmp_path):
    """Is well."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        found = findings(tmp_path, address, workers=(os.getpid(),))

    assert (found[0].level, found[0].text) == ("ok", f"{address} is this node's")


def test_an_address_of_another_machine(tmp_path):
    """192.0.2.1 is nobody's."""
    found = findings(tmp_path, "192.0.2.1:8080")[0]

    assert (found.level, found.text) == ("wrong", "192.0.2.1:8080 is no address of this machine")


def test_what_cannot_be_seen():
    """Another user's process is not named to everybody; other errors are in the system's words."""
    assert "another user" in judge_port("x:1", errno.EADDRINUSE, [], []).text
    assert judge_port("x:1", errno.ENOBUFS, [], []).text == "x:1: No buffer space available"
    both = judge_port("x:1", errno.EADDRINUSE, [Occupant(1, "a"), Occupant(2, "b")], [])
    assert both.text == "x:1 is taken by a (pid 1), b (pid 2)"


def test_a_unix_socket(tmp_path):
    """Its folder has to be there, and writable; its path is short."""
    assert check_unix(tmp_path / "edge.sock").level == "ok"
    assert check_unix(tmp_path / "no" / "edge.sock").remedy == f"mkdir -p {tmp_path / 'no'}"
    assert "longer than 107 bytes" in check_unix(tmp_path / ("x" * 100)).text


@pytest.mark.parametrize(
    ("ports", "may_bind", "is_running", "level"),
    [
        ([8080], False, False, "ok"),
        ([0, 8080], False, False, "ok"),
        ([80, 443], True, False, "ok"),
        ([80, 443], False, True, "ok"),
        ([80, 443], False, False, "wrong"),
    ],
)
def test_ports_that_the_kernel_keeps(ports, may_bind, is_running, level):
    """Need a capability, or a node that has them already."""
    found = judge_privileged(ports, 1024, may_bind=may_bind, is_running=is_running)

    assert found.level == level
    if level == "wrong":
        assert found.text.startswith("80, 443: this user may not")
        assert "ip_unprivileged_port_start=80" in found.remedy


def test_what_this_process_may(tmp_path, monkeypatch):
    """As the kernel says it."""
    assert doctor_ports.has_capability() is (os.geteuid() == 0)
    assert 0 <= doctor_ports.first_free_port() <= 1024
    monkeypatch.setattr(doctor_ports, "UNPRIVILEGED", tmp_path / "nothing")
    assert doctor_ports.first_free_port() == 1024
    found = list(doctor_ports.check_privileged(patient_of(tmp_path)))
    assert [each.level for each in found] == ["ok"]


def test_what_may_not_be_bound_is_told_once(tmp_path, monkeypatch):
    """By the check of low ports alone."""
    monkeypatch.setattr(doctor_ports, "try_to_bind", lambda *_: errno.EACCES)

    assert findings(tmp_path, "127.0.0.1:80", admin="127.0.0.1:81") == []
