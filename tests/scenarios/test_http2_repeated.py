"""
The same request again and again on one HTTP/2 connection, and what may come between.

A server may remember how it answered a field block. Whatever else happens on the connection, each
answer has to be the right one for what the block means now, and stay within the client's windows.
"""

from __future__ import annotations

import random
import struct

import pytest

from tests.support import eventually, write_tree
from tests.support_http2 import (
    CONTINUATION,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    PADDED,
    PRIORITIZED,
    Exchange,
    StrictClient,
)
from tests.support_http2_node import AUTHORITY, FILES, MANY, SMALL, check, get
from tests.support_logs import entries_of
from tests.support_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    WINDOW_UPDATE,
    frame,
    string,
)

OTHER, PAGE = FILES["/other.txt"], FILES["/page.html"]
GREASE = 0x2A
PROTOCOL_ERROR, COMPRESSION_ERROR = 1, 9
WHOLE = END_HEADERS | END_STREAM
ONE, CANCEL = struct.pack(">I", 1), struct.pack(">I", 8)


# How they come


def test_at_once_and_one_by_one(client):
    """However requests arrive, each has its answer."""
    found = get(client, MANY)
    client.read(*found)
    for _ in range(MANY):
        found += get(client, 1)
        client.read(found[-1])
    check(found)


@pytest.mark.parametrize("size", [1, 7, 13, 22, 23, 37])
def test_in_any_pieces(plain, size):
    """A piece may end inside of a request, in its frame's head or its block."""
    plain.read(*get(plain, 2))
    data = b""
    for _ in range(MANY):
        block = plain.block(b"/small.txt")
        data += frame(HEADERS, WHOLE, plain.begin().stream, block)
    for start in range(0, len(data), size):
        plain.send(data[start : start + size])
    plain.read(*plain.exchanges.values())
    check(list(plain.exchanges.values()))


def test_each_is_in_the_log(target, plain):
    """Once, with its identifier and what was sent of it."""
    found = get(plain, MANY)
    plain.read(*found)
    wanted = {one.fields[b"x-request-id"].decode() for one in found}

    def logged() -> list[dict]:
        lines = entries_of(target.node.folder / "var/log/access.jsonl")
        return [line for line in lines if line["id"] in wanted]

    eventually(lambda: len(logged()) >= MANY)
    assert {line["id"] for line in logged()} == wanted
    assert len(logged()) == MANY
    assert {(line["path"], line["status"], line["protocol"]) for line in logged()} == {
        ("/small.txt", 200, "HTTP/2")
    }


# What comes between


def restarted(client: StrictClient, _: Exchange) -> None:
    """A table of no entries, and then a large one again."""
    client.encoder.header_table_size = 0
    client.request(b"/other.txt")
    client.encoder.header_table_size = 4096


def inserting(client: StrictClient, last: Exchange) -> None:
    """A request whose field moves every index of the table."""
    client.request(b"/other.txt", b"GET", (b"x-new", b"%d" % last.stream))


def evicting(client: StrictClient, last: Exchange) -> None:
    """A request whose field leaves room for little else in the table."""
    client.request(b"/other.txt", b"GET", (b"x-new", b"%0999d" % last.stream))


def uploading(client: StrictClient, _: Exchange) -> None:
    """Content on a stream of its own."""
    client.upload(client.request(b"/o/echo", b"POST", ends=False), b"some content")


def ending_apart(client: StrictClient, _: Exchange) -> None:
    """The same block, with the end of its stream in a frame of its own."""
    found = client.request(b"/small.txt", ends=False)
    client.put(frame(DATA, END_STREAM, found.stream))


def with_trailers(client: StrictClient, _: Exchange) -> None:
    """The same block, with trailers."""
    found = client.request(b"/small.txt", ends=False)
    client.put(frame(HEADERS, WHOLE, found.stream, client.encoder.encode([(b"x-sum", b"1")])))


def padded(client: StrictClient, _: Exchange) -> None:
    """The same block, padded."""
    block = client.block(b"/small.txt")
    payload = b"\5" + block + bytes(5)
    client.put(frame(HEADERS, WHOLE | PADDED, client.begin().stream, payload))


def prioritized(client: StrictClient, _: Exchange) -> None:
    """The same block behind a priority (RFC 9113 §5.3.2: it says nothing)."""
    payload = bytes(4) + b"\x10" + client.block(b"/small.txt")
    client.put(frame(HEADERS, WHOLE | PRIORITIZED, client.begin().stream, payload))


def continued(client: StrictClient, _: Exchange) -> None:
    """The same block, cut in three."""
    block, found = client.block(b"/small.txt"), client.begin()
    client.put(frame(HEADERS, END_STREAM, found.stream, block[:1]))
    client.put(frame(CONTINUATION, 0, found.stream, block[1:2]))
    client.put(frame(CONTINUATION, END_HEADERS, found.stream, block[2:]))


def with_unknown_flags(client: StrictClient, _: Exchange) -> None:
    """The same block, with flags and a bit that have no meaning (RFC 9113 §4.1)."""
    found = client.begin()
    block = client.block(b"/small.txt")
    client.put(frame(HEADERS, WHOLE | 0xD2, found.stream | 1 << 31, block))


def taken_back(client: StrictClient, _: Exchange) -> None:
    """The same request, and a reset of it."""
    client.give_up(client.request(b"/small.txt"))


def without_effect(kind: int, payload: bytes, on: str):
    """A frame that changes nothing."""

    def put(client: StrictClient, last: Exchange) -> None:
        stream = {"it": last.stream, "none": 0, "next": client.next_stream + 100}[on]
        client.put(frame(kind, 0, stream, payload))

    return put


BETWEEN = {
    "a window of what has ended": without_effect(WINDOW_UPDATE, ONE, "it"),
    "a reset of what has ended": without_effect(RST_STREAM, CANCEL, "it"),
    "a priority of what has ended": without_effect(PRIORITY, bytes(4) + b"\1", "it"),
    "a priority of what is to come": without_effect(PRIORITY, bytes(4) + b"\1", "next"),
    "a ping": without_effect(PING, b"12345678", "none"),
    "an unknown frame": without_effect(GREASE, b"?", "it"),
    "another request": lambda client, _: client.request(b"/other.txt"),
    "a missing file": lambda client, _: client.request(b"/missing"),
    "another method": lambda client, _: client.request(b"/small.txt", b"HEAD"),
    "a range": lambda client, _: client.request(b"/small.txt", b"GET", (b"range", b"bytes=1-2")),
    "an inserting request": inserting,
    "an evicting request": evicting,
    "a smaller table": restarted,
    "an upload": uploading,
    "an end apart": ending_apart,
    "trailers": with_trailers,
    "padding": padded,
    "a priority with it": prioritized,
    "a block in three frames": continued,
    "unknown flags": with_unknown_flags,
    "a reset of it": taken_back,
}


@pytest.mark.parametrize("way", ["at once", "one by one"])
@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN.keys())
def test_whatever_comes_between(plain, between, way):
    """The answers to the same requests stay the same, and each other request has its own."""
    found = get(plain, 2)
    plain.read(*found)
    for _ in range(MANY):
        between(plain, found[-1] if way == "one by one" else found[1])
        found += get(plain, 1)
        if way == "one by one":
            plain.read(found[-1])
    plain.read(*[one for one in plain.exchanges.values() if not one.given_up])
    check(found)
    assert not plain.goaways


def test_what_comes_between_is_answered_too(plain):
    """As itself: not as what the block meant before, nor as another method."""
    made = {}
    for name in ("another request", "a missing file", "another method", "a range", "an upload"):
        plain.read(*get(plain, 2))
        stream = plain.next_stream
        BETWEEN[name](plain, plain.exchanges[1])
        made[name] = plain.exchanges[stream]
        plain.read(made[name])
    assert made["another request"].content == OTHER
    assert made["a missing file"].status == 404
    assert (made["another method"].status, made["another method"].content) == (200, b"")
    assert (made["a range"].status, made["a range"].content) == (206, b"ma")
    assert made["an upload"].content.endswith(b"\n\nsome content")


def test_the_same_bytes_mean_another_thing_once_the_table_moved(plain):
    """An index is a place: what is put in front of it moves it (RFC 7541 §2.3.3)."""
    target = b"\x41" + string(AUTHORITY)

    def ask(block: bytes) -> Exchange:
        found = plain.begin()
        plain.put(frame(HEADERS, WHOLE, found.stream, block))
        plain.read(found)
        return found

    asked = b"\x82\x86\xbe\xbf"  # GET, http, the two newest entries
    ask(b"\x82\x86" + target + b"\x44" + string(b"/small.txt"))
    assert [ask(asked).content for _ in range(5)] == [SMALL] * 5
    ask(b"\x82\x86\xbf\xbe\x40" + string(b"x-new") + string(b"1"))
    moved = b"\x82\x86\xbf\xc0"
    assert [ask(moved).content for _ in range(5)] == [SMALL] * 5
    ask(b"\x82\x86\x44" + string(b"/other.txt") + target)  # authority, other.txt, x-new, …
    assert [ask(b"\x82\x86\xbf\xbe").content for _ in range(5)] == [OTHER] * 5
    ask(b"\x82\x86\x44" + string(b"/page.html") + target)
    assert [ask(b"\x82\x86\xbf\xbe").content for _ in range(3)] == [PAGE] * 3
    ask(b"\x20\x3f\xe1\x1f\x82\x86\x44" + string(b"/small.txt") + target)  # emptied, 4,096 again
    assert [ask(b"\x82\x86\xbf\xbe").content for _ in range(5)] == [SMALL] * 5
    plain.put(frame(HEADERS, WHOLE, plain.begin().stream, b"\x20\x82\x86\xbf\xbe"))
    plain.until_closed()
    assert plain.goaways[-1][1] == COMPRESSION_ERROR


@pytest.mark.parametrize("size", [0, 64, 65_536])
def test_a_table_of_ours_that_changes_between_them(client, size):
    """What answers are compressed against is the client's to bound (RFC 7541 §4.2)."""
    found = get(client, 3)
    client.read(*found)
    for entries in (size, 4096, size):
        client.set({HEADER_TABLE_SIZE: entries})
        found += get(client, 5)
        client.read(*found, client.request(b"/missing"))
    check(found)


def test_as_trailers_the_same_block_is_no_request(plain):
    """Trailers have no pseudo-header fields (RFC 9113 §8.1): the stream is malformed."""
    plain.read(*get(plain, 3))
    found = plain.request(b"/o/echo", b"POST", ends=False)
    plain.put(frame(HEADERS, WHOLE, found.stream, plain.block(b"/small.txt")))
    last = get(plain, 2)
    plain.read(found, *last)
    assert (found.status, found.reset) == (0, PROTOCOL_ERROR)
    check(last)


def test_in_the_middle_of_a_block_the_same_frame_ends_the_connection(plain):
    """Nothing may stand between HEADERS and their CONTINUATION (RFC 9113 §6.10)."""
    plain.read(*get(plain, 3))
    block = plain.block(b"/small.txt")
    plain.put(frame(HEADERS, END_STREAM, plain.begin().stream, block[:1]))
    late = plain.begin()
    plain.put(frame(HEADERS, WHOLE, late.stream, block))
    plain.until_closed()
    assert plain.goaways[-1][1] == PROTOCOL_ERROR
    assert late.status == 0


def test_content_behind_the_same_block_is_not_lost(plain):
    """The block alone says nothing of whether content follows: END_STREAM does."""
    first = plain.request(b"/o/echo", b"POST")
    again = plain.request(b"/o/echo", b"POST")
    plain.read(first, again)
    assert first.content.endswith(b"\n\n")
    for number in range(20):
        found = plain.request(b"/o/echo", b"POST", ends=False)
        plain.upload(found, b"content %d" % number)
        plain.read(found)
        assert found.content.endswith(b"\n\ncontent %d" % number)


def test_a_deploy_between_the_same_requests(tmp_path, target, plain):
    """The next one is answered from what serves now."""
    found = get(plain, 5, b"/changed.txt")
    plain.read(*found)
    check(found, b"before")
    files = {name.lstrip("/"): content for name, content in FILES.items()}
    target.node.deploy(write_tree(tmp_path, files | {"changed.txt": b"after"}))
    found = get(plain, 5, b"/changed.txt")
    plain.read(*found)
    check(found, b"after")


# Everything at once


@pytest.mark.parametrize("seed", range(6))
def test_everything_at_once(client, seed):
    """Pages, small files and all that may come between them, through windows of any size."""
    chance = random.Random(seed)
    quiet = [each for name, each in BETWEEN.items() if name not in ("a ping", "an unknown frame")]
    found: list[tuple[Exchange, bytes]] = []
    sizes = iter([0, 1, 100, 9_999, 70_000, 0, 100, 9_999])
    for _ in range(120):
        path = chance.choice([b"/small.txt", b"/small.txt", b"/page.html"])
        found.append((client.request(path), FILES[path.decode()]))
        done = [one for one, _ in found if one.is_done]
        if done and chance.random() < 0.3:
            chance.choice(quiet)(client, done[-1])
        if chance.random() < 0.08 and (size := next(sizes, -1)) >= 0:
            client.set({INITIAL_WINDOW_SIZE: size})
        if chance.random() < 0.3:
            client.settle() if chance.random() < 0.2 else client.send(b"")
        open_up(client, chance)
    client.set({INITIAL_WINDOW_SIZE: 1 << 20})
    client.grant(1 << 22)
    client.read(*[one for one in client.exchanges.values() if not one.given_up])
    assert [one.content for one, _ in found] == [content for _, content in found]
    assert len({one.fields[b"x-request-id"] for one, _ in found}) == len(found)


def open_up(client: StrictClient, chance: random.Random) -> None:
    """Grant something, now and then; enough that no more than a hundred streams are open."""
    waiting = [one for one in client.exchanges.values() if not one.is_done and not one.given_up]
    if chance.random() < 0.3:
        client.grant(chance.choice([1, 10, 1000, 20_000]))
    if waiting and chance.random() < 0.3:
        client.grant(chance.choice([1, 10, 1000, 20_000]), chance.choice(waiting).stream)
    if len(waiting) > 60:
        client.grant(1 << 20)
        for one in waiting:
            client.grant(10_000, one.stream)
        client.read(*waiting)
