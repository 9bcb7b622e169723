"""
What scenarios share: of the cache, a node of two workers a file, and a path a test; of HTTP/2, one
node for all files.
"""

from __future__ import annotations

import hashlib

import pytest

from tests.support_http2_node import targeted
from tests.support_stored import ORDERS, on_scene, staged


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A node as it is shipped, but that 1 MiB is the most it stores of one answer."""
    with staged(tmp_path_factory.mktemp("stage"), "{max_object: 1MiB}") as found:
        yield found


@pytest.fixture(params=ORDERS)
def order(request):
    """Every test twice: the worker that is asked first owns what is stored, or its sibling does."""
    return request.param


@pytest.fixture
def place(request):
    """A path that no other test has, whichever worker comes first."""
    parts = request.node.name.split("[")[-1].rstrip("]").split("-")
    name = request.node.originalname + "-".join(part for part in parts if part not in ORDERS)
    return "/" + hashlib.sha256(name.encode()).hexdigest()[:16]


@pytest.fixture
async def scene(stage, place, order):
    """A test between clients of both workers and an origin."""
    async with on_scene(stage, place, order) as found:
        yield found


@pytest.fixture(scope="session")
def target(tmp_path_factory):
    """A node that HTTP/2 is spoken to, and an origin behind it."""
    with targeted(tmp_path_factory.mktemp("http2")) as found:
        yield found


@pytest.fixture(params=["h2c", "tls"])
def client(target, request):
    """A strict client, either way."""
    with target.client(request.param) as found:
        yield found


@pytest.fixture
def plain(target):
    """A strict client in the clear, whose second request is an index from end to end."""
    with target.client("h2c") as found:
        yield found
