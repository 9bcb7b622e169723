"""What systemd and a service say to each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading

import pytest

from edge.control import systemd

GIVEN = """
import os, sys
for place, number in enumerate(map(int, sys.argv[1:]), 3):
    os.dup2(number, place)
os.environ["LISTEN_PID"] = str(os.getpid())
from edge.control import systemd
for name, each in systemd.given():
    print(name, each.getsockname()[1], os.get_inheritable(each.fileno()))
print(sorted(key for key in os.environ if key.startswith("LISTEN_")), systemd.given())
"""


def started(environment, *descriptors):
    """What a process says that is started with these descriptors from 3 on."""
    done = subprocess.run(
        [sys.executable, "-c", GIVEN, *map(str, descriptors)],
        env=os.environ | environment,
        pass_fds=descriptors,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_sockets_that_are_given():
    """With their names; what is no socket is passed over, and nothing is left for children."""
    with socket.create_server(("127.0.0.1", 0)) as one, open(os.devnull) as other:  # noqa: PTH123
        high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 40) for each in (one, other)]
        said = started({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "http"}, *high)
        for number in high:
            os.close(number)
        assert said == [f"http {one.getsockname()[1]} False", "[] []"]


@pytest.mark.parametrize("number", ["0", "", "many"])
def test_nothing_is_given(number):
    """Whatever stands there."""
    assert started({"LISTEN_FDS": number}) == ["[] []"]


def test_sockets_of_another_process_are_not_ours(monkeypatch):
    """The variables were inherited."""
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")

    assert systemd.given() == []


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_the_manager_is_told(tmp_path, monkeypatch, kind):
    """One datagram; a manager that listens no more is no fault."""
    path = f"{tmp_path}/notify" if kind == "path" else f"@edge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path[1:] if path[0] == "@" else path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        systemd.notify("READY=1", "MAINPID=7")
        assert manager.recv(100) == b"READY=1\nMAINPID=7"
    assert systemd.is_told()
    systemd.notify("READY=1")


@pytest.mark.parametrize("patience_s", [0.0, 0.05])
def test_a_manager_that_does_not_listen_holds_nobody_up(tmp_path, monkeypatch, patience_s):
    """The kernel keeps some words for it, and then none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            contextlib.suppress(TimeoutError),
        ):
            sender.settimeout(0.01)
            while True:
                sender.sendto(b"WATCHDOG=1", f"{tmp_path}/notify")
        saying = threading.Thread(
            target=lambda: systemd.notify("STOPPING=1", patience_s=patience_s), daemon=True
        )
        saying.start()
        saying.join(20)
        assert not saying.is_alive()


def test_without_a_manager_nothing_is_said(monkeypatch):
    """Nor where it wants another family."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    assert not systemd.is_told()
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1")
    systemd.notify("READY=1")


def test_a_reload_has_its_time():
    """In microseconds of the monotonic clock."""
    begun, when = systemd.reloading()

    assert begun == "RELOADING=1"
    assert when.removeprefix("MONOTONIC_USEC=").isdecimal()


@pytest.mark.parametrize(
    ("allowed", "pid", "every"),
    [
        ("10000000", None, 5.0),
        ("10000000", "own", 5.0),
        ("10000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_wants_signs_of_life(monkeypatch, allowed, pid, every):
    """Twice in its time, if it is ours."""
    own = str(os.getpid()) if pid == "own" else pid
    for key, value in (("WATCHDOG_USEC", allowed), ("WATCHDOG_PID", own)):
        if value is None:
            monkeypatch.delenv(key, raising=False)
        else:
            monkeypatch.setenv(key, value)

    assert systemd.watchdog_s() == every
