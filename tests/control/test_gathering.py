"""What the page shows of a real state folder, to the operator and to a token."""

from __future__ import annotations

import io
import re
import time

import msgspec
import pytest

from edge.control.events import DeployEnded
from edge.control.gathering import Gathering, newest_deploys
from edge.control.operations import Operations
from edge.control.overview import MAX_ROWS
from edge.control.page import status
from edge.errors import StoreError
from edge.site.generation import Activation, BranchState
from edge.site.scopes import Scope
from tests.support_control import (
    digests,
    new_store,
    places_of,
    publish,
    sha256,
    upload,
    write_app,
)
from tests.support_page import NOW, a_certificate, an_alarm, minutes

ALARMS = {"alarms": [an_alarm(), an_alarm("other", app="blog")]}


class Counted:
    """Requests of some apps."""

    def __init__(self, **apps):
        self.apps = apps

    def minutes(self, app):
        """Of an app or the node."""
        if app is None:
            return minutes()
        return minutes(scale=self.apps[app]) if app in self.apps else []


def gathering_of(folder, changes, **apps):
    """What is known of a node."""
    certificates = {"certificates": [a_certificate()], "mistakes": []}
    operations = Operations(places_of(folder), changes)
    workers = changes.fleet.status
    return Gathering(operations, Counted(**apps), workers, lambda: certificates, lambda: ALARMS)


@pytest.fixture
def node(tmp_path):
    """(what is known, the changes) of a node with two apps."""
    changes = new_store(tmp_path)
    gathering = gathering_of(tmp_path, changes, shop=10, blog=100)
    publish(changes, "shop", "main", {"a.html": "1"})
    publish(changes, "shop", "pr-1", {"a.html": "1"})
    publish(changes, "blog", "main", {"a.html": "1"})
    return gathering, changes


def test_the_operator_sees_everything(node):
    """Most requests first, newest first."""
    gathering, _ = node
    overview = gathering.gather(None, "", NOW, ALARMS)

    assert [each.name for each in overview.apps] == ["blog", "shop"]
    assert [(each.app, each.name) for each in overview.branches] == [
        ("blog", "main"),
        ("shop", "pr-1"),
        ("shop", "main"),
    ]
    assert overview.branches[0].url == "http://main.blog.edge.localhost:8080"
    assert {each.result for each in overview.deploys} == {"serves"}
    assert len(overview.alarms) == 2
    assert len(overview.certificates) == overview.certificate_count == 1
    assert overview.workers == []
    assert (overview.app_count, overview.branch_count) == (2, 3)


def test_one_app_is_looked_at(node):
    """Its branches, its alarms, its requests; nothing of the machine."""
    gathering, _ = node
    overview = gathering.gather(None, "shop", NOW, ALARMS)

    assert overview.app == "shop"
    assert {each.app for each in overview.branches} == {"shop"}
    assert {each.app for each in overview.deploys} == {"shop"}
    assert overview.traffic.requests == sum(each.requests for each in minutes(scale=10))
    assert [each["app"] for each in overview.alarms] == ["shop"]
    assert (overview.workers, overview.certificates) == (None, None)


@pytest.mark.parametrize(("query", "names"), [("b", ["blog"]), ("o", ["blog", "shop"]), ("x", [])])
def test_a_part_of_a_name_finds(node, query, names):
    """What is no app's name is looked for in them all."""
    gathering, _ = node
    overview = gathering.gather(None, query, NOW, ALARMS)

    assert (overview.app, [each.name for each in overview.apps]) == (None, names)


@pytest.mark.parametrize("query", ["", "shop", "blog", "b"])
def test_a_token_sees_its_own_app(node, query):
    """Whatever it asks for."""
    gathering, _ = node
    overview = gathering.gather(Scope(app="shop", may=("read",)), query, NOW, {})

    seen = [*(each.name for each in overview.apps), *(each.app for each in overview.branches)]
    assert set(seen) <= {"shop"}
    assert {each.app for each in overview.deploys} <= {"shop"}
    assert overview.alarms is overview.workers is overview.certificates is None
    assert overview.node == ""
    assert overview.traffic.requests == sum(each.requests for each in minutes(scale=10))
    said = re.sub(r'(?<=[?;]app=)\w+|(?<= value=")\w+', "", status(overview))  # its own question
    assert "blog" not in said


def test_a_token_of_branches_sees_these(node):
    """No numbers of the whole app, no name of another branch."""
    gathering, _ = node
    overview = gathering.gather(Scope(app="shop", branch="pr-*"), "", NOW, {})

    assert [each.name for each in overview.branches] == ["pr-1"]
    assert [each.branch for each in overview.deploys] == ["pr-1"]
    assert (overview.traffic, overview.apps[0].branches) == (None, 1)
    assert overview.apps[0].requests == 0


def test_what_became_of_deployments_is_told(node):
    """A failure with its reason, what was replaced, what serves again."""
    gathering, changes = node
    first = changes.branch("shop", "main").active.deployment
    second = publish(changes, "shop", "main", {"a.html": "2"}).id
    broken = upload(changes, "shop", "main", {"redirects.json": "{"})
    with pytest.raises(StoreError):
        changes.activate(broken.id)
    told = {each.id: each for each in gathering.gather(None, "shop", NOW, ALARMS).deploys}

    assert (told[first].result, told[second].result) == ("replaced", "serves")
    assert told[broken.id].result == "failed"
    assert "redirects.json" in told[broken.id].text

    changes.rollback("shop", "main")
    told = gathering.gather(None, "shop", NOW, ALARMS).deploys
    assert (told[0].id, told[0].result) == (first, "serves")
    assert next(each.result for each in told if each.id == second) == "replaced"


def test_what_serves_since_before_has_its_message(tmp_path):
    """A restart forgets ends, not what is on the disk."""
    changes = new_store(tmp_path)
    header, _ = changes.begin("shop", "main", digests({"a.html": "1"}), "Spring menu")
    changes.blobs.put(sha256("1"), io.BytesIO(b"1"))
    changes.activate(header.id)
    (row,) = gathering_of(tmp_path, changes).gather(None, "", NOW, ALARMS).deploys

    assert (row.result, row.app, row.text) == ("serves", "shop", "Spring menu")


def test_an_end_counts_once():
    """Of a deployment that was activated twice, the last time says that it serves."""
    ends = [
        DeployEnded(app="a", branch="b", label="b", id="x", result="succeeded", at=float(at))
        for at in (1, 2)
    ]

    assert [each.result for each in newest_deploys(ends, {"x"}, [])] == ["serves", "replaced"]


def test_a_new_node_has_an_overview(tmp_path):
    """Nothing was ever deployed."""
    overview = gathering_of(tmp_path, new_store(tmp_path)).gather(None, "", NOW, ALARMS)

    assert (overview.generation, overview.app_count, overview.deploys) == (0, 0, [])
    assert "There is no app yet." in status(overview)


def test_a_thousand_apps_are_a_page(tmp_path):
    """Ten branches each: so many rows as people read, in 50 ms; three times that on a busy day."""
    changes = new_store(tmp_path)
    names = [f"app-{number}" for number in range(1000)]
    write_app(tmp_path, names[0])
    changes.reload()
    generations = changes.generations
    one = generations.find(generations.current(), names[0])
    branches = {
        f"b{n}": BranchState(
            name=f"b{n}", label=f"b{n}", active=Activation(deployment=f"d{n}", at=float(n))
        )
        for n in range(10)
    }
    states = {n: msgspec.structs.replace(one, name=n, branches=branches) for n in names}
    generations.commit(generations.current().settings, states)
    gathering = gathering_of(tmp_path, changes, **(dict.fromkeys(names, 2) | {names[7]: 9}))
    counted = {name: gathering._counting.minutes(name) for name in [*names, None]}
    gathering._counting.minutes = lambda app: list(counted[app])

    took = []
    for _ in range(3):
        begun = time.thread_time()
        overview = gathering.gather(None, "", NOW, ALARMS)
        page = status(overview)
        took.append(time.thread_time() - begun)

    assert (overview.app_count, overview.branch_count) == (1000, 10_000)
    assert (len(overview.apps), len(overview.branches)) == (MAX_ROWS, MAX_ROWS)
    assert overview.apps[0].name == names[7]
    assert len(page) < 100 * 1024
    assert min(took) < 0.150
