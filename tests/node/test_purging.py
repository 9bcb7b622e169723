"""Which files a purge means, and what goes with names that are given up."""

from __future__ import annotations

import pytest

from edge.node.purging import assets_of, gone
from edge.site import keys
from tests.support_origin import originating, saying
from tests.support_proxied import FRESH, broker_of, get, handling, proxied, quiet
from tests.support_serving import HOST, Site

CHUNK = "assets/app-BxK3d9Qz.js"
TREE = {
    "index.html": "home",
    "about.html": "about",
    "docs/index.html": "docs",
    "caf\u00e9.txt": "coffee",
    "404.html": "nothing",
}


async def serving(site: Site, *deployments: dict) -> Site:
    """A worker that has answered from the last of these."""
    for files in deployments:
        site.deploy(files)
    await site.start()
    assert (await site.ask("/")).status == 200
    return site


def meant(site: Site, *paths: str | None, app: str = "site", label: str = "main") -> list[str]:
    """The files that are found, by deployment and name."""
    snapshot = site.worker._handler.snapshot
    found = assets_of(snapshot, [(app, label, path) for path in paths])
    return sorted(asset.entry.path for asset in found)


# Files

PATHS = {
    "/": ["index.html"],
    "/about": ["about.html"],
    "/about.html": ["about.html"],
    "/docs/": ["docs/index.html"],
    "/caf\u00e9.txt": ["caf\u00e9.txt"],
    "/nothing": [],
    "/docs//": [],
    "//": [],
    "/404": ["404.html"],
}


@pytest.mark.parametrize(("path", "expected"), PATHS.items())
async def test_a_path_means_the_file_that_answers_there(tmp_path, path, expected):
    """By the names that a file has."""
    site = await serving(Site(tmp_path), TREE)

    assert meant(site, path) == expected


FORMS = {
    ("auto", "/docs/"): "docs/index.html",
    ("leave", "/docs"): "docs/index.html",
    ("strip", "/docs"): "docs/index.html",
    ("strip", "/about"): "about.html",
    ("add", "/about/"): "about.html",
    ("add", "/docs/"): "docs/index.html",
}
REDIRECTS = {
    ("auto", "/docs"): "docs/index.html",
    ("strip", "/docs/"): "docs/index.html",
    ("add", "/about"): "about.html",
}


@pytest.mark.parametrize("case", FORMS.items(), ids=str)
async def test_a_path_means_it_in_the_form_that_is_served(tmp_path, case):
    """With a slash or without, as the app has it."""
    (form, path), expected = case
    site = await serving(Site(tmp_path, f"trailing_slash: {form}"), TREE)
    assert (await site.ask(path)).content.decode() == TREE[expected]

    assert meant(site, path) == [expected]


@pytest.mark.parametrize("case", REDIRECTS.items(), ids=str)
async def test_a_path_that_redirects_means_what_it_leads_to(tmp_path, case):
    """Who purges an address may not know its form."""
    (form, path), expected = case
    site = await serving(Site(tmp_path, f"trailing_slash: {form}"), TREE)
    assert (await site.ask(path)).status == 301

    assert meant(site, path) == [expected]


async def test_without_a_path_all_of_a_branch_is_meant(tmp_path):
    """Whatever was asked for so far is in memory; the rest is not stored anyway."""
    site = await serving(Site(tmp_path), TREE)
    for path in ("/", "/about", "/docs/"):
        await site.ask(path)
    assert set(meant(site, None)) >= {"index.html", "about.html", "docs/index.html"}


@pytest.mark.parametrize("named", [{"app": "other"}, {"label": "other"}], ids=str)
async def test_what_nobody_has_means_nothing(tmp_path, named):
    """It may have gone since it was named."""
    site = await serving(Site(tmp_path), TREE)

    assert meant(site, "/", None, **named) == []


async def test_what_is_not_in_memory_means_nothing(tmp_path):
    """Nothing of it can be stored."""
    site = Site(tmp_path)
    site.deploy(TREE)
    await site.start()

    assert meant(site, "/", None) == []


async def test_files_of_earlier_deployments_are_meant_too(tmp_path):
    """Those that are retained."""
    site = await serving(Site(tmp_path), {"index.html": "old", CHUNK: "chunk"}, TREE)
    assert meant(site, f"/{CHUNK}") == []
    assert (await site.ask(f"/{CHUNK}")).content == b"chunk"

    assert meant(site, f"/{CHUNK}") == [CHUNK]
    assert CHUNK in meant(site, None)


async def test_in_performance_mode_the_deployment_before_is_meant_too(tmp_path):
    """It may still answer."""
    site = await serving(Site(tmp_path, "branches: {main: {performance_mode: true}}"), TREE)
    await site.redeploy({"index.html": "new"})
    assert (await site.ask("/")).content == b"home"
    snapshot = site.worker._handler.snapshot
    await site.worker._trees.load_branch(snapshot.apps["site"].branches["main"], site.clock.epoch)

    assert meant(site, "/") == ["index.html", "index.html"]


async def test_a_purge_of_one_path_leaves_the_others(tmp_path):
    """In every coding and envelope that it is stored in."""
    site = await serving(Site(tmp_path), TREE)
    for _ in range(2):
        await site.ask("/about")
        await site.ask("/")
    order = {"do": "purge", "everything": False, "soft": False, "labels": []}
    files = [["site", "main", "/about"]]
    assert await site.worker._obey({**order, "files": files}) == {"purged": 1}
    assert "fwd=uri-miss" in (await site.ask("/about")).fields["cache-status"]
    assert "hit" in (await site.ask("/")).fields["cache-status"]
    assert (await site.worker._obey({**order, "files": [["site", "main", None]]}))["purged"] >= 2


# Names that are given up


async def gone_by(site: Site, change) -> list[bytes]:
    """Labels of what a change takes away."""
    old = site.worker._handler.snapshot
    change()
    await site.follow()
    return gone(old, site.worker._handler.snapshot)


async def test_a_deploy_takes_nothing_away(tmp_path):
    """Nor does another branch, or a reload."""
    site = await serving(Site(tmp_path), TREE)

    assert await gone_by(site, lambda: site.deploy({"index.html": "new"})) == []
    assert await gone_by(site, lambda: site.deploy(TREE, branch="next")) == []
    site.write_rules(("/a", "/", "301"))
    assert await gone_by(site, site.changes.reload) == []


async def test_a_branch_that_is_deleted_is_gone(tmp_path):
    """By its name, however its label is written."""
    site = await serving(Site(tmp_path), TREE)
    site.deploy(TREE, branch="feature/A")
    await site.follow()

    assert await gone_by(site, lambda: site.changes.delete_branch("site", "feature/A")) == [
        keys.label_of_branch("site", "feature/A")
    ]


async def test_an_app_that_is_gone_is_so_with_all_of_its_branches(tmp_path):
    """One label has them all."""
    site = await serving(Site(tmp_path), TREE)
    site.configure("", app="other")
    site.changes.reload()
    site.deploy(TREE, app="other")
    await site.follow()
    old = site.worker._handler.snapshot
    assert set(old.apps) == {"site", "other"}

    def leave() -> None:
        (tmp_path / "rules" / "other" / "app.yml").unlink()
        (tmp_path / "rules" / "other").rmdir()
        site.changes.delete_branch("other", "main")
        site.changes.reload()

    labels = await gone_by(site, leave)
    left = site.worker._handler.snapshot.apps
    assert labels == [
        keys.label_of_branch("other", "main") if "other" in left else keys.label_of_app("other")
    ]


async def test_who_has_a_name_next_does_not_see_what_was_stored(tmp_path):
    """A branch that comes again begins with nothing."""
    with originating() as origin:
        site = await proxied(tmp_path, origin).start()
        origin.on("/x", saying(b"old", 200, FRESH))
        site.deploy({"index.html": "next"}, branch="next")
        await site.follow()
        host = HOST.replace("main", "next")
        for name in (HOST, host):
            for _ in range(3):
                answer = await get(site, "/o/x", host=name)
            assert handling(answer) == "hit"
        origin.on("/x", saying(b"new", 200, FRESH))
        site.changes.delete_branch("site", "next")
        await site.follow()
        assert (await get(site, "/o/x", host=host)).status == 404
        assert len(broker_of(site).shelf) == 1
        site.deploy({"index.html": "again"}, branch="next")
        await site.follow()
        assert (await get(site, "/o/x", host=host)).content == b"new"
        assert (await get(site, "/o/x")).content == b"old"
        await quiet(site)
