"""Manifests in memory: loaded once, bounded, gone with their snapshot."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.node import trees as module
from tests.support_serving import Site

TREE = {f"{number}.txt": f"{number % 10}" for number in range(600)}
PERFORMANCE = "branches: {main: {performance_mode: true}}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`TREE`, deployed once; tests work on copies."""
    site = Site(tmp_path_factory.mktemp("trees"))
    site.deploy(TREE)
    return site


@pytest.fixture
def reads(monkeypatch):
    """The files that `trees` reads from the disk, in order."""
    paths: list[Path] = []
    read = module._read

    async def count(path: Path) -> bytes:
        paths.append(path)
        return await read(path)

    monkeypatch.setattr(module, "_read", count)
    return paths


def branch_of(site: Site, branch: str = "main") -> module.Branch:
    """A compiled branch of the snapshot that serves."""
    return site.worker._handler.snapshot.apps["site"].branches[branch]


async def test_nothing_is_read_before_it_is_asked_for(built, tmp_path, reads):
    """A start costs no manifest; the first request of a deployment reads it, once."""
    site = await built.copy_to(tmp_path).start()
    assert reads == []
    assert (await site.ask("/7.txt")).content == b"7"
    await site.ask("/8.txt")
    assert len(reads) == 1
    assert site.worker.status()["manifest_files"] == 600


async def test_requests_that_come_first_together_share_one_load(built, tmp_path, reads):
    """However many wait for a manifest, it is read once, and all are answered."""
    site = await built.copy_to(tmp_path).start()
    answers = await asyncio.gather(*(site.ask(f"/{n}.txt") for n in range(300)))
    assert [answer.content for answer in answers] == [b"%d" % (n % 10) for n in range(300)]
    assert len(reads) == 1
    assert site.worker._trees.entries == 600


async def test_a_client_that_leaves_does_not_end_the_load_of_others(built, tmp_path, reads):
    """The load goes on when the request that began it is canceled."""
    site = await built.copy_to(tmp_path).start()
    first = asyncio.ensure_future(site.ask("/1.txt"))
    second = asyncio.ensure_future(site.ask("/2.txt"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).content == b"2"
    assert len(reads) == 1


async def test_a_failed_load_is_tried_again(built, tmp_path, reads):
    """All who waited get the error, the next one gets the file."""
    site = await built.copy_to(tmp_path).start()
    (path,) = site.places.deployments.rglob("2*")
    hidden = path.rename(path.with_name(".hidden"))
    answers = await asyncio.gather(*(site.ask("/1.txt") for _ in range(5)))
    assert [answer.status for answer in answers] == [503] * 5
    hidden.rename(path)
    assert (await site.ask("/1.txt")).status == 200
    assert len(reads) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[:50],
        lambda content: content[:-30],
        lambda content: b"\n".join(content.split(b"\n")[:2]) + b"\n",
        lambda content: content.replace(b"txt", b"\xff\xfe\xfd"),
        lambda content: b"[]\n" + content,
    ],
    ids=["empty", "header cut", "block cut", "block missing", "not UTF-8", "no header"],
)
async def test_a_torn_manifest_is_never_served(built, tmp_path, damage):
    """A manifest that lost anything is refused whole: no file of it is quietly a 404."""
    site = await built.copy_to(tmp_path).start()
    (path,) = site.places.deployments.rglob("2*")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StoreError, match="2"):
        await site.worker._trees.load_branch(branch_of(site), site.clock.epoch)
    assert (await site.ask("/1.txt")).status == 503


async def test_the_number_of_files_in_memory_is_bounded(tmp_path, monkeypatch, reads):
    """Beyond the bound the manifest that was read least recently goes, with what was stored."""
    monkeypatch.setattr(module, "MAX_ENTRIES", 5)
    site = Site(tmp_path)
    names = ["a", "b", "c", "d"]
    for name in names:
        site.deploy({"index.html": name, "x.txt": "x"}, branch=name)
    await site.start()
    for _ in range(3):
        for name in names:
            answer = await site.ask("/", host=f"{name}.site.edge.localhost")
            assert answer.content == name.encode()
            assert site.worker._trees.entries <= 5
    assert len(reads) == 12, "four take turns in a place for two"
    assert len(site.worker._cache) == 2


async def test_one_manifest_larger_than_the_bound_is_served(built, tmp_path, monkeypatch, reads):
    """A site that alone exceeds the bound stays, or it would be read at every request."""
    monkeypatch.setattr(module, "MAX_ENTRIES", 5)
    site = await built.copy_to(tmp_path).start()
    for number in range(5):
        assert (await site.ask(f"/{number}.txt")).status == 200
    assert len(reads) == 1


async def test_a_branch_needs_all_its_manifests_at_once(tmp_path, monkeypatch, reads):
    """Active, previous and retained files of one branch do not drive each other out."""
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    site = Site(tmp_path, PERFORMANCE)
    hashed = {f"a-BxK3d9Q{n}.js": "old" for n in range(8)}
    site.deploy(hashed | {"old.txt": "old"})
    site.deploy({f"{n}.txt": "middle" for n in range(9)})
    site.deploy({f"{n}.txt": "new" for n in range(9)} | {"404.html": "lost"})
    await site.start()
    for _ in range(3):
        assert (await site.ask("/1.txt")).content == b"middle"
        assert (await site.ask("/a-BxK3d9Q1.js")).content == b"old"
        assert (await site.ask("/nothing")).content == b"lost"
    assert len(reads) == 3


async def test_a_deployment_that_no_snapshot_has_is_gone(built, tmp_path):
    """Twenty deploys later one manifest is in memory, and only its files are stored."""
    site = await built.copy_to(tmp_path).start()
    for number in range(20):
        await site.redeploy({"index.html": f"{number}"})
        await site.ask("/")
    gc.collect()
    trees = site.worker._trees
    assert (len(trees._loaded), trees.entries) == (1, 1)
    assert len(site.worker._cache) == 1
    assert len(site.worker._loader._library.trees) == 1


async def test_a_manifest_stays_while_a_request_needs_it(tmp_path):
    """A request that waits for the old deployment's manifest is answered from it."""
    site = Site(tmp_path)
    site.deploy({"index.html": "old"})
    await site.start()
    under_way = asyncio.ensure_future(site.ask("/"))
    await asyncio.sleep(0)
    await site.redeploy({"index.html": "new"})
    assert (await under_way).content == b"old"
    assert (await site.ask("/")).content == b"new"
    assert len(site.worker._cache) == 1, "the old one's answer was not stored"
