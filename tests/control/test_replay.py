"""Recorded requests, decided again: what would be answered differently, and how often."""

from __future__ import annotations

import json

import msgspec
import pytest

from edge.control import replay as module
from edge.control.records import Record
from edge.control.rehearsals import inline
from edge.control.replay import propose, replay
from edge.errors import EdgeError, Mistaken
from edge.site.rehearsal import World
from edge.site.rule import Rule
from tests.support_serving import HOST, Site

FILES = ["index.html", "about.html"]
OLD = [Rule(source="/old", target="/about"), Rule(source="/us", target="/a", condition="<US>")]
NEW = [Rule(source="/old", target="/new", status="302"), Rule(source="/about", status="410")]
NAME = "x.example"


def world(rules, host=NAME):
    """One host with these rules."""
    return inline(rules, FILES, host)


def record(target="/old", host=NAME, method="GET", country=None, line=1):
    """A line of a log."""
    return Record(method.encode(), host, target.encode(), country, 200, b"", line)


def replayed(*records, now=OLD, then=NEW, host=None):
    """What a replay of these finds."""
    return replay(records, world(now), world(then), host)


def rows(found):
    """The changes in short."""
    return [(each.count, each.request, each.now, each.then) for each in found.changes]


def test_what_changes_is_listed_once_with_its_count():
    """Most frequent first; what stays as it is is counted alone."""
    found = replayed(
        record("/about"), record("/old?a=1"), record("/"), record("/old?a=1"), record("/none")
    )

    assert (found.requests, found.changed, found.unlisted) == (5, 3, 0)
    assert rows(found) == [
        (2, "GET x.example/old?a=1", "301 /about?a=1", "302 /new?a=1"),
        (1, "GET x.example/about", "200 /about.html", "410"),
    ]


def test_an_empty_log():
    """Is none of a mistake."""
    assert replayed() == module.Replayed(changes=[], hosts=[])


def test_results_do_not_share_their_lists():
    """Two replays in one process are two."""
    replayed(record(), record(host="y.example"))

    assert (rows(replayed()), replayed().hosts) == ([], [])


def test_method_country_and_host_make_a_request():
    """Each of them may change an answer, so each makes another row."""
    found = replayed(
        record("/us", country="US"),
        record("/us", country="DE"),
        record("/about", method="HEAD"),
        record("/about", method="POST"),
        then=[Rule(source="/about", status="410")],
    )

    assert rows(found) == [
        (1, "GET x.example/us (US)", "301 /a", "404"),
        (1, "HEAD x.example/about", "200 /about.html", "410"),
        (1, "POST x.example/about", "405", "410"),
    ]


def test_bytes_of_a_log_are_told_as_they_came():
    """Also those that are no text."""
    odd = msgspec.structs.replace(record(), target=b"/old\xff")
    rules = [Rule(source="</old/>", target="/x")]

    assert replayed(odd, now=[], then=rules).requests == 1
    assert rows(replayed(record("/%6Fld"))) == [
        (1, "GET x.example/%6Fld", "301 /about", "302 /new")
    ]


@pytest.mark.parametrize("host", [NAME, "X.Example", "x.example:8080"])
def test_a_host_for_those_that_name_none(host):
    """As people write it; those that name one keep it."""
    found = replayed(record(host=None), record(host="y.example"), host=host)

    assert rows(found) == [(1, "GET x.example/old", "301 /about", "302 /new")]


def test_without_a_host_a_request_cannot_be_asked():
    """With the line, and the option that helps."""
    with pytest.raises(EdgeError, match=r"^line 7 names no host; say which with --host$"):
        replayed(record(), record(host=None, line=7))


@pytest.mark.parametrize("host", ["", "a b", "http://x.example", "x:99999", "\udcff"])
def test_what_is_no_host_is_refused(host):
    """Before a whole log is found to stay as it is."""
    with pytest.raises(EdgeError, match=r"is no host: write www\.example\.com$"):
        replayed(record(), host=host)


def test_hosts_that_nobody_has_are_told():
    """Their answers cannot change, which is no good news; some of them are named."""
    strangers = [record(host=f"{number}.example") for number in range(9)]
    found = replayed(record(), strangers[0], *strangers, strangers[0])

    assert (found.requests, found.changed, found.unclaimed) == (12, 1, 11)
    assert found.hosts == [f"{number}.example" for number in range(5)]


def test_a_host_of_one_world_is_nobodys_stranger():
    """A domain that comes or goes with a change is what is asked about."""
    found = replay([record(host="y.example")], world(OLD), world(NEW, "y.example"), None)

    assert found.unclaimed == 0
    assert rows(found) == [(1, "GET y.example/old", "404", "302 /new")]


class Counting(World):
    """A world that counts what it is asked."""

    def __init__(self, like):
        super().__init__(like.snapshot, like.epoch, like._clock, like._load)
        self.asked = 0

    def rehearse(self, request, country):
        """Count, and answer as any world."""
        self.asked += 1
        return super().rehearse(request, country)


def test_a_request_is_decided_once():
    """A log repeats itself."""
    now = Counting(world(OLD))
    replay([record(), record("/"), record(), record("/")], now, world(NEW), None)

    assert now.asked == 2


def test_what_is_remembered_has_a_bound(monkeypatch):
    """Behind it requests are decided anew, and still are one row."""
    monkeypatch.setattr(module, "DECIDED", 2)
    now = Counting(world(OLD))
    asked = [record(), record("/"), record("/1"), record("/"), record()]
    found = replay(asked, now, world(NEW), None)

    assert now.asked == 4
    assert rows(found) == [(2, "GET x.example/old", "301 /about", "302 /new")]


def test_what_is_told_has_a_bound(monkeypatch):
    """Requests of rows beyond it are counted."""
    monkeypatch.setattr(module, "CHANGES", 2)
    found = replayed(*(record(f"/old?{number % 4}") for number in range(10)))

    assert [count for count, *_ in rows(found)] == [3, 3]
    assert (found.changed, found.unlisted) == (10, 4)


# Of which rules


@pytest.fixture
def site(tmp_path):
    """A node with an app that serves."""
    site = Site(tmp_path)
    site.write_rules(("/old", "/about", "301"))
    site.changes.reload()
    site.deploy({path: path for path in FILES})
    return site


def write(site, rules, name="other.json"):
    """A file of rules outside of every app."""
    path = site.folder / name
    path.write_text(rules if isinstance(rules, str) else json.dumps(rules))
    return path


def changes_of(site, proposal, *records):
    """The changes that a proposal makes."""
    rehearsals = site.changes.rehearsals
    return rows(replay(records, rehearsals.serving(), rehearsals.serving(proposal), HOST))


OTHER = [{"source": "/old", "target": "/new", "status": "302"}]
ROW = (1, f"GET {HOST}/old", "301 /about", "302 /new")


@pytest.mark.parametrize("app", [None, "site"])
def test_rules_of_a_file(site, app):
    """They take the place of the app's; with one app it need not be said whose."""
    proposal = propose(site.changes, write(site, OTHER), app)

    assert changes_of(site, proposal, record(host=None), record("/about", None)) == [ROW]


def test_rules_of_a_file_in_yaml(site):
    """As in an app's folder."""
    file = write(site, "- {source: /old, target: /new, status: 302}\n", "other.yml")

    assert changes_of(site, propose(site.changes, file, None), record(host=None)) == [ROW]


def test_rules_of_a_file_take_the_place_of_carried_ones(site):
    """Whoever asks means what would happen if these were the rules."""
    mine = json.dumps([{"source": "/old", "target": "/mine"}])
    site.deploy({"about.html": "x", "redirects.json": mine})
    proposal = propose(site.changes, write(site, OTHER), "site")

    assert changes_of(site, proposal, record(host=None)) == [
        (1, f"GET {HOST}/old", "301 /mine", "302 /new")
    ]


def test_the_folders_as_they_are(site):
    """Without a file, what a reload would serve; carried rules stay what they are."""
    site.deploy({"redirects.json": "[]"}, "next")
    site.write_rules(("/old", "/new", "302"))
    proposal = propose(site.changes, None, None)

    asked = record(host=None), record(host="next.site.edge.localhost")
    assert changes_of(site, proposal, *asked) == [ROW]


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (None, r"say whose rules these are with --app \(there are: other, site\)"),
        ("nope", r"there is no app nope \(there are: other, site\)"),
    ],
)
def test_whose_rules_they_are_has_to_be_known(site, app, reason):
    """With those there are."""
    site.configure("", "other")
    site.changes.reload()

    with pytest.raises(EdgeError, match=f"^{reason}$"):
        propose(site.changes, write(site, OTHER), app)


@pytest.mark.parametrize("app", [None, "site"])
def test_a_node_without_apps_has_nothing_to_replay(tmp_path, app):
    """It says so."""
    site = Site(tmp_path)

    with pytest.raises(EdgeError, match=r"\(there are: none yet\)"):
        propose(site.changes, write(site, OTHER), app)


@pytest.mark.parametrize(
    ("rules", "mistake"),
    [
        ('[{"source": "/a", "target": "/<x>"}]', ":1:19: [0].target: unknown placeholder <x>"),
        ("[{]", ":1:3: JSON: "),
        (None, ":1:1: there is no such file"),
    ],
)
def test_mistakes_in_a_file_of_rules(site, rules, mistake):
    """By its name and with their places."""
    path = site.folder / "nowhere.json" if rules is None else write(site, rules)

    with pytest.raises(Mistaken) as caught:
        propose(site.changes, path, None)

    assert str(caught.value.errors[0]).startswith(f"{path}{mistake}")


def test_mistakes_in_a_folder(site):
    """A replay of what a reload would refuse is refused."""
    site.configure("nope: 1\n")

    with pytest.raises(Mistaken) as caught:
        propose(site.changes, None, None)

    assert str(caught.value.errors[0]).startswith("rules/site/app.yml:1:1: unknown key 'nope'")


def test_a_replay_changes_nothing(site):
    """Neither what serves nor a file of the state folder."""
    state = sorted(site.places.state.rglob("*"))

    for rules in (write(site, OTHER), None):
        changes_of(site, propose(site.changes, rules, None), record(host=None))

    assert sorted(site.places.state.rglob("*")) == state
