"""The operator's files made to serve, in a state folder without workers."""

from __future__ import annotations

import json
import shutil

import pytest

from edge.control.reload import Refused
from edge.errors import Mistaken, StoreError
from edge.site.rule import decode_rules
from tests.support_control import (
    FakeWorker,
    active,
    digests,
    new_store,
    obedient,
    open_store,
    places_of,
    publish,
    write_app,
)
from tests.support_origin import Authority

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


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_authorities_that_cannot_be_read_are_told_and_change_nothing(tmp_path, changes, content):
    """Where the key stands and what to write; workers are not even asked."""
    (tmp_path / "edge.yml").write_text("proxy:\n  ca_file: own.pem\n")
    if content is not None:
        (tmp_path / "own.pem").write_bytes(content)

    told = str(refused(changes).errors[0])
    assert told.startswith(f"{tmp_path}/edge.yml:2:3: proxy.ca_file: own.pem cannot be used: ")
    assert told.endswith("(name a file of certificates in PEM, or remove the key)")
    Authority(tmp_path).root.rename(tmp_path / "own.pem")
    assert changes.check().errors == []


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


# Rules and headers

OLD_RULES = '[{"source": "/old", "target": "/1"}]'
NEW_RULES = '[{"source": "/old", "target": "/2"}]'
HEADERS = "customHeaders: [{pattern: '**', headers: [{key: X-Own, value: yours}]}]"
INERT = '[{"source": "/<*>/a", "target": "/b"}]'
BROKEN = '[{"source": "/secret/<*>", "status": "403"}, {"source": "/a", "target": "/<x>"}]'


def write(folder, name, text, app="shop"):
    """A file of an app's folder, or none."""
    path = folder / "rules" / app / name
    path.unlink() if text is None else path.write_text(text)


def rules_of(folder, state):
    """What the rules that a state names say: (source, target) of each; None without any."""
    if state.rules is None:
        return None
    lines = (places_of(folder).compiled / state.rules).read_bytes().splitlines()
    return [(rule.source, rule.target) for block in decode_rules(lines) for rule in block]


@pytest.fixture
def shop(tmp_path, changes):
    """Two apps with rules and headers, and a deployment of each."""
    for app in ("shop", "blog"):
        write_app(tmp_path, app)
        write(tmp_path, "redirects.json", OLD_RULES, app)
        write(tmp_path, "customHttp.yml", HEADERS, app)
        publish(changes, app, "main", FILES)
    return changes


def test_rules_and_headers_of_the_folder_are_the_apps(tmp_path, shop):
    """For every branch that carries none; equal ones are one document."""
    state = shop.app("shop")

    assert rules_of(tmp_path, state) == [("/old", "/1")]
    assert state.headers is not None
    assert (state.rules, state.headers) == (shop.app("blog").rules, shop.app("blog").headers)
    assert shop.branch("shop", "main").rules is None
    assert shop.reload().changed == []


@pytest.mark.parametrize(
    ("name", "text", "of_rules"),
    [
        ("redirects.json", NEW_RULES, True),
        ("redirects.json", "[]", True),
        ("redirects.json", None, True),
        ("customHttp.yml", HEADERS.replace("yours", "theirs"), False),
        ("customHttp.yml", "", False),
        ("customHttp.yml", None, False),
    ],
)
def test_a_change_of_one_file_changes_its_app_alone(tmp_path, shop, name, text, of_rules):
    """The deployment and the other document stay; so does the other app, to the letter."""
    before, other = shop.app("shop"), shop.generations.current().apps["blog"]
    write(tmp_path, name, text)

    assert shop.reload().changed == ["shop"]

    after = shop.app("shop")
    assert (after.rules != before.rules, after.headers != before.headers) == (
        of_rules,
        not of_rules,
    )
    assert (after.branches, after.config) == (before.branches, before.config)
    assert (after.rules if of_rules else after.headers) is None or text is not None
    assert shop.generations.current().apps["blog"] == other
    assert shop.reload().changed == []


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("redirects.json", '[{"source": "/a", "target": "/b", "status": "999"}]', (1, 35)),
        ("customHttp.yml", "customHeaders:\n\t- pattern: a", (2, 1)),
        ("redirects.yml", "[]", (1, 1)),
    ],
)
def test_a_mistake_in_one_file_keeps_all_of_them(tmp_path, shop, name, text, place):
    """An app changes as a whole or not at all; the other app's change is applied."""
    before = shop.app("shop")
    write(tmp_path, "app.yml", "trailing_slash: add")
    write(tmp_path, "redirects.json", NEW_RULES)
    write(tmp_path, "customHttp.yml", HEADERS.replace("yours", "new"))
    write(tmp_path, name, text)
    write(tmp_path, "redirects.json", NEW_RULES, "blog")

    error = refused(shop)

    assert [(each.file, each.line, each.column) for each in error.errors] == [
        (f"rules/shop/{name}", *place)
    ]
    assert (error.kept, error.reloaded.changed) == (["shop"], ["blog"])
    assert shop.app("shop") == before
    assert rules_of(tmp_path, shop.app("blog")) == [("/old", "/2")]


def test_an_app_whose_first_rules_have_a_mistake_has_no_configuration(tmp_path, changes):
    """Serving it without its rules would be another site."""
    write_app(tmp_path, "shop")
    write(tmp_path, "redirects.json", BROKEN)

    assert refused(changes).kept == ["shop"]
    assert (changes.app("shop").config, changes.app("shop").rules) == (None, None)

    write(tmp_path, "redirects.json", OLD_RULES)
    assert changes.reload().changed == ["shop"]
    assert rules_of(tmp_path, changes.app("shop")) == [("/old", "/1")]


def test_warnings_come_along(tmp_path, shop):
    """Each time, whether anything changed or not, and also where something else is a mistake."""
    write(tmp_path, "redirects.json", INERT)
    for changed in (["shop"], []):
        reloaded = shop.reload()
        assert reloaded.changed == changed
        [warning] = reloaded.warnings
        assert str(warning).startswith("rules/shop/redirects.json:1:3: [0].source: the rule never")

    write(tmp_path, "redirects.json", BROKEN, "blog")
    assert list(map(str, refused(shop).reloaded.warnings)) == [str(warning)]


def test_what_only_a_start_can_change_is_told(tmp_path, changes):
    """As long as it is so; who starts with it has nothing to be told."""
    begin = 'listen: {https: ["127.0.0.1:8443"]}\n'
    (tmp_path / "edge.yml").write_text(begin)
    assert changes.reload().warnings == []

    (tmp_path / "edge.yml").write_text('listen: {https: ["127.0.0.1:9443"]}\nworkers: 3\n')
    for _ in range(2):
        [warning] = changes.reload().warnings
        assert "listen.https, workers: counts from the next start on" in str(warning)

    (tmp_path / "edge.yml").write_text(begin)
    assert changes.reload().warnings == []
    assert open_store(tmp_path).reload().warnings == []


# What a deployment carries, and folders that come and go

CARRYING = {
    "index.html": "x",
    "redirects.json": NEW_RULES,
    "customHttp.yml": HEADERS.replace("yours", "carried"),
}


def vanish_and_return(tmp_path, changes, app="shop"):
    """An app's folder goes away and comes back, each with its reload."""
    (tmp_path / "rules" / app).rename(tmp_path / "away")
    assert changes.reload().changed == [app]
    (tmp_path / "away").rename(tmp_path / "rules" / app)
    assert changes.reload().changed == [app]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("collects", [False, True])
def test_an_app_that_came_back_has_its_carried_rules_again(tmp_path, shop, restarts, collects):
    """Those of the deployment that serves, not of the newest; its documents may be gone by then."""
    publish(shop, "shop", "main", CARRYING)
    before = shop.branch("shop", "main")
    publish(shop, "shop", "main", {"index.html": "newest", "redirects.json": "[]"})
    shop.rollback("shop", "main")
    (tmp_path / "rules" / "shop").rename(tmp_path / "away")
    shop.reload()
    if collects:
        for number in range(12):
            write(tmp_path, "app.yml", f"retain: {{deployments: {number + 2}}}", "blog")
            shop.reload()
        shop.collect()
        assert not (places_of(tmp_path).compiled / before.rules).exists()
    changes = open_store(tmp_path) if restarts else shop
    (tmp_path / "away").rename(tmp_path / "rules" / "shop")
    changes.reload()

    after = changes.branch("shop", "main")
    assert active(changes, "shop") == before.active.deployment
    assert (after.rules, after.headers) == (before.rules, before.headers)
    assert rules_of(tmp_path, after) == [("/old", "/2")]
    assert rules_of(tmp_path, changes.app("shop")) == [("/old", "/1")]


def test_a_deployment_that_was_refused_never_serves_without_its_rules(tmp_path, changes):
    """Not by a reload after the first deploy either: what its 403 closes would be open."""
    with pytest.raises(Mistaken):
        publish(changes, "shop", "main", {"index.html": "x", "redirects.json": BROKEN})
    changes.reload()

    assert active(changes, "shop") is None

    good = publish(changes, "shop", "main", FILES)
    vanish_and_return(tmp_path, changes)
    assert active(changes, "shop") == good.id


def test_one_branch_that_was_refused_does_not_stop_the_others(tmp_path, shop):
    """When the app comes back they serve what they served."""
    publish(shop, "shop", "next", CARRYING)
    with pytest.raises(Mistaken):
        publish(shop, "shop", "bad", {"customHttp.yml": "customHeaders: 5"})
    before = [active(shop, "shop", branch) for branch in ("main", "next")]

    vanish_and_return(tmp_path, shop)

    assert [active(shop, "shop", branch) for branch in ("main", "next", "bad")] == [*before, None]
    assert rules_of(tmp_path, shop.branch("shop", "next")) == [("/old", "/2")]


def test_an_app_comes_back_although_a_carried_file_is_lost(tmp_path, shop, caplog):
    """The branch whose rules cannot be read is closed and told, and can be rolled back."""
    first = active(shop, "shop")
    publish(shop, "shop", "main", CARRYING)
    places = places_of(tmp_path)
    for path in places.blobs.rglob("*"):
        if path.is_file() and path.read_bytes() == NEW_RULES.encode():
            path.unlink()

    vanish_and_return(tmp_path, shop)

    assert active(shop, "shop") is None
    assert "redirects.json cannot be read: No such file" in caplog.text
    assert shop.rollback("shop", "main").id == first
    assert active(shop, "shop") == first


def test_rules_of_the_deployment_are_no_business_of_a_reload(tmp_path, shop):
    """A change of the folder's leaves them, and they are read again by nobody."""
    publish(shop, "shop", "main", CARRYING)
    before = shop.branch("shop", "main")
    write(tmp_path, "redirects.json", json.dumps([]))

    assert shop.reload().changed == ["shop"]
    assert shop.branch("shop", "main") == before
    assert rules_of(tmp_path, shop.app("shop")) == []
