"""What an origin's answers are stored for once a node: with three workers as with two."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import running, write_tree
from tests.support_origin import originating

CLIENTS = 60
"""That none of them comes to one of three workers, happens once in 10¹⁰ times."""

FRESH = ("Cache-Control: max-age=600", "Cache-Tag: page")


@pytest.fixture
def origin():
    """Each answer says which one it is."""
    with originating() as found:
        found.on("/page", lambda talk: talk.answer(b"%d" % len(found.of("/page")), 200, *FRESH))
        yield found


@pytest.fixture
def node(tmp_path, origin):
    """Three workers before it."""
    place = f"127.0.0.1:{origin.port}"
    rule = {"source": "/o/<*>", "target": f"http://{place}/<*>", "status": "200"}
    write_tree(tmp_path / "node", {"rules/site/redirects.json": json.dumps([rule])})
    with running(tmp_path / "node", 3, f'proxy: {{allow: ["{place}"]}}\n') as found:
        found.deploy(write_tree(tmp_path / "v1", {"index.html": "hello"}))
        yield found


def everybody(node):
    """What all clients get of the page, each on a connection of its own, all at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = pool.map(lambda _: node.get("/o/page", Connection="close"), range(CLIENTS))
        return Counter((status, content) for status, _, content in answers)


def test_one_copy_that_goes_everywhere_at_once(node, origin):
    """Collapsing, purges and the invalidation by a change are exact."""
    assert everybody(node) == {(200, b"1"): CLIENTS}
    changes = (
        lambda: node.edge("purge", "--url", "http://main.site.edge.localhost/o/page"),
        lambda: node.edge("purge", "--tag", "page"),
        lambda: node.get("/o/page", method="POST"),
    )
    for change in changes:
        change()
        (found,) = everybody(node).items()
        assert found == ((200, b"%d" % len(origin.of("/page"))), CLIENTS)
    assert [talk.method for talk in origin.of("/page")] == ["GET"] * 3 + ["POST", "GET"]
