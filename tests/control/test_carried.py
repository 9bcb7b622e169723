"""The rules and headers that a deployment carries in its own root."""

from __future__ import annotations

import hashlib
import io
import json

import msgspec
import pytest

from edge.control.carried import LAST, Carried, Documents, read_carried
from edge.control.configuration import Rules
from edge.errors import Mistaken, StoreError
from edge.site.headers import CustomHttp, Header, HeaderEntry
from edge.site.manifest import RESERVED, Entry
from edge.site.redirects import MAX_BYTES
from edge.site.rule import BLOCK, Rule, decode_rules
from tests.support_control import encoded, new_store, sha256

REDIRECTS = '[\n  {"source": "/old", "target": "/new", "status": "302"}\n]'
HEADERS = "customHeaders: [{pattern: '**', headers: [{key: X-Own, value: yours}]}]"
CUSTOM = CustomHttp(
    custom_headers=(HeaderEntry(pattern="**", headers=(Header(key="X-Own", value="yours"),)),)
)


@pytest.fixture
def blobs(tmp_path):
    """The blobs of a new node."""
    return new_store(tmp_path).blobs


def read(blobs, **files):
    """What a deployment with these files carries; `_` in a name is a dot, `__` a slash."""
    named = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    entries = []
    for path, content in sorted(named.items()):
        blobs.put(sha256(content), io.BytesIO(encoded(content)))
        entries.append(Entry(path, sha256(content), len(content), "text/plain", {}))
    return read_carried(iter(entries), blobs)


def mistakes(blobs, **files):
    """Place, message and remedy of all that is wrong."""
    with pytest.raises(Mistaken) as caught:
        read(blobs, **files)
    return [
        (each.file, each.line, each.column, each.message, each.hint) for each in caught.value.errors
    ]


def test_most_deployments_carry_nothing(blobs):
    """And no blob is read for it."""
    entries = [Entry("index.html", "0" * 64, 1, "text/html", {})]

    assert read_carried(entries, blobs) == Carried(None, None, ())
    assert read_carried([], blobs) == Carried(None, None, ())


def test_rules_and_headers_are_read(blobs):
    """As those of an app's folder are; each alone, or both."""
    rules = Rules(
        (Rule(source="/old", target="/new", status="302", line=2, column=3),), "redirects.json"
    )

    assert read(blobs, redirects_json=REDIRECTS, a_html="") == Carried(rules, None, ())
    assert read(blobs, customHttp_yml=HEADERS, z_html="") == Carried(None, CUSTOM, ())
    both = read(blobs, customHttp_yml=HEADERS, index_html="", redirects_json=REDIRECTS)
    assert both == Carried(rules, CUSTOM, ())


def test_rules_that_are_none_are_something(blobs):
    """Who carries an empty list wants no rules, also none of the folder's."""
    assert read(blobs, redirects_json="[]").rules == Rules((), "redirects.json")
    assert read(blobs, customHttp_yml="").headers == CustomHttp()


def test_only_the_root_counts(blobs):
    """And only these two names: what else there is, is content; one that misleads is told."""
    assert read(blobs, docs__redirects_json="no", docs__customHttp_yml="no: [") == Carried()

    carried = read(blobs, redirects_yml="no")
    assert (carried.rules, carried.headers) == (None, None)
    (warning,) = carried.warnings
    assert str(warning) == (
        "redirects.yml:1:1: a deployment's root is not searched for this name: it is served like"
        " any file (call it redirects.json)"
    )


def test_what_is_never_served_is_what_is_carried():
    """The two lists of names agree, and the last of them ends the search."""
    assert {"redirects.json", "customHttp.yml"} == RESERVED
    assert max(RESERVED) <= LAST


def test_the_search_ends_behind_the_last_name(blobs):
    """Entries are sorted, and a deployment may have thousands of them."""
    entries = iter(
        [Entry(path, "0" * 64, 1, "text/html", {}) for path in ("a", "redirects.ymlx", "z")]
    )
    read_carried(entries, blobs)

    assert [entry.path for entry in entries] == ["z"]


@pytest.mark.parametrize(
    ("files", "place", "text", "remedy"),
    [
        (
            {"redirects_json": '[{"source": "/a",\n "target": "/<x>"}]'},
            ("redirects.json", 2, 2),
            "[0].target: unknown placeholder <x>",
            "the source captures nothing",
        ),
        (
            {"redirects_json": "[{]"},
            ("redirects.json", 1, 3),
            "JSON: ",
            "correct the JSON here",
        ),
        (
            {"customHttp_yml": "customHeaders:\n\t- pattern: a"},
            ("customHttp.yml", 2, 1),
            "YAML: ",
            "",
        ),
        (
            {"customHttp_yml": HEADERS.replace("X-Own", "Content-Length")},
            ("customHttp.yml", 1, 49),
            "'Content-Length' cannot be set",
            "remove this entry",
        ),
        (
            {"redirects_json": b"[]\xff"},
            ("redirects.json", 1, 1),
            "is not UTF-8",
            "save it as UTF-8",
        ),
        (
            {"customHttp_yml": b"\xff"},
            ("customHttp.yml", 1, 1),
            "is not UTF-8",
            "save it as UTF-8",
        ),
    ],
)
def test_a_mistake_has_its_place_and_a_remedy(blobs, files, place, text, remedy):
    """By the name that it has in the deployment."""
    [(file, line, column, message, hint)] = mistakes(blobs, **files)

    assert (file, line, column) == place
    assert text in message
    assert hint.startswith(remedy)


def test_all_mistakes_of_both_files_are_told(blobs):
    """So that they are fixed in one go, whatever kind they are."""
    rule = '{"source": "/a", "target": "/b", "status": "999"}'
    found = mistakes(
        blobs, redirects_json=f"[{rule}, {rule}]", customHttp_yml="customHeaders: 5\nmore: 6"
    )
    assert [each[0] for each in found] == ["customHttp.yml"] * 2 + ["redirects.json"] * 2

    found = mistakes(blobs, redirects_json=f"[{rule}]", customHttp_yml=b"\xff")
    assert [each[0] for each in found] == ["customHttp.yml", "redirects.json"]
    found = mistakes(blobs, redirects_json=b"\xff", customHttp_yml="no: 1")
    assert [each[0] for each in found] == ["customHttp.yml", "redirects.json"]


@pytest.mark.parametrize("name", ["redirects_json", "customHttp_yml"])
def test_a_huge_file_is_refused_without_being_read(blobs, name):
    """Nobody's deploy takes the memory of the node."""
    [(_, line, column, message, hint)] = mistakes(blobs, **{name: b" " * (MAX_BYTES + 1)})

    assert (line, column, message) == (1, 1, "the file is larger than 32 MiB")
    assert hint == "merge rules with placeholders"


def test_warnings_are_no_mistakes(blobs):
    """They come along with their places."""
    [warning] = read(blobs, redirects_json='[{"source": "/<*>/a", "target": "/b"}]').warnings

    assert str(warning).startswith("redirects.json:1:3: [0].source: the rule never matches")


def test_a_blob_that_is_gone_is_a_refusal(blobs):
    """A damaged store says so, and does not take the reload or the rollback down."""
    entries = [Entry("redirects.json", "0" * 64, 2, "application/json", {})]

    with pytest.raises(StoreError, match=r"redirects\.json cannot be read: No such file"):
        read_carried(entries, blobs)


# Documents


def test_documents_are_named_by_their_hash():
    """Equal ones are one; what there is none of has no name."""
    documents = Documents()
    key = documents.add(b"text")

    assert key == hashlib.sha256(b"text").hexdigest()
    assert documents.add(b"text") == key
    assert (documents.add_rules(None), documents.add_headers(None)) == (None, None)
    assert documents.all == {key: b"text"}


def test_rules_are_stored_in_blocks_of_lines():
    """So that a worker loads them in slices; they are read back as they were."""
    rules = tuple(Rule(source=f"/{n}", target="/", line=n) for n in range(2 * BLOCK + 1))
    documents = Documents()
    key = documents.add_rules(Rules(rules, "redirects.json"))
    lines = documents.all[key].splitlines()

    assert len(lines) == 3
    assert [rule for block in decode_rules(lines) for rule in block] == list(rules)


def test_the_name_of_the_file_does_not_matter():
    """The same rules pasted into redirects.yml change nothing; another place of one does."""
    rule = Rule(source="/a", target="/b")
    documents = Documents()
    keys = [documents.add_rules(Rules((rule,), f"redirects.{kind}")) for kind in ("json", "yml")]
    moved = msgspec.structs.replace(rule, line=7)

    assert keys[0] == keys[1]
    assert documents.add_rules(Rules((moved,), "redirects.json")) != keys[0]


def test_no_rules_are_a_document_too():
    """It says that there are none, and is not the absence of a file."""
    documents = Documents()
    key = documents.add_rules(Rules((), "redirects.json"))

    assert list(decode_rules(documents.all[key].splitlines())) == []


def test_headers_are_stored_as_they_were_decoded():
    """With the applications of a monorepo, of which each app takes its own."""
    documents = Documents()
    key = documents.add_headers(CUSTOM)

    assert msgspec.json.decode(documents.all[key], type=CustomHttp) == CUSTOM
    assert "customHeaders" in json.loads(documents.all[key])
