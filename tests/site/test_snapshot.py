"""All that a request may read: what is remembered, shared and bounded."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from edge.site import snapshot as module
from edge.site.documents import Access, App, BranchSettings
from edge.site.envelope import BARE, Sharing
from edge.site.generation import AppState, BranchState, RetainedFile
from edge.site.headers import CustomHttp, HeaderEntry
from edge.site.headers import Header as Field
from edge.site.library import Library, compile_app
from edge.site.manifest import Asset, Entry, Header, Manifest
from edge.site.snapshot import (
    Retained,
    Shortcut,
    Shortcuts,
    Site,
    Snapshot,
)
from tests.support_site import UNHURRIED, compile_site, library_of, state_of

SHORTCUT_HEADER = Header(id="d", app="a", branch="b", label="b", created=0.0)
SHORTCUT = Shortcut(Asset(Entry("a", "ab" * 32, 1, "text/plain", {}), SHORTCUT_HEADER), BARE)


@pytest.mark.parametrize(
    ("raw", "path", "is_remembered"),
    [
        (b"/about", "/about", True),
        (b"/a%20b", "/a b", True),
        (b"/\xc3\xbc", "/ü", True),
        (b"/%C3%BC", "/ü", True),
        (b"/%c3%bc", "/ü", False),
        (b"/%61bout", "/about", False),
        (b"/./about", "/about", False),
        (b"/x/../about", "/about", False),
    ],
)
def test_only_plain_spellings_are_remembered(raw, path, is_remembered):
    """A path has two spellings at most that take memory, whatever clients invent."""
    site = Site("a.example", None, noindex=False)
    Snapshot(1, {}, {}).remember(site, raw, path, SHORTCUT)
    assert (raw in site.found) == is_remembered


def test_paths_are_remembered_within_a_bound_over_all_snapshots(monkeypatch):
    """Snapshots share sites, so they share the bound; at the bound all begin anew."""
    monkeypatch.setattr(module, "REMEMBERED", 10)
    shortcuts = Shortcuts()
    sites = [Site(f"{n}.example", None, noindex=False) for n in range(3)]
    for number in range(100):
        snapshot = Snapshot(number, {}, {}, shortcuts=shortcuts)
        for site in sites:
            snapshot.remember(site, b"/%d" % number, f"/{number}", SHORTCUT)
            assert sum(len(each.found) for each in sites) <= 10
            assert site.found[b"/%d" % number] is SHORTCUT


def test_a_site_that_is_gone_is_not_kept():
    """What is remembered keeps no site of an old snapshot alive."""
    shortcuts = Shortcuts()
    site = Site("a.example", None, noindex=False)
    shortcuts.add(site, b"/", SHORTCUT)
    del site
    assert not shortcuts._commons


def test_the_previous_deployment_counts_in_performance_mode_alone():
    """Without it a branch has one source, and nothing answers before."""
    plain = compile_app("k", state_of("main"), "x.test", Library()).branches["main"]
    config = App(branches={"main": BranchSettings(performance_mode=True)})
    fast = compile_app("k", state_of("main", config=config), "x.test", Library()).branches["main"]
    assert [tree.id for tree in plain.sources()] == ["main-2"]
    assert [tree.id for tree in fast.sources()] == ["main-2", "main-1"]
    assert (fast.active_at, fast.previous_at) == (100, 50)
    assert [fast.answers_before(epoch) for epoch in (100, 699, 700)] == [True, True, False]
    assert not plain.answers_before(100)


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        ("/.well-known/acme", False),
        ("/.well-known/a/b", True),
        ("/public/a/b", False),
        ("/publicity", True),
        ("/", True),
    ],
)
def test_exempt_paths_need_no_password(path, asks):
    """By the globs of the headers, on branches that have users."""
    access = Access(users={"ann": "x"}, exempt=("/.well-known/*", "/public/**"))
    for config, expected in ((App(access=access), asks), (App(), False)):
        app = compile_app("k", state_of("main", config=config), "x.test", Library())
        assert app.branches["main"].asks_password(path) is expected


# What branches are made of

LONG = HeaderEntry(pattern="/x/*", headers=(Field(key="Cache-Control", value="s-maxage=3600"),))


# What hosts have in common

DOMAINS = """
domains: {example.com: {subdomains: {"": main, www: main, de: main, next: next}}}
"""


def test_hosts_that_are_answered_alike_are_one_site_in_memory():
    """Those of one branch, but for what crawlers are told and for hosts that a rule names."""
    rules = [("https://de.example.com", "https://example.com/de/", "302")]
    hosts = compile_site(["a"], rules=rules, app_yml=DOMAINS).hosts
    apex, www, de, crawled = (
        hosts[name]
        for name in (b"example.com", b"www.example.com", b"de.example.com", b"main.site.x.test")
    )
    assert apex.common is www.common
    assert len({id(site.common) for site in (apex, de, crawled)}) == 3
    assert hosts[b"next.example.com"].common is not apex.common
    Snapshot(1, {}, {}).remember(apex, b"/", "/", SHORTCUT)
    assert www.found[b"/"] is SHORTCUT is www.lines[b"GET / HTTP/1.1"]
    assert not de.found


# Bounds


def test_envelopes_of_a_branch_are_bounded(monkeypatch):
    """Clients choose paths, and paths combinations of entries; at the bound all begin anew."""
    monkeypatch.setattr(module, "ENVELOPES", 5)
    letters = "abcd"
    entries = tuple(
        HeaderEntry(pattern=f"*{each}*", headers=(Field(key=f"X-{each}", value="1"),))
        for each in letters
    )
    document = CustomHttp(custom_headers=entries)
    app = msgspec.structs.replace(state_of("main"), headers="h")
    site = compile_app("k", app, "x.test", library_of(h=document)).hosts[b"main.app.x.test"]
    for length in range(5):
        for word in itertools.combinations(letters, length):
            envelope = site.envelope("/" + "".join(word), Sharing.ALL, UNHURRIED)
            assert [name for name, _ in envelope.fields] == [f"X-{w}".encode() for w in word]
            assert len(site.common.envelopes) <= 5


def test_spellings_of_hosts_are_bounded(monkeypatch):
    """Whoever plays with ports finds the same site, and fills no memory."""
    monkeypatch.setattr(module, "KNOWN", 10)
    site = Site("a.example", None, noindex=False)
    snapshot = Snapshot(1, {}, {b"a.example": site})
    for port in range(1, 100):
        spelling = b"A.example:%d" % port
        assert snapshot.resolve(spelling) is site
        snapshot.know(spelling, site)
        assert snapshot.known[spelling] is site
        assert len(snapshot.known) <= 10
    assert snapshot.resolve(b"b.example") is None


def test_every_host_has_room_for_two_spellings(monkeypatch):
    """However many hosts there are, they do not drive each other out."""
    monkeypatch.setattr(module, "KNOWN", 10)
    sites = {b"h%d.example" % n: Site(f"h{n}.example", None, noindex=False) for n in range(50)}
    snapshot = Snapshot(1, {}, sites)
    for host, site in sites.items():
        snapshot.know(host, site)
    assert snapshot.known == sites


def test_a_retained_file_is_one_asset_until_its_time():
    """What is stored hangs on it."""
    retained = Retained("key")
    assert retained.find("a.js", 0) is None
    kept = RetainedFile(deployment="old", created=5.9, until=100, entry=SHORTCUT.asset.entry)
    retained.files = {"a.js": kept}
    asset = retained.find("a.js", 99)
    assert (asset.deployment, asset.created, asset.entry) == ("old", 5, kept.entry)
    assert retained.find("a.js", 99) is asset
    assert retained.find("a.js", 100) is None
    assert retained.find("b.js", 0) is None


def test_only_what_may_answer_has_to_be_loaded():
    """The previous deployment as long as any path of it may be kept, by the longest lifetime."""
    document = CustomHttp(custom_headers=(LONG,))
    config = App(branches={"main": BranchSettings(performance_mode=True)})
    app = msgspec.structs.replace(state_of("main", config=config, at=1000), headers="h")
    branch = compile_app("k", app, "x.test", library_of(h=document)).branches["main"]
    assert [tree.id for tree in branch.trees(1000)] == ["main-2", "main-1"]
    assert [tree.id for tree in branch.trees(4599)] == ["main-2", "main-1"]
    assert [tree.id for tree in branch.trees(4600)] == ["main-2"]
    branch.active.manifest = Manifest(SHORTCUT_HEADER)
    assert [tree.id for tree in branch.trees(4599)] == ["main-1"]
    branch.previous.manifest = branch.active.manifest
    assert list(branch.trees(4599)) == []


def test_an_app_without_deployments_has_nothing_to_load():
    """Its rules answer."""
    app = AppState(name="app", config=App(), branches={"m": BranchState(name="m", label="m")})
    assert list(compile_app("k", app, "x.test", Library()).branches["m"].trees(0)) == []
