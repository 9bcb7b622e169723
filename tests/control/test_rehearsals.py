"""Worlds of a state folder: what serves now, and what a change would make of it."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from edge.control.carried import Documents
from edge.control.configuration import Rules
from edge.control.rehearsals import Proposal, inline
from edge.errors import StoreError
from edge.site.documents import decode_app
from edge.site.headers import CustomHttp, decode_headers
from edge.site.rehearsal import make_request
from edge.site.rule import Rule
from edge.site.settings import Settings
from tests.support_serving import HOST, Site

FILES = {"index.html": "hello", "about.html": "about"}
HASHED = "app-BxK3d9Qz.js"


def rehearse(world, target="/", host=HOST):
    """Status and place of the answer to a request."""
    return world.rehearse(make_request(host.encode(), target.encode()), None)


@pytest.fixture
def site(tmp_path):
    """A node with an app that serves."""
    site = Site(tmp_path)
    site.write_rules(("/old", "/about", "301"))
    site.changes.reload()
    site.deploy(FILES)
    return site


def serving(site, proposal=None):
    """What serves, or would."""
    return site.changes.rehearsals.serving(proposal)


# What serves


def test_before_the_first_generation_nothing_serves(tmp_path):
    """A state folder that is not even there is no error."""
    site = Site(tmp_path / "node")
    shutil.rmtree(tmp_path / "node" / "var")

    assert rehearse(serving(site)) == (404, "")
    assert not (tmp_path / "node" / "var").exists()


def test_what_serves_is_what_workers_have(site):
    """Rules, files, redirects of the tree, and no other app's hosts."""
    world = serving(site)

    assert rehearse(world, "/old") == (301, "/about")
    assert rehearse(world, "/about") == (200, "/about.html")
    assert rehearse(world, "/none") == (404, "")
    assert rehearse(world, host="main.other.edge.localhost") == (404, "")


def test_files_of_the_folder_that_were_not_reloaded_do_not_count(site):
    """As they do not for live traffic."""
    site.write_rules(("/old", "/index.html", "302"))

    assert rehearse(serving(site), "/old") == (301, "/about")


def test_a_world_stays_as_it_was_made(site):
    """A change beside it makes the next world another one."""
    before = serving(site)
    rehearse(before)
    site.write_rules(("/old", "/index.html", "302"))
    site.changes.reload()
    site.deploy({"new.html": "new"})

    assert rehearse(before, "/old") == (301, "/about")
    assert rehearse(before, "/about") == (200, "/about.html")
    assert rehearse(serving(site), "/old") == (302, "/index.html")
    assert rehearse(serving(site), "/new") == (200, "/new.html")


def test_rules_that_a_deployment_carries_win(site):
    """As they do for live traffic, on its branch alone."""
    site.deploy(FILES, "next")
    site.deploy({**FILES, "redirects.json": '[{"source": "/old", "target": "/mine"}]'})
    world = serving(site)

    assert rehearse(world, "/old") == (301, "/mine")
    assert rehearse(world, "/old", "next.site.edge.localhost") == (301, "/about")


def test_earlier_deployments_answer_too(tmp_path):
    """In performance mode, and for fingerprinted files that pages still ask for."""
    site = Site(tmp_path, "branches: {main: {performance_mode: true}}\n")
    site.changes.reload()
    site.deploy({**FILES, HASHED: "js"})
    site.deploy({"index.html": "new"})
    world = serving(site)

    assert rehearse(world, "/about") == (200, "/about.html")
    world.epoch += 100_000
    assert rehearse(world, "/about") == (404, "")
    assert rehearse(world, f"/{HASHED}") == (200, f"/{HASHED}")


def test_files_are_read_once_in_a_world(site):
    """A log of a million requests asks for the same ones again and again."""
    site.deploy({**FILES, HASHED: "js"})
    site.deploy(FILES)
    world = serving(site)
    branch = world.snapshot.hosts.get(HOST.encode()).branch

    site.changes.rehearsals.load(branch)
    manifest, files = branch.active.manifest, branch.retained.files
    site.changes.rehearsals.load(branch)

    assert set(files) == {HASHED}
    assert branch.active.manifest is manifest
    assert branch.retained.files is files


def test_only_the_app_that_is_asked_is_read(site):
    """A node with a thousand apps answers a question about one of them; a torn one is an error."""
    site.configure("", "other")
    site.write_rules(("/x", "/y"), app="other")
    site.changes.reload()
    site.deploy(FILES, app="other")
    key = site.changes.app("other").rules
    (site.places.compiled / key).unlink()
    world = serving(site)

    assert rehearse(world, "/old") == (301, "/about")
    with pytest.raises(StoreError):
        rehearse(world, "/old", "main.other.edge.localhost")


def test_a_manifest_that_is_gone_is_an_error(site):
    """Nothing is told about files that are not known; redirects need none."""
    identifier = site.changes.branch("site", "main").active.deployment
    site.places.manifest("site", "main", identifier).unlink()

    with pytest.raises(StoreError):
        rehearse(serving(site), "/about")


def test_an_app_is_compiled_once_in_a_world(site):
    """All its hosts at the first request to any of them, and no host that nobody claims."""
    site.deploy(FILES, "next")
    hosts = serving(site).snapshot.hosts
    assert dict(hosts) == {}

    found = hosts.get(HOST.encode())
    known = dict(hosts)

    assert found is not None
    assert set(known) == {HOST.encode(), b"next.site.edge.localhost"}
    assert hosts.get(HOST.encode()) is found
    assert hosts.get(b"nobody.example") is None
    assert hosts.get(b"nobody.example", 7) == 7
    assert dict(hosts) == known


def test_the_settings_of_the_generation_hold(tmp_path):
    """The default domain is where apps are looked for."""
    site = Site(tmp_path, edge_yml="default_domain: sites.test\n")
    site.changes.reload()
    site.deploy(FILES)
    world = serving(site)

    assert rehearse(world, host="main.site.sites.test") == (200, "/index.html")
    assert rehearse(world) == (404, "")
    assert world.snapshot.settings.default_domain == "sites.test"


# What a change would make of it


def proposed(site, rules, app_yml="", headers=None):
    """A proposal of the app with these rules, stored nowhere."""
    config, _ = decode_app(app_yml, "app.yml")
    rules = Rules(tuple(rules), "redirects.json")
    documents = Documents()
    state = msgspec.structs.replace(
        site.changes.app("site"),
        config=config,
        rules=documents.add_rules(rules),
        headers=documents.add_headers(headers),
    )
    proposal = Proposal(Settings())
    proposal.add(state)
    proposal.add_rules(state.rules, rules)
    proposal.add_headers(state.headers, headers)
    return proposal


def test_a_proposal_is_rehearsed_without_being_stored(site):
    """Its rules decide over the files that serve; nothing is written."""
    before = sorted(site.places.state.rglob("*"))
    world = serving(site, proposed(site, [Rule(source="/old", target="/index.html", status="302")]))

    assert rehearse(world, "/old") == (302, "/index.html")
    assert rehearse(world, "/about") == (200, "/about.html")
    assert rehearse(serving(site), "/old") == (301, "/about")
    assert sorted(site.places.state.rglob("*")) == before


def test_other_apps_are_as_they_serve(site):
    """A proposal is about the apps that it names."""
    site.configure("", "other")
    site.changes.reload()
    site.deploy({"other.html": "x"}, app="other")

    world = serving(site, proposed(site, []))

    assert rehearse(world, "/old") == (404, "")
    assert rehearse(world, "/other", "main.other.edge.localhost") == (200, "/other.html")


def test_a_proposal_may_claim_new_hosts(site):
    """A domain that is about to be added answers in it, and not outside of it."""
    app_yml = 'domains: {new.example: {subdomains: {"": main}}}\n'
    world = serving(site, proposed(site, [], app_yml))

    assert rehearse(world, "/about", "new.example") == (200, "/about.html")
    assert rehearse(serving(site), "/about", "new.example") == (404, "")


def test_a_proposal_may_bring_headers(site):
    """They are not on the disk either."""
    headers, _ = decode_headers(
        "customHeaders: [{pattern: '**', headers: [{key: X-A, value: b}]}]", "customHttp.yml"
    )
    world = serving(site, proposed(site, [], headers=headers))
    exchange = world.open(make_request(HOST.encode(), b"/about"), None)

    assert exchange.envelope.fields == ((b"X-A", b"b"),)


def test_what_there_is_none_of_is_not_proposed():
    """An app may have no file of rules and none of headers."""
    proposal = Proposal(Settings())
    rules, headers = Rules((), "redirects.json"), CustomHttp()
    for key, some, other in ((None, None, None), ("key", None, None), (None, rules, headers)):
        proposal.add_rules(key, some)
        proposal.add_headers(key, other)

    assert (proposal._plans, proposal._headers) == ({}, {})


def test_what_a_reload_would_serve(site):
    """Every app's folder as it is now."""
    site.write_rules(("/old", "/index.html", "302"))
    site.configure('domains: {new.example: {subdomains: {"": main}}}\n', "new")
    world = serving(site, site.changes.proposal())

    assert rehearse(world, "/old") == (302, "/index.html")
    assert world.snapshot.hosts.get(b"new.example") is not None
    assert serving(site).snapshot.hosts.get(b"new.example") is None


# Without a state folder


def test_rules_and_names_of_files_are_a_world_too():
    """Of one host; a file may have a slash in front."""
    rules = [Rule(source="/a", target="/b", status="200")]
    world = inline(rules, ["b.html", "/404.html"], "x.example")

    assert rehearse(world, "/a", "x.example") == (200, "/b.html")
    assert rehearse(world, "/c", "x.example") == (404, "/404.html")
    assert rehearse(world, "/a", "y.example") == (404, "")
    assert world.open(make_request(b"x.example", b"/"), None).envelope.noindex is False
