"""Requests past the store as bytes, there and back: the same as if each had been looked at."""

from __future__ import annotations

import re
import socket

import pytest
import uvloop
from msgspec.structs import replace

from edge.http.caching import Reason
from edge.node.crossing import REST, STRANGE, Crossing, Speech
from edge.node.passing import Passing
from tests.support_ledger import Entered, entering
from tests.support_origin import Origin, Talk, saying
from tests.support_proxied import FRESH, LARGE, broker_of, hits_of, proxied, quiet, waiting
from tests.support_recalling import Raw, head_of, raw_of
from tests.support_recalls import LISTENING, PROXY, TRUSTING
from tests.support_wire import until

NEVER = "Cache-Control: no-store"
FIELDS = "customHeaders: [{pattern: '/**', headers: [{key: X-Team, value: blue}]}]"


@pytest.fixture(scope="module")
def built(tmp_path_factory, origin):
    """A node before that origin."""
    site = proxied(tmp_path_factory.mktemp("crossing"), origin, edge_yml=LISTENING)
    site.write("customHttp.yml", FIELDS)
    site.changes.reload()
    uvloop.run(site.start())
    return site


@pytest.fixture
async def node(built, monkeypatch):
    """It, listening; afterwards nothing is known of it."""
    async with entering(built) as found:
        count_unfolded(found, monkeypatch)
        yield found
    built.worker._forwarder.ways.clear()
    built.worker._service.manners.clear()
    await quiet(built)
    built.worker._origins.close()
    built.worker._origins.known.clear()


def count_unfolded(node: Entered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Count those that became a `Passing` with those that the handler looked at."""
    unfold = Crossing.unfold

    def count(crossing: Crossing) -> Passing:
        node.parsed += 1
        return unfold(crossing)

    monkeypatch.setattr(Crossing, "unfold", count)


@pytest.fixture
async def raw(node):
    """A connection, and how many of its requests were looked at by the handler."""
    return await raw_of(node)


@pytest.fixture
def get(path):
    """What is asked again and again."""
    return head_of(f"/o{path}")


async def warm(raw: Raw, origin: Origin, path: str, *lines: str) -> tuple[bytes, bytes, bytes]:
    """The answer to a request that is passed on unparsed from then on."""
    origin.on(path, saying(b"hello", 200, NEVER, *lines))
    for _ in range(4):
        answer = await raw.ask(head_of(f"/o{path}"))
    looked_at = raw.parsed
    assert await raw.ask(head_of(f"/o{path}"))
    assert raw.parsed == looked_at
    return answer


def said(talk: Talk) -> list[tuple[str, str]]:
    """What the origin was told, without the identifier."""
    return [line for line in talk.lines if line[0] != "x-request-id"]


def connections_of(node: Entered) -> list[object]:
    """Those to origins that are in use."""
    return [each for found in pools_of(node) for each in found.busy]


def pools_of(node: Entered) -> list:
    """Its origins."""
    return list(node.site.worker._origins.known.values())


# The usual


async def test_both_ways_are_what_the_long_way_says(raw, origin, path, get):
    """Byte by byte, but for the identifier, which is each request's own."""
    known = await warm(raw, origin, path, "X-One: a", "Set-Cookie: a=b")
    looked_at = raw.parsed
    again = [await raw.ask(get) for _ in range(3)]
    _, *talks = origin.of(path)  # the store asked the first time

    assert raw.parsed == looked_at
    assert {(each[0], each[2]) for each in again} == {(known[0], b"hello")}
    assert b"x-team: blue\r\n" in known[0]
    assert b"set-cookie: a=b\r\n" in known[0]
    assert {tuple(said(talk)) for talk in talks} == {tuple(said(talks[0]))}
    identifiers = [talk.fields["x-request-id"].encode() for talk in talks]
    assert identifiers[-3:] == [each[1] for each in again]
    assert len(set(identifiers)) == len(talks)


async def test_the_bytes_are_those_of_a_parser(raw, origin, path, get, monkeypatch):
    """What a crossing sends is what is sent for a request that was looked at."""
    sent: list[bytes] = []
    await warm(raw, origin, path)
    (connection,) = [each for found in pools_of(raw.node) for each in found._idle]
    put = type(connection).put
    monkeypatch.setattr(
        type(connection), "put", lambda it, data: (sent.append(data), put(it, data))
    )
    await raw.ask(get)
    raw.node.site.worker._forwarder.ways.clear()
    await raw.ask(get)
    known, parsed = (re.sub(rb"x-request-id: [0-9a-f]+", b"", each) for each in sent)

    assert known == parsed
    assert known.startswith(b"GET " + path.encode() + b" HTTP/1.1\r\nhost: 127.0.0.1:")


async def test_each_has_its_own_content(raw, origin, path, get):
    """Of the same length, with the same head."""
    await warm(raw, origin, path)
    looked_at = raw.parsed
    found = []
    for content in (b"first", b"other", b"third"):
        origin.on(path, saying(content, 200, NEVER))
        found.append((await raw.ask(get))[2])

    assert found == [b"first", b"other", b"third"]
    assert raw.parsed == looked_at


async def test_an_undated_answer_is_of_its_second(raw, origin, path, get):
    """The origin says no Date, so that we do."""
    await warm(raw, origin, path)
    raw.node.site.pass_time(7)
    date = raw.node.site.clock.date

    assert date in (await raw.ask(get))[0]
    assert date.startswith(b"Date: ")


async def test_a_stated_date_is_the_origins(raw, origin, path, get):
    """Alone, as it was said."""
    date = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
    await warm(raw, origin, path, date)
    head = (await raw.ask(get))[0].lower()

    assert head.count(b"\r\ndate: ") == 1
    assert date.lower().encode() in head


async def test_each_is_a_line_and_numbers(raw, origin, path, get):
    """As those that are looked at: its rule, its origin, what the cache did."""
    origin.on(path, saying(b"hello", 200, NEVER))
    worker = raw.node.site.worker
    hits_of(raw.node.site)
    before = dict(raw.node.tally().verdicts)
    worker._counters.origins.clear()
    answers = [await raw.ask(get) for _ in range(8)]
    entries = await raw.node.wait(8)
    tally = raw.node.tally()

    assert raw.parsed < 8
    assert [each["id"].encode() for each in entries] == [each[1] for each in answers]
    apart = {"id", "time", "total", "ttfb", "bytes_out", "bytes_in"}
    assert (
        len({tuple((k, v) for k, v in each.items() if k not in apart) for each in entries[1:]}) == 1
    )
    assert len({(each["bytes_in"], each["bytes_out"]) for each in entries[2:]}) == 1
    assert entries[-1]["rule"] == 1
    assert entries[-1]["origin"] == f"http://127.0.0.1:{origin.port}"
    assert tally.verdicts["miss"] - before.get("miss", 0) == 8
    assert list(worker._counters.origins.values()) == [8]
    assert [list(hits.values()) for hits in hits_of(raw.node.site).values()] == [[8]]


async def test_each_makes_room_for_a_tenth_of_a_retry(raw, origin, path, get):
    """Whether it is answered as bytes, or looked at on its way back."""
    await warm(raw, origin, path)
    (found,) = pools_of(raw.node)
    found.health.retries = 0
    for _ in range(20):
        await raw.ask(get)
    origin.on(path, saying(b"other", 200, NEVER))
    for _ in range(20):
        await raw.ask(get)

    assert found.health.retries == pytest.approx(4)


async def test_clients_with_the_same_lines_are_told_apart(node, origin, path, get):
    """The address of each is what its origin is told, whoever asked before."""
    first, second = await raw_of(node), Raw(node, await node.client())
    await warm(first, origin, path)
    await second.ask(get)
    for connection in node.site.worker._service.connections:
        if connection.transport.get_extra_info("peername")[1] == port_of(second):
            connection.peer = "192.0.2.7"
            connection.speech = None
    looked_at = node.parsed
    for each in (first, second, first, second):
        await each.ask(get)

    assert node.parsed == looked_at
    assert [talk.fields["x-forwarded-for"] for talk in origin.of(path)][-4:] == [
        "127.0.0.1",
        "192.0.2.7",
    ] * 2


def port_of(raw: Raw) -> int:
    """The port of a client's end."""
    return raw.client.writer.get_extra_info("sockname")[1]


async def test_an_origin_is_told_what_a_way_has_to_say(raw, origin, path, get):
    """Not what another one had to say for the same client."""
    await warm(raw, origin, path)
    (connection,) = raw.node.site.worker._service.connections
    other = replace(connection.speech.passage, scheme=b"https")
    connection.speech = Speech(connection.speech.manner, other, b"x-request-id: ")
    looked_at = raw.parsed
    await raw.ask(get)

    assert raw.parsed == looked_at
    assert said(origin.of(path)[-1]) == said(origin.of(path)[-2])


UNSTORED = {
    "nothing is said": [],
    "a cookie": ["Cache-Control: max-age=60", "Set-Cookie: a=b"],
    "for one": ["Cache-Control: private"],
    "varies by anything": ["Cache-Control: max-age=60", "Vary: *"],
}


@pytest.mark.parametrize("lines", UNSTORED.values(), ids=UNSTORED.keys())
async def test_whatever_is_not_stored_crosses(raw, origin, path, get, lines):
    """For whichever reason, which is told."""
    origin.on(path, saying(b"hello", 200, *lines))
    for _ in range(4):
        known = await raw.ask(get)
    looked_at = raw.parsed
    again = await raw.ask(get)

    assert raw.parsed == looked_at
    assert (again[0], again[2]) == (known[0], b"hello")
    assert b"edge; fwd=uri-miss; detail=" in again[0]


@pytest.mark.parametrize("line", ["Authorization: Bearer x", "Cache-Control: max-age=0"])
async def test_who_says_something_of_storing_is_looked_at(raw, origin, path, get, line):
    """Unless the answer says that nobody may."""
    asked = head_of(f"/o{path}", line)
    origin.on(path, saying(b"hello", 200))
    for _ in range(4):
        await raw.ask(get)
        await raw.ask(asked)
    looked_at = raw.parsed
    await raw.ask(asked)
    assert raw.parsed == looked_at + 1
    origin.on(path, saying(b"hello", 200, NEVER))
    for _ in range(REST + STRANGE):
        await raw.ask(asked)
    looked_at = raw.parsed
    await raw.ask(asked)

    assert raw.parsed == looked_at


async def test_two_lines_of_one_client_do_not_mix(raw, origin, path):
    """Nor two sets of fields."""
    asked = [head_of(f"/o{path}{end}", *more) for end in ("", "2") for more in ((), ("X-A: 1",))]
    for end in ("", "2"):
        origin.on(path + end, saying(f"at {end}".encode(), 200, NEVER))
    for _ in range(5):
        found = [(await raw.ask(each))[2] for each in asked]
    looked_at = raw.parsed
    again = [(await raw.ask(each))[2] for each in asked]
    told = [talk.fields.get("x-a") for end in ("", "2") for talk in origin.of(path + end)[-2:]]

    assert again == found == [b"at ", b"at ", b"at 2", b"at 2"]
    assert told == [None, "1", None, "1"]
    assert raw.parsed == looked_at


# Whatever is not usual


@pytest.mark.parametrize(
    "lines",
    [["X-New: a"], ["Connection: close"], ["Transfer-Encoding: chunked"], ["Content-Length: 4"]],
    ids=["another head", "a last one", "two framings", "two lengths"],
)
async def test_another_head_is_looked_at(raw, origin, path, get, lines):
    """As it would be otherwise; afterwards nobody waits, and the next ones are answered."""
    await warm(raw, origin, path)
    origin.on(path, saying(b"other", 200, NEVER, *lines))
    head, _, content = await raw.ask(get)
    status = int(head.split()[1])
    origin.on(path, saying(b"hello", 200, NEVER))

    assert (status, content) == (200, b"other") or status == 502
    assert [(await raw.ask(get))[2] for _ in range(3)] == [b"hello"] * 3
    assert connections_of(raw.node) == []


async def test_heads_that_never_come_again_are_not_waited_for(raw, origin, path, get):
    """A lane whose answers all differ is left alone for a while, and tried again later."""
    await warm(raw, origin, path)
    numbers = iter(range(10_000))

    def script(talk: Talk) -> None:
        talk.answer(b"hello", 200, NEVER, f"X-Number: {next(numbers)}")

    origin.on(path, script)
    (lanes,) = raw.node.site.worker._forwarder.ways._lanes.values()
    (lane,) = lanes.values()
    rests = []
    for _ in range(STRANGE + REST + 1):
        assert (await raw.ask(get))[2] == b"hello"
        rests.append(lane._rest)

    assert rests == [0] * (STRANGE - 1) + [*range(REST, -1, -1), 0]


async def test_an_answer_in_pieces_is_put_together(raw, origin, path, get):
    """Cut at each place of its head, and in its content."""
    await warm(raw, origin, path)
    whole = f"HTTP/1.1 200 X\r\nContent-Length: 5\r\n{NEVER}\r\n\r\nhello".encode()
    for cut in (
        1,
        9,
        15,
        16,
        17,
        40,
        len(whole) - 9,
        len(whole) - 6,
        len(whole) - 5,
        len(whole) - 1,
    ):
        count = len(origin.of(path))
        origin.on(path, lambda t, cut=cut: (t.send(whole[:cut]), t.wait(), t.send(whole[cut:])))
        raw.client.send(get)
        talk = await origin.wait_for(path, count + 1)
        await until(lambda: not crossing(raw.node))  # the first piece is here
        talk.go.set()
        head = await raw.client.reader.readuntil(b"\r\n\r\n")
        assert (head[:15], await raw.client.reader.readexactly(5)) == (b"HTTP/1.1 200 OK", b"hello")


async def test_a_cut_head_is_no_whole_one_whatever_its_length(raw, origin, path, get):
    """Not even where what lacks of it is as long as what its content is too short by."""
    lines = f"HTTP/1.1 200 X\r\nContent-Length: 00\r\n{NEVER}"
    lines = lines.replace(": 00", f": {len(lines) - 2}")
    content = b"x" * (len(lines) - 2)
    whole = f"{lines}\r\n\r\n".encode() + content
    origin.on(path, lambda talk: talk.send(whole))
    for _ in range(4):
        assert (await raw.ask(get))[2] == content
    count, cut = len(origin.of(path)), len(lines) + 1
    origin.on(path, lambda talk: (talk.send(whole[:cut]), talk.wait(), talk.send(whole[cut:])))
    raw.client.send(get)
    talk = await origin.wait_for(path, count + 1)
    await until(lambda: not crossing(raw.node))
    talk.go.set()
    await raw.client.reader.readuntil(b"\r\n\r\n")

    assert await raw.client.reader.readexactly(len(content)) == content


def crossing(node: Entered) -> list[object]:
    """Requests whose answer is awaited unparsed."""
    return [each.crossing for each in connections_of(node) if each.crossing is not None]


async def test_a_long_answer_passes(raw, origin, path, get):
    """More than is read at once."""
    await warm(raw, origin, path)
    origin.on(path, saying(LARGE, 200, NEVER))

    assert (await raw.ask(get))[2] == LARGE


async def test_more_behind_an_answer_is_nobodys(raw, origin, path, get):
    """Neither is it sent, nor is its connection used again."""
    await warm(raw, origin, path)
    count = origin.accepted
    answer = f"HTTP/1.1 200 X\r\nContent-Length: 5\r\n{NEVER}\r\n\r\nhello".encode()
    origin.on(path, lambda talk: talk.send(answer + answer.replace(b"hello", b"EVIL!")))
    assert (await raw.ask(get))[2] == b"hello"
    origin.on(path, saying(b"after", 200, NEVER))

    assert [(await raw.ask(get))[2] for _ in range(2)] == [b"after"] * 2
    assert origin.accepted == count + 1


@pytest.mark.parametrize("is_read", [True, False])
async def test_what_nobody_asked_for_is_no_answer(raw, origin, path, get, is_read):
    """It came just before the next request: the loop has it already, or it lies in the kernel."""
    await warm(raw, origin, path)
    count = origin.accepted
    unasked = f"HTTP/1.1 200 X\r\nContent-Length: 5\r\n{NEVER}\r\n\r\nEVIL!".encode()
    (idle,) = [each for found in pools_of(raw.node) for each in found._idle]
    (sent,) = origin.connections
    (idle.data_received if is_read else sent.sendall)(unasked)
    (client,) = raw.node.site.worker._service.connections
    client.data_received(get)

    assert (await raw.ask(b""))[2] == b"hello"
    assert origin.accepted == count + 1


async def test_an_end_that_nobody_has_read_yet_is_seen(raw, origin, path, get):
    """The connection is looked at before it is used again."""
    await warm(raw, origin, path)
    count = len(origin.of(path)), origin.accepted
    for each in tuple(origin.connections):
        each.shutdown(socket.SHUT_RDWR)
    (client,) = raw.node.site.worker._service.connections
    client.data_received(get)

    assert (await raw.ask(b""))[2] == b"hello"
    assert (len(origin.of(path)), origin.accepted) == (count[0] + 1, count[1] + 1)


async def test_a_connection_that_closed_is_replaced(raw, origin, path, get):
    """The request is sent again, once."""
    await warm(raw, origin, path)
    count = len(origin.of(path))

    def once(talk):
        talk.close() if len(origin.of(path)) == count + 1 else talk.answer(b"again", 200, NEVER)

    origin.on(path, once)
    assert (await raw.ask(get))[2] == b"again"
    assert len(origin.of(path)) == count + 2
    assert [each["status"] for each in raw.node.entries()] == [200] * (count + 1)


async def test_a_reset_is_an_error_of_the_origin(raw, origin, path, get):
    """Where the next connection breaks as well; the request counts once."""
    hits_of(raw.node.site)
    await warm(raw, origin, path)
    origin.on(path, lambda talk: talk.reset())
    head, _, _ = await raw.ask(get)

    assert list(hits_of(raw.node.site)["site"].values()) == [len(raw.node.entries())]
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"error=connection_terminated" in head
    assert b"x-team: blue" in head.lower()


async def test_a_silent_origin_is_given_up(raw, origin, path, get):
    """After the time for its first byte, and not before."""
    await warm(raw, origin, path)
    origin.on(path, lambda talk: talk.wait())
    count = len(origin.of(path))
    raw.client.send(get)
    talk = await origin.wait_for(path, count + 1)
    now = raw.node.site.clock.now
    (found,) = pools_of(raw.node)
    found.sweep(now + 29)
    assert len(crossing(raw.node)) == 1
    found.sweep(now + 31)
    head = await raw.client.reader.readuntil(b"\r\n\r\n")
    talk.go.set()

    assert head.startswith(b"HTTP/1.1 504 ")
    assert crossing(raw.node) == []


async def test_the_whole_exchange_has_its_time(raw, origin, path, get):
    """Where the operator bounds that, it counts from the request."""
    await warm(raw, origin, path)
    worker, before = raw.node.site.worker, raw.node.site.worker._origins.limits
    worker._origins.limits = type(before)(origin_total=5)
    origin.on(path, lambda talk: talk.wait())
    count = len(origin.of(path))
    raw.client.send(get)
    talk = await origin.wait_for(path, count + 1)
    (found,) = pools_of(raw.node)
    found.sweep(raw.node.site.clock.now + 6)
    head = await raw.client.reader.readuntil(b"\r\n\r\n")
    talk.go.set()
    worker._origins.limits = before

    assert head.startswith(b"HTTP/1.1 504 ")


async def test_a_client_that_goes_away_ends_the_exchange(raw, origin, path, get):
    """The origin is asked no longer, and one line says so."""
    await warm(raw, origin, path)
    ended = []
    origin.on(path, lambda talk: ended.append(talk.until_closed()))
    count = len(origin.of(path))
    raw.client.send(get)
    talk = await origin.wait_for(path, count + 1)
    raw.client.reset()
    await talk.over()
    entries = await raw.node.wait(count + 1)

    assert ended == [b""]
    assert (entries[-1]["status"], entries[-1]["complete"]) == (0, False)
    assert entries[-1]["id"] == talk.fields["x-request-id"]
    assert connections_of(raw.node) == []


async def test_early_hints_come_before_the_answer(raw, origin, path, get):
    """A response that is none yet."""
    await warm(raw, origin, path)
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    origin.on(path, lambda talk: (talk.send(hints), talk.answer(b"hello", 200, NEVER)))
    raw.client.send(get)
    heads = [await raw.client.reader.readuntil(b"\r\n\r\n") for _ in range(2)]

    assert heads[0].startswith(b"HTTP/1.1 103 ")
    assert heads[1].startswith(b"HTTP/1.1 200 ")
    assert await raw.client.reader.readexactly(5) == b"hello"


# The client's connection


async def under_way(raw: Raw, origin: Origin, path: str) -> Talk:
    """A request that is passed on unparsed, and whose answer waits for a word."""
    await warm(raw, origin, path)

    def script(talk: Talk) -> None:
        talk.wait()
        talk.answer(b"hello", 200, NEVER)

    origin.on(path, script)
    count = len(origin.of(path))
    raw.client.send(head_of(f"/o{path}"))
    talk = await origin.wait_for(path, count + 1)
    assert len(crossing(raw.node)) == 1
    return talk


async def test_what_is_sent_meanwhile_is_answered_behind_it(raw, origin, path):
    """In its order, by whatever way."""
    talk = await under_way(raw, origin, path)
    raw.client.send(head_of("/index.html") + head_of(f"/o{path}"))
    (connection,) = raw.node.site.worker._service.connections
    await until(lambda: connection._held)
    origin.on(path, saying(b"again", 200, NEVER))
    talk.go.set()
    contents = []
    for size in (5, 4, 5):
        head = await raw.client.reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d" % size in head.lower()
        contents.append(await raw.client.reader.readexactly(size))

    assert contents == [b"hello", b"home", b"again"]


@pytest.mark.parametrize("way", ["a file", "past the store"])
async def test_what_is_known_waits_for_its_turn(raw, origin, path, get, way):
    """Though it could be answered, or sent on, at once."""
    asked = {"a file": head_of("/index.html"), "past the store": get}[way]
    await raw.warm(head_of("/index.html"))
    talk = await under_way(raw, origin, path)
    raw.client.send(asked)
    (connection,) = raw.node.site.worker._service.connections
    await until(lambda: connection._held)
    origin.on(path, saying(b"home", 200, NEVER))
    talk.go.set()
    for content in (b"hello", b"home"):
        await raw.client.reader.readuntil(b"\r\n\r\n")
        assert await raw.client.reader.readexactly(len(content)) == content


async def test_a_client_that_said_its_last_gets_its_answer(raw, origin, path):
    """And the end of the connection."""
    talk = await under_way(raw, origin, path)
    raw.client.writer.write_eof()
    (connection,) = raw.node.site.worker._service.connections
    await until(lambda: connection.half_closed)
    talk.go.set()
    everything = await raw.client.reader.read()

    assert everything.endswith(b"\r\n\r\nhello")
    assert everything.count(b"HTTP/1.1 ") == 1


async def test_a_drain_is_said_in_the_answer_under_way(raw, origin, path):
    """It is the last one of its connection."""
    talk = await under_way(raw, origin, path)
    (connection,) = raw.node.site.worker._service.connections
    connection.drain()
    talk.go.set()
    everything = await raw.client.reader.read()

    assert b"\r\nConnection: close\r\n" in everything
    assert everything.endswith(b"\r\n\r\nhello")


async def test_the_last_request_of_a_connection_is_said_to_be(raw, origin, path, get):
    """Those that were not looked at count too."""
    await warm(raw, origin, path)
    service = raw.node.site.worker._service
    (connection,) = service.connections
    before, service.requests_per_connection = (
        service.requests_per_connection,
        connection._served + 3,
    )
    try:
        heads = [(await raw.ask(get))[0] for _ in range(3)]
    finally:
        service.requests_per_connection = before

    assert [b"Connection: close" in head for head in heads] == [False, False, True]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
async def test_another_method_is_looked_at(raw, origin, path, get, method):
    """With the same field lines."""
    await warm(raw, origin, path)
    looked_at = raw.parsed
    raw.client.send(get.replace(b"GET", method.encode(), 1))
    assert (await raw.client.read(method))[0] == 200

    assert raw.parsed == looked_at + 1
    assert origin.of(path)[-1].method == method


# What is known ends


async def test_what_may_be_stored_by_now_is(raw, origin, path, get):
    """The answer that says so is looked at; then hits are recalled, and the origin rests."""
    await warm(raw, origin, path)
    origin.on(path, saying(b"hello", 200, FRESH))
    found = [await raw.ask(get) for _ in range(4)]
    count = len(origin.of(path))
    await raw.ask(get)

    assert b"edge; fwd=uri-miss" in found[0][0]
    assert b"stored" in found[1][0]
    assert b"edge; hit" in found[3][0]
    assert len(origin.of(path)) == count


async def test_another_reason_is_told(raw, origin, path, get):
    """Why the store was not asked is said as it is now."""
    await warm(raw, origin, path)
    (lanes,) = raw.node.site.worker._forwarder.ways._lanes.values()
    (lane,) = lanes.values()
    broker_of(raw.node.site).shelf.mark(lane.way.key, lane.way.target, Reason.VARY)
    head, _, content = await raw.ask(get)

    assert b"detail=" + Reason.VARY.value in head
    assert content == b"hello"


async def test_another_snapshot_decides_the_next_request(raw, origin, path, get):
    """What was known by the last one leads nowhere any more."""
    await warm(raw, origin, path)
    site = raw.node.site
    site.write("customHttp.yml", FIELDS.replace("blue", "green"))
    site.changes.reload()
    await site.follow()
    head = (await raw.ask(get))[0]
    site.write("customHttp.yml", FIELDS)
    site.changes.reload()
    await site.follow()

    assert b"x-team: green" in head
    assert b"x-team: blue" in (await raw.ask(get))[0]


async def test_what_is_under_way_while_it_changes_is_answered(raw, origin, path):
    """By the snapshot that it began in; its rule is counted all the same."""
    talk = await under_way(raw, origin, path)
    site = raw.node.site
    hits_of(site)
    site.write("customHttp.yml", FIELDS.replace("blue", "green"))
    site.changes.reload()
    await site.follow()
    talk.go.set()
    head = await raw.client.reader.readuntil(b"\r\n\r\n")
    assert await raw.client.reader.readexactly(5) == b"hello"
    site.write("customHttp.yml", FIELDS)
    site.changes.reload()
    await site.follow()

    assert b"x-team: blue" in head
    assert list(hits_of(site)["site"].values()) == [1]


async def test_an_origin_that_failed_is_looked_at(raw, origin, path, get):
    """Whoever counts failures has to see what follows."""
    await warm(raw, origin, path)
    (found,) = pools_of(raw.node)
    found.health.failures = 1
    looked_at = raw.parsed
    await raw.ask(get)

    assert raw.parsed == looked_at + 1
    assert found.health.failures == 0


async def test_after_an_error_the_store_is_asked(raw, origin, path, get):
    """Also after one whose head came before: the next answer may be stored at once."""
    for status, times in ((403, 5), (503, 1)) * 3:
        origin.on(path, saying(b"hello", status))
        for _ in range(times):
            await raw.ask(get)
    origin.on(path, saying(b"hello", 200, FRESH))

    assert b"cache-status: edge; fwd=uri-miss; stored" in (await raw.ask(get))[0].lower()


async def test_without_an_idle_connection_it_is_looked_at(raw, origin, path, get):
    """One has to be made, or waited for."""
    await warm(raw, origin, path)
    looked_at = raw.parsed
    for found in pools_of(raw.node):
        found.close_idle()
    answer = await raw.ask(get)

    assert (answer[2], raw.parsed) == (b"hello", looked_at + 1)


async def test_a_connection_of_other_settings_is_not_used_again(raw, origin, path):
    """It may lead where nobody may go any more."""
    talk = await under_way(raw, origin, path)
    origins = raw.node.site.worker._origins
    origins.configure(origins.addresses, origins.limits, origins.context)
    talk.go.set()
    await raw.client.reader.readuntil(b"hello")
    (found,) = pools_of(raw.node)

    assert (found.busy, list(found._idle)) == (set(), [])


async def test_who_waits_for_a_connection_gets_it(raw, origin, path, get):
    """Before anybody else may use it again."""
    talk = await under_way(raw, origin, path)
    origins = raw.node.site.worker._origins
    before, origins.limits = origins.limits, type(origins.limits)(origin_connections=1)
    other = await raw.node.client()
    other.send(get)
    (found,) = pools_of(raw.node)
    await until(lambda: found._waiting)
    origin.on(path, saying(b"again", 200, NEVER))
    talk.go.set()
    await raw.client.reader.readuntil(b"hello")
    await other.reader.readuntil(b"again")
    origins.limits = before

    assert found.outstanding == 0


@pytest.fixture
async def trusting(tmp_path, origin):
    """A node that trusts a proxy, and writes no lines: those of its clients differ."""
    site = proxied(tmp_path, origin, edge_yml=TRUSTING + LISTENING)
    await site.start()
    async with entering(site) as node:
        site.worker._ledger.write_to(None)
        yield node
    await quiet(site)


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_a_log_that_begins_meanwhile_knows_the_client(tmp_path, origin, path, is_trusted):
    """Whoever asked before on the same connection, and of whom nothing was said yet."""
    proxies = "clients: {trusted_proxies: [127.0.0.1]}\n" if is_trusted else ""
    site = await proxied(tmp_path, origin, edge_yml=proxies + LISTENING).start()
    one, other = (head_of(f"/o{path}", f"X-Forwarded-For: 192.0.2.{n}") for n in (1, 2))
    async with entering(site) as node:
        raw = await raw_of(node)
        if not is_trusted:
            site.worker._ledger.write_to(None)
        origin.on(path, saying(b"hello", 200, NEVER))
        for _ in range(5):
            await raw.ask(one)
            await raw.ask(other)
        await raw.ask(one)
        site.worker._ledger.write_to(None)
        count, asked = len(node.entries()), len(origin.of(path))
        origin.on(path, waiting(b"hello", NEVER))
        raw.client.send(other)
        await until(lambda: len(origin.of(path)) > asked)
        site.worker._ledger.write_to(node.log)
        origin.of(path)[-1].go.set()
        await raw.ask(b"")
        entry = (await node.wait(count + 1))[-1]
    await quiet(site)

    assert entry["client"] == ("192.0.2.2" if is_trusted else "127.0.0.1")
    assert (entry["forwarded_for"], entry["method"]) == ("192.0.2.2", "GET")


async def test_who_is_trusted_is_believed_and_nobody_else(trusting, origin, path):
    """Though both send the same bytes."""
    raw, behind = await raw_of(trusting), Raw(trusting, await trusting.client())
    asked = head_of(f"/o{path}", "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.9")
    origin.on(path, saying(b"hello", 200, NEVER))
    await raw.ask(asked)
    await behind.ask(asked)
    for connection in trusting.site.worker._service.connections:
        if connection.transport.get_extra_info("peername")[1] == port_of(behind):
            connection.peer = PROXY
    for each in (raw, raw, raw, behind, raw, behind, behind, behind, raw, raw):
        await each.ask(asked)
    told = [talk.fields["x-forwarded-proto"] for talk in origin.of(path)][-10:]
    clients = [talk.fields["x-forwarded-for"] for talk in origin.of(path)][-10:]

    assert told == [*["http"] * 3, "https", "http", *["https"] * 3, *["http"] * 2]
    assert {
        client == "127.0.0.1"
        for client, scheme in zip(clients, told, strict=True)
        if scheme == "http"
    } == {True}
    assert trusting.parsed < 12
