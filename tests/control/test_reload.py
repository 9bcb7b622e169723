"""The operator's files made to serve, in a state folder without workers."""

from __future__ import annotations

import shutil

import pytest

from edge.control.reload import Refused
from edge.errors import StoreError
from tests.support_control import (
    FakeWorker,
    active,
    digests,
    new_store,
    obedient,
    open_store,
    publish,
    write_app,
)

FILES = {"index.html": "hello"}
SHOP = 'domains: {shop.example: {subdomains: {"": main}}}\n'


@pytest.fixture
def changes(tmp_path):
    """A new node in `tmp_path`."""
    return new_store(tmp_path)


def config_of(changes, app):
    """The configuration that an app serves with."""
    return changes.app(app).config


def refused(changes):
    """A reload that has to be refused."""
    with pytest.raises(Refused) as caught:
        changes.reload()
    return caught.value


def test_the_first_reload_makes_the_first_generation(tmp_path, changes):
    """Every app folder is an app, with its branches to come."""
    write_app(tmp_path, "shop", SHOP)

    result = changes.reload()

    assert (result.generation, result.changed) == (1, ["shop"])
    assert list(config_of(changes, "shop").domains) == ["shop.example"]


def test_a_reload_without_changes_changes_nothing(tmp_path, changes):
    """The generation stays; so do deployments."""
    write_app(tmp_path, "shop")
    publish(changes, "shop", "main", FILES)
    before = changes.generations.current()

    result = changes.reload()

    assert (result.generation, result.changed) == (before.number, [])
    assert changes.generations.current() == before


def test_a_reload_never_moves_a_deployment(tmp_path, changes):
    """Only the configuration of the app that was edited is new."""
    header = publish(changes, "shop", "main", FILES)
    publish(changes, "blog", "main", FILES)
    write_app(tmp_path, "shop", SHOP)

    result = changes.reload()

    assert result.changed == ["shop"]
    assert active(changes, "shop") == header.id
    assert "http://shop.example:8080" in changes.urls("shop", "main")


def test_new_settings_are_a_change_of_no_app(tmp_path, changes):
    """The generation carries them."""
    publish(changes, "shop", "main", FILES)
    (tmp_path / "edge.yml").write_text("default_domain: sites.test\n")

    assert changes.reload().changed == []
    assert changes.urls("shop", "main") == ["http://main.shop.sites.test:8080"]


def test_one_apps_mistake_leaves_the_others(tmp_path, changes):
    """It keeps its last good configuration, the good app's change is applied, both are told."""
    write_app(tmp_path, "good")
    write_app(tmp_path, "bad", SHOP)
    changes.reload()
    write_app(tmp_path, "good", "production_branch: trunk\n")
    write_app(tmp_path, "bad", "retain: {deployments: many}\nnope: 1\n")

    error = refused(changes)

    assert [(each.file, each.line) for each in error.errors] == [
        ("rules/bad/app.yml", 1),
        ("rules/bad/app.yml", 2),
    ]
    assert (error.kept, error.reloaded.changed) == (["bad"], ["good"])
    assert error.reloaded.generation == changes.generations.current().number
    assert config_of(changes, "good").production_branch == "trunk"
    assert list(config_of(changes, "bad").domains) == ["shop.example"]


def test_an_app_that_never_was_good_has_no_configuration(tmp_path, changes):
    """Its hosts answer 503; once it is mended, it is configured."""
    write_app(tmp_path, "bad", "nope: 1\n")
    assert refused(changes).kept == ["bad"]
    assert config_of(changes, "bad") is None

    write_app(tmp_path, "bad", "")
    assert changes.reload().changed == ["bad"]
    assert config_of(changes, "bad") is not None


def test_a_mistake_in_edge_yml_changes_nothing(tmp_path, changes):
    """Not even the good app's change; every mistake is told, and every app is kept."""
    write_app(tmp_path, "good")
    write_app(tmp_path, "other")
    changes.reload()
    before = changes.generations.current()
    (tmp_path / "edge.yml").write_text("nope: 1\n")
    write_app(tmp_path, "good", "production_branch: trunk\n")
    write_app(tmp_path, "bad", "nope: 1\n")

    error = refused(changes)

    assert [each.file for each in error.errors] == [
        str(tmp_path / "edge.yml"),
        "rules/bad/app.yml",
    ]
    assert (error.kept, error.reloaded.changed) == (["good", "other"], [])
    assert changes.generations.current() == before


def test_a_refused_configuration_is_not_loaded_by_a_restart(tmp_path, changes):
    """Who opens the folder next finds the last good one."""
    write_app(tmp_path, "shop", SHOP)
    changes.reload()
    write_app(tmp_path, "shop", "nope: 1\n")
    refused(changes)

    restarted = open_store(tmp_path)
    refused(restarted)

    assert list(config_of(restarted, "shop").domains) == ["shop.example"]


def test_a_worker_that_refuses_keeps_the_old_configuration(tmp_path, changes):
    """The files are good and the node is not; nothing has changed."""
    write_app(tmp_path, "shop")
    changes.reload()
    write_app(tmp_path, "shop", SHOP)
    worker = FakeWorker(tmp_path / "var" / "run", lambda _: {"error": "no memory"})
    with pytest.raises(StoreError, match="no memory"):
        changes.reload()
    worker.close()

    assert config_of(open_store(tmp_path), "shop").domains == {}


def test_an_app_without_its_folder_is_gone(tmp_path, changes):
    """When it is back its branches serve what they served; a rollback is not undone."""
    good = publish(changes, "shop", "main", FILES)
    publish(changes, "shop", "main", {"index.html": "bad"})
    other = publish(changes, "shop", "other", FILES)
    changes.rollback("shop", "main")
    (tmp_path / "rules" / "shop").rename(tmp_path / "away")
    assert changes.reload().changed == ["shop"]
    with pytest.raises(StoreError, match="there is no app shop"):
        changes.app("shop")

    (tmp_path / "away").rename(tmp_path / "rules" / "shop")
    changes.reload()

    assert active(changes, "shop") == good.id
    assert active(changes, "shop", "other") == other.id


def test_without_the_folder_of_the_apps_nothing_changes(tmp_path, changes):
    """A typo in `apps`, or a disk that is not mounted, must not take every site down."""
    publish(changes, "shop", "main", FILES)
    shutil.rmtree(tmp_path / "rules")

    error = refused(changes)

    assert "the folder of the apps, rules, is not there" in str(error.errors[0])
    assert "1 apps serve" in error.errors[0].hint
    assert error.kept == ["shop"]
    assert changes.app("shop")


def test_a_hostname_claimed_twice_names_both(tmp_path, changes):
    """The incumbent keeps it and the newcomer serves as before."""
    write_app(tmp_path, "old", SHOP)
    write_app(tmp_path, "new")
    changes.reload()
    write_app(tmp_path, "new", SHOP)

    error = refused(changes)

    assert (error.kept, len(error.errors)) == (["new"], 1)
    assert "claimed by app new branch main and by app old branch main" in error.errors[0].message
    assert config_of(changes, "new").domains == {}
    assert list(config_of(changes, "old").domains) == ["shop.example"]


def test_a_branch_that_was_only_announced_claims_nothing(tmp_path, changes):
    """A pending deploy must not make another app's file a mistake."""
    publish(changes, "shop", "main", FILES)
    publish(changes, "blog", "main", FILES)
    changes.begin("blog", "next", digests(FILES))
    write_app(tmp_path, "shop", 'domains: {blog.edge.localhost: {subdomains: {"next": main}}}\n')

    assert changes.reload().changed == ["shop"]


def test_check_changes_nothing(tmp_path):
    """Not even the disk: there is no state folder afterwards."""
    changes = new_store(tmp_path / "node")
    shutil.rmtree(tmp_path / "node" / "var")
    write_app(tmp_path / "node", "bad", "nope: 1\n")

    found = changes.check()

    assert [error.file for error in found.errors] == ["rules/bad/app.yml"]
    assert sorted(path.name for path in (tmp_path / "node").iterdir()) == ["edge.yml", "rules"]


def test_workers_hear_of_a_reload_once(tmp_path, changes):
    """Load, then swap; and nothing when nothing changed."""
    write_app(tmp_path, "shop")
    worker = FakeWorker(tmp_path / "var" / "run", obedient)
    changes.reload()
    changes.reload()
    worker.close()

    assert worker.orders == [
        {"do": "load", "generation": 1},
        {"do": "swap", "generation": 1},
    ]
