"""The documents that the API and the command line answer with."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from edge.control.announcements import Malformed
from edge.control.configuration import as_json
from edge.control.operations import Operations, refused_document, reloaded
from edge.control.reload import Refused, Reloaded
from edge.errors import ConfigError, StoreError
from tests.support_control import new_store, places_of, sha256, write_app

FILES = {"index.html": {"sha256": sha256(b"hello"), "size": 5}}


@pytest.fixture
def operations(tmp_path):
    """Those of a new node."""
    return Operations(places_of(tmp_path), new_store(tmp_path))


def deploy(operations, branch="main", app="shop"):
    """One deployment; the document of its activation."""
    begun = operations.begin(app, branch, FILES, "why")
    if begun["missing"]:
        operations.put_blob(sha256(b"hello"), io.BytesIO(b"hello"))
    return operations.activate(begun["id"])


def test_begin_tells_what_is_missing(operations):
    """The id, the label that the branch was given, and the hashes."""
    begun = operations.begin("shop", "feature/x", FILES)

    assert (begun["label"], begun["missing"]) == ("feature-x", [sha256(b"hello")])
    assert sorted(begun) == ["id", "label", "missing"]


def test_announce_takes_json(operations):
    """The same as begin; what is no announcement is malformed."""
    body = b'{"files": {"a": {"sha256": "%s", "size": 1}}, "message": "m"}' % (b"a" * 64)

    begun = operations.announce("shop", "main", body)

    assert begun["missing"] == ["a" * 64]
    with pytest.raises(Malformed):
        operations.announce("shop", "main", b"[]")


def test_a_blob_writer_stages(operations, tmp_path):
    """For those who have the bytes in pieces."""
    writer = operations.blob_writer(sha256(b"hello"))
    for each in (b"hel", b"lo"):
        writer.write(each)
    writer.finish()
    writer.close()

    assert operations.begin("shop", "main", FILES)["missing"] == []
    assert places_of(tmp_path).staged_blob(sha256(b"hello")).read_bytes() == b"hello"


def test_what_serves_is_told_with_its_urls(operations):
    """After an activation and after a rollback."""
    first = deploy(operations)
    deploy(operations)

    assert operations.rollback("shop", "main") == first
    assert first["urls"] == ["http://main.shop.edge.localhost:8080"]
    assert (first["app"], first["branch"]) == ("shop", "main")


def test_deployments_are_told(operations):
    """Newest first, with the active one marked."""
    ids = [deploy(operations)["id"] for _ in range(2)]

    document = operations.deployments("shop", "main")

    assert (document["app"], document["branch"]) == ("shop", "main")
    assert [each["id"] for each in document["deployments"]] == ids[::-1]
    assert [each["active"] for each in document["deployments"]] == [True, False]
    assert {each["message"] for each in document["deployments"]} == {"why"}


def test_branches_and_apps_are_told(operations, tmp_path):
    """Branches by name, with label, deployment and when it was activated."""
    write_app(tmp_path, "bad", "nope: 1\n")
    second = deploy(operations, "zz")
    deploy(operations, "aa")

    branches = operations.branches("shop")["branches"]

    assert [each["branch"] for each in branches] == ["aa", "zz"]
    assert (branches[1]["deployment"], branches[1]["activated"] > 0) == (second["id"], True)
    assert operations.apps() == {
        "apps": [
            {"app": "bad", "branches": 0, "configured": False},
            {"app": "shop", "branches": 2, "configured": True},
        ]
    }
    with pytest.raises(StoreError, match="there is no app nope"):
        operations.branches("nope")


def test_hostnames_are_told(operations):
    """Of every app, or of one; those of this machine need no records."""
    deploy(operations)
    deploy(operations, app="blog")

    document = operations.domains()

    assert [each["host"] for each in document["hosts"]] == [
        "main.blog.edge.localhost",
        "main.shop.edge.localhost",
    ]
    assert document["missing"] is False
    assert [each["app"] for each in operations.domains("shop")["hosts"]] == ["shop"]
    with pytest.raises(StoreError, match="there is no app nope"):
        operations.domains("nope")


def test_what_asks_the_dns_is_loaded_where_it_is_asked():
    """The parent and every worker come out of a process that imported this."""
    code = "import sys, edge.cli; sys.exit(any(m in sys.modules for m in ('dns', 'acme')))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_rest_are_short(operations):
    """Each says what it did."""
    deploy(operations, "gone")

    assert operations.delete_branch("shop", "gone") == {
        "app": "shop",
        "branch": "gone",
        "label": "gone",
    }
    assert operations.purge({"all": True}) == {"purged": 0}
    generation = operations.reload()["generation"]
    assert operations.status() == {"generation": generation, "apps": 1, "workers": []}


def test_a_new_node_has_a_status(operations):
    """Before its first generation."""
    assert operations.status() == {"generation": 0, "apps": 0, "workers": []}


def test_a_refused_reload_as_a_document():
    """The mistakes, what was kept, what changed."""
    error = ConfigError("f", 1, 2, "m")
    refused = Refused([error], ["a"], Reloaded(3, ["b"]))

    assert refused_document(refused) == {
        "errors": [as_json(error)],
        "kept": ["a"],
        "generation": 3,
        "changed": ["b"],
        "warnings": [],
    }
    assert reloaded(Reloaded(3, [])) == {"generation": 3, "changed": [], "warnings": []}
