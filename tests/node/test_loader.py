"""Generations to snapshots: share what is equal, refuse what is torn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from edge.errors import StoreError
from edge.node import loader as module
from edge.site.snapshot import Snapshot, Tree
from tests.support_serving import Site

DOMAINS = "domains: {example.com: {subdomains: {'': main}}}"


@pytest.fixture
async def site(tmp_path):
    """Three apps, one of them with two branches."""
    site = Site(tmp_path)
    for app in ("one", "site", "two"):
        site.deploy({"index.html": app}, app=app)
    site.deploy({"index.html": "preview"}, branch="pr-7")
    return await site.start()


def snapshot(site: Site) -> Snapshot:
    """What the worker serves."""
    return site.worker._handler.snapshot


async def test_what_did_not_change_is_the_same_object(site):
    """A deploy replaces one branch; other branches, sites and apps stay as they are."""
    before = snapshot(site)
    await site.redeploy({"index.html": "new"})
    after = snapshot(site)
    assert after.number == before.number + 1
    for app in ("one", "two"):
        assert after.apps[app] is before.apps[app]
    old, new = before.apps["site"], after.apps["site"]
    assert new is not old
    assert new.branches["pr-7"] is old.branches["pr-7"]
    assert new.branches["main"] is not old.branches["main"]
    host = b"pr-7.site.edge.localhost"
    assert after.hosts[host] is before.hosts[host]
    assert (old.branches["main"].retired, new.branches["main"].retired) == (True, False)
    assert not new.branches["pr-7"].retired


async def test_a_change_of_configuration_makes_every_branch_anew(site):
    """Settings of an app hold for all its branches; their manifests stay loaded."""
    await site.ask("/")
    before = snapshot(site)
    tree = before.apps["site"].branches["main"].active
    site.configure("trailing_slash: add")
    site.changes.reload()
    await site.follow()
    after = snapshot(site).apps["site"]
    assert not set(map(id, after.branches.values())) & set(
        map(id, before.apps["site"].branches.values())
    )
    assert after.branches["main"].trailing_slash == "add"
    assert after.branches["main"].active is tree
    assert tree.manifest is not None


async def test_an_unchanged_generation_keeps_everything(site):
    """A generation with new settings only shares every app."""
    before = snapshot(site)
    (site.folder / "edge.yml").write_text("cache: {memory: 64MiB}")
    site.changes.reload()
    await site.follow()
    after = snapshot(site)
    assert after.number == before.number + 1
    assert all(after.apps[name] is app for name, app in before.apps.items())
    assert site.worker.status()["cache"]["capacity"] == 64 * 1024 * 1024


async def test_another_default_domain_moves_every_host(site):
    """All hosts are made anew, also when a refused generation stood in between."""
    loader, before = site.worker._loader, snapshot(site)
    (site.folder / "edge.yml").write_text("default_domain: example.net")
    site.changes.reload()
    await loader.load(loader.current(), before)  # loaded and given up
    await site.follow()
    assert set(snapshot(site).hosts) == {
        host.replace(b"edge.localhost", b"example.net") for host in before.hosts
    }
    assert (await site.ask("/", host="main.site.example.net")).content == b"site"
    assert (await site.ask("/")).status == 404


async def test_an_app_that_is_gone_takes_its_hosts_along(site):
    """An app without a folder is unknown after a reload; the others are untouched."""
    before = snapshot(site)
    (site.folder / "rules" / "one" / "app.yml").unlink()
    (site.folder / "rules" / "one").rmdir()
    site.changes.reload()
    await site.follow()
    assert set(snapshot(site).apps) == {"site", "two"}
    assert set(before.hosts) - set(snapshot(site).hosts) == {b"main.one.edge.localhost"}


@pytest.mark.parametrize(("source", "target"), [("one", "two"), ("two", "one")])
async def test_a_domain_can_move_between_apps(site, source, target):
    """In one reload, whichever app comes first, the host leads to its new app."""
    site.configure(DOMAINS, app=source)
    site.changes.reload()
    await site.follow()
    assert (await site.ask("/", host="example.com")).content == source.encode()
    site.configure("", app=source)
    site.configure(DOMAINS, app=target)
    site.changes.reload()
    await site.follow()
    assert (await site.ask("/", host="example.com")).content == target.encode()
    site.configure("", app=target)
    site.changes.reload()
    await site.follow()
    assert (await site.ask("/", host="example.com")).status == 404


def compiled(site: Site) -> Path:
    """The document of the app `site` in the current generation."""
    generation = msgspec.json.decode(site.places.current.read_bytes())
    return site.places.compiled / generation["apps"]["site"]


@pytest.mark.parametrize("document", ["generation", "app"])
@pytest.mark.parametrize("damage", ["missing", "torn", "another kind", "not UTF-8"])
async def test_a_torn_generation_is_refused_whole(site, document, damage):
    """What serves keeps serving, untouched, until the generation can be read."""
    before = snapshot(site)
    site.deploy({"index.html": "new"})
    path = site.places.current.resolve() if document == "generation" else compiled(site)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        damaged = {"torn": content[:-7], "not UTF-8": content.replace(b"main", b"\xff")}
        path.write_bytes(damaged.get(damage, b'["text"]'))
    with pytest.raises(StoreError, match=path.name):
        await site.worker._loader.load(site.worker._loader.current(), before)
    await site.follow_quietly()
    assert snapshot(site) is before
    assert (await site.ask("/")).content == b"site"
    path.write_bytes(content)
    await site.follow()
    assert (await site.ask("/")).content == b"new"


async def test_a_generation_whose_manifest_is_torn_is_refused(site):
    """The manifest that takes over from a loaded one is read before the swap, and refused there."""
    await site.ask("/")
    before = snapshot(site)
    identifier = site.deploy({"index.html": "new"})
    site.places.manifest("site", "main", identifier).write_bytes(b"{")
    await site.follow_quietly()
    assert snapshot(site) is before
    assert (await site.ask("/")).content == b"site"


async def test_a_successor_is_warm_before_it_serves(site):
    """After a swap no request waits for the manifest of a site that was in use."""
    await site.ask("/")
    await site.redeploy({"index.html": "new"})
    branches = snapshot(site).apps["site"].branches
    assert branches["main"].active.manifest is not None
    assert branches["pr-7"].active.manifest is None, "nobody asked for it"


async def test_loading_leaves_the_loop_to_others(site, monkeypatch):
    """Between slices of work the sockets have their turn."""
    monkeypatch.setattr(module, "SLICE_SECONDS", -1.0)
    loading = asyncio.ensure_future(
        site.worker._loader.load(site.worker._loader.current(), Snapshot(0, {}, {}))
    )
    turns = 0
    while not loading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 3
    assert set(loading.result().hosts) == set(snapshot(site).hosts)


@pytest.mark.parametrize("link", [None, "nowhere", "generations/", "file"])
async def test_current_may_be_anything(tmp_path, link):
    """A `current` that names no generation is none, not an exception."""
    site = Site(tmp_path)
    current = site.places.current
    current.unlink(missing_ok=True)
    if link == "file":
        current.write_text("7")
    elif link is not None:
        current.symlink_to(link)
    assert site.new_worker()._loader.current() is None


async def test_a_generation_that_never_served_leaves_no_trees(site):
    """What was loaded for a refused generation is gone when the next one is loaded."""
    site.upload({"index.html": "x"})
    loader = site.worker._loader
    trees = set(loader._library.trees)
    site.deploy({"index.html": "refused"})
    refused = await loader.load(loader.current(), snapshot(site))
    assert set(loader._library.trees) != trees
    del refused
    assert set(loader._library.trees) == trees


def test_trees_can_be_let_go():
    """Trees are held weakly by whoever finds them by name."""
    source = module.Library()
    tree = source.tree("app", "label", "id")
    assert source.tree("app", "label", "id") is tree
    assert isinstance(tree, Tree)
    del tree
    assert not source.trees


# Rules and headers

HEADERS = "customHeaders: [{pattern: '**', headers: [{key: X-Own, value: NUMBER}]}]"
CARRIED = '[{"source": "/old", "target": "/carried", "status": "302"}]'


async def rewrite(site: Site, number: int, app: str = "site") -> None:
    """Give an app rules and headers that a request can tell apart."""
    site.write_rules(("/old", f"/{number}", "301"), ("/x", "/y"), app=app)
    site.write("customHttp.yml", HEADERS.replace("NUMBER", f"'{number}'"), app)
    site.changes.reload()


async def serving(site: Site) -> tuple[str, str]:
    """What tells the rules, and what the headers that serve."""
    fields = (await site.ask("/old")).fields
    return fields.get("location", "none"), fields.get("x-own", "none")


def document(site: Site, kind: str, app: str = "site") -> Path:
    """The document of an app's rules or headers in the current generation."""
    return site.places.compiled / getattr(site.changes.app(app), kind)


async def test_all_branches_share_what_their_app_says(site):
    """Compiled once, however many there are; an app with the same rules shares them too."""
    await rewrite(site, 1)
    await rewrite(site, 1, app="one")
    await site.follow()
    apps = snapshot(site).apps
    main, preview = (apps["site"].branches[label] for label in ("main", "pr-7"))
    assert main.plan is preview.plan is apps["one"].branches["main"].plan
    assert main.headers is preview.headers
    assert len(main.plan.rules) == 2
    assert apps["two"].branches["main"].plan.is_empty


async def test_what_is_loaded_serves_the_next_generations_too(site):
    """A deploy, and a change of other settings, compile nothing again that stayed the same."""
    await rewrite(site, 1)
    await site.follow()
    before = snapshot(site).apps["site"].branches["main"]
    await site.redeploy({"index.html": "new"})
    deployed = snapshot(site).apps["site"].branches["main"]
    site.configure("trailing_slash: add")
    site.changes.reload()
    await site.follow()
    configured = snapshot(site).apps["site"].branches["main"]
    assert len({before, deployed, configured}) == 3
    assert before.plan is deployed.plan is configured.plan
    assert before.headers is deployed.headers is configured.headers


async def test_a_change_of_rules_is_a_change_of_one_app(site):
    """Its plan is new, the headers stay; other apps are the same objects."""
    await rewrite(site, 1)
    await site.follow()
    before = snapshot(site)
    site.write_rules(("/old", "/2", "301"))
    site.changes.reload()
    await site.follow()
    after = snapshot(site)
    assert await serving(site) == ("/2", "1")
    assert all(after.apps[app] is before.apps[app] for app in ("one", "two"))
    old, new = (each.apps["site"].branches["main"] for each in (before, after))
    assert new.plan is not old.plan
    assert new.headers is old.headers


async def test_what_a_deployment_carries_is_its_branchs_alone(site):
    """The other branches of the app have the folder's."""
    await rewrite(site, 1)
    await site.redeploy({"index.html": "new", "redirects.json": CARRIED})
    assert await serving(site) == ("/carried", "1")
    answer = await site.ask("/old", host="pr-7.site.edge.localhost")
    assert answer.fields["location"] == "/1"


async def test_rules_that_nobody_needs_are_not_kept(site):
    """Neither those that were replaced, nor those of a generation that never served."""
    await rewrite(site, 1)
    await site.follow()
    loader = site.worker._loader
    await rewrite(site, 2)
    await loader.load(loader.current(), snapshot(site))  # loaded and given up
    assert set(loader._library.plans) == {snapshot_key(site)}
    await site.follow()
    assert set(loader._library.plans) == {snapshot_key(site)}
    assert len(loader._library.header_plans) == 1
    assert not loader._library.headers


def snapshot_key(site: Site) -> str:
    """The name of the rules that the worker serves the app `site` by."""
    return snapshot(site).apps["site"].state.rules


DAMAGE = {
    "missing": None,
    "empty": lambda content: content[:0],
    "torn": lambda content: content[:-7],
    "another kind": lambda content: b"[" + content[:0] + b'"text"]',
    "not UTF-8": lambda content: content.replace(b"o", b"\xff", 1),
    "a bit": lambda content: content.replace(b"2", b"3", 1),
}


@pytest.mark.parametrize(
    ("kind", "damage"),
    [("rules", damage) for damage in DAMAGE]
    + [("headers", damage) for damage in DAMAGE if damage != "a bit"],
)
async def test_a_generation_whose_rules_or_headers_are_torn_is_refused(site, kind, damage):
    """The old ones serve on, all of them, until the document can be read; a 403 is never lost."""
    await rewrite(site, 1)
    await site.follow()
    before = snapshot(site)
    await rewrite(site, 2)
    path = document(site, kind)
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(DAMAGE[damage](content))
    with pytest.raises(StoreError, match=path.name):
        await site.worker._loader.load(site.worker._loader.current(), before)
    await site.follow_quietly()
    assert snapshot(site) is before
    assert await serving(site) == ("/1", "1")
    path.write_bytes(content)
    await site.follow()
    assert await serving(site) == ("/2", "2")


async def test_a_document_of_rules_that_lost_lines_is_torn(site):
    """Every line is whole, and rules are missing: what they refused would be open."""
    site.write_rules(*((f"/{n}", "/x", "301") for n in range(300)))
    site.changes.reload()
    path = document(site, "rules")
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n")
    with pytest.raises(StoreError, match="torn"):
        await site.worker._loader.load(site.worker._loader.current(), snapshot(site))


async def test_a_worker_that_starts_loads_what_serves(site):
    """The same rules and headers as the worker before it."""
    await rewrite(site, 1)
    await site.redeploy({"index.html": "new", "redirects.json": CARRIED})
    assert await serving(await site.sibling()) == ("/carried", "1")


async def test_no_rules_are_loaded_as_none(site):
    """A deployment's empty list is a document without a line."""
    await rewrite(site, 1)
    await site.redeploy({"index.html": "new", "redirects.json": "[]"})
    branch = snapshot(site).apps["site"].branches["main"]
    assert (document(site, "rules").exists(), branch.plan.is_empty) == (True, True)
    assert await serving(site) == ("none", "1")


async def test_loading_20_000_rules_leaves_the_loop_to_others(site, monkeypatch):
    """So often that no slice is longer than a few ms, also where every rule is a pattern."""
    monkeypatch.setattr(module, "SLICE_SECONDS", -1.0)
    site.write_rules(*((f"/{n}", f"/to/{n}", "301") for n in range(20_000)))
    site.changes.reload()
    loader = site.worker._loader
    loading = asyncio.ensure_future(loader.load(loader.current(), snapshot(site)))
    turns = 0
    while not loading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 20_000 / 16
    await site.follow()
    assert (await site.ask("/19999")).fields["location"] == "/to/19999"
