"""The parent's own pieces; its life with real processes is in scenarios/."""

from __future__ import annotations

import os
import signal

import msgspec
import pytest

from edge.control import handover, parent
from edge.control.children import Child
from edge.control.durable import try_lock
from edge.control.parent import Parent, worker_count
from edge.errors import EdgeError
from edge.site.places import Places
from edge.site.settings import Listen, Settings
from tests.support import free_port


@pytest.fixture
def settings():
    """Two workers on a free port."""
    listen = Listen(http=(f"127.0.0.1:{free_port()}",), admin=f"127.0.0.1:{free_port()}")
    return Settings(workers=2, listen=listen)


def test_workers_are_counted_by_the_cores_this_process_may_use(settings):
    """`auto` respects taskset and containers."""
    auto = msgspec.structs.replace(settings, workers="auto")

    assert worker_count(auto) == len(os.sched_getaffinity(0))
    assert worker_count(settings) == 2


@pytest.fixture
def quiet_parent(settings, tmp_path):
    """A parent of this process that has no children yet; signals are as before afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    places = Places(tmp_path)
    places.run.mkdir()
    yield Parent(places, settings, None)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_second_node_on_a_state_folder_is_refused(tmp_path, quiet_parent):
    """It says what to do."""
    lock = try_lock(Places(tmp_path).lock)
    try:
        with pytest.raises(EdgeError, match=r"already runs on .*edge upgrade"):
            quiet_parent.run(lambda: None)
    finally:
        os.close(lock)


def test_a_new_version_whose_processes_keep_dying_is_given_up(quiet_parent):
    """Long before the time is up; one that serves is not."""
    quiet_parent._waits = True
    quiet_parent._children.deaths = parent.FATAL_DEATHS

    assert "keep dying" in quiet_parent._wait_for(lambda: False)
    assert quiet_parent._wait_for(lambda: True) == ""


def test_waiting_has_a_bound(quiet_parent, monkeypatch):
    """And it is told."""
    monkeypatch.setattr(parent, "READY_SECONDS", 0.0)

    assert quiet_parent._wait_for(lambda: False) == "not every worker serves after 0 s"


def test_signals_go_to_those_whom_they_are_for(quiet_parent, monkeypatch):
    """SIGUSR1 to everybody, SIGHUP to control; SIGCHLD is nobody's."""
    sent = []
    monkeypatch.setattr(
        quiet_parent._children, "signal", lambda number, name=None: sent.append((number, name))
    )
    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD):
        quiet_parent._handle(number)

    assert sent == [(signal.SIGUSR1, None), (signal.SIGHUP, "control")]


def test_once_another_is_the_node_it_gets_the_signals(quiet_parent, monkeypatch):
    """All of them."""
    sent = []
    monkeypatch.setattr(parent.waiter, "forward", lambda pid, number: sent.append((pid, number)))
    quiet_parent._heir = 7  # and the lock says nothing else
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        quiet_parent._handle(number)

    assert sent == [(7, signal.SIGTERM), (7, signal.SIGHUP), (7, signal.SIGUSR2)]
    assert not quiet_parent._stopping


def test_one_upgrade_at_a_time(quiet_parent, tmp_path):
    """Who asks for another one is told at once."""
    places = Places(tmp_path)
    quiet_parent._successor = handover.Successor(places, {})
    handover.write(places.run / handover.REQUEST, {"id": "x"})

    quiet_parent._upgrade()

    assert "another upgrade is under way" in (places.run / handover.RESULT).read_text()


def test_the_manager_hears_when_a_reload_is_over(quiet_parent, monkeypatch):
    """Once control has made one more."""
    told, counts = [], iter([4, 4, 5])
    monkeypatch.setattr(parent.systemd, "is_told", lambda: True)
    monkeypatch.setattr(parent.systemd, "notify", lambda *words: told.append(words[0]))
    monkeypatch.setattr(parent.orphans, "status_of", lambda _: {"reloads": next(counts)})
    quiet_parent._children.all.append(Child("control", lambda: None))

    quiet_parent._reload()
    quiet_parent._look_at_reload()
    assert told == ["RELOADING=1"]
    quiet_parent._look_at_reload()
    quiet_parent._look_at_reload()
    assert told == ["RELOADING=1", "READY=1"]
