"""Branches that share a wildcard: dns-01 from the settings to what serves, with BIND and pebble."""

from __future__ import annotations

import time

import pytest

from tests.support_acme import PEBBLE, Proxy, serving
from tests.support_control import publish
from tests.support_dns import KEY_NAME, SECRET, bind
from tests.support_keeper import Clock, Kept, world

FIXTURES = bind

pytestmark = pytest.mark.skipif(PEBBLE is None, reason="pebble is not installed")


@pytest.fixture(scope="module")
def outside(tmp_path_factory, bind):
    """An authority that asks BIND."""
    with world(tmp_path_factory.mktemp("outside"), bind, nonce_rejects=10) as found:
        yield found


@pytest.fixture
async def node(tmp_path, outside):
    """A node that may update a zone."""
    key = tmp_path / "tsig.key"
    key.write_text(SECRET)
    key.chmod(0o600)
    with serving(Proxy(outside.authority)) as between:
        kept = Kept(tmp_path, outside, between, Clock(time.time() + 5))
        server = f"127.0.0.1:{outside.names.port}"
        dns = {"server": server, "key_name": KEY_NAME, "key_file": str(key), "propagation": "20s"}
        kept.configure(dns=dns)
        yield kept
        await kept.close()


async def test_branches_share_a_wildcard(node, bind):
    """One certificate for all of them, those that come later, too; the record is taken back."""
    node.serve_domains({"delegated.test": {"auto_subdomains": ["*"]}})

    await node.look()

    served = node.serving("main.delegated.test")
    assert served.names == ("*.delegated.test",)
    assert "dns-01" in " ".join(node.record("*.delegated.test").attempts[-1].steps)
    assert bind.texts("_acme-challenge.delegated.test") == []

    publish(node.changes, "shop", "pr-7", {"index.html": "x"})
    await node.look(1)

    assert node.serving("pr-7.delegated.test") == served
    assert len(node.orders()) == 1
