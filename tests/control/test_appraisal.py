"""What rules do to the files that serve: their own tests, and lints, and when either is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.control.appraisal import has_tests, production_of, with_production
from edge.control.operations import Operations
from edge.control.reload import Refused
from edge.errors import Mistaken
from edge.site.documents import App
from edge.site.generation import AppState, BranchState
from edge.site.rehearsal import make_request
from edge.site.rule import Rule
from tests.support_control import open_store
from tests.support_serving import HOST, Site

DATABASE = Path(__file__).parents[1] / "data" / "GeoIP2-Country-Test.mmdb"
FILES = {"index.html": "hello", "about.html": "about", "docs/index.html": "docs"}


@pytest.fixture
def site(tmp_path):
    """A new node with an app that nobody has deployed to."""
    return Site(tmp_path)


def rule(source, target, status, *tests):
    """A rule that carries these tests (request, expectation)."""
    examples = [{"request": request, "expect": expect} for request, expect in tests]
    return {"source": source, "target": target, "status": status, "tests": examples}


GOOD = rule("/old", "/about", "301", ("/old", "301 /about"))
BAD = rule("/old", "/index.html", "301", ("/old", "301 /about"))
PAGE = rule("/page", "/about", "200", ("/page", "200 /about.html"))


def checked(site):
    """The mistakes and the warnings of a check, as a person reads them."""
    found = site.changes.check()
    return [str(each) for each in found.errors], [str(each) for each in found.warnings]


def refused(site):
    """The mistakes of a reload that has to be refused, and which apps are kept."""
    with pytest.raises(Refused) as caught:
        site.changes.reload()
    return [str(each) for each in caught.value.errors], caught.value.kept


def not_deployed(site, files, branch="main"):
    """The mistakes of a deployment that has to be refused."""
    with pytest.raises(Mistaken) as caught:
        site.deploy(files, branch)
    return [str(each) for each in caught.value.errors]


def location(site, target="/old", host=HOST):
    """Where a request is sent, or what answers it."""
    world = site.changes.rehearsals.serving()
    return world.rehearse(make_request(host.encode(), target.encode()), None)


FAILURE = (
    "rules/site/redirects.json:1:2: [0].tests: /old is answered with 301 /index.html "
    "(expected 301 /about; `edge explain` says why)"
)


# Tests, by check and by reload


def test_check_runs_the_tests_of_rules(site):
    """A failure is a mistake at the rule that carries it; the others are not told."""
    site.write_rules(BAD)
    assert checked(site)[0] == [FAILURE]

    site.write_rules(GOOD)
    assert checked(site)[0] == []


def test_reload_runs_them_too_and_keeps_what_served(site):
    """The app serves its last good configuration, whole; the others serve what is new."""
    site.write_rules(GOOD)
    site.configure("", "other")
    site.changes.reload()
    site.deploy(FILES)
    site.write_rules(BAD)
    site.write("customHttp.yml", "customHeaders: [{pattern: a, headers: [{key: X, value: y}]}]")
    site.configure("production_branch: trunk\n", "other")

    assert refused(site) == ([FAILURE], ["site"])
    assert location(site) == (301, "/about")
    assert site.changes.app("site").headers is None
    assert site.changes.app("other").config.production_branch == "trunk"


def test_an_app_that_never_had_good_rules_serves_nothing(site):
    """It has no configuration, and is told among those that are kept."""
    site.write_rules(BAD)

    assert refused(site) == ([FAILURE], ["site"])
    assert site.changes.app("site").config is None


def test_tests_meet_the_files_that_serve(site):
    """What a target leads to is looked up among the files of the production branch."""
    site.write_rules(PAGE)
    site.changes.reload()
    site.deploy(FILES)
    assert checked(site)[0] == []

    moved = rule("/page", "/docs/", "200", ("/page", "200 /about.html"))
    site.write_rules(moved)

    (mistake,) = checked(site)[0]
    assert "[0].tests: /page is answered with 200 /docs/index.html (expected 200" in mistake
    assert refused(site)[0] == [mistake]


def test_before_the_first_deploy_only_what_needs_no_file_is_tested(site):
    """Redirects are, rewrites to a page are passed over until there is one."""
    wrong = rule("/page", "/about", "200", ("/page", "404"))
    site.write_rules(wrong, BAD)

    (mistake,) = checked(site)[0]
    assert "[1].tests: /old is answered with" in mistake

    site.write_rules(wrong, GOOD)
    assert site.changes.reload().changed == ["site"]


def test_the_production_branch_is_the_one_that_is_tested(site):
    """Other branches may have other files; production may have another name."""
    site.configure("production_branch: trunk\n")
    site.write_rules(PAGE)
    site.changes.reload()
    site.deploy(FILES, "trunk")
    site.write_rules(rule("/page", "/about", "200", ("/page", "200 /about.html")), GOOD)

    assert checked(site)[0] == []
    assert site.changes.reload().changed == ["site"]


def test_a_test_may_name_a_host(site):
    """Of the app, as it will be with the change that is tested."""
    site.configure('domains: {one.example: {subdomains: {"": main}}}\n')
    rules = rule(
        "https://one.example", "https://www.one.example", "302",
        ("https://one.example/a", "302 https://www.one.example/a"),
        (f"http://{HOST}/docs", "301 /docs/"),
        ("https://stranger.example/", "200"),
    )  # fmt: skip
    site.write_rules(rules)

    (mistake,) = checked(site)[0]
    assert "https://stranger.example/ is answered with 404, for stranger.example is not" in mistake


def test_rules_of_the_folder_are_tested_though_a_deployment_carries_its_own(site):
    """A folder's tests are about the folder's rules, with the files that serve."""
    site.changes.reload()
    site.deploy({**FILES, "redirects.json": '[{"source": "/old", "target": "/mine"}]'})
    site.write_rules(GOOD, PAGE)

    assert checked(site)[0] == []
    site.write_rules(BAD)
    assert checked(site)[0] == [FAILURE]


def test_an_app_with_another_mistake_is_not_tested(site):
    """What it would serve is not known."""
    site.write_rules(BAD)
    site.configure("nope: 1\n")

    (mistake,) = checked(site)[0]
    assert "unknown key 'nope'" in mistake


def test_headers_are_there_when_tests_run(site):
    """What is tested is what the change would serve: new rules and new headers, stored nowhere."""
    site.changes.reload()
    site.deploy(FILES)
    site.write_rules(GOOD)
    site.write("customHttp.yml", "customHeaders: [{pattern: a, headers: [{key: X, value: y}]}]")

    assert checked(site)[0] == []
    assert site.changes.reload().changed == ["site"]


# Tests, before each activation


def test_each_activation_is_tested_with_its_own_files(site):
    """A deployment whose files break a rule's test is refused, and what served serves on."""
    site.write_rules(PAGE)
    site.changes.reload()
    first = site.deploy(FILES)

    (mistake,) = not_deployed(site, {"index.html": "only"})

    assert "[0].tests: /page is answered with 404 (expected 200 /about.html; `edge" in mistake
    assert mistake.startswith("rules/site/redirects.json:1:2: ")
    assert site.changes.branch("site", "main").active.deployment == first
    assert location(site, "/page") == (200, "/about.html")


def test_the_first_deployment_is_tested_too(site):
    """What had to be passed over at the reload is not any more."""
    site.write_rules(PAGE)
    site.changes.reload()

    assert len(not_deployed(site, {"index.html": "only"})) == 1
    assert site.deploy(FILES)


def test_other_branches_are_tested_with_theirs(site):
    """A preview is not production: its own files, under its own host."""
    site.write_rules(PAGE)
    site.changes.reload()
    site.deploy(FILES)

    assert len(not_deployed(site, {"index.html": "only"}, "next")) == 1
    site.deploy(FILES, "next")
    assert location(site, "/page", "next.site.edge.localhost") == (200, "/about.html")


def test_rules_that_a_deployment_carries_are_tested_instead(site):
    """Not the folder's, which it replaces; their mistakes are in its own file."""
    site.write_rules(PAGE)
    site.changes.reload()

    carried = json.dumps([rule("/new", "/x", "302", ("/new", "302 /x"))])
    site.deploy({"index.html": "only", "redirects.json": carried})
    broken = json.dumps([{"source": "/a", "target": "/b"}, BAD])

    (mistake,) = not_deployed(site, {**FILES, "redirects.json": broken})
    assert mistake.startswith("redirects.json:1:36: [1].tests: /old is answered with 301 /index.ht")
    assert location(site, "/new") == (302, "/x")


def test_carried_headers_are_there_when_carried_rules_are_tested(site):
    """Neither is stored anywhere yet."""
    site.changes.reload()
    headers = "customHeaders: [{pattern: a, headers: [{key: X, value: y}]}]"

    site.deploy({**FILES, "redirects.json": json.dumps([GOOD]), "customHttp.yml": headers})

    assert location(site) == (301, "/about")


def test_a_new_apps_rules_are_tested_at_its_first_deploy(site):
    """Its folder has not been reloaded: its rules are in no state folder yet."""
    site.changes.reload()
    site.configure("", "fresh")
    site.write_rules(PAGE, app="fresh")

    with pytest.raises(Mistaken):
        site.deploy({"index.html": "only"}, app="fresh")
    site.deploy(FILES, app="fresh")

    assert location(site, "/page", "main.fresh.edge.localhost") == (200, "/about.html")


def test_a_new_apps_headers_are_there_when_its_rules_are_tested(site):
    """They are in no state folder either."""
    site.changes.reload()
    site.configure("", "fresh")
    site.write_rules(PAGE, app="fresh")
    headers = "customHeaders: [{pattern: a, headers: [{key: X, value: y}]}]"
    site.write("customHttp.yml", headers, app="fresh")

    site.deploy(FILES, app="fresh")

    assert location(site, "/page", "main.fresh.edge.localhost") == (200, "/about.html")


def test_the_file_of_a_test_is_named_as_it_is(site):
    """Rules may stand in YAML; what is stored of them has no name."""
    text = (
        "- {source: /page, target: /about, status: 200, tests: [{request: /page, expect: '200'}]}"
    )
    site.write("redirects.yml", text)
    site.changes.reload()

    (mistake,) = not_deployed(site, {"index.html": "only"})

    assert mistake.startswith("rules/site/redirects.yml:1:3: [0].tests: /page is answered with 404")


def test_a_deployment_that_was_refused_may_be_tried_again(site):
    """It is stored; once the rules fit, it is activated as it is."""
    site.write_rules(PAGE)
    site.changes.reload()
    identifier = site.upload({"index.html": "only"})
    with pytest.raises(Mistaken):
        site.changes.activate(identifier)

    site.write_rules(rule("/page", "/index.html", "200", ("/page", "200 /")))
    site.changes.reload()
    site.changes.activate(identifier)

    assert location(site, "/page") == (200, "/index.html")


def test_rollback_never_runs_tests(site):
    """At night something has to serve: back is always possible, whatever the rules say by now."""
    site.changes.reload()
    first = site.deploy({"index.html": "only"})
    site.deploy(FILES)
    site.write_rules(PAGE)
    site.changes.reload()

    site.changes.rollback("site", "main")

    assert site.changes.branch("site", "main").active.deployment == first
    assert location(site, "/page") == (404, "")


def test_what_serves_already_is_not_tested_again(site):
    """To activate it once more changes nothing, so nothing can be refused."""
    site.changes.reload()
    only = site.deploy({"index.html": "only"})
    site.deploy(FILES)
    site.write_rules(PAGE)
    site.changes.reload()
    site.changes.rollback("site", "main")

    site.changes.activate(only)

    assert location(site, "/page") == (404, "")


def test_rules_without_tests_refuse_no_deployment(site):
    """Of an app without rules, and of one whose rules carry none."""
    site.changes.reload()
    site.deploy({"a.html": "a"})
    site.write_rules(("/old", "/about", "301"))
    site.changes.reload()
    site.deploy({"b.html": "b"})

    assert location(site, "/b") == (200, "/b.html")


def test_an_app_without_a_configuration_is_deployed_to_all_the_same(site):
    """Its rules are not known, so there is nothing to test; it answers 503 until they are."""
    site.write_rules(BAD)
    with pytest.raises(Refused):
        site.changes.reload()

    assert site.deploy(FILES)


# Lints


INERT = {"source": "/<*>/x", "target": "/y"}
COVERED = [{"source": "/a/<*>", "target": "/about"}, {"source": "/a/b", "target": "/about"}]


def test_lints_are_for_check_alone(site):
    """They take a while and depend on files: a reload does not wait for them."""
    site.write_rules(*COVERED)

    (warning,) = checked(site)[1]
    assert "[1].source: the rule never matches: rule [0] on line 1 takes everything" in warning
    assert site.changes.reload().warnings == []


def test_inert_rules_are_told_by_both(site):
    """By reload each time, changed or not, as a document too."""
    site.write_rules(INERT)
    text = (
        "rules/site/redirects.json:1:3: [0].source: the rule never matches: <*> stands elsewhere "
        "than at the end (write it once, at the path's end)"
    )
    operations = Operations(site.places, site.changes)

    assert checked(site) == ([], [text])
    assert [str(each) for each in site.changes.reload().warnings] == [text]
    document = operations.reload()
    assert (document["changed"], len(document["warnings"])) == ([], 1)
    assert document["warnings"][0] == {
        "file": "rules/site/redirects.json",
        "line": 1,
        "column": 3,
        "message": "[0].source: the rule never matches: <*> stands elsewhere than at the end",
        "hint": "write it once, at the path's end",
    }


def test_inert_rules_are_told_when_a_reload_is_refused(site):
    """What one app did wrong hides nothing about the others."""
    site.write_rules(INERT)
    site.configure("nope: 1\n", "other")

    with pytest.raises(Refused) as caught:
        site.changes.reload()

    assert [each.file for each in caught.value.reloaded.warnings] == ["rules/site/redirects.json"]


def test_lints_meet_the_files_of_production(site):
    """Nothing is said about files before there are any, nor about another branch's."""
    site.write_rules(("/x", "/nowhere", "200"), ("/docs/", "/about", "200"))
    site.changes.reload()
    site.deploy({"nowhere.html": "x"}, "next")
    assert checked(site) == ([], [])

    site.deploy(FILES)

    warnings = checked(site)[1]
    assert len(warnings) == 2
    assert "[0].target: the target /nowhere does not exist in the deployment" in warnings[0]
    assert "[1].source: the rule hides what the deployment has: /docs/index.html" in warnings[1]


def test_what_a_deployment_carries_is_no_file(site):
    """Its rules and headers are never served, so a target that names them does not exist."""
    site.write_rules(("/x", "/redirects.json", "200"))
    site.changes.reload()
    site.deploy({**FILES, "redirects.json": "[]"})

    assert any("the target /redirects.json does not exist" in each for each in checked(site)[1])


def test_rules_that_are_not_in_effect_are_told(site):
    """Where production carries its own; a preview may do so without a word."""
    site.write_rules(("/old", "/about", "301"))
    site.changes.reload()
    site.deploy(FILES)
    site.deploy({**FILES, "redirects.json": "[]"}, "next")
    assert checked(site) == ([], [])

    site.deploy({**FILES, "redirects.json": "[]"})

    (warning,) = checked(site)[1]
    assert warning.startswith("rules/site/redirects.json:1:1: these rules are not in effect on ")


@pytest.mark.parametrize(
    "settings",
    ["", f"geoip: {{database: '{DATABASE}'}}", "clients: {country_header: X-Country}"],
    ids=["none", "database", "header"],
)
def test_countries_that_nobody_knows_are_told(tmp_path, settings):
    """Once, at the first rule that asks for one; not where a source of them is set."""
    site = Site(tmp_path, edge_yml=settings + "\n")
    site.write_rules(
        ("/a", "/about", "301"), ("/b", "/about", "301", "<DE>"), ("/c", "/about", "301", "<US>")
    )
    text = "[1].condition: no client's country is known, so it is never met (set geoip.database,"

    errors, warnings = checked(site)

    assert errors == []
    assert [text in each for each in warnings] == ([] if settings else [True])


def test_lints_know_the_apps_own_hosts_and_slashes(site):
    """A circle through its domains, or with what the tree redirects, is one."""
    site.configure('domains: {one.example: {subdomains: {"": main}}}\ntrailing_slash: add\n')
    site.write_rules(
        ("https://one.example", "https://one.example/x", "302"), ("/docs/", "/docs", "301")
    )
    site.changes.reload()
    site.deploy(FILES)

    warnings = checked(site)[1]
    assert len(warnings) == 2
    assert "[0].target: the redirects never end" in warnings[0]
    assert "[1].target: the redirects go round in a circle" in warnings[1]


def test_lints_are_told_of_rules_that_fail_their_tests(site):
    """Mistakes and warnings are told in one go."""
    site.write_rules(BAD, *COVERED)

    errors, warnings = checked(site)
    assert errors == [FAILURE]
    assert len(warnings) == 1


def test_apps_are_linted_each_by_itself(site):
    """A warning names the file of its app."""
    site.write_rules(*COVERED)
    site.configure("", "other")
    site.write_rules(INERT, app="other")

    found = site.changes.check()

    assert {app: len(warned) for app, warned in found.warned.items()} == {"site": 1, "other": 1}
    assert [each.file for each in found.warnings] == [
        "rules/other/redirects.json",
        "rules/site/redirects.json",
    ]


def hits_of(site, app="site"):
    """What is known of the hits of an app's rules, by rule."""
    path = site.places.hits / app
    return json.loads(path.read_text()) if path.exists() else {}


def test_rules_are_known_from_their_reload_on(site):
    """Since which day, by what they say; those of an app that was refused are not."""
    site.write_rules(("/old", "/about"), ("/older", "/about"))
    site.configure("nope: 1\n", "other")
    site.write_rules(("/x", "/y"), app="other")
    with pytest.raises(Refused):
        site.changes.reload()
    first = hits_of(site)
    site.write_rules(("/old", "/about"))
    with pytest.raises(Refused):
        site.changes.reload()

    assert len(first) == 2
    assert len(hits_of(site)) == 1
    assert hits_of(site).items() < first.items()
    assert hits_of(site, "other") == {}


def test_rules_that_are_not_new_are_not_written_anew(site):
    """A reload that changes nothing writes nothing, but where nothing is known yet."""
    site.write_rules(("/old", "/about"))
    site.changes.reload()
    path = site.places.hits / "site"
    number = path.stat().st_ino

    site.changes.reload()
    assert path.stat().st_ino == number

    path.unlink()
    again = open_store(site.folder)
    again.reload()
    assert path.exists()


def test_rules_that_nobody_needs_are_told_by_check(site):
    """A quarter after the last request that one of them hit."""
    site.write_rules(("/old", "/about"))
    site.changes.reload()
    path = site.places.hits / "site"
    path.write_text(json.dumps({key: [1, 2] for key in hits_of(site)}))

    (warning,) = [str(each) for each in open_store(site.folder).check().warnings]

    assert warning.startswith("rules/site/redirects.json:1:2: [0].source: no request hit this rule")


def test_a_branch_that_was_announced_alone_has_no_files(site):
    """Its app came back, and nothing was ever activated: lints and tests have nothing to meet."""
    site.write_rules(PAGE, ("/x", "/nowhere", "200"))
    site.changes.reload()
    site.upload({"index.html": "only"})
    folder = site.folder / "rules" / "site"
    folder.rename(site.folder / "away")
    site.changes.reload()
    (site.folder / "away").rename(folder)
    site.changes.reload()

    assert site.changes.branch("site", "main").active is None
    assert checked(site) == ([], [])


# Parts


def test_which_rules_have_tests():
    """One is enough."""
    plain = Rule(source="/a", target="/b")

    assert not has_tests([])
    assert not has_tests([plain])
    assert has_tests([plain, Rule(source="/c", target="/d", tests=({},))])


def state_of(config=None, **branches):
    """An app with branches by label."""
    states = {label: BranchState(name=name, label=label) for label, name in branches.items()}
    return AppState(name="site", config=config, branches=states)


def test_which_branch_is_production():
    """By its name, not by its label; None while nobody deployed it."""
    state = state_of(App(production_branch="Main/Line"), main="main", main_line="Main/Line")

    assert production_of(state).label == "main_line"
    assert production_of(state_of(main="main")).label == "main"
    assert production_of(state_of(App(production_branch="x"), main="main")) is None


def test_a_branch_to_come_is_made_for_testing():
    """With the label that its first deploy would get; one that exists loses its own rules only."""
    made = with_production(state_of(App(production_branch="Main Line"), other="other"))
    assert production_of(made) == BranchState(name="Main Line", label="main-line")
    assert set(made.branches) == {"other", "main-line"}

    carrying = BranchState(name="main", label="main", rules="r", headers="h")
    kept = with_production(AppState(name="site", config=None, branches={"main": carrying}))
    assert kept.branches == {"main": BranchState(name="main", label="main", headers="h")}


def test_a_test_without_a_host_meets_no_domain_rule(site):
    """An apex that redirects to www would answer for every path otherwise."""
    site.configure('domains: {example.com: {subdomains: {"": main, www: main}}}')
    site.write_rules(
        ("https://example.com", "https://www.example.com", "301"),
        {
            "source": "/old",
            "target": "/about",
            "status": "301",
            "tests": [{"request": "/old", "expect": "301 /about"}],
        },
    )
    site.changes.reload()
    site.deploy(FILES)

    assert checked(site)[0] == []
