"""What control writes and workers read."""

from __future__ import annotations

import msgspec
import pytest

from edge.site.documents import App, Domain
from edge.site.generation import Activation, AppState, BranchState, Generation, RetainedFile
from edge.site.manifest import Entry
from edge.site.settings import CacheSettings, Settings

STATE = AppState(
    name="shop",
    config=App(domains={"example.com": Domain(subdomains={"": "main"})}, trailing_slash="add"),
    branches={
        "main": BranchState(
            name="main",
            label="main",
            active=Activation(deployment="20260131-093000-1a2b3c", at=1.25),
            previous=Activation(deployment="20260131-083000-1a2b3c", at=0.5),
            history=("20260131-083000-1a2b3c",),
            retained="ab" * 32,
        )
    },
)


@pytest.mark.parametrize(
    "document",
    [
        STATE,
        AppState(name="broken", config=None),
        Generation(
            number=7,
            created=1.5,
            settings=Settings(default_domain="example.net", cache=CacheSettings(memory=1024)),
            apps={"shop": "ab" * 32},
        ),
        RetainedFile(
            deployment="20260131-083000-1a2b3c",
            created=0.25,
            until=99.0,
            entry=Entry("a-BxK3d9Qz.js", "cd" * 32, 5, "text/javascript", {"br": 3}),
        ),
    ],
    ids=lambda document: type(document).__name__,
)
def test_a_document_is_read_as_it_was_written(document):
    """What is decoded equals what was encoded, and encodes to the same bytes: its hash names it."""
    data = msgspec.json.encode(document)
    decoded = msgspec.json.decode(data, type=type(document))
    assert decoded == document
    assert msgspec.json.encode(decoded) == data


def test_a_state_names_its_documents():
    """All that must not be collected: an app's and each branch's, of every kind."""
    bare = BranchState(name="bare", label="bare")
    full = BranchState(name="full", label="full", retained="1", rules="2", headers="3")
    some = BranchState(name="some", label="some", rules="2")
    app = AppState(name="a", config=None, branches={"b": bare, "f": full, "s": some}, rules="4")

    assert list(bare.documents()) == []
    assert list(full.documents()) == ["1", "2", "3"]
    assert list(app.documents()) == ["4", "1", "2", "3", "2"]
    assert list(msgspec.structs.replace(app, headers="5", branches={}).documents()) == ["4", "5"]
