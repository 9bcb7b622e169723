"""The operations of the command line while no node runs: each change is audited."""

from __future__ import annotations

import json
import os

import pytest

from edge.control.deployments import NoSuch
from edge.control.local import Local
from tests.support_control import new_store, places_of, sha256


def test_each_change_leaves_a_line(tmp_path):
    """With what it was about, and with what went wrong; questions leave none."""
    places = places_of(tmp_path)
    local = Local(places, new_store(tmp_path))
    files = {"a": {"sha256": sha256("a"), "size": 1}}
    (tmp_path / "a").write_text("a")
    begun = local.begin("shop", "main", files)
    with (tmp_path / "a").open("rb") as file:
        local.put_blob(sha256("a"), file)
    local.activate(begun["id"])
    local.deployments("shop", "main")
    local.status()
    local.purge({"app": "shop"})
    local.reload()
    token = local.create_token({"app": "shop"})
    local.list_tokens()
    local.revoke_token(token["id"])
    with pytest.raises(NoSuch):
        local.rollback("blog", "main")
    local.delete_branch("shop", "main")
    local.close()

    noted = [json.loads(line) for line in places.audit.read_text().splitlines()]
    assert {line["who"] for line in noted} == {f"local:{os.getuid()}"}
    assert [(line["action"], line["app"], line["branch"], line["id"]) for line in noted] == [
        ("begin", "shop", "main", begun["id"]),
        ("activate", "shop", "main", begun["id"]),
        ("purge", "shop", None, None),
        ("reload", None, None, None),
        ("create-token", "shop", None, token["id"]),
        ("revoke-token", None, None, token["id"]),
        ("rollback", "blog", "main", None),
        ("delete-branch", "shop", "main", None),
    ]
    assert [line["action"] for line in noted if line["error"]] == ["rollback"]
    assert token["token"].rpartition("_")[2] not in places.audit.read_text()
