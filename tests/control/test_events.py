"""What is told about deployments and reloads, and when nothing is."""

from __future__ import annotations

import pytest

from edge.control.deployments import Missing, NoSuch
from edge.control.events import DeployEnded, Events, ReloadEnded, reason_of
from edge.control.reload import Refused
from edge.errors import Mistaken, StoreError
from tests.support_control import (
    FakeWorker,
    digests,
    new_store,
    places_of,
    publish,
    upload,
    write_app,
)

PAGES = {"index.html": "<p>hello</p>"}
BROKEN = {"index.html": "<p>hello</p>", "redirects.json": "[{]"}


@pytest.fixture
def changes(tmp_path):
    """A new node in `tmp_path`."""
    return new_store(tmp_path)


@pytest.fixture
def heard(changes):
    """Its events, as they come."""
    found = []
    changes.events.subscribe(found.append)
    return found


def results(heard):
    """The results of deployments."""
    return [(each.id, each.result) for each in heard if isinstance(each, DeployEnded)]


def test_a_deployment_that_serves_is_told_once(changes, heard):
    """With its app, its branch and what its deployer wrote; again is no news."""
    header = publish(changes, "shop", "feature/Login", PAGES)
    changes.activate(header.id)

    assert results(heard) == [(header.id, "succeeded")]
    assert (heard[0].app, heard[0].branch, heard[0].label) == (
        *("shop", "feature/Login"),
        "feature-login",
    )
    assert heard[0].at >= header.created


def test_a_deployment_that_is_refused_is_told_with_the_reason(changes, heard):
    """Where its own rules have a mistake, by what does not serve."""
    identifier = upload(changes, "shop", "main", BROKEN).id

    with pytest.raises(Mistaken):
        changes.activate(identifier)

    assert results(heard) == [(identifier, "failed")]
    assert "redirects.json:1:" in heard[0].reason


def test_a_worker_that_says_no_fails_a_deployment(changes, heard, tmp_path):
    """In its words."""
    publish(changes, "shop", "main", {"index.html": "before"})
    heard.clear()
    worker = FakeWorker(places_of(tmp_path).run, lambda _: {"error": "no room"})
    try:
        with pytest.raises(StoreError, match="no room"):
            publish(changes, "shop", "main", PAGES)
    finally:
        worker.close()

    assert [each.result for each in heard] == ["failed"]
    assert "no room" in heard[0].reason


def test_preparing_fails_a_deployment_too(changes, heard):
    """A blob that is not as it was announced never gets to its activation."""
    announced = upload(changes, "shop", "main", PAGES)
    pending = changes.deployments.pending(announced.id)
    (sha256,) = (each.sha256 for each in pending.files.values())
    path = next(changes.blobs._places.staged.glob(f"{sha256}*"))
    path.write_bytes(b"cut")

    with pytest.raises(StoreError, match="announced with"):
        changes.prepare(announced.id)

    assert results(heard) == [(announced.id, "failed")]


def test_what_was_not_tried_is_not_told(changes, heard):
    """Blobs that are still to come, and a deployment that there is not."""
    header, missing = changes.begin("shop", "main", digests(PAGES))
    assert missing

    with pytest.raises(Missing):
        changes.activate(header.id)
    with pytest.raises(NoSuch):
        changes.activate("20200101-000000-abcdef")

    assert heard == []


def test_a_rollback_is_told_by_what_serves_now(changes, heard):
    """And one without anything before is refused to its caller alone."""
    first = publish(changes, "shop", "main", PAGES)
    second = publish(changes, "shop", "main", {"index.html": "two"})
    changes.rollback("shop", "main")

    with pytest.raises(StoreError, match="no earlier"):
        changes.rollback("shop", "main")

    assert results(heard) == [
        (first.id, "succeeded"),
        (second.id, "succeeded"),
        (first.id, "rolled_back"),
    ]


def test_reloads_are_told_by_how_they_end(changes, heard, tmp_path, monkeypatch):
    """What is wrong in one app refuses; what cannot be read fails."""
    write_app(tmp_path, "shop", "production_branch: main")
    changes.reload()
    write_app(tmp_path, "shop", "production: main")
    with pytest.raises(Refused):
        changes.reload()
    monkeypatch.setattr(changes._reload, "run", lambda **_: (tmp_path / "none").read_text())
    with pytest.raises(OSError, match="No such file"):
        changes.reload()

    assert heard == [ReloadEnded(result=each) for each in ("succeeded", "refused", "failed")]


def test_the_lock_is_free_when_an_event_is_told(changes):
    """Whoever hears may ask for a change."""
    depths = []
    changes.events.subscribe(lambda _: depths.append(changes._depth))
    publish(changes, "shop", "main", PAGES)
    changes.reload()
    publish(changes, "shop", "main", {"index.html": "two"})
    changes.rollback("shop", "main")

    assert depths == [0, 0, 0, 0]


def test_who_fails_to_hear_stops_nobody(caplog):
    """The others hear, and the change is made."""
    events, heard = Events(), []

    def fail(_):
        raise RuntimeError("deaf")

    events.subscribe(fail)
    events.subscribe(heard.append)
    events.tell(ReloadEnded(result="succeeded"))

    assert heard == [ReloadEnded(result="succeeded")]
    assert "ReloadEnded was not heard" in caplog.text


def test_a_defect_is_not_shown():
    """What it says is for the log."""
    assert reason_of(KeyError("secret")) == "something broke; the node's log says more"
    assert reason_of(StoreError("no")) == "no"
