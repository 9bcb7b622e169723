"""Processes that hang (SIGSTOP): the node notices, replaces them, and serves on meanwhile."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys

import pytest

from tests.support import Node, eventually, write_tree

IMPATIENT = """
import sys
from edge.control import counting, pulse
counting.PATIENCE = {patience_s}
pulse.PATIENCE = {looks}
from edge.cli import main
sys.exit(main(["serve"]))
"""
"""`edge serve` whose control waits so long for a worker, and whose parent makes so many looks."""


class Impatient(Node):
    """A node that finds out sooner, and the versions of its site."""

    versions = itertools.count(1)
    patience_s = 1.0
    looks = 5
    """A second each: control is quicker."""

    def command(self):
        """The same program with other patience."""
        program = IMPATIENT.format(patience_s=self.patience_s, looks=self.looks)
        return [sys.executable, "-c", program]

    def deploy_next(self):
        """A new version: what its front page says."""
        text = f"version {next(self.versions)}"
        self.deploy(write_tree(self.folder / text, {"index.html": text}))
        return text

    def pages(self):
        """What the front page says to 20 connections, of which each worker has some."""
        return {self.get("/")[2].decode() for _ in range(20)}


class Lenient(Impatient):
    """A node whose control ends no worker: its parent has to."""

    patience_s = 3600.0
    looks = 2


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Two workers that serve a site, and outlive what is done to them."""
    yield from running(Impatient(tmp_path_factory.mktemp("hanging")))


@pytest.fixture
def lenient(tmp_path_factory):
    """The same, but that control waits for workers for ever."""
    yield from running(Lenient(tmp_path_factory.mktemp("lenient")))


def running(node):
    """The node from when its parent looks at its children, until the test has done with it."""
    try:
        node.start()
        eventually(lambda: "serving on" in node.log.read_text())
        yield node
    finally:
        node.kill_all()


def stop(node, kind):
    """Stop one process of a kind; its number."""
    victim = node.pids(kind)[0]
    os.kill(victim, signal.SIGSTOP)
    return victim


def is_replaced(node, kind, victim, count=1):
    """Whether others serve in its place."""
    pids = node.pids(kind)
    return victim not in pids and len(pids) == count


def found_silent(node):
    """Workers that were too slow for the node: on a busy machine another one may be, too."""
    return set(re.findall(r"worker (\d+) (?:was silent|does not answer any)", node.log.read_text()))


def restarts_told(node):
    """How many workers `/metrics` says were replaced: of those that control had met."""
    page = node.admin("GET", "/metrics")[1]
    return int(re.search(r"^edge_worker_restarts_total (\d+)$", page, re.MULTILINE)[1])


def test_a_worker_that_hangs_is_replaced_by_control(node):
    """Who came to it waits in its queue, and is answered by the next one."""
    page = node.deploy_next()
    told, found = restarts_told(node), found_silent(node)  # and so control has met them all
    victim = stop(node, "worker")

    assert node.pages() == {page}
    eventually(lambda: is_replaced(node, "worker", victim, 2))
    assert f"worker {victim} was silent for 1.0 s" in node.log.read_text()
    eventually(lambda: restarts_told(node) > told)
    assert restarts_told(node) - told <= len(found_silent(node) - found)


def test_control_that_hangs_is_replaced_by_the_parent(node):
    """Workers serve on; the next change is made by the next one."""
    page = node.deploy_next()
    workers, victim = node.pids("worker"), stop(node, "control")

    assert node.pages() == {page}
    eventually(lambda: is_replaced(node, "control", victim))
    assert f"control {victim} does not answer" in node.log.read_text()
    eventually(node.is_ready)
    assert {node.deploy_next()} == node.pages()
    assert set(workers) - set(node.pids("worker")) <= found_silent(node)
    eventually(lambda: len(node.pids("worker")) == len(workers))


def test_a_worker_and_control_that_hang_together_are_replaced(lenient):
    """Nobody asks the worker but the parent."""
    page = lenient.deploy_next()
    control, worker = stop(lenient, "control"), stop(lenient, "worker")

    assert lenient.pages() == {page}
    eventually(lambda: is_replaced(lenient, "worker", worker, 2))
    eventually(lambda: is_replaced(lenient, "control", control))
    assert f"worker {worker} does not answer" in lenient.log.read_text()
    eventually(lenient.is_ready)


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
