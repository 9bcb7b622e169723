"""What a reload would change, of real state folders."""

from __future__ import annotations

import json

import pytest

from edge.control.reload import Refused
from edge.errors import StoreError
from tests.support_control import FakeWorker, new_store, places_of, publish, write_app

SHOP = 'domains: {shop.example: {subdomains: {"": main, www: main}}}\n'
FILES = {"index.html": "hello", "a.html": "a"}
RULE = {"source": "/old", "target": "/new"}


@pytest.fixture
def changes(tmp_path):
    """A node with a shop and a blog that serve."""
    changes = new_store(tmp_path)
    write_app(tmp_path, "shop", SHOP)
    write_rules(tmp_path, RULE)
    write_app(tmp_path, "blog")
    changes.reload()
    publish(changes, "shop", "main", FILES)
    publish(changes, "blog", "main", FILES)
    changes.reload()
    return changes


def write_rules(folder, *rules, app="shop"):
    """An app's redirects.json."""
    (folder / "rules" / app / "redirects.json").write_text(json.dumps(rules))


def photograph(folder):
    """Every file of the state folder, with its content and times."""
    return {
        path: (path.lstat().st_mtime_ns, path.lstat().st_ino, path.is_file() and path.read_bytes())
        for path in (folder / "var").rglob("*")
    }


def test_a_rehearsal_changes_nothing(tmp_path, changes):
    """Not a byte, not a time, not a generation; workers are not even asked."""
    write_app(tmp_path, "shop", "trailing_slash: add\n")
    write_app(tmp_path, "new")
    (tmp_path / "rules" / "blog" / "app.yml").unlink()
    (tmp_path / "rules" / "blog").rmdir()
    worker = FakeWorker(places_of(tmp_path).run, lambda _: {"error": "nobody may ask"})
    try:
        before = photograph(tmp_path)
        rehearsed = changes.rehearse()
        assert photograph(tmp_path) == before
        assert worker.orders == []
    finally:
        worker.close()

    assert rehearsed.changed == ["blog", "new", "shop"]
    assert rehearsed.generation == changes.generations.current().number
    told = {each.app: each.change for each in rehearsed.difference.apps}
    assert told == {"blog": "gone", "new": "new", "shop": "changed"}
    assert changes.reload().difference == rehearsed.difference


def test_a_rehearsal_is_refused_as_the_reload_would_be(tmp_path, changes):
    """With what the other apps would get, and still nothing changes."""
    write_app(tmp_path, "shop", "nope: 1\n")
    write_app(tmp_path, "blog", "production_branch: trunk\n")
    number = changes.generations.current().number

    with pytest.raises(Refused) as refused:
        changes.rehearse()
    with pytest.raises(Refused) as atomic:
        changes.rehearse(atomic=True)

    assert (refused.value.kept, refused.value.reloaded.changed) == (["shop"], ["blog"])
    assert [each.app for each in refused.value.reloaded.difference.apps] == ["blog"]
    assert (atomic.value.kept, atomic.value.reloaded.changed) == (["blog", "shop"], [])
    assert changes.generations.current().number == number


def test_all_or_nothing(tmp_path, changes):
    """One mistake, and the good app's change is not applied; mended, both are."""
    write_app(tmp_path, "shop", "nope: 1\n")
    write_app(tmp_path, "blog", "production_branch: trunk\n")
    before = photograph(tmp_path)

    with pytest.raises(Refused) as refused:
        changes.reload(atomic=True)

    assert refused.value.reloaded.changed == []
    assert photograph(tmp_path) == before
    write_app(tmp_path, "shop", SHOP)
    assert changes.reload(atomic=True).changed == ["blog"]


def test_the_radius_is_what_requests_would_get(tmp_path, changes):
    """Rules of the folder, over the files that serve, at the app's own host."""
    write_rules(tmp_path, {"source": "/a", "target": "/b"}, RULE)

    radius = changes.rehearse().radius

    told = [(each.request, each.before.answer, each.after.answer) for each in radius.requests]
    assert told == [("shop.example/a", "200 /a.html", "301 /b")]
    assert radius.hosts == ["shop.example"]


def test_an_app_that_keeps_its_rules_has_no_radius(tmp_path, changes):
    """Its hosts are told, and no request is answered differently."""
    write_app(tmp_path, "shop", SHOP.replace("www", "new"))

    rehearsed = changes.rehearse()

    (shop,) = rehearsed.difference.apps
    assert [each.host for each in shop.hosts] == ["new.shop.example", "www.shop.example"]
    assert shop.rules == []
    assert rehearsed.radius.requests == []


def test_another_default_domain_moves_every_app(tmp_path, changes):
    """Though no app's files are others."""
    (tmp_path / "edge.yml").write_text("default_domain: sites.test\n")

    difference = changes.reload().difference

    assert [each.app for each in difference.apps] == ["blog", "shop"]
    hosts = [(each.host, each.before, each.after) for each in difference.apps[0].hosts]
    assert hosts == [
        ("main.blog.edge.localhost", "blog/main", None),
        ("main.blog.sites.test", None, "blog/main"),
    ]
    assert [each.key for each in difference.settings] == ["default_domain"]


def test_a_host_that_moves_to_another_app(tmp_path, changes):
    """Is told once, where it goes to."""
    write_app(tmp_path, "shop")
    write_app(tmp_path, "blog", SHOP)

    difference = changes.rehearse().difference

    hosts = {app.app: [(each.host, each.after) for each in app.hosts] for app in difference.apps}
    assert hosts["blog"] == [("shop.example", "blog/main"), ("www.shop.example", "blog/main")]


def test_headers_and_monorepos(tmp_path, changes):
    """Another application of the same file is another set of headers."""
    applications = [
        {"appRoot": root, "customHeaders": [{"pattern": "**", "headers": headers}]}
        for root, headers in (("one", [{"key": "X", "value": "1"}]), ("two", []))
    ]
    file = tmp_path / "rules" / "shop" / "customHttp.yml"
    file.write_text(json.dumps({"applications": applications}))
    write_app(tmp_path, "shop", SHOP + "app_root: one\n")
    added = changes.reload().difference.apps[0].headers
    write_app(tmp_path, "shop", SHOP + "app_root: two\n")
    changed = changes.reload().difference.apps[0].headers
    file.unlink()
    removed = changes.reload().difference.apps[0].headers

    assert [(each.change, each.pattern) for each in (*added, *changed, *removed)] == [
        ("added", "**"),
        ("changed", "**"),
        ("removed", "**"),
    ]


def test_certificates_that_are_wanted_and_not(tmp_path, changes):
    """Only where TLS is listened on; a wildcard that another app still needs stays."""
    (tmp_path / "edge.yml").write_text('listen: {https: ["127.0.0.1:0"]}\n')
    shared = "domains: {s.localhost: {auto_subdomains: ['*']}}\n"
    write_app(tmp_path, "shop", SHOP + "")
    write_app(tmp_path, "blog", shared)
    changes.reload()
    write_app(tmp_path, "blog")
    write_app(tmp_path, "shop", 'domains: {new.example: {subdomains: {"": main}}}\n')

    told = {each.app: (each.wanted, each.unwanted) for each in changes.reload().difference.apps}

    assert told == {
        "blog": ([], ["*.s.localhost"]),
        "shop": (["new.example"], ["shop.example", "www.shop.example"]),
    }


def test_what_cannot_be_told_keeps_nothing_from_happening(tmp_path, changes, caplog):
    """A compiled document is damaged: the new one serves, and the rest is told."""
    rules = changes.app("shop").rules
    (places_of(tmp_path).compiled / rules).unlink()
    write_rules(tmp_path, {"source": "/x", "target": "/y"})

    reloaded = changes.reload()

    assert reloaded.changed == ["shop"]
    assert reloaded.difference.apps[0].rules == []
    assert "is not told whole" in caplog.text


def test_a_fault_of_the_telling_keeps_nothing_from_happening(tmp_path, changes, monkeypatch):
    """Whatever it is."""
    write_rules(tmp_path, {"source": "/x", "target": "/y"})
    monkeypatch.setattr(changes._reload._forecast, "difference", lambda *_: 1 / 0)

    reloaded = changes.reload()

    assert (reloaded.changed, reloaded.difference) == (["shop"], None)


@pytest.mark.parametrize("step", ["load", "swap"])
def test_a_worker_that_fails_leaves_what_served(tmp_path, changes, step):
    """At loading nothing is other, byte for byte; at swapping it stands, and workers follow."""
    write_rules(tmp_path, {"source": "/x", "target": "/y"})
    run = places_of(tmp_path).run
    failing = FakeWorker(
        run, lambda order: {"error": "no memory"} if order["do"] == step else {"generation": 1}
    )
    before, number = photograph(tmp_path), changes.generations.current().number
    try:
        if step == "swap":
            assert changes.reload().changed == ["shop"]
            return
        with pytest.raises(StoreError, match="a worker refused generation"):
            changes.reload()
        after = photograph(tmp_path)
        new = {path.name for path in after.keys() - before.keys()}
        assert new <= {"refused"}
        assert {
            path for path in before if path.is_file() and before[path][2] != after[path][2]
        } == set()
        assert changes.generations.current().number == number
    finally:
        failing.close()
    assert changes.reload().changed == ["shop"]
