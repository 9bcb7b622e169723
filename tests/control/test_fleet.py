"""Orders to workers that obey, refuse, are silent, or are gone."""

from __future__ import annotations

import os
import signal

import pytest

from edge.control.fleet import Fleet
from edge.errors import StoreError
from tests.support_control import FakeWorker, obedient


@pytest.fixture
def run(tmp_path):
    """Where workers listen."""
    return tmp_path


@pytest.fixture
def worker(run):
    """Makes fake workers that are gone after the test."""
    workers = []

    def make(answer=obedient):
        workers.append(FakeWorker(run, answer))
        return workers[-1]

    yield make
    for each in workers:
        each.close()


def test_every_worker_gets_every_order(run, worker):
    """Load and swap name the generation."""
    workers = [worker(), worker()]
    fleet = Fleet(run)

    fleet.load(7)
    fleet.swap(7)

    for each in workers:
        assert each.orders == [{"do": "load", "generation": 7}, {"do": "swap", "generation": 7}]


def test_every_worker_reads_the_certificates_anew(run, worker):
    """And who cannot, says so."""
    worker(), worker(lambda _: {"error": "no"})

    assert sorted(map(str, Fleet(run).tls())) == ["{'error': 'no'}", str(obedient({}))]


def test_without_workers_there_is_nobody_to_ask(run):
    """A change of a node that does not run is made all the same."""
    fleet = Fleet(run)

    fleet.load(1)
    fleet.swap(1)

    assert (fleet.status(), fleet.purge({"do": "purge"})) == ([], 0)


def test_a_refusal_is_heard(run, worker):
    """Its reason is told; the worker lives on."""
    worker()
    refusing = worker(lambda _: {"error": "the manifest is torn"})

    with pytest.raises(StoreError, match="refused generation 7: the manifest is torn"):
        Fleet(run).load(7)

    assert refusing.process.poll() is None


def test_a_silent_worker_is_killed_and_has_no_veto(run, worker):
    """After the deadline; whoever answered keeps its process."""
    silent, living = worker(lambda _: None), worker()

    Fleet(run, deadline_s=2.0).load(7)

    assert silent.process.wait(10) == -signal.SIGKILL
    assert living.process.poll() is None
    assert living.orders == [{"do": "load", "generation": 7}]


def test_a_socket_that_nobody_serves_is_no_worker(run, worker):
    """A worker that is ending does not hold up a change, and is not killed for it."""
    ending = worker()
    ending.hang_up()
    (run / "worker-999999999.sock").touch()

    Fleet(run).load(7)

    assert ending.process.poll() is None
    assert not (run / "worker-999999999.sock").exists()


def test_purged_responses_are_counted(run, worker):
    """Over all workers."""
    worker()
    worker()

    assert Fleet(run).purge({"do": "purge"}) == 6


def test_status_is_of_those_who_answer(run, worker):
    """One that answers with an error has none."""
    worker(lambda _: {"pid": os.getpid(), "generation": 3})
    worker(lambda _: {"error": "no"})

    assert Fleet(run).status() == [{"pid": os.getpid(), "generation": 3}]
