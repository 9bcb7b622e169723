"""What most tests of a node before an origin stand on; a module with other settings has its own."""

from __future__ import annotations

import pytest
import uvloop

from tests.support_origin import originating
from tests.support_proxied import path_for, proxied, quiet
from tests.support_serving import Site
from tests.support_tls import Issuer, Shelf


@pytest.fixture(scope="module")
def origin():
    """An origin for all tests of a module; each has paths of its own."""
    with originating() as found:
        yield found


@pytest.fixture(scope="module")
def built(request, tmp_path_factory, origin):
    """A node with usual settings, or those that its module has as `EDGE_YML`."""
    edge_yml = getattr(request.module, "EDGE_YML", "")
    site = proxied(tmp_path_factory.mktemp("node"), origin, edge_yml=edge_yml)
    uvloop.run(site.start())
    return site


@pytest.fixture
async def site(built):
    """A worker that serves it; afterwards nothing is under way, known or stored."""
    yield built
    built.worker._forwarder.recalls.clear()
    await quiet(built)


@pytest.fixture
async def make(tmp_path, origin):
    """Sites of a test's own, with more rules."""
    made = []

    async def start(*rules: object, **written: str) -> Site:
        made.append(await proxied(tmp_path, origin, *rules, **written).start())
        return made[-1]

    yield start
    for each in made:
        await quiet(each)


@pytest.fixture
def path(request):
    """A path that no other test uses."""
    return path_for(request)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """A root."""
    return Issuer()


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    """A folder of certificates."""
    return Shelf(tmp_path)
