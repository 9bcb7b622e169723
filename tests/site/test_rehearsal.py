"""What would be answered, without serving it: status and place of requests to a world."""

from __future__ import annotations

import itertools
import time

import pytest

from edge.errors import MalformedRequest
from edge.http.fields import FieldList
from edge.site.rehearsal import World, make_request, summary
from tests.support_site import ACTIVE_AT, compile_site, snapshot_of

TREE = ("index.html", "about.html", "docs/index.html", "404.html", "é.html")
HOST = "main.site.x.test"
NOW = ACTIVE_AT + 10_000
"""Long after the activation."""

RULES = [
    ("/old", "/new?a=1#top", "301"),
    ("/page", "/about", "200"),
    ("/api/<*>", "https://api.test/<*>", "200"),
    ("/many", ("https://a.test/", "https://b.test/"), "200"),
    ("/gone", None, "410"),
    ("/closed", "/about", "451"),
    ("/us", "/about", "302", "<US>"),
    ("/lost/<*>", "/about", "404"),
]


def world_of(*apps, clock=time.process_time, load=lambda _: None, epoch=NOW):
    """Apps, long after they were activated."""
    return World(snapshot_of(*apps), epoch, clock, load)


def site(**options):
    """An app with a tree."""
    return compile_site(options.pop("tree", TREE), **options)


def rehearse(world, target="/", *, host=HOST, method="GET", country=None, accept=None):
    """Status and place of the answer to a request."""
    fields = FieldList([(b"accept", accept.encode())]) if accept else None
    asked = make_request(host.encode(), target.encode(), method.encode(), fields)
    return world.rehearse(asked, country)


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("/old", (301, "/new?a=1#top")),
        ("/page", (200, "/about.html")),
        ("/api/x?y=1", (200, "https://api.test/x?y=1")),
        ("/many", (200, "https://a.test/")),
        ("/gone", (410, "")),
        ("/closed", (451, "/about.html")),
        ("/us", (404, "/404.html")),
        ("/lost/x", (404, "/about.html")),
        ("/about", (200, "/about.html")),
        ("/%C3%A9", (200, "/é.html")),
        ("/docs?q", (301, "/docs/?q")),
        ("/none", (404, "/404.html")),
        ("/%zz", (400, "")),
        ("/..", (400, "")),
    ],
)
def test_every_kind_of_answer(target, answer):
    """A Location, a file, an origin's URL, or nothing, with its status."""
    assert rehearse(world_of(site(rules=RULES)), target) == answer


def test_country_method_and_fields_count():
    """As they do for live traffic."""
    rules = [*RULES, ("/<*>", "/index.html", "fallback")]
    world = world_of(site(rules=rules))

    assert rehearse(world, "/us", country="US") == (302, "/about")
    assert rehearse(world, "/about", method="POST") == (405, "")
    assert rehearse(world, "/about", method="OPTIONS") == (204, "")
    assert rehearse(world, "/none.js") == (404, "/404.html")
    assert rehearse(world, "/none.js", accept="text/html") == (200, "/index.html")


@pytest.mark.parametrize("host", ["nobody.test", "site.x.test", "main.site.x.test.evil"])
def test_a_host_that_nobody_claims_is_not_found(host):
    """Never another app's content."""
    assert rehearse(world_of(site()), host=host) == (404, "")


def test_hosts_are_spelled_in_many_ways():
    """Capitals and a port do not matter; what is none is refused."""
    world = world_of(site())

    assert rehearse(world, host="MAIN.Site.x.test:8080") == (200, "/index.html")
    assert rehearse(world, host="a b") == (400, "")


def test_passwords_are_passed_by():
    """A log has none, and what rules do is the question."""
    guarded = site(app_yml="access: {users: {ann: '$2b$04$" + "a" * 53 + "'}}\n")

    assert rehearse(world_of(guarded), "/about") == (200, "/about.html")


def test_patterns_that_take_too_long():
    """503, as live traffic gets; never as if the rule did not match."""
    ticks = itertools.count()
    rules = [("</^/y/>", "/x"), ("</^/z/>", "/y")]
    slow = world_of(site(rules=rules), clock=lambda: float(next(ticks)))
    quick = world_of(site(rules=rules), clock=lambda: 0.0)

    assert rehearse(slow, "/about") == (503, "")
    assert rehearse(quick, "/about") == (200, "/about.html")


def test_each_request_has_its_own_time():
    """A log of a million requests is not over after 5 ms."""
    now = [0.0]
    world = world_of(site(rules=[("</^/a/x/>", "/x")]), clock=lambda: now[0])

    for _ in range(3):
        assert rehearse(world, "/a/y") == (404, "/404.html")
        now[0] += 1.0


# Hosts of this node


def test_a_rule_leads_inside_to_another_host():
    """Its files answer, not its rules before files."""
    outer = site(rules=[("/in", "http://main.two.x.test/about", "200")])
    two = compile_site(["about.html"], name="two", rules=[("/about", "/never", "301")])

    assert rehearse(world_of(outer, two), "/in") == (200, "/about.html")


def test_a_rule_leads_inside_and_out_again():
    """A missing file of the inner host may be another server's."""
    outer = site(rules=[("/in", "http://main.two.x.test/x", "200")])
    two = compile_site([], name="two", rules=[("/<*>", "https://o.test/<*>", "fallback")])

    assert rehearse(world_of(outer, two), "/in") == (200, "https://o.test/x")


def test_two_hosts_that_send_a_request_to_each_other():
    """508, and no recursion without end."""
    one = compile_site([], rules=[("/<*>", "http://main.two.x.test/<*>", "200")])
    two = compile_site([], name="two", rules=[("/<*>", f"http://{HOST}/<*>", "fallback")])

    assert rehearse(world_of(one, two), "/x") == (508, "")


# Opening and following


def test_what_cannot_be_opened():
    """A host that nobody claims, and an app without a configuration, have no exchange."""
    world = world_of(compile_site(TREE, app_yml=None))

    assert world.open(make_request(b"nobody.test", b"/"), None) is None
    assert world.open(make_request(HOST.encode(), b"/"), None) is None
    with pytest.raises(MalformedRequest):
        world.open(make_request(b"", b"/"), None)


def test_an_exchange_is_as_the_handler_opens_it():
    """Site, path, country, and time of its own on the world's clock."""

    def clock():
        return 7.0

    exchange = world_of(site(), clock=clock).open(make_request(HOST.encode(), b"/%61?q"), "DE")

    assert exchange is not None
    assert (exchange.site.host, exchange.branch.name) == (HOST, "main")
    subject = exchange.subject
    assert (subject.path, subject.query, subject.country) == ("/a", b"q", "DE")
    assert (subject.budget.clock, subject.budget.left) == (clock, 0.005)


def test_what_a_branch_answers_from_is_loaded_first():
    """Once for each branch that is asked, inner ones too; never for a redirect's host alone."""
    loaded = []
    outer = site(rules=[("/in", "http://main.two.x.test/about", "200")])
    two = compile_site(["about.html"], name="two")
    world = world_of(outer, two, load=lambda branch: loaded.append(branch.app))

    rehearse(world, "/in")
    rehearse(world, host="nobody.test")

    assert loaded == ["site", "two"]


def test_what_is_still_not_loaded_is_a_broken_promise():
    """An answer without the files of earlier deployments would be another one."""
    app = compile_site(TREE, retained={"app-BxK3d9Qz.js": NOW + 1})
    branch = app.branches["main"]
    files, branch.retained.files = branch.retained.files, None
    request = make_request(HOST.encode(), b"/app-BxK3d9Qz.js")

    with pytest.raises(AssertionError, match="it has been loaded"):
        world_of(app).rehearse(request, None)

    def load(_):
        branch.retained.files = files

    assert world_of(app, load=load).rehearse(request, None) == (200, "/app-BxK3d9Qz.js")


def test_time_counts():
    """In performance mode the previous deployment answers for a while."""
    app = site(
        tree=["index.html"], previous=TREE, app_yml="branches: {main: {performance_mode: true}}"
    )

    assert rehearse(world_of(app, epoch=ACTIVE_AT + 1), "/about") == (200, "/about.html")
    assert rehearse(world_of(app), "/about") == (404, "")


# Requests


def test_a_request_as_a_connection_makes_it():
    """A GET without fields or content, where nothing else is said."""
    request = make_request(b"x.test", b"/a?b")

    assert (request.method, request.target, request.authority) == (b"GET", b"/a?b", b"x.test")
    assert (list(request.fields), request.ends, request.version) == ([], True, b"1.1")
    fields = FieldList([(b"a", b"b")])
    assert make_request(b"x", b"/", b"PUT", fields).fields is fields


def test_a_location_that_is_not_ascii_is_still_told():
    """What a rule's target holds is told byte for byte."""
    world = world_of(site(rules=[("/a", "/é", "301")]))
    exchange = world.open(make_request(HOST.encode(), b"/a"), None)
    exchange.decide()

    assert summary(world.follow(exchange)) == (301, "/%C3%A9")
