"""What branches are made of: equal ones are the same, documents are made once."""

from __future__ import annotations

import msgspec

from edge.site.documents import App, Domain
from edge.site.generation import AppState
from edge.site.headers import Application, CustomHttp, HeaderEntry
from edge.site.headers import Header as Field
from edge.site.library import Library, compile_app
from edge.site.plan import EMPTY, compile_plan
from edge.site.rule import Rule
from tests.support_site import fields_of, library_of, state_of

HEADERS = CustomHttp(
    custom_headers=(HeaderEntry(pattern="**", headers=(Field(key="X-Own", value="a"),)),),
)
MONOREPO = CustomHttp(
    applications=(Application(app_root="shop", custom_headers=HEADERS.custom_headers),)
)


def test_equal_branches_are_the_same_objects():
    """Compiled again, a branch that did not change is reused with its site, another is not."""
    trees = Library()
    before = compile_app("k1", state_of("main", "dev"), "x.test", trees)
    changed = state_of("main", "dev")
    changed.branches["dev"] = state_of("dev", at=200.0).branches["dev"]
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
    before = compile_app("k1", state_of("main"), "x.test", trees)
    config = App(trailing_slash="add")
    after = compile_app("k2", state_of("main", config=config), "x.test", trees, before)
    assert after.branches["main"] is not before.branches["main"]
    assert after.branches["main"].active is before.branches["main"].active


def test_an_app_that_never_had_a_configuration_has_hosts_without_branches():
    """Its default hosts are known, so that they can answer 503."""
    broken = AppState(name="app", config=None, branches=state_of("main").branches)
    app = compile_app("k", broken, "x.test", Library())
    assert {host: site.branch for host, site in app.hosts.items()} == {b"main.app.x.test": None}


def with_documents(app: AppState, **fields: str | None) -> AppState:
    """The app with documents of the branch `main`."""
    main = msgspec.structs.replace(app.branches["main"], **fields)
    return msgspec.structs.replace(app, branches={**app.branches, "main": main})


def test_a_branchs_own_documents_come_before_its_apps():
    """Each kind by itself."""
    shelf = library_of(app=HEADERS)
    plans = {name: compile_plan([Rule(source=f"/{name}", target="/")]) for name in ("app", "own")}
    shelf.plans.update(plans)
    app = msgspec.structs.replace(state_of("main", "dev"), rules="app", headers="app")
    branches = compile_app("k", with_documents(app, rules="own"), "x.test", shelf).branches
    assert (branches["main"].plan, branches["dev"].plan) == (plans["own"], plans["app"])
    assert branches["main"].headers is branches["dev"].headers
    assert fields_of(branches["main"].headers, "/x") == ((b"X-Own", b"a"),)


def test_without_documents_there_are_no_rules_and_no_headers():
    """Nothing is asked of either."""
    branch = compile_app("k", state_of("main"), "x.test", Library()).branches["main"]
    assert branch.plan is EMPTY
    assert not branch.headers


def test_headers_are_compiled_once_for_each_app_root():
    """A monorepo's file has other entries for another app, and none for one it does not name."""
    shelf = library_of(mono=MONOREPO)
    roots = ["shop", "./shop/", "other", None]
    apps = [
        msgspec.structs.replace(state_of("main", config=App(app_root=r)), headers="mono")
        for r in roots
    ]
    plans = [compile_app("k", app, "x.test", shelf).branches["main"].headers for app in apps]
    assert [len(plan) for plan in plans] == [1, 1, 0, 0]
    again = compile_app("k", apps[0], "x.test", shelf).branches["main"].headers
    assert again is plans[0]
    assert len(set(map(id, plans))) == 4


def test_other_documents_make_other_branches():
    """A change of rules or headers alone is a change."""
    shelf = library_of(a=HEADERS, b=HEADERS)
    plans = {name: compile_plan([Rule(source=f"/{name}", target="/")]) for name in "ab"}
    shelf.plans.update(plans)
    app = msgspec.structs.replace(state_of("main", "dev"), rules="a", headers="a")
    before = compile_app("1", app, "x.test", shelf)
    for changes in ({"rules": "b"}, {"headers": "b"}, {"rules": None}):
        changed = msgspec.structs.replace(app, **changes)
        after = compile_app("2", changed, "x.test", shelf, before)
        assert not set(after.branches.values()) & set(before.branches.values())
    after = compile_app("2", with_documents(app, rules="b"), "x.test", shelf, before)
    assert after.branches["main"] is not before.branches["main"]
    assert after.branches["dev"] is before.branches["dev"]


def test_equal_documents_of_retained_files_are_loaded_once():
    """A branch that only changed its settings has the same."""
    shelf = Library()
    app = with_documents(state_of("main"), retained="key")
    branches = [compile_app("k", app, "x.test", shelf).branches["main"] for _ in range(2)]
    assert branches[0].retained is branches[1].retained is shelf.kept("key")
    assert compile_app("k", state_of("main"), "x.test", shelf).branches["main"].retained is None


def test_a_host_whose_branch_nobody_deployed_has_the_apps_rules():
    """An apex redirects before the first deploy."""
    shelf = Library()
    plan = shelf.plans["rules"] = compile_plan([Rule(source="/old", target="/new")])
    config = App(domains={"example.com": Domain(subdomains={"": "main"})})
    app = AppState(name="app", config=config, branches={}, rules="rules")
    branch = compile_app("k", app, "x.test", shelf).hosts[b"example.com"].branch
    assert (branch.name, branch.label, branch.active) == ("main", "main", None)
    assert branch.plan is plan
