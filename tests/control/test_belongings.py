"""Whose bytes a blob is. What follows from it is in `test_scoped`."""

from __future__ import annotations

import pytest

from edge.control.belongings import Bringing
from edge.errors import StoreError
from tests.support_control import DAY, age, digests, new_store, places_of, publish, sha256


def test_an_app_owns_what_its_manifests_name(tmp_path):
    """Others' are withheld, whether they are here or not."""
    changes = new_store(tmp_path)
    publish(changes, "shop", "main", {"a": "a"})
    publish(changes, "blog", "main", {"b": "b"})
    asked = {sha256(each) for each in "abc"}

    assert changes.belongings.withheld("shop", "main", asked) == {sha256("b"), sha256("c")}
    assert changes.belongings.withheld("new", "main", asked) == asked
    assert changes.belongings.withheld("shop", "main", set()) == set()


def test_a_manifest_that_cannot_be_read_owns_nothing(tmp_path):
    """What it named is sent again."""
    changes = new_store(tmp_path)
    header = publish(changes, "shop", "main", {"a": "a"})
    places_of(tmp_path).manifest("shop", "main", header.id).write_bytes(b"{")

    assert changes.belongings.withheld("shop", "main", {sha256("a")}) == {sha256("a")}


def test_what_was_sent_is_noted_when_it_is_right(tmp_path):
    """By app; and forgotten with the deployments that nobody continued."""
    changes, places = new_store(tmp_path), places_of(tmp_path)
    for name, content in ((sha256("right"), b"right"), (sha256("other"), b"wrong")):
        writer = Bringing(places, name, "shop", changes.belongings)
        writer.write(content)
        if content == b"right":
            writer.finish()
        else:
            with pytest.raises(StoreError):
                writer.finish()
        writer.close()
    (noted,) = places.brought.glob("*/*")
    assert (noted.parent.name, noted.name) == ("shop", sha256("right"))

    changes.collect()
    assert noted.exists()
    age(noted, 2 * DAY)
    changes.collect()
    assert not noted.exists()


def test_a_pending_deployment_of_before_withholds_nothing(tmp_path):
    """Written by a version that knew no tokens."""
    changes = new_store(tmp_path)
    header, _ = changes.begin("shop", "main", digests({"a": "a"}))
    path = places_of(tmp_path).pending / header.id
    path.write_text(path.read_text().replace(',"withheld":[]', ""))

    assert changes.deployments.pending(header.id).withheld == []
