"""Processes of another parent."""

from __future__ import annotations

import subprocess

import pytest

from edge.control import orphans
from tests.support_control import FakeWorker, obedient


@pytest.fixture
def worker(tmp_path):
    """One that obeys, in a process of its own."""
    found = FakeWorker(tmp_path, obedient)
    yield found
    found.close()


def test_who_is_found_is_nobody_of_ours(tmp_path, worker):
    """By pid."""
    pid = worker.process.pid

    assert orphans.found(tmp_path) == [(pid, worker.path)]
    assert orphans.found(tmp_path, {pid}) == []


def test_they_are_asked_to_end(worker, tmp_path):
    """Who has died meanwhile need not be."""
    orphans.dismiss([(1, tmp_path / "worker-1.sock"), (worker.process.pid, worker.path)])

    assert worker.orders == [{"do": "drain"}]


def test_a_status_or_nothing(worker, tmp_path):
    """Who cannot be asked says nothing."""
    assert orphans.status_of(worker.path) == {"generation": 1, "purged": 3}
    assert orphans.status_of(tmp_path / "worker-1.sock") == {}


def test_a_worker_that_gives_nothing_is_ended(tmp_path):
    """Its sockets cannot be had, and it would keep connections that nobody serves."""
    worker = FakeWorker(tmp_path, obedient)
    worker.hang_up()
    try:
        assert [*orphans.sockets_of(tmp_path, [(worker.process.pid, worker.path)])] == []
        assert worker.process.wait(10) < 0
    finally:
        worker.close()


def test_waiting_for_a_process_that_is_gone_ends_at_once():
    """Nothing is killed that is not there."""
    process = subprocess.Popen(["true"])
    process.wait()

    orphans.wait_for_end(process.pid)


def test_who_does_not_end_is_killed():
    """After the time that it has."""
    with subprocess.Popen(["sleep", "60"]) as process:
        orphans.wait_for_end(process.pid, timeout_s=0.0)
        assert process.wait(10) == -9
