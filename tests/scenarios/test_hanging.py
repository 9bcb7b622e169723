"""Processes that hang (SIGSTOP): the node notices, replaces them, and serves on meanwhile."""

from __future__ import annotations

import itertools
import os
import signal
import sys

import pytest

from tests.support import Node, eventually, write_tree

IMPATIENT = """
import sys
from edge.control import counting, pulse
counting.PATIENCE = 1.0
pulse.PATIENCE = 2
from edge.cli import main
sys.exit(main(["serve"]))
"""
"""`edge serve` that waits for seconds where the real one waits for 10 and 20."""


class Impatient(Node):
    """A node that finds out sooner, and the versions of its site."""

    versions = itertools.count(1)

    def command(self):
        """The same program with other patience."""
        return [sys.executable, "-c", IMPATIENT]

    def deploy_next(self):
        """A new version: what its front page says."""
        text = f"version {next(self.versions)}"
        self.deploy(write_tree(self.folder / text, {"index.html": text}))
        return text

    def pages(self):
        """What the front page says to 20 connections, of which each worker has some."""
        return {self.get("/")[2].decode() for _ in range(20)}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Two workers that serve a site, and outlive what is done to them."""
    found = Impatient(tmp_path_factory.mktemp("hanging"))
    try:
        found.start()
        yield found
    finally:
        found.kill_all()


def stop(node, kind):
    """Stop one process of a kind; its number."""
    victim = node.pids(kind)[0]
    os.kill(victim, signal.SIGSTOP)
    return victim


def is_replaced(node, kind, victim, count=1):
    """Whether others serve in its place."""
    pids = node.pids(kind)
    return victim not in pids and len(pids) == count


def test_a_worker_that_hangs_is_replaced_by_control(node):
    """Who came to it waits in its queue, and is answered by the next one."""
    page = node.deploy_next()
    victim = stop(node, "worker")

    assert node.pages() == {page}
    eventually(lambda: is_replaced(node, "worker", victim, 2))
    assert f"worker {victim} was silent for 1.0 s" in node.log.read_text()
    eventually(lambda: "edge_worker_restarts_total 1" in node.admin("GET", "/metrics")[1])


def test_control_that_hangs_is_replaced_by_the_parent(node):
    """Workers serve on; the next change is made by the next one."""
    page = node.deploy_next()
    workers, victim = node.pids("worker"), stop(node, "control")

    assert node.pages() == {page}
    eventually(lambda: is_replaced(node, "control", victim))
    assert f"control {victim} does not answer" in node.log.read_text()
    eventually(node.is_ready)
    assert {node.deploy_next()} == node.pages()
    assert node.pids("worker") == workers


def test_a_worker_and_control_that_hang_together_are_replaced(node):
    """Nobody asks the worker but the parent."""
    page = node.deploy_next()
    control, worker = stop(node, "control"), stop(node, "worker")

    assert node.pages() == {page}
    eventually(lambda: is_replaced(node, "worker", worker, 2))
    eventually(lambda: is_replaced(node, "control", control))
    assert f"worker {worker} does not answer" in node.log.read_text()
    eventually(node.is_ready)


def test_a_parent_that_is_stopped_stops_nothing_else(node):
    """Requests and changes need no parent; it makes up for what it has missed."""
    node.process.send_signal(signal.SIGSTOP)
    victim = node.pids("worker")[0]
    os.kill(victim, signal.SIGKILL)

    page = node.deploy_next()
    node.process.send_signal(signal.SIGCONT)
    eventually(lambda: is_replaced(node, "worker", victim, 2))
    assert node.pages() == {page}
    assert node.stop() == 0
