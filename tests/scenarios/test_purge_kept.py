"""Purges of what performance mode still answers from before, on a node of two workers."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support import Node, eventually, running, write_tree

HOST = "main.site.edge.localhost"
OLD = {"index.html": "old", "gone.html": "old", "about.html": "old"}
NEW = {"index.html": "new", "about.html": "new", "only.html": "new"}
ASKED = 24
"""Connections a path: that all of them come to one worker of two has odds of 1 to 8,000,000."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A node in performance mode."""
    folder = tmp_path_factory.mktemp("kept")
    app_yml = "branches: {main: {performance_mode: true}}"
    write_tree(folder / "rules" / "site", {"app.yml": app_yml})
    with running(folder) as node:
        yield node


@pytest.fixture
def node(served, tmp_path):
    """Its workers have answered all paths, most of them from the deployment before."""
    served.deploy(write_tree(tmp_path / "none", {"none.html": "none"}))
    served.admin("POST", "/v1/purge", {"all": True})
    served.deploy(write_tree(tmp_path / "old", OLD))
    served.deploy(write_tree(tmp_path / "new", NEW))
    assert [found(served, path) for path in ("/", "/gone", "/about")] == [{(200, b"old")}] * 3
    assert found(served, "/only") == {(200, b"new")}
    return served


def found(node: Node, path: str) -> set[tuple[int, bytes]]:
    """What all workers answer: status and, of a file, its content."""
    answers = [node.get(path) for _ in range(ASKED)]
    return {(status, content if status == 200 else b"") for status, _, content in answers}


def handled(node: Node, path: str) -> set[str]:
    """What was done for it, in the words before the numbers."""
    answers = [node.get(path)[1] for _ in range(ASKED)]
    return {answer["Cache-Status"].partition("; ttl")[0] for answer in answers}


def purge(node: Node, *urls: str, soft: bool = False) -> int:
    """How many went."""
    status, document = node.admin("POST", "/v1/purge", {"urls": list(urls), "soft": soft})
    assert status == 200, document
    return document["purged"]


def test_an_address_that_nobody_has_ends_nothing(node):
    """None is counted."""
    assert purge(node, f"http://{HOST}/nothing-at-all") == 0

    assert [found(node, path) for path in ("/", "/gone", "/about")] == [{(200, b"old")}] * 3


@pytest.mark.parametrize("soft", [False, True])
def test_one_address_goes_and_all_others_stay(node, soft):
    """Also what workers have stored for them; softly it is the same, for what is new is known."""
    assert purge(node, f"http://{HOST}/gone", soft=soft) > 0

    assert found(node, "/gone") == {(404, b"")}
    assert [found(node, path) for path in ("/", "/about")] == [{(200, b"old")}] * 2
    assert handled(node, "/only") == {"edge; hit"}
    assert purge(node, f"http://{HOST}/gone", soft=soft) == 0


def test_what_was_purged_stays_so_in_workers_that_come(node):
    """They are told by the generation that they load."""
    assert purge(node, f"http://{HOST}/about") > 0
    before = node.pids("worker")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(set(node.pids("worker")) - set(before)) == 2 and node.is_ready())

    assert found(node, "/about.html") == {(200, b"new")}
    assert found(node, "/gone") == {(200, b"old")}


@pytest.mark.parametrize("named", [{"app": "site"}, {"hosts": [HOST]}, {"all": True}], ids=str)
def test_a_purge_of_all_ends_all(node, named):
    """As it always did."""
    assert node.admin("POST", "/v1/purge", named)[0] == 200

    assert [found(node, path) for path in ("/", "/about")] == [{(200, b"new")}] * 2
    assert found(node, "/gone") == {(404, b"")}
