"""The same request again and again on one HTTP/2 connection, whose right answer is not the last."""

from __future__ import annotations

import json
import struct

import pytest

from tests.support import eventually, write_tree
from tests.support_http2 import INITIAL_WINDOW_SIZE, contents
from tests.support_http2_cases import ENHANCE_YOUR_CALM, REFUSED_STREAM
from tests.support_http2_node import FILES, SMALL, check, get
from tests.support_origin import saying
from tests.support_wire import RST_STREAM, frame

OTHER = FILES["/other.txt"]
RULED = {"source": "/ruled.txt", "target": "/other.txt", "status": "301"}
CANCEL = struct.pack(">I", 8)
TIMES = 5


@pytest.fixture
def rule(target):
    """Puts a rule in front of the others, until the end of the test."""
    folder = target.node.folder / "rules" / "site"
    before = (folder / "redirects.json").read_text()

    def write(text: str) -> None:
        write_tree(folder, {"redirects.json": text})
        assert target.node.admin("POST", "/v1/reload")[0] == 200

    yield lambda rule: write(json.dumps([rule, *json.loads(before)]))
    write(before)


def test_answers_of_every_kind_stay_what_they_are(client):
    """Each again and again, one after the other: none takes the place of another."""
    etag = client.request(b"/small.txt", b"HEAD")
    client.read(etag)
    condition = (b"if-none-match", etag.fields[b"etag"])
    kinds = [
        ((b"/small.txt",), 200, SMALL),
        ((b"/small.txt", b"HEAD"), 200, b""),
        ((b"/small.txt", b"GET", condition), 304, b""),
        ((b"/small.txt", b"GET", (b"range", b"bytes=1-3")), 206, SMALL[1:4]),
        ((b"/small.txt", b"GET", (b"range", b"bytes=99-")), 416, None),
        ((b"/small.txt", b"POST"), 405, None),
        ((b"/small.txt", b"OPTIONS"), 204, b""),
        ((b"/small.txt?a", b"GET"), 200, SMALL),
        ((b"/other.txt",), 200, OTHER),
        ((b"/missing",), 404, None),
        ((b"/../x",), 400, None),
    ]
    for _ in range(TIMES):
        for arguments, status, content in kinds:
            found = client.request(*arguments)
            client.read(found)
            assert found.status == status
            assert content is None or found.content == content


@pytest.mark.parametrize("way", ["alone", "at once"])
def test_a_rule_between_the_same_requests(client, rule, way):
    """Before a reload it is a file that is not there, then a redirect."""
    found = get(client, TIMES, b"/ruled.txt")
    client.read(*found)
    assert {one.status for one in found} == {404}
    rule(RULED)
    for _ in range(TIMES):
        found = get(client, 1 if way == "alone" else TIMES, b"/ruled.txt")
        client.read(*found)
        assert {(one.status, one.fields[b"location"]) for one in found} == {(301, b"/other.txt")}


def test_another_host_between_the_same_requests(client):
    """The same path of a host that nobody has is not there."""
    ours = client.authority
    for _ in range(TIMES):
        client.authority = ours
        good = get(client, 2)
        client.authority = b"other.test"
        bad = get(client, 2)
        client.read(*good, *bad)
        check(good)
        assert {one.status for one in bad} == {404}


def test_a_stored_answer_is_repeated_while_it_is_fresh(target, client, request):
    """And not a moment longer: then the origin is asked again."""
    name = f"/fresh-{request.node.callspec.id}"
    target.origin.on(name, saying(b"stored", 200, "Cache-Control: max-age=1"))
    asked = []

    def ask_again() -> bool:
        found = get(client, 2, b"/o" + name.encode())
        client.read(*found)
        asked.extend(found)
        return len(target.origin.of(name)) > 1

    eventually(ask_again)
    assert contents(asked) == [(200, b"stored")] * len(asked)
    assert {int(one.fields.get(b"age", b"0")) for one in asked} <= {0, 1}
    assert len(target.origin.of(name)) < len(asked)


def test_no_more_than_a_hundred_wait(client):
    """Streams that wait for a window count, whatever they ask for (RFC 9113 §5.1.2)."""
    client.read(*get(client, 2))
    client.set({INITIAL_WINDOW_SIZE: 0})
    client.settle()
    found = get(client, 103)
    client.settle()
    assert [one.reset for one in found] == [None] * 100 + [REFUSED_STREAM] * 3
    client.set({INITIAL_WINDOW_SIZE: 65_535})
    client.read(*found[:100])
    check(found[:100])


@pytest.mark.parametrize("before", [0, 5])
def test_taken_back_again_and_again(client, before):
    """A rapid reset (CVE-2023-44487) of what could be answered before the reset is read."""
    client.read(*get(client, before))
    for found in get(client, 101):
        client.put(frame(RST_STREAM, 0, found.stream, CANCEL))
        found.given_up = True
    client.until_closed()
    assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
