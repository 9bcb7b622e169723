"""All that a request may read: what is remembered, shared and bounded."""

from __future__ import annotations

import pytest

from edge.site import snapshot as module
from edge.site.documents import App, BranchSettings
from edge.site.envelope import BARE
from edge.site.generation import Activation, AppState, BranchState
from edge.site.manifest import Asset, Entry, Header
from edge.site.snapshot import Library, Shortcut, Shortcuts, Site, Snapshot, compile_app

SHORTCUT = Shortcut(
    Asset(
        Entry("a", "ab" * 32, 1, "text/plain", {}),
        Header(id="d", app="a", branch="b", label="b", created=0.0),
    ),
    BARE,
)


def state(*labels: str, config: App | None = None, at: float = 100.9) -> AppState:
    """An app with these branches, each with an active and a previous deployment."""
    return AppState(
        name="app",
        config=config or App(),
        branches={
            label: BranchState(
                name=label,
                label=label,
                active=Activation(deployment=f"{label}-2", at=at),
                previous=Activation(deployment=f"{label}-1", at=50.2),
            )
            for label in labels
        },
    )


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
    assert not shortcuts._sites


def test_the_previous_deployment_counts_in_performance_mode_alone():
    """Without it a branch has one source, and nothing answers before."""
    plain = compile_app("k", state("main"), "x.test", Library()).branches["main"]
    config = App(branches={"main": BranchSettings(performance_mode=True)})
    fast = compile_app("k", state("main", config=config), "x.test", Library()).branches["main"]
    assert [tree.id for tree in plain.sources()] == ["main-2"]
    assert [tree.id for tree in fast.sources()] == ["main-2", "main-1"]
    assert (fast.active_at, fast.previous_at) == (100, 50)
    assert [fast.answers_before(epoch) for epoch in (100, 699, 700)] == [True, True, False]
    assert not plain.answers_before(100)


def test_equal_branches_are_the_same_objects():
    """Compiled again, a branch that did not change is reused with its site, another is not."""
    trees = Library()
    before = compile_app("k1", state("main", "dev"), "x.test", trees)
    changed = state("main", "dev")
    changed.branches["dev"] = state("dev", at=200.0).branches["dev"]
    after = compile_app("k2", changed, "x.test", trees, before)
    assert after.branches["main"] is before.branches["main"]
    assert after.branches["dev"] is not before.branches["dev"]
    main, dev = b"main.app.x.test", b"dev.app.x.test"
    assert after.hosts[main] is before.hosts[main]
    assert after.hosts[dev] is not before.hosts[dev]
    assert after.branches["dev"].active is before.branches["dev"].active


def test_another_configuration_reuses_no_branch():
    """Settings are compiled into every branch."""
    trees = Library()
    before = compile_app("k1", state("main"), "x.test", trees)
    config = App(trailing_slash="add")
    after = compile_app("k2", state("main", config=config), "x.test", trees, before)
    assert after.branches["main"] is not before.branches["main"]
    assert after.branches["main"].active is before.branches["main"].active


def test_an_app_that_never_had_a_configuration_has_hosts_without_branches():
    """Its default hosts are known, so that they can answer 503."""
    broken = AppState(name="app", config=None, branches=state("main").branches)
    app = compile_app("k", broken, "x.test", Library())
    assert {host: site.branch for host, site in app.hosts.items()} == {b"main.app.x.test": None}
