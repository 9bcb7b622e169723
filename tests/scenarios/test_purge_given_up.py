"""What goes with a purge beside stored answers, and with names that are given up."""

from __future__ import annotations

import json

import pytest

from tests.support import Node, running, write_tree
from tests.support_origin import Origin, originating, saying

FRESH = "Cache-Control: max-age=600"
MAIN = "main.site.edge.localhost"
NEXT = "next.site.edge.localhost"
MANY = 24
"""Connections after which both workers have had some: the kernel deals them out."""


@pytest.fixture
def origin():
    """An origin."""
    with originating() as found:
        yield found


@pytest.fixture
def node(tmp_path, origin):
    """A node of two workers whose app leads to it, in performance mode."""
    configure(tmp_path, "site", origin)
    allow = f'proxy: {{allow: ["127.0.0.1:{origin.port}"]}}\n'
    with running(tmp_path, workers=2, settings=allow) as found:
        found.deploy(write_tree(tmp_path / "old", {"index.html": "old"}))
        yield found


def configure(folder, app: str, origin: Origin) -> None:
    """An app's folder."""
    rules = [{"source": "/o/<*>", "target": f"http://127.0.0.1:{origin.port}/<*>", "status": "200"}]
    files = {
        "app.yml": "branches: {main: {performance_mode: true}}\n",
        "redirects.json": json.dumps(rules),
    }
    write_tree(folder / "rules" / app, files)


def contents(node: Node, path: str, host: str = MAIN) -> set[bytes]:
    """All that is answered to many new connections."""
    return {node.get(path, host)[2] for _ in range(MANY)}


PURGES = {
    "all": ("--all",),
    "app": ("--app", "site"),
    "branch": ("--app", "site", "--branch", "main"),
    "host": ("--host", MAIN),
    "url": ("--url", f"{MAIN}/"),
}


@pytest.mark.parametrize("arguments", PURGES.values(), ids=PURGES.keys())
def test_a_purge_ends_what_the_deployment_before_answers(node, tmp_path, arguments):
    """At both workers, before it is answered."""
    assert contents(node, "/") == {b"old"}
    node.deploy(write_tree(tmp_path / "new", {"index.html": "new"}))
    assert contents(node, "/") == {b"old"}
    node.edge("purge", *arguments)
    assert contents(node, "/") == {b"new"}


def test_a_purge_of_something_else_does_not(node, tmp_path, origin):
    """Tags are answers' of origins alone."""
    origin.on("/x", saying(b"hello", 200, FRESH, "Cache-Tag: one"))
    node.get("/o/x", MAIN)
    node.deploy(write_tree(tmp_path / "new", {"index.html": "new"}))
    assert json.loads(node.edge("purge", "--tag", "one", "--json").stdout) == {"purged": 1}
    assert contents(node, "/") == {b"old"}


def test_a_branch_that_is_deleted_takes_its_answers_along(node, tmp_path, origin):
    """Who has its name next begins with nothing; other branches keep theirs."""
    origin.on("/x", saying(b"old", 200, FRESH))
    tree = write_tree(tmp_path / "next", {"index.html": "next"})
    node.deploy(tree, branch="next")
    for host in (MAIN, NEXT):
        assert contents(node, "/o/x", host) == {b"old"}
    asked = len(origin.of("/x"))
    origin.on("/x", saying(b"new", 200, FRESH))
    node.edge("delete-branch", "--app", "site", "--branch", "next")
    assert {node.get("/o/x", NEXT)[0] for _ in range(MANY)} == {404}
    node.deploy(tree, branch="next")
    assert contents(node, "/o/x", NEXT) == {b"new"}
    assert contents(node, "/o/x") == {b"old"}
    assert len(origin.of("/x")) == asked + 1


def test_an_app_that_is_gone_takes_its_answers_along(node, tmp_path, origin):
    """With its last branch and its folder."""
    configure(tmp_path, "other", origin)
    node.edge("reload")
    tree = write_tree(tmp_path / "other", {"index.html": "other"})
    node.deploy(tree, "other")
    host = MAIN.replace("site", "other")
    origin.on("/x", saying(b"old", 200, FRESH))
    assert contents(node, "/o/x", host) == contents(node, "/o/x") == {b"old"}
    origin.on("/x", saying(b"new", 200, FRESH))
    node.edge("delete-branch", "--app", "other", "--branch", "main")
    for file in (tmp_path / "rules" / "other").iterdir():
        file.unlink()
    (tmp_path / "rules" / "other").rmdir()
    node.edge("reload")
    assert {node.get("/o/x", host)[0] for _ in range(MANY)} == {404}
    configure(tmp_path, "other", origin)
    node.edge("reload")
    node.deploy(tree, "other")
    assert contents(node, "/o/x", host) == {b"new"}
    assert contents(node, "/o/x") == {b"old"}
