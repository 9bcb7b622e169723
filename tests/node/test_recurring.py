"""A request by HTTP/2 that is like one before: answered past the parser, entered as others."""

from __future__ import annotations

import hpack
import pytest

from tests.support_ledger import entering
from tests.support_origin import originating, saying
from tests.support_proxied import FRESH, broker_of, hits_of, proxied, quiet
from tests.support_serving import HOST, Site

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
TREE = {"a.txt": "first " * 200, "b.txt": "other", "large.txt": "x" * 40_000, "empty.txt": ""}
TREE["two.txt"] = "0123456789abcdef" * 1250


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`TREE`, deployed once."""
    site = Site(tmp_path_factory.mktemp("recurring"))
    site.deploy(TREE)
    return site


@pytest.fixture
async def talk(built, tmp_path):
    """A connection, and how many of its requests the handler looked at."""
    site = await built.copy_to(tmp_path / "site").start()
    async with entering(site) as node:
        yield Talk(node, await node.client())


class Talk:
    """One client; its table of fields is as small as it may be, or as it is by default."""

    def __init__(self, node, client) -> None:
        self.node = node
        self.client = client
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.stream = -1
        self.looked_at = 0
        self.credits = True
        """Whether the connection's window is opened again at once."""
        respond = node.site.worker._handler.respond

        def count(request):
            self.looked_at += 1
            return respond(request)

        node.site.worker._service.respond = count
        client.send(PREFACE)

    def head(self, path: str, **fields: str) -> bytes:
        """HEADERS of the next stream; as browsers do, all but the path is indexed."""
        stream = self.next()
        front = [(":method", "GET"), (":scheme", "http"), (":authority", HOST)]
        block = self.encoder.encode(front) + literal(4, path) + self.encoder.encode(fields.items())
        return frame(1, 5, stream, block)

    def next(self) -> int:
        """A new stream."""
        self.stream += 2
        return self.stream

    async def ask(self, *paths: str, **fields: str) -> list[tuple[dict[str, str], bytes]]:
        """The fields and the content of answers to requests that are sent at once."""
        first = self.stream + 2
        self.client.send(b"".join(self.head(path, **fields) for path in paths))
        return await self.answers(first)

    async def answers(self, first: int) -> list[tuple[dict[str, str], bytes]]:
        """Likewise, from a stream on."""
        left = set(range(first, self.stream + 1, 2))
        found = {stream: [{}, b""] for stream in left}
        while left:
            kind, flags, stream, payload = await self.read()
            if kind == 1:
                found[stream][0] = dict(self.decoder.decode(payload))
            elif kind == 0:
                found[stream][1] += payload
                self.credit(len(payload))
            left -= {stream} if kind in (0, 1) and flags & 1 else set()
        return [(fields, content) for fields, content in found.values()]

    def credit(self, size: int) -> None:
        """Take so much content."""
        if size and self.credits:
            self.client.send(frame(8, 0, 0, size.to_bytes(4, "big")))

    async def read(self) -> tuple[int, int, int, bytes]:
        """The next frame."""
        head = await self.client.reader.readexactly(9)
        payload = await self.client.reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    async def warm(self, path: str = "/a.txt", **fields: str) -> tuple[dict[str, str], bytes]:
        """Ask until nothing of it is new."""
        for _ in range(4):
            (answer,) = await self.ask(path, **fields)
        return answer


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def same(answer: tuple[dict[str, str], bytes]) -> tuple[dict[str, str], bytes]:
    """An answer without what is another in each."""
    return {**answer[0], "x-request-id": ""}, answer[1]


@pytest.mark.parametrize("path", ["/a.txt", "/b.txt", "/two.txt", "/empty.txt"])
async def test_the_same_again_is_answered_the_same(talk, path):
    """But for its identifier; and nobody has looked at it."""
    known, looked_at = await talk.warm(path), talk.looked_at
    again = await talk.ask(path, path)

    assert known[0]["cache-status"].startswith("edge; hit")
    assert [same(each) for each in again] == [same(known)] * 2
    assert len({each[0]["x-request-id"] for each in [known, *again]}) == 3
    assert talk.looked_at == looked_at


async def test_what_an_origin_answered_too(tmp_path):
    """Once it is stored; its rule is counted for each, and a purge is obeyed at once."""
    with originating() as origin:
        origin.on("/a", saying(b"hello", 200, FRESH))
        site = await proxied(tmp_path, origin).start()
        async with entering(site) as node:
            talk = Talk(node, await node.client())
            known, looked_at = await talk.warm("/o/a"), talk.looked_at
            again = await talk.ask("/o/a", "/o/a")
            assert known[0]["cache-status"].startswith("edge; hit")
            assert [same(each) for each in again] == [same(known)] * 2
            assert talk.looked_at == looked_at
            assert [list(hits.values()) for hits in hits_of(site).values()] == [[6]]
            broker_of(site).clear()
            origin.on("/a", saying(b"new", 200, FRESH))
            assert (await talk.ask("/o/a"))[0][1] == b"new"
        await quiet(site)


LONG = "customHeaders: [{pattern: '/**', headers: [%s]}]"


async def test_a_head_that_may_not_fit_a_frame_is_looked_at(tmp_path):
    """An operator's fields may be long; nothing is kept of them beyond what others need."""
    site = Site(tmp_path / "site")
    value = "x" * 1_000
    site.deploy(TREE)
    lines = (f"{{key: X-{number}, value: {value}}}" for number in range(9))
    site.write("customHttp.yml", LONG % ", ".join(lines))
    site.changes.reload()
    await site.start()
    async with entering(site) as node:
        talk = Talk(node, await node.client())
        known, looked_at = await talk.warm(), talk.looked_at
        (again,) = await talk.ask("/a.txt")

    assert known[0]["x-8"] == value
    assert same(again) == same(known)
    assert talk.looked_at == looked_at + 1


async def test_what_is_more_than_a_turn_is_looked_at(talk):
    """And is all there."""
    known, looked_at = await talk.warm("/large.txt"), talk.looked_at
    (again,) = await talk.ask("/large.txt")

    assert again[1] == known[1] == TREE["large.txt"].encode()
    assert talk.looked_at == looked_at + 1


async def test_whoever_has_a_file_is_told_so_unparsed(talk):
    """Once that was asked before; by one frame, without content."""
    known = await talk.warm()
    asked = {"if-none-match": known[0]["etag"]}
    looked_at_once = await talk.warm(**asked)
    looked_at = talk.looked_at
    (again,) = await talk.ask("/a.txt", **asked)
    entries = await talk.node.wait(1)

    assert talk.looked_at == looked_at
    assert again[0][":status"] == looked_at_once[0][":status"] == "304"
    assert again[0].keys() == looked_at_once[0].keys()
    assert (again[1], entries[-1]["status"]) == (b"", 304)


@pytest.mark.parametrize(
    "fields",
    [{"if-none-match": '"other"'}, {"if-modified-since": "Thu, 01 Jan 2037 00:00:00 GMT"}],
    ids=["another tag", "a date"],
)
async def test_other_conditions_are_looked_at(talk, fields):
    """Each time."""
    await talk.warm()
    await talk.warm(**fields)
    looked_at = talk.looked_at
    (again,) = await talk.ask("/a.txt", **fields)

    assert again[0][":status"] == ("200" if "if-none-match" in fields else "304")
    assert talk.looked_at == looked_at + 1


async def test_whoever_has_what_was_deployed_before_gets_what_is_new(talk):
    """At once."""
    known = await talk.warm()
    asked = {"if-none-match": known[0]["etag"]}
    await talk.warm(**asked)
    await talk.node.site.redeploy({**TREE, "a.txt": "new"})
    (again,) = await talk.ask("/a.txt", **asked)

    assert (again[0][":status"], again[1]) == ("200", b"new")


async def test_each_is_a_line_and_a_number(talk):
    """With its own identifier and its own bytes, in the order of the answers."""
    answers = [(await talk.ask("/a.txt"))[0] for _ in range(6)]
    entries = await talk.node.wait(6)
    tally = talk.node.tally()

    assert [each["id"] for each in entries] == [each[0]["x-request-id"] for each in answers]
    assert {each["protocol"] for each in entries} == {"HTTP/2"}
    assert len({each["bytes_in"] for each in entries[3:]}) == 1
    assert len({each["bytes_out"] for each in entries[1:]}) == 1
    assert tally.classes == [0, 0, 6, 0, 0, 0]
    assert tally.verdicts == {"miss": 1, "hit": 5}
    assert tally.bytes_up == sum(each["bytes_in"] for each in entries)


async def test_another_deployment_answers_at_once(talk):
    """What was remembered of the one before is not."""
    await talk.warm()
    talk.node.site.deploy({**TREE, "a.txt": "second"})
    await talk.node.site.follow()
    found = [(await talk.ask("/a.txt"))[0][1] for _ in range(4)]

    assert found == [b"second"] * 4


async def test_a_purge_is_obeyed_at_once(talk):
    """What is no longer stored is looked at."""
    await talk.warm()
    talk.node.site.worker._cache.clear()
    (after,) = await talk.ask("/a.txt")

    assert after[0]["cache-status"] == "edge; fwd=uri-miss; stored"


async def test_a_window_is_not_passed(talk):
    """What the connection's does not take waits, however often it was asked for."""
    talk.credits = False
    known = await talk.warm()
    size = len(known[1])
    fits = 65_535 // size
    before = (talk.stream + 1) // 2
    await talk.ask(*["/a.txt"] * (fits - before))
    talk.client.send(talk.head("/a.txt"))
    frames = [await talk.read()]
    part = await talk.read()
    talk.client.send(frame(8, 0, 0, (size).to_bytes(4, "big")))
    rest = await talk.read()
    end = rest if rest[1] & 1 else await talk.read()

    assert frames[0][0] == 1
    assert len(part[3]) == 65_535 - fits * size
    assert len(part[3]) + len(rest[3]) == size
    assert (end[0], end[1], end[2]) == (0, 1, talk.stream)


async def test_the_last_requests_of_a_connection_are_counted(talk):
    """GOAWAY comes where it would have come."""
    talk.node.site.worker._service.streams_per_connection = 10
    for _ in range(9):
        await talk.ask("/a.txt")
    talk.client.send(talk.head("/a.txt"))
    while (found := await talk.read())[0] != 7:
        assert found[2] == talk.stream

    assert found[3][:4] == b"\x7f\xff\xff\xff"


async def test_a_file_that_others_asked_for_is_known(talk):
    """By its path alone: this client asked for another one, the other with other fields."""
    other = Talk(talk.node, await talk.node.client())
    await other.warm("/b.txt", accept="text/html")
    known = await talk.warm("/a.txt", accept="*/*")
    looked_at = talk.looked_at, other.looked_at
    (again,) = await talk.ask("/b.txt", accept="*/*")

    assert (talk.looked_at, other.looked_at) == looked_at
    assert again[1] == b"other"
    assert known[1] == TREE["a.txt"].encode()


async def test_a_path_that_nobody_asked_for_is_looked_at(talk):
    """Also where all else is known; the next time it is not."""
    await talk.warm("/a.txt")
    looked_at = talk.looked_at
    found = [await talk.ask("/b.txt") for _ in range(3)]

    assert [each[1] for ((*each,),) in found] == [b"other"] * 3
    assert looked_at < talk.looked_at <= looked_at + 2


async def test_what_looks_like_a_path_in_another_value_is_none(talk):
    """A client that indexes nothing may have such an octet in front of it: here a length."""
    for path in ("/a.txt", "/b.txt", "/a.txt"):
        for _ in range(3):
            block = b"".join(literal(*line) for line in (SCHEME, (4, path), AUTHORITY))
            looked_at = talk.looked_at
            talk.client.send(frame(1, 5, talk.next(), b"\x82" + block))
            (answer,) = await talk.answers(talk.stream)
        assert (answer[0][":status"], answer[1]) == ("200", TREE[path[1:]].encode())
        assert talk.looked_at == looked_at


SCHEME, AUTHORITY = (6, "http"), (1, HOST)


def literal(name: int, value: str) -> bytes:
    """A field line that is not indexed, with a name of the static table."""
    return bytes([name, len(value)]) + value.encode()
