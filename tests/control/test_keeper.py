"""The keeper: a loop that outlives everything, and what people hear of it."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from edge.control import durable, keeper
from edge.control.deployments import NoSuch
from edge.control.keeper import Keeper
from edge.errors import StoreError
from edge.site.certificates import Names
from tests.support_certificates import Signer, write_own
from tests.support_control import new_store, open_store, places_of, publish, write_app

INTERNAL = 'listen: {https: ["127.0.0.1:8443"]}\ntls: {mode: internal}\n'


class Kept:
    """A node's keeper that runs."""

    def __init__(self, folder, settings=INTERNAL):
        self.folder = folder
        self.changes = new_store(folder, settings)
        self.keeper = Keeper(places_of(folder), open_store(folder))

    def app(self, text="", *branches):
        """An app `shop` with deployed branches."""
        write_app(self.folder, "shop", text)
        self.changes.reload()
        for branch in branches:
            publish(self.changes, "shop", branch, {"index.html": "x"})

    def serving(self, host):
        """The certificate that a host is served with."""
        return Names(self.keeper.inventory.vault.keyring().certificates).find(host)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """One with a branch, and no looks that nobody asked for."""
    monkeypatch.setattr(keeper, "LOOK_EVERY", 3600)
    node = Kept(tmp_path)
    node.app("", "main")
    return node


@pytest.fixture
async def running(kept):
    """The same while its loop runs."""
    task = asyncio.ensure_future(kept.keeper.run())
    yield kept
    task.cancel()
    await asyncio.wait([task])


async def until(condition):
    """Wait in the loop, well below the time of a look that nobody asked for."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - files change, nobody tells
            await asyncio.sleep(0.01)


async def test_the_loop_looks_when_it_is_told_to(running):
    """A nudge is answered at once."""
    await until(lambda: running.serving("main.shop.edge.localhost"))

    await asyncio.to_thread(running.app, "domains: {a.test: {subdomains: {www: main}}}")
    running.keeper.nudge()

    await until(lambda: running.serving("www.a.test"))


async def test_the_lock_goes_with_the_loop(kept):
    """The next process may keep them."""
    task = asyncio.ensure_future(kept.keeper.run())
    await until(lambda: kept.serving("main.shop.edge.localhost"))
    assert durable.try_lock(kept.keeper.inventory.vault.lock) is None

    task.cancel()
    await asyncio.wait([task])

    lock = durable.try_lock(kept.keeper.inventory.vault.lock)
    assert lock is not None
    os.close(lock)


async def test_the_loop_outlives_what_breaks(kept, caplog):
    """It is logged, and the next look makes up for it."""
    kept.keeper.inventory.vault.open()
    places_of(kept.folder).keyring.mkdir()
    task = asyncio.ensure_future(kept.keeper.run())
    await until(lambda: "certificates were not looked after" in caplog.text)

    places_of(kept.folder).keyring.rmdir()
    kept.keeper.nudge()

    await until(lambda: kept.serving("main.shop.edge.localhost"))
    task.cancel()
    await asyncio.wait([task])


async def test_without_public_names_no_authority_is_thought_of(kept):
    """What it would cost is not loaded."""
    await kept.keeper.look()

    assert kept.keeper.enrollment is None


async def test_what_people_hear(kept):
    """Each name with its certificate and what is next."""
    kept.app("domains: {a.test: {subdomains: {www: main}}}")
    write_own(kept.folder / "certs", "www.a.test", Signer("Own").issue("www.a.test"))
    write_own(kept.folder / "certs", "broken.test", b"")
    await kept.keeper.look()

    document = kept.keeper.describe()

    # the operator's is dated for the clock of other tests: later than now
    mistakes = [each["file"] for each in document["mistakes"]]
    assert mistakes == ["certs/broken.test.pem", "certs/www.a.test.pem"]
    entries = {each["name"]: each for each in document["certificates"]}
    wildcard = entries["*.shop.edge.localhost"]
    assert (wildcard["state"], wildcard["source"]) == ("valid", "internal")
    assert wildcard["next"]["why"] == "two thirds of its lifetime"
    assert wildcard["not_after"] > time.time()


async def test_a_hand_renews_what_the_own_authority_signed(kept):
    """At once, by a name or a host that its wildcard covers."""
    await kept.keeper.look()
    first = kept.serving("main.shop.edge.localhost")

    assert await kept.keeper.renew("main.shop.edge.localhost") == {
        "name": "*.shop.edge.localhost",
        "source": "internal",
    }
    await kept.keeper.look()

    assert kept.serving("main.shop.edge.localhost").id != first.id


async def test_what_cannot_be_renewed_says_why(kept):
    """Names that nobody wants, and the operator's own."""
    now = time.time()
    kept.app("domains: {a.test: {subdomains: {www: main}}}")
    pem = Signer("Own").issue("www.a.test", start=now - 60, end=now + 600)
    write_own(kept.folder / "certs", "www.a.test", pem)
    await kept.keeper.look()

    with pytest.raises(StoreError, match="your own: replace its file"):
        await kept.keeper.renew("www.a.test")
    with pytest.raises(NoSuch, match=r"wanted are: \*\.shop\.edge\.localhost"):
        await kept.keeper.renew("nobody.test")


async def test_what_is_refused_says_why(tmp_path):
    """A guard's sentence."""
    node = Kept(tmp_path, 'listen: {https: ["127.0.0.1:8443"]}\ntls: {mode: files}\n')
    node.app("", "main")
    await node.keeper.look()

    with pytest.raises(StoreError, match="no certificate in certs covers it"):
        await node.keeper.renew("main.shop.edge.localhost")
    (entry,) = node.keeper.describe()["certificates"]
    assert entry["state"] == "refused"


async def test_the_root_is_told_once_there_is_one(kept):
    """For those who are to trust it."""
    assert kept.keeper.describe()["root"] is None

    await kept.keeper.look()

    path = places_of(kept.folder).tls / "internal" / "root.pem"
    assert kept.keeper.describe()["root"] == path.read_text()


async def test_the_end_of_what_serves_is_a_metric(kept):
    """By name; one that goes is not told any more."""
    kept.app("domains: {a.test: {subdomains: {www: main}}}")
    await kept.keeper.look()
    ends = kept.serving("www.a.test").not_after
    text = kept.keeper.metrics.encode().decode()
    (line,) = [each for each in text.splitlines() if 'name="www.a.test"' in each]
    assert float(line.split()[-1]) == ends

    kept.app("")
    await kept.keeper.look()

    assert "www.a.test" not in kept.keeper.metrics.encode().decode()
