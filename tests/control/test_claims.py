"""Who gets which hostname."""

from __future__ import annotations

import pytest

from edge.control.claims import Claims, claims_of, refuse_conflicts, refuse_taken
from edge.control.configuration import Configuration
from edge.errors import StoreError
from edge.site.documents import App, Domain
from edge.site.generation import AppState, BranchState

DOMAIN = "edge.localhost"


def config(*hosts, branch="main"):
    """An app's configuration with these domains."""
    return App(domains={host: Domain(subdomains={"": branch}) for host in hosts})


def state(name, *hosts):
    """A compiled app that has these domains and a branch `main`."""
    branches = {"main": BranchState(name="main", label="main")}
    return AppState(name=name, config=config(*hosts), branches=branches)


def found(**apps):
    """What was read: hosts by app; None is a broken file."""
    read = Configuration()
    for name, hosts in apps.items():
        read.texts[name] = (f"rules/{name}/app.yml", "")
        if hosts is None:
            read.refuse(name, [])
        else:
            read.apps[name] = config(*hosts)
    return read


def judge(read, *old):
    """The configuration after the conflicts are found; the apps `old` serve now."""
    states = {each.name: each for each in old}
    served = Claims().by_app(states, DOMAIN)
    refuse_conflicts(read, states, lambda _: {"main": "main"}, DOMAIN, served)
    return read


def test_claims_of_an_app_are_its_hostnames():
    """Its own domains and the default one."""
    hosts = {claim.host for claim in claims_of(state("a", "a.example"), DOMAIN)}

    assert hosts == {"a.example", "main.a.edge.localhost"}


def test_incumbents_are_remembered_by_document():
    """The same state costs nothing; another one, another domain or a gone app is noticed."""
    claims = Claims()
    one, two = state("a", "a.example"), state("b", "b.example")
    before = claims.incumbents({"a": one, "b": two}, DOMAIN)
    again = claims.incumbents({"a": one, "b": two}, DOMAIN)
    assert all(again[host] is claim for host, claim in before.items())

    changed = claims.incumbents({"a": state("a", "new.example")}, DOMAIN)
    moved = claims.incumbents({"a": one}, "other.test")

    assert set(changed) == {"new.example", "main.a.edge.localhost"}
    assert set(moved) == {"a.example", "main.a.other.test"}


def test_an_app_that_never_had_a_configuration_holds_nothing():
    """Its 503 takes no hostname from anybody."""
    assert Claims().incumbents({"a": AppState(name="a", config=None)}, DOMAIN) == {}


def test_a_free_hostname_is_taken():
    """Nobody is refused."""
    read = judge(found(a=["a.example"], b=["b.example"]))

    assert (sorted(read.apps), read.errors) == (["a", "b"], [])


def test_two_newcomers_are_both_refused():
    """A guess would serve one team's content under another's name; each is told of the other."""
    read = judge(found(a=["x.example"], b=["x.example"], c=["c.example"]))

    assert list(read.apps) == ["c"]
    assert [error.message for error in read.errors] == [
        "x.example is claimed by app a branch main and by app b branch main",
        "x.example is claimed by app b branch main and by app a branch main",
    ]


def test_the_incumbent_keeps_its_hostname():
    """Only the newcomer has a mistake, whatever the order of their names."""
    assert list(judge(found(a=["x.example"], b=["x.example"]), state("b", "x.example")).apps) == [
        "b"
    ]
    assert list(judge(found(a=["x.example"], b=["x.example"]), state("a", "x.example")).apps) == [
        "a"
    ]


def test_a_hostname_may_move_in_one_reload():
    """From one app that drops it to another that takes it."""
    read = judge(found(a=[], b=["x.example"]), state("a", "x.example"), state("b"))

    assert (sorted(read.apps), read.errors) == (["a", "b"], [])


def test_a_broken_app_keeps_what_it_serves():
    """Its last good configuration counts, so nobody takes its hostname meanwhile."""
    read = judge(found(a=None, b=["x.example"]), state("a", "x.example"), state("b"))

    assert list(read.apps) == []
    assert [error.file for error in read.errors] == ["rules/b/app.yml"]


def test_a_refusal_may_refuse_the_next():
    """b is refused for c's host and keeps x; so a, which wanted x from it, is refused too."""
    read = judge(
        found(a=["x.example"], b=["y.example"], c=["y.example"]),
        state("a"),
        state("b", "x.example"),
        state("c", "y.example"),
    )

    assert list(read.apps) == ["c"]
    assert sorted(read.broken) == ["a", "b"]


def test_one_app_may_not_claim_a_hostname_for_two_branches():
    """Also its own; the last good configuration serves on."""
    app = App(
        domains={
            "example.com": Domain(subdomains={"www": "main"}),
            "www.example.com": Domain(subdomains={"": "docs"}),
        }
    )
    read = found(a=[])
    read.apps["a"] = app

    judge(read, state("a"))

    assert list(read.apps) == []
    assert "branch main and by app a branch docs" in read.errors[0].message


def test_a_mistake_points_at_its_key():
    """In the file of the app that has it."""
    read = found(a=["x.example"], b=["x.example"])
    text = "\ndomains:\n  x.example:\n    subdomains: {'': main}\n"
    read.texts["a"] = ("rules/a/app.yml", text)

    error = judge(read).errors[0]

    assert (error.file, error.line, error.column) == ("rules/a/app.yml", 4, 18)


def test_a_new_branch_takes_nobodys_hostname():
    """The deploy is refused with both named; its own app's hostnames are no obstacle."""
    incumbents = Claims().incumbents({"b": state("b", "x.example")}, DOMAIN)
    refuse_taken(state("b", "x.example"), DOMAIN, incumbents)
    refuse_taken(AppState(name="a", config=None), DOMAIN, incumbents)

    with pytest.raises(
        StoreError,
        match=r"x.example would be claimed by app a branch main, but app b branch main has it",
    ):
        refuse_taken(state("a", "x.example"), DOMAIN, incumbents)
